//! A web seed (BEP 19): a far neighbour that has everything and makes no peer needless.

use super::*;

/// It holds everything and serves us.
fn web_seed(one: &mut One) -> NeighbourId {
    one.next += 1;
    let id = NeighbourId(u64::from(one.next));
    let info = Connected {
        addr: one.fresh_addr(),
        listen: None,
        outbound: false,
        rtt: Some(millis(0.1)),
        source: Source::WebSeed,
    };
    let verdict = one.client.handle_connected(id, info, one.now);
    assert_eq!(verdict, Verdict::Keep);
    let all = ChunkSet::full(one.client.held().len());
    one.client.handle_chunks(id, &all, one.now);
    one.client.handle_choked(id, false, one.now);
    id
}

fn picked(one: &mut One, peer: NeighbourId) -> BTreeSet<u32> {
    std::iter::from_fn(|| one.client.next_chunk(peer, one.now)).collect()
}

#[test]
fn it_is_far_however_fast_it_answers_and_leaves_to_near_peers_what_they_have() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(10), 10);
    let web = web_seed(&mut one);
    one.client.handle_rtt(web, millis(0.1), one.now);
    let near = one.serving(1.0, &[0, 1, 2, 3]);
    let is_near = |one: &One, id| one.client.neighbours().any(|n| n.id == id && n.near);
    assert!(is_near(&one, near) && !is_near(&one, web));
    assert_eq!(picked(&mut one, web), (4..10).collect());
    assert_eq!(picked(&mut one, near), (0..4).collect());
}

#[test]
fn it_is_asked_also_where_nobody_is_that_the_directory_did_not_name() {
    let mut one = One::new(ClientConfig {
        ask_inbound: false,
        ..ClientConfig::default()
    });
    one.object(ChunkSet::empty(3), 3);
    let web = web_seed(&mut one);
    assert_eq!(picked(&mut one, web).len(), 3);
}

#[test]
fn with_any_number_of_them_peers_are_still_dialled() {
    let mut one = One::new(ClientConfig {
        target_neighbours: 1,
        ..ClientConfig::default()
    });
    one.object(ChunkSet::empty(10), 10);
    (0..3).for_each(|_| {
        web_seed(&mut one);
    });
    one.actions();
    one.client
        .handle_candidates(&[candidate(addr(1), 10.0)], one.now);
    let dialled = |a: &Action| matches!(a, Action::Dial { addr: to, .. } if *to == addr(1));
    assert!(one.actions().iter().any(dialled));
}
