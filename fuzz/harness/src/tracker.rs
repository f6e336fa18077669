//! What trackers answer.

use chunkcast_bittorrent::discovery::http_tracker::parse_http_response;
use chunkcast_bittorrent::discovery::udp_tracker::{UdpAnswer, parse_udp};
use chunkcast_bittorrent::discovery::{AnnounceResponse, MAX_PEERS, TrackerError};

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
