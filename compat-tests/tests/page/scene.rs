//! Who is there: a daemon, an index node, and peers that are near and far.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chunkcast_compat_tests::browser::{Browser, Screen, WIDE};
use chunkcast_compat_tests::far::Far;
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::seedbox::Seedbox;
use chunkcast_compat_tests::stock::ours;
use chunkcast_compat_tests::{Proc, Scratch, create, noise, scratch, wait_for, write};
use serde_json::{Value, json};

/// Bytes of a piece, and pieces of a file.
const PIECE: usize = 64 << 10;
const EACH: usize = 6;

/// Files of the torrent: some seconds at the limits that the tests set.
pub(crate) const FILES: usize = 16;

/// How soon something on the page follows what is clicked.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A daemon, the index node that it knows, and peers of a folder of files: near ones that are in the directory and hold
/// some of the files each, far ones that hold everything and are told of by the magnet link.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    files: usize,
    pub(crate) hash: String,
    daemon: Seedbox,
    /// Where the far ones are.
    pub(crate) far: Vec<Far>,
    _peers: Vec<Proc>,
    // after those whose logs are in it
    pub(crate) dir: Scratch,
}

impl Scene {
    /// One near peer that holds everything.
    pub(crate) fn new(name: &'static str) -> Self {
        Self::with(name, FILES, 1, &[])
    }

    /// So many near peers, and far ones at these round-trip times in milliseconds. Without far ones the near ones hold
    /// everything, each.
    pub(crate) fn with(name: &'static str, files: usize, near: usize, far: &[u64]) -> Self {
        let dir = scratch();
        let source = dir.path().join("source").join(name);
        for file in 0..files {
            write(&source.join(path_of(file)), &content(file));
        }
        let torrent = dir.path().join("t.torrent");
        let hash = create(&source, &torrent, &["--piece-length", "64KiB"]);
        let torrent = torrent.display().to_string();
        let data = source.display().to_string();
        let seeding = |who: &str, more: &[&str]| {
            let args = ["seed", &torrent, "--data", &data];
            ours(who, dir.path(), &[&args, more].concat())
        };
        let mut peers = Vec::new();
        let mut index = String::new();
        for i in 0..near {
            let who = format!("near-{i}");
            let known: &[&str] = match i {
                0 => &[],
                _ => &["--bootstrap", &index],
            };
            let peer = match far {
                [] => seeding(&who, known),
                _ => {
                    let copy = dir.path().join(&who);
                    let some: Vec<usize> = (0..files).filter(|f| holds(i, *f)).collect();
                    for file in &some {
                        write(&copy.join(name).join(path_of(*file)), &content(*file));
                    }
                    let some: Vec<String> = some.iter().map(usize::to_string).collect();
                    let (copy, some) = (copy.display().to_string(), some.join(","));
                    let args = ["get", &torrent, "-o", &copy, "--select", &some, "--seed"];
                    ours(&who, dir.path(), &[&args[..], known].concat())
                }
            };
            if i == 0 {
                index = of_metadata(&peer, "index");
            }
            peers.push(peer);
        }
        let far = far.iter().enumerate().map(|(i, rtt)| {
            // in the directory it would be met without the way to it, and be near
            let peer = seeding(&format!("far-{i}"), &["--no-index"]);
            let listen: SocketAddr = of_metadata(&peer, "listen").parse().expect("an address");
            peers.push(peer);
            Far::to(listen.port(), Duration::from_millis(*rtt))
        });
        let far = far.collect();
        let daemon = Seedbox::start(dir.path(), "127.0.0.1:0", &["--bootstrap", &index]);
        Self {
            dir,
            name,
            files,
            hash,
            daemon,
            far,
            _peers: peers,
        }
    }

    pub(crate) fn browser(&self, screen: Screen) -> Option<Browser> {
        let browser = Browser::start(self.dir.path(), screen)?;
        browser.open(&self.daemon.url);
        Some(browser)
    }

    pub(crate) fn magnet(&self) -> String {
        let far = self.far.iter().map(|far| format!("&x.pe={}", far.addr));
        format!(
            "magnet:?xt=urn:btih:{}{}",
            self.hash,
            far.collect::<String>()
        )
    }

    /// Where the daemon puts the folder.
    pub(crate) fn copy(&self) -> PathBuf {
        self.dir.path().join("data").join(self.name)
    }

    pub(crate) fn is_whole(&self) -> bool {
        (0..self.files).all(|file| {
            let copy = std::fs::read(self.copy().join(path_of(file)));
            copy.is_ok_and(|bytes| bytes == content(file))
        })
    }

    pub(crate) fn go(&self, browser: &Browser, tab: &str) {
        let place = format!("#/torrent/{}/{tab}", self.hash);
        browser.go(&place);
    }
}

fn path_of(file: usize) -> String {
    format!("part-{file:03}.bin")
}

fn content(file: usize) -> Vec<u8> {
    noise(file as u64, EACH * PIECE)
}

/// Whether a near peer holds a file: three of five, other ones for each, and of seven one that none of them has.
fn holds(near: usize, file: usize) -> bool {
    file % 7 != 3 && (file + near * 2) % 5 < 3
}

fn of_metadata(peer: &Proc, field: &str) -> String {
    wait_for(field, DEADLINE, || {
        let event = peer.events("metadata").pop()?;
        event[field].as_str().map(str::to_owned)
    })
}

/// A daemon that knows nobody, and a browser that shows nothing yet; `None` where there is no browser.
pub(crate) fn alone(dir: &Scratch) -> Option<(Seedbox, Browser)> {
    let daemon = Seedbox::start(dir.path(), "127.0.0.1:0", &["--no-index"]);
    let browser = Browser::start(dir.path(), WIDE)?;
    Some((daemon, browser))
}

/// Asks the daemon beside the page that the browser shows.
pub(crate) fn ask(browser: &Browser, method: &str, path: &str, body: &Value) -> Value {
    let asked = json!({ "method": method, "path": path, "body": body });
    browser.run(
        "const headers = { 'X-Chunkcast': '1', 'Content-Type': 'application/json' };
         const body = args.body === null ? undefined : JSON.stringify(args.body);
         const answer = await fetch(`/api/v1${args.path}`, { method: args.method, headers, body });
         if (!answer.ok) throw new Error(await answer.text());
         const text = await answer.text();
         return text === '' ? null : JSON.parse(text);",
        &asked,
    )
}

/// The text of the first such element, as an expression.
pub(crate) fn text_of(css: &str) -> String {
    format!("(document.querySelector({css:?})?.textContent ?? '')")
}

/// Whether a canvas has more than one colour, as an expression.
pub(crate) fn painted(css: &str) -> String {
    format!(
        "(() => {{ const c = document.querySelector({css:?}); if (!c?.width) return false;
           const d = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer);
           return new Set(d).size > 1; }})()"
    )
}
