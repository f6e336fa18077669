//! A program that embeds librqbit, with near peers from the directory:
//! `cargo run --release -p chunkcast-bittorrent --example rqbit -- TORRENT-OR-MAGNET DIR [INDEX-NODE]`.

#![allow(
    clippy::disallowed_methods,
    clippy::field_reassign_with_default,
    clippy::print_stdout,
    reason = "a program, as its author would write it"
)]

use std::time::Duration;

use chunkcast_bittorrent::rqbit::{Rqbit, RqbitConfig};
use librqbit::{AddTorrent, AddTorrentOptions, ListenerOptions, Session, SessionOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(torrent), Some(dir)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: rqbit TORRENT-OR-MAGNET DIR [INDEX-NODE]");
    };
    let mut config = RqbitConfig::default();
    match args.next() {
        Some(node) => config.bootstrap.push(node.parse()?),
        None => config.index.lan = true,
    }
    let directory = Rqbit::start(config).await?;

    let mut options = SessionOptions::default();
    options.listen = Some(ListenerOptions::default());
    directory.session(&mut options); // this is all
    let session = Session::new_with_opts(dir.into(), options).await?;

    let mut options = AddTorrentOptions::default();
    options.overwrite = true; // goes on with what is there
    let torrent = AddTorrent::from_cli_argument(&torrent)?;
    let added = session.add_torrent(torrent, Some(options)).await?;
    let handle = added.into_handle().expect("it is not only listed");
    while !handle.stats().finished {
        println!("{}", handle.stats());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("complete; seeding until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    session.stop().await;
    directory.shutdown().await;
    Ok(())
}
