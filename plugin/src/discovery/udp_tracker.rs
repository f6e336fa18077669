//! The UDP tracker protocol, sans-IO (BEP 15; URL data: BEP 41).
//!
//! [`UdpExchange`] is one announce to one address: connect unless a connection id is at hand, then announce, each
//! sent again after 3 s, 6 s, … until the deadline.
//!
//! Difference from BEP 15: the first repeat comes after 3 s, not 15 s, and the deadline ends it instead of the eighth
//! repeat, because a dead first tracker would else keep a download waiting for minutes before the next is tried.

use std::time::Duration;

use chunkcast::time::Instant;

use super::announce::{AnnounceRequest, AnnounceResponse, Event, TrackerError, one_line};

/// How long a connection id may be used. // BEP 15
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// Wait before the first repeat; it doubles. // guess: far above any round-trip, see the module doc
const FIRST_REPEAT: Duration = Duration::from_secs(3);

/// The constant that begins a connect request. // BEP 15
const PROTOCOL_ID: u64 = 0x0417_2710_1980;

const ACTION_CONNECT: u32 = 0;
const ACTION_ANNOUNCE: u32 = 1;
const ACTION_ERROR: u32 = 3;

/// What an announce answer without content means. // measured: opentracker sends 8 bytes for torrents not on its list
const EMPTY_ANSWER: &str = "an answer without content, so it does not serve this torrent";

/// A connection id and when it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The tracker's number for us.
    pub id: u64,
    /// When it arrived.
    pub since: Instant,
}

impl Connection {
    /// Whether it may still be used.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now - self.since < CONNECTION_LIFETIME
    }
}

/// A datagram from a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpAnswer {
    /// The connection id.
    Connected(u64),
    /// The answer to an announce.
    Announced(AnnounceResponse),
    /// The tracker refused, in its own words.
    Refused(String),
}

/// The connect request: 16 bytes.
pub fn connect_request(transaction: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    out.extend(PROTOCOL_ID.to_be_bytes());
    out.extend(ACTION_CONNECT.to_be_bytes());
    out.extend(transaction.to_be_bytes());
    out
}

/// The announce request: 98 bytes, and `url_data` (path and query, BEP 41) in options of at most 255 bytes.
pub fn announce_request(
    connection: u64,
    transaction: u32,
    request: &AnnounceRequest,
    url_data: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(98 + url_data.len() + 8);
    out.extend(connection.to_be_bytes());
    out.extend(ACTION_ANNOUNCE.to_be_bytes());
    out.extend(transaction.to_be_bytes());
    out.extend(request.info_hash);
    out.extend(request.peer_id);
    out.extend(request.counts.downloaded.to_be_bytes());
    out.extend(request.counts.left.to_be_bytes());
    out.extend(request.counts.uploaded.to_be_bytes());
    let event: u32 = match request.event {
        Event::Regular => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    };
    out.extend(event.to_be_bytes());
    out.extend([0; 4]); // the address is whatever the tracker sees
    out.extend(request.key.to_be_bytes());
    out.extend(request.numwant.to_be_bytes());
    out.extend(request.port.to_be_bytes());
    for part in url_data.chunks(255) {
        out.push(2);
        out.push(u8::try_from(part.len()).expect("chunks are at most 255 long"));
        out.extend(part);
    }
    out
}

/// Reads a datagram that answers `transaction`; `None` if it is not an answer to it. `ipv6` is the family of the
/// tracker's address, which alone says how long a peer entry is.
pub fn parse_udp(bytes: &[u8], transaction: u32, ipv6: bool) -> Option<UdpAnswer> {
    let mut rest = bytes;
    let action = take_u32(&mut rest)?;
    if take_u32(&mut rest)? != transaction {
        return None;
    }
    match action {
        ACTION_CONNECT => {
            let (high, low) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
            Some(UdpAnswer::Connected(u64::from(high) << 32 | u64::from(low)))
        }
        ACTION_ANNOUNCE => {
            let head = [(); 3].map(|()| take_u32(&mut rest));
            let [Some(interval), Some(leechers), Some(seeders)] = head else {
                return Some(UdpAnswer::Refused(EMPTY_ANSWER.to_owned()));
            };
            let mut answer = AnnounceResponse {
                interval: Some(Duration::from_secs(interval.into())),
                leechers: Some(leechers.into()),
                seeders: Some(seeders.into()),
                ..AnnounceResponse::default()
            };
            if ipv6 {
                answer.add_compact_v6(rest);
            } else {
                answer.add_compact_v4(rest);
            }
            Some(UdpAnswer::Announced(answer))
        }
        ACTION_ERROR => Some(UdpAnswer::Refused(one_line(rest))),
        _ => None,
    }
}

/// One announce to one address.
///
/// Drive it so: send what [`poll_transmit`](Self::poll_transmit) gives, until it gives `None`; wait for a datagram or
/// [`poll_timeout`](Self::poll_timeout); hand datagrams to [`handle_datagram`](Self::handle_datagram); after the
/// deadline `handle_datagram` and `poll_transmit` do nothing more and the caller gives up.
#[derive(Debug)]
pub struct UdpExchange {
    request: AnnounceRequest,
    url_data: Vec<u8>,
    ipv6: bool,
    connection: Option<Connection>,
    reused: bool,
    connect_transaction: u32,
    announce_transaction: u32,
    next_send: Instant,
    wait: Duration,
    deadline: Instant,
}

impl UdpExchange {
    /// An exchange that begins now. The two transaction ids must be unpredictable and different; `connection` is one
    /// that this address gave earlier.
    pub fn new(
        request: AnnounceRequest,
        url_data: Vec<u8>,
        ipv6: bool,
        connection: Option<Connection>,
        transactions: [u32; 2],
        now: Instant,
        deadline: Instant,
    ) -> Self {
        let [connect_transaction, announce_transaction] = transactions;
        let connection = connection.filter(|c| c.is_fresh(now));
        Self {
            request,
            url_data,
            ipv6,
            reused: connection.is_some(),
            connection,
            connect_transaction,
            announce_transaction,
            next_send: now,
            wait: FIRST_REPEAT,
            deadline,
        }
    }

    /// The connection id at hand, to be reused within its lifetime.
    pub fn connection(&self) -> Option<Connection> {
        self.connection
    }

    /// The next datagram to send now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.next_send || now >= self.deadline {
            return None;
        }
        self.next_send = now + self.wait;
        self.wait *= 2;
        self.connection = self.connection.filter(|c| c.is_fresh(now));
        Some(match self.connection {
            Some(c) => announce_request(
                c.id,
                self.announce_transaction,
                &self.request,
                &self.url_data,
            ),
            None => connect_request(self.connect_transaction),
        })
    }

    /// When to poll again at the latest.
    pub fn poll_timeout(&self) -> Instant {
        self.next_send.min(self.deadline)
    }

    /// Takes a datagram from the tracker's address; gives the outcome when it ends the exchange. What is malformed,
    /// late or answers something else is ignored, so that a forged datagram cannot end it.
    pub fn handle_datagram(
        &mut self,
        bytes: &[u8],
        now: Instant,
    ) -> Option<Result<AnnounceResponse, TrackerError>> {
        if now >= self.deadline {
            return None;
        }
        let transaction = match self.connection {
            Some(_) => self.announce_transaction,
            None => self.connect_transaction,
        };
        match (parse_udp(bytes, transaction, self.ipv6)?, self.connection) {
            (UdpAnswer::Connected(id), None) => {
                self.connection = Some(Connection { id, since: now });
                self.restart(now);
                None
            }
            (UdpAnswer::Announced(answer), Some(_)) => Some(Ok(answer)),
            // A tracker that restarted no longer knows the id that we kept.
            (UdpAnswer::Refused(_), Some(_)) if self.reused => {
                self.connection = None;
                self.reused = false;
                self.restart(now);
                None
            }
            (UdpAnswer::Refused(reason), _) => Some(Err(TrackerError::Refused(reason))),
            _ => None,
        }
    }

    fn restart(&mut self, now: Instant) {
        self.next_send = now;
        self.wait = FIRST_REPEAT;
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_be_bytes(*head))
}

#[cfg(test)]
#[path = "udp_tracker_tests.rs"]
mod tests;
