//! The blocklist: fetched from where the settings say, with a copy in the state directory that holds until it is fetched again.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::rules::is_blocklist_url;
use crate::discovery::{FetchLimits, fetch_torrent};
use crate::limits::Blocklist;

/// A copy older than that is fetched again.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600); // guess: lists change every few days
/// After a fetch that failed it is tried again.
const AGAIN: Duration = Duration::from_secs(3600); // guess
/// What a fetch may take.
const LIMITS: FetchLimits = FetchLimits {
    deadline: Duration::from_secs(300), // guess: tens of megabytes
    max_bytes: 256 << 20,               // guess: ten times the longest list there is
};

/// What the copy begins with; the source and the end of the line follow, and then the list as it came.
const HEAD: &[u8] = b"# chunkcast's copy of ";

/// A list that was read, and how old it is.
pub(in crate::daemon) struct Read {
    list: Arc<Blocklist>,
    /// Where it is from; `None`: that is not known.
    source: Option<String>,
    /// As it came, to be kept; `None`: it is the copy.
    bytes: Option<Bytes>,
    age: Duration,
}

impl Actor {
    /// The copy is read, once somebody wants a blocklist.
    pub(super) fn read_blocklist(&mut self) {
        let path = self.places.blocklist();
        self.spawn(async move {
            let read = tokio::task::spawn_blocking(move || copy(&path)).await;
            Note::Blocklist(Ok(read.ok().flatten()), None)
        });
    }

    pub(super) fn update_blocklist(&mut self, reply: Reply<usize>) {
        self.fetch_blocklist(Some(reply));
    }

    pub(super) fn blocklist_len(&mut self, reply: Reply<usize>) {
        let ranges = self.blocklist.len();
        self.answer(reply, Ok(ranges));
    }

    /// Fetches it; the next try is due in a while, whatever becomes of this one.
    pub(super) fn fetch_blocklist(&mut self, reply: Option<Reply<usize>>) {
        let Some(source) = self.settings.blocklist_source.clone() else {
            if let Some(reply) = reply {
                let why = "there is no source of a blocklist; set one first".to_owned();
                self.answer(reply, Err(DaemonError::Invalid(why)));
            }
            return;
        };
        self.blocklist_due = self.now.elapsed + AGAIN;
        self.spawn(async move { Note::Blocklist(fetch(source).await.map(Some), reply) });
    }

    pub(super) fn on_blocklist(
        &mut self,
        read: Result<Option<Read>, DaemonError>,
        reply: Option<Reply<usize>>,
    ) {
        let result = match read {
            Ok(None) => {
                self.fetch_blocklist(None); // there is no copy yet
                return;
            }
            Ok(Some(read)) => {
                let (ranges, bad) = (read.list.len(), read.list.bad_lines());
                tracing::info!("the blocklist has {ranges} ranges ({bad} lines are none)");
                self.blocklist = read.list;
                // one of another source holds until there is one of this
                let good_for = match read.source == self.settings.blocklist_source {
                    true => OLD.saturating_sub(read.age),
                    false => Duration::ZERO,
                };
                self.blocklist_due = self.now.elapsed + good_for;
                if let Some(bytes) = read.bytes {
                    let source = read.source.unwrap_or_default();
                    let copy = [HEAD, source.as_bytes(), b"\n", &bytes].concat();
                    let op = self.places.put_blocklist(copy);
                    self.write_unheard(vec![op]);
                }
                self.use_blocklist();
                Ok(ranges)
            }
            Err(e) => {
                tracing::warn!("the blocklist: {e}");
                Err(e)
            }
        };
        if let Some(reply) = reply {
            self.answer(reply, result);
        }
    }

    /// The list holds, or none.
    pub(super) fn use_blocklist(&self) {
        let list = match self.settings.blocklist {
            true => self.blocklist.clone(),
            false => Arc::default(),
        };
        self.session.set_blocklist(list);
    }

    /// Fetches a list that has become old.
    pub(super) fn renew_blocklist(&mut self) {
        if self.settings.blocklist && self.now.elapsed >= self.blocklist_due {
            self.fetch_blocklist(None);
        }
    }
}

/// The copy, if there is one that can be used. Blocking.
pub(in crate::daemon) fn copy(path: &Path) -> Option<Read> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => {
            tracing::warn!("the copy of the blocklist: {}: {e}", path.display());
            return None;
        }
    };
    let changed = fs::metadata(path).and_then(|m| m.modified());
    let age = changed
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    let (source, list) = split(&bytes);
    Blocklist::read(list).ok().map(|list| Read {
        list: Arc::new(list),
        source,
        bytes: None,
        age: age.unwrap_or_default(),
    })
}

/// The source of a copy, and the list.
fn split(copy: &[u8]) -> (Option<String>, &[u8]) {
    let found = copy.strip_prefix(HEAD).and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let source = str::from_utf8(&rest[..end]).ok()?;
        Some((Some(source.to_owned()), &rest[end + 1..]))
    });
    found.unwrap_or((None, copy))
}

async fn fetch(source: String) -> Result<Read, DaemonError> {
    let failed = |e: &dyn std::fmt::Display| DaemonError::Fetch(format!("{source}: {e}"));
    let bytes = if is_blocklist_url(&source) {
        let fetched = fetch_torrent(&source, LIMITS).await;
        fetched.map_err(|e| DaemonError::Fetch(e.to_string()))?
    } else {
        let path = source.clone();
        let read = tokio::task::spawn_blocking(move || file(Path::new(&path))).await;
        let read = read.map_err(|_| DaemonError::Ending)?;
        read.map_err(|e| failed(&e))?.into()
    };
    let parsed = tokio::task::spawn_blocking({
        let bytes = bytes.clone();
        move || Blocklist::read(&bytes)
    });
    let list = match parsed.await {
        Ok(list) => list.map_err(|e| failed(&e))?,
        Err(_) => return Err(DaemonError::Ending),
    };
    Ok(Read {
        list: Arc::new(list),
        source: Some(source),
        bytes: Some(bytes),
        age: Duration::ZERO,
    })
}

/// What is in a file, which may be any that a client has named. Blocking.
fn file(path: &Path) -> io::Result<Vec<u8>> {
    let most = LIMITS.max_bytes;
    let too_long = || io::Error::other(format!("it is longer than {most} bytes"));
    let meta = fs::metadata(path)?;
    // nobody may ever write into a pipe, and a device has no end
    if !meta.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if meta.len() > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_where_it_is_from_and_one_that_does_not_is_a_list_all_the_same() {
        let copy = [HEAD, b"/srv/list\n\x1f\x8b\n", b"rest"].concat();
        let expected = (Some("/srv/list".to_owned()), &b"\x1f\x8b\nrest"[..]);
        assert_eq!(split(&copy), expected);
        for other in [&b"# a list\n192.0.2.1\n"[..], HEAD, b"", b"\x1f\x8b"] {
            assert_eq!(split(other), (None, other));
        }
    }
}
