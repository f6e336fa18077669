//! Requests that wait for an answer: from whom, about what, until when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

use super::publish::Slot;
use super::route::RouteId;
use super::{DropReason, Node};
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Body, Entry, RefuseReason, Token};

/// What an answer is for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Is a known node alive?
    Ping,
    /// Is a node that one has heard of there?
    Probe,
    /// Is a bootstrap address there?
    Bootstrap,
    /// A leaf is told that this node goes.
    Farewell,
    Leaves,
    Row,
    Routed(RouteId),
    /// These entries were passed on.
    Propagate(Vec<Passed>),
    /// Own entry of a client; second try?
    Publish {
        slot: Slot,
        retried: bool,
        passed: Passed,
    },
    /// A client withdraws from a former index node that it has moved away from.
    Parting,
    /// A client takes its own entry back.
    Withdraw {
        entry: Box<Entry>,
        tries: u8,
    },
    /// Others are to show that they reach this node.
    Reach {
        retried: bool,
    },
    /// The same, for the asker `tx` at `addr`.
    ReachFor {
        addr: SocketAddr,
        tx: u32,
        nonce: u64,
        retried: bool,
    },
    /// Is the own port open?
    Dial {
        port: u16,
        retried: bool,
    },
}

/// An entry on its way to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) key: (ObjectId, Id),
    pub(super) sequence: u64,
    /// Only what differs from what the other holds.
    pub(super) delta: bool,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) to: SocketAddr,
    /// Who is expected to answer; `None` for a bootstrap address.
    pub(super) id: Option<Id>,
    pub(super) asked: Asked,
    pub(super) sent: Instant,
    /// A routed request that the hop has taken over.
    pub(super) acked: bool,
    /// Until then it is late, not overdue.
    overdue: Option<Instant>,
    /// What was asked, to ask it once more with a fresh token.
    pub(super) body: Option<Box<Body>>,
    timeout: Duration,
    due: Instant,
}

/// Requests by exchange.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_tx: BTreeMap<u32, Request>,
    due: BTreeSet<(Instant, u32)>,
    by_addr: BTreeSet<(SocketAddr, u32)>,
    probes: usize,
    handing_over: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.by_tx.len()
    }

    /// Probes under way.
    pub(super) fn probes(&self) -> usize {
        self.probes
    }

    /// Entries under way to a parent or, from a client, to an index node, and farewells.
    pub(super) fn handing_over(&self) -> usize {
        self.handing_over
    }

    /// Whether this address is being asked with `asked`.
    pub(super) fn is_asking(&self, to: SocketAddr, asked: impl Fn(&Asked) -> bool) -> bool {
        let mut txs = self.by_addr.range((to, 0)..=(to, u32::MAX));
        txs.any(|(_, tx)| self.by_tx.get(tx).is_some_and(|r| asked(&r.asked)))
    }

    /// The request that an answer from this address belongs to.
    pub(super) fn of(&mut self, tx: u32, from: SocketAddr) -> Option<&mut Request> {
        self.by_tx.get_mut(&tx).filter(|r| r.to == from)
    }

    fn insert(&mut self, tx: u32, request: Request) {
        self.count(&request.asked, 1);
        self.due.insert((request.due, tx));
        self.by_addr.insert((request.to, tx));
        self.by_tx.insert(tx, request);
    }

    pub(super) fn remove(&mut self, tx: u32) -> Option<Request> {
        let request = self.by_tx.remove(&tx)?;
        self.due.remove(&(request.due, tx));
        self.by_addr.remove(&(request.to, tx));
        self.count(&request.asked, -1);
        Some(request)
    }

    fn count(&mut self, asked: &Asked, by: isize) {
        let counter = match asked {
            Asked::Probe => &mut self.probes,
            Asked::Propagate(_)
            | Asked::Publish { .. }
            | Asked::Withdraw { .. }
            | Asked::Farewell => &mut self.handing_over,
            _ => return,
        };
        *counter = counter.saturating_add_signed(by);
    }

    /// The hop has taken the request over: its answer may take until `due`.
    pub(super) fn acked(&mut self, tx: u32, due: Instant) {
        if let Some(request) = self.by_tx.get_mut(&tx) {
            request.acked = true;
            request.body = None;
        }
        self.set_due(tx, due);
    }

    fn set_due(&mut self, tx: u32, due: Instant) {
        if let Some(request) = self.by_tx.get_mut(&tx) {
            self.due.remove(&(request.due, tx));
            request.due = due;
            self.due.insert((due, tx));
        }
    }

    /// The answer is late after `late`, and overdue when it was due.
    pub(super) fn watch(&mut self, tx: u32, late: Instant) {
        if let Some(request) = self.by_tx.get_mut(&tx).filter(|r| late < r.due) {
            self.due.remove(&(request.due, tx));
            request.overdue = Some(std::mem::replace(&mut request.due, late));
            self.due.insert((late, tx));
        }
    }

    /// The answer is late; whether it is not overdue yet.
    fn is_late(&mut self, tx: u32) -> bool {
        let Some(request) = self.by_tx.get_mut(&tx).filter(|r| !r.acked) else {
            return false;
        };
        let Some(overdue) = request.overdue.take() else {
            return false;
        };
        self.due.remove(&(request.due, tx));
        request.due = overdue;
        self.due.insert((overdue, tx));
        true
    }

    /// Whether an answer to this exchange is still awaited.
    pub(super) fn waits(&self, tx: u32) -> bool {
        self.by_tx.contains_key(&tx)
    }

    /// Whether the hop has taken the request over and not answered yet.
    pub(super) fn is_acked(&self, tx: u32) -> bool {
        self.by_tx.get(&tx).is_some_and(|r| r.acked)
    }

    /// Whether this exchange asks a bootstrap address.
    pub(super) fn is_bootstrap(&self, tx: u32, to: SocketAddr) -> bool {
        self.by_tx
            .get(&tx)
            .is_some_and(|r| r.to == to && matches!(r.asked, Asked::Bootstrap))
    }

    /// Who is asked.
    pub(super) fn asked_of(&self, tx: u32) -> Option<Id> {
        self.by_tx.get(&tx)?.id
    }

    /// The route that a request belongs to.
    pub(super) fn route_of(&self, tx: u32) -> Option<RouteId> {
        match self.by_tx.get(&tx)?.asked {
            Asked::Routed(route) => Some(route),
            _ => None,
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn expired(&self, now: Instant) -> Option<u32> {
        self.due
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, tx)| *tx)
    }
}

impl Node {
    /// Sends a request and waits for its answer. `None` if there is no room for it.
    pub(super) fn request(
        &mut self,
        to: SocketAddr,
        id: Option<Id>,
        asked: Asked,
        token: Option<Token>,
        body: Body,
        timeout: Duration,
    ) -> Option<u32> {
        if self.pending.len() >= self.config.limits.pending {
            self.counters.drop(DropReason::Overload);
            return None;
        }
        let tx = loop {
            let tx = self.rng.next_u32();
            if !self.pending.by_tx.contains_key(&tx) {
                break tx;
            }
        };
        let token = stamped(token, &body);
        let body = self.send_and_keep(to, tx, token, body)?;
        let due = self.now + timeout;
        self.pending.insert(
            tx,
            Request {
                to,
                id,
                asked,
                sent: self.now,
                acked: false,
                overdue: None,
                body: (body != Body::Ping).then(|| Box::new(body)),
                timeout,
                due,
            },
        );
        Some(tx)
    }

    /// Asks a known node; waits as long as its round trips suggest.
    pub(super) fn ask(&mut self, id: &Id, asked: Asked, body: Body) -> Option<u32> {
        let peer = self.overlay.peer(id)?;
        let timeout = peer.timeout(&self.vivaldi.coord());
        let (to, token) = (peer.contact.addr, peer.token);
        // A token that does not hold (any more) leaves a ping unanswered: the second one goes without.
        let token = token.filter(|_| peer.missed == 0 || body != Body::Ping);
        self.request(to, Some(*id), asked, token, body, timeout)
    }

    /// The token was missing or did not hold: the same once more with the fresh one. `false` if that was done before.
    pub(super) fn ask_again(&mut self, tx: u32, by: Id, token: Token) -> bool {
        if let Some(peer) = self.overlay.peer_mut(&by) {
            peer.token = Some(token);
        }
        let Some(request) = self.pending.by_tx.get_mut(&tx) else {
            return false;
        };
        let (to, Some(body)) = (request.to, request.body.take()) else {
            return false;
        };
        request.sent = self.now;
        request.overdue = None;
        let due = self.now + request.timeout;
        self.pending.set_due(tx, due);
        self.send(to, tx, Some(token), *body)
    }

    /// No answer in time.
    pub(super) fn on_timed_out(&mut self, tx: u32) {
        if self.pending.is_late(tx) {
            return self.hop_is_late(tx);
        }
        let Some(request) = self.pending.remove(tx) else {
            return;
        };
        if request.acked {
            // The hop is alive; its part of the route is not. The origin of the route decides.
            if let Asked::Dial { .. } = request.asked {
                self.on_dial_refused(None, RefuseReason::Busy, &request.asked);
            }
            return self.step_done(tx);
        }
        if let Some(id) = request.id {
            self.missed(&id);
        }
        match request.asked {
            Asked::Routed(route) => {
                self.counters.hops_routed_around += 1;
                self.hop_was_silent(route, request.id);
            }
            Asked::Propagate(passed) => self.not_passed_on(request.id, passed),
            Asked::Publish { slot, passed, .. } => {
                if let Some(id) = &request.id {
                    self.bases.lost(id, &passed.key, passed.sequence);
                }
                self.publish_elsewhere(slot);
            }
            Asked::Withdraw { entry, tries } => self.withdraw_again(request.id, *entry, tries),
            Asked::Probe => {
                self.candidate_answered(request.to.is_ipv4(), false);
                self.probe_failed(request.to);
            }
            Asked::Reach { .. } => self.on_reach_silent(),
            Asked::ReachFor { addr, tx, .. } => self.refuse(addr, tx, RefuseReason::Busy),
            Asked::Dial { .. } => self.on_dial_refused(None, RefuseReason::Busy, &request.asked),
            Asked::Farewell => self.settle_leave(),
            Asked::Ping | Asked::Bootstrap | Asked::Leaves | Asked::Row | Asked::Parting => {}
        }
        self.step_done(tx);
    }
}

/// Every request but a ping has a token, if only an invalid one: the refusal that brings a valid one is then no longer
/// than the request. (A ping without a token is padded for that.)
fn stamped(token: Option<Token>, body: &Body) -> Option<Token> {
    match body {
        Body::Ping => token,
        _ => token.or(Some(Token([0; 8]))),
    }
}
