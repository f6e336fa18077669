//! Who of those near each other fetches a chunk from far.

use super::*;

const CHUNKS: u32 = 64;

/// A client whose address ends in `last`, one near neighbour that has nothing, at `mate`, and a far one that has all.
fn at(last: u8, mate: u8) -> (One, NeighbourId) {
    let addr = |last: u8| SocketAddr::from(([10, 9, 9, last], 6881));
    let mut one = One::new(ClientConfig::default());
    one.client.set_own_addrs(&[addr(last)]);
    one.object(ChunkSet::empty(CHUNKS), CHUNKS);
    one.join(2.0, 0, Some(addr(mate)));
    let all: Vec<u32> = (0..CHUNKS).collect();
    let far = one.serving(80.0, &all);
    one.actions();
    (one, far)
}

/// What the client fetches from far before it waits for others.
fn at_once(one: &mut One, far: NeighbourId) -> BTreeSet<u32> {
    std::iter::from_fn(|| one.client.next_chunk(far, one.now)).collect()
}

#[test]
fn of_two_near_each_other_each_chunk_is_fetched_from_far_by_one() {
    let ((mut a, far_a), (mut b, far_b)) = (at(1, 2), at(2, 1));
    let (of_a, of_b) = (at_once(&mut a, far_a), at_once(&mut b, far_b));
    assert!(of_a.is_disjoint(&of_b), "{of_a:?} {of_b:?}");
    assert_eq!(of_a.len() + of_b.len(), CHUNKS as usize);
    assert!(of_a.len() > 16 && of_b.len() > 16, "{}", of_a.len());
}

#[test]
fn what_the_other_does_not_fetch_is_fetched_after_a_while() {
    let (mut one, far) = at(1, 2);
    let ours = at_once(&mut one, far);
    one.actions();
    let began = one.now;
    while one.client.next_chunk(far, one.now).is_none() {
        let due = one.client.poll_timeout().expect("the end of the wait");
        assert!(due > one.now && due - began < Duration::from_secs(1));
        one.now = due;
        one.client.handle_timeout(due);
        one.actions();
    }
    assert!(one.now - began >= Duration::from_millis(200));
    assert!(ours.len() < CHUNKS as usize);
}

#[test]
fn nobody_waits_who_has_nobody_near() {
    let mut one = One::new(ClientConfig::default());
    one.client
        .set_own_addrs(&[SocketAddr::from(([10, 9, 9, 1], 6881))]);
    one.object(ChunkSet::empty(CHUNKS), CHUNKS);
    let all: Vec<u32> = (0..CHUNKS).collect();
    let far = one.serving(80.0, &all);
    assert_eq!(at_once(&mut one, far).len(), CHUNKS as usize);
}

#[test]
fn near_neighbours_are_told_at_once_and_others_once_a_second() {
    let (mut one, far) = at(1, 2);
    let told = |one: &mut One| -> Vec<NeighbourId> {
        let tell = |a: Action| match a {
            Action::Tell { peer } => Some(peer),
            _ => None,
        };
        one.actions().into_iter().filter_map(tell).collect()
    };
    told(&mut one);
    for step in 0..10 {
        one.client.next_chunk(far, one.now).expect("one of ours");
        assert_eq!(
            told(&mut one).len(),
            1,
            "step {step}: who has everything is not told"
        );
        assert_eq!(told(&mut one).len(), 0, "nothing new");
        one.advance(0.1);
    }
}

#[test]
fn who_has_waited_for_one_chunk_still_waits_for_the_next_that_comes() {
    let addr = |last: u8| SocketAddr::from(([10, 9, 9, last], 6881));
    let mut one = One::new(ClientConfig::default());
    one.client.set_own_addrs(&[addr(1)]);
    one.object(ChunkSet::empty(CHUNKS), CHUNKS);
    one.join(2.0, 0, Some(addr(2)));
    let far = one.serving(80.0, &[]);
    let mut fetched = BTreeSet::new();
    for chunk in 0..CHUNKS {
        one.client.handle_have(far, chunk, one.now);
        one.actions();
        fetched.extend(at_once(&mut one, far).into_iter().filter(|c| *c == chunk));
        one.advance(0.05);
    }
    let ours = |c: &u32| {
        let (mut all, far) = at(1, 2);
        at_once(&mut all, far).contains(c)
    };
    assert!(fetched.iter().all(ours), "{fetched:?}");
    assert!(fetched.len() > 16);
}

#[test]
fn what_another_area_is_to_fetch_first_is_asked_of_a_seed_last() {
    let (alone, far) = at(1, 2);
    let without = at_once(&mut { alone }, far);
    let (mut one, seed) = at(1, 2);
    let relay = one.serving(80.0, &[]);
    let first = at_once(&mut one, seed);
    assert!(first.is_subset(&without) && first.len() < without.len());
    let theirs = *without.difference(&first).next().expect("one of them");
    one.client.handle_have(relay, theirs, one.now);
    one.actions();
    assert_eq!(
        one.client.next_chunk(relay, one.now),
        Some(theirs),
        "of those who pass it on it is fetched at once"
    );
    one.advance(3.0);
    let rest = at_once(&mut one, seed);
    assert_eq!(first.len() + 1 + rest.len(), CHUNKS as usize);
}

#[test]
fn what_a_near_neighbour_is_fetching_is_left_to_it_although_it_chokes_us() {
    let (mut one, far) = at(1, 2);
    let mate = one.client.neighbours().find(|n| n.near).expect("one").id;
    one.client.handle_choked(mate, true, one.now);
    let all = ChunkSet::full(CHUNKS);
    one.client.handle_fetching(mate, &all, one.now);
    assert!(at_once(&mut one, far).is_empty());
}
