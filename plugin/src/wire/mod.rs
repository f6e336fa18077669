//! Peer connections: messages, handshakes, framing, and the tokio task of one connection.

pub mod extended;
pub mod message;
