//! How many members of a bucket of equally rare chunks each neighbour holds, so that a pick need not look through a
//! bucket of which the neighbour has nothing: in a large object that bucket may have all chunks but a few.
//!
//! The first 64 neighbours are counted; of others nothing is known, and a pick looks through the bucket. A HAVE costs
//! one step for each neighbour that holds the chunk.

use super::api::NeighbourId;

/// Neighbours that are counted: one bit each.
const COUNTED: usize = 64;

/// Who holds which chunk, and how many of each bucket.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    places: Vec<Option<NeighbourId>>,
    /// For each chunk who holds it, a bit for each place.
    who: Vec<u64>,
    /// For each bucket how many of its members the neighbour at each place holds.
    counts: Vec<[u32; COUNTED]>,
}

impl Holdings {
    pub(super) fn new(chunks: u32) -> Self {
        Self {
            places: Vec::new(),
            who: vec![0; chunks as usize],
            counts: Vec::new(),
        }
    }

    fn place(&self, peer: NeighbourId) -> Option<usize> {
        self.places.iter().position(|p| *p == Some(peer))
    }

    /// A neighbour that holds nothing yet; counted if there is a place for it.
    pub(super) fn joined(&mut self, peer: NeighbourId) {
        if let Some(empty) = self.places.iter_mut().find(|p| p.is_none()) {
            *empty = Some(peer);
        } else if self.places.len() < COUNTED {
            self.places.push(Some(peer));
        }
    }

    /// The neighbour, of which nothing is held any more, is gone.
    pub(super) fn left(&mut self, peer: NeighbourId) {
        if let Some(place) = self.place(peer) {
            self.places[place] = None;
        }
    }

    /// The neighbour holds the chunk from now on, or no longer. The chunk must be in no bucket.
    pub(super) fn set(&mut self, chunk: u32, peer: NeighbourId, holds: bool) {
        if let (Some(place), Some(who)) = (self.place(peer), self.who.get_mut(chunk as usize)) {
            match holds {
                true => *who |= 1 << place,
                false => *who &= !(1 << place),
            }
        }
    }

    /// The chunk is a member of the bucket from now on.
    pub(super) fn put_in(&mut self, bucket: usize, chunk: u32) {
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, [0; COUNTED]);
        }
        let counts = &mut self.counts[bucket];
        bits(self.who[chunk as usize]).for_each(|place| counts[place] += 1);
    }

    /// The chunk is no longer a member of the bucket.
    pub(super) fn take_out(&mut self, bucket: usize, chunk: u32) {
        let counts = &mut self.counts[bucket];
        bits(self.who[chunk as usize]).for_each(|place| counts[place] -= 1);
    }

    /// Members of the bucket that the neighbour holds; `None`: not known.
    pub(super) fn held_in(&self, bucket: usize, peer: NeighbourId) -> Option<u32> {
        let counts = self.counts.get(bucket);
        self.place(peer).map(|place| counts.map_or(0, |c| c[place]))
    }
}

/// The places of the ones.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(place)
    })
}
