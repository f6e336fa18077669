//! The session's index node: started on a free port, and seen by torrents through the [`Directory`] trait.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chunkcast::auth::proof::Secret;
use chunkcast::coords::Coord;
use chunkcast::driver::lan::{self, Lan, LanConfig, NetworkTag};
use chunkcast::driver::{self, DriverError, Handle, State as NodeState};
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{
    LookupError, LookupRequest, Network, Node, NodeConfig, Publication, Role, Snapshot, Traffic,
};
use chunkcast::wire::{Found, PeerAddrs, Ranking, Wanted};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::SessionError;
use super::directory::Directory;
use super::events::DirectoryTraffic;
use crate::discovery::{DhtNode, Guest, Rendezvous, RendezvousConfig, meeting_point};
use crate::limits::address::{AddrSource, OwnAddrs, acceptable};
use crate::state::{Keeper, State};

/// UDP port of an index node when nothing else is asked for.
const INDEX_PORT: u16 = 4240;

/// How long a lookup waits for the node to join its ring.
const JOIN_PATIENCE: Duration = Duration::from_secs(5); // guess: half of what the client waits for an answer

/// How long after its start a node that was told of no other waits with its first lookups for one to be found.
const SETTLE: Duration = Duration::from_millis(1_500); // guess: an answer on a LAN, a ping, a join

/// What an index node is beside its addresses.
#[derive(Clone, Debug, Default)]
pub struct IndexSettings {
    /// Who it is and whom it knows from its last run; `None`: somebody new.
    pub state: Option<Arc<State>>,
    /// Find others on the local network, and be found there.
    pub lan: bool,
    /// Who takes part in the directory.
    pub network: Network,
}

/// An index node, or a client of one, with its socket.
#[derive(Clone, Debug)]
pub struct IndexNode {
    handle: Handle,
    role: Role,
    ways: Arc<Ways>,
}

/// How an index node finds others, and what it keeps of them.
#[derive(Debug)]
struct Ways {
    settings: IndexSettings,
    /// It may find others without being told of any: until then lookups wait.
    settles: Option<tokio::time::Instant>,
    keeper: Mutex<Option<Keeper>>,
    lan: Mutex<Option<Lan>>,
    rendezvous: Mutex<Option<Rendezvous>>,
}

impl Ways {
    fn end(&self) {
        fn take<T>(from: &Mutex<Option<T>>) {
            from.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        take(&self.keeper);
        take(&self.lan);
        take(&self.rendezvous);
    }
}

/// Starts an index node that stands alone.
///
/// # Errors
/// [`SessionError::Index`] when the address is taken.
pub async fn start_index_node(
    listen: SocketAddr,
    bootstrap: Vec<SocketAddr>,
    settings: IndexSettings,
) -> Result<IndexNode, SessionError> {
    Ok(IndexNode::start(Role::Index, listen, bootstrap, settings).await?)
}

/// Starts an index node beside something else: at `at`, or at the usual port or a free one of any address; a client of others
/// while these cannot reach it.
///
/// # Errors
/// [`SessionError::Index`] when the address is taken.
pub async fn start_colocated_node(
    at: Option<SocketAddr>,
    bootstrap: Vec<SocketAddr>,
    settings: IndexSettings,
) -> Result<IndexNode, SessionError> {
    let any = Ipv4Addr::UNSPECIFIED.into();
    Ok(IndexNode::colocated(at, any, bootstrap, settings).await?)
}

/// The object that a torrent is in the directory: its infohash.
pub fn object_id(info_hash: &[u8; 20]) -> ObjectId {
    ObjectId(Id(*info_hash))
}

/// What to look at when no index node answers a node of this network. One with another key says nothing.
pub fn unanswered(network: &Network) -> &'static str {
    match network {
        Network::Open => {
            "is one running there, is its UDP port open, and does it do without a --network-key?"
        }
        Network::Closed(_) => {
            "is one running there, is its UDP port open, and does it have the same --network-key?"
        }
    }
}

/// What [`ask_once`] asks.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Which torrent.
    pub object: ObjectId,
    /// Peers wanted, 1..=8.
    pub p: u8,
    /// Do not answer before the root.
    pub to_root: bool,
    /// Every hop tells what it knew and why it went on.
    pub trace: bool,
}

/// Asks index nodes once who holds a torrent, without joining them.
///
/// The outer error is the socket's, the inner the lookup's. The coordinate is that of the node asked through.
///
/// # Errors
/// [`SessionError::Index`] when no socket can be opened.
pub async fn ask_once(
    question: Question,
    bootstrap: Vec<SocketAddr>,
    settings: IndexSettings,
    deadline: Duration,
) -> Result<Result<(Found, Coord), LookupError>, SessionError> {
    let any: IpAddr = match bootstrap.first() {
        Some(SocketAddr::V6(_)) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let at = SocketAddr::new(any, 0);
    let mut config = NodeConfig {
        role: Role::Client,
        network: settings.network.clone(),
        ..NodeConfig::default()
    };
    // whoever asks wants to know what this node answers, not what a nearer one does
    config.roles.nearer = 0.0;
    let node = IndexNode::start_as(config, at, bootstrap, settings).await?;
    let request = LookupRequest {
        trace: question.trace,
        object: question.object,
        wanted: Wanted::Any,
        p: question.p,
        mix: 0,
        ranking: Ranking::Closeness,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: question.to_root,
    };
    let asked = tokio::time::timeout(deadline, async {
        node.handle.joined(deadline).await;
        let found = node.handle.lookup(request).await?;
        Ok((found, node.handle.coord()))
    });
    let answer = asked.await.unwrap_or(Err(LookupError::NotJoined));
    node.shutdown().await;
    Ok(answer)
}

impl IndexNode {
    async fn start(
        role: Role,
        listen: SocketAddr,
        bootstrap: Vec<SocketAddr>,
        settings: IndexSettings,
    ) -> Result<Self, DriverError> {
        let config = NodeConfig {
            role,
            network: settings.network.clone(),
            ..NodeConfig::default()
        };
        Self::start_as(config, listen, bootstrap, settings).await
    }

    async fn start_as(
        mut config: NodeConfig,
        listen: SocketAddr,
        bootstrap: Vec<SocketAddr>,
        settings: IndexSettings,
    ) -> Result<Self, DriverError> {
        let role = config.role;
        let mut known = Vec::new();
        if let Some(state) = &settings.state {
            config.id = Some(state.id());
            config.secret = Some(Secret(state.secret()));
            config.sequence_base = state.sequence_base();
            known.extend_from_slice(state.contacts());
        }
        let told = !bootstrap.is_empty();
        let handle = driver::spawn(config, listen, bootstrap).await?;
        // A node that nobody told of others is a ring of its own until one of these answers.
        let hinted = settings.lan || !known.is_empty();
        if !known.is_empty() {
            handle.add_bootstrap(known);
        }
        let keeper = settings.state.clone();
        let ways = Ways {
            settles: (hinted && !told).then(|| tokio::time::Instant::now() + SETTLE),
            keeper: Mutex::new(keeper.map(|state| Keeper::spawn(state, handle.clone()))),
            lan: Mutex::new(
                settings
                    .lan
                    .then(|| announced(&handle, &settings))
                    .flatten(),
            ),
            rendezvous: Mutex::default(),
            settings,
        };
        Ok(Self {
            handle,
            role,
            ways: Arc::new(ways),
        })
    }

    /// An index node beside the client, or a client of one while others cannot reach it: at `at`, or on `ip` at the usual port or a free one.
    pub(super) async fn colocated(
        at: Option<SocketAddr>,
        ip: IpAddr,
        bootstrap: Vec<SocketAddr>,
        settings: IndexSettings,
    ) -> Result<Self, DriverError> {
        let start = |at, bootstrap| Self::start(Role::Auto, at, bootstrap, settings.clone());
        if let Some(at) = at {
            return start(at, bootstrap).await;
        }
        // the usual port of this machine is that of a node named by the user, who may start it after us
        let named = |b: &SocketAddr| b.port() == INDEX_PORT && b.ip().to_canonical().is_loopback();
        if !bootstrap.iter().any(named) {
            let usual = SocketAddr::new(ip, INDEX_PORT);
            if let Ok(node) = start(usual, bootstrap.clone()).await {
                return Ok(node);
            }
        }
        start(SocketAddr::new(ip, 0), bootstrap).await
    }

    /// No index node, only a client of the bootstrap nodes, or of those that the settings let it find.
    pub(super) async fn client(
        ip: IpAddr,
        bootstrap: Vec<SocketAddr>,
        settings: IndexSettings,
    ) -> Result<Self, DriverError> {
        Self::start(Role::Client, SocketAddr::new(ip, 0), bootstrap, settings).await
    }

    /// Meets others through the Mainline DHT as well.
    pub fn meet_through(&self, dht: &DhtNode, config: RendezvousConfig) {
        let point = meeting_point(&self.ways.settings.network);
        let guest = Meeting {
            handle: self.handle.clone(),
            port: self.public_port(),
            own: OwnAddrs::new(self.local_addr()),
        };
        let meeting = Rendezvous::spawn(dht, point, config, guest);
        let slot = self.ways.rendezvous.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = Some(meeting);
    }

    /// More index nodes to join through.
    pub fn add_bootstrap(&self, addrs: Vec<SocketAddr>) {
        self.handle.add_bootstrap(addrs);
    }

    /// UDP address.
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// Ring id.
    pub fn id(&self) -> Id {
        self.handle.id()
    }

    /// Whether it is in a ring, or, for a client, whether an index node answers.
    pub fn is_joined(&self) -> bool {
        self.handle.state().joined
    }

    /// Whether others may use it, if they can reach it, or only we use others.
    pub(crate) fn is_index(&self) -> bool {
        self.role != Role::Client
    }

    /// UDP port to tell peers of, when others can use this node.
    pub(super) fn public_port(&self) -> Option<u16> {
        self.is_index().then(|| self.local_addr().port())
    }

    /// Its state now; `None` when it has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.handle.snapshot().await.ok()
    }

    /// Tells of changes: joined, another address seen by others, a refusal.
    pub fn changes(&self) -> watch::Receiver<NodeState> {
        self.handle.changes()
    }

    /// What a person watching it wants to know, as JSON: the [`Snapshot`] with the number of entries in the place of
    /// the entries by object. `None` when it has ended.
    pub async fn status(&self) -> Option<Value> {
        Some(self.shown(&self.snapshot().await?))
    }

    /// The same of a snapshot at hand.
    pub fn shown(&self, snapshot: &Snapshot) -> Value {
        let mut value = serde_json::to_value(snapshot).unwrap_or_default();
        value["entries"] = json!(snapshot.entries.values().sum::<usize>());
        value["objects"] = json!(snapshot.entries.len());
        value["listen"] = json!(self.local_addr().to_string());
        value["version"] = json!(env!("CARGO_PKG_VERSION"));
        value["pid"] = json!(std::process::id());
        value
    }

    /// The status, and with it the routing table slot by slot (`slots`) and the entries by object (`held`).
    pub async fn table(&self) -> Option<Value> {
        let look = |node: &Node| (node.snapshot(), node.slots());
        let (snapshot, slots) = self.handle.inspect(look).await.ok()?;
        let mut value = self.shown(&snapshot);
        value["slots"] = json!(slots);
        value["held"] = json!(snapshot.entries);
        Some(value)
    }

    /// Saves what it knows, withdraws what was published, and ends.
    pub async fn shutdown(&self) {
        self.ways.end();
        if let Some(state) = &self.ways.settings.state
            && let Err(e) = state.save(&self.handle).await
        {
            tracing::warn!("{e}");
        }
        self.handle.shutdown().await;
    }
}

/// Begins to find others on the local network; a machine that cannot goes without.
fn announced(handle: &Handle, settings: &IndexSettings) -> Option<Lan> {
    let config = LanConfig {
        network: NetworkTag::of(&settings.network),
        ..LanConfig::default()
    };
    lan::spawn(handle, config)
        .inspect_err(|e| tracing::info!("{e}"))
        .ok()
}

/// An index node at the rendezvous.
struct Meeting {
    handle: Handle,
    port: Option<u16>,
    own: OwnAddrs,
}

impl Guest for Meeting {
    fn port(&self) -> Option<u16> {
        self.port
    }

    fn known(&self) -> BoxFuture<'_, usize> {
        Box::pin(async {
            let count = self.handle.inspect(|node| node.contacts().len()).await;
            count.unwrap_or(usize::MAX) // nothing to look for any more
        })
    }

    fn meet(&self, mut nodes: Vec<SocketAddr>) {
        nodes.retain(|addr| acceptable(*addr, AddrSource::Public, &self.own).is_ok());
        if !nodes.is_empty() {
            self.handle.add_bootstrap(nodes);
        }
    }
}

impl Directory for IndexNode {
    fn publish(&self, publication: Publication) {
        self.handle.publish(publication);
    }

    fn withdraw(&self, object: ObjectId, publisher: Option<Id>) {
        self.handle.withdraw(object, publisher);
    }

    fn lookup(&self, request: LookupRequest) -> BoxFuture<'static, Result<Found, LookupError>> {
        let handle = self.handle.clone();
        let settles = self.ways.settles;
        Box::pin(async move {
            // before it has joined it knows nobody but itself
            handle.joined(JOIN_PATIENCE).await;
            if let Some(settles) = settles {
                let mut changes = handle.changes();
                let met = changes.wait_for(|s| s.observed.is_some());
                let _ = tokio::time::timeout_at(settles, met).await;
            }
            handle.lookup(request).await
        })
    }

    fn learn(&self, node: SocketAddr) {
        self.handle.add_bootstrap(vec![node]);
    }

    fn coord(&self) -> Coord {
        self.handle.coord()
    }

    fn measured(&self, hosts: Vec<IpAddr>) -> BoxFuture<'static, Vec<Option<Duration>>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let asked = hosts.len();
            let measured = handle.inspect(move |node| node.measured(&hosts)).await;
            measured.unwrap_or_else(|_| vec![None; asked])
        })
    }

    fn answered(&self, found: &Found) -> BoxFuture<'static, (Option<SocketAddr>, u8)> {
        let (handle, by) = (self.handle.clone(), found.by);
        let (own, counts) = {
            let state = handle.state();
            (state.id, state.index)
        };
        let hops = found.hops.saturating_sub(u8::from(counts));
        let told = found.trace.last().and_then(|hop| hop.addr);
        Box::pin(async move {
            if by == own {
                return (Some(handle.local_addr()), 0);
            }
            if told.is_some() {
                return (told, hops);
            }
            let addr = handle.inspect(move |node| {
                let contacts = node.contacts();
                contacts.iter().find(|c| c.id == by).map(|c| c.addr)
            });
            (addr.await.ok().flatten(), hops)
        })
    }

    fn dialable(&self) -> Option<bool> {
        self.handle.state().dialable.map(|(_, reached)| reached)
    }

    fn traffic(&self) -> BoxFuture<'static, Option<DirectoryTraffic>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let totals = handle.inspect(|node| {
                let counters = node.counters();
                (total(&counters.sent), total(&counters.received))
            });
            let (sent, received) = totals.await.ok()?;
            Some(DirectoryTraffic {
                messages_out: sent.messages,
                messages_in: received.messages,
                bytes_out: sent.bytes,
                bytes_in: received.bytes,
            })
        })
    }
}

fn total(kinds: &BTreeMap<&'static str, Traffic>) -> Traffic {
    kinds.values().fold(Traffic::default(), |sum, t| Traffic {
        messages: sum.messages + t.messages,
        bytes: sum.bytes + t.bytes,
    })
}
