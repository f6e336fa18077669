//! The network of the evaluation: its graph, latencies, links and routes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn paper(seed: u64) -> Internet {
    Internet::generate(&InternetSpec::default(), seed)
}

/// A network that is made in no time.
fn small() -> InternetSpec {
    InternetSpec {
        nodes: 300,
        ..InternetSpec::default()
    }
}

fn grown(nodes: usize, seed: u64) -> Graph {
    Graph::grow(nodes, &mut stream(seed, Stream::Graph))
}

/// A route: its links with a limit, and how many links it has in all.
fn route(net: &Internet, from: usize, to: usize) -> (Vec<u32>, u32) {
    let mut links = vec![77];
    let hops = net.route(from, to, &mut links);
    (links, hops)
}

fn every_pair(places: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..places).flat_map(move |a| (0..a).map(move |b| (a, b)))
}

/// A place in each stub, by stub.
fn one_each(net: &Internet) -> Vec<usize> {
    let mut first = BTreeMap::new();
    for place in 0..net.topology().len() {
        first.entry(net.stub(place)).or_insert(place);
    }
    first.into_values().collect()
}

/// One-way latencies between stubs without access, microseconds, sorted.
fn one_way(net: &Internet) -> Vec<u64> {
    let sites = one_each(net).len();
    let homes: Vec<_> = (0..sites).map(|site| (site, 0)).collect();
    let bare = Topology::from_parts(sites, net.topology().matrix().to_vec(), &homes);
    let us = |(a, b)| u64::try_from(bare.rtt(a, b).as_micros() / 2).expect("short");
    let mut all: Vec<u64> = every_pair(sites).map(us).collect();
    all.sort_unstable();
    all
}

/// Routes as a flow meets them: ends at the access links, nothing twice, the way back is the way there.
fn check_routes(net: &Internet, half_duplex: bool) {
    let capacities = net.capacities();
    let places = net.topology().len();
    let mut reverse: BTreeMap<u32, u32> = BTreeMap::new();
    let (mut out, mut inward) = (BTreeSet::new(), BTreeSet::new());
    for (a, b) in every_pair(places) {
        let (there, hops) = route(net, a, b);
        let (back, hops_back) = route(net, b, a);
        assert_eq!(hops, hops_back);
        assert_eq!((there[0], back[0]), (net.up(a), net.up(b)));
        assert_eq!(there.last(), Some(&net.down(b)));
        assert_eq!(back.last(), Some(&net.down(a)));
        assert_eq!(there.len(), back.len());
        let mut distinct = there.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), there.len(), "{there:?}");
        assert!(there.len() <= hops as usize);
        for (one, other) in there.iter().zip(back.iter().rev()) {
            assert_eq!(*reverse.entry(*one).or_insert(*other), *other);
            assert_eq!(*reverse.entry(*other).or_insert(*one), *one);
            assert_eq!(capacities[*one as usize], capacities[*other as usize]);
            let access = *one == net.up(a) || *one == net.down(b);
            assert_eq!(one == other, half_duplex && access, "directions");
        }
        if net.stub(a) == net.stub(b) {
            assert_eq!((there.len(), hops), (2, 2));
        } else {
            assert!(there.len() >= 3, "a link of a stub at least");
            out.extend([(net.stub(a), there[1]), (net.stub(b), back[1])]);
            let last = there.len() - 2;
            inward.extend([(net.stub(b), there[last]), (net.stub(a), back[last])]);
        }
        assert_eq!(net.topology().rtt(a, b), net.topology().rtt(b, a));
    }
    assert!(
        reverse
            .keys()
            .all(|link| (*link as usize) < capacities.len())
    );
    assert!(
        out.is_disjoint(&inward),
        "a direction has a link of its own"
    );
    assert_eq!(route(net, 0, 0), (vec![], 0));
}

#[test]
fn degrees_follow_a_power_law_as_those_of_autonomous_systems() {
    for seed in 0..5 {
        let graph = grown(4_000, seed);
        let mut degrees: Vec<usize> = (0..4_000).map(|n| graph.degree(n)).collect();
        degrees.sort_unstable();
        let share = |least: usize| {
            let from = degrees.partition_point(|d| *d < least);
            (4_000 - from) as f64 / 4_000.0
        };
        let single = 1.0 - share(2);
        assert!((0.28..0.40).contains(&single), "{single} have degree 1");
        assert!((0.55..0.72).contains(&(1.0 - share(3))), "{}", share(3));
        let mean = degrees.iter().sum::<usize>() as f64 / 4_000.0;
        assert!((3.6..4.6).contains(&mean), "mean degree {mean}");
        assert!(degrees[3_999] > 150, "a hub has {}", degrees[3_999]);
        // The maximum likelihood exponent of the tail (Clauset et al. 2009, 3.5).
        let tail = degrees.iter().filter(|d| **d >= 5).map(|d| *d as f64);
        let (n, logs) = tail.fold((0.0, 0.0), |(n, s), d| (n + 1.0, s + (d / 4.5).ln()));
        let exponent = 1.0 + n / logs;
        assert!((2.0..2.6).contains(&exponent), "exponent {exponent}");
    }
}

#[test]
fn a_graph_is_connected_and_no_link_is_there_twice() {
    for (nodes, seed) in [(3, 1), (4, 2), (50, 3), (4_000, 4)] {
        let graph = grown(nodes, seed);
        let tree = graph.routes_from(0, &vec![false; nodes]);
        let mut links = 0;
        for node in 0..nodes {
            let (steps, length) = tree.route(node);
            assert_eq!(steps.is_empty(), node == 0);
            assert!(length >= steps.len() as u64);
            links += graph.degree(node);
        }
        let mut ends: Vec<(usize, usize)> = (0..links / 2)
            .map(|edge| (graph.edge(edge).a, graph.edge(edge).b))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!(ends.len(), links / 2);
        assert!(ends.iter().all(|(a, b)| a < b));
    }
}

#[test]
fn stubs_are_distinct_and_of_low_degree_and_nobodys_only_provider() {
    for seed in 0..5 {
        let graph = grown(4_000, seed);
        let stubs = graph.choose_stubs(50, &mut stream(seed, Stream::Stubs));
        assert_eq!(stubs.len(), 50);
        for (a, b) in every_pair(50) {
            assert_ne!(stubs[a], stubs[b]);
        }
        assert!(stubs.iter().all(|stub| graph.degree(*stub) <= 2));
        assert!(stubs.iter().any(|stub| graph.degree(*stub) == 2));
        for stub in &stubs {
            for (near, _) in graph.links_of(*stub) {
                assert!(!stubs.contains(&near), "no two are neighbours");
                assert!(graph.degree(near) > 1, "{near} hangs from {stub}");
            }
        }
    }
}

#[test]
fn stubs_with_peers_carry_nobody_elses_traffic_unless_there_is_no_other_way() {
    //  0 - 1 - 2 - 5, and the longer 0 - 3 - 4 - 2
    let graph = Graph::of_links(&[(0, 1), (1, 2), (0, 3), (3, 4), (4, 2), (2, 5)]);
    let way = |to, stubs: [bool; 6]| {
        let steps = graph.routes_from(0, &stubs).route(to).0;
        steps.iter().map(|(leaves, _)| *leaves).collect::<Vec<_>>()
    };
    let stubs = |of: &[usize]| std::array::from_fn(|node| of.contains(&node));
    assert_eq!(way(2, stubs(&[])), [0, 1]);
    assert_eq!(way(2, stubs(&[0, 1])), [0, 3, 4]);
    assert_eq!(way(1, stubs(&[0, 1])), [0], "its own traffic");
    assert_eq!(way(5, stubs(&[0, 2, 5])), [0, 1, 2], "no other way");
    assert_eq!(way(2, stubs(&[1, 3, 4])), [0, 1], "the fewest of them");
}

#[test]
fn routes_have_the_fewest_links_and_of_these_the_least_length() {
    // Against all simple paths of a graph small enough to list them.
    fn walk(graph: &Graph, path: &mut Vec<usize>, cost: (u32, u64), best: &mut [(u32, u64)]) {
        let at = *path.last().expect("a root");
        best[at] = best[at].min(cost);
        for (next, length) in graph.links_of(at) {
            if !path.contains(&next) {
                path.push(next);
                walk(graph, path, (cost.0 + 1, cost.1 + length), best);
                path.pop();
            }
        }
    }
    for seed in 0..20 {
        let graph = grown(9, seed);
        for root in 0..9 {
            let mut best = vec![(u32::MAX, u64::MAX); 9];
            walk(&graph, &mut vec![root], (0, 0), &mut best);
            let tree = graph.routes_from(root, &[false; 9]);
            for (node, best) in best.iter().enumerate() {
                let (steps, length) = tree.route(node);
                assert_eq!((number(steps.len()), length), *best);
            }
        }
    }
}

#[test]
fn the_median_latency_is_as_asked_and_a_stub_is_2_to_4_ms_wide() {
    for (seed, median) in [(1, 40), (2, 40), (3, 15)] {
        let spec = InternetSpec {
            median_one_way: Duration::from_millis(median),
            ..InternetSpec::default()
        };
        let net = Internet::generate(&spec, seed);
        let all = one_way(&net);
        assert_eq!(all.len(), 50 * 49 / 2);
        assert_eq!(all[all.len() / 2], median * 1_000);
        assert!(all[0] > 0);
        assert!(all[all.len() / 10] < median * 800, "near ones");
        assert!(all[all.len() * 9 / 10] > median * 1_200, "far ones");
        for (a, b) in every_pair(180) {
            let rtt = net.topology().rtt(a, b);
            if net.stub(a) == net.stub(b) {
                assert!((Duration::from_millis(2)..=Duration::from_millis(4)).contains(&rtt));
            }
        }
    }
}

#[test]
fn the_paper_has_3_or_4_peers_in_each_of_50_stubs() {
    let net = paper(1);
    assert_eq!(net.topology().len(), 180);
    let mut peers = [0; 50];
    (0..180).for_each(|peer| peers[net.stub(peer)] += 1);
    assert!(peers.iter().all(|n| [3, 4].contains(n)), "{peers:?}");
    let seed_at = |seed| Internet::generate(&small(), seed).stub(0);
    let seeds: Vec<usize> = (0..8).map(seed_at).collect();
    assert!(seeds.iter().any(|s| *s != seeds[0]), "the seed is anywhere");
    let neighbours = (1..180).filter(|p| net.stub(*p) == net.stub(p - 1)).count();
    assert!(neighbours < 20, "numbers say nothing about stubs");
}

#[test]
fn links_have_the_capacities_of_their_classes() {
    let net = paper(2); // one of its stubs is behind another stub
    let capacities = net.capacities();
    let (mut stub_stub, mut stub_transit) = (0, 0);
    for (i, capacity) in capacities.iter().enumerate() {
        match *capacity {
            1_250_000.0 => assert!(i < 360, "access links come first"),
            12_500_000.0 => stub_stub += 1,
            5_625_000.0 => stub_transit += 1,
            other => panic!("a link of {other} bytes/s"),
        }
    }
    assert_eq!(capacities.len(), 360 + stub_stub + stub_transit);
    assert!(stub_transit >= 90, "{stub_transit}");
    assert!((2..20).contains(&stub_stub), "{stub_stub}");
    let mut used = BTreeSet::new();
    for (a, b) in every_pair(180).filter(|(a, b)| net.stub(*a) != net.stub(*b)) {
        let (links, hops) = route(&net, a, b);
        used.extend(links.iter().copied().chain(route(&net, b, a).0));
        assert!(hops >= 4, "{links:?} of {hops}");
        let transit = links
            .iter()
            .filter(|l| capacities[**l as usize] == 5_625_000.0);
        assert!(transit.count() >= 2, "into and out of the core");
    }
    assert_eq!(used.len(), capacities.len(), "no link is left unused");
}

#[test]
fn routes_join_access_links_without_a_link_twice_and_both_ways_alike() {
    for half_duplex in [false, true] {
        let spec = InternetSpec {
            half_duplex,
            spare_places: 9,
            ..small()
        };
        let net = Internet::generate(&spec, 3);
        check_routes(&net, half_duplex);
        for place in 0..189 {
            assert_eq!(net.up(place) == net.down(place), half_duplex);
        }
    }
}

#[test]
fn odd_sizes_work() {
    let sizes = [
        (1, 3, 5),
        (1, 50, 1),
        (2, 3, 2),
        (3, 3, 9),
        (40, 40, 80),
        (60, 120, 61),
    ];
    for (stubs, nodes, peers) in sizes {
        for seed in 0..3 {
            let spec = InternetSpec {
                nodes,
                stubs,
                peers,
                ..InternetSpec::default()
            };
            let net = Internet::generate(&spec, seed);
            assert_eq!(net.topology().len(), peers);
            if peers > 1 {
                check_routes(&net, false);
            }
        }
    }
    let crowd = InternetSpec {
        peers: 10_000,
        ..small()
    };
    let net = Internet::generate(&crowd, 1);
    let mut peers = [0; 50];
    (0..10_000).for_each(|peer| peers[net.stub(peer)] += 1);
    assert_eq!(peers, [200; 50]);
}

#[test]
fn spread_access_keeps_its_range_and_its_median() {
    let spec = InternetSpec {
        access_spread: 4.0,
        spare_places: 20,
        ..small()
    };
    let net = Internet::generate(&spec, 1);
    let all: Vec<f64> = (0..180).map(|peer| net.access_capacity(peer)).collect();
    assert_eq!(all[0], 1_250_000.0, "the seed has the median");
    let mut order = all.clone();
    order.sort_by(f64::total_cmp);
    assert_eq!((order[89], order[90]), (1_250_000.0, 1_250_000.0));
    assert!(order[0] >= 625_000.0 && order[0] < 640_000.0);
    assert!(order[179] <= 2_500_000.0 && order[179] > 2_440_000.0);
    let below = order.iter().filter(|c| **c < 883_883.0).count();
    assert!(
        (44..=46).contains(&below),
        "a quarter in the lowest quarter"
    );
    assert_ne!(all, order);
    for peer in 0..200 {
        let capacities = net.capacities();
        let both = [net.up(peer), net.down(peer)].map(|link| capacities[link as usize]);
        assert_eq!(both, [net.access_capacity(peer); 2]);
        assert!((625_000.0..=2_500_000.0).contains(&both[0]));
    }
}

#[test]
fn a_seed_is_a_network() {
    let net = |seed| Internet::generate(&small(), seed);
    let digest = |net: &Internet| format!("{net:?}");
    assert_eq!(digest(&net(7)), digest(&net(7)));
    assert_ne!(digest(&net(7)), digest(&net(8)));
    // What is not asked to change stays: other homes and capacities on the same graph.
    let plain = net(7);
    let more = InternetSpec {
        peers: 1_000,
        access_spread: 4.0,
        spare_places: 5,
        ..small()
    };
    let more = Internet::generate(&more, 7);
    assert_eq!(more.topology().matrix(), plain.topology().matrix());
    let spare = InternetSpec {
        spare_places: 40,
        ..small()
    };
    let spare = Internet::generate(&spare, 7);
    assert!((0..180).all(|peer| spare.stub(peer) == plain.stub(peer)));
}

#[test]
fn sites_of_a_matrix_are_stubs_with_a_line_each() {
    let text = "0 10 30 50\n12 0 20 60\n30 20 0 70\n50 60 70 0\n";
    let spec = InternetSpec {
        stubs: 3,
        peers: 7,
        ..InternetSpec::default()
    };
    let measured = [11_000, 30_000, 20_000, 50_000, 60_000, 70_000];
    let mut seen = BTreeSet::new();
    for seed in 0..20 {
        let net = Internet::from_matrix(text, &spec, seed).expect("a matrix");
        check_routes(&net, false);
        assert_eq!(net.capacities().len(), 14 + 6);
        assert!(net.capacities()[14..].iter().all(|c| *c == 5_625_000.0));
        let matrix = net.topology().matrix();
        for (a, b) in every_pair(3) {
            assert!(measured.contains(&matrix[a * 3 + b]), "{matrix:?}");
            seen.insert(matrix[a * 3 + b]);
        }
        for (a, b) in every_pair(7).filter(|(a, b)| net.stub(*a) != net.stub(*b)) {
            let (links, hops) = route(&net, a, b);
            assert_eq!((links.len(), hops), (4, 4));
            let access = net.topology().rtt(a, b).as_micros()
                - u128::from(matrix[net.stub(a) * 3 + net.stub(b)]);
            assert!((2_000..=4_000).contains(&access));
        }
    }
    assert_eq!(seen.len(), 6, "every site is drawn at times");
    let error = |text: &str, spec: &InternetSpec| {
        let error = Internet::from_matrix(text, spec, 1).expect_err("broken");
        error.to_string()
    };
    assert!(error(text, &InternetSpec::default()).contains("4 rows, but 50"));
    assert!(error("0 1\n1 0 2\n", &spec).contains("row 2"));
}

#[test]
fn sites_share_a_line_each_way() {
    let spec = SitesSpec::default();
    let net = Internet::sites(&spec, 5);
    check_routes(&net, false);
    assert_eq!((net.topology().len(), net.stub(0)), (16, 0));
    let mut peers = [0; 3];
    (0..16).for_each(|peer| peers[net.stub(peer)] += 1);
    assert_eq!(peers, [6, 5, 5]);
    let capacities = net.capacities();
    let mut lines: BTreeMap<(usize, bool), u32> = BTreeMap::new();
    for (a, b) in every_pair(16) {
        let rtt = net.topology().rtt(a, b);
        let (links, hops) = route(&net, a, b);
        assert_eq!(capacities[links[0] as usize], 12_500_000.0);
        if net.stub(a) == net.stub(b) {
            assert_eq!((rtt, hops), (Duration::from_millis(1), 2));
            continue;
        }
        assert_eq!((rtt, hops, links.len()), (Duration::from_millis(60), 4, 4));
        assert_eq!(capacities[links[1] as usize], 2_500_000.0);
        for (site, out, link) in [
            (net.stub(a), true, links[1]),
            (net.stub(b), false, links[2]),
        ] {
            assert_eq!(*lines.entry((site, out)).or_insert(link), link, "one line");
        }
    }
    let distinct: BTreeSet<_> = lines.values().collect();
    assert_eq!(distinct.len(), lines.len());
}

#[test]
fn a_number_out_of_range_is_named() {
    type Change = fn(&mut InternetSpec);
    let changes: [(Change, &str); 8] = [
        (|s| s.stubs = 0, "stubs is 0: 1 to"),
        (|s| s.nodes = 49, "nodes is 49: 50 to"),
        (|s| s.peers = 0, "peers is 0: 1 to"),
        (|s| s.access = 0.0, "access is 0: a finite number"),
        (|s| s.stub_transit = f64::INFINITY, "stub_transit is inf"),
        (|s| s.access_spread = f64::NAN, "access_spread is NaN"),
        (
            |s| s.access_spread = 0.5,
            "access_spread is 0.5: 1 (all equal)",
        ),
        (
            |s| s.median_one_way = Duration::from_secs(11),
            "at most 10 s",
        ),
    ];
    assert_eq!(InternetSpec::default().validate(), Ok(()));
    assert_eq!(SitesSpec::default().validate(), Ok(()));
    for (change, expected) in changes {
        let mut spec = InternetSpec::default();
        change(&mut spec);
        let error = spec.validate().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let none = SitesSpec {
        per_site: 0,
        ..SitesSpec::default()
    };
    assert!(none.validate().is_err());
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader_of_matrices(text in "[0-9eE+. \t\nx-]{0,80}", stubs in 1usize..4) {
        let spec = InternetSpec { stubs, peers: 5, ..InternetSpec::default() };
        if let Ok(net) = Internet::from_matrix(&text, &spec, 1) {
            check_routes(&net, false);
        }
    }
}
