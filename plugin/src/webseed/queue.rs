//! Blocks that a web seed was asked for, and which of them are fetched together. Sans-IO.

use std::collections::BTreeMap;

use crate::metadata::Layout;
use crate::wire::message::BlockRef;

/// Bytes that are fetched with one request at most.
const MAX_RUN: u64 = 16 << 20; // libtorrent's urlseed_max_request_bytes

/// A run that is shorter, and does not end its piece, waits for more while others are fetched.
const SHORT_RUN: u64 = 256 << 10; // guess: a request's head is nothing to that

/// Blocks that wait at most.
const MAX_WAITING: usize = 1024; // guess: four times the swarm's window

/// Blocks in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where the first begins in the torrent's byte stream.
    pub(super) start: u64,
    /// At least one, in order.
    pub(super) blocks: Vec<BlockRef>,
}

impl Run {
    /// Where the last ends in the torrent's byte stream.
    pub(super) fn end(&self) -> u64 {
        self.start + self.blocks.iter().map(|b| u64::from(b.len)).sum::<u64>()
    }
}

/// Blocks that wait, by where they begin in the torrent's byte stream, each with its place in the order of asking.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<u64, (u64, BlockRef)>,
    asked: u64,
}

impl Queue {
    /// Adds a block; false if there is no place for it. One that waits already keeps its place.
    pub(super) fn push(&mut self, layout: &Layout, block: BlockRef) -> bool {
        let fits = layout.contains(block.piece, block.begin, block.len)
            && self.waiting.len() < MAX_WAITING;
        if fits {
            let start = layout.piece_offset(block.piece) + u64::from(block.begin);
            self.asked += 1;
            self.waiting.entry(start).or_insert((self.asked, block));
        }
        fits
    }

    /// Whether the block waited; it no longer does.
    pub(super) fn cancel(&mut self, block: BlockRef) -> bool {
        let start = self.waiting.iter().find(|(_, (_, b))| *b == block);
        let Some(start) = start.map(|(start, _)| *start) else {
            return false;
        };
        self.waiting.remove(&start);
        true
    }

    /// Everything that waits, in order; nothing waits then.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = BlockRef> {
        let all = std::mem::take(&mut self.waiting);
        all.into_values().map(|(_, block)| block)
    }

    /// The blocks to fetch next: the one that has waited longest, and all that follow it in the torrent. While others
    /// are fetched (`busy`) none that more are likely to follow soon.
    pub(super) fn next(&mut self, layout: &Layout, busy: bool) -> Option<Run> {
        let oldest = self.waiting.iter().min_by_key(|(_, (asked, _))| *asked);
        let start = *oldest?.0;
        let (mut end, mut count, mut last) = (start, 0, None);
        for (at, (_, block)) in self.waiting.range(start..) {
            let len = u64::from(block.len);
            if *at != end || end - start + len > MAX_RUN && count > 0 {
                break;
            }
            (end, count, last) = (end + len, count + 1, Some(*block));
        }
        let ends_piece = last.is_some_and(|b| b.begin + b.len == layout.piece_len(b.piece));
        if busy && end - start < SHORT_RUN && !ends_piece {
            return None;
        }
        let mut rest = self.waiting.split_off(&start);
        let mut after = rest.split_off(&end);
        self.waiting.append(&mut after);
        let blocks: Vec<BlockRef> = rest.into_values().map(|(_, block)| block).collect();
        debug_assert_eq!(blocks.len(), count);
        Some(Run { start, blocks })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::BLOCK;

    fn layout(pieces: u32, blocks: u32) -> Layout {
        let piece_length = blocks * BLOCK;
        Layout {
            name: String::new(),
            piece_length,
            total_length: u64::from(pieces) * u64::from(piece_length),
            files: Vec::new(),
            hashes: Bytes::new(),
        }
    }

    fn block(piece: u32, n: u32) -> BlockRef {
        BlockRef {
            piece,
            begin: n * BLOCK,
            len: BLOCK,
        }
    }

    fn spans(run: &Run) -> Vec<(u32, u32)> {
        let blocks = run.blocks.iter();
        blocks.map(|b| (b.piece, b.begin / BLOCK)).collect()
    }

    #[test]
    fn blocks_in_a_row_are_one_run_over_pieces_too_and_the_oldest_comes_first() {
        let layout = layout(10, 2);
        let mut queue = Queue::default();
        for (piece, n) in [(4, 0), (4, 1), (1, 1), (2, 0), (5, 0), (8, 1)] {
            assert!(queue.push(&layout, block(piece, n)));
        }
        assert!(queue.cancel(block(8, 1)) && !queue.cancel(block(8, 1)));
        let first = queue.next(&layout, false).expect("a run");
        assert_eq!(spans(&first), [(4, 0), (4, 1), (5, 0)]);
        assert_eq!(first.start, layout.piece_offset(4));
        assert_eq!(first.end(), first.start + 3 * u64::from(BLOCK));
        let second = queue.next(&layout, false).expect("a run");
        assert_eq!(spans(&second), [(1, 1), (2, 0)]);
        assert_eq!(queue.next(&layout, false), None);
    }

    #[test]
    fn beside_others_no_crumbs_are_fetched_but_the_ends_of_pieces_are() {
        let layout = layout(10, 64);
        let mut queue = Queue::default();
        queue.push(&layout, block(3, 0));
        assert_eq!(queue.next(&layout, true), None);
        (1..16).for_each(|n| assert!(queue.push(&layout, block(3, n))));
        assert_eq!(queue.next(&layout, true).map(|r| r.blocks.len()), Some(16));
        queue.push(&layout, block(5, 63));
        assert_eq!(queue.next(&layout, true).map(|r| r.blocks.len()), Some(1));
    }

    #[test]
    fn what_the_torrent_does_not_have_is_not_taken() {
        let layout = layout(2, 1);
        let mut queue = Queue::default();
        assert!(!queue.push(&layout, block(2, 0)));
        assert!(!queue.push(&layout, block(0, 1)));
    }

    proptest! {
        #[test]
        fn every_block_is_fetched_once_in_runs_without_gaps(
            asked in prop::collection::vec((0..12u32, 0..3u32), 0..60),
            busy in prop::collection::vec(any::<bool>(), 60),
        ) {
            let layout = layout(12, 3);
            let mut queue = Queue::default();
            let mut left: std::collections::BTreeSet<(u32, u32)> = Default::default();
            for (piece, n) in asked {
                prop_assert!(queue.push(&layout, block(piece, n)));
                left.insert((piece, n));
            }
            for busy in busy.into_iter().chain(std::iter::repeat_n(false, 60)) {
                let Some(run) = queue.next(&layout, busy) else { continue };
                let mut at = run.start;
                for b in &run.blocks {
                    prop_assert_eq!(layout.piece_offset(b.piece) + u64::from(b.begin), at);
                    at += u64::from(b.len);
                    prop_assert!(left.remove(&(b.piece, b.begin / BLOCK)));
                }
                prop_assert_eq!(at, run.end());
            }
            prop_assert!(left.is_empty());
        }
    }
}
