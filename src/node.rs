//! One index node, sans-IO: the only type that a driver or a simulator sees (paper section 3).
//!
//! # Contract
//! - Inputs: [`Node::handle_datagram`], [`Node::handle_command`], [`Node::handle_timeout`]. Each takes the time, which
//!   never runs backwards. [`Node::handle_wall`] says what time it is elsewhere; that may run backwards.
//! - Outputs, to be drained after every input: [`Node::poll_transmit`], [`Node::poll_event`], [`Node::poll_timeout`] (when
//!   to call [`Node::handle_timeout`] next; calling it early or late is harmless).
//! - The node reads no clock, opens no socket, draws no entropy: the same configuration, seed and inputs give the same
//!   outputs, byte for byte.
//!
//! # How a request travels
//! Lookups and joins are routed recursively. A hop that forwards says [`Body::Ack`] at once to the hop before and
//! remembers it; a hop that can answer does so instead. The answer returns along the same hops. A hop that says nothing
//! in time becomes suspect and the next candidate is tried at once.
//!
//! Differences from the paper: it leaves the transport open. The answer does not go to the asker directly, so that a
//! request with a forged source makes nobody a target; per-hop acknowledgement also measures every link in use.

mod api;
mod attach;
mod config;
mod dial;
mod guard;
mod hot;
mod incoming;
mod intake;
mod join;
mod lookup;
mod maintain;
mod parcel;
mod place;
mod probe;
mod proofs;
mod propagate;
mod publish;
mod quota;
mod reach;
mod roles;
mod route;
mod rpc;
mod stats;
mod timers;
mod trace;
mod view;
mod wall;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::coords::{Coord, Vivaldi};
use crate::directory::bases::Bases;
use crate::directory::cache::{Cache, Limits};
use crate::directory::parents::Parents;
use crate::directory::shares::Shares;
use crate::directory::spread::Spread;
use crate::directory::token::TokenMint;
use crate::id::{Id, ObjectId};
use crate::overlay::Overlay;
use crate::time::Instant;
use crate::wire::{self, Body, Envelope, Sender, Token};

pub use api::{Command, Event, LookupError, LookupId, LookupRequest, Publication, Transmit};
pub use config::{
    ConfigError, DirectoryConfig, Eviction, GuardConfig, LimitsConfig, Network, NodeConfig,
    OverlayConfig, Role,
};
pub use dial::DialId;
pub use hot::HotConfig;
pub use proofs::sign_entry;
pub use roles::RolesConfig;
pub use stats::{CoordView, Counters, DropReason, PeerView, SlotView, Snapshot, Traffic};

use attach::Attach;
use dial::Dials;
use guard::Guard;
use hot::Hot;
use intake::Windows;
use join::Join;
use probe::Probes;
use publish::Owned;
use reach::Reach;
use route::Routes;
use rpc::Pending;
use timers::Timers;

/// One index node (or client) of the directory. See the [module](self) for the contract.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    id: Id,
    rng: ChaCha8Rng,
    now: Instant,
    vivaldi: Vivaldi,
    overlay: Overlay,
    join: Join,
    probes: Probes,
    pending: Pending,
    routes: Routes,
    cache: Cache,
    hot: Hot,
    /// What of large entries belongs to their newest sequence.
    windows: Windows,
    /// Who has not heard of which entry.
    spread: Spread,
    /// What others are known to hold.
    bases: Bases,
    shares: Shares,
    parents: Parents,
    /// Where the entries of all objects in the cache go, as of `tables_seen`.
    tree_parents: BTreeSet<Id>,
    tables_seen: u64,
    mint: TokenMint,
    guard: Guard,
    own: Owned,
    last_sequence: u64,
    /// Nodes that a client has published an object through.
    homes: BTreeMap<ObjectId, Vec<Id>>,
    /// Own coordinate when everything was last published.
    published_at: Coord,
    window_turn: u32,
    timers: Timers,
    observed: Option<SocketAddr>,
    observed_vote: Option<(SocketAddr, Id)>,
    leaving: bool,
    reach: Reach,
    attach: Attach,
    dials: Dials,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Node {
    /// A node at time `now`. With no bootstrap address an index node is a ring of its own at once.
    ///
    /// The seed decides the id (unless configured), every token secret and every random choice: outside of tests and
    /// simulations it must come from the operating system's entropy.
    ///
    /// # Errors
    /// [`ConfigError`] when a value of the configuration is out of range.
    pub fn new(config: NodeConfig, seed: [u8; 32], now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut rng = ChaCha8Rng::from_seed(seed);
        let mut random = Id::default();
        rng.fill_bytes(&mut random.0);
        let id = config.id.unwrap_or(random);
        let d = &config.directory;
        let limits = Limits {
            entries_per_object: d.entries_per_object,
            objects: d.objects,
            bytes: d.bytes,
            chunks: d.chunks,
            lifetime: d.seed_lifetime,
            eviction: d.eviction,
        };
        let guard = Guard::new(&config, &seed, &mut rng, now);
        let mut node = Self {
            id,
            guard,
            vivaldi: Vivaldi::new(config.vivaldi.clone(), rng.next_u64()),
            overlay: Overlay::new(id, config.overlay.leaves_per_side, config.overlay.spares),
            join: Join::new(config.overlay.bootstrap_retry),
            probes: Probes::default(),
            pending: Pending::default(),
            routes: Routes::default(),
            cache: Cache::new(limits),
            hot: Hot::new(&config.directory.hot),
            windows: Windows::default(),
            spread: Spread::default(),
            bases: Bases::new(d.delta_bytes, d.delta_quiet),
            shares: Shares::default(),
            parents: Parents::default(),
            tree_parents: BTreeSet::new(),
            tables_seen: 0,
            published_at: Coord::default(),
            mint: TokenMint::new(d.token_period, &mut rng, now),
            own: Owned::default(),
            last_sequence: 0,
            homes: BTreeMap::new(),
            window_turn: 0,
            timers: Timers::default(),
            observed: None,
            observed_vote: None,
            leaving: false,
            reach: Reach::new(&config, now),
            attach: Attach::default(),
            dials: Dials::new(&config, now),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            now,
            rng,
            config,
        };
        node.start_maintenance();
        node.start_join();
        node.start_reach();
        Ok(node)
    }

    /// Its ring id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its network coordinate now.
    pub fn coord(&self) -> crate::coords::Coord {
        self.vivaldi.coord()
    }

    /// Whether it is in a ring (a client: whether an index node answers).
    pub fn is_joined(&self) -> bool {
        self.join.joined
    }

    /// A datagram has arrived.
    pub fn handle_datagram(&mut self, from: SocketAddr, payload: &[u8], now: Instant) {
        self.now = now;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let bytes = payload.len();
        let Some(payload) = self.admit(from, payload) else {
            return;
        };
        match wire::decode(payload) {
            Ok(envelope) => self.on_envelope(from, envelope, bytes),
            Err(_) => self.counters.drop(DropReason::Malformed),
        }
    }

    /// The owner wants something.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        self.now = now;
        match command {
            Command::Bootstrap(addrs) => self.bootstrap(addrs),
            Command::Publish(publication) => self.publish(publication),
            Command::Withdraw(object, publisher) => self.withdraw((object, publisher)),
            Command::Lookup(id, request) => self.lookup(id, request),
            Command::Dialled { id, reached } => self.dialled(id, reached),
            Command::Leave => self.leave(),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.cache.expire(now);
        self.mint.rotate(&mut self.rng, now);
        while let Some(tx) = self.pending.expired(now) {
            self.on_timed_out(tx);
        }
        while let Some(route) = self.routes.expired(now) {
            self.on_route_due(route);
        }
        while let Some(timer) = self.timers.due(now) {
            self.on_timer(timer);
        }
        self.pump_probes();
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to tell the owner.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Node::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sources = [
            self.pending.next(),
            self.routes.next(),
            self.timers.next(),
            self.cache.next_expiry(),
            Some(self.mint.rotate_at()),
        ];
        sources.into_iter().flatten().min()
    }

    // -- helpers of all parts --

    fn is_client(&self) -> bool {
        self.reach.client
    }

    /// 0.5 to 1.5 times `period`.
    fn jitter(&mut self, period: Duration) -> Duration {
        period.mul_f64(self.rng.random_range(0.5..1.5))
    }

    fn sender(&self) -> Sender {
        Sender {
            id: self.id,
            coord: self.vivaldi.coord(),
            client: self.is_client(),
        }
    }

    fn event(&mut self, event: Event) {
        if self.events.len() >= self.config.limits.events {
            return self.counters.drop(DropReason::EventQueue);
        }
        self.events.push_back(event);
    }

    /// Queues a datagram; `false` if there was no room or it does not fit.
    fn send(&mut self, to: SocketAddr, tx: u32, token: Option<Token>, body: Body) -> bool {
        self.send_and_keep(to, tx, token, body).is_some()
    }

    /// The same; what was said comes back, unless that failed.
    fn send_and_keep(
        &mut self,
        to: SocketAddr,
        tx: u32,
        token: Option<Token>,
        body: Body,
    ) -> Option<Body> {
        if self.transmits.len() >= self.config.limits.transmits {
            self.counters.drop(DropReason::SendQueue);
            return None;
        }
        let mut sender = self.sender();
        // Who goes leaves the tables of the others, as a client does not enter them.
        sender.client |= self.leaving && matches!(body, Body::Ping | Body::Pong { .. });
        let envelope = Envelope {
            tx,
            sender,
            token,
            body,
        };
        let Ok(payload) = wire::encode(&envelope) else {
            self.counters.drop(DropReason::TooLarge);
            return None;
        };
        let payload = self.let_out(to, payload)?;
        self.counters.sent(&envelope.body, payload.len());
        self.reach.wrote(to.ip(), self.now);
        self.transmits.push_back(Transmit { to, payload });
        Some(envelope.body)
    }
}
