//! The prefix routing table: row = digits shared with this node, column = the next digit, nearest contacts first.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::Id;

/// Slots of `width` contacts each; only slots that have a contact take memory.
#[derive(Debug)]
pub(crate) struct RoutingTable {
    me: Id,
    width: usize,
    slots: BTreeMap<(usize, u8), Vec<Id>>,
}

/// What an insertion did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// The node is in its slot now and was not before.
    pub(crate) taken: bool,
    /// The farthest contact of a full slot.
    pub(crate) evicted: Option<Id>,
}

impl RoutingTable {
    pub(crate) fn new(me: Id, width: usize) -> Self {
        Self {
            me,
            width,
            slots: BTreeMap::new(),
        }
    }

    /// Contacts that a slot holds.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The slot where `id` belongs; `None` for this node's own id.
    fn place(&self, id: &Id) -> Option<(usize, u8)> {
        let row = self.me.common_prefix(id);
        (row < Id::DIGITS).then(|| (row, id.digit(row)))
    }

    /// The contacts in the slot of `id` (or of a key), nearest first.
    pub(crate) fn slot(&self, id: &Id) -> &[Id] {
        self.place(id)
            .and_then(|at| self.slots.get(&at))
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.slot(id).contains(id)
    }

    /// Slots of a row that have contacts.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = &[Id]> {
        self.slots
            .range((row, 0)..=(row, u8::MAX))
            .map(|(_, slot)| slot.as_slice())
    }

    /// Rows that have contacts, ascending.
    pub(crate) fn rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = self.slots.keys().map(|(row, _)| *row).collect();
        rows.dedup();
        rows
    }

    /// Slots that have contacts, by row and column.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, u8, &[Id])> {
        self.slots
            .iter()
            .map(|((row, column), ids)| (*row, *column, ids.as_slice()))
    }

    /// Every contact, by row and column.
    pub(crate) fn all(&self) -> impl Iterator<Item = Id> + '_ {
        self.slots.values().flatten().copied()
    }

    /// Takes the node if its slot has room or it is nearer than the slot's farthest.
    pub(crate) fn insert(
        &mut self,
        id: Id,
        proximity: impl Fn(&Id) -> Option<Duration>,
    ) -> Inserted {
        let Some(at) = self.place(&id).filter(|_| !self.contains(&id)) else {
            return Inserted {
                taken: false,
                evicted: None,
            };
        };
        let slot = self.slots.entry(at).or_default();
        slot.push(id);
        order(slot, proximity);
        let evicted = (slot.len() > self.width).then(|| slot.pop()).flatten();
        match evicted {
            Some(out) if out == id => Inserted {
                taken: false,
                evicted: None,
            },
            evicted => Inserted {
                taken: true,
                evicted,
            },
        }
    }

    /// Orders the slot of `id` again after its distance was measured; whether another contact comes first now.
    pub(crate) fn sort(&mut self, id: &Id, proximity: impl Fn(&Id) -> Option<Duration>) -> bool {
        let Some(slot) = self.place(id).and_then(|at| self.slots.get_mut(&at)) else {
            return false;
        };
        // the other contacts are in order
        if !slot.contains(id) {
            return false;
        }
        let first = slot.first().copied();
        order(slot, proximity);
        slot.first().copied() != first
    }

    pub(crate) fn remove(&mut self, id: &Id) {
        if let Some(at) = self.place(id)
            && let Some(slot) = self.slots.get_mut(&at)
        {
            slot.retain(|x| x != id);
            if slot.is_empty() {
                self.slots.remove(&at);
            }
        }
    }
}

/// Nearest first; unmeasured last; ties by id.
fn order(slot: &mut [Id], proximity: impl Fn(&Id) -> Option<Duration>) {
    let rank = |id: &Id| (proximity(id).unwrap_or(Duration::MAX), *id);
    if !slot.is_sorted_by_key(rank) {
        slot.sort_by_key(rank);
    }
}
