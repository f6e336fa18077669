//! Torrents as they are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{ByDistance, Limit, Priority, bits, time};
use crate::daemon::{self, Detail, InfoHash, Summary};

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api::v1) enum State {
    /// Stopped by somebody, or at the end of its ratio or time.
    Paused,
    /// Its data waits to be hashed.
    CheckQueued,
    /// Its data is being hashed.
    Checking,
    /// It waits for a place among the downloads.
    DownloadQueued,
    /// Its metadata is fetched from peers.
    Metadata,
    /// It downloads.
    Downloading,
    /// It waits for a place among the seeds.
    SeedQueued,
    /// All that is wanted is there.
    Seeding,
}

impl From<daemon::State> for State {
    fn from(state: daemon::State) -> Self {
        match state {
            daemon::State::Paused => Self::Paused,
            daemon::State::CheckQueued => Self::CheckQueued,
            daemon::State::Checking => Self::Checking,
            daemon::State::DownloadQueued => Self::DownloadQueued,
            daemon::State::Metadata => Self::Metadata,
            daemon::State::Downloading => Self::Downloading,
            daemon::State::SeedQueued => Self::SeedQueued,
            daemon::State::Seeding => Self::Seeding,
        }
    }
}

/// Why a torrent does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api::v1) struct Trouble {
    /// Whether it stopped for it.
    stopped: bool,
    /// Whether a tracker said so.
    tracker: bool,
    /// One line with the way out.
    message: String,
}

/// A torrent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api::v1) struct Torrent {
    /// A number that no other torrent has as long as the daemon runs.
    id: u32,
    /// SHA-1 of the info dict: 40 hexadecimal digits.
    pub(in crate::api::v1) hash: String,
    /// Its name; while the metadata is unknown that of the magnet link, or the hash.
    name: String,
    state: State,
    #[schema(required)]
    trouble: Option<Trouble>,
    /// The directory that the torrent's file or folder is in.
    dir: String,
    /// Words to sort it by.
    labels: Vec<String>,
    /// Whether the metadata is known. Until then there are no files, sizes and pieces.
    has_metadata: bool,
    /// Only its own trackers name peers (BEP 27).
    private: bool,
    /// Bytes of all files.
    size: u64,
    /// Bytes of the files that are wanted.
    wanted: u64,
    /// Of those, verified and written.
    verified: u64,
    /// Verified and written, of all files.
    held: u64,
    /// Pieces.
    pieces: u32,
    /// Bytes of each piece but the last.
    piece_length: u32,
    /// Files, gaps (BEP 47) included.
    files: usize,
    /// Part of the check that is done, 0 to 1, while there is one.
    #[schema(required)]
    checked: Option<f64>,
    /// Part of the move that is done, 0 to 1, while its data is moved.
    #[schema(required)]
    moving: Option<f64>,
    /// Bytes a second down.
    rate_down: u64,
    /// Bytes a second up.
    rate_up: u64,
    /// Seconds until all that is wanted is there, at this rate.
    #[schema(required)]
    eta_seconds: Option<u64>,
    /// Bytes received from peers, over all runs.
    downloaded: u64,
    /// Bytes sent to peers, over all runs.
    uploaded: u64,
    /// Bytes received in vain, over all runs.
    wasted: u64,
    /// Bytes from and to near and far peers, over all runs.
    by_distance: ByDistance,
    /// Near peers connected.
    near: u32,
    /// Other peers connected.
    far: u32,
    /// Web seeds that are asked (BEP 19).
    web_seeds: u32,
    /// Peers that send us something.
    sending: u32,
    /// Peers that we send something.
    receiving: u32,
    /// Peers connected, by who named them: `directory`, `tracker`, `dht`, `lsd`, `pex`, `manual`, `incoming`.
    sources: BTreeMap<&'static str, u32>,
    /// Place in the queue, the first being 0.
    queue_position: usize,
    /// When it was added.
    #[schema(required)]
    added: Option<u64>,
    /// When it was last started.
    #[schema(required)]
    started: Option<u64>,
    /// When it was complete.
    #[schema(required)]
    done: Option<u64>,
    /// When bytes last came or went.
    #[schema(required)]
    active: Option<u64>,
    /// When anything was last changed but for rates and times.
    #[schema(required)]
    changed: Option<u64>,
    /// Seconds spent downloading, over all runs.
    seconds_downloading: u64,
    /// Seconds spent seeding, over all runs.
    seconds_seeding: u64,
    /// No bytes have moved for so long that it takes no place in the queue.
    stalled: bool,
    /// Whether seeding ended at its limit.
    finished: bool,
    /// Bytes a second down of its own; `null`: no limit.
    #[schema(required)]
    download_limit: Option<u64>,
    /// Bytes a second up of its own; `null`: no limit.
    #[schema(required)]
    upload_limit: Option<u64>,
    /// Whether the limits for all torrents hold for it too.
    session_limits: bool,
    /// Ratio at which seeding ends.
    seed_ratio: Limit<f64>,
    /// Seconds without a byte sent after which seeding ends.
    seed_idle_seconds: Limit<u64>,
    /// Seconds after which seeding ends.
    seed_time_seconds: Limit<u64>,
    /// Connections that it may have.
    max_peers: u32,
}

impl From<&Summary> for Torrent {
    fn from(s: &Summary) -> Self {
        let options = &s.options;
        let trouble = s.trouble.as_ref().map(|t| Trouble {
            stopped: t.stopped,
            tracker: t.tracker,
            message: t.message.clone(),
        });
        Self {
            id: s.id,
            hash: s.info_hash.to_string(),
            name: s.name.clone(),
            state: s.state.into(),
            trouble,
            dir: options.dir.to_string_lossy().into_owned(),
            labels: options.labels.clone(),
            has_metadata: s.has_metadata,
            private: s.private,
            size: s.size,
            wanted: s.wanted,
            verified: s.verified,
            held: s.held,
            pieces: s.pieces,
            piece_length: s.piece_length,
            files: s.files,
            checked: s.checked,
            moving: s.moving,
            rate_down: s.rate_down,
            rate_up: s.rate_up,
            eta_seconds: s.eta,
            downloaded: s.downloaded,
            uploaded: s.uploaded,
            wasted: s.wasted,
            by_distance: s.by_distance.into(),
            near: s.near,
            far: s.far,
            web_seeds: s.web_seeds,
            sending: s.sending,
            receiving: s.receiving,
            sources: s.sources.clone(),
            queue_position: s.queue_position,
            added: time(s.added),
            started: time(s.started),
            done: time(s.done),
            active: time(s.active),
            changed: time(s.changed),
            seconds_downloading: s.seconds_downloading,
            seconds_seeding: s.seconds_seeding,
            stalled: s.stalled,
            finished: s.finished,
            download_limit: options.rates.down.map(crate::limits::Rate::bytes),
            upload_limit: options.rates.up.map(crate::limits::Rate::bytes),
            session_limits: options.session_rates,
            seed_ratio: options.seed_ratio.into(),
            seed_idle_seconds: Limit::seconds(options.seed_idle),
            seed_time_seconds: Limit::seconds(options.seed_time),
            max_peers: options.max_peers,
        }
    }
}

/// All torrents.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Torrents {
    /// By their place in the queue.
    pub(in crate::api::v1) torrents: Vec<Torrent>,
}

/// A torrent, and what it says of itself. Its files, peers, pieces, trackers and lookups have routes of their own.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct TorrentDetail {
    #[serde(flatten)]
    torrent: Torrent,
    /// `comment` of the .torrent file.
    comment: String,
    /// `created by`.
    creator: String,
    /// `creation date`.
    #[schema(required)]
    created: Option<u64>,
    /// The magnet link.
    magnet: String,
    /// URLs of web seeds (BEP 19).
    web_seed_urls: Vec<String>,
    /// What peers sent that was thrown away, by reason, in this run.
    drops: BTreeMap<String, u64>,
    /// Pieces that failed their hash, in this run.
    bad_pieces: u64,
    /// Peers banned, in this run.
    banned: u64,
}

impl TorrentDetail {
    pub(in crate::api::v1) fn new(summary: &Summary, detail: Detail) -> Self {
        let about = &summary.about;
        Self {
            torrent: summary.into(),
            comment: about.comment.clone(),
            creator: about.creator.clone(),
            created: time(about.created),
            magnet: about.magnet.clone(),
            web_seed_urls: about.web_seeds.clone(),
            drops: detail.drops,
            bad_pieces: detail.bad_pieces,
            banned: detail.banned,
        }
    }
}

/// A file of a torrent.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct File {
    /// Its number, by which it is selected.
    index: usize,
    /// Path below the torrent's directory, its name included.
    path: String,
    /// Bytes.
    size: u64,
    /// Of those, verified and written.
    held: u64,
    priority: Priority,
    /// Not a file but a gap (BEP 47).
    padding: bool,
    /// Its first piece.
    first_piece: u32,
    /// The piece after its last.
    end_piece: u32,
}

/// The files of a torrent, none while its metadata is unknown.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Files {
    files: Vec<File>,
}

impl From<Detail> for Files {
    fn from(detail: Detail) -> Self {
        let file = |(index, f): (usize, daemon::FileRow)| File {
            index,
            path: f.path.to_string_lossy().into_owned(),
            size: f.size,
            held: f.held,
            priority: f.priority.into(),
            padding: f.padding,
            first_piece: f.first_piece,
            end_piece: f.end_piece,
        };
        Self {
            files: detail.files.into_iter().enumerate().map(file).collect(),
        }
    }
}

/// The pieces of a torrent.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Pieces {
    /// How many there are; 0 while the metadata is unknown.
    pieces: u32,
    /// Bytes of each but the last.
    piece_length: u32,
    /// Those verified and written: base64 of the bitfield.
    held: String,
    /// Those wanted: base64 of the bitfield.
    wanted: String,
    /// Numbers of those begun.
    open: Vec<u32>,
}

impl Pieces {
    pub(in crate::api::v1) fn new(summary: &Summary, detail: Detail) -> Self {
        Self {
            pieces: summary.pieces,
            piece_length: summary.piece_length,
            held: bits(&detail.held),
            wanted: bits(&detail.wanted),
            open: detail.open,
        }
    }
}

/// A tracker of a torrent.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Tracker {
    /// A number that no other tracker of the torrent has.
    id: usize,
    /// Its tier (BEP 12).
    tier: usize,
    /// Where announces go.
    announce: String,
    /// When it was last asked.
    #[schema(required)]
    last_announce: Option<u64>,
    /// Whether it answered.
    ok: bool,
    /// What it said, or what went wrong.
    message: String,
    /// Peers in its last answer.
    peers: usize,
    /// When it is asked next.
    #[schema(required)]
    next_announce: Option<u64>,
    /// Whether it is being asked now.
    asking: bool,
    /// Seeds that it knows.
    #[schema(required)]
    seeders: Option<u32>,
    /// Others that it knows.
    #[schema(required)]
    leechers: Option<u32>,
}

/// The trackers of a torrent.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Trackers {
    trackers: Vec<Tracker>,
}

impl From<Detail> for Trackers {
    fn from(detail: Detail) -> Self {
        let tracker = |t: daemon::TrackerRow| Tracker {
            id: t.id,
            tier: t.tier,
            announce: t.announce,
            last_announce: time(t.last_announce),
            ok: t.ok,
            message: t.message,
            peers: t.peers,
            next_announce: time(t.next_announce),
            asking: t.asking,
            seeders: t.seeders,
            leechers: t.leechers,
        };
        Self {
            trackers: detail.trackers.into_iter().map(tracker).collect(),
        }
    }
}

/// What became of an addition.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct Added {
    id: u32,
    hash: String,
    name: String,
    /// It was there already; nothing was changed.
    duplicate: bool,
}

impl From<daemon::Added> for Added {
    fn from(added: daemon::Added) -> Self {
        Self {
            id: added.id,
            hash: added.info_hash.to_string(),
            name: added.name,
            duplicate: added.duplicate,
        }
    }
}

impl<T> From<daemon::Limit<T>> for Limit<T> {
    fn from(limit: daemon::Limit<T>) -> Self {
        match limit {
            daemon::Limit::Session => Self::Word(super::LimitWord::Session),
            daemon::Limit::Own(own) => Self::Own(own),
            daemon::Limit::Unlimited => Self::Word(super::LimitWord::Unlimited),
        }
    }
}

impl Limit<u64> {
    fn seconds(limit: daemon::Limit<Duration>) -> Self {
        match limit {
            daemon::Limit::Session => Self::Word(super::LimitWord::Session),
            daemon::Limit::Own(own) => Self::Own(own.as_secs()),
            daemon::Limit::Unlimited => Self::Word(super::LimitWord::Unlimited),
        }
    }
}

/// Events of one torrent: which, and what.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::v1) struct TorrentEvent {
    hash: String,
    /// With `state`: what it does now.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// With `trouble`: one line with the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl TorrentEvent {
    pub(in crate::api::v1) fn new(which: InfoHash) -> Self {
        Self {
            hash: which.to_string(),
            state: None,
            message: None,
        }
    }

    pub(in crate::api::v1) fn state(which: InfoHash, state: daemon::State) -> Self {
        Self {
            state: Some(state.into()),
            ..Self::new(which)
        }
    }

    pub(in crate::api::v1) fn trouble(which: InfoHash, message: String) -> Self {
        Self {
            message: Some(message),
            ..Self::new(which)
        }
    }
}
