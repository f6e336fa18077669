//! Round-trip times are measured on while a neighbour may turn out to be nearer.

use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::{ConnId, DropReason};
use chunkcast_bittorrent::wire::extended::ExtendedHandshake;
use chunkcast_bittorrent::wire::message::Message;
use chunkcast_bittorrent::wire::status::StatusMessage;

use crate::hostile::{Bench, extended};
use crate::world::{Content, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(250);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A downloader that has a neighbour 1 ms away and dialled another that took so long to connect and says that it takes
/// status messages under 9.
fn beside_a_near_one(rtt: Duration) -> (Bench, ConnId) {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    b.connect_with(1, true, true, Some(ms(1)));
    let conn = b.connect_with(2, true, true, Some(rtt));
    shake(&mut b, conn);
    (b, conn)
}

fn shake(b: &mut Bench, conn: ConnId) {
    let handshake = ExtendedHandshake {
        cc_status: Some(9),
        ..ExtendedHandshake::default()
    };
    b.say(conn, extended(0, handshake.encode()));
}

/// The numbers of the pings that the peer was sent.
fn pings(b: &Bench, conn: ConnId) -> Vec<u32> {
    let to = b.sent.iter().filter(|(c, _)| *c == conn);
    to.filter_map(|(_, m)| match m {
        Message::Extended { id: 9, payload } => match StatusMessage::decode(payload, Some(7)) {
            Ok(StatusMessage::Ping(number)) => Some(number),
            _ => None,
        },
        _ => None,
    })
    .collect()
}

fn until_pings(b: &mut Bench, conn: ConnId, count: usize) {
    let until = b.now + MINUTE;
    while pings(b, conn).len() < count {
        assert!(b.now < until, "ping {count} is not sent");
        b.pass(STEP);
    }
}

fn pong(b: &mut Bench, conn: ConnId, number: u32) {
    b.say(conn, extended(3, StatusMessage::Pong(number).encode()));
}

/// Lets time pass, each ping being answered after `rtt`; when the pings were sent.
fn answering(b: &mut Bench, conn: ConnId, rtt: Duration, time: Duration) -> Vec<Instant> {
    let (until, mut at) = (b.now + time, Vec::new());
    while b.now < until {
        let before = pings(b, conn).len();
        b.pass(STEP);
        if let Some(&number) = pings(b, conn).get(before) {
            at.push(b.now);
            b.now += rtt;
            pong(b, conn, number);
        }
    }
    at
}

/// Whether the peer counts as near, and its round-trip time.
fn seen(b: &mut Bench, conn: ConnId) -> (bool, Option<Duration>) {
    b.pass(STEP);
    let of = chunkcast::client::NeighbourId::from(conn);
    let view = b.swarm.client().neighbours().find(|v| v.id == of).unwrap();
    (view.near, view.rtt)
}

#[test]
fn a_neighbour_first_measured_behind_a_full_queue_becomes_near_with_a_later_ping() {
    let (mut b, conn) = beside_a_near_one(ms(80));
    assert_eq!(seen(&mut b, conn), (false, Some(ms(80))));
    // the queue is full for a while
    answering(&mut b, conn, ms(70), 5 * SECOND);
    assert_eq!(seen(&mut b, conn), (false, Some(ms(70))));
    answering(&mut b, conn, ms(1), 10 * SECOND);
    assert_eq!(seen(&mut b, conn), (true, Some(ms(1))));
}

#[test]
fn a_neighbour_below_the_floor_is_not_pinged() {
    let (mut b, conn) = beside_a_near_one(ms(6));
    b.pass(MINUTE);
    assert_eq!(pings(&b, conn), [0; 0], "the connect time says it all");
    let (mut b, conn) = beside_a_near_one(ms(7));
    let at = answering(&mut b, conn, ms(5), 2 * MINUTE);
    assert_eq!(at.len(), 1, "and so does one answer");
}

#[test]
fn the_pauses_between_pings_grow_from_one_second_to_ten() {
    let (mut b, conn) = beside_a_near_one(ms(50));
    let begin = b.now;
    let at = answering(&mut b, conn, ms(50), 2 * MINUTE);
    let mut before = begin;
    let pauses: Vec<Duration> = at
        .iter()
        .map(|at| at.saturating_since(std::mem::replace(&mut before, *at)))
        .collect();
    let expected = [1, 1, 2, 4, 8].map(Duration::from_secs);
    let late = |(pause, due): (&Duration, &Duration)| *pause >= *due && *pause <= *due + 2 * STEP;
    assert!(pauses.iter().zip(&expected).all(late), "{pauses:?}");
    assert!(
        pauses[5..].iter().all(|p| late((p, &(10 * SECOND)))),
        "{pauses:?}"
    );
    assert!(pauses.len() >= 14, "{pauses:?}");
}

#[test]
fn who_does_not_answer_is_pinged_one_at_a_time_and_three_times_in_all() {
    let (mut b, conn) = beside_a_near_one(ms(50));
    let begin = b.now;
    let mut at = Vec::new();
    while b.now.saturating_since(begin) < 10 * MINUTE {
        let before = pings(&b, conn).len();
        // it lives, and so stays connected
        b.say(conn, Message::KeepAlive);
        b.pass(STEP);
        let more = pings(&b, conn).len() - before;
        at.extend((0..more).map(|_| b.now));
    }
    assert_eq!(at.len(), 3, "{at:?}");
    let apart = |w: &[Instant]| w[1].saturating_since(w[0]) >= 10 * SECOND;
    assert!(at.windows(2).all(apart), "two under way at once: {at:?}");
    // an end that has measured nothing does the same
    let conn = b.connect(3, true, true);
    shake(&mut b, conn);
    assert_eq!(pings(&b, conn).len(), 1, "at once");
    for _ in 0..400 {
        b.say(conn, Message::KeepAlive);
        b.pass(STEP);
    }
    assert_eq!(pings(&b, conn).len(), 3);
}

#[test]
fn an_answer_that_comes_between_starts_the_count_of_lost_pings_anew() {
    let (mut b, conn) = beside_a_near_one(ms(50));
    let mut answered = 0;
    for _ in 0..4 * 180 {
        let before = pings(&b, conn).len();
        b.say(conn, Message::KeepAlive);
        b.pass(STEP);
        let all = pings(&b, conn);
        if all.len() > before && all.len().is_multiple_of(3) {
            b.now += ms(50);
            pong(&mut b, conn, all[before]);
            answered += 1;
        }
    }
    assert!(answered >= 4, "{answered} answers");
    assert_eq!(b.drops(DropReason::Unasked), 0);
}

#[test]
fn an_answer_with_a_wrong_or_an_old_number_does_not_count() {
    let (mut b, conn) = beside_a_near_one(ms(80));
    until_pings(&mut b, conn, 1);
    let first = pings(&b, conn)[0];
    pong(&mut b, conn, first.wrapping_add(1));
    assert_eq!(b.drops(DropReason::Unasked), 1);
    assert_eq!(seen(&mut b, conn), (false, Some(ms(80))));
    // it is given up, and the next is under way
    until_pings(&mut b, conn, 2);
    pong(&mut b, conn, first);
    assert_eq!(b.drops(DropReason::Unasked), 2);
    b.now += ms(1);
    let second = pings(&b, conn)[1];
    pong(&mut b, conn, second);
    pong(&mut b, conn, second);
    assert_eq!(b.drops(DropReason::Unasked), 3, "it counts once");
    assert_eq!(seen(&mut b, conn), (true, Some(ms(1))));
}

#[test]
fn both_ends_learn_that_they_are_near_when_the_queues_are_empty_again() {
    let content = Content::random(1 << 20, 64 << 10, 6);
    let mut w = World::new(6);
    w.directory = false;
    w.latency = ms(1);
    let [a, b] = [(); 2].map(|()| w.add(&content, Some(content.none())));
    w.far.insert(a, ms(40));
    w.connect(a, b);
    w.run_for(SECOND);
    let rtt = |w: &mut World, n: usize| w.node(n).swarm.stats().peers[0].rtt;
    for n in [a, b] {
        let first = rtt(&mut w, n);
        assert!(first.is_some_and(|r| r >= ms(82)), "{n}: {first:?}");
    }
    w.run_for(30 * SECOND);
    w.far.clear();
    w.run_for(30 * SECOND);
    for n in [a, b] {
        let least = rtt(&mut w, n);
        assert!(least.is_some_and(|r| r < ms(4)), "{n}: {least:?}");
    }
}
