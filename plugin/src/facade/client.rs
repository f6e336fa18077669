//! Following one client: connecting to it as a peer, reading its bits, and publishing them as its own.
//!
//! A client that has everything is visited now and then, one that lacks something stays connected while there is a place
//! for that: each connection takes one of the client's own. One in this process that tells of its pieces itself is visited
//! for those that it has from before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::id::Id;
use chunkcast::node::Publication;
use chunkcast::wire::{MAX_CHUNKS, PeerAddrs};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::feed::Fed;
use super::service::{Known, Shared};
use super::view::{Step, View, read_metadata};
use crate::wire::codec::FrameLimits;
use crate::wire::conn::{ConnEvent, Outbox, start};
use crate::wire::connect::{DialError, dial};
use crate::wire::message::Handshake;

/// Bits that have changed are published so long after the first change.
const COALESCE: Duration = Duration::from_secs(1); // guess: a piece at 2 Mbit/s

/// A client that has said nothing for so long after its handshake has no pieces.
const SILENCE: Duration = Duration::from_secs(2); // guess

/// Pause before a client that closed the connection is visited again; doubled up to [`MAX_PAUSE`] while it cannot be reached.
const PAUSE: Duration = Duration::from_secs(5); // guess

/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60); // guess

/// When a client that has everything is looked at again.
const REVISIT: Duration = Duration::from_secs(600); // guess: a refresh of its entry

/// How long a client in this process that says it begins or ends may take to do so.
const TURN: Duration = Duration::from_millis(300); // guess: its own task has to be scheduled

/// How long a client may take for its metadata.
const METADATA: Duration = Duration::from_secs(20); // guess

/// First pause before the metadata of a magnet link is looked for again; each is twice the one before.
const LEARN_AGAIN: Duration = Duration::from_secs(15); // guess

/// So often it is looked for at first, a second apart, where nothing else can be done for a client.
const LEARN_FIRST: usize = 5; // guess: a node that has just begun joins within that time

/// Longest of these pauses.
const LEARN_MOST: Duration = Duration::from_secs(600); // guess

/// What is known of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Whether it could be reached; `None` before the first try has ended.
    pub(super) reached: Option<bool>,
    /// The pieces that it has, once they are known.
    pub(super) held: Option<ChunkSet>,
    /// It lacks the metadata itself.
    pub(super) lacks_metadata: bool,
}

/// Follows one client of one torrent. Ends when it is aborted, or the torrent turns out to be private.
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) info_hash: [u8; 20],
    /// Where the client accepts peers, as seen from here.
    pub(super) addr: SocketAddr,
    /// The addresses that are published for it.
    pub(super) addrs: PeerAddrs,
    /// Under which tag.
    pub(super) tag: Id,
    pub(super) known: Arc<watch::Sender<Known>>,
    pub(super) state: watch::Sender<State>,
    /// What the client tells itself.
    pub(super) told: Arc<watch::Sender<Fed>>,
    /// Has it visited now.
    pub(super) wake: Arc<Notify>,
}

/// How a visit ended.
enum Visit {
    /// Nothing is left to be learnt for now.
    Complete,
    /// The client closed the connection.
    Ended,
    /// There was no place to stay.
    Full,
    /// Nobody listens there.
    Gone,
    /// No connection for another reason.
    Failed,
    /// The torrent is private.
    Private,
}

impl Follower {
    pub(super) async fn run(self) {
        let mut pause = PAUSE;
        let mut told = self.told.subscribe();
        loop {
            let turns = told.borrow_and_update().turns;
            let visit = self.visit().await;
            let reached = !matches!(visit, Visit::Gone | Visit::Failed);
            if !reached && self.shared.config.in_process {
                self.look_elsewhere().await;
            }
            self.state.send_modify(|s| s.reached = Some(reached));
            let wait = match visit {
                Visit::Private => {
                    self.shared.withdraw(&self.info_hash, self.tag);
                    return;
                }
                Visit::Complete => REVISIT,
                Visit::Ended => PAUSE,
                Visit::Full => MAX_PAUSE,
                Visit::Gone | Visit::Failed => {
                    // one in this process is refusing, not busy
                    if matches!(visit, Visit::Gone) || self.shared.config.in_process {
                        self.shared.withdraw(&self.info_hash, self.tag);
                    }
                    pause = (pause * 2).min(MAX_PAUSE);
                    pause / 2
                }
            };
            if reached {
                pause = PAUSE;
            }
            self.wait(wait, turns, &mut told).await;
        }
    }

    /// Waits for the next visit, and publishes what the client tells meanwhile; ends early when there is a reason to look.
    async fn wait(&self, wait: Duration, turns: u32, told: &mut watch::Receiver<Fed>) {
        let end = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(end) => return,
                () = self.wake.notified() => return,
                Ok(()) = told.changed() => {
                    if told.borrow_and_update().turns != turns {
                        sleep(TURN).await;
                        return;
                    }
                    sleep(COALESCE).await;
                    self.publish_told(told);
                }
            }
        }
    }

    fn publish_told(&self, told: &mut watch::Receiver<Fed>) {
        let (reached, mut held) = {
            let state = self.state.borrow();
            (state.reached == Some(true), state.held.clone())
        };
        let fed = told.borrow_and_update();
        // what it had from before is not known yet: the next visit reads all of it
        if let (true, Some(held), Some(completed)) = (reached, &mut held, &fed.completed)
            && held.union_with(completed) > 0
        {
            self.publish(held);
            self.state.send_modify(|s| s.held = Some(held.clone()));
        }
    }

    /// Learns the metadata that the client has no place to give, if others have it.
    async fn look_elsewhere(&self) {
        for _ in 0..LEARN_FIRST {
            if *self.known.borrow() != Known::Unknown {
                return;
            }
            match self.shared.learn(self.info_hash, self.addrs).await {
                Some(info) => drop(self.learnt(info)),
                None => sleep(COALESCE).await,
            }
        }
    }

    async fn visit(&self) -> Visit {
        let door = self.shared.door(self.addr);
        let entering = door.acquire().await;
        let visiting = self.shared.visits.clone().acquire_owned().await;
        let ours = Handshake::ours(self.info_hash, self.shared.peer_id);
        let peer = match dial(self.addr, ours, None, &self.shared.config.conn).await {
            Ok(peer) => peer,
            Err(DialError::Connect { source, .. })
                if source.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                return Visit::Gone;
            }
            Err(e) => {
                tracing::debug!("a client behind the tracker: {e}");
                return Visit::Failed;
            }
        };
        drop(entering);
        let known = *self.known.borrow();
        let (fast, extended) = (peer.handshake.fast(), peer.handshake.extended());
        let (events, inbox) = mpsc::channel(16);
        let limits = known
            .pieces()
            .map_or_else(FrameLimits::default, FrameLimits::for_pieces);
        let outbox = start((), peer, limits, events, &self.shared.config.conn);
        for message in View::greeting(fast, extended) {
            outbox.send(message);
        }
        let visited = Visited {
            follower: self,
            view: View::new(self.info_hash, known.pieces()),
            outbox,
            staying: None,
            visiting: visiting.ok(),
            learning: JoinSet::new(),
            learn_at: Instant::now(),
            learn_pause: LEARN_AGAIN,
        };
        visited.listen(inbox).await
    }

    /// The torrent's metadata is known.
    fn learnt(&self, info: Bytes) -> Option<Known> {
        let meta = read_metadata(info, self.info_hash)?;
        let known = match meta.private {
            true => Known::Private,
            false => Known::Public(meta.layout.piece_count()),
        };
        self.known.send_replace(known);
        Some(known)
    }

    fn publish(&self, held: &ChunkSet) {
        // more pieces than the directory can name: found all the same, by whoever asks for any
        let named = match held.len() > MAX_CHUNKS {
            true => ChunkSet::empty(0),
            false => held.clone(),
        };
        self.shared.directory.publish(Publication {
            object: crate::session::object_id(&self.info_hash),
            publisher: Some(self.tag),
            addrs: self.addrs,
            chunks: named.len(),
            held: named,
            load: 0,
            reachable: true,
            complete: held.is_full(),
        });
    }
}

/// A visit that has got as far as the handshake.
struct Visited<'a> {
    follower: &'a Follower,
    view: View,
    outbox: Outbox,
    /// The place of one that stays.
    staying: Option<OwnedSemaphorePermit>,
    /// The place of one that has just come.
    visiting: Option<OwnedSemaphorePermit>,
    /// Looks for the metadata that the client does not have.
    learning: JoinSet<Option<Bytes>>,
    /// When that is done again, and the pause after that.
    learn_at: Instant,
    learn_pause: Duration,
}

impl Visited<'_> {
    async fn listen(mut self, mut inbox: mpsc::Receiver<((), ConnEvent)>) -> Visit {
        let follower = self.follower;
        let mut known = follower.known.subscribe();
        known.mark_changed();
        let begun = Instant::now();
        let mut publish_at: Option<Instant> = None;
        let mut said: Option<ChunkSet> = None;
        loop {
            let silent = begun + SILENCE;
            let late = begun + METADATA;
            tokio::select! {
                event = inbox.recv() => match event {
                    Some((_, ConnEvent::Messages(messages))) => {
                        for message in messages {
                            if let Err(visit) = self.take(message) {
                                return visit;
                            }
                        }
                    }
                    Some((_, ConnEvent::Closed(_))) | None => return Visit::Ended,
                    Some(_) => continue,
                },
                Ok(()) = known.changed() => {
                    let now = *known.borrow_and_update();
                    match now {
                        Known::Private | Known::Withheld => return Visit::Private,
                        Known::Public(pieces) => {
                            if self.view.set_pieces(pieces).is_err() {
                                return Visit::Ended;
                            }
                            self.outbox.set_limits(FrameLimits::for_pieces(pieces));
                        }
                        Known::Unknown => {}
                    }
                }
                () = sleep_until(silent), if self.view.held().is_none() && Instant::now() < silent => {
                    self.view.is_silent();
                }
                () = sleep_until(late), if known.borrow().pieces().is_none() && !self.view.lacks_metadata() => {
                    return Visit::Ended;
                }
                () = at(publish_at), if publish_at.is_some() => publish_at = None,
                Some(info) = self.learning.join_next() => {
                    if let Ok(Some(info)) = info {
                        follower.learnt(info);
                    }
                }
                () = sleep_until(self.learn_at), if self.learns(*known.borrow()) => self.learn(),
            }
            if self.view.withholds_metadata() && *known.borrow() == Known::Unknown {
                follower.known.send_replace(Known::Withheld);
            }
            let lacks = self.view.lacks_metadata();
            follower.state.send_if_modified(|s| {
                s.reached = Some(true);
                std::mem::replace(&mut s.lacks_metadata, lacks) != lacks
            });
            let Some(held) = self.view.held() else {
                // it may be long until somebody has the metadata: others are not to wait for their first visit
                if lacks && !self.stays() {
                    return Visit::Full;
                }
                continue;
            };
            if said.as_ref() != Some(held) && publish_at.is_none() {
                follower.publish(held);
                follower.state.send_modify(|s| s.held = Some(held.clone()));
                publish_at = Some(Instant::now() + COALESCE);
                said = Some(held.clone());
                if held.is_full() || follower.told.borrow().is_fed() {
                    return Visit::Complete;
                }
                if !self.stays() {
                    return Visit::Full;
                }
            }
        }
    }

    /// Whether the metadata is still to be looked for elsewhere.
    fn learns(&self, known: Known) -> bool {
        known == Known::Unknown && self.view.lacks_metadata() && self.learning.is_empty()
    }

    fn learn(&mut self) {
        let follower = self.follower;
        let (shared, hash, addrs) = (follower.shared.clone(), follower.info_hash, follower.addrs);
        self.learning
            .spawn(async move { shared.learn(hash, addrs).await });
        self.learn_at = Instant::now() + self.learn_pause;
        self.learn_pause = (self.learn_pause * 2).min(LEARN_MOST);
    }

    /// Whether there is a place to stay connected.
    fn stays(&mut self) -> bool {
        if self.staying.is_none() {
            let places = self.follower.shared.stays.clone();
            self.staying = places.try_acquire_owned().ok();
            self.visiting = None;
        }
        self.staying.is_some()
    }

    /// Takes a message; an error ends the visit.
    fn take(&mut self, message: crate::wire::message::Message) -> Result<(), Visit> {
        for step in self.view.handle(message) {
            match step {
                Step::Send(message) => {
                    self.outbox.send(message);
                }
                Step::Metadata(info) => match self.follower.learnt(info) {
                    Some(Known::Private) => return Err(Visit::Private),
                    Some(_) => {}
                    None => return Err(Visit::Ended),
                },
                Step::Fault(why) => {
                    tracing::debug!("{}: {why}", self.follower.addr);
                    return Err(Visit::Ended);
                }
            }
        }
        Ok(())
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Asks a stranger for the metadata of a torrent whose client does not have it.
pub(super) async fn fetch_metadata(
    shared: &Shared,
    info_hash: [u8; 20],
    addr: SocketAddr,
) -> Option<Bytes> {
    let fetch = async {
        let ours = Handshake::ours(info_hash, shared.peer_id);
        let peer = dial(addr, ours, None, &shared.config.conn).await.ok()?;
        let (fast, extended) = (peer.handshake.fast(), peer.handshake.extended());
        let (events, mut inbox) = mpsc::channel(16);
        let outbox = start(
            (),
            peer,
            FrameLimits::default(),
            events,
            &shared.config.conn,
        );
        for message in View::greeting(fast, extended) {
            outbox.send(message);
        }
        let mut view = View::new(info_hash, None);
        while let Some((_, event)) = inbox.recv().await {
            let ConnEvent::Messages(messages) = event else {
                continue;
            };
            for step in messages.into_iter().flat_map(|m| view.handle(m)) {
                match step {
                    Step::Send(message) => {
                        outbox.send(message);
                    }
                    Step::Metadata(info) => return Some(info),
                    Step::Fault(_) => return None,
                }
            }
            if view.lacks_metadata() {
                return None;
            }
        }
        None
    };
    timeout(METADATA, fetch).await.ok().flatten()
}
