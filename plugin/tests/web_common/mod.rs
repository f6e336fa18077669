//! Torrents of several files and a web server that holds them, as well or as badly as a test wants.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::disallowed_types, reason = "a server of the test")]
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bendy::encoding::Encoder;
use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Progress, Session, SessionConfig, TorrentEvent, TorrentHandle,
    TorrentSource,
};
use chunkcast_compat_tests::{Scratch, scratch};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Bytes that differ everywhere.
pub(crate) fn data(len: usize, seed: u32) -> Vec<u8> {
    (0u32..)
        .map(|i| (i ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(2_654_435_761))
        .map(|x| (x ^ x >> 15).to_le_bytes()[1])
        .take(len)
        .collect()
}

/// A file of a torrent. One without a name is a padding file of zeros (BEP 47).
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn file(path: &'static str, len: usize) -> File {
    File {
        path,
        data: data(len, u32::try_from(path.len() + len).unwrap()),
    }
}

pub(crate) fn padding(len: usize) -> File {
    File {
        path: "",
        data: vec![0; len],
    }
}

/// A torrent named `name`; of one file if that has the torrent's name.
pub(crate) fn torrent(name: &str, files: &[File], piece: usize, web_seeds: &[String]) -> Metainfo {
    let all: Vec<u8> = files.iter().flat_map(|f| f.data.clone()).collect();
    let hashes: Vec<u8> = all
        .chunks(piece)
        .flat_map(|p| Sha1::digest(p).to_vec())
        .collect();
    let mut out = Encoder::new();
    out.emit_dict(|mut e| {
        e.emit_pair_with(b"info", |e| {
            e.emit_dict(|mut e| {
                if files.len() == 1 && files[0].path == name {
                    e.emit_pair(b"length", all.len())?;
                } else {
                    e.emit_pair_with(b"files", |e| {
                        e.emit_list(|e| {
                            for (i, file) in files.iter().enumerate() {
                                e.emit_dict(|mut e| {
                                    let path: Vec<String> = match file.path {
                                        "" => vec![".pad".into(), i.to_string()],
                                        path => path.split('/').map(str::to_owned).collect(),
                                    };
                                    if file.path.is_empty() {
                                        e.emit_pair(b"attr", "p")?;
                                    }
                                    e.emit_pair(b"length", file.data.len())?;
                                    e.emit_pair(b"path", path)
                                })?;
                            }
                            Ok(())
                        })
                    })?;
                }
                e.emit_pair(b"name", name)?;
                e.emit_pair(b"piece length", piece)?;
                e.emit_pair_with(b"pieces", |e| e.emit_bytes(&hashes))
            })
        })?;
        e.emit_pair(b"url-list", web_seeds)
    })
    .unwrap();
    Metainfo::from_torrent(&out.get_output().unwrap()).unwrap()
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// As it stands in the request, query included.
    pub(crate) path: String,
    pub(crate) range: Option<Range<u64>>,
    /// On which connection, counted from 0.
    pub(crate) connection: usize,
}

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// What was asked for.
    Good,
    /// The same, as soon as this says `true`.
    Once(watch::Receiver<bool>),
    /// With wrong bytes.
    Lie,
    /// The whole file, whatever was asked for.
    Whole,
    /// A status, with further header lines.
    Status(u16, String),
    /// All that was asked for is promised, and so much sent.
    Truncated(usize),
    /// Promises and sends at most so much of what was asked for.
    Part(usize),
    /// What was asked for, and then more without end.
    Endless,
    /// The head, and then a byte a second.
    Drip,
}

type Plan = dyn Fn(usize, &Asked) -> Answer + Send + Sync;

/// A web server on loopback.
pub(crate) struct Web {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Web {
    /// Serves `files` by their paths as they stand in a request; `plan` says how, given the number of the request.
    pub(crate) async fn start(
        files: &[(&str, &[u8])],
        plan: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let files: BTreeMap<String, Arc<[u8]>> = files
            .iter()
            .map(|(path, data)| ((*path).to_owned(), Arc::from(*data)))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (files, plan, log) = (Arc::new(files), Arc::new(plan), seen.clone());
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (files, plan, log) = (files.clone(), plan.clone(), log.clone());
                tasks.spawn(async move {
                    let _ = connection_of(stream, connection, &files, &*plan, &log).await;
                });
            }
        });
        Self { port, seen, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// Bytes of `path` that were asked for, each as often as it was.
    pub(crate) fn asked_bytes(&self, path: &str) -> u64 {
        let of_path = self.seen().into_iter().filter(|a| a.path == path);
        of_path
            .filter_map(|a| a.range)
            .map(|r| r.end - r.start)
            .sum()
    }
}

async fn connection_of(
    mut stream: TcpStream,
    connection: usize,
    files: &BTreeMap<String, Arc<[u8]>>,
    plan: &Plan,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let Some(first) = lines.next_line().await? else {
            return Ok(());
        };
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut range = None;
        while let Some(line) = lines.next_line().await?.filter(|l| !l.is_empty()) {
            let line = line.to_ascii_lowercase();
            if let Some(bytes) = line.strip_prefix("range: bytes=") {
                let (first, last) = bytes.split_once('-').unwrap();
                range = Some(first.parse().unwrap()..last.parse::<u64>().unwrap() + 1);
            }
        }
        let asked = Asked {
            path,
            range,
            connection,
        };
        let number = {
            let mut log = log.lock().unwrap();
            log.push(asked.clone());
            log.len() - 1
        };
        let mut answer = plan(number, &asked);
        if let Answer::Once(mut now) = answer {
            let _ = now.wait_for(|now| *now).await;
            answer = Answer::Good;
        }
        let key = asked.path.split('?').next().unwrap_or_default();
        let Some(data) = files.get(key) else {
            write
                .write_all(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n")
                .await?;
            continue;
        };
        if let Answer::Status(status, headers) = answer {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{headers}\r\n");
            write.write_all(head.as_bytes()).await?;
            continue;
        }
        let total = data.len();
        let range = asked.range.clone().unwrap_or(0..total as u64);
        let at = |offset: u64| usize::try_from(offset).unwrap().min(total);
        let (start, end) = (at(range.start), at(range.end));
        let mut body = data[start..end].to_vec();
        if let Answer::Part(most) = answer {
            body.truncate(most);
        }
        let last = start + body.len() - 1;
        let head = |len: &str| {
            format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {start}-{last}/{total}\r\n{len}\r\n")
        };
        let length = format!("Content-Length: {}\r\n", body.len());
        match answer {
            Answer::Good | Answer::Part(_) => {
                write.write_all(head(&length).as_bytes()).await?;
                write.write_all(&body).await?;
            }
            Answer::Lie => {
                body.iter_mut().for_each(|b| *b ^= 0x55);
                write.write_all(head(&length).as_bytes()).await?;
                write.write_all(&body).await?;
            }
            Answer::Whole => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
                write.write_all(head.as_bytes()).await?;
                write.write_all(data).await?;
            }
            Answer::Status(..) | Answer::Once(_) => unreachable!("answered above"),
            Answer::Truncated(most) => {
                write.write_all(head(&length).as_bytes()).await?;
                if most < body.len() {
                    write.write_all(&body[..most]).await?;
                    return write.shutdown().await;
                }
                write.write_all(&body).await?;
            }
            Answer::Endless => {
                write
                    .write_all(head("Connection: close\r\n").as_bytes())
                    .await?;
                write.write_all(&body).await?;
                loop {
                    write.write_all(&[0x33; 4096]).await?;
                }
            }
            Answer::Drip => {
                write.write_all(head(&length).as_bytes()).await?;
                for byte in body {
                    write.write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

pub(crate) fn config() -> SessionConfig {
    SessionConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        index: IndexUse::Client,
        trackers: false,
        dht: false,
        map_ports: None,
        ..SessionConfig::default()
    }
}

/// A download under way.
pub(crate) struct Get {
    pub(crate) session: Session,
    pub(crate) handle: TorrentHandle,
    pub(crate) dir: Scratch,
    pub(crate) last: Progress,
    pub(crate) warnings: Vec<String>,
    is_complete: bool,
}

impl Get {
    pub(crate) async fn start(source: TorrentSource, patience: Duration) -> Self {
        Self::with(config(), source, patience, Vec::new()).await
    }

    pub(crate) async fn with(
        config: SessionConfig,
        source: TorrentSource,
        patience: Duration,
        peers: Vec<std::net::SocketAddr>,
    ) -> Self {
        let session = Session::start(config).await.unwrap();
        Self::add(session, source, patience, peers).await
    }

    pub(crate) async fn add(
        session: Session,
        source: TorrentSource,
        patience: Duration,
        peers: Vec<std::net::SocketAddr>,
    ) -> Self {
        let dir = scratch();
        let add = AddTorrent {
            peers,
            patience: Some(patience),
            ..AddTorrent::new(source, DataPath::OutputDir(dir.path().to_path_buf()))
        };
        let handle = session.add(add).await.unwrap();
        Self {
            session,
            handle,
            dir,
            last: Progress::default(),
            warnings: Vec::new(),
            is_complete: false,
        }
    }

    pub(crate) fn of(meta: Metainfo) -> TorrentSource {
        TorrentSource::Metainfo(Arc::new(meta))
    }

    /// Follows it until it is complete, or fails with this line, or `done`.
    pub(crate) async fn until(
        &mut self,
        done: impl Fn(&Progress, &[String]) -> bool,
    ) -> Result<(), String> {
        let waiting = async {
            loop {
                match self.handle.next().await.unwrap() {
                    TorrentEvent::Progress(p) | TorrentEvent::Checked(p) => self.last = p,
                    TorrentEvent::Complete(p) => {
                        self.last = p;
                        self.is_complete = true;
                        return Ok(());
                    }
                    TorrentEvent::Warning(line) => self.warnings.push(line),
                    TorrentEvent::Failed(e) => return Err(e.to_string()),
                    TorrentEvent::Metadata(_) | TorrentEvent::Paused(_) | TorrentEvent::Resumed => {
                    }
                }
                if done(&self.last, &self.warnings) {
                    return Ok(());
                }
            }
        };
        let ended = timeout(DEADLINE, waiting).await;
        ended.unwrap_or_else(|_| panic!("not in time: {:?} {:?}", self.last, self.warnings))
    }

    pub(crate) async fn complete(&mut self) {
        if !self.is_complete {
            self.until(|_, _| false).await.unwrap();
        }
    }

    /// Waits for the end and compares.
    pub(crate) async fn finish(mut self, name: &str, files: &[File]) -> (Progress, Vec<String>) {
        self.complete().await;
        for file in files.iter().filter(|f| !f.path.is_empty()) {
            let path = match file.path == name {
                true => self.dir.path().join(name),
                false => self.dir.path().join(name).join(file.path),
            };
            assert_same(&path, &file.data);
        }
        let last = self.handle.stop().await;
        self.session.shutdown().await;
        (last, self.warnings)
    }
}

pub(crate) fn assert_same(path: &Path, data: &[u8]) {
    let copy = std::fs::read(path).unwrap();
    assert!(copy == data, "{} differs", path.display());
}
