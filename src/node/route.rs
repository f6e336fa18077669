//! Requests on their way to a root: hop by hop, acknowledged, answered along the same hops.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::rpc::Asked;
use super::{DropReason, LookupId, Node};
use crate::id::Id;
use crate::overlay::predicted_timeout;
use crate::time::Instant;
use crate::wire::{Body, Contact, Lookup, RefuseReason};

/// First hops that one node tries for one request.
const TRIES: usize = 8; // guess: half a leaf set

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
    retried: bool,
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
}

impl Routes {
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
            retried: false,
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
        let hop = match self.is_client() {
            _ if route.txs.len() >= TRIES => None,
            true => self.overlay.nearest(tried),
            false => self.overlay.next_hop(&key, tried),
        };
        match hop.map(|p| p.contact.id) {
            Some(hop) => self.forward_to(id, hop),
            None => self.no_hop_left(id),
        }
    }

    /// A hop did not take the request over in time. Among the leaves every other choice is a wrong root, so a leaf that is
    /// not suspect yet is asked once more; everywhere else the next candidate is as good.
    pub(super) fn hop_was_silent(&mut self, id: RouteId, hop: Option<Id>) {
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
        let timeout = match self.overlay.peer(&hop.id) {
            Some(peer) => peer.timeout(&self.vivaldi.coord()),
            None => predicted_timeout(&self.vivaldi.coord(), &hop.coord),
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
            (Request::Lookup(lookup), origin) => self.answer(origin, lookup, !route.refused),
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
        self.take_route(id)
    }

    /// The hop has taken the request over.
    pub(super) fn on_routed_ack(&mut self, tx: u32) {
        let Some(id) = self.pending.route_of(tx) else {
            return;
        };
        let Some(route) = self.routes.routes.get(&id) else {
            return;
        };
        let (deadline, origin_here) = (
            route.deadline,
            !matches!(route.origin, Origin::Remote { .. }),
        );
        if self.pending.is_acked(tx) {
            return;
        }
        self.pending.acked(tx, deadline);
        if origin_here && !route.retried {
            let retry = self.now + self.config.overlay.route_retry;
            self.routes.set_due(id, retry.min(deadline));
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
            (Request::Lookup(lookup), origin) => self.answer(origin, lookup, false),
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
            route.retried = true;
            let deadline = route.deadline;
            self.routes.set_due(id, deadline);
            return self.forward(id);
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
