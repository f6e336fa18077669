//! How many file descriptors the process may have, and budgets that fit into that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::LimitsConfig;

/// Descriptors beside those that the budgets count: standard streams, sockets of the index node, DHT, trackers and the
/// control socket, the state's files, the runtime's own.
const OTHERS: u64 = 64; // guess: twice what a client with ten trackers was seen to have

/// Raises this process's limit on file descriptors to `wanted`, or as far as the system lets it; how many it may have now.
/// A limit that is higher already stays.
pub fn raise_descriptors(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current.unwrap_or(u64::MAX); // no limit at all
    let possible = maximum.map_or(wanted, |most| wanted.min(most));
    if now >= possible {
        return now;
    }
    let raised = Rlimit {
        current: Some(possible),
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => possible,
        Err(_) => now,
    }
}

impl LimitsConfig {
    /// File descriptors that the process has when every budget is used up.
    pub fn descriptors(&self) -> u64 {
        (self.connections + self.callers + self.open_files) as u64 + OTHERS
    }

    /// Lowers the budgets for connections, callers and open files to what `available` descriptors are enough for, in
    /// proportion. The line that says so, if that was necessary.
    pub fn fit(&mut self, available: u64) -> Option<String> {
        let wanted = self.descriptors();
        if wanted <= available {
            return None;
        }
        let spare = u128::from(available.saturating_sub(OTHERS));
        let all = u128::from(wanted - OTHERS);
        let part = |budget: usize, least: usize| {
            let share = budget as u128 * spare / all;
            usize::try_from(share)
                .unwrap_or(budget)
                .max(least.min(budget))
        };
        self.connections = part(self.connections, 8);
        self.callers = part(self.callers, 4);
        self.open_files = part(self.open_files, Self::LEAST_OPEN_FILES);
        self.half_open = self.half_open.min(self.connections);
        Some(format!(
            "this process may open {available} files and sockets at most, and the budgets need {wanted}: lowered to {} \
             connections, {} callers and {} open files; raise the limit (`ulimit -n`) to have more",
            self.connections, self.callers, self.open_files
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn enough_descriptors_change_nothing() {
        let mut config = LimitsConfig::default();
        assert_eq!(config.fit(config.descriptors()), None);
        assert_eq!(config, LimitsConfig::default());
    }

    #[test]
    fn a_low_limit_lowers_the_budgets_and_says_so() {
        let mut config = LimitsConfig::default();
        let line = config.fit(256).expect("lowered");
        assert!(config.descriptors() <= 256);
        assert!(line.contains("256") && line.contains("ulimit -n"), "{line}");
        assert!(line.contains(&format!("{} connections", config.connections)));
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn the_limit_of_this_process_is_not_lowered() {
        let before = raise_descriptors(0);
        let now = raise_descriptors(before.min(1 << 20) + 1);
        assert!(now >= before);
        assert_eq!(raise_descriptors(0), now);
    }

    proptest! {
        #[test]
        fn lowered_budgets_are_valid_and_fit_where_anything_does(
            (connections, callers, open_files) in (1usize..1_000_000, 1usize..1_000_000, 32usize..1_000_000),
            available in 0u64..100_000,
        ) {
            let mut config = LimitsConfig { connections, callers, open_files, ..LimitsConfig::default() };
            let lowered = config.fit(available).is_some();
            prop_assert!(config.connections <= connections && config.callers <= callers);
            prop_assert!(config.open_files <= open_files);
            prop_assert_eq!(config.validate(), Ok(()));
            let least = OTHERS + 8 + 4 + LimitsConfig::LEAST_OPEN_FILES as u64;
            if available >= 8 * least {
                prop_assert!(config.descriptors() <= available + least);
            }
            prop_assert!(lowered || config.connections == connections);
        }
    }
}
