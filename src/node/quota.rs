//! How often somebody may make this node do something: so many times a window for each key, so many in all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Instant;

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(60); // guess: what people call a rate limit

/// Counts what was granted in this window. It holds at most as many keys as it grants in all.
#[derive(Debug)]
pub(super) struct Quota<K> {
    each: u32,
    all: u32,
    granted: u32,
    keys: BTreeMap<K, u32>,
    since: Instant,
}

impl<K: Ord> Quota<K> {
    /// `each` times a minute for one key, `all` times altogether.
    pub(super) fn new(each: u32, all: u32, now: Instant) -> Self {
        Self {
            each,
            all,
            granted: 0,
            keys: BTreeMap::new(),
            since: now,
        }
    }

    /// Whether it may be done once more for `key`; it counts if so.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if now - self.since >= WINDOW {
            self.since = now;
            self.granted = 0;
            self.keys.clear();
        }
        if self.granted >= self.all {
            return false;
        }
        let count = self.keys.entry(key).or_default();
        if *count >= self.each {
            return false;
        }
        *count += 1;
        self.granted += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_share_and_all_together_theirs_in_every_minute() {
        let mut now = Instant::ZERO;
        let mut quota = Quota::new(2, 5, now);
        for _ in 0..2 {
            let granted =
                |quota: &mut Quota<u8>, key| (0..9).filter(|_| quota.take(key, now)).count();
            assert_eq!(granted(&mut quota, 1), 2);
            assert_eq!(granted(&mut quota, 2), 2);
            assert_eq!(granted(&mut quota, 3), 1, "five in all");
            assert_eq!(granted(&mut quota, 4), 0);
            assert!(quota.keys.len() <= 5);
            now += WINDOW;
        }
    }
}
