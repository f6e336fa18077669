//! uTP (BEP 29): connections over one UDP socket, beside TCP.
//!
//! The protocol is `librqbit-utp`'s (its congestion control is CUBIC, not LEDBAT); the socket under it is ours, because
//! the crate's own gives up for ever at the first receive error, shares its port with whoever else sets SO_REUSEADDR, and
//! warns of kernel limits. Also the crate sends one SYN and waits: [`UtpEndpoint::connect`] sends another when one got lost.
//!
//! At most [`MOST_STREAMS`] connections at a time, each with at most [`RECEIVE_BUFFER`] bytes that we have not read and
//! [`SEND_BUFFER`] bytes that the peer has not acknowledged; beyond that no SYN is answered. As long as a connection is not read its
//! window closes, so that memory budget and rate limits slow the peer down as over TCP.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dontfrag::UdpSocketExt as _;
use librqbit_dualstack_sockets::PollSendToVectored;
use librqbit_utp::{SocketOpts, UtpSocket, UtpSocketUdp};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::canonical;
use super::stream::{Stream, Transport};

/// Connections at a time, those that are being closed included.
pub const MOST_STREAMS: usize = 128; // librqbit-utp's default

/// Bytes of a connection that have come and that we have not read: what may be on its way in one round trip.
pub const RECEIVE_BUFFER: usize = 256 * 1024; // guess: 5 MB/s over 50 ms

/// Bytes of a connection on their way to the peer; it begins with an eighth.
pub const SEND_BUFFER: usize = 256 * 1024; // as RECEIVE_BUFFER

/// Largest datagram that is tried, with its headers. Not Ethernet's 1500: tunnels and PPPoE take less, and what they drop without
/// a word costs time-outs.
const LINK_MTU: usize = 1400; // guess: the usual tunnels

/// What the kernel is asked to hold of datagrams; it may grant less.
const KERNEL_BUFFER: usize = 2 * 1024 * 1024; // guess: a burst on all connections

/// Waits for an answer to each SYN, one after the other. // TCP's first time-outs (RFC 6298)
const SYN_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// After a receive error, so that one that stays does not take a whole core.
const AFTER_ERROR: Duration = Duration::from_millis(20); // guess

/// What `librqbit-utp` calls its environment (clock and random numbers), which it does not export by name.
trait WithEnvironment {
    type Environment;
}

impl<T, E> WithEnvironment for UtpSocket<T, E> {
    type Environment = E;
}

type Environment = <UtpSocketUdp as WithEnvironment>::Environment;

/// The uTP side of a session: connections in and out over one UDP socket. Dropping it ends them all.
pub struct UtpEndpoint {
    socket: Arc<UtpSocket<Datagrams, Environment>>,
    bound: SocketAddr,
    _end: DropGuard,
}

impl std::fmt::Debug for UtpEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UtpEndpoint")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

impl UtpEndpoint {
    /// Binds `addr`, where `[::]` takes IPv4 too. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the system says, above all that the port is in use.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let datagrams = Datagrams::bind(addr)?;
        let bound = datagrams.bound;
        let end = CancellationToken::new();
        let options = SocketOpts {
            vsock_rx_bufsize_bytes: NonZeroUsize::new(RECEIVE_BUFFER),
            vsock_tx_bufsize_bytes_initial: NonZeroUsize::new(SEND_BUFFER / 8),
            vsock_tx_bufsize_bytes_max: NonZeroUsize::new(SEND_BUFFER),
            max_live_vsocks: NonZeroUsize::new(MOST_STREAMS),
            link_mtu: NonZeroUsize::new(LINK_MTU),
            mtu_probe_max_retransmissions: Some(0), // a probe that is lost is taken for one that is too large
            disable_nagle: true, // requests are not to wait for acknowledgements, as over TCP
            cancellation_token: end.clone(),
            ..SocketOpts::default()
        };
        let socket = UtpSocket::new_with_opts(datagrams, Environment::default(), options);
        Ok(Self {
            socket: socket.map_err(io::Error::other)?,
            bound,
            _end: end.drop_guard(),
        })
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound
    }

    /// The next caller.
    ///
    /// # Errors
    /// There will be no more: the task behind the socket has ended.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let stream = self.socket.accept().await.map_err(io::Error::other)?;
        let remote = canonical(stream.remote_addr());
        Ok((Stream::new(Transport::Utp, stream), remote))
    }

    /// Connects to a peer, which has three seconds to answer.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] without an answer, which is also what a peer without uTP gives; others of the socket.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        if addr.is_ipv6() && self.bound.is_ipv4() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        for wait in SYN_WAITS {
            match timeout(wait, self.socket.connect(addr)).await {
                Ok(Ok(stream)) => return Ok(Stream::new(Transport::Utp, stream)),
                Ok(Err(error)) => return Err(io::Error::other(error)),
                Err(_) => {}
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// The UDP socket. It never fails for good: what goes wrong with a datagram is that datagram's end.
struct Datagrams {
    socket: UdpSocket,
    bound: SocketAddr,
}

impl Datagrams {
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        if let Err(e) = socket.set_recv_buffer_size(KERNEL_BUFFER) {
            tracing::debug!("the receive buffer of uTP stays as it is: {e}");
        }
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        // so that probes of the path's MTU are not cut up and put together again; both for a socket that takes both
        let v4 = addr.is_ipv4() || addr.ip().is_unspecified();
        for done in [
            v4.then(|| socket.set_dontfrag_v4(true)),
            addr.is_ipv6().then(|| socket.set_dontfrag_v6(true)),
        ] {
            if let Some(Err(e)) = done {
                tracing::debug!("uTP datagrams may be fragmented: {e}");
            }
        }
        let bound = socket.local_addr()?;
        Ok(Self { socket, bound })
    }

    /// As the socket's family writes it.
    fn target(&self, addr: SocketAddr) -> SocketAddr {
        match addr.ip() {
            IpAddr::V4(ip) if self.bound.is_ipv6() => {
                SocketAddrV6::new(ip.to_ipv6_mapped(), addr.port(), 0, 0).into()
            }
            _ => addr,
        }
    }
}

/// Like `canonical`, but a zone stays: answers to a link-local address need it.
fn sender(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, addr.port()).into(),
        IpAddr::V6(_) => addr,
    }
}

impl librqbit_utp::Transport for Datagrams {
    async fn recv_from<'a>(&'a self, buf: &'a mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            match self.socket.recv_from(buf).await {
                Ok((len, addr)) => return Ok((len, sender(addr))),
                Err(e) => {
                    tracing::trace!("uTP receives: {e}");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    async fn send_to<'a>(&'a self, buf: &'a [u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(buf, self.target(target)).await
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(cx, buf, self.target(target))
    }

    fn bind_addr(&self) -> SocketAddr {
        self.bound
    }
}

impl PollSendToVectored for Datagrams {
    fn poll_send_to_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let target = self.target(target);
        self.socket.poll_send_to_vectored(cx, bufs, target)
    }
}
