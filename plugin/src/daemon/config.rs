//! The configuration: one table of keys with their defaults, read from a file, the changes made while the daemon ran, the
//! environment and flags, and shown with where each value is from.
//!
//! What comes later in that list wins. Every mistake is one line that names where it was made and the way out.

mod changes;
mod check;
mod keys;
mod load;
mod show;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::changes::{drop_changes, keep_changes};
pub use self::load::{Flag, Loaded, Mistake, Origin, Sources, read_password};
pub use self::show::example;
pub use self::value::{parse_ratio, parse_time};

use super::noted::NotedSettings;
use super::settings::{Schedule, Settings};
use crate::discovery::portmap::LEASE;
use crate::limits::{LOCAL_RTT, LimitsConfig, Rates};
use crate::session::{IndexSettings, IndexUse, SessionConfig, Transports};
use crate::wire::conn::ConnConfig;
use crate::wire::encryption::Encryption;

/// Everything that an operator can say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What can be changed while the daemon runs.
    pub settings: Settings,
    /// Where things are kept.
    pub paths: Paths,
    /// How peers and index nodes are met.
    pub network: Network,
    /// Budgets; connections and the rates of all torrents are in [`Self::settings`].
    pub limits: LimitsConfig,
    /// Whether rates hold for peers on the local network too.
    pub exempt_local: bool,
    /// Control over HTTP.
    pub api: Api,
    /// Where the tracker for stock clients listens; empty: there is none.
    pub tracker: Vec<SocketAddr>,
    /// The log.
    pub log: Log,
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Torrents, verified pieces, statistics, the index node's identity, the control socket.
    pub state_dir: PathBuf,
    /// Directories besides the download directory in which clients may put data.
    pub allowed: Vec<PathBuf>,
}

/// How peers and index nodes are met.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Address for peers; `None`: any, at the first free port from 6881 on.
    pub listen: Option<SocketAddr>,
    /// TCP, uTP or both.
    pub transport: Transports,
    /// MSE.
    pub encryption: Encryption,
    /// Whether trackers are asked.
    pub trackers: bool,
    /// Whether the Mainline DHT is used.
    pub dht: bool,
    /// DHT nodes to start from; empty: the well-known ones.
    pub dht_bootstrap: Vec<String>,
    /// BEP 14.
    pub lsd: bool,
    /// BEP 11.
    pub pex: bool,
    /// BEP 19.
    pub web_seeds: bool,
    /// Whether the router is asked for ports.
    pub upnp: bool,
    /// Whether there is an index node of our own.
    pub index: bool,
    /// Its UDP address.
    pub index_listen: Option<SocketAddr>,
    /// Index nodes to join through, HOST:PORT.
    pub bootstrap: Vec<String>,
    /// Whether index nodes find each other on the local network.
    pub lan: bool,
    /// Whether index nodes find each other through the DHT.
    pub rendezvous: bool,
    /// Key of a closed network: its digits or the path of its file.
    pub key: Option<Secret>,
}

/// Control over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where.
    pub listen: ApiListen,
    /// Who may enter; `None`: whoever knows the password.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// The file that holds what [`Self::password`] otherwise says.
    pub password_file: Option<PathBuf>,
    /// Names besides IP addresses and `localhost` by which a browser may call us.
    pub hosts: Vec<String>,
}

/// Where HTTP is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiListen {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ApiListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// A level (`info`), or levels by target (`chunkcast_bittorrent::session=debug,info`).
    pub filter: String,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text; without times where the system's journal adds them.
    #[default]
    Auto,
    /// Text with times.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where files of this user belong, as far as nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The configuration.
    pub config: Option<PathBuf>,
    /// State.
    pub state: Option<PathBuf>,
    /// Downloads.
    pub downloads: Option<PathBuf>,
}

impl Places {
    /// Those of this user (`~/.config`, `~/.local/state`, `~/Downloads`, or what the platform has for them).
    pub fn of_user() -> Self {
        let dirs = directories::ProjectDirs::from("", "", "chunkcast");
        let user = directories::UserDirs::new();
        Self {
            config: dirs.map(|d| d.config_dir().join("config.toml")),
            state: crate::state::default_dir(),
            downloads: user.map(|u| {
                let named = u.download_dir().map(Path::to_owned);
                named.unwrap_or_else(|| u.home_dir().join("Downloads"))
            }),
        }
    }

    /// Those of a service of the whole machine.
    pub fn of_system() -> Self {
        Self {
            config: Some("/etc/chunkcast/config.toml".into()),
            state: Some("/var/lib/chunkcast".into()),
            downloads: Some("/var/lib/chunkcast/downloads".into()),
        }
    }
}

impl Config {
    /// What holds where nobody says otherwise. Without a home directory the paths are empty, and [`Loaded`] says so.
    pub fn defaults(places: &Places) -> Self {
        Self {
            settings: Settings {
                rates: Rates::default(),
                schedule: Schedule::default(),
                active_downloads: Some(5), // Transmission's default
                active_seeds: None,        // Transmission's default
                stalled_after: Some(Duration::from_secs(30 * 60)), // Transmission's default
                seed_ratio: None,          // Transmission's default
                seed_idle: None,           // Transmission's default
                seed_time: None,           // qBittorrent's default
                download_dir: places.downloads.clone().unwrap_or_default(),
                start_added: true, // Transmission's default
                watch_dir: None,
                connections: LimitsConfig::default().connections,
                peers_per_torrent: 400, // what a complete torrent takes at most
                blocklist: false,       // Transmission's default
                blocklist_source: None,
                noted: NotedSettings::default(),
            },
            paths: Paths {
                state_dir: places.state.clone().unwrap_or_default(),
                allowed: Vec::new(),
            },
            network: Network {
                listen: None,
                transport: Transports::default(),
                encryption: Encryption::default(),
                trackers: true,
                dht: true,
                dht_bootstrap: Vec::new(),
                lsd: true,
                pex: true,
                web_seeds: true,
                upnp: true,
                index: true,
                index_listen: None,
                bootstrap: Vec::new(),
                lan: true,
                rendezvous: true,
                key: None,
            },
            limits: LimitsConfig::default(),
            exempt_local: false,
            api: Api {
                listen: ApiListen::Tcp(SocketAddr::from(([127, 0, 0, 1], 9091))), // Transmission's port
                user: None,
                password: None,
                password_file: None,
                hosts: Vec::new(),
            },
            tracker: Vec::new(),
            log: Log {
                format: LogFormat::Auto,
                filter: "info".to_owned(),
            },
        }
    }
    /// The session that this asks for, with the names of [`Network::bootstrap`] resolved, and the index node's identity.
    pub fn session(
        &self,
        bootstrap: Vec<SocketAddr>,
        index_settings: IndexSettings,
    ) -> SessionConfig {
        let network = &self.network;
        let dht_bootstrap = Some(network.dht_bootstrap.clone()).filter(|b| !b.is_empty());
        SessionConfig {
            listen: network.listen,
            transports: network.transport,
            index: match network.index {
                true => IndexUse::Colocated(network.index_listen),
                false => IndexUse::Client,
            },
            bootstrap,
            // names that have no address yet may get one
            bootstrap_grows: !network.bootstrap.is_empty(),
            index_settings,
            rendezvous: network.rendezvous,
            trackers: network.trackers,
            dht: network.dht,
            lsd: network.lsd,
            pex: network.pex,
            web_seeds: network.web_seeds,
            dht_bootstrap,
            map_ports: network.upnp.then_some(LEASE),
            limits: LimitsConfig {
                connections: self.settings.connections,
                rates: self.settings.rates,
                exempt_rtt: self.exempt_local.then_some(LOCAL_RTT),
                ..self.limits.clone()
            },
            conn: ConnConfig {
                encryption: network.encryption,
                ..ConnConfig::default()
            },
            ..SessionConfig::default()
        }
    }
}
