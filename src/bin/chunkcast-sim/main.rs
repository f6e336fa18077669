//! `chunkcast-sim`: the simulator on the command line.

#![allow(clippy::print_stdout, reason = "a program that prints a report")]

mod churn;
mod fault;
mod hotspot;
mod options;
mod output;
mod overlay;
mod swarms;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fault::Fault;

/// Simulates ChunkCast's shipped code on virtual networks.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download times and traffic of all systems in one swarm, as the paper evaluates them.
    Paper(options::Paper),
    /// The same with swarms of growing size.
    Scale(options::Scale),
    /// Rings of index nodes under churn of growing speed, beside each other.
    Churn(churn::Churn),
    /// Swarms at a few sites, each behind one link that all its peers share.
    Sites(options::Sites),
    /// Hops, stretch, local convergence, success under churn and cost of upkeep of a ring of index nodes.
    Overlay(overlay::Overlay),
    /// What the root of an object bears when every node asks for it and publishes it.
    Hotspot(hotspot::Hotspot),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Paper(args) => output::swarms(&args.into()),
        Command::Scale(args) => output::swarms(&args.into()),
        Command::Churn(args) => churn::churn(&args),
        Command::Sites(args) => output::swarms(&args.into()),
        Command::Overlay(args) => overlay::overlay(&args),
        Command::Hotspot(args) => hotspot::hotspot(&args),
    };
    let (message, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Fault::Usage(message)) => (message, ExitCode::from(2)),
        Err(Fault::Failed(message)) => (message, ExitCode::FAILURE),
    };
    eprintln!("chunkcast-sim: {message}");
    code
}
