//! One torrent's task: swarm, connections, storage, discovery and the directory meet in one loop.
//!
//! The swarm decides; this task carries its outputs out and its inputs in. Nothing here blocks: disk and hashing run
//! on blocking threads, dials and lookups in tasks of their own, and each reports back through one channel.

mod carry;
mod commands;
mod disk;
mod lookups;
mod memory;
mod numbers;
mod pacing;
mod reads;
mod reporting;
mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::{Candidate, Source};
use chunkcast::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::disk::Disk;
use self::lookups::{Answer, Lookups};
use self::memory::Memory;
use self::numbers::Numbers;
use self::reads::Run;
use self::reporting::Reports;
use self::web::WebSeeds;
use super::control::Command;
use super::discover::{Discovery, PeersFrom};
use super::events::{Progress, TorrentError, TorrentEvent};
use super::{AddTorrent, Directory, Shared, TorrentSource, hex};
use crate::limits::{Limiters, Permit, Rates, Room};
use crate::metadata::{Magnet, Metainfo, Priority};
use crate::storage::{Mode, PieceBuffers, PieceResult, Resume, Storage, StorageError};
use crate::swarm::{ConnId, Swarm, SwarmConfig, max_buffered};
use crate::webseed;
use crate::wire::codec::FrameLimits;
use crate::wire::conn::{ConnEvent, Outbox};
use crate::wire::connect::{DialError, PeerStream};

/// How long the end waits for the disk, at the same time for trackers, and for a listener that is behind.
const WAIT_AT_END: Duration = Duration::from_secs(5); // guess: what a person waits for

/// How long the end waits for the index node's last numbers.
const ANSWER_AT_END: Duration = Duration::from_secs(1); // guess

/// With fewer connections than this an incomplete torrent asks for more peers. // paper 5.1: four servers in parallel
const FEW_PEERS: usize = 4;

/// What became of a dial; in a box, as every message takes the room of the largest.
type Dialled = Box<Result<(PeerStream, Permit), DialError>>;

/// What reaches a torrent's task from outside its connections.
pub(crate) enum Input {
    /// A peer connected to us.
    Accepted(Box<(PeerStream, Permit)>),
    /// Our dial ended.
    Dialled(SocketAddr, Source, Dialled),
    /// A tracker or the DHT named peers.
    Peers(PeersFrom, Vec<SocketAddr>),
    /// The directory answered, or did not.
    Answer(Box<Answer>),
    /// A piece, with these blocks, was hashed and, if it was right, written.
    Piece(u32, Arc<[Bytes]>, PieceResult),
    /// There is memory for another piece.
    Memory(Room),
    /// Blocks for an upload were read.
    Blocks(Run, Result<Bytes, StorageError>),
    /// Files are there and existing data has been checked.
    Checked(Box<Result<(Storage, ChunkSet), StorageError>>),
    /// All is on disk.
    Finalized(Result<(), StorageError>),
    /// A web seed's task ended.
    WebSeed(ConnId, webseed::End),
    /// Somebody asks for something.
    Command(Command),
}

/// Whether a torrent is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Not yet.
    No,
    /// Now.
    Now,
    /// Now, and what need not be hashed at the next start is asked for.
    Saved,
}

/// A connection's way out and its place in the global budget; a web seed's has a place for each of its own.
struct Conn {
    outbox: Outbox,
    /// Whom it is with; `None`: a web seed.
    remote: Option<SocketAddr>,
    _permits: Vec<Permit>,
}

/// The state of one torrent's task.
pub(crate) struct Torrent {
    shared: Arc<Shared>,
    add: AddTorrent,
    info_hash: [u8; 20],
    swarm: Swarm,
    meta: Option<Arc<Metainfo>>,
    storage: Option<Storage>,
    wanted: ChunkSet,
    /// How much each file is wanted, by index; files behind the end are normal.
    priorities: Vec<Priority>,
    /// Blocks of unfinished pieces, once the pieces are known.
    buffers: Option<PieceBuffers>,
    conns: BTreeMap<ConnId, Conn>,
    web: WebSeeds,
    /// Its own rate limits.
    limiters: Limiters,
    /// The rates of all torrents do not hold for it.
    alone: Arc<AtomicBool>,
    /// The number of the blocklist that its connections were held against.
    blocklists: u64,
    /// The rates that the swarm knows of.
    paced: Rates,
    next_conn: u64,
    input: mpsc::Sender<Input>,
    wires: mpsc::Sender<(ConnId, ConnEvent)>,
    wires_in: Option<mpsc::Receiver<(ConnId, ConnEvent)>>,
    events: mpsc::Sender<Box<TorrentEvent>>,
    /// Dials, lookups, reads: ended without ado.
    tasks: JoinSet<()>,
    /// Pieces on their way to the disk: waited for at the end.
    writes: JoinSet<()>,
    discovery: Discovery,
    lookups: Lookups,
    reports: Reports,
    numbers: Numbers,
    /// Pieces of existing data that have been checked, while that goes on.
    checked_pieces: Option<Arc<AtomicU32>>,
    epoch: tokio::time::Instant,
    idle_since: tokio::time::Instant,
    private: bool,
    failed: bool,
    /// A failure that nobody has had room to hear of yet.
    last_word: Option<Box<TorrentEvent>>,
    read_failed: bool,
    /// What the disk refused.
    disk: Disk,
    /// What open pieces may take of the memory of all torrents.
    memory: Memory,
}

impl Torrent {
    /// A torrent that has not begun.
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut add: AddTorrent,
        input: mpsc::Sender<Input>,
        events: mpsc::Sender<Box<TorrentEvent>>,
        limiters: Limiters,
    ) -> Self {
        let paced = pacing::rates(&shared, &limiters, false);
        let info_hash = add.source.info_hash();
        let private = add.source.is_private();
        let (wires, wires_in) = mpsc::channel(shared.config.inbox);
        let now = tokio::time::Instant::now();
        let config = SwarmConfig {
            listen_port: shared.listen.port(),
            index_port: shared
                .index
                .as_ref()
                .and_then(super::IndexNode::public_port),
            pex: shared.config.pex,
            private,
            client: pacing::client_config(&shared.config, paced),
            limits: pacing::swarm_limits(paced),
            ..SwarmConfig::new(info_hash, shared.peer_id)
        };
        let mut swarm = Swarm::new(config, rand::random(), Instant::ZERO);
        swarm.set_own_addrs(&shared.addrs.iter().collect::<Vec<_>>());
        Self {
            swarm,
            discovery: Discovery::new(shared.clone(), info_hash, input.clone()),
            lookups: Lookups::default(),
            reports: Reports::new(now),
            numbers: Numbers::default(),
            checked_pieces: None,
            buffers: None,
            meta: None,
            storage: None,
            wanted: ChunkSet::empty(0),
            priorities: std::mem::take(&mut add.priorities),
            conns: BTreeMap::new(),
            web: WebSeeds::default(),
            limiters,
            alone: Arc::default(),
            blocklists: 0,
            paced,
            next_conn: 0,
            tasks: JoinSet::new(),
            writes: JoinSet::new(),
            epoch: now,
            idle_since: now,
            failed: false,
            last_word: None,
            read_failed: false,
            disk: Disk::default(),
            memory: Memory::default(),
            wires_in: Some(wires_in),
            shared,
            add,
            info_hash,
            input,
            wires,
            events,
            private,
        }
    }

    /// Runs until it is stopped or fails; returns the last numbers.
    pub(crate) async fn run(
        mut self: Box<Self>,
        mut inbox: mpsc::Receiver<Input>,
        mut stopped: watch::Receiver<Stop>,
    ) -> (Progress, Option<Resume>) {
        let mut ending = self.shared.ending.subscribe();
        let mut wires = self.wires_in.take().expect("run once");
        // armed anew only when the time changes: most inputs leave it as it is
        let timer = tokio::time::sleep_until(self.epoch);
        tokio::pin!(timer);
        let report = tokio::time::sleep_until(self.epoch);
        tokio::pin!(report);
        self.begin();
        self.drain();
        while !self.failed {
            let wake = self
                .swarm
                .poll_timeout()
                .map(|at| self.epoch + Duration::from_micros(at.as_micros()));
            if let Some(at) = wake.filter(|at| *at != timer.deadline()) {
                timer.as_mut().reset(at);
            }
            self.plan_report();
            if self.reports.due() != report.deadline() {
                report.as_mut().reset(self.reports.due());
            }
            let retry = self.disk.retry_at();
            tokio::select! {
                Some((conn, event)) = wires.recv() => {
                    self.on_wire(conn, event);
                    // what else has come in meanwhile, before outputs are drained
                    for _ in 0..64 {
                        let Ok((conn, event)) = wires.try_recv() else { break };
                        self.on_wire(conn, event);
                    }
                }
                Some(input) = inbox.recv() => self.on_input(input),
                () = &mut timer, if wake.is_some() => {
                    let now = self.now();
                    self.swarm.handle_timeout(now);
                }
                () = sleep_until(retry), if retry.is_some() => self.retry_disk(),
                () = &mut report => self.report(),
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                Some(written) = self.writes.join_next(), if !self.writes.is_empty() => {
                    // without its result the piece would be waited for for ever
                    if let Some(panic) = written.err().and_then(|e| e.try_into_panic().ok()) {
                        std::panic::resume_unwind(panic);
                    }
                }
                _ = stopped.wait_for(|s| *s != Stop::No) => break,
                _ = ending.wait_for(|ends| *ends) => break,
            }
            self.drain();
        }
        drop(inbox);
        let saved = !self.failed && *stopped.borrow() == Stop::Saved;
        self.end(saved).await
    }

    /// The time as the swarm knows it.
    fn now(&self) -> Instant {
        let micros = self.epoch.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn begin(&mut self) {
        let manual: Vec<SocketAddr> = self.add.peers.clone();
        match self.add.source.clone() {
            TorrentSource::Metainfo(meta) => self.on_metainfo(meta),
            TorrentSource::Magnet(magnet) => self.begin_magnet(&magnet),
        }
        self.candidates(PeersFrom::User, &manual);
    }

    fn begin_magnet(&mut self, magnet: &Magnet) {
        let tiers = self.add.trackers.clone();
        let tiers = tiers.unwrap_or_else(|| magnet.tiers());
        self.discovery.start_public(tiers, None);
        self.discovery.resolve_peers(&magnet.peers);
    }

    /// The metainfo is known: look at the disk.
    fn on_metainfo(&mut self, meta: Arc<Metainfo>) {
        let pieces = meta.layout.piece_count();
        self.private = meta.private;
        self.wanted = ChunkSet::full(pieces);
        if !self.add.metadata_only
            && let Err(reason) = self.select(&meta.layout)
        {
            let name = meta.layout.name.clone();
            return self.fail(TorrentError::NothingSelected { name, reason });
        }
        if self.private {
            self.shared.torrents().set_private(&self.info_hash);
            self.discovery.stop_public();
            if let Some(index) = &self.shared.index {
                Directory::withdraw(index, super::object_id(&self.info_hash), None);
            }
        }
        self.numbers
            .start(&meta.layout, &self.wanted, &ChunkSet::empty(pieces));
        self.emit(TorrentEvent::Metadata(meta.clone()));
        self.meta = Some(meta.clone());
        if self.add.metadata_only {
            return;
        }
        let layout = meta.layout.clone();
        let (data, config) = (self.add.data.clone(), self.shared.config.storage.clone());
        let mode = if self.add.seed_only {
            Mode::SeedOnly
        } else {
            Mode::Download
        };
        let (input, limits) = (self.input.clone(), self.shared.limits.clone());
        let files = self.shared.files.clone();
        let resume = self.add.resume.take();
        let counter = Arc::new(AtomicU32::new(0));
        self.checked_pieces = Some(counter.clone());
        self.tasks.spawn(async move {
            let checked = async {
                // a torrent can have a hundred thousand files to look at
                let open = move || Storage::open_among(layout, data.target(), mode, config, &files);
                let opened = tokio::task::spawn_blocking(open).await;
                let storage = opened.unwrap_or(Err(StorageError::Stopped))?;
                let look = storage.look(resume).await?;
                if let Some(held) = look.known().cloned() {
                    return Ok((storage, held));
                }
                let _place = limits.check().await;
                let note = move |done, _| counter.store(done, Relaxed);
                let held = storage.check(look, note).await?;
                Ok((storage, held))
            };
            let _ = input.send(Input::Checked(Box::new(checked.await))).await;
        });
    }

    /// Existing data has been checked: the swarm may begin.
    fn on_checked(&mut self, storage: Storage, held: ChunkSet) {
        let Some(meta) = self.meta.clone() else {
            return;
        };
        self.checked_pieces = None;
        if self.add.seed_only && !held.is_full() {
            let path = self.add.data.path().display().to_string();
            return self.fail(TorrentError::Incomplete {
                name: meta.layout.name.clone(),
                path,
                held: held.count(),
                total: held.len(),
            });
        }
        let layout = storage.layout().clone();
        let most = max_buffered(&crate::swarm::Limits::default(), layout.piece_length);
        self.buffers = Some(PieceBuffers::new(layout, most));
        self.storage = Some(storage);
        let now = self.now();
        self.idle_since = tokio::time::Instant::now();
        for conn in self.conns.values() {
            conn.outbox.set_limits(FrameLimits::for_pieces(held.len()));
        }
        self.numbers.start(&meta.layout, &self.wanted, &held);
        // from now on it asks for memory before it begins a piece
        self.swarm.set_memory(0, now);
        self.swarm
            .set_metainfo(meta.clone(), held, self.wanted.clone(), now);
        self.begin_web_seeds(&meta);
        let progress = self.progress();
        self.emit(TorrentEvent::Checked(progress));
        let left = self.numbers.left();
        if matches!(self.add.source, TorrentSource::Metainfo(_)) {
            let tiers = self.add.trackers.clone();
            let tiers = tiers.unwrap_or_else(|| meta.trackers.clone());
            self.discovery.start(tiers, meta.private, left);
        } else {
            self.discovery.set_left(left);
        }
    }

    fn on_input(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Accepted(accepted) => {
                let (peer, permit) = *accepted;
                self.connected(peer, permit, Source::Incoming, false);
            }
            Input::Dialled(addr, source, dialled) => match *dialled {
                Ok((peer, permit)) => self.connected(peer, permit, source, true),
                Err(e) => {
                    tracing::trace!("dial: {e}");
                    self.swarm.handle_dial_failed(addr, now);
                }
            },
            Input::Peers(from, addrs) => self.candidates(from, &addrs),
            Input::Answer(answer) => self.on_answer(&answer),
            Input::Piece(piece, blocks, outcome) => self.on_piece(piece, blocks, outcome),
            Input::Memory(room) => self.on_memory(room),
            Input::Blocks(run, data) => self.on_blocks(&run, data),
            Input::Checked(checked) => match *checked {
                Ok((storage, held)) => self.on_checked(storage, held),
                Err(e) => self.fail(TorrentError::Disk(e.to_string())),
            },
            Input::Finalized(Err(e)) => self.on_unfinished(&e),
            Input::Finalized(Ok(())) => {
                self.resume();
                let progress = self.progress();
                self.discovery.count(self.numbers.counts());
                self.discovery.completed();
                self.emit(TorrentEvent::Complete(progress));
            }
            Input::WebSeed(conn, end) => self.on_web_seed_end(conn, end),
            Input::Command(command) => self.on_command(command),
        }
    }

    /// Peers that were named, as far as they may be dialled.
    fn candidates(&mut self, from: PeersFrom, addrs: &[SocketAddr]) {
        if self.private && matches!(from, PeersFrom::Dht | PeersFrom::Lsd | PeersFrom::Pex) {
            return;
        }
        let source = from.source();
        let list: Vec<Candidate> = addrs
            .iter()
            .filter(|a| self.discovery.acceptable(**a, from))
            .map(|a| Candidate {
                addrs: vec![*a],
                source,
                apart: None,
                matched: 0,
                load: 0,
                reachable: true,
            })
            .collect();
        if !list.is_empty() {
            let now = self.now();
            self.swarm.handle_candidates(&list, now);
        }
    }

    /// Stops for good with an error.
    fn fail(&mut self, error: TorrentError) {
        self.failed = true;
        if let Err(mpsc::error::TrySendError::Full(event)) =
            self.events.try_send(Box::new(TorrentEvent::Failed(error)))
        {
            self.last_word.get_or_insert(event);
        }
    }

    /// Tells whoever listens; a listener that does not keep up loses progress lines, never an end.
    fn emit(&mut self, event: TorrentEvent) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(Box::new(event))
            && !matches!(*event, TorrentEvent::Progress(_))
        {
            let events = self.events.clone();
            self.tasks.spawn(async move {
                let _ = events.send(event).await;
            });
        }
    }

    /// Every now and then: numbers, and whether patience is at its end.
    fn report(&mut self) {
        self.pace();
        self.end_blocked();
        self.tell_progress();
        self.share_memory();
        self.discovery.count(self.numbers.counts());
        self.fill_web_seeds();
        if self.peer_count() < FEW_PEERS && !self.swarm.is_complete() {
            self.discovery.need_more_peers();
        }
        let dialable = self.shared.index.as_ref().and_then(Directory::dialable);
        if let Some(reachable) = dialable.filter(|_| !self.private) {
            let now = self.now();
            self.swarm.set_reachable(reachable, now);
        }
        let served = self.peer_count() > 0 || self.web.answer();
        if served && self.meta.is_some() {
            self.idle_since = tokio::time::Instant::now();
        }
        let Some(patience) = self.add.patience else {
            return;
        };
        let checking = self.meta.is_some() && self.storage.is_none();
        if checking
            || self.disk.is_paused()
            || self.swarm.is_complete()
            || self.idle_since.elapsed() < patience
        {
            return;
        }
        let error = match &self.meta {
            Some(meta) => TorrentError::NoPeers {
                name: meta.layout.name.clone(),
                waited: patience,
                advice: self.advice(),
            },
            None => TorrentError::NoMetadata {
                info_hash: hex(&self.info_hash),
                waited: patience,
                advice: self.advice(),
            },
        };
        self.fail(error);
    }

    /// What somebody can do who waited for peers in vain.
    fn advice(&self) -> String {
        if self.private {
            return "it is private, so only its trackers name peers: check those, or name a peer with --peer".into();
        }
        let bootstrap = &self.shared.config.bootstrap;
        let silent = (self.shared.index.as_ref()).is_some_and(|index| !index.is_joined());
        if silent && !bootstrap.is_empty() {
            let named: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
            return format!(
                "no index node answered at {} (--bootstrap): {}",
                named.join(", "),
                super::unanswered(&self.shared.config.index_settings.network)
            );
        }
        "name an index node with --bootstrap or a peer with --peer, or wait longer with --timeout"
            .into()
    }

    /// An orderly end: out of the directory, stopped at the tracker, connections closed.
    async fn end(mut self: Box<Self>, saved: bool) -> (Progress, Option<Resume>) {
        let now = self.now();
        self.swarm.shutdown(now);
        if let Some(index) = &self.shared.index {
            Directory::withdraw(index, super::object_id(&self.info_hash), None);
            let traffic = Directory::traffic(index);
            let traffic = tokio::time::timeout(ANSWER_AT_END, traffic).await;
            self.numbers.directory = traffic.ok().flatten();
        }
        let progress = self.progress();
        self.discovery.count(self.numbers.counts());
        self.conns.clear();
        self.tasks.abort_all();
        // pieces on their way to the disk are written, so that a restart does not fetch them again
        let (discovery, writes) = (&mut self.discovery, &mut self.writes);
        let writing = async { while writes.join_next().await.is_some() {} };
        let telling = async {
            if let Some(event) = self.last_word.take() {
                let _ = self.events.send(event).await;
            }
        };
        let (storage, held) = (self.storage.as_ref().filter(|_| saved), self.swarm.held());
        let (_, resume, _) = tokio::join!(
            discovery.stop(),
            async {
                tokio::time::timeout(WAIT_AT_END, writing).await.ok()?;
                storage?.last_save_point(held.clone()).await.ok()
            },
            async { tokio::time::timeout(WAIT_AT_END, telling).await.ok() },
        );
        (progress, resume)
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
