//! Which method a request is for, and what it is answered.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::actions::{self, Action};
use super::arguments::Arguments;
use super::error::{NO_METHOD, NO_PATH, PATH_NOT_ABSOLUTE, RpcError, UNKNOWN_METHOD};
use super::{json, session_get, session_set, torrent_add, torrent_get};
use crate::daemon::{Daemon, DaemonError, QueueMove};

/// The answer to a request, whatever the request is: JSON with a `result`. `session_id` is told to who asks for it.
pub async fn answer(daemon: &Daemon, request: &[u8], session_id: &str) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let read = json::read(request);
    let tag = read.as_ref().ok().and_then(|request| {
        let tag = request.get("tag")?;
        (tag.is_i64() || tag.is_u64()).then(|| tag.clone())
    });
    let outcome = match read {
        Ok(request) => call(daemon, &request, session_id, now).await,
        Err(e) => Err(Failure::from(RpcError::from(e))),
    };
    let (result, arguments) = match outcome {
        Ok(arguments) => ("success".to_owned(), arguments),
        Err(failure) => (failure.why.to_string(), failure.arguments),
    };
    let arguments = match arguments {
        Value::Null => json!({}),
        arguments => arguments,
    };
    // `json!` would copy what may be all of thousands of torrents
    let mut answer = Map::new();
    answer.insert("arguments".to_owned(), arguments);
    answer.insert("result".to_owned(), result.into());
    if let Some(tag) = tag {
        answer.insert("tag".to_owned(), tag);
    }
    Value::from(answer).to_string().into_bytes()
}

/// No success, and what is told beside that.
struct Failure {
    why: RpcError,
    arguments: Value,
}

impl<E: Into<RpcError>> From<E> for Failure {
    fn from(why: E) -> Self {
        Self {
            why: why.into(),
            arguments: Value::Null,
        }
    }
}

async fn call(
    daemon: &Daemon,
    request: &Value,
    session_id: &str,
    now: u64,
) -> Result<Value, Failure> {
    let method = request.get("method").and_then(Value::as_str);
    let with = Arguments::of(request);
    let act = async |action| actions::act(daemon, with, now, action).await;
    let queue = async |to| actions::queue(daemon, with, now, to).await;
    let answer = match method.ok_or(NO_METHOD)? {
        "torrent-start" => act(Action::Start { now: false }).await,
        "torrent-start-now" => act(Action::Start { now: true }).await,
        "torrent-stop" => act(Action::Stop).await,
        "torrent-verify" => act(Action::Verify).await,
        "torrent-reannounce" => act(Action::Reannounce).await,
        "torrent-remove" => actions::remove(daemon, with, now).await,
        "torrent-set" => actions::set(daemon, with, now).await,
        "torrent-set-location" => actions::relocate(daemon, with, now).await,
        "torrent-rename-path" => actions::rename(daemon, with, now),
        "torrent-get" => {
            let found = torrent_get::answer(daemon, with, now).await;
            return found.map_err(|why| Failure {
                why,
                arguments: json!({ "torrents": [] }),
            });
        }
        "torrent-add" => torrent_add::answer(daemon, with).await,
        "queue-move-top" => queue(QueueMove::Top).await,
        "queue-move-up" => queue(QueueMove::Up).await,
        "queue-move-down" => queue(QueueMove::Down).await,
        "queue-move-bottom" => queue(QueueMove::Bottom).await,
        "session-get" => session_get::get(daemon, with, session_id).await,
        "session-set" => session_set::set(daemon, with).await,
        "session-stats" => Ok(session_get::stats(daemon)),
        "session-close" => Ok(close(daemon)),
        "blocklist-update" => {
            let ranges = daemon.update_blocklist().await?;
            Ok(json!({ "blocklist-size": ranges }))
        }
        "port-test" => port_test(daemon).await,
        "free-space" => return free_space(daemon, with).await,
        "group-get" => Ok(json!({ "group": [] })),
        "group-set" => Err(RpcError::Unsupported("bandwidth groups")),
        _ => Err(UNKNOWN_METHOD),
    };
    Ok(answer?)
}

/// `session-close`: the answer does not wait for the end.
fn close(daemon: &Daemon) -> Value {
    let daemon = daemon.clone();
    tokio::spawn(async move { daemon.shutdown().await });
    Value::Null
}

/// `port-test`.
async fn port_test(daemon: &Daemon) -> Result<Value, RpcError> {
    let open = daemon.port_test().await?;
    let nobody =
        "no index node has tried to connect to the port for peers: whether it is open is not known";
    let open = open.ok_or(RpcError::Said(nobody))?;
    Ok(json!({ "port-is-open": open }))
}

/// `free-space`.
async fn free_space(daemon: &Daemon, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let path = arguments.path("path", PATH_NOT_ABSOLUTE)?.ok_or(NO_PATH)?;
    match daemon.free_space(path.clone()).await {
        Ok(space) => Ok(json!({
            "path": path.to_string_lossy(),
            "size-bytes": space.free,
            "total_size": space.total,
        })),
        Err(e @ (DaemonError::Disk(_) | DaemonError::Outside(_))) => Err(Failure {
            why: e.into(),
            arguments: json!({ "path": path.to_string_lossy(), "size-bytes": -1 }),
        }),
        Err(e) => Err(e.into()),
    }
}
