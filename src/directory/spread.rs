//! Who has not heard of which entry yet: for each object the nodes that its entries go to, for each changed entry those
//! that still wait for it.
//!
//! The cache knows that an entry is news for somebody; this knows for whom.

use std::collections::BTreeMap;

use super::cache::Cache;
use super::links::{Links, Mask};
use crate::id::{Id, ObjectId};

type Key = (ObjectId, Id);

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Spread {
    objects: BTreeMap<ObjectId, Links>,
    /// Who waits for a changed entry; an entry that is not in here is news for all.
    waiting: BTreeMap<Key, Mask>,
    /// What the cache had forgotten when that was last forgotten here.
    forgotten: u64,
}

impl Spread {
    /// Whether it was ever looked up where the entries of the object go.
    pub(crate) fn is_found(&self, object: &ObjectId) -> bool {
        self.objects.get(object).is_some_and(|l| l.found)
    }

    /// Entries of the object go to these nodes from now on; a new one has heard of nothing.
    pub(crate) fn set(&mut self, cache: &mut Cache, object: &ObjectId, to: &[Id]) {
        let new = self.objects.entry(*object).or_default().set(to);
        if new != 0 {
            let keys: Vec<Key> = cache.publishers(object).map(|p| (*object, p)).collect();
            for key in keys {
                self.add(cache, key, new);
            }
        }
    }

    /// Whether entries of the object go to this node.
    pub(crate) fn goes_to(&self, object: &ObjectId, to: &Id) -> bool {
        let links = self.objects.get(object);
        links.is_some_and(|l| l.bit(to) & l.mask(false) != 0)
    }

    /// The entry has changed: everybody is to hear of it.
    pub(crate) fn changed(&mut self, key: &Key) {
        self.waiting.remove(key);
    }

    /// Who waits for a changed entry.
    pub(crate) fn waiting(&self, cache: &Cache, key: &Key) -> Vec<Id> {
        let links = self.objects.get(&key.0);
        let mask = self.mask(cache, key);
        links.map_or_else(Vec::new, |l| l.ids(mask).collect())
    }

    fn mask(&self, cache: &Cache, key: &Key) -> Mask {
        let withdrawn = cache.sequence(key).is_some_and(|(_, withdrawn)| withdrawn);
        let all = self.objects.get(&key.0).map_or(0, |l| l.mask(withdrawn));
        self.waiting.get(key).map_or(all, |mask| mask & all)
    }

    /// This node knows the entry as it is now.
    pub(crate) fn told(&mut self, cache: &mut Cache, key: &Key, to: &Id) {
        if !cache.is_changed(key) {
            return;
        }
        let bit = self.objects.get(&key.0).map_or(0, |l| l.bit(to));
        let rest = self.mask(cache, key) & !bit;
        if rest == 0 {
            self.waiting.remove(key);
            cache.told(key);
        } else {
            self.waiting.insert(*key, rest);
        }
    }

    /// This node is to hear of the entry after all.
    pub(crate) fn untold(&mut self, cache: &mut Cache, key: Key, to: &Id) {
        let bit = self.objects.get(&key.0).map_or(0, |l| l.bit(to));
        if bit != 0 {
            self.add(cache, key, bit);
        }
    }

    fn add(&mut self, cache: &mut Cache, key: Key, bits: Mask) {
        match cache.is_changed(&key) {
            // news for all already, or for some
            true => {
                if let Some(mask) = self.waiting.get_mut(&key) {
                    *mask |= bits;
                }
            }
            false => {
                cache.untold(key);
                if cache.is_changed(&key) {
                    self.waiting.insert(key, bits);
                }
            }
        }
    }

    /// Forgets what the cache has forgotten.
    pub(crate) fn tidy(&mut self, cache: &Cache) {
        self.waiting.retain(|key, _| cache.is_changed(key));
        let forgotten = cache.forgotten();
        if std::mem::replace(&mut self.forgotten, forgotten) != forgotten {
            self.objects.retain(|object, _| cache.has_object(object));
        }
    }
}
