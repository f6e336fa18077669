//! Who is told of a piece, and when.

use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::swarm::ConnId;
use chunkcast_bittorrent::wire::message::Message;

use crate::protocol::Says;
use crate::world::{Content, World};

const MINUTE: Duration = Duration::from_secs(60);
const PIECES: u32 = 40;

/// What a downloader told, in order, a peer that has the first ten pieces and says `more`; and that connection.
fn told(more: Vec<(Duration, Message)>, halfway: impl Fn(&[u32])) -> Vec<u32> {
    let content = Content::random(PIECES as usize * 16_384, 16_384, 1);
    let mut w = World::new(1);
    w.directory = false;
    let seed = w.add(&content, Some(content.full()));
    w.set_uplink(seed, 100_000);
    let get = w.add(&content, Some(content.none()));
    w.node(get).keep_sent = true;
    let ten = ChunkSet::from_indices(PIECES, 0..10);
    let bits = Message::Bitfield(Bytes::copy_from_slice(ten.as_bytes()));
    let mut says = vec![
        (Duration::ZERO, bits),
        (Duration::ZERO, Message::Interested),
    ];
    says.extend(more);
    let watcher = w.add_script(Says(says), true);
    let conn = w.connect(watcher, get);
    w.run_for(Duration::from_millis(100));
    w.connect(get, seed);
    assert!(w.run_until(MINUTE, |w| w.node(get).disk.len() >= 30));
    halfway(&haves(&mut w, get, conn));
    w.complete(&[get], MINUTE);
    haves(&mut w, get, conn)
}

fn haves(w: &mut World, get: usize, conn: ConnId) -> Vec<u32> {
    let sent = w.node(get).sent.iter().filter(|(c, _)| *c == conn);
    sent.filter_map(|(_, msg)| match msg {
        Message::Have(piece) => Some(*piece),
        _ => None,
    })
    .collect()
}

fn is_its_own(piece: &u32) -> bool {
    *piece < 10
}

#[test]
fn a_downloader_that_has_the_piece_is_told_of_it_only_once_everything_is_there() {
    let told = told(Vec::new(), |halfway| {
        assert!(!halfway.iter().any(is_its_own), "{halfway:?}");
        assert!(halfway.len() >= 20);
    });
    let (first, last) = told.split_at(30);
    assert!(!first.iter().any(is_its_own), "{told:?}");
    assert!(last.len() == 10 && last.iter().all(is_its_own), "{told:?}");
}

#[test]
fn a_downloader_that_has_the_piece_is_told_of_it_when_it_wants_nothing_more() {
    let over = (Duration::from_secs(3), Message::NotInterested);
    let told = told(vec![over], |halfway| {
        assert!(halfway.iter().any(is_its_own), "{halfway:?}");
    });
    let mut all = told.clone();
    all.sort_unstable();
    assert_eq!(all, (0..PIECES).collect::<Vec<_>>(), "each once");
}
