//! Whom we serve (upload slots).
//!
//! Up to `unlimited_up_to` interested neighbours are all served: slots were measured to cost time among 16 equals.
//! Beyond, there are `slots`: a slot is kept for at least `slot_hold`, then the one served longest gives way to one
//! that waits. Those who send us most keep theirs while we download (reciprocity is what stock clients live on).
//! Of the turns one in `slots` is the optimistic one and goes to whoever waits longest, so everyone is served in time;
//! the others prefer whoever sends us most, then the near ones, then whoever waits longest. A client that has everything
//! it wants knows no reciprocity: its turns go round, and however many near ones there are, who waits longest has one in
//! `slots`.
//!
//! A neighbour that loses interest keeps its slot until another needs it: interest that comes and goes with every
//! chunk does not cost a round trip each time.
//!
//! # Strangers
//! Clients of this kind cooperate: the directory says whom to ask, and what one of them gets it passes on to those near
//! it. Clients of other kinds reciprocate and do nothing else. Each has three or four slots for those who send it most,
//! measured over some 20 s, so sixteen thin streams earn the slots of nobody where four of some width earn four; and who is
//! served whatever it gives, takes from those who give. Therefore, while we download, strangers have slots of their own, by
//! the rules of BEP 3:
//! - `stranger_slots` of them (3 + 1), and one more for each `stranger_slot_rate` that is being sent to them, up to
//!   `unlimited_up_to`: what of the uplink the reciprocating leave goes to the others, also to those who give nothing.
//! - All but one are for those who sent us most in the last 20 s. Who sends us more takes the slot of another after that
//!   one has had it for `slot_hold`.
//! - What is left, at least one slot, is optimistic: it is kept for `optimistic_hold`, then goes to whoever waits longest, where
//!   the time of one that was never served counts three times. BEP 3 draws lots with these weights; a queue
//!   bounds the time that anybody waits.
//! - Who has sent nothing for 20 s earns no slot, and has only its turn at the optimistic ones. (BEP 3 says so of who has
//!   sent nothing for a minute while it was asked, and goes by the rate alone before that; nothing is the lowest rate.)
//!
//! Up to so many strangers are all served. Neighbours of this kind are counted apart and served by the measured rules above,
//! as if there were no strangers; anybody can claim to be of this kind, and is then served as everybody is among sixteen. Once we
//! have what we want, nobody can give us anything: strangers and others share the slots.

use std::cmp::Reverse;
use std::time::Duration;

use super::api::{Action, NeighbourId};
use super::{Client, Neighbour};
use crate::time::Instant;

/// A client that has everything has a slot for each so many bytes a second that it sends, and at least `slots`; until that is
/// known everybody has one.
const SLOT_RATE: u64 = 64 << 10; // guess: a piece of 256 KiB in four seconds

/// How many times the waiting of a stranger counts that was never served.
const NEWCOMER: u32 = 3; // BEP 3

/// Those who compete for the same slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Everyone,
    /// Clients of this kind.
    Kin,
    Strangers,
}

impl Group {
    fn has(self, n: &Neighbour) -> bool {
        match self {
            Self::Everyone => true,
            Self::Kin => !n.stranger,
            Self::Strangers => n.stranger,
        }
    }
}

/// `busy` of `limit` as a load byte.
fn share(busy: usize, limit: usize) -> u8 {
    u8::try_from(255 * busy.min(limit) / limit.max(1)).unwrap_or(u8::MAX)
}

impl Client {
    /// Whether the neighbour is a client of another kind; nobody is until it is said.
    pub fn handle_stranger(&mut self, peer: NeighbourId, stranger: bool, now: Instant) {
        let Some(n) = self.neighbour(peer) else {
            return;
        };
        if n.stranger != stranger {
            let interested = n.interested;
            self.table.change(peer, |n| n.stranger = stranger);
            if interested {
                self.slots_dirty = true;
                self.settle(now);
            }
        }
    }

    /// What we miss has changed, and with it perhaps with whom strangers share slots.
    pub(super) fn regroup_slots(&mut self) {
        self.slots_memo = None;
        self.slots_dirty |= self.table.tally().strangers > 0;
    }

    fn groups(&self) -> &'static [Group] {
        if self.config.stranger_slots == 0 || self.is_complete() {
            &[Group::Everyone]
        } else {
            &[Group::Kin, Group::Strangers]
        }
    }

    /// How many of the group want something, and how many of them have no slot.
    fn demand(&self, group: Group) -> (usize, usize) {
        let t = self.table.tally();
        let strangers = (t.strangers, t.strangers_waiting);
        match group {
            Group::Everyone => (t.interested, t.waiting),
            Group::Kin => (t.interested - strangers.0, t.waiting - strangers.1),
            Group::Strangers => strangers,
        }
    }

    fn members(&self, group: Group) -> impl Iterator<Item = (NeighbourId, &Neighbour)> {
        let all = self.table.map.iter().map(|(id, n)| (*id, n));
        all.filter(move |(_, n)| group.has(n))
    }

    fn rate_to<'a>(&self, some: impl Iterator<Item = (NeighbourId, &'a Neighbour)>) -> u64 {
        some.map(|(_, n)| n.up.rate(self.clock)).sum()
    }

    /// Most of the group that are served now; `None`: no limit.
    fn slot_limit(&self, group: Group) -> Option<usize> {
        let (interested, _) = self.demand(group);
        let per = |rate: u64, slot: u64| usize::try_from(rate / slot).unwrap_or(usize::MAX);
        if group == Group::Strangers {
            let least = self.config.stranger_slots;
            if interested <= least {
                return None;
            }
            // of those just choked too, or each choke would lower the limit
            let rate = self.rate_to(self.members(group));
            let carried = per(rate, self.config.stranger_slot_rate.max(1));
            let slots = carried.min(self.config.unlimited_up_to).max(least);
            return (interested > slots).then_some(slots);
        }
        if self.config.slots == 0 || interested <= self.config.unlimited_up_to {
            return None;
        }
        if !self.is_full() || self.config.max_served <= self.config.max_neighbours {
            return Some(self.config.slots);
        }
        let served = self.members(group).filter(|(_, n)| n.served.is_some());
        let rate = self.rate_to(served);
        (rate > 0).then_some(per(rate, SLOT_RATE).max(self.config.slots))
    }

    /// How loaded we are, 0 (idle) ..= 255 (full): chunks being sent, if their number is limited, else slots in use.
    pub fn current_load(&self) -> u8 {
        if self.config.uploads > 0 {
            return share(self.table.tally().uploads, self.config.uploads);
        }
        let limit = self
            .slot_limit(self.groups()[0])
            .unwrap_or(self.config.unlimited_up_to)
            .max(1);
        let tally = self.table.tally();
        share(tally.interested - tally.waiting, limit)
    }

    /// Those of the group who send us most: they keep their slots. One slot always rotates.
    fn reciprocating(&self, group: Group, limit: usize) -> Vec<NeighbourId> {
        if self.is_complete() {
            return Vec::new();
        }
        let (most, rate): (usize, fn(&Neighbour, Instant) -> u64) = match group {
            Group::Strangers => (limit.saturating_sub(1), |n, now| n.down.long_rate(now)),
            Group::Everyone | Group::Kin => {
                let regular = self.config.slots.saturating_sub(1);
                let most = self.config.reciprocal_slots.min(regular);
                (most, |n, now| n.down.rate(now))
            }
        };
        let mut by_rate: Vec<(u64, NeighbourId)> = self
            .members(group)
            .filter(|(_, n)| n.interested)
            .map(|(id, n)| (rate(n, self.clock), id))
            .filter(|(rate, _)| *rate > 0)
            .collect();
        by_rate.sort_unstable_by(|a, b| b.cmp(a));
        by_rate.truncate(most);
        by_rate.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn rearrange_slots(&mut self, now: Instant) {
        self.slots_memo = None;
        for group in self.groups() {
            match self.slot_limit(*group) {
                Some(limit) => self.rotate(*group, limit, now),
                None if self.demand(*group).1 > 0 => self.serve_all(*group, now),
                None => {}
            }
        }
    }

    fn serve_all(&mut self, group: Group, now: Instant) {
        let waiting: Vec<NeighbourId> = self.waiting_for_slots(group).map(|(id, _)| id).collect();
        waiting.into_iter().for_each(|id| self.serve(id, true, now));
    }

    fn rotate(&mut self, group: Group, limit: usize, now: Instant) {
        if self.demand(group).1 == 0 && !self.is_crowded(group, limit) {
            return;
        }
        let keep = self.reciprocating(group, limit);
        loop {
            let next = self.next_served(group, &keep, limit, now);
            if next.is_none() && !self.is_crowded(group, limit) {
                break;
            }
            let served: Vec<(bool, Instant, NeighbourId)> = self
                .members(group)
                .filter_map(|(id, n)| n.served.map(|since| (n.interested, since, id)))
                .collect();
            if let Some(next) = next
                && served.len() < limit
            {
                self.serve(next, true, now);
                self.turns = self
                    .turns
                    .wrapping_add(u32::from(group != Group::Strangers));
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
            if interested && now - since < self.hold(group, &keep, limit) {
                break;
            }
            self.serve(out, false, now);
        }
    }

    /// Whether more strangers are served than have slots: there were more when more was sent.
    fn is_crowded(&self, group: Group, limit: usize) -> bool {
        let (interested, waiting) = self.demand(group);
        group == Group::Strangers && interested - waiting > limit
    }

    /// How long a slot is kept that is not earned.
    fn hold(&self, group: Group, keep: &[NeighbourId], limit: usize) -> Duration {
        let claimed = |(id, _): (NeighbourId, &Neighbour)| keep.contains(&id);
        let optimistic = group == Group::Strangers
            && !self.is_crowded(group, limit)
            && !self.waiting_for_slots(group).any(claimed);
        if optimistic {
            self.config.optimistic_hold
        } else {
            self.config.slot_hold
        }
    }

    fn waiting_for_slots(&self, group: Group) -> impl Iterator<Item = (NeighbourId, &Neighbour)> {
        let waits = |n: &Neighbour| n.interested && n.served.is_none();
        self.members(group).filter(move |(_, n)| waits(n))
    }

    fn next_served(
        &self,
        group: Group,
        keep: &[NeighbourId],
        limit: usize,
        now: Instant,
    ) -> Option<NeighbourId> {
        let waiting = self.waiting_for_slots(group);
        if group == Group::Strangers {
            let waited = |n: &Neighbour| {
                (now - n.waiting).saturating_mul(if n.ever_served { 1 } else { NEWCOMER })
            };
            return waiting
                .min_by_key(|(id, n)| (!keep.contains(id), Reverse(waited(n)), n.salt, *id))
                .map(|(id, _)| id);
        }
        let optimistic = (self.turns as usize).is_multiple_of(limit);
        waiting
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
            n.ever_served |= serve;
            n.waiting = now;
        });
        if changed.is_some() {
            self.actions.push_back(Action::Serve { peer, serve });
        }
    }

    /// When a slot may change hands.
    pub(super) fn slots_due(&self) -> Option<Instant> {
        if !self.is_contended() {
            return None;
        }
        match self.slots_memo {
            Some((second, due)) if second == self.clock.as_micros() / 1_000_000 => due,
            _ => self.slots_due_now(),
        }
    }

    /// Whether slots may be scarce; of those of strangers this says only that they once were.
    fn is_contended(&self) -> bool {
        self.groups().iter().any(|group| {
            let (interested, waiting) = self.demand(*group);
            match group {
                Group::Strangers => interested > self.config.stranger_slots,
                _ => waiting > 0 && self.slot_limit(*group).is_some(),
            }
        })
    }

    /// Keeps the answer for the rest of this second: rates, and with them who keeps a slot, change only with the
    /// second and with what is received.
    pub(super) fn remember_slots_due(&mut self) {
        if !self.is_contended() {
            return;
        }
        let second = self.clock.as_micros() / 1_000_000;
        if self.slots_memo.is_none_or(|(at, _)| at != second) {
            self.slots_memo = Some((second, self.slots_due_now()));
        }
    }

    pub(super) fn slots_due_now(&self) -> Option<Instant> {
        let due = |group: &Group| {
            let limit = self.slot_limit(*group)?;
            if self.demand(*group).1 == 0 && !self.is_crowded(*group, limit) {
                return None;
            }
            let keep = self.reciprocating(*group, limit);
            let hold = self.hold(*group, &keep, limit);
            self.members(*group)
                .filter(|(id, _)| !keep.contains(id))
                .filter_map(|(_, n)| n.served)
                .map(|since| since + hold)
                .min()
        };
        self.groups().iter().filter_map(due).min()
    }
}
