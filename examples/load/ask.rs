//! The asker: a fixed number of requests under way, each answer makes room for the next.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use chunkcast::auth::seal::Seal;

use crate::process::Child;
use crate::serve::KEY;

/// Without an answer for so long, what is under way was lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// A round ends after so long whatever is missing.
const ROUND: Duration = Duration::from_secs(20);
/// After a round the server falls asleep, which brings its processor time up to date.
const SETTLE: Duration = Duration::from_millis(5);

const PING: &[u8] = b"d1:ki0e";

/// Requests of one kind.
pub(crate) trait Load {
    /// The `n`-th request.
    fn request(&mut self, n: u32) -> &[u8];

    /// Whether this is the answer that was hoped for.
    fn is_answer(&self, datagram: &[u8]) -> bool;
}

/// What a round measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) answered: u32,
    /// Answered otherwise, or not at all.
    pub(crate) failed: u32,
    pub(crate) elapsed: Duration,
    pub(crate) cpu_ns: u64,
    pub(crate) request_bytes: usize,
    pub(crate) answer_bytes: usize,
}

/// A socket that asks one server.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: UdpSocket,
    window: u32,
    /// In a closed network.
    seal: Option<Seal>,
}

impl Asker {
    pub(crate) fn new(server: SocketAddr, window: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            window,
            seal: None,
        })
    }

    /// The same in the closed network.
    pub(crate) fn sealed(server: SocketAddr, window: u32) -> io::Result<Self> {
        let asker = Self::new(server, window)?;
        let session = asker.socket.local_addr()?.port().to_be_bytes();
        let session = [session, session, session, session].concat();
        let session = session.try_into().expect("four of two bytes");
        Ok(Self {
            seal: Some(Seal::new(&KEY, session, Default::default())),
            ..asker
        })
    }

    /// Sends a request; how many bytes it takes.
    fn send(&mut self, request: &[u8]) -> io::Result<usize> {
        match &mut self.seal {
            None => self.socket.send(request),
            Some(seal) => self.socket.send(&seal.seal(request, wall())),
        }
    }

    /// Receives an answer; how many bytes it takes, and what is in it.
    fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<(usize, &'a [u8])> {
        let n = self.socket.recv(buffer)?;
        let payload = match &mut self.seal {
            None => &buffer[..n],
            Some(seal) => seal.open(&buffer[..n], wall()).map_err(io::Error::other)?,
        };
        Ok((n, payload))
    }

    /// Its own address, as the server sees it.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// One request and its answer; asked again a few times when nothing comes. A node that hears of this address asks
    /// back; that is no answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 2048];
        for _ in 0..20 {
            let sent = self.send(request);
            match sent.and_then(|_| self.receive(&mut buffer)) {
                Ok((_, answer)) if answer.starts_with(PING) => {}
                Ok((_, answer)) => return Ok(answer.to_vec()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => std::thread::sleep(PATIENCE / 10), // nobody listens there yet
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer from {}", self.socket.peer_addr()?),
        ))
    }

    /// `n` requests at the server, as fast as it answers.
    pub(crate) fn round(
        &mut self,
        server: &Child,
        load: &mut impl Load,
        n: u32,
    ) -> io::Result<Round> {
        let mut buffer = [0; 2048];
        let mut round = Round {
            answered: 0,
            failed: 0,
            elapsed: Duration::ZERO,
            cpu_ns: 0,
            request_bytes: 0,
            answer_bytes: 0,
        };
        let cpu = server.cpu_ns()?;
        let began = Instant::now();
        let mut sent = 0;
        while round.answered + round.failed < n && began.elapsed() < ROUND {
            while sent < n && sent - round.answered - round.failed < self.window {
                round.request_bytes = self.send(load.request(sent))?;
                sent += 1;
            }
            match self.receive(&mut buffer) {
                Ok((len, answer)) if load.is_answer(answer) => {
                    round.answered += 1;
                    round.answer_bytes = len;
                }
                Ok(_) => round.failed += 1,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    round.failed = sent - round.answered;
                }
                Err(e) => return Err(e),
            }
        }
        round.elapsed = began.elapsed();
        std::thread::sleep(SETTLE);
        round.cpu_ns = server.cpu_ns()? - cpu;
        Ok(round)
    }
}

/// Time since 1970.
pub(crate) fn wall() -> Duration {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.unwrap_or_default()
}
