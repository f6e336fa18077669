//! aria2.

use std::process::Command;

use anyhow::Result;

use super::{Seat, Sign};

pub(super) fn prepare(seat: &Seat<'_>) -> Result<(Command, Sign)> {
    let hook = seat.hook()?;
    let mut command = seat.command("aria2c");
    command
        .arg(format!("--dir={}", seat.data().display()))
        .arg(format!("--on-bt-download-complete={}", hook.display()))
        .args([
            "--no-conf",
            "--summary-interval=0",
            "--show-console-readout=false",
        ])
        // there is no Internet to find DHT nodes in
        .args(["--enable-dht=false", "--enable-dht6=false"])
        .arg("--seed-ratio=0.0");
    if seat.chunkcast.no_pex {
        command.arg("--enable-peer-exchange=false");
    }
    if seat.seed {
        command.arg("--check-integrity=true");
    }
    if let Some(port) = seat.port() {
        command.arg(format!("--listen-port={port}"));
    }
    command.arg(seat.torrent());
    Ok((command, Sign::File(seat.marker())))
}
