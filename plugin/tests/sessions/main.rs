//! Sessions in this process, as a program uses them, over real sockets.

#[path = "../hostile_common/mod.rs"]
mod hostile_common;

mod control;
mod detail;
mod pairs;
mod resume;
mod stopping;
