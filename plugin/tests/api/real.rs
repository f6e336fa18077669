//! The API in front of a real daemon, which fetches from a session that seeds.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunkcast_bittorrent::api::ApiConfig;
use chunkcast_bittorrent::daemon::Clock;
use chunkcast_bittorrent::session::{IndexUse, SessionConfig};
use serde_json::{Value, json};

use crate::common::{Api, poll, read_until};
use crate::schema::{check, description};
use crate::support::{Content, Rig, Seed, quiet, wait};

/// A daemon that runs, and its API.
async fn served() -> (Rig, Api) {
    served_with(|_| {}).await
}

async fn served_with(change: impl FnOnce(&mut Rig)) -> (Rig, Api) {
    let mut rig = Rig::prepared(|_| {});
    rig.clock = Clock::default();
    change(&mut rig);
    rig.start().await;
    std::fs::create_dir_all(rig.path("downloads")).expect("made");
    let api = Api::of(ApiConfig::default(), rig.daemon().clone()).await;
    (rig, api)
}

async fn until(api: &Api, path: &str, so: impl Fn(&Value) -> bool) -> Value {
    poll(path, async || {
        let value = api.get(path).await.json();
        so(&value).then_some(value)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_is_added_fetched_watched_and_removed() {
    let content = Content::folder(1, &[("a", 100_000), ("b/c", 60_000)]);
    let seed = Seed::of(&[&content]).await;
    let (rig, api) = served().await;
    let doc = description(&api).await;

    let mut stream = api.listen().await;
    read_until(&mut stream, "event: listing").await;

    let body = json!({ "torrent": STANDARD.encode(&content.torrent),
        "options": { "peers": [seed.addr().to_string()], "labels": ["test"] } });
    let added = api.call("POST /api/v1/torrents", &body.to_string()).await;
    assert_eq!(
        (added.status, added.json()["hash"].clone()),
        (201, json!(content.hash.to_string()))
    );
    let again = api.call("POST /api/v1/torrents", &body.to_string()).await;
    assert_eq!(
        (again.status, again.json()["duplicate"].clone()),
        (200, json!(true))
    );
    read_until(&mut stream, "event: complete").await;

    let torrent = format!("/api/v1/torrents/{}", content.hash);
    let shown = until(&api, &torrent, |t| t["state"] == "seeding").await;
    assert_eq!(shown["verified"], content.size());
    assert_eq!(shown["labels"][0], "test");
    let pieces = api.get(&format!("{torrent}/pieces")).await.json();
    assert_eq!(pieces["held"], pieces["wanted"]);
    let history = until(&api, "/api/v1/history", |h| h["hour"][0].is_object()).await;
    let moved = &history["hour"][0]["moved"];
    let down = moved["near_down"].as_u64().zip(moved["far_down"].as_u64());
    assert!(down.is_some_and(|(near, far)| near + far > 0), "{history}");

    for path in ["/api/v1/torrents", "/api/v1/session", "/api/v1/history"]
        .map(str::to_owned)
        .into_iter()
        .chain(
            ["", "/files", "/peers", "/pieces", "/trackers", "/lookups"]
                .map(|part| format!("{torrent}{part}")),
        )
    {
        let described = path.replace(&content.hash.to_string(), "{hash}");
        let schema = &doc["paths"][&described]["get"]["responses"]["200"]["content"]["application/json"]
            ["schema"];
        let real = api.get(&path).await.json();
        check(&doc, schema, &real).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    // they are counted once a second
    let verified = format!(
        "chunkcast_pieces_verified_total {}",
        content.size().div_ceil(16 << 10)
    );
    let metrics = poll(&verified, async || {
        let metrics = api.get("/metrics").await.body;
        let counted = metrics.lines().any(|l| l == verified);
        counted.then_some(metrics)
    })
    .await;
    for line in [
        "chunkcast_torrents{state=\"seeding\"} 1",
        "chunkcast_pieces_failed_total 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
    }
    assert_eq!(api.get("/healthz").await.status, 200);

    let paused = api.call(&format!("POST {torrent}/pause"), "").await;
    assert_eq!(paused.status, 204);
    until(&api, &torrent, |t| t["state"] == "paused").await;
    let data = rig.path("downloads").join(content.name());
    assert!(data.exists());
    let gone = api.call(&format!("DELETE {torrent}?data=true"), "").await;
    assert_eq!(gone.status, 204);
    wait("the data is gone", || !data.exists()).await;
    assert_eq!(api.get(&torrent).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_directories_that_are_allowed() {
    let (rig, api) = served().await;
    let downloads = rig.path("downloads");
    let secret = rig.path("secret");
    std::fs::create_dir_all(&secret).expect("made");
    std::fs::write(secret.join("x.torrent"), "d4:infode").expect("written");
    symlink(&secret, downloads.join("link")).expect("linked");
    let content = Content::file(2, 50_000);
    let add = json!({ "torrent": STANDARD.encode(&content.torrent), "start": false });
    assert_eq!(
        api.call("POST /api/v1/torrents", &add.to_string())
            .await
            .status,
        201
    );
    let relocate = format!("POST /api/v1/torrents/{}/relocate", content.hash);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let outside = [
        ("/etc".to_owned(), 403),
        ("/".to_owned(), 403),
        (text(&secret), 403),
        (text(&downloads.join("link")), 403),
        (text(&downloads.join("link/below")), 403),
        (text(&downloads) + "x", 403),
        (text(&downloads.join("../secret")), 400),
        (text(&downloads.join("../../../../etc")), 400),
        (text(&downloads) + "\0/etc", 400),
        ("downloads".to_owned(), 400),
        (String::new(), 400),
    ];
    for (dir, status) in outside {
        let other = Content::file(3, 1000);
        let add = json!({ "torrent": STANDARD.encode(&other.torrent), "dir": dir });
        let upload = format!(
            "POST /api/v1/torrents?dir={}",
            url::form_urlencoded::byte_serialize(dir.as_bytes()).collect::<String>()
        );
        let file = json!({ "file": format!("{dir}/x.torrent") });
        let kind = "X-Chunkcast: 1\r\nContent-Type: application/x-bittorrent\r\n";
        let answers = [
            api.call("POST /api/v1/torrents", &add.to_string()).await,
            api.ask(&upload, kind, "d4:infode").await,
            api.call("POST /api/v1/torrents", &file.to_string()).await,
            api.call(&relocate, &json!({ "dir": dir }).to_string())
                .await,
            api.call(
                "PATCH /api/v1/session",
                &json!({ "download_dir": dir }).to_string(),
            )
            .await,
        ];
        for (n, answer) in answers.iter().enumerate() {
            // the path of the file has one more part than an empty text
            let expected = if n == 2 && dir.is_empty() {
                403
            } else {
                status
            };
            assert_eq!(answer.status, expected, "{n} {dir:?}: {answer:?}");
        }
    }
    let list = api.get("/api/v1/torrents").await.json();
    assert_eq!(list["torrents"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["torrents"][0]["dir"], text(&downloads));
    assert_eq!(std::fs::read_dir(&secret).expect("there").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_from_the_directory_says_why_it_is_one() {
    let content = Content::file(4, 1 << 20);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let in_a_ring = |with| SessionConfig {
        index: IndexUse::Colocated(Some(loopback)),
        bootstrap: with,
        ..quiet()
    };
    let seed = Seed::with(in_a_ring(Vec::new()), &[&content]).await;
    let bootstrap = vec![seed.session.index_addr().expect("it has one")];
    let (_rig, api) = served_with(|rig| rig.session = in_a_ring(bootstrap)).await;
    let doc = description(&api).await;
    let described = |method: &str, path: &str, real: &Value| {
        let path = path.replace(&content.hash.to_string(), "{hash}");
        let answer = &doc["paths"][&path][method]["responses"]["200"];
        let schema = &answer["content"]["application/json"]["schema"];
        check(&doc, schema, real).unwrap_or_else(|e| panic!("{path}: {e}"));
    };
    let add = json!({ "torrent": STANDARD.encode(&content.torrent) });
    let added = api.call("POST /api/v1/torrents", &add.to_string()).await;
    assert_eq!(added.status, 201);
    let torrent = format!("/api/v1/torrents/{}", content.hash);
    until(&api, &torrent, |t| t["state"] == "seeding").await;

    let path = format!("{torrent}/peers");
    let peers = api.get(&path).await.json();
    described("get", &path, &peers);
    let peer = &peers["peers"][0];
    assert_eq!(peer["source"], "directory", "{peers}");
    assert_eq!(peer["downloaded"], content.size());
    assert_eq!(peer["why"]["rank"], 0, "{peers}");
    assert!(
        peer["why"]["hops"].as_u64().is_some_and(|h| h <= 1),
        "{peers}"
    );
    assert!(peer["why"]["predicted_ms"].is_number() && peer["why"]["answered_by"].is_string());

    let path = format!("{torrent}/lookups");
    let lookups = api.get(&path).await.json();
    described("get", &path, &lookups);
    let answered = |l: &Value| l["hops"].is_number() && l["peers"].as_u64() > Some(0);
    let rows = lookups["lookups"].as_array();
    assert!(
        rows.is_some_and(|rows| rows.iter().any(answered)),
        "{lookups}"
    );

    let path = format!("{torrent}/trace");
    let trace = api.call(&format!("POST {path}"), "").await.json();
    described("post", &path, &trace);
    assert!(
        trace["trace"]
            .as_array()
            .is_some_and(|hops| !hops.is_empty()),
        "{trace}"
    );

    let directory = api.get("/api/v1/directory").await.json();
    described("get", "/api/v1/directory", &directory);
    assert_eq!(directory["joined"], true);
    assert!(directory["coord"]["position"][2].is_number(), "{directory}");
    assert!(
        directory["slots"].is_array() && directory["held"].is_object(),
        "{directory}"
    );

    let metrics = api.get("/metrics").await.body;
    let of = |name: &str| {
        let values = metrics
            .lines()
            .filter_map(|l| l.strip_prefix(name)?.rsplit(' ').next());
        values
            .map(|v| v.parse::<f64>().expect("a number"))
            .sum::<f64>()
    };
    assert!(
        (of("chunkcast_index_joined ") - 1.0).abs() < 1e-9,
        "{metrics}"
    );
    for name in [
        "chunkcast_index_lookups_total{",
        "chunkcast_index_datagrams_total{direction=\"in\",kind=",
        "chunkcast_index_bytes_total{direction=\"out\",kind=",
        "chunkcast_index_publications ",
        "chunkcast_index_nodes ",
    ] {
        assert!(of(name) > 0.0, "{name}: {metrics}");
    }
}
