//! One client and its peers: table, dials, bans, bad input.

use super::*;

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
        one.try_join(40.0, None).1,
        Verdict::Refuse,
        "the others are new or of use"
    );
    assert_eq!(one.try_join(1.0, None).1, Verdict::Keep, "one of this site");
    assert!(one.actions().contains(&Action::Drop {
        peer: useful,
        reason: DropReason::TableFull
    }));
}

#[test]
fn a_near_newcomer_never_costs_us_a_seed() {
    let config = ClientConfig {
        max_neighbours: 2,
        target_neighbours: 2,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    one.serving(250.0, &(0..40).collect::<Vec<_>>());
    one.serving(5.0, &[1]);
    assert_eq!(one.try_join(1.0, None).1, Verdict::Refuse);
}

#[test]
fn beyond_the_wanted_number_only_much_nearer_peers_are_dialled() {
    let config = ClientConfig {
        max_neighbours: 4,
        target_neighbours: 2,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    one.serving(80.0, &[1]);
    one.serving(90.0, &[2]);
    one.actions();
    let (near, far) = (addr(1), addr(2));
    let now = one.now;
    let found = [candidate(far, 70.0), candidate(near, 10.0)];
    one.client.handle_candidates(&found, now);
    let dials: Vec<Action> = one.actions();
    let dialled = |to| {
        dials
            .iter()
            .any(|a| matches!(a, Action::Dial { addr, .. } if *addr == to))
    };
    assert!(dialled(near) && !dialled(far), "{dials:?}");
}

#[test]
fn peers_of_a_small_site_are_near_and_far_ones_are_not() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let mates = [one.join(2.0, 1, None), one.join(4.0, 1, None)];
    for rtt in [60.0, 80.0, 90.0] {
        one.join(rtt, 1, None);
    }
    let near = one.client.neighbours().filter(|n| n.near).map(|n| n.id);
    assert_eq!(near.collect::<Vec<_>>(), mates);
}

#[test]
fn a_full_table_of_silent_neighbours_does_not_keep_others_out() {
    let config = ClientConfig {
        max_neighbours: 3,
        target_neighbours: 3,
        ..Default::default()
    };
    let idle = config.idle.as_secs_f64();
    let mut one = One::new(config);
    one.object(ChunkSet::full(40), 40);
    let silent = [5.0, 6.0, 7.0].map(|rtt| one.join(rtt, 0, None));
    // one of them takes something
    let now = one.now;
    one.client.handle_sent(silent[0], 1, now);
    one.advance(idle - 1.0);
    assert_eq!(one.try_join(50.0, None).1, Verdict::Refuse, "they are new");
    one.advance(2.0);
    for gone in &silent[1..] {
        assert_eq!(one.try_join(50.0, None).1, Verdict::Keep);
        assert!(one.actions().contains(&Action::Drop {
            peer: *gone,
            reason: DropReason::TableFull
        }));
    }
    assert_eq!(
        one.try_join(50.0, None).1,
        Verdict::Refuse,
        "all of use or new"
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
fn peers_that_other_peers_name_leave_half_of_the_places_to_others() {
    let named = |source: Source, n: u16| {
        let [a, b] = n.to_be_bytes();
        Candidate {
            source,
            apart: None,
            ..candidate(SocketAddr::from(([11, source as u8, a, b], 1)), 0.0)
        }
    };
    let most = ClientConfig::default().max_candidates;
    let mut one = One::new(ClientConfig::default());
    for n in 0..2000 {
        one.client
            .handle_candidates(&[named(Source::Pex, n)], one.now);
    }
    assert_eq!(one.client.candidates.len(), most / 2);
    for n in 0..2000 {
        one.client
            .handle_candidates(&[named(Source::Tracker, n)], one.now);
    }
    assert_eq!(one.client.candidates.len(), most);
    // a near one, introduced by a near neighbour, is better than one that is merely named
    let near = Candidate {
        source: Source::Pex,
        ..candidate(addr(1), 1.0)
    };
    one.client.handle_candidates(&[near], one.now);
    assert!(one.client.candidates.get(addr(1)).is_some());
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
fn a_complete_client_dials_those_who_may_not_know_of_it_and_no_others() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let found = |n: u8, source| Candidate {
        source,
        ..candidate(addr(n), 1.0)
    };
    let list = [
        found(1, Source::Directory),
        found(2, Source::Tracker),
        found(3, Source::Dht),
        found(4, Source::Manual),
        found(5, Source::Pex),
        found(6, Source::Lsd),
    ];
    one.client.handle_candidates(&list, one.now);
    let dialled: BTreeSet<SocketAddr> = one.dials().into_iter().collect();
    assert_eq!(dialled, (2..=6).map(addr).collect());
    one.advance(3600.0);
    let again: BTreeSet<SocketAddr> = one.dials().into_iter().collect();
    assert!(!again.contains(&addr(1)));
}

#[test]
fn a_complete_client_dials_no_peer_again_that_turned_out_complete() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let seed = Candidate {
        source: Source::Tracker,
        ..candidate(addr(1), 1.0)
    };
    one.client.handle_candidates(&[seed], one.now);
    assert_eq!(one.dials(), [addr(1)]);
    let peer = one.join(1.0, 40, Some(addr(1)));
    one.client.handle_disconnected(peer, one.now);
    one.advance(7200.0);
    assert_eq!(one.dials(), []);
}

/// With neighbours at these round-trip times, in milliseconds, and room for no more: a lookup names one at 50 ms and one at
/// 3 ms; the nearer one is dialled, and the neighbour that gives way is returned.
fn gives_way(rtts: [f64; 6]) -> Option<usize> {
    let config = ClientConfig {
        max_neighbours: 6,
        target_neighbours: 6,
        ..ClientConfig::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    let ids = rtts.map(|rtt| one.join(rtt, 1, None));
    one.actions();
    let (there, here) = (one.fresh_addr(), one.fresh_addr());
    let named = [candidate(there, 50.0), candidate(here, 3.0)];
    one.client.handle_answer(&named, one.now);
    let dials = |a: Action| match a {
        Action::Dial { addr, .. } => Some(addr),
        _ => None,
    };
    let dialled: Vec<SocketAddr> = one.actions().into_iter().filter_map(dials).collect();
    assert_eq!(dialled, [here], "the other is no nearer than they are");
    let (_, verdict) = one.try_join(2.5, Some(here));
    assert_eq!(verdict, Verdict::Keep);
    one.actions().into_iter().find_map(|a| match a {
        Action::Drop { peer, reason } => {
            assert_eq!(reason, DropReason::TableFull);
            ids.iter().position(|id| *id == peer)
        }
        _ => None,
    })
}

#[test]
fn a_full_table_makes_room_for_a_peer_of_our_own_site() {
    assert_eq!(gives_way([40.0, 45.0, 300.0, 50.0, 55.0, 200.0]), Some(2));
}

#[test]
fn it_does_also_when_all_neighbours_count_as_near_for_want_of_nearer_ones() {
    assert_eq!(gives_way([40.0, 42.0, 44.0, 60.0, 46.0, 50.0]), Some(3));
}

#[test]
fn with_room_for_fewer_the_farthest_that_nothing_comes_from_go_and_nobody_new_is_taken() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(10), 10);
    let far_server = one.serving(90.0, &(0..10).collect::<Vec<_>>());
    one.client
        .next_chunk(far_server, one.now)
        .expect("it is asked");
    let near = one.join(10.0, 0, None);
    let far = one.join(80.0, 0, None);
    one.client.set_max_neighbours(2, one.now);
    let left: Vec<NeighbourId> = one.client.neighbours().map(|n| n.id).collect();
    assert_eq!(left, [far_server, near], "and not {far:?}");
    one.client.set_max_neighbours(0, one.now);
    let left: Vec<NeighbourId> = one.client.neighbours().map(|n| n.id).collect();
    assert_eq!(left, [far_server], "one is the least");
    let (_, verdict) = one.try_join(95.0, None);
    assert_eq!(verdict, Verdict::Refuse);
    one.client.set_max_neighbours(usize::MAX, one.now);
    let (_, verdict) = one.try_join(95.0, None);
    assert_eq!(verdict, Verdict::Keep);
}
