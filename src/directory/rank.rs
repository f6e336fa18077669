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

use crate::coords::Coord;
use crate::time::Instant;
use crate::wire::{Entry, Lookup, Match, Ranking, Wanted};

use super::cache::Cache;
use super::score::place;

/// Upper bound of `p` (paper 3.2: "the system enforces an upper bound on p").
pub(crate) const MAX_P: u8 = 8;

/// Merges the local matches into those that `lookup` piggybacks and keeps the best `p`. Whether these suffice to answer
/// before the root.
pub(crate) fn search(cache: &Cache, lookup: &mut Lookup, rng: &mut impl Rng, now: Instant) -> bool {
    lookup.p = lookup.p.clamp(1, MAX_P);
    lookup.mix = lookup.mix.min(lookup.p);
    let piggybacked = std::mem::take(&mut lookup.matches);
    let mut pool: Vec<Match> = Vec::new();
    let excluded = |m: &Match| {
        m.addrs.shares(&lookup.asker) || lookup.ignore.iter().any(|addr| m.addrs.contains(*addr))
    };
    let local = cache
        .entries(&lookup.object, now)
        .filter_map(|e| match_of(e, lookup));
    for m in piggybacked
        .into_iter()
        .chain(local)
        .filter(|m| !excluded(m))
    {
        merge(&mut pool, m);
    }
    // A peer without a chunk serves nobody: it is named only to an asker of anything, and only when nobody has more.
    let useful = pool.iter().filter(|m| m.matched > 0).count();
    let guesses = matches!(lookup.wanted, Wanted::Chunks(_)) && lookup.summary.is_some();
    if !guesses && (lookup.wanted != Wanted::Any || useful > 0) {
        pool.retain(|m| m.matched > 0);
    }
    rank(&mut pool, lookup.ranking, &lookup.coord);
    let p = usize::from(lookup.p);
    let best = p - usize::from(lookup.mix);
    let enough = useful >= p || guesses && pool.len() >= p && 2 * useful >= p;
    if pool.len() > p {
        // A partial Fisher–Yates shuffle: each place behind the best gets a random one of the rest, of the certain ones
        // as long as there are any.
        for i in best..p {
            let end = if i < useful { useful } else { pool.len() };
            let j = rng.random_range(i..end);
            pool.swap(i, j);
        }
        pool.truncate(p);
        rank(&mut pool[best..], lookup.ranking, &lookup.coord);
    }
    lookup.matches = pool;
    enough && !lookup.to_root
}

/// The record of an entry that holds something wanted (or of any, when anything is wanted). One whose exact chunks have
/// nothing of the window, while its summary and the lookup's may have something in common, is a guess: no chunk matched.
fn match_of(entry: &Entry, lookup: &Lookup) -> Option<Match> {
    let (matched, named) = match &lookup.wanted {
        Wanted::Any => (entry.held.count(), true),
        Wanted::Chunks(wanted) => {
            let matched = entry.held.overlap(wanted);
            (matched, matched > 0 || may_match(entry, lookup))
        }
    };
    named.then_some(Match {
        addrs: entry.addrs,
        coord: entry.coord,
        matched,
        load: entry.load,
        reachable: entry.reachable,
    })
}

fn may_match(entry: &Entry, lookup: &Lookup) -> bool {
    let Some(wanted) = &lookup.summary else {
        return false;
    };
    match &entry.summary {
        Some(held) => held.overlaps(wanted),
        None => wanted.may_include(&entry.held),
    }
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
    pool.sort_by_cached_key(|m| place(m, ranking, asker));
}
