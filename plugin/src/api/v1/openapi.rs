//! The description of the API (OpenAPI 3.1), made from the routes and the types that they send.

use axum::http::header::{CONTENT_TYPE, HeaderName};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};

use super::{daemon, events, torrents, types};

/// What is said of every route that fails.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "a schema")]
pub(super) enum Problem {
    /// The request cannot be served; it says why.
    #[response(status = "4XX")]
    Asker(types::Error),
    /// The daemon cannot serve it; it says why.
    #[response(status = "5XX")]
    Daemon(types::Error),
}

/// The torrent that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(super) struct HashParam {
    /// SHA-1 of the info dict: 40 hexadecimal digits.
    #[param(pattern = "^[0-9a-fA-F]{40}$")]
    hash: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ChunkCast",
        description = "Torrents of a ChunkCast daemon, their peers and why they are. Requests that change something need the header `X-Chunkcast: 1`."
    ),
    paths(
        torrents::list, torrents::add, torrents::show, torrents::change, torrents::remove, torrents::start, torrents::pause,
        torrents::verify, torrents::reannounce, torrents::relocate, torrents::queue, torrents::files, torrents::peers,
        torrents::pieces, torrents::trackers, torrents::lookups, torrents::trace, daemon::session, daemon::change,
        daemon::directory, daemon::history, daemon::shutdown, events::events, openapi
    ),
    components(schemas(types::Error, types::StreamEvent)),
    security((), ("password" = [])),
    modifiers(&Password)
)]
struct Description;

/// The password, where one is set.
struct Password;

impl Modify for Password {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("password", basic);
    }
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json",
    responses((status = 200, body = serde_json::Value, content_type = "application/json"), Problem))]
pub(super) async fn openapi() -> ([(HeaderName, &'static str); 1], String) {
    let text = Description::openapi().to_json().unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1::{ROOT, table};

    #[test]
    fn every_route_is_described() {
        let description = Description::openapi();
        let paths = description.paths.paths;
        for (path, _) in table() {
            assert!(paths.contains_key(&format!("{ROOT}{path}")), "{path}");
        }
        assert_eq!(paths.len(), table().len());
    }
}
