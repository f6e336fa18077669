//! What is asked of torrents.

use std::net::SocketAddr;
use std::path::{Component, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Priority, present};
use crate::api::ApiError;
use crate::api::body::UPLOAD;
use crate::daemon::{self, Change, NewSource, NewTorrent};
use crate::limits::Rate;

/// Characters of a path, URL, label or word.
const MAX_TEXT: usize = 4096; // Linux's longest path

/// A limit that is a number of its own, or a word.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api::v1) enum Limit<T> {
    /// Its own.
    Own(T),
    /// Another.
    Word(LimitWord),
}

/// The limits that are no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api::v1) enum LimitWord {
    /// That of all torrents.
    Session,
    /// None.
    Unlimited,
}

impl<T> Limit<T> {
    fn map<U>(
        self,
        own: impl FnOnce(T) -> Result<U, ApiError>,
    ) -> Result<daemon::Limit<U>, ApiError> {
        Ok(match self {
            Self::Own(value) => daemon::Limit::Own(own(value)?),
            Self::Word(LimitWord::Session) => daemon::Limit::Session,
            Self::Word(LimitWord::Unlimited) => daemon::Limit::Unlimited,
        })
    }
}

/// How much a file is wanted from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct FileChange {
    /// Its number.
    index: usize,
    priority: Priority,
}

/// A change of a torrent: what is not there stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct TorrentChange {
    /// Words to sort it by, in the place of those it had.
    labels: Option<Vec<String>>,
    /// Bytes a second down, 1024 to 10^12; `null`: no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    download_limit: Option<Option<u64>>,
    /// Bytes a second up, 1024 to 10^12; `null`: no limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    upload_limit: Option<Option<u64>>,
    /// Whether the limits for all torrents hold for it too.
    session_limits: Option<bool>,
    /// Ratio at which seeding ends.
    seed_ratio: Option<Limit<f64>>,
    /// Seconds without a byte sent after which seeding ends.
    seed_idle_seconds: Option<Limit<u64>>,
    /// Seconds after which seeding ends.
    seed_time_seconds: Option<Limit<u64>>,
    /// Connections that it may have.
    max_peers: Option<u32>,
    /// Files, and how much each is wanted; others stay as they are.
    #[serde(default)]
    files: Vec<FileChange>,
    /// URLs of trackers by tier, in the place of those it had.
    trackers: Option<Vec<Vec<String>>>,
    /// Addresses of peers to try, `IP:PORT`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    peers: Vec<SocketAddr>,
    /// Place in the queue, the first being 0.
    queue_position: Option<usize>,
}

impl TryFrom<TorrentChange> for Change {
    type Error = ApiError;

    fn try_from(c: TorrentChange) -> Result<Self, ApiError> {
        let texts = c.labels.iter().flatten();
        for word in texts.chain(c.trackers.iter().flatten().flatten()) {
            check_text("a label or tracker", word)?;
        }
        Ok(Self {
            labels: c.labels,
            download: rate("download_limit", c.download_limit)?,
            upload: rate("upload_limit", c.upload_limit)?,
            session_rates: c.session_limits,
            seed_ratio: c.seed_ratio.map(|l| l.map(ratio)).transpose()?,
            seed_idle: c
                .seed_idle_seconds
                .map(|l| l.map(|s| seconds("seed_idle_seconds", s)))
                .transpose()?,
            seed_time: c
                .seed_time_seconds
                .map(|l| l.map(|s| seconds("seed_time_seconds", s)))
                .transpose()?,
            max_peers: c.max_peers,
            files: c
                .files
                .into_iter()
                .map(|f| (f.index, f.priority.into()))
                .collect(),
            trackers: c.trackers,
            peers: c.peers,
            queue_position: c.queue_position,
            noted: None,
        })
    }
}

/// A torrent to add: one of `magnet`, `url`, `torrent` and `file`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct NewTorrentRequest {
    /// A magnet link, or an infohash of 40 hexadecimal digits.
    magnet: Option<String>,
    /// The http(s) URL of a .torrent file.
    url: Option<String>,
    /// With `url`: the `Cookie` header to send there.
    cookies: Option<String>,
    /// The base64 of a .torrent file of at most 10 MiB.
    torrent: Option<String>,
    /// The path of a .torrent file on the daemon's machine, in a directory that the configuration allows.
    file: Option<String>,
    /// The directory that its data goes to, in one that the configuration allows.
    dir: Option<String>,
    /// Whether it begins at once.
    start: Option<bool>,
    /// What else is said of it.
    #[serde(default)]
    options: TorrentChange,
}

impl TryFrom<NewTorrentRequest> for NewTorrent {
    type Error = ApiError;

    fn try_from(n: NewTorrentRequest) -> Result<Self, ApiError> {
        if n.cookies.is_some() && n.url.is_none() {
            return Err(invalid("`cookies` go with `url`"));
        }
        let source = match (n.magnet, n.url, n.torrent, n.file) {
            (Some(magnet), None, None, None) => NewSource::Magnet(magnet),
            (None, Some(url), None, None) => {
                check_text("`url`", &url)?;
                let cookies = n.cookies;
                check_text("`cookies`", cookies.as_deref().unwrap_or(""))?;
                NewSource::Url { url, cookies }
            }
            (None, None, Some(torrent), None) => {
                let bytes = STANDARD.decode(torrent);
                let bytes = bytes.map_err(|_| invalid("`torrent` is not base64"))?;
                uploaded(bytes.into())?
            }
            (None, None, None, Some(file)) => NewSource::File(path("file", file)?),
            _ => {
                let what = "one of `magnet`, `url`, `torrent` and `file` says what to add";
                return Err(invalid(what));
            }
        };
        Ok(Self {
            source,
            dir: n.dir.map(|dir| path("dir", dir)).transpose()?,
            start: n.start,
            change: n.options.try_into()?,
        })
    }
}

/// What is said of a .torrent file that is the body of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::api::v1) struct UploadParams {
    /// With a .torrent file as the body: the directory that its data goes to, in one that the configuration allows.
    #[param(required = false)]
    dir: Option<String>,
    /// With a .torrent file as the body: whether it begins at once.
    #[param(required = false)]
    start: Option<bool>,
}

impl UploadParams {
    pub(in crate::api::v1) fn of(self, torrent: bytes::Bytes) -> Result<NewTorrent, ApiError> {
        let dir = self.dir.map(|dir| path("dir", dir)).transpose()?;
        Ok(NewTorrent {
            dir,
            start: self.start,
            ..NewTorrent::new(uploaded(torrent)?)
        })
    }

    pub(in crate::api::v1) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a torrent is started.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct StartRequest {
    /// Whatever the queue says.
    #[serde(default)]
    pub(in crate::api::v1) now: bool,
}

/// Where a torrent's data is from now on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct RelocateRequest {
    /// The directory that its file or folder is in, in one that the configuration allows.
    dir: String,
    /// Move the data; otherwise it is there already.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(in crate::api::v1) r#move: bool,
}

fn yes() -> bool {
    true
}

impl RelocateRequest {
    pub(in crate::api::v1) fn dir(&self) -> Result<PathBuf, ApiError> {
        path("dir", self.dir.clone())
    }
}

/// Where a torrent goes in the queue.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v1) struct QueueRequest {
    pub(in crate::api::v1) to: QueueMove,
}

/// A move in the queue.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api::v1) enum QueueMove {
    /// To its beginning.
    Top,
    /// One place towards the beginning.
    Up,
    /// One place towards the end.
    Down,
    /// To its end.
    Bottom,
}

impl From<QueueMove> for daemon::QueueMove {
    fn from(to: QueueMove) -> Self {
        match to {
            QueueMove::Top => Self::Top,
            QueueMove::Up => Self::Up,
            QueueMove::Down => Self::Down,
            QueueMove::Bottom => Self::Bottom,
        }
    }
}

/// How a torrent is removed.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::api::v1) struct RemoveParams {
    /// Its data too: files of the torrent, and directories that are empty then.
    #[param(required = false)]
    pub(in crate::api::v1) data: bool,
}

fn uploaded(torrent: bytes::Bytes) -> Result<NewSource, ApiError> {
    if torrent.len() > UPLOAD {
        return Err(ApiError::TooLong(UPLOAD));
    }
    Ok(NewSource::Torrent(torrent))
}

pub(super) fn rate(
    name: &str,
    limit: Option<Option<u64>>,
) -> Result<Option<Option<Rate>>, ApiError> {
    let bounded = |bytes| {
        let rate = Rate::new(bytes);
        let (least, most) = (Rate::MIN.bytes(), Rate::MAX.bytes());
        let range = || format!("`{name}` is {least} to {most} bytes a second, or null for none");
        (rate.bytes() == bytes)
            .then_some(rate)
            .ok_or_else(|| invalid(range()))
    };
    limit
        .map(|limit| limit.map(bounded).transpose())
        .transpose()
}

pub(super) fn ratio(ratio: f64) -> Result<f64, ApiError> {
    let usable = ratio.is_finite() && ratio >= 0.0;
    usable
        .then_some(ratio)
        .ok_or_else(|| invalid("`seed_ratio` is a number from 0"))
}

pub(super) fn seconds(name: &str, seconds: u64) -> Result<Duration, ApiError> {
    let time = Duration::from_secs(seconds);
    match time <= daemon::LONGEST {
        true => Ok(time),
        false => Err(invalid(format!(
            "`{name}` is at most {}",
            daemon::LONGEST.as_secs()
        ))),
    }
}

/// A path that means the same wherever the daemon was started; whether it is allowed is the daemon's to say.
pub(super) fn path(name: &str, text: String) -> Result<PathBuf, ApiError> {
    check_text(&format!("`{name}`"), &text)?;
    let path = PathBuf::from(text);
    let plain = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        let why = format!("`{name}` is a path from the root, without `..`");
        return Err(invalid(why));
    }
    Ok(path)
}

/// Something that is passed on to the system, to others, or shown to people.
fn check_text(name: &str, text: &str) -> Result<(), ApiError> {
    if text.len() > MAX_TEXT {
        let why = format!("{name} is longer than {MAX_TEXT} bytes");
        return Err(invalid(why));
    }
    match text.contains(|c: char| c.is_control()) {
        true => Err(invalid(format!("{name} has control characters in it"))),
        false => Ok(()),
    }
}

fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::Invalid(why.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(json: &str) -> Result<Change, String> {
        let read = serde_json::from_str::<TorrentChange>(json);
        let read = read.map_err(|e| e.to_string())?;
        Change::try_from(read).map_err(|e| e.to_string())
    }

    fn new(json: &str) -> Result<NewTorrent, String> {
        let read = serde_json::from_str::<NewTorrentRequest>(json);
        let read = read.map_err(|e| e.to_string())?;
        NewTorrent::try_from(read).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_not_said_stays_and_null_takes_a_limit_away() {
        assert_eq!(change("{}"), Ok(Change::default()));
        let taken = change(r#"{"download_limit":null,"upload_limit":2048}"#).expect("a change");
        assert_eq!(taken.download, Some(None));
        assert_eq!(taken.upload, Some(Some(Rate::new(2048))));
        let limits =
            r#"{"seed_ratio":1.5,"seed_idle_seconds":"unlimited","seed_time_seconds":"session"}"#;
        let limits = change(limits).expect("limits");
        assert_eq!(limits.seed_ratio, Some(daemon::Limit::Own(1.5)));
        assert_eq!(limits.seed_idle, Some(daemon::Limit::Unlimited));
        assert_eq!(limits.seed_time, Some(daemon::Limit::Session));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_it() {
        for (json, word) in [
            (r#"{"download_limit":1}"#, "`download_limit`"),
            (r#"{"download_limt":1024}"#, "`download_limt`"),
            (r#"{"seed_ratio":-1}"#, "`seed_ratio`"),
            (r#"{"seed_time_seconds":1e19}"#, ""),
            (
                r#"{"seed_time_seconds":18446744073709551615}"#,
                "`seed_time_seconds`",
            ),
            (r#"{"files":[{"index":0,"priority":"most"}]}"#, "`most`"),
            (r#"{"peers":["localhost:1"]}"#, "socket address"),
            (r#"{"labels":["a\u0000b"]}"#, "control"),
        ] {
            let why = change(json).expect_err(json);
            assert!(why.contains(word), "{json}: {why}");
            assert!(!why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn a_torrent_comes_from_one_place() {
        let magnet = new(r#"{"magnet":"magnet:?xt=urn:btih:x","dir":"/data"}"#).expect("one");
        assert_eq!(magnet.dir, Some("/data".into()));
        for bad in [
            "{}",
            r#"{"magnet":"x","url":"http://x/"}"#,
            r#"{"magnet":"x","cookies":"a=b"}"#,
            r#"{"torrent":"not base64!"}"#,
            r#"{"url":"http://x/","cookies":"a\r\nHost: b"}"#,
        ] {
            new(bad).expect_err(bad);
        }
    }

    #[test]
    fn a_path_is_from_the_root_and_has_no_tricks() {
        for bad in ["", "data", "../x", "/data/../etc", "/data\u{0}/x", "./x"] {
            path("dir", bad.to_owned()).expect_err(bad);
        }
        path("dir", format!("/{}", "x".repeat(MAX_TEXT))).expect_err("too long");
        for good in ["/", "/data", "/data//x/", "/dätä/ x"] {
            path("dir", good.to_owned()).expect(good);
        }
    }

    proptest! {
        /// Whatever a change says: it is refused with one line, or within bounds.
        #[test]
        fn what_is_taken_is_within_bounds(json in json(), text in ".{0,40}") {
            let json = json.to_string();
            for text in [json, text] {
                if let Ok(change) = change(&text) {
                    let rates = [change.download, change.upload].into_iter().flatten().flatten();
                    prop_assert!(rates.clone().all(|r| (Rate::MIN..=Rate::MAX).contains(&r)));
                    if let Some(daemon::Limit::Own(ratio)) = change.seed_ratio {
                        prop_assert!(ratio.is_finite() && ratio >= 0.0);
                    }
                    if let Some(daemon::Limit::Own(idle)) = change.seed_idle {
                        prop_assert!(idle <= daemon::LONGEST);
                    }
                    let words = change.labels.unwrap_or_default();
                    prop_assert!(!words.iter().any(|w| w.contains(char::is_control)));
                }
            }
        }

        #[test]
        fn a_path_that_is_taken_leads_nowhere_else(text in "(/|\\.\\.|\\.|[a-c]|\u{0}|\n){0,12}|.{0,40}") {
            if let Ok(path) = path("dir", text.clone()) {
                prop_assert!(path.is_absolute() && !text.contains('\0'));
                prop_assert!(!path.components().any(|c| c == Component::ParentDir));
            }
        }
    }

    /// Members of a change with values that are often of the right kind.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let value = prop_oneof![
            any::<f64>().prop_map(|n| serde_json::json!(n)),
            any::<u64>().prop_map(|n| serde_json::json!(n)),
            any::<u32>().prop_map(|n| serde_json::json!(n)),
            Just(serde_json::json!(null)),
            Just(serde_json::json!("session")),
            "\\PC{0,5}|\u{1}".prop_map(|text| serde_json::json!([text])),
        ];
        let name = prop::sample::select(vec![
            "download_limit",
            "upload_limit",
            "seed_ratio",
            "seed_idle_seconds",
            "labels",
            "trackers",
            "max_peers",
        ]);
        prop::collection::btree_map(name, value, 0..3).prop_map(|all| serde_json::json!(all))
    }
}
