//! A scheduler that knows everything at once and decides for everybody: what any real system is measured against.
//!
//! It has the same network and the same limits, but needs no directory, no messages and no lookups. It knows ahead who
//! will send what to whom, so that nothing passes between two transfers of a peer; a chunk can be passed on half a round
//! trip after its last byte was sent.
//!
//! After each step of the network, every peer with room in its up link is given something to send, whoever has most room
//! first:
//! - The seed sends each chunk once, one after another, before it sends any chunk again.
//! - Others send to a peer of their own stub what that misses, if they can, and to another stub what nobody there has or is
//!   fetching, the chunk with the fewest copies first. So a chunk enters a stub once.
//! - Once the seed has sent everything, a peer that would have room to spare may get from afar what another in its stub
//!   has.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use rand::RngExt;

use super::bits::{Bits, least};
use super::core::{Core, Input};
use super::world::Peer;
use crate::time::Instant;

/// Transfers each way of a peer of median capacity, where all can receive alike: one at a time, and the next begins in the
/// step in which that ends. A transfer that shares a link with others is late for whoever waits for it.
const ALIKE: usize = 1; // measured: with 4 the median is 1 % later, 12 % with shares by round-trip time
/// The same where capacities differ: only several transfers fill a link that is wider than those at the other end.
const UNLIKE: usize = 4; // measured: with 1 the median is 18 % later at capacities of 1 to 4

/// One peer of the schedule.
pub(super) struct Directed {
    me: usize,
    schedule: Rc<RefCell<Schedule>>,
}

#[derive(Debug)]
struct Flight {
    from: usize,
    to: usize,
    chunk: u32,
    /// It takes no room in links any more, or hardly any.
    over: bool,
    /// It has been sent whole.
    sent: bool,
}

/// What everybody has, and what is under way.
#[derive(Debug)]
struct Schedule {
    chunks: u32,
    stubs: Vec<Vec<usize>>,
    stub: Vec<usize>,
    /// Started, and not gone.
    here: Vec<bool>,
    held: Vec<Bits>,
    /// Held or under way, by peer.
    claimed: Vec<Bits>,
    /// Held or under way, by stub.
    claimed_by_stub: Vec<Bits>,
    /// Peers that hold or are fetching each chunk.
    copies: Vec<u32>,
    /// Chunks that the seed has not sent yet.
    unsent: Bits,
    flights: BTreeMap<u64, Flight>,
    /// Transfers that take room, and how many may, by peer.
    ups: Vec<usize>,
    downs: Vec<usize>,
    most_ups: Vec<usize>,
    /// Bytes a second that come in when every sender sends all it may, and that the link takes, by peer.
    inflow: Vec<u64>,
    capacity: Vec<u64>,
    /// Bytes a second that must be free for another transfer.
    spare: Vec<u64>,
    most_downs: usize,
    /// Bytes a second of one of a peer's transfers when it sends all it may.
    share: Vec<u64>,
    changed: bool,
    ending: Vec<u64>,
}

/// All peers of a run.
pub(super) fn swarm(core: &Core) -> Vec<Box<dyn Peer>> {
    let schedule = Rc::new(RefCell::new(Schedule::new(core)));
    let directed = |me| Directed {
        me,
        schedule: schedule.clone(),
    };
    (0..core.peers())
        .map(|me| Box::new(directed(me)) as Box<dyn Peer>)
        .collect()
}

impl Schedule {
    fn new(core: &Core) -> Self {
        let (peers, chunks) = (core.peers(), core.plan.chunks);
        let stub: Vec<usize> = (0..peers).map(|p| core.internet.stub(p)).collect();
        let mut stubs = vec![Vec::new(); stub.iter().max().map_or(0, |s| s + 1)];
        for (peer, stub) in stub.iter().enumerate() {
            stubs[*stub].push(peer);
        }
        let mut downs: Vec<f64> = (0..peers).map(|p| core.down(p)).collect();
        downs.sort_by(f64::total_cmp);
        let middle = downs[peers / 2];
        let alike = downs[0] == downs[peers - 1];
        let usual = if alike { ALIKE } else { UNLIKE };
        let most = |capacity: f64| {
            let fitting = (capacity / middle * usual as f64).round();
            (1..=2 * usual).rfind(|n| *n as f64 <= fitting).unwrap_or(1)
        };
        Self {
            chunks,
            held: vec![Bits::empty(chunks); peers],
            claimed: vec![Bits::empty(chunks); peers],
            claimed_by_stub: vec![Bits::empty(chunks); stubs.len()],
            copies: vec![0; chunks as usize],
            unsent: Bits::full(chunks),
            here: vec![false; peers],
            flights: BTreeMap::new(),
            ups: vec![0; peers],
            downs: vec![0; peers],
            most_ups: (0..peers).map(|p| most(core.up(p))).collect(),
            inflow: vec![0; peers],
            capacity: (0..peers).map(|p| whole(core.down(p))).collect(),
            spare: (0..peers)
                .map(|p| whole(core.down(p) / (2 * usual) as f64))
                .collect(),
            most_downs: 2 * usual,
            share: (0..peers)
                .map(|p| whole(core.up(p) / most(core.up(p)) as f64))
                .collect(),
            changed: false,
            ending: Vec::new(),
            stubs,
            stub,
        }
    }

    fn start(&mut self, peer: usize) {
        self.here[peer] = true;
        self.changed = true;
        if peer == 0 {
            for chunk in 0..self.chunks {
                self.held[0].insert(chunk);
                self.claim(0, chunk);
            }
        }
    }

    fn claim(&mut self, peer: usize, chunk: u32) {
        if self.claimed[peer].insert(chunk) {
            self.copies[chunk as usize] += 1;
            // what the seed has is not at hand: its up link is what everybody waits for
            if peer != 0 {
                self.claimed_by_stub[self.stub[peer]].insert(chunk);
            }
        }
    }

    fn unclaim(&mut self, peer: usize, chunk: u32) {
        if self.claimed[peer].remove(chunk) {
            self.copies[chunk as usize] -= 1;
            let stub = self.stub[peer];
            let others = self.stubs[stub].iter().filter(|p| **p != 0);
            if !others.into_iter().any(|p| self.claimed[*p].contains(chunk)) {
                self.claimed_by_stub[stub].remove(chunk);
            }
        }
    }

    /// A transfer needs its room no longer.
    fn over(&mut self, conn: u64) {
        if let Some(flight) = self.flights.get_mut(&conn)
            && !std::mem::replace(&mut flight.over, true)
        {
            self.ups[flight.from] -= 1;
            self.downs[flight.to] -= 1;
            self.inflow[flight.to] -= self.share[flight.from];
            self.changed = true;
        }
    }

    fn arrived(&mut self, conn: u64, core: &mut Core) {
        self.over(conn);
        let Some(flight) = self.flights.remove(&conn) else {
            return;
        };
        self.changed = true;
        let Flight { to, chunk, .. } = flight;
        if self.held[to].insert(chunk) {
            self.claim(to, chunk);
        } else {
            core.tally.duplicate_bytes += core.plan.chunk_bytes;
        }
        if self.held[to].count() == self.chunks {
            core.completed(to);
        }
    }

    fn gone(&mut self, peer: usize) {
        if !std::mem::replace(&mut self.here[peer], false) {
            return;
        }
        let lost = |f: &Flight| f.to == peer || f.from == peer && !f.sent;
        let flights = self.flights.iter().filter(|(_, f)| lost(f));
        for conn in flights.map(|f| *f.0).collect::<Vec<_>>() {
            self.over(conn);
            if let Some(Flight {
                from, to, chunk, ..
            }) = self.flights.remove(&conn)
            {
                self.unclaim(to, chunk);
                if from == 0 && self.copies[chunk as usize] == 1 {
                    self.unsent.insert(chunk);
                }
            }
        }
        for chunk in 0..self.chunks {
            self.unclaim(peer, chunk);
            if self.here[0] && self.copies[chunk as usize] == 1 && peer != 0 {
                self.unsent.insert(chunk);
            }
        }
    }

    /// Gives everybody with room something to send.
    fn decide(&mut self, core: &mut Core) {
        for peer in 0..self.here.len() {
            if self.here[peer] && !core.alive[peer] {
                self.gone(peer);
            }
        }
        let mut ending = std::mem::take(&mut self.ending);
        core.ending(&mut ending);
        for conn in &ending {
            self.over(*conn);
        }
        self.ending = ending;
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut idle: Vec<(usize, u32, usize)> = Vec::new();
        for peer in 0..self.here.len() {
            if self.can_send(peer, core) {
                idle.push((self.ups[peer], core.rng.random(), peer));
            }
        }
        idle.sort_unstable();
        let mut next: VecDeque<usize> = idle.into_iter().map(|i| i.2).collect();
        while let Some(from) = next.pop_front() {
            if let Some((to, chunk)) = self.choose(from, core) {
                self.send(from, to, chunk, core);
                if self.can_send(from, core) {
                    next.push_back(from);
                }
            }
        }
    }

    fn can_send(&self, peer: usize, core: &Core) -> bool {
        self.here[peer]
            && self.ups[peer] < self.most_ups[peer]
            && core.has_slot(peer)
            && self.held[peer].count() > 0
    }

    fn can_receive(&self, peer: usize) -> bool {
        self.here[peer]
            && self.downs[peer] < self.most_downs
            && self.inflow[peer] <= self.capacity[peer] - self.spare[peer]
            && self.claimed[peer].count() < self.chunks
    }

    fn choose(&self, from: usize, core: &mut Core) -> Option<(usize, u32)> {
        if from == 0 && self.unsent.count() > 0 {
            return self.first_copy(core);
        }
        self.near(from, core)
            .or_else(|| self.far(from, core))
            .or_else(|| self.again(from, core))
    }

    /// The next chunk of the seed, for whoever can pass it on soonest.
    fn first_copy(&self, core: &mut Core) -> Option<(usize, u32)> {
        let (chunk, _) = least(self.unsent.and(&self.unsent), |_| 0, &mut core.rng)?;
        let able = (1..self.here.len()).filter(|p| self.can_receive(*p));
        let to = able.min_by_key(|p| {
            (
                self.ups[*p],
                self.downs[*p],
                self.claimed[*p].count(),
                core.rtt(0, *p),
            )
        })?;
        Some((to, chunk))
    }

    fn near(&self, from: usize, core: &mut Core) -> Option<(usize, u32)> {
        let mates = &self.stubs[self.stub[from]];
        let able = mates
            .iter()
            .filter(|p| **p != from && self.can_receive(**p));
        let mut able: Vec<(u32, usize, usize)> = able
            .map(|p| (self.claimed[*p].count(), self.downs[*p], *p))
            .collect();
        able.sort_unstable();
        self.first_served(from, able.into_iter().map(|a| a.2), core)
    }

    fn far(&self, from: usize, core: &mut Core) -> Option<(usize, u32)> {
        let copies = |chunk: u32| self.copies[chunk as usize];
        let mut best: Option<((u32, u32, Instant), usize, u32)> = None;
        for (stub, mates) in self.stubs.iter().enumerate() {
            if stub == self.stub[from] {
                continue;
            }
            let able = mates.iter().filter(|p| self.can_receive(**p));
            let Some(to) = able
                .min_by_key(|p| (self.downs[**p], self.ups[**p], self.claimed[**p].count()))
                .copied()
            else {
                continue;
            };
            let words = self.held[from].minus(&self.claimed_by_stub[stub]);
            let Some((chunk, rank)) = least(words, copies, &mut core.rng) else {
                continue;
            };
            let key = (
                rank,
                self.claimed[to].count(),
                core.now() + core.rtt(from, to),
            );
            if best.is_none_or(|(least, _, _)| key < least) {
                best = Some((key, to, chunk));
            }
        }
        best.map(|(_, to, chunk)| (to, chunk))
    }

    fn again(&self, from: usize, core: &mut Core) -> Option<(usize, u32)> {
        if self.unsent.count() > 0 {
            return None;
        }
        let able = (1..self.here.len()).filter(|p| self.can_receive(*p) && *p != from);
        let mut able: Vec<(usize, u32, usize)> = able
            .map(|p| (self.downs[p], self.claimed[p].count(), p))
            .collect();
        able.sort_unstable();
        self.first_served(from, able.into_iter().map(|a| a.2), core)
    }

    /// The first of `able` that misses something of this peer's, and the rarest chunk of that.
    fn first_served(
        &self,
        from: usize,
        mut able: impl Iterator<Item = usize>,
        core: &mut Core,
    ) -> Option<(usize, u32)> {
        let copies = |chunk: u32| self.copies[chunk as usize];
        able.find_map(|to| {
            let missed = self.held[from].minus(&self.claimed[to]);
            let (chunk, _) = least(missed, copies, &mut core.rng)?;
            Some((to, chunk))
        })
    }

    fn send(&mut self, from: usize, to: usize, chunk: u32, core: &mut Core) {
        let conn = core.fresh();
        let flight = Flight {
            from,
            to,
            chunk,
            over: false,
            sent: false,
        };
        self.flights.insert(conn, flight);
        self.ups[from] += 1;
        self.downs[to] += 1;
        self.inflow[to] += self.share[from];
        self.claim(to, chunk);
        if from == 0 {
            self.unsent.remove(chunk);
        }
        core.upload(from, to, conn, chunk, false);
    }
}

/// Alarms of the seed, which beats the time: a step has been taken, and its ends are known.
const STEP: u64 = 0;
const ENDS: u64 = 1;

impl Peer for Directed {
    fn handle(&mut self, input: Input, core: &mut Core) {
        let now = core.now();
        let mut schedule = self.schedule.borrow_mut();
        match input {
            Input::Start => {
                schedule.start(self.me);
                if self.me == 0 {
                    core.at(0, core.zero, Input::Alarm(STEP));
                }
            }
            Input::Alarm(STEP) => core.at(0, now, Input::Alarm(ENDS)),
            Input::Alarm(_) => {
                schedule.decide(core);
                core.at(0, now + core.plan.tick, Input::Alarm(STEP));
            }
            Input::Sent { conn, .. } => {
                schedule.over(conn);
                if let Some(flight) = schedule.flights.get_mut(&conn) {
                    flight.sent = true;
                }
            }
            Input::Chunk { conn, .. } => schedule.arrived(conn, core),
            Input::Gone { .. } | Input::Message { .. } | Input::Found { .. } => {}
        }
    }

    fn held(&self) -> u32 {
        self.schedule.borrow().held[self.me].count()
    }
}

/// Whole bytes a second: sums of them do not drift.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a capacity is finite and not negative"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}
