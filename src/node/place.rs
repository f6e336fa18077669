//! Who may have a place in the tables of an open network: index nodes whose ids fit their addresses (BEP 42), and not
//! too many of one subnet. Private addresses have no such limits: a rack shares a /24.
//!
//! A node learns its own address from the answers of others, so its first id may not fit; it then takes another one and
//! joins again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{DropReason, Event, Node};
use crate::auth::bep42;
use crate::directory::parents::Parents;
use crate::id::Id;
use crate::overlay::Overlay;
use crate::wire::{Contact, Token};

/// How long a node keeps an id at least: who tells it lies about its address costs it a join in a while.
const SETTLED: Duration = Duration::from_secs(600); // guess

impl Node {
    /// Whether a node may enter the tables. A client has no tables that anyone could be the root of.
    pub(super) fn has_place(&self, contact: &Contact) -> Result<(), DropReason> {
        let ip = contact.addr.ip();
        if !self.is_open() || self.is_client() || !bep42::binds(ip) {
            return Ok(());
        }
        if self.config.guard.bind_ids && !bep42::matches(&contact.id, ip) {
            return Err(DropReason::UnboundId);
        }
        if self.overlay.peer(&contact.id).is_some() {
            return Ok(());
        }
        let net = subnet(ip);
        let near = |id: &&Id| {
            let peer = self.overlay.peer(id);
            peer.is_some_and(|p| {
                bep42::binds(p.contact.addr.ip()) && subnet(p.contact.addr.ip()) == net
            })
        };
        let (most, here) = match self.overlay.wants_as_leaf(&contact.id) {
            true => {
                let leaves = self.overlay.leaf_ids();
                (
                    self.config.guard.subnet_leaves,
                    leaves.iter().filter(near).count(),
                )
            }
            false => {
                let row = self.id.common_prefix(&contact.id);
                let all = self.overlay.table_ids();
                let same = all.iter().filter(|id| self.id.common_prefix(id) == row);
                (self.config.guard.subnet_row, same.filter(near).count())
            }
        };
        match here < most {
            true => Ok(()),
            false => Err(DropReason::Subnet),
        }
    }

    /// A bootstrap node has answered. Without a place it cannot be joined through, but a ping with its token shows it
    /// that this node is real, so that it asks back and learns its own address.
    pub(super) fn met_bootstrap(&mut self, by: Contact, token: Token) {
        if self.has_place(&by) != Err(DropReason::UnboundId) {
            return self.on_bootstrap_answer(by);
        }
        if self.guard.tokens.len() < self.config.limits.bootstrap {
            self.guard.tokens.insert(by.addr, token);
        }
    }

    /// Others see this node at this address: its id has to fit.
    pub(super) fn fit_address(&mut self, ip: IpAddr) {
        let bound = self.is_open() && !self.is_client() && self.config.guard.bind_ids;
        let lately = self.guard.moved.is_some_and(|at| self.now - at < SETTLED);
        if bound && !bep42::matches(&self.id, ip) && !lately {
            self.guard.moved = Some(self.now);
            let id = bep42::id_for(ip, &mut self.rng);
            self.move_to(id);
        }
    }

    /// Takes another place on the ring: empty tables, and a join through everyone who was known.
    fn move_to(&mut self, id: Id) {
        let known = self.overlay.peers().map(|p| p.contact.addr);
        let known: Vec<_> = known.collect();
        self.cancel_joins();
        self.id = id;
        let o = &self.config.overlay;
        self.overlay = Overlay::new(id, o.leaves_per_side, o.spares);
        self.parents = Parents::default();
        self.tree_parents = BTreeSet::new();
        self.tables_seen = u64::MAX; // no version of the new tables
        self.event(Event::Moved(id));
        self.join_anew(known);
    }
}

/// The /24 or /48 of a public address.
fn subnet(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            1 << 48 | u64::from(a) << 32 | u64::from(b) << 16 | u64::from(c)
        }
    }
}
