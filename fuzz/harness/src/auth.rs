//! Who may do what: sealed datagrams of a closed network, signed entries of an open one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::auth::seal::{NetworkKey, SEAL_OVERHEAD, Seal, SealConfig};
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{
    Command, Event, LookupId, LookupRequest, Network, Node, NodeConfig, sign_entry,
};
use chunkcast::time::Instant;
use chunkcast::wire::{
    self, Body, Entry, Envelope, Found, MAX_DATAGRAM, PeerAddrs, Ranking, Sender, Token, Wanted,
};

use crate::input::Input;

const KEY: NetworkKey = NetworkKey([7; 32]);
const WALL: Duration = Duration::from_secs(1_700_000_000);

fn config(network: Network) -> NodeConfig {
    NodeConfig {
        network,
        id: Some(Id([1; 20])),
        wall: Some(WALL),
        ..NodeConfig::default()
    }
}

fn unknown_key(data: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..20].copy_from_slice(&ObjectId::from_name(data).0.0);
    key
}

/// Nothing without the key is opened or remembered, a closed node says nothing to it, and of a program of sealing,
/// bending and delivering in any order each datagram is opened at most once, and as it was.
pub fn sealed(data: &[u8]) {
    // A key that depends on the datagram: a fuzzer that watches comparisons finds the MAC under a fixed one.
    let unknown = NetworkKey(unknown_key(data));
    let mut opener = Seal::new(&unknown, [2; 8], SealConfig::default());
    assert!(opener.open(data, WALL).is_err());
    assert_eq!(opener.sessions(), 0);
    let mut node =
        Node::new(config(Network::Closed(unknown)), [1; 32], Instant::ZERO).expect("defaults");
    let stranger = SocketAddr::from(([10, 0, 0, 9], 9));
    node.handle_datagram(stranger, data, Instant::ZERO);
    assert!(node.poll_transmit().is_none());

    let mut opener = Seal::new(&KEY, [2; 8], SealConfig::default());
    let mut node =
        Node::new(config(Network::Closed(KEY)), [1; 32], Instant::ZERO).expect("defaults");
    let mut input = Input::new(data);
    let mut sealers = [3, 4, 5].map(|n| Seal::new(&KEY, [n; 8], SealConfig::default()));
    let (mut wall, mut sent, mut opened) = (WALL, Vec::new(), BTreeSet::new());
    while !input.is_done() {
        match input.below(4) {
            0 => wall += Duration::from_micros(u64::from(input.u32())),
            1 => wall = wall.saturating_sub(Duration::from_millis(u64::from(input.u16()))),
            2 => {
                let sealer = input.below(3);
                let payload = input.take(usize::from(input.clone().byte())).to_vec();
                let datagram = sealers[sealer].seal(&payload, wall);
                assert_eq!(datagram.len(), payload.len() + SEAL_OVERHEAD);
                sent.push((datagram, payload));
            }
            _ => {
                let n = usize::from(input.byte());
                let Some((datagram, payload)) = sent.get(n % sent.len().max(1)) else {
                    continue;
                };
                let mut datagram = datagram.clone();
                let at = usize::from(input.byte());
                let flip = input.byte();
                let bent = flip != 0 && at < datagram.len();
                if bent {
                    datagram[at] ^= flip;
                }
                if let Ok(read) = opener.open(&datagram, wall) {
                    assert!(!bent && read == payload);
                    assert!(opened.insert(datagram.clone()), "twice");
                }
                if datagram.len() <= MAX_DATAGRAM {
                    node.handle_datagram(stranger, &datagram, Instant::ZERO);
                    while node.poll_transmit().is_some() {}
                }
            }
        }
    }
    assert!(opener.sessions() <= sealers.len());
}

/// Bytes of a propagation message with one signed entry are bent: the node keeps what its publisher has signed, or
/// nothing.
pub fn signed(data: &[u8]) {
    let mut input = Input::new(data);
    let chunks = u32::from(input.byte());
    let held = input.take(chunks.div_ceil(8) as usize);
    let mut bits = held.to_vec();
    bits.resize(chunks.div_ceil(8) as usize, 0);
    if let (Some(last), spare @ 1..) = (bits.last_mut(), bits_beyond(chunks)) {
        *last &= 0xff << spare;
    }
    let held = ChunkSet::from_bytes(0, chunks, &bits).expect("as long as it has to be");
    let lifetime = Duration::from_secs(u64::from(input.u16() % 2_000));
    let entry = Entry {
        object: ObjectId(Id([3; 20])),
        publisher: Id::default(),
        sequence: u64::from(input.u16()),
        addrs: PeerAddrs::from(SocketAddr::from(([192, 0, 2, input.byte()], 6_881))),
        coord: Coord::default(),
        chunks,
        held,
        delta_of: None,
        summary: None,
        load: input.byte(),
        reachable: true,
        lifetime,
        proof: None,
    };
    let expires = (WALL.as_secs() + 1_000).wrapping_add(input.u64() >> 40);
    let genuine = sign_entry(entry, &Publisher::new(&Secret([5; 32]), None), expires);

    let mut node = Node::new(config(Network::Open), [1; 32], Instant::ZERO).expect("defaults");
    let from = SocketAddr::from(([10, 0, 0, 9], 9));
    let token = ask_token(&mut node, from);
    let mut datagram = said(
        Some(token),
        Body::Propagate {
            entries: vec![genuine.clone()],
        },
    );
    for _ in 0..input.below(8) {
        let at = usize::from(input.u16()) % datagram.len();
        datagram[at] ^= input.byte();
    }
    node.handle_datagram(from, &datagram, Instant::ZERO);
    while node.poll_transmit().is_some() {}
    for found in lookup(&mut node).matches {
        assert_eq!(found.addrs, genuine.addrs);
        assert_eq!(found.matched, genuine.held.count());
        assert_eq!(found.load, genuine.load);
    }
}

fn bits_beyond(chunks: u32) -> u32 {
    (8 - chunks % 8) % 8
}

fn said(token: Option<Token>, body: Body) -> Vec<u8> {
    let sender = Sender {
        id: Id([9; 20]),
        coord: Coord::default(),
        client: false,
    };
    let envelope = Envelope {
        tx: 1,
        sender,
        token,
        body,
    };
    wire::encode(&envelope).expect("it fits")
}

fn ask_token(node: &mut Node, from: SocketAddr) -> Token {
    node.handle_datagram(from, &said(None, Body::Ping), Instant::ZERO);
    while let Some(transmit) = node.poll_transmit() {
        let envelope = wire::decode(&transmit.payload).expect("its own message");
        if let Body::Pong { token, .. } = envelope.body {
            return token;
        }
    }
    unreachable!("a ping is answered")
}

fn lookup(node: &mut Node) -> Found {
    let request = LookupRequest {
        object: ObjectId(Id([3; 20])),
        wanted: Wanted::Any,
        p: 8,
        mix: 0,
        ranking: Ranking::Overlap,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: false,
        trace: false,
    };
    node.handle_command(Command::Lookup(LookupId(1), request), Instant::ZERO);
    while let Some(event) = node.poll_event() {
        if let Event::LookupDone { result, .. } = event {
            return result.expect("the only node of its ring answers");
        }
    }
    unreachable!("the only node of its ring answers at once")
}
