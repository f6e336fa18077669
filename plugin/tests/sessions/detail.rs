//! One torrent in depth: its peers and why they are, and the questions to the directory.

use std::time::Duration;

use chunkcast_bittorrent::limits::{Rate, Rates};
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Session, SessionConfig, TorrentDetail, TorrentEvent,
};
use chunkcast_compat_tests::{scratch, write};
use tokio::time::{sleep, timeout};

use super::hostile_common::*;

/// A session with an index node, in the ring of another one's.
async fn in_a_ring(with: Option<&Session>) -> Session {
    let config = SessionConfig {
        listen: Some(loopback()),
        index: IndexUse::Colocated(Some(loopback())),
        bootstrap: with.and_then(Session::index_addr).into_iter().collect(),
        trackers: false,
        dht: false,
        lsd: false,
        pex: false,
        client: chunkcast::client::ClientConfig {
            superseed: false, // it shows all that it has at once
            ..Default::default()
        },
        ..SessionConfig::default()
    };
    Session::start(config).await.expect("a session")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_shown_with_the_answer_that_named_it_and_bytes_with_how_far_they_came() {
    watch_panics();
    let content = Content::new(80, 3 << 20, 32 << 10);
    let seeding = in_a_ring(None).await;
    let (source, dir) = (scratch(), scratch());
    write(&source.path().join("source.bin"), &content.data);
    let data = DataPath::Content(source.path().join("source.bin"));
    let seed = seeding.add(AddTorrent::new(content.torrent(), data)).await;
    let mut seed = seed.expect("a new torrent");
    // one that is complete calls nobody
    complete(&mut seed).await;
    let getting = in_a_ring(Some(&seeding)).await;
    let up = Some(Rate::new(100 << 10));
    seeding.limiters().set(Rates { down: None, up });
    let data = DataPath::OutputDir(dir.path().to_path_buf());
    let get = getting.add(AddTorrent::new(content.torrent(), data)).await;
    let mut get = get.expect("a new torrent");
    let control = get.control();
    let watching = async {
        loop {
            let detail = control.detail().await.expect("it runs");
            let fetched = |d: &TorrentDetail| d.peers.iter().any(|p| p.row.downloaded > 0);
            if fetched(&detail) {
                return detail;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let detail = timeout(DEADLINE, watching).await.expect("it is found");
    let [peer] = &detail.peers[..] else {
        panic!("one peer: {:?}", detail.peers)
    };
    assert_eq!(peer.row.source, "directory");
    assert!(peer.outbound && peer.interested && !peer.chokes_us && !peer.wants);
    assert!(peer.pieces.is_full() && peer.pieces.len() == content.pieces());
    assert!(peer.outstanding > 0 && !detail.open.is_empty());
    let why = peer.why.as_ref().expect("the directory named it");
    assert!(why.rank == 0 && why.matched <= content.pieces(), "{why:?}");
    assert!(why.hops <= 1 && why.answered_by.is_some(), "{why:?}");
    assert!(why.score.is_some_and(|s| s > 0.0) && why.predicted_ms.is_some());
    let answered = |r: &chunkcast_bittorrent::session::LookupRow| r.hops.is_some() && r.peers > 0;
    assert!(detail.lookups.iter().any(answered), "{:?}", detail.lookups);
    let done = until(&mut get, |event| match event {
        TorrentEvent::Complete(progress) => Some(progress),
        TorrentEvent::Progress(progress) if progress.sources.get("directory") == Some(&1) => {
            seeding.limiters().set(Rates::default());
            None
        }
        _ => None,
    });
    // 30 s at the rate of before
    let done = timeout(Duration::from_secs(20), done)
        .await
        .expect("it ends");
    // loopback is near
    let moved = done.by_distance;
    assert_eq!((moved.near_down, moved.far_down), (done.downloaded, 0));
    assert!(done.downloaded >= 3 << 20);
    get.stop().await;
    seed.stop().await;
    seeding.shutdown().await;
    getting.shutdown().await;
    assert_no_panic();
}
