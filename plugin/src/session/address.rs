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
        if let Ok(listener) = listen::listen((Ipv6Addr::UNSPECIFIED, port).into()).await {
            return Ok(listener);
        }
    }
    listen::listen((Ipv6Addr::UNSPECIFIED, 0).into()).await
}

/// Whether there are addresses, and all of them on loopback.
fn all_loopback(addrs: &[SocketAddr]) -> bool {
    !addrs.is_empty() && addrs.iter().all(|a| a.ip().to_canonical().is_loopback())
}

/// How others come to what listens here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The addresses to publish.
    pub addrs: PeerAddrs,
    /// The directory is one of this machine alone, so that it may name peers on loopback.
    pub local: bool,
}

/// How others come to what is bound to `listen`, when the directory is joined through `bootstrap`; `colocated`: as an index
/// node.
pub fn reach(listen: SocketAddr, bootstrap: &[SocketAddr], colocated: bool) -> Reach {
    let addrs = advertised(listen, bootstrap, colocated);
    let own: Vec<SocketAddr> = addrs.iter().collect();
    Reach {
        addrs,
        local: all_loopback(bootstrap) || all_loopback(&own),
    }
}

/// The addresses to publish: the bound one, or for an unspecified one those from which the bootstrap nodes (or else
/// the Internet) would see us.
///
/// A bootstrap node on loopback sees us on loopback. It refuses a client's publication that names another address. A
/// colocated node publishes for itself, and the ring behind that bootstrap node may be larger than this machine: there
/// the address that others reach us at is better, which works on this machine too.
fn advertised(listen: SocketAddr, bootstrap: &[SocketAddr], colocated: bool) -> PeerAddrs {
    if !listen.ip().is_unspecified() {
        return listen.into();
    }
    let mut addrs = PeerAddrs::default();
    // 192.0.2.1 and 2001:db8::1 are documentation addresses: nothing is sent, only the route is looked up
    let defaults = [
        IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    ];
    let (last, first): (Vec<SocketAddr>, Vec<SocketAddr>) =
        (bootstrap.iter()).partition(|a| colocated && a.ip().to_canonical().is_loopback());
    let defaults = defaults.map(|ip| SocketAddr::new(ip, 9));
    let targets = first.into_iter().chain(defaults).chain(last);
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
        assert_eq!(advertised(addr, &[], true), addr.into());
    }

    #[test]
    fn an_unspecified_address_becomes_the_one_that_faces_the_bootstrap_node() {
        let addrs = advertised(
            "0.0.0.0:7".parse().unwrap(),
            &["127.0.0.1:1".parse().unwrap()],
            false,
        );
        assert_eq!(addrs.v4, Some("127.0.0.1:7".parse().unwrap()));
    }

    #[test]
    fn a_colocated_node_publishes_the_address_that_other_machines_reach() {
        let any: SocketAddr = "0.0.0.0:7".parse().unwrap();
        let local = "127.0.0.1:1".parse().unwrap();
        let alone = advertised(any, &[], true);
        assert_eq!(advertised(any, &[local], true), alone);
    }

    #[test]
    fn only_addresses_of_this_machine_make_a_local_directory() {
        let parse = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|a| a.parse().unwrap()).collect()
        };
        assert!(all_loopback(&parse(&["127.0.0.1:1", "[::1]:1"])));
        assert!(!all_loopback(&parse(&["127.0.0.1:1", "192.0.2.1:1"])));
        assert!(!all_loopback(&[]));
    }
}
