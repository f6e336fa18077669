//! Moving a torrent's data to another directory: by renaming where that is one step, else by copying, so that the old place is
//! complete until the new one is. Whoever is killed in the middle does it again, and finds what is done already.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{OFlags, SeekFrom, seek};

use super::{erase, paths};
use crate::metadata::Layout;
use crate::storage::sync_directory;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20; // guess: a disk's readahead and more

/// What became of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The data is at the new place.
    Renamed,
    /// The data is at both places.
    Copied,
    /// It was broken off; what was copied stays for the next time.
    Stopped,
}

/// Moves the torrent's files from `from` to `to`. `done` counts bytes. Blocking.
///
/// # Errors
/// One line; nothing is at the new place then that was not there before.
pub(super) fn run(
    layout: &Layout,
    from: &Path,
    to: &Path,
    done: &AtomicU64,
    stopped: &dyn Fn() -> bool,
) -> Result<Moved, String> {
    let failed = |path: &Path, e: io::Error| format!("{path:?} cannot be moved: {e}");
    fs::create_dir_all(to).map_err(|e| failed(to, e))?;
    if paths::resolved(from) == paths::resolved(to) {
        return Ok(Moved::Renamed);
    }
    let Some(top) = layout
        .files
        .first()
        .and_then(|f| f.path.components().next())
    else {
        return Ok(Moved::Renamed);
    };
    let (old, new) = (from.join(top), to.join(top));
    match (exists(&old), exists(&new)) {
        // nothing was downloaded yet, or a killed process had just renamed it
        (false, _) => return Ok(Moved::Renamed),
        (true, false) => match fs::rename(&old, &new) {
            Ok(()) => {
                sync_directory(to)
                    .and_then(|()| sync_directory(from))
                    .map_err(|e| failed(to, e))?;
                return Ok(Moved::Renamed);
            }
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
            Err(e) => return Err(failed(&old, e)),
        },
        (true, true) => {}
    }
    let mut copy = Copy {
        layout,
        from,
        to,
        done,
        stopped,
        made: BTreeSet::new(),
        directories: BTreeSet::new(),
    };
    match copy.all() {
        Ok(true) => Ok(Moved::Copied),
        Ok(false) => Ok(Moved::Stopped),
        Err((path, e)) => {
            // what was copied in vain
            let _ = erase::files(layout, to, |file| copy.made.contains(&file));
            Err(failed(&path, e))
        }
    }
}

/// Deletes files at the old place that are at the new one. Blocking.
pub(super) fn leave(layout: &Layout, old: &Path, new: &Path) {
    let is_there = |file: usize| {
        let path = &layout.files[file].path;
        let (old, new) = (fs::metadata(old.join(path)), fs::metadata(new.join(path)));
        matches!((old, new), (Ok(old), Ok(new)) if same(&old, &new))
    };
    if let Err((path, e)) = erase::files(layout, old, is_there) {
        tracing::warn!("{path:?} is at its new place and cannot be deleted at the old one: {e}");
    }
}

type Failure = (PathBuf, io::Error);

struct Copy<'a> {
    layout: &'a Layout,
    from: &'a Path,
    to: &'a Path,
    done: &'a AtomicU64,
    stopped: &'a dyn Fn() -> bool,
    /// Files that were not there before.
    made: BTreeSet<usize>,
    directories: BTreeSet<PathBuf>,
}

impl Copy<'_> {
    /// Copies every file; `false`: it was broken off.
    fn all(&mut self) -> Result<bool, Failure> {
        for index in 0..self.layout.files.len() {
            if self.layout.files[index].padding {
                continue;
            }
            if !self.file(index)? {
                return Ok(false);
            }
        }
        // the deepest first: an entry is on disk before the directory that leads to it says so
        for directory in self.directories.iter().rev() {
            sync_directory(directory).map_err(|e| (directory.clone(), e))?;
        }
        Ok(true)
    }

    fn file(&mut self, index: usize) -> Result<bool, Failure> {
        let relative = &self.layout.files[index].path;
        let in_the_way =
            |path: &Path, what: &str| (path.to_path_buf(), io::Error::other(what.to_owned()));
        let source = self.from.join(relative);
        let meta = match fs::metadata(&source) {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => return Err(in_the_way(&source, "it is not a file")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err((source, e)),
        };
        let target = erase::plain(self.to, relative);
        let Some(target) = target else {
            let path = self.to.join(relative);
            return Err(in_the_way(&path, "a symlink or a file is on the way to it"));
        };
        let parent = target.parent().unwrap_or(self.to).to_path_buf();
        fs::create_dir_all(&parent).map_err(|e| (parent.clone(), e))?;
        let above = parent
            .ancestors()
            .take_while(|above| above.starts_with(self.to));
        self.directories.extend(above.map(Path::to_path_buf));
        match fs::symlink_metadata(&target) {
            // copied before
            Ok(there) if there.is_file() && same(&there, &meta) => {
                self.done.fetch_add(allocated(&meta), Relaxed);
                return Ok(true);
            }
            Ok(_) => return Err(in_the_way(&target, "another file is there; move that away")),
            Err(_) => {}
        }
        self.made.insert(index);
        let unfinished = unfinished(&target);
        let _ = fs::remove_file(&unfinished); // of a killed process
        if fs::hard_link(&source, &target).is_ok() {
            self.done.fetch_add(allocated(&meta), Relaxed);
            return Ok(true);
        }
        let copied = self.copy(&source, &meta, &unfinished);
        let copied = copied.and_then(|whole| {
            if whole {
                fs::rename(&unfinished, &target)?;
            }
            Ok(whole)
        });
        if !matches!(copied, Ok(true)) {
            let _ = fs::remove_file(&unfinished);
        }
        copied.map_err(|e| (target, e))
    }

    /// Copies one file, holes as holes, with its time; `false`: it was broken off.
    fn copy(&self, source: &Path, meta: &Metadata, target: &Path) -> io::Result<bool> {
        let input = File::open(source)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let output = options.open(target)?;
        output.set_len(meta.len())?;
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while let Some((begin, end)) = data(&input, at, meta.len())? {
            at = begin;
            while at < end {
                if (self.stopped)() {
                    return Ok(false);
                }
                let most = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
                let got = input.read_at(&mut buffer[..most], at)?;
                if got == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                output.write_all_at(&buffer[..got], at)?;
                at += got as u64;
                self.done.fetch_add(got as u64, Relaxed);
            }
        }
        output.set_permissions(meta.permissions())?;
        output.set_times(FileTimes::new().set_modified(meta.modified()?))?;
        output.sync_all()?;
        Ok(true)
    }
}

/// The next stretch of data from `at` on; `None`: only holes are left.
fn data(file: &File, at: u64, len: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= len {
        return Ok(None);
    }
    let begin = match seek(file, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // a file system without holes
        Err(rustix::io::Errno::INVAL) => return Ok(Some((at, len))),
        Err(e) => return Err(e.into()),
    };
    let end = seek(file, SeekFrom::Hole(begin)).unwrap_or(len);
    Ok(Some((begin, end.min(len))))
}

/// Whether one is a copy of the other, as far as can be seen.
fn same(a: &Metadata, b: &Metadata) -> bool {
    let look = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    look(a) == look(b)
}

/// Bytes on disk.
fn allocated(meta: &Metadata) -> u64 {
    (meta.blocks() * 512).min(meta.len())
}

/// A name beside `target` that is no other file's of the torrent.
fn unfinished(target: &Path) -> PathBuf {
    // short: the name itself may be as long as names can be
    target.with_file_name(".chunkcast-moving")
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::layout;

    fn fill(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, name.as_bytes()).expect("a file");
        }
    }

    fn mv(layout: &Layout, from: &Path, to: &Path) -> Result<Moved, String> {
        run(layout, from, to, &AtomicU64::new(0), &|| false)
    }

    #[test]
    fn a_folder_is_renamed_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to/deep"));
        let layout = layout(&["t/a", "t/b/c"]);
        fill(&from, &["t/a", "t/b/c", "t/notes"]);
        assert_eq!(mv(&layout, &from, &to), Ok(Moved::Renamed));
        assert!(to.join("t/notes").exists() && !from.join("t").exists());
        assert_eq!(mv(&layout, &from, &to), Ok(Moved::Renamed), "again");
        assert_eq!(fs::read(to.join("t/b/c")).expect("there"), b"t/b/c");
    }

    #[test]
    fn where_a_folder_of_the_name_is_files_go_into_it_and_the_old_ones_stay_until_they_may_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let layout = layout(&["t/a", "t/b/c", "t/never"]);
        fill(&from, &["t/a", "t/b/c", "t/notes"]);
        fill(&to, &["t/other"]);
        assert_eq!(mv(&layout, &from, &to), Ok(Moved::Copied));
        assert!(from.join("t/a").exists() && to.join("t/a").exists());
        assert_eq!(mv(&layout, &from, &to), Ok(Moved::Copied), "again");
        leave(&layout, &from, &to);
        assert!(!from.join("t/a").exists() && !from.join("t/b").exists());
        assert!(from.join("t/notes").exists() && to.join("t/other").exists());
        assert_eq!(fs::read(to.join("t/b/c")).expect("there"), b"t/b/c");
    }

    #[test]
    fn another_file_in_the_way_is_left_alone_and_nothing_is_moved() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let layout = layout(&["t/a", "t/b"]);
        fill(&from, &["t/a", "t/b"]);
        fill(&to, &["t/b"]);
        fs::write(to.join("t/b"), b"somebody else's").expect("a file");
        let refused = mv(&layout, &from, &to).expect_err("refused");
        assert!(
            refused.contains("t/b") && refused.lines().count() == 1,
            "{refused}"
        );
        assert!(from.join("t/a").exists() && !to.join("t/a").exists());
        assert_eq!(fs::read(to.join("t/b")).expect("there"), b"somebody else's");
        leave(&layout, &from, &to);
        assert!(from.join("t/b").exists(), "it is not at the new place");
    }

    #[test]
    fn a_copy_has_the_bytes_the_holes_and_the_time_and_one_that_is_stopped_is_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = layout(&["t"]);
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(&from).expect("a directory");
        fs::create_dir_all(&to).expect("a directory");
        let sparse = File::create(from.join("t")).expect("a file");
        sparse.set_len(8 << 20).expect("longer");
        sparse.write_all_at(&[7; 5000], 3 << 20).expect("written");
        let old =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890_123);
        sparse
            .set_times(FileTimes::new().set_modified(old))
            .expect("set");
        let meta = fs::metadata(from.join("t")).expect("there");
        let done = AtomicU64::new(0);
        let copy = |stopped: &dyn Fn() -> bool| {
            let copy = Copy {
                layout: &layout,
                from: &from,
                to: &to,
                done: &done,
                stopped,
                made: BTreeSet::new(),
                directories: BTreeSet::new(),
            };
            copy.copy(&from.join("t"), &meta, &to.join("t"))
        };
        assert!(!copy(&|| true).expect("no error"));
        assert!(copy(&|| false).expect("no error"));
        let copied = fs::metadata(to.join("t")).expect("there");
        assert!(same(&meta, &copied));
        assert!(copied.blocks() <= meta.blocks(), "holes are holes");
        assert!(done.load(Relaxed) < 1 << 20);
        assert!(fs::read(to.join("t")).expect("there") == fs::read(from.join("t")).expect("there"));
    }
}
