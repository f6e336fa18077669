//! A storage around another one, which tells the directory of pieces as they are completed.

use std::any::TypeId;
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use librqbit::storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage};
use librqbit::{ManagedTorrentShared, TorrentMetadata};
use librqbit_core::lengths::ValidPieceIndex;

use crate::facade::{Feed, Feeds};
use crate::metadata::Metainfo;

/// Makes storages that tell of their pieces.
pub(super) struct Telling {
    inner: BoxStorageFactory,
    feeds: Feeds,
}

impl Telling {
    /// Around those that `inner` makes.
    pub(super) fn new(inner: BoxStorageFactory, feeds: Feeds) -> Self {
        Self { inner, feeds }
    }
}

impl StorageFactory for Telling {
    type Storage = Told;

    fn create(
        &self,
        shared: &ManagedTorrentShared,
        metadata: &TorrentMetadata,
    ) -> anyhow::Result<Told> {
        let inner = self.inner.create(shared, metadata)?;
        // what ChunkCast cannot read is stored all the same, and followed as any client's
        let meta = Metainfo::from_info(metadata.info_bytes.clone(), None);
        let meta = meta.inspect_err(|e| tracing::warn!("pieces are not told of: {e}"));
        let feed = meta
            .ok()
            .map(|meta| self.feeds.torrent(&meta, shared.peer_id.0));
        Ok(Told {
            inner,
            feed: Mutex::new(feed),
        })
    }

    fn is_type_id(&self, type_id: TypeId) -> bool {
        self.inner.is_type_id(type_id)
    }

    fn clone_box(&self) -> BoxStorageFactory {
        Self::new(self.inner.clone_box(), self.feeds.clone()).boxed()
    }
}

/// A torrent's storage.
pub(super) struct Told {
    inner: Box<dyn TorrentStorage>,
    /// `None` once another has taken its place.
    feed: Mutex<Option<Feed>>,
}

impl Told {
    fn feed(&self) -> Option<Feed> {
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        feed.clone()
    }
}

impl TorrentStorage for Told {
    fn init(
        &mut self,
        shared: &ManagedTorrentShared,
        metadata: &TorrentMetadata,
    ) -> anyhow::Result<()> {
        self.inner.init(shared, metadata)
    }

    fn pread_exact(&self, file_id: usize, offset: u64, buf: &mut [u8]) -> anyhow::Result<()> {
        self.inner.pread_exact(file_id, offset, buf)
    }

    fn pwrite_all(&self, file_id: usize, offset: u64, buf: &[u8]) -> anyhow::Result<()> {
        self.inner.pwrite_all(file_id, offset, buf)
    }

    fn pwrite_all_vectored(
        &self,
        file_id: usize,
        offset: u64,
        bufs: [IoSlice<'_>; 2],
    ) -> anyhow::Result<usize> {
        self.inner.pwrite_all_vectored(file_id, offset, bufs)
    }

    fn remove_file(&self, file_id: usize, filename: &Path) -> anyhow::Result<()> {
        self.inner.remove_file(file_id, filename)
    }

    fn remove_directory_if_empty(&self, path: &Path) -> anyhow::Result<()> {
        self.inner.remove_directory_if_empty(path)
    }

    fn ensure_file_length(&self, file_id: usize, length: u64) -> anyhow::Result<()> {
        self.inner.ensure_file_length(file_id, length)
    }

    /// librqbit does this when a torrent is checked, paused or deleted.
    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        let inner = self.inner.take()?;
        let feed = self
            .feed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(feed) = &feed {
            feed.turned();
        }
        Ok(Box::new(Told {
            inner,
            feed: Mutex::new(feed),
        }))
    }

    fn on_piece_completed(&self, piece: ValidPieceIndex) -> anyhow::Result<()> {
        self.inner.on_piece_completed(piece)?;
        if let Some(feed) = self.feed() {
            feed.completed(piece.get());
        }
        Ok(())
    }
}
