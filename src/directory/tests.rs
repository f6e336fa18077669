use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::cache::{Cache, Limits, Stored};
use super::rank::search;
use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Entry, Lookup, Match, PeerAddrs, Ranking, Wanted};

const CHUNKS: u32 = 60;

fn limits() -> Limits {
    Limits {
        entries_per_object: 4,
        objects: 3,
        bytes: 1 << 20,
        chunks: 1000,
        lifetime: Duration::from_secs(1800),
    }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn object(n: u8) -> ObjectId {
    ObjectId(Id([n; 20]))
}

fn addrs(n: u8) -> PeerAddrs {
    PeerAddrs::from(SocketAddr::from(([10, 0, 0, n], 1)))
}

fn at(ms: u32) -> Coord {
    Coord {
        position: [f64::from(ms) / 1000.0, 0.0, 0.0],
        height: 0.0,
        error: 0.1,
    }
}

fn entry(publisher: u8, sequence: u64, held: impl IntoIterator<Item = u32>) -> Entry {
    Entry {
        delta_of: None,
        summary: None,
        proof: None,
        object: object(1),
        publisher: Id([publisher; 20]),
        sequence,
        addrs: addrs(publisher),
        coord: at(0),
        chunks: CHUNKS,
        held: ChunkSet::from_indices(CHUNKS, held),
        load: 0,
        reachable: true,
        lifetime: Duration::from_secs(300),
    }
}

fn second(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn held(cache: &Cache, publisher: u8, now: Instant) -> Option<Vec<u32>> {
    let object = object(1);
    let mut entries = cache.entries(&object, now);
    let entry = entries.find(|e| e.publisher == Id([publisher; 20]))?;
    Some(entry.held.iter().collect())
}

#[test]
fn an_older_sequence_never_replaces_a_newer_one() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    let mut store = |e, now| cache.store(e, false, &mut rng, now);
    assert_eq!(store(entry(1, 5, [1, 2]), second(0)), Stored::First);
    assert_eq!(store(entry(1, 4, [9]), second(1)), Stored::Old);
    assert_eq!(store(entry(1, 5, [1, 2]), second(2)), Stored::Refreshed);
    assert_eq!(store(entry(1, 6, [3]), second(3)), Stored::Changed);
    assert_eq!(held(&cache, 1, second(3)), Some(vec![3]));
}

#[test]
fn the_first_chunks_of_a_peer_are_told_as_soon_as_a_first_entry() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    let mut store = |e| cache.store(e, false, &mut rng, second(0));
    assert_eq!(store(entry(1, 5, [])), Stored::First);
    assert_eq!(store(entry(2, 5, [])), Stored::Changed);
    assert_eq!(store(entry(2, 6, [3])), Stored::First);
    assert_eq!(store(entry(2, 7, [3, 4])), Stored::Changed);
}

#[test]
fn an_entry_ends_with_its_lifetime_and_no_copy_of_it_lives_longer() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    cache.store(entry(1, 5, [1]), false, &mut rng, second(0));
    // The entry goes around: passed on with the time that it has left, and back.
    for now in (10..300).step_by(10) {
        let copy = cache.passed_on(&(object(1), Id([1; 20])), second(now));
        if let Some(copy) = copy {
            let whole = Duration::from_secs(copy.lifetime.as_secs());
            cache.store(
                Entry {
                    lifetime: whole,
                    ..copy
                },
                false,
                &mut rng,
                second(now),
            );
        }
    }
    assert!(held(&cache, 1, second(299)).is_some());
    assert_eq!(held(&cache, 1, second(300)), None);
    cache.expire(second(300));
    assert_eq!(
        (cache.bytes(), cache.objects().count(), cache.next_expiry()),
        (0, 0, None)
    );
    let forever = Entry {
        lifetime: Duration::MAX,
        ..entry(2, 1, [1])
    };
    cache.store(forever, false, &mut rng, second(0));
    cache.expire(second(1800));
    assert!(cache.is_empty(), "nobody is kept longer than the limit");
}

#[test]
fn an_entry_about_to_end_is_not_passed_on_as_a_withdrawal() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    cache.store(entry(1, 5, [1]), false, &mut rng, second(0));
    let key = (object(1), Id([1; 20]));
    assert!(cache.passed_on(&key, second(298)).is_some());
    assert_eq!(cache.passed_on(&key, second(299)), None);
}

#[test]
fn a_withdrawn_entry_is_told_on_and_older_copies_do_not_bring_it_back() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    let key = (object(1), Id([1; 20]));
    cache.store(entry(1, 5, [1]), false, &mut rng, second(0));
    cache.told(&key);
    let withdrawal = Entry {
        lifetime: Duration::ZERO,
        ..entry(1, 6, [])
    };
    assert_eq!(
        cache.store(withdrawal.clone(), false, &mut rng, second(1)),
        Stored::Changed
    );
    assert_eq!(held(&cache, 1, second(1)), None);
    assert!(cache.is_changed(&key));
    assert_eq!(
        cache.passed_on(&key, second(2)).map(|e| e.lifetime),
        Some(Duration::ZERO)
    );
    for late in [5, 6] {
        assert_eq!(
            cache.store(entry(1, late, [1]), false, &mut rng, second(2)),
            Stored::Old
        );
    }
    assert_eq!(
        cache.store(withdrawal, false, &mut rng, second(2)),
        Stored::Old,
        "once is enough"
    );
    assert_eq!(
        cache.store(entry(1, 7, [2]), false, &mut rng, second(3)),
        Stored::Changed
    );
    assert_eq!(held(&cache, 1, second(3)), Some(vec![2]));
}

#[test]
fn windows_of_a_large_object_are_joined_while_the_chunk_counts_agree() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    let all = ChunkSet::from_indices(CHUNKS, [0, 15, 16, 33, 59]);
    let mut store = |window: ChunkSet, sequence, chunks| {
        let e = Entry {
            held: window,
            chunks,
            ..entry(1, sequence, [])
        };
        cache.store(e, false, &mut rng, second(0))
    };
    for start in (0..CHUNKS).step_by(16) {
        store(all.window(start, 16), 1, CHUNKS);
    }
    // The next sequence brings one window: the others stay as they were.
    store(ChunkSet::full(60).window(0, 4), 2, CHUNKS);
    assert_eq!(
        store(ChunkSet::full(60), 3, 50),
        Stored::Malformed,
        "a window outside the object"
    );
    assert_eq!(
        store(ChunkSet::empty(1001), 3, 1001),
        Stored::Malformed,
        "too many chunks"
    );
    assert_eq!(
        held(&cache, 1, second(0)),
        Some(vec![0, 1, 2, 3, 15, 16, 33, 59])
    );
    let mut store = |window: ChunkSet, sequence, chunks| {
        let e = Entry {
            held: window,
            chunks,
            ..entry(1, sequence, [])
        };
        cache.store(e, false, &mut rng, second(0))
    };
    store(ChunkSet::full(50).window(40, 2), 3, 50);
    assert_eq!(
        held(&cache, 1, second(0)),
        Some(vec![40, 41]),
        "another count is another object"
    );
}

#[test]
fn own_entries_are_never_evicted() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    cache.store(entry(1, 1, [1]), true, &mut rng, second(0));
    for n in 2..100 {
        cache.store(entry(n, 1, [1]), false, &mut rng, second(0));
        let e = Entry {
            object: object(n),
            ..entry(n, 1, [1])
        };
        cache.store(e, false, &mut rng, second(0));
    }
    assert_eq!(held(&cache, 1, second(1)), Some(vec![1]));
    assert!(cache.counts().all(|(_, n)| n <= 4));
    assert!(cache.objects().count() <= 3);
    assert!(cache.evicted() > 150);
}

#[test]
fn when_all_that_could_go_is_own_the_newcomer_is_refused() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    for n in 1..=4 {
        cache.store(entry(n, 1, [1]), true, &mut rng, second(0));
    }
    assert_eq!(
        cache.store(entry(9, 1, [1]), false, &mut rng, second(0)),
        Stored::Full
    );
}

#[test]
fn eviction_takes_every_foreign_entry_about_as_often() {
    let mut rng = rng();
    let mut kept = BTreeMap::<u8, u32>::new();
    for _ in 0..600 {
        let mut cache = Cache::new(limits());
        for n in 1..=5 {
            cache.store(entry(n, 1, [1]), false, &mut rng, second(0));
        }
        for e in cache.entries(&object(1), second(1)) {
            *kept.entry(e.publisher.0[0]).or_default() += 1;
        }
    }
    for n in 1..=4 {
        assert!(
            (400..=500).contains(&kept[&n]),
            "{kept:?}: 450 of 600 are expected"
        );
    }
    assert_eq!(kept[&5], 600, "the newcomer is in");
}

proptest! {
    #[test]
    fn the_cache_stays_within_its_bounds_and_its_indexes_agree(
        steps in prop::collection::vec((1u8..6, 1u8..9, 0u64..5, 0u64..40, 0u64..60), 1..200),
    ) {
        let (mut cache, mut rng) = (Cache::new(limits()), rng());
        let mut now = 0;
        for (o, publisher, sequence, lifetime, later) in steps {
            now += later / 10;
            let e = Entry {
                object: object(o),
                lifetime: Duration::from_secs(lifetime),
                ..entry(publisher, sequence, [u32::from(publisher)])
            };
            cache.store(e, publisher == 1 && o < 3, &mut rng, second(now));
            cache.expire(second(now));
            prop_assert!(cache.objects().count() <= 3);
            prop_assert!(cache.counts().all(|(_, n)| n <= 4));
            let keys: Vec<_> = cache.after(Default::default()).collect();
            prop_assert!(cache.changes().all(|key| keys.contains(&key)));
            prop_assert_eq!(cache.is_empty(), cache.bytes() == 0);
            prop_assert_eq!(cache.is_empty(), cache.next_expiry().is_none());
        }
        cache.expire(second(now + 10_000));
        prop_assert!(cache.is_empty() && !cache.has_changes() && cache.bytes() == 0);
    }
}

// -- ranking --

fn lookup(wanted: Wanted, p: u8, ranking: Ranking) -> Lookup {
    Lookup {
        summary: None,
        trace: false,
        object: object(1),
        wanted,
        p,
        mix: 0,
        ranking,
        coord: at(0),
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: false,
        hops: 1,
        matches: Vec::new(),
    }
}

/// Figure 2 of the paper: peers 1 (farthest) to 10 (nearest), and which of the chunks 51 to 60 they hold. Only peers 1,
/// 3 and 4 hold 51 or 52.
fn figure_2() -> Cache {
    let (mut cache, mut rng) = (
        Cache::new(Limits {
            entries_per_object: 16,
            ..limits()
        }),
        rng(),
    );
    let holds: [&[u32]; 10] = [
        &[50, 51, 52, 53],
        &[55, 56],
        &[50, 51, 54],
        &[50, 51, 58],
        &[53],
        &[57, 58],
        &[54, 55],
        &[59],
        &[56, 57],
        &[58, 59],
    ];
    for (n, held) in (1..).zip(holds) {
        let e = Entry {
            coord: at(110 - 10 * u32::from(n)),
            ..entry(n, 1, held.iter().copied())
        };
        cache.store(e, false, &mut rng, second(0));
    }
    cache
}

fn ask(cache: &Cache, mut lookup: Lookup) -> (Vec<PeerAddrs>, bool) {
    let enough = search(cache, &mut lookup, &mut rng(), second(1));
    (lookup.matches.iter().map(|m| m.addrs).collect(), enough)
}

fn chunks(range: std::ops::Range<u32>) -> Wanted {
    Wanted::Chunks(ChunkSet::from_indices(CHUNKS, range))
}

#[test]
fn section_2_1_figure_2_two_chunks_lead_to_far_peers_all_chunks_to_near_ones() {
    let cache = figure_2();
    let few = lookup(chunks(50..52), 3, Ranking::Closeness);
    assert_eq!(ask(&cache, few), (vec![addrs(4), addrs(3), addrs(1)], true));
    let all = lookup(chunks(50..60), 2, Ranking::Closeness);
    assert_eq!(ask(&cache, all), (vec![addrs(10), addrs(9)], true));
}

#[test]
fn ties_of_one_ranking_are_broken_by_the_other() {
    let cache = figure_2();
    // 1 holds four of the wanted chunks, 3 and 4 three each; 4 is nearer
    let overlap = lookup(chunks(50..60), 3, Ranking::Overlap);
    assert_eq!(ask(&cache, overlap).0, [addrs(1), addrs(4), addrs(3)]);
}

#[test]
fn piggybacked_and_local_records_of_one_peer_are_one_match() {
    let cache = figure_2();
    let old = Match {
        addrs: addrs(10),
        coord: at(10),
        matched: 1,
        load: 0,
        reachable: true,
    };
    let fresh = Match {
        matched: 7,
        ..old.clone()
    };
    for (piggybacked, expected) in [(old, 2), (fresh, 7)] {
        let mut l = lookup(chunks(50..60), 8, Ranking::Closeness);
        l.matches = vec![piggybacked];
        search(&cache, &mut l, &mut rng(), second(1));
        let of_10: Vec<u32> = l
            .matches
            .iter()
            .filter(|m| m.addrs == addrs(10))
            .map(|m| m.matched)
            .collect();
        assert_eq!(of_10, [expected]);
    }
}

#[test]
fn the_random_share_varies_and_the_best_stay() {
    let cache = figure_2();
    let mut rng = rng();
    let mut seen = BTreeMap::<PeerAddrs, u32>::new();
    for _ in 0..200 {
        let mut l = lookup(chunks(50..60), 4, Ranking::Closeness);
        l.mix = 2;
        search(&cache, &mut l, &mut rng, second(1));
        assert_eq!(l.matches.len(), 4);
        assert_eq!(
            [l.matches[0].addrs, l.matches[1].addrs],
            [addrs(10), addrs(9)]
        );
        for m in &l.matches[2..] {
            *seen.entry(m.addrs).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 8, "everybody else is drawn now and then");
}

#[test]
fn a_peer_without_a_chunk_is_named_only_when_anything_is_wanted_and_nobody_has_more() {
    let (mut cache, mut rng) = (Cache::new(limits()), rng());
    cache.store(entry(1, 1, []), false, &mut rng, second(0));
    assert_eq!(
        ask(&cache, lookup(Wanted::Any, 1, Ranking::Overlap)),
        (vec![addrs(1)], false)
    );
    assert_eq!(
        ask(&cache, lookup(chunks(0..60), 1, Ranking::Overlap)),
        (vec![], false)
    );
    cache.store(entry(2, 1, [3]), false, &mut rng, second(0));
    assert_eq!(
        ask(&cache, lookup(Wanted::Any, 1, Ranking::Overlap)),
        (vec![addrs(2)], true)
    );
    assert_eq!(
        ask(&cache, lookup(chunks(4..60), 1, Ranking::Overlap)),
        (vec![], false)
    );
}

proptest! {
    #[test]
    fn the_answer_is_the_naive_one(
        peers in prop::collection::vec((prop::collection::btree_set(0u32..CHUNKS, 0..8), 0u32..200), 0..12),
        wanted in prop::collection::btree_set(0u32..CHUNKS, 1..20),
        p in 1u8..=8, closeness: bool, ignored in 0u8..12, asker in 0u8..12,
    ) {
        let (mut cache, mut rng) = (Cache::new(Limits { entries_per_object: 16, ..limits() }), rng());
        for (n, (held, ms)) in (0..).zip(&peers) {
            let e = Entry { coord: at(*ms), ..entry(n, 1, held.iter().copied()) };
            cache.store(e, false, &mut rng, second(0));
        }
        let ranking = if closeness { Ranking::Closeness } else { Ranking::Overlap };
        let set = ChunkSet::from_indices(CHUNKS, wanted.iter().copied());
        let mut l = lookup(Wanted::Chunks(set), p, ranking);
        l.ignore = addrs(ignored).iter().collect();
        l.asker = addrs(asker);
        let mut naive: Vec<(u8, usize, u32)> = (0..)
            .zip(&peers)
            .map(|(n, (held, ms))| (n, held.intersection(&wanted).count(), *ms))
            .filter(|(n, matched, _)| *matched > 0 && *n != ignored && *n != asker)
            .collect();
        naive.sort_by_key(|(n, matched, ms)| match closeness {
            true => (*ms as usize, CHUNKS as usize - matched, *n),
            false => (CHUNKS as usize - matched, *ms as usize, *n),
        });
        let enough = naive.len() >= usize::from(p);
        naive.truncate(usize::from(p));
        let expected: Vec<PeerAddrs> = naive.iter().map(|(n, ..)| addrs(*n)).collect();
        prop_assert_eq!(ask(&cache, l), (expected, enough));
    }
}
