//! Torrents that come: those that were kept, and new ones.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::changing::{self, MAX_FILES};
use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::{
    Added, Change, Event, InfoHash, NewSource, NewTorrent, Options, QueueMove, Trouble,
};
use crate::daemon::paths::Roots;
use crate::daemon::store::{Counts, Kept, Loaded, Record, Standing, options_of};
use crate::daemon::torrent::{Next, Torrent};
use crate::discovery::{FetchLimits, fetch_with_cookies};
use crate::metadata::{Magnet, MetadataLimits, Metainfo, Remarks};
use crate::session::TorrentSource;

/// Who waits for a torrent to be on disk; the first one added it.
pub(super) type Waiting = Vec<Reply<Added>>;

/// A torrent to add that was read and checked.
pub(crate) struct Prepared {
    source: TorrentSource,
    remarks: Remarks,
    /// The .torrent file.
    bytes: Option<Bytes>,
    options: Options,
    start: bool,
    change: Change,
}

impl Actor {
    /// Takes up what was kept.
    pub(super) fn load(&mut self, loaded: Loaded) {
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.before = loaded.statistics.ever;
        (self.before.starts, self.run.starts) = (self.before.starts + 1, 1);
        let counts = loaded.statistics.torrents;
        for kept in loaded.torrents {
            self.load_one(kept, &counts);
        }
        for kept in loaded.gone {
            self.finish_removal(kept);
        }
    }

    fn load_one(&mut self, kept: Kept, counts: &BTreeMap<InfoHash, Counts>) {
        let readable = kept.record.is_some();
        let record = kept.record.unwrap_or_else(|| {
            let options = self.default_options(self.settings.download_dir.clone());
            let magnet = String::new();
            Record::new(kept.hash, magnet, self.next_order, &options, self.now.unix)
        });
        let (source, remarks) = match kept.meta {
            Some((meta, remarks)) => (TorrentSource::Metainfo(meta), remarks),
            None => {
                let magnet = Magnet::parse(&record.magnet);
                let magnet = magnet.unwrap_or_else(|_| Magnet::new(kept.hash.0));
                (TorrentSource::Magnet(magnet), Remarks::default())
            }
        };
        let options = options_of(&record.options);
        self.next_order = self.next_order.max(record.order + 1);
        let mut torrent = Torrent::new(self.next_id, source, remarks, options, record);
        self.next_id += 1;
        torrent.before = counts.get(&kept.hash).copied().unwrap_or_default();
        torrent.resume = kept.resume;
        torrent.measure();
        let moving_to = torrent.record.moving_to.clone();
        torrent
            .next
            .extend(moving_to.map(|dir| Next::Move(dir, true)));
        if !readable {
            torrent.trouble = Some(Trouble {
                stopped: true,
                tracker: false,
                message: "what was said of it could not be read and is that of a new torrent again; see to its directory, then start it"
                    .into(),
            });
        }
        self.describe(&mut torrent);
        self.insert(torrent);
        self.leave(kept.hash);
    }

    /// Puts a torrent at the end of the queue.
    pub(super) fn insert(&mut self, mut torrent: Torrent) {
        let hash = torrent.hash;
        torrent.position = self.order.len();
        self.order.push(hash);
        self.torrents.insert(hash, torrent);
        self.requeue = true;
        self.touch(hash);
    }

    pub(super) fn describe(&self, torrent: &mut Torrent) {
        let file = torrent.meta().map(|_| self.places.torrent(torrent.hash));
        torrent.describe(file);
    }

    /// Options of which nothing was said.
    fn default_options(&self, dir: PathBuf) -> Options {
        Options::new(dir, self.settings.peers_per_torrent)
    }

    pub(super) fn add(&mut self, new: NewTorrent, reply: Reply<Added>) {
        let dir = new.dir.clone();
        let options = self.default_options(dir.unwrap_or(self.settings.download_dir.clone()));
        let start = new.start.unwrap_or(self.settings.start_added);
        let roots = self.roots.clone();
        self.spawn(async move {
            let prepared = prepare(new, options, start, roots).await;
            Note::Prepared(Box::new(prepared), reply)
        });
    }

    pub(super) fn on_prepared(
        &mut self,
        prepared: Result<Prepared, DaemonError>,
        reply: Reply<Added>,
    ) {
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(e) => return self.answer(reply, Err(e)),
        };
        let hash = InfoHash(prepared.source.info_hash());
        if let Some(torrent) = self.torrents.get(&hash) {
            let result = match torrent.leaving {
                true => Err(going()),
                false => Ok(added(torrent, true)),
            };
            return self.answer(reply, result);
        }
        if let Some((_, waiting)) = self.adding.get_mut(&hash) {
            return waiting.push(reply);
        }
        if self.removing.contains_key(&hash) {
            return self.answer(reply, Err(going()));
        }
        let Prepared {
            source,
            remarks,
            bytes,
            options,
            start,
            change,
        } = prepared;
        let (magnet, mut peers) = match &source {
            TorrentSource::Metainfo(meta) => (meta.magnet(), Vec::new()),
            TorrentSource::Magnet(magnet) => (magnet.to_string(), magnet.peers.clone()),
        };
        changing::remember(&mut peers, &change.peers);
        let standing = match start {
            true => Standing::Queued,
            false => Standing::Paused,
        };
        let record = Record {
            standing,
            peers,
            ..Record::new(hash, magnet, self.next_order, &options, self.now.unix)
        };
        let mut torrent = Torrent::new(self.next_id, source, remarks, options, record);
        (self.next_id, self.next_order) = (self.next_id + 1, self.next_order + 1);
        torrent.measure();
        torrent.position = change.queue_position.unwrap_or(usize::MAX);
        self.describe(&mut torrent);
        let mut ops = Vec::new();
        if let Some(bytes) = bytes {
            ops.push(self.places.put_torrent(hash, bytes.into()));
        }
        ops.push(self.places.put_record(&torrent.record()));
        self.adding.insert(hash, (torrent, vec![reply]));
        let written = self.writer.write(ops);
        self.spawn(async move { Note::Kept(hash, written.await) });
    }

    pub(super) fn on_kept(&mut self, hash: InfoHash, written: io::Result<()>) {
        let Some((torrent, waiting)) = self.adding.remove(&hash) else {
            return;
        };
        if let Err(e) = written {
            let error = DaemonError::Disk(format!("the torrent cannot be kept: {e}"));
            for reply in waiting {
                self.answer(reply, Err(error.clone()));
            }
            return;
        }
        for (at, reply) in waiting.into_iter().enumerate() {
            let added = added(&torrent, at > 0);
            self.answer(reply, Ok(added));
        }
        let position = torrent.position;
        self.insert(torrent);
        self.run.added += 1;
        self.events.push(Event::Added(hash));
        if position < self.order.len() - 1 {
            self.place(hash, position);
        }
    }

    /// The metadata of a magnet link has come.
    pub(super) fn on_metadata(&mut self, hash: InfoHash, meta: Arc<Metainfo>) {
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        let Some(magnet) = torrent.magnet() else {
            return;
        };
        if let Some(select) = &magnet.select
            && torrent.options.files.is_empty()
        {
            let mut options = (*torrent.options).clone();
            options.files = select.priorities(meta.layout.files.len());
            torrent.options = Arc::new(options);
        }
        // with what the link says of it, as far as it may be said of this one
        let bytes = meta.to_torrent();
        torrent.record.magnet = meta.magnet();
        torrent.source = TorrentSource::Metainfo(meta);
        torrent.measure();
        torrent.describe(Some(self.places.torrent(hash)));
        let ops = vec![
            self.places.put_torrent(hash, bytes),
            self.places.put_record(&torrent.record()),
        ];
        self.write_unheard(ops);
        self.events.push(Event::Metadata(hash));
        self.touch(hash);
    }

    /// Puts a torrent at a place of the queue.
    pub(super) fn place(&mut self, hash: InfoHash, position: usize) {
        self.order.retain(|other| *other != hash);
        let at = position.min(self.order.len());
        self.order.insert(at, hash);
        self.reordered();
    }

    /// The queue has another order: it is kept.
    pub(super) fn reordered(&mut self) {
        self.number();
        (self.requeue, self.urgent) = (true, true);
        let order = self.order.iter();
        let order = order.map(|hash| (*hash, self.torrents[hash].record.order));
        let op = self.places.put_queue(order);
        self.write_unheard(vec![op]);
    }

    /// Moves torrents in the queue.
    pub(super) fn queue_move(&mut self, which: Vec<InfoHash>, to: QueueMove, reply: Reply<()>) {
        let which = which.into_iter().collect();
        let order = crate::daemon::queue::moved(&self.order, &which, to);
        if order != self.order {
            self.order = order;
            self.reordered();
        }
        self.answer(reply, Ok(()));
    }

    /// Numbers the places anew.
    pub(super) fn number(&mut self) {
        for (position, hash) in self.order.iter().enumerate() {
            let torrent = self
                .torrents
                .get_mut(hash)
                .expect("the queue has what is here");
            if torrent.position != position {
                torrent.position = position;
                self.dirty.insert(*hash);
            }
        }
    }
}

/// One that is being removed is not here any more, and not gone yet.
fn going() -> DaemonError {
    DaemonError::NotNow("it is being removed; try again when that is done".into())
}

fn added(torrent: &Torrent, duplicate: bool) -> Added {
    Added {
        id: torrent.id,
        info_hash: torrent.hash,
        name: torrent.source.name(),
        duplicate,
    }
}

/// Reads and checks a torrent to add.
async fn prepare(
    new: NewTorrent,
    mut options: Options,
    start: bool,
    roots: Roots,
) -> Result<Prepared, DaemonError> {
    let NewTorrent {
        source,
        dir: _,
        start: _,
        change,
    } = new;
    let dir = options.dir.clone();
    let checked = blocking({
        let roots = roots.clone();
        move || roots.check(&dir)
    });
    options.dir = checked.await?;
    let bytes = match source {
        NewSource::Torrent(bytes) => bytes,
        NewSource::File(path) => blocking(move || read(&roots.check(&path)?)).await?,
        NewSource::Url { url, cookies } => fetch(&url, cookies).await?,
        NewSource::Magnet(link) => {
            let magnet = Magnet::parse(&link).map_err(|e| DaemonError::Invalid(e.to_string()))?;
            changing::check(&change, MAX_FILES)?;
            changing::apply(&change, &mut options);
            return Ok(Prepared {
                source: TorrentSource::Magnet(magnet),
                remarks: Remarks::default(),
                bytes: None,
                options,
                start,
                change,
            });
        }
    };
    // a large one takes a while to read
    blocking(move || {
        let meta = Metainfo::from_torrent(&bytes);
        let meta = meta.map_err(|e| DaemonError::Invalid(e.to_string()))?;
        changing::check(&change, meta.layout.files.len())?;
        changing::apply(&change, &mut options);
        Ok(Prepared {
            remarks: Remarks::of_torrent(&bytes),
            source: TorrentSource::Metainfo(Arc::new(meta)),
            bytes: Some(bytes),
            options,
            start,
            change,
        })
    })
    .await
}

/// Does what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(DaemonError::Ending))
}

/// A .torrent file on this machine.
fn read(path: &Path) -> Result<Bytes, DaemonError> {
    let failed = |e: io::Error| DaemonError::Invalid(format!("{}: {e}", path.display()));
    let most = MetadataLimits::default().torrent_bytes as u64;
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() || meta.len() > most {
        let why = "not a file, or larger than any .torrent file";
        return Err(DaemonError::Invalid(format!("{}: {why}", path.display())));
    }
    std::fs::read(path).map(Bytes::from).map_err(failed)
}

async fn fetch(url: &str, cookies: Option<String>) -> Result<Bytes, DaemonError> {
    let fetched = fetch_with_cookies(url, cookies.as_deref(), FetchLimits::default()).await;
    fetched.map_err(|e| DaemonError::Fetch(e.to_string()))
}
