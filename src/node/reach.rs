//! Whether others can reach this node unasked, and the role that follows (directory: a node behind a NAT is a client).
//!
//! With [`Role::Auto`] a node begins as a client. It asks an index node, under a token, to have a third one send it a
//! [`Body::Reached`]: one that arrives from a host to which this node has written nothing lately proves that no NAT and
//! no filter keeps strangers out, and the node joins the ring. One from a host that it has written to proves nothing.
//! Silence, though the helper says that the datagram was sent, means the opposite: once in a few tries for a client,
//! which loses little, several times for an index node.
//!
//! What cannot be tested is decided like this:
//! - a ring that has no third host: a private or loopback address, as on one LAN, counts as reachable, and is tested once
//!   there is somebody to do it; a public one stays a client (a public ring begins with nodes that are told to be index
//!   nodes);
//! - nobody answers at all: the node is a ring of its own, so that two that name each other as bootstrap find together;
//! - an IPv6-only host stays a client: the overlay is IPv4 in this version.
//!
//! An index node that strangers write to is reachable. When none has for [`RolesConfig::silence`], it tests itself, and
//! steps down if it must. The test is no reflector: the asker has shown that it receives where it sends from, each step
//! sends one datagram that is not longer than the one before, and both helpers count what they do for one host and in
//! all.
//!
//! [`RolesConfig::silence`]: super::RolesConfig::silence

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::quota::Quota;
use super::rpc::Asked;
use super::timers::Timer;
use super::{DropReason, Event, Node, NodeConfig, Role};
use crate::id::Id;
use crate::time::Instant;
use crate::wire::{Body, RefuseReason, Token};

/// How long the first helper has: its own request to the second takes at most 3 s, twice.
const HELP_TIMEOUT: Duration = Duration::from_secs(8); // guess
/// NATs let a host in that was written to this recently.
const REMEMBERED: Duration = Duration::from_secs(900); // guess: RFC 4787 asks NATs to keep a mapping for 2 min at least
/// Hosts written to that are remembered.
const MAX_WRITTEN: usize = 4_096; // guess: two tables of a large ring
/// Nobody answers for so long: the node is a ring of its own.
const ALONE: Duration = Duration::from_secs(5); // guess: three attempts at the bootstrap addresses
/// A node that was just let into a ring, or is at a new address, tests itself after this.
const SOON: Duration = Duration::from_secs(2); // guess

/// What is known of the own reachability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A stranger's datagram has arrived.
    Open,
    /// Nobody could test it, and the address looks like a LAN's.
    Assumed,
    /// No stranger's datagram arrives.
    Closed,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Closed,
    /// There is no host that could be a stranger.
    NoStranger,
    /// No helper did its part.
    Unknown,
}

/// A test under way.
#[derive(Debug, Default)]
struct Round {
    nonces: Vec<u64>,
    /// The helper of this try says that the datagram was sent.
    sent: bool,
    /// It has arrived in this try, but from a host that was written to.
    met: bool,
    /// Tries in which nothing has arrived.
    silent: u8,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reach {
    auto: bool,
    pub(super) client: bool,
    verdict: Option<Verdict>,
    round: Option<Round>,
    /// When a stranger last wrote.
    unasked: Option<Instant>,
    /// Hosts that were sent anything, and when.
    written: BTreeMap<IpAddr, Instant>,
    asked: Quota<IpAddr>,
    sent: Quota<IpAddr>,
}

impl Reach {
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        let (each, all) = (config.roles.helps, config.roles.helps_in_all);
        Self {
            auto: config.role == Role::Auto,
            client: match config.role {
                Role::Index => false,
                Role::Client => true,
                Role::Auto => !config.bootstrap.is_empty(),
            },
            verdict: None,
            round: None,
            unasked: None,
            written: BTreeMap::new(),
            asked: Quota::new(each, all, now),
            sent: Quota::new(each, all, now),
        }
    }

    pub(super) fn is_auto(&self) -> bool {
        self.auto
    }

    /// Something goes to this host. An answer too keeps a NAT open.
    pub(super) fn wrote(&mut self, to: IpAddr, now: Instant) {
        if !self.auto {
            return;
        }
        if self.written.len() >= MAX_WRITTEN && !self.written.contains_key(&to) {
            self.written.retain(|_, at| now - *at < REMEMBERED);
            while self.written.len() >= MAX_WRITTEN {
                self.written.pop_first();
            }
        }
        self.written.insert(to, now);
    }

    fn is_stranger(&self, from: IpAddr, now: Instant) -> bool {
        let at = self.written.get(&from);
        at.is_none_or(|at| now - *at >= REMEMBERED)
    }
}

/// Where an address is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Loopback,
    Private,
    Public,
}

fn scope(ip: IpAddr) -> Scope {
    let (loopback, private) = match ip {
        IpAddr::V4(ip) => (ip.is_loopback(), ip.is_private() || ip.is_link_local()),
        IpAddr::V6(ip) => (
            ip.is_loopback(),
            ip.is_unique_local() || ip.is_unicast_link_local(),
        ),
    };
    match (loopback, private) {
        (true, _) => Scope::Loopback,
        (_, true) => Scope::Private,
        _ => Scope::Public,
    }
}

impl Node {
    /// Whether own lookups go through another node: a client's do, and those of a node that is still joining.
    pub(super) fn asks_others(&self) -> bool {
        let joining = !self.join.joined && self.reach.auto && !self.overlay.is_empty();
        self.is_client() || joining
    }

    /// Whether it is an index node now: with [`Role::Auto`] that changes.
    pub fn is_index(&self) -> bool {
        !self.is_client()
    }

    pub(super) fn start_reach(&mut self) {
        if self.reach.auto && self.reach.client {
            self.timers.set(Timer::Alone, self.now + ALONE);
        } else if self.reach.auto {
            let pause = self.config.roles.reach_retry;
            self.test_reach_in(pause);
        }
    }

    fn test_reach_in(&mut self, pause: Duration) {
        let pause = self.jitter(pause);
        self.timers.set(Timer::Reach, self.now + pause);
    }

    /// It is in a ring, or a client has found an index node.
    pub(super) fn reach_joined(&mut self) {
        self.timers.clear(Timer::Alone);
        if !self.reach.auto || self.reach.round.is_some() {
            return;
        }
        match (self.reach.client, self.reach.verdict) {
            // First of all, as long as most hosts are strangers.
            (true, None) => self.timers.set(Timer::Reach, self.now),
            (false, None) => self.test_reach_in(SOON),
            _ => {}
        }
    }

    /// Others see it at another address.
    pub(super) fn reach_moved(&mut self) {
        if self.reach.auto && self.join.joined {
            self.reach.verdict = None;
            self.reach.round = None;
            self.reach.unasked = None;
            self.test_reach_in(SOON);
        }
    }

    /// Nobody has answered since the start: if nothing speaks against it, this is a ring.
    pub(super) fn on_alone(&mut self) {
        if self.is_client() && !self.join.joined && self.reach.verdict.is_none() {
            self.become_index();
        }
    }

    /// A request has come from this host.
    pub(super) fn reach_heard(&mut self, from: SocketAddr) {
        if self.reach.auto && !self.reach.client && self.reach.is_stranger(from.ip(), self.now) {
            self.reach.unasked = Some(self.now);
        }
    }

    // -- the one who wants to know --

    /// The alarm: a try is over, or a test is due.
    pub(super) fn on_reach_due(&mut self) {
        if !self.reach.auto || self.leaving {
            return;
        }
        match &self.reach.round {
            Some(_) => self.reach_try_over(),
            None if !self.is_client() && self.heard_strangers() => {
                self.reach.verdict = Some(Verdict::Open);
                self.test_reach_in(self.config.roles.silence);
            }
            None => {
                self.reach.round = Some(Round::default());
                self.try_reach();
            }
        }
    }

    fn heard_strangers(&self) -> bool {
        let silence = self.config.roles.silence;
        let heard = self.reach.unasked;
        heard.is_some_and(|at| self.now - at < silence)
    }

    fn try_reach(&mut self) {
        let v4 = self.observed.is_some_and(|a| a.is_ipv4());
        let able = |p: &&crate::overlay::Peer| {
            p.suspect.is_none() && p.token.is_some() && p.contact.addr.is_ipv4()
        };
        let able: Vec<_> = self.overlay.peers().filter(able).collect();
        if able.is_empty() || !v4 {
            return self.reach_tested(Outcome::Unknown);
        }
        let helper = able[self.rng.random_range(0..able.len())];
        let (to, token) = (helper.contact.addr, helper.token);
        self.ask_reach(to, token, false);
    }

    fn ask_reach(&mut self, to: SocketAddr, token: Option<Token>, retried: bool) {
        let nonce = self.rng.next_u64();
        if let Some(round) = &mut self.reach.round {
            round.sent = false;
            round.met = false;
            round.nonces.push(nonce);
            let asked = Asked::Reach { retried };
            // Its answer takes as long as another node takes: nobody is suspected for that.
            let sent = self.request(to, None, asked, token, Body::Reach { nonce }, HELP_TIMEOUT);
            if sent.is_none() {
                self.reach_tested(Outcome::Unknown);
            }
        }
    }

    /// The helper's answer: the datagram was sent.
    pub(super) fn on_reach_sent(&mut self) {
        if let Some(round) = &mut self.reach.round {
            round.sent = true;
            let wait = self.config.roles.reach_wait;
            self.timers.set(Timer::Reach, self.now + wait);
        }
    }

    /// The helper did not help.
    pub(super) fn on_reach_refused(&mut self, by: &Id, reason: RefuseReason, retried: bool) {
        if self.reach.round.is_none() {
            return;
        }
        let helper = self.overlay.peer(by).map(|p| (p.contact.addr, p.token));
        match (reason, helper) {
            (RefuseReason::Token, Some((to, token))) if !retried => self.ask_reach(to, token, true),
            (RefuseReason::Unsupported, _) => self.reach_tested(Outcome::NoStranger),
            _ => self.reach_tested(Outcome::Unknown),
        }
    }

    /// The helper is silent.
    pub(super) fn on_reach_silent(&mut self) {
        if self.reach.round.is_some() {
            self.reach_tested(Outcome::Unknown);
        }
    }

    /// The datagram that was asked for, or anybody's.
    pub(super) fn on_reached(&mut self, from: SocketAddr, nonce: u64) {
        let now = self.now;
        let stranger = self.reach.is_stranger(from.ip(), now);
        let round = self.reach.round.as_mut();
        let Some(round) = round.filter(|r| r.nonces.contains(&nonce)) else {
            return self.counters.drop(DropReason::Unsolicited);
        };
        round.met = true;
        // All of one machine have one address: no use in asking on.
        let pointless = from.ip().is_loopback() && round.silent == 0;
        match (stranger, pointless) {
            (true, _) => self.reach_tested(Outcome::Open),
            (false, true) => self.reach_tested(Outcome::NoStranger),
            (false, false) => {}
        }
    }

    fn reach_try_over(&mut self) {
        let (client, tries) = (self.reach.client, self.config.roles.reach_tries);
        let Some(round) = self.reach.round.as_mut().filter(|r| r.sent) else {
            return; // its helper's answer, or the lack of it, decides
        };
        round.silent += u8::from(!round.met);
        // What is lost on the way must not cost an index node its role: it tries longer. Behind a NAT the hosts that it
        // has written to lately do get through, so not all tries are silent; at 5 % loss and without a NAT one node in a
        // thousand has five silent tries of sixteen, unless a stranger ends the test before.
        let (enough, silent) = match client {
            true => (tries, 1),
            false => (tries.saturating_mul(4), tries + 1),
        };
        let closed = round.silent >= silent;
        if round.nonces.len() < usize::from(enough) && (client || !closed) {
            return self.try_reach();
        }
        let met = round.silent == 0;
        self.reach_tested(match (closed, met) {
            (true, _) => Outcome::Closed,
            (false, true) => Outcome::NoStranger,
            (false, false) => Outcome::Unknown,
        });
    }

    fn reach_tested(&mut self, outcome: Outcome) {
        self.reach.round = None;
        let roles = &self.config.roles;
        let (again, retry) = (roles.reach_period, roles.reach_retry);
        let pause = match outcome {
            Outcome::Open => roles.silence,
            Outcome::Closed => again,
            Outcome::NoStranger | Outcome::Unknown => retry,
        };
        self.test_reach_in(pause);
        match outcome {
            Outcome::Open => {
                self.reach.verdict = Some(Verdict::Open);
                self.reach.unasked = Some(self.now);
                if self.is_client() {
                    self.become_index();
                }
            }
            Outcome::Closed => {
                self.reach.verdict = Some(Verdict::Closed);
                if !self.is_client() {
                    self.step_down();
                }
            }
            Outcome::NoStranger if self.is_client() && self.is_local() => {
                self.reach.verdict = Some(Verdict::Assumed);
                self.become_index();
            }
            Outcome::NoStranger | Outcome::Unknown => {}
        }
        self.begin_exploring();
    }

    /// Whether it and every index node that it knows share a LAN or a machine, as far as addresses tell.
    fn is_local(&self) -> bool {
        let local = |a: SocketAddr| scope(a.ip()) != Scope::Public;
        self.observed.is_some_and(|a| a.is_ipv4() && local(a))
            && self.overlay.peers().all(|p| local(p.contact.addr))
    }

    /// From client to index node: it joins the ring.
    fn become_index(&mut self) {
        self.reach.client = false;
        self.detach();
        self.timers.clear(Timer::TablePing);
        self.start_maintenance();
        self.event(Event::Role { index: true });
        self.seek_again();
    }

    /// From index node to client: the ring does without it.
    fn step_down(&mut self) {
        self.propagate();
        self.reach.client = true;
        // Not only the leaves: nobody is to send a newcomer here.
        let all = self.overlay.peers().map(|p| p.contact.id);
        self.farewell(all.collect());
        for timer in [
            Timer::LeafPing,
            Timer::LeafExchange,
            Timer::NearTune,
            Timer::FarTune,
            Timer::Propagate,
        ] {
            self.timers.clear(timer);
        }
        self.event(Event::Role { index: false });
        self.start_maintenance();
        self.settle_home();
    }

    // -- the two who help --

    /// A client or an index node that has proved its address wants to know. The answer waits for the third one's.
    pub(super) fn on_reach(&mut self, from: SocketAddr, tx: u32, nonce: u64) {
        // A machine that asks itself makes nobody a target.
        if !from.ip().is_loopback() && !self.reach.asked.take(from.ip(), self.now) {
            self.counters.drop(DropReason::Overload);
            return self.refuse(from, tx, RefuseReason::Busy);
        }
        let third = |p: &&crate::overlay::Peer| {
            let addr = p.contact.addr;
            p.suspect.is_none() && addr != from && addr.is_ipv4() == from.is_ipv4()
        };
        let all: Vec<_> = self.overlay.peers().filter(third).collect();
        // Another host than the asker's, if there is any.
        let other: Vec<_> = all
            .iter()
            .filter(|p| p.contact.addr.ip() != from.ip())
            .collect();
        let ids: Vec<Id> = match other.is_empty() {
            true => all.iter().map(|p| p.contact.id).collect(),
            false => other.iter().map(|p| p.contact.id).collect(),
        };
        if ids.is_empty() {
            return self.refuse(from, tx, RefuseReason::Unsupported);
        }
        let known = |id: &&Id| self.overlay.peer(id).is_some_and(|p| p.token.is_some());
        let ready: Vec<Id> = ids.iter().filter(known).copied().collect();
        if ready.is_empty() {
            let id = ids[self.rng.random_range(0..ids.len())];
            self.ping(&id); // the token comes with the answer
            return self.refuse(from, tx, RefuseReason::Busy);
        }
        let id = ready[self.rng.random_range(0..ready.len())];
        self.ask_reach_for(&id, from, tx, nonce, false);
    }

    fn ask_reach_for(&mut self, id: &Id, addr: SocketAddr, tx: u32, nonce: u64, retried: bool) {
        let asked = Asked::ReachFor {
            addr,
            tx,
            nonce,
            retried,
        };
        if self
            .ask(id, asked, Body::ReachFor { addr, nonce })
            .is_none()
        {
            self.refuse(addr, tx, RefuseReason::Busy);
        }
    }

    /// The third one has not done it.
    pub(super) fn on_reach_for_refused(&mut self, by: &Id, reason: RefuseReason, asked: &Asked) {
        let Asked::ReachFor {
            addr,
            tx,
            nonce,
            retried,
        } = *asked
        else {
            return;
        };
        match reason {
            RefuseReason::Token if !retried => self.ask_reach_for(by, addr, tx, nonce, true),
            _ => self.refuse(addr, tx, RefuseReason::Busy),
        }
    }

    /// Another index node asks this one to be the stranger.
    pub(super) fn on_reach_for(&mut self, from: SocketAddr, tx: u32, addr: SocketAddr, nonce: u64) {
        // Nobody outside of a LAN makes this node write to somebody inside.
        let inside = scope(addr.ip()) != Scope::Public && scope(addr.ip()) != scope(from.ip());
        let same_family = addr.is_ipv4() == from.is_ipv4();
        if inside || !same_family || !super::probe::usable(addr) || Some(addr) == self.observed {
            self.counters.drop(DropReason::ForeignAddress);
            return self.refuse(from, tx, RefuseReason::ForeignAddress);
        }
        if !addr.ip().is_loopback() && !self.reach.sent.take(addr.ip(), self.now) {
            self.counters.drop(DropReason::Overload);
            return self.refuse(from, tx, RefuseReason::Busy);
        }
        let own_tx = self.rng.next_u32();
        self.send(addr, own_tx, None, Body::Reached { nonce });
        self.send(from, tx, None, Body::Ack);
    }
}
