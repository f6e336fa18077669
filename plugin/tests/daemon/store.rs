//! What is on disk, and what becomes of it when somebody meddles with it.

use std::fs;
use std::path::Path;

use chunkcast_bittorrent::daemon::{
    Change, Limit, NewSource, NewTorrent, Sample, ScheduleChange, SettingsChange, State,
};
use chunkcast_bittorrent::limits::{Rate, Rates};
use chunkcast_bittorrent::session::{AddTorrent, DataPath, Session, TorrentEvent, TorrentSource};
use chunkcast_compat_tests::scratch;
use tokio::time::timeout;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stamp_vouches_for_is_not_hashed_and_what_it_does_not_is() {
    let content = Content::file(70, 100_000);
    let mut rig = Rig::new(|_| {}).await;
    content.copy_to(&rig.settings.download_dir);
    let path = rig.settings.download_dir.join(content.name());
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;
    rig.stop().await;
    spoil_unseen(&path, 40_000);
    rig.start().await;
    rig.until_state(content.hash, State::Seeding).await;
    rig.stop().await;
    spoil(&path, 40_000);
    rig.start().await;
    let found = rig.until_state(content.hash, State::Downloading).await;
    assert!(found.held < content.size());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_costs_no_more_than_what_is_in_it() {
    let contents: Vec<Content> = (71..75).map(|n| Content::file(n, 40_000)).collect();
    let mut rig = Rig::new(|_| {}).await;
    for content in &contents {
        content.copy_to(&rig.settings.download_dir);
        rig.add(content, &[]).await;
        rig.until_state(content.hash, State::Seeding).await;
    }
    rig.stop().await;
    let [whole, record, torrent, resume] = [0, 1, 2, 3].map(|n: usize| &contents[n]);
    let cut = |path: &Path| {
        let bytes = fs::read(path).expect("kept");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    };
    cut(&rig.kept(record, "json"));
    cut(&rig.kept(torrent, "torrent"));
    cut(&rig.kept(resume, "resume"));
    fs::write(rig.path("state/statistics.json"), b"nonsense").expect("written");
    fs::write(rig.path("state/queue"), b"nonsense\n\xff").expect("written");
    // what a kill may leave
    let orphan = rig.kept(&Content::file(75, 1000), "torrent");
    fs::copy(rig.kept(whole, "torrent"), &orphan).expect("copied");
    fs::write(rig.path("state/torrents/x.json.1-2.tmp"), b"half").expect("written");
    rig.start().await;

    assert_eq!(rig.daemon().list().torrents.len(), 4);
    rig.until_state(whole.hash, State::Seeding).await;
    rig.until_state(resume.hash, State::Seeding).await;
    // its metadata is asked of peers again
    let again = rig.until_state(torrent.hash, State::Metadata).await;
    assert_eq!(again.name, torrent.name());
    // its options are not known any more: it waits for a person
    let stopped = rig.summary(record.hash);
    assert_eq!(stopped.state, State::Paused);
    assert!(stopped.trouble.as_ref().is_some_and(|t| t.stopped));
    for (content, kind) in [(record, "json"), (torrent, "torrent"), (resume, "resume")] {
        assert!(rig.kept(content, &format!("{kind}.bad")).exists(), "{kind}");
    }
    assert!(!orphan.exists() && !rig.path("state/torrents/x.json.1-2.tmp").exists());
    rig.daemon()
        .start(record.hash, false)
        .await
        .expect("started");
    rig.until_state(record.hash, State::Seeding).await;
    rig.restart().await;
    rig.until_state(record.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_said_of_a_torrent_survives() {
    let content = Content::file(76, 40_000);
    let mut rig = Rig::new(|_| {}).await;
    let dir = rig.path("allowed/here");
    rig.add_with(&content, &[], |new| {
        new.dir = Some(dir.clone());
        new.start = Some(false);
        new.change.labels = Some(vec!["linux".into()]);
    })
    .await;
    let change = Change {
        upload: Some(Some(Rate::new(50_000))),
        session_rates: Some(false),
        seed_ratio: Some(Limit::Own(2.5)),
        max_peers: Some(7),
        trackers: Some(vec![vec!["http://tracker.example/announce".into()]]),
        ..Change::default()
    };
    rig.change(content.hash, change).await;
    let before = rig.summary(content.hash);
    assert_eq!(before.about.trackers.len(), 1);
    rig.restart().await;
    let after = rig.summary(content.hash);
    assert_eq!(after.options, before.options);
    assert_eq!((&after.options.dir, after.options.max_peers), (&dir, 7));
    assert_eq!(after.about, before.about);
    let bad = Change {
        labels: Some(vec!["new".into()]),
        files: vec![(1, Default::default())],
        ..Change::default()
    };
    let refused = rig.daemon().change(content.hash, bad).await;
    assert!(refused.is_err());
    assert_eq!(rig.summary(content.hash).options, before.options, "nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_and_are_kept_and_a_reload_forgets_them() {
    let mut rig = Rig::new(|_| {}).await;
    let rates = Rates {
        down: Some(Rate::new(1 << 20)),
        up: None,
    };
    let change = SettingsChange {
        download: Some(rates.down),
        start_added: Some(false),
        download_dir: Some(rig.path("allowed/other")),
        ..SettingsChange::default()
    };
    rig.daemon()
        .change_settings(change.clone())
        .await
        .expect("changed");
    let settings = rig.daemon().settings().await.expect("it runs");
    assert_eq!((settings.rates, settings.start_added), (rates, false));
    let kept = fs::read_to_string(rig.path("state/settings.toml")).expect("kept");
    assert!(kept.contains("start-added = false"), "{kept}");
    let content = Content::file(77, 1000);
    rig.add(&content, &[]).await;
    let added = rig.summary(content.hash);
    assert_eq!(
        (added.state, &added.options.dir),
        (State::Paused, &rig.path("allowed/other"))
    );

    for bad in [
        SettingsChange {
            download_dir: Some("/etc".into()),
            ..change.clone()
        },
        SettingsChange {
            seed_ratio: Some(Some(f64::NAN)),
            ..SettingsChange::default()
        },
        SettingsChange {
            schedule: ScheduleChange {
                from: Some(1440),
                ..ScheduleChange::default()
            },
            ..SettingsChange::default()
        },
    ] {
        assert!(rig.daemon().change_settings(bad).await.is_err());
    }
    rig.running().reload(rig.settings.clone()).await;
    wait("it is reloaded", || {
        !rig.path("state/settings.toml").exists()
    })
    .await;
    let settings = rig.daemon().settings().await.expect("it runs");
    assert_eq!(settings, rig.settings);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_is_shown_over_time_and_by_distance() {
    let content = Content::file(78, 300_000);
    let seed = Seed::of(&[&content]).await;
    let rig = Rig::new(|_| {}).await;
    rig.add(&content, &[seed.addr()]).await;
    let done = rig.until_state(content.hash, State::Seeding).await;
    let by = done.by_distance;
    assert!(by.near_down + by.far_down >= content.size(), "{by:?}");
    let history = rig.daemon().history().await.expect("it runs");
    let sum = |samples: &[chunkcast_bittorrent::daemon::Sample]| -> u64 {
        samples
            .iter()
            .map(|s| s.moved.near_down + s.moved.far_down)
            .sum()
    };
    assert_eq!(sum(&history.hour), by.near_down + by.far_down);
    assert_eq!(sum(&history.hour), sum(&history.day));
    let ever = rig.daemon().list().totals.ever;
    assert_eq!((ever.by_distance, ever.added), (by, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_torrent_moved_until_it_was_removed_is_counted_and_its_peers_no_more() {
    let content = Content::file(79, 4_000_000);
    let rig = Rig::new(|_| {}).await;
    content.copy_to(&rig.settings.download_dir);
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;
    let session = Session::start(quiet()).await.expect("a session");
    session.limiters().set(Rates {
        down: Some(Rate::new(400_000)),
        up: None,
    });
    let dir = scratch();
    let add = AddTorrent {
        peers: vec![rig.addr().await],
        ..AddTorrent::new(
            TorrentSource::Metainfo(content.meta.clone()),
            DataPath::OutputDir(dir.path().to_path_buf()),
        )
    };
    let mut leecher = session.add(add).await.expect("a new torrent");
    rig.until("it is served", content.hash, |s| s.uploaded > 400_000)
        .await;
    let served = async || rig.daemon().counts().await.expect("it runs").served;
    assert_eq!(served().await, 1);
    // the rest sooner than numbers are told again
    session.limiters().set(Rates::default());
    let complete =
        async { while !matches!(leecher.next().await, Some(TorrentEvent::Complete(_))) {} };
    timeout(DEADLINE, complete).await.expect("it is fetched");
    let removed = rig.daemon().remove(content.hash, false).await;
    removed.expect("removed");
    let got = leecher.stop().await.downloaded;
    let uploaded = || rig.daemon().list().totals.session.uploaded;
    wait("all of it is counted", || uploaded() >= got).await;
    assert_eq!(served().await, 0);
    let history = rig.daemon().history().await.expect("it runs");
    let moved = |s: &Sample| s.moved.near_up + s.moved.far_up;
    assert!(history.hour.iter().map(moved).sum::<u64>() >= got);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_torrents_come_at_once_and_again_after_a_restart() {
    let contents: Vec<Content> = (1000..1100).map(|n| Content::file(n, 1000)).collect();
    let mut rig = Rig::new(|_| {}).await;
    let adds = contents.iter().map(|content| {
        content.copy_to(&rig.settings.download_dir);
        let new = NewTorrent::new(NewSource::Torrent(content.torrent.clone()));
        rig.daemon().add(new)
    });
    for added in futures::future::join_all(adds).await {
        added.expect("added");
    }
    for content in &contents {
        rig.until_state(content.hash, State::Seeding).await;
    }
    rig.restart().await;
    assert_eq!(rig.daemon().list().torrents.len(), 100);
    for content in &contents {
        rig.until_state(content.hash, State::Seeding).await;
    }
}
