//! What goes to which parent (paper 3.1): the byte budget of each, and the round robin over what it has heard before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{Id, ObjectId};
use crate::time::Instant;
use crate::wire::Token;

/// Budgets save at most this much time.
const BURST: Duration = Duration::from_secs(3); // the longest active period: its messages may go out together

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
    fill_cursor: (ObjectId, Id),
    filled_up: Option<Instant>,
    /// The token in use, and since when.
    token: Option<(Token, Instant)>,
}

impl Parents {
    /// Whether `parent` was not reminded of what it was told for this long.
    pub(crate) fn is_fill_due(&self, parent: &Id, silence: Duration, now: Instant) -> bool {
        let filled = self.parents.get(parent).and_then(|p| p.filled_up);
        filled.is_none_or(|filled| now - filled >= silence)
    }

    /// Whether the token of `parent` has been in use for this long.
    pub(crate) fn is_token_old(
        &mut self,
        parent: &Id,
        token: Token,
        age: Duration,
        now: Instant,
    ) -> bool {
        let Some(p) = self.parents.get_mut(parent) else {
            return false;
        };
        match p.token {
            Some((known, since)) if known == token => now - since >= age,
            _ => {
                p.token = Some((token, now));
                false
            }
        }
    }

    /// Bytes that may be sent to `parent` now, at `rate` bytes/s.
    pub(crate) fn budget(&mut self, parent: Id, rate: u64, now: Instant) -> u64 {
        let most = rate * BURST.as_secs();
        let p = self.parents.entry(parent).or_insert(Parent {
            bytes: most,
            filled: now,
            cursor: Default::default(),
            fill_cursor: Default::default(),
            filled_up: None,
            token: None,
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
    pub(crate) fn spend(&mut self, parent: &Id, bytes: u64) {
        if let Some(p) = self.parents.get_mut(parent) {
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

    /// Where the round robin over what was told before stands.
    pub(crate) fn fill_cursor(&self, parent: &Id) -> (ObjectId, Id) {
        self.parents
            .get(parent)
            .map_or_else(Default::default, |p| p.fill_cursor)
    }

    /// The parent was reminded of an entry.
    pub(crate) fn filled(&mut self, parent: &Id, cursor: (ObjectId, Id), now: Instant) {
        if let Some(p) = self.parents.get_mut(parent) {
            p.fill_cursor = cursor;
            p.filled_up = Some(now);
        }
    }

    /// There is nothing that the parent could be reminded of.
    pub(crate) fn nothing_to_fill(&mut self, parent: &Id, rate: u64, now: Instant) {
        self.budget(*parent, rate, now); // the record begins with the first of either
        if let Some(p) = self.parents.get_mut(parent) {
            p.filled_up = Some(now);
        }
    }

    /// Forgets parents that are no longer known.
    pub(crate) fn retain(&mut self, known: impl Fn(&Id) -> bool) {
        self.parents.retain(|id, _| known(id));
    }
}
