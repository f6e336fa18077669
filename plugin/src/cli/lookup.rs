//! `chunkcast lookup`: ask the directory who holds a torrent.

use std::time::Duration;

use chunkcast::id::ObjectId;
use chunkcast::node::LookupError;
use chunkcast::wire::{TraceHop, Why};
use serde_json::json;

use super::args::LookupArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, count, print_line};
use super::signal::interrupted;
use super::torrents::{index_failure, resolve_all};
use crate::metadata::Magnet;
use crate::session::{IndexSettings, Question, answer, ask_once, object_id, unanswered};

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
    let settings = IndexSettings {
        network: args.key.network()?,
        ..IndexSettings::default()
    };
    let ask = async {
        let bootstrap = resolve_all(names, "--bootstrap").await?;
        let deadline = Duration::from_secs(args.timeout);
        let question = Question {
            object,
            p: args.p,
            to_root: args.to_root,
            trace: args.trace,
        };
        Ok(ask_once(question, bootstrap, settings.clone(), deadline).await)
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
                match e {
                    LookupError::NotJoined => format!(
                        "no index node answered at {} (--bootstrap): {}",
                        names.join(", "),
                        unanswered(&settings.network)
                    ),
                    other => format!("{} (--bootstrap): {other}", names.join(", ")),
                },
            ));
        }
        Err(e) => return Err(index_failure(&e)),
    };
    let mut answer = answer::answer(&found, &own);
    answer["info_hash"] = json!(object.to_string());
    if args.trace {
        answer["trace"] = answer::trace(&found.trace);
    }
    reporter.event("peers", answer);
    if !args.json {
        if args.trace {
            trace_lines(&found.trace, names)
                .iter()
                .for_each(|l| print_line(l));
        }
        for m in &found.matches {
            let addrs: Vec<String> = m.addrs.iter().map(|a| a.to_string()).collect();
            print_line(&format!(
                "{:<28} {:>7} chunks   {:>8.1} ms away   load {:>3}{}",
                addrs.join(","),
                m.matched,
                own.rtt(&m.coord).as_secs_f64() * 1e3,
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
    if args.trace && found.trace.is_empty() && !args.json {
        reporter.warning("no index node on the way tells of itself: are they of an older version?");
    }
    if found.matches.is_empty() {
        return Err(Failure::new(
            Code::NotFound,
            format!("nobody in this directory holds {object}"),
        ));
    }
    Ok(())
}

/// Why an index node did what it did.
fn why(why: Why) -> &'static str {
    match why {
        Why::Enough => "answered: it knew enough peers",
        Why::Root => "answered: it is the root",
        Why::Cached => "answered with what it passed on a moment ago",
        Why::Loaded => "answered with what it had: it is asked too often",
        Why::Silent => "answered: no next hop did",
        Why::TooFew => "went on: too few peers",
        Why::ToRoot => "went on: the root was asked for",
    }
}

/// The way of a lookup, a line for each index node. The first one has no address of its own there: it was asked.
fn trace_lines(trace: &[TraceHop], asked: &[String]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:>3}  {:<40}  {:<21}  {:>10}  {:>5}  why",
        "hop", "index node", "address", "to next", "known"
    )];
    for (i, hop) in trace.iter().enumerate() {
        let addr = match (hop.addr, asked) {
            (Some(addr), _) => addr.to_string(),
            (None, [only]) if i == 0 => only.clone(),
            (None, _) => "-".to_owned(),
        };
        let rtt = hop.rtt.map_or("-".to_owned(), |rtt| {
            format!("{:.2} ms", rtt.as_secs_f64() * 1e3)
        });
        lines.push(format!(
            "{:>3}  {:<40}  {addr:<21}  {rtt:>10}  {:>5}  {}",
            i + 1,
            hop.id.to_string(),
            hop.known,
            why(hop.why)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use chunkcast::id::Id;

    use super::*;

    #[test]
    fn a_trace_shows_every_hop_and_why_it_went_on() {
        let hop = |byte, rtt, known, why| TraceHop {
            id: Id([byte; 20]),
            addr: (byte > 1).then(|| SocketAddr::from(([10, 0, 0, byte], 4240))),
            rtt: Some(rtt).filter(|us| *us > 0).map(Duration::from_micros),
            known,
            why,
        };
        let trace = [hop(1, 1_250, 0, Why::TooFew), hop(2, 0, 3, Why::Root)];
        let asked = ["index.example:4240".to_owned()];
        let lines = trace_lines(&trace, &asked);
        assert_eq!(lines.len(), 3);
        for words in [
            "  1  0101",
            "index.example:4240",
            "1.25 ms",
            "    0  went on: too few",
        ] {
            assert!(
                lines[1].contains(words),
                "`{words}` is not in: {}",
                lines[1]
            );
        }
        for words in [
            "  2  0202",
            "10.0.0.2:4240",
            " -  ",
            "    3  answered: it is the root",
        ] {
            assert!(
                lines[2].contains(words),
                "`{words}` is not in: {}",
                lines[2]
            );
        }
        // which of two was asked is not known
        let lines = trace_lines(&trace, &[asked[0].clone(), "b:1".to_owned()]);
        assert!(!lines[1].contains("index.example"), "{}", lines[1]);
    }
}
