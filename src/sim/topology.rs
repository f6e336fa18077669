//! Where hosts are: sites with a round-trip time between each two, hosts with an access latency each.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sites that a matrix may have.
const MAX_SITES: usize = 8_192;
/// Hosts of one site in a synthetic topology, on average.
const HOSTS_A_SITE: usize = 20; // as 10,000 hosts on the 490 sites of a PlanetLab matrix
/// Least round-trip time between two sites that errors leave, milliseconds.
const LEAST_WRONG_MS: f64 = 0.2; // guess: no measurement says less

/// Hosts at sites.
///
/// The round-trip time of two hosts is that of their sites plus both access latencies; two hosts of one site are only
/// apart by these. All values are whole microseconds.
#[derive(Clone, Debug)]
pub struct Topology {
    sites: usize,
    /// `sites` x `sites`, symmetric, zero on the diagonal, microseconds.
    between: Vec<u32>,
    homes: Vec<Home>,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    site: usize,
    access_us: u32,
}

/// A text that is no matrix of round-trip times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// It has no or too many rows.
    #[error("a matrix of round-trip times has 2 to 8192 rows, not {0}")]
    Rows(usize),
    /// A row is longer or shorter than the matrix.
    #[error("row {row} of the matrix has {columns} columns: as many as rows, {rows}, are expected")]
    Columns {
        /// Number of the row, from 1.
        row: usize,
        /// Columns found.
        columns: usize,
        /// Rows of the matrix.
        rows: usize,
    },
    /// It has fewer rows than sites are to be drawn from it.
    #[error(
        "the matrix has {rows} rows, but {asked} sites are to be drawn from it: ask for at most as many as it has"
    )]
    TooFew {
        /// Sites asked for.
        asked: usize,
        /// Rows of the matrix.
        rows: usize,
    },
    /// A cell is no time.
    #[error("row {row} of the matrix holds `{cell}`: milliseconds from 0 to 100000 are expected")]
    Cell {
        /// Number of the row, from 1.
        row: usize,
        /// What it says.
        cell: String,
    },
}

impl Topology {
    /// `hosts` hosts at about one site each twenty: sites in five regions of a plane up to 200 ms wide, paths up to 1.5
    /// times as long as the line, so that the triangle inequality is broken as on the Internet; two thirds of the hosts in
    /// data centres (0.1 to 0.6 ms), the others behind fibre (1 to 4 ms) or copper (5 to 20 ms).
    pub fn synthetic(hosts: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sites = (hosts / HOSTS_A_SITE).clamp(8, MAX_SITES);
        let regions: [(f64, f64); 5] =
            std::array::from_fn(|_| (rng.random_range(0.0..160.0), rng.random_range(0.0..120.0)));
        let places: Vec<(f64, f64)> = (0..sites)
            .map(|_| {
                let (x, y) = regions[rng.random_range(0..regions.len())];
                let spread = |rng: &mut ChaCha8Rng| {
                    (0..3).map(|_| rng.random_range(-15.0..15.0)).sum::<f64>()
                };
                (x + spread(&mut rng), y + spread(&mut rng))
            })
            .collect();
        let mut between = vec![0; sites * sites];
        for a in 0..sites {
            for b in 0..a {
                let (dx, dy) = (places[a].0 - places[b].0, places[a].1 - places[b].1);
                let detour = 1.0 + 0.5 * rng.random_range(0.0f64..1.0).powi(2);
                let ms = 1.0 + (dx * dx + dy * dy).sqrt() * detour;
                between[a * sites + b] = micros(ms);
                between[b * sites + a] = micros(ms);
            }
        }
        let homes = (0..hosts)
            .map(|_| {
                let access = match rng.random_range(0..100) {
                    0..66 => rng.random_range(0.1..0.6),
                    66..92 => rng.random_range(1.0..4.0),
                    _ => rng.random_range(5.0..20.0),
                };
                // Sites differ in size: the square makes the first ones larger.
                let site = rng.random_range(0.0f64..1.0).powf(1.5) * sites as f64;
                Home {
                    site: index(site).min(sites - 1),
                    access_us: micros(access),
                }
            })
            .collect();
        Self {
            sites,
            between,
            homes,
        }
    }

    /// `hosts` hosts, as evenly as possible at the sites of a matrix: one row a line, round-trip times in milliseconds
    /// separated by white space. The two directions of a pair are averaged; a time that is missing in one of them (0 off
    /// the diagonal) is the other's. Hosts have 0.1 to 0.6 ms of access latency.
    ///
    /// # Errors
    /// [`MatrixError`] names the row that is not as expected.
    pub fn from_matrix(text: &str, hosts: usize, seed: u64) -> Result<Self, MatrixError> {
        let (sites, between) = parse_matrix(text)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let homes = (0..hosts)
            .map(|i| Home {
                site: i % sites,
                access_us: micros(rng.random_range(0.1..0.6)),
            })
            .collect();
        Ok(Self {
            sites,
            between,
            homes,
        })
    }

    /// Hosts at given sites: `between` is the symmetric matrix of round-trip times of `sites` sites, row by row, zero on the
    /// diagonal; a home is a site and what the host itself adds to each round-trip time. All times are microseconds.
    ///
    /// # Panics
    /// If the matrix is not `sites` x `sites`, or a home names no site.
    pub(super) fn from_parts(sites: usize, between: Vec<u32>, homes: &[(usize, u32)]) -> Self {
        assert_eq!(between.len(), sites * sites, "a square matrix");
        assert!(homes.iter().all(|(site, _)| *site < sites), "a known site");
        let home = |&(site, access_us): &(usize, u32)| Home { site, access_us };
        Self {
            sites,
            between,
            homes: homes.iter().map(home).collect(),
        }
    }

    /// The same places with wrong round-trip times between sites: times a factor drawn evenly from 1 - `share` to 1 +
    /// `share`, plus up to `error` either way, at least 0.2 ms; the same in both directions and at all times.
    ///
    /// # Panics
    /// If `share` is not 0 to 1.
    pub(super) fn distorted(&self, share: f64, error: Duration, seed: u64) -> Self {
        assert!((0.0..=1.0).contains(&share), "a share is 0 to 1");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let most = error.as_secs_f64() * 1_000.0;
        let mut wrong = self.clone();
        for a in 0..self.sites {
            for b in 0..a {
                let ms = f64::from(self.between[a * self.sites + b]) / 1_000.0;
                let factor = 1.0 + share * rng.random_range(-1.0..=1.0);
                let ms = (ms * factor + most * rng.random_range(-1.0..=1.0)).max(LEAST_WRONG_MS);
                wrong.between[a * self.sites + b] = micros(ms);
                wrong.between[b * self.sites + a] = micros(ms);
            }
        }
        wrong
    }

    /// Round-trip times of the sites, as [`Topology::from_parts`] takes them.
    #[cfg(test)]
    pub(super) fn matrix(&self) -> &[u32] {
        &self.between
    }

    /// Places for hosts.
    pub fn len(&self) -> usize {
        self.homes.len()
    }

    /// Whether there is no place.
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty()
    }

    /// The site of a place, 0-based.
    ///
    /// # Panics
    /// If the place is not below [`Topology::len`].
    pub fn site(&self, place: usize) -> usize {
        self.homes[place].site
    }

    /// Round-trip time between two places, at least 20 µs.
    ///
    /// # Panics
    /// If a place is not below [`Topology::len`].
    pub fn rtt(&self, a: usize, b: usize) -> Duration {
        let (a, b) = (self.homes[a], self.homes[b]);
        let us = self.between[a.site * self.sites + b.site] + a.access_us + b.access_us;
        Duration::from_micros(u64::from(us.max(20)))
    }
}

/// Sites of a matrix, and their round-trip times in microseconds as [`Topology`] keeps them.
pub(super) fn parse_matrix(text: &str) -> Result<(usize, Vec<u32>), MatrixError> {
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .enumerate()
        .map(|(i, line)| cells(i + 1, line))
        .collect::<Result<_, _>>()?;
    let sites = rows.len();
    if !(2..=MAX_SITES).contains(&sites) {
        return Err(MatrixError::Rows(sites));
    }
    if let Some((i, row)) = rows.iter().enumerate().find(|(_, r)| r.len() != sites) {
        return Err(MatrixError::Columns {
            row: i + 1,
            columns: row.len(),
            rows: sites,
        });
    }
    let mut between = vec![0; sites * sites];
    for a in 0..sites {
        for b in (0..sites).filter(|b| *b != a) {
            let ms = match (rows[a][b], rows[b][a]) {
                (0.0, other) | (other, 0.0) => other,
                (one, other) => (one + other) / 2.0,
            };
            between[a * sites + b] = micros(ms);
        }
    }
    Ok((sites, between))
}

fn cells(row: usize, line: &str) -> Result<Vec<f64>, MatrixError> {
    let cell = |cell: &str| {
        let ms: Option<f64> = cell.parse().ok();
        ms.filter(|ms| (0.0..=100_000.0).contains(ms))
            .ok_or_else(|| MatrixError::Cell {
                row,
                cell: cell.chars().take(20).collect(),
            })
    };
    line.split_whitespace().map(cell).collect()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 100 s"
)]
fn micros(ms: f64) -> u32 {
    (ms * 1_000.0) as u32
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
fn index(x: f64) -> usize {
    x as usize
}
