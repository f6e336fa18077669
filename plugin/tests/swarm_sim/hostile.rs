//! A peer may send anything at any time: a panic means a bug, nothing is stored that was not asked for, and memory and
//! answers stay bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::Source;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::{
    CloseReason, ConnId, DropReason, Output, PeerInfo, PieceResult, Swarm, SwarmConfig,
};
use chunkcast_bittorrent::wire::extended::{ExtendedHandshake, UtMetadata};
use chunkcast_bittorrent::wire::message::{BlockRef, Handshake, Message};
use chunkcast_bittorrent::wire::status::{Status, StatusMessage};
use chunkcast_bittorrent::wire::stream::Transport;
use proptest::prelude::*;

use crate::world::{Content, addr_of, peer_id_of};

/// A swarm and what it asked for, driven by hand.
pub(crate) struct Bench {
    pub(crate) swarm: Swarm,
    pub(crate) content: Content,
    pub(crate) now: Instant,
    pub(crate) asked: BTreeSet<(ConnId, BlockRef)>,
    pub(crate) arrived: Option<(ConnId, BlockRef)>,
    pub(crate) stored: BTreeMap<u32, BTreeSet<u32>>,
    pub(crate) closed: Vec<(ConnId, CloseReason)>,
    pub(crate) sent: Vec<(ConnId, Message)>,
    pub(crate) reads: Vec<(ConnId, BlockRef)>,
    pub(crate) outputs: usize,
}

impl Bench {
    pub(crate) fn new(held: Option<ChunkSet>) -> Self {
        Self::of(Content::random(200_000, 32 << 10, 99), held, |_| ())
    }

    pub(crate) fn of(
        content: Content,
        held: Option<ChunkSet>,
        configure: impl FnOnce(&mut SwarmConfig),
    ) -> Self {
        let now = Instant::from_micros(5_000_000);
        let mut config = SwarmConfig::new(content.meta.info_hash, peer_id_of(0));
        configure(&mut config);
        let mut swarm = Swarm::new(config, 1, now);
        if let Some(held) = held {
            swarm.set_metainfo(content.meta.clone(), held, content.full(), now);
        }
        let mut bench = Self {
            swarm,
            content,
            now,
            asked: BTreeSet::new(),
            arrived: None,
            stored: BTreeMap::new(),
            closed: Vec::new(),
            sent: Vec::new(),
            reads: Vec::new(),
            outputs: 0,
        };
        bench.drain();
        bench
    }

    /// The peer `n` again, over another connection.
    pub(crate) fn connect_again(&mut self, n: u64, conn: u64) -> ConnId {
        self.open(ConnId(conn), n, true, true, None)
    }

    pub(crate) fn connect(&mut self, n: u64, fast: bool, extended: bool) -> ConnId {
        self.connect_with(n, fast, extended, None)
    }

    /// With a connect time it is we who dialled.
    pub(crate) fn connect_with(
        &mut self,
        n: u64,
        fast: bool,
        extended: bool,
        rtt: Option<Duration>,
    ) -> ConnId {
        self.open(ConnId(n), n, fast, extended, rtt)
    }

    fn open(
        &mut self,
        conn: ConnId,
        n: u64,
        fast: bool,
        extended: bool,
        rtt: Option<Duration>,
    ) -> ConnId {
        let mut handshake = Handshake::ours(
            self.content.meta.info_hash,
            peer_id_of(usize::try_from(n).unwrap()),
        );
        if !fast {
            handshake.reserved[7] = 0;
        }
        if !extended {
            handshake.reserved[5] = 0;
        }
        let info = PeerInfo {
            addr: addr_of(usize::try_from(n).unwrap()),
            outbound: rtt.is_some(),
            source: if rtt.is_some() {
                Source::Manual
            } else {
                Source::Incoming
            },
            rtt,
            transport: Transport::Tcp,
            encrypted: false,
            handshake,
        };
        self.swarm.handle_connected(conn, info, self.now);
        self.drain();
        conn
    }

    pub(crate) fn say(&mut self, conn: ConnId, msg: Message) {
        self.arrived = match &msg {
            Message::Piece { piece, begin, data } => {
                let len = u32::try_from(data.len()).unwrap();
                Some((
                    conn,
                    BlockRef {
                        piece: *piece,
                        begin: *begin,
                        len,
                    },
                ))
            }
            _ => None,
        };
        self.swarm.handle_message(conn, msg, self.now);
        self.drain();
        self.arrived = None;
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.swarm.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        self.outputs = 0;
        while let Some(output) = self.swarm.poll_output() {
            self.outputs += 1;
            match output {
                Output::Send { conn, msg } => {
                    if let Message::Request(block) = msg {
                        self.asked.insert((conn, block));
                    }
                    let first = !self.sent.iter().any(|(c, m)| {
                        *c == conn && !matches!(m, Message::Extended { .. } | Message::KeepAlive)
                    });
                    assert!(
                        first || !matches!(msg, Message::Bitfield(_)),
                        "a late bitfield"
                    );
                    self.sent.push((conn, msg));
                }
                Output::Close { conn, reason } => self.closed.push((conn, reason)),
                Output::Store { piece, begin, data } => {
                    let (conn, block) = self.arrived.expect("stored without a block");
                    let len = u32::try_from(data.len()).unwrap();
                    assert_eq!(block, BlockRef { piece, begin, len });
                    assert!(
                        self.asked.contains(&(conn, block)),
                        "stored what was not asked"
                    );
                    assert!(
                        self.stored.entry(piece).or_default().insert(begin),
                        "stored twice"
                    );
                }
                Output::Discard { piece } => {
                    self.stored.remove(&piece);
                }
                Output::Finish { piece } => {
                    self.stored.remove(&piece);
                    self.swarm
                        .handle_piece_result(piece, PieceResult::BadHash, self.now);
                }
                Output::Read { conn, block } => self.reads.push((conn, block)),
                Output::Metadata(_) => panic!("nobody has the metadata"),
                _ => {}
            }
        }
        assert!(
            self.outputs < 5000,
            "{} outputs for one input",
            self.outputs
        );
        let stats = self.swarm.stats();
        assert!(stats.outstanding <= 2048 && stats.peers.iter().all(|p| p.queued <= 500));
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.swarm.stats().drops.get(&reason).copied().unwrap_or(0)
    }
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

pub(crate) fn extended(id: u8, payload: Bytes) -> Message {
    Message::Extended { id, payload }
}

fn block() -> impl Strategy<Value = BlockRef> {
    let piece = prop_oneof![8 => 0u32..8, 1 => any::<u32>()];
    let begin = prop_oneof![8 => (0u32..3).prop_map(|b| b << 14), 1 => any::<u32>()];
    let len = prop_oneof![8 => Just(1u32 << 14), 1 => any::<u32>(), 1 => Just(0)];
    (piece, begin, len).prop_map(|(piece, begin, len)| BlockRef { piece, begin, len })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => Just(Message::KeepAlive),
        1 => Just(Message::Choke),
        4 => Just(Message::Unchoke),
        2 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        4 => prop_oneof![9 => 0u32..7, 1 => any::<u32>()].prop_map(Message::Have),
        1 => bytes(4).prop_map(Message::Bitfield),
        1 => Just(Message::Bitfield(Bytes::from_static(&[0b1111_1110]))),
        6 => block().prop_map(Message::Request),
        8 => (block(), any::<u8>()).prop_map(|(b, fill)| Message::Piece {
            piece: b.piece,
            begin: b.begin,
            data: Bytes::from(vec![fill; b.len.min(1 << 15) as usize]),
        }),
        3 => block().prop_map(Message::Cancel),
        1 => any::<u16>().prop_map(Message::Port),
        1 => any::<u32>().prop_map(Message::Suggest),
        1 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        4 => block().prop_map(Message::Reject),
        1 => any::<u32>().prop_map(Message::AllowedFast),
        2 => (any::<u8>(), bytes(64)).prop_map(|(id, payload)| Message::Extended { id, payload }),
        2 => (any::<Option<u8>>(), any::<Option<u32>>(), any::<Option<u16>>(), any::<Option<u32>>())
            .prop_map(|(id, size, port, reqq)| {
                let handshake = ExtendedHandshake {
                    ut_pex: None,
                    upload_only_id: id,
                    upload_only: port.map(|p| p % 2 == 0),
                    ut_metadata: id,
                    cc_status: id,
                    metadata_size: size.map(|s| s % 100_000),
                    port: port.map(|p| p.max(1)),
                    version: None,
                    reqq,
                    index_port: port.map(|p| p.max(1)),
                };
                Message::Extended { id: 0, payload: handshake.encode() }
            }),
        2 => (any::<u8>(), prop::collection::vec(0u32..7, 0..7)).prop_map(|(load, some)| {
            let fetching = ChunkSet::from_indices(7, some);
            extended(3, StatusMessage::Status(Status { load, fetching }).encode())
        }),
        1 => (0u8..4, bytes(8)).prop_map(|(kind, rest)| {
            extended(3, [&[kind], &rest[..]].concat().into())
        }),
        2 => (0u32..4).prop_map(|p| Message::Extended { id: 2, payload: UtMetadata::Request(p).encode() }),
        1 => (0u32..4).prop_map(|p| Message::Extended { id: 2, payload: UtMetadata::Reject(p).encode() }),
        2 => (0u32..2, 1u32..40_000, bytes(200)).prop_map(|(piece, total_size, data)| {
            let msg = UtMetadata::Data { piece, total_size, data };
            Message::Extended { id: 2, payload: msg.encode() }
        }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Say(u64, Message),
    /// Answers the first request that is open, rightly or wrongly.
    Answer(bool),
    Wait(u64),
    Reconnect(u64),
    Gone(u64),
    ReadDone(bool),
    Flushed(u64),
    Metainfo,
    Want([u8; 2]),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (1u64..4, message()).prop_map(|(conn, msg)| Step::Say(conn, msg)),
        6 => any::<bool>().prop_map(Step::Answer),
        4 => (0u64..40_000).prop_map(Step::Wait),
        2 => (1u64..4).prop_map(Step::Reconnect),
        1 => (1u64..4).prop_map(Step::Gone),
        4 => any::<bool>().prop_map(Step::ReadDone),
        2 => any::<u64>().prop_map(Step::Flushed),
        1 => Just(Step::Metainfo),
        1 => any::<[u8; 2]>().prop_map(Step::Want),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_messages_is_survived(
        known in any::<bool>(), flags in any::<[bool; 4]>(), steps in prop::collection::vec(step(), 1..120),
    ) {
        let held = ChunkSet::from_indices(7, [0, 1]);
        let mut b = Bench::new(known.then(|| held.clone()));
        b.connect(1, flags[0], flags[1]);
        b.connect(2, flags[2], flags[3]);
        // Numbers of connections are never used twice.
        let mut conns = BTreeMap::from([(1, ConnId(1)), (2, ConnId(2))]);
        let mut next = 5;
        for step in steps {
            match step {
                Step::Say(n, msg) => {
                    if let Some(conn) = conns.get(&n) {
                        b.say(*conn, msg);
                    }
                }
                Step::Answer(good) => {
                    if let Some((conn, r)) = b.asked.iter().next_back().copied() {
                        let data = b.content.block(r);
                        let data = if good { data } else { data.iter().map(|x| !x).collect() };
                        b.say(conn, Message::Piece { piece: r.piece, begin: r.begin, data });
                        b.asked.remove(&(conn, r));
                    }
                }
                Step::Wait(ms) => b.pass(Duration::from_millis(ms)),
                Step::Reconnect(n) => {
                    conns.insert(n, b.connect(next, flags[0], flags[3]));
                    next += 1;
                    if next > 20 {
                        break;
                    }
                }
                Step::Gone(n) => {
                    if let Some(conn) = conns.remove(&n) {
                        b.swarm.handle_disconnected(conn, b.now);
                        b.drain();
                    }
                }
                Step::ReadDone(good) => {
                    if let Some((conn, r)) = b.reads.pop() {
                        let data = good.then(|| b.content.block(r));
                        b.swarm.handle_block_read(conn, r, data, b.now);
                        b.drain();
                    }
                }
                Step::Flushed(n) => {
                    for conn in conns.values() {
                        b.swarm.handle_flushed(*conn, n, b.now);
                    }
                    b.drain();
                }
                Step::Want([wanted, first]) => {
                    let set = |bits: u8| ChunkSet::from_indices(7, (0..7).filter(|i| bits >> i & 1 == 1));
                    let classes = match wanted & 0x80 {
                        0 => vec![],
                        _ => vec![set(wanted & first), set(wanted & !first)],
                    };
                    b.swarm.set_wanted(set(wanted), classes, b.now);
                    b.drain();
                }
                Step::Metainfo => {
                    let meta = b.content.meta.clone();
                    b.swarm.set_metainfo(meta, held.clone(), ChunkSet::full(7), b.now);
                    b.drain();
                }
            }
        }
    }
}

/// A downloader that holds pieces 0 and 1, and a peer that it serves.
fn served(fast: bool) -> (Bench, ConnId) {
    let mut b = Bench::new(Some(ChunkSet::from_indices(7, [0, 1])));
    let conn = b.connect(1, fast, true);
    b.say(conn, Message::Interested);
    for _ in 0..40 {
        b.pass(Duration::from_millis(500));
    }
    assert!(
        b.sent.iter().any(|(_, m)| *m == Message::Unchoke),
        "given a slot"
    );
    (b, conn)
}

const BLOCK: u32 = 16 << 10;

#[test]
fn a_flood_of_requests_is_bounded_and_ends_the_connection() {
    for fast in [false, true] {
        let (mut b, conn) = served(fast);
        for i in 0..20_000u32 {
            let r = BlockRef {
                piece: i % 2,
                begin: i % 1000,
                len: 1000 + i / 2000,
            };
            b.say(conn, Message::Request(r));
        }
        assert!(
            b.reads.len() <= 512 << 10,
            "reads are bounded by the budget"
        );
        let bytes: u64 = b.reads.iter().map(|(_, r)| u64::from(r.len)).sum();
        assert!(bytes <= 256 << 10, "{bytes} bytes being read for one peer");
        assert!(b.drops(DropReason::QueueFull) > 500);
        assert!(
            b.closed
                .contains(&(conn, CloseReason::Flood(DropReason::QueueFull)))
        );
    }
}

#[test]
fn impossible_requests_are_refused_and_soon_end_the_connection() {
    let (mut b, conn) = served(true);
    let bad = [
        BlockRef {
            piece: 7,
            begin: 0,
            len: BLOCK,
        },
        BlockRef {
            piece: 0,
            begin: 0,
            len: 0,
        },
        BlockRef {
            piece: 0,
            begin: 32 << 10,
            len: 1,
        },
        BlockRef {
            piece: 0,
            begin: 0,
            len: (128 << 10) + 1,
        },
        BlockRef {
            piece: u32::MAX,
            begin: u32::MAX,
            len: u32::MAX,
        },
    ];
    for r in bad.into_iter().cycle().take(17) {
        b.say(conn, Message::Request(r));
    }
    assert_eq!(b.reads, vec![]);
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Protocol(DropReason::BadRequest))]
    );
}

#[test]
fn requests_for_what_is_not_held_or_while_choked_are_refused() {
    let r = BlockRef {
        piece: 3,
        begin: 0,
        len: BLOCK,
    };
    let (mut b, conn) = served(true);
    b.say(conn, Message::Request(r));
    assert_eq!(b.drops(DropReason::NotHeld), 1);
    assert!(b.sent.contains(&(conn, Message::Reject(r))));
    let mut b = Bench::new(Some(ChunkSet::from_indices(7, [3])));
    let conn = b.connect(1, false, true);
    b.say(conn, Message::Request(r));
    assert_eq!(b.drops(DropReason::ChokedRequest), 1);
    assert!(
        !b.sent.contains(&(conn, Message::Reject(r))),
        "a stock peer knows no REJECT"
    );
    assert_eq!(b.reads, vec![]);
}

#[test]
fn a_cancelled_request_is_not_answered() {
    let (mut b, conn) = served(true);
    let r = BlockRef {
        piece: 0,
        begin: 0,
        len: BLOCK,
    };
    b.say(conn, Message::Request(r));
    assert_eq!(b.reads, vec![(conn, r)]);
    b.say(conn, Message::Cancel(r));
    let data = b.content.block(r);
    b.swarm.handle_block_read(conn, r, Some(data), b.now);
    b.drain();
    assert!(
        !b.sent
            .iter()
            .any(|(_, m)| matches!(m, Message::Piece { .. }))
    );
}

#[test]
fn blocks_nobody_asked_for_are_counted_and_end_the_connection() {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    for _ in 0..17 {
        let data = b.content.block(BlockRef {
            piece: 0,
            begin: 0,
            len: BLOCK,
        });
        b.say(
            conn,
            Message::Piece {
                piece: 0,
                begin: 0,
                data,
            },
        );
    }
    assert!(b.stored.is_empty());
    assert_eq!(b.drops(DropReason::Unrequested), 17);
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Protocol(DropReason::Unrequested))]
    );
}

#[test]
fn a_block_of_another_length_than_asked_closes() {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    b.say(conn, Message::HaveAll);
    b.say(conn, Message::Unchoke);
    let (_, r) = b.asked.iter().next().copied().expect("asked at once");
    let data = Bytes::from(vec![0; 100]);
    b.say(
        conn,
        Message::Piece {
            piece: r.piece,
            begin: r.begin,
            data,
        },
    );
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Protocol(DropReason::BlockLength))]
    );
}

#[test]
fn a_wrong_word_on_pieces_closes() {
    let bits = |bytes: &'static [u8]| Message::Bitfield(Bytes::from_static(bytes));
    let cases = [
        (vec![bits(&[0xfe, 0])], DropReason::BadBitfield),
        (vec![bits(&[])], DropReason::BadBitfield),
        (vec![bits(&[0xff])], DropReason::BadBitfield),
        (
            vec![bits(&[0x80]), bits(&[0x80, 0])],
            DropReason::BadBitfield,
        ),
        (vec![Message::Have(7)], DropReason::BadHave),
    ];
    for (messages, reason) in cases {
        let mut b = Bench::new(Some(ChunkSet::empty(7)));
        let conn = b.connect(1, true, true);
        for msg in messages.clone() {
            b.say(conn, msg);
        }
        assert_eq!(
            b.closed,
            vec![(conn, CloseReason::Protocol(reason))],
            "{messages:?}"
        );
    }
}

#[test]
fn a_later_bitfield_adds_to_what_the_peer_has() {
    // aria2 sends one in place of twenty HAVEs that are due at once
    let bits = |byte: u8| Message::Bitfield(Bytes::from(vec![byte]));
    let cases: [&[Message]; 4] = [
        &[bits(0x80), bits(0x40)],
        &[Message::Have(0), bits(0x40)],
        &[Message::HaveNone, bits(0x40), Message::Have(0)],
        &[bits(0xc0), Message::HaveNone],
    ];
    for (says, known) in cases.iter().flat_map(|c| [(c, true), (c, false)]) {
        let mut b = Bench::new(known.then(|| ChunkSet::empty(7)));
        let conn = b.connect(1, true, true);
        for msg in says.iter() {
            b.say(conn, msg.clone());
        }
        if !known {
            let (meta, full) = (b.content.meta.clone(), b.content.full());
            b.swarm.set_metainfo(meta, ChunkSet::empty(7), full, b.now);
            b.drain();
        }
        b.say(conn, Message::Unchoke);
        let asked: BTreeSet<u32> = b.asked.iter().map(|(_, r)| r.piece).collect();
        assert_eq!(asked, BTreeSet::from([0, 1]), "{says:?}");
        assert_eq!(b.closed, vec![], "{says:?}");
    }
}

#[test]
fn a_flood_of_bitfields_ends_the_connection() {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    for _ in 0..3000 {
        b.say(conn, Message::Bitfield(Bytes::from_static(&[0x80])));
    }
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Flood(DropReason::LateBitfield))]
    );
}

#[test]
fn what_is_kept_before_the_metadata_is_bounded() {
    let mut b = Bench::new(None);
    let conn = b.connect(1, false, false);
    b.say(conn, Message::Bitfield(Bytes::from(vec![0; (1 << 20) + 1])));
    assert_eq!(
        b.closed,
        vec![(conn, CloseReason::Protocol(DropReason::BadBitfield))]
    );
    let conn = b.connect(2, false, false);
    for piece in 0..103_000 {
        b.say(conn, Message::Have(piece));
    }
    assert!(
        b.closed
            .contains(&(conn, CloseReason::Flood(DropReason::TooManyHaves)))
    );
}

#[test]
fn floods_of_state_changes_end_the_connection() {
    let mut b = Bench::new(Some(ChunkSet::from_indices(7, [0])));
    let conn = b.connect(1, true, true);
    for _ in 0..3000 {
        b.say(conn, Message::Unchoke);
        b.say(conn, Message::Choke);
        b.say(conn, Message::Choke);
        b.say(conn, Message::KeepAlive);
    }
    assert!(
        matches!(b.closed[..], [(_, CloseReason::Flood(_))]),
        "{:?}",
        b.closed
    );
}

#[test]
fn messages_of_extensions_not_agreed_on_are_dropped() {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, false, false);
    b.say(conn, Message::HaveAll);
    let payload = ExtendedHandshake::default().encode();
    b.say(conn, Message::Extended { id: 0, payload });
    assert_eq!(b.drops(DropReason::NotNegotiated), 2);
    assert_eq!(b.swarm.stats().peers[0].pieces, 0);
    let conn = b.connect(2, true, true);
    // Metadata before the handshake, and an id that we did not give out.
    let payload = UtMetadata::Data {
        piece: 0,
        total_size: 5,
        data: Bytes::from_static(b"hello"),
    };
    b.say(
        conn,
        Message::Extended {
            id: 2,
            payload: payload.encode(),
        },
    );
    b.say(
        conn,
        Message::Extended {
            id: 77,
            payload: Bytes::new(),
        },
    );
    assert_eq!(b.drops(DropReason::BadExtended), 1);
    assert_eq!(b.drops(DropReason::UnknownExtended), 1);
    assert_eq!(b.closed, vec![]);
}

#[test]
fn a_bitfield_is_only_sent_as_the_first_word() {
    // The metadata comes after the peer was unchoked: it hears HAVEs instead.
    let mut b = Bench::new(None);
    let conn = b.connect(1, false, true);
    b.say(conn, Message::Interested);
    for _ in 0..40 {
        b.pass(Duration::from_millis(500));
    }
    let unchoked = b.sent.contains(&(conn, Message::Unchoke));
    let (meta, held) = (b.content.meta.clone(), ChunkSet::from_indices(7, [2, 5]));
    b.swarm.set_metainfo(meta, held, ChunkSet::full(7), b.now);
    b.drain();
    let haves = b
        .sent
        .iter()
        .filter(|(_, m)| matches!(m, Message::Have(_)))
        .count();
    assert_eq!(haves, if unchoked { 2 } else { 0 });
}
