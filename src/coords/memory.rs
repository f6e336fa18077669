//! The sample memory: what the neighbours heard last said and how far they were. A newcomer refits to all of it after
//! every sample, instead of taking one small step a sample.

use std::collections::VecDeque;

use super::Coord;
use super::fit::{Observation, Point, median};
use crate::id::Id;

/// The latest sample of each of a bounded number of neighbours, oldest first.
#[derive(Clone, Debug)]
pub(super) struct SampleMemory {
    capacity: usize,
    samples: VecDeque<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    from: Id,
    error: f64,
    seen: Observation,
}

impl SampleMemory {
    /// Remembers `capacity` neighbours, at least 1.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            samples: VecDeque::new(),
        }
    }

    /// `from` says it is at `remote`, `rtt` seconds away. What it said before is forgotten; if it is new and the memory
    /// full, so is the neighbour heard longest ago.
    pub(super) fn push(&mut self, from: Id, remote: &Coord, rtt: f64) {
        if let Some(known) = self.samples.iter().position(|s| s.from == from) {
            self.samples.remove(known);
        } else if self.samples.len() >= self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            from,
            error: remote.error,
            seen: Observation::new(Point::of(remote), rtt, remote.error),
        });
    }

    /// Number of neighbours remembered.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The median of the errors that the neighbours claim; 0.0 of none.
    pub(super) fn median_error(&self) -> f64 {
        let mut errors: Vec<f64> = self.samples.iter().map(|s| s.error).collect();
        median(&mut errors)
    }

    /// Everything remembered, oldest first. Nobody counts as surer than `least_error`: who claims to be surest, and
    /// would weigh most, is no one to believe first.
    pub(super) fn observations(&self, least_error: f64) -> Vec<Observation> {
        self.samples
            .iter()
            .map(|s| s.seen.trusted(s.error.max(least_error)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, error: f64) -> Coord {
        Coord {
            position: [x, 0.0, 0.0],
            height: 0.0,
            error,
        }
    }

    #[test]
    fn a_neighbour_counts_once_and_the_one_heard_longest_ago_makes_room() {
        let mut memory = SampleMemory::new(3);
        for (n, x) in [(1, 0.1), (2, 0.2), (3, 0.3), (1, 0.4), (4, 0.5)] {
            memory.push(Id([n; 20]), &at(x, 0.1), x);
        }
        let kept: Vec<(u8, f64)> = memory
            .samples
            .iter()
            .map(|s| (s.from.0[0], s.seen.rtt))
            .collect();
        assert_eq!(kept, [(3, 0.3), (1, 0.4), (4, 0.5)]);
        assert_eq!(memory.len(), 3);
    }

    #[test]
    fn one_boast_does_not_change_what_neighbours_are_taken_to_know() {
        let mut memory = SampleMemory::new(8);
        assert_eq!(memory.median_error(), 0.0);
        for (n, error) in [(1, 0.3), (2, 0.0), (3, 0.4), (4, 1.0), (5, 0.35)] {
            memory.push(Id([n; 20]), &at(0.1, error), 0.1);
        }
        assert_eq!(memory.median_error(), 0.35);
        let seen = memory.observations(memory.median_error());
        assert_eq!(
            seen[1], seen[4],
            "the boast weighs as much as the median claim"
        );
        assert_ne!(seen[1], seen[3], "a modest claim weighs less");
    }
}
