//! A minimal HTTP server that answers as the test says.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a server of the tests"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What to do with a request.
pub(crate) enum Reply {
    /// 200 with a body and its length.
    Body(Vec<u8>),
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The head, then this part again and again until the client goes away.
    Endless(Vec<u8>, Vec<u8>),
    /// One byte, then nothing more, and the connection stays open.
    Hang,
}

/// `HTTP/1.1 status` with a body and more headers.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Reply {
    let mut raw = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    raw.extend(body);
    Reply::Raw(raw)
}

/// The server; requests arrive on `seen` as `(path and query, whole head)`.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    pub(crate) seen: mpsc::UnboundedReceiver<(String, String)>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    /// Starts on `bind`; `reply` gets the path and query.
    pub(crate) async fn start(
        bind: &str,
        reply: impl FnMut(&str) -> Reply + Send + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let (tx, seen) = mpsc::unbounded_channel();
        let reply = Arc::new(Mutex::new(reply));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tx, reply) = (tx.clone(), reply.clone());
                open.spawn(async move {
                    let _ = serve(stream, tx, reply).await;
                });
            }
        });
        Ok(Self {
            address,
            seen,
            task,
        })
    }

    /// `http://…` with a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The path and query of the next request.
    pub(crate) async fn next(&mut self) -> String {
        within(self.seen.recv()).await.expect("the server runs").0
    }
}

async fn serve<F: FnMut(&str) -> Reply>(
    mut stream: TcpStream,
    seen: mpsc::UnboundedSender<(String, String)>,
    reply: Arc<Mutex<F>>,
) -> std::io::Result<()> {
    let mut head = vec![stream.read_u8().await?];
    if !head[0].is_ascii_uppercase() {
        return stream.write_all(b"this is no TLS server").await;
    }
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = (reply.lock().unwrap())(&path);
    let _ = seen.send((path, head));
    match reply {
        Reply::Body(body) => {
            let Reply::Raw(raw) = response("200 OK", "", &body) else {
                unreachable!()
            };
            stream.write_all(&raw).await?;
        }
        Reply::Raw(raw) => stream.write_all(&raw).await?,
        Reply::Endless(head, part) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&part).await?;
            }
        }
        Reply::Hang => {
            stream.write_all(b"H").await?;
            std::future::pending::<()>().await;
        }
    }
    stream.shutdown().await
}

/// Fails the test when something takes longer than anything here may.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("took longer than 20 s")
}
