//! The arguments of `torrent-set` and `torrent-add` that say how a torrent is to be.

use std::time::Duration;

use serde_json::Value;

use super::arguments::{Arguments, integer};
use super::dormant::turn_rate;
use super::error::{LABEL_COMMA, LABEL_EMPTY, LABEL_TWICE, RpcError};
use super::fields::{idle_minutes, own_ratio};
use super::files::Choices;
use super::units::from_minutes;
use crate::daemon::{Change, Limit, Noted, Options, Summary};

/// Labels of a torrent.
const MAX_LABELS: usize = 256; // guess
/// Bytes of a label.
const MAX_LABEL: usize = 256; // guess
/// Trackers of a torrent.
const MAX_TRACKERS: usize = 64; // as of a .torrent file
/// Bytes of an announce URL.
const MAX_URL: usize = 2048; // as of a .torrent file

/// What `torrent-add` says of the new torrent.
pub(super) fn of_new(arguments: Arguments<'_>) -> Result<Change, RpcError> {
    let mut change = Change {
        labels: labels(arguments)?,
        max_peers: arguments.small("peer-limit")?,
        ..Change::default()
    };
    let mut noted = Noted::default();
    if let Some(priority) = bandwidth_priority(arguments)? {
        noted.bandwidth_priority = priority;
    }
    let choices = Choices::of_new(arguments)?;
    change.files = choices.changes();
    noted.files = choices.noted();
    change.noted = (noted != Noted::default()).then_some(noted);
    Ok(change)
}

/// What `torrent-set` changes of a torrent.
pub(super) fn of(arguments: Arguments<'_>, torrent: &Summary) -> Result<Change, RpcError> {
    if arguments.text("group")?.is_some_and(|g| !g.is_empty()) {
        return Err(RpcError::Unsupported("bandwidth groups"));
    }
    let options = &torrent.options;
    let mut noted = options.noted.clone();
    let mut change = Change {
        labels: labels(arguments)?,
        session_rates: arguments.flag("honorsSessionLimits")?,
        max_peers: arguments.small("peer-limit")?,
        trackers: trackers(arguments, torrent)?,
        ..Change::default()
    };
    if let Some(priority) = bandwidth_priority(arguments)? {
        noted.bandwidth_priority = priority;
    }
    if let Some(place) = arguments.integer("queuePosition")? {
        change.queue_position = Some(usize::try_from(place).unwrap_or(0));
    }
    rates(arguments, options, &mut change, &mut noted)?;
    seeding(arguments, torrent, &mut change, &mut noted)?;
    if let Some(choices) = Choices::of(arguments, torrent)? {
        change.files = choices.changes();
        noted.files = choices.noted();
    }
    change.noted = (noted != options.noted).then_some(noted);
    Ok(change)
}

fn bandwidth_priority(arguments: Arguments<'_>) -> Result<Option<i8>, RpcError> {
    let wrong = RpcError::Argument {
        name: "bandwidthPriority",
        wanted: "-1, 0 or 1",
    };
    match arguments.integer("bandwidthPriority")? {
        None => Ok(None),
        Some(priority @ -1..=1) => i8::try_from(priority).map(Some).map_err(|_| wrong),
        Some(_) => Err(wrong),
    }
}

fn labels(arguments: Arguments<'_>) -> Result<Option<Vec<String>>, RpcError> {
    let Some(given) = arguments.texts("labels")? else {
        return Ok(None);
    };
    let mut labels: Vec<String> = Vec::new();
    for label in given.into_iter().map(str::trim) {
        if label.is_empty() {
            return Err(LABEL_EMPTY);
        }
        if label.contains(',') {
            return Err(LABEL_COMMA);
        }
        if labels.iter().any(|known| known == label) {
            return Err(LABEL_TWICE);
        }
        if labels.len() == MAX_LABELS || label.len() > MAX_LABEL {
            return Err(RpcError::Argument {
                name: "labels",
                wanted: "at most 256 labels of at most 256 bytes",
            });
        }
        labels.push(label.to_owned());
    }
    Ok(Some(labels))
}

/// `downloadLimit`, `downloadLimited`, `uploadLimit`, `uploadLimited`.
fn rates(
    arguments: Arguments<'_>,
    options: &Options,
    change: &mut Change,
    noted: &mut Noted,
) -> Result<(), RpcError> {
    let value = arguments.count("downloadLimit")?;
    let on = arguments.flag("downloadLimited")?;
    change.download = turn_rate(value, on, options.rates.down, &mut noted.download);
    let value = arguments.count("uploadLimit")?;
    let on = arguments.flag("uploadLimited")?;
    change.upload = turn_rate(value, on, options.rates.up, &mut noted.upload);
    Ok(())
}

/// `seedRatioLimit`, `seedRatioMode`, `seedIdleLimit`, `seedIdleMode`.
fn seeding(
    arguments: Arguments<'_>,
    torrent: &Summary,
    change: &mut Change,
    noted: &mut Noted,
) -> Result<(), RpcError> {
    let options = &torrent.options;
    let ratio = arguments.ratio("seedRatioLimit")?;
    let mode = mode(arguments, "seedRatioMode")?;
    if ratio.is_some() || mode.is_some() {
        let value = ratio.unwrap_or_else(|| own_ratio(torrent));
        noted.seed_ratio = Some(value);
        change.seed_ratio = Some(limit(value, mode, &options.seed_ratio));
    }
    // 0 changes nothing, as in Transmission
    let idle = arguments.count("seedIdleLimit")?.filter(|m| *m > 0);
    let mode = self::mode(arguments, "seedIdleMode")?;
    if idle.is_some() || mode.is_some() {
        let minutes = idle.unwrap_or_else(|| idle_minutes(torrent));
        let value: Duration = from_minutes(minutes);
        noted.seed_idle = Some(value);
        change.seed_idle = Some(limit(value, mode, &options.seed_idle));
    }
    Ok(())
}

fn mode(arguments: Arguments<'_>, name: &'static str) -> Result<Option<i64>, RpcError> {
    let mode = arguments.integer(name)?;
    if mode.is_some_and(|mode| !(0..=2).contains(&mode)) {
        return Err(RpcError::Argument {
            name,
            wanted: "0, 1 or 2",
        });
    }
    Ok(mode)
}

fn limit<T>(value: T, mode: Option<i64>, is: &Limit<T>) -> Limit<T> {
    match (mode, is) {
        (Some(0), _) | (None, Limit::Session) => Limit::Session,
        (Some(1), _) | (None, Limit::Own(_)) => Limit::Own(value),
        _ => Limit::Unlimited,
    }
}

/// `trackerList`, or `trackerAdd`, `trackerRemove` and `trackerReplace` one after the other.
fn trackers(
    arguments: Arguments<'_>,
    torrent: &Summary,
) -> Result<Option<Vec<Vec<String>>>, RpcError> {
    if let Some(list) = arguments.text("trackerList")? {
        return tracker_list(list).map(Some);
    }
    let mut tiers = torrent.about.trackers.clone();
    let mut changed = false;
    if let Some(add) = arguments.texts("trackerAdd")? {
        changed = true;
        for url in add {
            let wrong = RpcError::Argument {
                name: "trackerAdd",
                wanted: "a list of announce URLs (http, https, udp) that are not there yet",
            };
            if !is_announce(url) || tiers.iter().flatten().any(|known| known == url) {
                return Err(wrong);
            }
            tiers.push(vec![url.to_owned()]);
        }
    }
    if let Some(remove) = arguments.integers("trackerRemove")? {
        changed = true;
        let mut flat: Vec<&mut String> = tiers.iter_mut().flatten().collect();
        for id in remove {
            let place = usize::try_from(id).ok().and_then(|id| flat.get_mut(id));
            let place = place.ok_or(RpcError::Argument {
                name: "trackerRemove",
                wanted: "a list of ids of trackers",
            })?;
            place.clear();
        }
        for tier in &mut tiers {
            tier.retain(|url| !url.is_empty());
        }
        tiers.retain(|tier| !tier.is_empty());
    }
    if let Some(pairs) = arguments.list("trackerReplace")? {
        changed = true;
        let wrong = || RpcError::Argument {
            name: "trackerReplace",
            wanted: "pairs of the id of a tracker and its new announce URL (http, https, udp)",
        };
        let mut flat: Vec<&mut String> = tiers.iter_mut().flatten().collect();
        for (id, url) in pairs_of(pairs).ok_or_else(wrong)? {
            let place = flat.get_mut(id).filter(|_| is_announce(url));
            url.clone_into(place.ok_or_else(wrong)?);
        }
    }
    check_count(&tiers)?;
    Ok(changed.then_some(tiers))
}

/// The pairs of a list, flat (as Transmission has it) or of lists of two; `None`: they are none.
fn pairs_of(list: &[Value]) -> Option<Vec<(usize, &str)>> {
    let flat: Vec<&Value> = match list.first()? {
        Value::Array(_) => {
            let pairs = list
                .iter()
                .map(|pair| pair.as_array().filter(|p| p.len() == 2));
            pairs
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect()
        }
        _ => list.iter().collect(),
    };
    let pairs = flat.chunks(2).map(|pair| match pair {
        [id, url] => Some((usize::try_from(integer(id)?).ok()?, url.as_str()?)),
        _ => None,
    });
    pairs.collect()
}

/// Announce URLs, one a line, with an empty line between tiers.
fn tracker_list(list: &str) -> Result<Vec<Vec<String>>, RpcError> {
    let mut tiers: Vec<Vec<String>> = vec![Vec::new()];
    for line in list.lines().map(str::trim) {
        if line.is_empty() {
            tiers.push(Vec::new());
            continue;
        }
        if !is_announce(line) || tiers.iter().flatten().any(|known| known == line) {
            return Err(RpcError::Argument {
                name: "trackerList",
                wanted: "different announce URLs (http, https, udp), one a line",
            });
        }
        if let Some(tier) = tiers.last_mut() {
            tier.push(line.to_owned());
        }
    }
    tiers.retain(|tier| !tier.is_empty());
    check_count(&tiers)?;
    Ok(tiers)
}

fn check_count(tiers: &[Vec<String>]) -> Result<(), RpcError> {
    if tiers.iter().map(Vec::len).sum::<usize>() > MAX_TRACKERS {
        return Err(RpcError::Said("a torrent has at most 64 trackers"));
    }
    Ok(())
}

fn is_announce(url: &str) -> bool {
    let known = |u: url::Url| matches!(u.scheme(), "http" | "https" | "udp") && u.has_host();
    url.len() <= MAX_URL && url::Url::parse(url).is_ok_and(known)
}
