//! When to announce what on the local network, and what to believe: the part without sockets and clocks.
//!
//! A torrent is announced when it is new, and then every five minutes; sooner, but not twice in a minute, where somebody
//! new is heard to have it. What is said at one time goes into as few datagrams as it fits in. A machine that invents peers
//! runs into bounds: datagrams a source, peers a torrent, and of these ports a source.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chunkcast::time::Instant;

use super::message::{LsdAnnouncement, MAX_HASHES};

/// Pause between two announcements of one torrent.
const PERIOD: Duration = Duration::from_secs(300); // BEP 14
/// Pause before one that somebody new is to hear, since anything was said.
const ANSWER_PAUSE: Duration = Duration::from_secs(60); // BEP 14: one a minute
/// Pause between two times that something is said: torrents that are added together are announced together.
const GATHER: Duration = Duration::from_millis(500); // guess
/// Datagrams said at one time; what is left waits for the next.
const MAX_SAID: usize = 8; // guess: 200 torrents
/// Peers remembered of a torrent.
const MAX_HEARD: usize = 64; // guess: more than are connected
/// Of these with one IP address.
const MAX_PORTS: usize = 4; // guess: clients that share a machine
/// Datagrams of one source that are read, a minute.
const MAX_DATAGRAMS: u32 = 120; // guess: a client with as many torrents, each in a datagram of its own
/// Sources that are remembered.
const MAX_SOURCES: usize = 256; // guess: a large local network

#[derive(Debug)]
struct Torrent {
    /// When it is announced next.
    next: Instant,
    /// Who has it, and when that was last reported.
    heard: BTreeMap<SocketAddr, Instant>,
}

/// The datagrams of one source in the minute that began with the first of them.
#[derive(Debug)]
struct Heard {
    since: Instant,
    count: u32,
}

/// The state of our announcements.
#[derive(Debug)]
pub struct LsdSchedule {
    port: u16,
    cookie: String,
    torrents: BTreeMap<[u8; 20], Torrent>,
    sources: BTreeMap<IpAddr, Heard>,
    /// When something was last said.
    said: Option<Instant>,
    out: VecDeque<LsdAnnouncement>,
}

impl LsdSchedule {
    /// Nothing to announce yet. `port`: where we accept connections; `cookie`: by which we know our own datagrams.
    pub fn new(port: u16, cookie: String) -> Self {
        Self {
            port,
            cookie,
            torrents: BTreeMap::new(),
            sources: BTreeMap::new(),
            said: None,
            out: VecDeque::new(),
        }
    }

    /// Announces a torrent from now on.
    pub fn join(&mut self, info_hash: [u8; 20], now: Instant) {
        let torrent = Torrent {
            next: now + GATHER,
            heard: BTreeMap::new(),
        };
        self.torrents.insert(info_hash, torrent);
    }

    /// No longer.
    pub fn leave(&mut self, info_hash: &[u8; 20]) {
        self.torrents.remove(info_hash);
    }

    /// There is a new network: everything is announced again.
    pub fn moved(&mut self, now: Instant) {
        let soon = self.next_answer(now);
        for torrent in self.torrents.values_mut() {
            torrent.next = torrent.next.min(soon);
        }
    }

    /// A datagram came from a host of this network: peers that were not reported in the last minutes, by torrent.
    pub fn handle_datagram(
        &mut self,
        from: IpAddr,
        payload: &[u8],
        now: Instant,
    ) -> Vec<([u8; 20], SocketAddr)> {
        if !self.may_speak(from, now) {
            return Vec::new();
        }
        let said = LsdAnnouncement::decode(payload);
        let Some(said) = said.filter(|said| said.cookie != self.cookie) else {
            return Vec::new();
        };
        let (at, soon) = (SocketAddr::new(from, said.port), self.next_answer(now));
        let mut news = Vec::new();
        for hash in said.info_hashes {
            let Some(torrent) = self.torrents.get_mut(&hash) else {
                continue;
            };
            if torrent.note(at, now) {
                torrent.next = torrent.next.min(soon);
                news.push((hash, at));
            }
        }
        news
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let due = self.torrents.iter_mut().filter(|(_, t)| t.next <= now);
        let mut hashes = Vec::new();
        for (hash, torrent) in due.take(MAX_SAID * MAX_HASHES) {
            torrent.next = now + PERIOD;
            hashes.push(*hash);
        }
        self.said = Some(now);
        for some in hashes.chunks(MAX_HASHES) {
            self.out.push_back(LsdAnnouncement {
                port: self.port,
                info_hashes: some.to_vec(),
                cookie: self.cookie.clone(),
            });
        }
    }

    /// The next datagram to send, to everyone.
    pub fn poll_transmit(&mut self) -> Option<LsdAnnouncement> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.torrents.values().map(|t| t.next).min()?;
        Some(self.said.map_or(next, |said| next.max(said + GATHER)))
    }

    /// When an announcement that is not due may be made.
    fn next_answer(&self, now: Instant) -> Instant {
        let soon = now + GATHER;
        self.said.map_or(soon, |said| soon.max(said + ANSWER_PAUSE))
    }

    /// Whether the source's datagram is read.
    fn may_speak(&mut self, from: IpAddr, now: Instant) -> bool {
        let old = |h: &Heard| now.saturating_since(h.since) >= Duration::from_secs(60);
        if !self.sources.contains_key(&from) && self.sources.len() >= MAX_SOURCES {
            self.sources.retain(|_, h| !old(h));
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        let new = || Heard {
            since: now,
            count: 0,
        };
        let heard = self.sources.entry(from).or_insert_with(new);
        if old(heard) {
            *heard = new();
        }
        heard.count = heard.count.saturating_add(1);
        heard.count <= MAX_DATAGRAMS
    }
}

impl Torrent {
    /// Takes note of a peer; whether it is to be reported.
    fn note(&mut self, at: SocketAddr, now: Instant) -> bool {
        if let Some(reported) = self.heard.get(&at)
            && now.saturating_since(*reported) < PERIOD
        {
            return false;
        }
        if self.heard.len() >= MAX_HEARD {
            self.heard
                .retain(|_, reported| now.saturating_since(*reported) < PERIOD);
        }
        let ports = self.heard.keys().filter(|a| a.ip() == at.ip()).count();
        let known = self.heard.contains_key(&at);
        if !known && (self.heard.len() >= MAX_HEARD || ports >= MAX_PORTS) {
            return false;
        }
        self.heard.insert(at, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 20] = [1; 20];
    const B: [u8; 20] = [2; 20];

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn ip(n: u8) -> IpAddr {
        [192, 168, 1, n].into()
    }

    fn ours() -> LsdSchedule {
        LsdSchedule::new(6881, "us".to_owned())
    }

    fn theirs(port: u16, info_hashes: Vec<[u8; 20]>, cookie: &str) -> Vec<u8> {
        let said = LsdAnnouncement {
            port,
            info_hashes,
            cookie: cookie.to_owned(),
        };
        said.encode("239.192.152.143:6771".parse().unwrap())
    }

    /// What is said up to a time: when, and how many torrents in each datagram.
    fn said(s: &mut LsdSchedule, until: Instant) -> Vec<(u64, Vec<usize>)> {
        let mut all = Vec::new();
        while let Some(next) = s.poll_timeout().filter(|t| *t <= until) {
            s.handle_timeout(next);
            let out = std::iter::from_fn(|| s.poll_transmit());
            let out = out.map(|a| a.info_hashes.len()).collect();
            all.push((next.as_micros() / 1_000_000, out));
            assert!(s.poll_timeout().is_none_or(|again| again > next));
        }
        all
    }

    #[test]
    fn a_torrent_is_announced_soon_and_then_every_five_minutes() {
        let mut s = ours();
        assert_eq!(s.poll_timeout(), None);
        s.join(A, at(0));
        s.join(B, at(0));
        let all = said(&mut s, at(1000));
        assert_eq!(
            all,
            [(0, vec![2]), (300, vec![2]), (600, vec![2]), (900, vec![2])]
        );
        s.leave(&A);
        s.leave(&B);
        assert_eq!(s.poll_timeout(), None);
    }

    #[test]
    fn many_torrents_take_few_datagrams_at_a_time() {
        let mut s = ours();
        for n in 0..1000_u16 {
            let mut hash = A;
            hash[..2].copy_from_slice(&n.to_be_bytes());
            s.join(hash, at(0));
        }
        let all = said(&mut s, at(200));
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|(_, d)| *d == [25; 8]), "{all:?}");
    }

    #[test]
    fn somebody_new_is_reported_once_and_answered_once_a_minute() {
        let mut s = ours();
        s.join(A, at(0));
        assert_eq!(said(&mut s, at(100)).len(), 1);
        let news = s.handle_datagram(ip(7), &theirs(51413, vec![B, A], "x"), at(100));
        assert_eq!(news, [(A, SocketAddr::new(ip(7), 51413))]);
        assert_eq!(said(&mut s, at(110)), [(100, vec![1])]);
        for n in 0..20 {
            // the answer is no news, nor is its answer
            assert_eq!(
                s.handle_datagram(ip(7), &theirs(51413, vec![A], "x"), at(110)),
                []
            );
            let news = s.handle_datagram(ip(20 + n), &theirs(1, vec![A], ""), at(111));
            assert_eq!(news.len(), 1);
        }
        assert_eq!(
            said(&mut s, at(200)),
            [(160, vec![1])],
            "all of them at once"
        );
        assert_eq!(said(&mut s, at(500)), [(460, vec![1])]);
        let again = s.handle_datagram(ip(7), &theirs(51413, vec![A], "x"), at(500));
        assert_eq!(again.len(), 1, "it may have been forgotten since");
    }

    #[test]
    fn our_own_announcements_are_known_by_their_cookie() {
        let mut s = ours();
        s.join(A, at(0));
        assert_eq!(
            s.handle_datagram(ip(1), &theirs(6881, vec![A], "us"), at(1)),
            []
        );
        assert_eq!(
            s.handle_datagram(ip(1), &theirs(6881, vec![A], "me"), at(1))
                .len(),
            1
        );
    }

    #[test]
    fn a_source_names_few_peers_and_is_not_read_without_end() {
        let mut s = ours();
        s.join(A, at(0));
        let mut heard = |from: u8, port: u16, time| {
            s.handle_datagram(ip(from), &theirs(port, vec![A], ""), time)
        };
        let ports = (1..50).filter(|p| !heard(1, *p, at(1)).is_empty()).count();
        assert_eq!(ports, MAX_PORTS);
        let peers = (2..=255)
            .filter(|n| !heard(*n, 1, at(1)).is_empty())
            .count();
        assert_eq!(peers, MAX_HEARD - MAX_PORTS);
        assert_eq!(heard(200, 1, at(400)).len(), 1, "the others are old");
        for _ in 0..MAX_DATAGRAMS {
            heard(5, 1, at(500));
        }
        s.join(B, at(500));
        let mut heard = |hash, time| s.handle_datagram(ip(5), &theirs(1, vec![hash], ""), time);
        assert_eq!(heard(B, at(510)), []);
        assert_eq!(heard(B, at(561)).len(), 1);
    }

    #[test]
    fn sources_are_remembered_within_bounds() {
        let mut s = ours();
        s.join(A, at(0));
        for n in 0..10_000_u16 {
            let [a, b] = n.to_be_bytes();
            s.handle_datagram([10, 0, a, b].into(), b"junk", at(1));
        }
        assert_eq!(s.sources.len(), MAX_SOURCES);
        assert_eq!(
            s.handle_datagram(ip(1), &theirs(1, vec![A], ""), at(70))
                .len(),
            1
        );
    }

    #[test]
    fn a_new_network_hears_everything_but_not_twice_a_minute() {
        let mut s = ours();
        s.join(A, at(0));
        said(&mut s, at(10));
        s.moved(at(10));
        assert_eq!(said(&mut s, at(100)), [(60, vec![1])]);
        s.moved(at(200));
        assert_eq!(said(&mut s, at(201)), [(200, vec![1])]);
    }
}
