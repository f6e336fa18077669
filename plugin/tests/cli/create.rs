//! `chunkcast create` as its user sees it: what it prints, what it writes, and what it must not overwrite.

use std::fs;
use std::os::unix::fs::symlink;

use chunkcast_compat_tests::{command, noise, scratch, write};

use super::common::{good, run, stderr};

#[test]
fn it_says_what_it_made_and_nothing_about_peers() {
    let dir = scratch();
    write(&dir.path().join("data/a"), &noise(1, 50_000));
    let out = run(dir.path(), &["create", "data"]);
    assert!(out.status.success());
    let text = good(&out);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "data.torrent: 48.83 KiB in 1 file, 4 pieces of 16.00 KiB"
    );
    assert!(lines[1].starts_with("infohash "), "{text}");
    assert!(lines[2].starts_with("magnet:?xt=urn:btih:"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
}

#[test]
fn a_torrent_is_replaced_and_any_other_file_is_not() {
    let dir = scratch();
    write(&dir.path().join("film"), &noise(1, 50_000));
    let first = run(dir.path(), &["create", "film"]);
    let again = run(dir.path(), &["create", "film"]);
    assert!(first.status.success() && again.status.success());
    assert!(good(&again).contains("(as it was)"), "{}", good(&again));
    let other = run(dir.path(), &["create", "film", "--piece-length", "32KiB"]);
    assert!(
        good(&other).contains("(replaces another torrent)"),
        "{}",
        good(&other)
    );
    let out = run(dir.path(), &["create", "film", "-o", "film"]);
    assert_eq!(out.status.code(), Some(6), "{}", stderr(&out));
    assert!(stderr(&out).contains("`film` exists and is no torrent"));
    assert_eq!(
        fs::read(dir.path().join("film")).expect("the film"),
        noise(1, 50_000)
    );
}

#[test]
fn a_folder_never_holds_its_own_torrent() {
    let dir = scratch();
    write(&dir.path().join("data/sub/a"), &noise(1, 50_000));
    for (folder, output) in [("data", "data/x.torrent"), ("data", "data/sub/x.torrent")] {
        let out = run(dir.path(), &["create", folder, "-o", output]);
        assert_eq!(out.status.code(), Some(2), "{}", stderr(&out));
        assert!(stderr(&out).contains("-o"), "{}", stderr(&out));
    }
    let inside = dir.path().join("data");
    assert_eq!(run(&inside, &["create", "."]).status.code(), Some(2));
    assert!(
        run(&inside, &["create", ".", "-o", "../data.torrent"])
            .status
            .success()
    );
    assert_eq!(fs::read_dir(&inside).expect("listed").count(), 1);
}

#[test]
fn where_it_cannot_write_is_known_before_hashing_and_leaves_nothing() {
    let dir = scratch();
    write(&dir.path().join("data"), &noise(1, 50_000));
    fs::create_dir(dir.path().join("folder")).expect("made");
    for output in ["missing/x.torrent", "folder"] {
        let out = run(dir.path(), &["create", "data", "-o", output]);
        assert_eq!(out.status.code(), Some(6), "{}", stderr(&out));
        assert!(stderr(&out).contains(output), "{}", stderr(&out));
        assert!(out.stdout.is_empty());
    }
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2);
}

#[test]
fn a_link_is_called_by_its_own_name_and_stays_a_link_as_output() {
    let dir = scratch();
    write(&dir.path().join("real"), &noise(1, 50_000));
    symlink("real", dir.path().join("link")).expect("a link");
    let out = run(dir.path(), &["create", "link"]);
    assert!(good(&out).starts_with("link.torrent: "), "{}", good(&out));
    assert!(good(&out).contains("&dn=link"), "{}", good(&out));

    fs::rename(dir.path().join("link.torrent"), dir.path().join("kept")).expect("renamed");
    symlink("kept", dir.path().join("link.torrent")).expect("a link");
    assert!(run(dir.path(), &["create", "link"]).status.success());
    let meta = fs::symlink_metadata(dir.path().join("link.torrent")).expect("there");
    assert!(meta.is_symlink());
}

#[test]
fn a_private_torrent_without_a_tracker_comes_with_a_warning() {
    let dir = scratch();
    write(&dir.path().join("data"), &noise(1, 50_000));
    let out = run(dir.path(), &["create", "data", "--private"]);
    assert!(good(&out).contains("names no tracker"), "{}", good(&out));
    let tracked = [
        "create",
        "data",
        "--private",
        "--tracker",
        "http://t.test/a",
    ];
    let out = run(dir.path(), &tracked);
    assert!(!good(&out).contains("names no tracker"), "{}", good(&out));
}

#[test]
fn an_interrupted_create_writes_nothing_and_ends_at_once() {
    let dir = scratch();
    let big = fs::File::create(dir.path().join("big")).expect("a file");
    big.set_len(64 << 30).expect("a sparse file");
    let mut command = command(dir.path());
    command.args(["create", "big"]).current_dir(dir.path());
    let log = scratch();
    let mut create = chunkcast_compat_tests::Proc::spawn("create", log.path(), &mut command);
    let deadline = std::time::Duration::from_secs(60);
    create.wait_for_handlers(deadline);
    create.terminate();
    assert_eq!(create.wait(deadline).code(), Some(7), "{}", create.log());
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
}
