//! Stock clients and trackers as processes of a test.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{Proc, chunkcast, free_port, installed, wait_for, write};

/// opentracker on loopback, for the given infohashes.
#[derive(Debug)]
pub struct Tracker {
    _proc: Proc,
    port: u16,
}

impl Tracker {
    /// Starts it; `None`, with a line that says so, when it is not installed.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub fn start(dir: &Path, port: u16, infohashes: &[&str]) -> Option<Self> {
        if !installed("opentracker", "everything that needs a tracker") {
            return None;
        }
        let list = dir.join("whitelist.txt");
        write(&list, (infohashes.join("\n") + "\n").as_bytes());
        let mut command = Command::new("opentracker");
        command.args([
            "-i",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-P",
            &port.to_string(),
        ]);
        // opentracker leaves root and changes its root directory: the list is named relative to it
        command
            .current_dir(dir)
            .args(["-w", "whitelist.txt", "-d"])
            .arg(dir);
        make_readable(dir);
        let mut proc = Proc::spawn("opentracker", dir, &mut command);
        wait_for("opentracker listens", Duration::from_secs(10), || {
            assert!(
                proc.try_wait().is_none(),
                "opentracker ended:\n{}",
                proc.log()
            );
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Self { _proc: proc, port })
    }

    /// Its HTTP announce URL.
    pub fn http(&self) -> String {
        announce_http(self.port)
    }

    /// How many complete and incomplete peers it knows of a torrent.
    pub fn peers(&self, infohash: &str) -> Option<(u32, u32)> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let hash: String = (0..20)
            .filter_map(|i| infohash.get(2 * i..2 * i + 2))
            .map(|b| format!("%{b}"))
            .collect();
        let ask = format!("GET /scrape?info_hash={hash} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(ask.as_bytes()).ok()?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let number = |key: &str| -> Option<u32> {
            let at = text.find(key)? + key.len();
            text[at..].split('e').next()?.parse().ok()
        };
        Some((number("8:completei")?, number("10:incompletei")?))
    }
}

/// The HTTP announce URL of a tracker on this port of loopback.
pub fn announce_http(port: u16) -> String {
    format!("http://127.0.0.1:{port}/announce")
}

/// The UDP announce URL of a tracker on this port of loopback.
pub fn announce_udp(port: u16) -> String {
    format!("udp://127.0.0.1:{port}")
}

fn make_readable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755));
}

/// transmission-daemon with everything but trackers switched off.
#[derive(Debug)]
pub struct Transmission {
    proc: Proc,
    rpc: String,
    /// TCP port for peers.
    pub peer_port: u16,
}

impl Transmission {
    /// Starts it with its state in `dir/transmission`; `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start(dir: &Path) -> Option<Self> {
        if !installed("transmission-daemon", "Transmission")
            || !installed("transmission-remote", "Transmission")
        {
            return None;
        }
        let (port, peer_port) = (free_port(), free_port());
        let home = dir.join("transmission");
        let settings = format!(
            r#"{{"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
                "rpc-bind-address": "127.0.0.1", "rpc-port": {port}, "peer-port": {peer_port},
                "bind-address-ipv4": "127.0.0.1", "encryption": 1, "rpc-host-whitelist-enabled": false}}"#
        );
        write(&home.join("settings.json"), settings.as_bytes());
        let mut command = Command::new("transmission-daemon");
        command
            .args(["--foreground", "--log-info", "--no-auth", "--config-dir"])
            .arg(&home);
        let proc = Proc::spawn("transmission-daemon", dir, &mut command);
        let this = Self {
            proc,
            rpc: format!("127.0.0.1:{port}"),
            peer_port,
        };
        wait_for(
            "transmission-daemon answers",
            Duration::from_secs(20),
            || this.remote(&["--session-info"]),
        );
        Some(this)
    }

    /// Runs transmission-remote; its output when it succeeded.
    pub fn remote(&self, args: &[&str]) -> Option<String> {
        let out = Command::new("transmission-remote")
            .arg(&self.rpc)
            .args(args)
            .output()
            .ok()?;
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

/// aria2c on one torrent, with everything but trackers switched off.
pub fn aria2(dir: &Path, torrent: &str, data: &Path, seed: bool) -> Option<Proc> {
    if !installed("aria2c", "aria2") {
        return None;
    }
    let port = free_port();
    let mut command = Command::new("aria2c");
    command
        .arg(format!("--dir={}", data.display()))
        .arg(format!("--listen-port={port}"))
        .args([
            "--enable-dht=false",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--no-conf",
        ])
        .args([
            "--enable-peer-exchange=false",
            "--bt-tracker-interval=2",
            "--summary-interval=0",
        ])
        .args([
            "--interface=127.0.0.1",
            "--file-allocation=none",
            "--console-log-level=notice",
        ])
        .arg(if seed {
            "--seed-ratio=0.0"
        } else {
            "--seed-time=0"
        });
    if seed {
        command.arg("--check-integrity=true");
    }
    command.arg(torrent);
    Some(Proc::spawn(
        if seed { "aria2-seed" } else { "aria2-get" },
        dir,
        &mut command,
    ))
}

/// `chunkcast` with these arguments, listening on loopback, without DHT, speaking JSON.
pub fn ours(name: &str, dir: &Path, args: &[&str]) -> Proc {
    let mut command = Command::new(chunkcast());
    command.args(args).args([
        "--listen",
        "127.0.0.1:0",
        "--index-listen",
        "127.0.0.1:0",
        "--no-dht",
        "--json",
    ]);
    Proc::spawn(name, dir, &mut command)
}
