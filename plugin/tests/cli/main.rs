//! The program, as a user starts it.

mod bad_input;
mod config;
mod create;
mod daemon;
mod loopback;
mod node;
mod output;
