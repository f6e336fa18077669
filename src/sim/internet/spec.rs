//! What a network is made of, by number.

use std::time::Duration;

/// Bytes a second of 1 Mbit/s.
const MBIT: f64 = 125_000.0;
/// Systems of a graph, or places, at most.
const MAX: usize = 200_000; // guess: far beyond what a run in memory bears
/// Stubs or sites at most: routes are kept for each pair.
const MAX_STUBS: usize = 2_000; // guess

/// The network of the paper's evaluation (5.1).
#[derive(Clone, Debug, PartialEq)]
pub struct InternetSpec {
    /// Autonomous systems, 3 to 200,000 and no fewer than stubs; at least twice as many leave a choice.
    pub nodes: usize,
    /// Stubs that peers are in, 1 to 2,000.
    pub stubs: usize,
    /// Peers, the seed (peer 0) included, at least 1.
    pub peers: usize,
    /// Capacity of a peer's access link, bytes a second each way.
    pub access: f64,
    /// Access capacities lie in a range of 1 to this, evenly on a logarithmic scale, with `access` in the middle; both
    /// ways of a peer together. The seed has the median itself, so that the time in which it can send a file once is the
    /// same in every network. 1: all are equal.
    pub access_spread: f64,
    /// A peer's two ways share the capacity. The links of the networks stay full duplex.
    pub half_duplex: bool,
    /// Capacity of a link between two stubs, bytes a second each way.
    pub stub_stub: f64,
    /// Capacity of a link between a stub and a transit network, bytes a second each way.
    pub stub_transit: f64,
    /// Median of the one-way latencies between stubs, without access.
    pub median_one_way: Duration,
    /// Further places after the peers, for index nodes without a peer or for peers that come later.
    pub spare_places: usize,
}

impl Default for InternetSpec {
    fn default() -> Self {
        Self {
            nodes: 4_000,                              // paper 5.1
            stubs: 50,                                 // paper 5.1
            peers: 180,                                // paper 5.1
            access: 10.0 * MBIT,                       // paper 5.1
            access_spread: 1.0,                        // paper 5.1
            half_duplex: false,                        // paper 5.1 names one capacity a link
            stub_stub: 100.0 * MBIT,                   // paper 5.1
            stub_transit: 45.0 * MBIT,                 // paper 5.1
            median_one_way: Duration::from_millis(40), // guess: the paper gives no latencies
            spare_places: 0,
        }
    }
}

impl InternetSpec {
    /// # Errors
    /// [`SpecError`] names the first number out of its range.
    pub fn validate(&self) -> Result<(), SpecError> {
        within("stubs", self.stubs, 1, MAX_STUBS)?;
        within("nodes", self.nodes, self.stubs.max(3), MAX)?;
        within("peers", self.peers, 1, MAX)?;
        within("spare_places", self.spare_places, 0, MAX)?;
        positive("access", self.access)?;
        positive("stub_stub", self.stub_stub)?;
        positive("stub_transit", self.stub_transit)?;
        positive("access_spread", self.access_spread)?;
        if self.access_spread < 1.0 {
            return Err(SpecError::Spread(self.access_spread));
        }
        latency("median_one_way", self.median_one_way)
    }
}

/// A few sites with fast networks inside and one shared line each.
#[derive(Clone, Debug, PartialEq)]
pub struct SitesSpec {
    /// Sites, 1 to 2,000.
    pub sites: usize,
    /// Peers of a site, at least 1; the seed (peer 0) comes on top, in site 0.
    pub per_site: usize,
    /// Capacity of a host's own link, bytes a second each way.
    pub lan: f64,
    /// Capacity of a site's line, bytes a second each way, full duplex.
    pub uplink: f64,
    /// Round-trip time between two hosts of one site.
    pub rtt_lan: Duration,
    /// Round-trip time between two hosts of different sites; if it is less than that inside, it is that inside.
    pub rtt_wan: Duration,
}

impl Default for SitesSpec {
    fn default() -> Self {
        Self {
            sites: 3,                           // as the measurement in namespaces
            per_site: 5,                        // as there
            lan: 100.0 * MBIT,                  // as there
            uplink: 20.0 * MBIT,                // as there
            rtt_lan: Duration::from_millis(1),  // as there
            rtt_wan: Duration::from_millis(60), // as there
        }
    }
}

impl SitesSpec {
    /// # Errors
    /// [`SpecError`] names the first number out of its range.
    pub fn validate(&self) -> Result<(), SpecError> {
        within("sites", self.sites, 1, MAX_STUBS)?;
        within("per_site", self.per_site, 1, MAX / self.sites)?;
        positive("lan", self.lan)?;
        positive("uplink", self.uplink)?;
        latency("rtt_lan", self.rtt_lan)?;
        latency("rtt_wan", self.rtt_wan)
    }
}

/// A network that cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A count is out of its range.
    #[error("{name} is {value}: {least} to {most} are expected")]
    Count {
        /// The field.
        name: &'static str,
        /// Its value.
        value: usize,
        /// Least allowed.
        least: usize,
        /// Most allowed.
        most: usize,
    },
    /// A capacity is no positive number.
    #[error("{name} is {value}: a finite number above 0 is expected")]
    Number {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// The range of access capacities is upside down.
    #[error("access_spread is {0}: 1 (all equal) or more is expected")]
    Spread(f64),
    /// A latency is too long.
    #[error("{name} is {value:?}: at most 10 s are expected")]
    Latency {
        /// The field.
        name: &'static str,
        /// Its value.
        value: Duration,
    },
}

fn within(name: &'static str, value: usize, least: usize, most: usize) -> Result<(), SpecError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SpecError::Count {
        name,
        value,
        least,
        most,
    })
}

fn positive(name: &'static str, value: f64) -> Result<(), SpecError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(SpecError::Number { name, value })
}

fn latency(name: &'static str, value: Duration) -> Result<(), SpecError> {
    if value <= Duration::from_secs(10) {
        return Ok(());
    }
    Err(SpecError::Latency { name, value })
}
