//! Connections with rate limits, over loopback sockets in simulated time.

#![allow(clippy::disallowed_types)] // connections have sockets

use std::time::Duration;

use bytes::Bytes;
use chunkcast_bittorrent::limits::{Limiters, Pace, Rate, Rates};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{ConnConfig, ConnEvent, Outbox, start_paced};
use chunkcast_bittorrent::wire::connect::{PeerStream, accept, dial};
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const BLOCK: usize = 16 << 10;

struct Conn {
    out: Outbox,
    events: mpsc::Receiver<(u32, ConnEvent)>,
    /// For how long limits kept it from reading.
    held: Duration,
}

impl Conn {
    fn start(peer: PeerStream, pace: Pace) -> Self {
        let (sender, events) = mpsc::channel(64);
        let config = ConnConfig::default();
        let out = start_paced(7, peer, FrameLimits::for_pieces(100), sender, &config, pace);
        Self {
            out,
            events,
            held: Duration::ZERO,
        }
    }

    /// Reads its events from now on; the sum of what limits held from going out comes when it ends.
    fn drain(self) -> (Outbox, JoinHandle<Duration>) {
        let (out, mut events) = (self.out, self.events);
        let held = tokio::spawn(async move {
            let mut held = Duration::ZERO;
            while let Some((_, event)) = events.recv().await {
                if let ConnEvent::Held { up, .. } = event {
                    held += up;
                }
            }
            held
        });
        (out, held)
    }

    /// The next messages.
    async fn messages(&mut self) -> Vec<Message> {
        loop {
            let next = timeout(Duration::from_secs(100_000), self.events.recv()).await;
            match next.expect("it happens") {
                Some((_, ConnEvent::Messages(messages))) => return messages.to_vec(),
                Some((_, ConnEvent::Held { down, .. })) => self.held += down,
                Some((_, ConnEvent::Flushed(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn pair(dialing: Pace, accepting: Pace) -> (Conn, Conn) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let (ours, theirs) = ([1, 2]).map(|id| Handshake::ours([1; 20], [id; 20])).into();
    let config = ConnConfig::default();
    let answer = async {
        let (stream, remote) = listener.accept().await.expect("a caller");
        accept(stream, remote, |_| Some(theirs), &config).await
    };
    let (dialed, accepted) = tokio::join!(dial(addr, ours, None, &config), answer);
    (
        Conn::start(dialed.expect("connected"), dialing),
        Conn::start(accepted.expect("connected"), accepting),
    )
}

fn limits(down: Option<u64>, up: Option<u64>) -> Limiters {
    Limiters::new(Rates {
        down: down.map(Rate::new),
        up: up.map(Rate::new),
    })
}

fn pace(limits: &Limiters) -> Pace {
    Pace::new(&Limiters::default(), limits)
}

fn block(piece: u32, len: usize) -> Message {
    Message::Piece {
        piece,
        begin: 0,
        data: Bytes::from(vec![1; len]),
    }
}

/// Receives `count` blocks; what else came, with the number of blocks before it.
async fn receive(conn: &mut Conn, count: u32) -> Vec<(u32, Message)> {
    let (mut next, mut others) = (0, Vec::new());
    while next < count {
        for message in conn.messages().await {
            match message {
                Message::Piece { piece, .. } => {
                    assert_eq!(piece, next, "blocks keep their order");
                    next += 1;
                }
                other => others.push((next, other)),
            }
        }
    }
    others
}

#[track_caller]
fn assert_seconds(begin: Instant, expected: f64) {
    let took = begin.elapsed().as_secs_f64();
    assert!(
        (took / expected - 1.0).abs() < 0.05,
        "{took} s, not {expected}"
    );
}

#[tokio::test(start_paused = true)]
async fn blocks_go_out_and_come_in_at_the_rate() {
    for (down, up) in [
        (None, Some(16 << 10)),
        (Some(16 << 10), None),
        (None, Some(3 << 20)),
        (Some(3 << 20), None),
    ] {
        let (mut a, b) = pair(pace(&limits(down, None)), pace(&limits(None, up))).await;
        let count = if down.or(up) == Some(16 << 10) {
            40
        } else {
            240
        };
        let (b, b_held) = b.drain();
        let begin = Instant::now();
        for n in 0..count {
            assert!(b.send(block(n, BLOCK)));
        }
        receive(&mut a, count).await;
        let bytes = f64::from(count) * (BLOCK + 13) as f64;
        let rate = down.or(up).expect("one of them") as f64;
        assert_seconds(begin, bytes / rate);
        if rate < 1e6 {
            let took = begin.elapsed();
            drop((a.out, b));
            let held = a.held + b_held.await.expect("it ends");
            assert!(held > took.mul_f64(0.9), "held {held:?} of {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_block_passes_those_that_wait_for_the_limit() {
    let (mut a, b) = pair(Pace::default(), pace(&limits(None, Some(1 << 10)))).await;
    let (b, _) = b.drain();
    for n in 0..10 {
        assert!(b.send(block(n, BLOCK)));
    }
    let begin = Instant::now();
    let mut haves = 0;
    // a block takes 16 s, and each HAVE passes at once
    while begin.elapsed() < Duration::from_secs(100) {
        tokio::time::sleep(Duration::from_millis(990)).await;
        assert!(b.send(Message::Have(haves)));
        let sent = Instant::now();
        loop {
            let messages = a.messages().await;
            if messages.contains(&Message::Have(haves)) {
                break;
            }
        }
        assert!(
            sent.elapsed() < Duration::from_millis(10),
            "{:?}",
            sent.elapsed()
        );
        haves += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_limit_holds_for_minutes_is_not_given_up() {
    let limits = limits(None, Some(1 << 10));
    let (mut a, b) = pair(Pace::default(), pace(&limits)).await;
    let (b, _) = b.drain();
    let begin = Instant::now();
    // longer than the timeout for a peer that does not read
    assert!(b.send(block(0, 128 << 10)));
    assert!(b.send(block(1, 128 << 10)));
    receive(&mut a, 2).await;
    assert!(
        begin.elapsed() > Duration::from_secs(120),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn twenty_connections_share_a_low_rate_evenly() {
    for down in [true, false] {
        let limits = match down {
            true => limits(Some(16 << 10), None),
            false => limits(None, Some(16 << 10)),
        };
        let begin = Instant::now();
        let mut pairs = Vec::new();
        for _ in 0..20 {
            pairs.push(match down {
                true => pair(pace(&limits), Pace::default()).await,
                false => pair(Pace::default(), pace(&limits)).await,
            });
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (mut a, b) in pairs {
            let (b, _) = b.drain();
            for n in 0..4 {
                assert!(b.send(block(n, BLOCK)));
            }
            tasks.spawn(async move {
                receive(&mut a, 2).await;
                let half = Instant::now();
                let mut rest = 2;
                while rest > 0 {
                    rest -= a.messages().await.len();
                }
                drop(b);
                (half, Instant::now())
            });
        }
        let ends = tasks.join_all().await;
        assert_seconds(begin, 80.0 * (BLOCK + 13) as f64 / f64::from(16 << 10));
        let halfs = || ends.iter().map(|(half, _)| *half - begin);
        let (first, last) = (halfs().min().expect("some"), halfs().max().expect("some"));
        // the last one has its half before the first one could have had all
        assert!(
            last - first < Duration::from_secs(21),
            "{first:?} to {last:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_rate_or_an_exemption_holds_at_once() {
    let limits = limits(Some(1 << 10), Some(1 << 10));
    let (mut a, b) = pair(pace(&limits), pace(&limits)).await;
    let (b, _) = b.drain();
    let begin = Instant::now();
    for n in 0..100 {
        assert!(b.send(block(n, BLOCK)));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    limits.set(Rates {
        down: None,
        up: Some(Rate::new(1 << 20)),
    });
    receive(&mut a, 100).await;
    assert_seconds(
        begin,
        1.0 + 100.0 * (BLOCK + 13) as f64 / f64::from(1 << 20),
    );
    b.set_exempt(true);
    let begin = Instant::now();
    for n in 0..200 {
        assert!(b.send(block(n, BLOCK)));
    }
    receive(&mut a, 200).await;
    assert!(
        begin.elapsed() < Duration::from_millis(50),
        "{:?}",
        begin.elapsed()
    );
}
