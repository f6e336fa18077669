//! Roles over real sockets: what a dial-back finds, and both families of addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;

use super::tests::{PATIENCE, loopback, publication, query};
use super::*;
use crate::node::Role;
use crate::wire::{Match, PeerAddrs};

async fn start(role: Role, listen: SocketAddr, via: &[&Handle]) -> Handle {
    let config = NodeConfig {
        role,
        ..NodeConfig::default()
    };
    let via = via.iter().map(|h| h.local_addr()).collect();
    let node = spawn(config, listen, via).await.expect("a free port");
    assert!(node.joined(PATIENCE).await);
    node
}

async fn wait(handle: &Handle, what: &str, condition: impl FnMut(&State) -> bool) {
    let mut state = handle.state.clone();
    let waiting = tokio::time::timeout(PATIENCE, state.wait_for(condition));
    assert!(matches!(waiting.await, Ok(Ok(_))), "{what}");
}

/// Asks until an answer satisfies the condition.
async fn until(at: &Handle, condition: impl Fn(&[Match]) -> bool) -> Vec<Match> {
    let asking = async {
        loop {
            match at.lookup(query()).await {
                Ok(found) if condition(&found.matches) => return found.matches,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("found in time")
}

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn a_listening_port_is_published_as_reachable_and_a_closed_one_is_not() {
    let first = start(Role::Index, loopback(), &[]).await;
    let second = start(Role::Index, loopback(), &[&first]).await;
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let (open, closed) = (
        listener.local_addr().expect("bound").port(),
        closed_port().await,
    );
    let fine = start(Role::Client, loopback(), &[&first]).await;
    let hidden = start(Role::Client, loopback(), &[&first]).await;
    fine.publish(publication(open));
    hidden.publish(publication(closed));
    wait(&fine, "open", |s| s.dialable == Some((open, true))).await;
    wait(&hidden, "closed", |s| s.dialable == Some((closed, false))).await;
    let found = until(&second, |m| m.len() == 2 && m.iter().any(|m| m.reachable)).await;
    for m in found {
        let port = m.addrs.v4.expect("over IPv4").port();
        assert_eq!(m.reachable, port == open);
    }
    // An index node asks another one about its owner's port.
    let own = closed_port().await;
    second.publish(publication(own));
    wait(&second, "own", |s| s.dialable == Some((own, false))).await;
    let own = SocketAddr::from(([127, 0, 0, 1], own));
    until(&first, |all| {
        all.iter().any(|m| m.addrs.contains(own) && !m.reachable)
    })
    .await;
}

#[tokio::test]
async fn nodes_of_one_machine_that_test_themselves_become_index_nodes() {
    let first = start(Role::Auto, loopback(), &[]).await;
    assert!(first.state().index);
    let mut all = vec![first];
    for _ in 0..4 {
        let next = start(Role::Auto, loopback(), &[&all[0]]).await;
        wait(&next, "an index node", |s| s.index).await;
        all.push(next);
    }
    for (n, node) in (1..).zip(&all) {
        let mut p = publication(n);
        p.publisher = Some(Id([u8::try_from(n).expect("few"); 20]));
        node.publish(p);
    }
    for node in &all {
        until(node, |m| m.len() == 5).await;
    }
}

#[tokio::test]
async fn a_host_with_ipv6_alone_uses_a_dual_stack_index_node_and_is_found_over_ipv4() {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let Ok(dual) = spawn(NodeConfig::default(), any, Vec::new()).await else {
        return; // this machine has no IPv6
    };
    let port = dual.local_addr().port();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let config = |role| NodeConfig {
        role,
        ..NodeConfig::default()
    };
    let ring = spawn(config(Role::Index), loopback(), vec![v4])
        .await
        .expect("a free port");
    assert!(ring.joined(PATIENCE).await);
    let alone = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let six = spawn(config(Role::Auto), alone, vec![v6])
        .await
        .expect("a free port");
    assert!(six.joined(PATIENCE).await);
    let listener = TcpListener::bind(alone).await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    six.publish(Publication {
        addrs: PeerAddrs::from(at),
        ..publication(1)
    });
    let found = until(&ring, |m| m.iter().any(|m| m.reachable)).await;
    assert_eq!(found[0].addrs, PeerAddrs::from(at));
    assert!(!six.state().index, "the overlay is IPv4");
    let found = six.lookup(query()).await.expect("an answer");
    assert_eq!(found.matches.len(), 1);
    let known = ring.snapshot().await.expect("running").leaves;
    assert!(known.iter().all(|l| !l.addr.starts_with('[')));
}
