//! A tolerant bencode reader for what strangers send: trackers' answers, extension messages (BEP 10).
//!
//! Clients and trackers in the wild send unsorted and repeated keys, leading zeros and trailing bytes. It never recurses
//! and never allocates, so hostile nesting costs nothing but the bytes.
//!
//! Why not a library: bendy refuses unsorted keys, and librqbit-bencode computes lengths and integers without an
//! overflow check, which is a panic in a debug build.

/// Nesting that is skipped at most. // guess: real answers nest 3 deep
const MAX_DEPTH: usize = 16;

/// Digits read at most in a number or a length.
const MAX_DIGITS: usize = 64;

/// The bytes are not bencode, or nested too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not bencode, or nested too deep")]
pub struct Malformed;

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `i…e`, saturated to 64 bits.
    Int(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// Begin of a list.
    List,
    /// Begin of a dict.
    Dict,
    /// End of a list or dict.
    End,
}

/// A cursor over bencode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        match first {
            b'd' => self.rest = rest,
            b'l' => self.rest = rest,
            b'e' => self.rest = rest,
            b'i' => {
                self.rest = rest;
                return self.digits(b'e').map(Token::Int);
            }
            b'0'..=b'9' => {
                let len = usize::try_from(self.digits(b':')?).map_err(|_| Malformed)?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
                self.rest = rest;
                return Ok(Token::Bytes(bytes));
            }
            _ => return Err(Malformed),
        }
        Ok(match first {
            b'd' => Token::Dict,
            b'l' => Token::List,
            _ => Token::End,
        })
    }

    /// Enters the dict that the cursor is before.
    pub(crate) fn dict(&mut self) -> Result<(), Malformed> {
        match self.next()? {
            Token::Dict => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next key of the dict that the cursor is in, or `None` at its end.
    pub(crate) fn key(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.next()? {
            Token::Bytes(key) => Ok(Some(key)),
            Token::End => Ok(None),
            _ => Err(Malformed),
        }
    }

    /// Moves past the value that begins with `first`.
    pub(crate) fn skip(&mut self, first: Token<'a>) -> Result<(), Malformed> {
        let mut depth = 0usize;
        let mut token = first;
        loop {
            match token {
                Token::List | Token::Dict => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(Malformed);
                    }
                }
                Token::End => depth = depth.checked_sub(1).ok_or(Malformed)?,
                Token::Int(_) | Token::Bytes(_) => {}
            }
            if depth == 0 {
                return Ok(());
            }
            token = self.next()?;
        }
    }

    /// A decimal up to `end`, saturated.
    fn digits(&mut self, end: u8) -> Result<i64, Malformed> {
        let window = &self.rest[..self.rest.len().min(MAX_DIGITS + 1)];
        let at = window.iter().position(|&b| b == end).ok_or(Malformed)?;
        let text = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        let (negative, digits) = match text.split_first() {
            Some((b'-', digits)) => (true, digits),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let value = digits.iter().fold(0i64, |sum, &d| {
            sum.saturating_mul(10).saturating_add(i64::from(d - b'0'))
        });
        Ok(if negative { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_strict_decoders_refuse() {
        let mut r = Reader::new(b"d1:bi007e1:a2:xye");
        assert_eq!(r.next(), Ok(Token::Dict));
        assert_eq!(r.key(), Ok(Some(&b"b"[..])));
        assert_eq!(r.next(), Ok(Token::Int(7)));
        assert_eq!(r.key(), Ok(Some(&b"a"[..])));
        assert_eq!(r.next(), Ok(Token::Bytes(b"xy")));
        assert_eq!(r.key(), Ok(None));
    }

    #[test]
    fn numbers_saturate_and_lengths_are_checked() {
        assert_eq!(
            Reader::new(b"i99999999999999999999e").next(),
            Ok(Token::Int(i64::MAX))
        );
        assert_eq!(
            Reader::new(b"i-9999999999999999999e").next(),
            Ok(Token::Int(-i64::MAX))
        );
        let long = [&b"i"[..], &[b'9'; MAX_DIGITS + 1], b"e"].concat();
        for bad in [
            &long[..],
            b"ie",
            b"i-e",
            b"i1-e",
            b"9223372036854775807:x",
            b"99999999999999999999:x",
            b"5:abc",
            b"5",
            b"",
        ] {
            assert_eq!(Reader::new(bad).next(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn skip_is_bounded_in_depth() {
        let deep = [b'l'; 1 << 20];
        let mut r = Reader::new(&deep);
        let first = r.next().unwrap();
        assert_eq!(r.skip(first), Err(Malformed));

        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        let skipped = [MAX_DEPTH, MAX_DEPTH + 1].map(|depth| {
            let bytes = nested(depth);
            let mut r = Reader::new(&bytes);
            r.next().and_then(|first| r.skip(first))
        });
        assert_eq!(skipped, [Ok(()), Err(Malformed)]);

        let mut r = Reader::new(b"lld1:ai1eeee4:next");
        let first = r.next().unwrap();
        r.skip(first).unwrap();
        assert_eq!(r.next(), Ok(Token::Bytes(b"next")));
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut r = Reader::new(&bytes);
            while let Ok(token) = r.next() {
                let mut skipper = r;
                let _ = skipper.skip(token);
            }
        }
    }
}
