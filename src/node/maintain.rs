//! Periodic upkeep of the tables (Rhea et al. 2004: periodic, not reactive, so that a burst of failures makes no storm).

use rand::RngExt;

use super::Node;
use super::rpc::Asked;
use super::timers::Timer;
use crate::id::Id;
use crate::wire::Body;

impl Node {
    pub(super) fn start_maintenance(&mut self) {
        let all = [
            Timer::LeafPing,
            Timer::TablePing,
            Timer::LeafExchange,
            Timer::NearTune,
            Timer::FarTune,
        ];
        // A client has no leaf set to keep: it only makes sure that its index nodes are there.
        let client = self.is_client();
        let kept = |t: &Timer| !client || *t == Timer::TablePing;
        for timer in all.into_iter().filter(kept) {
            self.rearm(timer);
        }
    }

    fn rearm(&mut self, timer: Timer) {
        let o = &self.config.overlay;
        let period = match timer {
            Timer::LeafPing => o.leaf_ping,
            Timer::TablePing => o.table_ping,
            Timer::LeafExchange => o.leaf_exchange,
            Timer::NearTune => o.near_tune,
            _ => o.far_tune,
        };
        let period = self.jitter(period);
        self.timers.set(timer, self.now + period);
    }

    pub(super) fn maintain(&mut self, timer: Timer) {
        self.rearm(timer);
        match timer {
            Timer::LeafPing => {
                self.drop_silent();
                let leaves = self.overlay.leaf_ids();
                self.ping_silent(leaves, self.config.overlay.leaf_ping / 2);
                self.republish_if_moved();
            }
            Timer::TablePing => {
                self.drop_silent();
                let ids = self.overlay.peers().map(|p| p.contact.id).collect();
                self.ping_silent(ids, self.config.overlay.table_ping / 2);
            }
            Timer::LeafExchange => {
                if let Some(leaf) = self.pick(&self.overlay.leaf_ids()) {
                    self.exchange_leaves(&leaf);
                }
            }
            Timer::NearTune => self.ask_row(0),
            _ => self.ask_row(1),
        }
    }

    /// Pings those that were not heard from for `silence`, and the suspects.
    fn ping_silent(&mut self, ids: Vec<Id>, silence: std::time::Duration) {
        for id in ids {
            let Some(peer) = self.overlay.peer(&id) else {
                continue;
            };
            if peer.suspect.is_some() || self.now - peer.last_heard >= silence {
                self.ping(&id);
            }
        }
    }

    pub(super) fn ping(&mut self, id: &Id) {
        let Some(addr) = self.overlay.peer(id).map(|p| p.contact.addr) else {
            return;
        };
        if !self.pending.is_asking(addr, |a| matches!(a, Asked::Ping)) {
            self.ask(id, Asked::Ping, Body::Ping);
        }
    }

    /// Asks a random contact of the table for the row that both share, or (`below` = 1) for the one below it, whose
    /// nodes are all alternatives to that contact.
    fn ask_row(&mut self, below: usize) {
        let contacts = self.overlay.primaries();
        let Some(id) = self.pick_of_random_row(&contacts) else {
            return;
        };
        let row = self.id.common_prefix(&id) + below;
        if let (true, Ok(row)) = (row < Id::DIGITS, u8::try_from(row)) {
            self.ask(&id, Asked::Row, Body::Row { row });
        }
    }

    /// A random unsuspected node of a random row.
    fn pick_of_random_row(&mut self, contacts: &[Id]) -> Option<Id> {
        let rows = self.overlay.rows();
        if rows.is_empty() {
            return None;
        }
        let row = rows[self.rng.random_range(0..rows.len())];
        let same: Vec<Id> = contacts
            .iter()
            .filter(|id| self.id.common_prefix(id) == row)
            .copied()
            .collect();
        self.pick(&same)
    }

    fn pick(&mut self, ids: &[Id]) -> Option<Id> {
        let alive = |id: &&Id| self.overlay.peer(id).is_some_and(|p| p.suspect.is_none());
        let alive: Vec<Id> = ids.iter().filter(alive).copied().collect();
        (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())])
    }

    /// Tells a leaf the own leaf set and asks for its.
    pub(super) fn exchange_leaves(&mut self, id: &Id) {
        let contacts = self
            .overlay
            .leaf_contacts()
            .into_iter()
            .filter(|c| c.id != *id)
            .collect();
        self.ask(id, Asked::Leaves, Body::Leaves { contacts });
    }

    /// A node owes an answer: nothing more is routed through it, and it is pinged at once.
    pub(super) fn suspect(&mut self, id: &Id) {
        if self.overlay.suspect(id, self.now) {
            self.ping(id);
            if !self.cache.is_empty() {
                self.hasten(self.config.directory.active_period);
            }
        }
    }

    fn drop_silent(&mut self) {
        let silence = self.config.overlay.suspect_silence;
        let gone = self.overlay.expire(silence, self.now);
        for addr in gone {
            self.lost(addr);
        }
        let overlay = &self.overlay;
        self.parents.retain(|id| overlay.peer(id).is_some());
    }
}
