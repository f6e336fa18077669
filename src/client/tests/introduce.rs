//! Near neighbours are told of each other.

use super::*;

/// A client with a far neighbour and `near` near ones.
fn with(near: usize) -> (One, Vec<NeighbourId>, NeighbourId) {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::empty(8), 8);
    let far = one.join(150.0, 0, None);
    let near = (0..near).map(|_| one.join(2.0, 0, None)).collect();
    (one, near, far)
}

fn introduced(one: &mut One) -> Vec<NeighbourId> {
    let mut told = one.take(|a| match a {
        Action::Introduce { peer } => Some(*peer),
        _ => None,
    });
    told.sort_unstable();
    told
}

#[test]
fn near_neighbours_are_introduced_to_each_other_and_to_nobody_else() {
    let (mut one, near, far) = with(3);
    one.advance(2.0);
    let told: BTreeSet<_> = introduced(&mut one).into_iter().collect();
    assert_eq!(told, near.iter().copied().collect());
    let mut others = vec![one.listen(near[1]), one.listen(near[2])];
    others.sort_unstable();
    let mut named = one.client.introductions(near[0]);
    named.sort_unstable();
    assert_eq!(named, others);
    assert!(one.client.introductions(far).is_empty());
}

#[test]
fn they_are_told_again_only_of_new_ones_and_at_most_once_a_second() {
    let (mut one, near, _) = with(2);
    one.advance(2.0);
    introduced(&mut one);
    one.advance(30.0);
    assert_eq!(introduced(&mut one), []);
    one.client.handle_disconnected(near[0], one.now);
    one.advance(2.0);
    assert_eq!(introduced(&mut one), [], "who is gone is not announced");
    one.join(2.0, 0, None);
    assert_eq!(introduced(&mut one).len(), 2);
    for _ in 0..4 {
        one.join(2.0, 0, None);
    }
    one.advance(0.9);
    assert_eq!(introduced(&mut one), []);
    one.advance(0.2);
    assert_eq!(introduced(&mut one).len(), 6);
}

#[test]
fn whom_a_near_neighbour_names_is_dialled() {
    let (mut one, near, far) = with(1);
    one.dials();
    let stranger = |i: u8| SocketAddr::from(([10, 8, 0, i], 6881));
    one.client
        .handle_introduced(near[0], &[stranger(1)], one.now);
    assert_eq!(one.dials(), [stranger(1)]);
    one.client.handle_introduced(far, &[stranger(2)], one.now);
    assert_eq!(one.dials(), [], "far ones do not know who is near");
    let many: Vec<_> = (10..60).map(stranger).collect();
    one.client.handle_introduced(near[0], &many, one.now);
    one.advance(20.0);
    let dials = one.dials();
    assert!(dials.len() > 4 && dials.iter().all(|d| many[..MAX_INTRODUCED].contains(d)));
}
