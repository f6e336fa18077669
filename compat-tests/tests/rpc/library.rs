//! transmission-rpc, the library for Python: its typed objects are the same with both daemons.

use std::process::Command;

use chunkcast_compat_tests::chunkcast;
use serde_json::Value;

use crate::server::{Server, Source, compare};

#[test]
fn the_library_for_python_sees_the_same() {
    let there = Command::new("python3")
        .args(["-c", "import transmission_rpc"])
        .output();
    if !there.is_ok_and(|out| out.status.success()) {
        println!(
            "SKIPPED: the Transmission RPC by library: transmission-rpc for Python is not installed"
        );
        return;
    }
    let Some(source) = Source::new() else { return };
    let [stock, ours] = source.both(run);
    assert!(stock.len() > 10, "{stock:#?}");
    let steps = (0..stock.len()).map(|at| format!("step {at}"));
    compare(steps.zip(stock), ours);
}

/// What the script wrote, line by line.
fn run(source: &Source, server: Server) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rpc/library.py");
    let out = Command::new("python3")
        .arg(script)
        .arg(server.port.to_string())
        .arg(&server.home)
        .arg(source.scene.torrent())
        .arg(source.scene.magnet(&source.tracker.url()))
        .arg(format!("{}other.torrent", source.web.url()))
        .arg(chunkcast())
        .args(source.seed_arguments(&server))
        .output()
        .expect("python3 runs");
    let (text, errors) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(out.status.success(), "{:?}: {text}\n{errors}", server.which);
    let home = server.home.display().to_string();
    let lines = text.lines().map(|line| line.replace(&home, "DIR"));
    lines
        .map(|line| serde_json::from_str(&line).expect("JSON"))
        .collect()
}
