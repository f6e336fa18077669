//! Wall time: an input like any other, since what is signed or sealed elsewhere carries a time.
//!
//! Between two readings the node's own clock carries it on. When they disagree the machine has slept or its clock was
//! set: what others believe of this node is then as old as it looks to them, so it joins and publishes anew.

use std::time::Duration;

use super::{Event, Node};
use crate::id::Id;
use crate::time::Instant;

/// Shortest time between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(3_600);
/// Stamps in a row that disagree with the own clock before the own clock is doubted. One liar among honest nodes never
/// gets there.
const DISAGREED: u32 = 8; // guess: a leaf set's worth of answers

/// The wall clock as last read.
#[derive(Debug)]
pub(super) struct Wall {
    wall: Duration,
    at: Instant,
    disagreed: u32,
    warned: Option<Instant>,
}

impl Wall {
    pub(super) fn new(wall: Option<Duration>, now: Instant) -> Self {
        Self {
            wall: wall.unwrap_or(Duration::from_micros(now.as_micros())),
            at: now,
            disagreed: 0,
            warned: None,
        }
    }

    fn at(&self, now: Instant) -> Duration {
        self.wall + (now - self.at)
    }

    /// Somebody's stamp is near the own clock.
    pub(super) fn agreed(&mut self) {
        self.disagreed = 0;
    }
}

impl Node {
    /// The wall clock says `wall` since 1970, at `now`. To be told at every wake-up; cheap when nothing is wrong.
    pub fn handle_wall(&mut self, wall: Duration, now: Instant) {
        self.now = now;
        let expected = self.guard.wall.at(now);
        self.guard.wall.wall = wall;
        self.guard.wall.at = now;
        if expected.abs_diff(wall) > self.config.guard.clock_step {
            self.clock_stepped(wall.saturating_sub(expected));
        }
    }

    /// Time since 1970.
    pub(super) fn wall(&self) -> Duration {
        self.guard.wall.at(self.now)
    }

    /// The machine slept for `missed`, or its clock was set (back: zero).
    fn clock_stepped(&mut self, missed: Duration) {
        if let Some(seal) = &mut self.guard.seal {
            let mut session = [0; 8];
            rand::Rng::fill_bytes(&mut self.rng, &mut session);
            seal.restart(session);
        }
        self.guard.wall.agreed();
        // What has ended meanwhile is not to be told as news.
        self.cache.expire(self.now + missed);
        for id in self.known() {
            self.ping(&id);
        }
        self.bootstrap(Vec::new());
        self.publish_all();
        self.hasten(self.config.directory.first_hold);
    }

    fn known(&self) -> Vec<Id> {
        self.overlay.peers().map(|p| p.contact.id).collect()
    }

    /// A stamp that is certainly another node's is too far from the own clock.
    pub(super) fn clock_disagrees(&mut self) {
        let (now, wall) = (self.now, &mut self.guard.wall);
        wall.disagreed = wall.disagreed.saturating_add(1);
        let quiet = wall.warned.is_none_or(|at| now - at >= WARN_EVERY);
        if wall.disagreed >= DISAGREED && quiet {
            wall.warned = Some(now);
            self.event(Event::ClockOff);
        }
    }
}
