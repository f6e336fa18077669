//! Propagation towards the roots (paper 3.1): one message a period to each parent, with entries of many peers and
//! objects.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::rpc::Asked;
use super::timers::Timer;
use super::{DropReason, Node};
use crate::id::{Id, ObjectId};
use crate::wire::{Body, Entry, MAX_DATAGRAM, pack_entries_within};

type Key = (ObjectId, Id);

/// Entries looked at for one datagram; no datagram holds more.
const BATCH: usize = 32; // guess: an entry takes at least 60 bytes
/// Entries looked at for the ones that a parent has heard before.
const SCANNED: usize = 1024; // guess

/// An entry (or a window of a large one) on its way out.
struct Ready {
    key: Key,
    entry: Entry,
    /// The parent has not heard of it.
    news: bool,
}

impl Node {
    /// The next propagation is due within about `period`.
    pub(super) fn hasten(&mut self, period: Duration) {
        let period = self.jitter(period);
        self.timers.set_earlier(Timer::Propagate, self.now + period);
    }

    /// One period's messages to all parents.
    pub(super) fn propagate(&mut self) {
        self.find_parents();
        let mut news: BTreeMap<Id, Vec<Key>> = self
            .tree_parents
            .iter()
            .map(|parent| (*parent, Vec::new()))
            .collect();
        for key in self.cache.changes().collect::<Vec<_>>() {
            match self.cache.parent(&key.0) {
                Some(parent) => news.entry(parent).or_default().push(key),
                None => self.cache.told(&key), // the root forwards nothing
            }
        }
        for (parent, news) in news {
            self.propagate_to(parent, news);
        }
        let d = &self.config.directory;
        let period = if self.cache.has_changes() {
            d.active_period
        } else {
            d.quiet_period
        };
        if !self.cache.is_empty() {
            self.hasten(period);
        }
    }

    /// Finds the parents of all objects after the tables changed, else of those with news.
    fn find_parents(&mut self) {
        let version = self.overlay.version();
        let all = self.tables_seen != version;
        let objects: Vec<ObjectId> = match all {
            true => self.cache.objects().collect(),
            false => self.cache.changes().map(|key| key.0).collect(),
        };
        if all {
            self.tree_parents.clear();
            self.tables_seen = version;
        }
        for object in objects {
            let hop = self.overlay.next_hop(object.key(), &[]);
            let parent = hop.map(|p| p.contact.id);
            self.cache.set_parent(&object, parent);
            self.tree_parents.extend(parent);
        }
    }

    fn propagate_to(&mut self, parent: Id, mut news: Vec<Key>) {
        self.leave_to_later(&mut news);
        let quiet = self.config.directory.quiet_period / 2;
        if news.is_empty() && !self.parents.silent_for(&parent, quiet, self.now) {
            return;
        }
        if self.overlay.peer(&parent).is_none_or(|p| p.token.is_none()) {
            return self.ping(&parent); // the token comes with the answer
        }
        // Changed entries first, each in its turn; what was told before fills the last datagram.
        let cursor = self.parents.cursor(&parent);
        news.sort_by_key(|key| (*key <= cursor, *key));
        let fillers = self.told_before(&parent, cursor);
        let news = news.into_iter().map(|key| (key, true));
        let mut keys = news
            .chain(fillers.into_iter().map(|key| (key, false)))
            .peekable();
        let mut ready: VecDeque<Ready> = VecDeque::new();
        loop {
            while ready.len() < BATCH
                && let Some((key, news)) = keys.next()
            {
                self.read_out(key, news, &mut ready);
            }
            let rate = self.config.directory.parent_rate;
            if ready.is_empty() || self.parents.budget(parent, rate, self.now) < MAX_DATAGRAM as u64
            {
                break;
            }
            self.send_entries(&parent, &mut ready);
            let more = ready.iter().any(|r| r.news) || keys.peek().is_some_and(|(_, news)| *news);
            if !more {
                break;
            }
        }
        // What the budget left of a large entry is news in the next period.
        for rest in ready.into_iter().filter(|r| r.news) {
            self.cache.untold(rest.key);
        }
    }

    /// Entries that this parent has heard of, the next in turn first.
    fn told_before(&self, parent: &Id, cursor: Key) -> Vec<Key> {
        let around = self
            .cache
            .after(cursor)
            .chain(self.cache.after(Key::default()));
        around
            .take(SCANNED)
            .filter(|key| self.cache.parent(&key.0) == Some(*parent))
            .filter(|key| !self.cache.is_changed(key))
            .take(BATCH)
            .collect()
    }

    /// The entry as it is sent, in windows if it is large; nothing if it is about to end.
    fn read_out(&mut self, key: Key, news: bool, ready: &mut VecDeque<Ready>) {
        match self.cache.passed_on(&key, self.now) {
            Some(entry) => {
                let windows = self.windows(&entry.held);
                let parts = windows.into_iter().map(|held| Entry {
                    held,
                    ..entry.clone()
                });
                ready.extend(parts.map(|entry| Ready { key, entry, news }));
            }
            None => self.cache.told(&key),
        }
    }

    /// One datagram with as many entries as fit.
    fn send_entries(&mut self, parent: &Id, ready: &mut VecDeque<Ready>) {
        let Some(token) = self.overlay.peer(parent).and_then(|p| p.token) else {
            return;
        };
        let mut entries: Vec<Entry> = ready.iter().take(BATCH).map(|r| r.entry.clone()).collect();
        let fit = pack_entries_within(self.max_payload(), &self.sender(), Some(token), &entries);
        entries.truncate(fit);
        if fit == 0 {
            self.counters.drop(DropReason::TooLarge);
        }
        let mut keys: Vec<Key> = ready.drain(..fit.max(1)).map(|r| r.key).collect();
        keys.dedup();
        for key in &keys {
            self.cache.told(key);
        }
        if let Some(last) = keys.last() {
            self.parents.set_cursor(parent, *last);
        }
        if fit > 0 {
            let before = self.bytes_sent();
            let body = Body::Propagate { entries };
            if self
                .ask(parent, Asked::Propagate(keys.clone()), body)
                .is_none()
            {
                self.not_passed_on(keys);
            }
            let spent = self.bytes_sent() - before;
            self.parents.spend(parent, spent, self.now);
        }
    }

    fn bytes_sent(&self) -> u64 {
        self.counters.sent.get("propagate").map_or(0, |t| t.bytes)
    }

    /// The parent has taken the entries.
    pub(super) fn passed_on(&mut self, by: &Id) {
        if let Some(peer) = self.overlay.peer_mut(by) {
            peer.token_refused = false;
        }
        self.settle_leave();
    }

    /// The parent is silent: the entries go to whoever is the parent next.
    pub(super) fn not_passed_on(&mut self, keys: Vec<Key>) {
        for key in keys {
            self.cache.untold(key);
        }
        self.hasten(self.config.directory.first_hold);
        self.settle_leave();
    }

    /// The parent wants a fresh token (which came along): again at once, but only once in a row.
    pub(super) fn on_propagate_refused(&mut self, by: &Id, keys: Vec<Key>) {
        for key in keys {
            self.cache.untold(key);
        }
        let again = self
            .overlay
            .peer_mut(by)
            .map(|p| std::mem::replace(&mut p.token_refused, true));
        match again {
            Some(false) => self.timers.set(Timer::Propagate, self.now),
            _ => self.hasten(self.config.directory.active_period),
        }
    }

    /// Entries from a node whose parent this one is.
    pub(super) fn on_propagate(&mut self, from: SocketAddr, tx: u32, entries: Vec<Entry>) {
        for entry in entries {
            if self.publishes(&entry) {
                self.counters.drop(DropReason::OldEntry);
                continue;
            }
            let Some(entry) = self.credible(entry) else {
                continue;
            };
            let stored = self.cache.store(entry, false, &mut self.rng, self.now);
            self.note_stored(stored);
        }
        self.send(from, tx, None, Body::Ack);
    }
}
