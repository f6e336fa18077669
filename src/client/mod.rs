//! The client peer (paper section 4): which peers, which chunks, when to look up and publish. Sans-IO.
//!
//! It knows nothing of BitTorrent: peers, chunk sets, rates and distances go in; dial, drop, ask, serve, publish and
//! look up come out. It owns the neighbour table and is the only one that picks a (peer, chunk) pair. After every
//! input call [`Client::poll_action`] until it returns `None`; call [`Client::handle_timeout`] at
//! [`Client::poll_timeout`]. Same seed and same inputs, same actions.
//!
//! | file | concept |
//! | --- | --- |
//! | `candidates` | whom to dial, back-off, bans |
//! | `table` | the neighbours and which of them are near |
//! | `lookup`, `publish` | when to ask and to tell the directory |
//! | `servers`, `picker`, `holdings` | whom to download from, and which chunk |
//! | `share` | which of those near each other fetches a chunk from far |
//! | `telling` | what neighbours are told of what we fetch |
//! | `introduce` | which neighbours are told of each other |
//! | `slots`, `superseed` | whom to serve, and what to show |
//! | `refusals` | which requests are refused at once, and what follows from being refused |
//!
//! # Differences from the paper
//! - The paper's client fetches from the p peers of the last answer. This one keeps a table of up to 32 neighbours,
//!   filled by lookups, and learns from them, not from answers, who holds what: fewer lookups, better choice.
//! - Servers are chosen by measured round-trip time with an area rule and a score for far ones; the paper leaves the
//!   ranking open (3.3). Closeness alone was measured at 1.5 times the download time of this.
//! - Chunk order (rarest first, random among equals), upload slots and superseeding are not in the paper; without them
//!   its client was measured at 3.3 times the bound, and with in-order selection it did not finish.

mod api;
mod candidates;
mod chunks;
mod config;
mod holdings;
mod introduce;
mod lookup;
mod peers;
mod picker;
mod publish;
mod refusals;
mod servers;
mod share;
mod slots;
mod superseed;
mod table;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use api::{
    Action, Candidate, Connected, Counters, DropReason, NeighbourId, NeighbourView, Query, Ranking,
    Reveal, Source, Verdict, Wanted,
};
pub use introduce::MAX_INTRODUCED;

pub use config::{AreaRule, ChunkOrder, ClientConfig, ClientConfigError};

use crate::chunks::ChunkSet;
use crate::time::Instant;
use candidates::Candidates;
use introduce::Introductions;
use lookup::{Lookups, MAX_P};
use picker::Picker;
use publish::Publisher;
use refusals::Sent;
use servers::Servers;
use superseed::Showing;
use table::{Neighbour, Table};
use telling::Telling;

/// The client peer of one object.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    /// `max_neighbours`, `max_served` and `target_neighbours` as they were configured.
    bounds: [usize; 3],
    rng: ChaCha8Rng,
    /// Time of the latest input.
    clock: Instant,
    known: bool,
    stopped: bool,
    /// Others cannot dial us.
    unreachable: bool,
    held: ChunkSet,
    wanted: ChunkSet,
    /// Wanted and not held.
    missing: ChunkSet,
    /// Which chunks come before others, the first first; empty: all are alike.
    classes: Vec<ChunkSet>,
    table: Table,
    candidates: Candidates,
    dial_dirty: bool,
    lookups: Lookups,
    publisher: Publisher,
    picker: Picker,
    servers: Servers,
    showing: Showing,
    /// How often each chunk was sent.
    sent_chunks: Sent,
    telling: Telling,
    introductions: Introductions,
    slots_dirty: bool,
    /// When a slot may change hands, computed in that second; `None` after a change.
    slots_memo: Option<(u64, Option<Instant>)>,
    /// Slots given so far while they were scarce.
    turns: u32,
    /// Payload bytes received, and chunks finished: the mean size of a chunk.
    received: u64,
    done: u64,
    counters: Counters,
    actions: VecDeque<Action>,
    /// Neighbours of whom `next_chunk` is to be called.
    asks: BTreeSet<NeighbourId>,
}

impl Client {
    /// A client that knows neither the number of chunks nor any peer; it looks up and publishes at once.
    pub fn new(config: ClientConfig, seed: u64, now: Instant) -> Self {
        let mut client = Self {
            bounds: [
                config.max_neighbours,
                config.max_served,
                config.target_neighbours,
            ],
            config,
            rng: ChaCha8Rng::seed_from_u64(seed),
            clock: now,
            known: false,
            stopped: false,
            unreachable: false,
            held: ChunkSet::empty(0),
            wanted: ChunkSet::empty(0),
            missing: ChunkSet::empty(0),
            classes: Vec::new(),
            table: Table::default(),
            candidates: Candidates::default(),
            dial_dirty: false,
            lookups: Lookups::default(),
            publisher: Publisher::default(),
            picker: Picker::default(),
            servers: Servers::default(),
            showing: Showing::default(),
            sent_chunks: Sent::default(),
            telling: Telling::default(),
            introductions: Introductions::default(),
            slots_dirty: false,
            slots_memo: None,
            turns: 0,
            received: 0,
            done: 0,
            counters: Counters::default(),
            actions: VecDeque::new(),
            asks: BTreeSet::new(),
        };
        client.table.refresh_near(&client.config);
        client.settle(now);
        client
    }

    /// Our own addresses, with the port that we accept connections at: never dialled.
    pub fn set_own_addrs(&mut self, addrs: &[SocketAddr]) {
        self.candidates.set_own(addrs);
    }

    /// Whether others can dial us, as far as is known; they can until told otherwise. A complete client that cannot be
    /// dialled looks up peers that want something and dials them.
    pub fn set_reachable(&mut self, reachable: bool, now: Instant) {
        if self.unreachable == reachable {
            self.unreachable = !reachable;
            self.dial_dirty = true;
            if self.is_complete() {
                self.lookups.restart();
            }
            self.settle(now);
        }
    }

    /// The answer of the outstanding lookup. One that brings only peers already known doubles the pause.
    pub fn handle_answer(&mut self, candidates: &[Candidate], now: Instant) {
        self.answered(candidates, false, now);
    }

    /// The same with an answer that says that the object is asked for too often: the next lookups wait longer even if it
    /// brings new peers.
    pub fn handle_loaded_answer(&mut self, candidates: &[Candidate], now: Instant) {
        self.answered(candidates, true, now);
    }

    fn answered(&mut self, candidates: &[Candidate], loaded: bool, now: Instant) {
        if self.lookups.deadline().is_none() {
            self.counters.unasked_answer += 1;
        }
        let chunks = self.held.len();
        let new = match self.is_complete() && chunks > 0 {
            // Who has everything wants nothing of us.
            true => {
                let wanting = candidates.iter().filter(|c| c.matched < chunks);
                self.add_candidates(&wanting.cloned().collect::<Vec<_>>(), now)
            }
            false => self.add_candidates(candidates, now),
        };
        self.lookups.end(new, loaded, now);
        self.settle(now);
    }

    /// The outstanding lookup failed: as good as an empty answer.
    pub fn handle_no_answer(&mut self, now: Instant) {
        self.lookups.end(0, false, now);
        self.settle(now);
    }

    /// Time has passed: see [`Client::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        self.clock = self.clock.max(now);
        for addr in self.candidates.expire(&self.config, now) {
            self.counters.dial_failed += 1;
            self.lookups.note_failure(addr, now);
        }
        if self.lookups.deadline().is_some_and(|t| t <= now) {
            self.lookups.end(0, false, now);
        }
        self.end_ignores(now);
        self.end_waits(now);
        self.review_servers(now);
        self.show_late(now);
        self.slots_dirty = true;
        self.dial_dirty = true;
        self.settle(now);
    }

    /// No more lookups, dials, publishes and downloads (shutdown); connections are the caller's to close.
    pub fn stop(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        self.stopped = true;
        self.servers.set.clear();
        self.asks.clear();
        self.actions.clear();
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() && self.asks.is_empty() {
            // last, so that what was asked for meanwhile is told too
            self.tell();
            self.introduce();
        }
        self.actions
            .pop_front()
            .or_else(|| self.asks.pop_first().map(|peer| Action::Ask { peer }))
    }

    /// When [`Client::handle_timeout`] is to be called next; may be in the past if the caller is late.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        [
            self.publisher.due(&self.config),
            self.lookup_due(),
            self.lookups.deadline(),
            self.candidates.next_event(self.may_dial()),
            self.servers_due(),
            self.telling_due(),
            self.introducing_due(),
            self.slots_due(),
            self.showing_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Chunks held.
    pub fn held(&self) -> &ChunkSet {
        &self.held
    }

    /// Whether the object is known and all wanted chunks are held.
    pub fn is_complete(&self) -> bool {
        self.known && self.missing.is_none()
    }

    /// Whether the object is known and every chunk of it is held.
    fn is_full(&self) -> bool {
        self.known && self.held.is_full()
    }

    /// Inputs ignored or refused so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Every neighbour, by id; rates are as of the latest input.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourView> + '_ {
        self.table.map.iter().map(|(id, n)| NeighbourView {
            id: *id,
            addr: n.addr,
            listen: n.listen,
            source: n.source,
            rtt: n.rtt,
            near: self.table.is_near(n),
            down_bytes: n.down.total,
            up_bytes: n.up.total,
            down_rate: n.down.rate(self.clock),
            up_rate: n.up.rate(self.clock),
            held: n.held.count(),
            complete: n.is_complete(),
            choked: n.choked,
            interested: n.interested,
            server: self.servers.set.contains_key(id),
            served: n.served.is_some(),
        })
    }

    /// Whether a neighbour counts as near.
    pub fn is_near(&self, peer: NeighbourId) -> bool {
        self.table.get(peer).is_some_and(|n| self.table.is_near(n))
    }

    /// Whether anything follows from the inputs so far, beside what [`Client::poll_timeout`] has announced.
    fn has_news(&self) -> bool {
        self.servers.dirty
            || self.slots_dirty
            || self.showing.dirty
            || self.dial_dirty
            || !self.actions.is_empty()
            || !self.asks.is_empty()
    }

    /// Does what follows from the inputs so far.
    fn settle(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        if self.stopped {
            return;
        }
        if self.servers.dirty {
            self.choose_servers(now);
        }
        if std::mem::take(&mut self.slots_dirty) {
            self.rearrange_slots(now);
        }
        if self.showing.dirty {
            self.show_more(now);
        }
        if self.publisher.due(&self.config).is_some_and(|t| t <= now) {
            let (held, complete, load) = (self.held.clone(), self.is_full(), self.current_load());
            self.actions.push_back(Action::Publish {
                held,
                complete,
                load,
            });
            self.publisher.published(now);
        }
        if std::mem::take(&mut self.dial_dirty) {
            self.dial(now);
        }
        if self.lookup_due().is_some_and(|t| t <= now) {
            self.look_up(now);
        }
        // what `poll_timeout` would compute each time
        self.candidates.refresh();
        self.remember_slots_due();
    }

    fn lookup_due(&self) -> Option<Instant> {
        if self.is_complete() {
            let looking = self.unreachable && self.may_dial().is_some();
            looking
                .then(|| self.lookups.due_unreachable(&self.config))
                .flatten()
        } else {
            self.lookups.due(&self.config, self.need())
        }
    }

    fn look_up(&mut self, now: Instant) {
        let any = self.config.any_first && self.held.is_none();
        let wanted = if self.known && !self.is_complete() && !any {
            Wanted::Chunks(self.missing.clone())
        } else {
            Wanted::Any
        };
        let known = self.table.map.values();
        let mut near: Vec<_> = known
            .filter(|n| self.config.ignore_known && n.allowed)
            .filter_map(|n| n.listen.map(|l| (n.apart.unwrap_or(n.distance()), l)))
            .collect();
        near.sort_unstable();
        let ignore = self
            .lookups
            .ignore(near.into_iter().map(|(_, addr)| addr), now);
        let to_root = self.lookups.begin(&self.config, now);
        let (mut p, mix, ranking) = (self.config.p, self.config.mix, self.config.ranking);
        if self.config.replace_refused {
            // paper 4: "at least"; those that the list has no room for are named again
            let more = self.table.away().saturating_sub(ignore.len());
            p = p.saturating_add(u8::try_from(more).unwrap_or(u8::MAX));
            p = p.min(MAX_P.max(self.config.p));
        }
        self.actions.push_back(Action::LookUp(Query {
            wanted,
            p,
            mix,
            ranking,
            ignore,
            to_root,
        }));
    }
}
