//! Hints about nodes to join through come from strangers, and most of them are dead: they must not keep a live one out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::node::{Command, Node, NodeConfig};
use chunkcast::time::Instant;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// Where the node sends to until `end`.
fn asked(node: &mut Node, now: &mut Instant, end: Instant) -> BTreeSet<SocketAddr> {
    let mut to = BTreeSet::new();
    loop {
        while let Some(transmit) = node.poll_transmit() {
            to.insert(transmit.to);
        }
        while node.poll_event().is_some() {}
        match node.poll_timeout().filter(|at| *at < end) {
            Some(at) => *now = at.max(*now),
            None => return to,
        }
        node.handle_timeout(*now);
    }
}

#[test]
fn a_hint_that_comes_after_many_dead_ones_is_tried_and_named_nodes_stay() {
    let mut config = NodeConfig {
        bootstrap: vec![addr(1)],
        ..NodeConfig::default()
    };
    config.limits.bootstrap = 8;
    let mut now = Instant::from_micros(1);
    let mut node = Node::new(config, [1; 32], now).expect("valid");
    for port in 100..200 {
        node.handle_command(Command::Bootstrap(vec![addr(port)]), now);
    }
    let later = now + Duration::from_secs(60);
    asked(&mut node, &mut now, later);
    let pause = now + Duration::from_secs(60);
    let still = asked(&mut node, &mut now, pause);
    assert!(still.len() <= 8, "{still:?}");
    node.handle_command(Command::Bootstrap(vec![addr(2)]), now);
    let later = now + Duration::from_secs(600);
    let asked = asked(&mut node, &mut now, later);
    assert!(asked.contains(&addr(2)), "the live one: {asked:?}");
    assert!(asked.contains(&addr(1)), "the named one: {asked:?}");
}
