//! Open files, a bounded number of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StorageError;
use super::tree::Tree;
use crate::metadata::{FileEntry, Layout};

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The torrent's files by index, opened when needed; the least recently used one is closed first.
pub(super) struct Files {
    layout: Arc<Layout>,
    tree: Tree,
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: BTreeMap<usize, Open>,
    by_use: BTreeMap<u64, usize>,
    uses: u64,
    /// Device and inode of every file that is on disk.
    owners: BTreeMap<Identity, usize>,
    /// Files that were the same as another one at the start, and that other one.
    doubled: BTreeMap<usize, usize>,
    written: BTreeSet<usize>,
}

/// Device and inode.
type Identity = (u64, u64);

struct Open {
    file: Arc<File>,
    access: Access,
    used: u64,
}

impl Files {
    /// Looks at every file on disk, and refuses what is in the way. Blocking.
    pub(super) fn open(
        layout: Arc<Layout>,
        tree: Tree,
        capacity: usize,
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
            capacity,
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
        if let Some(file) = table.find(index, access) {
            return Ok(file);
        }
        table.close(index);
        while table.open.len() >= self.capacity {
            let (_, &oldest) = table.by_use.first_key_value().expect("one entry a file");
            table.close(oldest);
        }
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
        table.keep(index, access, file.clone());
        Ok(file)
    }

    /// The file if it is open already and nobody opens another one just now.
    pub(super) fn get_open(&self, index: usize) -> Option<Arc<File>> {
        self.table.try_lock().ok()?.find(index, Access::Read)
    }

    /// Files that were opened for writing since the start.
    pub(super) fn written(&self) -> BTreeSet<usize> {
        self.table().written.clone()
    }

    /// Files in the table.
    pub(super) fn open_count(&self) -> usize {
        self.table().open.len()
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

impl Table {
    fn find(&mut self, index: usize, access: Access) -> Option<Arc<File>> {
        let open = self.open.get_mut(&index)?;
        if access == Access::Write && open.access == Access::Read {
            return None;
        }
        self.by_use.remove(&open.used);
        self.uses += 1;
        open.used = self.uses;
        self.by_use.insert(open.used, index);
        Some(open.file.clone())
    }

    fn keep(&mut self, index: usize, access: Access, file: Arc<File>) {
        self.uses += 1;
        self.by_use.insert(self.uses, index);
        self.open.insert(
            index,
            Open {
                file,
                access,
                used: self.uses,
            },
        );
    }

    fn close(&mut self, index: usize) {
        if let Some(open) = self.open.remove(&index) {
            self.by_use.remove(&open.used);
        }
    }
}
