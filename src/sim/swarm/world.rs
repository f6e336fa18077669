//! One run: the ring of index nodes comes up, then the downloads.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::by_chunk::ByChunk;
use super::client::ClientPeer;
use super::core::{Core, Due, Input};
use super::plan::{Place, Plan, Trouble};
use super::result::{Cost, Download, RunResult, System};
use super::{bittorrent, by_chunk, dead, oracle};
use crate::auth::seal::NetworkKey;
use crate::client::{ClientConfig, Ranking};
use crate::id::ObjectId;
use crate::node::{Event, Network, NodeConfig};
use crate::sim::Internet;
use crate::sim::net::{Happening, Links, Net, What};
use crate::sim::scenario::Scenario;
use crate::time::Instant;

/// How long the seed is there before the first downloader starts.
const LEAD: Duration = Duration::from_secs(20);

/// A peer of one system.
pub(super) trait Peer {
    fn handle(&mut self, input: Input, core: &mut Core);
    /// Chunks that it holds.
    fn held(&self) -> u32;
}

/// Runs a plan.
///
/// # Panics
/// If the plan's place or client configuration is out of range.
pub fn run(plan: &Plan) -> RunResult {
    let internet = place(plan);
    let net = ring(plan, &internet);
    let mut world = World::new(plan.clone(), internet, net);
    world.run();
    world.result()
}

fn place(plan: &Plan) -> Internet {
    match &plan.place {
        Place::Internet(spec) => Internet::generate(spec, plan.seed),
        Place::Matrix(text, spec) => Internet::from_matrix(text, spec, plan.seed)
            .expect("the caller has read the matrix once"),
        Place::Sites(spec) => Internet::sites(spec, plan.seed),
    }
}

/// Index nodes beside the peers, up and joined, for the systems that have any.
fn ring(plan: &Plan, internet: &Internet) -> Net {
    let Trouble {
        error_share, error, ..
    } = plan.trouble;
    let mut measured = internet.topology().clone();
    if error_share > 0.0 || error > Duration::ZERO {
        measured = measured.distorted(error_share, error, plan.seed);
    }
    let net = Net::new(measured, Links::default(), plan.seed);
    if matches!(plan.system, System::BitTorrent | System::Oracle) {
        return net;
    }
    let peers = internet.topology().len();
    let mut config = NodeConfig::default();
    if !plan.open {
        config.network = Network::Closed(NetworkKey([7; 32]));
    }
    if matches!(plan.system, System::Random | System::ConstrainedLocality) {
        by_chunk::configure(&mut config.directory);
    }
    let mut scenario = Scenario::new(net, config);
    let within = Duration::from_millis(50) * u32::try_from(peers).unwrap_or(u32::MAX);
    let within = within.min(Duration::from_secs(60));
    scenario.join_all(0..peers, within);
    scenario.run(within + plan.settle);
    scenario.net
}

struct World {
    core: Core,
    object: ObjectId,
    peers: Vec<Box<dyn Peer>>,
    started: Vec<Option<Instant>>,
    before: (Cost, Cost),
    directory_bytes: Vec<u64>,
    sampled: u64,
}

impl World {
    fn new(plan: Plan, internet: Internet, net: Net) -> Self {
        let peers = internet.topology().len();
        let mut core = Core::new(plan, internet, net);
        let now = core.now();
        let object = ObjectId::from_name(b"the file");
        let list = match core.plan.system {
            System::BitTorrent => bittorrent::swarm(&core),
            System::Oracle => oracle::swarm(&core),
            _ => (0..peers)
                .map(|me| {
                    let seed = core.rng.next_u64();
                    peer(me, object, seed, now, &core)
                })
                .collect(),
        };
        Self {
            before: core.cost(),
            core,
            object,
            peers: list,
            started: vec![None; peers],
            directory_bytes: Vec::new(),
            sampled: 0,
        }
    }

    fn run(&mut self) {
        let begin = self.core.now();
        self.core.queue.push(begin, Due::Input(0, Input::Start));
        let zero = begin + LEAD;
        self.core.zero = zero;
        let mut rng = ChaCha8Rng::seed_from_u64(self.core.plan.seed ^ 0x6a6f_696e);
        let within = self.core.plan.trouble.join_within;
        let bound = self.bound();
        for peer in 1..self.peers.len() {
            let start = zero + within.mul_f64(rng.random_range(0.0..1.0));
            self.core.queue.push(start, Due::Input(peer, Input::Start));
            if rng.random_bool(self.core.plan.trouble.leave) {
                let stay = bound * rng.random_range(0.25..0.75);
                self.core
                    .queue
                    .push(start + Duration::from_secs_f64(stay), Due::Leave(peer));
            }
        }
        self.core.queue.push(zero, Due::Tick);
        let limit = zero + self.core.plan.limit;
        while self.core.missing > 0 && self.core.now() < limit {
            let at = self.core.queue.next_at().unwrap_or(limit).min(limit);
            self.advance(at);
        }
        let end = self.core.now() + self.core.plan.tail;
        while self.core.now() < end {
            let at = self.core.queue.next_at().unwrap_or(end).min(end);
            self.advance(at);
        }
    }

    /// Whatever comes next, at `at` at the latest.
    fn advance(&mut self, at: Instant) {
        if let Some(happening) = self.core.net.next(at) {
            self.happened(happening);
        } else if let Some((_, due)) = self.core.queue.pop(at) {
            self.due(due);
        }
        self.sample();
    }

    fn happened(&mut self, happening: Happening) {
        if let What::Event {
            place,
            event: Event::LookupDone { id, result },
        } = happening.what
            && place < self.peers.len()
            && self.core.alive[place]
        {
            self.peers[place].handle(Input::Found { id: id.0, result }, &mut self.core);
        }
    }

    fn due(&mut self, due: Due) {
        match due {
            Due::Tick => self.core.tick(),
            Due::Input(peer, input) => {
                let starts = matches!(input, Input::Start);
                if starts {
                    self.started[peer] = Some(self.core.now());
                }
                if self.core.alive[peer] && self.started[peer].is_some() {
                    self.peers[peer].handle(input, &mut self.core);
                } else if let Input::Chunk { .. } = input {
                    self.core.tally.lost_bytes += self.core.plan.chunk_bytes;
                }
                if starts && peer == 0 && self.core.plan.trouble.dead > 0.0 {
                    dead::publish(self.object, &mut self.core);
                }
            }
            Due::Begin {
                from,
                to,
                conn,
                chunk,
            } => self.core.begin(from, to, conn, chunk),
            Due::Leave(peer) => self.leave(peer),
        }
    }

    /// A peer ends without a word; its connections break.
    fn leave(&mut self, peer: usize) {
        if self.core.done_at[peer].is_some() || !self.core.alive[peer] {
            return;
        }
        self.core.alive[peer] = false;
        self.core.missing -= 1;
        self.core.net.kill(peer);
        self.core.cut(peer);
        let now = self.core.now();
        for other in (0..self.peers.len()).filter(|o| *o != peer) {
            let heard = now + self.core.rtt(peer, other) / 2;
            self.core.at(other, heard, Input::Gone { peer });
        }
    }

    fn sample(&mut self) {
        let second = (self.core.now() - self.core.zero).as_secs();
        while self.sampled < second {
            self.sampled += 1;
            let sent = self.core.cost().0.bytes - self.before.0.bytes;
            let before: u64 = self.directory_bytes.iter().sum();
            self.directory_bytes.push(sent - before);
        }
    }

    fn bound(&self) -> f64 {
        let plan = &self.core.plan;
        let mut access: Vec<f64> = (1..self.peers.len())
            .map(|p| self.core.internet.access_capacity(p))
            .collect();
        access.sort_by(f64::total_cmp);
        (plan.chunk_bytes * u64::from(plan.chunks)) as f64 / access[access.len() / 2]
    }

    fn result(self) -> RunResult {
        let bound_s = self.bound();
        let core = &self.core;
        let plan = &core.plan;
        let size = (plan.chunk_bytes * u64::from(plan.chunks)) as f64;
        let (directory, upkeep) = core.cost();
        let minus = |a: Cost, b: Cost| Cost {
            messages: a.messages - b.messages,
            bytes: a.bytes - b.bytes,
        };
        let peers = self.peers.len();
        let seed_stub = core.internet.stub(0);
        let mut stubs: Vec<usize> = (1..peers).map(|p| core.internet.stub(p)).collect();
        stubs.sort_unstable();
        stubs.dedup();
        RunResult {
            system: plan.system,
            slots: plan.slots,
            variant: plan.variant.clone(),
            seed: plan.seed,
            peers,
            chunks: plan.chunks,
            chunk_bytes: plan.chunk_bytes,
            bound_s,
            ended_s: (core.now() - core.zero).as_secs_f64(),
            downloads: (1..peers)
                .map(|p| Download {
                    peer: p,
                    stub: core.internet.stub(p),
                    took_s: core.done_at[p]
                        .zip(self.started[p])
                        .map(|(d, s)| (d - s).as_secs_f64()),
                    left: !core.alive[p],
                    chunks: self.peers[p].held(),
                })
                .collect(),
            served: core.tally.served.clone(),
            stub_copies: stubs
                .iter()
                .filter(|s| **s != seed_stub)
                .map(|s| core.tally.into_stub[*s] as f64 / size)
                .collect(),
            seed_copies: core.tally.served[0] as f64 / size,
            cross_bytes: core.tally.cross,
            link_bytes: whole(&core.tally.link_bytes),
            goodput: whole(&core.tally.goodput),
            directory: minus(directory, self.before.0),
            upkeep: minus(upkeep, self.before.1),
            directory_bytes: self.directory_bytes.clone(),
            refused: core.tally.refused,
            duplicate_bytes: core.tally.duplicate_bytes,
            lost_bytes: core.tally.lost_bytes,
            digest: core.tally.digest ^ core.net.digest(),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums of bytes"
)]
fn whole(buckets: &[f64]) -> Vec<u64> {
    buckets.iter().map(|b| b.round() as u64).collect()
}

fn peer(me: usize, object: ObjectId, seed: u64, now: Instant, core: &Core) -> Box<dyn Peer> {
    let plan = &core.plan;
    match plan.system {
        System::Random | System::ConstrainedLocality => {
            let nearest = plan.system == System::ConstrainedLocality;
            Box::new(ByChunk::new(me, nearest, plan.chunks))
        }
        _ => {
            let config = plan
                .client
                .clone()
                .unwrap_or_else(|| client_config(plan.system, plan.slots));
            config.validate().expect("a valid client configuration");
            Box::new(ClientPeer::new(
                me,
                object,
                config,
                seed,
                now,
                core.addr(me),
            ))
        }
    }
}

/// The client of a ChunkCast system under the plan's limit of uploads: whoever asks for more is refused at once, and
/// nobody is choked.
pub fn client_config(system: System, slots: usize) -> ClientConfig {
    let ranking = match system {
        System::ChunkCastOverlap => Ranking::Overlap,
        System::ChunkCastHybrid => Ranking::Hybrid,
        _ => Ranking::Closeness,
    };
    let config = match system {
        System::ChunkCastExtended => ClientConfig::default(),
        _ => ClientConfig {
            ranking,
            ..ClientConfig::paper()
        },
    };
    ClientConfig {
        uploads: slots,
        slots: 0,
        ..config
    }
}
