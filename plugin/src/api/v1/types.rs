//! What goes over the wire: the shapes of `/api/v1`, apart from those inside, so that these can change.
//!
//! Names are in snake_case and stay. Times are seconds since 1970 in UTC, `null` where there is none; rates are bytes a
//! second; sizes are bytes; what is measured in other units has them in its name. A set of pieces is the base64 of the bitfield:
//! the first piece is the highest bit of the first byte (BEP 3).

mod change;
mod peer;
mod session;
mod torrent;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunkcast::chunks::ChunkSet;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub(super) use change::*;
pub(super) use peer::*;
pub(super) use session::*;
pub(super) use torrent::*;

/// Why a request was not served.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Error {
    /// One line.
    error: String,
}

/// How much a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Priority {
    /// Not at all.
    Skip,
    /// After the others.
    Low,
    /// As the others.
    Normal,
    /// Before the others.
    High,
}

impl From<crate::daemon::Priority> for Priority {
    fn from(priority: crate::daemon::Priority) -> Self {
        match priority {
            crate::daemon::Priority::Skip => Self::Skip,
            crate::daemon::Priority::Low => Self::Low,
            crate::daemon::Priority::Normal => Self::Normal,
            crate::daemon::Priority::High => Self::High,
        }
    }
}

impl From<Priority> for crate::daemon::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Skip => Self::Skip,
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

/// Payload bytes by how far they came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ByDistance {
    /// From near peers.
    near_down: u64,
    /// To near peers.
    near_up: u64,
    /// From far peers.
    far_down: u64,
    /// To far peers.
    far_up: u64,
    /// From web seeds.
    web_down: u64,
}

impl From<crate::daemon::ByDistance> for ByDistance {
    fn from(moved: crate::daemon::ByDistance) -> Self {
        Self {
            near_down: moved.near_down,
            near_up: moved.near_up,
            far_down: moved.far_down,
            far_up: moved.far_up,
            web_down: moved.web_down,
        }
    }
}

/// The base64 of a bitfield.
fn bits(set: &ChunkSet) -> String {
    STANDARD.encode(set.as_bytes())
}

/// A time, or `None` for the 0 that stands for none inside.
fn time(seconds: u64) -> Option<u64> {
    Some(seconds).filter(|s| *s > 0)
}

/// A member that may be `null`, and is there: one that is not is `None`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
