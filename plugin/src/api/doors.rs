//! What every request passes before a route sees it, and every answer on its way back.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::connections::{Answering, Client, Keeping};
use super::{ApiError, ApiState};

/// For the page: its own files and nothing else.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// Sent with every answer.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

pub(super) async fn enter(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let client = request.extensions_mut().remove::<Client>();
    // two readers of such a request may see its end in different places: nothing after it is read
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let mut response = match admit(&state, client.as_ref(), request).await {
        Ok((request, room)) => {
            let answering = client.map(|c| Answering::begin(c.seat));
            let response = next.run(request).await;
            drop(room); // the daemon has taken the body, or will not
            response.map(|body| Keeping::around(body, answering))
        }
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    let unsaid = headers.entry(CACHE_CONTROL);
    unsaid.or_insert(HeaderValue::from_static("no-store"));
    if chunked {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    state.shared.requests.count(route.as_ref(), &method, status);
    response
}

/// The request with its body in memory, and the room that this takes, if it may pass.
async fn admit(
    state: &ApiState,
    client: Option<&Client>,
    request: Request,
) -> Result<(Request, Option<OwnedSemaphorePermit>), ApiError> {
    let shared = &state.shared;
    let (head, body) = request.into_parts();
    let source = client.and_then(|c| c.source);
    shared.access.check(&head, source)?;
    let whole = shared.bodies.read(head.uri.path(), body).await?;
    let request = Request::from_parts(head, Body::from(whole.bytes));
    Ok((request, whole.room))
}
