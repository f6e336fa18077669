//! A node that is started together with the one that it joins through: its first ping finds nobody, the join is quick
//! nevertheless, and an address that never answers is sent few datagrams.

mod common;

use std::time::Duration;

use chunkcast::node::{Command, Node, NodeConfig, Role};
use chunkcast::time::Instant;
use chunkcast::wire::{self, Body};

use common::*;

/// A net where `joiner` wants to join through `via`, which nobody has started yet.
fn cold(seed: u64, config: NodeConfig) -> (Net, Instant) {
    let mut net = Net::new(seed);
    net.trace = Some(Vec::new());
    let start = net.now;
    net.add(addr(1), config);
    (net, start)
}

/// When the joiner sent such a message, since `start`.
fn said(net: &Net, start: Instant, is: impl Fn(&Body) -> bool) -> Vec<Duration> {
    let trace = net.trace.as_ref().expect("traced");
    let mine = trace.iter().filter(|(_, from, _, datagram)| {
        *from == addr(1) && is(&wire::decode(datagram).expect("own message").body)
    });
    mine.map(|(at, ..)| Instant::from_micros(*at) - start)
        .collect()
}

/// Datagrams to an address.
fn sent_to(net: &Net, to: std::net::SocketAddr) -> usize {
    let trace = net.trace.as_ref().expect("traced");
    trace.iter().filter(|(_, _, there, _)| *there == to).count()
}

/// How long the join takes if the other node comes `late`.
fn joined_after(seed: u64, late: Duration, role: Role) -> Duration {
    let config = NodeConfig {
        role,
        ..joining(addr(0))
    };
    let (mut net, start) = cold(seed, config);
    net.run(late);
    net.add(addr(0), NodeConfig::default());
    net.run_until(secs(120), |net| net.node(addr(1)).is_joined());
    net.now - start
}

#[test]
fn a_node_whose_first_ping_is_lost_as_the_other_one_starts_has_joined_a_second_later() {
    for role in [Role::Index, Role::Client] {
        let took: Vec<_> = (0..50)
            .map(|s| joined_after(seed(s), ms(300), role))
            .collect();
        let mean = took.iter().sum::<Duration>() / 50;
        let most = took.iter().max().expect("fifty");
        assert!(mean <= ms(1_000), "{role:?}: {mean:?} on average");
        // At the worst a pause ends just as the other node comes, and the next is half a second, half as long again.
        assert!(*most <= ms(1_400), "{role:?}: {most:?}");
    }
}

#[test]
fn a_node_that_comes_seconds_late_is_found_within_twice_that() {
    for s in 0..20 {
        let took = joined_after(seed(s), secs(3), Role::Index);
        assert!(took <= secs(8), "{took:?}");
    }
}

#[test]
fn the_late_answer_to_the_first_ping_begins_the_join_and_those_to_later_ones_begin_no_other() {
    for s in 0..20 {
        let mut net = Net::new(seed(s));
        net.latency = Box::new(|_, _| ms(300));
        net.trace = Some(Vec::new());
        net.add(addr(0), NodeConfig::default());
        let start = net.now;
        net.add(addr(1), joining(addr(0)));
        net.run(secs(20));
        assert!(net.node(addr(1)).is_joined());
        let pings = said(&net, start, |b| matches!(b, Body::Ping));
        assert!(pings[1] < ms(600), "asked again meanwhile: {pings:?}");
        let joins = said(&net, start, |b| matches!(b, Body::Join { .. }));
        assert_eq!(joins, [ms(600)], "a round trip after the first ping");
    }
}

#[test]
fn a_dead_bootstrap_address_is_sent_ten_datagrams_in_the_first_minute_and_two_later() {
    for s in 0..50 {
        for role in [Role::Index, Role::Client] {
            let config = NodeConfig {
                role,
                ..joining(addr(0))
            };
            let (mut net, start) = cold(seed(s), config);
            net.run(secs(60));
            let pings = said(&net, start, |b| matches!(b, Body::Ping));
            assert!((7..=10).contains(&pings.len()), "{pings:?}");
            assert_eq!(sent_to(&net, addr(0)), pings.len());
            net.run(secs(240)); // the longest pause is reached
            let before = sent_to(&net, addr(0));
            net.run(secs(600));
            let later = sent_to(&net, addr(0)) - before;
            assert!((5..=20).contains(&later), "{later} in ten minutes");
        }
    }
}

#[test]
fn hints_do_not_make_a_node_ask_a_dead_address_faster_than_its_pings_time_out() {
    for gap in [100, 400, 1_500] {
        let (mut net, _) = cold(seed(1), joining(addr(0)));
        for n in 0..60_000 / gap {
            let hints = vec![addr(0), addr(2), addr(100 + n)];
            net.command(addr(1), Command::Bootstrap(hints));
            net.run(ms(gap as u64));
        }
        // One every three seconds, and five beside.
        let sent = sent_to(&net, addr(0));
        assert!(sent <= 26, "{sent}, with hints every {gap} ms");
        let hinted = sent_to(&net, addr(2));
        assert!(hinted <= 21, "nobody configured it: {hinted}");
    }
}

#[test]
fn a_node_in_a_ring_asks_a_dead_bootstrap_address_only_when_it_looks_for_other_rings() {
    let mut net = Net::new(seed(1));
    let all = net.ring(5);
    let config = NodeConfig {
        bootstrap: vec![all[0], addr(1_000)],
        ..NodeConfig::default()
    };
    net.trace = Some(Vec::new());
    net.add(addr(900), config);
    net.run_until(secs(20), |net| net.nodes.values().all(Node::is_joined));
    assert_eq!(sent_to(&net, addr(1_000)), 1, "with the first one");
    net.run(secs(3_000));
    let looks = sent_to(&net, addr(1_000)) - 1;
    assert!((5..=20).contains(&looks), "{looks}: one in 300 s");
}
