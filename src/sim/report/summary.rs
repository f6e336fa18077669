//! The figures of single runs, and their medians and spreads over topologies.
//!
//! A downloader that was not done when its run ended, and had not left, counts as one that takes for ever: it shifts the
//! quantiles, and a quantile that falls on it has no value (`None`, "never" in tables). One that left counts in no time.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sim::swarm::{RunResult, System};

/// Quantiles of download times, interpolated between neighbours; `None`: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// The 10th percentile.
    pub p10: Option<f64>,
    /// The median.
    pub median: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The last one.
    pub slowest: Option<f64>,
}

/// One run as a row of numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunFigures {
    /// Downloaders, all.
    pub downloaders: usize,
    /// Of these, not done when the run ended although they had not left.
    pub unfinished: usize,
    /// Of these, left before they were done.
    pub left: usize,
    /// Download times in seconds.
    pub seconds: Times,
    /// Download times / [`RunResult::bound_s`].
    pub times: Times,
    /// Mean of [`RunResult::stub_copies`]; `None`: no stub counts.
    pub copies: Option<f64>,
    /// Most of [`RunResult::stub_copies`].
    pub copies_most: Option<f64>,
    /// Copies of the file that the seed sent.
    pub seed_copies: f64,
    /// Bytes from stub to stub / (size of the file x downloaders).
    pub cross: f64,
    /// Bytes from stub to stub / those of `bittorrent` on the same topology.
    pub cross_vs_bittorrent: Option<f64>,
    /// How much shorter the median time is than `random`'s on the same topology, percent; negative: longer.
    pub below_random: Option<f64>,
    /// The same for `constrained-locality`.
    pub below_constrained: Option<f64>,
    /// Directory, kB (1,000 bytes) sent a peer.
    pub directory_kb: f64,
    /// Directory, datagrams sent a peer.
    pub directory_messages: f64,
    /// Upkeep of the ring, kB sent a peer.
    pub upkeep_kb: f64,
    /// Requests refused by a full server.
    pub refused: u64,
    /// Bytes of chunks that the receiver had already / (size of the file x downloaders).
    pub duplicates: f64,
}

/// Median, least and most over topologies; `None` is more than any number in a time, and left out otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: Option<f64>,
    /// The least.
    pub least: Option<f64>,
    /// The most.
    pub most: Option<f64>,
}

/// One system in one setting, over all topologies. Fields are as in [`RunFigures`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What was varied; `plain` if nothing was.
    pub variant: String,
    /// Peers, the seed included; the median if topologies differ.
    pub peers: usize,
    /// Most transfers that a peer sends at once; 0: no limit.
    pub slots: usize,
    /// The system.
    pub system: System,
    /// Runs, each on a topology of its own.
    pub topologies: usize,
    /// The bound in seconds.
    pub bound_s: Spread,
    /// Downloaders of all runs together.
    pub downloaders: usize,
    /// Of these, not done when their run ended although they had not left.
    pub unfinished: usize,
    /// Of these, left before they were done.
    pub left: usize,
    /// 10th percentile of times / bound.
    pub p10: Spread,
    /// Median of times / bound.
    pub median: Spread,
    /// 90th percentile of times / bound.
    pub p90: Spread,
    /// Slowest time / bound.
    pub slowest: Spread,
    /// Percent below `random`, topology by topology.
    pub below_random: Spread,
    /// Percent below `constrained-locality`, topology by topology.
    pub below_constrained: Spread,
    /// Mean copies into a stub.
    pub copies: Spread,
    /// Most copies into one stub.
    pub copies_most: Spread,
    /// Copies that the seed sent.
    pub seed_copies: Spread,
    /// Bytes from stub to stub in files a downloader.
    pub cross: Spread,
    /// Bytes from stub to stub / `bittorrent`'s.
    pub cross_vs_bittorrent: Spread,
    /// Directory, kB a peer.
    pub directory_kb: Spread,
    /// Directory, datagrams a peer.
    pub directory_messages: Spread,
    /// Upkeep, kB a peer.
    pub upkeep_kb: Spread,
    /// Requests refused, a run.
    pub refused: Spread,
    /// Duplicate bytes in files a downloader.
    pub duplicates: Spread,
}

/// The figures of each run, in the order of the runs; the baselines are looked for among `results` themselves.
pub fn figures(results: &[RunResult]) -> Vec<RunFigures> {
    let seconds: Vec<Times> = results.iter().map(seconds).collect();
    let index: BTreeMap<_, usize> = results
        .iter()
        .enumerate()
        .map(|(i, r)| ((on(r), r.system), i))
        .collect();
    let run = |(i, r): (usize, &RunResult)| {
        let beside = |system| index.get(&(on(r), system)).copied();
        let below = |system| {
            let other = seconds[beside(system)?].median.filter(|s| *s > 0.0)?;
            Some(100.0 * (1.0 - seconds[i].median? / other))
        };
        let bittorrent = beside(System::BitTorrent).map(|b| results[b].cross_bytes as f64);
        RunFigures {
            cross_vs_bittorrent: bittorrent
                .filter(|b| *b > 0.0)
                .map(|b| r.cross_bytes as f64 / b),
            below_random: below(System::Random),
            below_constrained: below(System::ConstrainedLocality),
            ..alone(r, seconds[i])
        }
    };
    results.iter().enumerate().map(run).collect()
}

/// Medians and spreads over the topologies of each setting and system, in the order in which settings first appear and of
/// [`System::ALL`].
pub fn summarize(results: &[RunResult]) -> Vec<Summary> {
    let figures = figures(results);
    let mut summaries = Vec::new();
    for setting in settings(results) {
        for system in System::ALL {
            let of_system = |i: &&usize| results[**i].system == system;
            let runs: Vec<usize> = setting.runs.iter().filter(of_system).copied().collect();
            if !runs.is_empty() {
                summaries.push(summary(&setting, system, &runs, results, &figures));
            }
        }
    }
    summaries
}

/// What is the same for all systems that are compared, over all topologies.
pub(super) struct Setting {
    /// See [`Summary::variant`].
    pub(super) variant: String,
    /// See [`Summary::peers`].
    pub(super) peers: usize,
    /// See [`Summary::slots`].
    pub(super) slots: usize,
    /// Numbers of the runs.
    pub(super) runs: Vec<usize>,
}

/// Runs by setting, in the order in which settings first appear. Topologies of one setting may differ by some peers: sizes
/// that run on one topology are told apart by their order.
pub(super) fn settings(results: &[RunResult]) -> Vec<Setting> {
    let mut sizes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for r in results {
        let sizes = sizes.entry((&r.variant, r.slots, r.seed)).or_default();
        if let Err(at) = sizes.binary_search(&r.peers) {
            sizes.insert(at, r.peers);
        }
    }
    let mut order = Vec::new();
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (i, r) in results.iter().enumerate() {
        let size = sizes[&(&r.variant, r.slots, r.seed)]
            .iter()
            .position(|p| *p == r.peers);
        let key = (&r.variant, r.slots, size);
        if !groups.contains_key(&key) {
            order.push(key);
        }
        groups.entry(key).or_default().push(i);
    }
    let setting = |key| {
        let runs: Vec<usize> = groups.remove(&key).unwrap_or_default();
        let mut peers: Vec<usize> = runs.iter().map(|i| results[*i].peers).collect();
        peers.sort_unstable();
        Setting {
            variant: variant(key.0),
            peers: peers[peers.len() / 2],
            slots: key.1,
            runs,
        }
    };
    order.into_iter().map(setting).collect()
}

/// The name of a variant for readers.
pub(super) fn variant(name: &str) -> String {
    if name.is_empty() { "plain" } else { name }.to_owned()
}

/// Bytes of the file.
pub(super) fn file_bytes(r: &RunResult) -> f64 {
    f64::from(r.chunks) * r.chunk_bytes as f64
}

/// What another system's run must share to be compared with this one.
fn on(r: &RunResult) -> (&str, usize, usize, u64) {
    (&r.variant, r.peers, r.slots, r.seed)
}

/// Times that were taken, sorted, and how many downloaders take for ever.
pub(super) fn taken(r: &RunResult) -> (Vec<f64>, usize) {
    let stayed = r.downloads.iter().filter(|d| !d.left);
    let mut times: Vec<f64> = stayed.clone().filter_map(|d| d.took_s).collect();
    times.sort_by(f64::total_cmp);
    let never = stayed.count() - times.len();
    (times, never)
}

fn seconds(r: &RunResult) -> Times {
    let (times, never) = taken(r);
    let quantile = |percent| quantile(&times, never, percent);
    Times {
        p10: quantile(10),
        median: quantile(50),
        p90: quantile(90),
        slowest: quantile(100),
    }
}

/// A quantile of sorted numbers followed by `never` endless ones, interpolated.
fn quantile(sorted: &[f64], never: usize, percent: usize) -> Option<f64> {
    let last = (sorted.len() + never).checked_sub(1)?;
    let (at, rest) = (last * percent / 100, last * percent % 100);
    let low = *sorted.get(at)?;
    if rest == 0 {
        return Some(low);
    }
    let high = *sorted.get(at + 1)?;
    Some(low + (high - low) * rest as f64 / 100.0)
}

/// What needs no other run.
fn alone(r: &RunResult, seconds: Times) -> RunFigures {
    let file = file_bytes(r);
    let downloaders = r.downloads.len();
    let over_bound = |s: Option<f64>| s.filter(|_| r.bound_s > 0.0).map(|s| s / r.bound_s);
    let files = |bytes: u64| share(bytes as f64, file * downloaders as f64);
    let a_peer = |n: u64| share(n as f64, r.peers as f64);
    let copies = &r.stub_copies;
    RunFigures {
        downloaders,
        unfinished: taken(r).1,
        left: r.downloads.iter().filter(|d| d.left).count(),
        seconds,
        times: Times {
            p10: over_bound(seconds.p10),
            median: over_bound(seconds.median),
            p90: over_bound(seconds.p90),
            slowest: over_bound(seconds.slowest),
        },
        copies: (!copies.is_empty()).then(|| copies.iter().sum::<f64>() / copies.len() as f64),
        copies_most: copies.iter().copied().reduce(f64::max),
        seed_copies: r.seed_copies,
        cross: files(r.cross_bytes),
        cross_vs_bittorrent: None,
        below_random: None,
        below_constrained: None,
        directory_kb: a_peer(r.directory.bytes) / 1e3,
        directory_messages: a_peer(r.directory.messages),
        upkeep_kb: a_peer(r.upkeep.bytes) / 1e3,
        refused: r.refused,
        duplicates: files(r.duplicate_bytes),
    }
}

fn share(part: f64, of: f64) -> f64 {
    if of > 0.0 { part / of } else { 0.0 }
}

fn summary(
    setting: &Setting,
    system: System,
    runs: &[usize],
    results: &[RunResult],
    figures: &[RunFigures],
) -> Summary {
    let count = |of: fn(&RunFigures) -> usize| runs.iter().map(|i| of(&figures[*i])).sum();
    let time = |of: fn(&Times) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(|i| of(&figures[*i].times)).collect();
        let never = runs.len() - values.len();
        spread(values, never)
    };
    let some = |of: fn(&RunFigures) -> Option<f64>| {
        spread(runs.iter().filter_map(|i| of(&figures[*i])).collect(), 0)
    };
    let each =
        |of: fn(&RunFigures) -> f64| spread(runs.iter().map(|i| of(&figures[*i])).collect(), 0);
    Summary {
        variant: setting.variant.clone(),
        peers: setting.peers,
        slots: setting.slots,
        system,
        topologies: runs.len(),
        bound_s: spread(runs.iter().map(|i| results[*i].bound_s).collect(), 0),
        downloaders: count(|f| f.downloaders),
        unfinished: count(|f| f.unfinished),
        left: count(|f| f.left),
        p10: time(|t| t.p10),
        median: time(|t| t.median),
        p90: time(|t| t.p90),
        slowest: time(|t| t.slowest),
        below_random: some(|f| f.below_random),
        below_constrained: some(|f| f.below_constrained),
        copies: some(|f| f.copies),
        copies_most: some(|f| f.copies_most),
        seed_copies: each(|f| f.seed_copies),
        cross: each(|f| f.cross),
        cross_vs_bittorrent: some(|f| f.cross_vs_bittorrent),
        directory_kb: each(|f| f.directory_kb),
        directory_messages: each(|f| f.directory_messages),
        upkeep_kb: each(|f| f.upkeep_kb),
        refused: each(|f| f.refused as f64),
        duplicates: each(|f| f.duplicates),
    }
}

/// Median, least and most of numbers and `never` endless ones.
pub(super) fn spread(mut values: Vec<f64>, never: usize) -> Spread {
    values.sort_by(f64::total_cmp);
    let quantile = |percent| quantile(&values, never, percent);
    Spread {
        median: quantile(50),
        least: quantile(0),
        most: quantile(100),
    }
}
