//! What announces cost: one client with many torrents behind `chunkcast tracker`, all in this process, on loopback.
//!
//! `cargo run --release -p chunkcast-bittorrent --example announces -- [TORRENTS] [SECONDS]` (1000 and 10). The client is
//! written by hand: it takes connections for each torrent, and says that it has half of the pieces. First every torrent is
//! announced once, which has the tracker connect to the client; then announces follow each other over eight connections
//! at a time. The tracker's own min interval is 0, so that each announce is a lookup.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and owns sockets"
)]

#[path = "common/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chunkcast::wire::PeerAddrs;
use chunkcast_bittorrent::facade::{Facade, FacadeConfig};
use chunkcast_bittorrent::limits::address::OwnAddrs;
use chunkcast_bittorrent::limits::{Limits, LimitsConfig};
use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::session::{IndexSettings, start_colocated_node};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{ConnConfig, start};
use chunkcast_bittorrent::wire::connect::{Asked, accept};
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::process::{cpu, resident};

/// Pieces of each torrent.
const PIECES: usize = 1000;

/// Announces under way at a time.
const AT_ONCE: usize = 8;

#[tokio::main]
async fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|a| a.parse().expect("a number"));
    let torrents = args.next().unwrap_or(1000);
    let seconds = args.next().unwrap_or(10);
    let loopback: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let node = start_colocated_node(Some(loopback), vec![], IndexSettings::default());
    let node = node.await.expect("an index node");
    let metas: Vec<Metainfo> = (0..torrents).map(torrent).collect();
    let config = FacadeConfig {
        published: PeerAddrs::from(loopback),
        local: true,
        own: OwnAddrs::new(node.local_addr()),
        min_interval: Duration::ZERO,
        ..FacadeConfig::default()
    };
    let limits = Limits::new(&LimitsConfig {
        lookups: 1_000_000,
        ..LimitsConfig::default()
    });
    let before = resident();
    let listen = [loopback];
    let facade = Facade::start(&listen, config, Arc::new(node.clone()), limits, &metas);
    let facade = Arc::new(facade.await.expect("a tracker"));
    let tracker = facade.listen_addrs()[0];
    let hashes: Arc<Vec<[u8; 20]>> = Arc::new(metas.iter().map(|m| m.info_hash).collect());
    let client = client(&hashes).await;
    let begun = Instant::now();
    announce_all(tracker, client, &hashes, |n| n < hashes.len()).await;
    let first = begun.elapsed().as_secs_f64();
    let (stats, middle) = (facade.stats(), resident());
    println!("torrents {torrents}, pieces {PIECES} each");
    println!(
        "first round: {first:.1} s, {:.0} announces/s; {} followed, memory {:.1} MiB before, {:.1} after",
        torrents as f64 / first,
        stats.clients,
        before,
        middle,
    );
    let (begun, processor) = (Instant::now(), cpu());
    let end = begun + Duration::from_secs(seconds as u64);
    let done = announce_all(tracker, client, &hashes, |_| Instant::now() < end).await;
    let took = begun.elapsed().as_secs_f64();
    let after = facade.stats();
    println!(
        "then: {:.0} announces/s, {:.0} lookups/s, {:.0} us of processor time an announce (client included), memory {:.1} MiB",
        done as f64 / took,
        (after.lookups - stats.lookups) as f64 / took,
        (cpu() - processor) * 1e6 / done as f64,
        resident(),
    );
    node.shutdown().await;
}

/// Announces one torrent after the other, over and over, while `goes_on` says so of how many were begun; how many were
/// answered.
async fn announce_all(
    tracker: SocketAddr,
    client: SocketAddr,
    hashes: &Arc<Vec<[u8; 20]>>,
    goes_on: impl Fn(usize) -> bool,
) -> u64 {
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let one = || async {
        loop {
            let n = next.fetch_add(1, Relaxed);
            if !goes_on(n) {
                return;
            }
            announce(tracker, client, &hashes[n % hashes.len()]).await;
            done.fetch_add(1, Relaxed);
        }
    };
    futures::future::join_all((0..AT_ONCE).map(|_| one())).await;
    done.into_inner()
}

async fn announce(tracker: SocketAddr, client: SocketAddr, hash: &[u8; 20]) {
    let hash = hash.map(|b| format!("%{b:02x}")).concat();
    let request = format!(
        "GET /announce?info_hash={hash}&peer_id=-XX0000-abcdefghijkl&port={}&left=1 HTTP/1.1\r\nHost: {tracker}\r\n\r\n",
        client.port()
    );
    let mut stream = TcpStream::connect(tracker).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(
        answer.windows(8).any(|w| w == b"interval"),
        "no answer of a tracker"
    );
}

/// A client that has half of every torrent.
async fn client(hashes: &Arc<Vec<[u8; 20]>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let known: BTreeMap<[u8; 20], ()> = hashes.iter().map(|h| (*h, ())).collect();
    tokio::spawn(async move {
        let config = ConnConfig::default();
        let mut kept = Vec::new();
        while let Ok((stream, remote)) = listener.accept().await {
            let ours = |asked: Asked<'_>| match asked {
                Asked::InfoHash(h) => known.contains_key(h).then(|| Handshake::ours(*h, [7; 20])),
                Asked::KeyHash(_) => None,
            };
            let Ok(peer) = accept(stream, remote, ours, &config).await else {
                continue;
            };
            let (events, inbox) = mpsc::channel(16);
            let outbox = start((), peer, FrameLimits::default(), events, &config);
            let mut bits = vec![0u8; PIECES.div_ceil(8)];
            bits[..PIECES / 16].fill(255);
            outbox.send(Message::Bitfield(Bytes::from(bits)));
            kept.push((outbox, inbox));
        }
    });
    addr
}

/// A torrent that differs from the others.
fn torrent(n: usize) -> Metainfo {
    let len = PIECES << 14;
    let name = format!("file{n:06}.bin");
    let mut info = format!(
        "d6:lengthi{len}e4:name{}:{name}12:piece lengthi16384e",
        name.len()
    );
    info.push_str(&format!("6:pieces{}:", PIECES * 20));
    let mut info = info.into_bytes();
    info.resize(info.len() + PIECES * 20, 1);
    info.push(b'e');
    Metainfo::from_info(info.into(), None).expect("a torrent")
}
