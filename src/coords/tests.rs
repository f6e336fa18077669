//! What a node's coordinate does in a whole network, and against liars.

use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::id::Id;

fn id(n: usize) -> Id {
    let mut bytes = [0; 20];
    bytes[12..].copy_from_slice(&(n as u64).to_be_bytes());
    Id(bytes)
}

/// A network in which every round trip is known.
struct Network {
    nodes: Vec<Vivaldi>,
    rtt: Vec<Vec<Duration>>,
    rng: ChaCha8Rng,
}

impl Network {
    /// `n` nodes on a square of 200 ms; `access(i)` is the delay of node i's access link.
    fn plane(n: usize, seed: u64, access: impl Fn(usize) -> f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let places: Vec<[f64; 2]> = (0..n)
            .map(|_| std::array::from_fn(|_| rng.random_range(0.0..0.2)))
            .collect();
        let rtt = |i: usize, j: usize| {
            let [dx, dy] = [places[i][0] - places[j][0], places[i][1] - places[j][1]];
            Duration::from_secs_f64(dx.hypot(dy) + access(i) + access(j) + 1e-6)
        };
        let rtt = (0..n)
            .map(|i| (0..n).map(|j| rtt(i, j)).collect())
            .collect();
        let nodes = (0..n)
            .map(|i| Vivaldi::new(VivaldiConfig::default(), i as u64))
            .collect();
        Self { nodes, rtt, rng }
    }

    /// `rounds` samples of each node with random ones of its 32 neighbours.
    fn run(&mut self, rounds: usize) {
        let n = self.nodes.len();
        for _ in 0..rounds {
            for i in 0..n {
                let j = (i + self.rng.random_range(1..=32.min(n - 1))) % n;
                let remote = self.nodes[j].coord().quantised();
                assert!(self.nodes[i].sample(id(j), &remote, self.rtt[i][j]));
            }
        }
    }

    /// |predicted - real| / real over all pairs, the median.
    fn median_error(&self) -> f64 {
        let n = self.nodes.len();
        let mut errors: Vec<f64> = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| {
                let real = self.rtt[i][j].as_secs_f64();
                let told = self.nodes[i]
                    .coord()
                    .rtt(&self.nodes[j].coord())
                    .as_secs_f64();
                (told - real).abs() / real
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        errors[errors.len() / 2]
    }
}

#[test]
fn forty_nodes_on_a_plane_find_their_places() {
    for seed in 0..3 {
        let mut network = Network::plane(40, seed, |_| 0.0);
        network.run(200);
        let error = network.median_error();
        assert!(
            error < 0.05,
            "seed {seed}: median relative error {error:.3}"
        );
        let sure = network
            .nodes
            .iter()
            .filter(|n| n.coord().error < 0.15)
            .count();
        assert!(sure >= 36, "only {sure} of 10 nodes know that they have");
    }
}

/// Neighbours on a plane cannot tell above from below; only the one next door can.
#[test]
fn a_node_on_the_wrong_side_of_its_neighbours_goes_to_the_one_next_door() {
    let place = |x: f64, y: f64, z: f64| Coord {
        position: [x, y, z],
        height: 0.0001,
        error: 0.05,
    };
    let (below, above) = (place(0.1, 0.1, -0.06), place(0.1, 0.1, 0.06));
    let mut node = Vivaldi::new(VivaldiConfig::default(), 1);
    let mut rounds = |next_door: &Coord| {
        for round in 0..4 {
            for n in 0..40usize {
                let (x, y) = ((n % 8) as f64 * 0.03, (n / 8) as f64 * 0.05);
                let there = place(x, y, 0.0);
                assert!(node.sample(id(n), &there, there.rtt(&below)));
            }
            let rtt = Duration::from_millis(2);
            assert!(node.sample(id(100 + round), next_door, rtt));
            assert!(node.sample(id(200), next_door, rtt));
        }
        node.coord()
    };
    assert!(rounds(&below).rtt(&below) < Duration::from_millis(10));
    // those below are gone, and seen from the plane it might as well be above
    let moved = rounds(&above).rtt(&above);
    assert!(moved < Duration::from_millis(10), "{moved:?}");
}

#[test]
fn heights_take_up_slow_access_links() {
    let access = |i: usize| if i.is_multiple_of(4) { 0.06 } else { 0.002 };
    let mut network = Network::plane(40, 7, access);
    network.run(300);
    let error = network.median_error();
    assert!(error < 0.08, "median relative error {error:.3}");
    let mean = |slow: bool| {
        let of = network
            .nodes
            .iter()
            .enumerate()
            .filter(|(i, _)| i.is_multiple_of(4) == slow);
        let heights: Vec<f64> = of.map(|(_, n)| n.coord().height).collect();
        heights.iter().sum::<f64>() / heights.len() as f64
    };
    // the third dimension takes a part of it
    assert!(
        mean(true) > 4.0 * mean(false),
        "{} against {}",
        mean(true),
        mean(false)
    );
}

#[test]
fn the_ends_of_a_line_are_places_and_not_heights() {
    let mut network = Network::plane(11, 1, |_| 0.0);
    for i in 0..11usize {
        for j in 0..11 {
            network.rtt[i][j] =
                Duration::from_millis(20 * i.abs_diff(j) as u64).max(Duration::from_millis(2));
        }
    }
    network.run(40);
    for i in 0..9 {
        let told = |j: usize| network.nodes[i].coord().rtt(&network.nodes[j].coord());
        assert!(told(i + 1) < told(i + 2), "seen from {i}");
    }
    for i in 2..11 {
        let told = |j: usize| network.nodes[i].coord().rtt(&network.nodes[j].coord());
        assert!(told(i - 1) < told(i - 2), "seen from {i}");
    }
}

#[test]
fn nodes_that_start_at_one_point_part_in_different_directions() {
    let directions: Vec<[f64; 3]> = (0..8)
        .map(|seed| {
            let mut node = Vivaldi::new(VivaldiConfig::default(), seed);
            assert!(node.sample(id(1), &Coord::default(), Duration::from_millis(100)));
            node.coord().position
        })
        .collect();
    for (i, a) in directions.iter().enumerate() {
        assert!(a.iter().any(|x| x.abs() > 1e-3), "{a:?} has not moved");
        assert!(directions[..i].iter().all(|b| a != b));
    }
    let again = || {
        let mut node = Vivaldi::new(VivaldiConfig::default(), 3);
        node.sample(id(1), &Coord::default(), Duration::from_millis(100));
        node.coord()
    };
    assert_eq!(again(), again(), "the same seed gives the same point");
}

#[test]
fn absurd_samples_are_refused_and_change_nothing() {
    let mut node = Vivaldi::new(VivaldiConfig::default(), 1);
    let here = Coord {
        position: [0.02, 0.0, 0.0],
        height: 0.001,
        error: 0.5,
    };
    let rtt = Duration::from_millis(30);
    assert!(node.sample(id(1), &here, rtt));
    let before = node.coord();
    let far = [11.0, -11.0, 80.0, f64::INFINITY, f64::NAN];
    let remotes = far.into_iter().flat_map(|x| {
        [
            Coord {
                position: [0.0, x, 0.0],
                ..here
            },
            Coord { height: x, ..here },
            Coord { error: x, ..here },
        ]
    });
    for remote in remotes.chain([
        Coord {
            height: -0.001,
            ..here
        },
        Coord {
            error: -0.1,
            ..here
        },
    ]) {
        assert!(!node.sample(id(2), &remote, rtt), "{remote:?}");
    }
    assert!(!node.sample(id(2), &here, Duration::ZERO));
    assert!(!node.sample(id(2), &here, Duration::from_millis(10_001)));
    assert!(node.sample(id(2), &here, Duration::from_secs(10)));
    let mut fresh = Vivaldi::new(VivaldiConfig::default(), 1);
    assert!(fresh.sample(id(1), &here, rtt));
    assert_eq!(fresh.coord(), before, "refused samples left no trace");
}

#[test]
fn a_liar_pushes_a_settled_node_only_step_by_step_and_honest_samples_bring_it_back() {
    let mut network = Network::plane(40, 5, |_| 0.0);
    network.run(200);
    let settled = network.nodes[0].coord();
    let lie = Coord {
        position: [9.0, 0.0, 0.0],
        height: 0.0,
        error: 0.0,
    };
    for n in 1..=3 {
        assert!(network.nodes[0].sample(id(1000), &lie, Duration::from_millis(1)));
        let moved = distance(&settled, &network.nodes[0].coord());
        assert!(moved <= 0.0501 * f64::from(n), "{moved} s after {n} lies");
    }
    network.run(100);
    assert!(network.median_error() < 0.05);
}

/// How far the point moved, height included.
fn distance(a: &Coord, b: &Coord) -> f64 {
    let flat: f64 = a
        .position
        .iter()
        .zip(&b.position)
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    flat.sqrt() + (a.height - b.height).abs()
}

fn claim() -> impl Strategy<Value = (u8, Coord, Duration)> {
    let coord = (prop::array::uniform3(-10.0..10.0), 0.0..10.0, 0.0..=1.0).prop_map(
        |(position, height, error)| Coord {
            position,
            height,
            error,
        },
    );
    let any_bytes = any::<[u8; 14]>().prop_map(|b| Coord::from_bytes(&b).unwrap());
    (
        any::<u8>(),
        prop_oneof![coord, any_bytes, Just(Coord::default())],
        0u64..11_000_000,
    )
        .prop_map(|(from, coord, us)| (from, coord, Duration::from_micros(us)))
}

proptest! {
    #[test]
    fn whatever_others_claim_the_point_stays_a_point_and_moves_by_bounded_steps(
        seed in any::<u64>(), claims in prop::collection::vec(claim(), 0..200),
    ) {
        let config = VivaldiConfig::default();
        let (step, floor) = (config.max_step.as_secs_f64(), config.min_height.as_secs_f64());
        let mut node = Vivaldi::new(config, seed);
        for (from, remote, rtt) in claims {
            let before = node.coord();
            let taken = node.sample(id(from.into()), &remote, rtt);
            let after = node.coord();
            // the pull to the origin is at most (10 / 150)^2 s
            prop_assert!(distance(&before, &after) <= step + 0.0045);
            prop_assert!(taken || before == after);
            prop_assert!(after.position.iter().all(|p| p.abs() <= 10.0 + 1e-9));
            prop_assert!((floor..=10.0).contains(&after.height));
            prop_assert!((0.0..=1.0).contains(&after.error));
        }
    }
}

#[test]
fn a_config_out_of_range_is_named() {
    let default = VivaldiConfig::default();
    assert_eq!(default.validate(), Ok(()));
    let zero = VivaldiConfig {
        filter_samples: 0,
        ..default.clone()
    };
    assert_eq!(
        zero.validate(),
        Err(VivaldiConfigError::Zero("filter_samples"))
    );
    let nan = VivaldiConfig {
        cc: f64::NAN,
        ..default.clone()
    };
    assert_eq!(nan.validate(), Err(VivaldiConfigError::Fraction("cc")));
    let still = VivaldiConfig {
        max_step: Duration::ZERO,
        ..default
    };
    assert_eq!(
        still.validate().unwrap_err().to_string(),
        "coordinates: `max_step` must be above 0"
    );
}

/// Pairs of hosts at different sites that take each other for hosts of one, of those in a network of equally far sites whose
/// hosts begin one after the other, or all at once.
fn fallen_together(sites: usize, each: usize, one_by_one: bool, seed: u64) -> usize {
    let n = sites * each;
    let rtt = |i: usize, j: usize| match i / each == j / each {
        true => Duration::from_micros(500),
        false => Duration::from_millis(60),
    };
    let mut network = Network {
        nodes: (0..n)
            .map(|i| Vivaldi::new(VivaldiConfig::default(), seed * 100 + i as u64))
            .collect(),
        rtt: (0..n)
            .map(|i| (0..n).map(|j| rtt(i, j)).collect())
            .collect(),
        rng: ChaCha8Rng::seed_from_u64(seed),
    };
    for round in 0..100 {
        let begun = match one_by_one {
            true => n.min(2 + round / 2),
            false => n,
        };
        for i in 0..begun {
            let j = (i + network.rng.random_range(1..begun)) % begun;
            let remote = network.nodes[j].coord().quantised();
            assert!(network.nodes[i].sample(id(j), &remote, network.rtt[i][j]));
        }
    }
    let pairs = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
    let apart = |i: usize, j: usize| network.nodes[i].coord().apart(&network.nodes[j].coord());
    let near = Duration::from_millis(20);
    pairs
        .filter(|(i, j)| i / each != j / each && apart(*i, *j) < near)
        .count()
}

#[test]
fn sites_that_are_equally_far_from_each_other_come_apart() {
    let mut fallen = 0;
    for seed in 0..10 {
        for (sites, each) in [(2, 6), (3, 6), (3, 16), (4, 4)] {
            for one_by_one in [false, true] {
                fallen += usize::from(fallen_together(sites, each, one_by_one, seed) > 0);
            }
        }
    }
    // by the median in place of the upper quartile 8
    assert!(
        fallen <= 4,
        "in {fallen} of 80 networks two sites lie on each other"
    );
}
