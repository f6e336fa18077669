//! What our own rate limits do to a connection is not held against the peer.

use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::swarm::{ConnId, Limits};
use chunkcast_bittorrent::wire::message::{BlockRef, Message};

use crate::hostile::Bench;

const STEP: Duration = Duration::from_millis(250);

/// A downloader that has asked a seed for something.
fn asking(limits: Limits) -> (Bench, ConnId) {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    b.swarm.set_limits(limits);
    let conn = seed(&mut b, 1);
    assert!(!b.asked.is_empty());
    (b, conn)
}

fn seed(b: &mut Bench, n: u64) -> ConnId {
    let conn = b.connect_with(n, true, false, Some(Duration::from_millis(20)));
    b.say(conn, Message::HaveAll);
    b.say(conn, Message::Unchoke);
    conn
}

/// Lets time pass in which limits hold what the peer sends, or also what we send it.
fn hold(b: &mut Bench, conn: ConnId, seconds: u64, down: bool) {
    for _ in 0..4 * seconds {
        b.pass(STEP);
        let (down, up) = match down {
            true => (STEP, Duration::ZERO),
            false => (Duration::ZERO, STEP),
        };
        b.swarm.handle_held(conn, down, up, b.now);
        b.pass(Duration::ZERO);
    }
}

/// The first block that the peer owes arrives.
fn answer(b: &mut Bench, conn: ConnId) {
    let r = b.asked.first().expect("something is owed").1;
    let message = block(b, r);
    b.say(conn, message);
    b.asked.remove(&(conn, r));
}

fn block(b: &Bench, r: BlockRef) -> Message {
    Message::Piece {
        piece: r.piece,
        begin: r.begin,
        data: b.content.block(r),
    }
}

#[test]
fn a_peer_whose_blocks_we_do_not_read_is_not_given_up_for_ten_minutes() {
    let (mut b, conn) = asking(Limits::default());
    let asked = b.asked.clone();
    hold(&mut b, conn, 590, true);
    assert_eq!((b.swarm.stats().stalls, &b.asked), (0, &asked));
    assert!(b.closed.is_empty(), "{:?}", b.closed);
    // what comes counts, and begins the time anew
    let (_, first) = *asked.first().expect("something");
    let message = block(&b, first);
    b.say(conn, message);
    assert_eq!(b.swarm.stats().received, u64::from(first.len));
    hold(&mut b, conn, 590, true);
    assert_eq!(b.swarm.stats().stalls, 0);
    // but not for ever: a peer that sends junk for its share of the rate is left in the end
    hold(&mut b, conn, 30, true);
    assert!(b.swarm.stats().stalls >= 1);
}

#[test]
fn without_a_limit_silence_is_the_peers_fault() {
    let (mut b, _) = asking(Limits::default());
    for _ in 0..4 * 11 {
        b.pass(STEP);
    }
    assert_eq!(b.swarm.stats().stalls, 1);
}

#[test]
fn few_blocks_are_asked_for_at_a_low_rate() {
    let (mut b, conn) = asking(Limits::default().at_rates(Some(16 << 10), None));
    assert!(b.asked.len() <= 5, "{} blocks", b.asked.len());
    // of one peer a single one, once it is known to be held
    let mut most = 0;
    for _ in 0..8 {
        hold(&mut b, conn, 2, true);
        if b.asked.is_empty() {
            break;
        }
        answer(&mut b, conn);
        most = b.asked.len();
    }
    assert!(most <= 2, "{most} blocks at once");
}

#[test]
fn limits_at_rates_follow_them_and_are_unchanged_without() {
    let base = Limits::default();
    assert_eq!(base.at_rates(None, None), base);
    assert_eq!(base.at_rates(Some(1 << 30), Some(1 << 30)), base);
    let low = base.at_rates(Some(16 << 10), Some(16 << 10));
    assert_eq!((low.first_window, low.min_window), (1, 1));
    assert!(low.upload_budget <= 64 << 10 && low.upload_turn <= 64 << 10);
    assert!(low.peer_upload >= 16 << 10);
}

#[test]
fn a_peer_that_our_limit_does_not_send_to_is_not_taken_for_one_that_does_not_read() {
    for limited in [true, false] {
        let mut b = Bench::new(Some(ChunkSet::full(7)));
        let conn = b.connect(1, true, false);
        b.say(conn, Message::HaveNone);
        b.say(conn, Message::Interested);
        b.pass(Duration::from_secs(30));
        let r = BlockRef {
            piece: 0,
            begin: 0,
            len: 16 << 10,
        };
        b.say(conn, Message::Request(r));
        assert_eq!(b.reads, [(conn, r)], "it is served");
        let data = b.content.block(r);
        b.swarm.handle_block_read(conn, r, Some(data), b.now);
        let sending = |b: &Bench| b.swarm.stats().peers[0].sending;
        assert_eq!(sending(&b), 1);
        for _ in 0..4 * 20 {
            b.pass(STEP);
            if limited {
                b.swarm.handle_held(conn, Duration::ZERO, STEP, b.now);
            }
        }
        assert_eq!(sending(&b), usize::from(limited));
    }
}
