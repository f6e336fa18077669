//! Housekeeping, a few times a second while requests are outstanding: windows, lost requests, keep-alives, silence.

use std::time::Duration;

use chunkcast::time::Instant;

use super::peer::Peer;
use super::{CloseReason, ConnId, Limits, Swarm};
use crate::metadata::BLOCK;
use crate::wire::message::Message;

/// Pause after which peers that refused metadata are asked for it again.
const METADATA_RETRY: Duration = Duration::from_secs(30); // guess: libtorrent waits a minute

impl Swarm {
    pub(super) fn on_timeout(&mut self) {
        self.client.handle_timeout(self.now);
        if self.now < self.tick {
            return;
        }
        let since = self.now.saturating_since(self.last_tick);
        self.last_tick = self.now;
        self.refresh_distances();
        self.update_far_window();
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.look_after(conn, since);
        }
        if self.torrent.is_none()
            && self.now.saturating_since(self.metadata_retry) >= METADATA_RETRY
        {
            self.metadata_retry = self.now;
            for conn in self.peers.keys() {
                self.assembly.retry(conn.0);
            }
        }
        self.request_metadata();
        // Requests have aged: more may be rescued now.
        self.refill = true;
    }

    /// Takes over which peers the client counts as near.
    fn refresh_distances(&mut self) {
        for view in self.client.neighbours() {
            if let Some(peer) = self.peers.get_mut(&view.id.into()) {
                peer.near = view.near;
            }
        }
    }

    fn look_after(&mut self, conn: ConnId, since: Duration) {
        let (limits, now) = (self.config.limits, self.now);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if now.saturating_since(peer.last_received) >= limits.silence {
            return self.close(conn, CloseReason::Silent);
        }
        let tokens = |rate: u32| {
            let per_tick =
                u64::from(rate) * u64::try_from(since.as_millis()).unwrap_or(u64::MAX) / 1000;
            u32::try_from(per_tick).unwrap_or(u32::MAX).max(1)
        };
        peer.noise = peer.noise.saturating_sub(tokens(limits.noise_decay));
        peer.ext.tokens = peer
            .ext
            .tokens
            .saturating_add(tokens(limits.metadata_rate))
            .min(limits.metadata_rate);
        update_window(peer, &limits, now);
        peer.up.measure(since);
        let silent = now.saturating_since(peer.last_sent) >= limits.keepalive;
        self.serve_metadata(conn);
        self.check_metadata(conn);
        self.check_requests(conn);
        self.check_status(conn);
        self.check_sending(conn);
        self.exchange(conn);
        if silent {
            self.send_keepalive(conn);
        }
    }

    fn send_keepalive(&mut self, conn: ConnId) {
        // A keep-alive is nobody's first word: the bitfield stays possible.
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.last_sent = self.now;
            self.push(super::Output::Send {
                conn,
                msg: Message::KeepAlive,
            });
        }
    }

    /// Gives up requests that are not answered.
    fn check_requests(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.down.outstanding.is_empty() {
            return;
        }
        let silent = self.now.saturating_since(peer.down.alive);
        if silent >= request_timeout(peer, &self.config.limits) {
            if peer.choking {
                let allowed = std::mem::take(&mut peer.down.allowed);
                self.give_up_requests(conn);
                for piece in allowed {
                    self.disallow(conn, piece);
                }
            } else {
                self.stall(conn);
            }
            return;
        }
        let longest = self.config.limits.max_request_timeout;
        let lost: Vec<_> = peer
            .down
            .outstanding
            .iter()
            .filter(|(_, sent)| self.now.saturating_since(**sent) >= longest)
            .map(|(key, _)| *key)
            .collect();
        for key in lost {
            self.give_up(conn, key);
        }
    }

    /// When the housekeeping is due.
    pub(super) fn plan_tick(&mut self) {
        let busy = self.outstanding > 0
            || self.torrent.as_ref().is_some_and(|t| !t.open.is_empty())
            || self
                .peers
                .values()
                .any(|p| !p.ext.asked.is_empty() || !p.ext.wants.is_empty() || p.up.is_busy());
        let limits = &self.config.limits;
        let soonest = self.last_tick + limits.busy_tick;
        let due = if busy {
            soonest
        } else {
            // when busy a ping waits for the next tick anyway, and nobody looks for it after every input
            let ping = self.peers.values().filter_map(|p| self.ping_due(p)).min();
            let idle = self.last_tick + limits.idle_tick;
            ping.map_or(idle, |at| at.max(soonest).min(idle))
        };
        self.tick = if due <= self.now && self.tick > self.now {
            // there was nothing to do for longer than the period of the busy
            self.tick.min(self.now + limits.busy_tick)
        } else {
            due
        };
    }
}

/// Silence after which a peer's requests count as lost: longer for one that is slow but owes much.
fn request_timeout(peer: &Peer, limits: &Limits) -> Duration {
    let owed = peer.down.outstanding.len() as u64 * u64::from(BLOCK);
    let drain = match peer.down.rate {
        0 => Duration::ZERO,
        rate => Duration::from_millis(2000 * owed / rate),
    };
    (limits.request_timeout + drain).min(limits.max_request_timeout)
}

/// Measures the peer's rate and sizes its pipeline to two round-trips and a queue's worth of it.
fn update_window(peer: &mut Peer, limits: &Limits, now: Instant) {
    let down = &mut peer.down;
    let elapsed = now.saturating_since(down.since);
    if elapsed < limits.busy_tick / 2 || (down.outstanding.is_empty() && down.counted == 0) {
        return;
    }
    let micros = u64::try_from(elapsed.as_micros())
        .unwrap_or(u64::MAX)
        .max(1);
    let current = down.counted.saturating_mul(1_000_000) / micros;
    down.rate = match down.rate {
        0 => current,
        rate if current > rate => (rate + current) / 2,
        rate => (3 * rate + current) / 4,
    };
    down.counted = 0;
    down.since = now;
    let blocks = u32::try_from(wanted_bytes(peer, limits) / u64::from(BLOCK)).unwrap_or(u32::MAX);
    let down = &mut peer.down;
    if !down.snubbed && down.rate > 0 {
        let least = down.least_window(limits, now);
        down.window = blocks.saturating_add(1).clamp(least, limits.max_window);
    }
}

/// Two round-trips' and a queue's worth of the peer's rate.
pub(super) fn wanted_bytes(peer: &Peer, limits: &Limits) -> u64 {
    let rtt = peer.rtt().unwrap_or_default();
    let queue = if peer.is_stranger() {
        limits.stranger_queue_time
    } else {
        limits.queue_time
    };
    let span = queue + 2 * rtt.min(limits.request_timeout);
    let bytes = u128::from(peer.down.rate) * span.as_micros() / 1_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
