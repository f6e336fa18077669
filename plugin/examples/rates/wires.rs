//! Bare connections: what is sent as fast as it is taken, counted where it arrives.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chunkcast_bittorrent::limits::{Limiters, Pace};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{ConnConfig, ConnEvent, Outbox, start_paced};
use chunkcast_bittorrent::wire::connect::{PeerStream, accept, dial};
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{Row, Way};

/// Bytes kept queued at the sender.
const AHEAD: usize = 1 << 20;

/// Bytes of a block's message before its data.
const HEADER: u64 = 13;

/// What has come over one connection, and when the first and the last of it.
struct Arrived {
    bytes: u64,
    first: (Instant, u64),
    last: Instant,
}

pub(crate) async fn measure(way: Way, bytes: u64, count: u32, seconds: f64) -> Row {
    let limits = Limiters::new(way.limit(bytes));
    // small ones, so that a low rate is measured more finely than by a block a second
    let block = if bytes < 1 << 20 { 1 << 10 } else { 16 << 10 };
    let end = Instant::now() + Duration::from_secs_f64(seconds + 0.5);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (from, to) = connected().await;
        let limited = Pace::new(&Limiters::default(), &limits);
        let (down, up) = match way {
            Way::Down => (limited, Pace::default()),
            Way::Up => (Pace::default(), limited),
        };
        let (sender, mut sent) = begin(from, up);
        let (receiver, arrived) = begin(to, down);
        running.spawn(async move {
            let keep = receiver;
            let sending = async {
                let data = Bytes::from(vec![1; block]);
                loop {
                    while sender.queued_bytes() < AHEAD {
                        let data = data.clone();
                        sender.send(Message::Piece {
                            piece: 0,
                            begin: 0,
                            data,
                        });
                    }
                    if sent.recv().await.is_none() {
                        return;
                    }
                }
            };
            let done = tokio::select! {
                arrived = receive(arrived, end) => arrived,
                () = sending => panic!("the connection ended"),
            };
            drop(keep);
            done
        });
    }
    let all: Vec<Arrived> = running.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), count as usize, "nothing came on some connection");
    let first = all.iter().map(|a| a.first).min().expect("some");
    let last = all.iter().map(|a| a.last).max().expect("some");
    let (least, most) = (
        all.iter().map(|a| a.bytes).min(),
        all.iter().map(|a| a.bytes).max(),
    );
    Row {
        // what came with the first event was under way before it
        bytes: all.iter().map(|a| a.bytes).sum::<u64>() - first.1,
        seconds: last.duration_since(first.0).as_secs_f64(),
        even: least.unwrap_or(0) as f64 / most.unwrap_or(1) as f64,
    }
}

async fn receive(mut events: mpsc::Receiver<(u8, ConnEvent)>, end: Instant) -> Option<Arrived> {
    let mut arrived: Option<Arrived> = None;
    let end = tokio::time::sleep_until(end.into());
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut end => return arrived,
        };
        let messages = match event {
            Some((_, ConnEvent::Messages(messages))) => messages,
            Some((_, ConnEvent::Closed(reason))) => panic!("{reason:?}"),
            Some(_) => continue,
            None => return arrived,
        };
        let bytes: u64 = messages
            .iter()
            .map(|message| match message {
                Message::Piece { data, .. } => data.len() as u64 + HEADER,
                _ => 0,
            })
            .sum();
        let now = Instant::now();
        let so_far = arrived.get_or_insert(Arrived {
            bytes: 0,
            first: (now, bytes),
            last: now,
        });
        so_far.bytes += bytes;
        so_far.last = now;
    }
}

fn begin(peer: PeerStream, pace: Pace) -> (Outbox, mpsc::Receiver<(u8, ConnEvent)>) {
    let (events, receiver) = mpsc::channel(64);
    let limits = FrameLimits::for_pieces(100);
    let outbox = start_paced(0, peer, limits, events, &ConnConfig::default(), pace);
    (outbox, receiver)
}

async fn connected() -> (PeerStream, PeerStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let (ours, theirs) = ([1, 2]).map(|id| Handshake::ours([1; 20], [id; 20])).into();
    let config = ConnConfig::default();
    let answer = async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        accept(stream, remote, |_| Some(theirs), &config).await
    };
    let (dialed, accepted) = tokio::join!(dial(addr, ours, None, &config), answer);
    (dialed.expect("connected"), accepted.expect("connected"))
}
