//! `netlab`: BitTorrent clients, unmodified, in networks built on this machine, and how long and how much it takes them.
//!
//! The network of a [scene] is built of [namespaces](lab) and [checked](mod@check); then each engine [runs](run) in it,
//! and the [report] holds the figures against the bound. Everything is removed at the end, however it comes.

mod cast;
mod check;
mod cli;
mod engine;
mod fault;
mod host;
mod lab;
mod leech;
mod ns;
mod probe;
mod proc;
mod report;
mod router;
mod run;
mod scene;
mod stats;
mod table;
mod torrent;
mod units;
mod warm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use serde_json::json;

use crate::cli::{Cli, Command, ProbeCommand};
use crate::scene::{crowd, idle, loopback, many, print, tell};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = match command {
        Command::FlashCrowd(args) => usage(args.spec())
            .and_then(|s| crowd::uniform(s, &args.shared, &args.uniform, &args.common)),
        Command::Sites(args) => usage(args.spec())
            .and_then(|s| crowd::uniform(s, &args.shared, &args.uniform, &args.common)),
        Command::Mixed(args) => usage(args.spec()).and_then(|s| crowd::mixed(s, &args)),
        Command::Loopback(args) => usage(args.validate()).and_then(|()| loopback::run(&args)),
        Command::Many(args) => usage(args.validate()).and_then(|()| many::run(&args)),
        Command::Idle(args) => usage(args.validate()).and_then(|()| idle::run(&args)),
        Command::Leech(args) => leech::run(&args)
            .and_then(|report| print(&report.to_string()))
            .map(|()| ExitCode::SUCCESS),
        Command::Router(args) => {
            let config = router::Config::uniform(args.sites, args.rate, args.queue, args.rtt);
            router::io::run(config).map(|()| ExitCode::SUCCESS)
        }
        Command::Probe(probe) => run_probe(&probe).map(|()| ExitCode::SUCCESS),
        Command::EngineLibrqbit {
            torrent,
            data,
            port,
        } => engine::rqbit::run(&torrent, &data, port).map(|()| ExitCode::SUCCESS),
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
fn usage<T>(spec: Result<T, String>) -> Result<T> {
    spec.map_err(|line| {
        Cli::command()
            .error(ErrorKind::ValueValidation, line)
            .exit()
    })
}

fn run_probe(probe: &ProbeCommand) -> Result<()> {
    let answer = match probe {
        ProbeCommand::Serve { at } => return probe::serve(*at),
        ProbeCommand::Reach { to } => {
            probe::reach(*to, Duration::from_secs(10))?;
            json!({ "reached": to.to_string() })
        }
        ProbeCommand::Seeds { tracker, infohash } => {
            probe::seeds(*tracker, infohash, Duration::from_secs(60))?;
            json!({ "seeded": infohash })
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
