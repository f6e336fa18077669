//! Anycast queries (paper 3.2): answered here when enough is known, else passed on with what is known.

use std::net::SocketAddr;

use super::route::{Origin, Request, RouteId};
use super::{DropReason, Event, LookupError, LookupId, LookupRequest, Node};
use crate::directory::rank::{MAX_P, search};
use crate::id::Id;
use crate::wire::{
    Body, Found, Lookup, MAX_IGNORED, RefuseReason, SUMMARY_ABOVE, Sender, Summary, Wanted, Why,
    lookup_window, summarised_lookup_window,
};

impl Node {
    /// The owner asks.
    pub(super) fn lookup(&mut self, id: LookupId, request: LookupRequest) {
        let LookupRequest {
            object,
            wanted,
            p,
            mix,
            ranking,
            asker,
            mut ignore,
            to_root,
            trace,
        } = request;
        ignore.truncate(MAX_IGNORED);
        self.window_turn = self.window_turn.wrapping_add(1);
        let (wanted, summary) = windowed(wanted, self.window_turn);
        let p = p.clamp(1, MAX_P);
        let mut lookup = Lookup {
            object,
            wanted,
            summary,
            p,
            mix: mix.min(p),
            ranking,
            coord: self.vivaldi.coord(),
            asker,
            ignore,
            to_root,
            trace,
            hops: 0,
            matches: Vec::new(),
        };
        if self.asks_others() {
            if self.overlay.nearest(&[]).is_none() {
                return self.lookup_failed(id, LookupError::NotJoined);
            }
            return self.start_route(
                Origin::Lookup(id),
                Request::Lookup(lookup),
                Vec::new(),
                None,
            );
        }
        lookup.hops = 1;
        self.search_or_forward(Origin::Lookup(id), lookup);
    }

    /// Another node or a client asks.
    pub(super) fn on_lookup(
        &mut self,
        from: SocketAddr,
        tx: u32,
        sender: &Sender,
        mut lookup: Lookup,
    ) {
        if self.routes.known(from, tx) {
            self.counters.drop(DropReason::Duplicate);
            self.send(from, tx, None, Body::Ack);
            return;
        }
        lookup.hops = lookup.hops.saturating_add(1);
        if lookup.hops > self.config.overlay.max_hops {
            self.counters.drop(DropReason::Hops);
            return self.refuse(from, tx, RefuseReason::Hops);
        }
        if sender.client {
            // paper 3.2: the coordinate is that of the index node which the client came through
            lookup.coord = self.vivaldi.coord();
            lookup.hops = 1;
            lookup.matches.clear();
        }
        self.search_or_forward(Origin::Remote { from, tx }, lookup);
    }

    fn search_or_forward(&mut self, origin: Origin, mut lookup: Lookup) {
        let enough = search(&self.cache, &mut lookup, &mut self.rng, self.now);
        let root = self.overlay.next_hop(lookup.object.key(), &[]).is_none();
        if enough || root {
            // Before it has reached anyone, a node cannot tell whose root it is.
            let why = if enough { Why::Enough } else { Why::Root };
            return self.answer(&origin, lookup, root && self.join.joined, why);
        }
        if let Some(why) = self.spare_the_root(&mut lookup) {
            return self.answer(&origin, lookup, false, why);
        }
        self.start_route(origin, Request::Lookup(lookup), Vec::new(), None);
    }

    /// Answers with what the lookup carries.
    pub(super) fn answer(&mut self, origin: &Origin, lookup: Lookup, root: bool, why: Why) {
        self.counters.lookups_answered += 1;
        self.counters.lookups_answered_as_root += u64::from(root);
        self.counters.lookups_answered_cached += u64::from(why == Why::Cached);
        self.counters.lookups_answered_loaded += u64::from(why == Why::Loaded);
        let trace = self.trace_from_here(&lookup, why);
        let found = Found {
            matches: lookup.matches,
            hops: lookup.hops,
            root,
            by: self.id,
            loaded: why == Why::Loaded,
            trace,
        };
        self.deliver(origin, found);
    }

    /// The answer to a lookup that `by` at `from` has taken over.
    pub(super) fn on_found(&mut self, route: RouteId, by: Id, from: SocketAddr, mut found: Found) {
        let Some(route) = self.finish_route(route) else {
            return;
        };
        if let Request::Lookup(lookup) = &route.request {
            self.trace_through_here(lookup, by, from, &mut found);
            if !self.is_client() {
                self.answer_went_by(lookup, &found);
            }
        }
        self.deliver(&route.origin, found);
    }

    fn deliver(&mut self, origin: &Origin, found: Found) {
        match *origin {
            Origin::Lookup(id) => {
                *self.counters.lookup_hops.entry(found.hops).or_default() += 1;
                self.event(Event::LookupDone {
                    id,
                    result: Ok(found),
                });
            }
            Origin::Remote { from, tx } => {
                self.send(from, tx, None, Body::Found(found));
            }
            Origin::Join => {}
        }
    }

    pub(super) fn lookup_failed(&mut self, id: LookupId, error: LookupError) {
        self.counters.lookup_timeouts += u64::from(matches!(error, LookupError::Timeout { .. }));
        self.event(Event::LookupDone {
            id,
            result: Err(error),
        });
    }
}

/// What of the wanted chunks one lookup carries: of a large object a window and a summary of all of them.
fn windowed(wanted: Wanted, turn: u32) -> (Wanted, Option<Box<Summary>>) {
    match wanted {
        Wanted::Any => (Wanted::Any, None),
        Wanted::Chunks(chunks) if chunks.end() > SUMMARY_ABOVE => {
            let window = summarised_lookup_window(&chunks, turn);
            (Wanted::Chunks(window), Some(Box::new(Summary::of(&chunks))))
        }
        Wanted::Chunks(chunks) => (Wanted::Chunks(lookup_window(&chunks, turn)), None),
    }
}
