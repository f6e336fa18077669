//! The API of our own, below `/api/v1`: what Transmission's cannot say. docs/api.md shows how it is used, and
//! `/api/v1/openapi.json` describes it.

mod daemon;
mod events;
mod openapi;
mod torrents;
mod types;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::ApiState;

pub(super) use events::Listeners;

/// Where these routes are.
pub(super) const ROOT: &str = "/api/v1";

/// Its routes.
pub(super) fn routes() -> Router<ApiState> {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(&format!("{ROOT}{path}"), methods)
        })
}

/// Paths below [`ROOT`], and what is done there.
fn table() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    use {daemon as d, torrents as t};
    vec![
        ("/torrents", get(t::list).post(t::add)),
        (
            "/torrents/{hash}",
            get(t::show).patch(t::change).delete(t::remove),
        ),
        ("/torrents/{hash}/start", post(t::start)),
        ("/torrents/{hash}/pause", post(t::pause)),
        ("/torrents/{hash}/verify", post(t::verify)),
        ("/torrents/{hash}/reannounce", post(t::reannounce)),
        ("/torrents/{hash}/relocate", post(t::relocate)),
        ("/torrents/{hash}/queue", post(t::queue)),
        ("/torrents/{hash}/files", get(t::files)),
        ("/torrents/{hash}/peers", get(t::peers)),
        ("/torrents/{hash}/pieces", get(t::pieces)),
        ("/torrents/{hash}/trackers", get(t::trackers)),
        ("/torrents/{hash}/lookups", get(t::lookups)),
        ("/torrents/{hash}/trace", post(t::trace)),
        ("/session", get(d::session).patch(d::change)),
        ("/directory", get(d::directory)),
        ("/history", get(d::history)),
        ("/events", get(events::events)),
        ("/openapi.json", get(openapi::openapi)),
        ("/shutdown", post(d::shutdown)),
    ]
}
