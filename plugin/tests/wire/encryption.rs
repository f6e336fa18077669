//! Encrypted connections, over loopback sockets: who reaches whom, what arrives, and who is turned away.

#![allow(clippy::disallowed_types)] // connections have sockets

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast_bittorrent::limits::{Limiters, Pace, Rate, Rates};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{CloseReason, ConnConfig, ConnEvent, start_paced};
use chunkcast_bittorrent::wire::connect::{
    AcceptError, Asked, DialError, PeerStream, accept, dial, greet,
};
use chunkcast_bittorrent::wire::encryption::{Encryption, Opening};
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use chunkcast_bittorrent::wire::mse::key_hash;
use chunkcast_bittorrent::wire::stream::{Stream, Transport};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::common::{BLOCK, all, block, next, run};

const HASH: [u8; 20] = [9; 20];

fn with(encryption: Encryption) -> ConnConfig {
    ConnConfig {
        encryption,
        ..ConnConfig::default()
    }
}

fn handshake(id: u8) -> Handshake {
    Handshake::ours(HASH, [id; 20])
}

fn served(asked: Asked<'_>) -> Option<Handshake> {
    let known = asked == Asked::InfoHash(&HASH) || asked == Asked::KeyHash(&key_hash(&HASH));
    known.then(|| handshake(2))
}

/// One dial, and all callers that come of it.
async fn meet(
    dials: Encryption,
    takes: Encryption,
) -> (
    Result<PeerStream, DialError>,
    Vec<Result<PeerStream, AcceptError>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let (dialling, taking) = (with(dials), with(takes));
    let dialled = dial(addr, handshake(1), None, &dialling);
    tokio::pin!(dialled);
    let mut callers = Vec::new();
    loop {
        tokio::select! {
            caller = listener.accept() => {
                let (stream, remote) = caller.expect("a caller");
                let answer = accept(stream, remote, served, &taking);
                tokio::pin!(answer);
                tokio::select! {
                    answer = &mut answer => callers.push(answer),
                    dialled = &mut dialled => {
                        callers.push(answer.await);
                        return (dialled, callers);
                    }
                }
            }
            dialled = &mut dialled => return (dialled, callers),
        }
    }
}

#[tokio::test]
async fn who_takes_what_reaches_whom() {
    use Encryption::{Allow, Off, Prefer, Require};
    // dialling, answering; encrypted, or `None` for no connection; attempts
    let plain = Some(false);
    let encrypted = Some(true);
    for (dials, takes, expected, attempts) in [
        (Off, Off, plain, 1),
        (Off, Allow, plain, 1),
        (Off, Prefer, plain, 1),
        (Off, Require, None, 1),
        (Allow, Off, plain, 1),
        (Allow, Allow, plain, 1),
        (Allow, Prefer, plain, 1),
        (Allow, Require, encrypted, 2),
        (Prefer, Off, plain, 2),
        (Prefer, Allow, encrypted, 1),
        (Prefer, Prefer, encrypted, 1),
        (Prefer, Require, encrypted, 1),
        (Require, Off, None, 1),
        (Require, Allow, encrypted, 1),
        (Require, Prefer, encrypted, 1),
        (Require, Require, encrypted, 1),
    ] {
        let (dialled, mut callers) = meet(dials, takes).await;
        let case = format!("{dials} meets {takes}");
        assert_eq!(callers.len(), attempts, "{case}");
        let last = callers.pop().expect("one at least");
        if expected.is_some() {
            let (dialled, answered) = (dialled.expect(&case), last.expect(&case));
            for (peer, other) in [(&dialled, handshake(2)), (&answered, handshake(1))] {
                assert_eq!(Some(peer.stream.is_encrypted()), expected, "{case}");
                assert_eq!(peer.stream.transport(), Transport::Tcp, "{case}");
                assert_eq!(peer.handshake, other, "{case}");
            }
        } else {
            assert!(
                matches!(dialled, Err(DialError::Closed { .. })),
                "{case}: {dialled:?}"
            );
        }
        match takes {
            _ if attempts == 1 && expected.is_some() => {}
            Require => assert!(matches!(
                callers.pop().map_or(Err(AcceptError::Plaintext), |c| c),
                Err(AcceptError::Plaintext)
            )),
            _ => assert!(
                callers
                    .iter()
                    .all(|c| matches!(c, Err(AcceptError::NotBitTorrent(_)))),
                "{case}: {callers:?}"
            ),
        }
    }
}

/// Both ends of an encrypted connection over TCP, or over something that holds so many bytes each way.
async fn encrypted(room: Option<usize>) -> (PeerStream, PeerStream) {
    let Some(room) = room else {
        let (dialled, mut callers) = meet(Encryption::Require, Encryption::Require).await;
        let answered = callers.pop().expect("one").expect("connected");
        return (dialled.expect("connected"), answered);
    };
    let (near, far) = duplex(room);
    let [near, far] = [near, far].map(|pipe| Stream::new(Transport::Utp, pipe));
    let addr = SocketAddr::from(([192, 0, 2, 1], 6881));
    let config = with(Encryption::Require);
    let (dialled, answered) = tokio::join!(
        greet(
            near,
            addr,
            handshake(1),
            Duration::ZERO,
            Opening::Encrypted,
            &config
        ),
        accept(far, addr, served, &config)
    );
    (dialled.expect("connected"), answered.expect("connected"))
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order() {
    for room in [None, Some(700), Some(BLOCK), Some(1 << 20)] {
        let (a, b) = encrypted(room).await;
        for end in [&a, &b] {
            assert!(end.stream.is_encrypted());
            if let Some(socket) = end.stream.tcp() {
                let socket = SockRef::from(socket);
                socket.set_send_buffer_size(32 * 1024).expect("set");
                socket.set_recv_buffer_size(32 * 1024).expect("set");
            }
        }
        let ((a_out, mut a_in), (b_out, mut b_in)) = (run(a), run(b));
        let count = if room == Some(700) { 3 } else { 100 };
        for n in 0..count {
            assert!(a_out.send(block(n)));
            assert!(b_out.send(block(100 + n)));
        }
        tokio::join!(all(&mut a_in, 100, count), all(&mut b_in, 0, count));
        // small ones too, although nothing follows that would push them out
        assert!(a_out.send(Message::Have(7)));
        match next(&mut b_in).await {
            Some(ConnEvent::Messages(messages)) => assert_eq!(messages, [Message::Have(7)]),
            other => panic!("{other:?}"),
        }
        drop(a_out);
        assert!(matches!(
            next(&mut b_in).await,
            Some(ConnEvent::Closed(CloseReason::Remote))
        ));
    }
}

/// A block stays what it is for other peers, and what goes over the wire does not show it.
#[tokio::test]
async fn a_block_is_encrypted_on_the_wire_and_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let middle = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let via = middle.local_addr().expect("bound");
    let listening = tokio::spawn(async move {
        let (mut near, _) = middle.accept().await.expect("a caller");
        let mut far = TcpStream::connect(addr).await.expect("connected");
        let (mut seen, mut back) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut all = Vec::new();
        loop {
            tokio::select! {
                read = near.read(&mut seen) => {
                    let Some(len) = read.ok().filter(|len| *len > 0) else { return all };
                    all.extend_from_slice(&seen[..len]);
                    far.write_all(&seen[..len]).await.expect("open");
                }
                read = far.read(&mut back) => {
                    let Some(len) = read.ok().filter(|len| *len > 0) else { return all };
                    if near.write_all(&back[..len]).await.is_err() { return all }
                }
            }
        }
    });
    let config = with(Encryption::Prefer);
    let (dialled, answered) = tokio::join!(dial(via, handshake(1), None, &config), async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        accept(stream, remote, served, &config).await
    });
    let (out, _events) = run(dialled.expect("connected"));
    let (_out, mut inbox) = run(answered.expect("connected"));
    let data = Bytes::from_static(&[42; BLOCK]);
    let message = Message::Piece {
        piece: 1,
        begin: 0,
        data: data.clone(),
    };
    assert!(out.send(message.clone()));
    match next(&mut inbox).await {
        Some(ConnEvent::Messages(messages)) => assert_eq!(messages, [message]),
        other => panic!("{other:?}"),
    }
    assert!(data.iter().all(|byte| *byte == 42));
    drop(out);
    let seen = listening.await.expect("it ends");
    assert!(seen.len() > BLOCK);
    for shown in [&b"BitTorrent"[..], &HASH, &[42; 8]] {
        assert!(!seen.windows(shown.len()).any(|window| window == shown));
    }
}

#[tokio::test(start_paused = true)]
async fn rate_limits_hold_and_small_messages_do_not_wait_for_them() {
    let (a, b) = encrypted(Some(1 << 20)).await;
    let limiters = Limiters::new(Rates {
        down: None,
        up: Some(Rate::new(BLOCK as u64)), // a block a second
    });
    let (sender, mut events) = mpsc::channel(8);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let pace = Pace::new(&Limiters::default(), &limiters);
    let (config, limits) = (ConnConfig::default(), FrameLimits::for_pieces(100));
    let out = start_paced((), a, limits, sender, &config, pace);
    let (_out, mut inbox) = run(b);
    let began = tokio::time::Instant::now();
    (0..40).for_each(|n| assert!(out.send(block(n))));
    let (mut blocks, mut small, mut asked) = (0, None, false);
    while blocks < 40 {
        if let ConnEvent::Messages(messages) = next(&mut inbox).await.expect("open") {
            for message in messages {
                match message {
                    Message::Have(_) => small = Some(blocks),
                    _ => blocks += 1,
                }
            }
            if blocks == 10 && !std::mem::replace(&mut asked, true) {
                assert!(out.send(Message::Have(3)));
            }
        }
    }
    assert!(small.is_some_and(|at| at < 14), "{small:?}");
    let took = began.elapsed().as_secs();
    assert!((30..=42).contains(&took), "{took} s");
}

#[tokio::test]
async fn a_caller_that_does_not_know_the_torrent_is_turned_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let config = with(Encryption::Require);
    let ours = Handshake::ours([8; 20], [1; 20]);
    let (dialled, answered) = tokio::join!(dial(addr, ours, None, &config), async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        accept(stream, remote, served, &config).await
    });
    assert!(
        matches!(dialled, Err(DialError::Closed { .. })),
        "{dialled:?}"
    );
    let error = answered.expect_err("no torrent").to_string();
    assert!(error.contains("not served"), "{error}");
}

/// Bytes of strangers, within a key exchange and instead of one.
#[tokio::test(start_paused = true)]
async fn callers_that_never_come_to_the_point_are_ended() {
    let config = with(Encryption::Allow);
    let key = [0x55; 96];
    for (says, stays) in [
        (vec![], true),
        (vec![0x13, b'B', b'i', b'x'], true),
        (key.to_vec(), true),
        ([&key[..], &[7; 531]].concat(), true),
        ([&key[..], &[7; 4000]].concat(), true),
        (vec![0; 96], true),
        (vec![255; 5000], true),
        (key[..40].to_vec(), false),
        ([&key[..], &[7; 100]].concat(), false),
    ] {
        let (mut near, far) = duplex(1 << 16);
        near.write_all(&says).await.expect("room");
        if !stays {
            near.shutdown().await.expect("open");
        }
        let far = Stream::new(Transport::Utp, far);
        let addr = SocketAddr::from(([192, 0, 2, 1], 6881));
        let began = tokio::time::Instant::now();
        let answered = accept(far, addr, served, &config).await;
        let error = answered.expect_err("nobody");
        let late = began.elapsed() >= config.handshake_timeout;
        let waits = stays && (says.len() < 96 || says.len() == 96 + 531 || says == key);
        let expected = waits && says.first() != Some(&0);
        assert_eq!(
            matches!(error, AcceptError::HandshakeTimeout),
            expected,
            "{} bytes: {error}",
            says.len()
        );
        assert_eq!(late, expected, "{} bytes", says.len());
        let mut told = Vec::new();
        near.read_to_end(&mut told).await.expect("it is closed");
        assert!(
            told.len() <= 96 + 512,
            "{} bytes for a stranger",
            told.len()
        );
    }
}
