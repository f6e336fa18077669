//! A whole index node in a ring, fed by strangers, neighbours and its owner.

mod message;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::id::Id;
use chunkcast::node::{Command, Event, LookupId, Node, NodeConfig, Role};
use chunkcast::time::Instant;
use chunkcast::wire::{self, Body, Contact, Envelope, MAX_DATAGRAM, Sender, Token};

use crate::input::Input;

/// Steps of one program: keeps an input's run short.
const MAX_STEPS: usize = 400;

/// The bytes are a program of datagrams from anywhere, answers to what the node asks, commands of its owner and waits.
/// Tables stay within their bounds, timers move on, whatever the node says can be read, and each lookup of the owner
/// ends once.
pub fn node(data: &[u8]) {
    let mut input = Input::new(data);
    let mut bench = Bench::new(input.byte());
    for _ in 0..MAX_STEPS {
        if input.is_done() {
            break;
        }
        bench.step(&mut input);
    }
    bench.finish();
}

struct Bench {
    node: Node,
    config: NodeConfig,
    now: Instant,
    /// Requests of the node that can still be answered.
    asked: VecDeque<(SocketAddr, Envelope)>,
    tokens: BTreeMap<SocketAddr, Token>,
    /// What was sent last, to be garbled.
    last: Vec<u8>,
    lookups: u64,
    open: BTreeSet<LookupId>,
    steps: usize,
}

impl Bench {
    /// A node that is in a ring with four others; `flags` bit 0: a client of theirs.
    fn new(flags: u8) -> Self {
        let mut config = NodeConfig {
            id: Some(own_id()),
            ..NodeConfig::default()
        };
        if flags & 1 == 1 {
            config.role = Role::Client;
            config.bootstrap = vec![neighbour(0).addr];
        }
        config.limits.pending = 64;
        config.limits.routed = 16;
        config.limits.candidates = 16;
        config.limits.failed = 16;
        config.limits.bootstrap = 4;
        config.directory.objects = 8;
        config.directory.entries_per_object = 4;
        config.directory.bytes = 1 << 16;
        config.directory.publications = 4;
        let now = Instant::from_micros(1_000_000);
        let node = Node::new(config.clone(), [7; 32], now).expect("a valid configuration");
        let mut bench = Self {
            node,
            config,
            now,
            asked: VecDeque::new(),
            tokens: BTreeMap::new(),
            last: Vec::new(),
            lookups: 0,
            open: BTreeSet::new(),
            steps: 0,
        };
        bench.drain();
        for n in 0..4 {
            let from = neighbour(n);
            bench.say(from.addr, &envelope(1, from.id, None, Body::Ping));
        }
        bench.wait(Duration::from_secs(2), true);
        assert!(bench.node.is_joined());
        bench
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 => {
                let from = message::addr(input);
                self.hear(from, input.string());
            }
            1 => {
                let from = message::addr(input);
                let mut payload = self.last.clone();
                for _ in 0..input.byte() % 4 {
                    let at = usize::from(input.u16()) % payload.len().max(1);
                    if let Some(byte) = payload.get_mut(at) {
                        *byte = input.byte();
                    }
                }
                self.hear(from, &payload);
            }
            2..=4 => {
                let from = message::addr(input);
                let token = match input.byte() % 4 {
                    0 => None,
                    1 => Some(Token(input.array())),
                    _ => self.tokens.get(&from).copied(),
                };
                let sender = message::sender(input);
                let tx = input.byte().into();
                let body = message::body(input, from);
                self.say(
                    from,
                    &Envelope {
                        tx,
                        sender,
                        token,
                        body,
                    },
                );
            }
            5..=7 => self.answer(input),
            8 => self.wait(Duration::from_millis(u64::from(input.byte()) * 5), false),
            9 => self.wait(Duration::from_millis(u64::from(input.byte()) * 100), true),
            _ => {
                let id = LookupId(self.lookups);
                let command = message::command(input, id);
                if matches!(command, Command::Lookup(..)) {
                    self.lookups += 1;
                    self.open.insert(id);
                }
                self.node.handle_command(command, self.now);
                self.drain();
            }
        }
        self.steps += 1;
        if self.steps.is_multiple_of(8) {
            self.check();
        }
    }

    /// Answers one of the node's last requests: as it should be, or with anything.
    fn answer(&mut self, input: &mut Input<'_>) {
        let at = input.below(self.asked.len().min(8));
        let Some((to, request)) = self.asked.iter().rev().nth(at).cloned() else {
            return;
        };
        let sender = match input.byte() % 4 {
            0 => message::sender(input),
            _ => answering(to),
        };
        let body = match input.byte() % 4 {
            0 => message::body(input, to),
            1 => Body::Ack,
            _ => message::answer(input, &request.body),
        };
        let tx = request.tx;
        let token = None;
        self.say(
            to,
            &Envelope {
                tx,
                sender,
                token,
                body,
            },
        );
    }

    /// Lets time pass; with `polite` neighbours, pings are answered.
    fn wait(&mut self, time: Duration, polite: bool) {
        let end = self.now + time;
        if polite {
            self.be_polite();
        }
        let mut stuck = 0;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            stuck = if at > self.now { 0 } else { stuck + 1 };
            assert!(stuck < 3, "the timer at {at:?} does not move on");
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.drain();
            if polite {
                self.be_polite();
            }
        }
        self.now = end;
    }

    fn be_polite(&mut self) {
        for _ in 0..64 {
            let ping = |(_, e): &(SocketAddr, Envelope)| e.body == Body::Ping;
            let Some((to, request)) = self
                .asked
                .iter()
                .position(ping)
                .and_then(|i| self.asked.remove(i))
            else {
                return;
            };
            let body = Body::Pong {
                token: Token([1; 8]),
                observed: own_addr(),
            };
            self.say(to, &envelope(request.tx, answering(to).id, None, body));
        }
    }

    fn say(&mut self, from: SocketAddr, message: &Envelope) {
        if let Ok(payload) = wire::encode(message) {
            self.hear(from, &payload);
            self.last = payload;
        }
    }

    fn hear(&mut self, from: SocketAddr, payload: &[u8]) {
        self.node.handle_datagram(from, payload, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let mut sent = 0;
        while let Some(transmit) = self.node.poll_transmit() {
            sent += 1;
            assert!(transmit.payload.len() <= MAX_DATAGRAM);
            let said = wire::decode(&transmit.payload).expect("own messages can be read");
            match &said.body {
                Body::Pong { token, .. }
                | Body::Refuse {
                    token: Some(token), ..
                } => {
                    self.tokens.insert(transmit.to, *token);
                }
                Body::Ack | Body::Refuse { .. } | Body::LeavesReply { .. } => {}
                Body::RowReply { .. } | Body::JoinReply { .. } | Body::Found(_) => {}
                _ => self.asked.push_back((transmit.to, said)),
            }
        }
        assert!(sent <= 256, "{sent} datagrams for one input");
        while self.asked.len() > 64 {
            self.asked.pop_front();
        }
        while let Some(event) = self.node.poll_event() {
            if let Event::LookupDone { id, .. } = event {
                assert!(self.open.remove(&id), "{id:?} ends twice");
            }
        }
    }

    fn check(&self) {
        let view = self.node.snapshot();
        let (limits, directory) = (&self.config.limits, &self.config.directory);
        assert!(view.pending <= limits.pending, "{} pending", view.pending);
        assert!(view.routed <= limits.routed, "{} routed", view.routed);
        assert!(view.candidates <= limits.candidates);
        assert!(view.publications <= directory.publications);
        assert!(view.cache_bytes <= directory.bytes);
        assert!(view.entries.len() <= directory.objects);
        let most = directory.entries_per_object;
        assert!(
            view.entries.values().all(|n| *n <= most),
            "{:?}",
            view.entries
        );
        let coord = view.coord;
        let all = [
            coord.position[0],
            coord.position[1],
            coord.position[2],
            coord.height,
        ];
        assert!(all.iter().all(|x| x.is_finite()) && coord.height >= 0.0);
        assert!((0.0..=1.0).contains(&coord.error));
    }

    fn finish(mut self) {
        if !self.open.is_empty() {
            self.wait(Duration::from_secs(60), false);
        }
        self.check();
        assert!(
            self.open.is_empty(),
            "lookups without an end: {:?}",
            self.open
        );
    }
}

fn own_id() -> Id {
    Id([0x55; 20])
}

fn own_addr() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 99], 7000))
}

/// Index node `n` of the ring.
fn neighbour(n: u8) -> Contact {
    let mut id = own_id();
    id.0[usize::from(n % 4)] = n << 4;
    Contact {
        id,
        addr: SocketAddr::from(([10, 0, 0, n], 7000)),
        coord: chunkcast::coords::Coord::default(),
    }
}

/// Who answers at an address: the neighbour whose it is, or somebody.
fn answering(at: SocketAddr) -> Sender {
    let n = match at {
        SocketAddr::V4(a) if a.ip().octets()[..3] == [10, 0, 0] => a.ip().octets()[3],
        _ => 77,
    };
    Sender {
        id: neighbour(n).id,
        coord: chunkcast::coords::Coord::default(),
        client: false,
    }
}

fn envelope(tx: u32, id: Id, token: Option<Token>, body: Body) -> Envelope {
    let sender = Sender {
        id,
        coord: chunkcast::coords::Coord::default(),
        client: false,
    };
    Envelope {
        tx,
        sender,
        token,
        body,
    }
}
