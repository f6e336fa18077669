//! Who of those near each other fetches a chunk from far, so that it is fetched once, and which area fetches it first.
//!
//! Peers of one area hear of a new chunk at the same moment, and all of them have room for it: telling each other what
//! they fetch comes too late. So each chunk has an order of the area's peers (by a weight of address and chunk, which
//! all compute alike). The first asks a far server at once. The second does so when `area_wait` has passed since a
//! neighbour last got the chunk, the third after twice that, and so on; by then they have been told that it is being
//! fetched, or those before them cannot get it. Whoever waits does so for each chunk: the next one that comes is not
//! fetched because the wait for another is over.
//!
//! The same weights share the chunks out among areas: one whose first peer of all downloaders in view is far is left to
//! that peer's area for `abroad_wait`, and asked of a server that has everything after what is our area's. Otherwise two areas
//! ask the same uplink for the same chunks, one of which could have been passed on. // measured: 1.26 copies left the
//! seed's site

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Client;
use super::api::NeighbourId;
use super::config::{AreaRule, ChunkOrder, ClientConfig};
use super::picker::Wish;
use super::table::{Neighbour, any_common};
use crate::chunks::ChunkSet;
use crate::time::Instant;

/// Whose turn the chunks are.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// For each chunk how many of the area come before us; `None`: there is nobody to share with.
    turns: Option<Vec<u8>>,
    /// Chunks for which somebody comes before us, or another area.
    others: ChunkSet,
    /// Chunks that are first another area's.
    abroad: ChunkSet,
    /// Who the others are: near ones and far ones.
    peers: [Vec<SocketAddr>; 2],
    /// When a neighbour last got the chunk.
    seen: Vec<Instant>,
}

impl Share {
    /// One more neighbour has the chunk.
    pub(super) fn see(&mut self, chunk: u32, now: Instant) {
        let at = chunk as usize;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, Instant::ZERO);
        }
        self.seen[at] = now;
    }

    /// When we may ask a far server for the chunk, one that has everything or not.
    fn due(&self, chunk: u32, complete: bool, config: &ClientConfig) -> Instant {
        let Some(turns) = &self.turns else {
            return Instant::ZERO;
        };
        let turn = u32::from(turns.get(chunk as usize).copied().unwrap_or(0));
        let abroad = complete && self.abroad.contains(chunk);
        let wait = config.area_wait * turn
            + if abroad {
                config.abroad_wait
            } else {
                Duration::ZERO
            };
        let seen = self.seen.get(chunk as usize).copied();
        seen.unwrap_or(Instant::ZERO) + wait
    }
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
    /// Shares the chunks out anew if others are near, or download, than before.
    pub(super) fn refresh_share(&mut self) {
        if self.config.area == AreaRule::Off || self.config.area_wait.is_zero() {
            return;
        }
        let sharing = |near: bool| {
            let shares = |n: &&Neighbour| {
                let is_near = self.table.is_near(n);
                is_near == near
                    && (near || !n.wants_nothing() && !self.config.abroad_wait.is_zero())
            };
            let mut peers: Vec<SocketAddr> = self
                .table
                .map
                .values()
                .filter(shares)
                .filter_map(|n| n.listen)
                .collect();
            peers.sort_unstable();
            peers
        };
        let peers = [sharing(true), sharing(false)];
        let chunks = self.held.len();
        let share = &self.servers.share;
        if peers == share.peers && share.others.len() == chunks {
            return;
        }
        let (mut turns, mut others, mut abroad) = (None, Vec::new(), Vec::new());
        let [near, far] = &peers;
        if let Some(own) = self.candidates.own().first().copied()
            && !(near.is_empty() && far.is_empty())
        {
            let turn = |chunk: u32| {
                let own = weight(own, chunk);
                let weights = near.iter().map(|p| weight(*p, chunk));
                let (before, best) = weights.fold((0u8, own), |(before, best), w| {
                    (before.saturating_add(u8::from(w > own)), best.max(w))
                });
                let far = far.iter().any(|p| weight(*p, chunk) > best);
                abroad.extend(far.then_some(chunk));
                others.extend((far || before > 0).then_some(chunk));
                before
            };
            turns = Some((0..chunks).map(turn).collect());
        }
        let share = &mut self.servers.share;
        share.turns = turns;
        share.others = ChunkSet::from_indices(chunks, others);
        share.abroad = ChunkSet::from_indices(chunks, abroad);
        share.peers = peers;
    }

    /// The chunk to fetch from a server now.
    pub(super) fn pick_from(&mut self, peer: NeighbourId, near: bool, now: Instant) -> Option<u32> {
        let n = self.table.map.get(&peer)?;
        let avoid = self.servers.left_to_near(near, self.config.area);
        let shared = avoid.is_some() && self.servers.share.turns.is_some();
        if shared && !any_common(&n.held, self.picker.free(), avoid) {
            return None;
        }
        let picked = if self.classes.is_empty() {
            self.pick_among(peer, near, None, now)
        } else {
            (0..self.classes.len()).find_map(|at| self.pick_among(peer, near, Some(at), now))
        };
        if picked.is_none() && shared {
            let again = now + self.config.area_wait / 2;
            let n = self.table.map.get_mut(&peer)?;
            n.waits = n.waits.filter(|t| *t > now).or(Some(again));
        }
        picked
    }

    /// The same of the chunks of a class, or of all.
    fn pick_among(
        &mut self,
        peer: NeighbourId,
        near: bool,
        class: Option<usize>,
        now: Instant,
    ) -> Option<u32> {
        let n = self.table.map.get(&peer)?;
        let avoid = self.servers.left_to_near(near, self.config.area);
        let among = class.and_then(|at| self.classes.get(at));
        let held = |avoid| Wish::held(peer, &n.held, avoid).among(among);
        let share = &self.servers.share;
        let (picker, rng) = (&self.picker, &mut self.rng);
        if let (Some(avoid), true) = (avoid, share.turns.is_some()) {
            let complete = n.is_complete();
            let ours = held([Some(avoid), Some(&share.others)]);
            let first = held([Some(avoid), complete.then_some(&share.abroad)]);
            let all = held([Some(avoid), None]);
            let due = |c: u32| share.due(c, complete, &self.config) <= now;
            return picker
                .pick(rng, &ours)
                .or_else(|| picker.pick_that(rng, &first, due))
                .or_else(|| picker.pick_that(rng, &all, due).filter(|_| complete));
        }
        let wish = held([avoid, None]);
        match self.config.order {
            ChunkOrder::RarestFirst | ChunkOrder::LeastServed => picker.pick(rng, &wish),
            ChunkOrder::Random => picker.pick_any(rng, &wish),
        }
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
