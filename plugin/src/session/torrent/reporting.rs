//! When numbers are looked at and told, so that a torrent with which nothing happens costs nothing.
//!
//! While there are connections, or work, it is once a second. A torrent that waits for somebody to come is looked at every now
//! and then: what has changed meanwhile (whether others can dial us, that more peers are wanted) has time.

use std::time::Duration;

use tokio::time::Instant;

use super::super::events::{Progress, TorrentEvent};
use super::Torrent;

/// How often numbers are told while they change.
const BUSY: Duration = Duration::from_secs(1);
/// How often they are told while they do not.
const SAME: Duration = Duration::from_secs(10); // guess: whoever reads a log wants to see that it lives
/// How often a torrent is looked at that misses something and has nobody.
const WAITING: Duration = Duration::from_secs(10); // guess: a sixth of the least wait between two announces
/// How often one is that misses nothing.
const IDLE: Duration = Duration::from_secs(60); // guess

/// What was told, and when the next look is due.
#[derive(Debug)]
pub(super) struct Reports {
    due: Instant,
    looked: Instant,
    /// Without what the directory costs, which always changes.
    told: Option<(Instant, Box<Progress>)>,
    /// Something is to be told at once.
    news: bool,
    /// There was something to see since the last look, though it may be over.
    stirred: bool,
}

impl Reports {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            looked: now,
            told: None,
            news: false,
            stirred: false,
        }
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Somebody has changed something, and waits to see it.
    pub(super) fn hurry(&mut self) {
        self.news = true;
    }

    /// Whether these numbers are worth telling.
    fn takes(&mut self, progress: &mut Progress, now: Instant) -> bool {
        let directory = progress.directory.take();
        let stale =
            |(at, told): &(Instant, Box<Progress>)| now - *at >= SAME || **told != *progress;
        let tells = self.told.as_ref().is_none_or(stale);
        if tells {
            self.told = Some((now, Box::new(progress.clone())));
        }
        progress.directory = directory;
        tells
    }
}

impl Torrent {
    /// Numbers are looked at now.
    pub(super) fn tell_progress(&mut self) {
        let now = Instant::now();
        self.reports.looked = now;
        (self.reports.news, self.reports.stirred) = (false, false);
        let mut progress = self.progress();
        if self.meta.is_some() && self.reports.takes(&mut progress, now) {
            self.emit(TorrentEvent::Progress(progress));
        }
    }

    /// After every input: when the next look is due.
    pub(super) fn plan_report(&mut self) {
        self.reports.stirred |= self.is_busy();
        let reports = &self.reports;
        self.reports.due = match (reports.news, reports.stirred) {
            (true, _) => Instant::now(),
            (false, true) => reports.looked + BUSY,
            (false, false) if self.swarm.is_complete() => reports.looked + IDLE,
            (false, false) => reports.looked + WAITING,
        };
    }

    fn is_busy(&self) -> bool {
        let misses = !self.swarm.is_complete();
        !self.conns.is_empty()
            || self.numbers.is_moving()
            || self.checked_pieces.is_some()
            || self.disk.is_paused()
            || self.swarm.open_bytes() > 0
            || misses && (self.add.patience.is_some() || !self.web.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::DirectoryTraffic;

    #[test]
    fn the_same_numbers_are_told_again_only_after_a_while() {
        let now = Instant::now();
        let mut reports = Reports::new(now);
        let mut progress = Progress::default();
        assert!(reports.takes(&mut progress, now));
        let at = |seconds| now + Duration::from_secs(seconds);
        progress.directory = Some(DirectoryTraffic {
            messages_out: 5,
            ..DirectoryTraffic::default()
        });
        assert!(
            !reports.takes(&mut progress, at(1)),
            "the directory's costs are no news"
        );
        assert!(progress.directory.is_some(), "and are told with the rest");
        progress.uploaded = 1;
        assert!(reports.takes(&mut progress, at(2)));
        assert!(!reports.takes(&mut progress, at(11)));
        assert!(reports.takes(&mut progress, at(12)));
    }
}
