//! Many torrents in one process: the listening socket, the index node, and one task a torrent in which swarm, wire,
//! storage, discovery and the directory meet. It decides nothing about peers or pieces; it carries messages.

mod address;
pub(crate) mod answer;
mod check;
mod control;
mod detail;
mod directory;
mod discover;
mod events;
mod index;
mod served;
mod torrent;
mod transports;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use chunkcast::wire::PeerAddrs;

pub use self::address::{Reach, reach};
pub use self::control::TorrentControl;
pub use self::detail::{ByDistance, LookupRow, PeerDetail, TorrentDetail, TrackerRow, Why};
pub use self::directory::Directory;
pub use self::events::{
    DirectoryTraffic, PEER_SOURCES, PeerRow, Progress, TorrentError, TorrentEvent,
};
pub use self::index::{
    IndexNode, IndexSettings, Question, ask_once, object_id, start_colocated_node,
    start_index_node, unanswered,
};
use self::served::{Listed, Served};
use self::torrent::{Input, Stop, Torrent};
pub use self::transports::Transports;
use self::transports::forward_callers;
use crate::discovery::portmap::{LEASE, Protocol, unmap};
use crate::discovery::{
    AnnounceTurns, DhtConfig, DhtNode, Lsd, PortMapConfig, PortMapper, RendezvousConfig,
};
use crate::limits::address::OwnAddrs;
use crate::limits::{Blocklist, Limiters, Limits, LimitsConfig};
use crate::metadata::{FileSelection, Magnet, Metainfo, Priority};
use crate::storage::{OpenFiles, Resume, StorageConfig, Target};
use crate::webseed::WebClient;
use crate::wire::conn::ConnConfig;
use crate::wire::connect::{Asked, accept, canonical};
use crate::wire::handshake::our_peer_id;
use crate::wire::listen::ListenError;
use crate::wire::message::Handshake;
use crate::wire::stream::{Stream, Transport};
use crate::wire::utp::UtpEndpoint;

/// Whether and how the directory is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexUse {
    /// An index node of our own, at this UDP address or a free port of the listening address.
    Colocated(Option<SocketAddr>),
    /// Only ask and publish through the bootstrap nodes, or those that are found; nothing at all without either.
    Client,
}

/// What a session needs to know.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Address for incoming connections, a TCP and a UDP port of the same number; `None`: any IPv6 and IPv4 address, port 6881..=6889 or a free one.
    pub listen: Option<SocketAddr>,
    /// What carries the connections with peers.
    pub transports: Transports,
    /// The directory.
    pub index: IndexUse,
    /// Index nodes to join through.
    pub bootstrap: Vec<SocketAddr>,
    /// More of them may be named while it runs, by [`IndexNode::add_bootstrap`].
    pub bootstrap_grows: bool,
    /// Who the index node is, and how it finds others.
    pub index_settings: IndexSettings,
    /// Whether index nodes are looked for through the Mainline DHT, if that is used.
    pub rendezvous: bool,
    /// Whether trackers are asked.
    pub trackers: bool,
    /// Whether the Mainline DHT is asked.
    pub dht: bool,
    /// Whether torrents are announced on the local network, and peers heard of there (BEP 14); not where we listen on loopback.
    pub lsd: bool,
    /// Whether peers are told of each other, and believed when they name others (BEP 11).
    pub pex: bool,
    /// Whether the web servers that torrents name (BEP 19) are asked.
    pub web_seeds: bool,
    /// DHT nodes to start from; `None`: the well-known ones.
    pub dht_bootstrap: Option<Vec<String>>,
    /// For how long at a time the router is asked (UPnP) to let others reach the ports; `None`: not at all.
    pub map_ports: Option<Duration>,
    /// Connections of all torrents.
    pub limits: LimitsConfig,
    /// Each connection; the session's own memory takes the place of the one in here.
    pub conn: ConnConfig,
    /// Each torrent's files.
    pub storage: StorageConfig,
    /// The client policy of each torrent.
    pub client: chunkcast::client::ClientConfig,
    /// Messages that wait for one torrent's task, so that a slow disk slows the network down.
    pub inbox: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            listen: None,
            transports: Transports::default(),
            index: IndexUse::Colocated(None),
            bootstrap: Vec::new(),
            bootstrap_grows: false,
            index_settings: IndexSettings::default(),
            rendezvous: false,
            trackers: true,
            dht: true,
            lsd: true,
            pex: true,
            web_seeds: true,
            dht_bootstrap: None,
            map_ports: Some(LEASE),
            limits: LimitsConfig::default(),
            conn: ConnConfig::default(),
            storage: StorageConfig::default(),
            client: chunkcast::client::ClientConfig {
                max_served: 400, // guess: most of the connections of all torrents
                ..Default::default()
            },
            inbox: 256, // guess: batches of at most a read buffer each
        }
    }
}

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The address for peers.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The UDP address of the index node.
    #[error(transparent)]
    Index(#[from] chunkcast::driver::DriverError),
}

/// Where a torrent comes from.
#[derive(Clone, Debug)]
pub enum TorrentSource {
    /// With its metainfo at hand.
    Metainfo(Arc<Metainfo>),
    /// Only its infohash, and hints.
    Magnet(Magnet),
}

impl TorrentSource {
    /// SHA-1 of the info dict.
    pub fn info_hash(&self) -> [u8; 20] {
        match self {
            Self::Metainfo(m) => m.info_hash,
            Self::Magnet(m) => m.info_hash,
        }
    }

    /// Whether it is known to be private (BEP 27).
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Metainfo(m) if m.private)
    }

    /// What to call it: its name, or its infohash while the name is unknown.
    pub fn name(&self) -> String {
        match self {
            Self::Metainfo(m) => m.layout.name.clone(),
            Self::Magnet(m) => m.display_name.clone().unwrap_or_else(|| hex(&m.info_hash)),
        }
    }
}

/// Where the data of a torrent is, or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataPath {
    /// The directory that the torrent's name goes into.
    OutputDir(PathBuf),
    /// The torrent's file or folder itself.
    Content(PathBuf),
}

impl DataPath {
    fn target(&self) -> Target<'_> {
        match self {
            Self::OutputDir(path) => Target::OutputDir(path),
            Self::Content(path) => Target::Content(path),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::OutputDir(path) | Self::Content(path) => path,
        }
    }
}

/// A torrent to add.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// What.
    pub source: TorrentSource,
    /// Where its data goes, or is.
    pub data: DataPath,
    /// Peers named by the user.
    pub peers: Vec<SocketAddr>,
    /// The files to download; `None`: those that a magnet link selects (BEP 53), else all.
    pub select: Option<FileSelection>,
    /// How much each file is wanted, by index, in the place of `select`; files behind the end are [`Priority::Normal`]. Empty:
    /// `select` says it.
    pub priorities: Vec<Priority>,
    /// Trackers by tier (BEP 12) in the place of the torrent's own.
    pub trackers: Option<Vec<Vec<String>>>,
    /// What need not be hashed.
    pub resume: Option<Resume>,
    /// Give up without metadata, or without any peer, after this long.
    pub patience: Option<Duration>,
    /// The data must be complete already.
    pub seed_only: bool,
    /// Get the metadata and nothing else.
    pub metadata_only: bool,
}

impl AddTorrent {
    /// A torrent of which all is wanted, and of which nothing more is known.
    pub fn new(source: TorrentSource, data: DataPath) -> Self {
        Self {
            source,
            data,
            peers: Vec::new(),
            select: None,
            priorities: Vec::new(),
            trackers: None,
            resume: None,
            patience: None,
            seed_only: false,
            metadata_only: false,
        }
    }
}

/// What the torrents of a session share.
pub(crate) struct Shared {
    config: SessionConfig,
    listen: SocketAddr,
    own: OwnAddrs,
    /// The directory is one of this machine alone, so that it may name peers on loopback.
    local_directory: bool,
    addrs: PeerAddrs,
    peer_id: [u8; 20],
    limits: Limits,
    files: OpenFiles,
    web: Arc<WebClient>,
    dht: Option<DhtNode>,
    lsd: Option<Lsd>,
    index: Option<IndexNode>,
    utp: Option<UtpEndpoint>,
    torrents: Mutex<Served>,
    blocklist: RwLock<Arc<Blocklist>>,
    /// Grows with each blocklist.
    blocklists: AtomicU64,
    announces: AnnounceTurns,
    /// Torrents are to end.
    ending: watch::Sender<bool>,
    traffic: Mutex<Sampled>,
}

/// What the directory has cost, as of some moment.
#[derive(Default)]
struct Sampled {
    at: Option<tokio::time::Instant>,
    traffic: Option<DirectoryTraffic>,
}

/// How long the end waits for torrents: longer than each of them takes.
const END: Duration = Duration::from_secs(8); // guess: the disk's and the trackers' five, and the loops of a thousand

/// What the directory costs is asked for no more often.
const SAMPLE: Duration = Duration::from_secs(1); // as often as numbers are told

impl Shared {
    fn torrents(&self) -> std::sync::MutexGuard<'_, Served> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the directory has cost, as of a moment ago; that is asked for once for all torrents.
    fn traffic(self: &Arc<Self>) -> Option<DirectoryTraffic> {
        let index = self.index.as_ref()?;
        let mut sampled = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        let now = tokio::time::Instant::now();
        if sampled.at.is_none_or(|at| now - at >= SAMPLE) {
            sampled.at = Some(now);
            let (shared, asked) = (self.clone(), index.traffic());
            tokio::spawn(async move {
                let traffic = asked.await;
                let sampled = shared.traffic.lock();
                sampled.unwrap_or_else(PoisonError::into_inner).traffic = traffic;
            });
        }
        sampled.traffic
    }

    /// Whether the user wants nothing to do with this host.
    fn is_blocked(&self, ip: IpAddr) -> bool {
        let list = self.blocklist.read();
        list.unwrap_or_else(PoisonError::into_inner).contains(ip)
    }
}

/// A running session.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
    ports: Mutex<Option<PortMapper>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Opens the sockets and starts the index node.
    ///
    /// # Errors
    /// [`SessionError`] when an address is taken or does not exist on this machine.
    pub async fn start(mut config: SessionConfig) -> Result<Self, SessionError> {
        let limits = Limits::new(&config.limits);
        config.conn.memory = limits.memory().clone();
        let socket = address::listen(config.listen).await?;
        let listen = canonical(socket.local_addr().map_err(|source| {
            let addr = config
                .listen
                .unwrap_or_else(|| (std::net::Ipv4Addr::UNSPECIFIED, 0).into());
            ListenError::Other { addr, source }
        })?);
        let utp = config.transports.open_utp(listen)?;
        // where it is not used nobody shall wait in its queue
        let socket = (config.transports != Transports::Utp).then_some(socket);
        let (named, settings) = (config.bootstrap.clone(), config.index_settings.clone());
        let index = match config.index {
            IndexUse::Colocated(at) => {
                Some(IndexNode::colocated(at, listen.ip(), named, settings).await?)
            }
            IndexUse::Client
                if named.is_empty()
                    && !config.bootstrap_grows
                    && !settings.lan
                    && !config.rendezvous =>
            {
                None
            }
            IndexUse::Client => Some(IndexNode::client(listen.ip(), named, settings).await?),
        };
        let colocated = matches!(config.index, IndexUse::Colocated(_));
        let reach = reach(listen, &config.bootstrap, colocated);
        let own = OwnAddrs::new(listen);
        let shared = Arc::new(Shared {
            web: Arc::new(WebClient::new(own.clone())),
            own,
            local_directory: reach.local,
            addrs: reach.addrs,
            listen,
            peer_id: our_peer_id(&mut rand::rng()),
            files: OpenFiles::new(config.limits.open_files),
            limits,
            lsd: config.lsd.then(|| Lsd::spawn(listen)).flatten(),
            dht: config.dht.then(|| {
                let mut dht = DhtConfig::default();
                if let Some(bootstrap) = &config.dht_bootstrap {
                    dht.bootstrap.clone_from(bootstrap);
                }
                DhtNode::spawn(dht)
            }),
            index,
            utp,
            torrents: Mutex::default(),
            blocklist: RwLock::default(),
            blocklists: AtomicU64::new(0),
            announces: AnnounceTurns::default(),
            ending: watch::Sender::new(false),
            traffic: Mutex::default(),
            config,
        });
        if let (Some(index), Some(dht), true) =
            (&shared.index, &shared.dht, shared.config.rendezvous)
        {
            index.meet_through(dht, RendezvousConfig::default());
        }
        let ports = shared.config.map_ports.and_then(|lease| {
            let mut listening = Vec::new();
            if socket.is_some() {
                listening.push((Protocol::Tcp, listen));
            }
            if shared.utp.is_some() {
                listening.push((Protocol::Udp, listen));
            }
            if let Some(index) = &shared.index {
                listening.push((Protocol::Udp, index.local_addr()));
            }
            PortMapper::spawn(&PortMapConfig { listening, lease })
        });
        let listener = tokio::spawn(accept_loop(socket, shared.clone()));
        Ok(Self {
            shared,
            listener,
            ports: Mutex::new(ports),
        })
    }

    /// Where peers can connect to.
    pub fn listen_addr(&self) -> SocketAddr {
        self.shared.listen
    }

    /// UDP address of the colocated index node, by which others can join the directory.
    pub fn index_addr(&self) -> Option<SocketAddr> {
        let index = self.shared.index.as_ref().filter(|i| i.is_index());
        index.map(IndexNode::local_addr)
    }

    /// The memory that pieces and blocks of all torrents take.
    pub fn memory(&self) -> &crate::limits::Memory {
        self.shared.limits.memory()
    }

    /// The session's own index node, or its client of others'.
    pub fn index(&self) -> Option<&IndexNode> {
        self.shared.index.as_ref()
    }

    /// What the directory has cost, as of about a second ago; `None` without one, and when that was never asked for before.
    pub fn traffic(&self) -> Option<DirectoryTraffic> {
        self.shared.traffic()
    }

    /// The rate limits of all torrents together; they can be changed at any time.
    pub fn limiters(&self) -> &Limiters {
        self.shared.limits.rates()
    }

    /// Connections of all torrents together.
    pub fn connections(&self) -> usize {
        self.shared.limits.connections()
    }

    /// So many connections of all torrents together from now on, at least 1; those that are too many stay until they end.
    pub fn set_connections(&self, most: usize) {
        self.shared.limits.set_connections(most.max(1));
    }

    /// Addresses with which no connection is made from now on, in either direction; those there are end within seconds. Web
    /// seeds, trackers and index nodes are none of the peers that this is about.
    pub fn set_blocklist(&self, list: Arc<Blocklist>) {
        let slot = self.shared.blocklist.write();
        *slot.unwrap_or_else(PoisonError::into_inner) = list;
        self.shared.blocklists.fetch_add(1, Relaxed);
    }

    /// Starts a torrent.
    ///
    /// # Errors
    /// [`TorrentError::Twice`] when the session has it already; what the disk refuses comes as an event.
    pub async fn add(&self, add: AddTorrent) -> Result<TorrentHandle, TorrentError> {
        let info_hash = add.source.info_hash();
        let (input, inbox) = mpsc::channel(self.shared.config.inbox);
        let listed = Listed {
            input: input.clone(),
            private: add.source.is_private(),
        };
        if !self.shared.torrents().insert(info_hash, listed) {
            return Err(TorrentError::Twice {
                info_hash: hex(&info_hash),
            });
        }
        let (events, outbox) = mpsc::channel(64);
        let (stop, stopped) = watch::channel(Stop::No);
        let (tell_last, last) = oneshot::channel();
        let limiters = Limiters::new(self.shared.config.limits.torrent_rates);
        let control = TorrentControl::new(input.clone(), limiters.clone());
        let torrent = Torrent::new(self.shared.clone(), add, input, events, limiters);
        let torrent = Box::new(torrent);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let last = torrent.run(inbox, stopped).await;
            shared.torrents().remove(&info_hash);
            let _ = tell_last.send(last);
        });
        Ok(TorrentHandle {
            info_hash,
            control,
            events: outbox,
            stop,
            last,
        })
    }

    /// Stops the torrents that are left, closes the sockets and takes mapped ports back. Ends within ten seconds, whatever
    /// trackers and disks do.
    pub async fn shutdown(&self) {
        self.shared.ending.send_replace(true);
        let mut left = self.shared.torrents().watch();
        let ports = (self.ports.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ended = async {
            let _ = tokio::time::timeout(END, left.wait_for(|left| *left == 0)).await;
            self.listener.abort();
            if let Some(index) = &self.shared.index {
                index.shutdown().await;
            }
        };
        // at the same time: a router may take as long as a tracker
        tokio::join!(ended, unmap(ports));
    }
}

#[cfg(test)]
impl Session {
    /// One that nobody finds, and that looks for nobody but through trackers.
    async fn quiet() -> Self {
        let config = SessionConfig {
            listen: Some((std::net::Ipv4Addr::LOCALHOST, 0).into()),
            index: IndexUse::Client,
            dht: false,
            lsd: false,
            map_ports: None,
            ..SessionConfig::default()
        };
        Self::start(config).await.expect("a session")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// One torrent of a session. Dropping the handle stops it.
#[derive(Debug)]
pub struct TorrentHandle {
    info_hash: [u8; 20],
    control: TorrentControl,
    events: mpsc::Receiver<Box<TorrentEvent>>,
    stop: watch::Sender<Stop>,
    last: oneshot::Receiver<(Progress, Option<Resume>)>,
}

impl TorrentHandle {
    /// The infohash in hexadecimal.
    pub fn info_hash(&self) -> String {
        hex(&self.info_hash)
    }

    /// The torrent's own rate limits, under those of all torrents; they can be changed at any time.
    pub fn limiters(&self) -> &Limiters {
        self.control.limiters()
    }

    /// What can be asked of it, for others too.
    pub fn control(&self) -> TorrentControl {
        self.control.clone()
    }

    /// The next event; `None` when the torrent has ended.
    pub async fn next(&mut self) -> Option<TorrentEvent> {
        Some(*self.events.recv().await?)
    }

    /// Stops it in an orderly way: withdraws from the directory, tells the tracker, closes connections. Returns the
    /// last numbers.
    pub async fn stop(self) -> Progress {
        self.end(Stop::Now).await.0
    }

    /// The same, with what the next start need not hash, unless the torrent has failed or had not looked at its data. Takes
    /// two seconds longer where something was written just now: a file that has just changed vouches for nothing.
    pub async fn stop_saved(self) -> (Progress, Option<Resume>) {
        self.end(Stop::Saved).await
    }

    async fn end(self, how: Stop) -> (Progress, Option<Resume>) {
        let _ = self.stop.send(how);
        drop(self.events);
        self.last.await.unwrap_or_default()
    }
}

/// Takes connections in and hands each to its torrent.
async fn accept_loop(listener: Option<TcpListener>, shared: Arc<Shared>) {
    // apart: who opens a connection over uTP may be nobody, and is not to take the place of a caller over TCP
    let most = shared.config.limits.callers;
    let (mut tcp_callers, mut utp_callers) = (Callers::new(most), Callers::new(most));
    // by a task of its own: a call that is no longer waited for would be lost
    let (forward, mut over_utp) = mpsc::channel(1);
    let mut forwarder = JoinSet::new();
    forwarder.spawn(forward_callers(shared.clone(), forward));
    loop {
        let accepted = tokio::select! {
            accepted = accept_tcp(listener.as_ref()) => accepted,
            Some(caller) = over_utp.recv() => Ok(caller),
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // out of file descriptors or the like: give others time to close some
                tracing::debug!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if shared.is_blocked(remote.ip()) {
            tracing::trace!("{remote} is on the blocklist");
            continue;
        }
        let shared = shared.clone();
        let callers = match stream.transport() {
            Transport::Tcp => &mut tcp_callers,
            Transport::Utp => &mut utp_callers,
        };
        callers.admit(async move {
            let ours = |asked: Asked<'_>| {
                let torrents = shared.torrents();
                let (hash, listed) = torrents.find(asked)?;
                let dht = shared.dht.is_some() && !listed.private;
                Some(Handshake::ours(hash, shared.peer_id).with_dht(dht))
            };
            let peer = match accept(stream, remote, ours, &shared.config.conn).await {
                Ok(peer) => peer,
                Err(e) => return tracing::trace!("incoming connection: {e}"),
            };
            let Some(permit) = shared.limits.try_connection() else {
                return;
            };
            let torrent = shared.torrents().get(&peer.handshake.info_hash).cloned();
            if let Some(torrent) = torrent {
                // in a task of its own: this caller is no longer one
                tokio::spawn(async move {
                    let accepted = Input::Accepted(Box::new((peer, permit)));
                    torrent.input.send(accepted).await
                });
            }
        });
    }
}

/// The next caller over TCP, if it is used.
async fn accept_tcp(listener: Option<&TcpListener>) -> std::io::Result<(Stream, SocketAddr)> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, remote) = listener.accept().await?;
    Ok((stream.into(), remote))
}

/// Callers that have not completed their handshake. One too many ends the oldest: whoever means it is done in a
/// round-trip or two, and a crowd that says nothing cannot keep others out.
struct Callers {
    most: usize,
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
}

impl Callers {
    fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            tasks: JoinSet::new(),
            order: VecDeque::new(),
        }
    }

    fn admit(&mut self, caller: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        if self.order.len() >= self.most {
            self.order.retain(|c| !c.is_finished());
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(caller));
    }
}

/// Hexadecimal, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
