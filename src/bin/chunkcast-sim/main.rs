//! `chunkcast-sim`: the simulator on the command line.

#![allow(clippy::print_stdout, reason = "a program that prints a report")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chunkcast::sim::hotspot;
use chunkcast::sim::overlay::{Plan, Report, run};
use chunkcast::sim::{BANDS, Links, Net, Topology};
use clap::{Args, Parser, Subcommand};

/// Simulates ChunkCast's shipped code on virtual networks.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hops, stretch, local convergence, success under churn and cost of upkeep of a ring of index nodes.
    Overlay(Overlay),
    /// What the root of an object bears when every node asks for it and publishes it.
    Hotspot(Hotspot),
}

#[derive(Args)]
struct Hotspot {
    /// Index nodes.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    nodes: u32,
    /// Mean seconds between two lookups of one node.
    #[arg(long, default_value_t = 4.0)]
    every: f64,
    /// Virtual minutes between the last start and the first lookup.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Virtual seconds that each variant is measured, after as many that are not.
    #[arg(long, default_value_t = 60.0)]
    measure: f64,
    /// Pass everything on to the root, to see what it would bear.
    #[arg(long)]
    unprotected: bool,
    /// Decides everything random.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Overlay {
    /// Index nodes.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    nodes: u32,
    /// Round-trip times in milliseconds between sites, one row a line, separated by tabs; synthetic without.
    #[arg(long, value_name = "FILE")]
    rtt_matrix: Option<PathBuf>,
    /// Virtual minutes between the last start and the first lookup; under churn, of churn.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Virtual seconds of lookups.
    #[arg(long, default_value_t = 120.0)]
    measure: f64,
    /// Lookups to measure.
    #[arg(long, default_value_t = 10_000)]
    lookups: u32,
    /// Median session in minutes, exponential; nobody leaves without.
    #[arg(long, value_name = "MINUTES")]
    churn: Option<f64>,
    /// Share of datagrams that are lost, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Mean extra delay as a share of the latency.
    #[arg(long, default_value_t = 0.0)]
    jitter: f64,
    /// Decides everything random.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Overlay(args) => overlay(&args),
        Command::Hotspot(args) => hotspot(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("chunkcast-sim: {message}");
            ExitCode::FAILURE
        }
    }
}

fn seconds(name: &str, s: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(s)
        .ok()
        .filter(|d| *d <= Duration::from_secs(7 * 86_400))
        .ok_or_else(|| format!("--{name} is out of range: up to a week is simulated"))
}

fn overlay(args: &Overlay) -> Result<(), String> {
    for (name, share) in [("loss", args.loss), ("jitter", args.jitter)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("--{name} is a share: 0 to 1"));
        }
    }
    let churn = args.churn.map(|m| seconds("churn", m * 60.0)).transpose()?;
    if churn.is_some_and(|m| m < Duration::from_secs(10)) {
        return Err("--churn is too short: nobody joins within ten seconds".into());
    }
    let nodes = usize::try_from(args.nodes).map_err(|e| e.to_string())?;
    let topology = match &args.rtt_matrix {
        None => Topology::synthetic(nodes, args.seed),
        Some(path) => {
            let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
            let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
            Topology::from_matrix(&text, nodes, args.seed).map_err(|e| named(&e))?
        }
    };
    let plan = Plan {
        nodes,
        settle: seconds("minutes", args.minutes * 60.0)?,
        measure: seconds("measure", args.measure)?.max(Duration::from_secs(1)),
        churn,
        lookups: args.lookups,
        links: Links {
            loss: args.loss,
            jitter: args.jitter,
            reorder: 0.0,
        },
        seed: args.seed,
        ..Plan::default()
    };
    eprintln!("seed {}", args.seed);
    let report = run(&plan, topology, |what| eprintln!("{what}"));
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        println!("{json}");
    } else {
        print(&report);
    }
    Ok(())
}

fn hotspot(args: &Hotspot) -> Result<(), String> {
    let nodes = usize::try_from(args.nodes).map_err(|e| e.to_string())?;
    let measure = seconds("measure", args.measure)?.max(Duration::from_secs(1));
    let every = seconds("every", args.every)?;
    if every < Duration::from_millis(10) {
        return Err("--every is too short: a node asks at most a hundred times a second".into());
    }
    let mut plan = hotspot::Plan {
        nodes,
        settle: seconds("minutes", args.minutes * 60.0)?,
        warm: measure,
        measure,
        every,
        seed: args.seed,
        ..hotspot::Plan::default()
    };
    if args.unprotected {
        plan.node.directory.hot = hotspot::unprotected();
    }
    eprintln!("seed {}", args.seed);
    let net = Net::new(
        Topology::synthetic(nodes, args.seed),
        Links::default(),
        args.seed,
    );
    let report = hotspot::run(&plan, net, |what| eprintln!("{what}"));
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        println!("{json}");
    } else {
        print_hotspot(&report);
    }
    Ok(())
}

fn print_hotspot(r: &hotspot::Report) {
    println!(
        "{} nodes (log2 {:.1}), a lookup and a publication of one object by each every {:.1} s (seed {})",
        r.nodes, r.log2_nodes, r.every_s, r.seed
    );
    println!("datagrams received a second, and what the askers got:");
    println!(
        "{:<16} {:>7} {:>8} {:>7} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8}",
        "variant",
        "root",
        "x quiet",
        "median",
        "busiest",
        "children",
        "matches",
        "empty",
        "loaded",
        "root's",
        "<=2 hops"
    );
    for row in &r.rows {
        println!(
            "{:<16} {:>7.1} {:>8.1} {:>7.1} {:>8.1} {:>8} {:>8.2} {:>5.1} % {:>5.1} % {:>5.1} % {:>6.1} %",
            row.variant.name(),
            row.root,
            r.over_quiet(row).unwrap_or(0.0),
            row.median,
            row.busiest,
            row.children,
            row.matches_mean,
            row.empty_percent,
            row.loaded_percent,
            row.root_percent,
            row.two_hops_percent
        );
    }
    for row in &r.rows {
        let mut kinds: Vec<_> = row
            .root_by_kind
            .iter()
            .filter(|(_, n)| **n >= 0.05)
            .collect();
        kinds.sort_by(|a, b| b.1.total_cmp(a.1));
        let kinds: Vec<String> = kinds.iter().map(|(k, n)| format!("{k} {n:.1}")).collect();
        println!("  {}: {}", row.variant.name(), kinds.join(", "));
    }
    println!("digest {}", r.digest);
}

fn print(r: &Report) {
    println!(
        "nodes                {} ({} members at the end)",
        r.nodes, r.members
    );
    if let Some(s) = r.churn_s {
        println!(
            "median session       {:.1} min ({} deaths)",
            s / 60.0,
            r.deaths
        );
    }
    println!(
        "hops                 {:.2} mean, {} max",
        r.hops_mean, r.hops_max
    );
    println!(
        "stretch              {:.2} of means, {:.2} median",
        r.stretch, r.stretch_median
    );
    println!(
        "right root at once   {:.3} % of {} lookups ({} unanswered)",
        r.right_percent, r.lookups, r.unanswered
    );
    println!(
        "upkeep               {:.0} B/s a node with headers, {:.0} without",
        r.upkeep_rate, r.upkeep_payload_rate
    );
    let kinds: Vec<String> = r.rates.iter().map(|(k, b)| format!("{k} {b:.0}")).collect();
    println!("                     {}", kinds.join(", "));
    println!(
        "coordinates          {:.3} median relative error",
        r.coordinate_error
    );
    println!("local convergence    share of pairs whose routes meet before the root");
    for ((name, _), band) in BANDS.iter().zip(&r.convergence.bands) {
        println!(
            "  {name:<18} {:.1} % of {} pairs (perfect tables {:.1} %), {} astray",
            band.percent(),
            band.pairs,
            band.ideal_percent(),
            band.astray
        );
    }
    for (i, row) in r.tables.iter().enumerate() {
        let share = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        println!(
            "row {i}                nearest known in {:.1} % of {} slots, {:.1} % of {} as good",
            share(row.nearest, row.slots),
            row.slots,
            share(row.found, row.band),
            row.band
        );
    }
    println!("digest               {} (seed {})", r.digest, r.seed);
}
