//! Downloads that go well.

use std::time::Duration;

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::wire::message::Message;

use crate::scripts::{Fault, Seed};
use crate::world::{Content, World, addr_of};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn one_downloads_from_one_seed_and_says_so_only_after_each_piece_is_written() {
    let content = Content::random(1_000_003, 65_536, 1);
    let mut w = World::new(1);
    let seed = w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(content.none()));
    w.complete(&[get], MINUTE);
    let stats = w.node(get).swarm.stats();
    assert_eq!(stats.downloaded, 1_000_003);
    assert_eq!(stats.wasted, 0);
    assert_eq!(stats.drops, Default::default());
    assert_eq!(w.node(seed).payload_sent, 1_000_003);
    w.run_for(Duration::from_secs(6));
    let seed = w.node(seed).swarm.stats();
    assert_eq!(seed.uploaded, 1_000_003);
    assert_eq!(seed.drops, Default::default());
}

#[test]
fn eight_downloaders_finish_equal_and_share_the_seed_s_work() {
    for n in 0..4 {
        let content = Content::random(4 << 20, 64 << 10, n);
        let mut w = World::new(n);
        let seed = w.add(&content, Some(content.full()));
        let gets: Vec<usize> = (0..8)
            .map(|_| w.add(&content, Some(content.none())))
            .collect();
        w.complete(&gets, 5 * MINUTE);
        let copies = w.node(seed).payload_sent as f64 / f64::from(4 << 20);
        assert!(copies < 4.0, "seed {n}: the seed sent {copies:.2} copies");
    }
}

#[test]
fn one_piece_and_short_last_pieces() {
    for (len, piece) in [
        (1, 16_384),
        (16_384, 16_384),
        (16_385, 32_768),
        (40_000, 16_384),
        (99_999, 65_536),
    ] {
        let content = Content::random(len, piece, 3);
        let mut w = World::new(3);
        w.add(&content, Some(content.full()));
        let get = w.add(&content, Some(content.none()));
        w.complete(&[get], MINUTE);
        assert_eq!(w.node(get).swarm.stats().downloaded, len as u64);
    }
}

#[test]
fn only_wanted_pieces_are_fetched() {
    let content = Content::random(640 << 10, 32 << 10, 4);
    let wanted = ChunkSet::from_indices(20, [0, 3, 4, 19]);
    let mut w = World::new(4);
    w.add(&content, Some(content.full()));
    let get = w.add_with(&content, Some(content.none()), Some(wanted.clone()), |_| {});
    w.complete(&[get], MINUTE);
    let held: Vec<u32> = w.node(get).disk.keys().copied().collect();
    assert_eq!(held, wanted.iter().collect::<Vec<_>>());
}

#[test]
fn a_magnet_gets_the_metadata_and_the_data_over_the_same_connection() {
    let content = Content::random(3 << 20, 16 << 10, 5); // 192 pieces: several metadata pieces are not needed
    let mut w = World::new(5);
    let seed = w.add(&content, Some(content.full()));
    let get = w.add(&content, None);
    w.complete(&[get], MINUTE);
    assert_eq!(w.node(get).metadata.as_ref(), Some(&content.meta.info));
    assert!(
        w.node(get)
            .closed
            .iter()
            .all(|(_, r)| format!("{r:?}") == "Useless")
    );
    let closed = w.node(seed).swarm.stats().closed + w.node(get).swarm.stats().closed;
    assert!(closed <= 2, "the connection was kept");
}

#[test]
fn metadata_of_many_pieces_comes_from_a_peer_that_is_itself_new() {
    let content = Content::random(40 << 20, 16 << 10, 6); // 51 KB of hashes: four metadata pieces
    let some = ChunkSet::from_indices(2560, 0..10);
    let mut w = World::new(6);
    // Nobody has everything, and the second learns the metadata from the first.
    let a = w.add(&content, Some(some));
    let b = w.add(&content, None);
    w.directory = false;
    w.connect(b, a);
    assert!(w.run_until(MINUTE, |w| w.node(b).disk.len() == 10));
    let c = w.add(&content, None);
    w.connect(c, b);
    assert!(
        w.run_until(MINUTE, |w| w.node(c).disk.len() == 10),
        "metadata and data from {b}"
    );
}

#[test]
fn a_partial_peer_reuses_what_it_has() {
    let content = Content::random(1 << 20, 32 << 10, 7);
    let mut w = World::new(7);
    w.add(&content, Some(content.full()));
    let get = w.add(&content, Some(ChunkSet::from_indices(32, 0..20)));
    w.complete(&[get], MINUTE);
    assert_eq!(w.node(get).swarm.stats().downloaded, 12 * (32 << 10));
}

#[test]
fn two_halves_complete_each_other() {
    let content = Content::random(1 << 20, 32 << 10, 8);
    let mut w = World::new(8);
    let a = w.add(&content, Some(ChunkSet::from_indices(32, 0..16)));
    let b = w.add(&content, Some(ChunkSet::from_indices(32, 16..32)));
    w.complete(&[a, b], MINUTE);
}

#[test]
fn pieces_far_larger_than_a_pipeline_are_fetched() {
    let content = Content::random((8 << 20) + 5, 4 << 20, 9);
    let mut w = World::new(9);
    w.add(&content, Some(content.full()));
    let gets: Vec<usize> = (0..2)
        .map(|_| w.add(&content, Some(content.none())))
        .collect();
    w.complete(&gets, 2 * MINUTE);
}

#[test]
fn the_pipeline_fills_a_long_fat_link() {
    // 2.5 MB/s over a round-trip of 200 ms: at least 32 blocks must be under way.
    let content = Content::random(16 << 20, 256 << 10, 10);
    let mut w = World::new(10);
    w.latency = Duration::from_millis(100);
    let seed = w.add_with(&content, Some(content.full()), None, |c| {
        c.limits.peer_upload = 4 << 20;
        c.limits.upload_budget = 4 << 20;
    });
    let get = w.add(&content, Some(content.none()));
    let begin = w.now;
    w.complete(&[get], 5 * MINUTE);
    let took = w.now.saturating_since(begin).as_secs_f64();
    let bound = (16 << 20) as f64 / 2_500_000.0;
    assert!(
        took < 1.4 * bound,
        "{took:.1} s, the link needs {bound:.1} s"
    );
    assert_eq!(w.node(seed).payload_sent, 16 << 20);
}

#[test]
fn stock_seeds_without_any_extension_serve_us() {
    let content = Content::random(2 << 20, 128 << 10, 11);
    let mut w = World::new(11);
    w.add_script(Seed::new(&content, false, Fault::None), false);
    w.add_script(Seed::new(&content, true, Fault::None), true);
    let get = w.add(&content, Some(content.none()));
    w.complete(&[get], MINUTE);
}

#[test]
fn a_seed_that_reveals_piece_by_piece_still_serves_everyone() {
    // Superseeding is the client's choice; what is seen on the wire: HAVEs in place of HAVE ALL.
    let content = Content::random(2 << 20, 64 << 10, 12);
    let mut w = World::new(12);
    let seed = w.add(&content, Some(content.full()));
    w.node(seed).keep_sent = true;
    let gets: Vec<usize> = (0..4)
        .map(|_| w.add(&content, Some(content.none())))
        .collect();
    w.complete(&gets, 5 * MINUTE);
    for (conn, msg) in &w.node(seed).sent {
        if let Message::Have(piece) = msg {
            assert!(*piece < 32, "{conn:?}");
        }
    }
}

#[test]
fn peers_tell_their_index_node_unless_the_torrent_is_private() {
    for private in [false, true] {
        let content = Content::random(100_000, 32 << 10, 13);
        let mut w = World::new(13);
        w.directory = false;
        let configure = |c: &mut chunkcast_bittorrent::swarm::SwarmConfig| {
            c.index_port = Some(7000);
            c.private = private;
        };
        let seed = w.add_with(&content, Some(content.full()), None, configure);
        let get = w.add_with(&content, Some(content.none()), None, configure);
        w.connect(get, seed);
        w.complete(&[get], MINUTE);
        let expected = if private {
            vec![]
        } else {
            vec![(addr_of(seed).ip(), 7000).into()]
        };
        assert_eq!(w.node(get).index_nodes, expected);
        assert_eq!(
            w.node(get).published.is_empty(),
            private,
            "never published when private"
        );
    }
}

#[test]
fn two_seeds_let_go_of_each_other() {
    let content = Content::random(100_000, 32 << 10, 14);
    let mut w = World::new(14);
    w.directory = false;
    let a = w.add(&content, Some(content.full()));
    let b = w.add(&content, Some(content.full()));
    w.connect(a, b);
    w.run_for(Duration::from_secs(2));
    assert_eq!(w.node(a).swarm.stats().peers, vec![]);
    assert_eq!(w.node(b).swarm.stats().peers, vec![]);
}

/// A thousand random schedules: latency, jitter, rates, starts and sizes drawn from the seed.
#[test]
fn a_thousand_random_schedules_of_three_complete() {
    use rand::RngExt;
    let only: Option<u64> = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    for seed in only.map_or(0..1000, |s| s..s + 1) {
        let mut w = World::new(seed);
        let piece = 16_384usize << w.rng.random_range(0..3);
        let len = w.rng.random_range(1..300_000usize);
        let content = Content::random(len, piece, seed);
        w.latency = Duration::from_micros(w.rng.random_range(100..150_000));
        w.jitter = Duration::from_micros(w.rng.random_range(0..50_000));
        let pieces = content.pieces();
        let s = w.add(&content, Some(content.full()));
        let part = ChunkSet::from_indices(pieces, (0..pieces).filter(|_| w.rng.random_bool(0.3)));
        let magnet = w.rng.random_bool(0.3);
        let a = w.add(&content, (!magnet).then_some(part));
        let delay = Duration::from_millis(w.rng.random_range(0..3000));
        w.run_for(delay);
        let b = w.add(&content, Some(content.none()));
        for n in [s, a, b] {
            let rate = w.rng.random_range(20_000..5_000_000);
            w.set_uplink(n, rate);
        }
        println!("SEED={seed}: {len} bytes, pieces of {piece}");
        w.complete(&[a, b], 10 * MINUTE);
    }
}

#[test]
fn a_flash_crowd_takes_little_more_than_one_copy_from_the_seed_s_uplink() {
    // 1 + 15 with 20 Mbit/s uplinks: a seed that superseeds feeds all of them with little more than one copy, which it
    // can only while it hears what has arrived.
    let len = 16 << 20;
    let content = Content::random(len, 64 << 10, 77);
    let mut w = World::new(77);
    let seed = w.add(&content, Some(content.full()));
    let gets: Vec<usize> = (0..15)
        .map(|_| w.add(&content, Some(content.none())))
        .collect();
    let begin = w.now;
    w.complete(&gets, 5 * MINUTE);
    let took = w.now.saturating_since(begin).as_secs_f64();
    let (bound, copies) = (
        len as f64 / 2.5e6,
        w.node(seed).payload_sent as f64 / len as f64,
    );
    assert!(copies < 1.7, "the seed sent {copies:.2} copies");
    assert!(
        took < 2.0 * bound,
        "{took:.1} s, one copy takes {bound:.1} s"
    );
}

#[test]
fn the_counters_of_a_session_go_on_over_a_reconnect_and_count_what_moved() {
    let content = Content::random(1 << 20, 32 << 10, 9);
    let mut w = World::new(9);
    w.directory = false;
    let seed = w.add(&content, Some(content.full()));
    w.set_uplink(seed, 200_000);
    let get = w.add(&content, Some(ChunkSet::from_indices(32, 0..4)));
    let conn = w.connect(get, seed);
    w.run_for(Duration::from_secs(3));
    let before = [seed, get].map(|n| w.node(n).swarm.stats());
    assert!(before[0].uploaded > 0 && before[1].received > 0);
    w.cut(conn);
    w.run_for(Duration::from_secs(1));
    let after = [seed, get].map(|n| w.node(n).swarm.stats());
    assert!(after[0].peers.is_empty());
    assert!(after[0].uploaded >= before[0].uploaded);
    w.connect(get, seed);
    w.complete(&[get], MINUTE);
    w.run_for(Duration::from_secs(1));
    let [sent, got] = [seed, get].map(|n| w.node(n).swarm.stats());
    assert_eq!(got.downloaded, 28 * (32 << 10), "not what was there before");
    assert_eq!(got.received, got.downloaded + got.wasted);
    // what was on the wire when it was cut left the seed and did not arrive
    assert!((got.received..=w.node(seed).payload_sent).contains(&sent.uploaded));
    assert_eq!(got.uploaded, 0);
}
