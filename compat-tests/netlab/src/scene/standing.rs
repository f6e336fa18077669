//! A seed that stands on a machine before anything is measured: its data is checked and it is announced.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cast::Cast;
use crate::engine::meeting::{self, Meeting};
use crate::engine::{self, Chunkcast, Engine, Seat};
use crate::fault::Interrupt;
use crate::host::Host;
use crate::proc::Proc;
use crate::run::{GRACE, within};
use crate::torrent::Source;

/// How long a seed may take to check its data and announce itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A seed that stands is left alone for so long, so that what it does at its start is not counted.
const SETTLE: Duration = Duration::from_secs(3);

/// What a run on one machine is done with.
pub(super) struct Stage<'a> {
    pub(super) host: &'a Host,
    pub(super) source: &'a Source,
    pub(super) chunkcast: &'a Chunkcast,
    pub(super) tcp_only: bool,
    /// Logs are copied there.
    pub(super) keep: Option<&'a Path>,
    pub(super) interrupt: &'a Interrupt,
}

/// A seed that stands; it ends with this.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) proc: Proc,
    pub(super) meeting: Meeting,
    /// Seconds from its start until it stood.
    pub(super) ready: f64,
}

impl Stage<'_> {
    /// Makes a directory for a run, does it, and removes the directory; the logs are kept if they are to be.
    pub(super) fn within<T>(
        &self,
        engine: Engine,
        number: u32,
        run: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        let name = format!("{engine}-{number}");
        within(self.host.set.dir(), &name, self.keep, run)
    }

    /// Where the peer with this number is reached.
    pub(super) fn address(&self, engine: Engine, number: u16) -> String {
        let port = engine::port(number);
        match engine {
            // it is bound to an address of its own
            Engine::Transmission => format!("{}:{port}", engine::own_ip(number)),
            _ => format!("{}:{port}", self.host.place.ip),
        }
    }

    /// The seat with this number, with its empty directory; the seed's, number 0, has the file.
    pub(super) fn seat(&self, dir: &Path, number: u16) -> Result<Seat<'_>> {
        let seat = Seat {
            peer: &self.host.place,
            seed: number == 0,
            tracked: false,
            slot: Some(number),
            tcp_only: self.tcp_only,
            dir: dir.join(format!("peer{number}")),
            source: self.source,
            seed_ip: &self.host.place.ip,
            chunkcast: self.chunkcast,
            near: false,
        };
        std::fs::create_dir_all(seat.data())?;
        if seat.seed {
            // the same blocks on the disk: no copy is on its way to it meanwhile
            std::fs::hard_link(&self.source.file, seat.copy())?;
        }
        Ok(seat)
    }

    /// Starts the seed and what it is found through, and waits until it stands.
    pub(super) fn stand(&self, engine: Engine, dir: &Path) -> Result<Standing> {
        let place = &self.host.place.ns;
        let needs = Cast::uniform(engine, 1).needs(true);
        let meeting = meeting::start(needs, place, dir, self.source, self.chunkcast)?;
        let seat = self.seat(dir, 0)?;
        let (mut command, mut sign) = engine.prepare(&seat)?;
        let begun = Instant::now();
        let mut proc = Proc::spawn(&mut command, &seat.log())?;
        let mut tracked = needs.tracker.then(|| self.seeds(dir)).transpose()?;
        let mut ready = || match &mut tracked {
            Some(probe) => !probe.runs(),
            None => sign.given(),
        };
        while !ready() {
            self.interrupt.check()?;
            if !proc.runs() || begun.elapsed() >= PATIENCE {
                let said = std::fs::read_to_string(seat.log()).unwrap_or_default();
                bail!("{engine} does not seed: {}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let ready = begun.elapsed().as_secs_f64();
        self.interrupt.rest(SETTLE)?;
        Ok(Standing {
            proc,
            meeting,
            ready,
        })
    }

    /// A process that ends when the tracker knows a seed.
    fn seeds(&self, dir: &Path) -> Result<Proc> {
        let exe: PathBuf = std::env::current_exe().context("the harness's own program")?;
        let mut command = self.host.place.ns.command(exe);
        command
            .args(["probe", "seeds", &meeting::tracker_address()])
            .arg(&self.source.infohash);
        Proc::spawn(&mut command, &dir.join("probe.log"))
    }
}

/// Asks processes to end, and ends them.
pub(super) fn end(procs: &mut [&mut Proc]) {
    for proc in procs.iter_mut() {
        proc.terminate();
    }
    let end = Instant::now() + GRACE;
    for proc in procs.iter_mut() {
        proc.wait(end.saturating_duration_since(Instant::now()));
        proc.kill();
    }
}
