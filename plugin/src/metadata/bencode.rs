//! A structural scan of bencode (BEP 3), before any parser sees the bytes.
//!
//! The parser behind it (`librqbit_bencode`) recurses and reads integers without an overflow check. The scan is a loop
//! over a small stack: it proves that the bytes are one complete value, that nesting is shallow, that each string lies
//! inside the input and that each integer fits an `i64`. It costs one pass and allocates nothing that an attacker sizes.

use super::MetadataLimits;

/// Why bytes are not one bencoded value that is worth parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// There are no bytes.
    #[error("it is empty")]
    Empty,
    /// The input ends inside a value.
    #[error("it is cut off after {at} bytes, in the middle of a value")]
    Truncated {
        /// Bytes in the input.
        at: usize,
    },
    /// A byte that cannot stand where it stands.
    #[error("byte {at} cannot stand there in bencoded data")]
    Syntax {
        /// Its offset.
        at: usize,
    },
    /// An integer beyond 64 bits.
    #[error("the number at byte {at} does not fit 64 bits")]
    Integer {
        /// Its offset.
        at: usize,
    },
    /// Lists and dicts nested too deep.
    #[error("lists are nested more than {limit} deep at byte {at}")]
    Depth {
        /// Offset of the first one too deep.
        at: usize,
        /// The limit.
        limit: usize,
    },
    /// More values than the limit.
    #[error("it holds more than {limit} values")]
    Values {
        /// The limit.
        limit: usize,
    },
}

/// What the scan is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    List,
    /// A dict whose next item is a key, or its end.
    Key,
    /// A dict whose next item is the value of a key.
    Value,
}

/// Scans the value at the start of `bytes`; returns its length. What follows it is the caller's business.
pub(super) fn scan(bytes: &[u8], limits: &MetadataLimits) -> Result<usize, BencodeError> {
    if bytes.is_empty() {
        return Err(BencodeError::Empty);
    }
    let mut stack: Vec<Frame> = Vec::with_capacity(limits.depth);
    let mut values = 0usize;
    let mut at = 0usize;
    loop {
        let byte = *bytes.get(at).ok_or(BencodeError::Truncated { at })?;
        let top = stack.last().copied();
        if byte == b'e' && matches!(top, Some(Frame::List | Frame::Key)) {
            stack.pop();
            at += 1;
        } else {
            values += 1;
            if values > limits.values {
                return Err(BencodeError::Values {
                    limit: limits.values,
                });
            }
            match byte {
                b'0'..=b'9' => at = skip_string(bytes, at)?,
                _ if top == Some(Frame::Key) => return Err(BencodeError::Syntax { at }),
                b'i' => at = skip_integer(bytes, at)?,
                b'l' | b'd' => {
                    if stack.len() == limits.depth {
                        return Err(BencodeError::Depth {
                            at,
                            limit: limits.depth,
                        });
                    }
                    stack.push(if byte == b'l' {
                        Frame::List
                    } else {
                        Frame::Key
                    });
                    at += 1;
                    continue;
                }
                _ => return Err(BencodeError::Syntax { at }),
            }
        }
        match stack.last_mut() {
            None => return Ok(at),
            Some(frame @ Frame::Key) if byte != b'e' => *frame = Frame::Value,
            Some(frame @ Frame::Value) => *frame = Frame::Key,
            Some(_) => {}
        }
    }
}

/// The offset behind the string that begins at `at`.
fn skip_string(bytes: &[u8], at: usize) -> Result<usize, BencodeError> {
    let digits = digits(&bytes[at..]);
    let colon = at + digits.len();
    match bytes.get(colon) {
        None => return Err(BencodeError::Truncated { at: bytes.len() }),
        Some(b':') => {}
        Some(_) => return Err(BencodeError::Syntax { at: colon }),
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|d| d.parse::<usize>().ok())
        .and_then(|len| (colon + 1).checked_add(len))
        .filter(|&end| end <= bytes.len())
        .ok_or(BencodeError::Truncated { at: bytes.len() })
}

/// The offset behind the integer whose `i` is at `at`.
fn skip_integer(bytes: &[u8], at: usize) -> Result<usize, BencodeError> {
    let from = at + 1;
    let sign = usize::from(bytes.get(from) == Some(&b'-'));
    let end = from + sign + digits(&bytes[from + sign..]).len();
    match bytes.get(end) {
        None => return Err(BencodeError::Truncated { at: bytes.len() }),
        Some(b'e') if end > from + sign => {}
        Some(_) => return Err(BencodeError::Syntax { at: end }),
    }
    std::str::from_utf8(&bytes[from..end])
        .ok()
        .and_then(|text| text.parse::<i64>().ok())
        .map(|_| end + 1)
        .ok_or(BencodeError::Integer { at })
}

fn digits(bytes: &[u8]) -> &[u8] {
    let len = bytes
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(bytes.len());
    &bytes[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len(bytes: &[u8]) -> Result<usize, BencodeError> {
        scan(bytes, &MetadataLimits::default())
    }

    #[test]
    fn the_length_of_the_first_value_is_found() {
        for value in [
            "i0e",
            "i-7e",
            "0:",
            "3:abc",
            "le",
            "de",
            "d1:ai1e1:bl1:xdeee",
            "lllleeee",
        ] {
            assert_eq!(len(value.as_bytes()), Ok(value.len()), "{value}");
            assert_eq!(
                len(format!("{value}rest").as_bytes()),
                Ok(value.len()),
                "{value}"
            );
        }
    }

    #[test]
    fn every_prefix_of_a_value_is_cut_off() {
        let value = b"d1:ai-12e1:bl1:xd3:keyleee1:z0:e";
        assert_eq!(len(value), Ok(value.len()));
        assert_eq!(len(b""), Err(BencodeError::Empty));
        for end in 1..value.len() {
            assert_eq!(
                len(&value[..end]),
                Err(BencodeError::Truncated { at: end }),
                "{end}"
            );
        }
    }

    #[test]
    fn what_is_not_bencode_is_refused_where_it_stands() {
        for (bytes, at) in [
            (&b"<html>"[..], 0),
            (b"e", 0),
            (b"ie", 1),
            (b"i-e", 2),
            (b"i+1e", 1),
            (b"i1x", 2),
            (b"3abc", 1),
            (b"di1e1:ae", 1),
            (b"d1:ae", 4),
            (b"dle", 1),
            (b"l-1:e", 1),
        ] {
            assert_eq!(len(bytes), Err(BencodeError::Syntax { at }), "{bytes:?}");
        }
    }

    #[test]
    fn integers_beyond_64_bits_are_refused() {
        assert!(len(b"i9223372036854775807e").is_ok());
        assert!(len(b"i-9223372036854775808e").is_ok());
        for text in [
            "i9223372036854775808e",
            "i-9223372036854775809e",
            "i99999999999999999999999e",
        ] {
            assert_eq!(
                len(text.as_bytes()),
                Err(BencodeError::Integer { at: 0 }),
                "{text}"
            );
        }
        assert!(matches!(
            len(b"99999999999999999999999999:a"),
            Err(BencodeError::Truncated { .. })
        ));
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |n: usize| [vec![b'l'; n], vec![b'e'; n]].concat();
        assert_eq!(len(&nested(64)), Ok(128));
        assert_eq!(
            len(&nested(65)),
            Err(BencodeError::Depth { at: 64, limit: 64 })
        );
        let limits = MetadataLimits {
            values: 10,
            ..MetadataLimits::default()
        };
        assert!(scan(b"l0:0:0:0:0:0:0:0:0:e", &limits).is_ok());
        assert_eq!(
            scan(b"l0:0:0:0:0:0:0:0:0:0:e", &limits),
            Err(BencodeError::Values { limit: 10 })
        );
    }
}
