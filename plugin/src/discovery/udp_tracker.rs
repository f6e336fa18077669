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
mod tests {
    use super::super::announce::TransferCounts;
    use super::*;
    use proptest::prelude::*;

    const T0: Instant = Instant::from_micros(1_000_000);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: [1; 20],
            peer_id: [2; 20],
            port: 0x1ae1,
            key: 0xdead_beef,
            numwant: 80,
            counts: TransferCounts {
                uploaded: 3,
                downloaded: 4,
                left: 5,
            },
            event: Event::Started,
        }
    }

    fn exchange(connection: Option<Connection>) -> UdpExchange {
        UdpExchange::new(
            request(),
            Vec::new(),
            false,
            connection,
            [7, 8],
            T0,
            T0 + secs(15),
        )
    }

    fn connected(transaction: u32, id: u64) -> Vec<u8> {
        [
            &0u32.to_be_bytes()[..],
            &transaction.to_be_bytes(),
            &id.to_be_bytes(),
        ]
        .concat()
    }

    fn announced(transaction: u32, peers: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for n in [1, transaction, 1800, 2, 3] {
            out.extend(n.to_be_bytes());
        }
        out.extend(peers);
        out
    }

    fn refused(transaction: u32, text: &str) -> Vec<u8> {
        [
            &3u32.to_be_bytes()[..],
            &transaction.to_be_bytes(),
            text.as_bytes(),
        ]
        .concat()
    }

    #[test]
    fn packets_are_laid_out_as_bep_15_says() {
        assert_eq!(
            connect_request(7),
            [
                0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 7
            ]
        );
        let packet = announce_request(9, 8, &request(), b"");
        assert_eq!(packet.len(), 98);
        assert_eq!(
            packet[..16],
            [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 8]
        );
        assert_eq!(packet[16..36], [1; 20]);
        assert_eq!(packet[36..56], [2; 20]);
        assert_eq!(packet[56..64], 4u64.to_be_bytes());
        assert_eq!(packet[64..72], 5u64.to_be_bytes());
        assert_eq!(packet[72..80], 3u64.to_be_bytes());
        assert_eq!(
            packet[80..88],
            [0, 0, 0, 2, 0, 0, 0, 0],
            "event, no address"
        );
        assert_eq!(packet[88..92], [0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(packet[92..], [0, 0, 0, 80, 0x1a, 0xe1]);
        let long = announce_request(9, 8, &request(), &[b'p'; 300]);
        assert_eq!(long[98..100], [2, 255]);
        assert_eq!(long[355..357], [2, 45]);
        assert_eq!(long.len(), 402);
    }

    #[test]
    fn connects_then_announces() {
        let mut x = exchange(None);
        assert_eq!(x.poll_transmit(T0), Some(connect_request(7)));
        assert_eq!(x.poll_transmit(T0), None);
        assert_eq!(x.handle_datagram(&connected(7, 99), T0 + secs(1)), None);
        let sent = x.poll_transmit(T0 + secs(1)).unwrap();
        assert_eq!(sent, announce_request(99, 8, &request(), b""));
        let answer = x
            .handle_datagram(&announced(8, &[1, 2, 3, 4, 0, 5]), T0 + secs(2))
            .unwrap()
            .unwrap();
        assert_eq!(answer.peers, ["1.2.3.4:5".parse().unwrap()]);
        assert_eq!(answer.interval, Some(secs(1800)));
        assert_eq!((answer.leechers, answer.seeders), (Some(2), Some(3)));
        assert_eq!(x.connection().unwrap().id, 99);
    }

    #[test]
    fn repeats_double_and_end_at_the_deadline() {
        let mut x = exchange(None);
        let (mut now, mut sent) = (T0, Vec::new());
        while now < T0 + secs(15) {
            if x.poll_transmit(now).is_some() {
                sent.push((now - T0).as_secs());
            }
            now = x.poll_timeout();
        }
        assert_eq!(sent, [0, 3, 9]);
        assert_eq!(x.poll_transmit(now), None);
        assert_eq!(x.handle_datagram(&connected(7, 1), now), None);
        assert_eq!(
            x.connection(),
            None,
            "an answer after the deadline is ignored"
        );
    }

    #[test]
    fn a_connection_id_is_reused_for_a_minute_only() {
        let kept = Connection { id: 5, since: T0 };
        let fresh = |age| {
            UdpExchange::new(
                request(),
                vec![],
                false,
                Some(kept),
                [7, 8],
                T0 + age,
                T0 + secs(90),
            )
            .poll_transmit(T0 + age)
            .unwrap()
        };
        assert_eq!(fresh(secs(59)).len(), 98);
        assert_eq!(fresh(secs(60)), connect_request(7));
    }

    #[test]
    fn a_forgotten_connection_id_is_asked_for_again_once() {
        let mut x = exchange(Some(Connection { id: 5, since: T0 }));
        x.poll_transmit(T0).unwrap();
        assert_eq!(
            x.handle_datagram(&refused(8, "Connection ID missmatch."), T0),
            None
        );
        assert_eq!(x.poll_transmit(T0), Some(connect_request(7)));
        x.handle_datagram(&connected(7, 6), T0);
        x.poll_transmit(T0).unwrap();
        assert_eq!(
            x.handle_datagram(&refused(8, "not\nregistered"), T0),
            Some(Err(TrackerError::Refused("not registered".into())))
        );
    }

    #[test]
    fn answers_with_other_transactions_or_out_of_turn_are_ignored() {
        let mut x = exchange(None);
        x.poll_transmit(T0).unwrap();
        for datagram in [
            connected(8, 1),
            connected(6, 1),
            announced(7, &[]),
            refused(9, "x"),
            connected(7, 1)[..15].to_vec(),
            vec![],
            vec![0, 0, 0, 9, 0, 0, 0, 7],
        ] {
            assert_eq!(x.handle_datagram(&datagram, T0), None, "{datagram:?}");
            assert_eq!(x.connection(), None, "{datagram:?}");
        }
    }

    #[test]
    fn an_empty_announce_answer_is_a_refusal() {
        assert_eq!(
            parse_udp(&[0, 0, 0, 1, 0, 0, 0, 8], 8, false),
            Some(UdpAnswer::Refused(EMPTY_ANSWER.into()))
        );
    }

    #[test]
    fn entries_are_18_bytes_over_ipv6() {
        let mut entry = [0u8; 18];
        entry[0] = 0x20;
        entry[17] = 9;
        let Some(UdpAnswer::Announced(answer)) = parse_udp(&announced(1, &entry), 1, true) else {
            panic!("not an announce");
        };
        assert_eq!(answer.peers, ["[2000::]:9".parse().unwrap()]);
    }

    proptest! {
        #[test]
        fn any_datagram_is_survived(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..20),
            fix in any::<bool>(),
            ipv6 in any::<bool>(),
        ) {
            let mut x = exchange(None);
            x.ipv6 = ipv6;
            for (i, mut datagram) in datagrams.into_iter().enumerate() {
                let now = T0 + Duration::from_millis(i as u64 * 700);
                x.poll_transmit(now);
                if fix && datagram.len() >= 8 {
                    datagram[..3].fill(0);
                    datagram[3] &= 3;
                    datagram[4..7].fill(0);
                    datagram[7] = if x.connection.is_some() { 8 } else { 7 };
                }
                if let Some(Ok(answer)) = x.handle_datagram(&datagram, now) {
                    prop_assert!(answer.peers.iter().all(|p| p.port() != 0));
                }
            }
        }
    }
}
