//! An HTTP tracker that writes down what it is told (BEP 3, 7, 23).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One announce: the query's values by name, percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce(BTreeMap<String, Vec<u8>>);

impl Announce {
    /// A value as text; empty when it was not sent.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    /// A value; empty when it was not sent.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A number.
    ///
    /// # Panics
    /// When it is none.
    pub fn number(&self, name: &str) -> u64 {
        let text = self.text(name);
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is no number: {self:?}"))
    }
}

/// The tracker: a thread that ends with this. Its interval is half an hour, or a minute for those who need more peers.
#[derive(Debug)]
pub struct HttpTracker {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    announces: Mutex<Vec<Announce>>,
    peers: Mutex<Vec<SocketAddr>>,
    registers: bool,
    end: AtomicBool,
}

impl HttpTracker {
    /// A tracker on loopback that knows nobody.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start() -> Self {
        Self::bind("127.0.0.1:0", false)
    }

    /// A tracker on IPv6 loopback that tells everyone of all who announced.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start_v6() -> Self {
        Self::bind("[::1]:0", true)
    }

    fn bind(addr: &str, registers: bool) -> Self {
        let listener = TcpListener::bind(addr).expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            registers,
            ..Shared::default()
        });
        let served = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.end.load(Ordering::Acquire) {
                    break;
                }
                // whoever asks badly gets no answer
                let _ = served.answer(&stream);
            }
        });
        Self { addr, shared }
    }

    /// Its announce URL.
    pub fn url(&self) -> String {
        format!("http://{}/announce", self.addr)
    }

    /// Everyone is told of this peer from now on.
    pub fn tell_of(&self, peer: impl Into<SocketAddr>) {
        lock(&self.shared.peers).push(peer.into());
    }

    /// What it was told so far, in order.
    pub fn announces(&self) -> Vec<Announce> {
        lock(&self.shared.announces).clone()
    }

    /// The events that it was told, in order, regular announces left out.
    pub fn events(&self) -> Vec<String> {
        let events = self.announces().into_iter().map(|a| a.text("event"));
        events.filter(|e| !e.is_empty()).collect()
    }
}

impl Drop for HttpTracker {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        reader.read_line(&mut request).ok()?;
        let mut header = request.clone();
        while header.trim() != "" {
            header.clear();
            reader.read_line(&mut header).ok()?;
        }
        let query = request.split(' ').nth(1)?.split_once('?')?.1;
        let pairs = query.split('&').filter_map(|p| p.split_once('='));
        let announce = Announce(pairs.map(|(k, v)| (k.to_owned(), decoded(v))).collect());
        let mut known = lock(&self.peers);
        if self.registers {
            let port: u16 = announce.text("port").parse().ok()?;
            let peer = SocketAddr::new(stream.peer_addr().ok()?.ip(), port);
            if !known.contains(&peer) {
                known.push(peer);
            }
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for peer in known.iter() {
            let (list, octets) = match peer.ip() {
                IpAddr::V4(ip) => (&mut v4, ip.octets().to_vec()),
                IpAddr::V6(ip) => (&mut v6, ip.octets().to_vec()),
            };
            list.extend(octets);
            list.extend(peer.port().to_be_bytes());
        }
        drop(known);
        lock(&self.announces).push(announce);
        let mut body = b"d8:intervali1800e12:min intervali60e".to_vec();
        for (key, list) in [("peers", v4), ("peers6", v6)] {
            body.extend(format!("{}:{key}{}:", key.len(), list.len()).bytes());
            body.extend(list);
        }
        body.push(b'e');
        let len = body.len();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        stream.write_all(&body).ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Percent-decoded.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}
