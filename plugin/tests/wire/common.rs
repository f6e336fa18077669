//! What tests of connections over several transports share: blocks sent and taken.

use std::time::Duration;

use bytes::Bytes;
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::conn::{ConnConfig, ConnEvent, Outbox, start};
use chunkcast_bittorrent::wire::connect::PeerStream;
use chunkcast_bittorrent::wire::message::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const BLOCK: usize = 16 * 1024;

pub(crate) type Events = mpsc::Receiver<((), ConnEvent)>;

pub(crate) fn run(peer: PeerStream) -> (Outbox, Events) {
    let (sender, events) = mpsc::channel(8);
    let limits = FrameLimits::for_pieces(100);
    (
        start((), peer, limits, sender, &ConnConfig::default()),
        events,
    )
}

pub(crate) fn block(piece: u32) -> Message {
    let fill = u8::try_from(piece % 251).expect("below 251");
    Message::Piece {
        piece,
        begin: 0,
        data: Bytes::from(vec![fill; BLOCK]),
    }
}

pub(crate) async fn next(events: &mut Events) -> Option<ConnEvent> {
    let event = timeout(Duration::from_secs(100_000), events.recv()).await;
    event.expect("it happens").map(|(_, event)| event)
}

/// Takes so many messages.
pub(crate) async fn take(events: &mut Events, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    while all.len() < count {
        if let ConnEvent::Messages(messages) = next(events).await.expect("open") {
            all.extend(messages);
        }
    }
    all
}

/// Takes all blocks from `first` on, and hears that as many were sent.
pub(crate) async fn all(events: &mut Events, first: u32, count: u32) {
    let (mut got, mut flushed) = (Vec::new(), 0);
    let total = u64::from(count) * BLOCK as u64;
    while got.len() < count as usize || flushed < total {
        match next(events).await.expect("open") {
            ConnEvent::Messages(messages) => got.extend(messages),
            ConnEvent::Flushed(bytes) => flushed += bytes,
            other => panic!("{other:?}"),
        }
    }
    assert!(got == (first..first + count).map(block).collect::<Vec<_>>());
    assert_eq!(flushed, total);
}
