//! Among clients of other kinds: what they give who is served well, and what we give who gives.

use std::collections::VecDeque;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::ConnId;
use chunkcast_bittorrent::wire::message::{BlockRef, Message};

use crate::world::{Content, Script, World};

/// Requests that it keeps outstanding.
const PIPELINE: usize = 8;

/// A stock client (BEP 3) in a swarm of which only the part is modelled that concerns us: every ten seconds it unchokes us if we are
/// among its three best, and for thirty seconds of every four minutes as its optimistic unchoke.
struct Stock {
    content: Content,
    held: ChunkSet,
    conn: Option<ConnId>,
    /// What the third best of its other peers sends it, bytes a second; `None`: it serves nobody.
    others: Option<u64>,
    /// Which thirty seconds of the four minutes are ours.
    turn: u64,
    serves_us: bool,
    /// What we sent it in the last twenty seconds.
    received: VecDeque<(Instant, u64)>,
    choked: bool,
    outstanding: usize,
    next: u32,
    seconds: u64,
}

impl Stock {
    fn new(content: &Content, held: ChunkSet, others: Option<u64>, turn: u64) -> Self {
        Self {
            content: content.clone(),
            held,
            conn: None,
            others,
            turn,
            serves_us: false,
            received: VecDeque::new(),
            choked: true,
            outstanding: 0,
            next: 0,
            seconds: 0,
        }
    }

    fn ask(&mut self) -> Vec<(Duration, Message)> {
        let blocks = self.content.pieces() * 4;
        let mut says = Vec::new();
        while !self.choked && self.outstanding < PIPELINE {
            let (piece, begin) = (self.next / 4, (self.next % 4) << 14);
            self.next = (self.next + 1) % blocks;
            if !self.held.contains(piece) {
                let len = 1 << 14;
                self.outstanding += 1;
                says.push((
                    Duration::ZERO,
                    Message::Request(BlockRef { piece, begin, len }),
                ));
            }
        }
        says
    }
}

impl Script for Stock {
    fn connected(&mut self, conn: ConnId) -> Vec<(Duration, Message)> {
        self.conn = Some(conn);
        let bits = self.held.as_bytes().to_vec().into();
        [Message::Bitfield(bits), Message::Interested]
            .map(|msg| (Duration::ZERO, msg))
            .into()
    }

    fn message(&mut self, _: ConnId, msg: Message, now: Instant) -> Vec<(Duration, Message)> {
        match msg {
            Message::Choke => {
                self.choked = true;
                self.outstanding = 0;
            }
            Message::Unchoke => self.choked = false,
            Message::Piece { data, .. } => {
                self.received.push_back((now, data.len() as u64));
                self.outstanding = self.outstanding.saturating_sub(1);
            }
            Message::Request(r) if self.serves_us && self.held.contains(r.piece) => {
                let piece = Message::Piece {
                    piece: r.piece,
                    begin: r.begin,
                    data: self.content.block(r),
                };
                return vec![(Duration::ZERO, piece)];
            }
            _ => {}
        }
        self.ask()
    }

    fn has_clock(&self) -> bool {
        true
    }

    fn second(&mut self, now: Instant) -> Option<(ConnId, Vec<Message>)> {
        self.seconds += 1;
        let conn = self.conn.filter(|_| self.seconds.is_multiple_of(10))?;
        let window = Duration::from_secs(20);
        self.received.retain(|(at, _)| now - *at <= window);
        let rate = self.received.iter().map(|(_, bytes)| bytes).sum::<u64>() / 20;
        let optimistic = self.seconds / 30 % 8 == self.turn % 8;
        let serves = self
            .others
            .is_some_and(|others| optimistic || rate >= others);
        if std::mem::replace(&mut self.serves_us, serves) == serves {
            return None;
        }
        let says = if serves {
            Message::Unchoke
        } else {
            Message::Choke
        };
        Some((conn, vec![says]))
    }
}

/// Bytes that a client with an uplink of 200 kB/s has got of a dozen stock clients, of which so many serve nobody, and those
/// that each of them got.
fn among_stock_clients(idle: usize, slots: usize, uplink: u64, seconds: u64) -> (u64, Vec<u64>) {
    let content = Content::random(32 << 20, 64 << 10, 3);
    let half = content.pieces() / 2;
    let mut w = World::new(3);
    w.directory = false;
    let ours = ChunkSet::from_indices(content.pieces(), 0..half);
    let us = w.add_with(&content, Some(ours), None, |config| {
        config.client.stranger_slots = slots;
    });
    w.set_uplink(us, 200_000);
    for n in 0..12 {
        let held = ChunkSet::from_indices(content.pieces(), half..content.pieces());
        let others = (n >= idle).then_some(30_000);
        let stock = w.add_script(Stock::new(&content, held, others, n as u64), false);
        w.set_uplink(stock, uplink);
        w.connect(stock, us);
    }
    w.run_for(Duration::from_secs(seconds));
    let stats = w.node(us).swarm.stats();
    assert!(
        stats.missing > 0,
        "it still has to give something to get something"
    );
    let sent = stats.peers.iter().map(|p| p.uploaded).collect();
    (stats.received, sent)
}

#[test]
fn four_slots_of_some_width_are_reciprocated_where_twelve_thin_ones_are_not() {
    let (thin, _) = among_stock_clients(0, 0, 50_000, 95);
    let (wide, _) = among_stock_clients(0, 4, 50_000, 95);
    assert!(wide > thin * 3 / 2, "{wide} bytes in place of {thin}");
}

#[test]
fn who_serves_us_gets_more_than_who_serves_nobody() {
    let (_, sent) = among_stock_clients(8, 4, 25_000, 150);
    let (idle, serving) = sent.split_at(8);
    // a third of the time goes by until it is known who is who
    let (idle, serving) = (mean(idle), mean(serving));
    assert!(
        3 * serving > 4 * idle,
        "{serving} bytes, and {idle} to the idle"
    );
}

/// A seed that answers what has come only once a second, and then all of it.
struct OnceASecond {
    content: Content,
    conn: Option<ConnId>,
    asked: Vec<BlockRef>,
}

impl Script for OnceASecond {
    fn connected(&mut self, conn: ConnId) -> Vec<(Duration, Message)> {
        self.conn = Some(conn);
        let bits = self.content.full().as_bytes().to_vec().into();
        [Message::Bitfield(bits), Message::Unchoke]
            .map(|msg| (Duration::ZERO, msg))
            .into()
    }

    fn message(&mut self, _: ConnId, msg: Message, _: Instant) -> Vec<(Duration, Message)> {
        match msg {
            Message::Request(r) => self.asked.push(r),
            Message::Cancel(r) => self.asked.retain(|a| *a != r),
            _ => {}
        }
        Vec::new()
    }

    fn has_clock(&self) -> bool {
        true
    }

    fn second(&mut self, _: Instant) -> Option<(ConnId, Vec<Message>)> {
        let blocks = std::mem::take(&mut self.asked).into_iter();
        let says = blocks.map(|r| Message::Piece {
            piece: r.piece,
            begin: r.begin,
            data: self.content.block(r),
        });
        Some((self.conn?, says.collect()))
    }
}

#[test]
fn who_answers_once_a_second_is_asked_for_more_each_time() {
    let content = Content::random(16 << 20, 64 << 10, 5);
    let mut w = World::new(5);
    w.directory = false;
    let seed = OnceASecond {
        content: content.clone(),
        conn: None,
        asked: Vec::new(),
    };
    let seed = w.add_script(seed, false);
    let us = w.add_with(
        &content,
        Some(ChunkSet::empty(content.pieces())),
        None,
        |_| {},
    );
    w.connect(us, seed);
    w.run_for(Duration::from_secs(20));
    // its uplink carries 2.5 MB/s; eight blocks a second would be 2.6 MB by now
    assert!(
        w.node(us).complete_at.is_some(),
        "{:?}",
        w.node(us).swarm.stats().received
    );
}

fn mean(bytes: &[u64]) -> u64 {
    bytes.iter().sum::<u64>() / bytes.len() as u64
}
