//! The memory that the bytes of pieces may take, in all torrents together: [`LimitsConfig::memory`] in three shares.
//!
//! | share | of the budget | holds | who waits |
//! | --- | --- | --- | --- |
//! | [`Memory::pieces`] | 3/4 | pieces begun, being hashed, and waiting for the disk, each with its whole length from the first request on | a torrent with its next piece |
//! | [`Memory::incoming`] | 1/8 | what was read from sockets until its torrent has looked at it | the socket: nothing more is read, so TCP slows the peer down |
//! | [`Memory::uploads`] | 1/8 | blocks read for peers until the kernel has them | the request |
//!
//! The shares are apart so that none can stop another: peers that do not read cannot stop downloads, nor a slow disk
//! uploads. A piece has all its memory before its first block is asked for, so every piece that was begun can be
//! finished; blocks of many pieces could otherwise fill the budget and complete none. Who waits is served in the order
//! of asking.
//!
//! What must be possible at the least: a piece that is longer than its share takes the whole share, so one piece at a time
//! is fetched with any budget, and memory exceeds the budget by what such a piece is longer. Beside the budget a
//! connection takes at most one message that has not arrived completely (16 KiB, at most 128 KiB), and a thread one
//! read buffer.
//!
//! [`LimitsConfig::memory`]: super::LimitsConfig::memory

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget when none is given, in bytes. // guess: a second at 1 Gbit/s, and an eighth of a small machine
pub const DEFAULT_MEMORY: u64 = 128 << 20;
/// The least budget in bytes: pieces of 1 MiB still overlap.
pub const MIN_MEMORY: u64 = 8 << 20;
/// The most, in bytes.
pub const MAX_MEMORY: u64 = 1 << 40;

/// What is counted together; a semaphore counts no further than 2^32.
const UNIT: u64 = 1 << 10;

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    pieces: Share,
    incoming: Share,
    uploads: Share,
}

/// A part of the budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Share {
    room: Arc<Semaphore>,
    used: Arc<Used>,
}

#[derive(Debug)]
struct Used {
    limit: u64,
    now: AtomicU64,
    most: AtomicU64,
    waiting: AtomicU64,
}

/// Bytes taken from a [`Share`], given back when this is dropped.
#[derive(Debug)]
#[must_use = "the bytes are given back when this is dropped"]
pub struct Room {
    permit: OwnedSemaphorePermit,
    used: Arc<Used>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(DEFAULT_MEMORY)
    }
}

impl Memory {
    /// A budget of so many bytes, brought into [`MIN_MEMORY`] ..= [`MAX_MEMORY`].
    pub fn new(bytes: u64) -> Self {
        let eighth = bytes.clamp(MIN_MEMORY, MAX_MEMORY) / 8;
        Self {
            pieces: Share::new(6 * eighth),
            incoming: Share::new(eighth),
            uploads: Share::new(eighth),
        }
    }

    /// For pieces that are not on disk yet.
    pub fn pieces(&self) -> &Share {
        &self.pieces
    }

    /// For what was read from sockets.
    pub fn incoming(&self) -> &Share {
        &self.incoming
    }

    /// For blocks on their way to peers.
    pub fn uploads(&self) -> &Share {
        &self.uploads
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.pieces.used() + self.incoming.used() + self.uploads.used()
    }
}

impl Share {
    fn new(limit: u64) -> Self {
        Self {
            room: Arc::new(Semaphore::new(units(limit) as usize)),
            used: Arc::new(Used {
                limit: u64::from(units(limit)) * UNIT,
                now: AtomicU64::new(0),
                most: AtomicU64::new(0),
                waiting: AtomicU64::new(0),
            }),
        }
    }

    /// Takes room for `bytes`, at most the whole share, if there is any and nobody waits for it.
    pub fn try_take(&self, bytes: u64) -> Option<Room> {
        let permit = self.room.clone().try_acquire_many_owned(self.units(bytes));
        permit.ok().map(|permit| self.taken(permit))
    }

    /// Waits for room for `bytes`, at most the whole share, in the order of asking.
    pub async fn take(&self, bytes: u64) -> Room {
        if let Some(room) = self.try_take(bytes) {
            return room;
        }
        let _waiting = Waiting::new(&self.used);
        let permit = self.room.clone().acquire_many_owned(self.units(bytes));
        self.taken(permit.await.expect("the semaphore is never closed"))
    }

    /// Whether somebody waits for room.
    pub fn is_short(&self) -> bool {
        self.used.waiting.load(Relaxed) > 0
    }

    /// Bytes that can be taken in all.
    pub fn limit(&self) -> u64 {
        self.used.limit
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.used.now.load(Relaxed)
    }

    /// The most bytes that were ever taken at a time.
    pub fn most_used(&self) -> u64 {
        self.used.most.load(Relaxed)
    }

    fn units(&self, bytes: u64) -> u32 {
        units(bytes.min(self.used.limit))
    }

    fn taken(&self, permit: OwnedSemaphorePermit) -> Room {
        let bytes = permit.num_permits() as u64 * UNIT;
        let now = self.used.now.fetch_add(bytes, Relaxed) + bytes;
        self.used.most.fetch_max(now, Relaxed);
        Room {
            permit,
            used: Arc::clone(&self.used),
        }
    }
}

impl Room {
    /// Bytes that this stands for: what was asked for, rounded up to KiB.
    pub fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let more =
            self.permit.num_permits() - (units(bytes) as usize).min(self.permit.num_permits());
        if let Some(surplus) = self.permit.split(more) {
            self.used.now.fetch_sub(more as u64 * UNIT, Relaxed);
            drop(surplus);
        }
    }

    /// Adds room of the same share.
    ///
    /// # Panics
    /// When it is of another one.
    pub fn merge(&mut self, mut other: Room) {
        // what is left of `other` stands for nothing, so its end gives nothing back and counts nothing off
        let all = other.permit.num_permits();
        let permit = other.permit.split(all).expect("all that there are");
        self.permit.merge(permit);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.now.fetch_sub(self.bytes(), Relaxed);
    }
}

struct Waiting<'a>(&'a Used);

impl<'a> Waiting<'a> {
    fn new(used: &'a Used) -> Self {
        used.waiting.fetch_add(1, Relaxed);
        Self(used)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).expect("at most MAX_MEMORY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn room_is_counted_until_it_is_given_back() {
        let memory = Memory::new(8 << 20);
        let share = memory.uploads();
        assert_eq!(share.limit(), 1 << 20);
        let mut a = share.try_take(300 << 10).unwrap();
        let b = share.try_take(700 << 10).unwrap();
        assert!(share.try_take(100 << 10).is_none());
        a.shrink_to(200 << 10);
        let c = share.try_take(100 << 10).unwrap();
        assert_eq!(share.used(), 1000 << 10);
        a.merge(c);
        assert_eq!((a.bytes(), share.used()), (300 << 10, 1000 << 10));
        drop((a, b));
        assert_eq!((share.used(), share.most_used()), (0, 1000 << 10));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn more_than_there_is_means_all_of_it() {
        let memory = Memory::new(8 << 20);
        let all = memory.pieces().try_take(1 << 30).unwrap();
        assert_eq!(all.bytes(), 6 << 20);
        assert!(memory.pieces().try_take(1).is_none());
        assert!(memory.incoming().try_take(1).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_much_is_not_passed_by_who_wants_little() {
        let memory = Memory::new(8 << 20);
        let share = memory.pieces();
        let first = share.take(4 << 20).await;
        let large = share.take(5 << 20);
        tokio::pin!(large);
        tokio::select! {
            biased;
            _ = &mut large => panic!("there is no room"),
            () = tokio::task::yield_now() => {}
        }
        assert!(share.is_short());
        assert!(share.try_take(1 << 20).is_none());
        drop(first);
        let room = large.await;
        assert!(!share.is_short());
        assert_eq!(room.bytes(), 5 << 20);
    }

    proptest! {
        #[test]
        fn what_is_used_is_what_is_held(ops in prop::collection::vec((0..4u8, 0..3_000_000u64), 0..60)) {
            let memory = Memory::new(8 << 20);
            let mut held: Vec<Room> = Vec::new();
            for (op, bytes) in ops {
                match op {
                    0 | 1 => held.extend(memory.pieces().try_take(bytes)),
                    2 => drop(held.pop()),
                    _ => if let (Some(last), Some(first)) = (held.pop(), held.first_mut()) {
                        first.merge(last);
                        first.shrink_to(bytes);
                    },
                }
                let sum: u64 = held.iter().map(Room::bytes).sum();
                prop_assert_eq!(memory.pieces().used(), sum);
                prop_assert!(sum <= memory.pieces().limit());
            }
            held.clear();
            let all = memory.pieces().limit();
            prop_assert_eq!(memory.pieces().try_take(all).map(|r| r.bytes()), Some(all));
        }
    }
}
