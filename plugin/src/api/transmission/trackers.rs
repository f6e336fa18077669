//! Which trackers a torrent is to have: tiers of announce URLs. Whether they are URLs of trackers the daemon sees.

use serde_json::Value;

use super::arguments::{Arguments, integer};
use super::error::RpcError;
use crate::daemon::MOST_TRACKERS;

/// `trackerList`, or `trackerAdd`, `trackerRemove` and `trackerReplace` one after the other; `None`: nothing is said of them.
pub(super) fn changed(
    arguments: Arguments<'_>,
    is: &[Vec<String>],
) -> Result<Option<Vec<Vec<String>>>, RpcError> {
    if let Some(list) = arguments.text("trackerList")? {
        return from_lines(list).map(Some);
    }
    let add = arguments.texts("trackerAdd")?;
    let remove = arguments.integers("trackerRemove")?;
    let replace = arguments.list("trackerReplace")?;
    if add.is_none() && remove.is_none() && replace.is_none() {
        return Ok(None);
    }
    let mut tiers = Tiers(is.to_vec());
    for url in add.unwrap_or_default() {
        tiers.0.push(Vec::new());
        tiers.push(url, "trackerAdd")?;
    }
    tiers.remove(remove.unwrap_or_default())?;
    if let Some(pairs) = replace {
        tiers.replace(pairs)?;
    }
    Ok(Some(tiers.0))
}

/// Announce URLs, one a line, with an empty line between tiers.
fn from_lines(list: &str) -> Result<Vec<Vec<String>>, RpcError> {
    let mut tiers = Tiers(Vec::new());
    let mut next = true;
    for line in list.lines().map(str::trim) {
        if line.is_empty() {
            next = true;
            continue;
        }
        if std::mem::take(&mut next) {
            tiers.0.push(Vec::new());
        }
        tiers.push(line, "trackerList")?;
    }
    Ok(tiers.0)
}

struct Tiers(Vec<Vec<String>>);

impl Tiers {
    /// Puts a tracker into the last tier.
    fn push(&mut self, url: &str, name: &'static str) -> Result<(), RpcError> {
        let mut all = self.0.iter().flatten();
        if url.is_empty() || all.clone().any(|known| known == url) {
            return Err(RpcError::Argument {
                name,
                wanted: "announce URLs that are not there yet",
            });
        }
        if all.by_ref().count() == MOST_TRACKERS {
            return Err(RpcError::Said("a torrent has at most 64 trackers"));
        }
        if let Some(tier) = self.0.last_mut() {
            tier.push(url.to_owned());
        }
        Ok(())
    }

    /// Removes trackers by their places in the list of all.
    fn remove(&mut self, ids: Vec<i64>) -> Result<(), RpcError> {
        let mut flat = self.flat();
        for id in ids {
            let place = usize::try_from(id).ok().and_then(|id| flat.get_mut(id));
            let place = place.ok_or(RpcError::Argument {
                name: "trackerRemove",
                wanted: "a list of ids of trackers",
            })?;
            place.clear();
        }
        for tier in &mut self.0 {
            tier.retain(|url| !url.is_empty());
        }
        self.0.retain(|tier| !tier.is_empty());
        Ok(())
    }

    /// Replaces trackers by their places in the list of all.
    fn replace(&mut self, pairs: &[Value]) -> Result<(), RpcError> {
        let wrong = || RpcError::Argument {
            name: "trackerReplace",
            wanted: "pairs of the id of a tracker and its new announce URL",
        };
        let mut flat = self.flat();
        for (id, url) in pairs_of(pairs).ok_or_else(wrong)? {
            let mut others = flat.iter().enumerate().filter(|(other, _)| *other != id);
            if others.any(|(_, known)| *known == url) {
                return Err(RpcError::Argument {
                    name: "trackerReplace",
                    wanted: "announce URLs that are not there yet",
                });
            }
            let place = flat.get_mut(id).ok_or_else(wrong)?;
            url.clone_into(place);
        }
        Ok(())
    }

    fn flat(&mut self) -> Vec<&mut String> {
        self.0.iter_mut().flatten().collect()
    }
}

/// The pairs of a list, flat (as Transmission has it) or of lists of two; `None`: they are none.
fn pairs_of(list: &[Value]) -> Option<Vec<(usize, &str)>> {
    let nested = list.first()?.is_array();
    let pairs = list.chunks(if nested { 1 } else { 2 }).map(|chunk| {
        let (id, url) = match chunk {
            [Value::Array(pair)] => pair.split_first().filter(|(_, rest)| rest.len() == 1)?,
            [id, url] => (id, std::slice::from_ref(url)),
            _ => return None,
        };
        Some((usize::try_from(integer(id)?).ok()?, url[0].as_str()?))
    });
    pairs.collect()
}
