//! Peers, why they are, and what the directory was asked.

use serde::Serialize;
use utoipa::ToSchema;

use super::bits;
use crate::daemon::{self, Detail, PeerDetail};
use crate::wire::stream::Transport;

/// Why the directory named a peer.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Why {
    /// When it did.
    at: u64,
    /// Index nodes that the question had gone through when it was answered; 0: the daemon's own answered.
    hops: u8,
    /// The index node that answered.
    #[schema(required)]
    answered_by: Option<String>,
    /// Place in the answer, the first being 0.
    rank: usize,
    /// What it was ranked by: more is better.
    #[schema(required)]
    score: Option<f64>,
    /// Pieces that were wanted and that it had, as the directory knew.
    matched: u32,
    /// How loaded it was, 0 to 255.
    load: u8,
    /// Round-trip time that the coordinates predict, in milliseconds.
    #[schema(required)]
    predicted_ms: Option<f64>,
    /// Its coordinate: x, y, z and height, in milliseconds.
    #[schema(required)]
    coordinate: Option<[f64; 4]>,
}

/// A peer or web seed of a torrent.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Peer {
    /// Remote address of the connection; of a web seed one that stands for it.
    addr: String,
    /// The URL of a web seed (BEP 19), without what may be a secret in it.
    #[schema(required)]
    webseed: Option<String>,
    /// Where it accepts connections, if it said so.
    #[schema(required)]
    listen: Option<String>,
    /// Client name and version, if it said so.
    #[schema(required)]
    client: Option<String>,
    /// Who named it: `directory`, `tracker`, `dht`, `lsd`, `pex`, `manual`, `incoming`, `webseed`.
    source: &'static str,
    /// Least round-trip time measured, in milliseconds.
    #[schema(required)]
    rtt_ms: Option<f64>,
    /// Whether it counts as near.
    near: bool,
    /// Whether the connection is open now; others have moved bytes before.
    connected: bool,
    /// What carries the connection: `tcp`, `utp`.
    #[schema(required)]
    transport: Option<&'static str>,
    /// Whether it is encrypted.
    #[schema(required)]
    encrypted: Option<bool>,
    /// Bytes received from it, in this run.
    downloaded: u64,
    /// Bytes sent to it, in this run.
    uploaded: u64,
    /// Whether the daemon dialled it.
    outbound: bool,
    /// Bytes a second from it.
    rate_down: u64,
    /// Bytes a second to it.
    rate_up: u64,
    /// It refuses to serve us.
    chokes_us: bool,
    /// We want something of it.
    interested: bool,
    /// We do not serve it.
    choked: bool,
    /// It wants something of us.
    wants: bool,
    /// How many pieces it has.
    held: u32,
    /// Which: base64 of the bitfield.
    pieces: String,
    /// Requests that it owes us.
    outstanding: usize,
    /// Requests that it waits for.
    queued: usize,
    /// Why the directory named it, if it did.
    #[schema(required)]
    why: Option<Why>,
}

/// The peers of a torrent, the nearest first; those whose distance is not known last.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Peers {
    peers: Vec<Peer>,
}

impl From<Detail> for Peers {
    fn from(mut detail: Detail) -> Self {
        let distance = |p: &PeerDetail| {
            let predicted = p.why.as_ref().and_then(|w| w.predicted_ms);
            p.row.rtt_ms.or(predicted).unwrap_or(f64::INFINITY)
        };
        detail
            .peers
            .sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        Self {
            peers: detail.peers.into_iter().map(Peer::from).collect(),
        }
    }
}

impl From<PeerDetail> for Peer {
    fn from(p: PeerDetail) -> Self {
        let row = p.row;
        Self {
            addr: row.addr.to_string(),
            webseed: row.webseed,
            listen: row.listen.map(|a| a.to_string()),
            client: row.client,
            source: row.source,
            rtt_ms: row.rtt_ms,
            near: row.near,
            connected: row.connected,
            transport: row.transport.map(|t| match t {
                Transport::Tcp => "tcp",
                Transport::Utp => "utp",
            }),
            encrypted: row.encrypted,
            downloaded: row.downloaded,
            uploaded: row.uploaded,
            outbound: p.outbound,
            rate_down: p.rate_down,
            rate_up: p.rate_up,
            chokes_us: p.chokes_us,
            interested: p.interested,
            choked: p.choked,
            wants: p.wants,
            held: p.pieces.count(),
            pieces: bits(&p.pieces),
            outstanding: p.outstanding,
            queued: p.queued,
            why: p.why.map(Why::from),
        }
    }
}

impl From<daemon::Why> for Why {
    fn from(w: daemon::Why) -> Self {
        Self {
            at: w.at,
            hops: w.hops,
            answered_by: w.answered_by.map(|a| a.to_string()),
            rank: w.rank,
            score: w.score,
            matched: w.matched,
            load: w.load,
            predicted_ms: w.predicted_ms,
            coordinate: w.coordinate,
        }
    }
}

/// A question to the directory.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Lookup {
    /// When it was asked.
    at: u64,
    /// How long it took, in milliseconds.
    took_ms: f64,
    /// Index nodes that it had gone through when it was answered; `null`: no answer.
    #[schema(required)]
    hops: Option<u8>,
    /// The index node that answered.
    #[schema(required)]
    answered_by: Option<String>,
    /// Whether an answer that was kept for others too was given.
    from_kept: bool,
    /// Peers named.
    peers: usize,
}

/// The last questions to the directory, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Lookups {
    lookups: Vec<Lookup>,
}

impl From<Detail> for Lookups {
    fn from(detail: Detail) -> Self {
        let lookup = |l: daemon::LookupRow| Lookup {
            at: l.at,
            took_ms: l.took_ms,
            hops: l.hops,
            answered_by: l.answered_by.map(|a| a.to_string()),
            from_kept: l.from_kept,
            peers: l.peers,
        };
        Self {
            lookups: detail.lookups.into_iter().map(lookup).collect(),
        }
    }
}
