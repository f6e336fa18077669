//! Limits and defaults of the client peer.

use std::time::Duration;

/// Limits, sizes and periods; [`ClientConfig::validate`] says which values make no sense.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// Most neighbours (connections of this object).
    pub max_neighbours: usize,
    /// Neighbours below which the client dials and looks up more often.
    pub target_neighbours: usize,
    /// Most connections being set up at once.
    pub max_half_open: usize,
    /// Most addresses remembered that are not connected.
    pub max_candidates: usize,
    /// Most banned addresses remembered.
    pub max_banned: usize,
    /// Peers asked of a lookup.
    pub p: u8,
    /// How many of those are random ones.
    pub mix: u8,
    /// Pause between lookups while chunks are wanted.
    pub lookup_interval: Duration,
    /// How long an answer is waited for.
    pub lookup_deadline: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            max_neighbours: 32,                       // measured: 24 to 32
            target_neighbours: 24,                    // measured: 24 to 32
            max_half_open: 8,                         // guess
            max_candidates: 512,                      // guess
            max_banned: 256,                          // guess
            p: 4,                                     // paper 5.1
            mix: 2,                                   // measured: half of the answer
            lookup_interval: Duration::from_secs(4),  // measured: 3 to 5 s
            lookup_deadline: Duration::from_secs(10), // guess
        }
    }
}
