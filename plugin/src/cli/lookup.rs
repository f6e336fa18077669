//! `chunkcast lookup`: ask the directory who holds a torrent.

use std::time::Duration;

use chunkcast::id::ObjectId;
use chunkcast::node::LookupError;
use serde_json::json;

use super::args::LookupArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, count, print_line};
use super::signal::interrupted;
use super::torrents::{index_failure, resolve_all};
use crate::metadata::Magnet;
use crate::session::{ask_once, object_id};

/// Asks and prints the answer.
///
/// # Errors
/// Code 8 for what is no infohash, 4 when no index node answers, 3 when nobody holds the torrent.
pub(super) async fn run(args: &LookupArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, false);
    let magnet = Magnet::parse(&args.infohash)
        .map_err(|e| Failure::new(Code::BadTorrent, format!("`{}`: {e}", args.infohash)))?;
    let object: ObjectId = object_id(&magnet.info_hash);
    let default = ["127.0.0.1:4240".to_owned()];
    let names = if args.bootstrap.is_empty() {
        &default[..]
    } else {
        &args.bootstrap
    };
    let ask = async {
        let bootstrap = resolve_all(names, "--bootstrap").await?;
        let deadline = Duration::from_secs(args.timeout);
        Ok(ask_once(object, bootstrap, args.p, args.to_root, deadline).await)
    };
    let asked = tokio::select! {
        asked = ask => asked?,
        () = interrupted() => return Err(Failure::interrupted("before an index node answered")),
    };
    let (found, own) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) => {
            return Err(Failure::new(
                Code::Network,
                format!(
                    "{} (--bootstrap): {}; is it running, and is its UDP port open?",
                    names.join(", "),
                    match e {
                        LookupError::NotJoined => "no index node answers there".to_owned(),
                        other => other.to_string(),
                    }
                ),
            ));
        }
        Err(e) => return Err(index_failure(&e)),
    };
    let rows: Vec<_> = found
        .matches
        .iter()
        .map(|m| {
            let addrs: Vec<String> = m.addrs.iter().map(|a| a.to_string()).collect();
            json!({ "addrs": addrs, "chunks": m.matched, "load": m.load, "reachable": m.reachable,
                    "predicted_rtt_ms": own.rtt(&m.coord).as_secs_f64() * 1e3 })
        })
        .collect();
    reporter.event(
        "peers",
        json!({ "info_hash": object.to_string(), "hops": found.hops, "root": found.root,
                "by": found.by.to_string(), "peers": rows }),
    );
    if !args.json {
        for (m, row) in found.matches.iter().zip(&rows) {
            let addrs: Vec<String> = m.addrs.iter().map(|a| a.to_string()).collect();
            print_line(&format!(
                "{:<28} {:>7} chunks   {:>8.1} ms away   load {:>3}{}",
                addrs.join(","),
                m.matched,
                row["predicted_rtt_ms"].as_f64().unwrap_or(0.0),
                m.load,
                if m.reachable {
                    ""
                } else {
                    "   (cannot be dialled)"
                }
            ));
        }
        print_line(&format!(
            "{}, answered by index node {} after {}{}",
            count(found.matches.len(), "peer"),
            found.by,
            count(usize::from(found.hops), "hop"),
            if found.root { ", the root" } else { "" }
        ));
    }
    if found.matches.is_empty() {
        return Err(Failure::new(
            Code::NotFound,
            format!("nobody in this directory holds {object}"),
        ));
    }
    Ok(())
}
