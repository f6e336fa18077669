//! What a SOURCE on the command line names: a file, a URL, a magnet link, an infohash.

use std::path::Path;
use std::sync::Arc;

use super::exit::{Code, Failure};
use crate::discovery::{FetchLimits, fetch_torrent, is_http};
use crate::metadata::{Magnet, MetadataLimits, Metainfo, from_hex};
use crate::session::TorrentSource;

/// Reads, fetches or parses what `text` names.
///
/// # Errors
/// Code 8 for what is no torrent or magnet, 6 for a file that cannot be read, 4 for a URL that cannot be fetched.
pub(super) async fn open(text: &str) -> Result<TorrentSource, Failure> {
    match kind(text) {
        Kind::Magnet => magnet(text),
        Kind::Url => {
            let bytes = fetch_torrent(text, FetchLimits::default())
                .await
                .map_err(|e| Failure::new(Code::Network, e))?;
            torrent(text, &bytes)
        }
        Kind::File => torrent(text, &read(Path::new(text))?),
    }
}

/// What a SOURCE is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A magnet link, or an infohash that is not the name of a file.
    Magnet,
    /// An http(s) URL.
    Url,
    /// A path.
    File,
}

/// What `text` is.
pub(super) fn kind(text: &str) -> Kind {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    if scheme.is_some_and(|s| s.eq_ignore_ascii_case("magnet")) {
        Kind::Magnet
    } else if is_http(text) {
        Kind::Url
    } else if from_hex(text).is_some() && !Path::new(text).exists() {
        Kind::Magnet
    } else {
        Kind::File
    }
}

fn magnet(text: &str) -> Result<TorrentSource, Failure> {
    Magnet::parse(text)
        .map(TorrentSource::Magnet)
        .map_err(|e| Failure::new(Code::BadTorrent, format!("`{text}`: {e}")))
}

fn torrent(name: &str, bytes: &[u8]) -> Result<TorrentSource, Failure> {
    Metainfo::from_torrent(bytes)
        .map(|m| TorrentSource::Metainfo(Arc::new(m)))
        .map_err(|e| Failure::new(Code::BadTorrent, format!("`{name}`: {e}")))
}

/// A path of the command line as text that begins at the root; `name` is what it was given as.
///
/// # Errors
/// Code 2 for one that is empty or not UTF-8.
pub(super) fn absolute(name: &str, path: &Path) -> Result<String, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::new(Code::Usage, format!("{name} `{}`: {why}", path.display()))
    };
    let path = std::path::absolute(path).map_err(|e| wrong(&e))?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| wrong(&"it is no text in UTF-8; rename it"))
}

/// Reads a .torrent file, if it can be one.
///
/// # Errors
/// Code 8 when it is missing, a directory or too large, 6 when the disk refuses.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::new(
            Code::BadTorrent,
            format!(
                "`{shown}` does not exist; name a .torrent file, an http(s) URL or a magnet link"
            ),
        ),
        std::io::ErrorKind::IsADirectory => Failure::new(
            Code::BadTorrent,
            format!("`{shown}` is a directory; name a .torrent file"),
        ),
        _ => Failure::new(Code::Disk, format!("`{shown}` cannot be read: {e}")),
    };
    let meta = std::fs::metadata(path).map_err(fail)?;
    if meta.is_dir() {
        return Err(fail(std::io::ErrorKind::IsADirectory.into()));
    }
    let most = MetadataLimits::default().torrent_bytes as u64;
    if meta.len() > most {
        return Err(Failure::new(
            Code::BadTorrent,
            format!(
                "`{shown}` is larger than any .torrent file ({} MiB at most)",
                most >> 20
            ),
        ));
    }
    std::fs::read(path).map_err(fail)
}
