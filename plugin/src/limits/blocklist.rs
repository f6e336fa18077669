//! Addresses that the user wants nothing to do with, as lists in the usual forms have them.
//!
//! | form | a line |
//! | --- | --- |
//! | eMule (`ipfilter.dat`) | `001.002.003.000 - 001.002.003.255 , 000 , what it is`; a level above 127 allows |
//! | PeerGuardian (`.p2p`) | `what it is:1.2.3.0-1.2.3.255` |
//! | plain | `1.2.3.0-1.2.3.255`, `1.2.3.0/24`, `2001:db8::/32`, `1.2.3.4` |
//!
//! Lines may be mixed, and all of it may be packed with gzip. What begins with `#`, `;` or `//` is a comment. IPv4 addresses
//! in IPv6 form are IPv4.

use std::io::{self, BufRead, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flate2::bufread::MultiGzDecoder;

/// Bytes of a list, unpacked.
const MAX_BYTES: u64 = 512 << 20; // guess: ten times the longest list there is
/// Ranges of a list.
const MAX_RANGES: usize = 4 << 20; // guess: ten times the longest list there is
/// Bytes of a line; a longer one is no range.
const MAX_LINE: usize = 1 << 10; // guess: a description and two addresses
/// Levels of eMule's form up to this are blocked.
const BLOCKED_LEVEL: u32 = 127; // eMule's default
/// Two IPv6 addresses and what is between them.
const LONGEST_RANGE: usize = 2 * 45 + 8;

/// Ranges of addresses. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    /// First and last, ascending, apart from each other.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    bad_lines: usize,
}

/// Why something is no blocklist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocklistError {
    /// Not one of its lines is a range.
    #[error("the blocklist has no range of addresses in its {0} lines; is it one?")]
    NoRanges(usize),
    /// It is damaged.
    #[error("the blocklist cannot be unpacked ({0}); fetch it again")]
    Gzip(String),
    /// It is beyond all bounds.
    #[error("the blocklist is longer than {} MiB unpacked, or has more than {MAX_RANGES} ranges; use another", MAX_BYTES >> 20)]
    TooLong,
}

impl Blocklist {
    /// Reads a list, which may be packed with gzip. Lines that are no ranges are counted and passed over.
    ///
    /// # Errors
    /// [`BlocklistError`].
    pub fn read(bytes: &[u8]) -> Result<Self, BlocklistError> {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let unpacked = MultiGzDecoder::new(bytes).take(MAX_BYTES + 1);
            let mut unpacked = io::BufReader::new(unpacked);
            let list = Self::read_lines(&mut unpacked)?;
            return match unpacked.into_inner().limit() {
                0 => Err(BlocklistError::TooLong),
                _ => Ok(list),
            };
        }
        Self::read_lines(&mut &*bytes)
    }

    fn read_lines(from: &mut impl BufRead) -> Result<Self, BlocklistError> {
        let mut list = Self::default();
        let (mut line, mut lines) = (Vec::new(), 0);
        loop {
            line.clear();
            let failed = |e: io::Error| BlocklistError::Gzip(e.to_string());
            let most = MAX_LINE as u64 + 1;
            let mut start = (&mut *from).take(most);
            if start.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            lines += 1;
            let whole = line.len() <= MAX_LINE || line.ends_with(b"\n");
            if !whole {
                from.skip_until(b'\n').map_err(failed)?;
            }
            match parse_line(&line) {
                _ if !whole => list.bad_lines += 1,
                Line::Nothing => {}
                Line::Bad => list.bad_lines += 1,
                Line::Range(first, last) => list.add(first, last),
            }
            if list.v4.len() + list.v6.len() > MAX_RANGES {
                return Err(BlocklistError::TooLong);
            }
        }
        if list.is_empty() && list.bad_lines > 0 {
            return Err(BlocklistError::NoRanges(lines));
        }
        merge(&mut list.v4, |last| last.checked_add(1));
        merge(&mut list.v6, |last| last.checked_add(1));
        Ok(list)
    }

    /// Whether the address is in one of the ranges.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => covers(&self.v4, u32::from(ip)),
            IpAddr::V6(ip) => covers(&self.v6, u128::from(ip)),
        }
    }

    /// Ranges, those that touch counted as one.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lines that were no ranges.
    pub fn bad_lines(&self) -> usize {
        self.bad_lines
    }

    /// The ranges, first and last address: IPv4 first, ascending, no two of them touching.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
        let v4 = |ip: u32| IpAddr::from(Ipv4Addr::from(ip));
        let v6 = |ip: u128| IpAddr::from(Ipv6Addr::from(ip));
        let four = self.v4.iter().map(move |(a, b)| (v4(*a), v4(*b)));
        four.chain(self.v6.iter().map(move |(a, b)| (v6(*a), v6(*b))))
    }

    fn add(&mut self, first: IpAddr, last: IpAddr) {
        match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.push((first.into(), last.into())),
            _ => {
                let bits = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
                    IpAddr::V6(ip) => u128::from(ip),
                };
                self.v6.push((bits(first), bits(last)));
            }
        }
    }
}

/// Sorts the ranges and joins those that overlap or touch.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, before| {
        let joined = next(before.1).is_none_or(|next| later.0 <= next);
        if joined {
            before.1 = before.1.max(later.1);
        }
        joined
    });
    ranges.shrink_to_fit();
}

fn covers<T: Ord>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= ip);
    after > 0 && ip <= ranges[after - 1].1
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Nothing,
    Bad,
    Range(IpAddr, IpAddr),
}

fn parse_line(line: &[u8]) -> Line {
    let line = line.trim_ascii();
    let comment = |mark: &str| line.starts_with(mark.as_bytes());
    if line.is_empty() || comment("#") || comment(";") || comment("//") {
        return Line::Nothing;
    }
    let mut fields = line.split(|b| *b == b',');
    let head = fields.next().unwrap_or_default();
    if let Some((first, last)) = parse_range(head) {
        let level = fields.next().and_then(|f| str::from_utf8(f).ok());
        let level = level.and_then(|f| f.trim().parse::<u32>().ok());
        return match level.is_some_and(|level| level > BLOCKED_LEVEL) {
            true => Line::Nothing,
            false => Line::Range(first, last),
        };
    }
    // the description comes first, and may have colons too
    let colons = (line.iter().enumerate()).filter(|(_, b)| **b == b':');
    for (at, _) in colons {
        let rest = &line[at + 1..];
        if let Some((first, last)) = parse_range(rest)
            && rest.contains(&b'-')
        {
            return Line::Range(first, last);
        }
    }
    Line::Bad
}

/// `a-b`, `a/n` or `a`.
fn parse_range(text: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let text = str::from_utf8(text.trim_ascii()).ok()?;
    if text.len() > LONGEST_RANGE {
        return None;
    }
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (parse_ip(first.trim())?, parse_ip(last.trim())?);
        return (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last));
    }
    let Some((ip, prefix)) = text.split_once('/') else {
        let ip = parse_ip(text)?;
        return Some((ip, ip));
    };
    let prefix: u32 = prefix.trim().parse().ok()?;
    match parse_ip(ip.trim())? {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let first = u32::from(ip) & !host;
            let range = (Ipv4Addr::from(first), Ipv4Addr::from(first | host));
            (prefix <= 32).then_some((range.0.into(), range.1.into()))
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let first = u128::from(ip) & !host;
            let range = (Ipv6Addr::from(first), Ipv6Addr::from(first | host));
            (prefix <= 128).then_some((range.0.into(), range.1.into()))
        }
    }
}

/// An address; numbers of IPv4 may have zeros in front.
fn parse_ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let digits = parts.next()?;
        let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        *octet = digits.parse().ok().filter(|_| plain)?;
    }
    parts.next().is_none().then_some(octets.into())
}

#[cfg(test)]
#[path = "blocklist_tests.rs"]
mod tests;
