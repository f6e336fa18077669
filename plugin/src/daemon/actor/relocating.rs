//! Moving the data of a torrent: the old place is used until the new one is complete.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::adding::blocking;
use super::engine::Stoppable;
use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::InfoHash;
use crate::daemon::moving::{self, Moved};
use crate::daemon::torrent::{Busy, Next, Run, Work};

impl Actor {
    pub(super) fn relocate(&mut self, hash: InfoHash, dir: PathBuf, data: bool, reply: Reply<()>) {
        let Some((_, reply)) = self.find(hash, reply) else {
            return;
        };
        let roots = self.roots.clone();
        self.spawn(async move {
            let dir = blocking(move || roots.check(&dir)).await;
            Note::Relocate(hash, data, dir, reply)
        });
    }

    pub(super) fn on_relocate(
        &mut self,
        hash: InfoHash,
        data: bool,
        dir: Result<PathBuf, DaemonError>,
        reply: Reply<()>,
    ) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        let dir = match dir {
            Ok(dir) => dir,
            Err(e) => return self.answer(reply, Err(e)),
        };
        let moves = matches!(&torrent.run, Run::Busy(busy) if matches!(busy.work, Work::Move(_)));
        let will = |next: &Next| matches!(next, Next::Move(..));
        if moves || torrent.next.iter().any(will) {
            let why = "its data is being moved already; try again when that is done".to_owned();
            return self.answer(reply, Err(DaemonError::NotNow(why)));
        }
        if dir == torrent.options.dir {
            return self.answer(reply, Ok(()));
        }
        torrent.trouble = None;
        torrent.record.moving_to = data.then(|| dir.clone());
        self.do_next(hash, Next::Move(dir, data));
        self.keep_and_answer(hash, reply);
    }

    pub(super) fn begin_move(&mut self, hash: InfoHash, dir: PathBuf, data: bool) {
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        torrent.next.pop_front();
        let meta = torrent.meta().cloned().filter(|_| data);
        let Some(meta) = meta else {
            return self.settle(hash, dir);
        };
        let done = Arc::new(AtomicU64::new(0));
        let (stoppable, handle) = Stoppable::new();
        let stop = handle.stop.subscribe();
        torrent.run = Run::Busy(Busy {
            work: Work::Move(done.clone()),
            handle,
        });
        let from = torrent.options.dir.clone();
        // whoever is killed in the middle must know where to look
        torrent.record.moving_to = Some(dir.clone());
        let kept = self
            .writer
            .write(vec![self.places.put_record(&torrent.record())]);
        let tell = self.tell.clone();
        self.busy.insert(hash);
        self.touch(hash);
        tokio::spawn(async move {
            let to = dir.clone();
            let job = move || {
                let stopped = || *stop.borrow();
                moving::run(&meta.layout, &from, &to, &done, &stopped)
            };
            let moved = match kept.await {
                Ok(()) => tokio::task::spawn_blocking(job)
                    .await
                    .unwrap_or_else(|e| Err(e.to_string())),
                Err(e) => Err(format!("where its data goes cannot be kept: {e}")),
            };
            drop(stoppable); // nobody touches the data any more
            let _ = tell.send(Note::Moved(hash, dir, moved)).await;
        });
    }

    pub(super) fn on_moved(&mut self, hash: InfoHash, dir: PathBuf, moved: Result<Moved, String>) {
        self.busy.remove(&hash);
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        torrent.run = Run::Stopped;
        match moved {
            // it goes on when the daemon starts again
            Ok(Moved::Stopped) => {}
            Ok(Moved::Renamed) => self.settle(hash, dir),
            Ok(Moved::Copied) => {
                torrent.record.left_at = Some(torrent.options.dir.clone());
                self.settle(hash, dir);
                self.leave(hash);
            }
            Err(line) => {
                torrent.record.moving_to = None;
                let stays = torrent.options.dir.display().to_string();
                self.keep(hash);
                self.trouble(hash, false, format!("{line}; its data stays in {stays}"));
            }
        }
        self.requeue = true;
        self.touch(hash);
    }

    /// The data is in `dir` now.
    fn settle(&mut self, hash: InfoHash, dir: PathBuf) {
        let unix = self.now.unix;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        let mut options = (*torrent.options).clone();
        options.dir = dir;
        torrent.options = Arc::new(options);
        torrent.record.moving_to = None;
        torrent.record.changed = unix;
        self.keep(hash);
        self.requeue = true;
        self.touch(hash);
    }

    /// Deletes what is left at the old place once the new one is kept as the torrent's.
    pub(super) fn leave(&mut self, hash: InfoHash) {
        let roots = self.roots.clone();
        let Some(torrent) = self.torrents.get(&hash) else {
            return;
        };
        let (Some(meta), Some(old)) = (torrent.meta().cloned(), torrent.record.left_at.clone())
        else {
            return;
        };
        let new = torrent.options.dir.clone();
        let kept = self
            .writer
            .write(vec![self.places.put_record(&torrent.record())]);
        self.spawn(async move {
            let erase = move || {
                let old = roots.check(&old)?;
                moving::leave(&meta.layout, &old, &new);
                Ok(())
            };
            if kept.await.is_ok()
                && let Err(e) = blocking(erase).await
            {
                tracing::warn!("what was left of a torrent at its old place: {e}");
            }
            Note::Left(hash)
        });
    }

    pub(super) fn on_left(&mut self, hash: InfoHash) {
        if let Some(torrent) = self.torrents.get_mut(&hash) {
            torrent.record.left_at = None;
            self.keep(hash);
        }
    }
}
