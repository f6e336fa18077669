//! Messages between index nodes, and their bencoded datagrams of at most [`MAX_DATAGRAM`] bytes.

pub mod message;

pub use message::*;

/// No datagram is longer than this many bytes, so that none is ever fragmented.
pub const MAX_DATAGRAM: usize = 1200;
