//! Requests that do something with torrents that are there.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::arguments::Arguments;
use super::change;
use super::error::{LOCATION_NOT_ABSOLUTE, NO_LOCATION, ONE_TORRENT, RpcError};
use super::ids::Ids;
use crate::daemon::{Change, Daemon, DaemonError, InfoHash, QueueMove, Summary};

/// What is done with each torrent.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Start { now: bool },
    Stop,
    Verify,
    Reannounce,
    Remove { data: bool },
    Relocate { dir: PathBuf, move_data: bool },
}

/// The torrents that a request is about.
fn torrents(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
) -> Result<Vec<Arc<Summary>>, RpcError> {
    let ids = Ids::of(arguments)?;
    Ok(ids.of_listing(&daemon.list(), now))
}

/// Does it with all of them; of several errors the first is told.
pub(super) async fn act(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
    action: Action,
) -> Result<Value, RpcError> {
    let mut outcome = Ok(());
    for torrent in torrents(daemon, arguments, now)? {
        let done = one(daemon, torrent.info_hash, &action).await;
        outcome = outcome.and(still_there(done));
    }
    outcome.map(|()| Value::Null).map_err(RpcError::from)
}

async fn one(daemon: &Daemon, which: InfoHash, action: &Action) -> Result<(), DaemonError> {
    match action {
        Action::Start { now } => daemon.start(which, *now).await,
        Action::Stop => daemon.pause(which).await,
        Action::Verify => daemon.verify(which).await,
        Action::Reannounce => daemon.reannounce(which).await,
        Action::Remove { data } => daemon.remove(which, *data).await,
        Action::Relocate { dir, move_data } => {
            daemon.relocate(which, dir.clone(), *move_data).await
        }
    }
}

/// A torrent that has gone meanwhile is as one that was never there.
fn still_there(done: Result<(), DaemonError>) -> Result<(), DaemonError> {
    match done {
        Err(DaemonError::Unknown(_)) => Ok(()),
        done => done,
    }
}

/// `torrent-remove`.
pub(super) async fn remove(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
) -> Result<Value, RpcError> {
    let data = arguments.flag("delete-local-data")?.unwrap_or(false);
    act(daemon, arguments, now, Action::Remove { data }).await
}

/// `torrent-set-location`.
pub(super) async fn relocate(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
) -> Result<Value, RpcError> {
    let dir = arguments.path("location", LOCATION_NOT_ABSOLUTE)?;
    let action = Action::Relocate {
        dir: dir.ok_or(NO_LOCATION)?,
        move_data: arguments.flag("move")?.unwrap_or(false),
    };
    act(daemon, arguments, now, action).await
}

/// `torrent-set`. Nothing is changed when an argument is wrong for one of the torrents.
pub(super) async fn set(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
) -> Result<Value, RpcError> {
    let dir = arguments.path("location", LOCATION_NOT_ABSOLUTE)?;
    let torrents = torrents(daemon, arguments, now)?;
    let changes = torrents.iter().map(|t| change::of(arguments, t));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    let mut outcome = Ok(());
    for (torrent, change) in torrents.iter().zip(changes) {
        if change != Change::default() {
            let done = daemon.change(torrent.info_hash, change).await;
            outcome = outcome.and(still_there(done));
        }
        if let Some(dir) = &dir {
            let done = daemon.relocate(torrent.info_hash, dir.clone(), false).await;
            outcome = outcome.and(still_there(done));
        }
    }
    outcome.map(|()| Value::Null).map_err(RpcError::from)
}

/// `queue-move-*`.
pub(super) async fn queue(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
    to: QueueMove,
) -> Result<Value, RpcError> {
    let torrents = torrents(daemon, arguments, now)?;
    let which: Vec<_> = torrents.iter().map(|torrent| torrent.info_hash).collect();
    if !which.is_empty() {
        daemon.queue_move(which, to).await?;
    }
    Ok(Value::Null)
}

/// `torrent-rename-path`: files are called as the torrent says.
pub(super) fn rename(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
) -> Result<Value, RpcError> {
    match torrents(daemon, arguments, now)?.len() {
        1 => Err(RpcError::Unsupported("other names for a torrent's files")),
        _ => Err(ONE_TORRENT),
    }
}
