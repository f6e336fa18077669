//! The time as the daemon knows it. A test sets it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike, Local, Timelike, Utc};

/// Where the daemon reads the time. Clones read the same.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { since: tokio::time::Instant },
    Set(Arc<Mutex<Duration>>),
}

/// One moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the clock was made; never goes back.
    pub elapsed: Duration,
    /// Seconds since 1970.
    pub unix: u64,
    /// Local day of the week, 0 is Sunday.
    pub weekday: u8,
    /// Minutes after local midnight.
    pub minute: u16,
}

impl Default for Clock {
    /// The system's.
    fn default() -> Self {
        Self(Source::System {
            since: tokio::time::Instant::now(),
        })
    }
}

impl Clock {
    /// A clock that stands still at `unix` seconds since 1970 until it is moved; its local time is UTC.
    pub fn set_to(unix: u64) -> Self {
        Self(Source::Set(Arc::new(Mutex::new(Duration::from_secs(unix)))))
    }

    /// Moves a clock of [`Clock::set_to`] on; the system's takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Source::Set(at) = &self.0 {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System { since } => {
                let now = Local::now();
                moment(since.elapsed(), now.timestamp(), &now)
            }
            Source::Set(at) => {
                let at = *at.lock().unwrap_or_else(PoisonError::into_inner);
                let unix = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
                let now = DateTime::<Utc>::from_timestamp(unix, 0).unwrap_or_default();
                moment(at, unix, &now)
            }
        }
    }
}

fn moment(elapsed: Duration, unix: i64, local: &(impl Datelike + Timelike)) -> Moment {
    Moment {
        elapsed,
        unix: u64::try_from(unix).unwrap_or(0),
        weekday: u8::try_from(local.weekday().num_days_from_sunday()).unwrap_or(0),
        minute: u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_moves_when_it_is_moved() {
        let clock = Clock::set_to(1_700_000_000); // Tuesday, 14 November 2023, 22:13:20
        let before = clock.now();
        assert_eq!((before.weekday, before.minute), (2, 22 * 60 + 13));
        clock.advance(Duration::from_secs(2 * 3600));
        let after = clock.clone().now();
        assert_eq!((after.weekday, after.minute), (3, 13));
        assert_eq!(after.unix - before.unix, 7200);
        assert_eq!(after.elapsed - before.elapsed, Duration::from_secs(7200));
    }
}
