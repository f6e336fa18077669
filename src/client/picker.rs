//! Which chunk: rarest in view first, random among equals, never in file order.
//!
//! Free chunks (wanted, not held, assigned to nobody) lie in one bucket for each number of neighbours that hold them.
//! A change of availability or freedom moves one chunk in O(holders); a neighbour's whole set costs O(chunks). A pick
//! walks the buckets from the rarest and begins each at a random place, so it ends at the first free chunk that the
//! neighbour holds. A bucket of which the neighbour holds nothing is passed over ([`Holdings`](super::holdings)), and
//! the few free chunks of one that holds hardly any are found in its set, 64 at a time: what a pick costs hardly depends
//! on the number of chunks (`examples/picker` measures it).
//!
//! Where some chunks are wanted more than others ([`Client::set_classes`](super::Client::set_classes)), all this holds
//! within a class: nothing of a lower one is picked while the neighbour has something of a higher one.
//!
//! A complete client has no free chunks; its buckets hold every chunk, for the choice of what to reveal.
//!
//! In-order selection was measured to be fatal: peers hold the same chunks and have nothing to give each other.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::api::NeighbourId;
use super::holdings::Holdings;
use super::table::{BLOCK, block, common_words};
use crate::chunks::ChunkSet;

const NOWHERE: u32 = u32::MAX;

/// Up to so many chunks that fit a wish are looked at one by one, whatever bucket they are in. // measured: examples/picker
const FEW: usize = 128;

/// Which free chunks are wanted for a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) peer: NeighbourId,
    /// What the neighbour holds, over all chunks.
    pub(super) held: &'a ChunkSet,
    /// Of what it holds, or of what it does not.
    pub(super) holds: bool,
    /// None of these.
    pub(super) avoid: [Option<&'a ChunkSet>; 2],
    /// Only these, if there is such a choice.
    pub(super) among: Option<&'a ChunkSet>,
    /// None that more neighbours hold.
    pub(super) most_holders: usize,
}

impl<'a> Wish<'a> {
    /// What the neighbour holds, but for those in `avoid`.
    pub(super) fn held(
        peer: NeighbourId,
        held: &'a ChunkSet,
        avoid: [Option<&'a ChunkSet>; 2],
    ) -> Self {
        Self {
            peer,
            held,
            holds: true,
            avoid,
            among: None,
            most_holders: usize::MAX,
        }
    }

    /// The same of some chunks only.
    pub(super) fn among(self, among: Option<&'a ChunkSet>) -> Self {
        Self { among, ..self }
    }

    /// What the neighbour does not hold.
    pub(super) fn missing(peer: NeighbourId, held: &'a ChunkSet) -> Self {
        let wish = Self::held(peer, held, [None; 2]);
        Self {
            holds: false,
            ..wish
        }
    }

    fn accepts(&self, chunk: u32) -> bool {
        let avoided = || self.avoid.iter().flatten().any(|a| a.contains(chunk));
        let among = self.among.is_none_or(|a| a.contains(chunk));
        self.held.contains(chunk) == self.holds && among && !avoided()
    }

    /// The free chunks that fit, if they are no more than a few.
    fn few(&self, free: &ChunkSet) -> Option<Few> {
        let [bar, more] = self.avoid.map(|a| a.map_or(&[][..], ChunkSet::as_bytes));
        let (free, held) = (free.as_bytes(), self.held.as_bytes());
        // all that is free, if there is no choice
        let among = self.among.map_or(free, ChunkSet::as_bytes);
        let flip = if self.holds { 0 } else { u8::MAX };
        let mut few = Few {
            chunks: [0; FEW],
            len: 0,
        };
        for (at, first) in (0..free.len())
            .step_by(BLOCK)
            .zip((0u32..).step_by(8 * BLOCK))
        {
            let [free, held, among, bar, more] =
                [free, held, among, bar, more].map(|set| block(set, at));
            let mut fit = [0; BLOCK];
            for (i, fit) in fit.iter_mut().enumerate() {
                *fit = free[i] & (held[i] ^ flip) & among[i] & !bar[i] & !more[i];
            }
            if fit == [0; BLOCK] {
                continue;
            }
            for (byte, first) in fit.iter().zip((first..).step_by(8)) {
                let mut byte = *byte;
                while byte != 0 {
                    let bit = byte.leading_zeros();
                    *few.chunks.get_mut(few.len)? = first + bit;
                    few.len += 1;
                    byte &= !(0x80 >> bit);
                }
            }
        }
        Some(few)
    }
}

/// A few chunks; on the stack, as there is one such list for every pick.
struct Few {
    chunks: [u32; FEW],
    len: usize,
}

/// Availability, free chunks and assignments.
#[derive(Debug, Default)]
pub(super) struct Picker {
    holders: Vec<u16>,
    place: Vec<u32>,
    buckets: Vec<Vec<u32>>,
    holdings: Holdings,
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
            holdings: Holdings::new(chunks),
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

    /// A neighbour that holds nothing yet.
    pub(super) fn joined(&mut self, peer: NeighbourId) {
        self.holdings.joined(peer);
    }

    /// A neighbour whose chunks are [`lost`](Self::lost) already.
    pub(super) fn left(&mut self, peer: NeighbourId) {
        self.holdings.left(peer);
    }

    /// One more neighbour holds the chunk.
    pub(super) fn gained(&mut self, chunk: u32, peer: NeighbourId) {
        self.set_holders(chunk, self.holders(chunk).saturating_add(1), (peer, true));
    }

    /// One neighbour fewer holds the chunk.
    pub(super) fn lost(&mut self, chunk: u32, peer: NeighbourId) {
        self.set_holders(chunk, self.holders(chunk).saturating_sub(1), (peer, false));
    }

    fn set_holders(&mut self, chunk: u32, holders: u16, (peer, holds): (NeighbourId, bool)) {
        if (chunk as usize) < self.holders.len() {
            let member = self.free.contains(chunk);
            if member {
                self.take_out(chunk);
            }
            self.holders[chunk as usize] = holders;
            self.holdings.set(chunk, peer, holds);
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
        self.holdings.put_in(bucket, chunk);
    }

    fn take_out(&mut self, chunk: u32) {
        let holders = usize::from(self.holders[chunk as usize]);
        self.holdings.take_out(holders, chunk);
        let bucket = &mut self.buckets[holders];
        let place = self.place[chunk as usize] as usize;
        bucket.swap_remove(place);
        if let Some(&moved) = bucket.get(place) {
            self.place[moved as usize] = self.place[chunk as usize];
        }
        self.place[chunk as usize] = NOWHERE;
    }

    /// The rarest chunk that fits the wish and that `also` accepts, random among equally rare ones.
    ///
    /// As if each bucket were looked through from a random place on; only what cannot fit is not looked at.
    pub(super) fn rarest(
        &self,
        rng: &mut ChaCha8Rng,
        wish: &Wish<'_>,
        also: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let few = (wish.most_holders > 0).then(|| wish.few(&self.free));
        let few = few.flatten();
        let all = self.buckets.iter().enumerate();
        all.filter(|(_, b)| !b.is_empty())
            .find_map(|(holders, bucket)| {
                let from = rng.random_range(0..bucket.len());
                if holders > wish.most_holders {
                    return None;
                }
                if let Some(few) = &few {
                    return self.first_of(&few.chunks[..few.len], holders, from, &also);
                }
                let held = self.holdings.held_in(holders, wish.peer);
                let nothing = if wish.holds { 0 } else { bucket.len() };
                if held.is_some_and(|held| held as usize == nothing) {
                    return None;
                }
                let (before, after) = bucket.split_at(from);
                let mut chunks = after.iter().chain(before).copied();
                chunks.find(|&c| wish.accepts(c) && also(c))
            })
    }

    /// Of `few` chunks the one of this bucket that comes first from place `from` on.
    fn first_of(
        &self,
        few: &[u32],
        holders: usize,
        from: usize,
        also: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let len = self.buckets[holders].len();
        let of_bucket = |c: &u32| usize::from(self.holders[*c as usize]) == holders;
        let after = |c: &u32| (self.place[*c as usize] as usize + len - from) % len;
        let members = few.iter().copied().filter(|c| of_bucket(c) && also(*c));
        members.min_by_key(after)
    }

    /// The chunk to fetch from a neighbour: one that was begun, else the rarest.
    pub(super) fn pick(&self, rng: &mut ChaCha8Rng, wish: &Wish<'_>) -> Option<u32> {
        self.pick_that(rng, wish, |_| true)
    }

    /// The same of those that `also` accepts.
    pub(super) fn pick_that(
        &self,
        rng: &mut ChaCha8Rng,
        wish: &Wish<'_>,
        also: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let mut begun = self.begun.iter().copied();
        begun
            .find(|&c| wish.accepts(c) && also(c))
            .or_else(|| self.rarest(rng, wish, also))
    }

    /// The same in no order: any chunk that the neighbour holds with the same chance, after those that were begun.
    pub(super) fn pick_any(&self, rng: &mut ChaCha8Rng, wish: &Wish<'_>) -> Option<u32> {
        if let Some(begun) = self.begun.iter().copied().find(|c| wish.accepts(*c)) {
            return Some(begun);
        }
        let among = wish.among.unwrap_or(&self.free);
        let words = || {
            let fit = common_words(wish.held, &self.free, wish.avoid[0]);
            fit.zip(common_words(among, &self.free, wish.avoid[1]))
        };
        let words = || words().map(|(a, b)| a & b);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    /// Looks through every bucket.
    fn naive(picker: &Picker, rng: &mut ChaCha8Rng, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        let mut buckets = picker.buckets.iter().filter(|b| !b.is_empty());
        buckets.find_map(|bucket| {
            let from = rng.random_range(0..bucket.len());
            let (before, after) = bucket.split_at(from);
            after.iter().chain(before).copied().find(|&c| wanted(c))
        })
    }

    proptest! {
        /// The same chunk, and the same randomness used up, for few and many fitting chunks and neighbours.
        #[test]
        fn what_is_passed_over_could_not_have_been_picked(
            chunks in 1u32..700,
            peers in 1u64..80,
            gone in 0u64..80,
            density in prop::array::uniform3(0.0f64..1.0),
            most_holders in prop_oneof![3 => Just(usize::MAX), 1 => Just(0usize), 1 => Just(2)],
            holds in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut picker = Picker::new(chunks);
            let mut held: BTreeMap<u64, ChunkSet> = BTreeMap::new();
            let mut join = |picker: &mut Picker, rng: &mut ChaCha8Rng, peer: u64| {
                picker.joined(NeighbourId(peer));
                let some = density[0].powi(i32::try_from(1 + peer % 4).unwrap());
                let mut set = ChunkSet::empty(chunks);
                for chunk in (0..chunks).filter(|_| rng.random_bool(some)) {
                    set.insert(chunk);
                    picker.gained(chunk, NeighbourId(peer));
                }
                held.insert(peer, set);
            };
            (0..peers).for_each(|peer| join(&mut picker, &mut rng, peer));
            for chunk in 0..chunks {
                if rng.random_bool(density[1]) {
                    picker.offer(chunk, false);
                }
            }
            for peer in (0..gone.min(peers)).step_by(3) {
                let set = held.remove(&peer).unwrap();
                set.iter().for_each(|c| picker.lost(c, NeighbourId(peer)));
                picker.left(NeighbourId(peer));
            }
            let mut join = |picker: &mut Picker, peer: u64| {
                picker.joined(NeighbourId(peer));
                held.insert(peer, ChunkSet::full(chunks));
                (0..chunks).for_each(|c| picker.gained(c, NeighbourId(peer)));
            };
            join(&mut picker, 100);
            let avoid = ChunkSet::from_indices(
                chunks,
                (0..chunks).filter(|_| rng.random_bool(density[2])),
            );
            let among = ChunkSet::from_indices(
                chunks,
                (0..chunks).filter(|_| rng.random_bool(density[0])),
            );
            for (peer, set) in &held {
                let avoid = [None, (peer % 2 == 0).then_some(&avoid)];
                let among = (peer % 3 == 0).then_some(&among);
                let wish = Wish { holds, most_holders, among, ..Wish::held(NeighbourId(*peer), set, avoid) };
                let also = |c: u32| !c.is_multiple_of(7);
                let mut other = rng.clone();
                let expected = naive(&picker, &mut other, |c| {
                    usize::from(picker.holders(c)) <= most_holders && wish.accepts(c) && also(c)
                });
                prop_assert_eq!(picker.rarest(&mut rng, &wish, also), expected);
                prop_assert!(rng == other, "other randomness was used");
            }
        }
    }
}
