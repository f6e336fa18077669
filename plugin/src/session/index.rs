//! The session's index node: started on a free port, and seen by torrents through the [`Directory`] trait.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use chunkcast::coords::Coord;
use chunkcast::driver::{self, DriverError, Handle};
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{
    LookupError, LookupRequest, NodeConfig, Publication, Role, Snapshot, Traffic,
};
use chunkcast::wire::{Found, PeerAddrs, Ranking, Wanted};
use futures::future::BoxFuture;

use super::SessionError;
use super::directory::Directory;
use super::events::DirectoryTraffic;

/// UDP port of an index node when nothing else is asked for.
const INDEX_PORT: u16 = 4240;

/// How long a lookup waits for the node to join its ring.
const JOIN_PATIENCE: Duration = Duration::from_secs(5); // guess: half of what the client waits for an answer

/// An index node, or a client of one, with its socket.
#[derive(Clone, Debug)]
pub struct IndexNode {
    handle: Handle,
    role: Role,
}

/// Starts an index node that stands alone.
///
/// # Errors
/// [`SessionError::Index`] when the address is taken.
pub async fn start_index_node(
    listen: SocketAddr,
    bootstrap: Vec<SocketAddr>,
) -> Result<IndexNode, SessionError> {
    Ok(IndexNode::start(Role::Index, listen, bootstrap).await?)
}

/// The object that a torrent is in the directory: its infohash.
pub fn object_id(info_hash: &[u8; 20]) -> ObjectId {
    ObjectId(Id(*info_hash))
}

/// Asks index nodes once who holds `object`, without joining them.
///
/// The outer error is the socket's, the inner the lookup's. The coordinate is that of the node asked through.
///
/// # Errors
/// [`SessionError::Index`] when no socket can be opened.
pub async fn ask_once(
    object: ObjectId,
    bootstrap: Vec<SocketAddr>,
    p: u8,
    to_root: bool,
    deadline: Duration,
) -> Result<Result<(Found, Coord), LookupError>, SessionError> {
    let any: IpAddr = match bootstrap.first() {
        Some(SocketAddr::V6(_)) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let node = IndexNode::start(Role::Client, SocketAddr::new(any, 0), bootstrap).await?;
    let request = LookupRequest {
        trace: false,
        object,
        wanted: Wanted::Any,
        p,
        mix: 0,
        ranking: Ranking::Closeness,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root,
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
    ) -> Result<Self, DriverError> {
        let config = NodeConfig {
            role,
            ..NodeConfig::default()
        };
        Ok(Self {
            handle: driver::spawn(config, listen, bootstrap).await?,
            role,
        })
    }

    /// A full index node beside the client: at `at`, or on `ip` at the usual port or a free one.
    pub(super) async fn colocated(
        at: Option<SocketAddr>,
        ip: IpAddr,
        bootstrap: Vec<SocketAddr>,
    ) -> Result<Self, DriverError> {
        if let Some(at) = at {
            return Self::start(Role::Index, at, bootstrap).await;
        }
        // the usual port of this machine is that of a node named by the user, who may start it after us
        let named = |b: &SocketAddr| b.port() == INDEX_PORT && b.ip().to_canonical().is_loopback();
        if !bootstrap.iter().any(named) {
            let usual = SocketAddr::new(ip, INDEX_PORT);
            if let Ok(node) = Self::start(Role::Index, usual, bootstrap.clone()).await {
                return Ok(node);
            }
        }
        Self::start(Role::Index, SocketAddr::new(ip, 0), bootstrap).await
    }

    /// No index node, only a client of the bootstrap nodes.
    pub(super) async fn client(
        ip: IpAddr,
        bootstrap: Vec<SocketAddr>,
    ) -> Result<Self, DriverError> {
        Self::start(Role::Client, SocketAddr::new(ip, 0), bootstrap).await
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

    /// Whether others can use it, or only we use others.
    pub(super) fn is_index(&self) -> bool {
        self.role == Role::Index
    }

    /// UDP port to tell peers of, when others can use this node.
    pub(super) fn public_port(&self) -> Option<u16> {
        self.is_index().then(|| self.local_addr().port())
    }

    /// Its state now; `None` when it has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.handle.snapshot().await.ok()
    }

    /// Withdraws what was published, and ends.
    pub async fn shutdown(&self) {
        self.handle.shutdown().await;
    }
}

impl Directory for IndexNode {
    fn publish(&self, publication: Publication) {
        self.handle.publish(publication);
    }

    fn withdraw(&self, object: ObjectId) {
        self.handle.withdraw(object);
    }

    fn lookup(&self, request: LookupRequest) -> BoxFuture<'static, Result<Found, LookupError>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            // before it has joined it knows nobody but itself
            handle.joined(JOIN_PATIENCE).await;
            handle.lookup(request).await
        })
    }

    fn learn(&self, node: SocketAddr) {
        self.handle.add_bootstrap(vec![node]);
    }

    fn coord(&self) -> Coord {
        self.handle.coord()
    }

    fn traffic(&self) -> BoxFuture<'static, Option<DirectoryTraffic>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let counters = handle.snapshot().await.ok()?.counters;
            let (sent, received) = (total(&counters.sent), total(&counters.received));
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
