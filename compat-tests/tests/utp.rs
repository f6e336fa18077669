//! uTP (BEP 29) with ourselves, libtorrent and Transmission, each on a host of its own. Where TCP would do as well it is switched off
//! at one end, and what carried the bytes is looked at.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped is said on standard output"
)]

use std::path::PathBuf;

use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, Client, Setup, Transmission, ours_at};
use chunkcast_compat_tests::{
    ALONE, Proc, Scratch, chunkcast, create, noise, scratch, wait_for, write,
};

/// libtorrent over uTP alone: TORRENT DIRECTORY get|seed [IP PORT of a peer to dial].
const LIBTORRENT: &str = r#"
import sys, time
import libtorrent as lt
source, directory, mode = sys.argv[1:4]
session = lt.session({"enable_incoming_tcp": False, "enable_outgoing_tcp": False, "enable_dht": False,
                      "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
                      "listen_interfaces": "0.0.0.0:6881"})
torrent = lt.add_torrent_params()
torrent.ti = lt.torrent_info(source)
torrent.save_path = directory
handle = session.add_torrent(torrent)
while True:
    status = handle.status()
    print(status.state, status.progress, flush=True)
    if len(sys.argv) > 4 and status.num_peers == 0 and status.state != lt.torrent_status.checking_files:
        handle.connect_peer((sys.argv[4], int(sys.argv[5])))
    if mode == "get" and status.is_seeding:
        break
    time.sleep(0.3)
"#;

const SIZE: usize = 6_000_000;

/// Two hosts, and data with its torrent.
struct Net {
    dir: Scratch,
    us: Host,
    them: Host,
    lan: Lan,
}

impl Net {
    fn new(skipped: &str) -> Option<Self> {
        let lan = Lan::new(skipped)?;
        let dir = scratch();
        let source = dir.path().join("source/data");
        write(&source, &noise(29, SIZE));
        create(&source, &dir.path().join("t.torrent"), &[]);
        Some(Self {
            dir,
            us: lan.host("us"),
            them: lan.host("them"),
            lan,
        })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `chunkcast` that listens on port 7001, or 7002 when it downloads.
    fn ours(&self, at: &Host, command: &str, more: &[&str]) -> Proc {
        let (torrent, copy) = (self.path("t.torrent"), self.path("copy"));
        let data = self.path("source/data");
        let mut args = match command {
            "get" => vec!["get", &torrent, "-o", &copy, "--listen", "0.0.0.0:7002"],
            _ => vec![
                "seed",
                &torrent,
                "--data",
                &data,
                "--listen",
                "0.0.0.0:7001",
            ],
        };
        args.extend(["--no-dht", "--no-upnp", "-vv"]);
        args.extend(more);
        let proc = ours_at(command, self.dir.path(), At::Host(at), &args);
        wait_for("the session has started", DEADLINE, || {
            proc.events("metadata").pop()
        });
        proc
    }

    fn libtorrent(&self, mode: &str, peer: Option<(&str, &str)>) -> Proc {
        let directory = self.path(if mode == "get" { "copy" } else { "source" });
        let mut command = self.them.command("python3");
        command.args([
            "-W",
            "ignore",
            "-c",
            LIBTORRENT,
            &self.path("t.torrent"),
            &directory,
            mode,
        ]);
        if let Some((ip, port)) = peer {
            command.args([ip, port]);
        }
        Proc::spawn("libtorrent", self.dir.path(), &mut command)
    }

    /// Transmission with its default settings, if it is installed.
    fn transmission(&self) -> Option<Transmission<'_>> {
        let client = Client::Transmission;
        let setup = || Setup::all_on(self.dir.path(), At::Host(&self.them), client);
        is_installed(client).then(|| Transmission::start(&setup()))
    }

    fn copy(&self) -> PathBuf {
        self.dir.path().join("copy/data")
    }

    fn assert_equal(&self) {
        let copy = std::fs::read(self.copy()).expect("a copy");
        assert!(copy == noise(29, SIZE), "the copy differs");
    }
}

/// Whether it is installed; says so when it is not.
fn is_installed(client: Client) -> bool {
    let installed = client.version().is_some();
    if !installed {
        println!("SKIPPED: uTP with {}: it is not installed", client.name());
    }
    installed
}

/// Of each peer that bytes moved to or from: what carried them.
fn carriers(proc: &Proc) -> Vec<String> {
    let Some(last) = proc.events("peers").pop() else {
        return Vec::new();
    };
    let moved = |p: &&serde_json::Value| {
        p["downloaded"].as_u64().unwrap_or(0) + p["uploaded"].as_u64().unwrap_or(0) > 0
    };
    let rows = last["peers"].as_array().expect("rows").iter();
    rows.filter(moved)
        .map(|p| p["transport"].as_str().expect("a word").to_owned())
        .collect()
}

/// The same of a seed, which tells the last numbers when it ends.
fn carriers_at_the_end(mut seed: Proc) -> Vec<String> {
    seed.terminate();
    assert!(seed.wait(DEADLINE).success(), "{}", seed.log());
    carriers(&seed)
}

fn done(mut get: Proc) {
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}", get.log());
}

/// Two of ours, as both sides want it.
fn between_ours(seed: &str, get: &str, carrier: &str) {
    let Some(net) = Net::new("uTP between ChunkCast and ChunkCast") else {
        return;
    };
    let _seed = net.ours(&net.them, "seed", &["--transport", seed]);
    let peer = format!("{}:7001", net.them.ip);
    let mut get = net.ours(&net.us, "get", &["--transport", get, "--peer", &peer]);
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    assert_eq!(carriers(&get), [carrier]);
    net.assert_equal();
}

#[test]
fn ours_over_utp_alone() {
    between_ours("utp", "utp", "utp");
}

#[test]
fn a_peer_that_takes_no_tcp_is_reached_over_utp() {
    between_ours("utp", "both", "utp");
}

#[test]
fn tcp_is_used_where_both_can() {
    between_ours("both", "both", "tcp");
}

/// A path that swallows datagrams of Ethernet's full size without a word, as tunnels do.
#[test]
fn a_path_with_a_smaller_mtu_is_used() {
    let Some(net) = Net::new("uTP over a path with a small MTU") else {
        return;
    };
    let narrow = |host: &Host| {
        let done = host
            .command("ip")
            .args(["link", "set", "eth0", "mtu", "1420"])
            .status();
        assert!(done.is_ok_and(|s| s.success()));
    };
    narrow(&net.us); // the seed on the other host knows nothing of it
    let _seed = net.ours(&net.them, "seed", &["--transport", "utp"]);
    let peer = format!("{}:7001", net.them.ip);
    done(net.ours(&net.us, "get", &["--transport", "utp", "--peer", &peer]));
    net.assert_equal();
}

/// Rate limits hold, and the round-trip time is measured, as over TCP.
#[test]
fn rate_limits_hold_over_utp() {
    let Some(net) = Net::new("rate limits over uTP") else {
        return;
    };
    let _seed = net.ours(&net.them, "seed", &["--transport", "utp"]);
    let peer = format!("{}:7001", net.them.ip);
    let flags = [
        "--transport",
        "utp",
        "--max-download",
        "1MB/s",
        "--peer",
        &peer,
    ];
    let mut get = net.ours(&net.us, "get", &flags);
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    let rates: Vec<u64> = (get.events("progress").iter())
        .filter_map(|p| p["rate_down"].as_u64())
        .collect();
    assert!(rates.iter().all(|r| *r < 1_500_000), "{rates:?}");
    assert!(rates.iter().any(|r| *r > 300_000), "{rates:?}");
    let rows = get.events("peers").pop().expect("peers");
    assert!(
        rows["peers"][0]["rtt_ms"]
            .as_f64()
            .is_some_and(|ms| ms < 1000.0),
        "{rows}"
    );
    net.assert_equal();
}

/// Where the UDP port is taken there is TCP and one warning, or with uTP alone no session.
#[test]
fn a_taken_udp_port_leaves_tcp() {
    let dir = scratch();
    let (data, torrent) = (dir.path().join("data"), dir.path().join("t.torrent"));
    write(&data, &noise(29, 100_000));
    create(&data, &torrent, &[]);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("bound").to_string();
    let start = |more: &[&str]| {
        let (data, torrent) = (data.display().to_string(), torrent.display().to_string());
        let mut command = std::process::Command::new(chunkcast());
        command.args(["seed", &torrent, "--data", &data, "--listen", &listen]);
        command.args(["--index-listen", "127.0.0.1:0", "--no-dht", "--json"]);
        command.args(ALONE).args(more);
        Proc::spawn("seed", dir.path(), &mut command)
    };
    let mut seed = start(&["-v"]);
    wait_for("it seeds", DEADLINE, || seed.events("complete").pop());
    assert_eq!(seed.log().matches("no uTP").count(), 1, "{}", seed.log());
    seed.terminate();
    assert!(seed.wait(DEADLINE).success());
    let mut alone = start(&["--transport", "utp"]);
    assert_eq!(alone.wait(DEADLINE).code(), Some(4), "{}", alone.log());
    assert!(alone.log().contains("--listen"), "{}", alone.log());
}

#[test]
fn we_dial_libtorrent_over_utp_and_download() {
    if !is_installed(Client::Libtorrent) {
        return;
    }
    let Some(net) = Net::new("uTP from libtorrent") else {
        return;
    };
    let seed = net.libtorrent("seed", None);
    wait_for("libtorrent seeds", DEADLINE, || {
        seed.log().contains("seeding").then_some(())
    });
    let peer = format!("{}:6881", net.them.ip);
    let mut get = net.ours(&net.us, "get", &["--transport", "utp", "--peer", &peer]);
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    assert_eq!(carriers(&get), ["utp"]);
    net.assert_equal();
}

#[test]
fn libtorrent_dials_us_over_utp_and_downloads() {
    if !is_installed(Client::Libtorrent) {
        return;
    }
    let Some(net) = Net::new("uTP to libtorrent") else {
        return;
    };
    let seed = net.ours(&net.us, "seed", &[]);
    done(net.libtorrent("get", Some((&net.us.ip, "7001"))));
    net.assert_equal();
    assert_eq!(carriers_at_the_end(seed), ["utp"]);
}

#[test]
fn libtorrent_dials_us_over_utp_and_uploads() {
    if !is_installed(Client::Libtorrent) {
        return;
    }
    let Some(net) = Net::new("uTP from libtorrent that dials") else {
        return;
    };
    let mut get = net.ours(&net.us, "get", &[]);
    let _seed = net.libtorrent("seed", Some((&net.us.ip, "7002")));
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    assert_eq!(carriers(&get), ["utp"]);
    net.assert_equal();
}

#[test]
fn we_dial_libtorrent_over_utp_and_upload() {
    if !is_installed(Client::Libtorrent) {
        return;
    }
    let Some(net) = Net::new("uTP to libtorrent that is dialled") else {
        return;
    };
    let mut get = net.libtorrent("get", None);
    wait_for("libtorrent is there", DEADLINE, || {
        get.log().contains("downloading").then_some(())
    });
    let peer = format!("{}:6881", net.them.ip);
    let seed = net.ours(&net.us, "seed", &["--transport", "utp", "--peer", &peer]);
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    assert_eq!(carriers_at_the_end(seed), ["utp"]);
    net.assert_equal();
}

/// Transmission with its default settings, in both directions, dialled by us over uTP alone.
fn transmission(downloads: bool) {
    let Some(net) = Net::new("uTP with Transmission") else {
        return;
    };
    let Some(client) = net.transmission() else {
        return;
    };
    let directory = if downloads { "copy" } else { "source" };
    client.add(&net.path("t.torrent"), &net.dir.path().join(directory));
    let peer = format!("{}:51413", net.them.ip);
    let flags = ["--transport", "utp", "--peer", &peer];
    if downloads {
        let seed = net.ours(&net.us, "seed", &flags);
        wait_for("Transmission is done", DEADLINE, || {
            client.percent().filter(|p| *p >= 100.0)
        });
        assert_eq!(carriers_at_the_end(seed), ["utp"]);
        net.assert_equal();
    } else {
        wait_for("Transmission has checked", DEADLINE, || {
            client.percent().filter(|p| *p >= 100.0)
        });
        let mut get = net.ours(&net.us, "get", &flags);
        assert!(get.wait(DEADLINE).success(), "{}", get.log());
        assert_eq!(carriers(&get), ["utp"]);
        net.assert_equal();
    }
}

/// Transmission with its default settings dials us, uTP first and encrypted, when it hears of us from a tracker.
#[test]
fn transmission_dials_us_over_utp_and_downloads() {
    let Some(net) = Net::new("uTP with Transmission that dials") else {
        return;
    };
    let tracker = net.lan.host("tracker");
    let Some(scene) = Scene::new(At::Host(&tracker), Made::ByUs) else {
        return;
    };
    let seed = scene.we_seed(At::Host(&net.us));
    let Some(client) = net.transmission() else {
        return;
    };
    client.add(&scene.torrent(), &scene.copy());
    wait_for("Transmission is done", DEADLINE, || {
        client.percent().filter(|p| *p >= 100.0)
    });
    assert_eq!(carriers_at_the_end(seed), ["utp"]);
}

#[test]
fn transmission_downloads_over_utp() {
    transmission(true);
}

#[test]
fn transmission_uploads_over_utp() {
    transmission(false);
}
