//! Index nodes that meet through the Mainline DHT: the program against a hand-made DHT node on loopback.

#![allow(
    clippy::disallowed_types,
    reason = "the other side of the network is here"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chunkcast::auth::seal::NetworkKey;
use chunkcast::node::Network;
use chunkcast_bittorrent::discovery::{
    DhtConfig, DhtNode, Guest, LookupConfig, Rendezvous, RendezvousConfig, meeting_point,
};
use chunkcast_compat_tests::{Proc, chunkcast, scratch, wait_for};
use futures::future::BoxFuture;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);

/// Who announced what, by infohash.
type Announced = Arc<Mutex<BTreeMap<[u8; 20], BTreeSet<SocketAddr>>>>;

/// The DHT: one node (BEP 5) that is near to everything and keeps what is announced.
fn dht() -> (SocketAddr, Announced) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    let announced = Announced::default();
    let kept = announced.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..len], from, address, &kept) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    (address, announced)
}

fn after<'a>(packet: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = packet.windows(key.len()).position(|w| w == key)?;
    Some(&packet[at + key.len()..])
}

fn answer(packet: &[u8], from: SocketAddr, me: SocketAddr, kept: &Announced) -> Option<Vec<u8>> {
    let transaction = after(packet, b"1:t2:")?.get(..2)?.to_vec();
    let is = |name: &str| after(packet, format!("1:q{}:{name}", name.len()).as_bytes()).is_some();
    let hash =
        || -> Option<[u8; 20]> { after(packet, b"9:info_hash20:")?.get(..20)?.try_into().ok() };
    let mut kept = kept.lock().expect("not poisoned");
    // librqbit-dht announces only to nodes that share 16 bits with the infohash
    let mut near = hash().unwrap_or([b'n'; 20]);
    near[19] ^= 1;
    let mut answer = b"d1:rd2:id20:".to_vec();
    answer.extend(near);
    if is("find_node") || is("get_peers") {
        answer.extend(b"5:nodes26:");
        answer.extend(near);
        answer.extend(b"\x7f\x00\x00\x01");
        answer.extend(me.port().to_be_bytes());
    }
    if is("get_peers") {
        answer.extend(b"5:token2:tk6:valuesl");
        for peer in kept.get(&hash()?).into_iter().flatten() {
            answer.extend(b"6:\x7f\x00\x00\x01");
            answer.extend(peer.port().to_be_bytes());
        }
        answer.extend(b"e");
    }
    if is("announce_peer") {
        let digits = after(packet, b"4:porti")?.split(|b| *b == b'e').next()?;
        let port: u16 = str::from_utf8(digits).ok()?.parse().ok()?;
        let peer = SocketAddr::new(from.ip(), port);
        kept.entry(hash()?).or_default().insert(peer);
    }
    answer.extend(b"e1:t2:");
    answer.extend(transaction);
    answer.extend(b"1:y1:re");
    Some(answer)
}

fn node(name: &str, dir: &Path, dht: SocketAddr, more: &[&str]) -> (Proc, SocketAddr) {
    let mut command = Command::new(chunkcast());
    command
        .args([
            "node",
            "--index-listen",
            "127.0.0.1:0",
            "--no-lan",
            "--no-state",
            "--json",
        ])
        .args(["--dht-bootstrap", &dht.to_string(), "--status-every", "1"])
        .args(more);
    let node = Proc::spawn(name, dir, &mut command);
    let addr = wait_for("the node listens", DEADLINE, || {
        let event = node.events("listening").pop()?;
        event["index"].as_str()?.parse().ok()
    });
    (node, addr)
}

fn known(node: &Proc) -> u64 {
    let status = node.events("status").pop().unwrap_or(Value::Null);
    status["peers"].as_u64().unwrap_or(0)
}

#[test]
fn nodes_that_know_only_the_dht_meet_there_unless_they_do_not_want_to() {
    let dir = scratch();
    let (dht, announced) = dht();
    let key = "7b".repeat(32);
    let (absent, _) = node("absent", dir.path(), dht, &["--no-rendezvous"]);
    let (quiet, _) = node("quiet", dir.path(), dht, &["--no-dht"]);
    let (_closed, closed_at) = node("closed", dir.path(), dht, &["--network-key", &key]);
    let (first, first_at) = node("first", dir.path(), dht, &[]);
    let there = |network: Network| {
        let announced = announced.lock().expect("not poisoned");
        let all = announced.get(&meeting_point(&network)).cloned();
        all.unwrap_or_default()
    };
    wait_for("the first one is announced", DEADLINE, || {
        there(Network::Open).contains(&first_at).then_some(())
    });
    let (second, second_at) = node("second", dir.path(), dht, &[]);
    wait_for("the second one meets the first", DEADLINE, || {
        (known(&second) == 1 && known(&first) == 1).then_some(())
    });
    let closed = Network::Closed(NetworkKey([0x7b; 32]));
    wait_for("all are announced", DEADLINE, || {
        let both = there(Network::Open) == BTreeSet::from([first_at, second_at]);
        (both && there(closed.clone()) == BTreeSet::from([closed_at])).then_some(())
    });
    assert_eq!((known(&absent), known(&quiet)), (0, 0));
}

/// A node that knows as many others as the test says.
struct Lonely {
    known: Arc<AtomicUsize>,
    met: tokio::sync::mpsc::UnboundedSender<Vec<SocketAddr>>,
}

impl Guest for Lonely {
    fn port(&self) -> Option<u16> {
        None
    }

    fn known(&self) -> BoxFuture<'_, usize> {
        Box::pin(async { self.known.load(Ordering::Relaxed) })
    }

    fn meet(&self, nodes: Vec<SocketAddr>) {
        let _ = self.met.send(nodes);
    }
}

#[tokio::test]
async fn who_knows_nobody_looks_again_soon_and_believes_a_handful() {
    let (address, announced) = dht();
    let point = meeting_point(&Network::Open);
    let crowd = (1..=40).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    announced
        .lock()
        .expect("not poisoned")
        .insert(point, crowd.collect());
    let dht = DhtNode::spawn(DhtConfig {
        bootstrap: vec![address.to_string()],
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        check: Duration::from_millis(10),
        ..DhtConfig::default()
    });
    let config = RendezvousConfig {
        lookup: LookupConfig {
            hold: Duration::from_millis(300),
            early_pause: Duration::from_millis(10),
            batch: Duration::from_millis(200),
            ..LookupConfig::default()
        },
        check: Duration::from_millis(50),
        ..RendezvousConfig::default()
    };
    let count = Arc::new(AtomicUsize::new(0));
    let (met, mut meetings) = tokio::sync::mpsc::unbounded_channel();
    let guest = Lonely {
        known: count.clone(),
        met,
    };
    let hints = config.hints;
    let rendezvous = Rendezvous::spawn(&dht, point, config, guest);
    for _ in 0..3 {
        let nodes = tokio::time::timeout(DEADLINE, meetings.recv()).await;
        let nodes = nodes.expect("in time").expect("running");
        assert!((1..=hints).contains(&nodes.len()), "{nodes:?}");
    }
    let announced_by_us = announced.lock().expect("not poisoned").len();
    assert_eq!(announced_by_us, 1, "a client announces nothing");
    drop(rendezvous);
    let ended = async { while meetings.recv().await.is_some() {} };
    tokio::time::timeout(DEADLINE, ended)
        .await
        .expect("it ends when dropped");
}
