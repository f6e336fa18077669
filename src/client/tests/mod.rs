//! Behaviour of the client peer.

mod asking;
mod fetching;
mod flow;
mod hostile;
mod introduce;
mod neighbours;
mod paper;
mod policy;
mod refusals;
mod serving;
mod share;
mod strangers;
mod unreachable;
mod web_seeds;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn at(seconds: f64) -> Instant {
    Instant::ZERO + Duration::from_secs_f64(seconds)
}

fn addr(i: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, i], 6881))
}

fn millis(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1000.0)
}

/// A directory's candidate.
fn candidate(addr: SocketAddr, rtt_ms: f64) -> Candidate {
    Candidate {
        addrs: vec![addr],
        source: Source::Directory,
        apart: Some(millis(rtt_ms)),
        matched: 1,
        load: 0,
        reachable: true,
    }
}

/// One client driven by hand.
struct One {
    client: Client,
    now: Instant,
    next: u16,
    kept: Vec<Action>,
}

impl One {
    fn new(config: ClientConfig) -> Self {
        let now = at(1.0);
        Self {
            client: Client::new(config, 1, now),
            now,
            next: 0,
            kept: Vec::new(),
        }
    }

    /// The object is known; everything is wanted.
    fn object(&mut self, held: ChunkSet, chunks: u32) {
        self.client
            .set_object(held, ChunkSet::full(chunks), self.now);
    }

    fn fresh_addr(&mut self) -> SocketAddr {
        self.next += 1;
        let [a, b] = self.next.to_be_bytes();
        SocketAddr::from(([10, 7, a, b], 6881))
    }

    /// A neighbour that we dialled.
    fn try_join(&mut self, rtt_ms: f64, listen: Option<SocketAddr>) -> (NeighbourId, Verdict) {
        let addr = listen.unwrap_or_else(|| self.fresh_addr());
        self.next += 1;
        let id = NeighbourId(u64::from(self.next));
        let info = Connected {
            addr,
            listen: Some(addr),
            outbound: true,
            rtt: Some(millis(rtt_ms)),
            source: Source::Directory,
        };
        (id, self.client.handle_connected(id, info, self.now))
    }

    fn try_inbound(&mut self, ip: IpAddr) -> (NeighbourId, Verdict) {
        self.next += 1;
        let id = NeighbourId(u64::from(self.next));
        let addr = SocketAddr::new(ip, 50_000);
        let info = Connected {
            addr,
            listen: None,
            outbound: false,
            rtt: None,
            source: Source::Incoming,
        };
        (id, self.client.handle_connected(id, info, self.now))
    }

    /// A neighbour that holds the first `held` of the object's chunks and refuses to serve us.
    fn join(&mut self, rtt_ms: f64, held: u32, listen: Option<SocketAddr>) -> NeighbourId {
        let (id, verdict) = self.try_join(rtt_ms, listen);
        assert_eq!(verdict, Verdict::Keep);
        if held > 0 {
            let set = ChunkSet::from_indices(self.client.held().len(), 0..held);
            self.client.handle_chunks(id, &set, self.now);
        }
        id
    }

    /// A neighbour that holds `held` and serves us.
    fn serving(&mut self, rtt_ms: f64, held: &[u32]) -> NeighbourId {
        let id = self.join(rtt_ms, 0, None);
        let set = ChunkSet::from_indices(self.client.held().len(), held.iter().copied());
        self.client.handle_chunks(id, &set, self.now);
        self.client.handle_choked(id, false, self.now);
        id
    }

    fn listen(&self, peer: NeighbourId) -> SocketAddr {
        self.client
            .neighbours()
            .find(|n| n.id == peer)
            .and_then(|n| n.listen)
            .unwrap()
    }

    fn servers(&self) -> Vec<NeighbourId> {
        self.client
            .neighbours()
            .filter(|n| n.server)
            .map(|n| n.id)
            .collect()
    }

    fn served(&self) -> BTreeSet<NeighbourId> {
        self.client
            .neighbours()
            .filter(|n| n.served)
            .map(|n| n.id)
            .collect()
    }

    /// Time passes; timers fire when they are due.
    fn advance(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(due) = self.client.poll_timeout().filter(|t| *t <= end) {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            self.keep();
            let next = self.client.poll_timeout();
            assert!(
                next.is_none_or(|t| t > self.now),
                "busy loop at {:?}",
                self.now
            );
        }
        self.now = end;
    }

    fn keep(&mut self) {
        while let Some(action) = self.client.poll_action() {
            self.kept.push(action);
        }
    }

    fn actions(&mut self) -> Vec<Action> {
        self.keep();
        std::mem::take(&mut self.kept)
    }

    /// Chunks held of each publish so far; other actions are left for later.
    fn publishes(&mut self) -> Vec<u32> {
        self.take(|a| match a {
            Action::Publish { held, .. } => Some(held.count()),
            _ => None,
        })
    }

    fn lookups(&mut self) -> Vec<Query> {
        self.take(|a| match a {
            Action::LookUp(query) => Some(query.clone()),
            _ => None,
        })
    }

    fn dials(&mut self) -> Vec<SocketAddr> {
        self.take(|a| match a {
            Action::Dial { addr, .. } => Some(*addr),
            _ => None,
        })
    }

    fn reveals(&mut self) -> Vec<(NeighbourId, u32)> {
        self.take(|a| match a {
            Action::Reveal {
                peer,
                what: Reveal::Chunk(chunk),
            } => Some((*peer, *chunk)),
            _ => None,
        })
    }

    fn take<T>(&mut self, of: impl Fn(&Action) -> Option<T>) -> Vec<T> {
        self.keep();
        let taken = self.kept.iter().filter_map(&of).collect();
        self.kept.retain(|a| of(a).is_none());
        taken
    }
}
