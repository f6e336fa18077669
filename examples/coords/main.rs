//! How well coordinates predict round-trip times: on a matrix from a file, or on the synthetic one.
//!
//! `cargo run --release -p chunkcast --example coords -- [--rtt-matrix FILE | --hosts N] [--seed N] [--queueing MS]`

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod trial;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chunkcast::coords::{RttMatrix, VivaldiConfig};

use trial::{LIES, Lie, Trial};

const USAGE: &str = "usage: coords [--rtt-matrix FILE | --hosts N] [--seed N] [--queueing MS]";
/// Samples a node after which the cold start is judged.
const MARKS: [usize; 7] = [8, 16, 32, 64, 100, 200, 400];
/// Samples after which a newcomer is judged.
const NEWCOMER: [usize; 6] = [4, 6, 8, 16, 32, 64];

fn main() -> ExitCode {
    match Options::read(std::env::args().skip(1)).and_then(|o| report(&o)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("coords: {message}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    matrix: RttMatrix,
    seed: u64,
    queueing: Duration,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut file, mut hosts, mut seed, mut queueing) = (None, 490, 1, 0);
        while let Some(name) = args.next() {
            let value = args.next().ok_or(USAGE)?;
            let number = || value.parse::<u64>().map_err(|e| format!("{name}: {e}"));
            match name.as_str() {
                "--rtt-matrix" => file = Some(value),
                "--hosts" => hosts = usize::try_from(number()?).map_err(|e| e.to_string())?,
                "--seed" => seed = number()?,
                "--queueing" => queueing = number()?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        if hosts < 100 {
            return Err("--hosts: at least 100".to_owned());
        }
        let matrix = match file {
            Some(path) => std::fs::read_to_string(&path)
                .map_err(|e| format!("{path}: {e}"))
                .and_then(|text| RttMatrix::parse(&text).map_err(|e| format!("{path}: {e}")))?,
            None => RttMatrix::synthetic(hosts, seed),
        };
        Ok(Self {
            matrix,
            seed,
            queueing: Duration::from_millis(queueing),
        })
    }
}

/// Prints every figure; `Err` only when the output is closed.
fn report(options: &Options) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(|e| e.to_string());
    let config = VivaldiConfig::default();
    // What the outlier rule costs: without it, every residual counts by its square.
    let trusting = VivaldiConfig {
        outlier: 1e6,
        ..config.clone()
    };
    say(format!(
        "{} hosts, 32 random neighbours; median of |predicted - measured| / measured, pairs over 1 ms",
        options.matrix.hosts()
    ))?;
    say(row("samples a node", &MARKS.map(|n| n.to_string())))?;

    let begun = Instant::now();
    say(row("all start at once", &cold(options, &config, None).0))?;
    let spent = begun.elapsed().as_secs_f64() * 1e6;
    say(row("  no outlier rule", &cold(options, &trusting, None).0))?;
    for lie in LIES {
        let name = format!("10 % lie: {lie:?}");
        say(row(&name, &cold(options, &config, Some(lie)).0))?;
    }
    let (_, mut trial) = cold(options, &config, None);
    say(format!(
        "error the nodes claim: {:.3} (median)",
        trial.claimed_error()
    ))?;
    let (usual, longest) = trial.movement(20);
    say(format!(
        "movement a sample when settled: median {:.2} ms, longest {:.1} ms",
        usual * 1e3,
        longest * 1e3
    ))?;
    let settled = Instant::now();
    trial.run(100);
    let each = settled.elapsed().as_secs_f64() * 1e6 / (100 * trial.nodes.len()) as f64;
    let all = spent / (400 * trial.nodes.len()) as f64;
    say(format!(
        "time a sample: {each:.1} us when settled, {all:.1} us over the cold start"
    ))?;

    say(row("newcomer after", &NEWCOMER.map(|n| n.to_string())))?;
    for lie in [None].into_iter().chain(LIES.map(Some)) {
        let mut trial = Trial::new(&options.matrix, &config, 0.9, lie, options.seed);
        trial.queueing = options.queueing;
        trial.run(400);
        let name = lie.map_or_else(|| "none lies".to_owned(), |l| format!("10 % lie: {l:?}"));
        say(row(&name, &shown(&trial.newcomers(&config, &NEWCOMER))))?;
    }

    let mut trial = Trial::new(&options.matrix, &config, 0.9, None, options.seed);
    trial.queueing = options.queueing;
    trial.run(400);
    let errors = trial.relocate(0, MARKS[MARKS.len() - 1]);
    let errors = MARKS.map(|mark| errors[mark - 1]);
    say(row("moved host after", &MARKS.map(|n| n.to_string())))?;
    say(row("its error", &shown(&errors)))?;
    Ok(())
}

/// The cold start of all hosts.
fn cold(options: &Options, config: &VivaldiConfig, lie: Option<Lie>) -> (Vec<String>, Trial) {
    let mut trial = Trial::new(&options.matrix, config, 1.0, lie, options.seed);
    trial.queueing = options.queueing;
    let mut done = 0;
    let errors = MARKS.map(|mark| {
        trial.run(mark - done);
        done = mark;
        trial.median_error()
    });
    (shown(&errors), trial)
}

fn shown(errors: &[f64]) -> Vec<String> {
    errors.iter().map(|e| format!("{e:.3}")).collect()
}

fn row(name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|c| format!("{c:>8}")).collect();
    format!("{name:<22}{cells}")
}
