//! The end of a download: empty files, executable bits, and everything on the platter.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::StorageError;
use super::store::Shared;
use super::tree::Tree;
use crate::metadata::FileEntry;

/// Finishes every file that is on disk. Blocking, with `piece_jobs` threads: a journalling file system commits
/// concurrent syncs together.
pub(super) fn finalize(
    shared: &Shared,
    wanted: &(dyn Fn(usize) -> bool + Sync),
) -> Result<(), StorageError> {
    let tree = shared.files.tree();
    let written = shared.files.written();
    let next = AtomicUsize::new(0);
    let directories = Mutex::new(BTreeSet::new());
    let failed = Mutex::new(None);
    let work = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(entry) = shared.layout.files.get(index) else {
                return;
            };
            if entry.padding || (entry.length == 0 && !wanted(index)) {
                continue;
            }
            match finish_file(tree, entry, written.contains(&index)) {
                Ok(found) => lock(&directories).extend(found),
                Err(error) => {
                    lock(&failed).get_or_insert(error);
                    return;
                }
            }
        }
    };
    let threads = shared.config.piece_jobs.min(shared.layout.files.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let directories = directories
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    // the deepest first: an entry is on the platter before the directory that leads to it says so
    directories
        .iter()
        .rev()
        .try_for_each(|dir| sync_directory(dir).map_err(|e| StorageError::io("sync", dir, e)))
}

/// Finishes one file; the directories that lead to it, none if it is not on disk.
fn finish_file(
    tree: &Tree,
    entry: &FileEntry,
    written: bool,
) -> Result<Vec<PathBuf>, StorageError> {
    let on_disk = tree.find(entry)?;
    let file = match on_disk {
        _ if entry.length == 0 => tree.open_write(entry)?.0,
        // a piece of it was written, so its whole length was there
        None if written => {
            return Err(StorageError::Changed {
                path: tree.shown(entry),
            });
        }
        Some(meta) if written && meta.len() < entry.length => {
            return Err(StorageError::Changed {
                path: tree.shown(entry),
            });
        }
        // not wanted
        None => return Ok(vec![]),
        Some(_) => tree.open_read(entry)?,
    };
    if entry.executable {
        make_executable(&file, &tree.shown(entry));
    }
    file.sync_all()
        .map_err(|e| StorageError::io("sync", &tree.shown(entry), e))?;
    tree.directories(entry)
}

/// Lets everybody who may read the file run it. File systems without such bits refuse; the data is no worse for it.
fn make_executable(file: &File, path: &Path) {
    let changed = file.metadata().and_then(|meta| {
        let mode = meta.permissions().mode();
        let wanted = mode | (mode & 0o444) >> 2;
        if wanted == mode {
            Ok(())
        } else {
            file.set_permissions(Permissions::from_mode(wanted))
        }
    });
    if let Err(error) = changed {
        tracing::debug!(?path, %error, "cannot make a file executable");
    }
}

/// Has a directory's entries on the platter, where its file system knows of such a thing. Blocking.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|dir| dir.sync_all()) {
        // some file systems have no such thing as syncing a directory
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
