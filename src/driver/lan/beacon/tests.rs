use std::net::Ipv4Addr;

use super::super::announcement::{Kind, NetworkTag};
use super::*;
use crate::auth::seal::NetworkKey;
use crate::node::Network;

const SECOND: Duration = Duration::from_secs(1);

/// A medium that delivers everything to everyone at once, and the beacons on it.
struct Medium {
    now: Instant,
    beacons: Vec<Beacon>,
    /// Who was told of whom.
    hints: BTreeSet<(usize, usize)>,
    announced: usize,
    answered: usize,
}

fn addr(i: usize, port: u16) -> SocketAddr {
    let ip = Ipv4Addr::from(0x0a00_0001 + u32::try_from(i).unwrap());
    SocketAddr::new(ip.into(), port)
}

fn me(i: usize, network: NetworkTag) -> Announcement {
    let mut id = Id::default();
    id.0[..8].copy_from_slice(&(i as u64 + 1).to_be_bytes());
    Announcement {
        kind: Kind::Newcomer,
        network,
        id,
        port: 4240,
    }
}

fn beacon(i: usize, now: Instant) -> Beacon {
    let seed = [u8::try_from(i % 256).unwrap(); 32];
    let me = me(i, NetworkTag::of(&Network::Open));
    Beacon::new(BeaconConfig::default(), me, seed, now)
}

impl Medium {
    fn new() -> Self {
        Self {
            now: Instant::from_micros(1),
            beacons: Vec::new(),
            hints: BTreeSet::new(),
            announced: 0,
            answered: 0,
        }
    }

    fn add(&mut self) -> usize {
        let i = self.beacons.len();
        self.beacons.push(beacon(i, self.now));
        i
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.beacons.iter().map(Beacon::poll_timeout).min();
            match next.filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            for from in 0..self.beacons.len() {
                self.beacons[from].handle_timeout(self.now);
                while let Some((target, said)) = self.beacons[from].poll_transmit() {
                    self.deliver(from, target, &said.encode());
                }
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, from: usize, target: Target, payload: &[u8]) {
        let all = 0..self.beacons.len();
        let to: Vec<usize> = match target {
            Target::Everyone => {
                self.announced += 1;
                all.collect()
            }
            Target::One(to) => {
                self.answered += 1;
                all.filter(|i| addr(*i, 9) == to).collect()
            }
        };
        for i in to {
            let hint = self.beacons[i].handle_datagram(addr(from, 9), payload, self.now);
            if let Some(hint) = hint {
                let at = (0..self.beacons.len()).find(|i| addr(*i, 4240) == hint);
                self.hints.insert((i, at.expect("one of ours")));
            }
        }
    }
}

#[test]
fn two_find_each_other_in_the_first_second_whoever_came_first() {
    let mut lan = Medium::new();
    lan.add();
    lan.run(SECOND * 3600);
    assert!(lan.hints.is_empty());
    lan.add();
    lan.run(SECOND);
    assert_eq!(lan.hints, [(0, 1), (1, 0)].into());
}

#[test]
fn a_newcomer_among_hundreds_is_answered_by_some() {
    let mut lan = Medium::new();
    for _ in 0..200 {
        lan.add();
    }
    lan.run(SECOND * 3600);
    (lan.answered, lan.announced) = (0, 0);
    let late = lan.add();
    lan.run(SECOND * 60);
    let told = lan.hints.iter().filter(|(who, _)| *who == late).count();
    assert!(told >= 4, "{told}");
    // four announcements, about eight answers each
    assert!((12..64).contains(&lan.answered), "{}", lan.answered);
}

#[test]
fn many_nodes_announce_no_more_than_few() {
    let mut rates = Vec::new();
    for nodes in [10, 200] {
        let mut lan = Medium::new();
        for _ in 0..nodes {
            lan.add();
        }
        lan.run(SECOND * 3600);
        (lan.answered, lan.announced) = (0, 0);
        lan.run(SECOND * 3600);
        assert_eq!(lan.answered, 0, "nobody is new");
        rates.push(lan.announced);
    }
    assert!(rates.iter().all(|r| *r < 2000), "{rates:?} an hour");
    assert!(rates[0] > 60, "{rates:?}: each of ten every five minutes");
}

#[test]
fn a_client_is_answered_and_is_no_index_node() {
    let mut lan = Medium::new();
    lan.add();
    let seed = [9; 32];
    let client = Announcement {
        kind: Kind::Client,
        ..me(1, NetworkTag::of(&Network::Open))
    };
    let config = BeaconConfig::default();
    lan.beacons.push(Beacon::new(config, client, seed, lan.now));
    lan.run(SECOND * 3600);
    assert_eq!(lan.hints, [(1, 0)].into());
    lan.add();
    lan.run(SECOND);
    assert_eq!(lan.hints, [(1, 0), (1, 2), (0, 2), (2, 0)].into());
}

#[test]
fn networks_do_not_mix() {
    let closed = me(1, NetworkTag::of(&Network::Closed(NetworkKey([1; 32])))).encode();
    let open = me(1, NetworkTag::of(&Network::Open)).encode();
    let now = Instant::from_micros(1);
    let mut beacon = beacon(0, now);
    assert_eq!(beacon.handle_datagram(addr(1, 9), &closed, now), None);
    let hint = beacon.handle_datagram(addr(1, 9), &open, now);
    assert_eq!(hint, Some(addr(1, 4240)));
}

#[test]
fn the_same_node_is_told_of_once_and_again_after_a_restart() {
    let now = Instant::from_micros(1);
    let mut beacon = beacon(0, now);
    let said = me(1, NetworkTag::of(&Network::Open)).encode();
    assert!(beacon.handle_datagram(addr(1, 9), &said, now).is_some());
    assert_eq!(beacon.handle_datagram(addr(1, 9), &said, now), None);
    let mut restarted = me(2, NetworkTag::of(&Network::Open));
    restarted.kind = Kind::Here;
    let hint = beacon.handle_datagram(addr(1, 10), &restarted.encode(), now);
    assert_eq!(hint, Some(addr(1, 4240)));
}

#[test]
fn what_nobody_can_send_to_is_no_hint() {
    let now = Instant::from_micros(1);
    let said = me(1, NetworkTag::of(&Network::Open)).encode();
    for from in [
        "[fe80::1]:9",
        "0.0.0.0:9",
        "[ff02::1]:9",
        "255.255.255.255:9",
    ] {
        let from: SocketAddr = from.parse().expect("an address");
        assert_eq!(beacon(0, now).handle_datagram(from, &said, now), None);
    }
    let mapped: SocketAddr = "[::ffff:10.0.0.9]:9".parse().expect("an address");
    let hint = beacon(0, now).handle_datagram(mapped, &said, now);
    assert_eq!(hint, Some("10.0.0.9:4240".parse().expect("an address")));
}

#[test]
fn inventions_are_bounded_and_drive_out_nobody() {
    let start = Instant::from_micros(1);
    let mut beacon = beacon(0, start);
    let honest = me(1, NetworkTag::of(&Network::Open)).encode();
    beacon.handle_datagram(addr(1, 9), &honest, start);
    let mut hints = 0;
    for i in 0..100_000 {
        let now = start + Duration::from_millis(i as u64 / 10); // ten seconds
        let said = Announcement {
            kind: [Kind::Here, Kind::Newcomer, Kind::Client][i % 3],
            ..me(10 + i, NetworkTag::of(&Network::Open))
        };
        // half from one machine
        let from = if i % 4 < 2 { addr(2, 9) } else { addr(i, 9) };
        hints += usize::from(beacon.handle_datagram(from, &said.encode(), now).is_some());
    }
    assert!(hints <= 16 + 2, "{hints}");
    assert!(beacon.known.len() <= beacon.config.known);
    assert!(beacon.known.contains_key(&addr(1, 4240)));
    assert!(beacon.answers.len() <= beacon.config.answers_waiting);
    // and silence makes room again
    let later = start + SECOND * 86_400;
    beacon.handle_timeout(later);
    let hint = beacon.handle_datagram(addr(3, 9), &honest, later);
    assert!(hint.is_some());
}

#[test]
fn a_new_address_is_announced_at_once() {
    let mut lan = Medium::new();
    lan.add();
    lan.run(SECOND * 3600);
    let said = lan.announced;
    let now = lan.now;
    lan.beacons[0].moved(now);
    lan.run(Duration::ZERO);
    assert_eq!(lan.announced, said + 1);
}
