//! The command line: what can be asked for, with help that has examples.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chunkcast::auth::seal::NetworkKey;
use chunkcast::node::Network;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::budgets::BudgetArgs;
use super::client;
use super::daemon_args::{ConfigArgs, DaemonArgs};
use super::exit::{Code, Failure};
use crate::daemon::config::LogFormat;
use crate::limits::parse_bytes;
use crate::metadata::FileSelection;
use crate::session::Transports;
use crate::wire::encryption::Encryption;

/// A BitTorrent client that downloads from the neighbour who already has it.
#[derive(Debug, Parser)]
#[command(
    name = "chunkcast",
    version,
    propagate_version = true,
    after_help = "Examples:\n  \
        chunkcast demo\n  \
        chunkcast create ./dataset -o dataset.torrent\n  \
        chunkcast seed dataset.torrent --data ./dataset --index-listen 0.0.0.0:4240\n  \
        chunkcast get dataset.torrent -o /srv --bootstrap seed.example.net:4240\n  \
        chunkcast get 'magnet:?xt=urn:btih:…' --seed\n\n\
        Exit codes: 0 done, 1 anything else, 2 usage, 3 no metadata or peers in time, 4 network, 6 disk,\n\
        7 interrupted with unfinished work (what is done is kept and reused), 8 bad torrent or magnet."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More detail on standard error: -v info, -vv debug, -vvv trace (or RUST_LOG).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// How lines of the log look: text, json, or auto (text, without times where the system's journal adds them).
    #[arg(long, value_name = "FORMAT", value_enum, global = true)]
    pub log_format: Option<LogFormat>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Download torrents: .torrent files, http(s) URLs of them, or magnet links.
    #[command(after_help = "Examples:\n  \
        chunkcast get debian.torrent\n  \
        chunkcast get https://example.org/dataset.torrent -o /data --seed\n  \
        chunkcast get 'magnet:?xt=urn:btih:…' --bootstrap 10.0.0.5:4240 --no-trackers --no-dht\n  \
        chunkcast get big.torrent --list")]
    Get(GetArgs),
    /// Seed a torrent whose data is already here.
    #[command(after_help = "Examples:\n  \
        chunkcast seed dataset.torrent --data ./dataset\n  \
        chunkcast seed image.torrent --data /images/image.raw --index-listen 0.0.0.0:4240")]
    Seed(SeedArgs),
    /// Make a .torrent file of a file or a folder.
    #[command(after_help = "Examples:\n  \
        chunkcast create ./dataset\n  \
        chunkcast create image.raw -o image.torrent --piece-length 1MiB\n  \
        chunkcast create image.raw --web-seed https://mirror.example/images/image.raw\n  \
        chunkcast create ./internal --private --tracker http://tracker.corp/announce\n\n\
        An existing .torrent file is replaced; any other file in its place is not.")]
    Create(CreateArgs),
    /// Run an index node alone: a part of the directory that neither downloads nor seeds.
    #[command(after_help = "Examples:\n  \
        chunkcast node --index-listen 0.0.0.0:4240\n  \
        chunkcast node --index-listen 0.0.0.0:4240 --bootstrap other.example.net:4240")]
    Node(NodeArgs),
    /// Be the tracker of the stock clients on this machine: they get near peers, and are found by others.
    #[command(after_help = "Examples:\n  \
        chunkcast tracker --bootstrap 10.0.0.5:4240\n  \
        chunkcast tracker --listen 127.0.0.1:7000 --index-listen 0.0.0.0:4240\n\n\
        Then add http://127.0.0.1:6969/announce (or udp://127.0.0.1:6969) as a tracker to torrents in the client.")]
    Tracker(TrackerArgs),
    /// Ask the directory who holds a torrent.
    #[command(after_help = "Examples:\n  \
        chunkcast lookup 0123456789abcdef0123456789abcdef01234567 --bootstrap 10.0.0.5:4240\n  \
        chunkcast lookup --trace --to-root 0123456789abcdef0123456789abcdef01234567")]
    Lookup(LookupArgs),
    /// Show whom a running node on this machine knows, and what it holds.
    #[command(after_help = "Examples:\n  \
        chunkcast table\n  \
        chunkcast table --control /run/chunkcast.sock --json\n\n\
        Without --control it asks the first of this user's `daemon`, `node`, `get` and `seed` that runs; of the machine's\n\
        service with --state /var/lib/chunkcast.\n\
        Exit code 4: none of them runs.")]
    Table(TableArgs),
    /// See it work: index nodes, a seed and downloaders as processes on this machine.
    #[command(
        after_help = "Examples:\n  chunkcast demo\n  chunkcast demo --peers 16 --size 256MiB"
    )]
    Demo(DemoArgs),
    /// Run a seedbox: many torrents, a queue and limits, a page and an API, state that survives any end.
    #[command(after_help = "Examples:\n  \
        chunkcast daemon\n  \
        chunkcast daemon --data /srv/torrents --set api.listen=0.0.0.0:9091 --set api.password-file=/etc/chunkcast/password\n  \
        chunkcast config example > ~/.config/chunkcast/config.toml\n\n\
        Flags win over the environment (CHUNKCAST_SECTION_KEY), that over changes made at runtime, these over the file.\n\
        SIGHUP reads the file again. SIGTERM and Ctrl-C end it within 10 s, a second one at once.\n\
        Exit codes: 0 ended as asked, 1 anything else, 2 a mistake in the configuration, 4 an address is taken,\n\
        6 a directory cannot be used, 7 ended at once.")]
    Daemon(DaemonArgs),
    /// Add torrents to the running daemon.
    #[command(after_help = "Examples:\n  \
        chunkcast add debian.torrent --label linux\n  \
        chunkcast add 'magnet:?xt=urn:btih:…' --dir /srv/data --paused")]
    Add(client::AddArgs),
    /// List the torrents of the running daemon.
    #[command(
        after_help = "Examples:\n  chunkcast ls\n  chunkcast ls debian --state seeding\n  chunkcast ls --json"
    )]
    Ls(client::LsArgs),
    /// Show a torrent of the running daemon.
    Info(client::InfoArgs),
    /// Show the peers of a torrent: who named each, how far it is, what comes and goes, and why it is one.
    Peers(client::PeersArgs),
    /// Stop torrents of the running daemon.
    Pause(client::SomeArgs),
    /// Start torrents of the running daemon.
    Start(client::StartArgs),
    /// Hash all data of torrents again.
    Verify(client::SomeArgs),
    /// Remove torrents from the running daemon; their data stays, unless --data.
    Rm(client::RmArgs),
    /// Change or show limits, of torrents or of all together.
    #[command(after_help = "Examples:\n  \
        chunkcast limit --upload 2MiB/s --ratio 2\n  \
        chunkcast limit debian --download 500KiB/s --ratio unlimited\n  \
        chunkcast limit --schedule on\n\n\
        A change is kept over a restart, until the configuration is reloaded (SIGHUP) or `chunkcast config reset`.")]
    Limit(client::LimitArgs),
    /// Choose the files of a torrent, and in which order they come; or show them.
    #[command(
        after_help = "Examples:\n  chunkcast select debian\n  chunkcast select debian --only 0,3-5 --high 4"
    )]
    Select(client::SelectArgs),
    /// Move the data of a torrent to another directory.
    Move(client::MoveArgs),
    /// Show or check the configuration of the daemon.
    #[command(after_help = "Examples:\n  \
        chunkcast config example > ~/.config/chunkcast/config.toml\n  \
        chunkcast config check\n  \
        chunkcast config show --set rates.upload=2MiB/s")]
    Config(ConfigArgs),
    /// Print the manual, or write all its pages into a directory.
    Man(ManArgs),
    /// Print the completions of a shell.
    #[command(after_help = "Examples:\n  \
        chunkcast completions bash > ~/.local/share/bash-completion/completions/chunkcast\n  \
        chunkcast completions zsh > ~/.zfunc/_chunkcast\n  \
        chunkcast completions fish > ~/.config/fish/completions/chunkcast.fish")]
    Completions(CompletionsArgs),
}

/// How to reach the directory and the swarm; shared by `get` and `seed`.
#[derive(Clone, Debug, Args)]
pub(super) struct NetworkArgs {
    /// An index node to join the directory through (repeatable).
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<String>,
    /// A peer to connect to besides those that are found (repeatable).
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Vec<String>,
    /// Address for incoming peers, over TCP and uTP [default: all, IPv6 and IPv4, port 6881 to 6889 or any free one]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// What carries connections with peers: TCP and, where that fails, uTP (over UDP, the same port); or one of them.
    #[arg(long, value_enum, default_value_t)]
    pub transport: Transports,
    /// UDP address of the colocated index node [default: --listen's address, port 4240 or any free one]
    #[arg(long, value_name = "IP:PORT")]
    pub index_listen: Option<SocketAddr>,
    /// Whether connections to peers are encrypted (MSE, a disguise against who filters BitTorrent).
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub encryption: EncryptionArg,
    /// Ask no tracker.
    #[arg(long)]
    pub no_trackers: bool,
    /// Do not use the Mainline DHT.
    #[arg(long)]
    pub no_dht: bool,
    /// Neither announce torrents on the local network nor take peers from there (BEP 14).
    #[arg(long)]
    pub no_lsd: bool,
    /// Neither tell peers of each other nor believe them when they name others (BEP 11).
    #[arg(long)]
    pub no_pex: bool,
    /// Do not download from the web servers that a torrent names (BEP 19).
    #[arg(long)]
    pub no_web_seeds: bool,
    /// Run no index node: ask and publish through a --bootstrap node or one that is found, or not at all without one.
    #[arg(long)]
    pub no_index: bool,
    /// The index node's own flags.
    #[command(flatten)]
    pub index: IndexArgs,
    /// DHT nodes to start from instead of the well-known ones (repeatable).
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    pub dht_bootstrap: Vec<String>,
    /// One JSON object a line instead of text: "event" (metadata, peers, progress, paused, resumed,
    /// complete, error) and "unix_time".
    #[arg(long)]
    pub json: bool,
    /// Only errors, and the last line.
    #[arg(long, short)]
    pub quiet: bool,
    /// End in an orderly way when standard input ends.
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
    /// Rate limits and budgets; last, as its heading holds for all that follow.
    #[command(flatten)]
    pub budgets: BudgetArgs,
}

/// Values of `--encryption`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EncryptionArg {
    /// Plaintext only; encrypted callers are refused.
    Off,
    /// Plaintext, and encrypted with peers that insist on it: the fastest way to reach all.
    #[default]
    Allow,
    /// Encrypted, and plaintext with peers that cannot do that.
    Prefer,
    /// Encrypted only; plaintext callers are refused.
    Require,
}

impl From<EncryptionArg> for Encryption {
    fn from(arg: EncryptionArg) -> Self {
        match arg {
            EncryptionArg::Off => Self::Off,
            EncryptionArg::Allow => Self::Allow,
            EncryptionArg::Prefer => Self::Prefer,
            EncryptionArg::Require => Self::Require,
        }
    }
}

/// Who an index node is, how it finds others and how they reach it; shared by `node`, `tracker`, `get` and `seed`.
#[derive(Clone, Debug, Args)]
pub(super) struct IndexArgs {
    /// Do not look for index nodes on the local network (multicast), nor announce this one there.
    #[arg(long)]
    pub no_lan: bool,
    /// Do not look for index nodes through the Mainline DHT, nor announce this one there.
    #[arg(long)]
    pub no_rendezvous: bool,
    /// Do not ask the router (UPnP) to let others reach this machine's ports.
    #[arg(long)]
    pub no_upnp: bool,
    /// Seconds for which the router is asked at a time.
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub upnp_lease: Option<u32>,
    /// Where the index node's identity and the nodes it knows are kept [default: the user's state directory]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Keep nothing: a new identity each time.
    #[arg(long, conflicts_with = "state")]
    pub no_state: bool,
    /// Socket on which `chunkcast table` can ask this process [default: in the state directory]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Key of a closed network.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// The key of a closed network; shared by all that talk to index nodes.
#[derive(Clone, Debug, Args)]
pub(super) struct KeyArgs {
    /// Join the closed network with this key: 64 hexadecimal digits, or a file that holds them or the 32 bytes.
    #[arg(
        long,
        value_name = "FILE|HEX",
        env = "CHUNKCAST_NETWORK_KEY",
        hide_env_values = true,
        value_parser = KeyText::parse
    )]
    network_key: Option<KeyText>,
}

/// A key as it was given. Not read by the command line's parser, whose messages repeat what they do not like.
#[derive(Clone)]
pub(super) struct KeyText(pub(super) String);

impl KeyText {
    /// Takes any text.
    #[allow(
        clippy::unnecessary_wraps,
        reason = "as the parser of the command line wants it"
    )]
    pub(super) fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
}

impl KeyArgs {
    /// The closed network with the key that was given, or the open one.
    ///
    /// # Errors
    /// Code 2 for what is no key.
    pub(super) fn network(&self) -> Result<Network, Failure> {
        let text = self.network_key.as_ref().map(|key| key.0.as_str());
        network_of("--network-key", text)
    }
}

/// The closed network with this key, or the open one; `name` is what the key was given as. The key is not shown.
///
/// # Errors
/// Code 2 for what is no key.
pub(super) fn network_of(name: &str, key: Option<&str>) -> Result<Network, Failure> {
    let Some(text) = key else {
        return Ok(Network::Open);
    };
    parse_key(text)
        .map(Network::Closed)
        .map_err(|e| Failure::new(Code::Usage, format!("{name}: {e}")))
}

/// Arguments of `get`.
#[derive(Clone, Debug, Args)]
pub(super) struct GetArgs {
    /// .torrent files, http(s) URLs of .torrent files, magnet links or infohashes.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Directory that the torrent's file or folder goes into.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Go on seeding after the download, until interrupted.
    #[arg(long)]
    pub seed: bool,
    /// Only list the files, download nothing.
    #[arg(long)]
    pub list: bool,
    /// Download only these files: numbers and ranges as `--list` shows them, such as 0,2,5-9 [default: all, or those that
    /// the magnet link selects]
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse, conflicts_with = "list")]
    pub select: Option<FileSelection>,
    /// Give up when there is no metadata, or no peer at all, for this many seconds; 0 waits for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub timeout: u64,
    /// Network flags.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Arguments of `seed`.
#[derive(Clone, Debug, Args)]
pub(super) struct SeedArgs {
    /// A .torrent file or an http(s) URL of one.
    #[arg(value_name = "TORRENT")]
    pub torrent: String,
    /// The file or folder itself.
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Network flags.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Arguments of `create`.
#[derive(Clone, Debug, Args)]
pub(super) struct CreateArgs {
    /// The file or folder.
    pub path: PathBuf,
    /// Where to write the torrent [default: the name of PATH with .torrent, in the current directory]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Bytes in a piece: a power of two from 16KiB [default: chosen by size, about 1000 to 2000 pieces]
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub piece_length: Option<u64>,
    /// A tracker's announce URL (repeatable; each becomes a tier of its own).
    #[arg(long, value_name = "URL")]
    pub tracker: Vec<String>,
    /// BEP 19: a web server that holds the data (repeatable). For a folder, or if it ends in `/`, the URL of what holds
    /// PATH.
    #[arg(long, value_name = "URL")]
    pub web_seed: Vec<String>,
    /// BEP 27: peers from the tracker only; no directory, no DHT.
    #[arg(long)]
    pub private: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Only errors.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `node`.
#[derive(Clone, Debug, Args)]
pub(super) struct NodeArgs {
    /// UDP address to listen on.
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:4240")]
    pub index_listen: SocketAddr,
    /// An index node to join the directory through (repeatable).
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<String>,
    /// The index node's own flags.
    #[command(flatten)]
    pub index: IndexArgs,
    /// Do not use the Mainline DHT.
    #[arg(long)]
    pub no_dht: bool,
    /// DHT nodes to start from instead of the well-known ones (repeatable).
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    pub dht_bootstrap: Vec<String>,
    /// Seconds between two status lines; 0: only when something happens.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub status_every: u64,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub json: bool,
    /// Only errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// End in an orderly way when standard input ends.
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// Arguments of `tracker`.
#[derive(Clone, Debug, Args)]
pub(super) struct TrackerArgs {
    /// Where clients announce, over HTTP and UDP (repeatable) [default: 127.0.0.1:6969 and [::1]:6969]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Vec<SocketAddr>,
    /// A .torrent file of a torrent to serve before its metainfo is read from a client (repeatable).
    #[arg(long, value_name = "FILE")]
    pub torrent: Vec<String>,
    /// UDP address of the colocated index node [default: all, port 4240 or any free one]
    #[arg(long, value_name = "IP:PORT")]
    pub index_listen: Option<SocketAddr>,
    /// An index node to join the directory through (repeatable).
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<String>,
    /// The index node's own flags.
    #[command(flatten)]
    pub index: IndexArgs,
    /// Do not use the Mainline DHT.
    #[arg(long)]
    pub no_dht: bool,
    /// DHT nodes to start from instead of the well-known ones (repeatable).
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    pub dht_bootstrap: Vec<String>,
    /// Seconds between two status lines; 0: none.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub status_every: u64,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub json: bool,
    /// Only errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// End in an orderly way when standard input ends.
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// Arguments of `lookup`.
#[derive(Clone, Debug, Args)]
pub(super) struct LookupArgs {
    /// 40 hexadecimal digits, or a magnet link.
    pub infohash: String,
    /// The index node to ask (repeatable) [default: 127.0.0.1:4240]
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Vec<String>,
    /// How many peers to ask for.
    #[arg(short, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub p: u8,
    /// Let the query go on to the root of the torrent's index tree.
    #[arg(long)]
    pub to_root: bool,
    /// Show every index node on the way: round-trip times, matches known there, and why it went on.
    #[arg(long)]
    pub trace: bool,
    /// Key of a closed network.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `table`.
#[derive(Clone, Debug, Args)]
pub(super) struct TableArgs {
    /// The control socket of the process to ask [default: that of this user's `daemon`, `node`, `get` or `seed`]
    #[arg(long, value_name = "PATH", conflicts_with = "state")]
    pub control: Option<PathBuf>,
    /// The state directory that the process was given.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub(super) struct DemoArgs {
    /// Downloaders.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub peers: u16,
    /// Size of the file.
    #[arg(long, default_value = "64MiB", value_parser = parse_bytes)]
    pub size: u64,
    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for every command into this directory.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Reads a network key: hexadecimal digits, or a file. What it is never appears in a message.
///
/// # Errors
/// A line that says which forms are taken.
fn parse_key(text: &str) -> Result<NetworkKey, String> {
    let form = "a key is 64 hexadecimal digits, or a file that holds them or the 32 bytes";
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    if text.len() == 64 || !text.contains(['/', '.']) && !Path::new(text).exists() {
        return Err(form.to_owned()); // perhaps a mistyped key, which must not be shown
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(text)
        .and_then(|f| std::io::Read::read_to_end(&mut std::io::Read::take(f, 128), &mut bytes));
    if let Err(e) = read {
        return Err(format!("the file cannot be read: {e}; {form}"));
    }
    if let Ok(raw) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(NetworkKey(raw));
    }
    let text = str::from_utf8(bytes.trim_ascii()).unwrap_or("");
    text.parse()
        .map_err(|_| format!("the file holds no key; {form}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn keys_are_read_from_digits_and_files_and_never_shown() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let hex = "0f".repeat(32);
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("hex"), format!("{hex}\n")).expect("written");
        std::fs::write(path("raw"), [15; 32]).expect("written");
        std::fs::write(path("short"), [15; 31]).expect("written");
        for good in [hex.clone(), path("hex"), path("raw")] {
            assert_eq!(parse_key(&good), Ok(NetworkKey([15; 32])));
        }
        let mistyped = format!("x{}", &hex[1..]);
        for bad in [&mistyped, "0f0f", "", &path("short"), &path("none")] {
            let error = parse_key(bad).expect_err("no key");
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(!error.contains("0f0f"), "{error}");
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
