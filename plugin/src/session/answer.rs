//! An answer of the directory as JSON: what `chunkcast lookup --json` and the daemon's API show of it.

use chunkcast::coords::Coord;
use chunkcast::wire::{Found, TraceHop, Why};
use serde_json::{Value, json};

/// Who was named, and by whom. `own` is where the one who asked is.
pub(crate) fn answer(found: &Found, own: &Coord) -> Value {
    let peers = found.matches.iter().map(|m| {
        let addrs: Vec<String> = m.addrs.iter().map(|a| a.to_string()).collect();
        json!({ "addrs": addrs, "chunks": m.matched, "load": m.load, "reachable": m.reachable,
                "predicted_rtt_ms": own.rtt(&m.coord).as_secs_f64() * 1e3 })
    });
    json!({ "hops": found.hops, "root": found.root, "by": found.by.to_string(),
            "peers": peers.collect::<Vec<Value>>() })
}

/// The index nodes on the way of the question, and what each did.
pub(crate) fn trace(hops: &[TraceHop]) -> Value {
    let hops = hops.iter().map(|hop| {
        json!({ "id": hop.id.to_string(), "addr": hop.addr.map(|a| a.to_string()),
                "rtt_to_next_ms": hop.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
                "known": hop.known, "why": why(hop.why) })
    });
    hops.collect()
}

/// Why an index node did what it did, in a word.
fn why(why: Why) -> &'static str {
    match why {
        Why::Enough => "enough",
        Why::Root => "root",
        Why::Cached => "cached",
        Why::Loaded => "loaded",
        Why::Silent => "silent",
        Why::TooFew => "too_few",
        Why::ToRoot => "to_root",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chunkcast::id::Id;

    use super::*;

    #[test]
    fn a_hop_has_its_time_in_milliseconds_and_a_word_for_what_it_did() {
        let hop = TraceHop {
            id: Id([1; 20]),
            addr: None,
            rtt: Some(Duration::from_micros(1_250)),
            known: 0,
            why: Why::TooFew,
        };
        let expected = json!([{ "id": "01".repeat(20), "addr": null, "rtt_to_next_ms": 1.25, "known": 0,
                                "why": "too_few" }]);
        assert_eq!(trace(&[hop]), expected);
    }
}
