//! `session-set`.

use serde_json::Value;

use super::arguments::Arguments;
use super::dormant::{self, Switch, Values, turn_rate};
use super::error::{DIR_NOT_ABSOLUTE, RpcError};
use super::session_get::fixed;
use super::units::{from_minutes, rate};
use crate::daemon::{DAY_MINUTES, Daemon, Facts, ScheduleChange, Settings, SettingsChange};

/// `session-set`. Nothing is changed when an argument is wrong.
pub(super) async fn set(daemon: &Daemon, arguments: Arguments<'_>) -> Result<Value, RpcError> {
    let settings = daemon.settings().await?;
    let facts = daemon.facts().await?;
    let change = change(arguments, &settings, &facts)?;
    if change != SettingsChange::default() {
        daemon.change_settings(change).await?;
    }
    Ok(Value::Null)
}

/// What is to be changed.
pub(super) fn change(
    arguments: Arguments<'_>,
    settings: &Settings,
    facts: &Facts,
) -> Result<SettingsChange, RpcError> {
    check_fixed(arguments, settings, facts)?;
    let mut noted = settings.noted.clone();
    let values = Values::of(settings);
    let mut change = SettingsChange {
        schedule: schedule(arguments)?,
        start_added: arguments.flag("start-added-torrents")?,
        download_dir: arguments.path("download-dir", DIR_NOT_ABSOLUTE)?,
        peers_per_torrent: arguments.small("peer-limit-per-torrent")?,
        blocklist: arguments.flag("blocklist-enabled")?,
        ..SettingsChange::default()
    };
    change.download = turn_rate(
        arguments,
        ["speed-limit-down", "speed-limit-down-enabled"],
        settings.rates.down,
        values.download,
        &mut noted.download,
    )?;
    change.upload = turn_rate(
        arguments,
        ["speed-limit-up", "speed-limit-up-enabled"],
        settings.rates.up,
        values.upload,
        &mut noted.upload,
    )?;
    if let Some(peers) = arguments.small("peer-limit-global")? {
        change.connections = Some(usize::try_from(peers).unwrap_or(usize::MAX));
    }
    if let Some(url) = arguments.text("blocklist-url")? {
        change.blocklist_source = Some((!url.is_empty()).then(|| url.to_owned()));
    }
    change.active_downloads = Switch {
        value: arguments.small("download-queue-size")?,
        on: arguments.flag("download-queue-enabled")?,
        is: settings.active_downloads,
        dormant: dormant::DOWNLOADS,
    }
    .turn(&mut noted.active_downloads);
    change.active_seeds = Switch {
        value: arguments.small("seed-queue-size")?,
        on: arguments.flag("seed-queue-enabled")?,
        is: settings.active_seeds,
        dormant: dormant::SEEDS,
    }
    .turn(&mut noted.active_seeds);
    change.stalled_after = Switch {
        value: arguments.count("queue-stalled-minutes")?.map(from_minutes),
        on: arguments.flag("queue-stalled-enabled")?,
        is: settings.stalled_after,
        dormant: dormant::STALLED,
    }
    .turn(&mut noted.stalled_after);
    change.seed_ratio = Switch {
        value: arguments.ratio("seedRatioLimit")?,
        on: arguments.flag("seedRatioLimited")?,
        is: settings.seed_ratio,
        dormant: values.seed_ratio,
    }
    .turn(&mut noted.seed_ratio);
    change.seed_idle = Switch {
        value: arguments.count("idle-seeding-limit")?.map(from_minutes),
        on: arguments.flag("idle-seeding-limit-enabled")?,
        is: settings.seed_idle,
        dormant: values.seed_idle,
    }
    .turn(&mut noted.seed_idle);
    change.noted = (noted != settings.noted).then_some(noted);
    Ok(change)
}

/// `alt-speed-*`.
fn schedule(arguments: Arguments<'_>) -> Result<ScheduleChange, RpcError> {
    let days = arguments.count("alt-speed-time-day")?.map(|days| {
        let known = u8::try_from(days).ok().filter(|days| *days <= 0x7f);
        known.ok_or(RpcError::Argument {
            name: "alt-speed-time-day",
            wanted: "a sum of 1 for Sunday, 2 for Monday and so on to 64 for Saturday",
        })
    });
    Ok(ScheduleChange {
        on: arguments.flag("alt-speed-enabled")?,
        download: arguments.count("alt-speed-down")?.map(|kb| Some(rate(kb))),
        upload: arguments.count("alt-speed-up")?.map(|kb| Some(rate(kb))),
        by_clock: arguments.flag("alt-speed-time-enabled")?,
        from: minute(arguments, "alt-speed-time-begin")?,
        to: minute(arguments, "alt-speed-time-end")?,
        days: days.transpose()?,
    })
}

fn minute(arguments: Arguments<'_>, name: &'static str) -> Result<Option<u16>, RpcError> {
    let Some(minute) = arguments.count(name)? else {
        return Ok(None);
    };
    let minute = u16::try_from(minute).ok().filter(|m| *m < DAY_MINUTES);
    let minute = minute.ok_or(RpcError::Argument {
        name,
        wanted: "a minute of the day, below 1440",
    });
    minute.map(Some)
}

/// What only another start changes may be named with the value that it has.
fn check_fixed(
    arguments: Arguments<'_>,
    settings: &Settings,
    facts: &Facts,
) -> Result<(), RpcError> {
    for (name, is) in fixed(settings, facts) {
        let differs = match &is {
            Value::Bool(is) => arguments.flag(name)?.is_some_and(|flag| flag != *is),
            Value::String(is) => arguments.text(name)?.is_some_and(|text| text != is),
            is => arguments
                .count(name)?
                .is_some_and(|n| is.as_u64() != Some(n)),
        };
        if differs {
            return Err(RpcError::Fixed(name));
        }
    }
    Ok(())
}
