//! Node ids bound to IP addresses (BEP 42): the first 21 bits of an id follow from the address and from the last three
//! bits of the id.
//!
//! Only public addresses bind: hosts of a private range share one public address or none.
//!
//! Differences from the BEP: those three bits are not the node's choice. They are the last three bits of the CRC-32C of
//! the IPv4 address, or of the upper half of the IPv6 address, so that one address offers one place on the ring instead of
//! eight (measured in `tests/sim_attacks.rs`: with eight, one Sybil in ten has half of the keys that it wants). Every id
//! that fits here also satisfies the BEP. Nodes of one address are neighbours on the ring. Carrier-grade NAT's range (100.64.0.0/10) and unique local IPv6 (fc00::/7) are private too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng;

use crate::id::Id;

/// The bits of an IPv4 address that count: the farther to the right, the more, since a /24 is one owner's.
const MASK_V4: u32 = 0x030f_3fff;
/// The same for the upper half of an IPv6 address.
const MASK_V6: u64 = 0x0103_070f_1f3f_7fff;

/// Whether ids are bound to this address: it is a public one.
pub fn binds(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !local_v4(ip),
        IpAddr::V6(ip) => !local_v6(ip),
    }
}

/// A random id that fits the address; for an address that binds nothing any id.
pub fn id_for(ip: IpAddr, rng: &mut impl Rng) -> Id {
    let mut id = Id::default();
    rng.fill_bytes(&mut id.0);
    if binds(ip) {
        id.0[19] = id.0[19] & 0xf8 | choice(ip.to_canonical());
        place(&mut id, ip);
    }
    id
}

/// Gives an id the first 21 bits that BEP 42 wants at this address, for the last three bits that it has.
pub fn place(id: &mut Id, ip: IpAddr) {
    let prefix = prefix(ip.to_canonical(), id.0[19]);
    id.0[0] = prefix[0];
    id.0[1] = prefix[1];
    id.0[2] = prefix[2] & 0xf8 | id.0[2] & 0x07;
}

/// Whether a node at this address may have this id.
pub fn matches(id: &Id, ip: IpAddr) -> bool {
    !binds(ip) || (id.0[19] & 0x07 == choice(ip.to_canonical()) && satisfies_bep(id, ip))
}

/// Whether an id of this public address satisfies BEP 42, which leaves its last three bits to the node.
pub fn satisfies_bep(id: &Id, ip: IpAddr) -> bool {
    let prefix = prefix(ip.to_canonical(), id.0[19]);
    id.0[..2] == prefix[..2] && (id.0[2] ^ prefix[2]) & 0xf8 == 0
}

/// The last three bits of ids at this address.
fn choice(ip: IpAddr) -> u8 {
    let crc = match ip {
        IpAddr::V4(ip) => crc32c(&ip.octets()),
        IpAddr::V6(ip) => crc32c(&ip.octets()[..8]),
    };
    crc.to_be_bytes()[3] & 0x07
}

/// The first 21 bits (in three bytes) of ids at this address whose last byte is `last`.
fn prefix(ip: IpAddr, last: u8) -> [u8; 3] {
    let r = last & 0x07;
    let crc = match ip {
        IpAddr::V4(ip) => crc32c(&(u32::from(ip) & MASK_V4 | u32::from(r) << 29).to_be_bytes()),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            let upper = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            crc32c(&(upper & MASK_V6 | u64::from(r) << 61).to_be_bytes())
        }
    };
    let [a, b, c, _] = crc.to_be_bytes();
    [a, b, c]
}

fn local_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_unspecified()
        || (a == 100 && (64..128).contains(&b))
}

fn local_v6(ip: Ipv6Addr) -> bool {
    let first = ip.segments()[0];
    ip.is_loopback() || ip.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
}

/// CRC-32C (Castagnoli) of a few bytes, bit by bit: eight of them at most, once for a node that is met.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The vectors of BEP 42: address, the id's last byte (random), its first three (the last three bits random).
    const VECTORS: [([u8; 4], u8, [u8; 3]); 5] = [
        ([124, 31, 75, 21], 1, [0x5f, 0xbf, 0xbf]),
        ([21, 75, 31, 124], 86, [0x5a, 0x3c, 0xe9]),
        ([65, 23, 51, 170], 22, [0xa5, 0xd4, 0x32]),
        ([84, 124, 73, 14], 65, [0x1b, 0x03, 0x21]),
        ([43, 213, 53, 83], 90, [0xe5, 0x6f, 0x6c]),
    ];

    #[test]
    fn the_vectors_of_the_bep_match_and_their_neighbours_do_not() {
        for (ip, last, first) in VECTORS {
            let ip = IpAddr::from(ip);
            let mut id = Id([0x55; 20]);
            id.0[..3].copy_from_slice(&first);
            id.0[19] = last;
            assert!(satisfies_bep(&id, ip), "{ip}");
            let wrong = |byte: usize, bit: u8| {
                let mut other = id;
                other.0[byte] ^= bit;
                !satisfies_bep(&other, ip)
            };
            assert!(wrong(0, 0x80) && wrong(1, 0x01) && wrong(2, 0x08), "{ip}");
            assert!(!wrong(2, 0x04) && !wrong(10, 0xff), "{ip}");
            assert!(wrong(19, 0x01), "{ip}: another r");
        }
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
    }

    #[test]
    fn private_addresses_bind_nothing() {
        let local = [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ];
        for ip in local {
            let ip: IpAddr = ip.parse().expect("ip");
            assert!(!binds(ip) && matches(&Id([7; 20]), ip), "{ip}");
        }
        for ip in ["8.8.8.8", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(binds(ip.parse().expect("ip")), "{ip}");
        }
    }

    proptest! {
        #[test]
        fn a_drawn_id_fits_its_address(bytes: [u8; 16], seed: u64, v6: bool) {
            let ip = match v6 {
                true => IpAddr::from(bytes),
                false => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
            };
            let id = id_for(ip, &mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(matches(&id, ip));
            prop_assert!(!binds(ip) || satisfies_bep(&id, ip));
        }

        #[test]
        fn an_address_has_one_place(a: u32, seeds: [u64; 8]) {
            let ip = IpAddr::from(Ipv4Addr::from(a));
            prop_assume!(binds(ip));
            let ids = seeds.map(|seed| id_for(ip, &mut ChaCha8Rng::seed_from_u64(seed)));
            prop_assert!(ids.windows(2).all(|w| w[0].common_prefix(&w[1]) >= 5 && w[0].0[2] >> 3 == w[1].0[2] >> 3));
            // Any other choice of the last bits is refused.
            let mut other = ids[0];
            other.0[19] ^= 1;
            prop_assert!(!matches(&other, ip));
        }
    }
}
