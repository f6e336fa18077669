//! What will happen, in order: by time, and by order of scheduling at the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// A queue by time. The heap holds only when and where: moving whole datagrams about was a tenth of a large run.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
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
        self.heap.push(Reverse((at, self.sequence, place)));
        self.sequence += 1;
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|next| next.0.0)
    }

    /// The next thing, unless it is after `end`.
    pub(super) fn pop(&mut self, end: Instant) -> Option<(Instant, T)> {
        let due = self.heap.peek().is_some_and(|next| next.0.0 <= end);
        if !due {
            return None;
        }
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.free.push(place);
        self.things[place].take().map(|what| (at, what))
    }
}
