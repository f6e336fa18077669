//! What idle torrents take.

use serde_json::{Value, json};

use crate::cli::IdleArgs;
use crate::engine::Daemon;
use crate::scene::idle::Run;
use crate::table::{lines, number};

/// What a column shows of a run.
type Figure = fn(&Run) -> Option<f64>;

/// Title, name in JSON, decimals.
const COLUMNS: [(&str, &str, usize, Figure); 9] = [
    ("added s", "added_s", 1, |run| Some(run.added)),
    ("end s", "end_s", 1, |run| run.end),
    ("start s", "start_s", 1, |run| Some(run.start)),
    ("start CPU s", "start_cpu_s", 1, |run| Some(run.start_cpu)),
    ("CPU %", "cpu_percent", 2, |run| Some(run.cpu)),
    ("MiB", "resident_mib", 1, |run| mib(run.memory)),
    ("peak MiB", "peak_mib", 1, |run| mib(run.peak)),
    ("bytes/s", "bytes_per_s", 0, |run| Some(run.traffic)),
    ("load before", "load_before", 2, |run| Some(run.load)),
];

fn mib(bytes: Option<u64>) -> Option<f64> {
    Some(bytes? as f64 / f64::from(1 << 20))
}

/// One row a run.
pub(crate) fn tables(runs: &[Run]) -> Vec<String> {
    let mut head = vec!["daemon".to_owned()];
    head.extend(COLUMNS.iter().map(|(title, ..)| (*title).to_owned()));
    let row = |run: &Run| {
        let mut row = vec![format!("{} {}", run.daemon, run.number)];
        row.extend(COLUMNS.map(|(_, _, decimals, f)| number(f(run), decimals)));
        row
    };
    lines(&head, &runs.iter().map(row).collect::<Vec<_>>())
}

/// Everything.
pub(crate) fn document(args: &IdleArgs, versions: &[(Daemon, String)], runs: &[Run]) -> Value {
    let one = |run: &Run| {
        let mut value = json!({ "daemon": run.daemon.to_string(), "run": run.number });
        for (_, name, _, figure) in COLUMNS {
            value[name] = json!(figure(run));
        }
        value
    };
    let version = |(daemon, version): &(Daemon, String)| json!({ "name": daemon.to_string(), "version": version });
    json!({
        "scene": { "torrents": args.torrents, "size": args.size, "piece": args.piece,
                   "seconds": args.span.as_secs_f64() },
        "daemons": versions.iter().map(version).collect::<Vec<_>>(),
        "runs": runs.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_had_to_be_killed_has_no_time_of_its_end() {
        let run = Run {
            daemon: Daemon::Transmission,
            number: 2,
            added: 12.0,
            end: None,
            start: 3.25,
            start_cpu: 1.5,
            cpu: 0.25,
            memory: Some(50 << 20),
            peak: Some(60 << 20),
            traffic: 1234.5,
            load: 0.1,
        };
        let text = tables(&[run]).join("\n");
        assert!(
            text.contains(
                "| transmission 2 |    12.0 |     - |     3.2 |         1.5 |  0.25 | 50.0 |     60.0 |    1234 |        0.10 |"
            ),
            "{text}"
        );
    }
}
