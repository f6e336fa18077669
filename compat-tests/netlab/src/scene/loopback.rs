//! One seed, one downloader, one machine: how fast a file goes, and what it costs both.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::standing::{Stage, end};
use super::{chunkcast, exit_code, print, tell, tell_versions, versions};
use crate::cli::LoopbackArgs;
use crate::engine::{Directory, Engine, meeting};
use crate::fault::Interrupt;
use crate::host::{Host, carried};
use crate::ns::Set;
use crate::proc::{self, Proc};
use crate::report::loopback as report;
use crate::torrent::Source;
use crate::warm::warm;

/// How often the downloader is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Who is slower than so many bytes a second has failed. // guess
const SLOWEST: f64 = 10e6;

/// So much has gone over loopback when the data flows: more than any announce and handshake.
const FLOWS: u64 = 256 << 10;

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Who ran.
    pub(crate) engine: Engine,
    /// Which run of it, from 1.
    pub(crate) number: u32,
    /// Seconds from the downloader's start until it had everything; `None`: it has failed.
    pub(crate) seconds: Option<f64>,
    /// Seconds from its start until the data began to flow.
    pub(crate) first: Option<f64>,
    /// Why it has failed.
    pub(crate) fault: Option<&'static str>,
    /// Seconds that the seed took to stand.
    pub(crate) ready: f64,
    /// Processor seconds of the seed since the downloader's start.
    pub(crate) seed_cpu: f64,
    /// Of the downloader.
    pub(crate) leecher_cpu: f64,
    /// Of an index node.
    pub(crate) node_cpu: f64,
    /// The seed's peak of memory, in bytes.
    pub(crate) seed_memory: Option<u64>,
    /// The downloader's.
    pub(crate) leecher_memory: Option<u64>,
    /// Bytes that loopback carried, with headers.
    pub(crate) carried: u64,
    /// The part of the machine's cores that worked, whoever for.
    pub(crate) busy: f64,
    /// The machine's load before.
    pub(crate) load: f64,
}

/// Runs the scene.
///
/// # Errors
/// When the namespace cannot be had, or something cannot be started.
pub(crate) fn run(args: &LoopbackArgs) -> Result<ExitCode> {
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
        tcp_only: !args.utp,
        keep: args.common.keep.as_deref(),
        interrupt: &interrupt,
    };
    let deadline = args.common.timeout.unwrap_or_else(|| {
        let slowest = Duration::from_secs_f64(args.size as f64 / SLOWEST);
        slowest.max(Duration::from_secs(30))
    });
    let mut runs = Vec::new();
    for number in 1..=args.common.runs {
        for engine in &args.engines {
            let run = one(&stage, *engine, number, deadline)?;
            tell(&format!(
                "netlab: {engine} run {number}: {}",
                run.seconds.map_or_else(
                    || run.fault.unwrap_or_default().to_owned(),
                    |s| format!("{s:.2} s, {:.0} MB/s", args.size as f64 / s / 1e6),
                )
            ));
            runs.push(run);
        }
    }
    let text = if args.common.json {
        report::document(args.size, args.piece, !args.utp, &versions, &runs).to_string()
    } else {
        report::tables(&runs, args.size).join("\n")
    };
    print(&text)?;
    Ok(exit_code(runs.iter().filter(|r| r.fault.is_some()).count()))
}

fn one(stage: &Stage<'_>, engine: Engine, number: u32, deadline: Duration) -> Result<Run> {
    stage.within(engine, number, |dir| {
        let mut seed = stage.stand(engine, dir)?;
        let seat = stage.seat(dir, 1)?;
        let (mut command, mut sign) = engine.prepare(&seat)?;
        warm(dir, stage.source.size, 1, stage.interrupt)?;
        let pid = seed.proc.id();
        let (cpu_before, carried_before) = (seed.proc.cpu(), carried(pid)?);
        let node_before = seed.meeting.index.as_mut().map_or(0.0, Proc::cpu);
        let (load, machine) = (proc::load(), proc::machine());
        let begun = Instant::now();
        let mut leecher = Proc::spawn(&mut command, &seat.log())?;
        let (mut first, mut done) = (None, None);
        let mut runs = true;
        while done.is_none() && runs && begun.elapsed() < deadline {
            stage.interrupt.check()?;
            // in this order: what it said before it ended counts
            runs = leecher.runs();
            if first.is_none() && carried(pid)? >= carried_before + FLOWS {
                first = Some(begun.elapsed().as_secs_f64());
            }
            if sign.given() {
                done = Some(begun.elapsed().as_secs_f64());
            } else {
                std::thread::sleep(LOOK);
            }
        }
        let worked = machine.zip(proc::machine());
        let carried = carried(pid)? - carried_before;
        let seed_cpu = seed.proc.cpu() - cpu_before;
        let leecher_cpu = leecher.cpu();
        let node_cpu = seed.meeting.index.as_mut().map_or(0.0, Proc::cpu) - node_before;
        let (seed_memory, leecher_memory) = (seed.proc.peak_memory(), leecher.peak_memory());
        end(&mut [&mut leecher, &mut seed.proc]);
        let fault = match done {
            None if !runs => Some("it ended early"),
            None => Some("not by the deadline"),
            Some(_) if !stage.source.same(&seat.copy()) => Some("its copy differs"),
            Some(_) => None,
        };
        Ok(Run {
            engine,
            number,
            seconds: done.filter(|_| fault.is_none()),
            first,
            fault,
            ready: seed.ready,
            seed_cpu,
            leecher_cpu,
            node_cpu,
            seed_memory,
            leecher_memory,
            carried,
            busy: worked.map_or(f64::NAN, |(a, b)| (b.0 - a.0) / (b.1 - a.1)),
            load,
        })
    })
}
