//! The directory as the client sees it: publish, withdraw, look up. One implementation asks a colocated index node;
//! tests and the absence of a directory have their own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{LookupError, LookupRequest, Publication};
use chunkcast::wire::Found;
use futures::future::BoxFuture;

use super::events::DirectoryTraffic;

/// Where location pointers are published and looked up.
pub trait Directory: Send + Sync + 'static {
    /// Publishes, or refreshes, what this peer holds of an object.
    fn publish(&self, publication: Publication);
    /// Takes the publication of an object back, that under this publisher's id (`None`: the node's own).
    fn withdraw(&self, object: ObjectId, publisher: Option<Id>);
    /// Asks who holds chunks; a hint, never a promise (paper section 4).
    fn lookup(&self, request: LookupRequest) -> BoxFuture<'static, Result<Found, LookupError>>;
    /// Tells of another index node, learnt from a peer.
    fn learn(&self, node: SocketAddr);
    /// Our own coordinate, to predict distances with.
    fn coord(&self) -> Coord;
    /// Round-trip times to index nodes at these addresses, where they were measured.
    fn measured(&self, hosts: Vec<IpAddr>) -> BoxFuture<'static, Vec<Option<Duration>>> {
        Box::pin(std::future::ready(vec![None; hosts.len()]))
    }
    /// Who gave an answer, as far as the address is known, and how many index nodes other than ours the question had gone
    /// through by then.
    fn answered(&self, found: &Found) -> BoxFuture<'static, (Option<SocketAddr>, u8)> {
        Box::pin(std::future::ready((None, found.hops)))
    }
    /// Whether others can dial what we publish, once somebody has tried.
    fn dialable(&self) -> Option<bool>;
    /// What the directory has cost so far.
    fn traffic(&self) -> BoxFuture<'static, Option<DirectoryTraffic>>;
}
