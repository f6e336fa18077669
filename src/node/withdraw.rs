//! Taking back what was published, and leaving.
//!
//! A withdrawal goes wherever the entry went: to the parent and on to the root, to the root's ring neighbours, to former
//! parents that may still hold a copy, from a client to every index node that it has published through. What it leaves
//! behind outlives every copy, so that none comes back.

use std::time::Duration;

use super::publish::Slot;
use super::rpc::Asked;
use super::timers::Timer;
use super::{Event, Node};
use crate::id::{Id, ObjectId};
use crate::wire::{Body, Entry};

/// How long [`Command::Leave`](super::Command::Leave) waits for the others to hear of it.
const LEAVE_WAIT: Duration = Duration::from_secs(1); // guess
/// What was not heard of is said again after this while the node leaves.
const LEAVE_RETRY: Duration = Duration::from_millis(20); // guess: a time-out has passed already
/// How often a client says that it withdraws an entry.
const TRIES: u8 = 4; // guess: at 5 % loss one in 100,000 is not heard
/// Index nodes that a client remembers to have published an object through.
const HOMES: usize = 4; // guess: older ones have forgotten it

impl Node {
    pub(super) fn withdraw(&mut self, slot: Slot) {
        let (object, _) = slot;
        let Some(own) = self.own.get(&slot) else {
            return;
        };
        let addrs = self.resolved(&own.publication.addrs);
        let entry = addrs.and_then(|addrs| self.own_entry(slot, addrs, Duration::ZERO));
        self.own.remove(&slot);
        self.forget_own_ports(&self.own_ports());
        self.arm_republish();
        let Some(entry) = entry else { return };
        if !self.is_client() {
            return self.hand_in(slot, Some(entry));
        }
        let mut homes = self.homes.get(&object).cloned().unwrap_or_default();
        if self.own.of(object).next().is_none() {
            self.homes.remove(&object);
        }
        if let Some(home) = self.way_in(&[]).map(|p| p.contact.id)
            && !homes.contains(&home)
        {
            homes.push(home);
        }
        for home in homes {
            self.withdraw_at(home, entry.clone(), 0);
        }
    }

    /// Remembers that a client has published the object through this index node.
    pub(super) fn note_home(&mut self, object: ObjectId, home: Id) {
        let homes = self.homes.entry(object).or_default();
        if homes.last() == Some(&home) {
            return;
        }
        homes.retain(|id| *id != home);
        if homes.len() >= HOMES {
            homes.remove(0);
        }
        homes.push(home);
    }

    fn withdraw_at(&mut self, home: Id, entry: Entry, tries: u8) {
        let Some(to) = self.overlay.peer(&home).map(|p| p.contact.addr) else {
            return self.settle_leave();
        };
        if entry.addrs != entry.addrs.of_family(to.is_ipv4()) {
            return self.settle_leave(); // of the other family: it cannot be proven there
        }
        let asked = Asked::Withdraw {
            entry: Box::new(entry.clone()),
            tries: tries + 1,
        };
        self.ask(&home, asked, Body::Publish { entry });
    }

    /// A withdrawal was not heard, or needs another token.
    pub(super) fn withdraw_again(&mut self, at: Option<Id>, entry: Entry, tries: u8) {
        // Whoever publishes the object again meanwhile has a later sequence.
        match at {
            Some(at) if tries < TRIES => self.withdraw_at(at, entry, tries),
            _ => self.settle_leave(),
        }
    }

    pub(super) fn leave(&mut self) {
        for slot in self.own.slots() {
            self.withdraw(slot);
        }
        self.leaving = true;
        self.timers.set(Timer::Left, self.now + LEAVE_WAIT);
        if !self.is_client() {
            self.propagate();
            self.say_farewell();
        }
        self.settle_leave();
    }

    /// Ends a leave as soon as nobody is left to hear of it.
    pub(super) fn settle_leave(&mut self) {
        if !self.leaving || self.pending.handing_over() > 0 {
            return;
        }
        if self.is_client() || !self.cache.has_changes() {
            return self.left();
        }
        self.timers
            .set_earlier(Timer::Propagate, self.now + LEAVE_RETRY);
    }

    pub(super) fn left(&mut self) {
        if std::mem::take(&mut self.leaving) {
            self.timers.clear(Timer::Left);
            self.event(Event::Left);
        }
    }
}
