//! Any message within bounds fits a datagram and comes back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};

fn id() -> impl Strategy<Value = Id> {
    any::<[u8; 20]>().prop_map(Id)
}

fn coord() -> impl Strategy<Value = Coord> {
    any::<[u8; 14]>().prop_map(|b| Coord::from_bytes(&b).unwrap())
}

fn v4() -> impl Strategy<Value = SocketAddrV4> {
    (1u8..224, any::<[u8; 3]>(), 1..=u16::MAX)
        .prop_map(|(a, [b, c, d], port)| SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
}

fn v6() -> impl Strategy<Value = SocketAddrV6> {
    (0x2000u16..0x4000, any::<[u16; 7]>(), 1..=u16::MAX).prop_map(|(first, rest, port)| {
        let [b, c, d, e, f, g, h] = rest;
        SocketAddrV6::new(Ipv6Addr::new(first, b, c, d, e, f, g, h), port, 0, 0)
    })
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![v4().prop_map(SocketAddr::V4), v6().prop_map(SocketAddr::V6)]
}

fn addrs() -> impl Strategy<Value = PeerAddrs> {
    (prop::option::of(v4()), prop::option::of(v6()), v4()).prop_map(|(v4, v6, or)| PeerAddrs {
        v4: v4.or(v6.is_none().then_some(or)),
        v6,
    })
}

fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 8]>().prop_map(Token)
}

/// Sets of objects up to 20,000 chunks: noise, few chunks, a prefix, nothing, everything.
fn chunks() -> impl Strategy<Value = ChunkSet> {
    let len = prop_oneof![0u32..64, 0u32..20_000, select(vec![2048, 4096, 4097, 8192])];
    (len, 0..5, any::<u64>()).prop_map(|(len, texture, seed)| {
        let pick = move |i: u32, one_in: u64| {
            (u64::from(i) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 0xff < 256 / one_in
        };
        match texture {
            0 => ChunkSet::from_indices(len, (0..len).filter(|i| pick(*i, 2))),
            1 => ChunkSet::from_indices(len, (0..len).filter(|i| pick(*i, 64))),
            2 => ChunkSet::from_indices(len, 0..len / 3),
            3 => ChunkSet::empty(len),
            _ => ChunkSet::full(len),
        }
    })
}

fn proof() -> impl Strategy<Value = Box<Proof>> {
    (any::<[u8; 32]>(), any::<[[u8; 32]; 2]>(), any::<u64>()).prop_map(|(key, s, expires)| {
        let signature = s.concat().try_into().unwrap();
        Box::new(Proof {
            key,
            signature,
            expires,
        })
    })
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let who = (id(), id(), any::<u64>(), addrs(), coord());
    let what = (chunks(), any::<u32>(), 0u32..3);
    let flags = (any::<u8>(), any::<bool>(), any::<u32>());
    let more = (
        prop::option::of(any::<u64>()),
        any::<bool>(),
        prop::option::of(proof()),
    );
    (who, what, flags, more).prop_map(
        |(who, (all, rotate, more), (load, reachable, seconds), (delta_of, summary, proof))| {
            let chunks = all.end() + more;
            let mut whole = ChunkSet::empty(chunks);
            whole.overwrite(&all);
            Entry {
                object: ObjectId(who.0),
                publisher: who.1,
                sequence: who.2,
                addrs: who.3,
                coord: who.4,
                chunks,
                held: entry_windows(&all, rotate),
                delta_of,
                summary: summary.then(|| Box::new(Summary::of(&whole))),
                load,
                reachable,
                lifetime: Duration::from_secs(seconds.into()),
                proof,
            }
        },
    )
}

fn found_match() -> impl Strategy<Value = Match> {
    (addrs(), coord(), any::<u32>(), any::<u8>(), any::<bool>()).prop_map(
        |(addrs, coord, matched, load, reachable)| Match {
            addrs,
            coord,
            matched,
            load,
            reachable,
        },
    )
}

fn matches() -> impl Strategy<Value = Vec<Match>> {
    prop::collection::vec(found_match(), 0..=MAX_MATCHES)
}

fn lookup() -> impl Strategy<Value = Lookup> {
    let wanted = prop_oneof![
        1 => Just((Wanted::Any, None)),
        4 => (chunks(), any::<u32>()).prop_map(|(c, n)| (Wanted::Chunks(lookup_window(&c, n)), None)),
        4 => (chunks(), any::<u32>()).prop_map(|(c, n)| {
            let summary = Some(Box::new(Summary::of(&c)));
            (Wanted::Chunks(summarised_lookup_window(&c, n)), summary)
        }),
    ];
    let p = (1u8..=8).prop_flat_map(|p| (Just(p), 0..=p));
    let ranking = select(vec![Ranking::Overlap, Ranking::Closeness, Ranking::Hybrid]);
    let asker = prop_oneof![1 => Just(PeerAddrs::default()), 4 => addrs()];
    let ignore = prop::collection::vec(addr(), 0..=MAX_IGNORED);
    let flags = (any::<bool>(), any::<bool>());
    (
        id(),
        wanted,
        p,
        ranking,
        coord(),
        asker,
        ignore,
        flags,
        0..=MAX_HOPS,
        matches(),
    )
        .prop_map(
            |(
                object,
                (wanted, summary),
                (p, mix),
                ranking,
                coord,
                asker,
                ignore,
                flags,
                hops,
                m,
            )| {
                let object = ObjectId(object);
                Lookup {
                    object,
                    wanted,
                    summary,
                    p,
                    mix,
                    ranking,
                    coord,
                    asker,
                    ignore,
                    to_root: flags.0,
                    trace: flags.1,
                    hops,
                    matches: m,
                }
            },
        )
}

fn trace() -> impl Strategy<Value = Vec<TraceHop>> {
    use Why::*;
    let why = select(vec![Enough, Root, Cached, Loaded, Silent, TooFew, ToRoot]);
    let rtt = prop::option::of((1..=u32::MAX).prop_map(|n| Duration::from_micros(n.into())));
    let hop = (id(), prop::option::of(addr()), rtt, any::<u8>(), why).prop_map(
        |(id, addr, rtt, known, why)| TraceHop {
            id,
            addr,
            rtt,
            known,
            why,
        },
    );
    prop::collection::vec(hop, 0..=MAX_TRACE)
}

fn names() -> impl Strategy<Value = Vec<Name>> {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Name), 0..=MAX_NAMES)
}

fn contacts() -> impl Strategy<Value = Vec<Contact>> {
    let contact = (id(), addr(), coord()).prop_map(|(id, addr, coord)| Contact { id, addr, coord });
    prop::collection::vec(contact, 0..=MAX_CONTACTS)
}

fn reason() -> impl Strategy<Value = RefuseReason> {
    use RefuseReason::*;
    select(vec![Token, ForeignAddress, Busy, Hops, Unsupported])
}

fn body() -> impl Strategy<Value = Body> {
    let hops = 0..=MAX_HOPS;
    prop_oneof![
        Just(Body::Ping),
        Just(Body::Ack),
        (token(), addr()).prop_map(|(token, observed)| Body::Pong { token, observed }),
        (reason(), prop::option::of(token()))
            .prop_map(|(reason, token)| Body::Refuse { reason, token }),
        names().prop_map(|names| Body::Leaves { names }),
        contacts().prop_map(|contacts| Body::LeavesReply { contacts }),
        ((0u8..40), names()).prop_map(|(row, names)| Body::Row { row, names }),
        (0u8..40, contacts()).prop_map(|(row, contacts)| Body::RowReply { row, contacts }),
        (id(), hops.clone()).prop_map(|(joiner, hops)| Body::Join { joiner, hops }),
        (contacts(), hops.clone()).prop_map(|(contacts, hops)| Body::JoinReply { contacts, hops }),
        entry().prop_map(|entry| Body::Publish { entry }),
        prop::collection::vec(entry(), 0..20).prop_map(|entries| Body::Propagate { entries }),
        lookup().prop_map(Body::Lookup),
        (matches(), hops, any::<(bool, bool)>(), id(), trace()).prop_map(
            |(matches, hops, (root, loaded), by, trace)| Body::Found(Found {
                matches,
                hops,
                root,
                by,
                loaded,
                trace,
            })
        ),
        prop::collection::vec((id().prop_map(ObjectId), id()), 0..=MAX_GAPS)
            .prop_map(|keys| Body::SendFull { keys }),
        (1..=u16::MAX).prop_map(|port| Body::Dial { port }),
        (1..=u16::MAX, any::<bool>()).prop_map(|(port, reached)| Body::Dialled { port, reached }),
        any::<u64>().prop_map(|nonce| Body::Reach { nonce }),
        (addr(), any::<u64>()).prop_map(|(addr, nonce)| Body::ReachFor { addr, nonce }),
        any::<u64>().prop_map(|nonce| Body::Reached { nonce }),
    ]
}

/// Any message within bounds; a propagation message may still hold too many entries for a datagram.
pub(crate) fn unpacked() -> impl Strategy<Value = Envelope> {
    let sender =
        (id(), coord(), any::<bool>()).prop_map(|(id, coord, client)| Sender { id, coord, client });
    (any::<u32>(), sender, prop::option::of(token()), body()).prop_map(
        |(tx, sender, token, body)| Envelope {
            tx,
            sender,
            token,
            body,
        },
    )
}

/// Any message within bounds that fits a datagram.
pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    unpacked().prop_map(|mut envelope| {
        if let Body::Propagate { entries } = &mut envelope.body {
            let fit = pack_entries(&envelope.sender, envelope.token, entries);
            entries.truncate(fit);
        }
        envelope
    })
}

/// What the authentication of a closed network adds to a datagram at most.
const SEAL_ROOM: usize = 40;

#[test]
fn a_pong_is_no_longer_than_the_ping_of_a_stranger() {
    let sender = Sender {
        id: Id::default(),
        coord: Coord::default(),
        client: false,
    };
    let say = |body| {
        let envelope = Envelope {
            tx: 7,
            sender,
            token: None,
            body,
        };
        encode(&envelope).unwrap().len()
    };
    for observed in ["192.0.2.1:6881", "[2001:db8::1]:6881"] {
        let observed = observed.parse().unwrap();
        let token = Token([1; 8]);
        assert!(say(Body::Pong { token, observed }) <= say(Body::Ping));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_message_within_bounds_fits_a_datagram_and_comes_back(envelope in envelope()) {
        let bytes = encode(&envelope).unwrap();
        let entries = matches!(envelope.body, Body::Propagate { .. });
        let room = MAX_DATAGRAM - usize::from(!entries) * SEAL_ROOM;
        prop_assert!(bytes.len() <= room);
        prop_assert_eq!(decode(&bytes), Ok(envelope));
    }

    #[test]
    fn the_packer_takes_as_many_entries_as_fit(
        envelope in unpacked(), entries in prop::collection::vec(entry(), 1..30),
    ) {
        let fit = pack_entries(&envelope.sender, envelope.token, &entries);
        prop_assert!(fit >= 1, "one entry always fits");
        let propagate = |n: usize| {
            let body = Body::Propagate { entries: entries[..n].to_vec() };
            encode(&Envelope { body, ..envelope.clone() })
        };
        prop_assert!(propagate(fit).is_ok());
        if fit < entries.len() {
            prop_assert!(matches!(propagate(fit + 1), Err(EncodeError::TooLong(_))));
        }
    }
}
