//! What is run: a system, a network, a file, and what makes life harder.

use std::time::Duration;

use super::result::System;
use crate::client::ClientConfig;
use crate::sim::{InternetSpec, SitesSpec};

/// Where the peers are.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// The paper's: stubs of a power-law graph of autonomous systems.
    Internet(InternetSpec),
    /// Stubs at the sites of a measured matrix of round-trip times (its text).
    Matrix(String, InternetSpec),
    /// Sites with a shared uplink each.
    Sites(SitesSpec),
}

/// What makes life harder; by default nothing does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// A flow's share at a bottleneck goes with 1 / round-trip time.
    pub rtt_bias: bool,
    /// The directory measures round-trip times that are wrong by up to this share of them, and ...
    pub error_share: f64,
    /// ... by up to so much more, either way; the same for a pair of stubs at all times.
    pub error: Duration,
    /// Downloaders start evenly at random within this time.
    pub join_within: Duration,
    /// Share of the downloaders that leave without a word between a quarter and three quarters of the bound after their
    /// start.
    pub leave: f64,
    /// Dead entries in the directory (or addresses at the tracker) as a share of the peers; each claims a random half of
    /// the chunks.
    pub dead: f64,
    /// Share of the downloaders whose up link has a tenth of its capacity.
    pub slow: f64,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The system.
    pub system: System,
    /// Most transfers that a peer sends at once; 0: no limit.
    pub slots: usize,
    /// What was varied, for the report; empty: the plain setting.
    pub variant: String,
    /// Decides everything random.
    pub seed: u64,
    /// Where the peers are.
    pub place: Place,
    /// Chunks of the file.
    pub chunks: u32,
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
    /// Bytes that a connection has under way at most: its rate is bounded by this a round-trip time.
    pub window: u64,
    /// What makes life harder.
    pub trouble: Trouble,
    /// The client of the ChunkCast systems, if not that system's own.
    pub client: Option<ClientConfig>,
    /// Whether strangers can join the directory: entries are signed.
    pub open: bool,
    /// How long the ring of index nodes is up before the first download.
    pub settle: Duration,
    /// How long the directory is watched after the last download.
    pub tail: Duration,
    /// The run ends then, whoever is done.
    pub limit: Duration,
    /// How often the shares of links are worked out anew.
    pub tick: Duration,
}

impl Plan {
    /// The paper's setting (5.1) for a system.
    pub fn paper(system: System, slots: usize, seed: u64) -> Self {
        Self {
            system,
            slots,
            variant: String::new(),
            seed,
            place: Place::Internet(InternetSpec::default()),
            chunks: 1000,           // paper 5.1
            chunk_bytes: 256 << 10, // paper 5.1
            window: 256 << 10,      // guess: what a kernel's autotuned window reaches at 10 Mbit/s
            trouble: Trouble::default(),
            client: None,
            open: false,
            settle: Duration::from_secs(300), // a directory is there before the swarm; coordinates have settled
            tail: Duration::ZERO,
            limit: Duration::from_secs(6_000),
            tick: Duration::from_millis(10),
        }
    }
}
