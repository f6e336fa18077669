//! Whom we serve (upload slots).
//!
//! Up to `unlimited_up_to` interested neighbours are all served: slots were measured to cost time among 16 equals.
//! Beyond, there are `slots`: a slot is kept for at least `slot_hold`, then the one served longest gives way to one
//! that waits. Those who send us most keep theirs while we download (reciprocity is what stock clients live on).
//! Of the turns one in `slots` is the optimistic one and goes to whoever waits longest, so everyone is served in time;
//! the others prefer whoever sends us most, then the near ones, then whoever waits longest.
//!
//! A neighbour that loses interest keeps its slot until another needs it: interest that comes and goes with every
//! chunk does not cost a round trip each time.

use super::api::{Action, NeighbourId};
use super::{Client, Neighbour};
use crate::time::Instant;

/// A client that has everything has a slot for each so many bytes a second that it sends, and at least `slots`; until that is
/// known everybody has one.
const SLOT_RATE: u64 = 64 << 10; // guess: a piece of 256 KiB in four seconds

/// `busy` of `limit` as a load byte.
fn share(busy: usize, limit: usize) -> u8 {
    u8::try_from(255 * busy.min(limit) / limit.max(1)).unwrap_or(u8::MAX)
}

impl Client {
    /// Most neighbours served now; `None`: no limit.
    fn slot_limit(&self) -> Option<usize> {
        let interested = self.table.tally().interested;
        if self.config.slots == 0 || interested <= self.config.unlimited_up_to {
            return None;
        }
        if !self.is_full() || self.config.max_served <= self.config.max_neighbours {
            return Some(self.config.slots);
        }
        let served = self.table.map.values().filter(|n| n.served.is_some());
        let rate: u64 = served.map(|n| n.up.rate(self.clock)).sum();
        let slots = usize::try_from(rate / SLOT_RATE).unwrap_or(usize::MAX);
        (rate > 0).then_some(slots.max(self.config.slots))
    }

    /// How loaded we are, 0 (idle) ..= 255 (full): chunks being sent, if their number is limited, else slots in use.
    pub fn current_load(&self) -> u8 {
        if self.config.uploads > 0 {
            return share(self.table.tally().uploads, self.config.uploads);
        }
        let limit = self
            .slot_limit()
            .unwrap_or(self.config.unlimited_up_to)
            .max(1);
        let tally = self.table.tally();
        share(tally.interested - tally.waiting, limit)
    }

    /// Those who send us most: they keep their slots.
    fn reciprocating(&self) -> Vec<NeighbourId> {
        if self.is_complete() {
            return Vec::new();
        }
        let mut by_rate: Vec<(u64, NeighbourId)> = self
            .table
            .map
            .iter()
            .filter(|(_, n)| n.interested)
            .map(|(id, n)| (n.down.rate(self.clock), *id))
            .filter(|(rate, _)| *rate > 0)
            .collect();
        by_rate.sort_unstable_by(|a, b| b.cmp(a));
        // one slot always rotates
        by_rate.truncate(
            self.config
                .reciprocal_slots
                .min(self.config.slots.saturating_sub(1)),
        );
        by_rate.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn rearrange_slots(&mut self, now: Instant) {
        self.slots_memo = None;
        let Some(limit) = self.slot_limit() else {
            if self.table.tally().waiting > 0 {
                let waiting: Vec<NeighbourId> =
                    self.waiting_for_slots().map(|(id, _)| id).collect();
                waiting.into_iter().for_each(|id| self.serve(id, true, now));
            }
            return;
        };
        if self.table.tally().waiting == 0 {
            return;
        }
        let keep = self.reciprocating();
        while let Some(next) = self.next_served(&keep, limit) {
            let served: Vec<(bool, Instant, NeighbourId)> = self
                .table
                .map
                .iter()
                .filter_map(|(id, n)| n.served.map(|since| (n.interested, since, *id)))
                .collect();
            if served.len() < limit {
                self.serve(next, true, now);
                self.turns = self.turns.wrapping_add(1);
                continue;
            }
            // the uninterested give way at once, then the one served longest, if it had its time
            let Some(&(interested, since, out)) = served
                .iter()
                .filter(|(i, _, id)| !i || !keep.contains(id))
                .min()
            else {
                break;
            };
            if interested && now - since < self.config.slot_hold {
                break;
            }
            self.serve(out, false, now);
        }
    }

    fn waiting_for_slots(&self) -> impl Iterator<Item = (NeighbourId, &Neighbour)> {
        let all = self.table.map.iter().map(|(id, n)| (*id, n));
        all.filter(|(_, n)| n.interested && n.served.is_none())
    }

    fn next_served(&self, keep: &[NeighbourId], limit: usize) -> Option<NeighbourId> {
        let optimistic = (self.turns as usize).is_multiple_of(limit);
        self.waiting_for_slots()
            .min_by_key(|(id, n)| {
                let favoured = !optimistic && keep.contains(id);
                let near = !optimistic && self.table.is_near(n);
                (!favoured, !near, n.waiting, n.salt, *id)
            })
            .map(|(id, _)| id)
    }

    fn serve(&mut self, peer: NeighbourId, serve: bool, now: Instant) {
        let changed = self.table.change(peer, |n| {
            n.served = serve.then_some(now);
            n.waiting = now;
        });
        if changed.is_some() {
            self.actions.push_back(Action::Serve { peer, serve });
        }
    }

    /// When a slot may change hands.
    pub(super) fn slots_due(&self) -> Option<Instant> {
        self.slot_limit()?;
        if self.table.tally().waiting == 0 {
            return None;
        }
        match self.slots_memo {
            Some((second, due)) if second == self.clock.as_micros() / 1_000_000 => due,
            _ => self.slots_due_now(),
        }
    }

    /// Keeps the answer for the rest of this second: rates, and with them who keeps a slot, change only with the
    /// second and with what is received.
    pub(super) fn remember_slots_due(&mut self) {
        if self.table.tally().waiting == 0 || self.slot_limit().is_none() {
            return;
        }
        let second = self.clock.as_micros() / 1_000_000;
        if self.slots_memo.is_none_or(|(at, _)| at != second) {
            self.slots_memo = Some((second, self.slots_due_now()));
        }
    }

    pub(super) fn slots_due_now(&self) -> Option<Instant> {
        let keep = self.reciprocating();
        self.table
            .map
            .iter()
            .filter(|(id, _)| !keep.contains(id))
            .filter_map(|(_, n)| n.served)
            .map(|since| since + self.config.slot_hold)
            .min()
    }
}
