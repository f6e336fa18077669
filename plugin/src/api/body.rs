//! Bodies of requests, read whole before a route sees them: bounded in bytes, time and memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{ApiError, transmission};

/// Bytes of a .torrent file that is sent to us.
pub(super) const UPLOAD: usize = 10 << 20; // guess: a torrent of half a million pieces

/// Bytes of such a file in base64 in JSON.
const UPLOAD_BODY: usize = UPLOAD / 3 * 4 + (64 << 10);

/// Bytes of other bodies.
const BODY: usize = 1 << 20; // guess: priorities of 50,000 files

/// KiB of all bodies that are there at a time.
const ROOM: usize = 32 << 10; // guess: two uploads and some

/// What takes bodies in.
pub(super) struct Bodies {
    patience: Duration,
    room: Arc<Semaphore>,
}

/// A body, and its part of the memory for such.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            room: Arc::new(Semaphore::new(ROOM)),
        }
    }

    /// Reads the body of a request for `path`.
    pub(super) async fn read(&self, path: &str, body: Body) -> Result<Whole, ApiError> {
        let limit = limit(path);
        let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if least > limit {
            return Err(ApiError::TooLong(limit));
        }
        let read = timeout(self.patience, self.all(body, limit));
        read.await.unwrap_or(Err(ApiError::Slow))
    }

    async fn all(&self, mut body: Body, limit: usize) -> Result<Whole, ApiError> {
        let mut bytes = BytesMut::new();
        let mut room = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ApiError::Broken)?.into_data() else {
                continue; // trailers
            };
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(ApiError::TooLong(limit));
            }
            self.take(&mut room, length)?;
            bytes.extend_from_slice(&data);
        }
        Ok(Whole {
            bytes: bytes.freeze(),
            room,
        })
    }

    /// Makes `taken` enough for `length` bytes.
    fn take(
        &self,
        taken: &mut Option<OwnedSemaphorePermit>,
        length: usize,
    ) -> Result<(), ApiError> {
        let has = taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = length.div_ceil(1024).saturating_sub(has);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| ApiError::Busy)?;
        let more = self.room.clone().try_acquire_many_owned(more);
        let more = more.map_err(|_| ApiError::Busy)?;
        match taken {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        Ok(())
    }
}

/// Bytes that a route takes.
fn limit(path: &str) -> usize {
    match path {
        "/api/v1/torrents" => UPLOAD_BODY,
        path if transmission::is_rpc(path) => UPLOAD_BODY,
        _ => BODY,
    }
}
