//! Helpers for tests against stock clients: processes that end with the test, trackers, and waiting for conditions.
//!
//! Every process is started by a test, writes its output to a file in the test's directory, and is killed by its own
//! pid when the test ends. Nothing here talks to anyone but loopback and network namespaces of its own.

#![allow(
    clippy::print_stdout,
    reason = "test helpers report what they skip on standard output"
)]

pub mod browser;
pub mod far;
pub mod http_tracker;
pub mod matrix;
pub mod netns;
pub mod scene;
pub mod seedbox;
pub mod stock;
pub mod web_server;

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha1::{Digest, Sha1};

/// Flags of `node`, `get` and `seed` for a process that is to know nobody but those it is told of, and to keep nothing
/// in the user's home: tests run beside each other.
pub const ALONE: [&str; 3] = ["--no-state", "--no-lan", "--no-rendezvous"];

/// A directory for one test, removed at its end.
pub type Scratch = tempfile::TempDir;

/// A directory for one test.
///
/// # Panics
/// When the temporary directory cannot be written.
pub fn scratch() -> Scratch {
    tempfile::Builder::new()
        .prefix("chunkcast-compat-")
        .tempdir()
        .expect("a temporary directory")
}

/// Whether `program` is installed; says so when it is not, naming what is skipped.
pub fn installed(program: &str, skipped: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        println!("SKIPPED: {skipped}: `{program}` is not installed");
    }
    found
}

/// Where the `chunkcast` binary of this build is.
///
/// # Panics
/// When it has not been built.
pub fn chunkcast() -> PathBuf {
    let exe = std::env::current_exe().expect("a test binary has a path");
    let dir = exe.ancestors().nth(2).expect("target/debug/deps/test");
    let path = dir.join("chunkcast");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p chunkcast-bittorrent` first",
        path.display()
    );
    path
}

/// A command of the `chunkcast` binary of this build, at home in `home` and without what the environment of whoever runs
/// the tests says to it.
///
/// # Panics
/// As [`chunkcast`].
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(chunkcast());
    shield(command.env("HOME", home));
    command
}

/// Keeps from a command what the environment of whoever runs the tests says to `chunkcast`.
pub fn shield(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("XDG_") || text.starts_with("CHUNKCAST_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
}

/// An example of the client's crate, which `cargo build -p chunkcast-bittorrent --example NAME` makes.
///
/// # Panics
/// When it is not there.
pub fn example(name: &str) -> PathBuf {
    let path = chunkcast().with_file_name("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p chunkcast-bittorrent --example {name}` first",
        path.display()
    );
    path
}

/// A port that nobody listens on now, for TCP and UDP.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = tcp.local_addr().expect("bound").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both TCP and UDP");
}

/// A process that is killed, by its pid, when this is dropped.
#[derive(Debug)]
pub struct Proc {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Proc {
    /// Starts `command`; both outputs go to `dir/name.log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(name: &str, dir: &Path, command: &mut Command) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a second handle");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The JSON lines that it has printed so far with this `"event"`.
    pub fn events(&self, event: &str) -> Vec<Value> {
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|value| value["event"] == event)
            .collect()
    }

    /// Its status, once it has ended.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended by the deadline; the log is printed.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            assert!(
                Instant::now() < end,
                "{} did not end in {deadline:?}:\n{}",
                self.name,
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has a handler for SIGTERM: before that, the signal ends it outright.
    ///
    /// # Panics
    /// When it has none in time.
    pub fn wait_for_handlers(&self, deadline: Duration) {
        let status = format!("/proc/{}/status", self.child.id());
        wait_for("a handler for SIGTERM", deadline, || {
            let text = fs::read_to_string(&status).ok()?;
            let caught = text.lines().find_map(|l| l.strip_prefix("SigCgt:"))?;
            let mask = u64::from_str_radix(caught.trim(), 16).ok()?;
            (mask & (1 << 14) != 0).then_some(())
        });
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            println!("--- end of the log of {}", self.name);
            for line in tail.iter().rev() {
                println!("{}", line.chars().take(200).collect::<String>());
            }
        }
        self.kill();
    }
}

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it has not by the deadline; names `what`.
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// `len` bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 20);
    let mut counter = 0u64;
    while out.len() < len {
        let mut hash = Sha1::new();
        hash.update(seed.to_le_bytes());
        hash.update(counter.to_le_bytes());
        out.extend_from_slice(&hash.finalize());
        counter += 1;
    }
    out.truncate(len);
    out
}

/// Writes `bytes` to `path`, making its folders.
///
/// # Panics
/// When the disk refuses.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders");
    fs::write(path, bytes).expect("a file");
}

/// Runs `chunkcast create` with these arguments; the infohash.
///
/// # Panics
/// When it fails.
pub fn create(path: &Path, torrent: &Path, more: &[&str]) -> String {
    let out = Command::new(chunkcast())
        .arg("create")
        .arg(path)
        .arg("-o")
        .arg(torrent)
        .arg("--json")
        .args(more)
        .output()
        .expect("chunkcast runs");
    assert!(
        out.status.success(),
        "create: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    let event: Value = serde_json::from_slice(&out.stdout).expect("one JSON line");
    event["info_hash"].as_str().expect("an infohash").to_owned()
}
