//! The harness itself, with the smallest network that has everything: two sites, one downloader at each. Needs root.

#![allow(
    clippy::print_stdout,
    reason = "tests report what they skip on standard output"
)]

mod support;

use std::process::Command;
use std::time::Duration;

use chunkcast_compat_tests::{Proc, chunkcast, installed, scratch, wait_for};
use serde_json::Value;

use crate::support::{allowed, leftovers, text};

const SIZE: u64 = 2 << 20;

fn netlab(dir: &std::path::Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netlab"));
    command
        .args(words)
        .args(["--engines", "chunkcast", "--runs", "1", "--chunkcast"])
        .arg(chunkcast())
        .env("TMPDIR", dir);
    command
}

const SMALLEST: [&str; 7] = ["sites", "--sites", "2", "--per-site", "1", "--size", "2MiB"];

/// Namespaces of the harness with this process id.
fn namespaces(pid: u32) -> usize {
    let list = Command::new("ip").args(["netns", "list"]).output();
    let list = list.map(|o| o.stdout).unwrap_or_default();
    let prefix = format!("netlab-{pid}-");
    String::from_utf8_lossy(&list)
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .count()
}

#[test]
fn two_sites_get_the_file_and_every_byte_between_them_is_counted() {
    if !allowed("netlab sites") {
        return;
    }
    let dir = scratch();
    let output = netlab(
        dir.path(),
        &[&SMALLEST[..], &["--timeout", "15s", "--json"]].concat(),
    )
    .output()
    .expect("netlab runs");
    let said = text(&output);
    if output.status.code() == Some(4) {
        println!("SKIPPED: netlab sites: this machine is too busy: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["check"]["congestion_control"], "cubic");
    assert_eq!(
        report["check"]["findings"].as_array().map(Vec::len),
        Some(6)
    );
    let run = &report["runs"][0];
    assert_eq!(run["failed"], 0, "{said}");
    assert_eq!(run["peers"].as_array().map(Vec::len), Some(2));
    let wan = &run["wan"];
    let bytes = |from: usize, to: usize| wan["bytes"][from][to].as_u64().expect("a counter");
    // one copy with its headers went over, and its acknowledgements came back
    let over = bytes(0, 1);
    assert!(over > SIZE && over < 2 * SIZE, "{over}: {said}");
    let back = bytes(1, 0);
    assert!(back > 0 && back < SIZE / 4, "{back}: {said}");
    assert_eq!((bytes(0, 0), bytes(1, 1)), (0, 0));
    assert_eq!(wan["lost"], 0);
    // nobody else has the file at the beginning, and somebody sent all that crossed
    let seed = run["seed_copies"].as_f64().expect("copies");
    let all = run["upload_per_downloader"].as_f64().expect("upload") * 2.0;
    assert!(
        seed > 1.0 && all >= seed && all < 3.0,
        "{seed} {all}: {said}"
    );
    assert!(run["cpu_s"].as_f64().expect("seconds") > 0.0);
    assert_eq!(leftovers(dir.path()), 0);
}

#[test]
fn what_is_interrupted_and_what_is_killed_leaves_nothing_behind() {
    if !allowed("netlab's teardown") {
        return;
    }
    let dir = scratch();
    let deadline = Duration::from_secs(20);
    let built = |proc: &Proc| {
        let pid = proc.id();
        wait_for("the namespaces", deadline, || {
            (namespaces(pid) >= 6).then_some(pid)
        })
    };
    let start = |name: &str| Proc::spawn(name, dir.path(), &mut netlab(dir.path(), &SMALLEST));

    let mut interrupted = start("interrupted");
    let pid = built(&interrupted);
    interrupted.signal("INT");
    let status = interrupted.wait(deadline);
    assert_eq!(status.code(), Some(7), "{}", interrupted.log());
    assert_eq!((namespaces(pid), leftovers(dir.path())), (0, 0));

    let mut killed = start("killed");
    let killed_pid = built(&killed);
    killed.kill();
    assert!(
        namespaces(killed_pid) > 0,
        "nobody was there to remove them"
    );

    // the next one does
    let mut next = start("next");
    let next_pid = built(&next);
    assert_eq!(namespaces(killed_pid), 0);
    next.terminate();
    assert_eq!(next.wait(deadline).code(), Some(7));
    assert_eq!((namespaces(next_pid), leftovers(dir.path())), (0, 0));
}

#[test]
fn who_is_not_root_is_told_so_in_one_line() {
    if !allowed("netlab without root") || !installed("setpriv", "netlab without root") {
        return;
    }
    // where others may read it
    let dir = scratch();
    let program = dir.path().join("netlab");
    std::fs::copy(env!("CARGO_BIN_EXE_netlab"), &program).expect("a copy");
    use std::os::unix::fs::PermissionsExt;
    for path in [dir.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["flash-crowd", "--engines", "aria2"])
        .output()
        .expect("setpriv runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.contains("root") && line.lines().count() == 1, "{line}");
}
