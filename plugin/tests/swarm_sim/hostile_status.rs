//! Status messages that no honest client sends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId, DropReason};
use chunkcast_bittorrent::wire::extended::ExtendedHandshake;
use chunkcast_bittorrent::wire::message::Message;
use chunkcast_bittorrent::wire::status::{Status, StatusMessage};

use crate::hostile::{Bench, extended};

/// A downloader of seven pieces, and a peer that has said that it takes status messages under `id`.
fn understood(id: u8) -> (Bench, ConnId) {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    let handshake = ExtendedHandshake {
        cc_status: Some(id),
        ..ExtendedHandshake::default()
    };
    b.say(conn, extended(0, handshake.encode()));
    (b, conn)
}

/// Payloads that were sent to the peer under `id`.
fn told(b: &Bench, conn: ConnId, id: u8) -> Vec<Bytes> {
    let to = b.sent.iter().filter(|(c, _)| *c == conn);
    to.filter_map(|(_, m)| match m {
        Message::Extended { id: i, payload } if *i == id => Some(payload.clone()),
        _ => None,
    })
    .collect()
}

#[test]
fn status_messages_that_cannot_be_read_soon_end_the_connection() {
    let bad: [&[u8]; 6] = [
        &[],
        &[0, 1],
        &[0, 0, 2, 0xff],
        &[0, 0, 3, 0x90, 0x90],
        &[1, 2, 3],
        &[0, 0, 2, 0, 0],
    ];
    let (mut b, conn) = understood(9);
    for n in 0..17 {
        b.pass(Duration::from_secs(1));
        let payload = Bytes::from_static(bad[n % bad.len()]);
        b.say(conn, extended(3, payload));
    }
    assert_eq!(b.drops(DropReason::BadExtended), 17);
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Protocol(DropReason::BadExtended))]
    );
}

#[test]
fn a_status_before_the_handshake_is_a_fault_and_a_later_kind_is_not() {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    b.say(conn, extended(3, Bytes::from_static(&[0, 0, 0])));
    assert_eq!(b.drops(DropReason::BadExtended), 1);
    let (mut b, conn) = understood(9);
    b.say(conn, extended(3, Bytes::from_static(&[200, 1, 2])));
    assert_eq!(b.drops(DropReason::BadExtended), 0);
    assert_eq!(b.drops(DropReason::UnknownExtended), 1);
}

#[test]
fn a_flood_of_status_messages_is_not_read_and_ends_the_connection() {
    let (mut b, conn) = understood(9);
    for n in 0..3000u32 {
        let fetching = ChunkSet::from_indices(7, [n % 7]);
        let status = StatusMessage::Status(Status { load: 0, fetching });
        b.say(conn, extended(3, status.encode()));
    }
    // a hundred a second are read
    assert_eq!(b.drops(DropReason::TooManyStatus), 2001);
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Flood(DropReason::TooManyStatus))]
    );
    // at the rate that is allowed nobody is closed
    let (mut b, conn) = understood(9);
    for n in 0..300u32 {
        b.pass(Duration::from_secs(1));
        let fetching = ChunkSet::from_indices(7, [n % 7]);
        let status = StatusMessage::Status(Status { load: 0, fetching });
        b.say(conn, extended(3, status.encode()));
    }
    assert_eq!(b.swarm.stats().drops, BTreeMap::new());
    assert_eq!(b.closed, vec![]);
}

#[test]
fn pings_are_answered_at_a_bounded_rate_and_only_under_an_id_of_the_peer() {
    let ping = StatusMessage::Ping(77).encode();
    let (mut b, conn) = understood(9);
    for _ in 0..200 {
        b.say(conn, extended(3, ping.clone()));
    }
    let pong = StatusMessage::Pong(77).encode();
    let told = told(&b, conn, 9);
    let pongs = told.iter().filter(|p| **p == pong).count();
    assert!((1..=100).contains(&pongs), "{pongs} answers");
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    b.say(conn, extended(0, ExtendedHandshake::default().encode()));
    let before = b.sent.len();
    b.say(conn, extended(3, ping));
    assert_eq!(b.sent.len(), before, "no id, no answer");
}

#[test]
fn a_peer_that_answers_no_ping_of_ours_is_not_nearer_by_that() {
    let (mut b, conn) = understood(9);
    let ping = told(&b, conn, 9)
        .iter()
        .find_map(|p| match StatusMessage::decode(p, Some(7)) {
            Ok(StatusMessage::Ping(number)) => Some(number),
            _ => None,
        });
    let number = ping.expect("the end that did not dial measures");
    b.now += Duration::from_millis(50);
    for guess in [0, number.wrapping_add(1)] {
        b.say(conn, extended(3, StatusMessage::Pong(guess).encode()));
    }
    assert_eq!(b.drops(DropReason::Unasked), 2);
    assert_eq!(b.swarm.stats().peers[0].rtt, None);
    let pong = StatusMessage::Pong(number).encode();
    b.say(conn, extended(3, pong.clone()));
    assert_eq!(
        b.swarm.stats().peers[0].rtt,
        Some(Duration::from_millis(50))
    );
    // the answer counts once
    b.say(conn, extended(3, pong));
    assert_eq!(b.drops(DropReason::Unasked), 3);
}
