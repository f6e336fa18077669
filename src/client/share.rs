//! Who of those near each other fetches a chunk from far, so that it is fetched once.
//!
//! Peers of one area hear of a new chunk at the same moment, and all of them have room for it: telling each other what
//! they fetch comes too late. So each chunk is one peer's of the area (the highest weight of address and chunk, which
//! all compute alike), and that one asks for it at once. The others wait for `area_wait` before they ask a far server
//! for a chunk that is not theirs; by then they have been told that it is being fetched, or its peer cannot get it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt;

use super::Client;
use super::api::NeighbourId;
use super::config::{AreaRule, ChunkOrder};
use super::picker::Wish;
use super::table::any_common;
use crate::chunks::ChunkSet;
use crate::time::Instant;

/// Our share of the chunks.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Those of other peers of the area; `None`: there are none.
    others: Option<ChunkSet>,
    /// Who the others are.
    peers: Vec<SocketAddr>,
}

/// How much a peer is the one to fetch a chunk: the highest of an area is.
fn weight(peer: SocketAddr, chunk: u32) -> u64 {
    let ip = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        #[allow(clippy::cast_possible_truncation, reason = "folded to 64 bits")]
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64 ^ u128::from(ip) as u64,
    };
    // the finalizer of splitmix64
    let mut x = ip.rotate_left(16) ^ u64::from(peer.port());
    x = x.wrapping_add(u64::from(chunk).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Client {
    /// Shares the chunks out anew if others are near than before.
    pub(super) fn refresh_share(&mut self) {
        if self.config.area == AreaRule::Off || self.config.area_wait.is_zero() {
            return;
        }
        let near = self.table.map.values().filter(|n| self.table.is_near(n));
        let mut peers: Vec<SocketAddr> = near.filter_map(|n| n.listen).collect();
        peers.sort_unstable();
        let known = self.servers.share.others.as_ref();
        if peers == self.servers.share.peers && known.is_none_or(|o| o.len() == self.held.len()) {
            return;
        }
        let own = self.candidates.own().first().copied();
        let others = own.filter(|_| !peers.is_empty()).map(|own| {
            let theirs = |chunk: &u32| {
                let ours = weight(own, *chunk);
                peers.iter().any(|p| weight(*p, *chunk) > ours)
            };
            ChunkSet::from_indices(self.held.len(), (0..self.held.len()).filter(theirs))
        });
        self.servers.share = Share { others, peers };
    }

    /// The chunk to fetch from a server now.
    pub(super) fn pick_from(&mut self, peer: NeighbourId, near: bool, now: Instant) -> Option<u32> {
        let n = self.table.map.get(&peer)?;
        let avoid = self.servers.left_to_near(near, self.config.area);
        if let (Some(avoid), Some(others)) = (avoid, &self.servers.share.others) {
            let wish = Wish::held(peer, &n.held, [Some(avoid), Some(others)]);
            let ours = self.picker.pick(&mut self.rng, &wish);
            if ours.is_some() {
                return ours;
            }
            let any = any_common(&n.held, self.picker.free(), Some(avoid));
            let waits = match n.waits {
                None if any => Some(now + self.wait()),
                waits => waits.filter(|_| any),
            };
            let n = self.table.map.get_mut(&peer)?;
            n.waits = waits.filter(|t| *t > now);
            if !any || n.waits.is_some() {
                return None;
            }
        }
        let n = self.table.map.get(&peer)?;
        let avoid = self.servers.left_to_near(near, self.config.area);
        match self.config.order {
            ChunkOrder::RarestFirst | ChunkOrder::LeastServed => {
                let wish = Wish::held(peer, &n.held, [avoid, None]);
                self.picker.pick(&mut self.rng, &wish)
            }
            ChunkOrder::Random => self.picker.pick_any(&mut self.rng, &n.held, avoid),
        }
    }

    /// Between half of `area_wait` and one and a half: not all at the same time.
    fn wait(&mut self) -> Duration {
        self.config
            .area_wait
            .mul_f64(self.rng.random_range(0.5..1.5))
    }

    /// When the first of the servers has waited long enough.
    pub(super) fn first_wait(&self) -> Option<Instant> {
        let servers = self.servers.set.keys();
        let waits = servers.filter_map(|id| self.table.get(*id)?.waits);
        waits.filter(|t| *t > self.clock).min()
    }

    /// Asks the servers that have waited long enough.
    pub(super) fn end_waits(&mut self, now: Instant) {
        let over = |peer: &&NeighbourId| {
            let n = self.table.get(**peer);
            n.is_some_and(|n| n.waits.is_some_and(|t| t <= now))
        };
        let over: Vec<NeighbourId> = self.servers.set.keys().filter(over).copied().collect();
        self.asks.extend(over);
    }
}
