//! Chunk sets as bytes: one tag byte and the shortest of four forms.
//!
//! | tag | form | payload |
//! | --- | --- | --- |
//! | 0 | empty | none |
//! | 1 | full | none |
//! | 2 | raw | the bitfield, most significant bit first, spare bits zero |
//! | 3 | runs | varints: lengths of absent, present, absent, ... runs; the last run is implied |
//! | 4 | reserved | Rice-coded gaps |
//! | 5 | reserved | delta against a sequence number |
//!
//! Only the first run may be empty. A sequential download is `3, 0, n`: three to five bytes.

use super::compact::{put_varint, take_varint};
use crate::chunks::{ChunkSet, ChunkSetError};

/// Chunks that an object can have in this directory, and the most that one datagram's sets cover together: what a
/// datagram makes its reader allocate is bounded by an eighth of this in bytes.
pub const MAX_CHUNKS: u32 = 1 << 20; // guess: a terabyte in pieces of a mebibyte

const EMPTY: u8 = 0;
const FULL: u8 = 1;
const RAW: u8 = 2;
const RUNS: u8 = 3;

/// Why bytes are not an encoded chunk set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitsError {
    /// Not even a tag.
    #[error("a chunk set has at least a tag byte")]
    Missing,
    /// The tag is reserved or unknown.
    #[error("the chunk set's form {0} is unknown")]
    Tag(u8),
    /// The window is longer than the reader allows, or leaves 32 bits.
    #[error("the chunk set covers more chunks than allowed")]
    TooLong,
    /// The payload does not fit the form and the window.
    #[error("the chunk set's payload does not fit its window")]
    Payload,
}

/// The tag byte and the shortest form; at most `ceil(len / 8) + 1` bytes. The window itself is not included.
pub fn encode_bits(set: &ChunkSet) -> Vec<u8> {
    if set.is_none() {
        return vec![EMPTY];
    }
    if set.is_full() {
        return vec![FULL];
    }
    let raw = set.as_bytes();
    let (tag, payload) = match runs(set, raw.len()) {
        Some(runs) => (RUNS, runs),
        None => (RAW, raw.to_vec()),
    };
    let mut out = payload;
    out.insert(0, tag);
    out
}

/// Whether [`encode_bits`] gives at most `limit` bytes behind the tag.
pub(super) fn fits(set: &ChunkSet, limit: usize) -> bool {
    set.is_none()
        || set.is_full()
        || set.as_bytes().len() <= limit
        || runs(set, limit + 1).is_some()
}

/// Reads a set of chunks `start .. start + len`.
///
/// # Errors
/// [`BitsError`]; nothing is allocated unless `len <= max_len`.
pub fn decode_bits(
    start: u32,
    len: u32,
    bytes: &[u8],
    max_len: u32,
) -> Result<ChunkSet, BitsError> {
    let (&tag, payload) = bytes.split_first().ok_or(BitsError::Missing)?;
    if len > max_len || start.checked_add(len).is_none() {
        return Err(BitsError::TooLong);
    }
    match tag {
        EMPTY if payload.is_empty() => Ok(ChunkSet::empty_window(start, len)),
        FULL if payload.is_empty() => Ok(ChunkSet::empty_window(start, len).complement()),
        EMPTY | FULL => Err(BitsError::Payload),
        RAW => raw(start, len, payload),
        RUNS => raw(start, len, &unpack_runs(len, payload)?),
        other => Err(BitsError::Tag(other)),
    }
}

fn raw(start: u32, len: u32, bitfield: &[u8]) -> Result<ChunkSet, BitsError> {
    ChunkSet::from_bytes(start, len, bitfield).map_err(|e| match e {
        ChunkSetError::Range => BitsError::TooLong,
        ChunkSetError::Length { .. } | ChunkSetError::SpareBits => BitsError::Payload,
    })
}

/// The run lengths, if they take fewer than `limit` bytes.
fn runs(set: &ChunkSet, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut present = false;
    let mut run = 0u64;
    let mut left = set.len();
    for &byte in set.as_bytes() {
        let bits = left.min(8);
        left -= bits;
        if bits == 8 && byte == if present { 0xff } else { 0 } {
            run += 8;
            continue;
        }
        for i in 0..bits {
            let bit = byte & (0x80 >> i) != 0;
            if bit != present {
                put_varint(&mut out, run);
                if out.len() >= limit {
                    return None;
                }
                present = bit;
                run = 0;
            }
            run += 1;
        }
    }
    Some(out)
}

/// The bitfield that run lengths describe. The runs are checked before the bitfield is allocated.
fn unpack_runs(len: u32, payload: &[u8]) -> Result<Vec<u8>, BitsError> {
    let mut at = 0u32;
    let mut rest = payload;
    let mut first = true;
    while !rest.is_empty() {
        at = next_run(&mut rest, at, len, first).ok_or(BitsError::Payload)?;
        first = false;
    }

    let mut bitfield = vec![0u8; (len as usize).div_ceil(8)];
    let (mut at, mut rest, mut present) = (0, payload, false);
    while !rest.is_empty() {
        let end = next_run(&mut rest, at, len, at == 0 && !present).ok_or(BitsError::Payload)?;
        if present {
            set_range(&mut bitfield, at, end);
        }
        at = end;
        present = !present;
    }
    if present {
        set_range(&mut bitfield, at, len);
    }
    Ok(bitfield)
}

/// Where the run that begins at `at` ends; only the first may be empty, and the implied last one is not.
fn next_run(rest: &mut &[u8], at: u32, len: u32, first: bool) -> Option<u32> {
    let run = u32::try_from(take_varint(rest)?).ok()?;
    let end = at.checked_add(run)?;
    ((first || run > 0) && end < len).then_some(end)
}

/// Sets bits `from .. to`, most significant bit first.
fn set_range(bitfield: &mut [u8], from: u32, to: u32) {
    let (first, last) = ((from / 8) as usize, (to / 8) as usize);
    let head = 0xffu8 >> (from % 8);
    let tail = !(0xffu8 >> (to % 8));
    if first == last {
        bitfield[first] |= head & tail;
        return;
    }
    bitfield[first] |= head;
    bitfield[first + 1..last].fill(0xff);
    if tail != 0 {
        bitfield[last] |= tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Windows of every texture: empty, full, dense, sparse, long runs.
    fn any_set() -> impl Strategy<Value = ChunkSet> {
        let noise = prop::collection::vec(any::<bool>(), 0..200);
        let runs = prop::collection::vec((any::<bool>(), 1usize..400), 0..12).prop_map(|runs| {
            runs.into_iter()
                .flat_map(|(bit, n)| std::iter::repeat_n(bit, n))
                .collect()
        });
        (0u32..1000, prop_oneof![noise, runs]).prop_map(|(start, bits): (u32, Vec<bool>)| {
            let len = u32::try_from(bits.len()).unwrap();
            let mut set = ChunkSet::empty_window(start, len);
            for (chunk, _) in (start..).zip(&bits).filter(|(_, bit)| **bit) {
                set.insert(chunk);
            }
            set
        })
    }

    proptest! {
        #[test]
        fn every_set_comes_back_and_is_never_longer_than_raw(set in any_set()) {
            let bytes = encode_bits(&set);
            prop_assert!(bytes.len() <= set.as_bytes().len() + 1);
            prop_assert_eq!(decode_bits(set.start(), set.len(), &bytes, set.len()), Ok(set.clone()));
            for limit in [0, bytes.len() - 1, bytes.len()] {
                prop_assert_eq!(fits(&set, limit), bytes.len() - 1 <= limit);
            }
        }

        #[test]
        fn raw_and_runs_say_the_same(set in any_set()) {
            let mut raw = vec![RAW];
            raw.extend_from_slice(set.as_bytes());
            prop_assert_eq!(decode_bits(set.start(), set.len(), &raw, u32::MAX), Ok(set.clone()));
            if let Some(mut runs) = runs(&set, usize::MAX).filter(|_| !set.is_empty()) {
                runs.insert(0, RUNS);
                prop_assert_eq!(decode_bits(set.start(), set.len(), &runs, u32::MAX), Ok(set));
            }
        }

        #[test]
        fn hostile_bytes_give_a_set_of_the_window_or_an_error(
            start in any::<u32>(), len in 0u32..5000, bytes in prop::collection::vec(any::<u8>(), 0..64), tag in 0u8..7,
        ) {
            let bytes: Vec<u8> = std::iter::once(tag).chain(bytes).collect();
            if let Ok(set) = decode_bits(start, len, &bytes, 4096) {
                prop_assert!(len <= 4096 && set.start() == start && set.len() == len);
                prop_assert_eq!(decode_bits(start, len, &encode_bits(&set), 4096), Ok(set));
            }
        }
    }

    #[test]
    fn a_sequential_download_takes_five_bytes_at_most() {
        let mut set = ChunkSet::from_indices(10_000, 0..4_000);
        assert_eq!(encode_bits(&set), [RUNS, 0, 0xa0, 0x1f]);
        set = ChunkSet::from_indices(MAX_CHUNKS, 0..900_000);
        assert!(encode_bits(&set).len() <= 5);
        assert_eq!(encode_bits(&ChunkSet::full(10_000)), [FULL]);
        assert_eq!(encode_bits(&ChunkSet::empty(10_000)), [EMPTY]);
    }

    #[test]
    fn a_half_full_random_map_stays_raw() {
        let held = (0u32..10_000).filter(|i| i.wrapping_mul(2_654_435_761) >> 31 == 0);
        let bytes = encode_bits(&ChunkSet::from_indices(10_000, held));
        assert_eq!((bytes[0], bytes.len()), (RAW, 1251));
    }

    #[test]
    fn reserved_forms_and_misfits_are_refused() {
        use BitsError::{Missing, Payload, Tag, TooLong};
        let refused = |len, bytes: &[u8]| decode_bits(0, len, bytes, 64).unwrap_err();
        assert_eq!(refused(8, &[]), Missing);
        for tag in [4, 5, 6, 255] {
            assert_eq!(refused(8, &[tag]), Tag(tag));
        }
        assert_eq!(refused(65, &[FULL]), TooLong);
        assert_eq!(decode_bits(u32::MAX, 8, &[FULL], 64), Err(TooLong));
        assert_eq!(refused(8, &[FULL, 0]), Payload, "nothing follows full");
        assert_eq!(refused(8, &[EMPTY, 0]), Payload, "nothing follows empty");
        assert_eq!(refused(8, &[RAW, 1, 2]), Payload, "a byte too many");
        assert_eq!(refused(7, &[RAW, 1]), Payload, "a spare bit");
        assert_eq!(refused(8, &[RUNS, 8]), Payload, "the last run is implied");
        assert_eq!(refused(8, &[RUNS, 3, 0]), Payload, "an empty run");
        assert_eq!(refused(8, &[RUNS, 0, 0]), Payload, "two empty runs");
        assert_eq!(refused(8, &[RUNS, 0x80]), Payload, "half a varint");
        assert_eq!(refused(8, &[RUNS, 0x81, 0x00]), Payload, "a padded varint");
        let endless = [
            RUNS, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        assert_eq!(refused(8, &endless), Payload);
    }
}
