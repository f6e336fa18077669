//! Nodes die, datagrams are lost, rings split: lookups go on.

mod common;

use chunkcast::id::ObjectId;
use chunkcast::node::{Command, Event, LookupError, NodeConfig, Publication};
use common::*;

#[test]
fn lookups_are_answered_while_a_tenth_of_the_ring_has_just_died() {
    let mut net = Net::new(seed(11));
    let all = net.ring(60);
    net.run(secs(120));
    let publisher = all[1];
    net.command(publisher, publish(holds(1, [0])));
    net.run(secs(15));
    for dead in all.iter().skip(3).step_by(10) {
        net.kill(*dead);
    }
    let living: Vec<_> = net.nodes.keys().copied().collect();
    let mut answered = 0;
    for (i, at) in living.iter().enumerate() {
        let object = ObjectId::from_name(&i.to_be_bytes());
        answered += usize::from(net.lookup(*at, |r| r.object = object).is_ok());
    }
    assert!(
        answered * 100 >= living.len() * 99,
        "{answered} of {}",
        living.len()
    );
    // Within the suspects' minute everybody agrees on the roots again.
    net.run(secs(120));
    for at in &living {
        let found = net.lookup(*at, |_| ()).expect("an answer");
        let root = net.root_of(object("o").key());
        assert!(!found.root || found.by == net.node(root).id());
        assert_eq!(found.matches.len(), 1, "asked through {at}");
    }
}

#[test]
fn the_entries_of_a_dead_root_are_at_the_new_one_after_two_minutes() {
    let mut net = Net::new(seed(12));
    let all = net.ring(30);
    net.run(secs(60));
    for (n, at) in (1..=6).zip(&all) {
        net.command(*at, publish(holds(n, [0])));
    }
    net.run(secs(20));
    let root = net.root_of(object("o").key());
    net.kill(root);
    // The dead node's own entry ends with it, everyone else's is there.
    let own = all[..6].contains(&root);
    // Whoever has it in its table notices within 1.5 periods of the slowest ping, 60 s.
    net.run(secs(120));
    let root = net.root_of(object("o").key());
    let found = net
        .lookup(root, |r| (r.p, r.asker) = (8, peer(99)))
        .expect("an answer");
    assert!(
        found.root && found.matches.len() >= 6 - usize::from(own),
        "{found:?}"
    );
}

#[test]
fn a_lookup_survives_the_death_of_its_first_hop_at_once() {
    let mut net = Net::new(seed(13));
    let all = net.ring(30);
    net.run(secs(60));
    let key = object("o");
    let root = net.root_of(key.key());
    let before = |net: &Net| {
        all.iter()
            .filter(|a| net.nodes.contains_key(a) && **a != root)
            .copied()
            .collect::<Vec<_>>()
    };
    for at in before(&net).into_iter().take(5) {
        let found = net.lookup(at, |_| ()).expect("an answer");
        assert_eq!(found.by, net.node(root).id());
    }
    net.kill(root);
    for at in all.iter().filter(|a| **a != root) {
        let start = net.now;
        let found = net
            .lookup(*at, |_| ())
            .expect("an answer by the next candidate");
        assert!(found.root);
        assert!(net.now - start < secs(5));
    }
}

#[test]
fn every_lookup_is_answered_at_five_per_cent_loss() {
    let mut net = Net::new(seed(14));
    let all = net.ring(30);
    net.run(secs(60));
    net.loss = 0.05;
    net.run(secs(60));
    let mut lost = 0;
    for (i, at) in all.iter().cycle().take(200).enumerate() {
        let object = ObjectId::from_name(&i.to_be_bytes());
        lost += u32::from(net.lookup(*at, |r| r.object = object).is_err());
    }
    assert!(lost <= 4, "{lost} of 200 lookups failed");
    net.loss = 0.0;
    net.run(secs(120));
    for at in &all {
        let found = net.lookup(*at, |_| ()).expect("an answer");
        assert_eq!(found.by, net.node(net.root_of(object("o").key())).id());
    }
}

#[test]
fn a_ring_forms_at_ten_per_cent_loss() {
    let mut net = Net::new(seed(15));
    net.loss = 0.1;
    let all = net.ring(20);
    net.loss = 0.0;
    net.run(secs(120));
    for at in &all {
        let found = net.lookup(*at, |_| ()).expect("an answer");
        assert_eq!(found.by, net.node(net.root_of(object("o").key())).id());
    }
}

#[test]
fn a_node_whose_bootstrap_is_not_there_yet_joins_when_it_comes() {
    let mut net = Net::new(seed(16));
    let early = net.add(addr(1), joining(addr(0)));
    net.run(secs(100));
    assert!(!net.node(early).is_joined());
    let pings = net.node(early).snapshot().counters.sent["ping"].messages;
    assert!((4..=20).contains(&pings), "{pings} attempts in 100 s");
    net.command(early, publish(holds(1, [0])));
    let alone = net
        .lookup(early, |_| ())
        .expect("what the node knows itself");
    assert_eq!((alone.root, alone.matches.len()), (false, 1));
    let late = net.add(addr(0), NodeConfig::default());
    net.run_until(secs(100), |net| net.node(early).is_joined());
    net.run(secs(20));
    assert_eq!(
        net.lookup(late, |_| ()).expect("an answer").matches.len(),
        1
    );
}

#[test]
fn nodes_that_name_each_other_and_themselves_form_one_ring() {
    let mut net = Net::new(seed(17));
    let everyone: Vec<_> = (0..5).map(addr).collect();
    for at in &everyone {
        net.add(
            *at,
            NodeConfig {
                bootstrap: everyone.clone(),
                ..NodeConfig::default()
            },
        );
    }
    net.run_until(secs(60), |net| net.nodes.values().all(|n| n.is_joined()));
    net.run(secs(60));
    for at in &everyone {
        assert_eq!(net.node(*at).snapshot().peers, 4);
    }
}

#[test]
fn two_rings_merge_when_one_hears_of_the_other() {
    let mut net = Net::new(seed(18));
    let ring = |net: &mut Net, from: usize| {
        let first = net.add(addr(from), NodeConfig::default());
        for i in 1..12 {
            net.add(addr(from + i), joining(first));
            net.run(ms(50));
        }
        first
    };
    let (one, two) = (ring(&mut net, 0), ring(&mut net, 100));
    net.run(secs(60));
    net.command(one, Command::Bootstrap(vec![two]));
    net.run(secs(180));
    let root = net.root_of(object("o").key());
    for at in net.nodes.keys().copied().collect::<Vec<_>>() {
        let found = net.lookup(at, |_| ()).expect("an answer");
        assert_eq!(found.by, net.node(root).id(), "asked through {at}");
    }
}

#[test]
fn a_split_ring_finds_together_again() {
    let mut net = Net::new(seed(19));
    let all = net.ring(12);
    net.run(secs(60));
    let split = move |a: std::net::SocketAddr| all.iter().position(|x| *x == a).expect("known") % 2;
    let far = Box::new(move |a, b| {
        if split(a) == split(b) {
            ms(20)
        } else {
            secs(1_000_000)
        }
    });
    let near = std::mem::replace(&mut net.latency, far);
    net.run(secs(180));
    assert!(
        net.nodes.values().all(|n| n.snapshot().peers == 5),
        "two rings of six"
    );
    net.latency = near;
    net.run(secs(600));
    for node in net.nodes.values() {
        assert_eq!(node.snapshot().peers, 11);
    }
}

#[test]
fn a_node_with_nobody_left_answers_alone_and_comes_back() {
    let mut net = Net::new(seed(20));
    let all = net.ring(2);
    net.run(secs(30));
    net.kill(all[0]);
    net.run(secs(200));
    let alone = net.lookup(all[1], |_| ()).expect("an answer");
    assert_eq!((alone.root, alone.hops), (true, 1));
    net.add(all[0], NodeConfig::default());
    net.run(secs(120));
    assert_eq!(net.node(all[1]).snapshot().peers, 1);
}

#[test]
fn leaving_withdraws_everywhere() {
    let mut net = Net::new(seed(21));
    let all = net.ring(20);
    net.command(
        all[5],
        publish(Publication {
            complete: true,
            ..holds(1, [0])
        }),
    );
    net.run(secs(20));
    let root = net.root_of(object("o").key());
    assert_eq!(
        net.lookup(root, |_| ()).expect("an answer").matches.len(),
        1
    );
    net.command(all[5], Command::Leave);
    net.run(secs(2));
    assert!(net.events[&all[5]].contains(&Event::Left));
    net.kill(all[5]);
    net.run(secs(10));
    let root = net.root_of(object("o").key());
    assert_eq!(
        net.lookup(root, |_| ()).expect("an answer").matches.len(),
        0
    );
}

#[test]
fn without_any_answer_the_lookup_ends_with_what_is_known() {
    let mut net = Net::new(seed(22));
    let all = net.ring(30);
    net.run(secs(60));
    // Somebody takes the request over, and then nobody says anything any more.
    let slow = net.root_of(object("o").key());
    let at = *all.iter().find(|a| **a != slow).expect("thirty nodes");
    net.command(at, publish(holds(1, [0])));
    net.latency = Box::new(move |a, b| match () {
        () if a == slow || b == slow => secs(3600),
        () => secs(30),
    });
    let start = net.now;
    match net.lookup(at, |_| ()) {
        Err(LookupError::Timeout { partial }) => assert_eq!(partial.len(), 1),
        Ok(found) => assert_eq!(found.matches.len(), 1, "the asker's own knowledge"),
        Err(other) => panic!("{other}"),
    }
    assert!(net.now - start <= secs(6));
}

#[test]
fn a_root_that_starts_anew_at_the_same_address_holds_everything_after_a_seeds_refresh() {
    let mut net = Net::new(seed(23));
    let all = net.ring(6);
    net.run(secs(30));
    let root = net.root_of(object("o").key());
    let others: Vec<_> = all.iter().filter(|a| **a != root).copied().collect();
    // More than the datagram that goes along with any news.
    let roots = |o: &ObjectId| net.root_of(o.key()) == root;
    let objects = (0..u16::MAX).map(|i| ObjectId::from_name(&i.to_be_bytes()));
    let objects: Vec<ObjectId> = objects.filter(roots).take(41).collect();
    let (news, objects) = objects.split_first().expect("41 objects");
    let seeds = |n, object: &ObjectId| Publication {
        object: *object,
        complete: true,
        ..holds(n, [0])
    };
    for (n, at) in (1..).zip(&others) {
        for object in objects {
            net.command(*at, publish(seeds(n, object)));
        }
    }
    net.run(secs(20));
    let held = |net: &Net| -> usize {
        let node = net.node(root);
        objects.iter().map(|o| node.entries(o).len()).sum()
    };
    assert_eq!(held(&net), 200);
    let id = net.node(root).id();
    net.kill(root);
    let config = NodeConfig {
        id: Some(id),
        ..joining(others[0])
    };
    net.add(root, config);
    net.run(secs(1));
    for (n, at) in (1..).zip(&others) {
        net.command(*at, publish(seeds(n, news)));
    }
    net.run(secs(725));
    assert_eq!(held(&net), 200);
}
