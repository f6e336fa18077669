//! Rate limits that the connections of a torrent, or of the whole process, share: [`Bucket`]s with a clock and a queue.
//!
//! What is counted are the bytes on the wire of BitTorrent connections: messages with their headers, without those of
//! TCP and IP. Who waits waits in a line, first come, first served; as each takes a small portion at a time, many
//! connections share evenly, however low the rate is.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chunkcast::time::Instant;
use tokio::sync::{self, Notify};

use super::rate::Bucket;
use super::units::Rate;

/// Portions a second: at most this share of a second's bytes is taken at a time.
const PORTIONS: u64 = 100; // guess: 10 ms, so that a line of 20 takes 0.2 s

/// Smallest portion, in bytes.
const MIN_PORTION: u64 = 1 << 10; // guess: less than a packet makes only more packets

/// Limits of a torrent or of the process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Limiters {
    /// What comes in.
    pub down: Limiter,
    /// What goes out.
    pub up: Limiter,
}

/// The rates of a torrent or of the process; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// What comes in.
    pub down: Option<Rate>,
    /// What goes out.
    pub up: Option<Rate>,
}

impl Limiters {
    /// Limits at these rates.
    pub fn new(rates: Rates) -> Self {
        let limiters = Self::default();
        limiters.set(rates);
        limiters
    }

    /// Other rates from now on, for those who wait already too.
    pub fn set(&self, rates: Rates) {
        self.down.set(rates.down);
        self.up.set(rates.up);
    }

    /// The rates.
    pub fn rates(&self) -> Rates {
        Rates {
            down: self.down.rate(),
            up: self.up.rate(),
        }
    }
}

/// A limit in one direction, or none. Clones share it.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: tokio::time::Instant,
    /// Bytes a second; 0: no limit.
    rate: AtomicU64,
    bucket: Mutex<Option<Bucket>>,
    /// Whoever holds this is the next to take; the others wait for it in the order of asking.
    turn: sync::Mutex<()>,
    changed: Notify,
}

/// The next place in a line; who holds it may take.
type Turn<'a> = Option<sync::MutexGuard<'a, ()>>;

impl Default for Limiter {
    /// No limit.
    fn default() -> Self {
        Self(Arc::new(Shared {
            epoch: tokio::time::Instant::now(),
            rate: AtomicU64::new(0),
            bucket: Mutex::default(),
            turn: sync::Mutex::default(),
            changed: Notify::new(),
        }))
    }
}

impl Limiter {
    /// A limit, or none.
    pub fn new(rate: Option<Rate>) -> Self {
        let limiter = Self::default();
        limiter.set(rate);
        limiter
    }

    /// A limit of events: `per_second` of them, and as many at once after a pause.
    pub fn of_events(per_second: NonZeroU32) -> Self {
        let limiter = Self::default();
        *limiter.bucket() = Some(Bucket::of_events(per_second, limiter.now()));
        let per_second = u64::from(per_second.get());
        limiter.0.rate.store(per_second, Ordering::Relaxed);
        limiter
    }

    /// Waits in line until one event may happen, and takes it.
    pub async fn event(&self) {
        let _turn = self.turn(1).await;
        self.charge(1);
    }

    /// Another rate from now on, or none, for those who wait already too.
    pub fn set(&self, rate: Option<Rate>) {
        let now = self.now();
        let mut bucket = self.bucket();
        match (&mut *bucket, rate) {
            (Some(bucket), Some(rate)) => bucket.set(rate, now),
            (bucket, rate) => *bucket = rate.map(|rate| Bucket::new(rate, now)),
        }
        self.0
            .rate
            .store(rate.map_or(0, Rate::bytes), Ordering::Relaxed);
        drop(bucket);
        self.0.changed.notify_waiters();
    }

    /// The rate; `None`: no limit.
    pub fn rate(&self) -> Option<Rate> {
        match self.0.rate.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(Rate::new(rate)),
        }
    }

    fn is_limited(&self) -> bool {
        self.0.rate.load(Ordering::Relaxed) > 0
    }

    /// What is to be taken at a time at most; `None`: anything.
    fn portion(&self) -> Option<u64> {
        let rate = self.rate()?;
        Some((rate.bytes() / PORTIONS).max(MIN_PORTION))
    }

    /// Waits in line until `bytes` may pass.
    async fn turn(&self, bytes: u64) -> Turn<'_> {
        self.is_limited().then_some(())?;
        let turn = self.0.turn.lock().await;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable(); // before the look at the rate
            let ready = self.bucket().as_mut()?.ready(bytes, self.now());
            let Some(ready) = ready else {
                return Some(turn);
            };
            let ready = self.0.epoch + ready.saturating_since(Instant::ZERO);
            tokio::select! {
                () = tokio::time::sleep_until(ready) => {}
                () = changed => {}
            }
        }
    }

    /// `bytes` pass.
    fn charge(&self, bytes: u64) {
        if self.is_limited()
            && let Some(bucket) = &mut *self.bucket()
        {
            bucket.charge(bytes, self.now());
        }
    }

    /// `bytes` did not pass after all.
    fn put_back(&self, bytes: u64) {
        if self.is_limited()
            && let Some(bucket) = &mut *self.bucket()
        {
            bucket.put_back(bytes, self.now());
        }
    }

    fn now(&self) -> Instant {
        let micros = self.0.epoch.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn bucket(&self) -> MutexGuard<'_, Option<Bucket>> {
        // a bucket is whole after every statement
        self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits that hold for one connection in one direction: its torrent's, and under it the process's.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    limiters: [Limiter; 2],
    exempt: Arc<AtomicBool>,
    /// The torrent does without the process's limits.
    alone: Arc<AtomicBool>,
}

impl Pacer {
    /// Whether nothing limits it now.
    pub fn is_free(&self) -> bool {
        self.is_exempt() || self.holding().iter().all(|l| !l.is_limited())
    }

    /// What is to be taken at a time at most, of `most`.
    pub fn portion(&self, most: usize) -> usize {
        if self.is_exempt() {
            return most;
        }
        let portion = self.holding().iter().filter_map(Limiter::portion).min();
        let portion = portion.and_then(|p| usize::try_from(p).ok());
        portion.map_or(most, |p| p.min(most))
    }

    /// Waits in line until `bytes` may pass, and takes them. Dropped before its end it has taken nothing, and has lost its
    /// place.
    pub async fn take(&self, bytes: usize) {
        if self.is_exempt() {
            return;
        }
        let bytes = bytes as u64;
        // always in this order; while one waits in the second line, its bytes stay in the first bucket
        let mut turns = [None, None];
        let holding = self.holding();
        for (limiter, turn) in holding.iter().zip(&mut turns) {
            *turn = limiter.turn(bytes).await;
        }
        holding.iter().for_each(|l| l.charge(bytes));
    }

    /// `bytes` that do not wait pass; others wait the longer, at most for a second.
    pub fn charge(&self, bytes: usize) {
        if !self.is_exempt() {
            let bytes = bytes as u64;
            self.holding().iter().for_each(|l| l.charge(bytes));
        }
    }

    /// `bytes` that were taken did not pass after all.
    pub fn put_back(&self, bytes: usize) {
        if bytes > 0 && !self.is_exempt() {
            let bytes = bytes as u64;
            self.holding().iter().for_each(|l| l.put_back(bytes));
        }
    }

    /// The limits that hold: the torrent's, and the process's.
    fn holding(&self) -> &[Limiter] {
        let [torrent, _] = &self.limiters;
        match self.alone.load(Ordering::Relaxed) {
            true => std::slice::from_ref(torrent),
            false => &self.limiters,
        }
    }

    fn is_exempt(&self) -> bool {
        self.exempt.load(Ordering::Relaxed)
    }
}

/// The limits that hold for one connection. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// What comes in.
    pub down: Pacer,
    /// What goes out.
    pub up: Pacer,
}

impl Pace {
    /// Limits of a connection of a torrent in this process.
    pub fn new(torrent: &Limiters, process: &Limiters) -> Self {
        let exempt = Arc::new(AtomicBool::new(false));
        let pacer = |torrent: &Limiter, process: &Limiter| Pacer {
            limiters: [torrent.clone(), process.clone()],
            exempt: exempt.clone(),
            alone: Arc::default(),
        };
        Self {
            down: pacer(&torrent.down, &process.down),
            up: pacer(&torrent.up, &process.up),
        }
    }

    /// The process's limits do not hold while `alone` is set.
    #[must_use]
    pub fn unless(mut self, alone: &Arc<AtomicBool>) -> Self {
        self.down.alone.clone_from(alone);
        self.up.alone.clone_from(alone);
        self
    }

    /// Whether the limits hold for this connection: not for one that is exempt.
    pub fn set_exempt(&self, exempt: bool) {
        self.down.exempt.store(exempt, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
