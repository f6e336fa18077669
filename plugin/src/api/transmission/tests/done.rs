use serde_json::{Value, json};

use super::super::fake::{Asked, Fake, hash, settings, torrent};
use crate::daemon::{Change, NewSource, Noted, Priority, QueueMove};

#[tokio::test]
async fn what_is_done_with_torrents_is_asked_of_the_daemon() {
    let fake = Fake::new(vec![torrent(1), torrent(2)], settings());
    let (one, two) = (hash(1), hash(2));
    let dir = "/srv/new".into();
    let cases = [
        (
            "torrent-start",
            json!({"ids": 1}),
            vec![Asked::Start(one, false)],
        ),
        (
            "torrent-start-now",
            json!({"ids": [2]}),
            vec![Asked::Start(two, true)],
        ),
        (
            "torrent-stop",
            json!({}),
            vec![Asked::Pause(one), Asked::Pause(two)],
        ),
        ("torrent-stop", json!({"ids": [99]}), vec![]),
        (
            "torrent-verify",
            json!({"ids": one}),
            vec![Asked::Verify(one)],
        ),
        (
            "torrent-reannounce",
            json!({"ids": [1]}),
            vec![Asked::Reannounce(one)],
        ),
        (
            "torrent-remove",
            json!({"ids": [1]}),
            vec![Asked::Remove(one, false)],
        ),
        (
            "torrent-remove",
            json!({"ids": [1], "delete-local-data": true}),
            vec![Asked::Remove(one, true)],
        ),
        (
            "torrent-remove",
            json!({"id": 2, "delete-local-data": true}),
            vec![Asked::Remove(two, true)],
        ),
        (
            "torrent-remove",
            json!({"id": one, "delete-local-data": true}),
            vec![Asked::Remove(one, true)],
        ),
        ("torrent-remove", json!({"id": 99}), vec![]),
        ("torrent-remove", json!({"id": null}), vec![]),
        ("torrent-remove", json!({"ids": [], "id": 1}), vec![]),
        (
            "torrent-remove",
            json!({}),
            vec![Asked::Remove(one, false), Asked::Remove(two, false)],
        ),
        (
            "torrent-set-location",
            json!({"ids": [1], "location": "/srv/new", "move": true}),
            vec![Asked::Relocate(one, dir, true)],
        ),
        (
            "torrent-set",
            json!({"ids": [1], "location": "/srv/x"}),
            vec![Asked::Relocate(one, "/srv/x".into(), false)],
        ),
        ("torrent-set", json!({"ids": [1]}), vec![]),
        (
            "queue-move-top",
            json!({"ids": [2, 1]}),
            vec![Asked::Queue(vec![two, one], QueueMove::Top)],
        ),
        (
            "queue-move-up",
            json!({"ids": 1}),
            vec![Asked::Queue(vec![one], QueueMove::Up)],
        ),
        (
            "queue-move-down",
            json!({"ids": 1}),
            vec![Asked::Queue(vec![one], QueueMove::Down)],
        ),
        (
            "queue-move-bottom",
            json!({"ids": 1}),
            vec![Asked::Queue(vec![one], QueueMove::Bottom)],
        ),
        ("queue-move-bottom", json!({"ids": []}), vec![]),
        ("blocklist-update", json!({}), vec![Asked::UpdateBlocklist]),
    ];
    for (method, arguments, asked) in cases {
        let answer = fake
            .call(json!({"method": method, "arguments": arguments}))
            .await;
        assert_eq!(answer["result"], "success", "{method} {arguments}");
        assert_eq!(fake.asked(), asked, "{method} {arguments}");
    }
    fake.call(json!({"method": "session-close"})).await;
    while fake.asked() != [Asked::Shutdown] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_nothing_is_done() {
    let fake = Fake::new(vec![torrent(1), torrent(2)], settings());
    let cases = [
        ("nope", json!({}), "method name not recognized"),
        ("torrent-get", json!({}), "no fields specified"),
        (
            "torrent-get",
            json!({"fields": "id"}),
            "no fields specified",
        ),
        (
            "torrent-remove",
            json!({"ids": 1, "delete-local-data": "perhaps"}),
            "`delete-local-data` must be true or false",
        ),
        (
            "torrent-remove",
            json!({"id": [1], "delete-local-data": true}),
            "`id` must be a number or an infohash",
        ),
        (
            "torrent-remove",
            json!({"id": "all"}),
            "`id` must be a number or an infohash",
        ),
        ("torrent-set-location", json!({"ids": 1}), "no location"),
        (
            "torrent-set-location",
            json!({"ids": 1, "location": "x"}),
            "new location path is not absolute",
        ),
        (
            "torrent-set-location",
            json!({"ids": 1, "location": 5}),
            "`location` must be text",
        ),
        (
            "torrent-rename-path",
            json!({"path": "demo", "name": "x"}),
            "torrent-rename-path requires 1 torrent",
        ),
        (
            "torrent-rename-path",
            json!({"ids": 1, "path": "demo", "name": "x"}),
            "are not supported",
        ),
        (
            "torrent-add",
            json!({}),
            "no filename or metainfo specified",
        ),
        (
            "torrent-add",
            json!({"filename": ""}),
            "invalid or corrupt torrent file",
        ),
        (
            "torrent-add",
            json!({"filename": "relative.torrent"}),
            "invalid or corrupt torrent file",
        ),
        (
            "torrent-add",
            json!({"metainfo": "!!"}),
            "invalid or corrupt torrent file",
        ),
        (
            "torrent-add",
            json!({"metainfo": ""}),
            "invalid or corrupt torrent file",
        ),
        (
            "torrent-add",
            json!({"metainfo": 5}),
            "`metainfo` must be text",
        ),
        (
            "torrent-add",
            json!({"filename": "/x", "download-dir": "rel"}),
            "download directory path is not absolute",
        ),
        (
            "torrent-add",
            json!({"filename": "/x", "files-wanted": [99_999_999]}),
            "file index out of range",
        ),
        (
            "free-space",
            json!({}),
            "directory path argument is missing",
        ),
        (
            "free-space",
            json!({"path": "x"}),
            "directory path is not absolute",
        ),
        (
            "group-set",
            json!({"name": "x"}),
            "bandwidth groups are not supported",
        ),
        ("port-test", json!({}), "is not known"),
        (
            "session-set",
            json!({"download-dir": "rel"}),
            "download directory path is not absolute",
        ),
        (
            "session-set",
            json!({"speed-limit-down": "x"}),
            "`speed-limit-down` must be an integer, 0 or more",
        ),
        (
            "session-set",
            json!({"speed-limit-down": -5}),
            "`speed-limit-down` must be an integer, 0 or more",
        ),
        (
            "session-set",
            json!({"alt-speed-time-begin": 1440}),
            "below 1440",
        ),
        (
            "session-set",
            json!({"alt-speed-time-day": 128}),
            "64 for Saturday",
        ),
        (
            "session-set",
            json!({"pex-enabled": false, "speed-limit-up": 5}),
            "`pex-enabled` cannot be changed",
        ),
        (
            "session-set",
            json!({"peer-port": 1}),
            "`peer-port` cannot be changed",
        ),
        (
            "session-set",
            json!({"encryption": "required"}),
            "`encryption` cannot be changed",
        ),
    ];
    for (method, arguments, says) in cases {
        let answer = fake
            .call(json!({"method": method, "arguments": arguments}))
            .await;
        let result = answer["result"].as_str().unwrap();
        assert!(result.contains(says), "{method} {arguments}: {result}");
        assert_eq!(fake.asked(), [], "{method} {arguments}");
    }
    for broken in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        b"{\"method\":5}",
        b"{\"method\":\"session-stats\"} x",
    ] {
        let answer = fake.raw(broken).await;
        assert_ne!(answer["result"], "success", "{answer}");
        assert_eq!(answer["arguments"], json!({}), "{answer}");
    }
    // one of two is refused: the other is done, the refusal told
    let request =
        json!({"method": "torrent-set-location", "arguments": {"location": "/outside/x"}});
    let answer = fake.call(request).await;
    assert!(
        answer["result"]
            .as_str()
            .unwrap()
            .starts_with("/outside/x: outside"),
        "{answer}"
    );
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_tag_comes_back_when_it_is_an_integer() {
    let fake = Fake::new(vec![], settings());
    for (tag, back) in [
        (json!(7), true),
        (json!(-3), true),
        (json!("x"), false),
        (json!(1.5), false),
    ] {
        let answer = fake.call(json!({"method": "nope", "tag": tag})).await;
        assert_eq!(answer.get("tag"), back.then_some(&tag));
    }
}

#[tokio::test]
async fn a_torrent_is_added_from_a_link_a_url_a_path_or_its_bytes() {
    let fake = Fake::new(vec![], settings());
    let add = async |arguments: Value| {
        let answer = fake
            .call(json!({"method": "torrent-add", "arguments": arguments}))
            .await;
        assert_eq!(answer["result"], "success");
        match fake.asked().pop() {
            Some(Asked::Add(new)) => (new, answer),
            other => panic!("{other:?}"),
        }
    };
    let magnet = format!("Magnet:?xt=urn:btih:{}", hash(3));
    let (new, answer) = add(json!({"filename": magnet})).await;
    assert_eq!(
        (new.source, new.start, new.dir),
        (NewSource::Magnet(magnet), None, None)
    );
    let added = json!({"hashString": hash(9), "id": 9, "name": "nine"});
    assert_eq!(answer["arguments"], json!({"torrent-added": added}));
    let (_, answer) = add(json!({"filename": "/x", "download-dir": "/again"})).await;
    assert_eq!(answer["arguments"], json!({"torrent-duplicate": added}));
    let (new, _) = add(json!({"filename": hash(3)})).await;
    assert_eq!(new.source, NewSource::Magnet(hash(3).to_string()));
    let (new, _) = add(json!({"filename": "https://a.example/t", "cookies": "a=1; b=2"})).await;
    let url = NewSource::Url {
        url: "https://a.example/t".to_owned(),
        cookies: Some("a=1; b=2".to_owned()),
    };
    assert_eq!(new.source, url);
    let everything = json!({
        "filename": "/srv/t.torrent", "download-dir": "/srv/films", "paused": true, "peer-limit": 9, "labels": ["films"],
        "bandwidthPriority": -1, "files-unwanted": [1, 2], "files-wanted": [], "priority-high": [0, 1], "priority-low": null,
    });
    let (new, _) = add(everything).await;
    assert_eq!(new.source, NewSource::File("/srv/t.torrent".into()));
    assert_eq!(
        (new.dir, new.start),
        (Some("/srv/films".into()), Some(false))
    );
    let noted = Noted {
        bandwidth_priority: -1,
        files: [(1, Priority::High)].into(),
        ..Noted::default()
    };
    let change = Change {
        labels: Some(vec!["films".to_owned()]),
        max_peers: Some(9),
        files: vec![
            (0, Priority::High),
            (1, Priority::Skip),
            (2, Priority::Skip),
        ],
        noted: Some(noted),
        ..Change::default()
    };
    assert_eq!(new.change, change);
    for coded in ["ZDg6", "ZD\ng6\n", "ZDg6MQ", "ZDg6MQ=="] {
        let (new, _) =
            add(json!({"metainfo": coded, "filename": "/ignored", "paused": false})).await;
        assert!(
            matches!(new.source, NewSource::Torrent(bytes) if bytes.starts_with(b"d8:")),
            "{coded}"
        );
        assert_eq!(new.start, Some(true));
    }
}
