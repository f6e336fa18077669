//! The program, as a user starts it.

mod bad_input;
mod create;
mod loopback;
mod node;
mod output;
