//! Roles and reachability: who becomes an index node, which one a client uses, and what a dial-back finds.

#![cfg(feature = "sim")]
#![allow(clippy::print_stdout, reason = "figures for the docs, and seeds")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::id::ObjectId;
use chunkcast::node::{Command, Event, LookupId, LookupRequest, NodeConfig, Publication, Role};
use chunkcast::sim::{Links, Net, Topology, What};
use chunkcast::wire::{Found, PeerAddrs, Ranking, Wanted};
use rand::RngExt;

use common::{ms, secs, seed};

fn config(role: Role, bootstrap: Vec<SocketAddr>) -> NodeConfig {
    NodeConfig {
        role,
        bootstrap,
        ..NodeConfig::default()
    }
}

/// A net of `all` places with a ring of index nodes at the first `ring` of them, `age` old.
fn ring(ring: usize, all: usize, age: Duration, seed: u64) -> Net {
    let topology = Topology::synthetic(all, seed);
    let mut net = Net::new(topology, Links::default(), seed);
    for place in 0..ring {
        let known = (place > 0).then(|| net.random_below(place));
        let known = known.map(|known| net.addr(known));
        join(&mut net, place, Role::Index, known.into_iter().collect());
        net.run(ms(50));
    }
    net.run(age);
    assert_eq!(net.members().len(), ring);
    net
}

trait Random {
    fn random_below(&mut self, n: usize) -> usize;
}

impl Random for Net {
    fn random_below(&mut self, n: usize) -> usize {
        self.rng().random_range(0..n)
    }
}

fn join(net: &mut Net, place: usize, role: Role, bootstrap: Vec<SocketAddr>) {
    net.spawn(place, config(role, bootstrap)).expect("valid");
}

fn is_index(net: &Net, place: usize) -> bool {
    net.node(place).expect("it lives").is_index()
}

/// Runs until the condition holds; panics if it does not within `time`.
fn until(net: &mut Net, time: Duration, what: &str, condition: impl Fn(&Net) -> bool) {
    let end = net.now() + time;
    while !condition(net) {
        assert!(net.now() < end, "{what}: not within {time:?}");
        net.run(ms(100));
    }
}

fn object() -> ObjectId {
    ObjectId::from_name(b"o")
}

fn publish(net: &mut Net, place: usize) {
    let at = SocketAddr::new(net.addr(place).ip(), 6881);
    let publication = Publication {
        object: object(),
        publisher: None,
        addrs: PeerAddrs::from(at),
        chunks: 8,
        held: ChunkSet::full(8),
        load: 0,
        reachable: true,
        complete: true,
    };
    net.command(place, Command::Publish(publication));
}

fn look_up(net: &mut Net, place: usize) -> Option<Found> {
    let id = LookupId(net.rng().random());
    let request = LookupRequest {
        object: object(),
        wanted: Wanted::Any,
        p: 8,
        mix: 0,
        ranking: Ranking::Closeness,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: true,
        trace: false,
    };
    net.command(place, Command::Lookup(id, request));
    let end = net.now() + secs(10);
    while let Some(happening) = net.next(end) {
        if let What::Event {
            event: Event::LookupDone { id: done, result },
            ..
        } = happening.what
            && done == id
        {
            return result.ok();
        }
    }
    None
}

/// The index node of the client at `place`.
fn home(net: &Net, place: usize) -> Option<usize> {
    let home = net.node(place)?.home()?;
    net.place_of(home.addr)
}

/// Clients whose index node is within 1.5 times or 5 ms of the nearest one's distance, percent.
fn near_homes(net: &Net, clients: impl Iterator<Item = usize>) -> f64 {
    let (mut near, mut all) = (0u32, 0u32);
    for place in clients {
        all += 1;
        let rtt = |to: &usize| net.topology().rtt(place, *to);
        let best = net.members().values().map(rtt).min().expect("a ring");
        let found = home(net, place).map(|home| rtt(&home));
        let good = best.mul_f64(1.5).max(best + ms(5));
        near += u32::from(found.is_some_and(|rtt| rtt <= good));
    }
    100.0 * f64::from(near) / f64::from(all)
}

#[test]
fn of_hosts_that_test_themselves_exactly_those_without_a_nat_become_index_nodes() {
    let (nodes, all) = (60, 200);
    let mut net = ring(20, all, secs(60), seed(61));
    for place in 20..all {
        // Every third can be reached; with the 20 nodes of the ring 80 of 200.
        if place % 3 != 0 {
            net.set_nat(place);
        }
        let known = net.random_below(20);
        let via = vec![net.addr(known)];
        join(&mut net, place, Role::Auto, via);
        net.run(ms(100));
    }
    net.run(secs(30));
    for place in 20..all {
        assert_eq!(is_index(&net, place), place % 3 == 0, "{place}");
    }
    assert_eq!(net.members().len(), 20 + nodes);
    // Nobody behind a NAT is in any table.
    let members: Vec<usize> = net.members().values().copied().collect();
    for place in members {
        let known = net.node(place).expect("it lives").contacts();
        for contact in known {
            let at = net.place_of(contact.addr).expect("nobody left");
            assert!(at < 20 || at.is_multiple_of(3), "{place} knows {at}");
        }
    }
}

#[test]
fn seventy_per_cent_behind_nats_find_a_near_index_node_and_each_other() {
    let (nodes, all) = (60, 200);
    let mut net = ring(nodes, all, secs(300), seed(62));
    for place in nodes..all {
        net.set_nat(place);
        let known = net.random_below(nodes);
        let via = vec![net.addr(known)];
        join(&mut net, place, Role::Client, via);
        net.run(ms(20));
    }
    net.run(secs(10));
    let soon = near_homes(&net, nodes..all);
    net.run(secs(300));
    let later = near_homes(&net, nodes..all);
    println!("near index node: {soon:.1} % after 10 s, {later:.1} % after 5 min");
    assert!(soon >= 90.0, "{soon} %");
    assert!(later >= 90.0, "{later} %");
    for place in nodes..all {
        // While it looks for a nearer one, which takes a second or two in every two minutes, it knows more.
        let few = |net: &Net| {
            let known = net.node(place).expect("it lives").contacts();
            (2..=6).contains(&known.len())
        };
        until(&mut net, secs(10), "few index nodes known", few);
    }
    publish(&mut net, all - 1);
    publish(&mut net, all - 2);
    net.run(secs(5));
    for place in [nodes, nodes + 50, 3] {
        let found = look_up(&mut net, place).expect("an answer");
        assert_eq!(found.matches.len(), 2);
        assert!(found.matches.iter().all(|m| !m.reachable), "behind a NAT");
    }
}

#[test]
fn when_its_index_node_dies_a_client_is_published_and_answered_again_within_seconds() {
    let nodes = 30;
    let mut net = ring(nodes, nodes + 2, secs(60), seed(63));
    let client = nodes;
    net.set_nat(client);
    let via = vec![net.addr(1), net.addr(2)];
    join(&mut net, client, Role::Client, via);
    net.run(secs(10));
    publish(&mut net, client);
    net.run(secs(10));
    for _ in 0..5 {
        let dead = home(&net, client).expect("it has one");
        net.kill(dead);
        let key = *object().key();
        let moved = |net: &Net| home(net, client).is_some_and(|place| place != dead);
        until(&mut net, secs(10), "another index node", moved);
        // The new one was told at once, and it passes an object's first entries on within half a second.
        net.run(secs(1));
        let at = home(&net, client).expect("just seen");
        let entries = net.node(at).expect("it lives").snapshot().entries;
        assert_eq!(entries.get(&key.to_string()), Some(&1));
        let found = look_up(&mut net, client).expect("an answer");
        assert_eq!(found.matches.len(), 1);
        net.run(secs(30));
    }
}

#[test]
fn a_client_moves_to_a_clearly_nearer_node_and_leaves_nothing_at_the_old_one() {
    let nodes = 30;
    let mut net = ring(nodes, nodes + 40, secs(60), seed(3));
    // Of 40 places one that has much to gain by its nearest neighbour.
    let by_distance = |net: &Net, place: usize| {
        let rtt = |to| net.topology().rtt(place, to);
        let mut all: Vec<_> = (0..nodes).map(|to| (rtt(to), to)).collect();
        all.sort_unstable();
        all
    };
    let gain = |place: &usize| {
        let all = by_distance(&net, *place);
        Some(all[1].0 - all[0].0).filter(|gain| *gain < ms(20))
    };
    let client = (nodes..nodes + 40).max_by_key(gain).expect("40 places");
    let nearest = by_distance(&net, client)[0].1;
    let rtt = |net: &Net, a: usize| net.topology().rtt(client, a);
    net.kill(nearest);
    net.run(secs(90));
    let via = vec![net.addr((nearest + 1) % nodes)];
    join(&mut net, client, Role::Client, via);
    net.run(secs(10));
    publish(&mut net, client);
    net.run(secs(5));
    let old = home(&net, client).expect("it has one");
    let clearly = rtt(&net, nearest).mul_f64(1.5) + ms(2);
    println!("from {:?} to {:?}", rtt(&net, old), rtt(&net, nearest));
    assert!(rtt(&net, old) > clearly, "choose another seed");
    let via = vec![net.addr(old)];
    join(&mut net, nearest, Role::Index, via);
    let moved = |net: &Net| home(net, client) == Some(nearest);
    until(&mut net, secs(600), "the nearer index node", moved);
    net.run(secs(1));
    let key = object().key().to_string();
    let held = |net: &Net, at| {
        net.node(at)
            .map(|n| n.snapshot().entries.contains_key(&key))
    };
    assert_eq!(held(&net, nearest), Some(true));
    let on_the_way = net.root_of(object().key()) == Some(old);
    assert!(on_the_way || held(&net, old) == Some(false));
    assert_eq!(
        look_up(&mut net, client).expect("an answer").matches.len(),
        1
    );
}

#[test]
fn a_client_that_nothing_is_nearer_to_stays_with_the_node_that_it_was_told_of() {
    let nodes = 30;
    let mut net = ring(nodes, nodes + 1, secs(60), seed(3));
    let rtt = |net: &Net, to: usize| net.topology().rtt(nodes, to);
    let far = (0..nodes).max_by_key(|to| rtt(&net, *to)).expect("some");
    let mut stays = config(Role::Client, vec![net.addr(far)]);
    stays.roles.nearer = 0.0;
    net.spawn(nodes, stays).expect("valid");
    for _ in 0..30 {
        net.run(secs(10));
        assert_eq!(home(&net, nodes), Some(far));
    }
}

#[test]
fn an_index_node_that_nobody_reaches_any_more_steps_down_and_its_entries_stay() {
    let nodes = 120;
    let mut net = ring(nodes, nodes + 1, secs(60), seed(65));
    let it = nodes;
    let mut sooner = config(Role::Auto, vec![net.addr(4)]);
    sooner.roles.silence = secs(60);
    sooner.roles.reach_retry = secs(20);
    net.spawn(it, sooner).expect("valid");
    until(&mut net, secs(10), "an index node", |net| is_index(net, it));
    publish(&mut net, it);
    net.run(secs(20));
    net.set_nat(it);
    let began = net.now();
    until(&mut net, secs(1_200), "a client", |net| !is_index(net, it));
    println!("stepped down after {:?}", net.now() - began);
    net.run(secs(5));
    assert!(home(&net, it).is_some());
    let found = look_up(&mut net, 3).expect("an answer");
    assert_eq!(found.matches.len(), 1);
    net.run(secs(200));
    let at = net.addr(it);
    for place in 0..nodes {
        let leaves = net.node(place).expect("it lives").snapshot().leaves;
        let it = leaves.iter().find(|l| l.addr == at.to_string());
        assert!(it.is_none(), "{place} has it as a leaf");
    }
}

#[test]
fn the_first_nodes_of_a_lan_are_all_index_nodes() {
    let mut net = Net::new(Topology::synthetic(4, 1), Links::default(), seed(66));
    let first = net.addr(0);
    join(&mut net, 0, Role::Auto, Vec::new());
    let first = SocketAddr::new(first.ip(), net.addr(0).port());
    join(&mut net, 1, Role::Auto, vec![first]);
    let both = |net: &Net| is_index(net, 0) && is_index(net, 1) && net.members().len() == 2;
    until(&mut net, secs(5), "a ring of two", both);
    publish(&mut net, 0);
    net.run(secs(2));
    assert_eq!(look_up(&mut net, 1).expect("an answer").matches.len(), 1);
    join(&mut net, 2, Role::Auto, vec![first]);
    until(&mut net, secs(5), "a ring of three", |net| {
        net.members().len() == 3
    });
    net.run(secs(3_600));
    assert_eq!(
        net.members().len(),
        3,
        "nobody steps down for want of strangers"
    );
}

#[test]
fn two_that_name_each_other_become_a_ring() {
    let mut net = Net::new(Topology::synthetic(2, 1), Links::default(), seed(67));
    let next = |net: &Net, place| {
        let addr = net.addr(place);
        SocketAddr::new(addr.ip(), addr.port() + 1)
    };
    let (a, b) = (next(&net, 0), next(&net, 1));
    join(&mut net, 0, Role::Auto, vec![b]);
    join(&mut net, 1, Role::Auto, vec![a]);
    until(&mut net, secs(60), "a ring of two", |net| {
        let knows = |at: usize| net.node(at).is_some_and(|n| n.contacts().len() == 1);
        net.members().len() == 2 && knows(0) && knows(1)
    });
}

#[test]
fn an_entry_says_what_a_dial_back_found() {
    let nodes = 20;
    let mut net = ring(nodes, nodes + 2, secs(60), seed(68));
    net.set_nat(nodes);
    for place in [nodes, nodes + 1] {
        let via = vec![net.addr(2)];
        join(&mut net, place, Role::Client, via);
    }
    net.run(secs(5));
    let mut told = Vec::new();
    publish(&mut net, nodes);
    publish(&mut net, nodes + 1);
    publish(&mut net, 3);
    let end = net.now() + secs(15);
    while let Some(happening) = net.next(end) {
        if let What::Event {
            place,
            event: Event::Dialable { port, reached },
        } = happening.what
        {
            assert_eq!(port, 6881);
            told.push((place, reached));
        }
    }
    told.sort_unstable();
    assert_eq!(told, [(3, true), (nodes, false), (nodes + 1, true)]);
    let found = look_up(&mut net, 11).expect("an answer");
    let mut reachable: Vec<(SocketAddr, bool)> = found
        .matches
        .iter()
        .filter_map(|m| Some((m.addrs.iter().next()?, m.reachable)))
        .collect();
    reachable.sort_unstable();
    let at = |place| SocketAddr::new(net.addr(place).ip(), 6881);
    assert_eq!(
        reachable,
        [(at(3), true), (at(nodes), false), (at(nodes + 1), true)]
    );
}
