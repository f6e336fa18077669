//! The neighbour table: what is known of every connected peer, and which of them are near.
//!
//! Near is measured, never the coordinate alone: a round-trip time up to twice that of the fourth-best neighbour (of
//! fewer, if the fourth is more than eight times as far as the nearest: then it belongs to another place), or
//! below a floor under which every peer counts as near (a LAN).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::api::{Connected, NeighbourId, Source};
use super::config::ClientConfig;
use crate::chunks::ChunkSet;
use crate::time::Instant;

/// Seconds that a rate is taken over.
const WINDOW: usize = 10;
/// Seconds that the rate is taken over by which strangers earn slots.
const LONG_WINDOW: usize = 20; // BEP 3: its reference client's
/// Round-trip time assumed of a peer that is not measured and has no coordinate. // guess
const UNKNOWN_RTT: Duration = Duration::from_millis(100);

/// A neighbour younger than this may still turn out useful. // guess
const SETTLING: Duration = Duration::from_secs(10);

/// Bytes in all, and over the last seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    pub(super) total: u64,
    seconds: [u64; LONG_WINDOW],
    last: u64,
}

impl Meter {
    pub(super) fn add(&mut self, amount: u64, now: Instant) {
        let second = now.as_micros() / 1_000_000;
        self.forget_before(second);
        self.total = self.total.saturating_add(amount);
        let slot = &mut self.seconds[slot_of(second)];
        *slot = slot.saturating_add(amount);
    }

    /// Amount per second over the last ten seconds.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        self.rate_over(WINDOW as u64, now)
    }

    /// Amount per second over the last twenty seconds.
    pub(super) fn long_rate(&self, now: Instant) -> u64 {
        self.rate_over(LONG_WINDOW as u64, now)
    }

    fn rate_over(&self, window: u64, now: Instant) -> u64 {
        // as of the latest amount if that is later
        let end = self.last.max(now.as_micros() / 1_000_000);
        let from = (end + 1).saturating_sub(window);
        let seconds = (from..=self.last).map(|second| self.seconds[slot_of(second)]);
        seconds.fold(0u64, u64::saturating_add) / window
    }

    fn forget_before(&mut self, second: u64) {
        let stale = second.saturating_sub(self.last).min(LONG_WINDOW as u64);
        for back in 0..stale {
            self.seconds[slot_of(second - back)] = 0;
        }
        self.last = self.last.max(second);
    }
}

fn slot_of(second: u64) -> usize {
    usize::try_from(second % LONG_WINDOW as u64).unwrap_or(0)
}

/// What a neighbour has been told of our chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The object is not known yet.
    Nothing,
    /// Everything.
    All,
    /// Single chunks (superseeding): those shown that it does not hold yet, when it last got something, and how many
    /// it was shown in all.
    Drip {
        outstanding: BTreeSet<u32>,
        progress: Instant,
        shown: usize,
    },
}

/// One connected peer.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) addr: SocketAddr,
    pub(super) listen: Option<SocketAddr>,
    pub(super) outbound: bool,
    pub(super) source: Source,
    /// Least measured round-trip time.
    pub(super) rtt: Option<Duration>,
    /// How far apart the coordinates put it from us.
    pub(super) apart: Option<Duration>,
    /// Load that the directory told, 0..=255.
    pub(super) load: u8,
    pub(super) connected: Instant,
    pub(super) held: ChunkSet,
    /// Chunks that it is fetching, as far as it tells.
    pub(super) fetching: ChunkSet,
    /// `have`s from before the number of chunks was known.
    pub(super) early: Vec<u32>,
    pub(super) choked: bool,
    pub(super) interested: bool,
    /// What it was last told of our interest.
    pub(super) told_interest: bool,
    /// Since when it has an upload slot.
    pub(super) served: Option<Instant>,
    /// When it last lost its slot or became interested: the order of waiting.
    pub(super) waiting: Instant,
    /// Whether it ever had a slot.
    pub(super) ever_served: bool,
    /// Whether it is a client of another kind.
    pub(super) stranger: bool,
    /// Whether it says that it downloads nothing more.
    pub(super) upload_only: bool,
    pub(super) down: Meter,
    pub(super) up: Meter,
    /// Chunks assigned to it.
    pub(super) assigned: u32,
    /// Whether we may fetch from it at all.
    pub(super) allowed: bool,
    /// Whether it has told what it holds.
    pub(super) heard: bool,
    /// Whether it tells what it fetches, as clients of this kind do.
    pub(super) tells: bool,
    pub(super) ignored_until: Option<Instant>,
    /// It refused a request and is not asked until then.
    pub(super) paused_until: Option<Instant>,
    /// It has only chunks that others of our area are to fetch first: not asked before.
    pub(super) waits: Option<Instant>,
    /// Requests in a row that it refused.
    pub(super) refusals: u32,
    /// Chunks that it is being sent.
    pub(super) uploads: BTreeSet<u32>,
    /// Times in a row that it stalled.
    pub(super) stalls: u32,
    pub(super) shown: Shown,
    /// Random order among equals.
    pub(super) salt: u32,
}

impl Neighbour {
    pub(super) fn new(info: &Connected, held: ChunkSet, salt: u32, now: Instant) -> Self {
        Self {
            addr: info.addr,
            listen: info.listen,
            outbound: info.outbound,
            source: info.source,
            rtt: info.rtt.filter(|_| info.source != Source::WebSeed),
            apart: None,
            load: 0,
            connected: now,
            held,
            fetching: ChunkSet::empty(0),
            early: Vec::new(),
            choked: true,
            interested: false,
            told_interest: false,
            served: None,
            waiting: now,
            ever_served: false,
            stranger: false,
            upload_only: false,
            down: Meter::default(),
            up: Meter::default(),
            assigned: 0,
            allowed: true,
            heard: false,
            tells: false,
            ignored_until: None,
            paused_until: None,
            waits: None,
            refusals: 0,
            uploads: BTreeSet::new(),
            stalls: 0,
            shown: Shown::Nothing,
            salt,
        }
    }

    /// The measured round-trip time, else how far apart coordinates put it, else an assumed time.
    pub(super) fn distance(&self) -> Duration {
        self.rtt.or(self.apart).unwrap_or(UNKNOWN_RTT)
    }

    /// Whether it answers our requests now.
    pub(super) fn serves_us(&self) -> bool {
        self.would_serve_us() && self.paused_until.is_none()
    }

    /// Whether it answers our requests now or would if it were not busy.
    pub(super) fn would_serve_us(&self) -> bool {
        self.allowed && !self.choked && self.ignored_until.is_none()
    }

    /// When it may be asked again that is not asked now.
    pub(super) fn back_at(&self) -> Option<Instant> {
        [self.ignored_until, self.paused_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether it has something that we may fetch, or may turn out to.
    pub(super) fn is_useful(&self) -> bool {
        self.allowed && (self.told_interest || !self.heard)
    }

    /// Whether it will fetch nothing more of anybody: it holds everything, or says so.
    pub(super) fn wants_nothing(&self) -> bool {
        self.is_complete() || self.upload_only
    }

    fn tally(&self) -> Tally {
        // a web seed has everything at once, and nothing that peers would not have in time: they are looked for all the same
        let is_peer = self.source != Source::WebSeed;
        Tally {
            interested: usize::from(self.interested),
            waiting: usize::from(self.interested && self.served.is_none()),
            strangers: usize::from(self.interested && self.stranger),
            strangers_waiting: usize::from(
                self.interested && self.stranger && self.served.is_none(),
            ),
            allowed: usize::from(self.allowed && is_peer),
            useful: usize::from(self.is_useful() && is_peer),
            ready: usize::from(self.is_useful() && is_peer && self.back_at().is_none()),
            drips: usize::from(matches!(self.shown, Shown::Drip { .. })),
            uploads: self.uploads.len(),
        }
    }

    /// Whether it holds every chunk of an object that has chunks.
    pub(super) fn is_complete(&self) -> bool {
        !self.held.is_empty() && self.held.is_full()
    }
}

/// How many neighbours are what, so that nobody counts them for every `have`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Want chunks of ours.
    pub(super) interested: usize,
    /// Those of them without an upload slot.
    pub(super) waiting: usize,
    /// Clients of other kinds that want chunks of ours.
    pub(super) strangers: usize,
    /// Those of them without an upload slot.
    pub(super) strangers_waiting: usize,
    /// May be asked for chunks; here and below no web seeds.
    pub(super) allowed: usize,
    /// Have something for us, or have not told yet.
    pub(super) useful: usize,
    /// Those of them that are asked now: they have not refused lately.
    pub(super) ready: usize,
    /// Are shown single chunks.
    pub(super) drips: usize,
    /// Chunks being sent to all of them.
    pub(super) uploads: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.interested += other.interested;
        self.waiting += other.waiting;
        self.strangers += other.strangers;
        self.strangers_waiting += other.strangers_waiting;
        self.allowed += other.allowed;
        self.useful += other.useful;
        self.ready += other.ready;
        self.drips += other.drips;
        self.uploads += other.uploads;
    }

    fn subtract(&mut self, other: Self) {
        self.interested -= other.interested;
        self.waiting -= other.waiting;
        self.strangers -= other.strangers;
        self.strangers_waiting -= other.strangers_waiting;
        self.allowed -= other.allowed;
        self.useful -= other.useful;
        self.ready -= other.ready;
        self.drips -= other.drips;
        self.uploads -= other.uploads;
    }
}

/// All neighbours.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) map: BTreeMap<NeighbourId, Neighbour>,
    tally: Tally,
    /// Those that are not asked for a while, by the end of that.
    away: BTreeSet<(Instant, NeighbourId)>,
    near_limit: Duration,
    /// A distance up to this is no distance.
    floor: Duration,
    median: Option<Duration>,
    /// A number that changes with the membership and the distances.
    version: u64,
}

impl Table {
    pub(super) fn get(&self, peer: NeighbourId) -> Option<&Neighbour> {
        self.map.get(&peer)
    }

    pub(super) fn get_mut(&mut self, peer: NeighbourId) -> Option<&mut Neighbour> {
        self.map.get_mut(&peer)
    }

    /// Changes a neighbour in what is tallied: everything about interest, slots, asking, showing and uploads.
    pub(super) fn change<T>(
        &mut self,
        peer: NeighbourId,
        change: impl FnOnce(&mut Neighbour) -> T,
    ) -> Option<T> {
        let n = self.map.get_mut(&peer)?;
        let back = n.back_at();
        self.tally.subtract(n.tally());
        let result = change(n);
        self.tally.add(n.tally());
        let now_back = n.back_at();
        if back != now_back {
            if let Some(at) = back {
                self.away.remove(&(at, peer));
            }
            self.away.extend(now_back.map(|at| (at, peer)));
        }
        Some(result)
    }

    pub(super) fn insert(&mut self, peer: NeighbourId, neighbour: Neighbour) {
        self.remove(peer);
        self.tally.add(neighbour.tally());
        self.away.extend(neighbour.back_at().map(|at| (at, peer)));
        self.map.insert(peer, neighbour);
    }

    pub(super) fn remove(&mut self, peer: NeighbourId) -> Option<Neighbour> {
        let neighbour = self.map.remove(&peer)?;
        self.tally.subtract(neighbour.tally());
        if let Some(at) = neighbour.back_at() {
            self.away.remove(&(at, peer));
        }
        Some(neighbour)
    }

    /// The first of those that are not asked for a while to be asked again, and when.
    pub(super) fn next_back(&self) -> Option<(Instant, NeighbourId)> {
        self.away.first().copied()
    }

    /// How many are not asked for a while.
    pub(super) fn away(&self) -> usize {
        self.away.len()
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The tally by counting again.
    #[cfg(test)]
    pub(super) fn count_again(&self) -> Tally {
        let mut tally = Tally::default();
        self.map.values().for_each(|n| tally.add(n.tally()));
        let away = self
            .map
            .iter()
            .filter_map(|(id, n)| Some((n.back_at()?, *id)));
        assert_eq!(self.away, away.collect());
        tally
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn ids(&self) -> Vec<NeighbourId> {
        self.map.keys().copied().collect()
    }

    /// Measures again what near means, and how far the median is; call when a distance or the membership changes.
    pub(super) fn refresh_near(&mut self, config: &ClientConfig) {
        self.version += 1;
        let mut rtts: Vec<Duration> = self.map.values().filter_map(|n| n.rtt).collect();
        rtts.sort_unstable();
        let least = rtts.first().copied().unwrap_or_default();
        let here = least.saturating_mul(config.near_gap).max(config.near_floor);
        let relative = rtts
            .iter()
            .take(config.near_rank + 1)
            .rfind(|r| **r <= here)
            .map_or(Duration::ZERO, |r| r.saturating_mul(config.near_factor));
        self.near_limit = relative.max(config.near_floor);
        self.floor = config.near_floor;
        let peers = self.map.values().filter(|n| n.source != Source::WebSeed);
        let mut all: Vec<Duration> = peers.map(Neighbour::distance).collect();
        let middle = all.len() / 2;
        self.median = (!all.is_empty()).then(|| *all.select_nth_unstable(middle).1);
    }

    /// A number that changes with the membership and the distances.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether the chunk is being sent to a neighbour.
    pub(super) fn is_sent(&self, chunk: u32) -> bool {
        self.map.values().any(|n| n.uploads.contains(&chunk))
    }

    /// The median of the neighbours' distances, as of the last [`Table::refresh_near`].
    pub(super) fn median_distance(&self) -> Option<Duration> {
        self.median
    }

    /// The farthest neighbour with nothing under way, if a newcomer is much nearer: by its measured round-trip time near
    /// and below half of that one's, or as long as there is none by its coordinate, below a quarter of the neighbours'
    /// median.
    pub(super) fn farther_than(
        &self,
        rtt: Option<Duration>,
        apart: Option<Duration>,
    ) -> Option<NeighbourId> {
        let far = self.farthest_idle()?;
        let (time, limit) = match rtt {
            Some(rtt) => (rtt, self.near_limit.min(self.get(far)?.distance() / 2)),
            None => (apart?, self.median? / 4),
        };
        (time <= limit).then_some(far)
    }

    /// The farthest neighbour with nothing under way, if it is beyond the median and not local. Never one that holds
    /// everything. That it counts as near says nothing: where nobody is next door, those who are least far do.
    pub(super) fn farthest_idle(&self) -> Option<NeighbourId> {
        let beyond = self.median?.max(self.floor);
        self.map
            .iter()
            .filter(|(_, n)| n.distance() >= beyond && n.assigned == 0 && !n.is_complete())
            .max_by_key(|(id, n)| (n.distance(), **id))
            .map(|(id, _)| *id)
    }

    /// Whether the neighbour's measured round-trip time counts as near.
    pub(super) fn is_near(&self, neighbour: &Neighbour) -> bool {
        neighbour.rtt.is_some_and(|rtt| rtt <= self.near_limit)
    }

    /// Whether there is such a neighbour, and it counts as near.
    pub(super) fn has_near(&self, peer: NeighbourId) -> bool {
        self.get(peer).is_some_and(|n| self.is_near(n))
    }

    /// The neighbour that accepts connections at `listen`.
    pub(super) fn listening_at(&self, listen: SocketAddr) -> Option<NeighbourId> {
        self.map
            .iter()
            .find(|(_, n)| n.listen == Some(listen))
            .map(|(id, _)| *id)
    }

    /// The neighbour to give up for one whose round-trip time is `rtt`, if there is a reason to.
    ///
    /// Only one that is of no use either way is given up: it neither holds what we miss nor wants what we hold. When
    /// both ends are complete anyone may take its place, else only a clearly nearer peer, and never that of a near one.
    pub(super) fn worst_useless(
        &self,
        missing: &ChunkSet,
        we_are_full: bool,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Option<NeighbourId> {
        let useless = |n: &&Neighbour| {
            now - n.connected >= SETTLING
                && n.assigned == 0
                && !n.interested
                && !any_common(&n.held, missing, None)
        };
        let nearer = |n: &Neighbour| rtt.is_some_and(|r| r < n.distance().mul_f64(0.9));
        let replaceable =
            |n: &&Neighbour| (we_are_full && n.wants_nothing()) || (!self.is_near(n) && nearer(n));
        self.map
            .iter()
            .filter(|(_, n)| useless(n) && replaceable(n))
            .max_by_key(|(id, n)| (n.wants_nothing() && we_are_full, n.distance(), **id))
            .map(|(id, _)| *id)
    }

    /// A neighbour that has had its time and with which not one byte has moved: it has nothing for us, and has not
    /// taken what it could have. When the table is full it gives way to anyone, near or far, or a crowd that says
    /// nothing could keep everyone else out.
    pub(super) fn idlest(
        &self,
        missing: &ChunkSet,
        patience: Duration,
        now: Instant,
    ) -> Option<NeighbourId> {
        let had_time = |since: Instant| now - since >= patience;
        let idle = |n: &&Neighbour| {
            let refused = n.interested && !n.served.is_some_and(had_time);
            had_time(n.connected)
                && n.down.total == 0
                && n.up.total == 0
                && n.assigned == 0
                && !refused
                && !any_common(&n.held, missing, None)
        };
        let idle = self.map.iter().filter(|(_, n)| idle(n));
        idle.min_by_key(|(id, n)| (n.connected, **id))
            .map(|(id, _)| *id)
    }
}

/// Whether some chunk is in `a` and `b` and not in `not`. All windows must begin at chunk 0.
pub(super) fn any_common(a: &ChunkSet, b: &ChunkSet, not: Option<&ChunkSet>) -> bool {
    let not = not.map_or(&[][..], ChunkSet::as_bytes);
    let (a, b) = (a.as_bytes(), b.as_bytes());
    (0..a.len().min(b.len())).step_by(BLOCK).any(|at| {
        let [a, b, not] = [a, b, not].map(|set| block(set, at));
        let bytes = a.iter().zip(&b).zip(&not);
        bytes.fold(0, |any, ((a, b), not)| any | (a & b & !not)) != 0
    })
}

/// Bytes of a set that are looked at together: the compiler makes a few wide operations of them.
pub(super) const BLOCK: usize = 64;

/// The bytes of a set from `at`; zeros beyond its end.
pub(super) fn block(set: &[u8], at: usize) -> [u8; BLOCK] {
    let rest = set.get(at..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; BLOCK];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
    })
}

/// The chunks that are in `a` and `b` and not in `not`, 64 at a time, the first in the most significant bit. All windows
/// must begin at chunk 0.
pub(super) fn common_words<'a>(
    a: &'a ChunkSet,
    b: &'a ChunkSet,
    not: Option<&'a ChunkSet>,
) -> impl Iterator<Item = u64> + 'a {
    let none: &[u8] = &[];
    let words = words(a.as_bytes()).zip(words(b.as_bytes()));
    let not = self::words(not.map_or(none, ChunkSet::as_bytes)).chain(std::iter::repeat(0));
    words.zip(not).map(|((a, b), not)| a & b & !not)
}

/// Eight bytes at a time, the last filled up with zeros.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = rest.iter().zip((0..64).step_by(8).rev());
    let last = last.fold(0, |word, (byte, shift)| word | u64::from(*byte) << shift);
    let last = (!rest.is_empty()).then_some(last);
    whole.iter().map(|w| u64::from_be_bytes(*w)).chain(last)
}
