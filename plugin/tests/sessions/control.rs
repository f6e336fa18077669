//! What can be changed of a torrent, and of a session, while it runs.

use std::sync::Arc;
use std::time::Duration;

use chunkcast_bittorrent::limits::{Blocklist, Rate, Rates};
use chunkcast_bittorrent::metadata::{Metainfo, Priority};
use chunkcast_bittorrent::session::{AddTorrent, DataPath, Session, TorrentEvent, TorrentSource};
use chunkcast_compat_tests::{Scratch, noise, scratch};
use sha1::{Digest, Sha1};
use tokio::time::timeout;

use super::hostile_common::*;

const PIECE: usize = 16 << 10;

/// Three files of four pieces each, on disk below a directory.
fn three_files() -> (Arc<Metainfo>, Scratch) {
    let data = noise(70, 12 * PIECE);
    let dir = scratch();
    std::fs::create_dir(dir.path().join("t")).expect("a directory");
    let mut files = String::new();
    for (name, part) in ["a", "b", "c"].iter().zip(data.chunks(4 * PIECE)) {
        std::fs::write(dir.path().join("t").join(name), part).expect("written");
        files += &format!("d6:lengthi{}e4:pathl1:{name}ee", part.len());
    }
    let mut info =
        format!("d5:filesl{files}e4:name1:t12:piece lengthi{PIECE}e6:pieces240:").into_bytes();
    info.extend(data.chunks(PIECE).flat_map(Sha1::digest));
    info.push(b'e');
    let meta = Metainfo::from_info(info.into(), None).expect("a torrent");
    (Arc::new(meta), dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_selected_before_and_while_a_torrent_runs() {
    watch_panics();
    use Priority::{High, Normal, Skip};
    let (meta, source) = three_files();
    let (seeding, getting, dir) = (session().await, session().await, scratch());
    let source = DataPath::OutputDir(source.path().to_path_buf());
    let seed = AddTorrent::new(TorrentSource::Metainfo(meta.clone()), source);
    let seed = seeding.add(seed).await.expect("a new torrent");
    let data = DataPath::OutputDir(dir.path().to_path_buf());
    let add = AddTorrent {
        peers: vec![seeding.listen_addr()],
        priorities: vec![Skip, Normal, Skip],
        ..AddTorrent::new(TorrentSource::Metainfo(meta.clone()), data)
    };
    let mut get = getting.add(add).await.expect("a new torrent");
    let first = complete(&mut get).await;
    assert_eq!(
        (first.total_bytes, first.pieces_held),
        (4 * PIECE as u64, 4)
    );
    assert!(!dir.path().join("t/a").exists());
    let control = get.control();
    control.set_priorities(vec![Skip, Normal, High]).await;
    control.add_peers(vec![seeding.listen_addr()]).await;
    let second = complete(&mut get).await;
    assert_eq!(
        (second.total_bytes, second.pieces_held),
        (8 * PIECE as u64, 8)
    );
    let detail = control.detail().await.expect("it runs");
    assert_eq!((detail.held.count(), detail.wanted.count()), (8, 8));
    get.stop().await;
    assert!(control.detail().await.is_none());
    seed.stop().await;
    seeding.shutdown().await;
    getting.shutdown().await;
    assert_no_panic();
}

fn everyone() -> Arc<Blocklist> {
    let list = Blocklist::read(b"127.0.0.0/8\n::1\n").expect("a list");
    Arc::new(list)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_on_the_blocklist_is_connected() {
    watch_panics();
    let content = Content::new(71, 200_000, PIECE);
    let (seeding, seed, _source) = seed(&content, vec![]).await;
    let mut peer = Peer::dial(seeding.listen_addr(), &content)
        .await
        .expect("nobody is blocked");
    seeding.set_blocklist(everyone());
    timeout(DEADLINE, peer.until_closed())
        .await
        .expect("it is closed");
    assert!(Peer::dial(seeding.listen_addr(), &content).await.is_none());
    // nor is anybody dialled
    let listener = tokio::net::TcpListener::bind(loopback())
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("bound");
    seed.control().add_peers(vec![addr]).await;
    seed.control().detail().await.expect("it runs");
    seeding.set_blocklist(Arc::default());
    let mut get = Leech::start(content.torrent(), vec![]).await;
    get.session.set_blocklist(everyone());
    let control = get.handle.control();
    control.add_peers(vec![addr, seeding.listen_addr()]).await;
    control.detail().await.expect("it runs");
    get.session.set_blocklist(Arc::default());
    control.add_peers(vec![seeding.listen_addr()]).await;
    get.until("after the list is gone", |_| false).await;
    let called = timeout(Duration::ZERO, listener.accept()).await;
    assert!(called.is_err(), "it was called");
    get.handle.stop().await;
    get.session.shutdown().await;
    seed.stop().await;
    seeding.shutdown().await;
    assert_no_panic();
}

/// Sets a rate that no test has the patience for.
fn crawl(session: &Session) {
    let rate = Some(Rate::new(1 << 10));
    session.limiters().set(Rates {
        down: rate,
        up: rate,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_may_do_without_the_rates_of_all() {
    watch_panics();
    let content = Content::new(72, 1 << 20, PIECE);
    let (seeding, seed, _source) = seed(&content, vec![]).await;
    let get = Leech::start(content.torrent(), vec![]).await;
    crawl(&get.session);
    get.handle.control().set_session_rates(false).await;
    let peers = vec![seeding.listen_addr()];
    get.handle.control().add_peers(peers).await;
    get.finish("without the session's rates", &content).await;
    seed.stop().await;
    seeding.shutdown().await;
    assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_peers_are_kept_when_fewer_are_wanted() {
    watch_panics();
    let content = Content::new(73, 200_000, PIECE);
    let (seeding, seed, _source) = seed(&content, vec![]).await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        let peer = Peer::dial(seeding.listen_addr(), &content).await;
        let mut peer = peer.expect("there is room");
        // it is one that wants something
        peer.say(chunkcast_bittorrent::wire::message::Message::Interested)
            .await;
        peers.push(peer);
    }
    let connected = |event| match event {
        TorrentEvent::Progress(p) if p.near + p.far == 3 => Some(()),
        _ => None,
    };
    let mut seed = seed;
    until(&mut seed, connected).await;
    seed.control().set_max_peers(1).await;
    let one = |event| match event {
        TorrentEvent::Progress(p) if p.near + p.far == 1 => Some(()),
        _ => None,
    };
    until(&mut seed, one).await;
    assert_eq!(seeding.connections(), 1);
    seed.stop().await;
    seeding.shutdown().await;
    assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_connections_are_taken_when_fewer_are_allowed() {
    watch_panics();
    let content = Content::new(74, 200_000, PIECE);
    let (seeding, seed, _source) = seed(&content, vec![]).await;
    seeding.set_connections(1);
    let mut first = Peer::dial(seeding.listen_addr(), &content)
        .await
        .expect("there is room for one");
    assert!(first.hear().await.is_some(), "it is served");
    let second = Peer::dial(seeding.listen_addr(), &content).await;
    if let Some(mut second) = second {
        timeout(DEADLINE, second.until_closed())
            .await
            .expect("turned away");
    }
    seed.stop().await;
    seeding.shutdown().await;
    assert_no_panic();
}
