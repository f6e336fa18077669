//! Sessions in this process, and peers written by hand that say whatever a test wants.

#![allow(
    dead_code,
    clippy::disallowed_types,
    reason = "each test uses its part; a hand-written peer is sockets"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chunkcast_bittorrent::metadata::{BLOCK, Magnet, Metainfo, metadata_piece};
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Progress, Session, SessionConfig, TorrentEvent, TorrentHandle,
    TorrentSource,
};
use chunkcast_bittorrent::wire::codec::{Frame, FrameDecoder, FrameLimits};
use chunkcast_bittorrent::wire::extended::{ExtendedHandshake, UtMetadata};
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use chunkcast_compat_tests::{Scratch, noise, scratch, write};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// A test that waits longer than that has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

static PANICS: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

/// Counts panics from now on, those of tasks that nobody joins included.
pub(crate) fn watch_panics() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
    });
}

/// Nothing panicked since panics are counted.
pub(crate) fn assert_no_panic() {
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a task panicked");
}

/// Nothing panicked, and the process never took more than `mib` MiB.
pub(crate) fn assert_sound(mib: u64) {
    assert_no_panic();
    let peak = peak_mib("self");
    assert!(peak <= mib, "{peak} MiB at the peak, at most {mib}");
}

/// Most memory that a process ever had, in MiB.
pub(crate) fn peak_mib(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)).expect("kB");
    kib.parse::<u64>().expect("a number") / 1024
}

/// A file and its torrent.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) data: Vec<u8>,
    pub(crate) meta: Arc<Metainfo>,
}

impl Content {
    pub(crate) fn new(seed: u64, len: usize, piece_length: usize) -> Arc<Self> {
        let data = noise(seed, len);
        let mut info =
            format!("d6:lengthi{len}e4:name8:file.bin12:piece lengthi{piece_length}e6:pieces")
                .into_bytes();
        let hashes: Vec<u8> = data
            .chunks(piece_length)
            .flat_map(|piece| Sha1::digest(piece).to_vec())
            .collect();
        info.extend_from_slice(format!("{}:", hashes.len()).as_bytes());
        info.extend_from_slice(&hashes);
        info.push(b'e');
        let meta = Metainfo::from_info(info.into(), None).expect("a torrent");
        Arc::new(Self {
            data,
            meta: Arc::new(meta),
        })
    }

    pub(crate) fn pieces(&self) -> u32 {
        self.meta.layout.piece_count()
    }

    /// A bitfield of everything.
    pub(crate) fn full(&self) -> Vec<u8> {
        let mut bits = vec![0u8; self.pieces().div_ceil(8) as usize];
        for piece in 0..self.pieces() as usize {
            bits[piece / 8] |= 0x80 >> (piece % 8);
        }
        bits
    }

    pub(crate) fn block(&self, piece: u32, begin: u32, len: u32) -> Bytes {
        let at = self.meta.layout.piece_offset(piece) + u64::from(begin);
        let at = usize::try_from(at).expect("in memory");
        Bytes::copy_from_slice(&self.data[at..at + len as usize])
    }

    pub(crate) fn magnet(&self) -> TorrentSource {
        let hash: String = (self.meta.info_hash.iter())
            .map(|b| format!("{b:02x}"))
            .collect();
        let link = format!("magnet:?xt=urn:btih:{hash}");
        TorrentSource::Magnet(Magnet::parse(&link).expect("a magnet link"))
    }

    pub(crate) fn torrent(&self) -> TorrentSource {
        TorrentSource::Metainfo(self.meta.clone())
    }
}

pub(crate) fn loopback() -> SocketAddr {
    (IpAddr::from(Ipv4Addr::LOCALHOST), 0).into()
}

/// A session without trackers, DHT or directory.
pub(crate) async fn session() -> Session {
    let client = chunkcast::client::ClientConfig {
        redial: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        superseed: false,
        ..chunkcast::client::ClientConfig::default()
    };
    let config = SessionConfig {
        client,
        listen: Some(loopback()),
        index: IndexUse::Client,
        trackers: false,
        dht: false,
        // whom a test does not connect does not meet
        pex: false,
        ..SessionConfig::default()
    };
    Session::start(config).await.expect("a session")
}

/// A download under way.
pub(crate) struct Leech {
    pub(crate) session: Session,
    pub(crate) handle: TorrentHandle,
    pub(crate) dir: Scratch,
    pub(crate) last: Progress,
}

impl Leech {
    pub(crate) async fn start(source: TorrentSource, peers: Vec<SocketAddr>) -> Self {
        Self::on(session().await, source, peers).await
    }

    /// One of this session.
    pub(crate) async fn on(
        session: Session,
        source: TorrentSource,
        peers: Vec<SocketAddr>,
    ) -> Self {
        let dir = scratch();
        let add = AddTorrent {
            peers,
            patience: Some(DEADLINE),
            ..AddTorrent::new(source, DataPath::OutputDir(dir.path().to_path_buf()))
        };
        let handle = session.add(add).await.expect("a new torrent");
        Self {
            session,
            handle,
            dir,
            last: Progress::default(),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.session.listen_addr()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("file.bin")
    }

    /// Waits until `done` says so of the progress, or everything is on disk.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Progress) -> bool) {
        let waiting = async {
            loop {
                match self.handle.next().await {
                    Some(TorrentEvent::Progress(p) | TorrentEvent::Checked(p)) => self.last = p,
                    Some(TorrentEvent::Complete(p)) => {
                        self.last = p;
                        return;
                    }
                    Some(
                        TorrentEvent::Metadata(_)
                        | TorrentEvent::Paused(_)
                        | TorrentEvent::Resumed
                        | TorrentEvent::Warning(_),
                    ) => {}
                    Some(TorrentEvent::Failed(e)) => panic!("{what}: {e}"),
                    None => panic!("{what}: the torrent ended"),
                }
                if done(&self.last) {
                    return;
                }
            }
        };
        if timeout(DEADLINE, waiting).await.is_err() {
            panic!("{what}: not in time: {:?}", self.last);
        }
    }

    /// Waits for the end, compares, stops; the last numbers.
    pub(crate) async fn finish(mut self, what: &str, content: &Content) -> Progress {
        self.until(what, |_| false).await;
        assert_file(what, &self.file(), content);
        let last = self.handle.stop().await;
        self.session.shutdown().await;
        last
    }
}

pub(crate) fn assert_file(what: &str, path: &Path, content: &Content) {
    let copy = std::fs::read(path).expect("the copy");
    assert!(copy == content.data, "{what}: the copy differs");
}

/// Waits for the next event that `wanted` takes something from. A torrent that fails is a test that fails.
pub(crate) async fn until<T>(
    handle: &mut TorrentHandle,
    wanted: impl Fn(TorrentEvent) -> Option<T>,
) -> T {
    let waiting = async {
        loop {
            match handle.next().await.expect("it runs") {
                TorrentEvent::Failed(e) => panic!("{e}"),
                event => {
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
            }
        }
    };
    timeout(DEADLINE, waiting).await.expect("in time")
}

/// Waits until a torrent has all that is wanted of it.
pub(crate) async fn complete(handle: &mut TorrentHandle) -> Progress {
    let complete = |event| match event {
        TorrentEvent::Complete(progress) => Some(progress),
        _ => None,
    };
    until(handle, complete).await
}

/// A session that has the whole content and serves it.
pub(crate) async fn seed(
    content: &Content,
    peers: Vec<SocketAddr>,
) -> (Session, TorrentHandle, Scratch) {
    let (session, dir) = (session().await, scratch());
    let path = dir.path().join("source.bin");
    write(&path, &content.data);
    let add = AddTorrent {
        peers,
        seed_only: true,
        ..AddTorrent::new(content.torrent(), DataPath::Content(path))
    };
    let mut handle = session.add(add).await.expect("a new torrent");
    complete(&mut handle).await;
    (session, handle, dir)
}

/// One end of a connection, after the handshakes.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buf: BytesMut,
}

impl Peer {
    fn handshake(content: &Content) -> [u8; 68] {
        Handshake::ours(content.meta.info_hash, rand::random()).to_bytes()
    }

    /// Dials; `None` when it was turned away.
    pub(crate) async fn dial(addr: SocketAddr, content: &Content) -> Option<Self> {
        let mut stream = TcpStream::connect(addr).await.ok()?;
        stream.write_all(&Self::handshake(content)).await.ok()?;
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).await.ok()?;
        let buf = BytesMut::new();
        Some(Self { stream, buf })
    }

    /// Answers a call.
    pub(crate) async fn answer(mut stream: TcpStream, content: &Content) -> Option<Self> {
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).await.ok()?;
        stream.write_all(&Self::handshake(content)).await.ok()?;
        let buf = BytesMut::new();
        Some(Self { stream, buf })
    }

    /// Whether it went out.
    pub(crate) async fn say(&mut self, message: Message) -> bool {
        let mut out = BytesMut::new();
        message.encode_into(&mut out);
        self.raw(&out).await
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// A frame with any id and body.
    pub(crate) async fn frame(&mut self, id: u8, body: &[u8]) -> bool {
        let len = u32::try_from(body.len() + 1).expect("short");
        let mut out = len.to_be_bytes().to_vec();
        out.push(id);
        out.extend_from_slice(body);
        self.raw(&out).await
    }

    pub(crate) async fn extended(&mut self, id: u8, payload: impl Into<Bytes>) -> bool {
        let payload = payload.into();
        self.say(Message::Extended { id, payload }).await
    }

    /// The next message; `None` when the connection is closed.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        let limits = FrameLimits {
            max_frame: 16 << 20,
        };
        let decoder = FrameDecoder::new(limits);
        loop {
            match decoder.decode(&mut self.buf).expect("we speak well") {
                Some(Frame::Message(message)) => return Some(message),
                Some(Frame::Unknown(id)) => panic!("we never say {id}"),
                None => {}
            }
            match self.stream.read_buf(&mut self.buf).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Listens until the connection is closed.
    pub(crate) async fn until_closed(&mut self) {
        while self.hear().await.is_some() {}
    }

    /// Says that everything is here, and unchokes.
    pub(crate) async fn offer(&mut self, content: &Content) {
        self.say(Message::Bitfield(content.full().into())).await;
        self.say(Message::Unchoke).await;
    }
}

/// An honest peer that has everything and serves nobody before `gate` opens; where it listens.
pub(crate) async fn good_peer(content: Arc<Content>, gate: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (content, mut gate) = (content.clone(), gate.clone());
            tokio::spawn(async move {
                let Some(mut peer) = Peer::answer(stream, &content).await else {
                    return;
                };
                if gate.wait_for(|open| *open).await.is_ok() {
                    serve(&mut peer, &content).await;
                }
            });
        }
    });
    addr
}

/// Serves honestly until the connection is closed.
pub(crate) async fn serve(peer: &mut Peer, content: &Content) {
    let info = &content.meta.info;
    let handshake = ExtendedHandshake {
        ut_metadata: Some(3),
        metadata_size: u32::try_from(info.len()).ok(),
        ..ExtendedHandshake::default()
    };
    peer.extended(0, handshake.encode()).await;
    peer.offer(content).await;
    while let Some(message) = peer.hear().await {
        match message {
            Message::Request(r) => {
                let (piece, begin) = (r.piece, r.begin);
                let data = content.block(piece, begin, r.len);
                peer.say(Message::Piece { piece, begin, data }).await;
            }
            Message::Extended { id: 3, payload } => {
                if let Ok(UtMetadata::Request(piece)) = UtMetadata::decode(&payload) {
                    let data = metadata_piece(info, piece).expect("asked for what there is");
                    let total_size = u32::try_from(info.len()).expect("short");
                    let msg = UtMetadata::Data {
                        piece,
                        total_size,
                        data,
                    };
                    peer.extended(2, msg.encode()).await;
                }
            }
            _ => {}
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(DEADLINE, waiting).await.is_ok(),
        "{what}: not in time"
    );
}

/// The length of a block of the content, for tests that count them.
pub(crate) const fn block_len() -> u32 {
    BLOCK
}
