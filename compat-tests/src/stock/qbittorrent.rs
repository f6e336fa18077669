//! qbittorrent-nox, set up by its configuration file and driven by its Web API.

use std::time::Duration;

use super::{At, Job, Setup, Transport};
use crate::{Proc, wait_for, write};

/// Starts it.
pub(super) fn start(setup: &Setup<'_>, job: &Job) -> Proc {
    let at = setup.at;
    let web = at.port(8080);
    let home = setup.home();
    let protocol = match setup.transport {
        Transport::Both => "Both",
        Transport::Tcp => "TCP",
        Transport::Utp => "UTP",
    };
    let address = if at.is_loopback() { at.ip() } else { "" };
    let settings = format!(
        "[BitTorrent]\nSession\\DHTEnabled={}\nSession\\LSDEnabled={}\nSession\\PeXEnabled={}\n\
         Session\\BTProtocol={protocol}\nSession\\Encryption={}\nSession\\InterfaceAddress={address}\n\
         Session\\Port={}\nSession\\MultiConnectionsPerIp=true\nSession\\QueueingSystemEnabled=false\n\
         Session\\SaveResumeDataInterval=1\n\
         [LegalNotice]\nAccepted=true\n\
         [Network]\nPortForwardingEnabled=false\n\
         [Preferences]\nWebUI\\Port={web}\nWebUI\\Address=127.0.0.1\nWebUI\\LocalHostAuth=false\n\
         WebUI\\CSRFProtection=false\nWebUI\\HostHeaderValidation=false\n",
        !setup.dht.is_empty(),
        setup.lsd,
        setup.pex,
        u8::from(setup.require_encryption),
        setup.port,
    );
    let config = home.join("qBittorrent/config/qBittorrent.conf");
    write(&config, settings.as_bytes());
    let mut command = at.command("qbittorrent-nox");
    command
        .arg(format!("--profile={}", home.display()))
        .arg(format!("--save-path={}", job.data.display()))
        .arg(format!("--add-paused={}", job.files.is_some()))
        .arg(&job.source)
        .env("HOME", &home);
    let proc = Proc::spawn(&setup.name, &setup.dir, &mut command);
    if let Some(files) = &job.files {
        select(at, web, files);
    }
    proc
}

/// Only these files of its only torrent.
fn select(at: At<'_>, web: u16, files: &[usize]) {
    let deadline = Duration::from_secs(60);
    let hash = wait_for("qBittorrent has the torrent", deadline, || {
        let text = ask(at, web, "torrents/info", "")?;
        let list: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(list[0]["hash"].as_str()?.to_owned())
    });
    let count = wait_for("qBittorrent has the list of files", deadline, || {
        let text = ask(at, web, "torrents/files", &format!("hash={hash}"))?;
        let list: serde_json::Value = serde_json::from_str(&text).ok()?;
        list.as_array().map(Vec::len).filter(|n| *n > 0)
    });
    let others: Vec<String> = (0..count)
        .filter(|n| !files.contains(n))
        .map(|n| n.to_string())
        .collect();
    let body = format!("hash={hash}&id={}&priority=0", others.join("|"));
    ask(at, web, "torrents/filePrio", &body).expect("the files are chosen");
    ask(at, web, "torrents/resume", &format!("hashes={hash}")).expect("it goes on");
}

/// The body of the answer to a POST of a form.
fn ask(at: At<'_>, port: u16, method: &str, form: &str) -> Option<String> {
    let request = format!(
        "POST /api/v2/{method} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = at.http("127.0.0.1", port, &request)?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}
