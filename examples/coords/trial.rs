//! A network of coordinates over a matrix of round-trip times, for the example and the tests.
//!
//! The relative error of a pair is |predicted - measured| / measured; pairs of up to 1 ms are left out, because there
//! the error says more about the clock than about the place.

use std::time::Duration;

use chunkcast::coords::{Coord, RttMatrix, Vivaldi, VivaldiConfig};
use chunkcast::id::Id;
use rand::seq::{SliceRandom, index};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Neighbours of each host, drawn at random.
pub(crate) const NEIGHBOURS: usize = 32;

/// What liars do; all but [`Lie::Late`] claim to be sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Each claims one wrong place within 0.5 s.
    Elsewhere,
    /// Each claims a new place within 1 s every time.
    Everywhere,
    /// All claim one and the same place.
    Together,
    /// Each claims to be 300 ms beside its place.
    Beside,
    /// Each answers up to 500 ms late.
    Late,
}

pub(crate) const LIES: [Lie; 5] = [
    Lie::Elsewhere,
    Lie::Everywhere,
    Lie::Together,
    Lie::Beside,
    Lie::Late,
];

/// Hosts of a matrix that sample one another. The last `liars` of them lie.
pub(crate) struct Trial {
    pub(crate) nodes: Vec<Vivaldi>,
    /// Hosts in random order; the nodes are the first ones.
    hosts: Vec<usize>,
    matrix: RttMatrix,
    neighbours: Vec<Vec<usize>>,
    lies: Option<(Lie, Vec<Coord>)>,
    honest: usize,
    /// Mean of what a sample's queues add.
    pub(crate) queueing: Duration,
    rng: ChaCha8Rng,
}

impl Trial {
    /// The fraction `part` of the hosts take part; a tenth of them tell the lie.
    pub(crate) fn new(
        matrix: &RttMatrix,
        config: &VivaldiConfig,
        part: f64,
        lie: Option<Lie>,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut hosts: Vec<usize> = (0..matrix.hosts()).collect();
        hosts.shuffle(&mut rng);
        let n = (0..hosts.len())
            .take_while(|&i| (i as f64) < part * hosts.len() as f64)
            .count();
        let neighbours = (0..n)
            .map(|i| {
                let mut known = index::sample(&mut rng, n, (NEIGHBOURS + 1).min(n)).into_vec();
                known.retain(|&j| j != i);
                known.truncate(NEIGHBOURS);
                known
            })
            .collect();
        let lies = lie.map(|lie| (lie, (0..n).map(|_| anywhere(0.5, &mut rng)).collect()));
        Self {
            nodes: (0..n)
                .map(|_| Vivaldi::new(config.clone(), rng.random()))
                .collect(),
            hosts,
            matrix: matrix.clone(),
            neighbours,
            honest: if lies.is_some() { n - n / 10 } else { n },
            lies,
            queueing: Duration::ZERO,
            rng,
        }
    }

    /// `rounds` samples a node, each of a random neighbour.
    pub(crate) fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for i in 0..self.nodes.len() {
                let j = self.neighbours[i][self.rng.random_range(0..self.neighbours[i].len())];
                if let Some((claim, rtt)) = self.ask(i, j) {
                    self.nodes[i].sample(id(j), &claim, rtt);
                }
            }
        }
    }

    /// What node `j` answers host number `i`, and after which time.
    fn ask(&mut self, i: usize, j: usize) -> Option<(Coord, Duration)> {
        let mut rtt = self.matrix.rtt(self.hosts[i], self.hosts[j])?;
        let queued = -self.rng.random_range(f64::MIN_POSITIVE..1.0).ln();
        rtt += self.queueing.mul_f64(queued);
        let mut claim = self.nodes[j].coord().quantised();
        if let Some((lie, places)) = &self.lies
            && j >= self.honest
        {
            match lie {
                Lie::Elsewhere => claim = places[j],
                Lie::Everywhere => claim = anywhere(1.0, &mut self.rng),
                Lie::Together => claim = places[0],
                Lie::Beside => claim.position[0] += 0.3,
                Lie::Late => rtt += Duration::from_micros(self.rng.random_range(0..500_000)),
            }
            if *lie != Lie::Late {
                claim.error = 0.0;
            }
        }
        Some((claim, rtt))
    }

    /// The median relative error over all pairs of honest nodes.
    pub(crate) fn median_error(&self) -> f64 {
        let pairs = (0..self.honest).flat_map(|i| (0..i).map(move |j| (i, j)));
        let errors = pairs.filter_map(|(i, j)| self.relative_error(&self.nodes[i].coord(), i, j));
        median(errors.collect())
    }

    /// The median of the errors that the honest nodes ascribe to themselves.
    pub(crate) fn claimed_error(&self) -> f64 {
        median(
            self.nodes[..self.honest]
                .iter()
                .map(|n| n.coord().error)
                .collect(),
        )
    }

    /// Hosts that do not take part come, each alone, and sample 32 honest or lying nodes in turn: the median relative
    /// error of their pairs with all honest nodes after so many samples (ascending).
    pub(crate) fn newcomers(&mut self, config: &VivaldiConfig, samples: &[usize]) -> Vec<f64> {
        let mut errors = vec![Vec::new(); samples.len()];
        for i in self.nodes.len()..self.hosts.len() {
            let mut node = Vivaldi::new(config.clone(), i as u64);
            let known = index::sample(&mut self.rng, self.nodes.len(), NEIGHBOURS).into_vec();
            for n in 0..samples.iter().copied().max().unwrap_or(0) {
                let j = known[n % known.len()];
                if let Some((claim, rtt)) = self.ask(i, j) {
                    node.sample(id(j), &claim, rtt);
                }
                if let Some(at) = samples.iter().position(|&s| s == n + 1) {
                    let here = node.coord();
                    errors[at]
                        .extend((0..self.honest).filter_map(|j| self.relative_error(&here, i, j)));
                }
            }
        }
        errors.into_iter().map(median).collect()
    }

    /// Runs `rounds` more: the median and the longest way of honest nodes a sample, in seconds.
    pub(crate) fn movement(&mut self, rounds: usize) -> (f64, f64) {
        let mut ways = Vec::new();
        for _ in 0..rounds {
            let before: Vec<Coord> = self.nodes.iter().map(Vivaldi::coord).collect();
            self.run(1);
            let pairs = before.iter().zip(&self.nodes).take(self.honest);
            ways.extend(pairs.map(|(b, n)| way(b, &n.coord())));
        }
        let longest = ways.iter().copied().fold(0.0, f64::max);
        (median(ways), longest)
    }

    /// The host of `node` takes the place of one that does not take part: its error (median over its pairs) after
    /// each of `rounds` rounds of samples.
    pub(crate) fn relocate(&mut self, node: usize, rounds: usize) -> Vec<f64> {
        let other = self.nodes.len();
        self.hosts.swap(node, other);
        (0..rounds)
            .map(|_| {
                self.run(1);
                let here = self.nodes[node].coord();
                let errors = (0..self.honest).filter_map(|j| self.relative_error(&here, node, j));
                median(errors.collect())
            })
            .collect()
    }

    fn relative_error(&self, here: &Coord, i: usize, j: usize) -> Option<f64> {
        let real = self.matrix.rtt(self.hosts[i], self.hosts[j])?.as_secs_f64();
        let told = here.rtt(&self.nodes[j].coord()).as_secs_f64();
        (real > 0.001).then(|| (told - real).abs() / real)
    }
}

/// From `a` to `b`, height included, in seconds.
pub(crate) fn way(a: &Coord, b: &Coord) -> f64 {
    let flat: f64 = a
        .position
        .iter()
        .zip(b.position)
        .map(|(a, b)| (a - b).powi(2))
        .sum();
    flat.sqrt() + (a.height - b.height).abs()
}

fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "no pair was measured");
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn anywhere(within: f64, rng: &mut ChaCha8Rng) -> Coord {
    Coord {
        position: std::array::from_fn(|_| rng.random_range(-within..within)),
        height: 0.001,
        error: 0.0,
    }
}

fn id(n: usize) -> Id {
    let mut bytes = [0; 20];
    bytes[12..].copy_from_slice(&(n as u64).to_be_bytes());
    Id(bytes)
}
