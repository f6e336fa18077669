//! A daemon with many torrents that nobody asks for: what it takes to hold them, and how long it takes to be back.
//!
//! The data are sparse files of zeros, so that a thousand torrents of any size fit on a disk; their names tell them apart.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha1::{Digest, Sha1};

use super::{chunkcast, print, tell};
use crate::cli::IdleArgs;
use crate::engine::{Chunkcast, Daemon, Directory, Remote, meeting};
use crate::fault::Interrupt;
use crate::host::{self, Host};
use crate::ns::{Ns, Set};
use crate::proc::{self, Proc};
use crate::report::idle as report;
use crate::run::{subdirectory, within};
use crate::torrent::{info_dictionary, metainfo};

/// How long a start, with or without hashing, may take. // guess
const PATIENCE: Duration = Duration::from_secs(600);
/// How long an end may take.
const END: Duration = Duration::from_secs(30);
/// How often it is asked whether all are there.
const POLL: Duration = Duration::from_millis(250);

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Who ran.
    pub(crate) daemon: Daemon,
    /// Which run of it, from 1.
    pub(crate) number: u32,
    /// Seconds from the first addition until all data was hashed and seeded.
    pub(crate) added: f64,
    /// Seconds that its end took; `None`: it had to be killed.
    pub(crate) end: Option<f64>,
    /// Seconds from the second start until all were seeded again.
    pub(crate) start: f64,
    /// Processor seconds until then.
    pub(crate) start_cpu: f64,
    /// Processor seconds a second, in percent, while nothing happened.
    pub(crate) cpu: f64,
    /// Resident memory after that, in bytes.
    pub(crate) memory: Option<u64>,
    /// The most of this process.
    pub(crate) peak: Option<u64>,
    /// Bytes a second on loopback while nothing happened, sent and received counted once.
    pub(crate) traffic: f64,
    /// The machine's load before.
    pub(crate) load: f64,
}

/// Runs the scene.
///
/// # Errors
/// When the namespace cannot be had, or something cannot be started.
pub(crate) fn run(args: &IdleArgs) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let set = Set::new(&std::env::temp_dir())?;
    let program = chunkcast(&args.common, Directory::Warm, false);
    let mut versions = Vec::new();
    for daemon in &args.daemons {
        let version = daemon.version(&program)?;
        tell(&format!("netlab: {daemon} is {version}"));
        versions.push((*daemon, version));
    }
    let data = set.dir().join("data");
    let torrents = make(&set.dir().join("torrents"), &data, args)?;
    let host = Host::build(set)?;
    let place = &host.place.ns;
    let mut runs = Vec::new();
    for number in 1..=args.common.runs {
        for daemon in &args.daemons {
            let name = format!("{daemon}-{number}");
            let keep = args.common.keep.as_deref();
            let run = within(host.set.dir(), &name, keep, |dir| {
                let _index = (*daemon == Daemon::Chunkcast)
                    .then(|| meeting::index_node(place, &subdirectory(dir, "index")?, &program))
                    .transpose()?;
                let one = One {
                    daemon: *daemon,
                    program: &program,
                    place,
                    dir,
                    data: &data,
                    patience: args.common.timeout.unwrap_or(PATIENCE),
                    interrupt: &interrupt,
                };
                one.run(&torrents, number, args)
            })?;
            tell(&format!("netlab: {daemon} run {number} is done"));
            runs.push(run);
        }
    }
    let text = if args.common.json {
        report::document(args, &versions, &runs).to_string()
    } else {
        report::tables(&runs).join("\n")
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// One daemon's turn.
struct One<'a> {
    daemon: Daemon,
    program: &'a Chunkcast,
    place: &'a Ns,
    dir: &'a Path,
    data: &'a Path,
    /// How long a start may take.
    patience: Duration,
    interrupt: &'a Interrupt,
}

impl One<'_> {
    fn run(&self, torrents: &[PathBuf], number: u32, args: &IdleArgs) -> Result<Run> {
        let load = proc::load();
        let (mut proc, log) = self.start("start-1")?;
        self.wait(&mut proc, &log, 0)?;
        let begun = Instant::now();
        for torrent in torrents {
            self.interrupt.check()?;
            Remote(self.place).add(torrent)?;
        }
        self.wait(&mut proc, &log, torrents.len())?;
        let added = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        proc.terminate();
        let end = proc.wait(END).then(|| begun.elapsed().as_secs_f64());
        drop(proc);
        let begun = Instant::now();
        let (mut proc, log) = self.start("start-2")?;
        self.wait(&mut proc, &log, torrents.len())?;
        let (took, start_cpu) = (begun.elapsed().as_secs_f64(), proc.cpu());
        self.interrupt.rest(args.settle)?;
        let (cpu, carried, begun) = (proc.cpu(), host::carried(proc.id())?, Instant::now());
        self.interrupt.rest(args.span)?;
        let seconds = begun.elapsed().as_secs_f64();
        let run = Run {
            daemon: self.daemon,
            number,
            added,
            end,
            start: took,
            start_cpu,
            cpu: (proc.cpu() - cpu) / seconds * 100.0,
            memory: proc.memory(),
            peak: proc.peak_memory(),
            traffic: (host::carried(proc.id())? - carried) as f64 / seconds,
            load,
        };
        proc.terminate();
        proc.wait(END);
        Ok(run)
    }

    /// Starts it; its output goes to a log of this start, which is named too.
    fn start(&self, name: &str) -> Result<(Proc, PathBuf)> {
        let log = subdirectory(self.dir, name)?.join("log");
        let home = self.dir.join("home");
        let mut command = (self.daemon).command(self.place, &home, self.data, self.program)?;
        Ok((Proc::spawn(&mut command, &log)?, log))
    }

    /// Waits until so many torrents are seeded.
    fn wait(&self, proc: &mut Proc, log: &Path, count: usize) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.interrupt.check()?;
            let seeding = Remote(self.place).seeding();
            if seeding == Some(count) {
                return Ok(());
            }
            if !proc.runs() || begun.elapsed() > self.patience {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let (daemon, data) = (self.daemon, self.data.display());
                bail!(
                    "{daemon} seeds {seeding:?} of {count} torrents of {data}: {}",
                    said.trim()
                );
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Makes the torrents and their data; the torrents' paths.
fn make(torrents: &Path, data: &Path, args: &IdleArgs) -> Result<Vec<PathBuf>> {
    std::fs::create_dir(torrents)?;
    std::fs::create_dir(data)?;
    let piece = usize::try_from(args.piece)?;
    let hash = |len: usize| Sha1::digest(vec![0; len]);
    let (whole, rest) = (args.size / args.piece, args.size % args.piece);
    let mut hashes = hash(piece).repeat(usize::try_from(whole)?);
    if rest > 0 {
        hashes.extend(hash(usize::try_from(rest)?));
    }
    let mut paths = Vec::new();
    for number in 0..args.torrents {
        let name = format!("idle-{number:05}");
        let file = data.join(&name);
        std::fs::File::create(&file)
            .and_then(|f| f.set_len(args.size))
            .with_context(|| format!("`{}`", file.display()))?;
        let info = info_dictionary(&name, args.size, args.piece, &hashes);
        let path = torrents.join(format!("{name}.torrent"));
        std::fs::write(&path, metainfo(&info, None))?;
        paths.push(path);
    }
    Ok(paths)
}
