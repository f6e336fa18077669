//! The scenes that need nothing but a handful of processes, each as small as it can be. Needs root.

#![allow(
    clippy::print_stdout,
    reason = "tests report what they skip on standard output"
)]

mod support;

use std::process::Command;

use chunkcast_compat_tests::{chunkcast, installed, scratch};
use serde_json::Value;

use crate::support::{allowed, leftovers, text};

/// The report of `netlab` with these words; `None`, with a line that says so, where the machine is too busy.
fn report(words: &[&str]) -> Option<Value> {
    let dir = scratch();
    let output = Command::new(env!("CARGO_BIN_EXE_netlab"))
        .args(words)
        .args(["--runs", "1", "--json", "--chunkcast"])
        .arg(chunkcast())
        .env("TMPDIR", dir.path())
        .output()
        .expect("netlab runs");
    let said = text(&output);
    if output.status.code() == Some(4) {
        println!("SKIPPED: netlab {words:?}: this machine is too busy: {said}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(leftovers(dir.path()), 0);
    Some(serde_json::from_slice(&output.stdout).expect("one JSON object"))
}

#[test]
fn ours_and_a_stock_client_share_one_swarm_whoever_seeds() {
    if !allowed("netlab mixed")
        || !["aria2c", "opentracker"]
            .iter()
            .all(|p| installed(p, "mixed"))
    {
        return;
    }
    let words =
        "mixed --seeds aria2,chunkcast --stock aria2 --n 5 --rate 50mbit --size 2MiB --timeout 60s";
    let Some(report) = report(&words.split(' ').collect::<Vec<_>>()) else {
        return;
    };
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2, "{report}");
    for (run, seed) in runs.iter().zip(["aria2", "chunkcast"]) {
        assert_eq!(run["seed"], seed);
        assert_eq!(run["failed"], 0, "{report}");
        for kind in ["chunkcast", "aria2", "all stock"] {
            assert_eq!(run["kinds"][kind]["complete"], 2, "{kind}: {report}");
        }
        assert!(
            run["ours_to_stock"]["median"]
                .as_f64()
                .is_some_and(|r| r > 0.0)
        );
        // 2 MiB at 50 Mbit/s
        let fastest = run["kinds"]["all"]["fastest_s"].as_f64().expect("seconds");
        assert!(fastest > 0.3, "faster than the links: {report}");
    }
}

#[test]
fn one_machine_has_one_copy_and_its_cost() {
    if !allowed("netlab loopback")
        || !["aria2c", "opentracker"]
            .iter()
            .all(|p| installed(p, "loopback"))
    {
        return;
    }
    let words = "loopback --engines chunkcast,aria2 --size 16MiB --timeout 60s";
    let Some(report) = report(&words.split(' ').collect::<Vec<_>>()) else {
        return;
    };
    assert_eq!(report["scene"]["piece"], 1 << 20);
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2, "{report}");
    for (run, engine) in runs.iter().zip(["chunkcast", "aria2"]) {
        assert_eq!(
            (&run["engine"], &run["failed"]),
            (&engine.into(), &Value::Null)
        );
        let of = |key: &str| {
            run[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key}: {report}"))
        };
        assert!(of("seconds") > of("first_data_s"), "{report}");
        assert!(of("flowing_mb_per_s") >= of("mb_per_s"), "{report}");
        // the data went over loopback, and once
        let carried = of("carried_copies");
        assert!((1.0..1.2).contains(&carried), "{carried}: {report}");
        assert!(of("seed_peak_mib") > 1.0 && of("leecher_peak_mib") > 1.0);
    }
    let ratio = &report["medians"]["aria2"]["ours_to_its"]["mb_per_s"];
    assert!(ratio.as_f64().is_some_and(|r| r > 0.0), "{report}");
}

#[test]
fn many_downloaders_get_every_byte_from_the_seed_alone() {
    if !allowed("netlab many") {
        return;
    }
    let words = "many --engines chunkcast --n 12 --size 1MiB --piece 64KiB --timeout 60s";
    let Some(report) = report(&words.split(' ').collect::<Vec<_>>()) else {
        return;
    };
    let run = &report["runs"][0];
    assert_eq!(
        (&run["served"], &run["failed"]),
        (&12.0.into(), &0.into()),
        "{report}"
    );
    let peers = run["peers"].as_array().expect("peers");
    assert_eq!(peers.len(), 12);
    for peer in peers {
        assert!(
            peer["bytes"].as_u64().is_some_and(|b| b >= 1 << 20),
            "{peer}"
        );
    }
    assert!(run["slowest_to_fastest"].as_f64().is_some_and(|r| r >= 1.0));
    assert!(run["seed_peak_bytes"].as_u64().is_some_and(|b| b > 1 << 20));
    assert_eq!(run["within_budget"], true, "{report}");
}

#[test]
fn an_idle_daemon_is_measured_and_each_process_keeps_an_output_of_its_own() {
    if !allowed("netlab idle") || !installed("transmission-remote", "idle") {
        return;
    }
    let kept = scratch();
    let keep = kept.path().display().to_string();
    let words = "idle --daemons chunkcast --torrents 3 --size 64KiB --settle 1s --span 1s --timeout 60s --keep";
    let words: Vec<&str> = words.split(' ').chain([keep.as_str()]).collect();
    let Some(report) = report(&words) else {
        return;
    };
    let run = &report["runs"][0];
    for key in ["added_s", "end_s", "start_s", "resident_mib"] {
        assert!(
            run[key].as_f64().is_some_and(|s| s > 0.0),
            "{key}: {report}"
        );
    }
    let said = |name: &str| {
        let path = kept.path().join("chunkcast-1").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let index = said("index.log");
    assert!(index.contains("\"event\":\"listening\""), "{index}");
    for name in ["start-1.log", "start-2.log"] {
        let daemon = said(name);
        // the port of its API
        assert!(
            daemon.contains("9091") && !daemon.contains("\"event\""),
            "{name}: {daemon}"
        );
    }
}
