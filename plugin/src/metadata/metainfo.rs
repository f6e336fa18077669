//! A torrent whose metainfo has been checked.

use bytes::Bytes;

use super::Layout;

/// Checked metainfo: a .torrent file, or an info dict from peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// SHA-1 of [`Metainfo::info`].
    pub info_hash: [u8; 20],
    /// The info dict, byte for byte: what `ut_metadata` serves.
    pub info: Bytes,
    /// Pieces and files.
    pub layout: Layout,
    /// BEP 27: one tracker only; no directory, DHT, LSD, PEX.
    pub private: bool,
    /// Tracker URLs in tiers (BEP 12); empty for an info dict from peers.
    pub trackers: Vec<Vec<String>>,
}
