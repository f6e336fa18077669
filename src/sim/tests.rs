//! The simulator itself.

use std::time::Duration;

use super::*;
use crate::node::NodeConfig;

fn ring(nodes: usize, links: Links, seed: u64) -> Scenario {
    let net = Net::new(Topology::synthetic(nodes, seed), links, seed);
    let mut scenario = Scenario::new(net, NodeConfig::default());
    scenario.join_all(0..nodes, Duration::from_secs(5));
    scenario.run(Duration::from_secs(60));
    scenario
}

#[test]
fn the_same_seed_gives_the_same_datagrams_and_another_one_does_not() {
    let links = Links {
        loss: 0.02,
        jitter: 0.1,
        reorder: 0.05,
    };
    let digest = |seed| {
        let mut s = ring(40, links, seed);
        s.churn(Some(Duration::from_secs(300)));
        s.probe(Some(Duration::from_millis(100)));
        s.run(Duration::from_secs(60));
        (s.net.digest(), s.net.sent(), s.take_score())
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1).0, digest(2).0);
}

#[test]
fn a_quiet_ring_is_judged_faultless_and_the_time_of_a_lookup_is_that_of_its_links() {
    let mut s = ring(60, Links::default(), 3);
    s.probe(Some(Duration::from_millis(50)));
    s.run(Duration::from_secs(30));
    s.probe(None);
    s.run(Duration::from_secs(10));
    let score = s.take_score();
    assert!(score.ended >= 590, "{score:?}");
    assert_eq!((score.right, score.failed), (score.ended, 0));
    assert!((1.0..3.0).contains(&score.stretch()), "{}", score.stretch());
    assert!(score.hops[&0] > 0 && score.hops[&1] > 0);
}

#[test]
fn loss_partitions_and_nats_keep_datagrams_away() {
    let mut s = ring(12, Links::default(), 4);
    let peers = |s: &Scenario, place: usize| s.net.node(place).expect("alive").snapshot().peers;
    assert_eq!(peers(&s, 0), 11);
    for place in 0..4 {
        s.net.set_group(place, 1);
    }
    s.run(Duration::from_secs(300));
    assert_eq!((peers(&s, 0), peers(&s, 11)), (3, 7));
    s.net.links.loss = 1.0;
    s.run(Duration::from_secs(300));
    assert_eq!(peers(&s, 11), 0);
}

#[test]
fn nobody_reaches_a_node_behind_a_nat_unasked() {
    let mut net = Net::new(Topology::synthetic(2, 5), Links::default(), 5);
    net.set_nat(0);
    net.spawn(0, NodeConfig::default())
        .expect("a valid configuration");
    let inside = net.addr(0);
    let told = NodeConfig {
        bootstrap: vec![inside],
        ..NodeConfig::default()
    };
    net.spawn(1, told).expect("a valid configuration");
    net.run(Duration::from_secs(30));
    assert!(net.node(0).expect("alive").counters().received.is_empty());
    let outside = net.addr(1);
    net.command(0, crate::node::Command::Bootstrap(vec![outside]));
    net.run(Duration::from_secs(10));
    assert!(net.node(0).expect("alive").counters().received["pong"].messages > 0);
}

#[test]
fn a_matrix_is_read_and_a_broken_one_is_named() {
    let t = Topology::from_matrix("0 10 30\n12\t0\t20\n30 0 0\n", 6, 1).expect("a matrix");
    let ms = |a, b| t.rtt(a, b).as_millis();
    assert_eq!((ms(0, 1), ms(1, 0)), (ms(1, 0), ms(0, 1)));
    assert!((11..=12).contains(&ms(0, 1)), "{}", ms(0, 1));
    assert!(
        (20..=21).contains(&ms(1, 2)),
        "the direction that was measured"
    );
    assert!(t.rtt(0, 3) <= Duration::from_micros(1_200), "one site");
    let error = |text| {
        Topology::from_matrix(text, 2, 1)
            .expect_err("broken")
            .to_string()
    };
    assert!(error("0 1\n1 0 2\n").contains("row 2"));
    assert!(error("0 1\nx 0\n").contains("`x`"));
    assert!(error("0\n").contains("2 to 8192"));
}

#[test]
fn distances_of_a_synthetic_topology_cover_every_band() {
    let t = Topology::synthetic(1_000, 1);
    let mut bands = [0; 4];
    for a in (0..1_000).step_by(7) {
        for b in 0..a {
            let rtt = t.rtt(a, b);
            assert_eq!(rtt, t.rtt(b, a));
            let band = BANDS.iter().position(|(_, limit)| rtt < *limit);
            bands[band.expect("the last has no limit")] += 1;
        }
    }
    assert!(bands.iter().all(|n| *n > 500), "{bands:?}");
}
