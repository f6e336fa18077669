//! One client that downloads: lookups, publishes, servers, chunks.

use super::*;

#[test]
fn nothing_is_published_twice_and_the_last_chunk_at_once() {
    let mut one = One::new(ClientConfig::default());
    let first = one.actions();
    assert!(
        matches!(&first[..], [Action::Publish { held, complete: false, .. }, Action::LookUp(q)]
            if held.is_empty() && q.wanted == Wanted::Any),
        "{first:?}"
    );
    one.object(ChunkSet::empty(40), 40);
    assert_eq!(
        one.publishes(),
        [0],
        "a downloader with nothing is found, too"
    );
    one.client.handle_chunk_done(0, one.now);
    assert_eq!(one.publishes(), [1], "the first chunk at once");
    // early: changes together, at most every half second
    one.client.handle_chunk_done(1, one.now);
    assert_eq!(one.publishes(), [0u32; 0]);
    one.advance(0.4);
    assert_eq!(one.publishes(), [0u32; 0]);
    one.advance(0.1);
    assert_eq!(one.publishes(), [2]);
    // nothing when nothing changed
    one.advance(29.0);
    assert_eq!(one.publishes(), [0u32; 0]);
    // a change after a long pause goes out at once
    one.client.handle_chunk_done(2, one.now);
    assert_eq!(one.publishes(), [3]);
    one.advance(3.0);
    one.client.handle_chunk_done(3, one.now);
    assert_eq!(one.publishes(), [0u32; 0], "later only every five seconds");
    one.advance(1.9);
    assert_eq!(one.publishes(), [0u32; 0]);
    one.advance(0.1);
    assert_eq!(one.publishes(), [4]);
    for chunk in 4..40 {
        one.client.handle_chunk_done(chunk, one.now);
    }
    let last = one.actions();
    assert!(
        last.iter()
            .any(|a| matches!(a, Action::Publish { complete: true, .. })),
        "the last chunk at once: {last:?}"
    );
    assert!(one.client.is_complete());
    one.advance(1000.0);
    assert_eq!(
        one.actions(),
        [],
        "a complete client looks up no more and has nothing to publish"
    );
}

#[test]
fn lookups_go_out_every_four_seconds_and_fruitless_ones_ever_more_rarely() {
    let mut one = One::new(ClientConfig {
        target_neighbours: 2,
        ..Default::default()
    });
    one.object(ChunkSet::empty(40), 40);
    one.actions();
    // somebody serves us, and the table is half full
    let a = one.join(10.0, 40, None);
    one.client.handle_answer(&[], one.now);
    one.actions();
    one.client.handle_choked(a, false, one.now);
    one.actions();
    let mut queries = Vec::new();
    let mut fruitless = |one: &mut One, fresh: bool| {
        let from = one.now;
        let query = loop {
            let asked: Vec<Query> = one.lookups();
            if let Some(query) = asked.into_iter().next() {
                break query;
            }
            one.advance(0.25);
        };
        queries.push(query.to_root);
        let pause = (one.now - from).as_secs_f64();
        let fresh: Vec<Candidate> = fresh
            .then(|| candidate(one.fresh_addr(), 50.0))
            .into_iter()
            .collect();
        one.client.handle_answer(&fresh, one.now);
        one.actions();
        pause
    };
    let first = fruitless(&mut one, true);
    assert!(first <= 8.0, "{first}");
    let pauses: Vec<f64> = (0..10).map(|_| fruitless(&mut one, false)).collect();
    assert_eq!(
        pauses[..8],
        [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]
    );
    assert_eq!(pauses[8..], [300.0, 300.0], "five minutes at most");
    fruitless(&mut one, true);
    assert_eq!(
        fruitless(&mut one, true),
        4.0,
        "a new peer ends the back-off"
    );
    // the very first one was not counted here: every second of all goes to the root
    let roots: Vec<usize> = queries
        .iter()
        .enumerate()
        .filter(|(_, r)| **r)
        .map(|(i, _)| i)
        .collect();
    assert!(
        roots.windows(2).all(|w| w[1] - w[0] == 2) && roots.len() >= 2,
        "{roots:?}"
    );
}

#[test]
fn one_lookup_at_a_time_with_a_deadline() {
    let mut one = One::new(ClientConfig::default());
    assert_eq!(one.lookups().len(), 1);
    one.advance(9.9);
    assert_eq!(one.lookups().len(), 0, "still waiting for the answer");
    one.advance(1.2);
    assert_eq!(
        one.lookups().len(),
        1,
        "no answer in ten seconds, so asked again a second later"
    );
}

#[test]
fn a_client_without_servers_asks_again_soon_and_then_ever_more_rarely() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    assert_eq!(one.lookups().len(), 1);
    for pause in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        one.client.handle_answer(&[], one.now);
        one.advance(pause - 0.01);
        assert_eq!(one.lookups().len(), 0, "before {pause} s");
        one.advance(0.01);
        assert_eq!(one.lookups().len(), 1, "after {pause} s");
    }
}

#[test]
fn a_client_that_knows_hardly_anybody_does_not_wait_long() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    one.actions();
    one.serving(10.0, &[0]);
    for pause in [0.25, 0.5, 1.0] {
        one.client.handle_answer(&[], one.now);
        one.actions();
        one.advance(pause);
        assert_eq!(one.lookups().len(), 1, "after {pause} s");
    }
    for i in 1..8 {
        one.serving(10.0, &[i]);
    }
    one.client.handle_answer(&[], one.now);
    one.advance(7.0);
    assert_eq!(one.lookups().len(), 0, "eight neighbours will do");
}

#[test]
fn the_table_fills_fast_while_lookups_bring_new_peers() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    one.actions();
    for _ in 0..3 {
        let fresh = candidate(one.fresh_addr(), 50.0);
        one.client.handle_answer(&[fresh], one.now);
        assert_eq!(one.lookups().len(), 0);
        one.advance(1.0);
        assert_eq!(one.lookups().len(), 1);
    }
}

#[test]
fn a_dry_server_leads_to_a_lookup() {
    let mut one = One::new(ClientConfig {
        target_neighbours: 2,
        ..Default::default()
    });
    one.object(ChunkSet::empty(40), 40);
    one.actions();
    let (a, b) = (one.serving(10.0, &[0]), one.serving(10.0, &[1, 2]));
    let fresh = candidate(one.fresh_addr(), 50.0);
    one.client.handle_answer(&[fresh], one.now);
    one.actions();
    assert_eq!(one.client.next_chunk(a, one.now), Some(0));
    assert!(one.client.next_chunk(b, one.now).is_some());
    one.client.handle_chunk_done(0, one.now);
    assert_eq!(one.lookups().len(), 0);
    one.advance(1.0);
    assert_eq!(one.lookups().len(), 1, "in place of after four seconds");
}

#[test]
fn a_stalled_peer_is_ignored_for_a_while_and_others_get_its_chunks() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let slow = one.serving(10.0, &[7]);
    assert_eq!(one.client.next_chunk(slow, one.now), Some(7));
    let other = one.serving(10.0, &[7]);
    assert_eq!(
        one.client.next_chunk(other, one.now),
        None,
        "assigned already"
    );
    one.actions();
    one.client.handle_stalled(slow, one.now);
    let actions = one.actions();
    assert!(actions.contains(&Action::Stop { peer: slow }));
    assert!(
        actions.contains(&Action::Ask { peer: other }),
        "{actions:?}"
    );
    assert_eq!(one.client.next_chunk(slow, one.now), None);
    assert_eq!(one.client.next_chunk(other, one.now), Some(7));
    let listen = one.listen(slow);
    one.client.handle_no_answer(one.now);
    one.advance(10.0);
    let queries = one.lookups();
    assert_eq!(queries[0].ignore[0], listen, "left out of lookups");
    one.client.handle_released(other, 7, one.now);
    one.client.handle_disconnected(other, one.now);
    one.advance(19.0);
    assert_eq!(one.client.next_chunk(slow, one.now), None);
    one.advance(1.0);
    assert!(
        one.actions().contains(&Action::Ask { peer: slow }),
        "after 30 s it may serve again"
    );
    assert_eq!(one.client.next_chunk(slow, one.now), Some(7));
    one.client.handle_stalled(slow, one.now);
    one.advance(59.0);
    assert_eq!(
        one.client.next_chunk(slow, one.now),
        None,
        "the second time twice as long"
    );
    one.advance(1.0);
    assert_eq!(one.client.next_chunk(slow, one.now), Some(7));
}

#[test]
fn the_chunks_of_a_lost_peer_are_picked_again_first() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let a = one.serving(10.0, &[7]);
    assert_eq!(one.client.next_chunk(a, one.now), Some(7));
    let everything: Vec<u32> = (0..40).collect();
    let b = one.serving(10.0, &everything);
    one.actions();
    one.client.handle_disconnected(a, one.now);
    assert!(one.actions().contains(&Action::Ask { peer: b }));
    assert_eq!(one.client.next_chunk(b, one.now), Some(7));
    assert!(one.client.is_fetching(7));
    one.client.handle_chunk_failed(7, one.now);
    assert!(!one.client.is_fetching(7));
    assert!(!one.client.held().contains(7));
}

#[test]
fn the_rarest_chunk_comes_first() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    one.join(10.0, 39, None);
    let a = one.serving(10.0, &(0..40).collect::<Vec<_>>());
    assert_eq!(one.client.next_chunk(a, one.now), Some(39));
}

#[test]
fn a_clearly_nearer_peer_takes_the_place_of_the_farthest_server() {
    let config = ClientConfig {
        parallel: 2,
        max_servers: 2,
        area: AreaRule::Off,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    let all: Vec<u32> = (0..40).collect();
    let (a, b) = (one.serving(100.0, &all), one.serving(80.0, &all));
    one.actions();
    let c = one.serving(95.0, &all);
    assert!(
        one.servers() == [a, b] && one.client.next_chunk(c, one.now).is_none(),
        "not clearly nearer"
    );
    one.actions();
    let d = one.serving(30.0, &all);
    let actions = one.actions();
    assert!(actions.contains(&Action::Stop { peer: a }), "{actions:?}");
    assert!(actions.contains(&Action::Ask { peer: d }), "{actions:?}");
    assert_eq!(one.servers(), [b, d]);
    assert!(one.client.next_chunk(a, one.now).is_none());
}

#[test]
fn on_a_lan_nobody_switches() {
    let config = ClientConfig {
        max_local_servers: 2,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    let all: Vec<u32> = (0..40).collect();
    let (a, b) = (one.serving(1.5, &all), one.serving(0.9, &all));
    for rtt in [0.05, 0.2, 0.6] {
        one.serving(rtt, &all);
    }
    assert_eq!(one.servers(), [a, b]);
    assert!(
        !one.actions()
            .iter()
            .any(|x| matches!(x, Action::Stop { .. }))
    );
}

#[test]
fn what_near_peers_are_fetching_is_left_to_them() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let far = one.serving(150.0, &[3, 4]);
    let near = one.serving(1.0, &[]);
    let fetching = |chunks: &[u32]| ChunkSet::from_indices(40, chunks.iter().copied());
    one.client.handle_fetching(near, &fetching(&[3]), one.now);
    assert_eq!(one.client.next_chunk(far, one.now), Some(4));
    assert_eq!(one.client.next_chunk(far, one.now), None);
    assert_eq!(one.client.fetching(), fetching(&[4]));
    one.actions();
    // it has given up
    one.client.handle_fetching(near, &fetching(&[]), one.now);
    assert!(one.actions().contains(&Action::Ask { peer: far }));
    assert_eq!(one.client.next_chunk(far, one.now), Some(3));
    one.client
        .handle_fetching(near, &ChunkSet::full(41), one.now);
    assert_eq!(one.client.counters().bad_chunk_set, 1);
}

#[test]
fn what_near_peers_offer_is_not_fetched_from_far() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let far = one.serving(150.0, &(0..40).collect::<Vec<_>>());
    let near = one.serving(1.0, &(0..39).collect::<Vec<_>>());
    assert_eq!(
        one.client.next_chunk(far, one.now),
        Some(39),
        "only what nobody near has"
    );
    assert_eq!(one.client.next_chunk(far, one.now), None);
    assert!(one.client.next_chunk(near, one.now).is_some());
    // a near one that refuses us is no reason
    one.client.handle_choked(near, true, one.now);
    assert!(one.client.next_chunk(far, one.now).is_some());
    one.client.handle_choked(near, false, one.now);
    assert_eq!(one.client.next_chunk(far, one.now), None);
    // nor is one that sends next to nothing
    for _ in 0..40 {
        one.advance(0.5);
    }
    assert!(
        one.client.next_chunk(far, one.now).is_some(),
        "the area rule rests"
    );
}

#[test]
fn a_server_much_slower_than_the_others_is_ignored_when_others_wait() {
    let config = ClientConfig {
        parallel: 3,
        max_servers: 3,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(4000), 4000);
    let all: Vec<u32> = (0..4000).collect();
    let slow = one.serving(20.0, &all);
    let fast = [one.serving(20.0, &all), one.serving(20.0, &all)];
    let spare = one.serving(20.0, &all);
    assert!(one.client.next_chunk(slow, one.now).is_some());
    for _ in 0..32 {
        one.advance(0.5);
        one.client.handle_received(slow, 1_000, one.now);
        for peer in fast {
            one.client.handle_received(peer, 100_000, one.now);
        }
    }
    assert_eq!(one.servers(), [fast[0], fast[1], spare]);
    assert!(one.actions().contains(&Action::Stop { peer: slow }));
}

#[test]
fn more_servers_only_while_they_make_the_download_faster() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(4000), 4000);
    let all: Vec<u32> = (0..4000).collect();
    let peers: Vec<NeighbourId> = (0..10).map(|_| one.serving(20.0, &all)).collect();
    assert_eq!(one.servers().len(), 4, "paper: four in parallel");
    let run = |one: &mut One, seconds: usize, rate: &dyn Fn(usize) -> u64| {
        for _ in 0..seconds {
            one.advance(1.0);
            let servers = one.servers();
            for peer in &peers {
                if servers.contains(peer) {
                    one.client
                        .handle_received(*peer, rate(servers.len()), one.now);
                }
            }
        }
        one.servers().len()
    };
    // each server brings its own rate: all eight are used
    assert_eq!(run(&mut one, 120, &|_| 100_000), 8);
    // a fifth that only shares what four had is given up again
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(4000), 4000);
    for _ in 0..10 {
        one.serving(20.0, &all);
    }
    let mut most = 0;
    for _ in 0..120 {
        most = most.max(run(&mut one, 1, &|n| 400_000 / n as u64));
    }
    assert_eq!(most, 5, "tried once in a minute, never beyond");
}

#[test]
fn a_stopped_client_wants_nothing_more() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let a = one.serving(10.0, &[1]);
    one.client.stop(one.now);
    assert_eq!(one.client.poll_timeout(), None);
    assert_eq!(one.client.poll_action(), None);
    assert_eq!(one.client.next_chunk(a, one.now), None);
    one.client
        .handle_candidates(&[candidate(addr(9), 1.0)], one.now);
    one.client.handle_timeout(at(1000.0));
    assert_eq!(one.client.poll_action(), None);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    assert_eq!(ClientConfig::default().validate(), Ok(()));
    let bad = ClientConfig {
        mix: 9,
        ..Default::default()
    };
    assert_eq!(
        bad.validate().unwrap_err().to_string(),
        "client setting `mix` is out of range: at most p"
    );
}

#[test]
fn a_have_says_whether_it_changes_anything() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::from_indices(40, [0]), 40);
    let server = one.serving(10.0, &[1]);
    let other = one.join(10.0, 3, None);
    one.keep();
    assert_eq!(one.client.next_chunk(server, one.now), Some(1));
    one.keep();
    one.kept.clear();
    let due = one.client.poll_timeout();
    for (why, peer, chunk) in [
        ("it is no server", other, 5),
        ("we have that chunk", server, 0),
        ("that was known", server, 1),
        ("it is fetched already", other, 1),
    ] {
        assert!(!one.client.handle_have(peer, chunk, one.now), "{why}");
        assert_eq!(one.client.poll_timeout(), due, "{why}");
        assert_eq!(one.actions(), [], "{why}");
    }
    assert!(
        one.client.handle_have(server, 7, one.now),
        "to be asked for"
    );
    assert_eq!(one.actions(), [Action::Ask { peer: server }]);
}
