//! Hosts and the links between them, and everything that happens there, in one order.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::queue::Queue;
use super::topology::Topology;
use crate::id::Id;
use crate::node::{Command, ConfigError, DialId, Event, Node, NodeConfig, Traffic};
use crate::time::Instant;

/// First port of a host; each node that lives there takes the next one.
const FIRST_PORT: u16 = 7_000;
/// How long a NAT lets answers in.
const NAT_HOLD: Duration = Duration::from_secs(60); // RFC 4787 asks for 120; many do less
/// How long a dial waits for a host that says nothing.
const DIAL_PATIENCE: Duration = Duration::from_secs(3); // as the driver
/// IP and UDP headers of a datagram.
const HEADERS: u64 = 28;

/// How links treat datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Links {
    /// Share of datagrams that are lost, 0.0 ..= 1.0.
    pub loss: f64,
    /// Mean of the exponential extra delay, as a share of the one-way latency.
    pub jitter: f64,
    /// Share of datagrams that are held back by up to 100 ms, so that later ones overtake them.
    pub reorder: f64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// See [`Happening`].
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A node told its owner something.
    Event {
        /// Where the node lives.
        place: usize,
        /// What it said.
        event: Event,
    },
    /// An alarm rings; see [`Net::alarm`].
    Alarm(u64),
}

/// Datagrams and bytes by kind of message.
pub type Totals = BTreeMap<&'static str, Traffic>;

#[derive(Debug)]
enum Due {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        payload: Vec<u8>,
    },
    Wake(usize),
    Alarm(u64),
    Dialled {
        place: usize,
        id: DialId,
        to: SocketAddr,
    },
}

#[derive(Debug)]
struct Host {
    node: Option<Box<Node>>,
    member: bool,
    addr: SocketAddr,
    /// The earliest wake-up in the queue.
    wake: Option<Instant>,
    /// Whom it wrote to, if it is behind a NAT.
    nat: Option<BTreeMap<SocketAddr, Instant>>,
    group: u8,
}

/// Hosts on a [`Topology`], one node at each place at most.
#[derive(Debug)]
pub struct Net {
    now: Instant,
    topology: Topology,
    /// How links treat datagrams from now on.
    pub links: Links,
    hosts: Vec<Host>,
    queue: Queue<Due>,
    happened: VecDeque<Happening>,
    /// Living index nodes that have joined.
    members: BTreeMap<Id, usize>,
    /// What nodes sent that are gone.
    retired: Totals,
    sent: u64,
    digest: u64,
    rng: ChaCha8Rng,
}

impl Net {
    /// An empty net; `seed` decides everything that is random in it.
    pub fn new(topology: Topology, links: Links, seed: u64) -> Self {
        let host = |place| Host {
            node: None,
            member: false,
            addr: addr(place, FIRST_PORT),
            wake: None,
            nat: None,
            group: 0,
        };
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: (0..topology.len()).map(host).collect(),
            topology,
            links,
            queue: Queue::new(),
            happened: VecDeque::new(),
            members: BTreeMap::new(),
            retired: Totals::new(),
            sent: 0,
            digest: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Where places are.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Starts a node at a free place, under an address that nobody had before.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is out of range.
    ///
    /// # Panics
    /// If the place is taken or not in the topology.
    pub fn spawn(&mut self, place: usize, config: NodeConfig) -> Result<SocketAddr, ConfigError> {
        let port = self.hosts[place].addr.port();
        self.start(place, config, port.checked_add(1).unwrap_or(FIRST_PORT))
    }

    /// Starts a node at a free place, under the address that the last one there had.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is out of range.
    ///
    /// # Panics
    /// If the place is taken or not in the topology.
    pub fn restart(&mut self, place: usize, config: NodeConfig) -> Result<SocketAddr, ConfigError> {
        self.start(place, config, self.hosts[place].addr.port())
    }

    fn start(
        &mut self,
        place: usize,
        config: NodeConfig,
        port: u16,
    ) -> Result<SocketAddr, ConfigError> {
        let node = Node::new(config, self.rng.random(), self.now)?;
        let host = &mut self.hosts[place];
        assert!(host.node.is_none(), "place {place} is taken");
        *host = Host {
            node: Some(Box::new(node)),
            member: false,
            addr: addr(place, port),
            wake: None,
            nat: host.nat.as_ref().map(|_| BTreeMap::new()),
            group: host.group,
        };
        let addr = host.addr;
        self.drain(place);
        Ok(addr)
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, place: usize) {
        let host = &mut self.hosts[place];
        if let Some(node) = host.node.take() {
            if host.member {
                self.members.remove(&node.id());
            }
            host.member = false;
            for (kind, traffic) in &node.counters().sent {
                add(&mut self.retired, kind, traffic);
            }
        }
    }

    /// The node at a place.
    pub fn node(&self, place: usize) -> Option<&Node> {
        self.hosts[place].node.as_deref()
    }

    /// Address of the node at a place (the last one's, if none lives there).
    pub fn addr(&self, place: usize) -> SocketAddr {
        self.hosts[place].addr
    }

    /// The place of an address, if the node under that address lives.
    pub fn place_of(&self, addr: SocketAddr) -> Option<usize> {
        let IpAddr::V4(ip) = addr.ip() else {
            return None;
        };
        let place = usize::try_from(u32::from(ip) & 0x00ff_ffff).ok()?;
        let host = self.hosts.get(place)?;
        (host.node.is_some() && host.addr == addr).then_some(place)
    }

    /// Living index nodes that have joined, by id, and where they live.
    pub fn members(&self) -> &BTreeMap<Id, usize> {
        &self.members
    }

    /// Where the true root of a key lives: the member that is nearest to it.
    pub fn root_of(&self, key: &Id) -> Option<usize> {
        let ends = [
            self.members.range(key..).next(),
            self.members.range(..=key).next_back(),
            self.members.first_key_value(),
            self.members.last_key_value(),
        ];
        let best = ends
            .into_iter()
            .flatten()
            .reduce(|a, b| if key.prefers(a.0, b.0) { a } else { b });
        best.map(|(_, place)| *place)
    }

    /// Puts a place behind a NAT: only addresses that were written to in the last minute get through.
    pub fn set_nat(&mut self, place: usize) {
        self.hosts[place].nat = Some(BTreeMap::new());
    }

    /// Puts a place into a group: datagrams between groups are lost. Everyone begins in group 0.
    pub fn set_group(&mut self, place: usize, group: u8) {
        self.hosts[place].group = group;
    }

    /// Gives the node at a place a command; nothing happens if none lives there.
    pub fn command(&mut self, place: usize, command: Command) {
        if let Some(node) = &mut self.hosts[place].node {
            node.handle_command(command, self.now);
            self.drain(place);
        }
    }

    /// [`What::Alarm`] happens `after` now.
    pub fn alarm(&mut self, after: Duration, token: u64) {
        self.queue.push(self.now + after, Due::Alarm(token));
    }

    /// The next happening, or `None` at `end`.
    pub fn next(&mut self, end: Instant) -> Option<Happening> {
        loop {
            if let Some(happening) = self.happened.pop_front() {
                return Some(happening);
            }
            let Some((at, due)) = self.queue.pop(end) else {
                self.now = self.now.max(end);
                return None;
            };
            self.now = at;
            match due {
                Due::Datagram { from, to, payload } => self.arrive(from, to, &payload),
                Due::Wake(place) => self.wake(place),
                Due::Dialled { place, id, to } => self.dialled(place, id, to),
                Due::Alarm(token) => self.happened.push_back(Happening {
                    at,
                    what: What::Alarm(token),
                }),
            }
        }
    }

    /// Lets time pass, whatever happens.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next(end).is_some() {}
    }

    /// Lets a datagram arrive now, from wherever.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.arrive(from, to, payload);
    }

    /// What all nodes together have sent, by kind of message.
    pub fn totals(&self) -> Totals {
        let mut totals = self.retired.clone();
        for node in self.hosts.iter().filter_map(|h| h.node.as_ref()) {
            for (kind, traffic) in &node.counters().sent {
                add(&mut totals, kind, traffic);
            }
        }
        totals
    }

    /// Datagrams sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// A digest of every datagram sent so far, its time and its ends: two runs are the same if it is.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The net's source of randomness, for whoever drives it.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let Some(place) = self.place_of(to) else {
            return;
        };
        let host = &mut self.hosts[place];
        if let Some(nat) = &host.nat
            && nat.get(&from).is_none_or(|at| self.now - *at > NAT_HOLD)
        {
            return;
        }
        if let Some(node) = &mut host.node {
            node.handle_datagram(from, payload, self.now);
            self.drain(place);
        }
    }

    fn wake(&mut self, place: usize) {
        let now = self.now;
        let host = &mut self.hosts[place];
        if host.wake != Some(now) {
            return; // of a node that is gone, or of a plan that has changed
        }
        host.wake = None;
        if let Some(node) = &mut host.node {
            if node.poll_timeout().is_some_and(|at| at <= now) {
                node.handle_timeout(now);
                debug_assert!(
                    node.poll_timeout().is_none_or(|at| at > now),
                    "a node that is never done"
                );
            }
            self.drain(place);
        }
    }

    fn drain(&mut self, place: usize) {
        while let Some(out) = self.hosts[place]
            .node
            .as_mut()
            .and_then(|n| n.poll_transmit())
        {
            self.transmit(place, out.to, out.payload);
        }
        let mut dials = Vec::new();
        let host = &mut self.hosts[place];
        let Some(node) = &mut host.node else { return };
        while let Some(event) = node.poll_event() {
            match event {
                Event::Joined if node.is_index() => {
                    if std::mem::replace(&mut host.member, true) {
                        self.members.retain(|_, p| *p != place); // it has moved
                    }
                    self.members.insert(node.id(), place);
                }
                Event::Role { index: false } if host.member => {
                    host.member = false;
                    self.members.remove(&node.id());
                }
                Event::Dial { id, addr } => dials.push((id, addr)),
                _ => {}
            }
            self.happened.push_back(Happening {
                at: self.now,
                what: What::Event { place, event },
            });
        }
        // A wake-up that turns out to be early costs less than taking it out of the queue.
        if let Some(at) = node.poll_timeout()
            && host.wake.is_none_or(|planned| at < planned)
        {
            let at = at.max(self.now);
            host.wake = Some(at);
            self.queue.push(at, Due::Wake(place));
        }
        for (id, to) in dials {
            let took = match self.host_of(to.ip()) {
                Some(there) => self.topology.rtt(place, there),
                None => DIAL_PATIENCE,
            };
            self.queue
                .push(self.now + took, Due::Dialled { place, id, to });
        }
    }

    /// The place of a living host.
    fn host_of(&self, ip: IpAddr) -> Option<usize> {
        let IpAddr::V4(ip) = ip else {
            return None;
        };
        let place = usize::try_from(u32::from(ip) & 0x00ff_ffff).ok()?;
        let host = self.hosts.get(place)?;
        host.node.is_some().then_some(place)
    }

    /// A dial has ended: every port of a host that lives, is no NAT's and in the same group is open.
    fn dialled(&mut self, place: usize, id: DialId, to: SocketAddr) {
        let group = self.hosts[place].group;
        let there = self.host_of(to.ip()).map(|there| &self.hosts[there]);
        let reached = there.is_some_and(|host| host.nat.is_none() && host.group == group);
        self.command(place, Command::Dialled { id, reached });
    }

    fn transmit(&mut self, place: usize, to: SocketAddr, payload: Vec<u8>) {
        self.sent += 1;
        self.note(place, to, &payload);
        let now = self.now;
        let host = &mut self.hosts[place];
        let (from, group) = (host.addr, host.group);
        if let Some(nat) = &mut host.nat {
            nat.retain(|_, at| now - *at <= NAT_HOLD);
            nat.insert(to, now);
        }
        let Links {
            loss,
            jitter,
            reorder,
        } = self.links;
        if loss > 0.0 && self.rng.random_bool(loss) {
            return;
        }
        let Some(there) = self.place_of(to) else {
            return; // nobody there, as far as one can tell now
        };
        if self.hosts[there].group != group {
            return;
        }
        let mut delay = self.topology.rtt(place, there) / 2;
        if jitter > 0.0 {
            let u: f64 = self.rng.random_range(f64::EPSILON..1.0);
            delay += delay.mul_f64((-u.ln() * jitter).min(20.0));
        }
        if reorder > 0.0 && self.rng.random_bool(reorder) {
            delay += Duration::from_micros(self.rng.random_range(0..100_000));
        }
        let datagram = Due::Datagram { from, to, payload };
        self.queue.push(now + delay, datagram);
    }

    /// FNV-1a over the datagram.
    fn note(&mut self, place: usize, to: SocketAddr, payload: &[u8]) {
        let mut digest = self.digest ^ 0xcbf2_9ce4_8422_2325;
        let mut eat = |bytes: &[u8]| {
            for chunk in bytes.chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                digest = (digest ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        eat(&self.now.as_micros().to_le_bytes());
        eat(&place.to_le_bytes());
        eat(&to.port().to_le_bytes());
        eat(payload);
        self.digest = digest;
    }

    /// A random member, if there is any.
    pub fn random_member(&mut self) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        for _ in 0..64 {
            let place = self.rng.random_range(0..self.hosts.len());
            if self.hosts[place].member {
                return Some(place);
            }
        }
        // Members are few: whoever follows a random point.
        let key = self.random_id();
        let after = self.members.range(key..).next();
        after
            .or_else(|| self.members.first_key_value())
            .map(|(_, place)| *place)
    }

    /// A random point on the ring.
    pub fn random_id(&mut self) -> Id {
        let mut id = Id::default();
        self.rng.fill_bytes(&mut id.0);
        id
    }
}

fn add(totals: &mut Totals, kind: &'static str, traffic: &Traffic) {
    let total = totals.entry(kind).or_default();
    total.messages += traffic.messages;
    total.bytes += traffic.bytes;
}

/// Bytes on the wire, IP and UDP headers included.
pub(super) fn wire_bytes(traffic: &Traffic) -> u64 {
    traffic.bytes + HEADERS * traffic.messages
}

fn addr(place: usize, port: u16) -> SocketAddr {
    let place = u32::try_from(place & 0x00ff_ffff).expect("24 bits");
    SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | place), port))
}
