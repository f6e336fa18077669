//! Telling neighbours what we fetch and how loaded we are.
//!
//! What near ones fetch is not fetched from far, and for that it must be known at once: they are told of every change,
//! at most every `tell_near`. The others only weigh whom to ask by it: they are told every `tell_far` at most.
//! Without an area rule nobody is told.

use super::Client;
use super::api::Action;
use super::config::AreaRule;
use crate::time::Instant;

/// What was told last, and when more may be told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    changes: u64,
    load: u8,
    next: Instant,
}

/// Of the others, and of the near neighbours.
#[derive(Debug, Default)]
pub(super) struct Telling([Told; 2]);

impl Client {
    /// When the near, or the other, neighbours are to be told; `None`: there is nothing new.
    fn tell_due(&self, near: bool) -> Option<Instant> {
        if !self.known || self.stopped || self.config.area == AreaRule::Off {
            return None;
        }
        let told = self.telling.0[usize::from(near)];
        let new =
            told.changes != self.picker.changes() || (!near && told.load != self.current_load());
        new.then_some(told.next)
    }

    pub(super) fn telling_due(&self) -> Option<Instant> {
        [self.tell_due(true), self.tell_due(false)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Tells whom it is time to tell. Who has everything need not know.
    pub(super) fn tell(&mut self) {
        for (near, pause) in [(true, self.config.tell_near), (false, self.config.tell_far)] {
            if self.tell_due(near).is_none_or(|t| t > self.clock) {
                continue;
            }
            let table = &self.table;
            let peers = table
                .map
                .iter()
                .filter(|(_, n)| table.is_near(n) == near && !n.wants_nothing())
                .map(|(id, _)| Action::Tell { peer: *id });
            self.actions.extend(peers);
            self.telling.0[usize::from(near)] = Told {
                changes: self.picker.changes(),
                load: self.current_load(),
                next: self.clock + pause,
            };
        }
    }
}
