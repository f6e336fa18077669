use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::fake::{Fake, settings, torrent};
use crate::daemon::Priority;

/// JSON that is near to what clients send: names and values of the protocol, mixed.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "id",
            "files",
            "peers",
            "wanted",
            "trackerStats",
            "eta",
            "table",
            "recently-active",
            "/srv",
            "magnet:?xt=",
            "http://127.0.0.1:9/announce",
            "required",
            "true",
            "1.5",
            "0101010101010101010101010101010101010101",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z-]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn requests() -> impl Strategy<Value = Value> {
    let methods = "torrent-get torrent-set torrent-add torrent-remove torrent-set-location torrent-rename-path torrent-stop \
        session-get session-set session-stats free-space queue-move-up group-get port-test nope";
    let methods: Vec<&str> = methods.split_whitespace().collect();
    let names = "ids fields format labels peer-limit queuePosition bandwidthPriority downloadLimit downloadLimited \
        seedRatioLimit seedRatioMode seedIdleLimit seedIdleMode files-wanted files-unwanted priority-high priority-low \
        priority-normal trackerAdd trackerRemove trackerReplace trackerList location move filename metainfo download-dir \
        paused cookies delete-local-data path name speed-limit-up alt-speed-time-begin alt-speed-time-day encryption \
        peer-port seed-queue-size blocklist-url group";
    let names: Vec<&str> = names.split_whitespace().collect();
    let arguments = prop::collection::btree_map(prop::sample::select(names), values(), 0..6);
    (prop::sample::select(methods), arguments, values()).prop_map(
        |(method, arguments, tag)| json!({"method": method, "arguments": arguments, "tag": tag}),
    )
}

proptest! {
    #[test]
    fn every_request_is_answered_with_a_result(
        request in prop_oneof![requests(), values()],
        cut in prop::option::weighted(0.1, 0..200_usize),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut selected = torrent(2);
            Arc::make_mut(&mut selected.options).files = vec![Priority::Skip; 2];
            let fake = Fake::new(vec![torrent(1), selected], settings());
            let bytes = request.to_string();
            let bytes = &bytes.as_bytes()[..cut.unwrap_or(bytes.len()).min(bytes.len())];
            let answer = fake.raw(bytes).await;
            assert!(answer["result"].is_string() && answer["arguments"].is_object(), "{answer}");
        });
    }
}
