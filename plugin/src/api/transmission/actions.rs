//! Requests that do something with torrents that are there.

use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::Value;

use super::arguments::Arguments;
use super::change;
use super::dormant::Values;
use super::error::{LOCATION_NOT_ABSOLUTE, NO_LOCATION, ONE_TORRENT, RpcError};
use super::ids::Ids;
use crate::daemon::{Change, Daemon, DaemonError, InfoHash, QueueMove, Summary};

/// Torrents with which something is done at a time: each waits for the disk.
const AT_ONCE: usize = 64; // guess

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

/// Does it with all of them.
pub(super) async fn act(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
    action: Action,
) -> Result<Value, RpcError> {
    let torrents = torrents(daemon, arguments, now)?;
    let each = torrents.into_iter();
    let each = each.map(|torrent| one(daemon, torrent.info_hash, &action));
    all(each).await
}

/// Does all of it side by side; of several errors the first is told.
async fn all(
    each: impl Iterator<Item = impl Future<Output = Result<(), DaemonError>>>,
) -> Result<Value, RpcError> {
    let mut done = stream::iter(each).buffered(AT_ONCE);
    let mut outcome = Ok(());
    while let Some(done) = done.next().await {
        outcome = outcome.and(match done {
            Err(DaemonError::Unknown(_)) => Ok(()), // it has gone meanwhile, as one that was never there
            done => done,
        });
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
    let dormant = Values::of(&daemon.settings().await?);
    let changes = torrents.iter().map(|t| change::of(arguments, t, dormant));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    let which = torrents.into_iter().map(|torrent| torrent.info_hash);
    let each = which.zip(changes).map(async |(which, change)| {
        if change != Change::default() {
            daemon.change(which, change).await?;
        }
        match dir.clone() {
            Some(dir) => daemon.relocate(which, dir, false).await,
            None => Ok(()),
        }
    });
    all(each).await
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
