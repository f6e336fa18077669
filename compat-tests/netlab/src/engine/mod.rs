//! The clients that are measured: how each is started, unmodified and with its default settings, and how it says that it
//! has everything.
//!
//! All go on seeding when they have everything. The stock ones find each other through a [tracker](meeting), ChunkCast
//! through its directory. What needs the Internet (DHT, port mapping) is switched off or finds nobody.

mod aria2;
mod chunkcast;
mod daemons;
mod libtorrent;
pub(crate) mod meeting;
pub(crate) mod rqbit;
mod transmission;

pub(crate) use daemons::{Daemon, Remote};

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lab::Peer;
use crate::torrent::{NAME, Source};

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// This project's.
    Chunkcast,
    /// aria2c.
    Aria2,
    /// libtorrent-rasterbar through Python.
    Libtorrent,
    /// transmission-daemon.
    Transmission,
    /// librqbit, in a process of this program.
    Librqbit,
    /// aria2c, each behind a `chunkcast tracker` on its own host.
    Aria2Near,
    /// libtorrent, each behind one.
    LibtorrentNear,
    /// transmission-daemon, each behind one.
    TransmissionNear,
}

/// Where the ports of those that share an address begin: below those that the system hands out, above the defaults.
const FIRST_PORT: u16 = 20_000;

/// Where the peer with this number among those that share an address listens.
pub(crate) fn port(slot: u16) -> u16 {
    FIRST_PORT + 10 * slot
}

/// An address of the place that no other peer listens at.
pub(crate) fn own_ip(slot: u16) -> String {
    format!("10.77.0.{}", 10 + slot)
}

/// One peer of one run.
pub(crate) struct Seat<'a> {
    /// Where it is.
    pub(crate) peer: &'a Peer,
    /// Whether it has everything from the start.
    pub(crate) seed: bool,
    /// Whether its peers meet at a tracker; ChunkCast's meet in the directory besides.
    pub(crate) tracked: bool,
    /// Its number among those that share its address, and so need ports of their own; `None`: it has one to itself, and
    /// its engine's default ports.
    pub(crate) slot: Option<u16>,
    /// Whether uTP is switched off.
    pub(crate) tcp_only: bool,
    /// Its directory, which is empty; the seed's `data` has the file.
    pub(crate) dir: PathBuf,
    /// What is shared.
    pub(crate) source: &'a Source,
    /// The seed's address.
    pub(crate) seed_ip: &'a str,
    /// How `chunkcast` is started.
    pub(crate) chunkcast: &'a Chunkcast,
    /// Whether its tracker is the `chunkcast tracker` on its own host.
    pub(crate) near: bool,
}

/// The program of this project, and how all clients are started.
#[derive(Clone, Debug)]
pub(crate) struct Chunkcast {
    /// The program.
    pub(crate) program: PathBuf,
    /// More words for `get` and `seed`.
    pub(crate) words: Vec<String>,
    /// How ChunkCast's find each other.
    pub(crate) directory: Directory,
    /// The stock clients do not exchange peers.
    pub(crate) no_pex: bool,
}

/// How ChunkCast's clients find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    /// Through an index node that runs before.
    Warm,
    /// No index node runs before: the downloaders are told of the seed's own, which starts with them.
    Cold,
    /// Without the directory, as stock clients do.
    None,
}

impl Directory {
    /// One that runs before, unless it is `cold`.
    pub(crate) fn of(cold: bool) -> Self {
        if cold { Self::Cold } else { Self::Warm }
    }
}

/// How a client says that it has everything.
#[derive(Debug)]
pub(crate) enum Sign {
    /// A file that it makes through its own hook.
    File(PathBuf),
    /// Words in its log.
    Log(LogSign),
}

/// See [`Sign::Log`].
#[derive(Debug)]
pub(crate) struct LogSign {
    path: PathBuf,
    words: &'static str,
    read: u64,
    tail: Vec<u8>,
}

impl Seat<'_> {
    /// The torrent of a stock client, with its tracker.
    fn torrent(&self) -> &Path {
        match self.near {
            true => &self.source.near,
            false => &self.source.tracked,
        }
    }

    /// Where the file is, or will be.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its copy.
    pub(crate) fn copy(&self) -> PathBuf {
        self.data().join(NAME)
    }

    /// Its output.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where it listens for peers, when it is told: the first of ten ports that are its own, at all addresses unless its
    /// engine cannot do with that.
    pub(crate) fn port(&self) -> Option<u16> {
        self.slot.map(port)
    }

    /// An address of the place that no other peer of it is reached at, besides the one that it shares with them.
    pub(crate) fn own_ip(&self) -> Option<String> {
        self.slot.map(own_ip)
    }

    /// A command at its place, with a home of its own.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.peer.ns.command(program);
        command
            .env("HOME", &self.dir)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_STATE_HOME")
            .current_dir(&self.dir);
        command
    }

    /// Where [`Seat::hook`]'s program makes its file.
    fn marker(&self) -> PathBuf {
        self.dir.join("complete")
    }

    /// A program that makes the marker, for clients that call one when they are done.
    fn hook(&self) -> Result<PathBuf> {
        let path = self.dir.join("hook");
        let mut file = File::create(&path)?;
        writeln!(file, "#!/bin/sh\n: > '{}'", self.marker().display())?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn in_log(&self, words: &'static str) -> Sign {
        Sign::Log(LogSign::new(self.log(), words))
    }
}

impl Engine {
    /// Whether its peers announce to a `chunkcast tracker`, each to that on its own host.
    pub(crate) fn is_near(self) -> bool {
        self != self.client()
    }

    /// The client that runs.
    fn client(self) -> Self {
        match self {
            Self::Aria2Near => Self::Aria2,
            Self::LibtorrentNear => Self::Libtorrent,
            Self::TransmissionNear => Self::Transmission,
            own => own,
        }
    }

    /// Its version.
    ///
    /// # Errors
    /// When it is not installed; says how it is.
    pub(crate) fn version(self, chunkcast: &Chunkcast) -> Result<String> {
        match self.client() {
            Self::Chunkcast => chunkcast::version(chunkcast),
            Self::Aria2 => first_line("aria2c", &["--version"], "apt-get install aria2"),
            Self::Libtorrent => libtorrent::version(),
            Self::Transmission => transmission::version(),
            _ => rqbit::version(),
        }
    }

    /// Makes what it needs in its directory, and how it is started; nothing runs yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn prepare(self, seat: &Seat<'_>) -> Result<(Command, Sign)> {
        match self.client() {
            Self::Chunkcast => Ok(chunkcast::prepare(seat)),
            Self::Aria2 => aria2::prepare(seat),
            Self::Libtorrent => Ok(libtorrent::prepare(seat)),
            Self::Transmission => transmission::prepare(seat),
            _ => rqbit::prepare(seat),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chunkcast => "chunkcast",
            Self::Aria2 => "aria2",
            Self::Libtorrent => "libtorrent",
            Self::Transmission => "transmission",
            Self::Librqbit => "librqbit",
            Self::Aria2Near => "aria2-near",
            Self::LibtorrentNear => "libtorrent-near",
            Self::TransmissionNear => "transmission-near",
        })
    }
}

impl Sign {
    /// Whether it has been given.
    pub(crate) fn given(&mut self) -> bool {
        match self {
            Self::File(path) => path.exists(),
            Self::Log(log) => log.given().unwrap_or(false),
        }
    }
}

impl LogSign {
    fn new(path: PathBuf, words: &'static str) -> Self {
        Self {
            path,
            words,
            read: 0,
            tail: Vec::new(),
        }
    }

    fn given(&mut self) -> std::io::Result<bool> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let n = file.take(1 << 20).read_to_end(&mut self.tail)?;
        self.read += n as u64;
        let words = self.words.as_bytes();
        let found = self.tail.windows(words.len()).any(|w| w == words);
        // words may come in two halves
        let keep = self.tail.len().min(words.len() - 1);
        self.tail.drain(..self.tail.len() - keep);
        Ok(found)
    }
}

/// The first line that a program prints.
fn first_line(program: &str, words: &[&str], remedy: &str) -> Result<String> {
    let out = Command::new(program)
        .args(words)
        .output()
        .with_context(|| format!("`{program}` cannot be started; {remedy}"))?;
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if !out.status.success() {
        bail!("`{program}`: {}; {remedy}", text.trim());
    }
    Ok(text.lines().next().unwrap_or(program).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_a_log_are_found_however_they_are_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let mut sign = Sign::Log(LogSign::new(path.clone(), "has everything"));
        assert!(!sign.given(), "no log yet");
        let mut log = File::create(&path).expect("a log");
        for part in ["it begins\nhas ev", "eryth", "in"] {
            log.write_all(part.as_bytes()).expect("written");
            assert!(!sign.given(), "{part}");
        }
        log.write_all(b"g\n and more").expect("written");
        assert!(sign.given());
    }
}
