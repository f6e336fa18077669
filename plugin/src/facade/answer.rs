//! What stock clients hear from their tracker, as they take it over HTTP (BEP 3, 7, 23, 31). Sans-IO.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bendy::encoding::{Encoder, Error, SingleItemEncoder, SortedDictEncoder};

/// The answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// When the client is to ask again.
    pub interval: Duration,
    /// When it may at the earliest.
    pub min_interval: Duration,
    /// Peers known to have everything. Transmission takes all that an answer names for seeds if there are no others, and a seed
    /// hangs up on these.
    pub complete: u32,
    /// Other peers that are known.
    pub incomplete: u32,
    /// Peers, the nearest first.
    pub peers: Vec<SocketAddr>,
    /// A line for the client's user.
    pub warning: Option<String>,
}

impl Answer {
    /// One more peer, which has everything or may lack something.
    pub(super) fn count(&mut self, complete: bool) {
        match complete {
            true => self.complete += 1,
            false => self.incomplete += 1,
        }
    }

    /// The body of the answer over HTTP; `compact` as the client asked.
    pub fn to_http(&self, compact: bool) -> Vec<u8> {
        let seconds = |d: Duration| d.as_secs();
        dict(|e| {
            e.emit_pair(b"complete", self.complete)?;
            e.emit_pair(b"incomplete", self.incomplete)?;
            e.emit_pair(b"interval", seconds(self.interval))?;
            e.emit_pair(b"min interval", seconds(self.min_interval))?;
            if compact {
                let (v4, v6) = self.compact();
                e.emit_pair_with(b"peers", |s| s.emit_bytes(&v4))?;
                if !v6.is_empty() {
                    e.emit_pair_with(b"peers6", |s| s.emit_bytes(&v6))?;
                }
            } else {
                e.emit_pair_with(b"peers", |s| self.emit_peers(s))?;
            }
            match &self.warning {
                Some(warning) => e.emit_pair(b"warning message", warning.as_str()),
                None => Ok(()),
            }
        })
    }

    fn emit_peers(&self, to: SingleItemEncoder<'_>) -> Result<(), Error> {
        to.emit_list(|list| {
            for peer in &self.peers {
                list.emit_dict(|mut d| {
                    d.emit_pair(b"ip", peer.ip().to_string())?;
                    d.emit_pair(b"port", peer.port())
                })?;
            }
            Ok(())
        })
    }

    /// The peers as 6 bytes each over IPv4 and 18 over IPv6.
    pub(super) fn compact(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for peer in &self.peers {
            match peer {
                SocketAddr::V4(a) => v4.extend(a.ip().octets()),
                SocketAddr::V6(a) => v6.extend(a.ip().octets()),
            }
            let family = if peer.is_ipv4() { &mut v4 } else { &mut v6 };
            family.extend(peer.port().to_be_bytes());
        }
        (v4, v6)
    }
}

/// The body of the answer to a scrape (BEP 48): seeds and downloaders by infohash, without repetitions.
pub fn scrape(counts: &BTreeMap<[u8; 20], (u32, u32)>) -> Vec<u8> {
    dict(|e| {
        e.emit_pair_with(b"files", |s| {
            s.emit_dict(|mut files| {
                for (hash, (complete, incomplete)) in counts {
                    files.emit_pair_with(hash, |s| {
                        s.emit_dict(|mut d| {
                            d.emit_pair(b"complete", complete)?;
                            d.emit_pair(b"downloaded", 0)?;
                            d.emit_pair(b"incomplete", incomplete)
                        })
                    })?;
                }
                Ok(())
            })
        })
    })
}

/// The body of a refusal (BEP 3: "failure reason"; BEP 31: when to try again, in minutes, or never).
pub fn refusal(reason: &str, retry: bool) -> Vec<u8> {
    dict(|e| {
        e.emit_pair(b"failure reason", reason)?;
        match retry {
            true => Ok(()),
            false => e.emit_pair(b"retry in", "never"),
        }
    })
}

fn dict(fill: impl FnOnce(&mut SortedDictEncoder<'_>) -> Result<(), Error>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let written = encoder.emit_dict(|mut e| fill(&mut e));
    let output = written.and_then(|()| encoder.get_output());
    output.expect("keys are emitted in sorted order and once each")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::TrackerError;
    use crate::discovery::http_tracker::parse_http_response;

    fn answer() -> Answer {
        Answer {
            interval: Duration::from_secs(60),
            min_interval: Duration::from_secs(15),
            complete: 1,
            incomplete: 2,
            peers: vec![
                "10.0.0.7:6881".parse().unwrap(),
                "[2001:db8::7]:6882".parse().unwrap(),
                "192.0.2.1:80".parse().unwrap(),
            ],
            warning: Some("careful".to_owned()),
        }
    }

    #[test]
    fn clients_read_what_was_answered() {
        for compact in [true, false] {
            let read = parse_http_response(&answer().to_http(compact)).expect("an answer");
            let mut peers = read.peers.clone();
            let mut expected = answer().peers;
            peers.sort();
            expected.sort();
            assert_eq!(peers, expected);
            assert_eq!(read.interval, Some(Duration::from_secs(60)));
            assert_eq!(read.min_interval, Some(Duration::from_secs(15)));
            assert_eq!((read.seeders, read.leechers), (Some(1), Some(2)));
            assert_eq!(read.warning.as_deref(), Some("careful"));
        }
    }

    #[test]
    fn the_order_of_peers_is_kept_within_a_family() {
        let (v4, v6) = answer().compact();
        assert_eq!(v4, [10, 0, 0, 7, 0x1a, 0xe1, 192, 0, 2, 1, 0, 80]);
        assert_eq!(v6.len(), 18);
    }

    #[test]
    fn a_scrape_has_the_counts_by_infohash() {
        let counts = BTreeMap::from([([b'a'; 20], (1, 2))]);
        let body = String::from_utf8(scrape(&counts)).expect("text");
        let hash = "a".repeat(20);
        let one = format!("20:{hash}d8:completei1e10:downloadedi0e10:incompletei2ee");
        assert_eq!(body, format!("d5:filesd{one}ee"));
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let read = parse_http_response(&refusal("a private torrent", false));
        let reason = "a private torrent".to_owned();
        assert_eq!(read, Err(TrackerError::Refused(reason)));
        assert_eq!(refusal("no", true), b"d14:failure reason2:noe");
    }
}
