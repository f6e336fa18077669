//! A client's index node (paper 3.1: "a nearby index node"; directory: found by pinging candidates, nearest first by
//! coordinate).
//!
//! The client asks the nearest index node that it knows for two rows of its table. Of each slot these name the contact
//! that is predicted nearest to the asker, so that the answer of a near node names nearer ones. The few that are predicted
//! nearest are pinged, and one at random, so that no neighbourhood is all that it knows; if one of them is nearer, it is
//! asked in turn. Only measured distances decide.
//!
//! The nearest becomes the index node, two or three more are kept warm. It is left only for one that is clearly nearer,
//! or when it owes an answer: then the next one is told everything at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;

use super::probe::usable;
use super::rpc::Asked;
use super::timers::Timer;
use super::{DropReason, Node};
use crate::id::Id;
use crate::overlay::{Peer, predicted_timeout};
use crate::time::Instant;
use crate::wire::{Body, Contact};

/// Rows asked of a node: the second one holds those that share its first digit.
const ROWS: u8 = 2; // measured: with one, a sixteenth of all nodes is never named
/// Nodes asked one after the other in one search.
const STEPS: u8 = 8; // guess: a search that halves the distance each time ends sooner
/// A client that publishes nothing looks after its index node so many times as seldom.
const IDLE: u32 = 6; // guess: a lookup finds out by itself
/// Candidates of one answer that are pinged whatever their coordinates say.
const RANDOM: usize = 2; // measured: with one, a client of a lonely site takes ten minutes longer to see its neighbour
/// What was measured of nodes that are not kept holds for so long.
const MEASURED: Duration = Duration::from_secs(1_800); // guess: 15 searches
/// Such nodes remembered.
const MAX_MEASURED: usize = 512; // guess: three searches a step
/// IPv4 candidates in a row that are silent to a host that has only ever been answered over IPv6.
const NO_IPV4: u8 = 8; // guess: two rounds

/// What a client knows of its way into the ring.
#[derive(Debug, Default)]
pub(super) struct Attach {
    home: Option<Id>,
    /// A search is under way.
    exploring: bool,
    steps: u8,
    /// Asked for rows in this search.
    asked: BTreeSet<Id>,
    waiting: BTreeSet<u32>,
    /// Distances of nodes that are not kept: they are not measured again soon.
    measured: BTreeMap<Id, (Duration, Instant)>,
    /// See [`NO_IPV4`].
    silent_v4: u8,
}

impl Node {
    /// The index node that a client uses.
    pub fn home(&self) -> Option<Contact> {
        let id = self.attach.home.filter(|_| self.is_client())?;
        self.overlay.peer(&id).map(|p| p.contact)
    }

    /// The way into the ring: the client's index node, else the nearest one that was not `tried`.
    pub(super) fn way_in(&self, tried: &[Id]) -> Option<&Peer> {
        let home = self.attach.home.filter(|id| !tried.contains(id));
        let home = home.and_then(|id| self.overlay.peer(&id));
        home.filter(|p| p.suspect.is_none())
            .or_else(|| self.overlay.nearest(tried))
    }

    /// No longer a client.
    pub(super) fn detach(&mut self) {
        self.attach = Attach::default();
        self.timers.clear(Timer::Attach);
        self.timers.clear(Timer::Home);
    }

    /// An index node has answered a client.
    pub(super) fn client_met(&mut self) {
        if self.attach.home.is_none() {
            self.settle_home();
        }
    }

    // -- the search --

    /// Looks for a near index node for the first time.
    pub(super) fn begin_exploring(&mut self) {
        if self.is_client() && !self.timers.is_set(Timer::Attach) {
            self.explore();
        }
    }

    /// Looks for a nearer index node, and again after a period.
    pub(super) fn explore(&mut self) {
        if !self.is_client() || self.leaving {
            return;
        }
        let period = self.jitter(self.config.roles.attach_period);
        self.timers.set(Timer::Attach, self.now + period);
        self.attach.exploring = true;
        self.attach.steps = STEPS;
        self.attach.asked.clear();
        self.attach.waiting.clear();
        self.next_step();
    }

    /// Asks the nearest node, and the nearest again as long as that is another one; at last any of the others, which may
    /// know of what coordinates hide: with few samples they are right only up to a mirror image.
    fn next_step(&mut self) {
        let steps = self.attach.steps;
        let fresh = |id: &Id| steps > 0 && !self.attach.asked.contains(id);
        let nearest = self.overlay.nearest(&[]).map(|p| p.contact.id);
        let mut next = nearest.filter(fresh);
        if next.is_none() && steps > 0 {
            let others = self.overlay.peers().filter(|p| p.suspect.is_none());
            let others: Vec<Id> = others.map(|p| p.contact.id).filter(fresh).collect();
            self.attach.steps = 1;
            next = (!others.is_empty()).then(|| others[self.rng.random_range(0..others.len())]);
        }
        let Some(id) = next else {
            self.attach.exploring = false;
            return self.settle_home();
        };
        self.attach.steps -= 1;
        self.attach.asked.insert(id);
        for row in 0..ROWS {
            let tx = self.ask(
                &id,
                Asked::Row,
                Body::Row {
                    row,
                    names: Vec::new(),
                },
            );
            self.attach.waiting.extend(tx);
        }
        self.step_on();
    }

    /// A request has ended, with or without an answer.
    pub(super) fn attach_step_done(&mut self, tx: u32) {
        if self.attach.waiting.remove(&tx) {
            self.step_on();
        }
    }

    fn step_on(&mut self) {
        if self.attach.exploring && self.attach.waiting.is_empty() {
            self.next_step();
        }
    }

    /// A client has been told of index nodes: the most promising are pinged.
    pub(super) fn on_candidates(&mut self, contacts: Vec<Contact>) {
        let here = self.vivaldi.coord();
        let v4 = self.attach.silent_v4 < NO_IPV4;
        let mut news: Vec<Contact> = contacts
            .into_iter()
            .filter(|c| usable(c.addr) && c.id != self.id && (v4 || c.addr.is_ipv6()))
            .filter(|c| self.overlay.peer(&c.id).is_none())
            .filter(|c| self.overlay.id_at(c.addr).is_none() && !self.probe_has_failed(c.addr))
            .collect();
        news.sort_by_key(|c| (here.rtt(&c.coord), c.id));
        // Who does not know where it is, has to measure a few before coordinates say anything.
        let ranked = match here.error >= 1.0 {
            true => 0,
            false => self.config.roles.drawn,
        };
        let (mut chosen, mut rest) = (Vec::new(), Vec::new());
        for c in news {
            match chosen.len() < ranked && !self.is_known_as_far(&c.id) {
                true => chosen.push(c),
                false => rest.push(c),
            }
        }
        // Some at random, those that are known to be far too: without them all samples are of one neighbourhood.
        let random = RANDOM.max(self.config.roles.drawn - ranked.min(self.config.roles.drawn));
        for i in 0..rest.len().min(random) {
            let j = self.rng.random_range(i..rest.len());
            rest.swap(i, j);
        }
        rest.truncate(random);
        chosen.append(&mut rest);
        for c in chosen {
            let pinging = |a: &Asked| matches!(a, Asked::Probe);
            if self.pending.is_asking(c.addr, pinging) {
                continue;
            }
            let timeout = predicted_timeout(&here, &c.coord);
            let tx = self.request(c.addr, None, Asked::Probe, None, Body::Ping, timeout);
            self.attach.waiting.extend(tx);
        }
    }

    fn is_known_as_far(&self, id: &Id) -> bool {
        let measured = self.attach.measured.get(id);
        let home = self.attach.home.and_then(|id| self.overlay.peer(&id));
        let home = home.map_or(Duration::MAX, Peer::measured);
        measured.is_some_and(|(rtt, at)| {
            self.now - *at < MEASURED && !self.is_clearly_nearer(*rtt, home)
        })
    }

    fn note_distance(&mut self, id: Id, rtt: Duration) {
        let (now, measured) = (self.now, &mut self.attach.measured);
        if measured.len() >= MAX_MEASURED {
            measured.retain(|_, (_, at)| now - *at < MEASURED);
            while measured.len() >= MAX_MEASURED {
                measured.pop_first();
            }
        }
        measured.insert(id, (rtt, now));
    }

    /// A candidate was silent, or not.
    pub(super) fn candidate_answered(&mut self, v4: bool, answered: bool) {
        match (v4, answered) {
            (true, true) => self.attach.silent_v4 = 0,
            (true, false) if self.observed.is_some_and(|a| a.is_ipv6()) => {
                self.attach.silent_v4 = self.attach.silent_v4.saturating_add(1);
            }
            _ => {}
        }
    }

    // -- the choice --

    /// Chooses the index node among those that answer, and forgets those that are of no use.
    pub(super) fn settle_home(&mut self) {
        if !self.is_client() {
            return;
        }
        let alive = |id: Id| self.overlay.peer(&id).filter(|p| p.suspect.is_none());
        let old = self
            .attach
            .home
            .and_then(alive)
            .map(|p| (p.measured(), p.contact.id));
        let best = self
            .overlay
            .nearest(&[])
            .map(|p| (p.measured(), p.contact.id));
        let home = match (old, best) {
            (Some(old), Some(best)) if self.is_clearly_nearer(best.0, old.0) => Some(best.1),
            (Some(old), _) => Some(old.1),
            (None, best) => best.map(|b| b.1),
        };
        let before = std::mem::replace(&mut self.attach.home, home);
        if home.is_none() {
            return self.seek_again();
        }
        self.keep_warm();
        if home == before {
            return;
        }
        self.watch_home();
        match self.join.joined {
            false => self.client_joined(),
            true => {
                if let Some((_, old)) = old {
                    self.part_from(&old);
                }
                self.publish_all();
            }
        }
    }

    fn is_clearly_nearer(&self, new: Duration, old: Duration) -> bool {
        let roles = &self.config.roles;
        new < old.mul_f64(roles.nearer) && old - new >= roles.nearer_by
    }

    /// Forgets all but the index node and the nearest others; suspects are left to upkeep.
    fn keep_warm(&mut self) {
        if self.attach.exploring {
            return;
        }
        let mut others: Vec<_> = self
            .overlay
            .peers()
            .filter(|p| p.suspect.is_none() && Some(p.contact.id) != self.attach.home)
            .map(|p| (p.measured(), p.contact.id, p.contact.addr))
            .collect();
        others.sort_unstable();
        for (rtt, id, addr) in others.into_iter().skip(self.config.roles.warm) {
            self.note_distance(id, rtt);
            self.overlay.remove(&id);
            self.remember(addr);
        }
    }

    /// The index node owes an answer: the next one is told everything at once.
    pub(super) fn home_suspected(&mut self, id: &Id) {
        if self.is_client() && self.attach.home == Some(*id) {
            self.attach.home = None;
            self.settle_home();
            self.timers.set(Timer::Attach, self.now);
        }
    }

    /// The alarm: is the index node there?
    pub(super) fn watch_home(&mut self) {
        let Some(id) = self.attach.home.filter(|_| self.is_client()) else {
            return;
        };
        let period = match self.is_publishing() {
            true => self.config.roles.home_ping,
            false => self.config.roles.home_ping * IDLE,
        };
        let heard = self.overlay.peer(&id).map(|p| p.last_heard);
        if heard.is_some_and(|at| self.now - at >= period / 2) {
            self.ping(&id);
        }
        let period = self.jitter(period);
        self.timers.set(Timer::Home, self.now + period);
    }

    /// Own entries leave an index node that is no longer used. Nobody waits for its answer: soft state ends by itself.
    fn part_from(&mut self, old: &Id) {
        for entry in self.parting_entries() {
            let v4 = self
                .overlay
                .peer(old)
                .is_some_and(|p| p.contact.addr.is_ipv4());
            if entry.addrs.is_empty() || entry.addrs != entry.addrs.of_family(v4) {
                continue; // of the other family
            }
            if self
                .ask(old, Asked::Parting, Body::Publish { entry })
                .is_none()
            {
                return self.counters.drop(DropReason::Overload);
            }
        }
    }
}
