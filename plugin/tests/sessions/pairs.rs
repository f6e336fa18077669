//! Two clients that know of each other have one connection, over real sockets.

use std::sync::atomic::{AtomicU32, Ordering};

use chunkcast_bittorrent::session::Progress;
use tokio::task::JoinSet;

use super::hostile_common::*;

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
    let (mut a, mut b) = tokio::join!(
        Leech::on(a, content.torrent(), vec![to_b]),
        Leech::on(b, content.torrent(), vec![to_a]),
    );
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
    assert_no_panic();
}
