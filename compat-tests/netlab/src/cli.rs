//! The command line.

mod one_host;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::one_host::{IdleArgs, LeechArgs, LoopbackArgs, ManyArgs};
use crate::engine::Engine;
use crate::lab::{MAX_PEERS, MAX_SITES, Spec, Wan};
use crate::units::{Rate, duration, size};

/// Measures BitTorrent clients, unmodified, in networks that it builds on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "netlab",
    version,
    after_help = "Examples:\n  \
        netlab flash-crowd --engines chunkcast,aria2 --runs 3\n  \
        netlab sites --sites 3 --per-site 5 --engines chunkcast,aria2,libtorrent --json > sites.json\n  \
        netlab mixed --seeds transmission,aria2,chunkcast --runs 3\n  \
        netlab mixed --n 10 --ours 3 --no-directory --seeds aria2,libtorrent,transmission\n  \
        netlab loopback --engines chunkcast,libtorrent,aria2,transmission --runs 3\n  \
        netlab many --n 200 --size 4MiB\n  \
        netlab idle --torrents 1000\n\n\
        Exit codes: 0 done, 1 anything else, 2 usage, 3 not root, 4 the emulation is off and nothing was measured,\n\
        5 measured, and some peer did not get the file, 7 interrupted."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One seed and many downloaders on one switch, each behind a slow link of its own.
    FlashCrowd(CrowdArgs),
    /// Sites with fast networks, joined by slow links with latency; the seed is at the first.
    Sites(SitesArgs),
    /// The flash crowd, ChunkCast and stock clients in it, behind one tracker.
    Mixed(MixedArgs),
    /// One seed and one downloader on one machine: what a byte costs.
    Loopback(LoopbackArgs),
    /// Many downloaders that give each other nothing, on one machine with one seed: whether it serves them all alike.
    Many(ManyArgs),
    /// A daemon with many torrents that nobody asks for: what it takes to hold them.
    Idle(IdleArgs),
    /// The process that joins the sites.
    #[command(hide = true)]
    Router(RouterArgs),
    /// The downloaders of `many`, in one process.
    #[command(hide = true)]
    Leech(LeechArgs),
    /// One end of a check.
    #[command(hide = true, subcommand)]
    Probe(ProbeCommand),
    /// librqbit as a program.
    #[command(hide = true)]
    EngineLibrqbit {
        /// A .torrent file.
        torrent: PathBuf,
        /// Where its file is or goes.
        data: PathBuf,
        /// Where it listens.
        #[arg(long)]
        port: u16,
    },
}

/// Arguments of all scenes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Runs of each engine; the engines take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Who has not got everything by then has failed [default: 20 times the bound; `loopback` 10 MB/s but at least 30 s;
    /// `many` 60 s; `idle` 10 min for each start]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// One JSON object on standard output instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep every process's output there.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// The `chunkcast` program [default: beside this one, or in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) chunkcast: Option<PathBuf>,
    /// More words for `chunkcast get`, `chunkcast seed` and `chunkcast daemon` (repeatable).
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) chunkcast_arg: Vec<String>,
}

/// Arguments of the scenes in which one engine runs at all places.
#[derive(Clone, Debug, Args)]
pub(crate) struct Uniform {
    /// Who runs, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "chunkcast,aria2,libtorrent,transmission"
    )]
    pub(crate) engines: Vec<Engine>,
    /// ChunkCast finds no index node that already runs, as the others find their tracker: its downloaders are told of
    /// the seed's own, which starts with them.
    #[arg(long)]
    pub(crate) cold: bool,
    /// The stock clients do not tell each other of peers (BEP 11): they know those alone that their tracker names.
    #[arg(long)]
    pub(crate) no_pex: bool,
}

/// What is shared in a network of slow links.
#[derive(Clone, Debug, Args)]
pub(crate) struct Shared {
    /// Length of the file.
    #[arg(long, value_parser = size, default_value = "64MiB")]
    pub(crate) size: u64,
    /// Length of a piece.
    #[arg(long, value_parser = size, default_value = "256KiB")]
    pub(crate) piece: u64,
}

/// The network of a flash crowd.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrowdNet {
    /// Peers, the seed included.
    #[arg(long, default_value_t = 16)]
    pub(crate) n: usize,
    /// Rate of each peer's link, in each direction.
    #[arg(long, default_value = "20mbit")]
    pub(crate) rate: Rate,
    /// The longest wait in the queue of a peer's link.
    #[arg(long, value_parser = duration, default_value = "100ms")]
    pub(crate) queue: Duration,
}

/// Arguments of `flash-crowd`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrowdArgs {
    /// The network.
    #[command(flatten)]
    pub(crate) net: CrowdNet,
    /// What is shared.
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Who runs.
    #[command(flatten)]
    pub(crate) uniform: Uniform,
    /// What all scenes have.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `mixed`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MixedArgs {
    /// Who seeds: each in turn.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "transmission,aria2,chunkcast"
    )]
    pub(crate) seeds: Vec<Engine>,
    /// The stock clients that share the downloaders that are not ChunkCast.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "aria2,libtorrent,transmission"
    )]
    pub(crate) stock: Vec<Engine>,
    /// Downloaders that are ChunkCast [default: half]
    #[arg(long, value_name = "N")]
    pub(crate) ours: Option<usize>,
    /// ChunkCast's use the tracker alone, as the stock ones.
    #[arg(long)]
    pub(crate) no_directory: bool,
    /// The network.
    #[command(flatten)]
    pub(crate) net: CrowdNet,
    /// What is shared.
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// What all scenes have.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `sites`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SitesArgs {
    /// Sites.
    #[arg(long, default_value_t = 3)]
    pub(crate) sites: usize,
    /// Downloaders at each; the first has the seed besides.
    #[arg(long, default_value_t = 5)]
    pub(crate) per_site: usize,
    /// Rate of each peer's link within its site, in each direction.
    #[arg(long, default_value = "100mbit")]
    pub(crate) lan: Rate,
    /// Rate of each site's link to the others, in each direction.
    #[arg(long, default_value = "20mbit")]
    pub(crate) uplink: Rate,
    /// Round-trip time within a site, at most: nothing delays there.
    #[arg(long, value_parser = duration, default_value = "1ms")]
    pub(crate) rtt_lan: Duration,
    /// Round-trip time between two sites.
    #[arg(long, value_parser = duration, default_value = "60ms")]
    pub(crate) rtt_wan: Duration,
    /// The longest wait in the queue of a site's link.
    #[arg(long, value_parser = duration, default_value = "150ms")]
    pub(crate) queue: Duration,
    /// What is shared.
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Who runs.
    #[command(flatten)]
    pub(crate) uniform: Uniform,
    /// What all scenes have.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `router`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RouterArgs {
    /// Sites.
    #[arg(long)]
    pub(crate) sites: usize,
    /// Rate of a site's link.
    #[arg(long)]
    pub(crate) rate: Rate,
    /// Round-trip time between two sites.
    #[arg(long, value_parser = duration)]
    pub(crate) rtt: Duration,
    /// The longest wait in a queue.
    #[arg(long, value_parser = duration)]
    pub(crate) queue: Duration,
}

/// Subcommands of `probe`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ProbeCommand {
    /// Waits until a tracker knows a peer that has everything.
    Seeds {
        /// The tracker.
        tracker: SocketAddr,
        /// In hexadecimal.
        infohash: String,
    },
    /// Answers the others.
    Serve {
        /// Where.
        at: SocketAddr,
    },
    /// Waits until something accepts connections.
    Reach {
        /// Whom.
        to: SocketAddr,
    },
    /// Measures the round-trip time.
    Rtt {
        /// To whom.
        to: SocketAddr,
    },
    /// Measures one flow.
    Flow {
        /// To whom.
        to: SocketAddr,
        /// For so long.
        #[arg(long)]
        seconds: u64,
        /// Of which so much does not count.
        #[arg(long)]
        skip: u64,
    },
}

/// The queue of a peer's fast link within a site: a switch's buffer. // guess
const LAN_QUEUE: Duration = Duration::from_millis(50);

impl CrowdNet {
    fn spec(&self) -> Result<Spec, String> {
        if !(2..=MAX_PEERS).contains(&self.n) {
            return Err(format!("--n is {}; it goes from 2 to {MAX_PEERS}", self.n));
        }
        Ok(Spec {
            leechers: vec![self.n - 1],
            access: self.rate,
            access_queue: self.queue,
            rtt_lan: Duration::from_millis(1),
            wan: None,
        })
    }
}

impl CrowdArgs {
    /// The network.
    ///
    /// # Errors
    /// A line that says what does not fit.
    pub(crate) fn spec(&self) -> Result<Spec, String> {
        piece_fits(self.shared.piece)?;
        no_twins("--engines", &self.uniform.engines)?;
        self.net.spec()
    }
}

/// A scene in which clients have no host to themselves, or share one tracker.
fn none_near(flag: &str, engines: &[Engine]) -> Result<(), String> {
    match engines.iter().find(|engine| engine.is_near()) {
        Some(engine) => Err(format!(
            "{flag} has {engine}, which only flash-crowd and sites have"
        )),
        None => Ok(()),
    }
}

impl MixedArgs {
    /// The network.
    ///
    /// # Errors
    /// A line that says what does not fit.
    pub(crate) fn spec(&self) -> Result<Spec, String> {
        piece_fits(self.shared.piece)?;
        no_twins("--seeds", &self.seeds)?;
        no_twins("--stock", &self.stock)?;
        none_near("--seeds", &self.seeds)?;
        none_near("--stock", &self.stock)?;
        if self.stock.contains(&Engine::Chunkcast) {
            return Err("--stock has chunkcast, which has the other places".to_owned());
        }
        if self.net.n < 3 {
            let n = self.net.n;
            return Err(format!("--n is {n}; a seed and one of each half are 3"));
        }
        if !(1..self.net.n - 1).contains(&self.ours()) {
            let (ours, most) = (self.ours(), self.net.n - 2);
            return Err(format!("--ours is {ours}; it goes from 1 to {most}"));
        }
        self.net.spec()
    }

    /// How many of the downloaders are ChunkCast's.
    pub(crate) fn ours(&self) -> usize {
        self.ours.unwrap_or(self.net.n / 2)
    }
}

impl SitesArgs {
    /// The network.
    ///
    /// # Errors
    /// A line that says what does not fit.
    pub(crate) fn spec(&self) -> Result<Spec, String> {
        if !(2..=MAX_SITES).contains(&self.sites) {
            let n = self.sites;
            return Err(format!("--sites is {n}; it goes from 2 to {MAX_SITES}"));
        }
        if !(1..MAX_PEERS).contains(&self.per_site) {
            let n = self.per_site;
            return Err(format!(
                "--per-site is {n}; it goes from 1 to {}",
                MAX_PEERS - 1
            ));
        }
        piece_fits(self.shared.piece)?;
        no_twins("--engines", &self.uniform.engines)?;
        Ok(Spec {
            leechers: vec![self.per_site; self.sites],
            access: self.lan,
            access_queue: LAN_QUEUE,
            rtt_lan: self.rtt_lan,
            wan: Some(Wan {
                uplink: self.uplink,
                rtt: self.rtt_wan,
                queue: self.queue,
            }),
        })
    }
}

fn piece_fits(piece: u64) -> Result<(), String> {
    if piece.is_power_of_two() && (16 << 10..=64 << 20).contains(&piece) {
        return Ok(());
    }
    Err(format!(
        "--piece is {piece}; it is a power of two from 16KiB to 64MiB"
    ))
}

fn no_twins<T: PartialEq>(flag: &str, engines: &[T]) -> Result<(), String> {
    let twice = |(i, engine)| engines[..i].contains(engine);
    if engines.iter().enumerate().any(twice) {
        return Err(format!(
            "{flag} names one twice; for more runs there is --runs"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let spec = |words: &[&str]| match Cli::try_parse_from([&["netlab"], words].concat())
            .expect("parses")
            .command
        {
            Command::FlashCrowd(args) => args.spec(),
            Command::Sites(args) => args.spec(),
            Command::Mixed(args) => args.spec(),
            other => panic!("{other:?}"),
        };
        assert!(spec(&["flash-crowd"]).is_ok());
        assert_eq!(spec(&["mixed"]).map(|s| s.leechers), Ok(vec![15]));
        assert_eq!(spec(&["sites"]).map(|s| s.leechers), Ok(vec![5, 5, 5]));
        for (words, flag) in [
            (["flash-crowd", "--n", "1"], "--n"),
            (["flash-crowd", "--n", "201"], "--n"),
            (["flash-crowd", "--piece", "100000"], "--piece"),
            (["flash-crowd", "--engines", "aria2,aria2"], "--engines"),
            (["mixed", "--n", "2"], "--n"),
            (["mixed", "--ours", "15"], "--ours"),
            (["mixed", "--ours", "0"], "--ours"),
            (["mixed", "--stock", "aria2,chunkcast"], "--stock"),
            (["mixed", "--seeds", "aria2,chunkcast,aria2"], "--seeds"),
            (["sites", "--sites", "1"], "--sites"),
            (["sites", "--sites", "17"], "--sites"),
            (["sites", "--per-site", "0"], "--per-site"),
        ] {
            let error = spec(&words).expect_err(flag);
            assert!(error.starts_with(flag), "{error}");
        }
    }
}
