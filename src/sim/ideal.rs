//! Local convergence (paper section 2.2: queries from near each other meet early), and how good it could be.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::net::Net;
use crate::id::Id;
use crate::node::OverlayConfig;
use crate::overlay::{NEAR, agreed};

/// Longest route that is followed.
const MAX_HOPS: usize = 32;
/// Leaves on each side in an ideal table.
const LEAVES: usize = 8;
/// Rows of the routing tables that are looked at.
const TABLE_ROWS: usize = 4;

/// Names and limits of the distance bands: up to which round-trip time, exclusive.
pub const BANDS: [(&str, Duration); 4] = [
    ("< 5 ms", Duration::from_millis(5)),
    ("5-20 ms", Duration::from_millis(20)),
    ("20-80 ms", Duration::from_millis(80)),
    ("> 80 ms", Duration::MAX),
];

/// One row of the routing tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Slots for which there is a node.
    pub slots: u64,
    /// Of these, where the nearest one is known.
    pub nearest: u64,
    /// Nodes that perfect tables hold as good as the nearest.
    pub band: u64,
    /// Of these, known.
    pub found: u64,
}

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

/// How good the routing tables are, row by row: of `samples` members, against tables that hold the nearest nodes.
pub(super) fn tables(net: &mut Net, samples: usize) -> Vec<Row> {
    let members: Vec<(Id, usize)> = net.members().iter().map(|(id, at)| (*id, *at)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..samples.min(members.len()) {
        let (id, here) = members[net.rng().random_range(0..members.len())];
        let Some(node) = net.node(here) else { continue };
        let known: BTreeSet<Id> = node.contacts().iter().map(|c| c.id).collect();
        for (row, digit) in (0..TABLE_ROWS).flat_map(|row| (0..16).map(move |d| (row, d))) {
            let key = with_digit(&id, row, digit);
            let slot = &members[bounds(&members, &key, row + 1)];
            if digit == id.digit(row) || slot.is_empty() {
                continue;
            }
            if rows.len() <= row {
                rows.resize(row + 1, Row::default());
            }
            let good = candidates(net, here, slot);
            let best = good.iter().min().map(|(_, id, _)| known.contains(id));
            let row = &mut rows[row];
            row.slots += 1;
            row.nearest += u64::from(best == Some(true));
            row.band += good.len() as u64;
            row.found += good.iter().filter(|(_, id, _)| known.contains(id)).count() as u64;
        }
    }
    rows
}

fn with_digit(id: &Id, row: usize, digit: u8) -> Id {
    let mut key = *id;
    let shift = if row.is_multiple_of(2) { 4 } else { 0 };
    key.0[row / 2] = key.0[row / 2] & !(0x0f << shift) | digit << shift;
    key
}

/// Where the members are that share `digits` digits with `key`.
fn bounds(members: &[(Id, usize)], key: &Id, digits: usize) -> std::ops::Range<usize> {
    let (low, high) = range(key, digits);
    let from = members.partition_point(|(x, _)| *x < low);
    from..members.partition_point(|(x, _)| *x <= high)
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

/// Of a slot's candidates those that a perfect table holds and that are as good as the nearest.
fn candidates(net: &Net, here: usize, slot: &[(Id, usize)]) -> Vec<(Duration, Id, usize)> {
    let far = |(id, place): &(Id, usize)| (net.topology().rtt(here, *place), *id, *place);
    let others = slot.iter().filter(|(_, place)| *place != here);
    let mut slot: Vec<(Duration, Id, usize)> = others.map(far).collect();
    let width = 1 + OverlayConfig::default().spares;
    if slot.len() > width {
        slot.select_nth_unstable(width - 1);
        slot.truncate(width);
    }
    let nearest = slot.iter().map(|(rtt, ..)| *rtt).min();
    let band = nearest.unwrap_or_default() + NEAR;
    slot.retain(|(rtt, ..)| *rtt <= band);
    slot
}

/// The same with tables that hold the truly nearest nodes in each slot.
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
        let slot = &members[bounds(members, key, id.common_prefix(key) + 1)];
        let equal = candidates(net, here, slot).into_iter();
        let next = equal.min_by_key(|(_, id, _)| (agreed(id, key), *id));
        path.push(next.map_or(root, |(.., place)| place));
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
