//! One test a fault, over real sockets and with real processes: beside a peer that goes wrong in one way the download
//! finishes with the right bytes, and the guilty one is banned, closed or bounded.
//!
//! `hostile_peers` has what else a peer may say (impossible bitfields, floods, wrong metadata), `swarm_sim` the same
//! faults in virtual time and in every place of a transfer.

#![allow(
    clippy::disallowed_types,
    reason = "a hand-written peer is made of sockets"
)]

mod hostile_common;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chunkcast_bittorrent::session::Progress;
use chunkcast_bittorrent::swarm::DropReason;
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use chunkcast_compat_tests::stock::ours;
use chunkcast_compat_tests::{Proc, create, noise, scratch, wait_for, write};
use hostile_common::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Peak of the whole test process.
const MAX_MIB: u64 = 256;

/// Requests that a pipeline begins with.
const FIRST_WINDOW: usize = 8;

/// What is wrong with a peer. All but the first claim to have everything, and unchoke.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Random bytes in place of messages.
    Garbage,
    /// Every block is wrong.
    WrongPieces,
    /// The second block of every piece is wrong.
    OneWrongBlock,
    /// Half of the first block, then nothing.
    Stalls,
    /// Half of the first block, then a reset.
    Resets,
    /// Every request is rejected.
    Rejects,
    /// No request is answered.
    NeverSends,
}

use Fault::*;

/// What a faulty peer saw.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Connections that the other end closed.
    closed: AtomicUsize,
}

/// Goes wrong until the connection is closed; tells on `done` that it has gone wrong once.
async fn go_wrong(
    fault: Fault,
    peer: &mut Peer,
    content: &Content,
    seen: &Seen,
    done: &mpsc::Sender<()>,
) {
    if fault == Garbage {
        let mut junk = vec![0; 10_000];
        ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut junk);
        peer.raw(&junk).await;
        let _ = done.try_send(());
        return peer.until_closed().await;
    }
    peer.offer(content).await;
    while let Some(message) = peer.hear().await {
        let Message::Request(r) = message else {
            continue;
        };
        let first = seen.requests.fetch_add(1, Ordering::SeqCst) == 0;
        let BlockRef { piece, begin, len } = r;
        let good = content.block(piece, begin, len);
        let bad: Bytes = good.iter().map(|b| !b).collect();
        let data = match fault {
            WrongPieces => bad,
            OneWrongBlock if begin == block_len() => bad,
            OneWrongBlock => good,
            Rejects => {
                peer.say(Message::Reject(r)).await;
                let _ = done.try_send(());
                continue;
            }
            Stalls | Resets if first => {
                let mut half = (len + 9).to_be_bytes().to_vec();
                half.push(7);
                half.extend_from_slice(&piece.to_be_bytes());
                half.extend_from_slice(&begin.to_be_bytes());
                half.extend_from_slice(&good[..good.len() / 2]);
                peer.raw(&half).await;
                let _ = done.try_send(());
                if fault == Resets {
                    let _ = socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO));
                    return;
                }
                continue;
            }
            Resets => {
                let _ = socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO));
                return;
            }
            _ => {
                let _ = done.try_send(());
                continue;
            }
        };
        peer.say(Message::Piece { piece, begin, data }).await;
        let _ = done.try_send(());
    }
}

/// A faulty peer that is dialled; where it listens.
async fn faulty_peer(
    fault: Fault,
    content: Arc<Content>,
    seen: Arc<Seen>,
    done: mpsc::Sender<()>,
) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (content, seen, done) = (content.clone(), seen.clone(), done.clone());
            seen.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                if let Some(mut peer) = Peer::answer(stream, &content).await {
                    go_wrong(fault, &mut peer, &content, &seen, &done).await;
                }
                seen.closed.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    addr
}

/// How a download went.
struct Outcome {
    last: Progress,
    seen: Arc<Seen>,
    /// Bytes from each of the two honest peers.
    honest: Vec<u64>,
}

/// A download from a faulty peer and two honest ones, which serve once the faulty one has gone wrong.
async fn beside(fault: Fault) -> Outcome {
    watch_panics();
    let content = Content::new(20 + fault as u64, 4_000_001, 64 << 10);
    let seen = Arc::new(Seen::default());
    let (done, mut gone_wrong) = mpsc::channel(1);
    let faulty = faulty_peer(fault, content.clone(), seen.clone(), done).await;
    let gate = watch::Sender::new(false);
    let honest = [
        good_peer(content.clone(), gate.subscribe()).await,
        good_peer(content.clone(), gate.subscribe()).await,
    ];
    let leech = Leech::start(content.torrent(), vec![faulty, honest[0], honest[1]]).await;
    let waiting = tokio::time::timeout(DEADLINE, gone_wrong.recv());
    assert!(waiting.await.is_ok(), "{fault:?}: was not asked");
    gate.send_replace(true);
    let last = leech.finish(&format!("{fault:?}"), &content).await;
    let of = |addr: &SocketAddr| last.peers.iter().find(|p| p.addr == *addr);
    let honest = honest.iter().map(|a| of(a).map_or(0, |p| p.downloaded));
    assert_sound(MAX_MIB);
    Outcome {
        honest: honest.collect(),
        seen,
        last,
    }
}

impl Outcome {
    /// Nobody was taken for a liar.
    fn nobody_is_banned(&self) {
        assert_eq!(self.last.banned, 0, "{:?}", self.last);
        assert_eq!(self.last.bad_pieces, 0, "{:?}", self.last);
    }

    /// Exactly the guilty one was, and it was let go of.
    fn the_guilty_is_banned(&self) {
        assert_eq!(self.last.banned, 1, "{:?}", self.last);
        assert!(self.last.bad_pieces >= 1, "{:?}", self.last);
        assert!(self.honest.iter().sum::<u64>() > 0, "{:?}", self.honest);
        let connections = self.seen.connections.load(Ordering::SeqCst);
        assert_eq!(connections, 1, "it is not dialled again");
    }

    /// It was asked for no more than it may owe.
    fn it_was_asked_for(&self, most: usize) {
        let requests = self.seen.requests.load(Ordering::SeqCst);
        assert!((1..=most).contains(&requests), "{requests} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_garbage_is_closed_and_the_download_finishes() {
    let outcome = beside(Garbage).await;
    outcome.nobody_is_banned();
    assert!(outcome.last.drops.contains_key(&DropReason::BadFrame));
    assert!(outcome.seen.closed.load(Ordering::SeqCst) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_wrong_pieces_is_banned_and_the_download_finishes() {
    beside(WrongPieces).await.the_guilty_is_banned();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lies_in_its_bitfield_and_sends_one_wrong_block_a_piece_is_banned() {
    beside(OneWrongBlock).await.the_guilty_is_banned();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lies_in_its_bitfield_and_rejects_every_request_is_left_alone() {
    let outcome = beside(Rejects).await;
    outcome.nobody_is_banned();
    outcome.it_was_asked_for(10 * FIRST_WINDOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lies_in_its_bitfield_and_never_sends_holds_nothing_up() {
    let outcome = beside(NeverSends).await;
    outcome.nobody_is_banned();
    outcome.it_was_asked_for(2 * FIRST_WINDOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stalls_mid_block_holds_nothing_up() {
    let outcome = beside(Stalls).await;
    outcome.nobody_is_banned();
    outcome.it_was_asked_for(2 * FIRST_WINDOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_resets_mid_block_costs_nothing_but_the_block() {
    let outcome = beside(Resets).await;
    outcome.nobody_is_banned();
    assert_eq!(outcome.last.wasted, 0, "{:?}", outcome.last);
    let connections = outcome.seen.connections.load(Ordering::SeqCst);
    assert!(connections <= 8, "dialled {connections} times");
}

/// One that opens a thousand connections gets no more of them than the table holds, and nobody is kept out.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_opens_a_thousand_connections_is_bounded_and_the_download_finishes() {
    watch_panics();
    let content = Content::new(30, 2_000_001, 64 << 10);
    let gate = watch::Sender::new(false);
    let silent = good_peer(content.clone(), gate.subscribe()).await;
    let mut leech = Leech::start(content.torrent(), vec![silent]).await;
    leech
        .until("connected", |p| p.pieces_total > 0 && p.near + p.far == 1)
        .await;
    let addr = leech.addr();
    let open = Arc::new(AtomicUsize::new(0));
    let mut held = Vec::new();
    for _ in 0..1000 {
        if let Some(mut peer) = Peer::dial(addr, &content).await {
            let open = open.clone();
            open.fetch_add(1, Ordering::SeqCst);
            held.push(tokio::spawn(async move {
                peer.until_closed().await;
                open.fetch_sub(1, Ordering::SeqCst);
            }));
        }
    }
    let most = chunkcast::client::ClientConfig::default().max_neighbours;
    eventually("the rest is turned away", || {
        open.load(Ordering::SeqCst) <= most
    })
    .await;
    assert!(!held.is_empty(), "nobody was let in");
    // a newcomer that has something gets in beside them; turned away, it calls again as any client does
    let newcomer = tokio::spawn({
        let content = content.clone();
        async move {
            loop {
                if let Some(mut peer) = Peer::dial(addr, &content).await {
                    serve(&mut peer, &content).await;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    let last = leech.finish("a thousand connections", &content).await;
    assert!(last.near + last.far <= u32::try_from(most).expect("few"));
    held.iter().for_each(|task| task.abort());
    newcomer.abort();
    assert_sound(MAX_MIB);
}

/// Bytes that are on the disk of a file.
fn written(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.blocks() * 512)
}

/// Fifteen processes and a seed know each other only through the directory; five are killed when they have a part.
#[test]
fn kill_9_of_five_of_fifteen_peers_mid_way_and_the_rest_finish() {
    const LEN: u64 = 24 << 20;
    const DEADLINE: Duration = Duration::from_secs(180);
    let dir = scratch();
    let data = noise(31, usize::try_from(LEN).expect("fits"));
    let source = dir.path().join("source/file.bin");
    write(&source, &data);
    let torrent = dir.path().join("t.torrent");
    create(&source, &torrent, &["--piece-length", "64KiB"]);
    let (torrent, source) = (torrent.display().to_string(), source.display().to_string());
    let seed_args = ["seed", &torrent, "--data", &source, "--no-trackers"];
    let seed = ours("seed", dir.path(), &seed_args);
    let metadata = wait_for("the seed is ready", DEADLINE, || {
        seed.events("complete").pop()?;
        seed.events("metadata").pop()
    });
    let index = metadata["index"]
        .as_str()
        .expect("an index node")
        .to_owned();
    let file = |i: usize| dir.path().join(format!("copy-{i}/file.bin"));
    let mut peers: Vec<Proc> = (0..15)
        .map(|i| {
            let out = dir.path().join(format!("copy-{i}")).display().to_string();
            let get = ["get", &torrent, "-o", &out, "--no-trackers", "--seed"];
            let mut args = get.to_vec();
            args.extend(["--bootstrap", &index]);
            ours(&format!("get-{i}"), dir.path(), &args)
        })
        .collect();
    // each is killed in the middle of its own download
    let mut killed: Vec<usize> = Vec::new();
    wait_for("five are mid-way", DEADLINE, || {
        for (i, peer) in peers.iter_mut().enumerate() {
            let part = (LEN / 8..LEN * 7 / 8).contains(&written(&file(i)));
            if killed.len() < 5 && part && !killed.contains(&i) {
                peer.kill();
                killed.push(i);
            }
        }
        (killed.len() == 5).then_some(())
    });
    for i in (0..15).filter(|i| !killed.contains(i)) {
        wait_for("a survivor has everything", DEADLINE, || {
            let ended = peers[i].try_wait();
            assert!(ended.is_none(), "get-{i} ended: {}", peers[i].log());
            peers[i].events("complete").pop()
        });
        let copy = std::fs::read(file(i)).expect("the copy");
        assert!(copy == data, "copy {i} differs from the source");
    }
    for i in killed {
        assert!(peers[i].events("complete").is_empty(), "killed too late");
    }
}
