//! Looking for the peers of one announce, in as many lookups as that takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::node::LookupRequest;
use chunkcast::wire::{Match, PeerAddrs, Ranking, Wanted};
use sha1::{Digest, Sha1};

use super::choice::{Asking, Candidate, Choice, choose, is_covered};
use super::service::Shared;
use crate::session::object_id;

/// Peers that one lookup returns at most (paper 3.2).
pub(super) const P: u8 = 8;

/// Of these so many are drawn at random, so that the nearest seed is not everybody's.
const MIX: u8 = 2; // guess

/// Lookups for one answer.
const ROUNDS: usize = 3; // guess: 24 peers, of which a stock client dials most

/// Peers left out of a lookup at most, as they have been found already.
const IGNORED: usize = 8;

/// Coordinates with a smaller error are taken as they are.
const SURE: f64 = 0.3; // guess

/// The least distance that others say.
const UNSURE: Duration = Duration::from_millis(20); // guess

/// What is looked for, and what was found.
pub(super) struct Search {
    hash: [u8; 20],
    asker: PeerAddrs,
    /// What the asker lacks; `None`: anything will do.
    lacks: Option<ChunkSet>,
    pieces: u32,
    found: Vec<Hit>,
}

struct Hit {
    peer: Match,
    /// It was asked for what is lacked, not for anything.
    of_lacked: bool,
    /// The round-trip time to its host, if an index node there was measured: coordinates need a minute to tell near from far.
    rtt: Option<Duration>,
}

/// How the next lookup asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// The nearest that hold something of what is lacked.
    Nearest,
    /// Those who hold most of it, wherever they are.
    Fullest,
    /// The nearest, whatever they hold: they will have something.
    Any,
}

impl Search {
    /// For a torrent of so many pieces.
    pub(super) fn new(
        hash: [u8; 20],
        asker: PeerAddrs,
        lacks: Option<ChunkSet>,
        pieces: u32,
    ) -> Self {
        Self {
            hash,
            asker,
            lacks,
            pieces,
            found: Vec::new(),
        }
    }

    /// Those who were found.
    pub(super) fn found(&self) -> impl Iterator<Item = &Match> {
        self.found.iter().map(|hit| &hit.peer)
    }

    /// Who is named to the asker, which is `here` and may be stuck; the near ones first, and how many these are.
    pub(super) fn choose(&self, here: &Coord, stuck: bool) -> (Vec<&Match>, usize) {
        let asking = Asking {
            lacks: self.lacked(),
            lot: self.lot(&self.asker),
            stuck,
        };
        let Choice { named, near } = choose(&self.candidates(here), &asking);
        let named = named.into_iter().map(|i| &self.found[i].peer);
        (named.collect(), near)
    }

    /// How many were found near `here`, if none of them has anything of what is lacked.
    pub(super) fn beginners(&self, here: &Coord) -> Option<usize> {
        let (named, near) = self.choose(here, false);
        let begin = named[..near].iter().all(|m| m.matched == 0);
        begin.then_some(near)
    }

    fn lacked(&self) -> u32 {
        self.lacks.as_ref().map_or(self.pieces, ChunkSet::count)
    }

    fn holds(&self, hit: &Hit) -> f64 {
        let of = match hit.of_lacked {
            true => self.lacked(),
            // of what is lacked it is likely to hold as much as of all
            false => self.pieces,
        };
        f64::from(hit.peer.matched) / f64::from(of.max(1))
    }

    fn candidates(&self, here: &Coord) -> Vec<Candidate> {
        let candidate = |hit: &Hit| Candidate {
            distance: hit.rtt.unwrap_or_else(|| predicted(here, &hit.peer.coord)),
            holds: self.holds(hit),
            lot: self.lot(&hit.peer.addrs),
        };
        self.found.iter().map(candidate).collect()
    }

    /// A number that everybody draws alike for a peer of this torrent.
    fn lot(&self, addrs: &PeerAddrs) -> u64 {
        let addr = addrs.iter().next().map(|a| a.to_string());
        let digest = Sha1::new()
            .chain_update(self.hash)
            .chain_update(addr.unwrap_or_default())
            .finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |lot, byte| lot << 8 | u64::from(*byte))
    }

    fn first(&self) -> Round {
        match self.lacks {
            Some(_) => Round::Nearest,
            None => Round::Any,
        }
    }

    /// What follows this round; `None`: there is nobody else.
    fn after(&self, round: Round, new: usize) -> Option<Round> {
        match round {
            // fewer than were asked for: there are no others
            Round::Nearest if new < usize::from(P) || self.is_covered() => Some(Round::Any),
            Round::Nearest => Some(Round::Fullest),
            Round::Fullest => Some(Round::Any),
            Round::Any => (new > 0).then_some(Round::Any),
        }
    }

    fn is_covered(&self) -> bool {
        is_covered(&self.candidates(&Coord::default()), self.lacked())
    }

    fn request(&self, round: Round, to_root: bool) -> LookupRequest {
        let wanted = match (&self.lacks, round) {
            (Some(lacks), Round::Nearest | Round::Fullest) => Wanted::Chunks(lacks.clone()),
            _ => Wanted::Any,
        };
        LookupRequest {
            object: object_id(&self.hash),
            wanted,
            p: P,
            mix: MIX,
            ranking: match round {
                Round::Fullest => Ranking::Overlap,
                Round::Nearest | Round::Any => Ranking::Closeness,
            },
            asker: self.asker,
            ignore: self.ignored(),
            to_root,
            trace: false,
        }
    }

    /// The last ones: the nearest have been found in the first round.
    fn ignored(&self) -> Vec<SocketAddr> {
        let last = self.found.iter().rev();
        last.filter_map(|hit| hit.peer.addrs.iter().next())
            .take(IGNORED)
            .collect()
    }

    fn take(&mut self, peer: Match, of_lacked: bool) {
        if !self.found.iter().any(|f| f.peer.addrs.shares(&peer.addrs)) {
            self.found.push(Hit {
                peer,
                of_lacked,
                rtt: None,
            });
        }
    }
}

/// How far one is by the coordinates; those that are not sure of themselves say of nobody that he is near.
fn predicted(here: &Coord, there: &Coord) -> Duration {
    let apart = here.apart(there);
    match here.error.max(there.error) < SURE {
        true => apart,
        false => apart.max(UNSURE),
    }
}

impl Shared {
    /// Looks for peers until there are `enough`, or no others.
    pub(super) async fn search(&self, search: &mut Search, enough: usize) {
        let mut round = search.first();
        for n in 0..ROUNDS {
            if search.found.len() >= enough {
                return;
            }
            let Some(new) = self.ask(search, round, n > 0).await else {
                return;
            };
            match search.after(round, new) {
                Some(next) => round = next,
                None => return,
            }
        }
    }

    /// Looks for others near, whatever they hold.
    pub(super) async fn search_again(&self, search: &mut Search) {
        self.ask(search, Round::Any, true).await;
    }

    /// One lookup: how many others it has found. `None`: none is to be had now.
    async fn ask(&self, search: &mut Search, round: Round, to_root: bool) -> Option<usize> {
        if !self.may_look_up().await {
            return None;
        }
        let request = search.request(round, to_root);
        let of_lacked = matches!(request.wanted, Wanted::Chunks(_));
        let before = search.found.len();
        if let Ok(answer) = self.directory.lookup(request).await {
            for peer in answer.matches {
                search.take(peer, of_lacked);
            }
        }
        let new = &mut search.found[before..];
        let host = |hit: &Hit| {
            hit.peer
                .addrs
                .iter()
                .next()
                .map_or(Ipv4Addr::UNSPECIFIED.into(), |a| a.ip())
        };
        let hosts: Vec<IpAddr> = new.iter().map(host).collect();
        let measured = self.directory.measured(hosts).await;
        for (hit, rtt) in new.iter_mut().zip(measured) {
            hit.rtt = rtt;
        }
        Some(new.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(port: u16, matched: u32) -> Match {
        Match {
            addrs: SocketAddr::from(([10, 0, 0, 1], port)).into(),
            coord: Coord::default(),
            matched,
            load: 0,
            reachable: true,
        }
    }

    fn search() -> Search {
        let asker = SocketAddr::from(([10, 0, 0, 2], 1)).into();
        Search::new([1; 20], asker, Some(ChunkSet::full(100)), 100)
    }

    #[test]
    fn who_holds_most_is_asked_for_only_if_the_nearest_do_not_hold_all() {
        let mut s = search();
        let first = s.first();
        assert!(first == Round::Nearest);
        for port in 1..=8 {
            s.take(hit(port, 10), true);
        }
        assert!(s.after(first, 8) == Some(Round::Fullest));
        assert_eq!(s.request(Round::Fullest, true).ranking, Ranking::Overlap);
        s.take(hit(9, 100), true);
        assert!(
            s.after(first, 8) == Some(Round::Any),
            "a seed is among them"
        );
        let mut few = search();
        few.take(hit(1, 10), true);
        assert!(
            few.after(first, 1) == Some(Round::Any),
            "nobody else has anything"
        );
    }

    #[test]
    fn a_peer_that_is_found_twice_counts_once_as_it_was_found_first() {
        let mut s = search();
        s.take(hit(1, 10), true);
        s.take(hit(1, 50), false);
        assert_eq!(s.found().map(|m| m.matched).collect::<Vec<_>>(), [10]);
    }
}
