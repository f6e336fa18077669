//! What goes into a torrent's engine and what comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::{NeighbourId, Query, Source};

use super::DropReason;
use crate::wire::message::{BlockRef, Handshake, Message};
use crate::wire::stream::Transport;

/// A connection, by a number that the caller chooses and never uses twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl From<ConnId> for NeighbourId {
    fn from(conn: ConnId) -> Self {
        NeighbourId(conn.0)
    }
}

impl From<NeighbourId> for ConnId {
    fn from(peer: NeighbourId) -> Self {
        ConnId(peer.0)
    }
}

/// A connection whose handshakes are done.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// The socket's remote address.
    pub addr: SocketAddr,
    /// Whether we dialled.
    pub outbound: bool,
    /// Where the address came from.
    pub source: Source,
    /// How long an outbound connection took without the handshake.
    pub rtt: Option<Duration>,
    /// What carries it.
    pub transport: Transport,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The peer's handshake.
    pub handshake: Handshake,
}

/// What became of a piece that was handed over with [`Output::Finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceResult {
    /// Its hash is right and it is written.
    Ok,
    /// Its hash is wrong.
    BadHash,
    /// Its hash is right, but it could not be written.
    DiskError,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send the message.
    Send {
        /// To whom.
        conn: ConnId,
        /// What.
        msg: Message,
    },
    /// Close the connection. It is forgotten already; messages still under way from it are ignored.
    Close {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Connect; answer with `handle_connected` or `handle_dial_failed`.
    Dial {
        /// Where to.
        addr: SocketAddr,
        /// Who named it.
        source: Source,
    },
    /// An accepted block: keep it in the piece's buffer.
    Store {
        /// The piece.
        piece: u32,
        /// First byte within it.
        begin: u32,
        /// The bytes.
        data: Bytes,
    },
    /// All blocks of the piece are stored: hash it, write it, answer `handle_piece_result`.
    Finish {
        /// The piece.
        piece: u32,
    },
    /// Forget the piece's buffer.
    Discard {
        /// The piece.
        piece: u32,
    },
    /// A block to upload: answer `handle_block_read`.
    Read {
        /// For whom.
        conn: ConnId,
        /// Which block of a piece that is held.
        block: BlockRef,
    },
    /// Ask the directory; answer with `handle_answer` or `handle_no_answer`.
    LookUp(Query),
    /// Tell the directory what is held.
    Publish {
        /// The pieces held; `ChunkSet::empty(0)` while the piece count is unknown.
        held: ChunkSet,
        /// Whether all are held.
        complete: bool,
        /// How loaded we are, 0 ..= 255.
        load: u8,
    },
    /// An info dict whose SHA-1 is the infohash: check it and call `set_metainfo`.
    Metadata(Bytes),
    /// A ChunkCast peer's index node accepts datagrams here.
    IndexNode(SocketAddr),
    /// A peer's DHT node accepts datagrams here (BEP 5).
    DhtNode(SocketAddr),
    /// A near peer names others that are near it: those that may be dialled go to
    /// [`Swarm::handle_introduced`](super::Swarm::handle_introduced).
    Introduced {
        /// Who names them.
        conn: ConnId,
        /// Where they accept connections.
        addrs: Vec<SocketAddr>,
    },
    /// A peer names others that it is connected to (BEP 11), those first that it could dial: the ones that may be dialled are
    /// candidates.
    Exchanged(Vec<SocketAddr>),
    /// The piece is verified and written.
    PieceDone {
        /// The piece.
        piece: u32,
    },
    /// Every wanted piece is verified and written. Once, and again if more was wanted meanwhile.
    Complete,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The neighbour table is full.
    TableFull,
    /// We are connected to this peer already.
    DuplicatePeer,
    /// It is ourselves.
    OurselvesConnected,
    /// Its handshake names another torrent.
    WrongTorrent,
    /// The peer sent bad data before.
    Banned,
    /// Both ends have everything that they want.
    Useless,
    /// It stopped serving and others wait for its place.
    Dead,
    /// It was silent for too long.
    Silent,
    /// It broke the protocol.
    Protocol(DropReason),
    /// Too many needless messages.
    Flood(DropReason),
    /// A block that it asked for could not be read from disk.
    ReadFailed,
}

/// Limits that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the torrent engine's limits contradict each other: {0}")]
pub struct SwarmConfigError(pub(super) &'static str);
