//! Bitfields, most significant bit first, read 64 bits at a time.

/// The bitfield's bits, 64 at a time; missing bytes are zeros.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks(8).map(|chunk| {
        let word = <[u8; 8]>::try_from(chunk).unwrap_or_else(|_| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            word
        });
        u64::from_be_bytes(word)
    })
}

/// Words with a bit wherever the bitfield's bit is not the one before it; an absent one stands before the first.
pub(super) fn edges(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    words(bytes).scan(0, |carry, word| {
        let edges = word ^ ((word >> 1) | (*carry << 63));
        *carry = word & 1;
        Some(edges)
    })
}

/// The positions below `len` of the bits that are set in `words`, ascending.
pub(super) fn positions(words: impl Iterator<Item = u64>, len: u32) -> impl Iterator<Item = u64> {
    Positions {
        words,
        word: 0,
        next: 0,
    }
    .take_while(move |&at| at < u64::from(len))
}

struct Positions<I> {
    words: I,
    /// What is left of the current word.
    word: u64,
    /// Position of the next word's first bit.
    next: u64,
}

impl<I: Iterator<Item = u64>> Iterator for Positions<I> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.word == 0 {
            self.word = self.words.next()?;
            self.next += 64;
        }
        let zeros = self.word.leading_zeros();
        self.word ^= (1 << 63) >> zeros;
        Some(self.next - 64 + u64::from(zeros))
    }
}

/// The first and the last byte of bits `from .. to`, not empty, and the masks of those bits in them.
fn span(from: u32, to: u32) -> (usize, u8, usize, u8) {
    let last = to - 1;
    let head = 0xff >> (from % 8);
    let tail = 0xff << (7 - last % 8);
    ((from / 8) as usize, head, (last / 8) as usize, tail)
}

/// Sets bits `from .. to`.
pub(super) fn set_range(bitfield: &mut [u8], from: u32, to: u32) {
    if from >= to {
        return;
    }
    let (first, head, last, tail) = span(from, to);
    if first == last {
        bitfield[first] |= head & tail;
        return;
    }
    bitfield[first] |= head;
    bitfield[first + 1..last].fill(0xff);
    bitfield[last] |= tail;
}

/// Whether one of the bits `from .. to` is set.
pub(super) fn any_in(bitfield: &[u8], from: u32, to: u32) -> bool {
    if from >= to {
        return false;
    }
    let (first, head, last, tail) = span(from, to);
    if first == last {
        return bitfield[first] & head & tail != 0;
    }
    bitfield[first] & head != 0
        || bitfield[last] & tail != 0
        || bitfield[first + 1..last].iter().any(|&byte| byte != 0)
}
