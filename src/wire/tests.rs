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

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let who = (id(), id(), any::<u64>(), addrs(), coord());
    let what = (chunks(), any::<u32>(), 0u32..3);
    (who, what, any::<u8>(), any::<bool>(), any::<u32>()).prop_map(
        |(who, (all, rotate, more), load, reachable, seconds)| Entry {
            object: ObjectId(who.0),
            publisher: who.1,
            sequence: who.2,
            addrs: who.3,
            coord: who.4,
            chunks: all.end() + more,
            held: entry_windows(&all, rotate),
            load,
            reachable,
            lifetime: Duration::from_secs(seconds.into()),
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
        1 => Just(Wanted::Any),
        4 => (chunks(), any::<u32>()).prop_map(|(c, n)| Wanted::Chunks(lookup_window(&c, n))),
    ];
    let p = (1u8..=8).prop_flat_map(|p| (Just(p), 0..=p));
    let ranking = select(vec![Ranking::Overlap, Ranking::Closeness]);
    let asker = prop_oneof![1 => Just(PeerAddrs::default()), 4 => addrs()];
    let ignore = prop::collection::vec(addr(), 0..=MAX_IGNORED);
    (
        id(),
        wanted,
        p,
        ranking,
        coord(),
        asker,
        ignore,
        any::<bool>(),
        0..=MAX_HOPS,
        matches(),
    )
        .prop_map(
            |(object, wanted, (p, mix), ranking, coord, asker, ignore, to_root, hops, m)| {
                let object = ObjectId(object);
                Lookup {
                    object,
                    wanted,
                    p,
                    mix,
                    ranking,
                    coord,
                    asker,
                    ignore,
                    to_root,
                    hops,
                    matches: m,
                }
            },
        )
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
        contacts().prop_map(|contacts| Body::Leaves { contacts }),
        contacts().prop_map(|contacts| Body::LeavesReply { contacts }),
        (0u8..40).prop_map(|row| Body::Row { row }),
        (0u8..40, contacts()).prop_map(|(row, contacts)| Body::RowReply { row, contacts }),
        (id(), hops.clone()).prop_map(|(joiner, hops)| Body::Join { joiner, hops }),
        (contacts(), hops.clone()).prop_map(|(contacts, hops)| Body::JoinReply { contacts, hops }),
        entry().prop_map(|entry| Body::Publish { entry }),
        prop::collection::vec(entry(), 0..20).prop_map(|entries| Body::Propagate { entries }),
        lookup().prop_map(Body::Lookup),
        (matches(), hops, any::<bool>(), id()).prop_map(|(matches, hops, root, by)| Body::Found(
            Found {
                matches,
                hops,
                root,
                by
            }
        )),
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_message_within_bounds_fits_a_datagram_and_comes_back(envelope in envelope()) {
        let bytes = encode(&envelope).unwrap();
        prop_assert!(bytes.len() <= MAX_DATAGRAM);
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
