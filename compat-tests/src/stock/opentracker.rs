//! opentracker, a stock tracker.

use std::path::Path;
use std::time::Duration;

use super::At;
use crate::{Proc, installed, wait_for, write};

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

    fn ask(&self, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        self.at.http(self.at.ip(), self.port, &request)
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
