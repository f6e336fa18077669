//! An outbox without a connection: for a peer that is something else, such as a web seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{ConnConfig, Outbox, Received, Shared, queue};
use crate::limits::{Pace, Room};
use crate::wire::message::Message;

/// The other end of a detached [`Outbox`].
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
}

/// An outbox whose messages come out of the [`Inbox`] instead of going to a socket.
pub(crate) fn detached(config: &ConnConfig, pace: Pace) -> (Outbox, Inbox) {
    let (queue, messages) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        queued: AtomicUsize::new(0),
        max_frame: AtomicU32::new(0),
        closed: CancellationToken::new(),
    });
    let inbox = Inbox {
        messages,
        shared: Arc::clone(&shared),
    };
    let outbox = Outbox {
        queue,
        shared,
        max_queued: config.max_queued_out,
        pace,
    };
    (outbox, inbox)
}

impl Inbox {
    /// The next message; `None` once the outbox is closed. Dropped before its end it has taken nothing.
    pub(crate) async fn recv(&mut self) -> Option<Message> {
        let message = tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => None,
            message = self.messages.recv() => message,
        }?;
        let cost = queue::cost(&message);
        self.shared.queued.fetch_sub(cost, Ordering::Relaxed);
        Some(message)
    }
}

impl Received {
    /// Messages that were not read from a socket, and the memory that they count for.
    pub(crate) fn new(messages: Vec<Message>, room: Option<Room>) -> Self {
        Self {
            messages,
            _room: room,
        }
    }
}
