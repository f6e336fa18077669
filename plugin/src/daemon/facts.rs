//! What a daemon was started with.

use std::path::PathBuf;

use crate::wire::encryption::Encryption;

/// What a daemon was started with, and stays as it is until it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where it keeps its state.
    pub state_dir: PathBuf,
    /// Where peers connect to; `None`: nobody listens.
    pub peer_port: Option<u16>,
    /// The Mainline DHT is asked (BEP 5).
    pub dht: bool,
    /// Peers are told of each other (BEP 11).
    pub pex: bool,
    /// Torrents are announced on the local network (BEP 14).
    pub lsd: bool,
    /// Connections go over uTP too (BEP 29).
    pub utp: bool,
    /// The router is asked to let others reach the ports.
    pub port_mapping: bool,
    /// Which connections are encrypted.
    pub encryption: Encryption,
}
