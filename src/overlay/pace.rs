//! How fast upkeep runs: as fast as nodes fail, and as long as tuning still finds nearer contacts.
//!
//! A contact that failed unnoticed costs a timeout when it is used next. The share of such contacts is the ping period
//! over twice the mean session, so the period follows the session; its square root is taken, which spends more on
//! calm rings and less on wild ones than a constant share would. Where sessions last minutes, newcomers and the dead cost so
//! much already that pings slow down again, to stay within the budget: routes then find more dead contacts, and go around.

use std::time::Duration;

use crate::time::Instant;

/// Sessions of this length or longer get the configured (slowest) periods.
const CALM_SESSION: f64 = 5_193.0; // seconds; the mean of a median of 60 min, quiet churn in Rhea et al. 2004
/// Where periods grow again, and the share that they grow to.
const WILD: (f64, f64) = (800.0, 0.85); // measured: 537 B/s at a median session of 5 min
/// What is assumed before anything was seen: one failure in the sessions of a median of 15 min, normal churn there.
const ASSUMED: (f64, f64) = (1.0, 1_298.0);
/// What was seen so long ago counts half.
const HALF_LIFE: f64 = 600.0; // seconds; guess
/// Bounds of the tuning period as a share of the configured one.
const TUNING: (f64, f64) = (0.125, 0.25); // measured: slower finds the nearest too late at 10,000 nodes
/// The longest tuning period where nodes come and go, as a share of what upkeep takes there.
const TUNING_WILD: f64 = 0.4; // guess: a third of the configured period
/// First contacts that one tuning has to improve to be called fruitful.
const FRUITFUL: u64 = 2; // measured: fewer keeps the pace up under churn for next to nothing

/// What was seen of failures and of tuning.
#[derive(Debug)]
pub(super) struct Pace {
    failures: f64,
    /// Seconds, summed over contacts.
    watched: f64,
    at: Instant,
    improved: u64,
    seen: u64,
    tuning: f64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            failures: 0.0,
            watched: 0.0,
            at: Instant::ZERO,
            improved: 0,
            seen: 0,
            tuning: TUNING.0,
        }
    }

    /// `contacts` were watched since the last call, and `failed` of them were dropped as dead.
    pub(super) fn watched(&mut self, contacts: usize, failed: usize, now: Instant) {
        let since = (now - self.at).as_secs_f64();
        if self.at > Instant::ZERO {
            let fade = (-since / HALF_LIFE).exp2();
            self.failures *= fade;
            self.watched = self.watched * fade + since * contacts as f64;
        }
        self.failures += failed as f64;
        self.at = now;
    }

    /// Periods as a share of the configured ones, `fastest` ..= 1.0.
    pub(super) fn share(&self, fastest: f64) -> f64 {
        let fast = (self.session() / CALM_SESSION).sqrt();
        fast.max(self.cheap()).clamp(fastest, 1.0)
    }

    /// Mean session of the contacts, seconds. It is overestimated by new nodes: the dead are counted when they are dropped.
    fn session(&self) -> f64 {
        (self.watched + ASSUMED.1) / (self.failures + ASSUMED.0)
    }

    /// The share that the budget allows where nodes come and go.
    fn cheap(&self) -> f64 {
        WILD.1 * (WILD.0 / self.session()).min(1.0)
    }

    /// A slot got a nearer first contact.
    pub(super) fn improved(&mut self) {
        self.improved += 1;
    }

    /// The next tuning period as a share of the configured one: shorter while tuning pays.
    pub(super) fn tuning(&mut self) -> f64 {
        let gain = self.improved - self.seen;
        self.seen = self.improved;
        let by = match gain {
            0 => 2.0,
            1 => 1.0,
            FRUITFUL.. => 0.5,
        };
        self.tuning = (self.tuning * by).clamp(TUNING.0, TUNING.1);
        // Where nodes come and go tuning never finds nothing.
        self.tuning.max(TUNING_WILD * self.cheap())
    }
}

/// Round trips of nodes that the tables had no use for, so that an optimistic coordinate is not probed again and again.
#[derive(Debug, Default)]
pub(super) struct Passed {
    young: std::collections::BTreeMap<crate::id::Id, Duration>,
    old: std::collections::BTreeMap<crate::id::Id, Duration>,
}

impl Passed {
    /// Nodes remembered in each half.
    const HALF: usize = 256; // guess: several times the probes of a well tuned table

    pub(super) fn note(&mut self, id: crate::id::Id, rtt: Duration) {
        if self.young.len() >= Self::HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, rtt);
    }

    pub(super) fn rtt(&self, id: &crate::id::Id) -> Option<Duration> {
        self.young.get(id).or_else(|| self.old.get(id)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    #[test]
    fn periods_follow_the_sessions_that_are_seen() {
        let share = |session: f64| {
            let mut pace = Pace::new();
            let mut owed = 0.0;
            for t in 1..=3_600 {
                owed += 100.0 / session;
                let failed = usize::from(owed >= 1.0);
                owed -= failed as f64;
                pace.watched(100, failed, at(t));
            }
            pace.share(1.0 / 6.0)
        };
        assert!(share(1e9) > 0.99, "nobody fails");
        assert!((0.9..=1.0).contains(&share(5_193.0)));
        assert!((0.45..0.55).contains(&share(1_298.0)));
        assert!((0.8..0.9).contains(&share(433.0)), "a median of 5 min");
        assert!((0.8..0.9).contains(&share(121.0)), "a median of 1.4 min");
    }

    #[test]
    fn a_node_that_has_seen_nothing_assumes_normal_churn() {
        assert!((0.49..0.53).contains(&Pace::new().share(0.1)));
        assert!(
            (Pace::new().share(1.0) - 1.0).abs() < 1e-9,
            "told not to adapt"
        );
    }

    #[test]
    fn tuning_slows_down_once_it_finds_nothing_and_speeds_up_again() {
        let mut pace = Pace::new();
        for _ in 0..4 {
            pace.tuning();
        }
        assert!((pace.tuning() - TUNING.1).abs() < 1e-9);
        for _ in 0..10 {
            (0..2).for_each(|_| pace.improved());
            pace.tuning();
        }
        assert!(
            (pace.tuning() - 2.0 * TUNING.0).abs() < 1e-9,
            "as fast as it goes, and then one idle round"
        );
    }

    #[test]
    fn passed_nodes_are_remembered_for_a_while_and_never_too_many() {
        let mut passed = Passed::default();
        let id = |n: u32| {
            let mut id = crate::id::Id::default();
            id.0[..4].copy_from_slice(&n.to_be_bytes());
            id
        };
        for n in 0..10_000 {
            passed.note(id(n), Duration::from_micros(u64::from(n)));
            assert!(passed.young.len() + passed.old.len() <= 2 * Passed::HALF);
        }
        assert_eq!(passed.rtt(&id(9_999)), Some(Duration::from_micros(9_999)));
        assert_eq!(passed.rtt(&id(9_800)), Some(Duration::from_micros(9_800)));
        assert_eq!(passed.rtt(&id(1)), None);
    }
}
