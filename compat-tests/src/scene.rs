//! What the transfer tests share: data, a torrent of it, and opentracker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::stock::{At, Tracker, announce_urls, ours_at};
use crate::{Proc, Scratch, create, free_port, noise, scratch, wait_for, write};

/// Long enough for a slow tracker round and a debug build on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(150);

/// A folder with a short last piece, an empty file and a file across piece borders.
pub const FILES: [(&str, usize); 4] = [
    ("a.bin", 700_000),
    ("deep/b.bin", 2_500_000),
    ("deep/empty", 0),
    ("z.bin", 1),
];

/// Who makes the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// `chunkcast create`.
    ByUs,
    /// libtorrent, with padding between the files (BEP 47).
    Padded,
    /// libtorrent, with padding and a v2 part besides.
    Hybrid,
}

/// A folder, its torrent, and a tracker.
#[derive(Debug)]
pub struct Scene<'a> {
    started: Instant,
    /// What we run, listed for the time line at the end.
    name: String,
    at: At<'a>,
    tracker: Tracker<'a>,
    /// In hexadecimal.
    pub infohash: String,
    /// Announce URLs, HTTP and UDP.
    pub urls: [String; 2],
    /// Where everything is.
    pub dir: Scratch,
}

impl<'a> Scene<'a> {
    /// The scene with its tracker at `at`; `None`, with a line that says so, without opentracker.
    ///
    /// # Panics
    /// When the torrent cannot be made or the tracker does not answer.
    pub fn new(at: At<'a>, made: Made) -> Option<Self> {
        let dir = scratch();
        for (i, (name, len)) in FILES.iter().enumerate() {
            let path = dir.path().join("source/data").join(name);
            write(&path, &noise(i as u64, *len));
        }
        let port = match at {
            At::Loopback => free_port(),
            At::Host(_) => 6969,
        };
        let urls = announce_urls(at.ip(), port);
        let (data, torrent) = (dir.path().join("source/data"), dir.path().join("t.torrent"));
        let infohash = match made {
            Made::ByUs => {
                let flags = ["--tracker", &urls[0], "--piece-length", "64KiB"];
                create(&data, &torrent, &flags)
            }
            Made::Padded => create_by_libtorrent(&data, &torrent, &urls[0], "padded"),
            Made::Hybrid => create_by_libtorrent(&data, &torrent, &urls[0], "hybrid"),
        };
        let tracker = Tracker::start(dir.path(), at, port, &[&infohash])?;
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        Some(Self {
            started: Instant::now(),
            name,
            at,
            tracker,
            infohash,
            urls,
            dir,
        })
    }

    /// A path in the scene's directory, as text.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The .torrent file.
    pub fn torrent(&self) -> String {
        self.path("t.torrent")
    }

    /// A magnet link with nothing but the infohash and one of the trackers.
    pub fn magnet(&self, url: &str) -> String {
        let tracker = url.replace(':', "%3A").replace('/', "%2F");
        format!("magnet:?xt=urn:btih:{}&tr={tracker}", self.infohash)
    }

    /// The directory whose `data` is the source.
    pub fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    /// The directory for a copy.
    pub fn copy(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    /// Waits until the tracker knows exactly that many complete and incomplete peers.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn announced(&self, complete: u32, incomplete: u32) {
        wait_for("the tracker's numbers of peers", DEADLINE, || {
            let peers = self.tracker.peers(&self.infohash);
            peers.filter(|p| *p == (complete, incomplete))
        });
    }

    /// How many downloads the tracker was told are complete.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn downloads(&self) -> u32 {
        self.tracker
            .downloads(&self.infohash)
            .expect("the tracker answers")
    }

    /// Starts `chunkcast seed` and waits until the tracker knows it.
    pub fn we_seed(&self, at: At<'_>) -> Proc {
        let seed = self.we_start_seeding(at);
        self.announced(1, 0);
        seed
    }

    /// Starts `chunkcast seed`.
    pub fn we_start_seeding(&self, at: At<'_>) -> Proc {
        let (torrent, data) = (self.torrent(), self.path("source/data"));
        let args = ["seed", &torrent, "--data", &data];
        ours_at("seed", self.dir.path(), at, &args)
    }

    /// Downloads with `chunkcast get` and compares.
    ///
    /// # Panics
    /// When it fails, or a byte differs.
    pub fn we_get(&self, at: At<'_>, source: &str) -> Proc {
        let copy = self.path("copy");
        let mut get = ours_at("get", self.dir.path(), at, &["get", source, "-o", &copy]);
        let status = get.wait(DEADLINE);
        assert!(status.success(), "{}", get.log());
        assert_eq!(get.events("complete").len(), 1, "{}", get.log());
        self.assert_equal(true);
        let unknown = |path: &Path| !FILES.iter().any(|(name, _)| path.ends_with(name));
        let copy = self.copy().join("data");
        let more: Vec<PathBuf> = files_below(&copy)
            .into_iter()
            .filter(|p| unknown(p))
            .collect();
        assert_eq!(more, Vec::<PathBuf>::new(), "no file but the torrent's own");
        get
    }

    /// Compares the copy. Transmission makes no empty files: without `empty` they may be missing.
    ///
    /// # Panics
    /// When a byte differs.
    pub fn assert_equal(&self, empty: bool) {
        for (i, (name, len)) in FILES.iter().enumerate() {
            let path = self.copy().join("data").join(name);
            if *len == 0 && !empty && !path.exists() {
                continue;
            }
            let got = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let equal = got == noise(i as u64, *len);
            assert!(equal, "{} differs from the source", path.display());
        }
    }

    /// Where the tracker is.
    pub fn at(&self) -> At<'a> {
        self.at
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        println!("time: {} took {seconds:.1} s", self.name);
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Makes a torrent with libtorrent; its v1 infohash.
fn create_by_libtorrent(data: &Path, torrent: &Path, tracker: &str, kind: &str) -> String {
    let out = Command::new("python3")
        .args(["-W", "ignore", "-c", include_str!("libtorrent_create.py")])
        .args([data, torrent])
        .args([tracker, kind])
        .output()
        .expect("python3 runs");
    let (text, fault) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(out.status.success(), "libtorrent: {text}{fault}");
    let (hash, padding) = text.trim().split_once(' ').expect("two words");
    assert_ne!(padding, "0", "libtorrent has put padding in");
    hash.to_owned()
}
