//! What our own rate limits do to connections: nobody is blamed for time in which it was we who did not listen or did
//! not send, and queues are no longer than what a low rate moves in a moment.

use std::time::Duration;

use chunkcast::time::Instant;

use super::peer::Peer;
use super::pieces::BlockKey;
use super::{ConnId, Limits, Swarm};
use crate::metadata::BLOCK;

/// Fewest bytes of blocks that may be on their way to the kernel at a low rate, over all near or all far peers: as many
/// as their reading takes.
const LEAST_UPLOAD: u64 = 4 * BLOCK as u64; // guess

/// Longest time since a peer's last block, or the first request, in which limits excuse it.
const LONGEST: Duration = Duration::from_secs(600); // 500 peers have 16 KiB/s: a block each in 500 s

/// Seconds' worth of a low rate that is asked of all peers together, or more of them would each take long for a block.
const OUTSTANDING_SECONDS: u32 = 5; // guess: half of a request's timeout

/// Requests outstanding at all peers at any rate.
const LEAST_OUTSTANDING: u32 = 5; // guess: one peer that does not answer leaves four

/// How long a peer counts as held by limits after it was.
const HELD_FOR: Duration = Duration::from_secs(2); // guess: several periods of the housekeeping

impl Limits {
    /// These limits for a torrent that gets `down` and gives `up` bytes a second at most (`None`: unlimited): a second's
    /// worth may be asked of a peer at first, and be on its way to the kernel, and a few seconds' be asked of all.
    #[must_use]
    pub fn at_rates(mut self, down: Option<u64>, up: Option<u64>) -> Self {
        if let Some(rate) = down {
            let blocks = u32::try_from(rate / u64::from(BLOCK)).unwrap_or(u32::MAX);
            self.first_window = self.first_window.min(blocks.max(1));
            self.min_window = self.min_window.min(self.first_window);
            let all = blocks.saturating_mul(OUTSTANDING_SECONDS);
            self.max_outstanding = self.max_outstanding.min(all.max(LEAST_OUTSTANDING));
        }
        if let Some(rate) = up {
            self.upload_budget = self.upload_budget.min(rate.max(LEAST_UPLOAD));
            self.peer_upload = self.peer_upload.min(self.upload_budget / 2);
            self.upload_turn = self.upload_turn.min(rate.max(LEAST_UPLOAD));
        }
        self
    }
}

impl Swarm {
    /// Other limits from now on; pipelines and queues follow as they empty.
    ///
    /// # Panics
    /// Never; limits that contradict each other make a slow torrent. See [`Limits::validate`].
    pub fn set_limits(&mut self, limits: Limits) {
        self.config.limits = limits;
    }

    /// Our rate limits have kept us from reading what `conn` sent for `down`, and from sending it blocks for `up`: the
    /// peer is not to blame for that time.
    pub fn handle_held(&mut self, conn: ConnId, down: Duration, up: Duration, now: Instant) {
        self.now = now;
        if !down.is_zero() {
            self.on_held_down(conn, down);
        }
        if !up.is_zero() {
            self.on_held_up(conn, up);
        }
        self.settle();
    }

    /// Whether the block is owed by a peer from which our limits keep us: asked of another, it would only wait there too.
    pub(super) fn waits_for_us(&self, key: BlockKey) -> bool {
        let held = |p: &Peer| p.down.is_held(self.now) && p.down.outstanding.contains_key(&key);
        self.peers.values().any(held)
    }

    fn on_held_down(&mut self, conn: ConnId, span: Duration) {
        let now = self.now;
        let later = |at: &mut Instant| *at = (*at + span).min(now);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.last_received = now;
        let down = &mut peer.down;
        down.held = Some(now);
        down.excused += span;
        if down.excused > LONGEST {
            return;
        }
        later(&mut down.alive);
        down.outstanding.values_mut().for_each(later);
        if let Some((_, sent)) = &mut down.probe {
            later(sent);
        }
        peer.ext.asked.values_mut().for_each(later);
        if let Some(torrent) = &mut self.torrent {
            for (piece, block) in down.outstanding.keys() {
                if let Some(open) = torrent.open.get_mut(piece) {
                    later(&mut open.blocks[*block as usize].asked);
                }
            }
        }
    }

    fn on_held_up(&mut self, conn: ConnId, span: Duration) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let later = |at: &mut Instant| *at = (*at + span).min(now);
        if let Some(moved) = &mut peer.up.moved {
            later(moved);
        }
        for sending in peer.up.pieces.values_mut() {
            later(&mut sending.moved);
        }
    }
}

impl super::peer::Download {
    /// Whether limits have held what it sent of late, and still excuse it.
    fn is_held(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_since(at) < HELD_FOR;
        self.excused <= LONGEST && self.held.is_some_and(lately)
    }

    /// Fewest requests in the pipeline: a single one while limits hold what the peer sends.
    pub(super) fn least_window(&self, limits: &Limits, now: Instant) -> u32 {
        if self.is_held(now) {
            1
        } else {
            limits.min_window
        }
    }
}
