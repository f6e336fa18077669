//! What peers say of their pieces: bitfield, HAVE, HAVE ALL, HAVE NONE; kept raw while the piece count is unknown.

use std::sync::Arc;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;

use super::peer::{Early, Has};
use super::pieces::Torrent;
use super::{CloseReason, ConnId, DropReason, Swarm};
use crate::metadata::Metainfo;

/// A peer's word on all its pieces.
pub(super) enum Claim {
    All,
    None,
    Bits(Bytes),
}

impl Swarm {
    /// A bitfield, HAVE ALL or HAVE NONE. One that is not the first word (BEP 3) adds to what was said before: aria2
    /// sends a bitfield in place of many HAVEs. It counts as noise.
    pub(super) fn on_claim(&mut self, conn: ConnId, claim: Claim) {
        let limit = self.config.limits.max_early_bitfield;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let late = std::mem::replace(&mut peer.declared, true);
        let good = match &mut peer.has {
            Has::Early(early) => early.add(claim, limit),
            Has::Known(set) => {
                let claimed = match claim {
                    Claim::All => Ok(ChunkSet::full(set.len())),
                    Claim::None => Ok(ChunkSet::empty(set.len())),
                    Claim::Bits(bits) => ChunkSet::from_bytes(0, set.len(), &bits),
                };
                claimed.map(|claimed| set.union_with(&claimed)).is_ok()
            }
        };
        if !good {
            return self.fault(conn, DropReason::BadBitfield);
        }
        if late {
            self.fault(conn, DropReason::LateBitfield);
        }
        self.report(conn);
    }

    pub(super) fn on_have(&mut self, conn: ConnId, piece: u32) {
        let limit = self.config.limits.max_early_haves;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.declared = true;
        let fault = match &mut peer.has {
            Has::Early(early) if early.haves.len() >= limit => Some(DropReason::TooManyHaves),
            Has::Early(early) => (!early.haves.insert(piece)).then_some(DropReason::Redundant),
            Has::Known(set) if piece >= set.len() => Some(DropReason::BadHave),
            Has::Known(set) => (!set.insert(piece)).then_some(DropReason::Redundant),
        };
        if let Some(reason) = fault {
            return self.fault(conn, reason);
        }
        if matches!(peer.has, Has::Known(_)) {
            self.client.handle_have(conn.into(), piece, self.now);
            self.end_sending_if_done(conn, piece);
            self.close_if_useless(conn);
        }
    }

    /// Tells the client all that the peer has.
    fn report(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        if let Has::Known(set) = &peer.has {
            self.client.handle_chunks(conn.into(), set, self.now);
            self.close_if_useless(conn);
        }
    }

    /// Two ends that want nothing of each other need no connection.
    pub(super) fn close_if_useless(&mut self, conn: ConnId) {
        let useless = self
            .peers
            .get(&conn)
            .is_some_and(super::peer::Peer::wants_nothing);
        if useless && self.is_complete() {
            self.close(conn, CloseReason::Useless);
        }
    }

    /// The metadata is known: what peers said before is checked, and they learn that we have it.
    pub(super) fn begin_torrent(&mut self, meta: Arc<Metainfo>, held: ChunkSet, wanted: ChunkSet) {
        let count = meta.layout.piece_count();
        assert!(
            held.len() == count
                && wanted.len() == count
                && held.start() == 0
                && wanted.start() == 0,
            "held and wanted are sets over all pieces of the torrent"
        );
        self.config.private |= meta.private;
        self.torrent = Some(Torrent::new(meta, held.clone(), wanted.clone()));
        let mut bad = Vec::new();
        for (conn, peer) in &mut self.peers {
            peer.told = ChunkSet::empty(count);
            let Has::Early(early) = &mut peer.has else {
                continue;
            };
            match apply(std::mem::take(early), count) {
                Ok(set) => peer.has = Has::Known(set),
                Err(reason) => {
                    peer.has = Has::Known(ChunkSet::empty(count));
                    bad.push((*conn, reason));
                }
            }
        }
        for (conn, reason) in bad {
            self.fault(conn, reason);
        }
        self.client.set_object(held, wanted, self.now);
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.send_extended_handshake(conn);
            self.report(conn);
        }
        self.check_complete();
    }
}

impl Early {
    /// Adds a claim; whether its length can be right.
    fn add(&mut self, claim: Claim, limit: usize) -> bool {
        match (claim, &self.bitfield) {
            (Claim::All, _) => self.all = true,
            (Claim::None, _) => {}
            (Claim::Bits(bits), _) if bits.len() > limit => return false,
            (Claim::Bits(bits), Some(before)) if before.len() != bits.len() => return false,
            (Claim::Bits(bits), Some(before)) => {
                let both: Vec<u8> = before.iter().zip(&bits).map(|(a, b)| a | b).collect();
                self.bitfield = Some(both.into());
            }
            (Claim::Bits(bits), None) => self.bitfield = Some(bits),
        }
        true
    }
}

/// What was said before the piece count was known, checked.
fn apply(early: Early, count: u32) -> Result<ChunkSet, DropReason> {
    let mut set = match early.bitfield {
        _ if early.all => ChunkSet::full(count),
        Some(bits) => ChunkSet::from_bytes(0, count, &bits).map_err(|_| DropReason::BadBitfield)?,
        None => ChunkSet::empty(count),
    };
    for piece in early.haves {
        if piece >= count {
            return Err(DropReason::BadHave);
        }
        set.insert(piece);
    }
    Ok(set)
}
