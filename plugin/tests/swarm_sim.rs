//! Swarms of sans-IO torrents over simulated links, with real bytes, real SHA-1 and virtual time.
//!
//! `SEED=n` replays one schedule of the random ones.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

#[path = "swarm_sim/node.rs"]
mod node;

#[path = "swarm_sim/world.rs"]
mod world;

#[path = "swarm_sim/scripts.rs"]
mod scripts;

#[path = "swarm_sim/wanted.rs"]
mod wanted;

#[path = "swarm_sim/transfers.rs"]
mod transfers;

#[path = "swarm_sim/faults.rs"]
mod faults;

#[path = "swarm_sim/large_pieces.rs"]
mod large_pieces;

#[path = "swarm_sim/haves.rs"]
mod haves;

#[path = "swarm_sim/protocol.rs"]
mod protocol;

#[path = "swarm_sim/hostile.rs"]
mod hostile;

#[path = "swarm_sim/hostile_status.rs"]
mod hostile_status;

#[path = "swarm_sim/status.rs"]
mod status;

#[path = "swarm_sim/dht.rs"]
mod dht;

#[path = "swarm_sim/pex.rs"]
mod pex;

#[path = "swarm_sim/pings.rs"]
mod pings;

#[path = "swarm_sim/busy.rs"]
mod busy;

#[path = "swarm_sim/held.rs"]
mod held;

#[path = "swarm_sim/memory.rs"]
mod memory;

#[path = "swarm_sim/upload_only.rs"]
mod upload_only;

#[path = "swarm_sim/fast.rs"]
mod fast;

#[path = "swarm_sim/stock.rs"]
mod stock;
