//! The location pointer cache (paper 3.1): soft state, bounded for each object and as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::chunks::ChunkSet;
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::Entry;

/// How long the tombstone of a withdrawn entry refuses older copies of it.
const TOMBSTONE: Duration = Duration::from_secs(60); // guess: longer than copies are under way
/// An entry with less left is not passed on: whole seconds would make it a withdrawal.
const LEAST_PASSED_ON: Duration = Duration::from_secs(2);
/// Bytes that an entry takes beside its chunk bits.
const ENTRY_BYTES: usize = 256; // guess: the struct and its share of three maps

/// Bounds of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) entries_per_object: usize,
    pub(crate) objects: usize,
    pub(crate) bytes: usize,
    pub(crate) chunks: u32,
    pub(crate) lifetime: Duration,
}

/// What an entry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The first entry of its object, or the first chunks of its peer: others can use it from now on.
    First,
    /// New, or it changed something.
    Changed,
    /// Nothing new, but alive for longer.
    Refreshed,
    /// Older than what is held.
    Old,
    /// Without an address, beyond the bound on chunks, or a window outside its object.
    Malformed,
    /// No room, as all the entries that could make some are this node's own.
    Full,
}

#[derive(Debug)]
struct Pointer {
    entry: Entry,
    expires: Instant,
    withdrawn: bool,
    /// Published through this node: never evicted.
    own: bool,
}

#[derive(Debug, Default)]
struct Object {
    pointers: BTreeMap<Id, Pointer>,
    /// The parent that the entries were last passed to.
    parent: Option<Id>,
}

/// Entries by object and publisher.
#[derive(Debug)]
pub(crate) struct Cache {
    limits: Limits,
    objects: BTreeMap<ObjectId, Object>,
    /// Entries that the parent has not been told of.
    changed: BTreeSet<(ObjectId, Id)>,
    expiry: BTreeSet<(Instant, ObjectId, Id)>,
    bytes: usize,
    evicted: u64,
}

impl Cache {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            objects: BTreeMap::new(),
            changed: BTreeSet::new(),
            expiry: BTreeSet::new(),
            bytes: 0,
            evicted: 0,
        }
    }

    /// Entries that were evicted to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Objects and their numbers of live entries.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (ObjectId, usize)> + '_ {
        self.objects
            .iter()
            .map(|(id, o)| (*id, o.pointers.values().filter(|p| !p.withdrawn).count()))
    }

    /// Objects that have entries (or tombstones).
    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.objects.keys().copied()
    }

    /// The live entries of an object.
    pub(crate) fn entries(&self, object: &ObjectId, now: Instant) -> impl Iterator<Item = &Entry> {
        let pointers = self
            .objects
            .get(object)
            .into_iter()
            .flat_map(|o| o.pointers.values());
        pointers
            .filter(move |p| !p.withdrawn && p.expires > now)
            .map(|p| &p.entry)
    }

    /// Takes an entry whose lifetime begins to count now.
    pub(crate) fn store(
        &mut self,
        entry: Entry,
        own: bool,
        rng: &mut impl Rng,
        now: Instant,
    ) -> Stored {
        let inside = entry.held.end() <= entry.chunks || entry.held.is_empty();
        if entry.addrs.is_empty() || entry.chunks > self.limits.chunks || !inside {
            return Stored::Malformed;
        }
        let key = (entry.object, entry.publisher);
        if entry.lifetime.is_zero() {
            return self.withdraw(entry, now);
        }
        let expires = now + entry.lifetime.min(self.limits.lifetime);
        if let Some(pointer) = self.pointer_mut(&key) {
            if entry.sequence < pointer.entry.sequence {
                return Stored::Old;
            }
            if pointer.withdrawn && entry.sequence == pointer.entry.sequence {
                return Stored::Old;
            }
            return self.update(key, entry, own, expires);
        }
        let first = self
            .objects
            .get(&key.0)
            .is_none_or(|o| o.pointers.is_empty());
        if !self.make_room(&entry, rng) {
            return Stored::Full;
        }
        let held = whole(None, &entry);
        let pointer = Pointer {
            entry: Entry { held, ..entry },
            expires,
            withdrawn: false,
            own,
        };
        self.bytes += cost(&pointer);
        self.expiry.insert((expires, key.0, key.1));
        self.changed.insert(key);
        self.objects
            .entry(key.0)
            .or_default()
            .pointers
            .insert(key.1, pointer);
        if first {
            Stored::First
        } else {
            Stored::Changed
        }
    }

    fn pointer_mut(&mut self, key: &(ObjectId, Id)) -> Option<&mut Pointer> {
        self.objects.get_mut(&key.0)?.pointers.get_mut(&key.1)
    }

    fn update(&mut self, key: (ObjectId, Id), entry: Entry, own: bool, expires: Instant) -> Stored {
        let pointer = self.pointer_mut(&key).expect("the caller found it");
        let before = cost(pointer);
        let newer = entry.sequence > pointer.entry.sequence;
        let held = whole(Some(&pointer.entry), &entry);
        let said = |e: &Entry| (e.addrs, e.load, e.reachable, e.chunks);
        let first_chunks = pointer.entry.held.is_none() && !held.is_none() && !pointer.withdrawn;
        let told = held != pointer.entry.held || said(&entry) != said(&pointer.entry);
        let old = pointer.expires;
        pointer.expires = if newer { expires } else { expires.max(old) };
        pointer.withdrawn = false;
        pointer.own |= own;
        pointer.entry = Entry { held, ..entry };
        let (after, expires) = (cost(pointer), pointer.expires);
        self.bytes = self.bytes + after - before;
        self.expiry.remove(&(old, key.0, key.1));
        self.expiry.insert((expires, key.0, key.1));
        // A new sequence without news is a refresh: the parent needs it as well to keep the entry alive.
        if newer || told {
            self.changed.insert(key);
        }
        if first_chunks {
            Stored::First
        } else if told {
            Stored::Changed
        } else {
            Stored::Refreshed
        }
    }

    fn withdraw(&mut self, entry: Entry, now: Instant) -> Stored {
        let key = (entry.object, entry.publisher);
        let Some(pointer) = self.pointer_mut(&key) else {
            return Stored::Old;
        };
        if pointer.withdrawn || entry.sequence < pointer.entry.sequence {
            return Stored::Old;
        }
        let before = cost(pointer);
        let old = pointer.expires;
        pointer.entry = Entry {
            held: ChunkSet::default(),
            ..entry
        };
        pointer.withdrawn = true;
        pointer.own = false;
        pointer.expires = now + TOMBSTONE;
        let (after, expires) = (cost(pointer), pointer.expires);
        self.bytes = self.bytes + after - before;
        self.expiry.remove(&(old, key.0, key.1));
        self.expiry.insert((expires, key.0, key.1));
        self.changed.insert(key);
        Stored::Changed
    }

    /// Evicts at random (paper 3.1) until the entry fits; `false` if only own entries are left.
    fn make_room(&mut self, entry: &Entry, rng: &mut impl Rng) -> bool {
        let full = self
            .objects
            .get(&entry.object)
            .map_or(0, |o| o.pointers.len());
        if full >= self.limits.entries_per_object && !self.evict_from(entry.object, rng) {
            return false;
        }
        let need = ENTRY_BYTES + (entry.chunks as usize).div_ceil(8);
        while self.bytes + need > self.limits.bytes
            || self.objects.len() >= self.limits.objects
                && !self.objects.contains_key(&entry.object)
        {
            if self.objects.is_empty() {
                return false;
            }
            let at = rng.random_range(0..self.objects.len());
            let victims = self
                .objects
                .keys()
                .copied()
                .cycle()
                .skip(at)
                .take(self.objects.len());
            let victims: Vec<ObjectId> = victims.take(16).collect();
            if !victims
                .into_iter()
                .any(|object| self.evict_from(object, rng))
            {
                return false;
            }
        }
        true
    }

    /// Evicts a random entry of the object that is not this node's own.
    fn evict_from(&mut self, object: ObjectId, rng: &mut impl Rng) -> bool {
        let Some(o) = self.objects.get(&object) else {
            return false;
        };
        let foreign = || o.pointers.iter().filter(|(_, p)| !p.own).map(|(id, _)| *id);
        let count = foreign().count();
        if count == 0 {
            return false;
        }
        let victim = foreign()
            .nth(rng.random_range(0..count))
            .expect("below the count");
        self.remove(&(object, victim));
        self.evicted += 1;
        true
    }

    fn remove(&mut self, key: &(ObjectId, Id)) {
        let Some(object) = self.objects.get_mut(&key.0) else {
            return;
        };
        if let Some(pointer) = object.pointers.remove(&key.1) {
            self.bytes -= cost(&pointer);
            self.expiry.remove(&(pointer.expires, key.0, key.1));
            self.changed.remove(key);
        }
        if object.pointers.is_empty() {
            self.objects.remove(&key.0);
        }
    }

    /// Forgets what nobody refreshed (paper 3.1, soft state).
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(_, object, publisher)) = self.expiry.first().filter(|(t, ..)| *t <= now) {
            self.remove(&(object, publisher));
        }
    }

    /// When the next entry ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.first().map(|(t, ..)| *t)
    }

    // -- what the parents have not heard yet --

    /// Whether there is no entry at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether the parent has not been told of this entry.
    pub(crate) fn is_changed(&self, key: &(ObjectId, Id)) -> bool {
        self.changed.contains(key)
    }

    /// Whether some entry has not been passed on.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The entries that have not been passed on.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (ObjectId, Id)> + '_ {
        self.changed.iter().copied()
    }

    /// All entries in order, beginning behind `after`.
    pub(crate) fn after(&self, after: (ObjectId, Id)) -> impl Iterator<Item = (ObjectId, Id)> + '_ {
        self.objects
            .range(after.0..)
            .flat_map(|(object, o)| o.pointers.keys().map(|publisher| (*object, *publisher)))
            .filter(move |key| *key > after)
    }

    /// What is held of this publisher's entry, withdrawn or not.
    pub(crate) fn held(&self, key: &(ObjectId, Id)) -> Option<&Entry> {
        Some(&self.objects.get(&key.0)?.pointers.get(&key.1)?.entry)
    }

    /// The entry as it is passed on: with the time that it has left. `None` once that is too short to tell.
    pub(crate) fn passed_on(&self, key: &(ObjectId, Id), now: Instant) -> Option<Entry> {
        let pointer = self.objects.get(&key.0)?.pointers.get(&key.1)?;
        let left = pointer.expires - now;
        if pointer.withdrawn {
            return Some(pointer.entry.clone());
        }
        (left >= LEAST_PASSED_ON).then(|| Entry {
            lifetime: left,
            ..pointer.entry.clone()
        })
    }

    /// Notes that the parent was told of the entry (or that there is nobody to tell).
    pub(crate) fn told(&mut self, key: &(ObjectId, Id)) {
        self.changed.remove(key);
    }

    /// Notes that telling the parent failed.
    pub(crate) fn untold(&mut self, key: (ObjectId, Id)) {
        if self
            .objects
            .get(&key.0)
            .is_some_and(|o| o.pointers.contains_key(&key.1))
        {
            self.changed.insert(key);
        }
    }

    /// The parent that was last noted; `None` at the root.
    pub(crate) fn parent(&self, object: &ObjectId) -> Option<Id> {
        self.objects.get(object)?.parent
    }

    /// Notes the object's parent; a new parent has heard of nothing yet.
    pub(crate) fn set_parent(&mut self, object: &ObjectId, parent: Option<Id>) {
        let Some(o) = self.objects.get_mut(object).filter(|o| o.parent != parent) else {
            return;
        };
        o.parent = parent;
        if parent.is_some() {
            self.changed
                .extend(o.pointers.keys().map(|publisher| (*object, *publisher)));
        }
    }
}

/// The whole-object set after `entry`: itself if it covers the object, else merged into what is held.
fn whole(held: Option<&Entry>, entry: &Entry) -> ChunkSet {
    if entry.held.start() == 0 && entry.held.len() == entry.chunks {
        return entry.held.clone();
    }
    let mut whole = match held {
        Some(old) if old.chunks == entry.chunks && old.held.len() == entry.chunks => {
            old.held.clone()
        }
        _ => ChunkSet::empty(entry.chunks),
    };
    whole.overwrite(&entry.held);
    whole
}

fn cost(pointer: &Pointer) -> usize {
    ENTRY_BYTES + pointer.entry.held.heap_bytes()
}
