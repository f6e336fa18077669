//! Tests of the announce schedule, in virtual time.

use super::*;

const T0: Instant = Instant::from_micros(1_000_000);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn tiers(names: &[&[&str]]) -> Vec<Vec<String>> {
    names
        .iter()
        .map(|tier| {
            tier.iter()
                .map(|n| format!("http://{n}/announce"))
                .collect()
        })
        .collect()
}

fn schedule(names: &[&[&str]], private: bool) -> Schedule {
    Schedule::new(
        ScheduleConfig::default(),
        &tiers(names),
        private,
        false,
        1,
        T0,
    )
}

fn answer(interval: u64) -> AnnounceResponse {
    AnnounceResponse {
        interval: Some(secs(interval)),
        ..AnnounceResponse::default()
    }
}

/// The host and event of the announce due at `now`.
fn due(s: &mut Schedule, now: Instant) -> Option<(String, Event)> {
    let a = s.poll_announce(now)?;
    Some((s.url(a.tracker).host_str().unwrap().to_owned(), a.event))
}

fn is(host: &str, event: Event) -> Option<(String, Event)> {
    Some((host.to_owned(), event))
}

#[test]
fn started_completed_and_stopped_are_said_once_each() {
    let mut s = schedule(&[&["a"]], false);
    assert_eq!(due(&mut s, T0), is("a", Event::Started));
    assert_eq!(due(&mut s, T0), None, "one at a time");
    s.handle_answer(&answer(1800), T0);
    assert_eq!(s.poll_timeout(), Some(T0 + secs(1800)));
    s.handle_completed(T0 + secs(5));
    assert_eq!(due(&mut s, T0 + secs(5)), is("a", Event::Completed));
    s.handle_answer(&answer(1800), T0 + secs(5));
    s.handle_completed(T0 + secs(6));
    assert_eq!(due(&mut s, T0 + secs(6)), None);
    assert_eq!(due(&mut s, T0 + secs(1805)), is("a", Event::Regular));
    assert_eq!(farewells(&mut s), [(0, Event::Stopped)]);
    assert!(s.stop().is_empty());
}

#[test]
fn completed_before_started_was_answered_follows_it() {
    let mut s = schedule(&[&["a"]], false);
    s.poll_announce(T0).unwrap();
    s.handle_completed(T0);
    s.handle_answer(&answer(1800), T0 + secs(1));
    assert_eq!(due(&mut s, T0 + secs(1)), is("a", Event::Completed));
}

#[test]
fn a_torrent_complete_from_the_start_never_says_completed() {
    let mut s = Schedule::new(
        ScheduleConfig::default(),
        &tiers(&[&["a"]]),
        false,
        true,
        1,
        T0,
    );
    s.poll_announce(T0).unwrap();
    s.handle_completed(T0);
    s.handle_answer(&answer(0), T0);
    assert_eq!(due(&mut s, T0 + secs(60)), is("a", Event::Regular));
}

#[test]
fn a_failed_completed_is_repeated() {
    let mut s = schedule(&[&["a"]], false);
    s.poll_announce(T0).unwrap();
    s.handle_answer(&answer(1800), T0);
    s.handle_completed(T0);
    assert_eq!(due(&mut s, T0), is("a", Event::Completed));
    s.handle_failure(T0);
    assert_eq!(due(&mut s, T0 + secs(11)), None);
    assert_eq!(due(&mut s, T0 + secs(19)), is("a", Event::Completed));
}

#[test]
fn nobody_is_told_stopped_who_did_not_answer_started() {
    let mut s = schedule(&[&["a"], &["b"]], false);
    assert!(s.stop().is_empty());
    s.poll_announce(T0).unwrap();
    assert!(s.stop().is_empty(), "asked, not answered");
}

#[test]
fn at_interval_0_there_is_one_announce_a_minute() {
    let mut s = schedule(&[&["a"]], false);
    let (mut now, mut announces) = (T0, 0);
    while now < T0 + secs(3600) {
        s.handle_need_peers();
        if s.poll_announce(now).is_some() {
            announces += 1;
            s.handle_answer(
                &AnnounceResponse {
                    min_interval: Some(Duration::ZERO),
                    ..answer(0)
                },
                now,
            );
        }
        now += secs(1);
    }
    assert_eq!(announces, 60);
}

#[test]
fn a_huge_interval_is_capped_and_none_is_the_default() {
    let mut s = schedule(&[&["a"]], false);
    s.poll_announce(T0).unwrap();
    s.handle_answer(&answer(u64::MAX), T0);
    assert_eq!(s.poll_timeout(), Some(T0 + secs(7200)));
    let now = T0 + secs(7200);
    s.poll_announce(now).unwrap();
    s.handle_answer(&AnnounceResponse::default(), now);
    assert_eq!(s.poll_timeout(), Some(now + secs(1800)));
}

#[test]
fn more_peers_come_early_but_not_before_min_interval() {
    let mut s = schedule(&[&["a"]], false);
    s.poll_announce(T0).unwrap();
    s.handle_answer(
        &AnnounceResponse {
            min_interval: Some(secs(600)),
            ..answer(1800)
        },
        T0,
    );
    s.handle_need_peers();
    assert_eq!(s.poll_timeout(), Some(T0 + secs(600)));
    s.poll_announce(T0 + secs(600)).unwrap();
    s.handle_answer(&answer(1800), T0 + secs(600));
    s.handle_need_peers();
    assert_eq!(
        s.poll_timeout(),
        Some(T0 + secs(900)),
        "without min interval: 5 min"
    );
}

#[test]
fn tiers_fail_over_in_order_and_the_one_that_answers_moves_to_the_front() {
    let mut s = schedule(&[&["a", "b", "c"], &["d"]], false);
    let mut first_tier = Vec::new();
    for _ in 0..3 {
        first_tier.push(due(&mut s, T0).unwrap().0);
        s.handle_failure(T0);
    }
    let mut sorted = first_tier.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        ["a", "b", "c"],
        "shuffled within the tier, before the next tier"
    );
    assert_eq!(due(&mut s, T0), is("d", Event::Started));
    s.handle_failure(T0);

    // Next round: the second of the tier answers, and is the first from then on.
    let now = T0 + secs(19);
    assert_eq!(due(&mut s, now).unwrap().0, first_tier[0]);
    s.handle_failure(now);
    assert_eq!(due(&mut s, now).unwrap().0, first_tier[1]);
    s.handle_answer(&answer(1800), now);
    assert_eq!(
        due(&mut s, now + secs(1800)),
        is(&first_tier[1], Event::Regular)
    );
    s.handle_failure(now + secs(1800));
    assert_eq!(
        due(&mut s, now + secs(1800)),
        is(&first_tier[0], Event::Started)
    );
}

#[test]
fn the_shuffle_depends_on_the_seed_alone() {
    let names: &[&[&str]] = &[&["a", "b", "c", "d", "e", "f", "g", "h"]];
    let order = |seed| {
        Schedule::new(
            ScheduleConfig::default(),
            &tiers(names),
            false,
            false,
            seed,
            T0,
        )
        .order()
    };
    assert_eq!(order(3), order(3));
    assert!((4..20).any(|seed| order(seed) != order(3)));
}

#[test]
fn a_public_torrent_returns_to_the_first_tier_a_private_one_stays() {
    for private in [false, true] {
        let mut s = schedule(&[&["a"], &["b"]], private);
        s.poll_announce(T0).unwrap();
        s.handle_failure(T0);
        assert_eq!(due(&mut s, T0), is("b", Event::Started));
        s.handle_answer(&answer(1800), T0);
        let now = T0 + secs(1800);
        if private {
            assert_eq!(due(&mut s, now), is("b", Event::Regular));
            s.handle_failure(now);
            assert_eq!(due(&mut s, now), is("a", Event::Started), "only on failure");
        } else {
            assert_eq!(due(&mut s, now), is("a", Event::Started));
            s.handle_answer(&answer(1800), now);
            assert_eq!(
                farewells(&mut s),
                [(0, Event::Stopped), (1, Event::Stopped)],
                "both know us; the last one is told first"
            );
        }
    }
}

#[test]
fn rounds_that_nobody_answers_back_off_to_half_an_hour() {
    let mut s = schedule(&[&["a"]], false);
    let (mut now, mut waits) = (T0, Vec::new());
    for _ in 0..40 {
        s.handle_need_peers();
        assert!(s.poll_announce(now).is_some());
        s.handle_failure(now);
        s.handle_need_peers();
        let next = s.poll_timeout().unwrap();
        waits.push((next - now).as_secs_f64());
        now = next;
    }
    for (i, wait) in waits.iter().enumerate() {
        let nominal = (15.0 * f64::from(1u32 << i.min(7))).min(1800.0);
        assert!(
            (nominal * 0.75..=nominal * 1.25).contains(wait),
            "{i}: {wait}"
        );
    }
}

#[test]
fn unusable_and_repeated_urls_are_left_out_and_the_number_is_bounded() {
    let list = vec![
        vec![
            "wss://x/announce".into(),
            "udp://noport/".into(),
            "nonsense".into(),
            String::new(),
        ],
        vec![
            "http://a/announce".into(),
            " http://a/announce ".into(),
            "udp://[::1]:80".into(),
        ],
        (0..1000).map(|i| format!("http://h{i}/announce")).collect(),
    ];
    let s = Schedule::new(ScheduleConfig::default(), &list, false, false, 1, T0);
    assert_eq!(s.trackers.len(), 64);
    assert_eq!(s.tiers[0].len(), 2);
    let none = Schedule::new(ScheduleConfig::default(), &list[..1], false, false, 1, T0);
    assert!(none.is_empty());
    assert_eq!(none.poll_timeout(), None);
}

#[test]
fn outcomes_nobody_asked_for_change_nothing() {
    let mut s = schedule(&[&["a"]], false);
    s.handle_answer(&answer(5), T0);
    s.handle_failure(T0);
    assert_eq!(due(&mut s, T0), is("a", Event::Started));
}

#[test]
fn defaults_are_valid_and_contradictions_are_named() {
    let valid = ScheduleConfig::default();
    assert_eq!(valid.validate(), Ok(()));
    for (broken, field) in [
        (
            ScheduleConfig {
                floor: secs(8000),
                ..valid.clone()
            },
            "floor",
        ),
        (
            ScheduleConfig {
                first_backoff: Duration::ZERO,
                ..valid.clone()
            },
            "first_backoff",
        ),
        (
            ScheduleConfig {
                max_trackers: 0,
                ..valid
            },
            "max_trackers",
        ),
    ] {
        assert!(broken.validate().unwrap_err().starts_with(field));
    }
}

#[test]
fn completed_that_was_not_said_is_said_before_stopped() {
    let mut s = schedule(&[&["a"], &["b"]], false);
    s.poll_announce(T0).unwrap();
    s.handle_answer(&answer(1800), T0);
    s.handle_completed(T0 + secs(1));
    assert_eq!(
        farewells(&mut s),
        [(0, Event::Completed), (0, Event::Stopped)]
    );
    assert_eq!(farewells(&mut s), []);

    // on its way: not a second time
    let mut s = schedule(&[&["a"]], false);
    s.poll_announce(T0).unwrap();
    s.handle_answer(&answer(1800), T0);
    s.handle_completed(T0 + secs(1));
    assert_eq!(due(&mut s, T0 + secs(1)), is("a", Event::Completed));
    assert_eq!(farewells(&mut s), [(0, Event::Stopped)]);

    // nobody to say it to
    let mut s = schedule(&[&["a"]], false);
    s.handle_completed(T0);
    assert_eq!(farewells(&mut s), []);
}

/// What is said at the end.
fn farewells(s: &mut Schedule) -> Vec<(usize, Event)> {
    s.stop().into_iter().map(|a| (a.tracker, a.event)).collect()
}

#[test]
fn trackers_that_stay_notice_nothing_and_those_that_go_are_told() {
    let mut old = schedule(&[&["a"], &["b"], &["c"]], false);
    assert_eq!(due(&mut old, T0), is("a", Event::Started));
    old.handle_answer(&answer(1800), T0);
    let later = T0 + secs(1800);
    assert_eq!(due(&mut old, later), is("a", Event::Regular));
    old.handle_failure(later);
    assert_eq!(due(&mut old, later), is("b", Event::Started));
    old.handle_answer(&answer(1800), later);
    let mut new = schedule(&[&["d"], &["b"]], false);
    new.take_over(&mut old, later + secs(1));
    let stopped: Vec<_> = (old.stop().into_iter())
        .map(|a| (old.url(a.tracker).host_str().map(str::to_owned), a.event))
        .collect();
    assert_eq!(stopped, [(Some("a".to_owned()), Event::Stopped)]);
    // no sooner than b allows
    assert_eq!(new.poll_timeout(), Some(later + secs(300)));
    let at = later + secs(300);
    assert_eq!(due(&mut new, at), is("d", Event::Started));
    new.handle_failure(at);
    assert_eq!(due(&mut new, at), is("b", Event::Regular));
    new.handle_answer(&answer(1800), at);
    new.handle_completed(at);
    assert_eq!(due(&mut new, at), is("d", Event::Started), "a new round");
    new.handle_failure(at);
    assert_eq!(due(&mut new, at), is("b", Event::Completed));
}

#[test]
fn new_trackers_alone_are_asked_at_once_and_a_completion_is_not_said_twice() {
    let mut old = schedule(&[&["a"]], false);
    assert_eq!(due(&mut old, T0), is("a", Event::Started));
    old.handle_answer(&answer(1800), T0);
    old.handle_completed(T0);
    assert_eq!(due(&mut old, T0), is("a", Event::Completed));
    old.handle_answer(&answer(1800), T0);
    let mut new = schedule(&[&["d"]], false);
    new.take_over(&mut old, T0 + secs(1));
    assert_eq!(due(&mut new, T0 + secs(1)), is("d", Event::Started));
    new.handle_answer(&answer(1800), T0 + secs(1));
    new.handle_completed(T0 + secs(2));
    assert_eq!(due(&mut new, T0 + secs(3)), None);
}
