//! Blocks to be read for uploads, put together where they lie side by side: one job on a blocking thread costs as much
//! as the reading of several blocks.

use crate::swarm::ConnId;
use crate::wire::message::BlockRef;

/// Longest run in bytes.
const MAX_RUN: u32 = 256 << 10; // what the swarm lets wait for one peer

/// Blocks in a row, all for one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) conn: ConnId,
    pub(super) piece: u32,
    pub(super) begin: u32,
    /// In bytes; the sum of `lens`.
    pub(super) len: u32,
    lens: Vec<u32>,
}

impl Run {
    fn new(conn: ConnId, block: BlockRef) -> Self {
        Self {
            conn,
            piece: block.piece,
            begin: block.begin,
            len: block.len,
            lens: vec![block.len],
        }
    }

    /// Whether the block follows this run; it then belongs to it.
    fn takes(&mut self, conn: ConnId, block: BlockRef) -> bool {
        let follows = (self.conn, self.piece) == (conn, block.piece)
            && self.begin.checked_add(self.len) == Some(block.begin);
        let len = self.len.saturating_add(block.len);
        if !follows || len > MAX_RUN {
            return false;
        }
        self.len = len;
        self.lens.push(block.len);
        true
    }

    /// The blocks, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.lens.iter().scan(self.begin, |at, &len| {
            let begin = *at;
            *at += len;
            Some(BlockRef {
                piece: self.piece,
                begin,
                len,
            })
        })
    }
}

/// The reads as runs, in the same order.
pub(super) fn runs(reads: &[(ConnId, BlockRef)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &(conn, block) in reads {
        if !runs.last_mut().is_some_and(|run| run.takes(conn, block)) {
            runs.push(Run::new(conn, block));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(piece: u32, begin: u32, len: u32) -> BlockRef {
        BlockRef { piece, begin, len }
    }

    #[test]
    fn blocks_side_by_side_for_one_peer_are_one_read() {
        let (a, b) = (ConnId(1), ConnId(2));
        let reads = [
            (a, block(0, 0, 100)),
            (a, block(0, 100, 50)),
            (b, block(0, 150, 50)),
            (b, block(1, 200, 50)),
            (b, block(1, 200, 50)),
        ];
        let runs = runs(&reads);
        let spans: Vec<_> = runs
            .iter()
            .map(|r| (r.conn, r.piece, r.begin, r.len))
            .collect();
        let expected = [
            (a, 0, 0, 150),
            (b, 0, 150, 50),
            (b, 1, 200, 50),
            (b, 1, 200, 50),
        ];
        assert_eq!(spans, expected);
    }

    proptest! {
        #[test]
        fn every_block_is_read_once_in_order_and_no_run_is_long(
            reads in prop::collection::vec((0..2u64, 0..2u32, 0..8u32, 1..=2u32), 0..60),
        ) {
            let reads: Vec<_> = reads
                .into_iter()
                .map(|(c, p, i, l)| (ConnId(c), block(p, i << 16, l << 16)))
                .collect();
            let runs = runs(&reads);
            let blocks: Vec<_> = runs.iter().flat_map(|r| r.blocks().map(|b| (r.conn, b))).collect();
            prop_assert_eq!(blocks, reads);
            for run in runs {
                prop_assert_eq!(run.len, run.blocks().map(|b| b.len).sum::<u32>());
                prop_assert!(run.len <= MAX_RUN);
            }
        }
    }
}
