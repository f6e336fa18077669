//! Many downloaders in one process: each has an address and a connection of its own, takes everything from one seed,
//! checks it, and gives nothing to the others, so that what each gets is what the seed's policy gives it.
//!
//! All connect first; when they have, or after [`GATHERING`], the clock starts and all are interested. A thread each, and
//! the plain protocol (BEP 3): [`WINDOW`] requests under way, what a choke takes away is asked for again, every piece is
//! told of when it is here, as a seed that reveals its pieces one by one needs.

mod picking;
mod wire;

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::{Value, json};

use crate::cli::LeechArgs;
use picking::{Arrival, Picker, Torrent};
use wire::{BLOCK, Message};

/// Requests of a downloader under way: a piece of 256 KiB, and what clients begin with. // guess
const WINDOW: usize = 16;

/// The clock starts after so long at the latest, for seeds that refuse some. // guess
const GATHERING: Duration = Duration::from_secs(3);

/// Who was refused waits so long, and twice as long each time until [`LONGEST_PAUSE`]. // guess
const PAUSE: Duration = Duration::from_millis(500);

/// See [`PAUSE`]. // guess: a seed that serves some at a time finds the next soon
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A thread's stack: it holds a few addresses.
const STACK: usize = 256 << 10;

/// What one downloader came to.
#[derive(Debug, Default)]
struct Came {
    seconds: Option<f64>,
    /// The first block's.
    first: Option<f64>,
    bytes: u64,
    connections: u32,
    /// Pieces that were wrong.
    wrong: u32,
    /// What ended the last connection.
    fault: Option<String>,
}

/// Runs all of them at once; one object with what each came to.
///
/// # Errors
/// When the arguments do not fit, or a thread cannot be had.
pub(crate) fn run(args: &LeechArgs) -> Result<Value> {
    let torrent = Arc::new(torrent(args)?);
    let start = Arc::new(Start::new(args.n));
    let mut threads = Vec::new();
    for number in 0..args.n {
        let (torrent, start) = (torrent.clone(), start.clone());
        let leecher = Leecher {
            number: number as u64,
            own: address(args.first, number)?,
            from: args.from,
            torrent,
            start,
        };
        let timeout = args.timeout;
        let thread = std::thread::Builder::new().stack_size(STACK);
        threads.push(thread.spawn(move || leecher.run(timeout))?);
    }
    let mut peers = Vec::new();
    for thread in threads {
        let Ok(came) = thread.join() else {
            bail!("a downloader has panicked");
        };
        peers.push(json!({
            "seconds": came.seconds,
            "first_s": came.first,
            "bytes": came.bytes,
            "connections": came.connections,
            "wrong": came.wrong,
            "fault": came.fault,
        }));
    }
    Ok(json!({ "peers": peers }))
}

fn torrent(args: &LeechArgs) -> Result<Torrent> {
    let hashes =
        std::fs::read(&args.hashes).with_context(|| format!("`{}`", args.hashes.display()))?;
    let (hashes, rest) = hashes.as_chunks::<20>();
    ensure!(args.piece >= u64::from(BLOCK), "--piece is too small");
    let pieces = args.size.div_ceil(args.piece);
    ensure!(
        rest.is_empty() && hashes.len() as u64 == pieces,
        "`{}` is not {pieces} hashes",
        args.hashes.display()
    );
    let mut infohash = [0; 20];
    for (i, byte) in infohash.iter_mut().enumerate() {
        let digits = args.infohash.get(2 * i..2 * i + 2);
        *byte = digits
            .and_then(|d| u8::from_str_radix(d, 16).ok())
            .context("--infohash is not 40 hexadecimal digits")?;
    }
    Ok(Torrent {
        infohash,
        size: args.size,
        piece: u32::try_from(args.piece)?,
        hashes: hashes.to_vec(),
    })
}

/// The address of a downloader: 250 in each 256.
fn address(first: Ipv4Addr, number: usize) -> Result<Ipv4Addr> {
    let more = u32::try_from(number / 250 * 256 + number % 250)?;
    let own = u32::from(first).checked_add(more);
    own.map(Ipv4Addr::from).context("too many downloaders")
}

/// The moment at which all begin.
#[derive(Debug)]
struct Start {
    state: Mutex<Waiting>,
    changed: Condvar,
    latest: Instant,
}

#[derive(Debug)]
struct Waiting {
    /// Who is not connected yet.
    missing: usize,
    since: Option<Instant>,
}

impl Start {
    fn new(missing: usize) -> Self {
        Self {
            state: Mutex::new(Waiting {
                missing,
                since: None,
            }),
            changed: Condvar::new(),
            latest: Instant::now() + GATHERING,
        }
    }

    /// Says that one more is `connected`, or only waits; since when the clock has run.
    fn wait(&self, connected: bool) -> Instant {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if connected {
            state.missing = state.missing.saturating_sub(1);
        }
        loop {
            let now = Instant::now();
            if let Some(since) = state.since {
                return since;
            }
            if state.missing == 0 || now >= self.latest {
                state.since = Some(now);
                self.changed.notify_all();
                return now;
            }
            let left = self.latest - now;
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One downloader.
#[derive(Debug)]
struct Leecher {
    number: u64,
    own: Ipv4Addr,
    from: SocketAddrV4,
    torrent: Arc<Torrent>,
    start: Arc<Start>,
}

impl Leecher {
    fn run(&self, timeout: Duration) -> Came {
        let mut came = Came::default();
        let mut picker = Picker::new(&self.torrent, self.number);
        // until the common start there is one try
        let mut connection = self.connect(GATHERING);
        came.connections += 1;
        let begun = self.start.wait(connection.is_ok());
        let mut pause = PAUSE;
        loop {
            match connection.and_then(|c| self.download(c, &mut picker, &mut came, begun, timeout))
            {
                Ok(()) => {
                    came.seconds = Some(begun.elapsed().as_secs_f64());
                    came.fault = None;
                    return came;
                }
                Err(error) => came.fault = Some(format!("{error:#}")),
            }
            std::thread::sleep(pause.min(timeout.saturating_sub(begun.elapsed())));
            pause = LONGEST_PAUSE.min(pause * 2);
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return came;
            }
            picker.reconnected();
            came.connections += 1;
            connection = self.connect(left);
        }
    }

    /// A connection with both handshakes.
    fn connect(&self, patience: Duration) -> Result<BufReader<TcpStream>> {
        let mut stream = dial(self.own, self.from, patience)?;
        let id = format!("-NL0001-{:012}", self.number);
        let id = id.as_bytes().try_into().context("20 bytes")?;
        stream.write_all(&wire::handshake(&self.torrent.infohash, id))?;
        let mut from = BufReader::with_capacity(64 << 10, stream);
        wire::read_handshake(&mut from, &self.torrent.infohash).context("handshake")?;
        Ok(from)
    }

    /// Takes from one connection until everything is here.
    fn download(
        &self,
        mut from: BufReader<TcpStream>,
        picker: &mut Picker,
        came: &mut Came,
        begun: Instant,
        timeout: Duration,
    ) -> Result<()> {
        let mut stream = from.get_ref().try_clone()?;
        let left = timeout.saturating_sub(begun.elapsed());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut out = Vec::new();
        wire::interested(&mut out);
        stream.write_all(&out)?;
        let (mut choked, mut under_way) = (true, 0);
        while !picker.complete() {
            ensure!(begun.elapsed() < timeout, "not in time");
            out.clear();
            let message = wire::read(&mut from).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => anyhow!("not in time"),
                io::ErrorKind::UnexpectedEof => anyhow!("the seed has closed the connection"),
                _ => error.into(),
            })?;
            match message {
                Message::Choke => {
                    choked = true;
                    under_way = 0;
                    picker.forget_asked();
                }
                Message::Unchoke => choked = false,
                Message::Have(piece) => picker.have(piece),
                Message::Bitfield(bits) => picker.bitfield(&bits),
                Message::Block { piece, begin, len } => {
                    came.bytes += u64::from(len);
                    came.first
                        .get_or_insert_with(|| begun.elapsed().as_secs_f64());
                    match picker.room(piece, begin, len) {
                        Some(room) => from.read_exact(room)?,
                        None => skip(&mut from, len)?,
                    }
                    match picker.arrived(&self.torrent, piece, begin) {
                        Arrival::Unasked => continue,
                        Arrival::Kept => {}
                        Arrival::Piece => wire::have(&mut out, piece),
                        Arrival::Wrong => came.wrong += 1,
                    }
                    under_way = usize::saturating_sub(under_way, 1);
                }
                Message::Other => {}
            }
            // half a window at a time: two dozen bytes are not worth a packet
            if !choked && under_way <= WINDOW / 2 {
                while under_way < WINDOW
                    && let Some((piece, begin, len)) = picker.next(&self.torrent)
                {
                    wire::request(&mut out, piece, begin, len);
                    under_way += 1;
                }
            }
            if !out.is_empty() {
                stream.write_all(&out)?;
            }
        }
        Ok(())
    }
}

fn skip(from: &mut impl Read, len: u32) -> Result<()> {
    io::copy(&mut from.take(len.into()), &mut io::sink())?;
    Ok(())
}

/// A connection from `own`; no step of it takes longer than `patience`.
fn dial(own: Ipv4Addr, to: SocketAddrV4, patience: Duration) -> Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    // a connect is bounded by it too
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
    bind(&socket, &SocketAddr::from((own, 0))).context("the downloader's own address")?;
    connect(&socket, &SocketAddr::from(to)).context("connect")?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};
    use std::net::TcpListener;

    /// A seed for one connection, which chokes after every `choke_after` blocks and sends one block that was not asked for.
    fn seed(listener: TcpListener, infohash: [u8; 20], data: Vec<u8>, choke_after: usize) {
        let (mut stream, _) = listener.accept().expect("a downloader");
        let mut hello = [0; 68];
        stream.read_exact(&mut hello).expect("a handshake");
        let id = b"-XX0000-000000000000";
        stream
            .write_all(&wire::handshake(&infohash, id))
            .expect("written");
        stream.write_all(&[0, 0, 0, 2, 5, 0xff]).expect("written");
        let mut blocks = 0;
        let mut head = [0; 5];
        while stream.read_exact(&mut head).is_ok() {
            let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let mut body = vec![0; len - 1];
            stream.read_exact(&mut body).expect("a message");
            let mut out = Vec::new();
            match head[4] {
                2 => out.extend_from_slice(&[0, 0, 0, 1, 1]),
                6 => {
                    let number = |i: usize| {
                        u32::from_be_bytes([body[i], body[i + 1], body[i + 2], body[i + 3]])
                            as usize
                    };
                    let (piece, begin, len) = (number(0), number(4), number(8));
                    let from = (piece << 15) + begin;
                    let framed = u32::try_from(len + 9).expect("short").to_be_bytes();
                    out.extend_from_slice(&framed);
                    out.push(7);
                    out.extend_from_slice(&body[..8]);
                    out.extend_from_slice(&data[from..from + len]);
                    blocks += 1;
                    if blocks == 1 {
                        // the same again: it is no longer asked for
                        out.extend_from_within(..);
                    }
                    if blocks % choke_after == 0 {
                        out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 1, 1]);
                    }
                }
                _ => {}
            }
            if stream.write_all(&out).is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_downloader_gets_everything_from_a_seed_that_chokes() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i % 253) as u8).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let SocketAddr::V4(from) = listener.local_addr().expect("bound") else {
            panic!("IPv4 was asked for");
        };
        let copy = data.clone();
        std::thread::spawn(move || seed(listener, [7; 20], copy, 3));
        let dir = tempfile::tempdir().expect("a directory");
        let hashes = dir.path().join("hashes");
        let all: Vec<u8> = data.chunks(32 << 10).flat_map(Sha1::digest).collect();
        std::fs::write(&hashes, all).expect("written");
        let args = LeechArgs {
            from,
            first: Ipv4Addr::LOCALHOST,
            n: 1,
            infohash: "07".repeat(20),
            hashes,
            size: 100_000,
            piece: 32 << 10,
            timeout: Duration::from_secs(60),
        };
        let report = run(&args).expect("it runs");
        let peer = &report["peers"][0];
        assert!(
            peer["seconds"].as_f64().is_some_and(|s| s > 0.0),
            "{report}"
        );
        assert_eq!(
            (&peer["connections"], &peer["wrong"]),
            (&json!(1), &json!(0))
        );
        // one block came twice at least, and those that a choke overtook
        let bytes = peer["bytes"].as_u64().expect("counted");
        assert!(bytes >= 100_000 + u64::from(BLOCK), "{report}");
    }

    #[test]
    fn who_finds_nobody_has_failed_and_says_why() {
        let dir = tempfile::tempdir().expect("a directory");
        let hashes = dir.path().join("hashes");
        std::fs::write(&hashes, [0; 20]).expect("written");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let Ok(SocketAddr::V4(from)) = port else {
            panic!("a port");
        };
        let mut args = LeechArgs {
            from,
            first: Ipv4Addr::LOCALHOST,
            n: 2,
            infohash: "07".repeat(20),
            hashes,
            size: 20_000,
            piece: 32 << 10,
            timeout: Duration::ZERO,
        };
        let report = run(&args).expect("it runs");
        assert_eq!(report["peers"].as_array().map(Vec::len), Some(2));
        assert!(report["peers"][1]["seconds"].is_null(), "{report}");
        assert!(
            report["peers"][1]["fault"]
                .as_str()
                .is_some_and(|f| f.starts_with("connect"))
        );
        args.size = 40_000;
        assert!(run(&args).is_err(), "two pieces have two hashes");
    }

    #[test]
    fn addresses_follow_each_other_and_leave_out_the_last_of_each_256() {
        let first = Ipv4Addr::new(10, 77, 1, 1);
        let at = |number| address(first, number).expect("in range");
        assert_eq!(at(0), first);
        assert_eq!(at(249), Ipv4Addr::new(10, 77, 1, 250));
        assert_eq!(at(250), Ipv4Addr::new(10, 77, 2, 1));
        assert_eq!(at(999), Ipv4Addr::new(10, 77, 4, 250));
        assert!(address(Ipv4Addr::BROADCAST, 1).is_err());
    }
}
