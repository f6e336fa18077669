//! What comes from this machine and its network: LAN announcements, local service discovery, the state file, control requests,
//! blocklists, the daemon's configuration.

use chunkcast::driver::lan::{
    ANNOUNCEMENT_LEN, Announcement, Beacon, BeaconConfig, Kind, NetworkTag,
};
use chunkcast::id::Id;
use chunkcast::node::Network;
use chunkcast::time::Instant;
use chunkcast_bittorrent::control::{MAX_REQUEST, Request};
use chunkcast_bittorrent::daemon::config::{Config, Places, Sources};
use chunkcast_bittorrent::discovery::lsd::{LsdAnnouncement, LsdSchedule, MAX_ANNOUNCEMENT};
use chunkcast_bittorrent::limits::Blocklist;
use chunkcast_bittorrent::state::{MAX_CONTACTS, MAX_LEN, Saved, seal};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::input::Input;

/// Datagrams of local service discovery, each after a wait and from one of 256 hosts: peers of our own torrents at the
/// host's address, no torrent reported more often than its bounds allow, and announcements of ours that fit and are rare.
pub fn lsd(data: &[u8]) {
    let ours = [[0; 20], [b'0'; 20]];
    let group = SocketAddr::from(([239, 192, 152, 143], 6771));
    let mut now = Instant::from_micros(1);
    let begin = now;
    let mut schedule = LsdSchedule::new(6881, "us".to_owned());
    for hash in ours {
        schedule.join(hash, now);
    }
    let mut input = Input::new(data);
    let (mut reported, mut said) = (0, 0);
    while !input.is_done() {
        now += Duration::from_millis(u64::from(input.u16()));
        let from = IpAddr::from([10, 0, 0, input.byte()]);
        let len = usize::from(input.u16());
        let payload = input.take(len);
        if let Some(read) = LsdAnnouncement::decode(payload) {
            assert!(read.port != 0 && !read.info_hashes.is_empty());
            assert_eq!(LsdAnnouncement::decode(&read.encode(group)), Some(read));
        }
        for (hash, at) in schedule.handle_datagram(from, payload, now) {
            assert!(ours.contains(&hash) && at.ip() == from && at.port() != 0);
            reported += 1;
        }
        schedule.handle_timeout(now);
        while let Some(announcement) = schedule.poll_transmit() {
            assert!(announcement.encode(group).len() <= MAX_ANNOUNCEMENT);
            said += 1;
        }
        assert!(schedule.poll_timeout().is_some_and(|at| at > now));
    }
    let minutes = (now - begin).as_secs() / 60;
    assert!(said <= 2 + 2 * minutes, "{said} in {minutes} minutes");
    assert!(
        reported <= 2 * 64 * (1 + minutes / 5),
        "{reported} in {minutes} minutes"
    );
}

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

/// A blocklist: what is read covers its own ends and not what is beside them, and is read the same again.
pub fn blocklist(data: &[u8]) {
    let Ok(list) = Blocklist::read(data) else {
        return;
    };
    let ranges: Vec<(IpAddr, IpAddr)> = list.ranges().collect();
    assert_eq!(ranges.len(), list.len());
    for pair in ranges.windows(2) {
        assert!(pair[0].1 < pair[1].0, "{pair:?}");
    }
    for (first, last) in &ranges {
        assert!(first <= last && list.contains(*first) && list.contains(*last));
    }
    let text: String = ranges.iter().map(|(a, b)| format!("{a}-{b}\n")).collect();
    let again = Blocklist::read(text.as_bytes()).expect("written by us");
    assert!(again.ranges().eq(list.ranges()));
}

/// A configuration file: every mistake is one line, and what is read is the same when what is shown of it is read.
pub fn config(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("chunkcast-fuzz-{}.toml", std::process::id()));
    let load = |text: &[u8]| {
        std::fs::write(&path, text).expect("a writable temporary directory");
        let loaded = Config::load(&Sources {
            file: Some(path.clone()),
            places: Places::of_system(),
            env: Vec::new(),
            flags: Vec::new(),
        });
        let _ = std::fs::remove_file(&path);
        loaded
    };
    let loaded = match load(data) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for line in mistakes.iter().map(ToString::to_string) {
                assert!(!line.contains(char::is_control), "{line:?}");
            }
            return;
        }
    };
    if loaded.config.api.password.is_none() && loaded.config.network.key.is_none() {
        let again = load(loaded.show().as_bytes()).expect("written by us");
        assert_eq!(again.config, loaded.config);
    }
}
