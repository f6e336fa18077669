//! Closed networks of real nodes: seen from outside, from within, with wrong clocks, and after a sleep.

mod common;

use std::net::SocketAddr;

use chunkcast::auth::seal::{NetworkKey, SEAL_OVERHEAD, Seal, SealConfig};
use chunkcast::chunks::ChunkSet;
use chunkcast::node::{DropReason, Event, Network, Node, NodeConfig, Publication};
use chunkcast::time::Instant;
use chunkcast::wire::{self, Wanted};
use common::attack::*;
use common::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KEY: NetworkKey = NetworkKey([0x42; 32]);

fn closed(n: usize, bootstrap: &[SocketAddr]) -> NodeConfig {
    NodeConfig {
        bootstrap: bootstrap.to_vec(),
        network: Network::Closed(KEY),
        wall: Some(secs(1_700_000_000) + ms(n as u64 * 50)), // clocks differ
        ..NodeConfig::default()
    }
}

fn closed_ring(seed: u64, n: usize) -> (Net, Vec<SocketAddr>) {
    let mut net = Net::new(seed);
    let mut all = vec![net.add(addr(0), closed(0, &[]))];
    let start = net.now;
    for n in 1..n {
        let mut config = closed(n, &all[..1]);
        config.wall = config.wall.map(|w| w + (net.now - start));
        all.push(net.add(addr(n), config));
        net.run(ms(50));
    }
    net.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
    (net, all)
}

fn received(net: &Net, at: SocketAddr) -> u64 {
    let all = &net.node(at).counters().received;
    all.values().map(|t| t.messages).sum()
}

#[test]
fn a_closed_network_reads_nothing_from_outside_and_nothing_twice() {
    let (mut net, all) = closed_ring(seed(13), 12);
    net.trace = Some(Vec::new());
    net.command(all[4], publish(holds(1, [0])));
    net.run(secs(30));
    assert_eq!(found(&mut net, all[7]), [peer(1)]);
    let trace = net.trace.take().expect("set above");
    assert!(
        trace.iter().all(|(.., bytes)| wire::decode(bytes).is_err()),
        "all is sealed"
    );
    let target = all[3];
    let (before, was) = (received(&net, target), net.node(target).snapshot());
    // Everything that it was sent once more, and everything that was sent to others.
    let mut diverted = 0;
    for (_, from, to, bytes) in &trace {
        let sent = net.sent;
        net.inject(*from, target, bytes);
        if *to == target || *from == target {
            assert_eq!(net.sent, sent, "answered a replay");
        } else {
            diverted += 1;
        }
    }
    assert!(received(&net, target) - before <= diverted);
    assert!(drops(&net, target, DropReason::Replayed) >= trace.len() as u64 - diverted);
    // The second time nothing of it is read.
    let before = received(&net, target);
    for (_, from, _, bytes) in &trace {
        net.inject(*from, target, bytes);
    }
    assert_eq!(received(&net, target), before);
    // Without the key, and with another one.
    let mut stranger = Seal::new(&NetworkKey([1; 32]), [1; 8], SealConfig::default());
    for body in smallest(net.node(target).id()) {
        let bare = say(None, false, body);
        net.inject(addr(500), target, &bare);
        let wall = secs(1_700_000_000);
        net.inject(addr(500), target, &stranger.seal(&bare, wall));
    }
    assert_eq!(received(&net, target), before);
    let view = net.node(target).snapshot();
    assert!(drops(&net, target, DropReason::Unauthenticated) >= 50);
    assert_eq!((view.peers, view.entries), (was.peers, was.entries));
    assert!(view.sessions <= 12, "{} sessions", view.sessions);
}

#[test]
fn what_somebody_with_the_key_seals_is_checked_as_ever() {
    let (mut net, all) = closed_ring(seed(14), 8);
    net.command(all[4], publish(holds(1, [0])));
    net.run(secs(10));
    let target = all[3];
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let mut insider = Seal::new(&KEY, [9; 8], SealConfig::default());
    let wall = secs(1_700_000_000);
    let bodies = smallest(net.node(target).id());
    for n in 0..20_000 {
        let mut bytes = say(None, rng.random(), bodies[n % bodies.len()].clone());
        match n % 3 {
            0 => bytes.truncate(rng.random_range(0..bytes.len())),
            1 => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            _ => rng.fill_bytes(&mut bytes),
        }
        let from = SocketAddr::from(([10, 66, rng.random(), rng.random()], 9));
        let sealed = insider.seal(&bytes, wall + secs(60));
        assert_eq!(sealed.len(), bytes.len() + SEAL_OVERHEAD);
        net.inject(from, target, &sealed);
    }
    let dropped = drops(&net, target, DropReason::Malformed);
    assert!(dropped > 10_000, "{dropped}");
    net.run(secs(60));
    let view = net.node(target).snapshot();
    assert_eq!(view.peers, 7);
    assert_eq!(found(&mut net, all[6]), [peer(1)]);
}

#[test]
fn garbage_and_bent_traffic_harm_no_open_and_no_closed_ring() {
    for sealed in [false, true] {
        let (mut net, all) = match sealed {
            true => closed_ring(seed(15), 8),
            false => {
                let mut net = Net::new(seed(15));
                let all = net.ring(8);
                (net, all)
            }
        };
        net.trace = Some(Vec::new());
        net.command(all[4], publish(holds(1, [0])));
        net.run(secs(20));
        let trace = net.trace.take().expect("set above");
        let mut rng = ChaCha8Rng::seed_from_u64(15);
        for n in 0..20_000 {
            let (_, from, to, bytes) = &trace[n % trace.len()];
            let mut bytes = bytes.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, rng.random()),
                }
            }
            net.inject(*from, *to, &bytes);
            if n % 1_000 == 0 {
                net.run(ms(100));
            }
        }
        net.run(secs(120));
        for at in &all {
            assert_eq!(net.node(*at).snapshot().peers, 7, "sealed {sealed}, {at}");
            assert_eq!(found(&mut net, *at), [peer(1)], "sealed {sealed}, {at}");
        }
    }
}

#[test]
fn a_clock_that_is_off_is_noticed_by_its_owner_and_by_nobody_else() {
    let (mut net, all) = closed_ring(seed(16), 8);
    let late = addr(100);
    let mut config = closed(0, &all[..1]);
    config.wall = config.wall.map(|w| w - secs(3_600));
    net.add(late, config);
    net.run(secs(7_000));
    let warned = |net: &Net, at: SocketAddr| {
        let events = net.events.get(&at).into_iter().flatten();
        events.filter(|e| **e == Event::ClockOff).count()
    };
    assert!(!net.node(late).is_joined());
    assert!(
        (1..=2).contains(&warned(&net, late)),
        "once an hour: {}",
        warned(&net, late)
    );
    assert!(
        all.iter().all(|at| warned(&net, *at) == 0),
        "one clock against many"
    );
    let set = secs(1_700_000_000) + (net.now - Instant::from_micros(1_000_000));
    let now = net.now;
    net.nodes
        .get_mut(&late)
        .expect("it lives")
        .handle_wall(set, now);
    net.run(secs(120));
    assert!(net.node(late).is_joined(), "after its clock was set");
}

#[test]
fn a_clock_that_is_set_back_silences_nobody() {
    let (mut net, all) = closed_ring(seed(20), 8);
    let early = addr(100);
    let mut config = closed(0, &all[..1]);
    config.wall = config.wall.map(|w| w + secs(3_600));
    net.add(early, config);
    net.run(secs(120));
    assert!(!net.node(early).is_joined());
    let set = secs(1_700_000_000) + (net.now - Instant::from_micros(1_000_000));
    let now = net.now;
    let node = net.nodes.get_mut(&early).expect("it lives");
    node.handle_wall(set, now);
    net.run(secs(120));
    assert!(net.node(early).is_joined());
}

#[test]
fn a_machine_that_slept_finds_back_and_publishes_anew() {
    for sealed in [false, true] {
        let mut net = Net::new(seed(17));
        let network = || match sealed {
            true => Network::Closed(KEY),
            false => Network::Open,
        };
        let node = |net: &mut Net, n: usize, via: Option<SocketAddr>| {
            let config = NodeConfig {
                bootstrap: via.into_iter().collect(),
                network: network(),
                wall: Some(secs(1_700_000_000) + (net.now - Instant::ZERO)),
                ..NodeConfig::default()
            };
            net.add(addr(n), config)
        };
        let mut all = vec![node(&mut net, 0, None)];
        for n in 1..12 {
            all.push(node(&mut net, n, Some(all[0])));
            net.run(ms(100));
        }
        net.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
        let root = net.root_of(object("o").key());
        let sleeper = *all
            .iter()
            .find(|a| **a != root && **a != all[0])
            .expect("others");
        net.run(secs(600));
        net.command(sleeper, publish(holds(1, [0])));
        net.run(secs(20));
        // It sleeps: nobody hears of it for an hour, and its own clock stands still.
        let asleep = net.nodes.remove(&sleeper).expect("it lives");
        net.run(secs(3_600));
        assert_eq!(found(&mut net, root), [], "forgotten");
        net.behind.insert(sleeper, secs(3_600));
        net.nodes.insert(sleeper, asleep);
        let now = net.clock(sleeper);
        let wall = secs(1_700_000_000) + (net.now - Instant::ZERO);
        let woken = net.nodes.get_mut(&sleeper).expect("it lives");
        woken.handle_wall(wall, now);
        net.wake(sleeper);
        net.run(secs(5));
        assert_eq!(found(&mut net, root), [peer(1)], "sealed {sealed}");
        net.run(secs(60));
        let view = net.node(sleeper).snapshot();
        assert_eq!(view.peers, 11);
        assert!(view.leaves.iter().all(|l| !l.suspect));
    }
}

#[test]
fn a_large_object_fits_sealed_datagrams() {
    let (mut net, all) = closed_ring(seed(18), 8);
    let chunks = 20_000;
    // Every third chunk: neither empty nor full, and no run is long.
    let held = ChunkSet::from_indices(chunks, (0..chunks).filter(|c| c % 3 == 2));
    for (n, at) in (1u16..).zip(&all[..6]) {
        let p = Publication {
            chunks,
            held: held.clone(),
            ..holds(n, [])
        };
        net.command(*at, publish(p));
    }
    net.run(secs(60));
    let wanted = ChunkSet::full(chunks);
    let found = net
        .lookup(all[7], |r| {
            r.to_root = true;
            r.p = 8;
            r.wanted = Wanted::Chunks(wanted);
        })
        .expect("an answer");
    assert_eq!(found.matches.len(), 6);
    for at in &all {
        assert_eq!(drops(&net, *at, DropReason::TooLarge), 0);
    }
}
