//! Refusing at once, from both ends (paper section 4: "the server peer may reject the new chunk request entirely").
//!
//! A server that sends as many chunks as it can refuses the next request, so that the other looks elsewhere instead of
//! waiting in a queue. Who is refused has the chunk back, does not ask that neighbour for a second, longer with each
//! refusal in a row, and fetches from others meanwhile. Only after three in a row do lookups leave it out: it is busy,
//! not dead, and what is busy now is near still. The paper's client has lookups leave it out at once and asks for another
//! in its place ([`replace_refused`](super::ClientConfig::replace_refused)).
//!
//! The last places are for near neighbours while any of them asks: what they are refused they would fetch from far. Not
//! those of one that has everything: its uplink is what the whole swarm waits for.
//!
//! A server also knows what nobody else does, how often it has sent each chunk. With
//! [`ChunkOrder::LeastServed`] it keeps its last places for neighbours that are near, or give us something, or ask for
//! a chunk that it has sent no more often than its others: a copy of it is one more source.

use super::api::{Action, NeighbourId};
use super::candidates::doubled;
use super::config::ChunkOrder;
use super::{Client, Neighbour};
use crate::time::Instant;

/// One place in so many, and at least one, is kept for what has been sent least. // guess
const KEPT: usize = 4;

/// How often each chunk was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    times: Vec<u16>,
    total: u64,
}

impl Sent {
    /// The object has so many chunks; what was counted stays.
    pub(super) fn resize(&mut self, chunks: u32) {
        self.times.resize(chunks as usize, 0);
        self.total = self.times.iter().map(|t| u64::from(*t)).sum();
    }

    fn add(&mut self, chunk: u32) {
        if let Some(times) = self.times.get_mut(chunk as usize)
            && *times < u16::MAX
        {
            *times += 1;
            self.total += 1;
        }
    }

    fn times(&self, chunk: u32) -> u16 {
        self.times.get(chunk as usize).copied().unwrap_or(0)
    }
}

impl Client {
    /// A full neighbour refused at once to send this chunk, which is assigned to it: the chunk is free again, and the
    /// neighbour no server until its pause is over. Its other chunks stay with it: they may be on the way.
    ///
    /// Refusals of what was asked before the pause began are part of the same refusal.
    pub fn handle_refused(&mut self, peer: NeighbourId, chunk: u32, now: Instant) {
        if self.neighbour(peer).is_none() || self.picker.owner(chunk) != Some(peer) {
            return;
        }
        self.picker.unassign(chunk);
        self.table
            .change(peer, |n| n.assigned = n.assigned.saturating_sub(1));
        self.pause(peer, now);
        self.offer(chunk, false);
        self.settle(now);
    }

    /// A full neighbour refused at once to send something that is not assigned to it (a block of a chunk that others
    /// fetch): it has its pause as after [`handle_refused`](Self::handle_refused).
    pub fn handle_busy(&mut self, peer: NeighbourId, now: Instant) {
        if self.neighbour(peer).is_some() {
            self.pause(peer, now);
            self.settle(now);
        }
    }

    /// Whether the neighbour is left alone for a while because it refused, and for no other reason.
    pub fn is_paused(&self, peer: NeighbourId) -> bool {
        self.table
            .get(peer)
            .is_some_and(|n| n.paused_until.is_some() && n.ignored_until.is_none())
    }

    /// Does not ask the neighbour for a while, unless it is not asked anyway.
    fn pause(&mut self, peer: NeighbourId, now: Instant) {
        let (base, cap) = (self.config.refused_pause, self.config.max_refused_pause);
        let ignored = self.config.refusals_ignored;
        let often = self.table.change(peer, |n| {
            if n.paused_until.is_none_or(|t| t <= now) {
                n.paused_until = Some(now + doubled(base, n.refusals, cap));
                n.refusals = n.refusals.saturating_add(1);
            }
            n.listen.filter(|_| n.refusals >= ignored)
        });
        if let Some(addr) = often.flatten() {
            self.lookups.note_failure(addr, now);
        }
        if self.servers.set.remove(&peer).is_some() {
            self.asks.remove(&peer);
            self.actions.push_back(Action::Stop { peer });
        }
        self.servers.dirty = true;
        self.servers.refused |= self.config.replace_refused;
        self.dial_dirty |= self.config.replace_refused;
    }

    /// Whether a request of this neighbour for this chunk is to be served now, or refused.
    ///
    /// Served are neighbours with an upload slot that ask for a chunk that we hold, while fewer than
    /// [`uploads`](super::ClientConfig::uploads) chunks are being sent, counted between
    /// [`handle_upload_started`](Self::handle_upload_started) and [`handle_upload_ended`](Self::handle_upload_ended).
    pub fn admits(&self, peer: NeighbourId, chunk: u32) -> bool {
        let Some(n) = self.table.get(peer) else {
            return false;
        };
        if n.served.is_none() || !self.held.contains(chunk) {
            return false;
        }
        let limit = self.config.uploads;
        let busy = self.table.tally().uploads;
        if limit == 0 || n.uploads.contains(&chunk) {
            return true;
        }
        let kept = match self.config.order {
            ChunkOrder::LeastServed if limit > 1 => limit.div_ceil(KEPT),
            _ => 0,
        };
        let for_near = self.config.near_uploads.min(limit - 1);
        let only_near = busy + for_near >= limit && !self.is_full() && self.somebody_near_asks();
        if only_near && !self.table.is_near(n) {
            return false;
        }
        busy < limit - kept || (busy < limit && (self.is_favoured(n) || self.seldom_sent(chunk)))
    }

    fn somebody_near_asks(&self) -> bool {
        let mut all = self.table.map.values();
        all.any(|n| n.interested && self.table.is_near(n))
    }

    /// Whether the neighbour is near or sends us something.
    fn is_favoured(&self, n: &Neighbour) -> bool {
        self.table.is_near(n) || (!self.is_complete() && n.down.rate(self.clock) > 0)
    }

    /// Whether we have sent the chunk no more often than the mean of the chunks that we hold.
    fn seldom_sent(&self, chunk: u32) -> bool {
        let times = u64::from(self.sent_chunks.times(chunk));
        times * u64::from(self.held.count()) <= self.sent_chunks.total
    }

    /// A chunk of ours is being sent to the neighbour from now on. Counted once a chunk and neighbour.
    pub fn handle_upload_started(&mut self, peer: NeighbourId, chunk: u32, now: Instant) {
        self.clock = self.clock.max(now);
        if chunk >= self.held.len() {
            self.counters.bad_chunk += 1;
        } else if self.neighbour(peer).is_some() {
            self.table.change(peer, |n| n.uploads.insert(chunk));
        }
    }

    /// Nothing of the chunk is being sent to the neighbour any more, whether all of it was or not.
    pub fn handle_upload_ended(&mut self, peer: NeighbourId, chunk: u32, now: Instant) {
        self.clock = self.clock.max(now);
        if self.neighbour(peer).is_some() {
            self.table.change(peer, |n| n.uploads.remove(&chunk));
        }
    }

    /// All of the chunk was sent to the neighbour: see [`Client::times_served`].
    pub fn handle_chunk_sent(&mut self, peer: NeighbourId, chunk: u32, now: Instant) {
        self.clock = self.clock.max(now);
        if chunk >= self.held.len() {
            self.counters.bad_chunk += 1;
        } else if self.neighbour(peer).is_some() {
            self.sent_chunks.add(chunk);
        }
    }

    /// How often the chunk was sent to a neighbour, at most 65535.
    pub fn times_served(&self, chunk: u32) -> u16 {
        self.sent_chunks.times(chunk)
    }
}
