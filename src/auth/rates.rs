//! What one source may cost: a token bucket for each IPv4 address and each IPv6 /64.
//!
//! A bucket is one number, the time at which it is full again (the generic cell rate algorithm), so a source that stays
//! below its rate is indistinguishable from a fresh one and is forgotten for free. To hold a place in the table a source
//! has to send at its rate all the time; with all places held, newcomers share one more bucket. The table grows with the
//! sources that are busy, and a datagram from a forged source holds its place for a fraction of a millisecond.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// What sources may cost.
///
/// The unit is an ordinary datagram. The defaults stand for the busiest honest neighbourhood that was thought of: 200
/// machines behind one NAT address, all in the first half minute of one download, each publishing and looking up twice a
/// second at one index node and being pinged by it: 200 · (2 · 4 + 2 · 4 + 1) = 3,400 a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Units a second that one source may cost; 0: no limit at all (for a benchmark over loopback).
    pub per_second: u32,
    /// Units at once.
    pub burst: u32,
    /// Sources that are remembered.
    pub sources: usize,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            per_second: 5_000, // guess, see above
            burst: 20_000,     // guess: four seconds of it
            sources: 65_536,
        }
    }
}

/// Fewer sources are not worth a look.
const SWEEP: usize = 64; // guess
/// Shortest pause between two searches of a full table.
const SWEEP_PAUSE: Duration = Duration::from_millis(10); // guess: a search takes about one

/// Buckets by source.
#[derive(Debug)]
pub struct Rates {
    /// Nanoseconds that a unit takes.
    unit: u64,
    /// Nanoseconds that a full bucket lasts.
    burst: u64,
    sources: usize,
    /// When the bucket is full again, nanoseconds.
    full_at: BTreeMap<u64, u64>,
    overflow: u64,
    sweep_at: usize,
    sweep_after: u64,
}

impl Rates {
    /// No source has cost anything yet.
    pub fn new(config: &RateConfig) -> Self {
        let unit = 1_000_000_000u64.checked_div(u64::from(config.per_second));
        let unit = unit.map_or(0, |unit| unit.max(1));
        Self {
            unit,
            burst: unit.saturating_mul(u64::from(config.burst.max(1))),
            sources: config.sources,
            full_at: BTreeMap::new(),
            overflow: 0,
            sweep_at: SWEEP,
            sweep_after: 0,
        }
    }

    /// Whether this source may cost `cost` units more; if so they are taken.
    pub fn admit(&mut self, from: IpAddr, cost: u32, now: Instant) -> bool {
        if self.unit == 0 {
            return true;
        }
        let now = now.as_micros().saturating_mul(1_000);
        let cost = self.unit.saturating_mul(u64::from(cost));
        let source = source(from);
        if let Some(full_at) = self.full_at.get_mut(&source) {
            return take(full_at, cost, now, self.burst);
        }
        let full_at = match self.make_room(now) {
            true => self.full_at.entry(source).or_insert(now),
            false => &mut self.overflow,
        };
        take(full_at, cost, now, self.burst)
    }

    /// Sources that are remembered.
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether no source is remembered.
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    /// Forgets sources whose buckets are full, before the table doubles or when it can grow no more.
    fn make_room(&mut self, now: u64) -> bool {
        if self.full_at.len() < self.sweep_at.min(self.sources) {
            return true;
        }
        if self.full_at.len() >= self.sources && now < self.sweep_after {
            return false;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        self.sweep_at = (2 * self.full_at.len()).max(SWEEP);
        let pause = u64::try_from(SWEEP_PAUSE.as_nanos()).unwrap_or(u64::MAX);
        self.sweep_after = now.saturating_add(pause);
        self.full_at.len() < self.sources
    }
}

/// Takes `cost` from a bucket, if there is so much in it.
fn take(full_at: &mut u64, cost: u64, now: u64, burst: u64) -> bool {
    let after = (*full_at).max(now).saturating_add(cost);
    let admitted = after - now <= burst;
    if admitted {
        *full_at = after;
    }
    admitted
}

/// The IPv4 address, or the upper half of the IPv6 address. No valid source of one kind equals one of the other: IPv6
/// below 0:0:1:: is the loopback address and what stands for IPv4.
fn source(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(n))
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn rates(per_second: u32, burst: u32, sources: usize) -> Rates {
        Rates::new(&RateConfig {
            per_second,
            burst,
            sources,
        })
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut r = rates(10, 5, 100);
        let admitted = |r: &mut Rates, ms| (0..20).filter(|_| r.admit(v4(1), 1, at(ms))).count();
        assert_eq!(admitted(&mut r, 0), 5);
        assert_eq!(admitted(&mut r, 100), 1);
        assert_eq!(admitted(&mut r, 400), 3);
        assert_eq!(admitted(&mut r, 60_000), 5);
        assert!(!r.admit(v4(1), 6, at(120_000)), "more than a bucket holds");
        assert!(r.admit(v4(1), 5, at(120_000)));
    }

    #[test]
    fn sources_do_not_cost_each_other_anything() {
        let mut r = rates(10, 5, 100);
        while r.admit(v4(1), 1, at(0)) {}
        assert!(r.admit(v4(2), 1, at(0)));
        let host = |subnet: u16, host: u16| {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 0, 0, 0, host))
        };
        while r.admit(host(1, 1), 1, at(0)) {}
        assert!(!r.admit(host(1, 2), 1, at(0)), "one /64 is one source");
        assert!(r.admit(host(2, 1), 1, at(0)));
    }

    #[test]
    fn sixty_five_thousand_busy_sources_are_remembered_and_newcomers_share_what_is_left() {
        let mut r = Rates::new(&RateConfig {
            per_second: 10,
            burst: 5,
            ..RateConfig::default()
        });
        for n in 0..65_536 {
            assert_eq!((0..6).filter(|_| r.admit(v4(n), 1, at(0))).count(), 5);
        }
        assert_eq!(r.len(), 65_536);
        let newcomers = (100_000..101_000).filter(|n| r.admit(v4(*n), 1, at(1)));
        assert_eq!(newcomers.count(), 5, "one bucket for all of them");
        assert!(!r.admit(v4(7), 1, at(1)), "not forgotten");
        assert_eq!(r.len(), 65_536);
        assert!(r.admit(v4(200_000), 1, at(10_000)));
        assert_eq!(r.len(), 1, "the idle ones are gone");
    }

    #[test]
    fn forged_sources_hold_no_memory() {
        let mut r = Rates::new(&RateConfig::default());
        let mut most = 0;
        for n in 0..1_000_000u32 {
            // 100,000 datagrams a second, each from a source of its own.
            assert!(r.admit(v4(n), 1, Instant::from_micros(u64::from(n) * 10)));
            most = most.max(r.len());
        }
        assert!(most <= 128, "{most}");
    }

    #[test]
    fn no_limit_remembers_nobody() {
        let mut r = rates(0, 1, 10);
        assert!((0..1_000_000).all(|_| r.admit(v4(1), 9, at(0))));
        assert!(r.is_empty());
    }

    proptest! {
        /// Against a bucket of tokens: the same answers, whatever is forgotten in between.
        #[test]
        fn as_a_naive_token_bucket(steps in proptest::collection::vec((0u64..300, 1u32..4, 0u32..100), 1..400)) {
            let (rate, burst) = (10u32, 8u32);
            let mut r = rates(rate, burst, 1_000);
            // level in thousandths of a unit
            let mut naive: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
            let mut ms = 0;
            for (wait, cost, who) in steps {
                ms += wait;
                let most = u64::from(burst) * 1_000;
                let (level, then) = naive.entry(who).or_insert((most, ms));
                *level = (*level + (ms - *then) * u64::from(rate)).min(most);
                *then = ms;
                let cost_m = u64::from(cost) * 1_000;
                let expected = *level >= cost_m;
                if expected {
                    *level -= cost_m;
                }
                prop_assert_eq!(r.admit(v4(who), cost, at(ms)), expected);
            }
        }
    }
}
