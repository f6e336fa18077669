//! The node's own alarms; deadlines of requests and entries live with those.

use std::collections::BTreeMap;

use super::Node;
use crate::time::Instant;

/// What an alarm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    LeafPing,
    TablePing,
    LeafExchange,
    NearTune,
    FarTune,
    Rejoin,
    Bootstrap,
    Propagate,
    Republish,
    Left,
    Alone,
    Reach,
    Attach,
    Home,
    Dials,
}

/// At most one alarm of each kind.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.at.insert(timer, at);
    }

    /// Sets the alarm unless it rings before `at` anyway.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let current = self.at.entry(timer).or_insert(at);
        *current = at.min(*current);
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at.remove(&timer);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.at.values().copied().min()
    }

    /// Takes the earliest alarm that rings.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        let (&timer, &at) = self.at.iter().min_by_key(|(timer, at)| (**at, **timer))?;
        (at <= now).then(|| {
            self.at.remove(&timer);
            timer
        })
    }
}

impl Node {
    pub(super) fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::LeafPing
            | Timer::TablePing
            | Timer::LeafExchange
            | Timer::NearTune
            | Timer::FarTune => self.maintain(timer),
            Timer::Rejoin => self.rejoin(),
            Timer::Bootstrap => self.seek(),
            Timer::Propagate if self.is_client() => {}
            Timer::Propagate => self.propagate(),
            Timer::Republish => self.republish(),
            Timer::Left => self.left(),
            Timer::Alone => self.on_alone(),
            Timer::Reach => self.on_reach_due(),
            Timer::Attach => self.explore(),
            Timer::Home => self.watch_home(),
            Timer::Dials => self.on_dials_due(),
        }
    }
}
