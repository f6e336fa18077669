//! What attackers say and what they get.

use std::net::SocketAddr;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::Id;
use chunkcast::node::DropReason;
use chunkcast::wire::{
    self, Body, Contact, Entry, Envelope, Found, Lookup, Name, PeerAddrs, Ranking, RefuseReason,
    Sender, Token, Wanted,
};

use super::*;

pub(crate) const MALLORY: Id = Id([0x66; 20]);

pub(crate) fn say(token: Option<Token>, client: bool, body: Body) -> Vec<u8> {
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

pub(crate) fn drops(net: &Net, at: SocketAddr, reason: DropReason) -> u64 {
    let all = &net.node(at).counters().drops;
    all.get(&reason).copied().unwrap_or(0)
}

/// What `to` says at once when it hears `payload` from `from`.
pub(crate) fn answers(
    net: &mut Net,
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> Vec<Body> {
    net.trace = Some(Vec::new());
    net.inject(from, to, payload);
    let said = net.trace.take().expect("set above");
    let mine = said
        .iter()
        .filter(|(_, at, there, _)| *at == to && *there == from);
    mine.map(|(.., bytes)| wire::decode(bytes).expect("own message").body)
        .collect()
}

pub(crate) fn token(net: &mut Net, from: SocketAddr, to: SocketAddr) -> Token {
    let ping = say(None, true, Body::Ping);
    match answers(net, from, to, &ping)[..] {
        [Body::Pong { token, .. }] => token,
        ref other => panic!("{other:?}"),
    }
}

pub(crate) fn unsigned(addrs: PeerAddrs, sequence: u64) -> Entry {
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

pub(crate) fn publisher(n: u8) -> Publisher {
    Publisher::new(&Secret([n; 32]), None)
}

pub(crate) fn serves(at: SocketAddr) -> PeerAddrs {
    PeerAddrs::from(SocketAddr::new(at.ip(), 6881))
}

pub(crate) fn found(net: &mut Net, at: SocketAddr) -> Vec<PeerAddrs> {
    let found = net
        .lookup(at, |r| (r.p, r.to_root) = (8, true))
        .expect("an answer");
    found.matches.iter().map(|m| m.addrs).collect()
}

pub(crate) fn lookup() -> Lookup {
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
pub(crate) fn smallest(target: Id) -> Vec<Body> {
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
        Body::Leaves { names: Vec::new() },
        Body::Leaves {
            names: vec![Name::of(&contact.id)],
        },
        Body::LeavesReply {
            contacts: vec![contact],
        },
        Body::Row {
            row: 0,
            names: Vec::new(),
        },
        Body::Row {
            row: 1,
            names: vec![Name::of(&contact.id)],
        },
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
