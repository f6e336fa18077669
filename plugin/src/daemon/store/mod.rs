//! What survives the end of the process: torrents, options, verified pieces, statistics.
//!
//! | file of the state directory | holds |
//! | --- | --- |
//! | `daemon.lock` | a lock of the running daemon |
//! | `torrents/HASH.torrent` | the .torrent file as it was given, or one made of the metadata of a magnet link |
//! | `torrents/HASH.json` | options, what is wanted of it; without it the torrent is not here |
//! | `torrents/HASH.resume` | verified pieces, and what the files looked like then |
//! | `torrents/HASH.gone` | a removed torrent whose data is being deleted |
//! | `queue` | the order of the queue as a hand has made it; torrents that are not in it are at its end |
//! | `statistics.json` | what was moved, in all and by each torrent |
//! | `blocklist` | where the blocklist is from, and a copy of it as it came |
//! | `settings.toml` | settings that were changed while it ran: see [`config`](super::config) |
//!
//! Each file is written whole: beside it, to disk, then renamed, and the directory to disk. Files of this process are sealed
//! ([`seal`]), so that one that is cut or damaged counts as none: it is set aside, and nothing else is lost with it.

mod load;
mod lock;
mod record;
mod resume;
mod seal;
mod statistics;
mod writer;

use std::path::{Path, PathBuf};

pub(super) use load::{Kept, Loaded, load};
pub(super) use lock::Lock;
pub use lock::LockError;
pub(super) use record::{Record, Standing, options_of, saved_options};
pub(super) use statistics::{Counts, Statistics};
pub(super) use writer::{Op, Writer};

use super::config::{drop_changes, keep_changes};
use super::model::InfoHash;
use super::settings::Settings;
use crate::storage::Resume;

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Places {
    state: PathBuf,
    torrents: PathBuf,
}

impl Places {
    pub(super) fn new(state: &Path) -> Self {
        Self {
            state: state.to_path_buf(),
            torrents: state.join("torrents"),
        }
    }

    fn of(&self, hash: InfoHash, kind: &str) -> PathBuf {
        self.torrents.join(format!("{hash}.{kind}"))
    }

    /// The .torrent file that is kept.
    pub(super) fn torrent(&self, hash: InfoHash) -> PathBuf {
        self.of(hash, "torrent")
    }

    /// The copy of the blocklist.
    pub(super) fn blocklist(&self) -> PathBuf {
        self.state.join("blocklist")
    }

    fn record(&self, hash: InfoHash) -> PathBuf {
        self.of(hash, "json")
    }

    fn resume(&self, hash: InfoHash) -> PathBuf {
        self.of(hash, "resume")
    }

    fn gone(&self, hash: InfoHash) -> PathBuf {
        self.of(hash, "gone")
    }

    fn queue(&self) -> PathBuf {
        self.state.join("queue")
    }

    fn statistics(&self) -> PathBuf {
        self.state.join("statistics.json")
    }

    /// Keeps the .torrent file.
    pub(super) fn put_torrent(&self, hash: InfoHash, bytes: Vec<u8>) -> Op {
        Op::Put(self.torrent(hash), bytes)
    }

    /// Keeps the record; with it the torrent is here.
    pub(super) fn put_record(&self, record: &Record) -> Op {
        Op::Put(self.record(record.info_hash), record::encode(record))
    }

    /// Keeps what need not be hashed again.
    pub(super) fn put_resume(&self, hash: InfoHash, resume: &Resume) -> Op {
        Op::Put(self.resume(hash), resume::encode(resume))
    }

    /// Nothing is known of the data any more.
    pub(super) fn drop_resume(&self, hash: InfoHash) -> Op {
        Op::Remove(self.resume(hash))
    }

    /// The torrent is no longer here; if its data is to go too, that is not forgotten before it is done.
    pub(super) fn remove(&self, hash: InfoHash, data: bool) -> Vec<Op> {
        let entry = match data {
            true => Op::Rename(self.record(hash), self.gone(hash)),
            false => Op::Remove(self.record(hash)),
        };
        let mut ops = vec![entry];
        if !data {
            ops.extend(self.removed(hash));
        }
        ops
    }

    /// Nothing of a removed torrent is left.
    pub(super) fn removed(&self, hash: InfoHash) -> Vec<Op> {
        let rest = ["resume", "torrent", "gone"];
        rest.map(|kind| Op::Remove(self.of(hash, kind))).into()
    }

    /// Keeps the order of the queue.
    pub(super) fn put_queue(&self, order: impl Iterator<Item = (InfoHash, u64)>) -> Op {
        // with what tells a torrent from one that was here before it
        let lines: String = order
            .map(|(hash, order)| format!("{hash} {order}\n"))
            .collect();
        Op::Put(self.queue(), lines.into_bytes())
    }

    /// Keeps a copy of the blocklist.
    pub(super) fn put_blocklist(&self, bytes: Vec<u8>) -> Op {
        Op::Put(self.blocklist(), bytes)
    }

    /// Keeps the totals.
    pub(super) fn put_statistics(&self, statistics: &Statistics) -> Op {
        Op::Put(self.statistics(), statistics.encode())
    }

    /// Keeps what differs between two states of the settings.
    pub(super) fn keep_settings(&self, before: Settings, after: Settings) -> Op {
        let state = self.state.clone();
        Op::Call(Box::new(move || keep_changes(&state, &before, &after)))
    }

    /// Those of the configuration hold again.
    pub(super) fn drop_settings(&self) -> Op {
        let state = self.state.clone();
        Op::Call(Box::new(move || drop_changes(&state).map(|_| ())))
    }
}
