//! Where a torrent's files lie on disk, and the only way to open them: never outside the root.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use super::{Mode, StorageError, Target};
use crate::metadata::{FileEntry, Layout};

/// The directory that is never left, and how the torrent's paths continue below it.
#[derive(Debug)]
pub(super) struct Tree {
    /// Canonical: no symlink in it.
    root: PathBuf,
    naming: Naming,
}

#[derive(Debug)]
enum Naming {
    /// The whole path, the torrent's name included.
    Full,
    /// The path without the torrent's name: the root is the folder itself.
    Inside,
    /// The torrent's only file has this name.
    Only(PathBuf),
}

impl Tree {
    /// Checks the torrent's paths and finds the root; a download creates it. Blocking.
    pub(super) fn open(
        layout: &Layout,
        target: Target<'_>,
        mode: Mode,
    ) -> Result<Self, StorageError> {
        check_paths(layout)?;
        match target {
            Target::OutputDir(dir) => Ok(Self {
                root: root(dir, mode)?,
                naming: Naming::Full,
            }),
            Target::Content(path) if is_single(layout) => {
                // the user named the file: if that is a symlink, then what it leads to
                let path = match fs::canonicalize(path) {
                    Ok(real) => real,
                    Err(e) if e.kind() == io::ErrorKind::NotFound && mode == Mode::Download => {
                        path.to_path_buf()
                    }
                    Err(e) => return Err(absent(path, e)),
                };
                let Some(name) = path.file_name() else {
                    return Err(StorageError::NotAFile { path });
                };
                let parent = match path.parent() {
                    Some(p) if !p.as_os_str().is_empty() => p,
                    _ => Path::new("."),
                };
                Ok(Self {
                    root: root(parent, mode)?,
                    naming: Naming::Only(name.into()),
                })
            }
            Target::Content(path) => Ok(Self {
                root: root(path, mode)?,
                naming: Naming::Inside,
            }),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The file's path below the root.
    pub(super) fn relative<'a>(&'a self, entry: &'a FileEntry) -> &'a Path {
        match &self.naming {
            Naming::Full => &entry.path,
            Naming::Inside => {
                let mut components = entry.path.components();
                components.next();
                components.as_path()
            }
            Naming::Only(name) => name,
        }
    }

    /// The file's path as the user knows it.
    pub(super) fn shown(&self, entry: &FileEntry) -> PathBuf {
        self.root.join(self.relative(entry))
    }

    /// The file on disk, `None` where there is none. Blocking.
    pub(super) fn find(&self, entry: &FileEntry) -> Result<Option<Metadata>, StorageError> {
        let found = self.walk(self.relative(entry), false)?;
        let Some((path, Some(meta))) = found else {
            return Ok(None);
        };
        not_longer(&meta, entry, &path)?;
        Ok(Some(meta))
    }

    /// Opens a file that exists, for reading. Blocking.
    pub(super) fn open_read(&self, entry: &FileEntry) -> Result<File, StorageError> {
        let found = self.walk(self.relative(entry), false)?;
        let Some((path, Some(_))) = found else {
            return Err(StorageError::Changed {
                path: self.shown(entry),
            });
        };
        let file = match options().open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::Changed { path });
            }
            opened => opened.map_err(|e| StorageError::io("read", &path, e))?,
        };
        regular(&file, &path)?;
        Ok(file)
    }

    /// Opens a file for reading and writing; creates it, empty, and its directories where they are missing. Blocking.
    pub(super) fn open_write(&self, entry: &FileEntry) -> Result<(File, Metadata), StorageError> {
        use io::ErrorKind::{AlreadyExists, NotFound};
        let mut tries = 0;
        let (path, file) = loop {
            let (path, meta) = self
                .walk(self.relative(entry), true)?
                .expect("walk created it");
            // a file that must be new is created exclusively: that never follows a symlink
            match options().write(true).create_new(meta.is_none()).open(&path) {
                Ok(file) => break (path, file),
                // someone else created or removed it between the two calls
                Err(e) if tries < 3 && matches!(e.kind(), AlreadyExists | NotFound) => tries += 1,
                Err(e) => return Err(StorageError::io("write", &path, e)),
            }
        };
        let meta = regular(&file, &path)?;
        not_longer(&meta, entry, &path)?;
        Ok((file, meta))
    }

    /// Directories from the file's own up to the root, as they are on disk.
    pub(super) fn directories(&self, entry: &FileEntry) -> Result<Vec<PathBuf>, StorageError> {
        let Some((path, _)) = self.walk(self.relative(entry), false)? else {
            return Ok(vec![]);
        };
        let above = path
            .ancestors()
            .skip(1)
            .take_while(|dir| dir.starts_with(&self.root));
        Ok(above.map(Path::to_path_buf).collect())
    }

    /// Follows `relative` component by component. `None`: a directory on the way is missing (and not to be created);
    /// otherwise the path free of symlinks, and the file's metadata if there is a file.
    fn walk(
        &self,
        relative: &Path,
        create: bool,
    ) -> Result<Option<(PathBuf, Option<Metadata>)>, StorageError> {
        let mut at = self.root.clone();
        let mut components = relative.components().peekable();
        while let Some(component) = components.next() {
            at.push(component);
            let last = components.peek().is_none();
            let Some(mut meta) = look(&at)? else {
                if last {
                    return Ok(Some((at, None)));
                }
                if !create {
                    return Ok(None);
                }
                match fs::create_dir(&at) {
                    // perhaps by someone else who put a symlink there: look again before going in
                    Ok(()) => {}
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(StorageError::io("create", &at, e)),
                }
                match look(&at)? {
                    Some(meta) if meta.is_dir() => continue,
                    _ => return Err(StorageError::NotADirectory { path: at }),
                }
            };
            if meta.is_symlink() {
                at = self.follow(at)?;
                meta = fs::symlink_metadata(&at).map_err(|e| StorageError::io("read", &at, e))?;
            }
            if last {
                return match meta.is_file() {
                    true => Ok(Some((at, Some(meta)))),
                    false => Err(StorageError::NotAFile { path: at }),
                };
            }
            if !meta.is_dir() {
                return Err(StorageError::NotADirectory { path: at });
            }
        }
        Err(StorageError::UnsafePath {
            path: relative.to_path_buf(),
        })
    }

    /// Where a symlink leads, if that is inside the root.
    fn follow(&self, link: PathBuf) -> Result<PathBuf, StorageError> {
        match fs::canonicalize(&link) {
            Ok(real) if real.starts_with(&self.root) => Ok(real),
            Ok(_) => Err(StorageError::Escapes {
                path: link,
                root: self.root.clone(),
            }),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(StorageError::io("follow", &link, e))
            }
            Err(_) => Err(StorageError::Escapes {
                path: link,
                root: self.root.clone(),
            }),
        }
    }
}

/// A torrent of one file has no folder: its path is its name.
fn is_single(layout: &Layout) -> bool {
    matches!(&layout.files[..], [only] if only.path.components().count() == 1)
}

/// The torrent's own paths: plain components only, and no path inside another. Padding files have no path on disk.
fn check_paths(layout: &Layout) -> Result<(), StorageError> {
    let mut paths: Vec<&Path> = layout
        .files
        .iter()
        .filter(|f| !f.padding)
        .map(|f| f.path.as_path())
        .collect();
    for path in &paths {
        let plain = |c| matches!(c, Component::Normal(name) if !name.as_bytes().contains(&0));
        if path.as_os_str().is_empty() || !path.components().all(plain) {
            return Err(StorageError::UnsafePath {
                path: path.to_path_buf(),
            });
        }
    }
    // in the order of components, what lies below a path follows it at once
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => Err(StorageError::Conflict {
            path: pair[0].to_path_buf(),
        }),
        None => Ok(()),
    }
}

fn root(dir: &Path, mode: Mode) -> Result<PathBuf, StorageError> {
    if mode == Mode::Download {
        fs::create_dir_all(dir).map_err(|e| match in_the_way(dir) {
            Some(path) => StorageError::NotADirectory { path },
            None => StorageError::io("create", dir, e),
        })?;
    }
    let real = fs::canonicalize(dir).map_err(|e| absent(dir, e))?;
    match fs::metadata(&real)
        .map_err(|e| StorageError::io("read", dir, e))?
        .is_dir()
    {
        true => Ok(real),
        false => Err(StorageError::NotADirectory {
            path: dir.to_path_buf(),
        }),
    }
}

/// The part of the path to `dir` that is there but is no directory.
fn in_the_way(dir: &Path) -> Option<PathBuf> {
    let there = dir
        .ancestors()
        .find(|path| fs::symlink_metadata(path).is_ok())?;
    (!there.is_dir()).then(|| there.to_path_buf())
}

fn absent(path: &Path, error: io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::NotFound => StorageError::Missing {
            path: path.to_path_buf(),
        },
        _ => StorageError::io("read", path, error),
    }
}

/// What is at `path` itself; `None` if nothing.
fn look(path: &Path) -> Result<Option<Metadata>, StorageError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StorageError::io("read", path, e)),
    }
}

/// Never through a symlink in the last component, and never waiting for the other end of a pipe.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn regular(file: &File, path: &Path) -> Result<Metadata, StorageError> {
    let meta = file
        .metadata()
        .map_err(|e| StorageError::io("read", path, e))?;
    match meta.is_file() {
        true => Ok(meta),
        false => Err(StorageError::NotAFile {
            path: path.to_path_buf(),
        }),
    }
}

fn not_longer(meta: &Metadata, entry: &FileEntry, path: &Path) -> Result<(), StorageError> {
    let (found, expected) = (meta.len(), entry.length);
    if found > expected {
        return Err(StorageError::TooLong {
            path: path.to_path_buf(),
            found,
            expected,
        });
    }
    Ok(())
}
