//! `session-get` and `session-stats`.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::dormant::{self, Values};
use super::error::RpcError;
use super::units::{double, kilobytes, minutes};
use crate::daemon::{Daemon, Facts, Settings, State, Transferred};
use crate::limits::Rate;
use crate::wire::encryption::Encryption;

/// The revision of the protocol that is spoken, and the oldest whose clients are understood.
const RPC_VERSION: u32 = 17;
const RPC_VERSION_MINIMUM: u32 = 1;
const RPC_VERSION_SEMVER: &str = "5.3.0"; // the same revision, counted otherwise

/// The release of Transmission whose protocol this is: clients read a number from it, and go by it.
const VERSION: &str = concat!("4.0.6 (ChunkCast ", env!("CARGO_PKG_VERSION"), ")");

/// What `session-get` reads.
struct View<'a> {
    settings: &'a Settings,
    facts: &'a Facts,
    session_id: &'a str,
    /// Bytes on the disk of the download directory.
    free: Option<u64>,
    /// Ranges of the blocklist.
    blocked: usize,
}

/// `session-get`.
pub(super) async fn get(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    session_id: &str,
) -> Result<Value, RpcError> {
    // anything but a list is all, as in Transmission
    let asked = arguments.raw("fields").and_then(Value::as_array);
    let asks = |name: &str| asked.is_none_or(|list| list.iter().any(|n| n == name));
    let settings = daemon.settings().await?;
    let facts = daemon.facts().await?;
    let free = match asks("download-dir-free-space") {
        true => daemon.free_space(settings.download_dir.clone()).await.ok(),
        false => None,
    };
    let blocked = match asks("blocklist-size") {
        true => daemon.blocklist_len().await?,
        false => 0,
    };
    let view = View {
        settings: &settings,
        facts: &facts,
        session_id,
        free: free.map(|space| space.free),
        blocked,
    };
    let mut all = fields(&view);
    all.retain(|name, _| asks(name));
    Ok(all.into())
}

/// All fields.
fn fields(view: &View<'_>) -> Map<String, Value> {
    let mut all = Map::new();
    for part in [limits(view), about(view)] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    let fixed = fixed(view.settings, view.facts);
    all.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// What can be changed.
fn limits(view: &View<'_>) -> Value {
    let settings = view.settings;
    let (noted, schedule) = (&settings.noted, &settings.schedule);
    let values = Values::of(settings);
    // the other rates have no switch: none is the highest
    let other = |rate: Option<Rate>| kilobytes(rate.unwrap_or(Rate::MAX).bytes());
    let stalled = settings.stalled_after.or(noted.stalled_after);
    let downloads = settings.active_downloads.or(noted.active_downloads);
    let seeds = settings.active_seeds.or(noted.active_seeds);
    let source = settings.blocklist_source.as_deref();
    json!({
        "alt-speed-down": other(schedule.rates.down),
        "alt-speed-enabled": schedule.on,
        "alt-speed-time-begin": schedule.from,
        "alt-speed-time-day": schedule.days,
        "alt-speed-time-enabled": schedule.by_clock,
        "alt-speed-time-end": schedule.to,
        "alt-speed-up": other(schedule.rates.up),
        "blocklist-enabled": settings.blocklist,
        "blocklist-size": view.blocked,
        "blocklist-url": source.unwrap_or_default(),
        "download-dir": settings.download_dir.to_string_lossy(),
        "download-dir-free-space": view.free.map_or(json!(-1), Value::from),
        "download-queue-enabled": settings.active_downloads.is_some(),
        "download-queue-size": downloads.unwrap_or(dormant::DOWNLOADS),
        "idle-seeding-limit": minutes(values.seed_idle),
        "idle-seeding-limit-enabled": settings.seed_idle.is_some(),
        "peer-limit-global": settings.connections,
        "peer-limit-per-torrent": settings.peers_per_torrent,
        "queue-stalled-enabled": settings.stalled_after.is_some(),
        "queue-stalled-minutes": minutes(stalled.unwrap_or(dormant::STALLED)),
        "seed-queue-enabled": settings.active_seeds.is_some(),
        "seed-queue-size": seeds.unwrap_or(dormant::SEEDS),
        "seedRatioLimit": double(values.seed_ratio),
        "seedRatioLimited": settings.seed_ratio.is_some(),
        "speed-limit-down": kilobytes(values.download),
        "speed-limit-down-enabled": settings.rates.down.is_some(),
        "speed-limit-up": kilobytes(values.upload),
        "speed-limit-up-enabled": settings.rates.up.is_some(),
        "start-added-torrents": settings.start_added,
    })
}

/// What only another start changes, or what there is not: then it is off.
pub(super) fn fixed(settings: &Settings, facts: &Facts) -> [(&'static str, Value); 20] {
    [
        ("cache-size-mb", 0.into()),
        ("default-trackers", "".into()),
        ("dht-enabled", facts.dht.into()),
        ("encryption", encryption(facts.encryption).into()),
        (
            "incomplete-dir",
            settings.download_dir.to_string_lossy().into(),
        ),
        ("incomplete-dir-enabled", false.into()),
        ("lpd-enabled", facts.lsd.into()),
        ("peer-port", facts.peer_port.unwrap_or(0).into()),
        ("peer-port-random-on-start", false.into()),
        ("pex-enabled", facts.pex.into()),
        ("port-forwarding-enabled", facts.port_mapping.into()),
        ("rename-partial-files", false.into()),
        ("script-torrent-added-enabled", false.into()),
        ("script-torrent-added-filename", "".into()),
        ("script-torrent-done-enabled", false.into()),
        ("script-torrent-done-filename", "".into()),
        ("script-torrent-done-seeding-enabled", false.into()),
        ("script-torrent-done-seeding-filename", "".into()),
        ("trash-original-torrent-files", false.into()),
        ("utp-enabled", facts.utp.into()),
    ]
}

/// What it is.
fn about(view: &View<'_>) -> Value {
    json!({
        "config-dir": view.facts.state_dir.to_string_lossy(),
        "rpc-version": RPC_VERSION,
        "rpc-version-minimum": RPC_VERSION_MINIMUM,
        "rpc-version-semver": RPC_VERSION_SEMVER,
        "session-id": view.session_id,
        "units": {
            "memory-bytes": 1024,
            "memory-units": ["KiB", "MiB", "GiB", "TiB"],
            "size-bytes": 1000,
            "size-units": ["kB", "MB", "GB", "TB"],
            "speed-bytes": 1000,
            "speed-units": ["kB/s", "MB/s", "GB/s", "TB/s"],
        },
        "version": VERSION,
    })
}

/// Transmission's word.
fn encryption(policy: Encryption) -> &'static str {
    match policy {
        Encryption::Off | Encryption::Allow => "tolerated",
        Encryption::Prefer => "preferred",
        Encryption::Require => "required",
    }
}

/// `session-stats`.
pub(super) fn stats(daemon: &Daemon) -> Value {
    let listing = daemon.list();
    let totals = &listing.totals;
    let all = listing.torrents.len();
    let paused = listing.torrents.iter();
    let paused = paused.filter(|t| t.state == State::Paused).count();
    json!({
        "activeTorrentCount": all - paused,
        "cumulative-stats": transferred(&totals.ever),
        "current-stats": transferred(&totals.session),
        "downloadSpeed": totals.rate_down,
        "pausedTorrentCount": paused,
        "torrentCount": all,
        "uploadSpeed": totals.rate_up,
    })
}

fn transferred(moved: &Transferred) -> Value {
    json!({
        "downloadedBytes": moved.downloaded,
        "filesAdded": moved.added,
        "secondsActive": moved.seconds,
        "sessionCount": moved.starts,
        "uploadedBytes": moved.uploaded,
    })
}
