use super::*;
use crate::chunks::ChunkSet;
use crate::node::Role;
use crate::wire::{PeerAddrs, Ranking, Wanted};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn object() -> ObjectId {
    ObjectId::from_name(b"driver")
}

pub(super) fn publication(port: u16) -> Publication {
    Publication {
        object: object(),
        publisher: None,
        addrs: PeerAddrs::from(SocketAddr::from(([127, 0, 0, 1], port))),
        chunks: 4,
        held: ChunkSet::full(4),
        load: 0,
        reachable: true,
        complete: true,
    }
}

pub(super) fn query() -> LookupRequest {
    LookupRequest {
        trace: false,
        object: object(),
        wanted: Wanted::Any,
        p: 8,
        mix: 0,
        ranking: Ranking::Closeness,
        asker: PeerAddrs::default(),
        ignore: Vec::new(),
        to_root: true,
    }
}

async fn ring(n: usize) -> Vec<Handle> {
    let first = spawn(NodeConfig::default(), loopback(), Vec::new())
        .await
        .expect("a free port");
    let mut all = vec![first];
    for _ in 1..n {
        let via = vec![all[0].local_addr()];
        let node = spawn(NodeConfig::default(), loopback(), via)
            .await
            .expect("a free port");
        assert!(node.joined(PATIENCE).await);
        all.push(node);
    }
    all
}

/// Asks until the number of matches is `n`.
async fn until_found(at: &Handle, n: usize) -> Found {
    let asking = async {
        loop {
            match at.lookup(query()).await {
                Ok(found) if found.matches.len() == n => return found,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("found in time")
}

#[tokio::test]
async fn nodes_on_real_sockets_publish_find_and_withdraw() {
    let all = ring(4).await;
    let config = NodeConfig {
        role: Role::Client,
        ..NodeConfig::default()
    };
    let via = vec![all[1].local_addr()];
    let client = spawn(config, loopback(), via).await.expect("a free port");
    assert!(client.joined(PATIENCE).await);
    all[2].publish(publication(1));
    client.publish(publication(2));
    until_found(&all[3], 2).await;
    until_found(&client, 2).await;
    assert_eq!(
        client.state().observed.map(|a| a.port()),
        Some(client.local_addr().port())
    );
    client.withdraw(object(), None);
    until_found(&all[3], 1).await;
    all[2].shutdown().await;
    until_found(&all[3], 0).await;
    assert_eq!(all[2].lookup(query()).await, Err(LookupError::Closed));
    assert_eq!(all[2].snapshot().await, Err(Closed));
    let view = all[3].snapshot().await.expect("running");
    assert!(view.joined && view.peers >= 2);
}

#[tokio::test]
async fn a_node_joins_through_one_that_listens_only_after_its_first_ping() {
    // Of a node that has just ended; what is sent there comes back as an error of the joiner's socket on some systems.
    let closed = UdpSocket::bind(loopback()).await.expect("a free port");
    let there = closed.local_addr().expect("bound");
    drop(closed);
    let node = spawn(NodeConfig::default(), loopback(), vec![there])
        .await
        .expect("a free port");
    let asked = async {
        while node.snapshot().await.expect("running").counters.sent["ping"].messages < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .expect("asked again");
    let _first = spawn(NodeConfig::default(), there, Vec::new())
        .await
        .expect("the port is still free");
    assert!(node.joined(PATIENCE).await);
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let node = spawn(NodeConfig::default(), loopback(), Vec::new())
        .await
        .expect("a free port");
    let again = spawn(NodeConfig::default(), node.local_addr(), Vec::new()).await;
    let message = again.expect_err("the port is taken").to_string();
    assert!(
        message.contains(&node.local_addr().to_string()),
        "{message}"
    );
    assert!(message.contains("--index-listen"), "{message}");
}

#[tokio::test]
async fn a_node_ends_with_its_last_handle() {
    let node = spawn(NodeConfig::default(), loopback(), Vec::new())
        .await
        .expect("a free port");
    let addr = node.local_addr();
    drop(node);
    let free = async {
        while spawn(NodeConfig::default(), addr, Vec::new())
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("the socket is closed");
}

#[tokio::test]
async fn a_client_without_an_index_node_says_so() {
    let config = NodeConfig {
        role: Role::Client,
        ..NodeConfig::default()
    };
    let client = spawn(config, loopback(), Vec::new())
        .await
        .expect("a free port");
    assert!(!client.joined(Duration::from_millis(1)).await);
    assert_eq!(client.lookup(query()).await, Err(LookupError::NotJoined));
}
