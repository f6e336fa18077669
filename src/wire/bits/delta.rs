//! A set relative to a base that both ends have: tag 5, then the chunks in which the two differ, as a set of the base's
//! window in one of the other forms. Fifty chunks more out of ten thousand take at most 63 bytes.
//!
//! Which base is meant, and what happens when the reader does not have it, is the message's business: it carries the
//! base's sequence number.

use super::words::words;
use super::{BitsError, DELTA, Plan, bitfield, decode_bits};
use crate::chunks::ChunkSet;

/// `now` for a reader that has `base`: a delta, or the set itself when that is no longer. `now` counts within the
/// window of `base`; chunks outside do not travel, so an object's two sets are given in the same window.
pub fn encode_delta(base: &ChunkSet, now: &ChunkSet) -> Vec<u8> {
    let difference = symmetric_difference(base, now);
    let moved;
    let whole = if same_window(base, now) {
        now
    } else {
        moved = symmetric_difference(&ChunkSet::empty_window(base.start(), base.len()), now);
        &moved
    };
    let delta = Plan::of(&difference, usize::MAX);
    // of equally short forms the lower tag
    let plan = Plan::of(whole, delta.payload.saturating_add(2));
    let mut out = Vec::with_capacity(2 + plan.payload.min(delta.payload));
    if plan.payload <= delta.payload + 1 {
        plan.write(whole, &mut out);
    } else {
        out.push(DELTA);
        delta.write(&difference, &mut out);
    }
    out
}

/// Reads what [`encode_delta`] wrote: a set of the window of `base`.
///
/// # Errors
/// [`BitsError`]; nothing is allocated unless the window has at most `max_len` chunks.
pub fn decode_delta(base: &ChunkSet, bytes: &[u8], max_len: u32) -> Result<ChunkSet, BitsError> {
    match bytes.split_first() {
        Some((&DELTA, difference)) => {
            let difference = decode_bits(base.start(), base.len(), difference, max_len)?;
            Ok(symmetric_difference(base, &difference))
        }
        _ => decode_bits(base.start(), base.len(), bytes, max_len),
    }
}

/// The chunks of the window of `base` that are in exactly one of the two sets. It is its own inverse: applied to `base`
/// and the difference it gives the other set. A message can therefore carry the difference as a set and leave it to
/// whoever holds the base to apply it.
pub fn symmetric_difference(base: &ChunkSet, other: &ChunkSet) -> ChunkSet {
    if !same_window(base, other) {
        let mut moved = ChunkSet::empty_window(base.start(), base.len());
        moved.overwrite(other);
        return symmetric_difference(base, &moved);
    }
    let mut bytes = Vec::with_capacity(base.as_bytes().len() + 8);
    for (a, b) in words(base.as_bytes()).zip(words(other.as_bytes())) {
        bytes.extend((a ^ b).to_be_bytes());
    }
    bytes.truncate(base.as_bytes().len());
    bitfield(base.start(), base.len(), &bytes)
        .expect("both sets have this window, and spare bits that are zero")
}

fn same_window(a: &ChunkSet, b: &ChunkSet) -> bool {
    (a.start(), a.len()) == (b.start(), b.len())
}
