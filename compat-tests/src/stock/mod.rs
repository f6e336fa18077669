//! Stock clients and trackers as processes of a test.

pub mod aria2;
pub mod libtorrent;
pub mod opentracker;
pub mod qbittorrent;
pub mod transmission;

pub use opentracker::{Tracker, announce_urls};
pub use transmission::Transmission;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::netns::Host;
use crate::{ALONE, Proc, chunkcast, free_port, shield};

/// Where a program runs.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// On loopback, with ports that are free.
    Loopback,
    /// On IPv6 loopback, with ports that are free.
    Loopback6,
    /// On a host of its own.
    Host(&'a Host),
}

impl At<'_> {
    /// A command that runs there.
    pub fn command(self, program: impl AsRef<Path>) -> Command {
        match self {
            Self::Loopback | Self::Loopback6 => Command::new(program.as_ref()),
            Self::Host(host) => host.command(program),
        }
    }

    /// The address there.
    pub fn ip(&self) -> &str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Loopback6 => "::1",
            Self::Host(host) => &host.ip,
        }
    }

    /// The address with a port, as in a URL.
    pub fn with_port(&self, port: u16) -> String {
        match self {
            Self::Loopback6 => format!("[::1]:{port}"),
            Self::Loopback | Self::Host(_) => format!("{}:{port}", self.ip()),
        }
    }

    /// Whether all share it.
    pub fn is_loopback(self) -> bool {
        !matches!(self, Self::Host(_))
    }

    /// A port for a program: on a host of its own the usual one, else a free one.
    pub fn port(self, usual: u16) -> u16 {
        if self.is_loopback() {
            free_port()
        } else {
            usual
        }
    }

    /// The whole answer to an HTTP request to 127.0.0.1 there, or to the host's own address; `None` without one.
    pub fn http(self, to: &str, port: u16, request: &str) -> Option<String> {
        let mut answer = Vec::new();
        if let Self::Host(host) = self {
            let script =
                format!("exec 3<>/dev/tcp/{to}/{port} && printf %s \"$0\" >&3 && exec cat <&3");
            let mut command = host.command("bash");
            let out = command.args(["-c", &script, request]).output();
            answer = out.ok().filter(|o| o.status.success())?.stdout;
        } else {
            let mut stream = TcpStream::connect((to, port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let _ = stream.read_to_end(&mut answer);
        }
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// The stock clients, each in its column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// transmission-daemon.
    Transmission,
    /// aria2c.
    Aria2,
    /// qbittorrent-nox.
    QBittorrent,
    /// libtorrent's Python module.
    Libtorrent,
}

/// Which of the two transports a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP alone.
    Tcp,
    /// uTP (BEP 29) alone.
    Utp,
    /// Both.
    Both,
}

/// A node of the DHT that is not there: the discard port.
pub const NO_NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);

/// How a stock client is set up. What [`Setup::alone`] gives knows nobody but trackers.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Where it runs.
    pub at: At<'a>,
    /// Its state goes below this.
    pub dir: PathBuf,
    /// Its process and its directory are called this.
    pub name: String,
    /// Where it listens for peers.
    pub port: u16,
    /// Nodes of the DHT to start from; without any there is no DHT.
    pub dht: Vec<SocketAddrV4>,
    /// Peer exchange (BEP 11).
    pub pex: bool,
    /// Local service discovery (BEP 14).
    pub lsd: bool,
    /// TCP, uTP.
    pub transport: Transport,
    /// Refuse unencrypted peers; otherwise the client's default holds.
    pub require_encryption: bool,
    /// Fetch next to nothing; only libtorrent can.
    pub slow: bool,
}

impl<'a> Setup<'a> {
    /// Trackers are the only source of peers, TCP is the only transport.
    pub fn alone(dir: &Path, at: At<'a>, client: Client) -> Self {
        Self {
            at,
            dir: dir.to_owned(),
            name: client.name().to_owned(),
            port: at.port(51_413),
            dht: Vec::new(),
            pex: false,
            lsd: false,
            transport: Transport::Tcp,
            require_encryption: false,
            slow: false,
        }
    }

    /// All sources of peers and both transports, as clients are by default; there is nobody in the DHT.
    pub fn all_on(dir: &Path, at: At<'a>, client: Client) -> Self {
        Self {
            dht: vec![NO_NODE],
            pex: true,
            lsd: true,
            transport: Transport::Both,
            ..Self::alone(dir, at, client)
        }
    }

    /// Its own directory.
    pub fn home(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Where it listens for peers, as others dial it.
    pub fn addr(&self) -> String {
        self.at.with_port(self.port)
    }
}

/// What a stock client is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// A .torrent file or a magnet link.
    pub source: String,
    /// The directory that the torrent's file or folder is in, or goes into.
    pub data: PathBuf,
    /// The data is there.
    pub complete: bool,
    /// Only these files, counted from 0.
    pub files: Option<Vec<usize>>,
}

/// A stock client that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    proc: Proc,
}

impl Running {
    /// What it has printed.
    pub fn log(&self) -> String {
        self.proc.log()
    }

    /// Ends it as its user would, and kills it when that takes long.
    pub fn stop(&mut self) {
        self.proc.terminate();
        for _ in 0..100 {
            if self.proc.try_wait().is_some() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        self.proc.kill();
    }
}

impl Client {
    /// All, in the order of the columns.
    pub const ALL: [Self; 4] = [
        Self::Transmission,
        Self::Aria2,
        Self::QBittorrent,
        Self::Libtorrent,
    ];

    /// What it calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transmission => "Transmission",
            Self::Aria2 => "aria2",
            Self::QBittorrent => "qBittorrent",
            Self::Libtorrent => "libtorrent",
        }
    }

    /// Its version; `None` when it is not installed.
    pub fn version(self) -> Option<String> {
        let (program, argument) = match self {
            Self::Transmission => ("transmission-daemon", "--version"),
            Self::Aria2 => ("aria2c", "--version"),
            Self::QBittorrent => ("qbittorrent-nox", "--version"),
            Self::Libtorrent => return libtorrent::version(),
        };
        let out = Command::new(program).arg(argument).output().ok()?;
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        // the first word of the first line that begins with a digit, perhaps after a "v"
        let mut words = text.lines().next()?.split_whitespace();
        let version = words.find_map(|word| {
            let word = word.strip_prefix('v').unwrap_or(word);
            word.starts_with(|c: char| c.is_ascii_digit())
                .then_some(word)
        })?;
        Some(version.to_owned())
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start, or refuses the torrent.
    pub fn start(self, setup: &Setup<'_>, job: &Job) -> Running {
        std::fs::create_dir_all(&job.data).expect("a folder");
        std::fs::create_dir_all(setup.home()).expect("a folder");
        let proc = match self {
            Self::Transmission => transmission::Transmission::start(setup).run(job),
            Self::Aria2 => aria2::start(setup, job),
            Self::QBittorrent => qbittorrent::start(setup, job),
            Self::Libtorrent => libtorrent::start(setup, job, &[]),
        };
        Running { proc }
    }
}

/// Flags of `get` and `seed` for one that uses no source of peers but trackers and the directory.
pub const OFF: [&str; 2] = ["--no-lsd", "--no-pex"];

/// `chunkcast` with these arguments on loopback, speaking JSON; what [`OFF`] names is off.
pub fn ours(name: &str, dir: &Path, args: &[&str]) -> Proc {
    ours_at(name, dir, At::Loopback, args)
}

/// `chunkcast` with these arguments, speaking JSON; what [`OFF`] names is off.
pub fn ours_at(name: &str, dir: &Path, at: At<'_>, args: &[&str]) -> Proc {
    let transfers = matches!(args.first(), Some(&("get" | "seed")));
    let off: &[&str] = if transfers { &OFF } else { &[] };
    ours_with(name, dir, at, &[args, off].concat())
}

/// `chunkcast` with these arguments, speaking JSON.
pub fn ours_with(name: &str, dir: &Path, at: At<'_>, args: &[&str]) -> Proc {
    let mut command = at.command(chunkcast());
    shield(&mut command).args(args).args(ALONE).arg("--json");
    if at.is_loopback() {
        let any = at.with_port(0);
        let listen = ["--listen", &any, "--index-listen", &any, "--no-dht"];
        command.args(listen);
    }
    Proc::spawn(name, dir, &mut command)
}
