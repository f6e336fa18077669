//! Results for other programs.

use serde::Serialize;

use super::summary::{RunFigures, Summary, Times, figures, summarize, variant};
use crate::sim::swarm::RunResult;

/// Names of the columns of [`csv`].
const COLUMNS: [&str; 41] = [
    "variant",
    "system",
    "peers",
    "slots",
    "seed",
    "chunks",
    "chunk_bytes",
    "bound_s",
    "ended_s",
    "downloaders",
    "unfinished",
    "left",
    "p10_s",
    "median_s",
    "p90_s",
    "slowest_s",
    "p10_x",
    "median_x",
    "p90_x",
    "slowest_x",
    "below_random_percent",
    "below_constrained_percent",
    "stub_copies_mean",
    "stub_copies_most",
    "seed_copies",
    "cross_bytes",
    "cross_files",
    "cross_vs_bittorrent",
    "directory_messages",
    "directory_bytes",
    "directory_messages_peer",
    "directory_kb_peer",
    "upkeep_messages",
    "upkeep_bytes",
    "upkeep_kb_peer",
    "link_bytes",
    "refused",
    "duplicate_bytes",
    "duplicate_files",
    "served_most_bytes",
    "digest",
];

/// A line of names, then one line a run with every number that is not a list. `_s` are seconds, `_x` multiples of the bound,
/// `_files` files a downloader. A field is empty where there is no number (a time that never came, a baseline that did
/// not run); lines end with `\n`, and a variant's name is quoted if it needs to be (RFC 4180).
pub fn csv(results: &[RunResult]) -> String {
    let mut out = line(&COLUMNS.map(str::to_owned));
    for (r, f) in results.iter().zip(figures(results)) {
        out += &line(&fields(r, &f));
    }
    out
}

/// Everything there is to say: `{"summaries": [Summary], "runs": [{"figures": RunFigures, "result": RunResult}]}`.
#[derive(Serialize)]
pub struct Everything<'a> {
    summaries: Vec<Summary>,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    figures: RunFigures,
    result: &'a RunResult,
}

/// Everything, to be serialized.
pub fn everything(results: &[RunResult]) -> Everything<'_> {
    let runs = results.iter().zip(figures(results));
    Everything {
        summaries: summarize(results),
        runs: runs
            .map(|(result, figures)| Run { figures, result })
            .collect(),
    }
}

/// A line of CSV.
pub(super) fn line(fields: &[String]) -> String {
    let quoted = |field: &String| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    let quoted: Vec<String> = fields.iter().map(quoted).collect();
    format!("{}\n", quoted.join(","))
}

fn fields(r: &RunResult, f: &RunFigures) -> [String; COLUMNS.len()] {
    let some = |n: Option<f64>| n.map_or_else(String::new, |n| n.to_string());
    let [p10_s, median_s, p90_s, slowest_s] = quantiles(&f.seconds).map(some);
    let [p10_x, median_x, p90_x, slowest_x] = quantiles(&f.times).map(some);
    [
        variant(&r.variant),
        r.system.name().to_owned(),
        r.peers.to_string(),
        r.slots.to_string(),
        r.seed.to_string(),
        r.chunks.to_string(),
        r.chunk_bytes.to_string(),
        r.bound_s.to_string(),
        r.ended_s.to_string(),
        f.downloaders.to_string(),
        f.unfinished.to_string(),
        f.left.to_string(),
        p10_s,
        median_s,
        p90_s,
        slowest_s,
        p10_x,
        median_x,
        p90_x,
        slowest_x,
        some(f.below_random),
        some(f.below_constrained),
        some(f.copies),
        some(f.copies_most),
        r.seed_copies.to_string(),
        r.cross_bytes.to_string(),
        f.cross.to_string(),
        some(f.cross_vs_bittorrent),
        r.directory.messages.to_string(),
        r.directory.bytes.to_string(),
        f.directory_messages.to_string(),
        f.directory_kb.to_string(),
        r.upkeep.messages.to_string(),
        r.upkeep.bytes.to_string(),
        f.upkeep_kb.to_string(),
        r.link_bytes.iter().sum::<u64>().to_string(),
        r.refused.to_string(),
        r.duplicate_bytes.to_string(),
        f.duplicates.to_string(),
        r.served
            .iter()
            .max()
            .map_or_else(String::new, u64::to_string),
        format!("{:016x}", r.digest),
    ]
}

fn quantiles(t: &Times) -> [Option<f64>; 4] {
    [t.p10, t.median, t.p90, t.slowest]
}
