//! An outbox without a connection: for a peer that is something else, such as a web seed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{ConnConfig, Outbox, Received, Shared, queue};
use crate::limits::{Pace, Room};
use crate::wire::codec::FrameLimits;
use crate::wire::message::Message;

/// The other end of a detached [`Outbox`].
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
}

/// An outbox whose messages come out of the [`Inbox`] instead of going to a socket.
pub(crate) fn detached(config: &ConnConfig, pace: Pace) -> (Outbox, Inbox) {
    let (outbox, messages) = Outbox::new(FrameLimits::default(), config, pace);
    let shared = Arc::clone(&outbox.shared);
    (outbox, Inbox { messages, shared })
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
