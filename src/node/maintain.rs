//! Periodic upkeep of the tables (Rhea et al. 2004: periodic, not reactive, so that a burst of failures makes no storm).

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use super::rpc::Asked;
use super::timers::Timer;
use crate::id::Id;
use crate::overlay::Peer;
use crate::wire::{Body, Name};

/// Periods of table pings after which a silent spare is pinged: nothing is sent to it but in need.
const SPARES_SLOWER: u32 = 4; // measured: a third of all pings went to spares
/// Shortest pause between two pings of a suspect.
const SUSPECT_PING: Duration = Duration::from_secs(25); // guess: most suspects are dead, and half of all pings went to them
/// Names in a request for leaves at least.
const LEAST_NAMES: usize = 4; // 16 bytes: what a refusal's reason and token take
/// Nodes of which the nearest is asked for a row.
const DRAWN: usize = 8; // guess: the nearer it is, the more of its contacts are near here

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
            Timer::LeafPing => self.paced(o.leaf_ping),
            Timer::TablePing => self.paced(o.table_ping),
            Timer::LeafExchange => self.paced(o.leaf_exchange).max(o.leaf_exchange / 2),
            Timer::NearTune => o.near_tune.mul_f64(self.overlay.tuning_pace()),
            _ => self.paced(o.far_tune),
        };
        let period = self.jitter(period);
        self.timers.set(timer, self.now + period);
    }

    /// A period of upkeep at the pace of the failures that were seen.
    pub(super) fn paced(&self, period: Duration) -> Duration {
        period.mul_f64(self.overlay.pace(self.config.overlay.fastest))
    }

    pub(super) fn maintain(&mut self, timer: Timer) {
        self.rearm(timer);
        match timer {
            Timer::LeafPing => {
                self.drop_silent();
                let leaves = self.overlay.leaf_ids();
                self.ping_silent(leaves, self.paced(self.config.overlay.leaf_ping) / 2);
                self.ping_suspects();
                self.republish_if_moved();
            }
            Timer::TablePing => {
                self.drop_silent();
                let period = self.paced(self.config.overlay.table_ping);
                let all: Vec<Id> = self.overlay.peers().map(|p| p.contact.id).collect();
                if self.is_client() {
                    self.ping_silent(all, period / 2);
                    self.ping_suspects();
                } else {
                    self.ping_silent(self.overlay.used(), period / 2);
                    self.ping_silent(all, period * SPARES_SLOWER);
                }
            }
            Timer::LeafExchange => {
                if let Some(leaf) = self.pick(&self.overlay.leaf_ids()) {
                    self.exchange_leaves(&leaf);
                }
            }
            Timer::NearTune => self.tune_near(),
            _ => self.tune_far(),
        }
    }

    /// Pings those that were not heard from for `silence`.
    fn ping_silent(&mut self, ids: Vec<Id>, silence: Duration) {
        let silent = |p: &Peer| p.suspect.is_none() && self.now - p.last_heard >= silence;
        let silent = |id: &Id| self.overlay.peer(id).is_some_and(silent);
        for id in ids.into_iter().filter(silent).collect::<Vec<_>>() {
            self.ping(&id);
        }
    }

    /// Pings suspects, until they answer or are dropped.
    fn ping_suspects(&mut self) {
        // Ever longer pauses: most suspects are dead.
        let due = |p: &&Peer| {
            p.suspect.is_some_and(|since| {
                self.now - p.pinged >= SUSPECT_PING.max((self.now - since) / 2)
            })
        };
        let due = self.overlay.peers().filter(due).map(|p| p.contact.id);
        for id in due.collect::<Vec<_>>() {
            self.ping(&id);
        }
    }

    pub(super) fn ping(&mut self, id: &Id) {
        let now = self.now;
        let Some(peer) = self.overlay.peer_mut(id) else {
            return;
        };
        peer.pinged = now;
        let addr = peer.contact.addr;
        if !self.pending.is_asking(addr, |a| matches!(a, Asked::Ping)) {
            self.ask(id, Asked::Ping, Body::Ping);
        }
    }

    /// Asks a near node for a row that both share: what is near it is near here, for every slot of the row.
    fn tune_near(&mut self) {
        let row = self.pick_row();
        let me = self.id;
        let fit = |p: &&Peer| p.suspect.is_none() && me.common_prefix(&p.contact.id) >= row;
        let fit: Vec<(Duration, Id)> = self
            .overlay
            .peers()
            .filter(fit)
            .map(|p| (p.measured(), p.contact.id))
            .collect();
        if fit.is_empty() {
            return;
        }
        // The nearest of a few: always the nearest would say the same again.
        let drawn = (0..DRAWN).map(|_| fit[self.rng.random_range(0..fit.len())]);
        if let Some((_, id)) = drawn.min() {
            self.ask_row(&id, row);
        }
    }

    /// Asks a contact for the row below the one it is in: its nodes are all alternatives to that contact.
    fn tune_far(&mut self) {
        let row = self.pick_row();
        let contacts = self.overlay.table_ids();
        let same = contacts
            .into_iter()
            .filter(|id| self.id.common_prefix(id) == row);
        if let Some(id) = self.pick(&same.collect::<Vec<_>>()) {
            self.ask_row(&id, row + 1);
        }
    }

    fn ask_row(&mut self, id: &Id, row: usize) {
        if let (true, Ok(row)) = (row < Id::DIGITS, u8::try_from(row)) {
            let names = self.overlay.row_names(row.into());
            self.ask(id, Asked::Row, Body::Row { row, names });
        }
    }

    /// A row of the table, each half as likely as the one above: the upper the row, the more nodes to choose from.
    fn pick_row(&mut self) -> usize {
        let deepest = self.overlay.rows().last().copied().unwrap_or(0);
        let mut row = 0;
        while row < deepest && self.rng.random_bool(0.5) {
            row += 1;
        }
        row
    }

    fn pick(&mut self, ids: &[Id]) -> Option<Id> {
        let alive = |id: &&Id| self.overlay.peer(id).is_some_and(|p| p.suspect.is_none());
        let alive: Vec<Id> = ids.iter().filter(alive).copied().collect();
        (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())])
    }

    /// Asks a leaf for what its leaf set has beside the own one.
    pub(super) fn exchange_leaves(&mut self, id: &Id) {
        let names = self.overlay.leaf_ids();
        let names = some_names(names.iter().map(Name::of).collect(), id);
        self.ask(id, Asked::Leaves, Body::Leaves { names });
    }

    /// Tells the leaves that this node goes.
    pub(super) fn say_farewell(&mut self) {
        self.farewell(self.overlay.leaf_ids());
    }

    /// Tells these that this node goes.
    pub(super) fn farewell(&mut self, ids: Vec<Id>) {
        for id in ids {
            self.ask(&id, Asked::Farewell, Body::Ping);
        }
    }

    /// A known index node says that it is a client now: it goes. Anyone can say so in its name, so it is asked.
    pub(super) fn on_farewell(&mut self, from: SocketAddr, id: &Id) {
        if self.overlay.id_at(from) == Some(*id) {
            self.ping(id);
        }
    }

    /// It has confirmed that.
    pub(super) fn on_gone(&mut self, from: SocketAddr, id: &Id) {
        if self.overlay.id_at(from) == Some(*id) {
            self.overlay.remove(id);
            if !self.cache.is_empty() {
                self.hasten(self.config.directory.first_hold);
            }
        }
    }

    /// A node did not answer in time: it is pinged, and suspected if it does not answer that either, so that a single lost
    /// datagram changes no root.
    pub(super) fn missed(&mut self, id: &Id) {
        match self.overlay.missed(id) {
            true => self.suspect(id),
            false => self.ping(id),
        }
    }

    /// A node owes an answer: nothing more is routed through it. A leaf is pinged at once, because roots hang on it.
    pub(super) fn suspect(&mut self, id: &Id) {
        if self.overlay.suspect(id, self.now) {
            if self.overlay.is_leaf(id) {
                self.ping(id);
            }
            self.home_suspected(id);
            if !self.cache.is_empty() {
                self.hasten(self.config.directory.active_period);
            }
        }
    }

    fn drop_silent(&mut self) {
        let silence = self.config.overlay.suspect_silence;
        let gone = self.overlay.expire(silence, self.now);
        for addr in gone {
            self.probe_failed(addr); // others will go on naming it for a while
            self.lost(addr);
        }
        let overlay = &self.overlay;
        self.parents.retain(|id| overlay.peer(id).is_some());
    }
}

/// Names to tell `asked`, at least a few: with fewer the request would be shorter than the refusal of a bad token.
pub(super) fn some_names(mut names: Vec<Name>, asked: &Id) -> Vec<Name> {
    names.resize(names.len().max(LEAST_NAMES), Name::of(asked));
    names
}
