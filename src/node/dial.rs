//! Dial-back: whether the TCP port of a published entry accepts connections is tested, not believed (directory, "who may
//! do what": the first index node has dialled the published port back before it forwards).
//!
//! The node asks its driver ([`Event::Dial`], [`Command::Dialled`](super::Command::Dialled)); nothing is sent over the
//! connection. Only the source address of a datagram with a valid token is ever dialled, so that nobody can send this
//! node's connections elsewhere. An entry is taken at once, as one that others cannot dial; the result, mostly there
//! before the first propagation, changes that. What was found stays valid for some minutes, and is renewed when the entry
//! is refreshed after that.
//!
//! For its owner's own ports an index node asks another one, a client its index node ([`Body::Dial`]): so a peer knows
//! whether others can reach it ([`Event::Dialable`]), and looks for peers to dial if not (paper 4 leaves that open).
//! Until that is known, the owner's word counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt;

use super::quota::Quota;
use super::rpc::Asked;
use super::timers::Timer;
use super::{DropReason, Event, Node, NodeConfig};
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Body, Entry, PeerAddrs, RefuseReason};

/// How long the driver may take for one dial.
const PATIENCE: Duration = Duration::from_secs(5); // the driver gives up after 3 s
/// How long the answer of an acknowledged request for a dial may take.
const ANSWER: Duration = Duration::from_secs(7); // PATIENCE and a round trip
/// Entries and askers that wait for one dial.
const WAITING: usize = 256; // guess: a client with more torrents tells the rest with the next refresh
/// Own ports that are tested.
const PORTS: usize = 16; // guess: a program listens at one

/// Names one dial that the driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialId(u64);

#[derive(Debug)]
struct Job {
    addr: SocketAddr,
    due: Instant,
    askers: BTreeSet<(SocketAddr, u32)>,
    entries: BTreeSet<(ObjectId, Id)>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    reached: bool,
    until: Instant,
}

#[derive(Debug)]
struct OwnPort {
    reached: Option<bool>,
    asking: bool,
    next: Instant,
}

/// Dials under way, and what was found.
#[derive(Debug)]
pub(super) struct Dials {
    jobs: BTreeMap<DialId, Job>,
    by_addr: BTreeMap<SocketAddr, DialId>,
    next: u64,
    known: BTreeMap<SocketAddr, Known>,
    quota: Quota<IpAddr>,
    own: BTreeMap<u16, OwnPort>,
}

impl Dials {
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        let (each, all) = (config.roles.dials_each, config.roles.dials_in_all);
        Self {
            jobs: BTreeMap::new(),
            by_addr: BTreeMap::new(),
            next: 0,
            known: BTreeMap::new(),
            quota: Quota::new(each, all, now),
            own: BTreeMap::new(),
        }
    }

    fn learn(&mut self, addr: SocketAddr, known: Known, most: usize, now: Instant) {
        if self.known.len() >= most && !self.known.contains_key(&addr) {
            self.known.retain(|_, k| k.until > now);
            while self.known.len() >= most {
                self.known.pop_first();
            }
        }
        self.known.insert(addr, known);
    }
}

/// What a dial-back has to say now.
enum Test {
    /// This was found, lately or (if another dial is under way) before.
    Known(bool),
    /// The driver is at it.
    Begun(DialId),
    /// Too many.
    Busy,
}

impl Node {
    // -- for others --

    /// Begins a dial unless the answer is fresh.
    fn test_port(&mut self, addr: SocketAddr) -> Test {
        let known = self.dials.known.get(&addr).copied();
        if let Some(known) = known.filter(|k| k.until > self.now) {
            return Test::Known(known.reached);
        }
        if let Some(id) = self.dials.by_addr.get(&addr) {
            return Test::Begun(*id);
        }
        let room = self.dials.jobs.len() < self.config.roles.dials;
        if !room || !self.dials.quota.take(addr.ip(), self.now) {
            self.counters.drop(DropReason::Overload);
            return known.map_or(Test::Busy, |k| Test::Known(k.reached));
        }
        let id = DialId(self.dials.next);
        self.dials.next += 1;
        let due = self.now + PATIENCE;
        let job = Job {
            addr,
            due,
            askers: BTreeSet::new(),
            entries: BTreeSet::new(),
        };
        self.dials.jobs.insert(id, job);
        self.dials.by_addr.insert(addr, id);
        self.timers.set_earlier(Timer::Dials, due);
        self.event(Event::Dial { id, addr });
        Test::Begun(id)
    }

    /// A client's entry, from a proven source: others can dial it only if this node could.
    pub(super) fn dialled_back(&mut self, from: SocketAddr, entry: Entry) -> Entry {
        let own = |a: &SocketAddr| a.ip() == from.ip();
        let ports = entry.addrs.iter().filter(own).collect::<Vec<_>>();
        let mut reachable = false;
        if entry.reachable && !entry.lifetime.is_zero() {
            for addr in ports {
                let before = self.dials.known.get(&addr).map(|k| k.reached);
                reachable |= match self.test_port(addr) {
                    Test::Known(reached) => reached,
                    Test::Begun(id) => {
                        if let Some(job) = self.dials.jobs.get_mut(&id)
                            && job.entries.len() < WAITING
                        {
                            job.entries.insert((entry.object, entry.publisher));
                        }
                        before.unwrap_or(false)
                    }
                    Test::Busy => false,
                };
            }
        }
        Entry { reachable, ..entry }
    }

    /// Somebody who has proved its address wants its own port dialled.
    pub(super) fn on_dial(&mut self, from: SocketAddr, tx: u32, port: u16) {
        match self.test_port(SocketAddr::new(from.ip(), port)) {
            Test::Known(reached) => {
                self.send(from, tx, None, Body::Ack);
                self.send(from, tx, None, Body::Dialled { port, reached });
            }
            Test::Begun(id) => {
                let job = self.dials.jobs.get_mut(&id);
                let Some(job) = job.filter(|j| j.askers.len() < WAITING) else {
                    return self.refuse(from, tx, RefuseReason::Busy);
                };
                job.askers.insert((from, tx));
                self.send(from, tx, None, Body::Ack);
            }
            Test::Busy => self.refuse(from, tx, RefuseReason::Busy),
        }
    }

    /// The driver's answer.
    pub(super) fn dialled(&mut self, id: DialId, reached: bool) {
        let Some(job) = self.dials.jobs.remove(&id) else {
            return;
        };
        self.dials.by_addr.remove(&job.addr);
        let roles = &self.config.roles;
        let keep = match reached {
            true => roles.dial_reached,
            false => roles.dial_unreached,
        };
        let until = self.now + keep;
        let most = roles.dials_known;
        self.dials
            .learn(job.addr, Known { reached, until }, most, self.now);
        let port = job.addr.port();
        for (to, tx) in job.askers {
            self.send(to, tx, None, Body::Dialled { port, reached });
        }
        let mut changed = false;
        for key in job.entries {
            changed |= self.cache.set_reachable(&key, job.addr, reached);
        }
        if changed {
            self.hasten(self.config.directory.first_hold);
        }
    }

    /// The alarm: dials that the driver forgot, and own ports to be tested.
    pub(super) fn on_dials_due(&mut self) {
        let now = self.now;
        let late = self.dials.jobs.iter().filter(|(_, job)| job.due <= now);
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.dialled(id, false);
        }
        let due = self.dials.own.iter();
        let due = due.filter(|(_, own)| !own.asking && own.next <= now);
        for port in due.map(|(port, _)| *port).collect::<Vec<_>>() {
            self.test_own_port(port);
        }
        let jobs = self.dials.jobs.values().map(|job| job.due);
        let own = self.dials.own.values().filter(|own| !own.asking);
        if let Some(next) = jobs.chain(own.map(|own| own.next)).min() {
            self.timers.set(Timer::Dials, next);
        }
    }

    // -- for its owner --

    /// Whether others can dial what is published at these addresses, as far as is known; `claimed` by the owner.
    pub(super) fn own_reachable(&self, addrs: &PeerAddrs, claimed: bool) -> bool {
        // Tests are made from the side that this node is seen at; of another family only the owner can tell.
        let tested = |a: SocketAddr| {
            let own = self.dials.own.get(&a.port());
            let same = self.observed.is_some_and(|o| o.is_ipv4() == a.is_ipv4());
            own.filter(|_| same).and_then(|own| own.reached)
        };
        claimed && (addrs.is_empty() || addrs.iter().any(|a| tested(a).unwrap_or(true)))
    }

    /// The owner serves at this port: is it open?
    pub(super) fn watch_own_port(&mut self, port: u16) {
        if self.dials.own.contains_key(&port) || self.dials.own.len() >= PORTS {
            return;
        }
        let own = OwnPort {
            reached: None,
            asking: false,
            next: self.now,
        };
        self.dials.own.insert(port, own);
        self.timers.set_earlier(Timer::Dials, self.now);
    }

    /// Only ports that are still published are tested.
    pub(super) fn forget_own_ports(&mut self, used: &BTreeSet<u16>) {
        self.dials.own.retain(|port, _| used.contains(port));
    }

    fn test_own_port(&mut self, port: u16) {
        let helper = match self.is_client() {
            true => self.way_in(&[]).map(|p| p.contact.id),
            false => {
                let able = |p: &&crate::overlay::Peer| p.suspect.is_none() && p.token.is_some();
                let able = self.overlay.peers().filter(able).map(|p| p.contact.id);
                let able: Vec<Id> = able.collect();
                (!able.is_empty()).then(|| able[self.rng.random_range(0..able.len())])
            }
        };
        let asked = Asked::Dial {
            port,
            retried: false,
        };
        let sent = helper.and_then(|id| self.ask(&id, asked, Body::Dial { port }));
        self.own_port_asked(port, sent.is_some());
    }

    fn own_port_asked(&mut self, port: u16, sent: bool) {
        let pause = self.config.roles.dial_retry;
        let pause = self.jitter(pause);
        if let Some(own) = self.dials.own.get_mut(&port) {
            own.asking = sent;
            own.next = self.now + pause;
        }
        if !sent {
            self.timers.set_earlier(Timer::Dials, self.now + pause);
        }
    }

    /// The helper is at it.
    pub(super) fn on_dial_begun(&mut self, tx: u32) {
        self.pending.acked(tx, self.now + ANSWER);
    }

    /// No answer, or a refusal: later again, with a fresh token at once.
    pub(super) fn on_dial_refused(&mut self, by: Option<Id>, reason: RefuseReason, asked: &Asked) {
        let Asked::Dial { port, retried } = *asked else {
            return;
        };
        if let (RefuseReason::Token, false, Some(by)) = (reason, retried, by) {
            let asked = Asked::Dial {
                port,
                retried: true,
            };
            let sent = self.ask(&by, asked, Body::Dial { port });
            return self.own_port_asked(port, sent.is_some());
        }
        self.own_port_asked(port, false);
    }

    /// Others can dial the own port, or not.
    pub(super) fn on_own_port(&mut self, port: u16, reached: bool) {
        let roles = &self.config.roles;
        let keep = match reached {
            true => roles.dial_reached,
            false => roles.dial_unreached,
        };
        let keep = self.jitter(keep);
        let Some(own) = self.dials.own.get_mut(&port) else {
            return;
        };
        own.asking = false;
        own.next = self.now + keep;
        let news = own.reached.replace(reached) != Some(reached);
        self.timers.set_earlier(Timer::Dials, self.now + keep);
        if news {
            self.event(Event::Dialable { port, reached });
            if !self.is_client() {
                self.publish_all(); // a client's index node knows by itself
            }
        }
    }
}
