//! Connections over other transports than TCP: a pair of pipes in memory stands for one.

use std::net::SocketAddr;
use std::time::Duration;

use chunkcast_bittorrent::limits::{Limiters, Pace, Rate, Rates};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{CloseReason, ConnConfig, ConnEvent, start_paced};
use chunkcast_bittorrent::wire::connect::{PeerStream, accept, greet};
use chunkcast_bittorrent::wire::encryption::Opening;
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use chunkcast_bittorrent::wire::stream::{Stream, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::mpsc;

use super::common::{BLOCK, all, block, next, run, take};

fn addr() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 6881))
}

/// Both ends of a connection whose transport holds `room` bytes each way.
async fn connect(room: usize) -> (PeerStream, PeerStream) {
    let (near, far) = duplex(room);
    let [near, far] = [near, far].map(|pipe| Stream::new(Transport::Utp, pipe));
    let [ours, theirs] = [1, 2].map(|id| Handshake::ours([9; 20], [id; 20]));
    let config = ConnConfig::default();
    let (dialled, accepted) = tokio::join!(
        greet(
            near,
            addr(),
            ours,
            Duration::from_millis(7),
            Opening::Plaintext,
            &config
        ),
        accept(far, addr(), |_| Some(theirs), &config)
    );
    (dialled.expect("connected"), accepted.expect("connected"))
}

#[tokio::test]
async fn a_connection_says_what_carries_it() {
    let (dialled, accepted) = connect(100).await;
    assert_eq!(dialled.rtt, Some(Duration::from_millis(7)));
    for peer in [dialled, accepted] {
        assert_eq!(peer.stream.transport(), Transport::Utp);
        assert!(peer.stream.tcp().is_none() && !peer.stream.is_encrypted());
    }
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_whatever_the_transport_holds() {
    // an end writes its handshake before it reads all of the other's
    for room in [68, 100, 1000, BLOCK, 1 << 20] {
        let (a, b) = connect(room).await;
        let ((a_out, mut a_in), (b_out, mut b_in)) = (run(a), run(b));
        let count = if room < 1000 { 2 } else { 40 };
        for n in 0..count {
            assert!(a_out.send(block(n)));
            assert!(b_out.send(block(100 + n)));
        }
        tokio::join!(all(&mut a_in, 100, count), all(&mut b_in, 0, count));
        // small ones too, although nothing follows that would push them out
        assert!(a_out.send(Message::Have(7)));
        assert_eq!(take(&mut b_in, 1).await, [Message::Have(7)]);
        drop(a_out);
        assert!(matches!(
            next(&mut b_in).await,
            Some(ConnEvent::Closed(CloseReason::Remote))
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_dropped_and_one_that_reads_slowly_is_not() {
    let (a, mut raw) = connect(100).await;
    let (out, mut events) = run(a);
    assert!(out.send(block(1)));
    let mut some = [0; 90];
    for _ in 0..50 {
        while events.try_recv().is_ok() {}
        tokio::time::sleep(Duration::from_secs(20)).await;
        raw.stream.read_exact(&mut some).await.expect("it goes on");
        let keep_alive = raw.stream.write_all(&[0; 4]).await;
        keep_alive.expect("it is read");
    }
    let began = tokio::time::Instant::now();
    loop {
        match next(&mut events).await.expect("open") {
            ConnEvent::Flushed(_) | ConnEvent::Messages(_) => {}
            ConnEvent::Closed(reason) => {
                assert_eq!(reason, CloseReason::Stalled);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let patience = ConnConfig::default().write_timeout;
    assert!(began.elapsed() <= patience, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rate_limits_hold_and_small_messages_do_not_wait_for_them() {
    let rate = Rate::new(BLOCK as u64); // a block a second
    let limiters = Limiters::new(Rates {
        down: None,
        up: Some(rate),
    });
    let (a, b) = connect(1 << 20).await;
    let (sender, mut events) = mpsc::channel(8);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let pace = Pace::new(&Limiters::default(), &limiters);
    let (config, limits) = (ConnConfig::default(), FrameLimits::for_pieces(100));
    let out = start_paced((), a, limits, sender, &config, pace);
    let (_b_out, mut inbox) = run(b);
    let began = tokio::time::Instant::now();
    (0..40).for_each(|n| assert!(out.send(block(n))));
    let first = take(&mut inbox, 10).await;
    assert_eq!(first.len(), 10);
    assert!(out.send(Message::Have(3)));
    let sent = began.elapsed();
    let rest = take(&mut inbox, 31).await;
    let at = rest.iter().position(|m| *m == Message::Have(3));
    assert!(at.expect("it arrives") < 3, "{at:?}");
    let took = began.elapsed().as_secs();
    assert!((30..=42).contains(&took), "{took} s, {sent:?}");
}
