//! Attacks on open rings of real nodes: each test is somebody who wants to harm, and what he gets.

mod common;

use std::net::{IpAddr, SocketAddr};

use chunkcast::auth::bep42;
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Command, DropReason, Event, Node, NodeConfig, Role, sign_entry};
use chunkcast::wire::{self, Body, Contact, Entry, Envelope, Name, RefuseReason, Sender, Token};
use common::attack::*;
use common::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn nobody_publishes_the_address_of_a_victim() {
    let mut net = Net::new(seed(1));
    let all = net.ring(12);
    let (mallory, victim) = (addr(500), addr(600));
    let token = token(&mut net, mallory, all[3]);
    let entry = sign_entry(unsigned(serves(victim), 1), &publisher(1), 1_000);
    let publish = say(Some(token), true, Body::Publish { entry });
    let refused = |reason| {
        [Body::Refuse {
            reason,
            token: None,
        }]
    };
    assert_eq!(
        answers(&mut net, mallory, all[3], &publish),
        refused(RefuseReason::ForeignAddress)
    );
    // In the victim's name the token does not hold, and the refusal is no longer than the attempt.
    let spoofed = answers(&mut net, victim, all[3], &publish);
    assert!(
        matches!(
            spoofed[..],
            [Body::Refuse {
                reason: RefuseReason::Token,
                token: Some(_)
            }]
        ),
        "{spoofed:?}"
    );
    // Unsigned, as before there were signatures.
    let entry = unsigned(serves(mallory), 1);
    let publish = say(Some(token), true, Body::Publish { entry });
    assert_eq!(
        answers(&mut net, mallory, all[3], &publish),
        refused(RefuseReason::Proof)
    );
    net.run(secs(10));
    assert_eq!(found(&mut net, all[5]), []);
}

#[test]
fn a_forwarder_cannot_change_withdraw_or_invent_the_entry_of_another() {
    let mut net = Net::new(seed(2));
    let all = net.ring(12);
    net.command(all[4], publish(holds(1, [0, 1])));
    net.run(secs(10));
    let root = net.root_of(object("o").key());
    // Mallory has the entry, as every node on its way does.
    let captured = captured_entries(&mut net, all[4]);
    let genuine = captured.last().expect("propagated").clone();
    let mallory = addr(500);
    let token = token(&mut net, mallory, root);
    let newer = genuine.sequence + 1;
    let forged = [
        Entry {
            addrs: peer(9),
            ..genuine.clone()
        },
        Entry {
            sequence: newer,
            addrs: peer(9),
            ..genuine.clone()
        },
        Entry {
            sequence: newer,
            held: ChunkSet::full(5),
            ..genuine.clone()
        },
        Entry {
            held: ChunkSet::empty(5),
            ..genuine.clone()
        },
        Entry {
            load: 255,
            ..genuine.clone()
        },
        Entry {
            sequence: newer,
            lifetime: secs(0),
            ..genuine.clone()
        },
        Entry {
            lifetime: secs(0),
            held: ChunkSet::default(),
            ..genuine.clone()
        },
        Entry {
            object: object("p"),
            ..genuine.clone()
        },
    ];
    let count = forged.len() as u64;
    for entry in forged {
        let entries = vec![entry];
        net.inject(
            mallory,
            root,
            &say(Some(token), false, Body::Propagate { entries }),
        );
    }
    // Signed, but not by who is named; and not signed at all.
    let mut other = sign_entry(unsigned(peer(9), newer), &publisher(1), 1_000);
    other.publisher = genuine.publisher;
    let bare = Entry {
        proof: None,
        sequence: newer,
        addrs: peer(9),
        ..genuine.clone()
    };
    let entries = vec![other, bare];
    net.inject(
        mallory,
        root,
        &say(Some(token), false, Body::Propagate { entries }),
    );
    // Of these one repeats a sequence with other chunks: a sequence says one thing, so only its lifetime is read.
    assert_eq!(drops(&net, root, DropReason::Forged), count);
    assert_eq!(drops(&net, root, DropReason::Unsigned), 1);
    assert_eq!(found(&mut net, all[7]), [peer(1)]);
}

/// The entries in what `at` passes on in the next minutes.
fn captured_entries(net: &mut Net, at: SocketAddr) -> Vec<Entry> {
    net.trace = Some(Vec::new());
    net.command(at, publish(holds(1, [0, 1])));
    net.run(secs(10));
    let mut entries = Vec::new();
    for (_, from, _, bytes) in net.trace.take().expect("set above") {
        match wire::decode(&bytes).expect("own message").body {
            Body::Propagate { entries: sent } if from == at => entries.extend(sent),
            _ => {}
        }
    }
    entries
}

#[test]
fn what_is_replayed_neither_outlives_its_publisher_nor_undoes_a_withdrawal() {
    let mut net = Net::new(seed(3));
    let all = net.ring(12);
    let root = net.root_of(object("o").key());
    let at = *all.iter().find(|a| **a != root).expect("others");
    net.command(at, publish(holds(1, [0, 1])));
    net.run(secs(10));
    let captured = captured_entries(&mut net, at);
    let mallory = addr(500);
    net.command(at, Command::Withdraw(object("o"), tag(1)));
    net.run(secs(10));
    assert_eq!(found(&mut net, all[7]), []);
    for minute in 0..40 {
        let token = token(&mut net, mallory, root);
        for entry in &captured {
            let lifetime = secs(1_800); // as long as it gets
            let entries = vec![Entry {
                lifetime,
                ..entry.clone()
            }];
            net.inject(
                mallory,
                root,
                &say(Some(token), false, Body::Propagate { entries }),
            );
        }
        assert_eq!(found(&mut net, root), [], "after {minute} minutes");
        net.run(secs(60));
    }
    assert!(drops(&net, root, DropReason::OldEntry) > 0);
    assert!(drops(&net, root, DropReason::Clock) > 0, "expired at last");
}

#[test]
fn a_replayed_entry_of_a_dead_peer_ends_with_its_signature() {
    let mut net = Net::new(seed(4));
    let all = net.ring(12);
    let root = net.root_of(object("o").key());
    let at = *all.iter().find(|a| **a != root).expect("others");
    net.command(at, publish(holds(1, [0, 1])));
    net.run(secs(10));
    let captured = captured_entries(&mut net, at);
    net.kill(at);
    let mallory = addr(500);
    let mut last_seen = 0;
    for minute in 0..40 {
        let token = token(&mut net, mallory, root);
        for entry in &captured {
            let lifetime = secs(1_800);
            let entries = vec![Entry {
                lifetime,
                ..entry.clone()
            }];
            net.inject(
                mallory,
                root,
                &say(Some(token), false, Body::Propagate { entries }),
            );
        }
        if !found(&mut net, root).is_empty() {
            last_seen = minute;
        }
        net.run(secs(60));
    }
    // 5 minutes of a downloader's lifetime and 10 of tolerance.
    assert!((4..=15).contains(&last_seen), "{last_seen} minutes");
}

#[test]
fn a_token_taken_from_a_datagram_is_of_no_use_elsewhere() {
    let mut net = Net::new(seed(5));
    let all = net.ring(8);
    let (client, mallory) = (addr(300), addr(500));
    let config = NodeConfig {
        role: Role::Client,
        ..joining(all[2])
    };
    net.add(client, config);
    net.run(secs(5));
    net.trace = Some(Vec::new());
    net.command(
        client,
        publish(chunkcast::node::Publication {
            addrs: serves(client),
            ..holds(1, [0])
        }),
    );
    net.run(secs(5));
    let trace = net.trace.take().expect("set above");
    let publishes: Vec<_> = trace
        .into_iter()
        .filter(|(_, from, _, bytes)| {
            let body = wire::decode(bytes).expect("own message").body;
            *from == client && matches!(body, Body::Publish { .. })
        })
        .collect();
    assert!(!publishes.is_empty());
    for (_, _, to, bytes) in &publishes {
        let said = answers(&mut net, mallory, *to, bytes);
        assert!(
            matches!(
                said[..],
                [Body::Refuse {
                    reason: RefuseReason::Token,
                    ..
                }]
            ),
            "{said:?}"
        );
        // Again from the client's own address: it is what is known already.
        assert_eq!(answers(&mut net, client, *to, bytes), [Body::Ack]);
    }
    assert_eq!(found(&mut net, all[5]), [serves(client)]);
}

/// A ping without its padding.
fn bare_ping() -> Vec<u8> {
    let padded = say(None, false, Body::Ping);
    let fields = b"1:md1:x32:";
    let at = padded
        .windows(fields.len())
        .position(|w| w == fields)
        .expect("padding");
    let mut bare = padded;
    bare.drain(at..at + fields.len() + 32 + 1);
    assert!(wire::decode(&bare).is_ok());
    bare
}

#[test]
fn a_spoofed_source_is_never_sent_more_than_was_sent_in_its_name() {
    let mut net = Net::new(seed(6));
    let all = net.ring(20);
    for (i, at) in all.iter().enumerate().take(8) {
        let n = u16::try_from(i).expect("small");
        net.command(*at, publish(holds(n, [0])));
    }
    net.run(secs(30));
    let target = all[3];
    let id = net.node(target).id();
    let mut datagrams: Vec<Vec<u8>> = vec![bare_ping()];
    for body in smallest(id) {
        for token in [None, Some(Token([0; 8]))] {
            for client in [false, true] {
                datagrams.push(say(token, client, body.clone()));
            }
        }
        // In the name of a node that is known, and of the node itself.
        for known in [net.node(all[4]).id(), id] {
            let sender = Sender {
                id: known,
                coord: Coord::default(),
                client: false,
            };
            let envelope = Envelope {
                tx: 9,
                sender,
                token: None,
                body: body.clone(),
            };
            datagrams.push(wire::encode(&envelope).expect("fits"));
        }
    }
    for (n, datagram) in datagrams.iter().enumerate() {
        let victim = addr(1_000 + n);
        net.trace = Some(Vec::new());
        for _ in 0..3 {
            net.inject(victim, target, datagram);
        }
        net.run(secs(15));
        let trace = net.trace.take().expect("set above");
        let received: usize = trace
            .iter()
            .filter(|(_, _, to, _)| *to == victim)
            .map(|(.., bytes)| bytes.len())
            .sum();
        let what = wire::decode(datagram).expect("encoded above");
        assert!(
            received <= 3 * datagram.len(),
            "{received} for 3 of {what:?}"
        );
    }
}

#[test]
fn one_who_floods_is_cut_off_and_nobody_else_notices() {
    let mut net = Net::new(seed(7));
    let (first, rate) = (addr(0), 50);
    let mut config = NodeConfig::default();
    config.guard.rates.per_second = rate;
    config.guard.rates.burst = 4 * rate;
    net.add(first, config.clone());
    for n in 1..12 {
        config.bootstrap = vec![first];
        net.add(addr(n), config.clone());
        net.run(ms(200));
    }
    net.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
    net.command(addr(4), publish(holds(1, [0])));
    net.run(secs(10));
    let (mallory, target) = (addr(500), addr(3));
    let token = token(&mut net, mallory, target);
    let seconds = 10;
    let mut answered = 0;
    for second in 0..seconds {
        for n in 0..100 * rate {
            let ports = SocketAddr::new(mallory.ip(), u16::try_from(n % 500 + 1).expect("small"));
            let from = if n % 2 == 0 { mallory } else { ports };
            let body = match n % 4 {
                0 => Body::Lookup(lookup()),
                _ => Body::Ping,
            };
            let before = net.sent;
            net.inject(from, target, &say(Some(token), true, body));
            answered += net.sent - before;
        }
        net.run(ms(900));
        assert_eq!(found(&mut net, target), [peer(1)], "second {second}");
        assert_eq!(found(&mut net, addr(8)), [peer(1)], "second {second}");
    }
    let bound = u64::from(4 * rate + rate * (seconds + 1));
    assert!(answered <= bound, "{answered} of at most {bound}");
    assert!(drops(&net, target, DropReason::Rate) > u64::from(90 * rate * seconds));
    let view = net.node(target).snapshot();
    assert!(view.sources <= 64, "{} sources", view.sources);
    assert!(view.routed <= 4 && view.pending < 100, "{view:?}");
}

#[test]
fn a_flood_of_forged_sources_leaves_no_trace() {
    let mut net = Net::new(seed(8));
    let all = net.ring(12);
    let target = all[3];
    let before = net.node(target).snapshot();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for n in 0..100_000u32 {
        let from = SocketAddr::from((rng.random::<[u8; 4]>(), 9));
        let body = match n % 4 {
            0 => Body::Ping,
            1 => Body::Join {
                joiner: Id(rng.random()),
                hops: 0,
            },
            2 => Body::Leaves {
                names: vec![Name(rng.random()); 16],
            },
            _ => Body::LeavesReply {
                contacts: vec![Contact {
                    id: Id(rng.random()),
                    addr: addr(usize::from(rng.random::<u16>()) + 1_000),
                    coord: Coord::default(),
                }],
            },
        };
        net.inject(from, target, &say(None, false, body));
        if n % 100 == 0 {
            net.run(ms(1)); // 100,000 a second
        }
    }
    let view = net.node(target).snapshot();
    assert!(view.sources <= 256, "{} sources", view.sources);
    assert_eq!(view.candidates, 0);
    assert!(view.pending <= 32, "{} pending", view.pending);
    let names =
        |v: &chunkcast::node::Snapshot| v.leaves.iter().map(|l| l.id.clone()).collect::<Vec<_>>();
    assert_eq!(names(&view), names(&before));
}

fn liars_of(liars: usize) -> Vec<SocketAddr> {
    (0..liars).map(|n| addr(n * 40 / liars + 1)).collect()
}

/// Median relative error of what the honest predict among each other.
fn error_with_liars(liars: usize) -> f64 {
    const N: usize = 40;
    let mut net = Net::new(seed(9));
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let lies = move |from: SocketAddr, payload: Vec<u8>| {
        let liar = liars_of(liars).contains(&from);
        match wire::decode(&payload) {
            Ok(mut envelope) if liar => {
                let mut n = || rng.random_range(-0.3..0.3);
                envelope.sender.coord = Coord {
                    position: [n(), n(), n()],
                    height: 0.0,
                    error: 0.01,
                };
                wire::encode(&envelope).expect("as long as before")
            }
            _ => payload,
        }
    };
    net.tamper = Some(Box::new(lies));
    let all = net.ring(N);
    net.run(secs(900));
    let honest: Vec<_> = all
        .iter()
        .filter(|a| !liars_of(liars).contains(a))
        .collect();
    let mut errors = Vec::new();
    for a in &honest {
        for b in honest.iter().filter(|b| a < b) {
            let real = 2.0 * (net.latency)(**a, **b).as_secs_f64();
            let guess = net
                .node(**a)
                .coord()
                .rtt(&net.node(**b).coord())
                .as_secs_f64();
            errors.push((guess - real).abs() / real);
        }
    }
    errors.sort_by(f64::total_cmp);
    errors[errors.len() / 2]
}

#[test]
fn one_in_ten_who_lies_about_where_it_is_moves_the_others_little() {
    let (honest, lied_to) = (error_with_liars(0), error_with_liars(4));
    println!("median relative error {honest:.3}, with 10 % liars {lied_to:.3}");
    assert!(lied_to <= 0.15, "{lied_to}");
    assert!(
        lied_to <= 1.5 * honest + 0.02,
        "{lied_to} instead of {honest}"
    );
}

/// A public address for every number, no two in one /24.
fn public(n: usize) -> SocketAddr {
    let n = u32::try_from(n).expect("small") + 1;
    let scattered = n.wrapping_mul(2_654_435_761);
    let [b, c, d, _] = scattered.to_be_bytes();
    SocketAddr::from(([45, b, c, d], 7_000))
}

/// What ids are bound to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Nothing,
    /// As in BEP 42: eight places an address.
    EightPlaces,
    /// One place an address.
    OnePlace,
}

/// The id nearest to the key that a node at this address can have.
fn nearest_id(key: &Id, ip: IpAddr, bound: Bound, n: u8) -> Id {
    if bound == Bound::Nothing {
        let mut id = *key;
        id.0[19] ^= n + 1;
        return id;
    }
    // Behind the first 21 bits everything is free, but for the last three.
    let fits = |id: &Id| match bound {
        Bound::EightPlaces => bep42::satisfies_bep(id, ip),
        _ => bep42::matches(id, ip),
    };
    let mut candidates = Vec::new();
    for last in 0..8 {
        let mut id = *key;
        id.0[19] = id.0[19] & 0xf8 | last;
        bep42::place(&mut id, ip);
        if fits(&id) {
            candidates.push(id);
        }
    }
    let best = candidates
        .into_iter()
        .reduce(|a, b| if key.prefers(&a, &b) { a } else { b });
    best.expect("every address has a place")
}

/// One node in ten is a Sybil that wants this key: the addresses and ids of all, Sybils last.
fn population(
    bound: Bound,
    seed: u64,
    key: &Id,
    honest: usize,
    sybils: usize,
) -> Vec<(SocketAddr, Id)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let base = 1_000 * usize::try_from(seed).expect("small");
    let node = |n| {
        let at = public(n + base);
        let id = match n < honest {
            true => bep42::id_for(at.ip(), &mut rng),
            false => nearest_id(key, at.ip(), bound, u8::try_from(n).expect("small")),
        };
        (at, id)
    };
    (0..honest + sybils).map(node).collect()
}

/// Share of keys whose nearest node is a Sybil.
fn owned(bound: Bound, keys: u64) -> f64 {
    let (honest, sybils) = (180, 20);
    let mut caught = 0;
    for seed in 0..keys {
        let key = ObjectId::from_name(&seed.to_be_bytes());
        let all = population(bound, seed, key.key(), honest, sybils);
        let ids = all.iter().map(|(_, id)| *id).enumerate();
        let root = ids.reduce(|a, b| if key.key().prefers(&a.1, &b.1) { a } else { b });
        caught += usize::from(root.expect("some").0 >= honest);
    }
    caught as f64 / keys as f64
}

/// Share of lookups for one key that end at a Sybil in a real ring.
fn captured(bind_ids: bool, seed: u64) -> f64 {
    let (honest, sybils) = (36, 4);
    let bound = match bind_ids {
        true => Bound::OnePlace,
        false => Bound::Nothing,
    };
    let mut net = Net::new(seed);
    let key = ObjectId::from_name(&seed.to_be_bytes());
    let all = population(bound, seed, key.key(), honest, sybils);
    for (at, id) in &all {
        let mut config = NodeConfig {
            id: Some(*id),
            bootstrap: vec![all[0].0],
            ..NodeConfig::default()
        };
        config.bootstrap.retain(|a| a != at);
        config.guard.bind_ids = bind_ids;
        net.add(*at, config);
        net.run(ms(50));
    }
    net.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
    net.run(secs(20));
    let (honest, bad) = all.split_at(honest);
    let mut caught = 0;
    for (at, _) in honest {
        let found = net.lookup(*at, |r| (r.object, r.to_root) = (key, true));
        let by = found.expect("an answer").by;
        caught += usize::from(bad.iter().any(|(_, id)| *id == by));
    }
    caught as f64 / honest.len() as f64
}

#[test]
fn sybils_next_to_a_key_capture_it_only_where_ids_are_not_bound() {
    let seed = seed(10);
    let share = |bound| (0..4).map(|n| captured(bound, seed + n)).sum::<f64>() / 4.0;
    let (free, bound) = (share(false), share(true));
    println!(
        "lookups captured by 10 % Sybils in a ring: {free:.2} with free ids, {bound:.2} with bound ids"
    );
    assert!(free >= 0.95, "{free}");
    assert!(bound <= 0.5, "{bound}");
    let owned = [Bound::Nothing, Bound::EightPlaces, Bound::OnePlace].map(|b| owned(b, 300));
    println!("keys that 10 % Sybils own: free ids, eight places, one place: {owned:.2?}");
    assert!(
        owned[0] > 0.99 && owned[1] > 0.3 && owned[2] < 0.2,
        "{owned:?}"
    );
}

#[test]
fn an_id_that_does_not_fit_its_address_gets_no_place() {
    let mut net = Net::new(seed(11));
    let mut all = vec![net.add(public(0), NodeConfig::default())];
    for n in 1..10 {
        all.push(net.add(public(n), joining(all[0])));
        net.run(secs(1));
    }
    net.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
    net.run(secs(60));
    // Nobody knew its address at the start; everyone has an id that fits it now.
    for at in &all {
        assert!(bep42::matches(&net.node(*at).id(), at.ip()), "{at}");
        assert_eq!(net.node(*at).snapshot().peers, 9, "{at}");
    }
    let moved = |at| {
        net.events
            .get(at)
            .is_some_and(|e| e.iter().any(|e| matches!(e, Event::Moved(_))))
    };
    assert!(all.iter().any(moved));
    // One who insists.
    let sybil = public(50);
    let mut config = joining(all[0]);
    config.id = Some(MALLORY);
    config.guard.bind_ids = false;
    net.add(sybil, config);
    net.run(secs(300));
    for at in &all {
        let contacts = net.node(*at).contacts();
        assert!(contacts.iter().all(|c| c.addr != sybil), "{at}");
    }
    assert!(
        all.iter()
            .any(|at| drops(&net, *at, DropReason::UnboundId) > 0)
    );
}

#[test]
fn one_subnet_gets_a_share_of_the_tables() {
    let mut net = Net::new(seed(12));
    let mut all = vec![net.add(public(0), NodeConfig::default())];
    for n in 1..20 {
        all.push(net.add(public(n), joining(all[0])));
        net.run(ms(300));
    }
    for n in 0..40 {
        net.add(
            SocketAddr::from(([198, 51, 100, n], 7_000)),
            joining(all[0]),
        );
        net.run(ms(300));
    }
    net.run(secs(300));
    for at in &all {
        let view = net.node(*at).snapshot();
        let same = |a: &str| a.starts_with("198.51.100.");
        let leaves = view.leaves.iter().filter(|l| same(&l.addr)).count();
        assert!(leaves <= 4, "{leaves} leaves of one /24 at {at}");
        let contacts = net.node(*at).contacts();
        let known = contacts
            .iter()
            .filter(|c| same(&c.addr.to_string()))
            .count();
        assert!(known <= 4 + 2 * view.rows.len().max(1), "{known} contacts");
    }
}

#[test]
fn a_node_that_restarts_at_once_is_asked_again_with_a_fresh_token() {
    let mut net = Net::new(seed(19));
    let all = net.ring(12);
    net.command(all[4], publish(holds(1, [0])));
    net.run(secs(30));
    let root = net.root_of(object("o").key());
    let id = Some(net.node(root).id());
    let others: Vec<_> = all.iter().filter(|a| **a != root).copied().collect();
    let routed_around = |net: &Net| -> u64 {
        let counted = others
            .iter()
            .map(|a| net.node(*a).counters().hops_routed_around);
        counted.sum()
    };
    let before = routed_around(&net);
    net.kill(root);
    let restarted = NodeConfig {
        id,
        ..joining(others[0])
    };
    net.add(root, restarted);
    net.run(secs(3));
    // The tokens that the others have are of its former life.
    for at in &others {
        let by = net.lookup(*at, |r| r.to_root = true).expect("an answer").by;
        assert_eq!(Some(by), id, "asked at {at}");
    }
    assert_eq!(routed_around(&net), before);
    assert!(drops(&net, root, DropReason::Token) > 0);
}

#[test]
fn only_many_who_agree_make_a_node_doubt_its_clock() {
    let mut net = Net::new(seed(21));
    let target = net.add(addr(0), NodeConfig::default());
    net.run(secs(10_000));
    let mallory = addr(500);
    let mut sequence = 0;
    let mut hears = |net: &mut Net, expires| {
        sequence += 1;
        let token = token(net, mallory, target);
        let entries = vec![sign_entry(
            unsigned(peer(1), sequence),
            &publisher(1),
            expires,
        )];
        net.inject(
            mallory,
            target,
            &say(Some(token), false, Body::Propagate { entries }),
        );
    };
    let warned = |net: &Net| {
        let events = net.events.get(&target).into_iter().flatten();
        events.filter(|e| **e == Event::ClockOff).count()
    };
    for _ in 0..5 {
        (0..5).for_each(|_| hears(&mut net, 100)); // long ago
        hears(&mut net, 10_300); // now
        (0..5).for_each(|_| hears(&mut net, 1_000_000)); // days ahead
        hears(&mut net, 10_300);
    }
    assert_eq!(warned(&net), 0, "a liar among the honest");
    for _ in 0..100 {
        hears(&mut net, 100);
    }
    assert_eq!(warned(&net), 1);
    assert_eq!(drops(&net, target, DropReason::Clock), 150);
}
