//! Open files of all stores that share the budget; the least recently used one is closed first.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A budget of open files. Clones share it.
///
/// A file that a job uses is closed only when all are in use, and then the job keeps it open until its end.
#[derive(Clone, Debug)]
pub struct OpenFiles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    table: Mutex<Table>,
}

/// A store and the number of one of its files.
type Key = (u64, usize);

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<Key, Open>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    stores: u64,
    /// Files that are being opened.
    coming: usize,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    access: Access,
    used: u64,
}

impl OpenFiles {
    /// A budget of `capacity` files, at least 1.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared {
            capacity: capacity.max(1),
            table: Mutex::default(),
        }))
    }

    /// Files that are open.
    pub fn count(&self) -> usize {
        self.table().open.len()
    }

    /// A part of the budget for one more store.
    pub(super) fn store(&self) -> StoreFiles {
        let mut table = self.table();
        table.stores += 1;
        StoreFiles {
            store: table.stores,
            all: self.clone(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // the table is whole after every statement, so a panic elsewhere does not spoil it
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One store's files in the budget. Dropping it closes them.
pub(super) struct StoreFiles {
    store: u64,
    all: OpenFiles,
}

/// Room for a file that is being opened.
pub(super) struct Room<'a>(&'a StoreFiles);

impl StoreFiles {
    /// The file, if it is open for at least that.
    pub(super) fn find(&self, index: usize, access: Access) -> Option<Arc<File>> {
        self.all.table().find((self.store, index), access)
    }

    /// Closes the file, and another one if there is no room for it.
    pub(super) fn make_room(&self, index: usize) -> Room<'_> {
        let mut table = self.all.table();
        table.close((self.store, index));
        while table.open.len() + table.coming >= self.all.0.capacity && table.close_oldest() {}
        table.coming += 1;
        Room(self)
    }

    /// This store's open files.
    pub(super) fn count(&self) -> usize {
        let all = (self.store, 0)..=(self.store, usize::MAX);
        self.all.table().open.range(all).count()
    }
}

impl Drop for StoreFiles {
    fn drop(&mut self) {
        let mut table = self.all.table();
        let all = (self.store, 0)..=(self.store, usize::MAX);
        let keys: Vec<Key> = table.open.range(all).map(|(key, _)| *key).collect();
        for key in keys {
            table.close(key);
        }
    }
}

impl Room<'_> {
    /// The file was opened.
    pub(super) fn keep(self, index: usize, access: Access, file: Arc<File>) {
        let Self(files) = &self;
        files.all.table().keep((files.store, index), access, file);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.all.table().coming -= 1;
    }
}

impl Table {
    fn find(&mut self, key: Key, access: Access) -> Option<Arc<File>> {
        let open = self.open.get_mut(&key)?;
        if access == Access::Write && open.access == Access::Read {
            return None;
        }
        self.by_use.remove(&open.used);
        self.uses += 1;
        open.used = self.uses;
        self.by_use.insert(open.used, key);
        Some(open.file.clone())
    }

    fn keep(&mut self, key: Key, access: Access, file: Arc<File>) {
        self.uses += 1;
        self.by_use.insert(self.uses, key);
        let used = self.uses;
        self.open.insert(key, Open { file, access, used });
    }

    fn close(&mut self, key: Key) {
        if let Some(open) = self.open.remove(&key) {
            self.by_use.remove(&open.used);
        }
    }

    /// Closes the least recently used file, of those that nobody uses if there are any; `false`: none is open.
    fn close_oldest(&mut self) -> bool {
        let idle = |key: &&Key| Arc::strong_count(&self.open[key].file) == 1;
        let oldest = self.by_use.values().find(idle);
        let Some(&key) = oldest.or_else(|| self.by_use.values().next()) else {
            return false;
        };
        self.close(key);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().expect("a temporary file"))
    }

    fn open(files: &StoreFiles, index: usize) -> Arc<File> {
        let (room, file) = (files.make_room(index), file());
        room.keep(index, Access::Read, file.clone());
        file
    }

    #[test]
    fn stores_share_the_budget_and_the_least_recently_used_file_is_closed() {
        let all = OpenFiles::new(3);
        let (a, b) = (all.store(), all.store());
        open(&a, 0);
        open(&b, 0);
        open(&b, 1);
        assert!(a.find(0, Access::Read).is_some());
        open(&a, 1);
        assert_eq!((all.count(), a.count(), b.count()), (3, 2, 1));
        assert!(b.find(0, Access::Read).is_none(), "the oldest is closed");
        assert!(b.find(1, Access::Read).is_some() && a.find(0, Access::Read).is_some());
        drop(a);
        assert_eq!((all.count(), b.count()), (1, 1));
    }

    #[test]
    fn a_file_in_use_is_closed_only_when_all_are() {
        let all = OpenFiles::new(2);
        let files = all.store();
        let used = open(&files, 0);
        open(&files, 1);
        let too = open(&files, 2);
        assert!(files.find(0, Access::Read).is_some(), "it is in use");
        assert!(files.find(1, Access::Read).is_none());
        open(&files, 3);
        assert_eq!(all.count(), 2);
        drop((used, too));
    }

    #[test]
    fn what_is_being_opened_counts_and_what_could_not_be_does_not() {
        let all = OpenFiles::new(2);
        let files = all.store();
        open(&files, 0);
        let coming = files.make_room(1);
        let failed = files.make_room(2);
        assert_eq!(all.count(), 0, "there is room for two");
        drop(failed);
        coming.keep(1, Access::Write, file());
        open(&files, 3);
        assert_eq!(all.count(), 2);
        assert!(files.find(1, Access::Write).is_some());
        assert!(files.find(3, Access::Write).is_none(), "open for reading");
    }
}
