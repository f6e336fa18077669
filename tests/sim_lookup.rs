//! Lookups on their way: the trace, answers that are used again, and the rate at which an object's lookups go on.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chunkcast::chunks::ChunkSet;
use chunkcast::id::ObjectId;
use chunkcast::node::{
    Command, HotConfig, LookupRequest, NodeConfig, OverlayConfig, Publication, Role,
};
use chunkcast::wire::{Found, PeerAddrs, Wanted, Why};
use common::*;

/// The way of a lookup from `f000`, and where its nodes are on a line, in milliseconds.
const CHAIN: [(&str, u64); 4] = [("f000", 477), ("8f00", 482), ("88f0", 490), ("8888", 500)];

/// A chain of four nodes to the root of [`oid`], and three others that keep their leaf sets apart.
fn chain(hot: HotConfig) -> (Net, BTreeMap<&'static str, SocketAddr>) {
    let mut nodes = vec![("8888", 500), ("8810", 510), ("8100", 518), ("1000", 523)];
    nodes.extend(CHAIN[..3].iter().rev());
    let mut net = Net::new(seed(3));
    let at: BTreeMap<&str, SocketAddr> = nodes
        .iter()
        .zip(0..)
        .map(|((n, _), i)| (*n, addr(i)))
        .collect();
    let places: BTreeMap<SocketAddr, u64> = nodes.iter().map(|(n, p)| (at[n], *p)).collect();
    net.latency = Box::new(move |a, b| {
        let place = |s| places.get(&s).copied().unwrap_or(477);
        ms(place(a).abs_diff(place(b)).max(1))
    });
    for (i, (digits, _)) in nodes.iter().enumerate() {
        let mut config = NodeConfig {
            id: Some(id(digits)),
            bootstrap: (i > 0).then(|| addr(0)).into_iter().collect(),
            overlay: OverlayConfig {
                leaves_per_side: 1,
                ..OverlayConfig::default()
            },
            ..NodeConfig::default()
        };
        config.directory.hot = hot.clone();
        net.add(addr(i), config);
        net.run(secs(2));
    }
    net.run_until(secs(60), |net| net.nodes.values().all(|n| n.is_joined()));
    net.run(secs(300));
    (net, at)
}

/// Its root is 8888.
fn oid() -> ObjectId {
    ObjectId(id("8887"))
}

fn hold(net: &mut Net, at: SocketAddr, peer: u16, chunks: impl IntoIterator<Item = u32>) {
    let p = Publication {
        object: oid(),
        ..holds(peer, chunks)
    };
    net.command(at, Command::Publish(p));
}

fn ask(net: &mut Net, at: SocketAddr, change: impl FnOnce(&mut LookupRequest)) -> Found {
    let found = net.lookup(at, |r| {
        (r.object, r.p, r.trace) = (oid(), 2, true);
        r.wanted = Wanted::Chunks(ChunkSet::full(5));
        change(r);
    });
    found.expect("an answer")
}

/// What each hop knew and did.
fn told(found: &Found) -> Vec<(String, u8, Why)> {
    let short = |h: &chunkcast::wire::TraceHop| {
        let digits = h.id.to_string()[..4].to_owned();
        (digits, h.known, h.why)
    };
    found.trace.iter().map(short).collect()
}

fn hops(expected: &[(&str, u8, Why)]) -> Vec<(String, u8, Why)> {
    let owned = |(id, known, why): &(&str, u8, Why)| ((*id).to_owned(), *known, *why);
    expected.iter().map(owned).collect()
}

#[test]
fn a_trace_names_every_hop_with_its_address_distance_and_matches() {
    let (mut net, at) = chain(HotConfig::default());
    hold(&mut net, at["8f00"], 1, [0]);
    let found = ask(&mut net, at["f000"], |_| ());
    let expected = [
        ("f000", 0, Why::TooFew),
        ("8f00", 1, Why::TooFew),
        ("88f0", 1, Why::TooFew),
        ("8888", 1, Why::Root),
    ];
    assert_eq!(told(&found), hops(&expected));
    let addrs: Vec<_> = found.trace.iter().map(|h| h.addr).collect();
    let known = |n| Some(at[n]);
    assert_eq!(addrs, [None, known("8f00"), known("88f0"), known("8888")]);
    for (pair, hop) in CHAIN.windows(2).zip(&found.trace) {
        let there_and_back = ms(2 * (pair[1].1 - pair[0].1));
        assert_eq!(hop.rtt, Some(there_and_back), "{hop:?}");
    }
    assert_eq!(found.trace[3].rtt, None, "it asked nobody");
    assert_eq!((found.root, found.loaded), (true, false));
}

#[test]
fn a_lookup_that_does_not_ask_for_a_trace_gets_none() {
    let (mut net, at) = chain(HotConfig::default());
    assert_eq!(ask(&mut net, at["f000"], |r| r.trace = false).trace, []);
}

#[test]
fn a_trace_says_where_enough_was_known_and_that_the_root_was_wanted_all_the_same() {
    let (mut net, at) = chain(HotConfig::default());
    hold(&mut net, at["88f0"], 1, [0]);
    hold(&mut net, at["88f0"], 2, [1]);
    net.run(secs(10));
    let expected = [
        ("f000", 0, Why::TooFew),
        ("8f00", 0, Why::TooFew),
        ("88f0", 2, Why::Enough),
    ];
    let found = ask(&mut net, at["f000"], |_| ());
    assert_eq!((told(&found), found.root), (hops(&expected), false));
    let expected = [
        ("f000", 0, Why::TooFew),
        ("8f00", 0, Why::TooFew),
        ("88f0", 2, Why::ToRoot),
        ("8888", 2, Why::Root),
    ];
    let found = ask(&mut net, at["f000"], |r| r.to_root = true);
    assert_eq!((told(&found), found.root), (hops(&expected), true));
}

#[test]
fn an_answer_that_went_by_answers_the_next_asker_for_two_seconds() {
    let (mut net, at) = chain(HotConfig::default());
    hold(&mut net, at["8888"], 1, [0, 1]);
    ask(&mut net, at["8f00"], |r| r.asker = peer(50));
    let again = |net: &mut Net| ask(net, at["f000"], |r| r.asker = peer(51));
    let found = again(&mut net);
    let expected = [("f000", 0, Why::TooFew), ("8f00", 1, Why::Cached)];
    assert_eq!(told(&found), hops(&expected));
    assert_eq!((found.matches[0].addrs, found.root), (peer(1), false));
    assert_eq!(found.matches[0].matched, 2);
    assert_eq!(
        net.node(at["8f00"])
            .snapshot()
            .counters
            .lookups_answered_cached,
        1
    );
    // Who wants the root's answer gets it.
    let found = ask(&mut net, at["f000"], |r| {
        (r.asker, r.to_root) = (peer(52), true);
    });
    assert!(found.root);
    net.run(secs(2));
    assert!(again(&mut net).root, "two seconds have passed");
}

#[test]
fn what_is_kept_goes_neither_to_the_peer_itself_nor_to_who_ignores_it() {
    let (mut net, at) = chain(HotConfig::default());
    hold(&mut net, at["8888"], 1, [0, 1]);
    for change in [
        (|r: &mut LookupRequest| r.asker = peer(1)) as fn(&mut LookupRequest),
        |r| r.ignore = peer(1).iter().collect(),
    ] {
        ask(&mut net, at["f000"], |r| r.asker = peer(50));
        assert_eq!(ask(&mut net, at["f000"], change).matches, []);
        net.run(secs(5));
    }
}

#[test]
fn a_lookup_for_other_chunks_goes_on_to_whoever_knows() {
    let (mut net, at) = chain(HotConfig::default());
    hold(&mut net, at["8888"], 1, [0]);
    hold(&mut net, at["8888"], 2, [1]);
    let wanted = |chunk| Wanted::Chunks(ChunkSet::from_indices(5, [chunk]));
    for chunk in [0u8, 1, 2] {
        let found = ask(&mut net, at["f000"], |r| {
            (r.wanted, r.asker) = (wanted(chunk.into()), peer(50 + u16::from(chunk)));
        });
        assert!(found.root, "nobody has asked for {chunk} before");
        assert_eq!(found.matches.len(), usize::from(chunk < 2));
    }
}

#[test]
fn above_its_rate_an_object_is_answered_with_what_is_known() {
    let (mut net, at) = chain(HotConfig {
        pass_every: secs(100),
        pass_burst: 4,
        ..HotConfig::default()
    });
    hold(&mut net, at["8888"], 1, [0]);
    // The same asker, so that no answer is used again. The rate varies by half, so the burst does.
    let passed = (0..20).take_while(|_| {
        let found = ask(&mut net, at["f000"], |_| ());
        assert_eq!(found.loaded, !found.root);
        found.root
    });
    let passed = passed.count();
    assert!((2..=8).contains(&passed), "{passed}");
    hold(&mut net, at["f000"], 2, [1]);
    let found = ask(&mut net, at["f000"], |_| ());
    assert_eq!(told(&found), hops(&[("f000", 1, Why::Loaded)]));
    assert_eq!((found.root, found.loaded), (false, true));
    assert_eq!(found.matches[0].addrs, peer(2), "what is known here");
    let other = ask(&mut net, at["f000"], |r| r.object = ObjectId(id("8886")));
    assert!(other.root, "another object has a rate of its own");
    net.run(secs(800));
    let found = ask(&mut net, at["f000"], |r| {
        r.ignore = peer(2).iter().collect()
    });
    assert!(found.root);
}

#[test]
fn who_would_get_nothing_goes_on_before_who_has_enough() {
    let (mut net, at) = chain(HotConfig {
        pass_every: secs(1_000),
        pass_burst: 8,
        ..HotConfig::default()
    });
    hold(&mut net, at["f000"], 1, [0]);
    hold(&mut net, at["f000"], 2, [0]);
    net.run(secs(10));
    let rooted = |net: &mut Net, chunk, to_root| {
        let wanted = Wanted::Chunks(ChunkSet::from_indices(5, [chunk]));
        let asked = (0..20).map(|_| {
            ask(net, at["f000"], |r| {
                (r.wanted, r.to_root) = (wanted.clone(), to_root);
            })
        });
        asked.filter(|found| found.root).count()
    };
    // The rate varies by half.
    let enough = rooted(&mut net, 0, true);
    assert!((3..=7).contains(&enough), "half of the burst: {enough}");
    let nothing = rooted(&mut net, 3, false);
    assert!((2..=7).contains(&nothing), "the reserve: {nothing}");
}

#[test]
fn a_trace_says_that_all_next_hops_were_silent() {
    let (mut net, at) = chain(HotConfig::default());
    for digits in ["88f0", "8888", "8810", "8100", "1000"] {
        net.kill(at[digits]);
    }
    let found = ask(&mut net, at["8f00"], |_| ());
    let (first, _, why) = told(&found).remove(0);
    assert_eq!((first.as_str(), why), ("8f00", Why::Silent));
}

#[test]
fn a_long_list_is_passed_on_in_turns_and_all_of_it_in_time() {
    let (mut net, at) = chain(HotConfig {
        full: 8,
        tell_every: ms(500),
        tell_burst: 4,
        ..HotConfig::default()
    });
    let entries = |net: &Net, n| {
        let view = net.node(at[n]).snapshot().entries;
        view.get(&oid().to_string()).copied().unwrap_or(0)
    };
    // Forty peers publish through one node, all at once.
    for n in 0..40u8 {
        let from = SocketAddr::from(([10, 1, 0, n], 7000));
        let config = NodeConfig {
            role: Role::Client,
            ..joining(at["f000"])
        };
        net.add(from, config);
    }
    net.run(secs(2));
    for n in 0..40u8 {
        let from = SocketAddr::from(([10, 1, 0, n], 7000));
        let p = Publication {
            object: oid(),
            addrs: PeerAddrs::from(SocketAddr::new(from.ip(), 1)),
            ..holds(n.into(), [0])
        };
        net.command(from, Command::Publish(p));
    }
    net.run(secs(5));
    assert_eq!(entries(&net, "f000"), 40);
    let told = entries(&net, "8f00");
    assert!(
        (1..=8 + 4 + 10).contains(&told),
        "{told} after five seconds"
    );
    net.run(secs(30));
    for n in ["8f00", "88f0", "8888"] {
        assert_eq!(entries(&net, n), 40, "{n}");
    }
}
