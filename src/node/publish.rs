//! Publication (paper 3.1): the owner's entries, in the own cache or, from a client, at its index node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use rand::RngExt;

use super::rpc::{Asked, Passed};
use super::timers::Timer;
use super::{DropReason, Event, Node, Publication};
use crate::coords::Coord;
use crate::directory::cache::Stored;
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Body, Entry, PeerAddrs, RefuseReason};

/// How far the own coordinate moves before own entries are renewed.
const MOVED: Duration = Duration::from_millis(10); // guess: what decides between near and far

type Key = (ObjectId, Id);

/// An own entry: its object, and under which tag it is published.
pub(super) type Slot = (ObjectId, Option<Id>);

/// What this node publishes itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) publication: Publication,
    refresh_at: Instant,
    /// The address is not known yet.
    unresolved: bool,
}

/// All of it, and when each is to be refreshed.
#[derive(Debug, Default)]
pub(super) struct Owned {
    map: BTreeMap<Slot, Own>,
    refresh: BTreeSet<(Instant, Slot)>,
}

impl Owned {
    pub(super) fn get(&self, slot: &Slot) -> Option<&Own> {
        self.map.get(slot)
    }

    /// All of an object.
    pub(super) fn of(&self, object: ObjectId) -> impl Iterator<Item = &Own> {
        let all = (object, None)..=(object, Some(Id([u8::MAX; Id::LEN])));
        self.map.range(all).map(|(_, own)| own)
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        self.map.keys().copied().collect()
    }

    fn insert(&mut self, slot: Slot, own: Own) {
        self.remove(&slot);
        self.refresh.insert((own.refresh_at, slot));
        self.map.insert(slot, own);
    }

    pub(super) fn remove(&mut self, slot: &Slot) {
        if let Some(own) = self.map.remove(slot) {
            self.refresh.remove(&(own.refresh_at, *slot));
        }
    }

    /// It is to be refreshed then; its address is (not) known.
    fn published(&mut self, slot: Slot, refresh_at: Instant, unresolved: bool) {
        if let Some(own) = self.map.get_mut(&slot) {
            self.refresh.remove(&(own.refresh_at, slot));
            self.refresh.insert((refresh_at, slot));
            own.refresh_at = refresh_at;
            own.unresolved = unresolved;
        }
    }

    fn next_refresh(&self) -> Option<Instant> {
        self.refresh.first().map(|(at, _)| *at)
    }
}

impl Node {
    pub(super) fn publish(&mut self, publication: Publication) {
        let slot = (publication.object, publication.publisher);
        let room = self.own.len() < self.config.directory.publications;
        if !room && self.own.get(&slot).is_none() {
            return self.counters.drop(DropReason::CacheFull);
        }
        let refresh_at = self.now;
        self.own.insert(
            slot,
            Own {
                publication,
                refresh_at,
                unresolved: false,
            },
        );
        self.publish_now(slot);
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
        let slots = self.own.slots();
        let entry = |slot| {
            let addrs = self.resolved(&self.own.get(&slot)?.publication.addrs)?;
            self.own_entry(slot, addrs, Duration::ZERO)
        };
        slots.into_iter().filter_map(entry).collect()
    }

    /// Sends or stores the entry as it is now.
    fn publish_now(&mut self, slot: Slot) {
        let d = &self.config.directory;
        let Some(own) = self.own.get(&slot) else {
            return;
        };
        let (lifetime, refresh) = match own.publication.complete {
            true => (d.seed_lifetime, d.seed_refresh),
            false => (d.downloader_lifetime, d.downloader_refresh),
        };
        let early = self.rng.random_range(0.8..1.0);
        let addrs = self.resolved(&own.publication.addrs);
        let refresh_at = self.now + refresh.mul_f64(early);
        self.own.published(slot, refresh_at, addrs.is_none());
        if let Some(addrs) = addrs {
            addrs.iter().for_each(|a| self.watch_own_port(a.port()));
            let entry = self.own_entry(slot, addrs, lifetime);
            self.hand_in(slot, entry);
        }
    }

    pub(super) fn own_entry(
        &mut self,
        slot: Slot,
        addrs: PeerAddrs,
        lifetime: Duration,
    ) -> Option<Entry> {
        let (object, tag) = slot;
        let addrs = self.provable(addrs);
        let since_epoch = self
            .config
            .sequence_base
            .saturating_add(self.now.as_micros());
        self.last_sequence = since_epoch.max(self.last_sequence + 1);
        let publisher = self.publisher(tag);
        let publication = &self.own.get(&slot)?.publication;
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
    pub(super) fn hand_in(&mut self, slot: Slot, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        if self.is_client() {
            return self.send_entry(slot, entry, false);
        }
        let complete = entry.chunks > 0 && entry.held.is_full();
        let stored = self.take_in(entry, true, None);
        let stored = stored.expect("an own entry is neither a delta nor forged");
        self.note_stored(stored);
        if complete && stored == Stored::Changed {
            self.propagate_soon();
        }
    }

    /// Unspecified addresses replaced by the one that others see; `None` while that is unknown.
    pub(super) fn resolved(&self, addrs: &PeerAddrs) -> Option<PeerAddrs> {
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
            .map
            .iter()
            .filter(|(_, own)| own.unresolved)
            .map(|(id, _)| *id);
        for slot in waiting.collect::<Vec<_>>() {
            self.publish_now(slot);
        }
        self.arm_republish();
    }

    pub(super) fn publish_all(&mut self) {
        self.published_at = self.vivaldi.coord();
        for slot in self.own.slots() {
            self.publish_now(slot);
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
            .refresh
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, slot)| *slot);
        for slot in due.collect::<BTreeSet<_>>() {
            self.publish_now(slot);
        }
        self.arm_republish();
    }

    pub(super) fn arm_republish(&mut self) {
        match self.own.next_refresh() {
            Some(at) => self.timers.set(Timer::Republish, at),
            None => self.timers.clear(Timer::Republish),
        }
    }

    pub(super) fn own_ports(&self) -> BTreeSet<u16> {
        let addrs = self
            .own
            .map
            .values()
            .flat_map(|o| o.publication.addrs.iter());
        addrs.map(|a| a.port()).collect()
    }

    // -- the client's side --

    /// Sends an own entry to the nearest index node: what differs from the one that it holds if that is shorter, else
    /// everything, in windows if it is large.
    fn send_entry(&mut self, slot: Slot, entry: Entry, retried: bool) {
        let Some(home) = self.way_in(&[]) else {
            return;
        };
        let id = home.contact.id;
        if entry.addrs.is_empty() {
            return;
        }
        self.note_home(entry.object, id);
        let parcel = self.parcel(&id, &entry, None);
        let passed = parcel.passed;
        for entry in parcel.parts {
            let asked = Asked::Publish {
                slot,
                retried,
                passed,
            };
            self.ask(&id, asked, Body::Publish { entry });
        }
    }

    /// What a client can prove to its index node: the address family of the path to it. Before it is signed.
    fn provable(&self, addrs: PeerAddrs) -> PeerAddrs {
        match self.is_client().then(|| self.way_in(&[])).flatten() {
            Some(home) => addrs.of_family(home.contact.addr.is_ipv4()),
            None => addrs,
        }
    }

    /// The index node has taken an own entry, or asks for all of it.
    pub(super) fn published(&mut self, by: &Id, slot: Slot, passed: Passed, gaps: &[Key]) {
        if gaps.contains(&passed.key) {
            self.bases.forget(by, &passed.key);
            if passed.delta {
                return self.publish_elsewhere(slot);
            }
        } else {
            self.bases.acked(by, &passed.key, passed.sequence);
        }
        self.settle_leave();
    }

    /// The index node did not answer: the next one is told.
    pub(super) fn publish_elsewhere(&mut self, slot: Slot) {
        self.publish_again(slot, false);
    }

    pub(super) fn on_publish_refused(&mut self, slot: Slot, reason: RefuseReason, retried: bool) {
        if reason == RefuseReason::Token && !retried {
            return self.publish_again(slot, true);
        }
        let (object, _) = slot;
        self.event(Event::PublishRefused { object, reason });
        self.settle_leave();
    }

    fn publish_again(&mut self, slot: Slot, retried: bool) {
        let Some(own) = self.own.get(&slot) else {
            return self.settle_leave();
        };
        let lifetime = match own.publication.complete {
            true => self.config.directory.seed_lifetime,
            false => self.config.directory.downloader_lifetime,
        };
        let Some(addrs) = self.resolved(&own.publication.addrs) else {
            return;
        };
        if let Some(entry) = self.own_entry(slot, addrs, lifetime) {
            self.send_entry(slot, entry, retried);
        }
    }
}
