//! TCP connections for dial-backs: made, and closed at once; not a byte is sent.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::node::{Command, DialId};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(3); // guess: two lost SYNs

/// Dials under way. The node bounds how many ([`RolesConfig::dials`](crate::node::RolesConfig::dials)).
#[derive(Debug)]
pub(super) struct Dialler {
    done: mpsc::UnboundedSender<Command>,
    results: mpsc::UnboundedReceiver<Command>,
}

impl Dialler {
    pub(super) fn new() -> Self {
        let (done, results) = mpsc::unbounded_channel();
        Self { done, results }
    }

    /// Begins to dial; the result comes out of [`Dialler::result`].
    pub(super) fn dial(&self, id: DialId, addr: SocketAddr) {
        let done = self.done.clone();
        tokio::spawn(async move {
            let dialled = tokio::time::timeout(PATIENCE, TcpStream::connect(addr)).await;
            let reached = matches!(dialled, Ok(Ok(_)));
            // Nobody waits for it once the node has ended.
            let _ = done.send(Command::Dialled { id, reached });
        });
    }

    /// The next result, for the node.
    pub(super) async fn result(&mut self) -> Command {
        match self.results.recv().await {
            Some(command) => command,
            None => std::future::pending().await, // `done` lives as long as this
        }
    }
}
