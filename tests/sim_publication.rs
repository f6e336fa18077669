//! Publication over real nodes on simulated links: what is published arrives as it was said, at whoever is to hold it,
//! within a bounded time, and goes again.

#![cfg(feature = "sim")]
#![allow(clippy::print_stdout, reason = "a failure prints its seed")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::chunks::ChunkSet;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{
    Command, DropReason, Event, LookupId, LookupRequest, Node, NodeConfig, Publication, Role,
    sign_entry,
};
use chunkcast::sim::{Links, Net, Topology, What};
use chunkcast::time::Instant;
use chunkcast::wire::{
    self, Body, Entry, Envelope, PeerAddrs, Ranking, RefuseReason, Sender, Wanted,
};
use rand::RngExt;

use common::{ms, secs, seed};

const LOSSY: Links = Links {
    loss: 0.05,
    jitter: 0.1,
    reorder: 0.05,
};

fn object(n: usize) -> ObjectId {
    ObjectId::from_name(&n.to_be_bytes())
}

/// Publisher `n`, and where it serves.
fn publisher(n: usize) -> Id {
    ObjectId::from_name(format!("publisher {n}").as_bytes()).0
}

fn serves(n: usize) -> PeerAddrs {
    let [.., b, c] = n.to_be_bytes();
    PeerAddrs::from(SocketAddr::from(([192, 168, b, c], 6881)))
}

/// Publisher `n` holds this of an object.
fn holds(n: usize, object: ObjectId, held: ChunkSet) -> Publication {
    Publication {
        object,
        publisher: Some(publisher(n)),
        addrs: serves(n),
        chunks: held.len(),
        held,
        load: 0,
        reachable: true,
        complete: false,
    }
}

/// A ring at places `0..nodes` of `places`, a minute old.
fn ring(nodes: usize, places: usize, config: &NodeConfig, seed: u64) -> Net {
    let mut net = Net::new(Topology::synthetic(places, seed), Links::default(), seed);
    for place in 0..nodes {
        join(&mut net, place, config);
        net.run(ms(50));
    }
    net.run(secs(60));
    assert_eq!(net.members().len(), nodes);
    net
}

fn join(net: &mut Net, place: usize, config: &NodeConfig) {
    let known = net.random_member().map(|k| net.addr(k));
    let config = NodeConfig {
        bootstrap: known.into_iter().collect(),
        ..config.clone()
    };
    net.spawn(place, config).expect("a valid configuration");
}

fn node(net: &Net, place: usize) -> &Node {
    net.node(place).expect("a living node")
}

fn publish(net: &mut Net, place: usize, publication: Publication) {
    net.command(place, Command::Publish(publication));
}

/// Publisher `n`'s entry. Its id is that of a key in an open network: it is known by its address.
fn entry(net: &Net, place: usize, object: &ObjectId, n: usize) -> Option<Entry> {
    let entries = net.node(place)?.entries(object);
    entries.into_iter().find(|e| e.addrs == serves(n))
}

/// Where entries of the object are held, and how many.
fn holders(net: &Net, object: &ObjectId) -> BTreeMap<usize, usize> {
    let count = |place| net.node(place).map_or(0, |n| n.entries(object).len());
    (0..net.topology().len())
        .map(|place| (place, count(place)))
        .filter(|(_, n)| *n > 0)
        .collect()
}

/// The members on both sides of a member on the ring.
fn neighbours(net: &Net, place: usize) -> [usize; 2] {
    let ids: Vec<usize> = net.members().values().copied().collect();
    let at = ids.iter().position(|p| *p == place).expect("a member");
    [
        ids[(at + ids.len() - 1) % ids.len()],
        ids[(at + 1) % ids.len()],
    ]
}

fn root(net: &Net, object: &ObjectId) -> usize {
    net.root_of(object.key()).expect("a ring")
}

fn drops(net: &Net, reason: DropReason) -> u64 {
    let of = |place| {
        net.node(place)
            .and_then(|n| n.counters().drops.get(&reason).copied())
    };
    (0..net.topology().len()).filter_map(of).sum()
}

fn sent(net: &Net, kinds: &[&str]) -> u64 {
    let totals = net.totals();
    let of = |kind: &&str| totals.get(kind).map_or(0, |t| t.bytes + 28 * t.messages);
    kinds.iter().map(of).sum()
}

/// Publishers that a lookup through `place` finds.
fn look_up(net: &mut Net, place: usize, object: ObjectId, to_root: bool) -> (usize, bool) {
    let request = LookupRequest {
        object,
        wanted: Wanted::Any,
        p: 8,
        mix: 0,
        ranking: Ranking::Closeness,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root,
        trace: false,
    };
    net.command(place, Command::Lookup(LookupId(1), request));
    let end = net.now() + secs(6);
    while let Some(happening) = net.next(end) {
        if let What::Event {
            event: Event::LookupDone { result, .. },
            ..
        } = happening.what
        {
            let found = result.expect("an answer");
            return (found.matches.len(), found.root);
        }
    }
    panic!("no answer");
}

/// What publishers have said, by sequence.
#[derive(Default)]
struct Said(BTreeMap<(Id, u64), ChunkSet>);

impl Said {
    fn note(&mut self, net: &Net, place: usize, object: &ObjectId, n: usize) {
        let entry = entry(net, place, object, n).expect("its own");
        self.0.insert((entry.publisher, entry.sequence), entry.held);
    }

    /// Whatever sequence a node holds, it holds what was said under it.
    fn check(&self, net: &Net, object: &ObjectId) {
        for place in 0..net.topology().len() {
            let Some(node) = net.node(place) else {
                continue;
            };
            for e in node.entries(object) {
                // A large one may be a mixture of windows.
                if e.chunks <= 4096 {
                    // Refreshes have sequences of their own.
                    let until = (e.publisher, e.sequence);
                    let (of, said) = self.0.range(..=until).next_back().expect("it was said");
                    assert_eq!(of.0, e.publisher);
                    assert_eq!(&e.held, said, "sequence {} at {place}", e.sequence);
                }
            }
        }
    }
}

/// Changes, losses, reordering, restarts and new parents; whoever holds a sequence holds what was said under it, and in
/// the end everyone holds the last.
fn lossy_tree(seed: u64, chunks: u32) {
    const PUBLISHERS: usize = 3;
    let places = 14;
    let mut net = ring(8, places, &NodeConfig::default(), seed);
    let o = object(7);
    net.links = Links {
        loss: 0.15,
        jitter: 0.5,
        reorder: 0.3,
    };
    let mut said = Said::default();
    let mut held: Vec<ChunkSet> = (0..PUBLISHERS)
        .map(|_| ChunkSet::from_indices(chunks, (0..chunks).filter(|c| c % 7 < 3)))
        .collect();
    let root = root(&net, &o);
    let mut at: Vec<usize> = (0..8).filter(|p| *p != root).collect();
    at.truncate(PUBLISHERS);
    let mut free = 8;
    for step in 0..60 {
        for n in 0..PUBLISHERS {
            if net.rng().random_bool(0.7) {
                for _ in 0..net.rng().random_range(0..6) {
                    let c = net.rng().random_range(0..chunks);
                    held[n].insert(c);
                }
                if net.rng().random_bool(0.1) {
                    held[n] = ChunkSet::from_indices(chunks, held[n].iter().skip(40));
                }
                publish(&mut net, at[n], holds(n, o, held[n].clone()));
                said.note(&net, at[n], &o, n);
            }
        }
        let pause = net.rng().random_range(100..2_000);
        net.run(ms(pause));
        said.check(&net, &o);
        match step {
            // The root starts anew: same id, nothing known, too soon to be missed.
            20 => {
                let root = net.root_of(o.key()).expect("a ring");
                if !at.contains(&root) {
                    let id = node(&net, root).id();
                    net.kill(root);
                    let config = NodeConfig {
                        id: Some(id),
                        ..NodeConfig::default()
                    };
                    join(&mut net, root, &config);
                }
            }
            30 | 40 if free < places => {
                join(&mut net, free, &NodeConfig::default());
                free += 1;
            }
            _ => {}
        }
    }
    let deltas = drops(&net, DropReason::Gap);
    net.links = Links::default();
    net.run(secs(130));
    for (n, at) in at.iter().enumerate() {
        publish(&mut net, *at, holds(n, o, held[n].clone()));
        said.note(&net, *at, &o, n);
    }
    net.run(secs(15));
    said.check(&net, &o);
    let root = net.root_of(o.key()).expect("a ring");
    for (n, held) in held.iter().enumerate() {
        let entry = entry(&net, root, &o, n).expect("at the root");
        assert_eq!(&entry.held, held, "publisher {n}, {deltas} gaps");
        assert!(entry.summary.is_none(), "all windows have come");
    }
}

#[test]
fn whatever_is_lost_everyone_holds_what_was_said_under_the_sequence_that_it_holds() {
    let seed = seed(41);
    for n in 0..6 {
        lossy_tree(seed + n, 1_000);
    }
}

#[test]
fn the_windows_of_large_objects_come_together_under_loss() {
    let seed = seed(51);
    lossy_tree(seed, 6_000);
    lossy_tree(seed + 1, 20_000);
}

#[test]
fn what_differs_is_sent_instead_of_everything() {
    let seed = seed(42);
    let cost = |delta_bytes| {
        let mut config = NodeConfig::default();
        config.directory.delta_bytes = delta_bytes;
        let mut net = ring(12, 12, &config, seed);
        let o = object(1);
        let at = (0..12).find(|p| *p != root(&net, &o)).expect("twelve");
        let mut held = ChunkSet::from_indices(4_000, (0..4_000).filter(|c| c % 3 == 0));
        publish(&mut net, at, holds(0, o, held.clone()));
        net.run(secs(10));
        let before = sent(&net, &["propagate"]);
        for c in 0..60 {
            held.insert(3 * c + 1);
            publish(&mut net, at, holds(0, o, held.clone()));
            net.run(secs(1));
        }
        net.run(secs(5));
        let entry = entry(&net, root(&net, &o), &o, 0).expect("at the root");
        assert_eq!(entry.held, held);
        assert_eq!(drops(&net, DropReason::Gap), 0, "nothing was lost");
        sent(&net, &["propagate"]) - before
    };
    let (full, delta) = (cost(0), cost(4 << 20));
    println!("{full} bytes in full, {delta} as deltas");
    assert!(delta * 2 < full, "{full} bytes in full, {delta} as deltas");
}

#[test]
fn first_entries_are_at_the_root_within_half_a_second_a_hop() {
    let mut net = ring(40, 40, &NodeConfig::default(), seed(43));
    for n in 0..20 {
        let o = object(n);
        publish(&mut net, n, holds(n, o, ChunkSet::from_indices(100, [1])));
        let end = net.now() + ms(2_600);
        let root = root(&net, &o);
        while entry(&net, root, &o, n).is_none() {
            assert!(net.now() < end, "object {n} took longer");
            net.run(ms(50));
        }
    }
}

#[test]
fn when_thousands_change_each_is_passed_on_in_its_turn_and_within_the_budget() {
    const OBJECTS: usize = 2_000;
    let mut net = ring(2, 2, &NodeConfig::default(), seed(44));
    let both = |net: &Net| -> usize {
        let at_root = |n: &usize| {
            let o = object(*n);
            let root = root(net, &o);
            entry(net, root, &o, *n).is_some_and(|e| e.held.count() == 2)
        };
        (0..OBJECTS).filter(at_root).count()
    };
    let say = |net: &mut Net, held: &[u32]| {
        for n in 0..OBJECTS {
            let held = ChunkSet::from_indices(100, held.iter().copied());
            publish(net, 0, holds(n, object(n), held));
        }
    };
    say(&mut net, &[1]);
    net.run(secs(120));
    let (began, before) = (net.now(), sent(&net, &["propagate"]));
    // Everything changes again and again, so that the first ones always have news.
    for round in 0..10 {
        say(&mut net, &[1, 2 + round]);
        net.run(secs(6));
    }
    let held = both(&net);
    assert_eq!(held, OBJECTS, "of {OBJECTS} are at the other node");
    let spent = sent(&net, &["propagate"]) - before;
    let time = (net.now() - began).as_secs() + 3;
    let headers = 28 * spent / 1_000;
    // Either of the two is the parent of the other for its own objects.
    assert!(
        spent <= 2 * (8 << 10) * time + headers,
        "{spent} bytes in {time} s"
    );
}

#[test]
fn no_entry_ends_anywhere_on_its_way_while_its_publisher_lives() {
    let mut net = ring(24, 24, &NodeConfig::default(), seed(45));
    net.links = LOSSY;
    let objects: Vec<ObjectId> = (0..6).map(object).collect();
    for (n, o) in objects.iter().enumerate() {
        let held = ChunkSet::from_indices(100, 0..50);
        let publication = Publication {
            complete: n % 2 == 0,
            ..holds(n, *o, held)
        };
        publish(&mut net, n, publication);
    }
    net.run(secs(20));
    for minute in 0..65 {
        for (n, o) in objects.iter().enumerate() {
            let root = root(&net, o);
            for place in [root].into_iter().chain(neighbours(&net, root)) {
                assert!(
                    entry(&net, place, o, n).is_some(),
                    "object {n} at {place} in minute {minute}"
                );
            }
        }
        net.run(secs(60));
    }
}

/// A ring of 100 with an object that 20 peers have; everything is quiet.
fn hundred(seed: u64) -> (Net, ObjectId) {
    let mut net = ring(100, 110, &NodeConfig::default(), seed);
    let o = object(3);
    for n in 0..20 {
        publish(
            &mut net,
            n,
            holds(n, o, ChunkSet::from_indices(100, [1, 2])),
        );
    }
    net.run(secs(15));
    (net, o)
}

/// Entries of publishers that live: the ones at their own index nodes.
fn living(net: &Net, o: &ObjectId) -> usize {
    (0..20).filter(|n| entry(net, *n, o, *n).is_some()).count()
}

fn some_place(net: &mut Net) -> usize {
    net.random_member().expect("a ring")
}

#[test]
fn when_the_root_dies_the_next_one_knows_everything_and_so_does_the_one_after() {
    let (mut net, o) = hundred(seed(46));
    for death in 0..3 {
        let old = root(&net, &o);
        let known = holders(&net, &o)[&old];
        assert!(known >= living(&net, &o), "{known} at root {death}");
        net.kill(old);
        let new = root(&net, &o);
        assert_eq!(
            holders(&net, &o).get(&new),
            Some(&known),
            "at once, death {death}"
        );
        for _ in 0..5 {
            let place = some_place(&mut net);
            let (found, at_root) = look_up(&mut net, place, o, true);
            assert_eq!(
                (found, at_root),
                (8, true),
                "through {place}, death {death}"
            );
        }
        // Less than a refresh, but enough for the neighbours to notice.
        net.run(secs(75));
    }
}

#[test]
fn a_root_that_leaves_hands_over_what_it_has_just_heard() {
    let (mut net, o) = hundred(seed(47));
    let old = root(&net, &o);
    // News arrive, and it leaves before the period is over.
    publish(
        &mut net,
        old,
        holds(50, o, ChunkSet::from_indices(100, [7])),
    );
    publish(
        &mut net,
        old,
        holds(50, object(4), ChunkSet::from_indices(100, [7])),
    );
    let known = holders(&net, &o)[&old] - 1; // its own entries go with it
    let known = known - usize::from(old < 20);
    net.command(old, Command::Leave);
    net.run(ms(1_200));
    net.kill(old);
    let new = root(&net, &o);
    assert!(holders(&net, &o)[&new] >= known);
    assert!(entry(&net, new, &o, 50).is_none(), "it withdrew that");
    let place = some_place(&mut net);
    assert_eq!(look_up(&mut net, place, o, true), (8, true));
}

#[test]
fn a_withdrawal_reaches_every_holder_and_nothing_comes_back() {
    let (mut net, o) = hundred(seed(48));
    net.links = LOSSY;
    // New nodes become parents, roots and replicas; the old ones keep their copies.
    for place in 100..110 {
        join(&mut net, place, &NodeConfig::default());
        net.run(secs(3));
    }
    // So does one that is the object's root for sure.
    let mut near = *o.key();
    near.0[19] ^= 1;
    let old = root(&net, &o);
    net.kill(109);
    let config = NodeConfig {
        id: Some(near),
        ..NodeConfig::default()
    };
    join(&mut net, 109, &config);
    net.run(secs(40));
    assert_eq!(root(&net, &o), 109);
    assert!(entry(&net, old, &o, 5).is_some(), "a copy at the old root");
    assert!(entry(&net, 109, &o, 5).is_some());
    net.command(5, Command::Withdraw(o, Some(publisher(5))));
    net.run(secs(20));
    let left = |net: &Net| -> Vec<usize> {
        (0..110)
            .filter(|p| entry(net, *p, &o, 5).is_some())
            .collect()
    };
    assert_eq!(left(&net), [0; 0], "20 s after the withdrawal");
    for _ in 0..30 {
        net.run(secs(10));
        assert_eq!(left(&net), [0; 0], "it came back");
    }
    assert!(entry(&net, 109, &o, 6).is_some(), "the others are there");
}

#[test]
fn a_client_withdraws_from_every_index_node_that_it_published_through() {
    let mut net = ring(20, 21, &NodeConfig::default(), seed(49));
    let o = object(2);
    let config = NodeConfig {
        role: Role::Client,
        bootstrap: vec![net.addr(1), net.addr(2)],
        ..NodeConfig::default()
    };
    let addr = net.spawn(20, config).expect("a client");
    net.run(secs(5));
    let serves = PeerAddrs::from(SocketAddr::new(addr.ip(), 6881));
    let held = ChunkSet::from_indices(100, [1]);
    let publication = Publication {
        addrs: serves,
        ..holds(0, o, held)
    };
    publish(&mut net, 20, publication.clone());
    net.run(secs(5));
    let home = node(&net, 20).home().expect("an index node").id;
    let first = (0..20).find(|place| node(&net, *place).id() == home);
    let first = first.expect("one of the ring");
    // The home cannot be reached for a while: another one takes over.
    net.set_group(first, 1);
    net.run(secs(5));
    publish(&mut net, 20, publication);
    net.run(secs(20));
    net.set_group(first, 0);
    net.run(secs(100));
    assert!(
        holders(&net, &o).contains_key(&first),
        "the old home's copy"
    );
    net.links.loss = 0.05;
    net.command(20, Command::Withdraw(o, Some(publisher(0))));
    net.run(secs(20));
    assert_eq!(holders(&net, &o), BTreeMap::new());
}

#[test]
fn a_restarted_publisher_replaces_its_stale_entry_even_if_its_clock_was_set_back() {
    let hour = 3_600_000_000;
    let base = 1_700_000_000_000_000;
    let mut net = ring(10, 12, &NodeConfig::default(), seed(50));
    let o = object(2);
    let config = |sequence_base| NodeConfig {
        id: Some(publisher(99)),
        secret: Some(Secret([9; 32])),
        sequence_base,
        ..NodeConfig::default()
    };
    join(&mut net, 10, &config(base));
    net.run(secs(10));
    publish(&mut net, 10, holds(0, o, ChunkSet::from_indices(10, [1])));
    net.run(secs(10));
    let last = node(&net, 10).last_sequence();
    assert!(last >= base);
    net.kill(10);
    // The clock is an hour behind; what was saved is not.
    join(&mut net, 10, &config((base - hour).max(last)));
    net.run(secs(10));
    publish(
        &mut net,
        10,
        holds(0, o, ChunkSet::from_indices(10, [1, 2])),
    );
    net.run(secs(10));
    let root = root(&net, &o);
    let held = |net: &Net| entry(net, root, &o, 0).map(|e| e.held.count());
    assert_eq!(held(&net), Some(2));
    net.kill(10);
    // Nothing was saved: the stale entry keeps it out until it ends, and no longer.
    join(&mut net, 10, &config(base - hour));
    net.run(secs(10));
    publish(
        &mut net,
        10,
        holds(0, o, ChunkSet::from_indices(10, [1, 2, 3])),
    );
    net.run(secs(10));
    if root != 10 {
        assert_eq!(held(&net), Some(2), "that is why it is saved");
    }
    net.run(secs(300 + 125));
    assert_eq!(held(&net), Some(3));
}

#[test]
fn nothing_goes_back_to_where_it_came_from() {
    let mut net = ring(2, 2, &NodeConfig::default(), seed(55));
    let of_root = |wanted: usize, net: &Net| (0..).map(object).find(|o| root(net, o) == wanted);
    // One object whose root is the other node, which passes its entries to its ring neighbours, one whose root is here.
    for there in [1, 0] {
        let o = of_root(there, &net).expect("half of all");
        let before = [0, 1].map(|place| propagations(&net, place));
        publish(&mut net, 0, holds(0, o, ChunkSet::full(10)));
        net.run(secs(20));
        assert_eq!(holders(&net, &o).len(), 2);
        net.run(secs(100));
        assert!(propagations(&net, 0) > before[0]);
        assert_eq!(propagations(&net, 1), before[1], "it has no other source");
        net.command(0, Command::Withdraw(o, Some(publisher(0))));
        net.run(secs(100));
        assert_eq!(holders(&net, &o), BTreeMap::new());
        assert_eq!(propagations(&net, 1), before[1]);
    }
}

fn propagations(net: &Net, place: usize) -> u64 {
    let sent = &node(net, place).counters().sent;
    sent.get("propagate").map_or(0, |t| t.messages)
}

/// A node by itself, and a peer that talks to it from one address.
struct Alone {
    node: Node,
    from: SocketAddr,
    token: Option<wire::Token>,
}

impl Alone {
    fn new() -> Self {
        Self::with(NodeConfig::default())
    }

    fn with(config: NodeConfig) -> Self {
        let node = Node::new(config, [7; 32], Instant::ZERO).expect("valid");
        let mut alone = Self {
            node,
            from: "10.9.9.9:7000".parse().expect("an address"),
            token: None,
        };
        let Body::Pong { token, .. } = alone.ask(Body::Ping) else {
            panic!("a ping is answered");
        };
        alone.token = Some(token);
        alone
    }

    fn ask(&mut self, body: Body) -> Body {
        let envelope = Envelope {
            tx: 1,
            sender: Sender {
                id: publisher(9),
                coord: Default::default(),
                client: matches!(body, Body::Publish { .. }),
            },
            token: self.token,
            body,
        };
        let bytes = wire::encode(&envelope).expect("within bounds");
        self.node.handle_datagram(self.from, &bytes, Instant::ZERO);
        let mut answer = None;
        while let Some(out) = self.node.poll_transmit() {
            let envelope = wire::decode(&out.payload).expect("a message");
            if envelope.tx == 1 {
                answer = Some(envelope.body);
            }
        }
        answer.expect("an answer")
    }
}

fn signer(n: usize) -> Publisher {
    let secret = [u8::try_from(n).expect("small"); 32];
    Publisher::new(&Secret(secret), None)
}

/// What publisher `n` holds, signed; with a base only what differs from that.
fn said(n: usize, sequence: u64, held: &ChunkSet, base: Option<(u64, &ChunkSet)>) -> Entry {
    let from = SocketAddr::from(([10, 9, 9, 9], 6881));
    said_at(n, from.into(), sequence, held, base)
}

fn said_at(
    n: usize,
    addrs: PeerAddrs,
    sequence: u64,
    held: &ChunkSet,
    base: Option<(u64, &ChunkSet)>,
) -> Entry {
    let entry = Entry {
        object: object(1),
        publisher: publisher(n),
        sequence,
        addrs,
        coord: Default::default(),
        chunks: held.len(),
        held: held.clone(),
        delta_of: None,
        summary: None,
        load: 0,
        reachable: true,
        lifetime: secs(300),
        proof: None,
    };
    let entry = sign_entry(entry, &signer(n), 300);
    match base {
        None => entry,
        Some((base, was)) => Entry {
            held: wire::symmetric_difference(was, held),
            delta_of: Some(base),
            ..entry
        },
    }
}

#[test]
fn an_address_that_was_not_proven_is_never_taken() {
    let mut alone = Alone::new();
    let own = "10.9.9.9:6881".parse().expect("an address");
    let victim = "[2001:db8::1]:6881".parse().expect("an address");
    let mut say = |n: usize, addrs: PeerAddrs| {
        let entry = said_at(n, addrs, 1, &ChunkSet::full(10), None);
        let answer = alone.ask(Body::Publish { entry });
        let entries = alone.node.entries(&object(1));
        let taken = entries.iter().find(|e| e.publisher == signer(n).id());
        (answer, taken.map(|e| e.addrs))
    };
    let proven = PeerAddrs {
        v4: Some(own),
        v6: None,
    };
    assert_eq!(say(1, proven), (Body::Ack, Some(proven)));
    // Two addresses are signed and one is proven: what is left is nobody's word.
    let both = PeerAddrs {
        v6: Some(victim),
        ..proven
    };
    let unsigned = Body::Refuse {
        reason: RefuseReason::Proof,
        token: None,
    };
    assert_eq!(say(4, both), (unsigned, None));
    let refused = Body::Refuse {
        reason: RefuseReason::ForeignAddress,
        token: None,
    };
    let only = PeerAddrs { v4: None, ..both };
    assert_eq!(say(2, only), (refused.clone(), None));
    let other = PeerAddrs::from(SocketAddr::from(([10, 9, 9, 8], 6881)));
    assert_eq!(say(3, other), (refused, None));
}

#[test]
fn in_an_open_network_a_subnet_has_four_places_and_in_a_closed_one_all() {
    for (limits, taken) in [(false, 9), (true, 4)] {
        let mut config = NodeConfig::default();
        config.directory.subnet_limits = limits;
        let mut alone = Alone::with(config);
        for n in 1..10u8 {
            let addrs = PeerAddrs::from(SocketAddr::from(([8, 8, 8, n], 6881)));
            let entries = vec![said_at(n.into(), addrs, 1, &ChunkSet::full(10), None)];
            assert_eq!(alone.ask(Body::Propagate { entries }), Body::Ack);
        }
        assert_eq!(alone.node.entries(&object(1)).len(), taken);
    }
}

#[test]
fn a_delta_is_applied_to_exactly_its_base_and_the_rest_of_the_message_is_taken() {
    let set = |chunks: &[u32]| ChunkSet::from_indices(100, chunks.iter().copied());
    let key = |n| (object(1), signer(n).id());
    let mut alone = Alone::new();
    let mut tell = |entries: Vec<Entry>| alone.ask(Body::Propagate { entries });
    let (five, six) = (set(&[1, 2]), set(&[1, 3]));
    let delta = said(1, 6, &six, Some((5, &five)));
    assert_eq!(tell(vec![said(1, 5, &five, None)]), Body::Ack);
    assert_eq!(tell(vec![delta.clone()]), Body::Ack);
    // Duplicates, also late ones, change nothing.
    assert_eq!(tell(vec![delta]), Body::Ack);
    assert_eq!(tell(vec![said(1, 5, &five, None)]), Body::Ack);
    let gaps = tell(vec![
        said(1, 8, &set(&[9]), Some((7, &six))),
        said(2, 3, &set(&[4]), Some((2, &set(&[])))),
        said(3, 1, &set(&[8]), None),
    ]);
    let asked = vec![key(1), key(2)];
    assert_eq!(gaps, Body::SendFull { keys: asked });
    // A delta of another size is none of this entry's.
    let small = ChunkSet::from_indices(90, [1]);
    let other = said(1, 9, &small, Some((6, &ChunkSet::empty(90))));
    assert_eq!(tell(vec![other]), Body::SendFull { keys: vec![key(1)] });
    // Signed is what comes out, not what travels.
    let forged = Entry {
        held: set(&[50]),
        ..said(1, 9, &set(&[1, 3, 4]), Some((6, &six)))
    };
    assert_eq!(tell(vec![forged]), Body::Ack);
    let held = |n: usize| {
        let entries = alone.node.entries(&object(1));
        let entry = entries
            .into_iter()
            .find(|e| e.publisher == signer(n).id())?;
        Some((entry.sequence, entry.held.iter().collect::<Vec<_>>()))
    };
    assert_eq!(held(1), Some((6, vec![1, 3])));
    assert_eq!(held(2), None);
    assert_eq!(held(3), Some((1, vec![8])));
}

/// Bytes of publication that 50 peers cause between them while each downloads 1,000 chunks: a change every 0.5 s for
/// 30 s, then every 5 s; and in the ten minutes after. Peers publish at their own index nodes or as clients.
fn traffic(nodes: usize, clients: bool, time: u64, delta_bytes: usize, seed: u64) -> [u64; 2] {
    const PEERS: usize = 50;
    const CHUNKS: u32 = 1_000;
    let mut config = NodeConfig::default();
    config.directory.delta_bytes = delta_bytes;
    let mut net = ring(nodes, nodes + PEERS, &config, seed);
    let mut at: Vec<(usize, PeerAddrs)> = (0..PEERS).map(|n| (n, serves(n))).collect();
    if clients {
        for (n, at) in at.iter_mut().enumerate() {
            let config = NodeConfig {
                role: Role::Client,
                bootstrap: vec![net.addr(n), net.addr(n + PEERS)],
                ..config.clone()
            };
            let addr = net.spawn(nodes + n, config).expect("a client");
            *at = (nodes + n, PeerAddrs::from(SocketAddr::new(addr.ip(), 6881)));
        }
        net.run(secs(10));
    }
    let o = object(1);
    const KINDS: [&str; 4] = ["publish", "propagate", "send_full", "ack"];
    let mut order: Vec<Vec<u32>> = Vec::new();
    for _ in 0..PEERS {
        let mut chunks: Vec<u32> = (0..CHUNKS).collect();
        for i in (1..chunks.len()).rev() {
            let j = net.rng().random_range(0..=i);
            chunks.swap(i, j);
        }
        order.push(chunks);
    }
    let began = (net.now(), sent(&net, &KINDS));
    let mut steps: Vec<u64> = (0..60).map(|n| 500 * n).collect();
    steps.extend((30..time).step_by(5).map(|s| 1_000 * s));
    steps.push(1_000 * time);
    for step in steps {
        let due = began.0 + ms(step);
        net.run(due - net.now());
        let count = usize::try_from(u64::from(CHUNKS) * step / (1_000 * time)).expect("small");
        for (n, (place, addrs)) in at.iter().enumerate() {
            let held = ChunkSet::from_indices(CHUNKS, order[n][..count].iter().copied());
            let publication = Publication {
                addrs: *addrs,
                complete: held.is_full(),
                ..holds(n, o, held)
            };
            publish(&mut net, *place, publication);
        }
    }
    net.run(secs(10));
    let loading = sent(&net, &KINDS) - began.1;
    let root = root(&net, &o);
    let full = |e: &Entry| e.held.is_full();
    let entries = node(&net, root).entries(&o);
    assert_eq!(entries.iter().filter(|e| full(e)).count(), PEERS);
    net.run(secs(600));
    let after = sent(&net, &KINDS) - began.1 - loading;
    [loading / PEERS as u64, after / PEERS as u64]
}

#[test]
fn publication_takes_little_of_a_download_and_next_to_nothing_after() {
    let seed = seed(53);
    let payload = 1_000 * 256 * 1024;
    let [loading, after] = traffic(60, true, 60, 4 << 20, seed);
    println!("{loading} bytes a peer, {after} in the ten minutes after");
    assert!(
        loading < payload / 200,
        "{loading} bytes are half a percent"
    );
    assert!(after < 600 * 100, "{after} bytes in ten minutes");
}

#[test]
#[ignore = "minutes: the figures of docs/evaluation.md"]
fn figures_of_publication_traffic() {
    let payload = 1_000 * 256 * 1024;
    for clients in [false, true] {
        for time in [60, 200] {
            for delta_bytes in [0, 4 << 20] {
                let [loading, after] = traffic(200, clients, time, delta_bytes, 54);
                println!(
                    "clients {clients} download {time} s deltas {}: {loading} B a peer ({:.3} %), then {} B/s a peer",
                    delta_bytes > 0,
                    100.0 * loading as f64 / f64::from(payload),
                    after / 600,
                );
            }
        }
    }
}

/// Several peers behind one node: each has an entry of its own (docs/plugin.md).
#[test]
fn a_node_publishes_several_peers_of_one_object_and_withdraws_each_by_itself() {
    for role in [Role::Index, Role::Client] {
        let mut net = ring(8, 9, &NodeConfig::default(), seed(56));
        let o = object(3);
        let config = NodeConfig {
            role,
            bootstrap: vec![net.addr(1)],
            ..NodeConfig::default()
        };
        let addr = net.spawn(8, config).expect("a node");
        net.run(secs(10));
        let peer = |n: u16, chunk| Publication {
            addrs: PeerAddrs::from(SocketAddr::new(addr.ip(), 6881 + n)),
            ..holds(usize::from(n), o, ChunkSet::from_indices(10, [chunk]))
        };
        publish(&mut net, 8, peer(0, 3));
        publish(&mut net, 8, peer(1, 7));
        net.run(secs(20));
        let ports = |net: &Net| -> Vec<u16> {
            let entries = net.node(root(net, &o)).expect("the root").entries(&o);
            let mut ports: Vec<u16> = entries
                .iter()
                .flat_map(|e| e.addrs.iter().map(|a| a.port()))
                .collect();
            ports.sort_unstable();
            ports
        };
        assert_eq!(ports(&net), [6881, 6882]);
        net.command(8, Command::Withdraw(o, Some(publisher(0))));
        net.run(secs(20));
        assert_eq!(ports(&net), [6882], "the other one stays");
        net.run(secs(400));
        assert_eq!(ports(&net), [6882], "and is refreshed");
        net.command(8, Command::Withdraw(o, Some(publisher(1))));
        net.run(secs(20));
        assert_eq!(ports(&net), [0; 0]);
    }
}
