//! Downloads in spite of peers that lie, stall, choke, leave; and of the disk.

use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId, DropReason};
use chunkcast_bittorrent::wire::message::Message;

use crate::scripts::{Fault, Seed};
use crate::world::{Content, World};

const MINUTE: Duration = Duration::from_secs(60);

/// A downloader connected to these scripted seeds, and the connections' order.
fn against(content: &Content, seed: u64, fast: bool, scripts: Vec<Seed>) -> (World, usize) {
    let mut w = World::new(seed);
    w.directory = false;
    let scripts: Vec<usize> = scripts
        .into_iter()
        .map(|s| w.add_script(Seed { fast, ..s }, fast))
        .collect();
    let get = w.add(content, Some(content.none()));
    w.node(get).keep_sent = true;
    for s in scripts {
        w.connect(get, s);
    }
    (w, get)
}

fn banned(w: &mut World, get: usize) -> Vec<u64> {
    let closed = &w.node(get).closed;
    let mut conns: Vec<u64> = closed
        .iter()
        .filter(|(_, r)| *r == CloseReason::Banned)
        .map(|(c, _)| c.0)
        .collect();
    conns.sort_unstable();
    conns
}

#[test]
fn a_peer_that_alone_sent_a_bad_piece_is_banned_and_the_download_completes() {
    let content = Content::random(1 << 20, 16 << 10, 1); // one block a piece
    for fast in [false, true] {
        let bad = Seed::new(&content, fast, Fault::Corrupts { n: 1, r: 0 });
        let good = Seed::new(&content, fast, Fault::None);
        let (mut w, get) = against(&content, 1, fast, vec![bad, good]);
        w.complete(&[get], MINUTE);
        assert_eq!(banned(&mut w, get), [1]);
        // It is not let in again.
        let again = w.connect(0, get);
        assert!(w.node(get).closed.contains(&(again, CloseReason::Banned)));
    }
}

#[test]
fn among_several_contributors_exactly_the_guilty_is_banned() {
    // Pieces of 64 blocks, slow peers: every piece is fetched from several once it is a second old.
    for seed in 0..12 {
        let content = Content::random(3 << 20, 1 << 20, seed);
        let slow = |fault| Seed::new(&content, false, fault).slow(Duration::from_millis(150));
        let scripts = vec![
            slow(Fault::None),
            slow(Fault::Corrupts { n: 5, r: 2 }),
            slow(Fault::None),
            slow(Fault::None),
        ];
        let (mut w, get) = against(&content, seed, seed % 2 == 0, scripts);
        w.complete(&[get], 20 * MINUTE);
        let banned = banned(&mut w, get);
        assert!(
            banned.is_empty() || banned == [2],
            "seed {seed}: banned {banned:?}"
        );
        let stats = w.node(get).swarm.stats();
        assert_eq!(
            stats.bad_pieces > 0,
            banned == [2],
            "seed {seed}: {stats:?}"
        );
    }
}

#[test]
fn a_liar_among_suspects_only_is_found() {
    // Both peers are suspects: the piece then comes from one of them alone.
    let content = Content::random(1 << 20, 1 << 20, 40);
    let slow = |fault| Seed::new(&content, true, fault).slow(Duration::from_millis(100));
    let scripts = vec![slow(Fault::None), slow(Fault::Corrupts { n: 3, r: 1 })];
    let (mut w, get) = against(&content, 40, true, scripts);
    w.complete(&[get], 20 * MINUTE);
    assert_eq!(banned(&mut w, get), [2]);
}

#[test]
fn a_piece_that_is_assigned_to_a_suspect_comes_from_the_other() {
    // A good peer finishes the piece that a liar began and is a suspect when it fails; the client, which knows nothing
    // of suspects, may well name it again.
    for seed in 0..8 {
        let content = Content::random(64 << 10, 64 << 10, seed);
        let liar = Fault::Corrupts { n: 1, r: 0 };
        let liar = Seed::new(&content, true, liar).slow(Duration::from_millis(100));
        let (mut w, get) = against(&content, seed, true, vec![liar]);
        let begun = |w: &mut World| w.node(get).swarm.stats().received > 0;
        assert!(w.run_until(Duration::from_secs(20), begun), "seed {seed}");
        for _ in 0..2 {
            let good = w.add_script(Seed::new(&content, true, Fault::None), true);
            w.connect(get, good);
        }
        w.cut(ConnId(1));
        w.complete(&[get], MINUTE);
        assert_eq!(w.node(get).swarm.stats().bad_pieces, 1, "seed {seed}");
    }
}

#[test]
fn a_peer_that_stalls_in_the_middle_of_a_piece_is_left_and_the_rest_comes_from_another() {
    let content = Content::random(2 << 20, 512 << 10, 2);
    for n in [0, 1, 5, 17, 31, 32] {
        let stalls = Seed::new(&content, true, Fault::StallsAfter(n));
        let good = Seed::new(&content, true, Fault::None).slow(Duration::from_millis(20));
        let (mut w, get) = against(&content, 2, n % 2 == 0, vec![stalls, good]);
        w.complete(&[get], 2 * MINUTE);
        let stats = w.node(get).swarm.stats();
        assert_eq!(stats.bad_pieces, 0);
        assert!(stats.wasted <= 256 << 10, "wasted {}", stats.wasted);
    }
}

#[test]
fn a_lonely_peer_that_stalls_is_asked_again_when_it_may_have_recovered() {
    let content = Content::random(256 << 10, 64 << 10, 21);
    let (mut w, get) = against(
        &content,
        21,
        false,
        vec![Seed::new(&content, false, Fault::StallsAfter(3))],
    );
    w.run_for(Duration::from_secs(30));
    let stats = w.node(get).swarm.stats();
    assert!(stats.stalls >= 1);
    assert!(stats.outstanding <= 8, "requests are given up: {stats:?}");
}

#[test]
fn a_choke_in_the_middle_of_a_piece_loses_nothing() {
    let content = Content::random(1 << 20, 256 << 10, 3);
    for fast in [false, true] {
        for every in [2, 7, 19] {
            let chokes = Seed::new(&content, fast, Fault::ChokesEvery(every));
            let (mut w, get) = against(&content, 3, fast, vec![chokes]);
            w.complete(&[get], 20 * MINUTE);
            let stats = w.node(get).swarm.stats();
            assert_eq!(stats.downloaded, 1 << 20);
            // A block may cross the choke on the wire; it is then used, not fetched again.
            assert!(
                stats.wasted <= 128 << 10,
                "fast {fast}, every {every}: {}",
                stats.wasted
            );
        }
    }
}

#[test]
fn a_peer_that_leaves_in_the_middle_of_a_piece_loses_nothing() {
    let content = Content::random(1 << 20, 512 << 10, 4);
    for n in [0, 1, 20, 40] {
        let leaves = Seed::new(&content, false, Fault::LeavesAfter(n));
        let good = Seed::new(&content, false, Fault::None).slow(Duration::from_millis(10));
        let (mut w, get) = against(&content, 4, n % 2 == 0, vec![leaves, good]);
        w.complete(&[get], 2 * MINUTE);
        assert_eq!(w.node(get).swarm.stats().downloaded, 1 << 20);
    }
}

#[test]
fn a_peer_that_rejects_everything_is_not_asked_for_ever() {
    let content = Content::random(256 << 10, 64 << 10, 5);
    let (mut w, get) = against(
        &content,
        5,
        true,
        vec![Seed::new(&content, true, Fault::Rejects)],
    );
    w.run_for(Duration::from_secs(20));
    let requests = w
        .node(get)
        .sent
        .iter()
        .filter(|(_, m)| matches!(m, Message::Request(_)))
        .count();
    assert!(
        requests < 100,
        "{requests} requests to a peer that rejects each"
    );
}

#[test]
fn the_last_blocks_are_asked_twice_and_cancelled() {
    // One fast and one very slow seed: what the slow one owes at the end comes from the fast one.
    for fast in [false, true] {
        let content = Content::random(1 << 20, 128 << 10, 6);
        let slow = Seed::new(&content, fast, Fault::None).slow(Duration::from_secs(8));
        let good = Seed::new(&content, fast, Fault::None);
        let (mut w, get) = against(&content, 6, fast, vec![slow, good]);
        let begin = w.now;
        w.complete(&[get], MINUTE);
        let took = w.now.saturating_since(begin);
        assert!(
            took < Duration::from_secs(8),
            "the slow peer held everything up: {took:?}"
        );
        let cancels: Vec<u64> = w
            .node(get)
            .sent
            .iter()
            .filter(|(_, m)| matches!(m, Message::Cancel(_)))
            .map(|(c, _)| c.0)
            .collect();
        assert!(
            !cancels.is_empty() && cancels.iter().all(|c| *c == 1),
            "{cancels:?}"
        );
        assert_eq!(w.node(get).swarm.stats().wasted, 0);
    }
}

#[test]
fn a_piece_that_cannot_be_written_is_fetched_again() {
    let content = Content::random(512 << 10, 64 << 10, 7);
    let mut w = World::new(7);
    w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.node(get).disk_errors.insert(3);
    w.complete(&[get], MINUTE);
    assert_eq!(w.node(get).swarm.stats().disk_errors, 1);
}

#[test]
fn connections_that_break_at_random_do_not_stop_a_swarm() {
    use rand::RngExt;
    for seed in 0..30 {
        let content = Content::random(2 << 20, 128 << 10, seed);
        let mut w = World::new(seed);
        let s = w.add(&content, Some(content.full()));
        let a = w.add(&content, Some(content.none()));
        let b = w.add(&content, None);
        for n in [s, a, b] {
            w.set_uplink(n, 400_000);
        }
        for _ in 0..6 {
            let time = Duration::from_millis(w.rng.random_range(50..1500));
            w.run_for(time);
            let conns: Vec<_> = w
                .node(a)
                .swarm
                .stats()
                .peers
                .iter()
                .map(|p| p.conn)
                .collect();
            if let Some(conn) = conns.first() {
                w.cut(*conn);
                // The directory is asked again only now and then; the user is quicker.
                let to = if w.rng.random_bool(0.5) { s } else { b };
                w.connect(a, to);
            }
        }
        println!("SEED={seed}");
        w.complete(&[a, b], 10 * MINUTE);
    }
}

#[test]
fn a_bitfield_that_turns_out_impossible_closes_the_peer_once_the_metadata_is_known() {
    let content = Content::random(1 << 20, 64 << 10, 8); // 16 pieces
    let mut w = World::new(8);
    w.directory = false;
    let good = w.add(&content, Some(content.full()));
    let wrong = Content::random(1 << 20, 32 << 10, 8); // says 32
    let bad = w.add_script(Seed::new(&wrong, false, Fault::None), false);
    let get = w.add(&content, None);
    let conn = w.connect(get, bad);
    w.run_for(Duration::from_secs(1));
    assert!(w.node(get).closed.is_empty(), "not known yet");
    w.connect(get, good);
    w.complete(&[get], MINUTE);
    assert!(
        w.node(get)
            .closed
            .contains(&(conn, CloseReason::Protocol(DropReason::BadBitfield)))
    );
}

#[test]
fn open_pieces_stay_within_their_bytes() {
    let content = Content::random(8 << 20, 256 << 10, 9);
    let mut w = World::new(9);
    w.directory = false;
    let scripts: Vec<usize> = (0..4)
        .map(|_| {
            let seed = Seed::new(&content, true, Fault::None).slow(Duration::from_millis(30));
            w.add_script(seed, true)
        })
        .collect();
    let limit = 1 << 20;
    let get = w.add_with(&content, Some(content.none()), None, |c| {
        c.limits.max_open_bytes = limit
    });
    for s in scripts {
        w.connect(get, s);
    }
    let mut most = 0;
    let done = w.run_until(MINUTE, |w| {
        let stats = w.node(get).swarm.stats();
        most = most.max(stats.open_bytes);
        w.node(get).complete_at.is_some()
    });
    assert!(done);
    // A server that has nothing else may always begin one piece.
    assert!(most <= limit + (4 << 18), "{most} bytes of open pieces");
}

#[test]
fn after_shutdown_nothing_is_asked() {
    let content = Content::random(4 << 20, 64 << 10, 10);
    let mut w = World::new(10);
    w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.run_until(MINUTE, |w| w.node(get).disk.len() > 5);
    let now = w.now;
    w.node(get).swarm.shutdown(now);
    w.drain(get);
    w.node(get).keep_sent = true;
    w.run_for(Duration::from_secs(20));
    let asked = w
        .node(get)
        .sent
        .iter()
        .any(|(_, m)| matches!(m, Message::Request(_)));
    assert!(!asked);
    assert!(w.node(get).complete_at.is_none());
}

#[test]
fn a_partly_wanted_torrent_completes_and_then_needs_no_seed() {
    let content = Content::random(1 << 20, 64 << 10, 11);
    let wanted = ChunkSet::from_indices(16, [2, 9]);
    let mut w = World::new(11);
    let seed = w.add(&content, Some(content.full()));
    let get = w.add_with(&content, Some(content.none()), Some(wanted), |_| {});
    w.complete(&[get], MINUTE);
    // a seed that has just begun does not say at once that it is one
    w.run_for(Duration::from_secs(3));
    assert_eq!(w.node(get).swarm.stats().peers, vec![]);
    assert_eq!(w.node(seed).payload_sent, 2 * (64 << 10));
}
