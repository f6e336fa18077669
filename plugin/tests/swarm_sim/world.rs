//! The simulated world: nodes with an uplink each, connections with latency, a directory that knows everybody, and a
//! disk that hashes. It checks on the way what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::{Candidate, Source};
use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::{ConnId, Output, PeerInfo, Swarm, SwarmConfig};
use chunkcast_bittorrent::wire::message::{BlockRef, Handshake, Message};
use chunkcast_bittorrent::wire::stream::Transport;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) use crate::node::{Content, Node};

/// A peer that is not a [`Swarm`]: says what it likes, each message after a delay.
pub(crate) trait Script {
    fn connected(&mut self, conn: ConnId) -> Vec<(Duration, Message)>;
    fn message(&mut self, conn: ConnId, msg: Message, now: Instant) -> Vec<(Duration, Message)>;
    /// What it says a second after this was last called, and to whom.
    fn second(&mut self, _now: Instant) -> Option<(ConnId, Vec<Message>)> {
        None
    }
    /// Whether it has a use for [`Script::second`].
    fn has_clock(&self) -> bool {
        false
    }
    /// Whether it hangs up now.
    fn hangs_up(&self) -> bool {
        false
    }
}

pub(crate) enum Kind {
    Swarm(Box<Node>),
    Script(Box<dyn Script>),
}

enum Event {
    Deliver {
        to: usize,
        conn: ConnId,
        msg: Message,
    },
    Flushed {
        node: usize,
        conn: ConnId,
        bytes: u64,
    },
    Say {
        from: usize,
        conn: ConnId,
        msg: Message,
    },
    Gone {
        node: usize,
        conn: ConnId,
    },
    Verified {
        node: usize,
        piece: u32,
    },
    ReadDone {
        node: usize,
        conn: ConnId,
        block: BlockRef,
    },
    Answer {
        node: usize,
    },
    Second {
        node: usize,
    },
    Connect {
        from: usize,
        addr: SocketAddr,
        source: Source,
    },
}

struct Link {
    ends: [usize; 2],
    last: [Instant; 2],
    open: bool,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) kinds: Vec<Kind>,
    uplink: Vec<(u64, Instant)>,
    reserved: Vec<[u8; 8]>,
    links: BTreeMap<ConnId, Link>,
    events: BTreeMap<(Instant, u64), Event>,
    seq: u64,
    next_conn: u64,
    pub(crate) latency: Duration,
    /// What is added to it for messages from and to these nodes.
    pub(crate) far: BTreeMap<usize, Duration>,
    pub(crate) jitter: Duration,
    pub(crate) rng: ChaCha8Rng,
    /// Whether lookups are answered with everyone who published.
    pub(crate) directory: bool,
}

pub(crate) fn addr_of(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(node + 1).unwrap()], 6881))
}

pub(crate) fn peer_id_of(node: usize) -> [u8; 20] {
    let mut id = *b"-CC0100-000000000000";
    id[19] = b'a' + u8::try_from(node).unwrap();
    id
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            kinds: Vec::new(),
            uplink: Vec::new(),
            reserved: Vec::new(),
            links: BTreeMap::new(),
            events: BTreeMap::new(),
            seq: 0,
            next_conn: 1,
            latency: Duration::from_millis(5),
            far: BTreeMap::new(),
            jitter: Duration::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            directory: true,
        }
    }

    /// Adds a torrent; `held`: `None` for a magnet link.
    pub(crate) fn add(&mut self, content: &Content, held: Option<ChunkSet>) -> usize {
        self.add_with(content, held, None, |_| {})
    }

    pub(crate) fn add_with(
        &mut self,
        content: &Content,
        held: Option<ChunkSet>,
        wanted: Option<ChunkSet>,
        configure: impl FnOnce(&mut SwarmConfig),
    ) -> usize {
        let at = self.kinds.len();
        let mut config = SwarmConfig::new(content.meta.info_hash, peer_id_of(at));
        config.listen_port = 6881;
        configure(&mut config);
        config.limits.validate().unwrap();
        let mut swarm = Swarm::new(config, self.rng.random(), self.now);
        swarm.set_own_addrs(&[addr_of(at)]);
        let mut disk = BTreeMap::new();
        if let Some(held) = held {
            for piece in held.iter() {
                let len = content.meta.layout.piece_len(piece);
                disk.insert(
                    piece,
                    content
                        .block(BlockRef {
                            piece,
                            begin: 0,
                            len,
                        })
                        .to_vec(),
                );
            }
            let wanted = wanted.clone().unwrap_or_else(|| content.full());
            swarm.set_metainfo(content.meta.clone(), held, wanted, self.now);
        }
        let node = Node {
            swarm,
            content: content.clone(),
            disk,
            buffers: BTreeMap::new(),
            finishing: BTreeSet::new(),
            requested: BTreeSet::new(),
            stored_now: Vec::new(),
            complete_at: None,
            closed: Vec::new(),
            sent: Vec::new(),
            keep_sent: false,
            metadata: None,
            index_nodes: Vec::new(),
            dht_nodes: Vec::new(),
            exchanged: Vec::new(),
            published: Vec::new(),
            payload_sent: 0,
            disk_errors: BTreeSet::new(),
            wanted,
        };
        self.kinds.push(Kind::Swarm(Box::new(node)));
        self.uplink.push((2_500_000, self.now));
        self.reserved
            .push(Handshake::ours([0; 20], [0; 20]).reserved);
        self.drain(at);
        at
    }

    /// Adds a scripted peer.
    pub(crate) fn add_script(&mut self, script: impl Script + 'static, fast: bool) -> usize {
        let mut reserved = Handshake::ours([0; 20], [0; 20]).reserved;
        if !fast {
            reserved = [0; 8];
        }
        let node = self.kinds.len();
        if script.has_clock() {
            self.schedule(self.now + Duration::from_secs(1), Event::Second { node });
        }
        self.kinds.push(Kind::Script(Box::new(script)));
        self.uplink.push((2_500_000, self.now));
        self.reserved.push(reserved);
        node
    }

    pub(crate) fn node(&mut self, at: usize) -> &mut Node {
        match &mut self.kinds[at] {
            Kind::Swarm(node) => node,
            Kind::Script(_) => panic!("node {at} is scripted"),
        }
    }

    /// The node's handshakes say that it has a DHT node.
    pub(crate) fn offer_dht(&mut self, node: usize) {
        self.reserved[node][7] |= 0x01;
    }

    /// Bytes per second that `node` can send.
    pub(crate) fn set_uplink(&mut self, node: usize, rate: u64) {
        self.uplink[node].0 = rate;
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.seq += 1;
        self.events.insert((at, self.seq), event);
    }

    /// Connects two nodes of which neither says that it knows the Fast extension; `a` dialled.
    pub(crate) fn connect_without_fast(&mut self, a: usize, b: usize) -> ConnId {
        let before = [self.reserved[a], self.reserved[b]];
        for n in [a, b] {
            self.reserved[n][7] = 0;
        }
        let conn = self.connect(a, b);
        [self.reserved[a], self.reserved[b]] = before;
        conn
    }

    /// Connects two nodes; `a` dialled.
    pub(crate) fn connect(&mut self, a: usize, b: usize) -> ConnId {
        self.connect_as(a, b, Source::Manual)
    }

    fn connect_as(&mut self, a: usize, b: usize, source: Source) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.links.insert(
            conn,
            Link {
                ends: [a, b],
                last: [self.now; 2],
                open: true,
            },
        );
        let rtt = self.latency_between([a, b]) * 2;
        for (me, other, outbound) in [(a, b, true), (b, a, false)] {
            let handshake = Handshake {
                reserved: self.reserved[other],
                info_hash: self.info_hash(),
                peer_id: peer_id_of(other),
            };
            let mut addr = addr_of(other);
            if !outbound {
                addr.set_port(40_000 + u16::try_from(conn.0 % 20_000).unwrap());
            }
            let info = PeerInfo {
                addr,
                outbound,
                source: if outbound { source } else { Source::Incoming },
                rtt: outbound.then_some(rtt),
                transport: Transport::Tcp,
                encrypted: false,
                handshake,
            };
            let now = self.now;
            match &mut self.kinds[me] {
                Kind::Swarm(node) => {
                    node.swarm.handle_connected(conn, info, now);
                    self.drain(me);
                }
                Kind::Script(script) => {
                    let says = script.connected(conn);
                    self.say(me, conn, says);
                }
            }
        }
        conn
    }

    /// One way.
    fn latency_between(&self, ends: [usize; 2]) -> Duration {
        ends.iter()
            .filter_map(|n| self.far.get(n))
            .fold(self.latency, |sum, more| sum + *more)
    }

    fn info_hash(&self) -> [u8; 20] {
        let found = self.kinds.iter().find_map(|k| match k {
            Kind::Swarm(node) => Some(node.content.meta.info_hash),
            Kind::Script(_) => None,
        });
        found.unwrap()
    }

    /// Cuts a connection; both ends hear of it.
    pub(crate) fn cut(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn).filter(|l| l.open) else {
            return;
        };
        link.open = false;
        let ends = link.ends;
        for node in ends {
            self.schedule(self.now + self.latency, Event::Gone { node, conn });
        }
    }

    fn say(&mut self, from: usize, conn: ConnId, says: Vec<(Duration, Message)>) {
        for (delay, msg) in says {
            self.schedule(self.now + delay, Event::Say { from, conn, msg });
        }
    }

    /// Puts a message on the wire.
    pub(crate) fn transmit(&mut self, from: usize, conn: ConnId, msg: Message) {
        let jitter = self.rng.random_range(0..=self.jitter.as_micros() as u64);
        let ends = self.links.get(&conn).map(|l| l.ends);
        let latency = self.latency_between(ends.unwrap_or_default());
        let Some(link) = self.links.get_mut(&conn).filter(|l| l.open) else {
            return;
        };
        let (rate, free) = &mut self.uplink[from];
        let (size, payload) = match &msg {
            Message::Piece { data, .. } => (data.len() as u64 + 13, data.len() as u64),
            Message::Bitfield(bits) => (bits.len() as u64 + 5, 0),
            Message::Extended { payload, .. } => (payload.len() as u64 + 6, 0),
            _ => (17, 0),
        };
        let departs = (*free).max(self.now) + Duration::from_micros(size * 1_000_000 / *rate);
        *free = departs;
        let side = usize::from(link.ends[1] == from);
        let arrives = departs + latency + Duration::from_micros(jitter);
        let arrives = arrives.max(link.last[side]);
        link.last[side] = arrives;
        let to = link.ends[1 - side];
        if payload > 0 {
            if let Kind::Swarm(node) = &mut self.kinds[from] {
                node.payload_sent += payload;
            }
            self.schedule(
                departs,
                Event::Flushed {
                    node: from,
                    conn,
                    bytes: payload,
                },
            );
        }
        self.schedule(arrives, Event::Deliver { to, conn, msg });
    }

    /// Does what a node wants done and checks it.
    pub(crate) fn drain(&mut self, at: usize) {
        loop {
            let now = self.now;
            let delay = Duration::from_micros(self.rng.random_range(100..3000));
            let node = self.node(at);
            let Some(output) = node.swarm.poll_output() else {
                break;
            };
            match output {
                Output::Send { conn, msg } => {
                    node.check_sent(conn, &msg);
                    if node.keep_sent {
                        node.sent.push((conn, msg.clone()));
                    }
                    self.transmit(at, conn, msg);
                }
                Output::Close { conn, reason } => {
                    node.closed.push((conn, reason));
                    if let Some(link) = self.links.get_mut(&conn).filter(|l| l.open) {
                        link.open = false;
                        let other = link.ends[usize::from(link.ends[0] == at)];
                        self.schedule(now + self.latency, Event::Gone { node: other, conn });
                    }
                }
                Output::Dial { addr, source } => {
                    let at_time = now + self.latency * 2;
                    self.schedule(
                        at_time,
                        Event::Connect {
                            from: at,
                            addr,
                            source,
                        },
                    );
                }
                Output::Store { piece, begin, data } => {
                    node.stored_now.push((piece, begin, data.clone()));
                    let old = node.buffers.entry(piece).or_default().insert(begin, data);
                    assert!(old.is_none(), "block {piece}/{begin} stored twice");
                    assert!(
                        !node.disk.contains_key(&piece),
                        "a block of a held piece stored"
                    );
                }
                Output::Finish { piece } => {
                    assert!(node.finishing.insert(piece), "piece {piece} finished twice");
                    self.schedule(now + delay, Event::Verified { node: at, piece });
                }
                Output::Discard { piece } => {
                    node.buffers.remove(&piece);
                }
                Output::Read { conn, block } => {
                    assert!(
                        node.disk.contains_key(&block.piece),
                        "read of a piece that is not held"
                    );
                    self.schedule(
                        now + delay,
                        Event::ReadDone {
                            node: at,
                            conn,
                            block,
                        },
                    );
                }
                Output::LookUp(_) => self.schedule(now + delay, Event::Answer { node: at }),
                Output::Publish { held, .. } => {
                    assert!(
                        held.iter().all(|p| node.disk.contains_key(&p)),
                        "published too early"
                    );
                    node.published.push(held);
                }
                Output::Metadata(info) => {
                    assert_eq!(info, node.content.meta.info);
                    assert!(node.metadata.is_none(), "metadata twice");
                    node.metadata = Some(info);
                    let wanted = node.wanted.clone().unwrap_or_else(|| node.content.full());
                    let (meta, none) = (node.content.meta.clone(), node.content.none());
                    node.swarm.set_metainfo(meta, none, wanted, now);
                }
                Output::IndexNode(addr) => node.index_nodes.push(addr),
                Output::DhtNode(addr) => node.dht_nodes.push(addr),
                Output::Introduced { conn, addrs } => {
                    node.swarm.handle_introduced(conn, &addrs, now);
                }
                Output::Exchanged(addrs) => {
                    let peers: Vec<_> = addrs.iter().map(|a| candidate(*a, Source::Pex)).collect();
                    node.exchanged.extend(addrs);
                    node.swarm.handle_candidates(&peers, now);
                }
                Output::PieceDone { piece } => assert!(node.disk.contains_key(&piece)),
                Output::Complete => {
                    assert!(node.complete_at.is_none(), "complete twice");
                    node.complete_at = Some(now);
                }
            }
        }
    }

    /// The next event; whether there was one before `until`.
    fn step(&mut self, until: Instant) -> bool {
        let timer = (0..self.kinds.len())
            .filter_map(|i| match &self.kinds[i] {
                Kind::Swarm(node) => node.swarm.poll_timeout().map(|t| (t, i)),
                Kind::Script(_) => None,
            })
            .min();
        let event = self.events.keys().next().copied();
        match (timer, event) {
            (Some((t, at)), e) if e.is_none_or(|(when, _)| t <= when) && t <= until => {
                self.now = self.now.max(t);
                let now = self.now;
                self.node(at).swarm.handle_timeout(now);
                let again = self.node(at).swarm.poll_timeout();
                assert!(
                    again.is_none_or(|again| again > t),
                    "a timer of {at} does not advance"
                );
                self.drain(at);
                true
            }
            (_, Some(key)) if key.0 <= until => {
                self.now = self.now.max(key.0);
                let event = self.events.remove(&key).unwrap();
                self.happen(event);
                true
            }
            _ => {
                self.now = until;
                false
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Deliver { to, conn, msg } => match &mut self.kinds[to] {
                Kind::Swarm(node) => {
                    node.stored_now.clear();
                    let block = match &msg {
                        Message::Piece { piece, begin, data } => {
                            Some((*piece, *begin, data.clone()))
                        }
                        _ => None,
                    };
                    node.swarm.handle_message(conn, msg, now);
                    self.drain(to);
                    self.node(to).check_stored(conn, block);
                }
                Kind::Script(script) => {
                    let says = script.message(conn, msg, now);
                    let hangs_up = script.hangs_up();
                    self.say(to, conn, says);
                    if hangs_up {
                        self.cut(conn);
                    }
                }
            },
            Event::Flushed { node, conn, bytes } => {
                if let Kind::Swarm(n) = &mut self.kinds[node] {
                    n.swarm.handle_flushed(conn, bytes, now);
                    self.drain(node);
                }
            }
            Event::Say { from, conn, msg } => self.transmit(from, conn, msg),
            Event::Gone { node, conn } => {
                if let Kind::Swarm(n) = &mut self.kinds[node] {
                    n.swarm.handle_disconnected(conn, now);
                    self.drain(node);
                }
            }
            Event::Verified { node, piece } => {
                let n = self.node(node);
                n.finishing.remove(&piece);
                let result = n.verify(piece);
                n.swarm.handle_piece_result(piece, result, now);
                self.drain(node);
            }
            Event::ReadDone { node, conn, block } => {
                let n = self.node(node);
                let from = block.begin as usize;
                let data = n
                    .disk
                    .get(&block.piece)
                    .map(|d| &d[from..from + block.len as usize]);
                let data = data.map(Bytes::copy_from_slice);
                n.swarm.handle_block_read(conn, block, data, now);
                self.drain(node);
            }
            Event::Second { node } => {
                if let Kind::Script(script) = &mut self.kinds[node] {
                    let says = script.second(now);
                    self.schedule(now + Duration::from_secs(1), Event::Second { node });
                    if let Some((conn, says)) = says {
                        says.into_iter()
                            .for_each(|msg| self.transmit(node, conn, msg));
                    }
                }
            }
            Event::Answer { node } => {
                let peers: Vec<Candidate> = (0..self.kinds.len())
                    .filter(|i| *i != node && self.directory && self.is_listed(*i))
                    .map(|i| candidate(addr_of(i), Source::Directory))
                    .collect();
                self.node(node).swarm.handle_answer(&peers, now);
                self.drain(node);
            }
            Event::Connect { from, addr, source } => {
                match (0..self.kinds.len()).find(|i| addr_of(*i) == addr) {
                    Some(to) => {
                        self.connect_as(from, to, source);
                    }
                    None => {
                        self.node(from).swarm.handle_dial_failed(addr, now);
                        self.drain(from);
                    }
                }
            }
        }
    }

    fn is_listed(&self, at: usize) -> bool {
        match &self.kinds[at] {
            Kind::Swarm(node) => !node.published.is_empty(),
            Kind::Script(_) => true,
        }
    }

    /// Runs until `done`, at most `limit` of virtual time; whether it came to that.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut World) -> bool,
    ) -> bool {
        let until = self.now + limit;
        while !done(self) {
            if !self.step(until) {
                return done(self);
            }
        }
        true
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Runs until all of `nodes` are complete and checks every byte.
    pub(crate) fn complete(&mut self, nodes: &[usize], limit: Duration) {
        let all = |w: &mut World| nodes.iter().all(|n| w.node(*n).complete_at.is_some());
        let in_time = self.run_until(limit, all);
        for &at in nodes {
            let node = self.node(at);
            let stats = node.swarm.stats();
            assert!(in_time, "node {at} not complete in {limit:?}: {stats:#?}");
            node.check_bytes();
            assert!(node.swarm.is_complete());
        }
    }
}

pub(crate) fn candidate(addr: SocketAddr, source: Source) -> Candidate {
    Candidate {
        addrs: vec![addr],
        source,
        apart: None,
        matched: 0,
        load: 0,
        reachable: true,
    }
}
