//! The client of the paper and nothing else (section 4).

use super::*;

fn paper() -> One {
    let mut one = One::new(ClientConfig::paper());
    one.object(ChunkSet::empty(40), 40);
    one
}

/// Answers the outstanding lookup with these peers, and connects to those that are then dialled.
fn answer(one: &mut One, peers: &[(SocketAddr, f64)]) -> Vec<NeighbourId> {
    let list: Vec<Candidate> = peers.iter().map(|(a, rtt)| candidate(*a, *rtt)).collect();
    one.lookups();
    one.client.handle_answer(&list, one.now);
    let dials = one.dials();
    let rtt = |a: &SocketAddr| peers.iter().find(|(b, _)| a == b).map_or(50.0, |p| p.1);
    let join = |a: &SocketAddr| one.try_join(rtt(a), Some(*a)).0;
    dials.iter().map(join).collect()
}

/// The neighbour has these chunks and serves us.
fn serves(one: &mut One, peer: NeighbourId, held: &[u32]) {
    let set = ChunkSet::from_indices(40, held.iter().copied());
    one.client.handle_chunks(peer, &set, one.now);
    one.client.handle_choked(peer, false, one.now);
}

fn next_lookup(one: &mut One) -> f64 {
    next_query(one).1
}

fn next_query(one: &mut One) -> (Query, f64) {
    let began = one.now;
    loop {
        if let Some(query) = one.lookups().pop() {
            return (query, (one.now - began).as_secs_f64());
        }
        one.advance(0.05);
        assert!(one.now - began < Duration::from_secs(100), "never");
    }
}

#[test]
fn it_asks_for_the_four_nearest_and_no_random_ones() {
    let mut one = One::new(ClientConfig::paper());
    for _ in 0..20 {
        let query = one.lookups().pop().unwrap();
        assert_eq!((query.p, query.mix, query.to_root), (4, 0, false));
        assert_eq!(query.ranking, Ranking::Closeness);
        one.client.handle_answer(&[], one.now);
        one.advance(4.0);
    }
}

#[test]
fn it_looks_up_every_four_seconds_whatever_the_answers_bring() {
    let mut one = paper();
    for i in 0..30 {
        one.lookups();
        let news: &[(SocketAddr, f64)] = &[(addr(1 + i / 2), 30.0)];
        answer(&mut one, if i % 3 == 0 { news } else { &[] });
        assert!((next_lookup(&mut one) - 4.0).abs() < 0.06);
    }
}

#[test]
fn it_looks_up_at_once_when_a_server_has_nothing_more() {
    let mut one = paper();
    let [a] = answer(&mut one, &[(addr(1), 30.0)])[..] else {
        panic!()
    };
    serves(&mut one, a, &[0]);
    one.advance(1.0);
    assert_eq!(one.client.next_chunk(a, one.now), Some(0));
    one.client.handle_chunk_done(0, one.now);
    assert_eq!(one.lookups().len(), 1);
    one.client.handle_answer(&[], one.now);
    assert!(next_lookup(&mut one) > 3.9, "once");
}

#[test]
fn it_fetches_from_the_nearest_four_whatever_they_hold() {
    let mut one = paper();
    let all: Vec<u32> = (0..40).collect();
    for first in [0u8, 4] {
        let batch: Vec<(SocketAddr, f64)> = (first..first + 4)
            .map(|i| (addr(i + 1), 100.0 - 10.0 * f64::from(i)))
            .collect();
        for (peer, i) in answer(&mut one, &batch).into_iter().zip(first..) {
            serves(&mut one, peer, if i < 4 { &all } else { &all[..3] });
        }
        next_lookup(&mut one);
    }
    let near: Vec<f64> = one
        .client
        .neighbours()
        .filter(|n| n.server)
        .map(|n| n.rtt.unwrap().as_secs_f64() * 1000.0)
        .collect();
    assert_eq!(near.len(), 4);
    assert!(near.iter().all(|rtt| *rtt < 65.0), "{near:?}");
}

#[test]
fn it_does_not_fetch_from_who_came_by_itself_until_a_lookup_names_it() {
    let mut one = paper();
    let info = Connected {
        addr: addr(9),
        listen: Some(addr(9)),
        outbound: false,
        rtt: Some(millis(5.0)),
        source: Source::Incoming,
    };
    let peer = NeighbourId(77);
    assert_eq!(
        one.client.handle_connected(peer, info, one.now),
        Verdict::Keep
    );
    serves(&mut one, peer, &[1, 2]);
    let interest = |actions: &[Action]| {
        actions.contains(&Action::Interest {
            peer,
            interested: true,
        })
    };
    assert!(!interest(&one.actions()));
    assert_eq!(one.client.next_chunk(peer, one.now), None);
    one.client.handle_interested(peer, true, one.now);
    assert!(
        one.client.neighbours().next().unwrap().served,
        "but serves it"
    );
    assert_eq!(
        answer(&mut one, &[(addr(9), 5.0)]),
        [],
        "it is here already"
    );
    assert!(interest(&one.actions()));
    assert!(one.client.next_chunk(peer, one.now).is_some());
}

#[test]
fn who_came_by_itself_takes_no_place_of_those_that_lookups_name() {
    let mut one = paper();
    for i in 0..100 {
        let ip = IpAddr::from([10, 9, 0, i]);
        assert_eq!(one.try_inbound(ip).1, Verdict::Keep);
    }
    let batch: Vec<_> = (1..5).map(|i| (addr(i), 30.0)).collect();
    assert_eq!(answer(&mut one, &batch).len(), 4);
}

#[test]
fn neighbours_with_nothing_for_us_do_not_end_the_search() {
    let mut one = paper();
    let mut dropped = 0;
    for round in 0..10u8 {
        let batch: Vec<_> = (0..4).map(|i| (addr(1 + 4 * round + i), 30.0)).collect();
        let new = answer(&mut one, &batch);
        assert_eq!(new.len(), 4, "round {round}");
        new.iter().for_each(|peer| serves(&mut one, *peer, &[]));
        dropped += one
            .take(|a| match a {
                Action::Drop { reason, .. } => Some(*reason),
                _ => None,
            })
            .into_iter()
            .filter(|reason| *reason == DropReason::Useless)
            .count();
        assert!(one.client.neighbours().count() <= 8);
        next_lookup(&mut one);
    }
    assert_eq!(dropped, 32);
    // one of the first has got something since, and the directory knows
    let [back] = answer(&mut one, &[(addr(1), 30.0)])[..] else {
        panic!("dialled again at once")
    };
    serves(&mut one, back, &[3]);
    assert_eq!(one.client.next_chunk(back, one.now), Some(3));
}

#[test]
fn who_wants_something_of_ours_is_not_dropped_and_takes_no_place() {
    let mut one = paper();
    one.object(ChunkSet::from_indices(40, [0]), 40);
    let mut all = Vec::new();
    for round in 0..5u8 {
        let batch: Vec<_> = (0..4).map(|i| (addr(1 + 4 * round + i), 30.0)).collect();
        for peer in answer(&mut one, &batch) {
            serves(&mut one, peer, &[]);
            one.client.handle_interested(peer, true, one.now);
            all.push(peer);
        }
        next_lookup(&mut one);
    }
    assert_eq!(all.len(), 20);
    assert_eq!(one.client.neighbours().count(), 20);
}

#[test]
fn who_refuses_is_ignored_by_a_lookup_at_once_and_replaced() {
    let mut one = paper();
    let all: Vec<u32> = (0..40).collect();
    let mut busy = Vec::new();
    for first in [1u8, 5] {
        let batch: Vec<_> = (first..first + 4).map(|i| (addr(i), 30.0)).collect();
        let new = answer(&mut one, &batch);
        new.iter().for_each(|peer| serves(&mut one, *peer, &all));
        busy.extend(new);
        next_lookup(&mut one);
    }
    answer(&mut one, &[]);
    for (refused, peer) in busy.iter().enumerate() {
        assert_eq!(one.servers().len(), 4.min(8 - refused));
        let chunk = one.client.next_chunk(*peer, one.now).expect("a server");
        one.client.handle_refused(*peer, chunk, one.now);
    }
    let (query, waited) = next_query(&mut one);
    assert!(waited < 0.5, "at once");
    let refused: Vec<SocketAddr> = busy.iter().rev().map(|peer| one.listen(*peer)).collect();
    assert_eq!((query.ignore, query.p), (refused, 4));
    let batch: Vec<_> = (9..13).map(|i| (addr(i), 90.0)).collect();
    let new = answer(&mut one, &batch);
    new.iter().for_each(|peer| serves(&mut one, *peer, &all));
    assert_eq!((one.servers(), new.len()), (new.clone(), 4));
    // the list has no room for more: they are named again, and others beside them
    for peer in &new {
        let chunk = one.client.next_chunk(*peer, one.now).expect("a server");
        one.client.handle_refused(*peer, chunk, one.now);
    }
    let (query, _) = next_query(&mut one);
    assert_eq!((query.ignore.len(), query.p), (8, 8));
    // whoever serves again is asked again: it is nearer
    one.advance(1.5);
    assert!(one.servers().iter().all(|peer| busy.contains(peer)));
}

#[test]
fn useful_neighbours_are_kept_and_nobody_more_is_dialled() {
    let mut one = paper();
    for first in [1u8, 5, 9] {
        let batch: Vec<_> = (first..first + 4).map(|i| (addr(i), 30.0)).collect();
        let new = answer(&mut one, &batch);
        assert_eq!(new.len(), if first == 9 { 0 } else { 4 });
        new.iter().for_each(|peer| serves(&mut one, *peer, &[1, 2]));
        next_lookup(&mut one);
    }
    assert_eq!(one.client.neighbours().count(), 8);
}

#[test]
fn it_shows_everything_and_fetches_from_far_what_near_ones_have() {
    let mut one = One::new(ClientConfig::paper());
    one.object(ChunkSet::full(40), 40);
    let (a, b) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    for peer in [a, b] {
        let what = Reveal::All;
        assert!(one.actions().contains(&Action::Reveal { peer, what }) || peer == b);
    }
    let mut one = paper();
    let near = one.serving(2.0, &[1]);
    let far = one.serving(300.0, &[1]);
    assert_eq!(one.servers(), [near, far]);
    assert_eq!(one.client.next_chunk(far, one.now), Some(1));
}
