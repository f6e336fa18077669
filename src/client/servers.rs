//! Whom we download from (paper section 4), and what of.
//!
//! A server is a neighbour that serves us and holds something that we may fetch from it. Four at a time (the paper's
//! figure); over links that four do not fill, one more at a time up to `max_servers` while the last one made the whole
//! download more than 5 % faster. Local ones (round-trip time below `near_floor`: one LAN or site) cost no shared link
//! and count apart, up to `max_local_servers`: among 16 equals on a LAN, where each neighbour has only the few chunks
//! that came to it first, four at a time took 1.5 of the bound and sixteen 1.12. Nearest first: near neighbours by measured round-trip time, then the others by
//! `min(overlap, 50)^0.5 / (one-way seconds + 0.002) / (1 + load)`, measured to beat closeness alone. A clearly nearer
//! neighbour (below 0.9 of the round-trip time, and outside the noise) takes the place of the farthest server.
//!
//! Area rule: from a far server come only chunks that no near neighbour offers us or is fetching, as the paper has it ("only one
//! client peer within a local area would download a chunk from a remote peer"). It rests while the near ones would
//! take longer than `area_patience` to send what they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Client;
use super::api::{Action, NeighbourId};
use super::candidates::doubled;
use super::config::AreaRule;
use super::lookup::Need;
use super::share::Share;
use super::table::{Neighbour, any_common, common_words};
use crate::chunks::ChunkSet;
use crate::time::Instant;

/// Period of the review of rates.
const REVIEW: Duration = Duration::from_secs(5); // guess
/// How long a server is watched before its rate says anything: the window of the rates.
const WATCH: Duration = Duration::from_secs(10);
/// Pause after an additional server that did not help.
const NO_GAIN_PAUSE: Duration = Duration::from_secs(60); // guess
/// Overlap beyond which more makes no better server.
const ENOUGH_OVERLAP: u32 = 50; // measured
/// The load byte that counts as one transfer: 16 served neighbours are a full load.
const LOAD_UNIT: f64 = 16.0;

#[derive(Debug, Default)]
pub(super) struct Servers {
    /// Since when.
    pub(super) set: BTreeMap<NeighbourId, Instant>,
    pub(super) dirty: bool,
    /// One refused since they were last chosen, and is to be replaced.
    pub(super) refused: bool,
    extra: usize,
    /// Total rate before the last addition, and when that was.
    trial: Option<(u64, Instant)>,
    no_trial_before: Instant,
    review: Option<Instant>,
    /// Which chunks are ours to fetch from far.
    pub(super) share: Share,
    /// What near neighbours offer; `None`: to be computed.
    pub(super) cover: Option<ChunkSet>,
    covered_since: Option<Instant>,
    pub(super) area_rests: bool,
    /// Of the local servers and of all others.
    pub(super) bars: [Bar; 2],
}

/// Whom the servers of one kind leave a place, as of when they were last chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Bar {
    /// Anyone, as far as is known.
    #[default]
    Open,
    /// Only one that is nearer than this: clearly nearer than the farthest server.
    Nearer(Duration),
    /// Nobody.
    Shut,
}

impl Servers {
    /// What must not be fetched from a neighbour that is (not) near.
    pub(super) fn left_to_near(&self, near: bool, rule: AreaRule) -> Option<&ChunkSet> {
        let rests = match rule {
            AreaRule::Off => true,
            AreaRule::Always => false,
            AreaRule::UnlessSaturated => self.area_rests,
        };
        self.cover.as_ref().filter(|_| !near && !rests)
    }
}

fn known_distance(n: &Neighbour) -> Option<Duration> {
    n.rtt.or(n.apart)
}

/// Whether far neighbours are not asked for what this one has, if it is near. One that is too busy to serve us is still
/// left what it has: it is busy for a second, and a chunk that comes from far comes over the shared link for good.
pub(super) fn offers(n: &Neighbour, rule: AreaRule) -> bool {
    rule != AreaRule::Off && n.would_serve_us()
}

/// Lower is better: near ones by distance, far ones by score, equals at random.
type Rank = (bool, Duration, f64, u32);

impl Client {
    fn rank(&self, n: &Neighbour) -> Rank {
        let mut overlap = 0;
        for word in common_words(&n.held, &self.missing, None) {
            overlap += word.count_ones();
            if overlap >= ENOUGH_OVERLAP {
                break;
            }
        }
        let overlap = f64::from(overlap.min(ENOUGH_OVERLAP));
        let one_way = n.distance().as_secs_f64() / 2.0;
        let load = f64::from(n.load) / LOAD_UNIT;
        let score = overlap.sqrt() / (one_way + 0.002) / (1.0 + load);
        let near = self.table.is_near(n);
        let band = if near && n.distance() > self.config.rtt_noise {
            n.distance()
        } else {
            Duration::ZERO
        };
        (!near, band, -score, n.salt)
    }

    /// Whether the neighbour is so near that every link to it counts as free.
    fn is_local(&self, n: &Neighbour) -> bool {
        n.rtt.is_some_and(|rtt| rtt <= self.config.near_floor)
    }

    /// Servers among the local neighbours, or among all others.
    fn servers_that_are(&self, local: bool) -> impl Iterator<Item = (NeighbourId, &Neighbour)> {
        let known = self
            .servers
            .set
            .keys()
            .filter_map(|id| Some((*id, self.table.get(*id)?)));
        known.filter(move |(_, n)| self.is_local(n) == local)
    }

    /// Most servers among the local neighbours, or among all others.
    fn max_servers(&self, local: bool) -> usize {
        if local {
            self.config.max_local_servers
        } else {
            (self.config.parallel + self.servers.extra).min(self.config.max_servers)
        }
    }

    /// What near neighbours offer us, or will soon.
    fn refresh_cover(&mut self) {
        if self.servers.cover.is_some() {
            return;
        }
        let mut cover = ChunkSet::empty(self.held.len());
        for n in self.table.map.values() {
            if self.config.area == AreaRule::Off || !self.table.is_near(n) {
                continue;
            }
            // one that has nothing yet chokes us still, and will have what it is fetching
            cover.union_with(&n.fetching);
            if offers(n, self.config.area) {
                cover.union_with(&n.held);
            }
        }
        self.servers.cover = Some(cover);
        self.refresh_share();
    }

    fn has_something(&self, n: &Neighbour) -> bool {
        let near = self.table.is_near(n);
        let avoid = self.servers.left_to_near(near, self.config.area);
        any_common(&n.held, self.picker.free(), avoid)
    }

    /// Gives the places of servers to the best neighbours.
    pub(super) fn choose_servers(&mut self, now: Instant) {
        self.servers.dirty = false;
        if self.stopped || self.missing.is_none() {
            self.servers.set.clear();
            self.servers.review = None;
            self.servers.bars = Default::default();
            return;
        }
        self.refresh_cover();
        let ran_dry = self.retire_servers() | std::mem::take(&mut self.servers.refused);
        self.refresh_bars();
        let mut idle: Vec<(Rank, NeighbourId)> = self
            .table
            .map
            .iter()
            .filter(|(id, n)| {
                n.serves_us()
                    && !self.servers.set.contains_key(id)
                    && self.may_become_server(n)
                    && self.has_something(n)
            })
            .map(|(id, n)| (self.rank(n), *id))
            .collect();
        idle.sort_by(|(a, _), (b, _)| {
            (a.0, a.1)
                .cmp(&(b.0, b.1))
                .then(a.2.total_cmp(&b.2))
                .then(a.3.cmp(&b.3))
        });
        let change = !idle.is_empty();
        for (_, peer) in idle {
            let local = self.table.get(peer).is_some_and(|n| self.is_local(n));
            if self.servers_that_are(local).count() >= self.max_servers(local) {
                let Some(farther) = self.clearly_farther_server(peer, local) else {
                    continue;
                };
                self.servers.set.remove(&farther);
                self.actions.push_back(Action::Stop { peer: farther });
            }
            self.servers.set.insert(peer, now);
            self.ask(peer);
        }
        if change {
            self.refresh_bars();
        }
        if ran_dry && self.servers.set.len() < self.config.parallel {
            self.lookups.hurry();
        }
        // also without servers: near ones that send nothing are not waited for longer than that
        if self.servers.review.is_none() && self.table.len() > 0 {
            self.servers.review = Some(now + REVIEW);
        }
    }

    /// Takes the role from those that no longer serve or have nothing more; whether one ran dry.
    fn retire_servers(&mut self) -> bool {
        let mut ran_dry = false;
        for peer in self.servers.set.keys().copied().collect::<Vec<_>>() {
            let Some(n) = self.table.get(peer) else {
                self.servers.set.remove(&peer);
                continue;
            };
            if !n.serves_us() {
                self.servers.set.remove(&peer);
                self.actions.push_back(Action::Stop { peer });
            } else if n.assigned == 0 && !self.has_something(n) {
                self.servers.set.remove(&peer);
                ran_dry = true;
            }
        }
        ran_dry
    }

    /// The farthest server of its kind, if `peer` is clearly nearer than it.
    fn clearly_farther_server(&self, peer: NeighbourId, local: bool) -> Option<NeighbourId> {
        let near = self.table.get(peer).and_then(known_distance)?;
        let (far, id) = self.farthest_server(local)?;
        (near < self.clearly_below(far)).then_some(id)
    }

    fn farthest_server(&self, local: bool) -> Option<(Duration, NeighbourId)> {
        let servers = self.servers_that_are(local);
        servers
            .filter_map(|(id, n)| known_distance(n).map(|d| (d, id)))
            .max()
    }

    /// Below this a neighbour is clearly nearer than one that is `far`.
    fn clearly_below(&self, far: Duration) -> Duration {
        let noise = self.config.rtt_noise;
        far.mul_f64(0.9).min(far.saturating_sub(noise))
    }

    fn refresh_bars(&mut self) {
        for local in [false, true] {
            let full = self.servers.set.len() >= self.max_servers(local)
                && self.servers_that_are(local).count() >= self.max_servers(local);
            let farthest = full.then(|| self.farthest_server(local));
            self.servers.bars[usize::from(local)] = match farthest {
                None => Bar::Open,
                Some(Some((far, _))) => Bar::Nearer(self.clearly_below(far)),
                Some(None) => Bar::Shut,
            };
        }
    }

    /// Whether there is a place for the neighbour, as far as the servers were not changed since they were chosen.
    pub(super) fn may_become_server(&self, n: &Neighbour) -> bool {
        match self.servers.bars[usize::from(self.is_local(n))] {
            Bar::Open => true,
            Bar::Nearer(limit) => known_distance(n).is_some_and(|near| near < limit),
            Bar::Shut => false,
        }
    }

    pub(super) fn ask(&mut self, peer: NeighbourId) {
        self.asks.insert(peer);
    }

    /// A chunk is free again: whoever can deliver it is asked.
    pub(super) fn offer(&mut self, chunk: u32, begun: bool) {
        if !self.missing.contains(chunk) {
            return;
        }
        self.picker.offer(chunk, begun);
        for id in self.servers.set.keys() {
            if self.table.get(*id).is_some_and(|n| n.held.contains(chunk)) {
                self.asks.insert(*id);
            }
        }
        self.servers.dirty = true;
    }

    /// The chunk to fetch from this neighbour now, which is assigned to it by that; `None`: it is no server, or has
    /// nothing (more) that is not assigned.
    ///
    /// Chunks that were begun and given back come first, then what [`ClientConfig::order`](super::ClientConfig::order)
    /// says. An [`Action::Ask`] tells when it is worth calling again.
    pub fn next_chunk(&mut self, peer: NeighbourId, now: Instant) -> Option<u32> {
        self.clock = self.clock.max(now);
        self.table.get(peer)?;
        if self.servers.dirty || !self.servers.set.contains_key(&peer) {
            self.choose_servers(now);
        }
        if !self.servers.set.contains_key(&peer) {
            return None;
        }
        self.refresh_cover();
        let near = self.table.is_near(self.table.get(peer)?);
        let picked = self.pick_from(peer, near, now);
        match picked {
            Some(chunk) => {
                self.picker.assign(chunk, peer);
                if let Some(n) = self.table.get_mut(peer) {
                    n.assigned += 1;
                }
                Some(chunk)
            }
            None => {
                // its place may go to another
                self.choose_servers(now);
                None
            }
        }
    }

    /// Assigns this chunk to the neighbour although it may not serve us otherwise: it offers to send it all the same. Whether
    /// it may be fetched from it, and is nobody's.
    pub fn take_chunk(&mut self, peer: NeighbourId, chunk: u32, now: Instant) -> bool {
        self.clock = self.clock.max(now);
        let Some(n) = self.table.get_mut(peer) else {
            return false;
        };
        let asked = n.allowed && n.back_at().is_none() && n.held.contains(chunk);
        if self.stopped || !asked || !self.picker.free().contains(chunk) {
            return false;
        }
        n.assigned += 1;
        self.picker.assign(chunk, peer);
        true
    }

    /// Takes the neighbour's chunks back.
    pub(super) fn take_chunks_from(&mut self, peer: NeighbourId) {
        for chunk in self.picker.unassign_all(peer) {
            self.offer(chunk, true);
        }
        if let Some(n) = self.table.get_mut(peer) {
            n.assigned = 0;
        }
    }

    /// Does not ask the neighbour for a while, longer each time.
    pub(super) fn ignore(&mut self, peer: NeighbourId, now: Instant) {
        let (base, cap) = (self.config.ignore, self.config.max_ignore);
        let Some(listen) = self.table.change(peer, |n| {
            n.ignored_until = Some(now + doubled(base, n.stalls, cap));
            n.stalls = n.stalls.saturating_add(1);
            n.listen
        }) else {
            return;
        };
        if let Some(addr) = listen {
            self.lookups.note_failure(addr, now);
        }
        if self.servers.set.remove(&peer).is_some() {
            self.actions.push_back(Action::Stop { peer });
        }
        self.servers.cover = None;
        self.take_chunks_from(peer);
        self.servers.dirty = true;
    }

    pub(super) fn need(&self) -> Need {
        let half = self.config.target_neighbours / 2;
        Need {
            under_half: 2 * self.counted() < self.config.target_neighbours,
            lonely: self.counted() < half.min(usize::from(self.config.p)),
            starving: if self.known {
                self.servers.set.is_empty()
            } else {
                self.counted() == 0
            },
        }
    }

    /// Neighbours whose time of being ignored is over may serve again.
    pub(super) fn end_ignores(&mut self, now: Instant) {
        while let Some((_, peer)) = self.table.next_back().filter(|(at, _)| *at <= now) {
            let ignored = self.table.change(peer, |n| {
                n.paused_until = n.paused_until.filter(|t| *t > now);
                n.ignored_until.take_if(|t| *t <= now)
            });
            if ignored.flatten().is_some() {
                self.servers.cover = None;
            }
            self.servers.dirty = true;
        }
    }

    pub(super) fn servers_due(&self) -> Option<Instant> {
        let back = self.table.next_back().map(|(at, _)| at);
        let waits = self.first_wait();
        [back, self.servers.review, waits]
            .into_iter()
            .flatten()
            .min()
    }

    /// Every five seconds: slow servers, the number of servers, the area rule.
    pub(super) fn review_servers(&mut self, now: Instant) {
        if self.servers.review.is_none_or(|t| t > now) {
            return;
        }
        let wanting = self.table.len() > 0 && !self.missing.is_none();
        self.servers.review = wanting.then_some(now + REVIEW);
        self.drop_slow_server(now);
        self.review_area(now);
        self.review_parallel(now);
    }

    /// A server below a tenth of the median while others wait is not asked for a while; one at a time.
    fn drop_slow_server(&mut self, now: Instant) {
        let mut rates: Vec<(u64, NeighbourId)> = self
            .servers
            .set
            .iter()
            .filter(|(_, since)| now - **since >= WATCH)
            .filter_map(|(id, _)| self.table.get(*id).map(|n| (n.down.rate(now), *id)))
            .collect();
        rates.sort_unstable();
        let Some(&(median, _)) = rates.get(rates.len() / 2) else {
            return;
        };
        let (least, slow) = rates[0];
        if least.saturating_mul(10) < median && self.somebody_waits() {
            self.ignore(slow, now);
        }
    }

    fn somebody_waits(&mut self) -> bool {
        self.refresh_cover();
        self.table.map.iter().any(|(id, n)| {
            !self.servers.set.contains_key(id) && n.serves_us() && self.has_something(n)
        })
    }

    fn review_area(&mut self, now: Instant) {
        if self.config.area != AreaRule::UnlessSaturated {
            return;
        }
        self.refresh_cover();
        let Some(cover) = &self.servers.cover else {
            return;
        };
        let backlog = u64::from(cover.overlap(self.picker.free()));
        if backlog == 0 {
            self.servers.covered_since = None;
        }
        let rests = if backlog == 0 {
            false
        } else {
            let since = *self.servers.covered_since.get_or_insert(now);
            let near = self.table.map.values().filter(|n| self.table.is_near(n));
            let rate: u64 = near.map(|n| n.down.rate(now)).sum();
            let chunk = self.received / self.done.max(1);
            let horizon = rate.saturating_mul(self.config.area_patience.as_secs());
            now - since >= WATCH && backlog.saturating_mul(chunk.max(1)) > horizon
        };
        if rests != self.servers.area_rests {
            self.servers.area_rests = rests;
            self.servers.dirty = true;
            self.asks.extend(self.servers.set.keys().copied());
        }
    }

    fn review_parallel(&mut self, now: Instant) {
        let total: u64 = self.table.map.values().map(|n| n.down.rate(now)).sum();
        if let Some((before, at)) = self.servers.trial {
            if now - at < WATCH {
                return;
            }
            self.servers.trial = None;
            if total.saturating_mul(100) <= before.saturating_mul(105) {
                self.servers.extra -= 1;
                self.servers.no_trial_before = now + NO_GAIN_PAUSE;
            }
        }
        let oldest = self.servers.set.values().min().copied().unwrap_or(now);
        if now >= self.servers.no_trial_before
            && now - oldest >= WATCH
            && self.servers_that_are(false).count() == self.max_servers(false)
            && self.max_servers(false) < self.config.max_servers
            && self.somebody_waits()
        {
            self.servers.extra += 1;
            self.servers.trial = Some((total, now));
            self.servers.dirty = true;
        }
    }
}
