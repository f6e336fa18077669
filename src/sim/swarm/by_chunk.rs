//! The two systems that the paper compares with (5.1): a directory that is asked for one chunk at a time.
//!
//! Four chunks, drawn at random from those missing, are asked for and fetched at a time. The directory is real: every
//! chunk is an object of its own on the same index nodes. `Random` asks the chunk's root for a random holder,
//! `ConstrainedLocality` takes the nearest holder that the index nodes on the way know (as Shark on Coral). A full server
//! refuses, and another chunk is tried. `ConstrainedLocality` does not have that server named again for a second, or it is
//! sent to the same full neighbour for one chunk after the other (14 refusals a chunk, and twice the time).
//!
//! The index nodes keep no copies of a root's entries at its neighbours and do not remind their parents of entries that
//! they were told before: the paper's systems do neither. (With an object for every chunk both together were a tenth of
//! all messages.)

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::core::{Core, Input, Message, TIMEOUT};
use super::world::Peer;
use crate::chunks::ChunkSet;
use crate::id::ObjectId;
use crate::node::{DirectoryConfig, LookupRequest};
use crate::time::Instant;
use crate::wire::{PeerAddrs, Ranking, Wanted};

/// Chunks fetched at a time.
const PARALLEL: usize = 4; // paper 5.1
/// Pause after a lookup that found nobody, or a server that is gone.
const PAUSE: Duration = Duration::from_millis(500); // guess

/// How long a server that refused is not asked again.
const BUSY: Duration = Duration::from_secs(1); // as the clients of the other systems at first

/// Failed holders that the directory is told of.
const FAILED: usize = 8; // as many as a lookup carries
/// The alarm at the end of a pause; others are those of chunks whose holder has not answered.
const PAUSED: u64 = u64::MAX;

/// See the module.
pub(super) struct ByChunk {
    me: usize,
    nearest: bool,
    held: ChunkSet,
    /// Missing chunks that are not being fetched.
    free: Vec<u32>,
    /// Lookups under way.
    asked: BTreeMap<u64, u32>,
    /// Chunks under way, and from whom.
    fetching: BTreeMap<u32, usize>,
    pausing: usize,
    /// Holders that did not answer, the last one first; the directory is told not to name them.
    failed: Vec<SocketAddr>,
    /// Holders that refused lately, the last one first, and until when they are not asked.
    busy: VecDeque<(SocketAddr, Instant)>,
}

impl ByChunk {
    pub(super) fn new(me: usize, nearest: bool, chunks: u32) -> Self {
        let held = if me == 0 {
            ChunkSet::full(chunks)
        } else {
            ChunkSet::empty(chunks)
        };
        Self {
            me,
            nearest,
            free: held.iter_missing().collect(),
            held,
            asked: BTreeMap::new(),
            fetching: BTreeMap::new(),
            pausing: 0,
            failed: Vec::new(),
            busy: VecDeque::new(),
        }
    }

    fn fill(&mut self, core: &mut Core) {
        while self.asked.len() + self.fetching.len() + self.pausing < PARALLEL
            && !self.free.is_empty()
        {
            let at = core.rng.random_range(0..self.free.len());
            let chunk = self.free.swap_remove(at);
            let request = LookupRequest {
                object: object(chunk),
                wanted: Wanted::Any,
                p: 1,
                mix: u8::from(!self.nearest),
                ranking: Ranking::Closeness,
                asker: PeerAddrs::from(core.addr(self.me)),
                ignore: self.not_to_name(core.now()),
                to_root: !self.nearest,
                trace: false,
            };
            let id = core.lookup(self.me, request);
            self.asked.insert(id, chunk);
        }
    }

    fn pause(&mut self, core: &mut Core) {
        self.pausing += 1;
        let at = core.now() + PAUSE;
        core.at(self.me, at, Input::Alarm(PAUSED));
    }

    /// Waits in vain for a holder that the directory has named.
    fn wait(&mut self, chunk: u32, holder: SocketAddr, core: &mut Core) {
        self.pausing += 1;
        let at = core.now() + TIMEOUT;
        core.at(self.me, at, Input::Alarm(u64::from(chunk)));
        self.distrust(holder);
    }

    fn distrust(&mut self, holder: SocketAddr) {
        self.failed.retain(|a| *a != holder);
        self.failed.insert(0, holder);
        self.failed.truncate(FAILED);
    }

    fn refused_by(&mut self, holder: SocketAddr, now: Instant) {
        self.busy.retain(|(addr, _)| *addr != holder);
        self.busy.push_front((holder, now + BUSY));
        self.busy.truncate(FAILED);
    }

    fn not_to_name(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.busy.retain(|(_, until)| *until > now);
        let all = self
            .failed
            .iter()
            .chain(self.busy.iter().map(|(addr, _)| addr));
        all.take(FAILED).copied().collect()
    }

    fn publish(&self, chunk: u32, core: &mut Core) {
        core.publish(self.me, object(chunk), 1, ChunkSet::full(1), true, 0);
    }
}

/// See the module.
pub(super) fn configure(directory: &mut DirectoryConfig) {
    directory.replicas = false;
    directory.quiet_period = Duration::from_secs(86_400);
}

/// The object that stands for one chunk.
pub(super) fn object(chunk: u32) -> ObjectId {
    ObjectId::from_name(format!("chunk {chunk}").as_bytes())
}

impl Peer for ByChunk {
    fn handle(&mut self, input: Input, core: &mut Core) {
        match input {
            Input::Start => {
                for chunk in self.held.iter() {
                    self.publish(chunk, core);
                }
            }
            Input::Alarm(alarm) => {
                self.pausing -= 1;
                if alarm != PAUSED {
                    self.free.extend(u32::try_from(alarm));
                }
            }
            Input::Found { id, result } => {
                let Some(chunk) = self.asked.remove(&id) else {
                    return;
                };
                let addr = result
                    .ok()
                    .and_then(|found| found.matches.first()?.addrs.iter().next());
                match addr.map(|addr| (addr, core.peer_at(addr))) {
                    Some((_, Some(holder))) => {
                        self.fetching.insert(chunk, holder);
                        core.request(self.me, holder, chunk);
                    }
                    Some((addr, None)) => self.wait(chunk, addr, core),
                    None => {
                        self.free.push(chunk);
                        self.pause(core);
                    }
                }
            }
            Input::Message {
                from,
                message: Message::Request(_, chunk),
            } => {
                if self.held.contains(chunk) && core.has_slot(self.me) {
                    core.upload(self.me, from, 0, chunk, false);
                } else {
                    core.tally.refused += 1;
                    core.send(self.me, from, Message::Busy(0, chunk));
                }
            }
            Input::Message {
                message: Message::Busy(_, chunk),
                ..
            } => {
                if let Some(holder) = self.fetching.remove(&chunk) {
                    if self.nearest {
                        self.refused_by(core.addr(holder), core.now());
                    }
                    self.free.push(chunk);
                }
            }
            Input::Chunk { chunk, .. } => {
                self.fetching.remove(&chunk);
                if self.held.insert(chunk) {
                    self.publish(chunk, core);
                } else {
                    core.tally.duplicate_bytes += core.plan.chunk_bytes;
                }
                if self.held.is_full() {
                    core.completed(self.me);
                }
            }
            Input::Gone { peer } => {
                let lost = self.fetching.iter().filter(|(_, from)| **from == peer);
                for chunk in lost.map(|(chunk, _)| *chunk).collect::<Vec<_>>() {
                    self.distrust(core.addr(peer));
                    self.fetching.remove(&chunk);
                    self.free.push(chunk);
                    self.pause(core);
                }
            }
            Input::Message { .. } | Input::Sent { .. } => {}
        }
        self.fill(core);
    }

    fn held(&self) -> u32 {
        self.held.count()
    }
}
