//! librqbit, in a process of this program: its session with the default settings.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Seat, Sign};

/// Where the program `rqbit` listens.
const PORT: u16 = 4240;

/// What the process says when it has everything.
#[cfg(feature = "librqbit")]
const DONE: &str = "netlab: has everything";

#[cfg(feature = "librqbit")]
pub(super) fn version() -> Result<String> {
    Ok(format!("librqbit {}", librqbit::version()))
}

#[cfg(not(feature = "librqbit"))]
pub(super) fn version() -> Result<String> {
    anyhow::bail!(NOT_BUILT)
}

/// Why there is no such engine.
#[cfg(not(feature = "librqbit"))]
const NOT_BUILT: &str =
    "this netlab was built without librqbit; build it with `--features librqbit`";

pub(super) fn prepare(seat: &Seat<'_>) -> Result<(Command, Sign)> {
    let exe = std::env::current_exe().context("the harness's own program")?;
    let mut command = seat.command(exe);
    command
        .arg("engine-librqbit")
        .arg(&seat.source.tracked)
        .arg(seat.data())
        .args(["--port", &seat.port().unwrap_or(PORT).to_string()]);
    Ok((command, seat.in_log("netlab: has everything")))
}

/// Downloads and seeds until it is killed.
///
/// # Errors
/// When the torrent is refused.
#[cfg(feature = "librqbit")]
pub(crate) fn run(torrent: &Path, data: &Path, port: u16) -> Result<()> {
    use std::io::Write;

    use librqbit::{AddTorrent, AddTorrentOptions, ListenerOptions, Session, SessionOptions};

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let options = SessionOptions {
            // there is no Internet to find DHT nodes in
            dht: None,
            persistence: None,
            // as the program `rqbit` listens
            listen: Some(ListenerOptions {
                listen_addr: (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
                ..ListenerOptions::default()
            }),
            ..SessionOptions::default()
        };
        let session = Session::new_with_opts(data.to_owned(), options).await?;
        let options = AddTorrentOptions {
            overwrite: true,
            output_folder: Some(data.display().to_string()),
            ..AddTorrentOptions::default()
        };
        let bytes = std::fs::read(torrent)?;
        let added = session
            .add_torrent(AddTorrent::from_bytes(bytes), Some(options))
            .await?;
        let handle = added.into_handle().context("a torrent was added")?;
        handle.wait_until_completed().await?;
        let mut out = std::io::stdout();
        writeln!(out, "{DONE}")?;
        out.flush()?;
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// Says that it was not built.
///
/// # Errors
/// Always.
#[cfg(not(feature = "librqbit"))]
pub(crate) fn run(_: &Path, _: &Path, _: u16) -> Result<()> {
    anyhow::bail!(NOT_BUILT)
}
