//! Local service discovery (BEP 14) with other clients of ours, each on a host of its own: nobody is told of
//! anybody, there is no tracker, no DHT and no directory.

use std::path::Path;
use std::process::Command;

use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::{ALONE, Proc, Scratch, chunkcast, create, noise, scratch, write};

const LEN: usize = 700_000;

/// Nothing but local service discovery finds a peer.
const ONLY_LSD: [&str; 4] = ["--no-trackers", "--no-dht", "--no-index", "--no-pex"];

/// Two hosts on a switch, and a torrent.
struct Pair {
    a: Host,
    b: Host,
    dir: Scratch,
    _lan: Lan,
}

impl Pair {
    fn new(flags: &[&str]) -> Option<Self> {
        let lan = Lan::new("local service discovery")?;
        let dir = scratch();
        let data = dir.path().join("source/data.bin");
        write(&data, &noise(1, LEN));
        create(&data, &dir.path().join("t.torrent"), flags);
        Some(Self {
            a: lan.host("a"),
            b: lan.host("b"),
            dir,
            _lan: lan,
        })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn ours(&self, name: &str, host: &Host, args: &[&str]) -> Proc {
        let mut command: Command = host.command(chunkcast());
        command.args(args).args(ONLY_LSD).args(ALONE).arg("--json");
        Proc::spawn(name, self.dir.path(), &mut command)
    }

    fn we_seed(&self, more: &[&str]) -> Proc {
        let (torrent, data) = (self.path("t.torrent"), self.path("source/data.bin"));
        let args = [&["seed", &torrent, "--data", &data][..], more].concat();
        self.ours("seed", &self.a, &args)
    }

    fn we_get(&self, more: &[&str]) -> Proc {
        let (torrent, copy) = (self.path("t.torrent"), self.path("copy"));
        let args = [&["get", &torrent, "-o", &copy][..], more].concat();
        self.ours("get", &self.b, &args)
    }

    fn assert_got(&self, mut get: Proc) {
        let status = get.wait(DEADLINE);
        assert!(status.success(), "{}", get.log());
        self.assert_copy();
    }

    fn assert_copy(&self) {
        let copy = std::fs::read(Path::new(&self.path("copy")).join("data.bin"));
        assert!(copy.expect("the copy") == noise(1, LEN), "the copy differs");
    }
}

#[test]
fn clients_of_one_network_find_each_other() {
    let Some(pair) = Pair::new(&[]) else { return };
    let _seed = pair.we_seed(&[]);
    pair.assert_got(pair.we_get(&[]));
}

#[test]
fn they_do_over_ipv6_alone() {
    let Some(pair) = Pair::new(&[]) else { return };
    for (host, addr) in [(&pair.a, "fd77::2/64"), (&pair.b, "fd77::3/64")] {
        let args = ["addr", "add", addr, "dev", "eth0", "nodad"];
        let done = host.command("ip").args(args).status();
        if !done.is_ok_and(|s| s.success()) {
            println!("SKIPPED: local service discovery over IPv6: there is none");
            return;
        }
    }
    let _seed = pair.we_seed(&["--listen", "[fd77::2]:6881"]);
    pair.assert_got(pair.we_get(&["--listen", "[fd77::3]:6881"]));
}

#[test]
fn who_does_without_is_not_found_and_finds_nobody() {
    let Some(pair) = Pair::new(&[]) else { return };
    let _seed = pair.we_seed(&["--no-lsd"]);
    let mut get = pair.we_get(&["--timeout", "8"]);
    assert!(!get.wait(DEADLINE).success(), "{}", get.log());
}

#[test]
fn a_private_torrent_is_not_announced() {
    let tracker = ["--private", "--tracker", "http://10.77.0.200/announce"];
    let Some(pair) = Pair::new(&tracker) else {
        return;
    };
    let _seed = pair.we_seed(&[]);
    let mut get = pair.we_get(&["--timeout", "8"]);
    assert!(!get.wait(DEADLINE).success(), "{}", get.log());
}
