//! Being refused at once, and refusing.

use super::*;

/// A client that fetches 40 chunks from one neighbour, which has them all and a directory entry.
fn fetching() -> (One, NeighbourId, u32) {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let all: Vec<u32> = (0..40).collect();
    let a = one.serving(20.0, &all);
    one.actions();
    let chunk = one.client.next_chunk(a, one.now).unwrap();
    (one, a, chunk)
}

/// Has the neighbour refuse the next chunk asked of it.
fn refuse(one: &mut One, peer: NeighbourId) {
    let chunk = one.client.next_chunk(peer, one.now).expect("a server");
    one.client.handle_refused(peer, chunk, one.now);
    one.actions();
}

/// Seconds until the neighbour is a server again.
fn pause(one: &mut One, peer: NeighbourId) -> f64 {
    let began = one.now;
    while !one.servers().contains(&peer) {
        let due = one.client.poll_timeout().expect("the end of the pause");
        assert!(due > one.now, "late");
        assert!(due - began < Duration::from_secs(60), "never again");
        one.advance((due - one.now).as_secs_f64());
    }
    (one.now - began).as_secs_f64()
}

#[test]
fn a_refused_chunk_goes_to_another_at_once() {
    let (mut one, a, chunk) = fetching();
    let b = one.serving(30.0, &[chunk]);
    assert_eq!(one.client.next_chunk(b, one.now), None, "it is a's");
    one.actions();
    one.client.handle_refused(a, chunk, one.now);
    let actions = one.actions();
    assert!(actions.contains(&Action::Stop { peer: a }), "{actions:?}");
    assert!(actions.contains(&Action::Ask { peer: b }), "{actions:?}");
    assert_eq!(one.client.next_chunk(a, one.now), None);
    assert_eq!(one.client.next_chunk(b, one.now), Some(chunk));
}

#[test]
fn the_pause_doubles_with_each_refusal_in_a_row_up_to_eight_seconds() {
    let (mut one, a, chunk) = fetching();
    one.client.handle_released(a, chunk, one.now);
    let pauses: Vec<f64> = (0..5)
        .map(|_| {
            refuse(&mut one, a);
            pause(&mut one, a)
        })
        .collect();
    assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 8.0]);
    let chunk = one.client.next_chunk(a, one.now).unwrap();
    one.client.handle_chunk_done(chunk, one.now);
    refuse(&mut one, a);
    assert_eq!(pause(&mut one, a), 1.0, "it has served us since");
}

#[test]
fn refusals_of_requests_sent_together_are_one() {
    let (mut one, a, first) = fetching();
    let second = one.client.next_chunk(a, one.now).unwrap();
    one.client.handle_refused(a, first, one.now);
    one.advance(0.1);
    one.client.handle_refused(a, second, one.now);
    one.actions();
    assert!(!one.client.is_fetching(second));
    assert!((pause(&mut one, a) - 0.9).abs() < 1e-6);
    refuse(&mut one, a);
    assert_eq!(pause(&mut one, a), 2.0);
}

#[test]
fn a_refusal_of_what_is_assigned_to_nobody_pauses_alike_and_leaves_the_rest_assigned() {
    let (mut one, a, chunk) = fetching();
    assert!(one.client.is_assigned_to(chunk, a));
    one.actions();
    one.client.handle_busy(a, one.now);
    assert!(one.client.is_paused(a));
    assert_eq!(one.actions(), [Action::Stop { peer: a }]);
    assert!(one.client.is_assigned_to(chunk, a), "it may be on the way");
    // the refusal of the chunk itself is part of the same
    one.client.handle_refused(a, chunk, one.now);
    assert!(!one.client.is_assigned_to(chunk, a));
    assert_eq!(pause(&mut one, a), 1.0);
    assert!(!one.client.is_paused(a));
    one.client.handle_busy(a, one.now);
    assert_eq!(pause(&mut one, a), 2.0);
}

#[test]
fn lookups_leave_a_neighbour_out_only_after_three_refusals_in_a_row() {
    let config = ClientConfig {
        ignore_known: false,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::empty(40), 40);
    let all: Vec<u32> = (0..40).collect();
    let a = one.serving(20.0, &all);
    let listen = one.listen(a);
    let mut ignored = Vec::new();
    for _ in 0..4 {
        refuse(&mut one, a);
        pause(&mut one, a);
        one.lookups();
        one.client.handle_answer(&[], one.now);
        let query = loop {
            one.advance(0.25);
            if let Some(query) = one.lookups().pop() {
                break query;
            }
        };
        ignored.push(query.ignore.contains(&listen));
    }
    assert_eq!(ignored, [false, false, true, true]);
}

#[test]
fn what_a_refusing_neighbour_sends_already_stays_with_it() {
    let (mut one, a, first) = fetching();
    let second = one.client.next_chunk(a, one.now).unwrap();
    one.client.handle_refused(a, second, one.now);
    assert!(one.client.is_fetching(first) && !one.client.is_fetching(second));
    one.client.handle_refused(a, second, one.now);
    one.client.handle_refused(NeighbourId(999), first, one.now);
    assert!(one.client.is_fetching(first), "neither was asked for it");
}

/// A seed with two upload places, and four interested neighbours far away.
fn serving(order: ChunkOrder, uploads: usize) -> (One, Vec<NeighbourId>) {
    let mut one = One::new(ClientConfig {
        uploads,
        order,
        superseed: false,
        near_factor: 0,
        ..Default::default()
    });
    one.object(ChunkSet::full(40), 40);
    let peers: Vec<NeighbourId> = (0..4).map(|_| one.try_join(300.0, None).0).collect();
    for peer in &peers {
        one.client.handle_interested(*peer, true, one.now);
    }
    (one, peers)
}

#[test]
fn a_full_server_refuses_until_an_upload_has_ended() {
    let (mut one, peers) = serving(ChunkOrder::RarestFirst, 2);
    assert_eq!(one.client.current_load(), 0);
    for (peer, chunk) in peers.iter().zip(0..2) {
        assert!(one.client.admits(*peer, chunk));
        one.client.handle_upload_started(*peer, chunk, one.now);
        one.client.handle_upload_started(*peer, chunk, one.now);
    }
    assert_eq!(one.client.current_load(), 255);
    assert!(!one.client.admits(peers[2], 2));
    assert!(one.client.admits(peers[0], 0), "another block of the same");
    one.client.handle_upload_ended(peers[0], 0, one.now);
    one.client.handle_upload_ended(peers[0], 0, one.now);
    assert_eq!(one.client.current_load(), 127);
    assert!(one.client.admits(peers[2], 2));
    one.client.handle_upload_started(peers[2], 2, one.now);
    assert!(!one.client.admits(peers[3], 3));
    one.client.handle_disconnected(peers[2], one.now);
    assert!(one.client.admits(peers[3], 3), "it took its upload along");
}

#[test]
fn without_a_limit_everyone_with_a_slot_is_served_what_we_hold() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::from_indices(40, [1]), 40);
    let a = one.join(10.0, 0, None);
    assert!(!one.client.admits(a, 1), "no slot: it wants nothing");
    one.client.handle_interested(a, true, one.now);
    for other in 0..100 {
        one.client.handle_upload_started(a, other, one.now);
    }
    assert!(one.client.admits(a, 1));
    assert!(!one.client.admits(a, 2), "not held");
    assert!(!one.client.admits(NeighbourId(999), 1));
}

#[test]
fn the_last_places_are_for_what_was_sent_least() {
    let (mut one, peers) = serving(ChunkOrder::LeastServed, 4);
    let [a, b, c, d] = peers[..] else { panic!() };
    for _ in 0..3 {
        one.client.handle_chunk_sent(a, 5, one.now);
    }
    assert_eq!(one.client.times_served(5), 3);
    for (peer, chunk) in [(a, 0), (b, 1)] {
        one.client.handle_upload_started(peer, chunk, one.now);
    }
    assert!(one.client.admits(c, 5), "there is room");
    one.client.handle_upload_started(c, 2, one.now);
    assert!(!one.client.admits(d, 5), "sent more often than others");
    assert!(one.client.admits(d, 6));
    one.client.handle_rtt(d, millis(2.0), one.now);
    assert!(one.client.admits(d, 5), "near");
    one.client.handle_upload_started(d, 6, one.now);
    assert!(!one.client.admits(a, 7) && !one.client.admits(d, 7), "full");
}

/// Of four uploads, how many of three far neighbours get one while a near one wants something, and then while not.
fn far_uploads(held: ChunkSet) -> [usize; 2] {
    let config = ClientConfig {
        uploads: 4,
        near_uploads: 2,
        ..ClientConfig::default()
    };
    let mut one = One::new(config);
    one.object(held, 40);
    let far: Vec<NeighbourId> = (0..3).map(|_| one.join(200.0, 0, None)).collect();
    let near = one.join(2.0, 0, None);
    for peer in far.iter().chain([&near]) {
        one.client.handle_interested(*peer, true, one.now);
    }
    one.actions();
    let mut served = 0;
    [true, false].map(|near_wants| {
        one.client.handle_interested(near, near_wants, one.now);
        for (chunk, peer) in (0..).zip(&far) {
            if one.client.admits(*peer, chunk) && served <= chunk as usize {
                one.client.handle_upload_started(*peer, chunk, one.now);
                served += 1;
            }
        }
        assert!(one.client.admits(near, 9));
        served
    })
}

#[test]
fn the_last_uploads_are_for_near_neighbours_while_they_want_something() {
    let some = ChunkSet::from_indices(40, 0..20);
    assert_eq!(far_uploads(some), [2, 3]);
}

#[test]
fn one_that_has_everything_keeps_no_uploads_for_near_neighbours() {
    assert_eq!(far_uploads(ChunkSet::full(40)), [3, 3]);
}
