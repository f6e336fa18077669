//! What `chunkcast-sim` says to arguments that cannot be, and what it prints.
#![cfg(feature = "sim")]

use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chunkcast-sim"))
        .args(args)
        .env_remove("SEED")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// One line that names every one of `parts`, exit code `code`, nothing on stdout.
fn refused(args: &[&str], code: i32, parts: &[&str]) {
    let out = sim(args);
    let err = text(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {err}");
    assert!(out.stdout.is_empty(), "{args:?}");
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    assert!(err.starts_with("chunkcast-sim: "), "{err}");
    for part in parts {
        assert!(err.contains(part), "{args:?}: {err} lacks {part}");
    }
}

#[test]
fn a_wrong_name_is_answered_with_the_valid_ones() {
    refused(
        &["paper", "--systems", "oracle,napster"],
        2,
        &[
            "--systems",
            "`napster`",
            "constrained-locality",
            "chunkcast-extended",
            "or all",
        ],
    );
    refused(
        &["paper", "--variants", "unequal,odd"],
        2,
        &["--variants", "`odd`", "plain", "half-duplex", "or all"],
    );
}

#[test]
fn numbers_out_of_range_are_named_with_the_range() {
    refused(
        &["paper", "--slots", "0,six"],
        2,
        &["--slots", "`six`", "0 (no limit)"],
    );
    refused(&["paper", "--peers", "1"], 2, &["--peers", "`1`", "2 to"]);
    refused(&["scale", "--peers", "180,"], 2, &["--peers", "``", "2 to"]);
    refused(&["sites", "--sites", "0"], 2, &["--sites", "0", "1 to"]);
    refused(&["paper", "--chunks", "0"], 2, &["--chunks", "1 to"]);
    refused(
        &["paper", "--chunk-size", "1GB"],
        2,
        &["--chunk-size", "`1GB`", "256KiB"],
    );
    refused(
        &["paper", "--seed", "18446744073709551615"],
        2,
        &["--seed", "too large"],
    );
    refused(
        &["churn", "--sessions", "60,0.1"],
        2,
        &["--sessions", "`0.1`", "ten seconds"],
    );
    refused(&["churn", "--sessions", "NaN"], 2, &["--sessions", "`NaN`"]);
    refused(&["churn", "--minutes=-1"], 2, &["--minutes", "a week"]);
}

#[test]
fn a_file_that_is_not_a_matrix_is_named_before_anything_runs() {
    let no = "/nonexistent/matrix.txt";
    for command in ["paper", "scale", "sites"] {
        refused(&[command, "--rtt-matrix", no], 1, &["--rtt-matrix", no]);
    }
    for command in ["churn", "overlay"] {
        refused(&[command, "--rtt-matrix", no], 1, &[no]);
    }
    let path = std::env::temp_dir().join(format!("chunkcast-matrix-{}", std::process::id()));
    std::fs::write(&path, "0\t10\n10\n").expect("a file in the temporary folder");
    let name = path.to_str().expect("UTF-8");
    refused(&["paper", "--rtt-matrix", name], 1, &[name]);
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    for command in ["paper", "scale", "sites", "churn"] {
        let out = sim(&[command, "--json", "--csv"]);
        let err = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{command}");
        assert!(err.contains("--json") && err.contains("--csv"), "{err}");
    }
    assert_eq!(sim(&["paper", "--jobs", "0"]).status.code(), Some(2));
    assert_eq!(sim(&["paper", "--topologies", "0"]).status.code(), Some(2));
}

#[test]
fn churn_prints_one_row_a_session_whatever_the_threads() {
    let args = |jobs| {
        let ring = "churn --nodes 20 --sessions 15,1.4 --minutes 0.5 --measure 10 --lookups 50";
        let args: Vec<&str> = ring.split(' ').chain(["--jobs", jobs]).collect();
        args
    };
    let one = sim(&args("1"));
    assert!(one.status.success(), "{}", text(&one.stderr));
    let table = text(&one.stdout);
    assert!(
        table.starts_with("20 index nodes under churn (seed 1)\n"),
        "{table}"
    );
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(" min  "))
        .collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(
        rows[0].starts_with("15 min") && rows[1].starts_with("1.4 min"),
        "{table}"
    );
    assert_eq!(table, text(&sim(&args("2")).stdout));

    let csv = sim(&[args("2"), vec!["--csv"]].concat());
    let csv = text(&csv.stdout);
    let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(fields, [20, 20, 20], "{csv}");
    let json = sim(&[args("2"), vec!["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json[1]["churn_s"], 84.0);
}
