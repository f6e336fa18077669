//! The neighbour filter: a low percentile of each neighbour's latest round trips, so that one queueing delay does not
//! move the coordinate (Ledlie et al., "Network Coordinates in the Wild", NSDI 2007).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::id::Id;

/// The latest round trips of a bounded number of neighbours; the one heard longest ago makes room.
#[derive(Clone, Debug)]
pub(super) struct NeighbourFilter {
    samples: usize,
    percentile: f64,
    capacity: usize,
    clock: u64,
    neighbours: BTreeMap<Id, Neighbour>,
}

/// Most of a node's memory: round trips are kept in microseconds, as the core's clock has them.
#[derive(Clone, Debug)]
struct Neighbour {
    heard: u64,
    latest: VecDeque<u32>,
}

impl NeighbourFilter {
    /// `samples` round trips of each of `capacity` neighbours; `percentile` in 0.0 ..= 1.0. Both counts at least 1.
    pub(super) fn new(samples: usize, percentile: f64, capacity: usize) -> Self {
        Self {
            samples,
            percentile,
            capacity,
            clock: 0,
            neighbours: BTreeMap::new(),
        }
    }

    /// Takes in one round trip and gives the filtered one, in whole microseconds (at most 71 minutes).
    pub(super) fn push(&mut self, from: Id, rtt: Duration) -> Duration {
        self.clock += 1;
        if self.neighbours.len() >= self.capacity && !self.neighbours.contains_key(&from) {
            let oldest = self.neighbours.iter().min_by_key(|(_, n)| n.heard);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.neighbours.remove(&oldest);
            }
        }
        let neighbour = self.neighbours.entry(from).or_insert_with(|| Neighbour {
            heard: 0,
            latest: VecDeque::with_capacity(4),
        });
        neighbour.heard = self.clock;
        if neighbour.latest.len() >= self.samples {
            neighbour.latest.pop_front();
        }
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        neighbour.latest.push_back(micros);
        nearest_rank(&neighbour.latest, self.percentile)
    }

    /// Number of neighbours remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.neighbours.len()
    }
}

/// The smallest value that at least the fraction `percentile` of the values does not exceed.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive rank"
)]
fn nearest_rank(values: &VecDeque<u32>, percentile: f64) -> Duration {
    let mut sorted: Vec<u32> = values.iter().copied().collect();
    sorted.sort_unstable();
    let rank = (percentile * sorted.len() as f64).ceil() as usize;
    Duration::from_micros(u64::from(sorted[rank.clamp(1, sorted.len()) - 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Id {
        Id([n; 20])
    }

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn one_late_answer_does_not_show_and_a_lasting_change_does_after_four() {
        let mut filter = NeighbourFilter::new(4, 0.25, 8);
        assert_eq!(filter.push(id(1), ms(20)), ms(20));
        assert_eq!(filter.push(id(1), ms(900)), ms(20));
        let seen: Vec<_> = (0..4).map(|_| filter.push(id(1), ms(50))).collect();
        assert_eq!(seen, [ms(20), ms(20), ms(50), ms(50)]);
    }

    #[test]
    fn the_median_is_a_percentile_too() {
        let mut filter = NeighbourFilter::new(5, 0.5, 8);
        let last = [9, 1, 8, 2, 5].map(|n| filter.push(id(1), ms(n)))[4];
        assert_eq!(last, ms(5));
    }

    #[test]
    fn the_neighbour_heard_longest_ago_makes_room() {
        let mut filter = NeighbourFilter::new(4, 0.25, 2);
        filter.push(id(1), ms(10));
        filter.push(id(2), ms(10));
        filter.push(id(1), ms(10));
        filter.push(id(3), ms(10));
        assert_eq!(filter.len(), 2);
        assert_eq!(
            filter.push(id(1), ms(70)),
            ms(10),
            "1 was heard after 2, so it stays"
        );
        assert_eq!(filter.push(id(2), ms(70)), ms(70), "2 was forgotten");
        for n in 0..=255 {
            filter.push(id(n), ms(1));
        }
        assert_eq!(filter.len(), 2);
    }
}
