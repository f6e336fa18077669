//! Global budgets: how many connections there are, how many are on their way, how many pieces are hashed, how often the
//! directory is asked, how fast bytes come and go, and how much memory they take.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::limiter::{Limiter, Limiters, Rates};
use super::memory::{DEFAULT_MEMORY, MAX_MEMORY, MIN_MEMORY, Memory};

/// How long a lookup waits for its turn before it is given up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5); // guess: the client waits 10 s for the answer

/// Sizes of the budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Connections with a complete handshake, in all torrents together.
    pub connections: usize,
    /// Outgoing attempts at a time: dialling and handshake.
    pub half_open: usize,
    /// Callers that have not completed their handshake, over each transport. One more ends the oldest.
    pub callers: usize,
    /// Pieces that are hashed and written at a time.
    pub hash_jobs: usize,
    /// Files that are open at a time.
    pub open_files: usize,
    /// Questions to the directory a second, and as many at once.
    pub lookups: u32,
    /// Bytes a second of all torrents together.
    pub rates: Rates,
    /// Bytes a second of each torrent, under those of all.
    pub torrent_rates: Rates,
    /// No rate holds for a peer to which a round-trip of at most that long was measured; `None`: rates hold for all.
    pub exempt_rtt: Option<Duration>,
    /// Bytes of pieces and blocks in memory, in all torrents together: see [`Memory`] for what counts and its shares.
    pub memory: u64,
}

/// Round-trip time up to which a peer counts as one on the local network, for [`LimitsConfig::exempt_rtt`].
pub const LOCAL_RTT: Duration = Duration::from_millis(3); // guess: Wi-Fi takes 1 to 3 ms, an access line more

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 500, // aria2's and qBittorrent's global default
            half_open: 50,    // guess: an attempt takes up to 15 s, so at least 3 a second
            callers: 100,     // guess: a slow caller holds its place for 10 s
            hash_jobs: 4,     // guess: four cores hash 2 GB/s
            open_files: 512,  // guess: half of the usual `ulimit -n`
            lookups: 50,      // guess: 500 torrents that ask every 10 s
            rates: Rates::default(),
            torrent_rates: Rates::default(),
            exempt_rtt: None, // a limit is for all unless the user says otherwise
            memory: DEFAULT_MEMORY,
        }
    }
}

impl LimitsConfig {
    /// Fewest open files: what the jobs of one torrent have at a time, and some between jobs.
    pub const LEAST_OPEN_FILES: usize = 32;

    /// Whether the budgets let anything happen.
    ///
    /// # Errors
    /// One line that names the field.
    pub fn validate(&self) -> Result<(), &'static str> {
        let fields = [
            (self.connections, "connections must be 1 to 1000000"),
            (self.half_open, "half_open must be 1 to 1000000"),
            (self.callers, "callers must be 1 to 1000000"),
            (self.hash_jobs, "hash_jobs must be 1 to 1000000"),
        ];
        if !(Self::LEAST_OPEN_FILES..=1_000_000).contains(&self.open_files) {
            return Err("open_files must be 32 to 1000000");
        }
        if !(1..=1_000_000).contains(&self.lookups) {
            return Err("lookups must be 1 to 1000000");
        }
        if !(MIN_MEMORY..=MAX_MEMORY).contains(&self.memory) {
            return Err("memory must be 8 MiB to 1 TiB");
        }
        match fields
            .iter()
            .find(|(value, _)| !(1..=1_000_000).contains(value))
        {
            Some((_, message)) => Err(message),
            None => Ok(()),
        }
    }
}

/// The budgets of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Limits {
    connections: Arc<Places>,
    half_open: Arc<Semaphore>,
    hash_jobs: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    lookups: Limiter,
    rates: Limiters,
    memory: Memory,
}

/// A place in a budget, given back when it is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Permit {
    _place: Place,
}

#[derive(Debug)]
enum Place {
    /// It is held, not read.
    Semaphore(#[allow(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit),
    Connection(Arc<Places>),
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Connection(places) = self {
            places.used.fetch_sub(1, Relaxed);
        }
    }
}

/// Places of which there may be more or fewer at any time. Those in use are not taken back.
#[derive(Debug)]
struct Places {
    most: AtomicUsize,
    used: AtomicUsize,
}

impl Places {
    fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let most = self.most.load(Relaxed);
        let more = |used: usize| (used < most).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Permit {
            _place: Place::Connection(self.clone()),
        })
    }
}

impl Limits {
    /// Budgets of these sizes.
    ///
    /// # Panics
    /// When a size is far beyond what [`LimitsConfig::validate`] lets pass.
    pub fn new(config: &LimitsConfig) -> Self {
        let budget = |size| Arc::new(Semaphore::new(size));
        Self {
            connections: Arc::new(Places {
                most: AtomicUsize::new(config.connections),
                used: AtomicUsize::new(0),
            }),
            half_open: budget(config.half_open),
            hash_jobs: budget(config.hash_jobs),
            checks: budget(config.hash_jobs.div_ceil(2)), // each hashes two pieces at a time
            lookups: Limiter::of_events(NonZeroU32::new(config.lookups).unwrap_or(NonZeroU32::MIN)),
            rates: Limiters::new(config.rates),
            memory: Memory::new(config.memory),
        }
    }

    /// The rate limits of all torrents together.
    pub fn rates(&self) -> &Limiters {
        &self.rates
    }

    /// Waits in line for a lookup's turn; `false` when there are too many for it to be soon.
    #[must_use = "without its turn a lookup is not made"]
    pub async fn lookup(&self) -> bool {
        timeout(LOOKUP_PATIENCE, self.lookups.event()).await.is_ok()
    }

    /// Waits for a place to check a torrent's existing data, in the order of asking.
    pub async fn check(&self) -> Permit {
        take(&self.checks).await
    }

    /// A place for a connection, in either direction; `None` when there are enough.
    pub fn try_connection(&self) -> Option<Permit> {
        self.connections.try_take()
    }

    /// Waits for a place to dial, in the order of asking.
    pub async fn half_open(&self) -> Permit {
        take(&self.half_open).await
    }

    /// A place to dial now; `None` when too many attempts are under way.
    pub fn try_half_open(&self) -> Option<Permit> {
        try_take(&self.half_open)
    }

    /// Waits for a place to hash a piece, in the order of asking.
    pub async fn hash_job(&self) -> Permit {
        take(&self.hash_jobs).await
    }

    /// The memory that the bytes of pieces may take.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Connections that there is still room for.
    pub fn free_connections(&self) -> usize {
        let most = self.connections.most.load(Relaxed);
        most.saturating_sub(self.connections())
    }

    /// Connections that there are.
    pub fn connections(&self) -> usize {
        self.connections.used.load(Relaxed)
    }

    /// So many connections from now on; those that are too many stay until they end.
    pub fn set_connections(&self, most: usize) {
        self.connections.most.store(most, Relaxed);
    }
}

async fn take(budget: &Arc<Semaphore>) -> Permit {
    let permit = Arc::clone(budget).acquire_owned().await;
    Permit {
        _place: Place::Semaphore(permit.expect("the semaphore is never closed")),
    }
}

fn try_take(budget: &Arc<Semaphore>) -> Option<Permit> {
    Arc::clone(budget)
        .try_acquire_owned()
        .ok()
        .map(|permit| Permit {
            _place: Place::Semaphore(permit),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_of_each() -> Limits {
        Limits::new(&LimitsConfig {
            connections: 2,
            half_open: 2,
            callers: 2,
            hash_jobs: 2,
            memory: MIN_MEMORY,
            ..LimitsConfig::default()
        })
    }

    #[test]
    fn a_connection_beyond_the_budget_is_refused_until_one_ends() {
        let limits = two_of_each();
        let first = limits.try_connection().expect("room for two");
        let _second = limits.clone().try_connection().expect("room for two");
        assert!(limits.try_connection().is_none());
        assert_eq!(limits.free_connections(), 0);
        drop(first);
        assert_eq!(limits.free_connections(), 1);
        assert!(limits.try_connection().is_some());
    }

    #[test]
    fn another_number_of_connections_holds_at_once_and_ends_none() {
        let limits = two_of_each();
        let taken = [limits.try_connection(), limits.try_connection()];
        limits.set_connections(3);
        let third = limits.try_connection().expect("room for three");
        assert!(limits.try_connection().is_none());
        limits.set_connections(1);
        assert_eq!((limits.connections(), limits.free_connections()), (3, 0));
        drop((taken, third));
        assert_eq!((limits.connections(), limits.free_connections()), (0, 1));
    }

    #[tokio::test]
    async fn dialling_waits_for_an_attempt_to_end() {
        let limits = two_of_each();
        let first = limits.half_open().await;
        let _second = limits.half_open().await;
        assert!(limits.try_half_open().is_none());
        let third = limits.half_open();
        tokio::pin!(third);
        tokio::select! {
            biased;
            _ = &mut third => panic!("a third of two"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        let _third = third.await;
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_of_all_torrents_share_a_budget_and_do_not_pile_up() {
        let limits = Limits::new(&LimitsConfig {
            lookups: 10,
            ..LimitsConfig::default()
        });
        let mut asking = tokio::task::JoinSet::new();
        for torrent in 0..100 {
            let limits = limits.clone();
            asking.spawn(async move { (torrent, limits.lookup().await) });
        }
        let begin = tokio::time::Instant::now();
        let (mut made, mut given_up) = (Vec::new(), 0);
        while let Some(Ok((torrent, asks))) = asking.join_next().await {
            match asks {
                true => made.push(torrent),
                false => given_up += 1,
            }
        }
        // ten at once and ten a second, for as long as they are patient
        assert!((59..=60).contains(&made.len()), "{}", made.len());
        assert_eq!(made.len() + given_up, 100);
        assert!(made.is_sorted(), "first come, first served: {made:?}");
        assert!(begin.elapsed() <= LOOKUP_PATIENCE + Duration::from_millis(10));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(limits.lookup().await, "who gave up holds nobody up");
    }

    #[test]
    fn empty_budgets_are_refused() {
        assert_eq!(LimitsConfig::default().validate(), Ok(()));
        for (field, bad) in [
            (
                "open_files",
                LimitsConfig {
                    open_files: 31,
                    ..LimitsConfig::default()
                },
            ),
            (
                "lookups",
                LimitsConfig {
                    lookups: 0,
                    ..LimitsConfig::default()
                },
            ),
        ] {
            assert!(bad.validate().is_err_and(|error| error.contains(field)));
        }
        let none = LimitsConfig {
            half_open: 0,
            ..LimitsConfig::default()
        };
        assert!(
            none.validate()
                .is_err_and(|error| error.contains("half_open"))
        );
    }
}
