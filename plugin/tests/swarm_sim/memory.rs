//! What the caller allows open pieces to take: many torrents share it, and a disk that refuses allows nothing.

use std::time::Duration;

use chunkcast_bittorrent::swarm::CloseReason;

use crate::scripts::{Fault, Seed};
use crate::world::{Content, World};

const MINUTE: Duration = Duration::from_secs(60);
const PIECE: u64 = 64 << 10;

#[test]
fn open_pieces_take_no_more_than_allowed_and_all_of_them_come() {
    let content = Content::random(2 << 20, PIECE as usize, 3);
    for pieces in [1, 2, 5] {
        let mut w = World::new(pieces);
        w.directory = false;
        let get = w.add(&content, Some(content.none()));
        let now = w.now;
        w.node(get).swarm.set_memory(pieces * PIECE, now);
        for _ in 0..3 {
            let seed = w.add(&content, Some(content.full()));
            w.connect(get, seed);
        }
        let mut most = 0;
        let done = w.run_until(MINUTE, |w| {
            most = most.max(w.node(get).swarm.open_bytes());
            w.node(get).complete_at.is_some()
        });
        assert!(done, "{:#?}", w.node(get).swarm.stats());
        assert_eq!(most, pieces * PIECE, "all that is allowed is used");
        w.complete(&[get], MINUTE);
    }
}

/// For longer than any peer may be silent.
#[test]
fn while_nothing_may_be_begun_every_connection_stays_and_nobody_is_blamed() {
    let content = Content::random(4 << 20, PIECE as usize, 4);
    let mut w = World::new(4);
    w.directory = false;
    // nobody meets others than those it is connected to here
    let mut add = |held| w.add_with(&content, Some(held), None, |c| c.pex = false);
    let get = add(content.none());
    let seeds: Vec<usize> = (0..3).map(|_| add(content.full())).collect();
    for seed in &seeds {
        w.connect(get, *seed);
    }
    let begun = w.run_until(MINUTE, |w| w.node(get).disk.len() >= 8);
    assert!(begun);
    let now = w.now;
    w.node(get).swarm.set_memory(0, now);
    w.run_for(4 * MINUTE);
    let held = w.node(get).disk.len();
    assert!(held < 60, "{held} pieces came while none was to be begun");
    let stats = w.node(get).swarm.stats();
    assert_eq!((stats.stalls, stats.wasted), (0, 0), "{stats:#?}");
    for node in [&[get][..], &seeds].concat() {
        assert_eq!(w.node(node).closed, [], "node {node}");
    }
    assert_eq!(w.node(get).swarm.memory_wanted(), Some(PIECE));
    let now = w.now;
    w.node(get).swarm.set_memory(u64::MAX, now);
    w.drain(get);
    w.complete(&[get], MINUTE);
    let wasted = w.node(get).swarm.stats().wasted;
    assert!(
        wasted <= 2 * PIECE,
        "{wasted}: more than the last blocks, asked for twice"
    );
}

/// A piece that nobody goes on with is given up for those who wait, and fetched again from a peer that comes later.
#[test]
fn a_piece_on_which_nothing_moves_is_given_up_for_others() {
    let content = Content::random(256 << 10, PIECE as usize, 5);
    let mut w = World::new(5);
    w.directory = false;
    let get = w.add(&content, Some(content.none()));
    let silent = Seed::new(&content, true, Fault::None).slow(Duration::from_millis(50));
    let silent = w.add_script(silent, true);
    let conn = w.connect(get, silent);
    let some = |w: &mut World| !w.node(get).buffers.is_empty();
    assert!(w.run_until(MINUTE, some));
    w.cut(conn);
    w.run_for(Duration::from_secs(10));
    let open = w.node(get).swarm.open_bytes();
    assert!(open > 0);
    let now = w.now;
    w.node(get).swarm.give_up_idle(MINUTE, now);
    assert_eq!(w.node(get).swarm.open_bytes(), open, "not yet");
    w.node(get).swarm.give_up_idle(Duration::from_secs(5), now);
    assert_eq!(w.node(get).swarm.open_bytes(), 0);
    w.drain(get);
    assert!(w.node(get).buffers.is_empty(), "its blocks are forgotten");
    let seed = w.add(&content, Some(content.full()));
    w.connect(get, seed);
    w.complete(&[get], MINUTE);
}

/// Peers that asked for blocks and read none hold memory that others wait for.
#[test]
fn a_peer_that_does_not_read_is_closed_when_its_memory_is_wanted() {
    let content = Content::random(4 << 20, PIECE as usize, 6);
    let mut w = World::new(6);
    w.directory = false;
    let seed = w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.connect(get, seed);
    assert!(w.run_until(MINUTE, |w| w.node(get).disk.len() >= 9));
    w.set_uplink(seed, 1);
    w.run_for(Duration::from_secs(2));
    let now = w.now;
    w.node(seed).swarm.close_stuck(now);
    assert_eq!(w.node(seed).closed, [], "it may only be slow");
    w.run_for(Duration::from_secs(10));
    let now = w.now;
    w.node(seed).swarm.close_stuck(now);
    w.drain(seed);
    let closed: Vec<_> = w.node(seed).closed.iter().map(|(_, why)| *why).collect();
    assert_eq!(closed, [CloseReason::Silent]);
}
