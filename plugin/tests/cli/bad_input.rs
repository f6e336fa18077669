//! Bad input: one error line that names the thing and the way out, the documented exit code, nothing written.

#![allow(
    clippy::disallowed_types,
    reason = "the tests take ports away from the program"
)]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use chunkcast_compat_tests::{Scratch, command, create, noise, scratch, write};

use super::common::{self, run, stderr};

/// Runs and expects this code and a single error line with these words.
fn refused(dir: &Path, args: &[&str], code: i32, words: &[&str]) {
    let (got, err) = common::refused(&run(dir, args));
    assert_eq!(got, Some(code), "{args:?}: {err}");
    assert!(err.starts_with("chunkcast: "), "{err}");
    for word in words {
        assert!(err.contains(word), "{args:?}: `{word}` is not in: {err}");
    }
    assert!(!err.contains("panicked"), "{err}");
}

const OFFLINE: [&str; 9] = [
    "--no-trackers",
    "--no-dht",
    "--no-lan",
    "--no-state",
    "--listen",
    "127.0.0.1:0",
    "--index-listen",
    "127.0.0.1:0",
    "--timeout=1",
];

fn get<'a>(source: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["get", source];
    args.extend(OFFLINE);
    args.extend(more);
    args
}

/// A single-file info dict with these parts.
fn info(length: &str, name: &[u8], piece_length: &str, hashes: usize) -> Vec<u8> {
    let mut out = b"d".to_vec();
    out.extend(format!("6:lengthi{length}e4:name{}:", name.len()).bytes());
    out.extend(name);
    out.extend(format!("12:piece lengthi{piece_length}e6:pieces{}:", hashes * 20).bytes());
    out.extend(vec![7u8; hashes * 20]);
    out.push(b'e');
    out
}

fn torrent(info: &[u8]) -> Vec<u8> {
    [b"d4:info", info, b"e"].concat()
}

#[test]
fn bad_torrents_are_code_8_and_leave_nothing_behind() {
    let dir = scratch();
    let good = torrent(&info("40000", b"good", "16384", 3));
    let multi = |path: &str, attr: &str| {
        let files = format!(
            "d5:filesld{attr}6:lengthi5e4:pathl{path}eee4:name1:n12:piece lengthi16384e6:pieces20:"
        );
        torrent(&[files.as_bytes(), &[7; 20], b"e"].concat())
    };
    let nested = [vec![b'l'; 5 << 20], vec![b'e'; 5 << 20]].concat();
    let v2 = b"d4:infod9:file treed1:ad0:d6:lengthi5e11:pieces root32:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaeee12:meta versioni2e4:name1:a12:piece lengthi16384eee".to_vec();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("garbage", noise(1, 3000)),
        ("html", b"<html>not found</html>".to_vec()),
        ("wrong-types", b"d4:infoi5ee".to_vec()),
        (
            "name-is-a-list",
            b"d4:infod6:lengthi5e4:namele12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
                .to_vec(),
        ),
        ("v2-only", v2),
        ("piece-length-0", torrent(&info("40000", b"x", "0", 3))),
        (
            "piece-length-negative",
            torrent(&info("40000", b"x", "-1", 3)),
        ),
        (
            "length-overflow",
            torrent(&info("99999999999999999999999", b"x", "16384", 3)),
        ),
        (
            "length-huge",
            torrent(&info("9223372036854775807", b"x", "1", 3)),
        ),
        ("length-negative", torrent(&info("-5", b"x", "16384", 3))),
        ("no-bytes", torrent(&info("0", b"x", "16384", 0))),
        ("too-few-hashes", torrent(&info("40000", b"x", "16384", 2))),
        ("too-many-hashes", torrent(&info("40000", b"x", "16384", 4))),
        ("name-dotdot", torrent(&info("40000", b"..", "16384", 3))),
        (
            "name-absolute",
            torrent(&info("40000", b"/etc/x", "16384", 3)),
        ),
        ("name-empty", torrent(&info("40000", b"", "16384", 3))),
        ("name-nul", torrent(&info("40000", b"a\0b", "16384", 3))),
        ("path-dotdot", multi("2:..1:x", "")),
        ("path-absolute", multi("6:/etc/x", "")),
        ("path-empty", multi("0:", "")),
        ("path-none", multi("", "")),
        ("symlink", multi("1:x", "4:attr1:l")),
        ("nested", nested),
    ];
    for (name, bytes) in cases {
        let file = format!("{name}.torrent");
        write(&dir.path().join(&file), &bytes);
        refused(dir.path(), &get(&file, &["-o", "out"]), 8, &[&file]);
        fs::remove_file(dir.path().join(&file)).expect("removed");
    }
    refused(
        dir.path(),
        &get("missing.torrent", &["-o", "out"]),
        8,
        &["missing.torrent", "does not exist"],
    );
    refused(dir.path(), &get(".", &["-o", "out"]), 8, &["directory"]);
    assert_eq!(
        fs::read_dir(dir.path()).expect("listed").count(),
        0,
        "something was written"
    );
}

#[test]
fn bad_magnets_are_code_8() {
    let dir = scratch();
    for bad in [
        "magnet:",
        "magnet:?dn=x",
        "magnet:?xt=urn:btih:1234",
        "magnet:?xt=urn:btih:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "magnet:?xt=urn:btih:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        "magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa==&so=0-999999999999",
        "magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e",
    ] {
        refused(dir.path(), &get(bad, &[]), 8, &["magnet"]);
    }
}

#[test]
fn a_magnet_that_nobody_has_is_code_3_in_time() {
    let dir = scratch();
    let magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&so=0-999999999999";
    refused(
        dir.path(),
        &get(magnet, &[]),
        3,
        &["0123456789abcdef", "--bootstrap"],
    );
}

/// A one-piece file and its torrent.
fn small(dir: &Scratch) -> String {
    write(&dir.path().join("source/file.bin"), &noise(3, 20_000));
    let torrent = dir.path().join("t.torrent");
    create(&dir.path().join("source/file.bin"), &torrent, &[]);
    "t.torrent".to_owned()
}

#[test]
fn a_torrent_without_peers_is_code_3() {
    let dir = scratch();
    refused(
        dir.path(),
        &get(&small(&dir), &["-o", "out"]),
        3,
        &["file.bin", "--bootstrap"],
    );
}

#[test]
fn network_faults_are_code_4() {
    let dir = scratch();
    let torrent = small(&dir);
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = tcp.local_addr().expect("bound").to_string();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let index = udp.local_addr().expect("bound").to_string();
    let taken = [
        "get",
        &torrent,
        "--no-dht",
        "--no-lan",
        "--no-state",
        "--listen",
        &port,
        "--index-listen",
        "127.0.0.1:0",
    ];
    refused(dir.path(), &taken, 4, &[&port, "--listen"]);
    refused(
        dir.path(),
        &["node", "--index-listen", &index, "--no-state"],
        4,
        &[&index, "--index-listen"],
    );
    refused(
        dir.path(),
        &get(&torrent, &["--bootstrap", "no.such.host.invalid:1"]),
        4,
        &["no.such.host.invalid", "--bootstrap"],
    );
    refused(
        dir.path(),
        &get(&torrent, &["--bootstrap", "host-without-port"]),
        2,
        &["host-without-port"],
    );
    refused(
        dir.path(),
        &get(&torrent, &["--peer", "no.such.host.invalid:1"]),
        4,
        &["no.such.host.invalid", "--peer"],
    );
    let closed = TcpListener::bind("127.0.0.1:0")
        .expect("bound")
        .local_addr()
        .expect("bound");
    let url = format!("http://{closed}/x.torrent");
    refused(dir.path(), &get(&url, &[]), 4, &[&url]);
}

#[test]
fn disk_faults_are_code_6() {
    let dir = scratch();
    let torrent = small(&dir);
    write(&dir.path().join("a-file"), b"x");
    refused(
        dir.path(),
        &get(&torrent, &["-o", "a-file/below"]),
        6,
        &["a-file"],
    );
    refused(
        dir.path(),
        &["create", "no-such-path"],
        6,
        &["no-such-path"],
    );
    let seed = [
        "seed",
        &torrent,
        "--no-dht",
        "--no-lan",
        "--no-state",
        "--listen",
        "127.0.0.1:0",
        "--index-listen",
        "127.0.0.1:0",
        "--data",
    ];
    let with = |path: &'static str| seed.iter().copied().chain([path]).collect::<Vec<&str>>();
    refused(dir.path(), &with("no-such-data"), 6, &["no-such-data"]);
    write(&dir.path().join("other"), &noise(4, 20_000));
    refused(dir.path(), &with("other"), 6, &["other", "0 of"]);
}

#[test]
fn usage_is_code_2() {
    let dir = scratch();
    for args in [
        &["get"][..],
        &["frobnicate"],
        &["demo", "--peers", "0"],
        &["demo", "--size", "lots"],
        &["lookup", "x", "-p", "9"],
    ] {
        assert_eq!(run(dir.path(), args).status.code(), Some(2), "{args:?}");
    }
    write(&dir.path().join("f"), b"data");
    refused(
        dir.path(),
        &["create", "f", "--piece-length", "1000"],
        2,
        &["piece"],
    );
}

#[test]
fn a_machine_without_ca_certificates_only_loses_https() {
    let dir = scratch();
    let torrent = small(&dir);
    let bare = |args: &[&str]| {
        let mut command = command(dir.path());
        command.args(args).current_dir(dir.path());
        command
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent");
        command.output().expect("chunkcast runs")
    };
    let out = bare(&get(&torrent, &["-o", "out"]));
    assert_eq!(out.status.code(), Some(3), "{}", stderr(&out));
    let out = bare(&get("https://127.0.0.1:1/x.torrent", &[]));
    let err = stderr(&out);
    assert_eq!(out.status.code(), Some(4), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}
