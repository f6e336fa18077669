//! Round-trip times between all pairs of hosts, to judge coordinates by: read from a text or made up.

use std::f64::consts::TAU;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Round-trip times of n hosts, n <= [`RttMatrix::MAX_HOSTS`]; a pair may be unmeasured, and the two directions differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RttMatrix {
    hosts: usize,
    /// Row by row, in microseconds; 0 is unmeasured.
    rtt_us: Vec<u32>,
}

/// A text is no matrix of round-trip times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RttMatrixError {
    /// Fewer than two rows, or too many.
    #[error("round-trip matrix: {0} rows, expected 2 to {max}", max = RttMatrix::MAX_HOSTS)]
    Hosts(usize),
    /// A row has not as many columns as there are rows.
    #[error("round-trip matrix: row {row} has {columns} columns, expected {expected}, one a row")]
    NotSquare {
        /// Counted from 1.
        row: usize,
        /// Numbers in it.
        columns: usize,
        /// Rows.
        expected: usize,
    },
    /// Not a number.
    #[error("round-trip matrix: row {row}, column {column}: expected milliseconds, got `{text}`")]
    NotANumber {
        /// Counted from 1.
        row: usize,
        /// Counted from 1.
        column: usize,
        /// What is there.
        text: String,
    },
}

impl RttMatrix {
    /// More hosts are refused.
    pub const MAX_HOSTS: usize = 4096;

    /// Reads one row a line, milliseconds separated by white space, row i column j = from i to j. Zero, negative and
    /// infinite numbers and NaN mean unmeasured, the diagonal is ignored, empty lines are skipped.
    ///
    /// # Errors
    /// [`RttMatrixError`] names the first row or number that does not fit.
    pub fn parse(text: &str) -> Result<Self, RttMatrixError> {
        let lines = || text.lines().filter(|line| !line.trim().is_empty());
        let hosts = lines().count();
        if !(2..=Self::MAX_HOSTS).contains(&hosts) {
            return Err(RttMatrixError::Hosts(hosts));
        }
        let mut rtt_us = Vec::with_capacity(hosts * hosts);
        for (row, line) in lines().enumerate() {
            let columns = line.split_whitespace().count();
            if columns != hosts {
                return Err(RttMatrixError::NotSquare {
                    row: row + 1,
                    columns,
                    expected: hosts,
                });
            }
            for (column, text) in line.split_whitespace().enumerate() {
                let ms: f64 = text.parse().map_err(|_| RttMatrixError::NotANumber {
                    row: row + 1,
                    column: column + 1,
                    text: text.chars().take(20).collect(),
                })?;
                let measured = row != column && ms.is_finite() && ms > 0.0;
                rtt_us.push(if measured { microseconds(ms) } else { 0 });
            }
        }
        Ok(Self { hosts, rtt_us })
    }

    /// A made-up matrix with the features of PlanetLab's: sites of one to four hosts, most in North America and Europe,
    /// round trips along great circles by fibre with detours that differ from pair to pair (so that triangles are
    /// violated), access links of a few milliseconds and a few slow ones. Symmetric, nothing unmeasured; the same for
    /// the same `hosts` (clamped to 2 ..= [`RttMatrix::MAX_HOSTS`]) and `seed`.
    pub fn synthetic(hosts: usize, seed: u64) -> Self {
        let hosts = hosts.clamp(2, Self::MAX_HOSTS);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut places: Vec<Host> = Vec::with_capacity(hosts);
        let mut site = 0;
        while places.len() < hosts {
            let first = Host::random(site, &mut rng);
            let more = rng.random_range(0..4);
            let neighbours = std::iter::repeat_n(first, more);
            places.extend(std::iter::once(first).chain(neighbours));
            site += 1;
        }
        places.truncate(hosts);

        let mut rtt_us = vec![0; hosts * hosts];
        for i in 0..hosts {
            for j in 0..i {
                let us = microseconds(places[i].rtt_ms(&places[j], &mut rng));
                rtt_us[i * hosts + j] = us;
                rtt_us[j * hosts + i] = us;
            }
        }
        Self { hosts, rtt_us }
    }

    /// Number of hosts.
    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// The round trip from host `from` to host `to`; `None` if unmeasured, or one of them does not exist.
    pub fn rtt(&self, from: usize, to: usize) -> Option<Duration> {
        if from >= self.hosts || to >= self.hosts {
            return None;
        }
        let us = self.rtt_us[from * self.hosts + to];
        (us > 0).then(|| Duration::from_micros(us.into()))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate; positive"
)]
fn microseconds(ms: f64) -> u32 {
    ((ms * 1e3).round() as u32).max(1)
}

/// Where the hosts of the synthetic matrix are: share of the sites, latitude and longitude of the middle and how far
/// sites scatter around it, in degrees. // guess: PlanetLab's sites around 2015
const REGIONS: [(f64, f64, f64, f64); 6] = [
    (0.28, 40.0, -78.0, 6.0),  // North America, east
    (0.17, 38.0, -118.0, 6.0), // North America, west
    (0.32, 49.0, 9.0, 7.0),    // Europe
    (0.15, 33.0, 122.0, 9.0),  // East Asia
    (0.04, -20.0, -47.0, 5.0), // South America
    (0.04, -36.0, 155.0, 9.0), // Oceania
];

/// One host of the synthetic matrix; hosts of a site are alike.
#[derive(Clone, Copy)]
struct Host {
    site: u32,
    /// A point on the unit sphere.
    place: [f64; 3],
    /// Milliseconds on the way out and back.
    access_ms: f64,
}

impl Host {
    fn random(site: u32, rng: &mut ChaCha8Rng) -> Self {
        let mut left = rng.random_range(0.0..1.0);
        let mut region = REGIONS[0];
        for candidate in REGIONS {
            region = candidate;
            left -= candidate.0;
            if left < 0.0 {
                break;
            }
        }
        let (_, latitude, longitude, scatter) = region;
        let latitude = (latitude + scatter * gauss(rng)).to_radians();
        let longitude = (longitude + 2.0 * scatter * gauss(rng)).to_radians();
        let slow = if rng.random_bool(0.05) { 30.0 } else { 3.0 };
        Self {
            site,
            place: [
                latitude.cos() * longitude.cos(),
                latitude.cos() * longitude.sin(),
                latitude.sin(),
            ],
            access_ms: -slow * rng.random_range(0.001f64..1.0).ln(),
        }
    }

    fn rtt_ms(&self, other: &Host, rng: &mut ChaCha8Rng) -> f64 {
        if self.site == other.site {
            return rng.random_range(0.1..0.4);
        }
        let dot: f64 = self.place.iter().zip(other.place).map(|(a, b)| a * b).sum();
        let km = 6371.0 * dot.clamp(-1.0, 1.0).acos();
        // 200 km/ms in fibre, there and back; fibres are half as long again as the great circle.
        let detour = 1.5 * (0.09 * gauss(rng)).exp();
        // Every twelfth path takes a way that no map explains.
        let strange = if rng.random_bool(0.08) {
            rng.random_range(1.1..1.6)
        } else {
            1.0
        };
        km / 100.0 * detour * strange + self.access_ms + other.access_ms + 1.0
    }
}

/// Standard normal (Box and Muller).
fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * rng.random_range(f64::MIN_POSITIVE..1.0).ln()).sqrt();
    radius * (TAU * rng.random_range(0.0..1.0)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_milliseconds_and_what_was_not_measured_is_none() {
        let text = "0 12.5 0\n\n13\t0\t0.0864\n-1 nan 0\n";
        let matrix = RttMatrix::parse(text).unwrap();
        assert_eq!(matrix.hosts(), 3);
        assert_eq!(matrix.rtt(0, 1), Some(Duration::from_micros(12_500)));
        assert_eq!(matrix.rtt(1, 0), Some(Duration::from_millis(13)));
        assert_eq!(matrix.rtt(1, 2), Some(Duration::from_micros(86)));
        for (from, to) in [(0, 0), (0, 2), (2, 0), (2, 1), (0, 3), (3, 0)] {
            assert_eq!(matrix.rtt(from, to), None, "{from} to {to}");
        }
    }

    #[test]
    fn what_is_no_matrix_is_named() {
        let told = |text: &str| RttMatrix::parse(text).unwrap_err().to_string();
        assert_eq!(told(""), "round-trip matrix: 0 rows, expected 2 to 4096");
        assert_eq!(
            told("0 1\n1 0 2\n"),
            "round-trip matrix: row 2 has 3 columns, expected 2, one a row"
        );
        assert_eq!(
            told("0 1\n1 x\n"),
            "round-trip matrix: row 2, column 2: expected milliseconds, got `x`"
        );
    }

    #[test]
    fn the_synthetic_matrix_looks_like_a_research_network() {
        let matrix = RttMatrix::synthetic(300, 1);
        assert_eq!(matrix, RttMatrix::synthetic(300, 1));
        assert_ne!(matrix, RttMatrix::synthetic(300, 2));
        let mut rtts: Vec<Duration> = (0..300)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| {
                assert_eq!(matrix.rtt(i, j), matrix.rtt(j, i));
                matrix.rtt(i, j).unwrap()
            })
            .collect();
        rtts.sort_unstable();
        let percent = |p: usize| rtts[rtts.len() * p / 100];
        // PlanetLab: 31 ms, 135 ms and 291 ms
        assert!(
            (15..45).contains(&percent(10).as_millis()),
            "{:?}",
            percent(10)
        );
        assert!(
            (100..170).contains(&percent(50).as_millis()),
            "{:?}",
            percent(50)
        );
        assert!(
            (180..350).contains(&percent(90).as_millis()),
            "{:?}",
            percent(90)
        );
        let ms = |i: usize, j: usize| matrix.rtt(i, j).unwrap_or_default();
        let violated = (2..300)
            .filter(|&i| ms(i, i - 1) + ms(i - 1, i - 2) < ms(i, i - 2))
            .count();
        assert!(violated >= 6, "{violated} of 298 triangles are violated");
    }
}
