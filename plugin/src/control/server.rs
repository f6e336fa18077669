//! The node's side of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::socket::{self, SocketError, SocketFile};
use super::{MAX_REQUEST, NotRequest, Request};
use crate::session::IndexNode;

/// Connections served at once.
const CONNECTIONS: usize = 8; // guess: a person and some scripts
/// Requests on one connection.
const REQUESTS: usize = 16; // guess
/// Wait for a request, and for the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10); // guess

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another process answers there.
    #[error("the control socket `{}` belongs to a running node; choose another with --control PATH", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("`{}` is there and no socket; choose another place for the control socket with --control PATH", .0.display())]
    InTheWay(PathBuf),
    /// It cannot be made.
    #[error("cannot make the control socket `{}`: {source}; choose another place with --control PATH", path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A control socket that is served. It ends, and its file is removed, when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: AbortHandle,
    _file: SocketFile,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Control {
    /// Serves `node` at `path`. A socket that a dead process left there is replaced. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ControlError`]: a running node's socket or something else is there, or none can be made.
    pub fn serve(path: &Path, node: IndexNode) -> Result<Self, ControlError> {
        let (listener, file) = socket::listen(path).map_err(|e| match e {
            SocketError::InUse => ControlError::InUse(path.to_owned()),
            SocketError::InTheWay => ControlError::InTheWay(path.to_owned()),
            SocketError::Io(source) => ControlError::Bind {
                path: path.to_owned(),
                source,
            },
        })?;
        let task = tokio::spawn(accept(listener, node)).abort_handle();
        Ok(Self {
            path: path.to_owned(),
            task,
            _file: file,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

async fn accept(listener: UnixListener, node: IndexNode) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await; // out of file descriptors
                continue;
            }
        };
        if !socket::is_of_owner(&stream) {
            continue;
        }
        let node = node.clone();
        tokio::spawn(async move {
            let _ = converse(stream, &node).await;
            drop(permit);
        });
    }
}

async fn converse(stream: UnixStream, node: &IndexNode) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(MAX_REQUEST + 2, read);
    for _ in 0..REQUESTS {
        let mut line = Vec::new();
        // one byte more than a line may have, so that a longer one is seen to be longer
        let mut bounded = (&mut read).take(MAX_REQUEST as u64 + 2);
        let read_line = bounded.read_until(b'\n', &mut line);
        if tokio::time::timeout(PATIENCE, read_line).await?? == 0 {
            break;
        }
        let whole = line.pop_if(|c| *c == b'\n').is_some();
        let request = match Request::parse(&line) {
            Ok(_) if !whole => Err(NotRequest::Malformed),
            request => request,
        };
        let done = request == Err(NotRequest::TooLong) || !whole;
        let mut answer = answer(request, node).await.to_string();
        answer.push('\n');
        tokio::time::timeout(PATIENCE, write.write_all(answer.as_bytes())).await??;
        if done {
            break;
        }
    }
    Ok(())
}

async fn answer(request: Result<Request, NotRequest>, node: &IndexNode) -> Value {
    let refused = |why: String| json!({ "ok": false, "error": why });
    let request = match request {
        Ok(request) => request,
        Err(e) => return refused(e.to_string()),
    };
    let shown = match request {
        Request::Status => node.status().await,
        Request::Table => node.table().await,
    };
    match shown {
        Some(Value::Object(mut members)) => {
            members.insert("ok".to_owned(), true.into());
            Value::Object(members)
        }
        _ => refused("the node is shutting down".to_owned()),
    }
}
