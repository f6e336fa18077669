//! A daemon that is killed at any moment loses no torrent whose addition was answered and no piece that it reported, brings back
//! none that it said was removed, and takes no changed data for verified.
//!
//! `CHUNKCAST_KILLS` says how often it is killed (8), `CHUNKCAST_SEED` what the dice begin with; a failure prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::daemon::{
    Change, Daemon, DaemonConfig, InfoHash, NewSource, NewTorrent, start,
};
use chunkcast_bittorrent::limits::{Rate, Rates};
use chunkcast_compat_tests::{Scratch, scratch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::*;

/// Where the child's state and data are; without it there is no child.
const CHILD: &str = "CHUNKCAST_CRASH_CHILD";
/// Torrents that come and go.
const TORRENTS: u64 = 10;
/// So fast that a download takes about as long as a child lives.
const RATE: u64 = 1 << 20;

/// What is asked of the child and what it says, a line each; its lines begin with `@`, among those of the test harness.
///
/// | asked | answered |
/// | --- | --- |
/// | `list` | `@list HASH,…` |
/// | `add FILE` | `@added HASH` |
/// | `remove HASH DATA` | `@removed HASH` |
/// | `move HASH DIR` | |
/// | `peer HASH ADDR` | |
/// | | `@ready`, `@held HASH STATE DIR BITS` when that has changed |
#[test]
#[ignore = "run by a_daemon_that_is_killed_keeps_what_it_has_said"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(serve(Path::new(&dir)));
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").expect("somebody listens");
    out.flush().expect("somebody listens");
}

async fn serve(dir: &Path) {
    let mut settings = settings(dir);
    settings.rates = Rates {
        down: Some(Rate::new(RATE)),
        up: None,
    };
    let config = DaemonConfig {
        allowed: vec![dir.to_path_buf()],
        ..DaemonConfig::new(quiet(), settings, dir.join("state"))
    };
    let running = start(config).await.expect("a daemon");
    let daemon = running.daemon.clone();
    say("ready");
    tokio::spawn(report(daemon.clone()));
    let (tell, mut orders) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.for_each(|line| tell.blocking_send(line).expect("it is served"));
    });
    while let Some(line) = orders.recv().await {
        tokio::spawn(obey(daemon.clone(), line));
    }
    running.stop().await;
    say("ended");
}

async fn obey(daemon: Daemon, line: String) {
    let words: Vec<&str> = line.split(' ').collect();
    let hash = |n: usize| words[n].parse::<InfoHash>().expect("a hash");
    match words[0] {
        "list" => {
            let listing = daemon.list();
            let hashes: Vec<String> =
                (listing.torrents.iter().map(|t| t.info_hash.to_string())).collect();
            say(&format!("list {}", hashes.join(",")));
        }
        "add" => {
            let bytes = fs::read(words[1]).expect("a torrent");
            let new = NewTorrent::new(NewSource::Torrent(bytes.into()));
            if let Ok(added) = daemon.add(new).await {
                say(&format!("added {}", added.info_hash));
            }
        }
        "remove" => {
            if daemon.remove(hash(1), words[2] == "true").await.is_ok() {
                say(&format!("removed {}", words[1]));
            }
        }
        "move" => {
            let _ = daemon.relocate(hash(1), words[2].into(), true).await;
        }
        "peer" => {
            let change = Change {
                peers: vec![words[2].parse().expect("an address")],
                ..Change::default()
            };
            let _ = daemon.change(hash(1), change).await;
        }
        other => panic!("{other}"),
    }
}

/// Says what each torrent holds, when that has changed.
async fn report(daemon: Daemon) {
    let mut said = BTreeMap::new();
    loop {
        for torrent in daemon.list().torrents.clone() {
            let hash = torrent.info_hash;
            let Ok(detail) = daemon.detail(hash).await else {
                continue;
            };
            let bits: String = detail
                .held
                .as_bytes()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            // the state that goes with these pieces or an earlier one
            let (state, dir) = (torrent.state, torrent.options.dir.display());
            let line = format!("held {hash} {state:?} {dir} {bits}");
            if said.insert(hash, line.clone()) != Some(line.clone()) {
                say(&line);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A child that is killed when this is dropped.
struct Killable {
    child: Child,
    orders: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Killable {
    fn spawn(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["crash::child", "--exact", "--ignored", "--nocapture"])
            .env(CHILD, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once('@') {
                    let _ = tell.send(said.to_owned());
                }
            }
        });
        Self {
            orders: child.stdin.take(),
            child,
            lines,
        }
    }

    fn order(&mut self, line: &str) {
        let orders = self.orders.as_mut().expect("it lives");
        // one that was killed hears nothing
        let _ = writeln!(orders, "{line}");
    }

    fn kill(&mut self) {
        let _ = self.child.kill(); // SIGKILL
        let _ = self.child.wait();
    }
}

/// What is to be true of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was said to be added.
    Here,
    /// It was said to be removed, or never added.
    Gone,
    /// It was told to come or to go, and nobody knows.
    Open,
}

/// A torrent as the test knows it.
struct Known {
    content: Content,
    file: PathBuf,
    fate: Fate,
    /// Its removal was to take its data along.
    erase: bool,
    /// What was last reported.
    held: ChunkSet,
    /// All that was reported.
    promised: ChunkSet,
    state: String,
    dir: PathBuf,
    /// Pieces that were changed on disk.
    spoilt: BTreeSet<u32>,
}

struct Test {
    dir: Scratch,
    dice: ChaCha8Rng,
    torrents: BTreeMap<InfoHash, Known>,
    seed: std::net::SocketAddr,
}

impl Test {
    fn hashes(&self) -> Vec<InfoHash> {
        self.torrents.keys().copied().collect()
    }

    /// Takes in what the child said.
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let known = |hash: &str| -> InfoHash { hash.parse().expect("a hash") };
        match words[0] {
            "added" => self.torrents.get_mut(&known(words[1])).expect("known").fate = Fate::Here,
            "removed" => {
                let torrent = self.torrents.get_mut(&known(words[1])).expect("known");
                torrent.forget();
            }
            "held" => {
                let torrent = self.torrents.get_mut(&known(words[1])).expect("known");
                let bytes: Vec<u8> = (0..words[4].len() / 2)
                    .map(|n| u8::from_str_radix(&words[4][2 * n..2 * n + 2], 16).expect("hex"))
                    .collect();
                let pieces = torrent.content.meta.layout.piece_count();
                torrent.held = ChunkSet::from_bytes(0, pieces, &bytes).expect("a bitfield");
                torrent.state = words[2].to_owned();
                torrent.dir = words[3].into();
                torrent.promise();
            }
            _ => {}
        }
    }

    /// Hears the child until `done` says so.
    fn until(
        &mut self,
        child: &Killable,
        what: &str,
        mut done: impl FnMut(&mut Self, &str) -> bool,
    ) {
        let begun = Instant::now();
        if done(self, "") {
            return;
        }
        loop {
            let left = DEADLINE.saturating_sub(begun.elapsed());
            let line = child.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|e| {
                let states = self
                    .torrents
                    .values()
                    .map(|t| (&t.state, t.fate, t.held.count()));
                panic!(
                    "waited for {what} in vain ({e}): {:?}",
                    states.collect::<Vec<_>>()
                )
            });
            self.hear(&line);
            if done(self, &line) {
                return;
            }
        }
    }

    /// A child that is started looks as it must.
    fn check(&mut self, child: &mut Killable) {
        self.torrents.values_mut().for_each(|t| t.state.clear());
        self.until(child, "the start", |_, line| line == "ready");
        child.order("list");
        let mut listed = BTreeSet::new();
        self.until(child, "the list", |_, line| {
            let Some(list) = line.strip_prefix("list ") else {
                return false;
            };
            listed = list
                .split(',')
                .filter_map(|h| h.parse::<InfoHash>().ok())
                .collect();
            true
        });
        for (hash, torrent) in &mut self.torrents {
            let here = listed.contains(hash);
            match torrent.fate {
                Fate::Here => assert!(here, "{hash} was added and is lost"),
                Fate::Gone => assert!(!here, "{hash} was removed and is back"),
                Fate::Open if here => torrent.fate = Fate::Here,
                Fate::Open => torrent.forget(),
            }
        }
        // no peer is known yet: what is held now was found on disk
        let settled = |t: &Known| t.fate != Fate::Here || t.is_settled();
        self.until(child, "the checks", |this, _| {
            this.torrents.values().all(settled)
        });
        for (hash, torrent) in &mut self.torrents {
            // from now on they may be fetched again
            torrent.spoilt.clear();
            if torrent.fate != Fate::Here {
                continue;
            }
            let lost: Vec<u32> = (torrent.promised.iter())
                .filter(|p| !torrent.held.contains(*p))
                .collect();
            assert!(
                lost.is_empty(),
                "{hash}: pieces {lost:?} were reported and are lost"
            );
        }
    }

    /// A seed at an address of its own: the child remembers the peers that it was told of, and is to find none of them before
    /// its data was looked at.
    fn begin_seed(&mut self, runtime: &tokio::runtime::Runtime) -> Seed {
        let contents: Vec<&Content> = self.torrents.values().map(|t| &t.content).collect();
        let seed = runtime.block_on(Seed::of(&contents));
        self.seed = seed.addr();
        seed
    }

    /// Tells the child of the seed.
    fn feed(&mut self, child: &mut Killable) {
        for (hash, torrent) in &self.torrents {
            if torrent.fate != Fate::Gone {
                child.order(&format!("peer {hash} {}", self.seed));
            }
        }
    }

    /// Has the child do things.
    fn play(&mut self, child: &mut Killable) {
        for hash in self.hashes() {
            let torrent = self.torrents.get_mut(&hash).expect("known");
            match (torrent.fate, self.dice.random_range(0..10)) {
                (Fate::Gone, 0..6) => {
                    torrent.fate = Fate::Open;
                    child.order(&format!("add {}", torrent.file.display()));
                    child.order(&format!("peer {hash} {}", self.seed));
                }
                (Fate::Here, 0) => {
                    (torrent.fate, torrent.erase) = (Fate::Open, self.dice.random_bool(0.5));
                    child.order(&format!("remove {hash} {}", torrent.erase));
                }
                (Fate::Here, 1) => {
                    let dir = self
                        .dir
                        .path()
                        .join(format!("moved-{}", self.dice.random_range(0..3)));
                    child.order(&format!("move {hash} {}", dir.display()));
                }
                _ => {}
            }
        }
        self.feed(child);
    }

    /// Changes data behind the back of a dead child, as somebody does who does not hide it.
    fn meddle(&mut self) {
        let hashes = self.hashes();
        let hash = hashes[self.dice.random_range(0..hashes.len())];
        let torrent = self.torrents.get_mut(&hash).expect("known");
        let layout = &torrent.content.meta.layout;
        let held: Vec<u32> = torrent.promised.iter().collect();
        if held.is_empty() || torrent.fate != Fate::Here {
            return;
        }
        let piece = held[self.dice.random_range(0..held.len())];
        let at = layout.piece_offset(piece);
        let slice = layout.slices(at..at + 1).next().expect("a byte of a file");
        let path = torrent.dir.join(&layout.files[slice.file].path);
        // it may have been on its way to another place
        if let Ok(file) = fs::File::options().read(true).write(true).open(path) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, slice.offset).expect("there");
            file.write_all_at(&[!byte[0]], slice.offset)
                .expect("written");
            torrent.spoilt.insert(piece);
            torrent.promised.remove(piece);
        }
    }
}

impl Known {
    fn is_settled(&self) -> bool {
        ["Downloading", "Seeding"].contains(&self.state.as_str())
    }

    /// What was reported is promised, but for what was changed since it was last hashed.
    fn promise(&mut self) {
        let trusted = self.spoilt.iter().find(|p| self.held.contains(**p));
        if let (Some(piece), true) = (trusted, self.is_settled()) {
            panic!(
                "{}: piece {piece} is no longer what it was",
                self.content.hash
            );
        }
        self.promised.union_with(&self.held);
        for piece in &self.spoilt {
            self.promised.remove(*piece);
        }
    }

    fn forget(&mut self) {
        let pieces = self.content.meta.layout.piece_count();
        self.fate = Fate::Gone;
        (self.held, self.promised) = (ChunkSet::empty(pieces), ChunkSet::empty(pieces));
        self.spoilt.clear();
    }
}

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_daemon_that_is_killed_keeps_what_it_has_said() {
    let kills = number("CHUNKCAST_KILLS", 8);
    let seed = number("CHUNKCAST_SEED", rand::random());
    println!("CHUNKCAST_SEED={seed} CHUNKCAST_KILLS={kills}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = scratch();
    let mut torrents = BTreeMap::new();
    for n in 0..TORRENTS {
        let content = match n % 2 {
            0 => Content::file(200 + n, 600_000),
            _ => Content::folder(200 + n, &[("a", 300_000), ("b/c", 290_000), ("d", 10)]),
        };
        let file = dir.path().join(format!("{n}.torrent"));
        fs::write(&file, &content.torrent).expect("written");
        let pieces = content.meta.layout.piece_count();
        let known = Known {
            file,
            fate: Fate::Gone,
            erase: false,
            held: ChunkSet::empty(pieces),
            promised: ChunkSet::empty(pieces),
            state: String::new(),
            dir: PathBuf::new(),
            spoilt: BTreeSet::new(),
            content,
        };
        torrents.insert(known.content.hash, known);
    }
    let mut test = Test {
        dice: ChaCha8Rng::seed_from_u64(seed),
        seed: ([127, 0, 0, 1], 9).into(),
        torrents,
        dir,
    };
    let home = test.dir.path().to_path_buf();
    for kill in 0..kills {
        let mut child = Killable::spawn(&home);
        // now and then it is killed while it starts
        let early = test.dice.random_bool(0.15);
        let mut _seed = None;
        if !early {
            test.check(&mut child);
            _seed = Some(test.begin_seed(&runtime));
            test.play(&mut child);
        }
        let life = Duration::from_millis(test.dice.random_range(0..1500));
        let begun = Instant::now();
        while let Some(left) = life.checked_sub(begun.elapsed()) {
            if let Ok(line) = child.lines.recv_timeout(left) {
                test.hear(&line);
            }
        }
        child.kill();
        // what it said before it died, it said
        while let Ok(line) = child.lines.recv() {
            test.hear(&line);
        }
        let count = |fate| test.torrents.values().filter(|t| t.fate == fate).count();
        let held: u32 = test.torrents.values().map(|t| t.held.count()).sum();
        println!(
            "kill {kill} after {life:?}{}: {} here, {} open, {held} pieces",
            if early { " from its start" } else { "" },
            count(Fate::Here),
            count(Fate::Open)
        );
        if test.dice.random_bool(0.4) {
            test.meddle();
        }
    }

    let mut child = Killable::spawn(&home);
    test.check(&mut child);
    let _seed = test.begin_seed(&runtime);
    test.feed(&mut child);
    let complete = |t: &Known| t.fate != Fate::Here || (t.state == "Seeding" && t.held.is_full());
    let all = |this: &mut Test, _: &str| this.torrents.values().all(complete);
    test.until(&child, "the downloads", all);
    drop(child.orders.take());
    test.until(&child, "the end", |_, line| line == "ended");
    for torrent in test.torrents.values() {
        if torrent.fate == Fate::Here {
            torrent.content.assert_at(&torrent.dir);
        }
    }
}
