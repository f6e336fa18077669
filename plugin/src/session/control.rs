//! What can be asked of a running torrent: commands to its task.

use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};

use super::detail::{TorrentDetail, TrackerRow};
use super::torrent::Input;
use crate::limits::Limiters;
use crate::metadata::{PeerHint, Priority};
use crate::storage::Resume;

/// A command to a torrent's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// How much files are wanted.
    Priorities(Vec<Priority>),
    /// Trackers and the DHT are asked as early as they allow.
    Reannounce,
    /// Peers to try.
    AddPeers(Vec<SocketAddr>),
    /// Peers to try, some of them by name.
    Hints(Vec<PeerHint>),
    /// Other trackers.
    Trackers(Vec<Vec<String>>),
    /// Connections.
    MaxPeers(u32),
    /// Whether the rates of all torrents hold.
    SessionRates(bool),
    /// What trackers say.
    TrackerRows(oneshot::Sender<Vec<TrackerRow>>),
    /// Everything.
    Detail(oneshot::Sender<TorrentDetail>),
    /// What a restart need not hash.
    SavePoint(oneshot::Sender<Resume>),
}

/// Asks things of a running torrent. Clones ask the same one; commands to one that has ended do nothing. Each is in effect
/// for those that follow.
#[derive(Clone, Debug)]
pub struct TorrentControl {
    input: mpsc::Sender<Input>,
    limiters: Limiters,
}

impl TorrentControl {
    pub(super) fn new(input: mpsc::Sender<Input>, limiters: Limiters) -> Self {
        Self { input, limiters }
    }

    /// The torrent's own rate limits, under those of all torrents; they can be changed at any time.
    pub fn limiters(&self) -> &Limiters {
        &self.limiters
    }

    /// How much each file is wanted, by index; files behind the end are [`Priority::Normal`]. Takes the place of what was
    /// said before. What is begun of a file that is no longer wanted may still be finished.
    pub async fn set_priorities(&self, files: Vec<Priority>) {
        self.tell(Command::Priorities(files)).await;
    }

    /// Asks trackers and the DHT for peers as early as they allow.
    pub async fn reannounce(&self) {
        self.tell(Command::Reannounce).await;
    }

    /// Peers to try, as if the user had named them with the torrent.
    pub async fn add_peers(&self, peers: Vec<SocketAddr>) {
        self.tell(Command::AddPeers(peers)).await;
    }

    /// The same of peers that may have to be resolved, as a magnet link names them.
    pub async fn add_hints(&self, peers: Vec<PeerHint>) {
        self.tell(Command::Hints(peers)).await;
    }

    /// Trackers by tier (BEP 12), in the place of those there were.
    pub async fn set_trackers(&self, tiers: Vec<Vec<String>>) {
        self.tell(Command::Trackers(tiers)).await;
    }

    /// The most peers that the torrent has, at least 1; a number beyond what the session's client policy takes changes
    /// nothing. When there are more, the least useful go.
    pub async fn set_max_peers(&self, most: u32) {
        self.tell(Command::MaxPeers(most)).await;
    }

    /// Whether the rates of all torrents hold for this one too, as they do at first.
    pub async fn set_session_rates(&self, hold: bool) {
        self.tell(Command::SessionRates(hold)).await;
    }

    /// What its trackers say; `None` when it has ended.
    pub async fn trackers(&self) -> Option<Vec<TrackerRow>> {
        self.ask(Command::TrackerRows).await
    }

    /// The torrent in depth; `None` when it has ended. Who asks is taken for somebody who looks: for a while the directory's
    /// answers tell of the way that they took, which makes them longer.
    pub async fn detail(&self) -> Option<TorrentDetail> {
        self.ask(Command::Detail).await
    }

    /// What a restart need not hash, as [`AddTorrent::resume`](super::AddTorrent::resume) takes it; the data that it vouches
    /// for is on disk then. `None` while existing data is being checked, when the disk refuses, and when the torrent has ended.
    pub async fn save_point(&self) -> Option<Resume> {
        self.ask(Command::SavePoint).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await;
        answer.await.ok()
    }

    async fn tell(&self, command: Command) {
        // one that has ended hears nothing any more
        let _ = self.input.send(Input::Command(command)).await;
    }
}
