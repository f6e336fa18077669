//! Hostile peers on real sockets: whatever they say, the download completes, the bytes are right, nobody panics, the
//! memory is bounded, and what they did is counted.

#![allow(
    clippy::disallowed_types,
    reason = "a hand-written peer is made of sockets"
)]

mod hostile_common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chunkcast_bittorrent::swarm::DropReason;
use chunkcast_bittorrent::wire::extended::{ExtendedHandshake, OUR_UT_METADATA, UtMetadata};
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use hostile_common::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Peak of the whole test process, all its sessions and hostile peers together. // measured: about 90
const MAX_MIB: u64 = 256;

/// What a hostile peer does once the handshakes are exchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    MetadataFirst,
    HugePrefix,
    UnknownIds,
    LongBitfield,
    ShortBitfield,
    SpareBits,
    LateBitfield,
    TwoBitfields,
    HaveOutOfRange,
    UnaskedBlocks,
    StallMidBlock,
    Reset,
    RequestFlood,
    WildRequests,
    ChokeFlood,
    KeepAliveFlood,
    HandshakeFlood,
    NotBencode,
    RandomBytes,
    PhantomMetadata(i64),
    WrongMetadata,
}

use Script::*;

const SCRIPTS: [Script; 24] = [
    MetadataFirst,
    HugePrefix,
    UnknownIds,
    LongBitfield,
    ShortBitfield,
    SpareBits,
    LateBitfield,
    TwoBitfields,
    HaveOutOfRange,
    UnaskedBlocks,
    StallMidBlock,
    Reset,
    RequestFlood,
    WildRequests,
    ChokeFlood,
    KeepAliveFlood,
    HandshakeFlood,
    NotBencode,
    RandomBytes,
    PhantomMetadata(1 << 30),
    PhantomMetadata(0),
    PhantomMetadata(-1),
    PhantomMetadata(1 << 40),
    WrongMetadata,
];

impl Script {
    /// What the victim counts, when it has the metadata already.
    fn counted(self) -> Option<DropReason> {
        Some(match self {
            MetadataFirst | NotBencode => DropReason::BadExtended,
            HugePrefix => DropReason::BadFrame,
            UnknownIds => DropReason::UnknownMessage,
            LongBitfield | ShortBitfield | SpareBits => DropReason::BadBitfield,
            LateBitfield | TwoBitfields => DropReason::LateBitfield,
            HaveOutOfRange => DropReason::BadHave,
            UnaskedBlocks => DropReason::Unrequested,
            RequestFlood => DropReason::NotHeld,
            WildRequests => DropReason::BadRequest,
            ChokeFlood => DropReason::Redundant,
            _ => return None,
        })
    }

    /// Whether the victim, having the metadata, closes the connection for it.
    fn closed(self) -> bool {
        !matches!(
            self,
            UnknownIds
                | LateBitfield
                | TwoBitfields
                | StallMidBlock
                | PhantomMetadata(_)
                | WrongMetadata
        )
    }

    /// Says it all, or as much as the victim listens to.
    async fn act(self, peer: &mut Peer, content: &Content) {
        match self {
            MetadataFirst => {
                let data = UtMetadata::Data {
                    piece: 0,
                    total_size: 100,
                    data: Bytes::from_static(&[7; 100]),
                };
                for _ in 0..20 {
                    peer.extended(OUR_UT_METADATA, data.encode()).await;
                }
                shake(peer, 100).await;
                for _ in 0..20 {
                    peer.extended(OUR_UT_METADATA, data.encode()).await;
                }
            }
            HugePrefix => {
                peer.raw(&[0xff; 64]).await;
            }
            UnknownIds => {
                for id in [10, 11, 12, 18, 19, 21, 99, 255] {
                    peer.frame(id, &[id; 1000]).await;
                }
                for id in [1, 3, 4, 200, 255] {
                    peer.extended(id, vec![id; 1000]).await;
                }
                // and the peer goes on as if nothing had happened
                peer.say(Message::Bitfield(vec![0; content.full().len()].into()))
                    .await;
            }
            LongBitfield => {
                let mut bits = content.full();
                bits.extend_from_slice(&[0; 1000]);
                peer.say(Message::Bitfield(bits.into())).await;
            }
            ShortBitfield => {
                let bits = content.full();
                peer.say(Message::Bitfield(Bytes::copy_from_slice(&bits[1..])))
                    .await;
            }
            SpareBits => {
                let mut bits = content.full();
                *bits.last_mut().expect("pieces") |= 1;
                peer.say(Message::Bitfield(bits.into())).await;
            }
            LateBitfield => {
                peer.say(Message::Have(0)).await;
                peer.say(Message::Bitfield(content.full().into())).await;
            }
            TwoBitfields => {
                peer.say(Message::Bitfield(content.full().into())).await;
                peer.say(Message::Bitfield(content.full().into())).await;
            }
            HaveOutOfRange => {
                for piece in [content.pieces(), i32::MAX as u32, u32::MAX] {
                    peer.say(Message::Have(piece)).await;
                }
            }
            UnaskedBlocks => {
                for piece in (0..content.pieces()).cycle().take(40) {
                    let data = Bytes::from(vec![6; 16 << 10]);
                    let begin = 0;
                    peer.say(Message::Piece { piece, begin, data }).await;
                }
            }
            StallMidBlock | Reset => {
                peer.offer(content).await;
                let block = loop {
                    match peer.hear().await {
                        Some(Message::Request(block)) => break block,
                        Some(_) => {}
                        None => return,
                    }
                };
                let mut half = (block.len + 9).to_be_bytes().to_vec();
                half.push(7);
                half.extend_from_slice(&block.piece.to_be_bytes());
                half.extend_from_slice(&block.begin.to_be_bytes());
                half.extend_from_slice(&content.block(block.piece, block.begin, block.len / 2));
                peer.raw(&half).await;
                if self == Reset {
                    let _ = socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO));
                }
            }
            RequestFlood => {
                peer.say(Message::Interested).await;
                for begin in 0..20_000 {
                    let (piece, begin, len) = (begin % content.pieces(), begin % 7, 1024);
                    let request = BlockRef { piece, begin, len };
                    if !peer.say(Message::Request(request)).await {
                        break;
                    }
                }
            }
            WildRequests => {
                peer.say(Message::Interested).await;
                let wild = [0, 1, 1 << 17, 1 << 31, u32::MAX, u32::MAX - 15];
                for piece in wild {
                    for (begin, len) in wild.iter().flat_map(|b| wild.map(|l| (*b, l))) {
                        let block = BlockRef { piece, begin, len };
                        peer.say(Message::Request(block)).await;
                        peer.say(Message::Cancel(block)).await;
                        peer.say(Message::Reject(block)).await;
                    }
                }
            }
            ChokeFlood => {
                for _ in 0..5000 {
                    peer.say(Message::Unchoke).await;
                    peer.say(Message::Choke).await;
                    if !peer.say(Message::Choke).await {
                        break;
                    }
                }
            }
            KeepAliveFlood => {
                for _ in 0..100 {
                    peer.raw(&[0; 4096]).await;
                }
            }
            HandshakeFlood => {
                for _ in 0..5000 {
                    if !shake(peer, 100).await {
                        break;
                    }
                }
            }
            NotBencode => {
                for at in 0..40 {
                    let mut lists = vec![b'l'; 10_000];
                    lists[at] = b'x';
                    peer.extended(0, lists).await;
                    peer.extended(OUR_UT_METADATA, vec![b'd'; at]).await;
                }
            }
            RandomBytes => {
                let mut rng = ChaCha8Rng::seed_from_u64(content.data.len() as u64);
                let mut junk = vec![0; 10_000];
                rng.fill_bytes(&mut junk);
                peer.raw(&junk).await;
            }
            PhantomMetadata(size) => {
                let m = "d1:md11:ut_metadatai3ee13:metadata_sizei";
                peer.extended(0, format!("{m}{size}ee").into_bytes()).await;
            }
            WrongMetadata => {
                shake(peer, content.meta.info.len()).await;
            }
        }
    }
}

async fn shake(peer: &mut Peer, size: usize) -> bool {
    let handshake = ExtendedHandshake {
        ut_metadata: Some(3),
        metadata_size: u32::try_from(size).ok(),
        ..ExtendedHandshake::default()
    };
    peer.extended(0, handshake.encode()).await
}

/// Goes on until the connection is closed: answers metadata requests wrongly, and nothing else.
async fn stay(script: Script, peer: &mut Peer, content: &Content) {
    while let Some(message) = peer.hear().await {
        if let Message::Extended { id: 3, payload } = message
            && let Ok(UtMetadata::Request(piece)) = UtMetadata::decode(&payload)
            && script == WrongMetadata
        {
            let len = content.meta.info.len();
            let data = UtMetadata::Data {
                piece,
                total_size: u32::try_from(len).expect("short"),
                data: vec![b'x'; len].into(),
            };
            peer.extended(OUR_UT_METADATA, data.encode()).await;
        }
    }
}

/// A hostile peer that is dialled, and speaks when the victim is `ready`. It tells on `said` that it has said
/// everything, and later that it was closed.
async fn hostile_listener(
    script: Script,
    content: Arc<Content>,
    said: mpsc::Sender<bool>,
    mut ready: watch::Receiver<bool>,
) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Some(peer) = Peer::answer(stream, &content).await
                && ready.wait_for(|ready| *ready).await.is_ok()
            {
                tokio::spawn(play(script, peer, content.clone(), said.clone()));
            }
        }
    });
    addr
}

async fn play(script: Script, mut peer: Peer, content: Arc<Content>, said: mpsc::Sender<bool>) {
    script.act(&mut peer, &content).await;
    let _ = said.send(false).await;
    if script != Reset {
        stay(script, &mut peer, &content).await;
    }
    drop(peer);
    let _ = said.send(true).await;
}

/// One download with one hostile peer that it dials, two that dial it, and an honest one that serves once they have
/// all spoken.
async fn survives(script: Script, magnet: bool) {
    let what = format!("{script:?}, magnet: {magnet}");
    let content = Content::new(3, 600_001, 32 << 10);
    let (said, mut heard) = mpsc::channel(64);
    let gate = watch::Sender::new(false);
    // what is said before the disk was looked at is judged later
    let ready = watch::Sender::new(magnet);
    let hostile = hostile_listener(script, content.clone(), said.clone(), ready.subscribe()).await;
    let good = good_peer(content.clone(), gate.subscribe()).await;
    let source = if magnet {
        content.magnet()
    } else {
        content.torrent()
    };
    let mut leech = Leech::start(source, vec![hostile, good]).await;
    if !magnet {
        leech
            .until(&what, |p| p.pieces_total > 0 && p.near + p.far == 2)
            .await;
        ready.send_replace(true);
    }
    for _ in 0..2 {
        let addr = leech.addr();
        let peer = Peer::dial(addr, &content).await.expect("let in");
        tokio::spawn(play(script, peer, content.clone(), said.clone()));
    }
    let (mut spoke, mut closed) = (0, 0);
    // in a magnet link's first moments nobody is asked for blocks
    let asks = matches!(script, StallMidBlock | Reset);
    let speakers = if asks && magnet { 0 } else { 3 };
    let must_close = if script.closed() && !magnet { 3 } else { 0 };
    let speaking = async {
        while spoke < speakers || closed < must_close {
            let ended = heard.recv().await.expect("we hold a sender");
            *(if ended { &mut closed } else { &mut spoke }) += 1;
        }
    };
    let speaking = tokio::time::timeout(DEADLINE, speaking).await;
    assert!(speaking.is_ok(), "{what}: {spoke} spoke, {closed} closed");
    gate.send_replace(true);
    let last = leech.finish(&what, &content).await;
    if let Some(reason) = script.counted().filter(|_| !magnet) {
        assert!(last.drops.contains_key(&reason), "{what}: {:?}", last.drops);
    }
    assert_eq!(last.bad_pieces, 0, "{what}");
    let liars = if script == WrongMetadata && magnet {
        1..=3
    } else {
        0..=0
    };
    assert!(liars.contains(&last.banned), "{what}: {}", last.banned);
}

async fn all_survive(magnet: bool) {
    watch_panics();
    let mut downloads = JoinSet::new();
    for script in SCRIPTS {
        downloads.spawn(survives(script, magnet));
    }
    while let Some(done) = downloads.join_next().await {
        if let Err(e) = done {
            std::panic::resume_unwind(e.into_panic());
        }
    }
    assert_sound(MAX_MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_survives_whatever_a_peer_says() {
    all_survive(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_link_survives_whatever_a_peer_says() {
    all_survive(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_blocks_are_banned_and_nobody_else_is() {
    watch_panics();
    let content = Content::new(4, 3_000_001, 64 << 10);
    let (said, mut heard) = mpsc::channel(64);
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let liar = listener.local_addr().expect("bound");
    let wrong = content.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (content, said) = (wrong.clone(), said.clone());
            tokio::spawn(async move {
                let Some(mut peer) = Peer::answer(stream, &content).await else {
                    return;
                };
                peer.offer(&content).await;
                while let Some(message) = peer.hear().await {
                    if let Message::Request(r) = message {
                        let (piece, begin) = (r.piece, r.begin);
                        let data = Bytes::from(vec![0xbd; r.len as usize]);
                        peer.say(Message::Piece { piece, begin, data }).await;
                    }
                }
                let _ = said.send(()).await;
            });
        }
    });
    let gate = watch::Sender::new(false);
    let good = [
        good_peer(content.clone(), gate.subscribe()).await,
        good_peer(content.clone(), gate.subscribe()).await,
    ];
    let leech = Leech::start(content.torrent(), vec![liar, good[0], good[1]]).await;
    // alone with the liar first: every piece of its is bad
    let closed = tokio::time::timeout(DEADLINE, heard.recv()).await;
    assert!(closed.is_ok(), "the liar was not closed");
    gate.send_replace(true);
    let last = leech.finish("wrong blocks", &content).await;
    assert_eq!(last.banned, 1, "{last:?}");
    assert!(last.bad_pieces >= 1, "{last:?}");
    for addr in good {
        let row = last.peers.iter().find(|p| p.addr == addr);
        assert!(row.is_some_and(|p| p.downloaded > 0), "{addr}: {last:?}");
    }
    assert_sound(MAX_MIB);
}

/// A thousand connections to a seed, in three kinds: silent before the handshake, a byte at a time, and silent after.
#[tokio::test(flavor = "multi_thread")]
async fn a_seed_flooded_with_connections_still_serves() {
    watch_panics();
    let content = Content::new(5, 1_000_001, 32 << 10);
    let (session, handle, _dir) = seed(&content, Vec::new()).await;
    let addr = session.listen_addr();
    let mut held = Vec::new();
    let mut shaken = Vec::new();
    for n in 0..1000 {
        if n % 3 == 2 {
            // beyond its table the seed turns them away
            shaken.extend(Peer::dial(addr, &content).await);
        } else if let Ok(stream) = TcpStream::connect(addr).await {
            held.push(stream);
        }
    }
    let drip = tokio::spawn(async move {
        for byte in b"\x13BitTorrent protocol".iter().cycle().take(2000) {
            for stream in &held {
                let _ = stream.try_write(&[*byte]);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(held);
    });
    let leech = Leech::start(content.torrent(), vec![addr]).await;
    leech.finish("from a flooded seed", &content).await;
    // and a caller gets in, though a thousand are at the door
    let mut caller = Peer::dial(addr, &content).await.expect("answered");
    let mut byte = [0];
    let told = tokio::time::timeout(DEADLINE, caller.stream.read(&mut byte)).await;
    assert!(told.is_ok(), "the seed says nothing");
    drip.abort();
    drop(shaken);
    let last = handle.stop().await;
    assert!(last.uploaded >= content.data.len() as u64, "{last:?}");
    session.shutdown().await;
    assert_sound(MAX_MIB);
}

/// Peers that ask and never read must not use up what the seed may have in its sockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_seed_serves_beside_peers_that_ask_and_never_read() {
    watch_panics();
    let content = Content::new(6, 8 << 20, 64 << 10);
    let (session, handle, _dir) = seed(&content, Vec::new()).await;
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut peer = Peer::dial(session.listen_addr(), &content)
            .await
            .expect("let in");
        peer.say(Message::Interested).await;
        // it listens until it may ask
        while !matches!(peer.hear().await, Some(Message::Unchoke)) {}
        for round in 0..4 {
            for piece in 0..content.pieces() {
                let (begin, len) = (round * (16 << 10), 16 << 10);
                let block = BlockRef { piece, begin, len };
                peer.say(Message::Request(block)).await;
            }
        }
        deaf.push(peer);
    }
    let leech = Leech::start(content.torrent(), vec![session.listen_addr()]).await;
    leech.finish("beside deaf peers", &content).await;
    drop(deaf);
    handle.stop().await;
    session.shutdown().await;
    assert_sound(MAX_MIB);
}
