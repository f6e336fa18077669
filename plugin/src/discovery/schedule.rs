//! Which tracker is told what, and when: sans-IO (BEP 3 events, BEP 12 tiers, BEP 27 private torrents).
//!
//! One tracker at a time. A round begins at the first tracker of the first tier and ends at the first that answers,
//! which moves to the front of its tier; a private torrent begins at the tracker that answered last. When none answers,
//! the next round waits 15 s, 30 s, … up to 30 min. `started` is said to each tracker once before anything else,
//! `completed` once in all, and `stopped` to those that answered `started`.
//!
//! The wait between two answered announces is the tracker's, but never under the floor and never over the ceiling:
//! a tracker that says "interval 0" is asked once a minute. Only `completed` does not wait.

use std::time::Duration;

use chunkcast::time::Instant;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use url::Url;

use super::announce::{AnnounceResponse, Event};

/// Waits and limits of a [`Schedule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// Least wait between two announces, whatever the tracker says.
    pub floor: Duration,
    /// Longest wait, whatever the tracker says.
    pub ceiling: Duration,
    /// Wait when the tracker says none.
    pub default_interval: Duration,
    /// Wait before an early announce for more peers when the tracker says no `min interval`.
    pub early_interval: Duration,
    /// Wait after the first round that nobody answered; it doubles.
    pub first_backoff: Duration,
    /// Longest wait after rounds that nobody answered.
    pub max_backoff: Duration,
    /// Trackers kept; later ones are left out.
    pub max_trackers: usize,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(60), // guess: the usual `min interval`
            ceiling: Duration::from_secs(2 * 3600), // guess: four times the usual interval
            default_interval: Duration::from_secs(1800), // BEP 3 trackers' usual value
            early_interval: Duration::from_secs(300), // guess: a sixth of the usual interval
            first_backoff: Duration::from_secs(15), // BEP 15's first wait
            max_backoff: Duration::from_secs(1800), // the default interval
            max_trackers: 64,               // guess: long public lists have 30
        }
    }
}

impl ScheduleConfig {
    /// Checks that waits are ordered and that there is room for a tracker.
    ///
    /// # Errors
    /// The field that is wrong, and how.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.floor > self.ceiling {
            return Err("floor is above ceiling: no wait would satisfy both");
        }
        if self.first_backoff.is_zero() || self.first_backoff > self.max_backoff {
            return Err("first_backoff must be above 0 and at most max_backoff");
        }
        if self.max_trackers == 0 {
            return Err("max_trackers must be at least 1");
        }
        Ok(())
    }
}

/// An announce to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Index of the tracker, for [`Schedule::url`].
    pub tracker: usize,
    /// What to say.
    pub event: Event,
}

#[derive(Debug)]
struct Tracker {
    url: Url,
    started: bool,
    id: Option<Vec<u8>>,
}

/// `completed` is said once, and only if the download became complete here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completed {
    NotYet,
    Due,
    Done,
}

/// The schedule of one torrent.
///
/// [`poll_announce`](Self::poll_announce) gives the announce to make; report its outcome with
/// [`handle_answer`](Self::handle_answer) or [`handle_failure`](Self::handle_failure) before the next one comes.
#[derive(Debug)]
pub struct Schedule {
    config: ScheduleConfig,
    private: bool,
    trackers: Vec<Tracker>,
    tiers: Vec<Vec<usize>>,
    rng: ChaCha8Rng,
    /// Trackers still to be tried in this round, last first; empty between rounds.
    round: Vec<usize>,
    in_flight: Option<Announce>,
    /// The tracker that answered last.
    current: Option<usize>,
    next: Instant,
    /// Earliest next announce to the tracker that answered last.
    earliest: Instant,
    failed_rounds: u32,
    completed: Completed,
}

impl Schedule {
    /// A schedule whose first announce is due at `now`. URLs that are not http, https or udp, and those that were seen
    /// before, are left out. `complete`: there is nothing to download, so `completed` is never said.
    pub fn new(
        config: ScheduleConfig,
        tiers: &[Vec<String>],
        private: bool,
        complete: bool,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut kept = Vec::new();
        for tier in tiers {
            let mut indexes = Vec::new();
            for url in tier.iter().filter_map(|text| usable(text)) {
                if trackers.len() < config.max_trackers && trackers.iter().all(|t| t.url != url) {
                    indexes.push(trackers.len());
                    trackers.push(Tracker {
                        url,
                        started: false,
                        id: None,
                    });
                }
            }
            indexes.shuffle(&mut rng);
            if !indexes.is_empty() {
                kept.push(indexes);
            }
        }
        Self {
            config,
            private,
            trackers,
            tiers: kept,
            rng,
            round: Vec::new(),
            in_flight: None,
            current: None,
            next: now,
            earliest: now,
            failed_rounds: 0,
            completed: if complete {
                Completed::Done
            } else {
                Completed::NotYet
            },
        }
    }

    /// Takes over from the schedule of other trackers: those that are here too go on as they were; the last announces of the
    /// others are what [`Schedule::stop`] of `old` then gives.
    pub fn take_over(&mut self, old: &mut Self, now: Instant) {
        for (at, tracker) in self.trackers.iter_mut().enumerate() {
            let Some(was) = old.trackers.iter().position(|o| o.url == tracker.url) else {
                continue;
            };
            let kept = &mut old.trackers[was];
            tracker.started = std::mem::take(&mut kept.started);
            tracker.id = kept.id.take();
            if old.current == Some(was) {
                self.current = Some(at);
                self.earliest = old.earliest;
                self.next = old.earliest.max(now);
            }
        }
        self.completed = match (old.completed, self.completed) {
            // whoever is asked next is told
            (Completed::Due, _) => std::mem::replace(&mut old.completed, Completed::Done),
            (Completed::Done, _) => Completed::Done,
            (Completed::NotYet, own) => own,
        };
    }

    /// Every tracker with its tier, by index.
    pub fn trackers(&self) -> Vec<(usize, &Url)> {
        let tier = |at: usize| self.tiers.iter().position(|tier| tier.contains(&at));
        let all = self.trackers.iter().enumerate();
        all.map(|(at, t)| (tier(at).unwrap_or_default(), &t.url))
            .collect()
    }

    /// Who is asked next, unless an announce is under way.
    pub fn upcoming(&self) -> Option<usize> {
        let next = self.round.last().copied();
        next.or_else(|| self.order().first().copied())
            .filter(|_| self.in_flight.is_none())
    }

    /// Whether there is no tracker to talk to.
    pub fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    /// The announce URL of a tracker.
    pub fn url(&self, tracker: usize) -> &Url {
        &self.trackers[tracker].url
    }

    /// What the tracker wants to be reminded of.
    pub fn tracker_id(&self, tracker: usize) -> Option<&[u8]> {
        self.trackers[tracker].id.as_deref()
    }

    /// The announce to make now, if one is due and none is under way.
    pub fn poll_announce(&mut self, now: Instant) -> Option<Announce> {
        if self.in_flight.is_some() || now < self.next {
            return None;
        }
        if self.round.is_empty() {
            self.round = self.order();
            self.round.reverse();
        }
        let tracker = self.round.pop()?;
        let event = match (self.trackers[tracker].started, self.completed) {
            (false, _) => Event::Started,
            (true, Completed::Due) => Event::Completed,
            (true, _) => Event::Regular,
        };
        self.in_flight = Some(Announce { tracker, event });
        self.in_flight
    }

    /// When an announce is due; `None` while one is under way or without trackers.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.in_flight.is_none() && !self.is_empty()).then_some(self.next)
    }

    /// The announce under way was answered.
    pub fn handle_answer(&mut self, answer: &AnnounceResponse, now: Instant) {
        let Some(Announce { tracker, event }) = self.in_flight.take() else {
            return;
        };
        self.round.clear();
        self.failed_rounds = 0;
        self.current = Some(tracker);
        let entry = &mut self.trackers[tracker];
        entry.started = true;
        if answer.tracker_id.is_some() {
            entry.id.clone_from(&answer.tracker_id);
        }
        if event == Event::Completed {
            self.completed = Completed::Done;
        }
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|&t| t == tracker) {
                tier[..=at].rotate_right(1);
            }
        }
        let clamp = |wait: Duration| wait.min(self.config.ceiling).max(self.config.floor);
        let least = clamp(answer.min_interval.unwrap_or(self.config.early_interval));
        let interval = answer.interval.unwrap_or(self.config.default_interval);
        let wait = clamp(interval.max(answer.min_interval.unwrap_or_default()));
        self.earliest = now + least.min(wait);
        self.next = now + wait;
        if self.completed == Completed::Due {
            self.next = now;
        }
    }

    /// The announce under way failed: the next tracker is tried at once, or all of them again later.
    pub fn handle_failure(&mut self, now: Instant) {
        if self.in_flight.take().is_none() {
            return;
        }
        self.next = now;
        if self.round.is_empty() {
            let doubled = self
                .config
                .first_backoff
                .saturating_mul(1u32.checked_shl(self.failed_rounds.min(16)).unwrap_or(1))
                .min(self.config.max_backoff);
            self.failed_rounds = self.failed_rounds.saturating_add(1);
            self.next = now + doubled.mul_f64(self.rng.random_range(0.75..=1.25));
            self.earliest = self.next;
        }
    }

    /// The download has become complete: said at once if a tracker is known to answer.
    pub fn handle_completed(&mut self, now: Instant) {
        if self.completed == Completed::NotYet {
            self.completed = Completed::Due;
            if self.failed_rounds == 0 && self.round.is_empty() {
                self.next = self.next.min(now);
            }
        }
    }

    /// More peers are wanted: the next announce comes as early as the tracker and the floor allow.
    pub fn handle_need_peers(&mut self) {
        if self.round.is_empty() {
            self.next = self.next.min(self.earliest);
        }
    }

    /// Ends the schedule; gives the last announces: `stopped` to the trackers that answered `started`, the one that
    /// answered last first, and before that a `completed` to this one, if that was still to be said.
    pub fn stop(&mut self) -> Vec<Announce> {
        let under_way = self.in_flight.take().map(|a| a.event);
        let mut started: Vec<usize> = (0..self.trackers.len())
            .filter(|&t| self.trackers[t].started)
            .collect();
        started.sort_by_key(|&t| Some(t) != self.current);
        for tracker in &mut self.trackers {
            tracker.started = false;
        }
        let say = |event| move |tracker| Announce { tracker, event };
        let due = std::mem::replace(&mut self.completed, Completed::Done) == Completed::Due;
        let unsaid = due && under_way != Some(Event::Completed);
        let completed = started.first().copied().filter(|_| unsaid);
        completed
            .map(say(Event::Completed))
            .into_iter()
            .chain(started.into_iter().map(say(Event::Stopped)))
            .collect()
    }

    /// The order of a round.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = self.tiers.iter().flatten().copied().collect();
        if let (true, Some(current)) = (self.private, self.current)
            && let Some(at) = order.iter().position(|&t| t == current)
        {
            order[..=at].rotate_right(1);
        }
        order
    }
}

/// The URL if we can announce to it.
fn usable(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let known = matches!(url.scheme(), "http" | "https")
        || (url.scheme() == "udp" && url.port().is_some_and(|p| p != 0));
    (known && url.host_str().is_some_and(|h| !h.is_empty())).then_some(url)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
