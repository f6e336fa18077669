//! Stock clients and trackers as processes of a test.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::netns::Host;
use crate::{ALONE, Proc, chunkcast, free_port, installed, wait_for, write};

/// Where a program runs.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// On loopback, with ports that are free and everything but trackers switched off.
    Loopback,
    /// On a host of its own, with its default settings.
    Host(&'a Host),
}

impl At<'_> {
    /// A command that runs there.
    pub fn command(self, program: impl AsRef<Path>) -> Command {
        match self {
            Self::Loopback => Command::new(program.as_ref()),
            Self::Host(host) => host.command(program),
        }
    }

    /// The address there.
    pub fn ip(&self) -> &str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Host(host) => &host.ip,
        }
    }
}

/// Says which version of a client a test is about to meet.
pub fn say_version(program: &str, arguments: &[&str]) {
    let out = Command::new(program).args(arguments).output();
    let text = out
        .map(|o| [o.stdout, o.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    println!("client: {}", text.lines().next().unwrap_or(program));
}

/// opentracker, for the given infohashes.
#[derive(Debug)]
pub struct Tracker<'a> {
    _proc: Proc,
    at: At<'a>,
    port: u16,
}

impl<'a> Tracker<'a> {
    /// Starts it; `None`, with a line that says so, when it is not installed.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn start(dir: &Path, at: At<'a>, port: u16, infohashes: &[&str]) -> Option<Self> {
        if !installed("opentracker", "everything that needs a tracker") {
            return None;
        }
        let list = dir.join("whitelist.txt");
        write(&list, (infohashes.join("\n") + "\n").as_bytes());
        let mut command = at.command("opentracker");
        let port_text = port.to_string();
        command.args(["-i", at.ip(), "-p", &port_text, "-P", &port_text]);
        // opentracker leaves root and changes its root directory: the list is named relative to it
        command
            .current_dir(dir)
            .args(["-w", "whitelist.txt", "-d"])
            .arg(dir);
        make_readable(dir);
        let proc = Proc::spawn("opentracker", dir, &mut command);
        let mut this = Self {
            _proc: proc,
            at,
            port,
        };
        wait_for("opentracker answers", Duration::from_secs(20), || {
            let ended = this._proc.try_wait();
            assert!(ended.is_none(), "opentracker ended: {}", this._proc.log());
            this.ask("/stats")
        });
        Some(this)
    }

    /// The answer to an HTTP request.
    fn ask(&self, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let mut answer = Vec::new();
        match self.at {
            At::Loopback => {
                let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
                stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
                stream.write_all(request.as_bytes()).ok()?;
                let _ = stream.read_to_end(&mut answer);
            }
            At::Host(host) => {
                let script = format!(
                    "exec 3<>/dev/tcp/{}/{} && printf %s \"$0\" >&3 && exec cat <&3",
                    host.ip, self.port
                );
                let out = host
                    .command("bash")
                    .args(["-c", &script, &request])
                    .output();
                answer = out.ok().filter(|o| o.status.success())?.stdout;
            }
        }
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// How many complete and incomplete peers it knows of a torrent.
    pub fn peers(&self, infohash: &str) -> Option<(u32, u32)> {
        let text = self.scrape(infohash)?;
        Some((
            number(&text, "8:completei")?,
            number(&text, "10:incompletei")?,
        ))
    }

    /// How many downloads it was told are complete.
    pub fn downloads(&self, infohash: &str) -> Option<u32> {
        number(&self.scrape(infohash)?, "10:downloadedi")
    }

    fn scrape(&self, infohash: &str) -> Option<String> {
        let hash: String = (0..20)
            .filter_map(|i| infohash.get(2 * i..2 * i + 2))
            .map(|b| format!("%{b}"))
            .collect();
        self.ask(&format!("/scrape?info_hash={hash}"))
    }
}

fn number(text: &str, key: &str) -> Option<u32> {
    let at = text.find(key)? + key.len();
    text[at..].split('e').next()?.parse().ok()
}

/// The announce URLs, HTTP and UDP, of a tracker.
pub fn announce_urls(ip: &str, port: u16) -> [String; 2] {
    [
        format!("http://{ip}:{port}/announce"),
        format!("udp://{ip}:{port}"),
    ]
}

fn make_readable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755));
}

/// transmission-daemon.
#[derive(Debug)]
pub struct Transmission<'a> {
    proc: Proc,
    at: At<'a>,
    rpc: String,
}

impl<'a> Transmission<'a> {
    /// Starts it with its state in `dir/transmission`; `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start(dir: &Path, at: At<'a>) -> Option<Self> {
        if !installed("transmission-daemon", "Transmission")
            || !installed("transmission-remote", "Transmission")
        {
            return None;
        }
        say_version("transmission-daemon", &["--version"]);
        let home = dir.join("transmission");
        let port = match at {
            At::Loopback => {
                let (port, peer_port) = (free_port(), free_port());
                let settings = format!(
                    r#"{{"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false,
                        "port-forwarding-enabled": false, "rpc-bind-address": "127.0.0.1", "rpc-port": {port},
                        "peer-port": {peer_port}, "bind-address-ipv4": "127.0.0.1", "encryption": 1}}"#
                );
                write(&home.join("settings.json"), settings.as_bytes());
                port
            }
            At::Host(_) => 9091,
        };
        let mut command = at.command("transmission-daemon");
        command
            .args(["--foreground", "--log-info", "--config-dir"])
            .arg(&home);
        let this = Self {
            proc: Proc::spawn("transmission-daemon", dir, &mut command),
            at,
            rpc: format!("127.0.0.1:{port}"),
        };
        wait_for(
            "transmission-daemon answers",
            Duration::from_secs(30),
            || this.remote(&["--session-info"]),
        );
        Some(this)
    }

    /// Runs transmission-remote; its output when it succeeded.
    pub fn remote(&self, args: &[&str]) -> Option<String> {
        let mut command = self.at.command("transmission-remote");
        let out = command.arg(&self.rpc).args(args).output().ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Adds a torrent whose data is, or goes, below `data`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn add(&self, torrent: &str, data: &Path) {
        let data = data.display().to_string();
        let out = self.remote(&["--add", torrent, "--download-dir", &data]);
        assert!(
            out.as_ref().is_some_and(|o| o.contains("success")),
            "{out:?}\n{}",
            self.proc.log()
        );
    }

    /// Percent done of its only torrent.
    pub fn percent(&self) -> Option<f64> {
        let info = self.remote(&["--torrent", "all", "--info"])?;
        let line = info.lines().find(|l| l.contains("Percent Done"))?;
        line.split(':')
            .nth(1)?
            .trim()
            .trim_end_matches('%')
            .parse()
            .ok()
    }
}

/// aria2c on one torrent or magnet link; it ends when it has everything, or seeds.
pub fn aria2(dir: &Path, at: At<'_>, torrent: &str, data: &Path, mode: Mode) -> Option<Proc> {
    if !installed("aria2c", "aria2") {
        return None;
    }
    say_version("aria2c", &["--version"]);
    let mut command = at.command("aria2c");
    command
        .arg(format!("--dir={}", data.display()))
        .args(["--no-conf", "--summary-interval=0"]);
    if matches!(at, At::Loopback) {
        command.arg(format!("--listen-port={}", free_port())).args([
            "--enable-dht=false",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--interface=127.0.0.1",
        ]);
    }
    match mode {
        Mode::Get => command.arg("--seed-time=0"),
        Mode::Seed => command.args(["--seed-ratio=0.0", "--check-integrity=true"]),
        Mode::SlowSeed => command.args([
            "--seed-ratio=0.0",
            "--check-integrity=true",
            "--max-overall-upload-limit=400K",
        ]),
    };
    command.arg(torrent);
    Some(Proc::spawn("aria2", dir, &mut command))
}

/// qbittorrent-nox on one torrent with its data below `data`, with trackers as its only source of peers; it runs until it is
/// killed. `None` when it is not installed.
pub fn qbittorrent(dir: &Path, at: At<'_>, torrent: &str, data: &Path) -> Option<Proc> {
    if !installed("qbittorrent-nox", "qBittorrent") {
        return None;
    }
    let port = match at {
        At::Loopback => free_port(),
        At::Host(_) => 6881,
    };
    let settings = format!(
        "[BitTorrent]\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\n\
         Session\\Port={port}\n[LegalNotice]\nAccepted=true\n[Preferences]\nWebUI\\Port={}\n",
        free_port()
    );
    let profile = dir.join("qbittorrent");
    let config = profile.join("qBittorrent/config/qBittorrent.conf");
    write(&config, settings.as_bytes());
    std::fs::create_dir_all(data).expect("a folder");
    let mut command = at.command("qbittorrent-nox");
    command
        .arg(format!("--profile={}", profile.display()))
        .arg(format!("--save-path={}", data.display()))
        .arg(torrent)
        .env("HOME", dir);
    Some(Proc::spawn("qbittorrent", dir, &mut command))
}

/// What a stock client is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Download, then end.
    Get,
    /// Seed until it is killed.
    Seed,
    /// Seed at 400 KiB/s.
    SlowSeed,
}

/// Whether libtorrent's Python module is installed; says so when it is not.
pub fn libtorrent_installed() -> bool {
    let program = "import libtorrent; print('libtorrent', libtorrent.__version__)";
    let out = Command::new("python3").args(["-c", program]).output();
    let found = out.is_ok_and(|o| o.status.success());
    if found {
        say_version("python3", &["-c", program]);
    } else {
        println!("SKIPPED: libtorrent: its Python module is not installed");
    }
    found
}

/// libtorrent on one torrent or magnet link; it ends when it has everything, or seeds. Check that it is installed.
pub fn libtorrent(dir: &Path, at: At<'_>, torrent: &str, data: &Path, mode: Mode) -> Proc {
    let mut command = at.command("python3");
    command
        .args(["-W", "ignore", "-c", include_str!("libtorrent_peer.py")])
        .arg(torrent)
        .arg(data)
        .arg(if mode == Mode::Get { "get" } else { "seed" });
    Proc::spawn("libtorrent", dir, &mut command)
}

/// `chunkcast` with these arguments on loopback, without DHT, speaking JSON.
pub fn ours(name: &str, dir: &Path, args: &[&str]) -> Proc {
    ours_at(name, dir, At::Loopback, args)
}

/// `chunkcast` with these arguments, speaking JSON.
pub fn ours_at(name: &str, dir: &Path, at: At<'_>, args: &[&str]) -> Proc {
    let mut command = at.command(chunkcast());
    command.args(args).args(ALONE).arg("--json");
    if matches!(args.first(), Some(&("get" | "seed"))) {
        command.arg("--no-lsd"); // on a host of its own a stock client is met as the test says
    }
    if matches!(at, At::Loopback) {
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--index-listen",
            "127.0.0.1:0",
            "--no-dht",
        ]);
    }
    Proc::spawn(name, dir, &mut command)
}
