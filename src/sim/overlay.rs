//! The overlay, measured: a ring is built, left alone, put under churn, and asked.

use std::time::Duration;

use serde::Serialize;

use super::ideal::{Convergence, Row, convergence, tables};
use super::net::{Links, Net, Totals, wire_bytes};
use super::scenario::{Scenario, Score};
use super::topology::Topology;
use crate::node::NodeConfig;

/// Kinds of message that are not upkeep of the overlay.
const NOT_UPKEEP: [&str; 5] = ["lookup", "found", "ack", "publish", "propagate"];

/// Whether a kind of message keeps the ring up; the others ask and publish.
pub(super) fn is_upkeep(kind: &str) -> bool {
    !NOT_UPKEEP.contains(&kind)
}

/// Nodes whose tables are judged.
const TABLES: usize = 300;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nodes.
    pub nodes: usize,
    /// How long the ring is left alone after everyone has started; under churn, how long the churn has lasted already.
    pub settle: Duration,
    /// How long lookups are measured afterwards.
    pub measure: Duration,
    /// Median session; `None`: nobody leaves.
    pub churn: Option<Duration>,
    /// Lookups while measuring.
    pub lookups: u32,
    /// Pairs of nodes in each distance band.
    pub pairs: u64,
    /// How every node is set up.
    pub node: NodeConfig,
    /// How links treat datagrams.
    pub links: Links,
    /// Decides everything random.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 1_000,
            settle: Duration::from_secs(600),
            measure: Duration::from_secs(120),
            churn: None,
            lookups: 10_000,
            pairs: 2_000,
            node: NodeConfig::default(),
            links: Links::default(),
            seed: 1,
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Nodes.
    pub nodes: usize,
    /// Members at the end.
    pub members: usize,
    /// Median session in seconds, if there is churn.
    pub churn_s: Option<f64>,
    /// Nodes that went.
    pub deaths: u64,
    /// Hops to the right root.
    pub hops_mean: f64,
    /// Hops to the right root.
    pub hops_max: u8,
    /// Mean time of a lookup over the mean direct round-trip time to its root.
    pub stretch: f64,
    /// Median over lookups of their time over the direct round-trip time to their root.
    pub stretch_median: f64,
    /// Lookups that ended.
    pub lookups: u64,
    /// Of these, at the right root, percent.
    pub right_percent: f64,
    /// Of these, without any answer.
    pub unanswered: u64,
    /// Upkeep that one node sent while lookups were measured, bytes/s with IP and UDP headers.
    pub upkeep_rate: f64,
    /// The same without headers.
    pub upkeep_payload_rate: f64,
    /// By kind of message, bytes/s a node with headers, lookups included.
    pub rates: std::collections::BTreeMap<&'static str, f64>,
    /// Median relative error of coordinates over random pairs.
    pub coordinate_error: f64,
    /// Local convergence by distance band.
    pub convergence: Convergence,
    /// How good the routing tables are, row by row.
    pub tables: Vec<Row>,
    /// Digest of every datagram.
    pub digest: String,
    /// The seed of the run.
    pub seed: u64,
}

/// Runs a plan; `progress` is told what is being done.
///
/// # Panics
/// If the plan's node configuration is out of range.
pub fn run(plan: &Plan, topology: Topology, mut progress: impl FnMut(&str)) -> Report {
    let net = Net::new(topology, plan.links, plan.seed);
    let mut scenario = Scenario::new(net, plan.node.clone());
    progress(&format!("{} nodes join", plan.nodes));
    // Twenty a second for small rings, all within two minutes for large ones.
    let within = Duration::from_millis(50) * u32::try_from(plan.nodes).unwrap_or(u32::MAX);
    let within = within.min(Duration::from_secs(120));
    scenario.join_all(0..plan.nodes, within);
    scenario.run(within);
    scenario.churn(plan.churn);
    let step = Duration::from_secs(60);
    let mut left = plan.settle;
    while !left.is_zero() {
        let step = step.min(left);
        left -= step;
        scenario.run(step);
        progress(&format!(
            "{} members, {} s to settle",
            scenario.net.members().len(),
            left.as_secs()
        ));
    }
    progress("lookups");
    let before = scenario.net.totals();
    scenario.take_score();
    scenario.probe(Some(plan.measure / plan.lookups.max(1)));
    scenario.run(plan.measure);
    let rates = rates(&before, &scenario.net.totals());
    scenario.probe(None);
    scenario.run(Duration::from_secs(6));
    let score = scenario.take_score();
    progress("routes of near and far pairs");
    report(plan, &mut scenario, &score, &rates)
}

fn report(plan: &Plan, scenario: &mut Scenario, score: &Score, rates: &[Rate]) -> Report {
    let a_node = plan.measure.as_secs_f64() * plan.nodes as f64;
    let upkeep = |bytes: fn(&Rate) -> u64| {
        let kept = rates.iter().filter(|r| is_upkeep(r.kind));
        kept.map(bytes).sum::<u64>() as f64 / a_node
    };
    Report {
        nodes: plan.nodes,
        members: scenario.net.members().len(),
        churn_s: plan.churn.map(|m| m.as_secs_f64()),
        deaths: scenario.deaths(),
        hops_mean: score.mean_hops(),
        hops_max: score.max_hops(),
        stretch: score.stretch(),
        stretch_median: score.median_stretch(),
        lookups: score.ended,
        right_percent: score.right_percent(),
        unanswered: score.failed,
        upkeep_rate: upkeep(|r| r.wire),
        upkeep_payload_rate: upkeep(|r| r.payload),
        rates: rates
            .iter()
            .map(|r| (r.kind, r.wire as f64 / a_node))
            .collect(),
        coordinate_error: coordinate_error(&mut scenario.net),
        convergence: convergence(&mut scenario.net, plan.pairs),
        tables: tables(&mut scenario.net, TABLES),
        digest: format!("{:016x}", scenario.net.digest()),
        seed: plan.seed,
    }
}

/// What was sent of one kind of message.
struct Rate {
    kind: &'static str,
    payload: u64,
    wire: u64,
}

fn rates(before: &Totals, after: &Totals) -> Vec<Rate> {
    let sent = after.iter().map(|(kind, now)| {
        let then = before.get(kind).copied().unwrap_or_default();
        Rate {
            kind,
            payload: now.bytes - then.bytes,
            wire: wire_bytes(now) - wire_bytes(&then),
        }
    });
    sent.collect()
}

/// Median over random pairs of |predicted - real| / real.
fn coordinate_error(net: &mut Net) -> f64 {
    let mut errors = Vec::new();
    for _ in 0..5_000 {
        let (Some(a), Some(b)) = (net.random_member(), net.random_member()) else {
            continue;
        };
        let coord = |place| net.node(place).map(|n| n.coord());
        if let (true, Some(here), Some(there)) = (a != b, coord(a), coord(b)) {
            let real = net.topology().rtt(a, b).as_secs_f64();
            errors.push((here.rtt(&there).as_secs_f64() - real).abs() / real);
        }
    }
    errors.sort_by(f64::total_cmp);
    errors.get(errors.len() / 2).copied().unwrap_or(0.0)
}
