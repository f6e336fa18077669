//! Where the peers of an engine find each other, which runs before they start: a tracker, or an index node.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Chunkcast, Engine, LogSign, Sign, chunkcast};
use crate::lab::Lab;
use crate::ns::{Ns, output};
use crate::proc::Proc;
use crate::torrent::Source;

const TRACKER_PORT: u16 = 6969;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where everything is announced.
pub(crate) fn announce_url() -> String {
    format!("http://{}:{TRACKER_PORT}/announce", Lab::gateway_ip(0))
}

/// Starts it in the gateway of the first site, with its files in `dir`, and waits until it answers. `None` for an engine
/// that is to do without.
///
/// # Errors
/// When it does not answer.
pub(crate) fn start(
    engine: Engine,
    gateway: &Ns,
    dir: &Path,
    source: &Source,
    program: &Chunkcast,
) -> Result<Option<Proc>> {
    std::fs::create_dir(dir)?;
    match engine {
        Engine::Chunkcast if program.cold => Ok(None),
        Engine::Chunkcast => index_node(gateway, dir, program).map(Some),
        _ => tracker(gateway, dir, source).map(Some),
    }
}

fn index_node(gateway: &Ns, dir: &Path, program: &Chunkcast) -> Result<Proc> {
    let log = dir.join("log");
    let mut proc = Proc::spawn(&mut chunkcast::index_node(gateway, dir, program), &log)?;
    let mut sign = Sign::Log(LogSign::new(log.clone(), "\"event\":\"listening\""));
    let end = Instant::now() + PATIENCE;
    while !sign.given() {
        if !proc.runs() || Instant::now() >= end {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the index node does not start: {}", said.trim());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(proc)
}

fn tracker(gateway: &Ns, dir: &Path, source: &Source) -> Result<Proc> {
    // it leaves root, changes its root directory, and reads the list from there
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    let list = "whitelist.txt";
    std::fs::write(dir.join(list), format!("{}\n", source.infohash))?;
    let (ip, port) = (Lab::gateway_ip(0), TRACKER_PORT.to_string());
    let mut command: Command = gateway.command("opentracker");
    command
        .current_dir(dir)
        .args(["-i", &ip, "-p", &port, "-P", &port, "-w", list, "-d"])
        .arg(dir);
    let proc = Proc::spawn(&mut command, &dir.join("log"))?;
    let mut probe = gateway.command(std::env::current_exe()?);
    output(probe.args(["probe", "reach", &format!("{ip}:{port}")]))
        .context("opentracker does not answer; is it installed (apt-get install opentracker)?")?;
    Ok(proc)
}
