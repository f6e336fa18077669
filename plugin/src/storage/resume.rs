//! Which pieces need not be hashed at the next start, and what vouches for them.
//!
//! A piece that was verified and written is vouched for by how its files looked: a file with the same length and the same
//! time of change has the same content, but for two cases. A write within the granularity of the file system's clock may
//! leave the time as it was, so a stamp says nothing while it is younger than that (the rule of git's index). And what is in
//! memory alone is lost with the power, so data is synced between the look at the pieces and the promise.
//!
//! A save point is made in this order: the pieces held, the stamps of the files written since the last one, the sync of these
//! files. Whatever is written later changes the time of its file, and nothing in that file is trusted then.
//!
//! Changes by others while we run are found too: before and after each write, and when a stamp is made, the file must look
//! as it did when we last had to do with it. If not, nothing in it is vouched for until it is looked at anew.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use chunkcast::chunks::ChunkSet;
use serde::{Deserialize, Serialize};

use super::pieces::may_be_there;
use crate::metadata::Layout;

/// What was verified and written at some moment, and what the files looked like then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Pieces verified and written, over all pieces of the torrent.
    pub held: ChunkSet,
    /// The files by index, padding included.
    pub files: Vec<FileStamp>,
}

/// What a file looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Bytes.
    pub len: u64,
    /// When its content last changed, nanoseconds since 1970; 0: nobody can tell, nothing in it is to be trusted.
    pub mtime_ns: i64,
}

impl FileStamp {
    /// What the file looks like.
    pub(super) fn of(meta: &Metadata) -> Self {
        let nanos = meta.mtime().checked_mul(1_000_000_000);
        let nanos = nanos.and_then(|ns| ns.checked_add(meta.mtime_nsec()));
        Self {
            len: meta.len(),
            mtime_ns: nanos.unwrap_or(0),
        }
    }

    /// The same if a change at this moment would show; else one that vouches for nothing.
    fn settled(self, now: SystemTime, settled: Duration) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = since.ok().and_then(|s| i64::try_from(s.as_nanos()).ok());
        let age = now.and_then(|now| u128::try_from(now.checked_sub(self.mtime_ns)?).ok());
        match age.is_some_and(|age| age >= settled.as_nanos()) {
            true => self,
            false => Self::default(),
        }
    }

    /// Whether it vouches for the content of a file that looks like this now.
    fn vouches_for(self, now: Self) -> bool {
        self.mtime_ns != 0 && self == now
    }
}

impl Resume {
    /// The pieces that need not be hashed, if the files look like this now (`None`: not there, or padding).
    pub(super) fn trusted(&self, layout: &Layout, now: &[Option<FileStamp>]) -> ChunkSet {
        let pieces = layout.piece_count();
        let mut trusted = ChunkSet::empty(pieces);
        let fits = self.held.start() == 0 && self.held.len() == pieces;
        if !fits || self.files.len() != layout.files.len() {
            return trusted;
        }
        let vouched = |(then, now): (&FileStamp, &Option<FileStamp>)| {
            now.filter(|now| then.vouches_for(*now))
        };
        let vouched: Vec<_> = self.files.iter().zip(now).map(vouched).collect();
        let there = |piece: &u32| may_be_there(layout, &vouched, *piece);
        for piece in self.held.iter().filter(there) {
            trusted.insert(piece);
        }
        trusted
    }
}

/// What the files looked like when their content was last known.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// As we last saw or left them; `None`: not there.
    known: Vec<Option<FileStamp>>,
    /// What is promised of them.
    stamps: Vec<FileStamp>,
    /// Written since their last stamp.
    changed: BTreeSet<usize>,
    /// Too young when they got their last stamp.
    fresh: BTreeSet<usize>,
    /// Changed by others, or not synced: not to be trusted in this run.
    lost: BTreeSet<usize>,
}

impl Trust {
    /// The files look like this, and their content is about to be looked at.
    pub(super) fn new(found: &[Option<FileStamp>], settled: Duration) -> Self {
        let now = SystemTime::now();
        let stamp = |f: &Option<FileStamp>| f.unwrap_or_default().settled(now, settled);
        Self {
            known: found.to_vec(),
            stamps: found.iter().map(stamp).collect(),
            ..Self::default()
        }
    }

    /// The file looks like this just before we write to it.
    pub(super) fn will_write(&mut self, index: usize, found: Option<FileStamp>) {
        let known = self.known.get(index).copied().flatten();
        // what was not there held nothing that could be lost
        if known.is_some() && known != found {
            self.lose(index);
        }
    }

    /// The file looks like this just after we have written to it.
    pub(super) fn wrote(&mut self, index: usize, found: Option<FileStamp>) {
        match self.known.get_mut(index) {
            Some(known) if found.is_some() => *known = found,
            _ => self.lose(index),
        }
        self.changed.insert(index);
    }

    /// The files that need a new stamp.
    pub(super) fn to_stamp(&self) -> Vec<usize> {
        self.changed.union(&self.fresh).copied().collect()
    }

    /// The file looks like this, and nobody writes to it.
    pub(super) fn stamp(&mut self, index: usize, found: Option<FileStamp>, settled: Duration) {
        self.will_write(index, found);
        let stamp = found
            .unwrap_or_default()
            .settled(SystemTime::now(), settled);
        let young = stamp == FileStamp::default() && !self.lost.contains(&index);
        match young {
            true => self.fresh.insert(index),
            false => self.fresh.remove(&index),
        };
        if let Some(slot) = self.stamps.get_mut(index) {
            *slot = stamp;
        }
    }

    /// Files written since this was last called: to be synced before their stamps are given away.
    pub(super) fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    /// Nothing vouches for the file any more.
    pub(super) fn lose(&mut self, index: usize) {
        self.lost.insert(index);
        self.fresh.remove(&index);
    }

    /// Whether a file is only too young.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// What is promised, of so many files.
    pub(super) fn stamps(&self, files: usize) -> Vec<FileStamp> {
        let mut stamps = self.stamps.clone();
        stamps.resize(files, FileStamp::default());
        for lost in &self.lost {
            stamps[*lost] = FileStamp::default();
        }
        stamps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_that_is_too_young_or_from_the_future_vouches_for_nothing() {
        let at = |ns: i64| FileStamp {
            len: 5,
            mtime_ns: ns,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let two = Duration::from_secs(2);
        let settled = |ns: i64| at(ns).settled(now, two).vouches_for(at(ns));
        assert!(settled(98_000_000_000));
        assert!(settled(1));
        assert!(settled(-5));
        for young in [98_000_000_001, 100_000_000_000, 200_000_000_000, i64::MAX] {
            assert!(!settled(young), "{young}");
        }
        assert!(!at(0).vouches_for(at(0)));
    }
}
