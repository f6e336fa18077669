//! Blocks of pieces that are not complete.

use std::collections::BTreeMap;

use bytes::Bytes;
use chunkcast_bittorrent::metadata::BLOCK;
use chunkcast_bittorrent::storage::{PieceBuffers, Stored};
use proptest::prelude::*;

use super::support::*;

#[derive(Clone, Debug)]
enum Step {
    Store { piece: u32, block: u32, skew: u8 },
    Take(u32),
    Discard(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        12 => (0..6u32, 0..5u32, 0..20u8).prop_map(|(piece, block, skew)| Step::Store { piece, block, skew }),
        2 => (0..6u32).prop_map(Step::Take),
        1 => (0..6u32).prop_map(Step::Discard),
    ];
    prop::collection::vec(one, 0..150)
}

proptest! {
    /// Against a map of blocks: every block is kept once, nothing above the limit, and pieces come out whole and in order.
    #[test]
    fn like_a_map_of_blocks(steps in steps(), limit in 0..9u64) {
        // five pieces of up to four blocks; the last piece and its last block are short
        let piece_length = 3 * BLOCK + 100;
        let torrent = Torrent::single(piece_length, u64::from(piece_length) * 4 + u64::from(BLOCK) + 7);
        let layout = &torrent.layout;
        let limit = limit * u64::from(BLOCK);
        let mut buffers = PieceBuffers::new(layout.clone(), limit);
        let limit = limit.max(u64::from(piece_length));
        prop_assert_eq!(buffers.limit(), limit);
        let mut naive: BTreeMap<(u32, u32), Bytes> = BTreeMap::new();
        for step in steps {
            let held = |naive: &BTreeMap<(u32, u32), Bytes>, piece| naive.keys().filter(|k| k.0 == piece).count();
            let bytes = |naive: &BTreeMap<(u32, u32), Bytes>| naive.values().map(|b| b.len() as u64).sum::<u64>();
            match step {
                Step::Store { piece, block, skew } => {
                    let exists = piece < 5 && block < layout.block_count(piece);
                    let len = if exists { layout.block_len(piece, block) } else { BLOCK };
                    let (begin, len) = match skew {
                        0 => (block * BLOCK + 1, len),
                        1 => (block * BLOCK, len - 1),
                        2 => (block * BLOCK, len + 1),
                        3 => (u32::MAX, len),
                        _ => (block * BLOCK, len),
                    };
                    let data = if exists && skew > 3 {
                        Bytes::copy_from_slice(&torrent.piece(piece)[begin as usize..(begin + len) as usize])
                    } else {
                        Bytes::from(vec![1; len as usize])
                    };
                    let expected = if !exists || skew <= 3 {
                        Stored::NoSuchBlock
                    } else if naive.contains_key(&(piece, block)) {
                        Stored::Duplicate
                    } else if bytes(&naive) + u64::from(len) > limit {
                        Stored::Full
                    } else {
                        naive.insert((piece, block), data.clone());
                        if held(&naive, piece) == layout.block_count(piece) as usize { Stored::Complete } else { Stored::Kept }
                    };
                    prop_assert_eq!(buffers.store(piece, begin, data), expected);
                }
                Step::Take(piece) => {
                    let whole = piece < 5 && held(&naive, piece) == layout.block_count(piece) as usize;
                    let taken = buffers.take(piece);
                    prop_assert_eq!(taken.is_some(), whole);
                    if let Some(blocks) = taken {
                        prop_assert!(blocks.concat() == torrent.piece(piece));
                        naive.retain(|k, _| k.0 != piece);
                    }
                }
                Step::Discard(piece) => {
                    let before = bytes(&naive);
                    naive.retain(|k, _| k.0 != piece);
                    prop_assert_eq!(buffers.discard(piece), before - bytes(&naive));
                }
            }
            prop_assert_eq!(buffers.bytes(), bytes(&naive));
            prop_assert!(buffers.bytes() <= limit);
            for piece in 0..6 {
                for block in 0..5 {
                    prop_assert_eq!(buffers.contains(piece, block * BLOCK), naive.contains_key(&(piece, block)));
                }
            }
            let mut pieces: Vec<u32> = naive.keys().map(|k| k.0).collect();
            pieces.dedup();
            prop_assert_eq!(buffers.pieces().collect::<Vec<_>>(), pieces);
        }
    }
}

#[test]
fn blocks_are_not_copied() {
    let torrent = Torrent::single(2 * BLOCK, u64::from(2 * BLOCK));
    let mut buffers = PieceBuffers::new(torrent.layout.clone(), 1 << 20);
    let blocks = torrent.blocks(0);
    let where_they_are: Vec<_> = blocks.iter().map(|b| b.as_ptr()).collect();
    let mut blocks = blocks.into_iter();
    assert_eq!(buffers.store(0, 0, blocks.next().unwrap()), Stored::Kept);
    assert_eq!(
        buffers.store(0, BLOCK, blocks.next().unwrap()),
        Stored::Complete
    );
    let taken = buffers.take(0).unwrap();
    assert_eq!(
        taken.iter().map(|b| b.as_ptr()).collect::<Vec<_>>(),
        where_they_are
    );
}
