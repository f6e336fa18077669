//! Chunk sets as bytes: one tag byte and the shortest of six forms.
//!
//! | tag | form | payload |
//! | --- | --- | --- |
//! | 0 | empty | none |
//! | 1 | full | none |
//! | 2 | raw | the bitfield, most significant bit first, spare bits zero |
//! | 3 | runs | varints: lengths of absent, present, absent, ... runs; the last run is implied (`runs.rs`) |
//! | 4 | Rice | the gaps between the present, or the absent, chunks (`rice.rs`) |
//! | 5 | delta | what differs from a base that both ends have, itself in one of the forms above (`delta.rs`) |
//!
//! The writer takes the shortest, and of equally short ones the first in byte order, so that a set has one canonical
//! form. It finds the length of each form before it writes one. The reader takes any of them.
//!
//! A sequential download is `3, 0, n`: three to five bytes. A random half of the chunks stays raw: no code beats one bit
//! a chunk there.

mod delta;
mod rice;
mod runs;
mod summary;
mod words;

#[cfg(test)]
mod tests;

pub use delta::{decode_delta, encode_delta, symmetric_difference};
pub use summary::{SUMMARY_ABOVE, SUMMARY_BUCKETS, Summary};

use crate::chunks::{ChunkSet, ChunkSetError};
use rice::Rice;

/// Chunks that an object can have in this directory, and the most that one datagram's sets cover together: what a
/// datagram makes its reader allocate is bounded by an eighth of this in bytes.
pub const MAX_CHUNKS: u32 = 1 << 20; // guess: a terabyte in pieces of a mebibyte

const EMPTY: u8 = 0;
const FULL: u8 = 1;
const RAW: u8 = 2;
const RUNS: u8 = 3;
const RICE: u8 = 4;
const DELTA: u8 = 5;

/// Why bytes are not an encoded chunk set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitsError {
    /// Not even a tag.
    #[error("a chunk set has at least a tag byte")]
    Missing,
    /// The tag is unknown.
    #[error("the chunk set's form {0} is unknown")]
    Tag(u8),
    /// A delta where the reader has no base, or within a delta.
    #[error("a delta stands where a whole chunk set is expected; ask for the set without a base")]
    Delta,
    /// The window is longer than the reader allows, or leaves 32 bits.
    #[error("the chunk set covers more chunks than allowed")]
    TooLong,
    /// The payload does not fit the form and the window.
    #[error("the chunk set's payload does not fit its window")]
    Payload,
}

/// The tag byte and the shortest form; at most `ceil(len / 8) + 1` bytes. The window itself is not included.
pub fn encode_bits(set: &ChunkSet) -> Vec<u8> {
    let mut out = Vec::new();
    put_bits(&mut out, set);
    out
}

/// Appends [`encode_bits`].
pub(super) fn put_bits(out: &mut Vec<u8>, set: &ChunkSet) {
    let plan = Plan::of(set, usize::MAX);
    out.reserve(1 + plan.payload);
    plan.write(set, out);
}

/// Whether [`encode_bits`] gives at most `limit` bytes behind the tag.
pub(super) fn fits(set: &ChunkSet, limit: usize) -> bool {
    Plan::of(set, limit.saturating_add(1)).payload <= limit
}

/// Reads a set of chunks `start .. start + len`, in any form that does not need a base.
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
        RAW => bitfield(start, len, payload),
        RUNS => bitfield(start, len, &runs::read(len, payload)?),
        RICE => bitfield(start, len, &rice::read(len, payload)?),
        DELTA => Err(BitsError::Delta),
        other => Err(BitsError::Tag(other)),
    }
}

/// The form that is written and the length of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    form: Form,
    /// Bytes behind the tag.
    payload: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Empty,
    Full,
    Raw,
    Runs,
    Rice(Rice),
}

impl Plan {
    /// The canonical form of `set` if that has fewer than `limit` bytes behind its tag, otherwise a form that has not.
    fn of(set: &ChunkSet, limit: usize) -> Self {
        let plan = |form, payload| Self { form, payload };
        if set.is_none() {
            return plan(Form::Empty, 0);
        }
        if set.is_full() {
            return plan(Form::Full, 0);
        }
        let raw = set.as_bytes().len();
        let mut best = plan(Form::Raw, raw);
        let mut limit = limit.min(raw);
        // in the order of tags: of equally short forms the first one stays
        if let Some(payload) = runs::size_below(set, limit) {
            best = plan(Form::Runs, payload);
            limit = payload;
        }
        if let Some((rice, payload)) = rice::shortest_below(set, limit) {
            best = plan(Form::Rice(rice), payload);
        }
        best
    }

    /// Appends the tag and the payload.
    fn write(&self, set: &ChunkSet, out: &mut Vec<u8>) {
        let before = out.len();
        match self.form {
            Form::Empty => out.push(EMPTY),
            Form::Full => out.push(FULL),
            Form::Raw => {
                out.push(RAW);
                out.extend_from_slice(set.as_bytes());
            }
            Form::Runs => {
                out.push(RUNS);
                runs::write(set, out);
            }
            Form::Rice(rice) => {
                out.push(RICE);
                rice.write(set, out);
            }
        }
        debug_assert_eq!(out.len() - before, 1 + self.payload);
    }
}

fn bitfield(start: u32, len: u32, bytes: &[u8]) -> Result<ChunkSet, BitsError> {
    ChunkSet::from_bytes(start, len, bytes).map_err(|e| match e {
        ChunkSetError::Range => BitsError::TooLong,
        ChunkSetError::Length { .. } | ChunkSetError::SpareBits => BitsError::Payload,
    })
}
