//! Who runs, and in which order.

use std::time::Duration;

use chunkcast_bittorrent::daemon::{Change, InfoHash, QueueMove, SettingsChange, State};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

fn order(rig: &Rig) -> Vec<InfoHash> {
    let listing = rig.daemon().list();
    let positions = listing.torrents.iter().map(|t| t.queue_position);
    assert!(positions.eq(0..listing.torrents.len()));
    listing.torrents.iter().map(|t| t.info_hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_the_queue_download_and_its_order_survives() {
    let contents: Vec<Content> = (10..13).map(|n| Content::file(n, 40_000)).collect();
    let [a, b, c] = [0, 1, 2].map(|n: usize| contents[n].hash);
    let mut rig = Rig::new(|s| s.active_downloads = Some(1)).await;
    for content in &contents {
        rig.add(content, &[]).await;
    }
    rig.until_state(a, State::Downloading).await;
    assert_eq!(rig.summary(b).state, State::DownloadQueued);
    assert_eq!(order(&rig), [a, b, c]);

    let top = rig.daemon().queue_move(vec![c], QueueMove::Top).await;
    top.expect("moved");
    assert_eq!(order(&rig), [c, a, b]);
    rig.until_state(c, State::Downloading).await;
    rig.until_state(a, State::DownloadQueued).await;
    rig.daemon().start(b, true).await.expect("started");
    rig.until_state(b, State::Downloading).await;
    assert_eq!(rig.summary(c).state, State::Downloading, "b takes no place");

    rig.restart().await;
    assert_eq!(order(&rig), [c, a, b]);
    rig.until_state(c, State::Downloading).await;
    rig.until_state(b, State::Downloading).await;
    assert_eq!(rig.summary(a).state, State::DownloadQueued);

    rig.daemon().pause(c).await.expect("paused");
    rig.until_state(a, State::Downloading).await;
    let last = Change {
        queue_position: Some(2),
        ..Change::default()
    };
    rig.change(c, last).await;
    assert_eq!(order(&rig), [a, b, c]);
    let all = SettingsChange {
        active_downloads: Some(Some(0)),
        ..SettingsChange::default()
    };
    rig.daemon().change_settings(all).await.expect("changed");
    rig.until_state(a, State::DownloadQueued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_have_places_of_their_own() {
    let contents: Vec<Content> = (20..23).map(|n| Content::file(n, 40_000)).collect();
    let rig = Rig::prepared(|s| (s.active_seeds, s.active_downloads) = (Some(1), Some(1)));
    contents[..2]
        .iter()
        .for_each(|c| c.copy_to(&rig.settings.download_dir));
    let mut rig = rig;
    rig.start().await;
    for content in &contents {
        rig.add(content, &[]).await;
    }
    let [a, b, c] = [0, 1, 2].map(|n: usize| contents[n].hash);
    rig.until_state(a, State::Seeding).await;
    rig.until_state(b, State::SeedQueued).await;
    rig.until_state(c, State::Downloading).await;
    rig.daemon().pause(a).await.expect("paused");
    rig.until_state(b, State::Seeding).await;
    rig.daemon().start(a, false).await.expect("started");
    rig.until_state(a, State::Seeding).await;
    rig.until_state(b, State::SeedQueued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_nothing_for_long_takes_no_place_and_gets_it_back() {
    let (one, two) = (Content::file(30, 400_000), Content::file(31, 40_000));
    let rig = Rig::new(|s| {
        s.active_downloads = Some(1);
        s.stalled_after = Some(30 * MINUTE);
    })
    .await;
    rig.add(&one, &[]).await;
    rig.add(&two, &[]).await;
    rig.until_state(one.hash, State::Downloading).await;
    rig.pass(29 * MINUTE).await;
    assert_eq!(rig.summary(two.hash).state, State::DownloadQueued);
    rig.pass(2 * MINUTE).await;
    rig.until("it stalls", one.hash, |s| s.stalled).await;
    rig.until_state(two.hash, State::Downloading).await;
    assert_eq!(
        rig.summary(one.hash).state,
        State::Downloading,
        "it goes on"
    );

    let seed = Seed::of(&[&one]).await;
    let peer = Change {
        peers: vec![seed.addr()],
        download: Some(Some(chunkcast_bittorrent::limits::Rate::new(16 << 10))),
        ..Change::default()
    };
    rig.change(one.hash, peer).await;
    rig.until("it moves", one.hash, |s| !s.stalled && s.downloaded > 0)
        .await;
    rig.until_state(two.hash, State::DownloadQueued).await;
}
