//! Which chunk: rarest in view first, random among equals, never in file order.
//!
//! Free chunks (wanted, not held, assigned to nobody) lie in one bucket for each number of neighbours that hold them.
//! A change of availability or freedom moves one chunk in O(1); a neighbour's whole set costs O(chunks). A pick walks
//! the buckets from the rarest and begins each at a random place, so it ends at the first free chunk that the
//! neighbour holds: O(1) when it holds many of them, O(free chunks) when it holds hardly any (10,000 bit tests).
//!
//! A complete client has no free chunks; its buckets hold every chunk, for the choice of what to reveal.
//!
//! In-order selection was measured to be fatal: peers hold the same chunks and have nothing to give each other.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::api::NeighbourId;
use super::table::common_words;
use crate::chunks::ChunkSet;

const NOWHERE: u32 = u32::MAX;

/// Availability, free chunks and assignments.
#[derive(Debug, Default)]
pub(super) struct Picker {
    holders: Vec<u16>,
    place: Vec<u32>,
    buckets: Vec<Vec<u32>>,
    free: ChunkSet,
    /// Free chunks that were begun and given back: finished first, so that few are half done.
    begun: BTreeSet<u32>,
    assigned: BTreeMap<u32, NeighbourId>,
    /// How often a chunk was assigned or taken back.
    changes: u64,
}

impl Picker {
    /// `chunks` chunks that nobody holds, none of them free.
    pub(super) fn new(chunks: u32) -> Self {
        Self {
            holders: vec![0; chunks as usize],
            place: vec![NOWHERE; chunks as usize],
            buckets: Vec::new(),
            free: ChunkSet::empty(chunks),
            begun: BTreeSet::new(),
            assigned: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Chunks that may be picked.
    pub(super) fn free(&self) -> &ChunkSet {
        &self.free
    }

    /// Neighbours that hold the chunk.
    pub(super) fn holders(&self, chunk: u32) -> u16 {
        self.holders.get(chunk as usize).copied().unwrap_or(0)
    }

    /// One more neighbour holds the chunk.
    pub(super) fn gained(&mut self, chunk: u32) {
        self.set_holders(chunk, self.holders(chunk).saturating_add(1));
    }

    /// One neighbour fewer holds the chunk.
    pub(super) fn lost(&mut self, chunk: u32) {
        self.set_holders(chunk, self.holders(chunk).saturating_sub(1));
    }

    fn set_holders(&mut self, chunk: u32, holders: u16) {
        if (chunk as usize) < self.holders.len() {
            let member = self.free.contains(chunk);
            if member {
                self.take_out(chunk);
            }
            self.holders[chunk as usize] = holders;
            if member {
                self.put_in(chunk);
            }
        }
    }

    /// The chunk may be picked; `begun`: a part of it is here already.
    pub(super) fn offer(&mut self, chunk: u32, begun: bool) {
        if self.free.insert(chunk) {
            self.put_in(chunk);
        }
        if begun && self.free.contains(chunk) {
            self.begun.insert(chunk);
        }
    }

    /// The chunk may not be picked.
    pub(super) fn withdraw(&mut self, chunk: u32) {
        if self.free.remove(chunk) {
            self.take_out(chunk);
        }
        self.begun.remove(&chunk);
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a bucket holds at most u32::MAX chunks"
    )]
    fn put_in(&mut self, chunk: u32) {
        let bucket = usize::from(self.holders[chunk as usize]);
        if self.buckets.len() <= bucket {
            self.buckets.resize_with(bucket + 1, Vec::new);
        }
        self.place[chunk as usize] = self.buckets[bucket].len() as u32;
        self.buckets[bucket].push(chunk);
    }

    fn take_out(&mut self, chunk: u32) {
        let bucket = &mut self.buckets[usize::from(self.holders[chunk as usize])];
        let place = self.place[chunk as usize] as usize;
        bucket.swap_remove(place);
        if let Some(&moved) = bucket.get(place) {
            self.place[moved as usize] = self.place[chunk as usize];
        }
        self.place[chunk as usize] = NOWHERE;
    }

    /// The rarest chunk that `wanted` accepts, random among equally rare ones.
    pub(super) fn rarest(&self, rng: &mut ChaCha8Rng, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        self.buckets
            .iter()
            .filter(|b| !b.is_empty())
            .find_map(|bucket| {
                let from = rng.random_range(0..bucket.len());
                let (before, after) = bucket.split_at(from);
                after.iter().chain(before).copied().find(|&c| wanted(c))
            })
    }

    /// The chunk to fetch from a neighbour that holds `held`, leaving those in `avoid` to others.
    pub(super) fn pick(
        &self,
        rng: &mut ChaCha8Rng,
        held: &ChunkSet,
        avoid: Option<&ChunkSet>,
    ) -> Option<u32> {
        self.pick_that(rng, |c| {
            held.contains(c) && !avoid.is_some_and(|a| a.contains(c))
        })
    }

    /// The same of those that fit.
    pub(super) fn pick_that(
        &self,
        rng: &mut ChaCha8Rng,
        fits: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        self.begun
            .iter()
            .copied()
            .find(|&c| fits(c))
            .or_else(|| self.rarest(rng, fits))
    }

    /// The same in no order: any chunk with the same chance, after those that were begun.
    pub(super) fn pick_any(
        &self,
        rng: &mut ChaCha8Rng,
        held: &ChunkSet,
        avoid: Option<&ChunkSet>,
    ) -> Option<u32> {
        let fits = |c: &u32| held.contains(*c) && !avoid.is_some_and(|a| a.contains(*c));
        if let Some(begun) = self.begun.iter().copied().find(fits) {
            return Some(begun);
        }
        let words = || common_words(held, &self.free, avoid);
        let many: u32 = words().map(u64::count_ones).sum();
        if many == 0 {
            return None;
        }
        let mut nth = rng.random_range(0..many);
        for (first, mut word) in (0u32..).step_by(64).zip(words()) {
            if nth >= word.count_ones() {
                nth -= word.count_ones();
                continue;
            }
            for _ in 0..nth {
                word &= !(1 << (63 - word.leading_zeros()));
            }
            return Some(first + word.leading_zeros());
        }
        None
    }

    /// Gives the chunk to a neighbour.
    pub(super) fn assign(&mut self, chunk: u32, peer: NeighbourId) {
        self.withdraw(chunk);
        self.assigned.insert(chunk, peer);
        self.changes += 1;
    }

    /// All chunks that are assigned, ascending.
    pub(super) fn assigned(&self) -> impl Iterator<Item = u32> + '_ {
        self.assigned.keys().copied()
    }

    /// A number that changes with what is assigned.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whom the chunk is assigned to.
    pub(super) fn owner(&self, chunk: u32) -> Option<NeighbourId> {
        self.assigned.get(&chunk).copied()
    }

    /// Takes the chunk from whom it is assigned to; it is not free by that.
    pub(super) fn unassign(&mut self, chunk: u32) -> Option<NeighbourId> {
        let owner = self.assigned.remove(&chunk);
        self.changes += u64::from(owner.is_some());
        owner
    }

    /// Takes all chunks from a neighbour; they are not free by that.
    pub(super) fn unassign_all(&mut self, peer: NeighbourId) -> Vec<u32> {
        let chunks: Vec<u32> = self
            .assigned
            .iter()
            .filter(|(_, p)| **p == peer)
            .map(|(c, _)| *c)
            .collect();
        for chunk in &chunks {
            self.unassign(*chunk);
        }
        chunks
    }
}
