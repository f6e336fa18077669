//! `chunkcast daemon`: the seedbox, its API, and beside them the tracker of stock clients.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::args::network_of;
use super::config;
use super::daemon_args::DaemonArgs;
use super::exit::{Code, Failure};
use super::index;
use super::journal;
use super::log::{self, Log};
use super::notify::Notify;
use super::output::Reporter;
use super::signal::{interrupted, stdin_closed};
use crate::api::{self, ApiConfig, Listen, Server};
use crate::control::Control;
use crate::daemon::config::{ApiListen, Config, Loaded, LogFormat, Mistake, Sources};
use crate::daemon::{DaemonConfig, Running, Settings, StartError, start};
use crate::discovery::{ResolveError, resolve};
use crate::facade::{Facade, FacadeConfig};
use crate::limits::{Limits, LimitsConfig, raise_descriptors};
use crate::session::{IndexNode, IndexSettings};
use crate::state::User;

/// How long the end may take.
const LAST: Duration = Duration::from_secs(10);
/// Between two attempts to resolve a name of an index node.
const AGAIN: Duration = Duration::from_secs(60); // guess: a network that comes up later

/// Runs a daemon until it is asked to end.
///
/// # Errors
/// [`Failure`]: 2 for mistakes in the configuration, 4 when an address is taken, 6 when a directory cannot be used, 1 when the
/// end took too long.
pub(super) async fn run(
    args: &DaemonArgs,
    verbose: u8,
    log_format: Option<LogFormat>,
) -> Result<(), Failure> {
    let mut end = pin!(interrupted());
    let mut stdin = pin!(stdin_closed(args.until_stdin_closes));
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.map_err(|e| Failure::new(Code::Other, format!("no signals: {e}")))?;
    let reporter = Reporter::new(args.json, args.quiet);
    let sources = args.sources(verbose, log_format)?;
    let loaded = config::load(&sources)?;
    let log = log::start(loaded.config.log.format, &loaded.config.log.filter);
    for line in &loaded.warnings {
        reporter.warning(line);
    }
    let mut daemon = tokio::select! {
        daemon = Parts::start(&loaded, args, &reporter) => daemon?,
        () = &mut end => return Ok(()),
        () = &mut stdin => return Ok(()),
    };
    let notify = Notify::new();
    daemon.tell(&reporter);
    notify.say("READY=1");
    let mut config = loaded.config;
    loop {
        tokio::select! {
            () = &mut end => break,
            () = &mut stdin => break,
            () = daemon.running.wait() => break,
            _ = hangup.recv() => reload(&sources, &mut config, &daemon.running, &log, &reporter).await,
        }
    }
    tracing::info!("ending");
    notify.say("STOPPING=1");
    if tokio::time::timeout(LAST, daemon.stop()).await.is_err() {
        let line = "not all was said good-bye to within 10 s; what is verified is kept";
        return Err(Failure::new(Code::Other, line));
    }
    tracing::info!("ended");
    Ok(())
}

/// What runs.
struct Parts {
    running: Running,
    server: Server,
    facade: Option<Facade>,
    control: Option<Control>,
    /// Names of index nodes that are still looked for.
    names: tokio::task::JoinSet<()>,
}

impl Parts {
    async fn start(
        loaded: &Loaded,
        args: &DaemonArgs,
        reporter: &Reporter,
    ) -> Result<Self, Failure> {
        let config = &loaded.config;
        let key = config.network.key.as_ref().map(|key| key.0.as_str());
        let network = network_of("network.key", key)?;
        make_dir("paths.download-dir", &config.settings.download_dir)?;
        let (bootstrap, unknown) = known(&config.network.bootstrap, reporter).await;
        let limits = fitted(config, reporter);
        let state = index::opened(&config.paths.state_dir, User::Daemon, &network, reporter)
            .map_err(|e| Failure::new(Code::Disk, e))?;
        let settings = IndexSettings {
            state: Some(state),
            lan: config.network.lan,
            network,
        };
        let mut fitted = config.clone();
        fitted.settings.connections = limits.connections;
        fitted.limits = limits;
        let session = fitted.session(bootstrap.clone(), settings.clone());
        let state_dir = config.paths.state_dir.clone();
        let mut daemon = DaemonConfig::new(session, fitted.settings, state_dir);
        daemon.allowed.clone_from(&config.paths.allowed);
        daemon.download_dir.clone_from(&loaded.download_dir);
        let running = start(daemon).await.map_err(|e| failure(&e))?;
        tokio::spawn(journal::keep(running.daemon.clone()));
        let mut parts = Self {
            server: serve(config, &running).await?,
            running,
            facade: None,
            control: None,
            names: tokio::task::JoinSet::new(),
        };
        if let Some(node) = parts.running.index.clone() {
            parts.control = index::control(args.control.as_deref(), &settings, &node, reporter)?;
            parts.facade = tracker(config, &bootstrap, &node).await?;
            for name in unknown {
                parts.names.spawn(find(name, node.clone()));
            }
        }
        Ok(parts)
    }

    /// Tells where everything is.
    fn tell(&self, reporter: &Reporter) {
        let api = match self.server.addr() {
            Listen::Tcp(addr) => format!("http://{addr}"),
            unix @ Listen::Unix(_) => unix.to_string(),
        };
        let index = self.running.index.as_ref().filter(|i| i.is_index());
        let index = index.map(IndexNode::local_addr);
        let tracker = self.facade.iter().flat_map(Facade::listen_addrs);
        let tracker: Vec<String> = tracker.map(ToString::to_string).collect();
        let control = self
            .control
            .as_ref()
            .map(|c| c.path().display().to_string());
        reporter.event(
            "listening",
            json!({ "api": api, "listen": self.running.listen.to_string(), "index": index.map(|i| i.to_string()),
                    "tracker": tracker, "control": control, "pid": std::process::id() }),
        );
        let mut line = format!(
            "the page and the API are at {api}; peers on {}",
            self.running.listen
        );
        if let Some(index) = index {
            line.push_str(&format!(", index node on {index}"));
        }
        if !tracker.is_empty() {
            line.push_str(&format!(", tracker at {}", tracker.join(" and ")));
        }
        reporter.line(&line);
    }

    /// Ends all of it.
    async fn stop(self) {
        let Self {
            running,
            server,
            facade,
            control,
            mut names,
        } = self;
        names.abort_all();
        drop(control);
        if let Some(facade) = facade {
            facade.shutdown();
        }
        tokio::join!(server.shutdown(), running.stop());
    }
}

fn failure(error: &StartError) -> Failure {
    let code = match error {
        StartError::State(_) => Code::Disk,
        StartError::Session(_) => Code::Network,
    };
    Failure::new(code, error)
}

fn make_dir(key: &str, dir: &std::path::Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| {
        let line = format!("{key}: `{}` cannot be made: {e}", dir.display());
        Failure::new(Code::Disk, line)
    })
}

/// The budgets, as far as there are file descriptors for them.
fn fitted(config: &Config, reporter: &Reporter) -> LimitsConfig {
    let mut limits = LimitsConfig {
        connections: config.settings.connections,
        ..config.limits.clone()
    };
    if let Some(line) = limits.fit(raise_descriptors(limits.descriptors())) {
        reporter.warning(&line);
    }
    limits
}

/// Addresses of index nodes, and the names that have none at the moment.
async fn known(names: &[String], reporter: &Reporter) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut addrs, mut unknown) = (Vec::new(), Vec::new());
    let found = futures::future::join_all(names.iter().map(|name| resolve(name))).await;
    for (name, found) in names.iter().zip(found) {
        match found {
            Ok(found) => addrs.extend(found),
            Err(e @ ResolveError::Syntax(_)) => {
                reporter.warning(&format!("network.bootstrap: {e}; it is left out"));
            }
            Err(e) => {
                reporter.warning(&format!("network.bootstrap: {e}; it is tried again"));
                unknown.push(name.clone());
            }
        }
    }
    (addrs, unknown)
}

/// Waits until a name has an address, and tells the index node.
async fn find(name: String, node: IndexNode) {
    loop {
        tokio::time::sleep(AGAIN).await;
        if let Ok(addrs) = resolve(&name).await {
            return node.add_bootstrap(addrs);
        }
    }
}

async fn serve(config: &Config, running: &Running) -> Result<Server, Failure> {
    let api = &config.api;
    let served = ApiConfig {
        listen: match &api.listen {
            ApiListen::Tcp(addr) => Listen::Tcp(*addr),
            ApiListen::Unix(path) => Listen::Unix(path.clone()),
        },
        user: api.user.clone(),
        password: api.password.clone().map(|secret| secret.0),
        hosts: api.hosts.clone(),
        ..ApiConfig::default()
    };
    let server = api::serve(served, running.daemon.clone()).await;
    server.map_err(|e| Failure::new(Code::Network, e))
}

async fn tracker(
    config: &Config,
    bootstrap: &[SocketAddr],
    node: &IndexNode,
) -> Result<Option<Facade>, Failure> {
    if config.tracker.is_empty() {
        return Ok(None);
    }
    let facade = FacadeConfig::beside(node.local_addr(), bootstrap);
    let limits = Limits::new(&LimitsConfig::default());
    let directory = Arc::new(node.clone());
    let started = Facade::start(&config.tracker, facade, directory, limits, &[]).await;
    started
        .map(Some)
        .map_err(|e| Failure::new(Code::Network, e))
}

/// Reads the configuration again. What can change at once does, what needs a restart is named; with a mistake in it nothing
/// changes.
async fn reload(
    sources: &Sources,
    running: &mut Config,
    daemon: &Running,
    log: &Log,
    reporter: &Reporter,
) {
    let (loaded, dropped) = match read_again(sources) {
        Ok(read) => read,
        Err(mistakes) => {
            for mistake in &mistakes {
                tracing::error!("{mistake}");
            }
            let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
            reporter.event("reloaded", json!({ "mistakes": lines }));
            tracing::error!("the configuration is not used; what held before goes on");
            return;
        }
    };
    for line in &loaded.warnings {
        reporter.warning(line);
    }
    let (now, later) = loaded.changed_since(running);
    if !dropped.is_empty() {
        tracing::info!(
            "changes made at runtime are forgotten: {}",
            dropped.join(", ")
        );
    }
    tracing::info!("the configuration was read again; changed: {}", list(&now));
    if !later.is_empty() {
        tracing::warn!("only after a restart: {}", list(&later));
    }
    running.settings = loaded.config.settings.clone();
    running.log.filter = loaded.config.log.filter.clone();
    log.set(&running.log.filter);
    let settings = Settings {
        connections: fitted(running, reporter).connections,
        ..running.settings.clone()
    };
    daemon.reload(settings).await;
    reporter.event(
        "reloaded",
        json!({ "changed": now, "after_restart": later, "forgotten": dropped }),
    );
}

/// The configuration without what was changed at runtime, and what that is. The daemon forgets it in its turn.
fn read_again(sources: &Sources) -> Result<(Loaded, Vec<String>), Vec<Mistake>> {
    let loaded = Config::load_without_changes(sources)?;
    let changed = Config::load(sources)?.changed_at_runtime();
    Ok((loaded, changed))
}

fn list(keys: &[String]) -> String {
    match keys {
        [] => "nothing".to_owned(),
        keys => keys.join(", "),
    }
}
