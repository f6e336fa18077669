//! What is known of each tracker of a torrent, for people.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// A tracker of a torrent. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrackerRow {
    /// A number that no other tracker of the torrent has.
    pub id: usize,
    /// Its tier.
    pub tier: usize,
    /// Where announces go.
    pub announce: String,
    /// When it was last asked; 0: never.
    pub last_announce: u64,
    /// Whether it answered.
    pub ok: bool,
    /// What it said, or what went wrong.
    pub message: String,
    /// Peers in its last answer.
    pub peers: usize,
    /// When it is asked next; 0: not known.
    pub next_announce: u64,
    /// Whether it is being asked now.
    pub asking: bool,
    /// Seeds that it knows.
    pub seeders: Option<u32>,
    /// Others that it knows.
    pub leechers: Option<u32>,
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
