//! The location pointer cache (paper 3.1): soft state, bounded for each object and as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::chunks::ChunkSet;
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::{Entry, PeerAddrs, Summary};

use super::pointers::{POINTER_BYTES, Pointer, Pointers, View, place};

/// How long the tombstone of a withdrawn entry refuses older copies of it, beyond the time that the entry had left: each
/// hop rounds that up to whole seconds.
const TOMBSTONE: Duration = Duration::from_secs(60); // guess: longer than copies are under way
/// An entry with less left is not passed on: whole seconds would make it a withdrawal.
const LEAST_PASSED_ON: Duration = Duration::from_secs(2);

/// Whom a full list of entries loses for a newcomer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// Anyone but this node's own (paper 3.1).
    #[default]
    Random,
    /// The peer whose index node is farthest from here. Measured to make islands: everyone near a node knows the same
    /// few peers and nobody beyond them, and a download takes 608 s instead of 237 s.
    Farthest,
}

/// Bounds of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) entries_per_object: usize,
    pub(crate) objects: usize,
    pub(crate) bytes: usize,
    pub(crate) chunks: u32,
    pub(crate) lifetime: Duration,
    pub(crate) eviction: Eviction,
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
    /// Withdrawn: whoever has a copy is to hear of it soon.
    Withdrawn,
    /// Older than what is held.
    Old,
    /// Without an address, beyond the bound on chunks, or a window outside its object.
    Malformed,
    /// No room, as all the entries that could make some are this node's own.
    Full,
}

#[derive(Debug, Default)]
struct Object {
    pointers: Pointers,
    /// No entry ends before: where [`Cache::expiry`] has the object.
    next_end: Option<Instant>,
    /// Entries that the parent has not been told of.
    changed: usize,
}

/// Entries by object and publisher.
#[derive(Debug)]
pub(crate) struct Cache {
    limits: Limits,
    objects: BTreeMap<ObjectId, Object>,
    /// Objects with entries that the parent has not been told of.
    changed: BTreeSet<ObjectId>,
    /// When to look for ended entries of an object.
    expiry: BTreeSet<(Instant, ObjectId)>,
    bytes: usize,
    evicted: u64,
    forgotten: u64,
    /// Where this node is, for [`Eviction::Farthest`].
    here: Coord,
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
            forgotten: 0,
            here: Coord::default(),
        }
    }

    /// This node is here now.
    pub(crate) fn moved_to(&mut self, here: Coord) {
        self.here = here;
    }

    /// Entries that were evicted to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Objects of which the last entry has gone so far.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Objects and their numbers of live entries.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (ObjectId, usize)> + '_ {
        self.objects
            .iter()
            .map(|(id, o)| (*id, o.pointers.iter().filter(|p| !p.is_withdrawn()).count()))
    }

    /// Entries of an object, tombstones included.
    pub(crate) fn len_of(&self, object: &ObjectId) -> usize {
        self.objects.get(object).map_or(0, |o| o.pointers.len())
    }

    /// Objects that have entries (or tombstones).
    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.objects.keys().copied()
    }

    /// The entries of an object where they lie, ended and withdrawn ones among them.
    pub(super) fn pointers(&self, object: &ObjectId) -> Option<&Pointers> {
        self.objects.get(object).map(|o| &o.pointers)
    }

    /// The live entries of an object.
    pub(crate) fn entries(&self, object: &ObjectId, now: Instant) -> impl Iterator<Item = Entry> {
        let pointers = self.pointers(object).into_iter().flat_map(Pointers::iter);
        let live = pointers.filter(move |p| p.is_live(now));
        live.map(|p| p.unpack(*object).entry)
    }

    /// Sequence of an entry, and whether it is withdrawn.
    pub(crate) fn sequence(&self, key: &(ObjectId, Id)) -> Option<(u64, bool)> {
        self.view(key).map(|p| (p.sequence(), p.is_withdrawn()))
    }

    /// Addresses of an object's entries by publisher, tombstones left out.
    pub(crate) fn addrs(&self, object: &ObjectId) -> impl Iterator<Item = (Id, PeerAddrs)> + '_ {
        let pointers = self.pointers(object).into_iter().flat_map(Pointers::iter);
        pointers
            .filter(|p| !p.is_withdrawn())
            .map(|p| (p.publisher(), p.addrs()))
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
        if let Some(pointer) = self.pointer(&key) {
            if entry.sequence < pointer.entry.sequence {
                return Stored::Old;
            }
            if pointer.withdrawn && entry.sequence == pointer.entry.sequence {
                return Stored::Old;
            }
            return self.update(pointer, entry, own, expires);
        }
        let first = self
            .objects
            .get(&key.0)
            .is_none_or(|o| o.pointers.is_empty());
        if !self.make_room(&entry, rng) {
            return Stored::Full;
        }
        let held = whole(None, &entry);
        self.put(&Pointer {
            entry: Entry { held, ..entry },
            expires,
            withdrawn: false,
            own,
            changed: true,
            from_above: false,
        });
        if first {
            Stored::First
        } else {
            Stored::Changed
        }
    }

    fn view(&self, key: &(ObjectId, Id)) -> Option<View<'_>> {
        self.objects.get(&key.0)?.pointers.get(&key.1)
    }

    fn pointer(&self, key: &(ObjectId, Id)) -> Option<Pointer> {
        self.view(key).map(|p| p.unpack(key.0))
    }

    /// Adds a pointer or replaces the one of its publisher.
    fn put(&mut self, pointer: &Pointer) {
        let (id, publisher) = (pointer.entry.object, pointer.entry.publisher);
        let object = self.objects.entry(id).or_default();
        let before = object.pointers.get(&publisher);
        self.bytes -= before.map_or(0, |p| p.cost());
        let (was, is) = (before.is_some_and(|p| p.is_changed()), pointer.changed);
        object.pointers.put(pointer);
        self.bytes += object.pointers.get(&publisher).map_or(0, |p| p.cost());
        object.changed = object.changed + usize::from(is) - usize::from(was);
        if object.changed > 0 {
            self.changed.insert(id);
        } else {
            self.changed.remove(&id);
        }
        let end = pointer.expires;
        if object.next_end.is_none_or(|next| end < next) {
            if let Some(next) = object.next_end.replace(end) {
                self.expiry.remove(&(next, id));
            }
            self.expiry.insert((end, id));
        }
    }

    fn update(&mut self, old: Pointer, entry: Entry, own: bool, expires: Instant) -> Stored {
        let newer = entry.sequence > old.entry.sequence;
        let held = whole(Some(&old.entry), &entry);
        let said = |e: &Entry| (e.addrs, e.load, e.reachable, e.chunks);
        let first_chunks = old.entry.held.is_none() && !held.is_none() && !old.withdrawn;
        let told = held != old.entry.held || said(&entry) != said(&old.entry);
        let summary = summary(&old.entry, &entry);
        self.put(&Pointer {
            entry: Entry {
                held,
                summary,
                ..entry
            },
            expires: if newer {
                expires
            } else {
                expires.max(old.expires)
            },
            withdrawn: false,
            own: own || old.own,
            // A new sequence without news is a refresh: the parent needs it as well to keep the entry alive.
            changed: old.changed || newer || told,
            from_above: old.from_above && !newer,
        });
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
        let Some(pointer) = self.view(&key) else {
            return self.withdraw_unknown(entry, now);
        };
        if pointer.is_withdrawn() || entry.sequence < pointer.sequence() {
            return Stored::Old;
        }
        // No copy elsewhere lives longer than this one would have.
        let expires = pointer.expires().max(now) + TOMBSTONE;
        self.put(&tombstone(entry, expires));
        Stored::Withdrawn
    }

    /// The withdrawal has overtaken its entry, or this node has forgotten it and others have not. Nothing is evicted for
    /// it: a tombstone serves nobody.
    fn withdraw_unknown(&mut self, entry: Entry, now: Instant) -> Stored {
        let known = self.objects.get(&entry.object).map(|o| o.pointers.len());
        let room = match known {
            Some(entries) => entries < self.limits.entries_per_object,
            None => self.objects.len() < self.limits.objects,
        };
        if !room || self.bytes + POINTER_BYTES > self.limits.bytes {
            return Stored::Full;
        }
        let expires = now + self.limits.lifetime + TOMBSTONE;
        self.put(&tombstone(entry, expires));
        Stored::Withdrawn
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
        let need = POINTER_BYTES + (entry.chunks as usize).div_ceil(8);
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

    /// Evicts an entry of the object that is not this node's own: a tombstone that everybody has heard of, else as the
    /// configuration says.
    fn evict_from(&mut self, object: ObjectId, rng: &mut impl Rng) -> bool {
        let Some(o) = self.objects.get(&object) else {
            return false;
        };
        let spent = |p: &View<'_>| p.is_withdrawn() && !p.is_changed();
        let mut foreign: Vec<View<'_>> = o.pointers.iter().filter(spent).collect();
        if foreign.is_empty() {
            foreign = o.pointers.iter().filter(|p| !p.is_own()).collect();
        }
        if foreign.is_empty() {
            return false;
        }
        let victim = match self.limits.eviction {
            Eviction::Random => foreign.get(rng.random_range(0..foreign.len())),
            Eviction::Farthest => {
                let here = place(&self.here);
                let farther = |a: &&View<'_>, b: &&View<'_>| {
                    let far = |p: &View<'_>| p.distance(&here);
                    far(a)
                        .total_cmp(&far(b))
                        .then(a.publisher().cmp(&b.publisher()))
                };
                foreign.iter().max_by(farther)
            }
        };
        let victim = victim.expect("one of at least one").publisher();
        self.remove(&(object, victim));
        self.evicted += 1;
        true
    }

    /// Evicts this entry, whatever it is.
    pub(crate) fn evict(&mut self, key: &(ObjectId, Id)) {
        self.evicted += u64::from(self.view(key).is_some());
        self.remove(key);
    }

    fn remove(&mut self, key: &(ObjectId, Id)) {
        let Some(object) = self.objects.get_mut(&key.0) else {
            return;
        };
        if let Some(pointer) = object.pointers.get(&key.1) {
            self.bytes -= pointer.cost();
            object.changed -= usize::from(pointer.is_changed());
            object.pointers.forget(&key.1);
        }
        if object.changed == 0 {
            self.changed.remove(&key.0);
        }
        if object.pointers.is_empty() {
            if let Some(end) = object.next_end {
                self.expiry.remove(&(end, key.0));
            }
            self.objects.remove(&key.0);
            self.forgotten += 1;
        }
    }

    /// Forgets what nobody refreshed (paper 3.1, soft state).
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.expiry.first().filter(|(t, _)| *t <= now) {
            self.expiry.remove(&(at, id));
            let Some(object) = self.objects.get_mut(&id) else {
                continue;
            };
            object.next_end = None;
            let ended = object.pointers.iter().filter(|p| p.expires() <= now);
            for publisher in ended.map(|p| p.publisher()).collect::<Vec<_>>() {
                self.remove(&(id, publisher));
            }
            // What is left was refreshed, or is younger.
            if let Some(object) = self.objects.get_mut(&id) {
                object.next_end = object.pointers.iter().map(|p| p.expires()).min();
                self.expiry.extend(object.next_end.map(|end| (end, id)));
            }
        }
    }

    /// When to call [`Cache::expire`]: no entry ends before, the next one perhaps later.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.first().map(|(t, ..)| *t)
    }

    /// Notes whether others can dial the entry, if it still names `addr`; whether that is news.
    pub(crate) fn set_reachable(
        &mut self,
        key: &(ObjectId, Id),
        addr: SocketAddr,
        reachable: bool,
    ) -> bool {
        let Some(mut pointer) = self.pointer(key) else {
            return false;
        };
        let entry = &mut pointer.entry;
        if !entry.addrs.contains(addr) || pointer.withdrawn || entry.reachable == reachable {
            return false;
        }
        entry.reachable = reachable;
        pointer.changed = true;
        self.put(&pointer);
        true
    }

    // -- what the parents have not heard yet --

    /// Whether there is no entry at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether the parent has not been told of this entry.
    pub(crate) fn is_changed(&self, key: &(ObjectId, Id)) -> bool {
        self.view(key).is_some_and(|p| p.is_changed())
    }

    /// Whether some entry has not been passed on.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The entries that have not been passed on.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (ObjectId, Id)> + '_ {
        self.changed.iter().flat_map(|id| {
            let pointers = self.objects.get(id).into_iter();
            let changed = pointers.flat_map(|o| o.pointers.iter().filter(|p| p.is_changed()));
            changed.map(|p| (*id, p.publisher()))
        })
    }

    /// All entries in order, beginning behind `after`.
    pub(crate) fn after(&self, after: (ObjectId, Id)) -> impl Iterator<Item = (ObjectId, Id)> + '_ {
        let (object, publisher) = after;
        let rest = self.pointers(&object).into_iter();
        let rest = rest.flat_map(move |p| p.above(publisher).map(move |p| (object, p.publisher())));
        let behind = (Bound::Excluded(object), Bound::Unbounded);
        let others = self.objects.range(behind);
        rest.chain(others.flat_map(|(id, o)| o.pointers.iter().map(|p| (*id, p.publisher()))))
    }

    /// What is held of this publisher's entry, withdrawn or not. Its lifetime says only whether it is withdrawn.
    pub(crate) fn held(&self, key: &(ObjectId, Id)) -> Option<Entry> {
        self.pointer(key).map(|p| p.entry)
    }

    /// The entry as it is passed on: with the time that it has left. `None` once that is too short to tell.
    pub(crate) fn passed_on(&self, key: &(ObjectId, Id), now: Instant) -> Option<Entry> {
        let pointer = self.view(key)?;
        let left = pointer.expires() - now;
        if pointer.is_withdrawn() {
            return Some(pointer.unpack(key.0).entry);
        }
        (left >= LEAST_PASSED_ON).then(|| Entry {
            lifetime: left,
            ..pointer.unpack(key.0).entry
        })
    }

    /// Notes that the parent was told of the entry (or that there is nobody to tell).
    pub(crate) fn told(&mut self, key: &(ObjectId, Id)) {
        self.set_changed(key, false);
    }

    /// Notes that telling the parent failed.
    pub(crate) fn untold(&mut self, key: (ObjectId, Id)) {
        self.set_changed(&key, true);
    }

    fn set_changed(&mut self, key: &(ObjectId, Id), changed: bool) {
        let Some(object) = self.objects.get_mut(&key.0) else {
            return;
        };
        if !object.pointers.set_changed(&key.1, changed) {
            return;
        }
        if changed {
            object.changed += 1;
            self.changed.insert(key.0);
        } else {
            object.changed -= 1;
            if object.changed == 0 {
                self.changed.remove(&key.0);
            }
        }
    }

    /// Publishers of the entries of an object.
    pub(crate) fn publishers(&self, object: &ObjectId) -> impl Iterator<Item = Id> + '_ {
        let pointers = self.pointers(object).into_iter().flat_map(Pointers::iter);
        pointers.map(|p| p.publisher())
    }

    /// Whether there are entries of the object.
    pub(crate) fn has_object(&self, object: &ObjectId) -> bool {
        self.objects.contains_key(object)
    }

    /// Notes that the entry as it is came from a node that entries of the object go to.
    pub(crate) fn came_from_above(&mut self, key: &(ObjectId, Id)) {
        if let Some(object) = self.objects.get_mut(&key.0) {
            object.pointers.set_from_above(&key.1);
        }
    }

    /// Whether it came from there.
    pub(crate) fn is_from_above(&self, key: &(ObjectId, Id)) -> bool {
        self.view(key).is_some_and(|p| p.is_from_above())
    }

    /// Notes that no window is missing any more: a summary has nothing to add.
    pub(crate) fn complete(&mut self, key: &(ObjectId, Id)) {
        if let Some(mut pointer) = self.pointer(key) {
            pointer.entry.summary = None;
            self.put(&pointer);
        }
    }
}

/// A withdrawn entry: nothing of what it held.
fn tombstone(entry: Entry, expires: Instant) -> Pointer {
    Pointer {
        entry: Entry {
            held: ChunkSet::default(),
            delta_of: None,
            summary: None,
            ..entry
        },
        expires,
        withdrawn: true,
        own: false,
        changed: true,
        from_above: false,
    }
}

/// What is known of the rest of a large object after `entry`: its own summary, else an older one if it is a window; nothing
/// when it says everything itself.
fn summary(old: &Entry, entry: &Entry) -> Option<Box<Summary>> {
    let window = entry.held.len() < entry.chunks;
    let older = || old.summary.clone().filter(|s| s.chunks() == entry.chunks);
    let known = entry.summary.clone().or_else(older);
    known.filter(|_| window)
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
