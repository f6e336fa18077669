//! Location pointers (paper 3.1).
//!
//! | key | value |
//! | --- | --- |
//! | `a` | the peer's addresses |
//! | `c` | chunks held: start, length (varints), bits (see `bits.rs`) |
//! | `d` | sequence that `c` is relative to, varint (absent: `c` is whole) |
//! | `h` | object 20, publisher 20, coordinate 14, load 1, flags 1 (bit 0: reachable); varints: sequence, chunks of the object, lifetime in seconds |
//! | `p` | public key 32, signature 64, expiry in seconds since 1970 as varint (absent: unsigned) |
//! | `s` | summary (absent: none); only with `chunks` above 0 |

use std::time::Duration;

use super::body::bound;
use super::fields::{bytes, form, need, put_bytes, put_form};
use super::{DecodeError, EncodeError};
use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::wire::bencode::{Dict, Pairs, Writer};
use crate::wire::compact::{
    REACHABLE, put_addrs, put_varint, take, take_addrs, take_coord, take_varint, usable,
};
use crate::wire::windows::{MAX_ENTRY_BITS, put_window, sendable, take_window};
use crate::wire::{Entry, MAX_CHUNKS, Proof, Summary};

/// Bytes that the entry takes in a propagation message.
pub fn encoded_entry_len(entry: &Entry) -> usize {
    let mut writer = Writer::new();
    writer.dict(|d| write(entry, d));
    writer.into_bytes().len()
}

/// Whether the entry can be sent at all.
pub(in crate::wire) fn sendable_entry(entry: &Entry) -> bool {
    check(entry).is_ok()
}

pub(super) fn check(entry: &Entry) -> Result<(), EncodeError> {
    bound(!entry.addrs.is_empty(), "entry's addresses")?;
    bound(entry.addrs.iter().all(usable), "entry's addresses")?;
    bound(entry.chunks <= MAX_CHUNKS, "entry's number of chunks")?;
    bound(entry.held.end() <= entry.chunks, "entry's window")?;
    let summary = entry
        .summary
        .as_ref()
        .is_none_or(|s| s.chunks() == entry.chunks);
    bound(summary, "entry's summary")?;
    bound(sendable(&entry.held, MAX_ENTRY_BITS), "entry's window")
}

pub(super) fn write(entry: &Entry, d: &mut Pairs<'_>) {
    put_form(d, b"a", |out| put_addrs(out, &entry.addrs));
    put_form(d, b"c", |out| put_window(out, &entry.held));
    if let Some(base) = entry.delta_of {
        put_form(d, b"d", |out| put_varint(out, base));
    }
    put_form(d, b"h", |out| put_head(out, entry));
    if let Some(proof) = &entry.proof {
        put_form(d, b"p", |out| put_proof(out, proof));
    }
    if let Some(summary) = &entry.summary {
        put_bytes(d, b"s", &summary.encode());
    }
}

fn put_proof(out: &mut Vec<u8>, proof: &Proof) {
    out.extend(proof.key);
    out.extend(proof.signature);
    put_varint(out, proof.expires);
}

fn take_proof(mut bytes: &[u8]) -> Option<Proof> {
    let b = &mut bytes;
    let (key, signature, expires) = (take(b)?, take(b)?, take_varint(b)?);
    b.is_empty().then_some(Proof {
        key,
        signature,
        expires,
    })
}

fn take_whole_varint(mut bytes: &[u8]) -> Option<u64> {
    let n = take_varint(&mut bytes)?;
    bytes.is_empty().then_some(n)
}

fn put_head(out: &mut Vec<u8>, entry: &Entry) {
    out.extend(entry.object.0.0);
    out.extend(entry.publisher.0);
    out.extend(entry.coord.to_bytes());
    out.extend([entry.load, if entry.reachable { REACHABLE } else { 0 }]);
    put_varint(out, entry.sequence);
    put_varint(out, u64::from(entry.chunks));
    put_varint(out, u64::from(seconds(entry.lifetime)));
}

/// Whole seconds, rounded up: less than a second is not a withdrawal.
fn seconds(lifetime: Duration) -> u32 {
    let up = lifetime
        .as_secs()
        .saturating_add(u64::from(lifetime.subsec_nanos() > 0));
    u32::try_from(up).unwrap_or(u32::MAX)
}

/// Everything in `h`.
struct Head {
    object: ObjectId,
    publisher: Id,
    coord: Coord,
    load: u8,
    reachable: bool,
    sequence: u64,
    chunks: u32,
    lifetime: Duration,
}

fn take_head(mut bytes: &[u8]) -> Option<Head> {
    let b = &mut bytes;
    let object = ObjectId(Id(take(b)?));
    let publisher = Id(take(b)?);
    let coord = take_coord(b)?;
    let [load, flags] = take(b)?;
    let sequence = take_varint(b)?;
    let chunks = u32::try_from(take_varint(b)?)
        .ok()
        .filter(|n| *n <= MAX_CHUNKS)?;
    let lifetime = u32::try_from(take_varint(b)?).ok()?;
    let reachable = flags & REACHABLE != 0;
    let lifetime = Duration::from_secs(u64::from(lifetime));
    let head = Head {
        object,
        publisher,
        coord,
        load,
        reachable,
        sequence,
        chunks,
        lifetime,
    };
    b.is_empty().then_some(head)
}

/// Reads an entry; its window is taken off `budget` before it is allocated.
pub(super) fn read(mut fields: Dict<'_, '_>, budget: &mut u32) -> Result<Entry, DecodeError> {
    let (mut addrs, mut held, mut head) = (None, None, None);
    let (mut delta_of, mut proof, mut summary) = (None, None, None);
    while let Some((key, value)) = fields.next_pair()? {
        match key {
            b"a" => addrs = Some(form(value, "entry's addresses", take_addrs)?),
            b"c" => held = Some(bytes(value, "entry's window")?),
            b"d" => delta_of = Some(form(value, "entry's base", take_whole_varint)?),
            b"h" => head = Some(form(value, "entry's head", take_head)?),
            b"p" => proof = Some(Box::new(form(value, "entry's proof", take_proof)?)),
            b"s" => summary = Some(bytes(value, "entry's summary")?),
            _ => {}
        }
    }
    let head = need(head, "h")?;
    let held: ChunkSet = take_window(need(held, "c")?, MAX_ENTRY_BITS, head.chunks, budget)
        .map_err(|_| DecodeError::Bounds("entry's window"))?;
    let addrs = need(addrs, "a")?;
    if addrs.is_empty() {
        return Err(DecodeError::Bounds("entry's addresses"));
    }
    let summary = summary
        .map(|bytes| Summary::decode(head.chunks, bytes).map(Box::new))
        .transpose()
        .map_err(|_| DecodeError::Bounds("entry's summary"))?;
    Ok(Entry {
        object: head.object,
        publisher: head.publisher,
        sequence: head.sequence,
        addrs,
        coord: head.coord,
        chunks: head.chunks,
        held,
        delta_of,
        summary,
        load: head.load,
        reachable: head.reachable,
        lifetime: head.lifetime,
        proof,
    })
}
