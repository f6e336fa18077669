//! Which part of a large chunk set one datagram carries.
//!
//! A set whose short form fits goes whole. Otherwise windows take turns: the caller counts up `rotate`, and the reader
//! joins what it is sent.

use super::bits::{decode_bits, fits, put_bits};
use super::compact::{put_varint, take_varint};
use super::{BitsError, MAX_CHUNKS};
use crate::chunks::ChunkSet;

/// Chunks in a window of an entry that does not fit whole; its bits take at most an eighth of this in bytes.
pub const MAX_ENTRY_BITS: u32 = 4096; // 512 bytes: half a datagram
/// Chunks in a window of a lookup that does not fit whole; its bits take at most an eighth of this in bytes.
pub const MAX_LOOKUP_BITS: u32 = 2048; // 256 bytes: leaves room for 8 piggybacked matches
/// The same when the lookup carries a summary too.
pub const SUMMARISED_LOOKUP_BITS: u32 = 1024; // 128 bytes: what a summary leaves

/// The part of `held` to publish in turn `rotate`: everything when its short form takes at most 512 bytes, otherwise
/// the `rotate`-th window of [`MAX_ENTRY_BITS`] chunks, round robin.
pub fn entry_windows(held: &ChunkSet, rotate: u32) -> ChunkSet {
    if fits(held, payload(MAX_ENTRY_BITS)) {
        return held.clone();
    }
    let windows = held.len().div_ceil(MAX_ENTRY_BITS);
    nth_window(held, rotate % windows, MAX_ENTRY_BITS)
}

/// The part of `wanted` to ask for in turn `rotate`: everything when its short form takes at most 256 bytes, otherwise
/// one window of [`MAX_LOOKUP_BITS`] chunks, round robin among those with a wanted chunk.
pub fn lookup_window(wanted: &ChunkSet, rotate: u32) -> ChunkSet {
    window_of(wanted, rotate, MAX_LOOKUP_BITS)
}

/// The same for a lookup that carries a summary beside it: windows of [`SUMMARISED_LOOKUP_BITS`], 128 bytes.
pub fn summarised_lookup_window(wanted: &ChunkSet, rotate: u32) -> ChunkSet {
    window_of(wanted, rotate, SUMMARISED_LOOKUP_BITS)
}

fn window_of(wanted: &ChunkSet, rotate: u32, bits: u32) -> ChunkSet {
    if fits(wanted, payload(bits)) {
        return wanted.clone();
    }
    let useful: Vec<ChunkSet> = (0..wanted.len().div_ceil(bits))
        .map(|n| nth_window(wanted, n, bits))
        .filter(|window| !window.is_none())
        .collect();
    let turn = rotate as usize % useful.len().max(1);
    useful
        .into_iter()
        .nth(turn)
        .unwrap_or_else(|| nth_window(wanted, 0, bits))
}

fn nth_window(set: &ChunkSet, n: u32, len: u32) -> ChunkSet {
    set.window(set.start().saturating_add(n.saturating_mul(len)), len)
}

/// Bytes behind the tag for a raw window of `bits` chunks.
const fn payload(bits: u32) -> usize {
    bits as usize / 8
}

/// Whether a set may go into one datagram with windows of `bits` chunks.
pub(super) fn sendable(set: &ChunkSet, bits: u32) -> bool {
    set.end() <= MAX_CHUNKS && fits(set, payload(bits))
}

/// A window on the wire: start, length (varints), bits.
pub(super) fn put_window(out: &mut Vec<u8>, set: &ChunkSet) {
    put_varint(out, u64::from(set.start()));
    put_varint(out, u64::from(set.len()));
    put_bits(out, set);
}

/// Reads [`put_window`]'s bytes: a window of an object of `chunks` chunks. `budget` is how many chunks the datagram's
/// sets may still cover.
pub(super) fn take_window(
    mut bytes: &[u8],
    bits: u32,
    chunks: u32,
    budget: &mut u32,
) -> Result<ChunkSet, BitsError> {
    let mut number = || {
        let n = take_varint(&mut bytes).ok_or(BitsError::Payload)?;
        u32::try_from(n).map_err(|_| BitsError::TooLong)
    };
    let (start, len) = (number()?, number()?);
    if start.checked_add(len).is_none_or(|end| end > chunks) {
        return Err(BitsError::TooLong);
    }
    if bytes.len() > 1 + payload(bits) {
        return Err(BitsError::Payload);
    }
    let set = decode_bits(start, len, bytes, *budget)?;
    *budget -= len;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode_bits;
    use std::collections::BTreeSet;

    /// Half of the chunks, scattered.
    fn noise(len: u32) -> ChunkSet {
        ChunkSet::from_indices(
            len,
            (0..len).filter(|i| i.wrapping_mul(2_654_435_761) >> 31 == 0),
        )
    }

    #[test]
    fn what_fits_goes_whole_whatever_the_turn() {
        let whole = [
            ChunkSet::full(MAX_CHUNKS),
            ChunkSet::empty(MAX_CHUNKS),
            ChunkSet::from_indices(100_000, 0..50_000),
            noise(4096),
            ChunkSet::from_indices(100_000, (0..100).map(|i| i * 997)),
            ChunkSet::from_indices(100_000, (0..100).map(|i| i * 997)).complement(),
        ];
        for set in whole {
            assert_eq!(entry_windows(&set, 7), set);
        }
        let few = ChunkSet::from_indices(100_000, (0..100).map(|i| i * 997));
        assert_eq!(lookup_window(&few, 7), few);
        assert_eq!(lookup_window(&noise(2048), 3), noise(2048));
        assert_eq!(
            lookup_window(&ChunkSet::full(50_000), 3),
            ChunkSet::full(50_000)
        );
    }

    #[test]
    fn turns_cover_a_large_set() {
        let held = noise(10_000);
        let mut joined = ChunkSet::empty(10_000);
        for rotate in 0..3 {
            let window = entry_windows(&held, rotate);
            assert!(window.len() <= MAX_ENTRY_BITS && encode_bits(&window).len() <= 513);
            joined.overwrite(&window);
        }
        assert_eq!(joined, held);
        assert_eq!(entry_windows(&held, 3), entry_windows(&held, 0));
        assert_eq!(entry_windows(&held, u32::MAX).len(), MAX_ENTRY_BITS);
    }

    #[test]
    fn a_lookup_never_asks_for_a_window_without_wanted_chunks() {
        // wanted chunks in the first and the last of five windows
        let mut wanted = noise(10_240);
        for i in 2048..8192 {
            wanted.remove(i);
        }
        let starts: BTreeSet<u32> = (0..6)
            .map(|rotate| lookup_window(&wanted, rotate))
            .map(|w| w.start())
            .collect();
        assert_eq!(starts, BTreeSet::from([0, 8192]));
        assert!((0..6).all(|r| encode_bits(&lookup_window(&wanted, r)).len() <= 257));
    }

    #[test]
    fn a_window_that_covers_more_than_the_budget_is_refused() {
        let mut bytes = Vec::new();
        put_window(&mut bytes, &ChunkSet::full(600));
        let mut budget = 1000;
        assert_eq!(
            take_window(&bytes, MAX_ENTRY_BITS, MAX_CHUNKS, &mut budget),
            Ok(ChunkSet::full(600))
        );
        assert_eq!(budget, 400);
        assert_eq!(
            take_window(&bytes, MAX_ENTRY_BITS, MAX_CHUNKS, &mut budget),
            Err(BitsError::TooLong)
        );
        let mut beyond = Vec::new();
        put_varint(&mut beyond, u64::from(MAX_CHUNKS));
        beyond.extend([1, 1]);
        assert_eq!(
            take_window(&beyond, MAX_ENTRY_BITS, MAX_CHUNKS, &mut 9),
            Err(BitsError::TooLong)
        );
    }
}
