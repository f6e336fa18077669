//! What a torrent's pieces are and where their bytes lie in its files. Sans-IO; built only from checked metainfo.

use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

/// Bytes in a block, the unit of a request (BEP 3).
pub const BLOCK: u32 = 16 * 1024;

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Path below the output directory, the torrent's name included: only plain components, never absolute, never `..`.
    pub path: PathBuf,
    /// Bytes in the file; zero is allowed.
    pub length: u64,
    /// Where the file begins in the torrent's byte stream.
    pub offset: u64,
    /// A BEP 47 padding file: zero bytes that are never written to disk nor read from it.
    pub padding: bool,
    /// BEP 47 attribute `x`.
    pub executable: bool,
}

/// Pieces and files of one torrent (BEP 3, BEP 47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The torrent's name: the file's name, or the folder's.
    pub name: String,
    /// Bytes in every piece but the last, at least 1.
    pub piece_length: u32,
    /// Bytes in the torrent, at least 1: the sum over [`Layout::files`].
    pub total_length: u64,
    /// The files in torrent order; offsets ascend without gaps.
    pub files: Vec<FileEntry>,
    /// 20 bytes of SHA-1 a piece.
    pub hashes: Bytes,
}

/// A stretch of one file that belongs to a range of torrent bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSlice {
    /// Index into [`Layout::files`].
    pub file: usize,
    /// Where the stretch begins in the file.
    pub offset: u64,
    /// Its length in bytes, at least 1.
    pub len: u64,
}

impl Layout {
    /// Number of pieces, at least 1.
    pub fn piece_count(&self) -> u32 {
        u32::try_from(self.total_length.div_ceil(u64::from(self.piece_length)))
            .expect("checked when the layout was made")
    }

    /// Length of `piece` in bytes: the last one may be short. `piece` must exist.
    pub fn piece_len(&self, piece: u32) -> u32 {
        let left = self.total_length - self.piece_offset(piece);
        u32::try_from(left).map_or(self.piece_length, |left| left.min(self.piece_length))
    }

    /// Where `piece` begins in the torrent's byte stream.
    pub fn piece_offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// The SHA-1 that the torrent promises for `piece`.
    pub fn piece_hash(&self, piece: u32) -> [u8; 20] {
        let at = piece as usize * 20;
        self.hashes[at..at + 20]
            .try_into()
            .expect("one hash a piece, checked")
    }

    /// Number of blocks in `piece`.
    pub fn block_count(&self, piece: u32) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK)
    }

    /// Length of block `block` of `piece`.
    pub fn block_len(&self, piece: u32, block: u32) -> u32 {
        (self.piece_len(piece) - block * BLOCK).min(BLOCK)
    }

    /// Whether `begin .. begin + len` of `piece` is a range that exists, `len` at least 1.
    pub fn contains(&self, piece: u32, begin: u32, len: u32) -> bool {
        piece < self.piece_count()
            && len > 0
            && begin
                .checked_add(len)
                .is_some_and(|end| end <= self.piece_len(piece))
    }

    /// The file stretches that hold these torrent bytes, in order; padding files included, empty files never.
    pub fn slices(&self, bytes: Range<u64>) -> impl Iterator<Item = FileSlice> + '_ {
        let first = self
            .files
            .partition_point(|f| f.offset + f.length <= bytes.start);
        self.files[first..]
            .iter()
            .enumerate()
            .take_while({
                let end = bytes.end;
                move |(_, f)| f.offset < end
            })
            .filter(|(_, f)| f.length > 0)
            .map(move |(i, f)| {
                let from = bytes.start.max(f.offset);
                let to = bytes.end.min(f.offset + f.length);
                FileSlice {
                    file: first + i,
                    offset: from - f.offset,
                    len: to - from,
                }
            })
            .filter(|s| s.len > 0)
    }

    /// The pieces that hold bytes of file `file`; empty for an empty file.
    pub fn pieces_of_file(&self, file: usize) -> Range<u32> {
        let f = &self.files[file];
        if f.length == 0 {
            return 0..0;
        }
        let piece =
            |byte: u64| u32::try_from(byte / u64::from(self.piece_length)).expect("checked");
        piece(f.offset)..piece(f.offset + f.length - 1) + 1
    }
}
