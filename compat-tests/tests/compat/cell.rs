//! One cell of the matrix: which client, in which role, and how its test ends.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use chunkcast_compat_tests::matrix::{Outcome, Role, record};
use chunkcast_compat_tests::scene::{DEADLINE, Scene};
use chunkcast_compat_tests::stock::{At, Client, Job, OFF, Running, Setup};
use chunkcast_compat_tests::{Proc, wait_for};

/// The test of a cell: done, or skipped for a reason. What does not work panics.
pub(crate) type Ended = Result<(), Skipped>;

/// Why a test was not tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skipped(pub &'static str);

/// opentracker is missing.
pub(crate) const NO_TRACKER: Skipped = Skipped("opentracker is not installed");

/// There are no network namespaces.
pub(crate) const NO_NETWORK: Skipped = Skipped("network namespaces need root");

/// A stock client and what it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub client: Client,
    pub role: Role,
}

/// A module for each scenario, with a test for each client and role.
macro_rules! cells {
    ($($scenario:ident => $module:ident :: $run:ident),* $(,)?) => { $(
        mod $scenario {
            use chunkcast_compat_tests::matrix::Role::{Leeches, Seeds};
            use chunkcast_compat_tests::stock::Client::{Aria2, Libtorrent, QBittorrent, Transmission};
            fn run(client: chunkcast_compat_tests::stock::Client, role: chunkcast_compat_tests::matrix::Role) {
                let cell = crate::cell::Cell { client, role };
                crate::cell::run(stringify!($scenario), cell, crate::$module::$run);
            }
            #[test]
            fn transmission_seeds() { run(Transmission, Seeds); }
            #[test]
            fn transmission_leeches() { run(Transmission, Leeches); }
            #[test]
            fn aria2_seeds() { run(Aria2, Seeds); }
            #[test]
            fn aria2_leeches() { run(Aria2, Leeches); }
            #[test]
            fn qbittorrent_seeds() { run(QBittorrent, Seeds); }
            #[test]
            fn qbittorrent_leeches() { run(QBittorrent, Leeches); }
            #[test]
            fn libtorrent_seeds() { run(Libtorrent, Seeds); }
            #[test]
            fn libtorrent_leeches() { run(Libtorrent, Leeches); }
        }
    )* };
}
pub(crate) use cells;

/// Runs the test of a cell, and writes down how it ended.
pub(crate) fn run(scenario: &str, cell: Cell, test: impl FnOnce(Cell) -> Ended) {
    let Cell { client, role } = cell;
    let version = client.version();
    let ended = match &version {
        None => Ok(Err(Skipped("not installed where the tests ran"))),
        Some(version) => {
            println!("client: {} {version} {}", client.name(), role.name());
            catch_unwind(AssertUnwindSafe(|| test(cell)))
        }
    };
    let outcome = match &ended {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(Skipped(reason))) => {
            println!(
                "SKIPPED: {scenario}, {} {}: {reason}",
                client.name(),
                role.name()
            );
            Outcome::Skipped((*reason).to_owned())
        }
        Err(_) => Outcome::Failed,
    };
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compat");
    record(&results, scenario, client, role, &outcome);
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

/// One of two sides has the data, the other fetches it.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub cell: Cell,
    pub scene: &'a Scene<'a>,
    /// Where we are, and flags of ours.
    pub us: At<'a>,
    pub flags: Vec<String>,
    pub them: Setup<'a>,
    /// What the leecher is given: a .torrent file or a magnet link.
    pub source: String,
    /// Only these files are fetched, counted from 0.
    pub files: Option<Vec<usize>>,
}

impl<'a> Exchange<'a> {
    /// From the .torrent file; both sides know nothing but its trackers.
    pub(crate) fn new(cell: Cell, scene: &'a Scene<'a>, us: At<'a>, them: At<'a>) -> Self {
        Self {
            cell,
            scene,
            us,
            flags: OFF.map(str::to_owned).to_vec(),
            them: Setup::alone(scene.dir.path(), them, cell.client),
            source: scene.torrent(),
            files: None,
        }
    }

    /// Ours with these flags too.
    pub(crate) fn with(&mut self, flags: &[&str]) {
        self.flags.extend(flags.iter().map(|f| (*f).to_owned()));
    }

    /// Ours without this flag.
    pub(crate) fn without(&mut self, flag: &str) {
        self.flags.retain(|f| f != flag);
    }

    /// The stock client's job: it seeds the source, or makes the copy.
    pub(crate) fn job(&self) -> Job {
        let complete = self.cell.role == Role::Seeds;
        Job {
            source: if complete {
                self.scene.torrent()
            } else {
                self.source.clone()
            },
            data: if complete {
                self.scene.source()
            } else {
                self.scene.copy()
            },
            complete,
            files: self.files.clone().filter(|_| !complete),
        }
    }

    /// Starts the stock client.
    pub(crate) fn start_them(&self) -> Running {
        self.cell.client.start(&self.them, &self.job())
    }

    /// Starts ours as the seed.
    pub(crate) fn start_our_seed(&self) -> Proc {
        self.scene.we_start_seeding(self.us, &self.flags())
    }

    pub(crate) fn flags(&self) -> Vec<&str> {
        self.flags.iter().map(String::as_str).collect()
    }

    /// The whole of it with the scene's opentracker: whoever seeds is known to it before the other begins.
    pub(crate) fn by_tracker(&self) {
        match self.cell.role {
            Role::Seeds => {
                let _seed = self.start_them();
                self.scene.announced(1, 0);
                self.we_get();
            }
            // it dials no loopback address, as if it were behind a NAT: so we do
            Role::Leeches
                if self.them.at.is_loopback() && self.cell.client == Client::Transmission =>
            {
                let get = self.start_them();
                self.scene.announced(0, 1);
                let seed = self.start_our_seed();
                self.arrived(&get);
                drop(seed);
            }
            Role::Leeches => {
                let _seed = self.start_our_seed();
                self.scene.announced(1, 0);
                let get = self.start_them();
                self.arrived(&get);
            }
        }
    }

    /// Both at once, who find each other in whichever way there is.
    pub(crate) fn somehow(&self) {
        let them = self.start_them();
        self.we_follow(&them);
    }

    /// Ours starts after the stock client.
    pub(crate) fn we_follow(&self, them: &Running) {
        match self.cell.role {
            Role::Seeds => {
                self.we_get();
            }
            Role::Leeches => {
                let _seed = self.start_our_seed();
                self.arrived(them);
            }
        }
    }

    /// Downloads with ours, and compares.
    pub(crate) fn we_get(&self) -> Proc {
        let list: Vec<String> = self.files.iter().flatten().map(usize::to_string).collect();
        let list = list.join(",");
        let select: &[&str] = if list.is_empty() {
            &[]
        } else {
            &["--select", &list]
        };
        let flags = [&self.flags()[..], select].concat();
        if self.files.is_none() {
            return self.scene.we_get(self.us, &self.source, &flags);
        }
        let get = self.scene.we_fetch(self.us, &self.source, &flags);
        assert!(self.is_there(), "the copy differs");
        get
    }

    /// Waits until the stock client has everything, and compares.
    pub(crate) fn arrived(&self, _running: &Running) {
        let what = format!("{} has everything", self.cell.client.name());
        wait_for(&what, DEADLINE, || self.is_there().then_some(()));
    }

    fn is_there(&self) -> bool {
        (self.scene).is_equal(&self.scene.copy(), self.files.as_deref())
    }
}
