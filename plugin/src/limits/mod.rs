//! Budgets that all torrents of a process share, and the filter for addresses from outside.
//!
//! [`Limits`] bounds connections, connection attempts and callers in the handshake; [`address`] says which addresses
//! are worth an attempt.

pub mod address;
mod budget;
mod interfaces;

pub use budget::{Limits, LimitsConfig, Permit};
