//! What a torrent reports: bytes, rates, peers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use chunkcast::chunks::ChunkSet;
use chunkcast::client::Source;

use super::super::discover::TransferCounts;
use super::super::events::{DirectoryTraffic, PeerRow, Progress, source_name};
use super::Torrent;
use crate::metadata::Layout;
use crate::swarm::PeerStats;

/// Weight of the newest second in a smoothed rate: about three seconds.
const SMOOTHING: f64 = 0.3;
/// Seconds without a byte after which there is no rate, whatever the smoothing says.
const SILENT: f64 = 5.0; // guess: a peer that chokes lets others in within ten

/// Counters that outlive connections.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    layout: Option<Arc<Layout>>,
    wanted: ChunkSet,
    held: ChunkSet,
    total: u64,
    verified: u64,
    pieces_done: u64,
    downloaded: u64,
    uploaded: u64,
    down: Flow,
    up: Flow,
    last: Option<(tokio::time::Instant, u64, u64)>,
    /// What the directory has cost in the end.
    pub(super) directory: Option<DirectoryTraffic>,
}

/// Bytes a second in one direction.
#[derive(Debug, Default)]
struct Flow {
    /// Smoothed.
    rate: f64,
    /// Seconds since the last byte.
    silent: f64,
}

impl Flow {
    /// So many bytes have moved in the last `seconds`.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate needs no more than 52 bits"
    )]
    fn measure(&mut self, bytes: u64, seconds: f64) {
        self.silent = if bytes > 0 {
            0.0
        } else {
            self.silent + seconds
        };
        self.rate = if self.silent < SILENT {
            self.rate + SMOOTHING * (bytes as f64 / seconds - self.rate)
        } else {
            0.0
        };
    }
}

impl Numbers {
    /// Whether bytes have moved of late.
    pub(super) fn is_moving(&self) -> bool {
        self.down.rate >= 1.0 || self.up.rate >= 1.0
    }

    /// The pieces are known.
    pub(super) fn start(&mut self, layout: &Arc<Layout>, wanted: &ChunkSet, held: &ChunkSet) {
        let bytes =
            |set: &mut dyn Iterator<Item = u32>| set.map(|p| u64::from(layout.piece_len(p))).sum();
        self.total = bytes(&mut wanted.iter());
        self.verified = bytes(&mut held.iter().filter(|p| wanted.contains(*p)));
        self.wanted = wanted.clone();
        self.held = held.clone();
        self.layout = Some(layout.clone());
    }

    /// Other pieces are wanted.
    pub(super) fn want(&mut self, wanted: &ChunkSet) {
        if let Some(layout) = self.layout.take() {
            let held = std::mem::take(&mut self.held);
            self.start(&layout, wanted, &held);
        }
    }

    /// A piece was verified and written.
    pub(super) fn piece_done(&mut self, piece: u32) {
        self.pieces_done += 1;
        if let Some(layout) = &self.layout
            && self.held.insert(piece)
            && self.wanted.contains(piece)
        {
            self.verified += u64::from(layout.piece_len(piece));
        }
    }

    /// Bytes that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.total - self.verified
    }

    /// For trackers: what was sent and received in this session, resent and wasted bytes included and what was there
    /// before it not, and what is missing of the files that are wanted (BEP 3). While the metadata is unknown something is,
    /// or a tracker would take us for a seed.
    pub(super) fn counts(&self) -> TransferCounts {
        let unknown = TransferCounts::default().left;
        TransferCounts {
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            left: self.layout.as_ref().map_or(unknown, |_| self.left()),
        }
    }

    fn rates(&mut self) {
        let now = tokio::time::Instant::now();
        if let Some((at, down, up)) = self.last {
            let seconds = now.duration_since(at).as_secs_f64();
            if seconds < 0.5 {
                return;
            }
            self.down
                .measure(self.downloaded.saturating_sub(down), seconds);
            self.up.measure(self.uploaded.saturating_sub(up), seconds);
        }
        self.last = Some((now, self.downloaded, self.uploaded));
    }
}

impl Torrent {
    /// The numbers now.
    pub(super) fn progress(&mut self) -> Progress {
        let stats = self.swarm.stats();
        let checked_pieces = self.checked_pieces.as_ref().map(|c| c.load(Relaxed));
        let n = &mut self.numbers;
        n.downloaded = stats.received;
        n.uploaded = stats.uploaded;
        n.rates();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rates are positive and small"
        )]
        let (rate_down, rate_up) = (n.down.rate as u64, n.up.rate as u64);
        let peers = |has: &dyn Fn(&PeerStats) -> bool| {
            let count = stats.peers.iter().filter(|p| has(p)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let is_peer = |p: &PeerStats| p.source != Source::WebSeed;
        let near = peers(&|p| p.near);
        let choking = peers(&|p| is_peer(p) && p.choking);
        let served = peers(&|p| p.served);
        let web_seeds = u32::try_from(self.web.active()).unwrap_or(u32::MAX);
        let connected = peers(&|_| true) - web_seeds;
        let mut sources = BTreeMap::new();
        for peer in stats.peers.iter().filter(|p| is_peer(p)) {
            *sources.entry(source_name(peer.source)).or_default() += 1;
        }
        let (sending, receiving) = (peers(&|p| p.down_rate > 0), peers(&|p| p.up_rate > 0));
        let all = (stats.peers.into_iter().map(|p| (p, true)))
            .chain(stats.gone.into_iter().map(|p| (p, false)));
        let peers = all.map(|(p, connected)| self.row(p, connected)).collect();
        let n = &self.numbers;
        Progress {
            by_distance: stats.by_distance,
            sending,
            receiving,
            sources,
            total_bytes: n.total,
            verified_bytes: n.verified,
            checked_pieces,
            pieces_held: n.held.count(),
            pieces_total: n.held.len(),
            downloaded: stats.received,
            uploaded: stats.uploaded,
            wasted: stats.wasted,
            bad_pieces: stats.bad_pieces,
            banned: stats.banned,
            drops: stats.drops,
            rate_down,
            rate_up,
            near,
            far: connected - near,
            web_seeds,
            choking,
            served,
            pieces_done: n.pieces_done,
            eta_seconds: n.left().checked_div(rate_down).filter(|_| n.left() > 0),
            peers,
            directory: n.directory.or_else(|| self.shared.traffic()),
        }
    }

    /// A peer for people.
    pub(super) fn row(&self, p: PeerStats, connected: bool) -> PeerRow {
        let is_peer = p.source != Source::WebSeed;
        PeerRow {
            transport: is_peer.then_some(p.transport),
            encrypted: is_peer.then_some(p.encrypted),
            addr: p.addr,
            listen: p.listen,
            webseed: (!is_peer).then(|| self.web.shown(p.addr)).flatten(),
            client: p.client,
            source: source_name(p.source),
            rtt_ms: p.rtt.map(|r| r.as_secs_f64() * 1e3),
            near: p.near,
            connected,
            downloaded: p.downloaded,
            uploaded: p.uploaded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metainfo;

    /// Four pieces of 16 KiB, and one of 1000 bytes.
    fn layout() -> Arc<Layout> {
        let mut info = format!(
            "d6:lengthi{}e4:name1:x12:piece lengthi16384e6:pieces100:",
            4 * 16_384 + 1000
        )
        .into_bytes();
        info.extend([7; 100]);
        info.push(b'e');
        let meta = Metainfo::from_info(info.into(), None).expect("a valid info dict");
        meta.layout.clone()
    }

    fn set(pieces: &[u32]) -> ChunkSet {
        ChunkSet::from_indices(5, pieces.iter().copied())
    }

    #[test]
    fn a_rate_is_smooth_and_ends_soon_after_the_last_byte() {
        let mut flow = Flow::default();
        for _ in 0..30 {
            flow.measure(1_000_000, 1.0);
        }
        assert!((flow.rate - 1e6).abs() < 1e3, "{flow:?}");
        flow.measure(0, 1.0);
        assert!(flow.rate > 5e5, "a pause is no end: {flow:?}");
        for _ in 0..5 {
            flow.measure(0, 1.0);
        }
        assert!(flow.rate < 1.0, "{flow:?}");
        flow.measure(1_000_000, 1.0);
        assert!(flow.rate > 1e5, "{flow:?}");
    }

    #[test]
    fn without_metadata_trackers_are_not_told_that_nothing_is_left() {
        assert!(Numbers::default().counts().left > 0);
    }

    #[test]
    fn what_is_left_are_the_wanted_bytes_that_are_missing_and_what_was_there_is_not_downloaded() {
        let mut n = Numbers::default();
        n.start(&layout(), &set(&[0, 1, 4]), &set(&[0, 3]));
        let counts = |n: &Numbers| (n.counts().left, n.counts().downloaded);
        assert_eq!(counts(&n), (16_384 + 1000, 0));
        n.piece_done(4);
        n.piece_done(4);
        assert_eq!(counts(&n), (16_384, 0));
        n.piece_done(2);
        assert_eq!(counts(&n), (16_384, 0), "nobody wants it");
        n.piece_done(1);
        assert_eq!(counts(&n), (0, 0));
        n.want(&set(&[0, 1, 2, 3]));
        assert_eq!(counts(&n), (0, 0), "all of them are here");
        n.want(&set(&[]));
        assert_eq!(counts(&n), (0, 0));
    }
}
