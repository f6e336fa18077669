//! transmission-daemon, driven by transmission-remote.

use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{At, Job, Setup, Transport};
use crate::{Proc, noise, wait_for, write};

/// transmission-daemon.
#[derive(Debug)]
pub struct Transmission<'a> {
    proc: Proc,
    at: At<'a>,
    port: u16,
}

impl<'a> Transmission<'a> {
    /// Starts it without a torrent.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start(setup: &Setup<'a>) -> Self {
        let (at, home) = (setup.at, setup.home());
        let port = at.port(9091);
        // it announces from the first of these that is not the default
        let (v4, v6) = match at {
            At::Loopback => ("127.0.0.1", "::1"),
            At::Loopback6 => ("0.0.0.0", "::1"),
            At::Host(_) => ("0.0.0.0", "::"),
        };
        let settings = json!({
            "rpc-bind-address": "127.0.0.1", "rpc-port": port, "rpc-host-whitelist-enabled": false,
            "peer-port": setup.port, "bind-address-ipv4": v4, "bind-address-ipv6": v6,
            "dht-enabled": !setup.dht.is_empty(), "pex-enabled": setup.pex, "lpd-enabled": setup.lsd,
            "utp-enabled": setup.transport != Transport::Tcp,
            // 1, "preferred", is its default
            "encryption": if setup.require_encryption { 2 } else { 1 },
            "port-forwarding-enabled": false,
        });
        write(&home.join("settings.json"), settings.to_string().as_bytes());
        if !setup.dht.is_empty() {
            write(&home.join("dht.dat"), &dht_state(&setup.dht));
        }
        let mut command = at.command("transmission-daemon");
        command
            .args(["--foreground", "--log-info", "--config-dir"])
            .arg(&home);
        let this = Self {
            proc: Proc::spawn(&setup.name, &setup.dir, &mut command),
            at,
            port,
        };
        let answers = || this.remote(&["--session-info"]);
        wait_for(
            "transmission-daemon answers",
            Duration::from_secs(30),
            answers,
        );
        this
    }

    /// Its process, and the port of its RPC.
    pub fn into_parts(self) -> (Proc, u16) {
        (self.proc, self.port)
    }

    /// Runs transmission-remote; its output when it succeeded.
    pub fn remote(&self, args: &[&str]) -> Option<String> {
        let mut command = self.at.command("transmission-remote");
        let rpc = format!("127.0.0.1:{}", self.port);
        let out = command.arg(rpc).args(args).output().ok()?;
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
        self.must(&["--add", torrent, "--download-dir", &data]);
    }

    /// Percent done of its only torrent.
    pub fn percent(&self) -> Option<f64> {
        let info = self.remote(&["--torrent", "all", "--info"])?;
        let line = info.lines().find(|l| l.contains("Percent Done"))?;
        let number = line.split(':').nth(1)?.trim().trim_end_matches('%');
        number.parse().ok()
    }

    pub(super) fn run(self, job: &Job) -> Proc {
        if let Some(files) = &job.files {
            let data = job.data.display().to_string();
            self.must(&[
                "--start-paused",
                "--add",
                &job.source,
                "--download-dir",
                &data,
            ]);
            let list: Vec<String> = files.iter().map(usize::to_string).collect();
            self.must(&["--torrent", "all", "--no-get", "all"]);
            self.must(&["--torrent", "all", "--get", &list.join(",")]);
            self.must(&["--torrent", "all", "--start"]);
        } else {
            // what it knows from an earlier start it refuses, and goes on with
            let data = job.data.display().to_string();
            let known = self
                .remote(&["--list"])
                .is_some_and(|l| l.lines().count() > 2);
            if !known {
                self.must(&["--add", &job.source, "--download-dir", &data]);
            }
        }
        self.proc
    }

    fn must(&self, args: &[&str]) {
        let out = self.remote(args);
        let done = out.as_ref().is_some_and(|o| o.contains("success"));
        assert!(done, "{args:?}: {out:?}\n{}", self.proc.log());
    }
}

/// What it keeps of the DHT between runs: with this it knows these nodes at once, else it would ask well-known ones, one
/// every quarter of a minute.
fn dht_state(nodes: &[SocketAddrV4]) -> Vec<u8> {
    let id = noise(9, 20);
    let mut out = [b"d2:id20:", &id[..]].concat();
    out.extend(format!("5:nodes{}:", 6 * nodes.len()).bytes());
    for node in nodes {
        out.extend(node.ip().octets());
        out.extend(node.port().to_be_bytes());
    }
    out.push(b'e');
    out
}
