//! The client peer (paper section 4): which peers, which chunks, when to look up and publish. Sans-IO.
//!
//! It knows nothing of BitTorrent: peers, chunk sets, rates and distances go in; dial, drop, ask, serve, publish and
//! look up come out. It owns the neighbour table and is the only one that picks a (peer, chunk) pair.

mod api;
mod config;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use api::{
    Action, Candidate, Connected, DropReason, NeighbourId, NeighbourView, Query, Reveal, Source,
    Verdict, Wanted,
};
pub use config::ClientConfig;

use crate::chunks::ChunkSet;
use crate::time::Instant;

const PUBLISH_INTERVAL: Duration = Duration::from_secs(5);
const STALL: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Neighbour {
    info: Connected,
    held: ChunkSet,
    choked: bool,
    interested: bool,
    we_want: bool,
    served: bool,
    down: u64,
    up: u64,
    stalled_until: Option<Instant>,
}

/// The client peer of one object.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    rng: ChaCha8Rng,
    own: Vec<SocketAddr>,
    held: ChunkSet,
    wanted: ChunkSet,
    known: bool,
    stopped: bool,
    neighbours: BTreeMap<NeighbourId, Neighbour>,
    fetching: BTreeMap<u32, NeighbourId>,
    candidates: VecDeque<(SocketAddr, Source)>,
    dialling: BTreeSet<SocketAddr>,
    banned: BTreeSet<std::net::IpAddr>,
    lookup_out: Option<Instant>,
    next_lookup: Option<Instant>,
    next_publish: Option<Instant>,
    actions: VecDeque<Action>,
}

impl Client {
    /// A client that knows neither the number of chunks nor any peer.
    pub fn new(config: ClientConfig, seed: u64, now: Instant) -> Self {
        let mut client = Self {
            config,
            rng: ChaCha8Rng::seed_from_u64(seed),
            own: Vec::new(),
            held: ChunkSet::empty(0),
            wanted: ChunkSet::empty(0),
            known: false,
            stopped: false,
            neighbours: BTreeMap::new(),
            fetching: BTreeMap::new(),
            candidates: VecDeque::new(),
            dialling: BTreeSet::new(),
            banned: BTreeSet::new(),
            lookup_out: None,
            next_lookup: Some(now),
            next_publish: Some(now),
            actions: VecDeque::new(),
        };
        client.handle_timeout(now);
        client
    }

    /// Our own addresses: never dialled.
    pub fn set_own_addrs(&mut self, addrs: &[SocketAddr]) {
        self.own = addrs.to_vec();
        self.candidates.retain(|(a, _)| !addrs.contains(a));
    }

    /// The number of chunks is known: what is held and what the user wants, both as long as the object.
    pub fn set_object(&mut self, held: ChunkSet, wanted: ChunkSet, now: Instant) {
        self.held = held;
        self.wanted = wanted;
        self.known = true;
        self.next_publish = Some(now);
        let peers: Vec<_> = self.neighbours.keys().copied().collect();
        for peer in peers {
            let len = self.held.len();
            if let Some(n) = self.neighbours.get_mut(&peer)
                && n.held.len() != len
            {
                n.held = ChunkSet::empty(len);
            }
            self.actions.push_back(Action::Reveal {
                peer,
                what: Reveal::All,
            });
            self.refresh(peer);
        }
        self.handle_timeout(now);
    }

    /// Peers named by trackers, the DHT, the user.
    pub fn handle_candidates(&mut self, candidates: &[Candidate], now: Instant) {
        for c in candidates {
            for &addr in c.addrs.iter().take(2) {
                let known = self.own.contains(&addr)
                    || self.candidates.iter().any(|(a, _)| *a == addr)
                    || self
                        .neighbours
                        .values()
                        .any(|n| n.info.listen == Some(addr));
                if !known && self.candidates.len() < self.config.max_candidates {
                    self.candidates.push_back((addr, c.source));
                }
            }
        }
        self.dial(now);
    }

    /// The answer of the outstanding lookup.
    pub fn handle_answer(&mut self, candidates: &[Candidate], now: Instant) {
        if self.lookup_out.take().is_some() {
            self.next_lookup = Some(now + self.config.lookup_interval);
        }
        self.handle_candidates(candidates, now);
    }

    /// The outstanding lookup failed.
    pub fn handle_no_answer(&mut self, now: Instant) {
        self.handle_answer(&[], now);
    }

    /// A connection has come up.
    pub fn handle_connected(
        &mut self,
        peer: NeighbourId,
        info: Connected,
        now: Instant,
    ) -> Verdict {
        self.dialling.remove(&info.addr);
        if self.banned.contains(&info.addr.ip()) {
            return Verdict::Refuse;
        }
        let twin = info.listen.is_some()
            && self
                .neighbours
                .values()
                .any(|n| n.info.listen == info.listen);
        if twin || self.neighbours.contains_key(&peer) {
            return Verdict::Refuse;
        }
        if self.neighbours.len() >= self.config.max_neighbours {
            return Verdict::Refuse;
        }
        let held = ChunkSet::empty(self.held.len());
        let neighbour = Neighbour {
            info,
            held,
            choked: true,
            interested: false,
            we_want: false,
            served: false,
            down: 0,
            up: 0,
            stalled_until: None,
        };
        self.neighbours.insert(peer, neighbour);
        if self.known {
            self.actions.push_back(Action::Reveal {
                peer,
                what: Reveal::All,
            });
        }
        self.dial(now);
        Verdict::Keep
    }

    /// A dial came to nothing.
    pub fn handle_dial_failed(&mut self, addr: SocketAddr, now: Instant) {
        self.dialling.remove(&addr);
        self.dial(now);
    }

    /// Where the neighbour accepts connections.
    pub fn handle_listen_addr(&mut self, peer: NeighbourId, listen: SocketAddr, _now: Instant) {
        let twin = self
            .neighbours
            .iter()
            .any(|(id, n)| *id != peer && n.info.listen == Some(listen));
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.info.listen = Some(listen);
            if twin {
                self.actions.push_back(Action::Drop {
                    peer,
                    reason: DropReason::Duplicate,
                });
                self.forget(peer);
            }
        }
    }

    /// The connection is gone; its chunks are free again.
    pub fn handle_disconnected(&mut self, peer: NeighbourId, now: Instant) {
        self.forget(peer);
        self.dial(now);
    }

    /// Everything that the neighbour holds.
    pub fn handle_chunks(&mut self, peer: NeighbourId, held: &ChunkSet, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.held = held.clone();
            self.refresh(peer);
        }
    }

    /// The neighbour got a chunk.
    pub fn handle_have(&mut self, peer: NeighbourId, chunk: u32, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer)
            && n.held.insert(chunk)
        {
            self.refresh(peer);
        }
    }

    /// The neighbour refuses (choked) or serves us.
    pub fn handle_choked(&mut self, peer: NeighbourId, choked: bool, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.choked = choked;
            self.refresh(peer);
        }
    }

    /// The neighbour wants chunks of ours, or no longer.
    pub fn handle_interested(&mut self, peer: NeighbourId, interested: bool, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.interested = interested;
            if n.served != interested {
                n.served = interested;
                self.actions.push_back(Action::Serve {
                    peer,
                    serve: interested,
                });
            }
        }
    }

    /// A measured round-trip time; the least counts.
    pub fn handle_rtt(&mut self, peer: NeighbourId, rtt: Duration, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.info.rtt = Some(n.info.rtt.map_or(rtt, |r| r.min(rtt)));
        }
    }

    /// Payload bytes came from the neighbour.
    pub fn handle_received(&mut self, peer: NeighbourId, bytes: u64, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.down += bytes;
        }
    }

    /// Payload bytes went to the neighbour.
    pub fn handle_sent(&mut self, peer: NeighbourId, bytes: u64, _now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.up += bytes;
        }
    }

    /// A chunk is verified and written.
    pub fn handle_chunk_done(&mut self, chunk: u32, now: Instant) {
        let from = self.fetching.remove(&chunk);
        self.held.insert(chunk);
        let due = now + PUBLISH_INTERVAL;
        self.next_publish = Some(if self.is_complete() {
            now
        } else {
            self.next_publish.map_or(due, |t| t.min(due))
        });
        let peers: Vec<_> = self.neighbours.keys().copied().collect();
        for peer in peers {
            self.refresh_interest(peer);
        }
        if let Some(peer) = from {
            self.refresh(peer);
        }
        self.handle_timeout(now);
    }

    /// The chunk is wanted again.
    pub fn handle_chunk_failed(&mut self, chunk: u32, _now: Instant) {
        self.fetching.remove(&chunk);
        self.held.remove(chunk);
        self.ask_all();
    }

    /// An assigned chunk is given back unfinished.
    pub fn handle_released(&mut self, peer: NeighbourId, chunk: u32, _now: Instant) {
        if self.fetching.get(&chunk) == Some(&peer) {
            self.fetching.remove(&chunk);
            self.ask_all();
        }
    }

    /// Requests to the neighbour time out.
    pub fn handle_stalled(&mut self, peer: NeighbourId, now: Instant) {
        if let Some(n) = self.neighbours.get_mut(&peer) {
            n.stalled_until = Some(now + STALL);
            self.actions.push_back(Action::Stop { peer });
            self.fetching.retain(|_, p| *p != peer);
            self.ask_all();
        }
    }

    /// The neighbour misbehaved: never again in this session.
    pub fn handle_ban(&mut self, peer: NeighbourId, _now: Instant) {
        if let Some(n) = self.neighbours.get(&peer) {
            self.banned.insert(n.info.addr.ip());
            self.actions.push_back(Action::Drop {
                peer,
                reason: DropReason::Banned,
            });
            self.forget(peer);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        if self.next_publish.is_some_and(|t| t <= now) {
            self.next_publish = None;
            let complete = self.known && self.held.is_full();
            self.actions.push_back(Action::Publish {
                held: self.held.clone(),
                complete,
                load: 0,
            });
        }
        if self.lookup_out.is_some_and(|t| t <= now) {
            self.handle_no_answer(now);
        }
        if self.lookup_out.is_none()
            && self.next_lookup.is_some_and(|t| t <= now)
            && !self.is_complete()
        {
            let wanted = if self.known {
                Wanted::Chunks(self.missing())
            } else {
                Wanted::Any
            };
            self.next_lookup = None;
            self.lookup_out = Some(now + self.config.lookup_deadline);
            let (p, mix) = (self.config.p, self.config.mix);
            let query = Query {
                wanted,
                p,
                mix,
                ignore: Vec::new(),
                to_root: false,
            };
            self.actions.push_back(Action::LookUp(query));
        }
        self.dial(now);
    }

    /// The chunk to fetch from this neighbour now, assigned to it; `None`: nothing from it now.
    pub fn next_chunk(&mut self, peer: NeighbourId, now: Instant) -> Option<u32> {
        let n = self.neighbours.get(&peer)?;
        if self.stopped || !self.known || n.choked || n.stalled_until.is_some_and(|t| t > now) {
            return None;
        }
        let mut best: Vec<u32> = Vec::new();
        let mut least = usize::MAX;
        for chunk in n.held.iter() {
            let take = self.wanted.contains(chunk)
                && !self.held.contains(chunk)
                && !self.fetching.contains_key(&chunk);
            if !take {
                continue;
            }
            let holders = self
                .neighbours
                .values()
                .filter(|n| n.held.contains(chunk))
                .count();
            if holders < least {
                least = holders;
                best.clear();
            }
            if holders == least {
                best.push(chunk);
            }
        }
        if best.is_empty() {
            return None;
        }
        let chunk = best[self.rng.random_range(0..best.len())];
        self.fetching.insert(chunk, peer);
        Some(chunk)
    }

    /// Whether the chunk is assigned to a neighbour.
    pub fn is_fetching(&self, chunk: u32) -> bool {
        self.fetching.contains_key(&chunk)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Client::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let lookup = if self.is_complete() {
            None
        } else {
            self.next_lookup
        };
        [self.next_publish, self.lookup_out, lookup]
            .into_iter()
            .flatten()
            .min()
    }

    /// Chunks held.
    pub fn held(&self) -> &ChunkSet {
        &self.held
    }

    /// Whether every wanted chunk is held.
    pub fn is_complete(&self) -> bool {
        self.known && self.held.overlap(&self.wanted) == self.wanted.count()
    }

    /// No more lookups, dials and publishes.
    pub fn stop(&mut self, _now: Instant) {
        self.stopped = true;
    }

    /// Every neighbour, by id.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourView> + '_ {
        self.neighbours.iter().map(|(id, n)| NeighbourView {
            id: *id,
            addr: n.info.addr,
            listen: n.info.listen,
            source: n.info.source,
            rtt: n.info.rtt,
            near: false,
            down_bytes: n.down,
            up_bytes: n.up,
            down_rate: 0,
            up_rate: 0,
            held: n.held.count(),
            complete: self.known && n.held.is_full(),
            choked: n.choked,
            interested: n.interested,
            server: self.fetching.values().any(|p| p == id),
            served: n.served,
        })
    }

    fn missing(&self) -> ChunkSet {
        let missing = self.wanted.iter().filter(|c| !self.held.contains(*c));
        ChunkSet::from_indices(self.wanted.len(), missing)
    }

    fn refresh(&mut self, peer: NeighbourId) {
        self.refresh_interest(peer);
        if self
            .neighbours
            .get(&peer)
            .is_some_and(|n| n.we_want && !n.choked)
        {
            self.actions.push_back(Action::Ask { peer });
        }
    }

    fn refresh_interest(&mut self, peer: NeighbourId) {
        let Some(n) = self.neighbours.get(&peer) else {
            return;
        };
        let wants = self.known
            && n.held
                .iter()
                .any(|c| self.wanted.contains(c) && !self.held.contains(c));
        if let Some(n) = self.neighbours.get_mut(&peer)
            && n.we_want != wants
        {
            n.we_want = wants;
            self.actions.push_back(Action::Interest {
                peer,
                interested: wants,
            });
        }
    }

    fn ask_all(&mut self) {
        let peers: Vec<_> = self.neighbours.keys().copied().collect();
        for peer in peers {
            self.refresh(peer);
        }
    }

    fn forget(&mut self, peer: NeighbourId) {
        self.neighbours.remove(&peer);
        self.fetching.retain(|_, p| *p != peer);
        self.ask_all();
    }

    fn dial(&mut self, _now: Instant) {
        if self.stopped || self.is_complete() {
            return;
        }
        while self.neighbours.len() + self.dialling.len() < self.config.target_neighbours
            && self.dialling.len() < self.config.max_half_open
        {
            let Some((addr, source)) = self.candidates.pop_front() else {
                break;
            };
            let connected = self
                .neighbours
                .values()
                .any(|n| n.info.listen == Some(addr));
            if !connected && !self.banned.contains(&addr.ip()) && self.dialling.insert(addr) {
                self.actions.push_back(Action::Dial { addr, source });
            }
        }
    }
}
