//! One object, one client, 32 neighbours, and what they say while everything is fetched or served.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use chunkcast::chunks::ChunkSet;
use chunkcast::client::{
    Action, Client, ClientConfig, Connected, NeighbourId, Reveal, Source, Verdict,
};
use chunkcast::time::Instant;

/// Neighbours of the client: a full table.
const NEIGHBOURS: u32 = 32;
/// Bytes of a chunk.
const CHUNK: u64 = 256 << 10;
/// Time that a chunk takes us: 200 Mbit/s.
const STEP: Duration = Duration::from_millis(10);
/// Chunks asked of a server before the first of them has come.
const AHEAD: usize = 2;
/// One of so many chunks of a near neighbour makes it tell what it fetches.
const TELLS: u32 = 4;
/// Steps without a chunk after which the scene does not work.
const PATIENCE: u32 = 10_000;

/// What is done with the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A seed and 31 that begin with nothing, all on one LAN.
    Crowd,
    /// 15 near that tell what they fetch, 16 far and a far seed: the area rule.
    Sites,
    /// We are the only seed, and 32 fetch from us and from each other.
    Seed,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Crowd, Self::Sites, Self::Seed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crowd => "crowd",
            Self::Sites => "sites",
            Self::Seed => "seed",
        }
    }
}

/// What a scene took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Processor time of the thread.
    pub(crate) cpu: Duration,
    /// Wall time in `next_chunk`.
    pub(crate) picks: Duration,
    /// In `handle_have`.
    pub(crate) haves: Duration,
    /// In all else of the client.
    pub(crate) rest: Duration,
    /// Calls of `next_chunk`.
    pub(crate) picked: u64,
}

/// A neighbour that gets every chunk in an order of its own.
struct Peer {
    id: NeighbourId,
    near: bool,
    held: ChunkSet,
    step: u64,
    at: u64,
    /// Chunks that we have asked it for, and those that we have shown it.
    asked: VecDeque<u32>,
    shown: VecDeque<u32>,
}

impl Peer {
    /// The next chunk that it does not have: one that it was shown, or the next in its order.
    fn next(&mut self, may: impl Fn(u32) -> bool) -> Option<u32> {
        while let Some(chunk) = self.shown.pop_front() {
            if self.held.insert(chunk) {
                return Some(chunk);
            }
        }
        let chunks = u64::from(self.held.len());
        for _ in 0..8 {
            self.at = (self.at + self.step) % chunks;
            let chunk = u32::try_from(self.at).unwrap_or(0);
            if may(chunk) && self.held.insert(chunk) {
                return Some(chunk);
            }
        }
        let missing = self.held.iter_missing();
        let chunk = missing.take(64).find(|c| may(*c))?;
        self.held.insert(chunk);
        Some(chunk)
    }
}

pub(crate) struct Scene {
    kind: Kind,
    chunks: u32,
    client: Client,
    now: Instant,
    peers: Vec<Peer>,
    places: BTreeMap<NeighbourId, usize>,
    /// Neighbours that hold the chunk, whom others can have it from.
    holders: Vec<u8>,
    cost: Cost,
}

/// Processor time of this thread.
fn cpu() -> Result<Duration, String> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").map_err(|e| e.to_string())?;
    let ns = text.split(' ').next().and_then(|n| n.parse().ok());
    let missing = || io::Error::other("no processor time in /proc/thread-self/schedstat");
    Ok(Duration::from_nanos(
        ns.ok_or_else(missing).map_err(|e| e.to_string())?,
    ))
}

/// The next number that has no divisor in common with `chunks`.
fn coprime(mut step: u64, chunks: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    while gcd(step, chunks) != 1 {
        step += 1;
    }
    step
}

impl Scene {
    pub(crate) fn new(kind: Kind, chunks: u32, seed: u64) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut client = Client::new(ClientConfig::default(), seed, now);
        client.set_own_addrs(&[SocketAddr::from(([10, 0, 0, 1], 6881))]);
        let held = match kind {
            Kind::Seed => ChunkSet::full(chunks),
            _ => ChunkSet::empty(chunks),
        };
        client.set_object(held, ChunkSet::full(chunks), now);
        let peers = (0..NEIGHBOURS).map(|n| {
            let spread = u64::from(chunks) * u64::from(2 * n + 1) / 67 + seed;
            Peer {
                id: NeighbourId(u64::from(n) + 1),
                near: kind == Kind::Crowd || n % 2 == 1,
                held: ChunkSet::empty(chunks),
                step: coprime(spread.max(1), u64::from(chunks)),
                at: u64::from(n) * u64::from(chunks) / u64::from(NEIGHBOURS),
                asked: VecDeque::new(),
                shown: VecDeque::new(),
            }
        });
        let peers: Vec<Peer> = peers.collect();
        Self {
            kind,
            chunks,
            client,
            now,
            places: peers.iter().enumerate().map(|(at, p)| (p.id, at)).collect(),
            peers,
            holders: vec![0; chunks as usize],
            cost: Cost::default(),
        }
    }

    /// From the first connection to the last chunk.
    pub(crate) fn run(mut self) -> Result<Cost, String> {
        let begun = cpu()?;
        self.connect()?;
        let mut idle = 0;
        while !self.is_over() {
            self.now += STEP;
            if self.client.poll_timeout().is_some_and(|t| t <= self.now) {
                let now = self.now;
                self.rest(|c| c.handle_timeout(now));
                self.drain();
            }
            let moved = self.neighbours_go_on() | self.chunk_comes();
            idle = if moved { 0 } else { idle + 1 };
            if idle > PATIENCE {
                return Err(format!("{}: nothing moves any more", self.kind.name()));
            }
        }
        self.cost.cpu = cpu()?.saturating_sub(begun);
        Ok(self.cost)
    }

    fn is_over(&self) -> bool {
        match self.kind {
            Kind::Seed => self.peers.iter().all(|p| p.held.is_full()),
            _ => self.client.is_complete(),
        }
    }

    fn connect(&mut self) -> Result<(), String> {
        for at in 0..self.peers.len() {
            let (id, near) = (self.peers[at].id, self.peers[at].near);
            let host = u8::try_from(at + 2).unwrap_or(u8::MAX);
            let addr = SocketAddr::from(([10, 0, 0, host], 6881));
            let rtt = Duration::from_millis(if near { 1 } else { 60 });
            let info = Connected {
                addr,
                listen: Some(addr),
                outbound: true,
                rtt: Some(rtt),
                source: Source::Directory,
            };
            if self.client.handle_connected(id, info, self.now) == Verdict::Refuse {
                return Err("a neighbour was refused".to_owned());
            }
            if at == 0 && self.kind != Kind::Seed {
                self.peers[0].held = ChunkSet::full(self.chunks);
                self.holders.fill(1);
            }
            let held = self.peers[at].held.clone();
            let now = self.now;
            self.rest(|c| {
                c.handle_chunks(id, &held, now);
                c.handle_interested(id, !held.is_full(), now);
                c.handle_choked(id, false, now);
            });
        }
        Ok(())
    }

    /// Each neighbour that misses something gets a chunk and says so.
    fn neighbours_go_on(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.peers.len() {
            if self.peers[at].held.is_full() {
                continue;
            }
            let holders = &self.holders;
            let held = self.kind == Kind::Seed;
            let Some(chunk) = self.peers[at].next(|c| !held || holders[c as usize] > 0) else {
                continue;
            };
            moved = true;
            self.holders[chunk as usize] += 1;
            let (id, near) = (self.peers[at].id, self.peers[at].near);
            let begun = Clock::now();
            self.client.handle_have(id, chunk, self.now);
            self.cost.haves += begun.elapsed();
            if self.kind == Kind::Sites && near && chunk.is_multiple_of(TELLS) {
                let ahead = self.peers[at].held.iter_missing().take(4);
                let fetching = ChunkSet::from_indices(self.chunks, ahead);
                let now = self.now;
                self.rest(|c| c.handle_fetching(id, &fetching, now));
            }
            self.drain();
        }
        moved
    }

    /// The server whose chunk has been under way longest sends it.
    fn chunk_comes(&mut self) -> bool {
        let owing = (0..self.peers.len()).max_by_key(|at| self.peers[*at].asked.len());
        let Some((at, chunk)) = owing.and_then(|at| Some((at, self.peers[at].asked.pop_front()?)))
        else {
            return false;
        };
        let (id, now) = (self.peers[at].id, self.now);
        self.rest(|c| {
            c.handle_received(id, CHUNK, now);
            c.handle_chunk_done(chunk, now);
        });
        self.drain();
        self.fill(at);
        self.drain();
        true
    }

    fn rest(&mut self, call: impl FnOnce(&mut Client)) {
        let begun = Clock::now();
        call(&mut self.client);
        self.cost.rest += begun.elapsed();
    }

    fn fill(&mut self, at: usize) {
        let id = self.peers[at].id;
        while self.peers[at].asked.len() < AHEAD {
            let begun = Clock::now();
            let chunk = self.client.next_chunk(id, self.now);
            self.cost.picks += begun.elapsed();
            self.cost.picked += 1;
            let Some(chunk) = chunk else { break };
            self.peers[at].asked.push_back(chunk);
        }
    }

    fn drain(&mut self) {
        loop {
            let begun = Clock::now();
            let action = self.client.poll_action();
            self.cost.rest += begun.elapsed();
            let Some(action) = action else { break };
            let now = self.now;
            match action {
                Action::Ask { peer } => self.fill(self.places[&peer]),
                Action::Stop { peer } => {
                    for chunk in std::mem::take(&mut self.peers[self.places[&peer]].asked) {
                        self.rest(|c| c.handle_released(peer, chunk, now));
                    }
                }
                Action::LookUp(_) => self.rest(|c| c.handle_answer(&[], now)),
                Action::Reveal {
                    peer,
                    what: Reveal::Chunk(chunk),
                } => self.peers[self.places[&peer]].shown.push_back(chunk),
                _ => {}
            }
        }
    }
}
