//! The network that peers exchange chunks over: places, latencies, the capacity of each link and the links of each route.
//!
//! The paper's evaluation (5.1) emulates a 4000-node graph of autonomous systems made by Inet, with peers in 50 of its
//! stubs. Here: growth by preferential attachment on a plane ([`graph`]); stubs are systems of degree 1 or 2; a route has
//! the fewest links and, of these, the shortest way, and passes no stub with peers if it can; the latency of a link is its
//! length on the plane, scaled so that the median between stubs is as asked. A link between two systems of degree 1 or 2
//! is a stub-stub link, one between such a system and another is a stub-transit link, all others are transit and have no
//! limit.
//!
//! # Differences from the paper
//! - Inet's own generator is not used: it fits measured tables; what matters here (hops, shared stub links, distances) comes
//!   from the power law alone.
//! - The paper gives no latencies and Inet makes none: the median is a field, and a host's own link adds 0.5 to 1 ms one way.
//! - Besides: [`Internet::from_matrix`] takes measured round-trip times between sites, [`Internet::sites`] is a few sites
//!   with one shared line each.
//!
//! The graph, the choice of stubs, the homes of peers and their capacities are drawn from one stream of random numbers
//! each: more peers, or other capacities, leave the graph of a seed as it is.

mod graph;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::graph::{Graph, Tree};
pub use self::spec::{InternetSpec, SitesSpec, SpecError};
use super::topology::{MatrixError, Topology, parse_matrix};

/// What a host's own link adds to a round-trip time, microseconds: two hosts of one stub are 2 to 4 ms apart.
const ACCESS_RTT_US: std::ops::RangeInclusive<u32> = 1_000..=2_000; // guess: the paper gives no latencies

/// Places in stubs, links with capacities, and routes.
///
/// A place is what [`Topology`] calls so; a peer has the place of its number, spare places follow. A link is one direction
/// (both, of a half-duplex access link) with a limit; its index counts from 0. Links without a limit have none.
#[derive(Clone, Debug)]
pub struct Internet {
    topology: Topology,
    /// Bytes a second, by link: access links first.
    capacities: Vec<f64>,
    /// Access links of a place: 2, or 1 if half duplex.
    ways: u32,
    stubs: usize,
    /// By stub from * `stubs` + stub to.
    routes: Vec<Route>,
    /// Links of all routes, one after the other.
    crossed: Vec<u32>,
}

/// What is between two stubs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Route {
    /// Where its links begin.
    start: usize,
    /// How many links have a limit.
    finite: usize,
    /// How many there are, access links left out.
    hops: u32,
}

/// Streams of random numbers of one seed.
#[derive(Clone, Copy)]
enum Stream {
    Graph,
    Stubs,
    Homes,
    Access,
    Spares,
}

impl Internet {
    /// The network of a specification; the same seed gives the same one.
    ///
    /// # Panics
    /// If [`InternetSpec::validate`] fails.
    pub fn generate(spec: &InternetSpec, seed: u64) -> Self {
        spec.validate().expect("the caller has validated it");
        let graph = Graph::grow(spec.nodes, &mut stream(seed, Stream::Graph));
        let stubs = graph.choose_stubs(spec.stubs, &mut stream(seed, Stream::Stubs));
        let mut hosting = vec![false; spec.nodes];
        stubs.iter().for_each(|stub| hosting[*stub] = true);
        let mut net = Builder::new(spec.stubs, access(spec, seed), spec.half_duplex);
        let mut links = StubLinks {
            graph: &graph,
            spec,
            hosting: &hosting,
            known: BTreeMap::new(),
        };
        let mut lengths = vec![0; spec.stubs * spec.stubs];
        for (a, root) in stubs.iter().enumerate() {
            let tree = graph.routes_from(*root, &hosting);
            for b in a + 1..spec.stubs {
                let length = links.route(&tree, (a, b), stubs[b], &mut net);
                lengths[a * spec.stubs + b] = length;
                lengths[b * spec.stubs + a] = length;
            }
        }
        let between = scaled(&lengths, spec.median_one_way);
        net.finish(between, &homes(spec, seed))
    }

    /// The network of measured sites: as many as `spec.stubs` are drawn from a square matrix of round-trip times, one row a
    /// line, milliseconds separated by white space. Each becomes a stub with one stub-transit link each way; between two
    /// stubs there are four links, access links included. The times are taken as they are: `spec.nodes`,
    /// `spec.stub_stub` and `spec.median_one_way` do not count.
    ///
    /// # Errors
    /// [`MatrixError`] names the row that is not as expected, or says that there are fewer rows than stubs.
    ///
    /// # Panics
    /// If [`InternetSpec::validate`] fails.
    pub fn from_matrix(text: &str, spec: &InternetSpec, seed: u64) -> Result<Self, MatrixError> {
        spec.validate().expect("the caller has validated it");
        let (rows, measured) = parse_matrix(text)?;
        if rows < spec.stubs {
            return Err(MatrixError::TooFew {
                asked: spec.stubs,
                rows,
            });
        }
        let mut drawn: Vec<usize> = (0..rows).collect();
        drawn.shuffle(&mut stream(seed, Stream::Stubs));
        drawn.truncate(spec.stubs);
        let between = drawn
            .iter()
            .flat_map(|a| drawn.iter().map(move |b| a * rows + b))
            .map(|cell| measured[cell])
            .collect();
        let mut net = Builder::new(spec.stubs, access(spec, seed), spec.half_duplex);
        net.star(spec.stub_transit);
        Ok(net.finish(between, &homes(spec, seed)))
    }

    /// Sites with one shared line each way: the seed is peer 0 in site 0, the other peers are at the sites in random order.
    /// Between two sites there are four links, access links included.
    ///
    /// # Panics
    /// If [`SitesSpec::validate`] fails.
    pub fn sites(spec: &SitesSpec, seed: u64) -> Self {
        spec.validate().expect("the caller has validated it");
        let peers = spec.sites * spec.per_site;
        let mut at: Vec<usize> = (0..peers).map(|i| i % spec.sites).collect();
        at.shuffle(&mut stream(seed, Stream::Homes));
        at.insert(0, 0);
        let own = micros(spec.rtt_lan) / 2;
        let apart = micros(spec.rtt_wan).saturating_sub(2 * own);
        let between = (0..spec.sites * spec.sites)
            .map(|i| if i % (spec.sites + 1) == 0 { 0 } else { apart })
            .collect();
        let mut net = Builder::new(spec.sites, vec![spec.lan; at.len()], false);
        net.star(spec.uplink);
        let homes: Vec<_> = at.into_iter().map(|site| (site, own)).collect();
        net.finish(between, &homes)
    }

    /// Where peers are: a place each, the site of a place is its stub. Round-trip times include access.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The stub of a place, 0-based.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn stub(&self, peer: usize) -> usize {
        self.topology.site(peer)
    }

    /// Bytes a second of each link, by index.
    pub fn capacities(&self) -> Vec<f64> {
        self.capacities.clone()
    }

    /// The link from a place to its stub.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn up(&self, peer: usize) -> u32 {
        assert!(peer < self.topology.len(), "no place {peer}");
        number(peer) * self.ways
    }

    /// The link from its stub to a place; of a half-duplex one the same as [`Internet::up`].
    ///
    /// # Panics
    /// If there is no such place.
    pub fn down(&self, peer: usize) -> u32 {
        self.up(peer) + self.ways - 1
    }

    /// Replaces `links` by the links with a limit from one place to another, in order: first the sender's access link, last
    /// the receiver's. Returns how many links there are, those without a limit included: 2 inside a stub, 0 to itself.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn route(&self, from: usize, to: usize, links: &mut Vec<u32>) -> u32 {
        links.clear();
        if from == to {
            return 0;
        }
        let route = self.routes[self.stub(from) * self.stubs + self.stub(to)];
        links.push(self.up(from));
        links.extend_from_slice(&self.crossed[route.start..][..route.finite]);
        links.push(self.down(to));
        route.hops + 2
    }

    /// Capacity of a place's access link, bytes a second each way (in all, if half duplex).
    ///
    /// # Panics
    /// If there is no such place.
    pub fn access_capacity(&self, peer: usize) -> f64 {
        self.capacities[self.up(peer) as usize]
    }
}

/// A network whose routes are being filled in.
struct Builder {
    capacities: Vec<f64>,
    ways: u32,
    stubs: usize,
    routes: Vec<Route>,
    crossed: Vec<u32>,
}

impl Builder {
    fn new(stubs: usize, access: Vec<f64>, half_duplex: bool) -> Self {
        let ways = if half_duplex { 1 } else { 2 };
        Self {
            capacities: access
                .into_iter()
                .flat_map(|capacity| std::iter::repeat_n(capacity, ways))
                .collect(),
            ways: number(ways),
            stubs,
            routes: vec![Route::default(); stubs * stubs],
            crossed: Vec::new(),
        }
    }

    /// A new link.
    fn link(&mut self, capacity: f64) -> u32 {
        self.capacities.push(capacity);
        number(self.capacities.len() - 1)
    }

    fn route(&mut self, from: usize, to: usize, hops: u32, links: &[u32]) {
        self.routes[from * self.stubs + to] = Route {
            start: self.crossed.len(),
            finite: links.len(),
            hops,
        };
        self.crossed.extend_from_slice(links);
    }

    /// Every stub has one link each way to a centre.
    fn star(&mut self, capacity: f64) {
        let ends: Vec<(u32, u32)> = (0..self.stubs)
            .map(|_| (self.link(capacity), self.link(capacity)))
            .collect();
        for (from, (out, _)) in ends.iter().enumerate() {
            for (to, (_, inward)) in ends.iter().enumerate().filter(|(to, _)| *to != from) {
                self.route(from, to, 2, &[*out, *inward]);
            }
        }
    }

    fn finish(self, between: Vec<u32>, homes: &[(usize, u32)]) -> Internet {
        Internet {
            topology: Topology::from_parts(self.stubs, between, homes),
            capacities: self.capacities,
            ways: self.ways,
            stubs: self.stubs,
            routes: self.routes,
            crossed: self.crossed,
        }
    }
}

/// Links of stubs that are used, numbered as they are met.
struct StubLinks<'a> {
    graph: &'a Graph,
    spec: &'a InternetSpec,
    hosting: &'a [bool],
    /// By link of the graph: from its first to its second system, and back.
    known: BTreeMap<usize, (u32, u32)>,
}

impl StubLinks<'_> {
    /// Adds the best route of a pair of stubs in both directions; its length.
    fn route(&mut self, tree: &Tree, pair: (usize, usize), to: usize, net: &mut Builder) -> u64 {
        let (steps, length) = tree.route(to);
        let limited: Vec<(u32, u32)> = steps
            .iter()
            .filter_map(|&(leaves, edge)| {
                let (there, back) = self.directions(edge, net)?;
                Some(if self.graph.edge(edge).a == leaves {
                    (there, back)
                } else {
                    (back, there)
                })
            })
            .collect();
        let there: Vec<u32> = limited.iter().map(|(there, _)| *there).collect();
        let back: Vec<u32> = limited.iter().rev().map(|(_, back)| *back).collect();
        let hops = number(steps.len());
        net.route(pair.0, pair.1, hops, &there);
        net.route(pair.1, pair.0, hops, &back);
        length
    }

    /// The two directions of a link, unless it is without limit.
    fn directions(&mut self, edge: usize, net: &mut Builder) -> Option<(u32, u32)> {
        let ends = self.graph.edge(edge);
        let stub = |node: usize| self.graph.is_low(node) || self.hosting[node];
        let capacity = match (stub(ends.a), stub(ends.b)) {
            (true, true) => self.spec.stub_stub,
            (false, false) => return None,
            _ => self.spec.stub_transit,
        };
        let new = || (net.link(capacity), net.link(capacity));
        Some(*self.known.entry(edge).or_insert_with(new))
    }
}

/// Round-trip times in microseconds: twice the lengths, so that the median one-way time is as asked.
fn scaled(lengths: &[u64], median: Duration) -> Vec<u32> {
    let mut sorted: Vec<u64> = lengths.iter().copied().filter(|l| *l > 0).collect();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(1);
    let median = u64::from(micros(median));
    let us = |length: u64| u32::try_from((length * median + middle / 2) / middle);
    let rtt = |length: &u64| us(*length).unwrap_or(u32::MAX / 8).saturating_mul(2);
    lengths.iter().map(rtt).collect()
}

/// Stub and access latency of each place: as evenly as possible over the stubs, in random order.
fn homes(spec: &InternetSpec, seed: u64) -> Vec<(usize, u32)> {
    let mut rng = stream(seed, Stream::Homes);
    let mut stubs: Vec<usize> = (0..spec.stubs).collect();
    stubs.shuffle(&mut rng);
    let deal = |places: std::ops::Range<usize>, rng: &mut ChaCha8Rng| {
        let mut at: Vec<usize> = places.map(|i| stubs[i % stubs.len()]).collect();
        at.shuffle(rng);
        at.into_iter()
            .map(|stub| (stub, rng.random_range(ACCESS_RTT_US)))
            .collect::<Vec<_>>()
    };
    let mut homes = deal(0..spec.peers, &mut rng);
    let spares = spec.peers..spec.peers + spec.spare_places;
    homes.extend(deal(spares, &mut stream(seed, Stream::Spares)));
    homes
}

/// Access capacity of each place: the seed's is the median, the others' are the evenly spaced quantiles of the range, in
/// random order, so that the median of a few peers is no matter of luck. Whole bytes a second: powers differ between
/// machines in their last bit.
fn access(spec: &InternetSpec, seed: u64) -> Vec<f64> {
    let mut rng = stream(seed, Stream::Access);
    let mut spread = |places: usize| {
        let quantile = |i: usize| (i as f64 + 0.5) / places as f64 - 0.5;
        let mut all: Vec<f64> = (0..places)
            .map(|i| spec.access * spec.access_spread.powf(quantile(i)))
            .collect();
        if spec.access_spread > 1.0 {
            all.iter_mut().for_each(|c| *c = c.round().max(1.0));
        }
        all.shuffle(&mut rng);
        all
    };
    let mut all = vec![spec.access];
    all.extend(spread(spec.peers - 1));
    all.extend(spread(spec.spare_places));
    all
}

fn stream(seed: u64, which: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(which as u64 + 1);
    rng
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).expect("validated to be at most 10 s")
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("validated counts are far below 2^32")
}
