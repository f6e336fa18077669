//! `chunkcast add`.

use std::path::Path;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::args::AddArgs;
use crate::cli::exit::{Code, Failure};
use crate::cli::output::print_line;
use crate::cli::source::{self, Kind, absolute};
use crate::discovery::{FetchLimits, fetch_torrent};
use crate::metadata::{FileSelection, Magnet, Metainfo};

/// Adds every source.
///
/// # Errors
/// The first failure: code 8 for what is no torrent or magnet link, else as [`Api::ask`].
pub(in crate::cli) async fn add(args: &AddArgs) -> Result<(), Failure> {
    if args.select.is_some() && args.sources.len() > 1 {
        let line = "--select numbers the files of one torrent; name one source";
        return Err(Failure::new(Code::Usage, line));
    }
    let api = Api::open(&args.api)?;
    for source in &args.sources {
        let mut request = what(source, args.select.as_ref()).await?;
        let mut set = |key: &str, value| request.insert(key.to_owned(), value);
        if let Some(dir) = &args.dir {
            set("dir", json!(absolute("--dir", dir)?));
        }
        if args.paused {
            set("start", json!(false));
        }
        let mut option = |key: &str, value| {
            request.entry("options").or_insert_with(|| json!({}))[key] = value;
        };
        if !args.label.is_empty() {
            option("labels", json!(args.label));
        }
        if !args.peer.is_empty() {
            option("peers", json!(args.peer));
        }
        let request = Value::Object(request);
        let added = api.ask(Method::POST, "/torrents", Some(&request)).await?;
        if args.api.json {
            print_line(&added.to_string());
            continue;
        }
        let (name, hash) = (added["name"].as_str(), added["hash"].as_str());
        let what = match added["duplicate"].as_bool() {
            Some(true) => "is there already; nothing was changed",
            _ if args.paused => "added, paused",
            _ => "added",
        };
        let (name, hash) = (name.unwrap_or(source), hash.unwrap_or("?"));
        print_line(&format!("{name}: {what} ({hash})"));
    }
    Ok(())
}

/// The part of the request that says what to add.
async fn what(text: &str, select: Option<&FileSelection>) -> Result<Map<String, Value>, Failure> {
    let kind = source::kind(text);
    if kind == Kind::Magnet {
        let bad = |e| Failure::new(Code::BadTorrent, format!("`{text}`: {e}"));
        let mut magnet = Magnet::parse(text).map_err(bad)?;
        let text = match select {
            Some(select) => {
                magnet.select = Some(select.clone());
                magnet.to_string()
            }
            None => text.to_owned(),
        };
        return Ok(object("magnet", text));
    }
    if kind == Kind::Url && select.is_none() {
        return Ok(object("url", text.to_owned()));
    }
    // which files there are must be known before some of them can be chosen
    let bytes = match kind == Kind::Url {
        true => fetch_torrent(text, FetchLimits::default())
            .await
            .map_err(|e| Failure::new(Code::Network, e))?,
        false => source::read(Path::new(text))?.into(),
    };
    let meta = Metainfo::from_torrent(&bytes)
        .map_err(|e| Failure::new(Code::BadTorrent, format!("`{text}`: {e}")))?;
    let mut request = object("torrent", base64(&bytes));
    if let Some(select) = select {
        select
            .wanted_pieces(&meta.layout)
            .map_err(|e| Failure::new(Code::Usage, format!("--select: {e}")))?;
        let files = (0..meta.layout.files.len()).filter(|i| !select.contains(*i as u64));
        let files: Vec<Value> = files
            .map(|index| json!({ "index": index, "priority": "skip" }))
            .collect();
        request.insert("options".to_owned(), json!({ "files": files }));
    }
    Ok(request)
}

fn object(key: &str, value: String) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), Value::String(value))])
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
