//! Datagrams through a socket, many with one system call where the system has such calls (Linux: `recvmmsg` and
//! `sendmmsg`), one by one elsewhere and where the calls are refused.
//!
//! Nothing is joined or split: no segmentation or receive offload, a slot holds one datagram of one sender.

#[cfg(target_os = "linux")]
mod mmsg;
#[cfg(not(target_os = "linux"))]
mod mmsg {
    use super::{Slot, SocketAddr, Transmit, UdpSocket, io};

    pub(super) fn receive(
        _: &UdpSocket,
        _: &mut [Slot],
        _: &mut Vec<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn send(_: &UdpSocket, _: &[Transmit]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::node::Transmit;
use crate::wire::MAX_DATAGRAM;

/// Datagrams of one system call.
pub(super) const SLOTS: usize = 32; // guess: 38 kB of buffers; more than wait at once in most wakes

/// One byte more than a datagram may have, so that a longer one does not pass for a whole one.
type Slot = [u8; MAX_DATAGRAM + 1];

/// The buffers for one socket.
#[derive(Debug)]
pub(super) struct Batch {
    slots: Vec<Slot>,
    /// How long the datagram in each slot is, and who sent it.
    received: Vec<(usize, SocketAddr)>,
    /// The system has no calls for more than one datagram.
    single: bool,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![[0; MAX_DATAGRAM + 1]; SLOTS],
            received: Vec::with_capacity(SLOTS),
            single: false,
        }
    }

    /// Takes what waits at the socket, at most [`SLOTS`] datagrams, in place of what was taken before. Whether more may
    /// wait.
    ///
    /// # Errors
    /// What the system says, except that nothing waits: that is `Ok(false)`.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        self.received.clear();
        if !self.single {
            match mmsg::receive(socket, &mut self.slots, &mut self.received) {
                Ok(()) => return Ok(self.received.len() == self.slots.len()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // Refused, or an error that belongs to the socket: the ordinary call tells which.
                Err(e) => self.single = e.kind() == io::ErrorKind::Unsupported,
            }
        }
        match socket.try_recv_from(&mut self.slots[0]) {
            Ok(received) => {
                self.received.push(received);
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// What was received last, in its order; a datagram that is too long has one byte more than [`MAX_DATAGRAM`].
    pub(super) fn datagrams(&self) -> impl ExactSizeIterator<Item = (SocketAddr, &[u8])> {
        self.received
            .iter()
            .zip(&self.slots)
            .map(|(&(n, from), slot)| (from, &slot[..n]))
    }

    /// Sends the first of these datagrams, and of those behind it as many as go at once; how many went, never none.
    ///
    /// # Errors
    /// Why the first one did not go. None went then.
    pub(super) fn send(&mut self, socket: &UdpSocket, out: &[Transmit]) -> io::Result<usize> {
        let first = &out[0];
        if !self.single && out.len() > 1 {
            match mmsg::send(socket, &out[..out.len().min(SLOTS)]) {
                Ok(0) => {}
                // Refused, or the first one's own error: the ordinary call tells which.
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                    self.single = e.kind() == io::ErrorKind::Unsupported;
                }
                sent => return sent,
            }
        }
        socket.try_send_to(&first.payload, first.to).map(|_| 1)
    }
}
