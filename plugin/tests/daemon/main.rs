//! The daemon through its handle, with a session on loopback that seeds to it.

mod basics;
mod crash;
mod data;
mod limits;
mod queue;
mod store;
mod support;
mod watch;
