//! What all peers of a run share: time, messages, transfers, the directory, and what is counted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::plan::Plan;
use super::result::Cost;
use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::ObjectId;
use crate::node::{Command, LookupError, LookupId, LookupRequest, Publication};
use crate::sim::Internet;
use crate::sim::flows::{FlowId, FlowSpec, Flows, LinkId};
use crate::sim::net::Net;
use crate::sim::queue::Queue;
use crate::time::Instant;
use crate::wire::{Found, PeerAddrs};

/// Where peers accept connections.
const PORT: u16 = 6881;
/// A connection without a transfer for so long is closed (systems that keep none by themselves).
const KEPT: Duration = Duration::from_secs(60); // guess
/// How long a peer waits for an address at which nobody is.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3); // as the driver dials

/// What peers say to each other. Numbers are those of connections.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Open(u64),
    Opened(u64),
    Ready(u64),
    Close(u64),
    Chunks(u64, ChunkSet),
    Have(u64, u32),
    Interested(u64, bool),
    Serve(u64, bool),
    Request(u64, u32),
    Busy(u64, u32),
    Status(u64, ChunkSet, u8),
    Introduce(u64, Vec<SocketAddr>),
}

/// What happens to a peer.
#[derive(Debug)]
pub(super) enum Input {
    Start,
    Alarm(u64),
    Message {
        from: usize,
        message: Message,
    },
    /// The chunk has come, whole.
    Chunk {
        conn: u64,
        chunk: u32,
    },
    /// The chunk has gone, whole.
    Sent {
        conn: u64,
        chunk: u32,
    },
    Found {
        id: u64,
        result: Result<Found, LookupError>,
    },
    /// Nobody is there any more.
    Gone {
        peer: usize,
    },
}

#[derive(Debug)]
pub(super) enum Due {
    Tick,
    Input(usize, Input),
    Begin {
        from: usize,
        to: usize,
        conn: u64,
        chunk: u32,
    },
    Leave(usize),
}

#[derive(Debug)]
struct Transfer {
    from: usize,
    to: usize,
    conn: u64,
    chunk: u32,
    began: Instant,
    hops: u32,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) served: Vec<u64>,
    pub(super) into_stub: Vec<u64>,
    pub(super) cross: u64,
    pub(super) link_bytes: Vec<f64>,
    pub(super) goodput: Vec<f64>,
    pub(super) refused: u64,
    pub(super) duplicate_bytes: u64,
    pub(super) lost_bytes: u64,
    pub(super) digest: u64,
}

pub(super) struct Core {
    pub(super) plan: Plan,
    pub(super) internet: Internet,
    pub(super) net: Net,
    pub(super) queue: Queue<Due>,
    pub(super) rng: ChaCha8Rng,
    pub(super) tally: Tally,
    /// When the first downloader starts.
    pub(super) zero: Instant,
    pub(super) alive: Vec<bool>,
    /// Downloaders that live and are not done.
    pub(super) missing: usize,
    pub(super) done_at: Vec<Option<Instant>>,
    flows: Flows,
    transfers: BTreeMap<FlowId, Transfer>,
    uploads: Vec<usize>,
    /// The last transfer of systems that name no connection.
    warm: BTreeMap<(usize, usize), Instant>,
    next: u64,
    finished: Vec<FlowId>,
    links: Vec<u32>,
    /// Bytes a second of each link.
    capacities: Vec<f64>,
}

impl Core {
    pub(super) fn new(plan: Plan, internet: Internet, net: Net) -> Self {
        let peers = internet.topology().len();
        let mut capacities = internet.capacities();
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0x73_7761_726d);
        for peer in 1..peers {
            if rand::RngExt::random_bool(&mut rng, plan.trouble.slow) {
                capacities[internet.up(peer) as usize] /= 10.0;
            }
        }
        let zero = net.now();
        Self {
            tally: Tally {
                served: vec![0; peers],
                into_stub: vec![0; peers],
                ..Tally::default()
            },
            flows: Flows::new(capacities.clone()),
            capacities,
            queue: Queue::new(),
            zero,
            alive: vec![true; peers],
            missing: peers - 1,
            done_at: vec![None; peers],
            transfers: BTreeMap::new(),
            uploads: vec![0; peers],
            warm: BTreeMap::new(),
            next: 1,
            finished: Vec::new(),
            links: Vec::new(),
            plan,
            internet,
            net,
            rng,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.net.now()
    }

    pub(super) fn peers(&self) -> usize {
        self.alive.len()
    }

    /// A number that was never given before: of a connection or a lookup.
    pub(super) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn addr(&self, peer: usize) -> SocketAddr {
        SocketAddr::new(self.net.addr(peer).ip(), PORT)
    }

    /// Where nobody is: the place of a number beyond all peers.
    pub(super) fn dead_addr(&self, number: usize) -> SocketAddr {
        let place = u32::try_from(self.peers() + number).expect("far fewer than 2^24 places");
        SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | place), PORT))
    }

    pub(super) fn peer_at(&self, addr: SocketAddr) -> Option<usize> {
        let std::net::IpAddr::V4(ip) = addr.ip() else {
            return None;
        };
        let place = usize::try_from(u32::from(ip) & 0x00ff_ffff).ok()?;
        (addr.port() == PORT && place < self.peers()).then_some(place)
    }

    /// Bytes a second that a peer can send.
    pub(super) fn up(&self, peer: usize) -> f64 {
        self.capacities[self.internet.up(peer) as usize]
    }

    /// Bytes a second that a peer can receive.
    pub(super) fn down(&self, peer: usize) -> f64 {
        self.capacities[self.internet.down(peer) as usize]
    }

    /// Addresses at which nobody is.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the peers"
    )]
    pub(super) fn dead(&self) -> usize {
        (self.plan.trouble.dead * self.peers() as f64).round() as usize
    }

    /// Transfers that will have ended after the next step, at the present rates.
    pub(super) fn ending(&self, conns: &mut Vec<u64>) {
        let step = self.plan.tick.as_secs_f64();
        conns.clear();
        let soon = |flow: FlowId| self.flows.left(flow) <= self.flows.rate(flow) * step;
        let ending = self.transfers.iter().filter(|(flow, _)| soon(**flow));
        conns.extend(ending.map(|(_, t)| t.conn));
    }

    pub(super) fn rtt(&self, a: usize, b: usize) -> Duration {
        self.internet.topology().rtt(a, b)
    }

    pub(super) fn at(&mut self, peer: usize, at: Instant, input: Input) {
        self.queue.push(at.max(self.now()), Due::Input(peer, input));
    }

    /// Says something to a peer; it arrives half a round trip later, or the sender hears that nobody is there.
    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        self.send_at(self.now(), from, to, message);
    }

    fn send_at(&mut self, at: Instant, from: usize, to: usize, message: Message) {
        let rtt = self.rtt(from, to);
        if self.alive[to] {
            self.at(to, at + rtt / 2, Input::Message { from, message });
        } else {
            self.at(from, at + rtt, Input::Gone { peer: to });
        }
    }

    /// Asks for a chunk without a connection of one's own: 3 more round trips unless there was one lately.
    pub(super) fn request(&mut self, from: usize, to: usize, chunk: u32) {
        let now = self.now();
        let key = (from.min(to), from.max(to));
        let rtt = self.rtt(from, to);
        let kept = self.warm.get(&key).is_some_and(|at| now - *at < KEPT);
        self.warm.insert(key, now);
        let extra = if kept { Duration::ZERO } else { rtt * 3 };
        self.send_at(now + extra, from, to, Message::Request(0, chunk));
    }

    /// Whether the peer may begin another transfer under the plan's limit.
    pub(super) fn has_slot(&self, peer: usize) -> bool {
        self.plan.slots == 0 || self.uploads[peer] < self.plan.slots
    }

    /// Sends a chunk; on a connection that has carried none yet, one round trip later (slow start).
    pub(super) fn upload(&mut self, from: usize, to: usize, conn: u64, chunk: u32, fresh: bool) {
        self.uploads[from] += 1;
        let rtt = self.rtt(from, to);
        let delay = if fresh { rtt } else { Duration::ZERO };
        let at = self.now() + delay;
        self.queue.push(
            at,
            Due::Begin {
                from,
                to,
                conn,
                chunk,
            },
        );
    }

    pub(super) fn begin(&mut self, from: usize, to: usize, conn: u64, chunk: u32) {
        if !self.alive[from] || !self.alive[to] {
            self.uploads[from] = self.uploads[from].saturating_sub(1);
            return;
        }
        let rtt = self.rtt(from, to).as_secs_f64();
        let hops = self.internet.route(from, to, &mut self.links);
        let flow = self.flows.start(FlowSpec {
            links: self.links.iter().map(|l| LinkId(*l)).collect(),
            bytes: self.plan.chunk_bytes,
            ceiling: self.plan.window as f64 / rtt,
            weight: if self.plan.trouble.rtt_bias {
                1.0 / rtt
            } else {
                1.0
            },
        });
        let transfer = Transfer {
            from,
            to,
            conn,
            chunk,
            began: self.now(),
            hops,
        };
        self.transfers.insert(flow, transfer);
    }

    /// A step of all transfers.
    pub(super) fn tick(&mut self) {
        let mut finished = std::mem::take(&mut self.finished);
        finished.clear();
        self.flows.step(self.plan.tick.as_secs_f64(), &mut finished);
        for flow in &finished {
            if let Some(t) = self.transfers.remove(flow) {
                self.arrived(&t);
            }
        }
        self.finished = finished;
        if self.missing > 0 {
            let next = self.now() + self.plan.tick;
            self.queue.push(next, Due::Tick);
        }
    }

    fn arrived(&mut self, t: &Transfer) {
        let bytes = self.plan.chunk_bytes;
        self.account(t, bytes);
        self.uploads[t.from] -= 1;
        let now = self.now();
        let Transfer {
            from,
            to,
            conn,
            chunk,
            ..
        } = *t;
        if conn == 0 {
            self.warm.insert((from.min(to), from.max(to)), now);
        }
        self.at(from, now, Input::Sent { conn, chunk });
        let there = now + self.rtt(from, to) / 2;
        self.at(to, there, Input::Chunk { conn, chunk });
    }

    fn account(&mut self, t: &Transfer, bytes: u64) {
        let now = self.now();
        self.tally.served[t.from] += bytes;
        let (out, into) = (self.internet.stub(t.from), self.internet.stub(t.to));
        if out != into {
            self.tally.cross += bytes;
            self.tally.into_stub[into] += bytes;
        }
        let (a, b) = (
            (t.began - self.zero).as_secs_f64(),
            (now - self.zero).as_secs_f64(),
        );
        spread(
            &mut self.tally.link_bytes,
            a,
            b,
            bytes as f64 * f64::from(t.hops),
        );
        spread(&mut self.tally.goodput, a, b, bytes as f64);
        for word in [
            t.from as u64,
            t.to as u64,
            u64::from(t.chunk),
            now.as_micros(),
        ] {
            self.tally.digest = (self.tally.digest ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Ends every transfer of a peer that is gone.
    pub(super) fn cut(&mut self, peer: usize) {
        let cut: Vec<FlowId> = self
            .transfers
            .iter()
            .filter(|(_, t)| t.from == peer || t.to == peer)
            .map(|(id, _)| *id)
            .collect();
        for flow in cut {
            let carried = self.flows.cancel(flow).unwrap_or(0);
            if let Some(t) = self.transfers.remove(&flow) {
                self.account(&t, carried);
                self.tally.lost_bytes += carried;
                self.uploads[t.from] -= 1;
                let now = self.now();
                let Transfer {
                    from, conn, chunk, ..
                } = t;
                if from != peer {
                    self.at(from, now, Input::Sent { conn, chunk });
                }
            }
        }
    }

    /// Asks the directory; answered by [`Input::Found`].
    pub(super) fn lookup(&mut self, peer: usize, request: LookupRequest) -> u64 {
        let id = self.fresh();
        self.net
            .command(peer, Command::Lookup(LookupId(id), request));
        id
    }

    pub(super) fn publish(
        &mut self,
        peer: usize,
        object: ObjectId,
        chunks: u32,
        held: ChunkSet,
        complete: bool,
        load: u8,
    ) {
        let publication = Publication {
            object,
            publisher: None,
            addrs: PeerAddrs::from(self.addr(peer)),
            chunks,
            held,
            load,
            reachable: true,
            complete,
        };
        self.net.command(peer, Command::Publish(publication));
    }

    /// The coordinate of the peer's index node.
    pub(super) fn coord(&self, peer: usize) -> Option<Coord> {
        self.net.node(peer).map(crate::node::Node::coord)
    }

    /// The peer has everything.
    pub(super) fn completed(&mut self, peer: usize) {
        if self.done_at[peer].is_none() {
            self.done_at[peer] = Some(self.now());
            self.missing -= 1;
        }
    }

    /// What the directory has sent so far: lookups, publications and what passes them on, and upkeep of the ring.
    pub(super) fn cost(&self) -> (Cost, Cost) {
        let (mut directory, mut upkeep) = (Cost::default(), Cost::default());
        for (kind, traffic) in self.net.totals() {
            let sum = match crate::sim::overlay::is_upkeep(kind) {
                true => &mut upkeep,
                false => &mut directory,
            };
            sum.messages += traffic.messages;
            sum.bytes += crate::sim::net::wire_bytes(&traffic);
        }
        (directory, upkeep)
    }
}

/// Spreads an amount evenly over the seconds from `a` to `b`.
fn spread(buckets: &mut Vec<f64>, a: f64, b: f64, amount: f64) {
    let length = (b - a).max(1e-9);
    let mut at = a.max(0.0);
    loop {
        let bucket = second(at);
        if buckets.len() <= bucket {
            buckets.resize(bucket + 1, 0.0);
        }
        let end = ((bucket + 1) as f64).min(b);
        buckets[bucket] += amount * ((end - at) / length).max(0.0);
        if end >= b {
            break;
        }
        at = end;
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a run lasts hours at most"
)]
fn second(at: f64) -> usize {
    at as usize
}
