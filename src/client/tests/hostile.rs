//! Inputs in any order with any values, and the picker against a naive one: a panic means a bug.

use proptest::prelude::*;

use super::super::picker::{Picker, Wish};
use super::super::table::any_common;
use super::*;

const CHUNKS: u32 = 20;

#[derive(Clone, Debug)]
enum Input {
    Object(bool),
    Connect(u8, bool, Option<u8>, u16),
    Listen(u8, u8),
    Disconnect(u8),
    Chunks(u8, u32, Vec<u32>),
    Have(u8, u32),
    Fetching(u8, Vec<u32>),
    Choked(u8, bool),
    Interested(u8, bool),
    Rtt(u8, u16),
    Received(u8, u64),
    Sent(u8, u64),
    Done(u32),
    Failed(u32),
    Released(u8, u32),
    Stalled(u8),
    Refused(u8, u32),
    Busy(u8),
    Upload(u8, u32, u8),
    Load(u8, u8),
    Ban(u8),
    Next(u8),
    Candidates(Vec<(u8, bool)>, bool),
    DialFailed(u8),
    Wait(u16),
    Timeout,
}

fn input() -> impl Strategy<Value = Input> {
    let peer = || 0u8..8;
    let chunk = || prop_oneof![9 => 0..CHUNKS, 1 => any::<u32>()];
    prop_oneof![
        1 => any::<bool>().prop_map(Input::Object),
        6 => (peer(), any::<bool>(), prop::option::of(0u8..10), 0u16..400)
            .prop_map(|(p, o, l, r)| Input::Connect(p, o, l, r)),
        1 => (peer(), 0u8..10).prop_map(|(p, l)| Input::Listen(p, l)),
        1 => peer().prop_map(Input::Disconnect),
        3 => (peer(), prop_oneof![8 => Just(CHUNKS), 1 => 0u32..30], prop::collection::vec(chunk(), 0..20))
            .prop_map(|(p, n, c)| Input::Chunks(p, n, c)),
        4 => (peer(), chunk()).prop_map(|(p, c)| Input::Have(p, c)),
        2 => (peer(), prop::collection::vec(chunk(), 0..5)).prop_map(|(p, c)| Input::Fetching(p, c)),
        4 => (peer(), prop::bool::weighted(0.2)).prop_map(|(p, b)| Input::Choked(p, b)),
        2 => (peer(), any::<bool>()).prop_map(|(p, b)| Input::Interested(p, b)),
        1 => (peer(), 0u16..400).prop_map(|(p, r)| Input::Rtt(p, r)),
        1 => (peer(), any::<u64>()).prop_map(|(p, b)| Input::Received(p, b)),
        1 => (peer(), any::<u64>()).prop_map(|(p, b)| Input::Sent(p, b)),
        4 => chunk().prop_map(Input::Done),
        2 => chunk().prop_map(Input::Failed),
        2 => (peer(), chunk()).prop_map(|(p, c)| Input::Released(p, c)),
        1 => peer().prop_map(Input::Stalled),
        2 => (peer(), chunk()).prop_map(|(p, c)| Input::Refused(p, c)),
        1 => peer().prop_map(Input::Busy),
        3 => (peer(), chunk(), 0u8..4).prop_map(|(p, c, what)| Input::Upload(p, c, what)),
        1 => (peer(), any::<u8>()).prop_map(|(p, l)| Input::Load(p, l)),
        1 => peer().prop_map(Input::Ban),
        8 => peer().prop_map(Input::Next),
        2 => (prop::collection::vec((0u8..30, any::<bool>()), 0..6), any::<bool>())
            .prop_map(|(c, a)| Input::Candidates(c, a)),
        1 => (0u8..30).prop_map(Input::DialFailed),
        3 => (0u16..20_000).prop_map(Input::Wait),
        2 => Just(Input::Timeout),
    ]
}

fn apply(one: &mut One, input: Input) -> Option<(NeighbourId, u32)> {
    let id = |p: u8| NeighbourId(u64::from(p));
    let now = one.now;
    let client = &mut one.client;
    match input {
        Input::Object(full) => {
            let held = if full {
                ChunkSet::full(CHUNKS)
            } else {
                client.held().clone()
            };
            let held = if held.is_empty() {
                ChunkSet::empty(CHUNKS)
            } else {
                held
            };
            client.set_object(held, ChunkSet::full(CHUNKS), now);
        }
        Input::Connect(p, outbound, listen, rtt) => {
            let info = Connected {
                addr: addr(p),
                listen: listen.map(addr),
                outbound,
                rtt: (rtt > 20).then(|| millis(f64::from(rtt))),
                source: Source::Pex,
            };
            let _ = client.handle_connected(id(p), info, now);
        }
        Input::Listen(p, l) => client.handle_listen_addr(id(p), addr(l), now),
        Input::Disconnect(p) => client.handle_disconnected(id(p), now),
        Input::Chunks(p, n, c) => client.handle_chunks(id(p), &ChunkSet::from_indices(n, c), now),
        Input::Fetching(p, c) => {
            client.handle_fetching(id(p), &ChunkSet::from_indices(CHUNKS, c), now);
        }
        Input::Have(p, c) => {
            client.handle_have(id(p), c, now);
        }
        Input::Choked(p, b) => client.handle_choked(id(p), b, now),
        Input::Interested(p, b) => client.handle_interested(id(p), b, now),
        Input::Rtt(p, r) => client.handle_rtt(id(p), millis(f64::from(r)), now),
        Input::Received(p, b) => client.handle_received(id(p), b, now),
        Input::Sent(p, b) => client.handle_sent(id(p), b, now),
        Input::Done(c) => client.handle_chunk_done(c, now),
        Input::Failed(c) => client.handle_chunk_failed(c, now),
        Input::Released(p, c) => client.handle_released(id(p), c, now),
        Input::Stalled(p) => client.handle_stalled(id(p), now),
        Input::Refused(p, c) => client.handle_refused(id(p), c, now),
        Input::Busy(p) => client.handle_busy(id(p), now),
        Input::Upload(p, c, 0) => client.handle_upload_ended(id(p), c, now),
        Input::Upload(p, c, 1) => client.handle_chunk_sent(id(p), c, now),
        Input::Upload(p, c, _) => {
            if client.admits(id(p), c) {
                client.handle_upload_started(id(p), c, now);
            }
            let _ = (client.current_load(), client.times_served(c));
        }
        Input::Load(p, l) => client.handle_load(id(p), l, now),
        Input::Ban(p) => client.handle_ban(id(p), now),
        Input::Next(p) => return client.next_chunk(id(p), now).map(|c| (id(p), c)),
        Input::Candidates(list, answer) => {
            let list: Vec<Candidate> = list
                .into_iter()
                .map(|(a, reachable)| Candidate {
                    reachable,
                    ..candidate(addr(a), f64::from(a))
                })
                .collect();
            if answer {
                client.handle_answer(&list, now);
            } else {
                client.handle_candidates(&list, now);
            }
        }
        Input::DialFailed(a) => client.handle_dial_failed(addr(a), now),
        Input::Wait(ms) => one.advance(f64::from(ms) / 1000.0),
        Input::Timeout => client.handle_timeout(now),
    }
    None
}

/// What must hold whatever happened.
fn check(one: &One) {
    let client = &one.client;
    let mut holders = vec![0u16; client.held().len() as usize];
    for n in client.table.map.values() {
        if client.known {
            assert_eq!(n.held.len(), CHUNKS);
            n.held.iter().for_each(|c| holders[c as usize] += 1);
        }
    }
    for (chunk, want) in holders.iter().enumerate() {
        let chunk = u32::try_from(chunk).unwrap();
        assert_eq!(client.picker.holders(chunk), *want);
        let free = client.picker.free().contains(chunk);
        let owner = client.picker.owner(chunk);
        if client.missing.contains(chunk) {
            assert!(
                free != owner.is_some(),
                "missing chunk {chunk}: free or assigned"
            );
            assert!(!client.held.contains(chunk));
        } else {
            assert_eq!(free, client.is_full(), "chunk {chunk}");
        }
        if let Some(owner) = owner {
            assert!(client.table.get(owner).is_some(), "assigned to nobody");
        }
    }
    for (id, n) in &client.table.map {
        let assigned = (0..CHUNKS)
            .filter(|c| client.picker.owner(*c) == Some(*id))
            .count();
        assert_eq!(n.assigned as usize, assigned);
    }
    assert_eq!(client.table.tally(), client.table.count_again());
    assert!(client.candidates.is_consistent());
    if client.slots_due().is_some() {
        assert_eq!(client.slots_due(), client.slots_due_now(), "remembered");
    }
    for (id, n) in &client.table.map {
        let told = client.known && n.allowed && n.held.intersects(&client.missing);
        assert_eq!(n.told_interest, told, "interest of {id:?}");
    }
    let limit = client.config.uploads;
    assert!(limit == 0 || client.table.tally().uploads <= limit);
    let most = client.config.max_servers;
    assert!(client.servers.set.len() <= most);
    assert!(
        client
            .servers
            .set
            .keys()
            .all(|id| client.table.get(*id).is_some())
    );
    assert!(client.table.len() <= client.config.max_neighbours);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs_in_any_order_leave_the_client_consistent(
        inputs in prop::collection::vec(input(), 0..150), policy in 0u8..4,
    ) {
        let base = if policy == 0 { ClientConfig::paper() } else { ClientConfig::default() };
        let config = ClientConfig {
            max_neighbours: 5, target_neighbours: 4, unlimited_up_to: 2, slots: 2, uploads: 2,
            parallel: 2, max_servers: 3, reveal_ahead: 2,
            area: if policy == 1 { AreaRule::Always } else { base.area },
            order: if policy == 2 { ChunkOrder::LeastServed } else { base.order },
            ..base
        };
        let mut one = One::new(config);
        for input in inputs {
            let before: Vec<u32> =
                (0..CHUNKS).filter(|c| one.client.is_fetching(*c) || one.client.held().contains(*c)).collect();
            if let Some((peer, chunk)) = apply(&mut one, input) {
                prop_assert!(!before.contains(&chunk), "given twice, or held");
                let n = one.client.table.get(peer).expect("a neighbour");
                prop_assert!(n.held.contains(chunk) && n.serves_us());
            }
            check(&one);
            one.actions();
        }
        one.now += Duration::from_secs(3600);
        one.client.handle_timeout(one.now);
        one.actions();
        prop_assert!(one.client.poll_timeout().is_none_or(|t| t > one.now), "busy loop");
    }

    #[test]
    fn the_picker_picks_what_a_naive_one_would(
        changes in prop::collection::vec((0u32..30, 0u8..5), 0..200),
        held in prop::collection::vec(0u32..30, 0..30),
        avoid in prop::collection::vec(0u32..30, 0..10),
        seed in any::<u64>(),
    ) {
        let mut picker = Picker::new(30);
        let mut holders = [0u32; 30];
        let mut free = BTreeSet::new();
        for (chunk, what) in changes {
            let i = chunk as usize;
            match what {
                0 | 1 => { picker.gained(chunk, NeighbourId(9)); holders[i] += 1; }
                2 => { picker.lost(chunk, NeighbourId(9)); holders[i] = holders[i].saturating_sub(1); }
                3 => { picker.offer(chunk, false); free.insert(chunk); }
                _ => { picker.withdraw(chunk); free.remove(&chunk); }
            }
        }
        let held = ChunkSet::from_indices(30, held);
        let avoid = ChunkSet::from_indices(30, avoid);
        let fits: Vec<u32> =
            free.iter().copied().filter(|c| held.contains(*c) && !avoid.contains(*c)).collect();
        let least = fits.iter().map(|c| holders[*c as usize]).min();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let wish = Wish::held(NeighbourId(1), &held, [Some(&avoid), None]);
        let picked = picker.pick(&mut rng, &wish);
        prop_assert_eq!(picked.map(|c| holders[c as usize]), least);
        prop_assert!(picked.is_none_or(|c| fits.contains(&c)));
    }
}

#[test]
fn equally_rare_chunks_are_all_picked_about_as_often() {
    let mut picker = Picker::new(10);
    (0..10).for_each(|c| picker.offer(c, false));
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut times = [0u32; 10];
    let all = ChunkSet::full(10);
    let wish = Wish::held(NeighbourId(1), &all, [None; 2]);
    for _ in 0..10_000 {
        times[picker.pick(&mut rng, &wish).unwrap() as usize] += 1;
    }
    assert!(times.iter().all(|t| (800..1200).contains(t)), "{times:?}");
}

proptest! {
    /// Sets of all lengths: what a neighbour tells before the object is known need not fit it.
    #[test]
    fn any_common_is_as_one_looks_chunk_by_chunk(
        lengths in prop::array::uniform3(0u32..200),
        few in prop::array::uniform2(prop::collection::btree_set(0u32..200, 0..24)),
        many in prop::collection::btree_set(0u32..200, 0..200),
        barred in any::<bool>(),
    ) {
        let [a, b] = [0, 1].map(|i| ChunkSet::from_indices(lengths[i], few[i].iter().copied()));
        let not = ChunkSet::from_indices(lengths[2], many);
        let not = barred.then_some(&not);
        let free = |c: &u32| !not.is_some_and(|not| not.contains(*c));
        let expected = a.iter().filter(|c| b.contains(*c)).any(|c| free(&c));
        prop_assert_eq!(any_common(&a, &b, not), expected);
    }
}
