//! What Sonarr and Radarr ask of a download client, in their order, and what they conclude.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::wait_for;
use serde_json::{Value, json};

use crate::server::{Server, Source, Which, size};

/// What they ask of each torrent; the last is `null` where the client is older than 4.0.
fn fields(labels: bool) -> Value {
    let last = labels.then_some("labels");
    json!([
        "id",
        "hashString",
        "name",
        "downloadDir",
        "totalSize",
        "leftUntilDone",
        "isFinished",
        "eta",
        "status",
        "secondsDownloading",
        "secondsSeeding",
        "errorString",
        "uploadedEver",
        "downloadedEver",
        "seedRatioLimit",
        "seedRatioMode",
        "seedIdleLimit",
        "seedIdleMode",
        "fileCount",
        last,
    ])
}

/// The number in front of `version`, as they read it.
fn version(text: &str) -> Vec<u32> {
    let number = text.split(|c: char| !c.is_ascii_digit() && c != '.').next();
    let parts = number.unwrap_or_default().split('.');
    parts.map(|part| part.parse().expect("a number")).collect()
}

struct Arr<'a> {
    server: &'a Server,
    labels: bool,
}

impl Arr<'_> {
    fn must(&self, method: &str, arguments: Value) -> Value {
        let mut answer = self.server.call(method, arguments);
        assert_eq!(answer["result"], "success", "{method}: {answer}");
        answer["arguments"].take()
    }

    /// The only torrent of the category, as the queue shows it.
    fn item(&self, category: &str) -> Option<Value> {
        let mut all = self.must("torrent-get", json!({ "fields": fields(self.labels) }));
        let torrents = all["torrents"].as_array_mut().expect("a list");
        torrents.retain(|t| {
            let dir = t["downloadDir"].as_str().expect("text");
            assert!(
                t["id"].is_u64() && t["eta"].is_i64() && t["secondsSeeding"].is_u64(),
                "{t}"
            );
            assert!(
                t["seedRatioLimit"].is_number() && t["isFinished"].is_boolean(),
                "{t}"
            );
            t["totalSize"] != 0 && dir.split('/').any(|part| part == category)
        });
        assert!(torrents.len() <= 1);
        torrents.pop()
    }
}

/// As their queue calls it.
fn state(item: &Value) -> &'static str {
    let status = item["status"].as_i64().expect("a number");
    let complete = item["leftUntilDone"] == 0 && [0, 5, 6].contains(&status);
    let finished = item["isFinished"] == true && ![1, 2].contains(&status);
    match () {
        () if item["errorString"] != "" => "warning",
        () if complete || finished => "completed",
        () if status == 3 => "queued",
        () => "downloading",
    }
}

#[test]
fn sonarr_and_radarr_get_through() {
    let Some(source) = Source::new() else { return };
    let concluded = source.both(grab);
    assert_eq!(concluded[1], concluded[0]);
}

fn grab(source: &Source, server: Server) -> Value {
    // the test of the connection
    let arr = Arr {
        server: &server,
        labels: false,
    };
    let config = arr.must("session-get", Value::Null);
    let is = version(config["version"].as_str().expect("text"));
    assert!(is >= vec![2, 40], "{is:?}");
    let arr = Arr {
        labels: is >= vec![4, 0],
        ..arr
    };
    assert_eq!(arr.labels, server.which == Which::Ours);
    assert!(arr.item("tv").is_none());

    // it grabs a release: data first, then as a magnet link
    let bytes = fs::read(source.scene.torrent()).expect("the .torrent file");
    let dir = format!(
        "{}/tv",
        config["download-dir"]
            .as_str()
            .expect("text")
            .trim_end_matches('/')
    );
    let mut add =
        json!({ "metainfo": STANDARD.encode(&bytes), "paused": false, "download-dir": dir });
    if arr.labels {
        add["labels"] = json!(["tv"]);
    }
    let hash = source.scene.infohash.as_str();
    arr.must("torrent-add", add);
    arr.must("torrent-set", json!({ "ids": [hash], "seedRatioLimit": 0.0, "seedRatioMode": 1, "seedIdleLimit": 60, "seedIdleMode": 1 }));
    arr.must("queue-move-top", json!({ "ids": [hash] }));
    let magnet = source.scene.magnet(&source.tracker.url());
    arr.must(
        "torrent-add",
        json!({ "filename": magnet, "paused": false, "download-dir": dir }),
    );

    let _seed = source.seed(&server);

    // it asks until it is completed, and may be removed: at its ratio, stopped
    let item = wait_for("it may be removed", DEADLINE, || {
        let item = arr.item("tv")?;
        assert!(
            ["downloading", "queued", "completed"].contains(&state(&item)),
            "{item}"
        );
        (state(&item) == "completed" && item["status"] == 0 && item["isFinished"] == true)
            .then_some(item)
    });
    let label = arr.labels.then(|| item["labels"].clone());
    assert!(label.is_none_or(|label| label == json!(["tv"])));
    let path = format!("{dir}/{}", item["name"].as_str().expect("text"));
    assert!(fs::metadata(format!("{path}/deep/b.bin")).is_ok(), "{path}");
    assert!(item["downloadedEver"].as_u64() >= Some(size()));

    // imported: another label, and away with it
    arr.must(
        "torrent-set",
        json!({ "ids": [hash], "labels": ["tv-imported"] }),
    );
    assert_eq!(
        server.get(hash, &["labels"])["labels"],
        json!(["tv-imported"])
    );
    arr.must(
        "torrent-remove",
        json!({ "ids": [hash], "delete-local-data": true }),
    );
    assert!(arr.item("tv").is_none());
    wait_for("the data has gone", DEADLINE, || {
        fs::metadata(&path).is_err().then_some(())
    });

    let mut concluded = item;
    for volatile in [
        "id",
        "secondsDownloading",
        "secondsSeeding",
        "",
        "labels",
        "fileCount",
        "downloadDir",
        "downloadedEver",
        "uploadedEver",
    ] {
        concluded.as_object_mut().map(|o| o.remove(volatile));
    }
    concluded
}
