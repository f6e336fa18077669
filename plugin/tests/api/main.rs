//! The HTTP API over real sockets, in front of a daemon that answers from a script.

#![allow(clippy::disallowed_types, reason = "these tests open sockets")]

mod common;
mod doors;
mod events;
mod limits;
mod schema;
mod shapes;
mod watch;
