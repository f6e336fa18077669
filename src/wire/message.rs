//! What index nodes and client peers say to each other: shapes only, no bytes.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::wire::Summary;

/// One datagram: who says it, in which exchange, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Chosen by the asker, repeated in the answer.
    pub tx: u32,
    /// Who sends this datagram (this hop, not the origin of a routed request).
    pub sender: Sender,
    /// Proof that the sender receives at the address it sends from; issued by the receiver in a [`Body::Pong`] or
    /// [`Body::Refuse`].
    pub token: Option<Token>,
    /// What is said.
    pub body: Body,
}

/// The sender's part of every datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sender {
    /// Its ring id.
    pub id: Id,
    /// Its network coordinate.
    pub coord: Coord,
    /// A client: it asks and publishes, but never enters a leaf set or routing table.
    pub client: bool,
}

/// Eight bytes that bind a source address and port to the issuing node (directory, "who may do what").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub [u8; 8]);

/// An index node as told to others: where it is on the ring, on the network, and in coordinate space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Ring id.
    pub id: Id,
    /// UDP address.
    pub addr: SocketAddr,
    /// Network coordinate, as last heard.
    pub coord: Coord,
}

/// The addresses where a peer accepts connections: at least one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddrs {
    /// IPv4 address and port.
    pub v4: Option<SocketAddrV4>,
    /// IPv6 address and port.
    pub v6: Option<SocketAddrV6>,
}

impl PeerAddrs {
    /// Both addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.v4
            .map(SocketAddr::V4)
            .into_iter()
            .chain(self.v6.map(SocketAddr::V6))
    }

    /// Whether there is no address at all.
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// What is left of them in one address family: IPv4 or else IPv6.
    pub fn of_family(&self, v4: bool) -> Self {
        Self {
            v4: self.v4.filter(|_| v4),
            v6: self.v6.filter(|_| !v4),
        }
    }

    /// Whether the two name a common address.
    pub fn shares(&self, other: &PeerAddrs) -> bool {
        (self.v4.is_some() && self.v4 == other.v4) || (self.v6.is_some() && self.v6 == other.v6)
    }

    /// Whether `addr` is one of them.
    pub fn contains(&self, addr: SocketAddr) -> bool {
        self.iter().any(|a| a == addr)
    }
}

impl From<SocketAddr> for PeerAddrs {
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(a) => PeerAddrs {
                v4: Some(a),
                v6: None,
            },
            SocketAddr::V6(a) => PeerAddrs {
                v4: None,
                v6: Some(a),
            },
        }
    }
}

/// The last four bytes of an id: enough to say which of a few nodes one knows already. (The first bytes are alike among
/// ring neighbours.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub [u8; 4]);

impl Name {
    /// The name of a node.
    pub fn of(id: &Id) -> Self {
        let [.., a, b, c, d] = id.0;
        Self([a, b, c, d])
    }
}

/// A location pointer (paper 3.1): one peer, one object, which chunks.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The object.
    pub object: ObjectId,
    /// Who publishes; stable over restarts. One entry an object and publisher.
    pub publisher: Id,
    /// Grows with every change of the publisher's entry; an older one never replaces a newer one.
    pub sequence: u64,
    /// Where the peer serves.
    pub addrs: PeerAddrs,
    /// Coordinate of the index node that the peer published through (paper 3.1).
    pub coord: Coord,
    /// Chunks in the whole object; 0 while the peer does not know it.
    pub chunks: u32,
    /// Chunks held: the whole object's, or a window of it when the object is larger than a datagram carries. With
    /// [`Entry::delta_of`] the chunks of that window in which it differs from the base.
    pub held: ChunkSet,
    /// The sequence of this publisher's entry that `held` is relative to; a reader that does not hold that one asks for
    /// the full entry with [`Body::SendFull`].
    pub delta_of: Option<u64>,
    /// Where in a large object the peer holds anything, beside the exact window.
    pub summary: Option<Box<Summary>>,
    /// 0 = idle .. 255 = full.
    pub load: u8,
    /// Whether others can dial the peer.
    pub reachable: bool,
    /// How much longer the entry lives without a refresh, whole seconds on the wire; zero withdraws it.
    pub lifetime: Duration,
    /// The publisher's signature; open networks take no entry without it.
    pub proof: Option<Box<Proof>>,
}

/// A publisher's ed25519 signature of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Public key.
    pub key: [u8; 32],
    /// Signature.
    pub signature: [u8; 64],
    /// Seconds since 1970: the entry is void from then on.
    pub expires: u64,
}

/// Which chunks a lookup is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Any peer of the object: the asker does not know the number of chunks yet (a magnet link).
    Any,
    /// Peers with at least one of these chunks (paper 3.2).
    Chunks(ChunkSet),
}

/// Order of the answers (paper 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// Most wanted chunks first.
    Overlap,
    /// Smallest coordinate distance first.
    #[default]
    Closeness,
    /// Overlap, distance and load weighed against each other.
    Hybrid,
}

/// An anycast query on its way to the root (paper 3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// The object.
    pub object: ObjectId,
    /// The chunks asked for.
    pub wanted: Wanted,
    /// Where in a large object anything is wanted, beside the exact window.
    pub summary: Option<Box<Summary>>,
    /// Peers to return, 1..=8.
    pub p: u8,
    /// How many of the `p` are drawn at random among the matches instead of ranked, 0..=p.
    pub mix: u8,
    /// Order of the rest.
    pub ranking: Ranking,
    /// Coordinate of the index node that the asker came through (paper 3.2).
    pub coord: Coord,
    /// The asker's own addresses; it is never returned to itself.
    pub asker: PeerAddrs,
    /// Peers not to return, at most 8 (paper 3.2).
    pub ignore: Vec<SocketAddr>,
    /// Do not answer before the root.
    pub to_root: bool,
    /// Every hop tells in the answer what it knew and why it went on.
    pub trace: bool,
    /// Index nodes passed so far.
    pub hops: u8,
    /// The best matches so far, piggybacked (paper 3.2); at most `p`.
    pub matches: Vec<Match>,
}

/// One record of an answer (paper 3.2): never the chunks themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Where the peer serves.
    pub addrs: PeerAddrs,
    /// Coordinate of the index node that it published through.
    pub coord: Coord,
    /// How many wanted chunks it holds; for [`Wanted::Any`] how many chunks it holds.
    pub matched: u32,
    /// 0 = idle .. 255 = full, as last published.
    pub load: u8,
    /// Whether others can dial it.
    pub reachable: bool,
}

/// The answer to a [`Lookup`].
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// At most `p` peers, best first.
    pub matches: Vec<Match>,
    /// Index nodes that the query passed, the answering one included.
    pub hops: u8,
    /// Whether the root answered.
    pub root: bool,
    /// The node that answered.
    pub by: Id,
    /// It is asked about this object more than its share, and answered with what it had: ask less often.
    pub loaded: bool,
    /// The index nodes passed, the first one first; empty unless the lookup asked for it. At most
    /// [`MAX_TRACE`](super::MAX_TRACE).
    pub trace: Vec<TraceHop>,
}

/// One index node of a traced lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHop {
    /// The node.
    pub id: Id,
    /// Its address as the hop before knows it; `None` for the first hop.
    pub addr: Option<SocketAddr>,
    /// Measured round-trip time to the next hop, whole microseconds; `None` for the answering node.
    pub rtt: Option<Duration>,
    /// Matches known there, its own included.
    pub known: u8,
    /// What it did.
    pub why: Why,
}

/// What an index node did with a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Answered: it knew enough matches.
    Enough,
    /// Answered: it is the root.
    Root,
    /// Answered with what it passed on a moment ago.
    Cached,
    /// Answered with what it had, as it is asked too often.
    Loaded,
    /// Answered: every next hop was silent.
    Silent,
    /// Passed on: too few matches.
    TooFew,
    /// Passed on: the asker wants the root's answer.
    ToRoot,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefuseReason {
    /// The token is missing, expired or belongs to another address; a fresh one comes along.
    Token,
    /// The entry names an address that is not the sender's.
    ForeignAddress,
    /// Over a rate or size limit.
    Busy,
    /// A routed request went around in circles or over too many hops.
    Hops,
    /// The request is well-formed but not for this node (a client role, an unknown kind).
    Unsupported,
    /// The entry is not signed, its signature is not its publisher's, or it has expired (or a clock is wrong).
    Proof,
}

/// The kinds of message.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Are you there? Answered by [`Body::Pong`].
    Ping,
    /// Here; with a token for the asker's address and the address it was seen at.
    Pong {
        /// For the asker's next requests.
        token: Token,
        /// The source address of the ping.
        observed: SocketAddr,
    },
    /// The request was taken over by this hop; the answer follows later with the same `tx`.
    Ack,
    /// The request was not carried out.
    Refuse {
        /// Why.
        reason: RefuseReason,
        /// A fresh token for the asker's address, with [`RefuseReason::Token`].
        token: Option<Token>,
    },
    /// Asks for what the receiver's leaf set has beside the sender's.
    Leaves {
        /// The sender's leaves, at most [`MAX_NAMES`](super::MAX_NAMES).
        names: Vec<Name>,
    },
    /// The answer to [`Body::Leaves`].
    LeavesReply {
        /// At most 16, those that the request named and the sender not included.
        contacts: Vec<Contact>,
    },
    /// Asks for row `row` of the receiver's routing table.
    Row {
        /// 0..=39: digits shared with the receiver's id.
        row: u8,
        /// Contacts that the sender has, at most [`MAX_NAMES`](super::MAX_NAMES).
        names: Vec<Name>,
    },
    /// The answer to [`Body::Row`].
    RowReply {
        /// The row asked for.
        row: u8,
        /// At most 16.
        contacts: Vec<Contact>,
    },
    /// Routed to the root of `joiner`'s id: who are my neighbours?
    Join {
        /// The joining node.
        joiner: Id,
        /// Index nodes passed so far.
        hops: u8,
    },
    /// The root's answer to a [`Body::Join`], back along the same hops.
    JoinReply {
        /// The root itself and its leaf set, at most 17.
        contacts: Vec<Contact>,
        /// Index nodes passed, the root included.
        hops: u8,
    },
    /// A peer's own entry, to a nearby index node; its addresses must be the sender's. Needs a token.
    /// Answered by [`Body::Ack`] or [`Body::SendFull`].
    Publish {
        /// The peer's entry for one object.
        entry: Entry,
    },
    /// Entries of many peers and objects, from an index node to its parent in their trees (paper 3.1). Needs a token.
    /// Answered by [`Body::Ack`] or [`Body::SendFull`].
    Propagate {
        /// As many as fit the datagram.
        entries: Vec<Entry>,
    },
    /// An anycast query. Answered by [`Body::Found`], by [`Body::Ack`] first when it is forwarded.
    Lookup(Lookup),
    /// The answer to [`Body::Lookup`], back along the same hops.
    Found(Found),
    /// Entries were taken, but for these: they are relative to ones that the receiver does not hold. Answers
    /// [`Body::Publish`] and [`Body::Propagate`].
    SendFull {
        /// Object and publisher, at most [`MAX_GAPS`](super::MAX_GAPS); the sender may send others in full as well.
        keys: Vec<(ObjectId, Id)>,
    },
    /// Dial my TCP port at the address that this comes from. Needs a token. Answered by [`Body::Ack`] at once, then by
    /// [`Body::Dialled`].
    Dial {
        /// The port, not 0.
        port: u16,
    },
    /// The answer to [`Body::Dial`].
    Dialled {
        /// The port.
        port: u16,
        /// Whether somebody accepted there.
        reached: bool,
    },
    /// Let a node that I have never talked to send to the address that this comes from. Needs a token. Answered by
    /// [`Body::Ack`].
    Reach {
        /// To be repeated in [`Body::Reached`].
        nonce: u64,
    },
    /// Send [`Body::Reached`] there, from one index node to another. Needs a token. Answered by [`Body::Ack`].
    ReachFor {
        /// Where to.
        addr: SocketAddr,
        /// What to say.
        nonce: u64,
    },
    /// Unasked, to see whether it arrives. Not answered.
    Reached {
        /// As in [`Body::Reach`].
        nonce: u64,
    },
}
