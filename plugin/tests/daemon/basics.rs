//! Adding, listing, pausing, starting, removing, and what is left of that after a restart.

use std::time::Duration;

use chunkcast_bittorrent::daemon::{
    Change, DaemonError, Event, NewSource, NewTorrent, StartError, State, Summary, start,
};
use chunkcast_bittorrent::limits::Rate;
use chunkcast_bittorrent::session::{IndexUse, Session, SessionConfig};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_is_fetched_kept_and_seeded_after_a_restart_without_hashing() {
    let content = Content::folder(1, &[("a", 100_000), ("deep/b", 50_001), ("empty", 0)]);
    let seed = Seed::of(&[&content]).await;
    let mut rig = Rig::new(|_| {}).await;
    let mut events = rig.daemon().subscribe();
    let added = rig.add_with(&content, &[seed.addr()], |_| {}).await;
    assert_eq!((added.info_hash, added.duplicate), (content.hash, false));
    assert_eq!(added.name, content.name());
    let listing = rig.daemon().list();
    assert_eq!(listing.torrents.len(), 1, "it is shown when it was added");
    let summary = &listing.torrents[0];
    assert_eq!((summary.size, summary.added), (content.size(), NOON));
    assert_eq!(summary.about.comment, "of a test");

    until_event(
        &mut events,
        |e| matches!(e, Event::Complete(h) if *h == content.hash),
    )
    .await;
    let done = rig.until_state(content.hash, State::Seeding).await;
    assert_eq!((done.verified, done.held), (content.size(), content.size()));
    assert!(done.downloaded >= content.size() && done.done == NOON);
    content.assert_at(&rig.settings.download_dir);

    rig.restart().await;
    let seeding = rig.until_state(content.hash, State::Seeding).await;
    assert_eq!((seeding.added, seeding.done), (done.added, done.done));
    assert_eq!(seeding.downloaded, done.downloaded, "statistics are kept");
    assert_eq!(rig.daemon().list().totals.ever.downloaded, done.downloaded);
    assert_eq!(rig.daemon().list().totals.ever.starts, 2);
    assert_eq!(rig.daemon().list().totals.session.downloaded, 0);

    let twice = rig.add_with(&content, &[], |_| {}).await;
    assert!(twice.duplicate && twice.id == seeding.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_torrent_stays_paused_and_a_removed_one_stays_away() {
    let (one, two) = (Content::file(2, 40_000), Content::file(3, 40_000));
    let mut rig = Rig::new(|_| {}).await;
    rig.add_with(&one, &[], |new| new.start = Some(false)).await;
    rig.add(&two, &[]).await;
    assert_eq!(rig.summary(one.hash).state, State::Paused);
    rig.until_state(two.hash, State::Downloading).await;
    rig.daemon().pause(two.hash).await.expect("paused");
    rig.until_state(two.hash, State::Paused).await;
    rig.restart().await;
    assert_eq!(rig.summary(one.hash).state, State::Paused);
    assert_eq!(rig.summary(two.hash).state, State::Paused);
    rig.daemon().start(one.hash, false).await.expect("started");
    rig.until_state(one.hash, State::Downloading).await;

    let mut events = rig.daemon().subscribe();
    rig.daemon().remove(one.hash, false).await.expect("removed");
    until_event(
        &mut events,
        |e| matches!(e, Event::Removed(h) if *h == one.hash),
    )
    .await;
    let listing = rig.daemon().list();
    assert_eq!(listing.torrents.len(), 1);
    assert_eq!(listing.removed[0].info_hash, one.hash);
    let gone = rig.daemon().pause(one.hash).await;
    assert_eq!(gone, Err(DaemonError::Unknown(one.hash)));
    rig.restart().await;
    let listing = rig.daemon().list();
    assert_eq!(listing.torrents.len(), 1);
    assert_eq!(listing.torrents[0].info_hash, two.hash);
    // and may come again
    rig.add(&one, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_of_what_a_command_changed_although_nothing_moves() {
    let content = Content::file(11, 20_000);
    let rig = Rig::new(|_| {}).await;
    rig.add_with(&content, &[], |new| new.start = Some(false))
        .await;
    let mut events = rig.daemon().subscribe();
    let labelled = || rig.summary(content.hash).options.labels == ["kept"];
    let change = Change {
        labels: Some(vec!["kept".to_owned()]),
        ..Change::default()
    };
    rig.change(content.hash, change).await;
    until_event(&mut events, |e| matches!(e, Event::Tick) && labelled()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_link_becomes_a_torrent_that_needs_no_peer_after_a_restart() {
    let content = Content::file(4, 60_000);
    let seed = Seed::of(&[&content]).await;
    let mut rig = Rig::new(|_| {}).await;
    let link = format!("magnet:?xt=urn:btih:{}&dn=later", content.hash);
    let mut new = NewTorrent::new(NewSource::Magnet(link));
    new.change.peers = vec![seed.addr()];
    let added = rig.daemon().add(new).await.expect("added");
    assert_eq!(added.name, "later");
    let done = rig.until_state(content.hash, State::Seeding).await;
    assert_eq!(done.name, content.name());
    let kept = done.about.torrent_file.clone().expect("it is kept");
    assert!(kept.is_file());
    drop(seed);
    rig.restart().await;
    rig.until_state(content.hash, State::Seeding).await;
    content.assert_at(&rig.settings.download_dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_a_link_or_a_person_named_are_tried_at_every_start() {
    let (by_link, by_hand) = (Content::file(12, 300_000), Content::file(13, 300_000));
    let seed = Seed::of(&[&by_link, &by_hand]).await;
    let mut rig = Rig::new(|_| {}).await;
    let slow = |new: &mut NewTorrent| new.change.download = Some(Some(Rate::new(20_000)));
    let link = format!("magnet:?xt=urn:btih:{}&x.pe={}", by_link.hash, seed.addr());
    let mut new = NewTorrent::new(NewSource::Magnet(link));
    slow(&mut new);
    rig.daemon().add(new).await.expect("added");
    rig.add_with(&by_hand, &[seed.addr()], slow).await;
    for content in [&by_link, &by_hand] {
        let begun = |s: &Summary| s.state == State::Downloading && s.held > 0;
        rig.until("it has begun", content.hash, begun).await;
        rig.daemon().pause(content.hash).await.expect("paused");
        rig.until_state(content.hash, State::Paused).await;
    }
    rig.restart().await;
    for content in [&by_link, &by_hand] {
        rig.daemon()
            .start(content.hash, false)
            .await
            .expect("started");
        let faster = Change {
            download: Some(None),
            ..Change::default()
        };
        let changed = rig.daemon().change(content.hash, faster).await;
        changed.expect("changed");
        rig.until_state(content.hash, State::Seeding).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trackers_of_a_paused_torrent_are_shown_as_never_asked() {
    let content = Content::file(8, 20_000);
    let rig = Rig::new(|_| {}).await;
    let tracker = |n: u32| format!("http://{n}.example/announce");
    rig.add_with(&content, &[], |new| {
        new.start = Some(false);
        let tiers = vec![vec![tracker(0), tracker(1)], vec![tracker(2)]];
        new.change.trackers = Some(tiers);
    })
    .await;
    let detail = rig.daemon().detail(content.hash).await.expect("it is here");
    assert_eq!(detail.wanted.count(), 2, "pieces of 16 KiB");
    let rows = detail.trackers.iter();
    let rows: Vec<_> = rows.map(|r| (r.id, r.tier, r.announce.clone())).collect();
    assert_eq!(
        rows,
        [(0, 0, tracker(0)), (1, 0, tracker(1)), (2, 1, tracker(2))]
    );
    assert!(
        detail
            .trackers
            .iter()
            .all(|r| r.last_announce == 0 && !r.ok)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_what_the_directory_costs_go_on_while_no_torrent_runs() {
    let index = SessionConfig {
        index: IndexUse::Colocated(None),
        ..quiet()
    };
    let index = Session::start(index).await.expect("a session");
    let mut rig = Rig::prepared(|_| {});
    rig.session.bootstrap = vec![index.index_addr().expect("an index node")];
    rig.start().await;
    let content = Content::file(9, 20_000);
    rig.add_with(&content, &[], |new| new.start = Some(false))
        .await;
    let totals = || rig.daemon().list().totals.clone();
    wait("it is paid for", || totals().directory.messages_out > 0).await;
    for _ in 0..3 {
        rig.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(rig.summary(content.hash).state, State::Paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_seeds_of_a_link_are_those_of_a_public_torrent_alone() {
    let (public, private) = (Content::file(6, 40_000), Content::private(7, 40_000));
    let seed = Seed::of(&[&public, &private]).await;
    let mut rig = Rig::prepared(|_| {});
    rig.session.web_seeds = false;
    rig.start().await;
    for content in [&public, &private] {
        let link = format!(
            "magnet:?xt=urn:btih:{}&ws=http://web.example/file",
            content.hash
        );
        let mut new = NewTorrent::new(NewSource::Magnet(link));
        new.change.peers = vec![seed.addr()];
        rig.daemon().add(new).await.expect("added");
        rig.until_state(content.hash, State::Seeding).await;
    }
    let web_seeds =
        |rig: &Rig, content: &Content| rig.summary(content.hash).about.web_seeds.clone();
    for restarted in [false, true] {
        assert_eq!(web_seeds(&rig, &public), ["http://web.example/file"]);
        // BEP 27: its data comes from whom its metainfo names
        assert_eq!(web_seeds(&rig, &private), Vec::<String>::new());
        if !restarted {
            rig.restart().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_torrent_and_what_leads_outside_is_refused() {
    let content = Content::file(5, 20_000);
    let rig = Rig::new(|_| {}).await;
    let bad = NewTorrent::new(NewSource::Torrent("no torrent".into()));
    let refused = rig.daemon().add(bad).await;
    assert!(
        matches!(refused, Err(DaemonError::Invalid(_))),
        "{refused:?}"
    );
    let bad = NewTorrent::new(NewSource::Magnet("magnet:?xt=urn:btih:1".into()));
    let refused = rig.daemon().add(bad).await;
    assert!(
        matches!(refused, Err(DaemonError::Invalid(_))),
        "{refused:?}"
    );
    let outside = rig.path("elsewhere");
    let mut bad = NewTorrent::new(NewSource::Torrent(content.torrent.clone()));
    bad.dir = Some(outside.clone());
    let refused = rig.daemon().add(bad).await;
    assert_eq!(refused, Err(DaemonError::Outside(outside)));
    let bad = NewTorrent::new(NewSource::File("/etc/passwd".into()));
    let refused = rig.daemon().add(bad).await;
    assert!(
        matches!(refused, Err(DaemonError::Outside(_))),
        "{refused:?}"
    );
    assert!(rig.daemon().list().torrents.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_at_a_time_uses_a_state_directory() {
    let mut rig = Rig::new(|_| {}).await;
    match start(rig.config()).await {
        Err(StartError::State(taken)) => {
            let line = taken.to_string();
            let state = rig.path("state").display().to_string();
            assert!(line.contains(&state) && line.lines().count() == 1, "{line}");
        }
        other => panic!("{other:?}"),
    }
    rig.restart().await;
}
