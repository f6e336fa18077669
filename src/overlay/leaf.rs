//! The leaf set: the nearest known nodes on either side of this one on the ring.

use crate::id::{Distance, Id};

/// Up to `side` neighbours each way. In a ring of up to `2 * side` others one node can be on both sides.
#[derive(Debug)]
pub(crate) struct LeafSet {
    me: Id,
    side: usize,
    /// Counter-clockwise neighbours, nearest first.
    left: Vec<Id>,
    /// Clockwise neighbours, nearest first.
    right: Vec<Id>,
    /// Whether the leaf set goes all around the ring: a side has room, or some node is on both.
    around: bool,
}

/// What an insertion did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// The node is in the leaf set now and was not before.
    pub(crate) taken: bool,
    /// Nodes that were pushed off one side (they may still be on the other).
    pub(crate) evicted: [Option<Id>; 2],
}

impl LeafSet {
    pub(crate) fn new(me: Id, side: usize) -> Self {
        Self {
            me,
            side,
            left: Vec::new(),
            right: Vec::new(),
            around: true,
        }
    }

    /// What the leaf set of `other` would be if nobody else were there, this node included.
    pub(crate) fn seen_by(&self, other: &Id) -> Vec<Id> {
        let mut theirs = Self::new(*other, self.side);
        for id in self.ids().into_iter().chain([self.me]) {
            theirs.insert(id);
        }
        theirs.ids()
    }

    /// Counter-clockwise neighbours first, nearest first, each node once.
    pub(crate) fn ids(&self) -> Vec<Id> {
        let both = self.right.iter().filter(|id| !self.left.contains(id));
        self.left.iter().chain(both).copied().collect()
    }

    /// The same in any order, those on both sides twice.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Id> {
        self.left.iter().chain(&self.right)
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.left.contains(id) || self.right.contains(id)
    }

    /// Whether it is among the two nearest of a side.
    pub(crate) fn is_close(&self, id: &Id) -> bool {
        self.left
            .iter()
            .take(2)
            .chain(self.right.iter().take(2))
            .any(|x| x == id)
    }

    /// Whether [`LeafSet::insert`] would keep it.
    pub(crate) fn would_take(&self, id: &Id) -> bool {
        let fits = |list: &[Id], distance: fn(&Id, &Id) -> Distance| {
            list.len() < self.side
                || list
                    .last()
                    .is_some_and(|far| distance(&self.me, id) < distance(&self.me, far))
        };
        *id != self.me && !self.contains(id) && (fits(&self.left, ccw) || fits(&self.right, cw))
    }

    /// Takes the node if it is among the nearest of a side.
    pub(crate) fn insert(&mut self, id: Id) -> Inserted {
        if id == self.me
            || self.contains(&id) && self.left.contains(&id) == self.right.contains(&id)
        {
            return Inserted {
                taken: false,
                evicted: [None, None],
            };
        }
        let before = self.contains(&id);
        let (me, side) = (self.me, self.side);
        let evicted = [
            place(&mut self.left, me, side, id, ccw),
            place(&mut self.right, me, side, id, cw),
        ];
        self.look_around();
        Inserted {
            taken: !before && self.contains(&id),
            evicted,
        }
    }

    /// The sides have changed. (Asked for every datagram, so it is not found out then.)
    fn look_around(&mut self) {
        self.around = self.left.len() < self.side
            || self.right.len() < self.side
            || self.left.iter().any(|id| self.right.contains(id));
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, id: &Id) -> bool {
        let before = self.left.len() + self.right.len();
        self.left.retain(|x| x != id);
        self.right.retain(|x| x != id);
        self.look_around();
        before != self.left.len() + self.right.len()
    }

    /// Whether the nearest node to `key` is in the leaf set (or this node): the key lies between the outermost leaves,
    /// or the leaf set goes all around a small ring.
    pub(crate) fn covers(&self, key: &Id) -> bool {
        let (Some(far_left), Some(far_right)) = (self.left.last(), self.right.last()) else {
            return true;
        };
        self.around || cw(far_left, key) <= cw(far_left, far_right)
    }
}

/// Inserts `id` in order of distance; returns what no longer fits, unless that is `id` itself.
fn place(
    list: &mut Vec<Id>,
    me: Id,
    side: usize,
    id: Id,
    distance: fn(&Id, &Id) -> Distance,
) -> Option<Id> {
    if list.contains(&id) {
        return None;
    }
    let at = list.partition_point(|x| distance(&me, x) < distance(&me, &id));
    list.insert(at, id);
    (list.len() > side)
        .then(|| list.pop())
        .flatten()
        .filter(|out| *out != id)
}

fn cw(from: &Id, to: &Id) -> Distance {
    from.clockwise(to)
}

fn ccw(from: &Id, to: &Id) -> Distance {
    to.clockwise(from)
}
