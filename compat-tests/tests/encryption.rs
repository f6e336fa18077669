//! Stock clients whose users require encryption, against `chunkcast` with its default settings and with
//! `--encryption require`; and clients that speak only plaintext, which those that require encryption do not reach.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Command;

use chunkcast_compat_tests::http_tracker::HttpTracker;
use chunkcast_compat_tests::netns::Lan;
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, Transmission, libtorrent_installed, ours, say_version};
use chunkcast_compat_tests::{
    Proc, Scratch, create, free_port, installed, noise, scratch, wait_for, write,
};

/// libtorrent on one torrent: TORRENT DIRECTORY PORT required|plaintext [PEER]; it seeds when it has everything.
const LIBTORRENT: &str = r#"
import sys, time
import libtorrent as lt
torrent, directory, port, policy, *peer = sys.argv[1:]
forced = policy == "required"
how = lt.enc_policy.pe_forced if forced else lt.enc_policy.pe_disabled
session = lt.session({
    "listen_interfaces": "127.0.0.1:" + port, "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
    "enable_natpmp": False, "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True, "in_enc_policy": int(how), "out_enc_policy": int(how),
    "allowed_enc_level": int(lt.enc_level.pe_rc4 if forced else lt.enc_level.pe_both), "prefer_rc4": True,
    "alert_mask": lt.alert.category_t.all_categories,
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = directory
handle = session.add_torrent(params)
if peer:
    handle.connect_peer(("127.0.0.1", int(peer[0])))
last = None
while True:
    status = handle.status()
    crypt = [int(p.flags & 0x100000 != 0) for p in handle.get_peer_info()]
    now = (str(status.state), round(status.progress, 2), "seeding" if status.is_seeding else "", "rc4", crypt)
    if now != last:
        print(*now, flush=True)
        last = now
    for alert in session.pop_alerts():
        print(alert.message(), flush=True)
    time.sleep(0.1)
"#;

const NAME: &str = "data.bin";

/// A file, its torrent, and a tracker that knows who it is told of.
struct Place {
    dir: Scratch,
    tracker: HttpTracker,
}

impl Place {
    fn new() -> Self {
        let (dir, tracker) = (scratch(), HttpTracker::start());
        let data = dir.path().join("source").join(NAME);
        write(&data, &noise(1, 3_000_000));
        let flags = ["--tracker", &tracker.url(), "--piece-length", "64KiB"];
        create(&data, &dir.path().join("t.torrent"), &flags);
        std::fs::create_dir_all(dir.path().join("copy")).expect("a folder");
        Self { dir, tracker }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `chunkcast get` from one peer, to its end; it was connected as expected.
    fn we_get(&self, peer: u16, more: &[&str], encrypted: bool) {
        let (torrent, copy) = (self.path("t.torrent"), self.path("copy"));
        let peer = format!("127.0.0.1:{peer}");
        let mut args = vec![
            "get",
            &torrent,
            "-o",
            &copy,
            "--peer",
            &peer,
            "--no-trackers",
        ];
        args.extend(more);
        let mut get = ours("get", self.dir.path(), &args);
        let status = get.wait(DEADLINE);
        assert!(status.success(), "{}", get.log());
        self.assert_copied();
        assert_encrypted(&get, encrypted);
    }

    /// `chunkcast seed`, and the port on which it takes peers.
    fn we_seed(&self, more: &[&str]) -> (Proc, u16) {
        let (torrent, data) = (self.path("t.torrent"), self.path("source/data.bin"));
        let mut args = vec!["seed", &torrent, "--data", &data, "--no-trackers"];
        args.extend(more);
        let seed = ours("seed", self.dir.path(), &args);
        let port = wait_for("our seed takes peers", DEADLINE, || {
            seed.events("complete").first()?;
            let metadata = seed.events("metadata");
            let listen = metadata.first()?["listen"].as_str()?.to_owned();
            listen.rsplit(':').next()?.parse().ok()
        });
        (seed, port)
    }

    fn is_copied(&self) -> Option<()> {
        let copy = std::fs::read(self.dir.path().join("copy").join(NAME)).ok()?;
        (copy == noise(1, 3_000_000)).then_some(())
    }

    fn assert_copied(&self) {
        assert!(self.is_copied().is_some(), "the copy differs");
    }

    fn folder(&self, seeds: bool) -> PathBuf {
        self.dir.path().join(if seeds { "source" } else { "copy" })
    }

    /// aria2 that requires RC4, seeding or downloading from who the tracker names.
    fn aria2(&self, seeds: bool) -> Option<(Proc, u16)> {
        if !installed("aria2c", "aria2 that requires encryption") {
            return None;
        }
        say_version("aria2c", &["--version"]);
        let port = free_port();
        let mut command = Command::new("aria2c");
        command
            .arg(format!("--dir={}", self.folder(seeds).display()))
            .arg(format!("--listen-port={port}"))
            .args([
                "--no-conf",
                "--summary-interval=0",
                "--enable-dht=false",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
                "--enable-peer-exchange=false",
                "--interface=127.0.0.1",
                "--bt-require-crypto=true",
                "--bt-min-crypto-level=arc4",
                "--console-log-level=info",
            ])
            .args(match seeds {
                true => ["--seed-ratio=0.0", "--check-integrity=true"],
                false => ["--seed-time=0", "--check-integrity=false"],
            })
            .arg(self.path("t.torrent"));
        let proc = Proc::spawn("aria2", self.dir.path(), &mut command);
        Some((proc, port))
    }

    /// libtorrent with this policy, seeding or downloading from `peer`.
    fn libtorrent(&self, seeds: bool, policy: &str, peer: Option<u16>) -> Option<(Proc, u16)> {
        if !libtorrent_installed() {
            return None;
        }
        let port = free_port();
        let mut command = Command::new("python3");
        command
            .args(["-W", "ignore", "-c", LIBTORRENT, &self.path("t.torrent")])
            .arg(self.folder(seeds))
            .args([&port.to_string(), policy])
            .args(peer.map(|p| p.to_string()));
        let proc = Proc::spawn("libtorrent", self.dir.path(), &mut command);
        if seeds {
            wait_for("libtorrent seeds", DEADLINE, || {
                proc.log().contains("seeding").then_some(())
            });
        }
        Some((proc, port))
    }

    /// Transmission that requires encryption.
    fn transmission(&self, seeds: bool) -> Option<(Transmission<'static>, u16)> {
        let client = Transmission::start(self.dir.path(), At::Loopback)?;
        client.remote(&["--encryption-required"]).expect("taken");
        client.add(&self.path("t.torrent"), &self.folder(seeds));
        if seeds {
            wait_for("Transmission seeds", DEADLINE, || {
                client.percent().filter(|p| *p >= 100.0)
            });
        }
        let info = client.remote(&["--session-info"]).expect("it answers");
        let port = info
            .lines()
            .find_map(|l| l.trim().strip_prefix("Listenport: "));
        Some((
            client,
            port.expect("a port").trim().parse().expect("a number"),
        ))
    }
}

/// Ends our seed, whose connections were as expected.
fn assert_seed_encrypted(mut seed: Proc) {
    seed.terminate();
    seed.wait(DEADLINE);
    assert_encrypted(&seed, true);
}

/// Our end of some connection says so, and none says otherwise.
fn assert_encrypted(proc: &Proc, encrypted: bool) {
    let rows: Vec<_> = proc.events("peers");
    let rows = rows.iter().filter_map(|e| e["peers"].as_array()).flatten();
    let said: Vec<_> = rows.filter_map(|p| p["encrypted"].as_bool()).collect();
    assert!(said.contains(&encrypted), "{said:?}\n{}", proc.log());
    assert!(!said.contains(&!encrypted), "{said:?}\n{}", proc.log());
}

const REQUIRE: [&str; 2] = ["--encryption", "require"];

fn both(test: impl Fn(&[&str])) {
    for more in [&[][..], &REQUIRE] {
        test(more);
    }
}

#[test]
fn transmission_that_requires_encryption_seeds_to_us() {
    both(|more| {
        let place = Place::new();
        if let Some((_seed, port)) = place.transmission(true) {
            place.we_get(port, more, true);
        }
    });
}

#[test]
fn transmission_that_requires_encryption_is_dialled_by_our_seed() {
    both(|more| {
        let place = Place::new();
        let Some((get, port)) = place.transmission(false) else {
            return;
        };
        let peer = format!("127.0.0.1:{port}");
        let (seed, _) = place.we_seed(&[&["--peer", &peer], more].concat());
        wait_for("Transmission is done", DEADLINE, || {
            get.percent().filter(|p| *p >= 100.0)
        });
        place.assert_copied();
        assert_seed_encrypted(seed);
    });
}

#[test]
fn transmission_that_requires_encryption_dials_us() {
    let Some(lan) = Lan::new("Transmission that requires encryption") else {
        return;
    };
    let [tracker, us, them] = ["tracker", "us", "them"].map(|name| lan.host(name));
    let Some(scene) = Scene::new(At::Host(&tracker), Made::ByUs) else {
        return;
    };
    let seed = scene.we_seed(At::Host(&us));
    let Some(get) = Transmission::start(scene.dir.path(), At::Host(&them)) else {
        return;
    };
    // it dials us at once only without uTP
    get.remote(&["--no-utp", "--encryption-required"])
        .expect("taken");
    get.add(&scene.torrent(), &scene.copy());
    wait_for("Transmission is done", DEADLINE, || {
        get.percent().filter(|p| *p >= 100.0)
    });
    scene.assert_equal(false);
    assert_seed_encrypted(seed);
}

#[test]
fn aria2_that_requires_encryption_seeds_to_us() {
    both(|more| {
        let place = Place::new();
        let Some((mut seed, port)) = place.aria2(true) else {
            return;
        };
        wait_for("aria2 announces", DEADLINE, || {
            let ended = seed.try_wait();
            assert!(ended.is_none(), "{}", seed.log());
            place.tracker.announces().first().map(|_| ())
        });
        place.we_get(port, more, true);
    });
}

#[test]
fn aria2_that_requires_encryption_downloads_from_us() {
    both(|more| {
        let place = Place::new();
        let (seed, port) = place.we_seed(more);
        place
            .tracker
            .tell_of(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let Some((mut get, _)) = place.aria2(false) else {
            return;
        };
        let status = get.wait(DEADLINE);
        assert!(status.success(), "{}", get.log());
        place.assert_copied();
        assert_seed_encrypted(seed);
    });
}

#[test]
fn libtorrent_that_requires_encryption_seeds_to_us() {
    both(|more| {
        let place = Place::new();
        if let Some((_seed, port)) = place.libtorrent(true, "required", None) {
            place.we_get(port, more, true);
        }
    });
}

#[test]
fn libtorrent_that_requires_encryption_downloads_from_us() {
    both(|more| {
        let place = Place::new();
        let (seed, port) = place.we_seed(more);
        let Some((get, _)) = place.libtorrent(false, "required", Some(port)) else {
            return;
        };
        wait_for("libtorrent is done", DEADLINE, || {
            get.log().contains("seeding").then_some(())
        });
        place.assert_copied();
        assert_seed_encrypted(seed);
    });
}

#[test]
fn who_speaks_only_plaintext_is_reached_unless_encryption_is_required() {
    for more in [
        &[][..],
        &["--encryption", "prefer"],
        &["--encryption", "off"],
    ] {
        let place = Place::new();
        if let Some((_seed, port)) = place.libtorrent(true, "plaintext", None) {
            place.we_get(port, more, false);
        }
    }
    let place = Place::new();
    let Some((_seed, port)) = place.libtorrent(true, "plaintext", None) else {
        return;
    };
    let (torrent, copy) = (place.path("t.torrent"), place.path("copy"));
    let peer = format!("127.0.0.1:{port}");
    let args = [
        "get",
        &torrent,
        "-o",
        &copy,
        "--peer",
        &peer,
        "--no-trackers",
        "--timeout",
        "5",
    ];
    let mut get = ours("get", place.dir.path(), &[&args[..], &REQUIRE].concat());
    assert_eq!(get.wait(DEADLINE).code(), Some(3), "{}", get.log());
    assert!(place.is_copied().is_none());
}
