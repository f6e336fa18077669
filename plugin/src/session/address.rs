//! Where we listen, and which addresses others can reach us at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use chunkcast::wire::PeerAddrs;
use tokio::net::TcpListener;

use crate::wire::listen::{self, ListenError};

/// Ports that are tried when none is named: those that BitTorrent clients have used from the start.
const PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// Binds the named address, or a free port of any address.
pub(super) async fn listen(named: Option<SocketAddr>) -> Result<TcpListener, ListenError> {
    if let Some(addr) = named {
        return listen::listen(addr).await;
    }
    for port in PORTS {
        if let Ok(listener) = listen::listen((Ipv4Addr::UNSPECIFIED, port).into()).await {
            return Ok(listener);
        }
    }
    listen::listen((Ipv4Addr::UNSPECIFIED, 0).into()).await
}

/// The addresses to publish: the bound one, or for an unspecified one those from which the bootstrap nodes (or else
/// the Internet) would see us.
pub(super) fn advertised(listen: SocketAddr, bootstrap: &[SocketAddr]) -> PeerAddrs {
    if !listen.ip().is_unspecified() {
        return listen.into();
    }
    let mut addrs = PeerAddrs::default();
    // 192.0.2.1 and 2001:db8::1 are documentation addresses: nothing is sent, only the route is looked up
    let defaults = [
        IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    ];
    let targets = bootstrap
        .iter()
        .copied()
        .chain(defaults.map(|ip| SocketAddr::new(ip, 9)));
    for target in targets {
        match local_towards(target) {
            Some(IpAddr::V4(ip)) if addrs.v4.is_none() => {
                addrs.v4 = Some(std::net::SocketAddrV4::new(ip, listen.port()));
            }
            Some(IpAddr::V6(ip)) if addrs.v6.is_none() && listen.is_ipv6() => {
                addrs.v6 = Some(std::net::SocketAddrV6::new(ip, listen.port(), 0, 0));
            }
            _ => {}
        }
    }
    if addrs.is_empty() {
        return SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()).into();
    }
    addrs
}

/// The local address that the routing table picks for `target`.
fn local_towards(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    socket
        .local_addr()
        .ok()
        .map(|a| a.ip())
        .filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_advertised_as_it_is() {
        let addr: SocketAddr = "127.0.0.1:7".parse().unwrap();
        assert_eq!(advertised(addr, &[]), addr.into());
    }

    #[test]
    fn an_unspecified_address_becomes_the_one_that_faces_the_bootstrap_node() {
        let addrs = advertised(
            "0.0.0.0:7".parse().unwrap(),
            &["127.0.0.1:1".parse().unwrap()],
        );
        assert_eq!(addrs.v4, Some("127.0.0.1:7".parse().unwrap()));
    }
}
