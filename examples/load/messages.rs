//! What is asked: lookups, publishes, and datagrams of the same sizes for the echo.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::sign_entry;
use chunkcast::wire::{
    self, Body, Entry, Envelope, Lookup, PeerAddrs, Ranking, Sender, Token, Wanted,
};

use crate::ask::{Asker, Load, wall};

/// Entries of the small object, published by clients of this node: all at one place.
pub(crate) const SMALL: u16 = 50;
/// Entries of the large one, as many as an object may have, published by clients of this node too.
pub(crate) const LARGE: u16 = 512;
/// Entries of the one that other index nodes propagate, from as many places.
pub(crate) const FAR: u16 = 511;
/// Chunks of each: 1 GiB in pieces of 1 MiB.
pub(crate) const CHUNKS: u32 = 1024;
/// Different requests, sent in turn.
const VARIETY: u32 = 64;

/// The object with so many entries.
pub(crate) fn object(entries: u16) -> ObjectId {
    let mut id = [0xab; 20];
    id[..2].copy_from_slice(&entries.to_be_bytes());
    ObjectId(Id(id))
}

/// A scattered half of the chunks, another one for each `seed`.
pub(crate) fn half(seed: u32) -> ChunkSet {
    let mixed = |i: u32| (i ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(2_654_435_761);
    ChunkSet::from_indices(CHUNKS, (0..CHUNKS).filter(|i| mixed(*i) >> 31 == 0))
}

fn coord(seed: u32) -> Coord {
    let ms = |n: u32| f64::from(n % 100) / 1000.0;
    Coord {
        position: [
            ms(seed),
            ms(seed.wrapping_mul(7)),
            ms(seed.wrapping_mul(13)),
        ],
        height: 0.002,
        error: 0.1,
    }
}

/// A datagram of a client.
pub(crate) fn datagram(n: u32, token: Option<Token>, body: Body) -> Vec<u8> {
    let sender = Sender {
        id: Id([0xc1; 20]),
        coord: coord(1),
        client: true,
    };
    let envelope = Envelope {
        tx: n,
        sender,
        token,
        body,
    };
    wire::encode(&envelope).expect("within bounds")
}

/// Every datagram ends with `1:t4:....1:vi1ee`.
fn set_exchange(datagram: &mut [u8], n: u32) {
    let end = datagram.len() - b"1:vi1ee".len();
    datagram[end - 4..end].copy_from_slice(&n.to_be_bytes());
}

/// The entry of the object's `n`-th publisher.
pub(crate) fn entry(object: ObjectId, n: u16, sequence: u64, from: SocketAddr) -> Entry {
    let mut publisher = [0x33; 20];
    publisher[..2].copy_from_slice(&n.to_be_bytes());
    let turn = u32::try_from(sequence % 1000).expect("small");
    Entry {
        object,
        publisher: Id(publisher),
        sequence,
        addrs: PeerAddrs::from(SocketAddr::new(from.ip(), 10_000 + n)),
        coord: coord(u32::from(n)),
        chunks: CHUNKS,
        held: half(u32::from(n) ^ turn << 16),
        delta_of: None,
        summary: None,
        load: 0,
        reachable: true,
        lifetime: Duration::from_secs(1500),
        proof: None,
    }
}

/// Closeness lookups for 4 peers with any of a scattered half of the chunks.
#[derive(Debug)]
pub(crate) struct Lookups {
    datagrams: Vec<Vec<u8>>,
}

impl Lookups {
    pub(crate) fn new(entries: u16, token: Token) -> Self {
        let lookup = |n| Lookup {
            object: object(entries),
            wanted: Wanted::Chunks(half(n)),
            summary: None,
            p: 4,
            mix: 1,
            ranking: Ranking::Closeness,
            coord: coord(n),
            asker: PeerAddrs::from(SocketAddr::from(([127, 0, 0, 1], 9))),
            ignore: Vec::new(),
            to_root: false,
            trace: false,
            hops: 0,
            matches: Vec::new(),
        };
        let datagrams = (0..VARIETY).map(|n| datagram(n, Some(token), Body::Lookup(lookup(n))));
        Self {
            datagrams: datagrams.collect(),
        }
    }
}

impl Load for Lookups {
    fn request(&mut self, n: u32) -> &[u8] {
        let datagram = &mut self.datagrams[(n % VARIETY) as usize];
        set_exchange(datagram, n);
        datagram
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        datagram.starts_with(b"d1:ki13e") // found
    }
}

/// Entries of the larger object's publishers, changed each time.
#[derive(Debug)]
pub(crate) struct Publishes {
    from: SocketAddr,
    token: Token,
    sequence: u64,
    /// In the open network.
    signers: Option<Vec<Publisher>>,
    prepared: Vec<Vec<u8>>,
}

impl Publishes {
    /// Gets a token for the asker's socket.
    pub(crate) fn new(asker: &mut Asker, open: bool) -> io::Result<Self> {
        let pong = asker.ask(&datagram(1, None, Body::Ping))?;
        let Ok(Body::Pong { token, .. }) = wire::decode(&pong).map(|e| e.body) else {
            return Err(io::Error::other("the node did not answer a ping"));
        };
        let secret = Secret([7; 32]);
        let signer = |n: u16| {
            let mut tag = Id::default();
            tag.0[..2].copy_from_slice(&n.to_be_bytes());
            Publisher::new(&secret, Some(&tag))
        };
        Ok(Self {
            from: asker.local_addr()?,
            token,
            signers: open.then(|| (0..LARGE).map(signer).collect()),
            sequence: 1 << 50, // as microseconds since 1970
            prepared: Vec::new(),
        })
    }

    /// Publishes every entry of an object once.
    pub(crate) fn fill(&mut self, asker: &mut Asker, entries: u16) -> io::Result<()> {
        for n in 0..entries {
            let request = self.next(object(entries), n);
            let answer = asker.ask(&request)?;
            if !self.is_answer(&answer) {
                return Err(io::Error::other("the node did not take an entry"));
            }
        }
        Ok(())
    }

    /// Every entry of an object comes from another index node.
    pub(crate) fn propagate(&mut self, asker: &mut Asker, entries: u16) -> io::Result<()> {
        for n in 0..entries {
            let entries = vec![self.entry(object(entries), n)];
            let request = wire::encode(&Envelope {
                tx: 1,
                sender: Sender {
                    id: Id([0xc2; 20]),
                    coord: coord(2),
                    client: false,
                },
                token: Some(self.token),
                body: Body::Propagate { entries },
            });
            let answer = asker.ask(&request.expect("within bounds"))?;
            if !self.is_answer(&answer) {
                return Err(io::Error::other(
                    "the node did not take an entry of another",
                ));
            }
        }
        Ok(())
    }

    /// Writes the next `n` requests down, which is the asker's affair and not to be measured.
    pub(crate) fn prepare(&mut self, n: u32) {
        self.prepared = (0..n)
            .map(|i| {
                let publisher = u16::try_from(i % u32::from(LARGE)).expect("below 512");
                self.next(object(LARGE), publisher)
            })
            .collect();
    }

    fn next(&mut self, object: ObjectId, publisher: u16) -> Vec<u8> {
        let entry = self.entry(object, publisher);
        datagram(1, Some(self.token), Body::Publish { entry })
    }

    fn entry(&mut self, object: ObjectId, publisher: u16) -> Entry {
        self.sequence += 1;
        let entry = entry(object, publisher, self.sequence, self.from);
        match &self.signers {
            None => entry,
            Some(signers) => {
                let expires = wall() + entry.lifetime;
                sign_entry(entry, &signers[usize::from(publisher)], expires.as_secs())
            }
        }
    }

    /// The token of the asker's socket.
    pub(crate) fn token(&self) -> Token {
        self.token
    }
}

impl Load for Publishes {
    fn request(&mut self, n: u32) -> &[u8] {
        let datagram = &mut self.prepared[n as usize];
        set_exchange(datagram, n);
        datagram
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        datagram.starts_with(b"d1:ki2e") // ack
    }
}

/// Datagrams that the echo answers in the sizes of another load.
#[derive(Debug)]
pub(crate) struct Echo {
    datagram: Vec<u8>,
    answer: usize,
}

impl Echo {
    /// Asks once to see the sizes.
    pub(crate) fn beside(load: &mut impl Load, asker: &mut Asker) -> io::Result<Self> {
        let request = load.request(0).to_vec();
        let answer = asker.ask(&request)?;
        if !load.is_answer(&answer) {
            return Err(io::Error::other("a server answered something else"));
        }
        let mut datagram = vec![7; request.len()];
        let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
        datagram[..2].copy_from_slice(&len.to_be_bytes());
        Ok(Self {
            datagram,
            answer: answer.len(),
        })
    }
}

impl Load for Echo {
    fn request(&mut self, _: u32) -> &[u8] {
        &self.datagram
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        datagram.len() == self.answer
    }
}
