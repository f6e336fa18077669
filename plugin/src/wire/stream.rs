//! What a connection's bytes go over: TCP, or any other pair of byte streams.
//!
//! Plain TCP keeps what the kernel offers: it says when there is something to read, so that no buffer waits for it, and
//! takes blocks from where they are. Other transports are polled instead. They cannot say that bytes have come without
//! giving one away, which is kept for the read that follows; and what is written to them is copied first, up to
//! [`STAGE`] bytes at a time.
//!
//! Either may be encrypted: what comes in is decrypted where it was read to, and what goes out is copied, as blocks belong
//! to more than one connection.

mod halves;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::mse::{Cipher, Secured};

pub(super) use self::halves::{ReadEnd, WriteEnd, is_for_later};

/// Most bytes that are taken from the caller before the transport has taken them, where it cannot take them from where
/// they are. // guess: four blocks
pub const STAGE: usize = 64 * 1024;

/// What carries the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// uTP (BEP 29).
    Utp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Utp => "uTP",
        })
    }
}

/// A transport other than TCP. Dropping it closes it.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// The bytes of one connection, both ways.
///
/// Reading and writing it as a whole serves handshakes, and is to be flushed; the task of a connection takes its halves.
#[derive(Debug)]
pub struct Stream {
    carrier: Carrier,
    incoming: Incoming,
    outgoing: Outgoing,
}

enum Carrier {
    Tcp(TcpStream),
    Other(Transport, Box<dyn Duplex>),
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(stream) => stream.fmt(f),
            Self::Other(transport, _) => transport.fmt(f),
        }
    }
}

/// What belongs to the way in.
#[derive(Debug, Default)]
struct Incoming {
    /// Read from the carrier, decrypted, and not yet asked for.
    ahead: BytesMut,
    /// Decrypts what the carrier brings.
    cipher: Option<Box<Cipher>>,
}

/// What belongs to the way out.
#[derive(Debug, Default)]
struct Outgoing {
    /// Taken from the caller, encrypted, and not yet taken by the carrier; at most [`STAGE`] bytes.
    staged: BytesMut,
    /// Encrypts what is staged; without one, TCP needs no stage.
    cipher: Option<Box<Cipher>>,
}

impl Stream {
    /// A connection over something else than TCP.
    pub fn new(transport: Transport, stream: impl Duplex + 'static) -> Self {
        Self::over(Carrier::Other(transport, Box::new(stream)))
    }

    fn over(carrier: Carrier) -> Self {
        Self {
            carrier,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
        }
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        match &self.carrier {
            Carrier::Tcp(_) => Transport::Tcp,
            Carrier::Other(transport, _) => *transport,
        }
    }

    /// Whether what goes over the wire is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.outgoing.cipher.is_some()
    }

    /// Goes on as a key exchange over it says. All that was written before is out, and all that was read was for that.
    pub(super) fn secure(&mut self, secured: Secured) {
        self.incoming.ahead = secured.ahead;
        if let Some((incoming, outgoing)) = secured.ciphers {
            self.incoming.cipher = Some(Box::new(incoming));
            self.outgoing.cipher = Some(Box::new(outgoing));
        }
    }

    /// The socket, if it is TCP: for its options. Whoever reads or writes it garbles the connection.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.carrier {
            Carrier::Tcp(stream) => Some(stream),
            Carrier::Other(..) => None,
        }
    }

    /// The way in and the way out, for two futures of one task.
    pub(super) fn split(&mut self) -> (ReadEnd<'_>, WriteEnd<'_>) {
        halves::split(&mut self.carrier, &mut self.incoming, &mut self.outgoing)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::over(Carrier::Tcp(stream))
    }
}

impl Carrier {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Other(_, stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Other(_, stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
}

impl Incoming {
    /// Fills `buf` with what was read ahead and then from the carrier, by `read`.
    fn poll_read(
        &mut self,
        buf: &mut ReadBuf<'_>,
        read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.poll_carrier(buf, read);
        }
        let part = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..part]);
        self.ahead.advance(part);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new(); // an idle connection holds nothing
        }
        if buf.remaining() > 0 {
            // an end or an error comes again
            let _ = self.poll_carrier(buf, read);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_carrier(
        &mut self,
        buf: &mut ReadBuf<'_>,
        read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(read(buf))?;
        if let Some(cipher) = &mut self.cipher {
            cipher.apply(&mut buf.filled_mut()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl Outgoing {
    /// Takes the beginning of what is offered, while nothing is staged; how much.
    fn stage<'a>(&mut self, offered: impl Iterator<Item = &'a [u8]>) -> usize {
        for bytes in offered {
            let part = bytes.len().min(STAGE - self.staged.len());
            self.staged.extend_from_slice(&bytes[..part]);
            if part < bytes.len() {
                break;
            }
        }
        if let Some(cipher) = &mut self.cipher {
            cipher.apply(&mut self.staged);
        }
        self.staged.len()
    }

    /// The carrier took so many bytes.
    fn taken(&mut self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.staged.advance(written);
        if self.staged.is_empty() {
            self.staged = BytesMut::new();
        }
        Ok(())
    }

    /// Until the carrier has taken all that is staged.
    fn poll_taken(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.staged.is_empty() {
            let written = ready!(write(&self.staged))?;
            self.taken(written)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            carrier, incoming, ..
        } = self.get_mut();
        incoming.poll_read(buf, |buf| carrier.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self {
            carrier, outgoing, ..
        } = self.get_mut();
        ready!(outgoing.poll_taken(|staged| carrier.poll_write(cx, staged)))?;
        if outgoing.cipher.is_none() {
            return carrier.poll_write(cx, bytes);
        }
        let taken = outgoing.stage(std::iter::once(bytes));
        // what does not go out now goes with the next call
        match outgoing.poll_taken(|staged| carrier.poll_write(cx, staged)) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            carrier, outgoing, ..
        } = self.get_mut();
        ready!(outgoing.poll_taken(|staged| carrier.poll_write(cx, staged)))?;
        match carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Other(_, stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            carrier, outgoing, ..
        } = self.get_mut();
        ready!(outgoing.poll_taken(|staged| carrier.poll_write(cx, staged)))?;
        match carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Other(_, stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
