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
use tokio::task::{JoinHandle, spawn_blocking};
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

/// What is known of it.
#[derive(Default)]
pub(super) struct Health(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// What was found last.
    last: Option<(Instant, Found)>,
    /// A write that goes on, though who asked for it may have hung up: one at a time.
    writing: Option<JoinHandle<io::Result<()>>>,
}

/// What is wrong, if something is.
type Found = Result<(), &'static str>;

impl Health {
    /// What is wrong, if something is; asked by one at a time.
    pub(super) async fn look(&self, daemon: &Daemon) -> Found {
        let mut known = self.0.lock().await;
        if let Some((at, found)) = known.last
            && at.elapsed() < HOLDS
        {
            return found;
        }
        let found = known.find(daemon).await;
        known.last = Some((Instant::now(), found));
        found
    }
}

impl Known {
    async fn find(&mut self, daemon: &Daemon) -> Found {
        let facts = match timeout(PATIENCE, daemon.facts()).await {
            Ok(Ok(facts)) => facts,
            Ok(Err(_)) => return Err("the daemon is ending"),
            Err(_) => return Err("the daemon does not answer"),
        };
        let write = || spawn_blocking(move || write(&facts.state_dir));
        let writing = self.writing.get_or_insert_with(write);
        let Ok(written) = timeout(PATIENCE, writing).await else {
            return Err("the disk of the state directory does not answer");
        };
        self.writing = None;
        match written {
            Ok(Ok(())) => Ok(()),
            _ => Err("the state directory cannot be written to"),
        }
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

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Read;
    use std::pin::pin;
    use std::process::Command as Process;

    use super::*;
    use crate::daemon::{Command, Facts, channel};

    #[tokio::test]
    async fn a_probe_that_hangs_up_while_the_disk_hangs_has_the_next_wait_for_the_same_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let state_dir = dir.path().to_owned();
        let path = state_dir.join(".healthz");
        // who opens it to write hangs until somebody reads
        let made = Process::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let (daemon, mut inbox) = channel();
        tokio::spawn(async move {
            while let Some(Command::Facts(reply)) = inbox.commands.recv().await {
                let state_dir = state_dir.clone();
                let _ = reply.send(Ok(Facts {
                    state_dir,
                    ..Facts::default()
                }));
            }
        });
        let health = Health::default();
        for _ in 0..3 {
            let mut probe = pin!(health.look(&daemon));
            for _ in 0..8 {
                assert!(futures::poll!(probe.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
        }
        let mut disk = OpenOptions::new();
        let mut disk = disk.read(true).write(true).open(&path).expect("a pipe");
        // a pipe cannot be synced
        let found = health.look(&daemon).await;
        assert_eq!(found, Err("the state directory cannot be written to"));
        let mut written = [0; 1024];
        let n = disk.read(&mut written).expect("what was written");
        assert_eq!(written[..n].iter().filter(|b| **b == b'\n').count(), 1);
    }
}
