//! Global budgets: how many connections there are, how many are on their way, and how much memory they take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::memory::{DEFAULT_MEMORY, MAX_MEMORY, MIN_MEMORY, Memory};

/// Sizes of the budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Connections with a complete handshake, in all torrents together.
    pub connections: usize,
    /// Outgoing attempts at a time: dialling and handshake.
    pub half_open: usize,
    /// Callers that have not completed their handshake. One more ends the oldest.
    pub callers: usize,
    /// Pieces that are hashed at a time.
    pub hash_jobs: usize,
    /// Bytes of pieces and blocks in memory, in all torrents together: see [`Memory`] for what counts and its shares.
    pub memory: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 500, // aria2's and qBittorrent's global default
            half_open: 50,    // guess: an attempt takes up to 15 s, so at least 3 a second
            callers: 100,     // guess: a slow caller holds its place for 10 s
            hash_jobs: 4,     // guess: four cores hash 2 GB/s
            memory: DEFAULT_MEMORY,
        }
    }
}

impl LimitsConfig {
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
    connections: Arc<Semaphore>,
    half_open: Arc<Semaphore>,
    hash_jobs: Arc<Semaphore>,
    memory: Memory,
}

/// A place in a budget, given back when it is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Limits {
    /// Budgets of these sizes.
    ///
    /// # Panics
    /// When a size is far beyond what [`LimitsConfig::validate`] lets pass.
    pub fn new(config: &LimitsConfig) -> Self {
        let budget = |size| Arc::new(Semaphore::new(size));
        Self {
            connections: budget(config.connections),
            half_open: budget(config.half_open),
            hash_jobs: budget(config.hash_jobs),
            memory: Memory::new(config.memory),
        }
    }

    /// A place for a connection, in either direction; `None` when there are enough.
    pub fn try_connection(&self) -> Option<Permit> {
        try_take(&self.connections)
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
        self.connections.available_permits()
    }
}

async fn take(budget: &Arc<Semaphore>) -> Permit {
    let permit = Arc::clone(budget).acquire_owned().await;
    Permit {
        _permit: permit.expect("the semaphore is never closed"),
    }
}

fn try_take(budget: &Arc<Semaphore>) -> Option<Permit> {
    Arc::clone(budget)
        .try_acquire_owned()
        .ok()
        .map(|permit| Permit { _permit: permit })
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

    #[test]
    fn empty_budgets_are_refused() {
        assert_eq!(LimitsConfig::default().validate(), Ok(()));
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
