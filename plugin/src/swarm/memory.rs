//! The memory that open pieces may take, as far as the caller decides it: many torrents share one budget, and while the
//! disk refuses to write nothing new is begun.

use std::time::Duration;

use chunkcast::time::Instant;

use super::pieces::Torrent;
use super::{CloseReason, ConnId, Output, Swarm};

impl Swarm {
    /// Open pieces may take so many bytes from now on, however few [`Limits`](super::Limits) would allow; without a call
    /// there is no such bound. Pieces that are open stay so, and are finished; 0 only keeps new ones from being begun.
    pub fn set_memory(&mut self, bytes: u64, now: Instant) {
        let more = bytes >= self.memory;
        self.memory = bytes;
        if more {
            self.now = now;
            self.memory_short = false;
            self.refill = true;
            self.settle();
        }
    }

    /// Whether a piece could be begun with more memory than [`Swarm::set_memory`] allows: the bytes that it needs.
    pub fn memory_wanted(&self) -> Option<u64> {
        let torrent = self.torrent.as_ref().filter(|_| self.memory_short)?;
        Some(u64::from(torrent.layout().piece_length))
    }

    /// Bytes of the pieces that are open: begun, and not yet verified and written.
    pub fn open_bytes(&self) -> u64 {
        self.torrent.as_ref().map_or(0, Torrent::open_bytes)
    }

    /// Gives up pieces that were begun before `age` and of which nothing is asked for: others need their memory. They
    /// are fetched again from the start.
    pub fn give_up_idle(&mut self, age: Duration, now: Instant) {
        self.now = now;
        let Some(torrent) = &self.torrent else { return };
        let idle = |o: &super::pieces::OpenPiece| {
            let asked = o.blocks.iter().map(|b| b.asked).max();
            !o.checking
                && o.blocks.iter().all(|b| b.requests == 0)
                && asked.is_none_or(|at| now.saturating_since(at) >= age)
        };
        let pieces: Vec<u32> = (torrent.open.iter())
            .filter(|(_, o)| idle(o))
            .map(|(piece, _)| *piece)
            .collect();
        for piece in pieces {
            self.give_up_piece(piece);
        }
        self.settle();
    }

    /// Forgets all that has come of an open piece.
    pub(super) fn give_up_piece(&mut self, piece: u32) {
        let Some(open) = self.torrent.as_mut().and_then(|t| t.close(piece)) else {
            return;
        };
        for peer in self.peers.values_mut() {
            peer.down.pieces.retain(|p| *p != piece);
        }
        for worker in open.workers {
            self.client.handle_released(worker.into(), piece, self.now);
        }
        self.push(Output::Discard { piece });
    }

    /// Closes peers that have not read anything for [`Limits::upload_stuck`](super::Limits): others need the memory of
    /// what waits for them.
    pub fn close_stuck(&mut self, now: Instant) {
        self.now = now;
        let after = self.config.limits.upload_stuck;
        let stuck: Vec<ConnId> = (self.peers.iter())
            .filter(|(_, p)| p.up.is_stuck(after, now))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in stuck {
            self.close(conn, CloseReason::Silent);
        }
        self.settle();
    }
}
