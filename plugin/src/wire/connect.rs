//! Opening connections: dial or accept, key exchanges where connections are encrypted, handshakes both ways, checks (BEP 3).

mod secure;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use self::secure::{SecureError, initiate, respond};
use super::conn::ConnConfig;
use super::encryption::Opening;
use super::handshake::{ASK_LEN, NotBitTorrent, PROTOCOL, check_protocol};
use super::message::Handshake;
use super::mse::MseError;
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
    /// No key exchange: something else listens there, or it wants plaintext.
    #[error("{addr}: {source}")]
    Mse {
        /// Whom we dialled.
        addr: SocketAddr,
        /// What was wrong.
        source: MseError,
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

impl DialError {
    /// Whether there was no connection at all, so that another transport may do better.
    pub fn is_unreached(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::ConnectTimeout(_))
    }
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
    /// Its key exchange failed.
    #[error("a caller's key exchange failed: {0}")]
    Mse(#[from] MseError),
    /// It speaks plaintext, and we do not ([`Encryption::Require`](super::encryption::Encryption::Require)).
    #[error("a caller spoke plaintext, and only encrypted connections are taken")]
    Plaintext,
    /// It wants a torrent that we do not serve.
    #[error("a caller asked for a torrent that is not served here")]
    UnknownTorrent,
    /// It is us.
    #[error("a caller is ourselves")]
    SelfConnection,
}

/// How a caller names the torrent that it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// By its infohash.
    InfoHash(&'a [u8; 20]),
    /// By the [`key_hash`](super::mse::key_hash) of that, in a key exchange.
    KeyHash(&'a [u8; 20]),
}

/// Connects to a peer over TCP and exchanges handshakes. `bind` is the local address to dial from; it is left out when it is
/// unspecified or of the other family.
///
/// # Errors
/// As [`dial_over`].
pub async fn dial(
    addr: SocketAddr,
    ours: Handshake,
    bind: Option<IpAddr>,
    config: &ConnConfig,
) -> Result<PeerStream, DialError> {
    dial_over(addr, ours, config, || connect(addr, bind)).await
}

/// Connects to a peer by `open` and exchanges handshakes: in plaintext or encrypted, as [`ConnConfig::encryption`] says, and
/// the other way, over another connection, when the peer closes the first one.
///
/// # Errors
/// [`DialError`]: all of them say something about that peer, none about us.
pub async fn dial_over<O, S>(
    addr: SocketAddr,
    ours: Handshake,
    config: &ConnConfig,
    open: impl Fn() -> O,
) -> Result<PeerStream, DialError>
where
    O: Future<Output = io::Result<S>>,
    S: Into<Stream>,
{
    let mut openings = config.encryption.openings().iter().copied().peekable();
    loop {
        let opening = openings.next().expect("one at least");
        let started = Instant::now();
        let stream = match timeout(config.connect_timeout, open()).await {
            Ok(Ok(stream)) => stream.into(),
            Ok(Err(source)) => return Err(DialError::Connect { addr, source }),
            Err(_) => return Err(DialError::ConnectTimeout(addr)),
        };
        let rtt = started.elapsed();
        match greet(stream, addr, ours, rtt, opening, config).await {
            Err(error @ (DialError::Closed { .. } | DialError::Mse { .. }))
                if openings.peek().is_some() =>
            {
                tracing::trace!("dial, {opening:?}: {error}");
            }
            done => return done,
        }
    }
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
    opening: Opening,
    config: &ConnConfig,
) -> Result<PeerStream, DialError> {
    let exchange = async {
        match opening {
            Opening::Plaintext => stream.write_all(&ours.to_bytes()).await?,
            Opening::Encrypted => initiate(&mut stream, &ours, config.encryption).await?,
        }
        let mut bytes = [0; Handshake::LEN];
        read_checked(&mut stream, &mut bytes, 0).await?;
        Ok(Handshake::from_bytes(&bytes)?)
    };
    let handshake = match timeout(config.handshake_timeout, exchange).await {
        Ok(Ok(handshake)) => handshake,
        Ok(Err(ReadError::Closed(source))) => return Err(DialError::Closed { addr, source }),
        Ok(Err(ReadError::NotBitTorrent(_))) => return Err(DialError::NotBitTorrent(addr)),
        Ok(Err(ReadError::Mse(source))) => return Err(DialError::Mse { addr, source }),
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

/// Answers a caller, encrypted or not, as [`ConnConfig::encryption`] allows. `lookup` gives our handshake for the torrent that it names, `None` for one that we do not serve.
/// Our handshake goes out as soon as the torrent is known, before the caller's peer id, which some callers hold back
/// until then.
///
/// # Errors
/// [`AcceptError`]; the connection is closed.
pub async fn accept(
    stream: impl Into<Stream>,
    remote: SocketAddr,
    lookup: impl Fn(Asked<'_>) -> Option<Handshake>,
    config: &ConnConfig,
) -> Result<PeerStream, AcceptError> {
    let mut stream = stream.into();
    let exchange = async {
        if let Some(socket) = stream.tcp() {
            socket.set_nodelay(true)?;
        }
        let mut bytes = [0; Handshake::LEN];
        let (opening, begun) = first_bytes(&mut stream, &mut bytes[..ASK_LEN]).await?;
        if !config.encryption.takes(opening) {
            return Err(match opening {
                Opening::Plaintext => AcceptError::Plaintext,
                Opening::Encrypted => NotBitTorrent.into(),
            });
        }
        let ours = match opening {
            Opening::Plaintext => {
                read_checked(&mut stream, &mut bytes[..ASK_LEN], begun).await?;
                let torrent = Handshake::from_bytes(&bytes)?.info_hash;
                lookup(Asked::InfoHash(&torrent))
            }
            Opening::Encrypted => {
                let found = |key: &[u8; 20]| lookup(Asked::KeyHash(key)).map(|h| h.info_hash);
                let begun = bytes[..begun].to_vec();
                let torrent = respond(&mut stream, &begun, found, config.encryption).await?;
                read_checked(&mut stream, &mut bytes[..ASK_LEN], 0).await?;
                let named = Handshake::from_bytes(&bytes)?.info_hash;
                lookup(Asked::InfoHash(&named)).filter(|_| named == torrent)
            }
        };
        let ours = ours.ok_or(AcceptError::UnknownTorrent)?;
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
    Mse(MseError),
}

impl From<SecureError> for ReadError {
    fn from(error: SecureError) -> Self {
        match error {
            SecureError::Closed(error) => Self::Closed(error),
            SecureError::Mse(error) => Self::Mse(error),
        }
    }
}

impl From<SecureError> for AcceptError {
    fn from(error: SecureError) -> Self {
        ReadError::from(error).into()
    }
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
            ReadError::Mse(error) => Self::Mse(error),
        }
    }
}

/// Reads until it is clear how a caller begins: `bytes` then hold so many of its first ones.
async fn first_bytes(stream: &mut Stream, bytes: &mut [u8]) -> io::Result<(Opening, usize)> {
    let mut filled = 0;
    while filled < PROTOCOL.len() {
        match stream.read(&mut bytes[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        if check_protocol(&bytes[..filled]).is_err() {
            return Ok((Opening::Encrypted, filled));
        }
    }
    Ok((Opening::Plaintext, filled))
}

/// Fills `bytes`, of which the first `filled` are there, with the start of a handshake, and gives up at the first byte that
/// cannot be in one.
async fn read_checked(
    stream: &mut Stream,
    bytes: &mut [u8],
    mut filled: usize,
) -> Result<(), ReadError> {
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]).await? {
            0 => return Err(ReadError::Closed(io::ErrorKind::UnexpectedEof.into())),
            read => filled += read,
        }
        check_protocol(&bytes[..filled.min(PROTOCOL.len())])?;
    }
    Ok(())
}
