//! Tests of the UDP tracker protocol, in virtual time.

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
