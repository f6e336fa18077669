//! Torrents that we make are accepted by stock clients.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped is said on standard output"
)]

use std::path::Path;
use std::process::{Command, Output};

use chunkcast_compat_tests::{create, installed, noise, scratch, write};

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// Every installed stock client reads the torrent and agrees on the infohash.
fn accepted(torrent: &Path, infohash: &str) {
    let path = torrent.display().to_string();
    if installed("transmission-show", "transmission-show on our torrents") {
        let out = run("transmission-show", &[&path]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success() && text.contains(infohash),
            "transmission-show:\n{text}"
        );
    }
    if installed("aria2c", "aria2c -S on our torrents") {
        let out = run("aria2c", &["--no-conf", "-S", &path]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success() && text.contains(infohash),
            "aria2c -S:\n{text}"
        );
    }
    let script = "import sys, libtorrent as lt\nti = lt.torrent_info(sys.argv[1])\n\
                  print(ti.info_hash() if hasattr(ti, 'info_hash') else ti.info_hashes().v1)";
    let have = Command::new("python3")
        .args(["-c", "import libtorrent"])
        .output();
    if have.is_ok_and(|o| o.status.success()) {
        let out = run("python3", &["-W", "ignore", "-c", script, &path]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.success() && text.trim() == infohash,
            "libtorrent: {text}{err}"
        );
    } else {
        println!("SKIPPED: libtorrent on our torrents: the Python module is not installed");
    }
}

/// Makes the torrent twice; both must be the same, and accepted.
fn twice_and_accepted(path: &Path, more: &[&str]) {
    let dir = scratch();
    let (one, two) = (
        dir.path().join("one.torrent"),
        dir.path().join("two.torrent"),
    );
    let first = create(path, &one, more);
    let second = create(path, &two, more);
    assert_eq!(first, second, "the same input gives the same infohash");
    accepted(&one, &first);
}

#[test]
fn a_file_that_is_an_exact_multiple_of_the_piece_length() {
    let dir = scratch();
    let file = dir.path().join("one-mib.bin");
    write(&file, &noise(1, 1 << 20));
    twice_and_accepted(&file, &["--piece-length", "256KiB"]);
}

#[test]
fn a_folder() {
    let dir = scratch();
    for (i, name) in ["b/two", "a", "b/one", "c d/ümlaut"].iter().enumerate() {
        write(
            &dir.path().join("folder").join(name),
            &noise(i as u64, 30_000 * (i + 1)),
        );
    }
    twice_and_accepted(&dir.path().join("folder"), &[]);
}

#[test]
fn a_folder_that_ends_in_an_empty_file() {
    let dir = scratch();
    write(&dir.path().join("folder/a"), &noise(1, 100_000));
    write(&dir.path().join("folder/z"), b"");
    twice_and_accepted(
        &dir.path().join("folder"),
        &["--tracker", "http://127.0.0.1:1/announce", "--private"],
    );
}
