use super::*;
use proptest::prelude::*;

fn contact(id: Id, port: u16) -> Contact {
    Contact {
        id,
        addr: SocketAddr::from(([10, 0, 0, 1], port)),
        coord: Coord::default(),
    }
}

fn overlay(me: Id, others: &[(Id, u16)], side: usize) -> Overlay {
    let mut overlay = Overlay::new(me, side, 2);
    for (port, (id, rtt)) in (1..).zip(others) {
        let rtt = Some(Duration::from_millis(u64::from(*rtt)));
        overlay.verified(contact(*id, port), rtt, false, Instant::ZERO);
    }
    overlay
}

/// Ids that share prefixes often.
fn some_id() -> impl Strategy<Value = Id> {
    (any::<[u8; 20]>(), 0usize..4).prop_map(|(mut bytes, shared)| {
        bytes[..shared].fill(0x88);
        Id(bytes)
    })
}

fn others() -> impl Strategy<Value = Vec<(Id, u16)>> {
    prop::collection::vec((some_id(), 1u16..500), 0..60)
}

proptest! {
    #[test]
    fn the_leaf_set_is_the_naive_one(me in some_id(), others in others(), gone in any::<prop::sample::Index>()) {
        let mut o = overlay(me, &others, 3);
        let mut ids: Vec<Id> = others.iter().map(|(id, _)| *id).filter(|id| *id != me).collect();
        ids.sort();
        ids.dedup();
        let naive = |ids: &[Id]| {
            let mut left = ids.to_vec();
            left.sort_by_key(|id| id.clockwise(&me));
            let mut right = ids.to_vec();
            right.sort_by_key(|id| me.clockwise(id));
            let mut leaves: Vec<Id> = left.into_iter().take(3).chain(right.into_iter().take(3)).collect();
            leaves.sort();
            leaves.dedup();
            leaves
        };
        let mut leaves = o.leaf_ids();
        leaves.sort();
        prop_assert_eq!(&leaves, &naive(&ids));
        if !leaves.is_empty() {
            let gone = leaves[gone.index(leaves.len())];
            o.remove(&gone);
            let known: Vec<Id> = o.peers().map(|p| p.contact.id).collect();
            let mut leaves = o.leaf_ids();
            leaves.sort();
            prop_assert_eq!(leaves, naive(&known));
        }
    }

    #[test]
    fn every_hop_is_strictly_nearer_and_no_hop_means_no_nearer_leaf(
        me in some_id(), key in some_id(), others in others(),
    ) {
        let o = overlay(me, &others, 4);
        match o.next_hop(&key, &[]) {
            Some(hop) => prop_assert!(key.prefers(&hop.contact.id, &me)),
            None => prop_assert!(o.peers().all(|p| !key.prefers(&p.contact.id, &me))),
        }
    }

    #[test]
    fn the_root_among_the_leaves_is_found_in_one_hop(me in some_id(), key in some_id(), others in others()) {
        let o = overlay(me, &others, 4);
        let best = o.leaf_ids().into_iter().chain([me]).reduce(|a, b| if key.prefers(&a, &b) { a } else { b });
        if o.leaves.covers(&key) {
            let hop = o.next_hop(&key, &[]).map_or(me, |p| p.contact.id);
            prop_assert_eq!(Some(hop), best);
        }
    }

    #[test]
    fn slots_keep_the_nearest(me in some_id(), others in others()) {
        let o = overlay(me, &others, 1);
        for (id, _) in &others {
            let slot = o.table.slot(id);
            prop_assert!(slot.len() <= 3);
            let rtts: Vec<_> = slot.iter().map(|id| o.peer(id).map(Peer::measured)).collect();
            prop_assert!(rtts.is_sorted(), "{:?}", rtts);
        }
        // Nobody is kept who is in no table.
        for p in o.peers() {
            let id = &p.contact.id;
            prop_assert!(o.leaves.contains(id) || o.table.contains(id));
        }
        prop_assert_eq!(o.by_addr.len(), o.peers.len());
    }

    #[test]
    fn routes_through_a_whole_ring_end_at_the_root(ids in prop::collection::btree_set(some_id(), 2..40), key in some_id()) {
        let ids: Vec<Id> = ids.into_iter().collect();
        let know_all: Vec<(Id, u16)> = ids.iter().map(|id| (*id, 1)).collect();
        let root = ids.iter().copied().reduce(|a, b| if key.prefers(&a, &b) { a } else { b });
        let mut at = ids[0];
        for _ in 0..ids.len() {
            match overlay(at, &know_all, 2).next_hop(&key, &[]) {
                Some(hop) => at = hop.contact.id,
                None => break,
            }
        }
        prop_assert_eq!(Some(at), root);
    }
}

fn id(first: u8) -> Id {
    let mut id = Id::default();
    id.0[0] = first;
    id
}

#[test]
fn a_suspect_is_routed_around_told_to_nobody_and_dropped_after_its_silence() {
    let (me, near, next) = (id(0x10), id(0x80), id(0x70));
    let mut o = overlay(me, &[(near, 5), (next, 5)], 8);
    let hop = |o: &Overlay| o.next_hop(&id(0x80), &[]).map(|p| p.contact.id);
    assert_eq!(hop(&o), Some(near));
    assert!(o.suspect(&near, Instant::ZERO));
    assert!(
        !o.suspect(&near, Instant::ZERO + Duration::from_secs(9)),
        "no news"
    );
    assert_eq!(hop(&o), Some(next));
    assert_eq!(o.leaf_contacts().len(), 1);
    assert_eq!(
        o.row_contacts(0, &Coord::default(), &Coord::default(), &[], Instant::ZERO)
            .len(),
        1
    );
    let silence = Duration::from_secs(60);
    assert!(
        o.expire(silence, Instant::ZERO + Duration::from_secs(59))
            .is_empty()
    );
    o.verified(contact(near, 1), None, false, Instant::ZERO);
    assert_eq!(hop(&o), Some(near), "an answer clears it");
    o.suspect(&near, Instant::ZERO);
    let gone = o.expire(silence, Instant::ZERO + silence);
    assert_eq!(gone, [contact(near, 1).addr]);
    assert_eq!(o.len(), 1);
}

#[test]
fn an_id_moves_only_when_its_old_address_is_suspect_and_an_address_has_one_id() {
    let (me, other) = (id(0x10), id(0x80));
    let mut o = overlay(me, &[(other, 5)], 8);
    assert_eq!(
        o.verified(contact(other, 2), None, false, Instant::ZERO),
        Kept::Unused
    );
    assert_eq!(o.id_at(contact(other, 2).addr), None);
    o.suspect(&other, Instant::ZERO);
    assert_eq!(
        o.verified(contact(other, 2), None, false, Instant::ZERO),
        Kept::Known
    );
    assert_eq!(
        (
            o.id_at(contact(other, 1).addr),
            o.id_at(contact(other, 2).addr)
        ),
        (None, Some(other))
    );
    let restarted = id(0x90);
    assert_eq!(
        o.verified(contact(restarted, 2), None, false, Instant::ZERO),
        Kept::NewLeaf
    );
    assert_eq!((o.len(), o.peer(&other).is_none()), (1, true));
}

#[test]
fn timeouts_follow_measurements_within_their_bounds() {
    let here = Coord::default();
    let mut peer = Peer::new(contact(id(1), 1), Instant::ZERO);
    assert_eq!(
        peer.timeout(&here),
        Duration::from_secs(3),
        "nothing is known"
    );
    for _ in 0..50 {
        peer.answered(
            contact(id(1), 1),
            Some(Duration::from_millis(200)),
            Instant::ZERO,
        );
    }
    let steady = peer.timeout(&here);
    assert!(
        steady >= Duration::from_millis(200) && steady < Duration::from_millis(260),
        "{steady:?}"
    );
    let sure = Coord {
        position: [0.1, 0.0, 0.0],
        height: 0.0,
        error: 0.1,
    };
    let origin = Coord {
        error: 0.1,
        ..Coord::default()
    };
    // 100 ms x (1.5 + 4 x 0.1) + 50 ms
    assert_eq!(
        predicted_timeout(&origin, &sure),
        Duration::from_millis(240)
    );
}
