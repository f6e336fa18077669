//! Scripted peers: a stock seed with every fault that a real one may have.

use std::time::Duration;

use bytes::Bytes;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::ConnId;
use chunkcast_bittorrent::wire::message::{BlockRef, Message};

use crate::world::{Content, Script};

/// A seed that knows only BEP 3 (and 6 when connected so), and may go wrong.
pub(crate) struct Seed {
    pub(crate) content: Content,
    pub(crate) fast: bool,
    /// Blocks served so far.
    pub(crate) served: u32,
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// How long each block takes, one after the other.
    pub(crate) pause: Duration,
    pub(crate) done: bool,
    /// Until when it chokes.
    pub(crate) choked: Instant,
    /// When the block under way is out.
    pub(crate) busy: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every block with `begin / 16384 % n == r` is wrong.
    Corrupts {
        n: u32,
        r: u32,
    },
    /// Falls silent after so many blocks.
    StallsAfter(u32),
    /// Chokes after so many blocks, drops the queue, and unchokes two seconds later.
    ChokesEvery(u32),
    /// Hangs up after so many blocks.
    LeavesAfter(u32),
    /// Rejects every request without choking.
    Rejects,
}

impl Seed {
    pub(crate) fn new(content: &Content, fast: bool, fault: Fault) -> Self {
        Self {
            content: content.clone(),
            fast,
            served: 0,
            fault,
            pause: Duration::ZERO,
            done: false,
            choked: Instant::ZERO,
            busy: Instant::ZERO,
        }
    }

    pub(crate) fn slow(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    fn block(&mut self, r: BlockRef, now: Instant) -> Vec<(Duration, Message)> {
        let piece = |data| Message::Piece {
            piece: r.piece,
            begin: r.begin,
            data,
        };
        let good = self.content.block(r);
        if self.done {
            return Vec::new();
        }
        if now < self.choked {
            let refusal = self.fast.then_some((Duration::ZERO, Message::Reject(r)));
            return refusal.into_iter().collect();
        }
        self.served += 1;
        self.busy = self.busy.max(now) + self.pause;
        let pause = self.busy.saturating_since(now);
        match self.fault {
            Fault::Corrupts { n, r: rest } if (r.begin >> 14) % n == rest => {
                let bad: Bytes = good.iter().map(|b| !b).collect::<Vec<u8>>().into();
                vec![(pause, piece(bad))]
            }
            Fault::StallsAfter(n) if self.served > n => Vec::new(),
            Fault::LeavesAfter(n) if self.served > n => {
                self.done = true;
                Vec::new()
            }
            Fault::ChokesEvery(n) if self.served.is_multiple_of(n) => {
                self.choked = now + Duration::from_secs(2);
                let mut says = vec![(Duration::ZERO, Message::Choke)];
                if self.fast {
                    says.push((Duration::ZERO, Message::Reject(r)));
                }
                says.push((Duration::from_secs(2), Message::Unchoke));
                says
            }
            Fault::Rejects => vec![(pause, Message::Reject(r))],
            _ => vec![(pause, piece(good))],
        }
    }
}

impl Script for Seed {
    fn connected(&mut self, _conn: ConnId) -> Vec<(Duration, Message)> {
        let first = if self.fast {
            Message::HaveAll
        } else {
            Message::Bitfield(Bytes::copy_from_slice(self.content.full().as_bytes()))
        };
        vec![(Duration::ZERO, first)]
    }

    fn message(&mut self, _conn: ConnId, msg: Message, now: Instant) -> Vec<(Duration, Message)> {
        match msg {
            Message::Interested => vec![(Duration::ZERO, Message::Unchoke)],
            Message::Request(r) => self.block(r, now),
            _ => Vec::new(),
        }
    }

    fn hangs_up(&self) -> bool {
        self.done
    }
}
