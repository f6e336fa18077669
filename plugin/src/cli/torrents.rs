//! What `get` and `seed` share: a session, its torrents, and how each of them ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::NetworkArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, TorrentReporter, human, print_line};
use super::signal::{interrupted, stdin_closed};
use crate::discovery::resolve;
use crate::metadata::Metainfo;
use crate::session::{
    AddTorrent, DataPath, IndexUse, Progress, Session, SessionConfig, SessionError, TorrentError,
    TorrentEvent, TorrentHandle, TorrentSource,
};

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
    pub(super) plan: Plan,
}

/// Resolves every name given with `flag`.
///
/// # Errors
/// Code 4 with a line that names the one that does not resolve.
pub(super) async fn resolve_all(names: &[String], flag: &str) -> Result<Vec<SocketAddr>, Failure> {
    let mut out = Vec::new();
    for name in names {
        let found = resolve(name)
            .await
            .map_err(|e| Failure::new(Code::Network, format!("{flag} {e}")))?;
        out.extend(found);
    }
    Ok(out)
}

/// A session that cannot start, as a failure.
pub(super) fn index_failure(error: &SessionError) -> Failure {
    Failure::new(Code::Network, error)
}

/// Carries the jobs out in one session.
///
/// # Errors
/// The first failure of any job; code 7 when interrupted before a download was complete.
pub(super) async fn run_jobs(
    jobs: Vec<Job>,
    args: &NetworkArgs,
    patience: Option<Duration>,
) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, args.quiet);
    let (jobs, listed): (Vec<Job>, Vec<Job>) = jobs
        .into_iter()
        .partition(|j| j.plan != Plan::List || matches!(j.source, TorrentSource::Magnet(_)));
    for job in &listed {
        if let TorrentSource::Metainfo(meta) = &job.source {
            list(&reporter, meta);
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let (tell_end, end) = watch::channel(false);
    let watch_stdin = args.until_stdin_closes;
    let signal = interrupted();
    tokio::spawn(async move {
        tokio::select! {
            () = signal => {}
            () = stdin_closed(watch_stdin) => {}
        }
        let _ = tell_end.send(true);
    });

    let peers = resolve_all(&args.peer, "--peer").await?;
    let session = Arc::new(
        Session::start(config(args).await?)
            .await
            .map_err(|e| index_failure(&e))?,
    );
    let mut running = JoinSet::new();
    for job in jobs {
        let add = AddTorrent {
            source: job.source,
            data: job.data,
            peers: peers.clone(),
            patience,
            seed_only: job.plan == Plan::SeedOnly,
            metadata_only: job.plan == Plan::List,
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
            end: end.clone(),
        };
        running.spawn(watcher.run(handle));
    }
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended.unwrap_or_else(|e| Err(Failure::new(Code::Other, e)));
        if result.is_ok() {
            result = ended;
        }
    }
    session.shutdown().await;
    result
}

async fn config(args: &NetworkArgs) -> Result<SessionConfig, Failure> {
    let bootstrap = resolve_all(&args.bootstrap, "--bootstrap").await?;
    Ok(SessionConfig {
        listen: args.listen,
        index: if args.no_index {
            IndexUse::Client
        } else {
            IndexUse::Colocated(args.index_listen)
        },
        bootstrap,
        trackers: !args.no_trackers,
        dht: !args.no_dht,
        dht_bootstrap: (!args.dht_bootstrap.is_empty()).then(|| args.dht_bootstrap.clone()),
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
    end: watch::Receiver<bool>,
}

impl Watcher {
    async fn run(mut self, mut handle: TorrentHandle) -> Result<(), Failure> {
        let mut complete = false;
        let mut last_peers = 0;
        let result = loop {
            let event = tokio::select! {
                event = handle.next() => event,
                () = ended(&mut self.end) => break self.interrupted(complete),
            };
            match event {
                Some(TorrentEvent::Metadata(meta)) => {
                    self.metadata(&meta);
                    if self.plan == Plan::List {
                        list(&self.reporter, &meta);
                        break Ok(());
                    }
                }
                Some(TorrentEvent::Checked(p)) => {
                    if p.verified_bytes > 0 && self.plan != Plan::SeedOnly {
                        self.reporter.line(&format!(
                            "{} of {} are already here and verified",
                            human(p.verified_bytes),
                            human(p.total_bytes)
                        ));
                    }
                }
                Some(TorrentEvent::Progress(p)) => {
                    self.torrent.progress(&self.info_hash, &p);
                    let connected = p.near + p.far;
                    if connected != last_peers {
                        last_peers = connected;
                        self.torrent.peers(&self.info_hash, &p);
                    }
                }
                Some(TorrentEvent::Complete(p)) => {
                    complete = true;
                    self.complete(&p);
                    if self.plan == Plan::Get {
                        break Ok(());
                    }
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
                    "listen": self.listen.to_string() }),
        );
        if self.plan != Plan::List {
            self.reporter.line(&format!(
                "{}: {} in {} pieces of {}",
                layout.name,
                human(layout.total_length),
                layout.piece_count(),
                human(u64::from(layout.piece_length))
            ));
        }
    }

    fn complete(&self, p: &Progress) {
        self.reporter.event(
            "complete",
            json!({ "info_hash": self.info_hash, "total_bytes": p.total_bytes, "downloaded": p.downloaded,
                    "wasted": p.wasted }),
        );
        let text = match self.plan {
            Plan::SeedOnly => format!(
                "seeding {} of verified data on {}; Ctrl-C ends it",
                human(p.total_bytes),
                self.listen
            ),
            Plan::GetAndSeed => format!(
                "complete: {} verified and on disk; seeding on {}; Ctrl-C ends it",
                human(p.total_bytes),
                self.listen
            ),
            Plan::Get | Plan::List => {
                format!("complete: {} verified and on disk", human(p.total_bytes))
            }
        };
        self.reporter.last_line(&text);
    }

    fn interrupted(&self, complete: bool) -> Result<(), Failure> {
        if complete || self.plan == Plan::SeedOnly {
            return Ok(());
        }
        Err(Failure::new(
            Code::Interrupted,
            "interrupted before the download was complete; the same command goes on where it stopped",
        ))
    }
}

/// Returns when the end was asked for.
async fn ended(end: &mut watch::Receiver<bool>) {
    let _ = end.wait_for(|end| *end).await;
}

/// Prints the files of a torrent.
fn list(reporter: &Reporter, meta: &Metainfo) {
    let layout = &meta.layout;
    let hash: String = meta.info_hash.iter().map(|b| format!("{b:02x}")).collect();
    let files: Vec<_> = layout.files.iter().filter(|f| !f.padding).collect();
    if reporter.is_json() {
        let rows: Vec<_> = files
            .iter()
            .map(|f| json!({ "path": f.path, "size": f.length }))
            .collect();
        reporter.event(
            "metadata",
            json!({ "info_hash": hash, "name": layout.name, "size": layout.total_length,
                    "piece_length": layout.piece_length, "pieces": layout.piece_count(),
                    "private": meta.private, "trackers": meta.trackers, "files": rows }),
        );
        return;
    }
    for f in &files {
        print_line(&format!("{:>12}  {}", human(f.length), f.path.display()));
    }
    print_line(&format!(
        "{:>12}  in {} files, {} pieces of {}, infohash {hash}{}",
        human(layout.total_length),
        files.len(),
        layout.piece_count(),
        human(u64::from(layout.piece_length)),
        if meta.private { ", private" } else { "" }
    ));
}
