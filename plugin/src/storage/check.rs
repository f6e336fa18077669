//! Which pieces are on disk already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use chunkcast::chunks::ChunkSet;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::StorageError;
use super::pieces::{self, OnDisk};
use super::resume::{FileStamp, Resume};
use super::store::{Shared, joined};

/// Results that wait for the caller of the check; workers wait when there are more.
const WAITING: usize = 64;

type Verdict = Result<(u32, bool), StorageError>;

/// What is known of existing data before any of it is read.
#[derive(Clone, Debug)]
pub struct Look {
    /// Pieces that a [`Resume`] vouches for.
    held: ChunkSet,
    /// Pieces that may be there.
    unsure: Vec<u32>,
    files: Arc<Vec<Option<FileStamp>>>,
}

impl Look {
    /// The pieces held, if nothing is to be hashed.
    pub fn known(&self) -> Option<&ChunkSet> {
        self.unsure.is_empty().then_some(&self.held)
    }
}

/// Looks at the files without reading them. Blocking.
pub(super) fn look(shared: &Shared, resume: Option<&Resume>) -> Result<Look, StorageError> {
    let layout = &shared.layout;
    let files = shared.files.look()?;
    let held = match resume {
        Some(resume) => resume.trusted(layout, &files),
        None => ChunkSet::empty(layout.piece_count()),
    };
    let unsure = held.iter_missing();
    let unsure = unsure.filter(|piece| pieces::may_be_there(layout, &files, *piece));
    Ok(Look {
        unsure: unsure.collect(),
        held,
        files: Arc::new(files),
    })
}

/// Hashes what is not known.
pub(super) async fn check(
    shared: &Arc<Shared>,
    look: Look,
    mut progress: impl FnMut(u32, u32) + Send,
) -> Result<ChunkSet, StorageError> {
    let total = shared.layout.piece_count();
    let Look {
        mut held,
        unsure,
        files,
    } = look;
    let known = total - u32::try_from(unsure.len()).expect("at most all pieces");
    let unsure = Arc::new(unsure);
    let next = Arc::new(AtomicUsize::new(0));
    let (verdicts, mut arriving) = mpsc::channel(WAITING);
    let workers: Vec<JoinHandle<()>> = (0..shared.config.check_jobs.min(unsure.len()))
        .map(|_| {
            let worker = Worker {
                shared: shared.clone(),
                files: files.clone(),
                unsure: unsure.clone(),
                next: next.clone(),
                zeros: BTreeMap::new(),
                buffer: Vec::new(),
            };
            let verdicts = verdicts.clone();
            spawn_blocking(move || worker.run(&verdicts))
        })
        .collect();
    drop(verdicts);
    let mut checked = known;
    if known > 0 {
        progress(checked, total);
    }
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
    files: Arc<Vec<Option<FileStamp>>>,
    unsure: Arc<Vec<u32>>,
    /// Index into `unsure`.
    next: Arc<AtomicUsize>,
    /// Hashes of zeros by length: there are two lengths of pieces.
    zeros: BTreeMap<u32, pieces::Hash>,
    buffer: Vec<u8>,
}

impl Worker {
    /// Takes the next piece until there is none, or nobody listens any more.
    fn run(mut self, verdicts: &mpsc::Sender<Verdict>) {
        let unsure = self.unsure.clone();
        while let Some(piece) = unsure.get(self.next.fetch_add(1, Relaxed)) {
            if verdicts.blocking_send(self.check(*piece)).is_err() {
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
        let found = pieces::hash_on_disk(layout, files, &self.files, piece, &mut self.buffer);
        let hash = match found {
            // went away since it was looked at
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
