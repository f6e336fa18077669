//! Two peers that dial each other at the same time, over one transport or two: both ends keep the same connection.

use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::client::Source;
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId, Output, PeerInfo, Swarm, SwarmConfig};
use chunkcast_bittorrent::wire::message::Handshake;
use chunkcast_bittorrent::wire::stream::Transport;

const HASH: [u8; 20] = [7; 20];

/// One end: its peer id, the other's, and what it has of the other.
struct End {
    swarm: Swarm,
    other: [u8; 20],
    open: Vec<u64>,
}

impl End {
    fn new(me: u8, other: u8) -> Self {
        let config = SwarmConfig::new(HASH, [me; 20]);
        Self {
            swarm: Swarm::new(config, 1, Instant::ZERO),
            other: [other; 20],
            open: Vec::new(),
        }
    }

    fn connected(&mut self, conn: u64, outbound: bool, transport: Transport) {
        let port = if outbound { 6881 } else { 40_000 };
        let info = PeerInfo {
            addr: SocketAddr::from(([10, 0, 0, 9], port)),
            outbound,
            source: if outbound {
                Source::Tracker
            } else {
                Source::Incoming
            },
            rtt: outbound.then_some(Duration::from_millis(9)),
            transport,
            encrypted: false,
            handshake: Handshake::ours(HASH, self.other),
        };
        self.open.push(conn);
        self.swarm
            .handle_connected(ConnId(conn), info, Instant::ZERO);
        while let Some(output) = self.swarm.poll_output() {
            if let Output::Close { conn, reason } = output {
                assert_eq!(reason, CloseReason::DuplicatePeer);
                self.open.retain(|c| *c != conn.0);
            }
        }
    }
}

/// What is left when connection 1, begun by peer 1, and 2, begun by peer 2, come up in each order at each end.
fn kept(first: Transport, second: Transport) -> u64 {
    let mut results = Vec::new();
    for (me, other) in [(1, 2), (2, 1)] {
        for order in [[1, 2], [2, 1]] {
            let mut end = End::new(me, other);
            for conn in order {
                let transport = if conn == 1 { first } else { second };
                end.connected(conn, conn == u64::from(me), transport);
            }
            assert_eq!(end.open.len(), 1, "{:?}", end.open);
            results.extend(end.open);
        }
    }
    assert!(results.iter().all(|r| *r == results[0]), "{results:?}");
    results[0]
}

#[test]
fn tcp_is_kept_whoever_dialled_and_whichever_was_first() {
    assert_eq!(kept(Transport::Tcp, Transport::Utp), 1);
    assert_eq!(kept(Transport::Utp, Transport::Tcp), 2);
}

#[test]
fn of_one_transport_the_greater_peer_ids_dial_is_kept() {
    assert_eq!(kept(Transport::Tcp, Transport::Tcp), 2);
    assert_eq!(kept(Transport::Utp, Transport::Utp), 2);
}

#[test]
fn a_second_connection_of_the_same_side_is_refused_over_any_transport() {
    for (old, new) in [
        (Transport::Utp, Transport::Tcp),
        (Transport::Tcp, Transport::Utp),
    ] {
        let mut end = End::new(1, 2);
        end.connected(1, false, old);
        end.connected(2, false, new);
        assert_eq!(end.open, [1]);
    }
}
