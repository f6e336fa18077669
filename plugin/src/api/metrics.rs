//! `/metrics`: numbers for Prometheus. docs/metrics.md lists them. No label has a value from outside, or one of more than some
//! dozens.

mod families;
mod requests;
mod text;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chunkcast::node::Snapshot;
use serde::Serialize;
use tokio::time::timeout;

use self::families as f;
use self::text::{MEDIA_TYPE, Text};
use super::{ApiError, ApiState};
use crate::daemon::{
    Counts, DropReason, Listing, PEER_SOURCES, RTT_BUCKETS_MS, State as TorrentState,
};

pub(super) use self::requests::Requests;

/// Time for the daemon to answer.
const PATIENCE: Duration = Duration::from_secs(5); // guess: half of Prometheus' default

/// Hops of a lookup from which on all are counted together.
const MANY_HOPS: u8 = 8; // guess: a ring of a million nodes has five

/// Its route.
pub(super) fn routes() -> Router<ApiState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let daemon = &state.daemon;
    let asked = timeout(PATIENCE, async {
        Ok((daemon.counts().await?, daemon.blocklist_len().await?))
    });
    let (counts, blocklist) = asked.await.unwrap_or(Err(ApiError::Silent))?;
    let mut text = Text::default();
    of_process(&mut text);
    of_torrents(&mut text, &daemon.list());
    of_counts(&mut text, &counts);
    of_index(&mut text, counts.index.as_ref());
    text.family(&f::BLOCKLIST_RANGES).value(blocklist);
    state
        .shared
        .requests
        .write(&mut text.family(&f::HTTP_REQUESTS));
    let connections = state.shared.connections.count();
    text.family(&f::HTTP_CONNECTIONS).value(connections);
    let listeners = state.shared.listeners.count();
    text.family(&f::HTTP_EVENT_LISTENERS).value(listeners);
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text.finish()).into_response())
}

fn of_process(text: &mut Text) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family(&f::BUILD_INFO).with(&version, 1);
    let mut memory = text.family(&f::RESIDENT_MEMORY);
    if let Some(bytes) = resident() {
        memory.value(bytes);
    }
}

/// Bytes of this process in memory, where the system tells in Linux's way.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn of_torrents(text: &mut Text, listing: &Listing) {
    let torrents = &listing.torrents;
    let mut states = text.family(&f::TORRENTS);
    for state in TorrentState::ALL {
        let count = torrents.iter().filter(|t| t.state == state).count();
        states.with(&[("state", &name(state))], count);
    }
    let troubled = torrents.iter().filter(|t| t.trouble.is_some()).count();
    text.family(&f::TORRENTS_TROUBLED).value(troubled);

    let totals = &listing.totals;
    let moved = &totals.session.by_distance;
    let mut received = text.family(&f::RECEIVED_BYTES);
    received.with(&[("distance", "near")], moved.near_down);
    received.with(&[("distance", "far")], moved.far_down);
    received.with(&[("distance", "web")], moved.web_down);
    let mut sent = text.family(&f::SENT_BYTES);
    sent.with(&[("distance", "near")], moved.near_up);
    sent.with(&[("distance", "far")], moved.far_up);
    text.family(&f::DOWNLOAD_RATE).value(totals.rate_down);
    text.family(&f::UPLOAD_RATE).value(totals.rate_up);

    let sum = |count: fn(&crate::daemon::Summary) -> u32| -> u64 {
        torrents.iter().map(|t| u64::from(count(t))).sum()
    };
    let mut peers = text.family(&f::PEERS);
    peers.with(&[("distance", "near")], sum(|t| t.near));
    peers.with(&[("distance", "far")], sum(|t| t.far));
    peers.with(&[("distance", "web")], sum(|t| t.web_seeds));
    let mut by_source = text.family(&f::PEERS_BY_SOURCE);
    for source in PEER_SOURCES {
        let counts = torrents.iter().filter_map(|t| t.sources.get(source));
        let count: u64 = counts.copied().map(u64::from).sum();
        by_source.with(&[("source", source)], count);
    }
    text.family(&f::CONNECTIONS).value(totals.connections);
    text.family(&f::BUFFERED_BYTES).value(totals.memory);
    text.family(&f::UPTIME).value(totals.session.seconds);
}

fn of_counts(text: &mut Text, counts: &Counts) {
    text.family(&f::PIECES_VERIFIED)
        .value(counts.pieces_verified);
    text.family(&f::PIECES_FAILED).value(counts.pieces_failed);
    text.family(&f::PEERS_BANNED).value(counts.banned);
    text.family(&f::PEERS_CHOKING).value(counts.choking);
    text.family(&f::PEERS_SERVED).value(counts.served);
    let mut drops = text.family(&f::DROPS);
    for reason in DropReason::ALL {
        let count = counts.drops.get(&reason).copied().unwrap_or(0);
        drops.with(&[("reason", &name(reason))], count);
    }
    let ends = RTT_BUCKETS_MS.map(|ms| ms / 1e3);
    let rtt = &counts.rtt;
    text.family(&f::PEER_RTT)
        .histogram(&ends, &rtt.buckets, rtt.sum_ms / 1e3);
}

fn of_index(text: &mut Text, node: Option<&Snapshot>) {
    let counters = node.map(|node| &node.counters);
    let traffic = || {
        let both = counters.map(|c| [("in", &c.received), ("out", &c.sent)]);
        let kinds = both.into_iter().flatten();
        kinds.flat_map(|(way, kinds)| kinds.iter().map(move |(kind, t)| (way, *kind, t)))
    };
    let mut datagrams = text.family(&f::INDEX_DATAGRAMS);
    for (way, kind, t) in traffic() {
        datagrams.with(&[("direction", way), ("kind", kind)], t.messages);
    }
    let mut bytes = text.family(&f::INDEX_BYTES);
    for (way, kind, t) in traffic() {
        bytes.with(&[("direction", way), ("kind", kind)], t.bytes);
    }
    let mut lookups = text.family(&f::INDEX_LOOKUPS);
    if let Some(counters) = counters {
        let by_hops = |hops: u8| match hops {
            MANY_HOPS => counters.lookup_hops.range(hops..).map(|(_, n)| n).sum(),
            _ => counters.lookup_hops.get(&hops).copied().unwrap_or(0),
        };
        for hops in 0..=MANY_HOPS {
            let or_more = if hops == MANY_HOPS { "+" } else { "" };
            let name = format!("{hops}{or_more}");
            lookups.with(&[("hops", &name)], by_hops(hops));
        }
    }
    let mut drops = text.family(&f::INDEX_DROPS);
    for (reason, count) in counters.iter().flat_map(|c| &c.drops) {
        drops.with(&[("reason", &name(reason))], *count);
    }
    let mut one = |family, value: Option<u64>| {
        let mut samples = text.family(family);
        if let Some(value) = value {
            samples.value(value);
        }
    };
    let counted = |count: fn(&chunkcast::node::Counters) -> u64| counters.map(count);
    one(&f::INDEX_LOOKUP_TIMEOUTS, counted(|c| c.lookup_timeouts));
    one(&f::INDEX_ANSWERS, counted(|c| c.lookups_answered));
    let as_root = counted(|c| c.lookups_answered_as_root);
    one(&f::INDEX_ANSWERS_ROOT, as_root);
    one(
        &f::INDEX_ANSWERS_KEPT,
        counted(|c| c.lookups_answered_cached),
    );
    let loaded = counted(|c| c.lookups_answered_loaded);
    one(&f::INDEX_ANSWERS_LOADED, loaded);
    one(&f::INDEX_HOPS_AROUND, counted(|c| c.hops_routed_around));
    one(&f::INDEX_EVICTED, counted(|c| c.entries_evicted));
    let shown = |size: fn(&Snapshot) -> usize| node.map(|node| size(node) as u64);
    one(&f::INDEX_ENTRIES, shown(|n| n.entries.values().sum()));
    one(&f::INDEX_OBJECTS, shown(|n| n.entries.len()));
    one(&f::INDEX_ENTRY_BYTES, shown(|n| n.cache_bytes));
    one(&f::INDEX_PUBLICATIONS, shown(|n| n.publications));
    one(&f::INDEX_NODES, shown(|n| n.peers));
    one(&f::INDEX_JOINED, shown(|n| n.joined.into()));
    one(&f::INDEX_SERVES, shown(|n| n.index.into()));
    let nearest = node.and_then(|n| n.nearest_rtt_us);
    let mut samples = text.family(&f::INDEX_NEAREST_RTT);
    if let Some(us) = nearest {
        samples.value(Duration::from_micros(us).as_secs_f64());
    }
}

/// As JSON has it.
fn name(of: impl Serialize) -> String {
    serde_json::to_value(of).map_or_else(
        |_| String::new(),
        |name| name.as_str().unwrap_or_default().to_owned(),
    )
}
