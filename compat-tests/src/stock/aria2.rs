//! aria2c on one torrent or magnet link.

use super::{At, Job, Setup, Transport};
use crate::Proc;

/// Starts it; it seeds when it has everything.
pub(super) fn start(setup: &Setup<'_>, job: &Job) -> Proc {
    assert_ne!(setup.transport, Transport::Utp, "aria2 has no uTP");
    let mut command = setup.at.command("aria2c");
    let dht = !setup.dht.is_empty();
    command
        .args(["--no-conf", "--summary-interval=0", "--follow-torrent=mem"])
        .args(["--show-console-readout=false", "--console-log-level=info"])
        .arg(format!("--dir={}", job.data.display()))
        .arg(format!("--listen-port={}", setup.port))
        .arg(format!("--dht-listen-port={}", setup.port))
        .arg(format!("--enable-dht={dht}"))
        .arg("--enable-dht6=false")
        .arg(format!(
            "--dht-file-path={}",
            setup.home().join("dht.dat").display()
        ))
        .arg(format!("--bt-enable-lpd={}", setup.lsd))
        .arg(format!("--enable-peer-exchange={}", setup.pex))
        .env("HOME", setup.home());
    if let Some(entry) = setup.dht.first() {
        command.arg(format!("--dht-entry-point={entry}"));
    }
    if setup.require_encryption {
        command.args([
            "--bt-require-crypto=true",
            "--bt-force-encryption=true",
            "--bt-min-crypto-level=arc4",
        ]);
    }
    match setup.at {
        At::Loopback => command.arg("--interface=127.0.0.1"),
        At::Loopback6 => command.arg("--interface=::1"),
        At::Host(_) => command.arg(format!("--bt-lpd-interface={}", setup.at.ip())),
    };
    if job.complete {
        command.arg("--check-integrity=true");
    }
    if let Some(files) = &job.files {
        let list: Vec<String> = files.iter().map(|f| (f + 1).to_string()).collect();
        command.arg(format!("--select-file={}", list.join(",")));
    }
    command.args(["--seed-ratio=0.0", "--auto-save-interval=1"]);
    command.arg(&job.source);
    Proc::spawn(&setup.name, &setup.dir, &mut command)
}
