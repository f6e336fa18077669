//! Magnet links (BEP 9, BEP 53).
//!
//! Own code on the `url` crate: `librqbit_core::magnet` panics on a padded base32 infohash, expands `so=` ranges one
//! file at a time (8 TB for `so=0-999999999999`), and knows no `x.pe`.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::metainfo::hex;
use super::{FileSelection, MetadataLimits, Metainfo, SelectionError, trackers, web_seeds};

/// Where a magnet link says that a peer is (`x.pe`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerHint {
    /// An address.
    Addr(SocketAddr),
    /// A host name, still to be resolved.
    Host {
        /// The name.
        host: String,
        /// TCP port, never 0.
        port: u16,
    },
}

/// A magnet link for a v1 or hybrid torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// SHA-1 of the info dict that is sought.
    pub info_hash: [u8; 20],
    /// What the link calls it (`dn`): for display only, never a file name.
    pub display_name: Option<String>,
    /// Usable tracker URLs (`tr`), in the link's order.
    pub trackers: Vec<String>,
    /// Peers (`x.pe`), in the link's order.
    pub peers: Vec<PeerHint>,
    /// Files to download (`so`); `None`: all.
    pub select: Option<FileSelection>,
    /// URLs of web servers that hold the data (`ws`, BEP 19).
    pub web_seeds: Vec<String>,
    /// Trackers, web seeds and peers of the link that were left out: unusable, repeated or beyond the limit.
    pub left_out: usize,
}

/// Why a magnet link is refused. Each message is one line; the caller puts the link's beginning before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// More bytes than the limit.
    #[error("the magnet link is longer than {0} bytes; leave trackers out of it")]
    TooLong(usize),
    /// Not a magnet link.
    #[error(
        "not a magnet link: expected magnet:?xt=urn:btih:INFOHASH, or an infohash of 40 hex digits"
    )]
    NotMagnet,
    /// No infohash.
    #[error("the magnet link has no infohash (xt=urn:btih:…); copy it again, all of it")]
    NoInfoHash,
    /// An infohash that is none.
    #[error(
        "the magnet link's infohash {0:?} is neither 40 hex digits nor 32 letters of unpadded base32; copy it again, all of it"
    )]
    InfoHash(String),
    /// Two infohashes.
    #[error("the magnet link names two infohashes; keep one xt=urn:btih:…")]
    TwoInfoHashes,
    /// Only a v2 infohash.
    #[error(
        "a magnet link for a BitTorrent v2-only torrent (btmh); ChunkCast needs v1 or hybrid: ask the publisher for a link with btih"
    )]
    V2Only,
    /// `so=` cannot be read.
    #[error("the magnet link's file selection (so=): {0}")]
    Select(#[from] SelectionError),
}

impl Magnet {
    /// A link that holds nothing but an infohash.
    pub fn new(info_hash: [u8; 20]) -> Self {
        Self {
            info_hash,
            display_name: None,
            trackers: Vec::new(),
            peers: Vec::new(),
            select: None,
            web_seeds: Vec::new(),
            left_out: 0,
        }
    }

    /// Its trackers as tiers (BEP 12), each of its own: a link has no others.
    pub fn tiers(&self) -> Vec<Vec<String>> {
        self.trackers.iter().map(|t| vec![t.clone()]).collect()
    }

    /// Whether `source` is meant as a magnet link or a bare infohash, and not as a file or another URL.
    pub fn recognises(source: &str) -> bool {
        let source = source.trim();
        let scheme = source
            .get(..7)
            .is_some_and(|s| s.eq_ignore_ascii_case("magnet:"));
        scheme || from_hex(source).is_some()
    }

    /// Reads a magnet link, or a bare infohash of 40 hex digits.
    ///
    /// # Errors
    /// [`MagnetError`]; unusable trackers, web seeds and peers are no error, they are counted in [`Magnet::left_out`].
    pub fn parse(source: &str) -> Result<Self, MagnetError> {
        Self::parse_with(source, &MetadataLimits::default())
    }

    /// [`Magnet::parse`] with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(source: &str, limits: &MetadataLimits) -> Result<Self, MagnetError> {
        let source = source.trim();
        if source.len() > limits.magnet_bytes {
            return Err(MagnetError::TooLong(limits.magnet_bytes));
        }
        if let Some(info_hash) = from_hex(source) {
            return Ok(Self::new(info_hash));
        }
        // the url crate overlooks control characters, in the scheme too
        if !Self::recognises(source) {
            return Err(MagnetError::NotMagnet);
        }
        let url = Url::parse(source).map_err(|_| MagnetError::NotMagnet)?;

        let mut magnet = Self::new([0; 20]);
        let mut info_hash: Option<[u8; 20]> = None;
        let mut v2 = false;
        for (key, value) in url.query_pairs() {
            let key = key.to_ascii_lowercase();
            // several of a kind may be numbered: xt.1, tr.2
            match key.rsplit_once('.').map_or(key.as_str(), |(kind, n)| {
                if n.bytes().all(|b| b.is_ascii_digit()) {
                    kind
                } else {
                    key.as_str()
                }
            }) {
                "xt" => match topic(&value)? {
                    Topic::V1(hash) if info_hash.is_some_and(|known| known != hash) => {
                        return Err(MagnetError::TwoInfoHashes);
                    }
                    Topic::V1(hash) => info_hash = Some(hash),
                    Topic::V2 => v2 = true,
                    Topic::Other => {}
                },
                "dn" if !value.is_empty() => magnet.display_name = Some(value.into_owned()),
                "tr" => {
                    let value = value.trim();
                    let full = magnet.trackers.len() == limits.trackers;
                    if full
                        || !trackers::usable(value, limits)
                        || magnet.trackers.iter().any(|t| t == value)
                    {
                        magnet.left_out += 1;
                    } else {
                        magnet.trackers.push(value.to_owned());
                    }
                }
                "ws" if !web_seeds::add(&mut magnet.web_seeds, &value, limits) => {
                    magnet.left_out += 1;
                }
                "x.pe" => match peer(value.trim()) {
                    Some(p)
                        if magnet.peers.len() < limits.magnet_peers
                            && !magnet.peers.contains(&p) =>
                    {
                        magnet.peers.push(p);
                    }
                    _ => magnet.left_out += 1,
                },
                "so" if !value.trim().is_empty() => {
                    magnet.select = Some(FileSelection::parse_with(&value, limits)?);
                }
                _ => {}
            }
        }
        match info_hash {
            Some(info_hash) => Ok(Self {
                info_hash,
                ..magnet
            }),
            None if v2 => Err(MagnetError::V2Only),
            None => Err(MagnetError::NoInfoHash),
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", hex(&self.info_hash))?;
        if let Some(name) = &self.display_name {
            write!(f, "&dn={}", escape(name))?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", escape(tracker))?;
        }
        for seed in &self.web_seeds {
            write!(f, "&ws={}", escape(seed))?;
        }
        for peer in &self.peers {
            match peer {
                PeerHint::Addr(addr) => write!(f, "&x.pe={addr}")?,
                PeerHint::Host { host, port } => write!(f, "&x.pe={}:{port}", escape(host))?,
            }
        }
        if let Some(select) = &self.select {
            write!(f, "&so={select}")?;
        }
        Ok(())
    }
}

impl Metainfo {
    /// The magnet link for this torrent: infohash, name, trackers and web seeds.
    pub fn magnet(&self) -> String {
        Magnet {
            display_name: Some(self.layout.name.clone()),
            trackers: self.trackers.iter().flatten().cloned().collect(),
            web_seeds: self.web_seeds.clone(),
            ..Magnet::new(self.info_hash)
        }
        .to_string()
    }
}

enum Topic {
    V1([u8; 20]),
    V2,
    Other,
}

fn topic(value: &str) -> Result<Topic, MagnetError> {
    let prefix = |p: &str| {
        value
            .get(..p.len())
            .is_some_and(|v| v.eq_ignore_ascii_case(p))
    };
    if prefix("urn:btmh:") {
        return Ok(Topic::V2);
    }
    if !prefix("urn:btih:") {
        return Ok(Topic::Other);
    }
    let hash = value["urn:btih:".len()..].trim();
    from_hex(hash)
        .or_else(|| from_base32(hash))
        .map(Topic::V1)
        .ok_or_else(|| MagnetError::InfoHash(hash.chars().take(64).collect()))
}

/// 40 hexadecimal digits of either case.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 20]> {
    if text.len() != 40 {
        return None;
    }
    let mut hash = [0; 20];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |b: u8| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

/// RFC 4648 base32; 20 bytes are 32 letters exactly, so that padding never belongs there.
fn from_base32(text: &str) -> Option<[u8; 20]> {
    if text.len() != 32 {
        return None;
    }
    let mut hash = [0; 20];
    for (bytes, letters) in hash
        .chunks_exact_mut(5)
        .zip(text.as_bytes().chunks_exact(8))
    {
        let mut word = 0u64;
        for letter in letters {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a',
                b'2'..=b'7' => letter - b'2' + 26,
                _ => return None,
            };
            word = word << 5 | u64::from(value);
        }
        bytes.copy_from_slice(&word.to_be_bytes()[3..]);
    }
    Some(hash)
}

/// `1.2.3.4:5`, `[2001:db8::1]:5` or `host:5`.
fn peer(text: &str) -> Option<PeerHint> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return (addr.port() != 0).then_some(PeerHint::Addr(addr));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&p: &u16| p != 0)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let name = !host.is_empty() && host.len() <= 253 && host.bytes().all(plain);
    // what looks like an address and is none would only be asked of a resolver in vain
    let number = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (name && !number).then(|| PeerHint::Host {
        host: host.to_owned(),
        port,
    })
}

/// Percent-encoded for a query; not every client reads `+` as a space.
fn escape(text: &str) -> String {
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}
