//! Well-formed messages and commands with any contents, out of bytes. Small pools make values meet again.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Command, LookupId, LookupRequest, Publication};
use chunkcast::wire::{
    Body, Contact, Entry, Found, Lookup, Match, Name, PeerAddrs, Ranking, RefuseReason, Sender,
    Token, Wanted,
};

use super::{neighbour, own_addr, own_id};
use crate::input::Input;

pub(super) fn addr(input: &mut Input<'_>) -> SocketAddr {
    match input.byte() {
        n @ 0..=199 => neighbour(n % 12).addr,
        200..=219 => SocketAddr::from((input.array::<16>(), input.u16())),
        220..=229 => own_addr(),
        _ => SocketAddr::from((input.array::<4>(), input.u16())),
    }
}

fn id(input: &mut Input<'_>) -> Id {
    match input.byte() {
        n @ 0..=179 => neighbour(n % 12).id,
        180..=189 => own_id(),
        n @ 190..=219 => {
            let mut id = own_id();
            id.0[usize::from(n % 20)] ^= input.byte();
            id
        }
        _ => Id(input.array()),
    }
}

fn object(input: &mut Input<'_>) -> ObjectId {
    match input.byte() {
        n @ 0..=127 => ObjectId::from_name(&[n % 4]),
        n @ 128..=199 => ObjectId(neighbour(n % 4).id),
        200..=219 => ObjectId(own_id()),
        _ => ObjectId(Id(input.array())),
    }
}

fn coord(input: &mut Input<'_>) -> Coord {
    if input.bool() {
        return Coord::default();
    }
    let mut axis = || f64::from(input.u16().cast_signed()) / 400.0;
    Coord {
        position: [axis(), axis(), axis()],
        height: axis().abs(),
        error: f64::from(input.byte()) / 255.0,
    }
}

pub(super) fn sender(input: &mut Input<'_>) -> Sender {
    Sender {
        id: id(input),
        coord: coord(input),
        client: input.byte().is_multiple_of(4),
    }
}

fn names(input: &mut Input<'_>) -> Vec<Name> {
    (0..input.below(66)).map(|_| Name(input.array())).collect()
}

fn contacts(input: &mut Input<'_>) -> Vec<Contact> {
    let count = input.below(18);
    let one = |input: &mut Input<'_>| match input.byte() {
        n @ 0..=127 => neighbour(n % 12),
        _ => Contact {
            id: id(input),
            addr: addr(input),
            coord: coord(input),
        },
    };
    (0..count).map(|_| one(input)).collect()
}

/// Addresses of a peer; `from`'s as a rule, because only those can be published.
fn addrs(input: &mut Input<'_>, from: SocketAddr) -> PeerAddrs {
    let v4 = |input: &mut Input<'_>| SocketAddrV4::new(input.array::<4>().into(), input.u16());
    match input.byte() {
        0..=159 => PeerAddrs::from(SocketAddr::new(from.ip(), 6881)),
        160..=179 => PeerAddrs::default(),
        180..=219 => PeerAddrs {
            v4: Some(v4(input)),
            v6: None,
        },
        _ => PeerAddrs {
            v4: Some(v4(input)),
            v6: Some(SocketAddrV6::new(
                input.array::<16>().into(),
                input.u16(),
                0,
                0,
            )),
        },
    }
}

/// A window with chunks in it.
fn set(input: &mut Input<'_>) -> ChunkSet {
    match input.byte() % 4 {
        0 => ChunkSet::full(40),
        1 => ChunkSet::empty(input.small().min(1 << 21)),
        _ => {
            let (start, len) = (input.small().min(1 << 20), u32::from(input.u16()));
            let mut set = ChunkSet::empty_window(start, len);
            for _ in 0..input.below(16) {
                set.insert(start.saturating_add(input.small()));
            }
            set
        }
    }
}

fn chunks(input: &mut Input<'_>) -> u32 {
    match input.byte() % 4 {
        0 => 0,
        1 => input.small(),
        _ => 40,
    }
}

fn entry(input: &mut Input<'_>, from: SocketAddr) -> Entry {
    Entry {
        delta_of: None,
        summary: None,
        proof: None,
        object: object(input),
        publisher: id(input),
        sequence: match input.byte() {
            255 => input.u64(),
            n => n.into(),
        },
        addrs: addrs(input, from),
        coord: coord(input),
        chunks: chunks(input),
        held: set(input),
        load: input.byte(),
        reachable: input.bool(),
        lifetime: Duration::from_secs(match input.byte() {
            255 => input.u32().into(),
            n => u64::from(n) * 8,
        }),
    }
}

fn matches(input: &mut Input<'_>, from: SocketAddr) -> Vec<Match> {
    let count = input.below(10);
    let one = |input: &mut Input<'_>| Match {
        addrs: addrs(input, from),
        coord: coord(input),
        matched: input.small(),
        load: input.byte(),
        reachable: input.bool(),
    };
    (0..count).map(|_| one(input)).collect()
}

fn wanted(input: &mut Input<'_>) -> Wanted {
    match input.byte() % 3 {
        0 => Wanted::Any,
        _ => Wanted::Chunks(set(input)),
    }
}

fn ranking(input: &mut Input<'_>) -> Ranking {
    match input.bool() {
        true => Ranking::Overlap,
        false => Ranking::Closeness,
    }
}

fn lookup(input: &mut Input<'_>, from: SocketAddr) -> Lookup {
    Lookup {
        summary: None,
        trace: false,
        object: object(input),
        wanted: wanted(input),
        p: input.byte() % 10,
        mix: input.byte() % 10,
        ranking: ranking(input),
        coord: coord(input),
        asker: addrs(input, from),
        ignore: (0..input.below(10)).map(|_| addr(input)).collect(),
        to_root: input.bool(),
        hops: input.byte() % 66,
        matches: matches(input, from),
    }
}

fn found(input: &mut Input<'_>) -> Found {
    Found {
        loaded: false,
        trace: Vec::new(),
        matches: matches(input, own_addr()),
        hops: input.byte() % 66,
        root: input.bool(),
        by: id(input),
    }
}

fn refuse(input: &mut Input<'_>) -> Body {
    let reason = match input.byte() % 5 {
        0 => RefuseReason::Token,
        1 => RefuseReason::ForeignAddress,
        2 => RefuseReason::Busy,
        3 => RefuseReason::Hops,
        _ => RefuseReason::Unsupported,
    };
    let token = (reason == RefuseReason::Token).then(|| Token(input.array()));
    Body::Refuse { reason, token }
}

/// Any message.
pub(super) fn body(input: &mut Input<'_>, from: SocketAddr) -> Body {
    match input.byte() % 14 {
        0 => Body::Ping,
        1 => Body::Pong {
            token: Token(input.array()),
            observed: addr(input),
        },
        2 => Body::Ack,
        3 => refuse(input),
        4 => Body::Leaves {
            names: names(input),
        },
        5 => Body::LeavesReply {
            contacts: contacts(input),
        },
        6 => Body::Row {
            row: input.byte() % 41,
            names: names(input),
        },
        7 => Body::RowReply {
            row: input.byte() % 41,
            contacts: contacts(input),
        },
        8 => Body::Join {
            joiner: id(input),
            hops: input.byte() % 66,
        },
        9 => Body::JoinReply {
            contacts: contacts(input),
            hops: input.byte() % 66,
        },
        10 => Body::Publish {
            entry: entry(input, from),
        },
        11 => Body::Propagate {
            entries: (0..input.below(5)).map(|_| entry(input, from)).collect(),
        },
        12 => Body::Lookup(lookup(input, from)),
        _ => Body::Found(found(input)),
    }
}

/// An answer of the kind that `request` asks for, or a refusal.
pub(super) fn answer(input: &mut Input<'_>, request: &Body) -> Body {
    if input.byte() >= 224 {
        return refuse(input);
    }
    match request {
        Body::Ping => Body::Pong {
            token: Token([1; 8]),
            observed: own_addr(),
        },
        Body::Leaves { .. } => Body::LeavesReply {
            contacts: contacts(input),
        },
        Body::Row { row, .. } => Body::RowReply {
            row: *row,
            contacts: contacts(input),
        },
        Body::Join { .. } => Body::JoinReply {
            contacts: contacts(input),
            hops: input.byte() % 66,
        },
        Body::Lookup(_) => Body::Found(found(input)),
        _ => Body::Ack,
    }
}

/// What the owner may ask of the node.
pub(super) fn command(input: &mut Input<'_>, id: LookupId) -> Command {
    match input.byte() % 16 {
        0 => Command::Leave,
        1 | 2 => Command::Withdraw(object(input), None),
        3 => Command::Bootstrap((0..input.below(6)).map(|_| addr(input)).collect()),
        4..=9 => {
            let chunks = chunks(input).min(1 << 21);
            let mut held = ChunkSet::empty(chunks);
            for _ in 0..input.below(12) {
                held.insert(input.small());
            }
            if input.byte() >= 200 {
                held = ChunkSet::full(chunks);
            }
            Command::Publish(Publication {
                object: object(input),
                publisher: input.bool().then(|| self::id(input)),
                addrs: addrs(input, own_addr()),
                chunks,
                complete: held.is_full(),
                held,
                load: input.byte(),
                reachable: input.bool(),
            })
        }
        _ => Command::Lookup(
            id,
            LookupRequest {
                trace: false,
                object: object(input),
                wanted: wanted(input),
                p: input.byte(),
                mix: input.byte(),
                ranking: ranking(input),
                asker: addrs(input, own_addr()),
                ignore: (0..input.below(12)).map(|_| addr(input)).collect(),
                to_root: input.bool(),
            },
        ),
    }
}
