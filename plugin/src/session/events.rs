//! What a torrent tells whoever added it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chunkcast::client::Source;
use serde::Serialize;

use crate::metadata::{Metainfo, SelectionError};
use crate::swarm::{ByDistance, DropReason};
use crate::wire::stream::Transport;

/// One thing that happened to a torrent.
#[derive(Clone, Debug)]
pub enum TorrentEvent {
    /// The metainfo is known: at once for a .torrent file, after some peer sent it for a magnet link.
    Metadata(Arc<Metainfo>),
    /// The data that was there before has been checked.
    Checked(Progress),
    /// How it goes: once a second while it changes, every ten seconds while there are connections, and once a minute while
    /// nothing happens.
    Progress(Progress),
    /// Everything that was asked for is verified and on disk.
    Complete(Progress),
    /// The disk refuses to be written to: nothing new is fetched, what is held is served, and the same is tried again
    /// every now and then. One line that names the path and the way out.
    Paused(String),
    /// The disk takes what it refused before; the download goes on.
    Resumed,
    /// Something is not as it should be and stops nothing. One line that ends with the way out.
    Warning(String),
    /// The torrent stopped for good.
    Failed(TorrentError),
}

/// Numbers of one torrent at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Bytes that the user asked for; 0 while the metadata is unknown.
    pub total_bytes: u64,
    /// Of those, verified and written.
    pub verified_bytes: u64,
    /// Pieces looked at so far, while existing data is being checked.
    pub checked_pieces: Option<u32>,
    /// Pieces verified and written.
    pub pieces_held: u32,
    /// Pieces in the torrent.
    pub pieces_total: u32,
    /// Block bytes received from peers, duplicates and bad ones included.
    pub downloaded: u64,
    /// Block bytes sent to peers.
    pub uploaded: u64,
    /// Block bytes received twice or in vain.
    pub wasted: u64,
    /// Pieces whose hash did not match.
    pub bad_pieces: u64,
    /// Peers banned for bad bytes.
    pub banned: u64,
    /// Messages of peers that were thrown away, by reason.
    #[serde(skip)]
    pub drops: BTreeMap<DropReason, u64>,
    /// Bytes a second down, smoothed over about three seconds.
    pub rate_down: u64,
    /// Bytes a second up, smoothed likewise.
    pub rate_up: u64,
    /// Connected peers that are near (measured round-trip, see docs/architecture.md).
    pub near: u32,
    /// Connected peers that are not.
    pub far: u32,
    /// Web seeds (BEP 19) that are asked; none of them counts as near or far.
    pub web_seeds: u32,
    /// Connected peers that refuse to serve us.
    #[serde(skip)]
    pub choking: u32,
    /// Block bytes by how far they came or went, counted when they moved.
    #[serde(skip)]
    pub by_distance: ByDistance,
    /// Connected peers that sent us blocks in the last seconds.
    #[serde(skip)]
    pub sending: u32,
    /// Connected peers that we sent blocks in the last seconds.
    #[serde(skip)]
    pub receiving: u32,
    /// Connected peers by who named them, in the words of [`PeerRow::source`].
    #[serde(skip)]
    pub sources: BTreeMap<&'static str, u32>,
    /// Connected peers that we serve.
    #[serde(skip)]
    pub served: u32,
    /// Pieces that came in this run, verified and written.
    #[serde(skip)]
    pub pieces_done: u64,
    /// Seconds to go at the present rate.
    pub eta_seconds: Option<u64>,
    /// Peers, connected ones and those that moved bytes before.
    #[serde(skip)]
    pub peers: Vec<PeerRow>,
    /// What the directory cost this process.
    pub directory: Option<DirectoryTraffic>,
}

/// One peer in a [`Progress`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerRow {
    /// Remote address of the connection; of a web seed one of the discard prefix (RFC 6666) that stands for it.
    pub addr: SocketAddr,
    /// The URL of a web seed, without what may be a secret in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webseed: Option<String>,
    /// Where the peer accepts connections, if it said so.
    pub listen: Option<SocketAddr>,
    /// Client name and version, if it said so.
    pub client: Option<String>,
    /// Who named this peer.
    pub source: &'static str,
    /// Least round-trip time measured.
    pub rtt_ms: Option<f64>,
    /// Whether it counts as near.
    pub near: bool,
    /// Whether the connection is open now.
    pub connected: bool,
    /// What carries the connection, or did.
    pub transport: Option<Transport>,
    /// Whether it is encrypted, or was.
    pub encrypted: Option<bool>,
    /// Block bytes received from it.
    pub downloaded: u64,
    /// Block bytes sent to it.
    pub uploaded: u64,
}

/// Datagrams of the colocated index node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DirectoryTraffic {
    /// Datagrams sent.
    pub messages_out: u64,
    /// Datagrams received.
    pub messages_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
}

/// The word for a source in machine-readable output.
pub(super) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Directory => "directory",
        Source::Tracker => "tracker",
        Source::Dht => "dht",
        Source::Lsd => "lsd",
        Source::Pex => "pex",
        Source::Manual => "manual",
        Source::Incoming => "incoming",
        Source::WebSeed => "webseed",
    }
}

/// The words of those that name peers, which web seeds are not.
pub const PEER_SOURCES: [&str; 7] = [
    source_name(Source::Directory),
    source_name(Source::Tracker),
    source_name(Source::Dht),
    source_name(Source::Lsd),
    source_name(Source::Pex),
    source_name(Source::Manual),
    source_name(Source::Incoming),
];

/// Why a torrent stopped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TorrentError {
    /// The metadata did not come.
    #[error("no peer sent the metadata of {info_hash} within {} s; {advice}", .waited.as_secs())]
    NoMetadata {
        /// The torrent.
        info_hash: String,
        /// How long it was waited for.
        waited: Duration,
        /// What can be done.
        advice: String,
    },
    /// Not one peer was there.
    #[error("no peer for `{name}` within {} s; {advice}", .waited.as_secs())]
    NoPeers {
        /// The torrent's name.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What can be done.
        advice: String,
    },
    /// The info dict that peers sent is not usable.
    #[error("the metadata of {info_hash} cannot be used: {reason}")]
    BadMetadata {
        /// The torrent.
        info_hash: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The data to seed is not the torrent's.
    #[error(
        "`{path}` holds {held} of {total} pieces of `{name}`; only complete data can be seeded: complete it with `chunkcast get`, or name the right --data"
    )]
    Incomplete {
        /// The torrent's name.
        name: String,
        /// The path that was given.
        path: String,
        /// Pieces that are right.
        held: u32,
        /// Pieces in the torrent.
        total: u32,
    },
    /// The disk refused.
    #[error("{0}")]
    Disk(String),
    /// The selection names no file of the torrent that has data.
    #[error("`{name}`: {reason}; `--list` shows them")]
    NothingSelected {
        /// The torrent's name.
        name: String,
        /// What is wrong with it.
        reason: SelectionError,
    },
    /// The torrent is already there.
    #[error("{info_hash} was given twice; name it once")]
    Twice {
        /// The torrent.
        info_hash: String,
    },
}
