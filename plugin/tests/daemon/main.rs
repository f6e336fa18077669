//! The daemon through its handle, with a session on loopback that seeds to it.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "these tests open sockets and wait for things with deadlines"
)]

mod basics;
mod blocklist;
mod crash;
mod data;
mod ending;
mod limits;
mod queue;
mod roots;
mod store;
mod support;
mod watch;
