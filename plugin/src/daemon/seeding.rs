//! When seeding ends.

use std::time::Duration;

use super::model::Options;
use super::settings::Settings;

/// A seed as its limits see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    /// Bytes sent, over all runs.
    pub(super) uploaded: u64,
    /// Bytes of the files that are wanted.
    pub(super) wanted: u64,
    /// Time without a byte sent.
    pub(super) idle: Duration,
    /// Time spent seeding, over all runs.
    pub(super) seeding: Duration,
}

/// Whether a limit is reached.
#[allow(
    clippy::cast_precision_loss,
    reason = "a ratio needs no more than 52 bits"
)]
pub(super) fn is_done(seed: &Seed, options: &Options, settings: &Settings) -> bool {
    let ratio = options.seed_ratio.holds(settings.seed_ratio);
    let idle = options.seed_idle.holds(settings.seed_idle);
    let time = options.seed_time.holds(settings.seed_time);
    ratio.is_some_and(|most| seed.uploaded as f64 >= most * seed.wanted as f64)
        || idle.is_some_and(|most| seed.idle >= most)
        || time.is_some_and(|most| seed.seeding >= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::model::Limit;
    use crate::daemon::tests::{options, settings};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn own_limits_come_before_those_of_all_and_none_is_none() {
        let (mut options, mut settings) = (options(), settings());
        let mut seed = Seed {
            uploaded: 150,
            wanted: 100,
            idle: MINUTE,
            seeding: 10 * MINUTE,
        };
        assert!(!is_done(&seed, &options, &settings), "there is no limit");
        settings.seed_ratio = Some(1.5);
        assert!(is_done(&seed, &options, &settings));
        seed.uploaded = 149;
        assert!(!is_done(&seed, &options, &settings));
        options.seed_ratio = Limit::Own(1.0);
        assert!(is_done(&seed, &options, &settings));
        options.seed_ratio = Limit::Unlimited;
        seed.uploaded = 1000;
        assert!(!is_done(&seed, &options, &settings));
        settings.seed_idle = Some(MINUTE);
        assert!(is_done(&seed, &options, &settings));
        options.seed_idle = Limit::Own(2 * MINUTE);
        assert!(!is_done(&seed, &options, &settings));
        settings.seed_time = Some(10 * MINUTE);
        assert!(is_done(&seed, &options, &settings));
        options.seed_time = Limit::Unlimited;
        assert!(!is_done(&seed, &options, &settings));
    }
}
