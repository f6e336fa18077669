//! The fields of `torrent-get`: each by its name, with how it is read from what the daemon shows.

use std::time::Duration;

use serde_json::Value;

use super::dormant::Values;
use super::nested;
use super::units::{double, kilobytes, minutes, part, ratio};
use crate::daemon::{Detail, Limit, Options, Priority, Settings, State, Summary};
use crate::limits::Rate;

/// No time is known: there are no sources, or it does nothing that ends.
const NOT_AVAILABLE: i64 = -1;
/// No time is known: nothing moves now.
const UNKNOWN: i64 = -2;

/// One torrent, as much as is asked of it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) torrent: &'a Summary,
    /// Only when a field needs it.
    pub(super) detail: Option<&'a Detail>,
    pub(super) settings: &'a Settings,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl View<'_> {
    /// The values that limits of the torrent have before they are set.
    fn dormant(&self) -> Values {
        Values::of(self.settings)
    }
}

/// What a field is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The summary.
    Summary,
    /// The summary, or the depth for torrents of which not all files are wanted.
    Selection,
    /// The depth.
    Detail,
}

/// A field of `torrent-get`.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) source: Source,
    pub(super) value: fn(&View<'_>) -> Value,
}

/// The field of that name.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// All fields of rpc-version 17 and before.
pub(super) static FIELDS: &[Field] = {
    use Source::{Detail, Selection, Summary};
    const fn of(name: &'static str, source: Source, value: fn(&View<'_>) -> Value) -> Field {
        Field {
            name,
            source,
            value,
        }
    }
    &[
        of("activityDate", Summary, |v| v.torrent.active.into()),
        of("addedDate", Summary, |v| v.torrent.added.into()),
        of("availability", Detail, |v| nested::availability(v).into()),
        of("bandwidthPriority", Summary, |v| {
            v.torrent.options.noted.bandwidth_priority.into()
        }),
        of("comment", Summary, |v| {
            v.torrent.about.comment.clone().into()
        }),
        of("corruptEver", Summary, |v| v.torrent.wasted.into()),
        of("creator", Summary, |v| {
            v.torrent.about.creator.clone().into()
        }),
        of("dateCreated", Summary, |v| v.torrent.about.created.into()),
        of("desiredAvailable", Detail, |v| nested::desired(v).into()),
        of("doneDate", Summary, |v| v.torrent.done.into()),
        of("downloadDir", Summary, |v| {
            v.torrent.options.dir.to_string_lossy().into()
        }),
        of("downloadLimit", Summary, |v| {
            let options = &v.torrent.options;
            limit(
                options.rates.down,
                options.noted.download,
                v.dormant().download,
            )
        }),
        of("downloadLimited", Summary, |v| {
            v.torrent.options.rates.down.is_some().into()
        }),
        of("downloadedEver", Summary, |v| v.torrent.downloaded.into()),
        of("editDate", Summary, |v| v.torrent.changed.into()),
        of("error", Summary, |v| error(v.torrent).into()),
        of("errorString", Summary, |v| {
            let trouble = v.torrent.trouble.as_ref();
            trouble.map_or("", |t| &t.message).into()
        }),
        of("eta", Summary, |v| eta(v).into()),
        of("etaIdle", Summary, |v| eta_idle(v).into()),
        of("file-count", Summary, |v| v.torrent.files.into()),
        of("fileStats", Detail, |v| nested::file_stats(v).into()),
        of("files", Detail, |v| nested::files(v).into()),
        of("group", Summary, |_| "".into()),
        of("hashString", Summary, |v| {
            v.torrent.info_hash.to_string().into()
        }),
        of("haveUnchecked", Summary, |_| 0.into()), // nothing unverified is ever on disk
        of("haveValid", Summary, |v| v.torrent.held.into()),
        of("honorsSessionLimits", Summary, |v| {
            v.torrent.options.session_rates.into()
        }),
        of("id", Summary, |v| v.torrent.id.into()),
        of("isFinished", Summary, |v| v.torrent.finished.into()),
        of("isPrivate", Summary, |v| v.torrent.private.into()),
        of("isStalled", Summary, |v| v.torrent.stalled.into()),
        of("labels", Summary, |v| {
            v.torrent.options.labels.clone().into()
        }),
        of("leftUntilDone", Selection, |v| wanted(v).left().into()),
        of("magnetLink", Summary, |v| {
            v.torrent.about.magnet.clone().into()
        }),
        of("manualAnnounceTime", Summary, |_| (-1).into()), // not known: an announce on request is never refused for its time
        of("maxConnectedPeers", Summary, |v| {
            v.torrent.options.max_peers.into()
        }),
        of("metadataPercentComplete", Summary, |v| {
            i32::from(v.torrent.has_metadata).into()
        }),
        of("name", Summary, |v| v.torrent.name.clone().into()),
        of("peer-limit", Summary, |v| {
            v.torrent.options.max_peers.into()
        }),
        of("peers", Detail, |v| nested::peers(v).into()),
        of("peersConnected", Summary, |v| {
            (v.torrent.near + v.torrent.far).into()
        }),
        of("peersFrom", Summary, |v| nested::peers_from(v.torrent)),
        of("peersGettingFromUs", Summary, |v| {
            v.torrent.receiving.into()
        }),
        of("peersSendingToUs", Summary, |v| v.torrent.sending.into()),
        of("percentComplete", Summary, |v| {
            double(part(v.torrent.held, v.torrent.size))
        }),
        of("percentDone", Selection, |v| {
            let wanted = wanted(v);
            double(part(wanted.held, wanted.size))
        }),
        of("pieceCount", Summary, |v| v.torrent.pieces.into()),
        of("pieceSize", Summary, |v| v.torrent.piece_length.into()),
        of("pieces", Detail, |v| nested::pieces(v).into()),
        of("primary-mime-type", Detail, |v| nested::mime_type(v).into()),
        of("priorities", Detail, |v| nested::priorities(v).into()),
        of("queuePosition", Summary, |v| {
            v.torrent.queue_position.into()
        }),
        of("rateDownload", Summary, |v| v.torrent.rate_down.into()),
        of("rateUpload", Summary, |v| v.torrent.rate_up.into()),
        of("recheckProgress", Summary, |v| {
            double(v.torrent.checked.unwrap_or(0.0))
        }),
        of("secondsDownloading", Summary, |v| {
            v.torrent.seconds_downloading.into()
        }),
        of("secondsSeeding", Summary, |v| {
            v.torrent.seconds_seeding.into()
        }),
        of("seedIdleLimit", Summary, |v| {
            minutes(own_idle(&v.torrent.options, v.dormant())).into()
        }),
        of("seedIdleMode", Summary, |v| {
            mode(&v.torrent.options.seed_idle).into()
        }),
        of("seedRatioLimit", Summary, |v| {
            double(own_ratio(&v.torrent.options, v.dormant()))
        }),
        of("seedRatioMode", Summary, |v| {
            mode(&v.torrent.options.seed_ratio).into()
        }),
        of("sizeWhenDone", Selection, |v| wanted(v).size.into()),
        of("startDate", Summary, |v| v.torrent.started.into()),
        of("status", Summary, |v| status(v.torrent.state).into()),
        of("torrentFile", Summary, |v| {
            let path = v.torrent.about.torrent_file.as_ref();
            path.map_or_else(String::new, |p| p.to_string_lossy().into_owned())
                .into()
        }),
        of("totalSize", Summary, |v| v.torrent.size.into()),
        of("trackerList", Summary, |v| {
            let tiers = v.torrent.about.trackers.iter();
            let tiers: Vec<_> = tiers.map(|tier| tier.join("\n")).collect();
            tiers.join("\n\n").into()
        }),
        of("trackerStats", Detail, |v| nested::tracker_stats(v).into()),
        of("trackers", Summary, |v| nested::trackers(v.torrent).into()),
        of("uploadLimit", Summary, |v| {
            let options = &v.torrent.options;
            limit(options.rates.up, options.noted.upload, v.dormant().upload)
        }),
        of("uploadLimited", Summary, |v| {
            v.torrent.options.rates.up.is_some().into()
        }),
        of("uploadRatio", Summary, |v| {
            double(ratio(v.torrent.uploaded, received(v.torrent)))
        }),
        of("uploadedEver", Summary, |v| v.torrent.uploaded.into()),
        of("wanted", Detail, |v| nested::wanted(v).into()),
        of("webseeds", Summary, |v| {
            v.torrent.about.web_seeds.clone().into()
        }),
        of("webseedsSendingToUs", Summary, |v| {
            v.torrent.web_seeds.into()
        }),
    ]
};

/// `status`.
fn status(state: State) -> u8 {
    match state {
        State::Paused => 0,
        State::CheckQueued => 1,
        State::Checking => 2,
        State::DownloadQueued => 3,
        State::Metadata | State::Downloading => 4,
        State::SeedQueued => 5,
        State::Seeding => 6,
    }
}

/// `error`: none, or what a tracker said, or something of our own.
fn error(torrent: &Summary) -> u8 {
    match &torrent.trouble {
        None => 0,
        Some(trouble) if trouble.tracker => 2,
        Some(_) => 3,
    }
}

/// A limit in kB/s, on or off.
fn limit(on: Option<Rate>, off: Option<u64>, dormant: u64) -> Value {
    let bytes = on.map(Rate::bytes).or(off);
    kilobytes(bytes.unwrap_or(dormant)).into()
}

/// `seedRatioMode` and `seedIdleMode`.
fn mode<T>(limit: &Limit<T>) -> u8 {
    match limit {
        Limit::Session => 0,
        Limit::Own(_) => 1,
        Limit::Unlimited => 2,
    }
}

/// The torrent's own ratio, on or off.
pub(super) fn own_ratio(options: &Options, dormant: Values) -> f64 {
    match options.seed_ratio {
        Limit::Own(ratio) => ratio,
        _ => options.noted.seed_ratio.unwrap_or(dormant.seed_ratio),
    }
}

/// The torrent's own limit of idle time, on or off.
pub(super) fn own_idle(options: &Options, dormant: Values) -> Duration {
    match options.seed_idle {
        Limit::Own(idle) => idle,
        _ => options.noted.seed_idle.unwrap_or(dormant.seed_idle),
    }
}

/// What counts as received: a torrent whose data was there already is measured by that.
fn received(torrent: &Summary) -> u64 {
    match torrent.downloaded {
        0 => torrent.held,
        downloaded => downloaded,
    }
}

/// Bytes that will be there at the end, and those that are.
struct Wanted {
    size: u64,
    held: u64,
}

impl Wanted {
    fn left(&self) -> u64 {
        self.size.saturating_sub(self.held)
    }
}

/// Whether all files of a torrent are wanted.
pub(super) fn wants_all(torrent: &Summary) -> bool {
    !torrent.options.files.contains(&Priority::Skip)
}

/// Transmission counts by pieces: those of wanted files, whole, and those that are there.
fn wanted(view: &View<'_>) -> Wanted {
    let torrent = view.torrent;
    match view.detail {
        Some(detail) if !wants_all(torrent) && detail.wanted.len() == torrent.pieces => {
            let mut pieces = detail.wanted.clone();
            pieces.union_with(&detail.held);
            Wanted {
                size: nested::bytes(torrent, &pieces),
                held: nested::bytes(torrent, &detail.held),
            }
        }
        _ => Wanted {
            size: torrent.wanted,
            held: torrent.verified,
        },
    }
}

/// Seconds until what it does ends.
fn eta(view: &View<'_>) -> i64 {
    let torrent = view.torrent;
    let seconds = |left: u64, rate: u64| match rate {
        0 => UNKNOWN,
        rate => i64::try_from(left / rate).unwrap_or(NOT_AVAILABLE),
    };
    match torrent.state {
        State::Downloading if torrent.near + torrent.far + torrent.web_seeds == 0 => NOT_AVAILABLE,
        State::Downloading => {
            let eta = torrent.eta.and_then(|eta| i64::try_from(eta).ok());
            eta.unwrap_or(UNKNOWN)
        }
        State::Seeding => match seed_ratio(view) {
            Some(ratio) => {
                #[allow(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an estimate; the cast saturates"
                )]
                let goal = (ratio * torrent.wanted as f64) as u64;
                seconds(goal.saturating_sub(torrent.uploaded), torrent.rate_up)
            }
            None => NOT_AVAILABLE,
        },
        _ => NOT_AVAILABLE,
    }
}

/// Seconds until it stops for being idle.
fn eta_idle(view: &View<'_>) -> i64 {
    let torrent = view.torrent;
    match torrent.options.seed_idle.holds(view.settings.seed_idle) {
        Some(limit) if torrent.state == State::Seeding && torrent.rate_up == 0 => {
            let since = torrent.active.max(torrent.started);
            let idle = view.now.saturating_sub(since);
            i64::try_from(limit.as_secs().saturating_sub(idle)).unwrap_or(NOT_AVAILABLE)
        }
        _ => NOT_AVAILABLE,
    }
}

/// The ratio at which it stops.
fn seed_ratio(view: &View<'_>) -> Option<f64> {
    let own = view.torrent.options.seed_ratio;
    own.holds(view.settings.seed_ratio)
}
