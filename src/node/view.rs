//! A node as it shows itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{CoordView, Counters, Node, PeerView, SlotView, Snapshot};
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::overlay::Peer;
use crate::time::Instant;
use crate::wire::{Contact, Entry};

impl Node {
    /// The live entries that it holds of an object, by publisher, with the lifetimes that they came with. Of a large one
    /// the windows that were seen so far are joined; its summary says where more is held, and is there only while windows
    /// are missing.
    pub fn entries(&self, object: &ObjectId) -> Vec<Entry> {
        self.cache.entries(object, self.now).collect()
    }

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

    /// Round-trip times to the nodes at these addresses, where they were measured: of several at one address the shortest.
    pub fn measured(&self, hosts: &[IpAddr]) -> Vec<Option<Duration>> {
        let mut known = BTreeMap::new();
        for peer in self.overlay.peers() {
            let host = peer.contact.addr.ip().to_canonical();
            let least = known.entry(host).or_insert(Duration::MAX);
            *least = peer.measured().min(*least);
        }
        let of = |host: &IpAddr| known.get(&host.to_canonical()).copied();
        let hosts = hosts.iter().map(of);
        hosts
            .map(|rtt| rtt.filter(|r| *r < Duration::MAX))
            .collect()
    }

    /// The node as it is now: tables, entries, totals.
    pub fn snapshot(&self) -> Snapshot {
        let coord = self.vivaldi.coord();
        let mut counters = self.counters.clone();
        counters.entries_evicted = self.cache.evicted();
        let row = |row: usize| {
            let all = self
                .overlay
                .row_contacts(row, &coord, &coord, &[], Instant::ZERO);
            (row, all.len())
        };
        let alive = self.overlay.peers().filter(|p| p.suspect.is_none());
        let nearest = alive.map(Peer::measured).min();
        Snapshot {
            id: self.id.to_string(),
            role: if self.is_client() { "client" } else { "index" },
            joined: self.join.joined,
            index: self.is_index(),
            home: self.home().and_then(|c| self.peer_view(&c.id)),
            observed: self.observed.map(|a| a.to_string()),
            coord: coord_view(&coord),
            leaves: self
                .overlay
                .leaf_ids()
                .iter()
                .filter_map(|id| self.peer_view(id))
                .collect(),
            rows: self.overlay.rows().into_iter().map(row).collect(),
            peers: self.overlay.len(),
            suspects: self.overlay.peers().filter(|p| p.suspect.is_some()).count(),
            nearest_rtt_us: nearest.and_then(measured_us),
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

    /// The routing table slot by slot, by row and column; only slots that have contacts.
    pub fn slots(&self) -> Vec<SlotView> {
        let slots = self.overlay.slots();
        slots
            .map(|(row, column, ids)| SlotView {
                row,
                column,
                contacts: ids.iter().filter_map(|id| self.peer_view(id)).collect(),
            })
            .collect()
    }

    /// The highest sequence number of its own publications so far, 0 before the first. A later run has to begin above it:
    /// see [`sequence_base`](super::NodeConfig::sequence_base).
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    fn peer_view(&self, id: &Id) -> Option<PeerView> {
        let peer = self.overlay.peer(id)?;
        let coord = peer.contact.coord;
        Some(PeerView {
            id: id.to_string(),
            addr: peer.contact.addr.to_string(),
            rtt_us: measured_us(peer.measured()),
            predicted_us: micros(self.vivaldi.coord().rtt(&coord)),
            suspect: peer.suspect.is_some(),
            coord: coord_view(&coord),
        })
    }
}

fn coord_view(coord: &Coord) -> CoordView {
    CoordView {
        position: coord.position,
        height: coord.height,
        error: coord.error,
    }
}

/// `None` for a node that was never measured.
fn measured_us(rtt: Duration) -> Option<u64> {
    Some(rtt).filter(|rtt| *rtt != Duration::MAX).map(micros)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
