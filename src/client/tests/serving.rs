//! One client that serves: slots and what is shown to whom.

use super::*;

#[test]
fn among_sixteen_everyone_is_served_beyond_there_are_slots_that_rotate() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let peers: Vec<NeighbourId> = (0..20)
        .map(|i| one.join(f64::from(i * 10), 0, None))
        .collect();
    for peer in &peers[..16] {
        one.client.handle_interested(*peer, true, one.now);
    }
    assert_eq!(one.served().len(), 16);
    for peer in &peers[16..] {
        one.client.handle_interested(*peer, true, one.now);
    }
    assert_eq!(one.served().len(), 16, "a slot is kept for ten seconds");
    one.advance(10.0);
    let mut ever = BTreeSet::new();
    let mut since: std::collections::BTreeMap<NeighbourId, Instant> = Default::default();
    for _ in 0..600 {
        one.advance(0.5);
        let served = one.served();
        assert!(served.len() <= 6, "{served:?}");
        for peer in &peers {
            match (served.contains(peer), since.get(peer)) {
                (true, None) => {
                    since.insert(*peer, one.now);
                }
                (false, Some(from)) => {
                    assert!(
                        one.now - *from >= Duration::from_secs(9),
                        "lost its slot too early"
                    );
                    since.remove(peer);
                }
                _ => {}
            }
        }
        ever.extend(served);
    }
    assert_eq!(ever.len(), 20, "rotation serves everyone");
}

#[test]
fn who_sends_us_most_keeps_its_slot() {
    let config = ClientConfig {
        unlimited_up_to: 0,
        slots: 3,
        ..Default::default()
    };
    let mut one = One::new(config);
    one.object(ChunkSet::from_indices(40, [0]), 40);
    let peers: Vec<NeighbourId> = (0..8).map(|_| one.join(10.0, 0, None)).collect();
    for peer in &peers {
        one.client.handle_interested(*peer, true, one.now);
    }
    let mut served = 0;
    for _ in 0..240 {
        one.advance(0.5);
        one.client.handle_received(peers[5], 10_000, one.now);
        served += u32::from(one.served().contains(&peers[5]));
    }
    assert!(served > 180, "served in {served} of 240 samples");
}

#[test]
fn interest_that_comes_and_goes_does_not_cost_the_slot() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let a = one.join(10.0, 0, None);
    one.client.handle_interested(a, true, one.now);
    assert!(one.actions().contains(&Action::Serve {
        peer: a,
        serve: true
    }));
    one.client.handle_interested(a, false, one.now);
    one.client.handle_interested(a, true, one.now);
    assert_eq!(one.actions(), []);
}

#[test]
fn a_single_downloader_is_shown_everything_at_once() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    one.advance(2.0);
    let a = one.join(10.0, 0, None);
    assert!(one.actions().contains(&Action::Reveal {
        peer: a,
        what: Reveal::All
    }));
}

#[test]
fn a_seed_that_has_just_begun_waits_for_more_downloaders() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let all = |actions: &[Action]| {
        actions.iter().any(|a| {
            let what = Reveal::All;
            matches!(a, Action::Reveal { what: w, .. } if *w == what)
        })
    };
    let a = one.join(10.0, 0, None);
    one.client.handle_interested(a, true, one.now);
    let first = one.reveals();
    assert_eq!(first.len(), 8);
    for (_, chunk) in &first {
        one.client.handle_have(a, *chunk, one.now);
    }
    one.advance(1.5);
    assert_eq!(one.reveals().len(), 0, "eight each while they gather");
    let b = one.join(10.0, 0, None);
    assert_eq!(one.reveals().len(), 8);
    assert!(!all(&one.actions()));
    one.advance(0.5);
    let then = one.reveals();
    assert_eq!(then.iter().filter(|(peer, _)| *peer == a).count(), 8);
    assert!(
        then.iter().all(|(peer, _)| *peer == a),
        "b was shown eight already"
    );
    let shown: BTreeSet<u32> = first.iter().chain(&then).map(|(_, c)| *c).collect();
    assert_eq!(shown.len(), 16);
    one.client.handle_disconnected(b, one.now);
    assert!(all(&one.actions()), "left alone afterwards: everything");
}

#[test]
fn a_lone_downloader_waits_for_a_new_seed_no_longer_than_two_seconds() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let a = one.join(10.0, 0, None);
    let all = Action::Reveal {
        peer: a,
        what: Reveal::All,
    };
    one.advance(1.9);
    assert!(!one.actions().contains(&all));
    one.advance(0.2);
    assert!(one.actions().contains(&all));
}

#[test]
fn a_lone_seed_shows_each_chunk_to_one_downloader_first() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    one.advance(2.0);
    let first = one.join(10.0, 0, None);
    let (b, c) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    let mut shown = one.reveals();
    assert!(shown.iter().all(|(peer, _)| *peer != first));
    assert_eq!(shown.iter().filter(|(peer, _)| *peer == b).count(), 8);
    assert_eq!(shown.iter().filter(|(peer, _)| *peer == c).count(), 8);
    // one more for each that arrives
    let got = shown.iter().find(|(peer, _)| *peer == b).unwrap().1;
    one.client.handle_have(b, got, one.now);
    let more = one.reveals();
    assert!(matches!(more[..], [(peer, _)] if peer == b), "{more:?}");
    shown.extend(more);
    // until all are out, none is shown twice
    let mut at_b: Vec<u32> = shown
        .iter()
        .filter(|(p, c)| *p == b && *c != got)
        .map(|x| x.1)
        .collect();
    while let Some(chunk) = at_b.pop() {
        one.client.handle_have(b, chunk, one.now);
        let more = one.reveals();
        at_b.extend(more.iter().map(|x| x.1));
        shown.extend(more);
        if shown.len() >= 40 {
            break;
        }
    }
    let different: BTreeSet<u32> = shown.iter().map(|(_, chunk)| *chunk).collect();
    assert_eq!(different.len(), shown.len().min(40));
    // the second phase is gradual: nobody is shown everything
    while let Some(chunk) = at_b.pop() {
        one.client.handle_have(b, chunk, one.now);
    }
    assert!(one.reveals().len() <= 2);
    // left alone: everything
    one.client.handle_disconnected(first, one.now);
    one.client.handle_disconnected(b, one.now);
    assert!(one.actions().contains(&Action::Reveal {
        peer: c,
        what: Reveal::All
    }));
}

#[test]
fn a_chunk_leaves_the_seed_twice_only_while_it_has_little_to_do() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    one.advance(2.0);
    one.join(10.0, 0, None); // alone at first, so it is shown everything
    let peers: Vec<NeighbourId> = (0..5).map(|_| one.join(10.0, 0, None)).collect();
    for peer in &peers {
        one.client.handle_interested(*peer, true, one.now);
    }
    // each asks for what it is shown and gets one chunk after the other, until all have left the seed once
    let ask = |one: &mut One| {
        let shown = one.reveals();
        for (peer, chunk) in &shown {
            one.client.handle_upload_started(*peer, *chunk, one.now);
        }
        shown
    };
    let mut shown: std::collections::VecDeque<_> = ask(&mut one).into();
    for _ in 0..40 {
        let (peer, chunk) = shown.pop_front().unwrap();
        one.client.handle_upload_ended(peer, chunk, one.now);
        one.client.handle_have(peer, chunk, one.now);
        shown.extend(ask(&mut one));
    }
    assert!(shown.len() <= 2, "{shown:?}");
    one.advance(0.9);
    assert_eq!(one.reveals(), []);
    one.advance(0.2);
    shown.extend(one.reveals());
    let again: BTreeSet<NeighbourId> = shown.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(again.len(), 5, "after a second without progress: everyone");
}

#[test]
fn what_a_slow_downloader_was_shown_and_has_not_asked_for_goes_to_one_that_has_nothing_left() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    one.advance(2.0);
    one.join(10.0, 0, None); // alone at first, so it is shown everything
    let (fast, slow) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    let shown = one.reveals();
    let of = |peer| shown.iter().filter(move |(p, _)| *p == peer).map(|x| x.1);
    let mut left: Vec<u32> = of(fast).collect();
    let slow_has: BTreeSet<u32> = of(slow).collect();
    let asked = *slow_has.first().unwrap();
    one.client.handle_upload_started(slow, asked, one.now);
    let mut got = BTreeSet::new();
    while let Some(chunk) = left.pop() {
        one.client.handle_have(fast, chunk, one.now);
        got.insert(chunk);
        left.extend(one.reveals().iter().filter(|r| r.0 == fast).map(|r| r.1));
    }
    let taken: BTreeSet<u32> = got.intersection(&slow_has).copied().collect();
    assert_eq!(taken.len(), 7, "all but the one that it asked for");
    assert!(!taken.contains(&asked));
}

#[test]
fn a_downloader_without_progress_is_shown_everything() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    one.advance(2.0);
    let _ = one.join(10.0, 0, None);
    let (b, c) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    for peer in [b, c] {
        one.client.handle_interested(peer, true, one.now);
    }
    one.reveals();
    for _ in 0..19 {
        one.advance(0.5);
        one.client.handle_sent(c, 1000, one.now);
    }
    let all = |actions: &[Action], peer| {
        actions.contains(&Action::Reveal {
            peer,
            what: Reveal::All,
        })
    };
    assert!(!all(&one.actions(), b));
    one.advance(0.5);
    let actions = one.actions();
    assert!(all(&actions, b) && !all(&actions, c), "{actions:?}");
}

#[test]
fn with_another_seed_in_view_everything_is_shown() {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(40), 40);
    let a = one.join(10.0, 0, None);
    one.client.handle_chunks(a, &ChunkSet::full(40), one.now);
    one.actions();
    let (b, c) = (one.join(10.0, 0, None), one.join(10.0, 0, None));
    let actions = one.actions();
    for peer in [b, c] {
        assert!(actions.contains(&Action::Reveal {
            peer,
            what: Reveal::All
        }));
    }
}

/// A seed of 40 chunks that takes up to 100 neighbours.
fn popular_seed() -> One {
    let mut one = One::new(ClientConfig {
        max_served: 100,
        gather: Duration::ZERO,
        ..ClientConfig::default()
    });
    one.object(ChunkSet::full(40), 40);
    one
}

fn shown_everything(one: &mut One) -> usize {
    let all = |a: &Action| match a {
        Action::Reveal {
            what: Reveal::All, ..
        } => Some(()),
        _ => None,
    };
    one.take(all).len()
}

#[test]
fn a_seed_takes_more_neighbours_than_a_downloader() {
    let mut seed = popular_seed();
    let mut verdicts = (0..120).map(|_| seed.try_join(20.0, None).1);
    assert!(verdicts.by_ref().take(100).all(|v| v == Verdict::Keep));
    assert!(verdicts.all(|v| v == Verdict::Refuse));
    let mut getter = One::new(ClientConfig {
        max_served: 100,
        ..ClientConfig::default()
    });
    getter.object(ChunkSet::empty(40), 40);
    let kept = (0..120).filter(|_| getter.try_join(20.0, None).1 == Verdict::Keep);
    assert_eq!(kept.count(), 32);
}

#[test]
fn a_crowd_that_may_not_pass_anything_on_is_shown_everything() {
    let mut seed = popular_seed();
    for _ in 0..32 {
        seed.join(20.0, 0, None);
    }
    assert!(shown_everything(&mut seed) <= 1, "superseeding");
    for _ in 0..8 {
        seed.join(20.0, 0, None);
    }
    seed.advance(1.0);
    assert!(shown_everything(&mut seed) >= 39);
}

#[test]
fn a_crowd_of_clients_that_tell_what_they_fetch_is_superseeded() {
    let mut seed = popular_seed();
    let mut all = 0;
    for _ in 0..40 {
        let peer = seed.join(20.0, 0, None);
        seed.client.handle_load(peer, 0, seed.now);
        all += shown_everything(&mut seed);
    }
    assert!(all <= 1, "{all} were shown everything");
}

#[test]
fn a_seed_has_slots_for_what_its_uplink_carries() {
    let mut seed = popular_seed();
    let peers: Vec<NeighbourId> = (0..40).map(|_| seed.join(20.0, 0, None)).collect();
    for peer in &peers {
        seed.client.handle_interested(*peer, true, seed.now);
    }
    seed.advance(1.0);
    assert_eq!(seed.served().len(), 40, "nothing is known of the uplink");
    for _ in 0..12 {
        seed.client.handle_sent(peers[0], 640 << 10, seed.now);
        seed.advance(1.0);
    }
    let late = seed.join(20.0, 0, None);
    seed.client.handle_interested(late, true, seed.now);
    seed.advance(0.1);
    let slots = seed.served().len();
    assert!((6..=10).contains(&slots), "{slots} slots at 640 KiB/s");
}
