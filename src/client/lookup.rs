//! When to ask the directory (paper section 4).
//!
//! At the start, when a server has nothing more for us and nobody can take its place, and periodically. Differences
//! from the paper: fruitless answers double the pause (a swarm that is known in full need not be asked about every
//! four seconds), every second lookup goes on to the root and half of an answer is random (without both, areas became
//! islands), a complete peer that nobody can dial goes on asking (for downloaders, whom it dials: they cannot come to
//! it), and the ignore list is filled up with the nearest neighbours, which an answer need not repeat. News ends the
//! doubling: peers never heard of, other chunks wanted, a neighbour lost that had some of them. Whoever is told that the
//! object is asked for too often asks up to four times as rarely even if it learns something.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::candidates::doubled;
use super::config::ClientConfig;
use crate::time::Instant;

/// Addresses in an ignore list. // paper 3.2 leaves it open; the wire carries eight
pub(super) const MAX_IGNORE: usize = 8;
/// Most peers asked of a lookup because others refuse. // paper 3.2 leaves it open; the directory names eight at most
pub(super) const MAX_P: u8 = 8;
/// How long a failure stays in the ignore list. // guess
const REMEMBERED: Duration = Duration::from_secs(300);
/// Answers that say the object is asked for too often double the pause so many times. // guess: four times as long
const MAX_LOADED: u32 = 2;

/// What the pause depends on besides the past answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Fewer than half of the neighbours that we would like.
    pub(super) under_half: bool,
    /// Nobody serves us.
    pub(super) starving: bool,
    /// Fewer neighbours than one answer names.
    pub(super) lonely: bool,
}

#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// Deadline of the outstanding lookup.
    out: Option<Instant>,
    /// When the last one ended.
    ended: Option<Instant>,
    fruitless: u32,
    /// Answers in a row that were short because the object is asked for too often.
    loaded: u32,
    brought_new: bool,
    hurry: bool,
    sent: u32,
    failed: VecDeque<(SocketAddr, Instant)>,
}

impl Lookups {
    /// When the next lookup is due; `None` while one is outstanding.
    pub(super) fn due(&self, config: &ClientConfig, need: Need) -> Option<Instant> {
        if self.out.is_some() {
            return None;
        }
        let Some(ended) = self.ended else {
            return Some(Instant::ZERO);
        };
        if !config.lookup_back_off {
            let pause = if self.hurry {
                config.lookup_fast
            } else {
                config.lookup_interval
            };
            return Some(ended + pause);
        }
        let soon = (need.starving || need.lonely) && self.fruitless > 0;
        let fast = (self.brought_new && need.under_half) || self.hurry || need.starving || soon;
        let pause = if self.loaded > 0 && need.under_half {
            doubled(
                config.lookup_fast,
                self.loaded.min(MAX_LOADED),
                config.lookup_cap,
            )
        } else if self.loaded > 0 {
            let times = self.fruitless.max(self.loaded.min(MAX_LOADED));
            doubled(config.lookup_interval, times, config.lookup_cap)
        } else if fast {
            let base = if soon {
                config.lookup_starving
            } else {
                config.lookup_fast
            };
            doubled(base, self.fruitless.saturating_sub(1), config.lookup_cap)
        } else {
            doubled(config.lookup_interval, self.fruitless, config.lookup_cap)
        };
        Some(
            ended
                + if need.starving {
                    pause.min(config.lookup_starving_cap)
                } else {
                    pause
                },
        )
    }

    /// When a complete peer that nobody can dial looks for others to dial; `None` while a lookup is outstanding.
    pub(super) fn due_unreachable(&self, config: &ClientConfig) -> Option<Instant> {
        if self.out.is_some() {
            return None;
        }
        let pause = doubled(config.lookup_unreachable, self.fruitless, config.lookup_cap);
        Some(self.ended.map_or(Instant::ZERO, |ended| ended + pause))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.out
    }

    /// A lookup goes out; whether to the root.
    pub(super) fn begin(&mut self, config: &ClientConfig, now: Instant) -> bool {
        self.out = Some(now + config.lookup_deadline);
        self.hurry = false;
        self.sent = self.sent.wrapping_add(1);
        self.sent.is_multiple_of(config.root_every)
    }

    /// The outstanding lookup brought `new` peers never heard of; `loaded`: the object is asked for too often.
    pub(super) fn end(&mut self, new: usize, loaded: bool, now: Instant) {
        if self.out.take().is_some() {
            self.loaded = if loaded {
                self.loaded.saturating_add(1)
            } else {
                0
            };
            self.ended = Some(now);
            self.brought_new = new > 0;
            self.fruitless = if new > 0 {
                0
            } else {
                self.fruitless.saturating_add(1)
            };
        }
    }

    /// A server has nothing more and nobody takes its place.
    pub(super) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// A neighbour is gone that had what we want: others may be worth asking for again.
    pub(super) fn lost(&mut self) {
        self.fruitless = 0;
    }

    /// Chunks are wanted again, or other ones: look up at once.
    pub(super) fn restart(&mut self) {
        self.ended = None;
        self.fruitless = 0;
    }

    /// The peer failed, stalled or died.
    pub(super) fn note_failure(&mut self, addr: SocketAddr, now: Instant) {
        self.failed.retain(|(a, _)| *a != addr);
        self.failed.push_front((addr, now));
        self.failed.truncate(MAX_IGNORE);
    }

    /// The peer works after all.
    pub(super) fn forgive(&mut self, addr: SocketAddr) {
        self.failed.retain(|(a, _)| *a != addr);
    }

    /// Addresses to leave out: recent failures, newest first, then `known` as far as there is room.
    pub(super) fn ignore(
        &self,
        known: impl Iterator<Item = SocketAddr>,
        now: Instant,
    ) -> Vec<SocketAddr> {
        let recent = self
            .failed
            .iter()
            .filter(|(_, at)| now - *at < REMEMBERED)
            .map(|(a, _)| *a);
        let mut list: Vec<SocketAddr> = Vec::with_capacity(MAX_IGNORE);
        for addr in recent.chain(known) {
            if list.len() < MAX_IGNORE && !list.contains(&addr) {
                list.push(addr);
            }
        }
        list
    }
}
