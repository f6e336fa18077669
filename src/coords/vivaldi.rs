//! A node's own coordinate, moved by every measured round trip: Vivaldi with height (Dabek et al., SIGCOMM 2004,
//! sections 2.5 and 5.4; the paper takes its coordinates from there, section 3).
//!
//! Differences from Vivaldi:
//!
//! - Each neighbour's round trips are filtered first (Ledlie et al., NSDI 2007).
//! - The step is not along one spring but a part of the way to the point that fits the latest samples of up to 32
//!   neighbours, by a robust loss. A cold start needs 64 samples for what single springs reach after 400 (measured),
//!   a newcomer 8, and neighbours that disagree with three quarters of them do not count: liars, and paths which no
//!   point can explain.
//! - Every fourth sample the fit is begun at the nearest neighbour's place as well, and the better of the two counts. What
//!   is next door is one of 32 opinions; a place far from it that suits the others is a minimum which no small step
//!   leaves (measured: of the hosts beside each other a quarter were not among each other's eight nearest, 5 % with it).
//! - A claim to be surer than the median of the neighbours counts as that median, so that a boast buys no weight.
//! - One sample moves the point by a bounded step, so that whoever passes the above pushes only as fast as it is asked.
//! - A weak pull to the origin keeps the whole constellation from drifting out of the wire's range (Ledlie et al.).
//!
//! When all nodes start at the origin, heights alone soon explain the mean round trip (relative error about 0.4), and
//! the positions must grow out of noise: a plateau that the refit shortens from about 64 samples to 20.
//!
//! The error says how well the coordinate predicts the next sample of the neighbours that agree with it; pairs that
//! never met are predicted as well (measured).

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Coord;
use super::filter::NeighbourFilter;
use super::fit::{Fit, Point, norm};
use super::memory::SampleMemory;
use crate::id::Id;

/// Samples this many scales off do not count in the error once there are more neighbours than unknowns.
/// // measured: 2 underrates the error by a fifth
const OUTLIER_SCALES: f64 = 3.0;
/// From so many neighbours on, an outlier can be told. // four unknowns, and more than one to contradict
const JURY: usize = 6;

/// Constants of [`Vivaldi`].
#[derive(Clone, Debug, PartialEq)]
pub struct VivaldiConfig {
    /// Weight of one sample in the error estimate, 0 < ce <= 1.
    pub ce: f64,
    /// Fraction of the way to the fitted point that one sample moves a node as unsure as its neighbours, 0 < cc <= 1.
    pub cc: f64,
    /// Neighbours whose latest sample the fit sees, at least 1; its cost is proportional to them.
    pub memory: usize,
    /// Gauss-Newton passes a sample, at least 1.
    pub passes: usize,
    /// Every so many samples the fit is also begun at the nearest neighbour's place, at least 1.
    pub restart_every: u32,
    /// Their first damping: 0 would trust neighbours' places fully, > 0.
    pub damping: f64,
    /// A residual of so many times their upper quartile counts half, and farther ones less and less, > 0.
    pub outlier: f64,
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
            cc: 0.5,                                // measured: 0.25 converges a fifth slower
            memory: 32,                             // measured: what 32 neighbours allow
            passes: 2,        // measured: 1 needs half as many samples again, 3 alike
            restart_every: 4, // measured: 1 alike and twice the time
            damping: 0.3,     // measured: 0.1 to 1 do; undamped, a cold start diverges
            outlier: 2.0,     // measured: 1 alike, 4 a tenth worse
            min_height: Duration::from_micros(100), // guess: a LAN round trip, halved
            max_step: Duration::from_millis(50), // guess: a quarter of an intercontinental trip
            max_rtt: Duration::from_secs(10), // guess: beyond every real path
            max_radius: Duration::from_secs(10), // guess: as max_rtt
            min_error: 0.01,  // guess: below what a network lets one know
            gravity: 150.0,   // Ledlie et al.: weak beside one sample's step
            filter_samples: 4, // Ledlie et al. 4.2
            filter_percentile: 0.25, // Ledlie et al. 4.2
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
            ("damping", self.damping > 0.0),
            ("outlier", self.outlier > 0.0),
            ("gravity", self.gravity > 0.0),
            ("memory", self.memory > 0),
            ("passes", self.passes > 0),
            ("restart_every", self.restart_every > 0),
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
    memory: SampleMemory,
    rng: ChaCha8Rng,
    /// Samples until the fit is begun anew.
    until_restart: u32,
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
        let memory = SampleMemory::new(config.memory.max(1));
        Self {
            until_restart: config.restart_every,
            config,
            coord,
            filter,
            memory,
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
        self.memory.push(from, remote, rtt);
        let known = self.memory.median_error().max(self.config.min_error);
        let seen = self.memory.observations(known);
        let here = Point::of(&self.coord);
        let floor = self.config.min_height.as_secs_f64();
        let fit = Fit::new(&seen, &here, self.config.outlier, floor);

        if self.memory.len() < JURY || fit.newest_off() < OUTLIER_SCALES {
            self.learn_error(remote, rtt, known);
        }
        let doubt = self.coord.error / (self.coord.error + known);
        let (passes, damping) = (self.config.passes, self.config.damping);
        let (mut there, loss) = fit.descend(passes, damping, &mut self.rng);
        self.until_restart = self.until_restart.saturating_sub(1);
        if self.until_restart == 0 && self.memory.len() >= JURY {
            self.until_restart = self.config.restart_every;
            let (other, other_loss) = fit.descend_from_nearest(2 * passes, damping, &mut self.rng);
            if other_loss < loss {
                there = other;
            }
        }
        self.move_towards(&there, self.config.cc * (2.0 * doubt).powi(2));
        true
    }

    /// Vivaldi's moving average of how far off the prediction was; `known` is the least error the neighbour may claim.
    fn learn_error(&mut self, remote: &Coord, rtt: f64, known: f64) {
        let off = (self.coord.rtt(remote).as_secs_f64() - rtt).abs() / rtt;
        let doubt = self.coord.error / (self.coord.error + remote.error.max(known));
        let share = self.config.ce * doubt;
        let error = off.min(1.0) * share + self.coord.error * (1.0 - share);
        self.coord.error = error.clamp(0.0, 1.0);
    }

    /// Goes the fraction `share` of the way, or as far as one sample may.
    fn move_towards(&mut self, there: &Point, share: f64) {
        let here = Point::of(&self.coord);
        let way = here.way_to(there);
        if way > 0.0 {
            let limit = self.config.max_step.as_secs_f64();
            let share = share.min(limit / way).min(1.0);
            let pull = 1.0 - self.pull();
            for (p, q) in self.coord.position.iter_mut().zip(there.position) {
                *p = (*p + share * (q - *p)) * pull;
            }
            self.coord.height += share * (there.height - here.height);
        }
        self.stay_in_range();
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

    /// Which fraction of its distance to the origin the point falls back by.
    fn pull(&self) -> f64 {
        let radius = norm(&self.coord.position);
        (radius / (self.config.gravity * self.config.gravity)).min(1.0)
    }
}
