//! When to tell the directory what we hold (paper section 4: after every chunk; here coalesced).
//!
//! At the start even with nothing, so that others find a downloader before it has anything; then changes together:
//! every half second in the first half minute, every five seconds later, the first and the last chunk at once. Nothing when nothing
//! has changed: keeping the entry alive is the directory's own business.

use crate::time::Instant;

use super::config::ClientConfig;

#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// When the object became known.
    start: Option<Instant>,
    last: Option<Instant>,
    clean: bool,
    urgent: bool,
}

impl Publisher {
    /// The object is known.
    pub(super) fn started(&mut self, now: Instant) {
        self.start.get_or_insert(now);
        self.clean = false;
        self.urgent = true;
    }

    /// What we hold has changed; `urgent`: others can use us from now on, or nothing is missing now.
    pub(super) fn changed(&mut self, urgent: bool) {
        self.clean = false;
        self.urgent |= urgent;
    }

    /// When to publish; `None` if nothing has changed.
    pub(super) fn due(&self, config: &ClientConfig) -> Option<Instant> {
        if self.clean {
            return None;
        }
        let Some(last) = self.last.filter(|_| !self.urgent) else {
            return Some(Instant::ZERO);
        };
        let early = last + config.publish_early;
        let warm = self.start.is_none_or(|s| early < s + config.publish_warm);
        Some(if warm {
            early
        } else {
            last + config.publish_interval
        })
    }

    pub(super) fn published(&mut self, now: Instant) {
        self.last = Some(now);
        self.clean = true;
        self.urgent = false;
    }
}
