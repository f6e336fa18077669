//! What becomes of data on disk: hashed again, moved, deleted, missing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use chunkcast_bittorrent::daemon::{
    Change, DaemonError, Event, NewSource, NewTorrent, Priority, State,
};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_was_spoilt_and_it_is_fetched_again() {
    let content = Content::file(50, 300_000);
    let seed = Seed::of(&[&content]).await;
    let rig = Rig::new(|_| {}).await;
    let dir = &rig.settings.download_dir;
    content.copy_to(dir);
    rig.add_with(&content, &[], |new| new.start = Some(false))
        .await;
    rig.daemon().verify(content.hash).await.expect("begun");
    let checked = rig
        .until("it was checked", content.hash, |s| s.held == content.size())
        .await;
    assert_eq!(checked.state, State::Paused, "as it was");
    assert!(checked.done > 0);

    spoil(&dir.join(content.name()), 100_000);
    rig.daemon().verify(content.hash).await.expect("begun");
    let piece = u64::from(content.meta.layout.piece_length);
    let without = content.size() - piece;
    rig.until("it is found", content.hash, |s| {
        s.held == without && s.done == 0
    })
    .await;
    rig.meet(content.hash, &[seed.addr()]).await;
    rig.daemon()
        .start(content.hash, false)
        .await
        .expect("started");
    let done = rig.until_state(content.hash, State::Seeding).await;
    assert!(
        done.downloaded < 3 * piece,
        "one piece was missing: {}",
        done.downloaded
    );
    content.assert_at(dir);

    // one that seeds goes on after its check
    let mut events = rig.daemon().subscribe();
    rig.daemon().verify(content.hash).await.expect("begun");
    let checks = |e: &Event| matches!(e, Event::State(_, State::CheckQueued | State::Checking));
    until_event(&mut events, checks).await;
    rig.until_state(content.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_goes_where_it_is_told_to_and_the_torrent_goes_on_there() {
    let content = Content::folder(51, &[("a", 50_000), ("b/c", 70_000)]);
    let mut rig = Rig::new(|_| {}).await;
    let dir = rig.settings.download_dir.clone();
    content.copy_to(&dir);
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;

    let outside = rig.path("outside");
    let refused = rig
        .daemon()
        .relocate(content.hash, outside.clone(), true)
        .await;
    assert_eq!(refused, Err(DaemonError::Outside(outside)));
    let new = rig.path("allowed/new");
    let moved = rig.daemon().relocate(content.hash, new.clone(), true).await;
    moved.expect("begun");
    rig.until("it is there", content.hash, |s| {
        s.options.dir == new && s.moving.is_none()
    })
    .await;
    rig.until_state(content.hash, State::Seeding).await;
    content.assert_at(&new);
    assert!(!dir.join(content.name()).exists());
    let _fetched = fetch(&content, rig.addr().await).await;

    // by hand
    fs::rename(new.join(content.name()), dir.join(content.name())).expect("renamed");
    let told = rig
        .daemon()
        .relocate(content.hash, dir.clone(), false)
        .await;
    told.expect("begun");
    rig.until("it is back", content.hash, |s| s.options.dir == dir)
        .await;
    rig.until_state(content.hash, State::Seeding).await;
    rig.restart().await;
    assert_eq!(rig.summary(content.hash).options.dir, dir);
    rig.until_state(content.hash, State::Seeding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_moved_to_another_file_system_and_back_where_there_is_one() {
    let memory = Path::new("/dev/shm");
    let elsewhere = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).expect("a directory"),
        false => tempfile::tempdir().expect("a directory"),
    };
    let content = Content::folder(57, &[("a", 50_000), ("b/c", 70_000)]);
    let rig = Rig::new(|_| {}).await;
    let dir = rig.settings.download_dir.clone();
    // the only directory besides that of downloads is allowed by this name
    symlink(elsewhere.path(), rig.path("allowed")).expect("linked");
    content.copy_to(&dir);
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;
    let new = elsewhere.path().join("new");
    for (from, to) in [(&dir, &new), (&new, &dir)] {
        let moved = rig.daemon().relocate(content.hash, to.clone(), true).await;
        moved.expect("begun");
        rig.until("it is there", content.hash, |s| {
            s.options.dir == *to && s.moving.is_none()
        })
        .await;
        rig.until_state(content.hash, State::Seeding).await;
        content.assert_at(to);
        let old = from.join(content.name());
        wait("nothing is left behind", || !old.exists()).await;
        let _fetched = fetch(&content, rig.addr().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_and_a_check_that_wait_for_each_other_are_both_done() {
    let contents = [Content::file(58, 100_000), Content::file(59, 100_000)];
    let seed = Seed::of(&[&contents[0], &contents[1]]).await;
    let rig = Rig::new(|_| {}).await;
    let new = rig.path("allowed/new");
    for content in &contents {
        rig.add(content, &[seed.addr()]).await;
    }
    for content in &contents {
        rig.until_state(content.hash, State::Seeding).await;
    }
    drop(seed);
    for (content, moved_first) in contents.iter().zip([true, false]) {
        // as nobody but a check finds out; it stops slowly, for what has just changed vouches for nothing
        let path = rig.settings.download_dir.join(content.name());
        spoil_unseen(&path, 40_000);
        let verify = async || rig.daemon().verify(content.hash).await.expect("begun");
        if !moved_first {
            verify().await;
        }
        let moved = rig.daemon().relocate(content.hash, new.clone(), true).await;
        moved.expect("begun");
        if moved_first {
            verify().await;
        }
        rig.until("both are done", content.hash, |s| {
            s.options.dir == new && s.held < content.size() && s.state == State::Downloading
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_does_not_take_a_torrent_that_is_being_removed_for_one_that_is_here() {
    let content = Content::file(60, 1000);
    let rig = Rig::new(|_| {}).await;
    let new = || {
        let link = format!("magnet:?xt=urn:btih:{}", content.hash);
        NewTorrent::new(NewSource::Magnet(link))
    };
    for _ in 0..20 {
        rig.daemon().add(new()).await.expect("added");
        let (remove, add) = (
            rig.daemon().remove(content.hash, false),
            rig.daemon().add(new()),
        );
        match tokio::join!(remove, add) {
            (Ok(()), Ok(added)) => {
                assert!(!added.duplicate, "it is here again");
                let removed = rig.daemon().remove(content.hash, false).await;
                removed.expect("removed");
            }
            (Ok(()), Err(DaemonError::NotNow(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_a_move_stays_and_so_does_the_data() {
    let content = Content::folder(52, &[("a", 50_000), ("b", 70_000)]);
    let rig = Rig::new(|_| {}).await;
    let (dir, new) = (&rig.settings.download_dir, rig.path("allowed"));
    content.copy_to(dir);
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;
    let other = new.join(content.name()).join("b");
    chunkcast_compat_tests::write(&other, b"somebody else's");
    let moved = rig.daemon().relocate(content.hash, new.clone(), true).await;
    moved.expect("begun");
    let stays = rig
        .until("it is told", content.hash, |s| s.trouble.is_some())
        .await;
    let message = &stays.trouble.as_ref().expect("trouble").message;
    assert!(message.contains("another file is there"), "{message}");
    assert_eq!(stays.options.dir, *dir);
    rig.until_state(content.hash, State::Seeding).await;
    content.assert_at(dir);
    assert_eq!(fs::read(other).expect("there"), b"somebody else's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_torrent_takes_its_data_along_when_asked_to_and_only_that() {
    let (one, two) = (
        Content::folder(53, &[("a", 50_000), ("b/c", 70_000)]),
        Content::file(54, 50_000),
    );
    let rig = Rig::new(|_| {}).await;
    let dir = &rig.settings.download_dir;
    for content in [&one, &two] {
        content.copy_to(dir);
        rig.add(content, &[]).await;
        rig.until_state(content.hash, State::Seeding).await;
    }
    let notes = dir.join(one.name()).join("notes");
    chunkcast_compat_tests::write(&notes, b"a person's");
    rig.daemon().remove(one.hash, true).await.expect("removed");
    assert!(notes.exists() && !dir.join(one.name()).join("a").exists());
    assert!(!dir.join(one.name()).join("b").exists());
    rig.daemon().remove(two.hash, false).await.expect("removed");
    two.assert_at(dir);
    let state = rig.path("state/torrents");
    let left = fs::read_dir(state).expect("readable").count();
    assert_eq!(left, 0, "nothing is kept of what is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_gone_after_a_restart_is_not_fetched_again_before_somebody_says_so() {
    let content = Content::file(55, 200_000);
    let seed = Seed::of(&[&content]).await;
    let mut rig = Rig::new(|_| {}).await;
    let (dir, away) = (rig.settings.download_dir.clone(), rig.path("away"));
    rig.add(&content, &[seed.addr()]).await;
    rig.until_state(content.hash, State::Seeding).await;
    rig.stop().await;
    fs::rename(&dir, &away).expect("unmounted");
    rig.start().await;
    let stopped = rig
        .until("it is told", content.hash, |s| s.trouble.is_some())
        .await;
    let trouble = stopped.trouble.clone().expect("trouble");
    assert!(
        trouble.stopped && trouble.message.contains(content.name()),
        "{trouble:?}"
    );
    assert!(!dir.join(content.name()).exists());
    assert_eq!(
        rig.until_state(content.hash, State::Paused).await.held,
        content.size()
    );

    // the disk is back
    rig.stop().await;
    let _ = fs::remove_dir(&dir);
    fs::rename(&away, &dir).expect("mounted");
    rig.start().await;
    let back = rig.until_state(content.hash, State::Seeding).await;
    assert_eq!(back.trouble, None);

    // the disk is lost
    rig.stop().await;
    fs::remove_dir_all(&dir).expect("lost");
    rig.start().await;
    rig.until("it is told", content.hash, |s| s.trouble.is_some())
        .await;
    rig.meet(content.hash, &[seed.addr()]).await;
    rig.daemon()
        .start(content.hash, false)
        .await
        .expect("started");
    let again = rig.until_state(content.hash, State::Seeding).await;
    assert_eq!(again.trouble, None);
    content.assert_at(&dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_files_that_are_wanted_are_fetched_and_the_others_when_they_are() {
    let content = Content::folder(56, &[("a", 160_000), ("b", 160_000), ("c", 160_000)]);
    let seed = Seed::of(&[&content]).await;
    let mut rig = Rig::new(|_| {}).await;
    let dir = rig.settings.download_dir.clone();
    rig.add_with(&content, &[seed.addr()], |new| {
        new.change.files = vec![(0, Priority::Skip), (2, Priority::Skip)];
    })
    .await;
    let done = rig.until_state(content.hash, State::Seeding).await;
    assert!(done.wanted < content.size() && done.verified == done.wanted && done.done > 0);
    let detail = rig.daemon().detail(content.hash).await.expect("a torrent");
    assert_eq!(detail.files[1].held, detail.files[1].size);
    assert_eq!(detail.files[0].priority, Priority::Skip);
    assert!(detail.files[0].held < detail.files[0].size);
    rig.restart().await;
    rig.until_state(content.hash, State::Seeding).await;
    let more = Change {
        files: vec![(0, Priority::Normal), (2, Priority::High)],
        peers: vec![seed.addr()],
        ..Change::default()
    };
    rig.change(content.hash, more).await;
    rig.until("all is there", content.hash, |s| s.held == content.size())
        .await;
    rig.until_state(content.hash, State::Seeding).await;
    content.assert_at(&dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_and_a_removal_that_were_broken_off_are_done_at_the_next_start() {
    let (one, two) = (
        Content::folder(57, &[("a", 50_000), ("b", 70_000)]),
        Content::file(58, 50_000),
    );
    let mut rig = Rig::new(|_| {}).await;
    let (dir, new) = (rig.settings.download_dir.clone(), rig.path("allowed"));
    for content in [&one, &two] {
        content.copy_to(&dir);
        rig.add(content, &[]).await;
        rig.until_state(content.hash, State::Seeding).await;
    }
    rig.stop().await;
    // as a kill leaves them: one file is copied, another half; the entry of the other torrent is gone, its data is not
    seal_with(&rig.kept(&one, "json"), |record| {
        record["moving_to"] = serde_json::json!(new);
    });
    let (from, to) = (dir.join(one.name()), new.join(one.name()));
    fs::create_dir_all(&to).expect("a directory");
    fs::copy(from.join("a"), to.join("a")).expect("copied");
    let modified = fs::metadata(from.join("a")).expect("there").modified();
    set_modified(&to.join("a"), modified.expect("a time"));
    fs::write(to.join(".chunkcast-moving"), b"half").expect("written");
    fs::rename(rig.kept(&two, "json"), rig.kept(&two, "gone")).expect("renamed");

    rig.start().await;
    let moved = rig
        .until("it is moved", one.hash, |s| s.options.dir == new)
        .await;
    assert_eq!(moved.trouble, None);
    rig.until_state(one.hash, State::Seeding).await;
    one.assert_at(&new);
    assert!(!to.join(".chunkcast-moving").exists());
    wait("the old place is cleared", || !from.exists()).await;
    assert_eq!(rig.daemon().list().torrents.len(), 1);
    let path = dir.join(two.name());
    wait("the data goes", || !path.exists()).await;
    wait("nothing is kept", || !rig.kept(&two, "gone").exists()).await;
    rig.add(&two, &[]).await;
}

/// Changes a record of the store.
fn seal_with(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    use sha1::{Digest, Sha1};
    let text = fs::read_to_string(path).expect("kept");
    let (head, body) = text.split_once('\n').expect("a seal");
    let mut record = serde_json::from_str(body).expect("a record");
    change(&mut record);
    let body = record.to_string();
    let digest: String = Sha1::digest(&body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let kind = head.rsplit_once(' ').expect("a digest").0;
    fs::write(path, format!("{kind} {digest}\n{body}")).expect("written");
}
