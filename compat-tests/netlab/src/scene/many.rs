//! Many downloaders that give each other nothing, and one seed: whether it serves all of them, alike, and with how much
//! memory.

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::standing::{Stage, end};
use super::{chunkcast, exit_code, print, tell, tell_versions, versions};
use crate::cli::ManyArgs;
use crate::engine::{Directory, Engine, meeting};
use crate::fault::Interrupt;
use crate::host::Host;
use crate::ns::Set;
use crate::proc::{self, Proc};
use crate::report::many as report;
use crate::torrent::Source;

/// Who is not served by then has been starved. // guess: with 200 × 4 MiB it is 13 MB/s from the seed
const PATIENCE: Duration = Duration::from_secs(60);

/// The first downloader's address.
const FIRST: &str = "10.77.1.1";

/// What a downloader came to.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Seconds from the common start until it had everything; `None`: it did not.
    pub(crate) seconds: Option<f64>,
    /// Until its first block.
    pub(crate) first: Option<f64>,
    /// Payload that it got.
    pub(crate) bytes: u64,
    /// How often it had to connect.
    pub(crate) connections: u64,
    /// What ended its last connection, if it did not get everything.
    pub(crate) fault: Option<String>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Who seeded.
    pub(crate) engine: Engine,
    /// Which run of it, from 1.
    pub(crate) number: u32,
    /// Every downloader.
    pub(crate) peers: Vec<Peer>,
    /// The seed's peak of memory before the downloaders came, in bytes.
    pub(crate) memory_before: Option<u64>,
    /// And until they had gone.
    pub(crate) memory: Option<u64>,
    /// Processor seconds of the seed meanwhile.
    pub(crate) seed_cpu: f64,
    /// Of the downloaders, all together.
    pub(crate) leech_cpu: f64,
    /// The part of the machine's cores that worked, whoever for.
    pub(crate) busy: f64,
    /// The machine's load before.
    pub(crate) load: f64,
}

/// Runs the scene.
///
/// # Errors
/// When the namespace cannot be had, or something cannot be started.
pub(crate) fn run(args: &ManyArgs) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let set = Set::new(&std::env::temp_dir())?;
    let chunkcast = chunkcast(&args.common, Directory::Warm, false);
    let versions = versions(&args.engines, &chunkcast)?;
    let source = Source::make(set.dir(), args.size, args.piece, &meeting::announce_url())?;
    let host = Host::build(set)?;
    tell_versions(&versions);
    let stage = Stage {
        host: &host,
        source: &source,
        chunkcast: &chunkcast,
        tcp_only: true,
        keep: args.common.keep.as_deref(),
        interrupt: &interrupt,
    };
    let mut runs = Vec::new();
    for number in 1..=args.common.runs {
        for engine in &args.engines {
            let run = one(&stage, *engine, number, args)?;
            tell(&format!(
                "netlab: {engine} run {number}: {} of {} served",
                run.peers.len() - report::failures(&run),
                run.peers.len(),
            ));
            runs.push(run);
        }
    }
    let text = if args.common.json {
        report::document(args.size, args.piece, args.budget, &versions, &runs).to_string()
    } else {
        report::tables(&runs, args.size, args.budget).join("\n")
    };
    print(&text)?;
    Ok(exit_code(runs.iter().map(report::failures).sum()))
}

fn one(stage: &Stage<'_>, engine: Engine, number: u32, args: &ManyArgs) -> Result<Run> {
    stage.within(engine, number, |dir| {
        let mut seed = stage.stand(engine, dir)?;
        let at = stage.address(engine, 0);
        let log = dir.join("leech.log");
        let timeout = args.common.timeout.unwrap_or(PATIENCE);
        let exe = std::env::current_exe().context("the harness's own program")?;
        let mut command = stage.host.place.ns.command(exe);
        command
            .arg("leech")
            .args(["--from", &at])
            .args(["--first", FIRST, "--n", &args.n.to_string()])
            .args(["--infohash", &stage.source.infohash])
            .arg("--hashes")
            .arg(&stage.source.hashes)
            .args(["--size", &args.size.to_string()])
            .args(["--piece", &args.piece.to_string()])
            .args(["--timeout", &format!("{}us", timeout.as_micros())])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?);
        let (memory_before, cpu_before) = (seed.proc.peak_memory(), seed.proc.cpu());
        let (load, machine) = (proc::load(), proc::machine());
        let mut leech = Proc::spawn_with_outputs(&mut command)?;
        let begun = Instant::now();
        while leech.runs() {
            stage.interrupt.check()?;
            if begun.elapsed() > timeout + timeout {
                bail!("the downloaders hang");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let worked = machine.zip(proc::machine());
        let (memory, seed_cpu) = (seed.proc.peak_memory(), seed.proc.cpu() - cpu_before);
        let leech_cpu = leech.cpu();
        end(&mut [&mut seed.proc]);
        let said = std::fs::read_to_string(&log)?;
        let value: Value = serde_json::from_str(&said).context("the downloaders' object")?;
        let peers = value["peers"].as_array().into_iter().flatten().map(peer);
        Ok(Run {
            engine,
            number,
            peers: peers.collect(),
            memory_before,
            memory,
            seed_cpu,
            leech_cpu,
            busy: worked.map_or(f64::NAN, |(a, b)| (b.0 - a.0) / (b.1 - a.1)),
            load,
        })
    })
}

fn peer(value: &Value) -> Peer {
    Peer {
        seconds: value["seconds"].as_f64(),
        first: value["first_s"].as_f64(),
        bytes: value["bytes"].as_u64().unwrap_or(0),
        connections: value["connections"].as_u64().unwrap_or(0),
        fault: value["fault"].as_str().map(str::to_owned),
    }
}
