//! The report as one JSON object.

use serde_json::{Map, Value, json};

use super::{Bounds, Group, copies_into, failures, summary, upload};
use crate::check::Checked;
use crate::engine::Engine;
use crate::lab::Spec;
use crate::run::Run;
use crate::stats::Summary;

/// What was built and checked, and who ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The network.
    pub(crate) spec: &'a Spec,
    /// What it allows at best.
    pub(crate) bounds: &'a Bounds,
    /// Length of a piece.
    pub(crate) piece: u64,
    /// What was checked.
    pub(crate) checked: &'a Checked,
    /// Who ran.
    pub(crate) versions: &'a [(Engine, String)],
}

impl Setting<'_> {
    /// The object that holds it, without runs.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let (spec, bounds) = (self.spec, self.bounds);
        let scene = json!({
            "leechers_by_site": spec.leechers,
            "access_bits": spec.access.bits(),
            "access_queue_ms": spec.access_queue.as_secs_f64() * 1e3,
            "uplink_bits": spec.wan.map(|w| w.uplink.bits()),
            "uplink_queue_ms": spec.wan.map(|w| w.queue.as_secs_f64() * 1e3),
            "rtt_wan_ms": spec.wan.map(|w| w.rtt.as_secs_f64() * 1e3),
            "size": bounds.size,
            "piece": self.piece,
            "bound_own_s": bounds.own,
            "bound_remote_s": spec.wan.map(|_| bounds.remote),
        });
        Map::from_iter([
            ("scene".to_owned(), scene),
            ("check".to_owned(), self.checked.json()),
            ("engines".to_owned(), engines(self.versions)),
        ])
    }
}

/// Each engine's version.
pub(crate) fn engines(versions: &[(Engine, String)]) -> Value {
    let versions = versions
        .iter()
        .map(|(engine, version)| (engine.to_string(), json!(version)));
    versions.collect::<Map<_, _>>().into()
}

/// Everything: what was built and checked, who ran, and every run with every peer.
pub(crate) fn document(setting: &Setting<'_>, runs: &[Run]) -> Value {
    let mut document = setting.json();
    let runs = runs
        .iter()
        .map(|run| one(run, setting.spec, setting.bounds));
    document.insert("runs".to_owned(), runs.collect());
    document.into()
}

fn one(run: &Run, spec: &Spec, bounds: &Bounds) -> Value {
    let size = bounds.size;
    let times = |group, bound: f64| {
        let Summary {
            median,
            p90,
            slowest,
        } = summary(run, group);
        json!({
            "median_s": median,
            "p90_s": p90,
            "slowest_s": slowest,
            "median_x": median.map(|s| s / bound),
            "p90_x": p90.map(|s| s / bound),
            "slowest_x": slowest.map(|s| s / bound),
        })
    };
    let peers = run
        .outcomes
        .iter()
        .map(|o| json!({ "site": o.site, "seconds": o.seconds, "failed": o.fault }));
    let wan = run.wan.as_ref().map(|wan| {
        let into: Vec<Option<f64>> = (0..spec.leechers.len())
            .map(|site| copies_into(run, site, size))
            .collect();
        json!({
            "copies_into": into,
            "copies_across": into.iter().flatten().sum::<f64>(),
            "bytes": wan.bytes,
            "payload": wan.payload,
            "dropped": wan.dropped,
            "router_cpu_s": wan.cpu,
            "late_part": wan.late,
            "latest_s": wan.latest,
            "lost": wan.lost,
        })
    });
    json!({
        "engine": run.engine.to_string(),
        "run": run.number,
        "own": times(Group::Own, bounds.own),
        "remote": run.wan.as_ref().map(|_| times(Group::Remote, bounds.remote)),
        "peers": peers.collect::<Vec<_>>(),
        "failed": failures(run),
        "seed_copies": run.seed_up as f64 / size as f64,
        "upload_per_downloader": upload(run, size),
        "wan": wan,
        "cpu_s": run.cpu,
        "seed_cpu_s": run.seed_cpu,
        "took_s": run.seconds,
        "machine_busy": run.busy,
        "other_cpu_s": run.other_cpu,
        "load_before": run.load,
    })
}
