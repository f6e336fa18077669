//! The command line of the commands that talk to a running daemon.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::daemon::config;
use crate::limits::Rate;
use crate::metadata::FileSelection;

/// Which daemon, and how the answer looks.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ApiArgs {
    /// Where the daemon is: http(s)://HOST:PORT, or unix:PATH [default: what its configuration on this machine says]
    #[arg(long, value_name = "URL", env = "CHUNKCAST_API")]
    pub api: Option<String>,
    /// File whose first line is the daemon's password (or CHUNKCAST_API_PASSWORD)
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `add`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// .torrent files, http(s) URLs of .torrent files, magnet links or infohashes.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Directory on the daemon's machine that the data goes to [default: its download directory]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Do not start it.
    #[arg(long)]
    pub paused: bool,
    /// A word to sort it by (repeatable).
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// Download only these files: numbers and ranges as `chunkcast get --list` shows them, such as 0,2,5-9.
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse)]
    pub select: Option<FileSelection>,
    /// A peer to connect to besides those that are found (repeatable).
    #[arg(long, value_name = "IP:PORT")]
    pub peer: Vec<SocketAddr>,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Arguments of `ls`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct LsArgs {
    /// Only those whose name has this in it, or whose infohash begins with it.
    pub filter: Option<String>,
    /// Only those that do this.
    #[arg(long, value_enum)]
    pub state: Option<StateArg>,
    /// Only those with this label.
    #[arg(long)]
    pub label: Option<String>,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Values of `ls --state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StateArg {
    /// Download, or wait for a place to.
    Downloading,
    /// Seed, or wait for a place to.
    Seeding,
    /// Stopped.
    Paused,
    /// Being hashed, or waiting to be.
    Checking,
    /// Something is wrong.
    Trouble,
}

/// Arguments of `info`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct InfoArgs {
    /// Which torrent: an infohash or the beginning of one, its number in `ls`, or a part of its name.
    pub torrent: String,
    /// Show its files too.
    #[arg(long)]
    pub files: bool,
    /// Show its trackers too.
    #[arg(long)]
    pub trackers: bool,
    /// Show the last questions to the directory too.
    #[arg(long)]
    pub lookups: bool,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Arguments of `peers`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct PeersArgs {
    /// Which torrent: an infohash or the beginning of one, its number in `ls`, or a part of its name.
    pub torrent: String,
    /// Also those that are not connected any more.
    #[arg(long)]
    pub all: bool,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Which torrents.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct Which {
    /// Torrents: infohashes or beginnings of them, their numbers in `ls`, or parts of their names.
    #[arg(value_name = "TORRENT")]
    pub torrents: Vec<String>,
    /// All torrents.
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `pause` and `verify`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct SomeArgs {
    /// Which torrents.
    #[command(flatten)]
    pub which: Which,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Arguments of `start`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct StartArgs {
    /// Which torrents.
    #[command(flatten)]
    pub which: Which,
    /// Whatever the queue says.
    #[arg(long)]
    pub now: bool,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Arguments of `rm`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RmArgs {
    /// Torrents: infohashes or beginnings of them, their numbers in `ls`, or parts of their names.
    #[arg(value_name = "TORRENT", required = true)]
    pub torrents: Vec<String>,
    /// Their data too.
    #[arg(long)]
    pub data: bool,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Arguments of `limit`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct LimitArgs {
    /// Torrents; without any the limits for all together are changed, or shown.
    #[arg(value_name = "TORRENT")]
    pub torrents: Vec<String>,
    /// Download at most this much a second: 500KiB/s, 20Mbit/s … or unlimited
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub download: Option<RateArg>,
    /// Upload at most this much a second.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub upload: Option<RateArg>,
    /// End seeding at this ratio: a number, unlimited, or (of a torrent) session for that of all
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub ratio: Option<LimitArg>,
    /// End seeding when nobody has fetched anything for so long: 30min, 2h, 7d … never, or session
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub idle: Option<LimitArg>,
    /// End seeding after so long: 30min, 2h, 7d … never, or session
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time: Option<LimitArg>,
    /// Whether the rates for all torrents hold for these too
    #[arg(long, value_name = "yes|no", value_parser = yes, requires = "torrents")]
    pub session_rates: Option<bool>,
    /// Connections at most
    #[arg(long, value_name = "N")]
    pub peers: Option<u32>,
    /// Switch the other rates ([schedule] of the configuration) on or off
    #[arg(long, value_name = "on|off", value_parser = yes, conflicts_with = "torrents")]
    pub schedule: Option<bool>,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// A rate, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct RateArg(pub Option<Rate>);

/// A limit, none, or that of all torrents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) enum LimitArg {
    Own(f64),
    Unlimited,
    Session,
}

fn rate(text: &str) -> Result<RateArg, String> {
    match text {
        "unlimited" => Ok(RateArg(None)),
        _ => match text.parse() {
            Ok(rate) => Ok(RateArg(Some(rate))),
            Err(e) => Err(format!("{e}; or unlimited")),
        },
    }
}

fn ratio(text: &str) -> Result<LimitArg, String> {
    match text {
        "unlimited" => Ok(LimitArg::Unlimited),
        "session" => Ok(LimitArg::Session),
        _ => config::parse_ratio(text).map(LimitArg::Own),
    }
}

fn time(text: &str) -> Result<LimitArg, String> {
    match text {
        "never" | "unlimited" => Ok(LimitArg::Unlimited),
        "session" => Ok(LimitArg::Session),
        _ => config::parse_time(text).map(|time| LimitArg::Own(time.as_secs_f64())),
    }
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "on" | "true" => Ok(true),
        "no" | "off" | "false" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// Arguments of `select`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct SelectArgs {
    /// Which torrent: an infohash or the beginning of one, its number in `ls`, or a part of its name.
    pub torrent: String,
    /// Download only these files: numbers and ranges such as 0,2,5-9.
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse, conflicts_with = "all")]
    pub only: Option<FileSelection>,
    /// Download all files.
    #[arg(long)]
    pub all: bool,
    /// Do not download these files.
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse)]
    pub skip: Option<FileSelection>,
    /// Download these files after the others.
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse)]
    pub low: Option<FileSelection>,
    /// Download these files as the others.
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse)]
    pub normal: Option<FileSelection>,
    /// Download these files before the others.
    #[arg(long, value_name = "FILES", value_parser = FileSelection::parse)]
    pub high: Option<FileSelection>,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Arguments of `move`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct MoveArgs {
    /// Which torrent: an infohash or the beginning of one, its number in `ls`, or a part of its name.
    pub torrent: String,
    /// Directory on the daemon's machine.
    pub dir: PathBuf,
    /// The data is there already.
    #[arg(long)]
    pub no_data: bool,
    /// Which daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}
