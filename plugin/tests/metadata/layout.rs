//! Pieces, blocks and files of a torrent against a list of all its bytes (BEP 3, BEP 47, BEP 53).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;

use bytes::Bytes;
use chunkcast_bittorrent::metadata::{
    BLOCK, FileEntry, FileSelection, FileSlice, Layout, SelectionError,
};
use proptest::prelude::*;

fn layout(piece_length: u32, lengths: &[(u64, bool)]) -> Layout {
    let mut offset = 0;
    let files = lengths
        .iter()
        .enumerate()
        .map(|(i, &(length, padding))| {
            let file = FileEntry {
                path: PathBuf::from(format!("t/{i}")),
                length,
                offset,
                padding,
                executable: false,
            };
            offset += length;
            file
        })
        .collect();
    let pieces = usize::try_from(offset.div_ceil(u64::from(piece_length))).unwrap();
    let hashes: Vec<u8> = (0..pieces)
        .flat_map(|p| [u8::try_from(p % 256).unwrap(); 20])
        .collect();
    Layout {
        name: "t".into(),
        piece_length,
        total_length: offset,
        files,
        hashes: hashes.into(),
    }
}

#[test]
fn a_short_last_piece_has_a_short_last_block() {
    let t = layout(3 * BLOCK, &[(u64::from(4 * BLOCK) + 7, false)]);
    assert_eq!(t.piece_count(), 2);
    assert_eq!((t.piece_len(0), t.piece_len(1)), (3 * BLOCK, BLOCK + 7));
    assert_eq!((t.block_count(0), t.block_count(1)), (3, 2));
    assert_eq!((t.block_len(1, 0), t.block_len(1, 1)), (BLOCK, 7));
    assert_eq!(t.piece_offset(1), u64::from(3 * BLOCK));
    assert_eq!((t.piece_hash(0), t.piece_hash(1)), ([0; 20], [1; 20]));
    assert!(t.contains(1, 0, BLOCK + 7) && t.contains(1, BLOCK + 6, 1));
    for (piece, begin, len) in [
        (1, 0, BLOCK + 8),
        (1, BLOCK + 7, 1),
        (2, 0, 1),
        (0, 0, 0),
        (0, u32::MAX, 2),
    ] {
        assert!(!t.contains(piece, begin, len), "{piece} {begin} {len}");
    }
}

#[test]
fn a_torrent_of_whole_pieces_has_no_piece_more() {
    let t = layout(BLOCK, &[(u64::from(4 * BLOCK), false)]);
    assert_eq!(t.piece_count(), 4);
    assert_eq!(t.piece_len(3), BLOCK);
}

#[test]
fn a_piece_runs_across_files_and_over_empty_ones() {
    let t = layout(
        10,
        &[
            (0, false),
            (4, false),
            (0, false),
            (0, false),
            (8, true),
            (9, false),
            (0, false),
        ],
    );
    let slices = |bytes| t.slices(bytes).collect::<Vec<_>>();
    let slice = |file, offset, len| FileSlice { file, offset, len };
    assert_eq!(slices(0..10), [slice(1, 0, 4), slice(4, 0, 6)]);
    assert_eq!(slices(10..20), [slice(4, 6, 2), slice(5, 0, 8)]);
    assert_eq!(slices(20..21), [slice(5, 8, 1)]);
    assert_eq!(slices(4..4), []);
    assert_eq!(slices(21..21), []);
    let pieces: Vec<_> = (0..7).map(|f| t.pieces_of_file(f)).collect();
    assert_eq!(pieces, [0..0, 0..1, 0..0, 0..0, 0..2, 1..3, 0..0]);
}

#[test]
fn the_largest_torrent_that_can_be_has_no_overflow() {
    let t = Layout {
        name: "t".into(),
        piece_length: 1 << 31,
        total_length: u64::from(u32::MAX) << 31,
        files: vec![FileEntry {
            path: "t".into(),
            length: u64::from(u32::MAX) << 31,
            offset: 0,
            padding: false,
            executable: false,
        }],
        hashes: Bytes::new(),
    };
    assert_eq!(t.piece_count(), u32::MAX);
    assert_eq!(t.piece_len(u32::MAX - 1), 1 << 31);
    assert_eq!(t.pieces_of_file(0), 0..u32::MAX);
    assert_eq!(t.slices(t.total_length - 1..t.total_length).count(), 1);
}

#[test]
fn a_selection_wants_the_pieces_of_its_files() {
    let t = layout(
        10,
        &[(15, false), (5, true), (0, false), (25, false), (3, false)],
    );
    let wanted = |so: &str| {
        FileSelection::parse(so)
            .unwrap()
            .wanted_pieces(&t)
            .map(|set| {
                assert_eq!(set.len(), t.piece_count());
                set.iter().collect::<Vec<_>>()
            })
    };
    assert_eq!(wanted("0"), Ok(vec![0, 1]));
    assert_eq!(wanted("3"), Ok(vec![2, 3, 4]));
    assert_eq!(wanted("4"), Ok(vec![4]));
    assert_eq!(
        wanted("0-2"),
        Ok(vec![0, 1]),
        "padding and empty files need nothing"
    );
    assert_eq!(
        wanted("4-999999999999"),
        Ok(vec![4]),
        "what is beyond is clipped"
    );
    assert_eq!(wanted("0-999999999999"), Ok(vec![0, 1, 2, 3, 4]));
    let error = wanted("5-9,12").unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of the selected files (5-9,12) exists: the torrent has files 0 to 4"
    );
    assert_eq!(wanted("1-2"), Err(SelectionError::NoData("1-2".into())));
    assert_eq!(
        SelectionError::NoData("1-2".into()).to_string(),
        "the selected files (1-2) hold no data; select others"
    );
}

proptest! {
    #[test]
    fn slices_and_pieces_match_a_list_of_bytes(
        piece_length in 1u32..40,
        mut lengths in proptest::collection::vec((prop_oneof![Just(0u64), 0u64..60], any::<bool>()), 0..12),
        extra in 1u64..30,
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        lengths.push((extra, false));
        let t = layout(piece_length, &lengths);
        // (file, offset in it) of every byte
        let bytes: Vec<(usize, u64)> = lengths
            .iter()
            .enumerate()
            .flat_map(|(file, &(length, _))| (0..length).map(move |at| (file, at)))
            .collect();
        prop_assert_eq!(bytes.len() as u64, t.total_length);

        let (a, b) = (cut.0.index(bytes.len() + 1), cut.1.index(bytes.len() + 1));
        let (a, b) = (a.min(b), a.max(b));
        let slices: Vec<FileSlice> = t.slices(a as u64..b as u64).collect();
        let seen: Vec<(usize, u64)> = slices
            .iter()
            .flat_map(|s| (s.offset..s.offset + s.len).map(move |at| (s.file, at)))
            .collect();
        prop_assert_eq!(&seen[..], &bytes[a..b]);
        prop_assert!(slices.iter().all(|s| s.len > 0));
        prop_assert!(slices.windows(2).all(|w| w[0].file < w[1].file), "one slice a file");

        let chunks: Vec<&[(usize, u64)]> = bytes.chunks(piece_length as usize).collect();
        prop_assert_eq!(t.piece_count() as usize, chunks.len());
        for (piece, chunk) in chunks.iter().enumerate() {
            let piece = u32::try_from(piece).unwrap();
            prop_assert_eq!(t.piece_len(piece) as usize, chunk.len());
            let blocks: u32 = (0..t.block_count(piece)).map(|b| t.block_len(piece, b)).sum();
            prop_assert_eq!(blocks as usize, chunk.len());
            for file in 0..lengths.len() {
                let inside = chunk.iter().any(|(f, _)| *f == file);
                prop_assert_eq!(t.pieces_of_file(file).contains(&piece), inside);
            }
        }
    }
}
