//! The Transmission RPC: the same is asked of a stock transmission-daemon and of `chunkcast daemon`, with the tools that
//! people have for it, and the answers are compared.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped is said on standard output"
)]

mod arr;
mod library;
mod raw;
mod remote;
mod server;
