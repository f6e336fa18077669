//! A served API with a scripted daemon behind it, and a client that says exactly what it is told.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::api::{ApiConfig, Listen, Server, serve};
use chunkcast_bittorrent::daemon::{
    About, Added, ByDistance, Command, Counts, Detail, Event, Facts, FileRow, History, Inbox,
    InfoHash, Limit, Listing, LookupRow, Noted, NotedSettings, Options, PeerDetail, Priority,
    Sample, Schedule, Settings, Space, State, Summary, TrackerRow, Trouble, Why, channel,
};
use chunkcast_bittorrent::daemon::{Daemon, DaemonError};
use chunkcast_bittorrent::limits::{Rate, Rates};
use chunkcast_bittorrent::session::PeerRow;
use chunkcast_bittorrent::swarm::DropReason;
use chunkcast_bittorrent::wire::stream::Transport;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The torrents that the scripted daemon has.
pub(crate) const HERE: InfoHash = InfoHash([0xab; 20]);
pub(crate) const MAGNET: InfoHash = InfoHash([0xcd; 20]);

/// A served API.
pub(crate) struct Api {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
}

/// A served API with a scripted daemon behind it.
pub(crate) struct Scripted {
    pub(crate) api: Api,
    pub(crate) script: Script,
}

impl Deref for Scripted {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The scripted daemon.
pub(crate) struct Script {
    pub(crate) daemon: Daemon,
    pub(crate) listing: watch::Sender<Arc<Listing>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) state_dir: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    actor: tokio::task::AbortHandle,
}

impl Script {
    pub(crate) fn start() -> Self {
        let (daemon, inbox) = channel();
        let (listing, events) = (inbox.listing.clone(), inbox.events.clone());
        listing.send_replace(Arc::new(listed()));
        let state_dir = tempfile::tempdir().expect("a directory");
        let asked = Arc::default();
        let facts = Facts {
            state_dir: state_dir.path().to_owned(),
            peer_port: Some(4240),
            dht: true,
            ..Facts::default()
        };
        let actor = tokio::spawn(act(inbox, Arc::clone(&asked), facts)).abort_handle();
        Self {
            daemon,
            listing,
            events,
            state_dir,
            asked,
            actor,
        }
    }

    /// What was asked of it since the last call, but for what changes nothing.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }

    /// From now on it is ending.
    pub(crate) async fn end(&self) {
        self.actor.abort();
        poll("its end", async || self.actor.is_finished().then_some(())).await;
    }
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        Self::with(ApiConfig::default()).await
    }

    pub(crate) async fn with_password() -> Self {
        Self::with(ApiConfig {
            user: Some("me".to_owned()),
            password: Some("secret".to_owned()),
            ..ApiConfig::default()
        })
        .await
    }

    pub(crate) async fn with(config: ApiConfig) -> Self {
        let script = Script::start();
        let api = Api::of(config, script.daemon.clone()).await;
        Self { api, script }
    }
}

impl Api {
    /// On a free port of loopback.
    pub(crate) async fn of(config: ApiConfig, daemon: Daemon) -> Self {
        let config = ApiConfig {
            listen: Listen::Tcp(([127, 0, 0, 1], 0).into()),
            ..config
        };
        let server = serve(config, daemon).await.expect("a free port");
        let Listen::Tcp(addr) = *server.addr() else {
            panic!("not on TCP");
        };
        Self { server, addr }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = timeout(DEADLINE, TcpStream::connect(self.addr)).await;
        stream.expect("in time").expect("a connection")
    }

    /// What these very bytes are answered with.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        // one that refuses early may have closed already
        let _ = stream.write_all(request.as_ref()).await;
        Answer::read(&mut stream).await
    }

    /// Asks for `path` on a connection that stays.
    pub(crate) async fn ask_on(&self, stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.addr);
        stream.write_all(request.as_bytes()).await.expect("sent");
    }

    /// A stream of events.
    pub(crate) async fn listen(&self) -> TcpStream {
        let mut stream = self.connect().await;
        self.ask_on(&mut stream, "/api/v1/events").await;
        stream
    }

    /// A request with this first line, these headers beside `Host`, and this body.
    pub(crate) async fn ask(&self, line: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\n{headers}", self.addr);
        let rest = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        self.raw(head + &rest).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "", "").await
    }

    /// A request of a client that may change something.
    pub(crate) async fn call(&self, line: &str, body: &str) -> Answer {
        self.ask(line, "X-Chunkcast: 1\r\n", body).await
    }

    /// Others are answered.
    pub(crate) async fn is_well(&self) {
        let answer = self.get("/healthz").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0: the connection was closed without one.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Reads one to the end of its connection.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Self {
        let mut bytes = Vec::new();
        // a reset comes where it did not read what was sent
        let read = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
        let _ = read.expect("an answer, or the end, in time");
        Self::of(&bytes)
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Its one line on what is wrong, after a look at what it gives away.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        let line = json["error"].as_str().expect("an error").to_owned();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(json.as_object().map(|o| o.len()), Some(1), "{json}");
        self.gives_nothing_away();
        line
    }

    /// No name of the program or its version, no path of the machine.
    #[track_caller]
    pub(crate) fn gives_nothing_away(&self) {
        let all = format!("{}\n{}", self.head, self.body).to_ascii_lowercase();
        for word in [
            "server:",
            env!("CARGO_PKG_VERSION"),
            "/tmp/",
            "/home/",
            "panicked",
            "src/",
        ] {
            assert!(!all.contains(word), "{word}: {all}");
        }
    }

    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.error()
    }
}

/// Reads until `text` has come; returns all of it.
pub(crate) async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut all = Vec::new();
    let read = async {
        loop {
            let so_far = String::from_utf8_lossy(&all).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            let n = stream.read_buf(&mut all).await.expect("a connection");
            assert_ne!(n, 0, "ended without {text:?}: {so_far}");
        }
    };
    timeout(DEADLINE, read).await.expect("it came in time")
}

/// Asks until there is something.
pub(crate) async fn poll<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(DEADLINE, asking).await;
    found.unwrap_or_else(|_| panic!("{what}: not in time"))
}

async fn act(mut inbox: Inbox, asked: Arc<Mutex<Vec<String>>>, facts: Facts) {
    let note = |what: String| asked.lock().expect("not poisoned").push(what);
    let known = |which: InfoHash| match which {
        HERE | MAGNET => Ok(()),
        other => Err(DaemonError::Unknown(other)),
    };
    while let Some(command) = inbox.commands.recv().await {
        match command {
            Command::Add(new, reply) => {
                let duplicate = new.dir.is_none();
                note(format!("{new:?}"));
                let _ = reply.send(Ok(Added {
                    id: 7,
                    info_hash: HERE,
                    name: "it".to_owned(),
                    duplicate,
                }));
            }
            Command::Remove(which, data, reply) => {
                note(format!("remove {which} {data}"));
                let _ = reply.send(known(which));
            }
            Command::Start(which, now, reply) => {
                note(format!("start {which} {now}"));
                let _ = reply.send(known(which));
            }
            Command::Pause(which, reply) => {
                note(format!("pause {which}"));
                let _ = reply.send(known(which));
            }
            Command::Verify(which, reply) => {
                note(format!("verify {which}"));
                let _ = reply.send(known(which));
            }
            Command::Reannounce(which, reply) => {
                note(format!("reannounce {which}"));
                let _ = reply.send(known(which));
            }
            Command::Relocate(which, dir, moves, reply) => {
                let outside = !dir.starts_with("/data");
                note(format!("relocate {which} {} {moves}", dir.display()));
                let _ = reply.send(match outside {
                    true => Err(DaemonError::Outside(dir)),
                    false => known(which),
                });
            }
            Command::Change(which, change, reply) => {
                note(format!("{change:?}"));
                let _ = reply.send(known(which));
            }
            Command::QueueMove(which, to, reply) => {
                note(format!("{which:?} {to:?}"));
                let _ = reply.send(Ok(()));
            }
            Command::Detail(which, reply) => {
                let _ = reply.send(known(which).map(|()| detail()));
            }
            Command::Trace(which, reply) => {
                note(format!("trace {which}"));
                let trace = json!({ "hops": 2, "trace": [{ "id": "00", "knew": 3 }] });
                let _ = reply.send(known(which).map(|()| trace));
            }
            Command::Facts(reply) => {
                let _ = reply.send(Ok(facts.clone()));
            }
            Command::Settings(reply) => {
                let _ = reply.send(Ok(settings()));
            }
            Command::ChangeSettings(change, reply) => {
                note(format!("{change:?}"));
                let _ = reply.send(Ok(()));
            }
            Command::FreeSpace(_, reply) => {
                let (free, total) = (1 << 40, 1 << 41);
                let _ = reply.send(Ok(Space { free, total }));
            }
            Command::PortTest(reply) => {
                let _ = reply.send(Ok(None));
            }
            Command::UpdateBlocklist(reply) | Command::BlocklistLen(reply) => {
                let _ = reply.send(Ok(3));
            }
            Command::Index(reply) => {
                let _ = reply.send(Ok(json!({ "joined": true, "slots": [], "held": {} })));
            }
            Command::History(reply) => {
                let sample = Sample {
                    at: 1_700_000_000,
                    moved: moved(),
                };
                let (hour, day) = (vec![sample], vec![sample]);
                let _ = reply.send(Ok(History { hour, day }));
            }
            Command::Counts(reply) => {
                let mut counts = Counts {
                    pieces_verified: 12,
                    pieces_failed: 1,
                    drops: [(DropReason::BadHave, 4)].into(),
                    ..Counts::default()
                };
                counts.rtt.buckets[2] = 5;
                let _ = reply.send(Ok(Box::new(counts)));
            }
            Command::Shutdown(reply) => {
                note("shutdown".to_owned());
                let _ = reply.send(Ok(()));
            }
        }
    }
}

fn moved() -> ByDistance {
    ByDistance {
        near_down: 1,
        near_up: 2,
        far_down: 3,
        far_up: 4,
        web_down: 5,
    }
}

fn settings() -> Settings {
    Settings {
        rates: Rates {
            down: Some(Rate::new(1 << 20)),
            up: None,
        },
        schedule: Schedule::default(),
        active_downloads: Some(5),
        active_seeds: None,
        stalled_after: Some(Duration::from_secs(1800)),
        seed_ratio: Some(2.0),
        seed_idle: None,
        seed_time: None,
        download_dir: "/data".into(),
        start_added: true,
        watch_dir: None,
        connections: 200,
        peers_per_torrent: 50,
        blocklist: false,
        blocklist_source: None,
        noted: NotedSettings::default(),
    }
}

fn listed() -> Listing {
    let mut listing = Listing {
        torrents: vec![Arc::new(summary(HERE)), Arc::new(summary(MAGNET))],
        ..Listing::default()
    };
    listing.totals.session.by_distance = moved();
    listing.totals.session.seconds = 60;
    listing
}

/// One with metadata that downloads, or one without.
pub(crate) fn summary(which: InfoHash) -> Summary {
    let has_metadata = which != MAGNET;
    let trouble = Trouble {
        stopped: false,
        tracker: true,
        message: "the tracker says no".to_owned(),
    };
    Summary {
        id: u32::from(which.0[0]),
        info_hash: which,
        name: "a torrent".to_owned(),
        state: match has_metadata {
            true => State::Downloading,
            false => State::Metadata,
        },
        trouble: (!has_metadata).then_some(trouble),
        options: Arc::new(Options {
            dir: "/data".into(),
            labels: vec!["linux".to_owned()],
            rates: Rates::default(),
            session_rates: true,
            seed_ratio: Limit::Own(1.5),
            seed_idle: Limit::Session,
            seed_time: Limit::Unlimited,
            max_peers: 50,
            files: Vec::new(),
            trackers: None,
            noted: Noted::default(),
        }),
        has_metadata,
        private: false,
        size: 100_000,
        wanted: 90_000,
        verified: 40_000,
        held: 50_000,
        pieces: 10,
        piece_length: 16_384,
        files: 2,
        checked: has_metadata.then_some(0.5),
        moving: None,
        rate_down: 1000,
        rate_up: 500,
        eta: has_metadata.then_some(50),
        downloaded: 60_000,
        uploaded: 30_000,
        wasted: 0,
        by_distance: moved(),
        near: 1,
        far: 2,
        web_seeds: 1,
        sending: 1,
        receiving: 1,
        sources: [("directory", 2), ("tracker", 1)].into(),
        queue_position: 0,
        added: 1_700_000_000,
        started: 1_700_000_001,
        done: 0,
        active: 1_700_000_002,
        changed: 1_700_000_003,
        seconds_downloading: 60,
        seconds_seeding: 0,
        stalled: false,
        finished: false,
        about: Arc::new(About {
            magnet: format!("magnet:?xt=urn:btih:{which}"),
            ..About::default()
        }),
    }
}

fn detail() -> Detail {
    let file = |path: &str, priority| FileRow {
        path: path.into(),
        size: 50_000,
        held: 20_000,
        priority,
        padding: false,
        first_piece: 0,
        end_piece: 5,
    };
    Detail {
        files: vec![file("a/b", Priority::High), file("a/c", Priority::Skip)],
        held: ChunkSet::from_indices(10, [0, 3]),
        wanted: ChunkSet::full(10),
        open: vec![4],
        peers: vec![peer(1, None), peer(2, Some(40.0)), peer(3, Some(2.5))],
        trackers: vec![TrackerRow {
            announce: "http://tracker.example/announce".to_owned(),
            ..TrackerRow::default()
        }],
        lookups: vec![LookupRow {
            at: 1_700_000_000,
            took_ms: 12.5,
            hops: Some(2),
            answered_by: Some(([192, 0, 2, 9], 4240).into()),
            from_kept: true,
            peers: 5,
        }],
        drops: [("bad_have".to_owned(), 1)].into(),
        bad_pieces: 1,
        banned: 0,
    }
}

fn peer(n: u8, rtt_ms: Option<f64>) -> PeerDetail {
    let why = Why {
        at: 1_700_000_000,
        hops: 1,
        answered_by: Some(([192, 0, 2, 9], 4240).into()),
        rank: 0,
        score: Some(0.75),
        matched: 4,
        load: 10,
        predicted_ms: Some(3.0),
        coordinate: Some([1.0, 2.0, 3.0, 0.5]),
    };
    PeerDetail {
        row: PeerRow {
            addr: ([192, 0, 2, n], 6881).into(),
            webseed: None,
            listen: None,
            client: Some("Client 1.0".to_owned()),
            source: if n == 3 { "directory" } else { "tracker" },
            rtt_ms,
            near: n == 3,
            connected: true,
            transport: Some(Transport::Utp),
            encrypted: Some(false),
            downloaded: 1,
            uploaded: 2,
        },
        outbound: true,
        rate_down: 10,
        rate_up: 20,
        chokes_us: false,
        interested: true,
        choked: true,
        wants: false,
        pieces: ChunkSet::from_indices(10, [0, 9]),
        outstanding: 1,
        queued: 0,
        why: (n == 3).then_some(why),
    }
}
