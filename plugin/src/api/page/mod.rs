//! The page at `/`: static files of the program itself, so that it works without Internet. What it shows it asks of
//! `/api/v1`; docs/page.md describes it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LINK,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha1::{Digest, Sha1};

use super::{ApiError, ApiState};

/// Files with their paths below `static/`.
macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("static/", $path)))),*] };
}

/// What `/` is.
const INDEX: &str = include_str!("static/index.html");

/// What is below `/assets/`.
const FILES: &[(&str, &str)] = files![
    "css/base.css",
    "css/controls.css",
    "css/list.css",
    "css/maps.css",
    "css/overlays.css",
    "css/rows.css",
    "css/tables.css",
    "css/tokens.css",
    "css/torrent.css",
    "css/views.css",
    "favicon.svg",
    "js/core/api.js",
    "js/core/bits.js",
    "js/core/dom.js",
    "js/core/format.js",
    "js/core/live.js",
    "js/core/model.js",
    "js/core/prefs.js",
    "js/core/repeat.js",
    "js/core/router.js",
    "js/core/selection.js",
    "js/core/share.js",
    "js/core/sources.js",
    "js/core/store.js",
    "js/dialogs/add.js",
    "js/dialogs/fields.js",
    "js/dialogs/limits.js",
    "js/dialogs/place.js",
    "js/dialogs/remove.js",
    "js/list/actions.js",
    "js/list/columns.js",
    "js/list/filters.js",
    "js/list/more.js",
    "js/list/row.js",
    "js/list/table.js",
    "js/list/toolbar.js",
    "js/list/view.js",
    "js/main.js",
    "js/theme_first.js",
    "js/torrent/about.js",
    "js/torrent/files.js",
    "js/torrent/head.js",
    "js/torrent/lookups.js",
    "js/torrent/peers.js",
    "js/torrent/piece_canvas.js",
    "js/torrent/piece_model.js",
    "js/torrent/pieces.js",
    "js/torrent/swarm.js",
    "js/torrent/swarm_model.js",
    "js/torrent/trackers.js",
    "js/torrent/view.js",
    "js/ui/dialog.js",
    "js/ui/drop.js",
    "js/ui/keys.js",
    "js/ui/menu.js",
    "js/ui/tabs.js",
    "js/ui/theme.js",
    "js/ui/toast.js",
    "js/views/area.js",
    "js/views/directory.js",
    "js/views/ring.js",
    "js/views/settings.js",
    "js/views/traffic.js",
];

/// Its routes.
pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| index(&headers)))
        .route(
            "/assets/{*path}",
            get(async |Path(path): Path<String>, headers: HeaderMap| asset(&path, &headers)),
        )
}

fn index(headers: &HeaderMap) -> Response {
    static TAG: LazyLock<HeaderValue> = LazyLock::new(|| tag(INDEX));
    static MODULES: LazyLock<HeaderValue> = LazyLock::new(preloads);
    let mut response = file(INDEX, "text/html; charset=utf-8", &TAG, headers);
    response.headers_mut().insert(LINK, MODULES.clone());
    response
}

fn asset(path: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    static TAGS: LazyLock<Vec<HeaderValue>> =
        LazyLock::new(|| FILES.iter().map(|(_, content)| tag(content)).collect());
    let found = FILES.iter().position(|(name, _)| *name == path);
    let at = found.ok_or(ApiError::NoRoute)?;
    let kind = match path.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    Ok(file(FILES[at].1, kind, &TAGS[at], headers))
}

/// The file, or that it has not changed: a new version of the program has to be seen at once, and nothing is sent twice.
fn file(
    content: &'static str,
    kind: &'static str,
    tag: &HeaderValue,
    headers: &HeaderMap,
) -> Response {
    let known = headers.get(IF_NONE_MATCH) == Some(tag);
    let (status, body) = match known {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(content)),
    };
    let mut response = (status, body).into_response();
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(ETAG, tag.clone());
    response
}

fn tag(content: &str) -> HeaderValue {
    let hash = Sha1::digest(content.as_bytes());
    let text = hash
        .iter()
        .take(10)
        .fold("\"".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
        + "\"";
    HeaderValue::try_from(text).expect("hexadecimal digits in quotes")
}

/// All modules, so that a browser need not read one to hear of the next.
fn preloads() -> HeaderValue {
    let modules = FILES.iter().filter(|(path, _)| is_module(path));
    let links: Vec<String> = modules
        .map(|(path, _)| format!("</assets/{path}>; rel=modulepreload"))
        .collect();
    HeaderValue::try_from(links.join(", ")).expect("paths are of plain letters")
}

/// `theme_first.js` has to run before the first paint, which modules do not.
fn is_module(path: &str) -> bool {
    path.ends_with(".js") && path != "js/theme_first.js"
}

#[cfg(test)]
mod tests;
