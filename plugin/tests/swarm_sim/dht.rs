//! The port of the DHT node (BEP 5).

use std::time::Duration;

use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::wire::message::Message;

use crate::protocol::Says;
use crate::world::{Content, World, addr_of};

/// What a torrent with its DHT node at `ours` tells a peer that has one, if `offered`, and that names port 7 and then 8; and
/// the nodes that it took note of.
fn told(private: bool, ours: Option<u16>, offered: bool) -> (Vec<Message>, Vec<u16>) {
    let mut content = Content::random(11 * 16_384, 16_384, 1);
    if private {
        let info = content.meta.info.to_vec();
        let info = [&info[..info.len() - 1], b"7:privatei1ee"].concat();
        content.meta = Metainfo::from_info(info.into(), None).unwrap().into();
    }
    let mut w = World::new(1);
    w.directory = false;
    let us = w.add(&content, Some(content.none()));
    w.node(us).keep_sent = true;
    w.node(us).swarm.set_dht_port(ours);
    let says = [0, 7, 8].map(|port| (Duration::ZERO, Message::Port(port)));
    let them = w.add_script(Says(says.to_vec()), true);
    if offered {
        w.offer_dht(them);
    }
    w.connect(us, them);
    w.run_for(Duration::from_secs(1));
    let node = w.node(us);
    let said = node.sent.iter().map(|(_, m)| m.clone());
    let said = said.filter(|m| !matches!(m, Message::Extended { .. }));
    let nodes = node.dht_nodes.iter();
    assert!(nodes.clone().all(|a| a.ip() == addr_of(them).ip()));
    (said.collect(), nodes.map(|a| a.port()).collect())
}

#[test]
fn peers_that_have_a_dht_node_are_told_of_ours_and_theirs_is_taken_once() {
    let (said, nodes) = told(false, Some(4000), true);
    assert_eq!(
        said,
        [Message::HaveNone, Message::Port(4000)],
        "after the first word"
    );
    assert_eq!(nodes, [7]);
    assert_eq!(told(false, Some(4000), false).0, [Message::HaveNone]);
}

#[test]
fn without_a_dht_or_in_a_private_torrent_there_is_nothing_of_it() {
    for (private, ours) in [(false, None), (true, Some(4000))] {
        assert_eq!(told(private, ours, true), (vec![Message::HaveNone], vec![]));
    }
}
