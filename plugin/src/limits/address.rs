//! Which addresses from outside are worth a connection.
//!
//! Whoever can put an address into a tracker, the DHT or the directory can make every client of a swarm connect to it.
//! So addresses that cannot be a peer's (port 0, multicast, broadcast, unspecified) are dropped, whoever named them,
//! and ourselves too. The rest depends on the source:
//!
//! | address | public source | local source | by hand |
//! | --- | --- | --- | --- |
//! | global | yes | yes | yes |
//! | private, link-local, shared (RFC 6598), benchmarking, documentation | only if we have such an address ourselves | yes | yes |
//! | loopback | only if we are bound to loopback | only if we are bound to loopback | yes |
//!
//! "Bound to loopback" means an explicit 127.0.0.0/8 or `::1`, as in a demo or a test; listening on all addresses does
//! not count, or any stranger could have us connect to the services of our own machine. That we have a private address
//! ourselves makes others believable, because peers in a LAN find each other through the directory too; a host with
//! only global addresses has no use for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::interfaces::local_addresses;
use crate::wire::connect::canonical;

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddrSource {
    /// Anyone: the DHT, a tracker, peer exchange, the directory.
    Public,
    /// Only those in this network: local service discovery.
    Local,
    /// The user.
    Manual,
}

/// Why an address is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AddrFault {
    /// Nobody listens on port 0.
    #[error("port 0")]
    PortZero,
    /// `0.0.0.0/8` or `::`.
    #[error("an unspecified address")]
    Unspecified,
    /// Multicast: no peer.
    #[error("a multicast address")]
    Multicast,
    /// 255.255.255.255, or the reserved 240.0.0.0/4.
    #[error("a broadcast or reserved address")]
    Broadcast,
    /// Where we listen ourselves.
    #[error("our own address")]
    Own,
    /// Loopback, from outside.
    #[error("a loopback address from outside")]
    Loopback,
    /// A private address, from outside.
    #[error("a private address from outside")]
    Private,
}

/// What we know about our own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddrs {
    /// Where peers reach us, in canonical form: an unspecified address is there together with all it stands for.
    pub listen: Vec<SocketAddr>,
    /// Whether loopback addresses are believed. A caller may set it when all sources of a torrent are on loopback.
    pub loopback: bool,
    /// Whether private addresses are believed from anyone.
    pub private: bool,
}

impl OwnAddrs {
    /// Our addresses, from the address that a listener is bound to and the interfaces as they are now.
    pub fn new(bound: SocketAddr) -> Self {
        Self::with_interfaces(bound, &local_addresses())
    }

    /// The same with interface addresses that are known.
    pub fn with_interfaces(bound: SocketAddr, interfaces: &[IpAddr]) -> Self {
        let bound = canonical(bound);
        if !bound.ip().is_unspecified() {
            return Self {
                listen: vec![bound],
                loopback: bound.ip().is_loopback(),
                private: is_private(bound.ip()),
            };
        }
        // [::] takes IPv4 as well, 0.0.0.0 no IPv6.
        let reachable = interfaces.iter().map(IpAddr::to_canonical);
        let reachable: Vec<_> = reachable
            .filter(|ip| bound.is_ipv6() || ip.is_ipv4())
            .collect();
        Self {
            private: reachable.iter().any(|&ip| makes_private_believable(ip)),
            listen: [bound.ip()]
                .into_iter()
                .chain(reachable)
                .map(|ip| SocketAddr::new(ip, bound.port()))
                .collect(),
            loopback: false,
        }
    }

    /// Whether a connection to `addr`, in canonical form, would end at our own listener.
    pub fn is_own(&self, addr: SocketAddr) -> bool {
        self.listen.iter().any(|own| {
            // All of 127.0.0.0/8 ends at a listener on 0.0.0.0, whatever the interface says.
            let any_loopback = own.ip().is_unspecified()
                && addr.ip().is_loopback()
                && (own.is_ipv6() || addr.is_ipv4());
            own.port() == addr.port() && (own.ip() == addr.ip() || any_loopback)
        })
    }
}

/// Whether a peer at `addr` is worth an attempt.
///
/// # Errors
/// [`AddrFault`], to be counted.
pub fn acceptable(addr: SocketAddr, source: AddrSource, own: &OwnAddrs) -> Result<(), AddrFault> {
    let addr = canonical(addr);
    if addr.port() == 0 {
        return Err(AddrFault::PortZero);
    }
    match addr.ip() {
        ip if ip.is_multicast() => return Err(AddrFault::Multicast),
        ip if ip.is_unspecified() => return Err(AddrFault::Unspecified),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => return Err(AddrFault::Unspecified),
        IpAddr::V4(ip) if ip.octets()[0] >= 240 => return Err(AddrFault::Broadcast),
        _ => {}
    }
    if own.is_own(addr) {
        return Err(AddrFault::Own);
    }
    if addr.ip().is_loopback() {
        let believed = own.loopback || source == AddrSource::Manual;
        return if believed {
            Ok(())
        } else {
            Err(AddrFault::Loopback)
        };
    }
    if is_private(addr.ip()) && source == AddrSource::Public && !own.private {
        return Err(AddrFault::Private);
    }
    Ok(())
}

/// Whether a peer at `of` could reach `addr`, going by their kinds: loopback only from loopback, and private addresses from
/// private ones. Which of them are in the same network nobody can tell.
pub fn is_within_reach(addr: IpAddr, of: IpAddr) -> bool {
    let of_loopback = of.to_canonical().is_loopback();
    match addr.to_canonical().is_loopback() {
        true => of_loopback,
        false => !is_private(addr) || is_private(of) || of_loopback,
    }
}

/// Whether an address means something only within some network. Loopback is not among them.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => is_private_v6(ip),
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || (a == 100 && b & 0xc0 == 64) // shared by a provider's customers, RFC 6598
        || (a == 198 && b & 0xfe == 18) // benchmarking, RFC 2544
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    ip.is_unique_local()
        || ip.is_unicast_link_local()
        || segments[0] & 0xffc0 == 0xfec0 // site-local, deprecated by RFC 3879
        || (segments[0] == 0x2001 && segments[1] == 0x0db8) // documentation
}

/// Every host with IPv6 has a link-local address: it says nothing about the network.
fn makes_private_believable(ip: IpAddr) -> bool {
    let link_local_v6 = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    is_private(ip) && !link_local_v6
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
