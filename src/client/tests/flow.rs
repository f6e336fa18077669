//! Many clients in virtual time: links with rates and delays, a directory, connections that die.
//!
//! A transfer of one chunk shares its sender's uplink and its receiver's downlink equally with the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::seq::SliceRandom;

use super::*;

const STEP: Duration = Duration::from_millis(10);
const PIPELINE: usize = 2;

#[derive(Clone, Debug)]
enum Message {
    All(ChunkSet),
    Have(u32),
    Fetching(ChunkSet),
    Interested(bool),
    Choke(bool),
    Closed,
}

#[derive(Debug)]
enum Event {
    Dialled {
        from: usize,
        to: usize,
    },
    Refused {
        from: usize,
        addr: SocketAddr,
    },
    Answer {
        to: usize,
        candidates: Vec<Candidate>,
    },
    Deliver {
        to: usize,
        conn: NeighbourId,
        message: Message,
    },
}

#[derive(Debug)]
struct Transfer {
    from: usize,
    to: usize,
    from_conn: NeighbourId,
    to_conn: NeighbourId,
    chunk: u32,
    left: f64,
    not_before: Instant,
}

#[derive(Debug, Clone)]
struct Conn {
    other: usize,
    theirs: NeighbourId,
    told_all: bool,
    serving: bool,
}

pub(super) struct Peer {
    pub(super) client: Client,
    pub(super) addr: SocketAddr,
    site: usize,
    up: f64,
    down: f64,
    pub(super) alive: bool,
    /// Sends nothing, though connected.
    pub(super) mute: bool,
    /// Never reports what it got.
    pub(super) silent: bool,
    conns: BTreeMap<NeighbourId, Conn>,
    published: Option<ChunkSet>,
    /// Times each chunk was received.
    pub(super) got: BTreeMap<u32, u32>,
    pub(super) order: Vec<u32>,
    pub(super) sent_chunks: u32,
    /// Chunks received from other sites.
    pub(super) from_far: u32,
    pub(super) lookups: u32,
    pub(super) publishes: u32,
    pub(super) finished: Option<Instant>,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) peers: Vec<Peer>,
    chunks: u32,
    chunk_bytes: f64,
    events: BTreeMap<(Instant, u64), Event>,
    seq: u64,
    transfers: Vec<Transfer>,
    rng: ChaCha8Rng,
    far_rtt: Duration,
    /// Whether clients tell each other what they are fetching.
    pub(super) tell_fetching: bool,
}

pub(super) const RATE: f64 = 2_500_000.0;

impl World {
    /// Chunks of 64 KiB.
    pub(super) fn new(chunks: u32, seed: u64) -> Self {
        Self {
            now: at(1.0),
            peers: Vec::new(),
            chunks,
            chunk_bytes: 65_536.0,
            events: BTreeMap::new(),
            seq: 0,
            transfers: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            far_rtt: Duration::from_millis(80),
            tell_fetching: false,
        }
    }

    /// Time to send the object once over one link.
    pub(super) fn bound(&self) -> f64 {
        f64::from(self.chunks) * self.chunk_bytes / RATE
    }

    pub(super) fn add(&mut self, site: usize, complete: bool) -> usize {
        self.add_with(site, complete, ClientConfig::default())
    }

    pub(super) fn add_with(&mut self, site: usize, complete: bool, config: ClientConfig) -> usize {
        let index = self.peers.len();
        let addr = SocketAddr::from((
            [
                10,
                0,
                u8::try_from(site).unwrap(),
                u8::try_from(index + 1).unwrap(),
            ],
            6881,
        ));
        let mut client = Client::new(config, self.rng.next_u64(), self.now);
        client.set_own_addrs(&[addr]);
        let held = if complete {
            ChunkSet::full(self.chunks)
        } else {
            ChunkSet::empty(self.chunks)
        };
        client.set_object(held, ChunkSet::full(self.chunks), self.now);
        self.peers.push(Peer {
            client,
            addr,
            site,
            up: RATE,
            down: RATE,
            alive: true,
            mute: false,
            silent: false,
            conns: BTreeMap::new(),
            published: None,
            got: BTreeMap::new(),
            order: Vec::new(),
            sent_chunks: 0,
            from_far: 0,
            lookups: 0,
            publishes: 0,
            finished: None,
        });
        index
    }

    fn rtt(&self, a: usize, b: usize) -> Duration {
        if self.peers[a].site == self.peers[b].site {
            Duration::from_millis(1)
        } else {
            self.far_rtt
        }
    }

    fn post(&mut self, after: Duration, event: Event) {
        self.events.insert((self.now + after, self.seq), event);
        self.seq += 1;
    }

    fn send(&mut self, from: usize, conn: NeighbourId, message: Message) {
        if let Some(c) = self.peers[from].conns.get(&conn).cloned() {
            let after = self.rtt(from, c.other) / 2;
            self.post(
                after,
                Event::Deliver {
                    to: c.other,
                    conn: c.theirs,
                    message,
                },
            );
        }
    }

    pub(super) fn kill(&mut self, index: usize) {
        self.peers[index].alive = false;
        for conn in self.peers[index].conns.keys().copied().collect::<Vec<_>>() {
            self.send(index, conn, Message::Closed);
        }
        self.transfers.retain(|t| t.from != index && t.to != index);
    }

    /// Runs until all living clients are complete; false when `limit` seconds were not enough.
    pub(super) fn run(&mut self, limit: f64) -> bool {
        let end = self.now + Duration::from_secs_f64(limit);
        while self.now < end {
            self.step();
            if self
                .peers
                .iter()
                .all(|p| !p.alive || p.client.is_complete())
            {
                return true;
            }
        }
        false
    }

    pub(super) fn step(&mut self) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            let event = entry.remove();
            self.handle(event);
        }
        self.move_bytes();
        for index in 0..self.peers.len() {
            if self.peers[index].alive {
                if self.peers[index]
                    .client
                    .poll_timeout()
                    .is_some_and(|t| t <= self.now)
                {
                    let now = self.now;
                    self.peers[index].client.handle_timeout(now);
                    self.drain(index);
                    let next = self.peers[index].client.poll_timeout();
                    assert!(
                        next.is_none_or(|t| t > now),
                        "busy loop: {next:?} at {now:?}"
                    );
                }
                self.drain(index);
            }
        }
        self.now += STEP;
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Refused { from, addr } => {
                self.peers[from].client.handle_dial_failed(addr, now);
                self.drain(from);
            }
            Event::Answer { to, candidates } => {
                self.peers[to].client.handle_answer(&candidates, now);
                self.drain(to);
            }
            Event::Dialled { from, to } => self.connect(from, to),
            Event::Deliver { to, conn, message } => {
                if !self.peers[to].alive || !self.peers[to].conns.contains_key(&conn) {
                    return;
                }
                let client = &mut self.peers[to].client;
                match message {
                    Message::All(held) => client.handle_chunks(conn, &held, now),
                    Message::Have(chunk) => {
                        client.handle_have(conn, chunk, now);
                    }
                    Message::Fetching(c) => client.handle_fetching(conn, &c, now),
                    Message::Interested(b) => client.handle_interested(conn, b, now),
                    Message::Choke(b) => client.handle_choked(conn, b, now),
                    Message::Closed => {
                        client.handle_disconnected(conn, now);
                        self.peers[to].conns.remove(&conn);
                        self.transfers
                            .retain(|t| !(t.to == to && t.to_conn == conn));
                    }
                }
                self.drain(to);
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        let (now, rtt) = (self.now, self.rtt(from, to));
        let (a, b) = (self.peers[from].addr, self.peers[to].addr);
        let ours = NeighbourId(self.seq * 2);
        let theirs = NeighbourId(self.seq * 2 + 1);
        self.seq += 1;
        let outbound = Connected {
            addr: b,
            listen: Some(b),
            outbound: true,
            rtt: Some(rtt),
            source: Source::Directory,
        };
        let inbound = Connected {
            addr: a,
            listen: Some(a),
            outbound: false,
            rtt: Some(rtt),
            source: Source::Incoming,
        };
        let conn = |other, theirs| Conn {
            other,
            theirs,
            told_all: false,
            serving: false,
        };
        let keep = self.peers[to].client.handle_connected(theirs, inbound, now) == Verdict::Keep;
        if keep {
            self.peers[to].conns.insert(theirs, conn(from, ours));
        }
        self.peers[from].conns.insert(ours, conn(to, theirs));
        if !keep {
            self.peers[from].client.handle_dial_failed(b, now);
            self.peers[from].conns.remove(&ours);
        } else if self.peers[from]
            .client
            .handle_connected(ours, outbound, now)
            == Verdict::Refuse
        {
            self.send(from, ours, Message::Closed);
            self.peers[from].conns.remove(&ours);
        }
        self.drain(to);
        self.drain(from);
    }

    fn drain(&mut self, index: usize) {
        let mut todo: VecDeque<Action> = VecDeque::new();
        while let Some(action) = todo
            .pop_front()
            .or_else(|| self.peers[index].client.poll_action())
        {
            self.act(index, action);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        match action {
            Action::LookUp(query) => {
                self.peers[index].lookups += 1;
                let candidates = self.answer(index, &query);
                self.post(
                    Duration::from_millis(50),
                    Event::Answer {
                        to: index,
                        candidates,
                    },
                );
            }
            Action::Publish { held, .. } => {
                self.peers[index].publishes += 1;
                self.peers[index].published = Some(held);
            }
            Action::Dial { addr, .. } => {
                let to = self.peers.iter().position(|p| p.addr == addr && p.alive);
                match to {
                    Some(to) => self.post(self.rtt(index, to), Event::Dialled { from: index, to }),
                    None => self.post(Duration::from_secs(3), Event::Refused { from: index, addr }),
                }
            }
            Action::Drop { peer, .. } => {
                self.send(index, peer, Message::Closed);
                self.peers[index].conns.remove(&peer);
                self.transfers
                    .retain(|t| !(t.to == index && t.to_conn == peer));
            }
            Action::Tell { .. } if !self.tell_fetching => {}
            Action::Tell { peer } => {
                let fetching = self.peers[index].client.fetching();
                self.send(index, peer, Message::Fetching(fetching));
            }
            Action::Interest { peer, interested } => {
                self.send(index, peer, Message::Interested(interested));
            }
            Action::Serve { peer, serve } => {
                if let Some(conn) = self.peers[index].conns.get_mut(&peer) {
                    conn.serving = serve;
                }
                self.send(index, peer, Message::Choke(!serve));
            }
            Action::Reveal {
                peer,
                what: Reveal::All,
            } => {
                let held = self.peers[index].client.held().clone();
                if let Some(conn) = self.peers[index].conns.get_mut(&peer) {
                    conn.told_all = true;
                }
                self.send(index, peer, Message::All(held));
            }
            Action::Reveal {
                peer,
                what: Reveal::Chunk(chunk),
            } => {
                self.send(index, peer, Message::Have(chunk));
            }
            Action::Ask { peer } => self.request(index, peer),
            // everybody is told of everybody by the directory of this model
            Action::Stop { .. } | Action::Introduce { .. } => {}
        }
    }

    fn answer(&mut self, asker: usize, query: &Query) -> Vec<Candidate> {
        let matches = |p: &Peer| match (&query.wanted, &p.published) {
            (_, None) => None,
            (Wanted::Any, Some(_)) => Some(1),
            (Wanted::Chunks(w), Some(held)) => Some(held.overlap(w)).filter(|m| *m > 0),
        };
        let mut found: Vec<Candidate> = (0..self.peers.len())
            .filter(|&i| i != asker && !query.ignore.contains(&self.peers[i].addr))
            .filter_map(|i| {
                let p = &self.peers[i];
                Some(Candidate {
                    addrs: vec![p.addr],
                    source: Source::Directory,
                    apart: Some(self.rtt(asker, i)),
                    matched: matches(p)?,
                    load: 0,
                    reachable: true,
                })
            })
            .collect();
        found.sort_by_key(|c| c.apart);
        let best = usize::from(query.p - query.mix).min(found.len());
        found[best..].shuffle(&mut self.rng);
        found.truncate(usize::from(query.p));
        found
    }

    fn request(&mut self, to: usize, to_conn: NeighbourId) {
        loop {
            let Some(conn) = self.peers[to].conns.get(&to_conn).cloned() else {
                return;
            };
            let busy = self
                .transfers
                .iter()
                .filter(|t| t.to == to && t.to_conn == to_conn)
                .count();
            if busy >= PIPELINE || !self.peers[conn.other].alive {
                return;
            }
            let now = self.now;
            let Some(chunk) = self.peers[to].client.next_chunk(to_conn, now) else {
                return;
            };
            assert!(
                self.peers[conn.other].client.held().contains(chunk),
                "asked for what it has not"
            );
            self.transfers.push(Transfer {
                from: conn.other,
                to,
                from_conn: conn.theirs,
                to_conn,
                chunk,
                left: self.chunk_bytes,
                not_before: now + self.rtt(conn.other, to),
            });
        }
    }

    fn move_bytes(&mut self) {
        let now = self.now;
        let active = |t: &Transfer, peers: &[Peer]| t.not_before <= now && !peers[t.from].mute;
        let mut ups = vec![0.0; self.peers.len()];
        let mut downs = vec![0.0; self.peers.len()];
        for t in self.transfers.iter().filter(|t| active(t, &self.peers)) {
            ups[t.from] += 1.0;
            downs[t.to] += 1.0;
        }
        let mut finished = Vec::new();
        for (i, t) in self.transfers.iter_mut().enumerate() {
            if !active(t, &self.peers) {
                continue;
            }
            let rate =
                (self.peers[t.from].up / ups[t.from]).min(self.peers[t.to].down / downs[t.to]);
            let bytes = (rate * STEP.as_secs_f64()).min(t.left);
            t.left -= bytes;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = bytes.round() as u64;
            self.peers[t.to]
                .client
                .handle_received(t.to_conn, whole, now);
            self.peers[t.from]
                .client
                .handle_sent(t.from_conn, whole, now);
            if t.left < 1.0 {
                finished.push(i);
            }
        }
        for i in finished.into_iter().rev() {
            let t = self.transfers.swap_remove(i);
            self.finish(&t);
        }
    }

    fn finish(&mut self, t: &Transfer) {
        let now = self.now;
        let far = self.peers[t.from].site != self.peers[t.to].site;
        self.peers[t.from].sent_chunks += 1;
        let peer = &mut self.peers[t.to];
        peer.from_far += u32::from(far);
        *peer.got.entry(t.chunk).or_default() += 1;
        peer.order.push(t.chunk);
        peer.client.handle_chunk_done(t.chunk, now);
        if peer.client.is_complete() {
            peer.finished = Some(now);
        }
        if !peer.silent {
            let tell: Vec<NeighbourId> = peer
                .conns
                .iter()
                .filter(|(_, c)| c.told_all)
                .map(|(id, _)| *id)
                .collect();
            for conn in tell {
                self.send(t.to, conn, Message::Have(t.chunk));
            }
        }
        self.drain(t.to);
        self.request(t.to, t.to_conn);
        self.drain(t.to);
    }
}

fn crowd(n: usize, chunks: u32, seed: u64) -> World {
    let mut world = World::new(chunks, seed);
    world.add(0, true);
    for _ in 0..n {
        world.add(0, false);
    }
    world
}

#[test]
fn everybody_finishes_and_fetches_each_chunk_once() {
    for n in [1, 2, 8, 20] {
        for seed in 0..3 {
            let mut world = crowd(n, 100, seed);
            let done = world.run(20.0 * world.bound() + 60.0);
            assert!(done, "{n} downloaders, seed {seed}");
            for peer in &world.peers[1..] {
                assert_eq!(peer.got.len(), 100);
                assert!(
                    peer.got.values().all(|times| *times == 1),
                    "{n} downloaders, seed {seed}"
                );
                assert!(!peer.order.is_sorted(), "file order");
            }
        }
    }
}

#[test]
fn among_equals_the_seed_sends_hardly_anything_twice() {
    for (n, seed) in [(8, 0), (8, 1), (8, 2), (16, 3)] {
        let mut world = crowd(n, 200, seed);
        assert!(world.run(20.0 * world.bound() + 60.0));
        let copies = f64::from(world.peers[0].sent_chunks) / 200.0;
        let slowest = world.peers[1..]
            .iter()
            .filter_map(|p| p.finished)
            .max()
            .unwrap();
        let factor = (slowest - at(1.0)).as_secs_f64() / world.bound();
        println!(
            "{n} downloaders, seed {seed}: copies {copies:.2}, slowest {factor:.2} of the bound"
        );
        assert!(copies <= 1.2, "{copies} copies left the seed");
        assert!(factor <= 1.4, "the slowest took {factor} of the bound");
    }
}

#[test]
fn clients_with_the_same_view_fetch_in_different_orders() {
    let mut world = crowd(2, 100, 4);
    assert!(world.run(600.0));
    assert_ne!(world.peers[1].order, world.peers[2].order);
}

#[test]
fn a_site_far_from_the_seed_fetches_hardly_more_than_one_copy() {
    for seed in 0..3 {
        let mut world = World::new(200, seed);
        world.add(0, true);
        for _ in 0..5 {
            world.add(1, false);
        }
        assert!(world.run(600.0));
        let far: u32 = world.peers[1..].iter().map(|p| p.from_far).sum();
        let copies = f64::from(far) / 200.0;
        println!("seed {seed}: {copies:.2} copies into the site");
        assert!(copies <= 1.3, "{copies} copies came into the site");
    }
}

#[test]
fn the_chunks_of_a_peer_that_dies_come_from_others() {
    let mut world = crowd(6, 100, 5);
    for _ in 0..100 {
        world.step();
    }
    world.kill(1);
    world.kill(2);
    assert!(world.run(300.0));
}

#[test]
fn nobody_starves_when_one_neighbour_never_gets_what_it_was_shown() {
    let mut world = crowd(4, 60, 6);
    world.peers[1].silent = true;
    world.peers[1].down = 0.0001;
    let end = at(200.0);
    let done = |w: &World| [2, 3, 4].iter().all(|i| w.peers[*i].client.is_complete());
    while !done(&world) && world.now < end {
        world.step();
    }
    assert!(done(&world));
    let once: BTreeSet<u32> = world.peers[2].got.keys().copied().collect();
    assert_eq!(once.len(), 60);
}

#[test]
fn same_seed_same_run() {
    let orders = |seed| {
        let mut world = crowd(5, 60, seed);
        assert!(world.run(600.0));
        world
            .peers
            .iter()
            .map(|p| p.order.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(orders(7), orders(7));
    assert_ne!(orders(7), orders(8));
}

/// Copies of the object that came into three sites of five, together.
fn copies_across(seed: u64, tell_fetching: bool) -> f64 {
    let mut world = World::new(60, seed);
    world.chunk_bytes = 1_048_576.0;
    world.tell_fetching = tell_fetching;
    world.add(0, true);
    for i in 0..14 {
        world.add(i % 3, false);
    }
    assert!(world.run(20.0 * world.bound() + 60.0));
    f64::from(world.peers.iter().map(|p| p.from_far).sum::<u32>()) / 60.0
}

#[test]
fn telling_what_is_fetched_saves_copies_between_sites() {
    let sum = |tell| (0..3).map(|seed| copies_across(seed, tell)).sum::<f64>();
    let (silent, told) = (sum(false), sum(true));
    println!("{silent:.2} copies in three runs, {told:.2} when told");
    assert!(
        told < 0.95 * silent,
        "{told} copies, {silent} without telling"
    );
}
