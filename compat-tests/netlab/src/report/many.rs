//! One seed and many downloaders: who was served when, and what it took the seed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::engines;
use crate::engine::Engine;
use crate::scene::many::Run;
use crate::stats::{Summary, median};
use crate::table::{lines, number};

/// What a column shows of a run of so many bytes a downloader.
type Figure = fn(&Run, u64) -> Option<f64>;

/// Title, name in JSON, decimals.
const COLUMNS: [(&str, &str, usize, Figure); 12] = [
    ("served", "served", 0, |run, _| {
        Some((run.peers.len() - failures(run)) as f64)
    }),
    ("fastest s", "fastest_s", 2, |run, _| fastest(run)),
    ("median s", "median_s", 2, |run, _| summary(run).median),
    ("slowest s", "slowest_s", 2, |run, _| summary(run).slowest),
    ("slowest/fastest", "slowest_to_fastest", 2, |run, _| {
        Some(summary(run).slowest? / fastest(run)?)
    }),
    ("last begun s", "last_begun_s", 2, |run, _| {
        let firsts: Option<Vec<f64>> = run.peers.iter().map(|p| p.first).collect();
        firsts?.into_iter().max_by(f64::total_cmp)
    }),
    ("MB/s", "mb_per_s", 0, |run, _| {
        Some(bytes(run) as f64 / summary(run).slowest? / 1e6)
    }),
    ("copies", "copies", 3, |run, size| {
        Some(bytes(run) as f64 / (size as f64 * run.peers.len().max(1) as f64))
    }),
    ("connections", "connections", 0, |run, _| {
        Some(run.peers.iter().map(|p| p.connections).sum::<u64>() as f64)
    }),
    (
        "seed peak MiB",
        "seed_peak_mib",
        1,
        |run, _| mib(run.memory),
    ),
    ("before", "seed_peak_before_mib", 1, |run, _| {
        mib(run.memory_before)
    }),
    ("seed CPU s/GiB", "seed_cpu_s_per_gib", 2, |run, _| {
        let gib = bytes(run) as f64 / f64::from(1 << 30);
        (gib > 0.0).then(|| run.seed_cpu / gib)
    }),
];

fn mib(bytes: Option<u64>) -> Option<f64> {
    Some(bytes? as f64 / f64::from(1 << 20))
}

fn bytes(run: &Run) -> u64 {
    run.peers.iter().map(|p| p.bytes).sum()
}

fn fastest(run: &Run) -> Option<f64> {
    let times = run.peers.iter().filter_map(|p| p.seconds);
    times.min_by(f64::total_cmp)
}

fn summary(run: &Run) -> Summary {
    Summary::of(&run.peers.iter().map(|p| p.seconds).collect::<Vec<_>>())
}

/// How many downloaders did not get everything.
pub(crate) fn failures(run: &Run) -> usize {
    run.peers.iter().filter(|p| p.seconds.is_none()).count()
}

/// One row a run, then the engines' medians, and a line for each seed that says whether it kept to what is asked.
pub(crate) fn tables(runs: &[Run], size: u64, budget: u64) -> Vec<String> {
    let mut head = vec!["seed".to_owned()];
    head.extend(COLUMNS.iter().map(|(title, ..)| (*title).to_owned()));
    let mut rows = Vec::new();
    for engine in ran(runs) {
        let its: Vec<&Run> = runs.iter().filter(|run| run.engine == engine).collect();
        for run in &its {
            let mut row = vec![format!("{engine} {}", run.number)];
            row.extend(COLUMNS.map(|(_, _, decimals, f)| number(f(run, size), decimals)));
            rows.push(row);
        }
        if its.len() > 1 {
            let mut row = vec![format!("{engine} median")];
            row.extend(COLUMNS.map(|(_, _, decimals, f)| number(middle(&its, size, f), decimals)));
            rows.push(row);
        }
    }
    let mut out = lines(&head, &rows);
    for run in runs {
        out.push(verdict(run, budget));
        out.extend(faults(run));
    }
    out
}

fn ran(runs: &[Run]) -> Vec<Engine> {
    let mut engines = Vec::new();
    for run in runs {
        if !engines.contains(&run.engine) {
            engines.push(run.engine);
        }
    }
    engines
}

fn middle(runs: &[&Run], size: u64, figure: Figure) -> Option<f64> {
    let values = runs.iter().map(|run| figure(run, size));
    let mut sorted: Vec<f64> = values.collect::<Option<_>>()?;
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

fn verdict(run: &Run, budget: u64) -> String {
    let ratio = summary(run).slowest.zip(fastest(run)).map(|(s, f)| s / f);
    let within = match run.memory {
        Some(memory) if memory <= budget => "within",
        Some(_) => "over",
        None => "not known against",
    };
    format!(
        "{} run {}: {} of {} served; slowest/fastest {}; peak memory {} the budget of {} MiB",
        run.engine,
        run.number,
        run.peers.len() - failures(run),
        run.peers.len(),
        number(ratio, 2),
        within,
        number(mib(Some(budget)), 0)
    )
}

/// Why downloaders were not served, and how many for each reason.
fn faults(run: &Run) -> Vec<String> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for peer in run.peers.iter().filter(|p| p.seconds.is_none()) {
        let reason = peer.fault.as_deref().unwrap_or("not in time");
        *reasons.entry(reason).or_default() += 1;
    }
    let line = |(why, n)| format!("{} run {}: {n} not served: {why}", run.engine, run.number);
    reasons.into_iter().map(line).collect()
}

/// Everything: who ran, and every run with every downloader.
pub(crate) fn document(
    size: u64,
    piece: u64,
    budget: u64,
    versions: &[(Engine, String)],
    runs: &[Run],
) -> Value {
    let one = |run: &Run| {
        let peers = run.peers.iter().map(|p| {
            json!({ "seconds": p.seconds, "first_s": p.first, "bytes": p.bytes, "connections": p.connections,
                    "failed": p.fault })
        });
        let mut value = json!({
            "engine": run.engine.to_string(),
            "run": run.number,
            "peers": peers.collect::<Vec<_>>(),
            "failed": failures(run),
            "bytes": bytes(run),
            "seed_peak_bytes": run.memory,
            "within_budget": run.memory.map(|m| m <= budget),
            "seed_cpu_s": run.seed_cpu,
            "leech_cpu_s": run.leech_cpu,
            "machine_busy": run.busy,
            "load_before": run.load,
        });
        for (_, name, _, figure) in COLUMNS {
            value[name] = json!(figure(run, size));
        }
        value
    };
    json!({
        "scene": { "size": size, "piece": piece, "budget": budget },
        "engines": engines(versions),
        "runs": runs.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::many::Peer;

    fn run(times: &[Option<f64>], memory: u64) -> Run {
        let peers = times.iter().map(|seconds| Peer {
            seconds: *seconds,
            first: Some(0.5),
            bytes: seconds.map_or(250_000, |_| 1_000_000),
            connections: 1,
            fault: seconds.is_none().then(|| "connection reset".to_owned()),
        });
        Run {
            engine: Engine::Chunkcast,
            number: 1,
            peers: peers.collect(),
            memory_before: Some(8 << 20),
            memory: Some(memory),
            seed_cpu: 1.0,
            leech_cpu: 1.0,
            busy: 1.0,
            load: 0.0,
        }
    }

    #[test]
    fn fairness_is_the_slowest_by_the_fastest() {
        let run = run(&[Some(2.0), Some(3.0), Some(4.0)], 100 << 20);
        let text = tables(std::slice::from_ref(&run), 1_000_000, 128 << 20).join("\n");
        assert!(
            text.contains("| chunkcast 1 |      3 |      2.00 |     3.00 |      4.00 |            2.00 |         0.50 |    1 |  1.000 |"),
            "{text}"
        );
        assert!(text.contains(
            "3 of 3 served; slowest/fastest 2.00; peak memory within the budget of 128 MiB"
        ));
        let value = document(1_000_000, 1 << 18, 128 << 20, &[], &[run]);
        assert_eq!(value["runs"][0]["within_budget"], true);
        assert_eq!(value["runs"][0]["slowest_to_fastest"], 2.0);
    }

    #[test]
    fn who_is_starved_leaves_no_slowest_and_is_counted_by_reason() {
        let run = run(&[Some(2.0), None, None], 200 << 20);
        assert_eq!(failures(&run), 2);
        let text = tables(&[run], 1_000_000, 128 << 20).join("\n");
        assert!(text.contains("1 of 3 served; slowest/fastest -; peak memory over the budget"));
        assert!(
            text.contains("chunkcast run 1: 2 not served: connection reset"),
            "{text}"
        );
    }
}
