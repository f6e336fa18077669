//! What trackers answer, what is said to ours, and what routers say of themselves.

use std::net::SocketAddr;

use chunkcast_bittorrent::discovery::http_tracker::parse_http_response;
use chunkcast_bittorrent::discovery::portmap::gateway;
use chunkcast_bittorrent::discovery::udp_tracker::{UdpAnswer, parse_udp};
use chunkcast_bittorrent::discovery::{AnnounceResponse, MAX_PEERS, TrackerError};
use chunkcast_bittorrent::facade::announce::{Announce, MAX_NUMWANT};
use chunkcast_bittorrent::facade::udp::{Gate, Request};

use crate::input::Input;

/// The body of an answer over HTTP.
pub fn tracker_http(data: &[u8]) {
    match parse_http_response(data) {
        Ok(answer) => usable(&answer),
        Err(TrackerError::Refused(reason)) => one_line(&reason),
        Err(_) => {}
    }
}

/// The address family (1 byte), the transaction (4) and an answer over UDP.
pub fn tracker_udp(data: &[u8]) {
    let mut input = Input::new(data);
    let ipv6 = input.bool();
    let transaction = input.u32();
    match parse_udp(input.take(usize::MAX), transaction, ipv6) {
        Some(UdpAnswer::Announced(answer)) => usable(&answer),
        Some(UdpAnswer::Refused(reason)) => one_line(&reason),
        Some(UdpAnswer::Connected(_)) | None => {}
    }
}

/// Which it is (1 byte), and an answer to the search for routers or the description of one.
pub fn gateway(data: &[u8]) {
    const HOST: &str = "192.168.1.1";
    let mut input = Input::new(data);
    if input.bool() {
        let sender = SocketAddr::from(([192, 168, 1, 1], 1900));
        if let Some(url) = gateway::location(input.take(usize::MAX), sender) {
            assert_eq!(url.host_str(), Some(HOST));
        }
    } else {
        let url = format!("http://{HOST}:5000/root.xml");
        let url = url.parse().expect("a URL");
        for (_, control) in gateway::services(input.take(usize::MAX), &url) {
            assert_eq!((control.scheme(), control.host_str()), ("http", Some(HOST)));
        }
    }
}

/// The query of an announce over HTTP.
pub fn announce_http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(announce) = Announce::from_query(&text) {
        sound(&announce);
    }
}

/// Whether the connection id is right (1 byte), and a datagram to the tracker.
pub fn announce_udp(data: &[u8]) {
    const NOW: u64 = 1_000;
    let gate = Gate::new([1; 20]);
    let from = SocketAddr::from(([127, 0, 0, 1], 7));
    let mut input = Input::new(data);
    let admitted = input.bool();
    let mut datagram = input.take(usize::MAX).to_vec();
    let id = gate.connected(0, from, NOW).split_off(8);
    if let Some(first) = datagram.get_mut(..8).filter(|_| admitted) {
        first.copy_from_slice(&id);
    }
    match gate.read(&datagram, from, NOW) {
        Some((_, Request::Announce(announce))) => sound(&announce),
        Some((transaction, Request::Connect)) => {
            assert!(gate.connected(transaction, from, NOW).len() <= datagram.len());
        }
        Some((_, Request::Refused(_))) | None => {}
    }
}

fn sound(announce: &Announce) {
    assert!(announce.port != 0 && announce.numwant <= MAX_NUMWANT);
}

fn usable(answer: &AnnounceResponse) {
    assert!(answer.peers.len() <= MAX_PEERS);
    for peer in &answer.peers {
        assert!(peer.port() != 0 && !peer.ip().is_unspecified());
        assert_eq!(peer.ip(), peer.ip().to_canonical());
    }
    answer.warning.as_deref().into_iter().for_each(one_line);
    assert!(answer.tracker_id.as_ref().is_none_or(|id| id.len() <= 256));
}

/// It is shown on a terminal.
fn one_line(text: &str) {
    assert!(text.chars().count() <= 200 && !text.chars().any(char::is_control));
}
