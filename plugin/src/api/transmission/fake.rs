//! A daemon that shows what it is told to and remembers what it is asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use serde_json::Value;

use super::answer;
use crate::daemon::{
    About, Added, Change, Command, Daemon, DaemonError, Detail, Facts, FileRow, InfoHash, Limit,
    Listing, NewTorrent, Options, Priority, QueueMove, Removed, Schedule, Settings, SettingsChange,
    Space, State, Summary, TrackerRow, channel,
};
use crate::limits::Rates;

/// A second of 2026.
pub(super) const THEN: u64 = 1_795_000_000;

/// What the daemon was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    Add(NewTorrent),
    Remove(InfoHash, bool),
    Start(InfoHash, bool),
    Pause(InfoHash),
    Verify(InfoHash),
    Reannounce(InfoHash),
    Relocate(InfoHash, PathBuf, bool),
    Change(InfoHash, Change),
    Queue(Vec<InfoHash>, QueueMove),
    Settings(SettingsChange),
    UpdateBlocklist,
    Shutdown,
}

/// The fake and its handle.
pub(super) struct Fake {
    pub(super) daemon: Daemon,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// One with these torrents.
    pub(super) fn new(torrents: Vec<Summary>, settings: Settings) -> Self {
        let (daemon, mut inbox) = channel();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let listing = Listing {
            torrents: torrents.into_iter().map(Arc::new).collect(),
            removed: vec![removed(41, u64::MAX), removed(40, THEN)],
            ..Listing::default()
        };
        inbox.listing.send_replace(Arc::new(listing));
        let note = asked.clone();
        tokio::spawn(async move {
            while let Some(command) = inbox.commands.recv().await {
                let seen = serve(command, &inbox.listing.borrow(), &settings);
                note.lock().expect("not poisoned").extend(seen);
            }
        });
        Self { daemon, asked }
    }

    /// What it was asked to do since the last time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().expect("not poisoned"))
    }

    /// The answer to a request.
    pub(super) async fn call(&self, request: Value) -> Value {
        self.raw(request.to_string().as_bytes()).await
    }

    /// The same for any bytes.
    pub(super) async fn raw(&self, request: &[u8]) -> Value {
        let answer = answer(&self.daemon, request, "the-id").await;
        serde_json::from_slice(&answer).expect("an answer is JSON")
    }
}

fn removed(id: u32, at: u64) -> Removed {
    let info_hash = hash(id);
    Removed { id, info_hash, at }
}

/// The infohash of a torrent of that id.
pub(super) fn hash(id: u32) -> InfoHash {
    InfoHash([u8::try_from(id).expect("small"); 20])
}

/// Answers; returns what it was asked to do.
fn serve(command: Command, listing: &Listing, settings: &Settings) -> Option<Asked> {
    let known = |which: InfoHash| {
        let found = listing.torrents.iter().find(|t| t.info_hash == which);
        found.cloned().ok_or(DaemonError::Unknown(which))
    };
    match command {
        Command::Add(new, reply) => {
            let added = Added {
                id: 9,
                info_hash: hash(9),
                name: "nine".to_owned(),
                duplicate: new.dir == Some("/again".into()),
            };
            let _ = reply.send(Ok(added));
            Some(Asked::Add(*new))
        }
        Command::Remove(which, data, reply) => {
            let _ = reply.send(known(which).map(|_| ()));
            Some(Asked::Remove(which, data))
        }
        Command::Start(which, now, reply) => {
            let _ = reply.send(known(which).map(|_| ()));
            Some(Asked::Start(which, now))
        }
        Command::Pause(which, reply) => {
            let _ = reply.send(known(which).map(|_| ()));
            Some(Asked::Pause(which))
        }
        Command::Verify(which, reply) => {
            let _ = reply.send(known(which).map(|_| ()));
            Some(Asked::Verify(which))
        }
        Command::Reannounce(which, reply) => {
            let _ = reply.send(known(which).map(|_| ()));
            Some(Asked::Reannounce(which))
        }
        Command::Relocate(which, dir, move_data, reply) => {
            let outcome = match dir.starts_with("/outside") {
                true => Err(DaemonError::Outside(dir.clone())),
                false => Ok(()),
            };
            let _ = reply.send(outcome);
            Some(Asked::Relocate(which, dir, move_data))
        }
        Command::Change(which, change, reply) => {
            let _ = reply.send(known(which).map(|_| ()));
            Some(Asked::Change(which, *change))
        }
        Command::QueueMove(which, to, reply) => {
            let _ = reply.send(Ok(()));
            Some(Asked::Queue(which, to))
        }
        Command::Detail(which, reply) => {
            let _ = reply.send(known(which).map(|torrent| detail(&torrent)));
            None
        }
        Command::Facts(reply) => {
            let _ = reply.send(Ok(facts()));
            None
        }
        Command::Settings(reply) => {
            let _ = reply.send(Ok(settings.clone()));
            None
        }
        Command::ChangeSettings(change, reply) => {
            let _ = reply.send(Ok(()));
            Some(Asked::Settings(*change))
        }
        Command::FreeSpace(path, reply) => {
            let space = Space { free: 5, total: 7 };
            let outcome = match path.starts_with("/nope") {
                true => Err(DaemonError::Disk("No such file or directory".to_owned())),
                false => Ok(space),
            };
            let _ = reply.send(outcome);
            None
        }
        Command::PortTest(reply) => {
            let _ = reply.send(Ok(None));
            None
        }
        Command::UpdateBlocklist(reply) => {
            let _ = reply.send(Ok(12));
            Some(Asked::UpdateBlocklist)
        }
        Command::BlocklistLen(reply) => {
            let _ = reply.send(Ok(12));
            None
        }
        Command::Shutdown(reply) => {
            let _ = reply.send(Ok(()));
            Some(Asked::Shutdown)
        }
        _ => None, // what no method of the RPC asks
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        state_dir: "/var/lib/chunkcast".into(),
        peer_port: Some(6881),
        dht: true,
        pex: true,
        lsd: false,
        utp: true,
        ..Facts::default()
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        rates: Rates::default(),
        schedule: Schedule::default(),
        active_downloads: Some(5),
        active_seeds: None,
        stalled_after: Some(Duration::from_secs(1800)),
        seed_ratio: None,
        seed_idle: None,
        seed_time: None,
        download_dir: "/srv/dl".into(),
        start_added: true,
        watch_dir: None,
        connections: 200,
        peers_per_torrent: 50,
        blocklist: false,
        blocklist_source: None,
        noted: crate::daemon::NotedSettings::default(),
    }
}

/// A torrent of three files and 49 pieces that downloads: as `demo` of the compatibility tests.
pub(super) fn torrent(id: u32) -> Summary {
    Summary {
        id,
        info_hash: hash(id),
        name: "demo".to_owned(),
        state: State::Downloading,
        trouble: None,
        options: Arc::new(Options {
            dir: "/srv/dl".into(),
            labels: vec!["films".to_owned()],
            rates: Rates::default(),
            session_rates: true,
            seed_ratio: Limit::Session,
            seed_idle: Limit::Session,
            seed_time: Limit::Session,
            max_peers: 50,
            files: Vec::new(),
            trackers: None,
            noted: crate::daemon::Noted::default(),
        }),
        has_metadata: true,
        private: false,
        size: 3_200_001,
        wanted: 3_200_001,
        verified: 131_072,
        held: 131_072,
        pieces: 49,
        piece_length: 65_536,
        files: 3,
        checked: None,
        moving: None,
        rate_down: 1000,
        rate_up: 0,
        eta: Some(3068),
        downloaded: 140_000,
        uploaded: 35_000,
        wasted: 16_384,
        by_distance: crate::daemon::ByDistance::default(),
        near: 2,
        far: 3,
        web_seeds: 1,
        sending: 1,
        receiving: 0,
        sources: [
            ("directory", 2),
            ("dht", 1),
            ("tracker", 1),
            ("incoming", 1),
        ]
        .into(),
        queue_position: 0,
        added: THEN,
        started: THEN + 1,
        done: 0,
        active: THEN + 100,
        changed: THEN + 2,
        seconds_downloading: 99,
        seconds_seeding: 0,
        stalled: false,
        finished: false,
        about: Arc::new(About {
            comment: "hello".to_owned(),
            creator: "somebody".to_owned(),
            created: THEN - 50,
            magnet: "magnet:?xt=urn:btih:0101".to_owned(),
            torrent_file: Some("/var/lib/chunkcast/t.torrent".into()),
            web_seeds: vec!["http://127.0.0.1/data/".to_owned()],
            trackers: vec![
                vec![
                    "http://a.example.org/announce".to_owned(),
                    "http://b.example.org:81/x/announce.php?key=1".to_owned(),
                ],
                vec!["udp://127.0.0.1:9".to_owned()],
            ],
        }),
    }
}

/// What is inside of [`torrent`]: its first two pieces are there.
fn detail(torrent: &Summary) -> Detail {
    let sizes = [700_000, 2_500_000, 1];
    let names = ["demo/a.mkv", "demo/deep/b.bin", "demo/z.bin"];
    let rows = sizes.into_iter().zip(names).enumerate();
    let files = rows.map(|(index, (size, name))| FileRow {
        path: name.into(),
        size,
        held: if index == 0 { 131_072 } else { 0 },
        priority: torrent
            .options
            .files
            .get(index)
            .copied()
            .unwrap_or_default(),
        padding: false,
        first_piece: 0,
        end_piece: 0,
    });
    let files: Vec<_> = files.collect();
    let last_alone = files[..2].iter().all(|f| f.priority == Priority::Skip);
    let wanted = match last_alone {
        true => ChunkSet::from_indices(49, [48]),
        false => ChunkSet::full(49),
    };
    let trackers = torrent.about.trackers.iter().flatten();
    // as the announcer calls them
    let trackers = trackers.map(|announce| TrackerRow {
        announce: announce.parse::<url::Url>().expect("a URL").to_string(),
        last_announce: THEN,
        ..TrackerRow::default()
    });
    Detail {
        trackers: trackers.collect(),
        files,
        held: ChunkSet::from_indices(49, [0, 1]),
        wanted,
        ..Detail::default()
    }
}
