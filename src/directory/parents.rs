//! What goes to which parent (paper 3.1): the byte budget of each, and the round robin over what it has heard before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{Id, ObjectId};
use crate::time::Instant;

/// Budgets save at most this much time.
const BURST: Duration = Duration::from_secs(2); // the active period: a period's messages may go out together

/// Sending state for each parent.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    parents: BTreeMap<Id, Parent>,
}

#[derive(Debug)]
struct Parent {
    bytes: u64,
    filled: Instant,
    cursor: (ObjectId, Id),
    sent: Option<Instant>,
}

impl Parents {
    /// Whether nothing was sent to `parent` for this long.
    pub(crate) fn silent_for(&self, parent: &Id, silence: Duration, now: Instant) -> bool {
        let sent = self.parents.get(parent).and_then(|p| p.sent);
        sent.is_none_or(|sent| now - sent >= silence)
    }

    /// Bytes that may be sent to `parent` now, at `rate` bytes/s.
    pub(crate) fn budget(&mut self, parent: Id, rate: u64, now: Instant) -> u64 {
        let most = rate * BURST.as_secs();
        let p = self.parents.entry(parent).or_insert(Parent {
            bytes: most,
            filled: now,
            cursor: Default::default(),
            sent: None,
        });
        let elapsed = u64::try_from((now - p.filled).as_micros()).unwrap_or(u64::MAX);
        let gained = rate.saturating_mul(elapsed) / 1_000_000;
        if gained > 0 {
            p.bytes = p.bytes.saturating_add(gained).min(most);
            p.filled = now;
        }
        p.bytes
    }

    /// Takes what was sent from the budget.
    pub(crate) fn spend(&mut self, parent: &Id, bytes: u64, now: Instant) {
        if let Some(p) = self.parents.get_mut(parent) {
            p.sent = Some(now);
            p.bytes = p.bytes.saturating_sub(bytes);
        }
    }

    /// Where the round robin over the entries stands.
    pub(crate) fn cursor(&self, parent: &Id) -> (ObjectId, Id) {
        self.parents
            .get(parent)
            .map_or_else(Default::default, |p| p.cursor)
    }

    /// Moves the round robin on.
    pub(crate) fn set_cursor(&mut self, parent: &Id, cursor: (ObjectId, Id)) {
        if let Some(p) = self.parents.get_mut(parent) {
            p.cursor = cursor;
        }
    }

    /// Forgets parents that are no longer known.
    pub(crate) fn retain(&mut self, known: impl Fn(&Id) -> bool) {
        self.parents.retain(|id, _| known(id));
    }
}
