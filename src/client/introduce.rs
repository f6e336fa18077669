//! Neighbours that are near are told who else is near.
//!
//! A lookup names some of the peers nearby, not all, and once answers bring nobody new lookups are rare: of two peers of
//! one site that never met each fetched from far what the other had. So near neighbours introduce each other: each
//! tells those near it the addresses of its near neighbours, when they change, at most once a second. Nearness is
//! measured by each for itself; an introduction is only a candidate.

use std::net::SocketAddr;

use super::Client;
use super::api::{Action, Candidate, NeighbourId, Source};
use super::config::AreaRule;
use crate::time::Instant;

/// Most addresses that one neighbour is told, the nearest first. // guess: a site's worth of a table of 32
pub const MAX_INTRODUCED: usize = 16;

/// What near neighbours were told.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    /// Who was near, as they were told.
    told: Vec<(NeighbourId, SocketAddr)>,
    /// The table's state that was looked at.
    seen: u64,
    /// When they may be told again.
    next: Instant,
}

impl Client {
    /// Where the other near neighbours accept connections, for a neighbour that is near itself; at most
    /// [`MAX_INTRODUCED`].
    pub fn introductions(&self, peer: NeighbourId) -> Vec<SocketAddr> {
        if !self.table.has_near(peer) {
            return Vec::new();
        }
        let others = self.near_and_listening().into_iter();
        let others = others.filter(|(id, _)| *id != peer).map(|(_, addr)| addr);
        others.take(MAX_INTRODUCED).collect()
    }

    /// A near neighbour names others that are near it: at most [`MAX_INTRODUCED`] count, and none of one that is not near.
    pub fn handle_introduced(&mut self, peer: NeighbourId, addrs: &[SocketAddr], now: Instant) {
        let Some(n) = self.neighbour(peer) else {
            return;
        };
        let apart = n.rtt;
        if !self.table.has_near(peer) {
            return;
        }
        let candidate = |addr: &SocketAddr| Candidate {
            addrs: vec![*addr],
            source: Source::Pex,
            apart,
            matched: 0,
            load: 0,
            reachable: true,
        };
        let some = addrs.iter().take(MAX_INTRODUCED);
        let candidates: Vec<Candidate> = some.map(candidate).collect();
        self.add_candidates(&candidates, now);
        self.settle(now);
    }

    /// The near neighbours of whom it is known where they accept connections, the nearest first.
    fn near_and_listening(&self) -> Vec<(NeighbourId, SocketAddr)> {
        let near = self.table.map.iter().filter(|(_, n)| self.table.is_near(n));
        let mut list: Vec<_> = near
            .filter_map(|(id, n)| Some((n.rtt, *id, n.listen?)))
            .collect();
        list.sort_unstable();
        list.into_iter().map(|(_, id, addr)| (id, addr)).collect()
    }

    pub(super) fn introducing_due(&self) -> Option<Instant> {
        let news = self.known && !self.stopped && self.config.area != AreaRule::Off;
        (news && self.introductions.seen != self.table.version()).then_some(self.introductions.next)
    }

    /// Introduces near neighbours to each other, if there are new ones.
    pub(super) fn introduce(&mut self) {
        if self.introducing_due().is_none_or(|t| t > self.clock) {
            return;
        }
        self.introductions.seen = self.table.version();
        let mut near = self.near_and_listening();
        near.sort_unstable();
        let told = &self.introductions.told;
        let new = near.iter().any(|n| !told.contains(n));
        if new && near.len() > 1 {
            let peers = near
                .iter()
                .map(|(peer, _)| Action::Introduce { peer: *peer });
            self.actions.extend(peers);
            self.introductions.next = self.clock + self.config.tell_far;
        }
        self.introductions.told = near;
    }
}
