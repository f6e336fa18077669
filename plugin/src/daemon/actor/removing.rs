//! Torrents that go: first the entry, for good, then the data.

use std::io;

use super::adding::blocking;
use super::{Actor, Note};
use crate::daemon::erase;
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::{Event, InfoHash, Removed};
use crate::daemon::store::{Kept, options_of};
use crate::daemon::torrent::Run;

/// Removed torrents that are remembered, and for how long, for clients that ask what has changed.
const REMEMBERED: usize = 10_000; // guess
const FOR_SECONDS: u64 = 300; // guess: Transmission tells of the last minute

impl Actor {
    pub(super) fn remove(&mut self, hash: InfoHash, data: bool, reply: Reply<()>) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        if std::mem::replace(&mut torrent.leaving, true) {
            let why = format!("{hash} is being removed already");
            return self.answer(reply, Err(DaemonError::NotNow(why)));
        }
        let gone = self.writer.write(self.places.remove(hash, data));
        self.spawn(async move { Note::Unkept(hash, data, gone.await, reply) });
    }

    pub(super) fn on_unkept(
        &mut self,
        hash: InfoHash,
        data: bool,
        gone: io::Result<()>,
        reply: Reply<()>,
    ) {
        let unix = self.now.unix;
        let Some(mut torrent) = self.torrents.remove(&hash) else {
            return self.answer(reply, Err(DaemonError::Unknown(hash)));
        };
        if let Err(e) = gone {
            torrent.leaving = false;
            self.torrents.insert(hash, torrent);
            let error = DaemonError::Disk(format!("{hash} cannot be removed: {e}"));
            return self.answer(reply, Err(error));
        }
        self.order.retain(|other| *other != hash);
        self.number();
        self.busy.remove(&hash);
        self.dirty.remove(&hash);
        while (self.removed.front()).is_some_and(|r| r.at + FOR_SECONDS < unix)
            || self.removed.len() >= REMEMBERED
        {
            self.removed.pop_front();
        }
        self.removed.push_back(Removed {
            id: torrent.id,
            info_hash: hash,
            at: unix,
        });
        self.events.push(Event::Removed(hash));
        (self.requeue, self.urgent, self.statistics_due) = (true, true, true);
        let (handle, live) = match torrent.run {
            Run::Stopped => (None, None),
            Run::Running(live) | Run::Stopping(live) => (Some(live.handle.clone()), Some(live)),
            Run::Busy(busy) => (Some(busy.handle), None),
        };
        torrent.run = Run::Stopped;
        self.removing.insert(hash, live);
        let mut places = vec![torrent.options.dir.clone()];
        places.extend(torrent.record.moving_to.clone());
        places.extend(torrent.record.left_at.clone());
        let (roots, writer, paths) = (self.roots.clone(), self.writer.clone(), self.places.clone());
        self.spawn(async move {
            if let Some(handle) = handle {
                handle.stop().await;
            }
            let mut erased = Ok(());
            if let Some(meta) = torrent.meta().cloned().filter(|_| data) {
                let erase = move || erase::all(&meta.layout, &places, &roots);
                erased = blocking(erase).await;
            }
            let cleared = writer.write(paths.removed(hash)).await;
            let cleared = cleared.map_err(|e| DaemonError::Disk(e.to_string()));
            Note::Removed(hash, erased.and(cleared), Some(reply))
        });
    }

    /// A killed daemon had removed a torrent, but not all of its data.
    pub(super) fn finish_removal(&mut self, kept: Kept) {
        let hash = kept.hash;
        self.removing.insert(hash, None);
        let (roots, writer, paths) = (self.roots.clone(), self.writer.clone(), self.places.clone());
        self.spawn(async move {
            if let (Some(record), Some((meta, _))) = (kept.record, kept.meta) {
                let mut places = vec![options_of(&record.options).dir];
                places.extend(record.moving_to);
                places.extend(record.left_at);
                let erase = move || erase::all(&meta.layout, &places, &roots);
                if let Err(e) = blocking(erase).await {
                    tracing::warn!("data of a removed torrent: {e}");
                    tracing::debug!("{hash}: {e}");
                }
            }
            if let Err(e) = writer.write(paths.removed(hash)).await {
                tracing::warn!("what was kept of a removed torrent: {e}");
                tracing::debug!("{hash}: {e}");
            }
            Note::Removed(hash, Ok(()), None)
        });
    }
}
