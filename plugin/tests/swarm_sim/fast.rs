//! The Fast extension (BEP 6): what may be asked for while choked, and what hints and refusals are believed.

use std::collections::BTreeSet;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId, DropReason, SwarmConfig};
use chunkcast_bittorrent::wire::extended::ExtendedHandshake;
use chunkcast_bittorrent::wire::message::{BlockRef, Message};

use crate::hostile::{Bench, extended};
use crate::world::{Content, Script, World};

/// A hundred pieces of a block each, of which these are held.
fn bench(held: std::ops::Range<u32>, configure: impl FnOnce(&mut SwarmConfig)) -> Bench {
    let content = Content::random(100 << 14, 1 << 14, 99);
    Bench::of(content, Some(ChunkSet::from_indices(100, held)), configure)
}

/// One slot for everybody.
fn one_slot(config: &mut SwarmConfig) {
    config.client.unlimited_up_to = 0;
    config.client.slots = 1;
    config.client.reciprocal_slots = 0;
    config.client.stranger_slots = 1;
}

fn whole(piece: u32) -> BlockRef {
    let (begin, len) = (0, 1 << 14);
    BlockRef { piece, begin, len }
}

/// A peer that has nothing and wants something.
fn starting(b: &mut Bench, n: u64) -> ConnId {
    let conn = b.connect(n, true, true);
    b.say(conn, Message::HaveNone);
    b.say(conn, Message::Interested);
    conn
}

/// The pieces that the peer may ask for while it is choked.
fn named(b: &Bench, conn: ConnId) -> Vec<u32> {
    let to_it = b.sent.iter().filter(|(c, _)| *c == conn);
    let named = to_it.filter_map(|(_, m)| match m {
        Message::AllowedFast(piece) => Some(*piece),
        _ => None,
    });
    named.collect()
}

/// Whether a request is refused; one that is not is answered at once.
fn refuses(b: &mut Bench, conn: ConnId, r: BlockRef) -> bool {
    let reject = (conn, Message::Reject(r));
    b.sent.retain(|sent| *sent != reject);
    b.say(conn, Message::Request(r));
    while let Some((conn, block)) = b.reads.pop() {
        let data = Some(b.content.block(block));
        b.swarm.handle_block_read(conn, block, data, b.now);
        b.drain();
    }
    b.sent.contains(&reject)
}

#[test]
fn who_has_to_wait_is_named_ten_pieces_and_may_have_each_twice() {
    let mut b = bench(0..50, |_| ());
    let conns: Vec<ConnId> = (1..=6).map(|n| starting(&mut b, n)).collect();
    for conn in &conns[..4] {
        assert_eq!(named(&b, *conn), [0; 0], "it is served");
    }
    let pieces = named(&b, conns[4]);
    let different: BTreeSet<u32> = pieces.iter().copied().collect();
    assert_eq!(different.len(), 10);
    assert!(different.iter().all(|piece| *piece < 100));
    assert_eq!(
        named(&b, conns[5]),
        pieces,
        "an address of the same network"
    );
    // what we hold of them is sent, twice
    let conn = conns[4];
    let held = *pieces.iter().find(|p| **p < 50).unwrap();
    assert!(!refuses(&mut b, conn, whole(held)));
    assert!(!refuses(&mut b, conn, whole(held)));
    let sent = (b.sent.iter()).filter(|(c, m)| *c == conn && matches!(m, Message::Piece { .. }));
    assert_eq!(sent.count(), 2);
    assert!(refuses(&mut b, conn, whole(held)));
    assert_eq!(b.drops(DropReason::ChokedRequest), 1);
    // nothing else is
    let other = (0..50).find(|p| !different.contains(p)).unwrap();
    assert!(refuses(&mut b, conn, whole(other)));
    assert_eq!(b.drops(DropReason::ChokedRequest), 2);
    let missing = *pieces.iter().find(|p| **p >= 50).unwrap();
    assert!(refuses(&mut b, conn, whole(missing)));
    assert_eq!(b.drops(DropReason::NotHeld), 1);
    // another address has its own share; to come again does not renew it
    assert!(!refuses(&mut b, conns[5], whole(held)));
    b.swarm.handle_disconnected(conn, b.now);
    b.drain();
    let again = b.connect_again(5, 105);
    b.say(again, Message::HaveNone);
    b.say(again, Message::Interested);
    assert_eq!(named(&b, again).len(), 10);
    assert!(refuses(&mut b, again, whole(held)));
}

#[test]
fn nothing_is_named_to_whom_it_is_not_for() {
    // who has ten pieces
    let mut b = bench(0..50, one_slot);
    starting(&mut b, 1);
    let conn = b.connect(2, true, true);
    let ten = ChunkSet::from_indices(100, 60..70);
    b.say(conn, Message::Bitfield(ten.as_bytes().to_vec().into()));
    b.say(conn, Message::Interested);
    assert_eq!(named(&b, conn), [0; 0]);
    // who does not know the extension, and a client of this kind
    let conn = b.connect(3, false, true);
    b.say(conn, Message::Interested);
    assert_eq!(named(&b, conn), [0; 0]);
    let shake = ExtendedHandshake {
        cc_status: Some(3),
        ..ExtendedHandshake::default()
    };
    for n in [4, 5] {
        let conn = b.connect(n, true, true);
        b.say(conn, extended(0, shake.encode()));
        b.say(conn, Message::HaveNone);
        b.say(conn, Message::Interested);
        assert_eq!(named(&b, conn), [0; 0]);
    }
    // whoever is shown pieces one by one
    let mut b = bench(0..100, one_slot);
    for n in [1, 2, 3] {
        let conn = starting(&mut b, n);
        assert_eq!(named(&b, conn), [0; 0]);
    }
    // of seven pieces one would be too much
    let mut b = Bench::of(
        Content::random(7 << 14, 1 << 14, 1),
        Some(ChunkSet::from_indices(7, [1])),
        one_slot,
    );
    for n in [1, 2] {
        let conn = starting(&mut b, n);
        assert_eq!(named(&b, conn), [0; 0]);
    }
}

/// A seed that chokes us and names these pieces.
fn choking(b: &mut Bench, n: u64, pieces: &[u32]) -> ConnId {
    let conn = b.connect(n, true, true);
    b.say(conn, Message::HaveAll);
    for piece in pieces {
        b.say(conn, Message::AllowedFast(*piece));
    }
    conn
}

fn asked(b: &Bench, conn: ConnId) -> Vec<u32> {
    let of = b.asked.iter().filter(|(c, _)| *c == conn);
    of.map(|(_, block)| block.piece).collect()
}

#[test]
fn who_chokes_us_is_asked_for_what_it_names_until_we_have_ten_pieces() {
    let mut b = bench(0..0, |_| ());
    let conn = choking(&mut b, 1, &[5, 7]);
    assert_eq!(asked(&b, conn), [5, 7]);
    let data = b.content.block(whole(5));
    b.say(
        conn,
        Message::Piece {
            piece: 5,
            begin: 0,
            data,
        },
    );
    assert_eq!(b.swarm.stats().received, 1 << 14);
    for (held, expected) in [(9, vec![50]), (10, vec![])] {
        let mut b = bench(0..held, |_| ());
        let conn = choking(&mut b, 1, &[50]);
        assert_eq!(asked(&b, conn), expected, "{held} pieces");
    }
}

#[test]
fn what_a_choking_peer_refuses_or_does_not_send_is_asked_of_others_and_not_of_it_again() {
    for refused in [true, false] {
        let mut b = bench(0..0, |_| ());
        let conn = choking(&mut b, 1, &[5]);
        assert_eq!(asked(&b, conn), [5]);
        b.asked.clear();
        if refused {
            b.say(conn, Message::Reject(whole(5)));
        }
        for _ in 0..4 * 15 {
            b.pass(Duration::from_millis(250));
        }
        assert_eq!(b.swarm.stats().outstanding, 0);
        assert_eq!(asked(&b, conn), [0; 0]);
        let server = choking(&mut b, 2, &[]);
        b.say(server, Message::Unchoke);
        let mut most = BTreeSet::new();
        // one window after the other
        while let Some((c, r)) = b.asked.iter().find(|(c, _)| *c == server).copied() {
            b.asked.remove(&(c, r));
            if !most.insert(r.piece) {
                break;
            }
            b.say(c, Message::Reject(r));
            b.pass(Duration::from_secs(9));
        }
        assert!(most.contains(&5), "{most:?}");
    }
}

#[test]
fn a_choke_says_nothing_of_requests_if_refusals_are_explicit() {
    for fast in [true, false] {
        let mut b = bench(0..0, |_| ());
        let conn = b.connect(1, fast, false);
        b.say(
            conn,
            Message::Bitfield(vec![0xff; 12].into_iter().chain([0xf0]).collect()),
        );
        b.say(conn, Message::Unchoke);
        let before = b.swarm.stats().outstanding;
        assert!(before > 0);
        b.say(conn, Message::Choke);
        let left = b.swarm.stats().outstanding;
        assert_eq!(left, if fast { before } else { 0 });
    }
}

#[test]
fn hints_that_make_no_sense_are_counted_and_bounded() {
    let mut b = bench(0..20, |_| ());
    let conn = b.connect(1, true, true);
    b.say(conn, Message::AllowedFast(100));
    b.say(conn, Message::Suggest(u32::MAX));
    b.say(conn, Message::Suggest(99));
    assert_eq!(b.drops(DropReason::BadHint), 2);
    for piece in 0..100 {
        b.say(conn, Message::AllowedFast(piece));
    }
    assert_eq!(b.drops(DropReason::TooManyHints), 36);
    b.say(conn, Message::AllowedFast(0));
    assert_eq!(b.drops(DropReason::Redundant), 1);
    b.say(conn, Message::Reject(whole(3)));
    assert_eq!(b.drops(DropReason::Unasked), 1);
    assert_eq!(b.closed, []);
    for _ in 0..15 {
        b.say(conn, Message::AllowedFast(100));
    }
    let bad = CloseReason::Protocol(DropReason::BadHint);
    assert_eq!(b.closed, [(conn, bad)]);
}

/// A seed that serves nobody but sends some pieces to anyone.
struct Generous {
    content: Content,
    pieces: Vec<u32>,
}

impl Script for Generous {
    fn connected(&mut self, _: ConnId) -> Vec<(Duration, Message)> {
        let named = self.pieces.iter().map(|piece| Message::AllowedFast(*piece));
        let says = [Message::HaveAll].into_iter().chain(named);
        says.map(|msg| (Duration::ZERO, msg)).collect()
    }

    fn message(&mut self, _: ConnId, msg: Message, _: Instant) -> Vec<(Duration, Message)> {
        let Message::Request(r) = msg else {
            return Vec::new();
        };
        assert!(self.pieces.contains(&r.piece), "asked for {r:?}");
        let data = self.content.block(r);
        let (piece, begin) = (r.piece, r.begin);
        vec![(Duration::ZERO, Message::Piece { piece, begin, data })]
    }
}

#[test]
fn the_first_pieces_come_from_seeds_that_choke() {
    let content = Content::random(640 << 10, 32 << 10, 4);
    let mut w = World::new(4);
    w.directory = false;
    let get = w.add(&content, Some(content.none()));
    for pieces in [vec![1, 4], vec![4, 6]] {
        let content = content.clone();
        let seed = w.add_script(Generous { content, pieces }, true);
        w.connect(get, seed);
    }
    w.run_for(Duration::from_secs(20));
    let held: Vec<u32> = w.node(get).disk.keys().copied().collect();
    assert_eq!(held, [1, 4, 6]);
    assert_eq!(w.node(get).swarm.stats().drops, Default::default());
}
