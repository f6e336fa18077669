//! Clients of other kinds: slots that are earned, and slots that go round.

use std::collections::BTreeMap;

use super::*;

/// A downloader that has the first of 40 chunks.
fn getter(config: ClientConfig) -> One {
    let mut one = One::new(config);
    one.object(ChunkSet::from_indices(40, [0]), 40);
    one
}

fn stranger(one: &mut One) -> NeighbourId {
    let peer = one.join(50.0, 0, None);
    one.client.handle_stranger(peer, true, one.now);
    one.client.handle_interested(peer, true, one.now);
    peer
}

fn strangers(one: &mut One, count: usize) -> Vec<NeighbourId> {
    (0..count).map(|_| stranger(one)).collect()
}

/// Half a second in which each of these sends us so many bytes.
fn half_a_second(one: &mut One, senders: &[(NeighbourId, u64)]) {
    one.advance(0.5);
    for (peer, bytes) in senders {
        one.client.handle_received(*peer, *bytes, one.now);
    }
}

#[test]
fn while_we_download_strangers_have_four_slots_and_clients_of_this_kind_all_they_want() {
    let mut one = getter(ClientConfig::default());
    let kin: Vec<NeighbourId> = (0..10).map(|_| one.join(10.0, 0, None)).collect();
    for peer in &kin {
        one.client.handle_interested(*peer, true, one.now);
    }
    let strange = strangers(&mut one, 4);
    let all: BTreeSet<_> = kin.iter().chain(&strange).copied().collect();
    assert_eq!(one.served(), all, "four need no choice");
    strangers(&mut one, 6);
    one.advance(15.0);
    let served = one.served();
    assert!(kin.iter().all(|peer| served.contains(peer)));
    assert_eq!(served.len(), 10 + 4);
}

#[test]
fn with_everything_that_we_want_strangers_are_served_like_others() {
    let mut one = getter(ClientConfig::default());
    strangers(&mut one, 12);
    assert_eq!(one.served().len(), 4);
    for chunk in 1..40 {
        one.client.handle_chunk_done(chunk, one.now);
    }
    assert_eq!(one.served().len(), 12);
}

#[test]
fn one_that_turns_out_to_be_of_this_kind_does_not_wait() {
    let mut one = getter(ClientConfig::default());
    let peers = strangers(&mut one, 12);
    let waits = *peers.iter().find(|p| !one.served().contains(p)).unwrap();
    one.client.handle_stranger(waits, false, one.now);
    assert!(one.served().contains(&waits));
}

#[test]
fn the_three_that_send_most_have_regular_slots_and_the_fourth_goes_round() {
    let mut one = getter(ClientConfig::default());
    let peers = strangers(&mut one, 20);
    let best = [(peers[17], 9000), (peers[18], 8000), (peers[19], 7000)];
    let others: Vec<_> = peers[..17].iter().map(|p| (*p, 100)).collect();
    let all: Vec<_> = best.iter().copied().chain(others).collect();
    for _ in 0..140 {
        half_a_second(&mut one, &all);
    }
    let mut turns: Vec<(NeighbourId, f64)> = Vec::new();
    for _ in 0..2 * 30 * 19 {
        half_a_second(&mut one, &all);
        let mut served = one.served();
        assert!(best.iter().all(|(peer, _)| served.remove(peer)));
        assert_eq!(served.len(), 1);
        let now = *served.first().unwrap();
        match turns.last_mut() {
            Some((peer, time)) if *peer == now => *time += 0.5,
            _ => turns.push((now, 0.5)),
        }
    }
    let ever: BTreeSet<_> = turns.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(ever.len(), 17, "everyone has a turn");
    let whole = &turns[1..turns.len() - 1];
    assert!(whole.iter().all(|(_, time)| (29.0..=35.0).contains(time)));
}

#[test]
fn who_sends_more_takes_a_slot_after_ten_seconds_and_who_stops_sending_loses_its_own() {
    let mut one = getter(ClientConfig::default());
    let peers = strangers(&mut one, 20);
    let mut best = vec![(peers[1], 9000), (peers[2], 8000), (peers[3], 7000)];
    for _ in 0..120 {
        half_a_second(&mut one, &best);
    }
    assert!(best.iter().all(|(peer, _)| one.served().contains(peer)));
    // a better one comes
    best.push((peers[10], 20_000));
    let mut waited = 0.0;
    while !one.served().contains(&peers[10]) {
        half_a_second(&mut one, &best);
        waited += 0.5;
        assert!(waited <= 15.0, "it waits for its slot");
    }
    // one that was served for what it sent sends nothing any more
    best.retain(|(peer, _)| *peer != peers[1]);
    let mut served_for = 0.0;
    for _ in 0..2 * 100 {
        half_a_second(&mut one, &best);
        served_for += if one.served().contains(&peers[1]) {
            0.5
        } else {
            0.0
        };
    }
    assert!(served_for <= 60.0, "a snub is served for {served_for} s");
    let kept = [peers[2], peers[3], peers[10]];
    assert!(kept.iter().all(|peer| one.served().contains(peer)));
}

#[test]
fn without_reciprocity_nobody_waits_long_and_newcomers_a_third_of_it() {
    let mut one = getter(ClientConfig::default());
    let mut peers = strangers(&mut one, 24);
    let mut since: BTreeMap<NeighbourId, Instant> = peers.iter().map(|p| (*p, one.now)).collect();
    let mut longest = Duration::ZERO;
    for half in 0..2400 {
        one.advance(0.5);
        if half == 1200 {
            let new = stranger(&mut one);
            peers.push(new);
            since.insert(new, one.now);
        }
        for peer in one.served() {
            since.insert(peer, one.now);
        }
        let waits = peers.iter().map(|p| one.now - since[p]).max().unwrap();
        longest = longest.max(waits);
        if half == 1200 + 2 * 65 {
            assert!(one.now - since[&peers[24]] < Duration::from_secs(65));
        }
    }
    // 25 share four slots of 30 s each
    assert!(longest <= Duration::from_secs(30 * 7), "{longest:?}");
    assert!(longest >= Duration::from_secs(30 * 4), "{longest:?}");
}

#[test]
fn more_strangers_are_served_as_more_is_sent_to_them_and_fewer_again() {
    let mut one = getter(ClientConfig::default());
    strangers(&mut one, 12);
    let carry = |one: &mut One, rate: u64| {
        for _ in 0..60 {
            one.advance(1.0);
            let peer = *one.served().first().unwrap();
            one.client.handle_sent(peer, rate, one.now);
        }
        one.served().len()
    };
    let slots = carry(&mut one, 9 * (256 << 10));
    assert!((8..=9).contains(&slots), "{slots}");
    assert_eq!(carry(&mut one, 100 << 20), 12, "all");
    assert_eq!(carry(&mut one, 1000), 4, "although nobody waits");
    strangers(&mut one, 8);
    assert_eq!(
        carry(&mut one, 100 << 20),
        16,
        "no more than without a choice"
    );
}

#[test]
fn a_seed_gives_far_and_near_their_turn() {
    let mut one = One::new(ClientConfig {
        max_neighbours: 64,
        max_candidates: 512,
        ..ClientConfig::default()
    });
    one.object(ChunkSet::full(40), 40);
    // ten near ones, thirty far ones, half of all of another kind
    let peers: Vec<NeighbourId> = (0..40)
        .map(|n| {
            let rtt = if n < 10 { 2.0 } else { 150.0 };
            let peer = one.join(rtt, 0, None);
            one.client.handle_stranger(peer, n % 2 == 0, one.now);
            one.client.handle_interested(peer, true, one.now);
            peer
        })
        .collect();
    one.advance(10.0);
    let mut last: BTreeMap<NeighbourId, Instant> = peers.iter().map(|p| (*p, one.now)).collect();
    let mut longest = Duration::ZERO;
    for _ in 0..2 * 1200 {
        one.advance(0.5);
        let served = one.served();
        assert!(served.len() <= 6);
        for peer in &peers {
            if served.contains(peer) {
                last.insert(*peer, one.now);
            }
            longest = longest.max(one.now - last[peer]);
        }
    }
    // of six slots that change hands every ten seconds one turn goes to who waits longest
    assert!(longest <= Duration::from_secs(40 * 10), "{longest:?}");
}

#[test]
fn interest_is_said_when_it_begins_and_ends() {
    let mut one = One::new(ClientConfig::default());
    let wanted = ChunkSet::from_indices(40, [3, 4]);
    one.client.set_object(ChunkSet::empty(40), wanted, one.now);
    let peer = one.join(10.0, 0, None);
    let said = |one: &mut One| {
        one.take(|a| match a {
            Action::Interest { interested, .. } => Some(*interested),
            _ => None,
        })
    };
    one.client.handle_have(peer, 0, one.now);
    assert_eq!(said(&mut one), [false; 0], "it is not wanted");
    one.client.handle_have(peer, 3, one.now);
    one.client.handle_have(peer, 4, one.now);
    assert_eq!(said(&mut one), [true]);
    one.client.handle_chunk_done(3, one.now);
    assert_eq!(said(&mut one), [false; 0]);
    one.client.handle_chunk_done(4, one.now);
    assert_eq!(said(&mut one), [false], "all that is wanted is here");
    one.client.handle_have(peer, 5, one.now);
    one.client.handle_chunks(peer, &ChunkSet::full(40), one.now);
    assert_eq!(said(&mut one), [false; 0]);
    one.client.handle_chunk_failed(4, one.now);
    assert_eq!(said(&mut one), [true]);
}

#[test]
fn a_seed_is_interested_in_nobody() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    for held in [0, 10, 40] {
        one.join(10.0, held, None);
    }
    one.advance(60.0);
    let interest = |a: &Action| matches!(a, Action::Interest { .. });
    assert!(!one.actions().iter().any(interest));
}
