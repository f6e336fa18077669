//! A web server of files, with ranges (RFC 9110, 14): what a web seed is (BEP 19).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::http_tracker::decoded;

/// The server, on loopback: threads that end with this.
#[derive(Debug)]
pub struct WebServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    served: AtomicU64,
    end: AtomicBool,
}

impl WebServer {
    /// Serves what is below `root`.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            served: AtomicU64::new(0),
            end: AtomicBool::new(false),
        });
        let this = Self {
            addr,
            shared: shared.clone(),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.end.load(Ordering::Acquire) {
                    break;
                }
                let shared = shared.clone();
                // whoever asks badly, or hangs up, gets no more
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        this
    }

    /// The URL of the folder.
    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Bytes of files sent so far.
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Acquire)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(stream);
        while !self.end.load(Ordering::Acquire) {
            let mut request = String::new();
            reader.read_line(&mut request)?;
            let mut range = None;
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header)? == 0 {
                    return Ok(());
                }
                if header.trim().is_empty() {
                    break;
                }
                let header = header.to_ascii_lowercase();
                range = range.or(header.strip_prefix("range: bytes=").and_then(bounds));
            }
            self.answer(stream, &request, range)?;
        }
        Ok(())
    }

    fn answer(&self, mut to: &TcpStream, request: &str, range: Option<Bounds>) -> io::Result<()> {
        let mut words = request.split(' ');
        let (method, path) = (words.next(), words.next().unwrap_or_default());
        let path = String::from_utf8_lossy(&decoded(path)).into_owned();
        let path = self.root.join(path.trim_start_matches('/'));
        let Some(mut file) = File::open(&path).ok().filter(|_| path.is_file()) else {
            return to.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let len = file.metadata()?.len();
        let (first, last) = range.unwrap_or((0, None));
        let end = last.map_or(len, |last| len.min(last + 1));
        let part = end.saturating_sub(first);
        let status = match range {
            Some(_) => format!(
                "206 Partial Content\r\nContent-Range: bytes {first}-{}/{len}",
                end.max(1) - 1
            ),
            None => "200 OK".to_owned(),
        };
        write!(
            to,
            "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nContent-Length: {part}\r\n\r\n"
        )?;
        if method == Some("GET") {
            file.seek(SeekFrom::Start(first))?;
            let sent = io::copy(&mut file.take(part), &mut to)?;
            self.served.fetch_add(sent, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// The first byte, and the last one unless it is the file's.
type Bounds = (u64, Option<u64>);

fn bounds(text: &str) -> Option<Bounds> {
    let (first, last) = text.trim().split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()))
}
