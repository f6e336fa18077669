//! The connections of the server: how many there are, and which of them can make room.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// All connections.
pub(super) struct Connections {
    limit: usize,
    table: Mutex<Table>,
    /// One has ended, or begun to wait.
    changed: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    places: BTreeMap<u64, Place>,
}

struct Place {
    /// Since when it waits for its client: for a request or the rest of one, or for somebody to read the answer.
    waits: Option<Instant>,
    close: CancellationToken,
}

/// A connection's place, given back when this is dropped.
pub(super) struct Seat {
    id: u64,
    connections: Arc<Connections>,
    /// Somebody else needs the place.
    pub(super) close: CancellationToken,
}

/// Who asks: an extension of every request.
#[derive(Clone)]
pub(super) struct Client {
    /// Its address; `None` on a Unix socket.
    pub(super) source: Option<IpAddr>,
    pub(super) seat: Arc<Seat>,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.max(1),
            table: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.table().places.len()
    }

    /// A place for a new one: at the limit that of the one that has waited longest for its client. While all are being
    /// answered it waits.
    pub(super) async fn seat(self: &Arc<Self>) -> Seat {
        loop {
            let changed = self.changed.notified();
            if let Some(seat) = self.try_seat() {
                return seat;
            }
            changed.await;
        }
    }

    fn try_seat(self: &Arc<Self>) -> Option<Seat> {
        let mut table = self.table();
        if table.places.len() >= self.limit {
            let waiting = |(id, place): (&u64, &Place)| Some((place.waits?, *id));
            let (_, oldest) = table.places.iter().filter_map(waiting).min()?;
            if let Some(place) = table.places.remove(&oldest) {
                place.close.cancel();
            }
        }
        let id = table.next;
        table.next += 1;
        let place = Place {
            waits: Some(Instant::now()),
            close: CancellationToken::new(),
        };
        let close = place.close.clone();
        table.places.insert(id, place);
        Some(Seat {
            id,
            connections: self.clone(),
            close,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, id: u64, waits: Option<Instant>) {
        if let Some(place) = self.table().places.get_mut(&id) {
            place.waits = waits;
        }
        if waits.is_some() {
            self.changed.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.table().places.remove(&self.id);
        self.connections.changed.notify_one();
    }
}

/// The time in which a connection is being answered and keeps its place.
pub(super) struct Answering(Arc<Seat>);

impl Answering {
    pub(super) fn begin(seat: Arc<Seat>) -> Self {
        seat.connections.set(seat.id, None);
        Self(seat)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.connections.set(self.0.id, Some(Instant::now()));
    }
}

/// A body of an answer that keeps something until it is sent.
pub(super) struct Keeping<T> {
    body: Body,
    _kept: T,
}

impl<T: Send + Unpin + 'static> Keeping<T> {
    pub(super) fn around(body: Body, kept: T) -> Body {
        Body::new(Self { body, _kept: kept })
    }
}

impl<T: Unpin> hyper::body::Body for Keeping<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_waited_longest_makes_room_and_who_is_answered_does_not() {
        let connections = Connections::new(3);
        let [a, b, c] = [
            Arc::new(connections.seat().await),
            Arc::new(connections.seat().await),
            Arc::new(connections.seat().await),
        ];
        let answering = Answering::begin(a.clone());
        let d = Arc::new(connections.seat().await);
        assert!(b.close.is_cancelled(), "the oldest that waits");
        assert!(![&a, &c, &d].iter().any(|s| s.close.is_cancelled()));
        let all = [
            Answering::begin(c.clone()),
            Answering::begin(d.clone()),
            answering,
        ];
        let next = connections.seat();
        tokio::pin!(next);
        assert!(
            futures::poll!(next.as_mut()).is_pending(),
            "all are answered"
        );
        drop(all);
        let e = next.await;
        assert!(!e.close.is_cancelled());
        assert_eq!(connections.count(), 3);
        drop((a, b, c, d, e));
        assert_eq!(connections.count(), 0);
    }
}
