//! Hostile datagrams: whatever arrives, the decoder returns. A panic means a bug.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::wire::{
    Body, Contact, DecodeError, EncodeError, Entry, Envelope, Found, Lookup, MAX_CHUNKS,
    MAX_DATAGRAM, Match, Name, PeerAddrs, Ranking, Sender, Token, Wanted, decode, encode,
    pack_entries,
};
use proptest::prelude::*;

const SENDER: Sender = Sender {
    id: Id([7; 20]),
    coord: Coord {
        position: [0.0; 3],
        height: 0.0,
        error: 1.0,
    },
    client: false,
};

fn envelope(body: Body) -> Envelope {
    Envelope {
        tx: 9,
        sender: SENDER,
        token: Some(Token([1; 8])),
        body,
    }
}

fn addrs() -> PeerAddrs {
    let (v4, v6) = ("192.0.2.1:6881", "[2001:db8::1]:6881");
    PeerAddrs {
        v4: Some(v4.parse().unwrap()),
        v6: Some(v6.parse().unwrap()),
    }
}

fn contacts(n: u8) -> Vec<Contact> {
    let addr = "[2001:db8::1]:7000".parse().unwrap();
    (0..n)
        .map(|i| Contact {
            id: Id([i; 20]),
            addr,
            coord: SENDER.coord,
        })
        .collect()
}

fn matches(n: u32) -> Vec<Match> {
    let one = |matched| Match {
        addrs: addrs(),
        coord: SENDER.coord,
        matched,
        load: 9,
        reachable: true,
    };
    (0..n).map(one).collect()
}

/// Half of the chunks of `start .. start + len`, scattered: nothing compresses it.
fn noise_from(start: u32, len: u32) -> ChunkSet {
    let mut set = ChunkSet::empty_window(start, len);
    for i in (start..start + len).filter(|i| i.wrapping_mul(2_654_435_761) >> 31 == 0) {
        set.insert(i);
    }
    set
}

fn noise(len: u32) -> ChunkSet {
    noise_from(0, len)
}

fn entry(held: ChunkSet) -> Entry {
    Entry {
        delta_of: None,
        summary: None,
        proof: None,
        object: ObjectId(Id([3; 20])),
        publisher: Id([4; 20]),
        sequence: u64::MAX,
        addrs: addrs(),
        coord: SENDER.coord,
        chunks: MAX_CHUNKS,
        held,
        load: 255,
        reachable: true,
        lifetime: Duration::from_secs(u32::MAX.into()),
    }
}

fn lookup(wanted: Wanted) -> Lookup {
    Lookup {
        summary: None,
        trace: false,
        object: ObjectId(Id([3; 20])),
        wanted,
        p: 8,
        mix: 8,
        ranking: Ranking::Closeness,
        coord: SENDER.coord,
        asker: addrs(),
        ignore: vec!["[2001:db8::1]:6881".parse().unwrap(); 8],
        to_root: true,
        hops: 64,
        matches: matches(8),
    }
}

/// One message of every kind with fields, each field at its bound.
fn fullest() -> Vec<Body> {
    let observed = "[2001:db8::1]:6881".parse().unwrap();
    vec![
        Body::Pong {
            token: Token([2; 8]),
            observed,
        },
        Body::Leaves {
            names: vec![Name([0xff; 4]); 64],
        },
        Body::LeavesReply {
            contacts: contacts(17),
        },
        Body::Row {
            row: 39,
            names: vec![Name([0xff; 4]); 64],
        },
        Body::RowReply {
            row: 39,
            contacts: contacts(17),
        },
        Body::Join {
            joiner: Id([9; 20]),
            hops: 64,
        },
        Body::JoinReply {
            contacts: contacts(17),
            hops: 64,
        },
        Body::Publish {
            entry: entry(noise_from(MAX_CHUNKS - 4096, 4096)),
        },
        Body::Propagate {
            entries: vec![entry(noise(4096)), entry(ChunkSet::full(9))],
        },
        Body::Lookup(lookup(Wanted::Chunks(noise_from(MAX_CHUNKS - 2048, 2048)))),
        Body::Found(Found {
            loaded: false,
            trace: Vec::new(),
            matches: matches(8),
            hops: 64,
            root: true,
            by: Id([8; 20]),
        }),
    ]
}

fn valid() -> &'static [Vec<u8>] {
    static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        fullest()
            .into_iter()
            .map(|body| encode(&envelope(body)).unwrap())
            .collect()
    });
    &VALID
}

#[test]
fn every_field_at_its_bound_fits_a_datagram() {
    for body in fullest() {
        let message = envelope(body);
        let bytes = encode(&message).unwrap();
        assert!(
            bytes.len() <= MAX_DATAGRAM,
            "{} bytes: {message:?}",
            bytes.len()
        );
        assert_eq!(decode(&bytes), Ok(message));
    }
}

#[test]
fn every_truncation_is_refused() {
    for bytes in valid() {
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "{n} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for bytes in valid() {
        for tail in [
            &b"e"[..],
            b"i1e",
            b"0:",
            b"de",
            b"\0",
            &bytes[..bytes.len().min(90)],
        ] {
            let long = [bytes.as_slice(), tail].concat();
            if long.len() <= MAX_DATAGRAM {
                assert_eq!(decode(&long), Err(DecodeError::Malformed));
            }
        }
    }
}

#[test]
fn every_changed_byte_gives_a_message_within_bounds_or_an_error() {
    for bytes in valid() {
        for i in 0..bytes.len() {
            for byte in [
                0,
                b'0',
                b'9',
                b'd',
                b'e',
                b'i',
                b'l',
                b'-',
                b':',
                0xff,
                bytes[i] ^ 1,
            ] {
                let mut changed = bytes.clone();
                changed[i] = byte;
                within_bounds(&changed);
            }
        }
    }
}

/// What decodes can be encoded again and is then the same: the two agree on every bound.
fn within_bounds(datagram: &[u8]) {
    if let Ok(message) = decode(datagram) {
        let again = encode(&message).unwrap_or_else(|e| panic!("{e}: {message:?}"));
        assert_eq!(decode(&again), Ok(message));
    }
}

#[test]
fn absurd_bencode_is_refused() {
    let deep = |n: usize| ["l".repeat(n), "e".repeat(n)].concat();
    let sender = |inner: &str| format!("d1:ki0e1:s{inner}1:t4:aaaa1:vi1ee");
    let hostile = [
        String::new(),
        "e".into(),
        "i1e".into(),
        "4:spam".into(),
        "de".into(),
        "le".into(),
        deep(600),
        "d".repeat(1200),
        "d1:k".repeat(300),
        "99999999999:".into(),
        "d99999999999:".into(),
        "d1:k99999999999999999999999999:".into(),
        "d1:ki-1ee".into(),
        "d1:ki-0ee".into(),
        "d1:ki00ee".into(),
        "d1:kiee".into(),
        format!("d1:ki{}ee", "9".repeat(1000)),
        "d-1:k".into(),
        "d01:ki0ee".into(),
        "di1ei1ee".into(),
        "d1:k".into(),
        "d1:ke".into(),
        sender("i1e"),
        sender("0:"),
        sender("le"),
        sender("99999999999:"),
        sender(&format!("34:{}", "s".repeat(34))),
        sender(&format!("36:{}", "s".repeat(36))),
        sender(&deep(9)),
    ];
    for text in hostile {
        assert!(decode(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(decode(&[b'd'; 1201]), Err(DecodeError::TooLong(1201)));
}

const SELF: &str = "1:s35:sssssssssssssssssssssssssssssssssss";

#[test]
fn unsorted_and_repeated_keys_are_refused() {
    let good = format!("d1:ki0e{SELF}1:t4:aaaa1:vi1ee");
    assert!(decode(good.as_bytes()).is_ok());
    for bad in [
        format!("d{SELF}1:ki0e1:t4:aaaa1:vi1ee"),
        format!("d1:ki0e1:ki0e{SELF}1:t4:aaaa1:vi1ee"),
        format!("d1:ki6e1:md1:ri0e1:ri0ee{SELF}1:t4:aaaa1:vi1ee"),
    ] {
        assert_eq!(decode(bad.as_bytes()), Err(DecodeError::Malformed), "{bad}");
    }
}

#[test]
fn keys_of_later_versions_are_skipped() {
    let plain = format!("d1:ki6e1:md1:ri3ee{SELF}1:t4:aaaa1:vi1ee");
    let more =
        format!("d1:ai1e1:ki6e1:lllleee1:md1:q3:new1:ri3e1:zd1:ai1eee{SELF}1:t4:aaaa1:vi1e2:zz0:e");
    assert_eq!(decode(more.as_bytes()), decode(plain.as_bytes()));
    assert!(decode(plain.as_bytes()).is_ok());
}

#[test]
fn unknown_kinds_and_versions_are_told_apart_from_garbage() {
    let unknown = format!("d1:ki99e1:md1:a3:newe{SELF}1:t4:\0\0\0\x051:vi1ee");
    assert_eq!(
        decode(unknown.as_bytes()),
        Err(DecodeError::UnknownKind { tx: 5, kind: 99 })
    );
    let version = "d1:k4:text1:mi0e1:s0:1:vi2ee";
    assert_eq!(decode(version.as_bytes()), Err(DecodeError::Version(2)));
    for (key, without) in [
        ("v", format!("d1:ki0e{SELF}1:t4:aaaae")),
        ("t", format!("d1:ki0e{SELF}1:vi1ee")),
        ("k", format!("d{SELF}1:t4:aaaa1:vi1ee")),
        ("s", "d1:ki0e1:t4:aaaa1:vi1ee".to_owned()),
        ("m", format!("d1:ki1e{SELF}1:t4:aaaa1:vi1ee")),
        ("r", format!("d1:ki6e1:mde{SELF}1:t4:aaaa1:vi1ee")),
    ] {
        assert_eq!(decode(without.as_bytes()), Err(DecodeError::Missing(key)));
    }
}

#[test]
fn a_field_beyond_its_bound_is_neither_sent_nor_read() {
    let any = || lookup(Wanted::Any);
    let tiny = || entry(ChunkSet::full(9));
    let port_0: std::net::SocketAddr = "192.0.2.1:0".parse().unwrap();
    let beyond = [
        Body::Leaves {
            names: vec![Name([0xff; 4]); 65],
        },
        Body::LeavesReply {
            contacts: contacts(18),
        },
        Body::LeavesReply {
            contacts: vec![Contact {
                addr: port_0,
                ..contacts(1)[0]
            }],
        },
        Body::Row {
            row: 40,
            names: vec![],
        },
        Body::Join {
            joiner: Id([1; 20]),
            hops: 65,
        },
        Body::Pong {
            token: Token([0; 8]),
            observed: port_0,
        },
        Body::Lookup(Lookup {
            p: 0,
            mix: 0,
            ..any()
        }),
        Body::Lookup(Lookup { p: 9, ..any() }),
        Body::Lookup(Lookup {
            p: 3,
            mix: 4,
            ..any()
        }),
        Body::Lookup(Lookup { hops: 65, ..any() }),
        Body::Lookup(Lookup {
            ignore: vec![port_0],
            ..any()
        }),
        Body::Lookup(Lookup {
            ignore: vec!["192.0.2.1:1".parse().unwrap(); 9],
            ..any()
        }),
        Body::Lookup(Lookup {
            matches: matches(9),
            ..any()
        }),
        Body::Lookup(Lookup {
            wanted: Wanted::Chunks(noise(2049)),
            ..any()
        }),
        Body::Found(Found {
            loaded: false,
            trace: Vec::new(),
            matches: matches(9),
            hops: 0,
            root: false,
            by: Id([1; 20]),
        }),
        Body::Publish {
            entry: entry(noise(4097)),
        },
        Body::Publish {
            entry: Entry {
                addrs: PeerAddrs::default(),
                ..tiny()
            },
        },
        Body::Publish {
            entry: Entry {
                addrs: port_0.into(),
                ..tiny()
            },
        },
        Body::Publish {
            entry: Entry {
                chunks: 8,
                ..tiny()
            },
        },
        Body::Publish {
            entry: Entry {
                chunks: MAX_CHUNKS + 1,
                ..tiny()
            },
        },
        Body::Propagate {
            entries: vec![entry(ChunkSet::full(MAX_CHUNKS)), tiny()],
        },
    ];
    for body in beyond {
        let refused = encode(&envelope(body.clone()));
        assert!(
            matches!(refused, Err(EncodeError::Bounds(_))),
            "{refused:?}: {body:?}"
        );
    }
    let many = Body::Propagate {
        entries: vec![entry(noise(4096)); 3],
    };
    assert!(matches!(
        encode(&envelope(many)),
        Err(EncodeError::TooLong(_))
    ));
}

/// The datagram with the first `from` replaced.
fn with(body: Body, from: &[u8], to: &[u8]) -> Vec<u8> {
    let bytes = encode(&envelope(body)).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|w| w == from)
        .expect("the field is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn bounds_hold_for_a_sender_that_ignores_them() {
    let any = || Lookup {
        ignore: vec![],
        matches: vec![],
        ..lookup(Wanted::Any)
    };
    let small = || Lookup {
        wanted: Wanted::Chunks(ChunkSet::full(9)),
        ..any()
    };
    let v4 = Contact {
        addr: "192.0.2.1:7000".parse().unwrap(),
        ..contacts(1)[0]
    };
    let contact_list = |n: usize| {
        let one = encode(&envelope(Body::LeavesReply { contacts: vec![v4] })).unwrap();
        let at = one.windows(3).position(|w| w == b"40:").unwrap();
        let record = &one[at..at + 43];
        [&one[..at], &record.repeat(n), &one[at + 43..]].concat()
    };
    assert!(decode(&contact_list(17)).is_ok());
    let hostile = [
        ("contacts", contact_list(18)),
        (
            "hops",
            with(
                Body::Join {
                    joiner: Id([1; 20]),
                    hops: 64,
                },
                b"1:hi64e",
                b"1:hi65e",
            ),
        ),
        (
            "hops",
            with(
                Body::Join {
                    joiner: Id([1; 20]),
                    hops: 64,
                },
                b"1:hi64e",
                b"1:hi-1e",
            ),
        ),
        ("hops", with(Body::Lookup(any()), b"1:hi64e", b"1:hi256e")),
        (
            "row",
            with(
                Body::Row {
                    row: 39,
                    names: vec![],
                },
                b"1:ri39e",
                b"1:ri40e",
            ),
        ),
        ("p or mix", with(Body::Lookup(any()), b"1:pi8e", b"1:pi7e")),
        (
            "p or mix",
            with(
                Body::Lookup(Lookup { mix: 0, ..any() }),
                b"1:pi8e",
                b"1:pi0e",
            ),
        ),
        ("p", with(Body::Lookup(any()), b"1:pi8e", b"1:pi9e")),
        ("ranking", with(Body::Lookup(any()), b"1:ki1e", b"1:ki3e")),
        (
            "wanted window",
            with(
                Body::Lookup(small()),
                b"1:w3:\0\x09\x01",
                b"1:w5:\0\x81\x80\x40\x01",
            ),
        ),
        (
            "wanted window",
            with(
                Body::Lookup(small()),
                b"1:w3:\0\x09\x01",
                b"1:w3:\0\x09\x07",
            ),
        ),
        (
            "wanted window",
            with(Body::Lookup(small()), b"1:w3:\0\x09\x01", b"1:w0:"),
        ),
    ];
    for (name, datagram) in hostile {
        assert_eq!(decode(&datagram), Err(DecodeError::Bounds(name)));
    }
}

#[test]
fn a_datagram_of_huge_sets_is_refused_before_they_are_made() {
    // ten entries that each claim to hold every one of 2^20 chunks: 1.3 MB of bits in 1.2 KB
    let huge = || entry(ChunkSet::full(MAX_CHUNKS));
    let small = vec![entry(ChunkSet::full(9)); 2];
    let mut datagram = encode(&envelope(Body::Propagate { entries: small })).unwrap();
    for _ in 0..2 {
        let at = datagram
            .windows(7)
            .position(|w| w == b"1:c3:\0\x09")
            .expect("a small window");
        datagram.splice(at..at + 8, *b"1:c5:\0\x80\x80\x40\x01");
    }
    assert_eq!(
        decode(&datagram),
        Err(DecodeError::Bounds("entry's window"))
    );
    assert_eq!(
        pack_entries(&SENDER, None, &[huge(), huge()]),
        1,
        "the packer keeps to it"
    );
    let one = envelope(Body::Propagate {
        entries: vec![huge()],
    });
    assert_eq!(decode(&encode(&one).unwrap()), Ok(one));
}

#[test]
fn an_entry_that_can_never_be_sent_stops_the_packer_and_nothing_else_does() {
    let good = entry(ChunkSet::full(9));
    let bad = Entry {
        addrs: PeerAddrs::default(),
        ..good.clone()
    };
    assert_eq!(pack_entries(&SENDER, None, &[]), 0);
    assert_eq!(pack_entries(&SENDER, None, &[bad.clone(), good.clone()]), 0);
    assert_eq!(pack_entries(&SENDER, None, &[good.clone(), bad, good]), 1);
}

#[test]
fn less_than_a_second_is_not_a_withdrawal() {
    let lifetime = |lifetime| {
        let body = Body::Publish {
            entry: Entry {
                lifetime,
                ..entry(ChunkSet::full(9))
            },
        };
        match decode(&encode(&envelope(body)).unwrap()).unwrap().body {
            Body::Publish { entry } => entry.lifetime,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lifetime(Duration::from_millis(1)), Duration::from_secs(1));
    assert_eq!(
        lifetime(Duration::from_millis(2500)),
        Duration::from_secs(3)
    );
    assert_eq!(lifetime(Duration::ZERO), Duration::ZERO);
    assert_eq!(
        lifetime(Duration::MAX),
        Duration::from_secs(u32::MAX.into())
    );
}

#[test]
fn an_ipv4_address_seen_through_a_dual_stack_socket_is_sent_as_ipv4() {
    let observed = "[::ffff:192.0.2.1]:6881".parse().unwrap();
    let bytes = encode(&envelope(Body::Pong {
        token: Token([0; 8]),
        observed,
    }))
    .unwrap();
    match decode(&bytes).unwrap().body {
        Body::Pong { observed, .. } => assert_eq!(observed, "192.0.2.1:6881".parse().unwrap()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1300)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn random_bencode_never_panics(text in "(d|l|e|i[0-9]{1,3}e|1:[a-z]|[0-9]{1,2}:[a-z]{0,9}|i-?[0-9]{0,22}e){0,80}") {
        within_bounds(text.as_bytes());
    }

    #[test]
    fn mutated_datagrams_never_panic(
        which in 0usize..11,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut bytes = valid()[which].clone();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        within_bounds(&bytes);
    }

    #[test]
    fn spliced_datagrams_never_panic(a in 0usize..11, b in 0usize..11, at in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let all = valid();
        let spliced = [&all[a][..at.index(all[a].len())], &all[b][to.index(all[b].len())..]].concat();
        within_bounds(&spliced);
    }
}
