//! Rice-coded gaps: for sets with few chunks here and there, or with few missing.
//!
//! The first payload byte says what is coded: bit 7, the absent chunks instead of the present ones; bits 6 and 5, zero;
//! bits 4 to 0, the parameter `k`. Then a bit string, most significant bit first: for each coded chunk, ascending, the
//! gap, which is the number of chunks between it and the coded one before it (or the start of the window), as `gap >> k`
//! ones, a zero, and the low `k` bits of the gap. Ones, at most seven, fill the last byte: no gap is without a zero, so
//! no count is needed. Chunks behind the last coded one are of the other kind.
//!
//! With `k` = 0 the bit string is the bitfield up to its last coded chunk.

use super::BitsError;
use super::words::{positions, set_range, words};
use crate::chunks::ChunkSet;

const ABSENT: u8 = 0x80;
const MAX_K: u8 = 31;

/// What a Rice code codes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rice {
    /// The absent chunks are coded, not the present ones.
    absent: bool,
    /// Low bits of a gap that are written as they are, 0..=31.
    k: u8,
}

/// The shortest Rice code of a set that is neither empty nor full, and its bytes, if they are fewer than `limit`. Of
/// equally short ones the first: present chunks before absent ones, then the smallest `k`.
pub(super) fn shortest_below(set: &ChunkSet, limit: usize) -> Option<(Rice, usize)> {
    let mut best = None;
    let mut limit = limit;
    for absent in [false, true] {
        if let Some((k, bytes)) = best_k(set, absent, limit) {
            best = Some((Rice { absent, k }, bytes));
            limit = bytes;
        }
    }
    best
}

/// The smallest of the best parameters and the payload's bytes, if they are fewer than `limit`.
fn best_k(set: &ChunkSet, absent: bool, limit: usize) -> Option<(u8, usize)> {
    let count = if absent {
        set.len() - set.count()
    } else {
        set.count()
    };
    let coded = u64::from(count);
    // a gap takes a bit at least, and the gaps and the coded chunks together reach up to the last one
    if bytes_for(coded) >= limit {
        return None;
    }
    let reach = last(set, absent)? + 1;
    let total = reach - coded;

    let mut best = None;
    let mut limit = limit;
    let mut all = Vec::new();
    for k in 0..=MAX_K {
        // each gap loses less than 2^k of the total to its low bits
        let fixed = coded * (u64::from(k) + 1);
        let lost = coded * ((1 << k) - 1);
        if bytes_for(fixed) >= limit {
            break;
        }
        if bytes_for(fixed + (total.saturating_sub(lost) >> k)) >= limit {
            continue;
        }
        if k > 0 && all.is_empty() {
            all.reserve_exact(count as usize);
            all.extend(gaps(set, absent));
        }
        let quotients = if k == 0 {
            total
        } else {
            all.iter().map(|gap| gap >> k).sum()
        };
        let bytes = bytes_for(fixed + quotients);
        if bytes < limit {
            best = Some((k, bytes));
            limit = bytes;
        }
    }
    best
}

/// Payload bytes of a bit string.
fn bytes_for(bits: u64) -> usize {
    usize::try_from(bits.div_ceil(8)).map_or(usize::MAX, |bytes| bytes.saturating_add(1))
}

/// The last coded chunk, counted from the start of the window.
fn last(set: &ChunkSet, absent: bool) -> Option<u64> {
    let flip = if absent { 0xff } else { 0 };
    let spare = (8 - set.len() % 8) % 8;
    let bytes = set.as_bytes();
    let mut used = 0xff << spare; // of the last byte only
    let mut end = u64::from(set.len()) + u64::from(spare);
    for byte in bytes.iter().rev() {
        end -= 8;
        let byte = (byte ^ flip) & used;
        if byte != 0 {
            return Some(end + 7 - u64::from(byte.trailing_zeros()));
        }
        used = 0xff;
    }
    None
}

/// The gaps before the coded chunks.
fn gaps(set: &ChunkSet, absent: bool) -> impl Iterator<Item = u64> + '_ {
    let flip = if absent { u64::MAX } else { 0 };
    let coded = positions(
        words(set.as_bytes()).map(move |word| word ^ flip),
        set.len(),
    );
    coded.scan(0, |free, at| {
        let gap = at - *free;
        *free = at + 1;
        Some(gap)
    })
}

impl Rice {
    /// Appends the payload.
    pub(super) fn write(self, set: &ChunkSet, out: &mut Vec<u8>) {
        out.push(self.k | if self.absent { ABSENT } else { 0 });
        let mut bits = BitWriter {
            out,
            pending: 0,
            count: 0,
        };
        for gap in gaps(set, self.absent) {
            let mut quotient = gap >> self.k;
            while quotient >= 32 {
                bits.put(0xffff_ffff, 32);
                quotient -= 32;
            }
            bits.put((1 << (quotient + 1)) - 2, quotient + 1);
            bits.put(gap & ((1 << self.k) - 1), u64::from(self.k));
        }
        bits.finish();
    }
}

/// The bitfield of `len` chunks that a Rice code describes.
pub(super) fn read(len: u32, payload: &[u8]) -> Result<Vec<u8>, BitsError> {
    let (&head, string) = payload.split_first().ok_or(BitsError::Payload)?;
    let k = head & MAX_K;
    if head & !(ABSENT | MAX_K) != 0 {
        return Err(BitsError::Payload);
    }
    let mut bitfield = vec![0u8; (len as usize).div_ceil(8)];
    let flip = if head & ABSENT != 0 { 0xff } else { 0 };
    if flip != 0 {
        set_range(&mut bitfield, 0, len);
    }
    let mut bits = BitReader {
        bytes: string,
        at: 0,
    };
    let mut free = 0u64;
    while let Some(quotient) = bits.ones()? {
        let low = bits.take(k).ok_or(BitsError::Payload)?;
        // a longer quotient leaves any window
        let quotient = u32::try_from(quotient).map_err(|_| BitsError::Payload)?;
        let at = free + ((u64::from(quotient) << k) | low);
        if at >= u64::from(len) {
            return Err(BitsError::Payload);
        }
        let index = usize::try_from(at / 8).map_err(|_| BitsError::Payload)?;
        bitfield[index] ^= 0x80 >> (at % 8);
        free = at + 1;
    }
    Ok(bitfield)
}

/// Writes up to 32 bits at a time.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits not yet written, right-aligned; above them is rubbish.
    pending: u64,
    /// How many they are, below 32 between calls.
    count: u64,
}

impl BitWriter<'_> {
    fn put(&mut self, bits: u64, count: u64) {
        self.pending = (self.pending << count) | bits;
        self.count += count;
        if self.count >= 32 {
            self.count -= 32;
            let [.., a, b, c, d] = (self.pending >> self.count).to_be_bytes();
            self.out.extend([a, b, c, d]);
        }
    }

    /// Fills the last byte with ones.
    fn finish(mut self) {
        let fill = (8 - self.count % 8) % 8;
        self.put((1 << fill) - 1, fill);
        while self.count > 0 {
            self.count -= 8;
            let [.., byte] = (self.pending >> self.count).to_be_bytes();
            self.out.push(byte);
        }
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl BitReader<'_> {
    /// The next bits, left-aligned, and how many: at least 57. Ones stand behind the end.
    fn peek(&self) -> (u64, usize) {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => *word,
            None => {
                let mut word = [0xff; 8];
                word[..rest.len()].copy_from_slice(rest);
                word
            }
        };
        let read = self.at % 8;
        let word = u64::from_be_bytes(word);
        ((word << read) | ((1 << read) - 1), 64 - read)
    }

    /// Takes ones and the zero behind them: how many ones. None when only the filling is left.
    fn ones(&mut self) -> Result<Option<u64>, BitsError> {
        let (from, mut ones) = (self.at, 0u64);
        let end = self.bytes.len() * 8;
        loop {
            let (word, known) = self.peek();
            let run = word.leading_ones();
            if (run as usize) < known {
                self.at += run as usize + 1;
                return Ok(Some(ones + u64::from(run)));
            }
            ones += known as u64;
            self.at += known;
            if self.at >= end {
                return if end - from < 8 {
                    Ok(None)
                } else {
                    Err(BitsError::Payload)
                };
            }
        }
    }

    /// Takes `count` bits, at most 31; none when there are fewer.
    fn take(&mut self, count: u8) -> Option<u64> {
        let after = self.at + usize::from(count);
        if after > self.bytes.len() * 8 {
            return None;
        }
        let (word, _) = self.peek();
        self.at = after;
        Some(word.checked_shr(64 - u32::from(count)).unwrap_or(0))
    }
}
