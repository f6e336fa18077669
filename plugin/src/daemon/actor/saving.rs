//! What is written while torrents run: records when somebody changes one, save points of pieces every now and then, statistics.

use std::io;
use std::time::Duration;

use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::{InfoHash, Transferred};
use crate::daemon::store::{Op, Statistics};
use crate::storage::Resume;

/// How long pieces of a torrent may wait for a save point: after a kill they are hashed again.
const SAVE_PERIOD: Duration = Duration::from_secs(30); // guess: a sync of what came since takes a moment
/// Save points that are made at a time: each syncs files.
const AT_A_TIME: usize = 4; // guess
/// How long statistics may wait.
const STATISTICS_PERIOD: Duration = Duration::from_secs(60); // guess: what a kill may cost

impl Actor {
    /// Keeps a torrent's record; who said what it says does not wait for it.
    pub(super) fn keep(&mut self, hash: InfoHash) {
        if let Some(torrent) = self.torrents.get(&hash).filter(|t| !t.leaving) {
            let op = self.places.put_record(&torrent.record());
            self.write_unheard(vec![op]);
        }
    }

    /// Keeps a torrent's record, and answers when that is done.
    pub(super) fn keep_and_answer(&mut self, hash: InfoHash, reply: Reply<()>) {
        let torrent = self.torrents.get(&hash).filter(|t| !t.leaving);
        let op = torrent.map(|t| self.places.put_record(&t.record()));
        self.write_and_answer(op.into_iter().collect(), reply);
    }

    /// Writes, and answers when that is done.
    pub(super) fn write_and_answer(&mut self, ops: Vec<Op>, reply: Reply<()>) {
        let written = self.writer.write(ops);
        self.spawn(async move { Note::Wrote(written.await, reply) });
    }

    pub(super) fn on_written(&mut self, written: io::Result<()>, reply: Reply<()>) {
        let failed = |e| {
            DaemonError::Disk(format!(
                "it holds until the daemon ends, but cannot be kept: {e}"
            ))
        };
        self.answer(reply, written.map_err(failed));
    }

    /// Writes what nobody waits for.
    pub(super) fn write_unheard(&mut self, ops: Vec<Op>) {
        let written = self.writer.write(ops);
        self.tasks.spawn(async move {
            if let Err(e) = written.await {
                tracing::warn!("state cannot be kept: {e}; free some space or see to the disk");
            }
        });
    }

    /// Makes a save point of a torrent's pieces.
    pub(super) fn save(&mut self, hash: InfoHash) {
        let now = self.now.elapsed;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        let Some(control) = torrent.control().filter(|_| !torrent.saving) else {
            return;
        };
        (torrent.saving, torrent.unsaved, torrent.saved_at) = (true, false, now);
        self.saving += 1;
        self.spawn(async move { Note::Saved(hash, control.save_point().await) });
    }

    pub(super) fn on_saved(&mut self, hash: InfoHash, resume: Option<Resume>) {
        self.saving -= 1;
        let Some(torrent) = self.torrents.get_mut(&hash).filter(|t| !t.leaving) else {
            return;
        };
        torrent.saving = false;
        // one that was stopped, hashed or moved meanwhile knows better
        if torrent.live().is_none() {
            return;
        }
        let Some(resume) = resume else {
            torrent.unsaved = true;
            return;
        };
        if torrent.resume.as_ref() == Some(&resume) {
            return;
        }
        // what has just changed vouches for nothing yet
        torrent.unsaved |= resume.files.iter().any(|f| f.mtime_ns == 0 && f.len == 0);
        let op = self.places.put_resume(hash, &resume);
        torrent.resume = Some(resume);
        self.write_unheard(vec![op]);
    }

    /// Makes the save points that are due, not all at once.
    pub(super) fn save_due(&mut self) {
        let now = self.now.elapsed;
        let room = AT_A_TIME.saturating_sub(self.saving);
        let mut due: Vec<(Duration, InfoHash)> = (self.torrents.values())
            .filter(|t| t.unsaved && !t.saving && t.control().is_some())
            .filter(|t| now >= t.saved_at + SAVE_PERIOD)
            .map(|t| (t.saved_at, t.hash))
            .collect();
        due.sort_unstable();
        for (_, hash) in due.into_iter().take(room) {
            self.save(hash);
        }
        if self.statistics_due && now >= self.statistics_at + STATISTICS_PERIOD {
            let op = self.statistics();
            self.write_unheard(vec![op]);
        }
    }

    /// Totals over all runs.
    pub(super) fn ever(&self) -> Transferred {
        let (run, mut ever) = (&self.run, self.before);
        ever.downloaded += run.downloaded;
        ever.uploaded += run.uploaded;
        ever.by_distance += run.by_distance;
        ever.added += run.added;
        ever.seconds += run.seconds;
        ever
    }

    /// Keeps the statistics.
    pub(super) fn statistics(&mut self) -> Op {
        (self.statistics_at, self.statistics_due) = (self.now.elapsed, false);
        let torrents = self.torrents.values().map(|t| (t.hash, t.counts()));
        let statistics = Statistics {
            ever: self.ever(),
            torrents: torrents.collect(),
        };
        self.places.put_statistics(&statistics)
    }
}
