//! A seedbox that runs for years: many torrents in one [`Session`](crate::session::Session), with a queue, limits, a
//! schedule, and state that survives any end of the process.
//!
//! One task (the actor) owns the torrents. Everybody else has a [`Daemon`], a handle that can be cloned: it reads the
//! [`Listing`] that the actor publishes once a second and after every change, hears of [`Event`]s, and sends commands,
//! each of which is answered. The HTTP API and the command line know nothing of a session, only this handle.

mod actor;
mod clock;
pub mod config;
mod counts;
mod erase;
mod facts;
mod handle;
mod history;
mod missing;
mod model;
mod moving;
mod noted;
mod paths;
mod queue;
mod rules;
mod schedule;
mod seeding;
mod settings;
mod start;
mod store;
mod torrent;
mod watch;

#[cfg(test)]
mod tests;

pub use clock::{Clock, Moment};

pub use crate::swarm::DropReason;
pub use counts::{Counts, RTT_BUCKETS_MS, RttCounts};
pub use facts::Facts;
pub use handle::{Command, Daemon, DaemonError, Inbox, Reply, channel};
pub use model::*;
pub use noted::{Noted, NotedSettings};
pub use rules::is_blocklist_url;
pub use settings::*;
pub use start::{DaemonConfig, Running, StartError, start};
pub use store::LockError;
