//! The files of one torrent, opened when needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::StorageError;
pub(super) use super::open::Access;
use super::open::{OpenFiles, StoreFiles};
use super::resume::{FileStamp, Trust};
use super::tree::Tree;
use crate::metadata::{FileEntry, Layout};

/// The torrent's files by index, opened when needed.
pub(super) struct Files {
    layout: Arc<Layout>,
    tree: Tree,
    open: StoreFiles,
    table: Mutex<Table>,
    /// After how long a change shows in the time of the file.
    settled: Duration,
    trust: Mutex<Trust>,
    /// Held while stamps are made.
    stamping: Mutex<()>,
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
        settled: Duration,
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
            settled,
            trust: Mutex::default(),
            stamping: Mutex::default(),
        })
    }

    /// What the files look like, in torrent order; padding files count as absent. Comes before their content is looked at:
    /// from now on changes by others are noticed. Blocking.
    pub(super) fn look(&self) -> Result<Vec<Option<FileStamp>>, StorageError> {
        let look = |f: &FileEntry| match f.padding {
            true => Ok(None),
            false => Ok(self.tree.find(f)?.map(|meta| FileStamp::of(&meta))),
        };
        let found: Vec<_> = (self.layout.files.iter().map(look)).collect::<Result<_, _>>()?;
        *lock(&self.trust) = Trust::new(&found, self.settled);
        Ok(found)
    }

    /// What vouches for the pieces that were written before this call, which are on disk then. Blocking; `writes` is held by
    /// whoever writes.
    pub(super) fn stamps(&self, writes: &Mutex<()>) -> Vec<FileStamp> {
        // nobody is to rely on a sync that another caller has only begun
        let _alone = lock(&self.stamping);
        let unsynced = {
            let _no_write = lock(writes);
            let mut trust = lock(&self.trust);
            for index in trust.to_stamp() {
                let found = self.tree.find(&self.layout.files[index]).ok().flatten();
                let found = found.map(|meta| FileStamp::of(&meta));
                trust.stamp(index, found, self.settled);
            }
            trust.take_changed()
        };
        for index in unsynced {
            if !self.sync(index) {
                lock(&self.trust).lose(index);
            }
        }
        lock(&self.trust).stamps(self.layout.files.len())
    }

    /// Whether files are without a stamp only because they were written a moment ago.
    pub(super) fn are_fresh(&self) -> bool {
        lock(&self.trust).has_fresh()
    }

    /// Notes that the file is about to be written: it must look as it did when we last had to do with it.
    pub(super) fn will_write(&self, index: usize, file: &File) {
        let found = file.metadata().ok().map(|meta| FileStamp::of(&meta));
        lock(&self.trust).will_write(index, found);
    }

    /// Notes that the file was written.
    pub(super) fn wrote(&self, index: usize, file: &File) {
        let found = file.metadata().ok().map(|meta| FileStamp::of(&meta));
        lock(&self.trust).wrote(index, found);
    }

    /// Whether what was written to a file is on the platter, as far as the system says.
    fn sync(&self, index: usize) -> bool {
        match self.tree.open_read(&self.layout.files[index]) {
            Ok(file) => file.sync_data().is_ok(),
            // what is gone is found to be gone
            Err(_) => true,
        }
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
                let found = FileStamp::of(&meta);
                lock(&self.trust).will_write(index, Some(found));
                if meta.len() < entry.length {
                    let path = || self.tree.shown(entry);
                    file.set_len(entry.length)
                        .map_err(|e| StorageError::io("extend", &path(), e))?;
                    self.wrote(index, &file);
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
        lock(&self.table)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // the tables are whole after every statement, so a panic elsewhere does not spoil them
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
