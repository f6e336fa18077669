//! `chunkcast daemon` on loopback, which knows nobody but those it is told of.

use std::path::Path;

use crate::scene::DEADLINE;
use crate::{Proc, command, wait_for};

/// A daemon that keeps its state in `state` and its data in `data` of its directory, and ends when this is dropped.
#[derive(Debug)]
pub struct Seedbox {
    /// The process.
    pub proc: Proc,
    /// Where its page is, without a slash at the end.
    pub url: String,
}

impl Seedbox {
    /// Starts one with these flags besides; its API is at `api`, an address.
    ///
    /// # Panics
    /// When it is not up in time.
    pub fn start(dir: &Path, api: &str, more: &[&str]) -> Self {
        let path = |name: &str| dir.join(name).display().to_string();
        let mut command = command(dir);
        command
            .args(["daemon", "--json", "--api-listen", api])
            .args(["--state", &path("state"), "--data", &path("data")])
            .args(["--listen", "127.0.0.1:0", "--index-listen", "127.0.0.1:0"])
            .args([
                "--no-dht",
                "--no-lsd",
                "--no-upnp",
                "--no-lan",
                "--no-rendezvous",
            ])
            .args(more);
        let proc = Proc::spawn("daemon", dir, &mut command);
        let url = wait_for("the daemon is up", DEADLINE, || {
            let event = proc.events("listening").pop()?;
            Some(event["api"].as_str()?.to_owned())
        });
        Self { proc, url }
    }
}
