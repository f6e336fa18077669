//! The program, as a user starts it.

mod bad_input;
mod common;
mod config;
mod create;
mod daemon;
mod loopback;
mod node;
mod output;
