//! Where the peers of an engine find each other, which runs before they start: a tracker, or an index node.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Chunkcast, LogSign, Seat, Sign, chunkcast};
use crate::lab::Lab;
use crate::ns::{Ns, output};
use crate::proc::Proc;
use crate::run::subdirectory;
use crate::torrent::Source;

const TRACKER_PORT: u16 = 6969;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where everything is announced.
pub(crate) fn announce_url() -> String {
    format!("http://{}/announce", tracker_address())
}

/// The tracker's address.
pub(crate) fn tracker_address() -> String {
    format!("{}:{TRACKER_PORT}", Lab::gateway_ip(0))
}

/// Which of them are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The stock clients' place.
    pub(crate) tracker: bool,
    /// ChunkCast's.
    pub(crate) index: bool,
}

/// Those that run; they end with this.
#[derive(Debug)]
pub(crate) struct Meeting {
    _tracker: Option<Proc>,
    /// The index node.
    pub(crate) index: Option<Proc>,
    /// `chunkcast tracker` on the hosts whose clients have one.
    pub(crate) near: Vec<Proc>,
}

/// Starts what is needed in the gateway of the first site, with its files below `dir`, and waits until it answers.
///
/// # Errors
/// When it does not answer.
pub(crate) fn start(
    needs: Needs,
    gateway: &Ns,
    dir: &Path,
    source: &Source,
    program: &Chunkcast,
) -> Result<Meeting> {
    let mut meeting = Meeting {
        _tracker: None,
        index: None,
        near: Vec::new(),
    };
    if needs.tracker {
        meeting._tracker = Some(tracker(gateway, &subdirectory(dir, "tracker")?, source)?);
    }
    if needs.index {
        meeting.index = Some(index_node(gateway, &subdirectory(dir, "index")?, program)?);
    }
    Ok(meeting)
}

/// Starts a `chunkcast tracker` on a client's host, and waits until it answers.
///
/// # Errors
/// When it does not.
pub(crate) fn near(seat: &Seat<'_>) -> Result<Proc> {
    let dir = seat.dir.join("tracker");
    std::fs::create_dir_all(&dir)?;
    listening(
        &mut chunkcast::tracker(&seat.peer.ns, &dir, seat.chunkcast),
        &dir,
    )
}

/// Starts an index node in `gateway`, with its files in `dir`, and waits until it answers.
///
/// # Errors
/// When it does not.
pub(crate) fn index_node(gateway: &Ns, dir: &Path, program: &Chunkcast) -> Result<Proc> {
    listening(&mut chunkcast::index_node(gateway, dir, program), dir)
}

/// Starts a `chunkcast` that says when it listens.
fn listening(command: &mut Command, dir: &Path) -> Result<Proc> {
    let log = dir.join("log");
    let mut proc = Proc::spawn(command, &log)?;
    let mut sign = Sign::Log(LogSign::new(log.clone(), "\"event\":\"listening\""));
    let end = Instant::now() + PATIENCE;
    while !sign.given() {
        if !proc.runs() || Instant::now() >= end {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("an index node does not start: {}", said.trim());
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
