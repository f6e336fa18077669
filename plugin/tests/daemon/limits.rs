//! When seeding ends, and which rates hold when.

use std::time::Duration;

use chunkcast_bittorrent::daemon::{
    Change, DaemonError, LONGEST, Limit, Schedule, ScheduleChange, SettingsChange, State,
};
use chunkcast_bittorrent::limits::{Rate, Rates};

use chunkcast_compat_tests::write;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn seeding(rig: &Rig, content: &Content) {
    content.copy_to(&rig.settings.download_dir);
    rig.add(content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeding_ends_at_its_ratio_and_goes_on_when_somebody_wants_it() {
    let (one, two) = (Content::file(40, 80_000), Content::file(41, 80_000));
    let mut rig = Rig::new(|s| s.seed_ratio = Some(1.0)).await;
    seeding(&rig, &one).await;
    seeding(&rig, &two).await;
    let never = Change {
        seed_ratio: Some(Limit::Unlimited),
        ..Change::default()
    };
    rig.change(two.hash, never).await;
    let addr = rig.addr().await;
    let _one = fetch(&one, addr).await;
    let _two = fetch(&two, addr).await;
    let done = rig.until_state(one.hash, State::Paused).await;
    assert!(done.finished && done.uploaded >= one.size());
    rig.until("it is fetched", two.hash, |s| s.uploaded >= two.size())
        .await;
    rig.pass(MINUTE).await;
    assert_eq!(rig.summary(two.hash).state, State::Seeding);

    rig.restart().await;
    let done = rig.summary(one.hash);
    assert!(done.finished && done.state == State::Paused);
    rig.daemon().start(one.hash, false).await.expect("started");
    rig.until_state(one.hash, State::Seeding).await;
    rig.pass(MINUTE).await;
    let goes_on = rig.summary(one.hash);
    assert!(goes_on.state == State::Seeding && !goes_on.finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn seeding_ends_after_its_time_and_when_nobody_fetches() {
    let (one, two) = (Content::file(42, 40_000), Content::file(43, 40_000));
    let mut rig = Rig::new(|s| s.seed_idle = Some(HOUR)).await;
    seeding(&rig, &one).await;
    seeding(&rig, &two).await;
    let own = Change {
        seed_idle: Some(Limit::Unlimited),
        seed_time: Some(Limit::Own(3 * HOUR)),
        ..Change::default()
    };
    rig.change(two.hash, own).await;
    rig.pass(50 * MINUTE).await;
    let _fetched = fetch(&one, rig.addr().await).await;
    rig.until("it is fetched", one.hash, |s| s.uploaded >= one.size())
        .await;
    rig.pass(50 * MINUTE).await;
    assert_eq!(rig.summary(one.hash).state, State::Seeding, "50 min ago");
    rig.pass(20 * MINUTE).await;
    let done = rig.until_state(one.hash, State::Paused).await;
    assert!(done.finished);
    assert_eq!(rig.summary(two.hash).state, State::Seeding);
    // the time spent seeding is that of all runs
    rig.restart().await;
    rig.until_state(two.hash, State::Seeding).await;
    rig.pass(50 * MINUTE).await;
    assert_eq!(rig.summary(two.hash).state, State::Seeding);
    rig.pass(20 * MINUTE).await;
    let done = rig.until_state(two.hash, State::Paused).await;
    assert!(done.finished && done.seconds_seeding >= 3 * 3600);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_that_somebody_sets_ends_the_daemon_or_is_forgotten() {
    let content = Content::file(49, 40_000);
    let rig = Rig::new(|_| {}).await;
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Downloading).await;
    let longest = SettingsChange {
        stalled_after: Some(Some(LONGEST)),
        seed_idle: Some(Some(LONGEST)),
        seed_time: Some(Some(LONGEST)),
        ..SettingsChange::default()
    };
    let own = Change {
        seed_idle: Some(Limit::Own(LONGEST)),
        seed_time: Some(Limit::Own(LONGEST)),
        ..Change::default()
    };
    let daemon = rig.daemon();
    daemon.change_settings(longest).await.expect("changed");
    daemon.change(content.hash, own).await.expect("changed");
    rig.pass(MINUTE).await;
    let before = daemon.settings().await.expect("it runs");
    for bad in [
        SettingsChange {
            stalled_after: Some(Some(Duration::MAX)),
            ..SettingsChange::default()
        },
        SettingsChange {
            blocklist: Some(true),
            ..SettingsChange::default()
        },
        SettingsChange {
            blocklist_source: Some(Some("ftp://a.example/list".into())),
            ..SettingsChange::default()
        },
    ] {
        let refused = daemon.change_settings(bad).await;
        assert!(
            matches!(refused, Err(DaemonError::Invalid(_))),
            "{refused:?}"
        );
    }
    let too_long = Change {
        seed_time: Some(Limit::Own(Duration::MAX)),
        ..Change::default()
    };
    daemon.change(content.hash, too_long).await.unwrap_err();
    rig.pass(MINUTE).await;
    assert_eq!(daemon.settings().await, Ok(before), "nothing of it");
}

/// So slow that nothing of a test is done before the rate is another.
fn slow() -> Rates {
    Rates {
        down: Some(Rate::MIN),
        up: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_night_other_rates_hold() {
    let content = Content::file(44, 300_000);
    let seed = Seed::of(&[&content]).await;
    let rig = Rig::new(|s| {
        s.rates = slow();
        s.schedule = Schedule {
            by_clock: true,
            from: 22 * 60,
            to: 6 * 60,
            ..Schedule::default()
        };
    })
    .await;
    rig.add(&content, &[seed.addr()]).await;
    rig.until("it begins", content.hash, |s| s.near + s.far > 0)
        .await;
    rig.pass(9 * HOUR).await;
    assert!(!rig.daemon().settings().await.expect("it runs").schedule.on);
    assert_eq!(rig.summary(content.hash).state, State::Downloading);
    rig.pass(HOUR).await;
    assert!(rig.daemon().settings().await.expect("it runs").schedule.on);
    rig.until_state(content.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_switches_rates_and_a_torrent_may_be_out_of_them() {
    let (one, two) = (Content::file(45, 300_000), Content::file(46, 300_000));
    let seed = Seed::of(&[&one, &two]).await;
    let rig = Rig::new(|s| s.schedule.rates = slow()).await;
    let on = |on| SettingsChange {
        schedule: ScheduleChange {
            on: Some(on),
            ..ScheduleChange::default()
        },
        ..SettingsChange::default()
    };
    rig.daemon()
        .change_settings(on(true))
        .await
        .expect("changed");
    rig.add(&one, &[seed.addr()]).await;
    rig.add_with(&two, &[seed.addr()], |new| {
        new.change.session_rates = Some(false)
    })
    .await;
    rig.until_state(two.hash, State::Seeding).await;
    assert_eq!(rig.summary(one.hash).state, State::Downloading);
    rig.daemon()
        .change_settings(on(false))
        .await
        .expect("changed");
    rig.until_state(one.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_has_a_rate_of_its_own() {
    let content = Content::file(47, 300_000);
    let seed = Seed::of(&[&content]).await;
    let mut rig = Rig::new(|_| {}).await;
    rig.add_with(&content, &[seed.addr()], |new| {
        new.change.download = Some(Some(Rate::MIN));
    })
    .await;
    rig.until("it begins", content.hash, |s| s.near + s.far > 0)
        .await;
    rig.restart().await;
    assert_eq!(rig.summary(content.hash).options.rates, slow());
    let faster = Change {
        download: Some(None),
        peers: vec![seed.addr()],
        ..Change::default()
    };
    rig.change(content.hash, faster).await;
    rig.until_state(content.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_the_blocklist_is_not_met_while_it_is_used() {
    let content = Content::file(48, 100_000);
    let seed = Seed::of(&[&content]).await;
    let mut rig = Rig::prepared(|s| s.blocklist = true);
    let list = rig.path("list");
    write(&list, b"# this machine\n127.0.0.0/8\n192.0.2.1\n");
    rig.settings.blocklist_source = Some(list.display().to_string());
    rig.start().await;
    let ranges = rig.daemon().update_blocklist().await.expect("read");
    assert_eq!((ranges, rig.daemon().blocklist_len().await), (2, Ok(2)));
    rig.add(&content, &[seed.addr()]).await;
    rig.until_state(content.hash, State::Downloading).await;

    // the copy is used when the source is gone
    std::fs::remove_file(&list).expect("removed");
    rig.restart().await;
    let known = async {
        while rig.daemon().blocklist_len().await != Ok(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let known = tokio::time::timeout(DEADLINE, known).await;
    known.expect("the copy is read");
    assert!(rig.daemon().update_blocklist().await.is_err());
    rig.meet(content.hash, &[seed.addr()]).await;
    rig.pass(MINUTE).await;
    let summary = rig.summary(content.hash);
    assert_eq!((summary.near + summary.far, summary.downloaded), (0, 0));

    let off = SettingsChange {
        blocklist: Some(false),
        ..SettingsChange::default()
    };
    rig.daemon().change_settings(off).await.expect("changed");
    rig.meet(content.hash, &[seed.addr()]).await;
    rig.until_state(content.hash, State::Seeding).await;
    let outside = SettingsChange {
        blocklist_source: Some(Some("/etc/passwd".into())),
        ..SettingsChange::default()
    };
    let refused = rig.daemon().change_settings(outside).await;
    assert_eq!(refused, Err(DaemonError::Outside("/etc/passwd".into())));
}
