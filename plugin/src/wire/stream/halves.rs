//! The two halves of a stream that the task of a connection reads and writes at the same time.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp;

use super::{Carrier, Duplex, Incoming, Outgoing};

/// The way in.
pub(in crate::wire) struct ReadEnd<'a> {
    from: From<'a>,
    state: &'a mut Incoming,
}

/// The way out.
pub(in crate::wire) struct WriteEnd<'a> {
    to: To<'a>,
    state: &'a mut Outgoing,
}

enum From<'a> {
    Tcp(tcp::ReadHalf<'a>),
    Other(tokio::io::ReadHalf<&'a mut Box<dyn Duplex>>),
}

enum To<'a> {
    Tcp(tcp::WriteHalf<'a>),
    Other(tokio::io::WriteHalf<&'a mut Box<dyn Duplex>>),
}

pub(super) fn split<'a>(
    carrier: &'a mut Carrier,
    incoming: &'a mut Incoming,
    outgoing: &'a mut Outgoing,
) -> (ReadEnd<'a>, WriteEnd<'a>) {
    let (from, to) = match carrier {
        Carrier::Tcp(stream) => {
            let (read, write) = stream.split();
            (From::Tcp(read), To::Tcp(write))
        }
        Carrier::Other(_, stream) => {
            let (read, write) = tokio::io::split(stream);
            (From::Other(read), To::Other(write))
        }
    };
    let (state, out) = (incoming, outgoing);
    (ReadEnd { from, state }, WriteEnd { to, state: out })
}

impl ReadEnd<'_> {
    /// Waits until there is something to read, the end of the stream included.
    pub(in crate::wire) async fn readable(&mut self) -> io::Result<()> {
        if !self.state.ahead.is_empty() {
            return Ok(());
        }
        match &mut self.from {
            From::Tcp(half) => half.readable().await,
            From::Other(half) => {
                let mut byte = [0];
                let mut buf = ReadBuf::new(&mut byte);
                poll_fn(|cx| Pin::new(&mut *half).poll_read(cx, &mut buf)).await?;
                if let Some(cipher) = &mut self.state.cipher {
                    cipher.apply(buf.filled_mut());
                }
                self.state.ahead.extend_from_slice(buf.filled());
                Ok(())
            }
        }
    }

    /// Reads what there is.
    pub(in crate::wire) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = &mut self.from;
        self.state.poll_read(buf, |buf| match from {
            From::Tcp(half) => Pin::new(half).poll_read(cx, buf),
            From::Other(half) => Pin::new(half).poll_read(cx, buf),
        })
    }
}

impl WriteEnd<'_> {
    /// Waits until a socket has room, or some of what was handed over earlier has left ([`Self::is_out`]).
    pub(in crate::wire) async fn writable(&mut self) -> io::Result<()> {
        let Self { to, state } = self;
        match to {
            To::Tcp(half) => loop {
                half.writable().await?;
                if state.staged.is_empty() {
                    return Ok(());
                }
                match half.try_write(&state.staged) {
                    Ok(written) => return state.taken(written),
                    Err(error) if is_for_later(&error) => {}
                    Err(error) => return Err(error),
                }
            },
            To::Other(_) if state.staged.is_empty() => Ok(()),
            To::Other(half) => {
                let write =
                    |cx: &mut Context<'_>| Pin::new(&mut *half).poll_write(cx, &state.staged);
                let written = poll_fn(write).await?;
                state.taken(written)
            }
        }
    }

    /// Hands over the beginning of what is in `slices`; how many bytes, of which some may still be here
    /// ([`Self::is_out`]). [`io::ErrorKind::WouldBlock`]: nothing now, [`Self::writable`] tells when.
    pub(in crate::wire) fn try_write_vectored(
        &mut self,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let Self { to, state } = self;
        if let (To::Tcp(half), None) = (&to, &state.cipher) {
            return half.try_write_vectored(slices);
        }
        if !state.staged.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = state.stage(slices.iter().map(|slice| &**slice));
        if let To::Tcp(half) = to {
            match half.try_write(&state.staged) {
                Ok(written) => state.taken(written)?,
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Whether all that was handed over has left; [`Self::writable`] sees to it.
    pub(in crate::wire) fn is_out(&self) -> bool {
        self.state.staged.is_empty()
    }
}

/// Whether the same is to be tried again when the socket is writable.
pub(in crate::wire) fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
