//! Closed networks: every datagram is sealed with one key that all members share, and opened before anything of it is
//! parsed.
//!
//! # Layout
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | [`MARKER`], `0xcc`: no bencoded value begins with it |
//! | 8 | session: random, drawn by the sender at every start |
//! | 8 | counter, big-endian: grows with every datagram of the session; max(last + 1, microseconds since 1970) |
//! | n | the bencoded datagram |
//! | 16 | MAC: the first 16 bytes of HMAC-SHA-256 over everything before it, under the network key |
//!
//! # Opening
//! In this order, so that a stranger costs one MAC and no memory: length and marker; the MAC, in constant time; the own
//! session (a datagram that was turned back); the counter, which is at most [`SealConfig::tolerance`] from the own wall
//! clock; the session's replay window. Only then is the datagram parsed.
//!
//! The window of a session is the set of counters that arrived last: at most [`SealConfig::window`] of them, and none
//! older than [`SealConfig::reorder`] before the highest. What is below the window counts as seen. A session is forgotten
//! only when its highest counter has left the tolerance, so that nothing of it would be accepted again; an unknown
//! session has to begin above all counters of the forgotten ones, so that a clock that was set back opens nothing.
//!
//! A datagram whose counter is too far from the clock is answered by an empty sealed one, at most once a second, unless it
//! is empty itself: otherwise whoever has a wrong clock would hear of nobody.
//!
//! The addresses are not sealed, since a NAT rewrites them: a datagram can be diverted to another member once, while it
//! is fresh. Requests that change something also carry a token of the receiver for the sender's address.
//!
//! After a restart the windows are empty. What was sealed before then still opens for the tolerance, but its tokens do
//! not hold.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{CLOCK_TOLERANCE, hex};

/// First byte of every sealed datagram.
pub const MARKER: u8 = 0xcc;
/// Bytes that the seal adds to a datagram.
pub const SEAL_OVERHEAD: usize = HEADER + MAC;

/// Marker, session, counter.
const HEADER: usize = 1 + 8 + 8;
/// Truncated HMAC-SHA-256.
const MAC: usize = 16;

/// The key of a closed network.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey(pub [u8; 32]);

/// The text is no network key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network key is 64 hexadecimal digits, for example the output of `openssl rand -hex 32`")]
pub struct ParseKeyError;

impl FromStr for NetworkKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        hex::bytes32(text).map(NetworkKey).ok_or(ParseKeyError)
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey(secret)")
    }
}

/// Bounds of what an opener remembers.
#[derive(Clone, Debug)]
pub struct SealConfig {
    /// How far a counter may be from the own wall clock.
    pub tolerance: Duration,
    /// Sessions that are remembered; only who has the key makes one.
    pub sessions: usize,
    /// Counters of one session that are remembered.
    pub window: usize,
    /// How much older than the session's newest a datagram may be.
    pub reorder: Duration,
}

impl Default for SealConfig {
    fn default() -> Self {
        Self {
            tolerance: CLOCK_TOLERANCE,
            sessions: 65_536,
            window: 1_024, // a second of 1,000 datagrams from one sender
            reorder: Duration::from_secs(2), // guess: twice what a link holds a datagram back
        }
    }
}

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or without the marker: a datagram of an open network, or noise.
    #[error("the datagram is not sealed")]
    NotSealed,
    /// Sealed with another key, or changed on the way.
    #[error("the seal does not verify")]
    Forged,
    /// Sealed by this node itself.
    #[error("the datagram was sealed here")]
    Own,
    /// Too far from the own wall clock.
    #[error("the datagram was sealed at a time that is too far from the own clock")]
    Clock,
    /// Opened before, or older than the window.
    #[error("the datagram has been seen before")]
    Replayed,
    /// A new session, and the table of sessions is full of living ones.
    #[error("more sessions are alive than the table holds")]
    Sessions,
}

/// Seals what one node sends and opens what it receives.
pub struct Seal {
    keyed: Hmac<Sha256>,
    session: [u8; 8],
    last: u64,
    config: SealConfig,
    /// By the session as a number.
    sessions: BTreeMap<u64, Window>,
    /// No forgotten session has a counter above this.
    forgotten: u64,
    /// Sessions at which the stale ones are looked for.
    sweep_at: usize,
    /// Wall time in microseconds before which a full table is not searched again.
    sweep_after: u64,
}

/// Counters of a session that have arrived.
#[derive(Debug, Default)]
struct Window {
    /// Ascending.
    seen: VecDeque<u64>,
    /// This one and all below count as seen.
    floor: u64,
    highest: u64,
}

impl Seal {
    /// The seal of one node. `session` must come from a source of entropy, anew at every start.
    pub fn new(key: &NetworkKey, session: [u8; 8], config: SealConfig) -> Self {
        Self {
            keyed: Hmac::new_from_slice(&key.0).expect("HMAC takes keys of any length"),
            session,
            last: 0,
            config,
            sessions: BTreeMap::new(),
            forgotten: 0,
            sweep_at: SWEEP,
            sweep_after: 0,
        }
    }

    /// Seals under a new session from now on: after the wall clock was set back the counters of the old one lie in the
    /// future.
    pub fn restart(&mut self, session: [u8; 8]) {
        self.session = session;
        self.last = 0;
    }

    /// The payload, sealed: [`SEAL_OVERHEAD`] bytes longer. `wall` is the time since 1970.
    pub fn seal(&mut self, payload: &[u8], wall: Duration) -> Vec<u8> {
        self.last = micros(wall).max(self.last.saturating_add(1));
        let mut out = Vec::with_capacity(payload.len() + SEAL_OVERHEAD);
        out.push(MARKER);
        out.extend(self.session);
        out.extend(self.last.to_be_bytes());
        out.extend(payload);
        let mac = self.keyed.clone().chain_update(&out).finalize();
        out.extend(&mac.into_bytes()[..MAC]);
        out
    }

    /// What was sealed, once.
    ///
    /// # Errors
    /// [`OpenError`]: whoever reads on drops the datagram and counts it.
    pub fn open<'a>(&mut self, datagram: &'a [u8], wall: Duration) -> Result<&'a [u8], OpenError> {
        let (session, counter, payload) = self.verify(datagram)?;
        if session == self.session {
            return Err(OpenError::Own);
        }
        let wall = micros(wall);
        if counter.abs_diff(wall) > micros(self.config.tolerance) {
            return Err(OpenError::Clock);
        }
        self.fresh(u64::from_be_bytes(session), counter, wall)?;
        Ok(payload)
    }

    /// Sessions that are remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn verify<'a>(&self, datagram: &'a [u8]) -> Result<([u8; 8], u64, &'a [u8]), OpenError> {
        let body = datagram.len().checked_sub(MAC);
        let Some((sealed, mac)) = body
            .filter(|body| *body >= HEADER && datagram[0] == MARKER)
            .map(|body| datagram.split_at(body))
        else {
            return Err(OpenError::NotSealed);
        };
        self.keyed
            .clone()
            .chain_update(sealed)
            .verify_truncated_left(mac)
            .map_err(|_| OpenError::Forged)?;
        let (header, payload) = sealed.split_at(HEADER);
        let eight = |at: usize| <[u8; 8]>::try_from(&header[at..at + 8]).expect("8 bytes");
        Ok((eight(1), u64::from_be_bytes(eight(9)), payload))
    }

    fn fresh(&mut self, session: u64, counter: u64, wall: u64) -> Result<(), OpenError> {
        let reorder = micros(self.config.reorder);
        if let Some(window) = self.sessions.get_mut(&session) {
            return window.take(counter, self.config.window, reorder);
        }
        if counter <= self.forgotten {
            return Err(OpenError::Replayed);
        }
        self.make_room(wall)?;
        let mut window = Window {
            // Nothing of this session was remembered: what its reordering allows is unknown, not seen.
            floor: self.forgotten,
            ..Window::default()
        };
        window.take(counter, self.config.window, reorder)?;
        self.sessions.insert(session, window);
        Ok(())
    }

    /// Forgets sessions of which nothing would be accepted any more.
    fn make_room(&mut self, wall: u64) -> Result<(), OpenError> {
        let cap = self.config.sessions;
        let full = self.sessions.len() >= cap;
        if self.sessions.len() < self.sweep_at.min(cap) {
            return Ok(());
        }
        if full && wall < self.sweep_after {
            return Err(OpenError::Sessions);
        }
        let oldest = wall.saturating_sub(micros(self.config.tolerance));
        let mut forgotten = self.forgotten;
        self.sessions.retain(|_, window| {
            let alive = window.highest >= oldest;
            if !alive {
                forgotten = forgotten.max(window.highest);
            }
            alive
        });
        self.forgotten = forgotten;
        self.sweep_at = (2 * self.sessions.len()).max(SWEEP);
        self.sweep_after = wall.saturating_add(SWEEP_PAUSE);
        match self.sessions.len() < cap {
            true => Ok(()),
            false => Err(OpenError::Sessions),
        }
    }
}

/// Fewer sessions are not worth a look.
const SWEEP: usize = 64; // guess
/// Microseconds between two searches of a full table.
const SWEEP_PAUSE: u64 = 1_000_000; // guess

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

impl Window {
    fn take(&mut self, counter: u64, most: usize, reorder: u64) -> Result<(), OpenError> {
        // most datagrams arrive in order
        let at = match self.seen.back() {
            Some(last) if counter <= *last => self.seen.binary_search(&counter),
            _ => Err(self.seen.len()),
        };
        let Err(at) = at else {
            return Err(OpenError::Replayed);
        };
        if counter <= self.floor {
            return Err(OpenError::Replayed);
        }
        self.seen.insert(at, counter);
        self.highest = self.highest.max(counter);
        let oldest = self.highest.saturating_sub(reorder);
        while self.seen.len() > most.max(1) || self.seen.front().is_some_and(|c| *c < oldest) {
            self.floor = self.seen.pop_front().unwrap_or(self.floor).max(self.floor);
        }
        self.floor = self.floor.max(oldest.saturating_sub(1));
        Ok(())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
