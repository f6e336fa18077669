//! The RPC of Transmission, so that what people have for it works with the daemon: `transmission-remote`, libraries, the
//! applications that fetch series and films. docs/transmission-rpc.md says how far it goes.
//!
//! A request is one JSON object: a method, its arguments, a tag that comes back. It is answered with status 200 and a
//! `result`, which is `success` or what went wrong; what HTTP itself refuses is another matter. Pages of other sites are
//! kept out by a header whose value they cannot read.

mod actions;
mod arguments;
mod change;
mod dormant;
mod error;
#[cfg(test)]
mod fake;
mod fields;
mod files;
mod ids;
mod json;
mod methods;
mod nested;
mod session_get;
mod session_id;
mod session_set;
#[cfg(test)]
mod tests;
mod torrent_add;
mod torrent_get;
mod trackers;
mod units;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};

use self::session_id::{HEADER, SessionIds};
use super::{ApiError, ApiState};

pub use self::methods::answer;

/// Where requests go. `transmission-remote` puts a slash behind, and one before when the URL that it is told ends in one.
const PATHS: [&str; 4] = [
    "/transmission/rpc",
    "/transmission/rpc/",
    "/transmission//rpc",
    "/transmission//rpc/",
];

/// Where Transmission has its page.
const PAGES: [&str; 4] = [
    "/transmission",
    "/transmission/",
    "/transmission/web",
    "/transmission/web/",
];

/// Whether requests go there.
pub(super) fn is_rpc(path: &str) -> bool {
    PATHS.contains(&path)
}

/// Its routes.
pub(super) fn routes() -> Router<ApiState> {
    let ids = Arc::new(SessionIds::default());
    let mut routes = Router::new();
    for path in PATHS {
        let ids = ids.clone();
        let served = async move |State(state), method, headers, body| {
            serve(&ids, &state, &method, &headers, body).await
        };
        routes = routes.route(path, any(served));
    }
    for path in PAGES {
        routes = routes.route(path, get(async || Redirect::temporary("/")));
    }
    routes
}

async fn serve(
    ids: &SessionIds,
    state: &ApiState,
    method: &Method,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let now = std::time::Instant::now();
    // before the method is looked at: clients ask for the id with GET
    if !ids.is_valid(headers.get(&HEADER), now) {
        return conflict(&ids.current(now));
    }
    if method != Method::POST {
        return ApiError::Method.into_response();
    }
    let answer = answer(&state.daemon, &body, &ids.current(now)).await;
    let json = [(CONTENT_TYPE, "application/json; charset=UTF-8")];
    (json, answer).into_response()
}

/// Says what the id is.
fn conflict(id: &str) -> Response {
    // some clients read it from the text
    let text = format!(
        "<h1>409: Conflict</h1>\
         <p>This request has no session id, or one that is no longer valid. \
         Send it again with the header <code>X-Transmission-Session-Id</code> of this answer.</p>\
         <p><code>X-Transmission-Session-Id: {id}</code></p>"
    );
    let headers = [
        (HEADER, id.to_owned()),
        (CONTENT_TYPE, "text/html; charset=UTF-8".to_owned()),
    ];
    (StatusCode::CONFLICT, headers, text).into_response()
}
