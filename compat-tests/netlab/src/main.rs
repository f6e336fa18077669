//! `netlab`: BitTorrent clients, unmodified, in networks built on this machine, and how long and how much it takes them.
//!
//! A [scene](lab) is built of network namespaces and [checked](mod@check); then each engine [runs](run) in it, and the
//! [report] holds the figures against the bound. Everything is removed at the end, however it comes.

mod check;
mod cli;
mod engine;
mod fault;
mod lab;
mod ns;
mod probe;
mod proc;
mod report;
mod router;
mod run;
mod stats;
mod table;
mod torrent;
mod units;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use serde_json::json;

use crate::check::{Checked, check};
use crate::cli::{Cli, Command, Common, ProbeCommand};
use crate::engine::{Chunkcast, Engine, meeting};
use crate::fault::Interrupt;
use crate::lab::{Lab, Spec};
use crate::ns::Set;
use crate::report::Bounds;
use crate::run::Means;
use crate::torrent::Source;

/// Measured, and some peer did not get the file.
const INCOMPLETE: u8 = 5;

/// A run may take so many times the bound.
const PATIENCE: f64 = 15.0;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = match command {
        Command::FlashCrowd(args) => usage(args.spec()).and_then(|s| measure(s, &args.common)),
        Command::Sites(args) => usage(args.spec()).and_then(|s| measure(s, &args.common)),
        Command::Router(args) => {
            let config = router::Config::uniform(args.sites, args.rate, args.queue, args.rtt);
            router::io::run(config).map(|()| ExitCode::SUCCESS)
        }
        Command::Probe(probe) => run_probe(&probe).map(|()| ExitCode::SUCCESS),
        Command::EngineLibrqbit { torrent, data } => {
            engine::rqbit::run(&torrent, &data).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        let line = format!("{error:#}")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        tell(&format!("netlab: {line}"));
        fault::code(&error).into()
    })
}

/// Ends the program as clap does when arguments do not fit.
fn usage(spec: Result<Spec, String>) -> Result<Spec> {
    spec.map_err(|line| {
        Cli::command()
            .error(ErrorKind::ValueValidation, line)
            .exit()
    })
}

fn measure(spec: Spec, args: &Common) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let set = Set::new(&std::env::temp_dir())?;
    let chunkcast = Chunkcast {
        program: args.chunkcast.clone().unwrap_or_else(beside),
        words: args.chunkcast_arg.clone(),
        cold: args.cold,
    };
    let mut versions = Vec::new();
    for engine in &args.engines {
        versions.push((*engine, engine.version(&chunkcast)?));
    }
    let bounds = Bounds::of(&spec, args.size);
    let tracker = meeting::announce_url();
    let source = Source::make(set.dir(), args.size, args.piece, &tracker)?;
    tell(&format!(
        "netlab: {} peers at {} sites; bound {:.1} s{}",
        spec.leechers.iter().sum::<usize>() + 1,
        spec.leechers.len(),
        bounds.longest(),
        spec.wan.map_or_else(String::new, |_| format!(
            ", {:.1} s at the seed's own site",
            bounds.own
        )),
    ));
    let mut lab = Lab::build(set, spec)?;
    let checked = check(&lab, &interrupt)?;
    show(&checked, &versions);
    let deadline = args
        .timeout
        .unwrap_or_else(|| Duration::from_secs_f64((bounds.longest() * PATIENCE).max(30.0)));
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        for engine in &args.engines {
            interrupt.check()?;
            let mut means = Means {
                lab: &mut lab,
                source: &source,
                chunkcast: &chunkcast,
                deadline,
                keep: args.keep.as_deref(),
                interrupt: &interrupt,
            };
            let run = means.run(*engine, number)?;
            tell(&format!(
                "netlab: {engine} run {number}: {:.1} s, {} of {} complete",
                run.seconds,
                run.outcomes.len() - report::failures(&run),
                run.outcomes.len(),
            ));
            runs.push(run);
        }
    }
    let text = if args.json {
        let spec = &lab.spec;
        report::document(spec, &bounds, args.piece, &checked, &versions, &runs).to_string()
    } else {
        report::tables(&runs, &lab.spec, &bounds).join("\n")
    };
    print(&text)?;
    if runs.iter().any(|run| report::failures(run) > 0) {
        return Ok(INCOMPLETE.into());
    }
    Ok(ExitCode::SUCCESS)
}

/// `chunkcast` in this program's directory, or else in PATH.
fn beside() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let found = exe.with_file_name("chunkcast");
    if found.is_file() {
        found
    } else {
        PathBuf::from("chunkcast")
    }
}

fn show(checked: &Checked, versions: &[(Engine, String)]) {
    for f in &checked.findings {
        tell(&format!(
            "netlab: checked {}: asked {:.1} {}, found {:.2}",
            f.what, f.asked, f.unit, f.found
        ));
    }
    tell(&format!("netlab: congestion control {}", checked.algorithm));
    for (engine, version) in versions {
        tell(&format!("netlab: {engine} is {version}"));
    }
}

fn run_probe(probe: &ProbeCommand) -> Result<()> {
    let answer = match probe {
        ProbeCommand::Serve { at } => return probe::serve(*at),
        ProbeCommand::Reach { to } => {
            probe::reach(*to, Duration::from_secs(10))?;
            json!({ "reached": to.to_string() })
        }
        ProbeCommand::Rtt { to } => {
            json!({ "ms": probe::round_trip(*to, 15)?.as_secs_f64() * 1e3 })
        }
        ProbeCommand::Flow { to, seconds, skip } => {
            let (time, skip) = (Duration::from_secs(*seconds), Duration::from_secs(*skip));
            let flow = probe::flow(*to, time, skip)?;
            json!({ "bits": flow.rate, "congestion_control": flow.algorithm })
        }
    };
    print(&answer.to_string())
}

/// Onto standard output.
fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

/// Onto standard error, where nobody may be listening.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
