//! The command line of `daemon` and `config`. What a flag says goes to the key of the configuration that it is for, which reads
//! and checks it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::args::KeyText;
use super::exit::{Code, Failure};
use super::source::absolute;
use crate::daemon::config::{Flag, LogFormat, Sources};

/// Where the configuration is from.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigFrom {
    /// The configuration file [default: config.toml in the user's configuration directory, if it is there]
    #[arg(long, value_name = "FILE", env = "CHUNKCAST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where torrents, verified pieces and statistics are kept (paths.state-dir).
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Set any key of the configuration, such as queue.active-downloads=3 (repeatable).
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigFrom {
    /// The sources.
    ///
    /// # Errors
    /// Code 2 for what is no KEY=VALUE.
    pub(super) fn sources(&self) -> Result<Sources, Failure> {
        let mut sources = Sources::new(self.config.clone());
        if let Some(dir) = &self.state {
            sources.flags.push(path("--state", "paths.state-dir", dir)?);
        }
        for text in &self.set {
            let Some((key, value)) = text.split_once('=') else {
                let line = format!(
                    "--set `{text}`: write SECTION.KEY=VALUE, such as queue.active-downloads=3"
                );
                return Err(Failure::new(Code::Usage, line));
            };
            sources.flags.push(flag("--set", key.trim(), value));
        }
        Ok(sources)
    }
}

fn flag(flag: &str, key: &str, text: &str) -> Flag {
    Flag {
        flag: flag.to_owned(),
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

/// A path of the command line, which begins at the current directory.
fn path(name: &str, key: &str, path: &std::path::Path) -> Result<Flag, Failure> {
    Ok(flag(name, key, &absolute(name, path)?))
}

/// Arguments of `daemon`.
#[derive(Clone, Debug, Args)]
pub(super) struct DaemonArgs {
    /// Where the configuration is from.
    #[command(flatten)]
    pub from: ConfigFrom,
    /// Where the data of new torrents goes (paths.download-dir).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the page, the API and the Transmission RPC are: IP:PORT or unix:PATH (api.listen) [default: 127.0.0.1:9091]
    #[arg(long, value_name = "ADDR")]
    pub api_listen: Option<String>,
    /// Address for incoming peers, over TCP and uTP (network.listen)
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// What carries connections with peers: both, tcp or utp (network.transport)
    #[arg(long, value_name = "WHICH")]
    pub transport: Option<String>,
    /// Encrypted connections: off, allow, prefer or require (network.encryption)
    #[arg(long, value_name = "WHEN")]
    pub encryption: Option<String>,
    /// UDP address of the index node (network.index-listen)
    #[arg(long, value_name = "IP:PORT")]
    pub index_listen: Option<String>,
    /// An index node to join the directory through (network.bootstrap; repeatable)
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<String>,
    /// DHT nodes to start from instead of the well-known ones (repeatable).
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    pub dht_bootstrap: Vec<String>,
    /// Where stock clients announce, over HTTP and UDP (tracker.listen; repeatable)
    #[arg(long, value_name = "IP:PORT")]
    pub tracker: Vec<String>,
    /// A folder from which .torrent files are added (watch.dir)
    #[arg(long, value_name = "DIR")]
    pub watch: Option<PathBuf>,
    /// Key of a closed network: 64 hexadecimal digits, or a file (network.key)
    #[arg(long, value_name = "FILE|HEX", value_parser = KeyText::parse)]
    pub network_key: Option<KeyText>,
    /// Download at most this much a second, all torrents together (rates.download)
    #[arg(long, value_name = "RATE")]
    pub max_download: Option<String>,
    /// Upload at most this much a second, all torrents together (rates.upload)
    #[arg(long, value_name = "RATE")]
    pub max_upload: Option<String>,
    /// Connections to peers at a time (limits.connections)
    #[arg(long, value_name = "N")]
    pub max_connections: Option<String>,
    /// Ask no tracker (network.trackers)
    #[arg(long)]
    pub no_trackers: bool,
    /// Do not use the Mainline DHT (network.dht)
    #[arg(long)]
    pub no_dht: bool,
    /// No local service discovery (network.lsd)
    #[arg(long)]
    pub no_lsd: bool,
    /// No peer exchange (network.pex)
    #[arg(long)]
    pub no_pex: bool,
    /// Do not download from the web servers that a torrent names (network.web-seeds)
    #[arg(long)]
    pub no_web_seeds: bool,
    /// Do not ask the router for ports (network.upnp)
    #[arg(long)]
    pub no_upnp: bool,
    /// Run no index node (network.index)
    #[arg(long)]
    pub no_index: bool,
    /// Do not look for index nodes on the local network (network.lan)
    #[arg(long)]
    pub no_lan: bool,
    /// Do not look for index nodes through the Mainline DHT (network.rendezvous)
    #[arg(long)]
    pub no_rendezvous: bool,
    /// Socket on which `chunkcast table` can ask [default: in the state directory]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// One JSON object a line instead of text: "event" (listening, warning, reloaded, error) and "unix_time".
    #[arg(long)]
    pub json: bool,
    /// Only errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// End in an orderly way when standard input ends.
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

impl DaemonArgs {
    /// The sources of the configuration, these flags among them.
    ///
    /// # Errors
    /// Code 2 for what is no KEY=VALUE.
    pub(super) fn sources(
        &self,
        verbose: u8,
        log_format: Option<LogFormat>,
    ) -> Result<Sources, Failure> {
        let mut sources = self.from.sources()?;
        let texts = [
            ("--api-listen", "api.listen", &self.api_listen),
            ("--listen", "network.listen", &self.listen),
            ("--transport", "network.transport", &self.transport),
            ("--encryption", "network.encryption", &self.encryption),
            ("--index-listen", "network.index-listen", &self.index_listen),
            ("--max-download", "rates.download", &self.max_download),
            ("--max-upload", "rates.upload", &self.max_upload),
            (
                "--max-connections",
                "limits.connections",
                &self.max_connections,
            ),
        ];
        for (name, key, text) in texts {
            let given = text.as_deref();
            sources
                .flags
                .extend(given.map(|text| flag(name, key, text)));
        }
        if let Some(key) = &self.network_key {
            let given = flag("--network-key", "network.key", &key.0);
            sources.flags.push(given);
        }
        let lists = [
            ("--bootstrap", "network.bootstrap", &self.bootstrap),
            (
                "--dht-bootstrap",
                "network.dht-bootstrap",
                &self.dht_bootstrap,
            ),
            ("--tracker", "tracker.listen", &self.tracker),
        ];
        for (name, key, texts) in lists.into_iter().filter(|(.., texts)| !texts.is_empty()) {
            sources.flags.push(flag(name, key, &texts.join(",")));
        }
        let off = [
            ("--no-trackers", "network.trackers", self.no_trackers),
            ("--no-dht", "network.dht", self.no_dht),
            ("--no-lsd", "network.lsd", self.no_lsd),
            ("--no-pex", "network.pex", self.no_pex),
            ("--no-web-seeds", "network.web-seeds", self.no_web_seeds),
            ("--no-upnp", "network.upnp", self.no_upnp),
            ("--no-index", "network.index", self.no_index),
            ("--no-lan", "network.lan", self.no_lan),
            ("--no-rendezvous", "network.rendezvous", self.no_rendezvous),
        ];
        for (name, key, _) in off.into_iter().filter(|(.., given)| *given) {
            sources.flags.push(flag(name, key, "false"));
        }
        for (name, key, dir) in [
            ("--data", "paths.download-dir", &self.data),
            ("--watch", "watch.dir", &self.watch),
        ] {
            if let Some(dir) = dir {
                sources.flags.push(path(name, key, dir)?);
            }
        }
        if verbose > 0 {
            let level = super::log::level(verbose);
            sources.flags.push(flag("-v", "log.filter", level));
        }
        let format = log_format.and_then(|f| f.to_possible_value());
        let format = format.map(|f| flag("--log-format", "log.format", f.get_name()));
        sources.flags.extend(format);
        Ok(sources)
    }
}

/// Arguments of `config`.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `config` can do.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print what holds, each value with where it is from: valid TOML, without secrets.
    Show(ConfigFrom),
    /// Say what is wrong with a configuration file, each mistake on a line; exit code 2 if anything is.
    Check {
        /// The file [default: the user's]
        file: Option<PathBuf>,
    },
    /// Forget what clients changed while the daemon ran: the configuration file holds again.
    Reset(ConfigFrom),
    /// Print a file with every key at its default, and what it says.
    Example {
        /// With the paths of a service of the whole machine.
        #[arg(long)]
        system: bool,
    },
}
