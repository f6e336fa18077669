//! Linux's calls for many datagrams. The headers are made anew for each call: they hold pointers, so they could not stay
//! in a task that moves between threads, and what the kernel wrote into them for one socket would bind the next.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{SLOTS, Slot};
use crate::node::Transmit;

/// Fills as many slots as datagrams wait; `received` says with what.
pub(super) fn receive(
    socket: &UdpSocket,
    slots: &mut [Slot],
    received: &mut Vec<(usize, SocketAddr)>,
) -> io::Result<()> {
    socket.try_io(Interest::READABLE, || {
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slots.len(), None);
        let mut parts: Vec<[IoSliceMut<'_>; 1]> = Vec::with_capacity(slots.len());
        parts.extend(slots.iter_mut().map(|slot| [IoSliceMut::new(slot)]));
        let messages = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            parts.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        // Every datagram of an internet socket has a sender; one without would leave its slot empty.
        received.extend(
            messages.map(|m| match m.address.and_then(|from| std_addr(&from)) {
                Some(from) => (m.bytes, from),
                None => (0, SocketAddr::from(([0; 4], 0))),
            }),
        );
        Ok(())
    })
}

/// How many of at most [`SLOTS`] datagrams the kernel took; an error is that of the first.
pub(super) fn send(socket: &UdpSocket, out: &[Transmit]) -> io::Result<usize> {
    socket.try_io(Interest::WRITABLE, || {
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(out.len(), None);
        let parts: [[IoSlice<'_>; 1]; SLOTS] =
            array::from_fn(|i| [IoSlice::new(out.get(i).map_or(&[], |t| &t.payload))]);
        let to: Vec<_> = out
            .iter()
            .map(|t| Some(SockaddrStorage::from(t.to)))
            .collect();
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &parts[..out.len()],
            &to,
            [],
            MsgFlags::MSG_DONTWAIT,
        )?;
        Ok(sent.count())
    })
}

fn std_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4));
    let v6 = || addr.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6));
    v4.map(SocketAddr::V4).or_else(|| v6().map(SocketAddr::V6))
}
