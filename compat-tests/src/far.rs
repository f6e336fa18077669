//! Distance on loopback: a UDP port that passes datagrams on to another one and back, each after a while. What speaks uTP
//! through it (BEP 29) measures that round-trip time, and who is behind it is far.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often threads look whether they shall end.
const LOOK: Duration = Duration::from_millis(100);

/// Callers at a time; strangers may still write to who had the port before.
const CALLERS: usize = 16;

/// A way that takes time; it ends when this is dropped.
#[derive(Debug)]
pub struct Far {
    /// Where its near end is.
    pub addr: SocketAddr,
    end: Arc<AtomicBool>,
}

/// A datagram, and when it arrives.
type Travelling = (Instant, Vec<u8>);

impl Far {
    /// A way to a UDP port of loopback, with this round-trip time.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn to(port: u16, rtt: Duration) -> Self {
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port"));
        let addr = near.local_addr().expect("bound");
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        thread::spawn(move || {
            // each caller's datagrams go on from a port of its own, as behind a router
            let mut callers = BTreeMap::new();
            receive(&near.clone(), &ended, |from, bytes| {
                if !callers.contains_key(&from) && callers.len() < CALLERS {
                    callers.insert(from, way(&near, from, port, rtt / 2, &ended));
                }
                let way: Option<&Sender<Travelling>> = callers.get(&from);
                way.map(|way| way.send((Instant::now() + rtt / 2, bytes)));
            });
        });
        Self { addr, end }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
    }
}

/// The way of one caller: what goes in travels to `port`, what comes from there back to the caller.
fn way(
    near: &Arc<UdpSocket>,
    caller: SocketAddr,
    port: u16,
    after: Duration,
    end: &Arc<AtomicBool>,
) -> Sender<Travelling> {
    let far = UdpSocket::bind("127.0.0.1:0").expect("a port");
    far.connect(("127.0.0.1", port)).expect("an address");
    let far = Arc::new(far);
    let ((there, leaving), (back, returning)) = (channel(), channel());
    let (near, behind, end) = (near.clone(), far.clone(), end.clone());
    // who is gone gets nothing, as on any network
    thread::spawn(move || deliver(&leaving, |bytes| drop(behind.send(bytes))));
    thread::spawn(move || deliver(&returning, |bytes| drop(near.send_to(bytes, caller))));
    thread::spawn(move || {
        receive(&far, &end, |_, bytes| {
            let _ = back.send((Instant::now() + after, bytes));
        });
    });
    there
}

fn receive(socket: &UdpSocket, end: &AtomicBool, mut heard: impl FnMut(SocketAddr, Vec<u8>)) {
    let _ = socket.set_read_timeout(Some(LOOK));
    let mut buffer = vec![0; 1 << 16];
    while !end.load(Ordering::Acquire) {
        // otherwise nothing for a while, or a port that is not open yet
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            heard(from, buffer[..length].to_vec());
        }
    }
}

fn deliver(from: &Receiver<Travelling>, mut send: impl FnMut(&[u8])) {
    let mut travelling: VecDeque<Travelling> = VecDeque::new();
    loop {
        let now = Instant::now();
        while travelling.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = travelling.pop_front().expect("there is one");
            send(&bytes);
        }
        let wait = travelling.front().map_or(LOOK, |(at, _)| *at - now);
        match from.recv_timeout(wait) {
            Ok(datagram) => travelling.push_back(datagram),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
