//! What a large set covers, coarsely: one bit for each of 2,048 stretches of the object.
//!
//! The exact windows of a large object take turns, so an index node may not have seen the window that a lookup is
//! about. The summary says where a peer holds, or wants, anything at all.
//!
//! Differences from the paper: section 3 publishes the whole bit vector, which does not fit a datagram for objects of
//! more than some thousand chunks.

use super::words::any_in;
use super::{BitsError, MAX_CHUNKS, decode_bits, encode_bits};
use crate::chunks::ChunkSet;

/// Stretches of an object, each with a bit: 256 bytes raw.
pub const SUMMARY_BUCKETS: u32 = 2048;
/// Objects of more chunks than this are worth a summary: below, two windows say everything.
pub const SUMMARY_ABOVE: u32 = 8192;

/// Which stretches of an object hold at least one chunk of a set. Chunk `c` of `n` lies in stretch `c * 2048 / n`,
/// rounded down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    chunks: u32,
    buckets: ChunkSet,
}

impl Summary {
    /// The summary of a set whose window ends with the object.
    pub fn of(set: &ChunkSet) -> Self {
        let chunks = set.end();
        let (start, bytes) = (set.start(), set.as_bytes());
        let covered = (0..SUMMARY_BUCKETS).filter(|&bucket| {
            let from = first(bucket, chunks).max(start);
            let to = first(bucket + 1, chunks).max(start);
            any_in(bytes, from - start, to - start)
        });
        Self {
            chunks,
            buckets: ChunkSet::from_indices(SUMMARY_BUCKETS, covered),
        }
    }

    /// Chunks in the object.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// At most how many chunks are in both sets: as many as lie in the stretches that both have. Zero is certain: the
    /// sets have no chunk in common. Summaries of objects with different numbers of chunks have nothing in common.
    pub fn may_overlap(&self, other: &Summary) -> u32 {
        if self.chunks != other.chunks {
            return 0;
        }
        let both = self
            .buckets
            .iter()
            .filter(|&bucket| other.buckets.contains(bucket));
        both.map(|bucket| first(bucket + 1, self.chunks) - first(bucket, self.chunks))
            .sum()
    }

    /// Whether the sets may have a chunk in common. For objects of at least 2,048 chunks, whose every stretch has one:
    /// [`Summary::may_overlap`] is above zero.
    pub fn overlaps(&self, other: &Summary) -> bool {
        self.chunks == other.chunks && self.buckets.intersects(&other.buckets)
    }

    /// Whether a set of the same object has a chunk in any of the stretches. A set that does not cover the object has
    /// none: where it ends is not known.
    pub fn may_include(&self, set: &ChunkSet) -> bool {
        if set.start() != 0 || set.len() != self.chunks || set.is_none() {
            return false;
        }
        let mut buckets = self.buckets.iter();
        buckets.any(|bucket| {
            let (from, to) = (first(bucket, self.chunks), first(bucket + 1, self.chunks));
            any_in(set.as_bytes(), from, to)
        })
    }

    /// The shortest form of the stretches as a set of 2,048: at most 257 bytes. The number of chunks is not included.
    pub fn encode(&self) -> Vec<u8> {
        encode_bits(&self.buckets)
    }

    /// Reads the summary of a set of an object of `chunks` chunks.
    ///
    /// # Errors
    /// [`BitsError`]; `TooLong` for more than [`MAX_CHUNKS`] chunks.
    pub fn decode(chunks: u32, bytes: &[u8]) -> Result<Self, BitsError> {
        if chunks > MAX_CHUNKS {
            return Err(BitsError::TooLong);
        }
        let buckets = decode_bits(0, SUMMARY_BUCKETS, bytes, SUMMARY_BUCKETS)?;
        Ok(Self { chunks, buckets })
    }
}

/// The first chunk of `bucket` in an object of `chunks` chunks; for 2,048, the number of chunks.
fn first(bucket: u32, chunks: u32) -> u32 {
    let at = (u64::from(bucket) * u64::from(chunks)).div_ceil(u64::from(SUMMARY_BUCKETS));
    u32::try_from(at).unwrap_or(chunks)
}
