//! The torrent's pieces: which are held, which are open (begun and not finished), and the state of their blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;

use super::ConnId;
use super::blame::Contributor;
use crate::metadata::{BLOCK, Layout, Metainfo};

/// A block: its piece and its number within the piece.
pub(super) type BlockKey = (u32, u32);

/// One block of an open piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Who sent it: index into [`OpenPiece::contributors`].
    pub(super) from: Option<u16>,
    /// Requests outstanding for it, over all peers.
    pub(super) requests: u8,
    /// When it was last asked for.
    pub(super) asked: Instant,
    /// Keyed digest of what was received.
    pub(super) digest: u64,
}

impl Block {
    /// Neither received nor asked for.
    fn is_free(&self) -> bool {
        self.from.is_none() && self.requests == 0
    }
}

/// A piece that has been begun and is not verified yet.
#[derive(Clone, Debug)]
pub(super) struct OpenPiece {
    /// Its blocks.
    pub(super) blocks: Vec<Block>,
    /// Blocks neither received nor asked for.
    pub(super) free: u32,
    /// Blocks not received.
    pub(super) left: u32,
    /// The peers it is assigned to.
    pub(super) workers: Vec<ConnId>,
    /// The peer that it was begun with, and when.
    pub(super) begun: (ConnId, Instant),
    /// Who sent blocks of it.
    pub(super) contributors: Vec<Contributor>,
    /// All blocks are stored; the result is awaited.
    pub(super) checking: bool,
    /// No block before this one is free.
    cursor: u32,
}

impl OpenPiece {
    fn new(blocks: u32, conn: ConnId, now: Instant) -> Self {
        let block = Block {
            from: None,
            requests: 0,
            asked: now,
            digest: 0,
        };
        Self {
            blocks: vec![block; blocks as usize],
            free: blocks,
            left: blocks,
            workers: Vec::new(),
            begun: (conn, now),
            contributors: Vec::new(),
            checking: false,
            cursor: 0,
        }
    }

    /// The first block that is neither received nor asked for.
    pub(super) fn next_free(&mut self) -> Option<u32> {
        if self.free == 0 {
            return None;
        }
        let from = self.cursor as usize;
        let at = from + self.blocks[from..].iter().position(Block::is_free)?;
        self.cursor = u32::try_from(at).expect("block counts are u32");
        Some(self.cursor)
    }

    /// A request for `block` went out.
    pub(super) fn asked(&mut self, block: u32, now: Instant) {
        let b = &mut self.blocks[block as usize];
        if b.is_free() {
            self.free -= 1;
        }
        b.requests = b.requests.saturating_add(1);
        b.asked = now;
    }

    /// A request for `block` is no longer outstanding.
    pub(super) fn unasked(&mut self, block: u32) {
        let b = &mut self.blocks[block as usize];
        b.requests = b.requests.saturating_sub(1);
        if b.is_free() {
            self.free += 1;
            self.cursor = self.cursor.min(block);
        }
    }

    /// `block` was received from a contributor. It must be missing and no longer count as asked by its sender.
    pub(super) fn received(&mut self, block: u32, from: u16, digest: u64) {
        let b = &mut self.blocks[block as usize];
        if b.is_free() {
            self.free -= 1;
        }
        b.from = Some(from);
        b.digest = digest;
        self.left -= 1;
    }

    /// Forgets every received block: the piece is fetched again from the start.
    pub(super) fn reset(&mut self) {
        for b in &mut self.blocks {
            b.from = None;
        }
        self.left = u32::try_from(self.blocks.len()).expect("block counts are u32");
        let free = self.blocks.iter().filter(|b| b.is_free()).count();
        self.free = u32::try_from(free).expect("block counts are u32");
        self.cursor = 0;
        self.contributors.clear();
        self.checking = false;
    }

    /// Whether nothing of it is received or asked for.
    pub(super) fn is_untouched(&self) -> bool {
        self.free as usize == self.blocks.len()
    }
}

/// Pieces of a torrent whose metadata is known.
#[derive(Clone, Debug)]
pub(super) struct Torrent {
    pub(super) meta: Arc<Metainfo>,
    pub(super) held: ChunkSet,
    pub(super) wanted: ChunkSet,
    pub(super) open: BTreeMap<u32, OpenPiece>,
    /// Wanted pieces that are neither held nor open.
    unopened: u32,
    /// Free blocks over all open pieces would be a scan; bytes of open pieces are kept.
    open_bytes: u64,
}

impl Torrent {
    pub(super) fn new(meta: Arc<Metainfo>, held: ChunkSet, wanted: ChunkSet) -> Self {
        let unopened = wanted.count() - wanted.overlap(&held);
        Self {
            meta,
            held,
            wanted,
            open: BTreeMap::new(),
            unopened,
            open_bytes: 0,
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.meta.layout
    }

    /// Bytes of open pieces.
    pub(super) fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// Whether every wanted piece is held or open.
    pub(super) fn all_open(&self) -> bool {
        self.unopened == 0
    }

    /// Opens `piece` for `conn`, or returns it as it is.
    pub(super) fn open(&mut self, piece: u32, conn: ConnId, now: Instant) -> &mut OpenPiece {
        if !self.open.contains_key(&piece) {
            let layout = &self.meta.layout;
            let (blocks, len) = (layout.block_count(piece), layout.piece_len(piece));
            self.open_bytes += u64::from(len);
            self.unopened -= u32::from(self.counts(piece));
            self.open.insert(piece, OpenPiece::new(blocks, conn, now));
        }
        self.open.get_mut(&piece).expect("just opened")
    }

    /// Closes an open piece; it counts as not begun until it is held.
    pub(super) fn close(&mut self, piece: u32) -> Option<OpenPiece> {
        let open = self.open.remove(&piece)?;
        self.open_bytes -= u64::from(self.meta.layout.piece_len(piece));
        self.unopened += u32::from(self.counts(piece));
        Some(open)
    }

    /// `piece`, not open any more, is verified and written.
    pub(super) fn hold(&mut self, piece: u32) {
        self.unopened -= u32::from(self.counts(piece) && !self.open.contains_key(&piece));
        self.held.insert(piece);
    }

    /// Other pieces are wanted.
    pub(super) fn want(&mut self, wanted: ChunkSet) {
        self.wanted = wanted;
        let open = self.open.keys().filter(|piece| self.counts(**piece));
        let open = u32::try_from(open.count()).expect("at most all pieces");
        self.unopened = self.wanted.count() - self.wanted.overlap(&self.held) - open;
    }

    fn counts(&self, piece: u32) -> bool {
        self.wanted.contains(piece) && !self.held.contains(piece)
    }

    /// The block that begins at `begin` of `piece` and its length, if there is one.
    pub(super) fn block_at(&self, piece: u32, begin: u32) -> Option<(BlockKey, u32)> {
        let layout = self.layout();
        let block = begin / BLOCK;
        let exists = piece < layout.piece_count() && begin.is_multiple_of(BLOCK);
        (exists && block < layout.block_count(piece))
            .then(|| ((piece, block), layout.block_len(piece, block)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Ask(u32),
        Unask(u32),
        Receive(u32),
        Reset,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0u32..6).prop_map(Op::Ask),
            4 => (0u32..6).prop_map(Op::Unask),
            6 => (0u32..6).prop_map(Op::Receive),
            1 => Just(Op::Reset),
        ]
    }

    proptest! {
        #[test]
        fn the_counters_of_an_open_piece_agree_with_its_blocks(ops in prop::collection::vec(op(), 0..80)) {
            let mut p = OpenPiece::new(6, ConnId(1), Instant::ZERO);
            for op in ops {
                match op {
                    Op::Ask(b) => p.asked(b, Instant::ZERO),
                    Op::Unask(b) => {
                        if p.blocks[b as usize].requests > 0 {
                            p.unasked(b);
                        }
                    }
                    Op::Receive(b) => {
                        if p.blocks[b as usize].from.is_none() {
                            p.received(b, 0, 7);
                        }
                    }
                    Op::Reset => p.reset(),
                }
                let free: Vec<u32> =
                    (0..6).filter(|b| p.blocks[*b as usize].is_free()).collect();
                let left = p.blocks.iter().filter(|b| b.from.is_none()).count();
                prop_assert_eq!(p.free as usize, free.len());
                prop_assert_eq!(p.left as usize, left);
                prop_assert_eq!(p.next_free(), free.first().copied());
            }
        }
    }
}
