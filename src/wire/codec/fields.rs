//! Typed access to bencoded values, with the field's name for the error.

use bendy::decoding::{DictDecoder, ListDecoder, Object};
use bendy::encoding::{Error as BencodeError, SortedDictEncoder};

use super::DecodeError;

pub(super) type Written = Result<(), BencodeError>;

pub(super) fn put_bytes(dict: &mut SortedDictEncoder<'_>, key: &[u8], value: &[u8]) -> Written {
    dict.emit_pair_with(key, |e| e.emit_bytes(value))
}

pub(super) fn put_int(
    dict: &mut SortedDictEncoder<'_>,
    key: &[u8],
    value: impl Into<u64>,
) -> Written {
    dict.emit_pair(key, value.into())
}

pub(super) fn put_list<T>(
    dict: &mut SortedDictEncoder<'_>,
    key: &[u8],
    items: &[T],
    form: impl Fn(&T) -> Vec<u8>,
) -> Written {
    dict.emit_pair_with(key, |e| {
        e.emit_list(|list| {
            items
                .iter()
                .try_for_each(|item| list.emit_bytes(&form(item)))
        })
    })
}

pub(super) fn bytes<'a>(
    value: Object<'_, 'a>,
    name: &'static str,
) -> Result<&'a [u8], DecodeError> {
    value.bytes_or(Err(DecodeError::Bounds(name)))
}

/// An integer of type `T`; negative ones are out of bounds.
pub(super) fn int<T: TryFrom<u64>>(
    value: Object<'_, '_>,
    name: &'static str,
) -> Result<T, DecodeError> {
    let digits = value.integer_or(Err(DecodeError::Bounds(name)))?;
    let n: u64 = digits.parse().map_err(|_| DecodeError::Bounds(name))?;
    T::try_from(n).map_err(|_| DecodeError::Bounds(name))
}

/// An integer of at most `max`.
pub(super) fn int_to(
    value: Object<'_, '_>,
    max: u8,
    name: &'static str,
) -> Result<u8, DecodeError> {
    int(value, name).and_then(|n| {
        if n <= max {
            Ok(n)
        } else {
            Err(DecodeError::Bounds(name))
        }
    })
}

/// A string in a form of its own.
pub(super) fn form<'a, T>(
    value: Object<'_, 'a>,
    name: &'static str,
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<T, DecodeError> {
    read(bytes(value, name)?).ok_or(DecodeError::Bounds(name))
}

/// At most `max` strings in a form of their own.
pub(super) fn forms<'a, T>(
    value: Object<'_, 'a>,
    max: usize,
    name: &'static str,
    read: impl Fn(&'a [u8]) -> Option<T>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    let mut list: ListDecoder<'_, 'a> = value.list_or(Err(DecodeError::Bounds(name)))?;
    while let Some(item) = list.next_object()? {
        if items.len() == max {
            return Err(DecodeError::Bounds(name));
        }
        items.push(form(item, name, &read)?);
    }
    Ok(items)
}

pub(super) fn dict<'obj, 'a>(
    value: Object<'obj, 'a>,
    name: &'static str,
) -> Result<DictDecoder<'obj, 'a>, DecodeError> {
    value.dictionary_or(Err(DecodeError::Bounds(name)))
}

/// The value of a required key.
pub(super) fn need<T>(value: Option<T>, key: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing(key))
}
