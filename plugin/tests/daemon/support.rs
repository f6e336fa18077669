//! A daemon in this process, a session that seeds to it, and torrents of a few kilobytes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chunkcast_bittorrent::daemon::config::{Config, Places};
use chunkcast_bittorrent::daemon::{
    Added, Change, Clock, Daemon, DaemonConfig, Event, InfoHash, NewSource, NewTorrent, Running,
    Settings, State, Summary, start,
};
use chunkcast_bittorrent::metadata::{CreateOptions, Metainfo, create};
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Session, SessionConfig, TorrentEvent, TorrentHandle,
    TorrentSource,
};
use chunkcast_compat_tests::{Scratch, noise, scratch, write};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};

/// A test that waits longer than that has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// When clocks that are set begin: a Monday, 12:00 UTC.
pub(crate) const NOON: u64 = 1_700_481_600;

/// A session that knows nobody but those it is told of.
pub(crate) fn quiet() -> SessionConfig {
    SessionConfig {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        index: IndexUse::Client,
        trackers: false,
        dht: false,
        lsd: false,
        map_ports: None,
        ..SessionConfig::default()
    }
}

/// Settings without limits.
pub(crate) fn settings(dir: &Path) -> Settings {
    Settings {
        download_dir: dir.join("downloads"),
        active_downloads: None,
        ..Config::defaults(&Places::of_system()).settings
    }
}

/// A daemon whose directories are one of a test's own.
pub(crate) struct Rig {
    pub(crate) dir: Scratch,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) session: SessionConfig,
    running: Option<Running>,
    /// Seconds since it started.
    passed: AtomicU64,
}

impl Rig {
    /// Starts one with a clock that is set.
    pub(crate) async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut rig = Self::prepared(change);
        rig.start().await;
        rig
    }

    /// One that has not started.
    pub(crate) fn prepared(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = scratch();
        let mut settings = settings(dir.path());
        change(&mut settings);
        Self {
            clock: Clock::set_to(NOON),
            settings,
            session: quiet(),
            running: None,
            passed: AtomicU64::new(0),
            dir,
        }
    }

    pub(crate) fn config(&self) -> DaemonConfig {
        DaemonConfig {
            clock: self.clock.clone(),
            allowed: vec![self.path("allowed")],
            ..DaemonConfig::new(
                self.session.clone(),
                self.settings.clone(),
                self.path("state"),
            )
        }
    }

    pub(crate) async fn start(&mut self) {
        let running = start(self.config()).await.expect("a daemon");
        self.running = Some(running);
        self.passed = AtomicU64::new(0);
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        &self.running().daemon
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds a torrent that fetches from `peers`.
    pub(crate) async fn add(&self, content: &Content, peers: &[SocketAddr]) -> InfoHash {
        self.add_with(content, peers, |_| {}).await.info_hash
    }

    pub(crate) async fn add_with(
        &self,
        content: &Content,
        peers: &[SocketAddr],
        change: impl FnOnce(&mut NewTorrent),
    ) -> Added {
        let mut new = NewTorrent {
            change: Change {
                peers: peers.to_vec(),
                ..Change::default()
            },
            ..NewTorrent::new(NewSource::Torrent(content.torrent.clone()))
        };
        change(&mut new);
        self.daemon().add(new).await.expect("added")
    }

    pub(crate) async fn change(&self, hash: InfoHash, change: Change) {
        let changed = self.daemon().change(hash, change).await;
        changed.expect("changed");
    }

    /// Tells a torrent of peers.
    pub(crate) async fn meet(&self, hash: InfoHash, peers: &[SocketAddr]) {
        let change = Change {
            peers: peers.to_vec(),
            ..Change::default()
        };
        self.change(hash, change).await;
    }

    /// A file that the store has of a torrent.
    pub(crate) fn kept(&self, content: &Content, kind: &str) -> PathBuf {
        let name = format!("{}.{kind}", content.hash);
        self.path("state/torrents").join(name)
    }

    pub(crate) fn summary(&self, hash: InfoHash) -> Arc<Summary> {
        let listing = self.daemon().list();
        let found = listing.torrents.iter().find(|t| t.info_hash == hash);
        found.expect("it is here").clone()
    }

    /// Waits until a torrent is as `when` says.
    pub(crate) async fn until(
        &self,
        what: &str,
        hash: InfoHash,
        when: impl Fn(&Summary) -> bool,
    ) -> Arc<Summary> {
        let begun = std::time::Instant::now();
        loop {
            let listing = self.daemon().list();
            let found = listing.torrents.iter().find(|t| t.info_hash == hash);
            if let Some(summary) = found.filter(|s| when(s)) {
                return summary.clone();
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "waited for {what} in vain: {found:?}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_state(&self, hash: InfoHash, state: State) -> Arc<Summary> {
        let what = format!("{state:?}");
        self.until(&what, hash, |s| s.state == state).await
    }

    /// Where peers connect to.
    pub(crate) async fn addr(&self) -> SocketAddr {
        let facts = self.daemon().facts().await.expect("it runs");
        SocketAddr::from(([127, 0, 0, 1], facts.peer_port.expect("it listens")))
    }

    /// Moves the clock on, and waits until the daemon has seen it.
    pub(crate) async fn pass(&self, time: Duration) {
        let passed = self.passed.fetch_add(time.as_secs(), Relaxed) + time.as_secs();
        self.clock.advance(time);
        let seen = || self.daemon().list().totals.session.seconds >= passed;
        wait("time passes", seen).await;
    }
}

/// Waits for an event.
pub(crate) async fn until_event(
    events: &mut broadcast::Receiver<Event>,
    which: impl Fn(&Event) -> bool,
) -> Event {
    let found = async {
        loop {
            match events.recv().await {
                Ok(event) if which(&event) => return event,
                Err(broadcast::error::RecvError::Closed) => panic!("the daemon has ended"),
                Ok(_) | Err(_) => {}
            }
        }
    };
    timeout(DEADLINE, found).await.expect("it happens")
}

/// A torrent and its data.
pub(crate) struct Content {
    pub(crate) torrent: Bytes,
    pub(crate) meta: Arc<Metainfo>,
    pub(crate) hash: InfoHash,
    /// The directory with its file or folder.
    pub(crate) at: Scratch,
}

impl Content {
    /// A torrent of one file of `len` bytes in pieces of 16 KiB.
    pub(crate) fn file(seed: u64, len: usize) -> Self {
        let at = scratch();
        let path = at.path().join(format!("file-{seed}.bin"));
        write(&path, &noise(seed, len));
        Self::of(at, &path, CreateOptions::default())
    }

    /// The same, private (BEP 27).
    pub(crate) fn private(seed: u64, len: usize) -> Self {
        let Self { at, meta, .. } = Self::file(seed, len);
        let path = at.path().join(&meta.layout.name);
        let options = CreateOptions {
            private: true,
            ..CreateOptions::default()
        };
        Self::of(at, &path, options)
    }

    /// A torrent of a folder with these files.
    pub(crate) fn folder(seed: u64, files: &[(&str, usize)]) -> Self {
        let at = scratch();
        let path = at.path().join(format!("folder-{seed}"));
        for (n, (name, len)) in (1000..).zip(files) {
            write(&path.join(name), &noise(seed + n, *len));
        }
        Self::of(at, &path, CreateOptions::default())
    }

    fn of(at: Scratch, path: &Path, options: CreateOptions) -> Self {
        let options = CreateOptions {
            piece_length: Some(16 << 10),
            comment: Some("of a test".into()),
            ..options
        };
        let created = create(path, &options, |_, _| {}).expect("a torrent");
        Self {
            torrent: created.bytes.into(),
            hash: InfoHash(created.info_hash),
            meta: Arc::new(created.metainfo),
            at,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.meta.layout.name
    }

    pub(crate) fn size(&self) -> u64 {
        self.meta.layout.total_length
    }

    /// Puts the data where a torrent with this directory has it.
    pub(crate) fn copy_to(&self, dir: &Path) {
        for file in &self.meta.layout.files {
            let bytes = fs::read(self.at.path().join(&file.path)).expect("the data");
            let path = dir.join(&file.path);
            write(&path, &bytes);
            // what has just changed vouches for nothing
            let long_ago = SystemTime::now() - Duration::from_secs(3600);
            set_modified(&path, long_ago);
        }
    }

    /// Panics unless the data below `dir` is what it is to be.
    pub(crate) fn assert_at(&self, dir: &Path) {
        for file in &self.meta.layout.files {
            let read = |dir: &Path| fs::read(dir.join(&file.path));
            let (ours, there) = (read(self.at.path()), read(dir));
            let there = there.unwrap_or_else(|e| panic!("{:?}: {e}", file.path));
            assert!(there == ours.expect("the data"), "{:?} differs", file.path);
        }
    }
}

/// A session that has all of these, complete.
pub(crate) struct Seed {
    pub(crate) session: Session,
    _torrents: Vec<TorrentHandle>,
}

impl Seed {
    pub(crate) async fn of(contents: &[&Content]) -> Self {
        Self::with(quiet(), contents).await
    }

    pub(crate) async fn with(config: SessionConfig, contents: &[&Content]) -> Self {
        let session = Session::start(config).await.expect("a session");
        let mut torrents = Vec::new();
        for content in contents {
            let add = AddTorrent {
                seed_only: true,
                ..AddTorrent::new(
                    TorrentSource::Metainfo(content.meta.clone()),
                    DataPath::OutputDir(content.at.path().to_path_buf()),
                )
            };
            torrents.push(session.add(add).await.expect("a new torrent"));
        }
        Self {
            session,
            _torrents: torrents,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.session.listen_addr()
    }
}

/// A session that fetches a torrent from `peer`, and has it complete when this returns.
pub(crate) async fn fetch(
    content: &Content,
    peer: SocketAddr,
) -> (Session, TorrentHandle, Scratch) {
    let session = Session::start(quiet()).await.expect("a session");
    let dir = scratch();
    let add = AddTorrent {
        peers: vec![peer],
        ..AddTorrent::new(
            TorrentSource::Metainfo(content.meta.clone()),
            DataPath::OutputDir(dir.path().to_path_buf()),
        )
    };
    let mut torrent = session.add(add).await.expect("a new torrent");
    let complete = async {
        loop {
            match torrent.next().await.expect("it goes on") {
                TorrentEvent::Complete(_) => return,
                TorrentEvent::Failed(e) => panic!("{e}"),
                _ => {}
            }
        }
    };
    timeout(DEADLINE, complete).await.expect("it is fetched");
    (session, torrent, dir)
}

/// Changes some bytes of a file.
pub(crate) fn spoil(path: &Path, at: u64) {
    let file = File::options().write(true).open(path).expect("a file");
    file.write_all_at(b"something else", at).expect("written");
}

/// Changes some bytes of a file so that nobody who does not read it can tell.
pub(crate) fn spoil_unseen(path: &Path, at: u64) {
    let then = fs::metadata(path).expect("a file").modified();
    spoil(path, at);
    set_modified(path, then.expect("a time"));
}

pub(crate) fn set_modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(time).expect("set");
}

/// Waits until something is so.
pub(crate) async fn wait(what: &str, so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
