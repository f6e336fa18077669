//! A node's own coordinate, moved by every measured round trip: Vivaldi with height (Dabek et al., SIGCOMM 2004,
//! sections 2.5 and 5.4; the paper takes its coordinates from there, section 3).
//!
//! Differences from Vivaldi: each neighbour's samples are filtered first; one sample moves the point by a bounded
//! step, so that a liar can only push as fast as it is asked; a weak pull to the origin keeps the whole constellation
//! from drifting out of the wire's range (Ledlie et al., NSDI 2007).

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Coord;
use super::filter::NeighbourFilter;
use crate::id::Id;

/// Constants of [`Vivaldi`].
#[derive(Clone, Debug, PartialEq)]
pub struct VivaldiConfig {
    /// Weight of one sample in the error estimate, 0 < ce <= 1.
    pub ce: f64,
    /// Fraction of the way to the sample's ideal point, 0 < cc <= 1.
    pub cc: f64,
    /// The height never falls below this.
    pub min_height: Duration,
    /// One sample moves the point, height included, by at most this.
    pub max_step: Duration,
    /// Longer round trips are refused.
    pub max_rtt: Duration,
    /// Remote points farther from the origin than this, or higher, are refused.
    pub max_radius: Duration,
    /// A remote claim to be surer than this counts as this, 0 < min_error < 1.
    pub min_error: f64,
    /// At a distance of x seconds the origin pulls by (x / gravity)^2 seconds a sample.
    pub gravity: f64,
    /// Round trips kept of each neighbour, at least 1.
    pub filter_samples: usize,
    /// Which of them counts, 0.0 (smallest) ..= 1.0 (largest).
    pub filter_percentile: f64,
    /// Neighbours whose round trips are kept, at least 1.
    pub max_neighbours: usize,
}

impl Default for VivaldiConfig {
    fn default() -> Self {
        Self {
            ce: 0.25,                               // Vivaldi 2.5
            cc: 0.25,                               // Vivaldi 2.5
            min_height: Duration::from_micros(100), // guess: a LAN round trip, halved
            max_step: Duration::from_millis(50),    // guess: a quarter of an intercontinental trip
            max_rtt: Duration::from_secs(10),       // guess: beyond every real path
            max_radius: Duration::from_secs(10),    // guess: as max_rtt
            min_error: 0.01,                        // guess: below what a network lets one know
            gravity: 150.0,                         // Ledlie et al.: weak beside one sample's step
            filter_samples: 4,                      // Ledlie et al. 4.2
            filter_percentile: 0.25,                // Ledlie et al. 4.2
            max_neighbours: 256, // guess: leaf set and routing table of 10,000 nodes
        }
    }
}

/// A constant of [`VivaldiConfig`] is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VivaldiConfigError {
    /// A fraction leaves its range.
    #[error("coordinates: `{0}` must be above 0 and at most 1")]
    Fraction(&'static str),
    /// A count or duration is zero.
    #[error("coordinates: `{0}` must be above 0")]
    Zero(&'static str),
}

impl VivaldiConfig {
    /// Checks every constant.
    ///
    /// # Errors
    /// [`VivaldiConfigError`] names the first one out of range.
    pub fn validate(&self) -> Result<(), VivaldiConfigError> {
        let fractions = [
            ("ce", self.ce),
            ("cc", self.cc),
            ("min_error", self.min_error),
        ];
        for (name, value) in fractions {
            if !(value > 0.0 && value <= 1.0) {
                return Err(VivaldiConfigError::Fraction(name));
            }
        }
        if !(0.0..=1.0).contains(&self.filter_percentile) {
            return Err(VivaldiConfigError::Fraction("filter_percentile"));
        }
        let positive = [
            ("min_height", !self.min_height.is_zero()),
            ("max_step", !self.max_step.is_zero()),
            ("max_rtt", !self.max_rtt.is_zero()),
            ("max_radius", !self.max_radius.is_zero()),
            ("gravity", self.gravity > 0.0),
            ("filter_samples", self.filter_samples > 0),
            ("max_neighbours", self.max_neighbours > 0),
        ];
        match positive.into_iter().find(|(_, ok)| !ok) {
            Some((name, _)) => Err(VivaldiConfigError::Zero(name)),
            None => Ok(()),
        }
    }
}

/// A node's own coordinate.
#[derive(Clone, Debug)]
pub struct Vivaldi {
    config: VivaldiConfig,
    coord: Coord,
    filter: NeighbourFilter,
    rng: ChaCha8Rng,
}

impl Vivaldi {
    /// At the origin, knowing nothing. `seed` decides the directions in which coinciding points part.
    ///
    /// `config` is taken as validated.
    pub fn new(config: VivaldiConfig, seed: u64) -> Self {
        let coord = Coord {
            height: config.min_height.as_secs_f64(),
            ..Coord::default()
        };
        let filter = NeighbourFilter::new(
            config.filter_samples.max(1),
            config.filter_percentile,
            config.max_neighbours.max(1),
        );
        Self {
            config,
            coord,
            filter,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Where the node is.
    pub fn coord(&self) -> Coord {
        self.coord
    }

    /// Takes in one measured round trip to `from`, which says it is at `remote`.
    ///
    /// Moves the point by at most [`VivaldiConfig::max_step`]. False, and nothing changes, when the round trip is zero
    /// or longer than [`VivaldiConfig::max_rtt`], or `remote` is no point within [`VivaldiConfig::max_radius`].
    pub fn sample(&mut self, from: Id, remote: &Coord, rtt: Duration) -> bool {
        if rtt.is_zero() || rtt > self.config.max_rtt || !self.plausible(remote) {
            return false;
        }
        let rtt = self.filter.push(from, rtt).as_secs_f64();
        let away = self.away_from(remote);
        let heights = self.coord.height + remote.height;
        let distance = away.length + heights;

        let remote_error = remote.error.max(self.config.min_error);
        let weight = self.coord.error / (self.coord.error + remote_error);
        let share = self.config.ce * weight;
        let error = (distance - rtt).abs() / rtt * share + self.coord.error * (1.0 - share);
        self.coord.error = error.clamp(0.0, 1.0);

        let limit = self.config.max_step.as_secs_f64();
        let force = (self.config.cc * weight * (rtt - distance)).clamp(-limit, limit);
        // Coinciding points have no line between them: too near, they part along a random one.
        let (flat, up) = match (away.length > 0.0, force > 0.0) {
            (true, _) => (
                force * (away.length / distance),
                force * (heights / distance),
            ),
            (false, true) => (force, 0.0),
            (false, false) => (0.0, force),
        };
        let pull = self.pull();
        for (p, unit) in self.coord.position.iter_mut().zip(away.unit) {
            *p = *p * (1.0 - pull) + flat * unit;
        }
        self.coord.height = (self.coord.height + up).max(self.config.min_height.as_secs_f64());
        self.stay_in_range();
        true
    }

    fn plausible(&self, remote: &Coord) -> bool {
        let limit = self.config.max_radius.as_secs_f64();
        let radius = norm(&remote.position);
        // Comparisons with NaN are false.
        radius <= limit
            && (0.0..=limit).contains(&remote.height)
            && (0.0..=1.0).contains(&remote.error)
    }

    /// Keeps the point where others would still accept it.
    fn stay_in_range(&mut self) {
        let limit = self.config.max_radius.as_secs_f64();
        let radius = norm(&self.coord.position);
        if radius > limit {
            self.coord.position = self.coord.position.map(|p| p * (limit / radius));
        }
        self.coord.height = self.coord.height.min(limit);
    }

    /// The direction from `remote` to here.
    fn away_from(&mut self, remote: &Coord) -> Arrow {
        let mut unit = [0.0; 3];
        for (u, (a, b)) in unit
            .iter_mut()
            .zip(self.coord.position.iter().zip(&remote.position))
        {
            *u = a - b;
        }
        let length = norm(&unit);
        // Below a nanosecond a direction is noise.
        if length > 1e-9 {
            return Arrow {
                length,
                unit: unit.map(|u| u / length),
            };
        }
        Arrow {
            length: 0.0,
            unit: self.random_unit(),
        }
    }

    /// A direction drawn evenly from the sphere.
    fn random_unit(&mut self) -> [f64; 3] {
        loop {
            let v: [f64; 3] = std::array::from_fn(|_| self.rng.random_range(-1.0..1.0));
            let length = norm(&v);
            if (1e-3..=1.0).contains(&length) {
                return v.map(|x| x / length);
            }
        }
    }

    /// Which fraction of its distance to the origin the point falls back by.
    fn pull(&self) -> f64 {
        let radius = norm(&self.coord.position);
        (radius / (self.config.gravity * self.config.gravity)).min(1.0)
    }
}

struct Arrow {
    length: f64,
    unit: [f64; 3],
}

fn norm(v: &[f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
