//! The watch folder: .torrent files, and .magnet files with a link, are added and renamed.
//!
//! A file is looked at when it has stayed as it is from one look to the next, so that one that is still being written is not
//! taken for a bad one. What was added becomes `NAME.added`, what is no torrent `NAME.invalid`; a file that could not be added
//! for another reason stays, and is tried again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::AbortHandle;

use super::handle::{Daemon, DaemonError};
use super::model::{NewSource, NewTorrent};
use crate::metadata::MetadataLimits;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(2); // guess: a person waits for it
/// What is no torrent may be one that is being written with pauses: so many looks, unchanged, and it is none.
const PATIENCE: u32 = 4; // guess: eight seconds
/// A file that could not be added is tried again after so many looks.
const AGAIN: u32 = 30; // guess: a minute
/// Files that are looked at.
const MOST: usize = 10_000; // guess: more are taken when these are done

/// Looks at a directory until it is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    dir: PathBuf,
    task: AbortHandle,
}

impl Watcher {
    /// Watches `dir` for `daemon`.
    pub(super) fn spawn(daemon: Daemon, dir: PathBuf) -> Self {
        let task = tokio::spawn(watch(daemon, dir.clone())).abort_handle();
        Self { dir, task }
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A file as it was at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    len: u64,
    changed: Option<SystemTime>,
    /// Looks at which it was no torrent.
    bad: u32,
    /// Looks until it is tried again.
    wait: u32,
}

/// A file that has stayed as it was, and what is in it.
struct Found {
    path: PathBuf,
    source: Result<NewSource, DaemonError>,
}

async fn watch(daemon: Daemon, dir: PathBuf) {
    let mut seen = BTreeMap::new();
    let mut warned = false;
    loop {
        let (at, before) = (dir.clone(), seen);
        let look = tokio::task::spawn_blocking(move || look(&at, before, MOST));
        let Ok((now, found)) = look.await else {
            return;
        };
        seen = now;
        match found {
            Ok(found) => {
                warned = false;
                for file in found {
                    let path = file.path.clone();
                    let seen = seen.get_mut(&path).expect("it was found");
                    match take(&daemon, file, seen.bad >= PATIENCE).await {
                        Ok(Taken::Renamed) => {}
                        Ok(Taken::Bad) => seen.bad += 1,
                        Err(DaemonError::Ending) => return,
                        Err(e) => {
                            tracing::warn!("{path:?}: {e}; it is tried again");
                            seen.wait = AGAIN;
                        }
                    }
                }
            }
            Err(e) if !warned => {
                tracing::warn!("the watch folder {dir:?} cannot be read: {e}");
                warned = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(PERIOD).await;
    }
}

type Files = BTreeMap<PathBuf, Seen>;

/// The files that are there, `most` of them, and those that are ready to be added. Blocking.
fn look(dir: &Path, before: Files, most: usize) -> (Files, io::Result<Vec<Found>>) {
    let mut now = Files::new();
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) => return (before, Err(e)),
    };
    // there may be any number of those that were dealt with
    let files = entries.flatten().filter_map(|e| candidate(e.path()));
    for (path, magnet, meta) in files.take(most) {
        let mut seen = Seen {
            len: meta.len(),
            changed: meta.modified().ok(),
            bad: 0,
            wait: 0,
        };
        if let Some(old) = before.get(&path)
            && (old.len, old.changed) == (seen.len, seen.changed)
        {
            seen.bad = old.bad;
            match old.wait.checked_sub(1) {
                Some(wait) => seen.wait = wait,
                None => found.push(Found {
                    source: read(&path, meta.len(), magnet),
                    path: path.clone(),
                }),
            }
        }
        now.insert(path, seen);
    }
    (now, Ok(found))
}

/// A file that may have a torrent in it, or a link if it is a `magnet`.
fn candidate(path: PathBuf) -> Option<(PathBuf, bool, fs::Metadata)> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let magnet = match extension.as_str() {
        "torrent" => false,
        "magnet" => true,
        _ => return None,
    };
    // a symlink may lead to what nobody meant to give away
    let meta = fs::symlink_metadata(&path)
        .ok()
        .filter(fs::Metadata::is_file)?;
    Some((path, magnet, meta))
}

fn read(path: &Path, len: u64, magnet: bool) -> Result<NewSource, DaemonError> {
    let limits = MetadataLimits::default();
    let most = if magnet {
        limits.magnet_bytes
    } else {
        limits.torrent_bytes
    };
    if len > most as u64 {
        let why = format!("it is larger than {most} bytes");
        return Err(DaemonError::Invalid(why));
    }
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData => DaemonError::Invalid("it is no text".into()),
        _ => DaemonError::Disk(e.to_string()),
    };
    match magnet {
        true => fs::read_to_string(path)
            .map(|text| NewSource::Magnet(text.trim().to_owned()))
            .map_err(failed),
        false => fs::read(path)
            .map(|bytes| NewSource::Torrent(Bytes::from(bytes)))
            .map_err(failed),
    }
}

/// What became of a file.
enum Taken {
    /// It was dealt with.
    Renamed,
    /// It is no torrent, or not yet.
    Bad,
}

/// Adds a file and renames it; `sure`: it will not become a torrent any more if it is none.
async fn take(daemon: &Daemon, file: Found, sure: bool) -> Result<Taken, DaemonError> {
    let added = match file.source {
        Ok(source) => daemon.add(NewTorrent::new(source)).await,
        Err(e) => Err(e),
    };
    let suffix = match added {
        Ok(added) => {
            tracing::debug!(name = added.name, "added from the watch folder");
            "added"
        }
        Err(DaemonError::Invalid(_)) if !sure => return Ok(Taken::Bad),
        Err(DaemonError::Invalid(why)) => {
            tracing::warn!("{:?} cannot be added: {why}", file.path);
            "invalid"
        }
        Err(other) => return Err(other),
    };
    let mut name = file.path.clone().into_os_string();
    name.push(format!(".{suffix}"));
    let renamed = tokio::fs::rename(&file.path, &name).await;
    let renamed = renamed.map_err(|e| DaemonError::Disk(format!("it cannot be renamed: {e}")));
    renamed.map(|()| Taken::Renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dealt_with_hides_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str| fs::write(dir.path().join(name), b"x").expect("written");
        for n in 0..50 {
            write(&format!("{n}.torrent.added"));
        }
        write("new.torrent");
        let (seen, found) = look(dir.path(), Files::new(), 1);
        assert_eq!((seen.len(), found.expect("read").len()), (1, 0));
        let (_, found) = look(dir.path(), seen, 1);
        let found = found.expect("read");
        assert_eq!(found[0].path, dir.path().join("new.torrent"));
    }
}
