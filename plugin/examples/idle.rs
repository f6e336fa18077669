//! What a session of many idle seeds costs: memory, a processor's time, datagrams of the directory, and how long it takes to
//! begin and to end. The index node beside it is in a ring of two on loopback.
//!
//! `cargo run --release -p chunkcast-bittorrent --example idle -- [torrents] [seconds]`

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measurement prints what it finds"
)]

#[path = "common/process.rs"]
mod process;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, IndexSettings, IndexUse, Session, SessionConfig, TorrentEvent,
    TorrentHandle, TorrentSource, start_index_node,
};
use sha1::{Digest, Sha1};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::process::{cpu, resident};

const PIECE: usize = 16 << 10;
const PIECES: usize = 64;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let torrents: usize = args.next().map_or(Ok(1000), |n| n.parse())?;
    let seconds: u64 = args.next().map_or(Ok(30), |n| n.parse())?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let dir = tempfile::tempdir()?;
    let other = start_index_node(loopback, Vec::new(), IndexSettings::default()).await?;
    let config = SessionConfig {
        listen: Some(loopback),
        index: IndexUse::Colocated(Some(loopback)),
        bootstrap: vec![other.local_addr()],
        dht: false,
        map_ports: None,
        ..SessionConfig::default()
    };
    let session = Session::start(config).await?;
    println!("one session, no torrent:  {:6.1} MiB resident", resident());

    let made: Vec<AddTorrent> = (0..torrents)
        .map(|n| make(n, dir.path()))
        .collect::<Result<_, _>>()?;
    println!(
        "{torrents} torrents made:    {:6.1} MiB resident",
        resident()
    );
    let begin = Instant::now();
    let mut ready = JoinSet::new();
    for add in made {
        let handle = session.add(add).await?;
        ready.spawn(until_complete(handle));
    }
    let handles = ready.join_all().await;
    println!(
        "all of them seed:         {:6.1} MiB resident after {:.1} s",
        resident(),
        begin.elapsed().as_secs_f64()
    );
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut ends = JoinSet::new();
    for handle in handles {
        ends.spawn(watch(handle, stopped.clone()));
    }
    sleep(Duration::from_secs(10)).await;
    let (before, sent) = (cpu(), datagrams(&session).await);
    let began = Instant::now();
    sleep(Duration::from_secs(seconds)).await;
    let took = began.elapsed().as_secs_f64();
    println!(
        "idle:                     {:6.1} MiB resident, {:.2} % of a core, {:.1} datagrams/s over {took:.0} s",
        resident(),
        100.0 * (cpu() - before) / took,
        (datagrams(&session).await - sent) as f64 / took,
    );
    let began = Instant::now();
    stop.send_replace(true);
    let events: u64 = ends.join_all().await.into_iter().sum();
    session.shutdown().await;
    println!(
        "stopped in {:.2} s; {events} events heard meanwhile",
        began.elapsed().as_secs_f64()
    );
    other.shutdown().await;
    Ok(())
}

/// Hears of nothing more until it is to end; how much it heard.
async fn watch(mut handle: TorrentHandle, mut stopped: tokio::sync::watch::Receiver<bool>) -> u64 {
    let mut heard = 0;
    loop {
        tokio::select! {
            event = handle.next() => match event {
                Some(_) => heard += 1,
                None => return heard,
            },
            _ = stopped.wait_for(|s| *s) => break,
        }
    }
    handle.stop_saved().await;
    heard
}

async fn until_complete(mut handle: TorrentHandle) -> TorrentHandle {
    while let Some(event) = handle.next().await {
        match event {
            TorrentEvent::Complete(_) => break,
            TorrentEvent::Failed(e) => panic!("{e}"),
            _ => {}
        }
    }
    handle
}

/// A torrent of one file, which is there.
fn make(n: usize, dir: &std::path::Path) -> anyhow::Result<AddTorrent> {
    let mut data = vec![0; PIECE * PIECES];
    for (at, block) in data.chunks_mut(8).enumerate() {
        block.copy_from_slice(
            &((n << 32 | at) as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_le_bytes(),
        );
    }
    let name = format!("t{n}");
    std::fs::write(dir.join(&name), &data)?;
    let mut info = format!(
        "d6:lengthi{}e4:name{}:{name}12:piece lengthi{PIECE}e6:pieces{}:",
        data.len(),
        name.len(),
        20 * PIECES
    )
    .into_bytes();
    info.extend(data.chunks(PIECE).flat_map(Sha1::digest));
    info.push(b'e');
    let meta = Metainfo::from_info(info.into(), None)?;
    let data = DataPath::OutputDir(dir.to_path_buf());
    Ok(AddTorrent::new(
        TorrentSource::Metainfo(Arc::new(meta)),
        data,
    ))
}

/// Datagrams that the index node has sent.
async fn datagrams(session: &Session) -> u64 {
    let Some(index) = session.index() else {
        return 0;
    };
    let snapshot = index.snapshot().await;
    snapshot.map_or(0, |s| s.counters.sent.values().map(|t| t.messages).sum())
}
