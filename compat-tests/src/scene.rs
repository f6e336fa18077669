//! What the transfer tests share: data, a torrent of it, and opentracker.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::stock::{At, OFF, Tracker, announce_urls, ours_with};
use crate::{Proc, Scratch, create, noise, scratch, wait_for, write};

/// Long enough for a slow tracker round and a debug build on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(150);

/// A folder with a short last piece, an empty file and a file across piece borders.
pub const FILES: [(&str, usize); 4] = [
    ("a.bin", 700_000),
    ("deep/b.bin", 2_500_000),
    ("deep/empty", 0),
    ("z.bin", 1),
];

/// Pieces of [`Content::Many`], and their length in bytes.
pub const MANY: (u64, u64) = (10_000, 16 << 10);

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

/// What is in the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The folder of [`FILES`].
    Folder,
    /// One file of 10,000 pieces, all different.
    Many,
}

/// Data, its torrent, and perhaps a tracker.
#[derive(Debug)]
pub struct Scene<'a> {
    started: Instant,
    /// What we run, listed for the time line at the end.
    name: String,
    content: Content,
    tracker: Option<Tracker<'a>>,
    /// In hexadecimal.
    pub infohash: String,
    /// Announce URLs, HTTP and UDP; empty without a tracker.
    pub urls: [String; 2],
    /// Where everything is.
    pub dir: Scratch,
}

impl<'a> Scene<'a> {
    /// The folder with a tracker at `at`; `None`, with a line that says so, without opentracker.
    ///
    /// # Panics
    /// When the torrent cannot be made or the tracker does not answer.
    pub fn new(at: At<'a>, made: Made) -> Option<Self> {
        Self::with_tracker(at, made, Content::Folder)
    }

    /// The same with other content.
    ///
    /// # Panics
    /// As [`Scene::new`].
    pub fn with_tracker(at: At<'a>, made: Made, content: Content) -> Option<Self> {
        let port = at.port(6969);
        let urls = announce_urls(at.ip(), port);
        let mut this = Self::make(made, content, &[&urls[0]], &[]);
        let hashes = [this.infohash.as_str()];
        this.tracker = Some(Tracker::start(this.dir.path(), at, port, &hashes)?);
        this.urls = urls;
        Some(this)
    }

    /// The folder without a tracker of ours; `trackers` are named in the torrent, `more` are flags of `create`.
    ///
    /// # Panics
    /// When the torrent cannot be made.
    pub fn without_tracker(trackers: &[&str], more: &[&str]) -> Self {
        Self::make(Made::ByUs, Content::Folder, trackers, more)
    }

    fn make(made: Made, content: Content, trackers: &[&str], more: &[&str]) -> Self {
        let dir = scratch();
        let (data, torrent) = (dir.path().join("source/data"), dir.path().join("t.torrent"));
        match content {
            Content::Folder => {
                for (i, (name, len)) in FILES.iter().enumerate() {
                    write(&data.join(name), &noise(i as u64, *len));
                }
            }
            Content::Many => many(&data),
        }
        let tracker = trackers.first().copied().unwrap_or_default();
        let infohash = match made {
            Made::ByUs => {
                let length = if content == Content::Many {
                    "16KiB"
                } else {
                    "64KiB"
                };
                let mut flags = vec!["--piece-length", length];
                for tracker in trackers {
                    flags.extend(["--tracker", tracker]);
                }
                flags.extend(more);
                create(&data, &torrent, &flags)
            }
            Made::Padded => create_by_libtorrent(&data, &torrent, tracker, "padded"),
            Made::Hybrid => create_by_libtorrent(&data, &torrent, tracker, "hybrid"),
        };
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        Self {
            started: Instant::now(),
            name,
            content,
            tracker: None,
            infohash,
            urls: Default::default(),
            dir,
        }
    }

    /// Makes the torrent anew with the UDP announce URL.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn only_udp(&mut self) {
        let (data, torrent) = (
            self.source().join("data"),
            self.dir.path().join("t.torrent"),
        );
        let flags = ["--piece-length", "64KiB", "--tracker", &self.urls[1]];
        assert_eq!(create(&data, &torrent, &flags), self.infohash);
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
            let peers = self.opentracker().peers(&self.infohash);
            peers.filter(|p| *p == (complete, incomplete))
        });
    }

    /// Waits until the tracker knows of a complete peer, whoever else it knows.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn seed_announced(&self) {
        wait_for("the tracker knows a seed", DEADLINE, || {
            let peers = self.opentracker().peers(&self.infohash);
            peers.filter(|p| p.0 >= 1)
        });
    }

    /// How many downloads the tracker was told are complete.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn downloads(&self) -> u32 {
        self.opentracker()
            .downloads(&self.infohash)
            .expect("the tracker answers")
    }

    fn opentracker(&self) -> &Tracker<'a> {
        self.tracker.as_ref().expect("a scene with a tracker")
    }

    /// Starts `chunkcast seed` and waits until the tracker knows it.
    pub fn we_seed(&self, at: At<'_>) -> Proc {
        let seed = self.we_start_seeding(at, &OFF);
        self.announced(1, 0);
        seed
    }

    /// Starts `chunkcast seed` with these flags.
    pub fn we_start_seeding(&self, at: At<'_>, more: &[&str]) -> Proc {
        let (torrent, data) = (self.torrent(), self.path("source/data"));
        let args = [&["seed", &torrent, "--data", &data], more].concat();
        ours_with("seed", self.dir.path(), at, &args)
    }

    /// Starts `chunkcast get` with these flags.
    pub fn we_start_getting(&self, at: At<'_>, source: &str, more: &[&str]) -> Proc {
        let copy = self.path("copy");
        let args = [&["get", source, "-o", &copy], more].concat();
        ours_with("get", self.dir.path(), at, &args)
    }

    /// Downloads with `chunkcast get` and these flags.
    ///
    /// # Panics
    /// When it fails.
    pub fn we_fetch(&self, at: At<'_>, source: &str, more: &[&str]) -> Proc {
        let mut get = self.we_start_getting(at, source, more);
        let status = get.wait(DEADLINE);
        assert!(status.success(), "{}", get.log());
        assert_eq!(get.events("complete").len(), 1, "{}", get.log());
        get
    }

    /// Downloads with `chunkcast get` and these flags, and compares.
    ///
    /// # Panics
    /// When it fails, or a byte differs.
    pub fn we_get(&self, at: At<'_>, source: &str, more: &[&str]) -> Proc {
        let get = self.we_fetch(at, source, more);
        self.assert_equal();
        if self.content == Content::Folder {
            let mut found = files_below(&self.copy());
            found.sort();
            let expected = FILES.map(|(name, _)| self.copy().join("data").join(name));
            assert_eq!(found, expected, "the torrent's files and no others");
        }
        get
    }

    /// Makes the copy of [`Content::Many`] with every piece but each `n`-th.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn copy_all_but_each(&self, n: u64) {
        let path = self.copy().join("data");
        many(&path);
        let file = File::options().write(true).open(path).expect("a file");
        for piece in (0..MANY.0).filter(|piece| piece % n == 0) {
            file.write_all_at(&[0; 8], piece * MANY.1).expect("written");
        }
    }

    /// Compares the copy.
    ///
    /// # Panics
    /// When a byte differs.
    pub fn assert_equal(&self) {
        assert!(
            self.is_equal(&self.copy(), None),
            "the copy differs from the source"
        );
    }

    /// Whether all the files below `copy`, or these of them, are there and as in the source. Transmission makes no empty
    /// files, and so they may be missing.
    pub fn is_equal(&self, copy: &Path, files: Option<&[usize]>) -> bool {
        if self.content == Content::Many {
            return same_file(&copy.join("data"), &self.source().join("data"));
        }
        FILES.iter().enumerate().all(|(i, (name, len))| {
            let path = copy.join("data").join(name);
            let unwanted = files.is_some_and(|f| !f.contains(&i));
            unwanted
                || *len == 0
                || std::fs::read(&path).is_ok_and(|got| got == noise(i as u64, *len))
        })
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

/// A file of [`MANY`] pieces: each begins with its number, the rest is a hole and costs no disk.
fn many(path: &Path) {
    std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders");
    let file = File::create(path).expect("a file");
    let (pieces, length) = MANY;
    file.set_len(pieces * length).expect("a length");
    for piece in 0..pieces {
        let number = (piece + 1).to_be_bytes();
        file.write_all_at(&number, piece * length).expect("written");
    }
}

/// Compared in parts: files of [`Content::Many`] are large.
fn same_file(a: &Path, b: &Path) -> bool {
    let (Ok(mut a), Ok(mut b)) = (File::open(a), File::open(b)) else {
        return false;
    };
    let len = |f: &File| f.metadata().map(|m| m.len()).unwrap_or_default();
    if len(&a) != len(&b) {
        return false;
    }
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    // both lengths are a multiple of the parts'
    for _ in 0..len(&a) >> 16 {
        let read = a
            .read_exact(&mut left)
            .and_then(|()| b.read_exact(&mut right));
        if read.is_err() || left != right {
            return false;
        }
    }
    true
}

/// Makes a torrent with libtorrent, "padded" or "hybrid", and the padding files beside the data; its v1 infohash.
///
/// # Panics
/// When it fails.
pub fn create_by_libtorrent(data: &Path, torrent: &Path, tracker: &str, kind: &str) -> String {
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
