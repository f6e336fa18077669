//! Joining a ring, and finding back into it.
//!
//! A bootstrap node is pinged; once it answers, a join request is routed through it to the root of the own id; the
//! root's leaf set is the first guess at the own one. Leaf sets are exchanged with each of them, then rows are asked of
//! the nodes that share the longest prefixes. Only then is the node joined. Until it reaches anyone it goes on asking,
//! with growing pauses, and answers what it can.
//!
//! The first ping often comes before the bootstrap node listens, as both are started together. So until somebody has
//! answered, the configured addresses are asked again after short pauses although the earlier pings may still be answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::maintain::some_names;
use super::probe::usable;
use super::route::{Origin, Request as Routed, RouteId};
use super::rpc::Asked;
use super::timers::Timer;
use super::{Event, Node};
use crate::id::Id;
use crate::overlay::predicted_timeout;
use crate::wire::{Body, Contact, MAX_NAMES, Name, RefuseReason};

/// Bootstrap addresses asked at once.
const AT_ONCE: usize = 8; // guess
/// The same from within a ring, to find out about another one.
const NOW_AND_THEN: usize = 2; // guess: all nodes of a ring look, one is enough
/// Lost nodes whose addresses are remembered to find back to a split ring.
const REMEMBERED: usize = 32; // guess: two leaf sets
/// Ring neighbours whose leaf sets are asked for while joining; the others are only pinged.
const ASKED: usize = 6; // guess: three on each side, of which the outermost see past the joiner's own leaf set
/// Rows asked for while joining.
const ROWS: usize = 8; // log16 of four billion nodes
/// How long to wait for a bootstrap address: nothing is known of the path.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(3); // guess: the longest request timeout
/// Times that a configured address is asked while an earlier ping may still be answered.
const BESIDE: u8 = 5; // then the pauses are longer than that timeout, at 250 ms and the shortest draws

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing under way.
    Idle,
    /// Nobody has answered yet.
    Seeking,
    /// The join request is on its way.
    Routing,
    /// Leaf sets are being exchanged with the root's leaves.
    Leaves,
    /// Rows are being collected.
    Rows,
}

/// Where the node stands.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) joined: bool,
    phase: Phase,
    addrs: BTreeSet<SocketAddr>,
    /// Those that were asked since all were.
    asked: BTreeSet<SocketAddr>,
    remembered: VecDeque<SocketAddr>,
    pause: Duration,
    waiting: BTreeSet<u32>,
    /// How often each configured address may still be asked beside a ping under way; empty once anybody has answered.
    beside: BTreeMap<SocketAddr, u8>,
}

impl Join {
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            joined: false,
            phase: Phase::Idle,
            addrs: BTreeSet::new(),
            asked: BTreeSet::new(),
            remembered: VecDeque::new(),
            pause,
            waiting: BTreeSet::new(),
            beside: BTreeMap::new(),
        }
    }
}

impl Node {
    pub(super) fn start_join(&mut self) {
        let addrs = self.config.bootstrap.clone();
        if addrs.is_empty() && !self.is_client() {
            self.join.joined = true;
            self.event(Event::Joined);
        } else {
            let usable = addrs.iter().filter(|a| usable(**a));
            self.join.beside = usable.map(|a| (*a, BESIDE)).collect();
            self.bootstrap(addrs);
        }
        let rejoin = self.jitter(self.config.overlay.rejoin);
        self.timers.set(Timer::Rejoin, self.now + rejoin);
    }

    /// These nodes can be joined through.
    pub(super) fn bootstrap(&mut self, addrs: Vec<SocketAddr>) {
        for addr in addrs.into_iter().filter(|a| usable(*a)) {
            self.take_hint(addr);
        }
        if self.join.phase == Phase::Idle || self.join.phase == Phase::Seeking {
            self.join.phase = Phase::Seeking;
            self.join.pause = match self.join.beside.is_empty() {
                true => self.config.overlay.bootstrap_retry,
                false => self.config.overlay.bootstrap_first,
            };
            self.seek(false);
        }
    }

    /// The node has another id: it joins through those that it knew, and through all others.
    pub(super) fn join_anew(&mut self, known: Vec<SocketAddr>) {
        let alone = self.join.addrs.is_empty() && known.is_empty();
        self.join.waiting.clear();
        self.join.joined = alone;
        self.join.phase = Phase::Idle;
        self.bootstrap(known);
        if alone {
            self.joined();
        }
    }

    /// Remembers an address to join through. Most hints are dead sooner or later, so when there are too many a random one
    /// goes; those of the configuration stay.
    fn take_hint(&mut self, addr: SocketAddr) {
        let full = self.join.addrs.len() >= self.config.limits.bootstrap;
        if full && !self.join.addrs.contains(&addr) {
            let hints = (self.join.addrs.iter()).filter(|a| !self.config.bootstrap.contains(a));
            let mut hints: Vec<SocketAddr> = hints.copied().collect();
            if hints.is_empty() {
                return;
            }
            let out = hints.swap_remove(self.rng.random_range(0..hints.len()));
            self.join.addrs.remove(&out);
        }
        self.join.addrs.insert(addr);
    }

    /// Nobody has answered for a while.
    pub(super) fn seek_on(&mut self) {
        self.seek(true);
    }

    /// Asks some bootstrap nodes, and again later unless one answers; `beside` as in [`Node::ping_bootstrap`].
    fn seek(&mut self, beside: bool) {
        if self.join.phase != Phase::Seeking {
            return;
        }
        if !self.join.joined
            && !self.is_client()
            && let Some(known) = self.overlay.nearest(&[]).map(|p| p.contact)
        {
            // Somebody answered before and the join itself was lost.
            return self.on_bootstrap_answer(known);
        }
        if !self.ping_bootstrap(beside) && self.join.joined {
            self.join.phase = Phase::Idle; // all of them are known
            return;
        }
        let pause = self.join.pause;
        let pause = self.jitter(pause);
        self.timers.set(Timer::Bootstrap, self.now + pause);
        // While there is anyone left to ask, the next ones are: most of a saved table may be dead.
        let all = self.join.addrs.iter().chain(&self.join.remembered);
        if all.clone().all(|addr| self.join.asked.contains(addr)) {
            self.join.asked.clear();
            self.join.pause = (self.join.pause * 2).min(self.config.overlay.bootstrap_retry_max);
        }
    }

    /// Pings those that are not being asked; if `beside`, also those of the configuration that are, as far as they may.
    /// Whether there was any that is not known yet.
    fn ping_bootstrap(&mut self, beside: bool) -> bool {
        let known = |addr: &&SocketAddr| self.overlay.id_at(**addr).is_none();
        let all = self.join.addrs.iter().chain(&self.join.remembered);
        let mut addrs: Vec<SocketAddr> = all.filter(known).copied().collect();
        let at_once = match self.join.joined && !self.overlay.is_empty() {
            true => NOW_AND_THEN,
            false => AT_ONCE,
        };
        for i in 0..addrs.len() {
            let j = self.rng.random_range(i..addrs.len());
            addrs.swap(i, j);
        }
        addrs.sort_by_key(|addr| self.join.asked.contains(addr)); // a stable sort
        addrs.truncate(at_once);
        for addr in &addrs {
            self.join.asked.insert(*addr);
            let asking = self
                .pending
                .is_asking(*addr, |a| matches!(a, Asked::Bootstrap));
            if !asking || (beside && self.may_ask_beside(addr)) {
                let token = self.guard.tokens.remove(addr);
                self.request(
                    *addr,
                    None,
                    Asked::Bootstrap,
                    token,
                    Body::Ping,
                    BOOTSTRAP_TIMEOUT,
                );
            }
        }
        !addrs.is_empty()
    }

    fn may_ask_beside(&mut self, addr: &SocketAddr) -> bool {
        let Some(left) = self.join.beside.get_mut(addr) else {
            return false;
        };
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }

    /// Somebody is there: whatever is asked from now on has time.
    fn found_somebody(&mut self) {
        if !self.join.beside.is_empty() {
            self.join.beside.clear();
            let calm = self.config.overlay.bootstrap_retry;
            self.join.pause = self.join.pause.max(calm);
        }
    }

    /// A message under the own id: an own bootstrap address names this node itself.
    pub(super) fn met_myself(&mut self, tx: u32, from: SocketAddr, body: &Body) {
        match body {
            Body::Ping => {
                let pong = Body::Pong {
                    token: self.mint.issue(from),
                    observed: from,
                };
                self.send(from, tx, None, pong);
            }
            Body::Pong { .. } if self.pending.is_bootstrap(tx, from) => {
                self.pending.remove(tx);
                self.join.addrs.remove(&from);
                self.join.remembered.retain(|a| *a != from);
                if self.join.addrs.is_empty() && self.join.phase == Phase::Seeking {
                    self.joined();
                }
            }
            _ => {}
        }
    }

    /// A bootstrap node is there. It need not be in the tables: those of a large ring have no use for most nodes.
    pub(super) fn on_bootstrap_answer(&mut self, by: Contact) {
        self.found_somebody();
        if self.is_client() {
            if !self.join.joined {
                self.joined();
            }
            return;
        }
        if matches!(self.join.phase, Phase::Idle | Phase::Seeking) {
            self.timers.clear(Timer::Bootstrap);
            self.join.phase = Phase::Routing;
            let body = Routed::Join {
                joiner: self.id,
                hops: 0,
            };
            self.start_route(Origin::Join, body, vec![self.id], Some(by));
        }
    }

    /// The join request got no answer: from the beginning.
    pub(super) fn join_failed(&mut self) {
        if self.join.phase == Phase::Routing && self.join.joined && !self.overlay.is_empty() {
            self.join.phase = Phase::Idle; // it was about another ring; there is time
        } else if self.join.phase == Phase::Routing {
            self.join.phase = Phase::Seeking;
            let pause = self.jitter(self.config.overlay.bootstrap_retry);
            self.timers.set(Timer::Bootstrap, self.now + pause);
        }
    }

    /// Another node wants to know its neighbours.
    pub(super) fn on_join(&mut self, from: SocketAddr, tx: u32, joiner: Id, hops: u8) {
        let hops = hops.saturating_add(1);
        if hops > self.config.overlay.max_hops {
            return self.refuse(from, tx, RefuseReason::Hops);
        }
        let origin = Origin::Remote { from, tx };
        if self.overlay.next_hop(&joiner, &[joiner]).is_none() {
            return self.deliver_join(&origin, joiner, hops);
        }
        self.start_route(origin, Routed::Join { joiner, hops }, vec![joiner], None);
    }

    /// This node is the root of the joiner's id.
    pub(super) fn deliver_join(&mut self, origin: &Origin, joiner: Id, hops: u8) {
        let Origin::Remote { from, tx } = *origin else {
            return self.join_failed();
        };
        // The hop before adds this node: it knows for sure at which address it is reached.
        let contacts = self
            .overlay
            .leaf_contacts()
            .into_iter()
            .filter(|c| c.id != joiner)
            .collect();
        self.send(from, tx, None, Body::JoinReply { contacts, hops });
    }

    /// The root's answer, from the next hop `by` (possibly the root itself).
    pub(super) fn on_join_reply(
        &mut self,
        route: RouteId,
        by: Contact,
        mut contacts: Vec<Contact>,
        hops: u8,
    ) {
        let Some(route) = self.finish_route(route) else {
            return;
        };
        let Routed::Join { hops: asked_at, .. } = route.request else {
            return;
        };
        if hops == asked_at.saturating_add(1) {
            contacts.retain(|c| c.id != by.id);
            contacts.insert(0, by); // it is the root
        }
        match route.origin {
            Origin::Remote { from, tx } => {
                self.send(from, tx, None, Body::JoinReply { contacts, hops });
            }
            Origin::Join if self.join.phase == Phase::Routing => {
                let news = |c: &Contact| self.overlay.wants_as_leaf(&c.id);
                if self.join.joined && !self.overlay.is_empty() && !contacts.iter().any(news) {
                    self.join.phase = Phase::Idle; // the ring that it is in
                    return;
                }
                self.join.phase = Phase::Leaves;
                self.ask_leaves(contacts);
            }
            _ => {}
        }
    }

    fn ask_leaves(&mut self, contacts: Vec<Contact>) {
        let here = self.vivaldi.coord();
        let mut leaves = contacts;
        leaves.extend(self.overlay.leaf_contacts());
        let mut seen = BTreeSet::from([self.id]);
        leaves.retain(|c| usable(c.addr) && self.has_place(c).is_ok() && seen.insert(c.id));
        leaves.sort_by_key(|c| (self.id.distance(&c.id), c.id));
        // Each is told of those that this node has heard of already, so that the answers do not repeat each other.
        let names: Vec<Name> = leaves
            .iter()
            .map(|c| Name::of(&c.id))
            .take(MAX_NAMES)
            .collect();
        for (i, c) in leaves.into_iter().enumerate() {
            if i >= ASKED {
                self.hear_of(c, false);
                continue;
            }
            let timeout = predicted_timeout(&here, &c.coord);
            let body = Body::Leaves {
                names: some_names(names.clone(), &c.id),
            };
            let known = self.overlay.peer(&c.id);
            let (id, token) = (known.map(|p| p.contact.id), known.and_then(|p| p.token));
            let tx = self.request(c.addr, id, Asked::Leaves, token, body, timeout);
            self.join.waiting.extend(tx);
        }
        self.advance();
    }

    /// An exchange has ended, with or without an answer.
    pub(super) fn step_done(&mut self, tx: u32) {
        if self.join.waiting.remove(&tx) {
            self.advance();
        }
        self.attach_step_done(tx);
    }

    fn advance(&mut self) {
        if !self.join.waiting.is_empty() {
            return;
        }
        match self.join.phase {
            Phase::Leaves => {
                self.join.phase = Phase::Rows;
                self.ask_rows();
                self.advance();
            }
            Phase::Rows => self.joined(),
            Phase::Idle | Phase::Seeking | Phase::Routing => {}
        }
    }

    /// Row by row from the nearest node that shares that many digits.
    fn ask_rows(&mut self) {
        let me = self.id;
        let shared = |p: &Id| me.common_prefix(p);
        let deepest = self.overlay.peers().map(|p| shared(&p.contact.id)).max();
        for row in 0..=deepest.unwrap_or(0).min(ROWS - 1) {
            let fit = self
                .overlay
                .peers()
                .filter(|p| shared(&p.contact.id) >= row);
            let nearest = fit.min_by_key(|p| (p.suspect.is_some(), p.measured()));
            let (Some(id), Ok(number)) = (nearest.map(|p| p.contact.id), u8::try_from(row)) else {
                continue;
            };
            let names = self.overlay.row_names(row);
            let tx = self.ask(&id, Asked::Row, Body::Row { row: number, names });
            self.join.waiting.extend(tx);
        }
    }

    /// A client has an index node.
    pub(super) fn client_joined(&mut self) {
        self.joined();
    }

    /// Nobody answers any more, or the role has changed: the ring is looked for through whoever is known.
    pub(super) fn seek_again(&mut self) {
        self.join.joined = false;
        self.join.phase = Phase::Seeking;
        self.join.pause = self.config.overlay.bootstrap_retry;
        self.seek(false);
    }

    /// An address for bad times.
    pub(super) fn remember(&mut self, addr: SocketAddr) {
        if !self.join.addrs.contains(&addr) && !self.join.remembered.contains(&addr) {
            self.join.remembered.truncate(REMEMBERED - 1);
            self.join.remembered.push_front(addr);
        }
    }

    fn joined(&mut self) {
        self.found_somebody();
        self.join.phase = Phase::Idle;
        self.join.joined = true;
        self.join.pause = self.config.overlay.bootstrap_retry;
        self.timers.clear(Timer::Bootstrap);
        self.event(Event::Joined);
        if self.is_client() || self.reach.is_auto() {
            self.publish_all();
        }
        if self.is_client() && !self.reach.is_auto() {
            self.begin_exploring();
        }
        if !self.is_client() {
            self.hasten(self.config.directory.first_hold);
        }
        self.reach_joined();
    }

    /// Tries remembered nodes that are not in the tables: a ring that was split merges again.
    pub(super) fn rejoin(&mut self) {
        if self.join.phase == Phase::Idle {
            self.ping_bootstrap(false);
        }
        let pause = self.jitter(self.config.overlay.rejoin);
        self.timers.set(Timer::Rejoin, self.now + pause);
    }

    /// A node is gone for good.
    pub(super) fn lost(&mut self, addr: SocketAddr) {
        if !self.join.addrs.contains(&addr) && !self.join.remembered.contains(&addr) {
            // Those of a split are not to be crowded out by those who just died: a random one makes room.
            if self.join.remembered.len() >= REMEMBERED {
                let out = self.rng.random_range(0..2 * REMEMBERED);
                self.join.remembered.swap_remove_back(out);
            }
            if self.join.remembered.len() < REMEMBERED {
                self.join.remembered.push_front(addr);
            }
        }
        let alone = self.overlay.is_empty();
        if alone && self.join.phase == Phase::Idle {
            self.join.joined &= !self.is_client();
            self.join.phase = Phase::Seeking;
            self.seek(false);
        }
    }
}
