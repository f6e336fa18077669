//! Peer connections: messages, handshakes, framing, and the tokio task of one connection.
//!
//! [`message`], [`codec`], [`reader`], [`handshake`], [`extended`], [`pex`], [`status`], [`encryption`] and [`mse`] are sans-IO: bytes in, values out, every length
//! checked against a limit before anything is allocated. [`stream`], [`listen`], [`connect`] and [`conn`] are the I/O around them.

pub mod codec;
pub mod conn;
pub mod connect;
pub mod encryption;
pub mod extended;
pub mod handshake;
pub mod listen;
pub mod message;
pub mod mse;
pub mod pex;
pub mod reader;
pub mod status;
pub mod stream;
pub mod utp;
