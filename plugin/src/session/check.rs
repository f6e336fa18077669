//! Hashing the data of a torrent that is not in the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use chunkcast::chunks::ChunkSet;

use super::{DataPath, Session};
use crate::metadata::Layout;
use crate::storage::{Mode, Resume, Storage, StorageError};

impl Session {
    /// Hashes all data of a torrent that is not in the session, in turn with other checks: the pieces that are there, and what
    /// vouches for them. `done` counts the pieces looked at; it is 0 while the torrent waits for its turn. Writes nothing. Dropped
    /// before its end it stops.
    ///
    /// # Errors
    /// What the disk refuses; that there is nothing is none.
    pub async fn check(
        &self,
        layout: Arc<Layout>,
        data: DataPath,
        done: Arc<AtomicU32>,
    ) -> Result<Resume, StorageError> {
        let (files, config) = (
            self.shared.files.clone(),
            self.shared.config.storage.clone(),
        );
        let nothing = Resume {
            held: ChunkSet::empty(layout.piece_count()),
            files: Vec::new(),
        };
        let open =
            move || Storage::open_among(layout, data.target(), Mode::SeedOnly, config, &files);
        let opened = tokio::task::spawn_blocking(open).await;
        let storage = match opened.unwrap_or(Err(StorageError::Stopped)) {
            Err(StorageError::Missing { .. }) => return Ok(nothing),
            opened => opened?,
        };
        let _place = self.shared.limits.check().await;
        let note = move |count, _| done.store(count, Relaxed);
        let held = storage.check_existing(note).await?;
        storage.save_point(held).await
    }
}
