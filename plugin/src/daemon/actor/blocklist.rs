//! The blocklist: fetched from where the settings say, with a copy in the state directory that holds until it is fetched again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
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

/// A list that was read, and how old it is.
pub(in crate::daemon) struct Read {
    list: Arc<Blocklist>,
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
            Note::Blocklist(read.unwrap_or(Ok(None)), None)
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
                self.blocklist_due = self.now.elapsed + OLD.saturating_sub(read.age);
                if let Some(bytes) = read.bytes {
                    let op = self.places.put_blocklist(bytes.into());
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
pub(in crate::daemon) fn copy(path: &Path) -> Result<Option<Read>, DaemonError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(DaemonError::Disk(format!("{}: {e}", path.display()))),
    };
    let changed = fs::metadata(path).and_then(|m| m.modified());
    let age = changed
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    Ok(Blocklist::read(&bytes).ok().map(|list| Read {
        list: Arc::new(list),
        bytes: None,
        age: age.unwrap_or_default(),
    }))
}

async fn fetch(source: String) -> Result<Read, DaemonError> {
    let scheme = source.split_once(':').map(|(s, _)| s.to_ascii_lowercase());
    let bytes = match scheme.as_deref() {
        Some("http" | "https") => {
            let fetched = fetch_torrent(&source, LIMITS).await;
            fetched.map_err(|e| DaemonError::Fetch(e.to_string()))?
        }
        _ => {
            let read = tokio::fs::read(&source).await;
            let failed = |e| DaemonError::Fetch(format!("{source}: {e}"));
            read.map(Bytes::from).map_err(failed)?
        }
    };
    let parsed = tokio::task::spawn_blocking({
        let bytes = bytes.clone();
        move || Blocklist::read(&bytes)
    });
    let list = match parsed.await {
        Ok(list) => list.map_err(|e| DaemonError::Fetch(format!("{source}: {e}")))?,
        Err(_) => return Err(DaemonError::Ending),
    };
    Ok(Read {
        list: Arc::new(list),
        bytes: Some(bytes),
        age: Duration::ZERO,
    })
}
