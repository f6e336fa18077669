//! What the fuzz targets do with their bytes: one function for each parser or state machine that strangers feed. It
//! returns when the bytes were handled properly and panics when they were not; refusing them is proper.
//!
//! The functions live apart from `fuzz/fuzz_targets/`, without libFuzzer, so that `tests/replay.rs` can run the corpus
//! through them with an ordinary `cargo test`.

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is what every function here is for"
)]

mod auth;
mod datagram;
mod http;
mod input;
mod local;
mod metainfo;
mod mse;
mod node;
mod peer;
mod rpc;
mod swarm;
mod tracker;
mod utp;
mod web;

pub use auth::{sealed, signed};
pub use datagram::{bencode, bits, datagram};
pub use http::http_request;
pub use local::{blocklist, config, control_request, lan_announcement, lsd, state_file};
pub use metainfo::{info_dict, magnet, metadata_assembly, torrent};
pub use mse::mse;
pub use node::node;
pub use peer::{cc_status, extended_handshake, handshake, peer_frames, ut_metadata, ut_pex};
pub use rpc::transmission_request;
pub use swarm::swarm_messages;
pub use tracker::{announce_http, announce_udp, gateway, tracker_http, tracker_udp};
pub use utp::utp_packet;
pub use web::web_seed;

/// A target: its name, which is also its corpus's folder, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 33] = [
    ("announce_http", announce_http),
    ("announce_udp", announce_udp),
    ("bencode", bencode),
    ("bits", bits),
    ("blocklist", blocklist),
    ("cc_status", cc_status),
    ("config", config),
    ("control_request", control_request),
    ("datagram", datagram),
    ("extended_handshake", extended_handshake),
    ("gateway", gateway),
    ("handshake", handshake),
    ("http_request", http_request),
    ("info_dict", info_dict),
    ("lan_announcement", lan_announcement),
    ("lsd", lsd),
    ("magnet", magnet),
    ("metadata_assembly", metadata_assembly),
    ("mse", mse),
    ("node", node),
    ("peer_frames", peer_frames),
    ("sealed", sealed),
    ("signed", signed),
    ("state_file", state_file),
    ("swarm_messages", swarm_messages),
    ("torrent", torrent),
    ("tracker_http", tracker_http),
    ("tracker_udp", tracker_udp),
    ("transmission_request", transmission_request),
    ("ut_metadata", ut_metadata),
    ("utp_packet", utp_packet),
    ("ut_pex", ut_pex),
    ("web_seed", web_seed),
];
