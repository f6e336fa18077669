//! A daemon over a long time, and one that does nothing.
//!
//! `cargo run --release -p chunkcast-bittorrent --example churn -- [HOURS] [TORRENTS] [MINUTES]` (24, 100 and 10): torrents of
//! 4 MiB come, four at a time are fetched from a seed in a process of its own, they seed for half an hour, go with their data, and
//! come again. The daemon's clock runs so much faster that HOURS pass in MINUTES. Each hour a line says how much memory the
//! daemon takes, and what it has moved.
//!
//! `… --example churn -- idle [TORRENTS] [SECONDS]` (1000 and 60): so many complete torrents that nobody wants, how long they
//! take to begin after a restart, and what share of a processor they take then.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

#[path = "common/process.rs"]
mod process;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chunkcast_bittorrent::daemon::config::{Config, Places};
use chunkcast_bittorrent::daemon::{
    Change, Clock, Daemon, DaemonConfig, DaemonError, Limit, NewSource, NewTorrent, Running,
    Settings, State, start,
};
use chunkcast_bittorrent::metadata::{CreateOptions, Metainfo, create};
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexUse, Session, SessionConfig, TorrentSource,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::process::{cpu, resident};

/// Bytes of a torrent.
const SIZE: usize = 4 << 20;
/// Time that a torrent seeds.
const SEEDS: Duration = Duration::from_secs(30 * 60);
/// How often the clock is moved.
const STEP: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        let text = args.get(at);
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let dir = tempfile::tempdir().expect("a directory");
    match args.first().map(String::as_str) {
        Some("seed") => seed(Path::new(&args[1])).await,
        Some("idle") => idle(dir.path(), number(1, 1000), number(2, 60)).await,
        _ => churn(dir.path(), number(0, 24), number(1, 100), number(2, 10)).await,
    }
}

fn session() -> SessionConfig {
    SessionConfig {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        index: IndexUse::Client,
        trackers: false,
        dht: false,
        lsd: false,
        map_ports: None,
        ..SessionConfig::default()
    }
}

fn settings(dir: &Path) -> Settings {
    Settings {
        download_dir: dir.join("downloads"),
        active_downloads: Some(4),
        ..Config::defaults(&Places::of_system()).settings
    }
}

/// Makes the data and the .torrent file of a torrent.
fn make(dir: &Path, n: u64, size: usize) -> PathBuf {
    let data = dir.join(format!("{n}.bin"));
    let mut bytes = vec![0; size];
    ChaCha8Rng::seed_from_u64(n).fill_bytes(&mut bytes);
    std::fs::write(&data, bytes).expect("written");
    let options = CreateOptions {
        piece_length: Some(32 << 10),
        ..CreateOptions::default()
    };
    let created = create(&data, &options, |_, _| {}).expect("a torrent");
    let file = dir.join(format!("{n}.torrent"));
    std::fs::write(&file, created.bytes).expect("written");
    file
}

/// Seeds all that is in a directory, and says where.
async fn seed(dir: &Path) {
    let session = Session::start(session()).await.expect("a session");
    let mut torrents = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "torrent") {
            let meta = Metainfo::from_torrent(&std::fs::read(path).expect("there"));
            let source = TorrentSource::Metainfo(meta.expect("a torrent").into());
            let add = AddTorrent::new(source, DataPath::OutputDir(dir.to_path_buf()));
            torrents.push(session.add(add).await.expect("a new torrent"));
        }
    }
    println!("{}", session.listen_addr());
    std::future::pending().await
}

/// A process that is ended when this is dropped.
struct Seed(Child);

impl Drop for Seed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn churn(dir: &Path, hours: u64, count: u64, minutes: u64) {
    let source = dir.join("source");
    std::fs::create_dir_all(&source).expect("a directory");
    let files: Vec<PathBuf> = (0..count).map(|n| make(&source, n, SIZE)).collect();
    let mut seed = Command::new(std::env::current_exe().expect("a path"))
        .arg("seed")
        .arg(&source)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a seed");
    let mut line = String::new();
    let out = seed.stdout.take().expect("piped");
    let _seed = Seed(seed);
    BufReader::new(out).read_line(&mut line).expect("a line");
    let peer: SocketAddr = line.trim().parse().expect("an address");

    let clock = Clock::set_to(1_700_000_000);
    let config = DaemonConfig {
        clock: clock.clone(),
        ..DaemonConfig::new(session(), settings(dir), dir.join("state"))
    };
    let running = start(config).await.expect("a daemon");
    let daemon = running.daemon.clone();
    for file in &files {
        add(&daemon, file, peer).await;
    }
    let step = Duration::from_secs_f64(
        hours as f64 * 3600.0 / (minutes as f64 * 60.0) * STEP.as_secs_f64(),
    );
    println!(
        "{count} torrents of {} MiB, 4 at a time; {hours} hours in {minutes} minutes",
        SIZE >> 20
    );
    println!("hour  RSS/MiB  moved/MiB  gone  connections");
    let (mut passed, mut shown, mut gone) = (Duration::ZERO, 0, 0);
    while passed < Duration::from_secs(hours * 3600) {
        tokio::time::sleep(STEP).await;
        clock.advance(step);
        passed += step;
        for torrent in &daemon.list().torrents {
            if torrent.finished {
                let n = torrent.name.trim_end_matches(".bin");
                match daemon.remove(torrent.info_hash, true).await {
                    Ok(()) => gone += 1,
                    Err(DaemonError::Unknown(_) | DaemonError::NotNow(_)) => continue,
                    Err(e) => panic!("{e}"),
                }
                add(&daemon, &source.join(format!("{n}.torrent")), peer).await;
            }
        }
        let hour = passed.as_secs() / 3600;
        if hour > shown {
            shown = hour;
            let totals = &daemon.list().totals;
            println!(
                "{hour:>4}  {:>7.1}  {:>9}  {gone:>4}  {:>11}",
                resident(),
                totals.session.downloaded >> 20,
                totals.connections
            );
        }
    }
    running.stop().await;
}

async fn add(daemon: &Daemon, file: &Path, peer: SocketAddr) {
    let bytes = std::fs::read(file).expect("there");
    let new = NewTorrent {
        change: Change {
            peers: vec![peer],
            seed_time: Some(Limit::Own(SEEDS)),
            ..Change::default()
        },
        ..NewTorrent::new(NewSource::Torrent(bytes.into()))
    };
    loop {
        match daemon.add(new.clone()).await {
            Ok(_) => return,
            // what is left of it is still being deleted
            Err(DaemonError::NotNow(_)) => tokio::time::sleep(STEP).await,
            Err(e) => panic!("{e}"),
        }
    }
}

async fn idle(dir: &Path, count: u64, seconds: u64) {
    let data = dir.join("downloads");
    std::fs::create_dir_all(&data).expect("a directory");
    let files: Vec<PathBuf> = (0..count).map(|n| make(&data, n, 64 << 10)).collect();
    let config = || {
        let session = SessionConfig {
            index: IndexUse::Colocated(Some(SocketAddr::from(([127, 0, 0, 1], 0)))),
            ..session()
        };
        DaemonConfig::new(session, settings(dir), dir.join("state"))
    };
    let began = Instant::now();
    let running = start(config()).await.expect("a daemon");
    let bytes = files.iter().map(|file| std::fs::read(file).expect("there"));
    let adds = bytes.map(|bytes| {
        let daemon = running.daemon.clone();
        let new = NewTorrent::new(NewSource::Torrent(bytes.into()));
        async move { daemon.add(new).await }
    });
    for added in futures::future::join_all(adds).await {
        added.expect("added");
    }
    println!("{count} torrents added in {:.2?}", began.elapsed());
    seeding(&running, count).await;
    println!("all of them seed after {:.2?}", began.elapsed());
    // what has just been written vouches for nothing
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    running.stop().await;
    println!("stopped in {:.2?}", began.elapsed());

    let (began, before) = (Instant::now(), cpu());
    let running = start(config()).await.expect("a daemon");
    println!("listed again after {:.2?}", began.elapsed());
    seeding(&running, count).await;
    println!(
        "all of them seed again after {:.2?}, with {:.2} s of processor",
        began.elapsed(),
        cpu() - before
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (began, before) = (Instant::now(), cpu());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (cpu() - before) / began.elapsed().as_secs_f64();
    println!(
        "idle: {:.2} % of a processor, {:.1} MiB",
        100.0 * share,
        resident()
    );
    let began = Instant::now();
    running.stop().await;
    println!("stopped in {:.2?}", began.elapsed());
}

async fn seeding(running: &Running, count: u64) {
    loop {
        let listing = running.daemon.list();
        let seeds = listing
            .torrents
            .iter()
            .filter(|t| t.state == State::Seeding);
        if seeds.count() as u64 == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
