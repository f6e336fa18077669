//! Peers that may be worth a connection: which to dial next, back-off, bans.
//!
//! Order: reachable before unreachable, untried before failed, then named by the user or on this LAN, then by the
//! directory, then all others; within a class the nearest by prediction, then the oldest. Every fourth dial takes a
//! random one of the best class instead, so that no area becomes an island.
//!
//! Peers that other peers name (BEP 11) take half of the places at most: who is connected to us is not to decide alone
//! whom we know.
//!
//! A complete client dials too: a stock peer that a tracker names may be unable to dial us.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::api::{Candidate, NeighbourId, Source};
use super::config::ClientConfig;
use crate::time::Instant;

/// A connection that lasted so long was a success: its peer's failures are forgiven. // guess
const LASTED: Duration = Duration::from_secs(60);
/// One dial in so many takes a random candidate. // guess
const RANDOM_EVERY: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle { next: Instant },
    Dialling { addr: SocketAddr, deadline: Instant },
    Connected { since: Instant },
}

/// Whom a client may dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Anyone.
    Anyone,
    /// Only those that may want something and not know of us: a complete client has nothing to fetch. Peers that
    /// found us, or that the directory knows and tells of us, come by themselves if they want something.
    Unaware,
    /// Those that may want something: a complete client that they cannot dial.
    Wanting,
}

#[derive(Debug)]
pub(super) struct Entry {
    addrs: Vec<SocketAddr>,
    pub(super) source: Source,
    /// How far apart the coordinates put it from us.
    pub(super) apart: Option<Duration>,
    pub(super) load: u8,
    reachable: bool,
    failures: u32,
    /// It held everything when it was last connected.
    complete: bool,
    /// A lookup named it.
    pub(super) named: bool,
    /// It had nothing for us when it was last connected, and no lookup has named it since.
    aside: bool,
    state: State,
}

/// Lower is better.
type Rank = (bool, u32, u8, Duration);

impl Entry {
    fn suits(&self, whom: Whom) -> bool {
        match whom {
            Whom::Anyone => true,
            Whom::Wanting => !self.complete,
            Whom::Unaware => {
                !(self.complete || matches!(self.source, Source::Directory | Source::Incoming))
            }
        }
    }

    /// Dials one of its addresses, another after each failure.
    fn begin(&mut self, config: &ClientConfig, now: Instant) -> (SocketAddr, Source) {
        let addr = self.addrs[self.failures as usize % self.addrs.len()];
        self.state = State::Dialling {
            addr,
            deadline: now + config.dial_deadline,
        };
        (addr, self.source)
    }

    /// Whether it may be dialled for being near: nothing speaks against it.
    fn is_promising(&self) -> bool {
        self.reachable && self.failures == 0
    }

    fn rank(&self) -> Rank {
        (
            !self.reachable,
            self.failures,
            class(self.source),
            self.apart.unwrap_or(Duration::MAX),
        )
    }
}

fn class(source: Source) -> u8 {
    match source {
        Source::Manual | Source::Lsd => 0,
        Source::Directory => 1,
        Source::Tracker | Source::Dht | Source::Pex | Source::Incoming | Source::WebSeed => 2,
    }
}

/// A banned peer: its host, or on a loopback address, where every peer is the same host, its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Banned {
    Host(IpAddr),
    Socket(SocketAddr),
}

#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// By sequence number: the oldest first.
    entries: BTreeMap<u64, Entry>,
    by_addr: BTreeMap<SocketAddr, u64>,
    next_seq: u64,
    dials: u32,
    own: Vec<SocketAddr>,
    banned: VecDeque<Banned>,
    /// What follows from the entries; `None` after a change of theirs, until [`Candidates::refresh`].
    fresh: Option<Summary>,
}

/// What is asked of the entries after every input, so that it is not counted each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    half_open: usize,
    /// The first dial to give up.
    deadline: Option<Instant>,
    /// The first that may be dialled, of each [`Whom`].
    idle: [Option<Instant>; 3],
    /// How far apart the nearest is that [`Candidates::dial_within`] may dial, now or later.
    nearest: Option<Duration>,
}

impl Candidates {
    pub(super) fn set_own(&mut self, own: &[SocketAddr]) {
        self.own = own.to_vec();
        for addr in own {
            if let Some(&seq) = self.by_addr.get(addr) {
                self.remove(seq);
            }
        }
    }

    pub(super) fn own(&self) -> &[SocketAddr] {
        &self.own
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn half_open(&self) -> usize {
        if let Some(summary) = &self.fresh {
            return summary.half_open;
        }
        let half_open = |e: &&Entry| matches!(e.state, State::Dialling { .. });
        self.entries.values().filter(half_open).count()
    }

    /// How far apart the nearest is that [`Candidates::dial_within`] may dial, now or later.
    pub(super) fn nearest(&self) -> Option<Duration> {
        self.fresh.unwrap_or_else(|| self.summary()).nearest
    }

    /// Sums the entries up again if they have changed.
    pub(super) fn refresh(&mut self) {
        if self.fresh.is_none() {
            self.fresh = Some(self.summary());
        }
    }

    /// Whether what is remembered is what the entries say.
    #[cfg(test)]
    pub(super) fn is_consistent(&self) -> bool {
        self.fresh.is_none_or(|fresh| fresh == self.summary())
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let earlier = |first: &mut Option<Instant>, at: Instant| {
            *first = Some(first.map_or(at, |first| first.min(at)));
        };
        for entry in self.entries.values() {
            match entry.state {
                State::Dialling { deadline, .. } => {
                    summary.half_open += 1;
                    earlier(&mut summary.deadline, deadline);
                }
                State::Idle { next } => {
                    for whom in [Whom::Anyone, Whom::Unaware, Whom::Wanting] {
                        if entry.suits(whom) {
                            earlier(&mut summary.idle[whom as usize], next);
                        }
                    }
                    if let Some(apart) = entry.apart.filter(|_| entry.is_promising()) {
                        let nearest = summary.nearest.unwrap_or(apart);
                        summary.nearest = Some(nearest.min(apart));
                    }
                }
                State::Connected { .. } => {}
            }
        }
        summary
    }

    pub(super) fn get(&self, addr: SocketAddr) -> Option<&Entry> {
        self.by_addr
            .get(&addr)
            .and_then(|seq| self.entries.get(seq))
    }

    /// Takes note of a candidate; whether it is a peer never heard of before (and kept).
    pub(super) fn add(
        &mut self,
        candidate: &Candidate,
        config: &ClientConfig,
        now: Instant,
    ) -> bool {
        let mut addrs: Vec<SocketAddr> = Vec::with_capacity(2);
        for &addr in candidate.addrs.iter().take(2) {
            let usable = addr.port() != 0
                && !addr.ip().is_unspecified()
                && !addr.ip().is_multicast()
                && !self.own.contains(&addr)
                && !self.is_banned(addr);
            if usable && !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        if addrs.is_empty() {
            return false;
        }
        if let Some(seq) = addrs.iter().find_map(|a| self.by_addr.get(a).copied()) {
            return self.update(seq, candidate, &addrs, now);
        }
        let entry = Entry {
            addrs,
            source: candidate.source,
            apart: candidate.apart,
            load: candidate.load,
            reachable: candidate.reachable,
            failures: 0,
            complete: false,
            named: candidate.source == Source::Directory,
            aside: false,
            state: State::Idle { next: now },
        };
        let exchanged = |e: &Entry| e.source == Source::Pex;
        let crowded = exchanged(&entry)
            && self.entries.values().filter(|e| exchanged(e)).count() >= config.max_candidates / 2;
        let room = match crowded {
            true => self.make_room(&entry, exchanged),
            false => self.has_room(&entry, config),
        };
        if room {
            self.insert(entry);
        }
        room
    }

    /// Whether the entry may be dialled again because of it.
    fn update(
        &mut self,
        seq: u64,
        candidate: &Candidate,
        addrs: &[SocketAddr],
        now: Instant,
    ) -> bool {
        self.fresh = None;
        let Some(entry) = self.entries.get_mut(&seq) else {
            return false;
        };
        let mut again = false;
        if class(candidate.source) < class(entry.source) {
            entry.source = candidate.source;
        }
        if candidate.source == Source::Directory {
            entry.apart = candidate.apart.or(entry.apart);
            entry.load = candidate.load;
            entry.named = true;
            again = std::mem::take(&mut entry.aside);
            if again && matches!(entry.state, State::Idle { .. }) {
                entry.state = State::Idle { next: now };
            }
        }
        entry.reachable |= candidate.reachable;
        for &addr in addrs {
            if entry.addrs.len() < 2 && !self.by_addr.contains_key(&addr) {
                entry.addrs.push(addr);
                self.by_addr.insert(addr, seq);
            }
        }
        again
    }

    /// Whether there is a place for `new`, if need be that of a worse one.
    fn has_room(&mut self, new: &Entry, config: &ClientConfig) -> bool {
        self.entries.len() < config.max_candidates || self.make_room(new, |_| true)
    }

    /// Forgets the worst idle entry of those that `may_go` if `new` is better than it.
    fn make_room(&mut self, new: &Entry, may_go: impl Fn(&Entry) -> bool) -> bool {
        let worst = self
            .entries
            .iter()
            .filter(|(_, e)| matches!(e.state, State::Idle { .. }) && may_go(e))
            .max_by_key(|(seq, e)| (e.rank(), **seq))
            .map(|(seq, e)| (*seq, e.rank()));
        match worst {
            Some((seq, rank)) if new.rank() < rank => {
                self.remove(seq);
                true
            }
            _ => false,
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.fresh = None;
        let seq = self.next_seq;
        self.next_seq += 1;
        for &addr in &entry.addrs {
            self.by_addr.insert(addr, seq);
        }
        self.entries.insert(seq, entry);
    }

    fn remove(&mut self, seq: u64) {
        self.fresh = None;
        if let Some(entry) = self.entries.remove(&seq) {
            for addr in entry.addrs {
                self.by_addr.remove(&addr);
            }
        }
    }

    /// The peer to dial now, which then counts as half open until the outcome is told.
    pub(super) fn dial(
        &mut self,
        config: &ClientConfig,
        rng: &mut ChaCha8Rng,
        whom: Whom,
        now: Instant,
    ) -> Option<(SocketAddr, Source)> {
        self.fresh = None;
        let ready =
            |e: &Entry| e.suits(whom) && matches!(e.state, State::Idle { next } if next <= now);
        let (&best, rank) = self
            .entries
            .iter()
            .filter(|(_, e)| ready(e))
            .min_by_key(|(seq, e)| (e.rank(), **seq))
            .map(|(seq, e)| (seq, e.rank()))?;
        self.dials = self.dials.wrapping_add(1);
        let seq = if self.dials.is_multiple_of(RANDOM_EVERY) {
            let equals: Vec<u64> = self
                .entries
                .iter()
                .filter(|(_, e)| {
                    ready(e) && (e.rank().0, e.rank().1, e.rank().2) == (rank.0, rank.1, rank.2)
                })
                .map(|(seq, _)| *seq)
                .collect();
            equals[rng.random_range(0..equals.len())]
        } else {
            best
        };
        let entry = self.entries.get_mut(&seq)?;
        Some(entry.begin(config, now))
    }

    /// The nearest peer to dial now of those whose coordinates are within `limit`, which then counts as half open.
    pub(super) fn dial_within(
        &mut self,
        limit: Duration,
        config: &ClientConfig,
        now: Instant,
    ) -> Option<(SocketAddr, Source)> {
        let ready = |e: &Entry| {
            e.is_promising()
                && e.apart.is_some_and(|p| p <= limit)
                && matches!(e.state, State::Idle { next } if next <= now)
        };
        let near = self.entries.iter_mut().filter(|(_, e)| ready(e));
        let (_, entry) = near.min_by_key(|(seq, e)| (e.apart, **seq))?;
        self.fresh = None;
        Some(entry.begin(config, now))
    }

    /// A dial came to nothing: the peer waits, twice as long each time. Whether there was such a dial.
    pub(super) fn failed(&mut self, addr: SocketAddr, config: &ClientConfig, now: Instant) -> bool {
        self.fresh = None;
        let Some(entry) = self
            .by_addr
            .get(&addr)
            .and_then(|seq| self.entries.get_mut(seq))
        else {
            return false;
        };
        if !matches!(entry.state, State::Dialling { .. }) {
            return false;
        }
        back_off(entry, config, now);
        true
    }

    /// Dials without an outcome in time, now counted as failed.
    pub(super) fn expire(&mut self, config: &ClientConfig, now: Instant) -> Vec<SocketAddr> {
        let mut late = Vec::new();
        for entry in self.entries.values_mut() {
            if let State::Dialling { addr, deadline } = entry.state
                && deadline <= now
            {
                back_off(entry, config, now);
                self.fresh = None;
                late.push(addr);
            }
        }
        late
    }

    /// The peer that accepts at `listen` is connected; it is remembered if there is room.
    pub(super) fn connected(
        &mut self,
        listen: SocketAddr,
        source: Source,
        config: &ClientConfig,
        now: Instant,
    ) {
        self.fresh = None;
        if let Some(entry) = self
            .by_addr
            .get(&listen)
            .and_then(|seq| self.entries.get_mut(seq))
        {
            entry.state = State::Connected { since: now };
            return;
        }
        let entry = Entry {
            addrs: vec![listen],
            source,
            apart: None,
            load: 0,
            reachable: true,
            failures: 0,
            complete: false,
            named: source == Source::Directory,
            aside: false,
            state: State::Connected { since: now },
        };
        if self.has_room(&entry, config) {
            self.insert(entry);
        }
    }

    /// The connection to the peer that accepts at `listen` is gone; whether that peer held everything.
    pub(super) fn disconnected(
        &mut self,
        listen: SocketAddr,
        complete: bool,
        config: &ClientConfig,
        now: Instant,
    ) {
        self.fresh = None;
        if let Some(entry) = self
            .by_addr
            .get(&listen)
            .and_then(|seq| self.entries.get_mut(seq))
            && let State::Connected { since } = entry.state
        {
            if now - since >= LASTED {
                entry.failures = 0;
            }
            entry.complete = complete;
            back_off(entry, config, now);
        }
    }

    /// The peer that accepts at `listen` was dropped because it had nothing for us, which is no failure: it is dialled
    /// when a lookup names it again, or after the longest pause.
    pub(super) fn set_aside(&mut self, listen: SocketAddr, config: &ClientConfig, now: Instant) {
        self.fresh = None;
        if let Some(entry) = self
            .by_addr
            .get(&listen)
            .and_then(|seq| self.entries.get_mut(seq))
            && matches!(entry.state, State::Idle { .. })
        {
            entry.failures = 0;
            entry.aside = true;
            let next = now + config.max_redial;
            entry.state = State::Idle { next };
        }
    }

    pub(super) fn ban(&mut self, addr: SocketAddr, config: &ClientConfig) {
        let new = ban_key(addr);
        if self.banned.contains(&new) {
            return;
        }
        while self.banned.len() >= config.max_banned.max(1) {
            self.banned.pop_front();
        }
        self.banned.push_back(new);
        let gone: Vec<u64> = self
            .by_addr
            .iter()
            .filter(|(a, _)| ban_key(**a) == new)
            .map(|(_, seq)| *seq)
            .collect();
        for seq in gone {
            self.remove(seq);
        }
    }

    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains(&ban_key(addr))
    }

    #[cfg(test)]
    pub(super) fn banned_len(&self) -> usize {
        self.banned.len()
    }

    /// When a dial gives up, and when one of those that may be dialled is due.
    pub(super) fn next_event(&self, may_dial: Option<Whom>) -> Option<Instant> {
        let summary = self.fresh.unwrap_or_else(|| self.summary());
        let idle = may_dial.and_then(|whom| summary.idle[whom as usize]);
        [summary.deadline, idle].into_iter().flatten().min()
    }
}

fn back_off(entry: &mut Entry, config: &ClientConfig, now: Instant) {
    let pause = doubled(config.redial, entry.failures, config.max_redial);
    entry.failures = entry.failures.saturating_add(1);
    entry.state = State::Idle { next: now + pause };
}

fn ban_key(addr: SocketAddr) -> Banned {
    let ip = addr.ip().to_canonical();
    if ip.is_loopback() {
        Banned::Socket(addr)
    } else {
        Banned::Host(ip)
    }
}

/// `base` doubled `times` times, at most `cap`.
pub(super) fn doubled(base: Duration, times: u32, cap: Duration) -> Duration {
    base.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
        .min(cap)
}

/// Of two connections to one peer, one dialled from each end at the same time: whether the one that we dialled stays.
///
/// Both ends must come to the same answer: the end with the lower listening port keeps its dial, then the one with the
/// lower address. `None` if we do not know our own address: the older stays.
pub(super) fn keep_outbound(own: &[SocketAddr], peer: SocketAddr) -> Option<bool> {
    let family = own.iter().filter(|o| o.is_ipv4() == peer.is_ipv4());
    let ours = family.min_by_key(|o| (o.ip().is_loopback() != peer.ip().is_loopback(), **o))?;
    Some((ours.port(), ours.ip()) < (peer.port(), peer.ip()))
}

/// Twin connections younger than this were dialled at the same time. // guess
pub(super) const SIMULTANEOUS: Duration = Duration::from_secs(10);

/// The connection that goes when `older` and `newer` lead to the same peer.
pub(super) fn twin_to_drop(
    own: &[SocketAddr],
    peer: SocketAddr,
    older: (NeighbourId, bool, Duration),
    newer: (NeighbourId, bool),
) -> NeighbourId {
    let (old_id, old_outbound, age) = older;
    let (new_id, new_outbound) = newer;
    if old_outbound == new_outbound || age > SIMULTANEOUS {
        return new_id;
    }
    match keep_outbound(own, peer) {
        Some(keep) if keep == new_outbound => old_id,
        _ => new_id,
    }
}
