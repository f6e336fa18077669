//! A torrent whose metainfo has been checked (BEP 3, 12, 27, 47).
//!
//! Everything here comes from strangers. The bytes pass a structural scan first (depth, sizes, integers), then
//! `librqbit_bencode` reads the keys that are needed, and then every value is checked before a [`Layout`] is made of it.
//! `librqbit_core` tells which encoding names have that are not UTF-8; its own metainfo type is not used for the rest: it
//! refuses a `private` that is no 0 or 1, does not read `path.utf-8`, and its length arithmetic may overflow.
//!
//! BitTorrent v2 (BEP 52) is not spoken: a hybrid's v1 part is used, a v2-only torrent is refused.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use librqbit_bencode::{BencodeValue, ByteBuf, WithRawBytes, from_bytes};
use librqbit_core::torrent_metainfo::{TorrentMetaV1File, TorrentMetaV1Info};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha1::{Digest, Sha1};

use super::bencode::scan;
use super::trackers::Tiers;
use super::{FileEntry, Layout, MetadataLimits, NameError, names, web_seeds};

mod error;

pub use error::MetainfoError;

/// Checked metainfo: a .torrent file, or an info dict from peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// SHA-1 of [`Metainfo::info`].
    pub info_hash: [u8; 20],
    /// The info dict, byte for byte: what `ut_metadata` serves.
    pub info: Bytes,
    /// Pieces and files.
    pub layout: Arc<Layout>,
    /// BEP 27: one tracker only; no directory, DHT, LSD, PEX.
    pub private: bool,
    /// Tracker URLs in tiers (BEP 12); empty for an info dict from peers.
    pub trackers: Vec<Vec<String>>,
    /// URLs of web servers that hold the data (BEP 19), http or https; empty for an info dict from peers.
    pub web_seeds: Vec<String>,
}

impl Metainfo {
    /// Reads a .torrent file. White space behind its end is tolerated, other bytes are not.
    ///
    /// # Errors
    /// [`MetainfoError`] when the bytes are not a torrent that is safe to open.
    pub fn from_torrent(bytes: &[u8]) -> Result<Self, MetainfoError> {
        Self::from_torrent_with(bytes, &MetadataLimits::default())
    }

    /// [`Metainfo::from_torrent`] with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn from_torrent_with(bytes: &[u8], limits: &MetadataLimits) -> Result<Self, MetainfoError> {
        check_size(bytes, limits)?;
        let len = scan(bytes, limits)?;
        let extra = bytes[len..].trim_ascii().len();
        if extra > 0 {
            return Err(MetainfoError::Trailing { extra });
        }
        if bytes[0] != b'd' {
            return Err(MetainfoError::NotADict("the file"));
        }
        let file: RawTorrent<'_> = read(&bytes[..len])?;
        let info = file.info.ok_or(MetainfoError::Missing("info"))?;
        let mut meta = checked(Bytes::copy_from_slice(info.raw_bytes.0), limits)?;
        meta.trackers = trackers(file.announce.as_ref(), file.announce_list.as_ref(), limits);
        meta.web_seeds = url_list(file.url_list.as_ref(), limits);
        Ok(meta)
    }

    /// Reads a bare info dict, as peers hand it out (BEP 9). It has no trackers and no web seeds.
    ///
    /// # Errors
    /// [`MetainfoError`] when its SHA-1 is not `expected_hash`, or it is not safe to open.
    pub fn from_info(info: Bytes, expected_hash: Option<[u8; 20]>) -> Result<Self, MetainfoError> {
        Self::from_info_with(info, expected_hash, &MetadataLimits::default())
    }

    /// [`Metainfo::from_info`] with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn from_info_with(
        info: Bytes,
        expected_hash: Option<[u8; 20]>,
        limits: &MetadataLimits,
    ) -> Result<Self, MetainfoError> {
        check_size(&info, limits)?;
        if let Some(wanted) = expected_hash {
            let got: [u8; 20] = Sha1::digest(&info).into();
            if got != wanted {
                return Err(MetainfoError::InfoHash {
                    got: hex(&got),
                    wanted: hex(&wanted),
                });
            }
        }
        let len = scan(&info, limits)?;
        if len != info.len() {
            return Err(MetainfoError::Trailing {
                extra: info.len() - len,
            });
        }
        checked(info, limits)
    }
}

/// 40 lower-case hex digits.
pub(super) fn hex(hash: &[u8; 20]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'a: 'de, 'de: 'a"))]
struct RawTorrent<'a> {
    #[serde(borrow)]
    info: Option<WithRawBytes<IgnoredAny, ByteBuf<'a>>>,
    #[serde(borrow)]
    announce: Option<BencodeValue<ByteBuf<'a>>>,
    #[serde(borrow, rename = "announce-list")]
    announce_list: Option<BencodeValue<ByteBuf<'a>>>,
    #[serde(borrow, rename = "url-list")]
    url_list: Option<BencodeValue<ByteBuf<'a>>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'a: 'de, 'de: 'a"))]
struct RawInfo<'a> {
    #[serde(borrow)]
    name: Option<ByteBuf<'a>>,
    #[serde(borrow, rename = "name.utf-8")]
    name_utf8: Option<ByteBuf<'a>>,
    #[serde(rename = "piece length")]
    piece_length: Option<i64>,
    #[serde(borrow)]
    pieces: Option<ByteBuf<'a>>,
    length: Option<i64>,
    #[serde(borrow)]
    attr: Option<ByteBuf<'a>>,
    #[serde(rename = "symlink path")]
    symlink_path: Option<IgnoredAny>,
    #[serde(borrow)]
    files: Option<Vec<RawFile<'a>>>,
    #[serde(borrow)]
    private: Option<BencodeValue<ByteBuf<'a>>>,
    #[serde(rename = "meta version")]
    meta_version: Option<IgnoredAny>,
    #[serde(rename = "file tree")]
    file_tree: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawFile<'a> {
    length: Option<i64>,
    #[serde(borrow)]
    path: Option<Vec<ByteBuf<'a>>>,
    #[serde(borrow, rename = "path.utf-8")]
    path_utf8: Option<Vec<ByteBuf<'a>>>,
    #[serde(borrow)]
    attr: Option<ByteBuf<'a>>,
    #[serde(rename = "symlink path")]
    symlink_path: Option<IgnoredAny>,
}

fn check_size(bytes: &[u8], limits: &MetadataLimits) -> Result<(), MetainfoError> {
    let (size, limit) = (bytes.len(), limits.torrent_bytes);
    if size > limit {
        Err(MetainfoError::TooLarge { size, limit })
    } else {
        Ok(())
    }
}

/// Parses scanned bytes.
fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, MetainfoError> {
    from_bytes(bytes).map_err(|e| MetainfoError::Type(shorten(&e.to_string())))
}

/// At most 100 characters of `text`, on one line.
fn shorten(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(100)
        .collect()
}

/// Checks scanned info dict bytes.
fn checked(info: Bytes, limits: &MetadataLimits) -> Result<Metainfo, MetainfoError> {
    if info[0] != b'd' {
        return Err(MetainfoError::NotADict("`info`"));
    }
    let mut raw: RawInfo<'_> = read(&info)?;
    let v2 = raw.meta_version.is_some() || raw.file_tree.is_some();
    let Some(pieces) = raw.pieces else {
        return Err(if v2 {
            MetainfoError::V2Only
        } else {
            MetainfoError::Missing("pieces")
        });
    };
    let hashes = info.slice_ref(pieces.0);
    let piece_length = piece_length(&raw, limits)?;
    let files = match (raw.length, raw.files.take()) {
        (Some(length), None) => vec![RawFile {
            length: Some(length),
            path: None,
            path_utf8: None,
            attr: raw.attr,
            symlink_path: raw.symlink_path,
        }],
        (None, Some(files)) if !files.is_empty() => {
            if files
                .iter()
                .any(|f| f.path.is_none() && f.path_utf8.is_none())
            {
                return Err(MetainfoError::Missing("path"));
            }
            files
        }
        (Some(_), Some(_)) => return Err(MetainfoError::FileAndFolder),
        _ => return Err(MetainfoError::NoFiles),
    };
    let (lengths, total_length) = lengths(&files)?;
    let count = total_length.div_ceil(u64::from(piece_length));
    let pieces = u32::try_from(count)
        .ok()
        .filter(|&c| c <= limits.pieces)
        .ok_or(MetainfoError::TooManyPieces {
            count,
            limit: limits.pieces,
        })?;
    if hashes.len() as u64 != count * 20 {
        return Err(MetainfoError::Hashes {
            bytes: hashes.len(),
            pieces,
        });
    }
    let private = raw
        .private
        .as_ref()
        .is_some_and(|p| !matches!(p, BencodeValue::Integer(0)));
    let (name, files) = entries(&raw, files, &lengths)?;
    let layout = Layout {
        name,
        piece_length,
        total_length,
        files,
        hashes,
    };
    let info_hash = Sha1::digest(&info).into();
    Ok(Metainfo {
        info_hash,
        info: info.clone(),
        layout: Arc::new(layout),
        private,
        trackers: Vec::new(),
        web_seeds: Vec::new(),
    })
}

fn piece_length(raw: &RawInfo<'_>, limits: &MetadataLimits) -> Result<u32, MetainfoError> {
    let got = raw
        .piece_length
        .ok_or(MetainfoError::Missing("piece length"))?;
    let limit = limits.piece_length;
    u32::try_from(got)
        .ok()
        .filter(|&l| l > 0 && l <= limit)
        .ok_or(MetainfoError::PieceLength { got, limit })
}

/// The files' lengths and their sum, which fits an `i64` as other clients keep it.
fn lengths(files: &[RawFile<'_>]) -> Result<(Vec<u64>, u64), MetainfoError> {
    let mut total = 0i64;
    let mut lengths = Vec::with_capacity(files.len());
    for (file, raw) in files.iter().enumerate() {
        let length = raw.length.ok_or(MetainfoError::Missing("length"))?;
        let bad = MetainfoError::Length { file, length };
        total = match u64::try_from(length) {
            Ok(l) => {
                lengths.push(l);
                total.checked_add(length).ok_or(bad)?
            }
            Err(_) => return Err(bad),
        };
    }
    if total == 0 {
        return Err(MetainfoError::NoData);
    }
    Ok((lengths, total.unsigned_abs()))
}

/// The torrent's name and its files, every name decoded and checked.
fn entries(
    raw: &RawInfo<'_>,
    files: Vec<RawFile<'_>>,
    lengths: &[u64],
) -> Result<(String, Vec<FileEntry>), MetainfoError> {
    let name_bytes = utf8(raw.name_utf8)
        .or(raw.name)
        .ok_or(MetainfoError::Missing("name"))?;
    let mut v1 = TorrentMetaV1Info {
        name: Some(name_bytes),
        pieces: ByteBuf(&[]),
        piece_length: 1,
        length: None,
        attr: None,
        sha1: None,
        symlink_path: None,
        md5sum: None,
        files: None,
        private: false,
    };
    v1.files = Some(
        files
            .iter()
            .map(|f| {
                let ours = f
                    .path_utf8
                    .as_ref()
                    .filter(|p| p.iter().all(|c| is_utf8(c.0)));
                TorrentMetaV1File {
                    length: 0,
                    path: ours
                        .or(f.path.as_ref())
                        .or(f.path_utf8.as_ref())
                        .cloned()
                        .unwrap_or_default(),
                    attr: None,
                    sha1: None,
                    symlink_path: None,
                }
            })
            .collect(),
    );
    let paths = v1.files.as_deref().unwrap_or_default();
    let plain = is_utf8(name_bytes.0) && paths.iter().flat_map(|f| &f.path).all(|c| is_utf8(c.0));
    let encoding = (!plain).then(|| v1.detect_encoding());
    // names are checked as they will be on disk: after decoding
    let decode = |bytes: &ByteBuf<'_>| match encoding {
        None => String::from_utf8_lossy(bytes.0).into_owned(),
        Some(encoding) => encoding.decode_without_bom_handling(bytes.0).0.into_owned(),
    };

    let name = decode(&name_bytes);
    names::check(&name).map_err(|why| MetainfoError::Name {
        name: shorten(&name),
        why,
    })?;
    let folder = raw.length.is_none();
    let mut out = Vec::with_capacity(files.len());
    let mut offset = 0;
    for ((file, v1), &length) in files.iter().zip(paths).zip(lengths) {
        let components: Vec<String> = v1.path.iter().map(decode).collect();
        let bad = |why| MetainfoError::Name {
            name: shorten(&components.join("/")),
            why,
        };
        if folder && components.is_empty() {
            return Err(bad(NameError::Empty));
        }
        let path = names::join(&name, components.iter().map(String::as_str)).map_err(bad)?;
        let attr = |a: u8| file.attr.is_some_and(|s| s.0.contains(&a));
        if file.symlink_path.is_some() || attr(b'l') {
            return Err(MetainfoError::Symlink {
                name: shorten(&path.to_string_lossy()),
            });
        }
        // BitComet's padding has no attribute, only a name
        let padding = attr(b'p')
            || folder
                && components
                    .last()
                    .is_some_and(|c| c.starts_with("_____padding_file_"));
        out.push(FileEntry {
            path,
            length,
            offset,
            padding,
            executable: attr(b'x'),
        });
        offset += length;
    }
    let on_disk = out
        .iter()
        .filter(|f| !f.padding)
        .map(|f| f.path.as_path())
        .collect();
    if let Some((first, second)) = names::clash(on_disk) {
        let text = |p: &Path| shorten(&p.to_string_lossy());
        return Err(MetainfoError::Clash {
            first: text(first),
            second: text(second),
        });
    }
    Ok((name, out))
}

fn is_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

fn utf8(name: Option<ByteBuf<'_>>) -> Option<ByteBuf<'_>> {
    name.filter(|n| is_utf8(n.0))
}

/// Tracker tiers (BEP 12): a usable announce-list stands in the place of announce. Shapes that are wrong are left out:
/// a torrent without trackers is still a torrent.
fn trackers(
    announce: Option<&BencodeValue<ByteBuf<'_>>>,
    list: Option<&BencodeValue<ByteBuf<'_>>>,
    limits: &MetadataLimits,
) -> Vec<Vec<String>> {
    let mut tiers = Tiers::new(limits);
    if let Some(BencodeValue::List(list)) = list {
        for tier in list {
            match tier {
                BencodeValue::List(urls) => tiers.add(urls.iter().filter_map(text)),
                url => tiers.add(text(url)),
            }
        }
    }
    let tiers = tiers.into_tiers();
    if !tiers.is_empty() {
        return tiers;
    }
    let mut tiers = Tiers::new(limits);
    tiers.add(announce.and_then(text));
    tiers.into_tiers()
}

/// Web seeds (BEP 19): one string, or a list of them. What is neither is left out.
fn url_list(list: Option<&BencodeValue<ByteBuf<'_>>>, limits: &MetadataLimits) -> Vec<String> {
    let mut seeds = Vec::new();
    let urls = match list {
        Some(BencodeValue::List(urls)) => urls.as_slice(),
        Some(url) => std::slice::from_ref(url),
        None => &[],
    };
    for url in urls.iter().filter_map(text) {
        web_seeds::add(&mut seeds, url, limits);
    }
    seeds
}

fn text<'a>(value: &BencodeValue<ByteBuf<'a>>) -> Option<&'a str> {
    match value {
        BencodeValue::Bytes(b) => std::str::from_utf8(b.0).ok(),
        _ => None,
    }
}
