//! The DHT wrapper against a hand-made node on loopback.

#![allow(clippy::disallowed_types, clippy::unwrap_used)] // the other side of the network is here, and a test may panic

use std::net::SocketAddr;
use std::time::Duration;

use super::common::within;
use chunkcast_bittorrent::discovery::{DhtConfig, DhtNode, LookupConfig};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// A DHT node (BEP 5) that knows two peers for everything, one with port 0; the queries it gets arrive by name.
/// Every answer comes with garbage before it.
async fn node() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let packet = &buffer[..len];
            let after = |key: &[u8]| {
                let at = packet.windows(key.len()).position(|w| w == key)? + key.len();
                Some(&packet[at..])
            };
            let Some(transaction) = after(b"1:t2:").map(|t| &t[..2]) else {
                continue;
            };
            let name = ["ping", "find_node", "get_peers", "announce_peer"]
                .into_iter()
                .find(|n| after(format!("1:q{}:{n}", n.len()).as_bytes()).is_some());
            let Some(name) = name else { continue };
            let mut answer = b"d1:rd2:id20:nnnnnnnnnnnnnnnnnnnn".to_vec();
            if name == "find_node" || name == "get_peers" {
                answer.extend(b"5:nodes26:mmmmmmmmmmmmmmmmmmmm");
                answer.extend([127, 0, 0, 1]);
                answer.extend(address.port().to_be_bytes());
            }
            if name == "get_peers" {
                answer.extend(
                    b"5:token2:tk6:valuesl6:\x0a\x00\x00\x01\x1a\xe16:\x0a\x00\x00\x02\x00\x00e",
                );
            }
            answer.extend(b"e1:t2:");
            answer.extend(transaction);
            answer.extend(b"1:y1:re");
            if tx.send(name.to_owned()).is_err() {
                return;
            }
            for garbage in [
                &b"d1:rd2:id20:short"[..],
                b"",
                &[b'l'; 1400],
                b"d1:t2:zz1:y1:ree",
            ] {
                let _ = socket.send_to(garbage, from).await;
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    (address, rx)
}

fn config(bootstrap: &str) -> DhtConfig {
    DhtConfig {
        bootstrap: vec![bootstrap.to_owned()],
        listen: Some("127.0.0.1:0".parse().unwrap()),
        check: Duration::from_millis(10),
        report_after: Duration::from_millis(20),
    }
}

fn lookups() -> LookupConfig {
    LookupConfig {
        hold: Duration::from_millis(300),
        batch: Duration::from_millis(10),
        early_pause: Duration::from_millis(10),
        ..LookupConfig::default()
    }
}

#[tokio::test]
async fn peers_are_found_in_rounds_and_stop_frees_the_port() {
    let (bootstrap, mut seen) = node().await;
    let dht = DhtNode::spawn(config(&bootstrap.to_string()));
    let (out, mut peers) = mpsc::channel(4);
    let lookup = dht.look_up([1; 20], Some(6881), lookups(), out);
    let expected: Vec<SocketAddr> = vec!["10.0.0.1:6881".parse().unwrap()];
    assert_eq!(
        within(peers.recv()).await.unwrap(),
        expected,
        "no port 0, no repeats"
    );
    assert!(dht.nodes() > 0);

    // The next round comes when it is wanted, not at once.
    assert!(peers.try_recv().is_err());
    lookup.need_more_peers();
    assert_eq!(within(peers.recv()).await.unwrap(), expected);

    let address = dht.listen_addr().unwrap();
    drop(lookup);
    assert!(
        within(peers.recv()).await.is_none(),
        "a dropped lookup ends"
    );
    within(dht.stop()).await;
    within(async {
        while UdpSocket::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut names = Vec::new();
    while let Ok(name) = seen.try_recv() {
        names.push(name);
    }
    assert!(names.iter().any(|n| n == "get_peers"), "{names:?}");
}

#[tokio::test]
async fn dropping_the_node_ends_lookups() {
    let (bootstrap, _seen) = node().await;
    let dht = DhtNode::spawn(config(&bootstrap.to_string()));
    let (out, mut peers) = mpsc::channel(4);
    let _lookup = dht.look_up([1; 20], None, lookups(), out);
    within(peers.recv()).await.unwrap();
    drop(dht);
    assert!(within(peers.recv()).await.is_none());
}

#[tokio::test]
async fn without_a_network_nothing_fails() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for bootstrap in [
        closed.to_string(),
        "nobody.invalid:6881".into(),
        "nonsense".into(),
    ] {
        let dht = DhtNode::spawn(config(&bootstrap));
        let (out, mut peers) = mpsc::channel(4);
        let lookup = dht.look_up([1; 20], None, lookups(), out);
        lookup.need_more_peers();
        assert!(
            tokio::time::timeout(Duration::from_millis(60), peers.recv())
                .await
                .is_err(),
            "it goes on trying"
        );
        assert_eq!(dht.nodes(), 0);
        within(dht.stop()).await;
    }
}

#[tokio::test]
async fn a_taken_port_and_no_bootstrap_are_survived() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut c = config("127.0.0.1:9");
    c.listen = Some(taken.local_addr().unwrap());
    let dht = DhtNode::spawn(c);
    assert_eq!(dht.listen_addr(), None);
    within(dht.stop()).await;

    let mut c = config("");
    c.bootstrap.clear();
    let dht = DhtNode::spawn(c);
    let (out, mut peers) = mpsc::channel(4);
    let _lookup = dht.look_up([1; 20], None, lookups(), out);
    assert!(within(peers.recv()).await.is_none(), "no node, no lookup");
    within(dht.stop()).await;
}

#[tokio::test]
async fn a_node_that_knows_nobody_starts_over_from_what_peers_name() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (other, _seen) = node().await;
    let dht = DhtNode::spawn(config(&silent.local_addr().unwrap().to_string()));
    within(async {
        while dht.listen_addr().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    dht.add_node(other);
    within(async {
        while dht.nodes() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    within(dht.stop()).await;
}
