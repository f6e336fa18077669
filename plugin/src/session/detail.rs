//! One torrent in depth: its pieces, its peers and why they are, its trackers, its questions to the directory. Times are
//! seconds since 1970, rates bytes a second.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chunkcast::chunks::ChunkSet;
use serde::Serialize;

use super::events::PeerRow;
pub use crate::discovery::TrackerRow;
pub use crate::swarm::ByDistance;

/// One torrent in depth, as its task knows it.
#[derive(Clone, Debug, Default)]
pub struct TorrentDetail {
    /// Pieces verified and written.
    pub held: ChunkSet,
    /// Pieces wanted.
    pub wanted: ChunkSet,
    /// Pieces begun.
    pub open: Vec<u32>,
    /// Peers and web seeds, connected ones and those that moved bytes before.
    pub peers: Vec<PeerDetail>,
    /// Trackers.
    pub trackers: Vec<TrackerRow>,
    /// The last questions to the directory, the newest first.
    pub lookups: Vec<LookupRow>,
    /// What strangers sent that was thrown away, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Pieces that failed their hash.
    pub bad_pieces: u64,
    /// Peers banned.
    pub banned: u64,
}

/// A peer of a torrent, and why it is one.
#[derive(Clone, Debug)]
pub struct PeerDetail {
    /// Numbers, and where it was heard of.
    pub row: PeerRow,
    /// Whether we dialled it.
    pub outbound: bool,
    /// Bytes a second from it.
    pub rate_down: u64,
    /// Bytes a second to it.
    pub rate_up: u64,
    /// It refuses to serve us.
    pub chokes_us: bool,
    /// We want something of it.
    pub interested: bool,
    /// We do not serve it.
    pub choked: bool,
    /// It wants something of us.
    pub wants: bool,
    /// Pieces that it has.
    pub pieces: ChunkSet,
    /// Requests that it owes us.
    pub outstanding: usize,
    /// Requests that it waits for.
    pub queued: usize,
    /// Why the directory named it, if it did.
    pub why: Option<Why>,
}

/// Why the directory named a peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// When, seconds since 1970.
    pub at: u64,
    /// Index nodes that the question had gone through when it was answered; 0: our own answered.
    pub hops: u8,
    /// Who answered, where that is known.
    pub answered_by: Option<SocketAddr>,
    /// Place in the answer, the first being 0.
    pub rank: usize,
    /// What it was ranked by: more is better (paper 3.3).
    pub score: Option<f64>,
    /// Pieces that we wanted and it had, as the directory knew.
    pub matched: u32,
    /// How loaded it was, 0 to 255.
    pub load: u8,
    /// Round-trip time that the coordinates predict.
    pub predicted_ms: Option<f64>,
    /// Its coordinate: x, y, z in milliseconds, and height.
    pub coordinate: Option<[f64; 4]>,
}

/// A question to the directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LookupRow {
    /// When, seconds since 1970.
    pub at: u64,
    /// How long it took.
    pub took_ms: f64,
    /// Index nodes that it had gone through when it was answered; `None`: no answer.
    pub hops: Option<u8>,
    /// Who answered, where that is known.
    pub answered_by: Option<SocketAddr>,
    /// Whether an answer that was kept for others too was given; found out only while somebody looks at the torrent.
    pub from_kept: bool,
    /// Peers named.
    pub peers: usize,
}
