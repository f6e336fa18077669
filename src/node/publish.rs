//! Publication (paper 3.1): the owner's entries, and those of clients.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use rand::RngExt;

use super::rpc::Asked;
use super::timers::Timer;
use super::{DropReason, Event, Node, Publication};
use crate::coords::Coord;
use crate::directory::cache::Stored;
use crate::id::ObjectId;
use crate::time::Instant;
use crate::wire::{Body, Entry, MAX_ENTRY_BITS, PeerAddrs, RefuseReason, entry_windows};

/// Windows of one large entry that are sent together.
pub(super) const WINDOWS: u32 = 8; // guess: 32,768 chunks a turn

/// How long [`Command::Leave`](super::Command::Leave) waits for the others to hear of it.
const LEAVE_WAIT: Duration = Duration::from_secs(1); // guess

/// How far the own coordinate moves before own entries are renewed.
const MOVED: Duration = Duration::from_millis(10); // guess: what decides between near and far

/// What this node publishes itself.
#[derive(Debug)]
pub(super) struct Own {
    publication: Publication,
    refresh_at: Instant,
    /// The address is not known yet.
    unresolved: bool,
}

impl Node {
    pub(super) fn publish(&mut self, publication: Publication) {
        let object = publication.object;
        if self.own.len() >= self.config.directory.publications && !self.own.contains_key(&object) {
            return self.counters.drop(DropReason::CacheFull);
        }
        let refresh_at = self.now;
        self.own.insert(
            object,
            Own {
                publication,
                refresh_at,
                unresolved: false,
            },
        );
        self.publish_now(object);
        self.arm_republish();
        if self.is_client() {
            let soon = self.now + self.config.roles.home_ping;
            self.timers.set_earlier(Timer::Home, soon);
        }
    }

    pub(super) fn is_publishing(&self) -> bool {
        !self.own.is_empty()
    }

    /// Withdrawals of everything, for an index node that is not used any more.
    pub(super) fn parting_entries(&mut self) -> Vec<Entry> {
        let objects: Vec<ObjectId> = self.own.keys().copied().collect();
        let entry = |object| {
            let addrs = self.resolved(&self.own.get(&object)?.publication.addrs)?;
            self.own_entry(object, addrs, Duration::ZERO)
        };
        objects.into_iter().filter_map(entry).collect()
    }

    /// Sends or stores the entry as it is now.
    fn publish_now(&mut self, object: ObjectId) {
        let d = &self.config.directory;
        let Some(own) = self.own.get(&object) else {
            return;
        };
        let (lifetime, refresh) = match own.publication.complete {
            true => (d.seed_lifetime, d.seed_refresh),
            false => (d.downloader_lifetime, d.downloader_refresh),
        };
        let early = self.rng.random_range(0.8..1.0);
        let addrs = self.resolved(&own.publication.addrs);
        let own = self.own.get_mut(&object).expect("found above");
        own.refresh_at = self.now + refresh.mul_f64(early);
        own.unresolved = addrs.is_none();
        if let Some(addrs) = addrs {
            addrs.iter().for_each(|a| self.watch_own_port(a.port()));
            let entry = self.own_entry(object, addrs, lifetime);
            self.hand_in(entry);
        }
    }

    fn own_entry(
        &mut self,
        object: ObjectId,
        addrs: PeerAddrs,
        lifetime: Duration,
    ) -> Option<Entry> {
        let addrs = self.provable(addrs);
        let since_epoch = self
            .config
            .sequence_base
            .saturating_add(self.now.as_micros());
        self.last_sequence = since_epoch.max(self.last_sequence + 1);
        let tag = self.own.get(&object)?.publication.publisher;
        let publisher = self.publisher(tag);
        let publication = &self.own.get(&object)?.publication;
        let entry = Entry {
            object,
            publisher,
            sequence: self.last_sequence,
            addrs,
            coord: self.vivaldi.coord(),
            chunks: publication.chunks,
            held: publication.held.clone(),
            delta_of: None,
            summary: None,
            load: publication.load,
            reachable: self.own_reachable(&addrs, publication.reachable),
            lifetime,
            proof: None,
        };
        Some(self.signed(entry, tag))
    }

    /// An own entry goes to the own cache, or from a client to its index node.
    fn hand_in(&mut self, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        if self.is_client() {
            return self.send_entry(entry, false);
        }
        let stored = self.cache.store(entry, true, &mut self.rng, self.now);
        self.note_stored(stored);
    }

    /// What a stored entry means for the next propagation, or which drop it counts as.
    pub(super) fn note_stored(&mut self, stored: Stored) {
        let d = &self.config.directory;
        match stored {
            Stored::First => {
                let share = self.rng.random_range(0.1..1.0);
                let hold = d.first_hold.mul_f64(share);
                self.timers.set_earlier(Timer::Propagate, self.now + hold);
            }
            Stored::Changed | Stored::Refreshed => self.hasten(d.active_period),
            Stored::Old => self.counters.drop(DropReason::OldEntry),
            Stored::Malformed => self.counters.drop(DropReason::MalformedEntry),
            Stored::Full => self.counters.drop(DropReason::CacheFull),
        }
    }

    /// Unspecified addresses replaced by the one that others see; `None` while that is unknown.
    fn resolved(&self, addrs: &PeerAddrs) -> Option<PeerAddrs> {
        let seen = self.observed.map(|a| a.ip());
        let v4 = match (addrs.v4, seen) {
            (Some(a), Some(IpAddr::V4(ip))) if a.ip().is_unspecified() => {
                Some(SocketAddrV4::new(ip, a.port()))
            }
            (a, _) => a.filter(|a| !a.ip().is_unspecified()),
        };
        let v6 = match (addrs.v6, seen) {
            (Some(a), Some(IpAddr::V6(ip))) if a.ip().is_unspecified() => {
                Some(SocketAddrV6::new(ip, a.port(), 0, 0))
            }
            (a, _) => a.filter(|a| !a.ip().is_unspecified()),
        };
        let resolved = PeerAddrs { v4, v6 };
        (!resolved.is_empty()).then_some(resolved)
    }

    pub(super) fn republish_unresolved(&mut self) {
        let waiting = self
            .own
            .iter()
            .filter(|(_, own)| own.unresolved)
            .map(|(id, _)| *id);
        for object in waiting.collect::<Vec<_>>() {
            self.publish_now(object);
        }
        self.arm_republish();
    }

    pub(super) fn publish_all(&mut self) {
        self.published_at = self.vivaldi.coord();
        for object in self.own.keys().copied().collect::<Vec<_>>() {
            self.publish_now(object);
        }
        self.arm_republish();
    }

    /// Entries say where the node is: once it is elsewhere (above all soon after its start) they are renewed.
    pub(super) fn republish_if_moved(&mut self) {
        let (here, then) = (self.vivaldi.coord(), &self.published_at);
        let level = Coord {
            height: 0.0,
            ..here
        };
        let moved = level.rtt(&Coord {
            height: 0.0,
            ..*then
        });
        let rise = Duration::from_secs_f64((here.height - then.height).abs());
        if moved + rise > MOVED && !self.own.is_empty() {
            self.publish_all();
        }
    }

    /// Refreshes what is due.
    pub(super) fn republish(&mut self) {
        let now = self.now;
        let due = self
            .own
            .iter()
            .filter(|(_, own)| own.refresh_at <= now)
            .map(|(id, _)| *id);
        for object in due.collect::<Vec<_>>() {
            self.publish_now(object);
        }
        self.arm_republish();
    }

    fn arm_republish(&mut self) {
        match self.own.values().map(|own| own.refresh_at).min() {
            Some(at) => self.timers.set(Timer::Republish, at),
            None => self.timers.clear(Timer::Republish),
        }
    }

    pub(super) fn withdraw(&mut self, object: ObjectId) {
        let Some(own) = self.own.get(&object) else {
            return;
        };
        let addrs = self.resolved(&own.publication.addrs);
        let entry = addrs.and_then(|addrs| self.own_entry(object, addrs, Duration::ZERO));
        self.own.remove(&object);
        self.forget_own_ports(&self.own_ports());
        self.arm_republish();
        self.hand_in(entry);
        if !self.is_client() {
            self.hasten(self.config.directory.first_hold);
        }
    }

    fn own_ports(&self) -> BTreeSet<u16> {
        let addrs = self.own.values().flat_map(|o| o.publication.addrs.iter());
        addrs.map(|a| a.port()).collect()
    }

    pub(super) fn leave(&mut self) {
        for object in self.own.keys().copied().collect::<Vec<_>>() {
            self.withdraw(object);
        }
        self.leaving = true;
        self.timers.set(Timer::Left, self.now + LEAVE_WAIT);
        if !self.is_client() {
            self.propagate();
            self.say_farewell();
        }
        self.settle_leave();
    }

    /// Ends a leave as soon as nobody is left to hear of it.
    pub(super) fn settle_leave(&mut self) {
        if self.leaving && self.pending.handing_over() == 0 {
            self.left();
        }
    }

    pub(super) fn left(&mut self) {
        if std::mem::take(&mut self.leaving) {
            self.timers.clear(Timer::Left);
            self.event(Event::Left);
        }
    }

    // -- the client's side --

    /// Sends an own entry to the nearest index node, in windows if it is large.
    fn send_entry(&mut self, entry: Entry, retried: bool) {
        let Some(home) = self.way_in(&[]) else {
            return;
        };
        let id = home.contact.id;
        if entry.addrs.is_empty() {
            return;
        }
        let object = entry.object;
        for held in self.windows(&entry.held) {
            let entry = Entry {
                held,
                ..entry.clone()
            };
            self.ask(
                &id,
                Asked::Publish { object, retried },
                Body::Publish { entry },
            );
        }
    }

    /// What a client can prove to its index node: the address family of the path to it. Before it is signed.
    fn provable(&self, addrs: PeerAddrs) -> PeerAddrs {
        let Some(home) = self.way_in(&[]).filter(|_| self.is_client()) else {
            return addrs;
        };
        let v4 = home.contact.addr.is_ipv4();
        PeerAddrs {
            v4: addrs.v4.filter(|_| v4),
            v6: addrs.v6.filter(|_| !v4),
        }
    }

    /// The set in parts that a datagram carries: one, or the next few of a large set.
    pub(super) fn windows(
        &mut self,
        held: &crate::chunks::ChunkSet,
    ) -> Vec<crate::chunks::ChunkSet> {
        let first = entry_windows(held, self.window_turn);
        if first.len() == held.len() {
            return vec![first];
        }
        let turns = held.len().div_ceil(MAX_ENTRY_BITS).min(WINDOWS);
        let windows = (0..turns).map(|i| entry_windows(held, self.window_turn.wrapping_add(i)));
        let windows = windows.collect();
        self.window_turn = self.window_turn.wrapping_add(turns);
        windows
    }

    /// The index node did not answer: the next one is told.
    pub(super) fn publish_elsewhere(&mut self, object: ObjectId) {
        self.publish_again(object, false);
    }

    pub(super) fn on_publish_refused(
        &mut self,
        object: ObjectId,
        reason: RefuseReason,
        retried: bool,
    ) {
        if reason == RefuseReason::Token && !retried {
            return self.publish_again(object, true);
        }
        self.event(Event::PublishRefused { object, reason });
        self.settle_leave();
    }

    fn publish_again(&mut self, object: ObjectId, retried: bool) {
        let Some(own) = self.own.get(&object) else {
            return self.settle_leave();
        };
        let lifetime = match own.publication.complete {
            true => self.config.directory.seed_lifetime,
            false => self.config.directory.downloader_lifetime,
        };
        let Some(addrs) = self.resolved(&own.publication.addrs) else {
            return;
        };
        if let Some(entry) = self.own_entry(object, addrs, lifetime) {
            self.send_entry(entry, retried);
        }
    }

    // -- the index node's side --

    /// A client's own entry. It has proven that it receives at the address that it publishes.
    pub(super) fn on_publish(&mut self, from: SocketAddr, tx: u32, entry: Entry) {
        // The port is the peer's own affair: it serves over TCP, not from this socket.
        if entry.addrs.iter().any(|a| a.ip() != from.ip()) {
            self.counters.drop(DropReason::ForeignAddress);
            return self.refuse(from, tx, RefuseReason::ForeignAddress);
        }
        if self.publishes(&entry) {
            self.counters.drop(DropReason::OldEntry);
            return self.refuse(from, tx, RefuseReason::Unsupported);
        }
        let Some(entry) = self.credible(entry) else {
            return self.refuse(from, tx, RefuseReason::Proof);
        };
        // paper 3.1: the coordinate is that of the index node which the peer published through
        let entry = Entry {
            coord: self.vivaldi.coord(),
            ..entry
        };
        let entry = self.dialled_back(from, entry);
        let stored = self.cache.store(entry, false, &mut self.rng, self.now);
        self.note_stored(stored);
        self.send(from, tx, None, Body::Ack);
    }

    /// Whether this is an entry that only this node's owner may change.
    pub(super) fn publishes(&self, entry: &Entry) -> bool {
        self.own.get(&entry.object).is_some_and(|own| {
            self.known_publisher(own.publication.publisher) == Some(entry.publisher)
        })
    }
}
