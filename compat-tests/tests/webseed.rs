//! One web server and the torrent that `chunkcast create --web-seed` wrote: stock clients and ours download the same from
//! it, without a peer or a tracker.

#![allow(
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a web server of the test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkcast_compat_tests::stock::{
    At, Mode, Transmission, aria2, libtorrent, libtorrent_installed, ours,
};
use chunkcast_compat_tests::{Proc, Scratch, chunkcast, scratch, wait_for, write};

const HERE: At<'static> = At::Loopback;
const DEADLINE: Duration = Duration::from_secs(60);

/// Serves what is below a folder, with ranges and keep-alive, until the test ends; its port.
fn serve(root: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || {
                let _ = connection(&stream, &root);
            });
        }
    });
    port
}

fn connection(stream: &TcpStream, root: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut out = stream;
    while let Some(first) = lines.next() {
        let path = decoded(first?.split(' ').nth(1).unwrap_or_default());
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            let bytes = line.strip_prefix("range: bytes=");
            range = range.or(bytes.and_then(|b| {
                let (first, last) = b.trim().split_once('-')?;
                Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()))
            }));
        }
        let Ok(mut file) = fs::File::open(root.join(path.trim_start_matches('/'))) else {
            out.write_all(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let total = file.metadata()?.len();
        let (first, last) = range.map_or((0, total - 1), |(first, last)| {
            (first, last.unwrap_or(total - 1).min(total - 1))
        });
        let head = match range {
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
            Some(_) => {
                format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{last}/{total}\r\n")
            }
        };
        let length = last + 1 - first;
        write!(
            out,
            "{head}Accept-Ranges: bytes\r\nContent-Length: {length}\r\n\r\n"
        )?;
        file.seek(SeekFrom::Start(first))?;
        std::io::copy(&mut file.take(length), &mut out)?;
    }
    Ok(())
}

/// Percent-decoded.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        out.push(u8::from_str_radix(hex, 16).expect("two digits"));
        out.extend(rest.as_bytes());
    }
    String::from_utf8(out).expect("UTF-8")
}

struct Published {
    dir: Scratch,
    /// Below the root of the server, and of every copy.
    files: Vec<(&'static str, Vec<u8>)>,
    torrent: String,
}

/// Files with names that need escaping, their torrent, and the server; a folder, or a single file.
fn publish(folder: bool) -> Published {
    let dir = scratch();
    let root = dir.path().join("www/pub");
    let bytes = |len: u32| (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    let files = match folder {
        true => vec![
            ("data set/a #1.bin", bytes(300_001).collect()),
            ("data set/sub dir/ü?.bin", bytes(70_000).collect()),
            ("data set/z", vec![7]),
        ],
        false => vec![("image 1.raw", bytes(1_000_003).collect())],
    };
    for (path, data) in &files {
        write(&root.join(path), data);
    }
    let port = serve(dir.path().join("www"));
    let name = if folder { "data set" } else { "image 1.raw" };
    let torrent = dir.path().join("made.torrent").display().to_string();
    let made = std::process::Command::new(chunkcast())
        .arg("create")
        .arg(root.join(name))
        .args(["-o", &torrent, "--web-seed"])
        .arg(format!("http://127.0.0.1:{port}/pub/"))
        .output()
        .expect("chunkcast runs");
    assert!(made.status.success(), "{made:?}");
    Published {
        dir,
        files,
        torrent,
    }
}

impl Published {
    fn copy(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    fn assert_equal(&self, copy: &Path) {
        for (path, data) in &self.files {
            let got = fs::read(copy.join(path)).expect("the copy");
            assert!(got == *data, "{path} differs");
        }
    }

    fn ended(&self, mut client: Proc, copy: &Path) {
        let status = client.wait(DEADLINE);
        assert!(status.success(), "{status}: {}", client.log());
        self.assert_equal(copy);
    }
}

#[test]
fn we_download_what_we_published() {
    for folder in [false, true] {
        let published = publish(folder);
        let copy = published.copy("ours");
        let output = copy.display().to_string();
        let args = ["get", &published.torrent, "-o", &output, "--timeout", "30"];
        let get = ours("get", published.dir.path(), &args);
        published.ended(get, &copy);
    }
}

#[test]
fn aria2_downloads_it_too() {
    for folder in [false, true] {
        let published = publish(folder);
        let (dir, copy) = (published.dir.path(), published.copy("aria2"));
        let Some(get) = aria2(dir, HERE, &published.torrent, &copy, Mode::Get) else {
            return;
        };
        published.ended(get, &copy);
    }
}

#[test]
fn libtorrent_downloads_it_too() {
    if !libtorrent_installed() {
        return;
    }
    for folder in [false, true] {
        let published = publish(folder);
        let (dir, copy) = (published.dir.path(), published.copy("libtorrent"));
        let get = libtorrent(dir, HERE, &published.torrent, &copy, Mode::Get);
        published.ended(get, &copy);
    }
}

/// A single file alone: Transmission 3.00 was seen to leave the folder of this test unfinished.
#[test]
fn transmission_downloads_a_single_file_too() {
    let published = publish(false);
    let (dir, copy) = (published.dir.path(), published.copy("transmission-data"));
    let Some(get) = Transmission::start(dir, HERE) else {
        return;
    };
    get.add(&published.torrent, &copy);
    wait_for("Transmission is done", DEADLINE, || {
        get.percent().filter(|p| *p >= 100.0)
    });
    published.assert_equal(&copy);
}
