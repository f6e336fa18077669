//! Limits of one torrent's store.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::StorageError;

/// Called on the blocking thread before a verified piece is written, with its index; an error counts as the disk's. Tests
/// make a disk slow or full with it.
#[derive(Clone, Default)]
pub struct WriteHook(Option<Arc<dyn Fn(u32) -> io::Result<()> + Send + Sync>>);

impl WriteHook {
    /// A hook that does this.
    pub fn new(hook: impl Fn(u32) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn call(&self, piece: u32) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(piece))
    }
}

impl std::fmt::Debug for WriteHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "a hook" } else { "none" })
    }
}

impl PartialEq for WriteHook {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for WriteHook {}

/// Limits of one torrent's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Most file descriptors that the store holds at any moment, running jobs included. The least recently used file is
    /// closed first.
    pub max_open_files: usize,
    /// Most pieces hashed and written at the same time. The others wait in [`super::Storage::finish_piece`].
    pub piece_jobs: usize,
    /// Most blocks read at the same time. The others wait in [`super::Storage::read_block`].
    pub read_jobs: usize,
    /// Most pieces of existing data hashed at the same time.
    pub check_jobs: usize,
    /// A file that changed less than this ago vouches for nothing at the next start: the granularity of the file system's clock.
    pub settled: Duration,
    /// Called before each piece is written; none but in tests.
    pub before_write: WriteHook,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            // a quarter of the usual `ulimit -n` of 1024; sockets take the rest
            max_open_files: 256,
            piece_jobs: 4, // guess: one on the CPU, the others on the disk
            read_jobs: 8,  // guess: the queue depth that a SATA disk likes
            check_jobs: 2, // guess: one reads while the other hashes; more makes a spinning disk seek
            settled: Duration::from_secs(2), // FAT's, the coarsest there is
            before_write: WriteHook::default(),
        }
    }
}

impl StorageConfig {
    /// Checks the limits against each other.
    ///
    /// # Errors
    /// [`StorageError::Config`], naming the field.
    pub fn validate(&self) -> Result<(), StorageError> {
        let jobs = [self.piece_jobs, self.read_jobs, self.check_jobs];
        if jobs.contains(&0) {
            return Err(StorageError::Config(
                "piece_jobs, read_jobs and check_jobs must be at least 1",
            ));
        }
        if jobs.iter().any(|&n| n > 256) {
            return Err(StorageError::Config(
                "piece_jobs, read_jobs and check_jobs must be at most 256",
            ));
        }
        if self.max_open_files <= self.in_use() {
            return Err(StorageError::Config(
                "max_open_files must exceed 2 * piece_jobs + read_jobs + check_jobs",
            ));
        }
        Ok(())
    }

    /// Files that are kept open between jobs: every running job may hold one more that was already closed for the table.
    pub(super) fn kept_open(&self) -> usize {
        self.max_open_files - self.in_use()
    }

    /// Most jobs that hold a file at the same time; finalize uses as many threads as pieces do.
    fn in_use(&self) -> usize {
        2 * self.piece_jobs + self.read_jobs + self.check_jobs
    }
}
