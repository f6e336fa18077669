//! What is said to a tracker and what it answers, whatever the transport (BEP 3, 15).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Peers kept from one answer; more are dropped. // guess: ten times what is asked for
pub const MAX_PEERS: usize = 2000;

/// Characters kept of a tracker's own words (failure reason, warning).
const MAX_TEXT: usize = 200;

/// How much of the torrent has moved, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferCounts {
    /// Sent to peers since `started`.
    pub uploaded: u64,
    /// Received from peers since `started`.
    pub downloaded: u64,
    /// Still missing; 0 means complete. Unknown (a magnet before its metadata) is any value above 0.
    pub left: u64,
}

impl Default for TransferCounts {
    /// Nothing moved, size unknown: one block is said to be missing, so that no tracker takes us for a seed.
    fn default() -> Self {
        Self {
            uploaded: 0,
            downloaded: 0,
            left: 16 * 1024,
        }
    }
}

/// Why an announce is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The regular one.
    Regular,
    /// The first one to a tracker.
    Started,
    /// The download has become complete.
    Completed,
    /// The last one to a tracker.
    Stopped,
}

/// One announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// Our id in this swarm.
    pub peer_id: [u8; 20],
    /// TCP port that we listen on; the address is whatever the tracker sees (`ip` is never sent).
    pub port: u16,
    /// Lets the tracker know us again when our address changes.
    pub key: u32,
    /// Peers wanted.
    pub numwant: u32,
    /// Bytes moved.
    pub counts: TransferCounts,
    /// Why.
    pub event: Event,
}

/// A tracker's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// Wait before the next regular announce.
    pub interval: Option<Duration>,
    /// Wait before any next announce.
    pub min_interval: Option<Duration>,
    /// The tracker's warning, one printable line.
    pub warning: Option<String>,
    /// To be sent back to the same tracker.
    pub tracker_id: Option<Vec<u8>>,
    /// Peers that have everything.
    pub seeders: Option<u64>,
    /// Peers that do not.
    pub leechers: Option<u64>,
    /// Peers, no port 0, at most [`MAX_PEERS`].
    pub peers: Vec<SocketAddr>,
    /// Peer entries that were unusable or over the limit.
    pub dropped: usize,
}

impl AnnounceResponse {
    /// Adds a peer unless its port is 0 or the answer is full.
    pub(super) fn add_peer(&mut self, ip: IpAddr, port: u16) {
        let ip = ip.to_canonical();
        if port == 0 || ip.is_unspecified() || self.peers.len() >= MAX_PEERS {
            self.dropped += 1;
        } else {
            self.peers.push(SocketAddr::new(ip, port));
        }
    }

    /// Adds 6-byte entries (BEP 23); an incomplete last one counts as dropped.
    pub(super) fn add_compact_v4(&mut self, bytes: &[u8]) {
        let (entries, rest) = bytes.as_chunks::<6>();
        for &[a, b, c, d, p0, p1] in entries {
            self.add_peer(
                Ipv4Addr::new(a, b, c, d).into(),
                u16::from_be_bytes([p0, p1]),
            );
        }
        self.dropped += usize::from(!rest.is_empty());
    }

    /// Adds 18-byte entries (BEP 7); an incomplete last one counts as dropped.
    pub(super) fn add_compact_v6(&mut self, bytes: &[u8]) {
        let (entries, rest) = bytes.as_chunks::<18>();
        for entry in entries {
            let mut ip = [0; 16];
            ip.copy_from_slice(&entry[..16]);
            self.add_peer(
                Ipv6Addr::from(ip).into(),
                u16::from_be_bytes([entry[16], entry[17]]),
            );
        }
        self.dropped += usize::from(!rest.is_empty());
    }
}

/// Why an announce brought no answer. The tracker's name is added by the announcer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackerError {
    /// The tracker refused, in its own words.
    #[error("the tracker refused: {0}")]
    Refused(String),
    /// The answer is not what a tracker says.
    #[error("the answer is no tracker answer ({0}); check the announce URL")]
    Malformed(&'static str),
    /// The answer is longer than the limit in bytes.
    #[error("the answer is longer than {0} bytes; check the announce URL")]
    TooLarge(u64),
    /// HTTP status other than 200.
    #[error("HTTP status {0}; check the announce URL")]
    Status(u16),
    /// Nothing in time.
    #[error("no answer in time; it is tried again later")]
    Timeout,
    /// No https without certificates.
    #[error(
        "https needs CA certificates and this system has none; install ca-certificates or use an http or udp tracker"
    )]
    NoCertificates,
    /// The URL cannot be used.
    #[error("unusable announce URL ({0}); http, https and udp trackers work")]
    Url(&'static str),
    /// Names, sockets, connections.
    #[error("{0}")]
    Network(String),
}

/// A stranger's text as one printable line of bounded length.
pub(super) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT * 4)]);
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT)
        .collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_no_peer_in_any_notation() {
        let mut answer = AnnounceResponse::default();
        for ip in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            answer.add_peer(ip.parse().unwrap(), 6881);
        }
        assert_eq!((answer.peers, answer.dropped), (vec![], 3));
    }

    #[test]
    fn strangers_text_becomes_one_bounded_line() {
        assert_eq!(
            one_line(b" not\r\n\x1b[31m registered\0 "),
            "not   [31m registered"
        );
        assert_eq!(one_line(&[b'x'; 100_000]).len(), MAX_TEXT);
        assert!(!one_line(&[0xff; 1000]).is_empty());
    }
}
