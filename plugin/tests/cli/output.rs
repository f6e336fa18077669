//! What `get`, `seed` and `lookup` print: lists, JSON lines, escaped names, and which failure is told when.

#![allow(clippy::disallowed_types, reason = "a server that never answers")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use chunkcast_compat_tests::stock::ours;
use chunkcast_compat_tests::{Proc, command, create, noise, scratch, wait_for, write};
use serde_json::Value;

use super::common::{run, text};

const DEADLINE: Duration = Duration::from_secs(120);

const OFFLINE: [&str; 8] = [
    "--no-trackers",
    "--no-dht",
    "--no-lan",
    "--no-state",
    "--listen",
    "127.0.0.1:0",
    "--index-listen",
    "127.0.0.1:0",
];

/// A seed of `dir/source/<name>`; its process and the address of its listener.
fn seed(dir: &Path, name: &str) -> (Proc, String, String) {
    let torrent = dir.join(format!("{name}.torrent")).display().to_string();
    let data = dir.join("source").join(name);
    let hash = create(&data, Path::new(&torrent), &[]);
    let data = data.display().to_string();
    let seed = ours(
        &format!("seed-{name}"),
        dir,
        &["seed", &torrent, "--data", &data, "--no-trackers"],
    );
    wait_for("the seed has verified its data", DEADLINE, || {
        seed.events("complete").pop()
    });
    let listen = seed.events("metadata")[0]["listen"]
        .as_str()
        .expect("an address")
        .to_owned();
    (seed, listen, hash)
}

#[test]
fn every_json_line_is_an_event_and_progress_frames_the_download() {
    let dir = scratch();
    write(&dir.path().join("source/file"), &noise(1, 300_000));
    let (seed, listen, _) = seed(dir.path(), "file");
    let index = seed.events("metadata")[0]["index"]
        .as_str()
        .expect("an index node")
        .to_owned();
    let mut args = vec![
        "get",
        "file.torrent",
        "-o",
        "out",
        "--json",
        "--peer",
        &listen,
    ];
    args.extend(OFFLINE);
    let out = run(dir.path(), &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let events: Vec<Value> = text(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(events.iter().all(|e| e["unix_time"].as_f64() > Some(1.6e9)));
    let named = |name: &str| {
        events
            .iter()
            .filter(|e| e["event"] == name)
            .collect::<Vec<_>>()
    };
    assert_eq!(named("metadata").len(), 1);
    assert_eq!(named("complete").len(), 1);
    let progress = named("progress");
    assert_eq!(progress.first().expect("some")["verified_bytes"], 0);
    assert!(
        progress.iter().all(|e| e["total_bytes"] == 300_000),
        "{progress:?}"
    );
    assert_eq!(progress.last().expect("some")["verified_bytes"], 300_000);
    assert!(!named("peers").is_empty());
    // the index node that the seed names is one that others can ask
    let found = run(
        dir.path(),
        &["lookup", &"ab".repeat(20), "--bootstrap", &index],
    );
    assert_eq!(found.status.code(), Some(3), "{}", text(&found.stderr));
}

#[test]
fn a_list_has_the_same_form_for_torrents_and_magnets() {
    let dir = scratch();
    write(&dir.path().join("source/many/a"), &noise(1, 30_000));
    write(&dir.path().join("source/many/empty"), b"");
    let (_seed, listen, hash) = seed(dir.path(), "many");
    let magnet = format!("magnet:?xt=urn:btih:{hash}&x.pe={listen}");
    let mut seen = Vec::new();
    for source in ["many.torrent", &magnet] {
        let mut args = vec!["get", source, "--list"];
        args.extend(OFFLINE);
        let plain = run(dir.path(), &args);
        args.push("--json");
        let json = run(dir.path(), &args);
        assert!(plain.status.success() && json.status.success());
        let lines = text(&json.stdout);
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let event: Value = serde_json::from_str(&lines).expect("JSON");
        assert_eq!(event["event"], "metadata");
        assert_eq!(event["files"], 2);
        seen.push((text(&plain.stdout), event["file_list"].clone()));
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].0.contains("many/empty"), "{}", seen[0].0);
    assert!(!dir.path().join("many").exists(), "something was written");
}

#[test]
fn only_selected_files_appear() {
    let dir = scratch();
    for (name, len) in [("a", 100_000), ("b", 40_000), ("c", 100_000), ("empty", 0)] {
        write(
            &dir.path().join("source/many").join(name),
            &noise(len, usize::try_from(len).expect("fits")),
        );
    }
    let (_seed, listen, hash) = seed(dir.path(), "many");
    let torrent = format!("magnet:?xt=urn:btih:{hash}&x.pe={listen}");
    let get = |source: &str, more: &[&str], out: &str| {
        let mut args = vec!["get", source, "-o", out, "--json"];
        args.extend(more);
        args.extend(OFFLINE);
        let done = run(dir.path(), &args);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let events: Vec<Value> = text(&done.stdout)
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        events
            .into_iter()
            .find(|e| e["event"] == "complete")
            .expect("complete")
    };
    let part = get(&format!("{torrent}&so=0"), &[], "one")["total_bytes"]
        .as_u64()
        .expect("bytes");
    assert!((100_000..120_000).contains(&part), "{part}");
    assert_eq!(
        fs::read(dir.path().join("one/many/a")).expect("a"),
        noise(100_000, 100_000)
    );
    assert!(!dir.path().join("one/many/c").exists());
    assert!(!dir.path().join("one/many/empty").exists());
    get(&format!("{torrent}&so=0,3"), &[], "two");
    assert!(dir.path().join("two/many/empty").exists());
    // the flag says it for .torrent files, and is stronger than a link
    let by_flag = ["--select", "2-3", "--peer", &listen];
    get("many.torrent", &by_flag, "three");
    get(&format!("{torrent}&so=0"), &by_flag[..2], "four");
    for out in ["three", "four"] {
        let has = |name: &str| dir.path().join(out).join("many").join(name).exists();
        assert_eq!(["a", "c", "empty"].map(has), [false, true, true], "{out}");
    }
}

#[test]
fn a_selection_that_names_no_file_is_told_with_the_files_there_are() {
    let dir = scratch();
    write(&dir.path().join("source/one"), &noise(1, 20_000));
    let source = dir.path().join("source");
    create(&source, &dir.path().join("t.torrent"), &[]);
    let fails = |more: &[&str]| {
        let mut args = vec!["get", "t.torrent", "-o", "out"];
        args.extend(more);
        args.extend(OFFLINE);
        let out = run(dir.path(), &args);
        (out.status.code(), text(&out.stderr))
    };
    let (code, line) = fails(&["--select", "7"]);
    assert_eq!(code, Some(8), "{line}");
    assert!(line.contains("files 0 to 0"), "{line}");
    let (code, line) = fails(&["--select", "x"]);
    assert_eq!(code, Some(2), "{line}");
    let (code, line) = fails(&["t2.torrent", "--select", "0"]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("--select"), "{line}");
}

#[test]
fn names_cannot_talk_to_the_terminal() {
    let dir = scratch();
    let name = "a\x1b[2Jb\u{202e}c";
    write(&dir.path().join("source").join(name), &noise(1, 20_000));
    create(
        &dir.path().join("source").join(name),
        &dir.path().join("t.torrent"),
        &[],
    );
    let mut args = vec!["get", "t.torrent", "-o", "out", "--timeout", "1"];
    args.extend(OFFLINE);
    for out in [
        run(dir.path(), &["get", "t.torrent", "--list"]),
        run(dir.path(), &args),
    ] {
        let all = text(&out.stdout) + &text(&out.stderr);
        assert!(all.contains("a\\u{1b}[2Jb\\u{202e}c"), "{all:?}");
        assert!(
            !all.contains('\x1b') && !all.contains('\u{202e}'),
            "{all:?}"
        );
    }
}

#[test]
fn of_several_torrents_the_one_that_fails_is_told_while_others_go_on() {
    let dir = scratch();
    write(&dir.path().join("source/good"), &noise(1, 100_000));
    write(&dir.path().join("source/lost"), &noise(2, 100_000));
    let (_seed, listen, hash) = seed(dir.path(), "good");
    create(
        &dir.path().join("source/lost"),
        &dir.path().join("lost.torrent"),
        &[],
    );
    let magnet = format!("magnet:?xt=urn:btih:{hash}&x.pe={listen}");
    let (lost, out) = (dir.path().join("lost.torrent"), dir.path().join("out"));
    let mut get = ours(
        "get",
        dir.path(),
        &[
            "get",
            &lost.display().to_string(),
            &magnet,
            "-o",
            &out.display().to_string(),
            "--seed",
            "--no-trackers",
            "--timeout",
            "2",
        ],
    );
    let error = wait_for("the failure is told", DEADLINE, || {
        get.events("error").pop()
    });
    assert_eq!(error["code"], 3);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("`lost`")),
        "{error}"
    );
    wait_for("the other is complete", DEADLINE, || {
        get.events("complete").pop()
    });
    assert!(get.try_wait().is_none(), "it goes on seeding");
    get.terminate();
    assert_eq!(get.wait(DEADLINE).code(), Some(3), "{}", get.log());
    assert_eq!(get.events("error").len(), 1, "{}", get.log());
}

#[test]
fn a_torrent_that_is_named_twice_is_refused_before_anything_begins() {
    let dir = scratch();
    write(&dir.path().join("source/file"), &noise(1, 20_000));
    let hash = create(
        &dir.path().join("source/file"),
        &dir.path().join("t.torrent"),
        &[],
    );
    let mut args = vec!["get", "t.torrent", &hash, "-o", "out"];
    args.extend(OFFLINE);
    let out = run(dir.path(), &args);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains(&hash), "{}", text(&out.stderr));
    assert!(!dir.path().join("out").exists());
}

#[test]
fn data_that_is_here_is_checked_once_though_peers_come_meanwhile() {
    let dir = scratch();
    let data = noise(1, 24 << 20);
    write(&dir.path().join("source/file"), &data);
    let (_seed, listen, _) = seed(dir.path(), "file");
    write(&dir.path().join("out/file"), &data[..20 << 20]);
    let mut args = vec![
        "get",
        "file.torrent",
        "-o",
        "out",
        "--json",
        "--peer",
        &listen,
    ];
    args.extend(OFFLINE);
    let out = run(dir.path(), &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let metadata = text(&out.stdout).matches("\"event\":\"metadata\"").count();
    assert_eq!(metadata, 1, "{}", text(&out.stdout));
    assert!(fs::read(dir.path().join("out/file")).expect("a copy") == data);
}

#[test]
fn who_waits_in_vain_reads_that_the_index_node_never_answered() {
    let dir = scratch();
    write(&dir.path().join("source/file"), &noise(1, 20_000));
    create(
        &dir.path().join("source/file"),
        &dir.path().join("t.torrent"),
        &[],
    );
    let nobody = format!("127.0.0.1:{}", chunkcast_compat_tests::free_port());
    let mut args = vec![
        "get",
        "t.torrent",
        "-o",
        "out",
        "--timeout",
        "1",
        "--bootstrap",
        &nobody,
    ];
    args.extend(OFFLINE);
    let out = run(dir.path(), &args);
    assert_eq!(out.status.code(), Some(3));
    let err = text(&out.stderr);
    assert!(
        err.contains(&format!("no index node answered at {nobody}")),
        "{err}"
    );
    let out = run(
        dir.path(),
        &[
            "lookup",
            &"ab".repeat(20),
            "--timeout",
            "1",
            "--bootstrap",
            &nobody,
        ],
    );
    assert_eq!(out.status.code(), Some(4));
    assert!(text(&out.stderr).contains(&nobody));
}

#[test]
fn a_terminal_interrupt_is_code_7_in_every_wait() {
    let dir = scratch();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/t.torrent", silent.local_addr().expect("bound"));
    let nobody = format!("127.0.0.1:{}", chunkcast_compat_tests::free_port());
    let hash = "ab".repeat(20);
    for (name, args) in [
        ("fetch", vec!["get", url.as_str()]),
        (
            "lookup",
            vec!["lookup", &hash, "--bootstrap", &nobody, "--timeout", "60"],
        ),
    ] {
        let mut command = command(dir.path());
        command.args(&args);
        let mut waiting = Proc::spawn(name, dir.path(), &mut command);
        // accepted and never answered
        let _open = (name == "fetch").then(|| silent.accept().expect("it connects"));
        waiting.wait_for_handlers(DEADLINE);
        waiting.terminate();
        assert_eq!(
            waiting.wait(DEADLINE).code(),
            Some(7),
            "{name}: {}",
            waiting.log()
        );
    }
}
