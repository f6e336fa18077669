//! Pieces of 16 MiB: a pipeline spans them, and one that is stuck on a slow peer comes from another block by block.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chunkcast_bittorrent::swarm::ConnId;
use chunkcast_bittorrent::wire::message::Message;

use crate::scripts::{Fault, Seed};
use crate::world::{Content, World};

const PIECE: usize = 16 << 20;
/// Bytes per second of a peer's uplink.
const UPLINK: f64 = 2_500_000.0;

/// A downloader connected to these peers, the first of them on connection 1.
fn connected(content: &Content, scripts: Vec<Seed>) -> (World, usize) {
    let mut w = World::new(3);
    w.directory = false;
    let scripts: Vec<usize> = scripts.into_iter().map(|s| w.add_script(s, true)).collect();
    let get = w.add(content, Some(content.none()));
    w.node(get).keep_sent = true;
    for script in scripts {
        w.connect(get, script);
    }
    (w, get)
}

/// Blocks that each connection was asked for, by piece.
fn asked(w: &mut World, get: usize) -> BTreeMap<(u32, ConnId), u32> {
    let mut asked = BTreeMap::new();
    for (conn, msg) in &w.node(get).sent {
        if let Message::Request(r) = msg {
            *asked.entry((r.piece, *conn)).or_default() += 1;
        }
    }
    asked
}

#[test]
fn a_piece_of_16_mib_stuck_on_a_slow_peer_is_finished_from_another_block_by_block() {
    let content = Content::random(3 * PIECE, PIECE, 3);
    // alone it would take 1024 s for a piece
    let slow = Seed::new(&content, true, Fault::None).slow(Duration::from_secs(1));
    let fast = Seed::new(&content, true, Fault::None);
    let (mut w, get) = connected(&content, vec![slow, fast]);
    let begin = w.now;
    w.complete(&[get], Duration::from_secs(120));
    let took = w.now.saturating_since(begin).as_secs_f64();
    let bound = content.data.len() as f64 / UPLINK;
    assert!(took < 1.2 * bound, "{took:.1} s, the link needs {bound:.1}");
    let asked = asked(&mut w, get);
    let shared = (0..3).filter(|piece| (1..=2).all(|c| asked.contains_key(&(*piece, ConnId(c)))));
    assert!(shared.count() >= 1, "no piece came from both: {asked:?}");
    let wasted = w.node(get).swarm.stats().wasted;
    assert!(wasted <= 64 << 10, "{wasted} bytes came twice");
}

#[test]
fn a_piece_of_16_mib_whose_peer_falls_silent_is_finished_from_another() {
    let content = Content::random(2 * PIECE, PIECE, 4);
    let silent = Seed::new(&content, true, Fault::StallsAfter(100));
    let fast = Seed::new(&content, true, Fault::None);
    let (mut w, get) = connected(&content, vec![silent, fast]);
    let begin = w.now;
    w.complete(&[get], Duration::from_secs(120));
    let took = w.now.saturating_since(begin).as_secs_f64();
    let bound = content.data.len() as f64 / UPLINK;
    assert!(took < 1.4 * bound, "{took:.1} s, the link needs {bound:.1}");
    // what it has sent is kept
    assert_eq!(w.node(get).swarm.stats().wasted, 0);
}

#[test]
fn the_pipeline_of_a_peer_spans_pieces() {
    let content = Content::random(1 << 20, 64 << 10, 5);
    let seed = Seed::new(&content, true, Fault::None).slow(Duration::from_millis(50));
    let (mut w, get) = connected(&content, vec![seed]);
    w.run_for(Duration::from_millis(40));
    // eight blocks were asked for, four a piece, before any of them came
    let asked: BTreeSet<u32> = asked(&mut w, get).keys().map(|(piece, _)| *piece).collect();
    assert_eq!(w.node(get).swarm.stats().received, 0);
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[test]
fn a_piece_comes_from_the_peer_that_it_was_begun_with_for_its_first_second() {
    let content = Content::random(1 << 20, 1 << 20, 6);
    let slow = || Seed::new(&content, true, Fault::None).slow(Duration::from_millis(100));
    let (mut w, get) = connected(&content, vec![slow(), slow()]);
    w.run_for(Duration::from_millis(900));
    let first: BTreeSet<ConnId> = asked(&mut w, get).keys().map(|(_, conn)| *conn).collect();
    assert_eq!(first.len(), 1, "{first:?}");
    w.run_for(Duration::from_secs(2));
    let then: BTreeSet<ConnId> = asked(&mut w, get).keys().map(|(_, conn)| *conn).collect();
    assert_eq!(then.len(), 2, "the other helps");
    w.complete(&[get], Duration::from_secs(60));
}

#[test]
fn requests_outstanding_at_all_peers_together_are_bounded() {
    let content = Content::random(8 << 20, 256 << 10, 7);
    let mut w = World::new(7);
    w.directory = false;
    w.latency = Duration::from_millis(50);
    let seeds: Vec<usize> = (0..6)
        .map(|_| w.add_script(Seed::new(&content, true, Fault::None), true))
        .collect();
    let get = w.add_with(&content, Some(content.none()), None, |c| {
        c.limits.max_window = 40;
        c.limits.max_outstanding = 64;
    });
    for seed in seeds {
        w.connect(get, seed);
    }
    let mut most = 0;
    let done = w.run_until(Duration::from_secs(60), |w| {
        most = most.max(w.node(get).swarm.stats().outstanding);
        w.node(get).complete_at.is_some()
    });
    assert!(done);
    assert_eq!(most, 64);
}
