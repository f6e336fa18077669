//! A graph of autonomous systems on a plane: how it grows, which of them become stubs, and the routes between these.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Share of new systems with one provider; the others have two.
const SINGLE_HOMED: f64 = 0.4; // measured: a third of all systems has degree 1 then, as in the AS graph
/// Links between two old systems for each new system.
const PEERINGS: f64 = 0.5; // measured: a mean degree of 4.2, about that of the AS graph in the years of Inet
/// An old system is chosen in proportion to its degree less this.
const SHIFT: f64 = 0.75; // measured: an exponent of 2.2 to 2.3; Bu & Towsley 2002 fit the AS graph with 0.64
/// Side of the plane; latencies are scaled afterwards.
const PLANE: i64 = 1_000_000;
/// Draws of an end for a new link before it is left out.
const DRAWS: usize = 100; // more than the few that a graph of a few nodes needs
/// Highest degree of a system that carries nobody else's traffic.
const STUB_DEGREE: usize = 2;

/// One link between two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) a: usize,
    pub(super) b: usize,
    /// Distance on the plane, at least 1.
    length: u64,
}

/// Systems 0.. and the links between them; connected, no link twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graph {
    places: Vec<(i64, i64)>,
    edges: Vec<Edge>,
    /// Of each system: its neighbours and the indices of the links to them.
    neighbours: Vec<Vec<(usize, usize)>>,
}

/// How to get from one system to every other one.
pub(super) struct Tree {
    reached: Vec<Option<Reached>>,
}

/// Cost from the root, and the neighbour and link before.
type Reached = (Cost, Option<(usize, usize)>);

/// Cost of a route, compared in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    /// Stubs passed on the way.
    stubs: u32,
    hops: u32,
    length: u64,
}

impl Graph {
    /// `nodes` systems by preferential attachment: a new one gets one or two links to old ones, and every other time two
    /// old ones get a link between them.
    pub(super) fn grow(nodes: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut graph = Self {
            places: Vec::with_capacity(nodes),
            edges: Vec::new(),
            neighbours: Vec::with_capacity(nodes),
        };
        for node in 0..nodes {
            let place = (rng.random_range(0..PLANE), rng.random_range(0..PLANE));
            graph.places.push(place);
            graph.neighbours.push(Vec::new());
            if node < 3 {
                (0..node).for_each(|old| graph.link(old, node));
                continue;
            }
            let providers = if rng.random_bool(SINGLE_HOMED) { 1 } else { 2 };
            for _ in 0..providers {
                graph.link_to_old(node, rng);
            }
            if rng.random_bool(PEERINGS) {
                let old = graph.draw(rng);
                graph.link_to_old(old, rng);
            }
        }
        graph
    }

    pub(super) fn degree(&self, node: usize) -> usize {
        self.neighbours[node].len()
    }

    pub(super) fn edge(&self, edge: usize) -> Edge {
        self.edges[edge]
    }

    /// Whether its degree is that of a stub.
    pub(super) fn is_low(&self, node: usize) -> bool {
        self.degree(node) <= STUB_DEGREE
    }

    /// Distinct systems of degree 1 or 2 in random order; as long as there are such, no two are neighbours and none is
    /// the only provider of a neighbour. If these are too few, others follow, the ones of lowest degree last.
    pub(super) fn choose_stubs(&self, stubs: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.shuffle(rng);
        let mut chosen = Vec::with_capacity(stubs);
        let mut taken = vec![false; order.len()];
        for round in 0..3 {
            for &node in order.iter().filter(|n| self.is_low(**n)) {
                if chosen.len() == stubs {
                    return chosen;
                }
                let mut near = self.neighbours[node].iter();
                let fits = match round {
                    0 => near.all(|(n, _)| !taken[*n] && self.degree(*n) > 1),
                    1 => near.all(|(n, _)| !taken[*n]),
                    _ => true,
                };
                if fits && !taken[node] {
                    taken[node] = true;
                    chosen.push(node);
                }
            }
        }
        order.retain(|n| !taken[*n]);
        order.sort_by_key(|n| self.degree(*n));
        let missing = stubs - chosen.len();
        chosen.extend(order.into_iter().take(missing));
        chosen
    }

    /// Best routes from `root` to every system: those that pass the fewest of `stubs` on the way, then the fewest links,
    /// then the shortest.
    pub(super) fn routes_from(&self, root: usize, stubs: &[bool]) -> Tree {
        let mut reached = vec![None; self.places.len()];
        let mut queue = BinaryHeap::new();
        reached[root] = Some((Cost::default(), None));
        queue.push(Reverse((Cost::default(), root)));
        while let Some(Reverse((cost, node))) = queue.pop() {
            if reached[node].is_some_and(|(best, _)| best < cost) {
                continue;
            }
            let passed = u32::from(stubs[node] && node != root);
            for &(next, edge) in &self.neighbours[node] {
                let cost = Cost {
                    stubs: cost.stubs + passed,
                    hops: cost.hops + 1,
                    length: cost.length + self.edges[edge].length,
                };
                if reached[next].is_none_or(|(best, _)| cost < best) {
                    reached[next] = Some((cost, Some((node, edge))));
                    queue.push(Reverse((cost, next)));
                }
            }
        }
        Tree { reached }
    }

    /// One link from `node` to a system that it has no link to, if one is drawn.
    fn link_to_old(&mut self, node: usize, rng: &mut ChaCha8Rng) {
        let free = |graph: &Self, old: usize| {
            old != node && graph.neighbours[node].iter().all(|(n, _)| *n != old)
        };
        let drawn = (0..DRAWS)
            .map(|_| self.draw(rng))
            .find(|old| free(self, *old));
        if let Some(old) = drawn {
            self.link(old, node);
        }
    }

    /// A system that has links, in proportion to how many it has less [`SHIFT`].
    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        loop {
            let edge = self.edges[rng.random_range(0..self.edges.len())];
            let node = if rng.random() { edge.a } else { edge.b };
            // Degrees are below 2^32.
            if rng.random_range(0.0..1.0) * self.degree(node) as f64 > SHIFT {
                return node;
            }
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        let (x, y) = (
            self.places[a].0 - self.places[b].0,
            self.places[a].1 - self.places[b].1,
        );
        let length = (x * x + y * y).unsigned_abs().isqrt().max(1);
        self.neighbours[a].push((b, self.edges.len()));
        self.neighbours[b].push((a, self.edges.len()));
        self.edges.push(Edge { a, b, length });
    }

    /// A graph of these links, all systems at one point.
    #[cfg(test)]
    pub(super) fn of_links(links: &[(usize, usize)]) -> Self {
        let nodes = links.iter().map(|(a, b)| a.max(b) + 1).max().unwrap_or(0);
        let mut graph = Self {
            places: vec![(0, 0); nodes],
            edges: Vec::new(),
            neighbours: vec![Vec::new(); nodes],
        };
        links.iter().for_each(|(a, b)| graph.link(*a, *b));
        graph
    }

    /// Neighbours, with the length of the link to each.
    #[cfg(test)]
    pub(super) fn links_of(&self, node: usize) -> impl Iterator<Item = (usize, u64)> {
        let links = self.neighbours[node].iter();
        links.map(|&(next, edge)| (next, self.edges[edge].length))
    }
}

impl Tree {
    /// The links from the root to `node`, in order, each with the system it leaves, and their length together.
    ///
    /// # Panics
    /// If the graph is not connected.
    pub(super) fn route(&self, node: usize) -> (Vec<(usize, usize)>, u64) {
        let best = |node: usize| self.reached[node].expect("a grown graph is connected");
        let mut links = Vec::new();
        let mut at = node;
        while let Some((before, edge)) = best(at).1 {
            links.push((before, edge));
            at = before;
        }
        links.reverse();
        (links, best(node).0.length)
    }
}
