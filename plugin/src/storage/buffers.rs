//! Blocks of pieces that are not complete. Sans-IO.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::metadata::{BLOCK, Layout};

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// Kept; the piece lacks others.
    Kept,
    /// Kept, and the piece has all its blocks now: [`PieceBuffers::take`] it.
    Complete,
    /// This block is here already; the first one stays.
    Duplicate,
    /// The torrent has no such block: a wrong piece, a start that is not a multiple of [`BLOCK`], a wrong length.
    NoSuchBlock,
    /// The memory is used up.
    Full,
}

/// Collects the blocks of pieces, without copying, up to a number of bytes.
///
/// A block keeps alive the buffer that it is a slice of; give it blocks that own their bytes alone if that buffer is
/// much larger.
#[derive(Debug)]
pub struct PieceBuffers {
    layout: Arc<Layout>,
    limit: u64,
    bytes: u64,
    pieces: BTreeMap<u32, Partial>,
}

#[derive(Debug, Default)]
struct Partial {
    /// By block index; what is held grows with what arrived, however long the piece is.
    blocks: BTreeMap<u32, Bytes>,
    bytes: u64,
}

impl PieceBuffers {
    /// Nothing yet, and never more than `limit` bytes. A limit below one piece is raised to one piece, since nothing
    /// could ever be completed with it.
    pub fn new(layout: Arc<Layout>, limit: u64) -> Self {
        let limit = limit.max(u64::from(layout.piece_length));
        Self {
            layout,
            limit,
            bytes: 0,
            pieces: BTreeMap::new(),
        }
    }

    /// Keeps the block of `piece` that starts at byte `begin`.
    pub fn store(&mut self, piece: u32, begin: u32, data: Bytes) -> Stored {
        if piece >= self.layout.piece_count()
            || !begin.is_multiple_of(BLOCK)
            || begin >= self.layout.piece_len(piece)
            || data.len() != self.layout.block_len(piece, begin / BLOCK) as usize
        {
            return Stored::NoSuchBlock;
        }
        if self.contains(piece, begin) {
            return Stored::Duplicate;
        }
        let len = data.len() as u64;
        if self.bytes + len > self.limit {
            return Stored::Full;
        }
        let partial = self.pieces.entry(piece).or_default();
        partial.blocks.insert(begin / BLOCK, data);
        partial.bytes += len;
        self.bytes += len;
        if partial.bytes == u64::from(self.layout.piece_len(piece)) {
            Stored::Complete
        } else {
            Stored::Kept
        }
    }

    /// Takes a piece out that has all its blocks, in order, for [`super::Storage::finish_piece`].
    pub fn take(&mut self, piece: u32) -> Option<Vec<Bytes>> {
        if self.pieces.get(&piece)?.bytes < u64::from(self.layout.piece_len(piece)) {
            return None;
        }
        let partial = self.pieces.remove(&piece)?;
        self.bytes -= partial.bytes;
        Some(partial.blocks.into_values().collect())
    }

    /// Forgets a piece; the bytes that were held of it.
    pub fn discard(&mut self, piece: u32) -> u64 {
        let freed = self.pieces.remove(&piece).map_or(0, |p| p.bytes);
        self.bytes -= freed;
        freed
    }

    /// Whether the block of `piece` that starts at byte `begin` is here.
    pub fn contains(&self, piece: u32, begin: u32) -> bool {
        begin.is_multiple_of(BLOCK)
            && self
                .pieces
                .get(&piece)
                .is_some_and(|p| p.blocks.contains_key(&(begin / BLOCK)))
    }

    /// Pieces of which at least one block is here, ascending.
    pub fn pieces(&self) -> impl Iterator<Item = u32> + '_ {
        self.pieces.keys().copied()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Most bytes that are ever held.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}
