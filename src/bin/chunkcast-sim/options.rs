//! Options of the subcommands that run swarms.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use chunkcast::sim::Topology;
use chunkcast::sim::swarm::System;
use clap::Args;

use crate::fault::{Fault, at_a_time, list};
use crate::swarms::VARIANTS;

/// Most peers of one swarm.
const MOST_PEERS: usize = 100_000;
/// Most chunks of a file.
const MOST_CHUNKS: u32 = 1_000_000;
/// Most bytes of a chunk.
const MOST_CHUNK: u64 = 1 << 30;
/// Most sites.
const MOST_SITES: usize = 1_000;

#[derive(Args)]
pub(crate) struct Paper {
    /// Peers, the seed included.
    #[arg(long, value_name = "N", default_value_t = 180)]
    peers: usize,
    /// What is varied, separated by commas: plain, names as the error for a wrong one lists them, or all.
    #[arg(long, value_name = "NAMES", default_value = "plain")]
    variants: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(crate) struct Scale {
    /// Peers of each swarm, separated by commas.
    #[arg(long, value_name = "N,...", default_value = "180,1000,5000")]
    peers: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(crate) struct Sites {
    /// Sites; the seed is at the first.
    #[arg(long, value_name = "S", default_value_t = 3)]
    sites: usize,
    /// Downloaders at each site.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    peers: u32,
    #[command(flatten)]
    common: Common,
}

/// What all of them take.
#[derive(Args)]
struct Common {
    /// Topologies: each has a seed of its own, counting from --seed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    topologies: u64,
    /// Most transfers that a peer sends at once, separated by commas; 0: no limit. [default: paper 0,6; others 6]
    #[arg(long, value_name = "N,...")]
    slots: Option<String>,
    /// Systems, separated by commas, or all.
    #[arg(long, value_name = "NAMES", default_value = "all")]
    systems: String,
    /// Chunks of the file.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    chunks: u32,
    /// Bytes of a chunk; KiB and MiB are understood.
    #[arg(long, value_name = "SIZE", default_value = "256KiB")]
    chunk_size: String,
    /// Round-trip times in milliseconds between sites, one row a line, separated by tabs; synthetic without.
    #[arg(long, value_name = "FILE")]
    rtt_matrix: Option<PathBuf>,
    /// Seed of the first topology.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Runs at the same time [default: the machine's threads].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print JSON with every number.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, one line a run.
    #[arg(long)]
    csv: bool,
    /// Write pictures into this folder.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

/// One of the subcommands, unread.
pub(crate) struct Swarms {
    kind: Kind,
    peers: String,
    variants: String,
    common: Common,
}

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// The paper's setting.
    Paper,
    /// The paper's setting in several sizes.
    Scale,
    /// So many sites.
    Sites(usize),
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// Tables for the terminal.
    Tables,
    /// JSON.
    Json,
    /// CSV.
    Csv,
}

/// Options, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// What is simulated.
    pub(crate) kind: Kind,
    /// Seeds of the topologies.
    pub(crate) seeds: Vec<u64>,
    /// Peers of each swarm, the seed included.
    pub(crate) peers: Vec<usize>,
    /// Names from [`VARIANTS`]; `plain`: nothing varied.
    pub(crate) variants: Vec<String>,
    /// Upload slots; 0: no limit.
    pub(crate) slots: Vec<usize>,
    /// Systems, in the order of reports.
    pub(crate) systems: Vec<System>,
    /// Chunks of the file.
    pub(crate) chunks: u32,
    /// Bytes of a chunk.
    pub(crate) chunk_bytes: u64,
    /// A matrix of round-trip times, checked.
    pub(crate) matrix: Option<String>,
    /// Threads.
    pub(crate) jobs: usize,
    /// What is printed.
    pub(crate) form: Form,
    /// Where pictures go.
    pub(crate) svg: Option<PathBuf>,
}

impl From<Paper> for Swarms {
    fn from(args: Paper) -> Self {
        Self {
            kind: Kind::Paper,
            peers: args.peers.to_string(),
            variants: args.variants,
            common: args.common,
        }
    }
}

impl From<Scale> for Swarms {
    fn from(args: Scale) -> Self {
        Self {
            kind: Kind::Scale,
            peers: args.peers,
            variants: "plain".into(),
            common: args.common,
        }
    }
}

impl From<Sites> for Swarms {
    fn from(args: Sites) -> Self {
        // all of them and the seed
        let each = usize::try_from(args.peers).unwrap_or(MOST_PEERS);
        let peers = args.sites.saturating_mul(each).saturating_add(1);
        Self {
            kind: Kind::Sites(args.sites),
            peers: peers.to_string(),
            variants: "plain".into(),
            common: args.common,
        }
    }
}

impl Options {
    /// Reads and checks.
    ///
    /// # Errors
    /// [`Fault::Usage`] for a value that cannot be, [`Fault::Failed`] for a file.
    pub(crate) fn read(args: &Swarms) -> Result<Self, Fault> {
        let common = &args.common;
        let within = |n: &usize| (2..=MOST_PEERS).contains(n);
        let peers = |s: &str| s.parse().ok().filter(within);
        if let Kind::Sites(sites) = args.kind
            && !(1..=MOST_SITES).contains(&sites)
        {
            return usage(format!(
                "--sites: {sites} is out of range; valid: 1 to {MOST_SITES}"
            ));
        }
        let peers = list("--peers", &args.peers, &format!("2 to {MOST_PEERS}"), peers)?;
        if !(1..=MOST_CHUNKS).contains(&common.chunks) {
            let n = common.chunks;
            return usage(format!(
                "--chunks: {n} is out of range; valid: 1 to {MOST_CHUNKS}"
            ));
        }
        let slots = common.slots.as_deref().unwrap_or(match args.kind {
            Kind::Paper => "0,6",
            Kind::Scale | Kind::Sites(_) => "6",
        });
        let slot = |s: &str| s.parse().ok().filter(|n| *n <= 1_000);
        let variants = named("--variants", &args.variants, &VARIANTS)?;
        let names = System::ALL.map(System::name);
        let asked = named("--systems", &common.systems, &names)?;
        let systems = System::ALL.into_iter();
        let seeds = (0..common.topologies).map(|n| common.seed.checked_add(n));
        let Some(seeds) = seeds.collect() else {
            return usage(format!(
                "--seed: {} is too large to count from",
                common.seed
            ));
        };
        Ok(Self {
            kind: args.kind,
            seeds,
            peers,
            variants,
            slots: list("--slots", slots, "0 (no limit) to 1000", slot)?,
            systems: systems
                .filter(|s| asked.iter().any(|name| name == s.name()))
                .collect(),
            chunks: common.chunks,
            chunk_bytes: bytes(&common.chunk_size)?,
            matrix: matrix(common)?,
            jobs: at_a_time(common.jobs),
            form: match (common.json, common.csv) {
                (true, _) => Form::Json,
                (_, true) => Form::Csv,
                _ => Form::Tables,
            },
            svg: common.svg.clone(),
        })
    }
}

fn usage<T>(message: String) -> Result<T, Fault> {
    Err(Fault::Usage(message))
}

/// A list of names out of `all`, or all of them.
fn named(option: &str, text: &str, all: &[&str]) -> Result<Vec<String>, Fault> {
    if text == "all" {
        return Ok(all.iter().map(|name| (*name).to_owned()).collect());
    }
    let valid = format!("{}; or all", all.join(", "));
    let read = |name: &str| all.contains(&name).then(|| name.to_owned());
    list(option, text, &valid, read)
}

/// "262144", "256KiB", "1MiB".
fn bytes(text: &str) -> Result<u64, Fault> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("", 1)];
    let with_unit = units.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit)?.trim_end();
        Some(number.parse::<u64>().ok()?.saturating_mul(*factor))
    });
    match with_unit {
        Some(bytes) if (1..=MOST_CHUNK).contains(&bytes) => Ok(bytes),
        _ => usage(format!(
            "--chunk-size: `{text}` is no size; valid: bytes, KiB or MiB up to 1024MiB, as 256KiB"
        )),
    }
}

fn matrix(common: &Common) -> Result<Option<String>, Fault> {
    let Some(path) = &common.rtt_matrix else {
        return Ok(None);
    };
    let named = |e: &dyn std::fmt::Display| format!("--rtt-matrix: {}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
    // what is wrong with it is better said before the first run than in the middle
    Topology::from_matrix(&text, 2, common.seed).map_err(|e| named(&e))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    enum Line {
        Paper(Paper),
        Scale(Scale),
        Sites(Sites),
    }

    fn read(line: &str) -> Result<Options, Fault> {
        let args = ["sim"].into_iter().chain(line.split(' '));
        let swarms = match Line::try_parse_from(args).unwrap() {
            Line::Paper(args) => args.into(),
            Line::Scale(args) => args.into(),
            Line::Sites(args) => args.into(),
        };
        Options::read(&swarms)
    }

    #[test]
    fn without_options_the_paper_is_evaluated() {
        let paper = read("paper --seed 1").unwrap();
        assert_eq!(paper.seeds, [1, 2, 3, 4, 5]);
        assert_eq!((paper.peers, paper.slots), (vec![180], vec![0, 6]));
        assert_eq!(paper.systems, System::ALL);
        assert_eq!(paper.variants, ["plain"]);
        assert_eq!((paper.chunks, paper.chunk_bytes), (1_000, 262_144));
        assert_eq!((paper.form, paper.svg), (Form::Tables, None));
        let scale = read("scale").unwrap();
        assert_eq!(
            (scale.peers, scale.slots),
            (vec![180, 1_000, 5_000], vec![6])
        );
        let sites = read("sites --sites 4 --peers 10").unwrap();
        assert_eq!((sites.kind, sites.peers), (Kind::Sites(4), vec![41]));
    }

    #[test]
    fn systems_come_in_the_order_of_reports_and_all_means_all() {
        let options = read("paper --systems oracle,random --variants all --csv").unwrap();
        assert_eq!(options.systems, [System::Random, System::Oracle]);
        assert_eq!(options.variants, VARIANTS);
        assert_eq!(options.form, Form::Csv);
    }

    #[test]
    fn chunk_sizes_have_units() {
        for (text, size) in [("1", 1), ("256KiB", 1 << 18), ("4 MiB", 1 << 22)] {
            assert_eq!(bytes(text), Ok(size));
        }
        for text in [
            "",
            "0",
            "-1",
            "KiB",
            "1025MiB",
            "99999999999999999MiB",
            "1e3",
        ] {
            assert!(matches!(bytes(text), Err(Fault::Usage(_))), "{text}");
        }
    }

    #[test]
    fn a_matrix_is_read_before_the_first_run() {
        let path = std::env::temp_dir().join(format!("chunkcast-options-{}", std::process::id()));
        std::fs::write(&path, "0\t10\n10\t0\n").unwrap();
        let options = read(&format!("sites --rtt-matrix {}", path.display())).unwrap();
        assert_eq!(options.matrix.as_deref(), Some("0\t10\n10\t0\n"));
        std::fs::remove_file(&path).unwrap();
    }
}
