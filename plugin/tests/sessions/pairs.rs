//! Two clients that know of each other have one connection, over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use chunkcast_bittorrent::session::{AddTorrent, DataPath, Progress, Session};
use chunkcast_compat_tests::scratch;
use tokio::task::JoinSet;

use super::hostile_common::*;

async fn start(session: Session, content: &Content, peer: SocketAddr) -> Leech {
    let dir = scratch();
    let add = AddTorrent {
        source: content.torrent(),
        data: DataPath::OutputDir(dir.path().to_path_buf()),
        peers: vec![peer],
        select: None,
        priorities: Vec::new(),
        trackers: None,
        resume: None,
        patience: Some(DEADLINE),
        seed_only: false,
        metadata_only: false,
    };
    let handle = session.add(add).await.expect("a new torrent");
    Leech {
        session,
        handle,
        dir,
        last: Progress::default(),
    }
}

/// Waits until a client has had one connection for a while, as long as a second one would take to be noticed.
async fn has_one(leech: &mut Leech) {
    let row = AtomicU32::new(0);
    let lasting = |p: &Progress| {
        if p.near + p.far != 1 {
            row.store(0, Ordering::Relaxed);
        }
        p.near + p.far == 1 && row.fetch_add(1, Ordering::Relaxed) == 2
    };
    leech.until("one connection", lasting).await;
}

async fn both_dial_at_once(round: u64) {
    let content = Content::new(40 + round, 500_001, 32 << 10);
    let (a, b) = tokio::join!(session(), session());
    let (to_a, to_b) = (a.listen_addr(), b.listen_addr());
    let (mut a, mut b) = tokio::join!(start(a, &content, to_b), start(b, &content, to_a));
    tokio::join!(has_one(&mut a), has_one(&mut b));
    for leech in [a, b] {
        let last = leech.handle.stop().await;
        assert_eq!(last.banned, 0);
        leech.session.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_that_dial_each_other_at_once_keep_one_connection() {
    watch_panics();
    let mut rounds = JoinSet::new();
    (0..8).for_each(|round| {
        rounds.spawn(both_dial_at_once(round));
    });
    while let Some(done) = rounds.join_next().await {
        if let Err(e) = done {
            std::panic::resume_unwind(e.into_panic());
        }
    }
}
