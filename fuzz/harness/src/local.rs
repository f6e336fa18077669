//! What comes from this machine and its network: LAN announcements, the state file, control requests.

use chunkcast::driver::lan::{
    ANNOUNCEMENT_LEN, Announcement, Beacon, BeaconConfig, Kind, NetworkTag,
};
use chunkcast::id::Id;
use chunkcast::node::Network;
use chunkcast::time::Instant;
use chunkcast_bittorrent::control::{MAX_REQUEST, Request};
use chunkcast_bittorrent::state::{MAX_CONTACTS, MAX_LEN, Saved, seal};
use std::net::SocketAddr;
use std::time::Duration;

use crate::input::Input;

/// Announcements from all sides: one form each, hints within their bounds, answers no larger than what they answer.
pub fn lan_announcement(data: &[u8]) {
    let config = BeaconConfig::default();
    let me = Announcement {
        kind: Kind::Newcomer,
        network: NetworkTag::of(&Network::Open),
        id: Id([0; 20]),
        port: 4240,
    };
    let mut now = Instant::from_micros(1);
    let begin = now;
    let mut beacon = Beacon::new(config.clone(), me, [7; 32], now);
    let mut input = Input::new(data);
    let (mut heard, mut hints) = (0u64, 0u64);
    while !input.is_done() {
        now += Duration::from_millis(u64::from(input.u16()));
        let from = SocketAddr::from(([10, 0, 0, input.byte()], 5000 + u16::from(input.byte())));
        let len = usize::from(input.byte());
        let payload = input.take(len);
        if let Some(read) = Announcement::decode(payload) {
            assert_eq!(read.encode(), payload);
            assert_eq!(payload.len(), ANNOUNCEMENT_LEN);
        }
        heard += 1;
        if let Some(hint) = beacon.handle_datagram(from, payload, now) {
            assert_eq!(hint.ip(), from.ip());
            assert_ne!(hint.port(), 0);
            hints += 1;
        }
        beacon.handle_timeout(now);
        while beacon.poll_transmit().is_some() {}
        assert!(beacon.poll_timeout() > now);
    }
    let rest = (now - begin).as_millis() / config.hint_pause.as_millis();
    let most = u64::from(config.hints) + u64::try_from(rest).unwrap_or(u64::MAX);
    assert!(hints <= heard.min(most), "{hints} hints");
}

/// A state file, as it is and as what a digest vouches for: one form, within its bounds.
pub fn state_file(data: &[u8]) {
    for file in [data.to_vec(), seal(data)] {
        if let Ok(saved) = Saved::decode(&file) {
            assert!(saved.contacts.len() <= MAX_CONTACTS);
            assert!(file.len() <= MAX_LEN);
            assert_eq!(saved.encode(), file);
        }
    }
}

/// A line on the control socket: a known request or a reason.
pub fn control_request(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => {
            assert!(data.len() <= MAX_REQUEST);
            let name = format!("\"{}\"", request.name());
            // spelled out, or with escapes
            let spelled = data.windows(name.len()).any(|w| w == name.as_bytes());
            assert!(spelled || data.contains(&b'\\'));
        }
        Err(e) => assert!(!e.to_string().contains('\n')),
    }
}
