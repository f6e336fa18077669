//! Budgets that all torrents of a process share, rate limits, and the filter for addresses from outside.
//!
//! [`Limits`] bounds connections, connection attempts and callers in the handshake, [`Memory`] the bytes of pieces that
//! are held, and [`Limiters`] the bytes a second; [`address`] says which addresses are worth an attempt.

pub mod address;
mod blocklist;
mod budget;
mod descriptors;
mod interfaces;
mod limiter;
mod memory;
mod rate;
mod units;

pub use blocklist::{Blocklist, BlocklistError};
pub use budget::{LOCAL_RTT, Limits, LimitsConfig, Permit};
pub use descriptors::raise_descriptors;
pub use limiter::{Limiter, Limiters, Pace, Pacer, Rates};
pub use memory::{DEFAULT_MEMORY, MAX_MEMORY, MIN_MEMORY, Memory, Room, Share};
pub use rate::Bucket;
pub use units::{Rate, UnitError, parse_bytes};
