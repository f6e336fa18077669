//! Numbers of bytes and rates as people write them: `16KiB`, `1MB`, `2.5 MiB/s`, `20Mbit/s`.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Digits behind the point that are read.
const MAX_DECIMALS: usize = 9;

/// What is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number with a unit.
    #[error(
        "`{0}` is no number of bytes; write bytes, or a number with KiB, MiB, GiB, TiB or kB, MB, GB, TB, such as 64MiB"
    )]
    Syntax(String),
    /// A small b is for bits.
    #[error(
        "`{text}` may mean bits or bytes; write {number}{prefix}B for bytes or {number}{prefix}bit for bits"
    )]
    Ambiguous {
        /// What was written.
        text: String,
        /// Its number.
        number: String,
        /// Its k, M, G or T.
        prefix: char,
    },
    /// Nothing, or more than there is.
    #[error("`{text}` is out of range; write at least {least} and at most {most}")]
    Range {
        /// What was written.
        text: String,
        /// The smallest that is taken.
        least: &'static str,
        /// The largest that is taken.
        most: &'static str,
    },
}

/// Reads a number of bytes, at least 1: `1048576`, `64MiB`, `64M`, `1.5 GiB`, `2TB`, `8Mbit`. K, M, G and T alone count
/// in 1024s, as KiB does; kB, MB, GB and TB in 1000s; bits too, eight of them a byte. A part of a byte is left out.
///
/// # Errors
/// [`UnitError`]: one line that says what is taken.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let syntax = || UnitError::Syntax(text.to_owned());
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..end], trimmed[end..].trim());
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || decimals.len() > MAX_DECIMALS {
        return Err(syntax());
    }
    let (count, bits) = unit_of(unit).ok_or_else(|| match ambiguous(unit) {
        Some(prefix) => UnitError::Ambiguous {
            text: text.to_owned(),
            number: number.to_owned(),
            prefix,
        },
        None => syntax(),
    })?;
    let range = || UnitError::Range {
        text: text.to_owned(),
        least: "1",
        most: "9000000 TB",
    };
    // digits that do not fit are as much as the most that does
    let whole: u128 = whole.parse().unwrap_or(u128::from(u64::MAX));
    let scale = 10_u128.pow(u32::try_from(decimals.len()).map_err(|_| syntax())?);
    let decimals: u128 = match decimals {
        "" => 0,
        digits => digits.parse().map_err(|_| syntax())?,
    };
    let bytes = whole
        .checked_mul(scale)
        .and_then(|w| w.checked_add(decimals))
        .and_then(|n| n.checked_mul(u128::from(count)))
        .map(|n| n / scale / if bits { 8 } else { 1 });
    match bytes.and_then(|b| u64::try_from(b).ok()) {
        Some(bytes) if (1..=9_000_000 * 1_000_000_000_000).contains(&bytes) => Ok(bytes),
        _ => Err(range()),
    }
}

/// How many bytes, or bits (`true`), a unit is.
fn unit_of(unit: &str) -> Option<(u64, bool)> {
    let power = |prefix: &str| {
        Some(match prefix {
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return None,
        })
    };
    let lower = unit.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "b" | "byte" | "bytes") {
        return Some((1, false));
    }
    if let Some(prefix) = lower.strip_suffix("bit") {
        return power(prefix).map(|p| (1000_u64.pow(p), true));
    }
    if let Some(prefix) = lower.strip_suffix("ib") {
        return power(prefix).map(|p| (1024_u64.pow(p), false));
    }
    if let Some(prefix) = unit.strip_suffix('B') {
        return power(&prefix.to_ascii_lowercase()).map(|p| (1000_u64.pow(p), false));
    }
    power(&lower).map(|p| (1024_u64.pow(p), false))
}

/// The prefix of a unit like `Mb`.
fn ambiguous(unit: &str) -> Option<char> {
    match unit.strip_suffix('b')? {
        "k" | "K" => Some('k'),
        "m" | "M" => Some('M'),
        "g" | "G" => Some('G'),
        "t" | "T" => Some('T'),
        _ => None,
    }
}

/// Bytes a second, [`Rate::MIN`]..=[`Rate::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// The lowest rate: below that a block takes longer than its request lives.
    pub const MIN: Rate = Rate(NonZeroU64::new(1 << 10).expect("not zero"));
    /// The highest rate: more than any machine moves.
    pub const MAX: Rate = Rate(NonZeroU64::new(1_000_000_000_000).expect("not zero"));

    /// So many bytes a second, brought into the range.
    pub fn new(bytes: u64) -> Self {
        NonZeroU64::new(bytes).map_or(Self::MIN, |b| Self(b).clamp(Self::MIN, Self::MAX))
    }

    /// Bytes a second.
    pub const fn bytes(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    /// As [`parse_bytes`], with `/s` or `ps` behind it or without.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let trimmed = text.trim();
        let number = ["/s", "/S", "ps"]
            .into_iter()
            .find_map(|suffix| trimmed.strip_suffix(suffix))
            .unwrap_or(trimmed);
        let bytes = parse_bytes(number).map_err(|e| match e {
            UnitError::Range { .. } => out_of_range(text),
            UnitError::Syntax(_) => UnitError::Syntax(text.to_owned()),
            other => other,
        })?;
        let rate = Self::new(bytes);
        if rate.bytes() == bytes {
            Ok(rate)
        } else {
            Err(out_of_range(text))
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

fn out_of_range(text: &str) -> UnitError {
    UnitError::Range {
        text: text.to_owned(),
        least: "1KiB/s (leave the option out for no limit)",
        most: "1TB/s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_in_the_usual_units() {
        for (text, bytes) in [
            ("7", 7),
            ("16KiB", 16 << 10),
            ("16 kib", 16 << 10),
            ("64M", 64 << 20),
            ("1MB", 1_000_000),
            ("1.5 GiB", 3 << 29),
            ("2.5MiB", 5 << 19),
            ("0.5kB", 500),
            ("8Mbit", 1_000_000),
            (" 3 TB ", 3_000_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "0",
            "MiB",
            "1.",
            ".5M",
            "1.2.3M",
            "12parsec",
            "-1",
            "1e3",
            "99999999999T",
            "0.1",
            "340282366920938463463374607431768211456T",
            "1.0000000000M",
            "1Kbib",
        ] {
            let error = parse_bytes(bad).expect_err(bad).to_string();
            assert!(error.contains(bad) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_small_b_is_asked_about() {
        let error = parse_bytes("20Mb").expect_err("bits or bytes").to_string();
        assert!(
            error.contains("20MB") && error.contains("20Mbit"),
            "{error}"
        );
        assert_eq!(parse_bytes("20Mbit"), Ok(2_500_000));
    }

    #[test]
    fn rates_may_say_a_second() {
        let rate = |text: &str| text.parse::<Rate>().map(Rate::bytes);
        assert_eq!(rate("16KiB"), Ok(16 << 10));
        assert_eq!(rate("2.5 MiB/s"), Ok(5 << 19));
        assert_eq!(rate("1MB/s"), Ok(1_000_000));
        assert!(rate("100Mbps").is_err(), "bits or bytes");
        assert_eq!(rate("100 Mbit/s"), Ok(12_500_000));
        for bad in ["0", "1000", "2TB/s", "99999999999999999999999999T"] {
            let error = rate(bad).expect_err(bad).to_string();
            assert!(error.contains("1KiB/s") && error.contains(bad), "{error}");
        }
        assert!(
            rate("fast")
                .expect_err("no number")
                .to_string()
                .contains("fast")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "[0-9.]{0,12} ?[a-zA-Z/é]{0,5}") {
            match text.parse::<Rate>() {
                Ok(rate) => prop_assert!(rate >= Rate::MIN && rate <= Rate::MAX),
                Err(e) => prop_assert_eq!(e.to_string().lines().count(), 1),
            }
        }

        #[test]
        fn decimals_are_exact(whole in 0u64..9_000, decimals in 0u64..1_000) {
            let text = format!("{whole}.{decimals:03}GB");
            let bytes = whole * 1_000_000_000 + decimals * 1_000_000;
            prop_assert_eq!(parse_bytes(&text).ok(), (bytes > 0).then_some(bytes));
        }
    }
}
