//! Transmission's numbers.

use std::time::Duration;

use serde_json::Value;

use crate::limits::Rate;

/// Bytes of a kB, in rates and sizes alike.
pub(super) const KILO: u64 = 1000; // Transmission's `speed-bytes`

/// A rate as kB a second.
pub(super) fn kilobytes(bytes: u64) -> u64 {
    bytes / KILO
}

/// The rate that kB a second stand for. There is none below [`Rate::MIN`]: 0 is that.
pub(super) fn rate(kilobytes: u64) -> Rate {
    Rate::new(kilobytes.saturating_mul(KILO))
}

/// Whole minutes.
pub(super) fn minutes(time: Duration) -> u64 {
    time.as_secs() / 60
}

/// So many minutes. There is no limit of no time: 0 is a second, which is what it comes to and is shown as 0 again.
pub(super) fn from_minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60).max(1))
}

/// A double with four digits behind the point, the rest cut off: what is not done is not shown as done. Without a fraction
/// it is written as an integer.
pub(super) fn double(number: f64) -> Value {
    let cut = (number * 10_000.0).trunc() / 10_000.0;
    if cut.fract() == 0.0 && cut.abs() < 1e15 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "it is an integer that fits"
        )]
        let integer = cut as i64;
        return integer.into();
    }
    cut.into()
}

/// A part of a whole, 0 to 1; of nothing it is 0.
pub(super) fn part(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown")]
    let ratio = part as f64 / whole as f64;
    ratio.min(1.0)
}

/// Bytes sent for each byte received. -1: neither; -2: sent without having received any.
pub(super) fn ratio(uploaded: u64, downloaded: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown")]
    match (uploaded, downloaded) {
        (0, 0) => -1.0,
        (_, 0) => -2.0,
        (up, down) => up as f64 / down as f64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn doubles_are_written_as_transmission_writes_them() {
        assert_eq!(double(2.0).to_string(), "2");
        assert_eq!(double(-1.0).to_string(), "-1");
        assert_eq!(double(1.0 / 49.0), json!(0.0204));
        assert_eq!(double(0.999_999), json!(0.9999), "not done");
        assert_eq!(double(f64::INFINITY), Value::Null);
    }

    #[test]
    fn rates_come_back_as_they_were_set_down_to_the_lowest() {
        for kb in [1, 2, 500, 4_294_966] {
            assert_eq!(kilobytes(rate(kb).bytes()), kb);
        }
        assert_eq!(rate(0), Rate::MIN);
        assert_eq!(rate(u64::MAX), Rate::MAX);
    }

    #[test]
    fn minutes_come_back_as_they_were_set_and_none_is_no_time_that_the_configuration_lacks() {
        for n in [0, 1, 30, 1_000_000] {
            assert_eq!(minutes(from_minutes(n)), n);
        }
        assert!(from_minutes(0) >= Duration::from_secs(1));
        assert!(
            from_minutes(u64::MAX) > crate::daemon::LONGEST,
            "it is refused"
        );
    }

    #[test]
    fn ratios_of_nothing_are_negative() {
        assert!((ratio(0, 0) + 1.0).abs() < f64::EPSILON);
        assert!((ratio(5, 0) + 2.0).abs() < f64::EPSILON);
        assert!((ratio(3, 2) - 1.5).abs() < f64::EPSILON);
        assert!((part(0, 0)).abs() < f64::EPSILON);
        assert!((part(9, 3) - 1.0).abs() < f64::EPSILON);
    }
}
