//! Every key: what it says, the default and its source, and when a change takes effect.

use super::value::{Raw, Value, bytes, bytes_noted, clock, days};
use super::{Config, Secret};

/// A key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// What it says, in lines of a comment.
    pub(super) about: &'static str,
    /// Where the default is from.
    pub(super) source: &'static str,
    /// Whether a running daemon takes a new value.
    pub(super) at_once: bool,
    /// Whether it is shown.
    pub(super) secret: bool,
    pub(super) read: fn(&mut Config, &Raw) -> Result<(), String>,
    /// As TOML; a secret shows nothing.
    pub(super) show: fn(&Config) -> String,
}

impl Key {
    /// `section.name`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// The key of this name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    find_in(KEYS, section, name)
}

/// The key of this name among those that the file of changes may hold.
pub(super) fn find_changeable(section: &str, name: &str) -> Option<&'static Key> {
    find_in(KEYS, section, name)
        .filter(|k| k.at_once)
        .or_else(|| find_in(NOTED, section, name))
}

fn find_in(keys: &'static [Key], section: &str, name: &str) -> Option<&'static Key> {
    keys.iter().find(|k| k.section == section && k.name == name)
}

/// The sections in the order in which they are shown, and what each is about.
pub(super) const SECTIONS: [(&str, &str); 12] = [
    ("paths", "Where things are kept."),
    ("network", "How peers and the directory are met."),
    ("limits", "Budgets of all torrents together."),
    (
        "rates",
        "Bytes a second of what BitTorrent says: \"2MiB/s\", \"500kB/s\", \"20Mbit/s\", or \"unlimited\".",
    ),
    (
        "schedule",
        "Other rates, switched on by hand or by the clock.",
    ),
    ("queue", "How many torrents run at a time."),
    (
        "seeding",
        "When seeding ends; a torrent can have limits of its own.",
    ),
    ("watch", "A folder from which torrents are added."),
    (
        "blocklist",
        "Addresses that are neither dialled nor let in.",
    ),
    (
        "api",
        "The page, /api/v1, the Transmission RPC and /metrics.",
    ),
    (
        "tracker",
        "The directory as the tracker of stock clients (`chunkcast tracker` inside the daemon).",
    ),
    ("log", "What is told on standard error."),
];

macro_rules! key {
    ($section:literal, $name:literal, $at_once:literal, $($place:ident).+, $source:literal, $about:literal) => {
        Key {
            section: $section,
            name: $name,
            about: $about,
            source: $source,
            at_once: $at_once,
            secret: false,
            read: |c, raw| {
                c.$($place).+ = Value::read(raw)?;
                Ok(())
            },
            show: |c| c.$($place).+.show(),
        }
    };
    ($section:literal, $name:literal, $at_once:literal, $($place:ident).+ as $form:ident, $source:literal, $about:literal) => {
        Key {
            section: $section,
            name: $name,
            about: $about,
            source: $source,
            at_once: $at_once,
            secret: false,
            read: |c, raw| {
                c.$($place).+ = $form::read(raw)?;
                Ok(())
            },
            show: |c| $form::show(&c.$($place).+),
        }
    };
}

/// All keys, in the order in which they are shown.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key!("paths", "download-dir", true, settings.download_dir, "that of the user",
        "Where the data of new torrents goes."),
    key!("paths", "allowed", false, paths.allowed, "none",
        "Directories besides download-dir in which clients may have data: --dir of `add`, `move`, the RPC's download-dir."),
    key!("paths", "state-dir", false, paths.state_dir, "that of the user",
        "Torrents, verified pieces, statistics, what was changed at runtime, the index node's identity. Back this up."),

    key!("network", "listen", false, network.listen, "port 6881 to 6889 of all addresses, or any free one",
        "Address for peers: TCP and UDP (uTP) of the same number. \"auto\" chooses one."),
    key!("network", "transport", false, network.transport, "as stock clients do",
        "What carries connections with peers: \"both\", \"tcp\" or \"utp\"."),
    key!("network", "encryption", false, network.encryption, "reaches all",
        "Encrypted connections (MSE): \"off\", \"allow\", \"prefer\" or \"require\"."),
    key!("network", "trackers", false, network.trackers, "BEP 3",
        "Ask trackers."),
    key!("network", "dht", false, network.dht, "BEP 5",
        "Use the Mainline DHT."),
    key!("network", "dht-bootstrap", false, network.dht_bootstrap, "the well-known ones",
        "DHT nodes to start from, [\"HOST:PORT\"]."),
    key!("network", "lsd", false, network.lsd, "BEP 14",
        "Announce torrents on the local network, and take peers from there."),
    key!("network", "pex", false, network.pex, "BEP 11",
        "Tell peers of each other, and believe them when they name others."),
    key!("network", "web-seeds", false, network.web_seeds, "BEP 19",
        "Download from the web servers that torrents name."),
    key!("network", "upnp", false, network.upnp, "most homes need it",
        "Ask the router to let others reach our ports."),
    key!("network", "index", false, network.index, "everyone takes part",
        "Run an index node; without one, ask and publish through bootstrap nodes or those that are found."),
    key!("network", "index-listen", false, network.index_listen, "port 4240, or any free one",
        "UDP address of the index node. \"auto\" chooses one."),
    key!("network", "bootstrap", false, network.bootstrap, "none: they are found",
        "Index nodes to join the directory through, [\"HOST:PORT\"]."),
    key!("network", "lan", false, network.lan, "it costs nothing",
        "Find index nodes on the local network (multicast)."),
    key!("network", "rendezvous", false, network.rendezvous, "works without configuration",
        "Find index nodes through the Mainline DHT."),
    Key {
        section: "network", name: "key", at_once: false, secret: true, source: "the open network",
        about: "Key of a closed network: 64 hexadecimal digits, or the path of a file that holds them.",
        read: |c, raw| { c.network.key = secret(raw)?; Ok(()) },
        show: |c| shown_secret(c.network.key.as_ref()),
    },

    key!("limits", "connections", true, settings.connections, "as aria2 and qBittorrent",
        "Connections with peers."),
    key!("limits", "peers-per-torrent", true, settings.peers_per_torrent, "what a complete torrent takes at most",
        "Connections of one torrent, if it has no number of its own."),
    key!("limits", "half-open", false, limits.half_open, "a guess",
        "Attempts to connect at a time."),
    key!("limits", "open-files", false, limits.open_files, "half of the usual `ulimit -n`",
        "Files open at a time, at least 32."),
    key!("limits", "hash-jobs", false, limits.hash_jobs, "a guess: four cores hash 2 GB/s",
        "Pieces hashed and written at a time."),
    key!("limits", "lookups", false, limits.lookups, "enough for 500 torrents that ask every 10 s",
        "Questions to the directory a second."),
    key!("limits", "memory", false, limits.memory as bytes, "a guess: a second at 1 Gbit/s",
        "Memory for pieces and blocks on their way."),

    key!("rates", "download", true, settings.rates.down, "as stock clients do",
        "What all torrents download together."),
    key!("rates", "upload", true, settings.rates.up, "as stock clients do",
        "What all torrents upload together."),
    key!("rates", "download-each", false, limits.torrent_rates.down, "as stock clients do",
        "What each torrent downloads, if it has no rate of its own."),
    key!("rates", "upload-each", false, limits.torrent_rates.up, "as stock clients do",
        "What each torrent uploads, if it has no rate of its own."),
    key!("rates", "exempt-local", false, exempt_local, "a limit is for all",
        "Rates do not hold for peers on the local network (round-trip time of 3 ms or less)."),

    key!("schedule", "on", true, settings.schedule.on, "as Transmission",
        "These rates hold now; with by-clock the clock says so."),
    key!("schedule", "download", true, settings.schedule.rates.down, "none",
        "What all torrents download then."),
    key!("schedule", "upload", true, settings.schedule.rates.up, "none",
        "What all torrents upload then."),
    key!("schedule", "by-clock", true, settings.schedule.by_clock, "as Transmission",
        "The clock switches these rates on and off."),
    key!("schedule", "from", true, settings.schedule.from as clock, "as Transmission",
        "Local time at which they begin."),
    key!("schedule", "to", true, settings.schedule.to as clock, "as Transmission",
        "Local time at which they end; before `from`: on the next day."),
    key!("schedule", "days", true, settings.schedule.days as days, "as Transmission",
        "Days on which they begin."),

    key!("queue", "active-downloads", true, settings.active_downloads, "as Transmission",
        "Torrents that download at a time, or \"unlimited\"."),
    key!("queue", "active-seeds", true, settings.active_seeds, "as Transmission",
        "Torrents that seed at a time, or \"unlimited\"."),
    key!("queue", "stalled-after", true, settings.stalled_after, "as Transmission",
        "A torrent that has moved no bytes for so long takes no place; \"never\": it always does."),
    key!("queue", "start-added", true, settings.start_added, "as Transmission",
        "Start new torrents."),

    key!("seeding", "ratio", true, settings.seed_ratio, "as Transmission",
        "At this ratio of bytes sent to the bytes of the torrent, or \"unlimited\"."),
    key!("seeding", "idle", true, settings.seed_idle, "as Transmission",
        "When nobody has fetched anything for so long, or \"never\"."),
    key!("seeding", "time", true, settings.seed_time, "as qBittorrent",
        "After so long, or \"never\"."),

    key!("watch", "dir", true, settings.watch_dir, "as Transmission",
        ".torrent files, and files with a magnet link in them (.magnet), that appear here are added. \"none\": no such folder."),

    key!("blocklist", "enabled", true, settings.blocklist, "as Transmission",
        "Use it."),
    key!("blocklist", "source", true, settings.blocklist_source, "as Transmission",
        "Where it comes from: an http(s) URL or a path. \"none\": nowhere."),

    key!("api", "listen", false, api.listen, "Transmission's port, for this machine alone",
        "Address, or \"unix:/path\". An address that is not loopback needs a password."),
    key!("api", "user", false, api.user, "one secret is enough",
        "Name that goes with the password. \"none\": any name will do."),
    Key {
        section: "api", name: "password", at_once: false, secret: true, source: "none: loopback needs none",
        about: "Password that clients and browsers need; password-file is the better place for it.",
        read: |c, raw| { (c.api.password, c.api.password_file) = (secret(raw)?, None); Ok(()) },
        show: |c| shown_secret(c.api.password.as_ref()),
    },
    Key {
        section: "api", name: "password-file", at_once: false, secret: false, source: "none: loopback needs none",
        about: "File whose first line is the password, readable by the daemon alone. \"none\": no such file.",
        read: |c, raw| { (c.api.password_file, c.api.password) = (Value::read(raw)?, None); Ok(()) },
        show: |c| c.api.password_file.show(),
    },
    key!("api", "hosts", false, api.hosts, "none, as DNS rebinding needs a name",
        "Names besides IP addresses and localhost by which browsers may call the daemon."),

    key!("tracker", "listen", false, tracker, "off",
        "Where stock clients announce over HTTP and UDP, [\"127.0.0.1:6969\"]. Empty: nowhere."),

    key!("log", "format", false, log.format, "what a person reads",
        "\"text\", \"json\", or \"auto\": text, without times where the system's journal adds them."),
    key!("log", "filter", true, log.filter, "says nothing about whom you talk to",
        "A level (error, warn, info, debug, trace), or levels by target. Addresses and infohashes are told from debug on."),
];

/// The section of [`NOTED`], in the file of changes alone.
pub(super) const NOTED_SECTION: &str = "noted";

/// What clients set to read it back ([`NotedSettings`](crate::daemon::NotedSettings)): nothing follows, so nobody writes it by
/// hand.
#[rustfmt::skip]
pub(super) const NOTED: &[Key] = &[
    key!("noted", "download", true, settings.noted.download as bytes_noted, "nothing", "bytes a second"),
    key!("noted", "upload", true, settings.noted.upload as bytes_noted, "nothing", "bytes a second"),
    key!("noted", "active-downloads", true, settings.noted.active_downloads, "nothing", "torrents"),
    key!("noted", "active-seeds", true, settings.noted.active_seeds, "nothing", "torrents"),
    key!("noted", "stalled-after", true, settings.noted.stalled_after, "nothing", "a time"),
    key!("noted", "ratio", true, settings.noted.seed_ratio, "nothing", "a ratio"),
    key!("noted", "idle", true, settings.noted.seed_idle, "nothing", "a time"),
];

fn secret(raw: &Raw) -> Result<Option<Secret>, String> {
    match raw {
        Raw::Text(t) | Raw::Loose(t) if t.is_empty() => {
            Err("there is nothing in it; leave the key out to have none".to_owned())
        }
        Raw::Text(t) | Raw::Loose(t) => Ok(Some(Secret(t.clone()))),
        _ => Err("write text in quotation marks".to_owned()),
    }
}

fn shown_secret(secret: Option<&Secret>) -> String {
    match secret {
        Some(_) => "(not shown)".to_owned(),
        None => "(none)".to_owned(),
    }
}
