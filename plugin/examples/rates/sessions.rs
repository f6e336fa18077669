//! Whole torrents: what the limited session says that it moved.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkcast_bittorrent::limits::{LimitsConfig, Rates};
use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Progress, Session, SessionConfig, TorrentEvent, TorrentHandle,
    TorrentSource,
};
use sha1::{Digest, Sha1};

use super::{Row, Way};

/// Bytes on the wire for 16 KiB of data.
const WIRE: f64 = (16384.0 + 13.0) / 16384.0;

/// Largest torrent: at higher rates it is over sooner.
const MOST: usize = 1 << 30;

/// A seed that has stood for so long no longer gathers downloaders: what holds it back is the limit alone.
const STOOD: Duration = Duration::from_secs(3);

/// A session and its torrent.
struct Running {
    session: Session,
    handle: TorrentHandle,
}

impl Running {
    async fn start(
        meta: &Arc<Metainfo>,
        data: DataPath,
        rates: Rates,
        peers: Vec<SocketAddr>,
    ) -> Self {
        let config = SessionConfig {
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            index: IndexUse::Client,
            trackers: false,
            dht: false,
            limits: LimitsConfig {
                rates,
                ..LimitsConfig::default()
            },
            ..SessionConfig::default()
        };
        let session = Session::start(config).await.expect("a session");
        let add = AddTorrent {
            seed_only: matches!(data, DataPath::Content(_)),
            peers,
            ..AddTorrent::new(TorrentSource::Metainfo(meta.clone()), data)
        };
        let handle = session.add(add).await.expect("a new torrent");
        Self { session, handle }
    }

    async fn end(self) {
        self.handle.stop().await;
        self.session.shutdown().await;
    }
}

pub(crate) async fn measure(way: Way, bytes: u64, count: u32, seconds: f64) -> Row {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = dir.path().join("source.bin");
    let len = ((bytes as f64 * (seconds + 4.0)) as usize).min(MOST);
    let piece = if bytes < 1 << 20 { 64 << 10 } else { 1 << 20 };
    let meta = content(&source, len, piece);
    let seed = || DataPath::Content(source.clone());
    let leech = |n: u32| DataPath::OutputDir(below(dir.path(), n));
    let (mut limited, others) = match way {
        Way::Up => {
            let seed = Running::start(&meta, seed(), way.limit(bytes), vec![]).await;
            tokio::time::sleep(STOOD).await;
            let peers = vec![seed.session.listen_addr()];
            let mut leeches = Vec::new();
            for n in 0..count {
                let none = Rates::default();
                leeches.push(Running::start(&meta, leech(n), none, peers.clone()).await);
            }
            (seed, leeches)
        }
        Way::Down => {
            let (mut seeds, mut peers) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let seed = Running::start(&meta, seed(), Rates::default(), vec![]).await;
                peers.push(seed.session.listen_addr());
                seeds.push(seed);
            }
            tokio::time::sleep(STOOD).await;
            let leech = Running::start(&meta, leech(0), way.limit(bytes), peers).await;
            (leech, seeds)
        }
    };
    let moved = |p: &Progress| match way {
        Way::Up => p.uploaded,
        Way::Down => p.downloaded,
    };
    let mut samples: Vec<(Instant, Progress)> = Vec::new();
    let last = loop {
        match limited.handle.next().await {
            Some(TorrentEvent::Progress(p)) if moved(&p) > 0 => {
                samples.push((Instant::now(), p));
                let begun = samples[0].0;
                if begun.elapsed() > Duration::from_secs_f64(seconds - 0.5) {
                    break samples.len() - 1;
                }
            }
            Some(TorrentEvent::Failed(e)) => panic!("{e}"),
            Some(TorrentEvent::Complete(_)) if way == Way::Down => break samples.len() - 1,
            Some(_) => {}
            None => panic!("the torrent ended"),
        }
    };
    let ((began, first), (ended, last)) = (&samples[0], &samples[last]);
    let peers = last.peers.iter().map(|p| match way {
        Way::Up => p.uploaded,
        Way::Down => p.downloaded,
    });
    let row = Row {
        bytes: ((moved(last) - moved(first)) as f64 * WIRE) as u64,
        seconds: ended.duration_since(*began).as_secs_f64(),
        even: peers.clone().min().unwrap_or(0) as f64 / peers.max().unwrap_or(1).max(1) as f64,
    };
    limited.end().await;
    for other in others {
        other.end().await;
    }
    row
}

fn below(dir: &Path, n: u32) -> PathBuf {
    dir.join(n.to_string())
}

/// A file of `len` bytes that repeat nowhere, and its torrent.
fn content(path: &Path, len: usize, piece: usize) -> Arc<Metainfo> {
    let mut state = 1_u64;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(len.div_ceil(8))
    .flatten()
    .take(len)
    .collect();
    std::fs::write(path, &data).expect("written");
    let hashes: Vec<u8> = data
        .chunks(piece)
        .flat_map(|piece| Sha1::digest(piece).to_vec())
        .collect();
    let mut info =
        format!("d6:lengthi{len}e4:name8:file.bin12:piece lengthi{piece}e6:pieces").into_bytes();
    info.extend_from_slice(format!("{}:", hashes.len()).as_bytes());
    info.extend_from_slice(&hashes);
    info.push(b'e');
    Arc::new(Metainfo::from_info(info.into(), None).expect("a torrent"))
}
