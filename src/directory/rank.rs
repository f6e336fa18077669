//! Which matches a lookup returns (paper 3.2 and 3.3).
//!
//! The pool of a node is what it holds itself and what the lookup piggybacks. The best `p - mix` by the ranking are
//! kept, then `mix` are drawn at random among the rest.
//!
//! Differences from the paper: ties of one ranking are broken by the other, so that equal overlaps still prefer the
//! nearer peer; and the random share, without which every peer of a region would ask the same few servers.

use rand::{Rng, RngExt};

use crate::coords::Coord;
use crate::time::Instant;
use crate::wire::{Entry, Lookup, Match, Ranking, Wanted};

use super::cache::Cache;

/// Upper bound of `p` (paper 3.2: "the system enforces an upper bound on p").
pub(crate) const MAX_P: u8 = 8;

/// Merges the local matches into those that `lookup` piggybacks and keeps the best `p`. Whether these suffice to answer
/// before the root.
pub(crate) fn search(cache: &Cache, lookup: &mut Lookup, rng: &mut impl Rng, now: Instant) -> bool {
    lookup.p = lookup.p.clamp(1, MAX_P);
    lookup.mix = lookup.mix.min(lookup.p);
    let mut pool: Vec<Match> = Vec::new();
    let excluded = |m: &Match| {
        m.addrs.shares(&lookup.asker) || lookup.ignore.iter().any(|addr| m.addrs.contains(*addr))
    };
    let local = cache
        .entries(&lookup.object, now)
        .filter_map(|e| match_of(e, &lookup.wanted));
    for m in lookup
        .matches
        .drain(..)
        .chain(local)
        .filter(|m| !excluded(m))
    {
        merge(&mut pool, m);
    }
    // A peer without a chunk serves nobody: it is named only to an asker of anything, and only when nobody has more.
    let useful = pool.iter().filter(|m| m.matched > 0).count();
    if lookup.wanted != Wanted::Any || useful > 0 {
        pool.retain(|m| m.matched > 0);
    }
    rank(&mut pool, lookup.ranking, &lookup.coord);
    let p = usize::from(lookup.p);
    let best = p - usize::from(lookup.mix);
    if pool.len() > p {
        // A partial Fisher–Yates shuffle: each place behind the best gets a random one of the rest.
        for i in best..p {
            let j = rng.random_range(i..pool.len());
            pool.swap(i, j);
        }
        pool.truncate(p);
        rank(&mut pool[best..], lookup.ranking, &lookup.coord);
    }
    lookup.matches = pool;
    useful >= p && !lookup.to_root
}

/// The record of an entry that holds something wanted (or of any, when anything is wanted).
fn match_of(entry: &Entry, wanted: &Wanted) -> Option<Match> {
    let matched = match wanted {
        Wanted::Any => entry.held.count(),
        Wanted::Chunks(wanted) => entry.held.overlap(wanted),
    };
    (matched > 0 || *wanted == Wanted::Any).then_some(Match {
        addrs: entry.addrs,
        coord: entry.coord,
        matched,
        load: entry.load,
        reachable: entry.reachable,
    })
}

/// Adds a match unless the peer is there; the record with more chunks is the newer one, as peers collect chunks.
fn merge(pool: &mut Vec<Match>, m: Match) {
    match pool.iter_mut().find(|known| known.addrs.shares(&m.addrs)) {
        Some(known) if known.matched < m.matched => *known = m,
        Some(_) => {}
        None => pool.push(m),
    }
}

fn rank(pool: &mut [Match], ranking: Ranking, asker: &Coord) {
    pool.sort_by_key(|m| {
        let distance = asker.rtt(&m.coord);
        let fewest = u32::MAX - m.matched;
        match ranking {
            Ranking::Overlap => (u128::from(fewest), distance.as_micros(), m.addrs),
            Ranking::Closeness => (distance.as_micros(), u128::from(fewest), m.addrs),
            Ranking::Hybrid => {
                // What a chunk costs: time there, stretched by up to twice under full load, shared by what one gets.
                let cost = distance.as_micros() * (255 + u128::from(m.load));
                (
                    cost / u128::from(m.matched.max(1)),
                    u128::from(fewest),
                    m.addrs,
                )
            }
        }
    });
}
