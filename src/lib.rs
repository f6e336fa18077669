//! ChunkCast's directory: *who near me holds chunks that I still need?*, answered by one anycast query per object.
//!
//! The crate knows objects, chunks, coordinates and index nodes; it knows nothing of BitTorrent. Everything outside
//! [`driver`] is sans-IO and deterministic: inputs and the time go in, outputs come out, the same seed and the same
//! inputs give the same bytes.
//!
//! - [`Node`](node::Node): one index node (overlay, location pointer cache, lookup), the only type a driver or a
//!   simulator sees.
//! - [`client`]: the paper's client peer (section 4): which peers, which chunks, when to look up and publish.
//! - `sim` (feature `sim`): a deterministic simulator over the real node.
//! - [`driver`]: a tokio UDP loop around a [`Node`](node::Node) and the handle that programs use.

pub mod auth;
pub mod chunks;
pub mod client;
pub mod coords;
pub mod directory;
pub mod driver;
pub mod id;
pub mod node;
pub mod overlay;
#[cfg(feature = "sim")]
pub mod sim;
pub mod time;
pub mod wire;
