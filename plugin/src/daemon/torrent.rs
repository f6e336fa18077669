//! One torrent as the actor has it: what is wanted of it, what it does, and the numbers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use tokio::sync::watch;

use super::counts::Counter;
use super::history::since;
use super::model::{About, InfoHash, Options, State, Summary, Trouble};
use super::store::{Counts, Record, Standing, saved_options};
use crate::metadata::{Magnet, Metainfo, Remarks, wanted_pieces};
use crate::session::{Progress, TorrentControl, TorrentSource};
use crate::storage::Resume;

/// A torrent of the daemon.
#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) id: u32,
    pub(super) hash: InfoHash,
    pub(super) source: TorrentSource,
    pub(super) remarks: Remarks,
    pub(super) about: Arc<About>,
    pub(super) options: Arc<Options>,
    /// As it is kept, but for the options.
    pub(super) record: Record,
    /// Over all runs before this one.
    pub(super) before: Counts,
    pub(super) run: Run,
    /// What is to be done as soon as it has stopped, in this order; of each kind at most one.
    pub(super) next: VecDeque<Next>,
    /// It may run as far as the queue is concerned.
    pub(super) may_run: bool,
    pub(super) trouble: Option<Trouble>,
    /// Its data is missing, and somebody wants it to begin all the same.
    pub(super) insist: bool,
    /// What need not be hashed again.
    pub(super) resume: Option<Resume>,
    pub(super) extent: Extent,
    /// When bytes last came or went, by the daemon's clock.
    pub(super) moved_at: Duration,
    /// When bytes last went, or seeding began.
    pub(super) sent_at: Duration,
    pub(super) stalled: bool,
    /// Pieces changed since the last save point.
    pub(super) unsaved: bool,
    pub(super) saved_at: Duration,
    pub(super) saving: bool,
    /// It is being removed.
    pub(super) leaving: bool,
    pub(super) position: usize,
    pub(super) shown_at: Duration,
    pub(super) trackers_at: Duration,
    pub(super) summary: Option<Arc<Summary>>,
}

/// Bytes of a torrent that does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) wanted: u64,
    pub(super) verified: u64,
    pub(super) held: u64,
}

/// What a torrent is doing.
#[derive(Debug)]
pub(super) enum Run {
    /// Nothing.
    Stopped,
    /// It is in the session, or about to be.
    Running(Live),
    /// It was told to stop.
    Stopping(Live),
    /// Its data is being hashed or moved.
    Busy(Busy),
}

/// What is to be done with a torrent that has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Its data is hashed.
    Verify,
    /// Its data is moved to this directory, or is there already.
    Move(PathBuf, bool),
}

/// Turns true when something has ended.
pub(super) type Ended = watch::Receiver<bool>;

/// A torrent in the session.
#[derive(Debug)]
pub(super) struct Live {
    /// Which run it is: what is heard of an earlier one counts no more.
    pub(super) run: u64,
    /// `None` until the session has it.
    pub(super) control: Option<TorrentControl>,
    pub(super) handle: StopHandle,
    pub(super) options: watch::Sender<Arc<Options>>,
    pub(super) progress: Progress,
    /// The metadata is known.
    pub(super) known: bool,
    /// Existing data was looked at.
    pub(super) checked: bool,
    /// All that is wanted is on disk.
    pub(super) complete: bool,
    /// What was moved in this run.
    pub(super) counts: Counts,
}

/// A check or a move.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) work: Work,
    pub(super) handle: StopHandle,
}

/// Stops something, and hears when it has ended.
#[derive(Clone, Debug)]
pub(super) struct StopHandle {
    pub(super) stop: watch::Sender<bool>,
    pub(super) ended: Ended,
}

impl StopHandle {
    /// Stops it, and waits for its end.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        // whoever is gone has ended too
        let _ = self.ended.wait_for(|ended| *ended).await;
    }
}

/// How far a check or a move is.
#[derive(Debug)]
pub(super) enum Work {
    /// Pieces that are hashed; 0 while it waits for its turn.
    Check(Arc<AtomicU32>),
    /// Bytes that are moved.
    Move(Arc<AtomicU64>),
}

impl Live {
    pub(super) fn new(run: u64, handle: StopHandle, options: watch::Sender<Arc<Options>>) -> Self {
        Self {
            run,
            control: None,
            handle,
            options,
            progress: Progress::default(),
            known: false,
            checked: false,
            complete: false,
            counts: Counts::default(),
        }
    }

    /// Takes new numbers in, and counts them; what they have more than the last ones.
    pub(super) fn update(
        &mut self,
        progress: Progress,
        unix: u64,
        counter: &mut Counter,
    ) -> Counts {
        counter.grew(&self.progress, &progress);
        let mut more = Counts {
            downloaded: progress.downloaded.saturating_sub(self.counts.downloaded),
            uploaded: progress.uploaded.saturating_sub(self.counts.uploaded),
            wasted: progress.wasted.saturating_sub(self.counts.wasted),
            by_distance: since(progress.by_distance, self.counts.by_distance),
            ..Counts::default()
        };
        if more.downloaded > 0 || more.uploaded > 0 {
            more.active = unix;
        }
        self.counts += more;
        self.progress = progress;
        more
    }
}

impl Torrent {
    /// A torrent that does nothing yet, and is not measured.
    pub(super) fn new(
        id: u32,
        source: TorrentSource,
        remarks: Remarks,
        options: Options,
        record: Record,
    ) -> Self {
        Self {
            id,
            hash: InfoHash(source.info_hash()),
            source,
            remarks,
            about: Arc::default(),
            options: Arc::new(options),
            record,
            before: Counts::default(),
            run: Run::Stopped,
            next: VecDeque::new(),
            may_run: false,
            trouble: None,
            insist: false,
            resume: None,
            extent: Extent::default(),
            moved_at: Duration::ZERO,
            sent_at: Duration::ZERO,
            stalled: false,
            unsaved: false,
            saved_at: Duration::ZERO,
            saving: false,
            leaving: false,
            position: 0,
            shown_at: Duration::ZERO,
            trackers_at: Duration::ZERO,
            summary: None,
        }
    }

    pub(super) fn meta(&self) -> Option<&Arc<Metainfo>> {
        match &self.source {
            TorrentSource::Metainfo(meta) => Some(meta),
            TorrentSource::Magnet(_) => None,
        }
    }

    pub(super) fn magnet(&self) -> Option<&Magnet> {
        match &self.source {
            TorrentSource::Metainfo(_) => None,
            TorrentSource::Magnet(magnet) => Some(magnet),
        }
    }

    pub(super) fn live(&self) -> Option<&Live> {
        match &self.run {
            Run::Running(live) => Some(live),
            _ => None,
        }
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.run {
            Run::Running(live) => Some(live),
            _ => None,
        }
    }

    /// The control of the torrent in the session.
    pub(super) fn control(&self) -> Option<TorrentControl> {
        self.live()?.control.clone()
    }

    /// Over all runs.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.before;
        if let Run::Running(live) | Run::Stopping(live) = &self.run {
            counts += live.counts;
        }
        counts
    }

    /// The record as it is to be kept.
    pub(super) fn record(&self) -> Record {
        Record {
            options: saved_options(&self.options),
            ..self.record.clone()
        }
    }

    /// Bytes that are wanted and there.
    pub(super) fn extent(&self) -> Extent {
        match &self.run {
            Run::Running(live) | Run::Stopping(live) if live.checked => {
                let p = &live.progress;
                Extent {
                    wanted: p.total_bytes,
                    verified: p.verified_bytes,
                    held: self.held_bytes(p),
                }
            }
            _ => self.extent,
        }
    }

    fn held_bytes(&self, progress: &Progress) -> u64 {
        let Some(meta) = self.meta() else { return 0 };
        let size = meta.layout.total_length;
        if progress.total_bytes == size {
            return progress.verified_bytes;
        }
        let pieces = u64::from(progress.pieces_held) * u64::from(meta.layout.piece_length);
        pieces.min(size).max(progress.verified_bytes)
    }

    /// Whether all that is wanted is there, as far as is known.
    pub(super) fn is_complete(&self) -> bool {
        let extent = self.extent();
        self.meta().is_some() && extent.wanted == extent.verified && self.knows_pieces()
    }

    fn knows_pieces(&self) -> bool {
        match &self.run {
            Run::Running(live) | Run::Stopping(live) if live.checked => true,
            _ => self.resume.is_some(),
        }
    }

    /// Counts anew what is wanted and there of a torrent that does not run.
    pub(super) fn measure(&mut self) {
        let Some(meta) = self.meta().cloned() else {
            return;
        };
        let layout = &meta.layout;
        let (wanted, _) = wanted_pieces(layout, &self.options.files);
        let none = ChunkSet::empty(layout.piece_count());
        let held = self.resume.as_ref().map_or(&none, |r| &r.held);
        let bytes = |pieces: &mut dyn Iterator<Item = u32>| {
            pieces.map(|p| u64::from(layout.piece_len(p))).sum()
        };
        self.extent = Extent {
            wanted: bytes(&mut wanted.iter()),
            verified: bytes(&mut wanted.iter().filter(|p| held.contains(*p))),
            held: bytes(&mut held.iter().filter(|p| *p < layout.piece_count())),
        };
    }

    /// What it does, in a word.
    pub(super) fn state(&self) -> State {
        match &self.run {
            Run::Busy(Busy {
                work: Work::Check(pieces),
                ..
            }) => match pieces.load(Relaxed) {
                0 => State::CheckQueued,
                _ => State::Checking,
            },
            _ if self.next.contains(&Next::Verify) => State::CheckQueued,
            Run::Running(live) if self.meta().is_none() && live.control.is_some() => {
                State::Metadata
            }
            Run::Running(live) if !live.checked => match live.progress.checked_pieces {
                Some(1..) => State::Checking,
                Some(0) => State::CheckQueued,
                _ if self.is_complete() => State::SeedQueued,
                _ => State::DownloadQueued,
            },
            Run::Running(_) if self.is_complete() => State::Seeding,
            Run::Running(_) => State::Downloading,
            _ if self.record.standing == Standing::Paused => State::Paused,
            _ if self.trouble.as_ref().is_some_and(|t| t.stopped) => State::Paused,
            _ if self.is_complete() => State::SeedQueued,
            _ => State::DownloadQueued,
        }
    }

    /// Part of the check that is done.
    pub(super) fn checked(&self) -> Option<f64> {
        let done = match &self.run {
            Run::Busy(Busy {
                work: Work::Check(done),
                ..
            }) => done.load(Relaxed),
            Run::Running(live) if !live.checked => live.progress.checked_pieces?,
            _ => return None,
        };
        let all = self.meta()?.layout.piece_count();
        Some(f64::from(done) / f64::from(all.max(1)))
    }

    /// Part of the move that is done.
    #[allow(clippy::cast_precision_loss, reason = "a part is shown to a person")]
    pub(super) fn moving(&self) -> Option<f64> {
        let Run::Busy(Busy {
            work: Work::Move(done),
            ..
        }) = &self.run
        else {
            return None;
        };
        let all = self.extent.held.max(1) as f64;
        Some((done.load(Relaxed) as f64 / all).min(1.0))
    }

    /// What the .torrent file or the link says of itself, with the trackers that hold.
    pub(super) fn describe(&mut self, torrent_file: Option<PathBuf>) {
        let (own, web_seeds, magnet) = match &self.source {
            TorrentSource::Metainfo(meta) => {
                (meta.trackers.clone(), meta.web_seeds.clone(), meta.magnet())
            }
            TorrentSource::Magnet(magnet) => {
                (magnet.tiers(), magnet.web_seeds.clone(), magnet.to_string())
            }
        };
        self.about = Arc::new(About {
            comment: self.remarks.comment.clone(),
            creator: self.remarks.creator.clone(),
            created: self.remarks.created,
            magnet,
            torrent_file,
            web_seeds,
            trackers: self.options.trackers.clone().unwrap_or(own),
        });
    }
}
