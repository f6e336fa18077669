//! A peer that runs the shipped client policy, [`Client`].
//!
//! Connections are opened and closed as over TCP: a dial costs a round trip, the first chunk on a connection one more
//! (slow start). A server has one request under way at a time; the next is sent when the chunk has come.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::core::{Core, Input, Message, TIMEOUT};
use super::world::Peer;
use crate::chunks::ChunkSet;
use crate::client::{
    Action, Candidate, Client, ClientConfig, Connected, NeighbourId, Ranking, Reveal, Source,
    Verdict, Wanted,
};
use crate::id::ObjectId;
use crate::node::LookupRequest;
use crate::time::Instant;
use crate::wire;

/// The client's timeout.
const WAKE: u64 = 0;

#[derive(Debug)]
struct Conn {
    peer: usize,
    /// Told everything, and every chunk that comes.
    all: bool,
    /// We have sent a chunk on it.
    warm: bool,
    asked: Option<u32>,
    /// What it holds, for not telling it what it has.
    complete: bool,
}

/// See the module.
pub(super) struct ClientPeer {
    me: usize,
    object: ObjectId,
    client: Client,
    dialled: BTreeMap<u64, SocketAddr>,
    opening: BTreeMap<u64, (usize, Instant)>,
    conns: BTreeMap<u64, Conn>,
    lookup: Option<u64>,
    wake: Option<Instant>,
}

impl ClientPeer {
    pub(super) fn new(
        me: usize,
        object: ObjectId,
        config: ClientConfig,
        seed: u64,
        now: Instant,
        addr: SocketAddr,
    ) -> Self {
        let mut client = Client::new(config, seed, now);
        client.set_own_addrs(&[addr]);
        Self {
            me,
            object,
            client,
            dialled: BTreeMap::new(),
            opening: BTreeMap::new(),
            conns: BTreeMap::new(),
            lookup: None,
            wake: None,
        }
    }

    /// Whether the client may have something to do now.
    fn message(&mut self, from: usize, message: Message, core: &mut Core) -> bool {
        let now = core.now();
        match message {
            Message::Open(conn) => {
                let info = Connected {
                    addr: SocketAddr::new(core.addr(from).ip(), 40_000),
                    listen: Some(core.addr(from)),
                    outbound: false,
                    rtt: None,
                    source: Source::Incoming,
                };
                self.conns.insert(conn, Conn::new(from));
                if self.client.handle_connected(NeighbourId(conn), info, now) == Verdict::Keep {
                    core.send(self.me, from, Message::Opened(conn));
                } else {
                    self.conns.remove(&conn);
                    core.send(self.me, from, Message::Close(conn));
                }
            }
            Message::Opened(conn) => {
                let Some((peer, began)) = self.opening.remove(&conn) else {
                    return true;
                };
                self.dialled.remove(&conn);
                let info = Connected {
                    addr: core.addr(peer),
                    listen: Some(core.addr(peer)),
                    outbound: true,
                    rtt: Some(now - began),
                    source: Source::Directory,
                };
                self.conns.insert(conn, Conn::new(peer));
                if self.client.handle_connected(NeighbourId(conn), info, now) == Verdict::Keep {
                    core.send(self.me, peer, Message::Ready(conn));
                } else {
                    self.conns.remove(&conn);
                    core.send(self.me, peer, Message::Close(conn));
                }
            }
            // what the dialler says first tells the round-trip time
            Message::Ready(conn) => {
                if self.conns.contains_key(&conn) {
                    let rtt = core.rtt(self.me, from);
                    self.client.handle_rtt(NeighbourId(conn), rtt, now);
                }
            }
            Message::Close(conn) => self.closed(conn, now),
            Message::Chunks(conn, held) => {
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.complete = held.is_full();
                    self.client.handle_chunks(NeighbourId(conn), &held, now);
                }
            }
            // most messages are these, and most change nothing; the client itself ignores a neighbour that is gone
            Message::Have(conn, chunk) => {
                return self.client.handle_have(NeighbourId(conn), chunk, now);
            }
            Message::Interested(conn, yes) => {
                if self.conns.contains_key(&conn) {
                    self.client.handle_interested(NeighbourId(conn), yes, now);
                }
            }
            Message::Serve(conn, yes) => {
                if self.conns.contains_key(&conn) {
                    self.client.handle_choked(NeighbourId(conn), !yes, now);
                }
            }
            Message::Request(conn, chunk) => self.requested(from, conn, chunk, core),
            Message::Busy(conn, chunk) => self.refused(conn, chunk, core),
            Message::Status(conn, fetching, load) => {
                if self.conns.contains_key(&conn) {
                    self.client.handle_load(NeighbourId(conn), load, now);
                    self.client
                        .handle_fetching(NeighbourId(conn), &fetching, now);
                }
            }
            Message::Introduce(conn, addrs) => {
                if self.conns.contains_key(&conn) {
                    self.client
                        .handle_introduced(NeighbourId(conn), &addrs, now);
                }
            }
        }
        true
    }

    fn closed(&mut self, conn: u64, now: Instant) {
        if let Some(addr) = self.dialled.remove(&conn) {
            self.opening.remove(&conn);
            self.client.handle_dial_failed(addr, now);
        }
        if self.conns.remove(&conn).is_some() {
            self.client.handle_disconnected(NeighbourId(conn), now);
        }
    }

    /// A neighbour asks for a chunk: it is served now or refused at once.
    fn requested(&mut self, from: usize, conn: u64, chunk: u32, core: &mut Core) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let peer = NeighbourId(conn);
        if self.client.held().contains(chunk) && self.client.admits(peer, chunk) {
            self.client.handle_upload_started(peer, chunk, core.now());
            let fresh = !std::mem::replace(&mut c.warm, true);
            core.upload(self.me, from, conn, chunk, fresh);
        } else {
            core.tally.refused += 1;
            core.send(self.me, from, Message::Busy(conn, chunk));
        }
    }

    fn refused(&mut self, conn: u64, chunk: u32, core: &mut Core) {
        let now = core.now();
        if let Some(c) = self.conns.get_mut(&conn) {
            c.asked = None;
            self.client.handle_refused(NeighbourId(conn), chunk, now);
        }
    }

    fn chunk(&mut self, conn: u64, chunk: u32, core: &mut Core) {
        let now = core.now();
        let bytes = core.plan.chunk_bytes;
        if self.client.held().contains(chunk) {
            core.tally.duplicate_bytes += bytes;
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            c.asked = None;
            self.client.handle_received(NeighbourId(conn), bytes, now);
        }
        let new = !self.client.held().contains(chunk);
        self.client.handle_chunk_done(chunk, now);
        if new {
            for (conn, c) in &self.conns {
                if c.all && !c.complete {
                    core.send(self.me, c.peer, Message::Have(*conn, chunk));
                }
            }
        }
        if self.conns.contains_key(&conn) {
            self.ask(conn, core);
        }
        if self.client.is_complete() {
            core.completed(self.me);
        }
    }

    /// Fetches the next chunk of a server that has nothing to do.
    fn ask(&mut self, conn: u64, core: &mut Core) {
        let idle = self.conns.get(&conn).is_some_and(|c| c.asked.is_none());
        if idle && let Some(chunk) = self.client.next_chunk(NeighbourId(conn), core.now()) {
            let c = self.conns.get_mut(&conn).expect("it was there");
            c.asked = Some(chunk);
            core.send(self.me, c.peer, Message::Request(conn, chunk));
        }
    }

    fn drain(&mut self, core: &mut Core) {
        while let Some(action) = self.client.poll_action() {
            self.act(action, core);
        }
        let now = core.now();
        if let Some(at) = self.client.poll_timeout()
            && self.wake.is_none_or(|planned| at < planned)
        {
            let at = at.max(now);
            self.wake = Some(at);
            core.at(self.me, at, Input::Alarm(WAKE));
        }
    }

    fn act(&mut self, action: Action, core: &mut Core) {
        let now = core.now();
        match action {
            Action::LookUp(query) => {
                let request = LookupRequest {
                    object: self.object,
                    wanted: match query.wanted {
                        Wanted::Any => wire::Wanted::Any,
                        Wanted::Chunks(set) => wire::Wanted::Chunks(set),
                    },
                    p: query.p,
                    mix: query.mix,
                    ranking: match query.ranking {
                        Ranking::Overlap => wire::Ranking::Overlap,
                        Ranking::Closeness => wire::Ranking::Closeness,
                        Ranking::Hybrid => wire::Ranking::Hybrid,
                    },
                    asker: wire::PeerAddrs::from(core.addr(self.me)),
                    ignore: query.ignore,
                    to_root: query.to_root,
                    trace: false,
                };
                self.lookup = Some(core.lookup(self.me, request));
            }
            Action::Publish {
                held,
                complete,
                load,
            } => {
                let chunks = core.plan.chunks;
                core.publish(self.me, self.object, chunks, held, complete, load);
            }
            Action::Dial { addr, .. } => {
                let conn = core.fresh();
                self.dialled.insert(conn, addr);
                match core.peer_at(addr) {
                    Some(peer) => {
                        self.opening.insert(conn, (peer, now));
                        core.send(self.me, peer, Message::Open(conn));
                    }
                    // nobody answers
                    None => {
                        let from = self.me;
                        let message = Message::Close(conn);
                        core.at(from, now + TIMEOUT, Input::Message { from, message });
                    }
                }
            }
            Action::Drop { peer, .. } => {
                if let Some(c) = self.conns.remove(&peer.0) {
                    core.send(self.me, c.peer, Message::Close(peer.0));
                }
            }
            Action::Interest { peer, interested } => {
                self.say(peer, Message::Interested(peer.0, interested), core)
            }
            Action::Serve { peer, serve } => self.say(peer, Message::Serve(peer.0, serve), core),
            Action::Ask { peer } => self.ask(peer.0, core),
            Action::Stop { .. } => {}
            Action::Tell { peer } => {
                let (fetching, load) = (self.client.fetching(), self.client.current_load());
                self.say(peer, Message::Status(peer.0, fetching, load), core);
            }
            Action::Introduce { peer } => {
                let addrs = self.client.introductions(peer);
                self.say(peer, Message::Introduce(peer.0, addrs), core);
            }
            Action::Reveal { peer, what } => {
                let message = match what {
                    Reveal::All => {
                        if let Some(c) = self.conns.get_mut(&peer.0) {
                            c.all = true;
                        }
                        Message::Chunks(peer.0, self.client.held().clone())
                    }
                    Reveal::Chunk(chunk) => Message::Have(peer.0, chunk),
                };
                self.say(peer, message, core);
            }
        }
    }

    fn say(&self, peer: NeighbourId, message: Message, core: &mut Core) {
        if let Some(c) = self.conns.get(&peer.0) {
            core.send(self.me, c.peer, message);
        }
    }
}

impl Conn {
    fn new(peer: usize) -> Self {
        Self {
            peer,
            all: false,
            warm: false,
            asked: None,
            complete: false,
        }
    }
}

impl Peer for ClientPeer {
    fn handle(&mut self, input: Input, core: &mut Core) {
        let now = core.now();
        match input {
            Input::Start => {
                let chunks = core.plan.chunks;
                let held = if self.me == 0 {
                    ChunkSet::full(chunks)
                } else {
                    ChunkSet::empty(chunks)
                };
                self.client.set_object(held, ChunkSet::full(chunks), now);
            }
            Input::Alarm(WAKE) => {
                if self.wake == Some(now) {
                    self.wake = None;
                    if self.client.poll_timeout().is_some_and(|at| at <= now) {
                        self.client.handle_timeout(now);
                    }
                }
            }
            Input::Alarm(_) => {}
            Input::Message { from, message } => {
                if !self.message(from, message, core) {
                    return;
                }
            }
            Input::Chunk { conn, chunk, .. } => self.chunk(conn, chunk, core),
            Input::Sent { conn, chunk } => {
                let peer = NeighbourId(conn);
                let bytes = core.plan.chunk_bytes;
                self.client.handle_upload_ended(peer, chunk, now);
                self.client.handle_sent(peer, bytes, now);
                self.client.handle_chunk_sent(peer, chunk, now);
            }
            Input::Found { id, result } => {
                if self.lookup == Some(id) {
                    self.lookup = None;
                    self.found(result, core);
                }
            }
            Input::Gone { peer } => {
                let conns = self.conns.iter().filter(|(_, c)| c.peer == peer);
                let opening = self.opening.iter().filter(|(_, o)| o.0 == peer);
                let all: Vec<u64> = conns.map(|c| *c.0).chain(opening.map(|o| *o.0)).collect();
                for conn in all {
                    self.closed(conn, now);
                }
            }
        }
        self.drain(core);
    }

    fn held(&self) -> u32 {
        self.client.held().count()
    }
}

impl ClientPeer {
    fn found(&mut self, result: Result<wire::Found, crate::node::LookupError>, core: &mut Core) {
        let now = core.now();
        let Ok(found) = result else {
            return self.client.handle_no_answer(now);
        };
        let coord = core.coord(self.me);
        let candidates: Vec<Candidate> = found
            .matches
            .iter()
            .map(|m| Candidate {
                addrs: m.addrs.iter().collect(),
                source: Source::Directory,
                apart: coord.map(|c| c.apart(&m.coord)),
                matched: m.matched,
                load: m.load,
                reachable: m.reachable,
            })
            .collect();
        if found.loaded {
            self.client.handle_loaded_answer(&candidates, now);
        } else {
            self.client.handle_answer(&candidates, now);
        }
    }
}
