//! `hotspot`: what the root of an object bears that everybody asks for.

use std::time::Duration;

use chunkcast::sim::hotspot::{Plan, Report, run, unprotected};
use chunkcast::sim::{Links, Net, Topology};
use clap::Args;

use crate::fault::{Fault, seconds};
use crate::output::print_json;

#[derive(Args)]
pub(crate) struct Hotspot {
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

/// Runs and prints.
pub(crate) fn hotspot(args: &Hotspot) -> Result<(), Fault> {
    let nodes = usize::try_from(args.nodes).map_err(|e| e.to_string())?;
    let measure = seconds("measure", args.measure)?.max(Duration::from_secs(1));
    let every = seconds("every", args.every)?;
    if every < Duration::from_millis(10) {
        return Err("--every is too short: a node asks at most a hundred times a second".into());
    }
    let mut plan = Plan {
        nodes,
        settle: seconds("minutes", args.minutes * 60.0)?,
        warm: measure,
        measure,
        every,
        seed: args.seed,
        ..Plan::default()
    };
    if args.unprotected {
        plan.node.directory.hot = unprotected();
    }
    eprintln!("seed {}", args.seed);
    let net = Net::new(
        Topology::synthetic(nodes, args.seed),
        Links::default(),
        args.seed,
    );
    let report = run(&plan, net, |what| eprintln!("{what}"));
    if args.json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(())
}

fn print(r: &Report) {
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
