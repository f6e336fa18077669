//! The tracker itself: announces in, lookups and publications out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast::id::Id;
use chunkcast::wire::{MAX_CHUNKS, PeerAddrs};
use sha1::{Digest, Sha1};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::announce::Announce;
use super::answer::Answer;
use super::choice::FEW;
use super::client::{Follower, State, fetch_metadata};
use super::feed::{Fed, FeedKey};
use super::search::{P, Search};
use crate::discovery::Event;
use crate::limits::Limits;
use crate::limits::address::{AddrSource, OwnAddrs, acceptable};
use crate::metadata::Metainfo;
use crate::session::{Directory, object_id, reach};
use crate::wire::conn::ConnConfig;

/// How often an answer to one that begins waits for others.
const SETTLES: usize = 4; // guess

/// Why a private torrent is not served. Transmission shows 127 characters.
const PRIVATE: &str = "this torrent is private: only its own tracker may serve it (BEP 27)";

/// Why one is not that may be private.
const WITHHELD: &str = "no metadata from this client, so the torrent is taken for private (BEP 27); if it is not, run with --torrent FILE";

/// How the tracker works.
#[derive(Clone, Debug)]
pub struct FacadeConfig {
    /// Where clients of this host are published to be, with any port.
    pub published: PeerAddrs,
    /// The directory is one of this machine alone: its peers, and clients, may be on loopback.
    pub local: bool,
    /// What is not dialled or answered.
    pub own: OwnAddrs,
    /// When a client that lacks something asks again.
    pub interval: Duration,
    /// When it does if few peers, or hardly any near ones, were found for it.
    pub few_interval: Duration,
    /// When one that has everything does.
    pub seed_interval: Duration,
    /// When one does whose torrent is not known yet.
    pub unknown_interval: Duration,
    /// When any may ask again at the earliest; until then it gets the same answer.
    pub min_interval: Duration,
    /// How long an announce waits for what is not known yet. HTTP clients wait for 30 s and more, those over UDP ask again
    /// after 15 s.
    pub patience: Duration,
    /// How long an answer to one that begins waits for near peers that begin at the same moment, if none has anything yet;
    /// and again if there were, four times at most.
    pub settle: Duration,
    /// A client that has not announced itself for so long is forgotten; one that nobody listens for any more is withdrawn
    /// before.
    pub forget: Duration,
    /// The clients are in this process, and such as take no connections before they have the metadata: it is looked for
    /// among others as soon as a client cannot be reached. Of a stock client that would tell the directory the infohashes of
    /// private torrents.
    pub in_process: bool,
    /// Torrents that are known at a time.
    pub torrents: usize,
    /// Clients of one torrent.
    pub clients: usize,
    /// Clients that are visited at a time.
    pub visits: usize,
    /// Connections to clients that are kept.
    pub stays: usize,
    /// Each connection to a client.
    pub conn: ConnConfig,
}

impl Default for FacadeConfig {
    fn default() -> Self {
        Self {
            published: PeerAddrs::default(),
            local: false,
            own: OwnAddrs::default(),
            interval: Duration::from_secs(60), // guess: a thirtieth of what public trackers ask for
            few_interval: Duration::from_secs(20), // guess
            seed_interval: Duration::from_secs(300), // guess
            unknown_interval: Duration::from_secs(10), // guess
            min_interval: Duration::from_secs(10), // guess
            patience: Duration::from_secs(8),  // guess: below a UDP client's 15 s
            settle: Duration::from_secs(1),    // guess: a visit, and a publication
            forget: Duration::from_secs(2100), // guess: clients that wait for half an hour whatever they are told
            in_process: false,
            torrents: 10_000, // guess
            clients: 32,      // guess
            visits: 16,       // guess
            stays: 100,       // guess: half of Transmission's connections of all torrents
            conn: ConnConfig::default(),
        }
    }
}

impl FacadeConfig {
    /// For clients on the host of an index node that listens at `node` and joins through `bootstrap`.
    pub fn beside(node: SocketAddr, bootstrap: &[SocketAddr]) -> Self {
        // where they are found: as if they were bound like the index node
        let bound = match node.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED.into(),
            ip => ip,
        };
        // each has a port of its own
        let reach = reach(SocketAddr::new(bound, node.port()), bootstrap, true);
        Self {
            published: reach.addrs,
            local: reach.local,
            own: OwnAddrs::new(node),
            ..Self::default()
        }
    }
}

/// What is known of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing but its infohash.
    Unknown,
    /// It is not private, and has so many pieces.
    Public(u32),
    /// It is not served.
    Private,
    /// A client has pieces of it and does not hand out the metadata: nor is it served.
    Withheld,
}

impl Known {
    pub(super) fn of(meta: &Metainfo) -> Self {
        match meta.private {
            true => Self::Private,
            false => Self::Public(meta.layout.piece_count()),
        }
    }

    pub(super) fn pieces(self) -> Option<u32> {
        match self {
            Self::Public(pieces) => Some(pieces),
            Self::Unknown | Self::Private | Self::Withheld => None,
        }
    }
}

/// Why an announce gets no peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// A line for the client's user.
    pub reason: String,
    /// Whether another announce may be answered.
    pub retry: bool,
}

impl Refusal {
    fn new(reason: impl Into<String>, retry: bool) -> Self {
        Self {
            reason: reason.into(),
            retry,
        }
    }
}

/// What the tracker has done so far, and has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FacadeStats {
    /// Torrents that somebody announced of late.
    pub torrents: usize,
    /// Clients, counted once for each of their torrents.
    pub clients: usize,
    /// Announces that were answered.
    pub announces: u64,
    /// Announces that were refused.
    pub refused: u64,
    /// Lookups made for them.
    pub lookups: u64,
}

/// What the parts of the tracker share.
pub(super) struct Shared {
    pub(super) config: FacadeConfig,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) peer_id: [u8; 20],
    pub(super) visits: Arc<Semaphore>,
    pub(super) stays: Arc<Semaphore>,
    /// One handshake at a time with each client: Transmission takes no second one from an address.
    doors: Mutex<BTreeMap<SocketAddr, Arc<Semaphore>>>,
    limits: Limits,
    /// Makes the tags of this tracker's clients differ from those of all others.
    salt: [u8; 20],
    torrents: Mutex<Torrents>,
}

#[derive(Default)]
struct Torrents {
    by_hash: BTreeMap<[u8; 20], Torrent>,
    /// Known before anybody announced them.
    given: BTreeMap<[u8; 20], Known>,
    /// What clients in this process tell.
    feeds: BTreeMap<FeedKey, Arc<watch::Sender<Fed>>>,
    stats: FacadeStats,
}

struct Torrent {
    known: Arc<watch::Sender<Known>>,
    clients: BTreeMap<SocketAddr, Client>,
}

struct Client {
    tag: Id,
    /// Where it is published to be.
    addrs: PeerAddrs,
    /// It is forgotten then.
    until: Instant,
    state: watch::Receiver<State>,
    /// Has it visited now.
    wake: Arc<Notify>,
    task: AbortHandle,
    answer: Option<(Instant, Answer)>,
    /// How many pieces it had when it was last told of near peers alone.
    near_only: Option<u32>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an announce needs of its client.
struct Asker {
    near_only: Option<u32>,
    known: watch::Receiver<Known>,
    state: watch::Receiver<State>,
    addrs: PeerAddrs,
    fresh: Option<Answer>,
}

impl Shared {
    pub(super) fn new(
        config: FacadeConfig,
        directory: Arc<dyn Directory>,
        limits: Limits,
        given: &[Metainfo],
    ) -> Arc<Self> {
        let torrents = Torrents {
            given: given.iter().map(|m| (m.info_hash, Known::of(m))).collect(),
            ..Torrents::default()
        };
        Arc::new(Self {
            directory,
            peer_id: crate::wire::handshake::our_peer_id(&mut rand::rng()),
            visits: Arc::new(Semaphore::new(config.visits)),
            stays: Arc::new(Semaphore::new(config.stays)),
            doors: Mutex::default(),
            limits,
            salt: rand::random(),
            torrents: Mutex::new(torrents),
            config,
        })
    }

    pub(super) fn stats(&self) -> FacadeStats {
        let all = self.torrents();
        FacadeStats {
            torrents: all.by_hash.len(),
            clients: all.by_hash.values().map(|t| t.clients.len()).sum(),
            ..all.stats
        }
    }

    /// Takes back what was published of one client.
    pub(super) fn withdraw(&self, info_hash: &[u8; 20], tag: Id) {
        self.directory.withdraw(object_id(info_hash), Some(tag));
    }

    /// Forgets everybody.
    pub(super) fn clear(&self) {
        for (hash, torrent) in std::mem::take(&mut self.torrents().by_hash) {
            for client in torrent.clients.values() {
                self.withdraw(&hash, client.tag);
            }
        }
    }

    /// Forgets clients that have not announced themselves for too long, and what nobody tells of any more.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut all = self.torrents();
        all.forget_untold();
        self.doors().retain(|_, door| Arc::strong_count(door) > 1);
        all.by_hash.retain(|hash, torrent| {
            torrent.clients.retain(|_, client| {
                let stays = client.until > now;
                if !stays {
                    self.withdraw(hash, client.tag);
                }
                stays
            });
            !torrent.clients.is_empty()
        });
    }

    /// Peers that were found last for a client of this host: how many have everything, and how many do not.
    pub(super) fn scrape(&self, hash: &[u8; 20]) -> (u32, u32) {
        let all = self.torrents();
        let clients = all
            .by_hash
            .get(hash)
            .into_iter()
            .flat_map(|t| t.clients.values());
        let last = clients.filter_map(|c| c.answer.as_ref());
        let last = last.max_by_key(|(at, _)| *at);
        last.map_or((0, 0), |(_, a)| (a.complete, a.incomplete))
    }

    /// Answers an announce from `from`.
    pub(super) async fn announce(
        self: &Arc<Self>,
        from: IpAddr,
        announce: &Announce,
    ) -> Result<Answer, Refusal> {
        let answer = self.answer(from.to_canonical(), announce).await;
        let mut all = self.torrents();
        match &answer {
            Ok(_) => all.stats.announces += 1,
            Err(_) => all.stats.refused += 1,
        }
        answer
    }

    async fn answer(
        self: &Arc<Self>,
        from: IpAddr,
        announce: &Announce,
    ) -> Result<Answer, Refusal> {
        if announce
            .ip
            .is_some_and(|ip| ip.to_canonical() != from && !ip.is_loopback())
        {
            let reason = "ip of the announce is not where it comes from: leave it out";
            return Err(Refusal::new(reason, true));
        }
        let addr = SocketAddr::new(from, announce.port);
        let hash = announce.info_hash;
        if announce.event == Event::Stopped {
            self.stopped(&hash, addr);
            return Ok(self.timed(self.config.interval));
        }
        let mut asker = self.heard(&hash, addr, announce)?;
        if let Some(answer) = asker.fresh.take() {
            return Ok(answer);
        }
        let found_out = async {
            let known = asker.known.wait_for(|k| *k != Known::Unknown);
            let failed = asker.state.wait_for(|s| s.reached == Some(false));
            tokio::select! {
                _ = known => {}
                _ = failed => {}
            }
        };
        let _ = timeout(self.config.patience, found_out).await;
        let known = *asker.known.borrow();
        let answer = match known {
            Known::Private => return Err(self.refused(&hash, PRIVATE)),
            Known::Withheld => return Err(self.refused(&hash, WITHHELD)),
            Known::Unknown => self.not_known(&asker.state.borrow(), announce.port),
            Known::Public(pieces) => {
                // the bits come right after the handshake, and without them anybody would do
                let told = asker
                    .state
                    .wait_for(|s| s.held.is_some() || s.reached == Some(false));
                let _ = timeout(self.config.patience, told).await.map(drop);
                let state = asker.state.borrow().clone();
                self.found(&hash, addr, &asker, pieces, &state, announce)
                    .await
            }
        };
        if let Some(client) = self.torrents().client(&hash, addr) {
            client.answer = Some((Instant::now(), answer.clone()));
        }
        Ok(answer)
    }

    /// A client has announced itself.
    fn heard(
        self: &Arc<Self>,
        hash: &[u8; 20],
        addr: SocketAddr,
        announce: &Announce,
    ) -> Result<Asker, Refusal> {
        let now = Instant::now();
        let mut all = self.torrents();
        let given = all.given.get(hash).copied();
        if all.by_hash.len() >= self.config.torrents && !all.by_hash.contains_key(hash) {
            return Err(Refusal::new("too many torrents are announced here", true));
        }
        let torrent = all.by_hash.entry(*hash).or_insert_with(|| Torrent {
            known: Arc::new(watch::Sender::new(given.unwrap_or(Known::Unknown))),
            clients: BTreeMap::new(),
        });
        if *torrent.known.borrow() == Known::Private {
            drop(all);
            return Err(self.refused(hash, PRIVATE));
        }
        if torrent.clients.len() >= self.config.clients && !torrent.clients.contains_key(&addr) {
            return Err(Refusal::new(
                "too many clients announce this torrent here",
                true,
            ));
        }
        let (known, asked) = (torrent.known.clone(), torrent.known.subscribe());
        let is_new = !torrent.clients.contains_key(&addr);
        if is_new {
            let told = match self.config.in_process {
                true => all
                    .feeds
                    .entry((*hash, announce.peer_id))
                    .or_default()
                    .clone(),
                false => Arc::default(),
            };
            let client = self.begin(*hash, addr, known, told);
            all.by_hash
                .get_mut(hash)
                .map(|t| t.clients.insert(addr, client));
        }
        let torrent = all.by_hash.get_mut(hash);
        let Some(client) = torrent.and_then(|t| t.clients.get_mut(&addr)) else {
            return Err(Refusal::new("the torrent was forgotten just now", true));
        };
        client.until = now + self.config.forget;
        if announce.event == Event::Started
            && !is_new
            && client.state.borrow().reached == Some(false)
        {
            // it was stopped, and takes connections again
            client.wake.notify_one();
        }
        let fresh = client.answer.as_ref();
        let fresh = fresh.filter(|(at, answer)| now - *at < answer.min_interval);
        Ok(Asker {
            near_only: client.near_only,
            fresh: fresh.map(|(_, answer)| answer.clone()),
            known: asked,
            state: client.state.clone(),
            addrs: client.addrs,
        })
    }

    /// A client that was not there before.
    fn begin(
        self: &Arc<Self>,
        hash: [u8; 20],
        addr: SocketAddr,
        known: Arc<watch::Sender<Known>>,
        told: Arc<watch::Sender<Fed>>,
    ) -> Client {
        let tag = Sha1::new()
            .chain_update(self.salt)
            .chain_update(addr.to_string())
            .finalize();
        let tag = Id(tag.into());
        let addrs = self.published(addr);
        let (state, seen) = watch::channel(State::default());
        let wake = Arc::new(Notify::new());
        let follower = Follower {
            shared: self.clone(),
            info_hash: hash,
            addr,
            addrs,
            tag,
            known,
            state,
            told,
            wake: wake.clone(),
        };
        Client {
            tag,
            addrs,
            until: Instant::now(),
            state: seen,
            wake,
            task: tokio::spawn(follower.run()).abort_handle(),
            answer: None,
            near_only: None,
        }
    }

    /// A client in this process tells of a torrent from now on.
    pub(super) fn fed(&self, meta: &Metainfo, key: FeedKey) -> Arc<watch::Sender<Fed>> {
        let mut all = self.torrents();
        let known = Known::of(meta);
        all.given.insert(meta.info_hash, known);
        if let Some(torrent) = all.by_hash.get(&meta.info_hash) {
            torrent.known.send_if_modified(|k| {
                let changes = *k == Known::Unknown;
                *k = if changes { known } else { *k };
                changes
            });
        }
        all.feeds.entry(key).or_default().clone()
    }

    /// Where others reach a client that is seen at `addr`.
    fn published(&self, addr: SocketAddr) -> PeerAddrs {
        if !addr.ip().is_loopback() || self.config.local {
            return addr.into();
        }
        let mut addrs = self.config.published;
        if let Some(v4) = &mut addrs.v4 {
            v4.set_port(addr.port());
        }
        if let Some(v6) = &mut addrs.v6 {
            v6.set_port(addr.port());
        }
        addrs
    }

    fn stopped(&self, hash: &[u8; 20], addr: SocketAddr) {
        let mut all = self.torrents();
        let Some(torrent) = all.by_hash.get_mut(hash) else {
            return;
        };
        if let Some(client) = torrent.clients.remove(&addr) {
            self.withdraw(hash, client.tag);
        }
        if torrent.clients.is_empty() {
            all.by_hash.remove(hash);
        }
    }

    /// The torrent is not served; a private one is kept in mind without its clients.
    fn refused(&self, hash: &[u8; 20], reason: &str) -> Refusal {
        let mut all = self.torrents();
        if let Some(torrent) = all.by_hash.remove(hash) {
            for client in torrent.clients.values() {
                self.withdraw(hash, client.tag);
            }
        }
        if reason == PRIVATE && all.given.len() < self.config.torrents {
            all.given.insert(*hash, Known::Private);
        }
        Refusal::new(reason, false)
    }

    fn not_known(&self, state: &State, port: u16) -> Answer {
        let warning = match state.reached {
            Some(false) => unreachable(port),
            _ if state.lacks_metadata => {
                "the client has no metadata of this magnet link, and nobody near has it yet"
                    .to_owned()
            }
            _ => "ChunkCast is still reading this torrent's metadata from the client".to_owned(),
        };
        Answer {
            warning: Some(warning),
            ..self.timed(self.config.unknown_interval)
        }
    }

    fn timed(&self, interval: Duration) -> Answer {
        Answer {
            interval,
            min_interval: interval.min(self.config.min_interval),
            ..Answer::default()
        }
    }

    /// The nearest peers that have what the client lacks; then others.
    async fn found(
        &self,
        hash: &[u8; 20],
        addr: SocketAddr,
        asker: &Asker,
        pieces: u32,
        state: &State,
        announce: &Announce,
    ) -> Answer {
        // a session that has no metadata yet lacks nothing that it knows of
        let says = announce.left == 0 && !(self.config.in_process && state.held.is_none());
        let complete = says || state.held.as_ref().is_some_and(|h| h.is_full());
        let mut answer = self.timed(match complete {
            true => self.config.seed_interval,
            false => self.config.interval,
        });
        if state.reached == Some(false) {
            answer.warning = Some(unreachable(announce.port));
        }
        let (mut peers, published) = self.neighbours(hash, addr, &mut answer);
        // whoever has everything is dialled by those who lack something
        if !complete && announce.numwant > peers.len() {
            let held = state.held.as_ref().filter(|_| pieces <= MAX_CHUNKS);
            let lacks = held.map(ChunkSet::complement);
            let mut search = Search::new(*hash, asker.addrs, lacks, pieces);
            self.search(&mut search, announce.numwant).await;
            let here = self.directory.coord();
            if announce.event == Event::Started {
                self.settle(&mut search).await;
            }
            let has = state.held.as_ref().map_or(0, ChunkSet::count);
            // at less than a fiftieth of it a turn it would take the better part of an hour
            let least = (pieces / 50).max(1);
            let stuck = asker.near_only.is_some_and(|had| had + least > has);
            let (named, near) = search.choose(&here, stuck);
            let near_only = (near > 0 && named.len() == near).then_some(has);
            if let Some(client) = self.torrents().client(hash, addr) {
                client.near_only = near_only;
            }
            tracing::debug!(
                "{}: {near} near ones and {} others of {}",
                object_id(hash),
                named.len() - near,
                search.found().count(),
            );
            for found in named {
                tracing::trace!("{found:?}, {:?} away", here.apart(&found.coord));
                let addrs = found.addrs.iter().filter(|a| self.acceptable(*a));
                let addrs = addrs.filter(|a| !published.contains(a) && !asker.addrs.contains(*a));
                let before = peers.len();
                peers.extend(addrs);
                if peers.len() > before {
                    // one that has all that is lacked is no seed for that
                    answer.count(found.matched >= pieces);
                }
            }
            // and those who wait for near ones are looked after
            if peers.len() < FEW || near < 2 || near_only.is_some() {
                answer.interval = self.config.few_interval;
            }
        }
        let mut seen = BTreeSet::new();
        peers.retain(|a| seen.insert(*a));
        peers.truncate(announce.numwant);
        answer.peers = peers;
        answer
    }

    /// Looks again while those near have nothing yet and become more: others of this place begin at the same moment, and this
    /// answer is the only one for a while.
    async fn settle(&self, search: &mut Search) {
        let here = self.directory.coord();
        for turn in 0..SETTLES {
            let Some(before) = search.beginners(&here) else {
                return;
            };
            sleep(self.config.settle).await;
            self.search_again(search).await;
            let after = search.beginners(&here);
            // what is published takes a moment on its way to the root
            if after == Some(before) && turn > 0 {
                return;
            }
        }
    }

    /// Other clients of the torrent that announce here: as seen from this host, and where they are published to be. They are
    /// counted in the answer.
    fn neighbours(
        &self,
        hash: &[u8; 20],
        addr: SocketAddr,
        answer: &mut Answer,
    ) -> (Vec<SocketAddr>, BTreeSet<SocketAddr>) {
        let mut all = self.torrents();
        let (mut near, mut published) = (Vec::new(), BTreeSet::new());
        let Some(torrent) = all.by_hash.get_mut(hash) else {
            return (near, published);
        };
        for (at, client) in torrent.clients.iter().filter(|(at, _)| **at != addr) {
            let state = client.state.borrow();
            if state.reached != Some(false) && at.ip().is_loopback() == addr.ip().is_loopback() {
                answer.count(state.held.as_ref().is_some_and(|h| h.is_full()));
                near.push(*at);
                published.extend(client.addrs.iter());
            }
        }
        (near, published)
    }

    /// Whether the budget has a lookup left; counts it.
    pub(super) async fn may_look_up(&self) -> bool {
        let may = self.limits.lookup().await;
        self.torrents().stats.lookups += u64::from(may);
        may
    }

    /// Looks for the metadata of a torrent whose client does not have it, among those who have published it.
    pub(super) async fn learn(
        self: &Arc<Self>,
        hash: [u8; 20],
        asker: PeerAddrs,
    ) -> Option<bytes::Bytes> {
        let mut search = Search::new(hash, asker, None, 0);
        self.search(&mut search, usize::from(P)).await;
        for found in search.found() {
            for addr in found.addrs.iter().filter(|a| self.acceptable(*a)) {
                if let Some(info) = fetch_metadata(self, hash, addr).await {
                    return Some(info);
                }
            }
        }
        None
    }

    fn acceptable(&self, addr: SocketAddr) -> bool {
        let source = match self.config.local && addr.ip().is_loopback() {
            true => AddrSource::Manual,
            false => AddrSource::Public,
        };
        acceptable(addr, source, &self.config.own).is_ok()
    }

    /// Whoever holds its permit may shake hands with the client.
    pub(super) fn door(&self, client: SocketAddr) -> Arc<Semaphore> {
        let mut doors = self.doors();
        let door = doors
            .entry(client)
            .or_insert_with(|| Arc::new(Semaphore::new(1)));
        door.clone()
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<Semaphore>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn torrents(&self) -> MutexGuard<'_, Torrents> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable(port: u16) -> String {
    format!(
        "ChunkCast cannot connect to this client on port {port}, so nobody is told what it has: does it listen there, and \
         take connections without encryption?"
    )
}

impl Torrents {
    fn forget_untold(&mut self) {
        let (feeds, given) = (&mut self.feeds, &mut self.given);
        feeds.retain(|(hash, _), told| {
            // a client that announces it has one too
            let stays = told.borrow().is_fed() || Arc::strong_count(told) > 1;
            if !stays && given.get(hash) != Some(&Known::Private) {
                given.remove(hash);
            }
            stays
        });
    }

    fn client(&mut self, hash: &[u8; 20], addr: SocketAddr) -> Option<&mut Client> {
        self.by_hash.get_mut(hash)?.clients.get_mut(&addr)
    }
}
