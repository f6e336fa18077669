//! Clients (peers that are no index nodes), tokens, and who may publish what.

mod common;

use std::net::SocketAddr;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::chunks::ChunkSet;
use chunkcast::id::Id;
use chunkcast::node::{
    Command, DropReason, Event, LookupError, Node, NodeConfig, Publication, Role,
};
use chunkcast::wire::{self, Body, Envelope, PeerAddrs, RefuseReason, Sender, Token, Wanted};
use common::*;

fn client(via: Vec<SocketAddr>) -> NodeConfig {
    NodeConfig {
        role: Role::Client,
        bootstrap: via,
        ..NodeConfig::default()
    }
}

/// Where the client at `at` serves.
fn serves(at: SocketAddr) -> PeerAddrs {
    PeerAddrs::from(SocketAddr::new(at.ip(), 6881))
}

fn ring_with_client(n: usize) -> (Net, Vec<SocketAddr>, SocketAddr) {
    let mut net = Net::new(seed(31));
    let all = net.ring(n);
    net.run(secs(30));
    let at = net.add(addr(1000), client(vec![all[2], all[3]]));
    net.run(secs(2));
    (net, all, at)
}

fn drops(node: &Node, reason: DropReason) -> u64 {
    node.snapshot()
        .counters
        .drops
        .get(&reason)
        .copied()
        .unwrap_or(0)
}

#[test]
fn a_client_publishes_and_is_found_and_never_enters_a_table() {
    let (mut net, all, at) = ring_with_client(20);
    assert_eq!(
        net.events[&at]
            .iter()
            .filter(|e| **e == Event::Joined)
            .count(),
        1
    );
    net.command(
        at,
        publish(Publication {
            addrs: serves(at),
            ..holds(1, [0, 1])
        }),
    );
    net.run(secs(20));
    for from in &all {
        let found = net
            .lookup(*from, |r| r.wanted = Wanted::Any)
            .expect("an answer");
        assert_eq!(found.matches.len(), 1);
        assert_eq!(found.matches[0].addrs, serves(at));
        let view = net.node(*from).snapshot();
        assert!(view.leaves.iter().all(|l| l.addr != at.to_string()));
    }
    let other = net.add(addr(1001), client(vec![all[7]]));
    net.run(secs(2));
    let found = net.lookup(other, |_| ()).expect("an answer");
    assert_eq!(found.matches[0].addrs, serves(at));
    assert!(found.hops >= 1);
    net.command(at, Command::Withdraw(object("o"), tag(1)));
    net.run(secs(20));
    assert_eq!(net.lookup(other, |_| ()).expect("an answer").matches, []);
}

#[test]
fn a_client_stays_published_through_token_rotations_and_expires_with_its_death() {
    let (mut net, all, at) = ring_with_client(10);
    net.command(
        at,
        publish(Publication {
            addrs: serves(at),
            ..holds(1, [0])
        }),
    );
    for _ in 0..60 {
        net.run(secs(60));
        assert_eq!(
            net.lookup(all[0], |_| ()).expect("an answer").matches.len(),
            1
        );
    }
    assert!(
        !net.events[&at]
            .iter()
            .any(|e| matches!(e, Event::PublishRefused { .. }))
    );
    net.kill(at);
    net.run(secs(310));
    for from in all {
        assert_eq!(net.lookup(from, |_| ()).expect("an answer").matches, []);
    }
}

#[test]
fn a_client_whose_index_node_dies_goes_on_through_another() {
    let (mut net, all, at) = ring_with_client(10);
    net.command(
        at,
        publish(Publication {
            addrs: serves(at),
            ..holds(1, [0])
        }),
    );
    net.run(secs(10));
    let holders = |net: &Net| {
        let sent = |a: &SocketAddr| {
            net.node(*a)
                .snapshot()
                .counters
                .received
                .contains_key("publish")
        };
        all.iter()
            .filter(|a| net.nodes.contains_key(a))
            .find(|a| sent(a))
            .copied()
    };
    net.kill(holders(&net).expect("somebody took the entry"));
    net.run(secs(150));
    assert!(
        holders(&net).is_some(),
        "the refresh went to the other bootstrap node"
    );
    let found = net.lookup(at, |_| ()).expect("an answer through the other");
    assert_eq!(found.matches.len(), 1);
}

#[test]
fn a_client_that_nobody_answers_says_so() {
    let mut net = Net::new(1);
    let at = net.add(addr(1), client(vec![addr(0)]));
    net.run(secs(10));
    assert_eq!(net.lookup(at, |_| ()), Err(LookupError::NotJoined));
}

#[test]
fn publishing_somebody_else_s_address_is_refused_and_counted() {
    let (mut net, all, at) = ring_with_client(5);
    net.command(
        at,
        publish(Publication {
            addrs: peer(7),
            ..holds(1, [0])
        }),
    );
    net.run(secs(20));
    let refused = Event::PublishRefused {
        object: object("o"),
        reason: RefuseReason::ForeignAddress,
    };
    assert!(net.events[&at].contains(&refused));
    assert_eq!(
        all.iter()
            .map(|a| drops(net.node(*a), DropReason::ForeignAddress))
            .sum::<u64>(),
        1
    );
    for from in all {
        assert_eq!(net.lookup(from, |_| ()).expect("an answer").matches, []);
    }
}

#[test]
fn an_unspecified_address_becomes_the_one_that_others_see() {
    let (mut net, all, at) = ring_with_client(5);
    let anywhere = PeerAddrs::from(SocketAddr::from(([0, 0, 0, 0], 6881)));
    net.command(
        at,
        publish(Publication {
            addrs: anywhere,
            ..holds(1, [0])
        }),
    );
    net.command(
        all[0],
        publish(Publication {
            addrs: anywhere,
            ..holds(2, [0])
        }),
    );
    net.run(secs(20));
    let found = net.lookup(all[4], |r| r.p = 8).expect("an answer");
    let mut addrs: Vec<_> = found.matches.iter().map(|m| m.addrs).collect();
    addrs.sort();
    assert_eq!(addrs, [serves(all[0]), serves(at)]);
}

const SECRET: Secret = Secret([9; 32]);

fn say(token: Option<Token>, client: bool, body: Body) -> Vec<u8> {
    let sender = Sender {
        id: Id([9; 20]),
        coord: Default::default(),
        client,
    };
    wire::encode(&Envelope {
        tx: 77,
        sender,
        token,
        body,
    })
    .expect("a message that fits")
}

/// Signed by the publisher whose secret is all nines.
fn entry(addrs: PeerAddrs) -> wire::Entry {
    let unsigned = wire::Entry {
        delta_of: None,
        summary: None,
        proof: None,
        object: object("o"),
        publisher: Id([9; 20]),
        sequence: 1,
        addrs,
        coord: Default::default(),
        chunks: 5,
        held: ChunkSet::full(5),
        load: 0,
        reachable: true,
        lifetime: secs(100),
    };
    chunkcast::node::sign_entry(unsigned, &Publisher::new(&SECRET, None), 1_000)
}

/// What one node says when `from` sends it `payload`.
fn answer(node: &mut Node, from: SocketAddr, payload: &[u8], at: u64) -> Vec<Body> {
    let now = chunkcast::time::Instant::from_micros(at * 1_000_000);
    node.handle_timeout(now);
    node.handle_datagram(from, payload, now);
    let mut out = Vec::new();
    while let Some(t) = node.poll_transmit() {
        assert_eq!(t.to, from);
        out.push(wire::decode(&t.payload).expect("a message").body);
    }
    out
}

#[test]
fn publish_and_propagate_need_a_token_of_the_last_three_periods_and_for_the_address() {
    let mut node = Node::new(NodeConfig::default(), [1; 32], Default::default()).expect("defaults");
    let (me, other) = (addr(5), addr(6));
    let publish = |token| {
        say(
            token,
            true,
            Body::Publish {
                entry: entry(serves(me)),
            },
        )
    };
    let propagate = |token| {
        say(
            token,
            false,
            Body::Propagate {
                entries: vec![entry(peer(1))],
            },
        )
    };
    let fresh = |bodies: Vec<Body>| match &bodies[..] {
        [
            Body::Refuse {
                reason: RefuseReason::Token,
                token: Some(token),
            },
            ..,
        ] => *token,
        other => panic!("{other:?}"),
    };
    let token = fresh(answer(&mut node, me, &publish(None), 1));
    for at in [2, 290, 590, 890] {
        assert_eq!(
            answer(&mut node, me, &publish(Some(token)), at),
            [Body::Ack]
        );
        let stolen = fresh(answer(&mut node, other, &publish(Some(token)), at));
        assert_ne!(stolen, token);
    }
    let renewed = fresh(answer(&mut node, me, &publish(Some(token)), 910));
    assert_eq!(
        answer(&mut node, me, &publish(Some(renewed)), 911),
        [Body::Ack]
    );
    let token = fresh(answer(&mut node, other, &propagate(None), 912));
    // The first word of an unknown index node that is known to receive is followed by a probe of it.
    assert_eq!(
        answer(&mut node, other, &propagate(Some(token)), 913),
        [Body::Ping, Body::Ack]
    );
    assert_eq!(drops(&node, DropReason::Token), 7);
}

#[test]
fn a_client_may_not_propagate_join_or_exchange_leaves() {
    let mut node = Node::new(NodeConfig::default(), [1; 32], Default::default()).expect("defaults");
    let bodies = [
        Body::Propagate {
            entries: vec![entry(peer(1))],
        },
        Body::Join {
            joiner: Id([9; 20]),
            hops: 0,
        },
        Body::Leaves { names: Vec::new() },
    ];
    let ping = answer(&mut node, addr(5), &say(None, true, Body::Ping), 1);
    let [Body::Pong { token, .. }] = ping[..] else {
        panic!("{ping:?}")
    };
    for body in bodies {
        let said = answer(&mut node, addr(5), &say(Some(token), true, body), 1);
        let refused = Body::Refuse {
            reason: RefuseReason::Unsupported,
            token: None,
        };
        assert_eq!(said, [refused]);
    }
    assert_eq!(drops(&node, DropReason::Role), 3);
    // A row helps it to find a near index node, once it has shown that it receives answers.
    let row = |token| {
        say(
            token,
            true,
            Body::Row {
                row: 0,
                names: Vec::new(),
            },
        )
    };
    let said = answer(&mut node, addr(5), &row(None), 1);
    assert!(!said.iter().any(|b| matches!(b, Body::RowReply { .. })));
    let said = answer(&mut node, addr(5), &say(None, true, Body::Ping), 1);
    let [Body::Pong { token, .. }] = said[..] else {
        panic!("no token in {said:?}");
    };
    let said = answer(&mut node, addr(5), &row(Some(token)), 1);
    assert!(matches!(said[..], [Body::RowReply { row: 0, .. }]));
}

#[test]
fn a_client_does_not_serve() {
    let mut node = Node::new(client(vec![addr(0)]), [1; 32], Default::default()).expect("defaults");
    while node.poll_transmit().is_some() {}
    let ping = answer(&mut node, addr(5), &say(None, true, Body::Ping), 0);
    let [Body::Pong { token, .. }] = ping[..] else {
        panic!("{ping:?}")
    };
    let publish = say(
        Some(token),
        true,
        Body::Publish {
            entry: entry(peer(1)),
        },
    );
    let refused = Body::Refuse {
        reason: RefuseReason::Unsupported,
        token: None,
    };
    assert_eq!(answer(&mut node, addr(5), &publish, 0), [refused]);
}

#[test]
fn nobody_else_changes_a_node_s_own_entry() {
    let mut net = Net::new(1);
    let secret = Some(SECRET);
    let at = net.add(
        addr(0),
        NodeConfig {
            secret,
            ..NodeConfig::default()
        },
    );
    net.command(
        at,
        publish(Publication {
            publisher: None,
            ..holds(1, [0])
        }),
    );
    let ping = say(None, false, Body::Ping);
    net.trace = Some(Vec::new());
    net.inject(addr(5), at, &ping);
    let token =
        net.trace.take().expect("set above").iter().find_map(
            |(_, _, _, bytes)| match wire::decode(bytes).expect("a message").body {
                Body::Pong { token, .. } => Some(token),
                _ => None,
            },
        );
    for lifetime in [secs(0), secs(100)] {
        let forged = wire::Entry {
            sequence: u64::MAX,
            lifetime,
            ..entry(peer(3))
        };
        net.inject(
            addr(5),
            at,
            &say(
                token,
                false,
                Body::Propagate {
                    entries: vec![forged],
                },
            ),
        );
    }
    let found = net.lookup(at, |_| ()).expect("an answer");
    assert_eq!(found.matches[0].addrs, peer(1));
    assert_eq!(drops(net.node(at), DropReason::OldEntry), 2);
}

#[test]
fn a_large_object_is_published_in_windows_and_found_by_its_last_chunk() {
    let (mut net, all, at) = ring_with_client(5);
    let chunks = 20_000;
    // Every third chunk: neither empty nor full, and no run is long.
    let held = ChunkSet::from_indices(chunks, (0..chunks).filter(|c| c % 3 == 2));
    let last = held.iter().last().expect("some chunk");
    for from in [at, all[1]] {
        let p = Publication {
            chunks,
            held: held.clone(),
            addrs: serves(from),
            ..holds(1, [])
        };
        let publisher = Some(Id(if from == at { [1; 20] } else { [2; 20] }));
        net.command(from, publish(Publication { publisher, ..p }));
    }
    net.run(secs(30));
    let root = net.root_of(object("o").key());
    let wanted = ChunkSet::from_indices(chunks, [last, 0]);
    let found = net
        .lookup(root, |r| r.wanted = Wanted::Chunks(wanted))
        .expect("an answer");
    assert_eq!(
        found.matches.len(),
        2,
        "both publishers hold the last chunk"
    );
    assert!(found.matches.iter().all(|m| m.matched == 1));
    let all_held = net.lookup(root, |_| ()).expect("an answer");
    assert!(
        all_held.matches.iter().all(|m| m.matched == held.count()),
        "no window is missing"
    );
}
