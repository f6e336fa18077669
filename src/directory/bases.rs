//! What other nodes are known to hold of entries that change: the bases of deltas (directory: "deltas against sequence
//! numbers").
//!
//! A delta may only be made against what the other has acknowledged, bit for bit. The cache holds an entry as it is now, so
//! a base is a copy of the bits as they were. Copies cost memory: they are kept for entries that change, within a bound,
//! and dropped when nothing happens to them any more. Whoever has lost the base answers with `SendFull`, so a base
//! that is wrong costs a round trip and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::chunks::ChunkSet;
use crate::id::{Id, ObjectId};
use crate::time::Instant;

/// Bytes of a base beside its bits.
const OVERHEAD: usize = 256; // guess: the struct twice, and its share of two maps

type Key = (ObjectId, Id);

/// One entry as another node has it.
#[derive(Clone, Debug)]
struct Known {
    sequence: u64,
    held: ChunkSet,
}

#[derive(Debug)]
struct Base {
    acked: Option<Known>,
    /// Under way, in so many datagrams that are not acknowledged.
    sent: Option<(Known, usize)>,
    used: Instant,
}

impl Base {
    fn bytes(&self) -> usize {
        let bits = |known: &Known| known.held.heap_bytes();
        OVERHEAD
            + self.acked.as_ref().map_or(0, bits)
            + self.sent.as_ref().map_or(0, |(known, _)| bits(known))
    }
}

/// The bases for all receivers.
#[derive(Debug)]
pub(crate) struct Bases {
    bases: BTreeMap<(Id, Key), Base>,
    by_use: BTreeSet<(Instant, Id, Key)>,
    bytes: usize,
    /// Bytes that all bases may take; 0: no deltas.
    limit: usize,
    /// How long a base is kept that is not used.
    quiet: Duration,
}

impl Bases {
    pub(crate) fn new(limit: usize, quiet: Duration) -> Self {
        Self {
            bases: BTreeMap::new(),
            by_use: BTreeSet::new(),
            bytes: 0,
            limit,
            quiet,
        }
    }

    /// What `to` holds of the entry: sequence and chunks.
    pub(crate) fn of(&self, to: &Id, key: &Key) -> Option<(u64, &ChunkSet)> {
        let known = self.bases.get(&(*to, *key))?.acked.as_ref()?;
        Some((known.sequence, &known.held))
    }

    /// The whole set was sent, in `parts` datagrams.
    pub(crate) fn sent(
        &mut self,
        to: &Id,
        key: &Key,
        sequence: u64,
        held: ChunkSet,
        parts: usize,
        now: Instant,
    ) {
        if self.limit == 0 {
            return;
        }
        let mut base = self.take(to, key).unwrap_or(Base {
            acked: None,
            sent: None,
            used: now,
        });
        base.used = now;
        base.sent = Some((Known { sequence, held }, parts));
        self.put(*to, *key, base);
        while self.bytes > self.limit {
            let Some((_, to, key)) = self.by_use.first().copied() else {
                break;
            };
            self.take(&to, &key);
        }
    }

    /// `to` has acknowledged a datagram with the entry as it was at `sequence`.
    pub(crate) fn acked(&mut self, to: &Id, key: &Key, sequence: u64) {
        let Some(mut base) = self.take(to, key) else {
            return;
        };
        base.sent = match base.sent.take() {
            Some((known, parts)) if known.sequence == sequence && parts <= 1 => {
                base.acked = Some(known);
                None
            }
            Some((known, parts)) if known.sequence == sequence => Some((known, parts - 1)),
            other => other,
        };
        self.put(*to, *key, base);
    }

    /// Nobody knows whether that one arrived.
    pub(crate) fn lost(&mut self, to: &Id, key: &Key, sequence: u64) {
        let Some(mut base) = self.take(to, key) else {
            return;
        };
        base.sent = base.sent.filter(|(known, _)| known.sequence != sequence);
        self.put(*to, *key, base);
    }

    /// `to` does not hold what it should.
    pub(crate) fn forget(&mut self, to: &Id, key: &Key) {
        self.take(to, key);
    }

    /// `to` holds nothing any more, as far as one can tell.
    pub(crate) fn forget_all(&mut self, to: &Id) {
        let keys = self
            .bases
            .range((*to, Default::default())..)
            .take_while(|((id, _), _)| id == to)
            .map(|((_, key), _)| *key);
        for key in keys.collect::<Vec<_>>() {
            self.take(to, &key);
        }
    }

    /// Drops what was not used for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((used, to, key)) = self.by_use.first().copied()
            && now - used >= self.quiet
        {
            self.take(&to, &key);
        }
    }

    /// Bytes of all bases.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, to: &Id, key: &Key) -> Option<Base> {
        let base = self.bases.remove(&(*to, *key))?;
        self.by_use.remove(&(base.used, *to, *key));
        self.bytes -= base.bytes();
        Some(base)
    }

    /// Nothing is kept of a base with neither half.
    fn put(&mut self, to: Id, key: Key, base: Base) {
        if base.acked.is_none() && base.sent.is_none() {
            return;
        }
        self.bytes += base.bytes();
        self.by_use.insert((base.used, to, key));
        self.bases.insert((to, key), base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        (ObjectId(Id([n; 20])), Id([1; 20]))
    }

    fn set(n: u32) -> ChunkSet {
        ChunkSet::from_indices(1000, 0..n)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    const TO: Id = Id([9; 20]);

    #[test]
    fn only_what_was_acknowledged_in_whole_is_a_base() {
        let mut bases = Bases::new(1 << 20, Duration::from_secs(60));
        bases.sent(&TO, &key(1), 5, set(5), 2, at(0));
        assert!(bases.of(&TO, &key(1)).is_none());
        bases.acked(&TO, &key(1), 5);
        assert!(bases.of(&TO, &key(1)).is_none(), "one of two windows");
        bases.acked(&TO, &key(1), 5);
        assert_eq!(bases.of(&TO, &key(1)), Some((5, &set(5))));
        bases.sent(&TO, &key(1), 6, set(6), 1, at(1));
        assert_eq!(bases.of(&TO, &key(1)), Some((5, &set(5))), "still");
        bases.lost(&TO, &key(1), 6);
        bases.acked(&TO, &key(1), 6);
        assert_eq!(
            bases.of(&TO, &key(1)),
            Some((5, &set(5))),
            "an answer too late"
        );
        bases.sent(&TO, &key(1), 7, set(7), 1, at(2));
        bases.sent(&TO, &key(1), 8, set(8), 1, at(2));
        bases.acked(&TO, &key(1), 7);
        assert_eq!(bases.of(&TO, &key(1)), Some((5, &set(5))));
        bases.acked(&TO, &key(1), 8);
        assert_eq!(bases.of(&TO, &key(1)), Some((8, &set(8))));
        bases.forget(&TO, &key(1));
        assert!(bases.of(&TO, &key(1)).is_none());
        assert_eq!(bases.bytes(), 0);
    }

    #[test]
    fn the_longest_unused_go_first_and_the_quiet_ones_altogether() {
        let mut bases = Bases::new(
            10 * (OVERHEAD + set(1).heap_bytes()),
            Duration::from_secs(60),
        );
        for n in 0..30 {
            bases.sent(&TO, &key(n), 1, set(1), 1, at(u64::from(n)));
            bases.acked(&TO, &key(n), 1);
        }
        let kept: Vec<u8> = (0..30)
            .filter(|n| bases.of(&TO, &key(*n)).is_some())
            .collect();
        assert_eq!(kept, (20..30).collect::<Vec<_>>());
        bases.expire(at(84));
        assert!(bases.of(&TO, &key(24)).is_none() && bases.of(&TO, &key(25)).is_some());
        bases.forget_all(&Id([8; 20]));
        assert!(bases.bytes() > 0);
        bases.forget_all(&TO);
        assert_eq!((bases.bytes(), bases.by_use.len()), (0, 0));
    }

    #[test]
    fn without_room_there_are_no_bases() {
        let mut bases = Bases::new(0, Duration::from_secs(60));
        bases.sent(&TO, &key(1), 1, set(1), 1, at(0));
        bases.acked(&TO, &key(1), 1);
        assert!(bases.of(&TO, &key(1)).is_none());
    }
}
