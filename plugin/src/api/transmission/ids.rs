//! Which torrents a request is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::arguments::{Arguments, integer};
use super::error::RpcError;
use crate::daemon::{InfoHash, Listing, State, Summary};

/// What happened so many seconds ago is recent.
pub(super) const RECENT: u64 = 60; // Transmission's

/// Which torrents a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// All.
    All,
    /// Those of which something has changed lately.
    Recent,
    /// These; what is no torrent's is passed over.
    These(Vec<Id>),
}

/// A torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Number(u32),
    Hash(InfoHash),
}

impl Ids {
    /// The argument `ids`, or `id` for one torrent where there is none: not there either, it is all torrents; `null` is none.
    pub(super) fn of(arguments: Arguments<'_>) -> Result<Self, RpcError> {
        let wrong = RpcError::Argument {
            name: "ids",
            wanted: "a number, an infohash, a list of these, or `recently-active`",
        };
        match arguments.raw("ids") {
            None => Self::one(arguments),
            Some(Value::Null) => Ok(Self::These(Vec::new())),
            Some(Value::String(text)) if text == "recently-active" => Ok(Self::Recent),
            Some(Value::Array(list)) => {
                let known = |value: &Value| match value {
                    Value::String(_) | Value::Number(_) => Ok(id(value)),
                    _ => Err(()),
                };
                let ids: Result<Vec<_>, ()> = list.iter().map(known).collect();
                let ids = ids.map_err(|()| wrong)?;
                Ok(Self::These(ids.into_iter().flatten().collect()))
            }
            Some(one @ (Value::String(_) | Value::Number(_))) => {
                Ok(Self::These(id(one).into_iter().collect()))
            }
            Some(_) => Err(wrong),
        }
    }

    /// The argument `id`, which Transmission takes too. What it cannot be is refused: passed over it would be all torrents.
    fn one(arguments: Arguments<'_>) -> Result<Self, RpcError> {
        match arguments.raw("id") {
            None => Ok(Self::All),
            Some(Value::Null) => Ok(Self::These(Vec::new())),
            Some(one) => match id(one) {
                Some(id) => Ok(Self::These(vec![id])),
                None => Err(RpcError::Argument {
                    name: "id",
                    wanted: "a number or an infohash",
                }),
            },
        }
    }

    /// The torrents, each once; in the order of their ids, or as they were named.
    pub(super) fn of_listing(&self, listing: &Listing, now: u64) -> Vec<Arc<Summary>> {
        let all = listing.torrents.iter();
        let by_id: BTreeMap<u32, _> = all.map(|torrent| (torrent.id, torrent)).collect();
        match self {
            Self::All => by_id.into_values().cloned().collect(),
            Self::Recent => {
                let recent = by_id.into_values().filter(|t| is_recent(t, now));
                recent.cloned().collect()
            }
            Self::These(ids) => {
                let by_hash: BTreeMap<_, _> = by_id.values().map(|t| (t.info_hash, t.id)).collect();
                let mut left = by_id;
                let found = ids.iter().filter_map(|id| {
                    let number = match id {
                        Id::Number(number) => *number,
                        Id::Hash(hash) => *by_hash.get(hash)?,
                    };
                    left.remove(&number).cloned()
                });
                found.collect()
            }
        }
    }
}

/// Whose it is; `None`: no torrent's.
fn id(value: &Value) -> Option<Id> {
    match value {
        Value::String(text) => text.parse().ok().map(Id::Hash),
        _ => u32::try_from(integer(value)?).ok().map(Id::Number),
    }
}

/// Whether something of it has changed lately.
fn is_recent(torrent: &Summary, now: u64) -> bool {
    let times = [
        torrent.active,
        torrent.added,
        torrent.started,
        torrent.done,
        torrent.changed,
    ];
    let last = times.into_iter().max().unwrap_or(0);
    let moves = torrent.rate_down + torrent.rate_up > 0 || torrent.state == State::Checking;
    moves || last.saturating_add(RECENT) >= now
}
