//! A token bucket: how much may pass at a rate, and when the next may. Sans-IO: the time is an argument.
//!
//! The level counts in bytes times microseconds of a second, so that nothing is ever rounded: whatever the rate and however often
//! and unevenly it is asked, what passes is the rate times the time, less at most the depth of the bucket.

use std::num::NonZeroU32;
use std::time::Duration;

use chunkcast::time::Instant;

use super::units::Rate;

/// So much time's worth of the rate may pass at once after a pause. It also makes up for timers that come late.
const SPAN_US: u64 = 40_000; // guess: a busy machine's timers are late by up to tens of milliseconds

/// Bytes that may pass at once at any rate: a block of 16 KiB in its message.
const MIN_DEPTH: u64 = (16 << 10) + 13;

/// Longest time's worth of the rate that [`Bucket::charge`] can take in advance.
const MAX_DEBT_US: u64 = 1_000_000; // guess: blocks are not to wait longer than that for what overtook them

/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// One limit.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: u64,
    depth: u64,
    /// Bytes times [`SECOND`]; negative: taken in advance.
    level: i128,
    /// When the level was that.
    at: Instant,
}

impl Bucket {
    /// An empty bucket that fills at `rate` from `now` on: it begins with a wait.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            per_second: rate.bytes(),
            depth: depth_at(rate),
            level: 0,
            at: now,
        }
    }

    /// A full bucket of events instead of bytes: `per_second` of them, and as many at once.
    pub fn of_events(per_second: NonZeroU32, now: Instant) -> Self {
        let per_second = u64::from(per_second.get());
        Self {
            per_second,
            depth: per_second,
            level: scaled(per_second),
            at: now,
        }
    }

    /// Another rate from `now` on. What is in the bucket stays, up to the new depth.
    pub fn set(&mut self, rate: Rate, now: Instant) {
        self.fill(now);
        (self.per_second, self.depth) = (rate.bytes(), depth_at(rate));
        self.fill(now);
    }

    /// Bytes that it holds when full: what may pass at once after a pause.
    pub fn depth(&self) -> u64 {
        self.depth
    }

    /// When `bytes` may pass: `None`, now. More than the depth may pass once the bucket is full; the next then waits the
    /// longer.
    pub fn ready(&mut self, bytes: u64, now: Instant) -> Option<Instant> {
        self.fill(now);
        let missing = scaled(bytes.min(self.depth)) - self.level;
        if missing <= 0 {
            return None;
        }
        let rate = i128::from(self.per_second);
        let micros = u64::try_from((missing + rate - 1) / rate).unwrap_or(u64::MAX);
        Some(now + Duration::from_micros(micros))
    }

    /// `bytes` pass, whether they may or not. The debt ends at a second's worth, or at what was just taken.
    pub fn charge(&mut self, bytes: u64, now: Instant) {
        self.fill(now);
        let most = i128::from(self.per_second) * i128::from(MAX_DEBT_US);
        let floor = (-most).min(-scaled(bytes));
        self.level = (self.level - scaled(bytes)).max(floor.min(self.level));
    }

    /// `bytes` of what was taken did not pass after all.
    pub fn put_back(&mut self, bytes: u64, now: Instant) {
        self.level += scaled(bytes);
        self.fill(now);
    }

    /// Brings the level up to date. A clock that goes back is one that stands still.
    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_since(self.at).as_micros();
        self.at = self.at.max(now);
        let elapsed = i128::try_from(elapsed).unwrap_or(i128::MAX);
        let more = i128::from(self.per_second).saturating_mul(elapsed);
        self.level = self.level.saturating_add(more).min(scaled(self.depth));
    }
}

fn depth_at(rate: Rate) -> u64 {
    (rate.bytes().saturating_mul(SPAN_US) / SECOND).max(MIN_DEPTH)
}

fn scaled(bytes: u64) -> i128 {
    i128::from(bytes) * i128::from(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB_16: u64 = 16 << 10;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_block_a_second_at_16_kib() {
        let mut bucket = Bucket::new(Rate::new(KIB_16), at(0));
        for second in 1..100 {
            let next = bucket.ready(KIB_16, at((second - 1) * SECOND));
            assert_eq!(next, Some(at(second * SECOND)));
            assert_eq!(bucket.ready(KIB_16, at(second * SECOND)), None);
            bucket.charge(KIB_16, at(second * SECOND));
        }
    }

    #[test]
    fn after_a_pause_no_more_than_the_depth_passes_at_once() {
        for rate in [KIB_16, 1 << 20, 1_000_000_000] {
            let mut bucket = Bucket::new(Rate::new(rate), at(0));
            let hour = at(3_600 * SECOND);
            let mut passed = 0;
            while bucket.ready(1000, hour).is_none() {
                bucket.charge(1000, hour);
                passed += 1000;
            }
            assert!(passed <= bucket.depth(), "{rate}: {passed}");
            assert!(passed as f64 <= rate as f64 * 0.05 + MIN_DEPTH as f64);
        }
    }

    #[test]
    fn what_is_put_back_passes_later() {
        let mut bucket = Bucket::new(Rate::new(1 << 20), at(0));
        let now = at(10_000);
        assert_eq!(bucket.ready(10_000, now), None);
        bucket.charge(10_000, now);
        assert!(bucket.ready(9_000, now).is_some());
        bucket.put_back(9_000, now);
        assert_eq!(bucket.ready(9_000, now), None);
    }

    #[test]
    fn a_new_rate_counts_from_now_on() {
        let mut bucket = Bucket::new(Rate::new(KIB_16), at(0));
        bucket.set(Rate::new(10 * KIB_16), at(0));
        assert_eq!(bucket.ready(KIB_16, at(0)), Some(at(SECOND / 10)));
        bucket.charge(KIB_16, at(SECOND / 10));
        bucket.set(Rate::new(KIB_16), at(SECOND / 10));
        assert_eq!(
            bucket.ready(KIB_16, at(SECOND / 10)),
            Some(at(SECOND / 10 + SECOND))
        );
    }

    #[test]
    fn what_overtakes_is_paid_for_by_at_most_a_second_of_waiting() {
        let mut bucket = Bucket::new(Rate::new(KIB_16), at(0));
        for _ in 0..1000 {
            bucket.charge(1000, at(0));
        }
        assert!(
            bucket
                .ready(1, at(0))
                .is_some_and(|t| t <= at(SECOND + 100))
        );
    }

    /// 16 KiB/s to 1 GB/s, as many of each order of magnitude.
    fn rates() -> impl Strategy<Value = u64> {
        (14u32..30, 0u64..1 << 30).prop_map(|(log, rest)| (1 << log) + rest % (1 << log))
    }

    proptest! {
        /// A sender that always has something: chunks of up to half the depth, each asked for when the bucket said or up
        /// to half of its span later, and some of them put back.
        #[test]
        fn whoever_always_sends_sends_at_the_rate(
            rate in rates(),
            steps in prop::collection::vec((1u64..200_000, 0..SPAN_US / 2, 0u32..4), 50..400),
        ) {
            let mut bucket = Bucket::new(Rate::new(rate), at(0));
            let (mut now, mut passed) = (at(0), 0_u64);
            for (chunk, late_us, wasted) in steps {
                let chunk = chunk.min(bucket.depth() / 2);
                while let Some(ready) = bucket.ready(chunk, now) {
                    prop_assert!(ready > now);
                    now = ready + Duration::from_micros(late_us);
                }
                bucket.charge(chunk, now);
                if wasted == 0 {
                    bucket.put_back(chunk, now);
                } else {
                    passed += chunk;
                }
                let due = u128::from(rate) * u128::from(now.as_micros()) / u128::from(SECOND);
                let due = u64::try_from(due).expect("a test's worth");
                prop_assert!(passed <= due, "{} > {}", passed, due);
                prop_assert!(passed + bucket.depth() >= due, "{} of {}", passed, due);
            }
        }

        /// In no stretch of time does more pass than the rate's worth and the depth, whoever asks whenever.
        #[test]
        fn no_stretch_of_time_sees_more_than_its_share(
            rate in rates(),
            steps in prop::collection::vec((1u64..200_000, 0u64..300_000), 1..120),
        ) {
            let mut bucket = Bucket::new(Rate::new(rate), at(0));
            let mut now = at(0);
            let mut passed: Vec<(u64, u64)> = Vec::new();
            for (chunk, pause_us) in steps {
                now += Duration::from_micros(pause_us);
                if bucket.ready(chunk, now).is_none() {
                    bucket.charge(chunk, now);
                    passed.push((now.as_micros(), chunk));
                }
            }
            for (i, &(from, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for &(to, chunk) in &passed[i..] {
                    let share = u128::from(rate) * u128::from(to - from) / u128::from(SECOND);
                    let before = u128::from(sum);
                    // the last one may have been taken in advance
                    let advance = u128::from(chunk.min(bucket.depth()));
                    prop_assert!(before + advance <= share + u128::from(bucket.depth()) + 1);
                    sum += chunk;
                }
            }
        }

        /// The same as a count of whole microseconds with exact fractions.
        #[test]
        fn it_agrees_with_a_bucket_that_is_filled_each_microsecond(
            rate in 1_024u64..100_000_000,
            steps in prop::collection::vec((1u64..60_000, 0u64..400), 1..40),
        ) {
            let mut bucket = Bucket::new(Rate::new(rate), at(0));
            let depth = u128::from(bucket.depth()) * u128::from(SECOND);
            let (mut now, mut level, mut debt) = (0, 0_u128, 0_u128);
            for (chunk, pause_us) in steps {
                for _ in 0..pause_us {
                    now += 1;
                    let paid = debt.min(u128::from(rate));
                    debt -= paid;
                    level = (level + u128::from(rate) - paid).min(depth);
                }
                let need = (u128::from(chunk) * u128::from(SECOND)).min(depth);
                let may = debt == 0 && level >= need;
                prop_assert_eq!(bucket.ready(chunk, at(now)).is_none(), may);
                if may {
                    bucket.charge(chunk, at(now));
                    let all = u128::from(chunk) * u128::from(SECOND);
                    debt = all.saturating_sub(level);
                    level = level.saturating_sub(all);
                }
            }
        }
    }
}
