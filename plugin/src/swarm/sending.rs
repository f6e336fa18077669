//! Which pieces are being sent to whom: what the client needs for its bound on uploads, and for knowing how often each
//! piece was sent (paper section 4: a server "may reject the new chunk request entirely").
//!
//! A piece is being sent to a peer from its first request that is let in until the kernel has taken as many bytes of it
//! as it is long, or the peer wants no more of it: it has the piece, cancelled the last request, is choked or gone, or
//! has asked for nothing more (or read nothing) for a while.
//!
//! Where the client bounds the number of pieces being sent
//! ([`uploads`](chunkcast::client::ClientConfig::uploads)), a request for one more is rejected at once. Two kinds of
//! requests wait instead. A peer that is being sent a piece asks for its next one early, to fill its pipeline: that is
//! decided when the piece is out, which frees a place. A peer without the Fast extension has no REJECT, and a choke would
//! drop what it waits for rightly: its request stays in the queue until there is a place.

use std::collections::VecDeque;

use chunkcast::time::Instant;

use super::peer::{Peer, Upload};
use super::{ConnId, DropReason, Swarm};
use crate::wire::message::BlockRef;

/// Stretches of pieces kept in the order in which they were sent; beyond, bytes count for the last of them.
const MAX_STRETCHES: usize = 1024; // guess: twice a full queue of blocks

/// A piece that is being sent to a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// Bytes of it that the kernel has not taken yet.
    left: u64,
    /// When it was begun, or the kernel last took some of it.
    pub(super) moved: Instant,
}

/// Sent and not yet with the kernel, in order: piece and bytes.
pub(super) type Stretches = VecDeque<(u32, u64)>;

impl Upload {
    /// A block of the piece was sent.
    pub(super) fn sent(&mut self, piece: u32, bytes: u64) {
        let full = self.stretches.len() >= MAX_STRETCHES;
        match self.stretches.back_mut() {
            Some((last, sum)) if *last == piece || full => *sum += bytes,
            _ => self.stretches.push_back((piece, bytes)),
        }
    }

    /// The kernel took so many bytes: the pieces that are whole by that.
    fn flushed(&mut self, mut bytes: u64, now: Instant) -> Vec<u32> {
        let mut whole = Vec::new();
        while bytes > 0
            && let Some((piece, sum)) = self.stretches.front_mut()
        {
            let part = bytes.min(*sum);
            bytes -= part;
            *sum -= part;
            let piece = *piece;
            if *sum == 0 {
                self.stretches.pop_front();
            }
            if let Some(sending) = self.pieces.get_mut(&piece) {
                sending.moved = now;
                sending.left = sending.left.saturating_sub(part);
                if sending.left == 0 {
                    whole.push(piece);
                }
            }
        }
        whole
    }

    /// Whether something of the piece is asked for, being read or not yet with the kernel.
    fn is_pending(&self, piece: u32) -> bool {
        let read = self
            .reading
            .iter()
            .any(|(b, wanted)| *wanted && b.piece == piece);
        read || self.queue.iter().any(|b| b.piece == piece)
            || self.stretches.iter().any(|(p, _)| *p == piece)
    }
}

impl Swarm {
    /// Whether the peer may be sent something of the piece now.
    pub(super) fn lets_in(&self, conn: ConnId, peer: &Peer, piece: u32) -> bool {
        self.config.client.uploads == 0
            || peer.up.pieces.contains_key(&piece)
            || self.client.admits(conn.into(), piece)
    }

    /// The place in the peer's queue of what is read for it next.
    pub(super) fn next_request(&self, conn: ConnId, peer: &Peer) -> Option<usize> {
        let queue = &peer.up.queue;
        queue.iter().position(|r| self.lets_in(conn, peer, r.piece))
    }

    /// The piece is being sent to the peer from now on.
    pub(super) fn begin_sending(&mut self, conn: ConnId, piece: u32) {
        let Some(torrent) = &self.torrent else { return };
        let left = u64::from(torrent.layout().piece_len(piece));
        let moved = self.now;
        if let Some(peer) = self.peers.get_mut(&conn)
            && !peer.up.pieces.contains_key(&piece)
        {
            peer.up.pieces.insert(piece, Sending { left, moved });
            self.client
                .handle_upload_started(conn.into(), piece, self.now);
        }
    }

    /// The piece is no longer being sent to the peer.
    fn end_sending(&mut self, conn: ConnId, piece: u32) {
        if let Some(peer) = self.peers.get_mut(&conn)
            && peer.up.pieces.remove(&piece).is_some()
        {
            self.client
                .handle_upload_ended(conn.into(), piece, self.now);
            self.decide_waiting(conn);
        }
    }

    /// A piece is out: the next one that the peer has asked for meanwhile gets a place or is rejected.
    fn decide_waiting(&mut self, conn: ConnId) {
        loop {
            let Some(peer) = self.peers.get(&conn) else {
                return;
            };
            let waits = |r: &&BlockRef| !peer.up.pieces.contains_key(&r.piece);
            let (fast, idle) = (peer.fast(), peer.up.pieces.is_empty());
            let Some(block) = peer.up.queue.iter().find(waits).copied() else {
                return;
            };
            if self.lets_in(conn, peer, block.piece) {
                self.begin_sending(conn, block.piece);
            } else if fast && idle {
                let Some(peer) = self.peers.get_mut(&conn) else {
                    return;
                };
                peer.up.queue.retain(|r| *r != block);
                self.refuse_busy(conn, block);
            } else {
                return;
            }
        }
    }

    /// Nothing is sent to the peer any more: it is choked.
    pub(super) fn end_all_sending(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let pieces: Vec<u32> = peer.up.pieces.keys().copied().collect();
        for piece in pieces {
            self.end_sending(conn, piece);
        }
    }

    /// The peer cancelled a request of the piece, or has it now.
    pub(super) fn end_sending_if_done(&mut self, conn: ConnId, piece: u32) {
        let done = |p: &Peer| p.up.pieces.contains_key(&piece) && !p.up.is_pending(piece);
        if self.peers.get(&conn).is_some_and(done) {
            self.end_sending(conn, piece);
        }
    }

    /// The kernel took `bytes` of blocks.
    pub(super) fn on_pieces_flushed(&mut self, conn: ConnId, bytes: u64) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        for piece in peer.up.flushed(bytes, self.now) {
            self.end_sending(conn, piece);
            self.client.handle_chunk_sent(conn.into(), piece, self.now);
        }
    }

    /// Pieces of which the peer asks nothing more, or which it does not read, no longer count.
    pub(super) fn check_sending(&mut self, conn: ConnId) {
        let (limits, now) = (&self.config.limits, self.now);
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let stuck = peer.up.is_stuck(limits.upload_stuck, now);
        let idle = |s: &Sending| now.saturating_since(s.moved) >= limits.upload_idle;
        let over: Vec<u32> = peer
            .up
            .pieces
            .iter()
            .filter(|(piece, s)| idle(s) && (stuck || !peer.up.is_pending(**piece)))
            .map(|(piece, _)| *piece)
            .collect();
        for piece in over {
            self.end_sending(conn, piece);
        }
    }

    /// There is no place for the request. More refusals in a second than a queue holds are a flood: nobody has as many
    /// requests on the way.
    pub(super) fn refuse_busy(&mut self, conn: ConnId, block: BlockRef) {
        let (limit, now) = (self.config.limits.max_queue, self.now);
        self.counters.refused += 1;
        self.refuse(conn, block);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.up.refused.exceeds(limit, now) {
            self.fault(conn, DropReason::QueueFull);
        }
    }
}
