//! Network coordinates: Vivaldi with height (Dabek et al., SIGCOMM 2004; paper section 3).
//!
//! - [`Coord`]: a point, the round-trip time it predicts, and its 14 bytes on the wire.
//! - [`Vivaldi`]: a node's own point, moved by every measured round trip.
//! - [`RttMatrix`]: round trips between all pairs of hosts, read or made up, to judge the above by.
//!
//! A coordinate only pre-sorts candidates: before a peer is judged near, it is measured.

mod filter;
mod fit;
mod matrix;
mod memory;
mod vivaldi;
mod wire;

#[cfg(test)]
mod tests;

pub use matrix::{RttMatrix, RttMatrixError};
pub use vivaldi::{Vivaldi, VivaldiConfig, VivaldiConfigError};

use std::time::Duration;

/// A point in coordinate space: three dimensions and a height, in seconds, and how sure its owner is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coord {
    /// Position in seconds of round-trip time.
    pub position: [f64; 3],
    /// Height above the plane (access link), seconds, never negative.
    pub height: f64,
    /// Relative error estimate, 0.0 (sure) ..= 1.0 (knows nothing).
    pub error: f64,
}

impl Default for Coord {
    /// The origin, knowing nothing.
    fn default() -> Self {
        Self {
            position: [0.0; 3],
            height: 0.0,
            error: 1.0,
        }
    }
}

impl Coord {
    /// Predicted round-trip time between two points.
    pub fn rtt(&self, other: &Coord) -> Duration {
        let plane: f64 = self
            .position
            .iter()
            .zip(&other.position)
            .map(|(a, b)| (a - b) * (a - b))
            .sum::<f64>()
            .sqrt();
        Duration::try_from_secs_f64(plane + self.height + other.height).unwrap_or(Duration::MAX)
    }
}
