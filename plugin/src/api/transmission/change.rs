//! The arguments of `torrent-set` and `torrent-add` that say how a torrent is to be.

use std::time::Duration;

use super::arguments::Arguments;
use super::dormant::{Values, turn_rate};
use super::error::{LABEL_COMMA, LABEL_EMPTY, LABEL_TWICE, RpcError};
use super::fields::{own_idle, own_ratio};
use super::files::Choices;
use super::trackers;
use super::units::from_minutes;
use crate::daemon::{Change, LONGEST_LABEL, Limit, MOST_LABELS, Noted, Options, Summary};

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
pub(super) fn of(
    arguments: Arguments<'_>,
    torrent: &Summary,
    dormant: Values,
) -> Result<Change, RpcError> {
    if arguments.text("group")?.is_some_and(|g| !g.is_empty()) {
        return Err(RpcError::Unsupported("bandwidth groups"));
    }
    let options = &torrent.options;
    let mut noted = options.noted.clone();
    let mut change = Change {
        labels: labels(arguments)?,
        session_rates: arguments.flag("honorsSessionLimits")?,
        max_peers: arguments.small("peer-limit")?,
        trackers: trackers::changed(arguments, &torrent.about.trackers)?,
        ..Change::default()
    };
    if let Some(priority) = bandwidth_priority(arguments)? {
        noted.bandwidth_priority = priority;
    }
    if let Some(place) = arguments.integer("queuePosition")? {
        change.queue_position = Some(usize::try_from(place).unwrap_or(0));
    }
    rates(arguments, options, dormant, &mut change, &mut noted)?;
    seeding(arguments, options, dormant, &mut change, &mut noted)?;
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
        if labels.len() == MOST_LABELS || label.len() > LONGEST_LABEL {
            return Err(RpcError::Argument {
                name: "labels",
                wanted: "at most 64 labels of at most 256 bytes",
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
    dormant: Values,
    change: &mut Change,
    noted: &mut Noted,
) -> Result<(), RpcError> {
    change.download = turn_rate(
        arguments,
        ["downloadLimit", "downloadLimited"],
        options.rates.down,
        dormant.download,
        &mut noted.download,
    )?;
    change.upload = turn_rate(
        arguments,
        ["uploadLimit", "uploadLimited"],
        options.rates.up,
        dormant.upload,
        &mut noted.upload,
    )?;
    Ok(())
}

/// `seedRatioLimit`, `seedRatioMode`, `seedIdleLimit`, `seedIdleMode`.
fn seeding(
    arguments: Arguments<'_>,
    options: &Options,
    dormant: Values,
    change: &mut Change,
    noted: &mut Noted,
) -> Result<(), RpcError> {
    let ratio = arguments.ratio("seedRatioLimit")?;
    let mode = mode(arguments, "seedRatioMode")?;
    if ratio.is_some() || mode.is_some() {
        let value = ratio.unwrap_or_else(|| own_ratio(options, dormant));
        noted.seed_ratio = Some(value);
        change.seed_ratio = Some(limit(value, mode, &options.seed_ratio));
    }
    // 0 changes nothing, as in Transmission
    let idle = arguments.count("seedIdleLimit")?.filter(|m| *m > 0);
    let mode = self::mode(arguments, "seedIdleMode")?;
    if idle.is_some() || mode.is_some() {
        let value: Duration = idle.map_or_else(|| own_idle(options, dormant), from_minutes);
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
