//! Torrents in the session: each has a task that starts it, follows it, and stops it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Actor, Note, Refusal};
use crate::daemon::missing;
use crate::daemon::model::{Event, InfoHash, Options, Trouble};
use crate::daemon::store::Counts;
use crate::daemon::torrent::{Live, Run, StopHandle};
use crate::metadata::Metainfo;
use crate::session::{
    AddTorrent, DataPath, Progress, Session, TorrentControl, TorrentEvent, TorrentHandle,
    TorrentSource,
};
use crate::storage::Resume;

impl Actor {
    /// Puts a torrent into the session.
    pub(super) fn begin(&mut self, hash: InfoHash) {
        let (session, notes, run) = (self.session.clone(), self.tell.clone(), self.next_run);
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        self.next_run += 1;
        let add = AddTorrent {
            priorities: torrent.options.files.clone(),
            trackers: torrent.options.trackers.clone(),
            resume: torrent.resume.clone(),
            ..AddTorrent::new(
                torrent.source.clone(),
                DataPath::OutputDir(torrent.options.dir.clone()),
            )
        };
        let (stoppable, handle) = Stoppable::new();
        let (options, changes) = watch::channel(torrent.options.clone());
        let follower = Follower {
            hash,
            run,
            notes,
            stopped: stoppable.stopped.clone(),
            options: torrent.options.clone(),
            changes,
        };
        let insist = std::mem::take(&mut torrent.insist);
        torrent.run = Run::Running(Live::new(run, handle, options));
        torrent.record.started = now.unix;
        (torrent.moved_at, torrent.sent_at) = (now.elapsed, now.elapsed);
        (torrent.stalled, torrent.saved_at) = (false, now.elapsed);
        self.touch(hash);
        tokio::spawn(async move {
            follower.follow(session, add, insist).await;
            drop(stoppable);
        });
    }

    /// Takes a torrent out of the session.
    pub(super) fn halt(&mut self, hash: InfoHash) {
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        match std::mem::replace(&mut torrent.run, Run::Stopped) {
            Run::Running(live) => {
                live.handle.stop.send_replace(true);
                torrent.run = Run::Stopping(live);
                self.touch(hash);
            }
            other => torrent.run = other,
        }
    }

    fn live(&mut self, hash: InfoHash, run: u64) -> Option<&mut Live> {
        let torrent = self.torrents.get_mut(&hash)?;
        torrent.live_mut().filter(|live| live.run == run)
    }

    pub(super) fn on_began(&mut self, hash: InfoHash, run: u64, control: TorrentControl) {
        let Some(live) = self.live(hash, run) else {
            return;
        };
        live.control = Some(control.clone());
        let peers = self.torrents[&hash].record.peers.clone();
        if !peers.is_empty() {
            self.tasks
                .spawn(async move { control.add_hints(peers).await });
        }
        self.touch(hash);
    }

    pub(super) fn on_refused(&mut self, hash: InfoHash, run: u64, refusal: Refusal) {
        if self.live(hash, run).is_none() {
            return;
        }
        let (Refusal::Missing(message) | Refusal::Session(message)) = refusal;
        self.trouble(hash, true, message);
    }

    /// Something is wrong with a torrent.
    pub(super) fn trouble(&mut self, hash: InfoHash, stopped: bool, message: String) {
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        tracing::debug!("{hash}: {message}");
        torrent.trouble = Some(Trouble {
            stopped,
            tracker: false,
            message: message.clone(),
        });
        self.requeue |= stopped;
        self.events.push(Event::Trouble(hash, message));
        self.touch(hash);
    }

    pub(super) fn on_event(&mut self, hash: InfoHash, run: u64, event: TorrentEvent) {
        if self.live(hash, run).is_none() {
            return;
        }
        match event {
            TorrentEvent::Metadata(meta) => {
                if let Some(live) = self.live(hash, run) {
                    live.known = true;
                }
                self.on_metadata(hash, meta);
            }
            TorrentEvent::Checked(progress) => {
                let held = progress.pieces_held;
                self.on_progress(hash, run, progress);
                if let Some(live) = self.live(hash, run) {
                    live.checked = true;
                }
                self.on_checked(hash, held);
            }
            TorrentEvent::Progress(progress) => {
                let live = self.live(hash, run);
                if live.is_some_and(|live| differs(&live.progress, &progress)) {
                    self.on_progress(hash, run, progress);
                }
            }
            TorrentEvent::Complete(progress) => {
                self.on_progress(hash, run, progress);
                self.on_complete(hash, run);
            }
            TorrentEvent::Paused(line) => self.trouble(hash, false, line),
            TorrentEvent::Resumed => {
                if let Some(torrent) = self.torrents.get_mut(&hash) {
                    torrent.trouble = None;
                }
                self.touch(hash);
            }
            TorrentEvent::Warning(line) => self.trouble(hash, false, line),
            TorrentEvent::Failed(error) => self.trouble(hash, true, error.to_string()),
        }
    }

    fn on_progress(&mut self, hash: InfoHash, run: u64, progress: Progress) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        let Some(live) = torrent.live_mut().filter(|live| live.run == run) else {
            return;
        };
        let other_pieces = progress.pieces_held != live.progress.pieces_held;
        let was_complete = live.complete;
        let more = live.update(progress, now.unix, &mut self.counter);
        torrent.unsaved |= other_pieces;
        if more.downloaded > 0 || more.uploaded > 0 {
            torrent.moved_at = now.elapsed;
            // one that stalled takes its place again
            self.requeue |= std::mem::take(&mut torrent.stalled);
        }
        if more.uploaded > 0 {
            torrent.sent_at = now.elapsed;
        }
        // more files are wanted than there were when it was complete
        if was_complete && !torrent.is_complete() {
            torrent.record.done = 0;
            if let Some(live) = torrent.live_mut() {
                live.complete = false;
            }
            self.requeue = true;
        }
        self.dirty.insert(hash);
        self.moved(&more);
    }

    /// So much more has come and gone.
    fn moved(&mut self, more: &Counts) {
        self.run.downloaded += more.downloaded;
        self.run.uploaded += more.uploaded;
        self.run.by_distance += more.by_distance;
        self.history.add(self.now.unix, more.by_distance);
    }

    /// Existing data was looked at, and so many pieces are there.
    fn on_checked(&mut self, hash: InfoHash, held: u32) {
        if let Some(torrent) = self.torrents.get_mut(&hash) {
            let kept = torrent.resume.as_ref().map_or(0, |r| r.held.count());
            if kept > held {
                // it promises what is no longer there
                torrent.resume = None;
            }
            if kept != held {
                torrent.unsaved = true;
                self.save(hash);
            }
        }
        self.requeue = true;
        self.touch(hash);
    }

    fn on_complete(&mut self, hash: InfoHash, run: u64) {
        let now = self.now;
        if let Some(live) = self.live(hash, run) {
            live.complete = true;
        }
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        torrent.sent_at = now.elapsed;
        self.requeue = true;
        if torrent.record.done == 0 {
            torrent.record.done = now.unix;
            torrent.record.changed = now.unix;
            self.events.push(Event::Complete(hash));
            self.keep(hash);
            self.save(hash);
        }
        self.touch(hash);
    }

    pub(super) fn on_stopped(
        &mut self,
        hash: InfoHash,
        run: u64,
        last: Progress,
        resume: Option<Resume>,
    ) {
        let unix = self.now.unix;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            // it was removed while it ran
            if let Some(Some(live)) = self.removing.get_mut(&hash) {
                let more = live.update(last, unix, &mut self.counter);
                self.moved(&more);
            }
            return;
        };
        let (more, of_itself) = match &mut torrent.run {
            Run::Running(live) | Run::Stopping(live) if live.run != run => return,
            Run::Running(live) => (live.update(last, unix, &mut self.counter), true),
            Run::Stopping(live) => (live.update(last, unix, &mut self.counter), false),
            Run::Stopped | Run::Busy(_) => return,
        };
        (torrent.before, torrent.extent) = (torrent.counts(), torrent.extent());
        torrent.run = Run::Stopped;
        let stopped = torrent.trouble.as_ref().is_some_and(|t| t.stopped);
        self.moved(&more);
        if of_itself && !stopped {
            let message = "it ended unexpectedly; start it again".to_owned();
            self.trouble(hash, true, message);
        }
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        if let Some(resume) = resume {
            torrent.unsaved = false;
            let op = (torrent.resume.as_ref() != Some(&resume))
                .then(|| self.places.put_resume(hash, &resume));
            torrent.resume = Some(resume);
            torrent.measure();
            if let Some(op) = op {
                self.write_unheard(vec![op]);
            }
        }
        self.requeue = true;
        self.touch(hash);
    }
}

/// Follows one run of a torrent.
struct Follower {
    hash: InfoHash,
    run: u64,
    notes: mpsc::Sender<Note>,
    stopped: watch::Receiver<bool>,
    /// Those that it begins with.
    options: Arc<Options>,
    changes: watch::Receiver<Arc<Options>>,
}

impl Follower {
    async fn follow(mut self, session: Arc<Session>, mut add: AddTorrent, insist: bool) {
        if let Some(line) = missing_data(&add).await {
            if !insist {
                return self.refuse(Refusal::Missing(line)).await;
            }
            add.resume = None;
        }
        let mut handle = match session.add(add).await {
            Ok(handle) => handle,
            Err(e) => return self.refuse(Refusal::Session(e.to_string())).await,
        };
        let control = handle.control();
        let mut options = self.options.clone();
        set(&control, &options, None).await;
        self.tell(Note::Began(self.hash, self.run, control.clone()))
            .await;
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                event = handle.next() => match event {
                    Some(event) => self.happened(event).await,
                    None => break,
                },
                Ok(()) = self.changes.changed() => {
                    let new = self.changes.borrow_and_update().clone();
                    set(&control, &new, Some(&options)).await;
                    options = new;
                }
                () = told(&mut stopped) => break,
            }
        }
        self.stop(handle).await;
    }

    async fn stop(self, handle: TorrentHandle) {
        let (last, resume) = handle.stop_saved().await;
        self.tell(Note::Stopped(self.hash, self.run, Box::new(last), resume))
            .await;
    }

    async fn refuse(self, refusal: Refusal) {
        self.tell(Note::Refused(self.hash, self.run, refusal)).await;
        let none = Box::default();
        self.tell(Note::Stopped(self.hash, self.run, none, None))
            .await;
    }

    async fn happened(&self, event: TorrentEvent) {
        let event = Box::new(event);
        self.tell(Note::Happened(self.hash, self.run, event)).await;
    }

    async fn tell(&self, note: Note) {
        // an actor that has ended wants to hear nothing
        let _ = self.notes.send(note).await;
    }
}

/// Sets what is not as it was; `before`: `None` at the beginning, when files and trackers are set already.
async fn set(control: &TorrentControl, now: &Options, before: Option<&Options>) {
    let differs = |same: bool| before.is_none() || !same;
    if differs(before.is_some_and(|b| b.rates == now.rates)) {
        control.limiters().set(now.rates);
    }
    if differs(before.is_some_and(|b| b.session_rates == now.session_rates)) {
        control.set_session_rates(now.session_rates).await;
    }
    if differs(before.is_some_and(|b| b.max_peers == now.max_peers)) {
        control.set_max_peers(now.max_peers).await;
    }
    let Some(before) = before else { return };
    if before.files != now.files {
        control.set_priorities(now.files.clone()).await;
    }
    if let Some(tiers) = now
        .trackers
        .clone()
        .filter(|_| before.trackers != now.trackers)
    {
        control.set_trackers(tiers).await;
    }
}

/// Whether there is something new to show.
fn differs(a: &Progress, b: &Progress) -> bool {
    let numbers = |p: &Progress| {
        let bytes = (
            p.total_bytes,
            p.verified_bytes,
            p.downloaded,
            p.uploaded,
            p.wasted,
        );
        let peers = (
            p.near,
            p.far,
            p.web_seeds,
            p.rate_down,
            p.rate_up,
            p.sending,
            p.receiving,
        );
        let pieces = (p.checked_pieces, p.pieces_held, p.bad_pieces);
        (bytes, peers, pieces, p.choking, p.served, p.banned)
    };
    numbers(a) != numbers(b) || a.drops != b.drops
}

/// A line about files that held verified pieces and are gone.
async fn missing_data(add: &AddTorrent) -> Option<String> {
    let (TorrentSource::Metainfo(meta), Some(resume)) = (&add.source, &add.resume) else {
        return None;
    };
    let DataPath::OutputDir(dir) = &add.data else {
        return None;
    };
    let (meta, resume, dir): (Arc<Metainfo>, Resume, PathBuf) =
        (meta.clone(), resume.clone(), dir.clone());
    let look = move || missing::line(&meta.layout, &resume, &dir);
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

/// Waits until it is told to stop, or nobody could tell any more.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What can be stopped by its [`StopHandle`], and tells of its end when it is dropped.
pub(super) struct Stoppable {
    stopped: watch::Receiver<bool>,
    ended: watch::Sender<bool>,
}

impl Stoppable {
    pub(super) fn new() -> (Self, StopHandle) {
        let (stop, stopped) = watch::channel(false);
        let (tell_end, ended) = watch::channel(false);
        let this = Self {
            stopped,
            ended: tell_end,
        };
        (this, StopHandle { stop, ended })
    }

    /// Does something until it is done or told to stop, which is `None`.
    pub(super) async fn run<T>(mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = told(&mut self.stopped) => None,
        }
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.ended.send_replace(true);
    }
}
