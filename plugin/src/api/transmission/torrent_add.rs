//! `torrent-add`.

use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::change;
use super::error::{DIR_NOT_ABSOLUTE, NO_SOURCE, NO_TORRENT, RpcError};
use crate::daemon::{Daemon, NewSource, NewTorrent};

/// With padding or without: clients send both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) async fn answer(daemon: &Daemon, arguments: Arguments<'_>) -> Result<Value, RpcError> {
    let added = daemon.add(new_torrent(arguments)?).await?;
    let name = match added.duplicate {
        true => "torrent-duplicate",
        false => "torrent-added",
    };
    let torrent = json!({
        "hashString": added.info_hash,
        "id": added.id,
        "name": added.name,
    });
    Ok(json!({ name: torrent }))
}

/// What is to be added.
pub(super) fn new_torrent(arguments: Arguments<'_>) -> Result<NewTorrent, RpcError> {
    let dir = arguments.path("download-dir", DIR_NOT_ABSOLUTE)?;
    let source = source(arguments)?;
    let mut new = NewTorrent::new(source);
    new.dir = dir;
    new.start = arguments.flag("paused")?.map(|paused| !paused);
    new.change = change::of_new(arguments)?;
    Ok(new)
}

fn source(arguments: Arguments<'_>) -> Result<NewSource, RpcError> {
    if let Some(coded) = arguments.text("metainfo")? {
        let coded: Vec<u8> = coded.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let bytes = BASE64.decode(coded).map_err(|_| NO_TORRENT)?;
        return match bytes.is_empty() {
            true => Err(NO_TORRENT),
            false => Ok(NewSource::Torrent(bytes.into())),
        };
    }
    let name = arguments.text("filename")?.ok_or(NO_SOURCE)?;
    let cookies = arguments.text("cookies")?;
    let starts = |scheme: &str| {
        let head = name.get(..scheme.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    if starts("magnet:") || is_hash(name) {
        return Ok(NewSource::Magnet(name.to_owned()));
    }
    if starts("http:") || starts("https:") {
        return Ok(NewSource::Url {
            url: name.to_owned(),
            cookies: cookies.map(str::to_owned),
        });
    }
    match Path::new(name) {
        path if path.is_absolute() => Ok(NewSource::File(path.to_owned())),
        _ => Err(NO_TORRENT),
    }
}

/// Whether it is an infohash, in hexadecimal or base32 digits (BEP 9).
fn is_hash(name: &str) -> bool {
    let is_base32 = |b: u8| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b);
    match name.len() {
        40 => name.bytes().all(|b| b.is_ascii_hexdigit()),
        32 => name.bytes().all(is_base32),
        _ => false,
    }
}
