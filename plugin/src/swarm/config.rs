//! What a torrent's engine is told at the start, and its limits.

use std::time::Duration;

use chunkcast::client::ClientConfig;

use super::SwarmConfigError;

/// What a [`Swarm`](super::Swarm) is told once.
#[derive(Clone, Debug, PartialEq)]
pub struct SwarmConfig {
    /// Our peer id (BEP 3).
    pub peer_id: [u8; 20],
    /// The torrent.
    pub info_hash: [u8; 20],
    /// TCP port where we accept connections, told in the extended handshake; 0: we accept none.
    pub listen_port: u16,
    /// UDP port of the colocated index node, told to peers under `cc_index`; never for private torrents.
    pub index_port: Option<u16>,
    /// Client name and version, told in the extended handshake.
    pub version: String,
    /// Whether peers tell each other whom they are connected to (BEP 11); never in private torrents.
    pub pex: bool,
    /// BEP 27. Also set by metainfo that says so.
    pub private: bool,
    /// The peer and piece picker.
    pub client: ClientConfig,
    /// Limits of the engine.
    pub limits: Limits,
}

impl SwarmConfig {
    /// A public torrent with default limits that accepts no connections and has no index node.
    pub fn new(info_hash: [u8; 20], peer_id: [u8; 20]) -> Self {
        Self {
            peer_id,
            info_hash,
            listen_port: 0,
            index_port: None,
            version: concat!("ChunkCast ", env!("CARGO_PKG_VERSION")).to_owned(),
            pex: true,
            private: false,
            client: ClientConfig::default(),
            limits: Limits::default(),
        }
    }
}

/// Bounds on memory and work of one torrent, and its periods. Bytes unless the name says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that a pipeline begins with, in blocks.
    pub first_window: u32,
    /// Fewest requests in a pipeline, in blocks.
    pub min_window: u32,
    /// Most requests outstanding at one peer, in blocks; a peer's own `reqq` may lower it.
    pub max_window: u32,
    /// Most requests outstanding at all peers together, in blocks.
    pub max_outstanding: u32,
    /// Requests outstanding at all far peers together, in blocks, that are always allowed; more while their common rate
    /// asks for it.
    pub far_window: u32,
    /// Time's worth of a peer's rate that is kept requested beyond two round-trips.
    pub queue_time: Duration,
    /// The same at clients of other kinds: some answer what has come only once or twice a second, and look to a round-trip
    /// time alone as if they were slow. Below [`Limits::rescue_after`].
    pub stranger_queue_time: Duration,
    /// Bytes of unfinished pieces beyond which a server that has one gets no further piece; at twice that no piece is
    /// begun at all. Two pieces are always allowed.
    pub max_open_bytes: u64,
    /// How long only the peer that a piece was begun with may go on with it.
    pub begun_with: Duration,
    /// Age of a request after which its block may be asked of a second peer once nothing else is left to ask.
    pub endgame_after: Duration,
    /// Age of a request after which its block may be asked of a second peer that has nothing else to do.
    pub rescue_after: Duration,
    /// Unfinished blocks of the whole torrent at or below which a block may be asked of three peers.
    pub last_blocks: u32,
    /// Silence of a peer that owes blocks after which its requests count as lost.
    pub request_timeout: Duration,
    /// Upper bound of that silence where the peer's rate would allow more.
    pub max_request_timeout: Duration,
    /// Requests given up whose late answers are still taken, a peer.
    pub max_late: usize,
    /// Requests queued for a peer, also told as `reqq`.
    pub max_queue: usize,
    /// Largest block that a peer may ask for.
    pub max_block: u32,
    /// Bytes of blocks read or sent but not yet with the kernel, a peer.
    pub peer_upload: u64,
    /// The same over all near peers, and again over all far ones.
    pub upload_budget: u64,
    /// Both bounds grow to what was sent in that time, where that is more: a fast reader is not to wait for us.
    pub upload_time: Duration,
    /// A peer that reads nothing for that long no longer counts against `upload_budget`, or two that never read would
    /// use it up.
    pub upload_stuck: Duration,
    /// A piece of which a peer has asked for nothing more, or read nothing, for that long is no longer being sent to it.
    pub upload_idle: Duration,
    /// Bytes of one piece sent to a peer before another peer has its turn.
    pub upload_turn: u64,
    /// Largest bitfield kept while the piece count is unknown.
    pub max_early_bitfield: usize,
    /// Most HAVE messages kept a peer while the piece count is unknown.
    pub max_early_haves: usize,
    /// Metadata requests in flight at one peer.
    pub metadata_pipeline: usize,
    /// How long a metadata request may take.
    pub metadata_timeout: Duration,
    /// Metadata requests queued for a peer.
    pub metadata_queue: usize,
    /// Status messages of one peer that are read, a second; clients send a near one fifty at most.
    pub status_rate: usize,
    /// A peer is pinged so long after the connection as it is not known to be within
    /// [`near_floor`](chunkcast::client::ClientConfig::near_floor), and at once where nothing is known: the connect time and
    /// the first answers may have been measured behind full queues, and the least counts. The pause doubles with each
    /// ping.
    pub ping_pause: Duration,
    /// Longest pause between two pings of a peer, and how long an answer is waited for.
    pub max_ping_pause: Duration,
    /// Pings in a row that a peer may leave unanswered; after that it is not pinged any more.
    pub max_lost_pings: u32,
    /// Metadata pieces served to one peer, a second.
    pub metadata_rate: u32,
    /// Failed attempts at pieces whose block digests are kept.
    pub max_failed: usize,
    /// Banned addresses kept.
    pub max_banned: usize,
    /// Protocol violations after which a connection is closed.
    pub max_faults: u32,
    /// Needless messages after which a connection is closed; [`Limits::noise_decay`] forgives.
    pub max_noise: u32,
    /// Needless messages forgiven a second.
    pub noise_decay: u32,
    /// Silence of ours after which a keep-alive is sent.
    pub keepalive: Duration,
    /// Silence of a peer after which it is closed.
    pub silence: Duration,
    /// Period of the housekeeping while requests are outstanding.
    pub busy_tick: Duration,
    /// Period of the housekeeping otherwise, unless a ping is due.
    pub idle_tick: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_window: 8,                        // guess: 128 KiB, doubles within a round-trip
            min_window: 4,                          // guess
            max_window: 256,                        // guess: 4 MiB, 1 Gbit/s over 32 ms
            max_outstanding: 2048,                  // guess: 32 MiB
            far_window: 16, // measured: a piece at a time, else pieces are in flight between sites for seconds
            queue_time: Duration::from_millis(300), // measured: about 1 MB in all at 20 Mbit/s
            // Transmission 3.00 answers twice a second; libtorrent asks for three seconds' worth
            stranger_queue_time: Duration::from_millis(1500),
            max_open_bytes: 64 << 20,                     // guess
            begun_with: Duration::from_secs(1), // measured: else a seed's uplink goes to blocks that others hold
            endgame_after: Duration::from_millis(250), // guess: younger requests answer themselves
            rescue_after: Duration::from_secs(2), // guess
            last_blocks: 16,                    // guess
            request_timeout: Duration::from_secs(10), // guess
            max_request_timeout: Duration::from_secs(60), // BEP 3 clients use 60 s
            max_late: 512,                      // guess: two windows
            max_queue: 500,                     // BEP 10: libtorrent's default reqq
            max_block: 128 << 10,               // BEP 3: larger requests are closed
            peer_upload: 256 << 10,             // guess: half of the budget
            upload_budget: 512 << 10,           // measured: 512 KB in the sockets at 20 Mbit/s
            upload_time: Duration::from_millis(20), // measured: 512 KB at 20 Mbit/s are 200 ms
            upload_stuck: Duration::from_secs(5), // guess: below request_timeout, or the others give up first
            upload_idle: Duration::from_secs(2),  // guess: several round-trips
            upload_turn: 1 << 20, // guess: a slow reader gets a turn within its timeout
            max_early_bitfield: 1 << 20, // 8 million pieces
            max_early_haves: 100_000, // guess
            metadata_pipeline: 4, // guess: stock clients answer two to four at once
            metadata_timeout: Duration::from_secs(10), // guess
            metadata_queue: 256,  // 4 MiB of metadata
            status_rate: 100,     // twice what is sent: several come at once after a loss
            ping_pause: Duration::from_secs(1), // guess: queues fill and empty within that
            max_ping_pause: Duration::from_secs(10), // guess: 22 bytes to a far peer, every 10 s
            max_lost_pings: 3,    // guess: it drops what is above its status_rate
            metadata_rate: 64,    // guess: 1 MiB/s
            max_failed: 64,       // guess
            max_banned: 1024,     // guess
            max_faults: 16,       // guess
            max_noise: 2000,      // guess: four full queues refused at once
            noise_decay: 50,      // guess
            keepalive: Duration::from_secs(100), // BEP 3: sent every two minutes
            silence: Duration::from_secs(150), // BEP 3: two minutes and some slack
            busy_tick: Duration::from_millis(250), // guess: the granularity of windows and rescue
            idle_tick: Duration::from_secs(5), // guess
        }
    }
}

impl Limits {
    /// Bytes that are sent in [`Self::upload_time`] at this rate, at most 1 MiB: a connection queues four times as much.
    pub(super) fn sent_at(&self, rate: u64) -> u64 {
        let millis = u64::try_from(self.upload_time.as_millis()).unwrap_or(u64::MAX);
        (rate.saturating_mul(millis) / 1000).min(1 << 20)
    }

    /// Checks that the limits can work together.
    ///
    /// # Errors
    /// The first limit that makes no sense.
    pub fn validate(&self) -> Result<(), SwarmConfigError> {
        let rules = [
            (self.min_window >= 1, "min_window must be at least 1"),
            (
                self.first_window >= self.min_window,
                "first_window must not be below min_window",
            ),
            (
                self.max_window >= self.first_window,
                "max_window must not be below first_window",
            ),
            (
                self.max_outstanding >= self.max_window,
                "max_outstanding must not be below max_window",
            ),
            (
                self.max_block >= 16 << 10,
                "max_block must hold a block of 16 KiB",
            ),
            (
                self.peer_upload >= u64::from(self.max_block),
                "peer_upload must hold a largest block",
            ),
            (
                self.upload_budget >= self.peer_upload,
                "upload_budget must not be below peer_upload",
            ),
            (self.far_window >= 1, "far_window must be at least 1"),
            (
                self.stranger_queue_time < self.rescue_after,
                "stranger_queue_time must be below rescue_after",
            ),
            (self.max_queue >= 1, "max_queue must be at least 1"),
            (
                self.metadata_pipeline >= 1,
                "metadata_pipeline must be at least 1",
            ),
            (self.metadata_rate >= 1, "metadata_rate must be at least 1"),
            (self.status_rate >= 1, "status_rate must be at least 1"),
            (
                !self.ping_pause.is_zero() && self.ping_pause <= self.max_ping_pause,
                "ping_pause must not be zero, and at most max_ping_pause",
            ),
            (
                self.keepalive < self.silence,
                "keepalive must be shorter than silence",
            ),
            (
                !self.busy_tick.is_zero() && !self.idle_tick.is_zero(),
                "a tick must not be zero",
            ),
            (
                self.request_timeout <= self.max_request_timeout,
                "request_timeout is above its maximum",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(SwarmConfigError(rule)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_contradiction_is_named() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let bad = Limits {
            max_window: 2,
            ..Limits::default()
        };
        assert!(
            bad.validate()
                .unwrap_err()
                .to_string()
                .contains("max_window")
        );
    }
}
