//! The UDP tracker protocol (BEP 15), the tracker's side: datagrams to requests, answers to datagrams. Sans-IO.
//!
//! Whoever asks proves first that it receives at its address, with a connection id that only it was sent: nobody can have
//! others flooded. Ids are not kept but computed, from the address, the minute and a secret; one is good for one to two
//! minutes. What is no request, or has a wrong id, is not answered at all, and no answer without an id is longer than
//! its request.

use std::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

use super::announce::{Announce, MAX_NUMWANT};
use super::answer::Answer;
use crate::discovery::Event;

/// What every first request begins with.
const MAGIC: u64 = 0x0417_2710_1980;

/// Seconds for which a connection id is handed out.
const WINDOW: u64 = 60;

/// Length of an announce without options.
const ANNOUNCE: usize = 98;

/// Longest line in an error.
const MAX_ERROR: usize = 200; // guess: two lines of a window

/// A datagram that is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A connection id is wanted.
    Connect,
    /// Peers are; this client may be answered at length.
    Announce(Announce),
    /// It has shown where it is, and asks for something that is not done here.
    Refused(&'static str),
}

/// Makes and checks connection ids.
#[derive(Clone)]
pub struct Gate {
    secret: [u8; 20],
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// With a secret that nobody else knows.
    pub fn new(secret: [u8; 20]) -> Self {
        Self { secret }
    }

    /// The id of this address from `now`, in seconds of any epoch, on.
    fn id(&self, from: SocketAddr, now: u64) -> u64 {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let digest = Sha1::new()
            .chain_update(self.secret)
            .chain_update(ip.octets())
            .chain_update(from.port().to_be_bytes())
            .chain_update((now / WINDOW).to_be_bytes())
            .finalize();
        number(&digest, 0)
    }

    fn admits(&self, id: u64, from: SocketAddr, now: u64) -> bool {
        id == self.id(from, now) || id == self.id(from, now.saturating_sub(WINDOW))
    }

    /// Reads a datagram; its transaction id, and what it asks for. `None`: it is not answered.
    pub fn read(&self, datagram: &[u8], from: SocketAddr, now: u64) -> Option<(u32, Request)> {
        let (head, rest) = datagram.split_first_chunk::<16>()?;
        let (id, action, transaction) = (number(head, 0), word(head, 8), word(head, 12));
        if action == 0 {
            return (id == MAGIC).then_some((transaction, Request::Connect));
        }
        if !self.admits(id, from, now) {
            return None;
        }
        let request = match action {
            1 if datagram.len() < ANNOUNCE => Request::Refused("the announce is too short"),
            1 => announce(rest),
            2 => Request::Refused("scrapes are answered over HTTP"),
            _ => Request::Refused("no such action"),
        };
        Some((transaction, request))
    }

    /// The answer to [`Request::Connect`]: as long as the request.
    pub fn connected(&self, transaction: u32, from: SocketAddr, now: u64) -> Vec<u8> {
        let mut out = header(0, transaction);
        out.extend(self.id(from, now).to_be_bytes());
        out
    }
}

/// The answer to [`Request::Announce`]: peers of the asker's address family alone.
pub fn announced(transaction: u32, answer: &Answer, v4: bool) -> Vec<u8> {
    let mut out = header(1, transaction);
    let interval = u32::try_from(answer.interval.as_secs()).unwrap_or(u32::MAX);
    for number in [interval, answer.incomplete, answer.complete] {
        out.extend(number.to_be_bytes());
    }
    let (four, six) = answer.compact();
    out.extend(if v4 { four } else { six });
    out
}

/// A refusal with its reason.
pub fn refused(transaction: u32, reason: &str) -> Vec<u8> {
    let mut out = header(3, transaction);
    out.extend(reason.bytes().take(MAX_ERROR));
    out
}

/// What follows the first 16 bytes of an announce.
fn announce(rest: &[u8]) -> Request {
    let (Some(info_hash), Some(peer_id)) = (bytes(rest, 0), bytes(rest, 20)) else {
        return Request::Refused("the announce is too short");
    };
    let event = match word(rest, 64) {
        0 => Event::Regular,
        1 => Event::Completed,
        2 => Event::Started,
        3 => Event::Stopped,
        _ => return Request::Refused("event of the announce is not valid"),
    };
    let port = u16::from_be_bytes(bytes(rest, 80).unwrap_or_default());
    if port == 0 {
        return Request::Refused("port of the announce is not valid");
    }
    let ip = word(rest, 68);
    Request::Announce(Announce {
        info_hash,
        peer_id,
        port,
        left: number(rest, 48),
        event,
        // -1, as which most clients say "as many as you like", is a large number here
        numwant: usize::try_from(word(rest, 76)).map_or(MAX_NUMWANT, |n| n.min(MAX_NUMWANT)),
        compact: true,
        ip: (ip != 0).then(|| IpAddr::V4(ip.into())),
    })
}

fn header(action: u32, transaction: u32) -> Vec<u8> {
    [action.to_be_bytes(), transaction.to_be_bytes()].concat()
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}

/// Eight bytes; 0 where they are not there.
fn number(from: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes(from, at).unwrap_or_default())
}

fn word(from: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(from, at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::udp_tracker::{UdpAnswer, announce_request, connect_request, parse_udp};
    use crate::discovery::{AnnounceRequest, TransferCounts};
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: u64 = 1_000_000;

    fn gate() -> Gate {
        Gate::new([7; 20])
    }

    fn here() -> SocketAddr {
        "127.0.0.1:5000".parse().unwrap()
    }

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: [1; 20],
            peer_id: [2; 20],
            port: 6881,
            key: 3,
            numwant: 200,
            counts: TransferCounts {
                uploaded: 1,
                downloaded: 2,
                left: 3,
            },
            event: Event::Started,
        }
    }

    fn connect() -> u64 {
        let (transaction, asked) = gate()
            .read(&connect_request(9), here(), NOW)
            .expect("a request");
        assert_eq!((transaction, &asked), (9, &Request::Connect));
        let answer = gate().connected(9, here(), NOW);
        assert!(
            answer.len() <= connect_request(9).len(),
            "nothing is amplified"
        );
        match parse_udp(&answer, 9, false) {
            Some(UdpAnswer::Connected(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_connects_and_announces() {
        let datagram = announce_request(connect(), 10, &request(), b"/announce");
        let (transaction, asked) = gate().read(&datagram, here(), NOW + 59).expect("a request");
        assert_eq!(transaction, 10);
        let Request::Announce(announce) = asked else {
            panic!("{asked:?}");
        };
        assert_eq!((announce.info_hash, announce.peer_id), ([1; 20], [2; 20]));
        assert_eq!((announce.port, announce.left), (6881, 3));
        assert_eq!(
            (announce.event, announce.numwant),
            (Event::Started, MAX_NUMWANT)
        );
        assert_eq!(announce.ip, None);
    }

    #[test]
    fn an_answer_is_read_by_clients() {
        let answer = Answer {
            interval: Duration::from_secs(60),
            complete: 4,
            incomplete: 5,
            peers: vec![
                "192.0.2.1:80".parse().unwrap(),
                "[2001:db8::1]:81".parse().unwrap(),
            ],
            ..Answer::default()
        };
        for (v4, index) in [(true, 0), (false, 1)] {
            match parse_udp(&announced(11, &answer, v4), 11, !v4) {
                Some(UdpAnswer::Announced(read)) => {
                    assert_eq!(read.peers, [answer.peers[index]]);
                    assert_eq!(read.interval, Some(Duration::from_secs(60)));
                    assert_eq!((read.seeders, read.leechers), (Some(4), Some(5)));
                }
                other => panic!("{other:?}"),
            }
        }
        match parse_udp(&refused(12, "no"), 12, false) {
            Some(UdpAnswer::Refused(reason)) => assert_eq!(reason, "no"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_id_is_good_at_its_address_and_for_two_minutes_at_most() {
        let id = connect();
        let datagram = announce_request(id, 1, &request(), b"");
        let read = |from: &str, now| gate().read(&datagram, from.parse().unwrap(), now);
        assert!(read("127.0.0.1:5000", NOW + 60).is_some());
        assert_eq!(read("127.0.0.1:5000", NOW + 120), None);
        assert_eq!(
            read("127.0.0.1:5001", NOW),
            None,
            "replayed from another port"
        );
        assert_eq!(
            read("192.0.2.1:5000", NOW),
            None,
            "replayed from another host"
        );
        let forged = announce_request(id ^ 1, 1, &request(), b"");
        assert_eq!(gate().read(&forged, here(), NOW), None);
        let other = Gate::new([8; 20]);
        assert_eq!(
            other.read(&datagram, here(), NOW),
            None,
            "of another tracker"
        );
    }

    #[test]
    fn bad_requests_of_those_who_are_there_are_refused_with_a_reason() {
        let id = connect();
        let good = announce_request(id, 1, &request(), b"");
        let change = |at: usize, with: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + with.len()].copy_from_slice(with);
            gate().read(&bad, here(), NOW).map(|(_, request)| request)
        };
        let refused = |reason| Some(Request::Refused(reason));
        assert_eq!(
            change(8, &[0, 0, 0, 2]),
            refused("scrapes are answered over HTTP")
        );
        assert_eq!(change(8, &[0, 0, 0, 9]), refused("no such action"));
        assert_eq!(
            change(80, &[0, 0, 0, 4]),
            refused("event of the announce is not valid")
        );
        assert_eq!(
            change(96, &[0, 0]),
            refused("port of the announce is not valid")
        );
        let short = gate().read(&good[..97], here(), NOW).map(|(_, r)| r);
        assert_eq!(short, refused("the announce is too short"));
        match change(84, &[192, 0, 2, 1]) {
            Some(Request::Announce(a)) => assert_eq!(a.ip, Some("192.0.2.1".parse().unwrap())),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_ignored(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(gate().read(&datagram, here(), NOW), None);
        }

        #[test]
        fn whatever_follows_a_good_id_is_answered_or_refused(
            action in 1u32..5, rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let id = gate().id(here(), NOW);
            let head = [&id.to_be_bytes()[..], &action.to_be_bytes(), &[0; 4], &rest].concat();
            prop_assert!(gate().read(&head, here(), NOW).is_some());
        }
    }
}
