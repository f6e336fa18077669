//! `churn`: the overlay at several median sessions, beside each other.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chunkcast::sim::overlay::{Plan, Report, run};
use chunkcast::sim::report::{execute, overlay_csv, overlay_table};
use clap::Args;

use crate::fault::{Fault, at_a_time, list, seconds};
use crate::output::print_json;
use crate::overlay::topology;

/// The shortest median session in minutes: nobody joins within ten seconds.
const SHORTEST: f64 = 1.0 / 6.0;
/// The longest: a week.
const LONGEST: f64 = 7.0 * 1_440.0;

#[derive(Args)]
pub(crate) struct Churn {
    /// Index nodes.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    nodes: u32,
    /// Median sessions in minutes, separated by commas; sessions are exponential.
    #[arg(long, value_name = "MINUTES,...", default_value = "60,15,5,1.4")]
    sessions: String,
    /// Virtual minutes of churn before the first lookup.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Virtual seconds of lookups.
    #[arg(long, default_value_t = 120.0)]
    measure: f64,
    /// Lookups to measure at each session.
    #[arg(long, default_value_t = 10_000)]
    lookups: u32,
    /// Round-trip times in milliseconds between sites, one row a line, separated by tabs; synthetic without.
    #[arg(long, value_name = "FILE")]
    rtt_matrix: Option<PathBuf>,
    /// Decides everything random.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Runs at the same time [default: the machine's threads].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print JSON with every number.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, one line a session.
    #[arg(long)]
    csv: bool,
}

/// Runs and prints; progress goes to stderr.
pub(crate) fn churn(args: &Churn) -> Result<(), Fault> {
    let session = |s: &str| s.parse().ok().filter(|m| (SHORTEST..=LONGEST).contains(m));
    let valid = "minutes, from ten seconds (0.17) to a week (10080)";
    let sessions: Vec<f64> = list("--sessions", &args.sessions, valid, session)?;
    let nodes = usize::try_from(args.nodes).map_err(|e| e.to_string())?;
    let settle = seconds("minutes", args.minutes * 60.0).map_err(Fault::Usage)?;
    let measure = seconds("measure", args.measure).map_err(Fault::Usage)?;
    let topology = topology(args.rtt_matrix.as_deref(), nodes, args.seed)?;
    let plan = |minutes: &f64| {
        Ok(Plan {
            nodes,
            settle,
            measure: measure.max(Duration::from_secs(1)),
            churn: Some(seconds("sessions", minutes * 60.0).map_err(Fault::Usage)?),
            lookups: args.lookups,
            seed: args.seed,
            ..Plan::default()
        })
    };
    let plans: Vec<Plan> = sessions.iter().map(plan).collect::<Result<_, Fault>>()?;
    let jobs = at_a_time(args.jobs);
    eprintln!("seed {}", args.seed);
    let one = |plan: &Plan| {
        let minutes = plan.churn.map_or(0.0, |m| m.as_secs_f64() / 60.0);
        run(plan, topology.clone(), |what| {
            eprintln!("{minutes} min: {what}")
        })
    };
    let reports: Vec<Report> = execute(&plans, jobs, one, |done, all, r| {
        let minutes = r.churn_s.unwrap_or(0.0) / 60.0;
        let right = r.right_percent;
        eprintln!("[{done}/{all}] median session {minutes} min: right root {right:.3} %");
    });
    if args.json {
        print_json(&reports)?;
    } else if args.csv {
        print!("{}", overlay_csv(&reports));
    } else {
        println!("{nodes} index nodes under churn (seed {})", args.seed);
        print!("{}", overlay_table(&reports));
    }
    Ok(())
}
