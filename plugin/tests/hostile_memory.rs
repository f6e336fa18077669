//! Memory under a peer that pads every block with junk. A test binary of its own, as it measures the process.

#![allow(
    clippy::disallowed_types,
    reason = "a hand-written peer is made of sockets"
)]

mod hostile_common;

use std::collections::BTreeMap;

use chunkcast_bittorrent::wire::message::Message;
use hostile_common::*;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Each requested block comes in a read buffer's worth of junk, and every piece lacks one block, so that all of them
/// stay in memory.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_unfinished_pieces_take_no_more_memory_than_their_bytes() {
    watch_panics();
    let content = Content::new(7, 32 << 20, 1 << 20);
    let gate = watch::Sender::new(false);
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let hostile = listener.local_addr().expect("bound");
    let good = good_peer(content.clone(), gate.subscribe()).await;
    let before = peak_mib("self");
    let mut leech = Leech::start(content.torrent(), vec![hostile, good]).await;
    let wrong = content.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("dialled");
        let mut peer = Peer::answer(stream, &wrong).await.expect("a handshake");
        peer.offer(&wrong).await;
        let junk = vec![0; 112 << 10];
        let mut sent: BTreeMap<u32, u32> = BTreeMap::new();
        while let Some(message) = peer.hear().await {
            let Message::Request(r) = message else {
                continue;
            };
            let count = sent.entry(r.piece).or_default();
            if *count == 63 {
                continue;
            }
            *count += 1;
            let (piece, begin) = (r.piece, r.begin);
            let data = wrong.block(piece, begin, r.len);
            peer.say(Message::Piece { piece, begin, data }).await;
            peer.frame(99, &junk).await;
        }
    });
    let most = 26 << 20;
    leech
        .until("blocks are kept", |p| p.downloaded >= most)
        .await;
    let peak = peak_mib("self") - before;
    println!("{peak} MiB for {} MiB of blocks", most >> 20);
    gate.send_replace(true);
    leech.finish("padded blocks", &content).await;
    assert!(peak <= 100, "{peak} MiB for {} MiB of blocks", most >> 20);
    assert_sound(320);
}
