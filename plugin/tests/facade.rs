//! The directory as a tracker: stock clients written by hand announce to it, over HTTP and UDP.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a hand-written client is sockets, and waits for conditions; locks here are never poisoned"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{LookupError, LookupRequest, Publication};
use chunkcast::wire::{Found, Match, PeerAddrs, Wanted};
use chunkcast_bittorrent::discovery::http_tracker::parse_http_response;
use chunkcast_bittorrent::discovery::udp_tracker::{
    UdpAnswer, announce_request, connect_request, parse_udp,
};
use chunkcast_bittorrent::discovery::{
    AnnounceRequest, AnnounceResponse, Event, TrackerError, TransferCounts,
};
use chunkcast_bittorrent::facade::{Facade, FacadeConfig};
use chunkcast_bittorrent::limits::address::OwnAddrs;
use chunkcast_bittorrent::limits::{Limits, LimitsConfig};
use chunkcast_bittorrent::metadata::{Metainfo, metadata_piece};
use chunkcast_bittorrent::session::{Directory, DirectoryTraffic};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{ConnConfig, ConnEvent, Outbox, start};
use chunkcast_bittorrent::wire::connect::{Asked, accept};
use chunkcast_bittorrent::wire::encryption::Encryption;
use chunkcast_bittorrent::wire::extended::{ExtendedHandshake, OUR_UT_METADATA, UtMetadata};
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use chunkcast_bittorrent::wire::mse::key_hash;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// A test that waits longer than that has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// A directory in a table.
#[derive(Default)]
struct Table {
    entries: Mutex<BTreeMap<(ObjectId, Option<Id>), Publication>>,
    asked: Mutex<Vec<LookupRequest>>,
}

impl Table {
    /// Who is published of an object: address and chunks.
    fn published(&self, object: ObjectId) -> Vec<(SocketAddr, Vec<u32>)> {
        let entries = self.entries.lock().unwrap();
        let all = entries.iter().filter(|((o, _), _)| *o == object);
        all.filter_map(|(_, p)| Some((p.addrs.iter().next()?, p.held.iter().collect())))
            .collect()
    }

    async fn until_published(&self, object: ObjectId, expected: &[(SocketAddr, Vec<u32>)]) {
        let reached = async {
            while self.published(object) != expected {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = timeout(DEADLINE, reached).await.is_ok();
        assert!(
            in_time,
            "{:?}, expected {expected:?}",
            self.published(object)
        );
    }

    fn asked(&self) -> Vec<LookupRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// Somebody elsewhere has these chunks.
    fn stranger(&self, object: ObjectId, addr: SocketAddr, held: ChunkSet) {
        let publication = Publication {
            object,
            publisher: Some(Id([addr.port().to_be_bytes()[1]; 20])),
            addrs: addr.into(),
            chunks: held.len(),
            complete: held.is_full(),
            held,
            load: 0,
            reachable: true,
        };
        Directory::publish(self, publication);
    }
}

impl Directory for Table {
    fn publish(&self, p: Publication) {
        let mut entries = self.entries.lock().unwrap();
        entries.insert((p.object, p.publisher), p);
    }

    fn withdraw(&self, object: ObjectId, publisher: Option<Id>) {
        self.entries.lock().unwrap().remove(&(object, publisher));
    }

    fn lookup(&self, request: LookupRequest) -> BoxFuture<'static, Result<Found, LookupError>> {
        let entries = self.entries.lock().unwrap();
        let matched = |p: &Publication| match &request.wanted {
            Wanted::Any => Some(p.held.count()),
            Wanted::Chunks(c) => Some(c.overlap(&p.held)).filter(|n| *n > 0),
        };
        let matches = entries
            .values()
            .filter(|p| p.object == request.object && !p.addrs.shares(&request.asker))
            .filter(|p| !request.ignore.iter().any(|a| p.addrs.contains(*a)))
            .filter_map(|p| {
                Some(Match {
                    addrs: p.addrs,
                    coord: Coord::default(),
                    matched: matched(p)?,
                    load: 0,
                    reachable: true,
                })
            })
            .take(usize::from(request.p))
            .collect();
        self.asked.lock().unwrap().push(request);
        let found = Found {
            matches,
            hops: 0,
            root: true,
            by: Id([0; 20]),
            loaded: false,
            trace: Vec::new(),
        };
        Box::pin(async move { Ok(found) })
    }

    fn learn(&self, _: SocketAddr) {}

    fn coord(&self) -> Coord {
        Coord::default()
    }

    /// 127.0.0.9 is near.
    fn measured(&self, hosts: Vec<IpAddr>) -> BoxFuture<'static, Vec<Option<Duration>>> {
        let near = IpAddr::from([127, 0, 0, 9]);
        let rtt = |host: &IpAddr| (*host == near).then_some(Duration::from_millis(1));
        let measured = hosts.iter().map(rtt).collect();
        Box::pin(std::future::ready(measured))
    }

    fn dialable(&self) -> Option<bool> {
        None
    }

    fn traffic(&self) -> BoxFuture<'static, Option<DirectoryTraffic>> {
        Box::pin(async { None })
    }
}

/// A torrent of ten pieces.
fn torrent(private: bool) -> Arc<Metainfo> {
    let mut info = b"d6:lengthi163840e4:name8:file.bin12:piece lengthi16384e6:pieces200:".to_vec();
    info.extend((0..200).map(|i| u8::try_from(i).unwrap()));
    info.extend_from_slice(if private { b"7:privatei1ee" } else { b"e" });
    Arc::new(Metainfo::from_info(info.into(), None).expect("a torrent"))
}

fn object(meta: &Metainfo) -> ObjectId {
    ObjectId(Id(meta.info_hash))
}

/// A stock client that listens, has some pieces, and perhaps the metadata.
struct Client {
    addr: SocketAddr,
    id: [u8; 20],
    outboxes: Arc<Mutex<Vec<Outbox>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    async fn start(meta: &Arc<Metainfo>, n: u8, held: &[u32], has_metadata: bool) -> Self {
        Self::start_at("127.0.0.1:0", meta, n, held, has_metadata).await
    }

    async fn start_at(
        at: &str,
        meta: &Arc<Metainfo>,
        n: u8,
        held: &[u32],
        has_metadata: bool,
    ) -> Self {
        let config = ConnConfig::default();
        Self::with(at, meta, n, held, has_metadata, config).await
    }

    async fn with(
        at: &str,
        meta: &Arc<Metainfo>,
        n: u8,
        held: &[u32],
        has_metadata: bool,
        config: ConnConfig,
    ) -> Self {
        let listener = TcpListener::bind(at).await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let outboxes = Arc::new(Mutex::new(Vec::new()));
        let (kept, meta) = (outboxes.clone(), meta.clone());
        let held = ChunkSet::from_indices(10, held.iter().copied());
        let id = [n; 20];
        let task = tokio::spawn(async move {
            while let Ok((stream, remote)) = listener.accept().await {
                let hash = meta.info_hash;
                let key = key_hash(&hash);
                let ours = |asked: Asked<'_>| {
                    let known = asked == Asked::InfoHash(&hash) || asked == Asked::KeyHash(&key);
                    known.then(|| Handshake::ours(hash, id))
                };
                let Ok(peer) = accept(stream, remote, ours, &config).await else {
                    continue;
                };
                let (events, inbox) = mpsc::channel(16);
                let outbox = start((), peer, FrameLimits::default(), events, &config);
                outbox.send(Message::Bitfield(Bytes::copy_from_slice(held.as_bytes())));
                let size = u32::try_from(meta.info.len()).unwrap();
                let handshake = ExtendedHandshake {
                    ut_metadata: Some(OUR_UT_METADATA),
                    metadata_size: has_metadata.then_some(size),
                    ..ExtendedHandshake::default()
                };
                let payload = handshake.encode();
                outbox.send(Message::Extended { id: 0, payload });
                kept.lock().unwrap().push(outbox);
                tokio::spawn(answer_metadata(meta.clone(), inbox, kept.clone()));
            }
        });
        Self {
            addr,
            id,
            outboxes,
            task,
        }
    }

    fn say(&self, message: &Message) {
        for outbox in self.outboxes.lock().unwrap().iter() {
            outbox.send(message.clone());
        }
    }

    fn request(&self, meta: &Metainfo, left: u64, event: Event) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: meta.info_hash,
            peer_id: self.id,
            port: self.addr.port(),
            key: 1,
            numwant: 50,
            counts: TransferCounts {
                left,
                ..TransferCounts::default()
            },
            event,
        }
    }
}

async fn answer_metadata(
    meta: Arc<Metainfo>,
    mut inbox: mpsc::Receiver<((), ConnEvent)>,
    outboxes: Arc<Mutex<Vec<Outbox>>>,
) {
    while let Some((_, event)) = inbox.recv().await {
        let ConnEvent::Messages(messages) = event else {
            continue;
        };
        for message in messages {
            let Message::Extended { id, payload } = message else {
                continue;
            };
            if id != OUR_UT_METADATA {
                continue;
            }
            let Ok(UtMetadata::Request(piece)) = UtMetadata::decode(&payload) else {
                continue;
            };
            let data = UtMetadata::Data {
                piece,
                total_size: u32::try_from(meta.info.len()).unwrap(),
                data: metadata_piece(&meta.info, piece).expect("a piece of it"),
            };
            let payload = data.encode();
            let id = OUR_UT_METADATA;
            for outbox in outboxes.lock().unwrap().iter() {
                outbox.send(Message::Extended {
                    id,
                    payload: payload.clone(),
                });
            }
        }
    }
}

/// A tracker on loopback, in front of a table.
struct Tracker {
    facade: Facade,
    table: Arc<Table>,
}

impl Tracker {
    async fn start(given: &[Metainfo]) -> Self {
        Self::with(Arc::new(Table::default()), given).await
    }

    async fn with(table: Arc<Table>, given: &[Metainfo]) -> Self {
        Self::at("127.0.0.1:0", table, given).await
    }

    async fn at(at: &str, table: Arc<Table>, given: &[Metainfo]) -> Self {
        let config = FacadeConfig {
            local: true,
            published: PeerAddrs::from("127.0.0.1:1".parse::<SocketAddr>().unwrap()),
            own: OwnAddrs::new("127.0.0.1:1".parse().unwrap()),
            min_interval: Duration::ZERO,
            patience: Duration::from_secs(5),
            settle: Duration::from_millis(200),
            ..FacadeConfig::default()
        };
        let limits = Limits::new(&LimitsConfig::default());
        let at = [at.parse().unwrap()];
        let facade = Facade::start(&at, config, table.clone(), limits, given).await;
        Self {
            facade: facade.expect("a tracker"),
            table,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.facade.listen_addrs()[0]
    }

    /// The body of the answer to a request for this target.
    async fn get(&self, target: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.addr()).await.expect("connected");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.addr()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let read = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
        read.expect("an answer in time").expect("an answer");
        let split = answer.windows(4).position(|w| w == b"\r\n\r\n");
        let split = split.expect("a head");
        let head = String::from_utf8_lossy(&answer[..split]).into_owned();
        (head, answer[split + 4..].to_vec())
    }

    async fn query(&self, query: &str) -> Result<AnnounceResponse, TrackerError> {
        let (_, body) = self.get(&format!("/announce?{query}"), "").await;
        parse_http_response(&body)
    }

    async fn announce(&self, request: &AnnounceRequest) -> Result<AnnounceResponse, TrackerError> {
        self.query(&query(request)).await
    }
}

fn query(request: &AnnounceRequest) -> String {
    let escape = |bytes: &[u8; 20]| bytes.map(|b| format!("%{b:02X}")).concat();
    let event = match request.event {
        Event::Regular => "",
        Event::Started => "&event=started",
        Event::Completed => "&event=completed",
        Event::Stopped => "&event=stopped",
    };
    format!(
        "info_hash={}&peer_id={}&port={}&uploaded=0&downloaded=0&left={}&compact=1&numwant={}{event}",
        escape(&request.info_hash),
        escape(&request.peer_id),
        request.port,
        request.counts.left,
        request.numwant,
    )
}

fn refused(answer: Result<AnnounceResponse, TrackerError>) -> String {
    match answer {
        Err(TrackerError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_bits_of_a_client_are_published_and_its_lack_is_looked_up() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let stranger: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let held = ChunkSet::from_indices(10, [4]);
    tracker.table.stranger(object(&meta), stranger, held);
    let client = Client::start(&meta, 1, &[0, 1, 2], true).await;
    let request = client.request(&meta, 7 * 16384, Event::Started);
    let answer = tracker.announce(&request).await.expect("an answer");
    assert_eq!(answer.peers, [stranger]);
    assert!(answer.interval.is_some() && answer.min_interval.is_some());
    let asked = tracker.table.asked();
    let lacks = ChunkSet::from_indices(10, 3..10);
    assert_eq!(asked[0].wanted, Wanted::Chunks(lacks));
    assert!(asked[0].asker.contains(client.addr));
    let own = (client.addr, vec![0, 1, 2]);
    let others = (stranger, vec![4]);
    let mut expected = vec![own, others.clone()];
    expected.sort();
    let mut published = tracker.table.published(object(&meta));
    published.sort();
    assert_eq!(published, expected);
}

#[tokio::test]
async fn a_client_that_requires_encryption_is_read_all_the_same() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let config = ConnConfig {
        encryption: Encryption::Require,
        ..ConnConfig::default()
    };
    let client = Client::with("127.0.0.1:0", &meta, 1, &[0, 1, 2], true, config).await;
    let request = client.request(&meta, 7 * 16384, Event::Started);
    tracker.announce(&request).await.expect("an answer");
    let published = tracker.table.published(object(&meta));
    assert_eq!(published, [(client.addr, vec![0, 1, 2])]);
}

#[tokio::test]
async fn one_that_has_all_that_a_client_lacks_is_not_called_a_seed_for_it() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let stranger: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let half = ChunkSet::from_indices(10, 0..5);
    tracker.table.stranger(object(&meta), stranger, half);
    let client = Client::start(&meta, 1, &[5, 6, 7, 8, 9], true).await;
    let request = client.request(&meta, 5 * 16384, Event::Started);
    let (_, body) = tracker
        .get(&format!("/announce?{}", query(&request)), "")
        .await;
    let body = String::from_utf8_lossy(&body);
    assert!(
        body.contains("8:completei0e10:incompletei1e"),
        "a client that is told of seeds alone hangs up on them once it is one: {body}"
    );
    // another behind the same tracker is no seed either
    let third = Client::start(&meta, 2, &[0], true).await;
    let request = third.request(&meta, 9 * 16384, Event::Started);
    let (_, body) = tracker
        .get(&format!("/announce?{}", query(&request)), "")
        .await;
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains("8:completei0e10:incompletei2e"), "{body}");
}

#[tokio::test]
async fn one_that_has_got_nothing_from_near_peers_is_told_of_few_far_ones() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let stranger = |port: u16| SocketAddr::from(([127, 0, 0, 9], port));
    let far = |port: u16| SocketAddr::from(([127, 0, 0, 10], port));
    for port in 1..=3 {
        let held = ChunkSet::from_indices(10, [u32::from(port)]);
        tracker.table.stranger(object(&meta), stranger(port), held);
    }
    for port in 11..=20 {
        let all = ChunkSet::full(10);
        tracker.table.stranger(object(&meta), far(port), all);
    }
    let client = Client::start(&meta, 1, &[0], true).await;
    let request = client.request(&meta, 9 * 16384, Event::Regular);
    // the first time it depends on its lot
    tracker.announce(&request).await.expect("an answer");
    let mut before = None;
    for _ in 0..2 {
        let mut peers = tracker.announce(&request).await.expect("an answer").peers;
        let far = peers.split_off(3);
        peers.sort();
        assert_eq!(peers, [1, 2, 3].map(stranger), "the near ones come first");
        assert_eq!(far.len(), 2, "and any far seed holds all the rest");
        assert_eq!(
            *before.get_or_insert(far.clone()),
            far,
            "the same each time"
        );
        tracker.announce(&request).await.expect("an answer");
    }
}

#[tokio::test]
async fn those_who_begin_at_the_same_moment_behind_different_trackers_meet_at_once() {
    let meta = torrent(false);
    let one = Tracker::start(&[]).await;
    let other = Tracker::with(one.table.clone(), &[]).await;
    let (a, b) = (
        Client::start(&meta, 1, &[0], true).await,
        Client::start(&meta, 2, &[1], true).await,
    );
    let requests = [&a, &b].map(|c| c.request(&meta, 9 * 16384, Event::Started));
    let (for_a, for_b) = tokio::join!(one.announce(&requests[0]), other.announce(&requests[1]));
    assert_eq!(for_a.expect("an answer").peers, [b.addr]);
    assert_eq!(for_b.expect("an answer").peers, [a.addr]);
}

#[tokio::test]
async fn pieces_that_a_client_gets_are_published_as_it_says_so() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let client = Client::start(&meta, 1, &[0], true).await;
    let request = client.request(&meta, 1, Event::Started);
    tracker.announce(&request).await.expect("an answer");
    let table = &tracker.table;
    table
        .until_published(object(&meta), &[(client.addr, vec![0])])
        .await;
    client.say(&Message::Have(7));
    table
        .until_published(object(&meta), &[(client.addr, vec![0, 7])])
        .await;
}

#[tokio::test]
async fn two_clients_behind_one_tracker_find_each_other() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let all: Vec<u32> = (0..10).collect();
    let seed = Client::start(&meta, 1, &all, true).await;
    let leech = Client::start(&meta, 2, &[], true).await;
    let seeds = seed.request(&meta, 0, Event::Started);
    let answer = tracker.announce(&seeds).await.expect("an answer");
    assert_eq!(answer.peers, []);
    assert!(
        tracker.table.asked().is_empty(),
        "who has everything looks for nobody"
    );
    let wants = leech.request(&meta, 163_840, Event::Started);
    let answer = tracker.announce(&wants).await.expect("an answer");
    assert_eq!(answer.peers, [seed.addr]);
}

#[tokio::test]
async fn one_that_stops_or_ends_is_withdrawn() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let client = Client::start(&meta, 1, &[0], true).await;
    let request = client.request(&meta, 1, Event::Started);
    tracker.announce(&request).await.expect("an answer");
    let expected = [(client.addr, vec![0])];
    tracker
        .table
        .until_published(object(&meta), &expected)
        .await;
    let stops = client.request(&meta, 1, Event::Stopped);
    tracker.announce(&stops).await.expect("an answer");
    tracker.table.until_published(object(&meta), &[]).await;
    assert_eq!(tracker.facade.stats().clients, 0);
    tracker.announce(&request).await.expect("an answer");
    tracker
        .table
        .until_published(object(&meta), &expected)
        .await;
    // it dies without a word: nobody listens any more
    client.task.abort();
    client.outboxes.lock().unwrap().clear();
    tracker.table.until_published(object(&meta), &[]).await;
}

#[tokio::test]
async fn a_private_torrent_is_refused_with_the_reason() {
    let meta = torrent(true);
    let tracker = Tracker::start(&[]).await;
    let client = Client::start(&meta, 1, &[0], true).await;
    let request = client.request(&meta, 1, Event::Started);
    for _ in 0..2 {
        let reason = refused(tracker.announce(&request).await);
        assert!(reason.contains("private"), "{reason}");
    }
    assert_eq!(tracker.table.published(object(&meta)), []);
    assert!(tracker.table.asked().is_empty());
    assert_eq!(tracker.facade.stats().clients, 0);
    // one that keeps the metadata to itself, as stock clients do: not even a question is asked
    let other = torrent(true);
    let silent = Tracker::start(&[]).await;
    let client = Client::start(&other, 1, &[0], false).await;
    let request_of_silent = client.request(&other, 1, Event::Started);
    let reason = refused(silent.announce(&request_of_silent).await);
    assert!(reason.contains("private"), "{reason}");
    assert_eq!(silent.table.published(object(&other)), []);
    // known from its file: nobody is even connected to
    let given = Tracker::start(&[Metainfo::clone(&meta)]).await;
    let away = AnnounceRequest { port: 1, ..request };
    assert!(refused(given.announce(&away).await).contains("private"));
}

#[tokio::test]
async fn a_magnet_link_is_served_once_somebody_has_shown_that_it_is_not_private() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let all: Vec<u32> = (0..10).collect();
    let seed = Client::start(&meta, 1, &all, true).await;
    let full = ChunkSet::full(10);
    tracker.table.stranger(object(&meta), seed.addr, full);
    let client = Client::start(&meta, 2, &[], false).await;
    let request = client.request(&meta, u64::MAX, Event::Started);
    let answer = tracker.announce(&request).await.expect("an answer");
    assert_eq!(answer.peers, [seed.addr]);
    let secret = torrent(true);
    let seed = Client::start(&secret, 1, &all, true).await;
    let full = ChunkSet::full(10);
    tracker.table.stranger(object(&secret), seed.addr, full);
    let client = Client::start(&secret, 2, &[], false).await;
    let request = client.request(&secret, u64::MAX, Event::Started);
    let reason = refused(tracker.announce(&request).await);
    assert!(reason.contains("private"), "{reason}");
}

#[tokio::test]
async fn a_client_that_cannot_be_reached_is_told_so_and_not_published() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[Metainfo::clone(&meta)]).await;
    let stranger: SocketAddr = "127.0.0.1:9".parse().unwrap();
    tracker
        .table
        .stranger(object(&meta), stranger, ChunkSet::full(10));
    let client = Client::start(&meta, 1, &[0], true).await;
    let closed = AnnounceRequest {
        port: 1, // nobody listens there
        ..client.request(&meta, 1, Event::Started)
    };
    let answer = tracker.announce(&closed).await.expect("an answer");
    assert_eq!(answer.peers, [stranger]);
    let warning = answer.warning.expect("a warning");
    assert!(warning.contains("port 1"), "{warning}");
    let expected = [(stranger, (0..10).collect())];
    assert_eq!(tracker.table.published(object(&meta)), expected);
}

#[tokio::test]
async fn udp_clients_are_answered_like_others() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let stranger: SocketAddr = "127.0.0.1:9".parse().unwrap();
    tracker
        .table
        .stranger(object(&meta), stranger, ChunkSet::full(10));
    let client = Client::start(&meta, 1, &[0], true).await;
    let request = client.request(&meta, 1, Event::Started);
    let (socket, id) = connected(tracker.addr()).await;
    // with a forged one nothing comes back; the answer below is to the good one
    let forged = announce_request(id ^ 1, 2, &request, b"");
    socket.send(&forged).await.expect("sent");
    let good = announce_request(id, 3, &request, b"");
    socket.send(&good).await.expect("sent");
    assert_eq!(announced(&socket, 3).await, [stranger]);
}

#[tokio::test]
async fn clients_over_ipv6_are_served_like_others() {
    let meta = torrent(false);
    let tracker = Tracker::at("[::1]:0", Arc::default(), &[]).await;
    let stranger: SocketAddr = "[::1]:9".parse().unwrap();
    tracker
        .table
        .stranger(object(&meta), stranger, ChunkSet::full(10));
    let client = Client::start_at("[::1]:0", &meta, 1, &[0], true).await;
    let request = client.request(&meta, 9 * 16384, Event::Started);
    let answer = tracker.announce(&request).await.expect("an answer");
    assert_eq!(answer.peers, [stranger]);
    let all = (stranger, (0..10).collect());
    let mut expected = [(client.addr, vec![0]), all];
    expected.sort();
    let mut published = tracker.table.published(object(&meta));
    published.sort();
    assert_eq!(published, expected);
    let (socket, id) = connected(tracker.addr()).await;
    let announce = announce_request(id, 2, &request, b"");
    socket.send(&announce).await.expect("sent");
    assert_eq!(announced(&socket, 2).await, [stranger]);
}

/// A socket that is connected to the tracker at `to`, and its connection id.
async fn connected(to: SocketAddr) -> (UdpSocket, u64) {
    let any = SocketAddr::new(to.ip(), 0);
    let socket = UdpSocket::bind(any).await.expect("a socket");
    socket.connect(to).await.expect("connected");
    socket.send(&connect_request(1)).await.expect("sent");
    let mut buffer = [0; 2048];
    let received = timeout(DEADLINE, socket.recv(&mut buffer)).await;
    let len = received.expect("in time").expect("an answer");
    match parse_udp(&buffer[..len], 1, to.is_ipv6()) {
        Some(UdpAnswer::Connected(id)) => (socket, id),
        other => panic!("{other:?}"),
    }
}

/// The peers of the next answer to the announce with this number.
async fn announced(socket: &UdpSocket, transaction: u32) -> Vec<SocketAddr> {
    let mut buffer = [0; 2048];
    let received = timeout(DEADLINE, socket.recv(&mut buffer)).await;
    let len = received.expect("in time").expect("an answer");
    let v6 = socket.local_addr().expect("bound").is_ipv6();
    match parse_udp(&buffer[..len], transaction, v6) {
        Some(UdpAnswer::Announced(answer)) => answer.peers,
        other => panic!("{other:?}"),
    }
}

/// As Transmission, which hangs up on a second handshake from an address while there is a first one.
#[tokio::test]
async fn a_client_that_shakes_one_hand_at_a_time_is_read_for_all_its_torrents() {
    let tracker = Tracker::start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (busy, refused) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(0)));
    let (at_work, turned_away) = (busy.clone(), refused.clone());
    tokio::spawn(async move {
        while let Ok((stream, remote)) = listener.accept().await {
            if std::mem::replace(&mut *at_work.lock().unwrap(), true) {
                *turned_away.lock().unwrap() += 1;
                continue;
            }
            let at_work = at_work.clone();
            tokio::spawn(async move {
                // others come meanwhile, if they do
                sleep(Duration::from_millis(50)).await;
                *at_work.lock().unwrap() = false;
                let config = ConnConfig::default();
                let ours = |asked: Asked<'_>| match asked {
                    Asked::InfoHash(hash) => Some(Handshake::ours(*hash, [7; 20])),
                    Asked::KeyHash(_) => None,
                };
                let peer = accept(stream, remote, ours, &config).await;
                sleep(DEADLINE).await;
                drop(peer);
            });
        }
    });
    let request = |n: u8| AnnounceRequest {
        info_hash: [n; 20],
        peer_id: [7; 20],
        port: addr.port(),
        key: 1,
        numwant: 50,
        counts: TransferCounts::default(),
        event: Event::Regular,
    };
    let requests: Vec<AnnounceRequest> = (1..=8).map(request).collect();
    futures::future::join_all(requests.iter().map(|r| tracker.announce(r))).await;
    assert_eq!(*refused.lock().unwrap(), 0);
    assert_eq!(tracker.facade.stats().clients, 8);
}

#[tokio::test]
async fn hostile_announces_are_refused_and_nobody_is_connected_to() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[]).await;
    let client = Client::start(&meta, 1, &[0], true).await;
    let good = query(&client.request(&meta, 1, Event::Started));
    for (bad, names) in [
        (String::new(), "port"),
        (good.replace("info_hash=", "info_hash=x"), "info_hash"),
        (good.replace("&port=", "&port=-"), "port"),
        (good.replace("&left=1&", "&left=a&"), "left"),
        (format!("{good}&ip=192.0.2.9"), "ip"),
        (format!("{good}&x={}", "y".repeat(5000)), "more than"),
        (good.replace("started", "begun"), "event"),
    ] {
        let reason = refused(tracker.query(&bad).await);
        assert!(reason.contains(names), "{reason}");
    }
    let many = good.replace("numwant=50", "numwant=1000000000");
    assert!(tracker.query(&many).await.is_ok());
    let (head, _) = tracker
        .get(&format!("/announce?{good}"), "Origin: http://x.example\r\n")
        .await;
    assert!(head.contains("403"), "{head}");
    let (head, _) = tracker.get("/other", "").await;
    assert!(head.contains("404"), "{head}");
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_others_out() {
    let meta = torrent(false);
    let tracker = Tracker::start(&[Metainfo::clone(&meta)]).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(tracker.addr()).await.expect("connected");
        stream.write_all(b"GET /announce?").await.expect("sent");
        slow.push(stream);
    }
    let client = Client::start(&meta, 1, &[0], true).await;
    let request = client.request(&meta, 1, Event::Started);
    assert!(tracker.announce(&request).await.is_ok());
}
