//! A hot object: what its root bears when everybody asks for it and publishes it, and what the askers get.
//!
//! One ring goes through all variants, each with an object (and so a root) of its own. Load is counted in datagrams that a
//! node receives; what it sends are the answers to them and its upkeep.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::net::{Net, What};
use super::scenario::Scenario;
use crate::chunks::ChunkSet;
use crate::id::ObjectId;
use crate::node::{Command, Event, HotConfig, LookupId, LookupRequest, NodeConfig, Publication};
use crate::time::Instant;
use crate::wire::{PeerAddrs, Ranking, Wanted};

/// Chunks of every object.
const CHUNKS: u32 = 1_000;
/// Peers that an answer names.
const P: u8 = 4; // paper 5.1
/// One lookup in so many goes on to the root.
const ROOT_EVERY: u64 = 4; // the client's default

/// Who does what in one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Nobody asks or publishes.
    Quiet,
    /// Every node publishes and asks; every fourth lookup goes on to the root.
    Everyone,
    /// Every node publishes and asks; every lookup goes on to the root.
    EveryoneToRoot,
    /// Three peers hold everything, fewer than an answer names; every node asks, each for chunks of its own.
    SwarmOfThree,
    /// Nobody holds anything; every node asks.
    Nobody,
    /// A tenth of the nodes publish, all ask.
    Popular,
}

impl Variant {
    /// All of them, in the order in which they run.
    pub const ALL: [Variant; 6] = [
        Variant::Quiet,
        Variant::Everyone,
        Variant::EveryoneToRoot,
        Variant::SwarmOfThree,
        Variant::Nobody,
        Variant::Popular,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Quiet => "quiet",
            Variant::Everyone => "everyone",
            Variant::EveryoneToRoot => "all to the root",
            Variant::SwarmOfThree => "swarm of three",
            Variant::Nobody => "nobody holds",
            Variant::Popular => "popular (10 %)",
        }
    }

    fn publishes(self, place: usize) -> bool {
        match self {
            Variant::Quiet | Variant::Nobody => false,
            Variant::Everyone | Variant::EveryoneToRoot => true,
            Variant::SwarmOfThree => place < 3,
            Variant::Popular => place.is_multiple_of(10),
        }
    }

    fn asks(self) -> bool {
        self != Variant::Quiet
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nodes.
    pub nodes: usize,
    /// How long the ring is left alone after everyone has started.
    pub settle: Duration,
    /// How long each variant goes on before it is measured.
    pub warm: Duration,
    /// How long each variant is measured.
    pub measure: Duration,
    /// Mean pause between two lookups of one node, and between two changes of what it publishes.
    pub every: Duration,
    /// What is run.
    pub variants: Vec<Variant>,
    /// How every node is set up.
    pub node: NodeConfig,
    /// Decides everything random.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 1_000,
            settle: Duration::from_secs(300),
            warm: Duration::from_secs(60),
            measure: Duration::from_secs(60),
            every: Duration::from_secs(4), // the client's pause between lookups
            variants: Variant::ALL.to_vec(),
            node: NodeConfig::default(),
            seed: 1,
        }
    }
}

/// One variant, measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which.
    pub variant: Variant,
    /// Datagrams a second that the object's root received.
    pub root: f64,
    /// Of these, by kind.
    pub root_by_kind: BTreeMap<&'static str, f64>,
    /// The same of the node that received the most, whichever it is.
    pub busiest: f64,
    /// The same of the median node.
    pub median: f64,
    /// Nodes from which the root received lookups or publications of this object, as far as it is known: those whose
    /// next hop it is.
    pub children: usize,
    /// Lookups that ended.
    pub lookups: u64,
    /// Of these, without an answer.
    pub unanswered: u64,
    /// Of these, answered short because the object is asked for too often, percent.
    pub loaded_percent: f64,
    /// Of these, answered by the root, percent.
    pub root_percent: f64,
    /// Of these, answered after at most two hops over the overlay, percent.
    pub two_hops_percent: f64,
    /// Of these, without any match, percent.
    pub empty_percent: f64,
    /// Matches in an answer.
    pub matches_mean: f64,
}

/// All variants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Nodes.
    pub nodes: usize,
    /// Binary logarithm of the nodes.
    pub log2_nodes: f64,
    /// Mean pause between two lookups of one node, seconds.
    pub every_s: f64,
    /// One for each variant.
    pub rows: Vec<Row>,
    /// Digest of every datagram.
    pub digest: String,
    /// The seed of the run.
    pub seed: u64,
}

impl Report {
    /// The root's datagrams a second in a variant, over those of the median node of the quiet ring.
    pub fn over_quiet(&self, row: &Row) -> Option<f64> {
        let quiet = self.rows.iter().find(|r| r.variant == Variant::Quiet)?;
        Some(row.root / quiet.median)
    }
}

/// Runs a plan; `progress` is told what is being done.
///
/// # Panics
/// If the plan's node configuration is out of range.
pub fn run(plan: &Plan, net: Net, mut progress: impl FnMut(&str)) -> Report {
    let mut scenario = Scenario::new(net, plan.node.clone());
    progress(&format!("{} nodes join", plan.nodes));
    let within = Duration::from_millis(50) * u32::try_from(plan.nodes).unwrap_or(u32::MAX);
    let within = within.min(Duration::from_secs(120));
    scenario.join_all(0..plan.nodes, within);
    scenario.run(within + plan.settle);
    let mut net = scenario.net;
    let mut rows = Vec::new();
    for variant in &plan.variants {
        progress(variant.name());
        rows.push(Crowd::new(plan, *variant).run(&mut net));
    }
    Report {
        nodes: plan.nodes,
        log2_nodes: (plan.nodes as f64).log2(),
        every_s: plan.every.as_secs_f64(),
        rows,
        digest: format!("{:016x}", net.digest()),
        seed: plan.seed,
    }
}

/// Settings with which everything is passed on, for comparison: no answer is kept, and no rate is reached.
pub fn unprotected() -> HotConfig {
    HotConfig {
        pass_every: Duration::from_micros(1),
        pass_burst: u32::MAX,
        full: usize::MAX,
        answer_life: Duration::ZERO,
        ..HotConfig::default()
    }
}

/// Everybody, at work on one object.
struct Crowd<'a> {
    plan: &'a Plan,
    variant: Variant,
    object: ObjectId,
    /// What each node holds.
    held: Vec<ChunkSet>,
    asked: Vec<u64>,
    next: u64,
    row: Row,
    hops_two: u64,
    loaded: u64,
    by_root: u64,
    empty: u64,
    matches: u64,
    measuring: bool,
}

impl<'a> Crowd<'a> {
    fn new(plan: &'a Plan, variant: Variant) -> Self {
        let object = ObjectId::from_name(variant.name().as_bytes());
        Self {
            plan,
            variant,
            object,
            held: vec![ChunkSet::empty(CHUNKS); plan.nodes],
            asked: vec![0; plan.nodes],
            next: 0,
            row: Row {
                variant,
                root: 0.0,
                root_by_kind: BTreeMap::new(),
                busiest: 0.0,
                median: 0.0,
                children: 0,
                lookups: 0,
                unanswered: 0,
                loaded_percent: 0.0,
                root_percent: 0.0,
                two_hops_percent: 0.0,
                empty_percent: 0.0,
                matches_mean: 0.0,
            },
            hops_two: 0,
            loaded: 0,
            by_root: 0,
            empty: 0,
            matches: 0,
            measuring: false,
        }
    }

    fn run(mut self, net: &mut Net) -> Row {
        for place in 0..self.plan.nodes {
            self.held[place] = self.first_chunks(net, place);
            let first = self.pause(net);
            net.alarm(first, place as u64);
        }
        self.advance(net, self.plan.warm);
        let before = received(net, self.plan.nodes);
        self.measuring = true;
        self.advance(net, self.plan.measure);
        self.measuring = false;
        let after = received(net, self.plan.nodes);
        self.count(net, &before, &after);
        // The alarms of this variant run out, and its entries are taken back.
        self.drain(net);
        self.row
    }

    fn first_chunks(&self, net: &mut Net, place: usize) -> ChunkSet {
        match self.variant {
            Variant::SwarmOfThree if place < 3 => ChunkSet::full(CHUNKS),
            _ => {
                let share = net.rng().random_range(0.0..1.0);
                let held = (0..CHUNKS).filter(|_| net.rng().random_bool(share));
                ChunkSet::from_indices(CHUNKS, held.collect::<Vec<_>>())
            }
        }
    }

    /// Half to one and a half times the mean.
    fn pause(&self, net: &mut Net) -> Duration {
        let share = net.rng().random_range(0.5..1.5);
        self.plan.every.mul_f64(share)
    }

    fn advance(&mut self, net: &mut Net, time: Duration) {
        let end = net.now() + time;
        self.advance_to(net, end, true);
    }

    fn advance_to(&mut self, net: &mut Net, end: Instant, go_on: bool) {
        while let Some(happening) = net.next(end) {
            match happening.what {
                What::Alarm(place) if go_on => {
                    let place = usize::try_from(place).unwrap_or(usize::MAX);
                    self.turn(net, place);
                    let pause = self.pause(net);
                    net.alarm(pause, place as u64);
                }
                What::Event {
                    event: Event::LookupDone { result, .. },
                    ..
                } if self.measuring => self.ended(result.ok()),
                _ => {}
            }
        }
    }

    /// One node publishes what it has come to hold, and asks for the rest.
    fn turn(&mut self, net: &mut Net, place: usize) {
        let addrs = PeerAddrs::from(net.addr(place));
        if self.variant.publishes(place) {
            let missing: Vec<u32> = self.held[place].iter_missing().take(3).collect();
            for chunk in missing {
                self.held[place].insert(chunk);
            }
            let publication = Publication {
                object: self.object,
                publisher: None,
                addrs,
                chunks: CHUNKS,
                held: self.held[place].clone(),
                load: 0,
                reachable: true,
                complete: self.held[place].is_full(),
            };
            net.command(place, Command::Publish(publication));
        }
        let wanted = self.held[place].complement();
        if self.variant.asks() && !wanted.is_none() {
            self.asked[place] += 1;
            let to_root = self.asked[place].is_multiple_of(ROOT_EVERY)
                || self.variant == Variant::EveryoneToRoot;
            let request = LookupRequest {
                object: self.object,
                wanted: Wanted::Chunks(wanted),
                p: P,
                mix: 2,
                ranking: Ranking::Hybrid,
                asker: addrs,
                ignore: Vec::new(),
                to_root,
                trace: false,
            };
            self.next += 1;
            net.command(place, Command::Lookup(LookupId(self.next), request));
        }
    }

    fn ended(&mut self, found: Option<crate::wire::Found>) {
        self.row.lookups += 1;
        let Some(found) = found else {
            self.row.unanswered += 1;
            return;
        };
        self.hops_two += u64::from(found.hops <= 3); // the asker's own node is the first
        self.loaded += u64::from(found.loaded);
        self.by_root += u64::from(found.root);
        self.empty += u64::from(found.matches.is_empty());
        self.matches += found.matches.len() as u64;
    }

    fn count(&mut self, net: &Net, before: &[Kinds], after: &[Kinds]) {
        let seconds = self.plan.measure.as_secs_f64();
        let rate = |place: usize| total(&after[place]) - total(&before[place]);
        let mut all: Vec<u64> = (0..self.plan.nodes).map(rate).collect();
        let row = &mut self.row;
        let percent = |n: u64| 100.0 * n as f64 / row.lookups.max(1) as f64;
        row.loaded_percent = percent(self.loaded);
        row.root_percent = percent(self.by_root);
        row.two_hops_percent = percent(self.hops_two);
        row.empty_percent = percent(self.empty);
        row.matches_mean = self.matches as f64 / row.lookups.max(1) as f64;
        if let Some(root) = net.root_of(self.object.key()) {
            row.root = all[root] as f64 / seconds;
            row.children = (0..self.plan.nodes)
                .filter_map(|place| net.node(place)?.next_hop(self.object.key(), &[]))
                .filter(|hop| net.place_of(hop.addr) == Some(root))
                .count();
            for (kind, n) in &after[root] {
                let then = before[root].get(kind).copied().unwrap_or(0);
                row.root_by_kind.insert(kind, (n - then) as f64 / seconds);
            }
        }
        all.sort_unstable();
        row.busiest = all.last().copied().unwrap_or(0) as f64 / seconds;
        row.median = all.get(all.len() / 2).copied().unwrap_or(0) as f64 / seconds;
    }

    fn drain(&mut self, net: &mut Net) {
        for place in 0..self.plan.nodes {
            net.command(place, Command::Withdraw(self.object, None));
        }
        let end = net.now() + self.plan.every * 2 + Duration::from_secs(20);
        self.advance_to(net, end, false);
    }
}

/// Datagrams received, by kind.
type Kinds = BTreeMap<&'static str, u64>;

fn received(net: &Net, nodes: usize) -> Vec<Kinds> {
    let of = |place| {
        let received = net.node(place).map(|n| &n.counters().received);
        let kinds = received.into_iter().flatten();
        kinds.map(|(kind, t)| (*kind, t.messages)).collect()
    };
    (0..nodes).map(of).collect()
}

fn total(kinds: &Kinds) -> u64 {
    kinds.values().sum()
}
