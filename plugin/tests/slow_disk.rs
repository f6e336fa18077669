//! Disks that are slow, full, or in other trouble: what is held is bounded, nothing is lost, and the user hears of it
//! once.

#![allow(
    clippy::disallowed_types,
    reason = "a hand-written peer is made of sockets"
)]

mod hostile_common;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};

use chunkcast_bittorrent::limits::LimitsConfig;
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Session, SessionConfig, TorrentError, TorrentEvent,
    TorrentHandle,
};
use chunkcast_bittorrent::storage::{StorageConfig, WriteHook};
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use chunkcast_compat_tests::{Scratch, scratch, write};
use hostile_common::*;
use tokio::time::timeout;

const MIB: u64 = 1 << 20;

/// A session whose disk does what `hook` does.
async fn session_with(memory: u64, hook: WriteHook) -> Session {
    let config = SessionConfig {
        listen: Some(loopback()),
        index: IndexUse::Client,
        trackers: false,
        dht: false,
        limits: LimitsConfig {
            memory,
            ..LimitsConfig::default()
        },
        storage: StorageConfig {
            before_write: hook,
            ..StorageConfig::default()
        },
        ..SessionConfig::default()
    };
    Session::start(config).await.expect("a session")
}

fn download(content: &Content, dir: &std::path::Path, seed: &Session) -> AddTorrent {
    AddTorrent {
        peers: vec![seed.listen_addr()],
        patience: Some(DEADLINE),
        ..AddTorrent::new(content.torrent(), DataPath::OutputDir(dir.to_path_buf()))
    }
}

/// One session that has all of these.
async fn seed_of(contents: &[Arc<Content>]) -> (Session, Vec<TorrentHandle>, Vec<Scratch>) {
    let session = session().await;
    let (mut handles, mut dirs) = (Vec::new(), Vec::new());
    for content in contents {
        let dir = scratch();
        let path = dir.path().join("source.bin");
        write(&path, &content.data);
        let add = AddTorrent {
            seed_only: true,
            ..AddTorrent::new(content.torrent(), DataPath::Content(path))
        };
        handles.push(session.add(add).await.expect("a new torrent"));
        dirs.push(dir);
    }
    (session, handles, dirs)
}

/// The next event that is none of the routine ones.
async fn event(handle: &mut TorrentHandle) -> TorrentEvent {
    let next = async {
        loop {
            let event = handle.next().await.expect("the torrent goes on");
            if !matches!(
                event,
                TorrentEvent::Metadata(_) | TorrentEvent::Checked(_) | TorrentEvent::Progress(_)
            ) {
                return event;
            }
        }
    };
    timeout(DEADLINE, next).await.expect("something happens")
}

/// A disk that stands still until it is let go.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicU32,
}

impl Gate {
    fn hook(self: &Arc<Self>) -> WriteHook {
        let gate = Arc::clone(self);
        WriteHook::new(move |_| {
            gate.waiting.fetch_add(1, Ordering::SeqCst);
            let open = gate.open.lock().expect("no panic");
            drop(
                gate.opened
                    .wait_while(open, |open| !*open)
                    .expect("no panic"),
            );
            Ok(())
        })
    }

    fn open(&self) {
        *self.open.lock().expect("no panic") = true;
        self.opened.notify_all();
    }
}

/// Twenty torrents with pieces that are a sixth of the memory for pieces, and one whose pieces do not fit into it.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_stands_still_no_more_is_held_than_the_budget_and_then_all_goes_on() {
    watch_panics();
    let mut contents: Vec<_> = (0..20).map(|n| Content::new(n, 3 << 20, 1 << 20)).collect();
    contents.push(Content::new(20, 16 << 20, 8 << 20));
    let (seeding, _handles, _dirs) = seed_of(&contents).await;
    let gate = Arc::new(Gate::default());
    let leech = session_with(8 * MIB, gate.hook()).await;
    let dir = scratch();
    let mut handles = Vec::new();
    for (n, content) in contents.iter().enumerate() {
        let dir = dir.path().join(n.to_string());
        let add = download(content, &dir, &seeding);
        handles.push(leech.add(add).await.expect("a new torrent"));
    }
    let pieces = leech.memory().pieces().clone();
    eventually("pieces wait for the disk, and torrents for memory", || {
        let waiting = gate.waiting.load(Ordering::SeqCst) > 0 && pieces.is_short();
        waiting && pieces.used() >= MIB && leech.memory().incoming().used() == 0
    })
    .await;
    gate.open();
    for (n, (mut handle, content)) in handles.into_iter().zip(&contents).enumerate() {
        let last = match event(&mut handle).await {
            TorrentEvent::Complete(p) => p,
            other => panic!("torrent {n}: {other:?}"),
        };
        assert_eq!((last.wasted, last.bad_pieces), (0, 0), "torrent {n}");
        assert_eq!(last.downloaded, content.data.len() as u64, "torrent {n}");
        let file = dir.path().join(n.to_string()).join("file.bin");
        assert_file("after the disk stood still", &file, content);
    }
    for share in [&pieces, leech.memory().incoming(), leech.memory().uploads()] {
        assert!(share.most_used() <= share.limit(), "{share:?}");
    }
    eventually("all memory is given back", || leech.memory().used() == 0).await;
    eventually("the seed's too", || seeding.memory().used() == 0).await;
    assert_sound(600);
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

/// Blocks of a piece that the peer holds, asked for by a stranger.
async fn served_by(leech: &Session, content: &Content) -> Message {
    let mut peer = Peer::dial(leech.listen_addr(), content)
        .await
        .expect("a connection");
    peer.say(Message::Interested).await;
    let (mut held, mut unchoked) = (None, false);
    let hearing = async {
        while let Some(message) = peer.hear().await {
            match message {
                Message::Bitfield(bits) => {
                    held = (0..content.pieces())
                        .find(|p| bits[*p as usize / 8] & (0x80 >> (p % 8)) != 0);
                }
                Message::Have(piece) => held = Some(piece),
                Message::Unchoke => unchoked = true,
                Message::Piece { .. } => return Some(message),
                _ => {}
            }
            if let (Some(piece), true) = (held, unchoked) {
                let (begin, len) = (0, block_len());
                peer.say(Message::Request(BlockRef { piece, begin, len }))
                    .await;
            }
        }
        None
    };
    let message = timeout(DEADLINE, hearing).await.expect("in time");
    message.expect("it serves")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_the_torrent_which_serves_on_and_goes_on_by_itself() {
    watch_panics();
    let content = Content::new(30, 24 << 20, 256 << 10);
    let (seeding, _handles, _dirs) = seed_of(std::slice::from_ref(&content)).await;
    let space = Arc::new(AtomicBool::new(false));
    let (written, tries) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let (there, tried) = (space.clone(), tries.clone());
    let hook = WriteHook::new(move |_| {
        if there.load(Ordering::SeqCst) || written.fetch_add(1, Ordering::SeqCst) < 10 {
            return Ok(());
        }
        tried.fetch_add(1, Ordering::SeqCst);
        Err(full())
    });
    let leech = session_with(32 * MIB, hook).await;
    let dir = scratch();
    let add = download(&content, dir.path(), &seeding);
    let mut handle = leech.add(add).await.expect("a new torrent");
    let line = match event(&mut handle).await {
        TorrentEvent::Paused(line) => line,
        other => panic!("{other:?}"),
    };
    let path = dir.path().display().to_string();
    assert!(line.contains(&path) && line.contains("free some"), "{line}");
    assert!(!line.contains('\n'));

    let Message::Piece { piece, begin, data } = served_by(&leech, &content).await else {
        panic!("a block");
    };
    assert!(data == content.block(piece, begin, block_len()));
    assert!(leech.memory().pieces().used() <= leech.memory().pieces().limit());
    let before = tries.load(Ordering::SeqCst);
    assert!(
        before <= 24 * 4,
        "{before} writes were tried on a full disk"
    );

    space.store(true, Ordering::SeqCst);
    let next = event(&mut handle).await;
    assert!(matches!(next, TorrentEvent::Resumed), "{next:?}");
    let last = match event(&mut handle).await {
        TorrentEvent::Complete(p) => p,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        last.downloaded,
        content.data.len() as u64,
        "nothing is fetched twice"
    );
    assert_file("after a full disk", &dir.path().join("file.bin"), &content);
    eventually("all memory is given back", || {
        leech.memory().pieces().used() == 0
    })
    .await;
    assert_sound(600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_takes_nothing_from_the_start_is_an_error_and_no_pause() {
    let content = Content::new(31, 2 << 20, 256 << 10);
    let (seeding, _handles, _dirs) = seed_of(std::slice::from_ref(&content)).await;
    let hook = WriteHook::new(|_| Err(io::ErrorKind::PermissionDenied.into()));
    let leech = session_with(8 * MIB, hook).await;
    let dir = scratch();
    let add = download(&content, dir.path(), &seeding);
    let mut handle = leech.add(add).await.expect("a new torrent");
    match event(&mut handle).await {
        TorrentEvent::Failed(TorrentError::Disk(line)) => {
            assert!(line.contains("no permission"), "{line}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_in_mid_download_is_told_once_and_the_same_write_is_tried_again() {
    let content = Content::new(32, 4 << 20, 256 << 10);
    let (seeding, _handles, _dirs) = seed_of(std::slice::from_ref(&content)).await;
    // as many as are written at a time are good, and so is everything from the first second try on
    let (tried, healed) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let hook = WriteHook::new(move |piece| {
        let mut tried = tried.lock().expect("no panic");
        let first = tried.len() < StorageConfig::default().piece_jobs;
        let again = !tried.insert(piece);
        if first || again || healed.load(Ordering::SeqCst) {
            healed.fetch_or(again, Ordering::SeqCst);
            return Ok(());
        }
        Err(rustix::io::Errno::IO.into())
    });
    let leech = session_with(8 * MIB, hook).await;
    let dir = scratch();
    let add = download(&content, dir.path(), &seeding);
    let mut handle = leech.add(add).await.expect("a new torrent");
    let mut lines = Vec::new();
    let last = loop {
        match event(&mut handle).await {
            TorrentEvent::Paused(line) => lines.push(line),
            TorrentEvent::Resumed | TorrentEvent::Warning(_) => {}
            TorrentEvent::Complete(p) => break p,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("tried again") && lines[0].contains("see to that disk"));
    assert_eq!(last.downloaded, content.data.len() as u64);
    assert_file("after trouble", &dir.path().join("file.bin"), &content);
}
