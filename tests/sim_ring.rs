//! Rings form, agree on roots, and heal.

#![allow(clippy::print_stdout, reason = "figures for the docs")]

mod common;

use chunkcast::id::ObjectId;
use chunkcast::node::{Event, NodeConfig};
use common::*;

fn agree_on_roots(n: usize) {
    let mut net = Net::new(seed(7));
    let all = net.ring(n);
    net.run(secs(60));
    let mut hops = 0;
    for i in 0..40u32 {
        let object = ObjectId::from_name(&i.to_be_bytes());
        let root = net.root_of(object.key());
        for from in all.iter().step_by(1 + n / 16) {
            let found = net.lookup(*from, |r| r.object = object).expect("an answer");
            assert!(found.root);
            assert_eq!(found.by, net.node(root).id(), "{from} looks up {object}");
            assert!(found.hops <= 5, "{} hops", found.hops);
            hops += u32::from(found.hops);
        }
    }
    println!("{n} nodes: {hops} hops in all");
}

#[test]
fn a_node_without_others_is_the_root_of_everything() {
    let mut net = Net::new(1);
    let only = net.add(addr(0), NodeConfig::default());
    assert_eq!(net.events[&only], [Event::Joined]);
    net.command(only, publish(holds(1, [2])));
    let found = net.lookup(only, |_| ()).expect("an answer");
    assert!(found.root);
    assert_eq!((found.hops, found.matches.len()), (1, 1));
    assert_eq!(net.sent, 0);
}

#[test]
fn thirty_nodes_agree_on_every_root() {
    agree_on_roots(30);
}

#[test]
fn two_hundred_nodes_agree_on_every_root() {
    agree_on_roots(200);
}

#[test]
fn upkeep_of_a_quiet_ring_stays_within_its_budget() {
    let mut net = Net::new(seed(8));
    let all = net.ring(100);
    net.run(secs(300));
    let bytes = |net: &Net| -> u64 {
        let sent = |at| net.node(at).snapshot().counters.sent;
        // 28 bytes of IP and UDP headers each
        let sum = |at| {
            sent(at)
                .values()
                .map(|t| t.bytes + 28 * t.messages)
                .sum::<u64>()
        };
        all.iter().map(|at| sum(*at)).sum()
    };
    let before = bytes(&net);
    net.run(secs(600));
    let rate = (bytes(&net) - before) / 600 / 100;
    println!("{rate} B/s a node");
    assert!(rate <= 450, "{rate} B/s a node");
}

#[test]
fn routes_are_short() {
    let mut net = Net::new(seed(9));
    let all = net.ring(100);
    net.run(secs(600));
    let mut hops = (0u32, 0u32);
    for (i, at) in all.iter().enumerate() {
        let object = ObjectId::from_name(&i.to_be_bytes());
        let found = net.lookup(*at, |r| r.object = object).expect("an answer");
        hops = (hops.0 + u32::from(found.hops), hops.1 + 1);
        let start = net.now;
        net.lookup(*at, |r| r.object = object).expect("an answer");
        assert!(net.now - start <= secs(1));
    }
    let mean = f64::from(hops.0) / f64::from(hops.1);
    println!("{mean} index nodes passed on average");
    assert!(mean <= 3.5, "{mean} hops on average");
}

#[test]
fn entries_follow_the_coordinate_of_their_index_node() {
    let mut net = Net::new(seed(10));
    let all = net.ring(20);
    // Published by a node that has only just come and does not know where it is.
    let late = net.add(addr(500), joining(all[0]));
    let p = chunkcast::node::Publication {
        complete: true,
        ..holds(1, [0])
    };
    net.command(late, publish(p));
    net.run(secs(180));
    let now = net.node(late).snapshot().coord;
    let root = net.root_of(object("o").key());
    let told = net.lookup(root, |_| ()).expect("an answer").matches[0].coord;
    for (a, b) in told.position.iter().zip(now.position) {
        assert!((a - b).abs() < 0.02, "{told:?} is not where {now:?} is");
    }
}

#[test]
fn a_root_with_entries_rests() {
    let mut net = Net::new(seed(11));
    let only = net.add(addr(0), NodeConfig::default());
    let mut wakes = 0;
    net.command(only, publish(holds(1, [0])));
    net.run(secs(10));
    let mut last = net.node(only).poll_timeout();
    let end = net.now + secs(60);
    while net.now < end {
        net.run(ms(100));
        let next = net.node(only).poll_timeout();
        wakes += u32::from(next != last);
        last = next;
    }
    // A minute of upkeep: 4 leaf pings, 1 table ping, 4 exchanges, 3 + 1.5 tunings and a propagation or two.
    assert!(wakes < 30, "{wakes} wake-ups in a quiet minute");
}

#[test]
fn nodes_that_only_have_ipv6_addresses_form_one_ring() {
    let mut net = Net::new(seed(12));
    let at = |i: u16| std::net::SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, i], 7000));
    let first = net.add(at(0), NodeConfig::default());
    for i in 1..40 {
        net.add(at(i), joining(first));
        net.run(ms(50));
    }
    net.run(secs(60));
    for i in 0..40u16 {
        let object = ObjectId::from_name(&i.to_be_bytes());
        let found = net.lookup(at(i), |r| r.object = object).expect("an answer");
        assert_eq!(found.by, net.node(net.root_of(object.key())).id());
    }
}
