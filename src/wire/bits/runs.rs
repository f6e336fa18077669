//! Run lengths: varints of absent, present, absent, ... runs. The last run is implied, and only the first may be empty.

use super::super::compact::{put_varint, take_varint};
use super::BitsError;
use super::words::{edges, positions, set_range};
use crate::chunks::ChunkSet;

/// The bytes that the run lengths take, if they are fewer than `limit`.
pub(super) fn size_below(set: &ChunkSet, limit: usize) -> Option<usize> {
    // a run takes at least a byte: counting the edges rules most sets out
    let mut count = 0usize;
    for word in edges(set.as_bytes()) {
        count += word.count_ones() as usize;
        // the edge behind the last chunk is no run
        if count > limit {
            return None;
        }
    }
    let mut size = 0;
    for run in lengths(set) {
        size += varint_len(run);
        if size >= limit {
            return None;
        }
    }
    (size < limit).then_some(size)
}

/// Appends the run lengths of a set that is neither empty nor full.
pub(super) fn write(set: &ChunkSet, out: &mut Vec<u8>) {
    lengths(set).for_each(|run| put_varint(out, run));
}

/// The bitfield of `len` chunks that run lengths describe.
pub(super) fn read(len: u32, mut payload: &[u8]) -> Result<Vec<u8>, BitsError> {
    let mut bitfield = vec![0u8; (len as usize).div_ceil(8)];
    let (mut at, mut present, mut first) = (0u32, false, true);
    while !payload.is_empty() {
        let end = take_varint(&mut payload)
            .and_then(|run| u32::try_from(run).ok())
            .filter(|&run| first || run > 0)
            .and_then(|run| at.checked_add(run))
            .filter(|&end| end < len)
            .ok_or(BitsError::Payload)?;
        if present {
            set_range(&mut bitfield, at, end);
        }
        (at, present, first) = (end, !present, false);
    }
    if present {
        set_range(&mut bitfield, at, len);
    }
    Ok(bitfield)
}

/// Every run but the last: from one edge to the next.
fn lengths(set: &ChunkSet) -> impl Iterator<Item = u64> + '_ {
    positions(edges(set.as_bytes()), set.len()).scan(0, |at, edge| {
        let run = edge - *at;
        *at = edge;
        Some(run)
    })
}

fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros()).div_ceil(7) as usize
}
