//! What `get` and `seed` share: a session, its torrents, and how each of them ends.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::NetworkArgs;
use super::exit::{Code, Failure};
use super::index;
use super::output::{Reporter, TorrentReporter, count, human, print_line};
use super::signal::asked;
use crate::discovery::{ResolveError, resolve};
use crate::metadata::{FileSelection, Metainfo};
use crate::session::{
    AddTorrent, DataPath, IndexUse, Progress, Session, SessionConfig, SessionError, TorrentError,
    TorrentEvent, TorrentHandle, TorrentSource,
};
use crate::state::User;
use crate::wire::conn::ConnConfig;

/// What is to become of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Print its files.
    List,
    /// Download, then end.
    Get,
    /// Download, then seed until interrupted.
    GetAndSeed,
    /// Seed what is there until interrupted.
    SeedOnly,
}

/// One torrent of the command line.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) source: TorrentSource,
    pub(super) data: DataPath,
    /// The files that are wanted, if not all.
    pub(super) select: Option<FileSelection>,
    pub(super) plan: Plan,
}

impl Job {
    /// Whether it is known to be private (BEP 27).
    fn is_private(&self) -> bool {
        self.source.is_private()
    }
}

/// Resolves every name given with `flag`.
///
/// # Errors
/// With a line that names the one: code 2 for what is not HOST:PORT, 4 for what does not resolve.
pub(super) async fn resolve_all(names: &[String], flag: &str) -> Result<Vec<SocketAddr>, Failure> {
    let mut out = Vec::new();
    for name in names {
        let found = resolve(name).await.map_err(|e| {
            let code = match e {
                ResolveError::Syntax(_) => Code::Usage,
                ResolveError::Unknown { .. } | ResolveError::Timeout(_) => Code::Network,
            };
            Failure::new(code, format!("{flag} {e}"))
        })?;
        out.extend(found);
    }
    Ok(out)
}

/// A session that cannot start, as a failure.
pub(super) fn index_failure(error: &SessionError) -> Failure {
    Failure::new(Code::Network, error)
}

/// Carries the jobs out in one session, until `end`.
///
/// A job that fails does not stop the others: its failure is told at once.
///
/// # Errors
/// The first failure of any job; code 7 when interrupted before a download was complete.
pub(super) async fn run_jobs(
    jobs: Vec<Job>,
    user: User,
    args: &NetworkArgs,
    patience: Option<Duration>,
    end: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, args.quiet);
    let (jobs, listed): (Vec<Job>, Vec<Job>) = jobs
        .into_iter()
        .partition(|j| j.plan != Plan::List || matches!(j.source, TorrentSource::Magnet(_)));
    for job in &listed {
        if let TorrentSource::Metainfo(meta) = &job.source {
            list(&reporter, meta, None);
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let (limits, lowered) = args.budgets.fitted()?;
    if let Some(line) = lowered {
        reporter.warning(&line);
    }
    let start = async {
        let peers = resolve_all(&args.peer, "--peer").await?;
        let mut config = config(args).await?;
        config.limits = limits;
        // BEP 27: nothing of a private torrent concerns the DHT or who else is in this network
        let public = jobs.iter().any(|j| !j.is_private());
        config.dht &= public;
        config.index_settings = index::settings(&args.index, user, &reporter)?;
        config.index_settings.lan &= public;
        let settings = config.index_settings.clone();
        let session = Session::start(config)
            .await
            .map_err(|e| index_failure(&e))?;
        let control = match session.index() {
            Some(node) => {
                index::control(args.index.control.as_deref(), &settings, node, &reporter)?
            }
            None => None,
        };
        Ok((peers, session, control))
    };
    let (peers, session, _control) = tokio::select! {
        started = start => started?,
        () = asked(end.clone()) => return Err(Failure::interrupted("before anything was done")),
    };
    if jobs.iter().any(|j| j.plan != Plan::List) {
        reporter.line(&addresses(&session));
    }
    let several = jobs.len() > 1;
    let mut running = JoinSet::new();
    for job in jobs {
        let add = AddTorrent {
            peers: peers.clone(),
            select: job.select,
            patience,
            seed_only: job.plan == Plan::SeedOnly,
            metadata_only: job.plan == Plan::List,
            ..AddTorrent::new(job.source, job.data)
        };
        let name = add.source.name();
        let handle = match session.add(add).await {
            Ok(handle) => handle,
            Err(e) => {
                session.shutdown().await;
                return Err(failure_of(&e));
            }
        };
        let watcher = Watcher {
            plan: job.plan,
            reporter: reporter.clone(),
            torrent: reporter.torrent(&name),
            info_hash: handle.info_hash(),
            listen: session.listen_addr(),
            index: session.index_addr(),
            end: end.clone(),
        };
        running.spawn(watcher.run(handle));
    }
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        let mut ended = ended.unwrap_or_else(|e| Err(Failure::new(Code::Other, e)));
        if let Err(failure) = &mut ended
            && several
            && failure.code != Code::Interrupted
        {
            super::report(&reporter, failure);
            failure.told = true;
        }
        if result.is_ok() {
            result = ended;
        }
    }
    session.shutdown().await;
    result
}

/// Where others reach this process.
fn addresses(session: &Session) -> String {
    let peers = format!("listening for peers on {}", session.listen_addr());
    match session.index_addr() {
        Some(index) => format!(
            "{peers}, index node on {index} (others join it with --bootstrap HOST:{})",
            index.port()
        ),
        None => peers,
    }
}

async fn config(args: &NetworkArgs) -> Result<SessionConfig, Failure> {
    let bootstrap = resolve_all(&args.bootstrap, "--bootstrap").await?;
    Ok(SessionConfig {
        listen: args.listen,
        transports: args.transport,
        index: if args.no_index {
            IndexUse::Client
        } else {
            IndexUse::Colocated(args.index_listen)
        },
        bootstrap,
        trackers: !args.no_trackers,
        dht: !args.no_dht,
        lsd: !args.no_lsd,
        pex: !args.no_pex,
        web_seeds: !args.no_web_seeds,
        rendezvous: !args.index.no_rendezvous,
        map_ports: index::map_ports(&args.index),
        dht_bootstrap: (!args.dht_bootstrap.is_empty()).then(|| args.dht_bootstrap.clone()),
        conn: ConnConfig {
            encryption: args.encryption.into(),
            ..ConnConfig::default()
        },
        ..SessionConfig::default()
    })
}

fn failure_of(error: &TorrentError) -> Failure {
    let code = match error {
        TorrentError::NoMetadata { .. } | TorrentError::NoPeers { .. } => Code::NotFound,
        TorrentError::BadMetadata { .. } | TorrentError::NothingSelected { .. } => Code::BadTorrent,
        TorrentError::Incomplete { .. } | TorrentError::Disk(_) => Code::Disk,
        TorrentError::Twice { .. } => Code::Usage,
    };
    Failure::new(code, error)
}

/// Follows one torrent to its end.
struct Watcher {
    plan: Plan,
    reporter: Reporter,
    torrent: TorrentReporter,
    info_hash: String,
    listen: SocketAddr,
    index: Option<SocketAddr>,
    end: watch::Receiver<bool>,
}

impl Watcher {
    async fn run(mut self, mut handle: TorrentHandle) -> Result<(), Failure> {
        let mut complete = false;
        let mut last_peers = 0;
        let name = |this: &Self| this.torrent.name().to_owned();
        let result = loop {
            let event = tokio::select! {
                event = handle.next() => event,
                () = asked(self.end.clone()) => break self.interrupted(complete),
            };
            match event {
                Some(TorrentEvent::Metadata(meta)) => {
                    if self.plan == Plan::List {
                        list(&self.reporter, &meta, Some(self.listen));
                        break Ok(());
                    }
                    self.metadata(&meta);
                }
                Some(TorrentEvent::Checked(p)) => {
                    if self.reporter.is_json() {
                        self.torrent.progress(&self.info_hash, &p);
                    }
                    if p.verified_bytes > 0 && self.plan != Plan::SeedOnly {
                        self.reporter.line(&format!(
                            "{}: {} of {} are already here and verified",
                            name(&self),
                            human(p.verified_bytes),
                            human(p.total_bytes)
                        ));
                    }
                }
                Some(TorrentEvent::Progress(p)) => {
                    self.torrent.progress(&self.info_hash, &p);
                    let connected = p.near + p.far + p.web_seeds;
                    if connected != last_peers {
                        last_peers = connected;
                        self.torrent.peers(&self.info_hash, &p);
                    }
                }
                Some(TorrentEvent::Complete(p)) => {
                    complete = true;
                    if self.reporter.is_json() {
                        self.torrent.progress(&self.info_hash, &p);
                    }
                    self.complete(&p);
                    if self.plan == Plan::Get {
                        break Ok(());
                    }
                }
                Some(TorrentEvent::Paused(line)) => {
                    let (hash, name) = (&self.info_hash, self.torrent.name());
                    self.reporter.trouble("paused", hash, name, &line);
                }
                Some(TorrentEvent::Resumed) => {
                    let hash = json!({ "info_hash": self.info_hash });
                    self.reporter.event("resumed", hash);
                    let text = format!("{}: goes on, the disk takes data again", name(&self));
                    self.reporter.line(&text);
                }
                Some(TorrentEvent::Warning(line)) => {
                    let text = format!("{}: {line}", name(&self));
                    self.reporter.warning(&text);
                }
                Some(TorrentEvent::Failed(e)) => break Err(failure_of(&e)),
                None => {
                    break Err(Failure::new(
                        Code::Other,
                        "the torrent ended unexpectedly; run again with -v",
                    ));
                }
            }
        };
        self.torrent.finish();
        let last = handle.stop().await;
        if self.plan != Plan::List {
            self.torrent.peers(&self.info_hash, &last);
        }
        result
    }

    fn metadata(&mut self, meta: &Metainfo) {
        let layout = &meta.layout;
        self.torrent.rename(&layout.name);
        self.reporter.event(
            "metadata",
            json!({ "info_hash": self.info_hash, "name": layout.name, "size": layout.total_length,
                    "piece_length": layout.piece_length, "pieces": layout.piece_count(),
                    "files": layout.files.iter().filter(|f| !f.padding).count(), "private": meta.private,
                    "listen": self.listen.to_string(), "index": self.index.map(|i| i.to_string()) }),
        );
        self.reporter.line(&format!(
            "{}: {} in {}, {} of {}",
            self.torrent.name(),
            human(layout.total_length),
            count(layout.files.iter().filter(|f| !f.padding).count(), "file"),
            pieces(meta),
            human(u64::from(layout.piece_length))
        ));
    }

    fn complete(&self, p: &Progress) {
        self.reporter.event(
            "complete",
            json!({ "info_hash": self.info_hash, "total_bytes": p.total_bytes, "downloaded": p.downloaded,
                    "wasted": p.wasted }),
        );
        let (name, size, listen) = (self.torrent.name(), human(p.total_bytes), self.listen);
        self.reporter.last_line(&match self.plan {
            Plan::SeedOnly => {
                format!("{name}: seeding {size} of verified data on {listen}; Ctrl-C ends it")
            }
            Plan::GetAndSeed => format!(
                "{name}: complete, {size} verified and on disk; seeding on {listen}; Ctrl-C ends it"
            ),
            Plan::Get | Plan::List => {
                format!("{name}: complete, {size} verified and on disk")
            }
        });
    }

    fn interrupted(&self, complete: bool) -> Result<(), Failure> {
        if complete || self.plan == Plan::SeedOnly {
            return Ok(());
        }
        Err(Failure::interrupted(if self.plan == Plan::List {
            "before any peer sent the metadata"
        } else {
            "before the download was complete; the same command goes on where it stopped"
        }))
    }
}

/// `12 pieces`.
fn pieces(meta: &Metainfo) -> String {
    count(
        usize::try_from(meta.layout.piece_count()).unwrap_or(usize::MAX),
        "piece",
    )
}

/// Prints the files of a torrent.
fn list(reporter: &Reporter, meta: &Metainfo, listen: Option<SocketAddr>) {
    let layout = &meta.layout;
    let hash: String = meta.info_hash.iter().map(|b| format!("{b:02x}")).collect();
    // by the numbers that --select and `so=` take, which count padding too
    let files = layout.files.iter().enumerate();
    let files: Vec<_> = files.filter(|(_, f)| !f.padding).collect();
    if reporter.is_json() {
        let rows: Vec<_> = files
            .iter()
            .map(|(index, f)| json!({ "index": index, "path": f.path, "size": f.length }))
            .collect();
        reporter.event(
            "metadata",
            json!({ "info_hash": hash, "name": layout.name, "size": layout.total_length,
                    "piece_length": layout.piece_length, "pieces": layout.piece_count(),
                    "private": meta.private, "trackers": meta.trackers,
                    "web_seeds": meta.web_seeds, "files": files.len(),
                    "file_list": rows, "listen": listen.map(|l| l.to_string()) }),
        );
        return;
    }
    for (index, f) in &files {
        let (size, path) = (human(f.length), f.path.display());
        print_line(&format!("{index:>5}  {size:>12}  {path}"));
    }
    print_line(&format!(
        "{:>19}  in {}, {} of {}, infohash {hash}{}",
        human(layout.total_length),
        count(files.len(), "file"),
        pieces(meta),
        human(u64::from(layout.piece_length)),
        if meta.private { ", private" } else { "" }
    ));
}
