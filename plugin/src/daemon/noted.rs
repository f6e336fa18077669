//! What clients set to read it back, and the daemon only keeps.
//!
//! A limit of the daemon holds or is not there. Clients of the Transmission RPC know limits that are switched off and have a
//! value all the same, which holds when they are switched on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Priority;

/// What is kept with a torrent, and nothing follows: limits that are switched off, priorities of files that are skipped, a
/// priority of the torrent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noted {
    /// The torrent's priority: -1, 0 or 1.
    pub bandwidth_priority: i8,
    /// Bytes a second down.
    pub download: Option<u64>,
    /// Bytes a second up.
    pub upload: Option<u64>,
    /// Ratio at which seeding ends.
    pub seed_ratio: Option<f64>,
    /// Time without a byte sent after which seeding ends.
    pub seed_idle: Option<Duration>,
    /// How much a file, by its index, is wanted once it is.
    pub files: BTreeMap<usize, Priority>,
}

/// The same of the settings for all torrents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotedSettings {
    /// Bytes a second down.
    pub download: Option<u64>,
    /// Bytes a second up.
    pub upload: Option<u64>,
    /// Torrents that download at a time.
    pub active_downloads: Option<u32>,
    /// Torrents that seed at a time.
    pub active_seeds: Option<u32>,
    /// When a torrent counts as stalled.
    pub stalled_after: Option<Duration>,
    /// Ratio at which seeding ends.
    pub seed_ratio: Option<f64>,
    /// Time without a byte sent after which seeding ends.
    pub seed_idle: Option<Duration>,
}
