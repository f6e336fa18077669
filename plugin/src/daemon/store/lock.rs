//! One daemon at a time uses a state directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon uses it.
    #[error(
        "another daemon uses the state directory `{}`; stop it, or give this one another with --state",
        .0.display()
    )]
    Taken(PathBuf),
    /// It cannot be made or written.
    #[error("cannot keep state in `{}`: {source}; choose another directory with --state", path.display())]
    Disk {
        /// What could not be made, read or written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A locked state directory: the system frees it when the process ends, however that comes.
#[derive(Debug)]
pub(in crate::daemon) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory if need be, for its owner alone, and locks it. Blocking.
    pub(in crate::daemon) fn take(state: &Path) -> Result<Self, LockError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LockError::Disk { path, source }
        };
        let torrents = state.join("torrents");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&torrents)
            .map_err(failed(&torrents))?;
        let path = state.join("daemon.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Taken(state.to_owned())),
            Err(e) => Err(failed(&path)(e.into())),
        }
    }
}
