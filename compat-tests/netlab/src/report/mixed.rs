//! A swarm of ChunkCast and stock clients: who got the file when, and ours against theirs.

use serde_json::{Value, json};

use super::{Bounds, Setting, failures, upload};
use crate::engine::Engine;
use crate::run::{Outcome, Run};
use crate::stats::{Summary, median};
use crate::table::{lines, number};

/// Some of a swarm's downloaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Those of one engine.
    Of(Engine),
    /// All but ChunkCast's.
    Stock,
    /// All.
    All,
}

impl Kind {
    fn has(self, outcome: &Outcome) -> bool {
        match self {
            Self::Of(engine) => outcome.engine == engine,
            Self::Stock => outcome.engine != Engine::Chunkcast,
            Self::All => true,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Of(engine) => engine.to_string(),
            Self::Stock => "all stock".to_owned(),
            Self::All => "all".to_owned(),
        }
    }
}

/// What some downloaders came to, in one run or in all with one seed.
#[derive(Clone, Debug, PartialEq)]
struct Figures {
    peers: usize,
    complete: usize,
    summary: Summary,
    fastest: Option<f64>,
    /// Processor seconds of one, in the mean.
    cpu: f64,
    /// Bytes sent by one, in the mean.
    up: f64,
}

impl Figures {
    fn of(run: &Run, kind: Kind) -> Self {
        let its: Vec<&Outcome> = run.outcomes.iter().filter(|o| kind.has(o)).collect();
        let times: Vec<Option<f64>> = its.iter().map(|o| o.seconds).collect();
        let cpu: f64 = its.iter().map(|o| o.cpu).sum();
        let up: f64 = its.iter().map(|o| o.up as f64).sum();
        Self {
            peers: its.len(),
            complete: times.iter().flatten().count(),
            summary: Summary::of(&times),
            fastest: times.iter().flatten().copied().min_by(f64::total_cmp),
            cpu: cpu / its.len().max(1) as f64,
            up: up / its.len().max(1) as f64,
        }
    }

    /// The medians of several runs' figures; peers are added up.
    fn of_runs(all: &[Self]) -> Self {
        let middle = |figure: &dyn Fn(&Self) -> Option<f64>| {
            let mut sorted: Vec<f64> = all.iter().map(figure).collect::<Option<_>>()?;
            sorted.sort_by(f64::total_cmp);
            median(&sorted)
        };
        Self {
            peers: all.iter().map(|f| f.peers).sum(),
            complete: all.iter().map(|f| f.complete).sum(),
            summary: Summary {
                median: middle(&|f| f.summary.median),
                p90: middle(&|f| f.summary.p90),
                slowest: middle(&|f| f.summary.slowest),
            },
            fastest: middle(&|f| f.fastest),
            cpu: middle(&|f| Some(f.cpu)).unwrap_or(f64::NAN),
            up: middle(&|f| Some(f.up)).unwrap_or(f64::NAN),
        }
    }

    fn json(&self, bounds: &Bounds) -> Value {
        let times = |s: Option<f64>| s.map(|s| s / bounds.own);
        json!({
            "peers": self.peers,
            "complete": self.complete,
            "fastest_s": self.fastest,
            "median_s": self.summary.median,
            "p90_s": self.summary.p90,
            "slowest_s": self.summary.slowest,
            "median_x": times(self.summary.median),
            "slowest_x": times(self.summary.slowest),
            "cpu_s_per_peer": self.cpu,
            "upload_per_peer": self.up / bounds.size as f64,
        })
    }
}

fn ratio(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? / b?)
}

/// The kinds of a run: ours, each stock engine, the stock ones together, and all.
fn kinds(run: &Run) -> Vec<Kind> {
    let mut kinds = vec![Kind::Of(Engine::Chunkcast)];
    for outcome in &run.outcomes {
        let kind = Kind::Of(outcome.engine);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.extend([Kind::Stock, Kind::All]);
    kinds
}

/// The runs with each seed, in the order in which the seeds first ran.
fn by_seed(runs: &[Run]) -> Vec<(Engine, Vec<&Run>)> {
    let mut seeds: Vec<(Engine, Vec<&Run>)> = Vec::new();
    for run in runs {
        match seeds.iter_mut().find(|(seed, _)| *seed == run.engine) {
            Some((_, its)) => its.push(run),
            None => seeds.push((run.engine, vec![run])),
        }
    }
    seeds
}

/// One table a seed, with the medians of its runs where there are several, and a line for each run that says how ours
/// are against theirs.
pub(crate) fn tables(runs: &[Run], bounds: &Bounds) -> Vec<String> {
    let mut out = Vec::new();
    let head = [
        "downloaders",
        "peers",
        "complete",
        "fastest s",
        "median s",
        "slowest s",
        "median x",
        "slowest x",
        "ours/its median",
        "ours/its slowest",
        "CPU s/peer",
        "sent/peer",
    ]
    .map(str::to_owned);
    for (seed, its) in by_seed(runs) {
        if !out.is_empty() {
            out.push(String::new());
        }
        out.push(format!(
            "seed {seed}, {}:",
            match its.len() {
                1 => "one run".to_owned(),
                n => format!("medians of {n} runs"),
            }
        ));
        let of = |kind| {
            let all: Vec<Figures> = its.iter().map(|run| Figures::of(run, kind)).collect();
            Figures::of_runs(&all)
        };
        let ours = of(Kind::Of(Engine::Chunkcast)).summary;
        let rows: Vec<Vec<String>> = kinds(its[0])
            .into_iter()
            .map(|kind| {
                let its = of(kind);
                let times = |s: Option<f64>| number(s.map(|s| s / bounds.own), 2);
                vec![
                    kind.name(),
                    its.peers.to_string(),
                    its.complete.to_string(),
                    number(its.fastest, 1),
                    number(its.summary.median, 1),
                    number(its.summary.slowest, 1),
                    times(its.summary.median),
                    times(its.summary.slowest),
                    number(ratio(ours.median, its.summary.median), 2),
                    number(ratio(ours.slowest, its.summary.slowest), 2),
                    number(Some(its.cpu), 1),
                    number(Some(its.up / bounds.size as f64), 2),
                ]
            })
            .collect();
        out.extend(lines(&head, &rows));
        for run in its {
            out.push(verdict(run, bounds));
        }
    }
    for run in runs {
        for (i, outcome) in run.outcomes.iter().enumerate() {
            if let Some(why) = outcome.fault {
                out.push(format!(
                    "seed {} run {}: peer {} ({}) failed: {why}",
                    run.engine,
                    run.number,
                    i + 1,
                    outcome.engine
                ));
            }
        }
    }
    out
}

/// What is asked of a mixed swarm, of one run.
fn verdict(run: &Run, bounds: &Bounds) -> String {
    let all = Figures::of(run, Kind::All);
    let [median, slowest, sent] = against_stock(run);
    format!(
        "seed {} run {}: {} of {} finished; ours/stock median {}, slowest {}, sent {}; slowest/median of all {}; seed copies {}, \
         upload/n {}",
        run.engine,
        run.number,
        all.complete,
        all.peers,
        number(median, 2),
        number(slowest, 2),
        number(sent, 2),
        number(ratio(all.summary.slowest, all.summary.median), 2),
        number(Some(run.seed_up as f64 / bounds.size as f64), 2),
        number(Some(upload(run, bounds.size)), 3),
    )
}

/// Median, slowest and what one has sent in the mean, of ours, each as a part of the stock clients' together.
fn against_stock(run: &Run) -> [Option<f64>; 3] {
    let ours = Figures::of(run, Kind::Of(Engine::Chunkcast));
    let theirs = Figures::of(run, Kind::Stock);
    [
        ratio(ours.summary.median, theirs.summary.median),
        ratio(ours.summary.slowest, theirs.summary.slowest),
        ratio(Some(ours.up), Some(theirs.up)),
    ]
}

/// Everything: the setting, and every run with every kind and every peer.
pub(crate) fn document(setting: &Setting<'_>, runs: &[Run]) -> Value {
    let mut document = setting.json();
    let runs = runs.iter().map(|run| one(run, setting.bounds));
    document.insert("runs".to_owned(), runs.collect());
    document.into()
}

fn one(run: &Run, bounds: &Bounds) -> Value {
    let kinds: serde_json::Map<String, Value> = kinds(run)
        .into_iter()
        .map(|kind| (kind.name(), Figures::of(run, kind).json(bounds)))
        .collect();
    let peers = run
        .outcomes
        .iter()
        .map(|o| json!({ "engine": o.engine.to_string(), "seconds": o.seconds, "failed": o.fault, "cpu_s": o.cpu, "up": o.up }));
    let all = Figures::of(run, Kind::All).summary;
    let [median, slowest, sent] = against_stock(run);
    json!({
        "seed": run.engine.to_string(),
        "run": run.number,
        "kinds": kinds,
        "ours_to_stock": { "median": median, "slowest": slowest, "sent": sent },
        "slowest_to_median": ratio(all.slowest, all.median),
        "peers": peers.collect::<Vec<_>>(),
        "failed": failures(run),
        "seed_copies": run.seed_up as f64 / bounds.size as f64,
        "upload_per_downloader": upload(run, bounds.size),
        "took_s": run.seconds,
        "machine_busy": run.busy,
        "other_cpu_s": run.other_cpu,
        "load_before": run.load,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        size: 1_000_000,
        own: 10.0,
        remote: 10.0,
    };

    fn run(seed: Engine, number: u32, times: &[(Engine, Option<f64>)]) -> Run {
        let outcomes = times.iter().map(|(engine, seconds)| Outcome {
            engine: *engine,
            site: 0,
            seconds: *seconds,
            fault: seconds.is_none().then_some("not by the deadline"),
            cpu: 2.0,
            up: if *engine == Engine::Chunkcast {
                900_000
            } else {
                750_000
            },
        });
        Run {
            engine: seed,
            number,
            outcomes: outcomes.collect(),
            seed_up: 1_500_000,
            all_up: 4_400_000,
            wan: None,
            cpu: 9.0,
            seed_cpu: 1.0,
            load: 0.0,
            busy: 0.5,
            other_cpu: 1.0,
            seconds: 40.0,
        }
    }

    use Engine::{Aria2, Chunkcast, Libtorrent, Transmission};

    fn four(seed: Engine, number: u32, ours: f64) -> Run {
        run(
            seed,
            number,
            &[
                (Chunkcast, Some(ours)),
                (Aria2, Some(20.0)),
                (Chunkcast, Some(ours + 2.0)),
                (Libtorrent, Some(40.0)),
            ],
        )
    }

    #[test]
    fn ours_are_held_against_each_stock_client_and_all_of_them() {
        let text = tables(&[four(Transmission, 1, 14.0)], &BOUNDS).join("\n");
        // median 15 against 30, slowest 16 against 40
        let row = |name: &str| {
            let line = text.lines().find(|l| l.starts_with(&format!("| {name} ")));
            let cells = line.unwrap_or_default().split('|').map(str::trim);
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            row("all stock")[2..11],
            [
                "2", "2", "20.0", "30.0", "40.0", "3.00", "4.00", "0.50", "0.40"
            ],
            "{text}"
        );
        assert_eq!(row("aria2")[9], "0.75", "{text}");
        assert_eq!(row("chunkcast")[9..11], ["1.00", "1.00"], "{text}");
        assert!(text.contains("4 of 4 finished; ours/stock median 0.50, slowest 0.40, sent 1.20"));
    }

    #[test]
    fn each_seed_has_a_table_with_the_medians_of_its_runs() {
        let runs = [
            four(Transmission, 1, 10.0),
            four(Chunkcast, 1, 30.0),
            four(Transmission, 2, 12.0),
            four(Transmission, 3, 99.0),
        ];
        let text = tables(&runs, &BOUNDS).join("\n");
        let seeds: Vec<&str> = text.lines().filter(|l| l.ends_with(':')).collect();
        assert_eq!(
            seeds,
            [
                "seed transmission, medians of 3 runs:",
                "seed chunkcast, one run:"
            ]
        );
        // 11, 13, 100: the middle one; nine peers of which eight would be fewer
        assert!(
            text.contains("| chunkcast   |     6 |        6 |      12.0 |     13.0 |"),
            "{text}"
        );
    }

    #[test]
    fn who_is_starved_is_named_and_leaves_no_ratio_of_the_slowest() {
        let times = [
            (Chunkcast, Some(20.0)),
            (Aria2, Some(20.0)),
            (Aria2, Some(30.0)),
            (Aria2, None),
        ];
        let run = run(Aria2, 1, &times);
        let text = tables(std::slice::from_ref(&run), &BOUNDS).join("\n");
        assert!(text.contains("3 of 4 finished; ours/stock median 0.67, slowest -"));
        assert!(text.contains("seed aria2 run 1: peer 4 (aria2) failed: not by the deadline"));
        let value = one(&run, &BOUNDS);
        assert_eq!(value["failed"], 1);
        assert_eq!(value["kinds"]["all stock"]["complete"], 2);
        assert_eq!(value["ours_to_stock"]["slowest"], Value::Null);
    }
}
