//! Numbers of all torrents together, for those who watch the daemon.

use std::collections::BTreeMap;

use chunkcast::node::Snapshot;

use crate::session::Progress;
use crate::swarm::DropReason;

/// Upper ends of the buckets of [`RttCounts`], in milliseconds; a last one has no end.
pub const RTT_BUCKETS_MS: [f64; 11] = [
    0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0,
];

/// Numbers of all torrents together. What only grows is counted since the process began, in torrents that are no longer
/// there too.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Pieces that came, were verified and written.
    pub pieces_verified: u64,
    /// Pieces that came and failed their hash.
    pub pieces_failed: u64,
    /// Peers banned.
    pub banned: u64,
    /// What strangers sent that was thrown away; reasons without a case are absent.
    pub drops: BTreeMap<DropReason, u64>,
    /// How far peers were.
    pub rtt: RttCounts,
    /// Peers that refuse to serve us now.
    pub choking: u64,
    /// Peers that we serve now.
    pub served: u64,
    /// The index node, if there is one.
    pub index: Option<Snapshot>,
}

/// How far peers were: each second each connected peer whose round-trip time is measured counts once. The rate of a bucket is
/// therefore how many there are of such peers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RttCounts {
    /// By [`RTT_BUCKETS_MS`]; each counts once, in the first bucket that it is not above.
    pub buckets: [u64; RTT_BUCKETS_MS.len() + 1],
    /// The sum of all, in milliseconds.
    pub sum_ms: f64,
}

/// Adds up what torrents report.
#[derive(Debug, Default)]
pub(super) struct Counter {
    sum: Counts,
}

impl Counter {
    /// The numbers of a torrent, and those before them in the same run.
    pub(super) fn grew(&mut self, before: &Progress, now: &Progress) {
        let sum = &mut self.sum;
        sum.pieces_verified += now.pieces_done.saturating_sub(before.pieces_done);
        sum.pieces_failed += now.bad_pieces.saturating_sub(before.bad_pieces);
        sum.banned += now.banned.saturating_sub(before.banned);
        for (reason, count) in &now.drops {
            let before = before.drops.get(reason).copied().unwrap_or(0);
            *sum.drops.entry(*reason).or_default() += count.saturating_sub(before);
        }
    }

    /// A second has passed in which a torrent had these peers.
    pub(super) fn second(&mut self, now: &Progress) {
        let connected = now.peers.iter().filter(|p| p.connected);
        for ms in connected.filter_map(|p| p.rtt_ms) {
            self.sum.rtt.add(ms);
        }
    }

    /// The numbers now, without those of the index node; `live`: the last ones of all torrents that run.
    pub(super) fn counts<'a>(&self, live: impl Iterator<Item = &'a Progress>) -> Counts {
        let mut counts = self.sum.clone();
        for progress in live {
            counts.choking += u64::from(progress.choking);
            counts.served += u64::from(progress.served);
        }
        counts
    }
}

impl RttCounts {
    fn add(&mut self, ms: f64) {
        let bucket = RTT_BUCKETS_MS.partition_point(|end| *end < ms);
        self.buckets[bucket] += 1;
        self.sum_ms += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::PeerRow;

    fn progress(pieces: u64, drops: u64) -> Progress {
        Progress {
            pieces_done: pieces,
            drops: [(DropReason::Duplicate, drops)].into(),
            choking: 2,
            served: 1,
            ..Progress::default()
        }
    }

    #[test]
    fn what_grows_is_summed_over_all_runs_and_what_is_now_over_those_that_run() {
        let mut counter = Counter::default();
        let none = Progress::default();
        counter.grew(&none, &progress(5, 1));
        counter.grew(&none, &progress(7, 2));
        counter.grew(&progress(5, 1), &progress(6, 1));
        let run = [progress(6, 1), progress(7, 2)];
        assert_eq!(counter.counts(run.iter()).choking, 4);
        // the first one, started anew
        counter.grew(&none, &progress(1, 3));
        let counts = counter.counts([progress(1, 3)].iter());
        assert_eq!(counts.pieces_verified, 6 + 7 + 1);
        assert_eq!(counts.drops[&DropReason::Duplicate], 1 + 2 + 3);
        assert_eq!((counts.choking, counts.served), (2, 1));
    }

    #[test]
    fn peers_count_every_second_in_the_bucket_of_their_distance() {
        let peer = |rtt_ms, connected| PeerRow {
            addr: ([192, 0, 2, 1], 1).into(),
            webseed: None,
            listen: None,
            client: None,
            source: "tracker",
            rtt_ms,
            near: false,
            connected,
            transport: None,
            encrypted: None,
            downloaded: 0,
            uploaded: 0,
        };
        let peers = [
            (Some(0.5), true),
            (Some(0.6), true),
            (Some(2000.0), true),
            (Some(3.0), false),
            (None, true),
        ];
        let progress = Progress {
            peers: peers.map(|(rtt, here)| peer(rtt, here)).to_vec(),
            ..Progress::default()
        };
        let mut counter = Counter::default();
        counter.second(&progress);
        counter.second(&progress);
        let rtt = counter.counts([].iter()).rtt;
        assert_eq!(rtt.buckets, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert!((rtt.sum_ms - 2.0 * 2001.1).abs() < 1e-6);
    }
}
