use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::fake::{Fake, THEN, hash, settings, torrent};
use super::super::fields::FIELDS;
use super::{get, get_with, options, with};
use crate::daemon::{Limit, Priority, Settings, State, Summary, Trouble};

#[tokio::test]
async fn a_torrent_is_shown_as_transmission_shows_it() {
    let names: Vec<&str> = FIELDS.iter().map(|f| f.name).collect();
    let mut shown = get(torrent(1), &names).await;
    let stats = shown["trackerStats"].take();
    let trackers = shown["trackers"].take();
    let first = json!({
        "activityDate": THEN + 100, "addedDate": THEN, "availability": shown["availability"].clone(),
        "bandwidthPriority": 0, "comment": "hello", "corruptEver": 16_384, "creator": "somebody",
        "dateCreated": THEN - 50, "desiredAvailable": 3_200_001 - 131_072, "doneDate": 0, "downloadDir": "/srv/dl",
        "downloadLimit": 100, "downloadLimited": false, "downloadedEver": 140_000, "editDate": THEN + 2, "error": 0,
        "errorString": "", "eta": 3068, "etaIdle": -1, "file-count": 3,
        "fileStats": [
            {"bytesCompleted": 131_072, "priority": 0, "wanted": true},
            {"bytesCompleted": 0, "priority": 0, "wanted": true},
            {"bytesCompleted": 0, "priority": 0, "wanted": true},
        ],
        "files": [
            {"bytesCompleted": 131_072, "length": 700_000, "name": "demo/a.mkv"},
            {"bytesCompleted": 0, "length": 2_500_000, "name": "demo/deep/b.bin"},
            {"bytesCompleted": 0, "length": 1, "name": "demo/z.bin"},
        ],
    });
    let second = json!({
        "group": "", "hashString": "01".repeat(20), "haveUnchecked": 0, "haveValid": 131_072,
        "honorsSessionLimits": true, "id": 1, "isFinished": false, "isPrivate": false, "isStalled": false,
        "labels": ["films"], "leftUntilDone": 3_200_001 - 131_072, "magnetLink": "magnet:?xt=urn:btih:0101",
        "manualAnnounceTime": -1, "maxConnectedPeers": 50, "metadataPercentComplete": 1, "name": "demo",
        "peer-limit": 50, "peers": [], "peersConnected": 5,
        "peersFrom": {
            "fromCache": 0, "fromDht": 3, "fromIncoming": 1, "fromLpd": 0, "fromLtep": 0, "fromPex": 0, "fromTracker": 1,
        },
        "peersGettingFromUs": 0, "peersSendingToUs": 1, "percentComplete": 0.0409, "percentDone": 0.0409,
    });
    let third = json!({
        "pieceCount": 49, "pieceSize": 65_536, "pieces": "wAAAAAAAAA==",
        "primary-mime-type": "application/octet-stream", "priorities": [0, 0, 0], "queuePosition": 0,
        "rateDownload": 1000, "rateUpload": 0, "recheckProgress": 0, "secondsDownloading": 99, "secondsSeeding": 0,
        "seedIdleLimit": 30, "seedIdleMode": 0, "seedRatioLimit": 2, "seedRatioMode": 0, "sizeWhenDone": 3_200_001,
        "startDate": THEN + 1, "status": 4, "torrentFile": "/var/lib/chunkcast/t.torrent", "totalSize": 3_200_001,
        "trackerList": "http://a.example.org/announce\nhttp://b.example.org:81/x/announce.php?key=1\n\nudp://127.0.0.1:9",
        "trackerStats": null, "trackers": null, "uploadLimit": 100, "uploadLimited": false, "uploadRatio": 0.25,
        "uploadedEver": 35_000, "wanted": [1, 1, 1], "webseeds": ["http://127.0.0.1/data/"], "webseedsSendingToUs": 1,
    });
    let merged = [first, second, third].map(|part| part.as_object().unwrap().clone());
    let expected: serde_json::Map<_, _> = merged.into_iter().flatten().collect();
    assert_eq!(shown, Value::Object(expected));
    let have = shown["availability"].as_array().map(Vec::as_slice);
    assert_eq!(
        have.map(|h| &h[..3]),
        Some(&[json!(-1), json!(-1), json!(0)][..])
    );
    assert_eq!(
        trackers[1],
        json!({
            "announce": "http://b.example.org:81/x/announce.php?key=1", "id": 1, "tier": 0, "sitename": "example",
            "scrape": "http://b.example.org:81/x/scrape.php?key=1",
        })
    );
    assert_eq!(trackers[2]["tier"], 1);
    assert_eq!(trackers[2]["scrape"], "udp://127.0.0.1:9");
    assert_eq!(stats[1]["host"], "http://b.example.org:81");
    assert_eq!(stats[1]["isBackup"], true);
    assert_eq!(stats[0]["seederCount"], -1);
}

#[tokio::test]
async fn what_a_tracker_said_is_shown_however_its_url_is_written() {
    let trackers = [
        "http://a.example/announce",
        "http://a.example:80/x",
        "HTTPS://B.Example:443/announce",
        "http://c.example",
    ];
    let announced = with(|t| {
        let tier = trackers.map(str::to_owned).to_vec();
        Arc::make_mut(&mut t.about).trackers = vec![tier];
    });
    let shown = get(announced, &["trackerStats"]).await;
    let stats = shown["trackerStats"].as_array().expect("a list");
    for (announce, stats) in trackers.iter().zip(stats) {
        assert_eq!(stats["announce"], *announce);
        assert_eq!(stats["hasAnnounced"], true, "{announce}");
        assert_eq!(stats["lastAnnounceTime"], THEN, "{announce}");
    }
    assert_eq!(stats[2]["host"], "https://b.example:443");
    assert_eq!(stats[3]["sitename"], "c");
}

#[tokio::test]
async fn states_and_troubles_have_transmissions_numbers() {
    let states = [
        (State::Paused, 0),
        (State::CheckQueued, 1),
        (State::Checking, 2),
        (State::DownloadQueued, 3),
        (State::Metadata, 4),
        (State::Downloading, 4),
        (State::SeedQueued, 5),
        (State::Seeding, 6),
    ];
    for (state, number) in states {
        let shown = get(with(|t| t.state = state), &["status"]).await;
        assert_eq!(shown["status"], number, "{state:?}");
    }
    for (tracker, number) in [(true, 2), (false, 3)] {
        let trouble = Trouble {
            stopped: !tracker,
            tracker,
            message: "no room".to_owned(),
        };
        let troubled = with(|t| t.trouble = Some(trouble));
        let shown = get(troubled, &["error", "errorString"]).await;
        assert_eq!(shown, json!({"error": number, "errorString": "no room"}));
    }
}

#[tokio::test]
async fn the_time_left_is_told_apart_from_none_and_from_not_known() {
    let eta = async |change: fn(&mut Summary), settings| {
        let shown = get_with(with(change), settings, &["eta", "etaIdle"]).await;
        (shown["eta"].as_i64(), shown["etaIdle"].as_i64())
    };
    let plain = settings();
    let limited = Settings {
        seed_ratio: Some(2.0),
        seed_idle: Some(Duration::from_secs(600)),
        ..settings()
    };
    assert_eq!(eta(|_| {}, plain.clone()).await.0, Some(3068));
    assert_eq!(eta(|t| t.eta = None, plain.clone()).await.0, Some(-2));
    let alone = eta(
        |t| {
            t.eta = None;
            (t.near, t.far, t.web_seeds) = (0, 0, 0);
        },
        plain.clone(),
    );
    assert_eq!(alone.await.0, Some(-1));
    assert_eq!(
        eta(|t| t.state = State::Paused, plain.clone()).await,
        (Some(-1), Some(-1))
    );
    let seeding = |t: &mut Summary| t.state = State::Seeding;
    assert_eq!(eta(seeding, plain.clone()).await, (Some(-1), Some(-1)));
    // twice the 3,200,001 bytes that are wanted less 35,000, at 1,000 bytes a second
    let sending = |t: &mut Summary| {
        t.state = State::Seeding;
        t.rate_up = 1000;
    };
    assert_eq!(eta(sending, limited.clone()).await, (Some(6365), Some(-1)));
    // nobody has wanted anything since long before now
    assert_eq!(eta(seeding, limited.clone()).await, (Some(-2), Some(0)));
    let own = |t: &mut Summary| {
        t.state = State::Seeding;
        Arc::make_mut(&mut t.options).seed_ratio = Limit::Unlimited;
        Arc::make_mut(&mut t.options).seed_idle = Limit::Unlimited;
    };
    assert_eq!(eta(own, limited).await, (Some(-1), Some(-1)));
}

#[tokio::test]
#[allow(
    clippy::approx_constant,
    reason = "two pieces of nearly three happen to be half of a root"
)]
async fn of_a_selection_what_is_left_is_counted_by_pieces() {
    let shown = [
        "sizeWhenDone",
        "leftUntilDone",
        "percentDone",
        "wanted",
        "priorities",
    ];
    let selected = options(|o| {
        o.files = vec![Priority::Skip, Priority::Skip, Priority::High];
        o.noted.files.insert(0, Priority::Low);
    });
    // the last piece is 54,273 bytes; the first two are there
    assert_eq!(
        get(selected, &shown).await,
        json!({
            "sizeWhenDone": 54_273 + 131_072, "leftUntilDone": 54_273, "percentDone": 0.7071,
            "wanted": [0, 0, 1], "priorities": [-1, 0, 1],
        })
    );
}

#[tokio::test]
async fn torrents_are_named_by_numbers_hashes_and_what_they_do() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let mut quiet = torrent(2);
    (quiet.rate_down, quiet.queue_position) = (0, 0);
    let mut busy = torrent(1);
    (busy.active, busy.queue_position) = (now, 1);
    let fake = Fake::new(vec![quiet, busy], settings());
    let ids = async |ids: Value| {
        let request = json!({"method": "torrent-get", "arguments": {"fields": ["id"], "ids": ids}});
        let answer = fake.call(request).await;
        let torrents = answer["arguments"]["torrents"].as_array().cloned();
        let found: Vec<_> = torrents
            .unwrap_or_default()
            .iter()
            .map(|t| t["id"].clone())
            .collect();
        (found, answer)
    };
    assert_eq!(ids(json!(2)).await.0, [2]);
    assert_eq!(ids(json!([2, 1, 2, 77, "x", hash(1)])).await.0, [2, 1]);
    assert_eq!(ids(json!(hash(2).to_string().to_uppercase())).await.0, [2]);
    assert_eq!(ids(json!([])).await.0, [0; 0]);
    assert_eq!(ids(Value::Null).await.0, [0; 0]);
    let (found, answer) = ids(json!("recently-active")).await;
    assert_eq!(
        (found, &answer["arguments"]["removed"]),
        (vec![json!(1)], &json!([41]))
    );
    for wrong in [json!({}), json!(true), json!([[1]]), json!([null])] {
        let (_, answer) = ids(wrong).await;
        assert!(
            answer["result"].as_str().unwrap().contains("`ids`"),
            "{answer}"
        );
    }
    let all = fake
        .call(json!({"method": "torrent-get", "arguments": {"fields": ["id"]}}))
        .await;
    assert_eq!(all["arguments"]["torrents"], json!([{"id": 1}, {"id": 2}]));
}

#[tokio::test]
async fn a_table_has_a_row_of_names_and_a_row_for_each_torrent() {
    let fake = Fake::new(vec![torrent(1), torrent(2)], settings());
    let fields = json!(["name", "nope", null, "id", "name"]);
    let request = |format| json!({"method": "torrent-get", "arguments": {"fields": fields, "format": format}, "tag": 7});
    let table = fake.call(request("table")).await;
    let rows = json!([["name", "id"], ["demo", 1], ["demo", 2]]);
    assert_eq!(
        table,
        json!({"arguments": {"torrents": rows}, "result": "success", "tag": 7})
    );
    let objects = fake.call(request("objects")).await;
    assert_eq!(
        objects["arguments"]["torrents"][0],
        json!({"name": "demo", "id": 1})
    );
}
