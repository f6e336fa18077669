//! One torrent, sans-IO: blocks, request pipelines, endgame, blame for bad pieces, the extension protocol of each
//! connection, peer exchange, and upload queues (BEP 3, 6, 9, 10, 11).
//!
//! The peers and the pieces are chosen by [`chunkcast::client::Client`] (paper section 4), which a [`Swarm`] contains
//! and translates for: BitTorrent messages become the client's inputs, the client's actions become messages. What is
//! decided here is below a piece: which of its blocks is asked of whom, and when.
//!
//! # Contract
//! - Every `handle_*` is an input with the time; after each, drain [`Swarm::poll_output`], and call
//!   [`Swarm::handle_timeout`] when the time of [`Swarm::poll_timeout`] has come. Nothing reads a clock; the same seed
//!   and inputs give the same outputs.
//! - The caller keeps the bytes of open pieces: [`Output::Store`] hands it each accepted block once,
//!   [`Output::Finish`] follows the last one, and [`Swarm::handle_piece_result`] answers it. A piece is told to peers
//!   and published only after [`PieceResult::Ok`].
//! - A peer's fault is counted ([`SwarmStats::drops`]); too many close the connection. No input panics.
//!
//! # Differences from the paper
//! The paper's chunk is 256 KB and comes from one server. BitTorrent's pieces are up to 16 MiB and more, so a pipeline
//! spans pieces, and what is left of a piece whose server chokes, stalls or leaves is fetched from others block by
//! block.

mod actions;
mod announce;
mod availability;
mod blame;
mod config;
mod connections;
mod downloads;
mod drop_reason;
mod endgame;
mod fast;
mod held;
mod inbound;
mod memory;
mod metadata_phase;
mod output;
mod peer;
mod pex;
mod pieces;
mod pipeline;
mod sending;
mod stats;
mod status;
mod timers;
mod upload_only;
mod uploads;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::{Candidate, Client};
use chunkcast::time::Instant;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use config::{Limits, SwarmConfig};
pub use drop_reason::DropReason;
pub use output::{CloseReason, ConnId, Output, PeerInfo, PieceResult, SwarmConfigError};
pub use pipeline::max_buffered;
pub use stats::{ByDistance, MAX_GONE, PeerStats, SwarmStats};

use crate::metadata::{MetadataAssembly, Metainfo};
use crate::wire::message::{BlockRef, Message};
use blame::Blame;
use fast::Offers;
use peer::Peer;
use pieces::Torrent;
use pipeline::FarWindow;
use stats::Counters;
use status::Pings;
use uploads::Turn;

/// Rounds of filling pipelines after one input; what is left waits for the next, which the tick guarantees.
const MAX_REFILLS: usize = 4;

/// One torrent. See the [module documentation](self) for the contract.
#[derive(Debug)]
pub struct Swarm {
    config: SwarmConfig,
    /// The time of the input being handled.
    now: Instant,
    client: Client,
    /// Pieces and blocks, once the metadata is known.
    torrent: Option<Torrent>,
    assembly: MetadataAssembly,
    /// The metadata was handed out and `set_metainfo` is awaited.
    metadata_out: bool,
    peers: BTreeMap<ConnId, Peer>,
    blame: Blame,
    banned: BTreeSet<connections::BanKey>,
    /// What connections that ended have moved, by address.
    gone: BTreeMap<SocketAddr, PeerStats>,
    /// Requests outstanding at all peers.
    outstanding: u32,
    /// The same at the far ones.
    far: FarWindow,
    turn: Turn,
    offers: Offers,
    pings: Pings,
    /// When the housekeeping is next due.
    tick: Instant,
    last_tick: Instant,
    outputs: VecDeque<Output>,
    counters: Counters,
    /// Where our DHT node is.
    dht_port: Option<u16>,
    complete_told: bool,
    stopped: bool,
    /// Blocks or room became free: every pipeline is looked at again.
    refill: bool,
    /// When peers that refused metadata were last forgiven.
    metadata_retry: Instant,
    /// Bytes that open pieces may take, and whether a piece was not begun for want of them.
    memory: u64,
    memory_short: bool,
}

impl Swarm {
    /// A torrent whose metadata is unknown (a magnet link) until [`Swarm::set_metainfo`]. `seed` seeds all randomness.
    pub fn new(config: SwarmConfig, seed: u64, now: Instant) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let client = Client::new(config.client.clone(), rng.random(), now);
        let secret = rng.random::<u64>() ^ rng.random::<u64>();
        let pings = Pings::new(rng.random());
        let mut swarm = Self {
            now,
            client,
            torrent: None,
            assembly: MetadataAssembly::new(config.info_hash),
            metadata_out: false,
            peers: BTreeMap::new(),
            blame: Blame::new(secret, config.limits.max_failed),
            banned: BTreeSet::new(),
            gone: BTreeMap::new(),
            outstanding: 0,
            far: FarWindow::new(&config.limits),
            turn: Turn::default(),
            offers: Offers::default(),
            pings,
            tick: now + config.limits.idle_tick,
            last_tick: now,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            dht_port: None,
            complete_told: false,
            stopped: false,
            refill: false,
            metadata_retry: now,
            memory: u64::MAX,
            memory_short: false,
            config,
        };
        swarm.settle();
        swarm
    }

    /// The metadata is known and existing data is checked: pieces `held` already, and pieces `wanted` by the user, both
    /// as long as the piece count. Connections are kept; those that had claimed impossible pieces are closed. Only the
    /// first call has an effect.
    ///
    /// # Panics
    /// If `held` or `wanted` is not a set over exactly the torrent's pieces: a mistake of the caller.
    pub fn set_metainfo(
        &mut self,
        meta: Arc<Metainfo>,
        held: ChunkSet,
        wanted: ChunkSet,
        now: Instant,
    ) {
        self.now = now;
        if self.torrent.is_some() {
            return;
        }
        self.begin_torrent(meta, held, wanted);
        self.settle();
    }

    /// Our own addresses, which are never dialled.
    pub fn set_own_addrs(&mut self, addrs: &[SocketAddr]) {
        self.client.set_own_addrs(addrs);
    }

    /// The UDP port of our DHT node, which peers that have one too are told (BEP 5); never in a private torrent. `None`: there
    /// is none, and theirs are of no interest.
    pub fn set_dht_port(&mut self, port: Option<u16>) {
        self.dht_port = port;
    }

    /// Whether others can dial us: see [`Client::set_reachable`](chunkcast::client::Client::set_reachable).
    pub fn set_reachable(&mut self, reachable: bool, now: Instant) {
        self.now = now;
        self.client.set_reachable(reachable, now);
        self.settle();
    }

    /// At most so many peers from now on, and never more than the configuration allows: see
    /// [`Client::set_max_neighbours`](chunkcast::client::Client::set_max_neighbours).
    pub fn set_max_peers(&mut self, most: usize, now: Instant) {
        self.now = now;
        self.client.set_max_neighbours(most, now);
        self.settle();
    }

    /// Peers named by trackers, the DHT, local discovery, other peers ([`Output::Exchanged`]) or the user.
    pub fn handle_candidates(&mut self, candidates: &[Candidate], now: Instant) {
        self.now = now;
        self.client.handle_candidates(candidates, now);
        self.settle();
    }

    /// The directory's answer to the outstanding [`Output::LookUp`].
    pub fn handle_answer(&mut self, candidates: &[Candidate], now: Instant) {
        self.now = now;
        self.client.handle_answer(candidates, now);
        self.settle();
    }

    /// The same with an answer that says that the torrent is asked for too often: the next questions wait longer.
    pub fn handle_loaded_answer(&mut self, candidates: &[Candidate], now: Instant) {
        self.now = now;
        self.client.handle_loaded_answer(candidates, now);
        self.settle();
    }

    /// The directory did not answer the outstanding [`Output::LookUp`].
    pub fn handle_no_answer(&mut self, now: Instant) {
        self.now = now;
        self.client.handle_no_answer(now);
        self.settle();
    }

    /// An [`Output::Dial`] came to nothing.
    pub fn handle_dial_failed(&mut self, addr: SocketAddr, now: Instant) {
        self.now = now;
        self.client.handle_dial_failed(addr, now);
        self.settle();
    }

    /// The addresses of an [`Output::Introduced`] that may be dialled.
    pub fn handle_introduced(&mut self, conn: ConnId, addrs: &[SocketAddr], now: Instant) {
        self.now = now;
        self.client.handle_introduced(conn.into(), addrs, now);
        self.settle();
    }

    /// A connection is up and both handshakes are done. May answer [`Output::Close`].
    pub fn handle_connected(&mut self, conn: ConnId, info: PeerInfo, now: Instant) {
        self.now = now;
        self.on_connected(conn, info);
        self.settle();
    }

    /// A message came. From a connection that is closed already it is ignored.
    pub fn handle_message(&mut self, conn: ConnId, msg: Message, now: Instant) {
        self.now = now;
        self.on_message(conn, msg);
        self.settle();
    }

    /// The connection's codec threw `count` messages away, for a reason that only it can see.
    pub fn handle_dropped(&mut self, conn: ConnId, reason: DropReason, count: u32, now: Instant) {
        self.now = now;
        for _ in 0..count {
            self.fault(conn, reason);
        }
        self.settle();
    }

    /// `payload_bytes` of blocks sent to `conn` are with the kernel now.
    pub fn handle_flushed(&mut self, conn: ConnId, payload_bytes: u64, now: Instant) {
        self.now = now;
        self.on_flushed(conn, payload_bytes);
        self.settle();
    }

    /// The connection is gone. After [`Output::Close`] this need not be called, and does nothing.
    pub fn handle_disconnected(&mut self, conn: ConnId, now: Instant) {
        self.now = now;
        if self.forget(conn) {
            self.client.handle_disconnected(conn.into(), now);
        }
        self.settle();
    }

    /// What became of a piece after [`Output::Finish`].
    pub fn handle_piece_result(&mut self, piece: u32, result: PieceResult, now: Instant) {
        self.now = now;
        self.on_piece_result(piece, result);
        self.settle();
    }

    /// The bytes of a block after [`Output::Read`]; `None`: it could not be read.
    pub fn handle_block_read(
        &mut self,
        conn: ConnId,
        block: BlockRef,
        data: Option<Bytes>,
        now: Instant,
    ) {
        self.now = now;
        self.on_block_read(conn, block, data);
        self.settle();
    }

    /// The time of [`Swarm::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.on_timeout();
        self.settle();
    }

    /// Ends the download: nothing is looked up, dialled or asked for any more. Uploads under way go on until the caller
    /// closes the connections.
    pub fn shutdown(&mut self, now: Instant) {
        self.now = now;
        self.stopped = true;
        self.client.stop(now);
        self.settle();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Swarm::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let tick = (!self.peers.is_empty()).then_some(self.tick);
        [self.client.poll_timeout(), tick]
            .into_iter()
            .flatten()
            .min()
    }

    /// Pieces that are verified and written; empty (length 0) while the piece count is unknown.
    pub fn held(&self) -> &ChunkSet {
        self.client.held()
    }

    /// Whether every wanted piece is verified and written.
    pub fn is_complete(&self) -> bool {
        self.torrent.is_some() && self.client.is_complete()
    }

    /// The peer and piece picker, for a look at its neighbours.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Does what every input ends with: the client's actions, uploads, and the next tick.
    fn settle(&mut self) {
        self.run_actions();
        for _ in 0..MAX_REFILLS {
            if !std::mem::take(&mut self.refill) {
                break;
            }
            self.fill_all();
            self.run_actions();
        }
        self.pump_uploads();
        self.plan_tick();
    }

    fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}
