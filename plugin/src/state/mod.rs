//! What survives a restart: the index node's ring id, its publisher's secret, how far its sequence numbers went, and
//! the nodes that it knew. Without it a peer would fight its own older entries (paper 3.1), and would need a bootstrap
//! node each time.
//!
//! Each command has a folder of its own in the state directory, and one process at a time uses it (a lock on a file,
//! which the system frees when the process ends). Another one at the same time gets a new identity that is not kept.
//! The file is written whole: beside it, to disk, then renamed. One that cannot be read is set aside, not fatal.

mod file;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chunkcast::driver::Handle;
use chunkcast::driver::lan::NetworkTag;
use chunkcast::id::Id;
use chunkcast::node::Node;
use rustix::fs::{FlockOperation, flock};
use tokio::task::AbortHandle;

pub use file::{MAX_CONTACTS, MAX_LEN, NotState, Saved, seal};

const STATE: &str = "state";
const NEW: &str = "state.new";
const ASIDE: &str = "state.bad";
const LOCK: &str = "lock";
const SOCKET: &str = "control.sock";

/// First save of the table after the start: by then a node has joined.
const FIRST_SAVE: Duration = Duration::from_secs(30); // guess
/// How often the table is saved.
const SAVE_PERIOD: Duration = Duration::from_secs(300); // guess: what a crash loses is soon known again
/// How far a run that crashed may have counted beyond what it saved. Sequence numbers are microseconds.
const UNSAVED: u64 = 2 * 300 * 1_000_000; // two save periods
/// Saved contacts that a start tries.
const TRIED: usize = 32; // guess: four times as many as are asked at once

/// Who uses a state directory. Each has a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// `chunkcast daemon`.
    Daemon,
    /// `chunkcast node`.
    Node,
    /// `chunkcast get`.
    Get,
    /// `chunkcast seed`.
    Seed,
    /// `chunkcast tracker`.
    Tracker,
}

impl User {
    /// All of them, in the order in which `table` looks for a running one.
    pub const ALL: [User; 5] = [
        User::Daemon,
        User::Node,
        User::Get,
        User::Seed,
        User::Tracker,
    ];

    fn folder(self) -> &'static str {
        match self {
            User::Daemon => "daemon",
            User::Node => "node",
            User::Get => "get",
            User::Seed => "seed",
            User::Tracker => "tracker",
        }
    }
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot keep state in `{}`: {source}; choose another directory with --state, or --no-state to keep nothing",
    path.display()
)]
pub struct StateError {
    /// What could not be made, read or written.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// The user's own state directory, if the system has such a thing.
pub fn default_dir() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "chunkcast")?;
    Some(dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_owned())
}

/// Where a process of `user` with this state directory has its control socket.
pub fn control_path(dir: &Path, user: User) -> PathBuf {
    dir.join(user.folder()).join(SOCKET)
}

/// What one process keeps, or would keep: its identity, and the folder if it has one.
#[derive(Debug)]
pub struct State {
    /// `None`: nothing is kept.
    folder: Option<Folder>,
    start: Saved,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// A state, and what the user should know about it.
#[derive(Debug)]
pub struct Opened {
    /// The state.
    pub state: State,
    /// What is not as it was left.
    pub warning: Option<Warning>,
}

/// What is worth a line to the user when a state was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Another process has the lock; this identity is not kept.
    #[error(
        "another `chunkcast {command}` uses the state in `{}`: this one has an identity of its own that is not kept \
         (--state DIR keeps it elsewhere)",
        dir.display()
    )]
    Taken {
        /// The command.
        command: &'static str,
        /// The state directory.
        dir: PathBuf,
    },
    /// The file was no good and is kept under another name.
    #[error(
        "the state file `{}` is {why}: it was moved to `{}`, and this node has a new identity",
        path.display(),
        aside.display()
    )]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// What is wrong with it.
        why: NotState,
    },
}

impl State {
    /// A new identity that is kept nowhere.
    pub fn ephemeral(network: NetworkTag) -> Self {
        let now = now_micros();
        Self {
            folder: None,
            start: Saved {
                id: Id(rand::random()),
                secret: rand::random(),
                sequence: now,
                clock: now,
                network,
                contacts: Vec::new(),
            },
        }
    }

    /// The state of `user` in `dir`, which is made if need be. Contacts of another network are left out.
    ///
    /// # Errors
    /// [`StateError`] when the directory cannot be made, read or written.
    pub fn open(dir: &Path, user: User, network: NetworkTag) -> Result<Opened, StateError> {
        let path = dir.join(user.folder());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed(&path))?;
        let lock_path = path.join(LOCK);
        let lock = open_options()
            .truncate(false)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        let mut state = Self::ephemeral(network);
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => {
                let warning = Some(Warning::Taken {
                    command: user.folder(),
                    dir: dir.to_owned(),
                });
                return Ok(Opened { state, warning });
            }
            Err(e) => return Err(failed(&lock_path)(e.into())),
        }
        let folder = Folder { path, _lock: lock };
        let (saved, warning) = folder.read()?;
        if let Some(mut saved) = saved {
            if saved.network != network {
                (saved.network, saved.contacts) = (network, Vec::new());
            }
            let now = now_micros();
            (saved.sequence, saved.clock) = (next_sequence(&saved, now), now);
            state.start = saved;
        }
        // at once, so that a crash in the first minutes does not cost the identity
        folder.write(&state.start)?;
        state.folder = Some(folder);
        Ok(Opened { state, warning })
    }

    /// The node's ring id.
    pub fn id(&self) -> Id {
        self.start.id
    }

    /// What the publisher's key is made from.
    pub fn secret(&self) -> [u8; 32] {
        self.start.secret
    }

    /// Sequence numbers of this run begin above this.
    pub fn sequence_base(&self) -> u64 {
        self.start.sequence
    }

    /// Nodes to join through, the nearest of the last run first.
    pub fn contacts(&self) -> &[SocketAddr] {
        &self.start.contacts[..self.start.contacts.len().min(TRIED)]
    }

    /// Where the control socket belongs; `None` when nothing is kept.
    pub fn control_path(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|f| f.path.join(SOCKET))
    }

    /// Saves what `handle`'s node knows now. Nodes of earlier runs stay when none answers at the moment.
    ///
    /// # Errors
    /// [`StateError`] when the file cannot be written.
    pub async fn save(&self, handle: &Handle) -> Result<(), StateError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let look = |node: &Node| {
            let contacts = node.contacts();
            let addrs: Vec<SocketAddr> =
                contacts.iter().take(MAX_CONTACTS).map(|c| c.addr).collect();
            (addrs, node.last_sequence())
        };
        let Ok((contacts, sequence)) = handle.inspect(look).await else {
            return Ok(()); // shut down: that saved
        };
        let mut saved = self.start.clone();
        saved.id = handle.id(); // another one since its address changed
        saved.sequence = saved.sequence.max(sequence);
        saved.clock = now_micros();
        if !contacts.is_empty() {
            saved.contacts = contacts;
        }
        folder.write(&saved)
    }
}

impl Folder {
    /// The file, if there is a good one, and a warning about a bad one.
    fn read(&self) -> Result<(Option<Saved>, Option<Warning>), StateError> {
        let path = self.path.join(STATE);
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|f| f.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes));
        let why = match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
            Err(source) => return Err(StateError { path, source }),
            Ok(_) => match Saved::decode(&bytes) {
                Ok(saved) => return Ok((Some(saved), None)),
                Err(why) => why,
            },
        };
        let aside = self.path.join(ASIDE);
        fs::rename(&path, &aside).map_err(|source| StateError {
            path: path.clone(),
            source,
        })?;
        let warning = Warning::SetAside { path, aside, why };
        Ok((None, Some(warning)))
    }

    /// Whole or not at all, on disk before the old one is gone.
    fn write(&self, saved: &Saved) -> Result<(), StateError> {
        let (new, path) = (self.path.join(NEW), self.path.join(STATE));
        let write = || -> io::Result<()> {
            let mut file = open_options().truncate(true).open(&new)?;
            file.write_all(&saved.encode())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| StateError {
            path: path.clone(),
            source,
        })
    }
}

/// For a file that only its owner may read.
fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// A number above all that the last run used, which may have crashed after it saved. A run counts microseconds from the
/// clock at its start, so the clock itself will do, unless it was set back or the last run was ahead of it.
fn next_sequence(saved: &Saved, now: u64) -> u64 {
    if saved.sequence <= saved.clock && saved.clock <= now {
        now
    } else {
        now.max(saved.sequence.saturating_add(UNSAVED))
    }
}

/// Microseconds since 1970. Only the order of two runs counts.
fn now_micros() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// Saves a node's state every few minutes until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    task: AbortHandle,
}

impl Keeper {
    /// Keeps `state` for the node of `handle`.
    pub fn spawn(state: std::sync::Arc<State>, handle: Handle) -> Self {
        let task = tokio::spawn(async move {
            let mut warned = false;
            let mut pause = FIRST_SAVE;
            loop {
                tokio::time::sleep(pause).await;
                pause = SAVE_PERIOD;
                if let Err(e) = state.save(&handle).await
                    && !std::mem::replace(&mut warned, true)
                {
                    tracing::warn!("{e}");
                }
            }
        });
        Self {
            task: task.abort_handle(),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
