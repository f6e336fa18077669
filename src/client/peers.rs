//! Inputs about peers: candidates, connections, choking, distances, misbehaviour.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

use super::api::{Action, Candidate, Connected, DropReason, NeighbourId, Source, Verdict};
use super::candidates::{Whom, twin_to_drop};
use super::{Client, Neighbour};
use crate::chunks::ChunkSet;
use crate::time::Instant;

/// A neighbour younger than this is not dropped for having nothing. // guess
const JUST_MET: Duration = Duration::from_secs(1);
/// A neighbour that stalls so often in a row is given up.
const DEAD_AFTER: u32 = 4; // guess

impl Client {
    /// Peers named by trackers, the DHT, other peers or the user.
    pub fn handle_candidates(&mut self, candidates: &[Candidate], now: Instant) {
        self.add_candidates(candidates, now);
        self.settle(now);
    }

    /// At most so many neighbours from now on, at least 1, and never more than the configuration allows. When there are more,
    /// those go first that nothing is being fetched from or sent to, and of these the farthest.
    pub fn set_max_neighbours(&mut self, most: usize, now: Instant) {
        let [max, served, target] = self.bounds;
        let most = most.max(1);
        self.config.max_neighbours = max.min(most);
        self.config.max_served = served.min(most);
        self.config.target_neighbours = target.min(most);
        let room = self.config.max_neighbours.max(self.config.max_served);
        let most = if self.is_full() {
            room
        } else {
            self.config.max_neighbours
        };
        let busy = |n: &Neighbour| n.assigned > 0 || !n.uploads.is_empty();
        while self.table.len() > most
            && let Some(worst) = (self.table.map.iter())
                .max_by_key(|(id, n)| (!busy(n), n.distance(), **id))
                .map(|(id, _)| *id)
        {
            self.drop_neighbour(worst, DropReason::TableFull, now);
        }
        self.dial_dirty = true;
        self.settle(now);
    }

    /// How many of the candidates were never heard of before.
    pub(super) fn add_candidates(&mut self, candidates: &[Candidate], now: Instant) -> usize {
        let mut new = 0;
        for candidate in candidates {
            new += usize::from(self.candidates.add(candidate, &self.config, now));
            if candidate.source == Source::Directory && !self.config.ask_inbound {
                self.allow(&candidate.addrs);
            }
        }
        self.dial_dirty = true;
        new
    }

    /// A lookup named the peer that accepts connections at one of these: it may be asked although it connected to us.
    fn allow(&mut self, addrs: &[SocketAddr]) {
        let not_yet = |n: &Neighbour| !n.allowed && n.listen.is_some_and(|l| addrs.contains(&l));
        if self.table.tally().allowed == self.table.len() {
            return;
        }
        let mut all = self.table.map.iter();
        if let Some(peer) = all.find(|(_, n)| not_yet(n)).map(|(id, _)| *id) {
            self.table.change(peer, |n| n.allowed = true);
            self.tell_interest(peer);
            self.servers.cover = None;
            self.servers.dirty = true;
        }
    }

    /// Neighbours that count against `target_neighbours`: those that we may fetch from, or if the others give way,
    /// those that have something for us, and of these only the ones that are asked now if who refuses is replaced.
    pub(super) fn counted(&self) -> usize {
        let tally = self.table.tally();
        if self.config.drop_useless && self.known && !self.is_complete() {
            if self.config.replace_refused {
                tally.ready
            } else {
                tally.useful
            }
        } else {
            tally.allowed
        }
    }

    /// Whom to dial, while there is room for more neighbours.
    pub(super) fn may_dial(&self) -> Option<Whom> {
        let half_open = self.candidates.half_open();
        let room = !self.stopped
            && half_open < self.config.max_half_open
            && self.counted() + half_open < self.config.target_neighbours
            && self.table.len() + half_open < self.config.max_neighbours;
        let whom = match (self.is_complete(), self.unreachable) {
            (false, _) => Whom::Anyone,
            (true, false) => Whom::Unaware,
            (true, true) => Whom::Wanting,
        };
        room.then_some(whom)
    }

    /// Dials while there is room for more neighbours.
    pub(super) fn dial(&mut self, now: Instant) {
        while let Some(whom) = self.may_dial()
            && let Some((addr, source)) =
                self.candidates.dial(&self.config, &mut self.rng, whom, now)
        {
            self.actions.push_back(Action::Dial { addr, source });
            self.make_room(now);
        }
        self.dial_nearer(now);
    }

    /// The places beyond the wanted number of neighbours are for peers whose coordinates are nearer than half of those
    /// there are.
    fn dial_nearer(&mut self, now: Instant) {
        if self.stopped || self.is_complete() {
            return;
        }
        let Some(median) = self.table.median_distance() else {
            return;
        };
        while self.candidates.half_open() < self.config.max_half_open {
            let full = self.table.len() + self.candidates.half_open() >= self.config.max_neighbours;
            let limit = median / if full { 4 } else { 2 };
            // most of the time everyone who is so near is a neighbour already
            let near = self
                .candidates
                .nearest()
                .is_some_and(|apart| apart <= limit);
            if !near || full && self.table.farthest_idle().is_none() {
                return;
            }
            let Some((addr, source)) = self.candidates.dial_within(limit, &self.config, now) else {
                return;
            };
            self.actions.push_back(Action::Dial { addr, source });
        }
    }

    /// For each new dial beyond the wanted number of neighbours one of no use goes, the oldest first.
    fn make_room(&mut self, now: Instant) {
        let taken = self.table.tally().allowed + self.candidates.half_open();
        if !self.config.drop_useless || taken <= self.config.target_neighbours {
            return;
        }
        let useless = |n: &Neighbour| {
            let idle = n.assigned == 0 && !n.interested && n.uploads.is_empty();
            n.allowed && !n.is_useful() && idle && now - n.connected >= JUST_MET
        };
        let all = self.table.map.iter().filter(|(_, n)| useless(n));
        let oldest = all.min_by_key(|(id, n)| (n.connected, **id));
        if let Some((peer, listen)) = oldest.map(|(id, n)| (*id, n.listen)) {
            self.drop_neighbour(peer, DropReason::Useless, now);
            if let Some(listen) = listen {
                self.candidates.set_aside(listen, &self.config, now);
            }
        }
    }

    /// A dial came to nothing: the peer waits, twice as long each time, and lookups leave it out.
    pub fn handle_dial_failed(&mut self, addr: SocketAddr, now: Instant) {
        if self.candidates.failed(addr, &self.config, now) {
            self.counters.dial_failed += 1;
            self.lookups.note_failure(addr, now);
        }
        self.dial_dirty = true;
        self.settle(now);
    }

    /// A connection is up. [`Verdict::Refuse`]: close it, nothing is remembered of it.
    ///
    /// Refused are banned peers, second connections to a peer (the older stays; of two dialled from both ends at once
    /// the one that both ends agree on, which may [`Action::Drop`] the older), and everyone when the table is full,
    /// unless a neighbour of no use gives way.
    pub fn handle_connected(
        &mut self,
        peer: NeighbourId,
        mut info: Connected,
        now: Instant,
    ) -> Verdict {
        self.clock = self.clock.max(now);
        if info.outbound {
            info.listen = info.listen.or(Some(info.addr));
        }
        let verdict = self.judge(peer, &info, now);
        self.dial_dirty = true;
        if verdict == Verdict::Refuse {
            if info.outbound {
                self.candidates.failed(info.addr, &self.config, now);
            }
            self.settle(now);
            return verdict;
        }
        let salt = self.rng.next_u32();
        let mut neighbour = Neighbour::new(&info, ChunkSet::empty(self.held.len()), salt, now);
        let named = info.outbound || info.source == Source::WebSeed;
        neighbour.allowed = named || self.config.ask_inbound;
        if let Some(listen) = info.listen {
            self.meet(&mut neighbour, listen, now);
        }
        self.table.insert(peer, neighbour);
        self.picker.joined(peer);
        self.table.refresh_near(&self.config);
        self.servers.cover = None;
        self.servers.bars = Default::default();
        self.show_first(peer, now);
        self.settle(now);
        verdict
    }

    fn judge(&mut self, peer: NeighbourId, info: &Connected, now: Instant) -> Verdict {
        let banned = self.candidates.is_banned(info.addr)
            || info.listen.is_some_and(|l| self.candidates.is_banned(l));
        if banned {
            self.counters.banned += 1;
            return Verdict::Refuse;
        }
        if self.stopped {
            return Verdict::Refuse;
        }
        if self.table.map.contains_key(&peer) {
            self.counters.duplicate += 1;
            return Verdict::Refuse;
        }
        if let Some(listen) = info.listen
            && let Some(twin) = self.table.listening_at(listen)
        {
            self.counters.duplicate += 1;
            if self.loser(twin, (peer, info.outbound), listen, now) == peer {
                return Verdict::Refuse;
            }
            self.drop_neighbour(twin, DropReason::Duplicate, now);
        }
        let full = self.is_full();
        let most = if full {
            self.config.max_served.max(self.config.max_neighbours)
        } else {
            self.config.max_neighbours
        };
        if self.table.len() >= most {
            self.counters.table_full += 1;
            let known = info.listen.and_then(|l| self.candidates.get(l));
            let apart = known.and_then(|c| c.apart);
            let useless = self
                .known
                .then(|| {
                    let table = &self.table;
                    let worst = table.worst_useless(&self.missing, full, info.rtt, now);
                    worst
                        .or_else(|| table.idlest(&self.missing, self.config.idle, now))
                        .or_else(|| table.farther_than(info.rtt, apart))
                })
                .flatten();
            let Some(useless) = useless else {
                return Verdict::Refuse;
            };
            let both_full = full
                && self
                    .table
                    .get(useless)
                    .is_some_and(Neighbour::wants_nothing);
            let reason = if both_full {
                DropReason::Useless
            } else {
                DropReason::TableFull
            };
            self.drop_neighbour(useless, reason, now);
        }
        Verdict::Keep
    }

    /// Which of two connections to one peer goes.
    fn loser(
        &self,
        older: NeighbourId,
        newer: (NeighbourId, bool),
        listen: SocketAddr,
        now: Instant,
    ) -> NeighbourId {
        let Some(n) = self.table.get(older) else {
            return older;
        };
        let age = now - n.connected;
        twin_to_drop(
            self.candidates.own(),
            listen,
            (older, n.outbound, age),
            newer,
        )
    }

    /// What is known of the peer that accepts at `listen` goes to its neighbour entry.
    fn meet(&mut self, neighbour: &mut Neighbour, listen: SocketAddr, now: Instant) {
        if let Some(known) = self.candidates.get(listen) {
            neighbour.apart = known.apart;
            neighbour.load = known.load;
            neighbour.allowed |= known.named;
        }
        self.candidates
            .connected(listen, neighbour.source, &self.config, now);
        self.lookups.forgive(listen);
    }

    /// Where an inbound neighbour accepts connections: the host must be the one that it connects from.
    pub fn handle_listen_addr(&mut self, peer: NeighbourId, listen: SocketAddr, now: Instant) {
        let Some(n) = self.neighbour(peer) else {
            return;
        };
        if n.listen == Some(listen) {
            return;
        }
        let outbound = n.outbound;
        if n.listen.is_some()
            || listen.port() == 0
            || listen.ip().to_canonical() != n.addr.ip().to_canonical()
        {
            self.counters.bad_listen_addr += 1;
            return;
        }
        if self.candidates.is_banned(listen) {
            self.counters.banned += 1;
            self.drop_neighbour(peer, DropReason::Banned, now);
        } else if let Some(twin) = self.table.listening_at(listen) {
            self.counters.duplicate += 1;
            let older_first = match (self.table.get(twin), self.table.get(peer)) {
                (Some(t), Some(p)) => (t.connected, twin) <= (p.connected, peer),
                _ => true,
            };
            let loser = if older_first {
                self.loser(twin, (peer, outbound), listen, now)
            } else {
                let twin_outbound = self.table.get(twin).is_some_and(|t| t.outbound);
                self.loser(peer, (twin, twin_outbound), listen, now)
            };
            self.drop_neighbour(loser, DropReason::Duplicate, now);
            if loser == twin {
                self.learn_listen(peer, listen, now);
            }
        } else {
            self.learn_listen(peer, listen, now);
        }
        self.dial_dirty = true;
        self.settle(now);
    }

    fn learn_listen(&mut self, peer: NeighbourId, listen: SocketAddr, now: Instant) {
        if let Some(mut n) = self.table.remove(peer) {
            n.listen = Some(listen);
            self.servers.bars = Default::default();
            let before = n.allowed;
            self.meet(&mut n, listen, now);
            let newly = n.allowed && !before;
            self.table.insert(peer, n);
            self.table.refresh_near(&self.config);
            if newly {
                self.tell_interest(peer);
                self.servers.cover = None;
                self.servers.dirty = true;
            }
        }
    }

    /// The connection is gone; the chunks assigned to the neighbour are free again.
    pub fn handle_disconnected(&mut self, peer: NeighbourId, now: Instant) {
        if self.neighbour(peer).is_some() {
            self.forget(peer, now);
            self.settle(now);
        }
    }

    fn drop_neighbour(&mut self, peer: NeighbourId, reason: DropReason, now: Instant) {
        self.forget(peer, now);
        self.actions.push_back(Action::Drop { peer, reason });
    }

    fn forget(&mut self, peer: NeighbourId, now: Instant) {
        self.forget_shown(peer);
        self.servers.set.remove(&peer);
        self.asks.remove(&peer);
        // removed first: nobody is to be asked for its chunks who is gone
        let Some(n) = self.table.remove(peer) else {
            return;
        };
        self.take_chunks_from(peer);
        if self.known {
            n.held
                .iter()
                .for_each(|chunk| self.picker.lost(chunk, peer));
            if n.held.intersects(&self.missing) {
                self.lookups.lost();
            }
        }
        self.picker.left(peer);
        if let Some(listen) = n.listen {
            self.candidates
                .disconnected(listen, n.wants_nothing(), &self.config, now);
            if n.assigned > 0 {
                self.lookups.note_failure(listen, now);
            }
        }
        self.table.refresh_near(&self.config);
        self.servers.cover = None;
        self.servers.dirty = true;
        self.showing.dirty = true;
        self.slots_dirty = true;
        self.dial_dirty = true;
    }

    /// The neighbour refuses (choked) or serves us. Refusing takes its server role; chunks assigned to it stay so
    /// until they are given back or finished: requests may still be on the wire.
    pub fn handle_choked(&mut self, peer: NeighbourId, choked: bool, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        if let Some(n) = self.table.get_mut(peer)
            && n.choked != choked
        {
            n.choked = choked;
            self.servers.cover = None;
            self.servers.dirty = true;
            self.settle(now);
        }
    }

    /// The neighbour wants chunks of ours, or no longer.
    pub fn handle_interested(&mut self, peer: NeighbourId, interested: bool, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        if self
            .table
            .get(peer)
            .is_some_and(|n| n.interested != interested)
        {
            self.table.change(peer, |n| {
                n.interested = interested;
                if n.served.is_none() {
                    n.waiting = now;
                }
            });
            self.slots_dirty = true;
            self.showing.dirty = true;
            self.settle(now);
        }
    }

    /// The neighbour says whether it downloads nothing more although it may not hold everything (a partial seed).
    pub fn handle_upload_only(&mut self, peer: NeighbourId, upload_only: bool, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        if let Some(n) = self.table.get_mut(peer)
            && n.upload_only != upload_only
        {
            n.upload_only = upload_only;
            if upload_only {
                self.forget_shown(peer);
            }
            self.servers.cover = None;
            self.showing.dirty = true;
            self.settle(now);
        }
    }

    /// A measured round-trip time; the least counts. That of a web seed does not: it is far.
    pub fn handle_rtt(&mut self, peer: NeighbourId, rtt: Duration, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        if let Some(n) = self.table.get_mut(peer)
            && n.source != Source::WebSeed
            && n.rtt.is_none_or(|known| rtt < known)
        {
            n.rtt = Some(rtt);
            self.table.refresh_near(&self.config);
            self.servers.cover = None;
            self.servers.dirty = true;
            self.settle(now);
        }
    }

    /// How loaded the neighbour says it is, 0 (idle) ..= 255 (full): the busy among the far ones are asked last.
    pub fn handle_load(&mut self, peer: NeighbourId, load: u8, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        if let Some(n) = self.table.get_mut(peer) {
            n.load = load;
            n.tells = true;
        }
        self.settle(now);
    }

    /// Payload bytes came from the neighbour.
    pub fn handle_received(&mut self, peer: NeighbourId, bytes: u64, now: Instant) {
        self.clock = self.clock.max(now);
        if let Some(n) = self.table.get_mut(peer) {
            n.down.add(bytes, now);
            self.slots_memo = None;
            self.received = self.received.saturating_add(bytes);
        }
    }

    /// Payload bytes went to the neighbour.
    pub fn handle_sent(&mut self, peer: NeighbourId, bytes: u64, now: Instant) {
        self.clock = self.clock.max(now);
        if let Some(n) = self.table.get_mut(peer) {
            n.up.add(bytes, now);
            if let super::table::Shown::Drip { progress, .. } = &mut n.shown {
                *progress = now;
            }
        }
    }

    /// Requests to the neighbour time out: it is not asked for 30 s, twice as long each time up to 5 min, its chunks
    /// go to others, and lookups leave it out. One that stalls again and again and wants nothing of ours is dropped.
    pub fn handle_stalled(&mut self, peer: NeighbourId, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        self.ignore(peer, now);
        if self
            .table
            .get(peer)
            .is_some_and(|n| n.stalls >= DEAD_AFTER && !n.interested)
        {
            self.counters.dead += 1;
            self.drop_neighbour(peer, DropReason::Dead, now);
        }
        self.settle(now);
    }

    /// The neighbour misbehaved: it is dropped, and neither dialled nor accepted again.
    pub fn handle_ban(&mut self, peer: NeighbourId, now: Instant) {
        let Some(n) = self.neighbour(peer) else {
            return;
        };
        let (addr, listen) = (n.addr, n.listen);
        self.counters.banned += 1;
        self.drop_neighbour(peer, DropReason::Banned, now);
        self.candidates.ban(addr, &self.config);
        if let Some(listen) = listen {
            self.candidates.ban(listen, &self.config);
        }
        self.settle(now);
    }

    /// The neighbour, counting it if there is none.
    pub(super) fn neighbour(&mut self, peer: NeighbourId) -> Option<&Neighbour> {
        let neighbour = self.table.map.get(&peer);
        self.counters.unknown_neighbour += u64::from(neighbour.is_none());
        neighbour
    }
}
