//! A deterministic network of nodes: virtual time, a latency for each pair, optional loss.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "each test binary uses a part; a failure prints its seed"
)]

pub(crate) mod attack;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{
    Command, Event, LookupError, LookupId, LookupRequest, Node, NodeConfig, Publication, Transmit,
};
use chunkcast::time::Instant;
use chunkcast::wire::{Found, PeerAddrs, Ranking, Wanted};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The seed of a test: `SEED` overrides, and a failure prints it.
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(default);
    println!("SEED={seed}");
    seed
}

pub(crate) fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 7000))
}

/// Where peer `n` serves chunks.
pub(crate) fn peer(n: u16) -> PeerAddrs {
    PeerAddrs::from(SocketAddr::from((
        [192, 168, (n >> 8) as u8, n as u8],
        6881,
    )))
}

pub(crate) fn object(name: &str) -> ObjectId {
    ObjectId::from_name(name.as_bytes())
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[derive(Debug)]
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

/// Everything that happened, to compare two runs.
pub(crate) type Trace = Vec<(u64, SocketAddr, SocketAddr, Vec<u8>)>;

/// Sender and datagram in, datagram out.
pub(crate) type Tamper = Box<dyn FnMut(SocketAddr, Vec<u8>) -> Vec<u8>>;

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<SocketAddr, Node>,
    pub(crate) events: BTreeMap<SocketAddr, Vec<Event>>,
    pub(crate) loss: f64,
    pub(crate) latency: Box<dyn Fn(SocketAddr, SocketAddr) -> Duration>,
    pub(crate) trace: Option<Trace>,
    /// By how much a node's own clock is behind, as after a sleep.
    pub(crate) behind: BTreeMap<SocketAddr, Duration>,
    /// Changes what a node sends.
    pub(crate) tamper: Option<Tamper>,
    /// Sees every datagram as it is sent.
    pub(crate) sent: u64,
    flights: BTreeMap<(Instant, u64), Flight>,
    wakes: std::collections::BTreeSet<(Instant, SocketAddr)>,
    wake_of: BTreeMap<SocketAddr, Instant>,
    next: u64,
    next_lookup: u64,
    rng: ChaCha8Rng,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            nodes: BTreeMap::new(),
            events: BTreeMap::new(),
            loss: 0.0,
            latency: Box::new(plane),
            trace: None,
            tamper: None,
            behind: BTreeMap::new(),
            sent: 0,
            flights: BTreeMap::new(),
            wakes: Default::default(),
            wake_of: BTreeMap::new(),
            next: 0,
            next_lookup: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A node at `addr`; its seed comes from the network's.
    pub(crate) fn add(&mut self, addr: SocketAddr, config: NodeConfig) -> SocketAddr {
        let node = Node::new(config, self.rng.random(), self.now).expect("a valid configuration");
        self.nodes.insert(addr, node);
        self.drain(addr);
        addr
    }

    /// A ring of `n` nodes that join through the first, some milliseconds after each other.
    pub(crate) fn ring(&mut self, n: usize) -> Vec<SocketAddr> {
        let first = self.add(addr(0), NodeConfig::default());
        let mut all = vec![first];
        for i in 1..n {
            all.push(self.add(addr(i), joining(first)));
            self.run(ms(20));
        }
        self.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
        all
    }

    /// A node's own clock.
    pub(crate) fn clock(&self, addr: SocketAddr) -> Instant {
        self.now - self.behind.get(&addr).copied().unwrap_or_default()
    }

    /// A node was handled from outside.
    pub(crate) fn wake(&mut self, addr: SocketAddr) {
        self.drain(addr);
    }

    pub(crate) fn kill(&mut self, addr: SocketAddr) {
        self.nodes.remove(&addr);
    }

    pub(crate) fn node(&self, addr: SocketAddr) -> &Node {
        &self.nodes[&addr]
    }

    pub(crate) fn command(&mut self, addr: SocketAddr, command: Command) {
        let now = self.clock(addr);
        self.nodes
            .get_mut(&addr)
            .expect("a living node")
            .handle_command(command, now);
        self.drain(addr);
    }

    /// Lets a datagram arrive now, from wherever.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let now = self.clock(to);
        self.nodes
            .get_mut(&to)
            .expect("a living node")
            .handle_datagram(from, payload, now);
        self.drain(to);
    }

    fn drain(&mut self, at: SocketAddr) {
        let Some(node) = self.nodes.get_mut(&at) else {
            return;
        };
        while let Some(Transmit { to, mut payload }) = node.poll_transmit() {
            self.sent += 1;
            if let Some(tamper) = &mut self.tamper {
                payload = tamper(at, payload);
            }
            assert!(
                payload.len() <= chunkcast::wire::MAX_DATAGRAM,
                "a datagram is too long"
            );
            if let Some(trace) = &mut self.trace {
                trace.push((self.now.as_micros(), at, to, payload.clone()));
            }
            if self.loss > 0.0 && self.rng.random_bool(self.loss) {
                continue;
            }
            let arrives = self.now + (self.latency)(at, to);
            self.flights.insert(
                (arrives, self.next),
                Flight {
                    from: at,
                    to,
                    payload,
                },
            );
            self.next += 1;
        }
        let mut dialled = false;
        while let Some(event) = node.poll_event() {
            if let Event::Dial { id, .. } = event {
                // Everybody here accepts connections.
                let reached = true;
                node.handle_command(Command::Dialled { id, reached }, self.now);
                dialled = true;
                continue;
            }
            self.events.entry(at).or_default().push(event);
        }
        if dialled {
            return self.drain(at);
        }
        let behind = self.behind.get(&at).copied().unwrap_or_default();
        let wake = node.poll_timeout().map(|due| due + behind);
        if let Some(old) = self.wake_of.remove(&at) {
            self.wakes.remove(&(old, at));
        }
        if let Some(wake) = wake {
            self.wakes.insert((wake, at));
            self.wake_of.insert(at, wake);
        }
    }

    /// The next thing happens, unless that is after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
        let wake = self.wakes.first().map(|(at, _)| *at);
        let Some(at) = flight.into_iter().chain(wake).min().filter(|at| *at <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(at);
        if flight.is_some_and(|f| wake.is_none_or(|w| f <= w)) {
            let (_, Flight { from, to, payload }) = self.flights.pop_first().expect("seen above");
            if self.nodes.contains_key(&to) {
                self.inject(from, to, &payload);
            }
        } else {
            let (_, addr) = self.wakes.pop_first().expect("seen above");
            self.wake_of.remove(&addr);
            let now = self.clock(addr);
            if let Some(node) = self.nodes.get_mut(&addr) {
                node.handle_timeout(now);
                let next = node.poll_timeout();
                assert!(next.is_none_or(|t| t > now), "a node that is never done");
                self.drain(addr);
            }
        }
        true
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Runs until the condition holds; panics if it does not within `time`.
    pub(crate) fn run_until(&mut self, time: Duration, mut condition: impl FnMut(&Net) -> bool) {
        let end = self.now + time;
        let mut check = self.now;
        loop {
            if self.now >= check {
                if condition(self) {
                    return;
                }
                check = self.now + ms(10);
            }
            if !self.step(end) {
                assert!(condition(self), "not within {time:?}");
                return;
            }
        }
    }

    pub(crate) fn lookup(
        &mut self,
        at: SocketAddr,
        change: impl FnOnce(&mut LookupRequest),
    ) -> Result<Found, LookupError> {
        self.next_lookup += 1;
        let id = LookupId(self.next_lookup);
        let mut request = LookupRequest {
            trace: false,
            object: object("o"),
            wanted: Wanted::Any,
            p: 4,
            mix: 0,
            ranking: Ranking::Overlap,
            asker: peer(0),
            ignore: Vec::new(),
            to_root: false,
        };
        change(&mut request);
        self.command(at, Command::Lookup(id, request));
        let done = |net: &Net| net.outcome(at, id).is_some();
        self.run_until(secs(30), done);
        self.outcome(at, id).expect("just waited for it")
    }

    fn outcome(&self, at: SocketAddr, wanted: LookupId) -> Option<Result<Found, LookupError>> {
        self.events.get(&at)?.iter().find_map(|e| match e {
            Event::LookupDone { id, result } if *id == wanted => Some(result.clone()),
            _ => None,
        })
    }

    /// The address of the node that is nearest to `key`.
    pub(crate) fn root_of(&self, key: &Id) -> SocketAddr {
        let best = self.nodes.iter().reduce(|a, b| {
            if key.prefers(&a.1.id(), &b.1.id()) {
                a
            } else {
                b
            }
        });
        *best.expect("a network has nodes").0
    }
}

/// Ten milliseconds to a hundred, fixed for each pair, as points on a plane.
fn plane(a: SocketAddr, b: SocketAddr) -> Duration {
    let point = |s: SocketAddr| {
        let std::net::IpAddr::V4(ip) = s.ip() else {
            return (0.0, 0.0);
        };
        let h = u32::from(ip).wrapping_mul(2_654_435_761);
        (f64::from(h >> 16), f64::from(h & 0xffff))
    };
    let ((ax, ay), (bx, by)) = (point(a), point(b));
    let d = ((ax - bx).powi(2) + (ay - by).powi(2)).sqrt();
    Duration::from_micros(1_000 + (d * 0.6) as u64)
}

pub(crate) fn joining(via: SocketAddr) -> NodeConfig {
    NodeConfig {
        bootstrap: vec![via],
        ..NodeConfig::default()
    }
}

/// Under which id peer `n` publishes.
pub(crate) fn tag(n: u16) -> Option<Id> {
    Some(ObjectId::from_name(&n.to_be_bytes()).0)
}

/// Peer `n` holds these of five chunks of the object "o".
pub(crate) fn holds(n: u16, chunks: impl IntoIterator<Item = u32>) -> Publication {
    Publication {
        object: object("o"),
        publisher: tag(n),
        addrs: peer(n),
        chunks: 5,
        held: ChunkSet::from_indices(5, chunks),
        load: 0,
        reachable: true,
        complete: false,
    }
}

pub(crate) fn publish(p: Publication) -> Command {
    Command::Publish(p)
}

/// An id that begins with these hexadecimal digits.
pub(crate) fn id(digits: &str) -> Id {
    format!("{digits:0<40}")
        .parse()
        .expect("hexadecimal digits")
}
