//! Hashing all data of a torrent again, in turn with others.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::engine::Stoppable;
use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::InfoHash;
use crate::daemon::torrent::{Busy, Next, Run, Work};
use crate::session::DataPath;
use crate::storage::Resume;

impl Actor {
    pub(super) fn verify(&mut self, hash: InfoHash, reply: Reply<()>) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        let begun = match &torrent.run {
            Run::Busy(busy) => matches!(busy.work, Work::Check(_)),
            _ => false,
        };
        if begun || torrent.next.contains(&Next::Verify) {
            // it is being done, or will be
            return self.answer(reply, Ok(()));
        }
        if torrent.meta().is_none() {
            let why = "its metadata is not known yet: there is nothing to verify".to_owned();
            return self.answer(reply, Err(DaemonError::NotNow(why)));
        }
        torrent.trouble = None;
        self.do_next(hash, Next::Verify);
        self.answer(reply, Ok(()));
    }

    pub(super) fn begin_check(&mut self, hash: InfoHash) {
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        torrent.next.pop_front();
        let Some(meta) = torrent.meta().cloned() else {
            return;
        };
        let done = Arc::new(AtomicU32::new(0));
        let (stoppable, handle) = Stoppable::new();
        torrent.run = Run::Busy(Busy {
            work: Work::Check(done.clone()),
            handle,
        });
        // a kill in the middle must not leave a promise of what is found wanting
        torrent.resume = None;
        torrent.measure();
        let data = DataPath::OutputDir(torrent.options.dir.clone());
        let unkept = self.writer.write(vec![self.places.drop_resume(hash)]);
        let (session, tell) = (self.session.clone(), self.tell.clone());
        self.busy.insert(hash);
        self.touch(hash);
        tokio::spawn(async move {
            let check = async {
                unkept
                    .await
                    .map_err(|e| format!("its state cannot be kept: {e}"))?;
                let layout = meta.layout.clone();
                let checked = session.check(layout, data, done).await;
                checked.map_err(|e| e.to_string())
            };
            let outcome = stoppable.run(check).await;
            let _ = tell.send(Note::Verified(hash, outcome)).await;
        });
    }

    pub(super) fn on_verified(&mut self, hash: InfoHash, outcome: Option<Result<Resume, String>>) {
        self.busy.remove(&hash);
        let unix = self.now.unix;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        torrent.run = Run::Stopped;
        (self.requeue, torrent.record.changed) = (true, unix);
        match outcome {
            None => {}
            Some(Err(line)) => self.trouble(hash, true, line),
            Some(Ok(resume)) => {
                let op = self.places.put_resume(hash, &resume);
                torrent.resume = Some(resume);
                torrent.measure();
                if !torrent.is_complete() {
                    torrent.record.done = 0;
                } else if torrent.record.done == 0 {
                    torrent.record.done = unix;
                }
                let record = self.places.put_record(&torrent.record());
                self.write_unheard(vec![op, record]);
            }
        }
        self.touch(hash);
    }
}
