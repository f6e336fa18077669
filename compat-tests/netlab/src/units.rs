//! Rates, sizes and times as they are written on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bits in a second, at least 8000 (a packet of 1500 bytes would take more than a second and a half at less).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rate(u64);

impl Rate {
    /// Bits in a second.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// How long `bytes` take.
    pub(crate) fn time(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many bytes pass in `time`.
    pub(crate) fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0) * time.as_nanos() / 8_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Reads `20mbit`, `100Mbit/s`, `1gbit`, `512kbit` or `64000` (bits): decimal units, as `tc` has them.
    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let plain = lower.strip_suffix("/s").unwrap_or(&lower);
        let units = [
            ("gbit", 1_000_000_000),
            ("mbit", 1_000_000),
            ("kbit", 1000),
            ("bit", 1),
            ("", 1),
        ];
        scaled(plain, &units)
            .filter(|bits| (8000..=100_000_000_000).contains(bits))
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a rate; write one from 8kbit to 100gbit, such as 20mbit")
            })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % 1_000_000_000 == 0 => write!(f, "{}gbit", n / 1_000_000_000),
            n if n % 1_000_000 == 0 => write!(f, "{}mbit", n / 1_000_000),
            n if n % 1000 == 0 => write!(f, "{}kbit", n / 1000),
            n => write!(f, "{n}bit"),
        }
    }
}

/// Reads `64MiB`, `256KiB`, `1GiB` or bytes; from 1 byte to 1 TiB.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let units = [
        ("gib", 1 << 30),
        ("mib", 1 << 20),
        ("kib", 1 << 10),
        ("b", 1),
        ("", 1),
    ];
    scaled(&text.to_ascii_lowercase(), &units)
        .filter(|n| (1..=1 << 40).contains(n))
        .ok_or_else(|| format!("`{text}` is not a size; write one up to 1024GiB, such as 64MiB"))
}

/// Reads `150ms`, `1s` or `500us`; up to an hour, zero included.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("us", 1), ("ms", 1000), ("s", 1_000_000)];
    scaled(&text.to_ascii_lowercase(), &units)
        .filter(|us| *us <= 3_600_000_000)
        .map(Duration::from_micros)
        .ok_or_else(|| format!("`{text}` is not a time; write one up to 3600s, such as 60ms"))
}

/// A whole number with one of `units`; a unit that ends others comes after them.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_decimal_and_sizes_binary() {
        let bits = |text: &str| text.parse::<Rate>().map(Rate::bits);
        assert_eq!(bits("20mbit"), Ok(20_000_000));
        assert_eq!(bits("100Mbit/s"), Ok(100_000_000));
        assert_eq!(bits("1gbit"), Ok(1_000_000_000));
        assert_eq!(bits("64000"), Ok(64_000));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(size("7b"), Ok(7));
        assert_eq!(duration("60ms"), Ok(Duration::from_millis(60)));
        assert_eq!(duration("0ms"), Ok(Duration::ZERO));
        assert_eq!(duration("500us"), Ok(Duration::from_micros(500)));
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        for bad in [
            "",
            "mbit",
            "1.5mbit",
            "7kbit",
            "-1mbit",
            "20mb",
            "999999999999gbit",
        ] {
            let error = bad.parse::<Rate>().expect_err(bad);
            assert!(error.contains("20mbit"), "{error}");
        }
        for bad in ["", "0", "KiB", "64MB", "99999999999GiB", "+1"] {
            assert!(size(bad).expect_err(bad).contains("64MiB"));
        }
        for bad in ["", "60", "ms", "1h", "-1s", "3601s"] {
            assert!(duration(bad).expect_err(bad).contains("60ms"));
        }
    }

    #[test]
    fn the_bound_of_64_mib_at_20_mbit_is_27_seconds() {
        let rate: Rate = "20mbit".parse().expect("a rate");
        assert_eq!(rate.time(64 << 20).as_millis(), 26_843);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bits in 8000u64..100_000_000_000) {
            let rate = Rate(bits);
            prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
        }

        #[test]
        fn bytes_and_time_agree(bits in 8000u64..10_000_000_000, bytes in 0u64..1 << 34) {
            let rate = Rate(bits);
            let back = rate.bytes_in(rate.time(bytes));
            prop_assert!(back <= bytes && bytes - back <= 1 + bits / 8_000_000_000, "{} {}", back, bytes);
        }
    }
}
