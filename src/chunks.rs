//! Sets of chunks: a start index and one bit a chunk (paper sections 3 and 3.2).
//!
//! The bits have the byte layout of a BitTorrent bitfield (most significant bit of the first byte = first chunk, spare
//! bits zero), so a piece bitfield *is* a publish vector.

use std::fmt;

use bitvec::prelude::*;

type Bits = BitVec<u8, Msb0>;

/// Chunks `start .. start + len` of an object, each held (or wanted) or not.
///
/// Indices in the API are absolute chunk indices; those outside the window count as absent.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ChunkSet {
    start: u32,
    bits: Bits,
    ones: u32,
}

/// Why bytes are not a chunk set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkSetError {
    /// The number of bytes does not fit the number of chunks.
    #[error("a bitfield for {chunks} chunks is {expected} bytes long, not {got}")]
    Length {
        /// Chunks that the object has.
        chunks: u32,
        /// Bytes that a bitfield of that many chunks takes.
        expected: usize,
        /// Bytes that were given.
        got: usize,
    },
    /// A bit behind the last chunk is set.
    #[error("a spare bit behind the last chunk is set")]
    SpareBits,
    /// `start + len` does not fit 32 bits.
    #[error("the window reaches beyond chunk 2^32 - 1")]
    Range,
}

impl ChunkSet {
    /// No chunk of `start .. start + len`.
    pub fn empty_window(start: u32, len: u32) -> Self {
        Self {
            start,
            bits: Bits::repeat(false, len as usize),
            ones: 0,
        }
    }

    /// No chunk of an object of `len` chunks.
    pub fn empty(len: u32) -> Self {
        Self::empty_window(0, len)
    }

    /// Every chunk of an object of `len` chunks.
    pub fn full(len: u32) -> Self {
        let mut bits = Bits::repeat(true, len as usize);
        bits.set_uninitialized(false);
        Self {
            start: 0,
            bits,
            ones: len,
        }
    }

    /// The set with these chunks of an object of `len` chunks; indices outside are ignored.
    pub fn from_indices(len: u32, indices: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::empty(len);
        for i in indices {
            set.insert(i);
        }
        set
    }

    /// Reads a bitfield of `len` chunks that begin at `start`.
    ///
    /// # Errors
    /// [`ChunkSetError`] when the byte count is not `ceil(len / 8)`, a spare bit is set, or the window leaves `u32`.
    pub fn from_bytes(start: u32, len: u32, bytes: &[u8]) -> Result<Self, ChunkSetError> {
        let expected = (len as usize).div_ceil(8);
        if bytes.len() != expected {
            return Err(ChunkSetError::Length {
                chunks: len,
                expected,
                got: bytes.len(),
            });
        }
        if start.checked_add(len).is_none() {
            return Err(ChunkSetError::Range);
        }
        let spare = 8 * expected - len as usize;
        if bytes
            .last()
            .is_some_and(|last| last & ((1 << spare) - 1) != 0)
        {
            return Err(ChunkSetError::SpareBits);
        }
        let mut bits = Bits::from_vec(bytes.to_vec());
        bits.truncate(len as usize);
        let ones = ones(bytes);
        Ok(Self { start, bits, ones })
    }

    /// The bitfield: `ceil(len / 8)` bytes, spare bits zero.
    pub fn as_bytes(&self) -> &[u8] {
        self.bits.as_raw_slice()
    }

    /// First chunk of the window.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// Chunks in the window.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "every constructor takes a u32 length"
    )]
    pub fn len(&self) -> u32 {
        self.bits.len() as u32
    }

    /// One past the last chunk of the window.
    pub fn end(&self) -> u32 {
        self.start + self.len()
    }

    /// Whether the window itself has no chunk at all (not: whether no bit is set, see [`ChunkSet::is_none`]).
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Number of chunks in the set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether no chunk is in the set.
    pub fn is_none(&self) -> bool {
        self.ones == 0
    }

    /// Whether every chunk of the window is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len()
    }

    /// Whether `chunk` is in the set; outside the window: no.
    pub fn contains(&self, chunk: u32) -> bool {
        self.offset(chunk)
            .is_some_and(|i| self.as_bytes()[i / 8] & bit(i) != 0)
    }

    /// Adds `chunk`; whether it was new. Outside the window nothing happens.
    pub fn insert(&mut self, chunk: u32) -> bool {
        self.put(chunk, true)
    }

    /// Removes `chunk`; whether it was there.
    pub fn remove(&mut self, chunk: u32) -> bool {
        self.put(chunk, false)
    }

    fn put(&mut self, chunk: u32, value: bool) -> bool {
        let Some(i) = self.offset(chunk) else {
            return false;
        };
        let byte = &mut self.bits.as_raw_mut_slice()[i / 8];
        if (*byte & bit(i) != 0) == value {
            return false;
        }
        *byte ^= bit(i);
        if value {
            self.ones += 1;
        } else {
            self.ones -= 1;
        }
        true
    }

    fn offset(&self, chunk: u32) -> Option<usize> {
        chunk
            .checked_sub(self.start)
            .map(|i| i as usize)
            .filter(|&i| i < self.bits.len())
    }

    /// The chunks in the set, ascending.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "offsets are below the u32 length"
    )]
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter_ones().map(|i| self.start + i as u32)
    }

    /// The chunks of the window that are not in the set, ascending.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "offsets are below the u32 length"
    )]
    pub fn iter_missing(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter_zeros().map(|i| self.start + i as u32)
    }

    /// Number of chunks in both sets; windows may differ (paper 3.3, the overlap ranking).
    pub fn overlap(&self, other: &ChunkSet) -> u32 {
        self.overlap_bits(other.start, other.len(), other.as_bytes())
    }

    /// [`ChunkSet::overlap`] with the `len` chunks from `start` that a bitfield of `ceil(len / 8)` bytes holds.
    pub(crate) fn overlap_bits(&self, start: u32, len: u32, bits: &[u8]) -> u32 {
        let from = self.start.max(start);
        let to = self.end().min(start.saturating_add(len));
        if from >= to {
            return 0;
        }
        let (a, b) = ((from - self.start) as usize, (from - start) as usize);
        count_both(self.as_bytes(), a, bits, b, (to - from) as usize)
    }

    /// Whether at least one chunk is in both sets.
    pub fn intersects(&self, other: &ChunkSet) -> bool {
        self.overlap(other) > 0
    }

    /// Adds every chunk of `other` that lies in this window; how many were new.
    pub fn union_with(&mut self, other: &ChunkSet) -> u32 {
        let Some((a, b)) = self.shared(other) else {
            return 0;
        };
        let before = self.ones;
        if self.start == other.start && other.len() <= self.len() {
            // byte for byte: spare bits are zero
            let bytes = self.bits.as_raw_mut_slice().iter_mut();
            bytes.zip(other.as_bytes()).for_each(|(a, b)| *a |= b);
        } else {
            self.bits[a] |= &other.bits[b];
        }
        self.ones = count(&self.bits);
        self.ones - before
    }

    /// Replaces the bits of the chunks that both windows cover with those of `other`.
    pub fn overwrite(&mut self, other: &ChunkSet) {
        if let Some((a, b)) = self.shared(other) {
            self.bits[a].copy_from_bitslice(&other.bits[b]);
            self.ones = count(&self.bits);
        }
    }

    /// The set of chunks of this window that are not in the set (what is still wanted).
    pub fn complement(&self) -> ChunkSet {
        let mut bits = !self.bits.clone();
        bits.set_uninitialized(false);
        ChunkSet {
            start: self.start,
            ones: self.len() - self.ones,
            bits,
        }
    }

    /// The part of the set that lies in `start .. start + len`, clipped to this window.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "offsets are below the u32 length"
    )]
    pub fn window(&self, start: u32, len: u32) -> ChunkSet {
        let from = start.clamp(self.start, self.end());
        let to = start.saturating_add(len).clamp(from, self.end());
        let slice = &self.bits[(from - self.start) as usize..(to - self.start) as usize];
        let mut bits: Bits = slice.iter().by_vals().collect();
        bits.set_uninitialized(false);
        let ones = count(&bits);
        ChunkSet {
            start: from,
            bits,
            ones,
        }
    }

    /// Offsets, in self and in other, of the chunks that both windows cover.
    fn shared(&self, other: &ChunkSet) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let from = self.start.max(other.start);
        let to = self.end().min(other.end());
        (from < to).then(|| {
            let range = |s: &ChunkSet| (from - s.start) as usize..(to - s.start) as usize;
            (range(self), range(other))
        })
    }

    /// Bytes on the heap, for the bounds of caches.
    pub fn heap_bytes(&self) -> usize {
        self.bits.capacity() / 8
    }
}

/// Chunk `i` of a window in its byte.
fn bit(i: usize) -> u8 {
    0x80 >> (i % 8)
}

fn count(bits: &Bits) -> u32 {
    ones(bits.as_raw_slice()) // spare bits are zero
}

fn ones(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words
        .iter()
        .map(|word| u64::from_ne_bytes(*word).count_ones());
    words.chain(rest.iter().map(|byte| byte.count_ones())).sum()
}

/// Bits that are set in both of `n` bits of `a` from bit `i` and of `b` from bit `j`.
fn count_both(a: &[u8], i: usize, b: &[u8], j: usize, n: usize) -> u32 {
    let mut sum = 0;
    let mut done = 0;
    if i.is_multiple_of(8) && j.is_multiple_of(8) {
        let (a, b) = (&a[i / 8..(i + n) / 8], &b[j / 8..(j + n) / 8]);
        let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
        let both = words.map(|(a, b)| u64::from_ne_bytes(*a) & u64::from_ne_bytes(*b));
        sum = both.map(u64::count_ones).sum();
        done = a.len() / 8 * 64;
    }
    while done < n {
        let both = word_at(a, i + done) & word_at(b, j + done);
        let rest = n - done;
        let mask = if rest < 64 {
            !(u64::MAX >> rest)
        } else {
            u64::MAX
        };
        sum += (both & mask).count_ones();
        done += 64;
    }
    sum
}

/// The 64 bits from bit `at`; zeros behind the end.
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let (tail, shift) = (&bytes[at / 8..], at % 8);
    let mut nine = [0; 9];
    let len = tail.len().min(9);
    nine[..len].copy_from_slice(&tail[..len]);
    let [first @ .., last] = nine;
    u64::from_be_bytes(first) << shift | u64::from(last) >> (8 - shift)
}

impl fmt::Debug for ChunkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ChunkSet({}+{}: {} set)",
            self.start,
            self.len(),
            self.ones
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A window and the chunks in it, beside the naive set.
    fn windowed() -> impl Strategy<Value = (ChunkSet, BTreeSet<u32>)> {
        (0u32..40, prop::collection::vec(any::<bool>(), 0..90)).prop_map(|(start, bits)| {
            let indices = (start..).zip(&bits).filter(|(_, b)| **b).map(|(i, _)| i);
            let naive: BTreeSet<u32> = indices.collect();
            let len = u32::try_from(bits.len()).unwrap();
            let mut set = ChunkSet::empty_window(start, len);
            for chunk in &naive {
                set.insert(*chunk);
            }
            (set, naive)
        })
    }

    proptest! {
        #[test]
        fn overlap_union_window_and_complement_agree_with_a_naive_set(
            (a, na) in windowed(), (b, nb) in windowed(), from in 0u32..120, len in 0u32..80,
        ) {
            prop_assert_eq!(a.overlap(&b) as usize, na.intersection(&nb).count());
            prop_assert_eq!(a.overlap(&b), b.overlap(&a));
            let mut u = a.clone();
            let new = u.union_with(&b);
            let want: BTreeSet<u32> =
                na.iter().copied().chain(nb.iter().copied().filter(|c| (a.start()..a.end()).contains(c))).collect();
            prop_assert_eq!(u.iter().collect::<BTreeSet<_>>(), want.clone());
            prop_assert_eq!(u.count() as usize, want.len());
            prop_assert_eq!(new as usize, want.len() - na.len());
            let w = a.window(from, len);
            let naive: Vec<u32> = na.iter().copied().filter(|c| (from..from + len).contains(c)).collect();
            prop_assert_eq!(w.iter().collect::<Vec<_>>(), naive);
            prop_assert_eq!(a.complement().iter().collect::<Vec<_>>(), a.iter_missing().collect::<Vec<_>>());
            prop_assert_eq!(a.complement().complement(), a);
        }

        #[test]
        fn bytes_round_trip_and_spare_bits_stay_zero((a, _) in windowed()) {
            for set in [a.clone(), a.complement(), a.window(a.start() + 3, 17)] {
                let again = ChunkSet::from_bytes(set.start(), set.len(), set.as_bytes());
                prop_assert_eq!(again, Ok(set));
            }
        }

        #[test]
        fn overwrite_copies_exactly_the_shared_window((a, na) in windowed(), (b, nb) in windowed()) {
            let mut o = a.clone();
            o.overwrite(&b);
            let inside = |c: u32| (b.start()..b.end()).contains(&c);
            let want: BTreeSet<u32> = (a.start()..a.end())
                .filter(|&c| if inside(c) { nb.contains(&c) } else { na.contains(&c) }).collect();
            prop_assert_eq!(o.iter().collect::<BTreeSet<_>>(), want);
        }
    }

    #[test]
    fn the_paper_s_example_is_a_bitfield() {
        // paper section 3: the 1st, 3rd and 5th of five chunks are 10101
        let set = ChunkSet::from_indices(5, [0, 2, 4]);
        assert_eq!(set.as_bytes(), [0b1010_1000]);
    }

    #[test]
    fn a_full_set_has_no_spare_bits() {
        assert_eq!(ChunkSet::full(11).as_bytes(), [0xff, 0b1110_0000]);
    }

    #[test]
    fn a_bitfield_of_the_wrong_shape_is_refused() {
        assert!(matches!(
            ChunkSet::from_bytes(0, 9, &[0xff]),
            Err(ChunkSetError::Length { expected: 2, .. })
        ));
        assert_eq!(
            ChunkSet::from_bytes(0, 4, &[0xf8]),
            Err(ChunkSetError::SpareBits)
        );
        assert_eq!(
            ChunkSet::from_bytes(u32::MAX, 8, &[0]),
            Err(ChunkSetError::Range)
        );
    }
}
