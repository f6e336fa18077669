//! Swarms in the simulator: peers that fetch one file over links with capacities, by different systems.

mod result;

pub use result::{Cost, Download, RunResult, System};
