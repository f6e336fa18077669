//! What is measured in one run of one system.

use serde::Serialize;

/// How peers find and choose whom to fetch what from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// A directory with one tree a chunk that returns a random holder (paper 5.1).
    Random,
    /// A directory with one tree a chunk that returns a near holder (paper 5.1, as Shark).
    ConstrainedLocality,
    /// Random neighbours, rarest chunk first, tit for tat.
    BitTorrent,
    /// The paper's client (section 4), ranking by overlap (3.3).
    ChunkCastOverlap,
    /// The paper's client, ranking by closeness (3.3).
    ChunkCastCloseness,
    /// The paper's client, ranking by overlap, distance and load together.
    ChunkCastHybrid,
    /// The client as it is shipped.
    ChunkCastExtended,
    /// A scheduler that knows everything at once: no directory, no messages.
    Oracle,
}

impl System {
    /// Every system, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Random,
        Self::ConstrainedLocality,
        Self::BitTorrent,
        Self::ChunkCastOverlap,
        Self::ChunkCastCloseness,
        Self::ChunkCastHybrid,
        Self::ChunkCastExtended,
        Self::Oracle,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::ConstrainedLocality => "constrained-locality",
            Self::BitTorrent => "bittorrent",
            Self::ChunkCastOverlap => "chunkcast-overlap",
            Self::ChunkCastCloseness => "chunkcast-closeness",
            Self::ChunkCastHybrid => "chunkcast-hybrid",
            Self::ChunkCastExtended => "chunkcast-extended",
            Self::Oracle => "oracle",
        }
    }

    /// The system of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// Messages and bytes that all peers together sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Datagrams.
    pub messages: u64,
    /// Bytes, 28 of IP and UDP headers a datagram included.
    pub bytes: u64,
}

/// One downloader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Download {
    /// Number of the peer; the seed is 0.
    pub peer: usize,
    /// Its stub.
    pub stub: usize,
    /// Seconds from its own start to its last chunk; `None`: it was not done when the run ended.
    pub took_s: Option<f64>,
    /// It left before it was done, as the plan had it; it counts in no statistic of times.
    pub left: bool,
    /// Chunks that it held at the end.
    pub chunks: u32,
}

/// One run. Times are virtual seconds since the first downloader started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunResult {
    /// The system.
    pub system: System,
    /// Most transfers that a peer sends at once; 0: no limit.
    pub slots: usize,
    /// What was varied; empty: the plain setting.
    pub variant: String,
    /// The topology's seed.
    pub seed: u64,
    /// Peers, the seed included.
    pub peers: usize,
    /// Chunks of the file.
    pub chunks: u32,
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
    /// The file once over one (median) access link, seconds.
    pub bound_s: f64,
    /// When the run ended.
    pub ended_s: f64,
    /// Every downloader, by number.
    pub downloads: Vec<Download>,
    /// Bytes that each peer sent, by number (Figure 6); the seed is 0.
    pub served: Vec<u64>,
    /// Bytes that entered each stub from outside / size of the file; stubs without a downloader and the seed's are left out.
    pub stub_copies: Vec<f64>,
    /// Bytes that the seed sent / size of the file.
    pub seed_copies: f64,
    /// Bytes that crossed from one stub into another.
    pub cross_bytes: u64,
    /// Bytes over all links together in each second, counted once a link (Figure 7).
    pub link_bytes: Vec<u64>,
    /// Payload bytes received in each second by all peers.
    pub goodput: Vec<u64>,
    /// Lookups, publications and what passes them on, without upkeep of the ring.
    pub directory: Cost,
    /// Upkeep of the ring.
    pub upkeep: Cost,
    /// Bytes of the directory in each second, upkeep left out.
    pub directory_bytes: Vec<u64>,
    /// Requests refused by a full server.
    pub refused: u64,
    /// Bytes of chunks that the receiver had already.
    pub duplicate_bytes: u64,
    /// Bytes sent in vain because one end left: of the part of a chunk, or to nobody.
    pub lost_bytes: u64,
    /// A digest of every transfer: two runs are the same if it is.
    pub digest: u64,
}
