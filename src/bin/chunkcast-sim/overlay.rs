//! `overlay`: one ring of index nodes, measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkcast::sim::overlay::{Plan, Report, run};
use chunkcast::sim::{BANDS, Links, Topology};
use clap::Args;

use crate::fault::{Fault, seconds};
use crate::output::print_json;

#[derive(Args)]
pub(crate) struct Overlay {
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

/// Runs and prints.
pub(crate) fn overlay(args: &Overlay) -> Result<(), Fault> {
    for (name, share) in [("loss", args.loss), ("jitter", args.jitter)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("--{name} is a share: 0 to 1").into());
        }
    }
    let churn = args.churn.map(|m| seconds("churn", m * 60.0)).transpose()?;
    if churn.is_some_and(|m| m < Duration::from_secs(10)) {
        return Err("--churn is too short: nobody joins within ten seconds".into());
    }
    let nodes = usize::try_from(args.nodes).map_err(|e| e.to_string())?;
    let topology = topology(args.rtt_matrix.as_deref(), nodes, args.seed)?;
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
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(())
}

/// Hosts at the sites of the matrix in a file, or synthetic ones.
pub(crate) fn topology(matrix: Option<&Path>, nodes: usize, seed: u64) -> Result<Topology, Fault> {
    let Some(path) = matrix else {
        return Ok(Topology::synthetic(nodes, seed));
    };
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
    Ok(Topology::from_matrix(&text, nodes, seed).map_err(|e| named(&e))?)
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
