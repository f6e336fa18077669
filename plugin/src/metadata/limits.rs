//! Bounds on foreign metainfo and magnet links.

/// How much a .torrent file, an info dict or a magnet link may ask of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataLimits {
    /// Bytes in a .torrent file or an info dict.
    pub torrent_bytes: usize,
    /// Lists and dicts inside each other; at most 100, where the recursive parser behind the scan gives up.
    pub depth: usize,
    /// Bencoded values in the file, keys included: bounds what parsing allocates.
    pub values: usize,
    /// Bytes in a piece.
    pub piece_length: u32,
    /// Pieces.
    pub pieces: u32,
    /// Tracker URLs that are kept; the rest is dropped.
    pub trackers: usize,
    /// Bytes in a tracker URL; longer ones are dropped.
    pub tracker_bytes: usize,
    /// Web seed URLs that are kept; the rest is dropped.
    pub web_seeds: usize,
    /// Bytes in a web seed URL; longer ones are dropped.
    pub web_seed_bytes: usize,
    /// Bytes in a magnet link.
    pub magnet_bytes: usize,
    /// Peer addresses kept from a magnet link; the rest is dropped.
    pub magnet_peers: usize,
    /// Ranges in a magnet's file selection.
    pub selection_ranges: usize,
}

impl Default for MetadataLimits {
    fn default() -> Self {
        Self {
            torrent_bytes: 64 << 20, // guess: 2^21 hashes take 40 MiB
            depth: 64, // guess: real torrents reach about 6, hybrids their folder depth + 4
            values: 3_000_000, // libtorrent's max_decode_tokens
            piece_length: 256 << 20, // guess: stock clients stop at 128 MiB
            pieces: 1 << 21, // libtorrent's max_pieces
            trackers: 64, // guess
            tracker_bytes: 2048, // guess
            web_seeds: 64, // guess
            web_seed_bytes: 2048, // guess
            magnet_bytes: 64 << 10, // guess
            magnet_peers: 64, // guess
            selection_ranges: 1024, // guess
        }
    }
}

impl MetadataLimits {
    /// Whether the limits can be kept together.
    ///
    /// # Errors
    /// One line that names the field.
    pub fn validate(&self) -> Result<(), &'static str> {
        match self {
            Self {
                torrent_bytes: 0, ..
            } => Err("torrent_bytes must be at least 1"),
            Self { depth, .. } if !(4..=100).contains(depth) => Err("depth must be 4 to 100"),
            Self { values: 0, .. } => Err("values must be at least 1"),
            Self {
                piece_length: 0, ..
            } => Err("piece_length must be at least 1"),
            Self { pieces: 0, .. } => Err("pieces must be at least 1"),
            _ => Ok(()),
        }
    }
}
