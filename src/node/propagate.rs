//! Propagation (paper 3.1): one message a period to each parent, with entries of many peers and objects. The root of an
//! object passes its entries to its two ring neighbours in the same way: one of them is the root after it.
//!
//! Entries that were told before go once a quiet period, a datagram at a time, so that a parent that has lost some gets
//! them back before their publishers refresh them.

use std::collections::{BTreeMap, VecDeque};

use super::parcel::Part;
use super::rpc::{Asked, Passed};
use super::timers::Timer;
use super::{DropReason, Node};
use crate::id::{Id, ObjectId};
use crate::wire::{Body, Entry, MAX_DATAGRAM, RefuseReason, pack_entries_within};

type Key = (ObjectId, Id);

/// Entries looked at for one datagram; no datagram holds more.
const BATCH: usize = 32; // guess: an entry takes at least 60 bytes
/// Entries looked at for the ones that a parent has heard before.
const SCANNED: usize = 1024; // guess
/// How much more than in an ordinary moment a node may send that leaves: there is no later for it.
const LAST_WORDS: u64 = 8; // guess: 128 KiB a parent

impl Node {
    /// The next propagation is due within about `period`.
    pub(super) fn hasten(&mut self, period: std::time::Duration) {
        let period = self.jitter(period);
        self.timers.set_earlier(Timer::Propagate, self.now + period);
    }

    /// One period's messages to all parents.
    pub(super) fn propagate(&mut self) {
        self.tidy();
        self.find_all_links();
        let mut news: BTreeMap<Id, Vec<Key>> = self
            .tree_parents
            .iter()
            .map(|parent| (*parent, Vec::new()))
            .collect();
        for key in self.cache.changes().collect::<Vec<_>>() {
            let to = self.spread.waiting(&self.cache, &key);
            if to.is_empty() {
                self.cache.told(&key); // there is nobody
            }
            for to in to {
                news.entry(to).or_default().push(key);
            }
        }
        for (to, news) in news {
            self.propagate_to(to, news);
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

    /// Forgets what belongs to entries that are gone.
    fn tidy(&mut self) {
        self.bases.expire(self.now);
        self.windows.tidy(&self.cache);
        self.spread.tidy(&self.cache);
        self.shares.tidy(&self.cache);
        self.cache.moved_to(self.vivaldi.coord());
    }

    /// Finds where the entries of all objects go after the tables changed, else those of objects with news.
    fn find_all_links(&mut self) {
        let version = self.overlay.version();
        let all = self.tables_seen != version;
        let mut objects: Vec<ObjectId> = match all {
            true => self.cache.objects().collect(),
            false => self.cache.changes().map(|key| key.0).collect(),
        };
        objects.dedup();
        if all {
            self.tree_parents.clear();
            self.tables_seen = version;
        }
        for object in objects {
            self.find_links(&object);
        }
    }

    /// Finds the parent of the object; of the root, the neighbours that hold its entries too.
    pub(super) fn find_links(&mut self, object: &ObjectId) {
        let links = match self.overlay.next_hop(object.key(), &[]) {
            Some(parent) => vec![parent.contact.id],
            None if self.config.directory.replicas => self.ring_neighbours(),
            None => Vec::new(),
        };
        self.tree_parents.extend(links.iter().copied());
        self.spread.set(&mut self.cache, object, &links);
    }

    /// The nearest unsuspected leaf on each side, one or none in a ring that has no more.
    fn ring_neighbours(&self) -> Vec<Id> {
        let alive = |id: &Id| self.overlay.peer(id).is_some_and(|p| p.suspect.is_none());
        let mut leaves: Vec<Id> = self.overlay.leaf_ids().into_iter().filter(alive).collect();
        leaves.sort();
        let above = leaves.partition_point(|id| *id < self.id);
        let after = leaves.get(above).or(leaves.first());
        let before = above
            .checked_sub(1)
            .map_or(leaves.last(), |i| leaves.get(i));
        let mut both: Vec<Id> = before.into_iter().chain(after).copied().collect();
        both.dedup();
        both
    }

    fn propagate_to(&mut self, to: Id, mut news: Vec<Key>) {
        self.leave_to_later(&mut news);
        let d = &self.config.directory;
        let quiet = d.quiet_period / 2;
        let fill =
            self.tree_parents.contains(&to) && self.parents.is_fill_due(&to, quiet, self.now);
        if news.is_empty() && !fill {
            return;
        }
        let token_period = d.token_period;
        let Some(peer) = self.overlay.peer(&to).filter(|p| p.suspect.is_none()) else {
            // A former parent that is gone: what it holds ends with it.
            for key in news {
                self.spread.told(&mut self.cache, &key, &to);
            }
            return;
        };
        let Some(token) = peer.token else {
            return self.ping(&to); // the token comes with the answer
        };
        if self
            .parents
            .is_token_old(&to, token, token_period, self.now)
        {
            self.ping(&to); // a refused token shall mean that the parent has started anew
        }
        // Changed entries first, each in its turn; what was told before fills the last datagram.
        let cursor = self.parents.cursor(&to);
        news.sort_by_key(|key| (*key <= cursor, *key));
        let fillers = match fill {
            true => self.told_before(&to),
            false => Vec::new(),
        };
        if fill && fillers.is_empty() {
            // looked for once a period as well
            let rate = self.config.directory.parent_rate;
            self.parents.nothing_to_fill(&to, rate, self.now);
        }
        let news = news.into_iter().map(|key| (key, true));
        let mut keys = news
            .chain(fillers.into_iter().map(|key| (key, false)))
            .peekable();
        let mut ready: VecDeque<Part> = VecDeque::new();
        loop {
            while ready.len() < BATCH
                && let Some((key, news)) = keys.next()
            {
                self.read_out(&to, key, news, &mut ready);
            }
            let boost = if self.leaving { LAST_WORDS } else { 1 };
            let rate = self.config.directory.parent_rate * boost;
            if ready.is_empty() || self.parents.budget(to, rate, self.now) < MAX_DATAGRAM as u64 {
                break;
            }
            self.send_entries(&to, &mut ready);
            let more = ready.iter().any(|r| r.news) || keys.peek().is_some_and(|(_, news)| *news);
            if !more {
                break;
            }
        }
        // What the budget left of a large entry is news in the next period.
        for rest in ready.into_iter().filter(|r| r.news) {
            let key = rest.passed.key;
            self.spread.untold(&mut self.cache, key, &to);
        }
    }

    /// Entries that this node has heard of, the next in turn first.
    fn told_before(&self, to: &Id) -> Vec<Key> {
        let cursor = self.parents.fill_cursor(to);
        let around = self
            .cache
            .after(cursor)
            .chain(self.cache.after(Key::default()));
        around
            .take(SCANNED)
            .filter(|key| self.spread.goes_to(&key.0, to))
            .filter(|key| !self.cache.is_changed(key) && !self.cache.is_from_above(key))
            .take(BATCH)
            .collect()
    }

    /// The entry as it is sent to this node; nothing if it is about to end.
    fn read_out(&mut self, to: &Id, key: Key, news: bool, ready: &mut VecDeque<Part>) {
        match self.cache.passed_on(&key, self.now) {
            Some(entry) => {
                let fresh = self.windows.of(&key).cloned();
                let parcel = self.parcel(to, &entry, fresh.as_ref());
                let passed = parcel.passed;
                let part = |entry| Part {
                    passed,
                    entry,
                    news,
                };
                ready.extend(parcel.parts.into_iter().map(part));
            }
            None => self.spread.told(&mut self.cache, &key, to),
        }
    }

    /// One datagram with as many entries as fit.
    fn send_entries(&mut self, to: &Id, ready: &mut VecDeque<Part>) {
        let Some(token) = self.overlay.peer(to).and_then(|p| p.token) else {
            return;
        };
        let mut entries: Vec<Entry> = ready.iter().take(BATCH).map(|r| r.entry.clone()).collect();
        let fit = pack_entries_within(self.max_payload(), &self.sender(), Some(token), &entries);
        entries.truncate(fit);
        if fit == 0 {
            self.counters.drop(DropReason::TooLarge);
        }
        let gone: Vec<Part> = ready.drain(..fit.max(1)).collect();
        for part in &gone {
            self.spread.told(&mut self.cache, &part.passed.key, to);
            match part.news {
                true => self.parents.set_cursor(to, part.passed.key),
                false => self.parents.filled(to, part.passed.key, self.now),
            }
        }
        if fit == 0 {
            return;
        }
        // Each window counts: an entry is a base only when all of them have arrived.
        let passed: Vec<Passed> = gone.into_iter().map(|part| part.passed).collect();
        let before = self.bytes_sent();
        let body = Body::Propagate { entries };
        if self
            .ask(to, Asked::Propagate(passed.clone()), body)
            .is_none()
        {
            self.not_passed_on(Some(*to), passed);
        }
        let spent = self.bytes_sent() - before;
        self.parents.spend(to, spent);
    }

    fn bytes_sent(&self) -> u64 {
        self.counters.sent.get("propagate").map_or(0, |t| t.bytes)
    }

    /// The entries were taken, but for those whose base the other does not hold: these are sent in full at once. Whoever
    /// asks for more of what it has got in full has it already.
    pub(super) fn passed_on(&mut self, by: &Id, passed: Vec<Passed>, gaps: &[Key]) {
        if let Some(peer) = self.overlay.peer_mut(by) {
            peer.token_refused = false;
        }
        let mut again = Vec::new();
        for Passed {
            key,
            sequence,
            delta,
        } in passed
        {
            if gaps.contains(&key) {
                self.bases.forget(by, &key);
                if delta {
                    self.spread.untold(&mut self.cache, key, by);
                    again.push(key);
                }
            } else {
                self.bases.acked(by, &key, sequence);
            }
        }
        again.retain(|key| self.cache.is_changed(key));
        if !again.is_empty() {
            self.propagate_to(*by, again);
            self.hasten(self.config.directory.active_period);
        }
        self.settle_leave();
    }

    /// The other is silent: the entries go to whoever is the parent next.
    pub(super) fn not_passed_on(&mut self, to: Option<Id>, passed: Vec<Passed>) {
        self.take_back(to, passed);
        self.hasten(self.config.directory.first_hold);
        self.settle_leave();
    }

    fn take_back(&mut self, to: Option<Id>, passed: Vec<Passed>) {
        let Some(to) = to else { return };
        for Passed { key, sequence, .. } in passed {
            self.bases.lost(&to, &key, sequence);
            self.spread.untold(&mut self.cache, key, &to);
        }
    }

    /// The parent wants a fresh token (which came along): again at once, but only once in a row.
    pub(super) fn on_propagate_refused(
        &mut self,
        by: &Id,
        reason: RefuseReason,
        passed: Vec<Passed>,
    ) {
        self.take_back(Some(*by), passed);
        let again = self
            .overlay
            .peer_mut(by)
            .map(|p| std::mem::replace(&mut p.token_refused, true));
        match again {
            Some(false) if reason == RefuseReason::Token => {
                self.timers.set(Timer::Propagate, self.now);
            }
            _ => self.hasten(self.config.directory.active_period),
        }
    }

    /// This node has forgotten what it was told.
    pub(super) fn tell_everything(&mut self, to: &Id) {
        self.bases.forget_all(to);
        let objects = self.cache.objects().filter(|o| self.spread.goes_to(o, to));
        for object in objects.collect::<Vec<_>>() {
            for publisher in self.cache.publishers(&object).collect::<Vec<_>>() {
                let key = (object, publisher);
                self.spread.untold(&mut self.cache, key, to);
            }
        }
        if self.cache.has_changes() {
            self.propagate_soon();
        }
    }
}
