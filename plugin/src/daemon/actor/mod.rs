//! The one task that owns the torrents. It waits for nothing but messages: whatever takes time (disks, networks, sessions) runs
//! in tasks of its own, which report back as [`Note`]s. What a command changes is shown before the command is answered.

mod adding;
pub(super) mod blocklist;
mod changing;
mod ending;
mod engine;
mod listing;
mod looking;
mod queueing;
mod relocating;
mod removing;
mod saving;
mod settings;
mod ticking;
mod tracking;
mod verifying;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::adding::Prepared;
use super::clock::{Clock, Moment};
use super::counts::Counter;
use super::facts::Facts;
use super::handle::{Command, Daemon, DaemonError, Inbox, Reply};
use super::history::Recorder;
use super::model::{Added, Event, InfoHash, Removed, TrackerRow, Transferred};
use super::moving::Moved;
use super::paths::Roots;
use super::schedule::Switch;
use super::settings::{Settings, SettingsChange};
use super::store::{Loaded, Places, Writer};
use super::torrent::{Live, Torrent};
use super::watch::Watcher;
use crate::limits::Blocklist;
use crate::session::{Progress, Session, TorrentControl, TorrentEvent};
use crate::storage::Resume;

/// How often numbers are shown and the queue is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Messages that wait for the actor; who has more waits too.
const NOTES: usize = 1024; // guess: one of each of 1,000 torrents
/// No more commands are taken while so many things are being done for earlier ones.
const AT_WORK: usize = 1024; // guess: 1,000 torrents added at once

/// What tasks report to the actor.
pub(super) enum Note {
    /// A torrent to add was read.
    Prepared(Box<Result<Prepared, DaemonError>>, Reply<Added>),
    /// A new torrent is on disk, or not.
    Kept(InfoHash, io::Result<()>),
    /// The session has a torrent.
    Began(InfoHash, u64, TorrentControl),
    /// Something happened to a torrent.
    Happened(InfoHash, u64, Box<TorrentEvent>),
    /// A torrent cannot begin.
    Refused(InfoHash, u64, Refusal),
    /// A torrent has stopped: its last numbers, and what need not be hashed again.
    Stopped(InfoHash, u64, Box<Progress>, Option<Resume>),
    /// A save point is on disk, or there is none.
    Saved(InfoHash, Option<Resume>),
    /// The entry of a torrent is gone from the disk, or not.
    Unkept(InfoHash, bool, io::Result<()>, Reply<()>),
    /// Nothing of a removed torrent is left, or what could not be removed; and who waits for it.
    Removed(InfoHash, Result<(), DaemonError>, Option<Reply<()>>),
    /// A torrent's data was hashed; `None`: the check was broken off.
    Verified(InfoHash, Option<Result<Resume, String>>),
    /// Whether a torrent's data may be in that directory.
    Relocate(InfoHash, bool, Result<PathBuf, DaemonError>, Reply<()>),
    /// What became of moving a torrent's data there.
    Moved(InfoHash, PathBuf, Result<Moved, String>),
    /// Nothing of a torrent is left at its old place.
    Left(InfoHash),
    /// What was asked is on disk, or not.
    Wrote(io::Result<()>, Reply<()>),
    /// A blocklist was read or fetched; `None`: there is no copy. And who waits for it.
    Blocklist(
        Result<Option<blocklist::Read>, DaemonError>,
        Option<Reply<usize>>,
    ),
    /// What a torrent's trackers say.
    Trackers(InfoHash, Vec<TrackerRow>),
    /// Whether a change of settings can be.
    Settings(Box<SettingsChange>, Result<(), DaemonError>, Reply<()>),
    /// The configuration was read anew: the settings, and where data may be.
    Reload(Box<Settings>, Roots),
}

/// Why a torrent cannot begin.
pub(super) enum Refusal {
    /// Files of verified pieces are missing.
    Missing(String),
    /// The session does not take it.
    Session(String),
}

/// What the actor is made of.
pub(super) struct Parts {
    pub(super) session: Session,
    pub(super) settings: Settings,
    pub(super) roots: Roots,
    pub(super) places: Places,
    pub(super) writer: Writer,
    pub(super) loaded: Loaded,
    /// The copy of the blocklist, if one is used.
    pub(super) blocklist: Option<Result<Option<blocklist::Read>, DaemonError>>,
    pub(super) clock: Clock,
    pub(super) facts: Facts,
    /// For tasks of the daemon's own.
    pub(super) daemon: Daemon,
}

/// The state of the daemon.
pub(super) struct Actor {
    inbox: Inbox,
    notes: mpsc::Receiver<Note>,
    tell: mpsc::Sender<Note>,
    session: Arc<Session>,
    places: Places,
    writer: Writer,
    clock: Clock,
    now: Moment,
    roots: Roots,
    facts: Facts,
    daemon: Daemon,
    /// The task that looks at the watch folder.
    watcher: Option<Watcher>,
    settings: Settings,
    switch: Switch,
    torrents: BTreeMap<InfoHash, Torrent>,
    /// Torrents by their place in the queue.
    order: Vec<InfoHash>,
    /// New torrents that are not on disk yet, and who waits for that.
    adding: BTreeMap<InfoHash, (Torrent, adding::Waiting)>,
    /// Removed torrents of which something is left, with what is known of those that are still to stop.
    removing: BTreeMap<InfoHash, Option<Live>>,
    removed: VecDeque<Removed>,
    next_id: u32,
    next_order: u64,
    next_run: u64,
    /// Totals of this run, and of those before.
    run: Transferred,
    before: Transferred,
    history: Recorder,
    /// Whose data is being hashed or moved.
    busy: BTreeSet<InfoHash>,
    /// Whose summaries are to be made anew.
    dirty: BTreeSet<InfoHash>,
    /// Something is to be shown at once.
    urgent: bool,
    /// What was shown has changed since the last tick.
    untold: bool,
    /// Somebody's place may have changed.
    requeue: bool,
    events: Vec<Event>,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    tasks: JoinSet<()>,
    saving: usize,
    statistics_at: Duration,
    statistics_due: bool,
    blocklist: Arc<Blocklist>,
    blocklist_due: Duration,
    counter: Counter,
    ticked_at: Duration,
    ran: Duration,
    ending: Vec<Reply<()>>,
    is_ending: bool,
}

impl Actor {
    /// An actor that has not begun, and where notes for it go.
    pub(super) fn new(inbox: Inbox, parts: Parts) -> (Self, mpsc::Sender<Note>) {
        let (tell, notes) = mpsc::channel(NOTES);
        let now = parts.clock.now();
        let mut actor = Self {
            inbox,
            notes,
            tell: tell.clone(),
            session: Arc::new(parts.session),
            places: parts.places,
            writer: parts.writer,
            clock: parts.clock,
            now,
            roots: parts.roots,
            facts: parts.facts,
            daemon: parts.daemon,
            watcher: None,
            settings: parts.settings,
            switch: Switch::default(),
            torrents: BTreeMap::new(),
            order: Vec::new(),
            adding: BTreeMap::new(),
            removing: BTreeMap::new(),
            removed: VecDeque::new(),
            next_id: 1,
            next_order: 0,
            next_run: 0,
            run: Transferred::default(),
            before: Transferred::default(),
            history: Recorder::default(),
            busy: BTreeSet::new(),
            dirty: BTreeSet::new(),
            urgent: true,
            untold: false,
            requeue: true,
            events: Vec::new(),
            answers: Vec::new(),
            tasks: JoinSet::new(),
            saving: 0,
            statistics_at: now.elapsed,
            statistics_due: true,
            blocklist: Arc::default(),
            blocklist_due: Duration::MAX,
            counter: Counter::default(),
            ticked_at: now.elapsed,
            ran: Duration::ZERO,
            ending: Vec::new(),
            is_ending: false,
        };
        actor.begin_settings();
        if let Some(copy) = parts.blocklist {
            actor.on_blocklist(copy, None);
        }
        actor.load(parts.loaded);
        actor.show(); // whoever has the handle sees what was kept
        (actor, tell)
    }

    /// Runs until it is told to end, and then until all is on disk.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_ending {
            self.show();
            let room = self.tasks.len() < AT_WORK;
            tokio::select! {
                Some(note) = self.notes.recv() => {
                    self.take_notes(note);
                }
                Some(command) = self.inbox.commands.recv(), if room => {
                    self.now = self.clock.now();
                    self.on_command(command);
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                _ = tick.tick() => {
                    self.now = self.clock.now();
                    self.tick();
                }
            }
        }
        self.end().await;
    }

    /// Takes a note, and what else has come in meanwhile, before it is all shown.
    fn take_notes(&mut self, first: Note) {
        self.now = self.clock.now();
        self.on_note(first);
        for _ in 0..64 {
            let Ok(note) = self.notes.try_recv() else {
                return;
            };
            self.on_note(note);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Add(new, reply) => self.add(*new, reply),
            Command::Remove(hash, data, reply) => self.remove(hash, data, reply),
            Command::Start(hash, now, reply) => self.start(hash, now, reply),
            Command::Pause(hash, reply) => self.pause(hash, reply),
            Command::Verify(hash, reply) => self.verify(hash, reply),
            Command::Reannounce(hash, reply) => self.reannounce(hash, reply),
            Command::Relocate(hash, dir, data, reply) => self.relocate(hash, dir, data, reply),
            Command::Change(hash, change, reply) => self.change(hash, *change, reply),
            Command::QueueMove(which, to, reply) => self.queue_move(which, to, reply),
            Command::Detail(hash, reply) => self.detail(hash, reply),
            Command::Trace(hash, reply) => self.trace(hash, reply),
            Command::Facts(reply) => self.answer(reply, Ok(self.facts.clone())),
            Command::Settings(reply) => self.answer(reply, Ok(self.settings.clone())),
            Command::ChangeSettings(change, reply) => self.change_settings(change, reply),
            Command::FreeSpace(path, reply) => self.free_space(path, reply),
            Command::PortTest(reply) => self.port_test(reply),
            Command::UpdateBlocklist(reply) => self.update_blocklist(reply),
            Command::BlocklistLen(reply) => self.blocklist_len(reply),
            Command::Index(reply) => self.index(reply),
            Command::History(reply) => {
                let history = self.history.history(self.now.unix);
                self.answer(reply, Ok(history));
            }
            Command::Counts(reply) => self.counts(reply),
            Command::Shutdown(reply) => {
                self.ending.push(reply);
                self.is_ending = true;
            }
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Prepared(prepared, reply) => self.on_prepared(*prepared, reply),
            Note::Kept(hash, written) => self.on_kept(hash, written),
            Note::Began(hash, run, control) => self.on_began(hash, run, control),
            Note::Happened(hash, run, event) => self.on_event(hash, run, *event),
            Note::Refused(hash, run, refusal) => self.on_refused(hash, run, refusal),
            Note::Stopped(hash, run, last, resume) => self.on_stopped(hash, run, *last, resume),
            Note::Saved(hash, resume) => self.on_saved(hash, resume),
            Note::Unkept(hash, data, gone, reply) => self.on_unkept(hash, data, gone, reply),
            Note::Removed(hash, gone, reply) => {
                self.removing.remove(&hash);
                if let Some(reply) = reply {
                    self.answer(reply, gone);
                }
            }
            Note::Verified(hash, outcome) => self.on_verified(hash, outcome),
            Note::Relocate(hash, data, dir, reply) => self.on_relocate(hash, data, dir, reply),
            Note::Moved(hash, dir, outcome) => self.on_moved(hash, dir, outcome),
            Note::Left(hash) => self.on_left(hash),
            Note::Wrote(written, reply) => self.on_written(written, reply),
            Note::Blocklist(read, reply) => self.on_blocklist(read, reply),
            Note::Trackers(hash, rows) => self.on_trackers(hash, &rows),
            Note::Settings(change, checked, reply) => self.on_settings(*change, checked, reply),
            Note::Reload(settings, roots) => self.reload(*settings, roots),
        }
    }

    /// Answers when what was done is shown.
    fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, DaemonError>) {
        self.answers.push(Box::new(move || {
            let _ = reply.send(result);
        }));
    }

    /// The torrent, if it is here; who asked is told if not.
    fn find<T: Send + 'static>(
        &mut self,
        hash: InfoHash,
        reply: Reply<T>,
    ) -> Option<(&mut Torrent, Reply<T>)> {
        if !self.torrents.contains_key(&hash) {
            self.answer(reply, Err(DaemonError::Unknown(hash)));
            return None;
        }
        let torrent = self.torrents.get_mut(&hash)?;
        Some((torrent, reply))
    }

    /// A task that reports with a note when it is done.
    fn spawn(&mut self, task: impl Future<Output = Note> + Send + 'static) {
        let tell = self.tell.clone();
        self.tasks.spawn(async move {
            let note = task.await;
            let _ = tell.send(note).await;
        });
    }

    /// A torrent is not what it was: it is shown anew at once.
    fn touch(&mut self, hash: InfoHash) {
        self.dirty.insert(hash);
        self.urgent = true;
    }
}
