//! What each route takes and gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{HERE, Scripted};

#[tokio::test]
async fn torrents_are_shown_with_what_is_known_of_them() {
    let api = Scripted::start().await;
    let list = api.get("/api/v1/torrents").await.json();
    let [first, second] = list["torrents"].as_array().expect("a list").as_slice() else {
        panic!("two: {list}");
    };
    assert_eq!(first["hash"], HERE.to_string());
    assert_eq!(first["state"], "downloading");
    assert_eq!(first["by_distance"]["near_down"], 1);
    assert_eq!(first["by_distance"]["far_up"], 4);
    assert_eq!(first["seed_ratio"], 1.5);
    assert_eq!(first["seed_idle_seconds"], "session");
    assert_eq!(first["seed_time_seconds"], "unlimited");
    assert_eq!(
        (&first["done"], &first["trouble"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(second["trouble"]["message"], "the tracker says no");

    let one = api.get(&format!("/api/v1/torrents/{HERE}")).await.json();
    assert_eq!(one["name"], "a torrent");
    assert_eq!(one["magnet"], format!("magnet:?xt=urn:btih:{HERE}"));
    assert_eq!(one["drops"]["bad_have"], 1);
    let upper = HERE.to_string().to_uppercase();
    let same = api.get(&format!("/api/v1/torrents/{upper}")).await;
    assert_eq!(same.json()["hash"], HERE.to_string());
}

#[tokio::test]
async fn a_peer_says_why_it_is_one_and_the_nearest_comes_first() {
    let api = Scripted::start().await;
    let peers = api
        .get(&format!("/api/v1/torrents/{HERE}/peers"))
        .await
        .json();
    let rows = peers["peers"].as_array().expect("a list");
    let rtts: Vec<_> = rows.iter().map(|p| p["rtt_ms"].as_f64()).collect();
    assert_eq!(rtts, [Some(2.5), Some(40.0), None]);
    let near = &rows[0];
    assert_eq!(near["source"], "directory");
    assert_eq!(
        near["why"],
        json!({ "at": 1_700_000_000, "hops": 1, "answered_by": "192.0.2.9:4240", "rank": 0, "score": 0.75,
            "matched": 4, "load": 10, "predicted_ms": 3.0, "coordinate": [1.0, 2.0, 3.0, 0.5] })
    );
    assert_eq!(rows[1]["why"], Value::Null);
    let bits = STANDARD.decode(near["pieces"].as_str().expect("text"));
    assert_eq!(bits.expect("base64"), [0x80, 0x40]);
    assert_eq!(near["held"], 2);
}

#[tokio::test]
async fn files_pieces_trackers_and_lookups_have_their_own_routes() {
    let api = Scripted::start().await;
    let part = async |what: &str| {
        let path = format!("/api/v1/torrents/{HERE}/{what}");
        api.get(&path).await.json()
    };
    let files = part("files").await;
    assert_eq!(files["files"][1]["path"], "a/c");
    assert_eq!(files["files"][1]["priority"], "skip");
    assert_eq!(files["files"][1]["index"], 1);
    let pieces = part("pieces").await;
    assert_eq!(pieces["held"], STANDARD.encode([0x90, 0]));
    assert_eq!(pieces["wanted"], STANDARD.encode([0xff, 0xc0]));
    assert_eq!(
        (&pieces["pieces"], &pieces["open"]),
        (&json!(10), &json!([4]))
    );
    assert_eq!(
        part("trackers").await["trackers"][0]["announce"],
        "http://tracker.example/announce"
    );
    let lookup = &part("lookups").await["lookups"][0];
    assert_eq!(
        (&lookup["hops"], &lookup["from_kept"]),
        (&json!(2), &json!(true))
    );
    let trace = api
        .call(&format!("POST /api/v1/torrents/{HERE}/trace"), "")
        .await;
    assert_eq!(trace.json()["trace"][0]["knew"], 3);
}

#[tokio::test]
async fn what_is_not_here_is_not_found_and_what_cannot_be_says_so() {
    let api = Scripted::start().await;
    let other = "0".repeat(40);
    for part in ["", "/files", "/peers", "/pieces", "/trackers", "/lookups"] {
        let path = format!("/api/v1/torrents/{other}{part}");
        let why = api.get(&path).await.is_refused(404);
        assert!(why.contains(&other), "{why}");
    }
    for line in [
        format!("PATCH /api/v1/torrents/{other}"),
        format!("DELETE /api/v1/torrents/{other}"),
        format!("POST /api/v1/torrents/{other}/pause"),
    ] {
        api.call(&line, "{}").await.is_refused(404);
    }
    let queue = format!("POST /api/v1/torrents/{other}/queue");
    api.call(&queue, r#"{"to":"top"}"#).await.is_refused(404);
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v2/torrents",
        "/api/v1/torrents/",
        "/../etc/passwd",
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        answer.error();
    }
    for bad in ["x", "é", "%00", "..%2f..", "0000"] {
        api.get(&format!("/api/v1/torrents/{bad}"))
            .await
            .is_refused(400);
    }
    let put = api.call("PUT /api/v1/torrents", "").await;
    put.is_refused(405);
    assert!(put.head.contains("allow: get,head,post"), "{put:?}");
    api.script.end().await;
    let why = api
        .get(&format!("/api/v1/torrents/{HERE}"))
        .await
        .is_refused(503);
    assert_eq!(why, "the daemon is ending");
}

#[tokio::test]
async fn a_torrent_is_added_from_json_or_as_it_is() {
    let api = Scripted::start().await;
    let body = json!({ "magnet": format!("magnet:?xt=urn:btih:{HERE}"), "dir": "/data/x", "start": false,
        "options": { "labels": ["a"], "files": [{ "index": 1, "priority": "high" }] } });
    let added = api.call("POST /api/v1/torrents", &body.to_string()).await;
    assert_eq!(added.status, 201);
    assert_eq!(
        added.json(),
        json!({ "id": 7, "hash": HERE.to_string(), "name": "it", "duplicate": false })
    );
    let [asked] = api.script.asked().try_into().expect("once");
    for word in [
        "Magnet(\"magnet:?xt=urn",
        "dir: Some(\"/data/x\")",
        "start: Some(false)",
        "[\"a\"]",
        "[(1, High)]",
    ] {
        assert!(asked.contains(word), "{word}: {asked}");
    }
    let there = api.call(
        "POST /api/v1/torrents",
        r#"{"url":"http://x/y.torrent","cookies":"a=b"}"#,
    );
    assert_eq!(there.await.status, 200, "it was there already");
    assert!(api.script.asked()[0].contains("cookies: Some(\"a=b\")"));
    let coded = json!({ "torrent": STANDARD.encode("d4:infoe") }).to_string();
    api.call("POST /api/v1/torrents", &coded).await;
    assert!(api.script.asked()[0].contains("Torrent(b\"d4:infoe\")"));
    let headers = "X-Chunkcast: 1\r\nContent-Type: application/x-bittorrent\r\n";
    let raw = api.ask(
        "POST /api/v1/torrents?dir=/data/y&start=true",
        headers,
        "d4:infoe",
    );
    assert_eq!(raw.await.status, 201);
    let [asked] = api.script.asked().try_into().expect("once");
    for word in [
        "Torrent(b\"d4:infoe\")",
        "dir: Some(\"/data/y\")",
        "start: Some(true)",
    ] {
        assert!(asked.contains(word), "{word}: {asked}");
    }
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused_with_a_line_and_nothing_is_asked() {
    let api = Scripted::start().await;
    let torrent = format!("/api/v1/torrents/{HERE}");
    let deep = "[".repeat(100_000);
    let deep_object = r#"{"options":"#.repeat(10_000);
    for (line, body) in [
        ("POST /api/v1/torrents", "{}"),
        ("POST /api/v1/torrents", "[]"),
        ("POST /api/v1/torrents", "{"),
        ("POST /api/v1/torrents", deep.as_str()),
        ("POST /api/v1/torrents", deep_object.as_str()),
        ("POST /api/v1/torrents", r#"{"magnet":"x","magnet":"y"}"#),
        ("POST /api/v1/torrents", r#"{"magnet":"x","extra":1}"#),
        ("POST /api/v1/torrents", r#"{"magnet":"x","dir":"../x"}"#),
        (
            "POST /api/v1/torrents",
            r#"{"magnet":"x","dir":"/data/../etc"}"#,
        ),
        (
            "POST /api/v1/torrents",
            r#"{"magnet":"x","dir":"/data\u0000/x"}"#,
        ),
        ("POST /api/v1/torrents", r#"{"file":"../../etc/passwd"}"#),
        ("POST /api/v1/torrents?dir=/data", r#"{"magnet":"x"}"#),
        ("POST /api/v1/torrents?other=1", r#"{"magnet":"x"}"#),
        (&format!("PATCH {torrent}"), r#"{"download_limit":5}"#),
        (&format!("PATCH {torrent}"), r#"{"donwload_limit":5000}"#),
        (&format!("PATCH {torrent}"), r#"{"seed_ratio":"often"}"#),
        (&format!("PATCH {torrent}"), r#"{"seed_ratio":1e999}"#),
        (&format!("POST {torrent}/relocate"), "{}"),
        (&format!("POST {torrent}/relocate"), r#"{"dir":"data"}"#),
        (&format!("POST {torrent}/queue"), r#"{"to":"front"}"#),
        (&format!("POST {torrent}/start"), r#"{"now":"yes"}"#),
        (&format!("DELETE {torrent}?data=maybe"), ""),
        (&format!("DELETE {torrent}?dta=true"), ""),
        ("PATCH /api/v1/session", r#"{"upload_limit":-1}"#),
        (
            "PATCH /api/v1/session",
            r#"{"schedule":{"from_minute":1440}}"#,
        ),
        ("PATCH /api/v1/session", r#"{"schedule":{"days":128}}"#),
        ("PATCH /api/v1/session", r#"{"download_dir":"data"}"#),
        (
            "PATCH /api/v1/session",
            r#"{"blocklist_source":"file:///etc/passwd"}"#,
        ),
        ("PATCH /api/v1/session", r#"{"watch_dir":"/data"}"#),
    ] {
        let why = api.call(line, body).await.is_refused(400);
        assert!(why.len() < 400, "{why}");
    }
    let bytes = [
        format!(
            "POST /api/v1/torrents HTTP/1.1\r\nHost: {}\r\nX-Chunkcast: 1\r\n",
            api.addr
        )
        .into_bytes(),
        b"Connection: close\r\nContent-Length: 14\r\n\r\n{\"magnet\":\"\xff\"}".to_vec(),
    ];
    api.raw(bytes.concat()).await.is_refused(400);
    assert_eq!(api.script.asked(), [""; 0]);
    let outside = api
        .call(&format!("POST {torrent}/relocate"), r#"{"dir":"/etc"}"#)
        .await;
    assert_eq!(outside.status, 403);
    api.is_well().await;
}

#[tokio::test]
async fn a_torrent_is_changed_and_asked_of() {
    let api = Scripted::start().await;
    let torrent = format!("/api/v1/torrents/{HERE}");
    for (line, body, asked) in [
        (
            format!("POST {torrent}/start"),
            "",
            format!("start {HERE} false"),
        ),
        (
            format!("POST {torrent}/start"),
            r#"{"now":true}"#,
            format!("start {HERE} true"),
        ),
        (format!("POST {torrent}/pause"), "", format!("pause {HERE}")),
        (
            format!("POST {torrent}/verify"),
            "",
            format!("verify {HERE}"),
        ),
        (
            format!("POST {torrent}/reannounce"),
            "",
            format!("reannounce {HERE}"),
        ),
        (
            format!("POST {torrent}/relocate"),
            r#"{"dir":"/data/n"}"#,
            format!("relocate {HERE} /data/n true"),
        ),
        (
            format!("POST {torrent}/relocate"),
            r#"{"dir":"/data/n","move":false}"#,
            format!("relocate {HERE} /data/n false"),
        ),
        (
            format!("POST {torrent}/queue"),
            r#"{"to":"top"}"#,
            format!("[{HERE}] Top"),
        ),
        (
            format!("DELETE {torrent}"),
            "",
            format!("remove {HERE} false"),
        ),
        (
            format!("DELETE {torrent}?data=true"),
            "",
            format!("remove {HERE} true"),
        ),
    ] {
        let answer = api.call(&line, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{line}");
        assert_eq!(api.script.asked(), [asked], "{line}");
    }
    let change = json!({ "labels": ["a", "b"], "download_limit": null, "upload_limit": 4096, "session_limits": false,
        "seed_ratio": "session", "seed_idle_seconds": 60, "max_peers": 9, "files": [{ "index": 3, "priority": "skip" }],
        "trackers": [["http://t/a"]], "peers": ["192.0.2.1:1", "[2001:db8::1]:2"], "queue_position": 2 });
    assert_eq!(
        api.call(&format!("PATCH {torrent}"), &change.to_string())
            .await
            .status,
        204
    );
    let [asked] = api.script.asked().try_into().expect("once");
    for word in [
        "labels: Some([\"a\", \"b\"])",
        "download: Some(None)",
        "upload: Some(Some(Rate(4096)))",
        "session_rates: Some(false)",
        "seed_ratio: Some(Session)",
        "seed_idle: Some(Own(60s))",
        "seed_time: None",
        "max_peers: Some(9)",
        "files: [(3, Skip)]",
        "192.0.2.1:1",
        "[2001:db8::1]:2",
        "queue_position: Some(2)",
    ] {
        assert!(asked.contains(word), "{word}: {asked}");
    }
}

#[tokio::test]
async fn settings_are_shown_and_changed_one_by_one() {
    let api = Scripted::start().await;
    let session = api.get("/api/v1/session").await.json();
    assert_eq!(session["settings"]["download_limit"], 1 << 20);
    assert_eq!(session["settings"]["stalled_after_seconds"], 1800);
    assert_eq!(session["settings"]["schedule"]["from_minute"], 540);
    assert_eq!(session["network"]["peer_port"], 4240);
    assert_eq!(session["totals"]["session"]["by_distance"]["far_down"], 3);
    assert_eq!(session["space"]["free"], 1_u64 << 40);
    assert_eq!(session["blocklist_ranges"], 3);
    let change = json!({ "upload_limit": 2048, "schedule": { "on": true, "download_limit": 1024 }, "seed_ratio": null,
        "active_seeds": 4, "download_dir": "/data/new" });
    assert_eq!(
        api.call("PATCH /api/v1/session", &change.to_string())
            .await
            .status,
        204
    );
    let [asked] = api.script.asked().try_into().expect("once");
    for word in [
        // what is not named is not touched, whatever else changes it meanwhile
        "{ download: None, upload: Some(Some(Rate(2048)))",
        "ScheduleChange { on: Some(true), download: Some(Some(Rate(1024))), upload: None",
        "from: None",
        "seed_ratio: Some(None)",
        "active_seeds: Some(Some(4))",
        "active_downloads: None",
        "download_dir: Some(\"/data/new\")",
    ] {
        assert!(asked.contains(word), "{word}: {asked}");
    }
    assert_eq!(api.get("/api/v1/directory").await.json()["joined"], true);
    let history = api.get("/api/v1/history").await.json();
    assert_eq!(history["hour"][0]["moved"]["web_down"], 5);
    assert_eq!(api.call("POST /api/v1/shutdown", "").await.status, 202);
}
