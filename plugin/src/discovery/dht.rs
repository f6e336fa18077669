//! Peers from the mainline DHT (BEP 5): one node for the process, one lookup a torrent, on `librqbit_dht`.
//!
//! An open peer stream of that crate asks again every 60 s, and all streams share one limit of 250 queries a second,
//! so a lookup holds its stream for 30 s, drops it, and comes back after 15 to 30 minutes while peers are wanted.
//! Without a network the node goes on trying and says so once; it never fails the client. Nothing is kept on disk.
//! The crate takes no nodes while it runs, so those that peers name (BEP 5, PORT) are used where they matter most: a node that
//! knows nobody is started over with them.
//! A private torrent (BEP 27) must not be looked up here: that is the caller's to see to.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use librqbit_core::hash_id::Id20;
use librqbit_dht::{Dht, DhtBuilder};
use rand::RngExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Nodes kept that peers named; the newest.
const MAX_NAMED: usize = 16; // guess: as many as are asked at the start of a lookup

/// Limits and addresses of the DHT node.
#[derive(Clone, Debug)]
pub struct DhtConfig {
    /// `HOST:PORT` of nodes to join through. Empty: no DHT at all, since the crate's node ends without any.
    pub bootstrap: Vec<String>,
    /// Local UDP address; `None` takes any port, of both families where the system has IPv6.
    pub listen: Option<SocketAddr>,
    /// How often the node is looked at.
    pub check: Duration,
    /// Time without any node after which that is reported.
    pub report_after: Duration,
}

impl Default for DhtConfig {
    fn default() -> Self {
        Self {
            // the crate's two, and the oldest public one
            bootstrap: [
                "router.bittorrent.com:6881",
                "dht.transmissionbt.com:6881",
                "dht.libtorrent.org:25401",
            ]
            .map(str::to_owned)
            .to_vec(),
            listen: None,
            check: Duration::from_secs(1), // guess: a joining node needs seconds
            report_after: Duration::from_secs(30), // guess: joining takes less than 10 s
        }
    }
}

/// When a lookup asks, and how much it hands out.
#[derive(Clone, Debug)]
pub struct LookupConfig {
    /// How long a stream is held. // measured: most answers come within it, and it asks again after 60 s
    pub hold: Duration,
    /// Least and most wait between two rounds.
    pub pause: (Duration, Duration),
    /// Least wait before a round that was asked for.
    pub early_pause: Duration,
    /// Peers handed out in one round; later ones are dropped.
    pub max_peers: usize,
    /// Peers are handed out in batches this often.
    pub batch: Duration,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(30),
            pause: (Duration::from_secs(15 * 60), Duration::from_secs(30 * 60)), // measured
            early_pause: Duration::from_secs(120), // guess: a tenth of the usual pause
            max_peers: 2000,                       // guess: as for one tracker answer
            batch: Duration::from_millis(500),     // guess: unseen by a person
        }
    }
}

impl LookupConfig {
    /// Checks that rounds take time and find something.
    ///
    /// # Errors
    /// The field that is wrong, and how.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.hold.is_zero() || self.batch.is_zero() {
            return Err("hold and batch must be above 0");
        }
        if self.pause.0.is_zero() || self.pause.0 > self.pause.1 {
            return Err("pause must be above 0 and its least at most its most");
        }
        if self.early_pause.is_zero() || self.max_peers == 0 {
            return Err("early_pause and max_peers must be above 0");
        }
        Ok(())
    }
}

/// The node. Dropping it ends the node and all its lookups.
pub struct DhtNode {
    state: watch::Receiver<Option<Dht>>,
    named: Arc<Mutex<Named>>,
    token: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl DhtNode {
    /// Starts the node in a task of its own; never fails.
    pub fn spawn(config: DhtConfig) -> Self {
        let token = CancellationToken::new();
        let (state_tx, state) = watch::channel(None);
        let named = Arc::new(Mutex::new(Named::default()));
        let task = tokio::spawn(run_node(config, state_tx, named.clone(), token.clone()));
        Self {
            state,
            named,
            token,
            task: Some(task),
        }
    }

    /// Nodes known; 0 before the node has joined.
    pub fn nodes(&self) -> usize {
        self.state.borrow().as_ref().map_or(0, known)
    }

    /// The local UDP address, once bound.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.state.borrow().as_ref().map(|dht| dht.listen_addr())
    }

    /// A peer's DHT node: one more to start from, should ours come to know nobody.
    pub fn add_node(&self, addr: SocketAddr) {
        named(&self.named).add(addr);
    }

    /// Looks for peers of `info_hash` until the returned handle is dropped. `announce_port`: also tell the DHT that we
    /// serve it at this TCP port. Peers go to `out` in batches; when nobody takes them they wait, up to the limit.
    pub fn look_up(
        &self,
        info_hash: [u8; 20],
        announce_port: Option<u16>,
        config: LookupConfig,
        out: mpsc::Sender<Vec<SocketAddr>>,
    ) -> DhtLookup {
        let token = self.token.child_token();
        let wanted = Arc::new(Notify::new());
        let lookup = Lookup {
            info_hash: Id20::new(info_hash),
            announce_port,
            config,
            out,
            state: self.state.clone(),
            wanted: wanted.clone(),
        };
        let cancelled = token.clone();
        tokio::spawn(async move {
            // Dropping the future drops the stream, which ends its tasks.
            cancelled.run_until_cancelled(lookup.run()).await;
        });
        DhtLookup { token, wanted }
    }

    /// Ends the node and all its lookups.
    pub async fn stop(mut self) {
        self.token.cancel();
        if let Some(task) = self.task.take() {
            // It ends at the token; a panic in it is as good an end.
            let _ = task.await;
        }
    }
}

impl std::fmt::Debug for DhtNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DhtNode")
            .field("listen_addr", &self.listen_addr())
            .field("nodes", &self.nodes())
            .finish_non_exhaustive()
    }
}

impl Drop for DhtNode {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// A running lookup; ends when dropped.
#[derive(Debug)]
pub struct DhtLookup {
    token: CancellationToken,
    wanted: Arc<Notify>,
}

impl DhtLookup {
    /// More peers are wanted: the next round comes after [`LookupConfig::early_pause`] at the latest.
    pub fn need_more_peers(&self) {
        self.wanted.notify_one();
    }
}

impl Drop for DhtLookup {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// Keeps a node alive: binds, watches, and starts over when it has ended.
async fn run_node(
    config: DhtConfig,
    state: watch::Sender<Option<Dht>>,
    nodes: Arc<Mutex<Named>>,
    token: CancellationToken,
) {
    if config.bootstrap.is_empty() {
        debug!("no DHT: no bootstrap node is configured");
        return;
    }
    let mut warned = false;
    let mut warn_once = |text: String| {
        if !std::mem::replace(&mut warned, true) {
            warn!("{text}");
        }
    };
    let mut backoff = config.check;
    loop {
        let started = token.child_token();
        let more = named(&nodes).take();
        match start(&config, &more, started.clone()).await {
            Ok(dht) => {
                backoff = config.check;
                state.send_replace(Some(dht));
                let alive = watch_node(&config, &state, &nodes, &mut warn_once);
                if token.run_until_cancelled(alive).await.is_none() {
                    break;
                }
                started.cancel();
            }
            Err(error) => warn_once(format!(
                "DHT: no UDP socket ({error}); peers come from elsewhere. Free the port or use --no-dht"
            )),
        }
        state.send_replace(None);
        let pause = tokio::time::sleep(backoff);
        if token.run_until_cancelled(pause).await.is_none() {
            break;
        }
        backoff = (backoff * 2).min(Duration::from_secs(600));
    }
    state.send_replace(None);
}

/// A bound node with a random id. On a system without IPv6 the dual-stack socket fails and IPv4 alone is taken.
async fn start(
    config: &DhtConfig,
    more: &[SocketAddr],
    token: CancellationToken,
) -> Result<Dht, librqbit_dht::Error> {
    let more = more.iter().map(SocketAddr::to_string);
    let bootstrap: Vec<String> = config.bootstrap.iter().cloned().chain(more).collect();
    let with = |listen: Option<SocketAddr>| librqbit_dht::DhtConfig {
        peer_id: Some(Id20::new(rand::random())),
        bootstrap_addrs: Some(bootstrap.clone()),
        listen_addr: listen,
        cancellation_token: Some(token.clone()),
        ..librqbit_dht::DhtConfig::default()
    };
    match DhtBuilder::with_config(with(config.listen)).await {
        Err(_) if config.listen.is_none() => {
            DhtBuilder::with_config(with(Some((Ipv4Addr::UNSPECIFIED, 0).into()))).await
        }
        result => result,
    }
}

/// Returns when the node has ended, or knows nobody and there are nodes to start from that it was not told of.
async fn watch_node(
    config: &DhtConfig,
    state: &watch::Sender<Option<Dht>>,
    nodes: &Mutex<Named>,
    warn_once: &mut impl FnMut(String),
) {
    let begin = Instant::now();
    loop {
        tokio::time::sleep(config.check).await;
        let Some(dht) = state.borrow().clone() else {
            return;
        };
        if known(&dht) == 0 && begin.elapsed() >= config.report_after {
            warn_once(format!(
                "DHT: none of {} answers; peers come from elsewhere. Check the network or use --no-dht",
                config.bootstrap.join(", ")
            ));
            if named(nodes).new {
                return;
            }
        }
        // The node's task holds a reference. Ours are the one in `state` and the one here; open streams hold more, so
        // an ended node is seen between rounds.
        if Arc::strong_count(&dht) <= 2 {
            return;
        }
    }
}

/// Nodes that peers named.
#[derive(Debug, Default)]
struct Named {
    nodes: VecDeque<SocketAddr>,
    /// There are some that no start has used.
    new: bool,
}

impl Named {
    fn add(&mut self, addr: SocketAddr) {
        if self.nodes.contains(&addr) {
            return;
        }
        if self.nodes.len() >= MAX_NAMED {
            self.nodes.pop_front();
        }
        self.nodes.push_back(addr);
        self.new = true;
    }

    fn take(&mut self) -> Vec<SocketAddr> {
        self.new = false;
        self.nodes.iter().copied().collect()
    }
}

fn named(nodes: &Mutex<Named>) -> MutexGuard<'_, Named> {
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nodes in both routing tables.
fn known(dht: &Dht) -> usize {
    let stats = dht.stats();
    stats.routing_table_size + stats.routing_table_size_v6
}

struct Lookup {
    info_hash: Id20,
    announce_port: Option<u16>,
    config: LookupConfig,
    out: mpsc::Sender<Vec<SocketAddr>>,
    state: watch::Receiver<Option<Dht>>,
    wanted: Arc<Notify>,
}

impl Lookup {
    /// Rounds until nobody listens any more.
    async fn run(mut self) {
        loop {
            let Some(dht) = self.joined().await else {
                return;
            };
            let found = self.round(&dht).await;
            drop(dht);
            debug!(info_hash = ?self.info_hash, found, "DHT round");
            if self.out.is_closed() {
                return;
            }
            let (least, most) = self.config.pause;
            let pause = least + most.saturating_sub(least).mul_f64(rand::rng().random());
            let early = self.config.early_pause.min(pause);
            tokio::time::sleep(early).await;
            tokio::select! {
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(pause - early) => {}
                () = self.out.closed() => return,
            }
        }
    }

    /// A node that knows others; `None` when there will be none.
    async fn joined(&mut self) -> Option<Dht> {
        loop {
            let dht = self.state.wait_for(Option::is_some).await.ok()?.clone();
            if let Some(dht) = dht.filter(|dht| known(dht) > 0) {
                return Some(dht);
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                () = self.out.closed() => return None,
            }
        }
    }

    /// One round; gives the number of peers found.
    async fn round(&self, dht: &Dht) -> usize {
        let mut stream = dht.get_peers(self.info_hash, self.announce_port);
        let end = tokio::time::sleep(self.config.hold);
        tokio::pin!(end);
        let mut tick = tokio::time::interval(self.config.batch.max(Duration::from_millis(1)));
        let mut seen = BTreeSet::new();
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = tick.tick() => {
                    if !self.hand_out(&mut batch) {
                        break;
                    }
                }
                peer = stream.next() => match peer {
                    Some(peer) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        if peer.port() != 0
                            && seen.len() < self.config.max_peers
                            && seen.insert(peer)
                        {
                            batch.push(peer);
                        }
                    }
                    // The node ended under it.
                    None => break,
                },
            }
        }
        self.hand_out(&mut batch);
        seen.len()
    }

    /// Hands the batch out, or keeps it when there is no room; false when nobody listens any more.
    fn hand_out(&self, batch: &mut Vec<SocketAddr>) -> bool {
        if batch.is_empty() {
            return !self.out.is_closed();
        }
        match self.out.try_send(std::mem::take(batch)) {
            Ok(()) => true,
            Err(TrySendError::Full(kept)) => {
                *batch = kept;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}
