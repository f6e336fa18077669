//! What will happen, in order: by time, and by order of scheduling at the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    sequence: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// A queue by time.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.heap.push(Reverse(Entry { at, sequence, what }));
    }

    /// The next thing, unless it is after `end`.
    pub(super) fn pop(&mut self, end: Instant) -> Option<(Instant, T)> {
        let due = self.heap.peek().is_some_and(|next| next.0.at <= end);
        if !due {
            return None;
        }
        self.heap.pop().map(|Reverse(e)| (e.at, e.what))
    }
}
