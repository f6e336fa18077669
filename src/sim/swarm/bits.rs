//! Sets of chunks as plain words, for loops over whole sets of many peers.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Chunks, one bit each.
#[derive(Clone, Debug)]
pub(super) struct Bits {
    words: Vec<u64>,
    ones: u32,
}

impl Bits {
    /// No chunk of `len`.
    pub(super) fn empty(len: u32) -> Self {
        Self {
            words: vec![0; (len as usize).div_ceil(64)],
            ones: 0,
        }
    }

    /// All `len` chunks.
    pub(super) fn full(len: u32) -> Self {
        let mut all = Self::empty(len);
        for chunk in 0..len {
            all.insert(chunk);
        }
        all
    }

    pub(super) fn contains(&self, chunk: u32) -> bool {
        self.words[chunk as usize / 64] >> (chunk % 64) & 1 == 1
    }

    /// Whether it was new.
    pub(super) fn insert(&mut self, chunk: u32) -> bool {
        let word = &mut self.words[chunk as usize / 64];
        let new = *word >> (chunk % 64) & 1 == 0;
        *word |= 1 << (chunk % 64);
        // not `+= u32::from(new)`: rustc 1.95.0 (LLVM 22.1.2) adds nothing then when it optimises
        if new {
            self.ones += 1;
        }
        new
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, chunk: u32) -> bool {
        let there = self.contains(chunk);
        self.words[chunk as usize / 64] &= !(1 << (chunk % 64));
        if there {
            self.ones -= 1;
        }
        there
    }

    pub(super) fn count(&self) -> u32 {
        self.ones
    }

    /// Chunks in both, a word at a time.
    pub(super) fn and<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.words.iter().zip(&other.words).map(|(a, b)| a & b)
    }

    /// Chunks that are in this set and not in `other`, a word at a time.
    pub(super) fn minus<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.words.iter().zip(&other.words).map(|(a, b)| a & !b)
    }
}

/// The chunks of words.
pub(super) fn chunks(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    words.zip((0..).step_by(64)).flat_map(|(mut word, first)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(first + bit)
        })
    })
}

/// The chunk of least `rank` with its rank; equals at random.
pub(super) fn least(
    words: impl Iterator<Item = u64>,
    rank: impl Fn(u32) -> u32,
    rng: &mut ChaCha8Rng,
) -> Option<(u32, u32)> {
    let mut best: Option<(u32, u32)> = None;
    let mut equals = 0u32;
    for chunk in chunks(words) {
        let rank = rank(chunk);
        match best {
            Some((least, _)) if rank > least => {}
            Some((least, _)) if rank == least => {
                equals += 1;
                if rng.random_range(0..equals) == 0 {
                    best = Some((rank, chunk));
                }
            }
            _ => {
                best = Some((rank, chunk));
                equals = 1;
            }
        }
    }
    best.map(|(rank, chunk)| (chunk, rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_counted_and_found_and_taken_out_again() {
        let mut some = Bits::empty(130);
        assert!(some.insert(3) && some.insert(64) && some.insert(129) && !some.insert(64));
        assert_eq!(some.count(), 3);
        let all = Bits::full(130);
        assert_eq!(all.count(), 130);
        assert_eq!(chunks(some.and(&all)).collect::<Vec<_>>(), [3, 64, 129]);
        assert_eq!(chunks(all.minus(&some)).count(), 127);
        assert!(some.remove(64) && !some.remove(64) && !some.contains(64));
        assert_eq!(some.count(), 2);
    }
}
