//! Fixed-form strings: addresses, contacts, matches, the sender, and varints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{Contact, Match, PeerAddrs, Sender};
use crate::coords::Coord;
use crate::id::Id;

const V4: usize = 6;
const V6: usize = 18;
const CLIENT: u8 = 1;
pub(super) const REACHABLE: u8 = 1;

/// Whether datagrams or connections can be sent there: a unicast address with a port, IPv4 not disguised as IPv6.
pub(super) fn usable(addr: SocketAddr) -> bool {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
    };
    ip && addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
}

pub(super) fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(addr.port().to_be_bytes());
}

/// Reads 6 or 18 bytes.
pub(super) fn take_addr(bytes: &[u8]) -> Option<SocketAddr> {
    let addr = match bytes.len() {
        V4 => SocketAddr::V4(v4(bytes)?),
        V6 => SocketAddr::V6(v6(bytes)?),
        _ => return None,
    };
    usable(addr).then_some(addr)
}

pub(super) fn put_addrs(out: &mut Vec<u8>, addrs: &PeerAddrs) {
    addrs.iter().for_each(|a| put_addr(out, a));
}

/// Reads 0, 6, 18 or 24 bytes.
pub(super) fn take_addrs(bytes: &[u8]) -> Option<PeerAddrs> {
    let addrs = match bytes.len() {
        0 => PeerAddrs::default(),
        V4 => PeerAddrs {
            v4: Some(v4(bytes)?),
            v6: None,
        },
        V6 => PeerAddrs {
            v4: None,
            v6: Some(v6(bytes)?),
        },
        n if n == V4 + V6 => PeerAddrs {
            v4: Some(v4(&bytes[..V4])?),
            v6: Some(v6(&bytes[V4..])?),
        },
        _ => return None,
    };
    addrs.iter().all(usable).then_some(addrs)
}

fn v4(mut bytes: &[u8]) -> Option<SocketAddrV4> {
    let ip = Ipv4Addr::from(take::<4>(&mut bytes)?);
    Some(SocketAddrV4::new(ip, u16::from_be_bytes(take(&mut bytes)?)))
}

fn v6(mut bytes: &[u8]) -> Option<SocketAddrV6> {
    let ip = Ipv6Addr::from(take::<16>(&mut bytes)?);
    Some(SocketAddrV6::new(
        ip,
        u16::from_be_bytes(take(&mut bytes)?),
        0,
        0,
    ))
}

pub(super) fn put_contact(out: &mut Vec<u8>, contact: &Contact) {
    out.extend(contact.id.0);
    out.extend(contact.coord.to_bytes());
    put_addr(out, contact.addr);
}

pub(super) fn take_contact(mut bytes: &[u8]) -> Option<Contact> {
    let id = Id(take(&mut bytes)?);
    let coord = take_coord(&mut bytes)?;
    Some(Contact {
        id,
        coord,
        addr: take_addr(bytes)?,
    })
}

pub(super) fn put_match(out: &mut Vec<u8>, found: &Match) {
    out.extend(found.coord.to_bytes());
    out.extend(found.matched.to_be_bytes());
    out.extend([found.load, if found.reachable { REACHABLE } else { 0 }]);
    put_addrs(out, &found.addrs);
}

pub(super) fn take_match(mut bytes: &[u8]) -> Option<Match> {
    let coord = take_coord(&mut bytes)?;
    let matched = u32::from_be_bytes(take(&mut bytes)?);
    let [load, flags] = take(&mut bytes)?;
    let addrs = take_addrs(bytes).filter(|a| !a.is_empty())?;
    Some(Match {
        addrs,
        coord,
        matched,
        load,
        reachable: flags & REACHABLE != 0,
    })
}

pub(super) fn put_sender(out: &mut Vec<u8>, sender: &Sender) {
    out.extend(sender.id.0);
    out.extend(sender.coord.to_bytes());
    out.push(if sender.client { CLIENT } else { 0 });
}

pub(super) fn take_sender(mut bytes: &[u8]) -> Option<Sender> {
    let id = Id(take(&mut bytes)?);
    let coord = take_coord(&mut bytes)?;
    let [flags] = bytes.try_into().ok()?;
    Some(Sender {
        id,
        coord,
        client: flags & CLIENT != 0,
    })
}

pub(super) fn take_coord(bytes: &mut &[u8]) -> Option<Coord> {
    Coord::from_bytes(&take::<{ Coord::WIRE_LEN }>(bytes)?)
}

/// The next `N` bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// LEB128: seven bits a byte, least significant first, top bit set on all but the last.
pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let [low, ..] = n.to_le_bytes();
        n >>= 7;
        if n == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads a varint; padded ones and those beyond 64 bits are refused.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for i in 0..10 {
        let [byte] = take(bytes)?;
        let part = u64::from(byte & 0x7f);
        if part.leading_zeros() < 7 * i || (i > 0 && byte == 0) {
            return None;
        }
        n |= part << (7 * i);
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back_in_the_fewest_bytes(n in any::<u64>(), shift in 0u32..64) {
            let n = n >> shift;
            let mut out = Vec::new();
            put_varint(&mut out, n);
            let bits = 64 - n.leading_zeros();
            prop_assert_eq!(out.len(), bits.div_ceil(7).max(1) as usize);
            out.push(9);
            let mut rest = out.as_slice();
            prop_assert_eq!(take_varint(&mut rest), Some(n));
            prop_assert_eq!(rest, [9]);
        }
    }

    #[test]
    fn odd_varints_are_refused() {
        for bad in [&[][..], &[0x80], &[0x80, 0x00], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(take_varint(&mut &bad[..]), None, "{bad:?}");
        }
        let mut two_to_the_64 = [0x80; 10];
        two_to_the_64[9] = 2;
        assert_eq!(take_varint(&mut &two_to_the_64[..]), None);
    }

    #[test]
    fn addresses_nobody_can_send_to_are_refused() {
        let bad = [
            "1.2.3.4:0",
            "0.0.0.0:6881",
            "224.0.0.1:6881",
            "255.255.255.255:6881",
            "[::]:6881",
            "[ff02::1]:6881",
            "[2001:db8::1]:0",
            "[::ffff:1.2.3.4]:6881",
        ];
        for addr in bad.map(|a| a.parse::<SocketAddr>().unwrap()) {
            let mut out = Vec::new();
            put_addr(&mut out, addr);
            assert_eq!(take_addr(&out), None, "{addr}");
            assert_eq!(take_addrs(&out), None, "{addr}");
        }
        for len in (0..40).filter(|n| ![0, 6, 18, 24].contains(n)) {
            assert_eq!(take_addrs(&vec![1; len]), None, "{len} bytes");
        }
    }
}
