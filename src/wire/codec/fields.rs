//! Typed access to bencoded values, with the field's name for the error.

use super::DecodeError;
use crate::wire::bencode::{Dict, Pairs, Value, number};

pub(super) fn put_bytes(dict: &mut Pairs<'_>, key: &[u8], value: &[u8]) {
    dict.key(key).bytes(value);
}

/// A string in a form of its own: `write` appends it.
pub(super) fn put_form(dict: &mut Pairs<'_>, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    dict.key(key).form(write);
}

pub(super) fn put_int(dict: &mut Pairs<'_>, key: &[u8], value: impl Into<u64>) {
    dict.key(key).int(value.into());
}

/// Strings in a form of their own.
pub(super) fn put_list<T>(
    dict: &mut Pairs<'_>,
    key: &[u8],
    items: &[T],
    write: impl Fn(&mut Vec<u8>, &T),
) {
    dict.key(key).list(|list| {
        for item in items {
            list.form(|out| write(out, item));
        }
    });
}

pub(super) fn bytes<'a>(value: Value<'_, 'a>, name: &'static str) -> Result<&'a [u8], DecodeError> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(DecodeError::Bounds(name)),
    }
}

/// An integer of type `T`; negative ones are out of bounds.
pub(super) fn int<T: TryFrom<u64>>(
    value: Value<'_, '_>,
    name: &'static str,
) -> Result<T, DecodeError> {
    let Value::Int(digits) = value else {
        return Err(DecodeError::Bounds(name));
    };
    number(digits)
        .and_then(|n| T::try_from(n).ok())
        .ok_or(DecodeError::Bounds(name))
}

/// An integer of at most `max`.
pub(super) fn int_to(value: Value<'_, '_>, max: u8, name: &'static str) -> Result<u8, DecodeError> {
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
    value: Value<'_, 'a>,
    name: &'static str,
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<T, DecodeError> {
    read(bytes(value, name)?).ok_or(DecodeError::Bounds(name))
}

/// At most `max` strings in a form of their own.
pub(super) fn forms<'a, T>(
    value: Value<'_, 'a>,
    max: usize,
    name: &'static str,
    read: impl Fn(&'a [u8]) -> Option<T>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    let Value::List(mut list) = value else {
        return Err(DecodeError::Bounds(name));
    };
    while let Some(item) = list.next_object()? {
        if items.len() == max {
            return Err(DecodeError::Bounds(name));
        }
        items.push(form(item, name, &read)?);
    }
    Ok(items)
}

pub(super) fn dict<'r, 'a>(
    value: Value<'r, 'a>,
    name: &'static str,
) -> Result<Dict<'r, 'a>, DecodeError> {
    match value {
        Value::Dict(dict) => Ok(dict),
        _ => Err(DecodeError::Bounds(name)),
    }
}

/// The value of a required key.
pub(super) fn need<T>(value: Option<T>, key: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing(key))
}
