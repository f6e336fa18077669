//! What a neighbour is told of our chunks: everything, or one chunk at a time.
//!
//! A complete client without another seed in view and with two or more downloaders superseeds: each downloader is
//! shown up to `reveal_ahead` chunks that it does not hold yet, chunks shown to nobody before anything else, so that
//! the seed's uplink carries every chunk once before it carries any twice. When none is left the second phase is
//! gradual: a downloader that has got all it was shown is shown a chunk that another was shown and has not asked for yet,
//! so that the last new chunks do not wait for the slowest, else the rarest chunk that some other neighbour holds while
//! the seed sends to less than two others, or, after a second without progress, any. Those with the fewest chunks come
//! first. Revealing everything at that point was measured at 1.56 of the bound in place
//! of 1.12.
//!
//! A seed that has just begun gathers downloaders first: for `gather` it shows each of them, even one that is alone, no
//! more than `reveal_ahead` chunks. Without it the first peer to connect over a fast link has everything before the
//! others, who started at the same moment, are found, and serves them all.
//!
//! A crowd of more downloaders than a client keeps as neighbours, most of them of another kind, is shown everything: whether
//! they reach each other is not known.
//!
//! Who says that it downloads nothing more (a partial seed) is no downloader here, and no other seed either: it has not
//! everything.
//!
//! Otherwise everything is revealed at once by a client that is not complete, with another seed in view, and to a downloader
//! that is (or is left) alone. Nobody starves: a served neighbour that gets nothing for `reveal_patience` is shown
//! everything, and what was kept for it is offered to others.

use std::time::Duration;

use super::api::{Action, NeighbourId, Reveal};
use super::picker::Wish;
use super::table::Shown;
use super::{Client, table::Neighbour};
use crate::time::Instant;

/// A downloader without progress for so long may be shown what another was shown. // guess
const IDLE: Duration = Duration::from_secs(1);

/// Downloaders that are sent chunks at the same time in the second phase: while one answers the other is served.
/// // measured: 1.5 to 1.8 copies from the seed of the demo without a bound
const TWICE_AT_ONCE: usize = 2;

/// Which chunks of ours were shown one by one.
#[derive(Debug, Default)]
pub(super) struct Showing {
    /// Neighbours that were shown the chunk and do not hold it yet.
    outstanding: Vec<u16>,
    /// Chunks in random order that perhaps nobody holds and nobody was shown; those for which that is no longer true
    /// are skipped when they come up.
    pool: Vec<u32>,
    /// Until when downloaders are gathered.
    gather_until: Instant,
    pub(super) dirty: bool,
}

impl Showing {
    /// Few chunks are shown until then.
    pub(super) fn gather(&mut self, until: Instant) {
        self.gather_until = until;
    }

    fn held_back(&self, chunk: u32) -> u16 {
        self.outstanding.get(chunk as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, chunk: u32) {
        if let Some(n) = self.outstanding.get_mut(chunk as usize) {
            *n = n.saturating_add(1);
        }
    }

    fn remove(&mut self, chunk: u32) {
        if let Some(n) = self.outstanding.get_mut(chunk as usize) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.pool.push(chunk);
            }
        }
    }
}

impl Client {
    /// Starts over: the object, or whether we are complete, has changed.
    pub(super) fn reset_showing(&mut self) {
        let mut pool: Vec<u32> = if self.held.is_full() {
            self.held.iter().collect()
        } else {
            Vec::new()
        };
        for i in (1..pool.len()).rev() {
            let j = rand::RngExt::random_range(&mut self.rng, 0..=i);
            pool.swap(i, j);
        }
        let outstanding = vec![0; self.held.len() as usize];
        self.showing = Showing {
            outstanding,
            pool,
            gather_until: Instant::ZERO,
            dirty: true,
        };
    }

    /// Decides what a neighbour that was told nothing yet is to be told.
    pub(super) fn show_first(&mut self, peer: NeighbourId, now: Instant) {
        if !self.known {
            return;
        }
        let downloaders = self.downloaders().count();
        let seeds = self.table.map.values().filter(|n| n.is_complete()).count();
        let several = downloaders >= 2 || now < self.showing.gather_until;
        if self.config.superseed && self.is_full() && seeds == 0 && several && !self.is_crowd() {
            self.table.change(peer, |n| {
                n.shown = Shown::Drip {
                    outstanding: Default::default(),
                    progress: now,
                    shown: 0,
                };
            });
            self.showing.dirty = true;
        } else {
            self.show_all(peer);
        }
    }

    /// Whether there are more downloaders than a client keeps as neighbours, most of which do not tell what they fetch: nothing
    /// says that they find each other and pass on what they get.
    fn is_crowd(&self) -> bool {
        if self.table.len() <= self.config.max_neighbours {
            return false;
        }
        let downloaders = self.downloaders();
        let tell = downloaders.clone().filter(|n| n.tells).count();
        let silent = downloaders.count() - tell;
        silent > self.config.max_neighbours.max(tell)
    }

    /// Whether the neighbour is told of everything held, and of every later chunk as it comes.
    pub fn shows_all(&self, peer: NeighbourId) -> bool {
        self.table.get(peer).is_some_and(|n| n.shown == Shown::All)
    }

    /// Neighbours that fetch, and may pass on what they get.
    fn downloaders(&self) -> impl Iterator<Item = &Neighbour> + Clone {
        let all = self.table.map.values();
        all.filter(|n| !n.wants_nothing())
    }

    fn show_all(&mut self, peer: NeighbourId) {
        self.forget_shown(peer);
        if self.table.change(peer, |n| n.shown = Shown::All).is_some() {
            self.actions.push_back(Action::Reveal {
                peer,
                what: Reveal::All,
            });
        }
    }

    /// What was kept for the neighbour may be shown to others.
    pub(super) fn forget_shown(&mut self, peer: NeighbourId) {
        if let Some(n) = self.table.get_mut(peer)
            && let Shown::Drip { outstanding, .. } = &mut n.shown
        {
            for chunk in std::mem::take(outstanding) {
                self.showing.remove(chunk);
            }
            self.showing.dirty = true;
        }
    }

    /// The neighbour holds the chunk now.
    pub(super) fn shown_arrived(&mut self, peer: NeighbourId, chunk: u32, now: Instant) {
        if let Some(n) = self.table.get_mut(peer)
            && let Shown::Drip {
                outstanding,
                progress,
                ..
            } = &mut n.shown
        {
            if outstanding.remove(&chunk) {
                self.showing.remove(chunk);
            }
            *progress = now;
            self.showing.dirty = true;
        }
    }

    /// Shows the next chunks to those that have room for them.
    pub(super) fn show_more(&mut self, now: Instant) {
        self.showing.dirty = false;
        if self.table.tally().drips == 0 {
            return;
        }
        let mut drips: Vec<(u32, NeighbourId)> = self
            .table
            .map
            .iter()
            .filter(|(_, n)| matches!(n.shown, Shown::Drip { .. }) && !n.wants_nothing())
            .map(|(id, n)| (n.held.count(), *id))
            .collect();
        drips.sort_unstable();
        if drips.is_empty() {
            return;
        }
        let downloaders = self.downloaders().count();
        let alone = downloaders == 1 && now >= self.showing.gather_until;
        if alone || !self.is_full() || self.is_crowd() {
            drips.iter().for_each(|(_, peer)| self.show_all(*peer));
            return;
        }
        let crowded = self.config.slots > 0 && downloaders > self.config.unlimited_up_to;
        // one each in turn, so that the last chunks of the pool are shared out evenly
        let mut again = true;
        while again {
            again = false;
            for &(_, peer) in &drips {
                again |= self.show_one(peer, crowded, now);
            }
        }
    }

    fn show_one(&mut self, peer: NeighbourId, crowded: bool, now: Instant) -> bool {
        let Some(n) = self.table.get(peer) else {
            return false;
        };
        let Shown::Drip {
            outstanding,
            progress,
            shown,
        } = &n.shown
        else {
            return false;
        };
        // one that waits for a slot is shown enough to be interested
        let ahead = if crowded && n.served.is_none() {
            1
        } else {
            self.config.reveal_ahead
        };
        let gathering = now < self.showing.gather_until;
        if outstanding.len() >= ahead || (gathering && *shown >= self.config.reveal_ahead) {
            return false;
        }
        let idle = now - *progress >= IDLE;
        let nothing_left = outstanding.is_empty();
        let busy = nothing_left && self.busy(now) >= TWICE_AT_ONCE;
        let chunk = self.unseen_chunk().or_else(|| {
            let n = self.table.get(peer).filter(|_| nothing_left)?;
            let showing = &self.showing;
            let wants = Wish::missing(peer, &n.held);
            let new = Wish {
                most_holders: 0,
                ..wants
            };
            let sent = |c: u32| self.table.is_sent(c);
            let (picker, rng) = (&self.picker, &mut self.rng);
            if let Some(chunk) = picker.rarest(rng, &new, |c| !sent(c)) {
                return Some(chunk);
            }
            picker
                .rarest(rng, &wants, |c| showing.held_back(c) == 0)
                .filter(|_| idle || !busy)
                .or_else(|| picker.rarest(rng, &wants, |_| true).filter(|_| idle))
        });
        let Some(chunk) = chunk else { return false };
        self.showing.add(chunk);
        if let Some(Neighbour {
            shown:
                Shown::Drip {
                    outstanding,
                    progress,
                    shown,
                },
            ..
        }) = self.table.get_mut(peer)
        {
            if outstanding.is_empty() {
                *progress = now;
            }
            outstanding.insert(chunk);
            *shown += 1;
        }
        self.actions.push_back(Action::Reveal {
            peer,
            what: Reveal::Chunk(chunk),
        });
        true
    }

    /// Downloaders that are getting what they were shown.
    fn busy(&self, now: Instant) -> usize {
        let gets = |n: &&Neighbour| {
            matches!(&n.shown, Shown::Drip { outstanding, progress, .. }
                if !outstanding.is_empty() && now - *progress < IDLE)
        };
        self.table.map.values().filter(gets).count()
    }

    /// A chunk that no neighbour holds and none was shown.
    fn unseen_chunk(&mut self) -> Option<u32> {
        while let Some(chunk) = self.showing.pool.pop() {
            if self.picker.holders(chunk) == 0 && self.showing.held_back(chunk) == 0 {
                return Some(chunk);
            }
        }
        None
    }

    /// When somebody may have waited long enough, for [`Client::show_more`] or for everything.
    pub(super) fn showing_due(&self) -> Option<Instant> {
        let gathered = Some(self.showing.gather_until).filter(|t| *t > self.clock);
        if self.table.tally().drips == 0 {
            return gathered;
        }
        let late = self.table.map.values().filter_map(|n| self.shown_due(n));
        late.chain(gathered).min()
    }

    fn shown_due(&self, n: &Neighbour) -> Option<Instant> {
        let Shown::Drip {
            outstanding,
            progress,
            ..
        } = &n.shown
        else {
            return None;
        };
        if n.wants_nothing() {
            None
        } else if outstanding.is_empty() {
            Some((*progress + IDLE).max(self.showing.gather_until))
        } else {
            n.served
                .map(|since| since.max(*progress) + self.config.reveal_patience)
        }
    }

    pub(super) fn show_late(&mut self, now: Instant) {
        let late: Vec<(NeighbourId, bool)> = self
            .table
            .map
            .iter()
            .filter(|(_, n)| self.shown_due(n).is_some_and(|t| t <= now))
            .map(|(id, n)| {
                (
                    *id,
                    matches!(&n.shown, Shown::Drip { outstanding, .. } if !outstanding.is_empty()),
                )
            })
            .collect();
        for (peer, starves) in late {
            if starves {
                self.show_all(peer);
            } else {
                self.showing.dirty = true;
            }
        }
        // those gathered wait for the next chunks
        self.showing.dirty |= self.showing.gather_until != Instant::ZERO;
        if now >= self.showing.gather_until {
            self.showing.gather_until = Instant::ZERO;
        }
        if self.showing.dirty {
            self.show_more(now);
        }
    }
}
