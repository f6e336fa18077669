//! The asker: a fixed number of requests under way, each answer makes room for the next.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::process::Child;

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
}

impl Asker {
    pub(crate) fn new(server: SocketAddr, window: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, window })
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
            let answer = self
                .socket
                .send(request)
                .and_then(|_| self.socket.recv(&mut buffer));
            match answer {
                Ok(n) if buffer[..n].starts_with(PING) => {}
                Ok(n) => return Ok(buffer[..n].to_vec()),
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
                let request = load.request(sent);
                round.request_bytes = request.len();
                self.socket.send(request)?;
                sent += 1;
            }
            match self.socket.recv(&mut buffer) {
                Ok(len) if load.is_answer(&buffer[..len]) => {
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
