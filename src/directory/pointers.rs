//! The location pointers of one object, packed: most of an index node's memory is here.
//!
//! What every lookup looks at, the coordinates, lies in one array; the rest of an entry takes 56 bytes in a second one,
//! sorted by publisher; what differs in length (chunk bits, an IPv6 address, a signature, a summary) lies in a third one.
//! A publisher that holds nothing or everything has no bits. Coordinates are kept as they are on the wire.

use std::time::Duration;

use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Entry, Match, PeerAddrs, Proof, Summary, Wanted};

/// A pointer, unpacked.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    /// The chunks held are the whole object's. The lifetime is that of a withdrawal, zero, or without meaning: unpacked
    /// ones have the longest.
    pub(super) entry: Entry,
    pub(super) expires: Instant,
    pub(super) withdrawn: bool,
    /// Published through this node: never evicted.
    pub(super) own: bool,
    /// The parent has not been told of it.
    pub(super) changed: bool,
    /// It came from a node that entries of the object go to.
    pub(super) from_above: bool,
}

/// Bytes of a pointer beside its chunk bits.
pub(super) const POINTER_BYTES: usize = size_of::<Row>() + size_of::<Place>();

/// Bits of [`Row::chunks`] that count; the flags are above them.
const CHUNKS: u32 = (1 << 21) - 1;
const FROM_ABOVE: u32 = 1 << 21;
const V4: u32 = 1 << 22;
const V6: u32 = 1 << 23;
/// Chunk bits are kept: neither none nor all.
const SOME: u32 = 1 << 24;
const ALL: u32 = 1 << 25;
const REACHABLE: u32 = 1 << 26;
const WITHDRAWN: u32 = 1 << 27;
const OWN: u32 = 1 << 28;
const CHANGED: u32 = 1 << 29;
const SIGNED: u32 = 1 << 30;
const SUMMARISED: u32 = 1 << 31;

const V6_BYTES: usize = 18;
const PROOF_BYTES: usize = 32 + 64 + 8;

/// Position and height in steps of 10 µs: 24-bit integers, which floats of 32 bits hold exactly.
pub(super) type Place = [f32; 4];

#[derive(Clone, Copy, Debug)]
struct Row {
    publisher: Id,
    v4: [u8; 6],
    expires: [u8; 7],
    load: u8,
    sequence: u64,
    /// Where its part of the heap begins.
    at: usize,
    /// Chunks in the object, and flags.
    chunks: u32,
    error: [u8; 2],
}

/// The pointers of one object by publisher.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    rows: Vec<Row>,
    places: Vec<Place>,
    heap: Vec<u8>,
    /// Bytes of the heap that belong to nobody.
    holes: usize,
}

impl Pointers {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn find(&self, publisher: &Id) -> Result<usize, usize> {
        self.rows
            .binary_search_by(|row| row.publisher.cmp(publisher))
    }

    /// All pointers, by publisher.
    pub(super) fn iter(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.rows.len()).map(|n| self.nth(n))
    }

    /// The pointers of publishers above `publisher`.
    pub(super) fn above(&self, publisher: Id) -> impl Iterator<Item = View<'_>> {
        let from = self.rows.partition_point(|row| row.publisher <= publisher);
        (from..self.rows.len()).map(|n| self.nth(n))
    }

    /// The `n`-th pointer.
    pub(super) fn nth(&self, n: usize) -> View<'_> {
        let row = &self.rows[n];
        let end = row.at + length(row, &self.heap);
        View {
            row,
            place: &self.places[n],
            tail: &self.heap[row.at..end],
        }
    }

    /// How far the `n`-th pointer is from `place`, in steps of 10 µs.
    pub(super) fn distance(&self, n: usize, place: &Place) -> f32 {
        distance(&self.places[n], place)
    }

    pub(super) fn get(&self, publisher: &Id) -> Option<View<'_>> {
        self.find(publisher).ok().map(|n| self.nth(n))
    }

    /// Adds a pointer, or replaces that of the same publisher.
    pub(super) fn put(&mut self, pointer: &Pointer) {
        let tail = tail(pointer);
        let place = place(&pointer.entry.coord);
        let found = self.find(&pointer.entry.publisher);
        let old = found
            .ok()
            .map(|n| (self.rows[n].at, self.nth(n).tail.len()));
        let at = match old {
            Some((at, len)) if len == tail.len() => at,
            _ => {
                self.holes += old.map_or(0, |(_, len)| len);
                let at = self.heap.len();
                grow(&mut self.heap, tail.len());
                self.heap.resize(at + tail.len(), 0);
                at
            }
        };
        self.heap[at..at + tail.len()].copy_from_slice(&tail);
        let row = Row::of(pointer, at);
        match found {
            Ok(n) => (self.rows[n], self.places[n]) = (row, place),
            Err(n) => {
                grow(&mut self.rows, 1);
                grow(&mut self.places, 1);
                self.rows.insert(n, row);
                self.places.insert(n, place);
            }
        }
        self.compact();
    }

    /// Forgets the `n`-th pointer.
    pub(super) fn remove(&mut self, n: usize) {
        self.holes += self.nth(n).tail.len();
        self.rows.remove(n);
        self.places.remove(n);
        self.compact();
        if self.rows.len() * 2 < self.rows.capacity() {
            self.rows.shrink_to_fit();
            self.places.shrink_to_fit();
        }
    }

    /// Forgets the pointer of a publisher.
    pub(super) fn forget(&mut self, publisher: &Id) {
        if let Ok(n) = self.find(publisher) {
            self.remove(n);
        }
    }

    /// Notes whether the parent has been told of a pointer; whether that is new.
    pub(super) fn set_changed(&mut self, publisher: &Id, changed: bool) -> bool {
        let Ok(n) = self.find(publisher) else {
            return false;
        };
        let before = self.rows[n].chunks;
        self.rows[n].chunks = before & !CHANGED | if changed { CHANGED } else { 0 };
        self.rows[n].chunks != before
    }

    /// Notes that a pointer came from a node that entries of the object go to.
    pub(super) fn set_from_above(&mut self, publisher: &Id) {
        if let Ok(n) = self.find(publisher) {
            self.rows[n].chunks |= FROM_ABOVE;
        }
    }

    /// Moves the heap together once an eighth of it is holes.
    fn compact(&mut self) {
        if self.holes * 8 <= self.heap.len() {
            return;
        }
        let mut heap = Vec::with_capacity(self.heap.len() - self.holes);
        for n in 0..self.rows.len() {
            let at = heap.len();
            heap.extend_from_slice(self.nth(n).tail);
            self.rows[n].at = at;
        }
        (self.heap, self.holes) = (heap, 0);
    }
}

/// Room for `more`, with a sixteenth to spare instead of doubling.
fn grow<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more + list.len() / 16);
    }
}

impl Row {
    fn of(pointer: &Pointer, at: usize) -> Self {
        let e = &pointer.entry;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(e.addrs.v4.is_some(), V4)
            | flag(e.addrs.v6.is_some(), V6)
            | flag(!e.held.is_none() && !e.held.is_full(), SOME)
            | flag(!e.held.is_none() && e.held.is_full(), ALL)
            | flag(e.reachable, REACHABLE)
            | flag(pointer.withdrawn, WITHDRAWN)
            | flag(pointer.own, OWN)
            | flag(pointer.changed, CHANGED)
            | flag(pointer.from_above, FROM_ABOVE)
            | flag(e.proof.is_some(), SIGNED)
            | flag(e.summary.is_some(), SUMMARISED);
        let mut v4 = [0; 6];
        if let Some(addr) = e.addrs.v4 {
            v4[..4].copy_from_slice(&addr.ip().octets());
            v4[4..].copy_from_slice(&addr.port().to_be_bytes());
        }
        let mut expires = [0; 7];
        // 2^56 µs are 2,283 years
        expires.copy_from_slice(&pointer.expires.as_micros().min((1 << 56) - 1).to_be_bytes()[1..]);
        let mut error = [0; 2];
        error.copy_from_slice(&e.coord.to_bytes()[12..]);
        Self {
            publisher: e.publisher,
            v4,
            expires,
            load: e.load,
            sequence: e.sequence,
            at,
            chunks: (e.chunks & CHUNKS) | flags,
            error,
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.chunks & flag != 0
    }

    fn chunks(&self) -> u32 {
        self.chunks & CHUNKS
    }

    /// Bytes of chunk bits.
    fn bits(&self) -> usize {
        match self.has(SOME) {
            true => (self.chunks() as usize).div_ceil(8),
            false => 0,
        }
    }
}

/// Bytes of the heap that the row has: chunk bits, IPv6 address, proof, and a summary behind its length.
fn length(row: &Row, heap: &[u8]) -> usize {
    let mut len = row.bits();
    len += if row.has(V6) { V6_BYTES } else { 0 };
    len += if row.has(SIGNED) { PROOF_BYTES } else { 0 };
    if row.has(SUMMARISED) {
        let at = row.at + len;
        len += 2 + usize::from(u16::from_be_bytes([heap[at], heap[at + 1]]));
    }
    len
}

fn tail(pointer: &Pointer) -> Vec<u8> {
    let e = &pointer.entry;
    let mut out = Vec::with_capacity(e.held.as_bytes().len() + V6_BYTES);
    if !e.held.is_none() && !e.held.is_full() {
        out.extend_from_slice(e.held.as_bytes());
    }
    if let Some(addr) = e.addrs.v6 {
        out.extend(addr.ip().octets());
        out.extend(addr.port().to_be_bytes());
    }
    if let Some(proof) = &e.proof {
        out.extend(proof.key);
        out.extend(proof.signature);
        out.extend(proof.expires.to_be_bytes());
    }
    if let Some(summary) = &e.summary {
        let bytes = summary.encode();
        let len = u16::try_from(bytes.len()).expect("at most 257 bytes");
        out.extend(len.to_be_bytes());
        out.extend(bytes);
    }
    out
}

/// A coordinate in steps.
pub(super) fn place(coord: &Coord) -> Place {
    let b = coord.to_bytes();
    let signed = |i: usize| (i32::from_be_bytes([b[i], b[i + 1], b[i + 2], 0]) >> 8) as f32;
    let height = u32::from_be_bytes([0, b[9], b[10], b[11]]) as f32;
    [signed(0), signed(3), signed(6), height]
}

/// How far apart two places are ([`Coord::apart`](crate::coords::Coord::apart)), in steps of 10 µs.
pub(super) fn distance(a: &Place, b: &Place) -> f32 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    (x * x + y * y + z * z).sqrt() + (a[3] - b[3]).abs()
}

/// One pointer where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    row: &'a Row,
    place: &'a Place,
    tail: &'a [u8],
}

impl View<'_> {
    pub(super) fn publisher(&self) -> Id {
        self.row.publisher
    }

    pub(super) fn sequence(&self) -> u64 {
        self.row.sequence
    }

    pub(super) fn expires(&self) -> Instant {
        let mut bytes = [0; 8];
        bytes[1..].copy_from_slice(&self.row.expires);
        Instant::from_micros(u64::from_be_bytes(bytes))
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.row.has(WITHDRAWN)
    }

    pub(super) fn is_own(&self) -> bool {
        self.row.has(OWN)
    }

    pub(super) fn is_changed(&self) -> bool {
        self.row.has(CHANGED)
    }

    pub(super) fn is_from_above(&self) -> bool {
        self.row.has(FROM_ABOVE)
    }

    /// Neither withdrawn nor at its end.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        !self.is_withdrawn() && self.expires() > now
    }

    /// Whether the publisher holds any chunk.
    pub(super) fn holds_any(&self) -> bool {
        self.row.has(SOME | ALL)
    }

    /// How far it is from `place`, in steps of 10 µs.
    pub(super) fn distance(&self, place: &Place) -> f32 {
        distance(self.place, place)
    }

    /// Bytes that the pointer takes.
    pub(super) fn cost(&self) -> usize {
        POINTER_BYTES + self.tail.len()
    }

    pub(super) fn addrs(&self) -> PeerAddrs {
        let v4 = self.row.has(V4).then(|| {
            let [a, b, c, d, port @ ..] = self.row.v4;
            std::net::SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes(port))
        });
        let v6 = self.row.has(V6).then(|| {
            let mut ip = [0; 16];
            let at = self.row.bits();
            ip.copy_from_slice(&self.tail[at..at + 16]);
            let port = u16::from_be_bytes([self.tail[at + 16], self.tail[at + 17]]);
            std::net::SocketAddrV6::new(ip.into(), port, 0, 0)
        });
        PeerAddrs { v4, v6 }
    }

    fn coord(&self) -> Coord {
        let mut bytes = [0; Coord::WIRE_LEN];
        for (out, steps) in bytes.chunks_exact_mut(3).zip(self.place) {
            #[allow(clippy::cast_possible_truncation, reason = "a 24-bit integer")]
            let steps = *steps as i32;
            out.copy_from_slice(&steps.to_be_bytes()[1..]);
        }
        bytes[12..].copy_from_slice(&self.row.error);
        Coord::from_bytes(&bytes).expect("of the wire's length")
    }

    fn held(&self) -> ChunkSet {
        let chunks = self.row.chunks();
        match () {
            () if self.is_withdrawn() => ChunkSet::default(),
            () if self.row.has(ALL) => ChunkSet::full(chunks),
            () if !self.row.has(SOME) => ChunkSet::empty(chunks),
            () => ChunkSet::from_bytes(0, chunks, &self.tail[..self.row.bits()])
                .expect("the bytes of a set"),
        }
    }

    /// How many wanted chunks the publisher holds; how many at all when any will do.
    pub(super) fn matched(&self, wanted: &Wanted) -> u32 {
        let chunks = self.row.chunks();
        match wanted {
            _ if !self.holds_any() => 0,
            Wanted::Any if self.row.has(ALL) => chunks,
            Wanted::Any => self.held().count(),
            Wanted::Chunks(wanted) if self.row.has(ALL) && wanted.end() <= chunks => wanted.count(),
            Wanted::Chunks(wanted) if self.row.has(ALL) => wanted.window(0, chunks).count(),
            Wanted::Chunks(wanted) => wanted.overlap_bits(0, chunks, &self.tail[..self.row.bits()]),
        }
    }

    /// Whether it may hold a chunk of these stretches, by its own summary or else by the chunks that are known.
    pub(super) fn may_match(&self, wanted: &Summary) -> bool {
        match self.summary() {
            Some(held) => held.overlaps(wanted),
            None => wanted.may_include(&self.held()),
        }
    }

    /// Its record in an answer.
    pub(super) fn to_match(self, matched: u32) -> Match {
        Match {
            addrs: self.addrs(),
            coord: self.coord(),
            matched,
            load: self.load(),
            reachable: self.row.has(REACHABLE),
        }
    }

    pub(super) fn load(&self) -> u8 {
        self.row.load
    }

    fn proof(&self) -> Option<Box<Proof>> {
        let mut at = self.row.bits();
        at += if self.row.has(V6) { V6_BYTES } else { 0 };
        let (key, rest) = self.tail[at..].split_first_chunk()?;
        let (signature, rest) = rest.split_first_chunk()?;
        let expires = rest.first_chunk()?;
        self.row.has(SIGNED).then(|| {
            Box::new(Proof {
                key: *key,
                signature: *signature,
                expires: u64::from_be_bytes(*expires),
            })
        })
    }

    fn summary(&self) -> Option<Box<Summary>> {
        let mut at = self.row.bits() + 2;
        at += if self.row.has(V6) { V6_BYTES } else { 0 };
        at += if self.row.has(SIGNED) { PROOF_BYTES } else { 0 };
        let bytes = self.tail.get(at..).filter(|_| self.row.has(SUMMARISED))?;
        Summary::decode(self.row.chunks(), bytes).ok().map(Box::new)
    }

    /// The pointer of an object, unpacked.
    pub(super) fn unpack(&self, object: ObjectId) -> Pointer {
        Pointer {
            entry: Entry {
                object,
                publisher: self.row.publisher,
                sequence: self.row.sequence,
                addrs: self.addrs(),
                coord: self.coord(),
                chunks: self.row.chunks(),
                held: self.held(),
                delta_of: None,
                summary: self.summary(),
                load: self.row.load,
                reachable: self.row.has(REACHABLE),
                lifetime: match self.is_withdrawn() {
                    true => Duration::ZERO,
                    false => Duration::MAX,
                },
                proof: self.proof(),
            },
            expires: self.expires(),
            withdrawn: self.is_withdrawn(),
            own: self.is_own(),
            changed: self.is_changed(),
            from_above: self.is_from_above(),
        }
    }
}

#[cfg(test)]
#[path = "pointers_tests.rs"]
mod tests;
