//! Multicast on a local network: the sockets of one family, and the interfaces to announce on.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use network_interface::{NetworkInterface, NetworkInterfaceConfig};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Most interfaces that are announced on.
const INTERFACES: usize = 64; // guess: a host with many bridges

/// The local address of each family that who listens at `ip` is reached at.
pub fn families(ip: IpAddr) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (Some(ip), None),
        IpAddr::V6(ip) if ip.is_unspecified() => (Some(Ipv4Addr::UNSPECIFIED), Some(ip)),
        IpAddr::V6(ip) => (None, Some(ip)),
    }
}

/// The sockets of one family.
#[derive(Debug)]
pub struct Sockets {
    group: IpAddr,
    port: u16,
    /// Hears the group; shared with other processes.
    ear: UdpSocket,
    /// Announces and answers, and hears answers.
    mouth: UdpSocket,
}

impl Sockets {
    /// Sockets for `group` at UDP port `port` that speak from `own`, in the group's family. What they say stays on the link
    /// (TTL 1). Nothing is heard before [`Self::join`].
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(own: IpAddr, group: IpAddr, port: u16) -> io::Result<Self> {
        let domain = Domain::for_address(SocketAddr::new(group, port));
        let bound = |addr: SocketAddr, shared: bool| -> io::Result<UdpSocket> {
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            if addr.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            if shared {
                socket.set_reuse_address(true)?;
                // Linux shares a group's port between users with the option above alone, others need this one.
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                socket.set_reuse_port(true)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&addr.into())?;
            UdpSocket::from_std(socket.into())
        };
        // Bound to the group, so that what is sent to the port alone does not arrive.
        let ear = bound(SocketAddr::new(group, port), true)?;
        let mouth = bound(SocketAddr::new(own, 0), false)?;
        let options = SockRef::from(&mouth);
        match group {
            IpAddr::V4(_) => {
                options.set_multicast_loop_v4(true)?;
                options.set_multicast_ttl_v4(1)?;
            }
            IpAddr::V6(_) => {
                options.set_multicast_loop_v6(true)?;
                options.set_multicast_hops_v6(1)?;
            }
        }
        Ok(Self {
            group,
            port,
            ear,
            mouth,
        })
    }

    /// Hears the group on this interface too.
    pub fn join(&self, interface: u32) {
        // Once joined it says that the address is in use; an interface without multicast is left out.
        let _ = match self.group {
            IpAddr::V4(group) => SockRef::from(&self.ear)
                .join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface)),
            IpAddr::V6(group) => SockRef::from(&self.ear).join_multicast_v6(&group, interface),
        };
    }

    /// To the group on one interface, whose address is `from`. What is lost is lost.
    pub async fn announce(&self, payload: &[u8], interface: u32, from: IpAddr) {
        let to = match (self.group, from) {
            (IpAddr::V4(_), IpAddr::V4(from)) => {
                if SockRef::from(&self.mouth)
                    .set_multicast_if_v4(&from)
                    .is_err()
                {
                    return;
                }
                SocketAddr::new(self.group, self.port)
            }
            (IpAddr::V6(group), IpAddr::V6(_)) => {
                SocketAddrV6::new(group, self.port, 0, interface).into()
            }
            _ => return,
        };
        // An interface that is down loses it, as a network may.
        let _ = self.mouth.send_to(payload, to).await;
    }

    /// To one socket. What is lost is lost.
    pub async fn answer(&self, payload: &[u8], to: SocketAddr) {
        let _ = self.mouth.send_to(payload, to).await;
    }
}

/// The next datagram to the group, without what exceeds the buffer; never, when there are no sockets.
///
/// # Errors
/// What the operating system says; the sockets are as good as before.
pub async fn heard<'b>(
    sockets: Option<&Sockets>,
    buffer: &'b mut [u8],
) -> io::Result<(&'b [u8], SocketAddr)> {
    receive(sockets.map(|s| &s.ear), buffer).await
}

/// The next datagram to the announcing socket itself, likewise.
///
/// # Errors
/// As [`heard`]; the echo of an answer that nobody took is one.
pub async fn answered<'b>(
    sockets: Option<&Sockets>,
    buffer: &'b mut [u8],
) -> io::Result<(&'b [u8], SocketAddr)> {
    receive(sockets.map(|s| &s.mouth), buffer).await
}

async fn receive<'b>(
    socket: Option<&UdpSocket>,
    buffer: &'b mut [u8],
) -> io::Result<(&'b [u8], SocketAddr)> {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    let (n, from) = socket.recv_from(buffer).await?;
    Ok((&buffer[..n], from))
}

/// The interface of an address to announce from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The operating system's number for it.
    pub index: u32,
    netmask: Option<IpAddr>,
}

impl Interface {
    /// Whether `other` is in the subnet of `own`, an address of this interface.
    pub fn is_on_link(&self, own: IpAddr, other: IpAddr) -> bool {
        match (own, other, self.netmask) {
            (IpAddr::V4(own), IpAddr::V4(other), Some(IpAddr::V4(mask))) => {
                own & mask == other & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other), Some(IpAddr::V6(mask))) => {
                own & mask == other & mask
            }
            _ => false,
        }
    }
}

/// One address of each family on each interface that who listens at `listen` is reached at, of the families that are wanted;
/// loopback only when it is all there is.
pub fn interfaces(listen: IpAddr, v4: bool, v6: bool) -> BTreeMap<IpAddr, Interface> {
    let listen = listen.to_canonical();
    let all = NetworkInterface::show().unwrap_or_default();
    let mut one_each: BTreeMap<(u32, bool), (IpAddr, Option<IpAddr>)> = BTreeMap::new();
    for interface in &all {
        for addr in &interface.addr {
            let ip = addr.ip();
            let ours = listen.is_unspecified() || listen == ip;
            let family = match ip {
                IpAddr::V4(_) => v4,
                IpAddr::V6(_) => v6,
            };
            // others could not use an address that is valid on one link only
            let told = !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            if ours && family && told {
                let at = (interface.index, ip.is_ipv6());
                one_each.entry(at).or_insert((ip, addr.netmask()));
            }
        }
    }
    if one_each.values().any(|(ip, _)| !ip.is_loopback()) {
        one_each.retain(|_, (ip, _)| !ip.is_loopback());
    }
    one_each
        .into_iter()
        .take(INTERFACES)
        .map(|((index, _), (ip, netmask))| (ip, Interface { index, netmask }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_what_the_mask_leaves() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let interface = |mask: &str| Interface {
            index: 1,
            netmask: Some(ip(mask)),
        };
        let own = ip("198.51.100.5");
        let quarter = interface("255.255.255.192");
        assert!(quarter.is_on_link(own, ip("198.51.100.63")));
        assert!(!quarter.is_on_link(own, ip("198.51.100.64")));
        assert!(!quarter.is_on_link(own, ip("2001:db8::5")));
        let v6 = interface("ffff:ffff:ffff:ffff::");
        assert!(v6.is_on_link(ip("2001:db8::5"), ip("2001:db8::6:1")));
        assert!(!v6.is_on_link(ip("2001:db8::5"), ip("2001:db8:0:1::5")));
    }
}
