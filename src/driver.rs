//! A tokio UDP loop around one [`Node`], and the [`Handle`] that programs use.
//!
//! One task owns the node and the socket; commands reach it through a bounded channel, and it answers lookups as they
//! end. Everything that is not sans-IO is here: the socket, the monotonic clock, the operating system's entropy.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the driver is where the clock and the socket live"
)]

mod batch;
mod dial;
pub mod lan;
pub mod multicast;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::node::{
    Command, ConfigError, Event, LookupError, LookupId, LookupRequest, Node, NodeConfig,
    Publication, Role, Snapshot, Transmit,
};
use crate::time::Instant;
use crate::wire::{Found, RefuseReason};

/// Commands that wait for the node's task.
const COMMANDS: usize = 1024; // guess: a burst of publications from many torrents
/// Datagrams handled between two looks at commands and timers.
const BATCH: usize = 64; // guess
/// Pause after a receive error.
const ERROR_PAUSE: Duration = Duration::from_millis(10); // guess
/// How long nothing is due when the node names no time.
const IDLE: Duration = Duration::from_secs(3600); // guess: never reached, secrets rotate
/// How long [`Handle::shutdown`] waits for the withdrawals to be acknowledged.
const SHUTDOWN: Duration = Duration::from_secs(2); // a second more than the node itself waits

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The address is taken.
    #[error("the index node's address {0} is in use: choose another one with --index-listen")]
    InUse(SocketAddr),
    /// The address cannot be bound.
    #[error(
        "the index node cannot listen at {addr}: {source}; choose another one with --index-listen"
    )]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(String),
    /// A value of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The node's task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index node has been shut down")]
pub struct Closed;

enum Input {
    Command(Command),
    Ask(LookupRequest, oneshot::Sender<Result<Found, LookupError>>),
    Inspect(Box<dyn FnOnce(&Node) + Send>),
    Shutdown(oneshot::Sender<()>),
}

/// What a node tells whoever watches it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Its ring id.
    pub id: Id,
    /// Its network coordinate.
    pub coord: Coord,
    /// It is in a ring (a client: an index node answers).
    pub joined: bool,
    /// Its address as others see it.
    pub observed: Option<SocketAddr>,
    /// It is an index node; `false`: a client of one.
    pub index: bool,
    /// The port that was dialled last from outside, of those that are published, and whether somebody accepted.
    pub dialable: Option<(u16, bool)>,
    /// How often others were seen to agree on a time far from the own clock.
    pub clock_off: u32,
    /// The last publication that an index node refused, and why.
    pub refused: Option<(ObjectId, RefuseReason)>,
}

/// A running node. Clones share it; it ends when the last one is gone or one of them says [`Handle::shutdown`].
#[derive(Clone, Debug)]
pub struct Handle {
    local_addr: SocketAddr,
    client: bool,
    inputs: mpsc::Sender<Input>,
    state: watch::Receiver<State>,
}

/// Starts a node that listens at `listen` and joins through `bootstrap` (beside those of the configuration).
///
/// # Errors
/// [`DriverError`]: the address is taken or cannot be bound, no entropy, a bad configuration.
pub async fn spawn(
    mut config: NodeConfig,
    listen: SocketAddr,
    bootstrap: Vec<SocketAddr>,
) -> Result<Handle, DriverError> {
    config.bootstrap.extend(bootstrap);
    let wall = wall();
    config.wall = Some(wall);
    if config.sequence_base == 0 {
        // Only the order of two runs counts; a clock that was set back costs the lifetime of the older entries.
        config.sequence_base = u64::try_from(wall.as_micros()).unwrap_or(0);
    }
    let socket = UdpSocket::bind(listen)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => DriverError::InUse(listen),
            _ => DriverError::Bind {
                addr: listen,
                source,
            },
        })?;
    let local_addr = socket.local_addr().map_err(|source| DriverError::Bind {
        addr: listen,
        source,
    })?;
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|e| DriverError::Entropy(e.to_string()))?;
    let clock = Clock(std::time::Instant::now());
    let client = config.role == Role::Client;
    let node = Node::new(config, seed, clock.now())?;
    let (inputs, receiver) = mpsc::channel(COMMANDS);
    let (state, watched) = watch::channel(State {
        index: node.is_index(),
        id: node.id(),
        ..State::default()
    });
    let handle = Handle {
        local_addr,
        client,
        inputs,
        state: watched,
    };
    let task = Task {
        node,
        socket: Arc::new(socket),
        clock,
        inputs: receiver,
        state,
        asked: BTreeMap::new(),
        next_lookup: 0,
        leaving: Vec::new(),
        left: false,
        dialler: dial::Dialler::new(),
        batch: batch::Batch::new(),
        out: Vec::new(),
    };
    tokio::spawn(task.run());
    Ok(handle)
}

impl Handle {
    /// Where the node listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Its ring id; another one once it has learned of an address that the first one does not fit.
    pub fn id(&self) -> Id {
        self.state.borrow().id
    }

    /// Whether it only asks and publishes through index nodes.
    pub fn is_client(&self) -> bool {
        self.client
    }

    /// Whether it is in a ring, and how others see it.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until the node is in a ring, at most `timeout`; whether it is.
    pub async fn joined(&self, timeout: Duration) -> bool {
        let mut state = self.state.clone();
        matches!(
            tokio::time::timeout(timeout, state.wait_for(|s| s.joined)).await,
            Ok(Ok(_))
        )
    }

    async fn send(&self, input: Input) -> Result<(), Closed> {
        self.inputs.send(input).await.map_err(|_| Closed)
    }

    /// Hands a command over without waiting; when more than the limit wait already, it is dropped with a warning.
    fn order(&self, command: Command) {
        if let Err(mpsc::error::TrySendError::Full(_)) =
            self.inputs.try_send(Input::Command(command))
        {
            tracing::warn!("the index node is too busy to take a command");
        }
    }

    /// Publishes a peer's chunks of an object and keeps them published (paper 3.1). Nothing happens after a shutdown.
    pub fn publish(&self, publication: Publication) {
        self.order(Command::Publish(publication));
    }

    /// Withdraws what was published of an object, under this publisher's id (`None`: the node's). Nothing happens after
    /// a shutdown.
    pub fn withdraw(&self, object: ObjectId, publisher: Option<Id>) {
        self.order(Command::Withdraw(object, publisher));
    }

    /// Joins through these nodes as well. Nothing happens after a shutdown.
    pub fn add_bootstrap(&self, addrs: Vec<SocketAddr>) {
        self.order(Command::Bootstrap(addrs));
    }

    /// The node's own coordinate, as of its last step.
    pub fn coord(&self) -> Coord {
        self.state.borrow().coord
    }

    /// Asks for peers (paper 3.2). Nobody at all is a result too.
    ///
    /// # Errors
    /// [`LookupError`]: no answer in time, no index node, too many lookups, or a shutdown.
    pub async fn lookup(&self, request: LookupRequest) -> Result<Found, LookupError> {
        let (answer, answered) = oneshot::channel();
        self.send(Input::Ask(request, answer))
            .await
            .map_err(|_| LookupError::Closed)?;
        answered.await.unwrap_or(Err(LookupError::Closed))
    }

    /// The node as it is now.
    ///
    /// # Errors
    /// [`Closed`] after a shutdown.
    pub async fn snapshot(&self) -> Result<Snapshot, Closed> {
        self.inspect(Node::snapshot).await
    }

    /// What `look` sees of the node. It keeps the node from its work, so it should not take long.
    ///
    /// # Errors
    /// [`Closed`] after a shutdown.
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (answer, answered) = oneshot::channel();
        let look = move |node: &Node| {
            let _ = answer.send(look(node));
        };
        self.send(Input::Inspect(Box::new(look))).await?;
        answered.await.map_err(|_| Closed)
    }

    /// Tells of every change of [`Handle::state`].
    pub fn changes(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Withdraws everything, waits until the others have heard of it (2 s at most), and ends the node.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.send(Input::Shutdown(done)).await.is_ok() {
            let _ = tokio::time::timeout(SHUTDOWN, ended).await;
        }
    }
}

/// Time since 1970.
fn wall() -> Duration {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.unwrap_or_default()
}

/// Monotonic time since the node was started.
#[derive(Clone, Copy, Debug)]
struct Clock(std::time::Instant);

impl Clock {
    fn now(self) -> Instant {
        let micros = self.0.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

struct Task {
    node: Node,
    socket: Arc<UdpSocket>,
    clock: Clock,
    inputs: mpsc::Receiver<Input>,
    state: watch::Sender<State>,
    asked: BTreeMap<LookupId, oneshot::Sender<Result<Found, LookupError>>>,
    next_lookup: u64,
    leaving: Vec<oneshot::Sender<()>>,
    left: bool,
    dialler: dial::Dialler,
    batch: batch::Batch,
    /// What is about to be sent; empty between two steps.
    out: Vec<Transmit>,
}

impl Task {
    async fn run(mut self) {
        let mut unreachable = BTreeSet::new();
        // Set anew only when the node's next alarm is another one: most datagrams change nothing about it.
        let alarm = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(alarm);
        let mut rings_at = None;
        loop {
            self.drain(&mut unreachable).await;
            if self.left {
                self.leaving.drain(..).for_each(|done| {
                    let _ = done.send(());
                });
                return;
            }
            let next = self.node.poll_timeout();
            if rings_at != Some(next) {
                rings_at = Some(next);
                let wait = next.map_or(IDLE, |at| at - self.clock.now());
                alarm.as_mut().reset(tokio::time::Instant::now() + wait);
            }
            tokio::select! {
                ready = self.socket.readable() => {
                    // Mostly the echo of an earlier datagram that nobody took: its request times out by itself. The
                    // pause keeps an interface that has gone from turning this into a busy loop.
                    if ready.and_then(|()| self.on_readable()).is_err() {
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                }
                input = self.inputs.recv() => match input {
                    Some(input) => self.on_input(input),
                    None => return, // the last handle is gone
                },
                command = self.dialler.result() => {
                    self.node.handle_command(command, self.clock.now());
                }
                () = &mut alarm => {
                    rings_at = None;
                    self.node.handle_wall(wall(), self.clock.now());
                    self.node.handle_timeout(self.clock.now());
                }
            }
        }
    }

    /// Handles what waits at the socket, at most [`BATCH`] datagrams.
    fn on_readable(&mut self) -> io::Result<()> {
        self.node.handle_wall(wall(), self.clock.now());
        let mut left = BATCH;
        let received = loop {
            let more = self.batch.receive(&self.socket);
            let datagrams = self.batch.datagrams();
            left = left.saturating_sub(datagrams.len());
            for (from, datagram) in datagrams {
                self.node.handle_datagram(from, datagram, self.clock.now());
            }
            match more {
                Ok(true) if left > 0 => {}
                more => break more.map(drop),
            }
        };
        self.overdue();
        received
    }

    /// A flood of datagrams must not keep the timers from running.
    fn overdue(&mut self) {
        let now = self.clock.now();
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
    }

    fn on_input(&mut self, input: Input) {
        let now = self.clock.now();
        self.node.handle_wall(wall(), now);
        match input {
            Input::Command(command) => self.node.handle_command(command, now),
            Input::Ask(request, answer) => {
                self.asked.retain(|_, waiting| !waiting.is_closed());
                let id = LookupId(self.next_lookup);
                self.next_lookup += 1;
                self.asked.insert(id, answer);
                self.node.handle_command(Command::Lookup(id, request), now);
            }
            Input::Inspect(look) => look(&self.node),
            Input::Shutdown(done) => {
                self.leaving.push(done);
                self.node.handle_command(Command::Leave, now);
            }
        }
        self.overdue();
    }

    async fn drain(&mut self, unreachable: &mut BTreeSet<io::ErrorKind>) {
        let mut out = std::mem::take(&mut self.out);
        while let Some(transmit) = self.node.poll_transmit() {
            out.push(transmit);
            if out.len() == batch::SLOTS {
                self.send(&out, unreachable).await;
                out.clear();
            }
        }
        self.send(&out, unreachable).await;
        out.clear();
        self.out = out;
        self.tell();
    }

    async fn send(&mut self, mut out: &[Transmit], unreachable: &mut BTreeSet<io::ErrorKind>) {
        while let Some(first) = out.first() {
            // A full send buffer or an unreachable network loses the datagram, as the network itself would.
            let sent = match self.batch.send(&self.socket, out) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let sent = self.socket.send_to(&first.payload, first.to).await;
                    sent.map(|_| 1)
                }
                sent => sent,
            };
            if let Err(e) = &sent
                && unreachable.insert(e.kind())
            {
                tracing::debug!(to = %first.to, "the index node cannot send: {e}");
            }
            out = &out[sent.unwrap_or(1)..];
        }
    }

    /// Tells of what has changed.
    fn tell(&mut self) {
        let coord = self.node.coord();
        self.state
            .send_if_modified(|s| std::mem::replace(&mut s.coord, coord) != coord);
        while let Some(event) = self.node.poll_event() {
            match event {
                Event::LookupDone { id, result } => {
                    if let Some(answer) = self.asked.remove(&id) {
                        let _ = answer.send(result);
                    }
                }
                Event::Dial { id, addr } => self.dialler.dial(id, addr),
                Event::Dialable { port, reached } => {
                    self.state
                        .send_modify(|s| s.dialable = Some((port, reached)));
                }
                Event::Role { index } => self.state.send_modify(|s| s.index = index),
                Event::Left => self.left = true,
                Event::Moved(id) => self.state.send_modify(|s| {
                    s.id = id;
                    s.joined = false;
                }),
                Event::ClockOff => {
                    self.state.send_modify(|s| s.clock_off += 1);
                    tracing::warn!(
                        "the clock of this machine and those of other index nodes differ by more than ten minutes: set it, or \
                     the others ignore what this node publishes"
                    );
                }
                Event::Joined => self.state.send_modify(|s| s.joined = true),
                Event::Observed(addr) => self.state.send_modify(|s| s.observed = Some(addr)),
                Event::PublishRefused { object, reason } => {
                    self.state
                        .send_modify(|s| s.refused = Some((object, reason)));
                }
            }
        }
    }
}

#[cfg(test)]
mod roles_tests;
#[cfg(test)]
mod tests;
