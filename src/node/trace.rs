//! The way of a traced lookup, told on the way back.
//!
//! The answering node begins the list and every hop puts itself before those behind it. Where the next hop is, and which
//! id it has, says the hop before it, which talked to it: so a lying hop can lie about what it knew and did, and about
//! what is behind it, but not about itself being there or about those before it.

use std::net::SocketAddr;
use std::time::Duration;

use super::Node;
use crate::id::Id;
use crate::wire::{Found, Lookup, MAX_TRACE, TraceHop, Why};

impl Node {
    /// The trace of an answer that this node gives.
    pub(super) fn trace_from_here(&self, lookup: &Lookup, why: Why) -> Vec<TraceHop> {
        let here = self.hop(lookup, None, why);
        lookup.trace.then_some(here).into_iter().collect()
    }

    /// Adds this node to the trace of an answer by the node `by` at `from`. A client, which is no index node, only says
    /// where that is. Beyond [`MAX_TRACE`] the hops next to the answering node are left out.
    pub(super) fn trace_through_here(
        &self,
        lookup: &Lookup,
        by: Id,
        from: SocketAddr,
        found: &mut Found,
    ) {
        if !lookup.trace {
            return found.trace.clear();
        }
        if let Some(next) = found.trace.first_mut() {
            next.id = by;
            next.addr = Some(from);
        }
        if self.is_client() {
            return;
        }
        let rtt = self.overlay.peer(&by).map(|p| p.measured());
        let why = if lookup.matches.len() < usize::from(lookup.p) {
            Why::TooFew
        } else {
            Why::ToRoot
        };
        let rtt = rtt.filter(|rtt| *rtt != Duration::MAX);
        found.trace.insert(0, self.hop(lookup, rtt, why));
        while found.trace.len() > MAX_TRACE {
            found.trace.remove(MAX_TRACE - 1);
        }
    }

    fn hop(&self, lookup: &Lookup, rtt: Option<Duration>, why: Why) -> TraceHop {
        TraceHop {
            id: self.id,
            addr: None,
            rtt,
            known: u8::try_from(lookup.matches.len()).unwrap_or(u8::MAX),
            why,
        }
    }
}
