//! What is kept of one torrent but its .torrent file and its pieces.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seal::{self, NotSealed};
use crate::daemon::model::{InfoHash, Limit, Options, Priority};
use crate::daemon::noted::Noted;
use crate::limits::{Rate, Rates};
use crate::metadata::PeerHint;

const KIND: &str = "torrent";

/// What somebody wants of a torrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::daemon) enum Standing {
    /// Nothing.
    #[default]
    Paused,
    /// It runs when the queue has a place.
    Queued,
    /// It runs whatever the queue says.
    Now,
}

/// One torrent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::daemon) struct Record {
    pub(in crate::daemon) info_hash: InfoHash,
    /// The link by which it can be had again when its .torrent file is lost.
    pub(in crate::daemon) magnet: String,
    /// Torrents added later have a higher one.
    pub(in crate::daemon) order: u64,
    pub(in crate::daemon) options: SavedOptions,
    #[serde(default)]
    pub(in crate::daemon) standing: Standing,
    /// Seeding ended at its limit.
    #[serde(default)]
    pub(in crate::daemon) finished: bool,
    /// Somebody started it again after that: limits no longer end it.
    #[serde(default)]
    pub(in crate::daemon) past_limits: bool,
    /// Its data is being moved there.
    #[serde(default)]
    pub(in crate::daemon) moving_to: Option<PathBuf>,
    /// Its data was copied from there, and is to be deleted there.
    #[serde(default)]
    pub(in crate::daemon) left_at: Option<PathBuf>,
    /// Peers that somebody or the link named, the oldest first.
    #[serde(default)]
    pub(in crate::daemon) peers: Vec<PeerHint>,
    /// Seconds since 1970.
    #[serde(default)]
    pub(in crate::daemon) added: u64,
    #[serde(default)]
    pub(in crate::daemon) started: u64,
    #[serde(default)]
    pub(in crate::daemon) done: u64,
    #[serde(default)]
    pub(in crate::daemon) changed: u64,
}

impl Record {
    /// That of a torrent that was added at second `added`, of which nothing more was said.
    pub(in crate::daemon) fn new(
        info_hash: InfoHash,
        magnet: String,
        order: u64,
        options: &Options,
        added: u64,
    ) -> Self {
        Self {
            info_hash,
            magnet,
            order,
            options: saved_options(options),
            standing: Standing::Paused,
            finished: false,
            past_limits: false,
            moving_to: None,
            left_at: None,
            peers: Vec::new(),
            added,
            started: 0,
            done: 0,
            changed: added,
        }
    }
}

/// [`Options`] as they are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::daemon) struct SavedOptions {
    dir: PathBuf,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    down: Option<u64>,
    #[serde(default)]
    up: Option<u64>,
    session_rates: bool,
    #[serde(default)]
    seed_ratio: Limit<f64>,
    #[serde(default)]
    seed_idle: Limit<Duration>,
    #[serde(default)]
    seed_time: Limit<Duration>,
    max_peers: u32,
    #[serde(default)]
    files: Vec<Priority>,
    #[serde(default)]
    trackers: Option<Vec<Vec<String>>>,
    #[serde(default)]
    noted: Noted,
}

/// The options as they are kept.
pub(in crate::daemon) fn saved_options(options: &Options) -> SavedOptions {
    let Options {
        dir,
        labels,
        rates,
        session_rates,
        seed_ratio,
        seed_idle,
        seed_time,
        max_peers,
        files,
        trackers,
        noted,
    } = options.clone();
    SavedOptions {
        dir,
        labels,
        down: rates.down.map(Rate::bytes),
        up: rates.up.map(Rate::bytes),
        session_rates,
        seed_ratio,
        seed_idle,
        seed_time,
        max_peers,
        files,
        trackers,
        noted,
    }
}

/// The options that were kept.
pub(in crate::daemon) fn options_of(saved: &SavedOptions) -> Options {
    let saved = saved.clone();
    Options {
        dir: saved.dir,
        labels: saved.labels,
        rates: Rates {
            down: saved.down.map(Rate::new),
            up: saved.up.map(Rate::new),
        },
        session_rates: saved.session_rates,
        seed_ratio: saved.seed_ratio,
        seed_idle: saved.seed_idle,
        seed_time: saved.seed_time,
        max_peers: saved.max_peers,
        files: saved.files,
        trackers: saved.trackers,
        noted: saved.noted,
    }
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let body = serde_json::to_vec(record).expect("paths are UTF-8, checked when they were given");
    seal::seal(KIND, &body)
}

pub(super) fn decode(file: &[u8]) -> Result<Record, NotSealed> {
    serde_json::from_slice(seal::open(KIND, file)?).map_err(|_| NotSealed::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::options;

    #[test]
    fn what_was_kept_is_read_again() {
        let options = Options {
            labels: vec!["linux".into(), "a \"quoted\" one".into()],
            rates: Rates {
                down: Some(Rate::new(1 << 20)),
                up: None,
            },
            seed_ratio: Limit::Own(1.5),
            seed_idle: Limit::Unlimited,
            seed_time: Limit::Own(Duration::from_secs(3600)),
            files: vec![Priority::Skip, Priority::High],
            trackers: Some(vec![vec!["http://tracker.example/announce".into()]]),
            ..options()
        };
        let record = Record {
            info_hash: InfoHash([7; 20]),
            magnet: "magnet:?xt=urn:btih:0707070707070707070707070707070707070707".into(),
            order: 9,
            options: saved_options(&options),
            standing: Standing::Now,
            finished: true,
            past_limits: true,
            moving_to: Some("/data/ö".into()),
            left_at: Some("/data/old".into()),
            peers: vec![
                PeerHint::Addr("192.0.2.1:6881".parse().expect("an address")),
                PeerHint::Host {
                    host: "peer.example".into(),
                    port: 1,
                },
            ],
            added: 1,
            started: 2,
            done: 3,
            changed: 5,
        };
        let read = decode(&encode(&record)).expect("it is whole");
        assert_eq!(read, record);
        assert_eq!(options_of(&read.options), options);
    }
}
