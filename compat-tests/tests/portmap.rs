//! Ports at a router: what a program that speaks UPnP is asked for, and told at the end. The router is a script on a host of its
//! own; another program on that host answers searches with addresses that nobody must follow.

use std::time::Duration;

use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::stock::{At, ours_at};
use chunkcast_compat_tests::{Proc, Scratch, create, installed, noise, scratch, wait_for, write};

/// A router and a host behind it.
struct Net {
    dir: Scratch,
    router: Host,
    us: Host,
    _lan: Lan,
}

/// What a router was asked: action, protocol, port, lease in seconds.
type Asked = (String, String, u64, Option<u64>);

impl Net {
    fn new() -> Option<Self> {
        let skipped = "ports at a router";
        if !installed("python3", skipped) {
            return None;
        }
        let lan = Lan::new(skipped)?;
        Some(Self {
            dir: scratch(),
            router: lan.host("router"),
            us: lan.host("us"),
            _lan: lan,
        })
    }

    fn router(&self, more: &[&str]) -> Proc {
        let mut command = self.router.command("python3");
        command.args([
            "-c",
            include_str!("../src/fake_gateway.py"),
            &self.router.ip,
        ]);
        let router = Proc::spawn("router", self.dir.path(), command.args(more));
        wait_for("the router", DEADLINE, || router.events("ready").pop());
        router
    }

    fn seed(&self, more: &[&str]) -> Proc {
        let data = self.dir.path().join("data");
        let torrent = self.dir.path().join("t.torrent");
        if !torrent.exists() {
            write(&data, &noise(7, 100_000));
            create(&data, &torrent, &[]);
        }
        let (data, torrent) = (data.display().to_string(), torrent.display().to_string());
        let mut args = vec!["seed", &torrent, "--data", &data, "--no-dht", "-vv"];
        args.extend(more);
        ours_at("seed", self.dir.path(), At::Host(&self.us), &args)
    }

    /// Everything that the router was asked; the internal side is what it has to be.
    fn asked(&self, router: &Proc) -> Vec<Asked> {
        let number = |v: &serde_json::Value| v.as_str().and_then(|s| s.parse().ok());
        let one = |e: serde_json::Value| {
            assert_eq!(e["path"], "/ctl/IPConn");
            assert_eq!(e["well_formed"], true);
            if e["action"] == "AddPortMapping" {
                assert_eq!(e["client"], self.us.ip);
                assert_eq!(e["internal"], e["external"]);
            }
            let text = |name: &str| e[name].as_str().unwrap_or_default().to_owned();
            let port = number(&e["external"]).expect("a port");
            (text("action"), text("protocol"), port, number(&e["lease"]))
        };
        router.events("request").into_iter().map(one).collect()
    }
}

fn asked(action: &str, protocol: &str, port: u64, lease: Option<u64>) -> Asked {
    (action.to_owned(), protocol.to_owned(), port, lease)
}

/// The router is asked for the peers' port and the index node's, again before the lease ends, and at the end to forget
/// them.
#[test]
fn ports_are_mapped_renewed_and_given_back() {
    let Some(net) = Net::new() else { return };
    let router = net.router(&[]);
    let seed_flags = [
        "--listen",
        "0.0.0.0:7001",
        "--index-listen",
        "0.0.0.0:7002",
        "--upnp-lease",
        "4",
    ];
    let mut seed = net.seed(&seed_flags);
    let count = |what: &Asked| net.asked(&router).iter().filter(|a| *a == what).count();
    for (protocol, port) in [("TCP", 7001), ("UDP", 7002)] {
        let add = asked("AddPortMapping", protocol, port, Some(4));
        wait_for("a port is asked for again", DEADLINE, || {
            (count(&add) >= 3).then_some(())
        });
    }
    let all = net.asked(&router);
    assert!(all.iter().all(|a| a.0 == "AddPortMapping"), "{all:?}");
    seed.terminate();
    assert!(seed.wait(DEADLINE).success(), "{}", seed.log());
    for (protocol, port) in [("TCP", 7001), ("UDP", 7002)] {
        let given_back = count(&asked("DeletePortMapping", protocol, port, None));
        assert_eq!(given_back, 1, "{:?}\n{}", net.asked(&router), seed.log());
    }
    let all = net.asked(&router);
    let last = all.iter().rposition(|a| a.0 == "AddPortMapping");
    let first = all.iter().position(|a| a.0 == "DeletePortMapping");
    assert!(
        last < first,
        "nothing is asked for again once it was given back: {all:?}"
    );
    assert!(!seed.log().contains(" WARN "), "{}", seed.log());
}

/// A router that knows only mappings without end gets those; they are given back all the same.
#[test]
fn a_router_without_leases_is_asked_for_mappings_without_end() {
    let Some(net) = Net::new() else { return };
    let router = net.router(&["725"]);
    let mut node = ours_at(
        "node",
        net.dir.path(),
        At::Host(&net.us),
        &["node", "--index-listen", "0.0.0.0:7003", "--no-dht"],
    );
    let endless = asked("AddPortMapping", "UDP", 7003, Some(0));
    wait_for("a mapping without end", DEADLINE, || {
        net.asked(&router).contains(&endless).then_some(())
    });
    // it is noted as ours when the answer has come, which the program does not show: the end waits for it all the same
    node.terminate();
    assert!(node.wait(DEADLINE).success(), "{}", node.log());
    let deleted = asked("DeletePortMapping", "UDP", 7003, None);
    assert!(
        net.asked(&router).contains(&deleted),
        "{:?}",
        net.asked(&router)
    );
}

/// Another host's mapping is left alone, also at the end.
#[test]
fn a_port_of_another_host_is_not_taken_from_it() {
    let Some(net) = Net::new() else { return };
    let router = net.router(&["718"]);
    let mut seed = net.seed(&["--listen", "0.0.0.0:7001", "--index-listen", "0.0.0.0:7002"]);
    wait_for("both ports were refused", DEADLINE, || {
        (seed.log().matches("UPnP error 718").count() >= 2).then_some(())
    });
    seed.terminate();
    assert!(seed.wait(DEADLINE).success(), "{}", seed.log());
    let all = net.asked(&router);
    assert!(all.iter().all(|a| a.0 == "AddPortMapping"), "{all:?}");
}

/// `--no-upnp` sends not even the search, and a router that takes requests and never answers does not hold up the end.
#[test]
fn no_upnp_asks_nothing_and_a_silent_router_delays_nothing() {
    let Some(net) = Net::new() else { return };
    let router = net.router(&["silent"]);
    let mut silent = net.seed(&["--listen", "0.0.0.0:7001"]);
    wait_for("a request", DEADLINE, || net.asked(&router).pop());
    let searches = router.events("search").len();
    let mut off = net.seed(&["--listen", "0.0.0.0:7005", "--no-upnp"]);
    wait_for("the other session", DEADLINE, || {
        off.events("metadata").pop()
    });
    silent.terminate();
    // the program ends by itself, not by the kill of a test that waits too long
    assert!(silent.wait(Duration::from_secs(60)).success());
    off.terminate();
    assert!(off.wait(DEADLINE).success(), "{}", off.log());
    let ports: Vec<u64> = net.asked(&router).iter().map(|a| a.2).collect();
    assert!(!ports.contains(&7005), "{ports:?}");
    assert_eq!(searches, router.events("search").len());
}
