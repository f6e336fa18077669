//! The structured overlay (paper section 3: "a structured overlay such as Bamboo"): who this node knows on the ring,
//! and which of them is one step nearer to a key.
//!
//! Pastry geometry as in Bamboo (Rhea et al., "Handling churn in a DHT", 2004): a leaf set of the ring neighbours, a
//! routing table with one row a shared base-16 digit, the nearest contacts in each slot (proximity neighbour
//! selection, on which the paper's local convergence stands). This module holds tables and decisions only; probing,
//! joining and timers are the node's.
//!
//! Differences from the paper and from Bamboo: a hop is taken only to a node that is strictly nearer to the key on the
//! ring, also in the prefix step. A route therefore cannot loop whatever the tables say; in the rare case that the
//! longer prefix lies on the far side of the key, the numerically nearest known node is taken instead.

mod leaf;
mod pace;
mod peer;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::coords::Coord;
use crate::id::Id;
use crate::time::Instant;
use crate::wire::{Contact, MAX_NAMES, Name};

use leaf::LeafSet;
use pace::{Pace, Passed};
pub(crate) use peer::{MAX_TIMEOUT, Peer, predicted_timeout};
use table::RoutingTable;

/// Nodes at most this far apart are neighbours: what is near the one is near the other.
pub(crate) const NEIGHBOUR: Duration = Duration::from_millis(10); // guess: twice what counts as near
/// A node that one has only heard of is probed if its prediction times this is nearer than what is there: coordinates
/// err, and what was measured is remembered.
const OPTIMISM: f64 = 0.8; // measured: nearer to 1 misses the nearest few, less probes twice as many
/// And if it is nearer by this: between neighbours a coordinate's error is larger than the distance.
const BLUR: Duration = Duration::from_millis(1); // measured: the error of a coordinate among hosts of one site
/// Both for what a neighbour has named: it is near that one, which is near this node.
const TRUST: (f64, Duration) = (0.5, NEAR); // guess: coordinates of near nodes are off by more than their distance
/// The same for the last spare of a slot, if that is farther than [`NEAR`] beyond the first.
const SPARE_GAIN: f64 = 0.5; // guess: worth a probe only if much nearer
/// Contacts that a slot takes wherever they are: one to go to and one for when that fails.
const BACKED: usize = 2;
/// Contacts of a slot that are at most this much farther than its nearest are taken to be equally near: see [`agreed`].
pub(crate) const NEAR: Duration = Duration::from_millis(5); // measured on the matrix without a simulator: less and neighbours disagree more

/// What became of a node that has just answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It entered the leaf set.
    NewLeaf,
    /// It entered the routing table.
    NewContact,
    /// It was known already.
    Known,
    /// The tables have better.
    Unused,
}

/// The nodes that this one knows: all of them have answered it directly.
#[derive(Debug)]
pub(crate) struct Overlay {
    me: Id,
    leaves: LeafSet,
    table: RoutingTable,
    peers: BTreeMap<Id, Peer>,
    by_addr: BTreeMap<SocketAddr, Id>,
    version: u64,
    pace: Pace,
    passed: Passed,
}

impl Overlay {
    /// Empty tables of the node `me`: `side` leaves each way, one contact and `spares` in each slot.
    pub(crate) fn new(me: Id, side: usize, spares: usize) -> Self {
        Self {
            me,
            leaves: LeafSet::new(me, side),
            table: RoutingTable::new(me, 1 + spares),
            peers: BTreeMap::new(),
            by_addr: BTreeMap::new(),
            version: 0,
            pace: Pace::new(),
            passed: Passed::default(),
        }
    }

    /// Grows whenever some next hop may have changed.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Nodes known.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether the node is alone.
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The node with this id, if known.
    pub(crate) fn peer(&self, id: &Id) -> Option<&Peer> {
        self.peers.get(id)
    }

    /// The node with this id, if known.
    pub(crate) fn peer_mut(&mut self, id: &Id) -> Option<&mut Peer> {
        self.peers.get_mut(id)
    }

    /// The node at this address, if known.
    pub(crate) fn id_at(&self, addr: SocketAddr) -> Option<Id> {
        self.by_addr.get(&addr).copied()
    }

    /// All known nodes in the order of their ids.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Ids of the leaf set, counter-clockwise neighbours first, each once.
    pub(crate) fn leaf_ids(&self) -> Vec<Id> {
        self.leaves.ids()
    }

    /// Of this node's leaves those that `asker` has not named and that belong into its leaf set; no suspects.
    pub(crate) fn leaf_news(&self, asker: &Id, named: &[Name]) -> Vec<Contact> {
        let mut news = self.leaves.seen_by(asker);
        news.retain(|id| *id != self.me && !named.contains(&Name::of(id)));
        self.contacts(news)
    }

    /// The leaf set as told to others: no suspects.
    pub(crate) fn leaf_contacts(&self) -> Vec<Contact> {
        self.contacts(self.leaves.ids())
    }

    /// Row `row` as told from `here` to a node at `there`: of each slot the best contact that was heard `since`, is sound, and
    /// that it has not `named`,
    /// unless all of them are clearly farther than one that it has. To a neighbour the nearest is best, because a measured
    /// distance says more than two coordinates; to others what is predicted nearest to them.
    pub(crate) fn row_contacts(
        &self,
        row: usize,
        here: &Coord,
        there: &Coord,
        named: &[Name],
        since: Instant,
    ) -> Vec<Contact> {
        // Whoever does not know where it is may as well be near.
        let near = there.error >= 1.0 || here.rtt(there) <= NEIGHBOUR;
        let far = |p: &Peer| match near {
            true => p.measured(),
            false => there.rtt(&p.contact.coord),
        };
        let best = self.table.row(row).filter_map(|slot| {
            let sound = slot.iter().filter_map(|id| self.peers.get(id));
            let sound =
                sound.filter(|p| p.suspect.is_none() && p.missed == 0 && p.last_heard >= since);
            let band = sound.clone().map(far).min()?.saturating_add(NEAR);
            let news =
                sound.filter(|p| far(p) <= band && !named.contains(&Name::of(&p.contact.id)));
            news.min_by_key(|p| (far(p), p.contact.id))
                .map(|p| p.contact)
        });
        best.collect()
    }

    /// The names of all contacts in a row, as far as they fit.
    pub(crate) fn row_names(&self, row: usize) -> Vec<Name> {
        let ids = self.table.row(row).flatten();
        ids.map(Name::of).take(MAX_NAMES).collect()
    }

    /// Rows that have a contact.
    pub(crate) fn rows(&self) -> Vec<usize> {
        self.table.rows()
    }

    /// Slots of the routing table that have contacts, by row and column, nearest first.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, u8, &[Id])> {
        self.table.slots()
    }

    /// Every contact of the table, spares included.
    pub(crate) fn table_ids(&self) -> Vec<Id> {
        self.table.all().collect()
    }

    /// Of every slot the nearest contact and those that are as good: whom requests are sent to.
    pub(crate) fn used(&self) -> Vec<Id> {
        let near = |(_, _, slot): (usize, u8, &[Id])| {
            let band = self.band(slot.first());
            let near = |id: &&Id| self.peers.get(id).is_some_and(|p| p.measured() <= band);
            slot.iter().filter(near).copied().collect::<Vec<_>>()
        };
        self.table.slots().flat_map(near).collect()
    }

    /// Up to which distance a contact is as good as the slot's nearest.
    fn band(&self, nearest: Option<&Id>) -> Duration {
        let nearest = nearest.and_then(|id| self.peers.get(id));
        nearest.map_or(Duration::MAX, |p| p.measured().saturating_add(NEAR))
    }

    /// Whether the node is in the leaf set.
    pub(crate) fn is_leaf(&self, id: &Id) -> bool {
        self.leaves.contains(id)
    }

    /// Whether the node is among the two nearest on either side.
    pub(crate) fn is_close_leaf(&self, id: &Id) -> bool {
        self.leaves.is_close(id)
    }

    /// Whether an unknown node would enter the leaf set.
    pub(crate) fn wants_as_leaf(&self, id: &Id) -> bool {
        !self.peers.contains_key(id) && self.leaves.would_take(id)
    }

    /// Whether this node and its leaves are all that can be the root of `key`.
    pub(crate) fn covers(&self, key: &Id) -> bool {
        self.leaves.covers(key)
    }

    /// Periods of upkeep as a share of the configured ones, `fastest` ..= 1.0, from the failures that were seen.
    pub(crate) fn pace(&self, fastest: f64) -> f64 {
        self.pace.share(fastest)
    }

    /// The next tuning period as a share of the configured one, from what tuning has found since the last call.
    pub(crate) fn tuning_pace(&mut self) -> f64 {
        self.pace.tuning()
    }

    fn contacts(&self, ids: Vec<Id>) -> Vec<Contact> {
        let usable = |id: Id| self.peers.get(&id).filter(|p| p.suspect.is_none());
        ids.into_iter()
            .filter_map(usable)
            .map(|p| p.contact)
            .collect()
    }

    /// Whether a node that one has only heard of is worth a probe: it would be a leaf, or fill a slot, or is predicted
    /// nearer than the slot's contact (or was measured to be, if it was met before). `here` is this node's own coordinate;
    /// what a neighbour has named (`near`) is believed to be near although coordinates say otherwise.
    pub(crate) fn wants(&self, contact: &Contact, here: &Coord, near: bool) -> bool {
        if contact.id == self.me || self.peers.contains_key(&contact.id) {
            return false;
        }
        self.leaves.would_take(&contact.id)
            || match self.table.slot(&contact.id) {
                slot if slot.len() < BACKED => true,
                slot => {
                    let met = self.passed.rtt(&contact.id);
                    let (share, blur) = if near { TRUST } else { (OPTIMISM, BLUR) };
                    let guess = || {
                        let predicted = here.rtt(&contact.coord);
                        predicted.mul_f64(share).saturating_sub(blur)
                    };
                    let far = met.unwrap_or_else(guess);
                    let nearer = |id: Option<&Id>, gain: f64| {
                        id.and_then(|id| self.peers.get(id))
                            .is_none_or(|p| far < p.proximity(here).mul_f64(gain))
                    };
                    let room = slot.len() < self.table.width();
                    nearer(slot.first(), 1.0)
                        || nearer(slot.last(), SPARE_GAIN)
                        || far <= self.band(slot.first()) && (room || nearer(slot.last(), 1.0))
                }
            }
    }

    /// A node has answered from this address. `keep` stores it whatever the tables say (a client's index nodes).
    pub(crate) fn verified(
        &mut self,
        contact: Contact,
        rtt: Option<Duration>,
        keep: bool,
        now: Instant,
    ) -> Kept {
        if contact.id == self.me {
            return Kept::Unused;
        }
        // A node that came back under another id at the same address has lost its old id.
        if let Some(old) = self.id_at(contact.addr).filter(|old| *old != contact.id) {
            self.remove(&old);
        }
        if let Some(peer) = self.peers.get_mut(&contact.id) {
            let measured = peer.measured();
            if peer.contact.addr != contact.addr {
                // Two addresses claim one id: the one that still answers keeps it.
                if peer.suspect.is_none() {
                    return Kept::Unused;
                }
                self.by_addr.remove(&peer.contact.addr);
                self.by_addr.insert(contact.addr, contact.id);
                peer.moved();
            }
            let was_suspect = peer.suspect.is_some();
            peer.answered(contact, rtt, now);
            let sorted = peer.measured() != measured
                && self
                    .table
                    .sort(&contact.id, |id| self.peers.get(id).map(|p| p.measured()));
            self.version += u64::from(sorted || was_suspect);
            return Kept::Known;
        }
        let first = self.table.slot(&contact.id).first().copied();
        let mut peer = Peer::new(contact, now);
        peer.answered(contact, rtt, now);
        self.version += 1;
        self.peers.insert(contact.id, peer);
        self.by_addr.insert(contact.addr, contact.id);
        let leaf = self.leaves.insert(contact.id);
        let slot = self
            .table
            .insert(contact.id, |id| self.peers.get(id).map(|p| p.measured()));
        if first.is_some() && self.table.slot(&contact.id).first() == Some(&contact.id) {
            self.pace.improved();
        }
        if !keep {
            for id in leaf.evicted.into_iter().flatten().chain(slot.evicted) {
                self.forget_unused(&id);
            }
            self.forget_unused(&contact.id);
        }
        match (leaf.taken, slot.taken) {
            (true, _) => Kept::NewLeaf,
            (false, true) => Kept::NewContact,
            (false, false) => Kept::Unused,
        }
    }

    fn forget_unused(&mut self, id: &Id) {
        if !self.leaves.contains(id) && !self.table.contains(id) {
            if let Some(peer) = self.peers.get(id)
                && peer.measured() < Duration::MAX
            {
                self.passed.note(*id, peer.measured());
            }
            self.drop_peer(id);
        }
    }

    fn drop_peer(&mut self, id: &Id) {
        if let Some(peer) = self.peers.remove(id) {
            self.by_addr.remove(&peer.contact.addr);
        }
    }

    /// A datagram (not necessarily an answer) came from a known node at its known address.
    pub(crate) fn heard(&mut self, id: &Id, addr: SocketAddr, coord: Coord, now: Instant) {
        if let Some(peer) = self.peers.get_mut(id).filter(|p| p.contact.addr == addr) {
            peer.last_heard = now;
            peer.contact.coord = coord;
        }
    }

    /// A request was not answered in time. Whether the node is to be suspected: on a second one in a row.
    pub(crate) fn missed(&mut self, id: &Id) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return false;
        };
        peer.missed = peer.missed.saturating_add(1);
        peer.missed >= 2
    }

    /// A node did not answer: it is routed around until it answers. Whether that is news.
    pub(crate) fn suspect(&mut self, id: &Id, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return false;
        };
        let news = peer.suspect.is_none();
        peer.suspect.get_or_insert(now);
        self.version += u64::from(news);
        news
    }

    /// Forgets a node and refills the leaf set from the others that are known.
    pub(crate) fn remove(&mut self, id: &Id) {
        self.version += 1;
        self.drop_peer(id);
        self.table.remove(id);
        if self.leaves.remove(id) {
            for other in self.peers.keys() {
                self.leaves.insert(*other);
            }
        }
    }

    /// Drops the nodes that have been suspect for `silence`; returns where they were.
    pub(crate) fn expire(&mut self, silence: Duration, now: Instant) -> Vec<SocketAddr> {
        let gone = |p: &&Peer| p.suspect.is_some_and(|since| now - since >= silence);
        let gone: Vec<Contact> = self
            .peers
            .values()
            .filter(gone)
            .map(|p| p.contact)
            .collect();
        self.pace.watched(self.peers.len(), gone.len(), now);
        for contact in &gone {
            self.remove(&contact.id);
        }
        gone.into_iter().map(|c| c.addr).collect()
    }

    /// The next hop towards `key` among the nodes that are neither suspect nor `tried`, or `None`: this node is the
    /// root as far as it knows. Every hop is strictly nearer to the key.
    pub(crate) fn next_hop(&self, key: &Id, tried: &[Id]) -> Option<&Peer> {
        let rank = |id: &Id| (key.distance(id), *id);
        let own = rank(&self.me);
        let alive = |id: &Id| -> Option<&Peer> {
            let peer = self.peers.get(id)?;
            (peer.suspect.is_none() && !tried.contains(id)).then_some(peer)
        };
        if self.leaves.covers(key) {
            let mut best = (own, None);
            for id in self.leaves.iter() {
                let rank = rank(id);
                if rank < best.0
                    && let Some(peer) = alive(id)
                {
                    best = (rank, Some(peer));
                }
            }
            return best.1;
        }
        let prefix = self.me.common_prefix(key);
        let usable = |id: &Id| alive(id).filter(|_| rank(id) < own);
        if let Some(peer) = self.in_slot(key, usable) {
            return Some(peer);
        }
        let nearest = |a: &&Peer, b: &&Peer| rank(&a.contact.id).cmp(&rank(&b.contact.id));
        let known = || self.peers.keys().filter_map(usable);
        known()
            .filter(|p| p.contact.id.common_prefix(key) >= prefix)
            .min_by(nearest)
            .or_else(|| known().min_by(nearest))
    }

    /// The contact of the key's slot to go to: of the nearest and those equally near the one that all nodes hereabouts
    /// agree on; whoever owes an answer comes last.
    fn in_slot<'a>(
        &'a self,
        key: &Id,
        usable: impl Fn(&Id) -> Option<&'a Peer>,
    ) -> Option<&'a Peer> {
        let alive: Vec<&Peer> = self.table.slot(key).iter().filter_map(usable).collect();
        let sound = |p: &&&Peer| p.missed == 0;
        let nearest = alive.iter().find(sound).or(alive.first())?;
        let band = nearest.measured().saturating_add(NEAR);
        let equal = alive
            .iter()
            .filter(|p| p.missed <= nearest.missed && p.measured() <= band);
        equal
            .min_by_key(|p| (agreed(&p.contact.id, key), p.contact.id))
            .copied()
    }

    /// The nearest unsuspected node that is not `tried`: a client's way into the ring.
    pub(crate) fn nearest(&self, tried: &[Id]) -> Option<&Peer> {
        self.peers
            .values()
            .filter(|p| p.suspect.is_none() && !tried.contains(&p.contact.id))
            .min_by_key(|p| (p.measured(), p.contact.id))
    }
}

/// Which of several equally near nodes a request for `key` goes to: the one with the smallest rank. The rank is the
/// exclusive or of the last eight bytes, so that it depends on nothing that differs between neighbours, not on how near to
/// the key the node is (which would shorten routes until they meet at the root only), and on the key, so that nobody
/// serves all keys of its neighbours.
pub(crate) fn agreed(id: &Id, key: &Id) -> u64 {
    let last = |id: &Id| id.0.iter().skip(12).fold(0, |n, b| n << 8 | u64::from(*b));
    last(id) ^ last(key)
}
