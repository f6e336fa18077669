//! What clients of the Transmission RPC send.

use std::sync::Arc;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::api::transmission::answer;
use chunkcast_bittorrent::daemon::{
    About, Added, ByDistance, Command, Detail, Facts, FileRow, Inbox, InfoHash, Limit, Listing,
    NotedSettings, Options, Priority, Schedule, Settings, Space, State, Summary, channel,
};
use chunkcast_bittorrent::limits::Rates;
use serde_json::Value;

/// Torrents that are there.
const TORRENTS: u8 = 3;

/// A request to a daemon of three torrents: whatever it is, it is answered with a result. What is asked of the daemon is about
/// torrents that it has, and within bounds.
pub fn transmission_request(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (daemon, inbox) = channel();
    let torrents = (1..=TORRENTS).map(|id| Arc::new(torrent(id))).collect();
    inbox.listing.send_replace(Arc::new(Listing {
        torrents,
        ..Listing::default()
    }));
    let answered = runtime.expect("a runtime").block_on(async {
        tokio::spawn(serve(inbox));
        answer(&daemon, data, "id").await
    });
    let answered: Value = serde_json::from_slice(&answered).expect("JSON");
    assert!(answered["arguments"].is_object());
    let result = answered["result"].as_str().expect("a result");
    assert!(!result.is_empty());
    if let Some(tag) = answered.get("tag") {
        let request: Value = serde_json::from_slice(data).expect("a tag was read in it");
        assert_eq!(&request["tag"], tag);
    }
}

/// Answers what a request can be about.
async fn serve(mut inbox: Inbox) {
    let known = |which: InfoHash| assert!((1..=TORRENTS).any(|id| which == hash(id)));
    while let Some(command) = inbox.commands.recv().await {
        match command {
            Command::Add(new, reply) => {
                assert!(new.dir.is_none_or(|dir| dir.is_absolute()));
                assert!(new.change.files.iter().all(|(index, _)| *index < 1_000_000));
                let added = Added {
                    id: 9,
                    info_hash: hash(9),
                    name: "nine".to_owned(),
                    duplicate: false,
                };
                let _ = reply.send(Ok(added));
            }
            Command::Change(which, change, reply) => {
                known(which);
                assert!(change.files.iter().all(|(index, _)| *index < 3));
                let noted = change.noted.unwrap_or_default();
                assert!((-1..=1).contains(&noted.bandwidth_priority));
                assert!(change.trackers.unwrap_or_default().len() <= 64);
                let _ = reply.send(Ok(()));
            }
            Command::Relocate(which, dir, _, reply) => {
                known(which);
                assert!(dir.is_absolute());
                let _ = reply.send(Ok(()));
            }
            Command::Start(which, _, reply) | Command::Remove(which, _, reply) => {
                known(which);
                let _ = reply.send(Ok(()));
            }
            Command::Pause(which, reply)
            | Command::Verify(which, reply)
            | Command::Reannounce(which, reply) => {
                known(which);
                let _ = reply.send(Ok(()));
            }
            Command::QueueMove(which, _, reply) => {
                which.into_iter().for_each(known);
                let _ = reply.send(Ok(()));
            }
            Command::ChangeSettings(change, reply) => {
                let schedule = change.schedule;
                let mut minutes = [schedule.from, schedule.to].into_iter().flatten();
                assert!(minutes.all(|m| m < 1440) && schedule.days.is_none_or(|d| d < 128));
                let ratio = change.seed_ratio.flatten().unwrap_or_default();
                assert!(ratio.is_finite() && ratio >= 0.0);
                let _ = reply.send(Ok(()));
            }
            Command::Detail(_, reply) => {
                let _ = reply.send(Ok(detail()));
            }
            Command::Settings(reply) => {
                let _ = reply.send(Ok(settings()));
            }
            Command::Facts(reply) => {
                let _ = reply.send(Ok(Facts::default()));
            }
            Command::FreeSpace(path, reply) => {
                assert!(path.is_absolute());
                let _ = reply.send(Ok(Space { free: 1, total: 2 }));
            }
            Command::BlocklistLen(reply) | Command::UpdateBlocklist(reply) => {
                let _ = reply.send(Ok(0));
            }
            _ => {} // who asks hears that the daemon is ending
        }
    }
}

fn hash(id: u8) -> InfoHash {
    InfoHash([id; 20])
}

fn detail() -> Detail {
    let file = |name: &str, size| FileRow {
        path: name.into(),
        size,
        held: 0,
        priority: Priority::Normal,
        padding: false,
        first_piece: 0,
        end_piece: 2,
    };
    Detail {
        files: vec![file("t/a", 9), file("t/b.mkv", 10), file("t/c", 1)],
        held: ChunkSet::from_indices(2, [0]),
        wanted: ChunkSet::full(2),
        ..Detail::default()
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        rates: Rates::default(),
        schedule: Schedule::default(),
        active_downloads: Some(5),
        active_seeds: None,
        stalled_after: None,
        seed_ratio: Some(2.0),
        seed_idle: Some(Duration::from_secs(60)),
        seed_time: None,
        download_dir: "/srv".into(),
        start_added: true,
        watch_dir: None,
        connections: 200,
        peers_per_torrent: 50,
        blocklist: false,
        blocklist_source: None,
        noted: NotedSettings::default(),
    }
}

pub(crate) fn torrent(id: u8) -> Summary {
    let options = Options {
        dir: "/srv".into(),
        labels: Vec::new(),
        rates: Rates::default(),
        session_rates: true,
        seed_ratio: Limit::Session,
        seed_idle: Limit::Own(Duration::from_secs(60)),
        seed_time: Limit::Session,
        max_peers: 50,
        files: vec![Priority::Skip; usize::from(id % 3)],
        trackers: None,
        noted: Default::default(),
    };
    let about = About {
        trackers: vec![vec!["http://127.0.0.1/announce".to_owned()]],
        ..About::default()
    };
    Summary {
        id: id.into(),
        info_hash: hash(id),
        name: "t".to_owned(),
        state: [State::Downloading, State::Seeding, State::Paused][usize::from(id % 3)],
        trouble: None,
        options: Arc::new(options),
        has_metadata: true,
        private: false,
        size: 20,
        wanted: 20,
        verified: 16,
        held: 16,
        pieces: 2,
        piece_length: 16,
        files: 3,
        checked: None,
        moving: None,
        rate_down: 0,
        rate_up: 0,
        eta: None,
        downloaded: 16,
        uploaded: 0,
        wasted: 0,
        by_distance: ByDistance::default(),
        near: 0,
        far: 0,
        web_seeds: 0,
        sending: 0,
        receiving: 0,
        sources: [].into(),
        queue_position: usize::from(id) - 1,
        added: 1,
        started: 1,
        done: 0,
        active: 0,
        changed: 1,
        seconds_downloading: 0,
        seconds_seeding: 0,
        stalled: false,
        finished: false,
        about: Arc::new(about),
    }
}
