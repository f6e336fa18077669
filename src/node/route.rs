//! Requests on their way to a root: hop by hop, acknowledged, answered along the same hops.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::rpc::Asked;
use super::{DropReason, LookupId, Node};
use crate::id::Id;
use crate::overlay::predicted_timeout;
use crate::time::Instant;
use crate::wire::{Body, Contact, Lookup, RefuseReason, Why};

/// First hops that one node tries for one request.
const TRIES: usize = 8; // guess: half a leaf set

/// Shortest time that the origin waits for the answer of a request that was taken over.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(200); // guess: longer than a busy machine hesitates

/// Names one route through this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteId(u64);

/// Who gets the answer.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// The owner of this node.
    Lookup(LookupId),
    /// This node itself: it is joining.
    Join,
    /// The hop before.
    Remote { from: SocketAddr, tx: u32 },
}

/// What is routed.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Lookup(Lookup),
    Join { joiner: Id, hops: u8 },
}

#[derive(Debug)]
pub(super) struct Route {
    pub(super) origin: Origin,
    pub(super) request: Request,
    /// Ids not to be tried (again).
    tried: Vec<Id>,
    txs: Vec<u32>,
    /// Waits of the origin for an answer after the hop has taken the request over.
    waits: u32,
    refused: bool,
    deadline: Instant,
    due: Instant,
}

/// Routes under way, by age.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: BTreeMap<RouteId, Route>,
    due: BTreeSet<(Instant, RouteId)>,
    by_previous: BTreeMap<(SocketAddr, u32), RouteId>,
    next: u64,
    /// Smoothed time to an answer of own requests, and its mean deviation.
    usual: Option<(Duration, Duration)>,
}

impl Routes {
    /// An own request was answered after `took` without being repeated.
    fn answered_after(&mut self, took: Duration) {
        self.usual = Some(match self.usual {
            None => (took, took / 2),
            Some((mean, var)) => ((mean * 7 + took) / 8, (var * 3 + mean.abs_diff(took)) / 4),
        });
    }

    /// How long an answer may usually take, at most `longest`.
    fn patience(&self, longest: Duration) -> Duration {
        let usual = self.usual.map(|(mean, var)| mean + var * 4);
        usual.map_or(longest, |usual| usual.max(SHORTEST_PATIENCE).min(longest))
    }

    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn expired(&self, now: Instant) -> Option<RouteId> {
        self.due
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
    }

    /// Whether a join is under way here, not a lookup.
    pub(super) fn is_join(&self, id: RouteId) -> bool {
        let route = self.routes.get(&id);
        route.is_some_and(|r| matches!(r.request, Request::Join { .. }))
    }

    /// The route of a request that has arrived before.
    pub(super) fn known(&self, from: SocketAddr, tx: u32) -> bool {
        self.by_previous.contains_key(&(from, tx))
    }

    fn insert(&mut self, route: Route) -> RouteId {
        let id = RouteId(self.next);
        self.next += 1;
        if let Origin::Remote { from, tx } = route.origin {
            self.by_previous.insert((from, tx), id);
        }
        self.due.insert((route.due, id));
        self.routes.insert(id, route);
        id
    }

    fn remove(&mut self, id: RouteId) -> Option<Route> {
        let route = self.routes.remove(&id)?;
        self.due.remove(&(route.due, id));
        if let Origin::Remote { from, tx } = route.origin {
            self.by_previous.remove(&(from, tx));
        }
        Some(route)
    }

    fn set_due(&mut self, id: RouteId, due: Instant) {
        if let Some(route) = self.routes.get_mut(&id) {
            self.due.remove(&(route.due, id));
            route.due = due;
            self.due.insert((due, id));
        }
    }
}

impl Node {
    /// Forwards a request that this node cannot answer. `first` is the first hop if it is not for the tables to choose.
    pub(super) fn start_route(
        &mut self,
        origin: Origin,
        request: Request,
        tried: Vec<Id>,
        first: Option<Contact>,
    ) {
        if self.routes.len() >= self.config.limits.routed {
            self.counters.drop(DropReason::Overload);
            return self.no_room(&origin);
        }
        if let Origin::Remote { from, tx } = origin {
            if self.routes.known(from, tx) {
                self.counters.drop(DropReason::Duplicate);
                self.send(from, tx, None, Body::Ack);
                return;
            }
            self.send(from, tx, None, Body::Ack);
        }
        let deadline = self.now + self.config.overlay.route_deadline;
        let id = self.routes.insert(Route {
            origin,
            request,
            tried,
            txs: Vec::new(),
            waits: 0,
            refused: false,
            deadline,
            due: deadline,
        });
        match first {
            Some(hop) => self.forward_to_contact(id, hop),
            None => self.forward(id),
        }
    }

    fn no_room(&mut self, origin: &Origin) {
        match *origin {
            Origin::Lookup(id) => self.lookup_failed(id, super::LookupError::Busy),
            Origin::Join => self.join_failed(),
            Origin::Remote { from, tx } => self.refuse(from, tx, RefuseReason::Busy),
        }
    }

    /// Sends the request to the best hop that was not tried; without one this node is the root.
    pub(super) fn forward(&mut self, id: RouteId) {
        let Some(route) = self.routes.routes.get(&id) else {
            return;
        };
        let (key, tried) = (route.request.key(), &route.tried);
        let own = matches!(route.origin, Origin::Lookup(_));
        let hop = match self.is_client() || own && self.asks_others() {
            _ if route.txs.len() >= TRIES => None,
            true => self.way_in(tried),
            false => self.overlay.next_hop(&key, tried),
        };
        match hop.map(|p| p.contact.id) {
            Some(hop) => self.forward_to(id, hop),
            None => self.no_hop_left(id),
        }
    }

    /// A hop did not take the request over in time. Whoever was asked meanwhile may still do so.
    pub(super) fn hop_was_silent(&mut self, id: RouteId, hop: Option<Id>) {
        let waits = |r: &Route| r.txs.iter().any(|tx| self.pending.waits(*tx));
        if !self.routes.routes.get(&id).is_some_and(waits) {
            self.go_on(id, hop);
        }
    }

    /// A hop has not taken the request over yet, and usually it would have: another way is tried without giving it up.
    pub(super) fn hop_is_late(&mut self, tx: u32) {
        let (Some(id), hop) = (self.pending.route_of(tx), self.pending.asked_of(tx)) else {
            return;
        };
        let Some(route) = self.routes.routes.get(&id) else {
            return;
        };
        let (key, last) = (route.request.key(), route.txs.last() == Some(&tx));
        if !last || route.txs.len() >= TRIES || self.is_client() {
            return;
        }
        let asked = route.tried.iter().filter(|id| Some(**id) == hop).count();
        if asked < 2 && self.overlay.covers(&key) {
            self.go_on(id, hop);
        } else if self.overlay.next_hop(&key, &route.tried).is_some() {
            self.forward(id);
        }
    }

    /// Among the leaves every other choice is a detour to the root or a wrong one, so a leaf that is not suspect yet is
    /// asked once more; everywhere else the next candidate is as good.
    fn go_on(&mut self, id: RouteId, hop: Option<Id>) {
        let Some(key) = self.routes.routes.get(&id).map(|r| r.request.key()) else {
            return;
        };
        let again = hop.filter(|hop| {
            let trusted = self.overlay.peer(hop).is_some_and(|p| p.suspect.is_none());
            trusted && !self.is_client() && self.overlay.covers(&key)
        });
        match again {
            Some(hop) => self.forward_to(id, hop),
            None => self.forward(id),
        }
    }

    fn forward_to(&mut self, id: RouteId, hop: Id) {
        match self.overlay.peer(&hop).map(|p| p.contact) {
            Some(hop) => self.forward_to_contact(id, hop),
            None => self.no_hop_left(id),
        }
    }

    fn forward_to_contact(&mut self, id: RouteId, hop: Contact) {
        let here = self.vivaldi.coord();
        let (timeout, late) = match self.overlay.peer(&hop.id) {
            Some(peer) => (peer.timeout(&here), peer.late(&here)),
            None => (predicted_timeout(&here, &hop.coord), None),
        };
        let Some(route) = self.routes.routes.get_mut(&id) else {
            return;
        };
        route.tried.push(hop.id);
        let body = match &route.request {
            Request::Lookup(lookup) => Body::Lookup(lookup.clone()),
            Request::Join { joiner, hops } => Body::Join {
                joiner: *joiner,
                hops: *hops,
            },
        };
        match self.request(
            hop.addr,
            Some(hop.id),
            Asked::Routed(id),
            self.overlay.peer(&hop.id).and_then(|p| p.token),
            body,
            timeout,
        ) {
            Some(tx) => {
                if let Some(late) = late {
                    self.pending.watch(tx, self.now + late);
                }
                if let Some(route) = self.routes.routes.get_mut(&id) {
                    route.txs.push(tx);
                }
            }
            None => self.no_hop_left(id),
        }
    }

    /// Everyone nearer to the key is silent or refuses: this node is the root as far as anybody can tell.
    fn no_hop_left(&mut self, id: RouteId) {
        let waits = |tx: &u32| self.pending.is_acked(*tx);
        let Some(route) = self.routes.routes.get(&id) else {
            return;
        };
        if route.txs.iter().any(waits) {
            return; // an earlier hop has it and may still answer
        }
        let Some(route) = self.take_route(id) else {
            return;
        };
        match (route.request, &route.origin) {
            (Request::Lookup(_), Origin::Lookup(lookup)) if self.is_client() => {
                self.lookup_failed(
                    *lookup,
                    super::LookupError::Timeout {
                        partial: Vec::new(),
                    },
                );
            }
            (Request::Lookup(lookup), origin) => {
                let why = if route.txs.is_empty() {
                    Why::Root
                } else {
                    Why::Silent
                };
                self.answer(origin, lookup, !route.refused, why);
            }
            (Request::Join { joiner, hops }, origin) => self.deliver_join(origin, joiner, hops),
        }
    }

    fn take_route(&mut self, id: RouteId) -> Option<Route> {
        let route = self.routes.remove(id)?;
        for tx in &route.txs {
            self.pending.remove(*tx);
        }
        Some(route)
    }

    /// Forgets joins of this node that are under way.
    pub(super) fn cancel_joins(&mut self) {
        let own = |r: &Route| matches!(r.origin, Origin::Join);
        let joins = self.routes.routes.iter().filter(|(_, r)| own(r));
        for id in joins.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.take_route(id);
        }
    }

    /// The answer is here: whose is it?
    pub(super) fn finish_route(&mut self, id: RouteId) -> Option<Route> {
        let route = self.take_route(id)?;
        if matches!(route.origin, Origin::Lookup(_)) && route.waits <= 1 {
            let left = route.deadline - self.now;
            let took = self.config.overlay.route_deadline.saturating_sub(left);
            self.routes.answered_after(took);
        }
        Some(route)
    }

    /// The hop has taken the request over.
    pub(super) fn on_routed_ack(&mut self, tx: u32) {
        let Some(id) = self.pending.route_of(tx) else {
            return;
        };
        let Some(deadline) = self.routes.routes.get(&id).map(|r| r.deadline) else {
            return;
        };
        if self.pending.is_acked(tx) {
            return;
        }
        self.pending.acked(tx, deadline);
        self.wait_for_answer(id);
    }

    /// The origin does not wait for ever: the answer may be lost, or a hop with it. Each time twice as long.
    fn wait_for_answer(&mut self, id: RouteId) {
        let patience = self.routes.patience(self.config.overlay.route_retry);
        let Some(route) = self.routes.routes.get_mut(&id) else {
            return;
        };
        if !matches!(route.origin, Origin::Remote { .. }) {
            let wait = self.now + patience * (1 << route.waits.min(5));
            route.waits += 1;
            let due = wait.min(route.deadline);
            self.routes.set_due(id, due);
        }
    }

    pub(super) fn on_route_refused(&mut self, id: RouteId, reason: RefuseReason) {
        let Some(route) = self.routes.routes.get_mut(&id) else {
            return;
        };
        route.refused = true;
        if reason != RefuseReason::Hops {
            return self.forward(id);
        }
        let Some(route) = self.take_route(id) else {
            return;
        };
        match (route.request, &route.origin) {
            (Request::Lookup(lookup), origin) => self.answer(origin, lookup, false, Why::Silent),
            (Request::Join { .. }, Origin::Remote { from, tx }) => self.refuse(*from, *tx, reason),
            (Request::Join { .. }, _) => self.join_failed(),
        }
    }

    /// The origin's patience with a silent route, or the deadline of all.
    pub(super) fn on_route_due(&mut self, id: RouteId) {
        let Some(route) = self.routes.routes.get_mut(&id) else {
            return;
        };
        if self.now < route.deadline {
            let (deadline, last) = (route.deadline, route.tried.last().copied());
            self.routes.set_due(id, deadline); // until a hop takes it over again
            return self.go_on(id, last);
        }
        let Some(route) = self.take_route(id) else {
            return;
        };
        match (route.origin, route.request) {
            (Origin::Lookup(lookup), Request::Lookup(l)) => {
                let partial = l.matches;
                self.lookup_failed(lookup, super::LookupError::Timeout { partial });
            }
            (Origin::Join, _) => self.join_failed(),
            _ => {}
        }
    }
}

impl Request {
    fn key(&self) -> Id {
        match self {
            Request::Lookup(lookup) => *lookup.object.key(),
            Request::Join { joiner, .. } => *joiner,
        }
    }
}
