//! What goes into a node and what comes out of it.

use std::net::SocketAddr;

use super::DialId;
use crate::chunks::ChunkSet;
use crate::id::{Id, ObjectId};
use crate::wire::{Found, Match, PeerAddrs, Ranking, RefuseReason, Wanted};

/// A caller's name for one lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookupId(pub u64);

/// What the owner of a node asks of it.
#[derive(Clone, Debug)]
pub enum Command {
    /// Join through these nodes as well.
    Bootstrap(Vec<SocketAddr>),
    /// Publish a peer's chunks of an object, or what changed of them, and keep them published.
    Publish(Publication),
    /// Withdraw what was published of an object, under this publisher's id (`None`: the node's).
    Withdraw(ObjectId, Option<Id>),
    /// Ask for peers. Answered by [`Event::LookupDone`] with the same id.
    Lookup(LookupId, LookupRequest),
    /// The answer to [`Event::Dial`].
    Dialled {
        /// As in the event.
        id: DialId,
        /// Whether somebody accepted the connection.
        reached: bool,
    },
    /// Withdraw everything and leave the ring. Answered by [`Event::Left`] once the others have heard of it.
    Leave,
}

/// A peer's own entry (paper 3.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// The object.
    pub object: ObjectId,
    /// Who publishes; the node itself if `None`. One entry an object and publisher.
    pub publisher: Option<Id>,
    /// Where the peer serves. An unspecified IP (0.0.0.0) stands for the address at which others see the node.
    pub addrs: PeerAddrs,
    /// Chunks in the whole object; 0 while unknown.
    pub chunks: u32,
    /// Chunks held, of the whole object; may be empty.
    pub held: ChunkSet,
    /// 0 = idle .. 255 = full.
    pub load: u8,
    /// Whether the peer accepts connections. Published is what a dial-back finds; `false` spares the attempt.
    pub reachable: bool,
    /// The peer has all it wants and stays to serve: a longer lifetime and fewer refreshes.
    pub complete: bool,
}

/// An anycast query (paper 3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct LookupRequest {
    /// The object.
    pub object: ObjectId,
    /// The chunks wanted, of the whole object. When they do not fit a datagram, lookups take turns over their windows.
    pub wanted: Wanted,
    /// Peers to return, 1..=8; more is taken as 8.
    pub p: u8,
    /// How many of the `p` are drawn at random among the matches.
    pub mix: u8,
    /// Order of the rest.
    pub ranking: Ranking,
    /// The asker's own addresses; it is never returned to itself.
    pub asker: PeerAddrs,
    /// Peers not to return; beyond 8 the last are left out.
    pub ignore: Vec<SocketAddr>,
    /// Do not answer before the root.
    pub to_root: bool,
    /// Every hop tells in the answer what it knew and why it went on.
    pub trace: bool,
}

/// What a node tells its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The node is in a ring: its leaf set is filled and its rows are asked for. A client: an index node answers.
    Joined,
    /// Other nodes see this one at another address than before.
    Observed(SocketAddr),
    /// A lookup has ended.
    LookupDone {
        /// As in the request.
        id: LookupId,
        /// What was found; nobody at all is a result too.
        result: Result<Found, LookupError>,
    },
    /// An index node refused what this client published.
    PublishRefused {
        /// The object.
        object: ObjectId,
        /// Why.
        reason: RefuseReason,
    },
    /// Connect to this address by TCP, close at once, and answer with [`Command::Dialled`] within 5 s.
    Dial {
        /// Names the attempt.
        id: DialId,
        /// Where to; the source of a datagram that proved to receive there.
        addr: SocketAddr,
    },
    /// Another node has dialled a port that this node's owner publishes; told when that changes.
    Dialable {
        /// The port.
        port: u16,
        /// Whether somebody accepted.
        reached: bool,
    },
    /// A node with [`Role::Auto`](super::Role::Auto) has become an index node, or a client.
    Role {
        /// Whether it is an index node now.
        index: bool,
    },
    /// [`Command::Leave`] is done.
    Left,
    /// The node has taken another id, one that fits the address at which others see it; it joins again.
    Moved(Id),
    /// Others agree on a time that is too far from the own wall clock. At most once an hour.
    ClockOff,
}

/// Why a lookup has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LookupError {
    /// No answer in time.
    #[error("the lookup was not answered in time: the next hops are slow or gone, ask again")]
    Timeout {
        /// Matches known where the lookup began.
        partial: Vec<Match>,
    },
    /// A client that no index node has answered yet.
    #[error("no index node answers: check the bootstrap addresses")]
    NotJoined,
    /// More lookups under way than the node's limits allow.
    #[error("too many lookups are under way: wait for some to end")]
    Busy,
    /// The node was shut down before it had an answer.
    #[error("the index node has been shut down")]
    Closed,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// At most [`MAX_DATAGRAM`](crate::wire::MAX_DATAGRAM) bytes.
    pub payload: Vec<u8>,
}
