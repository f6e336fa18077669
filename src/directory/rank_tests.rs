//! Guesses from summaries, and the answer beside a naive one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::cache::{Cache, Limits};
use super::rank::search;
use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{
    Entry, Lookup, Match, PeerAddrs, Ranking, Summary, Wanted, summarised_lookup_window,
};

/// Chunks of a large object: fifty to a stretch of its summary.
const LARGE: u32 = 102_400;

fn cache() -> Cache {
    Cache::new(Limits {
        entries_per_object: 64,
        objects: 3,
        bytes: 64 << 20,
        chunks: 1 << 20,
        lifetime: Duration::from_secs(1800),
    })
}

fn addrs(n: u8) -> PeerAddrs {
    PeerAddrs::from(SocketAddr::from(([10, 0, 0, n], 1)))
}

fn number(m: &Match) -> u8 {
    let Some(SocketAddr::V4(addr)) = m.addrs.iter().next() else {
        panic!("an IPv4 peer");
    };
    addr.ip().octets()[3]
}

fn at(ms: u32) -> Coord {
    Coord {
        position: [f64::from(ms) / 1000.0, 0.0, 0.0],
        height: 0.0,
        error: 0.1,
    }
}

/// Peer `n` of a large object: what it told exactly, and the summary of what it holds.
fn entry(n: u8, told: ChunkSet, summary: Option<&ChunkSet>) -> Entry {
    Entry {
        delta_of: None,
        summary: summary.map(|held| Box::new(Summary::of(held))),
        proof: None,
        object: ObjectId(Id([1; 20])),
        publisher: Id([n; 20]),
        sequence: 1,
        addrs: addrs(n),
        coord: at(u32::from(n)),
        chunks: LARGE,
        held: told,
        load: 0,
        reachable: true,
        lifetime: Duration::from_secs(300),
    }
}

fn range(chunks: std::ops::Range<u32>) -> ChunkSet {
    ChunkSet::from_indices(LARGE, chunks)
}

/// Asks for the first window of `wanted`, with a summary of all of it.
fn lookup(wanted: &ChunkSet, p: u8) -> Lookup {
    Lookup {
        summary: Some(Box::new(Summary::of(wanted))),
        trace: false,
        object: ObjectId(Id([1; 20])),
        wanted: Wanted::Chunks(summarised_lookup_window(wanted, 0)),
        p,
        mix: 0,
        ranking: Ranking::Overlap,
        coord: at(0),
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: false,
        hops: 1,
        matches: Vec::new(),
    }
}

fn ask(entries: Vec<Entry>, mut lookup: Lookup) -> (Vec<(u8, u32)>, bool) {
    let (mut cache, mut rng) = (cache(), ChaCha8Rng::seed_from_u64(1));
    for entry in entries {
        cache.store(entry, false, &mut rng, Instant::ZERO);
    }
    let enough = search(&cache, &mut lookup, &mut rng, Instant::ZERO);
    let named = lookup.matches.iter().map(|m| (number(m), m.matched));
    (named.collect(), enough)
}

/// Every other chunk of a stretch: a set without a short form.
fn scattered(chunks: std::ops::Range<u32>) -> ChunkSet {
    ChunkSet::from_indices(LARGE, chunks.step_by(2))
}

#[test]
fn a_peer_whose_windows_were_not_told_is_a_guess_behind_the_certain_ones() {
    let wanted = scattered(0..60_000);
    let held = scattered(50_000..60_000);
    let nothing = ChunkSet::empty_window(0, 4096);
    let entries = vec![
        entry(1, nothing.clone(), Some(&held)),
        entry(2, range(0..100), None),
        entry(3, nothing, Some(&scattered(70_000..80_000))),
    ];
    assert_eq!(ask(entries, lookup(&wanted, 2)).0, [(2, 50), (1, 0)]);
}

#[test]
fn an_exact_miss_does_not_hide_what_the_summary_promises() {
    // The exact window has nothing of the window asked for; elsewhere the peer has what is wanted.
    let wanted = scattered(0..60_000);
    let told = scattered(20_000..30_000).window(16_384, 4096);
    let held = scattered(20_000..30_000);
    let named = ask(vec![entry(1, told, Some(&held))], lookup(&wanted, 1));
    assert_eq!(named, (vec![(1, 0)], false));
}

#[test]
fn a_set_that_is_known_in_full_needs_no_summary() {
    let wanted = scattered(0..60_000);
    let entries = vec![
        entry(1, range(40_000..41_000), None),
        entry(2, range(61_000..62_000), None),
    ];
    assert_eq!(ask(entries, lookup(&wanted, 2)).0, [(1, 0)]);
}

#[test]
fn guesses_alone_do_not_keep_a_lookup_from_the_root_and_half_of_them_do() {
    let wanted = scattered(0..60_000);
    let held = scattered(50_000..60_000);
    let guess = |n| entry(n, ChunkSet::empty_window(0, 4096), Some(&held));
    let certain = |n| entry(n, range(0..100), None);
    let ask = |entries| ask(entries, lookup(&wanted, 4)).1;
    assert!(!ask((1..=8).map(guess).collect()));
    assert!(!ask(vec![certain(1), guess(2), guess(3), guess(4)]));
    assert!(ask(vec![certain(1), certain(2), guess(3), guess(4)]));
    assert!(!ask(vec![certain(1), certain(2), guess(3)]));
}

#[test]
fn guesses_are_taken_only_by_who_asks_with_a_summary() {
    let wanted = scattered(0..60_000);
    let guess = entry(
        1,
        ChunkSet::empty_window(0, 4096),
        Some(&scattered(50_000..60_000)),
    );
    let piggybacked = Match {
        addrs: addrs(9),
        coord: at(0),
        matched: 0,
        load: 0,
        reachable: true,
    };
    let mut with = lookup(&wanted, 4);
    with.matches = vec![piggybacked];
    let without = Lookup {
        summary: None,
        ..with.clone()
    };
    assert_eq!(ask(vec![guess.clone()], without).0, []);
    assert_eq!(ask(vec![guess], with).0, [(9, 0), (1, 0)]);
}

#[test]
fn the_random_share_takes_no_guess_in_the_place_of_a_certain_match() {
    let wanted = scattered(0..60_000);
    let held = scattered(50_000..60_000);
    for seed in 0..50 {
        let (mut cache, mut rng) = (cache(), ChaCha8Rng::seed_from_u64(seed));
        for n in 1..=20 {
            let e = match n {
                ..=5 => entry(n, range(0..100), None),
                _ => entry(n, ChunkSet::empty_window(0, 4096), Some(&held)),
            };
            cache.store(e, false, &mut rng, Instant::ZERO);
        }
        let mut l = lookup(&wanted, 4);
        l.mix = 3;
        search(&cache, &mut l, &mut rng, Instant::ZERO);
        assert!(l.matches.iter().all(|m| m.matched > 0), "{:?}", l.matches);
    }
}

/// What one peer holds and has told, in stretches of 1,024 chunks (of 100): a naive set.
type Told = (BTreeSet<u32>, BTreeSet<u32>, bool);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })] // sets of 100,000 chunks are slow

    #[test]
    fn the_answer_for_a_large_object_is_the_naive_one(
        peers in prop::collection::vec(
            (prop::collection::btree_set(0u32..100, 0..6), prop::collection::btree_set(0u32..25, 0..8), any::<bool>()),
            0..12,
        ),
        wanted in prop::collection::btree_set(0u32..100, 1..8),
        p in 1u8..=8, rotate in 0u32..8, ignored in 0u8..12,
        ranking in prop::sample::select(vec![Ranking::Overlap, Ranking::Closeness]),
    ) {
        let set = |blocks: &BTreeSet<u32>| {
            // every third chunk, so that there is no short form
            ChunkSet::from_indices(LARGE, blocks.iter().flat_map(|b| (b * 1024..(b + 1) * 1024).step_by(3)))
        };
        let wanted = set(&wanted);
        let window = summarised_lookup_window(&wanted, rotate);
        let naive = |(n, (holds, windows, full)): (u8, &Told)| {
            let held = set(holds);
            // told: everything, or windows of 4096 that the node has seen
            let told = |c: &u32| *full || windows.contains(&(c / 4096));
            let known: BTreeSet<u32> = held.iter().filter(told).collect();
            let matched = window.iter().filter(|c| known.contains(c)).count();
            let blocks = |s: &ChunkSet| s.iter().map(|c| c / 50).collect::<BTreeSet<u32>>();
            let guess = blocks(&held).intersection(&blocks(&wanted)).count() > 0;
            (n, known, held, matched, guess)
        };
        let naive: Vec<_> = (0..).zip(&peers).map(naive).collect();
        let (mut cache, mut rng) = (cache(), ChaCha8Rng::seed_from_u64(1));
        for (n, known, held, ..) in &naive {
            let full = peers[usize::from(*n)].2;
            let told = ChunkSet::from_indices(LARGE, known.iter().copied());
            cache.store(entry(*n, told, (!full).then_some(held)), false, &mut rng, Instant::ZERO);
        }
        let mut l = Lookup { ranking, ..lookup(&wanted, p) };
        l.wanted = Wanted::Chunks(window.clone());
        l.ignore = addrs(ignored).iter().collect();
        let enough = search(&cache, &mut l, &mut rng, Instant::ZERO);
        let mut expected: Vec<(bool, usize, u8, usize)> = naive
            .iter()
            .filter(|(n, _, _, matched, guess)| *n != ignored && (*matched > 0 || *guess))
            .map(|(n, _, _, matched, _)| {
                let order = match ranking {
                    Ranking::Overlap => 1_000_000 - matched,
                    _ => usize::from(*n), // the farther, the higher the number
                };
                (*matched == 0, order, *n, *matched)
            })
            .collect();
        expected.sort_unstable();
        let certain = expected.iter().filter(|e| !e.0).count();
        let most = usize::from(p);
        let suffices = certain >= most || expected.len() >= most && 2 * certain >= most;
        expected.truncate(most);
        let named: BTreeMap<usize, (u8, usize)> =
            l.matches.iter().map(|m| (number(m), m.matched as usize)).enumerate().collect();
        let expected: BTreeMap<usize, (u8, usize)> =
            expected.into_iter().map(|(_, _, n, matched)| (n, matched)).enumerate().collect();
        prop_assert_eq!(named, expected);
        prop_assert_eq!(enough, suffices);
    }
}
