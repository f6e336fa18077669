//! Blocks come in, peers choke and reject, pieces turn out good or bad.

use std::time::Duration;

use bytes::Bytes;

use super::blame::Contributor;
use super::peer::Download;
use super::pieces::BlockKey;
use super::{ConnId, DropReason, Output, PieceResult, Swarm};
use crate::wire::message::{BlockRef, Message};

impl Swarm {
    /// A block.
    pub(super) fn on_block(&mut self, conn: ConnId, piece: u32, begin: u32, data: Bytes) {
        let now = self.now;
        let found = self.torrent.as_ref().and_then(|t| t.block_at(piece, begin));
        let Some((key, len)) = found else {
            return self.fault(conn, DropReason::Unrequested);
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let requested = peer.down.outstanding.contains_key(&key) || peer.down.take_late(key);
        if !requested {
            return self.fault(conn, DropReason::Unrequested);
        }
        if data.len() != len as usize {
            return self.fault(conn, DropReason::BlockLength);
        }
        let down = &mut peer.down;
        down.snubbed = false;
        down.alive = now;
        down.excused = Duration::ZERO;
        down.bytes += u64::from(len);
        down.counted += u64::from(len);
        let probe = down.probe.take_if(|(asked, _)| *asked == key);
        if let Some((_, sent)) = probe {
            self.measured(conn, now.saturating_since(sent));
        }
        self.client
            .handle_received(conn.into(), u64::from(len), now);
        self.counters.received += u64::from(len);
        self.count_distance(conn, u64::from(len), 0);
        self.store(conn, key, begin, data);
        self.unrequest(conn, key);
        self.fill(conn);
    }

    /// A round-trip time measured from a request and its answer.
    pub(super) fn measured(&mut self, conn: ConnId, rtt: Duration) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.down.rtt = Some(peer.down.rtt.map_or(rtt, |least| least.min(rtt)));
            self.client.handle_rtt(conn.into(), rtt, self.now);
        }
    }

    /// Keeps the block if it is still missing.
    fn store(&mut self, conn: ConnId, (piece, block): BlockKey, begin: u32, data: Bytes) {
        let exclusive = self.blame.is_exclusive(piece);
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let sender = Contributor {
            conn,
            addr: peer.listen.unwrap_or(peer.info.addr),
        };
        let open = self.torrent.as_mut().and_then(|t| t.open.get_mut(&piece));
        let open = open.filter(|o| {
            let mixed = exclusive && o.contributors.iter().any(|c| c.conn != conn);
            !o.checking && !mixed && o.blocks[block as usize].from.is_none()
        });
        let Some(open) = open else {
            self.counters.wasted += data.len() as u64;
            return self.fault(conn, DropReason::Duplicate);
        };
        let at = open
            .contributors
            .iter()
            .position(|c| c.conn == conn)
            .unwrap_or_else(|| {
                open.contributors.push(sender);
                open.contributors.len() - 1
            });
        open.received(
            block,
            u16::try_from(at).unwrap_or(u16::MAX),
            self.blame.digest(&data),
        );
        let done = open.left == 0;
        open.checking = done;
        self.push(Output::Store { piece, begin, data });
        self.cancel_elsewhere(conn, (piece, block));
        if done {
            self.push(Output::Finish { piece });
        }
    }

    /// The block has come: whoever else was asked for it need not send it.
    fn cancel_elsewhere(&mut self, conn: ConnId, key: BlockKey) {
        // A peer that let the request lie may still have it in its queue.
        let owes = |d: &Download| d.outstanding.contains_key(&key) || (d.snubbed && d.is_late(key));
        let owing: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(other, p)| **other != conn && owes(&p.down))
            .map(|(other, _)| *other)
            .collect();
        for other in owing {
            self.give_up(other, key);
            self.send_cancel(other, key);
        }
    }

    pub(super) fn send_cancel(&mut self, conn: ConnId, (piece, block): BlockKey) {
        let Some(torrent) = &self.torrent else { return };
        let begin = block * crate::metadata::BLOCK;
        let len = torrent.layout().block_len(piece, block);
        self.counters.cancels += 1;
        self.send(conn, Message::Cancel(BlockRef { piece, begin, len }));
    }

    /// The peer chokes us. Without Fast that drops our requests; with Fast it rejects each.
    pub(super) fn on_choke(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut peer.choking, true) {
            return self.fault(conn, DropReason::Redundant);
        }
        if !peer.fast() {
            self.give_up_requests(conn);
        }
        self.give_back_pieces(conn);
        self.client.handle_choked(conn.into(), true, self.now);
    }

    pub(super) fn on_unchoke(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if !std::mem::replace(&mut peer.choking, false) {
            return self.fault(conn, DropReason::Redundant);
        }
        self.client.handle_choked(conn.into(), false, self.now);
        self.noise(conn);
        self.refill = true;
    }

    /// The peer will not send a block (BEP 6). One that chokes us rejects what it drops; any other is full, and is left
    /// alone for the client's pause.
    pub(super) fn on_reject(&mut self, conn: ConnId, r: BlockRef) {
        let found = self
            .torrent
            .as_ref()
            .and_then(|t| t.block_at(r.piece, r.begin));
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some((key, len)) = found else {
            return self.fault(conn, DropReason::Unasked);
        };
        if len != r.len {
            return self.fault(conn, DropReason::Unasked);
        }
        if peer.down.take_late(key) {
            return;
        }
        if !peer.down.outstanding.contains_key(&key) {
            return self.fault(conn, DropReason::Unasked);
        }
        peer.down.probe = None;
        peer.down.alive = self.now;
        let choking = peer.choking;
        self.unrequest(conn, key);
        self.refill = true;
        if choking {
            self.disallow(conn, r.piece);
        } else {
            self.counters.refusals += 1;
            self.refused(conn, r.piece);
        }
    }

    /// The peer lets requests lie: others get its blocks.
    pub(super) fn stall(&mut self, conn: ConnId) {
        let first = self.config.limits.min_window;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.down.snubbed = true;
        peer.down.active = false;
        peer.down.window = first;
        self.counters.stalls += 1;
        self.give_up_requests(conn);
        self.give_back_pieces(conn);
        self.client.handle_stalled(conn.into(), self.now);
    }

    /// What became of a piece.
    pub(super) fn on_piece_result(&mut self, piece: u32, result: PieceResult) {
        let Some(torrent) = &mut self.torrent else {
            return;
        };
        if !torrent.open.get(&piece).is_some_and(|o| o.checking) {
            return;
        }
        let Some(open) = torrent.close(piece) else {
            return;
        };
        for peer in self.peers.values_mut() {
            peer.down.pieces.retain(|p| *p != piece);
        }
        match result {
            PieceResult::Ok => {
                torrent.hold(piece);
                self.counters.downloaded += u64::from(torrent.layout().piece_len(piece));
                let guilty = self.blame.settled(piece, &open);
                self.client.handle_chunk_done(piece, self.now);
                let senders: Vec<ConnId> = open.contributors.iter().map(|c| c.conn).collect();
                self.announce(piece, &senders);
                self.push(Output::PieceDone { piece });
                guilty.into_iter().for_each(|g| self.ban(g));
                self.check_complete();
            }
            PieceResult::BadHash => {
                self.counters.bad_pieces += 1;
                let len = torrent.layout().piece_len(piece);
                self.counters.wasted += u64::from(len);
                self.push(Output::Discard { piece });
                let guilty = self.blame.failed(piece, &open);
                self.client.handle_chunk_failed(piece, self.now);
                guilty.into_iter().for_each(|g| self.ban(g));
            }
            PieceResult::DiskError => {
                self.counters.disk_errors += 1;
                self.push(Output::Discard { piece });
                self.client.handle_chunk_failed(piece, self.now);
            }
        }
        self.refill = true;
    }

    /// Says once for each time that everything wanted is there, and lets go of peers that then have no use.
    pub(super) fn check_complete(&mut self) {
        if !self.is_complete() || std::mem::replace(&mut self.complete_told, true) {
            return;
        }
        self.push(Output::Complete);
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.tell_withheld(conn);
            self.tell_upload_only(conn);
            self.close_if_useless(conn);
        }
    }
}
