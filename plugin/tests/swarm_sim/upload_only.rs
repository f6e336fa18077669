//! Partial seeds (BEP 21): who downloads nothing more is not served, and two of them need no connection.

use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId, DropReason};
use chunkcast_bittorrent::wire::extended::{
    ExtendedHandshake, OUR_UPLOAD_ONLY, decode_upload_only, encode_upload_only,
};
use chunkcast_bittorrent::wire::message::Message;

use crate::hostile::{Bench, extended};
use crate::world::{Content, World};

/// What a peer says of itself; `id`: under which it takes `upload_only`.
fn shake(id: Option<u8>, upload_only: Option<bool>) -> Message {
    let handshake = ExtendedHandshake {
        upload_only_id: id,
        upload_only,
        ..ExtendedHandshake::default()
    };
    extended(0, handshake.encode())
}

/// What the peer was told of whether we download nothing more, first by handshakes, then by messages under its id 9.
fn told(b: &Bench, conn: ConnId) -> (Vec<Option<bool>>, Vec<bool>) {
    let said = || b.sent.iter().filter(|(c, _)| *c == conn).map(|(_, m)| m);
    let shaken = said().filter_map(|m| match m {
        Message::Extended { id: 0, payload } => {
            Some(ExtendedHandshake::decode(payload).unwrap().upload_only)
        }
        _ => None,
    });
    let messages = said().filter_map(|m| match m {
        Message::Extended { id: 9, payload } => Some(decode_upload_only(payload).unwrap()),
        _ => None,
    });
    (shaken.collect(), messages.collect())
}

fn is_served(b: &Bench, conn: ConnId) -> bool {
    let peers = b.swarm.stats().peers;
    peers.iter().any(|p| p.conn == conn && p.served)
}

#[test]
fn a_seed_says_it_in_its_handshake_and_a_downloader_does_not() {
    for (held, says) in [(ChunkSet::full(7), Some(true)), (ChunkSet::empty(7), None)] {
        let mut b = Bench::new(Some(held));
        b.pass(Duration::from_secs(10));
        let conn = b.connect(1, true, true);
        assert_eq!(told(&b, conn), (vec![says], vec![]));
    }
}

#[test]
fn a_superseeding_seed_says_it_only_when_it_shows_everything() {
    let mut b = Bench::new(Some(ChunkSet::full(7)));
    let conns = [1, 2].map(|n| b.connect(n, true, true));
    for conn in conns {
        b.say(conn, shake(Some(9), None));
        b.say(conn, Message::HaveNone);
        b.say(conn, Message::Interested);
    }
    assert_eq!(told(&b, conns[0]), (vec![None], vec![]));
    // left alone, it is shown everything
    b.swarm.handle_disconnected(conns[1], b.now);
    b.pass(Duration::from_secs(30));
    assert_eq!(told(&b, conns[0]), (vec![None], vec![true]));
}

#[test]
fn when_the_selected_files_are_here_it_is_said_in_a_message_or_another_handshake() {
    let content = Content::random(640 << 10, 32 << 10, 4);
    let wanted = ChunkSet::from_indices(20, [0, 3]);
    let mut w = World::new(4);
    w.directory = false;
    let seed = w.add(&content, Some(content.full()));
    let get = w.add_with(&content, Some(content.none()), Some(wanted), |_| {});
    w.node(get).keep_sent = true;
    let handshake = ExtendedHandshake {
        upload_only_id: Some(9),
        ..ExtendedHandshake::default()
    };
    let watch = |payload| {
        let shake = Message::Extended { id: 0, payload };
        crate::protocol::Says(vec![(Duration::ZERO, shake)])
    };
    let by_message = w.add_script(watch(handshake.encode()), true);
    let by_handshake = w.add_script(watch(ExtendedHandshake::default().encode()), true);
    let conns = [by_message, by_handshake, seed].map(|peer| w.connect(peer, get));
    w.complete(&[get], Duration::from_secs(60));
    w.run_for(Duration::from_secs(1));
    let said = |w: &mut World, at: usize| -> Vec<Message> {
        let node = w.node(get);
        let sent = node.sent.iter().filter(|(c, _)| *c == conns[at]);
        let extended = |m: &&Message| matches!(m, Message::Extended { .. });
        sent.map(|(_, m)| m).filter(extended).cloned().collect()
    };
    let message = extended(9, encode_upload_only(true));
    assert_eq!(said(&mut w, 0)[1..], [message]);
    let [_, Message::Extended { id: 0, payload }] = &said(&mut w, 1)[..] else {
        panic!("{:?}", said(&mut w, 1))
    };
    let again = ExtendedHandshake::decode(payload).unwrap();
    assert_eq!(again.upload_only, Some(true));
    // the seed, too, learned that nobody wants anything
    assert!(w.node(seed).swarm.stats().peers.is_empty());
}

#[test]
fn two_who_download_nothing_more_are_not_connected() {
    for ours in [ChunkSet::full(7), ChunkSet::from_indices(7, [1])] {
        let complete = ours.is_full();
        let mut b = Bench::new(Some(ours));
        let conn = b.connect(1, true, true);
        b.say(conn, Message::HaveNone);
        b.say(conn, shake(None, Some(true)));
        let useless = vec![(conn, CloseReason::Useless)];
        assert_eq!(b.closed, if complete { useless } else { vec![] });
    }
}

#[test]
fn who_downloads_nothing_more_has_no_slot_until_it_changes_its_mind() {
    let mut b = Bench::new(Some(ChunkSet::from_indices(7, [1])));
    let conn = b.connect(1, true, true);
    b.say(conn, shake(None, Some(true)));
    b.say(conn, Message::HaveNone);
    b.say(conn, Message::Interested);
    b.pass(Duration::from_secs(10));
    assert!(!is_served(&b, conn));
    b.say(conn, extended(OUR_UPLOAD_ONLY, encode_upload_only(false)));
    assert!(is_served(&b, conn));
}

#[test]
fn a_partial_seed_is_no_downloader_to_show_pieces_to() {
    let mut b = Bench::new(Some(ChunkSet::full(7)));
    b.pass(Duration::from_secs(10));
    let partial = b.connect(1, true, true);
    b.say(partial, Message::Have(3));
    // it is alone: shown everything, not piece by piece
    let getter = b.connect(2, true, true);
    b.say(getter, Message::HaveNone);
    assert!(!b.sent.contains(&(getter, Message::HaveAll)));
    b.sent.clear();
    b.say(partial, shake(None, Some(true)));
    b.pass(Duration::from_secs(1));
    let shown = b
        .sent
        .iter()
        .filter(|(c, m)| *c == getter && matches!(m, Message::Have(_)));
    assert!(shown.count() > 0);
    assert_eq!(b.closed, [(partial, CloseReason::Useless)]);
}

#[test]
fn a_message_that_is_not_one_byte_or_comes_too_early_is_a_fault() {
    let mut b = Bench::new(Some(ChunkSet::empty(7)));
    let conn = b.connect(1, true, true);
    b.say(conn, extended(OUR_UPLOAD_ONLY, encode_upload_only(true)));
    b.say(conn, shake(None, None));
    b.say(conn, extended(OUR_UPLOAD_ONLY, vec![1, 1].into()));
    b.say(conn, extended(OUR_UPLOAD_ONLY, vec![].into()));
    assert_eq!(b.drops(DropReason::BadExtended), 3);
    for n in 0..5000 {
        b.say(
            conn,
            extended(OUR_UPLOAD_ONLY, encode_upload_only(n % 2 == 0)),
        );
    }
    assert!(matches!(b.closed[..], [(_, CloseReason::Flood(_))]));
}
