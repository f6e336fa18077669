//! Entries that arrive, from peers and from other index nodes: deltas are applied, windows joined, the rest stored.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::timers::Timer;
use super::{DropReason, Node};
use crate::chunks::ChunkSet;
use crate::directory::cache::{Cache, Stored};
use crate::directory::fresh::Fresh;
use crate::id::{Id, ObjectId};
use crate::wire::{Body, Entry, MAX_GAPS, RefuseReason, symmetric_difference};

type Key = (ObjectId, Id);

/// What of large entries belongs to their newest sequence. Entries that are not in here do in whole.
#[derive(Debug, Default)]
pub(super) struct Windows {
    fresh: BTreeMap<Key, Fresh>,
}

/// Why an entry was not looked at further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A delta against an entry that is not held.
    Gap,
    /// It is not what its publisher has signed, or beyond its share; counted already.
    Incredible,
}

impl Windows {
    /// The parts of the entry that may be passed on under its sequence; `None`: all of it.
    pub(super) fn of(&self, key: &Key) -> Option<&Fresh> {
        self.fresh.get(key)
    }

    /// The entry with the chunks themselves instead of what differs: what its publisher has signed. It is not older than
    /// what is held.
    fn undelta(&self, cache: &Cache, entry: Entry) -> Result<Entry, Refused> {
        let key = (entry.object, entry.publisher);
        let Some(held) = cache.held(&key) else {
            return match entry.delta_of {
                Some(_) => Err(Refused::Gap),
                None => Ok(entry),
            };
        };
        let withdrawn = held.lifetime.is_zero();
        let exact = !withdrawn && !self.fresh.contains_key(&key);
        let repeated = held.sequence == entry.sequence && held.chunks == entry.chunks;
        if exact && repeated && !entry.lifetime.is_zero() {
            // One sequence says one thing: only the lifetime can be news.
            let held = held.held;
            return Ok(Entry {
                held,
                delta_of: None,
                ..entry
            });
        }
        match entry.delta_of {
            None => Ok(entry),
            Some(base) if exact && base == held.sequence && same_window(&held, &entry) => {
                Ok(Entry {
                    held: symmetric_difference(&held.held, &entry.held),
                    delta_of: None,
                    ..entry
                })
            }
            Some(_) => Err(Refused::Gap),
        }
    }

    /// Notes what was stored: `window` is what the entry said, `before` the sequence that was held. Whether the last missing
    /// window has come.
    fn note(
        &mut self,
        key: Key,
        sequence: u64,
        before: Option<u64>,
        chunks: u32,
        window: (u32, u32),
    ) -> bool {
        let (start, end) = window;
        if (start, end) == (0, chunks) {
            self.fresh.remove(&key);
        } else if before != Some(sequence) {
            let mut fresh = Fresh::default();
            fresh.add(start, end);
            self.fresh.insert(key, fresh);
        } else if let Some(fresh) = self.fresh.get_mut(&key) {
            fresh.add(start, end);
            if fresh.is_whole(chunks) {
                return self.fresh.remove(&key).is_some();
            }
        }
        false
    }

    /// Forgets what the cache has forgotten.
    pub(super) fn tidy(&mut self, cache: &Cache) {
        self.fresh.retain(|key, _| cache.sequence(key).is_some());
    }
}

/// Deltas cover the whole object.
fn same_window(held: &Entry, entry: &Entry) -> bool {
    let window = |set: &ChunkSet| (set.start(), set.len());
    held.chunks == entry.chunks && window(&held.held) == window(&entry.held)
}

impl Node {
    /// Takes an entry that is this node's own or came from `from`.
    pub(super) fn take_in(
        &mut self,
        entry: Entry,
        own: bool,
        from: Option<&Id>,
    ) -> Result<Stored, Refused> {
        let key = (entry.object, entry.publisher);
        let (sequence, chunks) = (entry.sequence, entry.chunks);
        let before = self.cache.sequence(&key);
        if before.is_some_and(|(known, _)| known > sequence) {
            return Ok(Stored::Old);
        }
        let mut entry = self.windows.undelta(&self.cache, entry)?;
        if !own {
            entry = self.credible(entry).ok_or(Refused::Incredible)?;
        }
        if let Some(child) = from
            && !self.has_share(&entry, child)
        {
            self.counters.drop(DropReason::SubnetFull);
            return Err(Refused::Incredible);
        }
        let window = (entry.held.start(), entry.held.end());
        let withdrawn = entry.lifetime.is_zero();
        let stored = self.cache.store(entry, own, &mut self.rng, self.now);
        match stored {
            Stored::Old | Stored::Malformed | Stored::Full => {
                // The same withdrawal from above is no news for above.
                if let (Some(from), true) = (from, before == Some((sequence, true)) && withdrawn) {
                    self.spread.told(&mut self.cache, &key, from);
                }
                return Ok(stored);
            }
            Stored::First | Stored::Changed | Stored::Refreshed | Stored::Withdrawn => {}
        }
        let before = before.filter(|(_, withdrawn)| !withdrawn).map(|(s, _)| s);
        if withdrawn {
            self.windows.note(key, sequence, None, chunks, (0, chunks));
        } else {
            if self.windows.note(key, sequence, before, chunks, window) {
                self.cache.complete(&key);
            }
        }
        if stored != Stored::Refreshed || before != Some(sequence) {
            self.spread.changed(&key);
        }
        if let Some(from) = from {
            self.came_from(key, from);
        }
        Ok(stored)
    }

    /// Whoever has sent an entry knows it.
    fn came_from(&mut self, key: Key, from: &Id) {
        if !self.spread.is_found(&key.0) {
            self.find_links(&key.0);
        }
        if self.windows.of(&key).is_none() {
            self.spread.told(&mut self.cache, &key, from);
            if self.spread.goes_to(&key.0, from) {
                self.cache.came_from_above(&key);
            }
        }
    }

    /// What a stored entry means for the next propagation, or which drop it counts as.
    pub(super) fn note_stored(&mut self, stored: Stored) {
        let d = &self.config.directory;
        match stored {
            Stored::First => self.propagate_soon(),
            Stored::Withdrawn => self.propagate_soon(),
            Stored::Changed | Stored::Refreshed if self.cache.has_changes() => {
                self.hasten(d.active_period);
            }
            Stored::Changed | Stored::Refreshed => {}
            Stored::Old => self.counters.drop(DropReason::OldEntry),
            Stored::Malformed => self.counters.drop(DropReason::MalformedEntry),
            Stored::Full => self.counters.drop(DropReason::CacheFull),
        }
    }

    /// What cannot wait is held for a moment only, so that what belongs together goes together.
    pub(super) fn propagate_soon(&mut self) {
        let share = rand::RngExt::random_range(&mut self.rng, 0.1..1.0);
        let hold = self.config.directory.first_hold.mul_f64(share);
        self.timers.set_earlier(Timer::Propagate, self.now + hold);
    }

    /// A client's own entry. It has proven that it receives at the address that it publishes.
    pub(super) fn on_publish(&mut self, from: SocketAddr, tx: u32, mut entry: Entry) {
        if !self.keep_proven(from, &mut entry) {
            self.counters.drop(DropReason::ForeignAddress);
            return self.refuse(from, tx, RefuseReason::ForeignAddress);
        }
        if self.publishes(&entry) {
            self.counters.drop(DropReason::OldEntry);
            return self.refuse(from, tx, RefuseReason::Unsupported);
        }
        let key = (entry.object, entry.publisher);
        // paper 3.1: the coordinate is that of the index node which the peer published through
        let entry = Entry {
            coord: self.vivaldi.coord(),
            ..entry
        };
        let entry = self.dialled_back(from, entry);
        let body = match self.take_in(entry, false, None) {
            Ok(stored) => {
                if self.has_limits() {
                    self.shares.note(key, None);
                }
                self.note_stored(stored);
                Body::Ack
            }
            Err(Refused::Incredible) => return self.refuse(from, tx, RefuseReason::Proof),
            Err(Refused::Gap) => {
                self.counters.drop(DropReason::Gap);
                Body::SendFull { keys: vec![key] }
            }
        };
        self.send(from, tx, None, body);
    }

    /// Keeps the addresses at which the sender has proven to receive. `false` if it names another one than its own, or none
    /// is left. The port is the peer's own affair: it serves over TCP, not from this socket.
    fn keep_proven(&self, from: SocketAddr, entry: &mut Entry) -> bool {
        let foreign = |a: SocketAddr| a.is_ipv4() == from.is_ipv4() && a.ip() != from.ip();
        if entry.addrs.iter().any(foreign) {
            return false;
        }
        let proven = |a: SocketAddr| a.ip() == from.ip();
        entry.addrs.v4 = entry.addrs.v4.filter(|a| proven((*a).into()));
        entry.addrs.v6 = entry.addrs.v6.filter(|a| proven((*a).into()));
        !entry.addrs.is_empty()
    }

    /// Entries from a node whose parent this one is, or whose replica.
    pub(super) fn on_propagate(
        &mut self,
        from: SocketAddr,
        tx: u32,
        sender: &Id,
        entries: Vec<Entry>,
    ) {
        let mut gaps = Vec::new();
        for entry in entries {
            if self.publishes(&entry) {
                self.counters.drop(DropReason::OldEntry);
                continue;
            }
            let key = (entry.object, entry.publisher);
            match self.take_in(entry, false, Some(sender)) {
                Ok(stored) => {
                    if self.has_limits() && self.cache.sequence(&key).is_some() {
                        self.shares.note(key, Some(sender));
                    }
                    self.note_stored(stored);
                }
                Err(Refused::Incredible) => {} // counted
                Err(Refused::Gap) => {
                    self.counters.drop(DropReason::Gap);
                    gaps.push(key);
                }
            }
        }
        gaps.truncate(MAX_GAPS);
        let body = match gaps.is_empty() {
            true => Body::Ack,
            false => Body::SendFull { keys: gaps },
        };
        self.send(from, tx, None, body);
    }

    /// Whether strangers fill the lists.
    fn has_limits(&self) -> bool {
        self.config.directory.subnet_limits && self.is_open()
    }

    /// Whether there is a place for an entry of this child.
    pub(super) fn has_share(&mut self, entry: &Entry, child: &Id) -> bool {
        let list = self.config.directory.entries_per_object;
        !self.has_limits()
            || self
                .shares
                .admit(&mut self.cache, entry, child, list, &mut self.rng)
    }

    /// Whether this is an entry that only this node's owner may change.
    pub(super) fn publishes(&self, entry: &Entry) -> bool {
        let mut own = self.own.of(entry.object);
        own.any(|own| self.known_publisher(own.publication.publisher) == Some(entry.publisher))
    }
}
