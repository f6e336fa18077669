//! How often the directory is asked: back-off, and what ends it.

use super::*;

/// A client whose every chunk is held by four neighbours that serve it, so that nothing hurries it.
fn content() -> (One, Vec<NeighbourId>) {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(100), 100);
    let all: Vec<u32> = (0..100).collect();
    let peers = (0..12).map(|_| one.serving(10.0, &all)).collect();
    one.lookups();
    one.client.handle_answer(&[], one.now);
    (one, peers)
}

/// Seconds until the next lookup, with answers of this kind since.
fn pause(one: &mut One) -> f64 {
    let began = one.now;
    assert!(one.lookups().is_empty(), "the last one was answered");
    while one.lookups().is_empty() {
        one.advance(0.25);
        assert!(one.now - began < Duration::from_secs(400), "never again");
    }
    (one.now - began).as_secs_f64()
}

fn fruitless(one: &mut One, times: usize) -> Vec<f64> {
    let pauses = (0..times).map(|_| {
        let pause = pause(one);
        one.client.handle_answer(&[], one.now);
        pause
    });
    pauses.collect()
}

#[test]
fn fruitless_answers_double_the_pause_up_to_five_minutes() {
    let (mut one, _) = content();
    let pauses = fruitless(&mut one, 9);
    assert_eq!(
        pauses,
        [8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0]
    );
}

#[test]
fn an_answer_with_news_ends_the_doubling() {
    let (mut one, _) = content();
    fruitless(&mut one, 5);
    pause(&mut one);
    one.client
        .handle_answer(&[candidate(addr(77), 10.0)], one.now);
    assert!(pause(&mut one) <= 4.0);
    one.client
        .handle_answer(&[candidate(addr(77), 10.0)], one.now);
    assert_eq!(pause(&mut one), 8.0, "it was heard of before");
}

#[test]
fn a_lost_neighbour_with_wanted_chunks_ends_the_doubling() {
    let (mut one, peers) = content();
    fruitless(&mut one, 5);
    one.advance(20.0);
    assert!(one.lookups().is_empty());
    one.client.handle_disconnected(peers[3], one.now);
    assert_eq!(
        one.lookups().len(),
        1,
        "at once, as four seconds have passed"
    );
}

#[test]
fn a_lost_neighbour_without_a_wanted_chunk_does_not() {
    let (mut one, _) = content();
    let useless = one.join(10.0, 0, None);
    fruitless(&mut one, 5);
    one.client.handle_disconnected(useless, one.now);
    assert!(pause(&mut one) > 100.0);
}

#[test]
fn other_chunks_wanted_end_the_doubling() {
    let (mut one, _) = content();
    fruitless(&mut one, 5);
    one.object(ChunkSet::empty(100), 100);
    assert_eq!(one.lookups().len(), 1, "at once");
}

#[test]
fn whoever_is_told_of_a_loaded_object_asks_four_times_as_rarely() {
    let (mut one, _) = content();
    let mut fresh = (100..200).map(|n| candidate(addr(n), 10.0));
    let mut ask = |one: &mut One, loaded| {
        let pause = pause(one);
        let news = [fresh.next().expect("enough of them")];
        match loaded {
            true => one.client.handle_loaded_answer(&news, one.now),
            false => one.client.handle_answer(&news, one.now),
        }
        pause
    };
    ask(&mut one, true);
    let pauses: Vec<f64> = (0..4).map(|_| ask(&mut one, true)).collect();
    assert_eq!(pauses, [8.0, 16.0, 16.0, 16.0]);
    ask(&mut one, false);
    assert!(ask(&mut one, false) <= 4.0, "no longer loaded");
}

#[test]
fn a_loaded_object_and_no_news_double_on() {
    let (mut one, _) = content();
    for expected in [8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0] {
        assert_eq!(pause(&mut one), expected);
        one.client.handle_loaded_answer(&[], one.now);
    }
}

#[test]
fn nobody_starves_for_longer_than_half_a_minute_between_two_lookups() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(100), 100);
    one.lookups();
    one.client.handle_loaded_answer(&[], one.now);
    for _ in 0..10 {
        assert!(pause(&mut one) <= 30.0);
        one.client.handle_loaded_answer(&[], one.now);
    }
}

#[test]
fn who_holds_nothing_asks_for_anyone_and_later_for_chunks() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(40), 40);
    let asked = |one: &mut One| {
        one.actions().into_iter().find_map(|a| match a {
            Action::LookUp(query) => Some(query.wanted),
            _ => None,
        })
    };
    assert_eq!(asked(&mut one), Some(Wanted::Any));
    let now = one.now;
    one.client.handle_answer(&[], now);
    one.client.handle_chunk_done(3, now);
    one.advance(60.0);
    assert!(matches!(asked(&mut one), Some(Wanted::Chunks(_))));
}
