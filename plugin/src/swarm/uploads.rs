//! Requests of peers: queues, turns, and the bytes that may wait in our own sockets.
//!
//! Near peers and far peers have a budget each, or far ones would pin the shared one and the near ones crawl. A peer's
//! turn lasts to the end of the piece that was begun for it (at most [`Limits::upload_turn`](super::Limits)): a whole
//! piece can be passed on, sixteen halves cannot.

use std::ops::Bound;

use bytes::Bytes;

use super::peer::{Peer, Upload};
use super::{CloseReason, ConnId, DropReason, Output, Swarm};
use crate::wire::message::{BlockRef, Message};

/// What becomes of a request that is in order.
enum Answer {
    /// It waits for its turn.
    Queued,
    /// As many pieces are being sent as may be.
    Busy,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The peer served last.
    at: Option<ConnId>,
    /// The piece that it was served from.
    piece: Option<u32>,
    /// Bytes of that piece in this turn.
    sent: u64,
}

impl Swarm {
    /// An upload slot is given or taken.
    pub(super) fn serve(&mut self, conn: ConnId, serve: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.up.serving == serve {
            return;
        }
        peer.up.serving = serve;
        if serve {
            return self.send(conn, Message::Unchoke);
        }
        let mut dropped: Vec<BlockRef> = peer.up.queue.drain(..).collect();
        for (block, wanted) in &mut peer.up.reading {
            if std::mem::take(wanted) {
                dropped.push(*block);
            }
        }
        self.end_all_sending(conn);
        self.send(conn, Message::Choke);
        for block in dropped {
            self.refuse(conn, block);
        }
        self.offer_fast(conn);
    }

    /// Answers a request that is not served: REJECT with Fast, else silence.
    pub(super) fn refuse(&mut self, conn: ConnId, block: BlockRef) {
        if self.peers.get(&conn).is_some_and(Peer::fast) {
            self.send(conn, Message::Reject(block));
        }
    }

    pub(super) fn on_request(&mut self, conn: ConnId, r: BlockRef) {
        match self.take_request(conn, r) {
            Ok(Answer::Queued) => {}
            Ok(Answer::Busy) => self.refuse_busy(conn, r),
            Err(reason) => {
                // A second request for a block in the queue is answered once.
                if reason != DropReason::DuplicateRequest {
                    self.refuse(conn, r);
                }
                self.fault(conn, reason);
            }
        }
    }

    fn take_request(&mut self, conn: ConnId, r: BlockRef) -> Result<Answer, DropReason> {
        let limits = self.config.limits;
        let allowed = self.allows_choked(conn, r);
        let Some(torrent) = &self.torrent else {
            return Err(DropReason::NotHeld);
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(Answer::Queued);
        };
        if !torrent.layout().contains(r.piece, r.begin, r.len) || r.len > limits.max_block {
            return Err(DropReason::BadRequest);
        }
        if !peer.up.serving && !allowed {
            return Err(DropReason::ChokedRequest);
        }
        // who hears of everything may ask for what it was not told of because it had it
        let told = peer.announce || peer.told.contains(r.piece);
        if !torrent.held.contains(r.piece) || !told {
            return Err(DropReason::NotHeld);
        }
        if let Some(wanted) = peer.up.reading.get_mut(&r) {
            let again = std::mem::replace(wanted, true);
            return if again {
                Err(DropReason::DuplicateRequest)
            } else {
                Ok(Answer::Queued)
            };
        }
        if peer.up.queue.contains(&r) {
            return Err(DropReason::DuplicateRequest);
        }
        if peer.up.queue.len() >= limits.max_queue {
            return Err(DropReason::QueueFull);
        }
        let Some(peer) = self.peers.get(&conn) else {
            return Ok(Answer::Queued);
        };
        if self.lets_in(conn, peer, r.piece) {
            self.begin_sending(conn, r.piece);
        } else if peer.fast() && peer.up.pieces.is_empty() {
            return Ok(Answer::Busy);
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.up.queue.push_back(r);
            if !peer.up.serving {
                self.spend_choked(conn, r);
            }
        }
        Ok(Answer::Queued)
    }

    pub(super) fn on_cancel(&mut self, conn: ConnId, r: BlockRef) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let queued = peer.up.queue.iter().position(|q| *q == r);
        let found = match queued {
            Some(at) => peer.up.queue.remove(at).is_some(),
            None => peer.up.reading.get_mut(&r).is_some_and(std::mem::take),
        };
        if found {
            self.refuse(conn, r);
            self.end_sending_if_done(conn, r.piece);
        } else {
            // The block and the CANCEL crossed on the wire, or nobody asked.
            self.fault(conn, DropReason::Unasked);
        }
    }

    /// Begins as many reads as the budgets allow.
    pub(super) fn pump_uploads(&mut self) {
        let limits = self.config.limits;
        if self.peers.values().all(|p| p.up.queue.is_empty()) {
            return;
        }
        let mut pending = [0u64; 2];
        let mut rates = [0u64; 2];
        let now = self.now;
        let flowing = self
            .peers
            .values()
            .filter(|p| !p.up.is_stuck(limits.upload_stuck, now));
        for peer in flowing {
            pending[usize::from(peer.near)] += peer.up.pending();
            rates[usize::from(peer.near)] += peer.up.rate;
        }
        let budgets = rates.map(|rate| limits.upload_budget.max(limits.sent_at(rate)));
        while let Some((conn, at)) = self.next_turn(pending, budgets) {
            let Some(peer) = self.peers.get_mut(&conn) else {
                break;
            };
            let Some(block) = peer.up.queue.remove(at) else {
                break;
            };
            if peer.up.pending() == 0 {
                peer.up.moved = Some(now);
            }
            peer.up.reading.insert(block, true);
            peer.up.reading_bytes += u64::from(block.len);
            pending[usize::from(peer.near)] += u64::from(block.len);
            let same = self.turn.at == Some(conn) && self.turn.piece == Some(block.piece);
            self.turn.sent = u64::from(block.len) + if same { self.turn.sent } else { 0 };
            self.turn.at = Some(conn);
            self.turn.piece = Some(block.piece);
            self.begin_sending(conn, block.piece);
            self.push(Output::Read { conn, block });
        }
    }

    /// The place in the peer's queue of what may be read for it while `pending` bytes are for far and near ones.
    fn readable(
        &self,
        conn: ConnId,
        p: &Peer,
        pending: [u64; 2],
        budgets: [u64; 2],
    ) -> Option<usize> {
        let limits = &self.config.limits;
        if !p.up.serving && !p.up.offered {
            return None;
        }
        let at = self.next_request(conn, p)?;
        let (own, shared) = (p.up.pending(), pending[usize::from(p.near)]);
        let budget = budgets[usize::from(p.near)];
        let len = u64::from(p.up.queue[at].len);
        let most = limits.peer_upload.max(limits.sent_at(p.up.rate));
        let fits = (own == 0 || own + len <= most) && (shared == 0 || shared + len <= budget);
        fits.then_some(at)
    }

    /// The peer whose request is read next, and that request's place in its queue.
    fn next_turn(&self, pending: [u64; 2], budgets: [u64; 2]) -> Option<(ConnId, usize)> {
        let readable = |conn: ConnId, p: &Peer| {
            let at = self.readable(conn, p, pending, budgets)?;
            Some((conn, at))
        };
        let Some(turn) = self.turn.at else {
            return self.peers.iter().find_map(|(conn, p)| readable(*conn, p));
        };
        if self.turn.sent < self.config.limits.upload_turn
            && let Some(p) = self.peers.get(&turn)
            && let Some((conn, at)) = readable(turn, p)
            && Some(p.up.queue[at].piece) == self.turn.piece
        {
            return Some((conn, at));
        }
        let after = self.peers.range((Bound::Excluded(turn), Bound::Unbounded));
        let before = self.peers.range(..=turn);
        after.chain(before).find_map(|(conn, p)| readable(*conn, p))
    }

    /// A block was read.
    pub(super) fn on_block_read(&mut self, conn: ConnId, block: BlockRef, data: Option<Bytes>) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(wanted) = peer.up.reading.remove(&block) else {
            return;
        };
        peer.up.reading_bytes -= u64::from(block.len);
        if !wanted {
            return;
        }
        let data = data.filter(|data| data.len() == block.len as usize);
        if let Some(data) = data {
            peer.up.unflushed += u64::from(block.len);
            peer.up.sent(block.piece, u64::from(block.len));
            let BlockRef { piece, begin, .. } = block;
            return self.send(conn, Message::Piece { piece, begin, data });
        }
        self.counters.read_errors += 1;
        if peer.fast() {
            self.refuse(conn, block);
        } else {
            self.close(conn, CloseReason::ReadFailed);
        }
    }

    /// Bytes of blocks are with the kernel.
    pub(super) fn on_flushed(&mut self, conn: ConnId, bytes: u64) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Upload {
            unflushed,
            bytes: total,
            moved,
            ..
        } = &mut peer.up;
        let bytes = bytes.min(*unflushed);
        *moved = Some(self.now);
        *unflushed -= bytes;
        *total += bytes;
        self.counters.uploaded += bytes;
        self.count_distance(conn, 0, bytes);
        self.client.handle_sent(conn.into(), bytes, self.now);
        self.on_pieces_flushed(conn, bytes);
    }
}
