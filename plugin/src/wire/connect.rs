//! Opening connections: dial or accept, handshakes both ways, checks (BEP 3).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::conn::ConnConfig;
use super::handshake::{ASK_LEN, NotBitTorrent, PROTOCOL, check_protocol};
use super::message::Handshake;
use super::stream::Stream;

/// A connection on which both handshakes are exchanged and right.
#[derive(Debug)]
pub struct PeerStream {
    /// The connection; nothing behind the handshake has been read.
    pub stream: Stream,
    /// The peer's address; IPv4 is never mapped into IPv6 here.
    pub remote: SocketAddr,
    /// The peer's handshake.
    pub handshake: Handshake,
    /// How long the connection took without the handshake, which is one round trip; only when we dialled.
    pub rtt: Option<Duration>,
}

/// Why dialling gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No TCP connection.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// Whom we dialled.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No TCP connection within [`ConnConfig::connect_timeout`].
    #[error("{0} does not answer")]
    ConnectTimeout(SocketAddr),
    /// Connected, but no handshake within [`ConnConfig::handshake_timeout`].
    #[error("{0} sent no handshake in time")]
    HandshakeTimeout(SocketAddr),
    /// Connected, and closed again before the handshake was complete: it is full, or does not have the torrent.
    #[error("{addr} closed the connection during the handshake: {source}")]
    Closed {
        /// Whom we dialled.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Something else listens there.
    #[error("{0} does not speak the BitTorrent protocol")]
    NotBitTorrent(SocketAddr),
    /// It answers for another torrent.
    #[error("{0} answered for another torrent")]
    WrongTorrent(SocketAddr),
    /// It is us.
    #[error("{0} is ourselves")]
    SelfConnection(SocketAddr),
}

/// Why a caller was turned away.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// No handshake within [`ConnConfig::handshake_timeout`].
    #[error("a caller sent no handshake in time")]
    HandshakeTimeout,
    /// It went away.
    #[error("a caller closed the connection during the handshake: {0}")]
    Closed(#[from] io::Error),
    /// It wants something else.
    #[error(transparent)]
    NotBitTorrent(#[from] NotBitTorrent),
    /// It wants a torrent that we do not serve.
    #[error("a caller asked for a torrent that is not served here")]
    UnknownTorrent,
    /// It is us.
    #[error("a caller is ourselves")]
    SelfConnection,
}

/// Connects to a peer over TCP and exchanges handshakes. `bind` is the local address to dial from; it is left out when it is
/// unspecified or of the other family.
///
/// # Errors
/// [`DialError`]: all of them say something about that peer, none about us.
pub async fn dial(
    addr: SocketAddr,
    ours: Handshake,
    bind: Option<IpAddr>,
    config: &ConnConfig,
) -> Result<PeerStream, DialError> {
    let started = Instant::now();
    let stream = match timeout(config.connect_timeout, connect(addr, bind)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(DialError::Connect { addr, source }),
        Err(_) => return Err(DialError::ConnectTimeout(addr)),
    };
    let rtt = started.elapsed();
    greet(stream.into(), addr, ours, rtt, config).await
}

/// Exchanges handshakes over a connection that we have opened to `addr`, which took `rtt`.
///
/// # Errors
/// [`DialError`], but for those of a connection that cannot be opened.
pub async fn greet(
    mut stream: Stream,
    addr: SocketAddr,
    ours: Handshake,
    rtt: Duration,
    config: &ConnConfig,
) -> Result<PeerStream, DialError> {
    let exchange = async {
        stream.write_all(&ours.to_bytes()).await?;
        let mut bytes = [0; Handshake::LEN];
        read_checked(&mut stream, &mut bytes).await?;
        Ok(Handshake::from_bytes(&bytes)?)
    };
    let handshake = match timeout(config.handshake_timeout, exchange).await {
        Ok(Ok(handshake)) => handshake,
        Ok(Err(ReadError::Closed(source))) => return Err(DialError::Closed { addr, source }),
        Ok(Err(ReadError::NotBitTorrent(_))) => return Err(DialError::NotBitTorrent(addr)),
        Err(_) => return Err(DialError::HandshakeTimeout(addr)),
    };
    if handshake.info_hash != ours.info_hash {
        return Err(DialError::WrongTorrent(addr));
    }
    if handshake.peer_id == ours.peer_id {
        return Err(DialError::SelfConnection(addr));
    }
    Ok(PeerStream {
        stream,
        remote: canonical(addr),
        handshake,
        rtt: Some(rtt),
    })
}

/// Answers a caller. `lookup` gives our handshake for the torrent that it names, `None` for one that we do not serve.
/// Our handshake goes out as soon as the torrent is known, before the caller's peer id, which some callers hold back
/// until then.
///
/// # Errors
/// [`AcceptError`]; the connection is closed.
pub async fn accept(
    stream: impl Into<Stream>,
    remote: SocketAddr,
    lookup: impl Fn(&[u8; 20]) -> Option<Handshake>,
    config: &ConnConfig,
) -> Result<PeerStream, AcceptError> {
    let mut stream = stream.into();
    let exchange = async {
        if let Some(socket) = stream.tcp() {
            socket.set_nodelay(true)?;
        }
        let mut bytes = [0; Handshake::LEN];
        read_checked(&mut stream, &mut bytes[..ASK_LEN]).await?;
        let torrent = Handshake::from_bytes(&bytes)?.info_hash;
        let ours = lookup(&torrent).ok_or(AcceptError::UnknownTorrent)?;
        stream.write_all(&ours.to_bytes()).await?;
        stream.read_exact(&mut bytes[ASK_LEN..]).await?;
        let theirs = Handshake::from_bytes(&bytes)?;
        if theirs.peer_id == ours.peer_id {
            return Err(AcceptError::SelfConnection);
        }
        Ok(theirs)
    };
    match timeout(config.handshake_timeout, exchange).await {
        Ok(Ok(handshake)) => Ok(PeerStream {
            stream,
            remote: canonical(remote),
            handshake,
            rtt: None,
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(AcceptError::HandshakeTimeout),
    }
}

/// The address with IPv4 taken out of its IPv6 mapping, as a dual-stack socket reports it.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

async fn connect(addr: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(ip) = bind.filter(|ip| ip.is_ipv4() == addr.is_ipv4() && !ip.is_unspecified()) {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    let stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

enum ReadError {
    Closed(io::Error),
    NotBitTorrent(NotBitTorrent),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Closed(error)
    }
}

impl From<NotBitTorrent> for ReadError {
    fn from(error: NotBitTorrent) -> Self {
        Self::NotBitTorrent(error)
    }
}

impl From<ReadError> for AcceptError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed(error) => Self::Closed(error),
            ReadError::NotBitTorrent(error) => Self::NotBitTorrent(error),
        }
    }
}

/// Fills `bytes` with the start of a handshake, and gives up at the first byte that cannot be in one.
async fn read_checked(stream: &mut Stream, bytes: &mut [u8]) -> Result<(), ReadError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]).await? {
            0 => return Err(ReadError::Closed(io::ErrorKind::UnexpectedEof.into())),
            read => filled += read,
        }
        check_protocol(&bytes[..filled.min(PROTOCOL.len())])?;
    }
    Ok(())
}
