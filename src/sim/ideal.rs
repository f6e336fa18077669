//! Local convergence (paper section 2.2: queries from near each other meet early), and how good it could be.

use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::net::Net;
use crate::id::Id;

/// Longest route that is followed.
const MAX_HOPS: usize = 32;
/// Leaves on each side in an ideal table.
const LEAVES: usize = 8;

/// Names and limits of the distance bands: up to which round-trip time, exclusive.
pub const BANDS: [(&str, Duration); 4] = [
    ("< 5 ms", Duration::from_millis(5)),
    ("5-20 ms", Duration::from_millis(20)),
    ("20-80 ms", Duration::from_millis(80)),
    ("> 80 ms", Duration::MAX),
];

/// One distance band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Band {
    /// Pairs of nodes and keys looked at.
    pub pairs: u64,
    /// Pairs whose routes meet at a node that is not the root.
    pub meet: u64,
    /// Pairs that would with perfect proximity neighbour selection.
    pub ideal: u64,
    /// Pairs of which one route ends elsewhere than at the true root.
    pub astray: u64,
}

/// Local convergence by distance band, in the order of [`BANDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Convergence {
    /// See [`BANDS`].
    pub bands: [Band; 4],
}

impl Band {
    /// Share of pairs that meet, percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.meet as f64 / self.pairs.max(1) as f64
    }

    /// Share of pairs that would meet with perfect tables, percent.
    pub fn ideal_percent(&self) -> f64 {
        100.0 * self.ideal as f64 / self.pairs.max(1) as f64
    }
}

/// Follows the tables of all members as they are now, from `samples` pairs a band to random keys. Keys whose root is one
/// of the pair are left out. Dead contacts are skipped, as a node does once the first datagram is not acknowledged.
pub fn convergence(net: &mut Net, samples: u64) -> Convergence {
    let members: Vec<(Id, usize)> = net.members().iter().map(|(id, at)| (*id, *at)).collect();
    let mut result = Convergence::default();
    if members.len() < 2 {
        return result;
    }
    for _ in 0..samples * 4 {
        let a = members[net.rng().random_range(0..members.len())].1;
        let mut near: [Vec<usize>; 4] = Default::default();
        for (_, b) in members.iter().filter(|(_, b)| *b != a) {
            near[band(net.topology().rtt(a, *b))].push(*b);
        }
        for (i, others) in near.iter().enumerate() {
            if others.is_empty() || result.bands[i].pairs >= samples {
                continue;
            }
            let b = others[net.rng().random_range(0..others.len())];
            let key = net.random_id();
            let root = net.root_of(&key);
            if root == Some(a) || root == Some(b) {
                continue;
            }
            let (one, two) = (route(net, a, &key), route(net, b, &key));
            let band = &mut result.bands[i];
            band.pairs += 1;
            band.meet += u64::from(meet(&one, &two, root));
            let astray = one.last().copied() != root || two.last().copied() != root;
            band.astray += u64::from(astray);
            let (one, two) = (
                ideal_route(net, &members, a, &key),
                ideal_route(net, &members, b, &key),
            );
            result.bands[i].ideal += u64::from(meet(&one, &two, root));
        }
        if result.bands.iter().all(|b| b.pairs >= samples) {
            break;
        }
    }
    result
}

fn band(rtt: Duration) -> usize {
    BANDS
        .iter()
        .position(|(_, limit)| rtt < *limit)
        .unwrap_or(BANDS.len() - 1)
}

fn meet(one: &[usize], two: &[usize], root: Option<usize>) -> bool {
    one.iter().any(|at| Some(*at) != root && two.contains(at))
}

/// Places from `from` to where the route ends, both included.
fn route(net: &Net, from: usize, key: &Id) -> Vec<usize> {
    let mut path = vec![from];
    let mut dead = Vec::new();
    while path.len() < MAX_HOPS {
        let here = path[path.len() - 1];
        let Some(hop) = net.node(here).and_then(|node| node.next_hop(key, &dead)) else {
            break;
        };
        match net.place_of(hop.addr) {
            Some(place) => path.push(place),
            None => dead.push(hop.id),
        }
    }
    path
}

/// The same with tables that hold the truly nearest node in each slot.
fn ideal_route(net: &Net, members: &[(Id, usize)], from: usize, key: &Id) -> Vec<usize> {
    let Some(root) = net.root_of(key) else {
        return vec![from];
    };
    let position = |id: &Id| members.partition_point(|(x, _)| x < id);
    let ring = members.len();
    let mut path = vec![from];
    while path.len() < MAX_HOPS {
        let here = path[path.len() - 1];
        if here == root {
            break;
        }
        let Some(id) = net.node(here).map(|n| n.id()) else {
            break;
        };
        let root_id = net.node(root).map(|n| n.id()).unwrap_or_default();
        let apart = position(&id).abs_diff(position(&root_id));
        if apart.min(ring - apart) <= LEAVES {
            path.push(root);
            break;
        }
        let digits = id.common_prefix(key) + 1;
        let (low, high) = range(key, digits);
        let slot = &members[position(&low)..members.partition_point(|(x, _)| *x <= high)];
        let nearest = slot
            .iter()
            .map(|(_, place)| *place)
            .min_by_key(|place| (net.topology().rtt(here, *place), *place));
        path.push(nearest.unwrap_or(root));
    }
    path
}

/// The first and the last id that share `digits` digits with `key`.
fn range(key: &Id, digits: usize) -> (Id, Id) {
    let (mut low, mut high) = (*key, *key);
    for i in digits..Id::DIGITS {
        let mask = if i % 2 == 0 { 0xf0 } else { 0x0f };
        low.0[i / 2] &= !mask;
        high.0[i / 2] |= mask;
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_prefix_holds_exactly_the_ids_that_share_it() {
        let key: Id = "a3c0000000000000000000000000000000000000"
            .parse()
            .expect("an id");
        let (low, high) = range(&key, 3);
        assert!(low.to_string().starts_with("a3c000") && high.to_string().starts_with("a3cfff"));
        assert_eq!(low.common_prefix(&high), 3);
        assert_eq!(range(&key, 40), (key, key));
    }
}
