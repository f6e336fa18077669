//! How the value of a key is written, and read: from TOML, or from the text of a flag or an environment variable.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::{ApiListen, LogFormat};
use crate::daemon::rules::HIGHEST_RATIO;
use crate::daemon::settings::LONGEST;
use crate::limits::{Rate, parse_bytes};
use crate::session::Transports;
use crate::wire::encryption::Encryption;

/// A value as somebody wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// Text of TOML.
    Text(String),
    /// The text of a flag or a variable, which is whatever the key wants.
    Loose(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// Something that no key takes, by name.
    Other(&'static str),
}

impl Raw {
    pub(super) fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(n) => Self::Integer(n),
                Err(_) => Self::Other("a number of that size"),
            },
            DeValue::Float(n) => match n.as_str().parse() {
                Ok(n) => Self::Float(n),
                Err(_) => Self::Other("such a number"),
            },
            DeValue::Boolean(b) => Self::Bool(*b),
            DeValue::Datetime(_) => Self::Other("a date or time without quotation marks"),
            DeValue::Array(all) => Self::List(all.iter().map(|v| Self::of(v.get_ref())).collect()),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// Text, or a whole number as text.
    fn word(&self) -> Option<String> {
        match self {
            Self::Text(t) | Self::Loose(t) => Some(t.trim().to_owned()),
            Self::Integer(n) => Some(n.to_string()),
            _ => None,
        }
    }

    /// Text alone.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(t) | Self::Loose(t) => Some(t.trim()),
            _ => None,
        }
    }

    fn list(&self) -> Option<Vec<Raw>> {
        match self {
            Self::List(all) => Some(all.clone()),
            Self::Loose(t) => {
                let parts = t.split(',').map(str::trim).filter(|p| !p.is_empty());
                Some(parts.map(|p| Self::Loose(p.to_owned())).collect())
            }
            _ => None,
        }
    }

    /// What it is, for a line that says what it should be.
    fn kind(&self) -> String {
        match self {
            Self::Text(t) | Self::Loose(t) => format!("`{t}`"),
            Self::Integer(n) => format!("`{n}`"),
            Self::Float(n) => format!("`{n}`"),
            Self::Bool(b) => format!("`{b}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// A kind of value.
pub(super) trait Value: Sized {
    /// Reads it, or says what is taken instead.
    fn read(raw: &Raw) -> Result<Self, String>;
    /// As TOML; [`Self::read`] gives the same value.
    fn show(&self) -> String;
}

/// Reads a time: `90`, `30min`, `1h 30min`, `7d`.
///
/// # Errors
/// A line that says what is taken.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    Value::read(&Raw::Loose(text.to_owned()))
}

/// Reads a ratio: a number from 0 on.
///
/// # Errors
/// A line that says what is taken.
pub fn parse_ratio(text: &str) -> Result<f64, String> {
    Value::read(&Raw::Loose(text.to_owned()))
}

fn wanted<T>(what: &str, raw: &Raw) -> Result<T, String> {
    Err(format!("write {what}, not {}", raw.kind()))
}

/// Text as TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Value for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Bool(b) => Ok(*b),
            Raw::Loose(t) if matches!(t.trim(), "true" | "yes" | "on" | "1") => Ok(true),
            Raw::Loose(t) if matches!(t.trim(), "false" | "no" | "off" | "0") => Ok(false),
            _ => wanted("true or false", raw),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! count {
    ($type:ty) => {
        impl Value for $type {
            fn read(raw: &Raw) -> Result<Self, String> {
                let n = match raw {
                    Raw::Integer(n) => <$type>::try_from(*n).ok(),
                    Raw::Loose(t) => t.trim().parse().ok(),
                    _ => None,
                };
                n.map_or_else(|| wanted("a whole number", raw), Ok)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}

count!(u32);
count!(usize);

/// An optional value of which a word says that there is none.
macro_rules! optional {
    ($type:ty, $none:literal) => {
        impl Value for Option<$type> {
            fn read(raw: &Raw) -> Result<Self, String> {
                match raw.text() {
                    Some($none) => Ok(None),
                    _ => <$type as Value>::read(raw)
                        .map(Some)
                        .map_err(|e| format!("{e}; or \"{}\"", $none)),
                }
            }

            fn show(&self) -> String {
                self.as_ref().map_or_else(|| quoted($none), Value::show)
            }
        }
    };
}

optional!(Rate, "unlimited");
optional!(u32, "unlimited");
optional!(f64, "unlimited");
optional!(Duration, "never");
optional!(PathBuf, "none");
optional!(String, "none");
optional!(SocketAddr, "auto");

impl Value for Rate {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.word() {
            Some(text) => text.parse().map_err(|e| match e {
                crate::limits::UnitError::Syntax(text) => {
                    format!("`{text}` is no rate; write one such as \"2MiB/s\" or \"20Mbit/s\"")
                }
                e @ crate::limits::UnitError::Ambiguous { .. } => e.to_string(),
                crate::limits::UnitError::Range { text, .. } => {
                    format!("`{text}` is out of range; write \"1KiB/s\" to \"1TB/s\"")
                }
            }),
            None => wanted("a rate such as \"2MiB/s\" or \"20Mbit/s\"", raw),
        }
    }

    fn show(&self) -> String {
        let units = [
            (1 << 30, "GiB"),
            (1_000_000_000, "GB"),
            (1 << 20, "MiB"),
            (1_000_000, "MB"),
            (1 << 10, "KiB"),
            (1_000, "kB"),
        ];
        let bytes = self.bytes();
        let unit = units
            .into_iter()
            .find(|(unit, _)| bytes.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or((1, "B"));
        format!("\"{}{name}/s\"", bytes / unit)
    }
}

impl Value for f64 {
    fn read(raw: &Raw) -> Result<Self, String> {
        let n = match raw {
            Raw::Float(n) => Some(*n),
            Raw::Integer(n) => i32::try_from(*n).ok().map(f64::from),
            Raw::Loose(t) => t.trim().parse().ok(),
            _ => None,
        };
        match n.filter(|n| (0.0..=HIGHEST_RATIO).contains(n)) {
            Some(n) => Ok(n),
            None => wanted("a number from 0 to 1000000 such as 2.0", raw),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}") // always with a point or an exponent, which TOML wants
    }
}

/// Units of a time, the longest first.
const TIMES: [(&str, &[&str], u64); 5] = [
    ("weeks", &["w", "week", "weeks"], 7 * 24 * 3600),
    ("d", &["d", "day", "days"], 24 * 3600),
    ("h", &["h", "hour", "hours"], 3600),
    ("min", &["min", "m", "minute", "minutes"], 60),
    ("s", &["s", "sec", "second", "seconds", ""], 1),
];

impl Value for Duration {
    fn read(raw: &Raw) -> Result<Self, String> {
        let seconds = raw.word().and_then(|text| seconds(&text));
        let time = seconds.map(Duration::from_secs);
        match time.filter(|time| !time.is_zero() && *time <= LONGEST) {
            Some(time) => Ok(time),
            None => wanted("a time such as \"30min\", \"1h 30min\" or \"7d\"", raw),
        }
    }

    fn show(&self) -> String {
        let seconds = self.as_secs();
        let unit = TIMES[1..]
            .iter()
            .find(|(_, _, unit)| seconds.is_multiple_of(*unit));
        let (name, unit) = unit.map_or(("s", 1), |(name, _, unit)| (*name, *unit));
        format!("\"{}{name}\"", seconds / unit)
    }
}

/// `90`, `30min`, `1h 30min`.
fn seconds(text: &str) -> Option<u64> {
    let (mut rest, mut sum) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let unit = rest[..letters].to_ascii_lowercase();
        rest = rest[letters..].trim_start();
        let (_, _, unit) = TIMES
            .iter()
            .find(|(_, names, _)| names.contains(&unit.as_str()))?;
        sum = sum.checked_add(number.checked_mul(*unit)?)?;
    }
    Some(sum)
}

impl Value for PathBuf {
    fn read(raw: &Raw) -> Result<Self, String> {
        let Some(text) = raw.text() else {
            return wanted("a path", raw);
        };
        let path = match text.strip_prefix("~/") {
            Some(below) => match directories::BaseDirs::new() {
                Some(dirs) => dirs.home_dir().join(below),
                None => return Err(format!("`{text}`: there is no home directory here")),
            },
            None => PathBuf::from(text),
        };
        if text.contains('\0') || !path.is_absolute() {
            return Err(format!(
                "`{text}` is no absolute path; write one that begins with / or ~/"
            ));
        }
        Ok(path)
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Value for String {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text() {
            Some("") => Err("there is nothing between the quotation marks".to_owned()),
            Some(text) => Ok(text.to_owned()),
            None => wanted("text in quotation marks", raw),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for SocketAddr {
    fn read(raw: &Raw) -> Result<Self, String> {
        let form = "an IP address with a port such as \"0.0.0.0:6881\" or \"[::]:6881\"";
        match raw.text().map(str::parse) {
            Some(Ok(addr)) => Ok(addr),
            _ => wanted(form, raw),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for ApiListen {
    fn read(raw: &Raw) -> Result<Self, String> {
        let form = "an IP address with a port such as \"127.0.0.1:9091\", or \"unix:/run/chunkcast/api.sock\"";
        let Some(text) = raw.text() else {
            return wanted(form, raw);
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match Path::new(path).is_absolute() && !path.contains('\0') {
                true => Ok(Self::Unix(path.into())),
                false => Err(format!("`{text}`: the path behind unix: must begin with /")),
            };
        }
        match text.parse() {
            Ok(addr) => Ok(Self::Tcp(addr)),
            Err(_) => wanted(form, raw),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.list() {
            Some(all) => all.iter().map(T::read).collect(),
            None => wanted("a list such as [\"…\", \"…\"]", raw),
        }
    }

    fn show(&self) -> String {
        let all: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", all.join(", "))
    }
}

/// A value that is one of some words.
macro_rules! words {
    ($type:ty, $first:literal => $least:path, $($word:literal => $value:path),+) => {
        impl Value for $type {
            fn read(raw: &Raw) -> Result<Self, String> {
                match raw.text() {
                    Some($first) => Ok($least),
                    $(Some($word) => Ok($value),)+
                    _ => wanted(concat!("\"", $first, "\"" $(, " or \"", $word, "\"")+), raw),
                }
            }

            fn show(&self) -> String {
                quoted(match self {
                    $least => $first,
                    $($value => $word,)+
                })
            }
        }
    };
}

words!(Transports, "both" => Transports::Both, "tcp" => Transports::Tcp, "utp" => Transports::Utp);
words!(Encryption, "off" => Encryption::Off, "allow" => Encryption::Allow, "prefer" => Encryption::Prefer,
       "require" => Encryption::Require);
words!(LogFormat, "auto" => LogFormat::Auto, "text" => LogFormat::Text, "json" => LogFormat::Json);

/// Numbers of bytes.
pub(super) mod bytes {
    use super::{Raw, parse_bytes, wanted};

    pub(in super::super) fn read(raw: &Raw) -> Result<u64, String> {
        match raw.word() {
            Some(text) => parse_bytes(&text).map_err(|e| e.to_string()),
            None => wanted("a number of bytes such as \"128MiB\"", raw),
        }
    }

    pub(in super::super) fn show(bytes: &u64) -> String {
        let units = [
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
            (1, "B"),
        ];
        let unit = units
            .into_iter()
            .find(|(unit, _)| bytes.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or((1, "B"));
        format!("\"{}{name}\"", bytes / unit)
    }
}

/// Bytes a second that nothing holds to: any number.
pub(super) mod bytes_noted {
    use super::{Raw, wanted};

    pub(in super::super) fn read(raw: &Raw) -> Result<Option<u64>, String> {
        match raw {
            Raw::Integer(n) => match u64::try_from(*n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => wanted("a number of bytes", raw),
            },
            Raw::Text(t) if t == "unlimited" => Ok(None),
            _ => wanted("a number of bytes, or \"unlimited\"", raw),
        }
    }

    pub(in super::super) fn show(bytes: &Option<u64>) -> String {
        match bytes.map(i64::try_from) {
            Some(Ok(n)) => n.to_string(),
            // TOML's numbers end there
            Some(Err(_)) => i64::MAX.to_string(),
            None => "\"unlimited\"".to_owned(),
        }
    }
}

/// Minutes after midnight, as `"09:30"`.
pub(super) mod clock {
    use super::{Raw, wanted};

    pub(in super::super) fn read(raw: &Raw) -> Result<u16, String> {
        let time = raw.text().and_then(|text| {
            let (hours, minutes) = text.split_once(':')?;
            let digits = |t: &str| t.len() <= 2 && t.bytes().all(|b| b.is_ascii_digit());
            if !digits(hours) || minutes.len() != 2 || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        });
        time.map_or_else(|| wanted("a time of day such as \"09:30\"", raw), Ok)
    }

    pub(in super::super) fn show(minutes: &u16) -> String {
        format!("\"{:02}:{:02}\"", minutes / 60, minutes % 60)
    }
}

/// Days of the week, bit 0 being Sunday, as `["mon", "tue"]`.
pub(super) mod days {
    use super::{Raw, wanted};

    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

    pub(in super::super) fn read(raw: &Raw) -> Result<u8, String> {
        let form =
            "a list of days such as [\"mon\", \"tue\"], of mon, tue, wed, thu, fri, sat, sun";
        let Some(all) = raw.list() else {
            return wanted(form, raw);
        };
        let mut days = 0;
        for day in &all {
            let lower = day.text().map(str::to_ascii_lowercase);
            match NAMES.iter().position(|n| Some(*n) == lower.as_deref()) {
                Some(bit) => days |= 1 << bit,
                None => return wanted(form, day),
            }
        }
        Ok(days)
    }

    pub(in super::super) fn show(days: &u8) -> String {
        // the week begins on Monday for who writes it down
        let bits = [1, 2, 3, 4, 5, 6, 0];
        let set = bits.iter().filter(|bit| days >> **bit & 1 == 1);
        let names: Vec<String> = set.map(|bit| format!("\"{}\"", NAMES[*bit])).collect();
        format!("[{}]", names.join(", "))
    }
}
