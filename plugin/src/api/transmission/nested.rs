//! The fields of `torrent-get` that are lists and objects.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunkcast::chunks::ChunkSet;
use serde_json::{Value, json};
use url::{Host, Url};

use super::fields::View;
use super::units::{double, part};
use crate::daemon::{Detail, FileRow, PeerDetail, Priority, Summary, TrackerRow};
use crate::wire::stream::Transport;

/// A tracker is idle, or asked at some time, or being asked.
const INACTIVE: u8 = 0;
const WAITING: u8 = 1;
const ACTIVE: u8 = 3;

/// `files`.
pub(super) fn files(view: &View<'_>) -> Vec<Value> {
    let each = rows(view).iter().map(|file| {
        json!({
            "bytesCompleted": file.held,
            "length": file.size,
            "name": file.path.to_string_lossy(),
        })
    });
    each.collect()
}

/// `fileStats`.
pub(super) fn file_stats(view: &View<'_>) -> Vec<Value> {
    let each = rows(view).iter().zip(choices(view));
    let each = each.map(|(file, choice)| {
        json!({
            "bytesCompleted": file.held,
            "priority": choice.priority,
            "wanted": choice.wanted,
        })
    });
    each.collect()
}

/// `priorities`.
pub(super) fn priorities(view: &View<'_>) -> Vec<i8> {
    choices(view).map(|choice| choice.priority).collect()
}

/// `wanted`: 0 and 1, as it has always been but for Transmission 4.0.0 and 4.0.1.
pub(super) fn wanted(view: &View<'_>) -> Vec<u8> {
    choices(view).map(|c| u8::from(c.wanted)).collect()
}

/// What is wanted of a file: Transmission keeps the priority of a file that is not.
struct Choice {
    wanted: bool,
    priority: i8,
}

fn choices<'a>(view: &View<'a>) -> impl Iterator<Item = Choice> + use<'a> {
    let noted = &view.torrent.options.noted.files;
    rows(view).iter().enumerate().map(|(index, file)| {
        let wanted = file.priority != Priority::Skip;
        let noted = noted.get(&index).copied().unwrap_or_default();
        Choice {
            wanted,
            priority: number(if wanted { file.priority } else { noted }),
        }
    })
}

/// Transmission's number of a priority.
fn number(priority: Priority) -> i8 {
    match priority {
        Priority::Low => -1,
        Priority::Normal | Priority::Skip => 0,
        Priority::High => 1,
    }
}

fn rows<'a>(view: &View<'a>) -> &'a [FileRow] {
    view.detail.map_or(&[], |detail| &detail.files)
}

/// `pieces`: the bitfield of those that are there.
pub(super) fn pieces(view: &View<'_>) -> String {
    view.detail
        .map_or_else(String::new, |d| STANDARD.encode(d.held.as_bytes()))
}

/// `availability`: for each piece -1 if it is there, or how many connected peers have it.
pub(super) fn availability(view: &View<'_>) -> Vec<i32> {
    let Some(detail) = view.detail else {
        return Vec::new();
    };
    let all = 0..view.torrent.pieces;
    let mut counts: Vec<i32> = all.map(|p| -i32::from(detail.held.contains(p))).collect();
    for peer in connected(detail) {
        for piece in peer.pieces.iter() {
            let count = usize::try_from(piece).ok().and_then(|p| counts.get_mut(p));
            if let Some(count) = count.filter(|count| **count >= 0) {
                *count += 1;
            }
        }
    }
    counts
}

/// `desiredAvailable`: bytes that are wanted, not there, and had by somebody who is connected.
pub(super) fn desired(view: &View<'_>) -> u64 {
    let Some(detail) = view.detail else { return 0 };
    let missing = detail.wanted.iter().filter(|p| !detail.held.contains(*p));
    let missing = ChunkSet::from_indices(view.torrent.pieces, missing);
    if view.torrent.web_seeds > 0 {
        return bytes(view.torrent, &missing); // a web seed has all
    }
    let had = missing.iter().filter(|piece| {
        let mut peers = connected(detail);
        peers.any(|peer| peer.pieces.contains(*piece))
    });
    let had = ChunkSet::from_indices(view.torrent.pieces, had);
    bytes(view.torrent, &had)
}

/// Bytes of pieces.
pub(super) fn bytes(torrent: &Summary, pieces: &ChunkSet) -> u64 {
    let length = u64::from(torrent.piece_length);
    let all = u64::from(pieces.count()).saturating_mul(length);
    let last = torrent.pieces.checked_sub(1);
    let last = last.filter(|last| pieces.contains(*last));
    let rest = last.map_or(0, |last| {
        let end = u64::from(last + 1).saturating_mul(length);
        end.saturating_sub(torrent.size)
    });
    all.saturating_sub(rest)
}

/// Peers that are connected, without web seeds.
fn connected(detail: &Detail) -> impl Iterator<Item = &PeerDetail> {
    let peers = detail.peers.iter();
    peers.filter(|peer| peer.row.connected && peer.row.webseed.is_none())
}

/// `peers`.
pub(super) fn peers(view: &View<'_>) -> Vec<Value> {
    let detail = view.detail.map(connected).into_iter().flatten();
    detail.map(|p| peer(p, view.torrent.pieces)).collect()
}

fn peer(peer: &PeerDetail, pieces: u32) -> Value {
    let row = &peer.row;
    let (down, up) = (peer.rate_down > 0, peer.rate_up > 0);
    let utp = row.transport == Some(Transport::Utp);
    json!({
        "address": row.addr.ip().to_canonical(),
        "clientIsChoked": peer.chokes_us,
        "clientIsInterested": peer.interested,
        "clientName": row.client.as_deref().unwrap_or_default(),
        "flagStr": flags(peer),
        "isDownloadingFrom": down,
        "isEncrypted": row.encrypted == Some(true),
        "isIncoming": !peer.outbound,
        "isUTP": utp,
        "isUploadingTo": up,
        "peerIsChoked": peer.choked,
        "peerIsInterested": peer.wants,
        "port": row.addr.port(),
        "progress": double(part(peer.pieces.count().into(), pieces.into())),
        "rateToClient": peer.rate_down,
        "rateToPeer": peer.rate_up,
    })
}

/// Transmission's letters.
fn flags(peer: &PeerDetail) -> String {
    let row = &peer.row;
    let letters = [
        (row.transport == Some(Transport::Utp), 'T'),
        (peer.rate_down > 0, 'D'),
        (peer.rate_down == 0 && peer.interested, 'd'),
        (peer.rate_up > 0, 'U'),
        (peer.rate_up == 0 && peer.wants, 'u'),
        (!peer.chokes_us && !peer.interested, 'K'),
        (!peer.choked && !peer.wants, '?'),
        (row.encrypted == Some(true), 'E'),
        (matches!(row.source, "dht" | "directory"), 'H'),
        (row.source == "pex", 'X'),
        (!peer.outbound, 'I'),
    ];
    let set = letters.into_iter().filter(|(set, _)| *set);
    set.map(|(_, letter)| letter).collect()
}

/// `peersFrom`. Transmission knows no directory: as the DHT it is a question to other nodes about an infohash, so its peers
/// are counted there. What a user named is `fromCache`.
pub(super) fn peers_from(torrent: &Summary) -> Value {
    let from = |names: &[&str]| -> u32 {
        let counts = names.iter().filter_map(|name| torrent.sources.get(name));
        counts.sum()
    };
    json!({
        "fromCache": from(&["manual"]),
        "fromDht": from(&["dht", "directory"]),
        "fromIncoming": from(&["incoming"]),
        "fromLpd": from(&["lsd"]),
        "fromLtep": 0,
        "fromPex": from(&["pex"]),
        "fromTracker": from(&["tracker"]),
    })
}

/// A tracker and its place: its id is its place in the list of all, as in Transmission.
struct Place<'a> {
    id: usize,
    tier: usize,
    /// It is asked when those before it in its tier do not answer.
    backup: bool,
    announce: &'a str,
    /// The same as the announcer has it: `None`, it is none.
    url: Option<Url>,
}

fn places(torrent: &Summary) -> impl Iterator<Item = Place<'_>> {
    let tiers = torrent.about.trackers.iter().enumerate();
    let urls = tiers.flat_map(|(tier, urls)| {
        let urls = urls.iter().enumerate();
        urls.map(move |(place, announce)| (tier, place > 0, announce))
    });
    let numbered = urls.enumerate();
    numbered.map(|(id, (tier, backup, announce))| Place {
        id,
        tier,
        backup,
        announce,
        url: announce.parse().ok(),
    })
}

/// `trackers`.
pub(super) fn trackers(torrent: &Summary) -> Vec<Value> {
    let each = places(torrent).map(|place| {
        json!({
            "announce": place.announce,
            "id": place.id,
            "scrape": scrape(place.announce),
            "sitename": site(place.url.as_ref()),
            "tier": place.tier,
        })
    });
    each.collect()
}

/// `trackerStats`. Trackers are not scraped: what they say of seeds and others comes with their answers.
pub(super) fn tracker_stats(view: &View<'_>) -> Vec<Value> {
    let rows = view.detail.map_or(&[][..], |d| &d.trackers);
    let never = TrackerRow::default();
    let each = places(view.torrent).map(|place| {
        let url = place.url.as_ref().map(Url::as_str);
        let row = rows.iter().find(|row| Some(&*row.announce) == url);
        let row = row.unwrap_or(&never);
        let asked = row.last_announce > 0;
        let state = match (row.asking, row.next_announce) {
            (true, _) => ACTIVE,
            (false, 0) => INACTIVE,
            (false, _) => WAITING,
        };
        let result = match (asked, row.ok) {
            (true, true) => "Success",
            (true, false) => &row.message,
            (false, _) => "",
        };
        json!({
            "announce": place.announce,
            "announceState": state,
            "downloadCount": -1,
            "hasAnnounced": asked,
            "hasScraped": false,
            "host": host(place.url.as_ref()),
            "id": place.id,
            "isBackup": place.backup,
            "lastAnnouncePeerCount": row.peers,
            "lastAnnounceResult": result,
            "lastAnnounceStartTime": row.last_announce,
            "lastAnnounceSucceeded": asked && row.ok,
            "lastAnnounceTime": row.last_announce,
            "lastAnnounceTimedOut": false,
            "lastScrapeResult": "",
            "lastScrapeStartTime": 0,
            "lastScrapeSucceeded": false,
            "lastScrapeTime": 0,
            "lastScrapeTimedOut": false,
            "leecherCount": row.leechers.map_or(-1, i64::from),
            "nextAnnounceTime": row.next_announce,
            "nextScrapeTime": 0,
            "scrape": scrape(place.announce),
            "scrapeState": INACTIVE,
            "seederCount": row.seeders.map_or(-1, i64::from),
            "sitename": site(place.url.as_ref()),
            "tier": place.tier,
        })
    });
    each.collect()
}

/// Where a tracker is scraped (BEP 48): over UDP the same, over HTTP the last part of the path begins with `scrape` where it
/// began with `announce`; otherwise nowhere.
fn scrape(announce: &str) -> String {
    if announce.starts_with("udp://") {
        return announce.to_owned();
    }
    let last = announce.rsplit_once('/');
    let scrape = last.and_then(|(path, last)| {
        let rest = last.strip_prefix("announce")?;
        Some(format!("{path}/scrape{rest}"))
    });
    scrape.unwrap_or_default()
}

/// Scheme, host and port.
fn host(url: Option<&Url>) -> String {
    let Some(url) = url else {
        return String::new();
    };
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = url.port().unwrap_or(usual);
    format!("{scheme}://{host}:{port}")
}

/// The name that people call a tracker by: of `tracker.example.org` it is `example`.
fn site(url: Option<&Url>) -> String {
    match url.and_then(Url::host) {
        Some(Host::Domain(name)) => {
            let mut parts = name.rsplit('.');
            let (top, second) = (parts.next(), parts.next());
            second.or(top).unwrap_or_default().to_owned()
        }
        Some(address) => address.to_string(),
        None => String::new(),
    }
}

/// `primary-mime-type`: of most bytes.
pub(super) fn mime_type(view: &View<'_>) -> &'static str {
    let files = rows(view).iter().filter(|file| !file.padding);
    let largest = files.max_by_key(|file| file.size);
    largest.map_or(UNKNOWN_TYPE, |file| type_of(&file.path))
}

const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Media types (RFC 6838) of what torrents are mostly of.
fn type_of(path: &Path) -> &'static str {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match &*ending.to_ascii_lowercase() {
        "mkv" => "video/x-matroska",
        "mp4" | "m4v" => "video/mp4",
        "avi" => "video/x-msvideo",
        "webm" => "video/webm",
        "mpg" | "mpeg" => "video/mpeg",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "ogg" | "opus" => "audio/ogg",
        "m4a" => "audio/mp4",
        "wav" => "audio/wav",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "epub" => "application/epub+zip",
        "zip" => "application/zip",
        "7z" => "application/x-7z-compressed",
        "rar" => "application/vnd.rar",
        "gz" => "application/gzip",
        "iso" => "application/x-iso9660-image",
        "txt" | "nfo" => "text/plain",
        "html" | "htm" => "text/html",
        _ => UNKNOWN_TYPE,
    }
}
