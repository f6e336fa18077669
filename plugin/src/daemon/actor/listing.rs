//! What is shown: summaries of what has changed, in a list with all others as they were.

use std::sync::Arc;

use super::Actor;
use crate::daemon::model::{Event, InfoHash, Listing, Summary, Totals};
use crate::daemon::torrent::Torrent;

impl Actor {
    /// Shows what is to be seen at once, and answers who waits for it.
    pub(super) fn show(&mut self) {
        if self.requeue {
            self.give_places();
        }
        if self.urgent || !self.events.is_empty() || !self.answers.is_empty() {
            self.publish();
        }
    }

    /// Shows all that has changed; whether anything had, and the totals with it.
    pub(super) fn publish(&mut self) -> bool {
        if self.requeue {
            self.give_places();
        }
        let changed = !self.dirty.is_empty() || std::mem::take(&mut self.urgent);
        self.urgent = false;
        for hash in std::mem::take(&mut self.dirty) {
            self.renew(hash);
        }
        if changed {
            let torrents = self.order.iter();
            let torrents = torrents.filter_map(|hash| self.torrents[hash].summary.clone());
            let listing = Listing {
                torrents: torrents.collect(),
                removed: self.removed.iter().copied().collect(),
                totals: self.totals(),
            };
            self.inbox.listing.send_replace(Arc::new(listing));
            self.untold = true;
        }
        for event in std::mem::take(&mut self.events) {
            self.send(event);
        }
        for answer in std::mem::take(&mut self.answers) {
            answer();
        }
        changed
    }

    /// Shows the totals, which go on when nothing else does. Nobody is told: who looks sees them.
    pub(super) fn show_totals(&mut self) {
        let totals = self.totals();
        self.inbox.listing.send_if_modified(|listing| {
            Arc::make_mut(listing).totals = totals;
            false
        });
    }

    pub(super) fn send(&self, event: Event) {
        // nobody need listen
        let _ = self.inbox.events.send(event);
    }

    /// Makes the summary of a torrent anew.
    fn renew(&mut self, hash: InfoHash) {
        let unix = self.now.unix;
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        torrent.shown_at = self.now.elapsed;
        let mut new = summary(torrent);
        match &torrent.summary {
            Some(old) => {
                if new.state != old.state {
                    self.events.push(Event::State(hash, new.state));
                }
                if differs(old, &new) {
                    torrent.record.changed = unix;
                    new.changed = unix;
                }
            }
            None => self.events.push(Event::State(hash, new.state)),
        }
        torrent.summary = Some(Arc::new(new));
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            session: self.run,
            ever: self.ever(),
            directory: self.session.traffic().unwrap_or_default(),
            memory: self.session.memory().used(),
            ..Totals::default()
        };
        for live in self.torrents.values().filter_map(Torrent::live) {
            let p = &live.progress;
            totals.rate_down += p.rate_down;
            totals.rate_up += p.rate_up;
            totals.connections += usize::try_from(p.near + p.far).unwrap_or(usize::MAX);
        }
        totals
    }
}

/// Whether anything but rates and times is another.
fn differs(a: &Summary, b: &Summary) -> bool {
    let does = |s: &Summary| {
        (
            s.state,
            s.queue_position,
            s.finished,
            s.stalled,
            s.has_metadata,
        )
    };
    let bytes = |s: &Summary| {
        (
            s.wanted,
            s.verified,
            s.held,
            s.downloaded,
            s.uploaded,
            s.wasted,
        )
    };
    let peers = |s: &Summary| (s.near, s.far, s.web_seeds, s.sending, s.receiving);
    let when = |s: &Summary| (s.started, s.done);
    does(a) != does(b)
        || bytes(a) != bytes(b)
        || peers(a) != peers(b)
        || when(a) != when(b)
        || (a.checked, a.moving) != (b.checked, b.moving)
        || a.trouble != b.trouble
        || a.name != b.name
        || !Arc::ptr_eq(&a.options, &b.options)
        || !Arc::ptr_eq(&a.about, &b.about)
}

fn summary(torrent: &Torrent) -> Summary {
    let layout = torrent.meta().map(|meta| &meta.layout);
    let (extent, counts, record) = (torrent.extent(), torrent.counts(), &torrent.record);
    let progress = torrent.live().map(|live| &live.progress);
    Summary {
        id: torrent.id,
        info_hash: torrent.hash,
        name: torrent.source.name(),
        state: torrent.state(),
        trouble: torrent.trouble.clone(),
        options: torrent.options.clone(),
        has_metadata: layout.is_some(),
        private: torrent.source.is_private(),
        size: layout.map_or(0, |l| l.total_length),
        wanted: extent.wanted,
        verified: extent.verified,
        held: extent.held,
        pieces: layout.map_or(0, |l| l.piece_count()),
        piece_length: layout.map_or(0, |l| l.piece_length),
        files: layout.map_or(0, |l| l.files.len()),
        checked: torrent.checked(),
        moving: torrent.moving(),
        rate_down: progress.map_or(0, |p| p.rate_down),
        rate_up: progress.map_or(0, |p| p.rate_up),
        eta: progress.and_then(|p| p.eta_seconds),
        downloaded: counts.downloaded,
        uploaded: counts.uploaded,
        wasted: counts.wasted,
        by_distance: counts.by_distance,
        near: progress.map_or(0, |p| p.near),
        far: progress.map_or(0, |p| p.far),
        web_seeds: progress.map_or(0, |p| p.web_seeds),
        sending: progress.map_or(0, |p| p.sending),
        receiving: progress.map_or(0, |p| p.receiving),
        sources: progress.map(|p| p.sources.clone()).unwrap_or_default(),
        queue_position: torrent.position,
        added: record.added,
        started: record.started,
        done: record.done,
        active: counts.active,
        changed: record.changed,
        seconds_downloading: counts.downloading.as_secs(),
        seconds_seeding: counts.seeding.as_secs(),
        stalled: torrent.stalled,
        finished: record.finished,
        about: torrent.about.clone(),
    }
}
