//! ChunkCast for BitTorrent: a client whose peer and piece selection come from the directory of the `chunkcast` crate.
//!
//! Modules and what they may import are in docs/architecture.md. `metadata` and `swarm` are sans-IO and deterministic;
//! the modules that do I/O are exempted from the determinism lint by name below.

mod bencode;

pub mod metadata;
pub mod swarm;

#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod api;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod cli;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod control;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod daemon;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod discovery;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod facade;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod limits;
#[cfg(feature = "rqbit")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod rqbit;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod session;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod state;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod storage;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod webseed;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;
