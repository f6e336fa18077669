//! Rings of a few hundred nodes on unequal links: they form, stay whole, and heal. Larger ones: `chunkcast-sim overlay`.

#![cfg(feature = "sim")]
#![allow(clippy::print_stdout, reason = "a failure prints its seed")]

mod common;

use std::time::Duration;

use chunkcast::node::{Command, Event, NodeConfig, Role};
use chunkcast::sim::{Links, Net, Scenario, Score, Topology, What, convergence};

use common::{secs, seed};

fn empty(places: usize, seed: u64) -> Scenario {
    let net = Net::new(Topology::synthetic(places, seed), Links::default(), seed);
    Scenario::new(net, NodeConfig::default())
}

/// A ring that everyone joined within `within`, and a minute.
fn ring(nodes: usize, within: Duration, seed: u64) -> Scenario {
    let mut s = empty(nodes, seed);
    s.join_all(0..nodes, within);
    s.run(within + secs(60));
    assert_eq!(s.net.members().len(), nodes);
    s
}

fn lookups(s: &mut Scenario, count: u32, within: Duration) -> Score {
    s.take_score();
    s.probe(Some(within / count));
    s.run(within);
    s.probe(None);
    s.run(secs(6));
    s.take_score()
}

#[test]
fn a_thousand_nodes_that_join_within_seconds_form_one_ring() {
    let nodes = 1_000;
    let mut s = empty(nodes, seed(31));
    s.join_all(0..nodes, secs(20));
    let whole = |net: &Net| net.members().len() == nodes;
    assert!(
        s.run_until(secs(60), whole),
        "{} members",
        s.net.members().len()
    );
    s.run(secs(10));
    let score = lookups(&mut s, 1_000, secs(10));
    assert_eq!(score.right, score.ended, "{score:?}");
    assert!(score.ended >= 990 && score.mean_hops() <= 3.0 && score.max_hops() <= 5);
}

#[test]
fn near_nodes_meet_early_after_five_minutes_and_upkeep_stays_cheap() {
    let nodes = 200;
    let mut s = ring(nodes, secs(10), seed(32));
    s.run(secs(180));
    let bytes = |s: &Scenario| -> u64 {
        let totals = s.net.totals();
        totals.values().map(|t| t.bytes + 28 * t.messages).sum()
    };
    let before = bytes(&s);
    s.run(secs(60));
    let rate = (bytes(&s) - before) / 60 / nodes as u64;
    assert!(rate <= 300, "{rate} B/s a node");
    let near = convergence(&mut s.net, 500).bands[0];
    assert!(
        near.percent() >= 0.9 * near.ideal_percent(),
        "{:.1} % of pairs under 5 ms meet, {:.1} % with perfect tables",
        near.percent(),
        near.ideal_percent()
    );
    let score = lookups(&mut s, 500, secs(10));
    assert_eq!(score.right, score.ended);
    assert!(score.stretch() <= 1.5, "{}", score.stretch());
}

#[test]
fn five_per_cent_loss_with_jitter_and_reordering_misleads_few_lookups() {
    let mut s = ring(100, secs(5), seed(33));
    s.net.links = Links {
        loss: 0.05,
        jitter: 0.1,
        reorder: 0.02,
    };
    s.run(secs(60));
    let score = lookups(&mut s, 1_000, secs(30));
    assert!(
        score.right_percent() >= 98.0,
        "{:.2} %",
        score.right_percent()
    );
    s.net.links = Links::default();
    s.run(secs(90));
    let score = lookups(&mut s, 300, secs(10));
    assert_eq!(score.right, score.ended, "once nothing is lost any more");
}

#[test]
fn a_ring_that_was_cut_in_two_is_whole_again_ten_minutes_after_the_cut_is_mended() {
    let nodes = 60;
    let mut s = ring(nodes, secs(10), seed(34));
    for place in 0..nodes / 2 {
        s.net.set_group(place, 1);
    }
    s.run(secs(400));
    let score = lookups(&mut s, 200, secs(10));
    assert!(
        score.right < score.ended * 3 / 4,
        "each half has roots of its own"
    );
    assert_eq!(score.failed, 0, "and each half answers");
    for place in 0..nodes / 2 {
        s.net.set_group(place, 0);
    }
    s.run(secs(600));
    let score = lookups(&mut s, 500, secs(10));
    assert_eq!(score.right, score.ended);
}

#[test]
fn the_neighbour_takes_over_from_a_dead_root_at_once() {
    let mut s = ring(100, secs(5), seed(35));
    s.take_score();
    for _ in 0..20 {
        let key = s.net.random_id();
        let root = s.net.root_of(&key).expect("a ring");
        s.net.kill(root);
        let asker = s.net.random_member().expect("somebody lives");
        s.look_up(asker, key);
        s.run(secs(5));
    }
    let outcomes = s.outcomes();
    assert_eq!(outcomes.len(), 20);
    assert!(outcomes.iter().all(|o| o.right), "{outcomes:?}");
    assert!(outcomes.iter().all(|o| o.took < secs(4)), "{outcomes:?}");
}

#[test]
fn a_majority_behind_nats_uses_the_ring_and_never_enters_it() {
    let (nodes, all) = (40, 120);
    let mut s = empty(all, seed(36));
    s.join_all(0..nodes, secs(5));
    s.run(secs(40));
    for place in nodes..all {
        s.net.set_nat(place);
        let known = s.net.random_member().expect("a ring");
        let config = NodeConfig {
            role: Role::Client,
            bootstrap: vec![s.net.addr(known)],
            ..NodeConfig::default()
        };
        s.join_as(place, config);
    }
    s.run(secs(30));
    assert_eq!(s.net.members().len(), nodes);
    s.take_score();
    for place in nodes..all {
        let key = s.net.random_id();
        s.look_up(place, key);
    }
    s.run(secs(6));
    let score = s.take_score();
    assert_eq!((score.right, score.ended), (80, 80));
    let hidden: Vec<_> = (nodes..all).map(|place| s.net.addr(place)).collect();
    for place in 0..nodes {
        let known = s.net.node(place).expect("nobody left").contacts();
        assert!(known.iter().all(|c| !hidden.contains(&c.addr)));
    }
}

/// Lookups at the right root after some minutes of churn, and B/s a node.
fn under_churn(minutes: f64, seed: u64) -> Score {
    let mut s = ring(100, secs(5), seed);
    s.churn(Some(secs(60).mul_f64(minutes)));
    s.run(secs(120));
    let score = lookups(&mut s, 3_000, secs(60));
    println!(
        "{minutes} min: {:.2} % right, {} deaths",
        score.right_percent(),
        s.deaths()
    );
    assert!(score.ended > 2_000);
    score
}

#[test]
fn sessions_of_an_hour_and_of_a_quarter_mislead_next_to_no_lookup() {
    assert!(under_churn(60.0, seed(37)).right_percent() >= 99.9);
    assert!(under_churn(15.0, seed(37)).right_percent() >= 99.8);
}

#[test]
fn sessions_of_five_minutes_and_of_one_and_a_half_mislead_few() {
    assert!(under_churn(5.0, seed(38)).right_percent() >= 99.0);
    assert!(under_churn(1.4, seed(38)).right_percent() >= 95.0);
}

#[test]
fn who_says_farewell_is_out_of_the_leaf_sets_within_a_second() {
    let mut s = ring(40, secs(2), seed(39));
    let key = s.net.random_id();
    let root = s.net.root_of(&key).expect("a ring");
    let (gone, leaves) = {
        let node = s.net.node(root).expect("alive");
        let leaves = node.snapshot().leaves;
        (s.net.addr(root).to_string(), leaves)
    };
    s.net.command(root, Command::Leave);
    let end = s.net.now() + secs(2);
    let farewell =
        |what: &What| matches!(what, What::Event { place, event: Event::Left } if *place == root);
    let left = std::iter::from_fn(|| s.net.next(end)).any(|h| farewell(&h.what));
    assert!(left);
    s.net.kill(root);
    s.run(secs(1));
    for leaf in leaves {
        let at = leaf.addr.parse().expect("an address");
        let node = s.net.place_of(at).and_then(|p| s.net.node(p));
        let known = node.expect("alive").snapshot().leaves;
        assert!(known.iter().all(|l| l.addr != gone), "{at} still knows it");
    }
}

#[test]
fn nobody_is_evicted_because_someone_else_says_farewell_in_its_name() {
    let mut s = ring(20, secs(2), seed(40));
    let (victim, other) = (s.net.addr(3), s.net.addr(4));
    let forged = chunkcast::wire::encode(&chunkcast::wire::Envelope {
        tx: 1,
        sender: chunkcast::wire::Sender {
            id: s.net.node(3).expect("alive").id(),
            coord: Default::default(),
            client: true,
        },
        token: None,
        body: chunkcast::wire::Body::Ping,
    });
    s.net.inject(victim, other, &forged.expect("it fits"));
    s.run(secs(3));
    let known = s.net.node(4).expect("alive").contacts();
    assert!(known.iter().any(|c| c.addr == victim));
}

#[test]
fn a_saved_table_brings_a_node_back_when_its_bootstrap_is_gone() {
    let mut s = ring(50, secs(5), seed(41));
    let saved: Vec<_> = s.net.node(7).expect("alive").contacts();
    assert!(saved.len() >= 20);
    s.net.kill(7);
    s.run(secs(120));
    let config = NodeConfig {
        bootstrap: saved.iter().map(|c| c.addr).collect(),
        ..NodeConfig::default()
    };
    s.join_as(7, config);
    let back = |net: &Net| net.members().len() == 50;
    assert!(s.run_until(secs(10), back));
}

#[test]
fn a_node_whose_bootstrap_is_in_no_table_does_not_join_again_and_again() {
    // In a large ring most bootstrap nodes are.
    let mut s = ring(200, secs(10), seed(42));
    s.run(secs(60));
    let joins = |s: &Scenario| s.net.totals()["join"].messages;
    let pings = |s: &Scenario| s.net.totals()["ping"].messages;
    let before = (joins(&s), pings(&s));
    s.run(secs(60));
    let after = (joins(&s), pings(&s));
    assert!(after.0 - before.0 <= 200, "{} joins", after.0 - before.0);
    let each = (after.1 - before.1) / 200;
    assert!(each <= 90, "{each} pings a node in a calm minute");
}

#[test]
fn a_ring_that_doubles_within_a_second_is_one_ring_half_a_minute_later() {
    let nodes = 300;
    let mut s = empty(nodes, seed(43));
    s.join_all(0..nodes / 2, secs(10));
    s.run(secs(60));
    s.join_all(nodes / 2..nodes, secs(1));
    let whole = |net: &Net| net.members().len() == nodes;
    assert!(s.run_until(secs(20), whole), "{}", s.net.members().len());
    s.run(secs(10));
    let score = lookups(&mut s, 500, secs(10));
    assert_eq!(score.right, score.ended, "{score:?}");
}

#[test]
fn lookups_find_around_a_third_of_the_ring_that_dies_at_once() {
    let nodes = 300;
    let mut s = ring(nodes, secs(10), seed(44));
    s.run(secs(60));
    for place in (0..nodes).step_by(10) {
        (place..place + 3).for_each(|place| s.net.kill(place));
    }
    let score = lookups(&mut s, 500, secs(5));
    assert_eq!(score.failed, 0, "every lookup is answered: {score:?}");
    assert!(
        score.right_percent() >= 97.0,
        "{:.2} % at the right root in the first seconds",
        score.right_percent()
    );
    s.run(secs(120));
    let score = lookups(&mut s, 500, secs(10));
    assert_eq!(score.right, score.ended, "{score:?}");
}

#[test]
fn a_whole_population_finds_its_ring_again_by_its_saved_tables_alone() {
    let nodes = 80;
    let mut s = ring(nodes, secs(5), seed(45));
    s.run(secs(60));
    let saved: Vec<NodeConfig> = (0..nodes)
        .map(|place| {
            let node = s.net.node(place).expect("nobody left");
            NodeConfig {
                id: Some(node.id()),
                bootstrap: node.contacts().iter().map(|c| c.addr).collect(),
                ..NodeConfig::default()
            }
        })
        .collect();
    (0..nodes).for_each(|place| s.net.kill(place));
    s.run(secs(10));
    for (place, config) in saved.into_iter().enumerate() {
        s.net.restart(place, config).expect("it was valid before");
    }
    let whole = |net: &Net| net.members().len() == nodes;
    assert!(s.run_until(secs(60), whole), "{}", s.net.members().len());
    s.run(secs(330)); // rings that formed apart look for each other every 300 s
    let score = lookups(&mut s, 300, secs(10));
    assert_eq!(score.right, score.ended, "{score:?}");
}

#[test]
fn one_living_address_among_sixty_dead_ones_is_found_within_half_a_minute() {
    let mut s = ring(120, secs(5), seed(46));
    s.run(secs(30));
    let mut bootstrap: Vec<_> = (0..60).map(|place| s.net.addr(place)).collect();
    (0..60).for_each(|place| s.net.kill(place));
    s.run(secs(120));
    bootstrap.push(s.net.addr(61));
    let config = NodeConfig {
        bootstrap,
        ..NodeConfig::default()
    };
    s.join_as(0, config);
    let joined = |net: &Net| net.members().len() == 61;
    assert!(s.run_until(secs(30), joined));
}

#[test]
fn neighbours_go_through_the_same_one_of_several_equally_near_contacts() {
    let mut s = ring(300, secs(10), seed(47));
    s.run(secs(240));
    // One site: all its nodes are within a few milliseconds of each other.
    let site = s.net.topology().site(0);
    let here: Vec<usize> = (0..300)
        .filter(|p| s.net.topology().site(*p) == site)
        .collect();
    let far =
        |s: &Scenario, a: usize, b: usize| s.net.topology().rtt(a, b) < Duration::from_millis(2);
    let near: Vec<usize> = here
        .iter()
        .copied()
        .filter(|p| far(&s, here[0], *p))
        .collect();
    assert!(near.len() >= 4, "{near:?}");
    let (mut same, mut all) = (0, 0);
    for _ in 0..200 {
        let key = s.net.random_id();
        let digit = |id: &chunkcast::id::Id| id.digit(0);
        let asking = near.iter().filter_map(|p| s.net.node(*p));
        let away = asking.filter(|n| digit(&n.id()) != digit(&key));
        let hops: Vec<_> = away.filter_map(|n| n.next_hop(&key, &[])).collect();
        all += hops.len().saturating_sub(1);
        same += hops.windows(2).filter(|w| w[0].id == w[1].id).count();
    }
    assert!(same * 10 >= all * 8, "{same} of {all} neighbours agree");
}
