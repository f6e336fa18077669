//! One seed and one downloader on one machine: speed and cost, and ours against theirs.

use serde_json::{Value, json};

use super::engines;
use crate::engine::Engine;
use crate::scene::loopback::Run;
use crate::stats::median;
use crate::table::{lines, number};

/// Bytes in the unit of the processor's cost.
const GIB: f64 = (1u64 << 30) as f64;

/// What a column shows of a run of so many bytes.
type Figure = fn(&Run, u64) -> Option<f64>;

/// Title, name in JSON, decimals.
const COLUMNS: [(&str, &str, usize, Figure); 11] = [
    ("s", "seconds", 2, |run, _| run.seconds),
    ("MB/s", "mb_per_s", 0, speed),
    ("first data s", "first_data_s", 2, |run, _| run.first),
    ("flowing MB/s", "flowing_mb_per_s", 0, flowing),
    ("seed CPU s/GiB", "seed_cpu_s_per_gib", 2, |run, size| {
        per_gib(run, run.seed_cpu, size)
    }),
    ("leecher's", "leecher_cpu_s_per_gib", 2, |run, size| {
        per_gib(run, run.leecher_cpu, size)
    }),
    ("both", "cpu_s_per_gib", 2, cost),
    ("seed peak MiB", "seed_peak_mib", 0, |run, _| {
        mib(run.seed_memory)
    }),
    ("leecher's", "leecher_peak_mib", 0, |run, _| {
        mib(run.leecher_memory)
    }),
    ("carried", "carried_copies", 3, |run, size| {
        Some(run.carried as f64 / size as f64)
    }),
    ("machine busy %", "machine_busy_percent", 0, |run, _| {
        Some(run.busy * 100.0)
    }),
];

fn mib(bytes: Option<u64>) -> Option<f64> {
    Some(bytes? as f64 / f64::from(1 << 20))
}

/// Millions of bytes a second, from the downloader's start.
fn speed(run: &Run, size: u64) -> Option<f64> {
    Some(size as f64 / run.seconds? / 1e6)
}

/// The same from when the data began to flow.
fn flowing(run: &Run, size: u64) -> Option<f64> {
    Some(size as f64 / (run.seconds? - run.first?) / 1e6)
}

/// Of who did not finish there is no cost.
fn per_gib(run: &Run, seconds: f64, size: u64) -> Option<f64> {
    run.seconds.map(|_| seconds / (size as f64 / GIB))
}

fn cost(run: &Run, size: u64) -> Option<f64> {
    per_gib(run, run.seed_cpu + run.leecher_cpu, size)
}

/// The median of an engine's runs; none when one of them failed.
fn middle(runs: &[Run], engine: Engine, size: u64, figure: Figure) -> Option<f64> {
    let its = runs.iter().filter(|run| run.engine == engine);
    let mut sorted: Vec<f64> = its.map(|run| figure(run, size)).collect::<Option<_>>()?;
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
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

/// Ours as a part of an engine's: speed and the processor's cost. Where ours is better the first is above 1, the second
/// below.
fn against(runs: &[Run], engine: Engine, size: u64) -> [Option<f64>; 3] {
    [speed, flowing, cost].map(|figure: Figure| {
        let ours = middle(runs, Engine::Chunkcast, size, figure)?;
        Some(ours / middle(runs, engine, size, figure)?)
    })
}

/// One row a run, then the engines' medians with ours against them.
pub(crate) fn tables(runs: &[Run], size: u64) -> Vec<String> {
    let mut head = vec!["engine".to_owned()];
    head.extend(COLUMNS.iter().map(|(title, ..)| (*title).to_owned()));
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let mut row = vec![format!("{} {}", run.engine, run.number)];
            row.extend(COLUMNS.map(|(_, _, decimals, f)| number(f(run, size), decimals)));
            row
        })
        .collect();
    let mut out = lines(&head, &rows);
    out.push(String::new());
    head[0] = "median".to_owned();
    head.extend(
        [
            "ours/its MB/s",
            "ours/its flowing MB/s",
            "ours/its CPU s/GiB",
        ]
        .map(str::to_owned),
    );
    let rows: Vec<Vec<String>> = ran(runs)
        .into_iter()
        .map(|engine| {
            let mut row = vec![engine.to_string()];
            row.extend(
                COLUMNS.map(|(_, _, decimals, f)| number(middle(runs, engine, size, f), decimals)),
            );
            row.extend(against(runs, engine, size).map(|ratio| number(ratio, 2)));
            row
        })
        .collect();
    out.extend(lines(&head, &rows));
    for run in runs {
        if let Some(why) = run.fault {
            out.push(format!("{} run {} failed: {why}", run.engine, run.number));
        }
    }
    out
}

/// Everything: who ran, every run, and the medians.
pub(crate) fn document(
    size: u64,
    piece: u64,
    tcp_only: bool,
    versions: &[(Engine, String)],
    runs: &[Run],
) -> Value {
    let one = |run: &Run| {
        let mut value = json!({
            "engine": run.engine.to_string(),
            "run": run.number,
            "failed": run.fault,
            "seed_ready_s": run.ready,
            "index_node_cpu_s": run.node_cpu,
            "load_before": run.load,
        });
        for (_, name, _, figure) in COLUMNS {
            value[name] = json!(figure(run, size));
        }
        value
    };
    let medians = ran(runs).into_iter().map(|engine| {
        let mut value = json!({});
        for (_, name, _, figure) in COLUMNS {
            value[name] = json!(middle(runs, engine, size, figure));
        }
        let [speed, flowing, cost] = against(runs, engine, size);
        value["ours_to_its"] =
            json!({ "mb_per_s": speed, "flowing_mb_per_s": flowing, "cpu_s_per_gib": cost });
        (engine.to_string(), value)
    });
    json!({
        "scene": { "size": size, "piece": piece, "tcp_only": tcp_only },
        "engines": engines(versions),
        "runs": runs.iter().map(one).collect::<Vec<_>>(),
        "medians": medians.collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 30;

    fn run(engine: Engine, number: u32, seconds: Option<f64>, cpu: f64) -> Run {
        Run {
            engine,
            number,
            seconds,
            first: Some(0.5),
            fault: seconds.is_none().then_some("not by the deadline"),
            ready: 1.0,
            seed_cpu: cpu,
            leecher_cpu: 2.0 * cpu,
            node_cpu: 0.0,
            seed_memory: Some(32 << 20),
            leecher_memory: None,
            carried: SIZE + SIZE / 8,
            busy: 0.9,
            load: 0.1,
        }
    }

    fn runs() -> Vec<Run> {
        vec![
            run(Engine::Chunkcast, 1, Some(2.0), 1.0),
            run(Engine::Aria2, 1, Some(8.5), 2.0),
            run(Engine::Chunkcast, 2, Some(2.5), 1.0),
            run(Engine::Aria2, 2, Some(8.5), 2.0),
            run(Engine::Chunkcast, 3, Some(9.0), 1.0),
            run(Engine::Aria2, 3, Some(8.5), 2.0),
        ]
    }

    #[test]
    fn speed_and_cost_are_held_against_each_engine_by_their_medians() {
        let [speed, flowing, cost] = against(&runs(), Engine::Aria2, SIZE);
        assert!((speed.expect("a ratio") - 8.5 / 2.5).abs() < 1e-9);
        assert!((flowing.expect("a ratio") - 8.0 / 2.0).abs() < 1e-9);
        assert!((cost.expect("a ratio") - 0.5).abs() < 1e-9);
        let text = tables(&runs(), SIZE).join("\n");
        assert!(
            text.contains("| aria2 1     | 8.50 |  126 |         0.50 |          134 |           2.00 |      4.00 | 6.00 |"),
            "{text}"
        );
        let document = document(SIZE, 1 << 20, true, &[], &runs());
        assert_eq!(document["medians"]["chunkcast"]["seconds"], 2.5);
        assert_eq!(
            document["medians"]["aria2"]["ours_to_its"]["cpu_s_per_gib"],
            0.5
        );
        assert_eq!(document["runs"].as_array().map(Vec::len), Some(6));
    }

    #[test]
    fn who_failed_once_has_no_median() {
        let mut runs = runs();
        runs.push(run(Engine::Aria2, 4, None, 1.0));
        assert_eq!(against(&runs, Engine::Aria2, SIZE), [None; 3]);
        let text = tables(&runs, SIZE).join("\n");
        assert!(
            text.contains("aria2 run 4 failed: not by the deadline"),
            "{text}"
        );
    }
}
