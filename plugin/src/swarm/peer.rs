//! What is known of one connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;

use super::pex::PeerPex;
use super::pieces::BlockKey;
use super::sending::{Sending, Stretches};
use super::status::PeerStatus;
use super::{Limits, PeerInfo};
use crate::wire::message::BlockRef;

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) info: PeerInfo,
    /// Where it accepts connections, if known.
    pub(super) listen: Option<SocketAddr>,
    /// Client name and version from its extended handshake.
    pub(super) client: Option<String>,
    /// Whether it counts as near (the client's measure), refreshed by the housekeeping.
    pub(super) near: bool,
    /// The pieces that it says it has.
    pub(super) has: Has,
    /// It has said its first word on its pieces: a bitfield would be late.
    pub(super) declared: bool,
    /// The pieces that it knows of from us.
    pub(super) told: ChunkSet,
    /// Pieces that came and that it was not told of, because it has them itself.
    pub(super) withheld: Vec<u32>,
    /// Our first message other than the extended handshake is out: a bitfield would be late.
    pub(super) opened: bool,
    /// Every piece that comes is announced to it.
    pub(super) announce: bool,
    /// We told it that we are interested.
    pub(super) interesting: bool,
    /// It told us that it is interested.
    pub(super) interested: bool,
    /// It told us that it downloads nothing more (BEP 21).
    pub(super) upload_only: bool,
    /// It refuses to serve us.
    pub(super) choking: bool,
    pub(super) ext: Extensions,
    pub(super) status: PeerStatus,
    pub(super) pex: PeerPex,
    pub(super) down: Download,
    pub(super) up: Upload,
    pub(super) last_received: Instant,
    pub(super) last_sent: Instant,
    /// Protocol violations.
    pub(super) faults: u32,
    /// Needless messages, forgiven with time.
    pub(super) noise: u32,
}

impl Peer {
    pub(super) fn new(info: PeerInfo, pieces: Option<u32>, limits: &Limits, now: Instant) -> Self {
        let has = match pieces {
            Some(count) => Has::Known(ChunkSet::empty(count)),
            None => Has::Early(Early::default()),
        };
        Self {
            listen: info.outbound.then_some(info.addr),
            client: None,
            near: false,
            has,
            declared: false,
            told: ChunkSet::empty(pieces.unwrap_or(0)),
            withheld: Vec::new(),
            opened: false,
            announce: false,
            interesting: false,
            interested: false,
            upload_only: false,
            choking: true,
            ext: Extensions::default(),
            status: PeerStatus::new(limits.ping_pause, now),
            pex: PeerPex::new(now),
            down: Download::new(limits, now),
            up: Upload::new(now),
            last_received: now,
            last_sent: now,
            faults: 0,
            noise: 0,
            info,
        }
    }

    /// Whether the Fast extension (BEP 6) is agreed on; we always offer it.
    pub(super) fn fast(&self) -> bool {
        self.info.handshake.fast()
    }

    /// Whether the extension protocol (BEP 10) is agreed on; we always offer it.
    pub(super) fn extended(&self) -> bool {
        self.info.handshake.extended()
    }

    /// Whether it says that it has `piece`.
    pub(super) fn has(&self, piece: u32) -> bool {
        matches!(&self.has, Has::Known(set) if set.contains(piece))
    }

    /// How many pieces it says it has.
    pub(super) fn held(&self) -> u32 {
        match &self.has {
            Has::Known(set) => set.count(),
            Has::Early(_) => 0,
        }
    }

    /// Whether it says that it has every piece.
    pub(super) fn is_seed(&self) -> bool {
        matches!(&self.has, Has::Known(set) if set.is_full())
    }

    /// Whether it wants nothing of anybody, as far as it says.
    pub(super) fn wants_nothing(&self) -> bool {
        self.is_seed() || self.upload_only
    }

    /// Whether it is a client of another kind, as far as it has said by now.
    pub(super) fn is_stranger(&self) -> bool {
        self.status.id.is_none()
    }

    /// The least round-trip time measured.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.info.rtt.into_iter().chain(self.down.rtt).min()
    }

    /// Whether it would serve us: it does not choke us and owes us nothing for long.
    pub(super) fn serves(&self) -> bool {
        !self.choking && !self.down.snubbed
    }
}

/// What a peer did in the second that began with the first of it.
pub(super) type PerSecond = Per<1>;

/// The same in a minute.
pub(super) type PerMinute = Per<60>;

/// What a peer did in the time that began with the first of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Per<const SECONDS: u64> {
    since: Instant,
    count: usize,
}

impl<const SECONDS: u64> Per<SECONDS> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    /// Once more; whether that is more than `limit` in that time.
    pub(super) fn exceeds(&mut self, limit: usize, now: Instant) -> bool {
        if now.saturating_since(self.since) >= Duration::from_secs(SECONDS) {
            *self = Self::new(now);
        }
        self.count += 1;
        self.count > limit
    }
}

/// The pieces that a peer has.
#[derive(Debug)]
pub(super) enum Has {
    /// As it said, while the piece count is unknown.
    Early(Early),
    /// Checked.
    Known(ChunkSet),
}

/// What a peer said of its pieces before the piece count was known.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) bitfield: Option<Bytes>,
    pub(super) all: bool,
    pub(super) haves: BTreeSet<u32>,
}

/// BEP 10 and BEP 9 state.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// Its extended handshake has come.
    pub(super) shaken: bool,
    /// The id under which it takes `ut_metadata`.
    pub(super) ut_metadata: Option<u8>,
    /// The id under which it takes `upload_only`.
    pub(super) upload_only_id: Option<u8>,
    /// What it was told last of whether we download nothing more.
    pub(super) told_upload_only: bool,
    /// Requests that it queues.
    pub(super) reqq: Option<u32>,
    /// Its index node was reported.
    pub(super) index_told: bool,
    /// Its DHT node was reported.
    pub(super) dht_told: bool,
    /// Our metadata requests in flight, and when they were sent.
    pub(super) asked: BTreeMap<u32, Instant>,
    /// Its metadata requests that wait.
    pub(super) wants: VecDeque<u32>,
    /// Metadata pieces that may be sent now.
    pub(super) tokens: u32,
}

/// Our requests to a peer.
#[derive(Debug)]
pub(super) struct Download {
    /// The client asks of this peer: it is a server of ours.
    pub(super) active: bool,
    /// It let requests time out and has sent nothing since.
    pub(super) snubbed: bool,
    /// Pieces assigned to it that have blocks to ask for, in the order of assignment.
    pub(super) pieces: Vec<u32>,
    /// Requests that it owes, and when they were sent.
    pub(super) outstanding: BTreeMap<BlockKey, Instant>,
    /// Requests given up that may still be answered, and their order.
    late: BTreeSet<BlockKey>,
    late_order: VecDeque<BlockKey>,
    /// Pieces that it sends although it chokes us.
    pub(super) allowed: BTreeSet<u32>,
    /// Requests that may be outstanding.
    pub(super) window: u32,
    /// Bytes per second while requests were outstanding, smoothed.
    pub(super) rate: u64,
    /// Bytes since [`Download::since`].
    pub(super) counted: u64,
    pub(super) since: Instant,
    /// The only request in flight, sent into an empty pipeline: its answer measures the round-trip.
    pub(super) probe: Option<(BlockKey, Instant)>,
    /// Least round-trip time measured.
    pub(super) rtt: Option<Duration>,
    /// The last block, or the first request into an empty pipeline.
    pub(super) alive: Instant,
    /// When our rate limits last held what it sent.
    pub(super) held: Option<Instant>,
    /// For how long they have since the last block.
    pub(super) excused: Duration,
    /// Payload bytes received, useful or not.
    pub(super) bytes: u64,
}

impl Download {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            active: false,
            snubbed: false,
            pieces: Vec::new(),
            outstanding: BTreeMap::new(),
            late: BTreeSet::new(),
            late_order: VecDeque::new(),
            allowed: BTreeSet::new(),
            window: limits.first_window,
            rate: 0,
            counted: 0,
            since: now,
            probe: None,
            rtt: None,
            alive: now,
            held: None,
            excused: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Remembers a request that was given up, at most `limit`.
    pub(super) fn give_up(&mut self, key: BlockKey, limit: usize) {
        if limit > 0 && self.late.insert(key) {
            self.late_order.push_back(key);
            if self.late_order.len() > limit
                && let Some(oldest) = self.late_order.pop_front()
            {
                self.late.remove(&oldest);
            }
        }
    }

    /// Whether `key` was given up; forgotten with the answer.
    pub(super) fn take_late(&mut self, key: BlockKey) -> bool {
        let known = self.late.remove(&key);
        if known {
            self.late_order.retain(|k| *k != key);
        }
        known
    }

    /// Whether `key` was given up and may still be answered.
    pub(super) fn is_late(&self, key: BlockKey) -> bool {
        self.late.contains(&key)
    }
}

/// A peer's requests to us.
#[derive(Debug)]
pub(super) struct Upload {
    /// We serve it (it is unchoked).
    pub(super) serving: bool,
    /// It was told what it may ask for while it is choked.
    pub(super) offered: bool,
    /// Requests not begun, in order.
    pub(super) queue: VecDeque<BlockRef>,
    /// Blocks being read for it; `false`: it no longer wants it.
    pub(super) reading: BTreeMap<BlockRef, bool>,
    /// Bytes of blocks being read.
    pub(super) reading_bytes: u64,
    /// Bytes of blocks sent and not yet with the kernel.
    pub(super) unflushed: u64,
    /// Payload bytes with the kernel.
    pub(super) bytes: u64,
    /// Of those, the ones that were there at the last housekeeping, and the rate since the one before, bytes a second.
    counted: u64,
    pub(super) rate: u64,
    /// When the kernel last took some, or the first of those that wait began to.
    pub(super) moved: Option<Instant>,
    /// Pieces that it is being sent.
    pub(super) pieces: BTreeMap<u32, Sending>,
    /// What `unflushed` consists of.
    pub(super) stretches: Stretches,
    /// Requests refused for want of a place.
    pub(super) refused: PerSecond,
}

impl Upload {
    fn new(now: Instant) -> Self {
        Self {
            serving: false,
            offered: false,
            queue: VecDeque::new(),
            reading: BTreeMap::new(),
            reading_bytes: 0,
            unflushed: 0,
            bytes: 0,
            counted: 0,
            rate: 0,
            moved: None,
            pieces: BTreeMap::new(),
            stretches: Stretches::new(),
            refused: PerSecond::new(now),
        }
    }

    /// Bytes read or sent and not yet with the kernel.
    pub(super) fn pending(&self) -> u64 {
        self.reading_bytes + self.unflushed
    }

    /// Measures the rate over the time since the last call.
    pub(super) fn measure(&mut self, since: Duration) {
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let bytes = self.bytes - std::mem::replace(&mut self.counted, self.bytes);
        self.rate = (bytes.saturating_mul(1_000_000))
            .checked_div(micros)
            .unwrap_or(self.rate);
    }

    /// Whether something is on its way to the peer, or may be.
    pub(super) fn is_busy(&self) -> bool {
        self.pending() > 0 || !self.pieces.is_empty()
    }

    /// Whether the peer has not read for so long that its bytes wait for it and not for the uplink.
    pub(super) fn is_stuck(&self, after: Duration, now: Instant) -> bool {
        self.pending() > 0
            && self
                .moved
                .is_some_and(|at| now.saturating_since(at) >= after)
    }
}
