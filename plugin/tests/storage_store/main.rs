//! The verified piece store, as a session uses it.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod buffers;
mod failures;
mod limits;
mod paths;
mod resume;
mod roundtrip;
mod support;
