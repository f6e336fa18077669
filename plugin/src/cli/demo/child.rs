//! One process of the demo: this binary with other arguments, its JSON lines, and its end.

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use super::super::exit::{Code, Failure};

/// What a process says or does.
#[derive(Debug)]
pub(super) enum Line {
    /// A JSON line of its standard output.
    Event { slot: usize, event: Value },
    /// It ended.
    Ended { slot: usize, status: String },
}

/// A running process; it is asked to end by closing its standard input, and killed if this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    stdin: Option<ChildStdin>,
    ended: Option<oneshot::Receiver<std::io::Result<ExitStatus>>>,
}

impl Child {
    /// Starts this binary with `argv` and the flags that make it speak JSON; its lines go to `lines` under `slot`.
    pub(super) fn spawn(
        name: &str,
        slot: usize,
        argv: &[String],
        lines: mpsc::Sender<Line>,
    ) -> Result<Self, Failure> {
        let failed =
            |e: std::io::Error| Failure::new(Code::Other, format!("{name} cannot be started: {e}"));
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(argv)
            .args(["--json", "--until-stdin-closes"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // its own group: Ctrl-C reaches the demo alone, which then ends its processes
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("piped above");
        let (tell, ended) = oneshot::channel();
        tokio::spawn(async move {
            let mut text = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = text.next_line().await {
                if let Ok(event) = serde_json::from_str(&line)
                    && lines.send(Line::Event { slot, event }).await.is_err()
                {
                    break;
                }
            }
            let status = child.wait().await;
            let shown = status
                .as_ref()
                .map_or_else(ToString::to_string, ToString::to_string);
            let _ = tell.send(status);
            let _ = lines
                .send(Line::Ended {
                    slot,
                    status: shown,
                })
                .await;
        });
        Ok(Self {
            name: name.to_owned(),
            stdin,
            ended: Some(ended),
        })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks it to end.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end; anything but success is a failure.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        let Some(ended) = self.ended.take() else {
            return Ok(());
        };
        match ended.await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Failure::new(
                Code::Other,
                format!("{} ended with {status}", self.name),
            )),
            Ok(Err(e)) => Err(Failure::new(Code::Other, format!("{}: {e}", self.name))),
            Err(_) => Err(Failure::new(Code::Other, format!("{} was lost", self.name))),
        }
    }
}
