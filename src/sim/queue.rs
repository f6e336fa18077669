//! What will happen, in order: by time, and by order of scheduling at the same time.
//!
//! A calendar: what happens within half a second lies in buckets of a millisecond, which are sorted when their turn comes,
//! the rest in a heap. Most of what is scheduled is a message that arrives soon, and a heap of them all was a tenth of a
//! large run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// Microseconds of a bucket, as a power of two.
const WIDTH: u32 = 10;
/// Buckets; a power of two.
const BUCKETS: usize = 512;

/// When, the how manieth that was scheduled, and where it lies.
type Entry = (Instant, u64, usize);

/// A queue by time. What is sorted is only when and where: moving whole datagrams about was a tenth of a large run.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// The next ones, the last one first; empty only if all is.
    next: Vec<Entry>,
    /// Number of the bucket whose entries `next` holds, with those before.
    bucket: u64,
    /// The buckets after it.
    soon: Vec<Vec<Entry>>,
    /// Entries in `soon`.
    waiting: usize,
    /// What comes after all buckets.
    later: BinaryHeap<Reverse<Entry>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            next: Vec::new(),
            bucket: 0,
            soon: vec![Vec::new(); BUCKETS],
            waiting: 0,
            later: BinaryHeap::new(),
            things: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() - 1
        });
        self.things[place] = Some(what);
        let entry = (at, self.sequence, place);
        self.sequence += 1;
        let bucket = bucket_of(at);
        if bucket <= self.bucket {
            let before = self.next.partition_point(|other| *other > entry);
            self.next.insert(before, entry);
        } else if bucket < self.bucket + BUCKETS as u64 {
            self.soon[place_of(bucket)].push(entry);
            self.waiting += 1;
        } else {
            self.later.push(Reverse(entry));
        }
        if self.next.is_empty() {
            self.turn();
        }
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next.last().map(|(at, ..)| *at)
    }

    /// The next thing, unless it is after `end`.
    pub(super) fn pop(&mut self, end: Instant) -> Option<(Instant, T)> {
        let (at, _, place) = self.next.pop_if(|(at, ..)| *at <= end)?;
        if self.next.is_empty() {
            self.turn();
        }
        self.free.push(place);
        self.things[place].take().map(|what| (at, what))
    }

    /// Goes on to the next bucket that holds anything.
    fn turn(&mut self) {
        let first_later = self.later.peek().map(|Reverse((at, ..))| bucket_of(*at));
        let mut after = self.bucket + 1..self.bucket + BUCKETS as u64;
        let first_soon = (self.waiting > 0)
            .then(|| after.find(|bucket| !self.soon[place_of(*bucket)].is_empty()))
            .flatten();
        let Some(bucket) = first_soon.into_iter().chain(first_later).min() else {
            return;
        };
        self.bucket = bucket;
        std::mem::swap(&mut self.next, &mut self.soon[place_of(bucket)]);
        self.waiting -= self.next.len();
        while let Some(Reverse((at, ..))) = self.later.peek()
            && bucket_of(*at) < bucket + BUCKETS as u64
            && let Some(Reverse(entry)) = self.later.pop()
        {
            if bucket_of(entry.0) == bucket {
                self.next.push(entry);
            } else {
                self.soon[place_of(bucket_of(entry.0))].push(entry);
                self.waiting += 1;
            }
        }
        self.next.sort_unstable_by(|a, b| b.cmp(a));
    }
}

fn bucket_of(at: Instant) -> u64 {
    at.as_micros() >> WIDTH
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "below the number of buckets"
)]
fn place_of(bucket: u64) -> usize {
    bucket as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn us(at: u64) -> Instant {
        Instant::from_micros(at)
    }

    #[test]
    fn what_is_due_at_the_same_time_comes_in_the_order_of_scheduling() {
        let mut queue = Queue::new();
        (0..100).for_each(|n| queue.push(us(700), n));
        (100..200).for_each(|n| queue.push(us(5_000_000), n));
        let all = std::iter::from_fn(|| queue.pop(us(u64::MAX)));
        assert!(all.map(|(_, n)| n).eq(0..200));
    }

    proptest! {
        /// Against a map by time and order.
        #[test]
        fn as_a_sorted_map(steps in prop::collection::vec((0u32..24, 0u64..64, any::<bool>()), 1..400)) {
            let mut queue = Queue::new();
            let mut naive = BTreeMap::new();
            let mut now = 0;
            for (n, (far, step, pops)) in (0u64..).zip(steps) {
                if pops {
                    let end = now + (step << (far % 20));
                    let expected = naive.first_key_value().map(|((at, n), ())| (*at, *n));
                    prop_assert_eq!(queue.next_at(), expected.map(|(at, _)| us(at)));
                    let expected = expected.filter(|(at, _)| *at <= end);
                    prop_assert_eq!(queue.pop(us(end)), expected.map(|(at, n)| (us(at), n)));
                    if let Some(key) = expected {
                        naive.remove(&key);
                        now = key.0;
                    }
                } else {
                    let at = now + (step << (far % 20));
                    queue.push(us(at), n);
                    naive.insert((at, n), ());
                }
            }
            while let Some(((at, n), ())) = naive.pop_first() {
                prop_assert_eq!(queue.pop(us(u64::MAX)), Some((us(at), n)));
            }
            prop_assert_eq!(queue.pop(us(u64::MAX)), None);
        }
    }
}
