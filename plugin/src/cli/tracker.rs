//! `chunkcast tracker`: the directory as the tracker of stock clients.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::args::TrackerArgs;
use super::exit::{Code, Failure};
use super::index;
use super::output::{Reporter, count};
use super::signal::{interrupted, stdin_closed};
use super::source;
use super::torrents::{index_failure, resolve_all};
use crate::discovery::portmap::unmap;
use crate::facade::{Facade, FacadeConfig, FacadeStats, PORT};
use crate::limits::{Limits, LimitsConfig};
use crate::metadata::Metainfo;
use crate::session::{IndexNode, TorrentSource, start_colocated_node};
use crate::state::User;

/// Runs a tracker until it is interrupted.
///
/// # Errors
/// [`Failure`] with code 4 when an address is taken or a bootstrap name does not resolve, 6 when a named state directory
/// or control socket cannot be used, 8 for what is no .torrent file.
pub(super) async fn run(args: &TrackerArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, args.quiet);
    let mut end = std::pin::pin!(interrupted());
    let mut stdin = std::pin::pin!(stdin_closed(args.until_stdin_closes));
    let given = torrents(&args.torrent).await?;
    let bootstrap = resolve_all(&args.bootstrap, "--bootstrap").await?;
    let settings = index::settings(&args.index, User::Tracker, &reporter)?;
    let node = start_colocated_node(args.index_listen, bootstrap.clone(), settings.clone())
        .await
        .map_err(|e| index_failure(&e))?;
    let facade = start(args, &bootstrap, &node, &given).await;
    let facade = match facade {
        Ok(facade) => facade,
        Err(e) => {
            node.shutdown().await;
            return Err(e);
        }
    };
    let control = index::control(args.index.control.as_deref(), &settings, &node, &reporter)?;
    let ports = index::map_port(&args.index, &node);
    let dht = index::rendezvous(&args.index, args.no_dht, &args.dht_bootstrap, &node);
    let urls: Vec<String> = facade.listen_addrs().iter().map(announce_url).collect();
    reporter.event(
        "listening",
        json!({ "announce": urls, "index": node.local_addr().to_string(), "id": node.id().to_string(),
                "control": control.as_ref().map(|c| c.path().display().to_string()) }),
    );
    reporter.line(&format!(
        "tracker at {} (http and udp); index node {} on {}",
        urls.join(" and "),
        node.id(),
        node.local_addr()
    ));
    // no period is one that never ends
    let period = match args.status_every {
        0 => Duration::from_secs(1 << 32),
        seconds => Duration::from_secs(seconds.min(1 << 32)),
    };
    let mut tick = tokio::time::interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut end => break,
            () = &mut stdin => break,
            _ = tick.tick() => tell(&facade.stats(), &node, &reporter),
        }
    }
    facade.shutdown();
    drop(control);
    tokio::join!(node.shutdown(), unmap(ports));
    if let Some(dht) = dht {
        dht.stop().await;
    }
    Ok(())
}

async fn start(
    args: &TrackerArgs,
    bootstrap: &[SocketAddr],
    node: &IndexNode,
    given: &[Metainfo],
) -> Result<Facade, Failure> {
    let config = FacadeConfig::beside(node.local_addr(), bootstrap);
    let limits = Limits::new(&LimitsConfig::default());
    let directory = Arc::new(node.clone());
    let failure = |e| Failure::new(Code::Network, e);
    if !args.listen.is_empty() {
        let started = Facade::start(&args.listen, config, directory, limits, given);
        return started.await.map_err(failure);
    }
    let v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
    let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), PORT);
    let listen = [v4, v6];
    let both = Facade::start(
        &listen,
        config.clone(),
        directory.clone(),
        limits.clone(),
        given,
    );
    match both.await {
        Ok(facade) => Ok(facade),
        // a machine without IPv6
        Err(_) => {
            let one = Facade::start(&listen[..1], config, directory, limits, given);
            one.await.map_err(failure)
        }
    }
}

/// The metainfo of the .torrent files that were named.
async fn torrents(names: &[String]) -> Result<Vec<Metainfo>, Failure> {
    let mut all = Vec::new();
    for name in names {
        match source::open(name).await? {
            TorrentSource::Metainfo(meta) => all.push(Arc::unwrap_or_clone(meta)),
            TorrentSource::Magnet(_) => {
                let line = format!("--torrent {name}: name a .torrent file");
                return Err(Failure::new(Code::BadTorrent, line));
            }
        }
    }
    Ok(all)
}

fn announce_url(addr: &SocketAddr) -> String {
    format!("http://{addr}/announce")
}

fn tell(stats: &FacadeStats, node: &IndexNode, reporter: &Reporter) {
    reporter.event(
        "status",
        json!({ "torrents": stats.torrents, "clients": stats.clients, "announces": stats.announces,
                "refused": stats.refused, "lookups": stats.lookups, "joined": node.is_joined() }),
    );
    reporter.line(&format!(
        "{} of {}; {} answered, {} refused, {}",
        count(stats.torrents, "torrent"),
        count(stats.clients, "client"),
        announces(stats.announces),
        stats.refused,
        count(
            usize::try_from(stats.lookups).unwrap_or(usize::MAX),
            "lookup"
        ),
    ));
}

fn announces(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), "announce")
}
