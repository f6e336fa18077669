//! The queue decides who may run; what a torrent does follows from that and from what is to be done with it next.

use super::Actor;
use crate::daemon::model::InfoHash;
use crate::daemon::queue::{self, Place, Places, Wants};
use crate::daemon::store::Standing;
use crate::daemon::torrent::{Next, Run, Torrent};

impl Actor {
    /// Gives places anew and lets torrents begin and stop accordingly.
    pub(super) fn give_places(&mut self) {
        self.requeue = false;
        let places = Places {
            downloads: self.settings.active_downloads,
            seeds: self.settings.active_seeds,
        };
        let torrents = self.order.iter().map(|hash| place(&self.torrents[hash]));
        let runs: Vec<bool> = queue::runs(torrents, places).collect();
        for (at, may_run) in runs.into_iter().enumerate() {
            let hash = self.order[at];
            if let Some(torrent) = self.torrents.get_mut(&hash) {
                torrent.may_run = may_run;
            }
            self.proceed(hash);
        }
    }

    /// Lets a torrent do the next thing that it is to do.
    fn proceed(&mut self, hash: InfoHash) {
        let torrent = &self.torrents[&hash];
        match (&torrent.run, torrent.next.front(), torrent.may_run) {
            (Run::Stopped, Some(next), _) => match next.clone() {
                Next::Verify => self.begin_check(hash),
                Next::Move(dir, data) => self.begin_move(hash, dir, data),
            },
            (Run::Stopped, None, true) => self.begin(hash),
            (Run::Running(_), Some(_), _) | (Run::Running(_), None, false) => self.halt(hash),
            _ => {}
        }
    }
}

/// A torrent as the queue sees it.
fn place(torrent: &Torrent) -> Place {
    let busy = !torrent.next.is_empty() || matches!(torrent.run, Run::Busy(_));
    let stopped = torrent.trouble.as_ref().is_some_and(|t| t.stopped);
    let wants = match torrent.record.standing {
        _ if busy || stopped => Wants::Rest,
        Standing::Paused => Wants::Rest,
        Standing::Queued => Wants::Place,
        Standing::Now => Wants::Now,
    };
    Place {
        wants,
        seeds: torrent.is_complete(),
        stalled: torrent.stalled,
    }
}
