//! The task that announces one torrent: joins [`schedule`](super::schedule) with the network.
//!
//! HTTP announces have 30 s in all, UDP ones 15 s; an answer's peers go out on a bounded channel. A tracker is named
//! by scheme, host and port in messages, because its path and query may hold a passkey.
//!
//! Difference from BEP 7: a tracker with addresses of both families is asked at one of them (UDP: IPv4 first, the next
//! when that one fails), so that `started` is said once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, warn};
use url::Url;

use super::announce::{AnnounceRequest, AnnounceResponse, Event, TrackerError, TransferCounts};
use super::exchange::{Clock, Exchange, UdpConnection};
use super::schedule::{Announce, Schedule, ScheduleConfig};
use super::tracker_row::{TrackerRow, unix_now};

/// Trackers that are told `stopped`. // guess: more than answer in any sane run
const MAX_STOPPED: usize = 8;

/// Announces under way at a time, in all torrents that share turns, and as many that say goodbye. // guess: a tenth of the
/// descriptors that a process has
const MAX_UNDER_WAY: usize = 100;

/// Turns of announces: what many torrents want to say at once, when a session begins or ends, is said bit by bit.
#[derive(Clone, Debug)]
pub struct AnnounceTurns {
    regular: Arc<Semaphore>,
    /// Apart, so that who ends need not wait for trackers that do not answer.
    last: Arc<Semaphore>,
}

impl Default for AnnounceTurns {
    fn default() -> Self {
        let turns = || Arc::new(Semaphore::new(MAX_UNDER_WAY));
        Self {
            regular: turns(),
            last: turns(),
        }
    }
}

/// What is announced, where, and the limits.
#[derive(Clone, Debug)]
pub struct AnnouncerConfig {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// Our id in this swarm.
    pub peer_id: [u8; 20],
    /// TCP port that we listen on.
    pub port: u16,
    /// Lets a tracker know us again; random.
    pub key: u32,
    /// Announce URLs by tier (BEP 12).
    pub tiers: Vec<Vec<String>>,
    /// BEP 27: stay with one tracker until it fails.
    pub private: bool,
    /// Peers asked for.
    pub numwant: u32,
    /// Seeds the order in tiers, the jitter and the transaction ids; random, or forged answers can be guessed.
    pub seed: u64,
    /// Waits and limits.
    pub schedule: ScheduleConfig,
    /// Time for one HTTP announce.
    pub http_deadline: Duration,
    /// Time for one UDP announce, all its addresses together.
    pub udp_deadline: Duration,
    /// Time for all `stopped` together.
    pub stop_deadline: Duration,
    /// Shared by the torrents of a session.
    pub turns: AnnounceTurns,
}

impl AnnouncerConfig {
    /// Defaults, with a random key and seed.
    pub fn new(
        info_hash: [u8; 20],
        peer_id: [u8; 20],
        port: u16,
        tiers: Vec<Vec<String>>,
        private: bool,
    ) -> Self {
        Self {
            info_hash,
            peer_id,
            port,
            key: rand::random(),
            tiers,
            private,
            numwant: 100, // guess: three times the neighbour table
            seed: rand::random(),
            schedule: ScheduleConfig::default(),
            http_deadline: Duration::from_secs(30), // guess: slow trackers answer within 10 s
            udp_deadline: Duration::from_secs(15),  // BEP 15's first wait
            stop_deadline: Duration::from_secs(4),  // guess: what a person waits for at the end
            turns: AnnounceTurns::default(),
        }
    }

    /// Checks the waits and the port.
    ///
    /// # Errors
    /// The field that is wrong, and how.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.port == 0 {
            return Err("port must be the TCP port that we listen on, not 0");
        }
        if self.http_deadline.is_zero() || self.udp_deadline.is_zero() {
            return Err("http_deadline and udp_deadline must be above 0");
        }
        self.schedule.validate()
    }
}

/// What the announcer knows, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceStatus {
    /// The tracker that answered last. When it changes, a private torrent must drop its peers (BEP 27).
    pub tracker: Option<String>,
    /// Announces answered.
    pub answered: u64,
    /// The last failure, one line that names the tracker; `None` after an answer.
    pub error: Option<String>,
    /// The tracker's warning.
    pub warning: Option<String>,
    /// Complete peers.
    pub seeders: Option<u64>,
    /// Incomplete peers.
    pub leechers: Option<u64>,
    /// Batches of peers dropped because nobody took them.
    pub batches_dropped: u64,
    /// Each tracker.
    pub trackers: Vec<TrackerRow>,
}

/// Commands to a running announcer. Dropping it ends the task without a `stopped`.
#[derive(Debug)]
pub struct AnnouncerHandle {
    commands: Arc<Commands>,
    status: watch::Receiver<AnnounceStatus>,
    task: Option<JoinHandle<()>>,
    stop_deadline: Duration,
}

impl AnnouncerHandle {
    /// The download has become complete. Set the counts' `left` to 0 first.
    pub fn completed(&self) {
        self.commands.completed.notify_one();
    }

    /// More peers are wanted: the next announce comes as early as the tracker and the floor allow.
    pub fn need_more_peers(&self) {
        self.commands.need_peers.notify_one();
    }

    /// Other trackers by tier from now on. Those that are not among them are told `stopped`, the others notice nothing.
    pub fn set_tiers(&self, tiers: Vec<Vec<String>>) {
        *self.commands.tiers() = Some(tiers);
        self.commands.retier.notify_one();
    }

    /// What the announcer knows; changes before and after every announce.
    pub fn status(&self) -> watch::Receiver<AnnounceStatus> {
        self.status.clone()
    }

    /// Says `stopped` to the trackers that answered `started` and ends the task, within
    /// [`AnnouncerConfig::stop_deadline`].
    pub async fn stop(mut self) {
        self.commands.stop.notify_one();
        if let Some(mut task) = self.task.take() {
            // The task keeps its own deadline; this one holds even if it does not.
            let slack = self.stop_deadline + Duration::from_secs(1);
            if tokio::time::timeout(slack, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for AnnouncerHandle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Debug, Default)]
struct Commands {
    completed: Notify,
    need_peers: Notify,
    stop: Notify,
    retier: Notify,
    tiers: Mutex<Option<Vec<Vec<String>>>>,
}

impl Commands {
    /// Trackers that are to take the place of those there are.
    fn tiers(&self) -> MutexGuard<'_, Option<Vec<Vec<String>>>> {
        self.tiers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts announcing at once, in a task of its own. `stats` is read at each announce; if it starts with nothing left,
/// `completed` is never said. Peers go to `out` in one batch an answer; a batch that does not fit is dropped.
pub fn spawn_announcer(
    config: AnnouncerConfig,
    stats: watch::Receiver<TransferCounts>,
    out: mpsc::Sender<Vec<SocketAddr>>,
) -> AnnouncerHandle {
    let commands = Arc::new(Commands::default());
    let (status_tx, status) = watch::channel(AnnounceStatus::default());
    let stop_deadline = config.stop_deadline;
    let task = Task {
        // Another stream than the schedule's: what is on the wire says nothing about the jitter.
        rng: ChaCha8Rng::seed_from_u64(config.seed ^ 0x7472_616e_7361_6374),
        clock: Clock::start(),
        connections: BTreeMap::new(),
        config,
        stats,
        out,
        status: status_tx,
        warned: false,
    };
    AnnouncerHandle {
        task: Some(tokio::spawn(task.run(commands.clone()))),
        commands,
        status,
        stop_deadline,
    }
}

struct Task {
    config: AnnouncerConfig,
    clock: Clock,
    rng: ChaCha8Rng,
    /// Connection ids by tracker; at most one a tracker.
    connections: BTreeMap<usize, UdpConnection>,
    stats: watch::Receiver<TransferCounts>,
    out: mpsc::Sender<Vec<SocketAddr>>,
    status: watch::Sender<AnnounceStatus>,
    /// Whether missing certificates were reported.
    warned: bool,
}

impl Task {
    async fn run(mut self, commands: Arc<Commands>) {
        let clock = self.clock;
        let mut schedule = self.schedule();
        self.show_all(&schedule);
        loop {
            if let Some(announce) = schedule.poll_announce(clock.now()) {
                self.show(announce.tracker, |row| {
                    row.asking = true;
                    row.next_announce = 0;
                });
                let exchange = self.exchange(&schedule, announce);
                let turn = self.config.turns.regular.clone();
                // most of the time there is none: it is to take no room in the task
                let mut exchange = Box::pin(async move {
                    let _turn = turn.acquire_owned().await;
                    exchange.run(clock).await
                });
                let done = loop {
                    tokio::select! {
                        biased;
                        () = commands.stop.notified() => {
                            let end = self.last_moment();
                            if announce.event == Event::Completed {
                                let _ = tokio::time::timeout_at(end, &mut exchange).await;
                            }
                            return self.stop(schedule, &commands, end).await;
                        }
                        () = commands.completed.notified() => schedule.handle_completed(clock.now()),
                        () = commands.retier.notified() => break None,
                        outcome = &mut exchange => break Some(outcome),
                    }
                };
                let Some((outcome, connection)) = done else {
                    self.retier(&mut schedule, &commands);
                    continue;
                };
                match connection {
                    Some(connection) => self.connections.insert(announce.tracker, connection),
                    None => self.connections.remove(&announce.tracker),
                };
                self.on_outcome(&mut schedule, announce, outcome);
                continue;
            }
            let due = schedule.poll_timeout().map(|at| clock.deadline(at));
            let wait = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = commands.stop.notified() => {
                    let end = self.last_moment();
                    return self.stop(schedule, &commands, end).await;
                }
                () = commands.completed.notified() => schedule.handle_completed(clock.now()),
                () = commands.need_peers.notified() => {
                    schedule.handle_need_peers();
                    self.show_next(&schedule);
                }
                () = commands.retier.notified() => self.retier(&mut schedule, &commands),
                () = wait => {}
            }
        }
    }

    /// The schedule of the trackers there are.
    fn schedule(&self) -> Schedule {
        let complete = self.stats.borrow().left == 0;
        Schedule::new(
            self.config.schedule.clone(),
            &self.config.tiers,
            self.config.private,
            complete,
            self.config.seed,
            self.clock.now(),
        )
    }

    /// Goes on with other trackers.
    fn retier(&mut self, schedule: &mut Schedule, commands: &Commands) {
        let Some(tiers) = commands.tiers().take() else {
            return;
        };
        self.config.tiers = tiers;
        let mut old = std::mem::replace(schedule, self.schedule());
        schedule.take_over(&mut old, self.clock.now());
        let farewell = self.farewell(&mut old);
        // nobody waits for it; it has its deadline
        tokio::spawn(tokio::time::timeout_at(self.last_moment(), farewell));
        self.connections.clear(); // they are by index
        self.show_all(schedule);
    }

    /// Shows the trackers there are now, with what was known of them.
    fn show_all(&self, schedule: &Schedule) {
        let rows = schedule.trackers();
        self.status.send_modify(|status| {
            let rows = rows.into_iter().enumerate().map(|(id, (tier, url))| {
                let announce = url.to_string();
                let old = (status.trackers.iter()).find(|row| row.announce == announce);
                let old = old.cloned().unwrap_or_default();
                TrackerRow {
                    id,
                    tier,
                    announce,
                    asking: false,
                    ..old
                }
            });
            status.trackers = rows.collect();
        });
        self.show_next(schedule);
    }

    /// Shows who is asked next, and when.
    fn show_next(&self, schedule: &Schedule) {
        let next = schedule.poll_timeout().zip(schedule.upcoming());
        let now = self.clock.now();
        self.status.send_modify(|status| {
            for row in &mut status.trackers {
                let at = next.filter(|(_, tracker)| *tracker == row.id);
                row.next_announce =
                    at.map_or(0, |(at, _)| unix_now() + at.saturating_since(now).as_secs());
            }
        });
    }

    fn show(&self, tracker: usize, change: impl FnOnce(&mut TrackerRow)) {
        self.status.send_modify(|status| {
            if let Some(row) = status.trackers.get_mut(tracker) {
                change(row);
            }
        });
    }

    /// When everything is to be said that is said at the end.
    fn last_moment(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.config.stop_deadline
    }

    /// The announce with the counts of this moment.
    fn exchange(&mut self, schedule: &Schedule, announce: Announce) -> Exchange {
        let url = schedule.url(announce.tracker).clone();
        let first: u32 = self.rng.random();
        let stopping = announce.event == Event::Stopped;
        let config = &self.config;
        Exchange {
            deadline: if url.scheme() == "udp" {
                config.udp_deadline
            } else {
                config.http_deadline
            },
            request: AnnounceRequest {
                info_hash: config.info_hash,
                peer_id: config.peer_id,
                port: config.port,
                key: config.key,
                numwant: if stopping { 0 } else { config.numwant },
                counts: *self.stats.borrow(),
                event: announce.event,
            },
            tracker_id: schedule.tracker_id(announce.tracker).map(<[u8]>::to_vec),
            connection: self.connections.get(&announce.tracker).copied(),
            transactions: [first, first ^ self.rng.random_range(1..=u32::MAX)],
            url,
        }
    }

    fn on_outcome(
        &mut self,
        schedule: &mut Schedule,
        announce: Announce,
        outcome: Result<AnnounceResponse, TrackerError>,
    ) {
        let name = display_name(schedule.url(announce.tracker));
        match outcome {
            Ok(answer) => {
                debug!(tracker = name, event = ?announce.event, peers = answer.peers.len(), "announced");
                schedule.handle_answer(&answer, self.clock.now());
                self.show(announce.tracker, |row| {
                    let few = |n: Option<u64>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                    row.ok = true;
                    row.message = answer.warning.clone().unwrap_or_default();
                    row.peers = answer.peers.len();
                    (row.seeders, row.leechers) = (few(answer.seeders), few(answer.leechers));
                });
                let dropped = !answer.peers.is_empty()
                    && matches!(self.out.try_send(answer.peers), Err(TrySendError::Full(_)));
                self.status.send_modify(|status| {
                    status.tracker = Some(name);
                    status.answered += 1;
                    status.error = None;
                    status.warning = answer.warning;
                    status.seeders = answer.seeders;
                    status.leechers = answer.leechers;
                    status.batches_dropped += u64::from(dropped);
                });
            }
            Err(error) => {
                if error == TrackerError::NoCertificates && !self.warned {
                    self.warned = true;
                    warn!("tracker {name}: {error}");
                } else {
                    debug!("tracker {name}: {error}");
                }
                schedule.handle_failure(self.clock.now());
                self.show(announce.tracker, |row| {
                    row.ok = false;
                    row.message = error.to_string();
                });
                let line = format!("tracker {name}: {error}");
                self.status.send_modify(|status| status.error = Some(line));
            }
        }
        self.show(announce.tracker, |row| {
            row.asking = false;
            row.last_announce = unix_now();
        });
        self.show_next(schedule);
    }

    /// Says `stopped`, and `completed` before it if that came just now: a download that ends with the last piece
    /// counts as one. Best effort: a tracker that does not hear it forgets us after its own interval.
    async fn stop(
        mut self,
        mut schedule: Schedule,
        commands: &Commands,
        end: tokio::time::Instant,
    ) {
        if commands.completed.notified().now_or_never().is_some() {
            schedule.handle_completed(self.clock.now());
        }
        let all = self.farewell(&mut schedule);
        if tokio::time::timeout_at(end, all).await.is_err() {
            debug!("a tracker did not answer to stopped in time");
        }
    }

    /// What is said last to the trackers of a schedule that ends.
    fn farewell(&mut self, schedule: &mut Schedule) -> impl Future<Output = ()> + use<> {
        let mut farewells: BTreeMap<usize, Vec<Exchange>> = BTreeMap::new();
        for announce in schedule.stop() {
            let exchange = self.exchange(schedule, announce);
            farewells
                .entry(announce.tracker)
                .or_default()
                .push(exchange);
        }
        let clock = self.clock;
        let said = farewells.into_values().take(MAX_STOPPED);
        let turns = self.config.turns.last.clone();
        let all = said.map(move |said| {
            let turn = turns.clone().acquire_owned();
            async move {
                let _turn = turn.await;
                // one after the other, or a tracker may hear `stopped` first
                for exchange in said {
                    let _ = exchange.run(clock).await;
                }
            }
        });
        futures::future::join_all(all).map(drop)
    }
}

/// Scheme, host and port: path and query may hold a passkey.
fn display_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}
