//! Signed entries of an open network: own ones are signed as they are made, those of others verified before they are
//! kept. A closed network neither sends nor wants proofs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{DropReason, Node};
use crate::auth::proof::{Claim, Publisher, publisher_id, verify};
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Entry, Proof, entry_windows};

impl Node {
    /// Who this node publishes as. In a closed network the tag itself, or the node.
    pub(super) fn publisher(&mut self, tag: Option<Id>) -> Id {
        match self.is_open() {
            true => self.guard.publisher(tag).id(),
            false => tag.unwrap_or(self.id),
        }
    }

    /// The same of a tag that was published under before.
    pub(super) fn known_publisher(&self, tag: Option<Id>) -> Option<Id> {
        match self.is_open() {
            true => self.guard.publishers.get(&tag).map(|p| p.id()),
            false => Some(tag.unwrap_or(self.id)),
        }
    }

    /// An own entry as others will take it. A withdrawn one holds nothing.
    pub(super) fn signed(&mut self, mut entry: Entry, tag: Option<Id>) -> Entry {
        if entry.lifetime.is_zero() {
            entry.held = Default::default();
        }
        if !self.is_open() {
            return entry;
        }
        // A withdrawal has to outlive the copies that it ends.
        let lasts = match entry.lifetime.is_zero() {
            true => self.config.directory.seed_lifetime,
            false => entry.lifetime,
        };
        let expires = self.wall().saturating_add(lasts).as_secs();
        sign_entry(entry, self.guard.publisher(tag), expires)
    }

    /// The entry as it may be kept, or `None`: it is not its publisher's, or no longer. What a delta says has to be
    /// applied before. The signed expiry bounds its lifetime.
    pub(super) fn credible(&mut self, mut entry: Entry) -> Option<Entry> {
        if !self.is_open() {
            entry.proof = None;
            return Some(entry);
        }
        match self.check_proof(&entry) {
            Ok(left) => {
                let now = self.now;
                if entry.lifetime.is_zero() {
                    self.guard.withdrawn.note(&entry, now + left, now);
                } else if self.guard.withdrawn.is_older(&entry, now) {
                    self.counters.drop(DropReason::OldEntry);
                    return None;
                }
                entry.lifetime = entry.lifetime.min(left);
                Some(entry)
            }
            Err(reason) => {
                self.counters.drop(reason);
                None
            }
        }
    }

    /// How much longer the entry may live.
    fn check_proof(&mut self, entry: &Entry) -> Result<Duration, DropReason> {
        let proof = entry.proof.as_ref().ok_or(DropReason::Unsigned)?;
        if publisher_id(&proof.key) != entry.publisher {
            return Err(DropReason::Forged);
        }
        let (wall, tolerance) = (self.wall(), self.config.guard.seal.tolerance);
        let expires = Duration::from_secs(proof.expires);
        let longest = self.config.directory.seed_lifetime.max(LONGEST);
        let left = expires.saturating_add(tolerance).saturating_sub(wall);
        let timely = !left.is_zero() && expires <= wall.saturating_add(tolerance + longest);
        // What is held was verified before: most of what a child tells is what it has told before.
        if !self.is_held(entry) && !is_signed(entry, proof) {
            return Err(DropReason::Forged);
        }
        if !timely {
            self.clock_disagrees();
            return Err(DropReason::Clock);
        }
        self.guard.wall.agreed();
        Ok(left)
    }

    fn is_held(&self, entry: &Entry) -> bool {
        let held = self.cache.held(&(entry.object, entry.publisher));
        held.is_some_and(|held| {
            held.proof == entry.proof
                && held.held == entry.held
                && said(&held) == said(entry)
                && held.lifetime.is_zero() == entry.lifetime.is_zero()
        })
    }
}

/// The entry with the proof that an open network wants: signed by `publisher`, which becomes its publisher, and void
/// after `expires` seconds since 1970. The chunks held have to be all of the object's; they are covered unless they are
/// too many for one datagram.
pub fn sign_entry(entry: Entry, publisher: &Publisher, expires: u64) -> Entry {
    let covered = is_whole(&entry) && entry_windows(&entry.held, 0).len() == entry.held.len();
    let mut entry = Entry {
        publisher: publisher.id(),
        ..entry
    };
    let signature = publisher.sign(&claim(&entry, expires, covered));
    entry.proof = Some(Box::new(Proof {
        key: publisher.key(),
        signature,
        expires,
    }));
    entry
}

/// Sequences of withdrawn entries. A tombstone in the cache is short-lived, a signed copy of the entry may not be.
#[derive(Debug, Default)]
pub(super) struct Withdrawn {
    at: BTreeMap<(ObjectId, Id), (u64, Instant)>,
}

impl Withdrawn {
    fn note(&mut self, entry: &Entry, until: Instant, now: Instant) {
        if self.at.len() >= WITHDRAWN {
            self.at.retain(|_, (_, until)| *until > now);
        }
        while self.at.len() >= WITHDRAWN {
            self.at.pop_first();
        }
        let key = (entry.object, entry.publisher);
        let known = self.at.entry(key).or_insert((entry.sequence, until));
        *known = (*known).max((entry.sequence, until));
    }

    fn is_older(&self, entry: &Entry, now: Instant) -> bool {
        let known = self.at.get(&(entry.object, entry.publisher));
        known.is_some_and(|(sequence, until)| entry.sequence <= *sequence && *until > now)
    }
}

/// Withdrawn entries that are remembered.
const WITHDRAWN: usize = 16_384; // guess: a megabyte

/// Longest lifetime of an entry that is not taken for a wrong clock.
const LONGEST: Duration = Duration::from_secs(86_400); // guess: a seed that refreshes twice a day

fn said(entry: &Entry) -> impl PartialEq + use<> {
    (entry.sequence, entry.addrs, entry.chunks, entry.load)
}

fn is_whole(entry: &Entry) -> bool {
    !entry.lifetime.is_zero() && entry.held.start() == 0 && entry.held.len() == entry.chunks
}

/// Whether its publisher has signed the entry: all its chunks, or all but those (then they travel in windows).
fn is_signed(entry: &Entry, proof: &Proof) -> bool {
    let signs = |covered| {
        verify(
            &proof.key,
            &proof.signature,
            &claim(entry, proof.expires, covered),
        )
    };
    (is_whole(entry) && signs(true)) || signs(false)
}

fn claim(entry: &Entry, expires: u64, covered: bool) -> Claim<'_> {
    Claim {
        object: entry.object,
        sequence: entry.sequence,
        expires,
        v4: entry.addrs.v4,
        v6: entry.addrs.v6,
        chunks: entry.chunks,
        load: entry.load,
        withdrawn: entry.lifetime.is_zero(),
        bits: covered.then(|| entry.held.as_bytes()),
    }
}
