//! librqbit sessions that know nothing but the directory.

#![cfg(feature = "rqbit")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "sessions are sockets, and conditions are waited for"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chunkcast::node::LookupRequest;
use chunkcast::wire::{PeerAddrs, Ranking, Wanted};
use chunkcast_bittorrent::rqbit::{Rqbit, RqbitConfig};
use chunkcast_bittorrent::session::{Directory, object_id};
use librqbit::{
    AddTorrent, AddTorrentOptions, CreateTorrentOptions, ListenerOptions, ManagedTorrent, Session,
    SessionOptions, create_torrent, spawn_utils::BlockingSpawner,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A test that waits longer than that has failed.
const DEADLINE: Duration = Duration::from_secs(60);

const PIECES: u32 = 40;

/// Bytes of the file: librqbit writes one hash too many for one that ends with a piece.
const LEN: u32 = PIECES * 16384 - 100;

/// A session with its directory.
struct Peer {
    directory: Rqbit,
    session: Arc<Session>,
    dir: TempDir,
}

impl Peer {
    /// Joins through `first`.
    async fn start(first: Option<&Peer>) -> Self {
        Self::with(first, true).await
    }

    /// The session is set up if `all`; otherwise its torrents may be.
    async fn with(first: Option<&Peer>, all: bool) -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = RqbitConfig {
            bootstrap: first
                .map(|p| p.directory.node().local_addr())
                .into_iter()
                .collect(),
            index_listen: Some(loopback),
            ..RqbitConfig::default()
        };
        let directory = Rqbit::start(config).await.expect("a directory");
        let mut options = SessionOptions {
            dht: None,
            disable_local_service_discovery: true,
            // one that listens on loopback alone says no port
            listen: Some(ListenerOptions {
                listen_addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                ..ListenerOptions::default()
            }),
            ..SessionOptions::default()
        };
        if all {
            directory.session(&mut options);
        }
        let dir = TempDir::new().expect("a directory");
        let session = Session::new_with_opts(dir.path().to_owned(), options).await;
        Self {
            directory,
            session: session.expect("a session"),
            dir,
        }
    }

    async fn add(&self, torrent: AddTorrent<'_>) -> Arc<ManagedTorrent> {
        self.add_with(torrent, AddTorrentOptions::default()).await
    }

    async fn add_with(
        &self,
        torrent: AddTorrent<'_>,
        options: AddTorrentOptions,
    ) -> Arc<ManagedTorrent> {
        let options = AddTorrentOptions {
            overwrite: true,
            ..options
        };
        let added = timeout(DEADLINE, self.session.add_torrent(torrent, Some(options))).await;
        let added = added.expect("metadata in time").expect("added");
        added.into_handle().expect("a handle")
    }

    /// Where it is published to be, as everything here is on loopback.
    fn addr(&self) -> SocketAddr {
        let port = self.session.announce_port().expect("it listens");
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Who is published to have how many pieces of the torrent, but for whoever is at `asker`.
    async fn found(&self, infohash: [u8; 20], asker: SocketAddr) -> Vec<(SocketAddr, u32)> {
        let request = LookupRequest {
            object: object_id(&infohash),
            wanted: Wanted::Any,
            p: 8,
            mix: 0,
            ranking: Ranking::Closeness,
            asker: PeerAddrs::from(asker),
            ignore: Vec::new(),
            to_root: true,
            trace: false,
        };
        let found = self.directory.node().lookup(request).await;
        let matches = found.map(|f| f.matches).unwrap_or_default();
        let one = |m: &chunkcast::wire::Match| Some((m.addrs.iter().next()?, m.matched));
        let mut all: Vec<_> = matches.iter().filter_map(one).collect();
        all.sort_unstable();
        all
    }

    async fn until_found(&self, infohash: [u8; 20], expected: &[(SocketAddr, u32)]) {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let mut last = Vec::new();
        let reached = async {
            loop {
                last = self.found(infohash, nobody).await;
                if last == expected {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = timeout(DEADLINE, reached).await.is_ok();
        assert!(in_time, "{last:?}, expected {expected:?}");
    }

    async fn end(self) {
        self.session.stop().await;
        self.directory.shutdown().await;
    }
}

fn noise(len: u32) -> Vec<u8> {
    (0..len)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect()
}

/// A file of [`PIECES`] pieces below `dir`; its .torrent and infohash.
async fn source(dir: &Path) -> (Vec<u8>, [u8; 20]) {
    let file = dir.join("file.bin");
    std::fs::write(&file, noise(LEN)).expect("written");
    let options = CreateTorrentOptions {
        piece_length: Some(16384),
        ..CreateTorrentOptions::default()
    };
    let made = create_torrent(&file, options, &BlockingSpawner::new(1)).await;
    let made = made.expect("a torrent");
    (made.as_bytes().expect("bytes").to_vec(), made.info_hash().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_that_know_nothing_but_the_directory_exchange_a_file() {
    let seed = Peer::start(None).await;
    let (torrent, infohash) = source(seed.dir.path()).await;
    seed.add(AddTorrent::from_bytes(torrent)).await;
    seed.until_found(infohash, &[(seed.addr(), PIECES)]).await;
    let leech = Peer::start(Some(&seed)).await;
    let infohash_hex: String = infohash.iter().map(|b| format!("{b:02x}")).collect();
    let magnet = format!("magnet:?xt=urn:btih:{infohash_hex}");
    let handle = leech.add(AddTorrent::from_url(&magnet)).await;
    let complete = timeout(DEADLINE, handle.wait_until_completed()).await;
    complete.expect("complete in time").expect("complete");
    let copy = std::fs::read(leech.dir.path().join("file.bin")).expect("a file");
    assert!(copy == noise(LEN), "the copy is equal");
    // and it is a source itself now
    let both = [(seed.addr(), PIECES), (leech.addr(), PIECES)];
    seed.until_found(infohash, &both).await;
    leech.end().await;
    seed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_torrent_is_gone_from_answers_until_it_goes_on() {
    let seed = Peer::start(None).await;
    let (torrent, infohash) = source(seed.dir.path()).await;
    let handle = seed.add(AddTorrent::from_bytes(torrent)).await;
    let there = [(seed.addr(), PIECES)];
    seed.until_found(infohash, &there).await;
    seed.session.pause(&handle).await.expect("paused");
    seed.until_found(infohash, &[]).await;
    seed.session.unpause(&handle).await.expect("goes on");
    seed.until_found(infohash, &there).await;
    seed.session
        .delete(handle.id().into(), false)
        .await
        .expect("deleted");
    drop(handle);
    seed.until_found(infohash, &[]).await;
    seed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_torrent_of_a_session_is_set_up_alone() {
    let seed = Peer::start(None).await;
    let (torrent, infohash) = source(seed.dir.path()).await;
    seed.add(AddTorrent::from_bytes(torrent.clone())).await;
    let leech = Peer::with(Some(&seed), false).await;
    let mut options = AddTorrentOptions::default();
    let often = Some(Duration::from_secs(1));
    leech.directory.torrent(&mut options, often);
    let handle = leech.add_with(AddTorrent::from_bytes(torrent), options);
    let handle = handle.await;
    let complete = timeout(DEADLINE, handle.wait_until_completed()).await;
    complete.expect("complete in time").expect("complete");
    let both = [(seed.addr(), PIECES), (leech.addr(), PIECES)];
    seed.until_found(infohash, &both).await;
    leech.end().await;
    seed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_torrent_is_neither_published_nor_looked_up() {
    let peer = Peer::start(None).await;
    let mut torrent =
        b"d4:infod6:lengthi16384e4:name8:file.bin12:piece lengthi16384e6:pieces20:".to_vec();
    torrent.extend([7; 20]);
    torrent.extend(b"7:privatei1eee");
    let handle = peer.add(AddTorrent::from_bytes(torrent)).await;
    let refused = async {
        while peer.directory.stats().refused == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = timeout(DEADLINE, refused).await.is_ok();
    assert!(in_time, "the session asks, as it has no other tracker");
    let stats = peer.directory.stats();
    assert_eq!((stats.lookups, stats.clients), (0, 0));
    peer.until_found(handle.info_hash().0, &[]).await;
    peer.end().await;
}
