//! Once a second: times, limits, the schedule, the queue, what is to be saved.

use std::time::Duration;

use super::Actor;
use crate::daemon::model::Event;
use crate::daemon::schedule;
use crate::daemon::seeding::{self, Seed};
use crate::daemon::store::Standing;
use crate::daemon::torrent::Live;

/// The times of a torrent that moves nothing are shown anew after that.
const SHOWN_AFTER: Duration = Duration::from_secs(30); // guess: nobody watches the seconds of one that does nothing

impl Actor {
    pub(super) fn tick(&mut self) {
        let now = self.now;
        let since = now.elapsed.saturating_sub(self.ticked_at);
        self.ticked_at = now.elapsed;
        self.ran += since;
        self.run.seconds = self.ran.as_secs();
        if self.switch.tick(&mut self.settings.schedule, &now) {
            self.set_rates();
        }
        let mut ended = Vec::new();
        for hash in &self.order {
            let torrent = self
                .torrents
                .get_mut(hash)
                .expect("the queue has what is here");
            // one whose data is still looked at moves nothing for a reason
            let runs = |live: &&Live| live.checked || (live.control.is_some() && !live.known);
            let Some(live) = torrent.live().filter(runs) else {
                continue;
            };
            self.counter.second(&live.progress);
            let complete = torrent.is_complete();
            match complete {
                true => torrent.before.seeding += since,
                false => torrent.before.downloading += since,
            }
            let stalled = (self.settings.stalled_after)
                .is_some_and(|after| now.elapsed.saturating_sub(torrent.moved_at) >= after);
            if stalled != torrent.stalled {
                torrent.stalled = stalled;
                self.requeue = true;
                self.dirty.insert(*hash);
            }
            if now.elapsed >= torrent.shown_at + SHOWN_AFTER {
                self.dirty.insert(*hash);
            }
            if complete && !torrent.record.past_limits {
                let counts = torrent.counts();
                let seed = Seed {
                    uploaded: counts.uploaded,
                    wanted: torrent.extent().wanted,
                    idle: now.elapsed.saturating_sub(torrent.sent_at),
                    seeding: counts.seeding,
                };
                if seeding::is_done(&seed, &torrent.options, &self.settings) {
                    ended.push(*hash);
                }
            }
        }
        self.statistics_due |= !self.torrents.is_empty();
        for hash in ended {
            self.finish(hash);
        }
        self.dirty.extend(self.busy.iter().copied());
        self.save_due();
        self.renew_blocklist();
        self.ask_of_trackers();
        if !self.publish() {
            self.show_totals();
        }
        // commands have shown what they changed, and left it to this to tell of it
        if std::mem::take(&mut self.untold) {
            self.send(Event::Tick);
        }
    }

    /// Seeding has reached its limit.
    fn finish(&mut self, hash: crate::daemon::model::InfoHash) {
        let unix = self.now.unix;
        if let Some(torrent) = self.torrents.get_mut(&hash) {
            torrent.record.standing = Standing::Paused;
            torrent.record.finished = true;
            torrent.record.changed = unix;
            self.requeue = true;
            self.keep(hash);
            self.touch(hash);
        }
    }

    /// The rates that hold now.
    pub(super) fn set_rates(&self) {
        let rates = schedule::rates(self.settings.rates, &self.settings.schedule);
        self.session.limiters().set(rates);
    }
}
