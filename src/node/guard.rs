//! What comes in and goes out at all: seals of a closed network, rates, and the rule that nobody is answered with more
//! than he has sent before he has shown that he receives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;
use sha2::{Digest, Sha256};

use super::proofs::Withdrawn;
use super::wall::Wall;
use super::{DropReason, Network, Node, NodeConfig, Transmit};
use crate::auth::proof::{Publisher, Secret};
use crate::auth::rates::Rates;
use crate::auth::seal::{OpenError, SEAL_OVERHEAD, Seal};
use crate::id::Id;
use crate::time::Instant;
use crate::wire::{Body, MAX_DATAGRAM, RefuseReason, Token};

/// What a request costs its source beside its datagram, when it makes this node search, store or forward.
const DEAR: u32 = 3; // guess: a search or a datagram more, and a lookup in two or three maps
/// Shortest pause between two datagrams that tell the time.
const TELL_TIME: Duration = Duration::from_secs(1); // guess
/// Further publishers whose keys are remembered.
const PUBLISHERS: usize = 4_096; // as many as publications by default

/// The node's guards.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) seal: Option<Seal>,
    pub(super) rates: Rates,
    pub(super) wall: Wall,
    pub(super) secret: Secret,
    /// Derived from the secret.
    pub(super) publishers: BTreeMap<Option<Id>, Publisher>,
    /// Entries that were withdrawn: their sequence, and when older copies expire.
    pub(super) withdrawn: Withdrawn,
    /// Of bootstrap nodes that did not enter the tables.
    pub(super) tokens: BTreeMap<SocketAddr, Token>,
    /// When this node took another id.
    pub(super) moved: Option<Instant>,
    /// When the next one may be told the time.
    tell_time_at: Instant,
    /// While a request of an unproven source is handled: the source, and how many bytes it may still be sent.
    unproven: Option<(SocketAddr, usize)>,
}

impl Guard {
    pub(super) fn new(
        config: &NodeConfig,
        seed: &[u8; 32],
        rng: &mut impl Rng,
        now: Instant,
    ) -> Self {
        let seal = match &config.network {
            Network::Open => None,
            Network::Closed(key) => {
                let mut session = [0; 8];
                rng.fill_bytes(&mut session);
                Some(Seal::new(key, session, config.guard.seal.clone()))
            }
        };
        let drawn = || {
            let derived = Sha256::new()
                .chain_update(b"chunkcast secret 1\0")
                .chain_update(seed)
                .finalize();
            Secret(derived.into())
        };
        Self {
            seal,
            rates: Rates::new(&config.guard.rates),
            wall: Wall::new(config.wall, now),
            secret: config.secret.clone().unwrap_or_else(drawn),
            publishers: BTreeMap::new(),
            withdrawn: Withdrawn::default(),
            tokens: BTreeMap::new(),
            moved: None,
            tell_time_at: now,
            unproven: None,
        }
    }

    /// The publisher with this tag; derived once.
    pub(super) fn publisher(&mut self, tag: Option<Id>) -> &Publisher {
        if self.publishers.len() >= PUBLISHERS && !self.publishers.contains_key(&tag) {
            self.publishers.pop_last();
        }
        let secret = &self.secret;
        self.publishers
            .entry(tag)
            .or_insert_with(|| Publisher::new(secret, tag.as_ref()))
    }
}

impl Node {
    pub(super) fn is_open(&self) -> bool {
        self.guard.seal.is_none()
    }

    /// The part of a datagram that may be parsed, if any. A stranger to a closed network costs one MAC; what he sends is
    /// not counted against the source that he names.
    pub(super) fn admit<'a>(&mut self, from: SocketAddr, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let wall = self.wall();
        let payload = match &mut self.guard.seal {
            _ if datagram.len() > MAX_DATAGRAM => {
                self.counters.drop(DropReason::Malformed);
                return None;
            }
            None => datagram,
            Some(seal) => match seal.open(datagram, wall) {
                Ok(payload) => {
                    self.guard.wall.agreed();
                    payload
                }
                Err(why) => {
                    self.not_opened(from, datagram.len(), why);
                    return None;
                }
            },
        };
        if !self.guard.rates.admit(from.ip(), 1, self.now) {
            self.counters.drop(DropReason::Rate);
            return None;
        }
        Some(payload)
    }

    fn not_opened(&mut self, from: SocketAddr, bytes: usize, why: OpenError) {
        self.counters.drop(match why {
            OpenError::NotSealed | OpenError::Forged => DropReason::Unauthenticated,
            OpenError::Own | OpenError::Replayed => DropReason::Replayed,
            OpenError::Clock => DropReason::Clock,
            OpenError::Sessions => DropReason::Sessions,
        });
        if why != OpenError::Clock {
            return;
        }
        self.clock_disagrees();
        // Whose clock is wrong hears of nobody, unless he is told: an empty datagram carries the time. Not in answer to
        // another empty one.
        let (now, wall) = (self.now, self.wall());
        if bytes > SEAL_OVERHEAD && now >= self.guard.tell_time_at {
            self.guard.tell_time_at = now + TELL_TIME;
            if let Some(seal) = &mut self.guard.seal {
                let payload = seal.seal(&[], wall);
                self.transmits.push_back(Transmit { to: from, payload });
            }
        }
    }

    /// Handles a request. While that lasts, its source is sent no more bytes than it has sent, unless its token shows
    /// that it receives what is sent there.
    pub(super) fn guarded(
        &mut self,
        from: SocketAddr,
        token: Option<Token>,
        bytes: usize,
        handle: impl FnOnce(&mut Self, bool),
    ) {
        let proven = self.mint.accepts(from, token);
        self.guard.unproven = (!proven).then_some((from, bytes));
        handle(self, proven);
        self.guard.unproven = None;
    }

    /// Whether a request is carried out: without a token only what can be answered in as many bytes.
    pub(super) fn may_ask(&mut self, from: SocketAddr, tx: u32, proven: bool, body: &Body) -> bool {
        if matches!(body, Body::Ping) {
            return true;
        }
        if !proven {
            self.counters.drop(DropReason::Token);
            self.refuse(from, tx, RefuseReason::Token);
            return false;
        }
        let cost = match body {
            Body::Propagate { entries } => {
                DEAR.saturating_add(u32::try_from(entries.len()).unwrap_or(u32::MAX))
            }
            Body::Publish { .. } | Body::Lookup(_) | Body::Join { .. } => DEAR,
            _ => 0,
        };
        if cost > 0 && !self.guard.rates.admit(from.ip(), cost, self.now) {
            self.counters.drop(DropReason::Rate);
            self.refuse(from, tx, RefuseReason::Busy);
            return false;
        }
        true
    }

    /// The datagram as it goes out: sealed in a closed network; `None` if it must not.
    pub(super) fn let_out(&mut self, to: SocketAddr, payload: Vec<u8>) -> Option<Vec<u8>> {
        if payload.len() > self.max_payload() {
            self.counters.drop(DropReason::TooLarge);
            return None;
        }
        let sealed = payload.len() + MAX_DATAGRAM - self.max_payload();
        if let Some((source, room)) = &mut self.guard.unproven
            && *source == to
        {
            let Some(left) = room.checked_sub(sealed) else {
                self.counters.drop(DropReason::Amplification);
                return None;
            };
            *room = left;
        }
        let wall = self.wall();
        Some(match &mut self.guard.seal {
            None => payload,
            Some(seal) => seal.seal(&payload, wall),
        })
    }

    /// Bytes that a message may take before it is sealed.
    pub(super) fn max_payload(&self) -> usize {
        match self.guard.seal {
            None => MAX_DATAGRAM,
            Some(_) => MAX_DATAGRAM - SEAL_OVERHEAD,
        }
    }
}
