//! transmission-daemon, which is given the torrent through its watched directory.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::{Seat, Sign, first_line};

pub(super) fn version() -> Result<String> {
    let remedy = "apt-get install transmission-daemon";
    first_line("transmission-daemon", &["--version"], remedy)
}

pub(super) fn prepare(seat: &Seat<'_>) -> Result<(Command, Sign)> {
    let (home, watched) = (seat.dir.join("transmission"), seat.dir.join("watched"));
    std::fs::create_dir_all(&home)?;
    std::fs::create_dir_all(&watched)?;
    std::fs::copy(seat.torrent(), watched.join("netlab.torrent"))?;
    let mut settings = json!({
        "script-torrent-done-enabled": true,
        "script-torrent-done-filename": seat.hook()?,
        // there is no Internet to find DHT nodes and routers in
        "dht-enabled": false,
        "port-forwarding-enabled": false,
    });
    if let Some(port) = seat.port() {
        settings["peer-port"] = json!(port);
        settings["rpc-port"] = json!(port + 1);
    }
    // it knows peers by their addresses alone, and itself as one that is not to be connected to
    if let Some(ip) = seat.own_ip() {
        settings["bind-address-ipv4"] = json!(ip);
    }
    if seat.chunkcast.no_pex {
        settings["pex-enabled"] = json!(false);
    }
    if seat.tcp_only {
        settings["utp-enabled"] = json!(false);
    }
    std::fs::write(home.join("settings.json"), settings.to_string())?;
    let mut command = seat.command("transmission-daemon");
    command
        .args(["--foreground", "--log-info", "--config-dir"])
        .arg(home)
        .arg("--watch-dir")
        .arg(watched)
        .arg("--download-dir")
        .arg(seat.data());
    Ok((command, Sign::File(seat.marker())))
}
