//! Requests that no client should send, and HTTP itself.

use serde_json::{Value, json};

use crate::server::{Server, Source, Which, compare, session_id};

#[test]
fn odd_requests_are_answered_in_the_same_words() {
    let Some(source) = Source::new() else { return };
    let hash = &source.scene.infohash;
    let cases = [
        ("nope", json!({})),
        ("torrent-get", json!({})),
        ("torrent-get", json!({"fields": "id"})),
        (
            "torrent-get",
            json!({"fields": ["name", "status"], "ids": []}),
        ),
        (
            "torrent-get",
            json!({"fields": ["name", "status"], "ids": [77, "x"]}),
        ),
        (
            "torrent-get",
            json!({"fields": ["name", "totalSize"], "ids": [hash.to_uppercase()], "format": "table"}),
        ),
        (
            "torrent-get",
            json!({"fields": ["name"], "ids": "recently-active"}),
        ),
        (
            "torrent-get",
            json!({"fields": ["wanted", "priorities", "pieces", "pieceCount", "pieceSize", "webseeds", "labels"]}),
        ),
        (
            "torrent-get",
            json!({"fields": ["fileStats", "files", "peersFrom", "peers", "trackerStats", "magnetLink"]}),
        ),
        (
            "torrent-get",
            json!({"fields": ["uploadRatio", "percentDone", "eta", "etaIdle", "doneDate", "error", "errorString"]}),
        ),
        ("torrent-stop", json!({"ids": [99]})),
        ("torrent-set", json!({"ids": [99], "downloadLimit": 5})),
        ("torrent-set", json!({"nope": 5})),
        ("torrent-set", json!({"labels": ["a", ""]})),
        ("torrent-set", json!({"labels": ["a,b"]})),
        ("torrent-set", json!({"files-wanted": [9]})),
        ("torrent-set-location", json!({})),
        ("torrent-set-location", json!({"location": "x"})),
        (
            "torrent-rename-path",
            json!({"ids": [99], "path": "a", "name": "b"}),
        ),
        ("torrent-add", json!({})),
        ("torrent-add", json!({"filename": ""})),
        (
            "torrent-add",
            json!({"filename": "/nope.torrent", "download-dir": "x"}),
        ),
        (
            "session-get",
            json!({"fields": ["rpc-version-minimum", "nope", "units"]}),
        ),
        ("session-set", json!({"nope": 5})),
        ("session-set", json!({"download-dir": "x"})),
        ("free-space", json!({})),
        ("free-space", json!({"path": "x"})),
        ("torrent-get", json!({"fields": ["name"], "id": 1})),
        ("torrent-get", json!({"fields": ["name"], "id": 99})),
        ("torrent-remove", json!({"id": 99})),
        ("torrent-get", json!({"fields": ["name"]})),
        ("torrent-remove", json!({})),
        ("torrent-get", json!({"fields": ["name"]})),
    ];
    let asked = |_: &Source, server: Server| -> Vec<Value> {
        let torrent = source.scene.torrent();
        let added = server.call("torrent-add", json!({"filename": torrent, "paused": true}));
        assert_eq!(
            added["arguments"]["torrent-added"]["hashString"], *hash,
            "{added}"
        );
        server.wait("it is at rest", hash, &["status"], |t| t["status"] == 0);
        let mut answers: Vec<Value> = cases
            .iter()
            .map(|(m, a)| without_own(server.call(m, a.clone())))
            .collect();
        answers.extend(["", "{", "[]", "{}", "{\"method\":5}"].map(|body| {
            let answer = server.post(body);
            assert_ne!(answer["result"], "success", "{body:?}");
            answer["arguments"].clone()
        }));
        answers.push(server.post("{\"method\":\"nope\",\"tag\":-7}"));
        answers
    };
    let [stock, ours] = source.both(asked);
    let names = (0..stock.len()).map(|at| format!("{:?}", cases.get(at)));
    compare(names.zip(stock), ours);
}

/// An answer without what only one of the two has: fields that came after 3.00, and times of scrapes that are not made here.
fn without_own(mut answer: Value) -> Value {
    let torrents = answer["arguments"].get_mut("torrents");
    let torrents = torrents.and_then(Value::as_array_mut).into_iter().flatten();
    for torrent in torrents {
        let stats = torrent.get_mut("trackerStats");
        let stats = stats.and_then(Value::as_array_mut).into_iter().flatten();
        for stats in stats.filter_map(Value::as_object_mut) {
            stats.retain(|name, _| {
                !["sitename", "nextScrapeTime", "scrapeState"].contains(&name.as_str())
            });
        }
    }
    answer
}

#[test]
fn the_session_id_is_told_and_wanted() {
    let Some(source) = Source::new() else { return };
    let asked = |_: &Source, server: Server| {
        let body = "{\"method\":\"session-get\",\"arguments\":{\"fields\":[\"session-id\"]}}";
        let mut statuses = Vec::new();
        let mut id = String::new();
        for (method, body) in [("GET", ""), ("POST", body), ("POST", "")] {
            let (status, head, text) = server.http(method, "", body);
            id = session_id(&head).expect("an id").to_owned();
            assert!(
                text.contains(&format!("<code>X-Transmission-Session-Id: {id}</code>")),
                "{text}"
            );
            statuses.push(status);
        }
        let (wrong, head, _) = server.http("POST", "wrong", body);
        assert_eq!(session_id(&head), Some(&*id));
        let (get, _, _) = server.http("GET", &id, "");
        let (right, head, answer) = server.http("POST", &id, body);
        assert!(
            head.to_lowercase()
                .contains("content-type: application/json; charset=utf-8"),
            "{head}"
        );
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["arguments"]["session-id"], id);
        statuses.extend([wrong, get, right]);
        if server.which == Which::Ours {
            // a page of another site cannot send the header, and is told nothing of it
            assert!(!head.to_lowercase().contains("access-control"), "{head}");
        }
        (statuses, id.len())
    };
    let [stock, ours] = source.both(asked);
    assert_eq!(ours, stock);
}
