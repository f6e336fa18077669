//! A BitTorrent client as they were in 2008: random neighbours from a tracker, rarest chunk first, tit for tat.
//!
//! - Neighbours: a tracker names 50 random peers; a peer dials until it has 40 neighbours, accepts up to 80, and asks again
//!   each minute while it has fewer than 40.
//! - Chunks: the first four at random, then the rarest among the neighbours; one request at a time to each neighbour that
//!   unchokes it. When every missing chunk is under way, one of them is asked for a second time (end game).
//! - Choking: every 10 s a downloader serves the 3 neighbours that gave it most in the last 20 s, and one that is drawn anew
//!   each 30 s. A seed serves 4 in turn, as the mainline client since 4.0 (Legout et al., 2006): the last 3 to be
//!   unchoked stay and one is drawn, and in every third round the last 4 stay.
//!
//! # Differences from real clients
//! A chunk is the unit that is asked for and served: a server finishes the one that it has begun after it has choked, and the
//! end game cancels nothing. There is no peer exchange and no DHT.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::bits::{Bits, least};
use super::core::{Core, Input, Message, TIMEOUT};
use super::world::Peer;
use crate::chunks::ChunkSet;
use crate::time::Instant;

/// Peers that the tracker names.
const TOLD: usize = 50; // BEP 3: the mainline client asks for 50
/// Neighbours below which a peer dials and asks the tracker again.
const FEW: usize = 40; // mainline 4: min_peers
/// Neighbours above which it accepts none.
const MANY: usize = 80; // mainline 4: max_allow_in
/// Neighbours served for what they give.
const REGULAR: usize = 3; // mainline 4 at 10 Mbit/s or less, and the paper's comparison
/// Chunks that are drawn at random before the rarest are fetched.
const RANDOM_FIRST: u32 = 4; // mainline 4: rarest_first_cutoff
/// How long the tracker takes to answer.
const TRACKER: Duration = Duration::from_millis(200); // guess
/// Pause between two questions to it.
const AGAIN: Duration = Duration::from_secs(60); // guess: trackers allow little more
/// Time between two decisions about whom to serve.
const ROUND: Duration = Duration::from_secs(10); // BEP 3
/// Rounds that a neighbour drawn at random is served.
const OPTIMISTIC: u32 = 3; // BEP 3: 30 s

/// Alarms; larger ones are dials that have failed, by number of the connection.
const TOLD_NOW: u64 = 0;
const ASK_AGAIN: u64 = 1;
const DECIDE: u64 = 2;
const DIALS: u64 = 3;

/// Peers that have started, and addresses at which nobody is.
#[derive(Debug)]
pub(super) struct Tracker {
    /// Numbers of peers; those beyond the last peer are dead.
    known: Vec<usize>,
}

#[derive(Debug)]
struct Neighbour {
    conn: u64,
    has: Bits,
    /// Chunks that it has and we miss.
    useful: u32,
    /// We have told it that we want something.
    interested: bool,
    /// It wants something.
    wants: bool,
    /// It serves us.
    open: bool,
    /// We serve it since then.
    served: Option<Instant>,
    /// A chunk was sent on the connection.
    warm: bool,
    asked: Option<u32>,
    /// Chunks received in this round and in the last one.
    got: [u32; 2],
}

/// See the module.
pub(super) struct BitTorrent {
    me: usize,
    chunks: u32,
    tracker: Rc<RefCell<Tracker>>,
    held: Bits,
    /// Missing, and asked of nobody.
    free: Bits,
    /// Requests under way for each chunk.
    asked: Vec<u8>,
    /// Neighbours that have each chunk.
    rarity: Vec<u16>,
    neighbours: BTreeMap<usize, Neighbour>,
    conns: BTreeMap<u64, usize>,
    dialling: BTreeMap<u64, usize>,
    /// Peers to dial.
    told: Vec<usize>,
    /// Requests that wait for a transfer to end.
    waiting: VecDeque<(usize, u64, u32)>,
    optimistic: Option<usize>,
    round: u32,
}

/// All peers of a run, and their tracker.
pub(super) fn swarm(core: &Core) -> Vec<Box<dyn Peer>> {
    let peers = core.peers();
    let tracker = Tracker {
        known: (peers..peers + core.dead()).collect(),
    };
    let tracker = Rc::new(RefCell::new(tracker));
    (0..peers)
        .map(|me| BitTorrent::new(me, core.plan.chunks, tracker.clone()))
        .map(|peer| Box::new(peer) as Box<dyn Peer>)
        .collect()
}

impl Tracker {
    /// Up to 50 others, each once.
    fn tell(&self, asker: usize, core: &mut Core) -> Vec<usize> {
        let mut told = self.known.clone();
        let (drawn, _) = told.partial_shuffle(&mut core.rng, TOLD + 1);
        drawn
            .iter()
            .copied()
            .filter(|p| *p != asker)
            .take(TOLD)
            .collect()
    }
}

impl BitTorrent {
    fn new(me: usize, chunks: u32, tracker: Rc<RefCell<Tracker>>) -> Self {
        let seed = me == 0;
        let all = if seed { Bits::full } else { Bits::empty };
        let none = if seed { Bits::empty } else { Bits::full };
        Self {
            me,
            chunks,
            tracker,
            held: all(chunks),
            free: none(chunks),
            asked: vec![0; chunks as usize],
            rarity: vec![0; chunks as usize],
            neighbours: BTreeMap::new(),
            conns: BTreeMap::new(),
            dialling: BTreeMap::new(),
            told: Vec::new(),
            waiting: VecDeque::new(),
            optimistic: None,
            round: 0,
        }
    }

    fn complete(&self) -> bool {
        self.held.count() == self.chunks
    }

    fn alarm(&mut self, alarm: u64, core: &mut Core) {
        let now = core.now();
        match alarm {
            TOLD_NOW => {
                let told = self.tracker.borrow().tell(self.me, core);
                self.told = told;
                self.dial(core);
            }
            ASK_AGAIN => {
                if self.neighbours.len() < FEW && !self.complete() {
                    core.at(self.me, now + TRACKER, Input::Alarm(TOLD_NOW));
                }
                core.at(self.me, now + AGAIN, Input::Alarm(ASK_AGAIN));
            }
            DECIDE => {
                self.decide(core);
                core.at(self.me, now + ROUND, Input::Alarm(DECIDE));
            }
            conn => {
                if self.dialling.remove(&(conn - DIALS)).is_some() {
                    self.dial(core);
                }
            }
        }
    }

    fn dial(&mut self, core: &mut Core) {
        while self.neighbours.len() + self.dialling.len() < FEW && !self.complete() {
            let Some(peer) = self.told.pop() else {
                return;
            };
            if self.neighbours.contains_key(&peer) || self.dialling.values().any(|p| *p == peer) {
                continue;
            }
            let conn = core.fresh();
            self.dialling.insert(conn, peer);
            if peer < core.peers() {
                core.send(self.me, peer, Message::Open(conn));
            } else {
                let failed = core.now() + TIMEOUT;
                core.at(self.me, failed, Input::Alarm(DIALS + conn));
            }
        }
    }

    fn message(&mut self, from: usize, message: Message, core: &mut Core) {
        match message {
            Message::Open(conn) => self.open(from, conn, core),
            Message::Opened(conn) => {
                if self.dialling.remove(&conn).is_none() || self.neighbours.contains_key(&from) {
                    core.send(self.me, from, Message::Close(conn));
                } else {
                    self.join(from, conn);
                    self.show(from, core);
                }
            }
            Message::Close(conn) => {
                self.dialling.remove(&conn);
                if self.conns.contains_key(&conn) {
                    self.lose(from, core);
                }
                self.dial(core);
            }
            message => self.said(from, message, core),
        }
    }

    /// Something on a connection that is there.
    fn said(&mut self, from: usize, message: Message, core: &mut Core) {
        let Some(n) = self.neighbours.get_mut(&from) else {
            return;
        };
        match message {
            Message::Have(conn, chunk) if n.conn == conn => {
                if n.has.insert(chunk) {
                    self.rarity[chunk as usize] += 1;
                    if !self.held.contains(chunk) {
                        n.useful += 1;
                        self.revise(from, core);
                        self.ask(from, core);
                    }
                }
                self.part(from, core);
            }
            Message::Chunks(conn, held) if n.conn == conn => {
                for chunk in held.iter() {
                    if n.has.insert(chunk) {
                        self.rarity[chunk as usize] += 1;
                        if !self.held.contains(chunk) {
                            n.useful += 1;
                        }
                    }
                }
                self.revise(from, core);
                self.part(from, core);
            }
            Message::Interested(conn, yes) if n.conn == conn => {
                n.wants = yes;
                self.fill(core);
            }
            Message::Serve(conn, yes) if n.conn == conn => {
                n.open = yes;
                self.ask(from, core);
            }
            Message::Request(conn, chunk) if n.conn == conn => {
                self.waiting.push_back((from, conn, chunk));
                self.serve(core);
            }
            Message::Busy(conn, chunk) if n.conn == conn => {
                n.asked = None;
                self.put_back(chunk, core);
            }
            _ => {}
        }
    }

    fn open(&mut self, from: usize, conn: u64, core: &mut Core) {
        // of two who dial each other, the dial of the one with the lower number counts
        let twice = self.neighbours.contains_key(&from)
            || self.me < from && self.dialling.values().any(|p| *p == from);
        if twice || self.neighbours.len() >= MANY {
            core.send(self.me, from, Message::Close(conn));
            return;
        }
        self.join(from, conn);
        core.send(self.me, from, Message::Opened(conn));
        self.show(from, core);
    }

    fn join(&mut self, peer: usize, conn: u64) {
        let neighbour = Neighbour {
            conn,
            has: Bits::empty(self.chunks),
            useful: 0,
            interested: false,
            wants: false,
            open: false,
            served: None,
            warm: false,
            asked: None,
            got: [0; 2],
        };
        self.neighbours.insert(peer, neighbour);
        self.conns.insert(conn, peer);
    }

    fn show(&self, peer: usize, core: &mut Core) {
        if self.held.count() > 0 {
            let all = super::bits::chunks(self.held.and(&self.held));
            let held = ChunkSet::from_indices(self.chunks, all);
            let conn = self.neighbours[&peer].conn;
            core.send(self.me, peer, Message::Chunks(conn, held));
        }
    }

    /// Two who have everything need no connection.
    fn part(&mut self, peer: usize, core: &mut Core) {
        if self.complete()
            && let Some(n) = self.neighbours.get(&peer)
            && n.has.count() == self.chunks
        {
            core.send(self.me, peer, Message::Close(n.conn));
            self.lose(peer, core);
        }
    }

    fn lose(&mut self, peer: usize, core: &mut Core) {
        let Some(n) = self.neighbours.remove(&peer) else {
            return;
        };
        self.conns.remove(&n.conn);
        for chunk in super::bits::chunks(n.has.and(&n.has)) {
            self.rarity[chunk as usize] -= 1;
        }
        if let Some(chunk) = n.asked {
            self.put_back(chunk, core);
        }
        self.fill(core);
    }

    /// Says whether we want something, if that has changed.
    fn revise(&mut self, peer: usize, core: &mut Core) {
        if let Some(n) = self.neighbours.get_mut(&peer)
            && n.interested != (n.useful > 0)
        {
            n.interested = n.useful > 0;
            let message = Message::Interested(n.conn, n.interested);
            core.send(self.me, peer, message);
        }
    }

    /// A request came to nothing.
    fn put_back(&mut self, chunk: u32, core: &mut Core) {
        let asked = &mut self.asked[chunk as usize];
        *asked -= 1;
        if *asked == 0 && !self.held.contains(chunk) {
            self.free.insert(chunk);
            self.ask_all(core);
        }
    }

    fn ask_all(&mut self, core: &mut Core) {
        let idle = |n: &Neighbour| n.open && n.asked.is_none() && n.useful > 0;
        let all: Vec<usize> = self
            .neighbours
            .iter()
            .filter(|(_, n)| idle(n))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in all {
            self.ask(peer, core);
        }
    }

    /// Asks a neighbour for a chunk, if it serves us and has nothing to do.
    fn ask(&mut self, peer: usize, core: &mut Core) {
        let Some(n) = self.neighbours.get_mut(&peer) else {
            return;
        };
        if !n.open || n.asked.is_some() || n.useful == 0 {
            return;
        }
        let random = self.held.count() < RANDOM_FIRST;
        let (asked, rarity) = (&self.asked, &self.rarity);
        let chunk = if self.free.count() > 0 {
            let rank = |c: u32| if random { 0 } else { rarity[c as usize].into() };
            least(n.has.and(&self.free), rank, &mut core.rng)
        } else {
            let rank = |c: u32| asked[c as usize].into();
            let last = least(n.has.minus(&self.held), rank, &mut core.rng);
            last.filter(|(_, asked)| *asked < 2)
        };
        let Some((chunk, _)) = chunk else {
            return;
        };
        n.asked = Some(chunk);
        self.asked[chunk as usize] += 1;
        let last = self.free.remove(chunk) && self.free.count() == 0;
        core.send(self.me, peer, Message::Request(n.conn, chunk));
        if last {
            self.ask_all(core); // the end game has begun
        }
    }

    /// Begins the transfers that may begin.
    fn serve(&mut self, core: &mut Core) {
        while core.has_slot(self.me)
            && let Some((peer, conn, chunk)) = self.waiting.pop_front()
        {
            let Some(n) = self.neighbours.get_mut(&peer) else {
                continue;
            };
            if n.conn != conn {
                continue;
            }
            if n.served.is_some() && self.held.contains(chunk) {
                let fresh = !std::mem::replace(&mut n.warm, true);
                core.upload(self.me, peer, conn, chunk, fresh);
            } else {
                core.send(self.me, peer, Message::Busy(conn, chunk));
            }
        }
    }

    fn chunk(&mut self, conn: u64, chunk: u32, core: &mut Core) {
        let from = self.conns.get(&conn).copied();
        if let Some(n) = from.and_then(|peer| self.neighbours.get_mut(&peer)) {
            n.asked = None;
            n.got[0] += 1;
            self.asked[chunk as usize] -= 1;
        }
        if self.held.insert(chunk) {
            self.free.remove(chunk);
            for (peer, n) in &mut self.neighbours {
                if n.has.contains(chunk) {
                    n.useful -= 1;
                    if n.useful == 0 && n.interested {
                        n.interested = false;
                        core.send(self.me, *peer, Message::Interested(n.conn, false));
                    }
                } else {
                    core.send(self.me, *peer, Message::Have(n.conn, chunk));
                }
            }
        } else {
            core.tally.duplicate_bytes += core.plan.chunk_bytes;
        }
        if self.complete() {
            core.completed(self.me);
            for peer in self.neighbours.keys().copied().collect::<Vec<_>>() {
                self.part(peer, core);
            }
        } else if let Some(peer) = from {
            self.ask(peer, core);
        }
    }

    /// Whom to serve from now on.
    fn decide(&mut self, core: &mut Core) {
        self.round += 1;
        let mut wanting: Vec<usize> = self
            .neighbours
            .iter()
            .filter(|(_, n)| n.wants)
            .map(|(peer, _)| *peer)
            .collect();
        wanting.shuffle(&mut core.rng);
        let all = &self.neighbours;
        let turn = self.round.is_multiple_of(OPTIMISTIC);
        if self.complete() {
            wanting.sort_by_key(|p| std::cmp::Reverse(all[p].served));
            let stay = if turn { REGULAR + 1 } else { REGULAR };
            // who has not been served comes in random order, so that the next one is drawn already
            if let Some(next) = (stay..wanting.len()).find(|i| all[&wanting[*i]].served.is_none()) {
                wanting.swap(stay, next);
            }
            wanting.truncate(REGULAR + 1);
        } else {
            wanting.sort_by_key(|p| std::cmp::Reverse(all[p].got.iter().sum::<u32>()));
            let others = wanting.split_off(REGULAR.min(wanting.len()));
            let stays = self.optimistic.filter(|p| !turn && others.contains(p));
            let drawn = || others.iter().find(|p| all[p].served.is_none());
            self.optimistic = stays.or_else(|| drawn().or(others.first()).copied());
            wanting.extend(self.optimistic);
        }
        for n in self.neighbours.values_mut() {
            n.got = [0, n.got[0]];
        }
        let choked: Vec<usize> = self
            .neighbours
            .iter()
            .filter(|(peer, n)| n.served.is_some() && !wanting.contains(peer))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in choked {
            self.tell(peer, false, core);
        }
        for peer in wanting {
            self.tell(peer, true, core);
        }
    }

    /// Serves somebody else when one of those served wants nothing any more.
    fn fill(&mut self, core: &mut Core) {
        let served = |n: &Neighbour| n.wants && n.served.is_some();
        let mut free =
            (REGULAR + 1).saturating_sub(self.neighbours.values().filter(|n| served(n)).count());
        while free > 0 {
            let waiting = self
                .neighbours
                .iter()
                .filter(|(_, n)| n.wants && n.served.is_none());
            let waiting: Vec<usize> = waiting.map(|(peer, _)| *peer).collect();
            if waiting.is_empty() {
                return;
            }
            let peer = waiting[core.rng.random_range(0..waiting.len())];
            self.tell(peer, true, core);
            free -= 1;
        }
    }

    fn tell(&mut self, peer: usize, serve: bool, core: &mut Core) {
        if let Some(n) = self.neighbours.get_mut(&peer)
            && n.served.is_some() != serve
        {
            n.served = serve.then(|| core.now());
            core.send(self.me, peer, Message::Serve(n.conn, serve));
        }
    }
}

impl Peer for BitTorrent {
    fn handle(&mut self, input: Input, core: &mut Core) {
        let now = core.now();
        match input {
            Input::Start => {
                self.tracker.borrow_mut().known.push(self.me);
                core.at(self.me, now + TRACKER, Input::Alarm(TOLD_NOW));
                core.at(self.me, now + AGAIN, Input::Alarm(ASK_AGAIN));
                core.at(self.me, now + ROUND, Input::Alarm(DECIDE));
            }
            Input::Alarm(alarm) => self.alarm(alarm, core),
            Input::Message { from, message } => self.message(from, message, core),
            Input::Chunk { conn, chunk } => self.chunk(conn, chunk, core),
            Input::Sent { .. } => self.serve(core),
            Input::Gone { peer } => {
                self.dialling.retain(|_, p| *p != peer);
                self.lose(peer, core);
                self.dial(core);
            }
            Input::Found { .. } => {}
        }
    }

    fn held(&self) -> u32 {
        self.held.count()
    }
}
