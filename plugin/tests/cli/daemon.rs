//! A daemon, and the commands that talk to it, as their user sees them.

#![allow(
    clippy::disallowed_types,
    reason = "the tests talk to the daemon's sockets"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use chunkcast_compat_tests::{Proc, Scratch, command, create, noise, scratch, wait_for, write};
use serde_json::Value;

use super::common::{good, refused};

const DEADLINE: Duration = Duration::from_secs(60);

/// Nobody but those who are named, and free ports.
const ALONE: [&str; 10] = [
    "--listen",
    "127.0.0.1:0",
    "--index-listen",
    "127.0.0.1:0",
    "--no-dht",
    "--no-lan",
    "--no-lsd",
    "--no-upnp",
    "--no-rendezvous",
    "--no-web-seeds",
];

/// A home directory, a configuration file and data of its own.
struct Scene {
    dir: Scratch,
}

impl Scene {
    fn new(config: &str) -> Self {
        let scene = Self { dir: scratch() };
        scene.configure(config);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, text: &str) {
        let state = self.path("state");
        let data = self.path("data");
        let paths = format!(
            "[paths]\nstate-dir = {state:?}\ndownload-dir = {data:?}\nallowed = [{:?}]\n",
            self.path("elsewhere")
        );
        write(
            &self.path("home/.config/chunkcast/config.toml"),
            format!("{text}\n{paths}").as_bytes(),
        );
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.path("home"));
        command.args(args);
        command
    }

    fn start(&self, name: &str, args: &[&str]) -> Daemon {
        self.start_with(name, args, |_| {})
    }

    fn start_with(&self, name: &str, args: &[&str], more: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = self.command(&["daemon", "--json"]);
        command.args(ALONE).args(args);
        more(&mut command);
        let proc = Proc::spawn(name, self.dir.path(), &mut command);
        let event = wait_for("a daemon that listens", DEADLINE, || {
            proc.events("listening").pop()
        });
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        Daemon {
            api: text("api"),
            index: text("index"),
            listening: event.clone(),
            proc,
        }
    }

    /// Runs a client of a daemon.
    fn client(&self, daemon: &Daemon, args: &[&str]) -> Output {
        let mut command = self.command(args);
        let out = command.args(["--api", &daemon.api]).output();
        out.expect("chunkcast runs")
    }

    fn said(&self, daemon: &Daemon, args: &[&str]) -> String {
        good(&self.client(daemon, args))
    }

    fn json(&self, daemon: &Daemon, args: &[&str]) -> Value {
        let text = self.said(daemon, &[args, &["--json"]].concat());
        serde_json::from_str(&text).expect(&text)
    }

    /// Waits until the only torrent is as wanted.
    fn wait(&self, daemon: &Daemon, what: &str, ready: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, DEADLINE, || {
            let mut all = self.json(daemon, &["ls"]);
            let torrent = all["torrents"][0].take();
            ready(&torrent).then_some(torrent)
        })
    }
}

struct Daemon {
    proc: Proc,
    /// As `--api` takes it.
    api: String,
    index: String,
    listening: Value,
}

impl Daemon {
    /// What it has written in the journal's place.
    fn end(mut self) -> String {
        self.proc.wait_for_handlers(DEADLINE);
        self.proc.terminate();
        let status = self.proc.wait(Duration::from_secs(12));
        let log = self.proc.log();
        assert!(status.success(), "{log}");
        log
    }
}

/// A folder of three files, its .torrent, and somebody who seeds it: that one, and its index node.
fn seed(scene: &Scene) -> (Proc, String, String) {
    let source = scene.path("three");
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        write(&source.join(name), &noise(seed, 200_000));
    }
    let torrent = scene.path("three.torrent");
    let hash = create(&source, &torrent, &["--piece-length", "16KiB"]);
    let mut command = scene.command(&["seed", "--json", "--no-state"]);
    command.args(ALONE).arg(&torrent).arg("--data").arg(&source);
    let proc = Proc::spawn("seed", scene.dir.path(), &mut command);
    let event = wait_for("a seed", DEADLINE, || {
        proc.events("complete").pop()?;
        proc.events("metadata").pop()
    });
    let index = event["index"].as_str().expect("an index node").to_owned();
    (proc, index, hash)
}

fn is_copy(scene: &Scene, dir: &str, name: &str) -> bool {
    let read = |path: PathBuf| fs::read(path).ok();
    let source = read(scene.path("three").join(name));
    source.is_some() && source == read(scene.path(dir).join("three").join(name))
}

#[test]
fn a_peer_that_is_named_is_enough() {
    let scene = Scene::new("");
    let (seed, _, _) = seed(&scene);
    let shown = seed.events("metadata").pop().expect("it was there");
    let peer = shown["listen"].as_str().expect("an address").to_owned();
    let daemon = scene.start("daemon", &["--api-listen", "127.0.0.1:0", "--no-index"]);
    let torrent = scene.path("three.torrent").display().to_string();
    scene.said(&daemon, &["add", &torrent, "--peer", &peer]);
    scene.wait(&daemon, "all of it", |t| t["state"] == "seeding");
    assert!(is_copy(&scene, "data", "b"));
    let no_peer = scene.client(&daemon, &["add", &torrent, "--peer", "localhost"]);
    assert_eq!(no_peer.status.code(), Some(2));
}

#[test]
fn a_torrent_is_added_watched_changed_moved_and_removed() {
    let scene = Scene::new("");
    let (_seed, index, hash) = seed(&scene);
    let daemon = scene.start(
        "daemon",
        &["--bootstrap", &index, "--api-listen", "127.0.0.1:0"],
    );
    let torrent = scene.path("three.torrent").display().to_string();

    let added = scene.said(
        &daemon,
        &[
            "add", &torrent, "--label", "test", "--select", "0,2", "--paused",
        ],
    );
    assert_eq!(added, format!("three: added, paused ({hash})\n"));
    let again = scene.said(&daemon, &["add", &torrent]);
    assert!(again.contains("is there already"), "{again}");
    let paused = scene.wait(&daemon, "a paused torrent", |t| t["state"] == "paused");
    assert_eq!(paused["labels"][0], "test");
    let files = scene.said(&daemon, &["select", "three"]);
    let skipped = files
        .lines()
        .find(|l| l.ends_with("three/b"))
        .expect(&files);
    assert!(skipped.contains("skip"), "{files}");

    // slow enough to be watched
    scene.said(&daemon, &["limit", "--download", "64KiB/s"]);
    scene.said(&daemon, &["start", &hash[..6], "--now"]);
    let peers = wait_for("a peer that sends", DEADLINE, || {
        let peers = scene.json(&daemon, &["peers", "three"]);
        (peers["peers"][0]["downloaded"].as_u64() > Some(0)).then_some(peers)
    });
    assert_eq!(peers["peers"][0]["source"], "directory", "{peers}");
    let shown = scene.said(&daemon, &["peers", "three"]);
    let row = shown.lines().nth(1).expect(&shown);
    assert!(row.contains("place 1"), "{shown}");
    let refusal = scene.client(&daemon, &["limit", &hash[..6], "--peers", "70000"]);
    let (code, line) = refused(&refusal);
    assert!(code != Some(0) && line.contains("three: "), "{line}");
    scene.said(&daemon, &["limit", "--download", "unlimited"]);
    scene.wait(&daemon, "two of three files", |t| t["state"] == "seeding");
    assert!(is_copy(&scene, "data", "a") && is_copy(&scene, "data", "c"));
    assert!(!is_copy(&scene, "data", "b"));
    let ls = scene.said(
        &daemon,
        &["ls", "thr", "--state", "seeding", "--label", "test"],
    );
    let row = ls.lines().nth(1).expect(&ls);
    assert!(row.contains(&hash[..8]) && row.contains("100%"), "{ls}");
    assert_eq!(
        scene
            .said(&daemon, &["ls", "--state", "paused"])
            .lines()
            .count(),
        1
    );

    // started anew it need not wait to be let in by the seed that it has just left
    scene.said(&daemon, &["pause", "three"]);
    scene.said(
        &daemon,
        &["select", "three", "--normal", "1", "--high", "0"],
    );
    scene.said(&daemon, &["start", "three"]);
    scene.wait(&daemon, "all files", |t| t["verified"] == 600_000);
    assert!(is_copy(&scene, "data", "b"));
    let info = scene.said(
        &daemon,
        &["info", "1", "--files", "--trackers", "--lookups"],
    );
    for words in [
        hash.as_str(),
        "3 files",
        "three/b",
        "high",
        "ANSWERED BY",
        "TRACKER",
    ] {
        assert!(info.contains(words), "{words}: {info}");
    }

    let limit = scene.said(
        &daemon,
        &[
            "limit", "three", "--upload", "1MiB/s", "--ratio", "2.5", "--idle", "1h",
        ],
    );
    assert!(
        limit.contains("1.00 MiB/s up") && limit.contains("ratio 2.5, idle 1h 00m"),
        "{limit}"
    );
    let limits = scene.json(
        &daemon,
        &["limit", "three", "--ratio", "session", "--idle", "never"],
    );
    assert_eq!(
        (&limits["seed_ratio"], &limits["seed_idle_seconds"]),
        (&"session".into(), &"unlimited".into())
    );
    assert_eq!(limits["upload_limit"], 1 << 20);

    scene.said(&daemon, &["verify", "--all"]);
    scene.wait(&daemon, "a checked torrent", |t| {
        t["state"] == "seeding" && t["checked"].is_null()
    });
    let outside = scene.client(&daemon, &["move", "three", "/etc"]);
    assert_eq!(refused(&outside).0, Some(2));
    fs::create_dir_all(scene.path("elsewhere")).expect("made");
    scene.said(
        &daemon,
        &[
            "move",
            "three",
            &scene.path("elsewhere").display().to_string(),
        ],
    );
    wait_for("moved data", DEADLINE, || {
        let moved = is_copy(&scene, "elsewhere", "a") && !scene.path("data/three/a").exists();
        moved.then_some(())
    });
    scene.wait(&daemon, "a torrent that goes on", |t| {
        t["moving"].is_null() && t["state"] == "seeding"
    });

    let nobody = scene.client(&daemon, &["pause", "four"]);
    let (code, line) = refused(&nobody);
    assert!(code == Some(2) && line.contains("chunkcast ls"), "{line}");
    scene.said(&daemon, &["pause", "--all"]);
    scene.wait(&daemon, "a paused torrent", |t| t["state"] == "paused");
    let removed = scene.said(&daemon, &["rm", "three", "--data"]);
    assert_eq!(removed, "three: removed, and its data\n");
    wait_for("removed data", DEADLINE, || {
        (!scene.path("elsewhere/three").exists()).then_some(())
    });
    assert_eq!(
        scene.json(&daemon, &["ls"])["torrents"],
        Value::Array(Vec::new())
    );
    daemon.end();
}

#[test]
fn what_cannot_be_added_is_said_with_its_code() {
    let scene = Scene::new("");
    let daemon = scene.start("daemon", &["--api-listen", "127.0.0.1:0"]);
    let torrent = scene.path("x.torrent");
    write(&torrent, b"no torrent");
    let torrent = torrent.display().to_string();
    for (source, code) in [
        (torrent.as_str(), 8),
        ("/nowhere/x.torrent", 8),
        ("magnet:?xt=urn:btih:zz", 8),
        ("http://127.0.0.1:9/x.torrent", 4),
    ] {
        let (got, line) = refused(&scene.client(&daemon, &["add", source]));
        assert_eq!(got, Some(code), "{line}");
    }
    let hash = "00112233445566778899aabbccddeeff00112233";
    let magnet = format!("magnet:?xt=urn:btih:{hash}&dn=a%20name");
    let outside = scene.client(&daemon, &["add", &magnet, "--dir", "/etc"]);
    assert_eq!(refused(&outside).0, Some(2));
    scene.said(&daemon, &["add", &magnet, "--select", "0"]);
    assert_eq!(
        scene.wait(&daemon, "a magnet", |t| t["name"] == "a name")["hash"],
        hash
    );
    let (code, line) = refused(&scene.client(&daemon, &["select", "name", "--only", "0"]));
    assert!(code == Some(1) && line.contains("metadata"), "{line}");
    daemon.end();
}

#[test]
fn a_daemon_tells_its_starter_goes_on_after_a_restart_and_is_alone_in_its_directory() {
    let scene = Scene::new("");
    let socket = scene.path("notify");
    let listener = UnixDatagram::bind(&socket).expect("a socket");
    listener.set_read_timeout(Some(DEADLINE)).expect("set");
    let heard = || {
        let mut heard = [0; 64];
        let length = listener.recv(&mut heard).expect("a word");
        String::from_utf8_lossy(&heard[..length]).into_owned()
    };
    let notified = |command: &mut Command| {
        command.env("NOTIFY_SOCKET", &socket);
    };
    let daemon = scene.start_with("first", &["--api-listen", "127.0.0.1:0"], notified);
    assert_eq!(heard(), "READY=1");
    let magnet = "magnet:?xt=urn:btih:00112233445566778899aabbccddeeff00112233&dn=kept";
    scene.said(&daemon, &["add", magnet, "--label", "kept"]);
    let second = scene
        .command(&["daemon", "--api-listen", "127.0.0.1:0"])
        .args(ALONE)
        .output();
    let (code, line) = refused(&second.expect("chunkcast runs"));
    assert!(code == Some(6) && line.contains("another daemon"), "{line}");
    let state = scene.path("state").display().to_string();
    let table = scene.command(&["table", "--state", &state]).output();
    let table = good(&table.expect("chunkcast runs"));
    assert!(table.contains(&daemon.index), "{table}");
    daemon.end();
    assert_eq!(heard(), "STOPPING=1");
    // the address is taken from the configuration by both sides
    let port = chunkcast_compat_tests::free_port();
    scene.configure(&format!("[api]\nlisten = \"127.0.0.1:{port}\""));
    let daemon = scene.start("again", &[]);
    let listed = scene.command(&["ls"]).output();
    let listed = good(&listed.expect("chunkcast runs"));
    assert!(listed.contains("kept"), "{listed}");
    daemon.end();
}

#[test]
fn a_daemon_that_is_asked_twice_ends_at_once() {
    let scene = Scene::new("");
    let mut daemon = scene.start("daemon", &["--api-listen", "127.0.0.1:0"]);
    // stopped it cannot take the first signal before the second is there
    daemon.proc.signal("STOP");
    daemon.proc.signal("TERM");
    daemon.proc.signal("INT");
    daemon.proc.signal("CONT");
    let code = daemon.proc.wait(DEADLINE).code();
    assert!(
        matches!(code, Some(0 | 7)),
        "{code:?}: {}",
        daemon.proc.log()
    );
}

#[test]
fn a_daemon_whose_only_index_node_has_no_address_yet_waits_for_it() {
    let scene = Scene::new("");
    let name = "no.such.host.invalid:4240";
    let args = [
        "--no-index",
        "--bootstrap",
        name,
        "--tracker",
        "127.0.0.1:0",
        "--api-listen",
        "127.0.0.1:0",
    ];
    let daemon = scene.start("daemon", &args);
    let trackers = daemon.listening["tracker"].as_array().map_or(0, Vec::len);
    assert!(trackers > 0, "{}", daemon.listening);
    let log = daemon.end();
    assert!(
        log.contains(name) && log.contains("it is tried again"),
        "{log}"
    );
}

#[test]
fn a_directory_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new("");
    let dir = std::ffi::OsStr::from_bytes(b"/tmp/a\xff");
    for flag in ["--data", "--state", "--watch"] {
        let mut command = scene.command(&["daemon", "--until-stdin-closes"]);
        let out = command.args(ALONE).arg(flag).arg(dir).output();
        let (code, line) = refused(&out.expect("chunkcast runs"));
        assert_eq!(code, Some(2), "{line}");
        assert!(line.contains(flag) && line.contains("UTF-8"), "{line}");
    }
}

#[test]
fn a_reload_takes_what_can_change_and_names_what_cannot() {
    let scene = Scene::new("[rates]\nupload = \"1MiB/s\"");
    let daemon = scene.start("daemon", &["--api-listen", "127.0.0.1:0"]);
    let limits = |words: &str| {
        wait_for(words, DEADLINE, || {
            let limits = scene.said(&daemon, &["limit"]);
            limits.contains(words).then_some(())
        });
    };
    let reloaded = |times: usize| {
        daemon.proc.signal("HUP");
        wait_for("a reload", DEADLINE, || {
            let events = daemon.proc.events("reloaded");
            (events.len() == times).then(|| events[times - 1].clone())
        })
    };
    limits("unlimited down, 1.00 MiB/s up");
    scene.said(
        &daemon,
        &["limit", "--download", "3MiB/s", "--ratio", "1.5"],
    );
    limits("3.00 MiB/s down, 1.00 MiB/s up");
    let shown = scene.command(&["config", "show"]).output();
    let shown = good(&shown.expect("chunkcast runs"));
    let line = shown
        .lines()
        .find(|l| l.starts_with("download = \"3MiB/s\""));
    assert!(
        line.is_some_and(|l| l.ends_with("changed at runtime")),
        "{shown}"
    );

    scene.configure("[rates]\nuplaod = \"1MiB/s\"");
    let event = reloaded(1);
    assert!(
        event["mistakes"][0]
            .as_str()
            .is_some_and(|m| m.contains("uplaod")),
        "{event}"
    );
    limits("3.00 MiB/s down, 1.00 MiB/s up");

    scene.configure("[rates]\nupload = \"2MiB/s\"\n[network]\npex = false");
    let event = reloaded(2);
    assert_eq!(event["after_restart"], serde_json::json!(["network.pex"]));
    let forgotten = event["forgotten"].as_array().map_or(0, Vec::len);
    assert_eq!(forgotten, 2, "{event}");
    limits("unlimited down, 2.00 MiB/s up");
    limits("to ratio unlimited");
    let log = daemon.end();
    assert!(log.contains("only after a restart: network.pex"), "{log}");
}

#[test]
fn who_has_not_the_password_is_told_how_to_give_it() {
    let scene = Scene::new("");
    let file = scene.path("password");
    write(&file, b"hunter2\n");
    let named = file.display().to_string();
    let set = format!("api.password-file={named}");
    let daemon = scene.start("daemon", &["--api-listen", "127.0.0.1:0", "--set", &set]);
    let (code, line) = refused(&scene.client(&daemon, &["ls"]));
    assert!(
        code == Some(2) && line.contains("wants a password"),
        "{line}"
    );
    let mut wrong = scene.command(&["ls", "--api", &daemon.api]);
    let wrong = wrong.env("CHUNKCAST_API_PASSWORD", "hunter3").output();
    let (code, line) = refused(&wrong.expect("chunkcast runs"));
    assert!(
        code == Some(2) && line.contains("another password"),
        "{line}"
    );
    scene.said(&daemon, &["ls", "--password-file", &named]);
    let mut right = scene.command(&["ls", "--api", &daemon.api]);
    good(
        &right
            .env("CHUNKCAST_API_PASSWORD", "hunter2")
            .output()
            .expect("chunkcast runs"),
    );
    let log = daemon.end();
    assert!(
        log.contains("chmod 600") && !log.contains("hunter2"),
        "{log}"
    );
}

#[test]
fn a_unix_socket_serves_as_well() {
    let scene = Scene::new("");
    let api = format!("unix:{}", scene.path("api.sock").display());
    let daemon = scene.start("daemon", &["--api-listen", &api]);
    assert_eq!(daemon.api, api);
    assert_eq!(
        scene.json(&daemon, &["ls"])["torrents"],
        Value::Array(Vec::new())
    );
    scene.configure(&format!("[api]\nlisten = {api:?}"));
    good(&scene.command(&["limit"]).output().expect("chunkcast runs"));
    daemon.end();
    assert!(!scene.path("api.sock").exists());
}

/// Asks over HTTP; the answer's body.
fn fetch(authority: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(authority).expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    answer.split_off(head + 4)
}

#[test]
fn stock_clients_have_a_tracker_in_the_daemon_and_the_dashboard_its_metrics() {
    let scene = Scene::new("");
    let daemon = scene.start(
        "daemon",
        &["--api-listen", "127.0.0.1:0", "--tracker", "127.0.0.1:0"],
    );
    let tracker = daemon.listening["tracker"][0].as_str().expect("a tracker");
    let (hash, id) = ("%11".repeat(20), "a".repeat(20));
    let path = format!(
        "/announce?info_hash={hash}&peer_id={id}&port=6881&left=1&uploaded=0&downloaded=0&compact=1"
    );
    let answer = fetch(tracker, &path);
    assert!(
        answer.starts_with(b"d8:"),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    let api = daemon.api.strip_prefix("http://").expect("an address");
    let metrics = String::from_utf8(fetch(api, "/metrics")).expect("text");
    let dashboard = include_str!("../../../packaging/grafana-dashboard.json");
    let words = dashboard.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let used = words.filter(|w| w.starts_with("chunkcast_") || w.starts_with("process_"));
    let mut checked = 0;
    for name in used {
        let family = ["_bucket", "_sum", "_count"];
        let family = family.iter().find_map(|end| name.strip_suffix(end));
        let there = |name: &str| metrics.contains(&format!("# TYPE {name} "));
        assert!(
            there(name) || family.is_some_and(there),
            "{name} is not in /metrics"
        );
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
    daemon.end();
}

/// Words of a text that are addresses of somebody.
fn addresses(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | ':'));
    let is_address = |word: &&str| {
        let word = word.trim_end_matches([':', '.']);
        let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
        word.parse::<IpAddr>().is_ok() || host.parse::<std::net::Ipv4Addr>().is_ok()
    };
    words.filter(|w| w.len() > 2).filter(is_address).collect()
}

#[test]
fn a_log_at_info_names_neither_addresses_nor_infohashes() {
    let scene = Scene::new("");
    let (_seed, index, hash) = seed(&scene);
    let unnamed = "00112233445566778899aabbccddeeff00112233";
    for (level, format) in [("info", "json"), ("debug", "text")] {
        let port = chunkcast_compat_tests::free_port();
        let api = format!("127.0.0.1:{port}");
        let state = scene.path(&format!("state-{level}")).display().to_string();
        let data = scene.path(&format!("data-{level}")).display().to_string();
        let mut command = scene.command(&["daemon", "--quiet", "--state", &state, "--data", &data]);
        let more = ["--bootstrap", &index, "--api-listen", &api];
        let filter = format!("log.filter={level}");
        command
            .args(ALONE)
            .args(more)
            .args(["--set", &filter, "--log-format", format]);
        let proc = Proc::spawn(level, scene.dir.path(), &mut command);
        let daemon = Daemon {
            proc,
            api,
            index: String::new(),
            listening: Value::Null,
        };
        wait_for("a daemon that listens", DEADLINE, || {
            scene
                .client(&daemon, &["ls"])
                .status
                .success()
                .then_some(())
        });
        scene.said(&daemon, &["add", unnamed]);
        scene.said(
            &daemon,
            &["add", &scene.path("three.torrent").display().to_string()],
        );
        wait_for("a complete torrent", DEADLINE, || {
            let all = scene.json(&daemon, &["ls", "three"]);
            (all["torrents"][0]["state"] == "seeding").then_some(())
        });
        // the other one is hashed all the same
        let (code, line) = refused(&scene.client(&daemon, &["verify", "--all"]));
        assert!(code == Some(1) && line.contains(unnamed), "{line}");
        for command in ["pause", "start"] {
            scene.said(&daemon, &[command, "--all"]);
        }
        scene.said(&daemon, &["rm", "three", "--data"]);
        let log = daemon.end();
        let named = |hash: &str| log.to_lowercase().contains(hash);
        if level == "info" {
            for words in [
                "three: added",
                "three: complete",
                "a torrent without a name: added",
            ] {
                assert!(log.contains(words), "{words}: {log}");
            }
            assert_eq!(addresses(&log), Vec::<&str>::new(), "{log}");
            assert!(!named(&hash) && !named(unnamed), "{log}");
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).expect(line);
                assert!(
                    line["message"].is_string() && line["timestamp"].is_string(),
                    "{line}"
                );
            }
        } else {
            assert!(named(&hash) && named(unnamed), "{log}");
        }
    }
    assert_eq!(
        addresses("from 192.0.2.1:6881, ::1 at 2001:db8::1 in 12:30:01.5"),
        ["192.0.2.1:6881", "::1", "2001:db8::1"]
    );
}
