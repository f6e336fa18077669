//! The directory's datagrams and the chunk sets in them.

use bendy::decoding::{Decoder, Object};
use chunkcast::chunks::ChunkSet;
use chunkcast::wire::{self, MAX_DATAGRAM, decode_bits, encode_bits};

use crate::input::Input;

/// A datagram from the network: what is read can be said again, and then reads the same.
pub fn datagram(data: &[u8]) {
    let Ok(envelope) = wire::decode(data) else {
        return;
    };
    let again = wire::encode(&envelope).expect("what was read can be written");
    // a ping without a token is written with its padding, whether it was read with it or not
    let padded = envelope.body == wire::Body::Ping && envelope.token.is_none();
    assert!(again.len() <= MAX_DATAGRAM);
    assert!(padded || again.len() <= data.len());
    assert_eq!(wire::decode(&again).as_ref(), Ok(&envelope));
}

/// A datagram is refused as malformed exactly when another reader of bencode refuses it.
pub fn bencode(data: &[u8]) {
    if data.len() <= MAX_DATAGRAM {
        let malformed = wire::decode(data) == Err(wire::DecodeError::Malformed);
        assert_eq!(malformed, !is_canonical_dict(data));
    }
}

fn is_canonical_dict(data: &[u8]) -> bool {
    let mut decoder = Decoder::new(data).with_max_depth(8);
    let dict = match decoder.next_object() {
        Ok(Some(Object::Dict(dict))) => walk(Object::Dict(dict)),
        _ => None,
    };
    dict.is_some() && matches!(decoder.next_object(), Ok(None))
}

/// Reads all that is in a value; `None` if it cannot be read.
fn walk(object: Object<'_, '_>) -> Option<()> {
    match object {
        Object::Integer(_) | Object::Bytes(_) => {}
        Object::List(mut list) => {
            while let Some(item) = list.next_object().ok()? {
                walk(item)?;
            }
        }
        Object::Dict(mut dict) => {
            while let Some((_, value)) = dict.next_pair().ok()? {
                walk(value)?;
            }
        }
    }
    Some(())
}

/// Start, length and an encoded chunk set: it covers its window, says what a bit by bit reading says, and comes back.
pub fn bits(data: &[u8]) {
    const MAX: u32 = 4096;
    let mut input = Input::new(data);
    let start = input.u32();
    let len = u32::from(input.u16());
    let encoded = input.take(usize::MAX);
    if let Ok(set) = decode_bits(start, len, encoded, MAX) {
        assert!(len <= MAX);
        assert_eq!((set.start(), set.len()), (start, len));
        assert_eq!(Some(bools(&set)), expand(len, encoded));
        round_trip(&set);
    }
    let len = len.min(u32::try_from(encoded.len()).unwrap_or(u32::MAX) * 8);
    let field = &encoded[..(len as usize).div_ceil(8)];
    if let Ok(set) = ChunkSet::from_bytes(start, len, field) {
        round_trip(&set);
    }
}

fn round_trip(set: &ChunkSet) {
    let encoded = encode_bits(set);
    assert!(encoded.len() <= set.as_bytes().len() + 1);
    let again = decode_bits(set.start(), set.len(), &encoded, u32::MAX);
    assert_eq!(again.as_ref(), Ok(set));
}

fn bools(set: &ChunkSet) -> Vec<bool> {
    (set.start()..set.end())
        .map(|chunk| set.contains(chunk))
        .collect()
}

/// What an encoded set says, read without haste. `None` for what must be refused.
fn expand(len: u32, encoded: &[u8]) -> Option<Vec<bool>> {
    let len = len as usize;
    let (tag, mut payload) = encoded.split_first()?;
    Some(match tag {
        0 | 1 => vec![*tag == 1; len],
        2 => (0..len)
            .map(|i| payload[i / 8] & (0x80 >> (i % 8)) != 0)
            .collect(),
        3 => {
            let mut out = Vec::new();
            let mut present = false;
            while !payload.is_empty() {
                let run = varint(&mut payload)?;
                out.extend(std::iter::repeat_n(present, usize::try_from(run).ok()?));
                present = !present;
            }
            out.resize(len, present);
            out
        }
        4 => rice(len, payload)?,
        _ => return None,
    })
}

/// Rice-coded gaps, bit by bit.
fn rice(len: usize, payload: &[u8]) -> Option<Vec<bool>> {
    let (head, coded) = payload.split_first()?;
    let (absent, k) = (head & 0x80 != 0, head & 0x1f);
    if head & 0x60 != 0 {
        return None;
    }
    let bit = |i: usize| coded[i / 8] & (0x80 >> (i % 8)) != 0;
    let bits: Vec<bool> = (0..coded.len() * 8).map(bit).collect();
    let (mut rest, mut at, mut out) = (&bits[..], 0usize, vec![absent; len]);
    while rest.len() > 7 || rest.contains(&false) {
        let ones = rest.iter().position(|bit| !bit)?;
        let low = rest.get(ones + 1..=ones + usize::from(k))?;
        let low = low.iter().fold(0, |n, bit| n << 1 | u64::from(*bit));
        let gap = (ones as u64).checked_mul(1 << k)? + low;
        let chunk = at.checked_add(usize::try_from(gap).ok()?)?;
        *out.get_mut(chunk)? = !absent;
        at = chunk + 1;
        rest = &rest[ones + 1 + usize::from(k)..];
    }
    Some(out)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
