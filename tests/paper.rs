//! One test for each claim of the paper about the directory; the section is cited. Chunks are numbered from 1 in the
//! paper and from 0 here.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chunkcast::chunks::ChunkSet;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Command, DirectoryConfig, NodeConfig, OverlayConfig, Publication};
use chunkcast::wire::{PeerAddrs, Ranking, Wanted};
use common::*;

/// A small ring with leaf sets of 1 + 1 (so that routes have hops) on a line; positions are milliseconds. As in the paper
/// the root keeps its entries for itself.
fn line(nodes: &[(&str, u64)]) -> (Net, BTreeMap<String, SocketAddr>) {
    let mut net = Net::new(seed(3));
    let mut names = BTreeMap::new();
    let mut at = BTreeMap::new();
    for (i, (digits, position)) in nodes.iter().enumerate() {
        names.insert((*digits).to_owned(), addr(i));
        at.insert(addr(i), *position);
    }
    let places = at.clone();
    net.latency = Box::new(move |a, b| {
        let place = |s| places.get(&s).copied().unwrap_or(0);
        ms(place(a).abs_diff(place(b)).max(1))
    });
    for (i, (digits, _)) in nodes.iter().enumerate() {
        let config = NodeConfig {
            id: Some(id(digits)),
            bootstrap: (i > 0).then(|| addr(0)).into_iter().collect(),
            overlay: OverlayConfig {
                leaves_per_side: 1,
                ..OverlayConfig::default()
            },
            directory: DirectoryConfig {
                replicas: false,
                ..DirectoryConfig::default()
            },
            ..NodeConfig::default()
        };
        net.add(addr(i), config);
        net.run(secs(2));
    }
    net.run_until(secs(60), |net| net.nodes.values().all(|n| n.is_joined()));
    net.run(secs(300));
    (net, names)
}

/// The object of the figures; its root is A.
fn oid() -> ObjectId {
    ObjectId(id("8887"))
}

struct Figure {
    net: Net,
    node: BTreeMap<char, SocketAddr>,
}

/// The tree of Figures 3 and 4: A is the root, its children are B (with D and E) and C (with F and G).
fn figure() -> Figure {
    let nodes = [
        ("8888", 100), // A
        ("8000", 60),  // B
        ("8f00", 140), // C
        ("d000", 50),  // D
        ("e000", 55),  // E
        ("f000", 150), // F
        ("1000", 145), // G
    ];
    let (net, names) = line(&nodes);
    let node = "ABCDEFG"
        .chars()
        .zip(nodes)
        .map(|(c, (digits, _))| (c, names[digits]))
        .collect();
    Figure { net, node }
}

impl Figure {
    fn publish(&mut self, at: char, peer: u16, chunks: &[u32]) {
        let p = Publication {
            object: oid(),
            ..holds(peer, chunks.iter().copied())
        };
        self.net.command(self.node[&at], Command::Publish(p));
    }

    /// Nodes that hold entries of the object, and how many.
    fn entries(&self) -> BTreeMap<char, usize> {
        let entries = |at: &SocketAddr| self.net.node(*at).snapshot().entries;
        let count = |at: &SocketAddr| entries(at).get(&oid().to_string()).copied();
        self.node
            .iter()
            .filter_map(|(c, at)| Some((*c, count(at)?)))
            .collect()
    }

    fn id(&self, c: char) -> Id {
        self.net.node(self.node[&c]).id()
    }
}

/// The state of Figure 3: one server peer published chunks 3, 4 and 5 through E, another 1 and 5 through G.
fn figure_3() -> Figure {
    let mut f = figure();
    f.publish('E', 1, &[2, 3, 4]);
    f.publish('G', 2, &[0, 4]);
    f.net.run(secs(10));
    f
}

fn chunks(chunks: impl IntoIterator<Item = u32>) -> Wanted {
    Wanted::Chunks(ChunkSet::from_indices(5, chunks))
}

fn addrs(found: &chunkcast::wire::Found) -> Vec<PeerAddrs> {
    found.matches.iter().map(|m| m.addrs).collect()
}

#[test]
fn section_3_1_figure_3_entries_are_cached_on_the_path_to_the_root() {
    let f = figure_3();
    let expected = [('A', 2), ('B', 1), ('C', 1), ('E', 1), ('G', 1)];
    assert_eq!(f.entries(), BTreeMap::from(expected));
}

#[test]
fn section_3_1_the_root_does_not_forward() {
    let f = figure_3();
    let sent = f.net.node(f.node[&'A']).snapshot().counters.sent;
    assert!(!sent.contains_key("propagate"), "{sent:?}");
}

#[test]
fn section_3_1_state_of_many_peers_travels_in_one_message() {
    let mut f = figure();
    let server = f.node[&'E'];
    f.publish('E', 1, &[0]);
    f.net.run(secs(10));
    let before = f.net.node(server).snapshot().counters.sent["propagate"].messages;
    for n in 0..8 {
        let object = ObjectId(id(&format!("88{n}")));
        let p = Publication {
            object,
            ..holds(n, [1])
        };
        f.net.command(server, Command::Publish(p));
    }
    f.net.run(secs(4));
    let after = f.net.node(server).snapshot().counters.sent["propagate"].messages;
    // Two datagrams, at once and with the next period: signatures double the size of an entry.
    assert!(
        after - before <= 4,
        "{} messages for eight entries",
        after - before
    );
    assert_eq!(f.net.node(f.node[&'B']).snapshot().entries.len(), 9);
}

#[test]
fn section_3_1_changes_wait_for_the_period_instead_of_being_forwarded_each() {
    let mut f = figure();
    let server = f.node[&'E'];
    f.publish('E', 1, &[0]);
    f.net.run(secs(10));
    let before = f.net.node(server).snapshot().counters.sent["propagate"].messages;
    for i in 0..100 {
        f.publish('E', 1, &[0, 1 + i % 4]);
        f.net.run(ms(100));
    }
    let after = f.net.node(server).snapshot().counters.sent["propagate"].messages;
    assert!(
        after - before <= 10,
        "{} messages for 100 changes in 10 s",
        after - before
    );
    assert!(after - before >= 3);
}

#[test]
fn section_3_1_what_is_not_refreshed_is_removed_everywhere() {
    let mut f = figure_3();
    // The publisher's own index node dies with it: nobody refreshes the entry.
    f.net.kill(f.node[&'E']);
    f.node.remove(&'E');
    f.net.run(secs(290));
    assert_eq!(f.entries().get(&'G'), Some(&1), "the other peer refreshes");
    f.net.run(secs(15));
    assert_eq!(f.entries(), BTreeMap::from([('A', 1), ('C', 1), ('G', 1)]));
    f.net.run(secs(900));
    assert_eq!(f.entries(), BTreeMap::from([('A', 1), ('C', 1), ('G', 1)]));
}

#[test]
fn section_3_1_entries_of_one_object_are_bounded() {
    let mut net = Net::new(1);
    let mut config = NodeConfig::default();
    config.directory.entries_per_object = 16;
    let only = net.add(addr(0), config);
    let client = chunkcast::node::Role::Client;
    for n in 1..60 {
        let config = NodeConfig {
            role: client,
            ..joining(only)
        };
        let from = SocketAddr::from(([10, 1, 0, n], 7000));
        net.add(from, config);
        net.run(ms(500));
        let addrs = PeerAddrs::from(SocketAddr::from(([10, 1, 0, n], 1)));
        net.command(
            from,
            publish(Publication {
                addrs,
                ..holds(n.into(), [0])
            }),
        );
        net.run(ms(500));
        let entries = &net.node(only).snapshot().entries;
        assert_eq!(
            entries.values().copied().collect::<Vec<_>>(),
            [usize::from(n).min(16)]
        );
    }
    assert_eq!(net.node(only).snapshot().counters.entries_evicted, 59 - 16);
}

#[test]
fn section_3_1_a_record_carries_the_coordinate_of_the_index_node_published_through() {
    let mut f = figure_3();
    let coord = f.net.node(f.node[&'E']).snapshot().coord;
    let found = f.net.lookup(f.node[&'D'], |r| {
        (r.object, r.wanted, r.p) = (oid(), chunks([2]), 1);
    });
    let told = found.expect("an answer").matches[0].coord;
    for (a, b) in told.position.iter().zip(coord.position) {
        assert!((a - b).abs() < 0.01, "{told:?} is not where {coord:?} is");
    }
}

#[test]
fn section_3_2_figure_4_left_the_first_node_that_knows_p_peers_answers() {
    let mut f = figure_3();
    let found = f.net.lookup(f.node[&'D'], |r| {
        (r.object, r.wanted, r.p) = (oid(), chunks([3, 4]), 1);
    });
    let found = found.expect("an answer");
    assert_eq!(addrs(&found), [peer(1)]);
    assert_eq!((found.by, found.root, found.hops), (f.id('B'), false, 2));
    assert_eq!(found.matches[0].matched, 2, "the number of chunks matched");
}

#[test]
fn section_3_2_figure_4_right_the_root_merges_what_is_piggybacked() {
    let mut f = figure_3();
    let found = f.net.lookup(f.node[&'F'], |r| {
        (r.object, r.wanted, r.p) = (oid(), chunks([2, 3, 4]), 2);
    });
    let found = found.expect("an answer");
    assert_eq!(
        addrs(&found),
        [peer(1), peer(2)],
        "three matches before one"
    );
    assert_eq!((found.by, found.root, found.hops), (f.id('A'), true, 3));
}

#[test]
fn section_3_2_what_only_a_node_on_the_path_knows_is_piggybacked() {
    let mut f = figure();
    f.publish('G', 1, &[0]);
    f.publish('C', 2, &[0]);
    // Nothing has been propagated yet: only C knows its own peer, and passes it on.
    let found = f.net.lookup(f.node[&'F'], |r| {
        (r.object, r.wanted, r.p) = (oid(), chunks([0]), 2);
    });
    let found = found.expect("an answer");
    assert_eq!((addrs(&found), found.root), (vec![peer(2)], true));
}

#[test]
fn section_3_2_the_root_returns_what_it_has_when_p_cannot_be_met() {
    let mut f = figure_3();
    for (wanted, expected) in [(chunks([0]), vec![peer(2)]), (chunks([1]), vec![])] {
        let found = f.net.lookup(f.node[&'F'], |r| {
            (r.object, r.wanted, r.p) = (oid(), wanted, 4);
        });
        let found = found.expect("an answer");
        assert_eq!((addrs(&found), found.root), (expected, true));
    }
}

#[test]
fn section_3_2_a_start_index_and_a_vector_name_the_chunks() {
    // 5 chunks, start 3, vector 101: the 3rd and the 5th
    let window = ChunkSet::from_bytes(2, 3, &[0b1010_0000]).expect("three bits");
    let mut net = Net::new(1);
    let only = net.add(addr(0), NodeConfig::default());
    net.command(only, publish(holds(1, [0, 1, 3])));
    let ask = |net: &mut Net| {
        let found = net.lookup(only, |r| r.wanted = Wanted::Chunks(window.clone()));
        found.expect("an answer").matches
    };
    assert_eq!(ask(&mut net), []);
    net.command(only, publish(holds(1, [0, 1, 3, 4])));
    assert_eq!(ask(&mut net)[0].matched, 1);
}

#[test]
fn section_3_2_the_ignored_and_the_asker_are_never_returned() {
    let mut f = figure_3();
    for at in ['A', 'B', 'C', 'D', 'E', 'F', 'G'] {
        for to_root in [false, true] {
            for p in 1..=8 {
                let found = f.net.lookup(f.node[&at], |r| {
                    (r.object, r.p, r.to_root) = (oid(), p, to_root);
                    r.ignore = peer(1).iter().collect();
                });
                let found = found.expect("an answer");
                assert!(
                    !addrs(&found).contains(&peer(1)),
                    "ignored, asked through {at}"
                );
                let found = f.net.lookup(f.node[&at], |r| {
                    (r.object, r.p, r.to_root, r.asker) = (oid(), p, to_root, peer(2));
                });
                let found = found.expect("an answer");
                assert!(!addrs(&found).contains(&peer(2)), "the asker, through {at}");
            }
        }
    }
}

#[test]
fn section_3_2_p_is_bounded() {
    let mut net = Net::new(1);
    let all = net.ring(13);
    for (n, at) in (1..).zip(&all) {
        net.command(*at, publish(holds(n, [0])));
    }
    net.run(secs(20));
    let root = net.root_of(object("o").key());
    for p in [0, 1, 4, 8, 9, 255] {
        let found = net
            .lookup(root, |r| (r.p, r.mix) = (p, p / 2))
            .expect("an answer");
        assert_eq!(found.matches.len(), usize::from(p.clamp(1, 8)));
    }
}

#[test]
fn section_3_2_a_message_to_the_root_does_not_stop_before_it() {
    let mut f = figure_3();
    let found = f.net.lookup(f.node[&'D'], |r| {
        (r.object, r.wanted, r.p, r.to_root) = (oid(), chunks([3, 4]), 1, true);
    });
    let found = found.expect("an answer");
    assert_eq!((found.by, found.root), (f.id('A'), true));
}

#[test]
fn section_3_three_index_hops_between_publisher_and_root_and_asker_and_root() {
    let nodes = [
        ("8888", 500), // the root
        ("8810", 510),
        ("8100", 518),
        ("1000", 523), // the publisher's
        ("88f0", 490),
        ("8f00", 482),
        ("f000", 477), // the asker's
    ];
    let (mut net, at) = line(&nodes);
    let p = Publication {
        object: oid(),
        ..holds(1, [0])
    };
    net.command(at["1000"], Command::Publish(p));
    net.run(secs(10));
    let holding = ["1000", "8100", "8810", "8888"];
    for (digits, _) in nodes {
        let entries = net.node(at[digits]).snapshot().entries;
        assert_eq!(
            entries.len(),
            usize::from(holding.contains(&digits)),
            "{digits}"
        );
    }
    let found = net.lookup(at["f000"], |r| {
        (r.object, r.wanted) = (oid(), chunks([0, 1]))
    });
    let found = found.expect("an answer");
    assert_eq!(
        (addrs(&found), found.hops, found.root),
        (vec![peer(1)], 4, true)
    );
}

#[test]
fn section_3_different_objects_have_different_roots() {
    let mut net = Net::new(1);
    let all = net.ring(30);
    let roots: std::collections::BTreeSet<_> = (0..100u8)
        .map(|i| {
            let object = ObjectId::from_name(&[i]);
            net.lookup(all[0], |r| r.object = object)
                .expect("an answer")
                .by
        })
        .collect();
    assert!(
        roots.len() > 15,
        "{} of 30 nodes are roots of 100 objects",
        roots.len()
    );
}

/// Ten peers, each published through a node ten milliseconds nearer to the asker's than the one before.
fn ten_peers() -> (Net, SocketAddr) {
    let digits: Vec<String> = (0..11).map(|i| format!("{i:x}800")).collect();
    let nodes: Vec<(&str, u64)> = digits
        .iter()
        .zip(0..)
        .map(|(d, i)| (d.as_str(), 100 - i * 10))
        .collect();
    let (mut net, at) = line(&nodes);
    for (n, d) in (1..).zip(&digits[..10]) {
        // The farther away, the more of the chunks: peer 1 holds all ten, peer 10 one.
        let held = ChunkSet::from_indices(60, 50..u32::from(61 - n));
        let p = Publication {
            object: oid(),
            chunks: 60,
            held,
            ..holds(n, [])
        };
        net.command(at[d], Command::Publish(p));
    }
    net.run(secs(20));
    (net, at[&digits[10]])
}

fn ask_ten(net: &mut Net, at: SocketAddr, ranking: Ranking) -> Vec<PeerAddrs> {
    let found = net.lookup(at, |r| {
        (r.object, r.p, r.ranking, r.to_root) = (oid(), 2, ranking, true);
        r.wanted = Wanted::Chunks(ChunkSet::from_indices(60, 50..60));
    });
    addrs(&found.expect("an answer"))
}

#[test]
fn section_2_2_figure_2c_near_peers_with_any_wanted_chunk_are_found() {
    let (mut net, at) = ten_peers();
    assert_eq!(
        ask_ten(&mut net, at, Ranking::Closeness),
        [peer(10), peer(9)]
    );
}

#[test]
fn section_3_3_overlap_prefers_the_most_wanted_chunks() {
    let (mut net, at) = ten_peers();
    assert_eq!(ask_ten(&mut net, at, Ranking::Overlap), [peer(1), peer(2)]);
}

#[test]
fn section_4_withdrawn_entries_disappear_and_do_not_come_back() {
    let mut f = figure_3();
    f.net
        .command(f.node[&'E'], Command::Withdraw(oid(), tag(1)));
    f.net.run(secs(10));
    assert_eq!(f.entries(), BTreeMap::from([('A', 1), ('C', 1), ('G', 1)]));
    f.net.run(secs(300));
    assert_eq!(f.entries(), BTreeMap::from([('A', 1), ('C', 1), ('G', 1)]));
}
