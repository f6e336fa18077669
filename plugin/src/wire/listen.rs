//! The TCP socket on which peers reach us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel holds until we accept them. // libtorrent's default is 5: a swarm that starts at once overflows that
const BACKLOG: i32 = 1024;

/// Why no socket could be opened for peers.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Someone else has the port.
    #[error("port {} for peers is in use ({addr}): choose another with --listen IP:PORT, port 0 for any", addr.port())]
    InUse {
        /// Where we wanted to listen.
        addr: SocketAddr,
    },
    /// The address is not one of this machine's.
    #[error(
        "cannot listen for peers on {addr}, it is no address of this machine: choose another with --listen IP:PORT"
    )]
    NoSuchAddress {
        /// Where we wanted to listen.
        addr: SocketAddr,
    },
    /// Anything else, for example a port below 1024 without the right to it.
    #[error(
        "cannot listen for peers on {addr} ({source}): choose another address with --listen IP:PORT"
    )]
    Other {
        /// Where we wanted to listen.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the socket for incoming peers.
///
/// `[::]` takes IPv4 peers too (their addresses then arrive mapped into IPv6; [`super::connect::accept`] turns them
/// back). On a machine without IPv6 it becomes `0.0.0.0` with the same port: look at the listener's `local_addr`.
///
/// # Errors
/// [`ListenError`], one line that names the address and the way out.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    match open(addr) {
        Err(error) if addr.is_ipv6() && addr.ip().is_unspecified() && no_ipv6(&error) => {
            let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), addr.port());
            open(v4).map_err(|error| listen_error(v4, error))
        }
        other => other.map_err(|error| listen_error(addr, error)),
    }
}

fn open(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT; two listeners are refused all the same.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether an error on `[::]` means that the machine has no IPv6: EAFNOSUPPORT when it is not compiled in,
/// EADDRNOTAVAIL when it is switched off.
fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: [i32; 3] = [97, 47, 10047]; // Linux, BSD and macOS, Windows
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error
            .raw_os_error()
            .is_some_and(|code| EAFNOSUPPORT.contains(&code))
}

/// What an error of the system means for whoever wanted to listen there.
pub(crate) fn listen_error(addr: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { addr },
        io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { addr },
        _ => ListenError::Other { addr, source },
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tokio::net::TcpStream;

    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_together_with_the_way_out() {
        let first = listen(loopback(0)).await.expect("a free port");
        let addr = first.local_addr().expect("bound");
        let error = listen(addr).await.expect_err("in use");
        assert!(matches!(error, ListenError::InUse { .. }), "{error:?}");
        let line = error.to_string();
        assert!(
            line.contains(&addr.to_string()) && line.contains("--listen"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }

    #[tokio::test]
    async fn a_foreign_address_is_refused() {
        let error = listen("198.51.100.77:0".parse().expect("an address"))
            .await
            .expect_err("not ours");
        assert!(
            matches!(error, ListenError::NoSuchAddress { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("--listen"));
    }

    #[tokio::test]
    async fn all_addresses_means_ipv4_with_or_without_ipv6() {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let listener = listen(any).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (dialed, accepted) =
            tokio::join!(TcpStream::connect(loopback(port)), listener.accept());
        assert!(dialed.is_ok() && accepted.is_ok());
    }

    #[test]
    fn only_a_missing_address_family_counts_as_no_ipv6() {
        assert!(no_ipv6(&io::Error::from_raw_os_error(97)) || !cfg!(target_os = "linux"));
        assert!(no_ipv6(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!no_ipv6(&io::ErrorKind::AddrInUse.into()));
        assert!(!no_ipv6(&io::ErrorKind::PermissionDenied.into()));
    }
}
