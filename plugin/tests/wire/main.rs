//! The wire: codec, handshakes, connections, what carries them.

mod codec;
mod common;
mod conn;
mod encryption;
mod extended;
mod paced;
mod pex;
mod status;
mod streams;
mod utp;
