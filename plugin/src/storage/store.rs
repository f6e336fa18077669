//! The store's handle: the one that the session holds.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use super::check::Look;
use super::files::Files;
use super::open::OpenFiles;
use super::resume::Resume;
use super::tree::Tree;
use super::{StorageConfig, StorageError, check, finalize, pieces};
use crate::metadata::Layout;

/// What a store may do to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads and writes; the output directory is created.
    Download,
    /// Reads only: nothing on disk is created or changed.
    SeedOnly,
}

/// Where the data is, or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The directory that the torrent's name goes into (`get -o DIR`).
    OutputDir(&'a Path),
    /// The torrent's file or folder itself, whatever it is called (`seed --data PATH`).
    Content(&'a Path),
}

/// What became of a piece.
#[derive(Debug)]
#[must_use]
pub enum PieceResult {
    /// It is verified and on disk, and can be read, announced and published.
    Written,
    /// It is not what the torrent promises; nothing was written.
    BadHash,
    /// It is good but could not be written. It counts as not held; every piece written before is still there.
    Disk(StorageError),
}

/// What a store did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// Pieces verified and written.
    pub pieces_written: u64,
    /// Pieces with a wrong hash.
    pub pieces_bad: u64,
    /// Bytes of the pieces written, padding included.
    pub bytes_written: u64,
    /// Bytes of existing data that were read and hashed.
    pub bytes_checked: u64,
    /// Bytes handed out by [`Storage::read_block`].
    pub bytes_served: u64,
    /// Bytes in memory on their way to the disk, in pieces given to [`Storage::finish_piece`].
    pub bytes_queued: u64,
    /// Files kept open between jobs.
    pub open_files: usize,
}

/// The verified pieces of one torrent, on disk. A clone is another handle of the same store.
///
/// The asynchronous functions need a tokio runtime and do their work on its blocking threads. Dropping their futures
/// does not stop a job that has begun: a piece is written whole or waits no longer.
#[derive(Clone)]
pub struct Storage {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) layout: Arc<Layout>,
    pub(super) config: StorageConfig,
    pub(super) files: Files,
    pub(super) counts: Counts,
    mode: Mode,
    piece_jobs: Arc<Semaphore>,
    read_jobs: Arc<Semaphore>,
    /// One piece is written at a time: the kernel writes a file for one caller at a time, and who waits for that inside it
    /// burns a processor. // measured: 3 to 6 s of it a GiB in place of 2
    writing: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) bytes_checked: AtomicU64,
    pieces_written: AtomicU64,
    pieces_bad: AtomicU64,
    bytes_written: AtomicU64,
    bytes_served: AtomicU64,
    bytes_queued: AtomicU64,
}

impl Storage {
    /// Opens the store whose files lie below the output directory `root`, each under the torrent's name.
    ///
    /// # Errors
    /// As [`Storage::open_at`].
    pub fn open(
        layout: Arc<Layout>,
        root: &Path,
        mode: Mode,
        config: StorageConfig,
    ) -> Result<Self, StorageError> {
        Self::open_at(layout, Target::OutputDir(root), mode, config)
    }

    /// Opens the store. Looks at what is there without reading it; writes nothing, but [`Mode::Download`] creates the
    /// output directory. Blocking: a few system calls a file.
    ///
    /// # Errors
    /// Whatever is in the way: paths in the torrent that are unsafe or twice there, symlinks that lead out, files that
    /// are longer than the torrent's, directories where files must be and the reverse, nothing to seed, limits that
    /// make no sense.
    pub fn open_at(
        layout: Arc<Layout>,
        target: Target<'_>,
        mode: Mode,
        config: StorageConfig,
    ) -> Result<Self, StorageError> {
        config.validate()?;
        let open = OpenFiles::new(config.kept_open());
        Self::open_among(layout, target, mode, config, &open)
    }

    /// The same with a budget of open files that other stores share, in the place of
    /// [`StorageConfig::max_open_files`].
    ///
    /// # Errors
    /// As [`Storage::open_at`].
    pub fn open_among(
        layout: Arc<Layout>,
        target: Target<'_>,
        mode: Mode,
        config: StorageConfig,
        open: &OpenFiles,
    ) -> Result<Self, StorageError> {
        config.validate()?;
        let tree = Tree::open(&layout, target, mode)?;
        let files = Files::open(layout.clone(), tree, open, config.settled)?;
        let piece_jobs = Arc::new(Semaphore::new(config.piece_jobs));
        let read_jobs = Arc::new(Semaphore::new(config.read_jobs));
        let counts = Counts::default();
        let shared = Shared {
            layout,
            config,
            files,
            counts,
            mode,
            piece_jobs,
            read_jobs,
            writing: Mutex::new(()),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The torrent's pieces and files.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.shared.layout
    }

    /// The directory that all files are below, free of symlinks.
    pub fn root(&self) -> &Path {
        self.shared.files.tree().root()
    }

    /// What was done so far.
    pub fn stats(&self) -> StorageStats {
        let counts = &self.shared.counts;
        StorageStats {
            pieces_written: counts.pieces_written.load(Relaxed),
            pieces_bad: counts.pieces_bad.load(Relaxed),
            bytes_written: counts.bytes_written.load(Relaxed),
            bytes_checked: counts.bytes_checked.load(Relaxed),
            bytes_served: counts.bytes_served.load(Relaxed),
            bytes_queued: counts.bytes_queued.load(Relaxed),
            open_files: self.shared.files.open_count(),
        }
    }

    /// Hashes what is on disk: the pieces that are whole and right. `progress` hears (pieces checked, all pieces) after
    /// each piece. Missing and short files are missing pieces and are not read; neither are holes.
    ///
    /// Do not write pieces before it is done: their files grow to full length under it.
    ///
    /// # Errors
    /// What the system refuses to let read, and what [`Storage::open_at`] refuses.
    pub async fn check_existing(
        &self,
        progress: impl FnMut(u32, u32) + Send,
    ) -> Result<ChunkSet, StorageError> {
        let look = self.look(None).await?;
        self.check(look, progress).await
    }

    /// What is known of existing data without reading it: what `resume` vouches for, and what cannot be there.
    ///
    /// # Errors
    /// As [`Storage::check_existing`].
    pub async fn look(&self, resume: Option<Resume>) -> Result<Look, StorageError> {
        let shared = self.shared.clone();
        joined(spawn_blocking(move || check::look(&shared, resume.as_ref())).await)?
    }

    /// [`Storage::check_existing`] of what is not known yet.
    ///
    /// # Errors
    /// As there.
    pub async fn check(
        &self,
        look: Look,
        progress: impl FnMut(u32, u32) + Send,
    ) -> Result<ChunkSet, StorageError> {
        check::check(&self.shared, look, progress).await
    }

    /// What a restart need not hash of the pieces `held`, each of which was found by a check or written before this call.
    /// Syncs the files written since the last call.
    ///
    /// # Errors
    /// [`StorageError::Stopped`].
    pub async fn save_point(&self, held: ChunkSet) -> Result<Resume, StorageError> {
        let shared = self.shared.clone();
        let files = joined(spawn_blocking(move || shared.files.stamps(&shared.writing)).await)?;
        Ok(Resume { held, files })
    }

    /// [`Storage::save_point`] after the last write, which waits until what was written a moment ago is vouched for too:
    /// [`StorageConfig::settled`] at most.
    ///
    /// # Errors
    /// As there.
    pub async fn last_save_point(&self, held: ChunkSet) -> Result<Resume, StorageError> {
        let resume = self.save_point(held).await?;
        if !self.shared.files.are_fresh() {
            return Ok(resume);
        }
        tokio::time::sleep(self.shared.config.settled).await;
        self.save_point(resume.held).await
    }

    /// Hashes a piece, given as blocks in order that are together as long as the piece, and writes it if it is right.
    pub async fn finish_piece(&self, piece: u32, blocks: Vec<Bytes>) -> PieceResult {
        self.finish_shared(piece, blocks.into()).await
    }

    /// [`Storage::finish_piece`] for a caller who keeps the blocks, to give them again if the disk refuses.
    pub async fn finish_shared(&self, piece: u32, blocks: Arc<[Bytes]>) -> PieceResult {
        let layout = &self.shared.layout;
        if self.shared.mode == Mode::SeedOnly {
            return PieceResult::Disk(StorageError::SeedOnly);
        }
        if piece >= layout.piece_count() {
            return PieceResult::Disk(StorageError::OutOfRange {
                piece,
                begin: 0,
                len: 0,
            });
        }
        let len: u64 = blocks.iter().map(|b| b.len() as u64).sum();
        if len != u64::from(layout.piece_len(piece)) {
            self.shared.counts.pieces_bad.fetch_add(1, Relaxed);
            return PieceResult::BadHash;
        }
        let queued = Queued::new(self.shared.clone(), len);
        let done = blocking(&self.shared.piece_jobs, move || {
            let shared = &queued.shared;
            shared.finish_piece(piece, &blocks)
        });
        done.await.unwrap_or_else(PieceResult::Disk)
    }

    /// Reads `begin .. begin + len` of a piece that is held: one that [`Storage::check_existing`] found or
    /// [`Storage::finish_piece`] wrote. Of other pieces it reads whatever is on disk.
    ///
    /// # Errors
    /// The range does not exist, or its file was removed or shortened, or cannot be read.
    pub async fn read_block(
        &self,
        piece: u32,
        begin: u32,
        len: u32,
    ) -> Result<Bytes, StorageError> {
        if !self.shared.layout.contains(piece, begin, len) {
            return Err(StorageError::OutOfRange { piece, begin, len });
        }
        let shared = self.shared.clone();
        let read = move || pieces::read(&shared.layout, &shared.files, piece, begin, len);
        let block = blocking(&self.shared.read_jobs, read).await??;
        self.shared
            .counts
            .bytes_served
            .fetch_add(u64::from(len), Relaxed);
        Ok(block)
    }

    /// [`Storage::read_block`] without waiting: only what the kernel has in its page cache, of files that are open. `None`
    /// when that is not all of it, or cannot be told; read it the other way then.
    pub fn read_cached(&self, piece: u32, begin: u32, len: u32) -> Option<Bytes> {
        let shared = &self.shared;
        if !shared.layout.contains(piece, begin, len) {
            return None;
        }
        let block = pieces::read_cached(&shared.layout, &shared.files, piece, begin, len)?;
        shared
            .counts
            .bytes_served
            .fetch_add(u64::from(len), Relaxed);
        Some(block)
    }

    /// Bytes that can still be written where the torrent's files are; `None` where the file system does not say.
    /// Blocking.
    pub fn free_space(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(self.root()).ok()?;
        (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Call it when every wanted piece is written: creates the empty files, sets executable bits (BEP 47 `x`; where the
    /// file system has none, nothing), checks that every file that was written still has its length, and syncs files
    /// and directories. In [`Mode::SeedOnly`] it does nothing.
    ///
    /// # Errors
    /// A file was removed or shortened, or the system refuses to create or sync one.
    pub async fn finalize(&self) -> Result<(), StorageError> {
        self.finalize_where(|_| true).await
    }

    /// [`Storage::finalize`] for a download of some files, named by index: an empty file that is not among them is not
    /// created.
    ///
    /// # Errors
    /// As there.
    pub async fn finalize_selected(&self, files: Vec<usize>) -> Result<(), StorageError> {
        self.finalize_where(move |index| files.binary_search(&index).is_ok())
            .await
    }

    async fn finalize_where(
        &self,
        wanted: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Result<(), StorageError> {
        if self.shared.mode == Mode::SeedOnly {
            return Ok(());
        }
        let shared = self.shared.clone();
        joined(spawn_blocking(move || finalize::finalize(&shared, &wanted)).await)?
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn finish_piece(&self, piece: u32, blocks: &[Bytes]) -> PieceResult {
        if pieces::hash(blocks) != self.layout.piece_hash(piece) {
            self.counts.pieces_bad.fetch_add(1, Relaxed);
            return PieceResult::BadHash;
        }
        let hooked = self.config.before_write.call(piece);
        let written = hooked
            .map_err(|e| StorageError::io("write", self.files.tree().root(), e))
            .and_then(|()| {
                let _turn = self.writing.lock();
                pieces::write(&self.layout, &self.files, piece, blocks)
            });
        match written {
            Ok(()) => {
                self.counts.pieces_written.fetch_add(1, Relaxed);
                let len = u64::from(self.layout.piece_len(piece));
                self.counts.bytes_written.fetch_add(len, Relaxed);
                PieceResult::Written
            }
            Err(error) => PieceResult::Disk(error),
        }
    }
}

/// Bytes that are on their way to the disk for as long as this lives.
struct Queued {
    shared: Arc<Shared>,
    len: u64,
}

impl Queued {
    fn new(shared: Arc<Shared>, len: u64) -> Self {
        shared.counts.bytes_queued.fetch_add(len, Relaxed);
        Self { shared, len }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.shared.counts.bytes_queued.fetch_sub(self.len, Relaxed);
    }
}

/// Runs `work` on a blocking thread, with a permit that it keeps to its end even if nobody waits for it any more.
async fn blocking<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StorageError> {
    let permit = permits
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let job = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    joined(job.await)
}

/// A job's result; its panic is ours, and a runtime that stops runs it no more.
pub(super) fn joined<T>(job: Result<T, JoinError>) -> Result<T, StorageError> {
    job.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => StorageError::Stopped,
    })
}
