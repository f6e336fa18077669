//! One torrent's engine, fed by peers that say anything at any time.

mod message;
mod outputs;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chunkcast::chunks::ChunkSet;
use chunkcast::client::{Candidate, Source};
use chunkcast::time::Instant;
use chunkcast_bittorrent::metadata::{Metainfo, metadata_piece};
use chunkcast_bittorrent::swarm::{ConnId, PeerInfo, Swarm, SwarmConfig};
use chunkcast_bittorrent::wire::codec::{Frame, FrameDecoder, FrameLimits};
use chunkcast_bittorrent::wire::extended::{OUR_UT_METADATA, UtMetadata};
use chunkcast_bittorrent::wire::message::{BlockRef, Handshake, Message};
use chunkcast_bittorrent::wire::stream::Transport;
use sha1::{Digest, Sha1};

use crate::input::Input;

const MAX_STEPS: usize = 400;
const MAX_CONNECTIONS: u64 = 40;
const PIECES: u32 = 4;
const PIECE: u32 = 32 << 10;

/// The torrent: three pieces of two blocks and a short last one. Its info dict takes two metadata pieces.
static TORRENT: LazyLock<(Bytes, Arc<Metainfo>)> = LazyLock::new(|| {
    let bytes: Bytes = (0..3 * PIECE + 5000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .collect();
    let mut info = format!(
        "d6:lengthi{}e4:name1:x12:piece lengthi{PIECE}e6:pieces80:",
        bytes.len()
    )
    .into_bytes();
    for piece in bytes.chunks(PIECE as usize) {
        info.extend(Sha1::digest(piece));
    }
    info.extend(b"6:zeroes20000:");
    info.extend([b'0'; 20_000]);
    info.push(b'e');
    let meta = Metainfo::from_info(info.into(), None).expect("a valid info dict");
    (bytes, Arc::new(meta))
});

/// The bytes are a program of connections, messages, answers, disk results and waits. Nothing is stored or sent that was
/// not asked for, a piece counts only after it was right, and what one input brings about is bounded.
pub fn swarm_messages(data: &[u8]) {
    let mut input = Input::new(data);
    let mut bench = Bench::new(input.byte());
    for _ in 0..MAX_STEPS {
        if input.is_done() {
            break;
        }
        bench.step(&mut input);
    }
    bench.wait(Duration::from_secs(300));
}

struct Bench {
    swarm: Swarm,
    now: Instant,
    known: bool,
    next: u64,
    open: BTreeSet<ConnId>,
    /// Requests of ours that were not answered by the program yet.
    asked: BTreeSet<(ConnId, BlockRef)>,
    metadata_asked: BTreeSet<(ConnId, u32)>,
    /// The block that is being handed over.
    arrived: Option<(ConnId, BlockRef)>,
    /// Buffers of unfinished pieces.
    pieces: BTreeMap<u32, BTreeMap<u32, Bytes>>,
    verified: BTreeSet<u32>,
    requested_of_us: BTreeSet<(ConnId, BlockRef)>,
    reads: Vec<(ConnId, BlockRef)>,
    dials: Vec<SocketAddr>,
    /// When the lookup that waits for its answer was made.
    looking_up: Option<Instant>,
    disk_fails: bool,
}

impl Bench {
    /// `flags` bit 0: the metadata is known; bit 1: two pieces are held; bit 2: everything is.
    fn new(flags: u8) -> Self {
        let now = Instant::from_micros(5_000_000);
        let meta = &TORRENT.1;
        let mut config = SwarmConfig::new(meta.info_hash, *b"-CC0000-abcdefghijkl");
        config.listen_port = 6881;
        config.index_port = Some(7000);
        let mut bench = Self {
            swarm: Swarm::new(config, flags.into(), now),
            now,
            known: false,
            next: 1,
            open: BTreeSet::new(),
            asked: BTreeSet::new(),
            metadata_asked: BTreeSet::new(),
            arrived: None,
            pieces: BTreeMap::new(),
            verified: BTreeSet::new(),
            requested_of_us: BTreeSet::new(),
            reads: Vec::new(),
            dials: Vec::new(),
            looking_up: None,
            disk_fails: false,
        };
        bench.drain();
        if flags & 1 == 1 {
            bench.know(match flags & 6 {
                0 => &[],
                2 => &[0, 1],
                _ => &[0, 1, 2, 3],
            });
        }
        bench.connect(flags & 8 == 0, flags & 16 == 0);
        bench.connect(true, true);
        bench
    }

    fn know(&mut self, held: &[u32]) {
        if !std::mem::replace(&mut self.known, true) {
            self.verified.extend(held);
            let held = ChunkSet::from_indices(PIECES, held.iter().copied());
            let (meta, all) = (TORRENT.1.clone(), ChunkSet::full(PIECES));
            self.swarm.set_metainfo(meta, held, all, self.now);
            self.drain();
        }
    }

    /// Files are selected, or no longer.
    fn want(&mut self, input: &mut Input<'_>) {
        let (wanted, first) = (input.byte(), input.byte());
        let set =
            |bits: u8| ChunkSet::from_indices(PIECES, (0..PIECES).filter(|i| bits >> i & 1 == 1));
        let classes = match wanted & 0x80 {
            0 => vec![],
            _ => vec![set(wanted & first), set(wanted & !first)],
        };
        self.swarm.set_wanted(set(wanted), classes, self.now);
        self.drain();
    }

    fn connect(&mut self, fast: bool, extended: bool) {
        if self.next > MAX_CONNECTIONS {
            return;
        }
        let conn = ConnId(self.next);
        self.next += 1;
        let n = u8::try_from(conn.0).expect("few connections");
        let mut handshake = Handshake::ours(TORRENT.1.info_hash, [n; 20]);
        if !fast {
            handshake.reserved[7] = 0;
        }
        if !extended {
            handshake.reserved[5] = 0;
        }
        let dialled = self.dials.pop();
        let info = PeerInfo {
            addr: dialled.unwrap_or(SocketAddr::from(([10, 0, 0, n % 30], 5000))),
            outbound: dialled.is_some(),
            source: Source::Tracker,
            rtt: dialled.map(|_| Duration::from_millis(n.into())),
            transport: Transport::Tcp,
            encrypted: false,
            handshake,
        };
        self.open.insert(conn);
        self.swarm.handle_connected(conn, info, self.now);
        self.drain();
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 20 {
            0..=2 => {
                let conn = self.conn(input);
                let limits = match self.known {
                    true => FrameLimits::for_pieces(PIECES),
                    false => FrameLimits::UNKNOWN_PIECES,
                };
                let decoder = FrameDecoder::new(limits);
                let mut buf = BytesMut::from(input.string());
                while let Ok(Some(frame)) = decoder.decode(&mut buf) {
                    if let Frame::Message(message) = frame {
                        self.hear(conn, message);
                    }
                }
            }
            3..=7 => {
                let conn = self.conn(input);
                let message = message::message(input);
                self.hear(conn, message);
            }
            8..=10 => self.answer(input),
            11 => self.wait(Duration::from_millis(u64::from(input.byte()) * 10)),
            12 => self.wait(Duration::from_millis(u64::from(input.byte()) * 500)),
            13 => self.connect(input.bool(), !input.byte().is_multiple_of(8)),
            14 => {
                let conn = self.conn(input);
                self.open.remove(&conn);
                self.swarm.handle_disconnected(conn, self.now);
                self.drain();
            }
            15 => {
                let bad = input.byte() >= 240;
                for _ in 0..=input.below(8) {
                    let Some((conn, block)) = self.reads.pop() else {
                        break;
                    };
                    let data = (!bad).then(|| content(block));
                    self.swarm.handle_block_read(conn, block, data, self.now);
                    self.drain();
                }
            }
            16 => {
                let conn = self.conn(input);
                let bytes = u64::from(input.u16()) * 4;
                self.swarm.handle_flushed(conn, bytes, self.now);
                self.drain();
            }
            17 => self.peers(input),
            18 => self.disk_fails = input.byte() >= 128,
            _ => match input.byte() {
                0..=199 => self.know(&[0]),
                200..=239 => self.want(input),
                _ => {
                    self.swarm.shutdown(self.now);
                    self.drain();
                }
            },
        }
    }

    fn conn(&self, input: &mut Input<'_>) -> ConnId {
        let at = input.below(self.open.len());
        self.open.iter().nth(at).copied().unwrap_or(ConnId(0))
    }

    /// Answers one of the swarm's requests: rightly, wrongly, or too short.
    fn answer(&mut self, input: &mut Input<'_>) {
        let at = input.below(self.asked.len() + self.metadata_asked.len());
        let how = input.byte();
        if let Some((conn, block)) = self.asked.iter().nth(at).copied() {
            let mut data = content(block);
            match how {
                0..=199 => {}
                200..=229 => data = data.iter().map(|x| !x).collect(),
                _ => data.truncate(how.into()),
            }
            let BlockRef { piece, begin, .. } = block;
            self.hear(conn, Message::Piece { piece, begin, data });
            self.asked.remove(&(conn, block));
        } else if let Some((conn, piece)) = self
            .metadata_asked
            .iter()
            .nth(at.saturating_sub(self.asked.len()))
            .copied()
        {
            self.metadata_asked.remove(&(conn, piece));
            let info = &TORRENT.1.info;
            let Some(mut data) = metadata_piece(info, piece) else {
                return;
            };
            if how >= 200 {
                data = vec![how; data.len()].into();
            }
            let total_size = u32::try_from(info.len()).expect("20,000 bytes");
            let payload = UtMetadata::Data {
                piece,
                total_size,
                data,
            }
            .encode();
            let id = OUR_UT_METADATA;
            self.hear(conn, Message::Extended { id, payload });
        }
    }

    /// The directory, trackers and failed dials.
    fn peers(&mut self, input: &mut Input<'_>) {
        let kind = input.byte() % 4;
        if kind == 0 {
            if let Some(addr) = self.dials.pop() {
                self.swarm.handle_dial_failed(addr, self.now);
            }
            return self.drain();
        }
        let candidates: Vec<_> = (0..input.below(12))
            .map(|_| Candidate {
                addrs: vec![message::addr(input)],
                source: Source::Directory,
                apart: Some(Duration::from_millis(input.byte().into())),
                matched: input.small(),
                load: input.byte(),
                reachable: input.bool(),
            })
            .collect();
        if kind == 1 || self.looking_up.is_none() {
            self.swarm.handle_candidates(&candidates, self.now);
        } else {
            self.looking_up = None;
            match kind {
                2 => self.swarm.handle_answer(&candidates, self.now),
                _ => self.swarm.handle_no_answer(self.now),
            }
        }
        self.drain();
    }

    fn hear(&mut self, conn: ConnId, message: Message) {
        match &message {
            Message::Piece { piece, begin, data } => {
                let block = BlockRef {
                    piece: *piece,
                    begin: *begin,
                    len: u32::try_from(data.len()).expect("a frame is short"),
                };
                self.arrived = Some((conn, block));
            }
            Message::Request(block) => {
                self.requested_of_us.insert((conn, *block));
            }
            _ => {}
        }
        self.swarm.handle_message(conn, message, self.now);
        self.drain();
        self.arrived = None;
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut stuck = 0;
        while let Some(at) = self.swarm.poll_timeout().filter(|at| *at <= end) {
            stuck = if at > self.now { 0 } else { stuck + 1 };
            assert!(stuck < 3, "the timer at {at:?} does not move on");
            self.now = self.now.max(at);
            self.swarm.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }
}

fn content(block: BlockRef) -> Bytes {
    let from = (block.piece * PIECE + block.begin) as usize;
    TORRENT.0.slice(from..from + block.len as usize)
}
