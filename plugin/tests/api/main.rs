//! The HTTP API over real sockets, in front of a daemon that answers from a script, and of a real one.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "these tests open sockets and wait for things with deadlines"
)]

mod common;
mod doors;
mod events;
mod limits;
mod real;
mod schema;
mod shapes;
#[allow(dead_code, reason = "the daemon's tests use the rest")]
#[path = "../daemon/support.rs"]
mod support;
mod watch;
