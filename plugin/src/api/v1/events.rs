//! `/events`: what happens, as server-sent events (HTML, 9.2).
//!
//! A listener is sent what has changed since what it was sent last, when its connection takes more: one that reads slowly gets
//! fewer and larger changes, and no queue grows for it. One that does not read at all is given up by the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures::Stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::openapi::Problem;
use super::types::{ListingEvent, StreamEvent, Torrent, TorrentEvent, Totals};
use crate::api::{ApiError, ApiState};
use crate::daemon::{self, Daemon, InfoHash, Listing, Summary};

/// Listeners at a time.
const LISTENERS: usize = 32; // guess: a quarter of the connections

/// How long nothing is said before a comment is, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15); // the HTML standard's advice

/// Places for listeners.
pub(in crate::api) struct Listeners {
    places: Arc<Semaphore>,
    end: CancellationToken,
}

impl Listeners {
    /// Until `end` is cancelled.
    pub(in crate::api) fn new(end: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(LISTENERS)),
            end,
        }
    }

    /// How many listen.
    pub(in crate::api) fn count(&self) -> usize {
        LISTENERS - self.places.available_permits()
    }
}

/// A stream of server-sent events. The first is a `listing` with all torrents; after that `listing` comes once a second where
/// something has changed, and `added`, `removed`, `state`, `metadata`, `complete` and `trouble` as they happen. Comments come
/// where nothing has changed for 15 s. After some were missed a `listing` with all torrents comes again.
#[utoipa::path(get, path = "/api/v1/events",
    responses((status = 200, body = StreamEvent, content_type = "text/event-stream"), Problem))]
pub(super) async fn events(
    State(state): State<ApiState>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let listeners = &state.shared.listeners;
    let place = listeners.places.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::Listeners)?;
    let listener = Listener {
        events: state.daemon.subscribe(),
        daemon: state.daemon,
        told: None,
        _place: place,
    };
    let end = listeners.end.clone();
    let next = move |mut listener: Listener| {
        let end = end.clone();
        async move {
            let event = end.run_until_cancelled(listener.next()).await??;
            Some((Ok(event), listener))
        }
    };
    Ok(Sse::new(futures::stream::unfold(listener, next)))
}

struct Listener {
    daemon: Daemon,
    events: broadcast::Receiver<daemon::Event>,
    /// `None`: nothing, or not enough to make sense of a change.
    told: Option<Told>,
    _place: OwnedSemaphorePermit,
}

/// What a listener knows.
struct Told {
    torrents: BTreeMap<InfoHash, (Arc<Summary>, Torrent)>,
    totals: Totals,
}

impl Listener {
    /// The next event; `None` where none will come.
    async fn next(&mut self) -> Option<Event> {
        if self.told.is_none() {
            return self.listing();
        }
        loop {
            let event = match timeout(HEARTBEAT, self.events.recv()).await {
                Err(_) => return Some(Event::default().comment("still here")),
                Ok(Ok(daemon::Event::Tick)) => self.listing(),
                Ok(Ok(event)) => happened(event),
                Ok(Err(RecvError::Lagged(_))) => {
                    self.told = None;
                    self.listing()
                }
                Ok(Err(RecvError::Closed)) => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// What has changed, if something has.
    fn listing(&mut self) -> Option<Event> {
        let event = changes(&mut self.told, &self.daemon.list())?;
        written(&StreamEvent::Listing(Box::new(event)))
    }
}

/// What has changed since `told`, which knows it then.
fn changes(told: &mut Option<Told>, now: &Listing) -> Option<ListingEvent> {
    let all = told.is_none();
    let totals = Totals::from(&now.totals);
    let told = told.get_or_insert_with(|| Told {
        torrents: BTreeMap::new(),
        totals: totals.clone(),
    });
    let mut torrents = Vec::new();
    for summary in &now.torrents {
        let known = told.torrents.get_mut(&summary.info_hash);
        if known
            .as_ref()
            .is_some_and(|(seen, _)| Arc::ptr_eq(seen, summary))
        {
            continue;
        }
        let row = Torrent::from(&**summary);
        if known.is_none_or(|(_, known)| *known != row) {
            torrents.push(row.clone());
        }
        let known = (summary.clone(), row);
        told.torrents.insert(summary.info_hash, known);
    }
    let mut removed = Vec::new();
    // it knows all that are there; where it knows more, some have gone
    if told.torrents.len() > now.torrents.len() {
        let here: BTreeSet<_> = now.torrents.iter().map(|t| t.info_hash).collect();
        told.torrents.retain(|hash, _| {
            let stays = here.contains(hash);
            if !stays {
                removed.push(hash.to_string());
            }
            stays
        });
    }
    let same = told.totals == totals;
    told.totals = totals.clone();
    let silent = !all && same && torrents.is_empty() && removed.is_empty();
    (!silent).then_some(ListingEvent {
        all,
        torrents,
        removed,
        totals,
    })
}

fn happened(event: daemon::Event) -> Option<Event> {
    use daemon::Event as E;
    let of = TorrentEvent::new;
    written(&match event {
        E::Added(which) => StreamEvent::Added(of(which)),
        E::Removed(which) => StreamEvent::Removed(of(which)),
        E::State(which, state) => StreamEvent::State(TorrentEvent::state(which, state)),
        E::Metadata(which) => StreamEvent::Metadata(of(which)),
        E::Complete(which) => StreamEvent::Complete(of(which)),
        E::Trouble(which, why) => StreamEvent::Trouble(TorrentEvent::trouble(which, why)),
        E::Tick => return None,
    })
}

fn written(event: &StreamEvent) -> Option<Event> {
    let (name, data) = match event {
        StreamEvent::Listing(data) => ("listing", serde_json::to_string(data)),
        StreamEvent::Added(data) => ("added", serde_json::to_string(data)),
        StreamEvent::Removed(data) => ("removed", serde_json::to_string(data)),
        StreamEvent::State(data) => ("state", serde_json::to_string(data)),
        StreamEvent::Metadata(data) => ("metadata", serde_json::to_string(data)),
        StreamEvent::Complete(data) => ("complete", serde_json::to_string(data)),
        StreamEvent::Trouble(data) => ("trouble", serde_json::to_string(data)),
    };
    Some(Event::default().event(name).data(data.ok()?))
}
