//! Byte-exact datagrams: what is on the wire in version 1 stays on the wire.
//!
//! `fixtures/wire/*.hex` were written once and stay as they are; a change
//! that breaks them needs a new protocol version. `#` begins a comment, white space is ignored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::wire::{
    Body, Contact, Entry, Envelope, Found, Lookup, Match, Name, PeerAddrs, Proof, Ranking,
    RefuseReason, Sender, Summary, Token, TraceHop, Wanted, Why, decode, decode_bits, decode_delta,
    encode, encode_bits, encode_delta,
};

fn read_hex(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/wire")
        .join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let digits: String = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect();
    assert!(digits.len().is_multiple_of(2), "{name}: half a byte");
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

/// The names of the fixtures in a directory, sorted.
fn fixtures(of: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(of);
    let mut there: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".hex"))
        .collect();
    there.sort();
    there
}

fn id(byte: u8) -> Id {
    Id([byte; 20])
}

fn coord(x: f64) -> Coord {
    Coord {
        position: [x, -0.02, 0.0],
        height: 0.001,
        error: 0.2,
    }
    .quantised()
}

fn addrs(v4: &str, v6: Option<&str>) -> PeerAddrs {
    PeerAddrs {
        v4: Some(v4.parse().unwrap()),
        v6: v6.map(|a| a.parse().unwrap()),
    }
}

fn say(tx: u32, token: Option<Token>, body: Body) -> Envelope {
    let sender = Sender {
        id: id(0xa1),
        coord: coord(0.01),
        client: false,
    };
    Envelope {
        tx,
        sender,
        token,
        body,
    }
}

fn entry(publisher: u8, chunks: u32, held: ChunkSet) -> Entry {
    Entry {
        object: ObjectId::from_name(b"ubuntu.iso"),
        publisher: id(publisher),
        sequence: 300,
        addrs: addrs("192.0.2.7:6881", Some("[2001:db8::7]:6882")),
        coord: coord(0.03),
        chunks,
        held,
        delta_of: None,
        summary: None,
        load: 17,
        reachable: true,
        lifetime: Duration::from_secs(300),
        proof: None,
    }
}

fn found_match(last: u8, reachable: bool) -> Match {
    let addrs = addrs(&format!("192.0.2.{last}:6881"), None);
    Match {
        addrs,
        coord: coord(0.03),
        matched: 1234,
        load: 255,
        reachable,
    }
}

/// Each fixture and the message that it is.
fn vectors() -> Vec<(&'static str, Envelope)> {
    let token = Some(Token(*b"tokentok"));
    let contact = |n, addr: &str| Contact {
        id: id(n),
        addr: addr.parse().unwrap(),
        coord: coord(0.0),
    };
    let contacts = vec![
        contact(0xb1, "198.51.100.1:7000"),
        contact(0xb2, "[2001:db8::2]:7001"),
    ];
    let sparse = ChunkSet::from_indices(5, [0, 2, 4]); // the paper's 10101
    let prefix = ChunkSet::from_indices(10_000, 0..4_000);
    let mut ping = say(1, None, Body::Ping);
    ping.sender.client = true;
    let lookup = Lookup {
        summary: None,
        trace: false,
        object: ObjectId::from_name(b"ubuntu.iso"),
        wanted: Wanted::Chunks(prefix.complement()),
        p: 4,
        mix: 1,
        ranking: Ranking::Closeness,
        coord: coord(0.05),
        asker: addrs("203.0.113.5:6881", None),
        ignore: vec![
            "192.0.2.9:6881".parse().unwrap(),
            "[2001:db8::9]:6881".parse().unwrap(),
        ],
        to_root: true,
        hops: 2,
        matches: vec![found_match(8, true)],
    };
    let magnet = Lookup {
        wanted: Wanted::Any,
        mix: 0,
        ranking: Ranking::Overlap,
        asker: PeerAddrs::default(),
        ignore: vec![],
        to_root: false,
        hops: 0,
        matches: vec![],
        ..lookup.clone()
    };
    let matches = vec![found_match(8, true), found_match(9, false)];
    let observed = "203.0.113.5:40000".parse().unwrap();
    let published = vec![
        entry(0xc1, 10_000, prefix),
        entry(0xc2, 700, ChunkSet::full(700)),
        Entry {
            lifetime: Duration::ZERO,
            ..entry(0xc3, 0, ChunkSet::empty(0))
        },
    ];
    let delta = Entry {
        sequence: 301,
        delta_of: Some(300),
        ..entry(0xc3, 5, ChunkSet::from_indices(5, [1]))
    };
    let signed = Entry {
        summary: Some(Box::new(Summary::of(&ChunkSet::from_indices(
            10_000,
            0..3_000,
        )))),
        proof: Some(Box::new(Proof {
            key: [0x11; 32],
            signature: [0x22; 64],
            expires: 1_800_000_000,
        })),
        ..entry(0xc4, 10_000, ChunkSet::from_indices(10_000, 0..3_000))
    };
    let summarised = Lookup {
        ranking: Ranking::Hybrid,
        wanted: Wanted::Chunks(ChunkSet::from_indices(10_000, 3_000..10_000)),
        summary: Some(Box::new(Summary::of(&ChunkSet::from_indices(
            10_000,
            3_000..10_000,
        )))),
        trace: true,
        ..lookup.clone()
    };
    let traced = Found {
        matches: matches.clone(),
        hops: 2,
        root: false,
        by: id(0xe2),
        loaded: true,
        trace: vec![
            TraceHop {
                id: id(0xe1),
                addr: None,
                rtt: Some(Duration::from_micros(20_500)),
                known: 1,
                why: Why::TooFew,
            },
            TraceHop {
                id: id(0xe2),
                addr: Some("198.51.100.2:4240".parse().unwrap()),
                rtt: None,
                known: 2,
                why: Why::Loaded,
            },
        ],
    };
    vec![
        ("ping.hex", ping),
        (
            "pong.hex",
            say(
                1,
                None,
                Body::Pong {
                    token: Token(*b"tokentok"),
                    observed,
                },
            ),
        ),
        ("ack.hex", say(0xffff_ffff, None, Body::Ack)),
        (
            "refuse.hex",
            say(
                2,
                None,
                Body::Refuse {
                    reason: RefuseReason::Token,
                    token,
                },
            ),
        ),
        (
            "leaves.hex",
            say(
                3,
                None,
                Body::Leaves {
                    names: contacts.iter().map(|c| Name::of(&c.id)).collect(),
                },
            ),
        ),
        (
            "leaves-reply.hex",
            say(3, None, Body::LeavesReply { contacts: vec![] }),
        ),
        (
            "row.hex",
            say(
                4,
                None,
                Body::Row {
                    row: 39,
                    names: vec![],
                },
            ),
        ),
        (
            "row-reply.hex",
            say(
                4,
                None,
                Body::RowReply {
                    row: 39,
                    contacts: contacts.clone(),
                },
            ),
        ),
        (
            "join.hex",
            say(
                5,
                None,
                Body::Join {
                    joiner: id(0xd1),
                    hops: 1,
                },
            ),
        ),
        (
            "join-reply.hex",
            say(5, None, Body::JoinReply { contacts, hops: 3 }),
        ),
        (
            "publish.hex",
            say(
                6,
                token,
                Body::Publish {
                    entry: entry(0xc1, 5, sparse),
                },
            ),
        ),
        (
            "propagate.hex",
            say(7, token, Body::Propagate { entries: published }),
        ),
        ("lookup.hex", say(8, None, Body::Lookup(lookup))),
        ("lookup-any.hex", say(9, None, Body::Lookup(magnet))),
        (
            "found.hex",
            say(
                8,
                None,
                Body::Found(Found {
                    loaded: false,
                    trace: Vec::new(),
                    matches,
                    hops: 3,
                    root: true,
                    by: id(0xe1),
                }),
            ),
        ),
        ("ping-token.hex", say(10, token, Body::Ping)),
        (
            "publish-delta.hex",
            say(11, token, Body::Publish { entry: delta }),
        ),
        (
            "publish-signed.hex",
            say(12, token, Body::Publish { entry: signed }),
        ),
        (
            "lookup-summary.hex",
            say(13, token, Body::Lookup(summarised)),
        ),
        ("found-trace.hex", say(13, None, Body::Found(traced))),
        (
            "send-full.hex",
            say(
                11,
                None,
                Body::SendFull {
                    keys: vec![(ObjectId::from_name(b"ubuntu.iso"), id(0xc3))],
                },
            ),
        ),
        ("dial.hex", say(14, token, Body::Dial { port: 6881 })),
        (
            "dialled.hex",
            say(
                14,
                None,
                Body::Dialled {
                    port: 6881,
                    reached: true,
                },
            ),
        ),
        (
            "reach.hex",
            say(
                15,
                token,
                Body::Reach {
                    nonce: 0x0102_0304_0506_0708,
                },
            ),
        ),
        (
            "reach-for.hex",
            say(
                16,
                token,
                Body::ReachFor {
                    addr: "203.0.113.9:4240".parse().unwrap(),
                    nonce: 0x0102_0304_0506_0708,
                },
            ),
        ),
        (
            "reached.hex",
            say(
                17,
                None,
                Body::Reached {
                    nonce: 0x0102_0304_0506_0708,
                },
            ),
        ),
    ]
}

#[test]
fn messages_are_the_recorded_bytes() {
    for (name, message) in vectors() {
        let bytes = encode(&message).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(bytes, read_hex(name), "{name} is now\n{hex}");
    }
}

#[test]
fn recorded_bytes_are_the_messages() {
    for (name, message) in vectors() {
        assert_eq!(decode(&read_hex(name)), Ok(message), "{name}");
    }
}

#[test]
fn every_fixture_is_tested() {
    let mut tested: Vec<&str> = vectors().into_iter().map(|(name, _)| name).collect();
    tested.sort_unstable();
    assert_eq!(fixtures("wire"), tested);
}

/// Each chunk set of 2,048 chunks from chunk 4096, the base that it is a delta to, and its fixture.
fn bit_vectors() -> Vec<(&'static str, Option<ChunkSet>, ChunkSet)> {
    let window = |held: &dyn Fn(u32) -> bool| {
        let mut set = ChunkSet::empty_window(4096, 2048);
        for chunk in (4096..6144).filter(|&c| held(c - 4096)) {
            set.insert(chunk);
        }
        set
    };
    let scattered = window(&|i| i % 97 == 5 || i == 2047);
    // bit 31 of Knuth's multiplicative hash: a half, at random
    let half = |i: u32| i.wrapping_mul(2_654_435_761) >> 31 == 0;
    vec![
        ("empty.hex", None, window(&|_| false)),
        ("full.hex", None, window(&|_| true)),
        ("raw.hex", None, window(&half)),
        ("runs.hex", None, window(&|i| !(500..=2000).contains(&i))),
        ("rice-present.hex", None, scattered.clone()),
        ("rice-absent.hex", None, scattered.complement()),
        (
            "delta.hex",
            Some(window(&half)),
            window(&|i| half(i) != (i % 97 == 5 || i == 2047)),
        ),
    ]
}

/// A summary of an object of 10,000 chunks with its first 3,000 and chunk 9,999.
fn summary() -> Summary {
    Summary::of(&ChunkSet::from_indices(10_000, (0..3_000).chain([9_999])))
}

#[test]
fn chunk_sets_are_the_recorded_bytes_and_back() {
    let mut tested = vec!["summary.hex"];
    for (name, base, set) in bit_vectors() {
        let recorded = read_hex(&format!("../bits/{name}"));
        let (bytes, read) = match &base {
            None => (
                encode_bits(&set),
                decode_bits(set.start(), set.len(), &recorded, 2048),
            ),
            Some(base) => (
                encode_delta(base, &set),
                decode_delta(base, &recorded, 2048),
            ),
        };
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(bytes, recorded, "{name} is now\n{hex}");
        assert_eq!(read, Ok(set), "{name}");
        tested.push(name);
    }
    let recorded = read_hex("../bits/summary.hex");
    let bytes = summary().encode();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(bytes, recorded, "summary.hex is now\n{hex}");
    assert_eq!(Summary::decode(10_000, &recorded), Ok(summary()));

    tested.sort_unstable();
    assert_eq!(fixtures("bits"), tested);
}
