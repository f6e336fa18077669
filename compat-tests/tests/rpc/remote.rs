//! `transmission-remote`, the same script of commands with both daemons: what it prints is compared line by line.

use std::process::Command;

use chunkcast_compat_tests::scene::FILES;
use serde_json::Value;

use crate::server::{Server, Source, Which, compare};

/// Lines with what differs from run to run: times, rates, ways. By their beginnings.
const VOLATILE: [&str; 17] = [
    "Date ",
    "Latest activity",
    "Downloading Time",
    "Seeding Time",
    "Duration",
    "Download Speed",
    "Upload Speed",
    "ETA",
    "Uploaded:",
    "Downloaded:",
    "Ratio:",
    "Corrupt DL",
    "Peers",
    "Availability",
    // trackers are not scraped here
    "Asking for peer counts",
    "Tracker had",
    "Got a list of",
];

/// Lines with what the two daemons say by right differently: who they are, what they were started with.
const OWN: [&str; 5] = [
    "Daemon version",
    "RPC version",
    "Configuration directory",
    "Listenport",
    "Maximum memory cache size",
];

/// What was done and what was printed.
type Log = Vec<(String, String)>;

struct Script<'a> {
    server: &'a Server,
    log: Log,
}

impl Script<'_> {
    /// Runs it and writes down what it prints.
    fn run(&mut self, args: &[&str]) -> String {
        let host = format!("127.0.0.1:{}", self.server.port);
        let out = Command::new("transmission-remote")
            .arg(&host)
            .args(args)
            .output();
        let out = out.expect("transmission-remote runs");
        let text = [out.stdout, out.stderr].concat();
        let text = String::from_utf8_lossy(&text).replace(&host, "HOST");
        let home = self.server.home.display().to_string();
        let done = args.join(" ").replace(&home, "DIR");
        self.log.push((done, shown(&text.replace(&home, "DIR"))));
        text
    }

    /// Runs what cannot be: that it is an error is written down, not why.
    fn fails(&mut self, args: &[&str]) {
        self.run(args);
        let (_, text) = self.log.last_mut().expect("it was run");
        assert!(
            text.starts_with("Error: "),
            "{:?} {args:?}: {text}",
            self.server.which
        );
        text.truncate("Error:".len());
    }

    fn must(&mut self, args: &[&str]) {
        let text = self.run(args);
        assert!(
            text.contains("success"),
            "{:?} {args:?}: {text}",
            self.server.which
        );
    }
}

/// What is compared of an output.
fn shown(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        let left_out = VOLATILE.iter().chain(&OWN);
        !left_out.into_iter().any(|start| line.starts_with(start))
    });
    let is_list = text.contains("\nSum:");
    let shorten = |line: &str| match is_list {
        true => without_rates(line),
        false => line.trim_end().to_owned(),
    };
    lines.map(shorten).collect::<Vec<_>>().join("\n")
}

/// A line of a list without rates and ratios, the only numbers with one digit behind the point.
fn without_rates(line: &str) -> String {
    let is_rate = |word: &&str| {
        let parts = word.split_once('.');
        parts.is_some_and(|(whole, part)| whole.parse::<u32>().is_ok() && part.len() == 1)
    };
    let words = line.split(' ').map(|w| if is_rate(&w) { "" } else { w });
    words
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn transmission_remote_prints_the_same() {
    let Some(source) = Source::new() else { return };
    let [stock, ours] = source.both(script);
    compare(
        stock.clone(),
        ours.into_iter().map(|(_, text)| text).collect(),
    );
    // it prints what is asked for, in words of its own: a changed output would leave nothing to compare
    let printed = |part: &str| stock.iter().any(|(_, text)| text.contains(part));
    for part in [
        "Percent Done: 100%",
        "deep/b.bin",
        "Tracker 0: http",
        "Upload speed limit",
        "Location: DIR/moved",
        "Labels: films, new",
    ] {
        assert!(printed(part), "{part}: {stock:#?}");
    }
}

fn script(source: &Source, server: Server) -> Log {
    let mut s = Script {
        server: &server,
        log: Log::new(),
    };
    let hash = &source.scene.infohash;
    let status = |wanted: &'static [i64]| {
        move |t: &Value| t["status"].as_i64().is_some_and(|s| wanted.contains(&s))
    };
    let all = ["--torrent", hash];
    let one = |args: &[&'static str]| [&all[..], args].concat();
    let looks = ["--info", "--info-files", "--info-trackers", "--info-pieces"];

    s.must(&["--start-paused"]);
    s.must(&["--add", &source.scene.torrent()]);
    server.wait("the torrent is at rest", hash, &["status"], status(&[0]));
    s.run(&["--list"]);
    for look in looks {
        s.run(&[&all[..], &[look]].concat());
    }
    // again: it is there already
    s.must(&["--add", &source.scene.torrent()]);

    // some files
    s.must(&one(&["--no-get", "all"]));
    s.must(&one(&[
        "--get",
        "0,3",
        "--priority-high",
        "0",
        "--priority-low",
        "1",
    ]));
    s.run(&one(&["--info-files"]));
    s.run(&one(&["--info"]));
    s.run(&one(&["--files"]));
    s.must(&one(&["--get", "all", "--priority-normal", "all"]));
    s.run(&one(&["--get", "9"]));

    // limits of the torrent
    s.must(&one(&[
        "--downlimit",
        "2000",
        "--uplimit",
        "50",
        "--no-honor-session",
        "--seedratio",
        "1.5",
    ]));
    s.must(&one(&[
        "--bandwidth-high",
        "--peers",
        "30",
        "--labels",
        "films,new",
    ]));
    s.run(&one(&["--info"]));
    s.must(&one(&[
        "--no-downlimit",
        "--no-uplimit",
        "--honor-session",
        "--seedratio-default",
    ]));
    s.must(&one(&["--bandwidth-normal"]));
    s.run(&one(&["--info"]));
    s.run(&one(&["--labels", "a,a"]));

    // limits of all
    s.must(&[
        "--downlimit",
        "3000",
        "--uplimit",
        "70",
        "--global-seedratio",
        "2.5",
        "--peers",
        "123",
    ]);
    s.must(&[
        "--alt-speed-downlimit",
        "11",
        "--alt-speed-uplimit",
        "12",
        "--alt-speed-time-begin",
        "0130",
    ]);
    s.must(&[
        "--alt-speed-time-end",
        "0600",
        "--alt-speed-days",
        "1-5",
        "--alt-speed-scheduler",
    ]);
    s.run(&["--session-info"]);
    s.must(&[
        "--no-alt-speed-scheduler",
        "--no-downlimit",
        "--no-uplimit",
        "--no-global-seedratio",
    ]);
    s.must(&["--alt-speed"]);
    s.run(&["--session-info"]);
    s.must(&["--no-alt-speed"]);

    // it downloads, is verified, stopped and started
    s.must(&one(&["--start"]));
    let seed = source.seed(&server);
    server.wait("it is complete", hash, &["status", "leftUntilDone"], |t| {
        t["leftUntilDone"] == 0 && t["status"] == 6
    });
    s.run(&one(&["--info-pieces"]));
    s.run(&one(&["--info-files"]));
    drop(seed);
    s.must(&one(&["--reannounce"]));
    s.must(&one(&["--stop"]));
    server.wait("it is stopped", hash, &["status"], status(&[0]));
    s.run(&["--list"]);
    s.run(&one(&["--info"]));
    s.must(&one(&["--verify"]));
    server.wait(
        "it is verified",
        hash,
        &["status", "recheckProgress"],
        |t| t["status"] == 0 && t["recheckProgress"] == 0,
    );
    s.run(&one(&["--info"]));
    // Transmission does not make empty files
    for (name, _) in FILES.iter().filter(|(_, len)| *len > 0) {
        assert!(server.home.join("dl/data").join(name).is_file(), "{name}");
    }

    // it moves
    s.run(&one(&["--move", "relative"]));
    let moved = server.dir("moved");
    s.must(&[&all[..], &["--move", &moved]].concat());
    server.wait("it has moved", hash, &["downloadDir", "status"], |t| {
        t["downloadDir"] == *moved && t["status"] == 0
    });
    s.run(&one(&["--info"]));
    assert!(server.home.join("moved/data/deep/b.bin").is_file());
    assert!(
        !server.home.join("dl/data/deep/b.bin").exists(),
        "moved, not copied"
    );

    // trackers
    s.must(&one(&["--tracker-add", "http://127.0.0.1:9/new/announce"]));
    s.run(&one(&["--info-trackers"]));
    s.must(&one(&["--tracker-remove", "1"]));
    s.fails(&one(&["--tracker-remove", "7"]));
    s.run(&one(&["--info-trackers"]));

    // what has been active
    s.run(&["--torrent", "active", "--list"]);
    s.run(&["--session-stats"]);

    // removed, first alone, then with its data
    s.must(&one(&["--remove"]));
    s.run(&["--list"]);
    assert!(
        server.home.join("moved/data/z.bin").is_file(),
        "the data stays"
    );
    let dir = server.dir("again");
    let magnet = source.scene.magnet(&source.tracker.url());
    s.must(&["--no-start-paused"]);
    s.must(&["--add", &magnet, "--download-dir", &dir]);
    let seed = source.seed(&server);
    server.wait(
        "the magnet is complete",
        hash,
        &["status", "leftUntilDone", "metadataPercentComplete"],
        |t| t["metadataPercentComplete"] == 1 && t["leftUntilDone"] == 0 && t["status"] == 6,
    );
    drop(seed);
    s.run(&one(&["--info-files"]));
    let url = format!("{}other.torrent", source.web.url());
    s.must(&["--start-paused", "--add", &url]);
    server.wait(
        "the other is at rest",
        &source.other,
        &["status"],
        status(&[0]),
    );
    s.run(&["--torrent", "all", "--info-files"]);
    s.must(&one(&["--remove-and-delete"]));
    server.wait("it has gone", hash, &["id"], Value::is_null);
    chunkcast_compat_tests::wait_for(
        "the data has gone",
        chunkcast_compat_tests::scene::DEADLINE,
        || (!server.home.join("again/data/a.bin").exists()).then_some(()),
    );
    s.run(&["--list"]);

    // what cannot be
    s.run(&["--add", "nonsense"]);
    s.fails(&["--add", "/does/not/exist.torrent"]);
    s.run(&["--torrent", "99", "--info"]);
    s.run(&["--torrent", "99", "--stop"]);
    let log = s.log;
    if server.which == Which::Ours {
        let host = format!("127.0.0.1:{}", server.port);
        let out = Command::new("transmission-remote")
            .args([&host, "--exit"])
            .output();
        assert!(out.is_ok_and(|o| o.status.success()));
        server.ends();
    }
    log
}
