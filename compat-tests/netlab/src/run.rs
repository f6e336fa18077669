//! One run of a [cast](Cast): everything is started at once, watched until all have everything, and measured.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cast::Cast;
use crate::engine::{Chunkcast, Directory, Engine, Seat, Sign, meeting};
use crate::fault::Interrupt;
use crate::lab::{Counters, Lab};
use crate::proc::{self, Proc};
use crate::torrent::Source;
use crate::warm::warm;

/// How often the peers are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long processes get to end by themselves, and to write what they still hold.
pub(crate) const GRACE: Duration = Duration::from_secs(8);

/// What a run is done with.
pub(crate) struct Means<'a> {
    /// The network.
    pub(crate) lab: &'a mut Lab,
    /// The file.
    pub(crate) source: &'a Source,
    /// The program of this project.
    pub(crate) chunkcast: &'a Chunkcast,
    /// Who is not done by then has failed.
    pub(crate) deadline: Duration,
    /// Logs are copied there.
    pub(crate) keep: Option<&'a Path>,
    /// Ctrl-C.
    pub(crate) interrupt: &'a Interrupt,
}

/// What a downloader came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What it ran.
    pub(crate) engine: Engine,
    /// Its site.
    pub(crate) site: usize,
    /// Seconds from the start of the first process; `None`: it has failed.
    pub(crate) seconds: Option<f64>,
    /// Why it has.
    pub(crate) fault: Option<&'static str>,
    /// Its processor seconds.
    pub(crate) cpu: f64,
    /// Bytes on the wire that it sent while the run went on.
    pub(crate) up: u64,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Who ran; of a mixed swarm, the seed.
    pub(crate) engine: Engine,
    /// Which run of it, from 1.
    pub(crate) number: u32,
    /// Every downloader.
    pub(crate) outcomes: Vec<Outcome>,
    /// Bytes on the wire, while it ran, sent by the seed.
    pub(crate) seed_up: u64,
    /// Sent by all.
    pub(crate) all_up: u64,
    /// Between sites.
    pub(crate) wan: Option<WanRun>,
    /// Processor seconds of all processes of the engine, an index node that was there before included.
    pub(crate) cpu: f64,
    /// Of the seed's among them.
    pub(crate) seed_cpu: f64,
    /// The machine's load before it.
    pub(crate) load: f64,
    /// The part of the machine's cores that worked, whoever for.
    pub(crate) busy: f64,
    /// Processor seconds of all but the engine: the kernel's share of the network, the router, and what else ran.
    pub(crate) other_cpu: f64,
    /// From the first start to the last end.
    pub(crate) seconds: f64,
}

/// What the router saw of a run.
#[derive(Clone, Debug)]
pub(crate) struct WanRun {
    /// Bytes delivered, by sender and receiver.
    pub(crate) bytes: Vec<Vec<u64>>,
    /// Payload of TCP delivered, by receiver.
    pub(crate) payload: Vec<u64>,
    /// Packets dropped, by sender and receiver.
    pub(crate) dropped: Vec<Vec<u64>>,
    /// The router's processor seconds.
    pub(crate) cpu: f64,
    /// The part of deliveries that was over 5 ms late.
    pub(crate) late: f64,
    /// The latest delivery since the network was built, in seconds.
    pub(crate) latest: f64,
    /// Packets lost to a full device.
    pub(crate) lost: u64,
}

impl Means<'_> {
    /// Runs `cast`, which has one engine for each peer of the network.
    ///
    /// # Errors
    /// When something cannot be started or read; a peer that fails is an [`Outcome`].
    pub(crate) fn run(&mut self, cast: &Cast, number: u32) -> Result<Run> {
        let name = format!("{}-{number}", cast.name());
        let (parent, keep) = (self.lab.set.dir().to_path_buf(), self.keep);
        within(&parent, &name, keep, |dir| self.run_in(dir, cast, number))
    }

    fn run_in(&mut self, dir: &Path, cast: &Cast, number: u32) -> Result<Run> {
        let gateway = &self.lab.gateways[0];
        let needs = cast.needs(self.chunkcast.directory == Directory::Warm);
        let mut meeting = meeting::start(needs, gateway, dir, self.source, self.chunkcast)?;
        let mut prepared = Vec::new();
        for (i, engine) in cast.engines().iter().enumerate() {
            let mut seat = self.seat(dir, i, needs.tracker);
            seat.near = engine.is_near();
            std::fs::create_dir_all(seat.data())?;
            if seat.near {
                meeting.near.push(meeting::near(&seat)?);
            }
            if seat.seed {
                std::fs::copy(&self.source.file, seat.copy())?;
            }
            let (command, sign) = engine.prepare(&seat)?;
            prepared.push((command, sign, seat.log()));
        }
        let peers = prepared.len() as u64;
        warm(dir, self.source.size, peers, self.interrupt)?;
        let before = self.lab.counters()?;
        let (load, machine) = (proc::load(), proc::machine());
        let begun = Instant::now();
        let mut watched = Vec::new();
        for (mut command, sign, log) in prepared {
            watched.push(Watched {
                proc: Proc::spawn(&mut command, &log)?,
                sign,
                after: None,
                died: false,
            });
        }
        self.watch(&mut watched, begun)?;
        let seconds = begun.elapsed().as_secs_f64();
        let worked = machine.zip(proc::machine());
        let after = self.lab.counters()?;
        let cpu: Vec<f64> = watched.iter_mut().map(|w| w.proc.cpu()).collect();
        // a tracker's is not the engine's
        let nodes = meeting.index.iter_mut().chain(&mut meeting.near);
        let node_cpu: f64 = nodes.map(Proc::cpu).sum();
        for one in &mut watched {
            one.proc.terminate();
        }
        let end = Instant::now() + GRACE;
        for one in &mut watched {
            one.proc.wait(end.saturating_duration_since(Instant::now()));
            one.proc.kill();
        }
        drop(meeting);
        let mut outcomes = Vec::new();
        for (i, one) in watched.iter().enumerate().skip(1) {
            self.interrupt.check()?;
            let copy = self.seat(dir, i, needs.tracker).copy();
            outcomes.push(Outcome {
                up: after.up[i] - before.up[i],
                ..self.outcome(one, i, cast.engines()[i], cpu[i], &copy)
            });
        }
        let cpu = (cpu.iter().sum::<f64>() + node_cpu, cpu[0]);
        let (worked, had) = worked.map_or((f64::NAN, f64::NAN), |(a, b)| (b.0 - a.0, b.1 - a.1));
        Ok(Run {
            engine: cast.seed(),
            number,
            outcomes,
            seed_up: after.up[0] - before.up[0],
            all_up: after.up.iter().sum::<u64>() - before.up.iter().sum::<u64>(),
            wan: wan_run(&before, &after),
            cpu: cpu.0,
            seed_cpu: cpu.1,
            load,
            busy: worked / had,
            other_cpu: worked - cpu.0,
            seconds,
        })
    }

    fn seat(&self, dir: &Path, i: usize, tracked: bool) -> Seat<'_> {
        Seat {
            peer: &self.lab.peers[i],
            seed: i == 0,
            tracked,
            slot: None,
            tcp_only: false,
            dir: dir.join(format!("peer{i}")),
            source: self.source,
            seed_ip: &self.lab.peers[0].ip,
            chunkcast: self.chunkcast,
            near: false,
        }
    }

    /// Until all downloaders are done or have ended, or the deadline has passed.
    fn watch(&self, watched: &mut [Watched], begun: Instant) -> Result<()> {
        while begun.elapsed() < self.deadline {
            self.interrupt.check()?;
            let mut waiting = false;
            for one in &mut watched[1..] {
                if one.after.is_some() || one.died {
                    continue;
                }
                // in this order: what it said before it ended counts
                let runs = one.proc.runs();
                if one.sign.given() {
                    one.after = Some(begun.elapsed());
                } else if runs {
                    waiting = true;
                } else {
                    one.died = true;
                }
            }
            if !waiting {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn outcome(&self, one: &Watched, i: usize, engine: Engine, cpu: f64, copy: &Path) -> Outcome {
        let fault = match one.after {
            None if one.died => Some("it ended early"),
            None => Some("not by the deadline"),
            Some(_) if !self.source.same(copy) => Some("its copy differs"),
            Some(_) => None,
        };
        let seconds = one.after.filter(|_| fault.is_none());
        Outcome {
            engine,
            cpu,
            up: 0,
            site: self.lab.peers[i].site,
            seconds: seconds.map(|d| d.as_secs_f64()),
            fault,
        }
    }
}

/// A process of the engine.
struct Watched {
    proc: Proc,
    sign: Sign,
    after: Option<Duration>,
    died: bool,
}

fn wan_run(before: &Counters, after: &Counters) -> Option<WanRun> {
    let (a, b) = (before.wan.as_ref()?, after.wan.as_ref()?);
    let minus = |a: &[Vec<u64>], b: &[Vec<u64>]| -> Vec<Vec<u64>> {
        let rows = a.iter().zip(b);
        rows.map(|(x, y)| x.iter().zip(y).map(|(x, y)| y - x).collect())
            .collect()
    };
    let deliveries = b.deliveries - a.deliveries;
    Some(WanRun {
        bytes: minus(&a.bytes, &b.bytes),
        payload: a
            .payload
            .iter()
            .zip(&b.payload)
            .map(|(a, b)| b - a)
            .collect(),
        dropped: minus(&a.dropped, &b.dropped),
        cpu: b.cpu - a.cpu,
        late: (b.late - a.late) as f64 / deliveries.max(1) as f64,
        latest: b.latest,
        lost: b.lost - a.lost,
    })
}

/// Makes the directory `name` in `parent` for a run, does it, and removes the directory; its logs are copied to `keep`.
///
/// # Errors
/// The run's, and when the disk refuses.
pub(crate) fn within<T>(
    parent: &Path,
    name: &str,
    keep: Option<&Path>,
    run: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let dir = subdirectory(parent, name)?;
    let result = run(&dir);
    if let Some(keep) = keep {
        keep_logs(&dir, &keep.join(name))?;
    }
    let _ = std::fs::remove_dir_all(&dir);
    result
}

/// Makes a directory.
///
/// # Errors
/// When it is there, or the disk refuses.
pub(crate) fn subdirectory(parent: &Path, name: &str) -> Result<PathBuf> {
    let dir = parent.join(name);
    std::fs::create_dir(&dir).with_context(|| format!("`{}`", dir.display()))?;
    Ok(dir)
}

/// Copies what is not data.
fn keep_logs(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("`{}`", to.display()))?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let name = entry.file_name();
        for (log, kept) in [("log", ".log"), ("tracker/log", ".tracker.log")] {
            let log = entry.path().join(log);
            if log.is_file() {
                std::fs::copy(log, to.join(format!("{}{kept}", name.display())))?;
            }
        }
    }
    Ok(())
}
