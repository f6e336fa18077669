//! Stock clients that know no tracker but `chunkcast tracker` on their own host, and find each other through the directory
//! alone: DHT, local discovery and peer exchange are switched off in all of them.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped, and with which client, is said on standard output"
)]

use std::path::{Path, PathBuf};

use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::{DEADLINE, FILES};
use chunkcast_compat_tests::stock::{At, Client, Job, Running, Setup, Transmission, ours_at};
use chunkcast_compat_tests::{
    ALONE, Proc, Scratch, chunkcast, create, example, noise, scratch, wait_for, write,
};

/// Where a client's tracker is, on every host.
const ANNOUNCE: &str = "http://127.0.0.1:6969/announce";

/// A host with a tracker, and a directory for its client.
struct Place {
    host: Host,
    dir: PathBuf,
    tracker: Proc,
}

/// Hosts on a switch, each with a tracker of its own; the first one's index node is where the others join.
struct Net {
    places: Vec<Place>,
    dir: Scratch,
    infohash: String,
    _lan: Lan,
}

impl Net {
    fn new(hosts: usize, skipped: &str, more: &[&str]) -> Option<Self> {
        let lan = Lan::new(skipped)?;
        let dir = scratch();
        for (i, (name, len)) in FILES.iter().enumerate() {
            let path = dir.path().join("source/data").join(name);
            write(&path, &noise(i as u64, *len));
        }
        let (data, torrent) = (dir.path().join("source/data"), dir.path().join("t.torrent"));
        let mut flags = vec!["--tracker", ANNOUNCE, "--piece-length", "64KiB"];
        flags.extend(more);
        let infohash = create(&data, &torrent, &flags);
        let mut places: Vec<Place> = Vec::new();
        for n in 0..hosts {
            let host = lan.host("h");
            let own = dir.path().join(format!("host{n}"));
            std::fs::create_dir_all(&own).expect("a folder");
            let first = places.first().map_or(&host.ip, |p| &p.host.ip).clone();
            let tracker = tracker(&own, &host, &first);
            places.push(Place {
                host,
                dir: own,
                tracker,
            });
        }
        Some(Self {
            places,
            dir,
            infohash,
            _lan: lan,
        })
    }

    fn torrent(&self) -> String {
        self.dir.path().join("t.torrent").display().to_string()
    }

    /// A magnet link without a tracker.
    fn magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.infohash)
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    /// Who holds how much of the torrent, as the directory says on the host with this number.
    fn found(&self, at: usize) -> Vec<(String, u64)> {
        let place = &self.places[at];
        let node = format!("{}:4240", place.host.ip);
        let out = place
            .host
            .command(chunkcast())
            .args([
                "lookup",
                &self.infohash,
                "--bootstrap",
                &node,
                "--to-root",
                "--json",
            ])
            .output()
            .expect("chunkcast runs");
        let text = String::from_utf8_lossy(&out.stdout);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let peers = answer["peers"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<(String, u64)> = peers
            .iter()
            .map(|p| {
                let addr = p["addrs"][0].as_str().unwrap_or_default();
                let ip = addr.split(':').next().unwrap_or_default();
                (ip.to_owned(), p["chunks"].as_u64().unwrap_or_default())
            })
            .collect();
        found.sort();
        found
    }
}

/// `chunkcast tracker` on a host.
fn tracker(dir: &Path, host: &Host, first: &str) -> Proc {
    let (index, join) = (format!("{}:4240", host.ip), format!("{first}:4240"));
    let mut command = host.command(chunkcast());
    command.args([
        "tracker",
        "--listen",
        "127.0.0.1:6969",
        "--index-listen",
        &index,
    ]);
    if first != host.ip {
        command.args(["--bootstrap", &join]);
    }
    command.args(ALONE).args(["--no-dht", "--json"]);
    let tracker = Proc::spawn("tracker", dir, &mut command);
    wait_for("the tracker listens", DEADLINE, || {
        (!tracker.events("listening").is_empty()).then_some(())
    });
    tracker
}

fn is_equal(copy: &Path) -> bool {
    FILES.iter().enumerate().all(|(i, (name, len))| {
        let path = copy.join("data").join(name);
        // Transmission makes no empty files
        *len == 0 || std::fs::read(path).is_ok_and(|got| got == noise(i as u64, *len))
    })
}

/// Whether it is installed; says which version it is, or that what needs it is skipped.
fn is_installed(client: Client) -> bool {
    let version = client.version();
    match &version {
        Some(version) => println!("client: {} {version}", client.name()),
        None => println!("SKIPPED: {} is not installed", client.name()),
    }
    version.is_some()
}

/// A qBittorrent with trackers as its only source of peers.
fn qbittorrent(place: &Place, torrent: String, data: PathBuf, complete: bool) -> Running {
    let at = At::Host(&place.host);
    let setup = Setup::alone(&place.dir, at, Client::QBittorrent);
    let job = Job {
        source: torrent,
        data,
        complete,
        files: None,
    };
    Client::QBittorrent.start(&setup, &job)
}

/// A Transmission with trackers as its only source of peers.
fn transmission(place: &Place) -> Option<Transmission<'_>> {
    if !is_installed(Client::Transmission) {
        return None;
    }
    let at = At::Host(&place.host);
    let setup = Setup::alone(&place.dir, at, Client::Transmission);
    Some(Transmission::start(&setup))
}

#[test]
fn transmissions_on_three_hosts_find_each_other_through_the_directory() {
    let Some(net) = Net::new(3, "Transmission behind the tracker", &[]) else {
        return;
    };
    let Some(seed) = transmission(&net.places[0]) else {
        return;
    };
    seed.add(&net.torrent(), &net.source());
    wait_for("the seed is published", DEADLINE, || {
        let ip = net.places[0].host.ip.clone();
        net.found(1).iter().any(|(at, _)| *at == ip).then_some(())
    });
    let mut clients = Vec::new();
    for place in &net.places[1..] {
        let client = transmission(place).expect("installed");
        client.add(&net.torrent(), &place.dir.join("copy"));
        clients.push(client);
    }
    for place in &net.places[1..] {
        wait_for("a Transmission has everything", DEADLINE, || {
            is_equal(&place.dir.join("copy")).then_some(())
        });
    }
}

#[test]
fn qbittorrents_on_three_hosts_find_each_other_through_the_directory() {
    let Some(net) = Net::new(3, "qBittorrent behind the tracker", &[]) else {
        return;
    };
    if !is_installed(Client::QBittorrent) {
        return;
    }
    let first = &net.places[0];
    let _seed = qbittorrent(first, net.torrent(), net.source(), true);
    wait_for("the seed is published", DEADLINE, || {
        net.found(1)
            .iter()
            .any(|(at, _)| *at == first.host.ip)
            .then_some(())
    });
    let mut clients = Vec::new();
    for place in &net.places[1..] {
        let copy = place.dir.join("copy");
        clients.push(qbittorrent(place, net.torrent(), copy, false));
    }
    for place in &net.places[1..] {
        wait_for("a qBittorrent has everything", DEADLINE, || {
            is_equal(&place.dir.join("copy")).then_some(())
        });
    }
}

#[test]
fn a_transmission_that_is_stopped_is_gone_from_answers() {
    let Some(net) = Net::new(2, "Transmission behind the tracker", &[]) else {
        return;
    };
    let Some(seed) = transmission(&net.places[0]) else {
        return;
    };
    seed.add(&net.torrent(), &net.source());
    wait_for("the seed is published", DEADLINE, || {
        (!net.found(1).is_empty()).then_some(())
    });
    seed.remote(&["--torrent", "all", "--stop"])
        .expect("stopped");
    wait_for("the seed is withdrawn", DEADLINE, || {
        net.found(1).is_empty().then_some(())
    });
}

/// The first file has ten whole pieces: one client has these, the other all the rest.
const WHOLE: usize = 10;

/// The files of the torrent on two hosts, of which neither has everything.
fn split(net: &Net) -> [PathBuf; 2] {
    let parts = [0, 1].map(|i| net.places[i].dir.join("copy"));
    for (i, (name, len)) in FILES.iter().enumerate() {
        let bytes = noise(i as u64, *len);
        if i == 0 {
            write(&parts[0].join("data").join(name), &bytes);
            let mut end = bytes;
            end[..WHOLE << 16].fill(0);
            write(&parts[1].join("data").join(name), &end);
        } else {
            write(&parts[1].join("data").join(name), &bytes);
        }
    }
    parts
}

#[test]
fn two_partial_transmissions_are_found_for_the_pieces_that_they_hold() {
    let Some(net) = Net::new(2, "Transmission behind the tracker", &[]) else {
        return;
    };
    let parts = split(&net);
    let Some(first) = transmission(&net.places[0]) else {
        return;
    };
    first.add(&net.torrent(), &parts[0]);
    let ip = net.places[0].host.ip.clone();
    wait_for("the first one's pieces are published", DEADLINE, || {
        (net.found(1) == [(ip.clone(), WHOLE as u64)]).then_some(())
    });
    let second = transmission(&net.places[1]).expect("installed");
    second.add(&net.torrent(), &parts[1]);
    for part in &parts {
        wait_for("each has what it lacked", DEADLINE, || {
            is_equal(part).then_some(())
        });
    }
}

/// Has our own client fetch the torrent at the host with this number, through the directory alone.
fn get(net: &Net, at: usize) {
    let place = &net.places[at];
    let copy = place.dir.join("copy");
    let (torrent, out) = (net.torrent(), copy.display().to_string());
    let node = format!("{}:4240", net.places[0].host.ip);
    let sources = ["--no-trackers", "--no-dht", "--bootstrap", &node];
    let args = [&["get", &torrent, "-o", &out][..], &sources].concat();
    let mut get = ours_at("get", &place.dir, At::Host(&place.host), &args);
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}", get.log());
    assert!(is_equal(&copy));
}

#[test]
fn our_client_and_a_stock_one_meet_behind_the_directory() {
    let Some(net) = Net::new(2, "Transmission behind the tracker", &[]) else {
        return;
    };
    let Some(seed) = transmission(&net.places[0]) else {
        return;
    };
    seed.add(&net.torrent(), &net.source());
    wait_for("the seed is published", DEADLINE, || {
        (!net.found(1).is_empty()).then_some(())
    });
    get(&net, 1);
}

/// Each has what the others lack, and knows nothing but the directory.
#[test]
fn our_client_a_stock_one_and_a_librqbit_session_are_one_swarm() {
    let Some(net) = Net::new(3, "Transmission behind the tracker", &[]) else {
        return;
    };
    let [stock, session] = split(&net);
    let Some(client) = transmission(&net.places[0]) else {
        return;
    };
    client.add(&net.torrent(), &stock);
    let node = format!("{}:4240", net.places[0].host.ip);
    let place = &net.places[1];
    let mut command = place.host.command(example("rqbit"));
    // the torrent's own tracker is this one's too: without it, the directory is left
    command.args([&net.magnet(), &session.display().to_string(), &node]);
    let rqbit = Proc::spawn("rqbit", &place.dir, command.env("HOME", &place.dir));
    get(&net, 2);
    for (whose, copy) in [("Transmission's", &stock), ("the session's", &session)] {
        wait_for(&format!("{whose} is whole"), DEADLINE, || {
            is_equal(copy).then_some(())
        });
    }
    drop(rqbit);
}

#[test]
fn a_private_torrent_is_refused_by_name() {
    let Some(net) = Net::new(1, "Transmission behind the tracker", &["--private"]) else {
        return;
    };
    let Some(seed) = transmission(&net.places[0]) else {
        return;
    };
    seed.add(&net.torrent(), &net.source());
    let told = wait_for("the refusal reaches the user", DEADLINE, || {
        let info = seed.remote(&["--torrent", "all", "--info-trackers"])?;
        let line = info.lines().find(|l| l.contains("private"))?;
        Some(line.trim().to_owned())
    });
    println!("Transmission says: {told}");
    assert_eq!(net.found(0), []);
}

/// Torrents of the client in the measurement below, of which it has all but these; it fetches no more at a time.
const MANY: u64 = 1000;
const LACKED: u64 = 5;

/// A measurement, not a test: `cargo test -p chunkcast-compat-tests --test facade -- --ignored --nocapture thousand`.
#[test]
#[ignore = "a measurement of seven minutes"]
fn a_transmission_with_a_thousand_torrents() {
    let Some(net) = Net::new(1, "Transmission behind the tracker", &[]) else {
        return;
    };
    let place = &net.places[0];
    let Some(client) = transmission(place) else {
        return;
    };
    let data = place.dir.join("many");
    let memory = |when: &str| {
        let status = format!("/proc/{}/status", place.tracker.id());
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmRSS"));
        println!("{when}: {}", line.unwrap_or("no such process"));
    };
    memory("before");
    for n in 0..MANY {
        let file = data.join(format!("{n}.bin"));
        let torrent = data.join(format!("{n}.torrent"));
        write(&file, &noise(n, 100_000));
        create(&file, &torrent, &["--tracker", ANNOUNCE]);
        if n < LACKED {
            std::fs::remove_file(file).expect("removed");
        }
        client.add(&torrent.display().to_string(), &data);
    }
    // Transmission takes its time
    wait_for("all are announced", 4 * DEADLINE, || {
        let status = place.tracker.events("status");
        (status.last()?["torrents"].as_u64()? == MANY).then_some(())
    });
    memory("all announced");
    let from = place.tracker.events("status").len();
    wait_for("two minutes of announces", DEADLINE, || {
        (place.tracker.events("status").len() >= from + 4).then_some(())
    });
    memory("two minutes later");
    let status = place.tracker.events("status");
    for pair in status[from - 1..].windows(2) {
        let of = |what: &str| {
            let n = |status: &serde_json::Value| status[what].as_f64().unwrap_or_default();
            n(&pair[1]) - n(&pair[0])
        };
        let seconds = of("unix_time");
        println!(
            "{:.1} announces/s, {:.1} lookups/s; {} clients",
            of("announces") / seconds,
            of("lookups") / seconds,
            pair[1]["clients"]
        );
    }
}
