//! `chunkcast demo`: index nodes, one seed and N downloaders as separate processes on loopback, then the proof.
//!
//! Nobody is told of anybody: the processes get a .torrent file and the address of an index node, and find each other
//! through the directory. The processes end when their standard input ends, so nothing outlives the demo, however
//! the demo itself ends.

mod child;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::mpsc;

use self::child::{Child, Line};
use super::args::DemoArgs;
use super::exit::{Code, Failure};
use super::output::{human, print_line};
use crate::metadata::{CreateOptions, create};

/// Index nodes that run alone; every client runs one of its own besides.
const INDEX_NODES: usize = 3;

/// How long processes get to end by themselves.
const GRACE: Duration = Duration::from_secs(15);

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let nonce: u32 = rand::rng().next_u32();
        let path =
            std::env::temp_dir().join(format!("chunkcast-demo-{}-{nonce:08x}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What one client process said of itself.
#[derive(Default)]
struct Report {
    name: String,
    listen: Option<SocketAddr>,
    complete_after: Option<Duration>,
    verified: u64,
    peers: Vec<Value>,
    directory: Value,
}

fn disk(what: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Code::Disk,
        format!(
            "`{}`: {error}; point TMPDIR to a disk with room",
            what.display()
        ),
    )
}

/// Runs the demo.
///
/// # Errors
/// [`Failure`] when a process fails, the time is up, a copy differs, or it is interrupted.
pub(super) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let scratch = Scratch::new().map_err(|e| disk(&std::env::temp_dir(), &e))?;
    let interrupted = super::signal::interrupted();
    tokio::select! {
        done = demonstrate(args, &scratch.0) => done,
        () = interrupted => Err(Failure::new(Code::Interrupted, "interrupted; the demo's files are removed")),
        () = tokio::time::sleep(Duration::from_secs(args.timeout)) => Err(Failure::new(
            Code::Other,
            format!("not finished within {} s; give it more with --timeout, or less to do with --size", args.timeout),
        )),
    }
}

/// Nobody but the demo's own processes, and nothing kept of them.
const ALONE: [&str; 4] = ["--no-lan", "--no-rendezvous", "--no-dht", "--no-state"];

async fn demonstrate(args: &DemoArgs, dir: &Path) -> Result<(), Failure> {
    let source = dir.join("seed").join("demo.bin");
    let torrent = dir.join("demo.torrent");
    print_line(&format!(
        "demo: making a file of {} and its torrent",
        human(args.size)
    ));
    let (size, path, out) = (args.size, source.clone(), torrent.clone());
    tokio::task::spawn_blocking(move || make_files(&path, &out, size))
        .await
        .map_err(|e| Failure::new(Code::Other, e))??;

    let (lines, mut inbox) = mpsc::channel(1024);
    let mut nodes: Vec<Child> = Vec::new();
    let mut index: Vec<String> = Vec::new();
    for i in 0..INDEX_NODES {
        let mut argv = vec![
            "node".to_owned(),
            "--index-listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ];
        argv.extend(ALONE.map(str::to_owned));
        argv.extend(
            index
                .iter()
                .flat_map(|a| ["--bootstrap".to_owned(), a.clone()]),
        );
        nodes.push(Child::spawn(
            &format!("index node {i}"),
            i,
            &argv,
            lines.clone(),
        )?);
        index.push(listening(&mut inbox, i).await?);
    }
    print_line(&format!(
        "demo: {INDEX_NODES} index nodes at {}",
        index.join(", ")
    ));

    let client = |name: &str, slot: usize, head: Vec<String>| {
        let near = &index[slot % INDEX_NODES];
        let mut argv = head;
        for word in ALONE.into_iter().chain([
            "--listen",
            "127.0.0.1:0",
            "--index-listen",
            "127.0.0.1:0",
            "--bootstrap",
            near,
            "--no-trackers",
        ]) {
            argv.push(word.to_owned());
        }
        Child::spawn(name, INDEX_NODES + slot, &argv, lines.clone())
    };
    let text = |p: &Path| p.display().to_string();
    let begun = Instant::now();
    let mut children = vec![client(
        "seed",
        0,
        vec![
            "seed".into(),
            text(&torrent),
            "--data".into(),
            text(&source),
        ],
    )?];
    for i in 1..=usize::from(args.peers) {
        let out = dir.join(format!("peer-{i}"));
        children.push(client(
            &format!("peer {i}"),
            i,
            vec![
                "get".into(),
                text(&torrent),
                "-o".into(),
                text(&out),
                "--seed".into(),
            ],
        )?);
    }
    print_line(&format!(
        "demo: one seed and {} downloaders, each told of the torrent and of one index node, of no peer",
        args.peers
    ));
    let mut reports: Vec<Report> = children
        .iter()
        .map(|c| Report {
            name: c.name().to_owned(),
            ..Report::default()
        })
        .collect();
    watch(args, begun, &mut inbox, &mut reports).await?;
    let took = begun.elapsed();

    // the clients end first and tell their totals; the index nodes last
    for child in children.iter_mut().chain(&mut nodes) {
        child.close_stdin();
    }
    let last_words = async {
        for child in children.iter_mut().chain(&mut nodes) {
            child.ended().await?;
        }
        Ok::<(), Failure>(())
    };
    drop(lines);
    let collect = async {
        while let Some(line) = inbox.recv().await {
            note(&mut reports, begun, &line);
        }
    };
    let (ended, ()) = tokio::time::timeout(GRACE, async { tokio::join!(last_words, collect) })
        .await
        .map_err(|_| Failure::new(Code::Other, "a process did not end in time"))?;
    ended?;

    let copies: Vec<PathBuf> = (1..=args.peers)
        .map(|i| dir.join(format!("peer-{i}")).join("demo.bin"))
        .collect();
    let equal = {
        let (source, copies) = (source.clone(), copies.clone());
        tokio::task::spawn_blocking(move || {
            copies.iter().map(|c| same(&source, c)).collect::<Vec<_>>()
        })
        .await
        .map_err(|e| Failure::new(Code::Other, e))?
    };
    table::print(&reports, &equal, args.size, took);
    if equal.iter().all(|e| *e) {
        return Ok(());
    }
    Err(Failure::new(
        Code::Other,
        "a copy differs from the source: this is a bug, please report it",
    ))
}

/// Waits until every downloader has everything, showing how far they are.
async fn watch(
    args: &DemoArgs,
    begun: Instant,
    inbox: &mut mpsc::Receiver<Line>,
    reports: &mut [Report],
) -> Result<(), Failure> {
    let bar = ProgressBar::with_draw_target(
        Some(args.size * u64::from(args.peers)),
        ProgressDrawTarget::stderr(),
    );
    bar.set_style(
        ProgressStyle::with_template(
            "{elapsed} {percent:>3}% [{bar:40}] {bytes}/{total_bytes} {msg}",
        )
        .expect("the template is constant and valid")
        .progress_chars("=> "),
    );
    let mut said = 0;
    while reports.iter().skip(1).any(|r| r.complete_after.is_none()) {
        let Some(line) = inbox.recv().await else {
            return Err(Failure::new(
                Code::Other,
                "all processes ended before the download was complete",
            ));
        };
        if let Line::Ended { slot, status } = &line {
            let name = slot
                .checked_sub(INDEX_NODES)
                .and_then(|i| reports.get(i))
                .map(|r| r.name.clone());
            bar.finish_and_clear();
            return Err(Failure::new(
                Code::Other,
                format!(
                    "{} ended early: {status}",
                    name.unwrap_or_else(|| format!("index node {slot}"))
                ),
            ));
        }
        note(reports, begun, &line);
        let done = reports
            .iter()
            .skip(1)
            .filter(|r| r.complete_after.is_some())
            .count();
        bar.set_position(reports.iter().skip(1).map(|r| r.verified).sum());
        bar.set_message(format!("{done} of {} complete", args.peers));
        let tenth = done * 10 / usize::from(args.peers);
        if bar.is_hidden() && tenth > said {
            said = tenth;
            print_line(&format!(
                "demo: {:.1} s: {done} of {} complete",
                begun.elapsed().as_secs_f64(),
                args.peers
            ));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Takes down what a client said.
fn note(reports: &mut [Report], begun: Instant, line: &Line) {
    let Line::Event { slot, event } = line else {
        return;
    };
    let Some(report) = slot
        .checked_sub(INDEX_NODES)
        .and_then(|i| reports.get_mut(i))
    else {
        return;
    };
    match event["event"].as_str() {
        Some("metadata") => report.listen = event["listen"].as_str().and_then(|s| s.parse().ok()),
        Some("progress") => {
            report.verified = event["verified_bytes"].as_u64().unwrap_or(report.verified)
        }
        Some("complete") => {
            report.verified = event["total_bytes"].as_u64().unwrap_or(report.verified);
            report.complete_after.get_or_insert_with(|| begun.elapsed());
        }
        Some("peers") => {
            report.peers = event["peers"].as_array().cloned().unwrap_or_default();
            report.directory = event["directory"].clone();
        }
        _ => {}
    }
}

/// Waits for an index node to say where it listens.
async fn listening(inbox: &mut mpsc::Receiver<Line>, wanted: usize) -> Result<String, Failure> {
    let wait = async {
        while let Some(line) = inbox.recv().await {
            match line {
                Line::Event { slot, event } if slot == wanted && event["event"] == "listening" => {
                    return event["index"].as_str().map(str::to_owned);
                }
                Line::Ended { .. } => return None,
                Line::Event { .. } => {}
            }
        }
        None
    };
    tokio::time::timeout(GRACE, wait)
        .await
        .ok()
        .flatten()
        .ok_or_else(|| Failure::new(Code::Other, "an index node did not start"))
}

/// A file of pseudo-random bytes, and its torrent.
fn make_files(path: &Path, torrent: &Path, size: u64) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut rng = rand::rngs::SmallRng::seed_from_u64(size);
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut block = vec![0u8; 1 << 20];
        let mut left = size;
        while left > 0 {
            rng.fill_bytes(&mut block);
            let n = usize::try_from(left).map_or(block.len(), |l| l.min(block.len()));
            out.write_all(&block[..n])?;
            left -= n as u64;
        }
        out.flush()
    };
    write().map_err(|e| disk(path, &e))?;
    let options = CreateOptions {
        piece_length: Some(demo_piece_length(size)),
        ..CreateOptions::default()
    };
    let created = create(path, &options, |_, _| {}).map_err(|e| Failure::new(Code::Other, e))?;
    std::fs::write(torrent, created.bytes).map_err(|e| disk(torrent, &e))
}

/// About 256 pieces, as in 64 MiB of 256 KiB pieces.
fn demo_piece_length(size: u64) -> u32 {
    let target = (size / 256).max(1).next_power_of_two();
    u32::try_from(target.clamp(16 << 10, 4 << 20)).expect("clamped")
}

fn same(a: &Path, b: &Path) -> bool {
    let compare = || -> std::io::Result<bool> {
        if std::fs::metadata(a)?.len() != std::fs::metadata(b)?.len() {
            return Ok(false);
        }
        let mut x = BufReader::with_capacity(1 << 20, File::open(a)?);
        let mut y = BufReader::with_capacity(1 << 20, File::open(b)?);
        let (mut p, mut q) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        loop {
            let n = x.read(&mut p)?;
            if n == 0 {
                return Ok(true);
            }
            y.read_exact(&mut q[..n])?;
            if p[..n] != q[..n] {
                return Ok(false);
            }
        }
    };
    compare().unwrap_or(false)
}

/// Bytes that `report`'s process sent to each of the others, by name.
fn sent(report: &Report, names: &BTreeMap<SocketAddr, String>) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for peer in &report.peers {
        let addr = peer["listen"]
            .as_str()
            .or(peer["addr"].as_str())
            .and_then(|s| s.parse().ok());
        let name = addr
            .and_then(|a| names.get(&a).cloned())
            .unwrap_or_else(|| "?".to_owned());
        *out.entry(name).or_default() += peer["uploaded"].as_u64().unwrap_or(0);
    }
    out
}
