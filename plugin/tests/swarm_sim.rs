//! Swarms of sans-IO torrents over simulated links, with real bytes, real SHA-1 and virtual time.
//!
//! `SEED=n` replays one schedule of the random ones.

#[path = "swarm_sim/world.rs"]
mod world;

#[path = "swarm_sim/scripts.rs"]
mod scripts;

#[path = "swarm_sim/transfers.rs"]
mod transfers;

#[path = "swarm_sim/faults.rs"]
mod faults;

#[path = "swarm_sim/protocol.rs"]
mod protocol;

#[path = "swarm_sim/hostile.rs"]
mod hostile;
