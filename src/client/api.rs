//! What goes into the client peer and what comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::chunks::ChunkSet;

/// A connection, by a number that the caller chooses and never uses twice in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourId(pub u64);

/// Where an address was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A lookup in the ChunkCast directory.
    Directory,
    /// A BitTorrent tracker.
    Tracker,
    /// The BitTorrent DHT (BEP 5).
    Dht,
    /// Local service discovery (BEP 14).
    Lsd,
    /// Peer exchange (BEP 11).
    Pex,
    /// The user named it.
    Manual,
    /// It connected to us.
    Incoming,
    /// The torrent names it: a web server that has everything (BEP 19). Always far, whatever its round-trip time, and no
    /// neighbour that others are told of or that makes looking for others needless.
    WebSeed,
}

/// A peer that may be worth a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// One or two addresses (IPv4 and IPv6) of the same peer, the preferred one first; more are ignored.
    pub addrs: Vec<SocketAddr>,
    /// Who named it.
    pub source: Source,
    /// How far apart the coordinates put it from us ([`Coord::apart`](crate::coords::Coord::apart)), if both have one.
    pub apart: Option<Duration>,
    /// Wanted chunks that it holds according to the directory, 0 if unknown.
    pub matched: u32,
    /// How loaded it says it is, 0 (idle) ..= 255 (full).
    pub load: u8,
    /// Whether it is known to accept connections.
    pub reachable: bool,
}

/// The chunks that a lookup asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Any chunk: the number of chunks is not known yet, or everything is wanted.
    Any,
    /// These.
    Chunks(ChunkSet),
}

/// By what a lookup ranks the peers that it finds (paper 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// Most wanted chunks first.
    Overlap,
    /// Nearest first.
    #[default]
    Closeness,
    /// Overlap, distance and load weighed against each other.
    Hybrid,
}

/// One lookup (paper 3.2): who near me holds chunks that I still need?
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The chunks asked for.
    pub wanted: Wanted,
    /// Most peers in the answer.
    pub p: u8,
    /// How many of those `p` are to be random ones instead of the best.
    pub mix: u8,
    /// Which peers are the best.
    pub ranking: Ranking,
    /// Addresses to leave out, at most eight: they failed, stalled or died most recently.
    pub ignore: Vec<SocketAddr>,
    /// Whether the lookup goes on to the object's root even when an index node on the way has `p` peers.
    pub to_root: bool,
}

/// A connection that has just come up.
#[derive(Clone, Debug, PartialEq)]
pub struct Connected {
    /// The socket's remote address.
    pub addr: SocketAddr,
    /// Where the peer accepts connections, if that is known; outbound connections: `addr`.
    pub listen: Option<SocketAddr>,
    /// Whether we dialled.
    pub outbound: bool,
    /// Measured round-trip time (the connect time of a dialled connection).
    pub rtt: Option<Duration>,
    /// Where the address came from.
    pub source: Source,
}

/// Whether a new connection may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a neighbour now.
    Keep,
    /// Close it: the table is full, the address banned, or the peer connected already. Nothing is kept of it.
    Refuse,
}

/// What a neighbour is told of the chunks that we hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reveal {
    /// Everything held now; every later chunk is announced to it as it comes.
    All,
    /// This chunk.
    Chunk(u32),
}

/// Why a connection is refused or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// No place in the neighbour table, or a nearer peer took it.
    TableFull,
    /// A second connection to the same peer.
    Duplicate,
    /// It misbehaved.
    Banned,
    /// Both ends have everything that they want.
    Useless,
    /// It stopped serving and others wait for its place.
    Dead,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask the directory; answer with [`handle_answer`](super::Client::handle_answer) or
    /// [`handle_no_answer`](super::Client::handle_no_answer). One at a time.
    LookUp(Query),
    /// Tell the directory what we hold.
    Publish {
        /// The chunks held; `ChunkSet::empty(0)` while the number of chunks is unknown.
        held: ChunkSet,
        /// Whether every chunk of the object is held.
        complete: bool,
        /// How loaded we are, 0 (idle) ..= 255 (full).
        load: u8,
    },
    /// Connect; answer with [`handle_connected`](super::Client::handle_connected) or
    /// [`handle_dial_failed`](super::Client::handle_dial_failed).
    Dial {
        /// Where to.
        addr: SocketAddr,
        /// Who named it.
        source: Source,
    },
    /// Close the connection; the neighbour is already forgotten.
    Drop {
        /// Which.
        peer: NeighbourId,
        /// Why.
        reason: DropReason,
    },
    /// Tell the neighbour whether we want something that it holds.
    Interest {
        /// Whom to tell.
        peer: NeighbourId,
        /// Whether we do.
        interested: bool,
    },
    /// [`next_chunk`](super::Client::next_chunk) may have something for this neighbour.
    Ask {
        /// Which.
        peer: NeighbourId,
    },
    /// No longer a server: ask nothing more of it; what is on the wire may finish.
    Stop {
        /// Which.
        peer: NeighbourId,
    },
    /// An upload slot is given or taken (unchoke, choke).
    Serve {
        /// To whom.
        peer: NeighbourId,
        /// Whether it is served from now on.
        serve: bool,
    },
    /// Tell the neighbour what we are fetching and how loaded we are: [`fetching`](super::Client::fetching) and
    /// [`current_load`](super::Client::current_load).
    Tell {
        /// Whom to tell.
        peer: NeighbourId,
    },
    /// Tell the neighbour who else is near: [`introductions`](super::Client::introductions).
    Introduce {
        /// Whom to tell.
        peer: NeighbourId,
    },
    /// Tell the neighbour what we hold.
    Reveal {
        /// Whom to tell.
        peer: NeighbourId,
        /// What.
        what: Reveal,
    },
}

/// A neighbour as statistics show it.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighbourView {
    /// The connection.
    pub id: NeighbourId,
    /// The socket's remote address.
    pub addr: SocketAddr,
    /// Where it accepts connections, if known.
    pub listen: Option<SocketAddr>,
    /// Where its address came from.
    pub source: Source,
    /// Least measured round-trip time.
    pub rtt: Option<Duration>,
    /// Whether it counts as near.
    pub near: bool,
    /// Payload bytes from it.
    pub down_bytes: u64,
    /// Payload bytes to it.
    pub up_bytes: u64,
    /// Payload from it, bytes per second over the last ten seconds.
    pub down_rate: u64,
    /// Payload to it, bytes per second over the last ten seconds.
    pub up_rate: u64,
    /// Chunks that it holds.
    pub held: u32,
    /// Whether it holds everything.
    pub complete: bool,
    /// Whether it refuses to serve us.
    pub choked: bool,
    /// Whether it wants chunks of ours.
    pub interested: bool,
    /// Whether we download from it.
    pub server: bool,
    /// Whether it has an upload slot.
    pub served: bool,
}

/// Inputs that were ignored or refused, by reason. Each is somebody else's fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// A chunk index beyond the object.
    pub bad_chunk: u64,
    /// A chunk set of another length than the object's.
    pub bad_chunk_set: u64,
    /// `have`s beyond what is kept while the number of chunks is unknown.
    pub early_haves: u64,
    /// A neighbour that is none.
    pub unknown_neighbour: u64,
    /// An address that cannot be where that peer listens.
    pub bad_listen_addr: u64,
    /// Answers without a lookup.
    pub unasked_answer: u64,
    /// Connections refused or dropped because the table was full.
    pub table_full: u64,
    /// Connections refused or dropped because the peer was connected already.
    pub duplicate: u64,
    /// Connections refused or dropped because of a ban.
    pub banned: u64,
    /// Connections dropped because the peer stalled again and again.
    pub dead: u64,
    /// Dials that came to nothing.
    pub dial_failed: u64,
}
