//! Rings form, agree on roots, and heal.

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
