//! Files are selected and deselected while they download.

use std::collections::BTreeMap;
use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::wire::message::Message;

use crate::scripts::{Fault, Seed};
use crate::world::{Content, World};

const MINUTE: Duration = Duration::from_secs(60);
const PIECES: u32 = 40;

fn content() -> Content {
    Content::random((PIECES as usize) << 16, 1 << 16, 9)
}

fn of(pieces: impl IntoIterator<Item = u32>) -> ChunkSet {
    ChunkSet::from_indices(PIECES, pieces)
}

fn want(w: &mut World, at: usize, wanted: ChunkSet, classes: Vec<ChunkSet>) {
    let now = w.now;
    let node = w.node(at);
    node.wanted = Some(wanted.clone());
    node.complete_at = None;
    node.swarm.set_wanted(wanted, classes, now);
    w.drain(at);
}

#[test]
fn more_is_fetched_when_more_is_selected_and_it_is_complete_again() {
    let content = content();
    let mut w = World::new(1);
    w.add(&content, Some(content.full()));
    let get = w.add_with(&content, Some(content.none()), Some(of(0..5)), |_| {});
    w.complete(&[get], MINUTE);
    assert_eq!(w.node(get).disk.len(), 5);
    // the seed has hung up meanwhile, and is found again
    w.run_for(MINUTE);
    want(&mut w, get, of(0..20), vec![]);
    assert!(!w.node(get).swarm.is_complete());
    w.complete(&[get], 5 * MINUTE);
    assert_eq!(w.node(get).disk.len(), 20);
}

#[test]
fn what_is_deselected_is_given_up_and_the_rest_is_complete() {
    let content = content();
    let mut w = World::new(2);
    let seed = w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.set_uplink(seed, 500_000);
    assert!(w.run_until(MINUTE, |w| w.node(get).disk.len() >= 5
        && w.node(get).swarm.open_bytes() > 0));
    let held: Vec<u32> = w.node(get).disk.keys().copied().collect();
    let finishing = w.node(get).finishing.len();
    want(&mut w, get, of(held.iter().copied()), vec![]);
    assert!(w.node(get).complete_at.is_some(), "at once");
    assert!(w.node(get).buffers.len() <= finishing);
    w.run_for(MINUTE);
    assert!(w.node(get).disk.len() <= held.len() + finishing);
    assert_eq!(w.node(get).swarm.open_bytes(), 0);
    let drops = w.node(get).swarm.stats().drops;
    assert_eq!(
        drops,
        BTreeMap::default(),
        "what was on its way is no fault"
    );
    // and back again
    want(&mut w, get, content.full(), vec![]);
    w.complete(&[get], 5 * MINUTE);
}

#[test]
fn selecting_what_is_there_already_or_the_same_again_is_no_new_completion() {
    let content = content();
    let mut w = World::new(3);
    w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.complete(&[get], MINUTE);
    for wanted in [of(0..7), content.full(), of([])] {
        want(&mut w, get, wanted, vec![]);
        assert!(w.node(get).swarm.is_complete());
        assert_eq!(w.node(get).complete_at, None);
    }
}

/// A seed that shows everything at once and lets nothing be had while it chokes.
fn plain_seed(w: &mut World, content: &Content) -> usize {
    w.directory = false;
    w.add_script(Seed::new(content, false, Fault::None), false)
}

/// The pieces in the order in which they were first asked for.
fn asked(w: &mut World, at: usize) -> Vec<u32> {
    let mut order = Vec::new();
    for (_, message) in &w.node(at).sent {
        if let Message::Request(block) = message
            && !order.contains(&block.piece)
        {
            order.push(block.piece);
        }
    }
    order
}

#[test]
fn high_comes_before_normal_and_normal_before_low() {
    let content = content();
    let mut w = World::new(4);
    let seed = plain_seed(&mut w, &content);
    let get = w.add(&content, Some(content.none()));
    w.node(get).keep_sent = true;
    let classes = vec![of(30..40), of(10..30), of(0..10)];
    want(&mut w, get, content.full(), classes);
    w.connect(get, seed);
    w.complete(&[get], MINUTE);
    let order = asked(&mut w, get);
    let class = |piece: &u32| match piece {
        30..40 => 0,
        10..30 => 1,
        _ => 2,
    };
    assert!(order.is_sorted_by_key(class), "{order:?}");
    assert!(!order.is_sorted(), "in no order within a class");
}

#[test]
fn priorities_that_change_meanwhile_hold_for_what_is_begun_later() {
    let content = content();
    let mut w = World::new(5);
    let seed = plain_seed(&mut w, &content);
    let get = w.add(&content, Some(content.none()));
    w.set_uplink(seed, 500_000);
    w.connect(get, seed);
    assert!(w.run_until(MINUTE, |w| w.node(get).disk.len() >= 5));
    w.node(get).keep_sent = true;
    let mut later = of(20..40);
    for piece in 0..PIECES {
        let begun =
            w.node(get).disk.contains_key(&piece) || w.node(get).buffers.contains_key(&piece);
        if begun {
            later.remove(piece);
        }
    }
    let first = later.complement();
    want(&mut w, get, content.full(), vec![first, later.clone()]);
    w.complete(&[get], 5 * MINUTE);
    let order = asked(&mut w, get);
    let at = order.iter().position(|p| later.contains(*p)).unwrap();
    // but for what was asked for by then
    let tail: Vec<u32> = order[at..].to_vec();
    assert!(tail.iter().all(|p| later.contains(*p)), "{order:?}");
}
