//! `/healthz`: whether the daemon answers and its state can be kept.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::ApiState;
use crate::daemon::Daemon;

/// How long what was found holds: who asks more often costs no more.
const HOLDS: Duration = Duration::from_secs(2); // guess: the usual probe asks every ten
/// Time for the daemon to answer, and for the disk to take a write.
const PATIENCE: Duration = Duration::from_secs(5); // guess: less than probes wait

/// Its routes.
pub(super) fn routes() -> Router<ApiState> {
    Router::new().route("/healthz", get(healthz))
}

async fn healthz(State(state): State<ApiState>) -> Response {
    match state.shared.health.look(&state.daemon).await {
        Ok(()) => Json(json!({ "status": "ok" })).into_response(),
        Err(why) => {
            let line = json!({ "status": "failing", "error": why });
            (StatusCode::SERVICE_UNAVAILABLE, Json(line)).into_response()
        }
    }
}

/// What was found last.
#[derive(Default)]
pub(super) struct Health {
    last: Mutex<Option<(Instant, Result<(), &'static str>)>>,
}

impl Health {
    /// What is wrong, if something is; asked by one at a time.
    pub(super) async fn look(&self, daemon: &Daemon) -> Result<(), &'static str> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = *last
            && at.elapsed() < HOLDS
        {
            return found;
        }
        let found = find(daemon).await;
        *last = Some((Instant::now(), found));
        found
    }
}

async fn find(daemon: &Daemon) -> Result<(), &'static str> {
    let facts = match timeout(PATIENCE, daemon.facts()).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(_)) => return Err("the daemon is ending"),
        Err(_) => return Err("the daemon does not answer"),
    };
    let written = tokio::task::spawn_blocking(move || write(&facts.state_dir));
    match timeout(PATIENCE, written).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(_) => Err("the state directory cannot be written to"),
        Err(_) => Err("the disk of the state directory does not answer"),
    }
}

fn write(dir: &Path) -> io::Result<()> {
    let path = dir.join(".healthz");
    let mut file = fs::File::create(&path)?;
    file.write_all(b"the API tries here whether the disk takes a write\n")?;
    file.sync_all()?;
    drop(file);
    fs::remove_file(path)
}
