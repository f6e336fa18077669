//! Who sent the bad bytes of a piece that failed its hash.
//!
//! One contributor: it is guilty. Several: the digest of every block of the failed attempt is kept, the piece is fetched
//! again from a single peer (one that is not a suspect where there is one), and when a good piece has come the senders
//! of exactly those blocks that differ from it are guilty. The digests are keyed with a secret, so that a peer cannot
//! construct a bad block that looks like the good one.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;

use super::ConnId;
use super::pieces::OpenPiece;

/// A peer that sent blocks of a piece; it may have left meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Contributor {
    pub(super) conn: ConnId,
    /// Where it accepts connections, or else its socket's address.
    pub(super) addr: SocketAddr,
}

/// One failed attempt at a piece.
#[derive(Clone, Debug)]
struct Attempt {
    contributors: Vec<Contributor>,
    /// Contributor and digest of every block.
    blocks: Vec<(u16, u64)>,
}

/// Failed attempts at pieces, bounded: the oldest piece is forgotten first.
#[derive(Debug)]
pub(super) struct Blame {
    secret: [u64; 2],
    limit: usize,
    failed: BTreeMap<u32, Vec<Attempt>>,
    order: VecDeque<u32>,
}

impl Blame {
    /// Attempts kept a piece: each further one comes from a single peer and needs no memory.
    const ATTEMPTS: usize = 2;

    pub(super) fn new(secret: [u64; 2], limit: usize) -> Self {
        Self {
            secret,
            limit,
            failed: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The keyed digest of a block.
    pub(super) fn digest(&self, data: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.secret[0]);
        hasher.write_u64(self.secret[1]);
        hasher.write(data);
        hasher.finish()
    }

    /// Whether `piece` has failed and is to come from a single peer now.
    pub(super) fn is_exclusive(&self, piece: u32) -> bool {
        self.failed.contains_key(&piece)
    }

    /// Whether this peer had a part in a failed attempt at `piece`.
    pub(super) fn is_suspect(&self, piece: u32, conn: ConnId) -> bool {
        let attempts = self.failed.get(&piece).map_or(&[][..], Vec::as_slice);
        attempts
            .iter()
            .any(|a| a.contributors.iter().any(|c| c.conn == conn))
    }

    /// The piece failed its hash: who is certainly guilty.
    pub(super) fn failed(&mut self, piece: u32, open: &OpenPiece) -> Vec<Contributor> {
        if let [only] = open.contributors[..] {
            return vec![only];
        }
        let attempts = self.failed.entry(piece).or_default();
        if attempts.is_empty() {
            self.order.push_back(piece);
        }
        if attempts.len() < Self::ATTEMPTS {
            let blocks = open
                .blocks
                .iter()
                .map(|b| (b.from.unwrap_or(u16::MAX), b.digest))
                .collect();
            attempts.push(Attempt {
                contributors: open.contributors.clone(),
                blocks,
            });
        }
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.failed.remove(&oldest);
        }
        Vec::new()
    }

    /// The piece is good: who sent other bytes before.
    pub(super) fn settled(&mut self, piece: u32, good: &OpenPiece) -> Vec<Contributor> {
        let Some(attempts) = self.failed.remove(&piece) else {
            return Vec::new();
        };
        self.order.retain(|p| *p != piece);
        let mut guilty = Vec::new();
        for attempt in &attempts {
            for (&(from, digest), block) in attempt.blocks.iter().zip(&good.blocks) {
                if digest != block.digest
                    && let Some(c) = attempt.contributors.get(usize::from(from))
                    && !guilty.contains(c)
                {
                    guilty.push(*c);
                }
            }
        }
        guilty
    }
}
