//! A deterministic, message-level simulator: the shipped [`Node`](crate::node::Node)s, their real datagrams, virtual time.
//!
//! - [`Topology`]: where hosts are, and the round-trip time of each pair; synthetic, or from a measured matrix.
//! - [`Internet`]: a power-law graph of networks with stubs at its edge, and the capacity of every link (paper 5.1).
//! - [`Net`]: hosts, links with loss, jitter and reordering, NATs, partitions; one queue of everything that will happen.
//! - [`Scenario`]: a population on a net: joins, churn, lookups that are judged against the true root.
//! - [`hotspot`]: what the root of an object bears that everybody asks for and publishes, as a report.
//! - [`overlay`]: hops, stretch, local convergence, success under churn and the cost of upkeep, as a report.
//! - [`Flows`]: transfers that share links with capacities, by max-min fairness.
//! - [`report`]: runs of whole swarms as tables, CSV, JSON and pictures.
//!
//! Only sockets and clocks are modelled: every message is encoded by its sender and decoded by its receiver, and nothing
//! of a node is seen but its outputs and its public read-only views. The same seed gives the same run, byte for byte.
//!
//! A caller that wants to simulate more than index nodes (peers, transfers) adds its own alarms to the net's queue
//! ([`Net::alarm`]) and reads all happenings in one order from [`Net::next`].

mod flows;
pub mod hotspot;
mod ideal;
mod internet;
mod net;
pub mod overlay;
mod queue;
pub mod report;
mod scenario;
pub mod swarm;
#[cfg(test)]
mod tests;
mod topology;

pub use flows::{FlowId, FlowSpec, Flows, LinkId};
pub use ideal::{BANDS, Band, Convergence, convergence};
pub use internet::{Internet, InternetSpec, SitesSpec, SpecError};
pub use net::{Happening, Links, Net, Totals, What};
pub use scenario::{Outcome, Scenario, Score};
pub use topology::{MatrixError, Topology};
