//! What cannot be, and what is odd, although each value by itself is one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tracing_subscriber::EnvFilter;

use super::load::{Mistake, Origins};
use super::{ApiListen, Config, Origin};
use crate::daemon::rules::{Fault, faults, vain};
use crate::session::Transports;

/// Everything that is wrong, with the origin of the key that is named.
pub(super) fn mistakes(config: &Config, origins: &Origins) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut wrong = |key: &str, message: String| {
        found.push(Mistake {
            origin: origins.get(key).cloned().unwrap_or_default(),
            key: Some(key.to_owned()),
            message,
        });
    };
    for (key, path) in [
        ("paths.download-dir", &config.settings.download_dir),
        ("paths.state-dir", &config.paths.state_dir),
    ] {
        if path.as_os_str().is_empty() {
            let message = "there is no home directory to have a default in; name a directory";
            wrong(key, message.to_owned());
        } else if path.is_file() {
            let message = format!("`{}` is a file; name a directory", path.display());
            wrong(key, message);
        }
    }
    limits(config, &mut wrong);
    ports(config, &mut wrong);
    let meant = vain(&config.settings).into_iter();
    let meant = meant.filter(|fault| !is_by_client(fault, origins));
    for fault in faults(&config.settings).into_iter().chain(meant) {
        wrong(fault.keys[0], fault.message);
    }
    for (key, names) in [
        ("network.bootstrap", &config.network.bootstrap),
        ("network.dht-bootstrap", &config.network.dht_bootstrap),
    ] {
        if let Some(name) = names.iter().find(|n| !is_host_port(n)) {
            let message = format!("`{name}` is no HOST:PORT such as node.example.net:4240");
            wrong(key, message);
        }
    }
    if let ApiListen::Tcp(addr) = config.api.listen
        && !addr.ip().to_canonical().is_loopback()
        && config.api.password.is_none()
    {
        let message = format!(
            "{addr} can be reached by others, who could then do all that you can: set api.password-file, or listen on \
             127.0.0.1:{}",
            addr.port()
        );
        wrong("api.listen", message);
    }
    if config.api.user.as_ref().is_some_and(|u| u.contains(':')) {
        wrong(
            "api.user",
            "a name with a colon cannot be sent by HTTP".to_owned(),
        );
    }
    if let Some(host) = config.api.hosts.iter().find(|h| h.contains(['/', ' '])) {
        let message = format!("`{host}` is no name of a host; write it without http:// and path");
        wrong("api.hosts", message);
    }
    let lookable = config.network.index
        || config.network.lan
        || config.network.rendezvous && config.network.dht
        || !config.network.bootstrap.is_empty();
    if !config.tracker.is_empty() && !lookable {
        let message = "it answers from the directory, which network.index, lan, rendezvous and bootstrap leave out";
        wrong("tracker.listen", message.to_owned());
    }
    if let Err(e) = EnvFilter::try_new(&config.log.filter) {
        let message = format!("`{}` is no level: {e}", config.log.filter);
        wrong("log.filter", message);
    }
    found
}

/// Whether a client had a part in it.
fn is_by_client(fault: &Fault, origins: &Origins) -> bool {
    let mut origins = fault.keys.iter().map(|key| origins.get(*key));
    origins.any(|origin| matches!(origin, Some(Origin::Runtime(..))))
}

fn limits(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    if let Err(line) = config.limits.validate() {
        // the keys are called as the fields
        let (field, rule) = line.split_once(' ').unwrap_or((line, ""));
        let key = format!("limits.{}", field.replace('_', "-"));
        wrong(&key, rule.to_owned());
    }
}

/// A socket of the configuration.
struct Port {
    key: &'static str,
    udp: bool,
    addr: SocketAddr,
}

fn ports(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let mut ports = Vec::new();
    let mut add = |key, udp, addr| ports.push(Port { key, udp, addr });
    if let Some(addr) = config.network.listen {
        add("network.listen", false, addr);
        if config.network.transport != Transports::Tcp {
            add("network.listen", true, addr);
        }
    }
    if let Some(addr) = config.network.index_listen.filter(|_| config.network.index) {
        add("network.index-listen", true, addr);
    }
    if let ApiListen::Tcp(addr) = config.api.listen {
        add("api.listen", false, addr);
    }
    for addr in &config.tracker {
        add("tracker.listen", false, *addr);
        add("tracker.listen", true, *addr);
    }
    let overlap = |a: &Port, b: &Port| {
        let (x, y) = (a.addr.ip(), b.addr.ip());
        let same = x == y || x.is_unspecified() || y.is_unspecified();
        a.udp == b.udp && a.addr.port() == b.addr.port() && a.addr.port() != 0 && same
    };
    let mut told = BTreeSet::new();
    for (i, later) in ports.iter().enumerate() {
        for earlier in &ports[..i] {
            if overlap(earlier, later) && told.insert((later.key, later.addr)) {
                let message = format!(
                    "{} {} is taken by {} ({})",
                    if later.udp { "UDP" } else { "TCP" },
                    later.addr,
                    earlier.key,
                    earlier.addr
                );
                wrong(later.key, message);
            }
        }
    }
}

fn is_host_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let bare = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
            bare && !host.is_empty()
                && !host.contains(['/', ' '])
                && port.parse::<u16>().is_ok_and(|p| p != 0)
        }
        None => false,
    }
}

/// What an operator should know although it stops nothing.
pub(super) fn warnings(config: &Config, origins: &Origins, file: Option<&Path>) -> Vec<String> {
    let mut found = Vec::new();
    let mut odd = |key: &str, message: String| {
        let origin = origins.get(key).cloned().unwrap_or_default();
        found.push(format!("{origin}: {key}: {message}"));
    };
    if let Some(path) = &config.api.password_file
        && readable_by_all(path)
    {
        let path = path.display();
        let message = format!("every user of this machine can read `{path}`; chmod 600 it");
        odd("api.password-file", message);
    }
    if let Some(path) = file
        && readable_by_all(path)
    {
        let path = path.display();
        for (key, there) in [
            (
                "api.password",
                config.api.password.is_some() && config.api.password_file.is_none(),
            ),
            (
                "network.key",
                config
                    .network
                    .key
                    .as_ref()
                    .is_some_and(|k| !k.0.contains('/')),
            ),
        ] {
            if there && matches!(origins.get(key), Some(super::Origin::File(..))) {
                let message =
                    format!("every user of this machine can read it in `{path}`; chmod 600 that");
                odd(key, message);
            }
        }
    }
    if config.api.password.is_none() && config.api.user.is_some() {
        let message = "without api.password or api.password-file nobody is asked for it";
        odd("api.user", message.to_owned());
    }
    if let Some(dir) = &config.settings.watch_dir
        && config.settings.download_dir.starts_with(dir)
    {
        let message = ".torrent files among the downloads would be added: use a folder of its own";
        odd("watch.dir", message.to_owned());
    }
    // what was not meant is a mistake
    for fault in vain(&config.settings) {
        odd(fault.keys[0], fault.message);
    }
    let schedule = &config.settings.schedule;
    if schedule.by_clock && schedule.rates == crate::limits::Rates::default() {
        let message =
            "schedule.download and schedule.upload are unlimited, so the clock lifts all limits";
        odd("schedule.by-clock", message.to_owned());
    }
    if let Some(addr) = config.tracker.iter().find(|a| !a.ip().is_loopback()) {
        let message = format!("{addr} answers everyone who can reach it, without a password");
        odd("tracker.listen", message);
    }
    if !config.network.upnp && config.network.listen.is_none() {
        let message =
            "the port for peers may be another after a restart; name one to open it in a firewall";
        odd("network.listen", message.to_owned());
    }
    found
}

fn readable_by_all(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.permissions().mode() & 0o004 != 0)
}
