//! A daemon that speaks the RPC, and what the tests share: a torrent, a seed of it, a tracker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use chunkcast_compat_tests::http_tracker::HttpTracker;
use chunkcast_compat_tests::scene::{DEADLINE, FILES, Scene};
use chunkcast_compat_tests::stock::{At, Client, OFF, Setup, Transmission};
use chunkcast_compat_tests::web_server::WebServer;
use chunkcast_compat_tests::{
    ALONE, Proc, chunkcast, create, free_port, installed, noise, wait_for, write,
};
use serde_json::{Value, json};

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Stock,
    Ours,
}

/// A daemon; it is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) which: Which,
    /// Where it keeps everything; downloads go to `dl` in it.
    pub(crate) home: PathBuf,
    pub(crate) port: u16,
    /// Where peers connect to.
    peers: String,
    proc: Proc,
}

impl Server {
    /// Starts it with everything below `scene`'s directory.
    pub(crate) fn start(which: Which, scene: &Path) -> Self {
        let home = scene.join(match which {
            Which::Stock => "stock",
            Which::Ours => "ours",
        });
        fs::create_dir_all(home.join("dl")).expect("a folder");
        let mut setup = Setup::alone(scene, At::Loopback, Client::Transmission);
        setup.name = "stock".to_owned();
        let peers = setup.addr();
        let (proc, port) = match which {
            Which::Stock => Transmission::start(&setup).into_parts(),
            Which::Ours => ours(scene, &home, &peers),
        };
        let this = Self {
            which,
            home,
            port,
            peers,
            proc,
        };
        // where their defaults differ
        let same = json!({
            "download-dir": this.dir("dl"), "peer-limit-per-torrent": 50, "peer-limit-global": 200,
            "alt-speed-down": 50, "alt-speed-up": 50, "blocklist-url": "http://127.0.0.1:9/list",
        });
        let answer = this.call("session-set", same);
        assert_eq!(answer["result"], "success", "{answer}");
        this
    }

    /// A directory of its own, as text.
    pub(crate) fn dir(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// The answer to a request, with the session id that it wants.
    pub(crate) fn call(&self, method: &str, arguments: Value) -> Value {
        let request = json!({ "method": method, "arguments": arguments });
        self.post(&request.to_string())
    }

    /// The answer to any body.
    pub(crate) fn post(&self, body: &str) -> Value {
        let (status, head, _) = self.http("GET", "", "");
        assert_eq!(status, 409, "{head}");
        let id = session_id(&head).expect("a session id");
        let (status, _, answer) = self.http("POST", id, body);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Status, head and body of the answer to an HTTP request.
    pub(crate) fn http(&self, method: &str, id: &str, body: &str) -> (u16, String, String) {
        let (port, len) = (self.port, body.len());
        let request = format!(
            "{method} /transmission/rpc HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Transmission-Session-Id: {id}\r\n\
             Content-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = At::Loopback.http("127.0.0.1", port, &request);
        let answer = answer.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.expect("a status"), head.to_owned(), body.to_owned())
    }

    /// These fields of the torrent.
    pub(crate) fn get(&self, hash: &str, fields: &[&str]) -> Value {
        let mut answer = self.call("torrent-get", json!({ "ids": [hash], "fields": fields }));
        let torrents = answer["arguments"]["torrents"].as_array_mut();
        torrents.and_then(Vec::pop).unwrap_or_default()
    }

    /// Waits until a torrent is as it should be.
    pub(crate) fn wait(
        &self,
        what: &str,
        hash: &str,
        fields: &[&str],
        is: impl Fn(&Value) -> bool,
    ) {
        wait_for(&format!("{what} ({:?})", self.which), DEADLINE, || {
            is(&self.get(hash, fields)).then_some(())
        });
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) {
        self.proc.wait(DEADLINE);
    }
}

/// The id in the head of an answer.
pub(crate) fn session_id(head: &str) -> Option<&str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.eq_ignore_ascii_case("x-transmission-session-id");
        name.then(|| value.trim())
    })
}

fn ours(scene: &Path, home: &Path, peers: &str) -> (Proc, u16) {
    let port = free_port();
    let mut command = Command::new(chunkcast());
    let allowed = format!("paths.allowed={}", scene.display());
    command
        .args(["daemon", "--json", "--set", &allowed])
        .arg("--state")
        .arg(home.join("state"))
        .arg("--data")
        .arg(home.join("dl"))
        .args(["--api-listen", &format!("127.0.0.1:{port}")])
        .args(["--listen", peers, "--index-listen", "127.0.0.1:0"])
        .args(["--transport", "tcp", "--encryption", "prefer"])
        .args(["--no-dht", "--no-lsd", "--no-pex", "--no-upnp"])
        .args(["--no-lan", "--no-rendezvous"])
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME");
    let proc = Proc::spawn("ours", scene, &mut command);
    wait_for("the daemon answers", Duration::from_secs(30), || {
        let request =
            "GET /transmission/rpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        At::Loopback.http("127.0.0.1", port, request)
    });
    (proc, port)
}

/// A torrent and its data, a tracker that knows nobody, a web server with another .torrent file.
pub(crate) struct Source {
    pub(crate) scene: Scene<'static>,
    pub(crate) tracker: HttpTracker,
    pub(crate) web: WebServer,
    /// The infohash of the other torrent.
    pub(crate) other: String,
}

impl Source {
    /// `None`, with a line that says so, without Transmission.
    pub(crate) fn new() -> Option<Self> {
        if !installed("transmission-daemon", "the Transmission RPC")
            || !installed("transmission-remote", "the Transmission RPC")
        {
            return None;
        }
        let tracker = HttpTracker::start();
        let scene = Scene::without_tracker(&[&tracker.url()], &[]);
        // a torrent for the web server that nobody has the data of
        let (other, www) = (
            scene.dir.path().join("other/other.bin"),
            scene.dir.path().join("www"),
        );
        fs::create_dir_all(&www).expect("a folder");
        write(&other, &noise(77, 300_000));
        let hash = create(
            &other,
            &www.join("other.torrent"),
            &["--piece-length", "64KiB"],
        );
        let web = WebServer::start(&www);
        Some(Self {
            scene,
            tracker,
            web,
            other: hash,
        })
    }

    /// A seed that connects to a daemon: Transmission dials no peer on loopback.
    pub(crate) fn seed(&self, server: &Server) -> Proc {
        let mut command = Command::new(chunkcast());
        command.args(self.seed_arguments(server));
        let name = format!("seed-{:?}", server.which);
        Proc::spawn(&name, self.scene.dir.path(), &mut command)
    }

    /// Its arguments.
    pub(crate) fn seed_arguments(&self, server: &Server) -> Vec<String> {
        let data = self.scene.source().join("data").display().to_string();
        let torrent = self.scene.torrent();
        let what = ["seed", &torrent, "--data", &data, "--peer", &server.peers];
        let listen = ["--listen", "127.0.0.1:0", "--index-listen", "127.0.0.1:0"];
        let alone = ["--no-trackers", "--no-dht", "--json"];
        let args = what.iter().chain(&listen).chain(&alone).chain(&OFF);
        args.chain(&ALONE).map(|arg| (*arg).to_owned()).collect()
    }

    /// Runs the same with both daemons side by side; what each gave, the stock one's first.
    pub(crate) fn both<T: Send>(&self, run: impl Fn(&Self, Server) -> T + Sync) -> [T; 2] {
        let one = |which| run(self, Server::start(which, self.scene.dir.path()));
        thread::scope(|scope| {
            let stock = scope.spawn(|| one(Which::Stock));
            let ours = scope.spawn(|| one(Which::Ours));
            [stock, ours].map(|t| t.join().expect("the test's thread"))
        })
    }
}

/// Bytes of all files of the torrent.
pub(crate) fn size() -> u64 {
    FILES.iter().map(|(_, len)| *len as u64).sum()
}

/// Compares what the two gave, step by step.
///
/// # Panics
/// When they differ; tells all steps in which they do.
pub(crate) fn compare<T: PartialEq + std::fmt::Debug>(
    stock: impl IntoIterator<Item = (String, T)>,
    ours: Vec<T>,
) {
    let stock: Vec<_> = stock.into_iter().collect();
    let steps = stock.len();
    let both = stock.into_iter().zip(&ours);
    let differ = both.filter(|((_, stock), ours)| stock != *ours);
    let told: Vec<String> = differ
        .map(|((step, stock), ours)| format!("{step}\n  stock: {stock:?}\n   ours: {ours:?}\n"))
        .collect();
    assert!(
        told.is_empty(),
        "{} of {steps} steps differ:\n{}",
        told.len(),
        told.join("\n")
    );
    assert_eq!(ours.len(), steps);
}
