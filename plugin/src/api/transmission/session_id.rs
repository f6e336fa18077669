//! The header that keeps pages of other sites out: they cannot send it without being asked first, and cannot read its value.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue};
use rand::RngExt;
use rand::distr::Alphanumeric;
use subtle::{Choice, ConstantTimeEq};

/// Its name.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-transmission-session-id");

/// Its length.
const LENGTH: usize = 48; // Transmission's
/// For how long an id is given out. It is valid for as long again.
const PERIOD: Duration = Duration::from_secs(3600); // Transmission's

/// The ids that are valid.
#[derive(Default)]
pub(super) struct SessionIds(Mutex<Option<Pair>>);

struct Pair {
    current: String,
    previous: Option<String>,
    since: Instant,
}

impl SessionIds {
    /// The id that is given out.
    pub(super) fn current(&self, now: Instant) -> String {
        self.with(now, |pair| pair.current.clone())
    }

    /// Whether a request with this header may pass.
    pub(super) fn is_valid(&self, given: Option<&HeaderValue>, now: Instant) -> bool {
        let Some(given) = given else { return false };
        self.with(now, |pair| {
            let is = |id: &String| id.as_bytes().ct_eq(given.as_bytes());
            let previous = pair.previous.as_ref().map_or(Choice::from(0), is);
            (is(&pair.current) | previous).into()
        })
    }

    fn with<T>(&self, now: Instant, read: impl FnOnce(&Pair) -> T) -> T {
        let mut pair = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = pair.as_ref().map(|pair| now.duration_since(pair.since));
        if age.is_none_or(|age| age >= PERIOD) {
            let last = pair.take().filter(|_| age.is_some_and(|a| a < 2 * PERIOD));
            *pair = Some(Pair {
                current: random(),
                previous: last.map(|last| last.current),
                since: now,
            });
        }
        read(pair.as_ref().expect("it was made above"))
    }
}

fn random() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric);
    letters.take(LENGTH).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_given_out_for_an_hour_and_valid_for_two() {
        let ids = SessionIds::default();
        let begin = Instant::now();
        let at = |hours: f64| begin + PERIOD.mul_f64(hours);
        let valid = |id: &str, hours| {
            let value = HeaderValue::from_str(id).expect("letters and digits");
            ids.is_valid(Some(&value), at(hours))
        };
        assert!(!ids.is_valid(None, begin));
        let first = ids.current(at(0.0));
        assert_eq!(first.len(), LENGTH);
        assert_eq!(ids.current(at(0.9)), first);
        assert!(valid(&first, 0.9));
        assert!(!valid("", 0.9) && !valid(&first[1..], 0.9));
        let second = ids.current(at(1.1));
        assert_ne!(second, first);
        assert!(valid(&first, 1.9) && valid(&second, 1.9));
        assert!(!valid(&first, 2.2) && valid(&second, 2.2));
        // nobody asked for long
        assert!(!valid(&second, 9.0));
    }
}
