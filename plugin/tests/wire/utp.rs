//! uTP endpoints with each other, and with whoever throws datagrams at them.

#![allow(clippy::disallowed_types)] // whoever throws datagrams has a bare socket

use std::net::SocketAddr;
use std::time::Duration;

use chunkcast_bittorrent::wire::stream::Transport;
use chunkcast_bittorrent::wire::utp::{MOST_STREAMS, RECEIVE_BUFFER, SEND_BUFFER, UtpEndpoint};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);

fn bind(addr: &str) -> UtpEndpoint {
    UtpEndpoint::bind(addr.parse().expect("an address")).expect("a free port")
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Bytes from one end to the other, and a few back. Garbage may hold all streams for a while, so dialling is repeated.
async fn transfer(from: &UtpEndpoint, to: &UtpEndpoint, at: SocketAddr, len: usize) {
    let data = noise(len);
    let sending = async {
        let mut stream = loop {
            match from.connect(at).await {
                Ok(stream) => break stream,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}"),
            }
        };
        assert_eq!(stream.transport(), Transport::Utp);
        stream.write_all(b"hello").await.expect("a connection");
        stream.write_all(&data).await.expect("a connection");
        let mut back = [0; 2];
        stream.read_exact(&mut back).await.expect("an answer");
        assert_eq!(&back, b"ok");
    };
    let receiving = async {
        // side by side, as a session does: of callers that garbage looks like nothing comes
        let mut callers = JoinSet::new();
        loop {
            tokio::select! {
                caller = to.accept() => {
                    let (mut stream, _) = caller.expect("an endpoint");
                    let len = data.len();
                    callers.spawn(async move {
                        let (mut hello, mut got) = ([0; 5], vec![0; len]);
                        let read = async {
                            stream.read_exact(&mut hello).await?;
                            stream.read_exact(&mut got).await
                        };
                        let whole = read.await.is_ok() && &hello == b"hello";
                        whole.then_some((stream, got))
                    });
                }
                Some(read) = callers.join_next() => {
                    if let Some((mut stream, got)) = read.expect("no panic") {
                        assert!(got == data, "the bytes differ");
                        stream.write_all(b"ok").await.expect("a connection");
                        return stream;
                    }
                }
            }
        }
    };
    // the receiver's end is kept until the answer has come
    timeout(DEADLINE, async { tokio::join!(sending, receiving) })
        .await
        .expect("in time");
}

#[tokio::test]
async fn bytes_go_over_ipv4_ipv6_and_a_socket_for_both() {
    for (listen, target) in [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::]", "127.0.0.1"),
        ("[::]", "[::1]"),
    ] {
        let to = bind(&format!("{listen}:0"));
        let at = format!("{target}:{}", to.local_addr().port())
            .parse()
            .expect("an address");
        transfer(&bind("[::]:0"), &to, at, 3_000_000).await;
        if target == "127.0.0.1" {
            transfer(&bind("127.0.0.1:0"), &to, at, 100_000).await;
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let first = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let addr = first.local_addr().expect("bound");
    let error = UtpEndpoint::bind(addr).expect_err("in use");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    // two endpoints are refused as well, whatever options a socket sets
    let first = bind("127.0.0.1:0");
    let error = UtpEndpoint::bind(first.local_addr()).expect_err("in use");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_peer_without_utp_times_out_and_another_family_is_refused() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let ours = bind("127.0.0.1:0");
    let addr = silent.local_addr().expect("bound");
    let error = ours.connect(addr).await.expect_err("nobody");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // it was asked more than once, as a SYN can get lost
    let mut buffer = [0; 64];
    for _ in 0..2 {
        let (len, _) = timeout(DEADLINE, silent.recv_from(&mut buffer))
            .await
            .expect("a SYN")
            .expect("a SYN");
        assert_eq!((len, buffer[0]), (20, 0x41));
    }
    let v6 = "[::1]:9".parse().expect("an address");
    let error = ours.connect(v6).await.expect_err("an IPv4 socket");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable);
}

/// What nobody reads is not taken either: the sender is slowed down.
#[tokio::test]
async fn a_connection_that_is_not_read_takes_no_more_than_its_buffers() {
    let (to, from) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let (dialled, accepted) = tokio::join!(from.connect(to.local_addr()), async {
        // a SYN-ACK is sent when the caller is taken
        to.accept().await
    });
    let mut dialled = dialled.expect("a connection");
    let _unread = accepted.expect("a caller");
    let mut written = 0;
    let chunk = [7; 16 * 1024];
    // nothing is taken for a second: it stands
    while let Ok(done) = timeout(Duration::from_secs(1), dialled.write(&chunk)).await {
        written += done.expect("a connection");
        assert!(
            written <= SEND_BUFFER + RECEIVE_BUFFER + chunk.len(),
            "{written} bytes"
        );
    }
    assert!(written >= RECEIVE_BUFFER / 2, "{written} bytes");
}

/// More callers than there may be streams: they get no answer, and when they are gone a real one does.
#[tokio::test]
async fn a_flood_of_syns_is_bounded_and_ends() {
    let to = bind("127.0.0.1:0");
    let at = to.local_addr();
    let flood = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let accepting = async {
        let mut streams = Vec::new();
        while let Ok(caller) = timeout(Duration::from_secs(2), to.accept()).await {
            streams.push(caller.expect("an endpoint"));
        }
        streams.len()
    };
    let flooding = async {
        for n in 0..4 * MOST_STREAMS {
            let mut syn = [0; 20];
            syn[0] = 0x41;
            syn[2..4].copy_from_slice(&u16::try_from(2 * n).expect("small").to_be_bytes());
            flood.send_to(&syn, at).await.expect("sent");
            if n % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let (streams, ()) = tokio::join!(accepting, flooding);
    assert!((1..=MOST_STREAMS).contains(&streams), "{streams} streams");
    transfer(&bind("127.0.0.1:0"), &to, at, 10_000).await;
}

/// A datagram that looks like one of uTP as far as `kind` says.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let header = (0u8..=255, 0u8..5, any::<[u8; 18]>());
    let packet = (
        header,
        prop::collection::vec(any::<u8>(), 0..80),
        0usize..100,
    );
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..1500),
        packet.prop_map(|((kind, extension, rest), tail, cut)| {
            // a type and a version that exist, in most cases
            let kind = if kind < 200 {
                (kind % 5) << 4 | 1
            } else {
                kind
            };
            let mut bytes = vec![kind, extension];
            bytes.extend(rest);
            bytes.extend(tail);
            bytes.truncate(cut.max(1));
            bytes
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn garbage_before_and_during_a_connection_changes_nothing(
        garbage in prop::collection::vec(datagram(), 1..200),
        reuse: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (to, from) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
            let at = to.local_addr();
            let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
            let targets = if reuse { [at, from.local_addr()] } else { [at, at] };
            for bytes in &garbage {
                stranger.send_to(bytes, targets[0]).await.expect("sent");
            }
            let noise = async {
                for bytes in garbage.iter().cycle().take(400) {
                    for target in targets {
                        stranger.send_to(bytes, target).await.expect("sent");
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(transfer(&from, &to, at, 50_000), noise);
        });
    }
}
