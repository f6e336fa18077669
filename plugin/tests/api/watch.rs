//! Metrics and health.

use std::collections::BTreeSet;

use chunkcast_bittorrent::api::ApiConfig;
use chunkcast_bittorrent::daemon::channel;

use crate::common::{Api, HERE, Scripted};

/// The names of metrics in the text format, by their `# TYPE` lines.
fn names(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    types.filter_map(|l| l.split(' ').next()).collect()
}

#[tokio::test]
async fn metrics_say_what_the_daemon_does() {
    let api = Scripted::start().await;
    api.get("/nothing").await;
    api.get(&format!("/api/v1/torrents/{HERE}")).await;
    api.ask("BREW /coffee", "X-Chunkcast: 1\r\n", "").await;
    let answer = api.get("/metrics").await;
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    let text = &answer.body;
    for line in [
        "chunkcast_torrents{state=\"downloading\"} 1",
        "chunkcast_torrents{state=\"seeding\"} 0",
        "chunkcast_torrents_troubled 1",
        "chunkcast_received_bytes_total{distance=\"near\"} 1",
        "chunkcast_received_bytes_total{distance=\"web\"} 5",
        "chunkcast_sent_bytes_total{distance=\"far\"} 4",
        "chunkcast_peers{distance=\"far\"} 4",
        "chunkcast_peers_by_source{source=\"directory\"} 4",
        "chunkcast_peers_by_source{source=\"lsd\"} 0",
        "chunkcast_pieces_verified_total 12",
        "chunkcast_pieces_failed_total 1",
        "chunkcast_drops_total{reason=\"bad_have\"} 4",
        "chunkcast_peer_rtt_seconds_bucket{le=\"0.001\"} 0",
        "chunkcast_peer_rtt_seconds_bucket{le=\"0.002\"} 5",
        "chunkcast_peer_rtt_seconds_bucket{le=\"+Inf\"} 5",
        "chunkcast_peer_rtt_seconds_count 5",
        "chunkcast_blocklist_ranges 3",
        "chunkcast_http_requests_total{route=\"/api/v1/torrents/{hash}\",method=\"GET\",code=\"200\"} 1",
        "chunkcast_http_requests_total{route=\"none\",method=\"GET\",code=\"404\"} 1",
        "chunkcast_http_requests_total{route=\"none\",method=\"other\",code=\"404\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains(&HERE.to_string()), "no torrent is named");
    assert!(!text.contains("192.0.2."), "nor a peer");
}

#[tokio::test]
async fn the_documentation_lists_the_metrics_that_there_are() {
    let api = Scripted::start().await;
    let answer = api.get("/metrics").await;
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let docs = std::fs::read_to_string(docs).expect("docs/metrics.md");
    let rows = docs.lines().filter_map(|l| l.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows.filter_map(|l| l.split(['`', '{']).next()).collect();
    assert_eq!(documented, names(&answer.body));
    let mut known = BTreeSet::new();
    for line in answer.body.lines().filter(|l| !l.starts_with('#')) {
        let sample = line.split(['{', ' ']).next().expect("a name");
        let name = ["_bucket", "_sum", "_count"].into_iter().find_map(|s| {
            let name = sample.strip_suffix(s)?;
            answer
                .body
                .contains(&format!("# TYPE {name} histogram"))
                .then_some(name)
        });
        known.insert(name.unwrap_or(sample));
        let value = line.rsplit(' ').next().expect("a value");
        value.parse::<f64>().expect("a number");
    }
    assert!(known.is_subset(&documented), "{known:?}");
}

#[tokio::test]
async fn health_needs_an_answer_and_a_disk() {
    let api = Scripted::start().await;
    let well = api.get("/healthz").await;
    assert_eq!(
        (well.status, well.json()["status"].as_str()),
        (200, Some("ok"))
    );
    assert_eq!(
        std::fs::read_dir(api.script.state_dir.path())
            .expect("there")
            .count(),
        0,
        "nothing stays"
    );

    let broken = Scripted::start().await;
    std::fs::remove_dir(broken.script.state_dir.path()).expect("it is empty");
    let ill = broken.get("/healthz").await;
    assert_eq!(ill.status, 503);
    assert!(ill.body.contains("state directory"), "{ill:?}");
    ill.gives_nothing_away();

    let ending = Scripted::start().await;
    ending.script.end().await;
    assert_eq!(ending.get("/healthz").await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn metrics_of_a_daemon_that_does_not_answer_are_not_to_be_had() {
    let (daemon, _inbox) = channel();
    let api = Api::of(ApiConfig::default(), daemon).await;
    let why = api.get("/metrics").await.is_refused(503);
    assert_eq!(why, "the daemon does not answer");
}

#[tokio::test]
async fn probes_need_no_password_and_metrics_do() {
    let api = Scripted::with(ApiConfig {
        password: Some("secret".to_owned()),
        ..ApiConfig::default()
    })
    .await;
    api.get("/metrics").await.is_refused(401);
    api.is_well().await;
}
