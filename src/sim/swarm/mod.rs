//! Swarms in the simulator: peers that fetch one file over links with capacities, by different systems.

mod bits;
mod bittorrent;
mod by_chunk;
mod client;
mod core;
mod dead;
mod oracle;
mod plan;
mod result;
mod world;

pub use plan::{Place, Plan, Trouble};
pub use result::{Cost, Download, RunResult, System};
pub use world::{client_config, run};

#[cfg(test)]
mod tests;
