//! Pieces on their way to the disk, and the pause when it refuses them.
//!
//! A disk that is full, or has another trouble that may pass, stops no torrent: nothing new is begun, what is held is
//! served, and one write is tried again every now and then. The blocks of pieces that could not be written are kept (they
//! stay within the memory that their pieces had; when other torrents wait for it all but two are given up and fetched
//! again), so nothing is lost. A slow disk needs none of this: its pieces keep their memory, and without memory no
//! piece is begun.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Input, Torrent, TorrentError, TorrentEvent};
use crate::storage::{self, Storage, StorageError};
use crate::swarm::PieceResult;

/// Pause before the same write is tried again; for a full disk that is a look at its free space.
const RETRY: Duration = Duration::from_secs(3); // guess: whoever frees space waits for it
/// The pause doubles up to this where the trouble is another one.
const MAX_RETRY: Duration = Duration::from_secs(60); // guess
/// Every so often a full disk is written to whatever it says of its free space: quotas are not in it.
const BLIND: u32 = 10; // guess: every half minute
/// Pieces that are kept for a disk that refuses them while other torrents wait for their memory.
const KEPT: usize = 2;

/// What the disk refused.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Pieces that could not be written; their results have not been told to the swarm.
    refused: BTreeMap<u32, Arc<[Bytes]>>,
    /// The end of the download could not be put on disk.
    unfinished: bool,
    pause: Option<Pause>,
}

#[derive(Debug)]
struct Pause {
    /// `None` while a try is under way.
    at: Option<Instant>,
    wait: Duration,
    tries: u32,
    full: bool,
}

impl Disk {
    pub(super) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// When the disk is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.pause.as_ref()?.at
    }
}

impl Torrent {
    /// All blocks of a piece are here: hash it and write it, off this task.
    pub(super) fn finish(&mut self, piece: u32) {
        let now = self.now();
        let blocks = self.buffers.as_mut().and_then(|b| b.take(piece));
        let (Some(blocks), Some(storage)) = (blocks, self.storage.clone()) else {
            return self
                .swarm
                .handle_piece_result(piece, PieceResult::DiskError, now);
        };
        self.write(storage, piece, blocks.into(), None);
    }

    /// Writes a piece; `free`: only if there is so much space.
    fn write(&mut self, storage: Storage, piece: u32, blocks: Arc<[Bytes]>, free: Option<u64>) {
        let (input, limits) = (self.input.clone(), self.shared.limits.clone());
        self.writes.spawn(async move {
            let outcome = match full(&storage, free).await {
                Some(error) => storage::PieceResult::Disk(error),
                None => {
                    let _place = limits.hash_job().await;
                    storage.finish_shared(piece, blocks.clone()).await
                }
            };
            let _ = input.send(Input::Piece(piece, blocks, outcome)).await;
        });
    }

    /// What became of a piece.
    pub(super) fn on_piece(
        &mut self,
        piece: u32,
        blocks: Arc<[Bytes]>,
        outcome: storage::PieceResult,
    ) {
        let result = match outcome {
            storage::PieceResult::Written => PieceResult::Ok,
            storage::PieceResult::BadHash => PieceResult::BadHash,
            storage::PieceResult::Disk(error) => return self.on_refused(piece, blocks, &error),
        };
        drop(blocks);
        // one that was on its way before the trouble began says nothing of it
        let tried = self.disk.refused.remove(&piece).is_some() || self.disk.retry_at().is_none();
        self.give_way(piece);
        let now = self.now();
        self.swarm.handle_piece_result(piece, result, now);
        if result == PieceResult::Ok && tried && self.disk.is_paused() {
            self.write_refused();
        }
    }

    /// A piece could not be written.
    fn on_refused(&mut self, piece: u32, blocks: Arc<[Bytes]>, error: &StorageError) {
        if !self.passes(error) {
            let now = self.now();
            self.swarm
                .handle_piece_result(piece, PieceResult::DiskError, now);
            return self.fail(TorrentError::Disk(error.to_string()));
        }
        self.disk.refused.insert(piece, blocks);
        self.pause(error);
    }

    /// The end of the download could not be put on disk.
    pub(super) fn on_unfinished(&mut self, error: &StorageError) {
        // after a failed sync of another kind nobody knows what is on the disk
        if !error.is_disk_full() {
            return self.fail(TorrentError::Disk(error.to_string()));
        }
        self.disk.unfinished = true;
        self.pause(error);
    }

    /// Whether to wait for the trouble to pass. One without a single write before it is a wrong directory, and whoever
    /// named it wants to know now; but a full disk is a full disk.
    fn passes(&self, error: &StorageError) -> bool {
        let written = (self.storage.as_ref()).is_some_and(|s| s.stats().pieces_written > 0);
        error.is_disk_full() || (error.may_pass() && written)
    }

    fn pause(&mut self, error: &StorageError) {
        let full = error.is_disk_full();
        let before = self.disk.pause.take();
        if before.is_none() {
            let line = match error {
                StorageError::DiskFull { path, .. } => format!(
                    "paused: no space left on the disk to write {path:?}; free some and it goes on by itself, what is \
                     verified is kept and served"
                ),
                error => format!("paused, and tried again every now and then: {error}"),
            };
            self.emit(TorrentEvent::Paused(line));
            let now = self.now();
            self.swarm.set_memory(0, now);
        }
        let wait = before.as_ref().map_or(RETRY, |p| match full {
            true => RETRY,
            // several writes fail together; only a try that was waited for makes the next one wait longer
            false if p.at.is_none() => (p.wait * 2).min(MAX_RETRY),
            false => p.wait,
        });
        let waiting = before.as_ref().and_then(|p| p.at);
        self.disk.pause = Some(Pause {
            at: Some(waiting.unwrap_or_else(|| Instant::now() + wait)),
            wait,
            tries: before.map_or(0, |p| p.tries),
            full,
        });
    }

    /// It is time to see whether the disk takes something now.
    pub(super) fn retry_disk(&mut self) {
        let (Some(pause), Some(storage)) = (&mut self.disk.pause, self.storage.clone()) else {
            return;
        };
        pause.at = None;
        pause.tries += 1;
        let probe = pause.full && !pause.tries.is_multiple_of(BLIND);
        self.write_next(storage, probe);
    }

    /// A try went well: everything else that was refused is tried, and with the last of it the pause is over.
    fn write_refused(&mut self) {
        if let Some(pause) = &mut self.disk.pause {
            pause.at = None;
            pause.wait = RETRY;
        }
        let Some(storage) = self.storage.clone() else {
            return;
        };
        self.write_next(storage, false);
    }

    /// Tries the first of what was refused; `probe`: only if the file system says that there is space.
    fn write_next(&mut self, storage: Storage, probe: bool) {
        match self.disk.refused.first_key_value() {
            Some((piece, blocks)) => {
                let (piece, blocks) = (*piece, blocks.clone());
                let free = probe.then(|| u64::from(storage.layout().piece_len(piece)));
                self.write(storage, piece, blocks, free);
            }
            None if self.disk.unfinished => self.finalize(),
            None => self.resume(),
        }
    }

    /// The disk takes everything again.
    pub(super) fn resume(&mut self) {
        self.disk.unfinished = false;
        if self.disk.pause.take().is_some() {
            self.emit(TorrentEvent::Resumed);
            self.allow_memory();
        }
    }

    /// Other torrents wait for memory: pieces that cannot be written are given up, to be fetched again later.
    pub(super) fn shed_refused(&mut self) {
        let now = self.now();
        while self.disk.is_paused() && self.disk.refused.len() > KEPT {
            // the first one may be at the disk just now
            let Some((piece, _)) = self.disk.refused.pop_last() else {
                return;
            };
            self.swarm
                .handle_piece_result(piece, PieceResult::DiskError, now);
        }
    }

    /// Everything wanted is written: the rest is done off this task.
    pub(super) fn finalize(&mut self) {
        let Some(storage) = self.storage.clone() else {
            return;
        };
        let input = self.input.clone();
        let selected = self.selected_files();
        self.writes.spawn(async move {
            let done = match selected {
                Some(files) => storage.finalize_selected(files).await,
                None => storage.finalize().await,
            };
            let _ = input.send(Input::Finalized(done)).await;
        });
    }
}

/// Whether there is less space than `free`, where that matters and the file system says so.
async fn full(storage: &Storage, free: Option<u64>) -> Option<StorageError> {
    let wanted = free?;
    let storage = storage.clone();
    let probed = tokio::task::spawn_blocking(move || {
        let left = storage.free_space()?;
        (left < wanted).then(|| StorageError::DiskFull {
            path: storage.root().to_path_buf(),
            source: std::io::ErrorKind::StorageFull.into(),
        })
    });
    probed.await.ok().flatten()
}
