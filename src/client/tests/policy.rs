//! What each setting of the policy changes.

use super::*;

fn with(config: ClientConfig, chunks: u32) -> One {
    let mut one = One::new(config);
    one.object(ChunkSet::empty(chunks), chunks);
    one
}

#[test]
fn lookups_ask_for_the_configured_ranking() {
    for ranking in [Ranking::Overlap, Ranking::Closeness, Ranking::Hybrid] {
        let mut one = One::new(ClientConfig {
            ranking,
            ..Default::default()
        });
        assert_eq!(one.lookups()[0].ranking, ranking);
    }
    assert_eq!(
        One::new(ClientConfig::default()).lookups()[0].ranking,
        Ranking::Closeness
    );
}

/// How often each chunk of ten is the first that is fetched from a neighbour with all of them, when another has the
/// first five.
fn first_picks(order: ChunkOrder) -> Vec<u32> {
    let mut times = vec![0; 10];
    for seed in 0..400 {
        let config = ClientConfig {
            order,
            area: AreaRule::Off,
            ..Default::default()
        };
        let mut one = One::new(config.clone());
        one.client = Client::new(config, seed, one.now);
        one.object(ChunkSet::empty(10), 10);
        one.join(10.0, 5, None);
        let a = one.serving(10.0, &(0..10).collect::<Vec<_>>());
        times[one.client.next_chunk(a, one.now).unwrap() as usize] += 1;
    }
    times
}

#[test]
fn chunks_are_fetched_rarest_first_or_in_no_order() {
    for order in [ChunkOrder::RarestFirst, ChunkOrder::LeastServed] {
        let rarest = first_picks(order);
        assert!(rarest[..5].iter().all(|t| *t == 0), "{rarest:?}");
        assert!(rarest[5..].iter().all(|t| *t > 50), "{rarest:?}");
    }
    let random = first_picks(ChunkOrder::Random);
    assert!(random.iter().all(|t| (20..60).contains(t)), "{random:?}");
}

#[test]
fn in_no_order_too_what_was_begun_is_finished_first() {
    let config = ClientConfig {
        order: ChunkOrder::Random,
        ..Default::default()
    };
    let mut one = with(config, 200);
    let a = one.serving(10.0, &(0..200).collect::<Vec<_>>());
    let begun = one.client.next_chunk(a, one.now).unwrap();
    one.client.handle_released(a, begun, one.now);
    assert_eq!(one.client.next_chunk(a, one.now), Some(begun));
    let mut all = BTreeSet::from([begun]);
    while let Some(chunk) = one.client.next_chunk(a, one.now) {
        assert!(all.insert(chunk), "given twice");
    }
    assert_eq!(all.len(), 200);
}

/// All chunks that a neighbour is asked for, in that order.
fn order_of(one: &mut One, peer: NeighbourId) -> Vec<u32> {
    std::iter::from_fn(|| one.client.next_chunk(peer, one.now)).collect()
}

#[test]
fn what_is_wanted_more_is_fetched_first_and_rarest_first_among_equals() {
    for order in [ChunkOrder::RarestFirst, ChunkOrder::Random] {
        let config = ClientConfig {
            order,
            area: AreaRule::Off,
            ..Default::default()
        };
        let mut one = with(config, 300);
        let of = |range| ChunkSet::from_indices(300, range);
        let classes = vec![of(200..300), of(100..200), of(0..100)];
        one.client.set_classes(classes);
        // it has every other chunk of each class, so that these are not the rarest
        one.join(10.0, 0, None);
        let half = one.join(10.0, 0, None);
        let even = ChunkSet::from_indices(300, (0..300).filter(|c| c % 2 == 0));
        one.client.handle_chunks(half, &even, one.now);
        let all = one.serving(10.0, &(0..300).collect::<Vec<_>>());
        let picked = order_of(&mut one, all);
        let class = |at: usize| match at {
            0..100 => 200..300,
            100..200 => 100..200,
            _ => 0..100,
        };
        for (at, chunk) in picked.iter().enumerate() {
            assert!(class(at).contains(chunk), "{chunk} as number {at}");
            let odd = at % 100 < 50;
            if order == ChunkOrder::RarestFirst {
                assert_eq!(chunk % 2 == 1, odd, "{chunk} as number {at}");
            }
        }
        assert_eq!(picked.len(), 300);
    }
}

#[test]
fn a_neighbour_without_what_is_wanted_most_is_asked_for_what_it_has() {
    let mut one = with(ClientConfig::default(), 20);
    let of = |range| ChunkSet::from_indices(20, range);
    one.client.set_classes(vec![of(10..20), of(0..10)]);
    let peer = one.serving(10.0, &[1, 2, 3]);
    assert_eq!(order_of(&mut one, peer).len(), 3);
}

#[test]
fn what_is_no_longer_wanted_is_not_fetched_and_a_complete_client_may_want_more() {
    let mut one = with(ClientConfig::default(), 20);
    let of = |range| ChunkSet::from_indices(20, range);
    let peer = one.serving(10.0, &(0..20).collect::<Vec<_>>());
    let begun = one.client.next_chunk(peer, one.now).unwrap();
    one.client.set_wanted(of(0..5), one.now);
    let rest = order_of(&mut one, peer);
    assert!(rest.iter().all(|c| (0..5).contains(c)), "{rest:?}");
    for chunk in 0..5 {
        one.client.handle_chunk_done(chunk, one.now);
    }
    assert!(one.client.is_complete());
    one.client.set_wanted(of(0..20), one.now);
    assert!(!one.client.is_complete());
    let rest = order_of(&mut one, peer);
    let expected: BTreeSet<u32> = (5..20).collect();
    let got: BTreeSet<u32> = rest.into_iter().collect();
    assert!(got == expected || got.len() + 1 == expected.len() && begun >= 5);
}

/// A near neighbour with chunks 0 to 9 that serves us, and a far one with 0 to 10; what the far one is asked for.
fn from_far(area: AreaRule, busy: bool) -> BTreeSet<u32> {
    let config = ClientConfig {
        area,
        ..Default::default()
    };
    let mut one = with(config, 20);
    let near = one.serving(2.0, &(0..10).collect::<Vec<_>>());
    let far = one.serving(300.0, &(0..11).collect::<Vec<_>>());
    if busy {
        let chunk = one.client.next_chunk(near, one.now).unwrap();
        one.client.handle_refused(near, chunk, one.now);
    }
    std::iter::from_fn(|| one.client.next_chunk(far, one.now)).collect()
}

#[test]
fn the_area_rule_leaves_to_near_ones_what_they_have() {
    let only_its_own = BTreeSet::from([10]);
    let everything: BTreeSet<u32> = (0..11).collect();
    assert_eq!(from_far(AreaRule::Off, false), everything);
    assert_eq!(from_far(AreaRule::Always, false), only_its_own);
    assert_eq!(from_far(AreaRule::UnlessSaturated, false), only_its_own);
    // the near one is too busy to serve us
    assert_eq!(from_far(AreaRule::Off, true), everything);
    assert_eq!(from_far(AreaRule::Always, true), only_its_own);
    assert_eq!(from_far(AreaRule::UnlessSaturated, true), only_its_own);
}

#[test]
fn near_ones_that_only_say_they_fetch_are_not_waited_for_forever() {
    let mut one = with(ClientConfig::default(), 20);
    let near = one.serving(2.0, &[]);
    let far = one.serving(300.0, &(0..20).collect::<Vec<_>>());
    let all = ChunkSet::full(20);
    one.client.handle_fetching(near, &all, one.now);
    assert_eq!(one.client.next_chunk(far, one.now), None);
    let began = one.now;
    while one.client.next_chunk(far, one.now).is_none() {
        one.actions();
        let due = one.client.poll_timeout().expect("a review");
        assert!(due - began < Duration::from_secs(60), "never");
        one.now = one.now.max(due);
        one.client.handle_timeout(one.now);
    }
}

#[test]
fn only_the_patient_rule_rests_when_near_ones_are_slow() {
    let rests = |area| {
        let config = ClientConfig {
            area,
            ..Default::default()
        };
        let mut one = with(config, 1000);
        let near = one.serving(2.0, &(0..1000).collect::<Vec<_>>());
        let far = one.serving(300.0, &(0..1000).collect::<Vec<_>>());
        for _ in 0..30 {
            one.advance(1.0);
            one.client.handle_received(near, 100, one.now);
        }
        one.client.next_chunk(far, one.now).is_some()
    };
    assert!(rests(AreaRule::UnlessSaturated) && rests(AreaRule::Off));
    assert!(!rests(AreaRule::Always));
}

#[test]
fn a_loaded_far_neighbour_is_asked_after_an_idle_one() {
    let config = ClientConfig {
        parallel: 1,
        max_servers: 1,
        area: AreaRule::Off,
        ..Default::default()
    };
    for (first, second, expected) in [(200, 0, 1), (0, 200, 0)] {
        let mut one = with(config.clone(), 20);
        let peers = [one.join(300.0, 20, None), one.join(300.0, 20, None)];
        one.client.handle_load(peers[0], first, one.now);
        one.client.handle_load(peers[1], second, one.now);
        // both begin to serve us while the only place is taken
        let busy = one.serving(100.0, &(0..20).collect::<Vec<_>>());
        for peer in peers {
            one.client.handle_choked(peer, false, one.now);
        }
        assert_eq!(one.servers(), [busy]);
        one.client.handle_disconnected(busy, one.now);
        assert_eq!(one.servers(), [peers[expected]]);
    }
    let mut one = with(config, 20);
    one.client.handle_load(NeighbourId(999), 1, one.now);
    assert_eq!(one.client.counters().unknown_neighbour, 1);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for config in [ClientConfig::default(), ClientConfig::paper()] {
        assert_eq!(config.validate(), Ok(()));
    }
    let wrong = |config: ClientConfig| config.validate().unwrap_err().name;
    let zero = ClientConfig {
        refused_pause: Duration::ZERO,
        ..Default::default()
    };
    assert_eq!(wrong(zero), "refused_pause");
    let crossed = ClientConfig {
        refused_pause: Duration::from_secs(9),
        ..Default::default()
    };
    assert_eq!(wrong(crossed), "max_refused_pause");
}
