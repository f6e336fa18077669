//! What ChunkCast clients tell each other of what they are fetching, and what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::ConnId;
use chunkcast_bittorrent::wire::extended::ExtendedHandshake;
use chunkcast_bittorrent::wire::message::Message;
use chunkcast_bittorrent::wire::status::{Status, StatusMessage};

use crate::scripts::{Fault, Seed};
use crate::world::{Content, Script, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A peer of one piece's content that says these things at the start, unchokes, and keeps what it hears.
struct Neighbour {
    says: Vec<(Duration, Message)>,
    heard: std::rc::Rc<std::cell::RefCell<Vec<(Instant, Message)>>>,
}

type Heard = std::rc::Rc<std::cell::RefCell<Vec<(Instant, Message)>>>;

impl Neighbour {
    fn new(says: Vec<(Duration, Message)>) -> (Self, Heard) {
        let heard = Heard::default();
        let all = heard.clone();
        (Self { says, heard }, all)
    }
}

impl Script for Neighbour {
    fn connected(&mut self, _conn: ConnId) -> Vec<(Duration, Message)> {
        std::mem::take(&mut self.says)
    }

    fn message(&mut self, _: ConnId, msg: Message, now: Instant) -> Vec<(Duration, Message)> {
        self.heard.borrow_mut().push((now, msg));
        Vec::new()
    }
}

fn handshake(cc_status: Option<u8>) -> Message {
    let handshake = ExtendedHandshake {
        ut_metadata: Some(5),
        cc_status,
        ..ExtendedHandshake::default()
    };
    Message::Extended {
        id: 0,
        payload: handshake.encode(),
    }
}

fn status(pieces: ChunkSet) -> Message {
    let status = Status {
        load: 0,
        fetching: pieces,
    };
    Message::Extended {
        id: 3,
        payload: StatusMessage::Status(status).encode(),
    }
}

/// The statuses among what a peer heard that takes them under `id`.
fn statuses(heard: &Heard, id: u8, pieces: u32) -> Vec<(Instant, Status)> {
    let heard = heard.borrow();
    let own = heard.iter().filter_map(|(at, msg)| match msg {
        Message::Extended { id: i, payload } if *i == id => {
            match StatusMessage::decode(payload, Some(pieces)).unwrap() {
                StatusMessage::Status(status) => Some((*at, status)),
                _ => None,
            }
        }
        _ => None,
    });
    own.collect()
}

/// Pieces of 64 blocks of which `node` has asked at least half over `conn`: more than an endgame does.
fn fetched(w: &mut World, node: usize, conn: ConnId) -> BTreeSet<u32> {
    let requested = &w.node(node).requested;
    let blocks = |piece| {
        let of = requested
            .iter()
            .filter(|(c, b)| (*c, b.piece) == (conn, piece));
        of.count()
    };
    (0..4).filter(|p| blocks(*p) >= 32).collect()
}

#[test]
fn of_two_near_each_other_only_one_fetches_a_piece_from_far() {
    for n in 0..6 {
        let content = Content::random(4 << 20, 1 << 20, n);
        let mut w = World::new(n);
        w.directory = false;
        w.latency = Duration::from_millis(1);
        let seed = w.add_with(&content, Some(content.full()), None, |c| {
            c.client.superseed = false;
        });
        w.far.insert(seed, Duration::from_millis(50));
        w.set_uplink(seed, 200_000);
        // Each has a piece that the other wants: they serve each other.
        let mut add = |piece| {
            let held = ChunkSet::from_indices(4, [piece]);
            w.add_with(&content, Some(held), None, |c| c.pex = false)
        };
        let (a, b) = (add(0), add(3));
        w.connect(b, a);
        w.run_for(SECOND);
        let from_a = w.connect(a, seed);
        w.run_for(2 * SECOND);
        let from_b = w.connect(b, seed);
        w.complete(&[a, b], MINUTE);
        let (a, b) = (fetched(&mut w, a, from_a), fetched(&mut w, b, from_b));
        assert_eq!((a.len(), b.len()), (1, 1), "{a:?} and {b:?}");
        assert!(a.is_disjoint(&b), "{a:?} and {b:?}");
        let copies = w.node(seed).payload_sent as f64 / f64::from(2 << 20);
        assert!(
            copies < 1.3,
            "seed {n}: {copies:.2} copies of what both missed"
        );
    }
}

#[test]
fn what_is_fetched_is_told_at_once_then_once_a_second_and_only_when_it_changes() {
    let content = Content::random(4 << 20, 64 << 10, 2);
    let mut w = World::new(2);
    w.directory = false;
    let seed = w.add(&content, Some(content.full()));
    w.set_uplink(seed, 400_000);
    let get = w.add(&content, Some(content.none()));
    w.connect(get, seed);
    let (near, heard) = Neighbour::new(vec![
        (Duration::ZERO, Message::HaveNone),
        (Duration::ZERO, handshake(Some(77))),
    ]);
    let (whole, to_whole) = Neighbour::new(vec![
        (Duration::ZERO, Message::HaveAll),
        (Duration::ZERO, handshake(Some(77))),
    ]);
    for script in [near, whole] {
        let at = w.add_script(script, true);
        w.connect(at, get);
    }
    w.complete(&[get], MINUTE);
    w.run_for(2 * SECOND);
    let told = statuses(&heard, 77, 64);
    assert!((8..=15).contains(&told.len()), "{} in 10 s", told.len());
    assert!(
        told[1..]
            .windows(2)
            .all(|w| w[1].0 - w[0].0 >= SECOND - w_latency()),
        "a neighbour that is not near"
    );
    assert!(told.windows(2).all(|w| w[1].1 != w[0].1), "only changes");
    assert!(
        told[..told.len() - 1]
            .iter()
            .any(|(_, s)| !s.fetching.is_none())
    );
    assert!(
        told.last().unwrap().1.fetching.is_none(),
        "at the end nothing"
    );
    assert_eq!(statuses(&to_whole, 77, 64), [], "who misses nothing");
}

/// What a message may come later than the one after it on an idle uplink.
fn w_latency() -> Duration {
    Duration::from_millis(10)
}

#[test]
fn stock_peers_never_see_a_status() {
    let content = Content::random(1 << 20, 64 << 10, 3);
    for (fast, cc_status) in [(true, None), (true, Some(0)), (false, None)] {
        let mut w = World::new(3);
        w.directory = false;
        let seed = w.add(&content, Some(content.full()));
        w.set_uplink(seed, 200_000);
        let get = w.add(&content, Some(content.none()));
        w.connect(get, seed);
        let first = fast.then(|| (Duration::ZERO, handshake(cc_status)));
        let (stock, heard) = Neighbour::new(first.into_iter().collect());
        let stock = w.add_script(stock, fast);
        w.connect(stock, get);
        w.complete(&[get], MINUTE);
        w.run_for(SECOND);
        let heard = heard.borrow();
        let ids: Vec<u8> = heard
            .iter()
            .filter_map(|(_, m)| match m {
                Message::Extended { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        let expected = if fast { vec![0] } else { vec![] };
        assert_eq!(ids, expected);
        assert!(heard.len() >= 16, "it heard of the pieces");
    }
}

#[test]
fn a_neighbour_that_says_it_fetches_everything_delays_nobody_for_long() {
    let content = Content::random(1 << 20, 64 << 10, 4);
    let mut w = World::new(4);
    w.directory = false;
    w.latency = Duration::from_millis(1);
    let seed = w.add_script(Seed::new(&content, true, Fault::None), true);
    w.far.insert(seed, Duration::from_millis(50));
    let mut says = vec![
        (Duration::ZERO, handshake(None)),
        (Duration::ZERO, Message::HaveNone),
        (Duration::ZERO, Message::Unchoke),
    ];
    let again = |n: u32| (n * Duration::from_millis(500), status(content.full()));
    says.extend((0..400).map(again));
    let (liar, _) = Neighbour::new(says);
    let liar = w.add_script(liar, true);
    let get = w.add(&content, Some(content.none()));
    w.connect(get, liar);
    w.run_for(SECOND);
    w.connect(get, seed);
    let begin = w.now;
    w.run_for(5 * SECOND);
    let stats = w.node(get).swarm.stats();
    assert!(stats.peers[0].near && stats.peers[0].pieces == 0);
    assert_eq!(stats.received, 0, "it is believed at first");
    w.complete(&[get], 2 * MINUTE);
    let took = w.now.saturating_since(begin);
    assert!(took < Duration::from_secs(40), "{took:?}");
}

#[test]
fn a_status_before_the_piece_count_is_known_is_ignored() {
    let content = Content::random(1 << 20, 64 << 10, 5);
    let mut w = World::new(5);
    w.directory = false;
    let says = vec![
        (Duration::ZERO, handshake(None)),
        (Duration::ZERO, status(content.full())),
        (
            Duration::ZERO,
            Message::Extended {
                id: 3,
                payload: Bytes::from_static(b"\0\0any"),
            },
        ),
    ];
    let (script, _) = Neighbour::new(says);
    let script = w.add_script(script, true);
    let get = w.add(&content, None);
    w.connect(script, get);
    w.run_for(SECOND);
    assert_eq!(w.node(get).swarm.stats().drops, Default::default());
    assert_eq!(w.node(get).closed, []);
}
