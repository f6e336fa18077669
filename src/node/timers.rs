//! The node's own alarms; deadlines of requests and entries live with those.

use super::Node;
use crate::time::Instant;

/// What an alarm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// All kinds; of several that ring at the same time the first one here rings first.
const TIMERS: [Timer; KINDS] = [
    Timer::LeafPing,
    Timer::TablePing,
    Timer::LeafExchange,
    Timer::NearTune,
    Timer::FarTune,
    Timer::Rejoin,
    Timer::Bootstrap,
    Timer::Propagate,
    Timer::Republish,
    Timer::Left,
    Timer::Alone,
    Timer::Reach,
    Timer::Attach,
    Timer::Home,
    Timer::Dials,
];

/// At most one alarm of each kind.
#[derive(Debug)]
pub(super) struct Timers {
    /// By kind; [`NEVER`] where none is set.
    at: [Instant; KINDS],
}

const KINDS: usize = Timer::Dials as usize + 1;
const NEVER: Instant = Instant::from_micros(u64::MAX);

impl Default for Timers {
    fn default() -> Self {
        Self { at: [NEVER; KINDS] }
    }
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.at[timer as usize] = at;
    }

    /// Sets the alarm unless it rings before `at` anyway.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let current = &mut self.at[timer as usize];
        *current = at.min(*current);
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize] < NEVER
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = NEVER;
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.at.iter().copied().min().filter(|at| *at < NEVER)
    }

    /// Takes the earliest alarm that rings.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next().filter(|at| *at <= now)?;
        let timer = *TIMERS.iter().find(|t| self.at[**t as usize] == next)?;
        self.clear(timer);
        Some(timer)
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
            Timer::Bootstrap => self.seek_on(),
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
