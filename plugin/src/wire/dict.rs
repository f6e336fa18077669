//! A reader for the dictionaries in extension messages (BEP 10), as tolerant as clients in the wild require: keys in
//! any order, twice, unknown, with nested values. It never recurses, so nesting costs no stack, and it allocates
//! nothing, so a message costs no more memory than its own bytes.
//!
//! Why not a library: bendy refuses unsorted keys, and librqbit-bencode computes lengths and integers without an
//! overflow check, which is a panic in a debug build.

/// Why bytes are not a bencoded dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bencoded dictionary (byte {at})")]
pub struct DictError {
    /// Where reading stopped.
    at: usize,
}

/// A value in a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// An integer; `None`: it does not fit 64 bits.
    Int(Option<i64>),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A dictionary, unread: give it to [`DictReader::new`].
    Dict(&'a [u8]),
    /// A list.
    List,
}

/// Reads one dictionary entry by entry.
#[derive(Debug)]
pub(super) struct DictReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> DictReader<'a> {
    /// Starts reading the dictionary at the start of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, DictError> {
        if bytes.first() == Some(&b'd') {
            Ok(Self { bytes, at: 1 })
        } else {
            Err(DictError { at: 0 })
        }
    }

    /// The next entry; `None` at the dictionary's end.
    pub(super) fn entry(&mut self) -> Result<Option<(&'a [u8], Value<'a>)>, DictError> {
        if self.peek()? == b'e' {
            return Ok(None);
        }
        let key = self.string()?;
        let value = match self.peek()? {
            b'i' => Value::Int(self.integer()?),
            b'd' => Value::Dict(self.skip()?),
            b'l' => {
                self.skip()?;
                Value::List
            }
            _ => Value::Bytes(self.string()?),
        };
        Ok(Some((key, value)))
    }

    /// What follows the dictionary, once [`Self::entry`] has returned `None`.
    pub(super) fn trailing(&self) -> &'a [u8] {
        self.bytes.get(self.at + 1..).unwrap_or_default()
    }

    fn peek(&self) -> Result<u8, DictError> {
        self.bytes
            .get(self.at)
            .copied()
            .ok_or(DictError { at: self.at })
    }

    /// Skips one list or dictionary and returns its bytes.
    fn skip(&mut self) -> Result<&'a [u8], DictError> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'd' | b'l' => {
                    depth += 1;
                    self.at += 1;
                }
                b'e' => {
                    depth -= 1;
                    self.at += 1;
                }
                b'i' => {
                    self.integer()?;
                }
                _ => {
                    self.string()?;
                }
            }
            if depth == 0 {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }

    fn integer(&mut self) -> Result<Option<i64>, DictError> {
        let error = DictError { at: self.at };
        let digits = self.until(b'e', self.at + 1).ok_or(error)?;
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.iter().all(u8::is_ascii_digit) {
            return Err(error);
        }
        self.at += digits.len() + 2;
        Ok(std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok()))
    }

    fn string(&mut self) -> Result<&'a [u8], DictError> {
        let error = DictError { at: self.at };
        let digits = self.until(b':', self.at).ok_or(error)?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(error);
        }
        let len: usize = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(error)?;
        let start = self.at + digits.len() + 1;
        let end = start.checked_add(len).ok_or(error)?;
        let string = self.bytes.get(start..end).ok_or(error)?;
        self.at = end;
        Ok(string)
    }

    /// The bytes from `start` up to the first `end`; numbers of more than 64 digits are no numbers.
    fn until(&self, end: u8, start: usize) -> Option<&'a [u8]> {
        const MAX_DIGITS: usize = 64;
        let rest = self.bytes.get(start..)?;
        let len = rest
            .iter()
            .take(MAX_DIGITS + 1)
            .position(|&byte| byte == end)?;
        Some(&rest[..len])
    }
}
