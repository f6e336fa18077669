//! ChunkCast: peers are found through the directory alone, unless they are to meet stock ones at a tracker.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Chunkcast, Directory, Seat, Sign, first_line};
use crate::lab::Lab;
use crate::ns::Ns;

/// Where every index node listens.
pub(super) const INDEX_PORT: u16 = 4240;

/// Nobody but the index nodes of this network, and nothing kept.
const ALONE: [&str; 6] = [
    "--json",
    "--no-dht",
    "--no-rendezvous",
    "--no-lan",
    "--no-state",
    "--no-upnp",
];

/// Peers are found through the directory alone.
const DIRECTORY_ONLY: [&str; 3] = ["--no-trackers", "--no-pex", "--no-lsd"];

pub(super) fn version(chunkcast: &Chunkcast) -> Result<String> {
    let program = chunkcast.program.display().to_string();
    let remedy =
        "run `cargo build --release -p chunkcast-bittorrent`, or say where it is with --chunkcast";
    first_line(&program, &["--version"], remedy)
}

/// An index node that neither downloads nor seeds.
pub(super) fn index_node(gateway: &Ns, dir: &Path, chunkcast: &Chunkcast) -> Command {
    let mut command = gateway.command(&chunkcast.program);
    let at = format!("{}:{INDEX_PORT}", Lab::gateway_ip(0));
    command
        .args(["node", "--index-listen", &at])
        .args(ALONE)
        .env("HOME", dir)
        .current_dir(dir);
    command
}

/// A tracker for the client on its host.
pub(super) fn tracker(host: &Ns, dir: &Path, chunkcast: &Chunkcast) -> Command {
    let mut command = host.command(&chunkcast.program);
    let first = format!("{}:{INDEX_PORT}", Lab::gateway_ip(0));
    command
        .args([
            "tracker",
            "--listen",
            "127.0.0.1:6969",
            "--bootstrap",
            &first,
        ])
        .args(ALONE)
        .env("HOME", dir)
        .current_dir(dir);
    command
}

pub(super) fn prepare(seat: &Seat<'_>) -> (Command, Sign) {
    let mut command = seat.command(&seat.chunkcast.program);
    let torrent = if seat.tracked {
        &seat.source.tracked
    } else {
        &seat.source.trackerless
    };
    if seat.seed {
        command
            .arg("seed")
            .arg(torrent)
            .arg("--data")
            .arg(seat.copy());
    } else {
        command
            .arg("get")
            .arg(torrent)
            .arg("-o")
            .arg(seat.data())
            .arg("--seed");
    }
    let first = match seat.chunkcast.directory {
        Directory::Warm => Some(Lab::gateway_ip(0)),
        Directory::Cold => (!seat.seed).then(|| seat.seed_ip.to_owned()),
        Directory::None => {
            command.arg("--no-index");
            None
        }
    };
    if let Some(ip) = first {
        command.args(["--bootstrap", &format!("{ip}:{INDEX_PORT}")]);
    }
    if !seat.tracked {
        command.args(DIRECTORY_ONLY);
    }
    if let Some(port) = seat.port() {
        command
            .args(["--listen", &format!("0.0.0.0:{port}")])
            .args(["--index-listen", &format!("0.0.0.0:{}", port + 1)]);
    }
    command.args(ALONE).args(&seat.chunkcast.words);
    (command, seat.in_log("\"event\":\"complete\""))
}
