//! A node as it shows itself.

use std::time::Duration;

use super::{CoordView, Counters, Node, PeerView, Snapshot};
use crate::id::Id;
use crate::time::Instant;
use crate::wire::Contact;

impl Node {
    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The index nodes that it knows and that answer, nearest first. Saved, their addresses are the best
    /// [`bootstrap`](super::NodeConfig::bootstrap) of the next start.
    pub fn contacts(&self) -> Vec<Contact> {
        let mut known: Vec<_> = self
            .overlay
            .peers()
            .filter(|p| p.suspect.is_none())
            .collect();
        known.sort_by_key(|p| (p.measured(), p.contact.id));
        known.into_iter().map(|p| p.contact).collect()
    }

    /// The contact to which a request for `key` would go now, `tried` ones left out; `None`: this node would answer as the
    /// root.
    pub fn next_hop(&self, key: &Id, tried: &[Id]) -> Option<Contact> {
        self.overlay.next_hop(key, tried).map(|p| p.contact)
    }

    /// The node as it is now: tables, entries, totals.
    pub fn snapshot(&self) -> Snapshot {
        let coord = self.vivaldi.coord();
        let mut counters = self.counters.clone();
        counters.entries_evicted = self.cache.evicted();
        let row = |row: usize| {
            (
                row,
                self.overlay
                    .row_contacts(row, &coord, &coord, &[], Instant::ZERO)
                    .len(),
            )
        };
        Snapshot {
            id: self.id.to_string(),
            joined: self.join.joined,
            observed: self.observed.map(|a| a.to_string()),
            coord: CoordView {
                position: coord.position,
                height: coord.height,
                error: coord.error,
            },
            leaves: self
                .overlay
                .leaf_ids()
                .iter()
                .filter_map(|id| self.peer_view(id))
                .collect(),
            rows: self.overlay.rows().into_iter().map(row).collect(),
            peers: self.overlay.len(),
            entries: self
                .cache
                .counts()
                .filter(|(_, n)| *n > 0)
                .map(|(object, n)| (object.to_string(), n))
                .collect(),
            cache_bytes: self.cache.bytes(),
            publications: self.own.len(),
            pending: self.pending.len(),
            routed: self.routes.len(),
            candidates: self.probes.len(),
            sources: self.guard.rates.len(),
            sessions: self.guard.seal.as_ref().map_or(0, |s| s.sessions()),
            counters,
        }
    }

    fn peer_view(&self, id: &Id) -> Option<PeerView> {
        let peer = self.overlay.peer(id)?;
        let measured = Some(peer.measured()).filter(|rtt| *rtt != Duration::MAX);
        Some(PeerView {
            id: id.to_string(),
            addr: peer.contact.addr.to_string(),
            rtt_us: measured.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            suspect: peer.suspect.is_some(),
        })
    }
}
