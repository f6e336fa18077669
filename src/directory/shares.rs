//! How much of an object's list others can fill in an open network: at most 4 propagated entries from one /24 (IPv4) or
//! /56 (IPv6), and at most a quarter of a full list from one child. Whoever rents a subnet or runs one index node does
//! not own the list.
//!
//! Only public addresses count by subnet: a rack shares a private /24. In a closed network nothing here is used.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand::{Rng, RngExt};

use super::cache::Cache;
use crate::id::{Id, ObjectId};
use crate::wire::Entry;

/// Propagated entries of one object from one subnet.
const PER_SUBNET: usize = 4; // directory: publication
/// One child fills one in so many places.
const CHILD_PART: usize = 4; // directory: publication, 25 %

type Key = (ObjectId, Id);

/// From which child each propagated entry came.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    by: BTreeMap<Key, Id>,
}

impl Shares {
    /// Whether there is a place for a propagated entry of `child` in a list of `list`; another one of the same child may
    /// have to go for it.
    pub(crate) fn admit(
        &mut self,
        cache: &mut Cache,
        entry: &Entry,
        child: &Id,
        list: usize,
        rng: &mut impl Rng,
    ) -> bool {
        let key = (entry.object, entry.publisher);
        if entry.lifetime.is_zero() {
            return true;
        }
        let others = |(id, _): &(Id, _)| *id != entry.publisher;
        for subnet in entry.addrs.iter().filter_map(subnet) {
            let there = cache
                .addrs(&entry.object)
                .filter(others)
                .filter(|(id, _)| self.by.contains_key(&(entry.object, *id)))
                .filter(|(_, addrs)| addrs.iter().any(|a| self::subnet(a) == Some(subnet)));
            if there.count() >= PER_SUBNET {
                return false;
            }
        }
        if cache.sequence(&key).is_none() {
            let same: Vec<Id> = cache
                .addrs(&entry.object)
                .filter(|(id, _)| self.by.get(&(entry.object, *id)) == Some(child))
                .map(|(id, _)| id)
                .collect();
            if same.len() >= (list / CHILD_PART).max(1) {
                let victim = same[rng.random_range(0..same.len())];
                cache.evict(&(entry.object, victim));
                self.by.remove(&(entry.object, victim));
            }
        }
        true
    }

    /// The entry was taken from this child, or from the peer itself.
    pub(crate) fn note(&mut self, key: Key, child: Option<&Id>) {
        match child {
            Some(child) => self.by.insert(key, *child),
            None => self.by.remove(&key),
        };
    }

    /// Forgets what the cache has forgotten.
    pub(crate) fn tidy(&mut self, cache: &Cache) {
        self.by.retain(|key, _| cache.sequence(key).is_some());
    }
}

/// The subnet of a public address.
fn subnet(addr: SocketAddr) -> Option<IpAddr> {
    match addr.ip() {
        IpAddr::V4(ip) if is_public_v4(ip) => {
            Some(Ipv4Addr::from(u32::from(ip) & (!0 << 8)).into())
        }
        IpAddr::V6(ip) if is_public_v6(ip) => {
            Some(Ipv6Addr::from(u128::from(ip) & (!0 << 72)).into())
        }
        _ => None,
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b); // RFC 6598
    !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared)
}

/// 2000::/3 is what is routed.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    ip.octets()[0] >> 5 == 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::cache::{Eviction, Limits};
    use super::*;
    use crate::chunks::ChunkSet;
    use crate::coords::Coord;
    use crate::time::Instant;
    use crate::wire::PeerAddrs;

    const LIST: usize = 16;

    struct World {
        cache: Cache,
        shares: Shares,
        rng: ChaCha8Rng,
    }

    impl World {
        fn new() -> Self {
            let limits = Limits {
                entries_per_object: LIST,
                objects: 3,
                bytes: 1 << 20,
                chunks: 1000,
                lifetime: Duration::from_secs(1800),
                eviction: Eviction::Random,
            };
            Self {
                cache: Cache::new(limits),
                shares: Shares::default(),
                rng: ChaCha8Rng::seed_from_u64(1),
            }
        }

        /// Whether the entry is taken from this child (`None`: from its peer).
        fn take(&mut self, publisher: u8, ip: IpAddr, child: Option<u8>) -> bool {
            let entry = Entry {
                object: ObjectId(Id([1; 20])),
                publisher: Id([publisher; 20]),
                sequence: 1,
                addrs: PeerAddrs::from(SocketAddr::new(ip, 1)),
                coord: Coord::default(),
                chunks: 10,
                held: ChunkSet::full(10),
                delta_of: None,
                summary: None,
                load: 0,
                reachable: true,
                lifetime: Duration::from_secs(300),
                proof: None,
            };
            let child = child.map(|c| Id([c; 20]));
            let key = (entry.object, entry.publisher);
            let World { cache, shares, rng } = self;
            if let Some(child) = &child
                && !shares.admit(cache, &entry, child, LIST, rng)
            {
                return false;
            }
            cache.store(entry, false, rng, Instant::ZERO);
            shares.note(key, child.as_ref());
            true
        }

        fn len(&self) -> usize {
            self.cache.publishers(&ObjectId(Id([1; 20]))).count()
        }
    }

    fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        IpAddr::from([a, b, c, d])
    }

    #[test]
    fn four_of_a_public_subnet_are_taken_and_all_of_a_rack() {
        let mut world = World::new();
        let taken = (0..10).filter(|n| world.take(*n, v4(8, 8, 8, *n), Some(n + 100)));
        assert_eq!(taken.count(), 4);
        assert!(world.take(11, v4(8, 8, 9, 1), Some(1)), "the next /24");
        assert!(world.take(0, v4(8, 8, 8, 0), Some(1)), "known already");
        let mut world = World::new();
        let rack = (0..10).filter(|n| world.take(*n, v4(192, 168, 1, *n), Some(n + 100)));
        assert_eq!(rack.count(), 10);
        let mut world = World::new();
        let six = |n: u8, site: u16| IpAddr::from([0x2001, 0xdb8, 1, site, 0, 0, 0, u16::from(n)]);
        let taken =
            (0..10).filter(|n| world.take(*n, six(*n, 0x100 + u16::from(*n)), Some(n + 100)));
        assert_eq!(taken.count(), 4, "one /56");
        assert!(world.take(20, six(20, 0x200), Some(9)), "the next /56");
    }

    #[test]
    fn what_peers_publish_themselves_is_not_limited_and_does_not_count() {
        let mut world = World::new();
        assert!((0..8).all(|n| world.take(n, v4(8, 8, 8, n), None)));
        let taken = (20..30).filter(|n| world.take(*n, v4(8, 8, 8, *n), Some(n + 100)));
        assert_eq!(taken.count(), 4);
    }

    #[test]
    fn one_child_fills_a_quarter_and_no_other_child_loses_by_it() {
        let mut world = World::new();
        assert!((0..4).all(|n| world.take(n, v4(10, 0, 0, n), Some(1))));
        assert!((10..100).all(|n| world.take(n, v4(10, 0, 0, n), Some(2))));
        assert_eq!(world.len(), 4 + LIST / 4);
        let object = ObjectId(Id([1; 20]));
        let ours = (0..4).filter(|n| world.cache.sequence(&(object, Id([*n; 20]))).is_some());
        assert_eq!(ours.count(), 4);
        world.shares.tidy(&world.cache);
        assert_eq!(world.shares.by.len(), 8);
    }
}
