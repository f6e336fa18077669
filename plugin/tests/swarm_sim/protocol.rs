//! What is said on the wire, and in which order.

use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId};
use chunkcast_bittorrent::wire::extended::{ExtendedHandshake, OUR_UT_METADATA, UtMetadata};
use chunkcast_bittorrent::wire::message::Message;

use crate::world::{Content, Script, World};

/// A peer that says these things at the start and answers nothing.
pub(crate) struct Says(pub(crate) Vec<(Duration, Message)>);

impl Script for Says {
    fn connected(&mut self, _conn: ConnId) -> Vec<(Duration, Message)> {
        std::mem::take(&mut self.0)
    }

    fn message(&mut self, _: ConnId, _: Message, _: Instant) -> Vec<(Duration, Message)> {
        Vec::new()
    }
}

/// What a torrent that holds `held` says to a peer that says `says`, in `time`.
fn heard(
    held: Option<ChunkSet>,
    fast: bool,
    says: Vec<(Duration, Message)>,
    time: Duration,
) -> (Vec<Message>, World) {
    let content = Content::random(11 * 16_384, 16_384, 1);
    let mut w = World::new(1);
    w.directory = false;
    let us = w.add(&content, held);
    w.node(us).keep_sent = true;
    let them = w.add_script(Says(says), fast);
    w.connect(them, us);
    w.run_for(time);
    let said = w.node(us).sent.iter().map(|(_, m)| m.clone()).collect();
    (said, w)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_word_on_pieces_suits_the_peer() {
    let some = ChunkSet::from_indices(11, [0, 10]);
    let bits = Message::Bitfield(Bytes::copy_from_slice(some.as_bytes()));
    let first = |held: Option<ChunkSet>, fast| {
        let (said, _) = heard(held, fast, vec![], SECOND);
        said.into_iter()
            .find(|m| !matches!(m, Message::Extended { .. }))
    };
    assert_eq!(first(Some(some.clone()), true), Some(bits.clone()));
    assert_eq!(first(Some(some), false), Some(bits));
    assert_eq!(
        first(Some(ChunkSet::empty(11)), true),
        Some(Message::HaveNone)
    );
    assert_eq!(first(Some(ChunkSet::empty(11)), false), None);
    assert_eq!(first(None, true), Some(Message::HaveNone));
    assert_eq!(first(None, false), None);
}

#[test]
fn the_extended_handshake_comes_first_and_says_what_it_should() {
    let (said, w) = heard(Some(ChunkSet::empty(11)), true, vec![], SECOND);
    let Message::Extended { id: 0, payload } = &said[0] else {
        panic!("{said:?}")
    };
    let handshake = ExtendedHandshake::decode(payload).unwrap();
    assert_eq!(handshake.ut_metadata, Some(OUR_UT_METADATA));
    assert_eq!(handshake.port, Some(6881));
    assert_eq!(handshake.reqq, Some(500));
    assert!(handshake.version.unwrap().starts_with("ChunkCast "));
    assert!(handshake.metadata_size.unwrap() > 200);
    drop(w);
    let (said, _) = heard(Some(ChunkSet::empty(11)), false, vec![], SECOND);
    assert_eq!(said, vec![], "a peer without BEP 10 hears nothing of it");
}

#[test]
fn metadata_is_served_and_refused_under_the_peer_s_own_id() {
    let shake = ExtendedHandshake {
        ut_metadata: Some(77),
        ..ExtendedHandshake::default()
    };
    let says = |piece| {
        vec![
            (
                Duration::ZERO,
                Message::Extended {
                    id: 0,
                    payload: shake.encode(),
                },
            ),
            (
                Duration::ZERO,
                Message::Extended {
                    id: OUR_UT_METADATA,
                    payload: UtMetadata::Request(piece).encode(),
                },
            ),
        ]
    };
    let answer = |held, piece| {
        let (said, _) = heard(held, true, says(piece), SECOND);
        let payload = said.into_iter().find_map(|m| match m {
            Message::Extended { id: 77, payload } => Some(payload),
            _ => None,
        });
        UtMetadata::decode(&payload.expect("an answer")).unwrap()
    };
    let info = Content::random(11 * 16_384, 16_384, 1).meta.info.clone();
    let total_size = u32::try_from(info.len()).unwrap();
    let data = UtMetadata::Data {
        piece: 0,
        total_size,
        data: info,
    };
    assert_eq!(answer(Some(ChunkSet::empty(11)), 0), data);
    assert_eq!(answer(Some(ChunkSet::empty(11)), 1), UtMetadata::Reject(1));
    assert_eq!(answer(None, 0), UtMetadata::Reject(0));
}

#[test]
fn metadata_requests_are_served_at_a_bounded_rate() {
    let shake = ExtendedHandshake {
        ut_metadata: Some(3),
        ..ExtendedHandshake::default()
    };
    let mut says = vec![(
        Duration::ZERO,
        Message::Extended {
            id: 0,
            payload: shake.encode(),
        },
    )];
    let request = Message::Extended {
        id: 2,
        payload: UtMetadata::Request(0).encode(),
    };
    says.extend((0..1500).map(|_| (Duration::from_millis(1), request.clone())));
    let (said, _) = heard(Some(ChunkSet::empty(11)), true, says, SECOND);
    let served = said
        .iter()
        .filter(|m| match m {
            Message::Extended { id: 3, payload } => {
                matches!(UtMetadata::decode(payload), Ok(UtMetadata::Data { .. }))
            }
            _ => false,
        })
        .count();
    assert!((64..=200).contains(&served), "{served} pieces in a second");
}

#[test]
fn idle_connections_are_kept_alive_and_dead_ones_closed() {
    let quiet: Vec<(Duration, Message)> = (1..4)
        .map(|n| (Duration::from_secs(100 * n), Message::KeepAlive))
        .collect();
    let (said, mut w) = heard(
        Some(ChunkSet::empty(11)),
        true,
        quiet,
        Duration::from_secs(420),
    );
    let alive = said.iter().filter(|m| **m == Message::KeepAlive).count();
    assert!(
        (3..=4).contains(&alive),
        "{alive} keep-alives in seven minutes"
    );
    assert!(w.node(0).closed.is_empty());
    w.run_for(Duration::from_secs(60));
    assert_eq!(w.node(0).closed, vec![(ConnId(1), CloseReason::Silent)]);
}

#[test]
fn a_second_connection_of_the_same_peer_is_closed_by_both_ends_alike() {
    let content = Content::random(11 * 16_384, 16_384, 1);
    let mut w = World::new(1);
    w.directory = false;
    let a = w.add(&content, Some(content.none()));
    let b = w.add(&content, Some(content.none()));
    w.connect(a, b);
    w.connect(b, a);
    w.run_for(SECOND);
    let conns = |w: &mut World, n| {
        w.node(n)
            .swarm
            .stats()
            .peers
            .iter()
            .map(|p| p.conn)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        conns(&mut w, a),
        vec![ConnId(2)],
        "the greater peer id dialled it"
    );
    assert_eq!(conns(&mut w, b), vec![ConnId(2)]);
}

#[test]
fn new_pieces_are_told_to_everyone_once() {
    let content = Content::random(11 * 16_384, 16_384, 1);
    let mut w = World::new(1);
    w.directory = false;
    let seed = w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.node(get).keep_sent = true;
    let watcher = w.add_script(Says(vec![(Duration::ZERO, Message::HaveNone)]), true);
    // A superseeding seed needs to hear of them too, though it has them.
    let conns = [w.connect(get, seed), w.connect(watcher, get)];
    w.complete(&[get], Duration::from_secs(60));
    for conn in conns {
        let said = w.node(get).sent.iter().filter(|(c, _)| *c == conn);
        let mut told: Vec<u32> = said
            .filter_map(|(_, msg)| match msg {
                Message::Have(piece) => Some(*piece),
                _ => None,
            })
            .collect();
        told.sort_unstable();
        assert_eq!(told, (0..11).collect::<Vec<_>>());
    }
}
