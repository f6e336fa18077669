//! Connections over loopback: handshakes, exchange, back-pressure, and peers that misbehave.

#![allow(clippy::disallowed_types)] // a hostile peer is a bare socket

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chunkcast_bittorrent::wire::codec::{FrameError, FrameLimits};
use chunkcast_bittorrent::wire::conn::{CloseReason, ConnConfig, ConnEvent, Outbox, start};
use chunkcast_bittorrent::wire::connect::{
    AcceptError, Asked, DialError, PeerStream, accept, dial,
};
use chunkcast_bittorrent::wire::encryption::Encryption;
use chunkcast_bittorrent::wire::message::{BlockRef, Handshake, Message};
use chunkcast_bittorrent::wire::stream::{Stream, Transport};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const TORRENT: [u8; 20] = [1; 20];

fn handshake(peer: u8) -> Handshake {
    Handshake::ours(TORRENT, [peer; 20])
}

/// Ends a test that hangs; longer than the timers that tests wait for under a paused clock.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(200), what)
        .await
        .expect("it happens")
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

/// One attempt each, in plaintext.
fn plaintext() -> ConnConfig {
    ConnConfig {
        encryption: Encryption::Off,
        ..ConnConfig::default()
    }
}

/// Dials and accepts with these handshakes, the accepting side serving `serving`.
async fn connect(
    dialing: Handshake,
    serving: Handshake,
) -> (
    Result<PeerStream, DialError>,
    Result<PeerStream, AcceptError>,
) {
    let config = plaintext();
    let (listener, addr) = listener().await;
    let answer = async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        let lookup =
            |asked: Asked<'_>| (asked == Asked::InfoHash(&serving.info_hash)).then_some(serving);
        accept(stream, remote, lookup, &config).await
    };
    tokio::join!(dial(addr, dialing, None, &config), answer)
}

struct Conn {
    out: Outbox,
    events: mpsc::Receiver<(u8, ConnEvent)>,
}

impl Conn {
    fn start(peer: PeerStream, config: &ConnConfig, channel: usize) -> Self {
        let (sender, events) = mpsc::channel(channel);
        let out = start(7, peer, FrameLimits::for_pieces(100), sender, config);
        Self { out, events }
    }

    async fn event(&mut self) -> Option<ConnEvent> {
        let event = soon(self.events.recv()).await;
        event.map(|(key, event)| {
            assert_eq!(key, 7);
            event
        })
    }

    /// All events up to the end: messages, flushed bytes, unknown messages, the reason.
    async fn rest(&mut self) -> (Vec<Message>, u64, u32, CloseReason) {
        let (mut messages, mut flushed, mut skipped, mut reason) = (Vec::new(), 0, 0, None);
        while let Some(event) = self.event().await {
            assert_eq!(reason, None, "an event after the last one: {event:?}");
            match event {
                ConnEvent::Messages(batch) => {
                    assert!(!batch.is_empty());
                    messages.extend(batch);
                }
                ConnEvent::Flushed(bytes) => flushed += bytes,
                ConnEvent::Held { .. } | ConnEvent::BadAnswer => {}
                ConnEvent::Unknown { count, .. } => skipped += count,
                ConnEvent::Closed(why) => reason = Some(why),
            }
        }
        (messages, flushed, skipped, reason.expect("a reason, once"))
    }
}

async fn pair(config: &ConnConfig) -> (Conn, Conn) {
    let (dialed, accepted) = connect(handshake(1), handshake(2)).await;
    let (dialed, accepted) = (dialed.expect("connected"), accepted.expect("connected"));
    (
        Conn::start(dialed, config, 64),
        Conn::start(accepted, config, 64),
    )
}

/// A connection of ours, and the bare socket of a peer that can do anything.
async fn against_raw(config: &ConnConfig, channel: usize) -> (Conn, Stream) {
    let (dialed, accepted) = connect(handshake(1), handshake(2)).await;
    let raw = dialed.expect("connected").stream;
    (
        Conn::start(accepted.expect("connected"), config, channel),
        raw,
    )
}

fn block(piece: u32, len: usize) -> Message {
    let fill = u8::try_from(piece % 251).expect("below 251");
    Message::Piece {
        piece,
        begin: 0,
        data: Bytes::from(vec![fill; len]),
    }
}

fn encode(messages: &[Message]) -> BytesMut {
    let mut out = BytesMut::new();
    messages
        .iter()
        .for_each(|message| message.encode_into(&mut out));
    out
}

async fn all_tasks_ended(before: usize) {
    let metrics = tokio::runtime::Handle::current().metrics();
    soon(async {
        while metrics.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_peers_shake_hands_and_learn_each_others_ids() {
    let (dialed, accepted) = connect(handshake(1), handshake(2)).await;
    let (dialed, accepted) = (dialed.expect("connected"), accepted.expect("connected"));
    assert_eq!(dialed.handshake, handshake(2));
    assert_eq!(accepted.handshake, handshake(1));
    assert!(dialed.rtt.is_some() && accepted.rtt.is_none());
    for peer in [&dialed, &accepted] {
        assert_eq!(peer.stream.transport(), Transport::Tcp);
        assert!(!peer.stream.is_encrypted());
    }
    let [ours, theirs] = [&dialed, &accepted].map(|peer| peer.stream.tcp().expect("TCP"));
    assert_eq!(accepted.remote, ours.local_addr().expect("connected"));
    assert!(ours.nodelay().expect("set") && theirs.nodelay().expect("set"));
}

#[tokio::test]
async fn handshakes_for_another_torrent_and_with_ourselves_are_refused() {
    let other = Handshake::ours([9; 20], [2; 20]);
    let (dialed, accepted) = connect(handshake(1), other).await;
    assert!(
        matches!(accepted, Err(AcceptError::UnknownTorrent)),
        "{accepted:?}"
    );
    assert!(
        matches!(dialed, Err(DialError::Closed { .. })),
        "{dialed:?}"
    );

    let (dialed, accepted) = connect(handshake(1), handshake(1)).await;
    assert!(
        matches!(accepted, Err(AcceptError::SelfConnection)),
        "{accepted:?}"
    );
    assert!(
        matches!(dialed, Err(DialError::SelfConnection(_))),
        "{dialed:?}"
    );

    let (listener, addr) = listener().await;
    let config = ConnConfig::default();
    let answer = async {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        stream.write_all(&other.to_bytes()).await.expect("written");
        stream
    };
    let (dialed, _stream) = tokio::join!(dial(addr, handshake(1), None, &config), answer);
    assert!(
        matches!(dialed, Err(DialError::WrongTorrent(_))),
        "{dialed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_refused_at_its_first_bytes() {
    let config = plaintext();
    let (listener, addr) = listener().await;
    let answer = async {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        stream.write_all(b"SSH-2.0").await.expect("written");
        stream // kept open: nothing but the bytes themselves can end the wait
    };
    let (dialed, _stream) = tokio::join!(dial(addr, handshake(1), None, &config), answer);
    assert!(
        matches!(dialed, Err(DialError::NotBitTorrent(_))),
        "{dialed:?}"
    );

    let mut caller = TcpStream::connect(addr).await.expect("connected");
    caller.write_all(b"GET / HTTP/1.1").await.expect("written");
    let (stream, remote) = listener.accept().await.expect("a caller");
    let accepted = accept(stream, remote, |_| Some(handshake(2)), &config).await;
    assert!(
        matches!(accepted, Err(AcceptError::NotBitTorrent(_))),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn a_caller_that_holds_back_its_peer_id_is_answered() {
    let config = ConnConfig::default();
    let (listener, addr) = listener().await;
    let caller = async {
        let mut stream = TcpStream::connect(addr).await.expect("connected");
        let bytes = handshake(1).to_bytes();
        stream.write_all(&bytes[..48]).await.expect("written");
        let mut answer = [0; 68];
        stream
            .read_exact(&mut answer)
            .await
            .expect("an answer before our id");
        stream.write_all(&bytes[48..]).await.expect("written");
        answer
    };
    let answer = async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        accept(stream, remote, |_| Some(handshake(2)), &config).await
    };
    let (answer, accepted) = soon(async { tokio::join!(caller, answer) }).await;
    assert_eq!(answer, handshake(2).to_bytes());
    assert_eq!(accepted.expect("connected").handshake, handshake(1));
}

#[tokio::test(start_paused = true)]
async fn silence_instead_of_a_handshake_ends_in_time() {
    let config = ConnConfig::default();
    let (listener, addr) = listener().await;
    let started = tokio::time::Instant::now();
    let dialed = dial(addr, handshake(1), None, &config).await;
    assert!(
        matches!(dialed, Err(DialError::HandshakeTimeout(_))),
        "{dialed:?}"
    );
    assert!(started.elapsed() >= config.handshake_timeout);

    drop(listener.accept().await); // the one above
    let mut slow = TcpStream::connect(addr).await.expect("connected");
    slow.write_all(&handshake(1).to_bytes()[..67])
        .await
        .expect("written");
    let (stream, remote) = listener.accept().await.expect("a caller");
    let accepted = accept(stream, remote, |_| Some(handshake(2)), &config).await;
    assert!(
        matches!(accepted, Err(AcceptError::HandshakeTimeout)),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_address() {
    let (listener, addr) = listener().await;
    drop(listener);
    let error = dial(addr, handshake(1), None, &ConnConfig::default())
        .await
        .expect_err("nobody");
    assert!(matches!(error, DialError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains(&addr.to_string()));
}

#[tokio::test]
async fn a_dialler_binds_to_the_address_it_is_told() {
    let (listener, addr) = listener().await;
    let config = ConnConfig::default();
    let bind = "127.0.0.9".parse().expect("an address");
    let answer = async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        accept(stream, remote, |_| Some(handshake(2)), &config).await
    };
    let (dialed, accepted) = tokio::join!(dial(addr, handshake(1), Some(bind), &config), answer);
    assert!(dialed.is_ok());
    assert_eq!(accepted.expect("connected").remote.ip(), bind);
}

#[tokio::test]
async fn messages_arrive_in_order_both_ways_and_blocks_are_counted_when_written() {
    let (mut a, mut b) = pair(&ConnConfig::default()).await;
    let request = BlockRef {
        piece: 3,
        begin: 0,
        len: 16 * 1024,
    };
    let mut to_b = vec![
        Message::HaveNone,
        Message::Interested,
        Message::Request(request),
    ];
    to_b.extend((0..5000).map(Message::Have));
    let mut to_a = vec![
        Message::Bitfield(Bytes::from(vec![0xff; 13])),
        Message::Unchoke,
    ];
    to_a.extend((0..200).map(|piece| block(piece, 16 * 1024)));
    to_a.push(Message::Extended {
        id: 2,
        payload: Bytes::from_static(b"de"),
    });
    for message in &to_b {
        assert!(a.out.send(message.clone()));
    }
    for message in &to_a {
        assert!(b.out.send(message.clone()));
    }
    let mut received = Vec::new();
    while received.len() < to_a.len() {
        if let Some(ConnEvent::Messages(batch)) = a.event().await {
            received.extend(batch);
        }
    }
    // blocks keep their order, and what is said in between keeps its own
    let blocks = |all: &[Message]| -> (Vec<Message>, Vec<Message>) {
        let is_block = |m: &Message| matches!(m, Message::Piece { .. });
        all.iter().cloned().partition(is_block)
    };
    assert!(
        blocks(&received) == blocks(&to_a),
        "other messages or another order"
    );

    let (mut received, mut flushed) = (Vec::new(), 0);
    while received.len() < to_b.len() || flushed < 200 * 16 * 1024 {
        match b.event().await {
            Some(ConnEvent::Messages(batch)) => received.extend(batch),
            Some(ConnEvent::Flushed(bytes)) => flushed += bytes,
            other => panic!("{other:?}"),
        }
    }
    assert!(received == to_b, "other messages or another order");
    assert_eq!(flushed, 200 * 16 * 1024);
    assert_eq!(b.out.queued_bytes(), 0);

    drop(a.out);
    assert_eq!(b.rest().await, (vec![], 0, 0, CloseReason::Remote));
    assert!(
        !b.out.send(Message::Choke),
        "a closed connection takes nothing"
    );
}

/// The channel is not read: the reader stops, TCP fills up, the other side's queue fills up and refuses more. Then all
/// that was taken arrives.
/// Two ends whose sockets take little before the other reads.
async fn connect_with_small_buffers() -> (PeerStream, PeerStream) {
    let (dialed, accepted) = connect(handshake(1), handshake(2)).await;
    let ends = (dialed.expect("connected"), accepted.expect("connected"));
    for end in [&ends.0, &ends.1] {
        let socket = SockRef::from(end.stream.tcp().expect("TCP"));
        socket.set_send_buffer_size(32 * 1024).expect("set");
        socket.set_recv_buffer_size(32 * 1024).expect("set");
    }
    ends
}

#[tokio::test]
async fn a_full_channel_slows_the_sender_down_and_loses_nothing() {
    let config = ConnConfig {
        max_queued_out: 256 * 1024,
        ..ConnConfig::default()
    };
    let (dialed, accepted) = connect_with_small_buffers().await;
    let sender = Conn::start(dialed, &config, 64);
    let mut receiver = Conn::start(accepted, &config, 1);

    let (mut events, mut taken, mut refused) = (sender.events, 0, 0);
    while refused < 2000 {
        if sender.out.send(block(taken, 16 * 1024)) {
            (taken, refused) = (taken + 1, 0);
            assert!(taken < 1024, "16 MiB were taken, and nobody reads them");
        } else {
            refused += 1;
            assert!(sender.out.queued_bytes() <= config.max_queued_out);
        }
        while events.try_recv().is_ok() {}
        tokio::task::yield_now().await;
    }
    let mut next = 0;
    while next < taken {
        match receiver.event().await {
            Some(ConnEvent::Messages(batch)) => {
                for message in batch {
                    assert!(message == block(next, 16 * 1024), "block {next} is another");
                    next += 1;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Who waits for the answer to a ping measures the link, and not what we have queued for it.
#[tokio::test]
async fn a_small_message_overtakes_the_blocks_that_wait() {
    let config = ConnConfig::default();
    let (dialed, accepted) = connect_with_small_buffers().await;
    let sender = Conn::start(dialed, &config, 64);
    let mut receiver = Conn::start(accepted, &config, 1);
    const BLOCKS: u32 = 200;
    for n in 0..BLOCKS {
        assert!(sender.out.send(block(n, 16 * 1024)));
    }
    let all = sender.out.queued_bytes();
    soon(async {
        while sender.out.queued_bytes() == all {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let pong = Message::Extended {
        id: 3,
        payload: Bytes::from_static(&[2, 0, 0, 0, 7]),
    };
    assert!(sender.out.send(pong.clone()));
    let (mut blocks, mut before) = (0, None);
    while blocks < BLOCKS {
        match receiver.event().await {
            Some(ConnEvent::Messages(batch)) => {
                for message in batch {
                    if message == pong {
                        before = Some(blocks);
                    } else {
                        assert!(message == block(blocks, 16 * 1024), "block {blocks}");
                        blocks += 1;
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let before = before.expect("it arrives ahead of the last block");
    assert!(before < BLOCKS / 2, "after {before} of {BLOCKS} blocks");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    let (mut conn, _raw) = against_raw(&ConnConfig::default(), 64).await;
    tokio::time::pause();
    // The kernel takes some MiB: refill the queue until it takes no more for the whole of the timeout.
    let (mut sent, mut flushed) = (0, 0);
    let reason = loop {
        while conn.out.send(block(sent, 16 * 1024)) {
            sent += 1;
        }
        match conn.event().await {
            Some(ConnEvent::Flushed(bytes)) => flushed += bytes,
            Some(ConnEvent::Closed(reason)) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason, CloseReason::Stalled);
    assert!(flushed <= u64::from(sent) * 16 * 1024);
}

#[tokio::test]
async fn silence_is_answered_with_a_keep_alive_and_then_an_end() {
    let config = ConnConfig::default();
    let (mut conn, mut raw) = against_raw(&config, 64).await;
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert_eq!(conn.rest().await, (vec![], 0, 0, CloseReason::Idle));
    assert!(started.elapsed() >= config.idle_timeout);
    let mut received = Vec::new();
    raw.read_to_end(&mut received).await.expect("a proper end");
    assert_eq!(received, [0; 4], "one keep-alive in 150 seconds");
}

#[tokio::test]
async fn a_length_of_4_gib_ends_the_connection_after_what_came_before_it() {
    let (mut conn, mut raw) = against_raw(&ConnConfig::default(), 64).await;
    let mut bytes = encode(&[Message::Unchoke, Message::Have(1)]);
    bytes.extend_from_slice(&[0xff; 4]);
    raw.write_all(&bytes).await.expect("written");
    let broken = FrameError::TooLong {
        len: u32::MAX,
        max: 128 * 1024 + 9,
    };
    let (messages, _, _, reason) = conn.rest().await;
    assert_eq!(messages, [Message::Unchoke, Message::Have(1)]);
    assert_eq!(reason, CloseReason::Broken(broken));
    assert!(
        raw.read_to_end(&mut Vec::new()).await.is_ok(),
        "our side is closed"
    );
}

#[tokio::test]
async fn unknown_messages_are_counted_and_the_connection_goes_on() {
    let (mut conn, mut raw) = against_raw(&ConnConfig::default(), 64).await;
    for _ in 0..300 {
        raw.write_all(&[0, 0, 0, 3, 99, 1, 2])
            .await
            .expect("written");
    }
    raw.write_all(&encode(&[Message::HaveAll]))
        .await
        .expect("written");
    drop(raw);
    assert_eq!(
        conn.rest().await,
        (vec![Message::HaveAll], 0, 300, CloseReason::Remote)
    );
}

#[tokio::test]
async fn limits_can_be_changed_while_connected() {
    let (mut conn, mut raw) = against_raw(&ConnConfig::default(), 64).await;
    let long = Message::Bitfield(Bytes::from(vec![0xff; 200_000]));
    conn.out.set_limits(FrameLimits::UNKNOWN_PIECES);
    raw.write_all(&encode(std::slice::from_ref(&long)))
        .await
        .expect("written");
    let event = conn.event().await;
    assert!(matches!(event, Some(ConnEvent::Messages(batch)) if batch == [long.clone()]));
    conn.out.set_limits(FrameLimits::for_pieces(100));
    let _ = raw.write_all(&encode(&[long])).await; // may fail: we close in the middle of it
    let (_, _, _, reason) = conn.rest().await;
    assert!(
        matches!(reason, CloseReason::Broken(FrameError::TooLong { .. })),
        "{reason:?}"
    );
}

/// A seed that sends the last blocks and goes away while we still write to it, and while the channel is full.
#[tokio::test]
async fn what_came_before_a_reset_is_not_lost() {
    let (mut conn, mut raw) = against_raw(&ConnConfig::default(), 1).await;
    let blocks: Vec<_> = (0..4).map(|piece| block(piece, 16 * 1024)).collect();
    raw.write_all(&encode(&blocks[..1])).await.expect("written");
    while conn.events.is_empty() {
        tokio::task::yield_now().await;
    }
    raw.write_all(&encode(&blocks[1..])).await.expect("written");
    conn.out.send(block(9, 16 * 1024));
    raw.tcp().expect("TCP").readable().await.expect("our block");
    drop(raw); // with bytes unread: a reset
    for _ in 0..200 {
        conn.out.send(Message::KeepAlive); // fails, sooner or later
        tokio::task::yield_now().await;
    }
    let (messages, .., reason) = conn.rest().await;
    assert!(messages == blocks, "{} of 4 blocks", messages.len());
    assert!(
        matches!(reason, CloseReason::Io(_) | CloseReason::Remote),
        "{reason:?}"
    );
}

#[tokio::test]
async fn no_task_outlives_its_connection() {
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();

    // The outbox is dropped; the events are still read.
    let (mut conn, mut raw) = against_raw(&ConnConfig::default(), 64).await;
    let Conn { out, events } = &mut conn;
    out.close();
    assert!(!out.send(Message::Choke));
    let last = soon(events.recv()).await;
    assert!(
        matches!(last, Some((7, ConnEvent::Closed(CloseReason::Local)))),
        "{last:?}"
    );
    assert!(soon(events.recv()).await.is_none());
    assert_eq!(
        raw.read_to_end(&mut Vec::new())
            .await
            .expect("a proper end"),
        0
    );
    all_tasks_ended(before).await;

    // Everything is dropped at once, while the reader waits for room in the channel.
    let (conn, mut raw) = against_raw(&ConnConfig::default(), 1).await;
    for _ in 0..100 {
        raw.write_all(&encode(&[block(1, 16 * 1024)]))
            .await
            .expect("written");
        tokio::task::yield_now().await;
        if conn.events.len() == 1 {
            break;
        }
    }
    drop(conn);
    all_tasks_ended(before).await;

    // Only the receiver of the events is gone: found out at the next message.
    let (conn, mut raw) = against_raw(&ConnConfig::default(), 1).await;
    drop(conn.events);
    raw.write_all(&encode(&[Message::Choke]))
        .await
        .expect("written");
    all_tasks_ended(before).await;
    assert!(!conn.out.send(Message::Choke));
}

#[tokio::test]
async fn random_bytes_after_the_handshake_end_the_connection_and_nothing_else() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for _ in 0..40 {
        let (mut conn, mut raw) = against_raw(&ConnConfig::default(), 64).await;
        let bytes: Vec<u8> = (0..4000).map(|_| rng.random()).collect();
        let _ = raw.write_all(&bytes).await; // may fail: we close in the middle of it
        drop(raw);
        let (.., reason) = conn.rest().await;
        assert_ne!(reason, CloseReason::Local);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    assert_eq!(ConnConfig::default().validate(), Ok(()));
    for config in [
        ConnConfig {
            min_read: 0,
            ..ConnConfig::default()
        },
        ConnConfig {
            read_buffer: 1,
            ..ConnConfig::default()
        },
        ConnConfig {
            write_batch: 0,
            ..ConnConfig::default()
        },
        ConnConfig {
            max_batch: 0,
            ..ConnConfig::default()
        },
        ConnConfig {
            max_queued_out: 0,
            ..ConnConfig::default()
        },
        ConnConfig {
            keep_alive: Duration::from_secs(999),
            ..ConnConfig::default()
        },
    ] {
        assert!(config.validate().is_err(), "{config:?}");
    }
}
