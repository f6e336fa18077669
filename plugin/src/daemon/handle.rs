//! The handle by which everybody but the actor uses the daemon.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::counts::Counts;
use super::facts::Facts;
use super::model::{
    Added, Change, Detail, Event, History, InfoHash, Listing, NewTorrent, QueueMove, Space,
};
use super::settings::{Settings, SettingsChange};

/// Commands that wait for the actor; who sends more waits too.
const COMMANDS: usize = 64; // guess: more than clients at a time
/// Events that a slow listener may be behind before it loses some.
const EVENTS: usize = 1024; // guess: what 1,000 torrents say when they begin

/// Why something was not done. One line that names the thing and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DaemonError {
    /// There is no such torrent.
    #[error("no torrent {0} is here")]
    Unknown(InfoHash),
    /// It cannot be used: a bad torrent, magnet link, path, number.
    #[error("{0}")]
    Invalid(String),
    /// A path outside the directories that the configuration allows.
    #[error("{}: outside of the directories that `paths.allowed` of the configuration names", .0.display())]
    Outside(PathBuf),
    /// A URL could not be fetched.
    #[error("{0}")]
    Fetch(String),
    /// The disk refused.
    #[error("{0}")]
    Disk(String),
    /// It is not possible now.
    #[error("{0}")]
    NotNow(String),
    /// The daemon is ending.
    #[error("the daemon is ending")]
    Ending,
}

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, DaemonError>>;

/// What the actor is asked.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "each is described at the method of `Daemon` that sends it"
)]
pub enum Command {
    Add(Box<NewTorrent>, Reply<Added>),
    Remove(InfoHash, bool, Reply<()>),
    Start(InfoHash, bool, Reply<()>),
    Pause(InfoHash, Reply<()>),
    Verify(InfoHash, Reply<()>),
    Reannounce(InfoHash, Reply<()>),
    Relocate(InfoHash, PathBuf, bool, Reply<()>),
    Change(InfoHash, Box<Change>, Reply<()>),
    QueueMove(Vec<InfoHash>, QueueMove, Reply<()>),
    Detail(InfoHash, Reply<Detail>),
    Trace(InfoHash, Reply<Value>),
    Facts(Reply<Facts>),
    Settings(Reply<Settings>),
    ChangeSettings(Box<SettingsChange>, Reply<()>),
    FreeSpace(PathBuf, Reply<Space>),
    PortTest(Reply<Option<bool>>),
    UpdateBlocklist(Reply<usize>),
    BlocklistLen(Reply<usize>),
    Index(Reply<Value>),
    History(Reply<History>),
    Counts(Reply<Box<Counts>>),
    Shutdown(Reply<()>),
}

/// The handle of a running daemon. Every method but [`Daemon::list`] and [`Daemon::subscribe`] fails with
/// [`DaemonError::Ending`] once it is ending, and those about one torrent with [`DaemonError::Unknown`] if it is not here.
#[derive(Clone, Debug)]
pub struct Daemon {
    commands: mpsc::Sender<Command>,
    listing: watch::Receiver<Arc<Listing>>,
    events: broadcast::Sender<Event>,
}

/// The actor's side.
#[derive(Debug)]
pub struct Inbox {
    /// What is asked.
    pub commands: mpsc::Receiver<Command>,
    /// What is shown.
    pub listing: watch::Sender<Arc<Listing>>,
    /// What is told.
    pub events: broadcast::Sender<Event>,
}

/// A handle and the actor's side of it.
pub fn channel() -> (Daemon, Inbox) {
    let (ask, commands) = mpsc::channel(COMMANDS);
    let (listing, shown) = watch::channel(Arc::default());
    let (events, _) = broadcast::channel(EVENTS);
    let daemon = Daemon {
        commands: ask,
        listing: shown,
        events: events.clone(),
    };
    let inbox = Inbox {
        commands,
        listing,
        events,
    };
    (daemon, inbox)
}

impl Daemon {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, DaemonError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| DaemonError::Ending)?;
        answer.await.unwrap_or(Err(DaemonError::Ending))
    }

    /// All torrents as of this second or the last change, and totals of this second.
    pub fn list(&self) -> Arc<Listing> {
        self.listing.borrow().clone()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Adds a torrent. When this returns it is on disk, and a kill does not lose it.
    ///
    /// # Errors
    /// [`DaemonError::Invalid`], [`DaemonError::Outside`], [`DaemonError::Fetch`], [`DaemonError::Disk`].
    pub async fn add(&self, new: NewTorrent) -> Result<Added, DaemonError> {
        self.ask(|r| Command::Add(Box::new(new), r)).await
    }

    /// Removes a torrent, and its data if `data`: only files of the torrent, and directories that are empty then.
    ///
    /// # Errors
    /// [`DaemonError::Disk`] when data could not be removed; the torrent is gone all the same.
    pub async fn remove(&self, which: InfoHash, data: bool) -> Result<(), DaemonError> {
        self.ask(|r| Command::Remove(which, data, r)).await
    }

    /// Starts a torrent when the queue has a place for it, or `now` whatever the queue says.
    ///
    /// # Errors
    /// [`DaemonError::Unknown`].
    pub async fn start(&self, which: InfoHash, now: bool) -> Result<(), DaemonError> {
        self.ask(|r| Command::Start(which, now, r)).await
    }

    /// Stops a torrent.
    ///
    /// # Errors
    /// [`DaemonError::Unknown`].
    pub async fn pause(&self, which: InfoHash) -> Result<(), DaemonError> {
        self.ask(|r| Command::Pause(which, r)).await
    }

    /// Hashes all data of a torrent again, in turn with others.
    ///
    /// # Errors
    /// [`DaemonError::Unknown`].
    pub async fn verify(&self, which: InfoHash) -> Result<(), DaemonError> {
        self.ask(|r| Command::Verify(which, r)).await
    }

    /// Asks trackers and the DHT for peers as soon as they allow.
    ///
    /// # Errors
    /// [`DaemonError::Unknown`].
    pub async fn reannounce(&self, which: InfoHash) -> Result<(), DaemonError> {
        self.ask(|r| Command::Reannounce(which, r)).await
    }

    /// From now on the data is in `dir`: it is moved there, or is there already if not `move_data`. Returns when that has
    /// begun; trouble is shown with the torrent.
    ///
    /// # Errors
    /// [`DaemonError::Outside`].
    pub async fn relocate(
        &self,
        which: InfoHash,
        dir: PathBuf,
        move_data: bool,
    ) -> Result<(), DaemonError> {
        self.ask(|r| Command::Relocate(which, dir, move_data, r))
            .await
    }

    /// Changes what is said of a torrent.
    ///
    /// # Errors
    /// [`DaemonError::Invalid`] when a part of it cannot be; nothing is changed then.
    pub async fn change(&self, which: InfoHash, change: Change) -> Result<(), DaemonError> {
        self.ask(|r| Command::Change(which, Box::new(change), r))
            .await
    }

    /// Moves torrents in the queue, together; those that are not here are passed over.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn queue_move(&self, which: Vec<InfoHash>, to: QueueMove) -> Result<(), DaemonError> {
        self.ask(|r| Command::QueueMove(which, to, r)).await
    }

    /// One torrent in depth.
    ///
    /// # Errors
    /// [`DaemonError::Unknown`].
    pub async fn detail(&self, which: InfoHash) -> Result<Detail, DaemonError> {
        self.ask(|r| Command::Detail(which, r)).await
    }

    /// Asks the directory for a torrent's peers and shows each index node on the way.
    ///
    /// # Errors
    /// [`DaemonError::NotNow`] when there is no directory or the torrent is private.
    pub async fn trace(&self, which: InfoHash) -> Result<Value, DaemonError> {
        self.ask(|r| Command::Trace(which, r)).await
    }

    /// What the daemon was started with.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn facts(&self) -> Result<Facts, DaemonError> {
        self.ask(Command::Facts).await
    }

    /// What holds for all torrents.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn settings(&self) -> Result<Settings, DaemonError> {
        self.ask(Command::Settings).await
    }

    /// Changes what holds for all torrents; it is kept over a restart.
    ///
    /// # Errors
    /// [`DaemonError::Invalid`], [`DaemonError::Outside`], [`DaemonError::Disk`]; nothing is changed then.
    pub async fn change_settings(&self, change: SettingsChange) -> Result<(), DaemonError> {
        self.ask(|r| Command::ChangeSettings(Box::new(change), r))
            .await
    }

    /// Room on the disk that a path is on.
    ///
    /// # Errors
    /// [`DaemonError::Outside`], [`DaemonError::Disk`].
    pub async fn free_space(&self, path: PathBuf) -> Result<Space, DaemonError> {
        self.ask(|r| Command::FreeSpace(path, r)).await
    }

    /// Whether others can connect to us, as index nodes that tried say; `None`: nobody could try.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn port_test(&self) -> Result<Option<bool>, DaemonError> {
        self.ask(Command::PortTest).await
    }

    /// Fetches the blocklist anew; returns how many ranges it has.
    ///
    /// # Errors
    /// [`DaemonError::Invalid`] without a source, [`DaemonError::Fetch`], [`DaemonError::Disk`].
    pub async fn update_blocklist(&self) -> Result<usize, DaemonError> {
        self.ask(Command::UpdateBlocklist).await
    }

    /// Ranges of the blocklist.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn blocklist_len(&self) -> Result<usize, DaemonError> {
        self.ask(Command::BlocklistLen).await
    }

    /// What the index node looks like inside: totals, routing table, objects, as `chunkcast table` shows it.
    ///
    /// # Errors
    /// [`DaemonError::NotNow`] when there is none.
    pub async fn index(&self) -> Result<Value, DaemonError> {
        self.ask(Command::Index).await
    }

    /// Bytes from and to near and far peers over the last hour and day.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn history(&self) -> Result<History, DaemonError> {
        self.ask(Command::History).await
    }

    /// Numbers of all torrents together, and of the index node.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] alone.
    pub async fn counts(&self) -> Result<Box<Counts>, DaemonError> {
        self.ask(Command::Counts).await
    }

    /// Ends the daemon in an orderly way; returns when it is done.
    ///
    /// # Errors
    /// [`DaemonError::Ending`] when somebody else has ended it.
    pub async fn shutdown(&self) -> Result<(), DaemonError> {
        self.ask(Command::Shutdown).await
    }
}
