//! The last blocks, and blocks stuck at a slow peer, are asked of a second peer; the first answer counts and the others
//! get CANCEL.
//!
//! While pieces are left to begin, only a server of ours that has nothing else to do rescues, and only blocks that have
//! been waited for long. Once every wanted piece is open, every peer that serves us does. A block is asked of at most
//! two peers, of three among the very last.

use super::pieces::BlockKey;
use super::{ConnId, Swarm};

/// Unfinished open pieces that are searched for a block, those with the least left first.
const SEARCHED: usize = 64;

impl Swarm {
    /// A block that another peer owes and this one may be asked for too.
    pub(super) fn endgame_block(&self, conn: ConnId) -> Option<BlockKey> {
        let torrent = self.torrent.as_ref()?;
        let peer = self.peers.get(&conn)?;
        let limits = &self.config.limits;
        let at_the_end = torrent.all_open() && torrent.open.values().all(|o| o.free == 0);
        if !at_the_end && (!peer.down.active || peer.down.snubbed) {
            return None;
        }
        if peer.down.snubbed && !peer.down.outstanding.is_empty() {
            return None;
        }
        let min_age = if at_the_end {
            limits.endgame_after
        } else {
            limits.rescue_after
        };
        let mut pieces: Vec<(u32, u32)> = torrent
            .open
            .iter()
            .filter(|(piece, o)| {
                o.left > 0 && peer.has(**piece) && !self.blame.is_exclusive(**piece)
            })
            .map(|(piece, o)| (o.left, *piece))
            .collect();
        pieces.sort_unstable();
        let left: u32 = torrent.open.values().map(|o| o.left).sum();
        let most = if at_the_end && left <= limits.last_blocks {
            3
        } else {
            2
        };
        pieces.into_iter().take(SEARCHED).find_map(|(_, piece)| {
            let open = &torrent.open[&piece];
            let candidates = (0..).zip(&open.blocks).filter(|&(block, b)| {
                b.from.is_none()
                    && (1..most).contains(&b.requests)
                    && self.now.saturating_since(b.asked) >= min_age
                    && !peer.down.outstanding.contains_key(&(piece, block))
                    && !self.waits_for_us((piece, block))
            });
            candidates
                .min_by_key(|(_, b)| (b.requests, b.asked))
                .map(|(block, _)| (piece, block))
        })
    }
}
