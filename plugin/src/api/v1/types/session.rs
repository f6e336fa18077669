//! What holds for all torrents, totals, and the directory.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::{path, rate, ratio, seconds};
use super::{ByDistance, Torrent, TorrentEvent, present};
use crate::api::ApiError;
use crate::daemon::{self, DAY_MINUTES, Facts, Listing, SettingsChange};
use crate::limits::Rate;
use crate::wire::encryption::Encryption;

/// What holds for all torrents.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Settings {
    /// Bytes a second down; `null`: no limit.
    #[schema(required)]
    download_limit: Option<u64>,
    /// Bytes a second up; `null`: no limit.
    #[schema(required)]
    upload_limit: Option<u64>,
    schedule: Schedule,
    /// Torrents that download at a time; `null`: all.
    #[schema(required)]
    active_downloads: Option<u32>,
    /// Torrents that seed at a time; `null`: all.
    #[schema(required)]
    active_seeds: Option<u32>,
    /// A torrent that has moved no bytes for so long takes no place in the queue; `null`: it always does.
    #[schema(required)]
    stalled_after_seconds: Option<u64>,
    /// Ratio at which seeding ends; `null`: at none.
    #[schema(required)]
    seed_ratio: Option<f64>,
    /// Seconds without a byte sent after which seeding ends; `null`: it does not.
    #[schema(required)]
    seed_idle_seconds: Option<u64>,
    /// Seconds after which seeding ends; `null`: it does not.
    #[schema(required)]
    seed_time_seconds: Option<u64>,
    /// Where the data of new torrents goes.
    download_dir: String,
    /// Whether new torrents are started.
    start_added: bool,
    /// .torrent files and files with a magnet link that appear here are added.
    #[schema(required)]
    watch_dir: Option<String>,
    /// Connections of all torrents together.
    connections: usize,
    /// Connections of one torrent.
    peers_per_torrent: u32,
    /// Whether the blocklist is used.
    blocklist: bool,
    /// Where the blocklist comes from: an http(s) URL or a path.
    #[schema(required)]
    blocklist_source: Option<String>,
}

/// Other limits, switched on by hand or by the clock.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Schedule {
    /// Whether they hold now.
    on: bool,
    /// Bytes a second down; `null`: no limit.
    #[schema(required)]
    download_limit: Option<u64>,
    /// Bytes a second up; `null`: no limit.
    #[schema(required)]
    upload_limit: Option<u64>,
    /// Whether the clock switches them.
    by_clock: bool,
    /// Minutes after local midnight at which they begin.
    from_minute: u16,
    /// Minutes after local midnight at which they end; before `from_minute`: on the next day.
    to_minute: u16,
    /// Days on which they begin: bit 0 is Sunday, bit 6 Saturday.
    days: u8,
}

impl From<daemon::Settings> for Settings {
    fn from(s: daemon::Settings) -> Self {
        let secs = |d: Option<Duration>| d.map(|d| d.as_secs());
        Self {
            download_limit: s.rates.down.map(Rate::bytes),
            upload_limit: s.rates.up.map(Rate::bytes),
            schedule: Schedule {
                on: s.schedule.on,
                download_limit: s.schedule.rates.down.map(Rate::bytes),
                upload_limit: s.schedule.rates.up.map(Rate::bytes),
                by_clock: s.schedule.by_clock,
                from_minute: s.schedule.from,
                to_minute: s.schedule.to,
                days: s.schedule.days,
            },
            active_downloads: s.active_downloads,
            active_seeds: s.active_seeds,
            stalled_after_seconds: secs(s.stalled_after),
            seed_ratio: s.seed_ratio,
            seed_idle_seconds: secs(s.seed_idle),
            seed_time_seconds: secs(s.seed_time),
            download_dir: s.download_dir.to_string_lossy().into_owned(),
            start_added: s.start_added,
            watch_dir: s.watch_dir.map(|d| d.to_string_lossy().into_owned()),
            connections: s.connections,
            peers_per_torrent: s.peers_per_torrent,
            blocklist: s.blocklist,
            blocklist_source: s.blocklist_source,
        }
    }
}

/// A change of what holds for all torrents: what is not there stays. It is kept over a restart.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct SessionChange {
    /// Bytes a second down, 1024 to 10^12; `null`: no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    download_limit: Option<Option<u64>>,
    /// Bytes a second up, 1024 to 10^12; `null`: no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    upload_limit: Option<Option<u64>>,
    #[serde(default)]
    schedule: ScheduleChange,
    /// Torrents that download at a time; `null`: all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    active_downloads: Option<Option<u32>>,
    /// Torrents that seed at a time; `null`: all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    active_seeds: Option<Option<u32>>,
    /// When a torrent that moves no bytes gives up its place in the queue; `null`: never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    stalled_after_seconds: Option<Option<u64>>,
    /// Ratio at which seeding ends; `null`: at none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    seed_ratio: Option<Option<f64>>,
    /// Seconds without a byte sent after which seeding ends; `null`: it does not.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    seed_idle_seconds: Option<Option<u64>>,
    /// Seconds after which seeding ends; `null`: it does not.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    seed_time_seconds: Option<Option<u64>>,
    /// Where the data of new torrents goes, in a directory that the configuration allows.
    download_dir: Option<String>,
    /// Whether new torrents are started.
    start_added: Option<bool>,
    /// Connections of all torrents together.
    connections: Option<usize>,
    /// Connections of one torrent.
    peers_per_torrent: Option<u32>,
    /// Whether the blocklist is used.
    blocklist: Option<bool>,
    /// Where the blocklist comes from: an http(s) URL or a path.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    blocklist_source: Option<Option<String>>,
}

/// A change of the other limits: what is not there stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct ScheduleChange {
    /// Whether they hold now.
    on: Option<bool>,
    /// Bytes a second down, 1024 to 10^12; `null`: no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    download_limit: Option<Option<u64>>,
    /// Bytes a second up, 1024 to 10^12; `null`: no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    upload_limit: Option<Option<u64>>,
    /// Whether the clock switches them.
    by_clock: Option<bool>,
    /// Minutes after local midnight at which they begin, below 1440.
    from_minute: Option<u16>,
    /// Minutes after local midnight at which they end, below 1440.
    to_minute: Option<u16>,
    /// Days on which they begin: bit 0 is Sunday, bit 6 Saturday.
    days: Option<u8>,
}

impl TryFrom<SessionChange> for SettingsChange {
    type Error = ApiError;

    fn try_from(change: SessionChange) -> Result<Self, ApiError> {
        let span = |name, limit: Option<Option<u64>>| {
            let read = limit.map(|limit| limit.map(|s| seconds(name, s)).transpose());
            read.transpose()
        };
        let seed_ratio = change.seed_ratio.map(|r| r.map(ratio).transpose());
        let download_dir = change.download_dir.map(|dir| path("download_dir", dir));
        if let Some(Some(source)) = &change.blocklist_source
            && !daemon::is_blocklist_url(source)
        {
            path("blocklist_source", source.clone())?;
        }
        Ok(Self {
            download: rate("download_limit", change.download_limit)?,
            upload: rate("upload_limit", change.upload_limit)?,
            schedule: change.schedule.try_into()?,
            active_downloads: change.active_downloads,
            active_seeds: change.active_seeds,
            stalled_after: span("stalled_after_seconds", change.stalled_after_seconds)?,
            seed_ratio: seed_ratio.transpose()?,
            seed_idle: span("seed_idle_seconds", change.seed_idle_seconds)?,
            seed_time: span("seed_time_seconds", change.seed_time_seconds)?,
            download_dir: download_dir.transpose()?,
            start_added: change.start_added,
            connections: change.connections,
            peers_per_torrent: change.peers_per_torrent,
            blocklist: change.blocklist,
            blocklist_source: change.blocklist_source,
            noted: None,
        })
    }
}

impl TryFrom<ScheduleChange> for daemon::ScheduleChange {
    type Error = ApiError;

    fn try_from(change: ScheduleChange) -> Result<Self, ApiError> {
        let mut minutes = [change.from_minute, change.to_minute].into_iter().flatten();
        if minutes.any(|m| m >= DAY_MINUTES) || change.days.is_some_and(|d| d > 0x7f) {
            let why = "`from_minute` and `to_minute` are below 1440, `days` below 128";
            return Err(ApiError::Invalid(why.to_owned()));
        }
        Ok(Self {
            on: change.on,
            download: rate("download_limit", change.download_limit)?,
            upload: rate("upload_limit", change.upload_limit)?,
            by_clock: change.by_clock,
            from: change.from_minute,
            to: change.to_minute,
            days: change.days,
        })
    }
}

/// The daemon.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Session {
    /// Version of ChunkCast.
    pub(in crate::api::v1) version: &'static str,
    pub(in crate::api::v1) settings: Settings,
    pub(in crate::api::v1) network: Network,
    pub(in crate::api::v1) totals: Totals,
    /// Room on the disk of `download_dir`; `null`: it is not known.
    #[schema(required)]
    pub(in crate::api::v1) space: Option<Space>,
    /// Ranges of the blocklist.
    pub(in crate::api::v1) blocklist_ranges: usize,
}

/// What the daemon was started with.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Network {
    /// Where peers connect to; `null`: nobody listens.
    #[schema(required)]
    peer_port: Option<u16>,
    /// The Mainline DHT is asked (BEP 5).
    dht: bool,
    /// Peers are told of each other (BEP 11).
    pex: bool,
    /// Torrents are announced on the local network (BEP 14).
    lsd: bool,
    /// Connections go over uTP too (BEP 29).
    utp: bool,
    /// The router is asked to let others reach the ports.
    port_mapping: bool,
    /// Which connections are encrypted: `off`, `allow`, `prefer`, `require`.
    encryption: &'static str,
}

impl From<Facts> for Network {
    fn from(facts: Facts) -> Self {
        Self {
            peer_port: facts.peer_port,
            dht: facts.dht,
            pex: facts.pex,
            lsd: facts.lsd,
            utp: facts.utp,
            port_mapping: facts.port_mapping,
            encryption: match facts.encryption {
                Encryption::Off => "off",
                Encryption::Allow => "allow",
                Encryption::Prefer => "prefer",
                Encryption::Require => "require",
            },
        }
    }
}

/// Room on a disk, in bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Space {
    /// That can be written.
    free: u64,
    /// In all.
    total: u64,
}

impl From<daemon::Space> for Space {
    fn from(space: daemon::Space) -> Self {
        Self {
            free: space.free,
            total: space.total,
        }
    }
}

/// Totals of all torrents.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api::v1) struct Totals {
    /// Bytes a second down.
    rate_down: u64,
    /// Bytes a second up.
    rate_up: u64,
    /// Since the daemon was started.
    session: Transferred,
    /// Over all runs.
    ever: Transferred,
    directory: DirectoryTraffic,
    /// Bytes of pieces and blocks in memory.
    memory: u64,
    /// Connections with peers.
    connections: usize,
}

/// What was moved in some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api::v1) struct Transferred {
    /// Bytes received from peers.
    downloaded: u64,
    /// Bytes sent to peers.
    uploaded: u64,
    by_distance: ByDistance,
    /// Torrents added.
    added: u64,
    /// Seconds that the daemon ran.
    seconds: u64,
    /// Times that it was started.
    starts: u64,
}

impl From<&daemon::Transferred> for Transferred {
    fn from(t: &daemon::Transferred) -> Self {
        Self {
            downloaded: t.downloaded,
            uploaded: t.uploaded,
            by_distance: t.by_distance.into(),
            added: t.added,
            seconds: t.seconds,
            starts: t.starts,
        }
    }
}

/// Datagrams of the index node since the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api::v1) struct DirectoryTraffic {
    /// Datagrams sent.
    messages_out: u64,
    /// Datagrams received.
    messages_in: u64,
    /// Bytes sent.
    bytes_out: u64,
    /// Bytes received.
    bytes_in: u64,
}

impl From<&daemon::Totals> for Totals {
    fn from(t: &daemon::Totals) -> Self {
        Self {
            rate_down: t.rate_down,
            rate_up: t.rate_up,
            session: (&t.session).into(),
            ever: (&t.ever).into(),
            directory: DirectoryTraffic {
                messages_out: t.directory.messages_out,
                messages_in: t.directory.messages_in,
                bytes_out: t.directory.bytes_out,
                bytes_in: t.directory.bytes_in,
            },
            memory: t.memory,
            connections: t.connections,
        }
    }
}

/// What was moved over time, the oldest first; times in which nothing was moved are left out.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct History {
    /// The last hour, by ten seconds.
    hour: Vec<Sample>,
    /// The last day, by minutes.
    day: Vec<Sample>,
}

/// What was moved in a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Sample {
    /// When it began.
    at: u64,
    moved: ByDistance,
}

impl From<daemon::History> for History {
    fn from(history: daemon::History) -> Self {
        let samples = |samples: Vec<daemon::Sample>| {
            let sample = |s: daemon::Sample| Sample {
                at: s.at,
                moved: s.moved.into(),
            };
            samples.into_iter().map(sample).collect()
        };
        Self {
            hour: samples(history.hour),
            day: samples(history.day),
        }
    }
}

/// What the index node looks like inside, as `chunkcast table --json` shows it: totals, routing table, objects.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(in crate::api::v1) struct Directory(pub(in crate::api::v1) serde_json::Value);

/// A question to the directory and each index node on its way, as `chunkcast lookup --trace --json` shows them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(in crate::api::v1) struct Trace(pub(in crate::api::v1) serde_json::Value);

/// The data of an event `listing`, once a second where something has changed. The first has all torrents, and so has the
/// first after some were missed.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api::v1) struct ListingEvent {
    /// All torrents are in `torrents`: others are gone.
    pub(in crate::api::v1) all: bool,
    /// Torrents that are new or have changed.
    pub(in crate::api::v1) torrents: Vec<Torrent>,
    /// Hashes of torrents that are gone.
    pub(in crate::api::v1) removed: Vec<String>,
    pub(in crate::api::v1) totals: Totals,
}

impl From<&Listing> for super::Torrents {
    fn from(listing: &Listing) -> Self {
        Self {
            torrents: listing.torrents.iter().map(|s| (&**s).into()).collect(),
        }
    }
}

/// An event of the stream: `event` is the line of that name, `data` that of the other.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub(in crate::api::v1) enum StreamEvent {
    /// Torrents and totals.
    Listing(Box<ListingEvent>),
    /// A torrent was added.
    Added(TorrentEvent),
    /// A torrent was removed.
    Removed(TorrentEvent),
    /// A torrent does something else now.
    State(TorrentEvent),
    /// The metadata of a torrent came.
    Metadata(TorrentEvent),
    /// A torrent is complete.
    Complete(TorrentEvent),
    /// Something is wrong with a torrent.
    Trouble(TorrentEvent),
}
