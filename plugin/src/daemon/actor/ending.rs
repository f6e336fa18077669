//! An orderly end: torrents withdraw and say goodbye side by side, what they hold is kept, then the sockets close. All of it
//! within ten seconds, whatever others do.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Actor;
use crate::daemon::torrent::Run;

/// How long torrents have to say goodbye.
const GOODBYES: Duration = Duration::from_secs(7); // guess: trackers have 5 s, and pieces on their way to the disk
/// How long what is kept has to get to the disk.
const WRITES: Duration = Duration::from_millis(1500); // guess
/// When all is over, whatever the directory and the router still do.
const END: Duration = Duration::from_millis(9_500);

impl Actor {
    /// Ends the daemon, and answers who asked for that.
    pub(super) async fn end(mut self) {
        let began = Instant::now();
        self.inbox.commands.close();
        while self.inbox.commands.try_recv().is_ok() {} // they hear that it is ending
        self.watcher = None;
        for torrent in self.torrents.values_mut() {
            torrent.may_run = false;
            if let Run::Busy(busy) = &torrent.run {
                busy.handle.stop.send_replace(true);
            }
        }
        let hashes = self.order.clone();
        for hash in &hashes {
            self.halt(*hash);
        }
        self.requeue = false;
        self.publish();
        let deadline = began + GOODBYES;
        while self.is_busy() {
            match timeout_at(deadline, self.notes.recv()).await {
                Ok(Some(note)) => {
                    self.take_notes(note);
                    self.requeue = false; // nothing begins any more
                    self.publish();
                }
                Ok(None) | Err(_) => break,
            }
        }
        let left = self.torrents.values().filter(|t| is_busy(&t.run)).count();
        if left > 0 {
            tracing::warn!(
                "{left} torrents did not stop in time; their data is checked at the next start"
            );
        }
        let statistics = self.statistics();
        let written = self.writer.write(vec![statistics]);
        match timeout(WRITES, written).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("statistics cannot be kept: {e}"),
            Err(_) => tracing::warn!("the disk takes longer than there is time at the end"),
        }
        let _ = timeout_at(began + END, self.session.shutdown()).await;
        tracing::debug!("ended within {:?}", began.elapsed());
        for reply in self.ending {
            let _ = reply.send(Ok(()));
        }
    }

    fn is_busy(&self) -> bool {
        self.torrents.values().any(|t| is_busy(&t.run))
    }
}

fn is_busy(run: &Run) -> bool {
    !matches!(run, Run::Stopped)
}
