//! What can go wrong with a torrent's files.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do its work. Each is one line that names the path and the way out.
///
/// Paths are printed quoted and escaped: a torrent chooses them, and they may hold line ends or terminal codes.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No space is left, or the quota is used up.
    #[error(
        "the disk is full: cannot write {path:?} ({source}); free some space and start again, what is verified is kept"
    )]
    DiskFull {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The user may not do this.
    #[error(
        "no permission to {action} {path:?}; change its permissions or choose another directory"
    )]
    Permission {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error(
        "cannot {action} {path:?}: the file system is read-only; choose a directory on another one"
    )]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system cannot hold a file of this size.
    #[error(
        "the file system cannot hold a file as large as {path:?}; choose a directory on another one"
    )]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The process has no file descriptor left.
    #[error(
        "too many open files, cannot open {path:?}; raise the limit (`ulimit -n`) or lower --max-open-files"
    )]
    TooManyOpen {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the system refused.
    #[error("cannot {action} {path:?}: {source}; see to that disk or choose another directory")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory of the torrent, or the output directory, is something else on disk.
    #[error("{path:?} is in the way, it must be a directory; move it or choose another directory")]
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// A file of the torrent is a directory, a device or a pipe on disk.
    #[error(
        "{path:?} is not a regular file but the torrent has a file there; move it or choose another directory"
    )]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
    },
    /// A symlink leads out of the root, or to nothing.
    #[error(
        "{path:?} is a symlink that leads out of {root:?} or to nothing; remove it or choose another directory"
    )]
    Escapes {
        /// The symlink.
        path: PathBuf,
        /// The directory that must not be left.
        root: PathBuf,
    },
    /// A file is longer than the torrent says, so it is not this torrent's.
    #[error(
        "{path:?} has {found} bytes but the torrent's file has {expected}: it is another file; move it or choose another directory"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length on disk in bytes.
        found: u64,
        /// Its length in the torrent in bytes.
        expected: u64,
    },
    /// A file was removed or shortened under a running program.
    #[error(
        "{path:?} was removed or shortened while it was in use; start again to have its pieces checked"
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The data to be seeded is not there.
    #[error("there is nothing at {path:?}; name the torrent's file or folder itself")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Two files of the torrent are one file on disk.
    #[error(
        "{path:?} and {other:?} are the same file on disk, each would overwrite the other; remove one of them or choose another directory"
    )]
    SameFile {
        /// The file that was to be written.
        path: PathBuf,
        /// The file that it also is.
        other: PathBuf,
    },
    /// The torrent names a path that is empty, absolute, leads upwards, or holds a NUL.
    #[error("the torrent has an unsafe path, {path:?}: it is broken, get another one")]
    UnsafePath {
        /// The path.
        path: PathBuf,
    },
    /// The torrent names the same path twice, or one path as a file and as a directory.
    #[error("the torrent names {path:?} twice: it is broken, get another one")]
    Conflict {
        /// The path.
        path: PathBuf,
    },
    /// A piece hashes right only with other bytes than zeros in a padding file.
    #[error(
        "the torrent's padding file {path:?} does not consist of zeros: it is broken, get another one"
    )]
    Padding {
        /// The padding file's path in the torrent.
        path: PathBuf,
    },
    /// The store was opened for seeding only.
    #[error("the data is open for seeding only, nothing is written to it")]
    SeedOnly,
    /// The range does not exist in the torrent.
    #[error("piece {piece} has no bytes {begin}..{begin}+{len}")]
    OutOfRange {
        /// Piece index.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Length in bytes.
        len: u32,
    },
    /// The program is shutting down.
    #[error("the program is shutting down")]
    Stopped,
    /// A limit makes no sense.
    #[error("storage limits: {0}")]
    Config(&'static str),
}

impl StorageError {
    /// Whether space or quota is used up.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    /// Whether the same write may succeed later without another command: space is freed, a file system comes back, a file
    /// is closed. All else needs another torrent or another directory.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::Permission { .. }
                | Self::ReadOnly { .. }
                | Self::TooManyOpen { .. }
                | Self::Io { .. }
        )
    }

    /// Whether the torrent is at fault and not the disk: another torrent helps, another directory does not.
    pub fn is_bad_torrent(&self) -> bool {
        matches!(
            self,
            Self::UnsafePath { .. } | Self::Conflict { .. } | Self::Padding { .. }
        )
    }

    /// Sorts a system error by what the user can do about it; `action` reads after "cannot".
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let path = path.to_path_buf();
        match source.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Self::DiskFull { path, source },
            Kind::PermissionDenied => Self::Permission {
                action,
                path,
                source,
            },
            Kind::ReadOnlyFilesystem => Self::ReadOnly {
                action,
                path,
                source,
            },
            Kind::FileTooLarge => Self::FileTooLarge { path, source },
            Kind::NotADirectory => Self::NotADirectory { path },
            Kind::UnexpectedEof => Self::Changed { path },
            _ if descriptors_used_up(&source) => Self::TooManyOpen { path, source },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

fn descriptors_used_up(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn every_refusal_is_one_line_that_names_the_path_and_the_way_out() {
        let path = Path::new("/data/line\nend");
        for (errno, says) in [
            (Errno::NOSPC, "free some space"),
            (Errno::DQUOT, "free some space"),
            (Errno::ACCESS, "no permission to write"),
            (Errno::PERM, "no permission to write"),
            (Errno::ROFS, "read-only"),
            (Errno::FBIG, "as large as"),
            (Errno::MFILE, "ulimit -n"),
            (Errno::NFILE, "ulimit -n"),
            (Errno::NOTDIR, "must be a directory"),
            (Errno::IO, "see to that disk"),
            (Errno::NAMETOOLONG, "see to that disk"),
        ] {
            let error = StorageError::io("write", path, errno.into());
            let text = error.to_string();
            assert!(
                text.contains(says) && text.contains("\"/data/line\\nend\""),
                "{text}"
            );
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(
                error.is_disk_full(),
                matches!(errno, Errno::NOSPC | Errno::DQUOT)
            );
            assert!(!error.is_bad_torrent());
            assert_eq!(
                error.may_pass(),
                !matches!(errno, Errno::FBIG | Errno::NOTDIR)
            );
        }
    }
}
