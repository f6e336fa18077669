use std::time::Duration;

use serde_json::{Value, json};

use super::super::fake::{Asked, Fake, settings, torrent};
use super::{get, options};
use crate::daemon::{Change, Limit, Noted, Priority, Summary};
use crate::limits::Rate;

/// What `torrent-set` with these arguments asks of the daemon.
async fn set(torrent: Summary, arguments: Value) -> Result<Option<Change>, String> {
    let fake = Fake::new(vec![torrent], settings());
    let request = json!({"method": "torrent-set", "arguments": arguments});
    let answer = fake.call(request).await;
    let mut asked = fake.asked();
    match answer["result"].as_str() {
        Some("success") => {
            assert!(asked.len() <= 1, "{asked:?}");
            Ok(asked.pop().map(|asked| match asked {
                Asked::Change(_, change) => change,
                other => panic!("{other:?}"),
            }))
        }
        result => {
            assert_eq!(asked, [], "nothing is changed");
            Err(result.unwrap_or_default().to_owned())
        }
    }
}

#[tokio::test]
async fn rates_have_a_value_and_a_switch() {
    let kb = |kb: u64| Some(Some(Rate::new(kb * 1000)));
    let change = set(torrent(1), json!({"downloadLimit": 500}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.download, Some(None), "it is off");
    assert_eq!(change.noted.unwrap().download, Some(500_000));
    let noted = options(|o| o.noted.download = Some(500_000));
    assert_eq!(
        get(noted.clone(), &["downloadLimit", "downloadLimited"]).await,
        json!({"downloadLimit": 500, "downloadLimited": false})
    );
    let change = set(noted, json!({"downloadLimited": true}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.download, kb(500));
    let on = options(|o| o.rates.up = Some(Rate::new(40_000)));
    let change = set(on.clone(), json!({"uploadLimit": 50}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.upload, kb(50));
    let change = set(
        on,
        json!({"uploadLimited": false, "honorsSessionLimits": 0}),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(
        (change.upload, change.session_rates),
        (Some(None), Some(false))
    );
    assert_eq!(change.noted.unwrap().upload, Some(40_000));
    set(torrent(1), json!({"downloadLimit": 1.5}))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn ends_of_seeding_have_a_value_and_a_mode() {
    let change = set(
        torrent(1),
        json!({"seedRatioLimit": 1.5, "seedRatioMode": 1, "seedIdleLimit": 5, "seedIdleMode": 1}),
    );
    let change = change.await.unwrap().unwrap();
    assert_eq!(change.seed_ratio, Some(Limit::Own(1.5)));
    assert_eq!(change.seed_idle, Some(Limit::Own(Duration::from_secs(300))));
    let noted = change.noted.unwrap();
    let off = options(|o| o.noted = noted);
    let shown = get(
        off.clone(),
        &[
            "seedRatioLimit",
            "seedRatioMode",
            "seedIdleLimit",
            "seedIdleMode",
        ],
    )
    .await;
    assert_eq!(
        shown,
        json!({"seedRatioLimit": 1.5, "seedRatioMode": 0, "seedIdleLimit": 5, "seedIdleMode": 0})
    );
    let change = set(off.clone(), json!({"seedRatioMode": 1}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.seed_ratio, Some(Limit::Own(1.5)));
    let change = set(off, json!({"seedRatioMode": 2, "seedIdleMode": 0}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.seed_ratio, Some(Limit::Unlimited));
    assert_eq!(change.seed_idle, Some(Limit::Session));
    // as Sonarr says it: no time is no change
    assert_eq!(set(torrent(1), json!({"seedIdleLimit": 0})).await, Ok(None));
    for wrong in [
        json!({"seedRatioMode": 3}),
        json!({"seedRatioLimit": -1}),
        json!({"seedIdleLimit": "x"}),
    ] {
        set(torrent(1), wrong).await.unwrap_err();
    }
}

#[tokio::test]
async fn files_are_wanted_or_not_and_keep_their_priority_either_way() {
    use Priority::{High, Low, Normal, Skip};
    let files = async |torrent, arguments| {
        let change: Option<Change> = set(torrent, arguments).await.unwrap();
        let change = change.unwrap_or_default();
        (change.files, change.noted.map(|noted| noted.files))
    };
    let asked = json!({"files-unwanted": [0, 1], "priority-high": [0, 2]});
    let (changed, noted) = files(torrent(1), asked).await;
    assert_eq!(changed, [(0, Skip), (1, Skip), (2, High)]);
    assert_eq!(noted, Some([(0, High)].into()));
    let selected = options(|o| {
        o.files = vec![Skip, Skip, High];
        o.noted.files.insert(0, High);
    });
    // an empty list is of all
    let (changed, noted) = files(selected.clone(), json!({"files-wanted": []})).await;
    assert_eq!(changed, [(0, High), (1, Normal), (2, High)]);
    assert_eq!(noted, Some([].into()));
    let (changed, noted) = files(selected.clone(), json!({"priority-low": [1]})).await;
    assert_eq!(
        (changed, noted),
        (vec![(1, Skip)], Some([(0, High), (1, Low)].into()))
    );
    let both = json!({"files-wanted": [0], "files-unwanted": [0], "priority-high": [0], "priority-normal": [0]});
    assert_eq!(
        files(torrent(1), both).await.0,
        [(0, Normal)],
        "the last counts"
    );
    for wrong in [
        json!({"files-wanted": [3]}),
        json!({"priority-low": [-1]}),
        json!({"files-wanted": ["0"]}),
    ] {
        set(selected.clone(), wrong).await.unwrap_err();
    }
}

#[tokio::test]
async fn labels_and_numbers_are_set_as_in_transmission() {
    let change = set(
        torrent(1),
        json!({"labels": [" a ", "b"], "peer-limit": 7, "queuePosition": -3, "bandwidthPriority": 1}),
    );
    let change = change.await.unwrap().unwrap();
    let noted = Noted {
        bandwidth_priority: 1,
        ..Noted::default()
    };
    let expected = Change {
        labels: Some(vec!["a".to_owned(), "b".to_owned()]),
        max_peers: Some(7),
        queue_position: Some(0),
        noted: Some(noted),
        ..Change::default()
    };
    assert_eq!(change, expected);
    let refused = async |arguments| set(torrent(1), arguments).await.unwrap_err();
    assert_eq!(
        refused(json!({"labels": ["a", "a"]})).await,
        "labels cannot contain duplicates"
    );
    assert_eq!(
        refused(json!({"labels": [""]})).await,
        "labels cannot be empty"
    );
    assert_eq!(
        refused(json!({"labels": ["a,b"]})).await,
        "labels cannot contain comma (,) character"
    );
    refused(json!({"labels": "a"})).await;
    refused(json!({"bandwidthPriority": 2})).await;
    refused(json!({"group": "x"})).await;
    refused(json!({"peer-limit": -1})).await;
    let many: Vec<String> = (0..65).map(|i| i.to_string()).collect();
    refused(json!({"labels": many})).await;
}

#[tokio::test]
async fn trackers_are_added_removed_and_replaced_by_their_place() {
    let trackers = async |arguments| {
        let change = set(torrent(1), arguments).await?;
        Ok::<_, String>(change.unwrap_or_default().trackers.unwrap_or_default())
    };
    let (a, b, c) = (
        "http://a.example.org/announce",
        "http://b.example.org:81/x/announce.php?key=1",
        "udp://127.0.0.1:9",
    );
    let new = "https://new.example/announce";
    assert_eq!(
        trackers(json!({"trackerAdd": [new]})).await.unwrap(),
        [vec![a, b], vec![c], vec![new]]
    );
    assert_eq!(
        trackers(json!({"trackerRemove": [2]})).await.unwrap(),
        [vec![a, b]]
    );
    assert_eq!(
        trackers(json!({"trackerRemove": [0, 1]})).await.unwrap(),
        [vec![c]]
    );
    assert_eq!(
        trackers(json!({"trackerReplace": [1, new]})).await.unwrap(),
        [vec![a, new], vec![c]]
    );
    assert_eq!(
        trackers(json!({"trackerReplace": [[1, new]]}))
            .await
            .unwrap(),
        [vec![a, new], vec![c]]
    );
    assert_eq!(
        trackers(json!({"trackerReplace": [1, b]})).await.unwrap(),
        [vec![a, b], vec![c]],
        "itself"
    );
    let list = format!("{new}\n{a}\n\n\n {c}\n");
    assert_eq!(
        trackers(json!({"trackerList": list})).await.unwrap(),
        [vec![new, a], vec![c]]
    );
    for wrong in [
        json!({"trackerAdd": [a]}),
        json!({"trackerAdd": [""]}),
        json!({"trackerReplace": [0, b]}),
        json!({"trackerReplace": [0, new, 2, new]}),
        json!({"trackerRemove": [3]}),
        json!({"trackerRemove": ["x"]}),
        json!({"trackerReplace": [77, new]}),
        json!({"trackerReplace": [1]}),
        json!({"trackerReplace": [[1, new], 5]}),
        json!({"trackerReplace": []}),
        json!({"trackerList": format!("{a}\n{a}")}),
        json!({"trackerList": 5}),
    ] {
        let error = trackers(wrong.clone()).await.unwrap_err();
        assert!(error.contains("tracker"), "{wrong}: {error}");
    }
    let many: Vec<String> = (0..65).map(|i| format!("udp://127.0.0.1:{i}")).collect();
    trackers(json!({"trackerList": many.join("\n")}))
        .await
        .unwrap_err();
}
