//! The last questions to the directory, and why it named whom it named.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::coords::Coord;
use chunkcast::directory::score;
use chunkcast::node::LookupError;
use chunkcast::wire::{Found, Ranking, Why as HopWhy};
use tokio::time::Instant;

use super::super::detail::{LookupRow, Why};
use crate::discovery::unix_now;

/// Questions remembered.
const MAX_ROWS: usize = 20; // guess: what a person reads
/// Peers of which it is remembered why they were named.
const MAX_WHYS: usize = 256; // guess: the candidates that matter, and more
/// Every hop tells of itself for so long after somebody has looked.
const WATCHED: Duration = Duration::from_secs(60); // guess: who watches asks every few seconds

/// What became of a question.
pub(crate) struct Answer {
    /// The answer.
    pub(crate) outcome: Result<Found, LookupError>,
    /// By which order the peers in it were to be ranked.
    pub(crate) ranking: Ranking,
    /// Address of the node that answered, if known, and index nodes gone through before it.
    pub(crate) answered: (Option<SocketAddr>, u8),
    /// How long it took.
    pub(crate) took: Duration,
}

/// Questions and reasons.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// The newest first.
    rows: VecDeque<LookupRow>,
    /// Each address once, those named last at the end.
    whys: VecDeque<(SocketAddr, Why)>,
    watched: Option<Instant>,
}

impl Lookups {
    /// Somebody looks.
    pub(super) fn watch(&mut self) {
        self.watched = Some(Instant::now());
    }

    /// Whether somebody has looked of late.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.is_some_and(|at| at.elapsed() < WATCHED)
    }

    /// Takes note of a question; `own`: our coordinate.
    pub(super) fn note(&mut self, answer: &Answer, own: Option<&Coord>) {
        let at = unix_now();
        let found = answer.outcome.as_ref().ok();
        let (answered_by, hops) = answer.answered;
        let kept = |found: &Found| found.trace.last().is_some_and(|h| h.why == HopWhy::Cached);
        self.rows.truncate(MAX_ROWS - 1);
        self.rows.push_front(LookupRow {
            at,
            took_ms: answer.took.as_secs_f64() * 1e3,
            hops: found.map(|_| hops),
            answered_by: found.and(answered_by),
            from_kept: found.is_some_and(kept),
            peers: found.map_or(0, |found| found.matches.len()),
        });
        for (rank, m) in found.map_or(&[][..], |f| &f.matches).iter().enumerate() {
            let millis = |seconds: f64| seconds * 1e3;
            let [x, y, z] = m.coord.position.map(millis);
            let why = Why {
                at,
                hops,
                answered_by,
                rank,
                score: own.map(|own| score(answer.ranking, own.apart(&m.coord), m.matched, m.load)),
                matched: m.matched,
                load: m.load,
                predicted_ms: own.map(|own| millis(own.rtt(&m.coord).as_secs_f64())),
                coordinate: Some([x, y, z, millis(m.coord.height)]),
            };
            for addr in m.addrs.iter() {
                self.name(addr, why.clone());
            }
        }
    }

    /// Why the directory named a peer with one of these addresses.
    pub(super) fn why(&self, addrs: impl IntoIterator<Item = SocketAddr>) -> Option<Why> {
        let of = |addr| self.whys.iter().find(|(named, _)| *named == addr);
        let found = addrs.into_iter().find_map(of);
        found.map(|(_, why)| why.clone())
    }

    /// The questions, the newest first.
    pub(super) fn rows(&self) -> Vec<LookupRow> {
        self.rows.iter().cloned().collect()
    }

    fn name(&mut self, addr: SocketAddr, why: Why) {
        self.whys.retain(|(named, _)| *named != addr);
        self.whys.push_back((addr, why));
        if self.whys.len() > MAX_WHYS {
            self.whys.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use chunkcast::id::Id;
    use chunkcast::wire::{Match, PeerAddrs};

    use super::*;

    fn addr(n: u32) -> SocketAddr {
        (std::net::Ipv4Addr::from(0x0a00_0000 + n), 6881).into()
    }

    fn answer(peers: impl Iterator<Item = u32>) -> Answer {
        let matches = peers.map(|n| Match {
            addrs: PeerAddrs::from(addr(n)),
            coord: Coord {
                position: [0.03, 0.04, 0.0],
                height: 0.01,
                error: 0.1,
            },
            matched: n,
            load: 16,
            reachable: true,
        });
        Answer {
            outcome: Ok(Found {
                matches: matches.collect(),
                hops: 3,
                root: false,
                by: Id([1; 20]),
                loaded: false,
                trace: Vec::new(),
            }),
            ranking: Ranking::Hybrid,
            answered: (Some(addr(99)), 2),
            took: Duration::from_millis(7),
        }
    }

    #[test]
    fn a_peer_s_reason_is_that_of_the_answer_that_named_it_last() {
        let mut lookups = Lookups::default();
        let own = Coord::default();
        lookups.note(&answer([5, 9].into_iter()), Some(&own));
        lookups.note(&answer([9].into_iter()), Some(&own));
        let why = lookups.why([addr(7), addr(9)]).expect("it was named");
        assert_eq!((why.rank, why.hops, why.matched, why.load), (0, 2, 9, 16));
        assert_eq!(why.answered_by, Some(addr(99)));
        let near = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() < 1e-6);
        assert!(near(why.predicted_ms, 60.0), "{why:?}");
        // sqrt(9) / (one way of 60 ms + 2 ms) / (1 + one transfer)
        assert!(near(why.score, 3.0 / 0.032 / 2.0), "{why:?}");
        assert_eq!(why.coordinate, Some([30.0, 40.0, 0.0, 10.0]));
        assert_eq!(lookups.why([addr(7)]), None);
        assert_eq!(lookups.rows().len(), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut lookups = Lookups::default();
        for n in 0..1000 {
            lookups.note(&answer([n, 5000].into_iter()), None);
        }
        let failed = Answer {
            outcome: Err(LookupError::Busy),
            ..answer(std::iter::empty())
        };
        lookups.note(&failed, None);
        assert!(lookups.whys.len() <= MAX_WHYS);
        assert!(lookups.why([addr(5000)]).is_some() && lookups.why([addr(999)]).is_some());
        assert_eq!(lookups.why([addr(1)]), None);
        let rows = lookups.rows();
        assert_eq!(
            (rows.len(), rows[0].hops, rows[0].peers),
            (MAX_ROWS, None, 0)
        );
        assert_eq!((rows[1].hops, rows[1].peers), (Some(2), 2));
    }
}
