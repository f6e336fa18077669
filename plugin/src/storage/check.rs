//! Which pieces are on disk already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use chunkcast::chunks::ChunkSet;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::StorageError;
use super::pieces::{self, OnDisk};
use super::store::{Shared, joined};

/// Results that wait for the caller of the check; workers wait when there are more.
const WAITING: usize = 64;

type Verdict = Result<(u32, bool), StorageError>;

pub(super) async fn check_existing(
    shared: &Arc<Shared>,
    mut progress: impl FnMut(u32, u32) + Send,
) -> Result<ChunkSet, StorageError> {
    let total = shared.layout.piece_count();
    let this = shared.clone();
    let lengths = Arc::new(joined(spawn_blocking(move || this.files.lengths()).await)??);
    let next = Arc::new(AtomicU64::new(0));
    let (verdicts, mut arriving) = mpsc::channel(WAITING);
    let workers: Vec<JoinHandle<()>> = (0..shared.config.check_jobs.min(total as usize))
        .map(|_| {
            let worker = Worker {
                shared: shared.clone(),
                lengths: lengths.clone(),
                next: next.clone(),
                zeros: BTreeMap::new(),
                buffer: Vec::new(),
            };
            let verdicts = verdicts.clone();
            spawn_blocking(move || worker.run(&verdicts))
        })
        .collect();
    drop(verdicts);
    let mut held = ChunkSet::empty(total);
    let mut checked = 0;
    let mut failed = None;
    while let Some(verdict) = arriving.recv().await {
        match verdict {
            Ok((piece, good)) => {
                if good {
                    held.insert(piece);
                }
                checked += 1;
                progress(checked, total);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(arriving); // whoever still works stops
    for worker in workers {
        joined(worker.await)?;
    }
    match failed {
        Some(error) => Err(error),
        None if checked < total => Err(StorageError::Stopped),
        None => Ok(held),
    }
}

struct Worker {
    shared: Arc<Shared>,
    lengths: Arc<Vec<Option<u64>>>,
    next: Arc<AtomicU64>,
    /// Hashes of zeros by length: there are two lengths of pieces.
    zeros: BTreeMap<u32, pieces::Hash>,
    buffer: Vec<u8>,
}

impl Worker {
    /// Takes the next piece until there is none, or nobody listens any more.
    fn run(mut self, verdicts: &mpsc::Sender<Verdict>) {
        let total = self.shared.layout.piece_count();
        while let Ok(piece) = u32::try_from(self.next.fetch_add(1, Relaxed)) {
            if piece >= total || verdicts.blocking_send(self.check(piece)).is_err() {
                return;
            }
        }
    }

    fn check(&mut self, piece: u32) -> Verdict {
        let Shared {
            layout,
            files,
            counts,
            ..
        } = &*self.shared;
        let found = pieces::hash_on_disk(layout, files, &self.lengths, piece, &mut self.buffer);
        let hash = match found {
            // went away since the lengths were read
            Ok((OnDisk::Absent, _)) | Err(StorageError::Changed { .. }) => {
                return Ok((piece, false));
            }
            Ok((OnDisk::Hole, _)) => {
                let len = layout.piece_len(piece);
                *self
                    .zeros
                    .entry(len)
                    .or_insert_with(|| pieces::hash_of_zeros(len))
            }
            Ok((OnDisk::Data(hash), read)) => {
                counts.bytes_checked.fetch_add(read, Relaxed);
                hash
            }
            Err(error) => return Err(error),
        };
        Ok((piece, hash == layout.piece_hash(piece)))
    }
}
