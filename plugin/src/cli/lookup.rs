//! `chunkcast lookup`: ask the directory who holds a torrent.

use std::time::Duration;

use chunkcast::id::ObjectId;
use serde_json::json;

use super::args::LookupArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, print_line};
use super::torrents::{index_failure, resolve_all};
use crate::metadata::Magnet;
use crate::session::{ask_once, object_id};

/// Asks and prints the answer.
///
/// # Errors
/// Code 8 for what is no infohash, 4 when no index node answers, 3 when nobody holds the torrent.
pub(super) async fn run(args: &LookupArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, false);
    let magnet = Magnet::parse(&args.infohash).map_err(|e| Failure::new(Code::BadTorrent, e))?;
    let object: ObjectId = object_id(&magnet.info_hash);
    let default = ["127.0.0.1:4240".to_owned()];
    let names = if args.bootstrap.is_empty() {
        &default[..]
    } else {
        &args.bootstrap
    };
    let bootstrap = resolve_all(names, "--bootstrap").await?;
    let asked = ask_once(
        object,
        bootstrap,
        args.p,
        args.to_root,
        Duration::from_secs(args.timeout),
    )
    .await;
    let (found, own) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) => {
            return Err(Failure::new(
                Code::Network,
                format!(
                    "no answer from the index node {}: {e}; is it running, and is its UDP port open?",
                    names.join(", ")
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
            "{} peers, answered by index node {} after {} hops{}",
            found.matches.len(),
            found.by,
            found.hops,
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
