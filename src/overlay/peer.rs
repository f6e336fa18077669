//! What is known of one node: where it is, how fast and how recently it answered.

use std::time::Duration;

use crate::coords::Coord;
use crate::time::Instant;
use crate::wire::{Contact, Token};

/// Shortest time to wait for an answer.
const MIN_TIMEOUT: Duration = Duration::from_millis(150); // guess: longer than a busy machine hesitates
/// What an answer may take longer than the smoothed round trip at least: on a path without jitter the deviation is zero.
const MARGIN: Duration = Duration::from_millis(50); // guess: a scheduling delay at either end
/// How much longer than the smoothed round trip an answer takes at least to be late.
const LATE: Duration = Duration::from_millis(30); // guess: a scheduling delay; being wrong costs one datagram
/// Longest time to wait for an answer.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(3); // guess

/// A node that has answered this one.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its id, address and last told coordinate.
    pub(crate) contact: Contact,
    /// Smoothed round-trip time and its mean deviation (RFC 6298).
    rtt: Option<(Duration, Duration)>,
    /// What it gave us for requests that need one.
    pub(crate) token: Option<Token>,
    /// The token was refused and replaced, and nothing was accepted since.
    pub(crate) token_refused: bool,
    /// Last datagram of any kind.
    pub(crate) last_heard: Instant,
    /// Since when it owes an answer.
    pub(crate) suspect: Option<Instant>,
    /// Requests in a row that it did not answer.
    pub(crate) missed: u8,
    /// Last ping.
    pub(crate) pinged: Instant,
}

impl Peer {
    pub(crate) fn new(contact: Contact, now: Instant) -> Self {
        Self {
            contact,
            rtt: None,
            token: None,
            token_refused: false,
            last_heard: now,
            suspect: None,
            missed: 0,
            pinged: Instant::ZERO,
        }
    }

    /// It answered, after `rtt` if the answer was immediate.
    pub(crate) fn answered(&mut self, contact: Contact, rtt: Option<Duration>, now: Instant) {
        self.contact = contact;
        self.last_heard = now;
        self.suspect = None;
        self.missed = 0;
        let Some(sample) = rtt else { return };
        self.rtt = Some(match self.rtt {
            None => (sample, sample / 2),
            Some((srtt, var)) => (
                (srtt * 7 + sample) / 8,
                (var * 3 + srtt.abs_diff(sample)) / 4,
            ),
        });
    }

    /// It has a new address: what was measured and issued for the old one is void.
    pub(crate) fn moved(&mut self) {
        self.rtt = None;
        self.token = None;
    }

    /// Smoothed round-trip time; [`Duration::MAX`] before the first sample.
    pub(crate) fn measured(&self) -> Duration {
        self.rtt.map_or(Duration::MAX, |(srtt, _)| srtt)
    }

    /// How far it is: measured, else predicted from `here`.
    pub(crate) fn proximity(&self, here: &Coord) -> Duration {
        self.rtt
            .map_or_else(|| here.rtt(&self.contact.coord), |(srtt, _)| srtt)
    }

    /// When an answer is late, before it is overdue: a route tries another way meanwhile. `None` if nothing is known of
    /// the path, or not much later the answer is overdue anyway.
    pub(crate) fn late(&self, here: &Coord) -> Option<Duration> {
        let (srtt, var) = self.rtt?;
        let late = srtt + (var * 2).max(LATE);
        (late + LATE <= self.timeout(here)).then_some(late)
    }

    /// How long to wait for its answer.
    pub(crate) fn timeout(&self, here: &Coord) -> Duration {
        match self.rtt {
            Some((srtt, var)) => (srtt + (var * 4).max(MARGIN)).clamp(MIN_TIMEOUT, MAX_TIMEOUT),
            None => predicted_timeout(here, &self.contact.coord),
        }
    }
}

/// How long to wait for the first answer of a node that is only known by its coordinate. The error of a coordinate is
/// relative, so the four errors are of the estimate; whoever has never been measured is given the longest time.
pub(crate) fn predicted_timeout(here: &Coord, there: &Coord) -> Duration {
    let error = here.error.max(there.error).clamp(0.0, 1.0);
    if error >= 1.0 {
        return MAX_TIMEOUT;
    }
    let estimate = here.rtt(there).min(MAX_TIMEOUT);
    (estimate.mul_f64(1.5 + 4.0 * error) + Duration::from_millis(50))
        .clamp(MIN_TIMEOUT, MAX_TIMEOUT)
}
