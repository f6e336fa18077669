//! Attacks on rings of real nodes: each test is somebody who wants to harm, and what he gets.

mod common;

use std::net::{IpAddr, SocketAddr};

use chunkcast::auth::bep42;
use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::auth::seal::{NetworkKey, SEAL_OVERHEAD, Seal, SealConfig};
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Command, DropReason, Event, Network, Node, NodeConfig, Role, sign_entry};
use chunkcast::time::Instant;
use chunkcast::wire::{
    self, Body, Contact, Entry, Envelope, Found, Lookup, PeerAddrs, Ranking, RefuseReason, Sender,
    Token, Wanted,
};
use common::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MALLORY: Id = Id([0x66; 20]);

fn say(token: Option<Token>, client: bool, body: Body) -> Vec<u8> {
    let sender = Sender {
        id: MALLORY,
        coord: Coord::default(),
        client,
    };
    let envelope = Envelope {
        tx: 7,
        sender,
        token,
        body,
    };
    wire::encode(&envelope).expect("a message that fits")
}

fn drops(net: &Net, at: SocketAddr, reason: DropReason) -> u64 {
    let all = &net.node(at).counters().drops;
    all.get(&reason).copied().unwrap_or(0)
}

/// What `to` says at once when it hears `payload` from `from`.
fn answers(net: &mut Net, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<Body> {
    net.trace = Some(Vec::new());
    net.inject(from, to, payload);
    let said = net.trace.take().expect("set above");
    let mine = said
        .iter()
        .filter(|(_, at, there, _)| *at == to && *there == from);
    mine.map(|(.., bytes)| wire::decode(bytes).expect("own message").body)
        .collect()
}

fn token(net: &mut Net, from: SocketAddr, to: SocketAddr) -> Token {
    let ping = say(None, true, Body::Ping);
    match answers(net, from, to, &ping)[..] {
        [Body::Pong { token, .. }] => token,
        ref other => panic!("{other:?}"),
    }
}

fn unsigned(addrs: PeerAddrs, sequence: u64) -> Entry {
    Entry {
        object: object("o"),
        publisher: MALLORY,
        sequence,
        addrs,
        coord: Coord::default(),
        chunks: 5,
        held: ChunkSet::full(5),
        delta_of: None,
        summary: None,
        load: 0,
        reachable: true,
        lifetime: secs(300),
        proof: None,
    }
}

fn publisher(n: u8) -> Publisher {
    Publisher::new(&Secret([n; 32]), None)
}

fn serves(at: SocketAddr) -> PeerAddrs {
    PeerAddrs::from(SocketAddr::new(at.ip(), 6881))
}

fn found(net: &mut Net, at: SocketAddr) -> Vec<PeerAddrs> {
    let found = net
        .lookup(at, |r| (r.p, r.to_root) = (8, true))
        .expect("an answer");
    found.matches.iter().map(|m| m.addrs).collect()
}

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
    assert_eq!(drops(&net, root, DropReason::Forged), count + 1);
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
    net.command(at, Command::Withdraw(object("o")));
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

fn lookup() -> Lookup {
    Lookup {
        object: object("o"),
        wanted: Wanted::Any,
        summary: None,
        p: 8,
        mix: 0,
        ranking: Ranking::Overlap,
        coord: Coord::default(),
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: true,
        trace: true,
        hops: 0,
        matches: Vec::new(),
    }
}

/// Every kind of message, as small as it gets.
fn smallest(target: Id) -> Vec<Body> {
    let contact = Contact {
        id: Id([3; 20]),
        addr: addr(700),
        coord: Coord::default(),
    };
    let entry = unsigned(peer(1), 0);
    vec![
        Body::Ping,
        Body::Pong {
            token: Token([0; 8]),
            observed: addr(1),
        },
        Body::Ack,
        Body::Refuse {
            reason: RefuseReason::Token,
            token: Some(Token([1; 8])),
        },
        Body::Refuse {
            reason: RefuseReason::Busy,
            token: None,
        },
        Body::Leaves {
            contacts: Vec::new(),
        },
        Body::Leaves {
            contacts: vec![contact],
        },
        Body::LeavesReply {
            contacts: vec![contact],
        },
        Body::Row { row: 0 },
        Body::Row { row: 1 },
        Body::RowReply {
            row: 0,
            contacts: vec![contact],
        },
        Body::Join {
            joiner: MALLORY,
            hops: 0,
        },
        Body::Join {
            joiner: target,
            hops: 0,
        },
        Body::JoinReply {
            contacts: vec![contact],
            hops: 1,
        },
        Body::Publish {
            entry: entry.clone(),
        },
        Body::Propagate {
            entries: Vec::new(),
        },
        Body::Propagate {
            entries: vec![entry],
        },
        Body::Lookup(lookup()),
        Body::Found(Found {
            matches: Vec::new(),
            hops: 1,
            root: true,
            by: MALLORY,
            loaded: false,
            trace: Vec::new(),
        }),
        Body::SendFull { keys: Vec::new() },
        Body::Dial { port: 1 },
        Body::Dialled {
            port: 1,
            reached: true,
        },
        Body::Reach { nonce: 1 },
        Body::ReachFor {
            addr: addr(701),
            nonce: 1,
        },
        Body::Reached { nonce: 1 },
    ]
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
        let body = match n % 3 {
            0 => Body::Ping,
            1 => Body::Join {
                joiner: Id(rng.random()),
                hops: 0,
            },
            _ => Body::Leaves {
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

/// Median relative error of what the honest predict among each other.
fn error_with_liars(liars: usize) -> f64 {
    const N: usize = 40;
    let mut net = Net::new(seed(9));
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let lies = move |from: SocketAddr, payload: Vec<u8>| {
        let liar = (0..liars).any(|n| addr(n * 10 + 5) == from);
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
        .filter(|a| !(0..liars).any(|n| addr(n * 10 + 5) == **a))
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
}

/// A public address for every number, no two in one /24.
fn public(n: usize) -> SocketAddr {
    let n = u32::try_from(n).expect("small") + 1;
    let scattered = n.wrapping_mul(2_654_435_761);
    let [b, c, d, _] = scattered.to_be_bytes();
    SocketAddr::from(([45, b, c, d], 7_000))
}

/// The id nearest to the key that a node at this address can have.
fn nearest_id(key: &Id, ip: IpAddr, bound: bool, n: u8) -> Id {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(n));
    if !bound {
        let mut id = *key;
        id.0[19] ^= n + 1;
        return id;
    }
    // Everything behind the first 21 bits is free, but for the last three.
    let fitted = |_| {
        let mut id = bep42::id_for(ip, &mut rng);
        id.0[2] = id.0[2] & 0xf8 | key.0[2] & 0x07;
        id.0[3..19].copy_from_slice(&key.0[3..19]);
        id
    };
    let all: Vec<Id> = (0..200)
        .map(fitted)
        .filter(|id| bep42::matches(id, ip))
        .collect();
    let best = all
        .into_iter()
        .reduce(|a, b| if key.prefers(&a, &b) { a } else { b });
    best.expect("some")
}

/// Share of lookups that end at a Sybil, when one node in ten is one and wants this key.
fn captured(bound: bool, seed: u64) -> f64 {
    let (honest, sybils) = (54, 6);
    let mut net = Net::new(seed);
    let key = ObjectId::from_name(&seed.to_be_bytes());
    let config = |id| {
        let mut config = NodeConfig {
            id,
            ..NodeConfig::default()
        };
        config.guard.bind_ids = bound;
        config
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::new();
    for n in 0..honest + sybils {
        let at = public(n + 1_000 * usize::try_from(seed).expect("small"));
        let id = match n < honest {
            true => bep42::id_for(at.ip(), &mut rng),
            false => nearest_id(key.key(), at.ip(), bound, u8::try_from(n).expect("small")),
        };
        let mut config = config(Some(id));
        config.bootstrap = all.first().copied().into_iter().collect();
        all.push(net.add(at, config));
        net.run(ms(50));
    }
    net.run_until(secs(120), |net| net.nodes.values().all(Node::is_joined));
    net.run(secs(60));
    let bad: Vec<Id> = all[honest..].iter().map(|a| net.node(*a).id()).collect();
    let mut caught = 0;
    for at in &all[..honest] {
        let found = net.lookup(*at, |r| (r.object, r.to_root) = (key, true));
        caught += usize::from(bad.contains(&found.expect("an answer").by));
    }
    caught as f64 / honest as f64
}

#[test]
fn sybils_next_to_a_key_capture_it_only_where_ids_are_not_bound() {
    let seed = seed(10);
    let share = |bound| (0..5).map(|n| captured(bound, seed + n)).sum::<f64>() / 5.0;
    let (free, bound) = (share(false), share(true));
    println!("lookups captured by 10 % Sybils: {free:.2} with free ids, {bound:.2} with bound ids");
    assert!(free >= 0.95, "{free}");
    assert!(bound <= 0.7 * free, "{bound}");
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
        net.command(sleeper, publish(holds(1, [0])));
        net.run(secs(10));
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
        net.run(secs(10));
        assert_eq!(found(&mut net, root), [peer(1)], "sealed {sealed}");
        net.run(secs(60));
        let view = net.node(sleeper).snapshot();
        assert_eq!(view.peers, 11);
        assert!(view.leaves.iter().all(|l| !l.suspect));
    }
}
