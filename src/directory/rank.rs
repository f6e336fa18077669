//! Which matches a lookup returns (paper 3.2 and 3.3).
//!
//! The pool of a node is what it holds itself and what the lookup piggybacks. The best `p - mix` by the ranking are
//! kept, then `mix` are drawn at random among the rest.
//!
//! Differences from the paper: the random share, without which every peer of a region would ask the same few servers; and
//! guesses. A lookup of a large object names one window of what is wanted, and a node may not have seen the windows of
//! every peer. So a peer whose summary may have something in common with the lookup's is a match too, with no chunk
//! matched: behind every certain one, and at most half of the `p` that suffice to answer before the root.

use rand::{Rng, RngExt};

use crate::time::Instant;
use crate::wire::{Lookup, Match, Ranking, Wanted};

use super::cache::Cache;
use super::pointers::{Place, Pointers, View, distance, place};
use super::score::{Rank, rank};

/// Upper bound of `p` (paper 3.2: "the system enforces an upper bound on p").
pub(crate) const MAX_P: u8 = 8;

/// Merges the local matches into those that `lookup` piggybacks and keeps the best `p`. Whether these suffice to answer
/// before the root.
pub(crate) fn search(cache: &Cache, lookup: &mut Lookup, rng: &mut impl Rng, now: Instant) -> bool {
    lookup.p = lookup.p.clamp(1, MAX_P);
    lookup.mix = lookup.mix.min(lookup.p);
    let pool = Pool {
        local: cache.pointers(&lookup.object),
        here: place(&lookup.coord),
        lookup,
        now,
        useful: true,
    };
    let mut matches = pool.choose(rng);
    let p = usize::from(lookup.p);
    let certain = matches.iter().filter(|m| m.matched > 0).count();
    let enough = certain >= p || matches.len() >= p && 2 * certain >= p;
    // A peer without a chunk serves nobody: it is named only to an asker of anything, and only when nobody has more.
    if matches.is_empty() && lookup.wanted == Wanted::Any {
        matches = Pool {
            useful: false,
            ..pool
        }
        .choose(rng);
    }
    lookup.matches = matches;
    enough && !lookup.to_root
}

/// The candidates of one lookup: what it piggybacks, then the local pointers. Nothing is copied before it is chosen,
/// and nobody's chunks are counted who is too far away to be chosen.
struct Pool<'a> {
    lookup: &'a Lookup,
    local: Option<&'a Pointers>,
    here: Place,
    now: Instant,
    /// Only those who hold, or may hold, something wanted.
    useful: bool,
}

/// One of the pool.
enum Candidate<'a> {
    Carried(&'a Match),
    Local(View<'a>),
}

impl Pool<'_> {
    fn len(&self) -> usize {
        self.lookup.matches.len() + self.local.map_or(0, Pointers::len)
    }

    fn candidate(&self, at: usize) -> Candidate<'_> {
        match (self.lookup.matches.get(at), self.local) {
            (None, Some(local)) => Candidate::Local(local.nth(at - self.lookup.matches.len())),
            (carried, _) => Candidate::Carried(carried.expect("below the length")),
        }
    }

    /// The best, then some of the rest at random.
    fn choose(&self, rng: &mut impl Rng) -> Vec<Match> {
        let p = usize::from(self.lookup.p);
        let mut best = self.best(p - usize::from(self.lookup.mix));
        if self.lookup.mix > 0 {
            let (first, all) = self.add_random(&mut best, p, rng);
            best[if all { 0 } else { first }..].sort_by_key(|c| (c.key, c.at));
        }
        best.into_iter().map(|c| c.record).collect()
    }

    fn best(&self, count: usize) -> Vec<Chosen> {
        let mut best: Vec<Chosen> = Vec::with_capacity(usize::from(MAX_P) + 1);
        if count == 0 {
            return best;
        }
        let closeness = self.lookup.ranking == Ranking::Closeness;
        for at in 0..self.len() {
            let candidate = self.candidate(at);
            let away = candidate.distance(&self.here);
            let worst = best.last().filter(|_| best.len() == count).map(|c| c.key);
            let beaten = |worst: Rank| !worst.0 && u128::from(away) > worst.1;
            if closeness && worst.is_some_and(beaten) {
                continue;
            }
            let Some(matched) = self.matched(&candidate) else {
                continue;
            };
            let key = rank(self.lookup.ranking, away, matched, candidate.load());
            if worst.is_some_and(|worst| key >= worst) {
                continue;
            }
            let record = candidate.record(matched);
            if self.is_excluded(&record) {
                continue;
            }
            // Of two records of one peer the better one counts: at equal distance that with more chunks, which is the
            // newer one, as peers collect chunks.
            if let Some(same) = best
                .iter()
                .position(|c| c.record.addrs.shares(&record.addrs))
            {
                if best[same].key <= key {
                    continue;
                }
                best.remove(same);
            }
            let place = best.partition_point(|c| c.key <= key);
            best.insert(place, Chosen { key, at, record });
            best.truncate(count);
        }
        best
    }

    /// Adds others in random order until there are `p`, guesses only when nobody is certain any more. How many there were
    /// before, and whether the pool had no more.
    fn add_random(&self, chosen: &mut Vec<Chosen>, p: usize, rng: &mut impl Rng) -> (usize, bool) {
        let first = chosen.len();
        let mut rest: Vec<usize> = (0..self.len()).collect();
        rest.retain(|at| chosen.iter().all(|c| c.at != *at));
        let mut guesses = Vec::new();
        while chosen.len() < p {
            let certain = !rest.is_empty();
            if !certain && guesses.is_empty() {
                return (first, true);
            }
            let from = if certain { &mut rest } else { &mut guesses };
            let at = from.swap_remove(rng.random_range(0..from.len()));
            let candidate = self.candidate(at);
            let Some(matched) = self.matched(&candidate) else {
                continue;
            };
            if certain && matched == 0 && self.guesses() {
                guesses.push(at);
                continue;
            }
            let record = candidate.record(matched);
            let known = |c: &Chosen| c.record.addrs.shares(&record.addrs);
            if self.is_excluded(&record) || chosen.iter().any(known) {
                continue;
            }
            let away = candidate.distance(&self.here);
            let key = rank(self.lookup.ranking, away, matched, record.load);
            chosen.push(Chosen { key, at, record });
        }
        (first, rest.is_empty() && guesses.is_empty())
    }

    /// How many wanted chunks it holds, 0 for a guess; `None` for one that is not to be named.
    fn matched(&self, candidate: &Candidate<'_>) -> Option<u32> {
        let matched = match candidate {
            Candidate::Carried(m) => m.matched,
            Candidate::Local(e) if e.is_live(self.now) => e.matched(&self.lookup.wanted),
            Candidate::Local(_) => return None,
        };
        let named = matched > 0 || !self.useful || self.may_match(candidate);
        named.then_some(matched)
    }

    /// Whether peers are named of which only the summary is known to fit.
    fn guesses(&self) -> bool {
        self.lookup.summary.is_some() && matches!(self.lookup.wanted, Wanted::Chunks(_))
    }

    fn may_match(&self, candidate: &Candidate<'_>) -> bool {
        match (candidate, &self.lookup.summary) {
            _ if !self.guesses() => false,
            (Candidate::Local(e), Some(wanted)) => e.may_match(wanted),
            _ => true, // it was a guess at the hop before
        }
    }

    /// The asker itself, and whom it does not want.
    fn is_excluded(&self, m: &Match) -> bool {
        m.addrs.shares(&self.lookup.asker)
            || self.lookup.ignore.iter().any(|a| m.addrs.contains(*a))
    }
}

impl Candidate<'_> {
    /// Predicted round-trip time, microseconds.
    fn distance(&self, here: &Place) -> u64 {
        let steps = match self {
            Candidate::Carried(m) => distance(here, &place(&m.coord)),
            Candidate::Local(e) => e.distance(here),
        };
        #[allow(
            clippy::cast_possible_truncation,
            reason = "not negative, and below a minute"
        )]
        let micros = (f64::from(steps) * 10.0) as u64;
        micros
    }

    fn load(&self) -> u8 {
        match self {
            Candidate::Carried(m) => m.load,
            Candidate::Local(e) => e.load(),
        }
    }

    fn record(&self, matched: u32) -> Match {
        match self {
            Candidate::Carried(m) => Match::clone(m),
            Candidate::Local(e) => e.to_match(matched),
        }
    }
}

/// One that will be named.
struct Chosen {
    key: Rank,
    at: usize,
    record: Match,
}
