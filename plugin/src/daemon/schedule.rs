//! When the other rates hold.

use super::clock::Moment;
use super::settings::Schedule;
use crate::limits::Rates;

/// The schedule and what the clock said last: a hand's switch holds until the clock says something else.
#[derive(Debug, Default)]
pub(super) struct Switch {
    inside: bool,
}

impl Switch {
    /// The schedule was set: what the clock says holds at once, unless a hand has just switched.
    pub(super) fn begin(&mut self, schedule: &mut Schedule, now: &Moment, by_hand: bool) {
        self.inside = schedule.by_clock && inside(schedule, now);
        if schedule.by_clock && !by_hand {
            schedule.on = self.inside;
        }
    }

    /// Whether the clock has just switched.
    pub(super) fn tick(&mut self, schedule: &mut Schedule, now: &Moment) -> bool {
        if !schedule.by_clock {
            return false;
        }
        let inside = inside(schedule, now);
        if inside == std::mem::replace(&mut self.inside, inside) || schedule.on == inside {
            return false;
        }
        schedule.on = inside;
        true
    }
}

/// The rates that hold.
pub(super) fn rates(usual: Rates, schedule: &Schedule) -> Rates {
    if schedule.on { schedule.rates } else { usual }
}

/// Whether the clock says that the other rates hold. They begin on the days that are named, and end on the next one where the end
/// lies before the beginning; a time that ends when it begins is none.
fn inside(schedule: &Schedule, now: &Moment) -> bool {
    let begins = |weekday: u8| schedule.days >> (weekday % 7) & 1 == 1;
    let (from, to) = (schedule.from, schedule.to);
    if from <= to {
        return begins(now.weekday) && (from..to).contains(&now.minute);
    }
    let yesterday = now.weekday + 6;
    (begins(now.weekday) && now.minute >= from) || (begins(yesterday) && now.minute < to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(weekday: u8, hour: u16, minute: u16) -> Moment {
        Moment {
            elapsed: Duration::ZERO,
            unix: 0,
            weekday,
            minute: hour * 60 + minute,
        }
    }

    fn nights() -> Schedule {
        Schedule {
            by_clock: true,
            from: 22 * 60,
            to: 6 * 60,
            days: 1 << 5, // Friday
            ..Schedule::default()
        }
    }

    #[test]
    fn a_night_that_begins_on_friday_ends_on_saturday() {
        let schedule = nights();
        for (weekday, hour, minute, expected) in [
            (5, 21, 59, false),
            (5, 22, 0, true),
            (6, 0, 0, true),
            (6, 5, 59, true),
            (6, 6, 0, false),
            (6, 23, 0, false),
            (5, 3, 0, false),
        ] {
            assert_eq!(inside(&schedule, &at(weekday, hour, minute)), expected);
        }
        let sunday = Schedule {
            days: 1,
            ..nights()
        };
        assert!(inside(&sunday, &at(1, 1, 0)) && inside(&sunday, &at(0, 23, 0)));
        let saturday = Schedule {
            days: 1 << 6,
            ..nights()
        };
        assert!(inside(&saturday, &at(0, 1, 0)) && !inside(&saturday, &at(0, 23, 0)));
    }

    #[test]
    fn a_day_ends_on_the_same_day() {
        let office = Schedule {
            from: 9 * 60,
            to: 17 * 60,
            days: 0b011_1110,
            ..nights()
        };
        assert!(inside(&office, &at(1, 9, 0)) && inside(&office, &at(5, 16, 59)));
        assert!(!inside(&office, &at(1, 17, 0)) && !inside(&office, &at(0, 12, 0)));
        let none = Schedule {
            to: 9 * 60,
            ..office
        };
        assert!(!inside(&none, &at(1, 9, 0)));
    }

    #[test]
    fn a_hand_wins_until_the_clock_switches_next() {
        let (mut schedule, mut switch) = (nights(), Switch::default());
        switch.begin(&mut schedule, &at(5, 23, 0), false);
        assert!(schedule.on);
        schedule.on = false; // by hand
        switch.begin(&mut schedule, &at(5, 23, 1), true);
        assert!(!switch.tick(&mut schedule, &at(5, 23, 30)) && !schedule.on);
        assert!(!switch.tick(&mut schedule, &at(6, 7, 0)) && !schedule.on);
        schedule.days = 0x7f;
        assert!(switch.tick(&mut schedule, &at(6, 22, 0)) && schedule.on);
        assert!(switch.tick(&mut schedule, &at(0, 6, 0)) && !schedule.on);
        schedule.by_clock = false;
        assert!(!switch.tick(&mut schedule, &at(0, 23, 0)));
    }
}
