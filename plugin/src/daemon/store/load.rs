//! Reading the store at the start, side by side.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::record::{self, Record};
use super::seal::NotSealed;
use super::writer::UNFINISHED;
use super::{LockError, Places, Statistics, resume};
use crate::daemon::model::InfoHash;
use crate::metadata::{Metainfo, Remarks};
use crate::storage::Resume;

/// Files read at a time.
const THREADS: usize = 8; // guess: a disk's queue, and a processor or two to parse

/// A torrent that was kept.
#[derive(Debug)]
pub(in crate::daemon) struct Kept {
    /// `None`: it was unreadable, but there is a .torrent file.
    pub(in crate::daemon) record: Option<Record>,
    pub(in crate::daemon) hash: InfoHash,
    /// Its metadata, if that was known.
    pub(in crate::daemon) meta: Option<(Arc<Metainfo>, Remarks)>,
    pub(in crate::daemon) resume: Option<Resume>,
}

/// All that was kept.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Loaded {
    /// Torrents in the order of the queue.
    pub(in crate::daemon) torrents: Vec<Kept>,
    /// Removed torrents whose data is still to be deleted.
    pub(in crate::daemon) gone: Vec<Kept>,
    pub(in crate::daemon) statistics: Statistics,
    /// What is not as it was left, a line each, in which torrents are not named.
    pub(in crate::daemon) warnings: Vec<String>,
}

/// Files of one torrent that are there.
#[derive(Clone, Copy, Default)]
struct Found {
    record: bool,
    torrent: bool,
    resume: bool,
    gone: bool,
}

/// Reads all that was kept, and clears away what a killed process left unfinished. Blocking.
///
/// # Errors
/// [`LockError::Disk`] when the directory cannot be read.
pub(in crate::daemon) fn load(places: &Places) -> Result<Loaded, LockError> {
    let failed = |source| LockError::Disk {
        path: places.torrents.clone(),
        source,
    };
    let mut found: BTreeMap<InfoHash, Found> = BTreeMap::new();
    for entry in fs::read_dir(&places.torrents).map_err(failed)? {
        note(&entry.map_err(failed)?.path(), &mut found);
    }
    for name in fs::read_dir(&places.state).map_err(failed)? {
        remove_unfinished(&name.map_err(failed)?.path());
    }
    let reader = Reader {
        places,
        warnings: Mutex::default(),
    };
    let found: Vec<(InfoHash, Found)> = found.into_iter().collect();
    let next = AtomicUsize::new(0);
    let read = Mutex::new(Vec::new());
    let work = || {
        while let Some((hash, there)) = found.get(next.fetch_add(1, Relaxed)) {
            if let Some(kept) = reader.torrent(*hash, *there) {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                read.push((there.gone && !there.record, kept));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(found.len()) {
            scope.spawn(work);
        }
    });
    let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (gone, torrents): (Vec<_>, Vec<_>) = read.into_iter().partition(|(gone, _)| *gone);
    let mut torrents: Vec<Kept> = torrents.into_iter().map(|(_, kept)| kept).collect();
    let queue = reader.queue();
    torrents.sort_by_key(|kept| {
        let order = kept.record.as_ref().map_or(u64::MAX, |r| r.order);
        let place = queue.get(&(kept.hash, order)).copied();
        (place.unwrap_or(usize::MAX), order)
    });
    Ok(Loaded {
        statistics: reader
            .read(&places.statistics(), Statistics::decode)
            .good()
            .unwrap_or_default(),
        torrents,
        gone: gone.into_iter().map(|(_, kept)| kept).collect(),
        warnings: reader
            .warnings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
    })
}

fn note(path: &Path, found: &mut BTreeMap<InfoHash, Found>) {
    if remove_unfinished(path) {
        return;
    }
    let text = |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str()).map(str::to_owned);
    let hash = text(path.file_stem()).and_then(|stem| stem.parse().ok());
    let (Some(hash), Some(kind)) = (hash, text(path.extension())) else {
        return;
    };
    let there = found.entry(hash).or_default();
    match kind.as_str() {
        "json" => there.record = true,
        "torrent" => there.torrent = true,
        "resume" => there.resume = true,
        "gone" => there.gone = true,
        _ => {}
    }
}

/// Removes a file that a killed process was writing.
fn remove_unfinished(path: &Path) -> bool {
    let unfinished = path.extension().is_some_and(|e| e == UNFINISHED);
    if unfinished {
        let _ = fs::remove_file(path);
    }
    unfinished
}

/// What became of a file.
enum Read<T> {
    Good(T),
    /// There is none, or none any more.
    None,
    /// It cannot be used and was left as it is: nothing may be written in its place.
    Left,
}

impl<T> Read<T> {
    fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::None | Self::Left => None,
        }
    }

    fn is_left(&self) -> bool {
        matches!(self, Self::Left)
    }
}

struct Reader<'a> {
    places: &'a Places,
    warnings: Mutex<Vec<String>>,
}

impl Reader<'_> {
    fn torrent(&self, hash: InfoHash, there: Found) -> Option<Kept> {
        let places = self.places;
        if !there.record && !there.gone {
            // an addition or a removal that was not finished: nobody was told of the one, everybody of the other
            for kind in ["torrent", "resume"] {
                let _ = fs::remove_file(places.of(hash, kind));
            }
            return None;
        }
        let path = match there.record {
            true => places.record(hash),
            false => places.gone(hash),
        };
        let record = self.read(&path, |file| {
            let record = record::decode(file)?;
            match record.info_hash == hash {
                true => Ok(record),
                false => Err(NotSealed::Damaged),
            }
        });
        if record.is_left() {
            return None;
        }
        let record = record.good();
        let meta = there.torrent.then(|| self.metainfo(hash)).flatten();
        if record.is_none() && (meta.is_none() || !there.record) {
            return None; // nothing is known of it any more
        }
        let resume = there.resume.then(|| places.resume(hash));
        let resume = resume.and_then(|path| self.read(&path, resume::decode).good());
        Some(Kept {
            record,
            hash,
            meta,
            resume,
        })
    }

    fn metainfo(&self, hash: InfoHash) -> Option<(Arc<Metainfo>, Remarks)> {
        let path = self.places.torrent(hash);
        self.read(&path, |bytes| {
            let meta = Metainfo::from_torrent(bytes).map_err(|_| NotSealed::Damaged)?;
            match meta.info_hash == hash.0 {
                true => Ok((Arc::new(meta), Remarks::of_torrent(bytes))),
                false => Err(NotSealed::Damaged),
            }
        })
        .good()
    }

    /// Places in the queue.
    fn queue(&self) -> BTreeMap<(InfoHash, u64), usize> {
        let text = fs::read_to_string(self.places.queue()).unwrap_or_default();
        let torrents = text.lines().filter_map(|line| {
            let (hash, order) = line.split_once(' ')?;
            Some((hash.parse().ok()?, order.parse().ok()?))
        });
        torrents
            .enumerate()
            .map(|(at, torrent)| (torrent, at))
            .collect()
    }

    /// What a file holds; one that is no good is set aside.
    fn read<T>(&self, path: &Path, decode: impl FnOnce(&[u8]) -> Result<T, NotSealed>) -> Read<T> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Read::None,
            Err(e) => {
                self.warn(path, &format!("cannot be read: {e}; it was left out"));
                return Read::Left;
            }
        };
        match decode(&bytes) {
            Ok(value) => Read::Good(value),
            Err(NotSealed::Later) => {
                self.warn(path, &format!("is {}: it was left out", NotSealed::Later));
                Read::Left
            }
            Err(why) => match fs::rename(path, aside(path)) {
                Ok(()) => {
                    let line = format!("is {why}: it was set aside, with `.bad` behind its name");
                    self.warn(path, &line);
                    Read::None
                }
                Err(e) => {
                    self.warn(path, &format!("is {why} and cannot be set aside: {e}"));
                    Read::Left
                }
            },
        }
    }

    fn warn(&self, path: &Path, what: &str) {
        tracing::debug!("`{}` {what}", path.display());
        let line = format!("`{}` {what}", nameless(path).display());
        let warnings = self.warnings.lock();
        warnings.unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The path without the infohash that a torrent's file is called by.
fn nameless(path: &Path) -> PathBuf {
    let (stem, kind) = (path.file_stem(), path.extension());
    let hash = stem.and_then(|stem| stem.to_str()?.parse::<InfoHash>().ok());
    match hash.zip(kind) {
        Some((_, kind)) => path.with_file_name("*").with_extension(kind),
        None => path.to_path_buf(),
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".bad");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_was_left_is_told_without_infohashes() {
        let dir = tempfile::tempdir().expect("a directory");
        let places = Places::new(dir.path());
        let hash = InfoHash([0xab; 20]);
        fs::create_dir(&places.torrents).expect("a directory");
        for path in [
            places.record(hash),
            places.torrent(hash),
            places.statistics(),
        ] {
            fs::write(path, b"nonsense").expect("written");
        }
        let loaded = load(&places).expect("it can be read");
        let told = loaded.warnings.join("\n");
        assert_eq!(loaded.warnings.len(), 3, "{told}");
        assert!(!told.contains(&hash.to_string()), "{told}");
        for part in [
            "torrents/*.json`",
            "torrents/*.torrent`",
            "/statistics.json`",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
