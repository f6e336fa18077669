//! What the daemon shows of its torrents, and what can be asked of one. Times are seconds since 1970, rates bytes a second.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use serde::{Deserialize, Serialize};

use super::noted::Noted;
use crate::limits::Rates;
pub use crate::metadata::Priority;
use crate::metadata::from_hex;
pub use crate::session::{ByDistance, LookupRow, PEER_SOURCES, PeerDetail, TrackerRow, Why};

/// SHA-1 of an info dict; in text 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no infohash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an infohash is 40 hexadecimal digits")]
pub struct NotInfoHash;

impl FromStr for InfoHash {
    type Err = NotInfoHash;

    fn from_str(text: &str) -> Result<Self, NotInfoHash> {
        from_hex(text).map(Self).ok_or(NotInfoHash)
    }
}

impl Serialize for InfoHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InfoHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
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

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Paused,
        Self::CheckQueued,
        Self::Checking,
        Self::DownloadQueued,
        Self::Metadata,
        Self::Downloading,
        Self::SeedQueued,
        Self::Seeding,
    ];
}

/// The most labels of a torrent.
pub const MOST_LABELS: usize = 64; // guess: a person reads them
/// The most bytes of a label.
pub const LONGEST_LABEL: usize = 256; // guess
/// The most trackers of a torrent.
pub const MOST_TRACKERS: usize = 64; // as many as are kept of a .torrent file

/// A limit of one torrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit<T> {
    /// That of all torrents holds.
    #[default]
    Session,
    /// This one holds.
    Own(T),
    /// None holds.
    Unlimited,
}

impl<T> Limit<T> {
    /// The limit that holds, where `all` is that of all torrents.
    pub fn holds(self, all: Option<T>) -> Option<T> {
        match self {
            Self::Session => all,
            Self::Own(limit) => Some(limit),
            Self::Unlimited => None,
        }
    }
}

/// What somebody has said of one torrent.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The directory that the torrent's file or folder is in.
    pub dir: PathBuf,
    /// Words to sort it by.
    pub labels: Vec<String>,
    /// Bytes a second of its own.
    pub rates: Rates,
    /// Whether the rates of all torrents hold for it too.
    pub session_rates: bool,
    /// Ratio at which seeding ends.
    pub seed_ratio: Limit<f64>,
    /// Time without a byte sent after which seeding ends.
    pub seed_idle: Limit<Duration>,
    /// Time after which seeding ends.
    pub seed_time: Limit<Duration>,
    /// Connections.
    pub max_peers: u32,
    /// How much each file is wanted, by index; files behind the end are [`Priority::Normal`].
    pub files: Vec<Priority>,
    /// Trackers in the place of the torrent's own, by tier.
    pub trackers: Option<Vec<Vec<String>>>,
    /// What nothing follows.
    pub noted: Noted,
}

impl Options {
    /// Those of a torrent in `dir` of which nothing was said.
    pub fn new(dir: PathBuf, max_peers: u32) -> Self {
        Self {
            dir,
            labels: Vec::new(),
            rates: Rates::default(),
            session_rates: true,
            seed_ratio: Limit::default(),
            seed_idle: Limit::default(),
            seed_time: Limit::default(),
            max_peers,
            files: Vec::new(),
            trackers: None,
            noted: Noted::default(),
        }
    }
}

/// A change of [`Options`]: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// [`Options::labels`].
    pub labels: Option<Vec<String>>,
    /// [`Options::rates`], downwards.
    pub download: Option<Option<crate::limits::Rate>>,
    /// [`Options::rates`], upwards.
    pub upload: Option<Option<crate::limits::Rate>>,
    /// [`Options::session_rates`].
    pub session_rates: Option<bool>,
    /// [`Options::seed_ratio`].
    pub seed_ratio: Option<Limit<f64>>,
    /// [`Options::seed_idle`].
    pub seed_idle: Option<Limit<Duration>>,
    /// [`Options::seed_time`].
    pub seed_time: Option<Limit<Duration>>,
    /// [`Options::max_peers`].
    pub max_peers: Option<u32>,
    /// Files by index, and how much each is wanted from now on; others stay as they are.
    pub files: Vec<(usize, Priority)>,
    /// [`Options::trackers`].
    pub trackers: Option<Vec<Vec<String>>>,
    /// Peers to try.
    pub peers: Vec<SocketAddr>,
    /// Place in the queue, the first being 0.
    pub queue_position: Option<usize>,
    /// [`Options::noted`].
    pub noted: Option<Noted>,
}

/// Why a torrent does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Whether it stopped for it.
    pub stopped: bool,
    /// Whether a tracker said so.
    pub tracker: bool,
    /// One line with the way out.
    pub message: String,
}

/// One torrent, as it is now.
#[derive(Clone, Debug)]
pub struct Summary {
    /// A number that no other torrent has as long as this process runs, from 1.
    pub id: u32,
    /// What it is.
    pub info_hash: InfoHash,
    /// Its name; while the metadata is unknown the name of the magnet link, or the infohash.
    pub name: String,
    /// What it does.
    pub state: State,
    /// What is wrong.
    pub trouble: Option<Trouble>,
    /// What somebody has said of it.
    pub options: Arc<Options>,
    /// Whether the metadata is known.
    pub has_metadata: bool,
    /// BEP 27.
    pub private: bool,
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of the files that are wanted.
    pub wanted: u64,
    /// Of those, verified and written.
    pub verified: u64,
    /// Verified and written, of all files.
    pub held: u64,
    /// Pieces.
    pub pieces: u32,
    /// Bytes of each but the last.
    pub piece_length: u32,
    /// Files, padding included.
    pub files: usize,
    /// Part of the check that is done, 0 to 1, while there is one.
    pub checked: Option<f64>,
    /// Part of the move that is done, 0 to 1, while its data is moved; it does nothing else then.
    pub moving: Option<f64>,
    /// Bytes a second down.
    pub rate_down: u64,
    /// Bytes a second up.
    pub rate_up: u64,
    /// Seconds until all that is wanted is there.
    pub eta: Option<u64>,
    /// Bytes received from peers, over all runs.
    pub downloaded: u64,
    /// Bytes sent to peers, over all runs.
    pub uploaded: u64,
    /// Bytes received in vain, over all runs.
    pub wasted: u64,
    /// Bytes from near and far peers and web seeds, over all runs.
    pub by_distance: ByDistance,
    /// Peers connected that are near.
    pub near: u32,
    /// Peers connected that are not.
    pub far: u32,
    /// Web seeds asked.
    pub web_seeds: u32,
    /// Peers that send us something.
    pub sending: u32,
    /// Peers that we send something.
    pub receiving: u32,
    /// Peers connected, by who named them: `directory`, `tracker`, `dht`, `lsd`, `pex`, `manual`, `incoming`.
    pub sources: BTreeMap<&'static str, u32>,
    /// Place in the queue, the first being 0.
    pub queue_position: usize,
    /// When it was added.
    pub added: u64,
    /// When it was last started; 0: never.
    pub started: u64,
    /// When it was complete; 0: it is not.
    pub done: u64,
    /// When bytes last came or went; 0: never.
    pub active: u64,
    /// When anything of this was last changed but for rates and times.
    pub changed: u64,
    /// Seconds spent downloading, over all runs.
    pub seconds_downloading: u64,
    /// Seconds spent seeding, over all runs.
    pub seconds_seeding: u64,
    /// No bytes have moved for [`Settings::stalled_after`](super::Settings::stalled_after).
    pub stalled: bool,
    /// Whether seeding ended at its limit.
    pub finished: bool,
    /// What its .torrent file says of itself.
    pub about: Arc<About>,
}

/// What a .torrent file or a magnet link says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// `comment`.
    pub comment: String,
    /// `created by`.
    pub creator: String,
    /// `creation date`; 0: none.
    pub created: u64,
    /// The magnet link.
    pub magnet: String,
    /// The .torrent file that is kept, once there is metadata.
    pub torrent_file: Option<PathBuf>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Its trackers by tier, those in use.
    pub trackers: Vec<Vec<String>>,
}

/// All torrents and totals at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Torrents by their place in the queue.
    pub torrents: Vec<Arc<Summary>>,
    /// Torrents removed in the last minutes, with the second in which they were.
    pub removed: Vec<Removed>,
    /// Totals.
    pub totals: Totals,
}

/// A torrent that is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What [`Summary::id`] was.
    pub id: u32,
    /// What it was.
    pub info_hash: InfoHash,
    /// When.
    pub at: u64,
}

/// Totals of all torrents.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Bytes a second down.
    pub rate_down: u64,
    /// Bytes a second up.
    pub rate_up: u64,
    /// Since this process began.
    pub session: Transferred,
    /// Over all runs.
    pub ever: Transferred,
    /// What the directory cost since this process began.
    pub directory: crate::session::DirectoryTraffic,
    /// Bytes of pieces and blocks in memory.
    pub memory: u64,
    /// Connections with peers.
    pub connections: usize,
}

/// What was moved in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    /// Bytes received from peers.
    pub downloaded: u64,
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// By distance.
    pub by_distance: ByDistance,
    /// Torrents added.
    pub added: u64,
    /// Seconds that the daemon ran.
    pub seconds: u64,
    /// Times that it was started.
    pub starts: u64,
}

/// What was moved over time, the oldest first; times in which nothing was moved are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// The last hour, by ten seconds.
    pub hour: Vec<Sample>,
    /// The last day, by minutes.
    pub day: Vec<Sample>,
}

/// What was moved in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When it began.
    pub at: u64,
    /// What came and went.
    pub moved: ByDistance,
}

/// Where a new torrent comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSource {
    /// The bytes of a .torrent file.
    Torrent(Bytes),
    /// A magnet link or an infohash.
    Magnet(String),
    /// The path of a .torrent file on the daemon's machine, in a directory that is allowed.
    File(PathBuf),
    /// An http(s) URL of a .torrent file, with the cookies to send.
    Url {
        /// The URL.
        url: String,
        /// The `Cookie` header.
        cookies: Option<String>,
    },
}

/// A torrent to add.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTorrent {
    /// What.
    pub source: NewSource,
    /// Where its data goes; `None`: [`Settings::download_dir`](super::Settings::download_dir).
    pub dir: Option<PathBuf>,
    /// Whether it begins at once; `None`: [`Settings::start_added`](super::Settings::start_added).
    pub start: Option<bool>,
    /// What else is said of it.
    pub change: Change,
}

impl NewTorrent {
    /// One with nothing else said.
    pub fn new(source: NewSource) -> Self {
        Self {
            source,
            dir: None,
            start: None,
            change: Change::default(),
        }
    }
}

/// What became of an addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// [`Summary::id`].
    pub id: u32,
    /// What.
    pub info_hash: InfoHash,
    /// Its name.
    pub name: String,
    /// It was there already; nothing was changed.
    pub duplicate: bool,
}

/// Where torrents go in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueMove {
    /// To its beginning.
    Top,
    /// One place towards the beginning.
    Up,
    /// One place towards the end.
    Down,
    /// To its end.
    Bottom,
}

/// One torrent in depth.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Its files; empty while the metadata is unknown.
    pub files: Vec<FileRow>,
    /// Pieces verified and written.
    pub held: ChunkSet,
    /// Pieces wanted.
    pub wanted: ChunkSet,
    /// Pieces begun.
    pub open: Vec<u32>,
    /// Peers and web seeds, connected ones and those that moved bytes before.
    pub peers: Vec<PeerDetail>,
    /// Trackers.
    pub trackers: Vec<TrackerRow>,
    /// The last questions to the directory, the newest first.
    pub lookups: Vec<LookupRow>,
    /// What strangers sent that was thrown away, by reason, in this run.
    pub drops: BTreeMap<String, u64>,
    /// Pieces that failed their hash, in this run.
    pub bad_pieces: u64,
    /// Peers banned, in this run.
    pub banned: u64,
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileRow {
    /// Path below the torrent's directory, its name included.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Of those, verified and written.
    pub held: u64,
    /// How much it is wanted.
    pub priority: Priority,
    /// Not a file but a gap (BEP 47).
    pub padding: bool,
    /// Its first piece.
    pub first_piece: u32,
    /// The piece after its last.
    pub end_piece: u32,
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Bytes that can be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A torrent was added.
    Added(InfoHash),
    /// A torrent was removed.
    Removed(InfoHash),
    /// A torrent does something else now.
    State(InfoHash, State),
    /// The metadata of a torrent came.
    Metadata(InfoHash),
    /// A torrent is complete.
    Complete(InfoHash),
    /// Something is wrong with a torrent.
    Trouble(InfoHash, String),
    /// The listing has changed, and not only its totals, in this second or by a command since the last: see
    /// [`Daemon::list`](super::Daemon::list).
    Tick,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_infohash_is_read_as_it_is_written_and_nothing_else_is() {
        let hash = InfoHash(std::array::from_fn(|i| {
            u8::try_from(i * 13 % 256).expect("a byte")
        }));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        for bad in ["", "00", &"g".repeat(40), &"é".repeat(20), &"0".repeat(41)] {
            assert_eq!(bad.parse::<InfoHash>(), Err(NotInfoHash), "{bad}");
        }
    }
}
