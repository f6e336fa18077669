//! Encryption beside the matrix of `tests/compat`: a client that requires it dials us; and clients that speak only plaintext,
//! which those that require encryption do not reach.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped is said on standard output"
)]

use std::process::Command;

use chunkcast_compat_tests::netns::Lan;
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, Client, Job, Setup, ours};
use chunkcast_compat_tests::{Proc, Scratch, create, free_port, noise, scratch, wait_for, write};

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

/// A file and its torrent.
struct Place {
    dir: Scratch,
}

impl Place {
    fn new() -> Self {
        let dir = scratch();
        let data = dir.path().join("source").join(NAME);
        write(&data, &noise(1, 3_000_000));
        let flags = ["--piece-length", "64KiB"];
        create(&data, &dir.path().join("t.torrent"), &flags);
        std::fs::create_dir_all(dir.path().join("copy")).expect("a folder");
        Self { dir }
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

    fn is_copied(&self) -> Option<()> {
        let copy = std::fs::read(self.dir.path().join("copy").join(NAME)).ok()?;
        (copy == noise(1, 3_000_000)).then_some(())
    }

    fn assert_copied(&self) {
        assert!(self.is_copied().is_some(), "the copy differs");
    }

    /// libtorrent that seeds, and speaks only plaintext.
    fn plaintext_seed(&self) -> Option<(Proc, u16)> {
        if Client::Libtorrent.version().is_none() {
            println!("SKIPPED: a client that speaks only plaintext: libtorrent is not installed");
            return None;
        }
        let port = free_port();
        let mut command = Command::new("python3");
        command
            .args(["-W", "ignore", "-c", LIBTORRENT, &self.path("t.torrent")])
            .arg(self.dir.path().join("source"))
            .args([&port.to_string(), "plaintext"]);
        let proc = Proc::spawn("libtorrent", self.dir.path(), &mut command);
        wait_for("libtorrent seeds", DEADLINE, || {
            proc.log().contains("seeding").then_some(())
        });
        Some((proc, port))
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
    if Client::Transmission.version().is_none() {
        println!("SKIPPED: Transmission is not installed");
        return;
    }
    // it dials us at once only without uTP
    let at = At::Host(&them);
    let mut setup = Setup::alone(scene.dir.path(), at, Client::Transmission);
    setup.require_encryption = true;
    let job = Job {
        source: scene.torrent(),
        data: scene.copy(),
        complete: false,
        files: None,
    };
    let _get = Client::Transmission.start(&setup, &job);
    wait_for("Transmission is done", DEADLINE, || {
        scene.is_equal(&job.data, None).then_some(())
    });
    assert_seed_encrypted(seed);
}

#[test]
fn who_speaks_only_plaintext_is_reached_unless_encryption_is_required() {
    for more in [
        &[][..],
        &["--encryption", "prefer"],
        &["--encryption", "off"],
    ] {
        let place = Place::new();
        if let Some((_seed, port)) = place.plaintext_seed() {
            place.we_get(port, more, false);
        }
    }
    let place = Place::new();
    let Some((_seed, port)) = place.plaintext_seed() else {
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
