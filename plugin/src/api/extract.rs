//! What routes take out of requests, refused with one line.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::daemon::InfoHash;

/// A body of JSON; an empty one is an empty object.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|_| ApiError::Broken)?;
        read(&bytes).map(Self)
    }
}

/// Reads JSON; nothing is an empty object.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = match bytes.trim_ascii() {
        b"" => b"{}",
        text => text,
    };
    serde_json::from_slice(text).map_err(|e| ApiError::Invalid(format!("the body: {e}")))
}

/// The torrent that a path names.
pub(super) struct Hash(pub(super) InfoHash);

impl<S: Send + Sync> FromRequestParts<S> for Hash {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|_| ApiError::NoRoute)?;
        let hash = text.parse();
        hash.map(Self)
            .map_err(|e: crate::daemon::NotInfoHash| ApiError::Invalid(e.to_string()))
    }
}

/// What stands behind the `?`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|e| ApiError::Invalid(e.body_text()))?;
        Ok(Self(query))
    }
}
