//! Hostile datagrams into a node of a live ring: a panic means a bug, and no table grows beyond its bound.

mod common;

use std::net::SocketAddr;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{DropReason, NodeConfig, Snapshot};
use chunkcast::wire::{
    self, Body, Contact, Entry, Envelope, Found, Lookup, Match, Name, PeerAddrs, Ranking,
    RefuseReason, Sender, Token, Wanted,
};
use common::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Attacker {
    rng: ChaCha8Rng,
    ids: Vec<Id>,
}

impl Attacker {
    fn new(seed: u64, net: &Net) -> Self {
        let ids = net.nodes.values().map(|n| n.id()).collect();
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            ids,
        }
    }

    fn id(&mut self) -> Id {
        if self.rng.random_bool(0.3) {
            return self.ids[self.rng.random_range(0..self.ids.len())];
        }
        Id(self.rng.random())
    }

    fn coord(&mut self) -> Coord {
        let mut n = || self.rng.random_range(-60.0..60.0);
        let position = [n(), n(), n()];
        Coord {
            position,
            height: self.rng.random_range(0.0..60.0),
            error: self.rng.random(),
        }
    }

    fn addr(&mut self) -> SocketAddr {
        match self.rng.random_range(0..3) {
            0 => addr(self.rng.random_range(0..40)),
            1 => SocketAddr::from((self.rng.random::<[u8; 4]>(), self.rng.random::<u16>())),
            _ => SocketAddr::from((self.rng.random::<[u16; 8]>(), self.rng.random::<u16>())),
        }
    }

    fn addrs(&mut self) -> PeerAddrs {
        let SocketAddr::V4(v4) = SocketAddr::from((self.rng.random::<[u8; 4]>(), 9)) else {
            unreachable!("four bytes are IPv4")
        };
        PeerAddrs {
            v4: self.rng.random_bool(0.9).then_some(v4),
            v6: None,
        }
    }

    fn contacts(&mut self) -> Vec<Contact> {
        let n = self.rng.random_range(0..17);
        (0..n)
            .map(|_| Contact {
                id: self.id(),
                addr: self.addr(),
                coord: self.coord(),
            })
            .collect()
    }

    fn set(&mut self) -> ChunkSet {
        let len = self.rng.random_range(0..2000);
        let mut set = ChunkSet::empty_window(self.rng.random_range(0..1000), len);
        for _ in 0..self.rng.random_range(0..20) {
            set.insert(self.rng.random_range(0..3000));
        }
        set
    }

    fn object(&mut self) -> ObjectId {
        if self.rng.random_bool(0.5) {
            object("o")
        } else {
            ObjectId(self.id())
        }
    }

    /// Signed now and then by the publisher that it names.
    fn entry(&mut self) -> Entry {
        let entry = self.unsigned();
        if self.rng.random_bool(0.2) {
            return entry;
        }
        let publisher = Publisher::new(&Secret([self.rng.random_range(0..60); 32]), None);
        let expires = self.rng.random_range(0..4_000);
        chunkcast::node::sign_entry(entry, &publisher, expires)
    }

    fn unsigned(&mut self) -> Entry {
        Entry {
            delta_of: None,
            summary: None,
            proof: None,
            object: self.object(),
            publisher: self.id(),
            sequence: self.rng.next_u64(),
            addrs: self.addrs(),
            coord: self.coord(),
            chunks: self.rng.random_range(0..3000),
            held: self.set(),
            load: self.rng.random(),
            reachable: self.rng.random(),
            lifetime: secs(self.rng.random_range(0..100_000)),
        }
    }

    fn matches(&mut self) -> Vec<Match> {
        let one = |a: &mut Self| Match {
            addrs: a.addrs(),
            coord: a.coord(),
            matched: a.rng.random(),
            load: a.rng.random(),
            reachable: a.rng.random(),
        };
        (0..self.rng.random_range(0..9))
            .map(|_| one(self))
            .collect()
    }

    fn lookup(&mut self) -> Lookup {
        Lookup {
            summary: None,
            trace: false,
            object: self.object(),
            wanted: if self.rng.random() {
                Wanted::Any
            } else {
                Wanted::Chunks(self.set())
            },
            p: self.rng.random(),
            mix: self.rng.random(),
            ranking: if self.rng.random() {
                Ranking::Overlap
            } else {
                Ranking::Closeness
            },
            coord: self.coord(),
            asker: self.addrs(),
            ignore: (0..self.rng.random_range(0..9))
                .map(|_| self.addr())
                .collect(),
            to_root: self.rng.random(),
            hops: self.rng.random_range(0..65),
            matches: self.matches(),
        }
    }

    fn names(&mut self) -> Vec<Name> {
        let count = self.rng.random_range(0..65);
        (0..count).map(|_| Name(self.rng.random())).collect()
    }

    fn body(&mut self) -> Body {
        let token = Token(self.rng.random());
        match self.rng.random_range(0..14) {
            0 => Body::Ping,
            1 => Body::Pong {
                token,
                observed: self.addr(),
            },
            2 => Body::Ack,
            3 => Body::Refuse {
                reason: RefuseReason::Token,
                token: Some(token),
            },
            4 => Body::Leaves {
                names: self.names(),
            },
            5 => Body::LeavesReply {
                contacts: self.contacts(),
            },
            6 => Body::Row {
                row: self.rng.random_range(0..41),
                names: self.names(),
            },
            7 => Body::RowReply {
                row: self.rng.random_range(0..41),
                contacts: self.contacts(),
            },
            8 => Body::Join {
                joiner: self.id(),
                hops: self.rng.random(),
            },
            9 => Body::JoinReply {
                contacts: self.contacts(),
                hops: self.rng.random(),
            },
            10 => Body::Publish {
                entry: self.entry(),
            },
            11 => Body::Propagate {
                entries: (0..4).map(|_| self.entry()).collect(),
            },
            12 => Body::Lookup(self.lookup()),
            _ => Body::Found(Found {
                loaded: false,
                trace: Vec::new(),
                matches: self.matches(),
                hops: self.rng.random(),
                root: self.rng.random(),
                by: self.id(),
            }),
        }
    }

    /// A well-formed message with hostile contents, if it can be encoded.
    fn message(&mut self, token: Option<Token>) -> Option<Vec<u8>> {
        let sender = Sender {
            id: self.id(),
            coord: self.coord(),
            client: self.rng.random(),
        };
        wire::encode(&Envelope {
            tx: self.rng.random(),
            sender,
            token,
            body: self.body(),
        })
        .ok()
    }

    fn garble(&mut self, payload: &mut Vec<u8>) {
        match self.rng.random_range(0..4) {
            0 => payload.truncate(self.rng.random_range(0..=payload.len())),
            1 => payload.extend((0..50).map(|_| b'l')),
            _ => {
                for _ in 0..self.rng.random_range(1..6) {
                    let at = self.rng.random_range(0..payload.len());
                    payload[at] = self.rng.random();
                }
            }
        }
    }
}

fn bounded(view: &Snapshot, config: &NodeConfig) {
    assert!(view.pending <= config.limits.pending);
    assert!(view.routed <= config.limits.routed);
    assert!(view.candidates <= config.limits.candidates);
    assert!(view.cache_bytes <= config.directory.bytes);
    assert!(view.entries.len() <= config.directory.objects);
    assert!(
        view.entries
            .values()
            .all(|n| *n <= config.directory.entries_per_object)
    );
}

#[test]
fn random_bytes_are_counted_and_nothing_else_happens() {
    let mut net = Net::new(seed(41));
    let all = net.ring(5);
    net.run(secs(30));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let before = net.node(all[0]).snapshot();
    for _ in 0..20_000 {
        let mut payload = vec![0; rng.random_range(0..1500)];
        rng.fill_bytes(&mut payload);
        let from = addr(rng.random_range(0..10));
        net.inject(from, all[0], &payload);
    }
    let after = net.node(all[0]).snapshot();
    assert_eq!(after.counters.drops[&DropReason::Malformed], 20_000);
    assert_eq!(
        (after.peers, after.pending, &after.entries),
        (before.peers, before.pending, &before.entries)
    );
}

#[test]
fn hostile_messages_never_panic_nor_grow_a_table_nor_break_the_ring() {
    let seed = seed(42);
    let mut net = Net::new(seed);
    let mut config = NodeConfig::default();
    config.limits.pending = 256;
    config.limits.routed = 64;
    config.limits.candidates = 32;
    config.directory.objects = 50;
    config.directory.entries_per_object = 20;
    config.directory.bytes = 1 << 16;
    let target = net.add(addr(0), config.clone());
    let mut all = vec![target];
    for i in 1..12 {
        all.push(net.add(addr(i), joining(target)));
        net.run(ms(100));
    }
    net.run(secs(60));
    net.command(all[3], publish(holds(1, [0])));
    net.run(secs(10));
    let mut attacker = Attacker::new(seed, &net);
    for round in 0..400 {
        for _ in 0..20 {
            let from = attacker.addr();
            let Some(mut payload) = attacker.message(None) else {
                continue;
            };
            if attacker.rng.random_bool(0.2) {
                attacker.garble(&mut payload);
            }
            net.inject(from, target, &payload);
        }
        net.run(ms(50));
        if round % 20 == 0 {
            bounded(&net.node(target).snapshot(), &config);
        }
    }
    let view = net.node(target).snapshot();
    bounded(&view, &config);
    assert!(
        view.counters.drops[&DropReason::Unsolicited] > 1000,
        "{:?}",
        view.counters.drops
    );
    assert_eq!(view.peers, 11, "only nodes that answered are in the tables");
    assert!(
        view.entries.len() <= 1,
        "nothing was published without a token"
    );
    net.run(secs(120));
    for at in &all {
        let found = net.lookup(*at, |_| ()).expect("an answer");
        assert_eq!(found.matches.len(), 1, "asked through {at}");
    }
}

#[test]
fn a_token_holder_s_hostile_entries_stay_within_the_bounds() {
    let seed = seed(43);
    let mut net = Net::new(seed);
    let mut config = NodeConfig::default();
    config.directory.objects = 50;
    config.directory.entries_per_object = 20;
    config.directory.bytes = 1 << 16;
    let target = net.add(addr(0), config.clone());
    net.command(target, publish(holds(1, [0])));
    let mut attacker = Attacker::new(seed, &net);
    let from = SocketAddr::from(([10, 9, 9, 9], 9));
    let say = |token, body| {
        let sender = Sender {
            id: Id([7; 20]),
            coord: Coord::default(),
            client: false,
        };
        wire::encode(&Envelope {
            tx: 1,
            sender,
            token,
            body,
        })
    };
    net.trace = Some(Vec::new());
    net.inject(from, target, &say(None, Body::Ping).expect("fits"));
    let trace = net.trace.take().expect("set above");
    let token = trace.iter().find_map(|(_, _, to, bytes)| {
        match wire::decode(bytes).expect("own message").body {
            Body::Pong { token, .. } if *to == from => Some(token),
            _ => None,
        }
    });
    assert!(token.is_some());
    for i in 0..5000 {
        let entries = (0..3).map(|_| attacker.entry()).collect();
        if let Ok(payload) = say(token, Body::Propagate { entries }) {
            net.inject(from, target, &payload);
        }
        if i % 100 == 0 {
            bounded(&net.node(target).snapshot(), &config);
        }
    }
    let view = net.node(target).snapshot();
    bounded(&view, &config);
    assert!(view.counters.entries_evicted > 100);
    let found = net
        .lookup(target, |r| (r.p, r.to_root) = (8, true))
        .expect("an answer");
    assert!(found.matches.len() > 1);
    let only = |r: &mut chunkcast::node::LookupRequest| {
        r.wanted = Wanted::Chunks(ChunkSet::from_indices(5, [0]));
        r.ignore = Vec::new();
    };
    net.run(secs(1));
    assert!(net.lookup(target, only).is_ok());
    assert_eq!(view.publications, 1, "the owner's entry is never evicted");
}

#[test]
fn only_the_right_kind_of_answer_from_the_asked_address_counts() {
    let now = chunkcast::time::Instant::ZERO;
    let mut node =
        chunkcast::node::Node::new(joining(addr(1)), [1; 32], now).expect("a valid configuration");
    let ping = node.poll_transmit().expect("the bootstrap node is pinged");
    let tx = wire::decode(&ping.payload).expect("own message").tx;
    let sender = Sender {
        id: Id([5; 20]),
        coord: Coord::default(),
        client: false,
    };
    let say = |tx, body| {
        let token = None;
        wire::encode(&Envelope {
            tx,
            sender,
            token,
            body,
        })
        .expect("fits")
    };
    let pong = || Body::Pong {
        token: Token([1; 8]),
        observed: addr(9),
    };
    let wrong = [
        (addr(1), say(tx, Body::Ack)),
        (
            addr(1),
            say(
                tx,
                Body::LeavesReply {
                    contacts: Vec::new(),
                },
            ),
        ),
        (addr(1), say(tx.wrapping_add(1), pong())),
        (addr(2), say(tx, pong())),
    ];
    for (n, (from, payload)) in (1..).zip(wrong) {
        node.handle_datagram(from, &payload, now);
        let view = node.snapshot();
        assert_eq!(
            (view.peers, view.counters.drops[&DropReason::Unsolicited]),
            (0, n)
        );
    }
    node.handle_datagram(addr(1), &say(tx, pong()), now);
    assert_eq!(node.snapshot().peers, 1);
    node.handle_datagram(addr(1), &say(tx, pong()), now);
    assert_eq!(
        node.snapshot().counters.drops[&DropReason::Unsolicited],
        5,
        "answered once"
    );
}

#[test]
fn a_lookup_is_not_ended_by_the_answer_to_a_join_nor_the_other_way_round() {
    let now = chunkcast::time::Instant::ZERO;
    let mut node =
        chunkcast::node::Node::new(joining(addr(1)), [1; 32], now).expect("a valid configuration");
    let sender = Sender {
        id: Id([5; 20]),
        coord: Coord::default(),
        client: false,
    };
    let say = |tx, body| {
        let token = None;
        wire::encode(&Envelope {
            tx,
            sender,
            token,
            body,
        })
        .expect("fits")
    };
    let next = |node: &mut chunkcast::node::Node| {
        let sent = node.poll_transmit().expect("a request");
        wire::decode(&sent.payload).expect("own message")
    };
    let join_reply = || Body::JoinReply {
        contacts: Vec::new(),
        hops: 1,
    };
    let found = Body::Found(Found {
        loaded: false,
        trace: Vec::new(),
        matches: Vec::new(),
        hops: 1,
        root: true,
        by: sender.id,
    });
    let unsolicited = |node: &chunkcast::node::Node| {
        let drops = node.snapshot().counters.drops;
        drops.get(&DropReason::Unsolicited).copied().unwrap_or(0)
    };

    let ping = next(&mut node);
    let pong = Body::Pong {
        token: Token([1; 8]),
        observed: addr(9),
    };
    node.handle_datagram(addr(1), &say(ping.tx, pong), now);
    let sent: Vec<_> = std::iter::from_fn(|| node.poll_transmit())
        .map(|t| wire::decode(&t.payload).expect("own message"))
        .collect();
    let join = sent.iter().find(|e| matches!(e.body, Body::Join { .. }));
    let join = join.expect("it joins through the bootstrap node").tx;
    node.handle_datagram(addr(1), &say(join, found.clone()), now);
    assert_eq!(unsolicited(&node), 1);
    node.handle_datagram(addr(1), &say(join, join_reply()), now);
    let asks = next(&mut node).body;
    assert!(matches!(asks, Body::Leaves { .. }), "it goes on: {asks:?}");

    let request = chunkcast::node::LookupRequest {
        trace: false,
        object: ObjectId(Id([5; 20])),
        wanted: Wanted::Any,
        p: 1,
        mix: 0,
        ranking: Ranking::Overlap,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: false,
    };
    while node.poll_event().is_some() || node.poll_transmit().is_some() {}
    node.handle_command(
        chunkcast::node::Command::Lookup(chunkcast::node::LookupId(1), request),
        now,
    );
    let lookup = next(&mut node).tx;
    node.handle_datagram(addr(1), &say(lookup, join_reply()), now);
    assert_eq!(unsolicited(&node), 2);
    node.handle_datagram(addr(1), &say(lookup, found), now);
    let done = std::iter::from_fn(|| node.poll_event())
        .any(|e| matches!(e, chunkcast::node::Event::LookupDone { result: Ok(_), .. }));
    assert!(done, "the lookup has its answer");
}
