//! One client, its inputs by hand.

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
    // early: changes together, at most every half second
    one.client.handle_chunk_done(0, one.now);
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
    // the very first one was not counted here: every fourth of all goes to the root
    let roots: Vec<usize> = queries
        .iter()
        .enumerate()
        .filter(|(_, r)| **r)
        .map(|(i, _)| i)
        .collect();
    assert!(
        roots.windows(2).all(|w| w[1] - w[0] == 4) && roots.len() >= 2,
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
        parallel: 2,
        max_servers: 2,
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
    let slow = one.serving(1.0, &all);
    let fast = [one.serving(1.0, &all), one.serving(1.0, &all)];
    let spare = one.serving(1.0, &all);
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
    let peers: Vec<NeighbourId> = (0..10).map(|_| one.serving(1.0, &all)).collect();
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
        one.serving(1.0, &all);
    }
    let mut most = 0;
    for _ in 0..120 {
        most = most.max(run(&mut one, 1, &|n| 400_000 / n as u64));
    }
    assert_eq!(most, 5, "tried once in a minute, never beyond");
}

#[test]
fn a_full_table_refuses_and_a_useless_far_neighbour_gives_way() {
    let config = ClientConfig {
        max_neighbours: 3,
        target_neighbours: 3,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    let useless = one.join(200.0, 0, None);
    let useful = one.serving(250.0, &[1]);
    let near = one.join(5.0, 0, None);
    one.advance(11.0);
    assert_eq!(
        one.try_join(190.0, None).1,
        Verdict::Refuse,
        "hardly nearer"
    );
    let (new, verdict) = one.try_join(50.0, None);
    assert_eq!(verdict, Verdict::Keep);
    let actions = one.actions();
    assert!(actions.contains(&Action::Drop {
        peer: useless,
        reason: DropReason::TableFull
    }));
    let ids: Vec<NeighbourId> = one.client.neighbours().map(|n| n.id).collect();
    assert_eq!(ids, [useful, near, new]);
    assert_eq!(
        one.try_join(1.0, None).1,
        Verdict::Refuse,
        "the others are new or of use"
    );
}

#[test]
fn a_second_connection_to_a_peer_is_refused() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let a = one.join(10.0, 0, None);
    let listen = one.listen(a);
    assert_eq!(one.try_join(10.0, Some(listen)).1, Verdict::Refuse);
    assert_eq!(one.client.neighbours().count(), 1);
    // learnt later: the newer one goes
    let (b, verdict) = one.try_inbound(listen.ip());
    assert_eq!(verdict, Verdict::Keep);
    one.advance(11.0);
    one.client.handle_listen_addr(b, listen, one.now);
    assert!(one.actions().contains(&Action::Drop {
        peer: b,
        reason: DropReason::Duplicate
    }));
}

#[test]
fn two_dials_that_cross_leave_the_same_connection_at_both_ends() {
    for (x, y) in [
        ("10.0.0.1:6881", "10.0.0.2:6881"),
        ("10.0.0.9:7000", "10.0.0.2:6881"),
    ] {
        let (x, y): (SocketAddr, SocketAddr) = (x.parse().unwrap(), y.parse().unwrap());
        // connection 0 was dialled by x, connection 1 by y; each end sees its own first
        let survivor = |own: SocketAddr, peer: SocketAddr, mine: u64| {
            let mut one = One::new(ClientConfig::default());
            one.client.set_own_addrs(&[own]);
            let rtt = Some(Duration::from_millis(10));
            let info = |outbound| Connected {
                addr: peer,
                listen: Some(peer),
                outbound,
                rtt,
                source: Source::Directory,
            };
            let _ = one
                .client
                .handle_connected(NeighbourId(mine), info(true), one.now);
            let _ = one
                .client
                .handle_connected(NeighbourId(1 - mine), info(false), one.now);
            let left: Vec<u64> = one.client.neighbours().map(|n| n.id.0).collect();
            assert_eq!(left.len(), 1);
            left[0]
        };
        assert_eq!(survivor(x, y, 0), survivor(y, x, 1));
    }
}

#[test]
fn nobody_takes_a_peer_s_place_by_claiming_its_address() {
    let mut one = One::new(ClientConfig::default());
    let (liar, _) = one.try_inbound("10.9.9.9".parse().unwrap());
    one.client
        .handle_listen_addr(liar, "10.1.1.1:6881".parse().unwrap(), one.now);
    assert_eq!(one.client.neighbours().next().unwrap().listen, None);
    assert_eq!(one.client.counters().bad_listen_addr, 1);
}

#[test]
fn dials_are_nearest_first_few_at_once_and_never_to_ourselves() {
    let mut one = One::new(ClientConfig::default());
    let own: SocketAddr = "10.0.0.1:6881".parse().unwrap();
    one.client.set_own_addrs(&[own]);
    let mut list: Vec<Candidate> = (0..20u8)
        .map(|i| candidate(addr(i + 10), f64::from(20 - i)))
        .collect();
    list.push(candidate(own, 0.1));
    let mut tracker = candidate(addr(200), 0.5);
    tracker.source = Source::Tracker;
    list.insert(0, tracker);
    let mut hidden = candidate(addr(201), 0.2);
    hidden.reachable = false;
    list.insert(0, hidden);
    one.client.handle_candidates(&list, one.now);
    let dials = one.dials();
    assert_eq!(dials.len(), 8);
    assert_eq!(
        dials[..3],
        [addr(29), addr(28), addr(27)],
        "nearest of the directory's first"
    );
    assert!(!dials.contains(&own));
    // a failed dial makes room for the next and is not repeated at once
    one.client.handle_dial_failed(dials[0], one.now);
    let next = one.dials();
    assert_eq!(next.len(), 1);
    assert!(!dials.contains(&next[0]));
    // all fail: the tracker's peer, and only then the one that nobody can reach
    let mut tried = Vec::new();
    let mut open: Vec<SocketAddr> = dials[1..].iter().chain(&next).copied().collect();
    while let Some(addr) = open.pop() {
        one.client.handle_dial_failed(addr, one.now);
        let more = one.dials();
        tried.extend(more.iter().copied());
        open.extend(more);
    }
    assert_eq!(tried[tried.len() - 2..], [addr(200), addr(201)]);
    one.advance(14.0);
    assert_eq!(one.dials(), [], "back-off");
    one.advance(1.5);
    assert_eq!(one.dials().len(), 8);
}

#[test]
fn tables_stay_bounded_under_ten_thousand_hostile_candidates() {
    let mut one = One::new(ClientConfig::default());
    let good = candidate(addr(1), 1.0);
    one.client
        .handle_candidates(std::slice::from_ref(&good), one.now);
    for i in 0..10_000u32 {
        let [_, a, b, c] = i.to_be_bytes();
        let mut bad = candidate(SocketAddr::from(([11, a, b, c], 1 + u16::from(c))), 100.0);
        bad.source = Source::Pex;
        bad.addrs.extend([SocketAddr::from(([12, a, b, c], 9)); 9]);
        one.client.handle_candidates(&[bad], one.now);
    }
    assert!(one.client.candidates.len() <= 512);
    assert!(one.client.candidates.half_open() <= 8);
    let junk = ["0.0.0.0:1", "224.0.0.1:5", "10.0.0.1:0", "[::]:4"];
    let before = one.client.candidates.len();
    for text in junk {
        one.client
            .handle_candidates(&[candidate(text.parse().unwrap(), 0.1)], one.now);
    }
    one.client.handle_candidates(
        &[Candidate {
            addrs: Vec::new(),
            ..candidate(addr(3), 1.0)
        }],
        one.now,
    );
    assert_eq!(one.client.candidates.len(), before);
    for i in 0..1000u16 {
        let [a, b] = i.to_be_bytes();
        let (id, _) = one.try_inbound(std::net::IpAddr::from([13, 1, a, b]));
        one.client.handle_ban(id, one.now);
    }
    assert!(one.client.candidates.banned_len() <= 256);
    one.actions();
}

#[test]
fn a_banned_peer_is_dropped_and_never_comes_back() {
    let mut one = One::new(ClientConfig::default());
    let a = one.join(10.0, 0, None);
    let listen = one.listen(a);
    one.client.handle_ban(a, one.now);
    assert!(one.actions().contains(&Action::Drop {
        peer: a,
        reason: DropReason::Banned
    }));
    assert_eq!(one.try_join(10.0, Some(listen)).1, Verdict::Refuse);
    assert_eq!(
        one.try_inbound(listen.ip()).1,
        Verdict::Refuse,
        "from another port"
    );
    one.client
        .handle_candidates(&[candidate(listen, 1.0)], one.now);
    assert_eq!(one.dials(), []);
}

#[test]
fn indices_and_sets_that_do_not_fit_are_counted_and_ignored() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let a = one.join(10.0, 0, None);
    one.client.handle_have(a, 40, one.now);
    one.client.handle_have(a, u32::MAX, one.now);
    one.client.handle_chunks(a, &ChunkSet::full(41), one.now);
    one.client
        .handle_chunks(a, &ChunkSet::empty_window(1, 40), one.now);
    one.client.handle_chunk_done(40, one.now);
    one.client.handle_chunk_failed(u32::MAX, one.now);
    one.client.handle_have(NeighbourId(99), 1, one.now);
    one.client.handle_released(a, 7, one.now);
    let counters = one.client.counters();
    assert_eq!((counters.bad_chunk, counters.bad_chunk_set), (4, 2));
    assert_eq!(counters.unknown_neighbour, 1);
    assert_eq!(one.client.neighbours().next().unwrap().held, 0);
}

#[test]
fn what_neighbours_say_before_the_object_is_known_is_kept() {
    let mut one = One::new(ClientConfig::default());
    let (a, b, c) = (
        one.join(1.0, 0, None),
        one.join(1.0, 0, None),
        one.join(1.0, 0, None),
    );
    one.client.handle_chunks(a, &ChunkSet::full(40), one.now);
    one.client.handle_have(b, 5, one.now);
    one.client.handle_have(b, 5000, one.now);
    one.client.handle_chunks(c, &ChunkSet::full(41), one.now);
    one.object(ChunkSet::empty(40), 40);
    let held: Vec<u32> = one.client.neighbours().map(|n| n.held).collect();
    assert_eq!(held, [40, 1, 0]);
    let actions = one.actions();
    for peer in [a, b] {
        assert!(actions.contains(&Action::Interest {
            peer,
            interested: true
        }));
    }
    for peer in [a, b, c] {
        assert!(actions.contains(&Action::Reveal {
            peer,
            what: Reveal::All
        }));
    }
}

#[test]
fn among_sixteen_everyone_is_served_beyond_there_are_slots_that_rotate() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let peers: Vec<NeighbourId> = (0..20)
        .map(|i| one.join(f64::from(i * 10), 0, None))
        .collect();
    for peer in &peers[..16] {
        one.client.handle_interested(*peer, true, one.now);
    }
    assert_eq!(one.served().len(), 16);
    for peer in &peers[16..] {
        one.client.handle_interested(*peer, true, one.now);
    }
    assert_eq!(one.served().len(), 16, "a slot is kept for ten seconds");
    one.advance(10.0);
    let mut ever = BTreeSet::new();
    let mut since: std::collections::BTreeMap<NeighbourId, Instant> = Default::default();
    for _ in 0..600 {
        one.advance(0.5);
        let served = one.served();
        assert!(served.len() <= 6, "{served:?}");
        for peer in &peers {
            match (served.contains(peer), since.get(peer)) {
                (true, None) => {
                    since.insert(*peer, one.now);
                }
                (false, Some(from)) => {
                    assert!(
                        one.now - *from >= Duration::from_secs(9),
                        "lost its slot too early"
                    );
                    since.remove(peer);
                }
                _ => {}
            }
        }
        ever.extend(served);
    }
    assert_eq!(ever.len(), 20, "rotation serves everyone");
}

#[test]
fn who_sends_us_most_keeps_its_slot() {
    let config = ClientConfig {
        unlimited_up_to: 0,
        slots: 3,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::from_indices(40, [0]), 40);
    let peers: Vec<NeighbourId> = (0..8).map(|_| one.join(10.0, 0, None)).collect();
    for peer in &peers {
        one.client.handle_interested(*peer, true, one.now);
    }
    let mut served = 0;
    for _ in 0..240 {
        one.advance(0.5);
        one.client.handle_received(peers[5], 10_000, one.now);
        served += u32::from(one.served().contains(&peers[5]));
    }
    assert!(served > 180, "served in {served} of 240 samples");
}

#[test]
fn interest_that_comes_and_goes_does_not_cost_the_slot() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let a = one.join(10.0, 0, None);
    one.client.handle_interested(a, true, one.now);
    assert!(one.actions().contains(&Action::Serve {
        peer: a,
        serve: true
    }));
    one.client.handle_interested(a, false, one.now);
    one.client.handle_interested(a, true, one.now);
    assert_eq!(one.actions(), []);
}

#[test]
fn a_single_downloader_is_shown_everything_at_once() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let a = one.join(10.0, 0, None);
    assert!(one.actions().contains(&Action::Reveal {
        peer: a,
        what: Reveal::All
    }));
}

#[test]
fn a_lone_seed_shows_each_chunk_to_one_downloader_first() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let first = one.join(10.0, 0, None);
    let (b, c) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    let mut shown = one.reveals();
    assert!(shown.iter().all(|(peer, _)| *peer != first));
    assert_eq!(shown.iter().filter(|(peer, _)| *peer == b).count(), 8);
    assert_eq!(shown.iter().filter(|(peer, _)| *peer == c).count(), 8);
    // one more for each that arrives
    let got = shown.iter().find(|(peer, _)| *peer == b).unwrap().1;
    one.client.handle_have(b, got, one.now);
    let more = one.reveals();
    assert!(matches!(more[..], [(peer, _)] if peer == b), "{more:?}");
    shown.extend(more);
    // until all are out, none is shown twice
    let mut at_b: Vec<u32> = shown
        .iter()
        .filter(|(p, c)| *p == b && *c != got)
        .map(|x| x.1)
        .collect();
    while let Some(chunk) = at_b.pop() {
        one.client.handle_have(b, chunk, one.now);
        let more = one.reveals();
        at_b.extend(more.iter().map(|x| x.1));
        shown.extend(more);
        if shown.len() >= 40 {
            break;
        }
    }
    let different: BTreeSet<u32> = shown.iter().map(|(_, chunk)| *chunk).collect();
    assert_eq!(different.len(), shown.len().min(40));
    // the second phase is gradual: nobody is shown everything
    while let Some(chunk) = at_b.pop() {
        one.client.handle_have(b, chunk, one.now);
    }
    assert!(one.reveals().len() <= 2);
    // left alone: everything
    one.client.handle_disconnected(first, one.now);
    one.client.handle_disconnected(b, one.now);
    assert!(one.actions().contains(&Action::Reveal {
        peer: c,
        what: Reveal::All
    }));
}

#[test]
fn a_downloader_without_progress_is_shown_everything() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let _ = one.join(10.0, 0, None);
    let (b, c) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    for peer in [b, c] {
        one.client.handle_interested(peer, true, one.now);
    }
    one.reveals();
    for _ in 0..19 {
        one.advance(0.5);
        one.client.handle_sent(c, 1000, one.now);
    }
    let all = |actions: &[Action], peer| {
        actions.contains(&Action::Reveal {
            peer,
            what: Reveal::All,
        })
    };
    assert!(!all(&one.actions(), b));
    one.advance(0.5);
    let actions = one.actions();
    assert!(all(&actions, b) && !all(&actions, c), "{actions:?}");
}

#[test]
fn with_another_seed_in_view_everything_is_shown() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let a = one.join(10.0, 0, None);
    one.client.handle_chunks(a, &ChunkSet::full(40), one.now);
    one.actions();
    let (b, c) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    let actions = one.actions();
    for peer in [b, c] {
        assert!(actions.contains(&Action::Reveal {
            peer,
            what: Reveal::All
        }));
    }
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
