//! Which blocks one downloader asks for, and which it has.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

use super::wire::BLOCK;

/// What is downloaded.
#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) infohash: [u8; 20],
    pub(super) size: u64,
    pub(super) piece: u32,
    pub(super) hashes: Vec<[u8; 20]>,
}

impl Torrent {
    fn len(&self, piece: u32) -> u32 {
        let left = self.size - u64::from(piece) * u64::from(self.piece);
        u32::try_from(left.min(u64::from(self.piece))).unwrap_or(self.piece)
    }
}

/// A piece that was begun.
#[derive(Debug)]
struct Begun {
    bytes: Vec<u8>,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Missing,
    Asked,
    Here,
}

/// What became of a block that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was not asked for.
    Unasked,
    /// Its piece needs more.
    Kept,
    /// Its piece is complete and good.
    Piece,
    /// Its piece is complete and wrong, and is begun again.
    Wrong,
}

/// Pieces in an order of its own; it begins none before it must.
#[derive(Debug)]
pub(super) struct Picker {
    /// What was not begun, the next at the end.
    order: Vec<u32>,
    /// What the seed has told of.
    there: Vec<bool>,
    begun: BTreeMap<u32, Begun>,
    done: usize,
}

impl Picker {
    /// For a downloader with this number.
    pub(super) fn new(torrent: &Torrent, number: u64) -> Self {
        let pieces = torrent.hashes.len();
        let mut order: Vec<u32> = (0..).take(pieces).collect();
        // Fisher and Yates with xorshift64*: each begins elsewhere, the same in every run
        let mut state = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for i in (1..pieces).rev() {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
            let other = usize::try_from(bits).unwrap_or(0) % (i + 1);
            order.swap(i, other);
        }
        Self {
            order,
            there: vec![false; pieces],
            begun: BTreeMap::new(),
            done: 0,
        }
    }

    /// Whether it has everything.
    pub(super) fn complete(&self) -> bool {
        self.done == self.there.len()
    }

    /// The seed has this piece.
    pub(super) fn have(&mut self, piece: u32) {
        if let Some(there) = self.there.get_mut(piece as usize) {
            *there = true;
        }
    }

    /// The seed has the pieces whose bits are set, the first piece's being the highest of the first byte.
    pub(super) fn bitfield(&mut self, bits: &[u8]) {
        for (i, there) in self.there.iter_mut().enumerate() {
            *there |= bits.get(i / 8).is_some_and(|b| b & (0x80 >> (i % 8)) != 0);
        }
    }

    /// What was asked for will not come.
    pub(super) fn forget_asked(&mut self) {
        for begun in self.begun.values_mut() {
            for block in &mut begun.blocks {
                if *block == Block::Asked {
                    *block = Block::Missing;
                }
            }
        }
    }

    /// The connection is another one, and the seed has to tell what it has.
    pub(super) fn reconnected(&mut self) {
        self.forget_asked();
        self.there.fill(false);
    }

    /// The next block to ask for: piece, begin, length.
    pub(super) fn next(&mut self, torrent: &Torrent) -> Option<(u32, u32, u32)> {
        for (&piece, begun) in &mut self.begun {
            if !self.there[piece as usize] {
                continue;
            }
            let missing = begun.blocks.iter().position(|b| *b == Block::Missing);
            if let Some(i) = missing {
                begun.blocks[i] = Block::Asked;
                let begin = u32::try_from(i).ok()? * BLOCK;
                return Some((piece, begin, BLOCK.min(torrent.len(piece) - begin)));
            }
        }
        let at = self.order.iter().rposition(|p| self.there[*p as usize])?;
        let piece = self.order.remove(at);
        let len = torrent.len(piece);
        let blocks = vec![Block::Missing; len.div_ceil(BLOCK) as usize];
        let bytes = vec![0; len as usize];
        self.begun.insert(piece, Begun { bytes, blocks });
        self.next(torrent)
    }

    /// Where a block goes that was asked for and has come.
    pub(super) fn room(&mut self, piece: u32, begin: u32, len: u32) -> Option<&mut [u8]> {
        let begun = self.begun.get_mut(&piece)?;
        let block = (begin / BLOCK) as usize;
        let whole = BLOCK.min(u32::try_from(begun.bytes.len()).ok()?.checked_sub(begin)?);
        let asked = begun.blocks.get(block) == Some(&Block::Asked);
        if !asked || !begin.is_multiple_of(BLOCK) || len != whole {
            return None;
        }
        begun.bytes.get_mut(begin as usize..(begin + len) as usize)
    }

    /// A block is in its [room](Self::room).
    pub(super) fn arrived(&mut self, torrent: &Torrent, piece: u32, begin: u32) -> Arrival {
        let Some(begun) = self.begun.get_mut(&piece) else {
            return Arrival::Unasked;
        };
        match begun.blocks.get_mut((begin / BLOCK) as usize) {
            Some(block) if *block == Block::Asked => *block = Block::Here,
            _ => return Arrival::Unasked,
        }
        if begun.blocks.iter().any(|b| *b != Block::Here) {
            return Arrival::Kept;
        }
        if Sha1::digest(&begun.bytes)[..] == torrent.hashes[piece as usize] {
            self.begun.remove(&piece);
            self.done += 1;
            return Arrival::Piece;
        }
        begun.blocks.fill(Block::Missing);
        Arrival::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn torrent(size: u64, piece: u32) -> (Torrent, Vec<u8>) {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let hashes = data.chunks(piece as usize).map(|c| Sha1::digest(c).into());
        let torrent = Torrent {
            infohash: [0; 20],
            size,
            piece,
            hashes: hashes.collect(),
        };
        (torrent, data)
    }

    /// Brings a block; what became of it.
    fn bring(
        picker: &mut Picker,
        torrent: &Torrent,
        data: &[u8],
        asked: (u32, u32, u32),
    ) -> Arrival {
        let (piece, begin, len) = asked;
        let from = (piece * torrent.piece + begin) as usize;
        let Some(room) = picker.room(piece, begin, len) else {
            return Arrival::Unasked;
        };
        room.copy_from_slice(&data[from..from + len as usize]);
        picker.arrived(torrent, piece, begin)
    }

    #[test]
    fn nothing_is_asked_for_that_the_seed_has_not_told_of() {
        let (torrent, data) = torrent(100_000, 32 << 10);
        let mut picker = Picker::new(&torrent, 0);
        assert_eq!(picker.next(&torrent), None);
        picker.have(3);
        // the last piece: 100,000 - 3 * 32,768
        let asked = picker.next(&torrent).expect("it is there");
        assert_eq!(asked, (3, 0, 1696));
        assert_eq!(picker.next(&torrent), None);
        assert_eq!(bring(&mut picker, &torrent, &data, asked), Arrival::Piece);
        assert!(!picker.complete());
        picker.have(9);
        picker.bitfield(&[0b1000_0000]);
        assert_eq!(picker.next(&torrent), Some((0, 0, BLOCK)));
    }

    #[test]
    fn what_was_choked_away_is_asked_for_again_and_what_is_here_is_not() {
        let (torrent, data) = torrent(64 << 10, 64 << 10);
        let mut picker = Picker::new(&torrent, 5);
        picker.bitfield(&[0xff]);
        let first = picker.next(&torrent).expect("a block");
        let second = picker.next(&torrent).expect("a block");
        assert_eq!(bring(&mut picker, &torrent, &data, second), Arrival::Kept);
        assert_eq!(
            bring(&mut picker, &torrent, &data, second),
            Arrival::Unasked
        );
        picker.forget_asked();
        assert_eq!(picker.next(&torrent), Some(first));
        assert_eq!(picker.next(&torrent), Some((0, 2 * BLOCK, BLOCK)));
    }

    #[test]
    fn a_wrong_piece_is_not_counted() {
        let (torrent, _) = torrent(20_000, 16 << 10);
        let mut picker = Picker::new(&torrent, 0);
        picker.have(1);
        let (piece, begin, len) = picker.next(&torrent).expect("a block");
        picker.room(piece, begin, len).expect("asked").fill(7);
        assert_eq!(picker.arrived(&torrent, piece, begin), Arrival::Wrong);
        assert_eq!(picker.next(&torrent), Some((1, 0, len)));
    }

    #[test]
    fn blocks_with_another_place_or_length_have_no_room() {
        let (torrent, _) = torrent(40_000, 32 << 10);
        let mut picker = Picker::new(&torrent, 0);
        picker.have(0);
        assert_eq!(picker.next(&torrent), Some((0, 0, BLOCK)));
        for (piece, begin, len) in [
            (0, 1, BLOCK),
            (0, BLOCK, BLOCK),
            (0, 0, BLOCK - 1),
            (0, u32::MAX, 1),
            (1, 0, BLOCK),
            (7, 0, BLOCK),
        ] {
            assert!(
                picker.room(piece, begin, len).is_none(),
                "{piece} {begin} {len}"
            );
        }
    }

    proptest! {
        #[test]
        fn everything_comes_once_whatever_is_choked(
            size in 1u64..300_000,
            shift in 14u32..17,
            number: u64,
            chokes in proptest::collection::vec(any::<bool>(), 40)
        ) {
            let (torrent, data) = torrent(size, 1 << shift);
            let mut picker = Picker::new(&torrent, number);
            picker.bitfield(&vec![0xff; torrent.hashes.len().div_ceil(8)]);
            let mut pieces = 0;
            let mut chokes = chokes.into_iter();
            while let Some(asked) = picker.next(&torrent) {
                if chokes.next() == Some(true) {
                    picker.forget_asked();
                    continue;
                }
                match bring(&mut picker, &torrent, &data, asked) {
                    Arrival::Piece => pieces += 1,
                    Arrival::Kept => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(pieces, torrent.hashes.len());
            prop_assert!(picker.complete());
        }
    }
}
