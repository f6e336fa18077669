//! A machine with no network but loopback, every address left at its default: a laptop in a train, a container.

use std::process::Command;

use chunkcast_compat_tests::{chunkcast, create, noise, scratch, write};

/// Runs `script` as root of a network namespace of its own; `None`, with a line that says so, where that is forbidden.
fn offline(dir: &std::path::Path, script: &str) -> Option<std::process::Output> {
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--net", "--map-root-user", "sh", "-c", script])
            .env("CHUNKCAST", chunkcast())
            .current_dir(dir)
            .output()
    };
    if !run("ip link set lo up").is_ok_and(|out| out.status.success()) {
        #[allow(clippy::print_stdout, reason = "says what is skipped")]
        {
            println!("SKIPPED: the machine without a network: no network namespace can be made");
        }
        return None;
    }
    Some(run(&format!("ip link set lo up; {script}")).expect("unshare ran before"))
}

#[test]
fn a_seed_and_a_download_find_each_other_with_default_addresses() {
    let dir = scratch();
    write(&dir.path().join("source"), &noise(1, 300_000));
    create(
        &dir.path().join("source"),
        &dir.path().join("t.torrent"),
        &[],
    );
    for ipv6 in [1, 0] {
        let script = format!(
            "echo {ipv6} > /proc/sys/net/ipv6/conf/all/disable_ipv6
             $CHUNKCAST seed --no-state --no-lan t.torrent --data source > seed.log & seed=$!
             $CHUNKCAST get --no-state --no-lan t.torrent -o out-{ipv6} --timeout 30 --bootstrap 127.0.0.1:4240
             code=$?; kill $seed; wait $seed; exit $code"
        );
        let Some(out) = offline(dir.path(), &script) else {
            return;
        };
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "disable_ipv6={ipv6}: {err}");
        let copy = dir.path().join(format!("out-{ipv6}/source"));
        assert!(std::fs::read(copy).expect("the copy") == noise(1, 300_000));
    }
}
