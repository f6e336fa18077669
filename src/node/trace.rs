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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coords::Coord;
    use crate::id::ObjectId;
    use crate::node::NodeConfig;
    use crate::time::Instant;
    use crate::wire::{Match, PeerAddrs, Ranking, Wanted};

    fn node() -> Node {
        Node::new(NodeConfig::default(), [1; 32], Instant::ZERO).expect("the default is valid")
    }

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 7000))
    }

    fn lookup(matches: u8, trace: bool) -> Lookup {
        let a_match = |n| Match {
            addrs: PeerAddrs::from(addr(n)),
            coord: Coord::default(),
            matched: 1,
            load: 0,
            reachable: true,
        };
        Lookup {
            object: ObjectId(Id([1; 20])),
            wanted: Wanted::Any,
            summary: None,
            p: 4,
            mix: 0,
            ranking: Ranking::Closeness,
            coord: Coord::default(),
            asker: PeerAddrs::default(),
            ignore: Vec::new(),
            to_root: true,
            trace,
            hops: 1,
            matches: (0..matches).map(a_match).collect(),
        }
    }

    fn hop(n: u8, why: Why) -> TraceHop {
        TraceHop {
            id: Id([n; 20]),
            addr: Some(addr(n)),
            rtt: None,
            known: 1,
            why,
        }
    }

    fn found(trace: Vec<TraceHop>) -> Found {
        Found {
            matches: Vec::new(),
            hops: 3,
            root: true,
            by: Id([9; 20]),
            loaded: false,
            trace,
        }
    }

    #[test]
    fn a_hop_cannot_pass_for_another_one() {
        let node = node();
        let mut found = found(vec![hop(66, Why::TooFew), hop(67, Why::Root)]);
        node.trace_through_here(&lookup(2, true), Id([5; 20]), addr(5), &mut found);
        let ends = |h: &TraceHop| (h.id, h.addr);
        let ends: Vec<_> = found.trace.iter().map(ends).collect();
        let told = (Id([67; 20]), Some(addr(67)));
        assert_eq!(
            ends,
            [(node.id(), None), (Id([5; 20]), Some(addr(5))), told]
        );
        assert_eq!((found.trace[0].known, found.trace[0].why), (2, Why::TooFew));
    }

    #[test]
    fn a_long_trace_keeps_its_beginning_and_the_node_that_answered() {
        let node = node();
        let mut found = found(vec![hop(200, Why::Root)]);
        for n in 0..40 {
            found.trace.insert(0, hop(n, Why::TooFew));
            found.trace.truncate(MAX_TRACE);
            found.trace[MAX_TRACE.min(usize::from(n) + 2) - 1] = hop(200, Why::Root);
            node.trace_through_here(&lookup(4, true), Id([n; 20]), addr(n), &mut found);
            assert!(found.trace.len() <= MAX_TRACE);
            assert_eq!(found.trace[0].why, Why::ToRoot);
            assert_eq!(found.trace.last(), Some(&hop(200, Why::Root)));
            found.trace.remove(0);
        }
    }

    #[test]
    fn nobody_is_told_of_a_way_that_was_not_asked_for() {
        let node = node();
        let mut found = found(vec![hop(66, Why::Root)]);
        node.trace_through_here(&lookup(2, false), Id([5; 20]), addr(5), &mut found);
        assert_eq!(found.trace, []);
        assert_eq!(node.trace_from_here(&lookup(2, false), Why::Root), []);
    }
}
