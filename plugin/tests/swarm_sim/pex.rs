//! Peer exchange (BEP 11) between torrents, and from peers that overdo it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::Source;
use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::swarm::{CloseReason, DropReason};
use chunkcast_bittorrent::wire::extended::ExtendedHandshake;
use chunkcast_bittorrent::wire::message::Message;
use chunkcast_bittorrent::wire::pex::{MAX_READ, MAX_SENT, OUR_UT_PEX, PexPeer, UtPex};

use crate::protocol::Says;
use crate::world::{Content, World, addr_of, candidate};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The id under which scripted peers take messages.
const THEIRS: u8 = 9;

fn content() -> Content {
    Content::random(11 * 16_384, 16_384, 1)
}

fn private(content: &Content) -> Content {
    let info = content.meta.info.to_vec();
    let info = [&info[..info.len() - 1], b"7:privatei1ee"].concat();
    Content {
        meta: Metainfo::from_info(info.into(), None).unwrap().into(),
        data: content.data.clone(),
    }
}

fn without_directory() -> World {
    let mut w = World::new(1);
    w.directory = false;
    w
}

/// An extended handshake that takes peer exchange and names a listening port.
fn shake() -> (Duration, Message) {
    let handshake = ExtendedHandshake {
        ut_pex: Some(THEIRS),
        port: Some(6881),
        ..ExtendedHandshake::default()
    };
    let payload = handshake.encode();
    (Duration::ZERO, Message::Extended { id: 0, payload })
}

fn naming(addrs: impl IntoIterator<Item = SocketAddr>) -> Message {
    let added = addrs.into_iter().map(|addr| PexPeer { addr, flags: 0 });
    let payload = UtPex {
        added: added.collect(),
        ..UtPex::default()
    };
    Message::Extended {
        id: OUR_UT_PEX,
        payload: payload.encode(),
    }
}

/// Addresses where nobody is.
fn strangers(from: u16, count: u16) -> impl Iterator<Item = SocketAddr> {
    (from..from + count).map(|n| ([10, 1, (n >> 8) as u8, n as u8], 6881).into())
}

/// The exchange messages that node `at` has sent, with the node that each went to.
fn said(w: &mut World, at: usize) -> Vec<UtPex> {
    let sent = w.node(at).sent.iter();
    sent.filter_map(|(_, msg)| match msg {
        Message::Extended { id, payload } if *id == OUR_UT_PEX || *id == THEIRS => {
            Some(UtPex::decode(payload).unwrap())
        }
        _ => None,
    })
    .collect()
}

fn handshakes(w: &mut World, at: usize) -> Vec<ExtendedHandshake> {
    let sent = w.node(at).sent.iter();
    sent.filter_map(|(_, msg)| match msg {
        Message::Extended { id: 0, payload } => Some(ExtendedHandshake::decode(payload).unwrap()),
        _ => None,
    })
    .collect()
}

fn drops(w: &mut World, at: usize, reason: DropReason) -> u64 {
    let drops = w.node(at).swarm.stats().drops;
    drops.get(&reason).copied().unwrap_or_default()
}

/// A hub that two others know, and that has nothing: whether these two find each other.
fn meet(content: &Content, pex: [bool; 3]) -> (bool, World, [usize; 3]) {
    let mut w = without_directory();
    let nodes = [content.none(), content.full(), content.none()];
    let mut pex = pex.into_iter();
    let at = nodes.map(|held| {
        let pex = pex.next().unwrap();
        let at = w.add_with(content, Some(held), None, |c| c.pex = pex);
        w.node(at).keep_sent = true;
        at
    });
    let [hub, seed, get] = at;
    w.connect(seed, hub);
    w.connect(get, hub);
    let met = w.run_until(10 * SECOND, |w| {
        let peers = w.node(get).swarm.stats().peers;
        peers.iter().any(|p| p.listen == Some(addr_of(seed)))
    });
    (met, w, at)
}

#[test]
fn two_that_know_only_a_third_find_each_other_soon() {
    let (met, mut w, [_, seed, get]) = meet(&content(), [true; 3]);
    assert!(met);
    let sources: Vec<Source> = [seed, get]
        .iter()
        .flat_map(|n| w.node(*n).swarm.stats().peers)
        .map(|p| p.source)
        .collect();
    assert!(sources.contains(&Source::Pex), "{sources:?}");
    w.complete(&[get], 10 * SECOND);
}

#[test]
fn who_does_without_neither_offers_nor_says_nor_believes_it() {
    let (met, mut w, [hub, ..]) = meet(&content(), [false, true, true]);
    assert!(!met, "the hub says nothing");
    assert!(handshakes(&mut w, hub).iter().all(|h| h.ut_pex.is_none()));
    let (met, mut w, [hub, ..]) = meet(&content(), [true, false, false]);
    assert!(!met && said(&mut w, hub).is_empty(), "nobody takes it");
}

#[test]
fn a_private_torrent_has_none_of_it() {
    let (met, mut w, all) = meet(&private(&content()), [true; 3]);
    assert!(!met);
    for at in all {
        assert!(handshakes(&mut w, at).iter().all(|h| h.ut_pex.is_none()));
        assert!(said(&mut w, at).is_empty());
    }
}

#[test]
fn a_magnet_that_turns_out_to_be_private_ends_it() {
    let content = private(&content());
    let mut w = without_directory();
    let seed = w.add(&content, Some(content.full()));
    let get = w.add(&content, None);
    w.node(get).keep_sent = true;
    let before = w.add_script(Says(vec![shake()]), true);
    let names = (20 * SECOND, naming(strangers(0, 3)));
    let liar = w.add_script(Says(vec![shake(), names]), true);
    w.connect(before, get);
    w.connect(liar, get);
    w.connect(get, seed);
    w.run_for(MINUTE);
    assert!(w.node(get).swarm.is_complete());
    let shakes = handshakes(&mut w, get);
    assert!(shakes[0].ut_pex.is_some(), "nobody can know yet");
    assert_eq!(shakes.last().unwrap().ut_pex, None);
    assert!(said(&mut w, get).is_empty());
    assert!(w.node(get).exchanged.is_empty());
}

#[test]
fn each_is_told_of_the_others_once_and_of_those_that_leave() {
    let content = content();
    let mut w = without_directory();
    let us = w.add_with(&content, Some(content.none()), None, |c| {
        c.client.redial = 10 * MINUTE; // who leaves is gone
    });
    w.node(us).keep_sent = true;
    let them = w.add_script(Says(vec![shake()]), true);
    w.connect(them, us);
    // a seed that we dialled, one that dialled us, and one that does not say where it listens
    let [dialled, caller] =
        [(); 2].map(|()| w.add_script(Says(vec![shake(), (SECOND, Message::HaveAll)]), true));
    let silent = w.add_script(Says(vec![]), true);
    w.connect(us, dialled);
    let leaves = w.connect(caller, us);
    w.connect(silent, us);
    w.run_for(10 * SECOND);
    let to_them = |w: &mut World| -> Vec<UtPex> {
        let of = |m: &UtPex| m.added.iter().all(|p| p.addr != addr_of(them));
        said(w, us).into_iter().filter(of).collect()
    };
    let first = to_them(&mut w);
    let named: Vec<_> = first[0].added.iter().map(|p| (p.addr, p.flags)).collect();
    let flags = PexPeer::SEED | PexPeer::REACHABLE;
    assert_eq!(
        named,
        [(addr_of(dialled), flags), (addr_of(caller), PexPeer::SEED)]
    );
    assert!(first[0].dropped.is_empty());
    let all = said(&mut w, us).len();
    assert_eq!(all, 3, "and the two others are told");

    w.cut(leaves);
    w.run_for(40 * SECOND);
    assert_eq!(said(&mut w, us).len(), all, "not twice a minute");
    w.run_for(30 * SECOND);
    let later = said(&mut w, us).split_off(all);
    assert_eq!(later.len(), 2, "{later:?}");
    for message in later {
        assert_eq!(
            (message.added, message.dropped),
            (vec![], vec![addr_of(caller)])
        );
    }
}

#[test]
fn a_message_has_a_bounded_number_of_addresses() {
    let content = content();
    let mut w = without_directory();
    let us = w.add_with(&content, Some(content.none()), None, |c| {
        c.client.max_neighbours = 200;
    });
    w.node(us).keep_sent = true;
    let them = w.add_script(Says(vec![shake()]), true);
    w.connect(them, us);
    for _ in 0..24 {
        for _ in 0..3 {
            let says = Says(vec![shake()]);
            let one = w.add_script(says, true);
            w.connect(us, one);
        }
    }
    w.run_for(10 * SECOND);
    let first = said(&mut w, us);
    assert_eq!(first[0].added.len(), MAX_SENT);
    w.run_for(70 * SECOND);
    let named: usize = said(&mut w, us).iter().map(|m| m.added.len()).sum();
    assert_eq!(named, 73 * 72, "all of all, in the end");
}

/// What comes of `says` at a torrent without pieces.
fn told(says: Vec<(Duration, Message)>, time: Duration) -> (World, usize) {
    let content = content();
    let mut w = without_directory();
    let us = w.add(&content, Some(content.none()));
    let says = std::iter::once(shake()).chain(says).collect();
    let them = w.add_script(Says(says), true);
    w.connect(them, us);
    w.run_for(time);
    (w, us)
}

#[test]
fn a_peer_that_names_too_many_is_believed_in_part() {
    let says = (0..4)
        .map(|n| (SECOND, naming(strangers(n * 60, 60))))
        .collect();
    let (mut w, us) = told(says, 5 * SECOND);
    let expected: Vec<_> = strangers(0, 100).collect();
    assert_eq!(w.node(us).exchanged, expected);
    assert_eq!(drops(&mut w, us, DropReason::TooManyPex), 3);
    let one = (SECOND, naming(strangers(0, 10_000)));
    let (mut w, us) = told(vec![one], 5 * SECOND);
    assert!(w.node(us).exchanged.len() <= MAX_READ);
    assert_eq!(drops(&mut w, us, DropReason::TooManyPex), 1);
}

#[test]
fn a_peer_that_says_it_all_the_time_is_not_heard_and_then_closed() {
    let often = (0..10_000_u16).map(|n| {
        (
            Duration::from_millis(10) * n.into(),
            naming(strangers(n, 1)),
        )
    });
    let (mut w, us) = told(often.collect(), 30 * SECOND);
    assert_eq!(w.node(us).exchanged.len(), 6);
    assert!(drops(&mut w, us, DropReason::TooManyPex) > 1000);
    w.run_for(MINUTE);
    let closed = w.node(us).closed.iter().map(|(_, reason)| *reason);
    assert!(
        closed
            .into_iter()
            .any(|r| r == CloseReason::Flood(DropReason::TooManyPex)),
        "{:?}",
        w.node(us).closed
    );
}

#[test]
fn what_is_no_message_is_a_fault() {
    let bad = Message::Extended {
        id: OUR_UT_PEX,
        payload: Bytes::from_static(b"d5:added7:sevenbse"),
    };
    let (mut w, us) = told(vec![(SECOND, bad)], 3 * SECOND);
    assert_eq!(drops(&mut w, us, DropReason::BadExtended), 1);
}

#[test]
fn addresses_that_the_namer_could_not_reach_itself_are_not_believed() {
    let names: Vec<SocketAddr> = ["127.0.0.1:22", "[::1]:22", "192.0.32.10:1", "10.9.9.9:1"]
        .map(|a| a.parse().unwrap())
        .to_vec();
    let (mut w, us) = told(vec![(SECOND, naming(names.clone()))], 3 * SECOND);
    assert_eq!(
        w.node(us).exchanged,
        names[2..],
        "loopback, named by 10.0.0.2"
    );
}

#[test]
fn a_complete_client_is_not_sent_to_seeds() {
    let content = content();
    let mut w = without_directory();
    let us = w.add(&content, Some(content.full()));
    let mut named: Vec<SocketAddr> = strangers(0, 2).collect();
    let peers = [(named[0], PexPeer::SEED), (named[1], PexPeer::REACHABLE)];
    let added = peers.map(|(addr, flags)| PexPeer { addr, flags }).to_vec();
    let payload = UtPex {
        added,
        ..UtPex::default()
    }
    .encode();
    let says = vec![
        shake(),
        (
            SECOND,
            Message::Extended {
                id: OUR_UT_PEX,
                payload,
            },
        ),
    ];
    let them = w.add_script(Says(says), true);
    w.connect(them, us);
    w.run_for(3 * SECOND);
    assert_eq!(w.node(us).exchanged, named.split_off(1));
}

/// Peers of the site that the directory names are found and kept, however many far ones the others name.
#[test]
fn far_peers_that_others_name_do_not_take_the_place_of_near_ones() {
    let content = Content::random(64 * 16_384, 16_384, 1);
    let mut w = without_directory();
    let us = w.add_with(&content, Some(content.none()), None, |c| {
        c.client.max_neighbours = 8;
    });
    let some = |from: u32| ChunkSet::from_indices(64, (0..4).map(|n| from + n));
    let far: Vec<usize> = (0..16).map(|n| w.add(&content, Some(some(n)))).collect();
    let near: Vec<usize> = (0..4)
        .map(|n| w.add(&content, Some(some(20 + 4 * n))))
        .collect();
    for at in &far {
        w.far.insert(*at, Duration::from_millis(80));
    }
    // they know each other; of the near ones nobody tells us but the directory, late
    for (a, b) in far.iter().zip(&far[1..]) {
        w.connect(*a, *b);
    }
    w.connect(us, far[0]);
    let full = w.run_until(2 * MINUTE, |w| w.node(us).swarm.stats().peers.len() >= 8);
    assert!(full, "{:?}", w.node(us).swarm.stats().peers.len());
    let exchanged = w
        .node(us)
        .swarm
        .stats()
        .peers
        .iter()
        .filter(|p| p.source == Source::Pex)
        .count();
    assert!(exchanged > 0, "the others were told of us");
    let candidates: Vec<_> = near
        .iter()
        .map(|n| {
            let mut c = candidate(addr_of(*n), Source::Directory);
            c.apart = Some(Duration::from_millis(10));
            c
        })
        .collect();
    let now = w.now;
    w.node(us).swarm.handle_candidates(&candidates, now);
    w.drain(us);
    w.run_for(20 * SECOND);
    let peers = w.node(us).swarm.stats().peers;
    for at in near {
        assert!(
            peers
                .iter()
                .any(|p| p.listen == Some(addr_of(at)) && p.near),
            "{at} is not among {peers:#?}"
        );
    }
}
