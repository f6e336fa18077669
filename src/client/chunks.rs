//! Inputs about chunks: the object, what neighbours hold, what was fetched.

use super::api::{Action, NeighbourId};
use super::picker::Picker;
use super::servers::offers;
use super::table::{Shown, any_common};
use super::{Client, Neighbour};
use crate::chunks::ChunkSet;
use crate::time::Instant;

impl Client {
    /// The number of chunks is known: what is `held`, and what the user wants, each over all chunks from 0 on.
    ///
    /// May be called again with other wanted chunks. What neighbours told before is kept where it fits the object.
    pub fn set_object(&mut self, held: ChunkSet, wanted: ChunkSet, now: Instant) {
        let chunks = held.end();
        let over_all = |set: &ChunkSet| {
            let mut all = ChunkSet::empty(chunks);
            all.union_with(set);
            all
        };
        let was_known = std::mem::replace(&mut self.known, true);
        self.held = over_all(&held);
        self.wanted = over_all(&wanted);
        self.missing = self.held.complement();
        for chunk in self.wanted.iter_missing() {
            self.missing.remove(chunk);
        }
        for n in self.table.map.values_mut() {
            fit(
                n,
                chunks,
                &mut self.counters.bad_chunk_set,
                &mut self.counters.bad_chunk,
            );
        }
        self.rebuild_picker();
        self.reset_showing();
        self.sent_chunks.resize(chunks);
        self.regroup_slots();
        if !was_known && self.is_full() {
            self.showing.gather(now + self.config.gather);
        }
        self.servers.cover = None;
        self.servers.dirty = true;
        self.lookups.restart();
        self.publisher.started(now);
        for peer in self.table.ids() {
            if !was_known || !matches!(self.table.get(peer), Some(n) if n.shown == Shown::All) {
                self.show_first(peer, now);
            }
            self.tell_interest(peer);
            if self.servers.set.contains_key(&peer) {
                self.ask(peer);
            }
        }
        self.dial_dirty = true;
        self.settle(now);
    }

    /// Other chunks are wanted from now on, of those of the object; nothing follows while that is not known. What is
    /// assigned and no longer wanted is nobody's any more: the caller gives it up, or finishes it all the same.
    pub fn set_wanted(&mut self, wanted: ChunkSet, now: Instant) {
        if self.known && wanted.as_bytes() != self.wanted.as_bytes() {
            self.set_object(self.held.clone(), wanted, now);
        }
    }

    /// Which chunks are fetched before others: nothing of a later class while a neighbour has something of an earlier one.
    /// What is in no class is not fetched; without classes all chunks are alike.
    pub fn set_classes(&mut self, classes: Vec<ChunkSet>) {
        self.classes = classes;
    }

    /// Availability, free chunks and assignments for the present object.
    fn rebuild_picker(&mut self) {
        let mut picker = Picker::new(self.held.len());
        for (peer, n) in &mut self.table.map {
            picker.joined(*peer);
            for chunk in n.held.iter() {
                picker.gained(chunk, *peer);
                self.servers.share.see(chunk, self.clock);
            }
            n.assigned = 0;
        }
        // a complete client chooses from all chunks what to show
        let members = if self.is_full() {
            &self.held
        } else {
            &self.missing
        };
        for chunk in members.iter() {
            match self
                .picker
                .owner(chunk)
                .and_then(|peer| Some((peer, self.table.get_mut(peer)?)))
            {
                Some((peer, n)) if !self.held.contains(chunk) => {
                    n.assigned += 1;
                    picker.assign(chunk, peer);
                }
                _ => picker.offer(chunk, false),
            }
        }
        self.picker = picker;
    }

    /// Everything that the neighbour holds, over all chunks; replaces what was known.
    pub fn handle_chunks(&mut self, peer: NeighbourId, held: &ChunkSet, now: Instant) {
        if self.neighbour(peer).is_none() {
            return;
        }
        let fits = held.start() == 0 && held.len() == self.held.len();
        if self.known && !fits {
            self.counters.bad_chunk_set += 1;
            return;
        }
        self.hear(peer);
        let Some(n) = self.table.get_mut(peer) else {
            return;
        };
        if !self.known {
            n.held = held.clone();
            n.early.clear();
            return;
        }
        let new: Vec<u32> = held.iter().filter(|c| !n.held.contains(*c)).collect();
        let gone: Vec<u32> = n.held.iter().filter(|c| !held.contains(*c)).collect();
        n.held = held.clone();
        for chunk in new {
            self.picker.gained(chunk, peer);
            self.servers.share.see(chunk, now);
            self.shown_arrived(peer, chunk, now);
        }
        gone.into_iter()
            .for_each(|chunk| self.picker.lost(chunk, peer));
        self.servers.cover = None;
        self.servers.dirty = true;
        self.showing.dirty = true;
        self.tell_interest(peer);
        if self.servers.set.contains_key(&peer) {
            self.ask(peer);
        }
        self.settle(now);
    }

    /// The neighbour got a chunk. Whether that changes anything: after most it is `false`, and neither
    /// [`Client::poll_action`] nor [`Client::poll_timeout`] has news.
    pub fn handle_have(&mut self, peer: NeighbourId, chunk: u32, now: Instant) -> bool {
        let Some(n) = self.table.map.get_mut(&peer) else {
            self.counters.unknown_neighbour += 1;
            return false;
        };
        if !n.heard {
            self.hear(peer);
            self.handle_have(peer, chunk, now);
            return true;
        }
        if !self.known {
            if n.early.len() < self.config.max_early_haves {
                n.early.push(chunk);
            } else {
                self.counters.early_haves += 1;
            }
            return false;
        }
        if chunk >= self.held.len() {
            self.counters.bad_chunk += 1;
            return false;
        }
        if !n.held.insert(chunk) {
            return false;
        }
        let shown_singly = matches!(n.shown, Shown::Drip { .. });
        self.picker.gained(chunk, peer);
        self.servers.share.see(chunk, now);
        if shown_singly {
            self.shown_arrived(peer, chunk, now);
        }
        self.have_matters(peer, chunk);
        self.clock = self.clock.max(now);
        let matters = self.has_news();
        if matters {
            self.settle(now);
        }
        matters
    }

    /// The neighbour has told what it holds.
    fn hear(&mut self, peer: NeighbourId) {
        if self.table.get(peer).is_some_and(|n| !n.heard) {
            self.table.change(peer, |n| n.heard = true);
            self.dial_dirty |= self.config.drop_useless;
        }
    }

    /// What a new chunk of a neighbour changes in whom we ask. Most change nothing, and there is one for every chunk and
    /// neighbour: nothing here looks at more than this chunk.
    fn have_matters(&mut self, peer: NeighbourId, chunk: u32) {
        let Some(n) = self.table.get(peer) else {
            return;
        };
        if let Some(cover) = &mut self.servers.cover
            && offers(n, self.config.area)
            && self.table.is_near(n)
        {
            cover.insert(chunk);
        }
        if !self.missing.contains(chunk) {
            return;
        }
        let tell = n.allowed && !n.told_interest;
        if self.picker.free().contains(chunk) {
            if self.servers.set.contains_key(&peer) {
                self.ask(peer);
            } else if n.serves_us() && self.may_become_server(n) {
                self.servers.dirty = true;
            }
        }
        if tell {
            self.tell_interest(peer);
        }
    }

    /// A chunk is verified and written, wherever it came from.
    pub fn handle_chunk_done(&mut self, chunk: u32, now: Instant) {
        if chunk >= self.held.len() {
            self.counters.bad_chunk += 1;
            return;
        }
        let owner = self.picker.unassign(chunk);
        if let Some(n) = owner.and_then(|peer| self.table.get_mut(peer)) {
            n.assigned = n.assigned.saturating_sub(1);
            n.stalls = 0;
            n.refusals = 0;
            if let Some(listen) = n.listen {
                self.lookups.forgive(listen);
            }
        }
        if !self.held.insert(chunk) {
            return;
        }
        self.picker.withdraw(chunk);
        self.missing.remove(chunk);
        self.done += 1;
        let first = self.held.count() == 1;
        self.publisher.changed(first || self.missing.is_none());
        if self.is_full() {
            self.rebuild_picker();
            self.reset_showing();
        }
        if self.missing.is_none() {
            self.regroup_slots();
        }
        // fewer chunks are missing: interest can only end
        let told = self.table.map.iter().filter(|(_, n)| n.told_interest);
        let ended = told.filter(|(_, n)| !any_common(&n.held, &self.missing, None));
        let ended: Vec<NeighbourId> = ended.map(|(id, _)| *id).collect();
        for peer in ended {
            self.tell_interest(peer);
        }
        self.servers.dirty = true;
        self.settle(now);
    }

    /// The chunk turned out bad, or could not be written: it is wanted again, from the start.
    pub fn handle_chunk_failed(&mut self, chunk: u32, now: Instant) {
        if chunk >= self.held.len() {
            self.counters.bad_chunk += 1;
            return;
        }
        if let Some(n) = self
            .picker
            .unassign(chunk)
            .and_then(|peer| self.table.get_mut(peer))
        {
            n.assigned = n.assigned.saturating_sub(1);
        }
        let (was_full, was_complete) = (self.is_full(), self.is_complete());
        self.regroup_slots();
        if self.held.remove(chunk) {
            self.publisher.changed(false);
        }
        if self.wanted.contains(chunk) {
            self.missing.insert(chunk);
        }
        if was_full {
            self.rebuild_picker();
            self.reset_showing();
        }
        if was_complete && !self.is_complete() {
            self.lookups.restart();
            self.dial_dirty = true;
        }
        self.offer(chunk, false);
        for peer in self.table.ids() {
            self.tell_interest(peer);
        }
        self.settle(now);
    }

    /// An assigned chunk is given back unfinished; what is here of it is kept, so it is picked again first.
    pub fn handle_released(&mut self, peer: NeighbourId, chunk: u32, now: Instant) {
        if self.picker.owner(chunk) == Some(peer) {
            self.picker.unassign(chunk);
            if let Some(n) = self.table.get_mut(peer) {
                n.assigned = n.assigned.saturating_sub(1);
            }
            self.offer(chunk, true);
            self.settle(now);
        }
    }

    /// Chunks that the neighbour is fetching (ChunkCast clients tell each other now and then): what a near one is
    /// fetching is not fetched from far. Replaces what it told before; ignored until the object is known.
    pub fn handle_fetching(&mut self, peer: NeighbourId, chunks: &ChunkSet, now: Instant) {
        if self.neighbour(peer).is_none() || !self.known {
            return;
        }
        if chunks.start() != 0 || chunks.len() != self.held.len() {
            self.counters.bad_chunk_set += 1;
            return;
        }
        let Some(n) = self.table.get_mut(peer) else {
            return;
        };
        // byte for byte, as both begin at chunk 0
        if n.fetching.len() == chunks.len() && n.fetching.as_bytes() == chunks.as_bytes() {
            return;
        }
        n.fetching.clone_from(chunks);
        if self.table.has_near(peer) {
            self.servers.cover = None;
        }
        self.servers.dirty = true;
        let far = |id: &&NeighbourId| self.table.get(**id).is_some_and(|n| !self.table.is_near(n));
        self.asks.extend(self.servers.set.keys().filter(far));
        self.settle(now);
    }

    /// The chunks that are being fetched, to be told to the neighbours that understand it.
    pub fn fetching(&self) -> ChunkSet {
        ChunkSet::from_indices(self.held.len(), self.picker.assigned())
    }

    /// Whether the chunk is assigned to a neighbour.
    pub fn is_fetching(&self, chunk: u32) -> bool {
        self.picker.owner(chunk).is_some()
    }

    /// Whether the chunk is assigned to this neighbour.
    pub fn is_assigned_to(&self, chunk: u32, peer: NeighbourId) -> bool {
        self.picker.owner(chunk) == Some(peer)
    }

    /// Tells the neighbour whether it holds something that we miss, if that has changed.
    pub(super) fn tell_interest(&mut self, peer: NeighbourId) {
        let Some(n) = self.table.get(peer) else {
            return;
        };
        let interested = self.known && n.allowed && any_common(&n.held, &self.missing, None);
        if interested != n.told_interest {
            self.table.change(peer, |n| n.told_interest = interested);
            self.actions
                .push_back(Action::Interest { peer, interested });
            self.dial_dirty |= self.config.drop_useless;
        }
    }
}

/// Makes what a neighbour told before the object was known fit the object.
fn fit(n: &mut Neighbour, chunks: u32, bad_sets: &mut u64, bad_chunks: &mut u64) {
    if n.held.start() != 0 || n.held.len() != chunks {
        *bad_sets += u64::from(!n.held.is_empty());
        n.held = ChunkSet::empty(chunks);
    }
    if n.fetching.len() != chunks {
        n.fetching = ChunkSet::empty(chunks);
    }
    for chunk in std::mem::take(&mut n.early) {
        *bad_chunks += u64::from(chunk >= chunks);
        n.held.insert(chunk);
    }
}
