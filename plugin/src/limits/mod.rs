//! Budgets that all torrents of a process share, and the filter for addresses from outside.
//!
//! [`Limits`] bounds connections, connection attempts and callers in the handshake, [`Memory`] the bytes of pieces that
//! are held; [`address`] says which addresses
//! are worth an attempt.

pub mod address;
mod budget;
mod interfaces;
mod memory;

pub use budget::{Limits, LimitsConfig, Permit};
pub use memory::{DEFAULT_MEMORY, MAX_MEMORY, MIN_MEMORY, Memory, Room, Share};
