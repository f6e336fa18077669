//! The watch folder.

use std::fs;
use std::io::Write;

use chunkcast_bittorrent::daemon::Event;
use chunkcast_compat_tests::write;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn torrents_and_links_that_appear_are_added_and_renamed() {
    let (one, two) = (Content::file(60, 40_000), Content::file(61, 40_000));
    let rig = Rig::prepared(|_| {});
    let watched = rig.path("watched");
    fs::create_dir(&watched).expect("a directory");
    let mut rig = rig;
    rig.settings.watch_dir = Some(watched.clone());
    rig.start().await;
    let mut events = rig.daemon().subscribe();
    write(&watched.join("one.torrent"), &one.torrent);
    let link = format!("magnet:?xt=urn:btih:{}\n", two.hash);
    write(&watched.join("two.magnet"), link.as_bytes());
    write(&watched.join("bad.torrent"), b"no torrent");
    write(&watched.join("other.txt"), b"nothing");
    for _ in 0..2 {
        until_event(&mut events, |e| matches!(e, Event::Added(_))).await;
    }
    let there = |name: &str| watched.join(name).exists();
    wait("files are renamed", || {
        there("one.torrent.added") && there("two.magnet.added") && there("bad.torrent.invalid")
    })
    .await;
    assert!(there("other.txt"));
    assert_eq!(rig.daemon().list().torrents.len(), 2);

    // once more, and one that is written slowly
    write(&watched.join("again.torrent"), &one.torrent);
    let three = Content::file(62, 40_000);
    let (head, tail) = three.torrent.split_at(three.torrent.len() / 2);
    let mut slow = fs::File::create(watched.join("three.torrent")).expect("a file");
    slow.write_all(head).expect("written");
    wait("a duplicate is fine", || there("again.torrent.added")).await;
    slow.write_all(tail).expect("written");
    drop(slow);
    wait("it is whole", || {
        assert!(
            !there("three.torrent.invalid"),
            "it was still being written"
        );
        there("three.torrent.added")
    })
    .await;
    assert_eq!(rig.daemon().list().torrents.len(), 3);
}
