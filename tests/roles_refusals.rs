//! Whom reachability tests and dial-backs serve, how often, and whom they can be aimed at.

use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::chunks::ChunkSet;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Command, DialId, Event, Node, NodeConfig, Role, sign_entry};
use chunkcast::time::Instant;
use chunkcast::wire::{self, Body, Entry, Envelope, PeerAddrs, RefuseReason, Sender, Token};

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(1_000_000 * seconds)
}

fn node(config: NodeConfig) -> Node {
    Node::new(config, [7; 32], at(0)).expect("valid")
}

fn say(
    node: &mut Node,
    from: SocketAddr,
    client: bool,
    token: Option<Token>,
    body: Body,
    now: Instant,
) {
    let id = Id([if client { 1 } else { 2 }; 20]);
    answer_as(node, from, id, client, token, 77, body, now);
}

#[allow(clippy::too_many_arguments, reason = "a datagram has that many parts")]
fn answer_as(
    node: &mut Node,
    from: SocketAddr,
    id: Id,
    client: bool,
    token: Option<Token>,
    tx: u32,
    body: Body,
    now: Instant,
) {
    let sender = Sender {
        id,
        coord: Default::default(),
        client,
    };
    let envelope = Envelope {
        tx,
        sender,
        token,
        body,
    };
    let payload = wire::encode(&envelope).expect("it fits");
    node.handle_datagram(from, &payload, now);
}

/// What the node sends: to whom, which bytes, what.
fn sent(node: &mut Node) -> Vec<(SocketAddr, usize, Envelope)> {
    std::iter::from_fn(|| node.poll_transmit())
        .map(|t| {
            let envelope = wire::decode(&t.payload).expect("its own");
            (t.to, t.payload.len(), envelope)
        })
        .collect()
}

fn token(node: &mut Node, from: SocketAddr, now: Instant) -> Token {
    say(node, from, true, None, Body::Ping, now);
    let pong = sent(node).into_iter().find_map(|(_, _, e)| match e.body {
        Body::Pong { token, .. } => Some(token),
        _ => None,
    });
    pong.expect("a pong")
}

fn dials(node: &mut Node) -> Vec<(DialId, SocketAddr)> {
    std::iter::from_fn(|| node.poll_event())
        .filter_map(|e| match e {
            Event::Dial { id, addr } => Some((id, addr)),
            _ => None,
        })
        .collect()
}

#[test]
fn without_a_token_nobody_is_dialled_written_to_or_tested() {
    let mut node = node(NodeConfig::default());
    let from = addr("192.0.2.1:7000");
    let bodies = [
        Body::Dial { port: 6881 },
        Body::Reach { nonce: 1 },
        Body::ReachFor {
            addr: addr("192.0.2.9:1"),
            nonce: 1,
        },
    ];
    for body in bodies {
        for client in [true, false] {
            let bytes = {
                say(&mut node, from, client, None, body.clone(), at(1));
                sent(&mut node)
            };
            for (to, _, envelope) in bytes {
                assert_eq!(to, from);
                let refused = matches!(
                    envelope.body,
                    Body::Ping
                        | Body::Refuse {
                            reason: RefuseReason::Token | RefuseReason::Unsupported,
                            ..
                        }
                );
                assert!(refused, "{:?}", envelope.body);
            }
        }
    }
    assert_eq!(dials(&mut node), []);
}

#[test]
fn one_short_datagram_is_sent_for_each_request_and_few_a_minute_to_one_host() {
    let mut node = node(NodeConfig::default());
    let (from, victim) = (addr("192.0.2.1:7000"), addr("198.51.100.1:53"));
    let token = Some(token(&mut node, from, at(1)));
    let most = NodeConfig::default().roles.helps as usize;
    for minute in 0..3 {
        let mut reached = 0;
        for n in 0..1_000 {
            let now = at(10 + 61 * minute) + Duration::from_millis(n);
            let port = u16::try_from(n).expect("small") + 1;
            let body = Body::ReachFor {
                addr: SocketAddr::new(victim.ip(), port),
                nonce: n,
            };
            let asked = wire::encode(&Envelope {
                tx: 77,
                sender: Sender {
                    id: Id([2; 20]),
                    coord: Default::default(),
                    client: false,
                },
                token,
                body: body.clone(),
            });
            say(&mut node, from, false, token, body, now);
            for (to, bytes, envelope) in sent(&mut node) {
                if let Body::Reached { nonce } = envelope.body {
                    assert_eq!((to.ip(), nonce), (victim.ip(), n));
                    assert!(bytes <= asked.as_ref().expect("it fits").len());
                    reached += 1;
                }
            }
        }
        assert_eq!(reached, most, "in minute {minute}");
    }
}

#[test]
fn nobody_outside_makes_a_node_write_into_its_lan() {
    let mut node = node(NodeConfig::default());
    let outside = addr("192.0.2.1:7000");
    let known = Some(token(&mut node, outside, at(1)));
    for inside in [
        "10.0.0.1:53",
        "192.168.1.1:53",
        "127.0.0.1:53",
        "169.254.1.1:53",
    ] {
        let body = Body::ReachFor {
            addr: addr(inside),
            nonce: 1,
        };
        say(&mut node, outside, false, known, body, at(2));
        let said = sent(&mut node);
        assert!(said.iter().all(|(to, ..)| *to == outside), "{said:?}");
        let refused = |e: &Envelope| {
            matches!(
                e.body,
                Body::Refuse {
                    reason: RefuseReason::ForeignAddress,
                    ..
                }
            )
        };
        assert!(said.iter().any(|(_, _, e)| refused(e)));
    }
    // A neighbour may.
    let neighbour = addr("10.0.0.2:7000");
    let known = Some(token(&mut node, neighbour, at(3)));
    let there = addr("10.0.0.1:7000");
    let body = Body::ReachFor {
        addr: there,
        nonce: 1,
    };
    say(&mut node, neighbour, false, known, body, at(3));
    assert!(sent(&mut node).iter().any(|(to, ..)| *to == there));
}

fn entry(port: u16, sequence: u64, from: SocketAddr) -> Body {
    let entry = Entry {
        object: ObjectId::from_name(b"o"),
        publisher: Id([1; 20]),
        sequence,
        addrs: PeerAddrs::from(SocketAddr::new(from.ip(), port)),
        coord: Default::default(),
        chunks: 4,
        held: ChunkSet::full(4),
        delta_of: None,
        summary: None,
        load: 0,
        reachable: true,
        lifetime: Duration::from_secs(300),
        proof: None,
    };
    let publisher = Publisher::new(&Secret([5; 32]), None);
    Body::Publish {
        entry: sign_entry(entry, &publisher, 1_000),
    }
}

#[test]
fn only_the_proven_source_is_dialled_few_times_a_minute_and_not_again_while_the_result_is_fresh() {
    let mut node = node(NodeConfig::default());
    let from = addr("192.0.2.1:7000");
    let known = Some(token(&mut node, from, at(1)));
    say(&mut node, from, true, known, entry(6881, 1, from), at(1));
    let begun = dials(&mut node);
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].1, addr("192.0.2.1:6881"));
    // The entry and the question share the dial.
    say(
        &mut node,
        from,
        true,
        known,
        Body::Dial { port: 6881 },
        at(1),
    );
    let said: Vec<Body> = sent(&mut node)
        .into_iter()
        .map(|(_, _, e)| e.body)
        .collect();
    assert_eq!(said, [Body::Ack, Body::Ack]);
    assert_eq!(dials(&mut node), []);
    let reached = true;
    let id = begun[0].0;
    node.handle_command(Command::Dialled { id, reached }, at(2));
    let said: Vec<Body> = sent(&mut node)
        .into_iter()
        .map(|(_, _, e)| e.body)
        .collect();
    assert_eq!(
        said,
        [Body::Dialled {
            port: 6881,
            reached
        }]
    );
    // A second answer of the driver changes nothing.
    let reached = false;
    node.handle_command(Command::Dialled { id, reached }, at(2));
    say(
        &mut node,
        from,
        true,
        known,
        Body::Dial { port: 6881 },
        at(3),
    );
    let said: Vec<Body> = sent(&mut node)
        .into_iter()
        .map(|(_, _, e)| e.body)
        .collect();
    assert_eq!(
        said[1],
        Body::Dialled {
            port: 6881,
            reached: true
        }
    );
    assert_eq!(dials(&mut node), []);
    // Somebody tries all ports.
    for port in 1..2_000 {
        say(&mut node, from, true, known, Body::Dial { port }, at(4));
        say(
            &mut node,
            from,
            true,
            known,
            entry(port, 1 + u64::from(port), from),
            at(4),
        );
    }
    let begun = dials(&mut node);
    let roles = NodeConfig::default().roles;
    assert_eq!(begun.len() + 1, roles.dials_each as usize);
    assert!(begun.iter().all(|(_, to)| to.ip() == from.ip()));
}

#[test]
fn a_driver_that_forgets_a_dial_leaves_the_port_unreached() {
    let mut node = node(NodeConfig::default());
    let from = addr("192.0.2.1:7000");
    let known = Some(token(&mut node, from, at(1)));
    say(
        &mut node,
        from,
        true,
        known,
        Body::Dial { port: 6881 },
        at(1),
    );
    assert_eq!(dials(&mut node).len(), 1);
    sent(&mut node);
    node.handle_timeout(at(7));
    let said = sent(&mut node);
    let unreached = Body::Dialled {
        port: 6881,
        reached: false,
    };
    assert!(
        said.iter()
            .any(|(to, _, e)| *to == from && e.body == unreached)
    );
}

/// A client that tests itself, attached to the index node at `home`; and the nonce of its test.
fn testing(home: SocketAddr) -> (Node, u64) {
    let mut node = node(NodeConfig {
        role: Role::Auto,
        bootstrap: vec![home],
        ..NodeConfig::default()
    });
    let mut now = at(1);
    for _ in 0..10 {
        for (to, _, envelope) in sent(&mut node) {
            assert_eq!(to, home);
            match envelope.body {
                Body::Ping => {
                    let pong = Body::Pong {
                        token: Token([1; 8]),
                        observed: addr("203.0.113.5:7000"),
                    };
                    answer_as(
                        &mut node,
                        home,
                        Id([2; 20]),
                        false,
                        None,
                        envelope.tx,
                        pong,
                        now,
                    );
                }
                Body::Reach { nonce } => {
                    answer_as(
                        &mut node,
                        home,
                        Id([2; 20]),
                        false,
                        None,
                        envelope.tx,
                        Body::Ack,
                        now,
                    );
                    return (node, nonce);
                }
                other => panic!("{other:?}"),
            }
        }
        now += Duration::from_millis(10);
        node.handle_timeout(now);
    }
    panic!("no test of reachability");
}

#[test]
fn only_the_asked_word_of_a_stranger_makes_an_index_node() {
    let home = addr("192.0.2.1:7000");
    let stranger = addr("198.51.100.1:7000");
    let reached = |from: SocketAddr, wrong: u64| {
        let (mut node, nonce) = testing(home);
        let body = Body::Reached {
            nonce: nonce ^ wrong,
        };
        answer_as(&mut node, from, Id([3; 20]), false, None, 5, body, at(2));
        node.is_index()
    };
    assert!(!reached(stranger, 1), "a nonce that was not asked for");
    assert!(!reached(home, 0), "a host that it wrote to");
    let same_host = addr("192.0.2.1:7999");
    assert!(!reached(same_host, 0), "another port of that host");
    assert!(reached(stranger, 0));
}
