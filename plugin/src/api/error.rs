//! What a request that is not served gets: a status and one line of JSON that says nothing of the machine.

use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::daemon::DaemonError;

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No such route.
    #[error("nothing is here")]
    NoRoute,
    /// The route does something else.
    #[error("this route has other methods")]
    Method,
    /// The head makes no sense.
    #[error("{0}")]
    Head(&'static str),
    /// Called by a name that others may have had resolve to us (DNS rebinding).
    #[error(
        "this host name is not among those of the API: use the address, or add the name to `hosts` in the section `[api]` of the configuration"
    )]
    Host,
    /// A page of another site asks.
    #[error("pages of other sites may not ask here")]
    Foreign,
    /// Something is to be changed without the header that no page of another site can send.
    #[error("a request that changes something needs the header `X-Chunkcast: 1`")]
    Csrf,
    /// No name and password, or wrong ones.
    #[error("name and password are needed")]
    Unauthorized,
    /// Too many wrong passwords from this source.
    #[error("too many wrong passwords; try again later")]
    TooManyFailures,
    /// The body is longer than this route takes.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    /// The body did not come in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// Too many bodies at a time.
    #[error("too much is being sent here; try again later")]
    Busy,
    /// The body ended early, or its framing is broken.
    #[error("the body is broken")]
    Broken,
    /// The body is not what the route takes.
    #[error("{0}")]
    Invalid(String),
    /// The daemon takes too long.
    #[error("the daemon does not answer")]
    Silent,
    /// Too many listeners to events.
    #[error("too many listen to events already")]
    Listeners,
    /// The daemon says no.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

impl ApiError {
    /// The status that goes with it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Head(_) | Self::Broken | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Host => StatusCode::MISDIRECTED_REQUEST, // Transmission's
            Self::Foreign | Self::Csrf => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Silent | Self::Listeners => StatusCode::SERVICE_UNAVAILABLE,
            Self::Daemon(e) => match e {
                DaemonError::Unknown(_) => StatusCode::NOT_FOUND,
                DaemonError::Invalid(_) => StatusCode::BAD_REQUEST,
                DaemonError::Outside(_) => StatusCode::FORBIDDEN,
                DaemonError::Fetch(_) => StatusCode::BAD_GATEWAY,
                DaemonError::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
                DaemonError::NotNow(_) => StatusCode::CONFLICT,
                DaemonError::Ending => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let line = json!({ "error": self.to_string() });
        let mut response = (self.status(), axum::Json(line)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized => {
                let basic =
                    HeaderValue::from_static("Basic realm=\"ChunkCast\", charset=\"UTF-8\"");
                headers.insert(WWW_AUTHENTICATE, basic);
            }
            Self::TooManyFailures | Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            // what follows on the connection may be the rest of the body
            Self::TooLong(_) | Self::Slow | Self::Broken => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
