//! The OpenAPI description is of the API that there is: its routes, and what they really answer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::common::{Api, HERE, MAGNET, Scripted, read_until};

/// Words of schemas that say nothing about what is checked here.
const IGNORED: [&str; 8] = [
    "description",
    "format",
    "minimum",
    "maximum",
    "default",
    "title",
    "pattern",
    "propertyNames",
];

/// What is wrong with `value`, if something is. Members of objects that the schema does not name are.
pub(crate) fn check(doc: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let words = schema.as_object().ok_or("a schema is an object")?;
    let wrong = |why: String| Err(format!("{why}: {value}"));
    let is_object = words.contains_key("properties") || words.contains_key("allOf");
    if is_object && value.is_object() {
        let mut parts = Parts::default();
        parts.collect(doc, schema);
        let members = value.as_object().ok_or("an object")?;
        if let Some(name) = parts.required.iter().find(|n| !members.contains_key(**n)) {
            return wrong(format!("`{name}` is missing"));
        }
        for (name, member) in members {
            let Some(schema) = parts.properties.get(name.as_str()) else {
                return wrong(format!("`{name}` is not described"));
            };
            check(doc, schema, member).map_err(|e| format!("{name}: {e}"))?;
        }
        return Ok(());
    }
    for (word, says) in words {
        match word.as_str() {
            "$ref" => check(doc, resolve(doc, says), value)?,
            "type" => {
                let types: Vec<_> = match says {
                    Value::Array(types) => types.iter().collect(),
                    one => vec![one],
                };
                if !types.iter().any(|t| is_of(t, value)) {
                    return wrong(format!("not {says}"));
                }
            }
            "enum" => {
                if !says.as_array().is_some_and(|all| all.contains(value)) {
                    return wrong(format!("not one of {says}"));
                }
            }
            "oneOf" => {
                let all = says.as_array().ok_or("a list")?;
                let fit = all.iter().filter(|s| check(doc, s, value).is_ok()).count();
                if fit != 1 {
                    return wrong(format!("fits {fit} of {says}"));
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(doc, says, item)?;
                }
            }
            "additionalProperties" if says.is_object() => {
                for member in value.as_object().into_iter().flat_map(|o| o.values()) {
                    check(doc, says, member)?;
                }
            }
            // looked at above where there is an object
            "properties" | "required" | "allOf" | "additionalProperties" => {}
            word if IGNORED.contains(&word) => {}
            word => return Err(format!("this test does not know `{word}`")),
        }
    }
    Ok(())
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

fn resolve<'a>(doc: &'a Value, reference: &Value) -> &'a Value {
    let path = reference.as_str().and_then(|r| r.strip_prefix('#'));
    doc.pointer(path.expect("a place in the document"))
        .unwrap_or_else(|| panic!("{reference} is not there"))
}

/// The members of an object that is made of several schemas.
#[derive(Default)]
struct Parts<'a> {
    properties: BTreeMap<&'a str, &'a Value>,
    required: BTreeSet<&'a str>,
}

impl<'a> Parts<'a> {
    fn collect(&mut self, doc: &'a Value, schema: &'a Value) {
        if let Some(reference) = schema.get("$ref") {
            self.collect(doc, resolve(doc, reference));
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.collect(doc, part);
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        self.properties
            .extend(properties.map(|(n, s)| (n.as_str(), s)));
        let required = schema["required"].as_array().into_iter().flatten();
        self.required.extend(required.filter_map(Value::as_str));
    }
}

pub(crate) async fn description(api: &Api) -> Value {
    let answer = api.get("/api/v1/openapi.json").await;
    assert!(answer.head.contains("content-type: application/json"));
    answer.json()
}

#[tokio::test]
async fn every_route_and_method_is_described_and_nothing_else() {
    let api = Scripted::start().await;
    let doc = description(&api).await;
    assert_eq!(doc["openapi"], "3.1.0");
    for (path, methods) in doc["paths"].as_object().expect("paths") {
        let described: BTreeSet<_> = methods
            .as_object()
            .expect("methods")
            .keys()
            .cloned()
            .collect();
        let odd = api
            .call(
                &format!("PROPFIND {}", path.replace("{hash}", &HERE.to_string())),
                "",
            )
            .await;
        odd.is_refused(405);
        let allowed = odd.head.lines().find_map(|l| l.strip_prefix("allow: "));
        let allowed = allowed
            .expect("which are allowed")
            .split(',')
            .filter(|m| *m != "head");
        assert_eq!(described, allowed.map(str::to_owned).collect(), "{path}");
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let api = Scripted::start().await;
    let doc = description(&api).await;
    let mut left: BTreeSet<_> = doc["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    for (line, body) in [
        ("GET /torrents", json!(null)),
        ("POST /torrents", json!({ "magnet": "x" })),
        (
            "POST /torrents",
            json!({ "magnet": "x", "dir": "/data", "start": true, "options": { "labels": ["a"] } }),
        ),
        ("GET /torrents/{hash}", json!(null)),
        (
            "PATCH /torrents/{hash}",
            json!({ "download_limit": null, "seed_ratio": 1.5, "seed_idle_seconds": "session",
            "files": [{ "index": 0, "priority": "low" }], "trackers": [["http://t/"]], "peers": ["192.0.2.1:1"] }),
        ),
        ("DELETE /torrents/{hash}", json!(null)),
        ("POST /torrents/{hash}/start", json!({ "now": true })),
        ("POST /torrents/{hash}/start", json!(null)),
        ("POST /torrents/{hash}/pause", json!(null)),
        ("POST /torrents/{hash}/verify", json!(null)),
        ("POST /torrents/{hash}/reannounce", json!(null)),
        (
            "POST /torrents/{hash}/relocate",
            json!({ "dir": "/data/x" }),
        ),
        ("POST /torrents/{hash}/queue", json!({ "to": "bottom" })),
        ("GET /torrents/{hash}/files", json!(null)),
        ("GET /torrents/{hash}/peers", json!(null)),
        ("GET /torrents/{hash}/pieces", json!(null)),
        ("GET /torrents/{hash}/trackers", json!(null)),
        ("GET /torrents/{hash}/lookups", json!(null)),
        ("POST /torrents/{hash}/trace", json!(null)),
        ("GET /session", json!(null)),
        (
            "PATCH /session",
            json!({ "schedule": { "on": true, "upload_limit": null }, "blocklist_source": null }),
        ),
        ("GET /directory", json!(null)),
        ("GET /history", json!(null)),
        ("GET /openapi.json", json!(null)),
        ("POST /shutdown", json!(null)),
    ] {
        for which in [HERE.to_string(), MAGNET.to_string(), "0".repeat(40)] {
            let line = line.replace(" /", " /api/v1/");
            let (method, path) = line.split_once(' ').expect("two words");
            let method = method.to_lowercase();
            left.remove(&format!("{method} {path}"));
            let operation = &doc["paths"][path][&method];
            if !body.is_null() {
                let content = &operation["requestBody"]["content"]["application/json"]["schema"];
                check(&doc, content, &body).unwrap_or_else(|e| panic!("request of {line}: {e}"));
            }
            let text = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let answer = api.call(&line.replace("{hash}", &which), &text).await;
            let responses = &operation["responses"];
            let response = match answer.status {
                200..400 => &responses[answer.status.to_string()],
                400..500 => &responses["4XX"],
                _ => &responses["5XX"],
            };
            assert!(
                response.is_object(),
                "{line}: {} is not described",
                answer.status
            );
            let schema = &response["content"]["application/json"]["schema"];
            match schema.is_null() {
                true => assert_eq!(answer.body, "", "{line}"),
                false => {
                    check(&doc, schema, &answer.json()).unwrap_or_else(|e| panic!("{line}: {e}"))
                }
            }
        }
    }
    assert_eq!(
        left,
        BTreeSet::from(["get /api/v1/events".to_owned()]),
        "the stream has a test of its own"
    );
}

#[tokio::test]
async fn events_are_as_described() {
    use chunkcast_bittorrent::daemon::{Event, State};
    let api = Scripted::start().await;
    let doc = description(&api).await;
    let schema = &doc["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
        ["schema"];
    let mut stream = api.listen().await;
    let mut text = read_until(&mut stream, "\n\n").await;
    for event in [
        Event::Added(HERE),
        Event::Removed(HERE),
        Event::State(HERE, State::Checking),
        Event::Metadata(HERE),
        Event::Trouble(HERE, "why".to_owned()),
        Event::Complete(HERE),
    ] {
        api.script.events.send(event).expect("a listener");
    }
    let last = |text: &str| {
        text.split("event: complete")
            .nth(1)
            .map(|t| t.contains("\n\n"))
    };
    while last(&text) != Some(true) {
        text += &read_until(&mut stream, "\n").await;
    }
    let mut seen = BTreeSet::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(event) = line.strip_prefix("event: ") {
            name = event;
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).expect("JSON");
            let event = json!({ "event": name, "data": data });
            check(&doc, schema, &event).unwrap_or_else(|e| panic!("{name}: {e}"));
            seen.insert(name);
        }
    }
    let all = [
        "listing", "added", "removed", "state", "metadata", "trouble", "complete",
    ];
    assert_eq!(seen, BTreeSet::from(all));
}
