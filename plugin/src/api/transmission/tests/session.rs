use std::time::Duration;

use serde_json::{Value, json};

use super::super::fake::{Asked, Fake, settings, torrent};
use super::with;
use crate::daemon::{NotedSettings, ScheduleChange, Settings, SettingsChange, State};
use crate::limits::Rate;

#[tokio::test]
async fn the_session_is_shown_as_transmission_shows_it() {
    let fake = Fake::new(
        vec![torrent(1), with(|t| (t.id, t.state) = (2, State::Paused))],
        settings(),
    );
    let answer = fake.call(json!({"method": "session-get"})).await;
    let shown = answer["arguments"].as_object().unwrap();
    // the names that a stock daemon of rpc-version 16 answers, and those that came with 17
    let names = "alt-speed-down alt-speed-enabled alt-speed-time-begin alt-speed-time-day alt-speed-time-enabled \
        alt-speed-time-end alt-speed-up blocklist-enabled blocklist-size blocklist-url cache-size-mb config-dir \
        default-trackers dht-enabled download-dir download-dir-free-space download-queue-enabled download-queue-size \
        encryption idle-seeding-limit idle-seeding-limit-enabled incomplete-dir incomplete-dir-enabled lpd-enabled \
        peer-limit-global peer-limit-per-torrent peer-port peer-port-random-on-start pex-enabled port-forwarding-enabled \
        queue-stalled-enabled queue-stalled-minutes rename-partial-files rpc-version rpc-version-minimum \
        rpc-version-semver script-torrent-added-enabled script-torrent-added-filename script-torrent-done-enabled \
        script-torrent-done-filename script-torrent-done-seeding-enabled script-torrent-done-seeding-filename \
        seed-queue-enabled seed-queue-size seedRatioLimit seedRatioLimited session-id speed-limit-down \
        speed-limit-down-enabled speed-limit-up speed-limit-up-enabled start-added-torrents \
        trash-original-torrent-files units utp-enabled version";
    let names: Vec<&str> = names.split_whitespace().collect();
    assert_eq!(shown.keys().collect::<Vec<_>>(), names);
    assert_eq!(shown["session-id"], "the-id");
    assert_eq!(shown["download-queue-size"], 5);
    assert_eq!(shown["queue-stalled-minutes"], 30);
    assert_eq!(shown["download-dir-free-space"], 5);
    assert_eq!(shown["blocklist-size"], 12);
    assert_eq!(shown["peer-port"], 6881);
    assert_eq!(shown["lpd-enabled"], false);
    assert_eq!(shown["encryption"], "tolerated");
    let request = json!({"method": "session-get", "arguments": {"fields": ["version", "nope"]}});
    let version = fake.call(request).await["arguments"].take();
    assert_eq!(version.as_object().map(serde_json::Map::len), Some(1));
    assert!(
        version["version"]
            .as_str()
            .unwrap()
            .contains("(ChunkCast 0.")
    );
    let stats = fake.call(json!({"method": "session-stats"})).await;
    let stats = &stats["arguments"];
    assert_eq!(
        (
            &stats["torrentCount"],
            &stats["activeTorrentCount"],
            &stats["pausedTorrentCount"]
        ),
        (&json!(2), &json!(1), &json!(1))
    );
    let space = fake
        .call(json!({"method": "free-space", "arguments": {"path": "/srv"}}))
        .await;
    assert_eq!(
        space["arguments"],
        json!({"path": "/srv", "size-bytes": 5, "total_size": 7})
    );
    let space = fake
        .call(json!({"method": "free-space", "arguments": {"path": "/nope"}}))
        .await;
    assert_eq!(
        space["arguments"],
        json!({"path": "/nope", "size-bytes": -1})
    );
    assert_eq!(space["result"], "No such file or directory");
}

#[tokio::test]
async fn the_session_is_changed_in_one_piece() {
    let change = async |settings: Settings, arguments: Value| {
        let fake = Fake::new(vec![], settings);
        let answer = fake
            .call(json!({"method": "session-set", "arguments": arguments}))
            .await;
        assert_eq!(answer["result"], "success", "{arguments}");
        fake.asked().pop().map(|asked| match asked {
            Asked::Settings(change) => change,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(change(settings(), json!({})).await, None);
    // what only a start changes may be named with the value that it has
    let same = json!({"pex-enabled": true, "peer-port": 6881, "encryption": "tolerated", "rename-partial-files": false});
    assert_eq!(change(settings(), same).await, None);
    let off = json!({"speed-limit-down": 700, "seed-queue-size": 3, "idle-seeding-limit": 10, "seedRatioLimit": 1.5});
    let noted = NotedSettings {
        download: Some(700_000),
        active_seeds: Some(3),
        seed_idle: Some(Duration::from_secs(600)),
        seed_ratio: Some(1.5),
        ..NotedSettings::default()
    };
    let changed = change(settings(), off).await.unwrap();
    let expected = SettingsChange {
        download: Some(None),
        active_seeds: Some(None),
        seed_idle: Some(None),
        seed_ratio: Some(None),
        noted: Some(noted.clone()),
        ..SettingsChange::default()
    };
    assert_eq!(changed, expected);
    let noting = Settings {
        noted,
        ..settings()
    };
    let on = json!({
        "speed-limit-down-enabled": true, "seed-queue-enabled": true, "idle-seeding-limit-enabled": true,
        "seedRatioLimited": true, "download-queue-enabled": false, "queue-stalled-minutes": 5,
        "alt-speed-enabled": true, "alt-speed-up": 20, "alt-speed-time-begin": 60, "alt-speed-time-day": 62,
        "download-dir": "/srv/other", "start-added-torrents": false, "peer-limit-global": 300,
        "peer-limit-per-torrent": 60, "blocklist-enabled": true, "blocklist-url": "http://a.example/list",
    });
    let changed = change(noting, on).await.unwrap();
    assert_eq!(changed.download, Some(Some(Rate::new(700_000))));
    assert_eq!(changed.upload, None, "nobody names it");
    assert_eq!(changed.active_seeds, Some(Some(3)));
    assert_eq!(changed.seed_idle, Some(Some(Duration::from_secs(600))));
    assert_eq!(changed.seed_ratio, Some(Some(1.5)));
    assert_eq!(changed.active_downloads, Some(None));
    assert_eq!(changed.stalled_after, Some(Some(Duration::from_secs(300))));
    let schedule = ScheduleChange {
        on: Some(true),
        upload: Some(Some(Rate::new(20_000))),
        from: Some(60),
        days: Some(62),
        ..ScheduleChange::default()
    };
    assert_eq!(changed.schedule, schedule);
    assert_eq!(
        (changed.download_dir, changed.start_added),
        (Some("/srv/other".into()), Some(false))
    );
    assert_eq!(
        (changed.connections, changed.peers_per_torrent),
        (Some(300), Some(60))
    );
    assert_eq!(
        (changed.blocklist, changed.blocklist_source),
        (Some(true), Some(Some("http://a.example/list".to_owned())))
    );
    assert_eq!(changed.noted.unwrap().active_downloads, Some(5));
    let cleared = change(settings(), json!({"blocklist-url": ""}))
        .await
        .unwrap();
    assert_eq!(cleared.blocklist_source, Some(None));
}
