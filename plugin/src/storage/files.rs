//! The files of one torrent, opened when needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StorageError;
pub(super) use super::open::Access;
use super::open::{OpenFiles, StoreFiles};
use super::tree::Tree;
use crate::metadata::{FileEntry, Layout};

/// The torrent's files by index, opened when needed.
pub(super) struct Files {
    layout: Arc<Layout>,
    tree: Tree,
    open: StoreFiles,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Device and inode of every file that is on disk.
    owners: BTreeMap<Identity, usize>,
    /// Files that were the same as another one at the start, and that other one.
    doubled: BTreeMap<usize, usize>,
    written: BTreeSet<usize>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Files {
    /// Looks at every file on disk, and refuses what is in the way. Blocking.
    pub(super) fn open(
        layout: Arc<Layout>,
        tree: Tree,
        open: &OpenFiles,
    ) -> Result<Self, StorageError> {
        let mut table = Table::default();
        for (index, entry) in layout.files.iter().enumerate().filter(|(_, f)| !f.padding) {
            let Some(meta) = tree.find(entry)? else {
                continue;
            };
            if let Some(other) = table.owners.insert((meta.dev(), meta.ino()), index) {
                table.doubled.insert(index, other);
                table.doubled.insert(other, index);
            }
        }
        Ok(Self {
            layout,
            tree,
            open: open.store(),
            table: Mutex::new(table),
        })
    }

    /// Lengths on disk of all files, in torrent order; padding files count as absent. Blocking.
    pub(super) fn lengths(&self) -> Result<Vec<Option<u64>>, StorageError> {
        let length = |f: &FileEntry| match f.padding {
            true => Ok(None),
            false => Ok(self.tree.find(f)?.map(|meta| meta.len())),
        };
        self.layout.files.iter().map(length).collect()
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The file, open; a job must not hold two of them at once, the bound counts on it. Blocking.
    pub(super) fn get(&self, index: usize, access: Access) -> Result<Arc<File>, StorageError> {
        // Opening under the lock: two jobs never open, create or extend the same file twice.
        let mut table = self.table();
        if let Some(file) = self.open.find(index, access) {
            return Ok(file);
        }
        let room = self.open.make_room(index);
        let entry = &self.layout.files[index];
        let file = match access {
            Access::Read => self.tree.open_read(entry)?,
            Access::Write => {
                let (file, meta) = self.tree.open_write(entry)?;
                self.claim(&mut table, index, (meta.dev(), meta.ino()))?;
                if meta.len() < entry.length {
                    let path = || self.tree.shown(entry);
                    file.set_len(entry.length)
                        .map_err(|e| StorageError::io("extend", &path(), e))?;
                }
                table.written.insert(index);
                file
            }
        };
        let file = Arc::new(file);
        room.keep(index, access, file.clone());
        Ok(file)
    }

    /// The file if it is open already.
    pub(super) fn get_open(&self, index: usize) -> Option<Arc<File>> {
        self.open.find(index, Access::Read)
    }

    /// Files that were opened for writing since the start.
    pub(super) fn written(&self) -> BTreeSet<usize> {
        self.table().written.clone()
    }

    /// Files kept open.
    pub(super) fn open_count(&self) -> usize {
        self.open.count()
    }

    /// Notes that `index` is this file on disk, and that no other of the torrent is.
    fn claim(
        &self,
        table: &mut Table,
        index: usize,
        identity: Identity,
    ) -> Result<(), StorageError> {
        let owner = table
            .owners
            .get(&identity)
            .copied()
            .filter(|&owner| owner != index);
        if let Some(other) = table.doubled.get(&index).copied().or(owner) {
            // the other one may be gone, and an inode number is used again once its file is
            let there = self.tree.find(&self.layout.files[other]);
            if there.is_ok_and(|m| m.is_some_and(|m| (m.dev(), m.ino()) == identity)) {
                return Err(StorageError::SameFile {
                    path: self.tree.shown(&self.layout.files[index]),
                    other: self.tree.shown(&self.layout.files[other]),
                });
            }
        }
        table.owners.insert(identity, index);
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // the table is whole after every statement, so a panic elsewhere does not spoil it
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
