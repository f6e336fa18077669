//! A machine with no network but loopback, every address left at its default: a laptop in a train, a container.

use chunkcast_compat_tests::{create, noise, scratch, write};

use super::common::{in_namespace, stderr};

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
        let lo = "ip link set lo up";
        let Some(out) = in_namespace(dir.path(), lo, "the machine without a network", &script)
        else {
            return;
        };
        let err = stderr(&out);
        assert_eq!(out.status.code(), Some(0), "disable_ipv6={ipv6}: {err}");
        let copy = dir.path().join(format!("out-{ipv6}/source"));
        assert!(std::fs::read(copy).expect("the copy") == noise(1, 300_000));
    }
}
