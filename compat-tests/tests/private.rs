//! What leaves the machine for a private torrent (BEP 27), captured: its tracker and its peers, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::stock::{At, Tracker, announce_urls};
use chunkcast_compat_tests::{Proc, chunkcast, create, installed, noise, scratch, wait_for, write};

const PORT: u16 = 6969;

/// How a router is asked to map ports (UPnP): it is of the machine, names no torrent, and stays on the local network.
const ROUTER: &str = "udp 239.255.255.250 1900";

/// Whom our downloader sent packets to, as "PROTOCOL ADDRESS PORT", and those that a torrent needs: tracker and seed.
struct Heard {
    all: BTreeSet<String>,
    tracker: String,
    seed: String,
}

impl Heard {
    /// What went to others.
    fn elsewhere(&self) -> Vec<&str> {
        let of = |line: &&str| line.split(' ').nth(1).unwrap_or_default().to_owned();
        let all = self.all.iter().map(String::as_str);
        all.filter(|line| of(line) != self.tracker && of(line) != self.seed && *line != ROUTER)
            .collect()
    }
}

/// Downloads from a seed that the tracker names, with the program's default settings and all that it could ask at hand: a
/// DHT node, index nodes on the same network, clients that look for others there.
fn captured(private: bool) -> Option<Heard> {
    let skipped = "what leaves for a private torrent";
    if !installed("python3", skipped) {
        return None;
    }
    let lan = Lan::new(skipped)?;
    let [tracker, seed, get, other] = ["tracker", "seed", "get", "other"].map(|n| lan.host(n));
    let dir = scratch();
    let file = dir.path().join("file.bin");
    write(&file, &noise(1, 600_000));
    let torrent = dir.path().join("t.torrent");
    let url = &announce_urls(&tracker.ip, PORT)[0];
    let mut flags = vec!["--piece-length", "64KiB", "--tracker", url];
    flags.extend(private.then_some("--private"));
    let infohash = create(&file, &torrent, &flags);
    let tracks = Tracker::start(dir.path(), At::Host(&tracker), PORT, &[&infohash])?;

    let dht = format!("{}:6881", other.ip);
    let run = |name: &str, host: &Host, args: &[&str]| {
        let mut command = host.command(chunkcast());
        let home = dir.path().join(name);
        std::fs::create_dir_all(&home).expect("a folder");
        command.args(args).args(["--json", "--no-state"]);
        command.args(["--dht-bootstrap", &dht]).env("HOME", home);
        Proc::spawn(name, dir.path(), &mut command)
    };
    let torrent = torrent.display().to_string();
    let (data, copy) = (file.display().to_string(), dir.path().join("copy"));
    let copy = copy.display().to_string();
    let _other = run("other", &other, &["node"]);
    let _seed = run("seed", &seed, &["seed", &torrent, "--data", &data]);
    wait_for("the seed is announced", DEADLINE, || {
        tracks.peers(&infohash).filter(|p| p.0 == 1)
    });
    let mut capture = get.command("python3");
    let program = include_str!("../src/capture.py");
    let capture = Proc::spawn("capture", dir.path(), capture.args(["-c", program]));
    wait_for("packets are captured", DEADLINE, || {
        capture.log().contains("capturing").then_some(())
    });
    let getting = run("get", &get, &["get", &torrent, "-o", &copy, "--seed"]);
    wait_for("the download is complete", DEADLINE, || {
        getting.events("complete").pop()
    });
    let heard = || Heard {
        all: capture.log().lines().skip(1).map(str::to_owned).collect(),
        tracker: tracker.ip.clone(),
        seed: seed.ip.clone(),
    };
    if private {
        // as long as a public torrent needs to be told everywhere
        std::thread::park_timeout(Duration::from_secs(6));
    } else {
        wait_for("it is told elsewhere", DEADLINE, || {
            (heard().elsewhere().len() >= 3).then_some(())
        });
    }
    let mut getting = getting;
    getting.terminate();
    assert!(getting.wait(DEADLINE).success(), "{}", getting.log());
    Some(heard())
}

#[test]
fn packets_of_a_private_torrent_go_to_its_tracker_and_its_peers() {
    let Some(heard) = captured(true) else { return };
    assert_eq!(heard.elsewhere(), Vec::<&str>::new(), "{:?}", heard.all);
    let to = |line: String| heard.all.contains(&line);
    assert!(
        to(format!("tcp {} {PORT}", heard.tracker)),
        "{:?}",
        heard.all
    );
    let seed = format!("tcp {} ", heard.seed);
    assert!(
        heard.all.iter().any(|l| l.starts_with(&seed)),
        "{:?}",
        heard.all
    );
}

#[test]
fn packets_of_a_public_torrent_go_to_the_directory_and_the_dht_too() {
    // the same scene: there the silence means something
    let Some(heard) = captured(false) else { return };
    let elsewhere = heard.elsewhere();
    let multicast = |l: &&&str| l.starts_with("udp 239.") || l.starts_with("udp ff");
    assert!(elsewhere.iter().any(|l| multicast(&l)), "{elsewhere:?}");
    assert!(
        elsewhere.iter().any(|l| l.ends_with(" 6881")),
        "{elsewhere:?}"
    );
}
