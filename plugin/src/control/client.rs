//! The asker's side of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Request;

/// Bytes of an answer: a node with 65,536 objects and its tables.
const MAX_ANSWER: u64 = 16 << 20;
/// Wait for the answer.
const PATIENCE: Duration = Duration::from_secs(10); // guess

/// Why a node was not asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody serves that socket.
    #[error("no node runs with the control socket `{}`", .0.display())]
    NobodyThere(PathBuf),
    /// It cannot be talked to.
    #[error("the control socket `{}` cannot be used: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No answer, too long a one, or none that this version can read.
    #[error("the node at the control socket `{}` gives no answer that can be read: is it of another version?", .0.display())]
    NoAnswer(PathBuf),
    /// It refuses.
    #[error("the node at the control socket `{}` says: {message}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Its words.
        message: String,
    },
}

/// Asks the node behind a control socket.
///
/// # Errors
/// [`AskError`].
pub async fn ask(path: &Path, request: Request) -> Result<Value, AskError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NobodyThere(path.to_owned())
        }
        _ => AskError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        let line = format!("{}\n", json!({ "ask": request.name() }));
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        let mut text = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut text).await?;
        Ok(text)
    };
    let text = match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(text) => text.map_err(failed)?,
        Err(_) => return Err(AskError::NoAnswer(path.to_owned())),
    };
    let answer: Value =
        serde_json::from_slice(&text).map_err(|_| AskError::NoAnswer(path.to_owned()))?;
    match (&answer["ok"], &answer["error"]) {
        (Value::Bool(true), _) => Ok(answer),
        (_, Value::String(message)) => Err(AskError::Refused {
            path: path.to_owned(),
            message: message.clone(),
        }),
        _ => Err(AskError::NoAnswer(path.to_owned())),
    }
}
