//! What can be seen of a torrent from outside.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::client::Source;
use serde::{Deserialize, Serialize};

use super::peer::{Has, Peer};
use super::{ConnId, DropReason, Swarm};
use crate::wire::stream::Transport;

/// Addresses whose ended connections are remembered.
pub const MAX_GONE: usize = 512; // guess: ten times the neighbour table and more

/// Payload bytes by how far they came or went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByDistance {
    /// From near peers.
    pub near_down: u64,
    /// To near peers.
    pub near_up: u64,
    /// From far peers.
    pub far_down: u64,
    /// To far peers.
    pub far_up: u64,
    /// From web seeds.
    pub web_down: u64,
}

/// One connection in [`SwarmStats`]. Bytes are payload (blocks); rates are bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStats {
    /// The connection.
    pub conn: ConnId,
    /// The socket's remote address.
    pub addr: SocketAddr,
    /// Where it accepts connections, if known.
    pub listen: Option<SocketAddr>,
    /// Client name and version, if it said.
    pub client: Option<String>,
    /// Who named it.
    pub source: Source,
    /// Whether we dialled.
    pub outbound: bool,
    /// What carries it, or carried the last one.
    pub transport: Transport,
    /// Whether that is encrypted.
    pub encrypted: bool,
    /// Least measured round-trip time.
    pub rtt: Option<Duration>,
    /// Whether it counts as near.
    pub near: bool,
    /// Bytes from it.
    pub downloaded: u64,
    /// Bytes to it.
    pub uploaded: u64,
    /// Rate from it.
    pub down_rate: u64,
    /// Rate to it.
    pub up_rate: u64,
    /// Pieces that it has, as far as known.
    pub pieces: u32,
    /// Whether it refuses to serve us.
    pub choking: bool,
    /// Whether we want something of it.
    pub interesting: bool,
    /// Whether it wants something of us.
    pub interested: bool,
    /// Whether we serve it.
    pub served: bool,
    /// Whether we download from it.
    pub server: bool,
    /// Requests that it owes us.
    pub outstanding: usize,
    /// Requests that it waits for.
    pub queued: usize,
    /// Pieces that it is being sent.
    pub sending: usize,
}

/// One torrent. Bytes are payload.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SwarmStats {
    /// Bytes of verified pieces that came in this session.
    pub downloaded: u64,
    /// Bytes of requested blocks that came in, whatever became of them.
    pub received: u64,
    /// Bytes of blocks handed to the kernel.
    pub uploaded: u64,
    /// Of what came and went, how much by how far it did, counted when it moved.
    pub by_distance: ByDistance,
    /// Bytes that came twice or with a bad piece.
    pub wasted: u64,
    /// Pieces that failed their hash.
    pub bad_pieces: u64,
    /// Pieces that could not be written.
    pub disk_errors: u64,
    /// Blocks that could not be read for a peer.
    pub read_errors: u64,
    /// CANCEL messages sent.
    pub cancels: u64,
    /// Times that a peer let its requests lie.
    pub stalls: u64,
    /// Requests of peers refused because as many pieces were being sent as may be.
    pub refused: u64,
    /// Requests of ours that a peer refused that does not choke us.
    pub refusals: u64,
    /// Peers banned.
    pub banned: u64,
    /// Connections that ended.
    pub closed: u64,
    /// What was thrown away, by reason; reasons without a case are absent.
    pub drops: BTreeMap<DropReason, u64>,
    /// Pieces verified and written, and pieces in all; `None` while the metadata is unknown.
    pub pieces: Option<(u32, u32)>,
    /// Wanted pieces that are missing, 0 while the metadata is unknown.
    pub missing: u32,
    /// Pieces begun and not finished.
    pub open_pieces: usize,
    /// Bytes of those.
    pub open_bytes: u64,
    /// Requests outstanding at all peers.
    pub outstanding: u32,
    /// Every connection, by id.
    pub peers: Vec<PeerStats>,
    /// Connections that ended after bytes had moved, added up by address; at most [`MAX_GONE`] addresses.
    pub gone: Vec<PeerStats>,
}

/// Counts that only grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) downloaded: u64,
    pub(super) received: u64,
    pub(super) uploaded: u64,
    pub(super) by_distance: ByDistance,
    pub(super) wasted: u64,
    pub(super) bad_pieces: u64,
    pub(super) disk_errors: u64,
    pub(super) read_errors: u64,
    pub(super) cancels: u64,
    pub(super) stalls: u64,
    pub(super) refused: u64,
    pub(super) refusals: u64,
    pub(super) banned: u64,
    pub(super) closed: u64,
    drops: BTreeMap<DropReason, u64>,
}

impl Counters {
    pub(super) fn drop(&mut self, reason: DropReason) {
        *self.drops.entry(reason).or_default() += 1;
    }
}

impl Swarm {
    /// A snapshot; costs a walk over the connections.
    pub fn stats(&self) -> SwarmStats {
        let c = &self.counters;
        let torrent = self.torrent.as_ref();
        SwarmStats {
            downloaded: c.downloaded,
            received: c.received,
            uploaded: c.uploaded,
            by_distance: c.by_distance,
            wasted: c.wasted,
            bad_pieces: c.bad_pieces,
            disk_errors: c.disk_errors,
            read_errors: c.read_errors,
            cancels: c.cancels,
            stalls: c.stalls,
            refused: c.refused,
            refusals: c.refusals,
            banned: c.banned,
            closed: c.closed,
            drops: c.drops.clone(),
            pieces: torrent.map(|t| (t.held.count(), t.held.len())),
            missing: torrent.map_or(0, |t| t.wanted.count() - t.wanted.overlap(&t.held)),
            open_pieces: torrent.map_or(0, |t| t.open.len()),
            open_bytes: torrent.map_or(0, super::pieces::Torrent::open_bytes),
            outstanding: self.outstanding,
            peers: self
                .client
                .neighbours()
                .filter_map(|view| self.peer_stats(&view))
                .collect(),
            gone: self.gone.values().cloned().collect(),
        }
    }

    /// The pieces that a peer says it has; `None` while their number is unknown.
    pub fn pieces_of(&self, conn: ConnId) -> Option<&ChunkSet> {
        match &self.peers.get(&conn)?.has {
            Has::Known(set) => Some(set),
            Has::Early(_) => None,
        }
    }

    /// Pieces begun and not finished.
    pub fn open_pieces(&self) -> Vec<u32> {
        let torrent = self.torrent.iter();
        torrent.flat_map(|t| t.open.keys().copied()).collect()
    }

    /// `down` bytes came from a peer, `up` went to it.
    pub(super) fn count_distance(&mut self, conn: ConnId, down: u64, up: u64) {
        let web = (self.peers.get(&conn)).is_some_and(|p| p.info.source == Source::WebSeed);
        let near = self.client.is_near(conn.into());
        let sums = &mut self.counters.by_distance;
        let (down_sum, up_sum) = match (web, near) {
            (true, _) => (&mut sums.web_down, &mut sums.far_up),
            (_, true) => (&mut sums.near_down, &mut sums.near_up),
            (_, false) => (&mut sums.far_down, &mut sums.far_up),
        };
        *down_sum += down;
        *up_sum += up;
    }

    /// Keeps what a connection that ends has moved.
    pub(super) fn remember(&mut self, conn: ConnId, peer: &Peer) {
        if peer.down.bytes == 0 && peer.up.bytes == 0 {
            return;
        }
        let key = peer.listen.unwrap_or(peer.info.addr);
        if self.gone.len() >= MAX_GONE && !self.gone.contains_key(&key) {
            return;
        }
        let row = self.gone.entry(key).or_insert_with(|| PeerStats {
            conn,
            addr: peer.info.addr,
            listen: peer.listen,
            client: peer.client.clone(),
            source: peer.info.source,
            outbound: peer.info.outbound,
            transport: peer.info.transport,
            encrypted: peer.info.encrypted,
            rtt: peer.info.rtt,
            near: false,
            downloaded: 0,
            uploaded: 0,
            down_rate: 0,
            up_rate: 0,
            pieces: 0,
            choking: true,
            interesting: false,
            interested: false,
            served: false,
            server: false,
            outstanding: 0,
            queued: 0,
            sending: 0,
        });
        (row.transport, row.encrypted) = (peer.info.transport, peer.info.encrypted);
        row.downloaded += peer.down.bytes;
        row.uploaded += peer.up.bytes;
    }

    fn peer_stats(&self, view: &chunkcast::client::NeighbourView) -> Option<PeerStats> {
        let conn = ConnId::from(view.id);
        let peer = self.peers.get(&conn)?;
        Some(PeerStats {
            conn,
            addr: peer.info.addr,
            listen: peer.listen,
            client: peer.client.clone(),
            source: peer.info.source,
            outbound: peer.info.outbound,
            transport: peer.info.transport,
            encrypted: peer.info.encrypted,
            rtt: view.rtt,
            near: view.near,
            downloaded: peer.down.bytes,
            uploaded: peer.up.bytes,
            down_rate: view.down_rate,
            up_rate: view.up_rate,
            pieces: view.held,
            choking: peer.choking,
            interesting: peer.interesting,
            interested: peer.interested,
            served: peer.up.serving,
            server: view.server,
            outstanding: peer.down.outstanding.len(),
            queued: peer.up.queue.len(),
            sending: peer.up.pieces.len(),
        })
    }
}
