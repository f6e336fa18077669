//! What is looked up for who asks, by tasks that wait in the place of the actor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::node::LookupRequest;
use chunkcast::wire::{PeerAddrs, Ranking, Wanted};
use serde_json::{Value, json};

use super::Actor;
use super::adding::blocking;
use crate::daemon::counts::Counts;
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::{Detail, FileRow, InfoHash, Options, Space, TrackerRow};
use crate::daemon::paths;
use crate::daemon::torrent::Torrent;
use crate::metadata::{Layout, Priority, wanted_pieces};
use crate::session::{Directory, TorrentDetail, answer, object_id};

/// How long a torrent's task is waited for.
const PATIENCE: Duration = Duration::from_secs(5); // guess: it is never busy for so long
/// How long a lookup is waited for.
const LOOKUP: Duration = Duration::from_secs(15); // guess: the client gives up after 10
/// Peers that a traced lookup asks for.
const PEERS: u8 = 8; // as many as a lookup names

impl Actor {
    pub(super) fn detail(&mut self, hash: InfoHash, reply: Reply<Detail>) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        let meta = torrent.meta().cloned();
        let (options, about) = (torrent.options.clone(), torrent.about.clone());
        let control = torrent.control();
        let held = torrent.resume.as_ref().map(|r| r.held.clone());
        let checked = torrent.live().is_some_and(|live| live.checked);
        self.tasks.spawn(async move {
            let asked = async { control?.detail().await };
            let live = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
            let knows = checked && live.is_some();
            let mut detail = live.unwrap_or_default();
            let layout = meta.as_ref().map(|m| &*m.layout);
            if !knows {
                let pieces = layout.map_or(0, Layout::piece_count);
                detail.held = held.unwrap_or_else(|| ChunkSet::empty(pieces));
                detail.wanted = match layout {
                    Some(layout) => wanted_pieces(layout, &options.files).0,
                    None => ChunkSet::empty(0),
                };
            }
            if detail.trackers.is_empty() {
                detail.trackers = unasked(&about.trackers);
            }
            let _ = reply.send(Ok(shown(detail, layout, &options)));
        });
    }

    pub(super) fn trace(&mut self, hash: InfoHash, reply: Reply<Value>) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        let not_now = |why: &str| Err(DaemonError::NotNow(why.to_owned()));
        if torrent.source.is_private() {
            let why = "it is private: the directory is not asked for it";
            return self.answer(reply, not_now(why));
        }
        let Some(index) = self.session.index().cloned() else {
            return self.answer(reply, not_now("the directory is switched off"));
        };
        let request = LookupRequest {
            object: object_id(&hash.0),
            wanted: Wanted::Any,
            p: PEERS,
            mix: 0,
            ranking: Ranking::Closeness,
            asker: PeerAddrs::default(),
            ignore: Vec::new(),
            to_root: true,
            trace: true,
        };
        self.tasks.spawn(async move {
            let began = tokio::time::Instant::now();
            let asked = tokio::time::timeout(LOOKUP, index.lookup(request)).await;
            let answer = match asked {
                Ok(Ok(found)) => {
                    let mut answer = answer::answer(&found, &index.coord());
                    answer["info_hash"] = json!(hash);
                    answer["took_ms"] = json!(began.elapsed().as_secs_f64() * 1e3);
                    answer["trace"] = answer::trace(&found.trace);
                    Ok(answer)
                }
                Ok(Err(e)) => Err(DaemonError::NotNow(e.to_string())),
                Err(_) => Err(DaemonError::NotNow("no index node answered in time".into())),
            };
            let _ = reply.send(answer);
        });
    }

    pub(super) fn free_space(&mut self, path: PathBuf, reply: Reply<Space>) {
        let roots = self.roots.clone();
        self.tasks.spawn(async move {
            let space = blocking(move || {
                let path = roots.check(&path)?;
                let there = paths::existing(&path).unwrap_or(&path);
                let stat = rustix::fs::statvfs(there)
                    .map_err(|e| DaemonError::Disk(format!("{}: {e}", path.display())))?;
                Ok(Space {
                    free: stat.f_bavail.saturating_mul(stat.f_frsize),
                    total: stat.f_blocks.saturating_mul(stat.f_frsize),
                })
            });
            let _ = reply.send(space.await);
        });
    }

    pub(super) fn port_test(&mut self, reply: Reply<Option<bool>>) {
        let reached = self.session.index().and_then(Directory::dialable);
        self.answer(reply, Ok(reached));
    }

    pub(super) fn counts(&mut self, reply: Reply<Box<Counts>>) {
        let live = self.torrents.values().filter_map(Torrent::live);
        let mut counts = Box::new(self.counter.counts(live.map(|live| &live.progress)));
        let session = Arc::clone(&self.session);
        self.tasks.spawn(async move {
            if let Some(index) = session.index() {
                counts.index = index.snapshot().await;
            }
            let _ = reply.send(Ok(counts));
        });
    }

    pub(super) fn index(&mut self, reply: Reply<Value>) {
        let session = Arc::clone(&self.session);
        self.tasks.spawn(async move {
            let none = || DaemonError::NotNow("the directory is switched off".into());
            let table = match session.index() {
                Some(index) => index.table().await,
                None => None,
            };
            let _ = reply.send(table.ok_or_else(none));
        });
    }
}

/// Trackers that nobody asks now.
fn unasked(tiers: &[Vec<String>]) -> Vec<TrackerRow> {
    let tiers = tiers.iter().enumerate();
    let all = tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| (tier, url)));
    let rows = all.enumerate().map(|(id, (tier, url))| TrackerRow {
        id,
        tier,
        announce: url.clone(),
        ..TrackerRow::default()
    });
    rows.collect()
}

/// What is shown of a torrent in depth.
fn shown(detail: TorrentDetail, layout: Option<&Layout>, options: &Options) -> Detail {
    let rows = layout.map(|layout| rows(layout, &detail.held, &options.files));
    Detail {
        files: rows.unwrap_or_default(),
        held: detail.held,
        wanted: detail.wanted,
        open: detail.open,
        peers: detail.peers,
        trackers: detail.trackers,
        lookups: detail.lookups,
        drops: detail.drops,
        bad_pieces: detail.bad_pieces,
        banned: detail.banned,
    }
}

fn rows(layout: &Layout, held: &ChunkSet, priorities: &[Priority]) -> Vec<FileRow> {
    let files = layout.files.iter().enumerate();
    files
        .map(|(index, file)| {
            let pieces = layout.pieces_of_file(index);
            let (begin, end) = (file.offset, file.offset + file.length);
            let part = |piece: u32| {
                let at = layout.piece_offset(piece);
                let until = at + u64::from(layout.piece_len(piece));
                until.min(end) - at.max(begin)
            };
            FileRow {
                path: file.path.clone(),
                size: file.length,
                held: pieces.clone().filter(|p| held.contains(*p)).map(part).sum(),
                priority: priorities.get(index).copied().unwrap_or_default(),
                padding: file.padding,
                first_piece: pieces.start,
                end_piece: pieces.end,
            }
        })
        .collect()
}
