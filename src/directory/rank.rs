//! Which matches a lookup returns (paper 3.2 and 3.3).
//!
//! The pool of a node is what it holds itself and what the lookup piggybacks. The best `p - mix` by the ranking are
//! kept, then `mix` are drawn at random among the rest.
//!
//! Differences from the paper: ties of one ranking are broken by the other, so that equal overlaps still prefer the
//! nearer peer; and the random share, without which every peer of a region would ask the same few servers.

use rand::{Rng, RngExt};

use crate::time::Instant;
use crate::wire::{Lookup, Match, Ranking, Wanted};

use super::cache::Cache;
use super::pointers::{Place, Pointers, View, distance, place};

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
    let enough = matches.len() >= usize::from(lookup.p) && !lookup.to_root;
    // A peer without a chunk serves nobody: it is named only to an asker of anything, and only when nobody has more.
    if matches.is_empty() && lookup.wanted == Wanted::Any {
        matches = Pool {
            useful: false,
            ..pool
        }
        .choose(rng);
    }
    lookup.matches = matches;
    enough
}

/// What matches are ordered by, smaller is better; equal ones in the order of the pool.
type Key = (u64, u64);

/// The candidates of one lookup: what it piggybacks, then the local pointers. Nothing is copied before it is chosen,
/// and nobody's chunks are counted who is too far away to be chosen.
struct Pool<'a> {
    lookup: &'a Lookup,
    local: Option<&'a Pointers>,
    here: Place,
    now: Instant,
    /// Only those who hold something wanted.
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
            if closeness && worst.is_some_and(|worst| nearness(away) > worst.0) {
                continue;
            }
            let Some(matched) = self.matched(&candidate) else {
                continue;
            };
            let key = key(self.lookup.ranking, away, candidate.load(), matched);
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

    /// Adds others in random order until there are `p`. How many there were before, and whether the pool had no more.
    fn add_random(&self, chosen: &mut Vec<Chosen>, p: usize, rng: &mut impl Rng) -> (usize, bool) {
        let first = chosen.len();
        let mut rest: Vec<usize> = (0..self.len()).collect();
        rest.retain(|at| chosen.iter().all(|c| c.at != *at));
        while chosen.len() < p {
            if rest.is_empty() {
                return (first, true);
            }
            let at = rest.swap_remove(rng.random_range(0..rest.len()));
            let candidate = self.candidate(at);
            let Some(matched) = self.matched(&candidate) else {
                continue;
            };
            let record = candidate.record(matched);
            let known = |c: &Chosen| c.record.addrs.shares(&record.addrs);
            if self.is_excluded(&record) || chosen.iter().any(known) {
                continue;
            }
            let away = candidate.distance(&self.here);
            let key = key(self.lookup.ranking, away, record.load, matched);
            chosen.push(Chosen { key, at, record });
        }
        (first, rest.is_empty())
    }

    /// How many wanted chunks it holds; `None` for one that is not to be named.
    fn matched(&self, candidate: &Candidate<'_>) -> Option<u32> {
        let matched = match candidate {
            Candidate::Carried(m) => m.matched,
            Candidate::Local(e) if e.is_live(self.now) => e.matched(&self.lookup.wanted),
            Candidate::Local(_) => return None,
        };
        (matched > 0 || !self.useful).then_some(matched)
    }

    /// The asker itself, and whom it does not want.
    fn is_excluded(&self, m: &Match) -> bool {
        m.addrs.shares(&self.lookup.asker)
            || self.lookup.ignore.iter().any(|a| m.addrs.contains(*a))
    }
}

impl Candidate<'_> {
    fn distance(&self, here: &Place) -> f32 {
        match self {
            Candidate::Carried(m) => distance(here, &place(&m.coord)),
            Candidate::Local(e) => e.distance(here),
        }
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
    key: Key,
    at: usize,
    record: Match,
}

/// Distances in their order.
fn nearness(away: f32) -> u64 {
    u64::from(away.to_bits()) // not negative, so that the bits sort as the numbers do
}

fn key(ranking: Ranking, away: f32, load: u8, matched: u32) -> Key {
    let fewest = u64::from(u32::MAX - matched);
    match ranking {
        Ranking::Overlap => (fewest, nearness(away)),
        Ranking::Closeness => (nearness(away), fewest),
        Ranking::Hybrid => {
            // What a chunk costs: time there, stretched by up to twice under full load, shared by what one gets.
            let cost = away * (255.0 + f32::from(load)) / matched.max(1) as f32;
            (nearness(cost), fewest)
        }
    }
}
